"""NADE, the neural autoregressive distribution estimator: an exact joint distribution of binary units.

Units are sampled in order, each given the units before it:

    p(v) = product over i of p(v_i | v_<i)
    P(v_i = 1 | v_<i) = sigmoid(b_v_i + V_i sigmoid(b_h + sum over j < i of v_j W_j))

(Larochelle & Murray, "The neural autoregressive distribution estimator", AISTATS 2011. If the past sets its biases, it
is the RNN-NADE of Boulanger-Lewandowski et al. 2012.) With :attr:`NADE.U` the hidden units also depend on which units
are observed, and training draws random orders, so one network serves all orders (Uria, Murray & Larochelle, "A deep and
tractable density estimator", ICML 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng, Seed, generator
from rnnrbm.densities import check_biases, clamped
from rnnrbm.models.nade_blocks import BLOCK, inputs_of_blocks
from rnnrbm.units import Bernoulli, Unit

__all__ = ["NADE", "log_prob_of_units"]

#: Above this number of active units, a row is processed by blocks of units.
MOST_SEGMENTS = 32


class NADE(NamedTuple):
    """Neural autoregressive distribution estimator of binary units.

    Attributes
    ----------
    W : TensorVariable, shape (n_visible, n_hidden)
        Weights from observed units to hidden units.
    V : TensorVariable, shape (n_visible, n_hidden)
        Weights from the hidden units to the next unit.
    b_v : TensorVariable, shape (..., n_visible)
    b_h : TensorVariable, shape (..., n_hidden)
    U : TensorVariable or None, shape (n_visible, n_hidden)
        Weights from the mask of observed units to the hidden units, for training on random orders.
    order : tuple of int or None
        Columns in the order of sampling; None means 0, 1, 2 ...
    """

    W: TensorVariable
    V: TensorVariable
    b_v: TensorVariable
    b_h: TensorVariable
    U: TensorVariable | None = None
    order: tuple[int, ...] | None = None

    @classmethod
    def init(
        cls,
        n_visible: int,
        n_hidden: int,
        *,
        seed: Seed,
        b_v: np.ndarray | float = 0.0,
        orderless: bool = False,
        order: Sequence[int] | None = None,
        scale: float = 0.05,
        dtype: str | None = None,
    ) -> NADE:
        """Make a NADE whose fields are shared variables, named after the fields.

        Parameters
        ----------
        n_visible, n_hidden : int
            Sizes, at least 1.
        seed : int or numpy.random.Generator
        b_v : array of shape (n_visible,) or float
            Initial visible biases: log odds of each unit's mean are a good start.
        orderless : bool
            Train on random orders; `order` is then used for scoring and sampling.
        order : sequence of int or None
            A permutation of the columns.
        scale : float
            Standard deviation of the initial weights.
        dtype : str or None
            None: PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a size is below 1, `b_v` has another shape, or `order` is not a permutation.
        """
        rng = generator(seed)
        biases = check_biases(b_v, n_visible)
        if n_hidden < 1:
            raise ValueError(f"n_hidden must be at least 1, got {n_hidden}")
        if order is not None and sorted(order) != list(range(n_visible)):
            raise ValueError(f"order must hold each of 0 to {n_visible - 1} once, got {tuple(order)}")

        def weights(name: str) -> Any:
            return engine.shared(rng.normal(0.0, scale, (n_visible, n_hidden)), name, dtype)

        return cls(
            weights("W"),
            weights("V"),
            engine.shared(biases, "b_v", dtype),
            engine.shared(np.zeros(n_hidden), "b_h", dtype),
            weights("U") if orderless else None,
            None if order is None else tuple(int(i) for i in order),
        )

    @property
    def visible(self) -> Unit:
        return Bernoulli()

    @property
    def biases(self) -> tuple[str, ...]:
        return ("b_v", "b_h")

    def tensors(self) -> list[TensorVariable]:
        return [self.W, self.V, self.b_v, self.b_h, *([] if self.U is None else [self.U])]

    def with_tensors(self, tensors: list[TensorVariable]) -> NADE:
        W, V, b_v, b_h, *U = tensors
        return self._replace(W=W, V=V, b_v=b_v, b_h=b_h, U=U[0] if U else None)

    def _ordered(self, x: TensorVariable, axis: int) -> TensorVariable:
        """Reorder values of visible units along an axis, in the order of sampling."""
        return x if self.order is None else pt.take(x, np.array(self.order), axis=axis)

    def _weights(self) -> list[TensorVariable]:
        """W, V and, if it is not None, U, one row for each unit in the order of sampling."""
        return [self._ordered(t, 0) for t in (self.W, self.V, *([] if self.U is None else [self.U]))]

    def log_prob(self, v: TensorVariable, max_active: int | None = None) -> TensorVariable:
        """Exact log-probability of binary rows, nats: (R, n_visible) -> (R,).

        Parameters
        ----------
        v : TensorVariable, shape (R, n_visible)
        max_active : int or None
            Greatest number of active units in a row. The hidden units change only after an active unit, so rows with
            few take a few matrix products instead of a loop over all units. A row with more gets NaN.
        """
        n = self.W.type.shape[0]
        x, b_v = self._ordered(v, -1), self._ordered(self.b_v, -1)
        if self.U is None and max_active is not None and max_active < min(n, MOST_SEGMENTS):
            inputs = self._by_segments(x, max_active)
        else:
            inputs = self._block_by_block(x)
        return log_prob_of_units(x, inputs + b_v).sum(axis=-1, acc_dtype=self.W.dtype)

    def _by_segments(self, x: TensorVariable, max_active: int) -> TensorVariable:
        """Inputs of all units, without biases: one matrix product for each number of active units before."""
        dtype, (n, n_hidden) = self.W.dtype, self.W.type.shape
        W, V = self._weights()
        # a product with ones and zeros; XLA would add up each row one number at a time
        n_before = x @ pt.as_tensor(np.triu(np.ones((n, n), dtype), 1))
        numbers = np.arange(max_active + 1, dtype=dtype)[:, None, None]
        first = x * pt.lt(n_before, numbers).astype(dtype)  # (S, R, n): the first s active units of each row
        a = (first.reshape((-1, n)) @ W).reshape((max_active + 1, -1, n_hidden)) + self.b_h
        inputs = (pt.sigmoid(a).reshape((-1, n_hidden)) @ V.T).reshape((max_active + 1, -1, n))
        chosen = (inputs * pt.eq(n_before, numbers).astype(dtype)).sum(axis=0, acc_dtype=dtype)
        too_many = pt.gt(x.sum(axis=-1, keepdims=True, acc_dtype=dtype), np.asarray(max_active, dtype))
        return pt.switch(too_many, np.asarray(np.nan, dtype), chosen)

    def _block_by_block(self, x: TensorVariable) -> TensorVariable:
        """Inputs of all units, without biases: a loop over blocks of units."""
        W, V, *U = self._weights()
        n, n_hidden = self.W.type.shape
        n_blocks = -(-n // BLOCK)

        def blocks(t: TensorVariable) -> TensorVariable:
            """Divide (n, m) into (n_blocks, BLOCK, m); units of zeros fill up the last block."""
            full = pt.zeros((n_blocks * BLOCK - n, t.shape[1]), t.dtype)
            width = t.type.shape[1]
            return pt.concatenate([t, full], axis=0).reshape((n_blocks, BLOCK, -1 if width is None else width))

        # what the masks of observed units add before each unit is the same for all rows
        before = [blocks(pt.cumsum(pt.concatenate([pt.zeros((1, n_hidden), u.dtype), u[:-1]]), axis=0)) for u in U]
        inputs = inputs_of_blocks(blocks(x.T), blocks(W), blocks(V), self._start(x), *before)
        return inputs.reshape((n_blocks * BLOCK, -1 if x.type.shape[0] is None else x.type.shape[0]))[:n].T

    def _start(self, rows: TensorVariable) -> TensorVariable:
        """Inputs of the hidden units before the first unit: (..., n_visible) -> (..., n_hidden)."""
        return self.b_h + pt.zeros_like(rows[..., :1])

    @staticmethod
    def _observe(a: TensorVariable, x_i: TensorVariable, W_i: TensorVariable, *U_i: TensorVariable) -> TensorVariable:
        """Inputs of the hidden units after one more unit."""
        a = a + x_i[..., None] * W_i
        return a + U_i[0] if U_i else a

    def surrogate(self, v: TensorVariable, rng: Rng, max_active: int | None = None) -> tuple[TensorVariable, Rng]:
        """Training objective of each row: -log p or, with random orders, an unbiased estimate of its mean.

        Each unit is observed or a target, with probabilities t and 1 - t for a t drawn for the row. So the number of
        observed units is uniform, as in a random order. The loss of the targets is multiplied by (n + 1) / (number of
        targets); it is 0 without targets.
        """
        if self.U is None:
            return -self.log_prob(v, max_active), rng
        n, one = self.W.type.shape[0], np.asarray(1.0, self.W.dtype)
        t, rng = rng.uniform(v[:, :1])
        u, rng = rng.uniform(v)
        observed = pt.lt(u, t).astype(self.W.dtype)
        h = pt.sigmoid(self.b_h + (v * observed) @ self.W + observed @ self.U)
        target = one - observed
        loss = -(log_prob_of_units(v, h @ self.V.T + self.b_v) * target).sum(axis=-1, acc_dtype=self.W.dtype)
        number = pt.maximum(target.sum(axis=-1, acc_dtype=self.W.dtype), one)
        return loss * np.asarray(n + 1, self.W.dtype) / number, rng

    def at_temperature(self, temperature: float) -> NADE:
        """Divide the log odds of each unit, given those before it, by a temperature."""
        scale = np.asarray(1.0 / temperature, self.W.dtype)
        return self._replace(V=self.V * scale, b_v=self.b_v * scale)

    @property
    def fixed_order(self) -> Sequence[int] | None:
        """The order of sampling, if training used only this order."""
        if self.U is not None:
            return None
        return range(self.W.type.shape[0]) if self.order is None else self.order

    def sample(self, like: TensorVariable, rng: Rng, clamp: TensorVariable | None = None) -> tuple[TensorVariable, Rng]:
        """Sample rows exactly, unit by unit: as many as `like` (..., n_visible) has.

        With random orders, the units with values in `clamp` (n_visible,) come first. With a fixed order they must be
        the first in that order.
        """

        def step(u_i: Any, b_i: Any, W_i: Any, V_i: Any, *rest: Any) -> list:
            given, U_i, a = rest[: len(fixed)], rest[len(fixed) : -1], rest[-1]
            x_i = pt.lt(u_i, pt.sigmoid(pt.sigmoid(a) @ V_i + b_i)).astype(a.dtype)
            x_i = clamped(x_i, *given) if given else x_i
            observed = self._observe(a, x_i, W_i, *U_i)
            # with random orders the clamped units are observed from the start
            return [pt.switch(pt.isnan(given[0]), observed, a) if given and U_i else observed, x_i]

        u, rng = rng.uniform(like)
        b_v = self._ordered(self.b_v + pt.zeros_like(like), -1)
        columns = [pt.moveaxis(t, -1, 0) for t in (self._ordered(u, -1), b_v)]
        W, V, *U = self._weights()
        fixed, a = [] if clamp is None else [self._ordered(clamp, -1)], self._start(like)
        if fixed and U:
            free = pt.isnan(fixed[0])
            a = a + pt.switch(free, np.asarray(0, a.dtype), fixed[0]) @ W + (1 - free.astype(a.dtype)) @ U[0]
        _, x = pytensor.scan(step, sequences=[*columns, W, V, *fixed, *U], outputs_info=[a, None], return_updates=False)
        x = pt.moveaxis(x, 0, -1)
        return (x if self.order is None else pt.take(x, np.argsort(self.order), axis=-1)), rng


def log_prob_of_units(x: TensorVariable, logits: TensorVariable) -> TensorVariable:
    """Log-probability of independent binary units with given log odds."""
    return x * logits - pt.softplus(logits)
