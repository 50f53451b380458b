"""Calls in spectrograms: where they are, and how long, how high, how broad and how loud each is.

A call is where the level of the frames, the mean power of their bands in decibels, is above a threshold. A whistle in
one of many bands raises it as much as a noise in all of them does. The threshold is chosen once, on training data, so
that samples and recordings are measured in the same way. Gaps and least lengths are treated as in sounds, by
:func:`rnnrbm.io.segments.segments_above`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rnnrbm.arguments import as_pieces, number, whole_number
from rnnrbm.io.segments import SegmentSettings, power_threshold, segments_above
from rnnrbm.scoring.spectra import peak_and_bandwidth

__all__ = ["FRAME_CALLS", "Calls", "call_threshold", "find_calls", "mean_power", "windows"]

#: How calls are found in frames. On 636 syllables of Bengalese finches (Koumura & Okanoya 2016), with 48 bands and
#: 8 ms per frame, 98 % of the annotated boundaries were found within 12 ms, and 99 % of those found were annotated.
FRAME_CALLS = SegmentSettings(threshold=6.0, peak_db=5.0)


class Calls(NamedTuple):
    """Calls in some spectrograms.

    A call that is cut off by the beginning or the end of its piece is left out, since its length is not known. Its
    frames do not count as silence.

    Attributes
    ----------
    spans : numpy.ndarray of int, shape (n, 3)
        For each call its piece, its first frame, and the frame after its last one.
    duration : numpy.ndarray, shape (n,)
        Milliseconds.
    peak, bandwidth : numpy.ndarray, shape (n,)
        Of the mean power spectrum of a call: frequency of the loudest band, and standard deviation of frequency
        weighted by power, hertz.
    level : numpy.ndarray, shape (n,)
        Mean level of the frames of a call, decibels.
    silences : numpy.ndarray, shape (m,)
        Between a call and the next one in its piece, milliseconds; cut-off calls count as calls here.
    seconds : float
        Duration of all pieces.
    silent_share : float
        Share of the frames that are in no call.
    """

    spans: np.ndarray
    duration: np.ndarray
    peak: np.ndarray
    bandwidth: np.ndarray
    level: np.ndarray
    silences: np.ndarray
    seconds: float
    silent_share: float

    def summary(self) -> dict[str, float]:
        """Return the number of calls per second, and the medians of calls and silences in milliseconds.

        The medians are 0 where there is none.
        """
        middles = [float(np.median(each)) if len(each) else 0.0 for each in (self.duration, self.silences)]
        return {
            "calls_per_second": len(self.spans) / self.seconds,
            "call_duration_ms": middles[0],
            "silence_duration_ms": middles[1],
        }


def mean_power(decibels: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the decibels of the mean of powers along an axis, or of all."""
    loudest = decibels.max(axis=axis, keepdims=True)  # powers are relative to it, so that none is too great for a float
    power = np.mean(10 ** ((decibels - loudest) / 10), axis=axis)
    return np.asarray(loudest.reshape(power.shape) + 10 * np.log10(power))


def call_threshold(pieces: Iterable[np.ndarray], settings: SegmentSettings = FRAME_CALLS) -> float:
    """Choose the level above which frames belong to calls, in decibels.

    Parameters
    ----------
    pieces : iterable of numpy.ndarray, shape (T, n_bands)
        Decibels; the training set, so that other sets are measured by the same threshold.
    settings : SegmentSettings
        By default 6 decibels above the background, which is the 20th percentile of the levels.

    Raises
    ------
    ValueError
        If there is no piece, or the levels are not finite.
    """
    levels = [_levels(np.asarray(piece)) for piece in pieces]
    if not levels:
        raise ValueError("there is no piece; give at least one, such as those of the training set")
    level = np.concatenate(levels)
    loudest = float(level.max())  # powers are relative to it, so that none is too small for a float
    power = power_threshold(10 ** ((level - loudest) / 10), settings)
    if power <= 0:
        raise ValueError(f"settings: a threshold of power {power}; expected more than 0")
    return loudest + 10 * float(np.log10(power))


