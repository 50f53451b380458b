"""Spectrograms of sound: how loud each band of frequencies is in each frame, in decibels.

A frame is a piece of the sound of the length of the window. The first begins with the sound, each of the next one hop
later. None reaches beyond an end, so there are no clicks where a sound begins or ends.

Power is scaled so that a sine of amplitude 1 has 0 decibels at its frequency. Before the logarithm a small power, the
floor, is added. So silence has a value, and what is well below the floor hardly varies.

SciPy's ``ShortTimeFFT`` gives the same numbers, but it handles frame after frame in Python. Here a thousand frames are
handled at once, in single precision.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm import memory
from rnnrbm.arguments import number, suggestion, whole_number
from rnnrbm.io.sound import MAX_RATE, as_samples

__all__ = [
    "PRESETS",
    "SpectrogramSettings",
    "constant_bands",
    "hann",
    "preset",
    "scale_of",
    "spectrogram",
    "spectrogram_blocks",
    "stft",
]

_SCALES = ("linear", "mel", "log")
_FRAMES = 1024  # frames that are handled at once: those of a short window stay in the processor's cache


@dataclass(frozen=True)
class SpectrogramSettings:
    """What a spectrogram is like; the same at every sample rate, up to the rounding of window and hop to samples.

    Parameters
    ----------
    window_ms, hop_ms : float
        Length of a frame, and from the beginning of one frame to that of the next, in milliseconds.
    low, high : float, float or None
        The band of frequencies, in hertz; None is half the sample rate.
    scale : {"linear", "mel", "log"}
        How bands are spaced in frequency: equally, in mel (2595 log10(1 + f / 700), as in HTK), or by equal ratios.
    n_bands : int or None
        Number of bands. A band is a weighted mean of the power at the frequencies of the Fourier transform: the weight
        falls linearly from 1 at its centre to 0 at the centres of its neighbours. Where these are nearer than two
        frequencies of the transform, it falls to 0 within the distance of two, which interpolates between them; so no
        band is empty. None, for the linear scale only: every frequency of the transform from `low` to `high` is a band.
    floor_db : float
        Power that is added everywhere, in decibels. 0 is that of a sine of amplitude 1.

    Raises
    ------
    ValueError
        If a setting is out of range, or the hop is longer than the window.
    TypeError
        If it is no number.
    """

    window_ms: float = 16.0
    hop_ms: float = 8.0
    low: float = 400.0
    high: float | None = 10_000.0
    scale: Literal["linear", "mel", "log"] = "mel"
    n_bands: int | None = 128
    floor_db: float = -100.0

    def __post_init__(self) -> None:
        number("window_ms", self.window_ms, "milliseconds, more than 0", above=0)
        number("hop_ms", self.hop_ms, "milliseconds, more than 0", above=0)
        if self.hop_ms > self.window_ms:
            raise ValueError(
                f"hop_ms={self.hop_ms}: expected at most window_ms={self.window_ms}; with a longer hop, parts of the "
                "sound would be in no frame"
            )
        number("low", self.low, "hertz, 0 or more", least=0)
        if self.high is not None:
            number("high", self.high, f"hertz above low={self.low}, or None", above=self.low)
        if self.scale not in _SCALES:
            raise ValueError(f"scale={self.scale!r}: expected {', '.join(map(repr, _SCALES))}")
        if self.scale == "log" and self.low == 0:
            raise ValueError("low=0: expected hertz above 0 for scale='log', whose bands have equal ratios")
        if self.n_bands is not None:
            whole_number("n_bands", self.n_bands, 1)
        elif self.scale != "linear":
            raise ValueError(f"n_bands=None: expected a number of bands for scale={self.scale!r}")
        number("floor_db", self.floor_db, "decibels, -200 to 0", least=-200, most=0)

    def window_samples(self, rate: int) -> int:
        """Return the length of a frame in samples."""
        return max(round(self.window_ms * rate / 1000), 1)

    def hop_samples(self, rate: int) -> int:
        """Return the hop in samples."""
        return max(round(self.hop_ms * rate / 1000), 1)

    def hop_seconds(self, rate: int) -> float:
        """Return the hop that is used, after rounding to samples: what frames are apart, in seconds."""
        return self.hop_samples(rate) / rate

    def n_fft(self, rate: int) -> int:
        """Return the length of the Fourier transform: that of the window, or the next of which transforms are fast."""
        from scipy.fft import next_fast_len

        return int(next_fast_len(self.window_samples(rate), real=True))

    def n_frames(self, n_samples: int, rate: int) -> int:
        """Return how many frames a sound has; 0 if it is shorter than the window."""
        return max((n_samples - self.window_samples(rate)) // self.hop_samples(rate) + 1, 0)

    def n_samples(self, n_frames: int, rate: int) -> int:
        """Return how many samples some frames cover."""
        return (n_frames - 1) * self.hop_samples(rate) + self.window_samples(rate) if n_frames else 0

    def check(self, rate: int) -> None:
        """Raise ValueError if the settings do not suit a sample rate.

        Raises
        ------
        ValueError
            If the band is not below half the rate, the window has less than 4 samples, or there is no frequency of the
            transform in the band.
        """
        rate = whole_number("rate", rate, 1, MAX_RATE)
        half = rate / 2
        if self.low >= half or (self.high is not None and self.high > half):
            name, value = ("low", self.low) if self.low >= half else ("high", self.high)
            raise ValueError(
                f"{name}={value}: expected at most half the sample rate, {half:g} Hz; choose a lower band, or leave "
                "out the recordings of this rate"
            )
        if (window := self.window_samples(rate)) < 4:
            raise ValueError(
                f"window_ms={self.window_ms}: {window} samples at {rate} Hz; expected 4 or more, choose a longer window"
            )
        if self.n_bands is None and not len(self._bins(rate)):
            raise ValueError(
                f"low={self.low}, high={self.high}: no frequency of the transform is in this band, they are "
                f"{rate / self.n_fft(rate):g} Hz apart; choose a wider band or a longer window"
            )

    def centres(self, rate: int) -> np.ndarray:
        """Return the frequencies of the bands, shape (n_bands,), in hertz."""
        self.check(rate)
        if self.n_bands is None:
            return self._bins(rate) * rate / self.n_fft(rate)
        return self._edges(rate)[1:-1]

    def weights(self, rate: int) -> np.ndarray:
        """Return what each frequency of the transform adds to each band.

        Returns
        -------
        numpy.ndarray, shape (n_bands, n_fft // 2 + 1)
            float32; rows add up to 1.
        """
        self.check(rate)
        step = rate / self.n_fft(rate)
        frequencies = np.arange(self.n_fft(rate) // 2 + 1) * step
        if self.n_bands is None:
            return np.eye(len(frequencies), dtype=np.float32)[self._bins(rate)]
        edges = self._edges(rate)
        centre = edges[1:-1, None]
        left = np.minimum(edges[:-2, None], centre - step)
        right = np.maximum(edges[2:, None], centre + step)
        rising, falling = (frequencies - left) / (centre - left), (right - frequencies) / (right - centre)
        weights = np.maximum(np.minimum(rising, falling), 0)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)

    def _bins(self, rate: int) -> np.ndarray:
        """Return which frequencies of the transform are in the band."""
        frequencies = np.arange(self.n_fft(rate) // 2 + 1) * rate / self.n_fft(rate)
        high = rate / 2 if self.high is None else self.high
        return np.flatnonzero((frequencies >= self.low) & (frequencies <= high))

    def _edges(self, rate: int) -> np.ndarray:
        """Return the centres of the bands, and of one more on each side."""
        low, high = self.low, rate / 2 if self.high is None else self.high
        n = (self.n_bands or 0) + 2
        if self.scale == "linear":
            return np.linspace(low, high, n)
        if self.scale == "log":
            return np.geomspace(low, high, n)
        first, last = (2595 * np.log10(1 + hertz / 700) for hertz in (low, high))
        return np.asarray(700 * (10 ** (np.linspace(first, last, n) / 2595) - 1))


#: Settings that are usual in the field, by name. Their windows and hops are, in samples: 512 and 64 at 32 kHz (vak);
#: 512 and 256 at 32 kHz, and 1024 and 512 at 250 kHz (AVA; its bands are centred a little differently).
PRESETS: dict[str, SpectrogramSettings] = {
    "vak": SpectrogramSettings(16.0, 2.0, 500.0, 8_000.0, "linear", None),
    "ava-finch": SpectrogramSettings(16.0, 8.0, 400.0, 10_000.0, "mel", 128),
    "ava-mouse": SpectrogramSettings(4.096, 2.048, 30_000.0, 110_000.0, "linear", 128),
}


def preset(name: str) -> SpectrogramSettings:
    """Return the settings of a name in :data:`PRESETS`; raise ValueError for another name."""
    if name not in PRESETS:
        raise ValueError(f"preset {name!r}: {suggestion(name, PRESETS)}")
    return PRESETS[name]


def stft(samples: np.ndarray, rate: int, settings: SpectrogramSettings) -> np.ndarray:
    """Return the short-time Fourier transform, with a Hann window.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,)
        float32, as `rnnrbm.io.sound.as_samples` returns them; n at least the length of the window.
    rate : int
        Samples per second, in hertz.
    settings : SpectrogramSettings

    Returns
    -------
    numpy.ndarray, shape (n_frames, n_fft // 2 + 1)
        complex64, not scaled.
    """
    from scipy.fft import rfft

    window = hann(settings.window_samples(rate))
    frames = np.lib.stride_tricks.sliding_window_view(samples, len(window))[:: settings.hop_samples(rate)]
    spectrum: np.ndarray = rfft(frames * window, settings.n_fft(rate), overwrite_x=True)
    return spectrum


@functools.cache
def hann(n: int) -> np.ndarray:
    """Return a periodic Hann window of n samples, float32."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)).astype(np.float32)
    window.flags.writeable = False  # all callers share it
    return window


def scale_of(rate: int, settings: SpectrogramSettings) -> float:
    """Return the magnitude that `stft` gives to a sine of amplitude 1 at its frequency."""
    return float(hann(settings.window_samples(rate)).sum(dtype=float)) / 2


def spectrogram(samples: ArrayLike, rate: int, settings: SpectrogramSettings | None = None) -> np.ndarray:
    """Return the spectrogram of a sound.

    Parameters
    ----------
    samples : array_like, shape (n,)
        One channel.
    rate : int
        Samples per second, in hertz.
    settings : SpectrogramSettings, optional

    Returns
    -------
    numpy.ndarray, shape (n_frames, n_bands)
        float32, decibels. Frames are ``settings.hop_seconds(rate)`` apart; frame 0 is centred half a window after the
        beginning. What is left after the last whole frame, less than a hop, is in none.

    Raises
    ------
    ValueError
        If the samples or the rate are not valid, the sound is shorter than the window, or the settings do not suit the
        rate; see :meth:`SpectrogramSettings.check`.
    MemoryError
        If it would take more memory than there is; :func:`spectrogram_blocks` needs little.
    """
    settings = settings or SpectrogramSettings()
    samples = as_samples(samples)
    n_bands, n = len(settings.centres(rate)), settings.n_frames(len(samples), rate)
    memory.check(4 * n * n_bands, f"a spectrogram of {n} frames", "choose a longer hop, or use spectrogram_blocks")
    result, at = np.empty((n, n_bands), np.float32), 0
    for part in spectrogram_blocks([samples], rate, settings):
        result[at : at + len(part)] = part
        at += len(part)
    return result


def spectrogram_blocks(
    blocks: Iterable[np.ndarray], rate: int, settings: SpectrogramSettings | None = None
) -> Iterator[np.ndarray]:
    """Return the spectrogram of a sound part by part, in memory of a few megabytes however long it is.

    Parameters
    ----------
    blocks : iterable of numpy.ndarray, shape (n,)
        The samples, cut anywhere: what `rnnrbm.io.sound.sound_blocks` returns.
    rate, settings
        As in :func:`spectrogram`, with the same errors. Settings are checked at once.

    Returns
    -------
    iterator of numpy.ndarray, shape (n_frames, n_bands)
        Joined, they are what :func:`spectrogram` returns.
    """
    settings = settings or SpectrogramSettings()
    settings.check(rate)
    return _parts(blocks, rate, settings)


def _parts(blocks: Iterable[np.ndarray], rate: int, settings: SpectrogramSettings) -> Iterator[np.ndarray]:
    window, hop = settings.window_samples(rate), settings.hop_samples(rate)
    weights = settings.weights(rate)
    used = np.flatnonzero(weights.any(axis=0))
    inside = slice(used[0], used[-1] + 1)
    to_bands = None if settings.n_bands is None else np.ascontiguousarray(weights[:, inside].T)
    scale = np.float32(scale_of(rate, settings) ** -2)
    floor = np.float32(10 ** (settings.floor_db / 10))
    chunk = settings.n_samples(_FRAMES, rate)
    rest, total, found = np.empty(0, np.float32), 0, False
    for block in blocks:
        total += len(block)
        rest = np.concatenate([rest, block]) if len(rest) else block
        at = 0
        while (n := settings.n_frames(min(len(rest) - at, chunk), rate)) > 0:
            found = True
            spectrum = stft(rest[at : at + settings.n_samples(n, rate)], rate, settings)[:, inside]
            power = np.square(spectrum.real)
            power += np.square(spectrum.imag)
            power *= scale
            if to_bands is not None:
                power = power @ to_bands
            power += floor
            np.log10(power, out=power)
            power *= np.float32(10)
            yield power
            at += n * hop
        rest = rest[at:]
    if not found:
        raise ValueError(
            f"the sound lasts {1000 * total / rate:.4g} ms, less than the window of {1000 * window / rate:.4g} ms; "
            "leave it out, or choose a shorter window"
        )


def constant_bands(spectrograms: Iterable[np.ndarray], *, tolerance_db: float = 1e-3) -> np.ndarray:
    """Return the bands that are the same in all frames, as those above the reach of a microphone's filter.

    Parameters
    ----------
    spectrograms : iterable of numpy.ndarray, shape (n_frames, n_bands)
    tolerance_db : float
        Bands whose highest and lowest values differ by no more are constant.

    Returns
    -------
    numpy.ndarray, shape (n,)
        Positions of the bands.

    Raises
    ------
    ValueError
        If there is no frame.
    """
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for each in spectrograms:
        if len(each):
            low, high = np.minimum(low, each.min(axis=0)), np.maximum(high, each.max(axis=0))
    if not np.ndim(low):
        raise ValueError("there is no frame in the spectrograms; give at least one")
    return np.flatnonzero(high - low <= tolerance_db)
