"""Drift: whether samples stay within what the training set holds, however long they are.

A model that writes a little more than it was trained on reads a little more at the next frame, and may write more and
more. What is watched is the *level* of the frames, one number for each: of piano-rolls the number of notes. Its means
over windows are compared with those of the training set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["SIZES", "TOLERANCE", "Departure", "departures", "ranges", "window_means"]

#: Frames of a window; the largest one that a sample has is used.
SIZES = (16, 64, 256)

#: Fraction by which a level may lie outside the range of the training set.
TOLERANCE = 0.05

Levels = Sequence[np.ndarray]
Ranges = Mapping[int, tuple[float, float]]


def window_means(levels: Levels, size: int) -> np.ndarray:
    """Return the mean level in each window, one after the other, of a set of pieces.

    Parameters
    ----------
    levels : sequence of arrays (T,)
        Level of each frame of a piece.
    size : int
        Frames of a window. A piece that is shorter is one window, and what remains at the end of a longer one is none.
    """
    return np.concatenate(
        [
            [level.mean()] if len(level) < size else level[: len(level) // size * size].reshape(-1, size).mean(axis=1)
            for level in (np.asarray(level, float) for level in levels)
        ]
    )


def ranges(levels: Iterable[np.ndarray]) -> dict[int, tuple[float, float]]:
    """Return the least and the greatest mean level of the windows of a training set, for each of :data:`SIZES`.

    Parameters
    ----------
    levels : iterable of arrays (T,)
        Level of each frame of a piece, of one piece or more; read once.
    """
    least, greatest = (dict.fromkeys(SIZES, sign * np.inf) for sign in (1, -1))
    for level in levels:
        for size in SIZES:
            means = window_means([level], size)
            least[size], greatest[size] = min(least[size], float(means.min())), max(greatest[size], float(means.max()))
    return {size: (least[size], greatest[size]) for size in SIZES}


class Departure(NamedTuple):
    """Samples that leave the range of the training set.

    Attributes
    ----------
    n_samples : int
        How many do.
    sample, frame : int
        The sample and its first window that is farthest outside, both counted from 0.
    size : int
        Frames of a window.
    level : float
        Mean level of that window.
    usual : (float, float)
        Least and greatest mean level of windows of the training set.
    """

    n_samples: int
    sample: int
    frame: int
    size: int
    level: float
    usual: tuple[float, float]


def departures(levels: Levels, usual: Ranges) -> Departure | None:
    """Return which samples leave the range of the training set by more than :data:`TOLERANCE`.

    It is None if none does, or if they are too short to tell.

    Parameters
    ----------
    levels : sequence of arrays (T,)
        Level of each frame of a sample.
    usual : mapping from sizes of windows to ranges
        See :func:`ranges`.
    """
    size = max((size for size in usual if size <= min(map(len, levels))), default=0)
    if not size:
        return None
    low, high = usual[size]
    means = [window_means([level], size) for level in levels]
    outside = [np.maximum(x - (1 + TOLERANCE) * high, (1 - TOLERANCE) * low - x) for x in means]  # positive outside
    n_samples = sum(bool(x.max() > 0) for x in outside)
    if not n_samples:
        return None
    sample = int(np.argmax([x.max() for x in outside]))
    window = int(outside[sample].argmax())
    return Departure(n_samples, sample, window * size, size, float(means[sample][window]), (low, high))
