"""Files that hold a data set, or one piano-roll: reading each kind, and checking what it holds.

``.mat`` and ``.npz`` files hold piano-rolls; ``.json`` and ``.pickle`` files hold, for every
frame, the MIDI note numbers that sound. `rnnrbm.datasets.load` chooses by the suffix. A pickle is
a program: here it can make lists, tuples, dictionaries, texts and numbers, and call nothing.

`save_roll` and `load_roll` are for a single piano-roll, which `rnnrbm convert` goes through.
"""

import io
import json
import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.files import atomic, load_arrays
from rnnrbm.io.matlab import read_mat
from rnnrbm.io.midi import FASTEST, SLOWEST, check_range, check_reading
from rnnrbm.io.rolls import PIANO, PIANO_ROLL, SPLITS, Contents, TooLarge, check_roll, check_size, unreadable

__all__ = [
    "PLAIN",
    "WITH_RANGE",
    "holds_roll",
    "load_roll",
    "read_json",
    "read_npz",
    "read_pickle",
    "save_roll",
    "write_npz",
]

#: Most entries of a frame in a file of notes: there are 128 notes, and voices may share one.
MOST_NOTES = 1000

_REFERENCE = 8  # bytes that a list takes for each of its values
_PIECE = 200  # bytes that an array and its name take, whatever they hold


# --- arrays: .npz


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
    for key in ("name", "kind", *(f"{split}_names" for split in SPLITS)):
        _check_text(data[key], f"{path}: {key}")
    if data["name"].ndim or data["kind"].ndim:
        raise ValueError(
            f"{path}: name and kind have shapes {data['name'].shape} and {data['kind'].shape}; expected texts"
        )
    try:
        record = json.loads(str(data["kind"]))
    except (ValueError, RecursionError):
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
        check_size(_PIECE * max(len(lengths), len(labels)), path)
        if lengths.sum() != len(frames) or (lengths < 0).any():
            raise ValueError(
                f"{path}: {split} has {len(frames)} frames but its lengths add up to "
                f"{lengths.sum()}; write it again with `save`"
            )
        ends = np.cumsum(lengths)
        pieces[split] = [frames[end - length : end] for end, length in zip(ends, lengths, strict=True)]
        names[split] = [str(label) for label in labels]
    return Contents(str(data["name"]), pieces, names, record)


def _check_text(array: np.ndarray, where: str) -> None:
    """Raise ValueError unless an array holds texts. NumPy takes any number for a character; Python does not."""
    codes = np.empty(0, np.uint32)
    if array.dtype.kind == "U":
        codes = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).ravel().view(np.uint32)
    if array.dtype.kind != "U" or (codes > 0x10FFFF).any() or (codes >> 11 == 0x1B).any():  # the latter are surrogates
        raise ValueError(f"{where} is an array of {array.dtype}, or damaged; expected texts")


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
        found = " ".join(", ".join(data).split()) or "nothing"  # in one line
        raise ValueError(f"{path}: has no array 'roll' but {found}; expected a piano-roll")
    roll = check_roll(data["roll"], where=f"{path}, roll")
    metadata: dict[str, Any] = {}
    for key in ("low", "steps_per_beat", "seconds_per_frame", "tempo"):
        value = _number(path, data, key)
        if value is not None:
            whole = key in ("low", "steps_per_beat")
            if whole and value != int(value):
                raise ValueError(f"{path}: {key}={value}; expected a whole number")
            metadata[key] = int(value) if whole else value
    tempo = metadata.get("tempo", FASTEST)
    try:
        check_reading(**{key: value for key, value in metadata.items() if key != "tempo"}, high=127)
        if not SLOWEST <= tempo <= FASTEST:
            raise ValueError(f"tempo={tempo}: expected beats per minute, 3.6 to 60 000 000")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return roll, metadata


def holds_roll(path: Path) -> bool:
    """Say if an ``.npz`` file holds one piano-roll, not a data set."""
    return "roll" in _arrays(path, "write it again")


def _arrays(path: Path, advice: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file."""
    with open(path, "rb") as file:
        try:
            arrays = load_arrays(file, lambda size: check_size(size, path))
            if isinstance(arrays, dict):
                return arrays
            raise ValueError("one array, as in an .npy file")
        except TooLarge:
            raise
        except Exception as error:  # a damaged file makes zipfile, zlib or NumPy raise
            raise unreadable(path, "an .npz file", error, advice) from error


def _number(path: Path, data: dict[str, np.ndarray], key: str) -> float | None:
    """Return a number of an .npz file, None if it is not there."""
    if key not in data:
        return None
    value = data[key]
    if value.ndim != 0 or value.dtype.kind not in "iuf" or not np.isfinite(value):
        raise ValueError(f"{path}: {key} is an array of shape {value.shape} of {value.dtype}; expected one number")
    return float(value)


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
        raise unreadable(path, "JSON", error, "get or write the file again") from error
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
        data = _NotesUnpickler(io.BytesIO(pickled), encoding="latin1").load()
    except _Refused as error:
        raise ValueError(
            f"{path}: {error}; expected lists, tuples, dictionaries and whole numbers only. Nothing of it was run. "
            "If you trust who made it, load it yourself and write it with rnnrbm.datasets.save"
        ) from error
    except Exception as error:  # a damaged pickle makes the machine raise whatever it runs into
        raise unreadable(path, "a pickle", error, "get or write the file again") from error
    return _note_contents(path, data, low, high)


class _Refused(Exception):
    """A pickle wants what is not needed for notes."""


# Instructions that notes do not need: sets, objects of classes, buffers, and a second copy of a value.
_NEEDLESS = b"\x8f\x90\x91\x81\x92\x82\x83\x84PQ\x96\x97\x982"
# Those that put values into dictionaries, and where their keys are on the stack.
_KEYS = {pickle.SETITEM: slice(-2, -1), pickle.SETITEMS: slice(None, None, 2), pickle.DICT: slice(None, None, 2)}


def _refuse(machine: Any) -> None:
    raise _Refused("holds sets or objects")


def _with_plain_keys(code: bytes) -> Callable[[Any], None]:
    """Return an instruction that refuses tuples as keys: one that holds a tuple twice, and so on, takes ages."""

    def load(machine: Any) -> None:
        if any(isinstance(key, tuple) for key in machine.stack[_KEYS[code]]):
            raise _Refused("has tuples as keys")
        pickle._Unpickler.dispatch[code[0]](machine)

    return load


class _NotesUnpickler(pickle._Unpickler):
    """Unpickles plain values and NumPy's whole numbers; all that a pickle can call is below.

    It is Python's own in Python. The one in C makes room for as many objects as a file says that it has, and its
    instructions cannot be replaced.
    """

    dispatch = (
        pickle._Unpickler.dispatch
        | dict.fromkeys(_NEEDLESS, _refuse)
        | {code[0]: _with_plain_keys(code) for code in _KEYS}
    )

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
        check_size(sum(_room(piece, width) for piece in data[split]), path)  # a pickle may hold one piece many times
        rolls[split] = [_roll(f"{path}, {split}[{i}]", piece, low, high) for i, piece in enumerate(data[split])]
    names = {split: [f"{split}[{i}]" for i in range(len(rolls[split]))] for split in SPLITS}
    return Contents(path.name, rolls, names, {"kind": PIANO_ROLL, "low": low})


def _room(piece: Any, width: int) -> int:
    """Return the bytes that a piece takes: the cells of its roll, and a reference for each note of its frames."""
    if not isinstance(piece, list | tuple):
        return 0
    return width * len(piece) + _REFERENCE * sum(len(frame) for frame in piece if isinstance(frame, list | tuple))


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
