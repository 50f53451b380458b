"""Cells: one step of a recurrent layer.

A cell is the elementwise part of a recurrence, ``u(t) = step(x(t), u(t-1) W_uu, u(t-1))``. The input projection
x = v W_vu + b_u is one matrix product for the whole sequence (:meth:`Cell.project`), and the product with ``W_uu``
belongs to the scan (:func:`rnnrbm.recurrence.unroll`). So the gradient through time needs a single sequential matrix
product a step, forward and backward.

The first columns of a state, as many as ``W_uu`` has rows, are the cell's output: the part that the cell itself and
other layers read. The state of an LSTM has more columns.

To add a cell, write a class like :class:`GRU` and add a line to :data:`CELLS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.random import Seed, generator

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "Cell",
    "Tanh",
    "blocks",
    "init_cell",
    "n_outputs",
    "output",
]


Blocks = Sequence[TensorVariable]


class Cell(Protocol):
    """Interface of a recurrent cell."""

    @property
    def W_uu(self) -> TensorVariable:
        """Recurrent weights, shape (n_recurrent, n_blocks n_recurrent); n_recurrent is the size of the output."""

    @property
    def u_0(self) -> TensorVariable:
        """Learned initial state, shape (n_state,): the output comes first."""

    def tensors(self) -> list[TensorVariable]:
        """All tensors of the cell, in a fixed order."""

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> Self:
        """A copy of the cell with other tensors; the inverse of :meth:`tensors`."""

    def project(self, v: TensorVariable) -> TensorVariable:
        """Input projection of frames: (R, n_inputs) -> (R, n_blocks n_recurrent)."""

    def step(self, x: Blocks, y: Blocks, u: TensorVariable) -> TensorVariable:
        """Next state, elementwise.

        Parameters
        ----------
        x : sequence of TensorVariable, each (B, n_recurrent)
            Projected frames, in blocks like the columns of ``W_uu``, such as the gates of a GRU.
        y : sequence of TensorVariable, each (B, n_recurrent)
            Previous output times ``W_uu``.
        u : TensorVariable, shape (B, n_state)
            Previous state.
        """


class Tanh(NamedTuple):
    """The plain recurrent network of the paper: u(t) = f(v(t) W_vu + u(t-1) W_uu + b_u).

    ``activation`` is ``"tanh"`` (the 2012 tutorial) or ``"sigmoid"`` (the paper).

    Attributes
    ----------
    W_vu : (n_visible, n_recurrent)
    W_uu : (n_recurrent, n_recurrent)
    b_u, u_0 : (n_recurrent,)
    """

    W_vu: TensorVariable
    W_uu: TensorVariable
    b_u: TensorVariable
    u_0: TensorVariable
    activation: str = "tanh"

    def tensors(self) -> list[TensorVariable]:
        return [self.W_vu, self.W_uu, self.b_u, self.u_0]

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> Tanh:
        W_vu, W_uu, b_u, u_0 = tensors
        return Tanh(W_vu, W_uu, b_u, u_0, self.activation)

    def project(self, v: TensorVariable) -> TensorVariable:
        return v @ self.W_vu + self.b_u

    def step(self, x: Blocks, y: Blocks, u: TensorVariable) -> TensorVariable:
        squash = {"tanh": pt.tanh, "sigmoid": pt.sigmoid}[self.activation]
        return squash(x[0] + y[0])


class GRU(NamedTuple):
    """Gated recurrent unit (Cho et al. 2014), with the reset gate after the product, as in cuDNN.

        r = sigmoid(v W_r + u U_r + b_r)      z = sigmoid(v W_z + u U_z + b_z)
        n = tanh(v W_n + b_n + r * (u U_n))   u' = (1 - z) n + z u

    Attributes
    ----------
    W_vu : (n_visible, 3 n_recurrent)
        Input weights of r, z and n side by side.
    W_uu : (n_recurrent, 3 n_recurrent)
    b_u : (3 n_recurrent,)
    u_0 : (n_recurrent,)
    """

    W_vu: TensorVariable
    W_uu: TensorVariable
    b_u: TensorVariable
    u_0: TensorVariable

    def tensors(self) -> list[TensorVariable]:
        return [self.W_vu, self.W_uu, self.b_u, self.u_0]

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> GRU:
        W_vu, W_uu, b_u, u_0 = tensors
        return GRU(W_vu, W_uu, b_u, u_0)

    def project(self, v: TensorVariable) -> TensorVariable:
        return v @ self.W_vu + self.b_u

    def step(self, x: Blocks, y: Blocks, u: TensorVariable) -> TensorVariable:
        r, z = pt.sigmoid(x[0] + y[0]), pt.sigmoid(x[1] + y[1])
        candidate = pt.tanh(x[2] + r * y[2])
        return candidate + z * (u - candidate)


class LSTM(NamedTuple):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

        i, f, o = sigmoid(v W + h U + b)      g = tanh(v W_g + h U_g + b_g)
        c' = f c + i g                        h' = o tanh(c')

    Attributes
    ----------
    W_vu : (n_inputs, 4 n_recurrent)
        Input weights of i, f, o and g side by side.
    W_uu : (n_recurrent, 4 n_recurrent)
    b_u : (4 n_recurrent,)
    u_0 : (2 n_recurrent,)
        h and c side by side.
    """

    W_vu: TensorVariable
    W_uu: TensorVariable
    b_u: TensorVariable
    u_0: TensorVariable

    def tensors(self) -> list[TensorVariable]:
        return [self.W_vu, self.W_uu, self.b_u, self.u_0]

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> LSTM:
        W_vu, W_uu, b_u, u_0 = tensors
        return LSTM(W_vu, W_uu, b_u, u_0)

    def project(self, v: TensorVariable) -> TensorVariable:
        return v @ self.W_vu + self.b_u

    def step(self, x: Blocks, y: Blocks, u: TensorVariable) -> TensorVariable:
        i, f, o = (pt.sigmoid(x[gate] + y[gate]) for gate in range(3))
        c = f * u[..., y[0].type.shape[-1] :] + i * pt.tanh(x[3] + y[3])
        return pt.concatenate([o * pt.tanh(c), c], axis=-1)


