"""What deep Boltzmann machines are made of: shared variables, the layers of a frame, and what training starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine, random
from rnnrbm.backend.random import as_seed
from rnnrbm.models.layered import LayeredMachine, layered
from rnnrbm.units import Unit

__all__ = ["DeepMachine", "joined", "prepare", "shared_parts", "split"]


class DeepMachine(Protocol):
    """What the functions here need of a model."""

    @property
    def machine(self) -> LayeredMachine:
        """The layers."""

    @property
    def visible_layers(self) -> tuple[int, ...]:
        """Layers that a frame is made of, in the order of its columns; all of them are even."""

    @property
    def offsets(self) -> tuple[Any, ...]:
        """Shared variables (n_l,), one for each layer."""

    @property
    def chains(self) -> tuple[Any, ...]:
        """Shared variables (n_chains, n_l), one for each even layer."""

    @property
    def held(self) -> int | None:
        """An even layer that the chains of training never change, such as a label; see :func:`chains_of_training`."""

    @property
    def layer_chains(self) -> tuple[Any, ...]:
        """Shared variables (n_chains, n_l), for each hidden layer; see :func:`rnnrbm.models.layerwise.new_chains`."""

    @property
    def n_mean_field(self) -> int:
        """Mean-field steps of training."""

    @property
    def k(self) -> int:
        """Gibbs steps of the chains in each update."""

    @property
    def params(self) -> list[Any]:
        """Weights and biases."""

    @property
    def visible(self) -> Unit:
        """Unit type of a frame."""

    @property
    def n_visible(self) -> int:
        """Columns of a frame."""


def split(model: DeepMachine, v: Any) -> dict[int, Any]:
    """Return the columns (R, n_l) of each visible layer of frames (R, n_visible), arrays or graphs."""
    ends = np.cumsum([model.machine.sizes[layer] for layer in model.visible_layers]).tolist()
    begins = [0, *ends[:-1]]
    return {layer: v[:, begin:end] for layer, begin, end in zip(model.visible_layers, begins, ends, strict=True)}


def joined(model: DeepMachine, values: Mapping[int, Any]) -> TensorVariable:
    """Return frames (R, n_visible) of the values of the visible layers; the inverse of :func:`split`."""
    parts = [values[layer] for layer in model.visible_layers]
    return parts[0] if len(parts) == 1 else pt.concatenate(parts, axis=1)


def shared_parts(
    units: Sequence[Unit],
    biases: Sequence[np.ndarray],
    edges: Sequence[tuple[int, int]],
    rng: np.random.Generator,
    scales: Sequence[float],
    n_chains: int,
    dtype: str | None,
) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
    """Make the shared variables of a machine: its weights, biases, offsets and chains.

    Offsets and chains are the means and samples of independent units with these biases.

    Parameters
    ----------
    units, biases, edges
        As for :func:`rnnrbm.models.layered.layered`; biases are arrays.
    rng : numpy.random.Generator
    scales : sequence of float
        Standard deviation of the initial weights of each edge.
    n_chains : int
    dtype : str or None
        None: PyTensor's ``floatX``.
    """
    sizes = [len(b) for b in biases]
    weights = tuple(
        engine.shared(scale * rng.standard_normal((sizes[a], sizes[b])), f"W_{i}", dtype)
        for i, ((a, b), scale) in enumerate(zip(edges, scales, strict=True), 1)
    )
    variables = tuple(engine.shared(b, f"b_{i}", dtype) for i, b in enumerate(biases))
    machine = layered(units, variables, edges, weights)
    evens = machine.side(False)
    offsets, chains = _alone(machine, evens, n_chains, as_seed(rng))
    return (
        weights,
        variables,
        tuple(engine.shared(x, f"offset_{i}", dtype) for i, x in enumerate(offsets)),
        tuple(engine.shared(x, f"chain_{layer}", dtype) for layer, x in zip(evens, chains, strict=True)),
    )


def _alone(
    machine: LayeredMachine, layers: Sequence[int], n_chains: int, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the mean statistic of every layer, and samples (n_chains, n_l) of some, if there were no weights."""
    rng = random.shared(seed)
    outputs = [unit.statistic(unit.mean(b)) for unit, b in zip(machine.units, machine.biases, strict=True)]
    for layer in layers:
        x, rng = machine.units[layer].sample(pt.repeat(machine.biases[layer][None], n_chains, axis=0), rng)
        outputs.append(x)
    values = [engine.to_numpy(x) for x in engine.function([], outputs, mode="FAST_COMPILE")()]
    return values[: len(machine.units)], values[len(machine.units) :]


def prepare(model: DeepMachine, pieces: Sequence[np.ndarray]) -> None:
    """Set visible biases that are all zero to those of independent units that fit the pieces, and what follows from it.

    These are the offsets of the frame, and where its chains begin.
    """
    biases: list[Any] = [model.machine.biases[layer] for layer in model.visible_layers]
    if any(b.get_value(borrow=True).any() for b in biases):
        return
    fitted = split(model, model.visible.fitted_bias(pieces)[None])
    for b, values in zip(biases, fitted.values(), strict=True):
        b.set_value(values[0].astype(b.dtype))
    offsets, chains = _alone(model.machine, model.visible_layers, model.chains[0].type.shape[0], 0)
    evens = model.machine.side(False)
    for layer, samples in zip(model.visible_layers, chains, strict=True):
        model.offsets[layer].set_value(offsets[layer])
        if layer == model.held:  # as many chains of each class as there should be
            places = (np.arange(len(samples)) + 0.5) / len(samples)
            classes = np.searchsorted(np.cumsum(offsets[layer]) / offsets[layer].sum(), places)
            samples = np.eye(samples.shape[1], dtype=samples.dtype)[classes]
        model.chains[evens.index(layer)].set_value(samples)
