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
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.joint_units import Joint
from rnnrbm.rbm import RBM
from rnnrbm.units import LearnedGaussian, Unit, own_energy

__all__ = ["LayeredMachine", "layered"]


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
