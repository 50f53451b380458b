"""Packing pieces of any length into batches of one fixed shape, so that one program is compiled. NumPy only.

Pieces are packed into rows of ``row_length`` frames: short pieces one after the other, long pieces cut into segments at
places that differ from epoch to epoch. ``start`` marks where a piece or segment begins and the recurrent state is
reset. A segment from the middle of a piece follows some frames of context, which the RNN reads but the loss ignores
(``mask`` 0), as it ignores padding at the end of a row.

A batch holds offsets into the data, not data. The frames stay on the device (:attr:`PackedDataset.frames`), and
:func:`rnnrbm.training.step.gather` gathers them there. Where they are too many for that
(:attr:`PackedDataset.on_device`), the pieces stay where they are, such as in a file that is mapped into memory, and
:meth:`PackedDataset.dense` gathers the frames of each batch from there. Results are the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from rnnrbm import memory
from rnnrbm.pieces import chunks, first_frames, frames_at

__all__ = ["DEVICE_SHARE", "PackedBatch", "PackedDataset", "transposed"]

#: Frames that would take more than this part of the memory stay where they are, and each batch is gathered from there.
#: An eighth leaves room for the copies that exist while they are put on the device.
DEVICE_SHARE = 1 / 8


class PackedBatch(NamedTuple):
    """One batch.

    Attributes
    ----------
    offset : numpy.ndarray, shape (row_length, batch_size), int32, or int64 if the frames are not on the device
        Position of each frame's first note in the flattened frames of the data set, including transposition.
    mask : numpy.ndarray, shape (row_length, batch_size), float32
        1 for frames that the loss includes.
    start : numpy.ndarray, shape (row_length, batch_size), bool
        True where a piece or segment begins.
    """

    offset: np.ndarray
    mask: np.ndarray
    start: np.ndarray

    def rows(self, which: slice) -> PackedBatch:
        """Return some rows of the batch."""
        return PackedBatch(*(x[:, which] for x in self))


class PackedDataset:
    """Pieces packed for training.

    Parameters
    ----------
    pieces : sequence of arrays (T, n_visible)
        Arrays of one type: uint8 for piano-rolls.
    row_length : int
        Frames in a row.
    batch_size : int
        Rows in a batch; at most the number of rows.
    context : int
        Frames of context before a segment from the middle of a piece; at most half of `row_length`.
    align : int
        Segments, including context, begin at multiples of this number of frames; at most `row_length` - `context`.
    transpose_range : (int, int)
        Each piece is transposed anew every epoch, by a whole number of columns drawn uniformly from this range,
        both ends included. The range is narrowed for each piece so that no note leaves the roll.
    on_device : bool
        False leaves the frames where they are, however few they are.

    Attributes
    ----------
    on_device : bool
        Whether all frames are few enough for the device: less than 2**31 cells, which take at most
        :data:`DEVICE_SHARE` of the memory.

    Raises
    ------
    ValueError
        If there are no pieces, a piece is empty or has another width, or a setting is impossible.
    """

    def __init__(
        self,
        pieces: Sequence[np.ndarray],
        *,
        row_length: int = 128,
        batch_size: int = 16,
        context: int = 16,
        align: int = 1,
        transpose_range: tuple[int, int] = (0, 0),
        on_device: bool = True,
    ) -> None:
        if len(pieces) == 0:
            raise ValueError("there are no pieces to train on; give at least one array (T, n_visible)")
        width = pieces[0].shape[-1]
        for i, piece in enumerate(pieces):
            if piece.ndim != 2 or len(piece) == 0 or piece.shape[1] != width:
                raise ValueError(f"piece {i} has shape {piece.shape}, expected (T, {width}) with T of 1 or more")
        if row_length < 1 or batch_size < 1:
            raise ValueError(f"row_length and batch_size must be at least 1, got {row_length} and {batch_size}")
        if not 0 <= context <= row_length // 2:
            raise ValueError(f"context must be between 0 and half of row_length ({row_length // 2}), got {context}")
        if not 1 <= align <= row_length - context:
            raise ValueError(
                f"align must be between 1 and row_length - context ({row_length - context}), got {align}; "
                "a model with a clock needs it"
            )
        if transpose_range[0] > transpose_range[1] or transpose_range[0] > 0 or transpose_range[1] < 0:
            raise ValueError(f"transpose_range must be a range around 0, such as (-5, 6), got {transpose_range}")
        self.row_length, self.context, self.n_visible, self._align = row_length, context, width, align
        self.lengths = np.array([len(p) for p in pieces])
        # silent columns on both sides make a transposed frame a window; one silent frame serves as padding
        # (a piece can move by fewer columns than it has)
        self._margin = min(max(-transpose_range[0], transpose_range[1]), width - 1)
        self._width = width + 2 * self._margin
        self._pieces = list(pieces)
        self._first = first_frames(pieces)
        cells = int(self._first[-1] + 1) * self._width
        self.dtype = pieces[0].dtype
        few = cells < 2**31 and cells * self.dtype.itemsize <= DEVICE_SHARE * memory.available()
        self.on_device = on_device and few
        # without transposition nothing has to be looked at
        still = tuple(transpose_range) == (0, 0)
        self._shifts = np.array([(0, 0) if still else self._shift_range(p, *transpose_range) for p in pieces])
        rows = len(self._pack(np.random.default_rng(0)))
        self.batch_size = min(batch_size, rows)
        memory.check(
            self.batch_size * row_length * (4 * width + 9),
            f"a batch of {self.batch_size} rows of {row_length} frames",
            "choose a smaller row_length or batch_size",
        )

    @property
    def is_still(self) -> bool:
        """Whether frames are never transposed, so that the data have no silent columns beside them."""
        return self._margin == 0

    @property
    def frames(self) -> np.ndarray:
        """All frames, with silent columns on both sides, and a silent one: (n_frames + 1, width), a new array.

        Raises
        ------
        MemoryError
            If they are too many for the device.
        """
        if not self.on_device:
            raise memory.TooMuch(
                f"the data have {self._first[-1]} frames of {self._width} columns, too many for the device; take the "
                "frames of each batch, dense(batch)"
            )
        frames = np.zeros((self._first[-1] + 1, self._width), self.dtype)
        for piece, first in zip(self._pieces, self._first[:-1], strict=True):
            frames[first : first + len(piece), self._margin : self._margin + self.n_visible] = piece
        return frames

    @cached_property
    def max_active(self) -> int:
        """Greatest number of nonzero units in a frame; of real numbers, the number of units."""
        if self.dtype.kind == "f":
            return self.n_visible
        return max(int(np.count_nonzero(part, axis=1).max()) for part in chunks(self._pieces))

    def mean(self) -> np.ndarray:
        """Mean frame of the data, not transposed: (n_visible,), float64."""
        return np.asarray(sum(piece.sum(axis=0, dtype=float) for piece in self._pieces) / self._first[-1])

    @staticmethod
    def _shift_range(piece: np.ndarray, low: int, high: int) -> tuple[int, int]:
        used = np.flatnonzero(piece.any(axis=0))
        if used.size == 0:
            return 0, 0
        return max(low, -int(used[0])), min(high, piece.shape[1] - 1 - int(used[-1]))

    def _segments(self, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
        """Cut pieces into (piece, first frame, frames of context, frames), in random order."""
        segments = []
        for piece, length in enumerate(self.lengths):
            if length <= self.row_length:
                segments.append((piece, 0, 0, int(length)))
                continue
            stride = self.row_length - self.context - (self._align - 1)
            end = int(rng.integers(1, stride + 1))
            begin = 0
            while begin < length:
                end = min(end, int(length))
                context = min(self.context, begin)
                context += (begin - context) % self._align
                segments.append((piece, begin - context, context, end - begin + context))
                begin, end = end, end + stride
        return [segments[i] for i in rng.permutation(len(segments))]

    def _pack(self, rng: np.random.Generator) -> Any:
        """Put segments into rows of `row_length` frames, each into the first row with enough room.

        Rows of one frame are an array of frame numbers, shape (frames,), which is fast for many frames.
        """
        if self.row_length == 1:
            return rng.permutation(int(self._first[-1]))
        rows: list[list[tuple[int, int, int, int]]] = []
        least = max(1, min(16, self.row_length // 4))  # free frames of a row that is not nearly full
        room: dict[int, list[int]] = {}  # rows that have so many free frames, as a heap
        for segment in self._segments(rng):
            size = segment[3]
            i, free = min(((of[0], free) for free, of in room.items() if size <= free), default=(len(rows), 0))
            if i == len(rows):
                rows.append([])
                free = self.row_length
            else:
                heapq.heappop(room[free])
                if not room[free]:
                    del room[free]
            rows[i].append(segment)
            if (left := free - size) >= least:
                heapq.heappush(room.setdefault(left, []), i)
        return rows

    def n_batches(self, seed: tuple[int, ...]) -> int:
        """Number of batches of the epoch drawn with `seed`."""
        return -(-len(self._pack(np.random.default_rng(seed))) // self.batch_size)

    def epoch(self, seed: tuple[int, ...], *, transpose_prob: float = 1.0, fill: bool = True) -> Iterator[PackedBatch]:
        """Yield the batches of one epoch: each frame once, in a new order and transposition.

        The last batch is filled with rows of the same epoch, drawn again.

        Parameters
        ----------
        seed : tuple of int
            For example (seed, epoch). The same seed gives the same batches.
        transpose_prob : float
            Fraction of the pieces that are transposed.
        fill : bool
            False gives mask 0 to the rows that fill the last batch, so that each frame counts exactly once.

        Raises
        ------
        ValueError
            If `transpose_prob` is not between 0 and 1.
        """
        if not 0.0 <= transpose_prob <= 1.0:
            raise ValueError(f"transpose_prob must be between 0 and 1, got {transpose_prob}")
        rng = np.random.default_rng(seed)
        rows = self._pack(rng)
        missing = -len(rows) % self.batch_size
        again = rng.choice(len(rows), missing, replace=False) if missing else np.empty(0, int)
        rows = np.append(rows, rows[again]) if self.row_length == 1 else [*rows, *(rows[i] for i in again)]
        shifts = rng.integers(self._shifts[:, 0], self._shifts[:, 1] + 1)
        if transpose_prob < 1.0:
            shifts *= rng.random(len(shifts)) < transpose_prob
        for i in range(0, len(rows), self.batch_size):
            batch = self._batch(rows[i : i + self.batch_size], shifts)
            if not fill:
                batch.mask[:, max(0, len(rows) - missing - i) :] = 0.0
            yield batch

    def _batch(self, rows: Any, shifts: np.ndarray) -> PackedBatch:
        shape = (self.row_length, len(rows))
        dtype = np.int32 if self.on_device else np.int64
        if self.row_length == 1:
            piece = np.searchsorted(self._first, rows, side="right") - 1
            offset = (rows * self._width + self._margin - shifts[piece]).astype(dtype)[None]
            return PackedBatch(offset, np.ones(shape, np.float32), np.ones(shape, bool))
        offset = np.full(shape, self._first[-1] * self._width + self._margin, dtype)
        mask, start = np.zeros(shape, np.float32), np.zeros(shape, bool)
        for column, row in enumerate(rows):
            t = 0
            for piece, first, context, size in row:
                frame = self._first[piece] + first + np.arange(size)
                offset[t : t + size, column] = frame * self._width + self._margin - shifts[piece]
                mask[t + context : t + size, column] = 1.0
                start[t, column] = True
                t += size
        return PackedBatch(offset, mask, start)

    def dense(self, batch: PackedBatch) -> np.ndarray:
        """Return the frames of a batch as an array (row_length, batch_size, n_visible), in the type of the data."""
        position, column = np.divmod(batch.offset.ravel(), self._width)
        frames = frames_at(self._pieces, self._first, position)
        shifts = self._margin - column
        for shift in np.unique(shifts[shifts != 0]):  # no note leaves the roll, so np.roll wraps only silent columns
            frames[shifts == shift] = np.roll(frames[shifts == shift], shift, axis=1)
        return frames.reshape((*batch.offset.shape, self.n_visible))

    def inputs(self, batch: PackedBatch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what a compiled function reads of a batch: offsets, or frames that are not on the device; then masks.

        See :func:`rnnrbm.training.step.symbolic_batch`.
        """
        return (batch.offset if self.on_device else self.dense(batch)), batch.mask, batch.start


def transposed(
    pieces: Sequence[np.ndarray], transpose_range: tuple[int, int], seed: int = 0, *, transpose_prob: float = 1.0
) -> list[np.ndarray]:
    """Return pieces as in training: each piece is shifted at random with probability `transpose_prob`."""
    rng = np.random.default_rng(seed)
    ranges = [PackedDataset._shift_range(p, *transpose_range) for p in pieces]
    shifts = [int(rng.integers(low, high + 1)) for low, high in ranges]
    shifts = [
        shift if chance < transpose_prob else 0 for shift, chance in zip(shifts, rng.random(len(shifts)), strict=True)
    ]
    # no note leaves the roll, so np.roll wraps only silent columns
    return [np.roll(piece, shift, axis=1) for piece, shift in zip(pieces, shifts, strict=True)]
