"""Files that hold a data set, or one piano-roll: reading each kind, and checking what it holds.

``.mat`` and ``.npz`` files hold piano-rolls; ``.json`` and ``.pickle`` files hold, for every
frame, the MIDI note numbers that sound. `rnnrbm.datasets.load` chooses by the suffix. A pickle is
a program: here it can make lists, tuples, dictionaries, texts and numbers, and call nothing.

`save_roll` and `load_roll` are for a single piano-roll, which `rnnrbm convert` goes through.
"""

import contextlib
import io
import json
import os
import pickle
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.files import atomic
from rnnrbm.io import rolls as limits
from rnnrbm.io.midi import check_range
from rnnrbm.io.rolls import PIANO, PIANO_ROLL, SPLITS, Contents, TooLarge, check_roll, check_size

__all__ = [
    "PLAIN",
    "WITH_RANGE",
    "holds_roll",
    "load_roll",
    "read_json",
    "read_mat",
    "read_npz",
    "read_pickle",
    "save_roll",
    "write_npz",
]

#: Most entries of a frame in a file of notes: there are 128 notes, and voices may share one.
MOST_NOTES = 1000

# Types of the elements of a MATLAB 5 file: numbers, text, and what holds other elements.
_MAT_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14, 15, 16, 17, 18}
_MAT_MATRIX, _MAT_COMPRESSED = 14, 15
_MAT_CLASSES, _MAT_NUMERIC, _MAT_COMPLEX = range(1, 18), range(6, 16), 0x800


# --- arrays: .mat and .npz


def read_mat(path: Path) -> Contents:
    """Read a MATLAB 5 file in the layout of the published sets.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is damaged or of another kind or layout, or holds other values than 0 and 1.
    """
    import scipy.io  # slow to import

    keys = {split: f"{split}data" for split in SPLITS}
    check_size(path.stat().st_size, path, "has")
    with open(path, "rb") as file:
        try:
            major, _ = scipy.io.matlab.matfile_version(file)
            if major == 1:
                file.seek(0)
                _check_elements(file.read(), path)
            contents: dict[str, Any] = scipy.io.loadmat(file, variable_names=list(keys.values()))
        except NotImplementedError as error:
            raise ValueError(
                f"{path}: a MATLAB 7.3 file (HDF5), expected MATLAB 5; in MATLAB, save it with '-v7'"
            ) from error
        except TooLarge:
            raise
        except Exception as error:  # a damaged file makes scipy raise whatever it runs into
            raise _unreadable(path, "a MATLAB 5 file", error, "get the file again") from error
    missing = [key for key in keys.values() if key not in contents]
    if missing:
        raise ValueError(
            f"{path}: has no {', '.join(missing)}; expected cell arrays {', '.join(keys.values())} "
            "of piano-rolls, or a file written by `save`"
        )
    rolls: dict[str, list[np.ndarray]] = {}
    names: dict[str, list[str]] = {}
    width: int | None = None
    for split, key in keys.items():
        cells = contents[key]
        if cells.dtype != object:
            raise ValueError(
                f"{path}: {key} is an array of shape {cells.shape} of {cells.dtype}; expected a "
                "cell array, one cell a piece, of frames x notes"
            )
        names[split] = [f"{key}[{i}]" for i in range(cells.size)]
        rolls[split] = []
        for cell, label in zip(cells.ravel(), names[split], strict=True):
            roll = check_roll(cell, n_visible=width, where=f"{path}, {label}")
            width = roll.shape[1]
            rolls[split].append(roll)
    low = PIANO[0] if width == PIANO[1] - PIANO[0] + 1 else None
    return Contents(path.name, rolls, names, {"kind": PIANO_ROLL, "low": low})


def _expand(data: Any, room: int, path: Path) -> bytes:
    """Decompress an element of a .mat file to at most `room` bytes: a file can expand to a thousand times its size."""
    machine = zlib.decompressobj()
    expanded = machine.decompress(data, max(room, 1))
    if machine.unconsumed_tail:
        check_size(limits.MAX_BYTES + 1, path)
    expanded += machine.flush()
    if not machine.eof:
        raise ValueError("compressed data that are cut off")
    return expanded


