"""Settling: networks with symmetric weights, whose units are set one at a time.

    E(s) = - sum over i < j of w_ij s_i s_j - sum over i of b_i s_i

A unit is off or on: 0 or 1, or -1 or 1 if the network is signed. Given all others, a stochastic unit is on with
probability sigmoid(gap / T). T is the temperature, and gap is E with the unit off minus E with the unit on: the unit's
field, b_i plus the sum of w_ij s_j, and twice that in a signed network. A threshold unit is on if its field is 0 or
more, which never raises E.

Stochastic units visited one after the other are a Gibbs sampler (Geman & Geman 1984). It leaves the distribution
exp(-E / T) / Z invariant. With a falling T it is simulated annealing (Kirkpatrick, Gelatt & Vecchi 1983; for networks
Ackley, Hinton & Sejnowski, "A learning algorithm for Boltzmann machines", Cognitive Science 1985).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pytensor
import pytensor.tensor as pt
from numpy.typing import ArrayLike
from pytensor.tensor.variable import TensorVariable

from rnnrbm.arguments import whole_number
from rnnrbm.backend.random import Rng

__all__ = ["SettlingMachine", "as_frames", "as_states", "energy", "random_states", "recalled_share", "settle"]

#: Probability with which each visible unit is flipped before it is recalled.
FLIPPED = 0.1


class SettlingMachine(Protocol):
    """A network that can settle."""

    @property
    def signed(self) -> bool:
        """Whether units are -1 or 1, not 0 or 1."""

    @property
    def threshold(self) -> bool:
        """Whether units are deterministic."""

    @property
    def b(self) -> Any:
        """Biases (n,), or None for no biases."""

    def weights(self) -> TensorVariable:
        """Weights (n, n): symmetric, with a diagonal of 0."""


def as_states(machine: SettlingMachine, v: TensorVariable) -> TensorVariable:
    """Turn 0 and 1 into the values of the machine's units."""
    return v * np.asarray(2, v.dtype) - np.asarray(1, v.dtype) if machine.signed else v


def as_frames(machine: SettlingMachine, s: TensorVariable) -> TensorVariable:
    """Turn values of the machine's units into 0 and 1; the inverse of :func:`as_states`."""
    return (s + np.asarray(1, s.dtype)) * np.asarray(0.5, s.dtype) if machine.signed else s


def random_states(machine: SettlingMachine, like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
    """Draw units in the shape of `like`, each on with probability 1/2."""
    u, rng = rng.uniform(like)
    return as_states(machine, pt.lt(u, np.float32(0.5)).astype(like.dtype)), rng


def energy(machine: SettlingMachine, s: TensorVariable) -> TensorVariable:
    """E(s) of states (..., n): shape (...), nats at temperature 1."""
    pairs = ((s @ machine.weights()) * s).sum(axis=-1, acc_dtype=s.dtype) * np.asarray(-0.5, s.dtype)
    return pairs if machine.b is None else pairs - (s * machine.b).sum(axis=-1, acc_dtype=s.dtype)


def settle(
    machine: SettlingMachine,
    s: TensorVariable,
    rng: Rng,
    n_sweeps: int,
    free: Sequence[int] | np.ndarray | None = None,
    temperature: ArrayLike = 1.0,
) -> tuple[TensorVariable, Rng]:
    """Let units settle. Each sweep visits every free unit once, in a random order that all rows share.

    Parameters
    ----------
    machine : SettlingMachine
    s : TensorVariable, shape (R, n)
        States to start from; the number of units n is static.
    rng : Rng
    n_sweeps : int
        At least 0; fixed when the graph is built.
    free : sequence of int or None
        Units to visit; the others are clamped to their values in `s`. None means all.
    temperature : float or sequence of float
        Positive: one number, or one for each sweep. Threshold units have no use for it.

    Returns
    -------
    s : TensorVariable, shape (R, n)
        States after the last sweep.
    rng : Rng

    Raises
    ------
    ValueError
        If `n_sweeps` is negative, a free unit does not exist or is named twice, or a temperature is impossible.
    """
    n, dtype = s.type.shape[1], s.dtype
    n_sweeps = whole_number("n_sweeps", n_sweeps, 0)
    units = np.arange(n) if free is None else np.asarray(free, int)
    if units.ndim != 1 or len(set(units.tolist())) < len(units) or not ((units >= 0) & (units < n)).all():
        raise ValueError(f"free={free!r}: expected different units from 0 to {n - 1}")
    given = np.asarray(temperature, float)
    if given.shape not in ((), (n_sweeps,)) or not (np.isfinite(given) & (given > 0)).all():
        raise ValueError(
            f"temperature={temperature!r}: expected a positive number, or one for each of {n_sweeps} sweeps"
        )
    if n_sweeps == 0 or len(units) == 0:
        return s, rng
    keys, rng = rng.uniform(pt.zeros((n_sweeps, len(units)), "float32"))
    order = pt.as_tensor(units.astype(np.int32))[pt.argsort(keys, axis=1)].reshape((n_sweeps * len(units),))
    scale = np.repeat((2.0 if machine.signed else 1.0) / np.broadcast_to(given, (n_sweeps,)), len(units))
    biases = [] if machine.b is None else [machine.b]

    # one product of a matrix and a vector for each unit: the fields of the others are not needed
    def step(i: Any, scale: Any, s: Any, draw: Any, key: Any, W: Any, *b: Any) -> list:
        field = s @ W[i] + b[0][i] if b else s @ W[i]
        if machine.threshold:
            on, inner = pt.ge(field, np.asarray(0, dtype)), Rng(key, draw)
        else:
            u, inner = Rng(key, draw).uniform(field)
            on = pt.lt(u, pt.sigmoid(field * scale))
        return [pt.set_subtensor(s[:, i], as_states(machine, on.astype(dtype))), inner.draw]

    states, draws = pytensor.scan(
        step,
        sequences=[order, pt.as_tensor(scale.astype(dtype))],
        outputs_info=[s, rng.draw],
        non_sequences=[rng.key, machine.weights(), *biases],
        return_updates=False,
    )
    return pt.specify_shape(states[-1], s.type.shape), rng._replace(draw=draws[-1])


def recalled_share(model: Any, frames: np.ndarray, mode: Any = None) -> float:
    """Share of units (n, n_visible) that a model reconstructs right after each was flipped with :data:`FLIPPED`.

    The same units are flipped in every call.
    """
    flipped = np.random.default_rng(0).random(frames.shape) < FLIPPED
    recalled = model.reconstruct(np.where(flipped, 1 - frames, frames), seed=0, mode=mode)
    return float(np.mean(recalled == frames))
