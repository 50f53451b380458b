"""Which sound files can be used: damaged, short and silent ones, copies, clipping, and mixed sample rates."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnrbm.io.fingerprint import duplicates, fingerprint_of
from rnnrbm.io.sound import Channel, sound_blocks, sound_info
from rnnrbm.progress import Progress, silent
from rnnrbm.warn import warn

__all__ = ["Recording", "survey"]

_FULL_SCALE = 0.999
_CLIPPED = 1e-4  # share of samples at full scale from which a recording is said to be clipped


class Recording(NamedTuple):
    """A sound file that can be used.

    Attributes
    ----------
    path : pathlib.Path
    name : str
        Its path in the folder, with slashes.
    rate : int
        Samples of the file per second, in hertz.
    seconds : float
    """

    path: Path
    name: str
    rate: int
    seconds: float


def survey(
    paths: Sequence[Path],
    folder: Path,
    *,
    channel: Channel = "mix",
    rate: int | None = None,
    window_ms: float = 0.0,
    progress: Progress = silent,
    total: int | None = None,
) -> list[Recording]:
    """Return the recordings that can be used; the others are left out with a warning that says why.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        Sound files.
    folder : pathlib.Path
        Where they are, for their names.
    channel : int or "mix"
        The channel that is looked at.
    rate : int, optional
        Samples per second to which they will be resampled. Without it, all must have the same rate.
    window_ms : float
        Shortest sound that can be used, milliseconds.
    progress : callable
        Called with the stage "read" after each file, of `total` or of all.

    Warns
    -----
    UserWarning
        For each file that is damaged, shorter than the window or silent; for copies of the same sound; and for
        recordings of which a ten-thousandth of the samples or more are at full scale.

    Raises
    ------
    ValueError
        If none can be used, or rates differ and `rate` is not given.
    """
    rates: dict[int, list[Path]] = {}
    usable: list[Recording] = []
    reason = ""
    for path in paths:
        try:
            info = sound_info(path)
            if 1000 * info.seconds < window_ms:
                raise ValueError(
                    f"{path}: lasts {1000 * info.seconds:.3g} ms, less than the window of {window_ms:.4g} ms"
                )
        except (ValueError, OSError) as error:
            reason = str(error)
            warn(f"left out a sound file: {reason}")
            continue
        rates.setdefault(info.rate, []).append(path)
        usable.append(Recording(path, path.relative_to(folder).as_posix(), info.rate, info.seconds))
    if len(rates) > 1 and rate is None:
        found = "; ".join(
            f"{len(of_rate)} of {hertz} Hz, such as {of_rate[0].name}" for hertz, of_rate in sorted(rates.items())
        )
        raise ValueError(
            f"{folder}: sample rates differ: {found}. Choose one to resample to, rate={min(rates)} (data.rate in "
            "settings), or put the recordings of each rate into a folder of its own"
        )
    prints, heard, total = [], [], len(paths) if total is None else total
    for i, recording in enumerate(usable):
        progress("read", i, total, None)
        level = _Level()
        try:
            blocks = sound_blocks(recording.path, channel=channel)
            found_print = fingerprint_of(level.listening(blocks), recording.rate)
            if found_print.power == 0:
                raise ValueError(f"{recording.path}: is silent, all its samples are equal")
        except (ValueError, OSError) as error:
            reason = str(error)
            warn(f"left out a sound file: {reason}")
            continue
        if level.share > _CLIPPED:
            warn(
                f"{recording.path}: {100 * level.share:.2g} % of its samples are at full scale or beyond, so it is "
                "probably clipped, which a spectrogram shows as sound at all frequencies; use a better recording if "
                "there is one"
            )
        prints.append(found_print)
        heard.append(recording)
    if not heard:
        raise ValueError(f"{folder}: none of its {len(paths)} sound files can be used; the last: {reason}")
    copies = {j for group in duplicates(prints) for j in group[1:]}
    for group in duplicates(prints):
        others = ", ".join(heard[j].name for j in group[1:])
        warn(f"{folder}: {others}: the same sound as {heard[group[0]].name}, counted once")
    return [recording for i, recording in enumerate(heard) if i not in copies]


class _Level:
    """Counts samples at full scale while they pass."""

    def __init__(self) -> None:
        self.n = self.at_full_scale = 0

    def listening(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.n += len(block)
            self.at_full_scale += int(np.count_nonzero(np.abs(block) >= _FULL_SCALE))
            yield block

    @property
    def share(self) -> float:
        return self.at_full_scale / max(self.n, 1)
