"""Cells: one step of a recurrent network, as a value holding tensors; and the scan over time, written once.

A cell is the elementwise part of a recurrence, ``u(t) = step(x(t), u(t-1) W_uu, u(t-1))``: what it reads from
the frames, x = v W_vu + b_u, is one matrix product for the whole sequence (:meth:`Cell.project`), and the
product with ``W_uu`` belongs to the scan (:func:`recur`). That lets the gradient through time be computed with
a single sequential matrix product a step, forward and backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.tensor.variable import TensorVariable

from rnnrbm import engine

__all__ = ["CELLS", "GRU", "Cell", "Tanh", "flatten", "init_cell", "initial_state", "recur", "states"]


class Cell(Protocol):
    """The contract of a recurrent cell."""

    @property
    def W_uu(self) -> TensorVariable:
        """Recurrent weights, shape (n_recurrent, n_inputs)."""

    @property
    def u_0(self) -> TensorVariable:
        """Learned initial state, shape (n_recurrent,)."""

    def tensors(self) -> list[TensorVariable]:
        """Every tensor the cell holds, in a fixed order."""

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> Self:
        """The same cell holding other tensors; the inverse of :meth:`tensors`."""

    def project(self, v: TensorVariable) -> TensorVariable:
        """What frames bring to their steps: (R, n_visible) -> (R, n_inputs)."""

    def step(self, x: TensorVariable, y: TensorVariable, u: TensorVariable) -> TensorVariable:
        """The next state, element by element.

        Parameters
        ----------
        x : TensorVariable, shape (B, n_inputs)
            Projected frames.
        y : TensorVariable, shape (B, n_inputs)
            ``u @ W_uu``.
        u : TensorVariable, shape (B, n_recurrent)
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

    def step(self, x: TensorVariable, y: TensorVariable, u: TensorVariable) -> TensorVariable:
        squash = {"tanh": pt.tanh, "sigmoid": pt.sigmoid}[self.activation]
        return squash(x + y)


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

    def step(self, x: TensorVariable, y: TensorVariable, u: TensorVariable) -> TensorVariable:
        n = u.type.shape[-1]
        gates = pt.sigmoid(x[..., : 2 * n] + y[..., : 2 * n])
        r, z = gates[..., :n], gates[..., n:]
        candidate = pt.tanh(x[..., 2 * n :] + r * y[..., 2 * n :])
        return candidate + z * (u - candidate)


#: cell name -> (class, how many blocks of n_recurrent columns its weights have, further fields)
CELLS: dict[str, tuple[type, int, dict]] = {
    "tanh": (Tanh, 1, {"activation": "tanh"}),
    "sigmoid": (Tanh, 1, {"activation": "sigmoid"}),
    "gru": (GRU, 3, {}),
}


def init_cell(
    kind: str, n_visible: int, n_recurrent: int, *, rng: np.random.Generator, dtype: str | None = None
) -> Cell:
    """Make a cell whose fields are shared variables named after themselves.

    Recurrent weights start orthogonal (Saxe et al. 2014), input weights with variance 1 / n_visible scaled
    down for sparse binary frames, biases and the initial state at zero; a GRU's update gate starts at 1, so
    that it remembers.

    Parameters
    ----------
    kind : {"gru", "tanh", "sigmoid"}
    n_visible, n_recurrent : int
    rng : numpy.random.Generator
    dtype : str or None
        None stands for PyTensor's ``floatX``.

    Raises
    ------
    ValueError
        If there is no such cell or a size is below 1.
    """
    if kind not in CELLS:
        raise ValueError(f"cell {kind!r} is not one of {', '.join(CELLS)}")
    if n_visible < 1 or n_recurrent < 1:
        raise ValueError(f"n_visible and n_recurrent must be at least 1, got {n_visible} and {n_recurrent}")
    make, blocks, fields = CELLS[kind]
    b_u = np.zeros((blocks, n_recurrent))
    if kind == "gru":
        b_u[1] = 1.0
    orthogonal = [np.linalg.qr(rng.normal(size=(n_recurrent, n_recurrent)))[0] for _ in range(blocks)]
    return make(
        engine.shared(rng.normal(0.0, n_visible**-0.5, (n_visible, blocks * n_recurrent)), "W_vu", dtype),
        engine.shared(np.concatenate(orthogonal, axis=1), "W_uu", dtype),
        engine.shared(b_u.ravel(), "b_u", dtype),
        engine.shared(np.zeros(n_recurrent), "u_0", dtype),
        **fields,
    )


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


