"""Networks that read the frames relative to each note, with the same weights for all notes.

:class:`TiedParallel` is one recurrent network for every note; :class:`PitchConv` adds one hidden layer for every note
to a network that reads whole frames. The input of a note consists of the notes around it, the number of active notes of
each pitch class relative to its own, and features of its pitch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.random import Seed, generator
from rnnrbm.networks import MetricalPosition, Network, Stack, Traits, init_stack, push_frame, recent_frames

__all__ = ["PitchConv", "TiedOptions", "TiedParallel", "around", "init_pitch_conv", "init_tied", "looked_up", "n_seen"]


class TiedParallel(NamedTuple):
    """The same recurrent network for every note; each reads the frames relative to its note.

    Its input consists of the notes up to `reach` above and below, the number of active notes of each pitch class
    relative to its own, its own pitch class and its approximate pitch.

    Attributes
    ----------
    stack : Stack
        The network of one note.
    n_visible : int
        Number of notes.
    reach : int
    octave : int
        Columns in an octave; 0 if columns have no pitch classes.
    n_beyond : int
        Columns after the notes that are not notes, such as a clock.
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
    def traits(self) -> Traits:
        return Traits(n_parts=self.n_visible)

    def tensors(self) -> list[TensorVariable]:
        return self.stack.tensors()

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> TiedParallel:
        return self._replace(stack=self.stack.with_tensors(tensors))

    def seen(self, v: TensorVariable) -> TensorVariable:
        """Input of each note's network: (..., n_visible) -> (..., n_visible, :func:`n_seen`).

        All notes read the columns beyond `n_visible`, such as those of a clock.
        """
        n = self.n_visible
        index = np.concatenate(
            [around(n, self.reach, self.reach), np.tile(np.arange(n, n + self.n_beyond), (n, 1))], axis=1
        )
        return _seen(v, n, index, n + self.n_beyond, self.octave)

    def run(
        self, v: TensorVariable, start: TensorVariable | None = None, u_0: TensorVariable | None = None
    ) -> TensorVariable:
        n_steps, n_batch = v.type.shape[:2]
        rows = None if n_batch is None else n_batch * self.n_visible
        x = self.seen(v)
        x = x.reshape((-1 if n_steps is None else n_steps, -1 if rows is None else rows, x.type.shape[-1]))
        starts = None if start is None else pt.repeat(start, self.n_visible, axis=1)
        begin = None if u_0 is None else pt.specify_shape(_rows(u_0, self.n_visible), (rows, None))
        u = self.stack.run(x, starts, begin)
        return u.reshape((*engine.leading(v), self.n_visible * u.type.shape[-1]))

    def step(self, v: TensorVariable, u: TensorVariable) -> TensorVariable:
        return self._flat(self.stack.step(_rows(self.seen(v), 1), _rows(u, self.n_visible)), u)

    def output(self, u: TensorVariable) -> TensorVariable:
        return self._flat(self.stack.output(_rows(u, self.n_visible)), u)

    def _flat(self, x: TensorVariable, like: TensorVariable) -> TensorVariable:
        return x.reshape((*engine.leading(like), self.n_visible * x.type.shape[-1]))


class PitchConv(NamedTuple):
    """A network, and one more output for every note, from the notes around it in the latest frames.

    The added output comes from one hidden layer with the same weights for all notes. It learns from all notes at once
    whether a note continues; the network models the frame as a whole.

    Attributes
    ----------
    network : Network
    W : TensorVariable, shape (inputs of a note, n_pitch_conv)
    b : TensorVariable, shape (n_pitch_conv,)
    w : TensorVariable, shape (n_pitch_conv, 1)
    n_visible, n_frames, reach, octave : int
        A note's layer reads the notes up to `reach` above and below in each of `n_frames` frames, and the pitch classes
        of the latest frame and the features of its pitch, as :class:`TiedParallel` does.
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
    def traits(self) -> Traits:
        return Traits(n_direct=self.n_visible, period=self.network.traits.period)

    def tensors(self) -> list[TensorVariable]:
        return [*self.network.tensors(), self.W, self.b, self.w]

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> PitchConv:
        *others, W, b, w = tensors
        return self._replace(network=self.network.with_tensors(others), W=W, b=b, w=w)

    def run(
        self, v: TensorVariable, start: TensorVariable | None = None, u_0: TensorVariable | None = None
    ) -> TensorVariable:
        n = self.network.u_0.type.shape[0]
        begin, before = (None, None) if u_0 is None else (u_0[:, :n], u_0[:, n:])
        recent = recent_frames(v, self.n_frames, start, before)
        return pt.concatenate([self.network.run(v, start, begin), recent], axis=-1)

    def step(self, v: TensorVariable, u: TensorVariable) -> TensorVariable:
        n = u.type.shape[-1] - self.n_frames * self.n_visible
        return pt.concatenate([self.network.step(v, u[..., :n]), push_frame(v, u[..., n:], self.n_visible)], axis=-1)

    def output(self, u: TensorVariable) -> TensorVariable:
        n = u.type.shape[-1] - self.n_frames * self.n_visible
        x = self.seen(u[..., n:])
        local = (pt.tanh(_rows(x, 1) @ self.W + self.b) @ self.w).reshape((*engine.leading(u), self.n_visible))
        return pt.concatenate([self.network.output(u[..., :n]), local], axis=-1)

    def seen(self, frames: TensorVariable) -> TensorVariable:
        """Input of each note's layer: (..., n_frames * n_visible) -> (..., n_visible, n_seen)."""
        n = self.n_visible
        last = around(n, self.reach, self.reach)
        older = [np.where(last < 0, -1, last + i * n) for i in range(1, self.n_frames)]
        return _seen(frames, n, np.concatenate([last, *older], axis=1), self.n_frames * n, self.octave)


