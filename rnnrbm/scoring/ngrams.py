"""N-grams: counts of whole frames and of single notes after their history.

An N-gram is a frame with the N - 1 frames before it, its history. Before a piece there is silence. Frames are stored as
packed bits, eight notes to a byte, as keys of tables.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

__all__ = ["Grams", "Overlaps", "Queries", "note_grams"]

_PAIRS = 1 << 20  # pairs of frames compared at a time

Key = tuple[int, bytes, bytes]  # order, history, frame


def note_grams(rolls: Sequence[np.ndarray], order: int) -> Iterator[np.ndarray]:
    """Yield, for each note, its own last `order` states at every frame of all rolls.

    Parameters
    ----------
    rolls : sequence of arrays (T, n_visible)
        Values are 0 and 1.
    order : int
        From 1 to 31.

    Yields
    ------
    numpy.ndarray, shape (frames,)
        The states as a binary number, the newest in its last bit.
    """
    silence = np.zeros((order - 1, rolls[0].shape[1]), np.uint8)
    padded = np.concatenate([part for roll in rolls for part in (silence, roll)]).T.astype(np.int32)
    is_frame = np.concatenate([np.arange(len(roll) + order - 1) >= order - 1 for roll in rolls])
    for states in padded:
        code = np.zeros_like(states)
        for age in range(order):
            code[age:] += states[: len(states) - age] << age
        yield code[is_frame]


def _keys(rolls: Sequence[np.ndarray], order: int) -> Iterator[tuple[bytes, bytes]]:
    """The `order` - 1 frames before every frame, and the frame itself, as packed bits."""
    for roll in rolls:
        packed = np.packbits(roll, axis=1)
        size = packed.shape[1]
        raw, past = bytes(size * (order - 1)) + packed.tobytes(), size * (order - 1)
        for i in range(0, packed.size, size):
            yield raw[i : i + past], raw[i + past : i + past + size]


def _unpack(chords: Sequence[bytes], n_visible: int) -> np.ndarray:
    """Unpack frames to an array (len(chords), n_visible) of float32, for products."""
    packed = np.frombuffer(b"".join(chords), np.uint8).reshape(len(chords), -1)
    return np.unpackbits(packed, axis=1, count=n_visible).astype(np.float32)


class Queries(NamedTuple):
    """Distinct (order, history, frame) of some frames, and the index of each frame among them.

    Attributes
    ----------
    keys : list of (int, bytes, bytes)
    which : numpy.ndarray of int, shape (frames,)
    """

    keys: list[Key]
    which: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """Fraction of the frames that each key has, shape (keys,)."""
        return np.bincount(self.which, minlength=len(self.keys)) / len(self.which)

    def notes(self) -> np.ndarray:
        """Number of notes in each key's frame, shape (keys,)."""
        return np.array([int.from_bytes(chord).bit_count() for _, _, chord in self.keys])


class Overlaps(NamedTuple):
    """Notes that true frames share with the frames that followed their history in training; arrays of one length.

    A row is the fraction of the frames after the query's history that have `notes` notes, of which `common` are among
    the `there` notes of the query's own frame. The rows of a query add up to 1.
    """

    query: np.ndarray
    there: np.ndarray
    notes: np.ndarray
    common: np.ndarray
    share: np.ndarray


@dataclass(frozen=True)
class Grams:
    """Counts of frames after their history, of orders 1 to N.

    Attributes
    ----------
    n_visible : int
    tables : tuple of dict
        For each order: history, then frame, to the number of times that the frame followed the history.
    """

    n_visible: int
    tables: tuple[dict[bytes, dict[bytes, int]], ...]
    # comparisons of all pairs of frames take most of the time, and several models need the same ones
    _compared: dict[Key, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def count(cls, rolls: Sequence[np.ndarray], order: int) -> Grams:
        """Count N-grams of rolls, arrays (T, n_visible) of 0 and 1, up to an order of 1 or more."""
        tables: list[dict[bytes, dict[bytes, int]]] = []
        for n in range(1, order + 1):
            counts: defaultdict[bytes, Counter[bytes]] = defaultdict(Counter)
            for history, chord in _keys(rolls, n):
                counts[history][chord] += 1
            tables.append(dict(counts))
        return cls(rolls[0].shape[1], tuple(tables))

    @property
    def order(self) -> int:
        """N."""
        return len(self.tables)

    def up_to(self, order: int) -> Grams:
        """Only the counts of orders 1 to `order`."""
        return Grams(self.n_visible, self.tables[:order], self._compared)

    def queries(self, rolls: Sequence[np.ndarray]) -> Queries:
        """Look up every frame of rolls, arrays (T, n_visible), with the longest history that occurred in training."""
        numbers: dict[Key, int] = {}
        which = []
        for history, chord in _keys(rolls, self.order):
            for order in range(self.order, 0, -1):
                known = history[len(history) - len(chord) * (order - 1) :]
                if known in self.tables[order - 1]:  # order 1 has the empty history
                    break
            which.append(numbers.setdefault((order, known, chord), len(numbers)))
        return Queries(list(numbers), np.array(which))

    def counts(self, queries: Queries) -> np.ndarray:
        """Count how often each query's frame followed its history, and how often any frame did: shape (keys, 2)."""
        totals = {key[:2]: 0 for key in queries.keys}
        for order, history in totals:
            totals[order, history] = sum(self.tables[order - 1][history].values())
        return np.array([(self.tables[o - 1][h].get(c, 0), totals[o, h]) for o, h, c in queries.keys], float)

    def overlaps(self, queries: Queries) -> Overlaps:
        """Compare each query's frame with all frames that followed its history; see :class:`Overlaps`."""
        by_history: defaultdict[tuple[int, bytes], list[Key]] = defaultdict(list)
        for key in queries.keys:
            if key not in self._compared:
                by_history[key[:2]].append(key)
        for (order, history), keys in by_history.items():
            self._compare(self.tables[order - 1][history], keys)
        found = [self._compared[key] for key in queries.keys]
        query = np.repeat(np.arange(len(found)), [part.shape[1] for part in found])
        notes, common, share = np.concatenate(found, axis=1)
        return Overlaps(query, queries.notes()[query], notes.astype(np.intp), common.astype(np.intp), share)

    def _compare(self, followed: dict[bytes, int], keys: list[Key]) -> None:
        """Compute the rows (notes, common, share) of keys with the same history."""
        chords = _unpack(list(followed), self.n_visible)
        weights = np.array(list(followed.values()), float)
        weights /= weights.sum()
        notes, kind = np.unique(chords.sum(axis=1), return_inverse=True)
        width = int(notes[-1]) + 1
        # One more column, and 1 in the other factor, so that one product gives the bin: kind * width + common. The
        # whole numbers are exact in float32 unless thousands of notes sound together.
        exact = np.float32 if width**2 < 2**24 else np.float64
        binned = np.column_stack([chords, kind * width]).astype(exact).T
        step = max(1, _PAIRS // len(chords))
        for start in range(0, len(keys), step):
            part = keys[start : start + step]
            true = _unpack([chord for _, _, chord in part], self.n_visible)
            bins = (np.column_stack([true, np.ones(len(part), exact)]) @ binned).astype(np.intp)
            for key, row in zip(part, bins, strict=True):
                share = np.bincount(row, weights)
                some = np.flatnonzero(share)
                self._compared[key] = np.stack([notes[some // width], some % width, share[some]])
