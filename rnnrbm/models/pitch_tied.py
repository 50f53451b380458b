"""Models with weights shared over pitch: a chord learned in C also counts in D.

Every note has the same network (:class:`rnnrbm.pitch.TiedParallel`). Its output sets only the biases of its own note,
with the same weights for all notes, and in the frame density other notes act by their distance (:class:`TiedNADE`,
:class:`TiedRBM`). (Johnson, "Generating polyphonic music using tied parallel networks", EvoMUSART 2017.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng, Seed, generator
from rnnrbm.densities import check_biases, clamped
from rnnrbm.models.nade import log_prob_of_units
from rnnrbm.pitch import TiedOptions, around, init_tied, looked_up
from rnnrbm.rbm import RBM
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import Bernoulli, Unit

__all__ = ["TiedNADE", "TiedRBM", "tied_rnn_nade", "tied_rnn_rbm"]


class TiedNADE(NamedTuple):
    """A NADE of notes from low to high, in which notes below act by their distance.

        P(v_i = 1 | v_<i) = sigmoid(b_v_i + V sigmoid(b_h_i + sum over d of v_(i-d) W_d))

    Every note has its own hidden units and biases; weights are the same for all notes.

    Attributes
    ----------
    W : TensorVariable, shape (reach, n_hidden)
        Weights from the notes 1, 2 .. `reach` below.
    V : TensorVariable, shape (n_hidden, 1)
    b_v : TensorVariable, shape (..., n_visible)
    b_h : TensorVariable, shape (..., n_visible * n_hidden)
        Lowest note first.
    """

    W: TensorVariable
    V: TensorVariable
    b_v: TensorVariable
    b_h: TensorVariable

    @classmethod
    def init(
        cls,
        n_visible: int,
        n_hidden: int,
        *,
        seed: Seed,
        reach: int | None = None,
        b_v: np.ndarray | float = 0.0,
        scale: float = 0.05,
        dtype: str | None = None,
    ) -> TiedNADE:
        """Make one whose fields are shared variables, named after the fields.

        Parameters
        ----------
        n_visible, n_hidden : int
            Sizes, at least 1; `n_hidden` for each note.
        seed : int or numpy.random.Generator
        reach : int or None
            Largest distance of notes below that have an effect; None: no limit.
        b_v : array of shape (n_visible,) or float
            Initial visible biases.
        scale : float
            Standard deviation of the initial weights.
        dtype : str or None
            None: PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a size is below 1, or `b_v` has another shape.
        """
        rng = generator(seed)
        biases = check_biases(b_v, n_visible)
        reach = max(1, n_visible - 1) if reach is None else reach
        if min(n_hidden, reach) < 1:
            raise ValueError(f"n_hidden and reach must be at least 1, got {n_hidden} and {reach}")
        return cls(
            engine.shared(rng.normal(0.0, scale, (reach, n_hidden)), "W", dtype),
            engine.shared(rng.normal(0.0, scale, (n_hidden, 1)), "V", dtype),
            engine.shared(biases, "b_v", dtype),
            engine.shared(np.zeros(n_visible * n_hidden), "b_h", dtype),
        )

    @property
    def visible(self) -> Unit:
        return Bernoulli()

    @property
    def biases(self) -> tuple[str, ...]:
        return ("b_v", "b_h")

    def tensors(self) -> list[TensorVariable]:
        return [self.W, self.V, self.b_v, self.b_h]

    def with_tensors(self, tensors: list[TensorVariable]) -> TiedNADE:
        return TiedNADE(*tensors)

    def log_prob(self, v: TensorVariable, max_active: int | None = None) -> TensorVariable:
        """Exact log-probability of binary rows, nats: (R, n_visible) -> (R,)."""
        n, (reach, n_hidden) = self.b_v.type.shape[-1], self.W.type.shape
        index = around(n, reach, -1)[:, ::-1]  # the nearest first
        below = looked_up(v, index, np.zeros(index.shape))
        a = (below.reshape((-1, reach)) @ self.W).reshape((-1, n * n_hidden)) + self.b_h
        logits = (pt.sigmoid(a).reshape((-1, n_hidden)) @ self.V).reshape((-1, n)) + self.b_v
        return log_prob_of_units(v, logits).sum(axis=-1, acc_dtype=self.W.dtype)

    def surrogate(self, v: TensorVariable, rng: Rng, max_active: int | None = None) -> tuple[TensorVariable, Rng]:
        return -self.log_prob(v), rng

    def at_temperature(self, temperature: float) -> TiedNADE:
        """Divide the log odds of each note, given those below it, by a temperature."""
        scale = np.asarray(1.0 / temperature, self.W.dtype)
        return self._replace(V=self.V * scale, b_v=self.b_v * scale)

    @property
    def fixed_order(self) -> Sequence[int]:
        """Notes from low to high."""
        return range(self.b_v.type.shape[-1])

    def sample(self, like: TensorVariable, rng: Rng, clamp: TensorVariable | None = None) -> tuple[TensorVariable, Rng]:
        """Sample rows exactly, note by note: as many as `like` (..., n_visible) has.

        The notes with values in `clamp` (n_visible,) must be the lowest.
        """
        n, (reach, n_hidden) = self.b_v.type.shape[-1], self.W.type.shape

        def step(u_i: Any, b_v_i: Any, b_h_i: Any, there: Any, *rest: Any) -> list:
            *given, below, W, V = rest
            logit = (pt.sigmoid(pt.switch(there, below, nothing) @ W + b_h_i) @ V)[..., 0] + b_v_i
            x_i = pt.lt(u_i, pt.sigmoid(logit)).astype(below.dtype)
            x_i = clamped(x_i, *given) if given else x_i
            return [pt.concatenate([x_i[..., None], below[..., :-1]], axis=-1), x_i]

        u, rng = rng.uniform(like)
        b_v, b_h = self.b_v, self.b_h.reshape((*engine.leading(self.b_h), n, n_hidden))
        if b_v.ndim < like.ndim:  # one density for all rows
            b_v, b_h = b_v + pt.zeros_like(like), b_h + pt.zeros_like(like[..., None])
        # initial values of notes below the lowest one have no effect, since `there` masks them
        there, nothing = pt.as_tensor(np.tri(n, reach, -1, dtype=bool)), np.asarray(0, like.dtype)
        by_note = [pt.moveaxis(t, axis, 0) for t, axis in ((u, -1), (b_v, -1), (b_h, -2))]
        _, x = pytensor.scan(
            step,
            sequences=[*by_note, there, *([] if clamp is None else [clamp])],
            outputs_info=[pt.take(like, np.arange(reach) % n, axis=-1), None],
            non_sequences=[self.W, self.V],
            return_updates=False,
        )
        return pt.moveaxis(x, 0, -1), rng


class TiedRBM(NamedTuple):
    """A convolutional RBM: hidden units for every note, connected to notes by their distance.

    An RBM of n_visible * n_hidden hidden units, whose weights W[j, (i, m)] are ``W[j - i + reach, m]``
    (Lee, Grosse, Ranganath & Ng, "Convolutional deep belief networks", ICML 2009, without the pooling).

    Attributes
    ----------
    W : TensorVariable, shape (2 reach + 1, n_hidden)
        Weights to the notes from `reach` below to `reach` above a hidden unit.
    b_v : TensorVariable, shape (..., n_visible)
    b_h : TensorVariable, shape (..., n_visible * n_hidden)
        Lowest note first.
    """

    W: TensorVariable
    b_v: TensorVariable
    b_h: TensorVariable

    @classmethod
    def init(
        cls,
        n_visible: int,
        n_hidden: int,
        *,
        seed: Seed,
        reach: int = 24,
        b_v: np.ndarray | float = 0.0,
        scale: float = 0.01,
        dtype: str | None = None,
    ) -> TiedRBM:
        """Make one whose fields are shared variables; for parameters see :meth:`TiedNADE.init`."""
        rng = generator(seed)
        biases = check_biases(b_v, n_visible)
        if min(n_hidden, reach) < 1:
            raise ValueError(f"n_hidden and reach must be at least 1, got {n_hidden} and {reach}")
        return cls(
            engine.shared(rng.normal(0.0, scale, (2 * reach + 1, n_hidden)), "W", dtype),
            engine.shared(biases, "b_v", dtype),
            engine.shared(np.zeros(n_visible * n_hidden), "b_h", dtype),
        )

    @property
    def visible(self) -> Unit:
        return Bernoulli()

    @property
    def biases(self) -> tuple[str, ...]:
        return ("b_v", "b_h")

    def tensors(self) -> list[TensorVariable]:
        return [self.W, self.b_v, self.b_h]

    def with_tensors(self, tensors: list[TensorVariable]) -> TiedRBM:
        return TiedRBM(*tensors)

    @property
    def rbm(self) -> RBM:
        """The same RBM with explicit weights."""
        n, (size, n_hidden) = self.b_v.type.shape[-1], self.W.type.shape
        away = np.arange(n)[:, None] - np.arange(n) + size // 2
        within = (away >= 0) & (away < size)
        none_last = pt.concatenate([self.W, pt.zeros((1, n_hidden), self.W.dtype)], axis=0)
        W = none_last[np.where(within, away, size).ravel()].reshape((n, n * n_hidden))
        return RBM(W, self.b_v, self.b_h)

    def free_energy(self, v: TensorVariable) -> TensorVariable:
        return self.rbm.free_energy(v)

    def gibbs_step(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        return self.rbm.gibbs_step(v, rng)

    def pseudo_log_likelihood(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        return self.rbm.pseudo_log_likelihood(v, rng)

    def at_temperature(self, temperature: float) -> TiedRBM:
        """The RBM of energy E(v, h) / temperature; see :meth:`rnnrbm.rbm.RBM.at_temperature`."""
        _, _, scales = self.rbm.scales_at(temperature)
        return TiedRBM(*(x * scale for x, scale in zip(self.tensors(), scales, strict=True)))


def tied_rnn_rbm(
    n_visible: int,
    n_hidden: int = 8,
    n_recurrent: int = 48,
    *,
    seed: Seed,
    reach: int = 24,
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
    **network: Unpack[TiedOptions],
) -> SequenceModel:
    """Make an RNN-RBM with weights shared over pitch; for parameters see :func:`tied_rnn_nade`."""
    rng = generator(seed)
    density = TiedRBM.init(n_visible, n_hidden, seed=rng, reach=reach, b_v=b_v, dtype=dtype)
    reader = init_tied(n_visible, n_recurrent, seed=rng, reach=reach, dtype=dtype, **network)
    return SequenceModel.init(reader, density, seed=rng, dtype=dtype)


def tied_rnn_nade(
    n_visible: int,
    n_hidden: int = 48,
    n_recurrent: int = 48,
    *,
    seed: Seed,
    reach: int = 24,
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
    **network: Unpack[TiedOptions],
) -> SequenceModel:
    """Make an RNN-NADE with weights shared over pitch; sizes are those of one note.

    Parameters
    ----------
    n_visible, n_hidden, n_recurrent, seed, b_v, dtype
        See :func:`rnnrbm.rnnrbm.rnn_rbm`.
    reach : int
        Number of notes below and above its own that a note's network reads.
    **network
        Options of :func:`rnnrbm.pitch.init_tied`.
    """
    rng = generator(seed)
    density = TiedNADE.init(n_visible, n_hidden, seed=rng, b_v=b_v, dtype=dtype)
    reader = init_tied(n_visible, n_recurrent, seed=rng, reach=reach, dtype=dtype, **network)
    return SequenceModel.init(reader, density, seed=rng, dtype=dtype)
