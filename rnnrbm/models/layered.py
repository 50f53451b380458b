"""Boltzmann machines of layers: what deep Boltzmann machines of any shape share.

A state has a vector x_l for each layer l. With the statistics s and bases of the unit types (:mod:`rnnrbm.units`) the
energy is

    E(x) = sum over layers of [base(x_l) - s(x_l) b_l]  -  sum over edges (l, m) of s(x_l) W_lm s(x_m)

Layers fall into two sides, even and odd, and edges join layers of different sides. Given one side, the other is
independent. So the whole machine is one RBM, with the odd layers on its visible side and the even ones on its hidden
side, and log Z comes from where that of an RBM does. With some layers clamped the rest is such a machine again.

Source: Salakhutdinov & Hinton, "Deep Boltzmann machines", AISTATS 2009.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.arguments import whole_number
from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng, Seed
from rnnrbm.densities import clamped
from rnnrbm.joint_units import Joint
from rnnrbm.rbm import RBM
from rnnrbm.scoring.likelihood import Evaluator
from rnnrbm.units import Bernoulli, LearnedGaussian, Unit, own_energy

__all__ = ["LayeredMachine", "LogZ", "entropy_bound", "gibbs", "layered", "log_Z", "mean_field"]

#: Most units of the smaller binary side for which log Z is enumerated if no method is chosen.
MOST_ENUMERATED = 14


class LayeredMachine(NamedTuple):
    """Boltzmann machine of layers; :func:`layered` makes one and checks it.

    Attributes
    ----------
    units : tuple of Unit
        Unit type of each layer.
    biases : tuple of TensorVariable, each (n_l,) or (R, n_l)
    edges : tuple of (int, int)
        Pairs of layers that have weights.
    weights : tuple of TensorVariable, each (n_l, n_m)
        Weights of each edge (l, m).
    odd : tuple of bool
        Whether a layer is on the odd side.
    """

    units: tuple[Unit, ...]
    biases: tuple[TensorVariable, ...]
    edges: tuple[tuple[int, int], ...]
    weights: tuple[TensorVariable, ...]
    odd: tuple[bool, ...]

    @property
    def sizes(self) -> list[int]:
        """Units of each layer."""
        return [b.type.shape[-1] for b in self.biases]

    @property
    def dtype(self) -> str:
        return str(self.biases[0].type.dtype)

    def side(self, odd: bool) -> list[int]:
        """Indices of the layers of a side."""
        return [layer for layer, is_odd in enumerate(self.odd) if is_odd == odd]

    def tensors(self) -> list[TensorVariable]:
        return [*self.biases, *self.weights]

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> LayeredMachine:
        n = len(self.biases)
        return self._replace(biases=tuple(tensors[:n]), weights=tuple(tensors[n:]))

    def activation(self, layer: int, states: Mapping[int, TensorVariable]) -> TensorVariable:
        """Input of a layer given its neighbours, (R, n_l): their values or, as statistics are linear, their means."""
        total = self.biases[layer]
        for (a, b), W in zip(self.edges, self.weights, strict=True):
            if layer == a and b in states:
                total = total + self.units[b].statistic(states[b]) @ W.T
            elif layer == b and a in states:
                total = total + self.units[a].statistic(states[a]) @ W
        return total

    def own_energy(self, layer: int, x: TensorVariable) -> TensorVariable:
        """base(x) - s(x) b of a layer, nats: (..., n_l) -> (...)."""
        return own_energy(self.units[layer], x, self.biases[layer])

    def _pairs(self, values: Sequence[TensorVariable]) -> TensorVariable:
        """Sum over edges of s(x_l) W s(x_m): shape (R,)."""
        total: Any = np.zeros((), self.dtype)
        for (a, b), W in zip(self.edges, self.weights, strict=True):
            left, right = self.units[a].statistic(values[a]), self.units[b].statistic(values[b])
            total = total + ((left @ W) * right).sum(axis=-1, acc_dtype=W.dtype)
        return total

    def energy(self, states: Sequence[TensorVariable]) -> TensorVariable:
        """E of a state of all layers, each (R, n_l), nats: (R,)."""
        own: Any = sum(self.own_energy(layer, x) for layer, x in enumerate(states))
        energy: TensorVariable = own - self._pairs(states)
        return energy

    def given(self, values: Mapping[int, TensorVariable]) -> tuple[LayeredMachine, TensorVariable]:
        """Clamp layers to values (R, n_l).

        Returns
        -------
        LayeredMachine
            That of the other layers, in their order. Its energy plus the next value is the energy of all.
        TensorVariable, shape (R,)
            Energy of the clamped layers, nats.
        """
        rest = [layer for layer in range(len(self.units)) if layer not in values]
        place = {layer: i for i, layer in enumerate(rest)}
        own: Any = sum(self.own_energy(layer, x) for layer, x in values.items())
        edges, weights = [], []
        for (a, b), W in zip(self.edges, self.weights, strict=True):
            if a in place and b in place:
                edges.append((place[a], place[b]))
                weights.append(W)
            elif a in values and b in values:
                left, right = self.units[a].statistic(values[a]), self.units[b].statistic(values[b])
                own = own - ((left @ W) * right).sum(axis=-1, acc_dtype=W.dtype)
        biases = tuple(self.activation(layer, values) for layer in rest)
        units, odd = tuple(self.units[layer] for layer in rest), tuple(self.odd[layer] for layer in rest)
        return LayeredMachine(units, biases, tuple(edges), tuple(weights), odd), own

    def as_rbm(self) -> RBM:
        """Return the RBM that the machine is: visible units are those of the odd layers, hidden ones of the even.

        Its weights are put together of blocks, of zeros where two layers have no edge.
        """
        odd, even = self.side(True), self.side(False)
        block = dict(zip(self.edges, self.weights, strict=True))
        block |= {(b, a): W.T for (a, b), W in block.items()}
        sizes = self.sizes

        def of(a: int, b: int) -> TensorVariable:
            return block.get((a, b), pt.zeros((sizes[a], sizes[b]), self.dtype))

        W = pt.concatenate([pt.concatenate([of(a, b) for b in even], axis=1) for a in odd], axis=0)
        b_v, b_h = (pt.concatenate([self.biases[layer] for layer in side], axis=-1) for side in (odd, even))
        shape = (sum(sizes[layer] for layer in odd), sum(sizes[layer] for layer in even))
        return RBM(pt.specify_shape(W, shape), b_v, b_h, self._unit_of(odd), self._unit_of(even))

    def _unit_of(self, side: Sequence[int]) -> Unit:
        """Return the unit type of the layers of a side together."""
        units = [self.units[layer] for layer in side]
        if all(unit == units[0] for unit in units):
            return units[0]
        return Joint(tuple((self.sizes[layer], unit) for unit, layer in zip(units, side, strict=True)))


def layered(
    units: Sequence[Unit],
    biases: Sequence[TensorVariable],
    edges: Sequence[tuple[int, int]],
    weights: Sequence[TensorVariable],
) -> LayeredMachine:
    """Make a machine, and find its two sides. Layer 0 is even.

    Parameters
    ----------
    units, biases, edges, weights
        See :class:`LayeredMachine`. Every layer is reached from layer 0 over edges.

    Raises
    ------
    ValueError
        If shapes do not fit together, a layer is not reached, or weights join two layers of one side.
    """
    n, sizes = len(units), [b.type.shape[-1] for b in biases]
    if n != len(biases) or len(edges) != len(weights):
        raise ValueError(
            f"expected a bias for each layer and a weight matrix for each edge, got {len(biases)} for {n} layers and "
            f"{len(weights)} for {len(edges)} edges"
        )
    if wrong := [unit for unit in units if isinstance(unit, LearnedGaussian)]:
        raise ValueError(f"{type(wrong[0]).__name__} units cannot be a layer; choose a fixed standard deviation")
    odd: dict[int, bool] = {0: False}
    for _ in range(n):
        for a, b in edges:
            for here, there in ((a, b), (b, a)):
                if here in odd:
                    odd.setdefault(there, not odd[here])
    for (a, b), W in zip(edges, weights, strict=True):
        if not (0 <= a < n and 0 <= b < n) or W.type.shape != (sizes[a], sizes[b]):
            raise ValueError(f"edge {(a, b)} has weights of shape {W.type.shape}, and the layers have {sizes} units")
        if odd.get(a) == odd.get(b):
            raise ValueError(
                f"layers {a} and {b} are on the same side, and have weights; expected a graph of two sides"
            )
    if len(odd) < n:
        raise ValueError(f"layer {next(i for i in range(n) if i not in odd)} is not joined to layer 0 by any edges")
    sides = tuple(odd[layer] for layer in range(n))
    return LayeredMachine(tuple(units), tuple(biases), tuple(edges), tuple(weights), sides)


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


class LogZ(NamedTuple):
    """The log partition function of a machine, and how it was computed.

    Attributes
    ----------
    value : float
        Nats.
    variance : float
        By bootstrap over chains, nats squared; 0 if exact.
    effective_sample_size : float
    settings : str
        The method in words.
    n_chains : int
        1 if exact.
    """

    value: float
    variance: float
    effective_sample_size: float
    settings: str
    n_chains: int


def log_Z(
    machine: LayeredMachine,
    even: Sequence[np.ndarray],
    *,
    n_chains: int,
    n_temperatures: int,
    schedule: str | np.ndarray = "quadratic",
    method: str | None = None,
    seed: Seed = 0,
    mode: Any = None,
) -> LogZ:
    """Return log Z of a machine whose odd layers are binary, and whose biases have shape (n_l,).

    Parameters
    ----------
    machine : LayeredMachine
    even : sequence of numpy.ndarray, each (n, n_l)
        States of the even layers, such as those of persistent chains. The base of annealing is fitted to a short chain
        from there.
    n_chains, n_temperatures, schedule
        Of AIS; see :class:`rnnrbm.scoring.likelihood.Evaluator`.
    method : {"ais", "exact"} or None
        None enumerates a side of at most 14 binary units, and anneals otherwise.
    seed : int or numpy.random.Generator
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Raises
    ------
    ValueError
        If an odd layer is not binary, or a setting is impossible.
    """
    whole = machine.as_rbm()
    if not whole.visible.is_binary:
        raise ValueError(f"log Z needs binary units in the odd layers, and they are {whole.visible}")
    tensors = engine.function([], [whole.W, whole.b_v, whole.b_h], mode=mode)()
    W, b_v, b_h = (engine.to_numpy(x) for x in tensors)
    shared = [engine.shared(x, name, machine.dtype) for x, name in ((W, "W"), (b_v, "b_v"), (b_h, "b_h"))]
    rbm = RBM(shared[0], shared[1], shared[2], Bernoulli(), whole.hidden)
    if method is None:
        binary = [n for n, unit in zip(rbm.W.type.shape, (rbm.visible, rbm.hidden), strict=True) if unit.is_binary]
        method = "exact" if min(binary) <= MOST_ENUMERATED else "ais"
    evaluate = Evaluator(
        rbm, method=method, n_chains=n_chains, n_temperatures=n_temperatures, schedule=schedule, mode=mode
    )
    # the likeliest odd states given the even ones
    frames = (np.concatenate(even, axis=1) @ W.T + b_v > 0).astype(machine.dtype)
    scored = evaluate([frames], seed=seed)
    x = pt.as_tensor(frames[:1])
    free_energy = engine.to_numpy(engine.function([], rbm.free_energy(x), mode=mode)())
    return LogZ(
        float(-free_energy[0] - scored.frames[0][0]),
        float(scored.variances[0][0]),
        float(scored.effective_sample_size[0]),
        scored.settings,
        scored.n_chains,
    )
