"""The restricted Boltzmann machine: an energy over visible and hidden units.

    E(v, h) = base_v(v) + base_h(h) - s(v) b_v - s(h) b_h - s(v) W s(h)

with the statistics ``s`` and bases of the unit types (:mod:`rnnrbm.units`; for binary units ``s(x) = x`` and
``base = 0``). Fields may be shared variables or expressions, and biases may have leading axes.
``rbm._replace(b_v=..., b_h=...)`` is the conditional RBM: one RBM for each row of the biases.

Sources: Smolensky 1986; Hinton, "Training products of experts by minimizing contrastive divergence", 2002.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from rnnrbm import model_file
from rnnrbm.arguments import whole_number
from rnnrbm.backend import engine
from rnnrbm.backend.engine import Updates
from rnnrbm.backend.random import Rng, Seed, generator
from rnnrbm.densities import EnergyDensity, check_biases, clamped, visible_biases
from rnnrbm.display import model_html
from rnnrbm.joint_units import unit_index
from rnnrbm.units import Bernoulli, Unit, check_unit, own_energy, unit_tensors, with_unit_tensors

__all__ = [
    "RBM",
    "RBMOptions",
    "cd",
    "check_k",
    "choose_flip",
    "gibbs",
    "mean_activity",
    "mean_of_rows",
    "rate_of_images",
    "sparsity_penalty",
    "statistics_gradient",
]


class RBMOptions(TypedDict, total=False):
    """The options of :meth:`RBM.init`, for functions that pass them on."""

    visible: Unit
    hidden: Unit
    b_v: np.ndarray | float
    scale: float | None
    dtype: str | None


class RBM(NamedTuple):
    """Restricted Boltzmann machine.

    Attributes
    ----------
    W : TensorVariable, shape (n_visible, n_hidden)
    b_v : TensorVariable, shape (..., n_visible)
    b_h : TensorVariable, shape (..., n_hidden)
    visible, hidden : Unit
        Unit types of the two layers; binary by default.
    """

    W: TensorVariable
    b_v: TensorVariable
    b_h: TensorVariable
    visible: Unit = Bernoulli()
    hidden: Unit = Bernoulli()

    @classmethod
    def init(
        cls,
        n_visible: int,
        n_hidden: int,
        *,
        seed: Seed,
        visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
        hidden: Unit = Bernoulli(),  # noqa: B008
        b_v: np.ndarray | float = 0.0,
        scale: float | None = None,
        dtype: str | None = None,
    ) -> RBM:
        """Make an RBM whose fields are shared variables, named after the fields.

        Parameters
        ----------
        n_visible, n_hidden : int
            Sizes, at least 1.
        seed : int or numpy.random.Generator
        visible, hidden : Unit
        b_v : array of shape (n_visible,) or float
            Initial visible biases. For binary data, the log odds of each unit's mean are a good start
            (Hinton, "A practical guide to training RBMs", 2010, section 8.1).
        scale : float, optional
            Standard deviation of the initial weights. By default 0.01; for visible units of real numbers
            1 / sqrt(n_visible + n_hidden) (Liao et al., "Gaussian-Bernoulli RBMs without tears", 2022).
        dtype : str or None
            Type of all tensors; None stands for PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a size is below 1, `b_v` has another shape, or a layer's columns do not divide into its units.
        TypeError
            If `visible` or `hidden` is not a unit type.
        """
        rng = generator(seed)
        n_visible, n_hidden = whole_number("n_visible", n_visible, 1), whole_number("n_hidden", n_hidden, 1)
        for name, unit, n in (("visible", visible, n_visible), ("hidden", hidden, n_hidden)):
            check_unit(name, unit, f"; set their number by n_{name}")
            unit_index(unit, n, where=f"the {name} layer")
        biases = check_biases(b_v, n_visible)
        if scale is None:
            scale = 0.01 if visible.is_discrete else (n_visible + n_hidden) ** -0.5
        return cls(
            engine.shared(rng.normal(0.0, scale, (n_visible, n_hidden)), "W", dtype),
            engine.shared(biases, "b_v", dtype),
            engine.shared(np.zeros(n_hidden), "b_h", dtype),
            visible,
            hidden,
        )

    def save(self, path: model_file.PathName) -> None:
        """Write the RBM to a file, which :func:`rnnrbm.load_model` reads back; see :mod:`rnnrbm.model_file`."""
        model_file.save(path, self)

    def _repr_html_(self) -> str:
        return model_html(self)

    @property
    def biases(self) -> tuple[str, ...]:
        return (*visible_biases(self.visible), "b_h")

    @property
    def n_hidden(self) -> int:
        return self.W.type.shape[1]

    def tensors(self) -> list[TensorVariable]:
        return [self.W, self.b_v, self.b_h, *unit_tensors(self.visible, self.hidden)]

    def with_tensors(self, tensors: list[TensorVariable]) -> RBM:
        W, b_v, b_h, *of_units = tensors
        return RBM(W, b_v, b_h, *with_unit_tensors((self.visible, self.hidden), of_units))

    def hidden_activation(self, v: TensorVariable) -> TensorVariable:
        """Input of the hidden units: (..., n_visible) -> (..., n_hidden)."""
        return self.visible.statistic(v) @ self.W + self.b_h

    def visible_activation(self, h: TensorVariable) -> TensorVariable:
        """Input of the visible units: (..., n_hidden) -> (..., n_visible)."""
        return self.hidden.statistic(h) @ self.W.T + self.b_v

    def at_temperature(self, temperature: float) -> RBM:
        """The RBM of energy E(v, h) / temperature: below 1, probable states become more probable, above 1 less.

        Its P(v) is proportional to the sum over h of exp(-E(v, h) / temperature), which differs from
        P(v) ** (1 / temperature).
        """
        visible, hidden, scales = self.scales_at(temperature)
        W, b_v, b_h = (x * scale for x, scale in zip((self.W, self.b_v, self.b_h), scales, strict=True))
        return RBM(W, b_v, b_h, visible, hidden)

    def scales_at(self, temperature: float) -> tuple[Unit, Unit, tuple[np.ndarray, ...]]:
        """Return the units at a temperature, and the factors of W, b_v and b_h; see :meth:`at_temperature`."""
        visible, by_visible = self.visible.at_temperature(temperature)
        hidden, by_hidden = self.hidden.at_temperature(temperature)
        # by the statistics of the new units; a layer of several unit types has a factor for each column
        pairs = np.reshape(by_visible, (-1, 1)) * by_hidden
        grown = (pairs if pairs.size > 1 else pairs.item(), by_visible, by_hidden)
        return visible, hidden, tuple(np.asarray(1.0 / (temperature * g), self.W.dtype) for g in grown)

    def energy(self, v: TensorVariable, h: TensorVariable) -> TensorVariable:
        """E(v, h) in nats: shapes (..., n_visible) and (..., n_hidden) -> (...)."""
        pair = ((self.visible.statistic(v) @ self.W) * self.hidden.statistic(h)).sum(axis=-1, acc_dtype=self.W.dtype)
        own = own_energy(self.visible, v, self.b_v) + own_energy(self.hidden, h, self.b_h)
        return own - pair

    def free_energy(self, v: TensorVariable) -> TensorVariable:
        """F(v) = -log of the sum or integral over h of exp(-E(v, h)), nats: (..., n_visible) -> (...)."""
        hidden = self.hidden.log_partition(self.hidden_activation(v)).sum(axis=-1, acc_dtype=self.W.dtype)
        return own_energy(self.visible, v, self.b_v) - hidden

    def hidden_free_energy(self, h: TensorVariable) -> TensorVariable:
        """-log of the sum or integral over v of exp(-E(v, h)), nats: (..., n_hidden) -> (...)."""
        visible = self.visible.log_partition(self.visible_activation(h)).sum(axis=-1, acc_dtype=self.W.dtype)
        return own_energy(self.hidden, h, self.b_h) - visible

    def gibbs_step(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Sample all hidden units given `v`, then all visible units given the hidden ones: v -> v'."""
        h, rng = self.hidden.sample(self.hidden_activation(v), rng)
        return self.visible.sample(self.visible_activation(h), rng)

    def hidden_means(self, v: TensorVariable) -> TensorVariable:
        """Mean of each hidden unit given rows: (..., n_visible) -> (..., n_hidden)."""
        return self.hidden.mean(self.hidden_activation(v))

    def pseudo_log_likelihood(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Estimate the log pseudo-likelihood of binary rows from one random unit of each row.

        log PL(v) = sum_i log P(v_i | other units) is estimated by n_visible * log sigmoid(F(v, unit i flipped) - F(v))
        for one i, drawn uniformly for each row. The estimate is unbiased, and its only matrix product is that of F(v),
        which training needs anyway. It monitors training; it is not comparable with a log-likelihood.

        Parameters
        ----------
        v : TensorVariable, shape (R, n_visible), of 0 and 1
        rng : Rng

        Returns
        -------
        TensorVariable, shape (R,), nats
        Rng

        Raises
        ------
        TypeError
            If the visible units are not binary.
        """
        if not self.visible.is_binary:
            raise TypeError(f"the pseudo-likelihood by flipping needs binary visible units, not {self.visible}")
        n_visible = self.W.type.shape[0]
        chosen, one, change, rng = choose_flip(v, n_visible, rng)
        # the flip adds a row of W times `change` to the hidden units' input: no second matrix product
        x = self.hidden_activation(v)
        before = self.hidden.log_partition(x).sum(axis=-1, acc_dtype=v.dtype)
        after = self.hidden.log_partition(x + change[:, None] * self.W[chosen]).sum(axis=-1, acc_dtype=v.dtype)
        gap = change * (one * self.b_v).sum(axis=-1) + after - before
        return -pt.softplus(gap) * np.asarray(n_visible, v.dtype), rng


def choose_flip(
    v: TensorVariable, n_visible: int, rng: Rng
) -> tuple[TensorVariable, TensorVariable, TensorVariable, Rng]:
    """Draw a unit of each binary row (R, n_visible) to flip.

    Returns
    -------
    TensorVariable, shape (R,)
        Its index.
    TensorVariable, shape (R, n_visible)
        1 at the unit, and 0 elsewhere.
    TensorVariable, shape (R,)
        By how much the flip changes it: 1 or -1.
    Rng
    """
    u, rng = rng.uniform(v[:, 0])
    chosen = pt.floor(u * np.float32(n_visible)).astype("int32")
    one = pt.eq(pt.arange(n_visible, dtype="int32"), chosen[:, None]).astype(v.dtype)
    return chosen, one, np.asarray(1.0, v.dtype) - np.asarray(2.0, v.dtype) * (one * v).sum(axis=-1), rng


def statistics_gradient(rbm: RBM, v: TensorVariable, negative: TensorVariable) -> list[TensorVariable]:
    """Return the gradient of ``mean F(v) - mean F(negative)`` in full: negative statistics less those of the data.

    For W these are the means of s(v_i) E[s(h_j) | v], for b_v of s(v_i), and for b_h of E[s(h_j) | v]. PyTensor derives
    the same from the free energy; here it stands in full, to read and to test.

    Parameters
    ----------
    rbm : RBM
        Static: its biases have shape (n,).
    v, negative : TensorVariable, shapes (R, n_visible) and (S, n_visible)
        Data, and states of the model.

    Returns
    -------
    list of TensorVariable
        Gradients with respect to W, b_v and b_h.
    """

    def means(x: TensorVariable) -> list[TensorVariable]:
        h = rbm.hidden.statistic(rbm.hidden.mean(rbm.hidden_activation(x)))  # E[s(h) | v], as every statistic is linear
        s, n = rbm.visible.statistic(x), x.shape[0].astype(x.dtype)
        return [s.T @ h / n, s.mean(axis=0), h.mean(axis=0)]

    return [model - data for data, model in zip(means(v), means(negative), strict=True)]


def mean_activity(rbm: Any, v: TensorVariable, counts: TensorVariable | None = None) -> TensorVariable:
    """Return the mean of each hidden unit given rows of data (R, n_visible): shape (n_hidden,).

    Where hidden units share their weights, it is the mean of all that do. `counts` (R,) is 1 for data and 0 for
    padding; None: all are data.
    """
    return mean_of_rows(rbm.hidden_means(v), counts)


def mean_of_rows(x: TensorVariable, counts: TensorVariable | None = None) -> TensorVariable:
    """Return the mean of rows (R, n) that count: shape (n,); for `counts` see :func:`mean_activity`."""
    if counts is None:
        return x.mean(axis=0)
    weight = counts.astype(x.dtype)
    return (weight[:, None] * x).sum(axis=0) / pt.maximum(weight.sum(), np.asarray(1.0, x.dtype))


def sparsity_penalty(
    rbm: Any, v: TensorVariable, target: float, counts: TensorVariable | None = None
) -> TensorVariable:
    """Return the sum over hidden units of the squared difference of their mean activity from a target.

    Hidden units that share their weights share their mean activity (:func:`mean_activity`).
    (Lee, Ekanadham & Ng, "Sparse deep belief net model for visual area V2", NIPS 2007.)

    Parameters
    ----------
    rbm : RBM or ConvolutionalRBM
    v : TensorVariable, shape (R, n_visible)
        Data.
    target : float
        Wished mean of a hidden unit.
    counts : TensorVariable or None, shape (R,)
        1 for data, 0 for padding; None: all are data.
    """
    mean = mean_activity(rbm, v, counts)
    penalty = pt.sqr(mean - np.asarray(target, mean.dtype)).sum()
    sharing = rbm.n_hidden // mean.type.shape[0]  # hidden units with the same weights
    return penalty * np.asarray(sharing, mean.dtype) if sharing > 1 else penalty


#: Learning rate of images times their pixels, and the greatest learning rate; tried with 64 and 784 pixels.
RATE_OF_A_PIXEL, MOST_RATE = 16.0, 0.05


def rate_of_images(n_visible: int) -> float:
    """Return a good learning rate of an RBM of images, with momentum; see docs/rbm.md.

    The more pixels, the greater is the curvature of the loss in the direction that all of them share.
    """
    return min(RATE_OF_A_PIXEL / n_visible, MOST_RATE)


def check_k(k: int) -> None:
    """Raise ValueError unless `k` is a number of Gibbs steps, at least 1."""
    if k < 1:
        raise ValueError(f"k, the number of Gibbs steps, must be at least 1, got {k}")


def gibbs(
    density: EnergyDensity, v: TensorVariable, rng: Rng, k: int, clamp: TensorVariable | None = None
) -> tuple[TensorVariable, Rng]:
    """Run `k` steps of the density's Markov chain.

    Parameters
    ----------
    density : EnergyDensity
    v : TensorVariable, shape (..., n_visible)
        Where the chains start.
    rng : Rng
    k : int
        Number of steps, at least 1; fixed when the graph is built.
    clamp : TensorVariable or None, shape (..., n_visible)
        Fixed values of units, NaN for free units. The chain then samples the free units given the fixed ones. For an
        RBM the stationary distribution is exactly this conditional, since its visible units are independent given the
        hidden ones.

    Returns
    -------
    v : TensorVariable
        Where the chains end, same shape.
    rng : Rng
    """
    check_k(k)

    n_tensors = len(density.tensors())

    def step(v: TensorVariable, draw: TensorVariable, key: TensorVariable, *rest: TensorVariable) -> list:
        tensors, fixed = list(rest[:n_tensors]), rest[n_tensors:]
        v, inner = density.with_tensors(tensors).gibbs_step(v, Rng(key, draw))
        return [clamped(v, *fixed) if fixed else v, inner.draw]

    v, draw = pytensor.scan(
        step,
        outputs_info=[clamped(v, clamp), rng.draw],
        non_sequences=[rng.key, *density.tensors(), *([] if clamp is None else [clamp])],
        n_steps=k,
        return_updates=False,
    )
    return v[-1], rng._replace(draw=draw[-1])


def cd(density: EnergyDensity, v: TensorVariable, rng: Rng, k: int = 1) -> tuple[TensorVariable, Updates]:
    """Contrastive divergence (Hinton 2002): a negative sample after `k` Gibbs steps from the data.

    The gradient of the log-likelihood is approximately that of ``-(mean F(data) - mean F(negative sample))``, so one
    training step is::

        negative, updates = cd(rbm, v, rng, k=1)
        cost = rbm.free_energy(v).mean() - rbm.free_energy(negative).mean()
        updates |= {p: p - rate * g for p, g in zip(params, pt.grad(cost, params))}

    Parameters
    ----------
    density : EnergyDensity
    v : TensorVariable, shape (..., n_visible)
        Data.
    rng : Rng
    k : int
        Number of Gibbs steps.

    Returns
    -------
    negative : TensorVariable
        Same shape as `v`, held constant for the gradient.
    updates : dict
        Advances the random stream.
    """
    negative, rng = gibbs(density, v, rng, k)
    return disconnected_grad(negative), rng.updates()