def _check_elements(data: bytes, path: Path) -> None:
    """Raise ValueError if the elements of a MATLAB 5 file are of unknown types, or do not fit into each other.

    scipy looks types and classes up in tables without asking if they are in there: a damaged file would end Python.
    """
    order = "<" if data[126:128] == b"IM" else ">"
    tag = struct.Struct(f"{order}II")

    room = limits.MAX_BYTES

    def check(data: memoryview) -> list[int]:
        nonlocal room
        at, kinds = 0, []
        while at < len(data):
            if len(data) - at < tag.size:
                raise ValueError(f"{len(data) - at} bytes where an element should begin")
            kind, size = tag.unpack_from(data, at)
            start = at + tag.size
            at = start + size + (0 if kind == _MAT_COMPRESSED else -size % 8)
            if kind >> 16:  # a small one: its size, its type and up to four bytes, in eight
                kind, size, start, at = kind & 0xFFFF, kind >> 16, start - 4, start
            if kind not in _MAT_TYPES or start + size > min(at, len(data)):
                raise ValueError(f"an element of type {kind} and {size} bytes")
            kinds.append(kind)
            if kind in (_MAT_MATRIX, _MAT_COMPRESSED):
                inside = data[start : start + size]
                if kind == _MAT_COMPRESSED:
                    expanded = _expand(inside, room, path)
                    room -= len(expanded)
                parts = check(inside if kind == _MAT_MATRIX else memoryview(expanded))
                if kind == _MAT_MATRIX and size:
                    # its first element has the class of the array in the lowest byte of its value
                    value, _ = tag.unpack_from(inside, tag.size)
                    if value & 0xFF not in _MAT_CLASSES:
                        raise ValueError(f"an array of class {value & 0xFF}")
                    # then its shape, its name, and if it is of numbers, these: real parts, imaginary parts
                    expected = 2 if value & _MAT_COMPLEX else 1
                    if value & 0xFF in _MAT_NUMERIC and (len(parts) != 3 + expected or max(parts) >= _MAT_MATRIX):
                        raise ValueError(f"an array of numbers in {len(parts)} parts")
        return kinds

    check(memoryview(data)[128:])


def read_npz(path: Path) -> Contents:
    """Read a file that `rnnrbm.datasets.save` wrote. Its kind of frame has yet to check the values.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is damaged or of another kind or layout.
    """
    data = _arrays(path, "write it again with `save`")
    keys = ["name", "kind", *(s + part for s in SPLITS for part in ("", "_lengths", "_names"))]
    missing = [key for key in keys if key not in data]
    if "roll" in data and missing:
        raise ValueError(
            f"{path}: holds one piano-roll, not a data set of pieces for training, validation and test; give a folder "
            "of MIDI files, or make a Dataset of several rolls and write it with rnnrbm.datasets.save"
        )
    if missing:
        raise ValueError(
            f"{path}: has no {', '.join(missing)}; expected a file written by rnnrbm.datasets.save or 'rnnrbm convert'"
        )
    try:
        record = json.loads(str(data["kind"]))
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise ValueError(f"{path}: kind is {str(data['kind'])[:40]!r}; expected a JSON object; write it again")
    pieces: dict[str, list[np.ndarray]] = {}
    names: dict[str, list[str]] = {}
    for split in SPLITS:
        frames, lengths, labels = (data[split + part] for part in ("", "_lengths", "_names"))
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or labels.ndim != 1 or frames.ndim != 2:
            raise ValueError(
                f"{path}: {split}, {split}_lengths and {split}_names have {frames.ndim}, {lengths.ndim} and "
                f"{labels.ndim} dimensions, lengths of {lengths.dtype}; expected 2, 1 and 1, whole numbers; write "
                "it again with `save`"
            )
        if lengths.sum() != len(frames) or (lengths < 0).any():
            raise ValueError(
                f"{path}: {split} has {len(frames)} frames but its lengths add up to "
                f"{lengths.sum()}; write it again with `save`"
            )
        ends = np.cumsum(lengths)
        pieces[split] = [frames[end - length : end] for end, length in zip(ends, lengths, strict=True)]
        names[split] = [str(label) for label in labels]
    return Contents(str(data["name"]), pieces, names, record)


