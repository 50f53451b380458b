"""Fast unnormalized log-probabilities of many states under many densities, for resampling."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.densities import EnergyDensity, map_biases
from rnnrbm.rbm import RBM

__all__ = ["as_layers", "as_rbm", "has_layers", "log_weights"]


def as_rbm(density: Any) -> Any:
    """Return ``density.rbm``, an RBM with explicit weights, if the density has it; otherwise the density itself."""
    return getattr(density, "rbm", density)


def as_layers(density: Any) -> Any:
    """Return what computes the two layers of an RBM: the density itself if it can, otherwise :func:`as_rbm`.

    It has ``hidden_activation``, ``visible_activation``, the unit types ``visible`` and ``hidden``, and ``n_hidden``. A
    convolutional RBM has them, and never needs its explicit weights, which are many.
    """
    return density if has_layers(density) else as_rbm(density)


def has_layers(density: Any) -> bool:
    """Whether a density has the methods of the two layers of an RBM; see :func:`as_layers`."""
    return all(hasattr(density, name) for name in ("hidden_activation", "visible_activation", "hidden", "n_hidden"))


def log_weights(density: EnergyDensity, states: TensorVariable) -> TensorVariable:
    """Unnormalized log-probability, -F, of each state under the density of each row; no gradient is taken of it.

    For binary hidden units, the sum of log(1 + exp(b + x W)) is computed as logarithms of products of four factors, and
    exp(b + x W) as exp(b) exp(x W). With many rows and states this takes a fraction of the time of
    :meth:`RBM.free_energy`. It is exact in float32 while biases and inputs are each between -40 and 40.

    Parameters
    ----------
    density : EnergyDensity
        Its biases have shape (..., n).
    states : TensorVariable, shape (S, n_visible)

    Returns
    -------
    TensorVariable, shape (..., S), nats
    """
    rbm = as_layers(density)
    if not (isinstance(rbm, RBM) and rbm.hidden.is_binary):
        return -map_biases(density, lambda b: pt.expand_dims(b, -2)).free_energy(states)
    dtype = rbm.W.dtype
    x = rbm.visible.statistic(states)
    own = rbm.b_v @ x.T
    base = rbm.visible.base(states)
    own = own if base is None else own - base.sum(axis=-1, acc_dtype=dtype)
    # exp(b) is (..., 1, n_hidden), exp(x W) is (S, n_hidden). log(1 + exp(y)) is split into log(1 + exp(min(y, 21)))
    # and max(y - 21, 0), so that a product of four factors does not overflow.
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
