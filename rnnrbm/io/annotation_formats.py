"""Formats of annotations: labels of Audacity, tables, ``.not.mat`` files, those of batdetect2, and those of crowsetta.

Each reader returns the annotations by the names of the recordings. Where a file names no recording, since it lies
beside its one, the name is empty.
"""

import csv
import inspect
import io
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnrbm.arguments import suggestion
from rnnrbm.files import read_bytes
from rnnrbm.io.mat import load_variables
from rnnrbm.io.rolls import unreadable

__all__ = [
    "ANNOTATION_SUFFIXES",
    "Annotation",
    "ByRecording",
    "read_audacity",
    "read_batdetect2",
    "read_crowsetta",
    "read_notmat",
    "read_table",
    "reader_of",
]

MAX_TEXT = 2**27  # bytes of a file of annotations: a million of them


class Annotation(NamedTuple):
    """A labelled part of a recording.

    Attributes
    ----------
    onset, offset : float
        Where it begins and ends, in seconds from the beginning of the recording.
    label : str
        Its class, such as a syllable or a species; empty if it has none.
    low, high : float or None
        The band of frequencies that it is in, in hertz.
    """

    onset: float
    offset: float
    label: str = ""
    low: float | None = None
    high: float | None = None


ByRecording = dict[str, list[Annotation]]


