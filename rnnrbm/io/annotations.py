"""Annotations of recordings: finding, reading, checking and writing them."""

import csv
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rnnrbm.arguments import number
from rnnrbm.files import as_text, atomic, check_path
from rnnrbm.io.annotation_formats import ANNOTATION_SUFFIXES, NATIVE, Annotation, ByRecording, read_crowsetta, reader_of
from rnnrbm.io.sound import SOUND_SUFFIXES, sound_info
from rnnrbm.warn import warn

__all__ = [
    "Annotation",
    "check_annotations",
    "find_annotations",
    "of_several",
    "read_annotated",
    "read_annotations",
    "write_annotations",
]

#: Files that annotate all recordings of a folder, or of a folder ``Wave`` beside them, as the Koumura set has it.
_OF_FOLDERS = ("Annotation.xml", "annotations.csv")


def find_annotations(recording: str | os.PathLike[str]) -> Path | None:
    """Return the file that annotates a recording, None if there is none.

    For ``a.wav`` it is ``a.txt`` or ``a.wav.txt``, likewise with the other :data:`ANNOTATION_SUFFIXES`, or Raven's
    ``a.Table.1.selections.txt``. Else it is a file for all recordings of the folder, ``Annotation.xml`` or
    ``annotations.csv``; of recordings in a folder ``Wave``, beside that folder.

    Raises
    ------
    ValueError
        If there are several.
    """
    path = Path(recording)
    stems = dict.fromkeys((path.name, path.stem))
    names = [stem + suffix for stem in stems for suffix in ANNOTATION_SUFFIXES]
    names += [f"{stem}.Table.1.selections.txt" for stem in stems]
    found = [path.with_name(name) for name in names if path.with_name(name).is_file()]
    if not found:
        folders = [path.parent, *([path.parent.parent] if path.parent.name.lower() == "wave" else [])]
        found = [folder / name for folder in folders for name in _OF_FOLDERS if (folder / name).is_file()]
    if len(found) > 1:
        raise ValueError(
            f"{path}: has several files of annotations, {', '.join(each.name for each in found)}; keep one of them"
        )
    return found[0] if found else None


def of_several(path: Path) -> bool:
    """Return whether a file that `find_annotations` has found annotates all recordings of a folder."""
    return path.name in _OF_FOLDERS


def read_annotations(
    path: str | os.PathLike[str],
    *,
    recording: str | os.PathLike[str] | None = None,
    format: str | None = None,
    **options: Any,
) -> list[Annotation]:
    """Read the annotations of one recording.

    Parameters
    ----------
    path : path-like
        A file of labels of Audacity (``.txt``), a table (``.csv``, ``.tsv``, or a ``.txt`` with a header, as Raven
        writes it), a ``.not.mat`` file of evsonganaly, a ``.json`` file of batdetect2; with the package crowsetta, a
        ``.TextGrid`` file, the ``.xml`` file of the Koumura set, and others.
    recording : path-like, optional
        The recording; needed if the file is for several, or counts in samples and does not lie beside its recording.
    format : str, optional
        By default found by the suffix: ``"audacity"``, ``"table"``, ``"notmat"``, ``"batdetect2"``, or a name of
        crowsetta.
    **options
        Passed to crowsetta, for its formats.

    Returns
    -------
    list of Annotation
        As they are in the file; see :func:`check_annotations`.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ImportError
        If the format needs crowsetta, and it is not installed.
    ValueError
        If the file is damaged, of another format, or annotates other recordings.
    """
    path, found = _read(path, recording, format, options)
    given = None if recording is None else Path(recording).name
    if set(found) == {""}:
        return found[""]
    if given is None and len(found) == 1:
        return next(iter(found.values()))
    if given not in found:
        told = "say which one with recording=" if given is None else f"{given} is not among them"
        raise ValueError(f"{path}: annotates {len(found)} recordings, such as {next(iter(found))}; {told}")
    return found[given]


def read_annotated(
    path: str | os.PathLike[str], *, format: str | None = None, **options: Any
) -> dict[Path, list[Annotation]]:
    """Read the annotations of all recordings that a file names and that are there.

    Parameters are those of :func:`read_annotations`.

    Returns
    -------
    dict of pathlib.Path to list of Annotation
        By recordings, in the folder of the file or its sub-folder ``Wave``.

    Warns
    -----
    UserWarning
        If the file names recordings that are not there; they are left out.

    Raises
    ------
    ValueError
        If none is there; else as :func:`read_annotations`.
    """
    path, found = _read(path, None, format, options)
    present = {name: place for name in found if (place := _place(path, name)) is not None}
    missing = [name or f"that of {path.name}" for name in found if name not in present]
    if missing and not present:
        raise ValueError(f"{path}: annotates {len(missing)} recordings, such as {missing[0]}, of which none is there")
    if missing:
        warn(f"{path}: annotates {len(missing)} recordings that are not there, such as {missing[0]}; they are left out")
    return {place: found[name] for name, place in present.items()}


def _read(
    path: str | os.PathLike[str], recording: str | os.PathLike[str] | None, format: str | None, options: dict[str, Any]
) -> tuple[Path, ByRecording]:
    check_path(path, "a file of annotations")
    path = Path(path)
    name = reader_of(path, format)
    if name in NATIVE:
        if options:
            raise TypeError(f"{path}: the format {name!r} has no options, got {', '.join(options)}")
        return path, NATIVE[name](path)

    def rate_of(name: str) -> int | None:
        given = None if recording is None or name not in ("", Path(recording).name) else Path(recording)
        place = given if given is not None and given.is_file() else _place(path, name)
        return None if place is None else sound_info(place).rate

    return path, read_crowsetta(path, name, rate_of, **options)


