"""The weights by which a network's output sets the biases of a density."""

from __future__ import annotations

from typing import Any

import numpy as np
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.random import Seed, generator
from rnnrbm.densities import FrameDensity, bias_of

__all__ = ["init_bias_weights", "project_bias"]


def init_bias_weights(
    n_outputs: int,
    density: FrameDensity,
    *,
    seed: Seed,
    n_parts: int = 1,
    n_direct: int = 0,
    dtype: str | None = None,
) -> tuple[Any, ...]:
    """Make nearly zero weights from a network's output to each bias: ``W_uv`` to ``b_v``, ``W_uh`` to ``b_h``.

    With `n_parts`, the output and each bias are split into equal parts, and all parts share the same weights. With
    `n_direct` last outputs that belong to one visible unit each (see :class:`rnnrbm.networks.Traits`), the last of them
    are added to the visible biases.
    """
    rng = generator(seed)
    if n_outputs == 0:
        return ()
    sizes = {bias: bias_of(density, bias).type.shape[-1] for bias in density.biases}
    for bias, size in sizes.items():
        if size % n_parts:
            raise ValueError(
                f"{bias} has {size} units, which {n_parts} parts of the network's output cannot share equally; combine "
                "a network with parts for every note with a density with as many parts, such as TiedNADE or TiedRBM"
            )
    weights = {}
    for bias, size in sizes.items():
        values = rng.normal(0.0, 1e-4, (n_outputs // n_parts, size // n_parts))
        if n_direct and bias == "b_v":
            values = values + np.eye(n_outputs, size, size - n_outputs)
        weights[bias] = engine.shared(values, f"W_u{bias.removeprefix('b_')}", dtype)
    return tuple(weights.values())


def project_bias(output: TensorVariable, W: TensorVariable) -> TensorVariable:
    """Multiply outputs (..., n_outputs) by weights; apply weights of one part (see `Traits`) to each part."""
    n_outputs, (n_rows, n_columns) = output.type.shape[-1], W.type.shape
    if n_outputs == n_rows:
        return output @ W
    n_parts = n_outputs // n_rows
    return (output.reshape((-1, n_rows)) @ W).reshape((*engine.leading(output), n_parts * n_columns))
