"""Cells: one step of a recurrent layer, as a value holding tensors; and the scan over time, written once.

A cell is the elementwise part of a recurrence, ``u(t) = step(x(t), u(t-1) W_uu, u(t-1))``: what it reads from
the frames, x = v W_vu + b_u, is one matrix product for the whole sequence (:meth:`Cell.project`), and the
product with ``W_uu`` belongs to the scan (:func:`recur`). That lets the gradient through time be computed with
a single sequential matrix product a step, forward and backward.

The first columns of a state, as many as ``W_uu`` has rows, are the cell's output: what the cell itself and all others
read of it. An LSTM has more than that.

To add one: a class like :class:`GRU`, and a line in :data:`CELLS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "Cell",
    "Tanh",
    "before",
    "blocks",
    "flatten",
    "init_cell",
    "initial_state",
    "n_outputs",
    "recur",
]


Blocks = Sequence[TensorVariable]


class Cell(Protocol):
    """The contract of a recurrent cell."""

    @property
    def W_uu(self) -> TensorVariable:
        """Recurrent weights, shape (n_recurrent, n_inputs); n_recurrent is the size of the output."""

    @property
    def u_0(self) -> TensorVariable:
        """Learned initial state, shape (n_state,): the output comes first."""

    def tensors(self) -> list[TensorVariable]:
        """Every tensor the cell holds, in a fixed order."""

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> Self:
        """The same cell holding other tensors; the inverse of :meth:`tensors`."""

    def project(self, v: TensorVariable) -> TensorVariable:
        """What frames bring to their steps: (R, n_visible) -> (R, n_inputs)."""

    def step(self, x: Blocks, y: Blocks, u: TensorVariable) -> TensorVariable:
        """The next state, element by element.

        Parameters
        ----------
        x : sequence of TensorVariable, each (B, n_recurrent)
            Projected frames, block by block of the columns of ``W_uu``: the gates of a GRU, say.
        y : sequence of TensorVariable, each (B, n_recurrent)
            The output before times ``W_uu``.
        u : TensorVariable, shape (B, n_state)
            The state before.
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
        How many blocks of n_recurrent columns its weights have.
    n_parts : int
        How many parts of n_recurrent columns its state has.
    remembering : int or None
        The block whose biases start at 1, so that it remembers: the update gate, the forget gate.
    fields : dict
        Further fields.
    """

    make: type
    n_blocks: int
    n_parts: int = 1
    remembering: int | None = None
    fields: dict = {}  # noqa: RUF012  never changed


#: cell name -> how it is made
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
    rng: np.random.Generator,
    dtype: str | None = None,
    suffix: str = "",
) -> Cell:
    """Make a cell whose fields are shared variables named after themselves.

    Recurrent weights start orthogonal (Saxe et al. 2014), input weights with variance 1 / n_inputs, biases and the
    initial state at zero; the update gate of a GRU and the forget gate of an LSTM start at 1, so that they remember.

    Parameters
    ----------
    kind : {"gru", "lstm", "tanh", "sigmoid"}
    n_inputs, n_recurrent : int
        What it reads (the visible units, or the layer below), and its output.
    rng : numpy.random.Generator
    dtype : str or None
        None stands for PyTensor's ``floatX``.
    suffix : str
        Of the names, to tell layers apart.

    Raises
    ------
    ValueError
        If there is no such cell or a size is below 1.
    """
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
    """How many columns of a cell's state, the first ones, are its output."""
    return cell.W_uu.type.shape[0]


def blocks(x: TensorVariable, n: int) -> list[TensorVariable]:
    """Columns (..., n_blocks * n) block by block: processors work through gates that lie apart much faster."""
    size = x.type.shape[-1]
    return [x] if size == n else [x[..., i : i + n] for i in range(0, size, n)]


def output(cell: Cell, u: TensorVariable) -> TensorVariable:
    """The output of a cell in states (..., n_state)."""
    n = n_outputs(cell)
    return u if cell.u_0.type.shape[0] == n else u[..., :n]


def flatten(x: TensorVariable) -> TensorVariable:
    """Turn sequences into rows: (T, B, n) -> (B*T, n), and (T, B) -> (B*T,).

    Batch-major on purpose: time-major would merge a sharded batch axis on the inside, and XLA then silently
    computes everything on every device.
    """
    n_steps, n_batch = x.type.shape[:2]
    rows = -1 if n_steps is None or n_batch is None else n_steps * n_batch
    if x.ndim == 2:
        return x.T.reshape((rows,))
    return x.dimshuffle(1, 0, 2).reshape((rows, x.shape[2] if x.type.shape[2] is None else x.type.shape[2]))


def unflatten(rows: TensorVariable, like: TensorVariable) -> TensorVariable:
    """Turn rows (B*T, n) back into sequences (T, B, n) of the length and number of `like` (T, B, ...)."""
    n_steps, n_batch = (like.shape[i] if s is None else s for i, s in enumerate(like.type.shape[:2]))
    return rows.reshape((n_batch, n_steps, rows.type.shape[1])).dimshuffle(1, 0, 2)


