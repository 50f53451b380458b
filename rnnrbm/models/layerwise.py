"""Training of a deep Boltzmann machine layer by layer, before it is trained as a whole.

Each hidden layer, with the layers below it, is an RBM that learns from samples of the layers below. In the machine, a
layer in the middle has input from below and from above, and an RBM knows only one of the two. So the RBM has copies:
two of the layers below where the layer above is missing, and two of the hidden layer where a layer below is missing.
All RBMs learn at the same time, with centred gradients and persistent chains. Meanwhile the chains of the machine
itself run along, so that they are where they should be when the machine is trained as a whole.

Source: Salakhutdinov & Hinton, "Deep Boltzmann machines", AISTATS 2009, section 3.1; Srivastava & Salakhutdinov,
"Multimodal learning with deep Boltzmann machines", NIPS 2012. Theirs train one RBM after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng
from rnnrbm.batch import Batch, Loss, masked_mean
from rnnrbm.densities import Independent
from rnnrbm.models.deep_learning import chains_of_training
from rnnrbm.models.deep_parts import DeepMachine, split
from rnnrbm.models.layered import LayeredMachine
from rnnrbm.recurrence import flatten
from rnnrbm.sequence import OFFSET_RATE
from rnnrbm.units import Unit

__all__ = ["Layerwise", "new_chains", "stages"]

#: Learning rate of the RBMs above the first, relative to it: what they learn from changes while the first one learns.
UPPER_RATE = 0.2
#: When the machine is trained as a whole, and when its chains take more steps, as shares of all epochs, and how many.
WHOLE, LONGER, LONGEST = 0.25, 0.6, 0.85
MORE, MOST = 3, 10


class Block(NamedTuple):
    """The RBM of a hidden layer and the layers below it.

    Attributes
    ----------
    upper : int
        The hidden layer.
    edges : tuple of (int, int)
        Layers below and their edges: pairs of a layer and the place of its edge among those of the machine.
    n_lower, n_upper : int
        Copies of the layers below, and of the hidden layer: 1 or 2.
    """

    upper: int
    edges: tuple[tuple[int, int], ...]
    n_lower: int
    n_upper: int


def new_chains(machine: LayeredMachine, visible_layers: Sequence[int], n_chains: int) -> tuple[Any, ...]:
    """Make the chains of the RBMs of a machine, which begin with units that are off.

    Returns
    -------
    tuple of shared variables, each (n_chains, n_l)
        For each hidden layer, from the frame up, the sum of its copies.
    """
    sizes = machine.sizes
    return tuple(
        engine.shared(np.zeros((n_chains, sizes[block.upper])), f"layer_chain_{block.upper}", machine.dtype)
        for block in _blocks(machine, visible_layers)
    )


class Layerwise(NamedTuple):
    """A deep machine as RBMs that are trained layer by layer; it shares its parameters with the machine.

    Attributes
    ----------
    model : rnnrbm.models.deep_parts.DeepMachine
    """

    model: Any

    @property
    def params(self) -> list[Any]:
        params: list[Any] = self.model.params
        return params

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """Build a loss whose gradient is the sum of those of all RBMs; its value has no meaning.

        The metric ``reconstruction`` is the mean log-probability of the frames given the lowest hidden layers, nats per
        frame.
        """
        model = self.model
        machine, offsets, v = model.machine, model.offsets, flatten(batch.v)
        dtype = machine.dtype
        weight = flatten(batch.mask).astype(dtype)
        weight = weight / pt.maximum(weight.sum(acc_dtype=dtype), np.asarray(1.0, dtype))
        n_chains = model.layer_chains[0].type.shape[0]
        equal = pt.full((n_chains,), np.asarray(1.0 / n_chains, dtype))

        states: dict[int, Any] = split(model, v)
        means = {layer: weight @ machine.units[layer].statistic(x) for layer, x in states.items()}
        updates: dict[Any, Any] = {}
        slopes: dict[Any, Any] = {p: [] for p in [*machine.weights, *machine.biases]}
        log_p: list[TensorVariable] = []
        for block, chain in zip(_blocks(machine, model.visible_layers), model.layer_chains, strict=True):
            upper = block.upper
            unit = machine.units[upper]
            data = {a: machine.units[a].statistic(states[a]) for a, _ in block.edges}
            activation = _upward(machine, block, {a: block.n_lower * x for a, x in data.items()})
            hidden = unit.statistic(unit.mean(activation))
            fantasy: dict[int, Any] = {}
            for a, place in block.edges:
                from_above = machine.biases[a] + chain @ machine.weights[place].T
                fantasy[a], rng = _copies(machine.units[a], from_above, block.n_lower, rng)
            from_below = _upward(machine, block, fantasy)
            updates[chain], rng = _copies(unit, from_below, block.n_upper, rng)
            dreamt = unit.statistic(unit.mean(from_below))
            share = np.asarray(1.0 / block.n_lower, dtype)
            slow = np.asarray(1.0 if set(data) <= set(model.visible_layers) else UPPER_RATE, dtype)
            for a, place in block.edges:
                lower = fantasy[a] * share
                positive = ((data[a] - offsets[a]) * weight[:, None]).T @ (hidden - offsets[upper])
                negative = ((lower - offsets[a]) * equal[:, None]).T @ (dreamt - offsets[upper])
                g = slow * (negative - positive)
                slopes[machine.weights[place]].append(g)
                slopes[machine.biases[a]].append(slow * (equal @ lower - weight @ data[a]) - g @ offsets[upper])
                slopes[machine.biases[upper]].append(-(offsets[a] @ g))
                if a in model.visible_layers:
                    back = machine.biases[a] + hidden @ machine.weights[place].T
                    log_p.append(Independent(back, machine.units[a]).log_prob(states[a]))
            slopes[machine.biases[upper]].append(slow * (equal @ dreamt - weight @ hidden))
            means[upper] = weight @ hidden
            sample, rng = unit.sample(activation, rng)
            states[upper] = disconnected_grad(sample)
        cost: Any = sum(
            (p * disconnected_grad(sum(parts[1:], parts[0]))).sum(acc_dtype=dtype) for p, parts in slopes.items()
        )
        rate = np.asarray(OFFSET_RATE, dtype)
        updates |= {offsets[layer]: offsets[layer] + rate * (mean - offsets[layer]) for layer, mean in means.items()}
        even, _, rng = chains_of_training(model, rng)
        updates |= dict(zip(model.chains, even, strict=True))
        total_log_p: Any = sum(log_p[1:], log_p[0])
        return Loss(cost, updates | rng.updates(), {"reconstruction": masked_mean(total_log_p, batch.mask)})


def _blocks(machine: LayeredMachine, visible_layers: Sequence[int]) -> list[Block]:
    """Return the RBMs of a machine from the frame up."""
    below: dict[int, list[tuple[int, int]]] = {}
    reached = set(visible_layers)
    while len(reached) < len(machine.units):
        new: dict[int, list[tuple[int, int]]] = {}
        for place, (a, b) in enumerate(machine.edges):
            for here, there in ((a, b), (b, a)):
                if here in reached and there not in reached:
                    new.setdefault(there, []).append((here, place))
        below |= new
        reached |= set(new)
    lowers = {a for edges in below.values() for a, _ in edges}
    return [
        Block(upper, tuple(edges), 2 if upper in lowers else 1, 2 if any(a in below for a, _ in edges) else 1)
        for upper, edges in below.items()
    ]


def _upward(machine: LayeredMachine, block: Block, totals: Mapping[int, Any]) -> TensorVariable:
    """Input of the hidden layer of an RBM given the sum over copies of the statistics of the layers below."""
    a: Any = machine.biases[block.upper]
    for lower, place in block.edges:
        a = a + totals[lower] @ machine.weights[place]
    return a


def _copies(unit: Unit, activation: TensorVariable, n: int, rng: Rng) -> tuple[TensorVariable, Rng]:
    """Sum of the statistics of `n` independent samples of a layer."""
    x, rng = unit.sample(activation, rng)
    total = unit.statistic(x)
    for _ in range(n - 1):
        x, rng = unit.sample(activation, rng)
        total = total + unit.statistic(x)
    return disconnected_grad(total), rng


def stages(model: DeepMachine) -> tuple[tuple[float, Any], ...]:
    """Return the stages of training: layer by layer, then as a whole with more and more Gibbs steps.

    They begin at the shares :data:`WHOLE`, :data:`LONGER` and :data:`LONGEST`, the latter two with :data:`MORE` and
    :data:`MOST` times the Gibbs steps of the model.
    """
    machine: Any = model
    longer = [machine._replace(k=factor * model.k) for factor in (MORE, MOST)]
    return (0.0, Layerwise(model)), (WHOLE, model), (LONGER, longer[0]), (LONGEST, longer[1])