def _text(path: Path) -> str:
    try:
        return read_bytes(path, "a file of annotations", most=MAX_TEXT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable(path, "text in UTF-8", error, "write it again in UTF-8") from error


def _number(value: Any, where: str) -> float:
    """Return a number of a file."""
    try:
        if isinstance(value, bool):
            raise ValueError
        found = float(value)
        if not math.isfinite(found):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{where}: {value!r:.60} where a number is expected; correct the file") from None
    return found


def read_audacity(path: Path) -> ByRecording:
    """Read a text file of labels that Audacity wrote.

    A line is onset, offset and label, separated by tabs, in seconds. A line that begins with a backslash has the lowest
    and the highest frequency of the label before it; of a negative frequency, Audacity knows nothing.
    """
    found: list[Annotation] = []
    for i, line in enumerate(_text(path).splitlines(), 1):
        fields = line.split("\t")
        where = f"{path}, line {i}"
        if not line.strip():
            continue
        if len(fields) < 2 or (len(fields) < 3 and fields[0] == "\\"):
            raise ValueError(
                f"{where}: {line!r:.60}; expected the onset, the offset and a label, separated by tabs, as Audacity "
                "exports them"
            )
        if fields[0] != "\\":
            onset, offset = (_number(field, where) for field in fields[:2])
            found.append(Annotation(onset, offset, "\t".join(fields[2:]).strip()))
            continue
        if not found:
            raise ValueError(f"{where}: frequencies without a label before them; correct the file")
        low, high = (_number(field, where) for field in fields[1:3])
        found[-1] = found[-1]._replace(low=low if low >= 0 else None, high=high if high >= 0 else None)
    return {"": found}


#: Names of the columns of tables, in small letters and digits only. The first ones are those that this library writes.
_COLUMNS = {
    "onset": ("onsets", "onset", "start", "starts", "startseconds", "starttime", "starttimes", "begin", "begintimes"),
    "offset": ("offsets", "offset", "end", "ends", "endseconds", "endtime", "endtimes", "stop", "stops", "stopseconds"),
    "label": ("label", "labels", "name", "class", "annotation", "species", "calltype"),
    "low": ("lowhz", "low", "lowfreq", "lowfreqhz", "lowfrequency", "freqlow", "fmin"),
    "high": ("highhz", "high", "highfreq", "highfreqhz", "highfrequency", "freqhigh", "fmax"),
    "file": (
        "file",
        "filename",
        "filepath",
        "recording",
        "soundfile",
        "audio",
        "audiopath",
        "notatedpath",
        "beginfile",
    ),
}


def read_table(path: Path) -> ByRecording:
    """Read a table with a header: one of this library, of crowsetta or of Raven (a selection table), or a similar one.

    Columns are separated by commas, tabs or semicolons. There must be columns of the onset and the offset in seconds,
    such as ``onset_s`` and ``offset_s``. There may be a label, the lowest and the highest frequency in hertz, and the
    name of the recording. Of a selection of Raven that has several views, the first counts.
    """
    lines = _text(path).splitlines()
    header = lines[0] if lines else ""
    delimiter = next((mark for mark in "\t;" if mark in header), ",")
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error as error:
        raise unreadable(path, "a table", error, "write it again") from error
    names = [re.sub("[^a-z0-9]", "", name.lower()) for name in (rows[0] if rows else [])]
    place = {
        what: next(names.index(name) for name in known if name in names)
        for what, known in _COLUMNS.items()
        if set(known) & set(names)
    }
    if not {"onset", "offset"} <= set(place):
        raise ValueError(
            f"{path}: its first line is {header!r:.80}; expected a header with the columns onset_s and offset_s, in "
            "seconds, and perhaps label, low_hz, high_hz and file"
        )
    selection = names.index("selection") if {"selection", "view"} <= set(names) else None
    seen: set[str] = set()
    found: ByRecording = {}
    for i, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        where = f"{path}, row {i}"
        if len(row) < len(names):
            raise ValueError(f"{where}: {len(row)} cells, expected {len(names)} as in the header; correct the file")
        if selection is not None:
            if row[selection] in seen:
                continue
            seen.add(row[selection])
        cell = {what: row[column].strip() for what, column in place.items()}
        low, high = (_number(cell[what], where) if cell.get(what) else None for what in ("low", "high"))
        onset, offset = _number(cell["onset"], where), _number(cell["offset"], where)
        recording = cell.get("file", "").replace("\\", "/").rpartition("/")[2]
        found.setdefault(recording, []).append(Annotation(onset, offset, cell.get("label", ""), low, high))
    return found or {"": []}


def read_notmat(path: Path) -> ByRecording:
    """Read a ``.not.mat`` file of the MATLAB program evsonganaly: milliseconds, and a letter for each label."""
    read_bytes(path, "a .not.mat file", most=MAX_TEXT)  # in words, if it is not there
    variables = load_variables(path, ["onsets", "offsets", "labels"])
    if missing := [name for name in ("onsets", "offsets", "labels") if name not in variables]:
        raise ValueError(f"{path}: has no {', '.join(missing)}; expected a file that evsonganaly wrote")
    onsets, offsets = (np.asarray(variables[name]).ravel() for name in ("onsets", "offsets"))
    labels = "".join(str(part) for part in np.asarray(variables["labels"]).ravel())
    if (
        onsets.dtype.kind not in "iuf"
        or offsets.dtype.kind not in "iuf"
        or np.asarray(variables["labels"]).dtype.kind != "U"
    ):
        raise ValueError(f"{path}: onsets, offsets and labels are not numbers, numbers and a text; get the file again")
    if not len(onsets) == len(offsets) == len(labels):
        raise ValueError(
            f"{path}: has {len(onsets)} onsets, {len(offsets)} offsets and {len(labels)} labels; expected as many of "
            "each, a letter for each label"
        )
    where = f"{path}, onsets and offsets"
    return {
        "": [
            Annotation(_number(onset, where) / 1000, _number(offset, where) / 1000, label)
            for onset, offset, label in zip(onsets, offsets, labels, strict=True)
        ]
    }


def read_batdetect2(path: Path) -> ByRecording:
    """Read a JSON file of batdetect2: a list ``annotation`` of calls with time, frequency and class."""
    try:
        tree = json.loads(_text(path))
    except (ValueError, RecursionError) as error:  # also of a number with thousands of digits
        raise unreadable(path, "JSON", error, "get the file again") from error
    calls = tree.get("annotation") if isinstance(tree, dict) else None
    if not isinstance(calls, list):
        raise ValueError(f"{path}: has no list 'annotation'; expected JSON of batdetect2")
    found: list[Annotation] = []
    for i, call in enumerate(calls):
        where = f"{path}, annotation[{i}]"
        if not isinstance(call, dict):
            raise ValueError(f"{where}: {call!r:.60}; expected an object with start_time and end_time")
        onset, offset = (_number(call.get(key), f"{where}, {key}") for key in ("start_time", "end_time"))
        low, high = (
            None if call.get(key) is None else _number(call[key], f"{where}, {key}")
            for key in ("low_freq", "high_freq")
        )
        found.append(Annotation(onset, offset, str(call.get("class", "")), low, high))
    return {"": found}


def read_crowsetta(path: Path, name: str, rate_of: Callable[[str], int | None], **options: Any) -> ByRecording:
    """Read a format that the package crowsetta knows.

    Parameters
    ----------
    path : pathlib.Path
    name : str
        Its name there, such as ``"textgrid"``.
    rate_of : callable
        Returns the samples per second of a recording by its name, for formats that count samples. Recordings of which
        it returns None are left without annotations.
    **options
        Those of crowsetta's ``from_file`` for this format.

    Raises
    ------
    ImportError
        If crowsetta is not installed.
    ValueError
        If it does not know the format, or cannot read the file.
    """
    try:
        import crowsetta
    except ImportError as error:
        raise ImportError(
            f"{path}: annotations of the format {name!r} need the package crowsetta; install it with pip install "
            "crowsetta, convert them to a CSV file with the columns onset_s, offset_s and label, or find "
            "calls by their loudness (data.segments = 'detect')"
        ) from error
    if name not in (known := crowsetta.formats.as_list()):
        raise ValueError(f"format={name!r}: {suggestion(name, [*NATIVE, *known])}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of recordings that it does not find, which are not needed
            loaded = crowsetta.Transcriber(format=name).from_file(path, **options)
            accepted = inspect.signature(loaded.to_annot).parameters
            in_samples = "samplerate" in accepted
            # By default times are rounded to milliseconds. At 1 sample per second they are in samples.
            wanted = {"round_times": False, "samplerate": 1}
            parts = loaded.to_annot(**{key: value for key, value in wanted.items() if key in accepted})
    except Exception as error:  # of whatever kind its readers run into
        raise unreadable(path, f"annotations of the format {name}", error, "get the file again") from error
    found: ByRecording = {}
    for part in parts if isinstance(parts, list) else [parts]:
        recording = "" if part.notated_path is None else Path(part.notated_path).name
        rate = rate_of(recording) if in_samples else 1
        each = found.setdefault(recording, [])
        if rate is not None:
            each += [
                Annotation(a.onset / rate, a.offset / rate, a.label, a.low, a.high) for a in _plain(part, str(path))
            ]
    return found


def _plain(part: Any, where: str) -> list[Annotation]:
    """Return crowsetta's annotations of a recording: boxes, or one or several sequences of segments."""
    if hasattr(part, "bboxes"):
        return [
            Annotation(
                _number(box.onset, where),
                _number(box.offset, where),
                str(box.label),
                _number(box.low_freq, where),
                _number(box.high_freq, where),
            )
            for box in part.bboxes
        ]
    sequences = part.seq if isinstance(part.seq, list) else [part.seq]
    return [
        Annotation(_number(onset, where), _number(offset, where), str(label))
        for each in sequences
        for onset, offset, label in zip(each.onsets_s, each.offsets_s, each.labels, strict=True)
    ]


#: Readers of this library by the names of their formats; those of crowsetta are known under its own names.
NATIVE: Mapping[str, Callable[[Path], ByRecording]] = {
    "audacity": read_audacity,
    "table": read_table,
    "notmat": read_notmat,
    "batdetect2": read_batdetect2,
}
#: Suffixes of files of annotations, and their formats. A text file is of Audacity, unless it has a header.
ANNOTATION_SUFFIXES = {
    ".not.mat": "notmat",
    ".csv": "table",
    ".tsv": "table",
    ".txt": "audacity",
    ".json": "batdetect2",
    ".TextGrid": "textgrid",
    ".xml": "birdsong-recognition-dataset",
    ".phn": "timit",
    ".wrd": "timit",
}


def reader_of(path: Path, format: str | None = None) -> str:
    """Return the name of the format of a file, by its suffix or as given.

    Raises
    ------
    ValueError
        If no suffix is known and no format is given.
    """
    if format is not None:
        return format
    known = {suffix.lower(): name for suffix, name in ANNOTATION_SUFFIXES.items()}
    found = next((name for suffix, name in known.items() if path.name.lower().endswith(suffix)), None)
    if found is None:
        raise ValueError(
            f"{path}: no annotations are known by that suffix; expected {', '.join(ANNOTATION_SUFFIXES)}, or say the "
            "format: audacity, table, notmat, batdetect2 or one of the package crowsetta"
        )
    if found == "audacity" and not _begins_with_number(_text(path)):
        return "table"
    return found


def _begins_with_number(text: str) -> bool:
    """Return whether the first line of a text begins with a number, or the text is empty."""
    first = next((line for line in io.StringIO(text) if line.strip()), "0").split("\t")[0]
    try:
        float(first)
    except ValueError:
        return False
    return True
