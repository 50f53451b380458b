"""Partition functions of RBMs: exact, or by annealing between independent units and the RBM.

Every function builds a graph over R RBMs that differ only in their biases, one for each frame of a sequence.

Annealing passes through distributions p_beta, from a base with a known partition function (beta = 0) to the RBM
(beta = 1):

    f_beta(v) = exp(s(v) [(1 - beta) a + beta b_v] - base(v)) prod_j exp A_h(beta (s(v) W + b_h)_j)

* Upwards, from samples of the base, it is annealed importance sampling (Neal 2001; Salakhutdinov & Murray, ICML 2008).
  The mean weight is an unbiased estimate of Z / Z_base, so log Z tends to be underestimated and likelihoods
  overestimated.
* Downwards, from data, it is the reverse estimator RAISE (Burda, Grosse & Salakhutdinov, AISTATS 2015). The mean
  inverse weight is an unbiased estimate of the probability that annealing generates the datum. As a model, annealing
  is worse on average than the RBM, so likelihoods tend to be underestimated.

Both multiply the same ratios f_k(v) / f_(k-1)(v); only the direction of the chain differs.

Annealing finds modes in proportion to their probability at intermediate temperatures. For an RBM with a few narrow
modes, such as the chords that may come next, the variance of the weights is therefore high. Such modes tend to be
frames of the training set. Given a list of exact states, their terms of Z are summed exactly, and each chain tells
whether it ended in the list; :mod:`rnnrbm.scoring.estimators` combines the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.arguments import whole_number
from rnnrbm.backend.random import Rng
from rnnrbm.densities import map_biases
from rnnrbm.joint_units import by_parts
from rnnrbm.rbm import RBM
from rnnrbm.units import Unit

__all__ = [
    "SMALL_STEP",
    "Annealed",
    "Listed",
    "ais_log_weights",
    "annealing_schedule",
    "base_activation",
    "exact_log_Z",
    "is_listed",
    "largest_step",
    "partial_log_Z",
    "raise_log_weights",
]

MAX_ENUMERATED = 25


def exact_log_Z(rbm: RBM) -> TensorVariable:
    """Build the exact log partition function by enumerating one layer.

    Parameters
    ----------
    rbm : RBM
        Biases have shape (n,) or (R, n). The smaller binary layer is enumerated; the other layer may have any unit
        type.

    Returns
    -------
    TensorVariable, shape () or (R,), nats

    Raises
    ------
    ValueError
        If no binary layer has at most 25 units.
    """
    sizes = {"visible": rbm.W.type.shape[0], "hidden": rbm.W.type.shape[1]}
    binary = {name: sizes[name] for name in sizes if getattr(rbm, name).is_binary}
    layer = min(binary, key=lambda name: binary[name], default=None)
    if layer is None or binary[layer] > MAX_ENUMERATED:
        raise ValueError(
            f"exact log Z needs a binary layer of at most {MAX_ENUMERATED} units, got {sizes['visible']} "
            f"visible {rbm.visible} and {sizes['hidden']} hidden {rbm.hidden}; use AIS"
        )
    n = binary[layer]
    n_block = min(n, 8)
    block = np.array((np.arange(2**n_block)[:, None] >> np.arange(n_block)) & 1, rbm.W.dtype)
    rest = (np.arange(2 ** (n - n_block))[:, None] >> np.arange(n - n_block)) & 1

    def states(high: TensorVariable) -> tuple[TensorVariable, Any]:
        fixed = pt.broadcast_to(high, (2**n_block, n - n_block))
        return pt.concatenate([pt.as_tensor(block), fixed], axis=1), np.zeros(1, rbm.W.dtype)

    energy_of = "free_energy" if layer == "visible" else "hidden_free_energy"
    return _log_sum(rbm, energy_of, [pt.as_tensor(np.array(rest, rbm.W.dtype))], states)


def partial_log_Z(rbm: RBM, states: TensorVariable) -> TensorVariable:
    """Build the log of the terms of the partition function of given visible states.

    Parameters
    ----------
    rbm : RBM
        With binary visible units and biases of shape (R, n).
    states : TensorVariable, shape (S, n_visible), static
        Distinct states.

    Returns
    -------
    TensorVariable, shape (R,), nats
        log of the sum of exp(-F) over the states; at most log Z.
    """
    n_states, n_visible = states.type.shape
    size = min(n_states, max(1, 2048 // (rbm.b_v.type.shape[0] or 1)))  # with all RBMs, a block that fits caches
    n_blocks = -(-n_states // size)
    absent = n_blocks * size - n_states
    filled = pt.concatenate([states, pt.zeros((absent, n_visible), states.dtype)])
    log_weights = np.where(np.arange(n_blocks * size) < n_states, 0.0, -np.inf).astype(rbm.W.dtype)
    sequences = [filled.reshape((n_blocks, size, n_visible)), pt.as_tensor(log_weights.reshape(n_blocks, size))]
    return _log_sum(rbm, "free_energy", sequences, lambda block, log_weight: (block, log_weight))


def _log_sum(rbm: RBM, energy_of: str, sequences: list[TensorVariable], states: Callable[..., Any]) -> TensorVariable:
    """Log of the sum of exp(-energy) over states, in blocks; `states` makes a block and its log weights."""
    rows = map_biases(rbm, lambda b: pt.expand_dims(b, -2))
    n = len(sequences)

    def step(*args: TensorVariable) -> TensorVariable:
        total, tensors = args[n], list(args[n + 1 :])
        x, log_weight = states(*args[:n])
        log_sum = pt.logsumexp(log_weight - getattr(rows.with_tensors(tensors), energy_of)(x), axis=-1)
        return pt.logaddexp(total, log_sum.astype(total.dtype))

    start = pt.full_like((rbm.b_v.sum(axis=-1) + rbm.b_h.sum(axis=-1)).astype(rbm.W.dtype), -np.inf)
    totals = pytensor.scan(
        step, sequences=sequences, outputs_info=[start], non_sequences=rows.tensors(), return_updates=False
    )
    return totals[-1]


def base_activation(
    rbm: RBM, v: TensorVariable, rng: Rng, n_steps: int = 30, *, pool: bool = False
) -> tuple[TensorVariable, Rng]:
    """Fit independent visible units to each conditional RBM, as the base distribution of AIS.

    A short Gibbs chain runs from `v`. The means of the visible units given the hidden ones are averaged over its second
    half. Any base gives an unbiased estimate of Z; a base near the target gives a precise one.

    Parameters
    ----------
    rbm : RBM
        Biases have shape (R, n), or (1, n) for `pool`.
    v : TensorVariable, shape (R, n_visible)
        Start of the chains, for example data.
    rng : Rng
    n_steps : int
        Length of the chain.
    pool : bool
        All rows are chains of one RBM, with one base.

    Returns
    -------
    TensorVariable, shape (R, n_visible) or (1, n_visible)
        Activations (for binary units, log odds).
    Rng
    """

    def of_base(unit: Unit, activation: TensorVariable) -> TensorVariable:
        return unit.mean(activation) if unit.is_binary else activation

    def activation_of(unit: Unit, mean: TensorVariable) -> TensorVariable:
        if not unit.is_binary:
            return mean
        # shrunk towards 1/2 by a hundredth, so that the base makes no unit almost certain
        mean = mean * np.asarray(0.98, v.dtype) + np.asarray(0.01, v.dtype)
        return pt.log(mean / (np.asarray(1.0, v.dtype) - mean))

    def step(
        v: TensorVariable, total: TensorVariable, draw: TensorVariable, key: TensorVariable, *tensors: Any
    ) -> list[TensorVariable]:
        r = rbm.with_tensors(list(tensors))
        h, inner = r.hidden.sample(r.hidden_activation(v), Rng(key, draw))
        activation = r.visible_activation(h)
        v, inner = r.visible.sample(activation, inner)
        return [v, total + by_parts(r.visible, of_base, activation), inner.draw]

    def run(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, TensorVariable, Rng]:
        v, total, draw = pytensor.scan(
            step,
            outputs_info=[v, pt.zeros_like(v), rng.draw],
            non_sequences=[rng.key, *rbm.tensors()],
            n_steps=n_steps // 2,
            return_updates=False,
        )
        return v[-1], total[-1], rng._replace(draw=draw[-1])

    v, _, rng = run(v, rng)
    _, total, rng = run(v, rng)
    mean = total / np.asarray(n_steps // 2, v.dtype)
    if pool:
        mean = mean.mean(axis=0, keepdims=True, acc_dtype=v.dtype)
    return by_parts(rbm.visible, activation_of, mean), rng


#: A small step changes no activation of a hidden unit by more than this, in nats.
SMALL_STEP = 0.35


def largest_step(rbm: RBM, betas: np.ndarray) -> TensorVariable:
    """Build a bound on the change of a hidden activation from one temperature to the next, nats: a number.

    Parameters
    ----------
    rbm : RBM
        Biases have shape (R, n).
    betas : numpy.ndarray, shape (n_temperatures,)

    Returns
    -------
    TensorVariable, shape ()
        Infinite unless all units are binary.
    """
    if not (rbm.visible.is_binary and rbm.hidden.is_binary):
        return pt.as_tensor(np.asarray(np.inf, rbm.W.dtype))
    step = np.asarray(np.diff(betas, prepend=0.0).max(), rbm.W.dtype)
    return step * (pt.abs(rbm.W).sum(axis=0, acc_dtype=rbm.W.dtype) + pt.abs(rbm.b_h)).max()


def _anneal_hidden(
    unit: Unit, x: TensorVariable, low: TensorVariable, high: TensorVariable, *, upwards: bool, small: bool, rng: Rng
) -> tuple[TensorVariable, TensorVariable, Rng]:
    """Sum A(high x) - A(low x) over a layer, (..., n) -> (...), and sample it at the next temperature."""
    here, there = (high, low) if upwards else (low, high)
    if not unit.is_binary:
        gain = (unit.log_partition(high * x) - unit.log_partition(low * x)).sum(axis=-1, acc_dtype=x.dtype)
        h, rng = unit.sample(here * x, rng)
        return gain, h, rng
    # The sample reuses the exponential: P(h = 1) is 1 / (1 + e) or e / (1 + e), depending on the sign of x.
    one, zero = np.asarray(1.0, x.dtype), np.asarray(0.0, x.dtype)
    e = pt.exp(-pt.abs(here * x))
    u, rng = rng.uniform(x)
    h = pt.lt(u * (one + e), pt.switch(pt.gt(x, zero), one, e)).astype(x.dtype)

    def other(part: TensorVariable, e: TensorVariable) -> TensorVariable:
        """The exponential at the other temperature; for small steps e times a short series, exact to a rounding."""
        if not small:
            return pt.exp(-pt.abs(there * part))
        t = (here - there) * pt.abs(part)
        series = one
        for k in range(6, 0, -1):
            series = one + series * (t * np.asarray(1.0 / k, x.dtype))
        return e * series

    # log(1 + exp a) = max(a, 0) + log(1 + exp -|a|). The second terms of several units take one logarithm, of the
    # product of their arguments, which are between 1 and 2.
    n = x.type.shape[-1]
    width = n // _group(n)
    here_product, there_product = one, one
    positive: Any = zero
    for first in range(0, n, width):
        part, e_part = x[..., first : first + width], e[..., first : first + width]
        here_product = here_product * (one + e_part)
        there_product = there_product * (one + other(part, e_part))
        positive = positive + pt.maximum(part, zero)
    ratio = here_product / there_product if upwards else there_product / here_product
    return _row_sum(pt.log(ratio) + (high - low) * positive), h, rng


def _group(n: int) -> int:
    """Number of units of n that share a logarithm: blocks of 8 if possible, and no product above 2**32."""
    return max((g for g in range(1, 33) if n % g == 0), key=lambda g: (n // g % 8 == 0, g))


def _row_sum(x: TensorVariable) -> TensorVariable:
    """Sum over the last axis as a product with ones; XLA on a CPU would add up rows one number at a time."""
    return x @ pt.ones((x.type.shape[-1],), x.dtype)


def annealing_schedule(spacing: str | np.ndarray, n_temperatures: int) -> np.ndarray:
    """Return the inverse temperatures of annealing, above 0 and up to 1.

    Parameters
    ----------
    spacing : {"linear", "quadratic", "geometric", "sigmoid"} or array of shape (n_temperatures,)
        ``"quadratic"``: denser towards 1, where chains mix slowly, ``1 - (1 - x)**2`` for x from 0 to 1;
        ``"geometric"``: each is the same multiple of the previous one, from 1/1000 on; ``"sigmoid"``: denser at both
        ends. An array is a schedule of inverse temperatures that rises strictly from above 0 to 1.
    n_temperatures : int
        At least 2.

    Returns
    -------
    numpy.ndarray, shape (n_temperatures,), float64

    Raises
    ------
    ValueError
        If the schedule is unknown or does not rise from above 0 to 1.
    """
    if isinstance(spacing, str):
        n_temperatures = whole_number("n_temperatures", n_temperatures, 2)
        if spacing == "linear":
            return np.linspace(0.0, 1.0, n_temperatures + 1)[1:]
        if spacing == "quadratic":
            return 1.0 - np.square(np.linspace(1.0, 0.0, n_temperatures + 1)[1:])
        if spacing == "geometric":
            return np.geomspace(1e-3, 1.0, n_temperatures)
        if spacing == "sigmoid":
            s = 1.0 / (1.0 + np.exp(-np.linspace(-4.0, 4.0, n_temperatures + 1)))
            return ((s - s[0]) / (s[-1] - s[0]))[1:]
        raise ValueError(
            f"annealing schedule {spacing!r} is none of linear, quadratic, geometric, sigmoid; or give an array"
        )
    betas = np.asarray(spacing, float)
    if betas.ndim != 1 or betas.size < 2 or not (np.diff(betas, prepend=0.0) > 0).all() or betas[-1] != 1.0:
        raise ValueError(
            f"an annealing schedule must rise strictly from above 0 to exactly 1 in 2 steps or more, got {betas}"
        )
    return betas


class _Annealing:
    """Annealing chains of R RBMs, `n_chains` for each, and the ratio of neighbouring distributions.

    States have shape (R, n_chains, n). Biases have shape (R, 1, n); a copy for each chain would not fit caches.
    """

    def __init__(self, rbm: RBM, base: TensorVariable, n_chains: int, small_steps: bool = False) -> None:
        self.small_steps = small_steps
        self.rbm = map_biases(rbm, lambda b: b[:, None])
        self.base, self.n_chains, self.dtype = base[:, None], n_chains, rbm.W.dtype
        log_Z_base = rbm.visible.log_partition(base).sum(axis=-1, acc_dtype=self.dtype)
        idle = rbm.hidden.log_partition(pt.zeros((rbm.n_hidden,), self.dtype))
        self.log_Z_base = log_Z_base + idle.sum(acc_dtype=self.dtype)

    def expand(self, x: TensorVariable) -> TensorVariable:
        """Repeat for each chain: (R, n) or (R, 1, n) -> (R, n_chains, n)."""
        return pt.repeat(x if x.ndim == 3 else x[:, None], self.n_chains, axis=1)

    def run(
        self, v: TensorVariable, betas: np.ndarray, rng: Rng, *, upwards: bool
    ) -> tuple[TensorVariable, TensorVariable, Rng]:
        """Sum log f_k(v) / f_(k-1)(v) along the chain, shape (R, n_chains), and return its end."""
        rows = self.rbm

        def step(
            high: TensorVariable,
            low: TensorVariable,
            v: TensorVariable,
            log_w: TensorVariable,
            draw: TensorVariable,
            key: TensorVariable,
            a: TensorVariable,
            *tensors: TensorVariable,
        ) -> list[TensorVariable]:
            r = rows.with_tensors(list(tensors))
            own = _row_sum(r.visible.statistic(v) * (r.b_v - a))
            x = r.hidden_activation(v)
            gain, h, rng = _anneal_hidden(
                r.hidden, x, low, high, upwards=upwards, small=self.small_steps, rng=Rng(key, draw)
            )
            v, rng = self.visible(r, a, h, high if upwards else low, rng)
            return [v, log_w + gain + (high - low) * own, rng.draw]

        high = np.asarray(betas, self.dtype)
        low = np.concatenate([np.zeros(1, self.dtype), high[:-1]])
        if not upwards:
            high, low = high[::-1].copy(), low[::-1].copy()
        v, log_w, draw = pytensor.scan(
            step,
            sequences=[pt.as_tensor(high), pt.as_tensor(low)],
            outputs_info=[v, pt.zeros_like(v[..., 0]), rng.draw],
            non_sequences=[rng.key, self.base, *rows.tensors()],
            return_updates=False,
        )
        return log_w[-1], v[-1], rng._replace(draw=draw[-1])

    def upwards(self, betas: np.ndarray, rng: Rng) -> tuple[TensorVariable, TensorVariable, Rng]:
        """Run from the base to the RBM."""
        v, rng = self.rbm.visible.sample(self.expand(self.base), rng)
        return self.run(v, betas, rng, upwards=True)

    def downwards(self, v: TensorVariable, betas: np.ndarray, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Run from data v, shape (R, n_visible), to the base, after one Gibbs step of the RBM."""
        start, rng = self.rbm.gibbs_step(self.expand(v), rng)
        log_w, _, rng = self.run(start, betas, rng, upwards=False)
        return log_w, rng

    def of_list(self, log_w: TensorVariable, v: TensorVariable, states: TensorVariable | None) -> Listed | None:
        """What chains that ended at `v` tell of a list of states."""
        if states is None:
            return None
        # the last axis of the weights is that of the chains, so biases of shape (R, 1, n) become those of R RBMs again
        rbm = map_biases(self.rbm, lambda b: b[:, 0])
        return Listed(partial_log_Z(rbm, states) - self.log_Z_base, log_w, is_listed(v, states))

    @staticmethod
    def visible(
        r: RBM, a: TensorVariable, h: TensorVariable, beta: TensorVariable, rng: Rng
    ) -> tuple[TensorVariable, Rng]:
        """Sample the visible units given the hidden ones at an inverse temperature."""
        # (1 - beta) a + beta (...) would make PyTensor compute the first term for all temperatures before the scan
        return r.visible.sample(a + beta * (r.visible_activation(h) - a), rng)


