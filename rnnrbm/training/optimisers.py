"""Optimisers: each returns a plain dict ``{shared variable: new expression}``.

Merge ``updates = optimisers.adam(grads, params, learning_rate)`` with other updates by ``|``. Learning rates may be
shared variables, so a schedule changes them without compiling again. State variables have the names of their
parameters (``adam_m.W``), and these names are the keys in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.engine import Updates

__all__ = ["OPTIMISERS", "adam", "clip_by_global_norm", "global_norm", "momentum", "rmsprop", "sgd"]

State = dict[str, Any]


def global_norm(grads: Sequence[TensorVariable]) -> TensorVariable:
    """Return the Euclidean norm of all gradients together."""
    return pt.sqrt(sum(pt.sqr(g).sum(acc_dtype=g.dtype) for g in grads))


def clip_by_global_norm(grads: Sequence[TensorVariable], max_norm: float) -> list[TensorVariable]:
    """Scale all gradients by one factor so that their global norm is at most `max_norm`.

    (Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.)
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm}")
    norm = global_norm(grads)
    limit = np.asarray(max_norm, norm.dtype)
    scale = limit / pt.maximum(norm, limit)
    return [g * scale for g in grads]


def _rate(learning_rate: Any, p: Any, scales: dict[str, float] | None) -> Any:
    """Learning rate of one parameter, in its own type."""
    scale = (scales or {}).get(p.name, 1.0)
    rate = learning_rate if isinstance(learning_rate, Variable) else np.asarray(learning_rate, p.dtype)
    return rate if scale == 1.0 else rate * np.asarray(scale, p.dtype)


def _state_variable(state: State | None, name: str, shape: tuple, dtype: str) -> Any:
    """Return the state variable of a name from `state`, or a new one, which is added to `state`."""
    if state is not None and name in state:
        return state[name]
    variable = engine.shared(np.zeros(shape), name, dtype)
    if state is not None:
        state[name] = variable
    return variable


def sgd(
    grads: Sequence[TensorVariable],
    params: Sequence[Any],
    learning_rate: Any,
    *,
    scales: dict[str, float] | None = None,
    state: State | None = None,
) -> Updates:
    """Stochastic gradient descent: p - rate * g.

    Parameters
    ----------
    grads, params : sequences of equal length
    learning_rate : float or scalar variable
    scales : dict from parameter name to factor, or None
        Separate learning rates: the rate of a parameter is `learning_rate` times its factor (1 if absent).
    state : dict or None
        State variables by name. Optimisers with the same dict share state variables, so several compiled functions
        (for example one for each k) can share one optimiser.
    """
    return {p: p - _rate(learning_rate, p, scales) * g for g, p in zip(grads, params, strict=True)}


def momentum(
    grads: Sequence[TensorVariable],
    params: Sequence[Any],
    learning_rate: Any,
    *,
    decay: float = 0.9,
    scales: dict[str, float] | None = None,
    state: State | None = None,
) -> Updates:
    """Gradient descent with classical momentum: m' = decay * m - rate * g, p' = p + m'.

    `decay` is the momentum; the other parameters are those of :func:`sgd`.
    """
    updates: Updates = {}
    for g, p in zip(grads, params, strict=True):
        m = _state_variable(state, f"momentum.{p.name}", p.type.shape, p.dtype)
        step = np.asarray(decay, p.dtype) * m - _rate(learning_rate, p, scales) * g
        updates |= {m: step, p: p + step}
    return updates


def rmsprop(
    grads: Sequence[TensorVariable],
    params: Sequence[Any],
    learning_rate: Any,
    *,
    decay: float = 0.9,
    epsilon: float = 1e-6,
    scales: dict[str, float] | None = None,
    state: State | None = None,
) -> Updates:
    """RMSProp (Tieleman & Hinton 2012): steps divided by a running root mean square of the gradient.

    `decay` is that of the running mean, `epsilon` is added under the root; other parameters are as in :func:`sgd`.
    """
    updates: Updates = {}
    for g, p in zip(grads, params, strict=True):
        s = _state_variable(state, f"rmsprop.{p.name}", p.type.shape, p.dtype)
        mean_square = s + np.asarray(1.0 - decay, p.dtype) * (pt.sqr(g) - s)
        step = g / pt.sqrt(mean_square + np.asarray(epsilon, p.dtype))
        updates |= {s: mean_square, p: p - _rate(learning_rate, p, scales) * step}
    return updates


def adam(
    grads: Sequence[TensorVariable],
    params: Sequence[Any],
    learning_rate: Any,
    *,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
    scales: dict[str, float] | None = None,
    state: State | None = None,
) -> Updates:
    """Adam (Kingma & Ba, ICLR 2015), with bias correction.

    `beta_1` and `beta_2` are the decays of the running means of the gradient and of its square, `epsilon` is
    added to the root; other parameters are as in :func:`sgd`.
    """
    t = _state_variable(state, "adam_t", (), params[0].dtype)
    step = t + np.asarray(1.0, t.dtype)
    # expm1 computes the correction factors 1 - beta**t without cancellation
    c_1, c_2 = (-pt.expm1(step * np.asarray(np.log(b), t.dtype)) for b in (beta_1, beta_2))
    updates: Updates = {t: step}
    for g, p in zip(grads, params, strict=True):
        m, s = (_state_variable(state, f"adam_{x}.{p.name}", p.type.shape, p.dtype) for x in "ms")
        mean = m + np.asarray(1.0 - beta_1, p.dtype) * (g - m)
        mean_square = s + np.asarray(1.0 - beta_2, p.dtype) * (pt.sqr(g) - s)
        direction = (mean / c_1) / (pt.sqrt(mean_square / c_2) + np.asarray(epsilon, p.dtype))
        updates |= {m: mean, s: mean_square, p: p - _rate(learning_rate, p, scales) * direction}
    return updates


OPTIMISERS: dict[str, Callable[..., Updates]] = {
    "sgd": sgd,
    "momentum": momentum,
    "rmsprop": rmsprop,
    "adam": adam,
}