def save_roll(path: str | os.PathLike[str], roll: ArrayLike, **metadata: float | None) -> None:
    """Write one piano-roll to an ``.npz`` file, which `load_roll` reads back.

    The file has an array ``roll``, and the numbers `metadata` that are not None. It appears whole or not at all; an
    earlier one of that name is replaced.

    Parameters
    ----------
    path : path-like
        Ends in ``.npz``; its folder exists.
    roll : array_like, shape (T, n)
        0 and 1.
    **metadata
        ``low`` (MIDI note number of column 0), ``steps_per_beat`` or ``seconds_per_frame``, and ``tempo`` (beats per
        minute).

    Raises
    ------
    ValueError
        If `path` does not end in ``.npz``, or the roll holds other values than 0 and 1.
    OSError
        If the file cannot be written.
    """
    known: dict[str, ArrayLike] = {key: value for key, value in metadata.items() if value is not None}
    write_npz(path, known | {"roll": check_roll(roll, where="roll")})


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, ArrayLike]) -> None:
    """Write compressed arrays to an ``.npz`` file, whole or not at all.

    Raises
    ------
    ValueError
        If `path` does not end in ``.npz``.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"{path}: expected a file name ending in .npz")
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_roll(path: str | os.PathLike[str]) -> tuple[np.ndarray, dict[str, Any]]:
    """Read one piano-roll, of a file that `save_roll` wrote or one with an array ``roll``.

    Returns
    -------
    roll : numpy.ndarray, shape (T, n)
        uint8, 0 or 1.
    metadata : dict
        ``low``, ``steps_per_beat``, ``seconds_per_frame`` and ``tempo``, those that the file has.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is damaged or of another kind or layout, or holds other values than 0 and 1.
    """
    path = Path(path)
    data = _arrays(path, "write it again with `save_roll`")
    if "roll" not in data:
        raise ValueError(f"{path}: has no array 'roll' but {', '.join(data) or 'nothing'}; expected a piano-roll")
    roll = check_roll(data["roll"], where=f"{path}, roll")
    metadata: dict[str, Any] = {}
    for key in ("low", "steps_per_beat", "seconds_per_frame", "tempo"):
        value = _number(path, data, key)
        if value is not None:
            whole = key in ("low", "steps_per_beat")
            if whole and value != int(value):
                raise ValueError(f"{path}: {key}={value}; expected a whole number")
            metadata[key] = int(value) if whole else value
    return roll, metadata


def holds_roll(path: Path) -> bool:
    """Say if an ``.npz`` file holds one piano-roll, not a data set."""
    return "roll" in _arrays(path, "write it again")


def _arrays(path: Path, advice: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file."""
    # Opened here, because np.load leaves the file open if it is damaged.
    with open(path, "rb") as file:
        size = 0
        with contextlib.suppress(Exception), zipfile.ZipFile(file) as archive:  # np.load says what is wrong with it
            size = sum(member.file_size for member in archive.infolist())
        check_size(size, path)
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except Exception as error:  # a damaged file makes zipfile, zlib or NumPy raise
            raise _unreadable(path, "an .npz file", error, advice) from error


def _number(path: Path, data: dict[str, np.ndarray], key: str) -> float | None:
    """Return a number of an .npz file, None if it is not there."""
    if key not in data:
        return None
    value = data[key]
    if value.ndim != 0 or value.dtype.kind not in "iuf" or not np.isfinite(value):
        raise ValueError(f"{path}: {key} is an array of shape {value.shape} of {value.dtype}; expected one number")
    return float(value)


