"""Weights shared over pitch: a chord learned in C is known in D.

Every note has a network of its own, and all of these are the same network (:class:`TiedParallel`): it reads the frames
as they look from its note. What it makes of the past writes the biases of its note alone, with the same weights for all
notes, and the frame density is told of other notes by how far away they are (:class:`TiedNADE`, :class:`TiedRBM`).
(Johnson, "Generating polyphonic music using tied parallel networks", EvoMUSART 2017.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm import engine
from rnnrbm.densities import check_biases, clamped
from rnnrbm.nade import log_prob_of_units
from rnnrbm.networks import Clocked, Network, Stack, init_stack, latest, shifted
from rnnrbm.random import Rng
from rnnrbm.rbm import RBM
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import Bernoulli, Unit

__all__ = [
    "Beside",
    "TiedNADE",
    "TiedParallel",
    "TiedRBM",
    "as_rbm",
    "init_beside",
    "init_tied",
    "tied_rnn_nade",
    "tied_rnn_rbm",
]


class TiedParallel(NamedTuple):
    """The same recurrent network for every note, each reading the frames as they look from its note.

    It reads the notes up to `reach` above and below; how many notes are on of each pitch class, counted from its own;
    and which note it is: its pitch class, and roughly how high.

    Attributes
    ----------
    stack : Stack
        The network of one note.
    n_visible : int
        How many notes there are.
    reach : int
    octave : int
        Columns in an octave; 0 if columns have no pitch classes.
    n_beyond : int
        Columns that follow the notes and are no notes: those of a clock.
    """

    stack: Stack
    n_visible: int
    reach: int
    octave: int = 12
    n_beyond: int = 0

    @property
    def u_0(self) -> TensorVariable:
        return pt.tile(self.stack.u_0, self.n_visible)

    @property
    def n_outputs(self) -> int:
        return self.n_visible * self.stack.n_outputs

    @property
    def n_parts(self) -> int:
        return self.n_visible

    @property
    def n_direct(self) -> int:
        return 0

    def tensors(self) -> list[TensorVariable]:
        return self.stack.tensors()

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> TiedParallel:
        return self._replace(stack=self.stack.with_tensors(tensors))

    def seen(self, v: TensorVariable) -> TensorVariable:
        """What each note's network reads: (..., n_visible) -> (..., n_visible, :func:`n_seen`).

        Columns beyond `n_visible` (those of a clock) are read by all.
        """
        n = self.n_visible
        index = np.concatenate(
            [_around(n, self.reach, self.reach), np.tile(np.arange(n, n + self.n_beyond), (n, 1))], axis=1
        )
        return _seen(v, n, index, n + self.n_beyond, self.octave)

    def run(self, v: TensorVariable, start: TensorVariable | None = None) -> TensorVariable:
        n_steps, n_batch = v.type.shape[:2]
        rows = None if n_batch is None else n_batch * self.n_visible
        x = self.seen(v)
        x = x.reshape((-1 if n_steps is None else n_steps, -1 if rows is None else rows, x.type.shape[-1]))
        starts = None if start is None else pt.repeat(start, self.n_visible, axis=1)
        u = self.stack.run(x, starts)
        return u.reshape((*engine.leading(v), self.n_visible * u.type.shape[-1]))

    def step(self, v: TensorVariable, u: TensorVariable) -> TensorVariable:
        return self._flat(self.stack.step(_rows(self.seen(v), 1), _rows(u, self.n_visible)), u)

    def output(self, u: TensorVariable) -> TensorVariable:
        return self._flat(self.stack.output(_rows(u, self.n_visible)), u)

    def _flat(self, x: TensorVariable, like: TensorVariable) -> TensorVariable:
        return x.reshape((*engine.leading(like), self.n_visible * x.type.shape[-1]))


class Beside(NamedTuple):
    """A network, and beside it one number for every note: what its surroundings in the latest frames speak for.

    That is one hidden layer, the same for all notes, which reads the notes around each. Whether a note goes on sounding
    is learned from all notes at once; what is to be known of the whole is left to the network.

    Attributes
    ----------
    network : Network
    W : TensorVariable, shape (what is read of a note, n_local)
    b : TensorVariable, shape (n_local,)
    w : TensorVariable, shape (n_local, 1)
    n_visible, n_frames, reach, octave : int
        Of each of `n_frames` frames a note's layer reads the notes up to `reach` above and below; and the pitch classes
        of the latest, and which note it is, as :class:`TiedParallel` does.
    """

    network: Network
    W: TensorVariable
    b: TensorVariable
    w: TensorVariable
    n_visible: int
    n_frames: int
    reach: int
    octave: int = 12

    @property
    def u_0(self) -> TensorVariable:
        u_0 = self.network.u_0
        return pt.concatenate([u_0, pt.zeros((self.n_frames * self.n_visible,), u_0.dtype)])

    @property
    def n_outputs(self) -> int:
        return self.network.n_outputs + self.n_visible

    @property
    def n_parts(self) -> int:
        return 1

    @property
    def n_direct(self) -> int:
        return self.n_visible

    def tensors(self) -> list[TensorVariable]:
        return [*self.network.tensors(), self.W, self.b, self.w]

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> Beside:
        *others, W, b, w = tensors
        return self._replace(network=self.network.with_tensors(others), W=W, b=b, w=w)

    def run(self, v: TensorVariable, start: TensorVariable | None = None) -> TensorVariable:
        return pt.concatenate([self.network.run(v, start), latest(v, self.n_frames, start)], axis=-1)

    def step(self, v: TensorVariable, u: TensorVariable) -> TensorVariable:
        n = u.type.shape[-1] - self.n_frames * self.n_visible
        return pt.concatenate([self.network.step(v, u[..., :n]), shifted(v, u[..., n:], self.n_visible)], axis=-1)

    def output(self, u: TensorVariable) -> TensorVariable:
        n = u.type.shape[-1] - self.n_frames * self.n_visible
        x = self.seen(u[..., n:])
        local = (pt.tanh(_rows(x, 1) @ self.W + self.b) @ self.w).reshape((*engine.leading(u), self.n_visible))
        return pt.concatenate([self.network.output(u[..., :n]), local], axis=-1)

    def seen(self, frames: TensorVariable) -> TensorVariable:
        """What each note's layer reads: (..., n_frames * n_visible) -> (..., n_visible, n_seen)."""
        n = self.n_visible
        around = _around(n, self.reach, self.reach)
        older = [np.where(around < 0, -1, around + i * n) for i in range(1, self.n_frames)]
        return _seen(frames, n, np.concatenate([around, *older], axis=1), self.n_frames * n, self.octave)


