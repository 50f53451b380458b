"""Apply a graph to many rows, block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine, random
from rnnrbm.backend.random import Rng, Seed, as_seed
from rnnrbm.state_encoder import check_arrays

__all__ = ["by_blocks", "map_rows", "row_mapper", "single_frames"]

#: Most rows that are computed at a time.
MOST_ROWS = 512

Build = Callable[[TensorVariable, Rng], tuple[TensorVariable, Rng]]


def row_mapper(
    build: Build, n_rows: int, n_columns: int, *, dtype: str, seed: Seed, mode: Any = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Compile a graph of rows, and return a function that applies it to arrays (n_rows, n_columns).

    Parameters
    ----------
    build : callable
        Maps rows (R, n_columns) and a random stream to a result with R rows and the stream after it.
    n_rows : int
        Rows of each array; R is at most :data:`MOST_ROWS`.
    n_columns : int
    dtype : str
        Type of the rows in the graph.
    seed : int or numpy.random.Generator
        Each call goes on in the stream of this seed.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    """
    size = max(1, min(n_rows, MOST_ROWS))
    v = pt.tensor("v", dtype=dtype, shape=(size, n_columns))
    result, rng = build(v, random.shared(as_seed(seed)))
    compute = engine.function([v], result, rng.updates(), mode=mode, on_unused_input="ignore")

    return lambda rows: by_blocks(lambda block: engine.to_numpy(compute(block)), rows, size, dtype)


def by_blocks(compute: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, size: int, dtype: str) -> np.ndarray:
    """Apply a function of `size` rows to rows (n, n_columns), with n of 1 or more; zeros fill up the last block.

    The function returns an array with as many rows as it was given.
    """
    parts = []
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        block = np.zeros((size, rows.shape[1]), dtype)
        block[: len(part)] = part
        parts.append(compute(block)[: len(part)])
    return np.concatenate(parts)


def map_rows(build: Build, rows: np.ndarray, *, dtype: str, seed: Seed, mode: Any = None) -> np.ndarray:
    """Apply a graph to the rows of an array (n, n_columns), with n of 1 or more; see :func:`row_mapper`."""
    return row_mapper(build, len(rows), rows.shape[1], dtype=dtype, seed=seed, mode=mode)(rows)


def single_frames(model: Any, pieces: Any, *, name: str = "frames") -> np.ndarray:
    """Return frames, or all frames of pieces, as one array (n, n_visible) of valid values of a model's visible units.

    Raises
    ------
    ValueError, TypeError
        See :func:`rnnrbm.state_encoder.check_arrays`.
    """
    dtype = model.params[0].type.dtype
    return np.concatenate(check_arrays(pieces, model.n_visible, model.visible, dtype=dtype, name=name))