def _unreadable(path: Path, kind: str, error: Exception, advice: str) -> ValueError:
    """Return what to raise about a damaged file."""
    return ValueError(
        f"{path}: cannot be read as {kind}, it is cut off, damaged or of another kind "
        f"({type(error).__name__}: {str(error)[:200]}); {advice}"
    )


# --- notes: .json and .pickle


def read_json(path: Path, low: int = PIANO[0], high: int = PIANO[1]) -> Contents:
    """Read a JSON file of the note numbers of every frame.

    Parameters
    ----------
    path : pathlib.Path
        An object with keys ``train``, ``valid`` and ``test``: each an array of pieces, a piece an
        array of frames, a frame an array of the MIDI note numbers that sound. A note number may be written as
        60.0, and -1 is a voice that rests.
    low, high : int
        MIDI note numbers of the first and the last column.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is damaged or of another kind or layout, or a note is not in `low` to `high`.
    """
    check_size(path.stat().st_size, path, "has")
    text = path.read_bytes()
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, "JSON", error, "get or write the file again") from error
    return _note_contents(path, data, low, high)


def read_pickle(path: Path, low: int = PIANO[0], high: int = PIANO[1]) -> Contents:
    """Read a pickle of the note numbers of every frame, of Python 2 or 3, running nothing in it.

    Parameters
    ----------
    path : pathlib.Path
        A dictionary as `read_json` says, of lists or tuples and whole numbers, NumPy's included.
    low, high : int
        MIDI note numbers of the first and the last column.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is damaged, names anything but whole numbers of NumPy (nothing of that is imported or
        called), is of another layout, or a note is not in `low` to `high`.
    """
    check_size(path.stat().st_size, path, "has")
    pickled = path.read_bytes()
    try:
        for code, argument, _ in pickletools.genops(pickled):
            # The unpickler makes room for that many objects; a damaged file could ask for all memory.
            if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(pickled):
                raise pickle.UnpicklingError(f"object number {argument} in {len(pickled)} bytes")
        data = _NotesUnpickler(io.BytesIO(pickled), encoding="latin1").load()
    except _Refused as error:
        raise ValueError(
            f"{path}: {error}; expected lists, tuples, dictionaries and whole numbers only. Nothing of it was run. "
            "If you trust who made it, load it yourself and write it with rnnrbm.datasets.save"
        ) from error
    except Exception as error:  # a damaged pickle makes the machine raise whatever it runs into
        raise _unreadable(path, "a pickle", error, "get or write the file again") from error
    return _note_contents(path, data, low, high)


class _Refused(Exception):
    """A pickle wants what is not needed for notes."""


class _NotesUnpickler(pickle.Unpickler):
    """Unpickles plain values and NumPy's whole numbers; all that a pickle can call is below."""

    def find_class(self, module: str, name: str) -> Any:
        made = _CALLABLES.get((module, name))
        if made is None:
            raise _Refused(f"names the global {f'{module}.{name}'[:100]}")
        # A new function each time: a pickle can set attributes of it, which must not outlast it.
        return lambda *arguments: made(*arguments)


class _IntegerType:
    """What stands for NumPy's dtype of a whole number."""

    def __init__(self, code: str, align: Any = None, copy: Any = None) -> None:
        if not (isinstance(code, str) and re.fullmatch("[<>|=]?[iu][1248]", code)):
            raise _Refused(f"holds NumPy values of type {code!r:.40}")
        self.signed, self.size = code[-2] == "i", int(code[-1])
        self.order = code[0]

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    def value(self, data: bytes | str) -> int:
        raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
        if len(raw) != self.size:
            raise ValueError(f"{len(raw)} bytes for a number of {self.size}")
        return int.from_bytes(raw, "big" if self.order == ">" else "little", signed=self.signed)


def _integer(kind: Any, data: Any = b"") -> int:
    """Stand for NumPy's maker of scalars."""
    if not (isinstance(kind, _IntegerType) and isinstance(data, bytes | str)):
        raise _Refused("makes NumPy values of something else than a whole number's type and bytes")
    return kind.value(data)


