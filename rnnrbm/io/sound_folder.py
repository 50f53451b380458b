"""Sound files as training, validation and test sets of spectrograms.

First the files are surveyed, then the parts of them that become pieces are chosen and divided, and last the
spectrograms of these parts are made, block by block. Of the recordings, never more than ten minutes are in memory.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict, Unpack

import numpy as np

from rnnrbm.arguments import number, suggestion, whole_number
from rnnrbm.io.frame_store import standardised
from rnnrbm.io.recordings import Recording, survey
from rnnrbm.io.rolls import SPLITS, Contents
from rnnrbm.io.segments import SegmentSettings
from rnnrbm.io.sound import MAX_RATE, SOUND_SUFFIXES, Channel, sound_blocks, sound_files, sound_info
from rnnrbm.io.sound_pieces import (
    Found,
    Stretch,
    annotated,
    calls,
    cut,
    divided_by_group,
    divided_by_time,
    group_of,
    joined,
    left_out,
)
from rnnrbm.io.spectrogram import SpectrogramSettings, preset, spectrogram_blocks
from rnnrbm.io.splits import DEFAULT_SPLIT, check_split, split_by_folders
from rnnrbm.progress import Progress, silent
from rnnrbm.warn import warn

__all__ = [
    "SOUND_DEFAULTS",
    "SPECTROGRAM",
    "SoundOptions",
    "is_sound",
    "load_sounds",
    "settings_of",
    "spectral_options",
]

SPECTROGRAM = "spectrogram"  # name of the kind of frame in records
USUAL_BANDS = 48
ULTRASOUND = 150_000  # samples per second from which recordings are taken for ultrasound

Segments = Literal["auto", "annotations", "detect", "none"]


class SoundOptions(TypedDict, total=False):
    """The options of `load_sounds`, but for `low` and `high`."""

    preset: str
    window_ms: float
    hop_ms: float
    scale: str
    n_bands: int
    floor_db: float
    rate: int
    channel: Channel
    segments: Segments
    gap_ms: float
    margin_ms: float
    max_seconds: float
    shifts: int
    group: str


#: Defaults of the options that say which pieces there are.
SOUND_DEFAULTS: dict[str, Any] = {
    "channel": "mix",
    "segments": "auto",
    "gap_ms": 500.0,
    "margin_ms": 50.0,
    "max_seconds": 30.0,
    "shifts": 4,
    "group": "recording",
}


def is_sound(path: Path) -> bool:
    """Return whether a path is that of a sound file by its suffix, or of a folder with sound files."""
    return path.suffix.lower() in SOUND_SUFFIXES if path.is_file() else path.is_dir() and bool(sound_files(path))


def spectral_options(path: Path, **given: Any) -> dict[str, Any]:
    """Return the options of the spectrogram that are used for a sound file or a folder of them, all but the preset.

    By default they are those of the preset ``"ava-finch"``, up to half the sample rate at most, or, of recordings of
    ultrasound, those of ``"ava-mouse"``, both with 48 bands: many more would be narrower than a window can tell apart.
    The rate is that of the first file that can be read, if none is given.
    """
    rate = given.get("rate")
    if rate is None:
        rate = next(filter(None, map(_rate, [path] if path.is_file() else sound_files(path))), None)
    base = _usual(rate) if given.get("preset") is None else preset(given["preset"])
    options: dict[str, Any] = {name: given.get(name, value) for name, value in asdict(base).items()}
    low, high = options["low"], options["high"]
    if "high" not in given and high is not None and isinstance(low, (int, float)) and low >= high:
        raise ValueError(
            f"low={low:g}: expected less than {high:g} hertz, where the band ends; choose a lower one, or another "
            "high, which may be half of the samples per second"
        )
    return {name: 0 if name == "n_bands" and value is None else value for name, value in options.items()}


def _rate(path: Path) -> int | None:
    try:
        return sound_info(path).rate
    except (ValueError, OSError):
        return None


def _usual(rate: int | None) -> SpectrogramSettings:
    usual = preset("ava-finch" if rate is None or rate < ULTRASOUND else "ava-mouse")
    assert usual.high is not None
    high = usual.high if rate is None else min(usual.high, rate / 2)
    return replace(usual, high=high, n_bands=USUAL_BANDS)


def settings_of(options: dict[str, Any]) -> SpectrogramSettings:
    """Return the settings of a spectrogram from options, in which 0 bands stand for all frequencies."""
    names = SpectrogramSettings.__dataclass_fields__
    chosen = {name: value for name, value in options.items() if name in names}
    return SpectrogramSettings(**chosen | {"n_bands": chosen["n_bands"] or None})


class _Choices(NamedTuple):
    """Checked options, but for those of the spectrogram and of the split."""

    channel: Channel
    rate: int | None
    segments: Segments
    gap: float
    margin: float
    longest: float
    shifts: int
    group: str

    @classmethod
    def of(cls, options: dict[str, Any]) -> "_Choices":
        o = SOUND_DEFAULTS | options
        if o["channel"] != "mix":
            whole_number("channel", o["channel"], 0)
        rate = o.get("rate")
        if o["segments"] not in (known := ("auto", "annotations", "detect", "none")):
            raise ValueError(f"segments={o['segments']!r}: {suggestion(str(o['segments']), known)}")
        gap, margin = (
            number(name, o[name], "milliseconds, 0 or more", least=0) / 1000 for name in ("gap_ms", "margin_ms")
        )
        longest = number("max_seconds", o["max_seconds"], "seconds, more than 0", above=0)
        shifts = whole_number("shifts", o["shifts"], 1)
        if not isinstance(o["group"], str):
            raise TypeError(f"group={o['group']!r}: expected 'recording', 'folder', or a regular expression")
        group_of("", o["group"])
        rate = None if rate is None else whole_number("rate", rate, 1, MAX_RATE)
        return cls(o["channel"], rate, o["segments"], gap, margin, longest, shifts, o["group"])


def load_sounds(
    path: Path,
    *,
    name: str | None = None,
    low: float | None = None,
    high: float | None = None,
    split: Sequence[float] = DEFAULT_SPLIT,
    seed: int = 0,
    progress: Progress = silent,
    **options: Unpack[SoundOptions],
) -> Contents:
    """Read a sound file, or those of a folder, and divide them; see :func:`rnnrbm.datasets.load` for the parameters.

    Raises
    ------
    ValueError
        If an option makes no sense, or does not suit the sample rate; if no file can be used, or rates differ and none
        is chosen; if there are no annotations, or no calls, where they are asked for; if there is too little sound.
    ImportError
        If annotations need the package crowsetta, and it is not installed.
    OSError
        If a file cannot be read, or too many frames for the memory cannot be stored.

    Warns
    -----
    UserWarning
        Of recordings that are left out, copies, clipping, and bands that do not vary.
    """
    chosen = {**options, "low": low, "high": high}
    given = {key: value for key, value in chosen.items() if value is not None}
    choices = _Choices.of(given)
    settings = settings_of(spectral_options(path, **given))
    fractions, seed = check_split(split, seed)
    folder, paths = (path.parent, [path]) if path.is_file() else (path, sound_files(path))
    if not paths:
        raise ValueError(f"{folder}: no sound file ({', '.join(SOUND_SUFFIXES)}) in it or below it")
    by_folders = path.is_dir() and split_by_folders(folder, paths, "sound", split, seed)
    if by_folders and choices.group != "recording":
        raise ValueError(f"{folder}: group cannot be chosen, its sub-folders are the splits")

    total = 2 * len(paths)
    recordings = survey(
        paths,
        folder,
        channel=choices.channel,
        rate=choices.rate,
        window_ms=settings.window_ms,
        progress=progress,
        total=total,
    )
    rate = choices.rate or recordings[0].rate
    settings.check(rate)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(cut off|contradicts itself)")  # the survey has said it
        stretches = _stretches(recordings, choices, settings, rate, folder)
        if not stretches:
            raise ValueError(
                f"{path}: no stretch is longer than the window of {settings.window_ms:g} ms; choose a shorter one"
            )
        parts = _divided(name or path, stretches, by_folders, choices, fractions, seed, progress)
        contents = _contents(name or path.resolve().stem, path, parts, choices, settings, rate, progress, total)
    progress("read", total, total, None)
    return contents


def _stretches(
    recordings: Sequence[Recording], choices: _Choices, settings: SpectrogramSettings, rate: int, folder: Path
) -> list[Stretch]:
    """Return the parts of the recordings that become pieces."""
    found: Found = {}
    segments = choices.segments
    if segments in ("auto", "annotations"):
        found = annotated(recordings)
        if not found and segments == "annotations":
            raise ValueError(
                f"{folder}: none of its {len(recordings)} recordings has annotations; write some by 'rnnrbm segment', "
                "or choose segments='detect' or 'none' (data.segments in settings)"
            )
        if found:
            left_out(recordings, found, folder, "annotations", "find calls in all by data.segments = 'detect'")
    if not found and segments in ("auto", "detect"):
        band = SegmentSettings(settings.low, settings.high if settings.high and settings.high < rate / 2 else None)
        found = {r: calls(r, band, channel=choices.channel, rate=choices.rate) for r in recordings}
        if not any(found.values()):
            if segments == "detect":
                raise ValueError(
                    f"{folder}: no call was found in its {len(recordings)} recordings; choose another band of "
                    "frequencies, find calls by 'rnnrbm segment' with other settings, or choose segments='none' "
                    "(data.segments in settings), by which recordings are read whole"
                )
            warn(f"{folder}: no call was found in its {len(recordings)} recordings, so they are read whole")
            found = {}
        else:
            left_out(recordings, found, folder, "calls", "data.segments = 'none' reads recordings whole")
    whole = [Stretch(r, 0.0, r.seconds) for r in recordings]
    some = [s for r in found for s in joined(r, found[r], gap=choices.gap, margin=choices.margin)] if found else whole
    return [s for s in cut(some, choices.longest) if _n_frames(s, settings, rate)]


def _n_frames(stretch: Stretch, settings: SpectrogramSettings, rate: int) -> int:
    return settings.n_frames(int(stretch.seconds * rate), rate)


def _shifted(stretches: Iterable[Stretch], shifts: int, hop: float) -> Iterator[Stretch]:
    """Yield each stretch several times, each time beginning a part of the hop later."""
    for each in stretches:
        for i in range(shifts):
            yield each._replace(start=each.start + i * hop / shifts)


def _divided(
    where: str | Path,
    stretches: list[Stretch],
    by_folders: bool,
    choices: _Choices,
    fractions: np.ndarray,
    seed: int,
    progress: Progress,
) -> dict[str, list[Stretch]]:
    """Divide stretches into training, validation and test set."""
    if by_folders:
        parts = {s: [each for each in stretches if each.recording.name.split("/")[0] == s] for s in SPLITS}
        if empty := [s for s in SPLITS if not parts[s]]:
            raise ValueError(
                f"{where}: no usable sound in {', '.join(empty)}; expected some in each of train, valid and test"
            )
        return parts
    by_group = divided_by_group(stretches, choices.group, fractions, seed)
    if by_group is not None:
        return by_group
    parts, gap = divided_by_time(stretches, fractions, where)
    n = len({each.recording for each in stretches})
    what = "one recording" if n == 1 else f"{n} recordings of less than three groups"
    progress("note", 0, 0, {"text": f"{where}: {what}, divided by time, with gaps of {gap:.2g} s between the sets"})
    return parts


def _contents(
    name: str,
    path: Path,
    parts: dict[str, list[Stretch]],
    choices: _Choices,
    settings: SpectrogramSettings,
    rate: int,
    progress: Progress,
    total: int,
) -> Contents:
    """Make the spectrograms."""
    usable = {s: [each for each in of_split if _n_frames(each, settings, rate)] for s, of_split in parts.items()}
    if empty := [s for s in SPLITS if not usable[s]]:
        raise ValueError(
            f"{path}: too little sound for {' and '.join(empty)}, less than the window of {settings.window_ms:g} ms; "
            "give more recordings"
        )
    usable["train"] = list(_shifted(usable["train"], choices.shifts, settings.hop_seconds(rate)))
    usable["train"] = [each for each in usable["train"] if _n_frames(each, settings, rate)]
    order = [each for split in SPLITS for each in usable[split]]
    centres = settings.centres(rate)

    def levels() -> Iterator[Iterator[np.ndarray]]:
        for i, each in enumerate(order):
            progress("read", total // 2 + (i * (total // 2)) // len(order), total, None)
            ends = {} if each[1:] == (0.0, each.recording.seconds) else {"start": each.start, "stop": each.stop}
            blocks = sound_blocks(each.recording.path, channel=choices.channel, rate=choices.rate, **ends)
            yield spectrogram_blocks(blocks, rate, settings)

    stored = standardised(
        levels(),
        len(centres),
        n_train=len(usable["train"]),
        expected=sum(_n_frames(each, settings, rate) for each in order),
    )
    if constant := np.flatnonzero(np.array(stored.deviation) == 0).tolist():
        hertz = ", ".join(f"{centres[i]:.0f}" for i in constant[:3])
        warn(
            f"{path}: {len(constant)} of {len(centres)} bands do not vary in the training set and are left out, such "
            f"as those at {hertz} Hz; other data.low and data.high leave them out in silence"
        )
    pieces = iter(stored.pieces)
    record = {
        "kind": SPECTROGRAM,
        "rate": rate,
        **asdict(settings),
        "mean": stored.mean,
        "deviation": stored.deviation,
        "channel": choices.channel,
        "resampled": choices.rate is not None,
    }
    return Contents(
        name,
        {split: [next(pieces) for _ in usable[split]] for split in SPLITS},
        {split: [each.name for each in usable[split]] for split in SPLITS},
        record,
    )