def _rows(x: TensorVariable, n_parts: int) -> TensorVariable:
    """One row for each part of the last axis: (..., n_parts * n) -> (... * n_parts, n)."""
    return x.reshape((-1, x.type.shape[-1] // n_parts))


def _around(n: int, below: int, above: int) -> np.ndarray:
    """Which columns are around each of `n`, -1 beyond the edges: (n, below + 1 + above)."""
    columns = np.arange(n)[:, None] + np.arange(-below, above + 1)
    return np.where((columns >= 0) & (columns < n), columns, -1)


def _looked_up(x: TensorVariable, index: np.ndarray, otherwise: np.ndarray) -> TensorVariable:
    """Columns of (..., n), laid out like `index`, and where that is -1 the numbers of `otherwise`."""
    taken = pt.take(x, np.maximum(index, 0).ravel(), axis=-1)
    taken = taken.reshape((*engine.leading(x), *index.shape))
    return pt.switch(pt.as_tensor(index >= 0), taken, pt.as_tensor(otherwise.astype(x.dtype)))


def _seen(v: TensorVariable, n: int, index: np.ndarray, width: int, octave: int) -> TensorVariable:
    """What is read of each of `n` notes: columns of (..., width), the notes on of each class, which note it is.

    The notes that are counted are the first `n` columns, and a note counts classes from its own.
    """
    fixed = _which_note(n, octave)
    if octave:
        classes = np.arange(n) % octave
        counts = v[..., :n] @ pt.as_tensor(np.eye(octave, dtype=v.dtype)[classes])
        by_class = width + (classes[:, None] + np.arange(octave)) % octave
        v, index = pt.concatenate([v, counts], axis=-1), np.concatenate([index, by_class], axis=1)
    before = index.shape[1]
    index = np.concatenate([index, np.full(fixed.shape, -1)], axis=1)
    return _looked_up(v, index, np.pad(fixed, ((0, 0), (before, 0))))


def _which_note(n: int, octave: int) -> np.ndarray:
    """What tells a note from others: its pitch class, and bumps an octave apart, (n, features)."""
    columns = np.arange(n)
    width = octave or 12
    bumps = np.exp(-0.5 * np.square((columns[:, None] - np.arange(0, n + width, width)) / width))
    return np.concatenate([np.eye(octave)[columns % octave], bumps], axis=1) if octave else bumps


def n_seen(n_visible: int, reach: int, octave: int) -> int:
    """How many numbers each note's network reads of a frame."""
    return 2 * reach + 1 + octave + _which_note(n_visible, octave).shape[1]


def init_beside(
    network: Network,
    n_visible: int,
    n_local: int,
    *,
    rng: np.random.Generator,
    n_frames: int = 8,
    reach: int = 12,
    octave: int = 12,
    dtype: str | None = None,
) -> Beside:
    """Put a hidden layer of `n_local` units for every note beside a network; see :class:`Beside`."""
    if min(n_local, n_frames, reach) < 1:
        raise ValueError(f"n_local, n_frames and reach must be at least 1, got {n_local}, {n_frames} and {reach}")
    n_inputs = n_seen(n_visible, reach, octave) + (n_frames - 1) * (2 * reach + 1)
    return Beside(
        network,
        engine.shared(rng.normal(0.0, n_inputs**-0.5, (n_inputs, n_local)), "W_local", dtype),
        engine.shared(np.zeros(n_local), "b_local", dtype),
        engine.shared(rng.normal(0.0, 0.01, (n_local, 1)), "w_local", dtype),
        n_visible,
        n_frames,
        reach,
        octave,
    )


def init_tied(
    cell: str,
    n_visible: int,
    n_recurrent: int,
    n_layers: int = 1,
    *,
    rng: np.random.Generator,
    reach: int = 24,
    octave: int = 12,
    connections: str = "plain",
    clock: int = 0,
    dtype: str | None = None,
) -> Network:
    """Make a network of one note for all; see :class:`TiedParallel` and :func:`rnnrbm.networks.init_recurrent`."""
    if min(reach - 1, octave, clock) < 0:
        raise ValueError(f"reach must be at least 1, octave and clock at least 0, got {reach}, {octave} and {clock}")
    inputs = n_seen(n_visible, reach, octave) + clock
    stack = init_stack(cell, inputs, n_recurrent, n_layers, rng=rng, connections=connections, dtype=dtype)
    tied = TiedParallel(stack, n_visible, reach, octave, clock)
    return Clocked(tied, clock) if clock else tied


class TiedNADE(NamedTuple):
    """A NADE whose notes, from low to high, are told of those below by how far below they are.

        P(v_i = 1 | v_<i) = sigmoid(b_v_i + V sigmoid(b_h_i + sum over d of v_(i-d) W_d))

    Every note has hidden units and biases of them; weights are the same for all notes.

    Attributes
    ----------
    W : TensorVariable, shape (reach, n_hidden)
        From the note 1, 2 .. `reach` below.
    V : TensorVariable, shape (n_hidden, 1)
    b_v : TensorVariable, shape (..., n_visible)
    b_h : TensorVariable, shape (..., n_visible * n_hidden)
        The hidden units of the lowest note first.
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
        rng: np.random.Generator,
        reach: int | None = None,
        b_v: np.ndarray | float = 0.0,
        scale: float = 0.05,
        dtype: str | None = None,
    ) -> TiedNADE:
        """Make one whose fields are shared variables named after themselves.

        Parameters
        ----------
        n_visible, n_hidden : int
            Sizes, at least 1; `n_hidden` for each note.
        rng : numpy.random.Generator
        reach : int or None
            How far below a note others are heard; None stands for all.
        b_v : array of shape (n_visible,) or float
            Initial visible biases.
        scale : float
            Standard deviation of the initial weights.
        dtype : str or None
            None stands for PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a size is below 1, or `b_v` has another shape.
        """
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

    def log_prob(self, v: TensorVariable, most_on: int | None = None) -> TensorVariable:
        """Exact log-probability of binary rows, nats: (R, n_visible) -> (R,)."""
        n, (reach, n_hidden) = self.b_v.type.shape[-1], self.W.type.shape
        index = _around(n, reach, -1)[:, ::-1]  # the nearest first
        below = _looked_up(v, index, np.zeros(index.shape))
        a = (below.reshape((-1, reach)) @ self.W).reshape((-1, n * n_hidden)) + self.b_h
        logits = (pt.sigmoid(a).reshape((-1, n_hidden)) @ self.V).reshape((-1, n)) + self.b_v
        return log_prob_of_units(v, logits).sum(axis=-1, acc_dtype=self.W.dtype)

    def surrogate(self, v: TensorVariable, rng: Rng, most_on: int | None = None) -> tuple[TensorVariable, Rng]:
        return -self.log_prob(v), rng

    @property
    def fixed_order(self) -> Sequence[int]:
        """From low to high."""
        return range(self.b_v.type.shape[-1])

    def sample(self, like: TensorVariable, rng: Rng, clamp: TensorVariable | None = None) -> tuple[TensorVariable, Rng]:
        """Draw rows exactly, note by note: as many as `like` (..., n_visible) has.

        The notes that `clamp` (n_visible,) has values for must be the lowest.
        """
        n, (reach, n_hidden) = self.b_v.type.shape[-1], self.W.type.shape

        def step(u_i: Any, b_v_i: Any, b_h_i: Any, there: Any, *rest: Any) -> list:
            *given, below, W, V = rest
            logit = (pt.sigmoid((below * there) @ W + b_h_i) @ V)[..., 0] + b_v_i
            x_i = pt.lt(u_i, pt.sigmoid(logit)).astype(below.dtype)
            x_i = clamped(x_i, *given) if given else x_i
            return [pt.concatenate([x_i[..., None], below[..., :-1]], axis=-1), x_i]

        u, rng = rng.uniform(like)
        b_v, b_h = self.b_v, self.b_h.reshape((*engine.leading(self.b_h), n, n_hidden))
        if b_v.ndim < like.ndim:  # one density for all rows
            b_v, b_h = b_v + pt.zeros_like(like), b_h + pt.zeros_like(like[..., None])
        # what the notes below the lowest are to begin with does not matter: they are not there
        there = pt.as_tensor(np.tri(n, reach, -1, dtype=like.dtype))
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
    """A convolutional RBM: hidden units of every note, connected to notes by how far away they are.

    An RBM of n_visible * n_hidden hidden units, whose weights W[j, (i, m)] are ``W[j - i + reach, m]``
    (Lee, Grosse, Ranganath & Ng, "Convolutional deep belief networks", ICML 2009, without the pooling).

    Attributes
    ----------
    W : TensorVariable, shape (2 reach + 1, n_hidden)
        To the notes from `reach` below to `reach` above a hidden unit.
    b_v : TensorVariable, shape (..., n_visible)
    b_h : TensorVariable, shape (..., n_visible * n_hidden)
        The hidden units of the lowest note first.
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
        rng: np.random.Generator,
        reach: int = 24,
        b_v: np.ndarray | float = 0.0,
        scale: float = 0.01,
        dtype: str | None = None,
    ) -> TiedRBM:
        """Make one whose fields are shared variables; the parameters are those of :meth:`TiedNADE.init`."""
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
        """The same machine, its weights written out."""
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


def as_rbm(density: Any) -> Any:
    """The RBM that a density is, if it is one with tied weights; any other density as it is."""
    return density.rbm if isinstance(density, TiedRBM) else density


def tied_rnn_rbm(
    n_visible: int,
    n_hidden: int = 8,
    n_recurrent: int = 48,
    *,
    rng: np.random.Generator,
    cell: str = "gru",
    n_layers: int = 2,
    connections: str = "plain",
    clock: int = 0,
    reach: int = 24,
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
) -> SequenceModel:
    """Make an RNN-RBM whose weights are shared over pitch; the parameters are those of :func:`tied_rnn_nade`."""
    density = TiedRBM.init(n_visible, n_hidden, rng=rng, reach=reach, b_v=b_v, dtype=dtype)
    network = init_tied(
        cell,
        n_visible,
        n_recurrent,
        n_layers,
        rng=rng,
        connections=connections,
        clock=clock,
        reach=reach,
        dtype=dtype,
    )
    return SequenceModel.init(network, density, rng=rng, dtype=dtype)


def tied_rnn_nade(
    n_visible: int,
    n_hidden: int = 48,
    n_recurrent: int = 48,
    *,
    rng: np.random.Generator,
    cell: str = "gru",
    n_layers: int = 2,
    connections: str = "plain",
    clock: int = 0,
    reach: int = 24,
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
) -> SequenceModel:
    """Make an RNN-NADE whose weights are shared over pitch; sizes are those of one note.

    Parameters
    ----------
    reach : int
        How many notes below and above its own a note's network reads.
    n_visible, n_hidden, n_recurrent, rng, cell, n_layers, connections, b_v, dtype
        See :func:`rnnrbm.rnnrbm.rnn_rbm`.
    """
    density = TiedNADE.init(n_visible, n_hidden, rng=rng, b_v=b_v, dtype=dtype)
    network = init_tied(
        cell,
        n_visible,
        n_recurrent,
        n_layers,
        rng=rng,
        connections=connections,
        clock=clock,
        reach=reach,
        dtype=dtype,
    )
    return SequenceModel.init(network, density, rng=rng, dtype=dtype)