def _bytes(text: Any, encoding: Any) -> bytes:
    """Stand for what Python 3 writes bytes by in old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused("encodes something else than bytes")
    return text.encode("latin1")


_CALLABLES: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _IntegerType,
    ("numpy.core.multiarray", "scalar"): _integer,  # NumPy 1
    ("numpy._core.multiarray", "scalar"): _integer,
    ("_codecs", "encode"): _bytes,
}


def _note_contents(path: Path, data: Any, low: int, high: int) -> Contents:
    """Return the rolls of notes by split, piece and frame."""
    check_range(low, high)
    width = high - low + 1
    layout = "a dictionary of train, valid and test, each a list of pieces, a piece a list of frames, a frame the notes"
    if not isinstance(data, dict):
        raise ValueError(f"{path}: holds a {type(data).__name__}; expected {layout}")
    missing = [split for split in SPLITS if split not in data]
    if missing:
        raise ValueError(f"{path}: has no {', '.join(missing)}; expected {layout}")
    rolls: dict[str, list[np.ndarray]] = {}
    for split in SPLITS:
        if not isinstance(data[split], list | tuple):
            raise ValueError(f"{path}: {split} is a {type(data[split]).__name__}; expected {layout}")
        check_size(width * sum(len(piece) for piece in data[split] if isinstance(piece, list | tuple)), path)
        rolls[split] = [_roll(f"{path}, {split}[{i}]", piece, low, high) for i, piece in enumerate(data[split])]
    names = {split: [f"{split}[{i}]" for i in range(len(rolls[split]))] for split in SPLITS}
    return Contents(path.name, rolls, names, {"kind": PIANO_ROLL, "low": low})


def _roll(where: str, piece: Any, low: int, high: int) -> np.ndarray:
    """Return the roll of a piece, the notes of every frame."""
    if not isinstance(piece, list | tuple):
        raise ValueError(f"{where} is a {type(piece).__name__}; expected a list of frames")
    if not piece:
        raise ValueError(f"{where}: no frames; leave the piece out")
    roll = np.zeros((len(piece), high - low + 1), np.uint8)
    for t, frame in enumerate(piece):
        if not isinstance(frame, list | tuple):
            raise ValueError(f"{where}, frame {t} is a {type(frame).__name__}; expected a list of note numbers")
        if len(frame) > MOST_NOTES:
            raise ValueError(f"{where}, frame {t}: {len(frame)} notes; expected at most {MOST_NOTES}")
        if len(frame) > 2 and all(note in (0, 1) for note in frame):
            raise ValueError(
                f"{where}, frame {t}: {len(frame)} values of 0 and 1, a row of a piano-roll; expected the note numbers "
                "that sound. Make a Dataset of the rolls, and write it with rnnrbm.datasets.save"
            )
        for note in frame:
            if note == -1:  # a voice that rests, in files with a place for every voice
                continue
            if type(note) is float and note.is_integer():
                note = int(note)
            if type(note) is not int:
                raise ValueError(
                    f"{where}, frame {t}: a {type(note).__name__} among the notes; expected whole numbers, {low} to "
                    f"{high}"
                )
            if not low <= note <= high:
                shown = note if abs(note) < 10**9 else "of more than 9 digits"
                raise ValueError(
                    f"{where}, frame {t}: note {shown}; expected {low} to {high}. Choose low and high to suit, from 0 "
                    "to 127"
                )
            roll[t, note - low] = 1
    return roll


#: Readers by suffix: those of files that say themselves what their columns are, and those that are told.
PLAIN: dict[str, Callable[[Path], Contents]] = {".mat": read_mat, ".npz": read_npz}
WITH_RANGE: dict[str, Callable[[Path, int, int], Contents]] = {
    ".json": read_json,
    ".pickle": read_pickle,
    ".pkl": read_pickle,
}