def initial_state(cell: Cell, v: TensorVariable) -> TensorVariable:
    """The learned initial state, once for each sequence of `v` (T, B, n_visible): (B, n_recurrent)."""
    n_batch = v.shape[1] if v.type.shape[1] is None else v.type.shape[1]
    u_0 = pt.broadcast_to(cell.u_0, (n_batch, cell.u_0.type.shape[0]))
    return pt.specify_shape(u_0, (v.type.shape[1], cell.u_0.type.shape[0]))


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
    TensorVariable, shape (T, B, n_recurrent)
    """
    x = unflatten(cell.project(flatten(v)), v)
    inputs = [x, initial_state(cell, v), cell.W_uu, *([] if start is None else [start])]

    # The gradient is written out below instead of left to scan: scan would add up the gradient of W_uu step by
    # step, a (n_recurrent, n_inputs) sum at every frame, and compute u W_uu a second time. Half the time of a step.
    def forward(x: TensorVariable, u_0: TensorVariable, W_uu: TensorVariable, *start: TensorVariable) -> TensorVariable:
        def step(x_t: TensorVariable, *rest: TensorVariable) -> TensorVariable:
            *start_t, u, u_0, W_uu = rest
            if start_t:
                u = pt.switch(start_t[0][:, None], u_0, u)
            return cell.step(x_t, u @ W_uu, u)

        return pytensor.scan(
            step,
            sequences=[x, *start],
            outputs_info=[u_0],
            non_sequences=[u_0, W_uu],
            strict=True,
            return_updates=False,
        )

    def pullback(inputs: list, outputs: list, output_grads: list) -> list:
        x, u_0, W_uu, *start = inputs
        u = _before(outputs[0], u_0, *start)
        y = unflatten(flatten(u) @ W_uu, u)

        def step(x_t: TensorVariable, y_t: TensorVariable, u_t: TensorVariable, *rest: TensorVariable) -> list:
            g_t, *start_t, g_later, W_uu = rest
            g = {cell.step(x_t, y_t, u_t): g_t + g_later}
            g_x, g_y, g_u = pt.grad(  # type: ignore[call-overload]
                None, [x_t, y_t, u_t], known_grads=g, disconnected_inputs="ignore", return_disconnected="zero"
            )
            g_u = g_u + g_y @ W_uu.T
            passed = pt.switch(start_t[0][:, None], np.asarray(0, g_u.dtype), g_u) if start_t else g_u
            return [g_x, g_y, g_u, passed]

        g_x, g_y, g_u, _ = pytensor.scan(
            step,
            sequences=[x, y, u, output_grads[0], *start],
            outputs_info=[None, None, None, pt.zeros_like(u_0)],
            non_sequences=[W_uu],
            go_backwards=True,
            strict=True,
            return_updates=False,
        )
        g_x, g_y, g_u = g_x[::-1], g_y[::-1], g_u[::-1]
        g_W_uu = flatten(u).T @ flatten(g_y)
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


def _before(u: TensorVariable, u_0: TensorVariable, start: TensorVariable | None = None) -> TensorVariable:
    """Shift states by one frame: u(1) .. u(T) -> u(0) .. u(T-1)."""
    before = pt.concatenate([u_0[None], u[:-1]], axis=0)
    return before if start is None else pt.switch(start[:, :, None], u_0[None], before)


def states(cell: Cell, v: TensorVariable, start: TensorVariable | None = None) -> TensorVariable:
    """Like :func:`recur`, but the state *before* each frame: u(0) .. u(T-1), none of which has seen its frame."""
    return _before(recur(cell, v, start), initial_state(cell, v), start)
