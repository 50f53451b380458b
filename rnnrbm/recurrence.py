"""Unroll a cell over time, with a faster gradient than the one that scan derives.

:func:`unroll` computes this loop for all sequences of a batch::

    u = u_0
    for t in range(T):
        u = cell.step(cell.project(v[t]), u @ cell.W_uu, u)

The rest of a sequence model runs on all frames at once, as rows: :func:`flatten` and :func:`unflatten`.
"""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.tensor.variable import TensorVariable

from rnnrbm.cells import Cell, blocks, n_outputs, output

__all__ = ["flatten", "initial_state", "shift", "unflatten", "unroll"]


def flatten(x: TensorVariable) -> TensorVariable:
    """Turn sequences into rows: (T, B, n) -> (B*T, n), and (T, B) -> (B*T,).

    Rows are batch-major on purpose: time-major rows would put a sharded batch axis on the inside, and XLA then
    silently computes everything on every device.
    """
    n_steps, n_batch = x.type.shape[:2]
    rows = -1 if n_steps is None or n_batch is None else n_steps * n_batch
    if x.ndim == 2:
        return x.T.reshape((rows,))
    return x.dimshuffle(1, 0, 2).reshape((rows, x.shape[2] if x.type.shape[2] is None else x.type.shape[2]))


def unflatten(rows: TensorVariable, like: TensorVariable) -> TensorVariable:
    """Turn rows (B*T, n) back into sequences (T, B, n), with T and B of `like` (T, B, ...)."""
    n_steps, n_batch = (like.shape[i] if s is None else s for i, s in enumerate(like.type.shape[:2]))
    return rows.reshape((n_batch, n_steps, rows.type.shape[1])).dimshuffle(1, 0, 2)


def initial_state(u_0: TensorVariable, v: TensorVariable) -> TensorVariable:
    """Repeat an initial state (n_state,) for each sequence of `v` (T, B, n_visible): (B, n_state)."""
    n_batch = v.shape[1] if v.type.shape[1] is None else v.type.shape[1]
    rows = pt.broadcast_to(u_0, (n_batch, u_0.type.shape[0]))
    return pt.specify_shape(rows, (v.type.shape[1], u_0.type.shape[0]))


def unroll(
    cell: Cell, v: TensorVariable, start: TensorVariable | None = None, u_0: TensorVariable | None = None
) -> TensorVariable:
    """Run a cell over sequences and return the state after each frame: u(1) .. u(T).

    Parameters
    ----------
    cell : Cell
    v : TensorVariable, shape (T, B, n_visible)
        The type needs T and B, as in ``pt.tensor(shape=(T, B, n))``: JAX mode needs them for the gradient.
    start : TensorVariable of bool or None, shape (T, B)
        True where a new piece begins: there the cell restarts from its initial state. The first frame of every column
        always begins a piece.
    u_0 : TensorVariable or None, shape (B, n_state)
        Initial state of each column; None: the learned one of the cell.

    Returns
    -------
    TensorVariable, shape (T, B, n_state)
    """
    inputs = [unflatten(cell.project(flatten(v)), v), initial_state(cell.u_0, v) if u_0 is None else u_0, cell.W_uu]
    inputs += [] if start is None else [start]
    n, n_blocks = n_outputs(cell), cell.W_uu.type.shape[1] // n_outputs(cell)

    # Scan's own gradient would add up the gradient of W_uu, as large as W_uu, at every frame, and compute u W_uu
    # again. The gradient written out here halves the time of a step.
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
        u = shift(outputs[0], u_0, *start)
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


def shift(u: TensorVariable, u_0: TensorVariable, start: TensorVariable | None = None) -> TensorVariable:
    """Shift states by one frame: u(1) .. u(T) -> u(0) .. u(T-1), the states before each frame."""
    shifted = pt.concatenate([u_0[None], u[:-1]], axis=0)
    return shifted if start is None else pt.switch(start[:, :, None], u_0[None], shifted)
