"""Samples of deep Boltzmann machines, of whole frames or of unknown columns, and reconstructions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.arguments import as_array, whole_number
from rnnrbm.backend.random import Rng, Seed
from rnnrbm.densities import clamped
from rnnrbm.joint_units import partly_given, placeholder, unit_index
from rnnrbm.models.class_balance import class_log_Z
from rnnrbm.models.deep_learning import hidden_means
from rnnrbm.models.deep_parts import DeepMachine, joined, split
from rnnrbm.models.layered_inference import gibbs
from rnnrbm.models.rows import map_rows, single_frames

__all__ = ["complete", "reconstruct", "sample"]


#: Chains and temperatures of the distribution of the labels of samples.
LABEL_CHAINS, LABEL_TEMPERATURES = 50, 500


#: Share of the steps of a sample in which the inverse temperature rises from 0 to 1.
ANNEALED_SHARE = 0.75


def sample(
    model: DeepMachine,
    n_samples: int,
    k: int,
    seed: Seed,
    mode: Any,
    *,
    clamp: np.ndarray | None = None,
    expected: bool = False,
) -> np.ndarray:
    """Return samples (n_samples, n_visible) after `k` Gibbs steps from noise.

    In the first three quarters of them, the inverse temperature rises from 0 to 1 by equal steps. A label is drawn
    first, from its own distribution by :func:`rnnrbm.models.class_balance.class_log_Z`, since chains seldom change it.

    Parameters
    ----------
    clamp : numpy.ndarray or None, shape (n_samples, n_visible)
        Fixed values, NaN for free columns. Samples are then those of the free columns given the fixed ones.
    expected : bool
        Return the means of the frames given the last hidden layers, not samples.
    """
    n_samples, k = whole_number("n_samples", n_samples, 1), whole_number("k", k, 1)
    rising = int(ANNEALED_SHARE * k)
    betas = np.concatenate([np.arange(1, rising + 1) / (rising + 1), np.ones(k - rising)])
    machine = model.machine
    evens = machine.side(False)

    log_shares: Any = None
    if clamp is None and model.held is not None:
        log_Z = class_log_Z(
            machine, model.held, n_chains=LABEL_CHAINS, n_temperatures=LABEL_TEMPERATURES, mode=mode
        ).log_mean
        log_shares = (log_Z - log_Z.max()).astype(machine.dtype)

    def build(known: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        even = []
        for layer in evens:
            shape = (known.type.shape[0], machine.sizes[layer])
            x, rng = machine.units[layer].noise(pt.zeros(shape, known.dtype), rng)
            even.append(pt.specify_shape(x, shape))
        held = None if clamp is None else split(model, known)
        if held is None and model.held is not None:
            rows_of = pt.zeros_like(even[evens.index(model.held)])
            label, rng = machine.units[model.held].sample(rows_of + pt.as_tensor(log_shares), rng)
            held = {model.held: label}
        even, rng = gibbs(machine, even, rng, k, clamp=held, betas=betas)
        values = dict(zip(evens, even, strict=True))
        if expected:
            for layer in machine.side(True):
                x, rng = machine.units[layer].sample(machine.activation(layer, values), rng)
                values[layer] = x
            odd = {layer: values[layer] for layer in machine.side(True)}
            for layer in model.visible_layers:
                mean = machine.units[layer].mean(machine.activation(layer, odd))
                values[layer] = clamped(mean, (held or {}).get(layer))
        return joined(model, values), rng

    rows = np.zeros((n_samples, model.n_visible), machine.dtype) if clamp is None else clamp
    return map_rows(build, rows, dtype=machine.dtype, seed=seed, mode=mode)


def complete(
    model: DeepMachine, frames: np.ndarray, k: int, seed: Seed, mode: Any, *, expected: bool = False
) -> np.ndarray:
    """Return frames (n, n_visible) whose unknown columns, those that are NaN, are sampled given the known ones.

    Raises
    ------
    ValueError
        If frames have another width, a known value is impossible, or a part of a softmax group is unknown.
    TypeError
        If they hold anything but numbers.
    """
    frames = as_array(frames, "frames")
    if frames.ndim != 2 or not len(frames) or frames.shape[1] != model.n_visible:
        raise ValueError(f"frames has shape {frames.shape}, expected (1 or more, {model.n_visible}), NaN where unknown")
    unknown = np.isnan(frames)
    if (bad := partly_given(model.visible, ~unknown)).any():
        row, unit = np.argwhere(bad)[0]
        columns = np.flatnonzero(unit_index(model.visible, model.n_visible) == unit)
        raise ValueError(
            f"frame {row} has {int(unknown[row, columns].sum())} unknown columns among {columns.tolist()}, "
            "which are one choice; set all of them to NaN, or none"
        )
    single_frames(model, np.where(unknown, placeholder(model.visible, model.n_visible), frames))
    return sample(model, len(frames), k, seed, mode, clamp=frames.astype(model.machine.dtype), expected=expected)


def reconstruct(model: DeepMachine, frames: Any, mode: Any) -> np.ndarray:
    """Return the expected frames given the mean-field hidden units of frames (n, n_visible): the same shape."""
    machine = model.machine

    def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        known = hidden_means(model, v)
        means = {layer: machine.units[layer].mean(machine.activation(layer, known)) for layer in model.visible_layers}
        return joined(model, means), rng

    return map_rows(build, single_frames(model, frames), dtype=machine.dtype, seed=0, mode=mode)
