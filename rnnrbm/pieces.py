"""Work on the frames of many pieces without having all of them in memory: in parts, or some of them. NumPy only.

Pieces may be views of a file that is mapped into memory, of which only what is looked at is read
(:mod:`rnnrbm.io.frame_store`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["ColumnMoments", "chunks", "column_moments", "first_frames", "frames_at"]

_CHUNK = 4096  # frames that are handled at once


def chunks(pieces: Iterable[np.ndarray], overlap: int = 0) -> Iterator[np.ndarray]:
    """Yield the frames of pieces in parts of a few thousand, in double precision.

    Parameters
    ----------
    pieces : iterable of numpy.ndarray, each of shape (T, n)
    overlap : int
        So many frames at the beginning of a part are the last ones of the part before it, of the same piece.

    Yields
    ------
    numpy.ndarray, shape (m, n)
        float64. No part has frames of two pieces.
    """
    for piece in pieces:
        for start in range(0, len(piece), _CHUNK):
            yield np.asarray(piece[max(start - overlap, 0) : start + _CHUNK], float)


class ColumnMoments(NamedTuple):
    """Mean and variance of each column.

    Attributes
    ----------
    n : int
        Number of frames.
    mean, variance : numpy.ndarray, shape (n_columns,)
        float64.
    """

    n: int
    mean: np.ndarray
    variance: np.ndarray


def column_moments(parts: Iterable[np.ndarray]) -> ColumnMoments:
    """Return the mean and the variance of each column of frames that come in parts, such as those of :func:`chunks`.

    Moments of parts are combined as by Chan, Golub & LeVeque (1979), which is as exact as having all frames at once.

    Parameters
    ----------
    parts : iterable of numpy.ndarray, each of shape (m, n_columns)
        float64; empty parts count nothing.

    Raises
    ------
    ValueError
        If there is no frame.
    """
    n, mean, squares = 0, np.zeros(()), np.zeros(())
    for part in parts:
        if not len(part):
            continue
        own = part.mean(axis=0)
        share = len(part) / (n + len(part))
        away = own - mean
        squares = squares + np.square(part - own).sum(axis=0) + np.square(away) * (n * share)
        mean = mean + away * share
        n += len(part)
    if not n:
        raise ValueError("there is no frame; give at least one")
    return ColumnMoments(n, mean, squares / n)


def first_frames(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Return the position of each piece's first frame, counted through all pieces, and last the number of all frames.

    Returns
    -------
    numpy.ndarray, shape (n_pieces + 1,), int64
    """
    return np.cumsum([0, *map(len, pieces)], dtype=np.int64)


def frames_at(pieces: Sequence[np.ndarray], first: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return some frames.

    Parameters
    ----------
    pieces : sequence of numpy.ndarray, each of shape (T, n)
    first : numpy.ndarray
        What :func:`first_frames` returns of the pieces.
    positions : numpy.ndarray, shape (m,), int
        Positions of the frames, counted through all pieces, in any order. A position outside gives zeros.

    Returns
    -------
    numpy.ndarray, shape (m, n)
        In the type of the pieces.
    """
    frames = np.zeros((len(positions), pieces[0].shape[1]), pieces[0].dtype)
    piece = np.searchsorted(first, positions, side="right") - 1  # no empty piece is found so
    order = np.argsort(piece, kind="stable")
    edges = np.flatnonzero(np.diff(piece[order])) + 1
    for rows in np.split(order, edges):
        if len(rows) and 0 <= (i := piece[rows[0]]) < len(pieces):
            frames[rows] = pieces[i][positions[rows] - first[i]]
    return frames
