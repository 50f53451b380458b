"""Frames of real numbers that are too many for the memory: written to a file piece by piece, standardised, and mapped.

Few frames stay in memory: at most a gigabyte, and an eighth of the memory. Many are written to a file without a name in
the cache folder, which the system deletes as soon as the process ends, however it ends; two processes have two files.
Pieces are views of the file, so only what is looked at is in memory.
"""

import io
import tempfile
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from rnnrbm import memory
from rnnrbm.files import cache_folder, make_folder
from rnnrbm.io import rolls

__all__ = ["Standardised", "standardised", "stored"]

_CHUNK = 4096  # frames that are handled at once
_CONSTANT = 0.1  # decibels: a band whose highest and lowest values differ by less is left out
_LEAST = 0.01  # least deviation, decibels


class Standardised(NamedTuple):
    """Pieces whose columns have mean 0 and deviation 1 in the first of them.

    Attributes
    ----------
    pieces : list of numpy.ndarray, each of shape (T, n_columns)
        float32, read-only.
    mean, deviation : list of float
        Of each band, three digits after the point; a band that is left out has deviation 0.
    """

    pieces: list[np.ndarray]
    mean: list[float]
    deviation: list[float]


def standardised(pieces: Iterable[Iterable[np.ndarray]], n_bands: int, *, n_train: int, expected: int) -> Standardised:
    """Store pieces, and standardise them by the first `n_train` of them.

    Parameters
    ----------
    pieces : iterable of iterables of numpy.ndarray, shape (n, n_bands)
        Each piece in parts, float32; read once.
    n_bands : int
    n_train : int
        Number of training pieces, which come first.
    expected : int
        About how many frames there will be in all.

    Raises
    ------
    ValueError
        If all bands are constant in the training pieces.
    OSError
        If the cache folder cannot be written, or the disk is full.
    """
    if not _too_many(expected * n_bands * 4):
        return _standardised(pieces, n_bands, n_train, io.BytesIO())
    with _nameless() as file:
        return _standardised(pieces, n_bands, n_train, file)


def stored(pieces: Iterable[np.ndarray], *, expected: int) -> list[np.ndarray]:
    """Store pieces that are made one after the other; return them.

    Parameters
    ----------
    pieces : iterable of numpy.ndarray, each of shape (T, n_columns)
        float32, of one width.
    expected : int
        Bytes that they take in all.

    Raises
    ------
    OSError
        If the cache folder cannot be written, or the disk is full.
    """
    if not _too_many(expected):
        return list(pieces)
    shapes: list[tuple[int, ...]] = []
    with _nameless() as file:
        for piece in pieces:
            _write(file, piece)
            shapes.append(piece.shape)
        return _views(_frames(file, shapes[0][1]), [n for n, _ in shapes])


def _too_many(size: int) -> bool:
    """Return whether so many bytes of frames belong on disk."""
    return size > min(rolls.MAX_BYTES, memory.available() / 8)


def _views(frames: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
    ends = np.cumsum(lengths)
    return [frames[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _standardised(pieces: Iterable[Iterable[np.ndarray]], n_bands: int, n_train: int, file: BinaryIO) -> Standardised:
    lengths: list[int] = []
    sums, squares, n = np.zeros(n_bands), np.zeros(n_bands), 0
    low, high = np.full(n_bands, np.inf, np.float32), np.full(n_bands, -np.inf, np.float32)
    first: np.ndarray | None = None
    for i, parts in enumerate(pieces):
        lengths.append(0)
        for part in parts:
            lengths[-1] += len(part)
            _write(file, np.asarray(part, np.float32))
            if i < n_train and len(part):
                first = part[0].astype(float) if first is None else first
                about = part - first  # so that the squares do not lose what is small beside a great mean
                n += len(part)
                sums += about.sum(axis=0)
                squares += np.square(about).sum(axis=0)
                low, high = np.minimum(low, part.min(axis=0)), np.maximum(high, part.max(axis=0))
    if first is None:
        raise ValueError("there is no training frame; give at least one")
    deviation = np.sqrt(np.maximum(squares / n - np.square(sums / n), 0.0))
    kept = high - low >= _CONSTANT
    if not kept.any():
        raise ValueError("no band of the spectrogram varies in the training set; choose another band of frequencies")
    deviation = np.where(kept, np.round(np.maximum(deviation, _LEAST), 3), 0.0)
    mean = np.round(first + sums / n, 3)
    _rescale(file, sum(lengths), mean, deviation)
    return Standardised(_views(_frames(file, int(kept.sum())), lengths), mean.tolist(), deviation.tolist())


def _nameless() -> BinaryIO:
    """Return a file that vanishes with the process."""
    folder = make_folder(cache_folder() / "spectrograms", "spectrograms")  # not where files may be kept in memory
    return cast(BinaryIO, tempfile.TemporaryFile(dir=folder))


def _write(file: BinaryIO, frames: np.ndarray) -> None:
    try:
        file.write(frames.tobytes())
        if not isinstance(file, io.BytesIO):
            file.flush()
    except OSError as error:
        raise OSError(
            f"{cache_folder() / 'spectrograms'}: the frames cannot be stored there ({error.strerror}); free some "
            "space, or set another folder in the environment variable RNNRBM_CACHE"
        ) from None


def _rescale(file: BinaryIO, n_frames: int, mean: np.ndarray, deviation: np.ndarray) -> None:
    """Standardise the frames in a file, and close the gaps of the bands that are left out."""
    kept = np.flatnonzero(deviation)
    shift, scale = mean[kept].astype(np.float32), deviation[kept].astype(np.float32)
    for start in range(0, n_frames, _CHUNK):
        n = min(_CHUNK, n_frames - start)
        file.seek(start * len(mean) * 4)
        part = np.frombuffer(file.read(n * len(mean) * 4), np.float32).reshape(n, len(mean))
        file.seek(start * len(kept) * 4)  # never after what is still to be read
        _write(file, (part[:, kept] - shift) / scale)
    file.truncate(n_frames * len(kept) * 4)


def _frames(file: BinaryIO, n_columns: int) -> np.ndarray:
    if isinstance(file, io.BytesIO):
        frames = np.frombuffer(file.getbuffer(), np.float32).reshape(-1, n_columns)
        frames.flags.writeable = False
        return frames
    return np.asarray(np.memmap(file, np.float32, "r")).reshape(-1, n_columns)
