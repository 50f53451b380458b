"""What a model is worth: log-likelihoods of held-out sequences.

Each frame's log-probability is ``log p(v(t) | past) = -F(v(t)) - log Z(t)``, with one partition function for
every frame, since every frame has an RBM of its own. ``log Z(t)`` is computed

* exactly, by enumerating the states of the smaller layer (:func:`exact_log_Z`), for small machines;
* by annealed importance sampling (:func:`ais_log_weights`; Neal 2001; Salakhutdinov & Murray, ICML 2008) from a
  base distribution of independent units fitted to each frame.

AIS is unbiased for Z, so it tends to understate log Z and to overstate the log-likelihood, by about half the
variance of log Z; the standard error, the effective sample size and the settings come with every figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm import devices, engine, random
from rnnrbm.cells import states
from rnnrbm.random import Rng
from rnnrbm.rbm import RBM
from rnnrbm.rnnrbm import RNNRBM
from rnnrbm.units import Bernoulli, Unit

__all__ = [
    "Evaluator",
    "LogLikelihood",
    "ais_log_weights",
    "base_activation",
    "exact_log_Z",
    "log_likelihood",
]

MAX_ENUMERATED = 25


def exact_log_Z(rbm: RBM) -> TensorVariable:
    """Build the exact log partition function by enumerating one layer.

    Parameters
    ----------
    rbm : RBM
        With biases of shape (n,) or (R, n). The smaller layer that is binary is enumerated; the other may be
        of any unit type.

    Returns
    -------
    TensorVariable, shape () or (R,), nats

    Raises
    ------
    ValueError
        If no binary layer has at most 25 units.
    """
    sizes = {"visible": rbm.W.type.shape[0], "hidden": rbm.W.type.shape[1]}
    binary = {name: sizes[name] for name in sizes if isinstance(getattr(rbm, name), Bernoulli)}
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
    rows = rbm._replace(b_v=pt.expand_dims(rbm.b_v, -2), b_h=pt.expand_dims(rbm.b_h, -2))
    energy_of = "free_energy" if layer == "visible" else "hidden_free_energy"

    def step(high: TensorVariable, total: TensorVariable, *tensors: TensorVariable) -> TensorVariable:
        fixed = pt.broadcast_to(high, (2**n_block, n - n_block))
        x = pt.concatenate([pt.as_tensor(block), fixed], axis=1)
        log_sum = pt.logsumexp(-getattr(rows.with_tensors(list(tensors)), energy_of)(x), axis=-1)
        return pt.logaddexp(total, log_sum.astype(total.dtype))

    start = pt.full_like((rbm.b_v.sum(axis=-1) + rbm.b_h.sum(axis=-1)).astype(rbm.W.dtype), -np.inf)
    totals = pytensor.scan(
        step,
        sequences=[pt.as_tensor(np.array(rest, rbm.W.dtype))],
        outputs_info=[start],
        non_sequences=rows.tensors(),
        return_updates=False,
    )
    return totals[-1]


def base_activation(rbm: RBM, v: TensorVariable, rng: Rng, n_steps: int = 30) -> tuple[TensorVariable, Rng]:
    """Fit independent visible units to each conditional RBM, as the base distribution of AIS.

    A short Gibbs chain runs from `v`, and the means of the visible units given the hidden ones are averaged over
    its second half. Any base gives an unbiased estimate of Z; one near the target gives a precise one.

    Parameters
    ----------
    rbm : RBM
        With biases of shape (R, n).
    v : TensorVariable, shape (R, n_visible)
        Where the chains start, for example data.
    rng : Rng
    n_steps : int
        Length of the chain.

    Returns
    -------
    TensorVariable, shape (R, n_visible)
        Activations (for binary units, log odds).
    Rng
    """
    binary = isinstance(rbm.visible, Bernoulli)

    def step(
        v: TensorVariable, total: TensorVariable, draw: TensorVariable, key: TensorVariable, *tensors: Any
    ) -> list[TensorVariable]:
        r = rbm.with_tensors(list(tensors))
        h, inner = r.hidden.sample(r.hidden_activation(v), Rng(key, draw))
        activation = r.visible_activation(h)
        v, inner = r.visible.sample(activation, inner)
        return [v, total + (r.visible.mean(activation) if binary else activation), inner.draw]

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
    if not binary:
        return mean, rng
    # shrunk towards 1/2 by a hundredth, so that no unit is all but ruled out by the base
    mean = mean * np.asarray(0.98, v.dtype) + np.asarray(0.01, v.dtype)
    return pt.log(mean / (np.asarray(1.0, v.dtype) - mean)), rng


def _gain(unit: Unit, x: TensorVariable, before: TensorVariable, beta: TensorVariable) -> TensorVariable:
    """Sum over a layer of A(beta x) - A(before x): (R, n) -> (R,)."""
    if not isinstance(unit, Bernoulli):
        return (unit.log_partition(beta * x) - unit.log_partition(before * x)).sum(axis=-1, acc_dtype=x.dtype)
    # With log(1 + exp x) = max(x, 0) + log(1 + exp -|x|), the logarithms of 8 units are taken at once, of the
    # product of their arguments, each between 1 and 2: half the time of AIS went into them.
    n = x.type.shape[-1]
    group = next(g for g in (8, 4, 2, 1) if n % g == 0)
    one, size = np.asarray(1.0, x.dtype), -pt.abs(x)
    factors = [(one + pt.exp(b * size)).reshape((-1, group, n // group)) for b in (beta, before)]
    above, below = factors[0][:, 0], factors[1][:, 0]
    for i in range(1, group):
        above, below = above * factors[0][:, i], below * factors[1][:, i]
    positive = pt.maximum(x, np.asarray(0.0, x.dtype)).sum(axis=-1, acc_dtype=x.dtype)
    return (beta - before) * positive + pt.log(above / below).sum(axis=-1, acc_dtype=x.dtype)


def ais_log_weights(
    rbm: RBM, base: TensorVariable, betas: TensorVariable, n_chains: int, rng: Rng
) -> tuple[TensorVariable, TensorVariable, Rng]:
    """Build annealed importance sampling from independent units to an RBM, for every row at once.

    The path is p_beta(v) ~ exp(s(v) [(1 - beta) a + beta b_v] - base(v)) prod_j exp A_h(beta (s(v) W + b_h)_j),
    so beta = 0 is the base with activations a, whose partition function is known, and beta = 1 is the RBM.

    Parameters
    ----------
    rbm : RBM
        With biases of shape (R, n).
    base : TensorVariable, shape (R, n_visible)
        Activations a of the base distribution; see :func:`base_activation`.
    betas : TensorVariable, shape (n_temperatures,)
        Inverse temperatures after 0, rising to 1.
    n_chains : int
        Independent runs for each row.
    rng : Rng

    Returns
    -------
    log_Z_base : TensorVariable, shape (R,), nats
    log_weights : TensorVariable, shape (R, n_chains)
        The mean of ``exp(log_weights)`` times Z_base is an unbiased estimate of Z.
    Rng
    """
    n_hidden = rbm.W.type.shape[1]
    dtype = rbm.W.dtype

    def expand(x: TensorVariable) -> TensorVariable:
        return pt.repeat(x, n_chains, axis=0)

    rows = rbm._replace(b_v=expand(rbm.b_v), b_h=expand(rbm.b_h))
    a = expand(base)
    v, rng = rbm.visible.sample(a, rng)

    def step(
        beta: TensorVariable,
        before: TensorVariable,
        v: TensorVariable,
        log_w: TensorVariable,
        draw: TensorVariable,
        key: TensorVariable,
        a: TensorVariable,
        *tensors: TensorVariable,
    ) -> list[TensorVariable]:
        r = rows.with_tensors(list(tensors))
        x = r.hidden_activation(v)
        gain = _gain(r.hidden, x, before, beta)
        own = (r.visible.statistic(v) * (r.b_v - a)).sum(axis=-1, acc_dtype=dtype)
        log_w = log_w + gain + (beta - before) * own
        h, inner = r.hidden.sample(beta * x, Rng(key, draw))
        # not (1 - beta) a + beta (...): PyTensor would compute the first term for all temperatures ahead of the scan
        v, inner = r.visible.sample(a + beta * (r.visible_activation(h) - a), inner)
        return [v, log_w, inner.draw]

    betas = betas.astype(dtype)
    _, log_w, draw = pytensor.scan(
        step,
        sequences=[betas, pt.concatenate([pt.zeros((1,), dtype), betas[:-1]])],
        outputs_info=[v, pt.zeros_like(v[:, 0]), rng.draw],
        non_sequences=[rng.key, a, *rows.tensors()],
        return_updates=False,
    )
    log_Z_base = rbm.visible.log_partition(base).sum(axis=-1, acc_dtype=dtype)
    idle = rbm.hidden.log_partition(pt.zeros((n_hidden,), dtype)).sum(acc_dtype=dtype)
    return log_Z_base + idle, log_w[-1].reshape((-1, n_chains)), rng._replace(draw=draw[-1])


@dataclass(frozen=True)
class LogLikelihood:
    """Log-likelihoods of pieces, and how they were obtained.

    Attributes
    ----------
    frames : list of numpy.ndarray, each (T,)
        log p(v(t) | v(1) .. v(t-1)) of every frame, nats.
    variances : list of numpy.ndarray, each (T,)
        Variance of each of these from the sampling of Z, nats squared; zero if exact.
    effective_sample_size : numpy.ndarray, shape (frames,)
        Of the AIS weights of each frame, between 1 and the number of chains.
    settings : str
        The method in words, for tables.
    """

    frames: list[np.ndarray]
    variances: list[np.ndarray]
    effective_sample_size: np.ndarray
    settings: str

    @property
    def mean(self) -> float:
        """Mean over all frames, nats per frame: the published protocol."""
        return float(np.concatenate(self.frames).mean())

    @property
    def per_piece(self) -> np.ndarray:
        """Log-likelihood of each piece, nats."""
        return np.array([x.sum() for x in self.frames])

    @property
    def standard_error(self) -> float:
        """Standard error of :attr:`mean` from the sampling of Z (not from the choice of pieces), nats per frame."""
        variances = np.concatenate(self.variances)
        return float(np.sqrt(variances.sum()) / variances.size)

    def __str__(self) -> str:
        return f"{self.mean:.3f} +- {self.standard_error:.3f} nats per frame ({self.settings})"


class Evaluator:
    """A compiled likelihood, to be called again and again while its model learns.

    Parameters
    ----------
    model : RNNRBM
    method : {"ais", "exact"}
    n_chains, n_temperatures : int
        Of AIS.
    rows : int
        Chains (frames x runs) worked on at a time: bounds memory, and fits caches.
    mode : str or None
        See :func:`rnnrbm.engine.function`.

    Raises
    ------
    ValueError
        If a setting is impossible, or the model too large to be enumerated.
    """

    def __init__(
        self,
        model: RNNRBM,
        *,
        method: str = "ais",
        n_chains: int = 20,
        n_temperatures: int = 500,
        rows: int = 2048,
        mode: Any = None,
    ) -> None:
        if method not in ("ais", "exact"):
            raise ValueError(f"method {method!r} is neither 'ais' nor 'exact'")
        if n_chains < 2 or n_temperatures < 2:
            raise ValueError(f"AIS needs 2 chains and 2 temperatures at least, got {n_chains}, {n_temperatures}")
        self.n_visible = model.rbm.W.type.shape[0]
        n_recurrent = model.cell.u_0.type.shape[0]
        dtype = model.rbm.W.dtype
        self.settings = "exact" if method == "exact" else f"AIS, {n_chains} chains x {n_temperatures} temperatures"
        self.chunk = 64 if method == "exact" else max(1, rows // n_chains)
        self.mode = mode
        self._model, self._variables = model, engine.shared_inputs(model.params)
        self._states: dict[tuple[int, int], Any] = {}

        u = pt.tensor("u", dtype=dtype, shape=(self.chunk, n_recurrent))
        v = pt.tensor("v", dtype=dtype, shape=(self.chunk, self.n_visible))
        self._rng = random.shared(0)
        rbm, rng = model.conditional(u), self._rng
        if method == "exact":
            log_Z, variance, size = exact_log_Z(rbm), pt.zeros_like(v[:, 0]), pt.ones_like(v[:, 0])
        else:
            base, rng = base_activation(rbm, v, rng)
            betas = pt.as_tensor(np.linspace(0.0, 1.0, n_temperatures + 1)[1:].astype(dtype))
            log_Z_base, log_w, rng = ais_log_weights(rbm, base, betas, n_chains, rng)
            top = log_w.max(axis=1, keepdims=True)
            w = pt.exp(log_w - top)
            mean = w.mean(axis=1, acc_dtype=dtype)
            log_Z = log_Z_base + top[:, 0] + pt.log(mean)
            spread = pt.sqr(w - mean[:, None]).sum(axis=1, acc_dtype=dtype)
            # delta method: var log Z = var(w) / (n mean(w)^2)
            variance = spread / (pt.sqr(mean) * np.asarray(n_chains * (n_chains - 1), dtype))
            size = pt.sqr(w.sum(axis=1, acc_dtype=dtype)) / pt.sqr(w).sum(axis=1, acc_dtype=dtype)
        outputs = [-rbm.free_energy(v) - log_Z, variance, size]
        self._score = engine.function(
            [u, v], outputs, rng.updates() if method == "ais" else {}, mode=mode, trust_input=True
        )
        self._spread = devices.Spread(self.chunk, mode)

    def _run_states(self, batch: np.ndarray) -> np.ndarray:
        """u(t-1) of every frame of padded sequences (T, B, n_visible), batch first: (B, T, n_recurrent)."""
        shape = batch.shape[:2]
        if shape not in self._states:
            v = pt.tensor("v", dtype=batch.dtype.name, shape=batch.shape)
            compute = engine.function([v], states(self._model.cell, v), mode=self.mode, trust_input=True)
            self._states[shape] = compute, devices.Spread(shape[1], self.mode)
        compute, spread = self._states[shape]
        spread.everywhere(self._variables)
        return engine.to_numpy(compute(spread.rows(batch, axis=1))).swapaxes(0, 1)

    def states(self, pieces: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return u(t-1) of every frame of every piece: arrays (T, n_recurrent).

        Pieces of similar length run together, padded to a few fixed lengths, so that few programs are compiled.
        """
        dtype = self._model.rbm.W.dtype
        result: list[np.ndarray] = [np.empty(0)] * len(pieces)
        order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
        while order:
            length = 64
            while length < len(pieces[order[0]]):
                length *= 2
            size = max(1, 4096 // length)
            group = [i for i in order[:size] if len(pieces[i]) <= length]
            order = order[len(group) :]
            batch = np.zeros((length, size, self.n_visible), dtype)
            for column, i in enumerate(group):
                batch[: len(pieces[i]), column] = pieces[i]
            u = self._run_states(batch)
            for column, i in enumerate(group):
                result[i] = u[column, : len(pieces[i])].copy()
        return result

    def __call__(
        self,
        pieces: Sequence[np.ndarray],
        *,
        seed: int = 0,
        frames: int | None = None,
        progress: Callable[[int, int], Any] | None = None,
    ) -> LogLikelihood:
        """Score pieces.

        Parameters
        ----------
        pieces : sequence of arrays (T, n_visible)
            Every frame counts, the first included; each with its true history.
        seed : int
            Of the sampling.
        frames : int or None
            Score that many frames, drawn without replacement, and leave the others out of the result: a cheaper
            estimate of the mean. None scores all.
        progress : callable or None
            Called with (frames done, frames in all).

        Raises
        ------
        ValueError
            If there are no pieces, one has no frame or another width than the model.
        """
        if len(pieces) == 0:
            raise ValueError("there are no pieces to score; give at least one array (T, n_visible)")
        for i, piece in enumerate(pieces):
            if piece.ndim != 2 or piece.shape[1] != self.n_visible or len(piece) == 0:
                raise ValueError(
                    f"piece {i} has shape {piece.shape}, expected (T, {self.n_visible}) with T of 1 or more: "
                    f"the model was made for {self.n_visible} visible units"
                )
        if frames is not None and frames < 1:
            raise ValueError(f"frames must be at least 1, or None for all, got {frames}")
        lengths = [len(p) for p in pieces]
        n = sum(lengths)
        chosen = np.arange(n)
        if frames is not None and frames < n:
            chosen = np.sort(np.random.default_rng(seed).choice(n, frames, replace=False))
        u, v = np.concatenate(self.states(pieces))[chosen], np.concatenate(pieces)[chosen]
        v = v.astype(u.dtype)
        self._rng.key.set_value(random.key_from_seed(seed))
        self._rng.draw.set_value(np.uint32(0))
        self._spread.everywhere([*self._variables, self._rng.key, self._rng.draw])
        out = np.empty((3, len(chosen)))
        for first in range(0, len(chosen), self.chunk):
            rows = np.arange(first, min(first + self.chunk, len(chosen)))
            padded = np.resize(rows, self.chunk)  # the last chunk is filled up by repetition
            inputs = (self._spread.rows(x[padded]) for x in (u, v))
            out[:, rows] = [engine.to_numpy(x)[: len(rows)] for x in self._score(*inputs)]
            if progress is not None:
                progress(int(rows[-1]) + 1, len(chosen))
        piece_of = np.repeat(np.arange(len(pieces)), lengths)[chosen]
        parts = [np.flatnonzero(piece_of == i) for i in range(len(pieces))]
        return LogLikelihood([out[0, p] for p in parts], [out[1, p] for p in parts], out[2], self.settings)


def log_likelihood(
    model: RNNRBM,
    pieces: Sequence[np.ndarray],
    *,
    method: str = "ais",
    n_chains: int = 100,
    n_temperatures: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], Any] | None = None,
    mode: Any = None,
) -> LogLikelihood:
    """Log-likelihood of pieces under a model, every frame given its true past.

    Parameters
    ----------
    model : RNNRBM
    pieces : sequence of arrays (T, n_visible), or one such array
    method : {"ais", "exact"}
    n_chains, n_temperatures : int
        Of AIS; the defaults are those of the published figures.
    seed : int
        Of the sampling.
    progress : callable or None
        Called with (frames done, frames in all).
    mode : str or None
        See :func:`rnnrbm.engine.function`.

    Returns
    -------
    LogLikelihood
        ``.mean`` in nats per frame, ``.standard_error``, ``.per_piece``, ``.frames``.
    """
    if isinstance(pieces, np.ndarray) and pieces.ndim == 2:
        pieces = [pieces]
    evaluate = Evaluator(model, method=method, n_chains=n_chains, n_temperatures=n_temperatures, mode=mode)
    return evaluate(pieces, seed=seed, progress=progress)