class Listed(NamedTuple):
    """What chains upwards tell of a list of states, as graphs.

    Attributes
    ----------
    log_sum : TensorVariable, shape (R,), nats
        Log of the exact sum of exp(-F) over the list, relative to Z_base.
    log_weights : TensorVariable, shape (R, m)
        Of chains upwards.
    inside : TensorVariable, shape (R, m), bool
        Whether a chain ended in the list.
    """

    log_sum: TensorVariable
    log_weights: TensorVariable
    inside: TensorVariable


class Annealed(NamedTuple):
    """Results of annealing, as graphs.

    Attributes
    ----------
    log_Z_base : TensorVariable, shape (R,), nats
    log_weights : TensorVariable, shape (R, n_chains)
    rng : Rng
    listed : Listed or None
        None without a list of states.
    """

    log_Z_base: TensorVariable
    log_weights: TensorVariable
    rng: Rng
    listed: Listed | None = None


def is_listed(v: TensorVariable, states: TensorVariable) -> TensorVariable:
    """Build whether each binary row is one of the binary states: (..., n), (S, n) -> (...)."""
    both = v @ states.T
    equal = pt.eq(both, v.sum(axis=-1, keepdims=True)) & pt.eq(both, states.sum(axis=-1))
    return equal.any(axis=-1)


