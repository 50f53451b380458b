"""Unnormalized log-probabilities of many listed states under many densities at once: what resampling needs, fast."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.densities import EnergyDensity, map_biases
from rnnrbm.rbm import RBM

__all__ = ["as_rbm", "log_weights"]


def as_rbm(density: Any) -> Any:
    """The RBM that a density is, if its weights have to be written out (``density.rbm``); any other as it is."""
    return getattr(density, "rbm", density)


def log_weights(density: EnergyDensity, states: TensorVariable) -> TensorVariable:
    """Weigh each of some visible states by the density of each row: -F, which has no use for a gradient here.

    Of binary hidden units the sum of log(1 + exp(b + x W)) is taken as logarithms of products of four, and
    exp(b + x W) as a product too: a fraction of the time of :meth:`RBM.free_energy`, where rows and states are many.
    Exact in float32 as long as biases and inputs are each between -40 and 40.

    Parameters
    ----------
    density : EnergyDensity
        With biases of shape (..., n).
    states : TensorVariable, shape (S, n_visible)

    Returns
    -------
    TensorVariable, shape (..., S), nats
    """
    rbm = as_rbm(density)
    if not (isinstance(rbm, RBM) and rbm.hidden.is_binary):
        return -map_biases(density, lambda b: pt.expand_dims(b, -2)).free_energy(states)
    dtype = rbm.W.dtype
    x = rbm.visible.statistic(states)
    own = rbm.b_v @ x.T
    base = rbm.visible.base(states)
    own = own if base is None else own - base.sum(axis=-1, acc_dtype=dtype)
    # exp(b + x W) is exp(b) exp(x W): (..., 1, n_hidden) and (S, n_hidden). log(1 + exp(y)) is that of y up to 21, so
    # that a product of four does not overflow, and what y has more
    b, y = pt.expand_dims(rbm.b_h, -2), x @ rbm.W
    widest, limit, one, zero = (np.asarray(number, dtype) for number in (40.0, 21.0, 1.0, 0.0))
    exp_b, exp_y = (pt.exp(pt.clip(part, -widest, widest)) for part in (b, y))
    most = np.asarray(np.exp(21.0), dtype)

    def sum_over(blocks: list[slice]) -> TensorVariable:
        product = functools.reduce(
            operator.mul, [one + pt.minimum(exp_b[..., block] * exp_y[..., block], most) for block in blocks]
        )
        more = functools.reduce(
            operator.add, [pt.maximum((b[..., block] - limit) + y[..., block], zero) for block in blocks]
        )
        return (pt.log(product) + more).sum(axis=-1, acc_dtype=dtype)

    n_hidden = rbm.W.type.shape[1]
    quarter = n_hidden // 4
    for blocks in ([slice(i * quarter, (i + 1) * quarter) for i in range(4)], [slice(4 * quarter, n_hidden)]):
        if blocks[0].stop > blocks[0].start:
            own = own + sum_over(blocks)
    return own
