"""What a machine of layers is asked for: Gibbs chains, mean field, and the bound that mean field gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.arguments import whole_number
from rnnrbm.backend.random import Rng
from rnnrbm.densities import clamped
from rnnrbm.models.layered import LayeredMachine

__all__ = ["entropy_bound", "gibbs", "mean_field"]


def gibbs(
    machine: LayeredMachine,
    even: Sequence[TensorVariable],
    rng: Rng,
    n_steps: int,
    *,
    clamp: Mapping[int, TensorVariable] | None = None,
    betas: np.ndarray | None = None,
) -> tuple[list[TensorVariable], Rng]:
    """Sample all odd layers given the even ones, then all even layers given the odd ones, `n_steps` times.

    Parameters
    ----------
    machine : LayeredMachine
    even : sequence of TensorVariable, each (R, n_l)
        States of the even layers in their order.
    rng : Rng
    n_steps : int
        At least 1.
    clamp : mapping or None
        Fixed values (R, n_l) of even layers, NaN for free units.
    betas : numpy.ndarray or None, shape (n_steps,)
        Activations are multiplied by these in each step. For discrete units they are inverse temperatures.

    Returns
    -------
    list of TensorVariable
        States of the even layers.
    Rng
    """
    n_steps = whole_number("n_steps", n_steps, 1)
    odds, evens = machine.side(True), machine.side(False)
    fixed = dict(clamp or {})
    n_even, n_tensors = len(evens), len(machine.tensors())

    def step(*args: TensorVariable) -> list[TensorVariable]:
        beta = None if betas is None else args[0]
        state, rest = args[0 if betas is None else 1 :][:n_even], args[n_even + (0 if betas is None else 1) :]
        draw, key, tensors, held = rest[0], rest[1], rest[2 : 2 + n_tensors], rest[2 + n_tensors :]
        here, inner = machine.with_tensors(tensors), Rng(key, draw)
        clamps = dict(zip(fixed, held, strict=True))

        def sampled(layer: int, known: Mapping[int, TensorVariable]) -> TensorVariable:
            nonlocal inner
            a = here.activation(layer, known)
            x, inner = here.units[layer].sample(a if beta is None else beta * a, inner)
            return clamped(x, clamps.get(layer))

        h = dict(zip(evens, state, strict=True))
        odd = {layer: sampled(layer, h) for layer in odds}
        return [*(sampled(layer, odd) for layer in evens), inner.draw]

    begin = [clamped(x, fixed.get(layer)) for layer, x in zip(evens, even, strict=True)]
    *states, draw = pytensor.scan(
        step,
        sequences=[] if betas is None else [pt.as_tensor(np.asarray(betas, machine.dtype))],
        outputs_info=[*begin, rng.draw],
        non_sequences=[rng.key, *machine.tensors(), *fixed.values()],
        n_steps=n_steps,
        return_updates=False,
    )
    return [x[-1] for x in states], rng._replace(draw=draw[-1])


def mean_field(
    machine: LayeredMachine, n_steps: int, *, start: Mapping[int, TensorVariable] | None = None
) -> list[TensorVariable]:
    """Approximate the distribution of all layers by independent units; for a machine with clamped layers, see `given`.

    A step sets the odd layers to their best given the means of the even ones, and then the even layers likewise. As
    layers of a side have no weights, each half of a step is the exact maximum of the variational bound in that side.
    So the bound never falls, and no damping is needed.

    Parameters
    ----------
    machine : LayeredMachine
        At least one bias has shape (R, n_l).
    n_steps : int
        At least 1.
    start : mapping or None
        Means (n_l,) or (R, n_l) of even layers at first; by default those of units without input.

    Returns
    -------
    list of TensorVariable, each (R, n_l)
        Activations of each layer. Means are ``unit.mean`` of them.
    """
    n_steps = whole_number("n_steps", n_steps, 1)
    odds, evens = machine.side(True), machine.side(False)
    n_rows = next(b.type.shape[0] for b in machine.biases if b.ndim == 2)
    rows = next(b[:, :1] for b in machine.biases if b.ndim == 2) * np.asarray(0.0, machine.dtype)
    ones = rows + np.asarray(1.0, machine.dtype)
    sizes = machine.sizes

    def begin(layer: int) -> TensorVariable:
        mean = (start or {}).get(layer)
        if mean is None:
            mean = machine.units[layer].mean(pt.zeros((sizes[layer],), machine.dtype))
        return pt.specify_shape(mean * ones, (n_rows, sizes[layer]))

    def update(here: LayeredMachine, layers: list[int], known: Mapping[int, Any]) -> dict[int, TensorVariable]:
        return {
            layer: pt.specify_shape(here.activation(layer, known) * ones, (n_rows, sizes[layer])) for layer in layers
        }

    def means(here: LayeredMachine, activations: Mapping[int, TensorVariable]) -> dict[int, TensorVariable]:
        return {layer: here.units[layer].mean(a) for layer, a in activations.items()}

    if not machine.edges:  # nothing depends on anything
        found = update(machine, [*odds, *evens], {})
        return [found[layer] for layer in range(len(sizes))]

    def both(here: LayeredMachine, even: Mapping[int, TensorVariable]) -> list[TensorVariable]:
        """Activations of the even layers after a step from means of the even layers."""
        last = update(here, evens, means(here, update(here, odds, even)))
        return [last[layer] for layer in evens]

    def step(*args: TensorVariable) -> list[TensorVariable]:
        here = machine.with_tensors(args[len(evens) : -1])
        return both(here, means(here, dict(zip(evens, args, strict=False))))

    even = both(machine, {layer: begin(layer) for layer in evens})
    if n_steps > 1:
        found = pytensor.scan(
            step,
            outputs_info=even,
            non_sequences=[*machine.tensors(), ones],
            n_steps=n_steps - 1,
            return_updates=False,
        )
        even = [x[-1] for x in (found if isinstance(found, list) else [found])]
    last = dict(zip(evens, even, strict=True))
    last |= update(machine, odds, means(machine, last))
    return [last[layer] for layer in range(len(sizes))]


def entropy_bound(machine: LayeredMachine, activations: Sequence[TensorVariable]) -> TensorVariable:
    """Build E_q[-E(x)] + H(q) for the independent units q of these activations, nats: (R,).

    It is at most log Z of the machine. Of a machine :meth:`LayeredMachine.given` clamped layers, this less the energy
    of these is a lower bound of log Z + log p(clamped layers). In the terms of a layer the base drops out: with the
    mean statistic m and activation a of q it adds A(a) - (a - b) m.
    """
    means = [unit.mean(a) for unit, a in zip(machine.units, activations, strict=True)]
    total: Any = machine._pairs(means)
    for layer, (unit, a) in enumerate(zip(machine.units, activations, strict=True)):
        apart = (unit.statistic(means[layer]) * (a - machine.biases[layer])).sum(axis=-1, acc_dtype=a.dtype)
        total = total + unit.log_partition(a).sum(axis=-1, acc_dtype=a.dtype) - apart
    bound: TensorVariable = total
    return bound
