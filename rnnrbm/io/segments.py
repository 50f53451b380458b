"""Finding calls in a recording by their loudness, and comparing what was found with annotations.

The sound in a band of frequencies is squared and smoothed. Where this power is above a threshold there is a call,
unless it is too short, too long, or nowhere loud enough. Calls with a short gap between them are one. The band-pass
filter, the smoothing and the treatment of gaps are those of evsonganaly (E. Tumer), which the package evfuncs has in
Python.

By default the threshold is relative to the background of the recording. Background and loudness differ from recorder to
recorder, and the boundaries that people and programs draw are near the background, not near the peak.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm import memory
from rnnrbm.arguments import number, whole_number
from rnnrbm.io.annotations import Annotation
from rnnrbm.io.sound import MAX_RATE, as_samples

__all__ = [
    "SegmentMatch",
    "SegmentSettings",
    "envelope",
    "find_segments",
    "match_segments",
    "pool",
    "power_threshold",
    "segments_above",
]

_BLOCK = 2**20  # samples that are filtered at once
_KINDS = ("noise", "percentile", "value")


@dataclass(frozen=True)
class SegmentSettings:
    """How calls are found.

    Parameters
    ----------
    low, high : float, float or None
        The band of frequencies, in hertz. 0 and None: no lower and no upper limit.
    smoothing_ms : float
        Length of the moving average of the power, in milliseconds.
    threshold : float
        What it means depends on the next setting.
    threshold_kind : {"noise", "percentile", "value"}
        ``"noise"``: decibels above the background. ``"percentile"``: a percentile of the power in the recording, 0 to
        100. ``"value"``: an amplitude, where 1 is full scale; power is compared with its square.
    noise_percentile : float
        The background is this percentile of the power, 0 to 100, digital silence left out. In a larger part of the
        recording nothing should call: in a clip of one call there is no background to compare it with.
    peak_db : float, optional
        A call must be louder than the threshold by this somewhere, in decibels. By default 10 for a threshold of the
        kind ``"noise"``, which can thus be near the background, and 0 for others.
    min_gap_ms : float
        Two calls with a gap of at most this are one.
    min_length_ms, max_length_ms : float, float or None
        Only what is longer than the one and at most as long as the other is a call; None is no limit.
    before_ms, after_ms : float
        How much earlier a call begins and how much later it ends than the power says. Calls grow only until they touch.

    Raises
    ------
    ValueError
        If a setting is out of range.
    TypeError
        If it is no number.
    """

    low: float = 500.0
    high: float | None = None
    smoothing_ms: float = 4.0
    threshold: float = 6.0
    threshold_kind: Literal["noise", "percentile", "value"] = "noise"
    noise_percentile: float = 20.0
    peak_db: float | None = None
    min_gap_ms: float = 4.0
    min_length_ms: float = 20.0
    max_length_ms: float | None = None
    before_ms: float = 0.0
    after_ms: float = 0.0

    def __post_init__(self) -> None:
        if self.threshold_kind not in _KINDS:
            raise ValueError(f"threshold_kind={self.threshold_kind!r}: expected {', '.join(map(repr, _KINDS))}")
        number("low", self.low, "hertz, 0 or more", least=0)
        if self.high is not None:
            number("high", self.high, f"hertz above low={self.low}, or None", above=self.low)
        for name in ("smoothing_ms", "min_gap_ms", "min_length_ms", "before_ms", "after_ms"):
            number(name, getattr(self, name), "milliseconds, 0 or more", least=0)
        if self.max_length_ms is not None:
            expected = f"milliseconds above min_length_ms={self.min_length_ms}, or None"
            number("max_length_ms", self.max_length_ms, expected, above=self.min_length_ms)
        number("noise_percentile", self.noise_percentile, "0 to 100", least=0, most=100)
        if self.peak_db is not None:
            number("peak_db", self.peak_db, "decibels, 0 or more, or None", least=0)
        most = 100.0 if self.threshold_kind == "percentile" else np.inf
        meaning = {"noise": "decibels, 0 or more", "percentile": "0 to 100", "value": "an amplitude, 0 or more"}
        number("threshold", self.threshold, meaning[self.threshold_kind], least=0, most=most)


def envelope(samples: ArrayLike, rate: int, settings: SegmentSettings | None = None) -> np.ndarray:
    """Return the smoothed power of a sound in a band of frequencies.

    The mean of the sound is taken off first, so a constant offset has no effect.

    Parameters
    ----------
    samples : array_like, shape (n,)
        One channel.
    rate : int
        Samples per second, in hertz.
    settings : SegmentSettings, optional

    Returns
    -------
    numpy.ndarray, shape (n,)
        float32, square of the amplitude. A sound of 64 samples or less is too short to be filtered; its power is that
        at all frequencies.

    Raises
    ------
    ValueError
        If the samples or the rate are not valid, or the band is not below half the rate.
    MemoryError
        If it would take more memory than there is.
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import oaconvolve

    settings = settings or SegmentSettings()
    samples = as_samples(samples)
    rate = whole_number("rate", rate, 1, MAX_RATE)
    n = len(samples)
    memory.check(4 * n, f"the envelope of {n} samples", "find calls in parts of the recording")
    mean = samples.mean(dtype=float)
    kernel = _zero_phase(settings, rate, n)
    reach = len(kernel) // 2
    width = max(round(rate * settings.smoothing_ms / 1000), 1)
    later = round((width - 1) / 2)  # samples of the average that come after the one it belongs to, as in evfuncs
    power = np.empty(n, np.float32)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        first, last = max(start - width, 0), min(stop + width, n)
        part = _with_ends(samples, mean, first - reach, last + reach)
        part = np.square(oaconvolve(part, kernel, mode="valid") if reach else part)
        smooth = uniform_filter1d(part, width, mode="constant", origin=width - 1 - later - width // 2)
        power[start:stop] = smooth[start - first : stop - first]
    return np.maximum(power, 0, out=power)  # a running sum may end a trifle below 0


def _zero_phase(settings: SegmentSettings, rate: int, n: int) -> np.ndarray:
    """Return the band-pass filter that is applied forwards and backwards, as one filter."""
    from scipy.signal import firwin

    half = rate / 2
    for name, value in (("low", settings.low), ("high", settings.high)):
        if value is not None and value >= half:
            raise ValueError(
                f"{name}={value}: expected less than half the sample rate, {half:g} Hz; choose a lower band"
                + (", or high=None" if name == "high" else "")
            )
    # the lengths are those of evfuncs
    order = next((length for most, length in ((65, 0), (387, 64), (771, 128), (1539, 256)) if n < most), 512)
    if not order or (settings.low == 0 and settings.high is None):
        return np.ones(1)
    if settings.high is None:
        taps = firwin(order + 1, settings.low, pass_zero="highpass", fs=rate)
    elif settings.low == 0:
        taps = firwin(order + 1, settings.high, fs=rate)
    else:
        taps = firwin(order + 1, [settings.low, settings.high], pass_zero=False, fs=rate)
    both: np.ndarray = np.convolve(taps, taps[::-1])
    return both


def _with_ends(samples: np.ndarray, mean: float, start: int, stop: int) -> np.ndarray:
    """Return samples about their mean, float64. Beyond an end come those before it, in mirror image."""
    n = len(samples)
    inside = samples[max(start, 0) : min(stop, n)].astype(float)
    parts = [inside]
    if start < 0:
        parts.insert(0, 2.0 * samples[0] - samples[-start:0:-1].astype(float))
    if stop > n:
        parts.append(2.0 * samples[-1] - samples[2 * n - 2 - np.arange(n, stop)].astype(float))
    return np.concatenate(parts) - mean


def find_segments(samples: ArrayLike, rate: int, settings: SegmentSettings | None = None) -> list[Annotation]:
    """Find the calls in a recording.

    Parameters
    ----------
    samples, rate, settings
        As in :func:`envelope`, with the same errors.

    Returns
    -------
    list of Annotation
        In order, without labels; empty if nothing is above the threshold, as in silence.
    """
    settings = settings or SegmentSettings()
    return segments_above(envelope(samples, rate, settings), rate, settings)


def segments_above(power: np.ndarray, rate: float, settings: SegmentSettings) -> list[Annotation]:
    """Find the calls where a power is high, shape (n,), such as that of :func:`envelope`; `rate` values per second."""
    threshold = power_threshold(power, settings)
    onsets, offsets = _runs(power > threshold)
    above = (10.0 if settings.threshold_kind == "noise" else 0.0) if settings.peak_db is None else settings.peak_db
    if above and len(onsets):
        # up to the next onset, since what lies between two runs is below the threshold
        keep = np.maximum.reduceat(power, onsets) > threshold * 10 ** (above / 10)
        onsets, offsets = onsets[keep], offsets[keep]
    if not len(onsets):
        return []
    per_ms = rate / 1000
    apart = onsets[1:] - offsets[:-1] > settings.min_gap_ms * per_ms
    onsets, offsets = onsets[np.append(True, apart)], offsets[np.append(apart, True)]
    lengths = offsets - onsets
    most = np.inf if settings.max_length_ms is None else settings.max_length_ms * per_ms
    keep = (lengths > settings.min_length_ms * per_ms) & (lengths <= most)
    begin, end = _grown(onsets[keep] / rate, offsets[keep] / rate, len(power) / rate, settings)
    return [Annotation(float(a), float(b)) for a, b in zip(begin, end, strict=True)]


def power_threshold(power: np.ndarray, settings: SegmentSettings) -> float:
    """Return the threshold above which :func:`segments_above` finds calls in a power of shape (n,)."""
    if settings.threshold_kind == "value":
        return settings.threshold**2
    some = power[:: max(len(power) // 2**20, 1)]  # a million are enough for a percentile
    if settings.threshold_kind == "percentile":
        return float(np.percentile(some, settings.threshold))
    # Of digital silence, a filter leaves some dust. No recorder has a range of 140 decibels.
    sounding = some[some > 1e-14 * some.max()]
    if not len(sounding):
        return 0.0
    return float(np.percentile(sounding, settings.noise_percentile)) * 10 ** (settings.threshold / 10)


def _runs(on: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where runs of True begin, and where they have ended."""
    edges = np.flatnonzero(np.diff(on, prepend=False, append=False))
    return edges[::2], edges[1::2]


def _grown(
    onsets: np.ndarray, offsets: np.ndarray, seconds: float, settings: SegmentSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Let segments begin earlier and end later; where there is no room for both, they share the gap in proportion."""
    before, after = settings.before_ms / 1000, settings.after_ms / 1000
    if not len(onsets) or before + after == 0:
        return onsets, offsets
    share = np.minimum((onsets[1:] - offsets[:-1]) / (before + after), 1.0)
    begin, end = onsets.copy(), offsets.copy()
    begin[0], end[-1] = max(onsets[0] - before, 0.0), min(offsets[-1] + after, seconds)
    end[:-1] += share * after
    # where they touch, one number for both
    begin[1:] = np.where(share < 1, end[:-1], onsets[1:] - before)
    return begin, end


class SegmentMatch(NamedTuple):
    """How found segments compare with true ones.

    Attributes
    ----------
    n_found, n_true : int
        Numbers of segments.
    onset_errors, offset_errors : numpy.ndarray
        Of the boundaries that match: found minus true, in seconds.
    """

    n_found: int
    n_true: int
    onset_errors: np.ndarray
    offset_errors: np.ndarray

    @property
    def recall(self) -> float:
        """Part of the true onsets and offsets that were found; NaN if there are none."""
        return self._part(self.n_true)

    @property
    def precision(self) -> float:
        """Part of the found onsets and offsets that are true; NaN if there are none."""
        return self._part(self.n_found)

    @property
    def median_errors(self) -> tuple[float, float]:
        """Medians of the magnitudes of the errors of onsets and of offsets, in seconds; NaN if none matches."""
        onset, offset = (
            float(np.median(np.abs(errors))) if len(errors) else float("nan")
            for errors in (self.onset_errors, self.offset_errors)
        )
        return onset, offset

    def _part(self, n: int) -> float:
        return (len(self.onset_errors) + len(self.offset_errors)) / (2 * n) if n else float("nan")


def match_segments(
    found: Sequence[Annotation],
    true: Sequence[Annotation],
    tolerance: float = 0.01,
    *,
    spans: Sequence[tuple[float, float]] | None = None,
) -> SegmentMatch:
    """Compare found segments with annotations.

    Onsets are matched with onsets and offsets with offsets, in time order, each at most once, so that as many as
    possible match.

    Parameters
    ----------
    found, true : sequence of Annotation
    tolerance : float
        Boundaries match that are at most this many seconds apart.
    spans : sequence of (float, float), optional
        Parts of the recording that are annotated, in seconds. Found segments whose middle is in none do not count.
    """
    tolerance = number("tolerance", tolerance, "seconds, 0 or more", least=0)
    if spans is not None:
        middles = [(each.onset + each.offset) / 2 for each in found]
        found = [
            each for each, m in zip(found, middles, strict=True) if any(start <= m <= stop for start, stop in spans)
        ]
    onsets = _matched([a.onset for a in found], [a.onset for a in true], tolerance)
    offsets = _matched([a.offset for a in found], [a.offset for a in true], tolerance)
    return SegmentMatch(len(found), len(true), onsets, offsets)


def pool(matches: Iterable[SegmentMatch]) -> SegmentMatch:
    """Return the comparison of all segments of several recordings."""
    parts = list(matches)
    errors = [np.concatenate([part[i] for part in parts] or [np.empty(0)]) for i in (2, 3)]
    return SegmentMatch(sum(part.n_found for part in parts), sum(part.n_true for part in parts), *errors)


def _matched(found: Sequence[float], true: Sequence[float], tolerance: float) -> np.ndarray:
    """Return the differences of the times that match."""
    mine, theirs = sorted(found), sorted(true)
    errors: list[float] = []
    i = j = 0
    while i < len(mine) and j < len(theirs):
        error = mine[i] - theirs[j]
        # a time that is too early for this one is too early for all that follow
        if abs(error) <= tolerance + 1e-9:  # times are rounded
            errors.append(error)
        i += error <= tolerance + 1e-9
        j += error >= -tolerance - 1e-9
    return np.array(errors)
