"""The inputs of all units of a NADE, with a faster gradient than the one that scan derives.

:func:`inputs_of_blocks` computes this loop for all rows of a batch::

    for i in range(n):
        y[i] = sigmoid(a) @ V[i]
        a = a + outer(x[i], W[i])

It takes a block of units at a time. Within a block, one product with a triangular mask gives the activations before
each unit. The gradient computes the hidden units of a block again: stored, those of 100 images of 784 pixels and 500
hidden units would take 157 MB, and most of the time would go into writing and reading them.
"""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.tensor.variable import TensorVariable

__all__ = ["BLOCK", "inputs_of_blocks"]

#: Units of a block; the cost of the triangular products grows with it, the cost of the loop shrinks.
BLOCK = 8


def inputs_of_blocks(
    x: TensorVariable, W: TensorVariable, V: TensorVariable, a: TensorVariable, *before: TensorVariable
) -> TensorVariable:
    """Inputs of all units, each from the hidden units given the units before it, without biases.

    Parameters
    ----------
    x : TensorVariable, shape (n_blocks, BLOCK, R)
        Values of the units in R rows.
    W, V : TensorVariable, shape (n_blocks, BLOCK, n_hidden)
        Weights to the hidden units and from them.
    a : TensorVariable, shape (R, n_hidden)
        Inputs of the hidden units before the first unit.
    *before : TensorVariable, shape (n_blocks, BLOCK, n_hidden)
        What else is added to the inputs of the hidden units for this unit, in all rows; none or one.

    Returns
    -------
    TensorVariable, shape (n_blocks, BLOCK, R)
    """
    inputs = [x, W, V, a, *before]
    n_rows, n_hidden = a.type.shape
    below = np.tril(np.ones((BLOCK, BLOCK), a.dtype), -1)

    def masked(x: TensorVariable) -> TensorVariable:
        """Units of a block (BLOCK, R) that come before each of its units: (BLOCK * R, BLOCK)."""
        return (pt.as_tensor(below)[:, None, :] * x.T[None]).reshape((-1, BLOCK))

    def hidden(
        earlier: TensorVariable, W: TensorVariable, a: TensorVariable, *before: TensorVariable
    ) -> TensorVariable:
        """Hidden units before each unit of a block: (BLOCK, R, n_hidden)."""
        within = (earlier @ W).reshape((BLOCK, -1 if n_rows is None else n_rows, n_hidden)) + a
        return pt.sigmoid(within + before[0][:, None] if before else within)

    def forward(
        x: TensorVariable, W: TensorVariable, V: TensorVariable, a: TensorVariable, *before: TensorVariable
    ) -> list:
        def step(x: TensorVariable, W: TensorVariable, V: TensorVariable, *rest: TensorVariable) -> list:
            *before, a = rest
            h = hidden(masked(x), W, a, *before)
            return [a + x.T @ W, (h @ V[:, :, None])[:, :, 0]]

        after, y = pytensor.scan(
            step, sequences=[x, W, V, *before], outputs_info=[a, None], strict=True, return_updates=False
        )
        return [y, pt.concatenate([a[None], after[:-1]], axis=0)]  # the gradient begins each block from its own inputs

    def pullback(inputs: list, outputs: list, output_grads: list) -> list:
        x, W, V, a, *before = inputs

        def step(x: TensorVariable, W: TensorVariable, V: TensorVariable, *rest: TensorVariable) -> list:
            *before, a, g, g_later = rest
            earlier = masked(x)
            h = hidden(earlier, W, a, *before)
            g_a = h * (np.asarray(1.0, h.dtype) - h) * g[:, :, None] * V[:, None]
            flat = g_a.reshape((-1, n_hidden))
            g_x = ((flat @ W.T).reshape((BLOCK, -1 if n_rows is None else n_rows, BLOCK)) * below[:, None]).sum(axis=0)
            return [
                g_later + g_a.sum(axis=0, acc_dtype=h.dtype),
                (g_x + g_later @ W.T).T,
                earlier.T @ flat + x @ g_later,
                (g[:, None] @ h)[:, 0],
                *([g_a.sum(axis=1, acc_dtype=h.dtype)] if before else []),
            ]

        g, *each = pytensor.scan(
            step,
            sequences=[x, W, V, *before, outputs[1], output_grads[0]],
            outputs_info=[pt.zeros_like(a), *[None] * (3 + len(before))],
            go_backwards=True,
            strict=True,
            return_updates=False,
        )
        g_x, g_W, g_V, *g_before = (t[::-1] for t in each)
        return [g_x, g_W, g_V, g[-1], *g_before]

    inner = [t.type() for t in inputs]
    return OpFromGraph(inner, forward(*inner), inline=True, pullback=pullback)(*inputs)[0]
