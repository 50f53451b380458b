"""MATLAB files: some variables of one, and the layout of the benchmark sets.

scipy reads them, after a check of their structure.
"""

import math
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm.io import rolls as limits
from rnnrbm.io.rolls import PIANO, PIANO_ROLL, SPLITS, Contents, TooLarge, check_roll, check_size, unreadable

__all__ = ["load_variables", "read_mat", "variable_names"]

# Types of the elements of a MATLAB 5 file: numbers, text, and what holds other elements.
_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14, 15, 16, 17, 18}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED, _UTF32 = 1, 5, 6, 14, 15, 18
# Classes of arrays: cells, structs, text and numbers are what the layouts have. An opaque one, of MATLAB's own, begins
# otherwise.
_CLASSES, _CELL, _STRUCT, _TEXT, _NUMBERS, _OPAQUE, _COMPLEX = range(1, 18), 1, 2, 4, range(6, 16), 17, 0x800


#: Most elements in one: cells, which are pieces, of an array. The largest benchmark set has a thousandth of it.
_MOST_ELEMENTS = 2**19
_LONGEST_NAME = 64  # bytes of the name of a field, with a zero at its end
_HEAD = 4096  # bytes of a variable in which its name stands


def read_mat(path: Path) -> Contents:
    """Read a MATLAB 5 file in the layout of the published sets.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is damaged or of another kind or layout, or holds other values than 0 and 1.
    """
    keys = {split: f"{split}data" for split in SPLITS}
    contents = load_variables(path, list(keys.values()))
    missing = [key for key in keys.values() if key not in contents]
    if missing:
        raise ValueError(
            f"{path}: has no {', '.join(missing)}; expected cell arrays {', '.join(keys.values())} "
            "of piano-rolls, train_data and test_data of real numbers, Motion and skel of motion capture, or a file "
            "written by `save`"
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


def load_variables(path: Path, names: list[str]) -> dict[str, Any]:
    """Return some variables of a MATLAB 5 file: cell arrays, structs, numbers and texts. Absent ones are left out.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is damaged or of another version.
    """
    import scipy.io  # slow to import

    check_size(path.stat().st_size, path, "has")
    with open(path, "rb") as file:
        try:
            major, _ = scipy.io.matlab.matfile_version(file)
            if major == 0:  # scipy would make room for whatever shape it says
                raise ValueError("a MATLAB 4 file, which has no cell arrays")
            if major == 1:
                file.seek(0)
                _check_elements(file.read(), path, {name.encode() for name in names})
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # such as two variables of one name
                contents: dict[str, Any] = scipy.io.loadmat(file, variable_names=names)
        except NotImplementedError as error:
            raise ValueError(
                f"{path}: a MATLAB 7.3 file (HDF5), expected MATLAB 5; in MATLAB, save it with '-v7'"
            ) from error
        except TooLarge:
            raise
        except Exception as error:  # a damaged file makes scipy raise whatever it runs into
            raise unreadable(path, "a MATLAB 5 file", error, "get the file again") from error
    return contents


def variable_names(path: Path) -> set[str]:
    """Return the names of the variables of a MATLAB 5 file, as far as they can be read; none of another file.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    """
    names: set[str] = set()
    check_size(path.stat().st_size, path, "has")
    data = path.read_bytes()
    order = "<" if data[126:128] == b"IM" else ">"
    # a damaged file raises whatever its reader runs into; who reads the variables says what is wrong with it
    with suppress(Exception):
        for kind, inside in _split(memoryview(data)[128:], order):
            head = zlib.decompressobj().decompress(inside, _HEAD)[8:] if kind == _COMPRESSED else bytes(inside[:_HEAD])
            at = 16  # after the flags
            for _ in range(2):  # the shape, then the name
                tag, size = struct.unpack_from(f"{order}II", head, at)
                small = tag >> 16
                start, length = (at + 4, small) if small else (at + 8, size)
                at += 8 if small else 8 + size + -size % 8
            names.add(head[start : start + length].decode("ascii"))
    return names


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


def _check_elements(data: bytes, path: Path, wanted: set[bytes]) -> None:
    """Raise ValueError if the elements of a MATLAB 5 file are of unknown types, or do not fit into each other.

    scipy looks types and classes up in tables without checking them, allocates whatever shape the file states, and does
    not check the type of an array's parts, so a damaged file would crash Python. It reads only the
    beginning of a variable that is not wanted.
    """
    order = "<" if data[126:128] == b"IM" else ">"
    room = limits.MAX_BYTES
    for kind, inside in _split(memoryview(data)[128:], order):
        variables = [(kind, inside)]
        if kind == _COMPRESSED:
            expanded = _expand(inside, room, path)
            room -= len(expanded)
            variables = _split(memoryview(expanded), order)
        for each, array in variables:
            if each == _MATRIX:
                _check_array(array, order, wanted)


def _split(data: memoryview, order: str) -> list[tuple[int, memoryview]]:
    """Return the types and the bytes of the elements that some bytes hold."""
    tag = struct.Struct(f"{order}II")
    at, found = 0, []
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
        found.append((kind, data[start : start + size]))
        if len(found) > _MOST_ELEMENTS:
            raise ValueError(f"more than {_MOST_ELEMENTS} elements in one, such as cells of an array")
    return found


def _check_array(data: memoryview, order: str, wanted: set[bytes] | None = None) -> None:
    """Raise ValueError if the parts of an array are not those of its class. If names are given, others may be anything.

    An array has flags, whose lowest byte is its class, a shape, and a name. Then come numbers and perhaps imaginary
    parts, or text, or as many arrays as there are cells. A struct has the length of a field's name, the names, and an
    array for each field of each of its elements.
    """
    if not data:  # an empty cell
        return
    parts = _split(data, order)
    kinds = [kind for kind, _ in parts]
    if kinds[0] != _UINT32 or len(parts[0][1]) != 8:
        raise ValueError("an array without flags")
    value = int(struct.unpack_from(f"{order}I", parts[0][1])[0])
    kind = value & 0xFF
    if kind not in _CLASSES:
        raise ValueError(f"an array of class {kind}")
    if kind == _OPAQUE and wanted and not any(bytes(part) in wanted for _, part in parts[1:3]):
        return
    if len(parts) < 3 or kinds[1] != _INT32 or len(parts[1][1]) % 4 or len(parts[1][1]) < 8:
        raise ValueError("an array without shape and name")
    if wanted is not None and bytes(parts[2][1]) not in wanted:
        return
    shape = struct.unpack(f"{order}{len(parts[1][1]) // 4}i", parts[1][1])
    inside = kinds[3:]
    if kind in _NUMBERS or kind == _TEXT:
        expected = 2 if value & _COMPLEX else 1
        most = _UTF32 if kind == _TEXT else _MATRIX - 1
        if len(inside) != expected or max(inside) > most or {_MATRIX, _COMPRESSED} & set(inside):
            raise ValueError(f"an array of numbers in {len(parts)} parts")
    elif kind == _CELL:
        if min(shape) < 0 or math.prod(shape) != len(inside) or set(inside) - {_MATRIX}:
            raise ValueError(f"{len(inside)} cells in a shape of {shape[:4]}")
        for _, cell in parts[3:]:
            _check_array(cell, order)
    elif kind == _STRUCT:
        n_fields = _number_of_fields(parts[3:5], order)
        values = parts[5:]
        if min(shape) < 0 or math.prod(shape) * n_fields != len(values) or {each for each, _ in values} - {_MATRIX}:
            raise ValueError(
                f"an array of class 2, of {n_fields} fields and {len(values)} values in a shape of {shape[:4]}"
            )
        for _, field in values:
            _check_array(field, order)
    else:
        raise ValueError(f"an array of class {kind}, expected cells of arrays of numbers")


def _number_of_fields(parts: list[tuple[int, memoryview]], order: str) -> int:
    """Return how many fields a struct has, by the parts of it that are the length of a name and all names."""
    if [kind for kind, _ in parts] != [_INT32, _INT8] or len(parts[0][1]) != 4:
        raise ValueError("an array of class 2, a struct, without names of fields")
    length = int(struct.unpack(f"{order}i", parts[0][1])[0])
    names = bytes(parts[1][1])
    if not 1 < length <= _LONGEST_NAME or not names or len(names) % length:
        raise ValueError(f"an array of class 2, a struct, with names of {length} bytes in {len(names)}")
    found = {names[i : i + length].partition(b"\0")[0] for i in range(0, len(names), length)}
    if len(found) != len(names) // length or not all(name.isidentifier() for name in map(_ascii, found)):
        raise ValueError("an array of class 2, a struct, with damaged names of fields")
    return len(found)


def _ascii(name: bytes) -> str:
    return name.decode("ascii", "replace")