def ais_log_weights(
    rbm: RBM,
    base: TensorVariable,
    betas: np.ndarray,
    n_chains: int,
    rng: Rng,
    exact_states: TensorVariable | None = None,
    small_steps: bool = False,
) -> Annealed:
    """Build annealed importance sampling from independent units to an RBM, for all rows at once.

    Parameters
    ----------
    rbm : RBM
        Biases have shape (R, n).
    base : TensorVariable, shape (R, n_visible)
        Activations a of the base distribution; see :func:`base_activation`.
    betas : numpy.ndarray, shape (n_temperatures,)
        See :func:`annealing_schedule`.
    n_chains : int
        Independent runs for each row.
    rng : Rng
    exact_states : TensorVariable or None, shape (S, n_visible), static
        Distinct states of binary visible units whose terms of Z are summed exactly.
    small_steps : bool
        The :func:`largest_step` is at most :data:`SMALL_STEP`. This saves an exponential for each hidden unit.

    Returns
    -------
    Annealed
        The mean of ``exp(log_weights)`` times Z_base is an unbiased estimate of Z.
    """
    chains = _Annealing(rbm, base, n_chains, small_steps)
    log_w, v, rng = chains.upwards(betas, rng)
    return Annealed(chains.log_Z_base, log_w, rng, chains.of_list(log_w, v, exact_states))


def raise_log_weights(
    rbm: RBM,
    base: TensorVariable,
    v: TensorVariable,
    betas: np.ndarray,
    n_chains: int,
    rng: Rng,
    exact_states: TensorVariable | None = None,
    small_steps: bool = False,
) -> Annealed:
    """Build the reverse annealed estimator RAISE, for all rows at once.

    Parameters are those of :func:`ais_log_weights`, and the data `v`, shape (R, n_visible).

    Returns
    -------
    Annealed
        ``exp(-F(v)) / Z_base`` times the mean of ``exp(-log_weights)`` is an unbiased estimate of the probability that
        annealing with this schedule generates `v`. With `exact_states`, as many chains run upwards too.
    """
    chains = _Annealing(rbm, base, n_chains, small_steps)
    log_w, rng = chains.downwards(v, betas, rng)
    if exact_states is None:
        return Annealed(chains.log_Z_base, log_w, rng)
    log_up, end, rng = chains.upwards(betas, rng)
    return Annealed(chains.log_Z_base, log_w, rng, chains.of_list(log_up, end, exact_states))
