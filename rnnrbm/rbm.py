"""The restricted Boltzmann machine: an energy over visible and hidden units, as a value holding tensors.

    E(v, h) = base_v(v) + base_h(h) - s(v) b_v - s(h) b_h - s(v) W s(h)

with the statistics ``s`` and bases of the unit types (:mod:`rnnrbm.units`; for binary units ``s(x) = x`` and
``base = 0``). Fields may be shared variables or expressions, and biases may have leading axes:
``rbm._replace(b_v=..., b_h=...)`` *is* the conditional RBM, one machine for each row of the biases.

Sources: Smolensky 1986; Hinton, "Training products of experts by minimizing contrastive divergence", 2002.
"""

from __future__ import annotations

import functools
import operator
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng
from rnnrbm.densities import EnergyDensity, check_biases, map_biases
from rnnrbm.units import Bernoulli, Unit

__all__ = ["RBM", "as_rbm", "log_weights"]


class RBM(NamedTuple):
    """Restricted Boltzmann machine.

    Attributes
    ----------
    W : TensorVariable, shape (n_visible, n_hidden)
    b_v : TensorVariable, shape (..., n_visible)
    b_h : TensorVariable, shape (..., n_hidden)
    visible, hidden : Unit
        What the units of each layer are; binary unless said otherwise.
    W_T : TensorVariable or None, shape (n_hidden, n_visible)
        W transposed, as a tensor of its own, if it is there. Chains on single rows go faster with it: a product of a
        matrix with a vector wants the matrix laid out one way for v W and the other way for h W^T, and XLA would copy
        W at every frame.
    """

    W: TensorVariable
    b_v: TensorVariable
    b_h: TensorVariable
    visible: Unit = Bernoulli()
    hidden: Unit = Bernoulli()
    W_T: TensorVariable | None = None

    @classmethod
    def init(
        cls,
        n_visible: int,
        n_hidden: int,
        *,
        rng: np.random.Generator,
        visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
        hidden: Unit = Bernoulli(),  # noqa: B008
        b_v: np.ndarray | float = 0.0,
        scale: float = 0.01,
        dtype: str | None = None,
    ) -> RBM:
        """Make an RBM whose fields are shared variables named after themselves.

        Parameters
        ----------
        n_visible, n_hidden : int
            Sizes, at least 1.
        rng : numpy.random.Generator
        visible, hidden : Unit
        b_v : array of shape (n_visible,) or float
            Initial visible biases; for binary data the log odds of each unit's mean start learning well
            (Hinton, "A practical guide to training RBMs", 2010, section 8.1).
        scale : float
            Standard deviation of the initial weights.
        dtype : str or None
            Type of all tensors; None stands for PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a size is below 1 or `b_v` has another shape.
        TypeError
            If `visible` or `hidden` is no unit.
        """
        if n_visible < 1 or n_hidden < 1:
            raise ValueError(f"n_visible and n_hidden must be at least 1, got {n_visible} and {n_hidden}")
        for name, unit in (("visible", visible), ("hidden", hidden)):
            if not hasattr(unit, "log_partition"):
                raise TypeError(
                    f"{name} is a kind of units, such as Bernoulli(), got {unit!r}; their number is n_{name}"
                )
        biases = check_biases(b_v, n_visible)
        return cls(
            engine.shared(rng.normal(0.0, scale, (n_visible, n_hidden)), "W", dtype),
            engine.shared(biases, "b_v", dtype),
            engine.shared(np.zeros(n_hidden), "b_h", dtype),
            visible,
            hidden,
        )

    @property
    def biases(self) -> tuple[str, ...]:
        return ("b_v", "b_h")

    def tensors(self) -> list[TensorVariable]:
        return [self.W, self.b_v, self.b_h, *([] if self.W_T is None else [self.W_T])]

    def with_tensors(self, tensors: list[TensorVariable]) -> RBM:
        W, b_v, b_h, *W_T = tensors
        return self._replace(W=W, b_v=b_v, b_h=b_h, W_T=W_T[0] if W_T else None)

    def hidden_activation(self, v: TensorVariable) -> TensorVariable:
        """Input of the hidden units: (..., n_visible) -> (..., n_hidden)."""
        return self.visible.statistic(v) @ (self.W if self.W_T is None else self.W_T.T) + self.b_h

    def visible_activation(self, h: TensorVariable) -> TensorVariable:
        """Input of the visible units: (..., n_hidden) -> (..., n_visible)."""
        return self.hidden.statistic(h) @ self.W.T + self.b_v

    def _own_energy(self, unit: Unit, x: TensorVariable, b: TensorVariable) -> TensorVariable:
        energy = -(unit.statistic(x) * b)
        base = unit.base(x)
        return (energy if base is None else energy + base).sum(axis=-1, acc_dtype=self.W.dtype)

    def energy(self, v: TensorVariable, h: TensorVariable) -> TensorVariable:
        """E(v, h) in nats: shapes (..., n_visible) and (..., n_hidden) -> (...)."""
        pair = ((self.visible.statistic(v) @ self.W) * self.hidden.statistic(h)).sum(axis=-1, acc_dtype=self.W.dtype)
        own = self._own_energy(self.visible, v, self.b_v) + self._own_energy(self.hidden, h, self.b_h)
        return own - pair

    def free_energy(self, v: TensorVariable) -> TensorVariable:
        """F(v) = -log of the sum over h of exp(-E(v, h)), nats: (..., n_visible) -> (...)."""
        hidden = self.hidden.log_partition(self.hidden_activation(v)).sum(axis=-1, acc_dtype=self.W.dtype)
        return self._own_energy(self.visible, v, self.b_v) - hidden

    def hidden_free_energy(self, h: TensorVariable) -> TensorVariable:
        """-log of the sum or integral over v of exp(-E(v, h)), nats: (..., n_hidden) -> (...)."""
        visible = self.visible.log_partition(self.visible_activation(h)).sum(axis=-1, acc_dtype=self.W.dtype)
        return self._own_energy(self.hidden, h, self.b_h) - visible

    def gibbs_step(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Sample all hidden units given `v`, then all visible units given those: v -> v'."""
        h, rng = self.hidden.sample(self.hidden_activation(v), rng)
        return self.visible.sample(self.visible_activation(h), rng)

    def pseudo_log_likelihood(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Estimate the log pseudo-likelihood of binary rows from one random unit of each.

        log PL(v) = sum_i log P(v_i | other units), here n_visible * log sigmoid(F(v with unit i flipped) - F(v))
        for one i drawn uniformly for each row: unbiased, at the price of one more free energy. It is a monitor of
        training, not comparable with a log-likelihood.

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
        if not isinstance(self.visible, Bernoulli):
            raise TypeError(f"the pseudo-likelihood by flipping needs binary visible units, not {self.visible}")
        n_visible = self.W.type.shape[0]
        u, rng = rng.uniform(v[:, 0])
        chosen = pt.floor(u * np.float32(n_visible)).astype("int32")
        flip = pt.eq(pt.arange(n_visible, dtype="int32"), chosen[:, None])
        flipped = pt.switch(flip, np.asarray(1.0, v.dtype) - v, v)
        gap = self.free_energy(v) - self.free_energy(flipped)
        return -pt.softplus(gap) * np.asarray(n_visible, v.dtype), rng


def as_rbm(density: Any) -> Any:
    """The RBM that a density is, if its weights have to be written out (``density.rbm``); any other as it is."""
    return getattr(density, "rbm", density)


def log_weights(density: EnergyDensity, states: TensorVariable) -> TensorVariable:
    """Weigh each of some visible states by the density of each row: -F, which has no use for a gradient here.

    Of binary hidden units the sum of log(1 + exp(b + x W)) is taken as logarithms of products of four, and
    exp(b + x W) as a product too: a fraction of the time of :meth:`RBM.free_energy`, where rows and states are many.
    Exact in float32 as long as biases and inputs are each between -40 and 40.

    Parameters
    ----------
    density : EnergyDensity
        With biases of shape (..., n).
    states : TensorVariable, shape (S, n_visible)

    Returns
    -------
    TensorVariable, shape (..., S), nats
    """
    rbm = as_rbm(density)
    if not (isinstance(rbm, RBM) and isinstance(rbm.hidden, Bernoulli)):
        return -map_biases(density, lambda b: pt.expand_dims(b, -2)).free_energy(states)
    dtype = rbm.W.dtype
    x = rbm.visible.statistic(states)
    own = rbm.b_v @ x.T
    base = rbm.visible.base(states)
    own = own if base is None else own - base.sum(axis=-1, acc_dtype=dtype)
    # exp(b + x W) is exp(b) exp(x W): (..., 1, n_hidden) and (S, n_hidden). log(1 + exp(y)) is that of y up to 21, so
    # that a product of four does not overflow, and what y has more
    b, y = pt.expand_dims(rbm.b_h, -2), x @ rbm.W
    widest, limit, one, zero = (np.asarray(number, dtype) for number in (40.0, 21.0, 1.0, 0.0))
    exp_b, exp_y = (pt.exp(pt.clip(part, -widest, widest)) for part in (b, y))
    most = np.asarray(np.exp(21.0), dtype)

    def sum_over(blocks: list[slice]) -> TensorVariable:
        product = functools.reduce(
            operator.mul, [one + pt.minimum(exp_b[..., block] * exp_y[..., block], most) for block in blocks]
        )
        more = functools.reduce(
            operator.add, [pt.maximum((b[..., block] - limit) + y[..., block], zero) for block in blocks]
        )
        return (pt.log(product) + more).sum(axis=-1, acc_dtype=dtype)

    n_hidden = rbm.W.type.shape[1]
    quarter = n_hidden // 4
    for blocks in ([slice(i * quarter, (i + 1) * quarter) for i in range(4)], [slice(4 * quarter, n_hidden)]):
        if blocks[0].stop > blocks[0].start:
            own = own + sum_over(blocks)
    return own