def _rows(x: TensorVariable, n_parts: int) -> TensorVariable:
    """One row for each part of the last axis: (..., n_parts * n) -> (... * n_parts, n)."""
    return x.reshape((-1, x.type.shape[-1] // n_parts))


def around(n: int, below: int, above: int) -> np.ndarray:
    """Columns around each of `n` columns, -1 beyond the edges: (n, below + 1 + above)."""
    columns = np.arange(n)[:, None] + np.arange(-below, above + 1)
    return np.where((columns >= 0) & (columns < n), columns, -1)


def looked_up(x: TensorVariable, index: np.ndarray, otherwise: np.ndarray) -> TensorVariable:
    """Gather columns of (..., n) by `index`; where it is -1, take the numbers of `otherwise`."""
    taken = pt.take(x, np.maximum(index, 0).ravel(), axis=-1)
    taken = taken.reshape((*engine.leading(x), *index.shape))
    return pt.switch(pt.as_tensor(index >= 0), taken, pt.as_tensor(otherwise.astype(x.dtype)))


def _seen(v: TensorVariable, n: int, index: np.ndarray, width: int, octave: int) -> TensorVariable:
    """Input of each of `n` notes: columns of (..., width), the number of active notes of each class, pitch features.

    The first `n` columns are the notes to count; each note counts classes relative to its own.
    """
    fixed = _which_note(n, octave)
    if octave:
        classes = np.arange(n) % octave
        counts = v[..., :n] @ pt.as_tensor(np.eye(octave, dtype=v.dtype)[classes])
        by_class = width + (classes[:, None] + np.arange(octave)) % octave
        v, index = pt.concatenate([v, counts], axis=-1), np.concatenate([index, by_class], axis=1)
    before = index.shape[1]
    index = np.concatenate([index, np.full(fixed.shape, -1)], axis=1)
    return looked_up(v, index, np.pad(fixed, ((0, 0), (before, 0))))


def _which_note(n: int, octave: int) -> np.ndarray:
    """Features of a note's pitch: its pitch class, and bumps an octave apart, (n, features)."""
    columns = np.arange(n)
    width = octave or 12
    bumps = np.exp(-0.5 * np.square((columns[:, None] - np.arange(0, n + width, width)) / width))
    return np.concatenate([np.eye(octave)[columns % octave], bumps], axis=1) if octave else bumps


def n_seen(n_visible: int, reach: int, octave: int) -> int:
    """Number of inputs of each note's network for a frame."""
    return 2 * reach + 1 + octave + _which_note(n_visible, octave).shape[1]


def init_pitch_conv(
    network: Network,
    n_visible: int,
    n_pitch_conv: int,
    *,
    seed: Seed,
    n_frames: int = 8,
    reach: int = 12,
    octave: int = 12,
    dtype: str | None = None,
) -> PitchConv:
    """Add a hidden layer of `n_pitch_conv` units for every note to a network; see :class:`PitchConv`."""
    rng = generator(seed)
    if min(n_pitch_conv, n_frames, reach) < 1:
        raise ValueError(
            f"n_pitch_conv, n_frames and reach must be at least 1, got {n_pitch_conv}, {n_frames} and {reach}"
        )
    n_inputs = n_seen(n_visible, reach, octave) + (n_frames - 1) * (2 * reach + 1)
    return PitchConv(
        network,
        engine.shared(rng.normal(0.0, n_inputs**-0.5, (n_inputs, n_pitch_conv)), "W_local", dtype),
        engine.shared(np.zeros(n_pitch_conv), "b_local", dtype),
        engine.shared(rng.normal(0.0, 0.01, (n_pitch_conv, 1)), "w_local", dtype),
        n_visible,
        n_frames,
        reach,
        octave,
    )


class TiedOptions(TypedDict, total=False):
    """The options of `init_tied`, for functions that pass them on."""

    cell: str
    n_layers: int
    connections: str
    frames_per_bar: int


def init_tied(
    n_visible: int,
    n_recurrent: int = 48,
    *,
    seed: Seed,
    cell: str = "gru",
    n_layers: int = 2,
    connections: str = "plain",
    frames_per_bar: int = 0,
    reach: int = 24,
    octave: int = 12,
    dtype: str | None = None,
) -> Network:
    """Make the same network for every note; see :class:`TiedParallel` and :func:`rnnrbm.networks.init_stack`."""
    rng = generator(seed)
    if min(reach - 1, octave, frames_per_bar) < 0:
        raise ValueError(
            f"reach must be at least 1, octave and frames_per_bar at least 0, got {reach}, {octave} and "
            f"{frames_per_bar}"
        )
    inputs = n_seen(n_visible, reach, octave) + frames_per_bar
    stack = init_stack(cell, inputs, n_recurrent, n_layers, seed=rng, connections=connections, dtype=dtype)
    tied = TiedParallel(stack, n_visible, reach, octave, frames_per_bar)
    return MetricalPosition(tied, frames_per_bar) if frames_per_bar else tied
