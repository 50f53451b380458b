"""Data sets as the MIDI note numbers of every frame: ``.json`` files, and pickles, of which nothing is run.

A pickle is a program: here it can make lists, tuples, dictionaries, texts and numbers, and call nothing.
"""

import io
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm.io.midi import check_range
from rnnrbm.io.rolls import PIANO, PIANO_ROLL, SPLITS, Contents, TooLarge, check_size, unreadable

__all__ = ["read_json", "read_pickle"]

#: Most entries of a frame in a file of notes: there are 128 notes, and voices may share one.
MOST_NOTES = 1000

_LIST, _VALUE = 120, 40  # bytes that a list takes, and a number or a text with its place in a list
_REFERENCE = 8  # bytes that a list takes for each of its values


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
    check_size(_LIST * (text.count(b"[") + text.count(b"{")) + _VALUE * text.count(b","), path)
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
    except TooLarge as error:
        raise TooLarge(f"{path}: {error}") from None
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


def _counted(code: bytes) -> Callable[[Any], None]:
    """Return an instruction that makes a value, and counts the memory that values take."""
    size = _LIST if code in _LISTS else _VALUE

    def load(machine: Any) -> None:
        machine.size += size
        check_size(machine.size, "its values")
        pickle._Unpickler.dispatch[code[0]](machine)

    return load


# Instructions that make a list, a tuple, a dictionary, or a place among those that are under way; and numbers.
_LISTS = [bytes([code]) for code in b"]})ldt(\x85\x86\x87"]
_VALUES = [bytes([code]) for code in b"IJLGFM\x8a\x8bpqr\x94"]


class _NotesUnpickler(pickle._Unpickler):
    """Unpickles plain values and NumPy's whole numbers; all that a pickle can call is below.

    It is Python's own in Python. The one in C makes room for as many objects as a file says that it has, and its
    instructions cannot be replaced.
    """

    dispatch = (
        pickle._Unpickler.dispatch
        | dict.fromkeys(_NEEDLESS, _refuse)
        | {code[0]: _counted(code) for code in _LISTS + _VALUES}
        | {code[0]: _with_plain_keys(code) for code in _KEYS}
    )
    size = 0

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
        size, rooms = 0, {}  # a pickle may hold one piece many times
        for piece in data[split]:
            if id(piece) not in rooms:
                rooms[id(piece)] = _room(piece, width)
            size += rooms[id(piece)]
            check_size(size, path)
        rolls[split] = [_roll(f"{path}, {split}[{i}]", piece, low, high) for i, piece in enumerate(data[split])]
    names = {split: [f"{split}[{i}]" for i in range(len(rolls[split]))] for split in SPLITS}
    return Contents(path.stem, rolls, names, {"kind": PIANO_ROLL, "low": low})


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
