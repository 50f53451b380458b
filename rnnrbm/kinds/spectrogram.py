"""Spectrograms of sound: a column for each band of frequencies, standardised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_pieces, truth, whole_number
from rnnrbm.display import player
from rnnrbm.frames import FrameKind, Mismatch, Pieces, ScoreColumn, is_number
from rnnrbm.io.griffin_lim import check_length, invert
from rnnrbm.io.sound import Channel, read_sound, sound_info, write_sound
from rnnrbm.io.spectrogram import SpectrogramSettings, spectrogram
from rnnrbm.kinds.vectors import Vectors
from rnnrbm.scoring import autoregression, calls, linear_baselines, spectra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Spectrogram"]

_FARTHEST = 6.0  # standard deviations from the mean beyond which a value is not heard
_PEAK = 0.99  # of the loudest sample of a file, where full scale is 1
_NOISE_DB = 3.0  # by which the level of noise is about higher than its mean in decibels
_VALUES = Vectors()  # what holds for all frames of real numbers


@dataclass(frozen=True)
class Spectrogram:
    """Frames of a spectrogram, dtype float32: how loud each band of frequencies is.

    A value is (decibels - mean) / deviation, with a mean and a deviation for each band. They are usually those of the
    training set, so that the values there have mean 0 and deviation 1. Bands that do not vary are left out.

    Attributes
    ----------
    rate : int
        Samples of the sound per second, hertz.
    window_ms, hop_ms, low, high, scale, n_bands, floor_db
        As in :class:`rnnrbm.io.spectrogram.SpectrogramSettings`.
    mean, deviation : tuple of float
        Of each of all bands, decibels. Empty: values are decibels. Bands that are left out have deviation 0.
    channel : int or "mix"
        Channel of the recordings that was read; "mix" is the mean of all.
    resampled : bool
        Whether sounds of other rates may be resampled to `rate`.

    Raises
    ------
    ValueError
        If a value is out of range, the settings do not suit the rate, or there is not one mean and one deviation for
        each band.
    TypeError
        If a value is of another type.
    """

    name: ClassVar[str] = "spectrogram"
    is_sequence: ClassVar[bool] = True
    autoregressive: ClassVar[int] = 0
    frame_name: ClassVar[str] = "frame"
    is_discrete: ClassVar[bool] = False
    level_name: ClassVar[str] = "mean level, decibels above the floor"
    score_columns: ClassVar[tuple[ScoreColumn, ...]] = (ScoreColumn("rmse", "RMSE (dB)"), ScoreColumn("r2", "R2"))
    score_note: ClassVar[str] = (
        "Log-likelihoods are densities of standardised bands; divided by the number of bands, they are nats per band. "
        "RMSE: root of the mean squared difference of a predicted value from the true one, in decibels; R2: mean over "
        "the bands of 1 - mean squared difference / variance of the true values."
    )

    rate: int = 32_000
    window_ms: float = SpectrogramSettings.window_ms
    hop_ms: float = SpectrogramSettings.hop_ms
    low: float = SpectrogramSettings.low
    high: float | None = SpectrogramSettings.high
    scale: Literal["linear", "mel", "log"] = SpectrogramSettings.scale
    n_bands: int | None = SpectrogramSettings.n_bands
    floor_db: float = SpectrogramSettings.floor_db
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    channel: Channel = "mix"
    resampled: bool = False

    def __post_init__(self) -> None:
        """Check the values and convert them to plain numbers."""
        self.settings.check(self.rate)
        object.__setattr__(self, "rate", int(self.rate))
        truth("resampled", self.resampled)
        if self.channel != "mix":
            whole_number("channel", self.channel, 0)
        n = len(self.settings.centres(self.rate))
        for name in ("mean", "deviation"):
            values = getattr(self, name)
            if not isinstance(values, (tuple, list, np.ndarray)) or not all(map(is_number, values)):
                raise ValueError(f"{name}={str(values)[:60]}: expected finite numbers, one for each band")
            if len(values) not in (0, n):
                raise ValueError(f"{name} has {len(values)} values; expected one for each of the {n} bands, or none")
            object.__setattr__(self, name, tuple(map(float, values)))
        if len(self.mean) != len(self.deviation):
            raise ValueError("mean and deviation: one is empty; give both or none")
        if self.deviation and (min(self.deviation) < 0 or not max(self.deviation)):
            raise ValueError("deviation: expected 0 or more, and more than 0 for a band at least")

    @cached_property
    def settings(self) -> SpectrogramSettings:
        """Settings of the spectrogram."""
        names = [field.name for field in fields(SpectrogramSettings)]
        return SpectrogramSettings(**{name: getattr(self, name) for name in names})

    @cached_property
    def bands(self) -> np.ndarray:
        """Positions, among all bands, of those that are columns."""
        if self.deviation:
            return np.flatnonzero(self.deviation)
        return np.arange(len(self.settings.centres(self.rate)))

    @property
    def frequencies(self) -> np.ndarray:
        """Centres of the columns, hertz, shape (n_visible,)."""
        return self.settings.centres(self.rate)[self.bands]

    @property
    def seconds_per_frame(self) -> float:
        """The hop after rounding to samples."""
        return self.settings.hop_seconds(self.rate)

    @property
    def transpose_range(self) -> tuple[int, int]:
        """Always (0, 0): a sound that is shifted in frequency is another sound."""
        return (0, 0)

    @property
    def sample_length(self) -> int:
        """Eight seconds."""
        return max(round(8.0 / self.seconds_per_frame), 1)

    def unit_name(self, train: Pieces) -> str:
        """Gaussian units, each with a standard deviation of its own, which is learned."""
        return "gaussian:learned"

    def describe(self, n_visible: int) -> str:
        high = self.rate / 2 if self.high is None else self.high
        return (
            f"{n_visible} band{'' if n_visible == 1 else 's'}, {_spaced(self.low)} to {_spaced(high)} Hz "
            f"({self.scale}), {1000 * self.seconds_per_frame:.4g} ms per frame, {_spaced(self.rate)} Hz"
        )

    def check(self, piece: ArrayLike, *, n_visible: int | None = None, where: str = "") -> np.ndarray:
        array = _VALUES.check(piece, n_visible=n_visible, where=where)
        if array.shape[1] != len(self.bands):
            prefix = f"{where}: " if where else ""
            raise ValueError(f"{prefix}{array.shape[1]} columns; expected {len(self.bands)}, the bands of the kind")
        return array

    def mismatch(self, other: FrameKind) -> Mismatch:
        if not isinstance(other, Spectrogram):
            return Mismatch(f"the frames are {other.name}, not {self.name}")
        units = {
            "rate": "{} samples per second (data.rate resamples them)",
            "window_ms": "a window of {} ms",
            "low": "bands from {} Hz",
            "high": "bands up to {} Hz",
            "scale": "a {} scale",
            "n_bands": "{} bands",
            "floor_db": "a floor of {} dB",
        }
        different = [
            f"{text.format(getattr(other, name))}, not {getattr(self, name)}"
            for name, text in units.items()
            if getattr(self, name) != getattr(other, name)
        ]
        if not different and not np.array_equal(self.bands, other.bands):
            different = ["other bands are left out, since they do not vary,"]
        hops = [kind.seconds_per_frame for kind in (other, self)]
        durations = [f"{hops[0]:g} s per frame, not {hops[1]:g}"] if hops[0] != hops[1] else []
        if (self.mean, self.deviation) != (other.mean, other.deviation):
            durations.append("bands that are standardised by themselves, not")
        return Mismatch("; ".join(different), "; ".join(durations))

    def decibels(self, frames: np.ndarray) -> np.ndarray:
        """Return the levels of the columns, decibels, shape (T, n_visible)."""
        if not self.mean:
            return np.asarray(frames, np.float32)
        return frames * self._deviation.astype(np.float32) + self._mean.astype(np.float32)

    def standardised(self, decibels: np.ndarray) -> np.ndarray:
        """Return frames of this kind from the levels of all bands, shape (T, n_bands); float32."""
        if not self.mean:
            return np.asarray(decibels, np.float32)
        return np.ascontiguousarray((decibels[:, self.bands] - self._mean) / self._deviation, np.float32)

    def all_bands(self, frames: np.ndarray) -> np.ndarray:
        """Return the levels of all bands, decibels, shape (T, n_bands); those that are left out have their mean."""
        if not self.mean:
            return self.decibels(frames)
        levels = np.tile(np.array(self.mean, np.float32), (len(frames), 1))
        levels[:, self.bands] = self.decibels(frames)
        return levels

    def converted(self, frames: np.ndarray, kind: Spectrogram) -> np.ndarray:
        """Return frames of this kind as those of another, which differs in mean and deviation only."""
        return kind.standardised(self.all_bands(frames))

    @cached_property
    def _mean(self) -> np.ndarray:
        return np.array(self.mean)[self.bands]

    @cached_property
    def _deviation(self) -> np.ndarray:
        return np.array(self.deviation)[self.bands]

    def from_samples(self, samples: np.ndarray) -> np.ndarray:
        return _VALUES.from_samples(samples)

    def baselines(self, train: Pieces, valid: Pieces, test: Pieces) -> dict[str, float]:
        return {row["model"]: row["ll"] for row in self.baseline_table(train, valid, test)}

    def baseline_table(self, train: Pieces, valid: Pieces, test: Pieces) -> list[dict[str, Any]]:
        """Score Gaussian columns and vector autoregressions; prediction scores are those of the expected frames."""
        return linear_baselines.table(train, valid, test, self.prediction_scores)

    def _decibels(self, pieces: Pieces) -> Iterator[np.ndarray]:
        """Return the levels of one piece after the other, so that they need not be in memory together."""
        return (self.decibels(piece) for piece in as_pieces(pieces))

    def _measures(self, pieces: Pieces, train: Pieces | None = None) -> tuple[spectra.SpectralMeasures, calls.Calls]:
        """Measure frames and calls by thresholds of the training set, `train` if this kind has no mean of it."""
        train = pieces if train is None else train
        if self.mean:
            silence = float(self._mean.mean())
            threshold = float(calls.mean_power(self._mean)) + _NOISE_DB
        else:
            silence = float(
                np.concatenate([levels.mean(axis=1, dtype=float) for levels in self._decibels(train)]).mean()
            )
            threshold = calls.call_threshold(self._decibels(train))
        frames = spectra.measure(self._decibels(pieces), self.frequencies, silence)
        found = calls.find_calls(self._decibels(pieces), self.frequencies, self.seconds_per_frame, threshold)
        return frames, found

    def statistics(self, pieces: Pieces) -> dict[str, float]:
        """Measures of frames and of calls, which show whether samples resemble the data.

        Mean level, silent share, peak frequency (of the loudest band), bandwidth (standard deviation of frequency by
        power), and correlation of each band with the frame before. Silent frames have a lower mean level than the
        training set has on average; peak frequency and bandwidth are means over the other frames. Calls, longer than
        20 ms, are found by the power of the frames: their number per second, and the medians of their durations and of
        the silences between them in milliseconds, 0 where there is none; see :mod:`rnnrbm.scoring.calls`. Their
        threshold is 3 dB above the level of the training set's mean spectrum.
        """
        frames, found = self._measures(pieces)
        return frames.summary() | found.summary()

    def levels(self, pieces: Pieces) -> list[np.ndarray]:
        return [self.decibels(np.asarray(piece)).mean(axis=1, dtype=float) - self.floor_db for piece in pieces]

    def prediction_scores(self, predicted: Iterable[np.ndarray], true: Iterable[np.ndarray]) -> dict[str, float]:
        errors, variances = autoregression.squared_errors(predicted, true)
        scale = self._deviation if self.mean else 1.0
        varies = variances > 0
        r2 = float(np.mean(1.0 - errors[varies] / variances[varies])) if varies.any() else float("nan")
        return {"rmse": float(np.sqrt(np.mean(errors * np.square(scale)))), "r2": r2}

    def draw(self, piece: np.ndarray, *, primed: int = 0, title: str | None = None) -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.spectrogram(
            self.decibels(piece),
            self.frequencies,
            seconds_per_frame=self.seconds_per_frame,
            primed=primed,
            title=title,
        )

    def draw_filters(self, W: ArrayLike) -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.filters(W, low=None, frequencies=self.frequencies)

    def draw_statistics(self, samples: Pieces, data: Pieces, *, data_name: str = "data") -> tuple[Figure, Any]:
        """Draw statistics of samples next to those of data, and those of two halves of the data, if it has pieces."""
        from rnnrbm import plot

        data = as_pieces(data)
        middle = len(data) // 2  # neighbours may be the same sound at another shift
        halves = [data[:middle], data[middle:]] if middle else []
        return plot.sound_statistics(
            self._measures(samples, data),
            self._measures(data),
            self.frequencies,
            halves=[self._measures(half, data) for half in halves],
            data_name=data_name,
        )

    def sound(self, piece: np.ndarray) -> np.ndarray:
        """Return a sound of these frames by Griffin-Lim, float32, shape (n_samples,), quieter if it would be too loud.

        A model may sample a value that is far from all that it was trained on. One such value would be louder than
        all others together, so values beyond 6 deviations are taken for 6.
        """
        if self.mean:
            piece = np.clip(piece, -_FARTHEST, _FARTHEST)
        levels = np.minimum(self.all_bands(piece), 60.0)
        samples = invert(levels, self.rate, self.settings)
        peak = float(np.abs(samples).max())
        return samples * np.float32(_PEAK / peak) if peak > _PEAK else samples

    def audio(self, piece: np.ndarray) -> Any:
        """Return a player of these frames for notebooks, an :class:`IPython.display.Audio`; see :meth:`sound`."""
        return player(self.sound(self.check(piece)), self.rate)

    def write(
        self, folder: Path, name: str, piece: np.ndarray, *, tempo: float | None = None, sound: bool = True
    ) -> list[Path]:
        """Write a ``.npy`` file of the frames, and a WAV file at the rate of the data."""
        files = _VALUES.write(folder, name, piece)
        if sound:
            files.append(folder / f"{name}.wav")
            write_sound(files[-1], self.sound(piece), self.rate)
        return files

    def check_writing(self, n_frames: int, tempo: float | None = None) -> None:
        if tempo is not None:
            raise ValueError(f"tempo={tempo:g}: a {self.name} has no tempo; leave it out")
        check_length(n_frames, self.rate, self.settings)

    def read(self, path: Path, n_visible: int) -> tuple[np.ndarray, None]:
        """Read frames from a sound file, or from a ``.npy`` file that `write` has written.

        A sound of another rate is refused, unless the recordings of the data were resampled too.
        """
        if path.suffix.lower() == ".npy":
            piece, _ = _VALUES.read(path, n_visible)
            return self.check(piece, n_visible=n_visible, where=str(path)), None
        rate = sound_info(path).rate
        if rate != self.rate and not self.resampled:
            raise ValueError(
                f"{path}: has {rate} samples per second, and these frames are of sounds of {self.rate}; convert the "
                f"file to {self.rate} Hz, or train with data.rate, by which other rates are resampled"
            )
        read = read_sound(path, channel=self.channel, rate=self.rate)
        try:
            levels = spectrogram(read.samples, read.rate, self.settings)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return self.check(self.standardised(levels), n_visible=n_visible, where=str(path)), None

    def folder_options(self, n_visible: int) -> dict[str, Any]:
        names = [field.name for field in fields(SpectrogramSettings)]
        options = {name: getattr(self, name) for name in (*names, "channel")}
        if self.n_bands is None:
            options["n_bands"] = 0  # in options, None is what is not chosen
        if self.high is None:
            options["high"] = self.rate / 2
        return options | ({"rate": self.rate} if self.resampled else {})


def _spaced(number: float) -> str:
    """Return a number with a space between thousands."""
    return f"{number:,.6g}".replace(",", " ")
