"""Finding the calls of many recordings, writing them as annotations, and drawing them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnrbm.files import check_folder, check_writable, make_folder
from rnnrbm.io.annotations import Annotation, find_annotations, write_annotations
from rnnrbm.io.recordings import Recording, survey
from rnnrbm.io.segments import SegmentSettings
from rnnrbm.io.sound import SOUND_SUFFIXES, Channel, sound_blocks, sound_files
from rnnrbm.io.sound_folder import settings_of, spectral_options
from rnnrbm.io.sound_pieces import calls
from rnnrbm.io.spectrogram import SpectrogramSettings, spectrogram_blocks
from rnnrbm.progress import Progress, silent
from rnnrbm.warn import warn

__all__ = ["Segmented", "segment_recordings"]

_DRAWN = 60.0  # seconds of a recording that are drawn ...
_ROW = 15.0  # ... in rows of so many seconds


class Segmented(NamedTuple):
    """What was found in a recording.

    Attributes
    ----------
    path : pathlib.Path
        The file of annotations.
    n_calls : int
    share : float
        Part of the recording in which something calls.
    seconds : float
        How long the recording lasts.
    """

    path: Path
    n_calls: int
    share: float
    seconds: float


def segment_recordings(
    source: Path,
    out: Path | None = None,
    settings: SegmentSettings | None = None,
    *,
    channel: Channel = "mix",
    suffix: str = ".txt",
    pictures: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[Segmented]:
    """Find the calls in a sound file or in those of a folder, and write an annotation file and a picture for each.

    Every file appears whole or not at all, so what an interrupted call has written can be kept.

    Parameters
    ----------
    source : pathlib.Path
    out : pathlib.Path, optional
        Folder for the files; sub-folders are as in `source`. By default, each lies beside its recording.
    settings : SegmentSettings, optional
    channel : int or "mix"
    suffix : {".txt", ".csv"}
        Labels of Audacity, or a table; see :func:`rnnrbm.io.annotations.write_annotations`.
    pictures : bool
        Draw the first minute of each recording, with what was found.
    overwrite : bool
        Replace files that are there.
    progress : callable
        Called with the stage "segment" after each recording.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    FileExistsError
        If a file to write is there already, unless `overwrite` is true; or if annotations would come beside others of
        their recording. Nothing is written then.
    ValueError
        If no file can be used, or a setting does not suit a sample rate.
    """
    if suffix not in (".txt", ".csv"):
        raise ValueError(f"format {suffix[1:]!r}: expected 'txt', for Audacity, or 'csv'")
    settings = settings or SegmentSettings()
    if not source.exists():
        raise FileNotFoundError(f"{source}: there is no such file or folder; give a sound file, or a folder of some")
    folder, paths = (source.parent, [source]) if source.is_file() else (source, sound_files(source))
    if not paths:
        raise ValueError(f"{folder}: no sound file ({', '.join(SOUND_SUFFIXES)}) in it or below it")
    place = folder if out is None else out
    check_folder(place, "annotations")
    check_writable(place)
    targets = {path: place / path.relative_to(folder).with_suffix(suffix) for path in paths}
    n_of = Counter(targets.values())
    if twice := [path for path in paths if n_of[targets[path]] > 1]:
        raise ValueError(
            f"{twice[0]} and {twice[1]}: would have the same file of annotations, {targets[twice[0]].name}; rename one"
        )
    _check_absent(targets, pictures, overwrite=overwrite, beside=out is None)
    recordings = survey(paths, folder, channel=channel, rate=1)  # each is looked at by itself, whatever its rate
    for recording in recordings:
        limit = recording.rate / 2
        if settings.low >= limit or (settings.high is not None and settings.high >= limit):
            raise ValueError(
                f"{recording.path}: the band from {settings.low:g} to {settings.high or limit:g} Hz is not below half "
                f"its sample rate, {limit:g} Hz; choose another by --low and --high"
            )
    done = []
    for i, recording in enumerate(recordings):
        progress("segment", i, len(recordings), None)
        found = calls(recording, settings, channel=channel)
        target = targets[recording.path]
        make_folder(target.parent, "annotations")
        if pictures:
            _draw(recording, found, settings, channel, target.with_suffix(".png"))
        write_annotations(target, found)
        share = sum(each.offset - each.onset for each in found) / recording.seconds
        done.append(Segmented(target, len(found), share, recording.seconds))
    progress("segment", len(recordings), len(recordings), None)
    if nothing := [each.path for each in done if not each.n_calls]:
        warn(
            f"{len(nothing)} of {len(done)} recordings have no call above the threshold, such as that of {nothing[0]}; "
            "lower threshold or peak_db (--threshold, --peak-db), or choose another band of frequencies"
        )
    return done


def _check_absent(targets: dict[Path, Path], pictures: bool, *, overwrite: bool, beside: bool) -> None:
    """Raise FileExistsError if something would be replaced, or a recording would have two files of annotations."""
    for path, target in targets.items():
        for each in (target, target.with_suffix(".png")) if pictures else (target,):
            if each.exists() and not overwrite:
                raise FileExistsError(f"{each}: exists already; choose another folder by --out, or use --overwrite")
        if beside and (other := find_annotations(path)) not in (None, target):
            raise FileExistsError(f"{path}: has annotations already, {other}; write others to another folder by --out")


def _draw(
    recording: Recording, found: list[Annotation], settings: SegmentSettings, channel: Channel, path: Path
) -> None:
    """Draw the beginning of a recording, with the calls."""
    from matplotlib.figure import Figure

    from rnnrbm import plot

    spectral = _band(recording.rate, settings)
    stop = min(recording.seconds, _DRAWN)
    whole = stop == recording.seconds
    try:
        blocks = sound_blocks(recording.path, channel=channel, stop=None if whole else stop)
        levels = np.concatenate(list(spectrogram_blocks(blocks, recording.rate, spectral)))
    except ValueError as error:
        warn(f"no picture: {error}")
        return
    cut = "" if whole else f", the first {stop:g} of {recording.seconds:.0f} s"
    hop, n_rows = spectral.hop_seconds(recording.rate), max(round(stop / _ROW), 1)
    figure = Figure(figsize=(12, 1 + 3 * n_rows), layout="constrained")
    lag = (spectral.window_samples(recording.rate) / recording.rate - hop) / 2  # a frame is drawn at its middle
    low, high = np.quantile(levels, (0.005, 0.995))
    at = 0
    for ax, row in zip(figure.subplots(n_rows, squeeze=False)[:, 0], np.array_split(levels, n_rows), strict=True):
        begin, end = at * hop + lag, (at + len(row)) * hop + lag
        plot.spectrogram(
            row,
            spectral.centres(recording.rate),
            seconds_per_frame=hop,
            begin=begin,
            segments=[
                (max(each.onset, begin), min(each.offset, end), each.label)
                for each in found
                if each.onset < end and each.offset > begin
            ],
            limits=(float(low), float(high)),
            ax=ax,
            title=f"{recording.name}: {len(found)} calls{cut}" if at == 0 else "",
        )
        at += len(row)
    plot.save(figure, path)


def _band(rate: int, settings: SegmentSettings) -> SpectrogramSettings:
    """Return the settings of the picture: the usual ones of the rate, with the band in which calls are found."""
    usual = spectral_options(Path(), rate=rate)
    high = settings.high or max(usual["high"], min(2 * settings.low, rate / 2))
    return settings_of(
        usual | {"low": settings.low, "high": high, "scale": "linear" if settings.low == 0 else usual["scale"]}
    )