def find_calls(
    pieces: Iterable[np.ndarray],
    frequencies: np.ndarray,
    seconds_per_frame: float,
    threshold: float,
    settings: SegmentSettings = FRAME_CALLS,
) -> Calls:
    """Find and measure the calls in spectrograms, one after the other, so that they need not be in memory together.

    Parameters
    ----------
    pieces : iterable of numpy.ndarray, shape (T, n_bands)
        Decibels; one piece or more.
    frequencies : numpy.ndarray, shape (n_bands,)
        Centres of the bands, hertz.
    seconds_per_frame : float
    threshold : float
        Level of a frame, decibels, such as :func:`call_threshold` of the training set.
    settings : SegmentSettings
        How much louder than the threshold a call is somewhere, least gaps and lengths; other settings have no effect.

    Raises
    ------
    ValueError
        If there is no piece, or one has another number of bands or a value that is not finite.
    """
    seconds_per_frame = number("seconds_per_frame", seconds_per_frame, "seconds, more than 0", above=0)
    threshold = number("threshold", threshold, "decibels")
    settings = replace(
        settings, threshold=1.0, threshold_kind="value", peak_db=settings.peak_db or 0.0, before_ms=0.0, after_ms=0.0
    )
    spans: list[tuple[int, int, int]] = []
    spectra: list[np.ndarray] = []
    levels: list[float] = []
    silences: list[int] = []
    n_frames, n_calling, count = 0, 0, 0
    for i, piece in enumerate(pieces):
        x = np.asarray(piece, float)
        if x.ndim != 2 or x.shape[1] != len(frequencies) or not len(x):
            raise ValueError(f"piece {i} has shape {x.shape}; expected frames of {len(frequencies)} bands")
        level = _levels(x)
        power = 10 ** (np.minimum(level - threshold, 300.0) / 10)
        ends = [
            (round(each.onset / seconds_per_frame), round(each.offset / seconds_per_frame))
            for each in segments_above(power, 1 / seconds_per_frame, settings)
        ]
        count, n_frames, n_calling = count + 1, n_frames + len(x), n_calling + sum(stop - start for start, stop in ends)
        silences += [begin - end for (_, end), (begin, _) in pairwise(ends)]
        for start, stop in ends:
            if start > 0 and stop < len(x):
                spans.append((i, start, stop))
                spectra.append(mean_power(x[start:stop], axis=0))
                levels.append(float(level[start:stop].mean()))
    if not count:
        raise ValueError("there is no piece; give at least one")
    array = np.array(spans, int).reshape(-1, 3)
    peak, bandwidth = peak_and_bandwidth(np.reshape(spectra, (-1, len(frequencies))), frequencies)
    per_frame = 1000 * seconds_per_frame
    return Calls(
        array,
        per_frame * (array[:, 2] - array[:, 1]),
        peak,
        bandwidth,
        np.array(levels),
        per_frame * np.array(silences, float),
        n_frames * seconds_per_frame,
        1 - n_calling / n_frames,
    )


def windows(pieces: Sequence[np.ndarray], n_frames: int) -> np.ndarray:
    """Return spans of a fixed length, one after the other, as those of :class:`Calls`; shape (n, 3).

    What is left at the end of a piece is in none, so a piece that is shorter has none.
    """
    n_frames = whole_number("n_frames", n_frames, 1)
    found = [
        (i, start, start + n_frames)
        for i, piece in enumerate(as_pieces(pieces))
        for start in range(0, len(piece) - n_frames + 1, n_frames)
    ]
    return np.array(found, int).reshape(-1, 3)


def _levels(piece: np.ndarray) -> np.ndarray:
    """Return the level of each frame, decibels."""
    x = np.asarray(piece, float)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"piece has shape {x.shape}; expected frames (T, n_bands)")
    if not np.isfinite(x).all():
        raise ValueError("levels hold NaN or infinity; give finite decibels")
    return mean_power(x, axis=1)
