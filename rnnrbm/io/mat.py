"""Piano-rolls in ``.mat`` files, in the layout of the published sets; a file is checked before scipy reads it."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm.io import rolls as limits
from rnnrbm.io.rolls import PIANO, PIANO_ROLL, SPLITS, Contents, TooLarge, check_roll, check_size, unreadable

__all__ = ["read_mat"]

# Types of the elements of a MATLAB 5 file: numbers, text, and what holds other elements.
_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14, 15, 16, 17, 18}
_MATRIX, _COMPRESSED = 14, 15
_CLASSES, _NUMERIC, _COMPLEX = range(1, 18), range(6, 16), 0x800


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
            raise unreadable(path, "a MATLAB 5 file", error, "get the file again") from error
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
    return Contents(path.stem, rolls, names, {"kind": PIANO_ROLL, "low": low})


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
            at = start + size + (0 if kind == _COMPRESSED else -size % 8)
            if kind >> 16:  # a small one: its size, its type and up to four bytes, in eight
                kind, size, start, at = kind & 0xFFFF, kind >> 16, start - 4, start
            if kind not in _TYPES or start + size > min(at, len(data)):
                raise ValueError(f"an element of type {kind} and {size} bytes")
            kinds.append(kind)
            if kind in (_MATRIX, _COMPRESSED):
                inside = data[start : start + size]
                if kind == _COMPRESSED:
                    expanded = _expand(inside, room, path)
                    room -= len(expanded)
                parts = check(inside if kind == _MATRIX else memoryview(expanded))
                if kind == _MATRIX and size:
                    # its first element has the class of the array in the lowest byte of its value
                    value, _ = tag.unpack_from(inside, tag.size)
                    if value & 0xFF not in _CLASSES:
                        raise ValueError(f"an array of class {value & 0xFF}")
                    # then its shape, its name, and if it is of numbers, these: real parts, imaginary parts
                    expected = 2 if value & _COMPLEX else 1
                    if value & 0xFF in _NUMERIC and (len(parts) != 3 + expected or max(parts) >= _MATRIX):
                        raise ValueError(f"an array of numbers in {len(parts)} parts")
        return kinds

    check(memoryview(data)[128:])
