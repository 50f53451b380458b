"""From recordings to pieces: where the calls are, which of them belong together, and which piece is for what.

A piece is a stretch of a recording in which one call follows another: calls with short gaps between them and a margin
before and after. Single syllables would not show a sequence model which syllable follows which; in the Bengalese finch
songs of Koumura & Okanoya (2016), three quarters of the gaps are shorter than 73 ms and one in twenty is longer than
0.12 s, up to the seconds between two songs. So the usual pieces there are whole songs, without the silence around them.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnrbm.io.annotations import (
    Annotation,
    check_annotations,
    find_annotations,
    of_several,
    read_annotated,
    read_annotations,
)
from rnnrbm.io.recordings import Recording
from rnnrbm.io.rolls import SPLITS
from rnnrbm.io.segments import SegmentSettings, find_segments
from rnnrbm.io.sound import Channel, read_sound
from rnnrbm.io.splits import divided
from rnnrbm.warn import warn

__all__ = [
    "Stretch",
    "annotated",
    "calls",
    "cut",
    "divided_by_group",
    "divided_by_time",
    "group_of",
    "joined",
    "left_out",
]

PART = 600.0  # seconds of a recording in which calls are found at once
LONGEST_GAP = 1.0  # seconds between training, validation and test set of a recording that is divided by time

Found = dict[Recording, list[Annotation]]


class Stretch(NamedTuple):
    """A part of a recording, in seconds from its beginning."""

    recording: Recording
    start: float
    stop: float

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.stop - self.start

    @property
    def name(self) -> str:
        """Name of the piece."""
        return f"{self.recording.name} {self.start:.3f}-{self.stop:.3f} s"


def annotated(recordings: Sequence[Recording]) -> Found:
    """Return the annotations of the recordings that have any; errors are those of `read_annotations`."""
    files: dict[Path, list[Recording]] = {}
    for recording in recordings:
        if (path := find_annotations(recording.path)) is not None:
            files.setdefault(path, []).append(recording)
    found: Found = {}
    for path, of_file in files.items():
        by_path: dict[Path, list[Annotation]] = {}
        if of_several(path):
            with warnings.catch_warnings():  # a part of a published set is no reason for a warning
                warnings.filterwarnings("ignore", message=".*recordings that are not there")
                by_path = {place.resolve(): each for place, each in read_annotated(path).items()}
        for recording in of_file:
            if of_several(path):
                each = by_path.get(recording.path.resolve(), [])
            else:
                each = read_annotations(path, recording=recording.path)
            if each:
                where = f"{path}, {recording.path.name}"
                found[recording] = check_annotations(each, recording.seconds, hop=0.01, overlap=True, where=where)
    return {recording: found[recording] for recording in recordings if recording in found}


def calls(
    recording: Recording, settings: SegmentSettings, *, channel: Channel = "mix", rate: int | None = None
) -> list[Annotation]:
    """Find the calls in a recording, ten minutes at a time, so that it need not be in memory.

    Errors are those of `find_segments` and `read_sound`.
    """
    found: list[Annotation] = []
    n = max(round(recording.seconds / PART), 1)
    edges = np.linspace(0.0, recording.seconds, n + 1)
    for start, stop in pairwise(edges):
        sound = read_sound(
            recording.path,
            channel=channel,
            rate=rate,
            start=None if n == 1 else float(start),
            stop=None if n == 1 else float(stop),
        )
        for each in find_segments(sound.samples, sound.rate, settings):
            found.append(each._replace(onset=each.onset + float(start), offset=each.offset + float(start)))
    return found


def joined(recording: Recording, segments: Iterable[Annotation], *, gap: float, margin: float) -> Iterator[Stretch]:
    """Join the segments of a recording to stretches.

    Parameters
    ----------
    recording : Recording
    segments : iterable of Annotation
        In order of their onsets; they may overlap.
    gap : float
        Segments that are at most so many seconds apart are in one stretch.
    margin : float
        A stretch begins so many seconds before its first segment, and ends as much after its last one.
    """
    spans: list[list[float]] = []
    for each in segments:
        if spans and each.onset - spans[-1][1] <= max(gap, 2 * margin):
            spans[-1][1] = max(spans[-1][1], each.offset)
        else:
            spans.append([each.onset, each.offset])
    for start, stop in spans:
        yield Stretch(recording, max(start - margin, 0.0), min(stop + margin, recording.seconds))


def cut(stretches: Iterable[Stretch], longest: float) -> Iterator[Stretch]:
    """Cut stretches that last longer than so many seconds into equal parts."""
    for each in stretches:
        n = max(int(np.ceil(each.seconds / longest - 1e-9)), 1)
        edges = np.linspace(each.start, each.stop, n + 1)
        for start, stop in pairwise(edges):
            yield each._replace(start=float(start), stop=float(stop))


def group_of(name: str, group: str) -> str:
    """Return the group of a recording, whose pieces all go into the same split.

    Parameters
    ----------
    name : str
        Path of the recording in the folder.
    group : str
        ``"recording"``, ``"folder"`` (its first sub-folder), or a regular expression that is searched in `name`. Then
        the group is what its first parenthesis matches, or all that it matches; a name without a match is a group.

    Raises
    ------
    ValueError
        If it is no regular expression.
    """
    if group == "recording":
        return name
    if group == "folder":
        return name.partition("/")[0]
    try:
        match = re.search(group, name)
    except re.error as error:
        raise ValueError(
            f"group={group!r}: expected 'recording', 'folder', or a regular expression of file names ({error})"
        ) from None
    if match is None:
        return name
    return match[1] if match.re.groups and match[1] is not None else match[0]


def divided_by_group(
    stretches: Sequence[Stretch], group: str, fractions: np.ndarray, seed: int
) -> dict[str, list[Stretch]] | None:
    """Divide stretches at random, those of a group together; None if there are less than three groups."""
    groups: dict[str, list[Stretch]] = {}
    for each in stretches:
        groups.setdefault(group_of(each.recording.name, group), []).append(each)
    if len(groups) < len(SPLITS):
        return None
    members = divided(list(groups), fractions, seed)
    return {split: [each for name in names for each in groups[name]] for split, names in members.items()}


def divided_by_time(
    stretches: Sequence[Stretch], fractions: np.ndarray, where: object
) -> tuple[dict[str, list[Stretch]], float]:
    """Divide stretches by time: the first are for training, the last for the test.

    What lies in the gaps between the sets is in none, since neighbouring frames are alike.

    Returns
    -------
    dict of str to list of Stretch
    gap : float
        Length of the gaps: a second, or a twentieth of all if that is less.
    """
    total = sum(each.seconds for each in stretches)
    gap = min(LONGEST_GAP, total / 20)
    ends = np.cumsum(fractions) * total
    windows = [(0.0, ends[0] - gap / 2), (ends[0] + gap / 2, ends[1] - gap / 2), (ends[1] + gap / 2, total)]
    parts: dict[str, list[Stretch]] = {}
    for split, (first, last) in zip(SPLITS, windows, strict=True):
        parts[split], at = [], 0.0
        for each in stretches:
            start, stop = each.start + max(first - at, 0.0), each.stop - max(at + each.seconds - last, 0.0)
            at += each.seconds
            if start < stop:
                parts[split].append(each._replace(start=float(start), stop=float(stop)))
        if not parts[split]:
            raise ValueError(
                f"{where}: {total:.3g} s of sound are too short to divide; give more recordings, or a longer one"
            )
    return parts, gap


def left_out(recordings: Sequence[Recording], found: Found, folder: object, what: str, advice: str) -> None:
    """Warn of recordings in which nothing was found."""
    missing = [recording.name for recording in recordings if not found.get(recording)]
    if missing:
        warn(
            f"{folder}: {len(missing)} of {len(recordings)} recordings have no {what}, such as {missing[0]}, and are "
            f"left out; {advice}"
        )