class Kind(NamedTuple):
    """How to make a cell.

    Attributes
    ----------
    make : type
    n_blocks : int
        Number of blocks of n_recurrent columns in its weights.
    n_parts : int
        Number of parts of n_recurrent columns in its state.
    remembering : int or None
        Block whose biases start at 1, so that the cell remembers: the update gate or the forget gate.
    fields : dict
        Other fields.
    """

    make: type
    n_blocks: int
    n_parts: int = 1
    remembering: int | None = None
    fields: dict = {}  # noqa: RUF012  never changed


#: cell name -> its construction
CELLS: dict[str, Kind] = {
    "tanh": Kind(Tanh, 1, fields={"activation": "tanh"}),
    "sigmoid": Kind(Tanh, 1, fields={"activation": "sigmoid"}),
    "gru": Kind(GRU, 3, remembering=1),
    "lstm": Kind(LSTM, 4, n_parts=2, remembering=1),
}


def init_cell(
    kind: str,
    n_inputs: int,
    n_recurrent: int,
    *,
    seed: Seed,
    dtype: str | None = None,
    suffix: str = "",
) -> Cell:
    """Make a cell whose fields are shared variables, named after the fields.

    Recurrent weights start orthogonal (Saxe et al. 2014), input weights with variance 1 / n_inputs, biases and the
    initial state at zero. The update gate of a GRU and the forget gate of an LSTM have biases of 1, so that they
    remember.

    Parameters
    ----------
    kind : {"gru", "lstm", "tanh", "sigmoid"}
    n_inputs, n_recurrent : int
        Sizes of the input (the visible units, or the layer below) and of the output.
    seed : int or numpy.random.Generator
    dtype : str or None
        None: PyTensor's ``floatX``.
    suffix : str
        Suffix of the parameters' names, which distinguishes layers.

    Raises
    ------
    ValueError
        If the kind is unknown or a size is below 1.
    """
    rng = generator(seed)
    if kind not in CELLS:
        raise ValueError(f"cell {kind!r} is not one of {', '.join(CELLS)}")
    if n_inputs < 1 or n_recurrent < 1:
        raise ValueError(f"n_visible and n_recurrent must be at least 1, got {n_inputs} and {n_recurrent}")
    make, n_blocks, n_parts, remembering, fields = CELLS[kind]
    b_u = np.zeros((n_blocks, n_recurrent))
    if remembering is not None:
        b_u[remembering] = 1.0
    orthogonal = [np.linalg.qr(rng.normal(size=(n_recurrent, n_recurrent)))[0] for _ in range(n_blocks)]
    return make(
        engine.shared(rng.normal(0.0, n_inputs**-0.5, (n_inputs, n_blocks * n_recurrent)), f"W_vu{suffix}", dtype),
        engine.shared(np.concatenate(orthogonal, axis=1), f"W_uu{suffix}", dtype),
        engine.shared(b_u.ravel(), f"b_u{suffix}", dtype),
        engine.shared(np.zeros(n_parts * n_recurrent), f"u_0{suffix}", dtype),
        **fields,
    )


def n_outputs(cell: Cell) -> int:
    """Number of the first columns of a cell's state that are its output."""
    return cell.W_uu.type.shape[0]


def blocks(x: TensorVariable, n: int) -> list[TensorVariable]:
    """Split columns (..., n_blocks * n) into blocks; separate gates run much faster."""
    size = x.type.shape[-1]
    return [x] if size == n else [x[..., i : i + n] for i in range(0, size, n)]


def output(cell: Cell, u: TensorVariable) -> TensorVariable:
    """The output of a cell in states (..., n_state)."""
    n = n_outputs(cell)
    return u if cell.u_0.type.shape[0] == n else u[..., :n]