def initial_state(u_0: TensorVariable, v: TensorVariable) -> TensorVariable:
    """An initial state (n_state,), once for each sequence of `v` (T, B, n_visible): (B, n_state)."""
    n_batch = v.shape[1] if v.type.shape[1] is None else v.type.shape[1]
    rows = pt.broadcast_to(u_0, (n_batch, u_0.type.shape[0]))
    return pt.specify_shape(rows, (v.type.shape[1], u_0.type.shape[0]))


def recur(cell: Cell, v: TensorVariable, start: TensorVariable | None = None) -> TensorVariable:
    """Run a cell over sequences and return the state after each frame: u(1) .. u(T).

    Parameters
    ----------
    cell : Cell
    v : TensorVariable, shape (T, B, n_visible)
        Give T and B to its type, ``pt.tensor(shape=(T, B, n))``: JAX mode needs them for the gradient.
    start : TensorVariable of bool or None, shape (T, B)
        True where a new piece begins: there the cell starts from its learned initial state again. The first
        frame of every column begins one in any case.

    Returns
    -------
    TensorVariable, shape (T, B, n_state)
    """
    inputs = [unflatten(cell.project(flatten(v)), v), initial_state(cell.u_0, v), cell.W_uu]
    inputs += [] if start is None else [start]
    n, n_blocks = n_outputs(cell), cell.W_uu.type.shape[1] // n_outputs(cell)

    # The gradient is written out below instead of left to scan: scan would add up the gradient of W_uu step by
    # step, a (n_recurrent, n_inputs) sum at every frame, and compute u W_uu a second time. Half the time of a step.
    def forward(x: TensorVariable, u_0: TensorVariable, W_uu: TensorVariable, *start: TensorVariable) -> TensorVariable:
        def step(*args: TensorVariable) -> TensorVariable:
            x_t, (*start_t, u, u_0), W_uu = args[:n_blocks], args[n_blocks:-n_blocks], args[-n_blocks:]
            if start_t:
                u = pt.switch(start_t[0][:, None], u_0, u)
            h = output(cell, u)
            return cell.step(x_t, [h @ W for W in W_uu], u)

        return pytensor.scan(
            step,
            sequences=[*blocks(x, n), *start],
            outputs_info=[u_0],
            non_sequences=[u_0, *blocks(W_uu, n)],
            strict=True,
            return_updates=False,
        )

    def pullback(inputs: list, outputs: list, output_grads: list) -> list:
        x, u_0, W_uu, *start = inputs
        u = before(outputs[0], u_0, *start)
        whole = cell.u_0.type.shape[0] == n
        h = output(cell, flatten(u))
        y = unflatten(h @ W_uu, u)

        def step(*args: TensorVariable) -> list:
            x_t, y_t, W_uu = args[:n_blocks], args[n_blocks : 2 * n_blocks], args[-n_blocks:]
            u_t, g_t, *start_t, g_later = args[2 * n_blocks : -n_blocks]
            g = {cell.step(x_t, y_t, u_t): g_t + g_later}
            *g_xy, g_u = pt.grad(  # type: ignore[call-overload]
                None, [*x_t, *y_t, u_t], known_grads=g, disconnected_inputs="ignore", return_disconnected="zero"
            )
            g_h = sum(g_y @ W.T for g_y, W in zip(g_xy[n_blocks:], W_uu, strict=True))
            g_u = g_u + g_h if whole else pt.concatenate([g_u[:, :n] + g_h, g_u[:, n:]], axis=1)
            passed = pt.switch(start_t[0][:, None], np.asarray(0, g_u.dtype), g_u) if start_t else g_u
            return [*g_xy, g_u, passed]

        *g_xy, g_u, _ = pytensor.scan(
            step,
            sequences=[*blocks(x, n), *blocks(y, n), u, output_grads[0], *start],
            outputs_info=[*[None] * (2 * n_blocks + 1), pt.zeros_like(u_0)],
            non_sequences=blocks(W_uu, n),
            go_backwards=True,
            strict=True,
            return_updates=False,
        )
        g_u, g_x = g_u[::-1], pt.concatenate([g[::-1] for g in g_xy[:n_blocks]], axis=-1)
        g_W_uu = pt.concatenate([h.T @ flatten(g[::-1]) for g in g_xy[n_blocks:]], axis=1)
        if not start:
            return [g_x, g_u[0], g_W_uu]
        later = pt.switch(start[0][1:, :, None], g_u[1:], np.asarray(0, g_u.dtype))
        return [
            g_x,
            g_u[0] + later.sum(axis=0, acc_dtype=g_u.dtype),
            g_W_uu,
            pt.zeros_like(start[0], dtype=g_u.dtype),
        ]

    inner = [t.type() for t in inputs]
    return OpFromGraph(inner, [forward(*inner)], inline=True, pullback=pullback, on_unused_input="ignore")(*inputs)


def before(u: TensorVariable, u_0: TensorVariable, start: TensorVariable | None = None) -> TensorVariable:
    """Shift states by one frame: u(1) .. u(T) -> u(0) .. u(T-1), none of which has seen its frame."""
    shifted = pt.concatenate([u_0[None], u[:-1]], axis=0)
    return shifted if start is None else pt.switch(start[:, :, None], u_0[None], shifted)
