"""Networks: they read the past of a sequence.

A network has a state, which each frame updates, and an output. The output is a function of the state alone, and the
frame density depends on the past only through it. Networks are layers of recurrent cells (:class:`Stack`), a window of
past frames (:class:`Window`), or no memory at all (:class:`Memoryless`), for models of independent frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.random import Seed, generator
from rnnrbm.cells import Cell, blocks, init_cell, n_outputs, output
from rnnrbm.recurrence import flatten, initial_state, shift, unroll

__all__ = [
    "CONNECTIONS",
    "Memoryless",
    "MetricalPosition",
    "Network",
    "Stack",
    "Traits",
    "Window",
    "final_state",
    "init_stack",
    "init_window",
    "outputs_before",
    "shifted_outputs",
]

CONNECTIONS = ("plain", "residual", "skip")


class Traits(NamedTuple):
    """Properties of a network besides its shapes. The defaults suit most networks.

    Attributes
    ----------
    n_parts : int
        Number of equal parts of the output; each sets its part of the biases, all with the same weights.
    n_direct : int
        Number of the last outputs that belong to one visible unit each: dropout skips them, and initially each of the
        last `n_visible` of them is added to the bias of its unit.
    period : int
        Period of its clock, in frames; 1 without a clock. Pieces may be cut only at multiples of it.
    """

    n_parts: int = 1
    n_direct: int = 0
    period: int = 1


@runtime_checkable
class Network(Protocol):
    """Interface of a network. States have shape (..., n_state)."""

    @property
    def u_0(self) -> TensorVariable:
        """Initial state, shape (n_state,)."""

    @property
    def n_outputs(self) -> int:
        """Size of the output; 0 if frames are independent of the past."""

    @property
    def traits(self) -> Traits:
        """Further properties of the network."""

    def tensors(self) -> list[TensorVariable]:
        """All parameters, in a fixed order."""

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> Self:
        """A copy of the network with other tensors; the inverse of :meth:`tensors`."""

    def run(
        self, v: TensorVariable, start: TensorVariable | None = None, u_0: TensorVariable | None = None
    ) -> TensorVariable:
        """States after each frame, (T, B, n_visible) -> (T, B, n_state).

        For `start` and `u_0`, states (B, n_state) in which pieces begin, see :func:`rnnrbm.recurrence.unroll`.
        """

    def step(self, v: TensorVariable, u: TensorVariable) -> TensorVariable:
        """State after a frame: (..., n_visible), (..., n_state) -> (..., n_state)."""

    def output(self, u: TensorVariable) -> TensorVariable:
        """Input of the frame density: (..., n_state) -> (..., n_outputs)."""


class Stack(NamedTuple):
    """Layers of recurrent cells.

    Attributes
    ----------
    layers : tuple of Cell
        The first layer reads the frames, each other layer the one below.
    connections : {"plain", "residual", "skip"}
        ``"residual"``: from the second layer on, a layer's output is added to its input. ``"skip"``: each layer reads
        the frames too, and the output joins all layers (Graves 2013).
    """

    layers: tuple[Cell, ...]
    connections: str = "plain"

    @property
    def u_0(self) -> TensorVariable:
        return _joined([layer.u_0 for layer in self.layers])

    @property
    def n_outputs(self) -> int:
        sizes = [n_outputs(layer) for layer in self.layers]
        return sum(sizes) if self.connections == "skip" else sizes[-1]

    @property
    def traits(self) -> Traits:
        return Traits()

    def tensors(self) -> list[TensorVariable]:
        return [t for layer in self.layers for t in layer.tensors()]

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> Stack:
        left, layers = list(tensors), []
        for layer in self.layers:
            n = len(layer.tensors())
            layers.append(layer.with_tensors(left[:n]))
            left = left[n:]
        return Stack(tuple(layers), self.connections)

    def _split(self, u: TensorVariable) -> list[TensorVariable]:
        """States of each layer."""
        if len(self.layers) == 1:
            return [u]
        ends = np.cumsum([layer.u_0.type.shape[0] for layer in self.layers])
        return [u[..., end - layer.u_0.type.shape[0] : end] for end, layer in zip(ends, self.layers, strict=True)]

    def _reads(self, i: int, v: TensorVariable, below: TensorVariable | None) -> TensorVariable:
        if below is None:
            return v
        return _joined([v, below]) if self.connections == "skip" else below

    def _passed(self, below: TensorVariable | None, h: TensorVariable) -> TensorVariable:
        return h if below is None or self.connections != "residual" else below + h

    def run(
        self, v: TensorVariable, start: TensorVariable | None = None, u_0: TensorVariable | None = None
    ) -> TensorVariable:
        below, states = None, []
        begin = [None] * len(self.layers) if u_0 is None else self._split(u_0)
        for i, layer in enumerate(self.layers):
            states.append(unroll(layer, self._reads(i, v, below), start, begin[i]))
            below = self._passed(below, output(layer, states[-1]))
        return _joined(states)

    def step(self, v: TensorVariable, u: TensorVariable) -> TensorVariable:
        below, states = None, []
        for i, (layer, u_i) in enumerate(zip(self.layers, self._split(u), strict=True)):
            x, y = layer.project(self._reads(i, v, below)), output(layer, u_i) @ layer.W_uu
            n = n_outputs(layer)
            states.append(layer.step(blocks(x, n), blocks(y, n), u_i))
            below = self._passed(below, output(layer, states[-1]))
        return _joined(states)

    def output(self, u: TensorVariable) -> TensorVariable:
        outputs = [output(layer, u_i) for layer, u_i in zip(self.layers, self._split(u), strict=True)]
        if self.connections == "skip":
            return _joined(outputs)
        top = outputs[-1]
        for h in outputs[:-1] if self.connections == "residual" else []:
            top = top + h
        return top


class Window(NamedTuple):
    """One hidden layer over the latest frames: tanh(window W_vu + b_u). Frames before the first are silent.

    Attributes
    ----------
    W_vu : TensorVariable, shape (n_frames * n_visible, n_hidden)
        The latest frame first.
    b_u : TensorVariable, shape (n_hidden,)
    n_frames : int
    """

    W_vu: TensorVariable
    b_u: TensorVariable
    n_frames: int

    @property
    def u_0(self) -> TensorVariable:
        return pt.zeros((self.W_vu.type.shape[0],), self.W_vu.dtype)

    @property
    def n_outputs(self) -> int:
        return self.W_vu.type.shape[1]

    @property
    def traits(self) -> Traits:
        return Traits()

    def tensors(self) -> list[TensorVariable]:
        return [self.W_vu, self.b_u]

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> Window:
        W_vu, b_u = tensors
        return Window(W_vu, b_u, self.n_frames)

    def run(
        self, v: TensorVariable, start: TensorVariable | None = None, u_0: TensorVariable | None = None
    ) -> TensorVariable:
        return recent_frames(v, self.n_frames, start, u_0)

    def step(self, v: TensorVariable, u: TensorVariable) -> TensorVariable:
        return push_frame(v, u, self.W_vu.type.shape[0] // self.n_frames)

    def output(self, u: TensorVariable) -> TensorVariable:
        return pt.tanh(u @ self.W_vu + self.b_u)


def recent_frames(
    v: TensorVariable, n_frames: int, start: TensorVariable | None = None, before: TensorVariable | None = None
) -> TensorVariable:
    """Each frame and the frames before it in its piece, latest first: (T, B, n) -> (T, B, n_frames * n).

    What is `before` a piece is (B, n_frames * n), or silent.
    """
    frames, n = [v], v.type.shape[2]
    for i in range(n_frames - 1):
        older = pt.zeros_like(v[0]) if before is None else before[:, i * n : (i + 1) * n]
        frames.append(shift(frames[-1], older, start))
    return _joined(frames)


def push_frame(v: TensorVariable, frames: TensorVariable, n: int) -> TensorVariable:
    """Put a frame (..., n) before the latest frames (..., n_frames * n), and drop the oldest."""
    return pt.concatenate([v, frames[..., :-n]], axis=-1) if frames.type.shape[-1] > n else v


class Memoryless(NamedTuple):
    """No past: each frame is independent of all others.

    Attributes
    ----------
    dtype : str
        Type of its empty states.
    """

    dtype: str

    @property
    def u_0(self) -> TensorVariable:
        return pt.zeros((0,), self.dtype)

    @property
    def n_outputs(self) -> int:
        return 0

    @property
    def traits(self) -> Traits:
        return Traits()

    def tensors(self) -> list[TensorVariable]:
        return []

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> Memoryless:
        return self

    def run(
        self, v: TensorVariable, start: TensorVariable | None = None, u_0: TensorVariable | None = None
    ) -> TensorVariable:
        return v[..., :0]

    def step(self, v: TensorVariable, u: TensorVariable) -> TensorVariable:
        return u

    def output(self, u: TensorVariable) -> TensorVariable:
        return u


class MetricalPosition(NamedTuple):
    """A network that also reads the position of the next frame in the bar.

    Its state holds a clock: frames since the beginning of the piece, modulo `period`. So all pieces must begin at the
    same position in the bar, and the clock of an initial state is not read.

    Attributes
    ----------
    network : Network
        Reads frames with `period` more columns: a one-hot code of the next frame's position.
    period : int
        Frames in a bar, or in any other unit of time to count.
    """

    network: Network
    period: int

    @property
    def u_0(self) -> TensorVariable:
        u_0 = self.network.u_0
        return pt.concatenate([pt.zeros((1,), u_0.dtype), u_0])

    @property
    def n_outputs(self) -> int:
        return self.network.n_outputs

    @property
    def traits(self) -> Traits:
        return self.network.traits._replace(period=self.period)

    def tensors(self) -> list[TensorVariable]:
        return self.network.tensors()

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> MetricalPosition:
        return MetricalPosition(self.network.with_tensors(tensors), self.period)

    def _with_position(self, v: TensorVariable, place: TensorVariable) -> TensorVariable:
        """Append the one-hot positions (..., 1) of the next frames to frames (..., n): (..., n + period)."""
        return pt.concatenate([v, pt.eq(place, np.arange(self.period, dtype=v.dtype)).astype(v.dtype)], axis=-1)

    def run(
        self, v: TensorVariable, start: TensorVariable | None = None, u_0: TensorVariable | None = None
    ) -> TensorVariable:
        frame = pt.arange(v.shape[0] if v.type.shape[0] is None else v.type.shape[0])
        since = frame[:, None]
        if start is not None:  # the latest start at or before each frame
            begun = pt.and_(pt.ge(frame[:, None], frame)[:, :, None], start)
            since = since - pt.switch(begun, frame[:, None], 0).max(axis=1)
        place = ((since + 1) % self.period).astype(v.dtype)[:, :, None]
        place = pt.broadcast_to(place, (*v.shape[:2], 1)) if start is None else place
        inner = None if u_0 is None else u_0[:, 1:]
        return pt.concatenate([place, self.network.run(self._with_position(v, place), start, inner)], axis=-1)

    def step(self, v: TensorVariable, u: TensorVariable) -> TensorVariable:
        place = (u[..., :1] + np.asarray(1, u.dtype)) % np.asarray(self.period, u.dtype)
        return pt.concatenate([place, self.network.step(self._with_position(v, place), u[..., 1:])], axis=-1)

    def output(self, u: TensorVariable) -> TensorVariable:
        return self.network.output(u[..., 1:])


def _joined(parts: list[TensorVariable]) -> TensorVariable:
    return parts[0] if len(parts) == 1 else pt.concatenate(parts, axis=-1)


def shifted_outputs(network: Network, v: TensorVariable, start: TensorVariable | None = None) -> TensorVariable:
    """Network outputs before each frame: (T, B, n_visible) -> (B*T, n_outputs).

    Rows are those of :func:`rnnrbm.recurrence.flatten`, so a product with weights is one product for the whole batch.
    """
    return outputs_before(network, network.run(v, start), initial_state(network.u_0, v), start)


def outputs_before(
    network: Network, states: TensorVariable, u_0: TensorVariable, start: TensorVariable | None = None
) -> TensorVariable:
    """Network outputs before each frame, (B*T, n_outputs), for states after it (T, B, n_state) and initial ones."""
    return network.output(flatten(shift(states, u_0, start)))


def final_state(network: Network, v: TensorVariable) -> TensorVariable:
    """State after all frames of one sequence of any length: (T, n_visible) -> (n_state,)."""

    def step(v_t: TensorVariable, u: TensorVariable, *tensors: TensorVariable) -> TensorVariable:
        return network.with_tensors(tensors).step(v_t, u)

    u = pytensor.scan(
        step, sequences=[v], outputs_info=[network.u_0], non_sequences=network.tensors(), return_updates=False
    )
    return u[-1]


#: Most layers of a stack: the graph of a program grows with them.
MOST_LAYERS = 1000


def init_stack(
    kind: str,
    n_visible: int,
    n_recurrent: int,
    n_layers: int = 1,
    *,
    seed: Seed,
    connections: str = "plain",
    dtype: str | None = None,
) -> Stack:
    """Make layers of cells; parameter names end in ``_2``, ``_3`` from the second layer on.

    Parameters
    ----------
    kind : {"gru", "lstm", "tanh", "sigmoid"}
    n_visible, n_recurrent, n_layers : int
    seed : int or numpy.random.Generator
    connections : {"plain", "residual", "skip"}
        See :class:`Stack`.
    dtype : str or None
        None: PyTensor's ``floatX``.

    Raises
    ------
    ValueError
        If the kind of cell or connections is unknown, or a size is below 1.
    """
    rng = generator(seed)
    if connections not in CONNECTIONS:
        raise ValueError(f"connections {connections!r} is not one of {', '.join(CONNECTIONS)}")
    if not 1 <= n_layers <= MOST_LAYERS:
        raise ValueError(f"n_layers must be 1 to {MOST_LAYERS}, got {n_layers}")
    layers = []
    for i in range(n_layers):
        n_inputs = n_visible if i == 0 else n_recurrent + (n_visible if connections == "skip" else 0)
        suffix = f"_{i + 1}" if i else ""
        layers.append(init_cell(kind, n_inputs, n_recurrent, seed=rng, dtype=dtype, suffix=suffix))
    return Stack(tuple(layers), connections)


def init_window(n_visible: int, n_hidden: int, n_frames: int, *, seed: Seed, dtype: str | None = None) -> Window:
    """Make a hidden layer over the latest `n_frames` frames; weights have variance 1 / (number of inputs).

    Raises
    ------
    ValueError
        If a size is below 1.
    """
    rng = generator(seed)
    if min(n_visible, n_hidden, n_frames) < 1:
        raise ValueError(f"sizes must be at least 1, got {n_visible} visible, {n_hidden} hidden, {n_frames} frames")
    n_inputs = n_frames * n_visible
    return Window(
        engine.shared(rng.normal(0.0, n_inputs**-0.5, (n_inputs, n_hidden)), "W_vu", dtype),
        engine.shared(np.zeros(n_hidden), "b_u", dtype),
        n_frames,
    )
