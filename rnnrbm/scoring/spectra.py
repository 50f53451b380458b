"""What spectrograms are like: level, peak frequency, bandwidth and silence of their frames, and how they change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

__all__ = ["SpectralMeasures", "measure", "peak_and_bandwidth"]

_MOST = 2**21  # frames whose own measures are held


class SpectralMeasures(NamedTuple):
    """Measures of some spectrograms.

    Attributes
    ----------
    level : numpy.ndarray, shape (T,)
        Mean over the bands of each frame, decibels; of all pieces, one after the other. Here and in `silent`, `peak`
        and `bandwidth`, sets of more than 2**21 frames have only every second, fourth ... frame of each piece.
    silent : numpy.ndarray of bool, shape (T,)
        Frames whose level is below a threshold.
    peak : numpy.ndarray, shape (T,)
        Frequency of the loudest band of each frame, hertz.
    bandwidth : numpy.ndarray, shape (T,)
        Standard deviation of frequency, weighted by power, hertz.
    mean, deviation : numpy.ndarray, shape (n_bands,)
        Of each band, decibels.
    correlation : numpy.ndarray, shape (n_bands,)
        Of each band with itself one frame earlier; NaN where a band does not vary.
    n_pieces, n_frames : int
    """

    level: np.ndarray
    silent: np.ndarray
    peak: np.ndarray
    bandwidth: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    correlation: np.ndarray
    n_pieces: int
    n_frames: int

    def of_calls(self, values: np.ndarray) -> np.ndarray:
        """Return the values of the frames that are not silent; of all frames if all are silent."""
        return values if self.silent.all() else values[~self.silent]

    def summary(self) -> dict[str, float]:
        """Return the means by name: decibels, a share, hertz, and a correlation."""
        known = self.correlation[np.isfinite(self.correlation)]
        return {
            "mean_level_db": float(self.level.mean()),
            "silent_share": float(self.silent.mean()),
            "peak_frequency_hz": float(self.of_calls(self.peak).mean()),
            "bandwidth_hz": float(self.of_calls(self.bandwidth).mean()),
            "frame_correlation": float(known.mean()) if len(known) else 0.0,
        }


def peak_and_bandwidth(levels: np.ndarray, frequencies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequency of the loudest band, and the deviation of frequency weighted by power, of each spectrum.

    Parameters
    ----------
    levels : numpy.ndarray, shape (n, n_bands)
        Decibels.
    frequencies : numpy.ndarray, shape (n_bands,)
        Centres of the bands, hertz.

    Returns
    -------
    peak, bandwidth : numpy.ndarray, shape (n,)
        Hertz.
    """
    power = 10 ** ((levels - levels.max(axis=1, keepdims=True)) / 10)
    power /= power.sum(axis=1, keepdims=True)
    middle = power @ frequencies
    return frequencies[levels.argmax(axis=1)], np.sqrt(np.maximum(power @ frequencies**2 - middle**2, 0.0))


def measure(pieces: Iterable[np.ndarray], frequencies: np.ndarray, silence: float | None = None) -> SpectralMeasures:
    """Measure spectrograms, one after the other, so that they need not be in memory together.

    Parameters
    ----------
    pieces : iterable of numpy.ndarray, shape (T, n_bands)
        Decibels; one piece or more.
    frequencies : numpy.ndarray, shape (n_bands,)
        Centres of the bands, hertz.
    silence : float, optional
        A frame of a lower mean level is silent, decibels. By default, of one below the mean of all.

    Raises
    ------
    ValueError
        If there is no piece, or one has another number of bands.
    """
    measured: list[np.ndarray] = []
    every, held = 1, 0
    n, pairs, count = 0, 0, 0
    total, squares, products, ends = np.zeros((4, len(frequencies)))
    for piece in pieces:
        if piece.ndim != 2 or piece.shape[1] != len(frequencies) or not len(piece):
            raise ValueError(f"piece of shape {piece.shape}; expected frames of {len(frequencies)} bands")
        x = np.asarray(piece, float)
        count += 1
        n, pairs = n + len(x), pairs + len(x) - 1
        total += x.sum(axis=0)
        squares += np.square(x).sum(axis=0)
        products += (x[1:] * x[:-1]).sum(axis=0)
        ends += x[1:].sum(axis=0) + x[:-1].sum(axis=0)
        x = x[::every]
        measured.append(np.stack([x.mean(axis=1), *peak_and_bandwidth(x, frequencies)]))
        held += len(x)
        while held > _MOST:
            every *= 2
            measured = [of_piece[:, ::2].copy() for of_piece in measured]
            held = sum(of_piece.shape[1] for of_piece in measured)
    if not count:
        raise ValueError("there is no piece; give at least one")
    mean = total / n
    variance = np.maximum(squares / n - mean**2, 0.0)
    varies = variance > 1e-9 * (1 + mean**2)
    covariance = products / max(pairs, 1) - mean * ends / max(pairs, 1) + mean**2
    correlation = np.full(len(mean), np.nan)
    if pairs:
        correlation[varies] = covariance[varies] / variance[varies]
    level, peak, width = np.concatenate(measured, axis=1)
    threshold = level.mean() if silence is None else silence
    return SpectralMeasures(
        level,
        level < threshold,
        peak,
        width,
        mean,
        np.sqrt(variance),
        correlation,
        count,
        n,
    )
