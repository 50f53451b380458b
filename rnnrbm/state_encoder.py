"""Network outputs before each frame of pieces of any length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt

from rnnrbm.arguments import as_pieces
from rnnrbm.backend import engine, sharding
from rnnrbm.densities import FrameDensity
from rnnrbm.networks import shifted_outputs
from rnnrbm.pieces import chunks
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import Unit

__all__ = ["StateEncoder", "check_arrays", "check_pieces"]


def check_pieces(pieces: Any, density: FrameDensity, *, name: str = "piece") -> list[np.ndarray]:
    """Return pieces as arrays of valid values of a density's visible units.

    Parameters
    ----------
    pieces : sequence of array-likes (T, n_visible), or one array
        T is 1 or more. Values are 0 and 1 for binary visible units, finite for others; one column of each group of
        softmax units is on.
    density : FrameDensity
    name : str
        Name of a piece in errors.

    Raises
    ------
    ValueError, TypeError
        As :func:`rnnrbm.arguments.as_pieces`, and if a value is invalid.
    """
    return check_arrays(pieces, density.b_v.type.shape[-1], density.visible, dtype=density.b_v.dtype, name=name)


def check_arrays(
    pieces: Any, n_visible: int | None, visible: Unit, *, dtype: str, name: str = "piece"
) -> list[np.ndarray]:
    """Return pieces (T, n_visible) as arrays of valid values of a unit type, of uint8 or of the type `dtype`.

    This is :func:`check_pieces` for a model that is no frame density.
    """
    arrays = as_pieces(pieces, n_visible, name=name)
    for i, array in enumerate(arrays):
        if any(visible.validate(part) for part in chunks([array])):  # what is wrong is told of the whole piece
            raise ValueError(f"{name} {i} {visible.validate(array)}")
    # one type for all, so that packing them loses nothing; a byte is enough for 0 and 1
    small = visible.is_discrete or all(array.dtype.kind in "b" or array.dtype == np.uint8 for array in arrays)
    return [array.astype(np.uint8 if small else dtype, copy=False) for array in arrays]


#: Most memory for the network outputs of a group of pieces, bytes.
_BYTES = 2**26


class StateEncoder:
    """Compiled network outputs of pieces, for repeated use while the network learns.

    Pieces of similar length run together, padded to a few fixed lengths, so that few functions are compiled. No piece
    is cut.

    Parameters
    ----------
    model : SequenceModel
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    """

    def __init__(self, model: SequenceModel, mode: Any = None) -> None:
        self.network, self.mode = model.network, mode
        self.dtype = model.dtype
        self._variables = engine.shared_inputs(model.network.tensors())
        self._programs: dict[tuple[int, ...], Any] = {}
        # frames of a batch: fewer for a network with large states
        self._at_once = min(4096, 2**24 // (1 + model.n_state))

    def __call__(self, pieces: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the output before every frame of every piece: arrays (T, n_outputs)."""
        if self.network.n_outputs == 0:
            return [np.zeros((len(piece), 0), self.dtype) for piece in pieces]
        result: list[np.ndarray] = [np.empty(0)] * len(pieces)
        order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
        while order:
            length = 64
            while length < len(pieces[order[0]]):
                length *= 2
            size = max(1, self._at_once // length)
            group = [i for i in order[:size] if len(pieces[i]) <= length]
            order = order[len(group) :]
            batch = np.zeros((length, size, pieces[0].shape[1]), self.dtype)
            for column, i in enumerate(group):
                batch[: len(pieces[i]), column] = pieces[i]
            u = self._run(batch)
            for column, i in enumerate(group):
                result[i] = u[column, : len(pieces[i])].copy()
        return result

    def blocks(
        self, pieces: Sequence[np.ndarray], size: int, chosen: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the output before chosen frames of pieces, without holding the output of all pieces in memory.

        Parameters
        ----------
        pieces : sequence of arrays (T, n_visible)
        size : int
            Frames of a block; the last block may be smaller.
        chosen : array of int or None
            Indices of frames, counted through all pieces, in rising order; None means all.

        Yields
        ------
        frames : numpy.ndarray, shape (n,), int
            Indices into `chosen`.
        outputs : numpy.ndarray, shape (n, n_outputs)
        """
        lengths = np.array([len(piece) for piece in pieces])
        chosen = np.arange(lengths.sum()) if chosen is None else chosen
        ends = np.cumsum(lengths)
        group = (ends - lengths) // max(1, _BYTES // (1 + self.network.n_outputs * np.dtype(self.dtype).itemsize))
        waiting, first = np.zeros((0, self.network.n_outputs), self.dtype), 0
        for i in np.unique(group):
            among = np.flatnonzero(group == i)
            members = pieces[int(among[0]) : int(among[-1]) + 1]
            begin, end = ends[among[0]] - lengths[among[0]], ends[among[-1]]
            inside = chosen[np.searchsorted(chosen, begin) : np.searchsorted(chosen, end)] - begin
            if len(inside):
                outputs = np.concatenate(self(members))[inside]
                waiting = np.concatenate([waiting, outputs]) if len(waiting) else outputs
            while len(waiting) >= size or (end == ends[-1] and len(waiting)):
                n = min(size, len(waiting))
                yield np.arange(first, first + n), waiting[:n]
                waiting, first = waiting[n:], first + n

    def _run(self, batch: np.ndarray) -> np.ndarray:
        """Map padded sequences (T, B, n_visible) to outputs, batch first: (B, T, n_outputs)."""
        if batch.shape not in self._programs:
            v = pt.tensor("v", dtype=self.dtype, shape=batch.shape)
            compute = engine.function([v], shifted_outputs(self.network, v), mode=self.mode, trust_input=True)
            self._programs[batch.shape] = compute, sharding.Sharding(batch.shape[1], self.mode)
        compute, spread = self._programs[batch.shape]
        with spread.replicated(self._variables):
            rows = engine.to_numpy(compute(spread.shard(batch, axis=1)))
        return rows.reshape((batch.shape[1], batch.shape[0], -1))