def _place(path: Path, name: str) -> Path | None:
    """Return where a recording is that a file of annotations names, None if it is not there."""
    if name:
        places = [path.parent / name, path.parent / "Wave" / name]
    else:  # the one that the file lies beside
        suffix = next((each for each in ANNOTATION_SUFFIXES if path.name.lower().endswith(each.lower())), path.suffix)
        stem = path.name[: len(path.name) - len(suffix)].removesuffix(".Table.1.selections")
        places = [
            path.with_name(stem + each) for each in ("", *SOUND_SUFFIXES, *map(str.upper, SOUND_SUFFIXES)) if stem
        ]
    return next((place for place in places if place.is_file()), None)


def check_annotations(
    annotations: Iterable[Annotation],
    seconds: float,
    *,
    hop: float = 0.0,
    overlap: bool = False,
    where: str = "annotations",
) -> list[Annotation]:
    """Return annotations in order of their onsets, or say what is wrong with them.

    Programs round times, so an offset may be up to one hop past the end of the recording, or past the next onset. It is
    then moved there. A call that the end of the recording cuts off, such as the last one of a clip, ends there too.

    Parameters
    ----------
    annotations : iterable of Annotation
    seconds : float
        How long the recording lasts.
    hop : float
        Seconds between two frames of the spectrogram.
    overlap : bool
        Whether annotations may overlap, as those of several animals do.
    where : str
        What errors begin with, such as the name of the file.

    Warns
    -----
    UserWarning
        If offsets are more than one hop past the end.

    Raises
    ------
    ValueError
        If a time or a frequency is NaN, infinite or negative, an offset is not after its onset, a band is empty, an
        onset is past the end, or, unless `overlap` is true, two overlap.
    """
    seconds = number("seconds", seconds, "the seconds that the recording lasts", above=0)
    hop = number("hop", hop, "seconds", least=0)
    checked: list[Annotation] = []
    late: list[Annotation] = []
    for each in sorted(map(_finite(where), annotations), key=lambda a: a.onset):
        name = f"{where}: {each.label or 'a segment'!r} from {each.onset:.6g} to {each.offset:.6g} s"
        if each.offset <= each.onset:
            raise ValueError(f"{name}: expected an offset after the onset; correct the annotation, or leave it out")
        if each.low is not None and each.high is not None and each.high <= each.low:
            raise ValueError(f"{name}: a band from {each.low:g} to {each.high:g} Hz; expected the lower limit first")
        if each.onset >= seconds:
            raise ValueError(
                f"{name}: past the end, the recording lasts {seconds:.6g} s; check that the annotations belong to this "
                "recording, and that they are in seconds"
            )
        late += [each] if each.offset > seconds + hop else []
        each = each._replace(offset=min(each.offset, seconds))
        if checked and not overlap and (last := checked[-1]).offset > each.onset:
            if last.offset > each.onset + hop or last.onset >= each.onset:
                raise ValueError(
                    f"{name}: overlaps {last.label or 'a segment'!r} from {last.onset:.6g} to {last.offset:.6g} s; "
                    "correct one, or allow it with overlap=True"
                )
            checked[-1] = last._replace(offset=each.onset)
        checked.append(each)
    if late:
        warn(
            f"{where}: {len(late)} annotations end after the recording, which lasts {seconds:.6g} s, such as "
            f"{late[0].label or 'a segment'!r} from {late[0].onset:.6g} to {late[0].offset:.6g} s; they end with it"
        )
    return checked


def _finite(where: str) -> Any:
    """Return a function that checks the numbers of an annotation, each by itself."""

    def check(annotation: Annotation) -> Annotation:
        for name, value in zip(("onset", "offset", "low", "high"), (*annotation[:2], *annotation[3:]), strict=True):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"{where}: the {name} of {annotation.label or 'a segment'!r} is {value}; expected 0 or more"
                )
        return annotation

    return check


def write_annotations(path: str | os.PathLike[str], annotations: Sequence[Annotation]) -> None:
    """Write annotations for Audacity, or as a table, in one step.

    Parameters
    ----------
    path : path-like
        Ends in ``.txt``, for Audacity: microseconds, with a second line for a band of frequencies. Or in ``.csv``: the
        columns ``onset_s``, ``offset_s`` and ``label``, and ``low_hz`` and ``high_hz`` if there are bands; its numbers
        are read back exactly.
    annotations : sequence of Annotation
        Tabs and line breaks in labels become spaces.

    Raises
    ------
    ValueError
        If the name ends otherwise.
    OSError
        If the file cannot be written; an earlier one then stays.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".txt", ".csv"):
        raise ValueError(f"{path}: expected a file name ending in .txt, for Audacity, or in .csv")
    rows = [each._replace(label=" ".join(as_text(each.label).split())) for each in annotations]
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        if suffix == ".txt":
            for each in rows:
                file.write(f"{each.onset:.6f}\t{each.offset:.6f}\t{each.label}\n")
                if (each.low, each.high) != (None, None):
                    low, high = (-1.0 if value is None else value for value in each[3:])
                    file.write(f"\\\t{low:.6f}\t{high:.6f}\n")
            return
        n = 5 if any(each[3:] != (None, None) for each in rows) else 3
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("onset_s", "offset_s", "label", "low_hz", "high_hz")[:n])
        table.writerows(
            [*(repr(float(t)) for t in each[:2]), each.label, *("" if f is None else repr(float(f)) for f in each[3:n])]
            for each in rows
        )
