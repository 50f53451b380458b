"""Reading and writing sound files, whole or block by block.

The package soundfile decodes them (WAV of 8 to 64 bits and floats, FLAC, OGG and others), and soxr resamples.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm import memory
from rnnrbm.arguments import as_array, number, whole_number
from rnnrbm.files import atomic, check_readable, files_below
from rnnrbm.io.rolls import unreadable
from rnnrbm.io.wav import MOST_SAMPLES
from rnnrbm.warn import warn

__all__ = [
    "MAX_RATE",
    "SOUND_SUFFIXES",
    "Channel",
    "Sound",
    "SoundInfo",
    "as_samples",
    "read_sound",
    "sound_blocks",
    "sound_files",
    "sound_info",
    "write_sound",
]

#: Suffixes of files that are taken for sound in a folder.
SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64")
MAX_RATE = 1_000_000  # samples per second; recorders of bats reach 500 000
_BLOCK = 2**18  # samples: a megabyte
#: Greatest magnitude of a sample. Files of floats may hold whole numbers of up to 32 bits; the power of what is greater
#: would leave the range of float32.
_MOST = 2.0**32

Channel = int | Literal["mix"]


class Sound(NamedTuple):
    """A sound of one channel.

    Attributes
    ----------
    samples : numpy.ndarray, shape (n,)
        float32; full scale of files of whole numbers is -1 to 1.
    rate : int
        Samples per second, in hertz.
    """

    samples: np.ndarray
    rate: int

    @property
    def seconds(self) -> float:
        """How long the sound lasts."""
        return len(self.samples) / self.rate


class SoundInfo(NamedTuple):
    """What the header of a sound file says.

    Attributes
    ----------
    frames : int
        Samples of each channel.
    rate : int
        Samples per second, in hertz.
    channels : int
    format, subtype : str
        Names that the package soundfile gives, such as ``"WAV"`` and ``"PCM_16"``.
    """

    frames: int
    rate: int
    channels: int
    format: str
    subtype: str

    @property
    def seconds(self) -> float:
        """How long the sound lasts."""
        return self.frames / self.rate


def sound_files(folder: Path) -> list[Path]:
    """Return the sound files in a folder and below it, without hidden ones.

    Copies by macOS put a hidden file ``._a.wav``, which is no sound, beside each ``a.wav``.
    """
    return [path for path in files_below(folder, SOUND_SUFFIXES) if not path.name.startswith(".")]


def sound_info(path: str | os.PathLike[str]) -> SoundInfo:
    """Return what the header of a sound file says.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is no sound file, is damaged, holds no sound, or has a sample rate above :data:`MAX_RATE`.
    """
    with _opened(path) as file:
        return _info(file, path)


def read_sound(
    path: str | os.PathLike[str],
    *,
    channel: Channel = "mix",
    rate: int | None = None,
    start: float | None = None,
    stop: float | None = None,
) -> Sound:
    """Read a sound file, or a part of it, as one channel.

    Parameters
    ----------
    path : path-like
        Of any format that libsndfile reads; the contents count, not the suffix.
    channel : int or "mix"
        Number of the channel, from 0, or the mean of all.
    rate : int, optional
        Samples per second to resample to; by default those of the file.
    start, stop : float, optional
        The part to read, in seconds; by default all.

    Returns
    -------
    Sound
        float32. Whole numbers become -1 to 1. Floats stay as they are, also beyond -1 and 1.

    Warns
    -----
    UserWarning
        If the header of a WAV file contradicts itself about the sample rate, which is then believed; or if the file is
        cut off, of which the rest is read.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is no sound file, is damaged, holds no sound, NaN or an infinity, or a greater number than 2**32; if it
        has no such channel; if `start` and `stop` are not inside it; if a rate is not 1 to :data:`MAX_RATE`.
    MemoryError
        If the samples would take more memory than there is; :func:`sound_blocks` needs little.
    TypeError
        If an argument is of another type.
    """
    part = _Part.of(path, channel, rate, start, stop)
    n = part.n_samples
    memory.check(4 * n, f"{path}: its {n} samples", "read a part of it with start and stop, or use sound_blocks")
    # What a header says may be far more than the file holds, so the array grows with what is there.
    samples, used = np.empty(min(n, 2**24), np.float32), 0
    for block in part.blocks():
        if used + len(block) > len(samples):
            samples.resize(max(used + len(block), min(n, 2 * len(samples))), refcheck=False)
        samples[used : used + len(block)] = block
        used += len(block)
    samples.resize(used, refcheck=False)
    return Sound(samples, part.rate)


def sound_blocks(
    path: str | os.PathLike[str],
    *,
    channel: Channel = "mix",
    rate: int | None = None,
    start: float | None = None,
    stop: float | None = None,
) -> Iterator[np.ndarray]:
    """Read a sound file block by block, in memory of a few megabytes however long it is.

    Parameters, warnings and errors are those of :func:`read_sound`. Arguments and the header are checked at once, the
    samples while they are read.

    Returns
    -------
    iterator of numpy.ndarray, shape (n,)
        float32 blocks of 2**18 samples, the last shorter; resampled ones vary in length. Joined, they are what
        :func:`read_sound` returns.
    """
    return _Part.of(path, channel, rate, start, stop).blocks()


def as_samples(samples: ArrayLike, name: str = "samples") -> np.ndarray:
    """Return the samples of one channel as float32; `name` is what errors call them.

    Raises
    ------
    ValueError
        If they are not of one dimension, there are none, or one is NaN, infinite or beyond 2**32.
    TypeError
        If they are no numbers.
    """
    array = as_array(samples, name)
    if array.ndim != 1 or not array.size:
        turned = (
            ". Give one channel, samples[:, 0], or the mean of all, samples.mean(axis=1)" if array.ndim == 2 else ""
        )
        raise ValueError(
            f"{name}: an array of shape {array.shape}; expected one dimension, of 1 sample or more{turned}"
        )
    with np.errstate(over="ignore"):  # becomes an infinity, which is refused
        array = np.ascontiguousarray(array, np.float32)
    _check_values(array, name)
    return array


def write_sound(path: str | os.PathLike[str], samples: ArrayLike, rate: int) -> None:
    """Write one channel as a WAV file of 16 bits, in one step.

    `read_sound` gives the samples back to within half a step of 16 bits, 1/65536; of exactly 1.0, one step less.

    Parameters
    ----------
    path : path-like
        Ends in ``.wav``; its folder exists. An earlier file of the name is replaced.
    samples : array_like, shape (n,)
        -1 to 1. A louder sound is not clipped: all of it is made quieter, with a warning.
    rate : int
        Samples per second, in hertz.

    Raises
    ------
    ValueError
        If `samples` or `rate` is not valid, the name ends otherwise, or there are more samples than a WAV file can
        hold.
    TypeError
        If an argument is of another type.
    OSError
        If the file cannot be written; an earlier one then stays.
    """
    array = as_samples(samples)
    rate = whole_number("rate", rate, 1, MAX_RATE)
    if len(array) > MOST_SAMPLES:
        raise ValueError(f"{path}: {len(array)} samples, more than a WAV file can hold; write them in parts")
    with atomic(path) as temporary:
        if temporary.suffix.lower() != ".wav":
            raise ValueError(f"{path}: expected a file name ending in .wav")
        if (peak := float(np.abs(array).max())) > 1.0:
            warn(f"{path}: the sound peaks at {peak:.4g}, beyond 1, and is made quieter by that factor, not clipped")
            array = array / np.float32(peak)
        steps = np.clip(np.round(array * np.float32(32768)), -32768, 32767).astype(np.int16)
        import soundfile

        soundfile.write(temporary, steps, rate, "PCM_16", format="WAV")


class _Part(NamedTuple):
    """What to read of a file: samples `first` to `last` of a channel, and the rate to resample to."""

    path: str | os.PathLike[str]
    channel: Channel
    file_rate: int
    rate: int
    first: int
    last: int

    @classmethod
    def of(
        cls, path: str | os.PathLike[str], channel: Channel, rate: int | None, start: float | None, stop: float | None
    ) -> "_Part":
        """Check the arguments, then the header."""
        if rate is not None:
            rate = whole_number("rate", rate, 1, MAX_RATE)
        if channel != "mix":
            channel = whole_number("channel", channel, 0)
        ends = [
            None if value is None else number(name, value, "seconds from the beginning of the file", least=0)
            for name, value in (("start", start), ("stop", stop))
        ]
        info = sound_info(path)
        if channel != "mix" and channel >= info.channels:
            raise ValueError(
                f"{path}: has {info.channels} channels; expected channel 0 to {info.channels - 1} or 'mix'"
            )
        first, last = (
            default if end is None else round(end * info.rate)
            for end, default in zip(ends, (0, info.frames), strict=True)
        )
        if not first < last <= info.frames:
            raise ValueError(
                f"{path}: lasts {info.seconds:.6g} s; start={start} and stop={stop} are no part of it, of 1 sample or "
                "more"
            )
        return cls(path, channel, info.rate, rate or info.rate, first, last)

    @property
    def n_samples(self) -> int:
        """Number of samples after resampling, if the header is right."""
        return -((self.first - self.last) * self.rate // self.file_rate)

    def blocks(self) -> Iterator[np.ndarray]:
        """Read, mix, check and resample."""
        if self.rate == self.file_rate:
            yield from self._decoded()
            return
        import soxr

        stream = soxr.ResampleStream(self.file_rate, self.rate, 1, dtype="float32", quality="HQ")
        waiting: np.ndarray | None = None  # the last block has to be announced
        for block in self._decoded():
            if waiting is not None and len(done := stream.resample_chunk(waiting)):
                yield done
            waiting = block
        if waiting is not None and len(done := stream.resample_chunk(waiting, last=True)):
            yield done

    def _decoded(self) -> Iterator[np.ndarray]:
        import soundfile

        at = self.first
        with _opened(self.path, check=True) as file:
            while at < self.last:
                try:
                    if at == self.first:
                        file.seek(at)
                    frames = file.read(min(_BLOCK, self.last - at), dtype="float32", always_2d=True)
                except soundfile.LibsndfileError as error:
                    raise _damaged(self.path, error) from error
                if not len(frames):
                    warn(
                        f"{self.path}: is cut off: its header says {self.last} samples, {at} are there and are read; "
                        "get the file again if you can"
                    )
                    break
                used = frames if self.channel == "mix" else frames[:, [self.channel]]
                _check_values(used, str(self.path), at / self.file_rate, self.file_rate)  # the mean might hide them
                block = used.mean(axis=1) if used.shape[1] > 1 else used[:, 0]
                at += len(block)
                yield block
        if at == self.first:
            raise ValueError(f"{self.path}: none of the samples that its header says are there; get the file again")


@contextmanager
def _opened(path: str | os.PathLike[str], check: bool = False) -> Iterator[Any]:
    """Open a sound file; with `check`, warn if the parts of its header do not agree."""
    import soundfile

    check_readable(path, "a sound file")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError) as error:  # a TypeError says that a file .raw needs a description
        raise _damaged(path, error) from error
    with file:
        if check:
            _check_header(file, path)
        yield file


def _damaged(path: str | os.PathLike[str], error: Exception) -> ValueError:
    reason = ValueError(str(getattr(error, "error_string", error)))
    return unreadable(path, "sound", reason, "get the file again, or convert it to WAV or FLAC")


def _info(file: Any, path: str | os.PathLike[str]) -> SoundInfo:
    info = SoundInfo(file.frames, file.samplerate, file.channels, file.format, file.subtype)
    if not 1 <= info.rate <= MAX_RATE:
        raise ValueError(
            f"{path}: its header says {info.rate} samples per second, expected 1 to {MAX_RATE}; the file is damaged or "
            "its header wrong"
        )
    if info.frames < 1:
        raise ValueError(f"{path}: holds no sound, 0 samples; leave the file out, or get it again")
    return info


def _check_header(file: Any, path: str | os.PathLike[str]) -> None:
    """Warn if a WAV header contradicts itself or the length of the file, which libsndfile repairs in silence."""
    for what, told, right in re.findall(r"(Bytes/sec|data) *: (\d+) \(should be (\d+)\)", file.extra_info):
        if what == "Bytes/sec":
            warn(
                f"{path}: its header contradicts itself: {file.samplerate} samples per second are {right} bytes per "
                f"second, it says {told}. The former is used; if times and pitches are wrong, correct the header"
            )
        elif int(told) < 2**32 - 2**16:  # a program that writes to a pipe cannot know the length, and says the most
            warn(
                f"{path}: is cut off: its header says {told} bytes of sound, {right} are there and are read; get the "
                "file again if you can"
            )


def _check_values(samples: np.ndarray, where: str, seconds: float | None = None, rate: int = 1) -> None:
    """Raise ValueError if a sample is NaN, infinite or too great; `seconds` and `rate` say when the first one comes."""
    # of a NaN, neither comparison is true
    if not (samples.min() >= -_MOST and samples.max() <= _MOST):
        wrong = ~(np.abs(samples) <= _MOST)
        first = np.argwhere(wrong)[0]
        place = f"sample {first[0]}" if seconds is None else f"{seconds + first[0] / rate:.4f} s"
        raise ValueError(
            f"{where}: {int(wrong.sum())} samples are NaN, infinite or beyond 2**32, the first is "
            f"{samples[tuple(first)]} at {place}; replace them, or leave the file out"
        )
