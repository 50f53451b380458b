"""Mutants of ``.npy`` and ``.npz`` files: other arrays, headers that lie, other members, archives that expand.

Flipped bytes of an archive fail at its checksums. These mutants have right checksums, so what is wrong with them
reaches the code behind.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from random import Random

import numpy as np

from benchmarks.fuzz.mutate import EDGES, bend, mutate_tree

__all__ = ["archive", "archive_mutant", "npy", "npy_mutant"]

DTYPES = [
    "?",
    "i1",
    "u1",
    "<i2",
    "<i8",
    ">i4",
    ">u8",
    "<u8",
    "<f2",
    "<f4",
    ">f8",
    "<f8",
    "<f16",
    "<c8",
    "U1",
    "U40",
    "S3",
    "M8[s]",
    "m8[ms]",
    "V4",
    "O",
]

_EXTREMES = [*EDGES, -1, 0.5, 1e-320, 1e300, float("nan"), float("inf"), float("-inf")]

#: for the header of an array: shapes and types that are not those of its data
_SHAPES = [
    "()",
    "(0,)",
    "(-1,)",
    "(2,-3)",
    "(5,0)",
    "(0,2147483648)",
    "(2147483648,)",
    "(4294967296,4294967296)",
    "(1000000000,4)",
    "(1000000000000,)",
    "(9223372036854775807,)",
    "(18446744073709551616,)",
    "(1.5,)",
    "('a',)",
    "[2,3]",
    "(True,)",
    "(1L,)",
    "(((((1,)))),)",
    "None",
]
_TYPES = [
    "'<f4'",
    "'|u1'",
    "'<U0'",
    "'<U1'",
    "'|V0'",
    "'|S0'",
    "'|O'",
    "'<f16'",
    "'<U2147483647'",
    "'<M8[ns]'",
    "'|u3'",
    "''",
    "'x'",
    "[('a','<f4')]",
    "[]",
    "None",
    "3",
    "['<f4']",
    "('<f4',(2,))",
    "'<f4,<f4'",
    "{}",
    "'>i8'",
    "','",
    "'<i8,O'",
]
_ORDERS = ["False", "True", "None", "1", "'a'", "1if(1)else(2)", "0xfor"]


def npy(array: np.ndarray, header: str | None = None, version: tuple[int, int] = (1, 0)) -> bytes:
    """Return the bytes of an ``.npy`` file, perhaps with another header than the array's own."""
    if header is None:
        with io.BytesIO() as file:
            np.lib.format.write_array(file, array, allow_pickle=True)
            return file.getvalue()
    text = header.encode("utf-8", "replace")
    length = struct.pack("<H", len(text) % 2**16) if version[0] == 1 else struct.pack("<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + array.tobytes()


def _deformed(rng: Random, array: np.ndarray) -> np.ndarray:
    """Return an array of another shape, type or values."""
    way = rng.randrange(9)
    if way == 0:
        if array.ndim == 0:
            return array.reshape(rng.choice([(1,), (1, 1)]))
        return rng.choice([array.T, array[None], array.ravel(), array[..., None], array[:0], array[..., :0], array[:1]])
    if way == 1:
        return np.repeat(np.atleast_1d(array), rng.choice([2, 3, 300]), axis=rng.randrange(max(1, array.ndim)))
    if way == 2:
        return np.array(rng.choice([0, 3, -1, 2.5, "x", "[1]", "{}", True, float("nan")]))
    if way == 3 or array.dtype.kind not in "biuf":
        dtype = np.dtype(rng.choice(DTYPES))
        try:
            with np.errstate(all="ignore"):
                return array.astype(dtype)
        except (ValueError, TypeError):  # a text is no number
            raw = array.tobytes()
            return np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], np.void(dtype.itemsize).dtype)
    if way == 4:  # a structure
        return np.zeros(array.shape, [("a", "u1"), ("b", "f4")])
    if way == 5:  # the same bytes as another type
        for size in rng.sample([1, 2, 4, 8], 4):
            if array.size and array.ndim and array.shape[-1] * array.itemsize % size == 0:
                return np.ascontiguousarray(array).view(rng.choice([f"<f{size}", f"<i{size}"]) if size > 1 else "u1")
    changed = array.astype(rng.choice([array.dtype, np.dtype(float), np.dtype(np.int64), np.dtype(np.float32)]))
    if changed.size:
        with np.errstate(all="ignore"):
            extreme = np.array(rng.choice(_EXTREMES), rng.choice([float, object])).astype(float)
            cast = extreme.astype(changed.dtype)
        where = rng.randrange(changed.size) if rng.random() < 0.7 else slice(None)
        changed.reshape(-1)[where] = cast
    if changed.dtype == float and rng.random() < 0.1 and changed.size:  # a signalling NaN
        changed.reshape(-1).view(np.uint64)[0] = 0x7FF0000000000001
    return changed


def npy_mutant(rng: Random, array: np.ndarray) -> bytes:
    """Return a ``.npy`` file of a changed array, with a header that may lie."""
    if array.dtype.kind == "U" and array.ndim == 0 and rng.random() < 0.5:  # JSON
        try:
            array = np.array(json.dumps(mutate_tree(rng, json.loads(str(array)))))
        except ValueError:
            array = np.array(rng.choice(["", "x\x00y", "x" * 10_000, "a\nb"]))
    elif array.dtype.kind == "U" and rng.random() < 0.3 and array.size:  # numbers that are no characters
        array = array.copy()
        array.reshape(-1).view(np.uint32)[0] = rng.choice([0xD800, 0x10FFFF, 0x110000, 2**32 - 1, 10])
        return npy(array)
    elif rng.random() < 0.8:
        array = _deformed(rng, array)
    if rng.random() < 0.7:
        return npy(array)
    order, shape, descr = str(rng.random() < 0.5), str(array.shape), repr(array.dtype.str)
    for _ in range(rng.choice([1, 1, 2])):
        way = rng.randrange(4)
        shape = rng.choice(_SHAPES) if way < 2 else shape
        descr = rng.choice(_TYPES) if way == 2 else descr
        order = rng.choice(_ORDERS) if way == 3 else order
    fields = [f"'descr': {descr}", f"'fortran_order': {order}", f"'shape': {shape}"]
    if rng.random() < 0.2:
        fields[rng.randrange(3)] = rng.choice(
            ["", "'x': 1", "1", "**{}", "'shape': (", "(" * 5000, "'a': " + "-" * 5000 + "1"]
        )
    header = "{" + ", ".join(fields) + rng.choice(["}", "}\n", "", ", }" + " " * 200 + "\n", "}" + " " * 20_000])
    return npy(array, header, rng.choice([(1, 0), (1, 0), (2, 0), (3, 0), (9, 9)]))


@lru_cache(maxsize=32)
def _bomb(dtype: str, shape: tuple[int, ...]) -> tuple[bytes, int, int]:
    """Return the deflated ``.npy`` file of zeros, its size and its CRC; the zeros are some mebibytes."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    start = npy(np.empty(0), header)
    mebibytes = math.prod(shape) * np.dtype(dtype).itemsize >> 20
    block, crc = bytes(2**20), zlib.crc32(start)
    for _ in range(mebibytes):
        crc = zlib.crc32(block, crc)
    # a block that is flushed refers to no earlier one, so that it can be repeated
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    first, again = (machine.compress(block) + machine.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    stored = b"\x00" + struct.pack("<HH", len(start), len(start) ^ 0xFFFF) + start
    return stored + first + again * (mebibytes - 1) + machine.flush(), len(start) + (mebibytes << 20), crc


#: types and shapes of arrays of zeros, some of which a reader may expand, and some it should not
_BOMBS: list[tuple[str, tuple[int, ...]]] = [
    ("|u1", (2**21, 4)),
    ("|u1", (2**23, 1)),
    ("|u1", (1, 2**23)),
    ("|u1", (2**23,)),
    ("|u1", (2**28, 4)),
    ("<f4", (2**20, 2)),
    ("<i8", (2**20,)),
    ("<U1", (2**21,)),
    ("|S1", (2**23,)),
    ("<f4", (2**29,)),
]


def archive(members: Mapping[str, bytes], compress: bool = True) -> bytes:
    """Return a zip file of fixed dates, so that the same members give the same bytes."""
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as made:
            for name, data in members.items():
                made.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)
        return file.getvalue()


def _zip(rng: Random, members: list[tuple[str, bytes, int, int, int]]) -> bytes:
    """Return a zip file of (name, stored bytes, size, CRC, method), whose directory may differ from what it lists."""
    body, directory, count = b"", b"", 0
    for name, data, size, crc, method in members:
        raw = name.encode("utf-8", "surrogatepass")[:60_000]
        fields = [20, 0x800, method, 0, 33, crc, len(data), size, len(raw), 0]
        told = list(fields)
        if rng.random() < 0.05:
            told[rng.choice([1, 2, 5, 6, 7])] = rng.choice(EDGES) % 2**16
        where = len(body) if rng.random() < 0.98 else 0
        body += b"PK\x03\x04" + struct.pack("<5H3I2H", *fields) + raw + data
        for _ in range(rng.choice([1] * 60 + [2, 300])):  # entries that share their bytes
            directory += b"PK\x01\x02\x14\x00" + struct.pack("<5H3I2H3H2I", *told, 0, 0, 0, 0, where) + raw
            count += 1
    end = struct.pack("<4H2IH", 0, 0, count % 2**16, count % 2**16, len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def archive_mutant(rng: Random, arrays: Mapping[str, np.ndarray], text: str | None = None) -> bytes:
    """Return an ``.npz`` file whose members are changed arrays, missing, renamed, doubled, exchanged, or expand.

    Parameters
    ----------
    rng : random.Random
    arrays : mapping from name to array
    text : str, optional
        Name of a member that holds JSON, as bytes, which is changed as a tree.
    """
    members = {name: npy(array) for name, array in arrays.items()}
    names = list(members)
    extra: list[tuple[str, bytes, int, int, int]] = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        name, other = rng.choice(names), rng.choice(names)
        if text in arrays and rng.random() < 0.5:
            name = str(text)
        way = rng.randrange(30) // 2
        if way < 8:
            members[name] = (
                npy(_json(rng, arrays[name])) if name == text and rng.random() < 0.8 else npy_mutant(rng, arrays[name])
            )
        elif way == 8:
            members.pop(name, None)
        elif way == 9:
            odd = [
                name.upper(),
                name + "/",
                "../" + name,
                "",
                "/" + name,
                "a" * 5000,
                name + ".npy",
                "\ud800",
                "roll",
                "é\n",
            ]
            members[rng.choice(odd)] = members.pop(name, b"")
        elif way == 10 and name in members:
            extra.append(
                _member(rng, rng.choice([name, "extra"]), rng.choice([members[name], npy_mutant(rng, arrays[name])]))
            )
        elif way == 11 and name in members and other in members:
            members[name], members[other] = members[other], members[name]
        elif way == 12 and name in members:
            members[name] = bend(rng, members[name])
        elif way == 13 and rng.random() < 0.5:
            members.pop(name, None)
            dtype, shape = rng.choice(_BOMBS)
            extra.append((name + ".npy", *_bomb(dtype, shape), 8))
        elif way == 13:
            for part, dtype in (("train_lengths", "|u1"), ("train_names", "|S1")):  # millions of pieces without frames
                members.pop(part, None)
                extra.append((part + ".npy", *_bomb(dtype, (2**22,)), 8))
            members["train"] = npy(np.zeros((0, 4), np.uint8))
        else:
            members[name] = rng.choice([b"", b"\x93NUMPY", b"PK\x05\x06" + bytes(18), rng.randbytes(40), b"\x80\x04}."])
    made = [_member(rng, name, data) for name, data in members.items()]
    return _zip(rng, made + extra)


def _json(rng: Random, array: np.ndarray) -> np.ndarray:
    """Return changed JSON as bytes, with a text that not every reader can hold once in a while."""
    text = json.dumps(mutate_tree(rng, json.loads(array.tobytes()))).encode()
    if rng.random() < 0.1:
        text = rng.choice(
            [b"[" * 100_000, b'{"a":' * 50_000, text.replace(b"1", b"9" * 5000), text.replace(b"0", b"1e999")]
        )
    return np.frombuffer(text, np.uint8)


def _member(rng: Random, name: str, data: bytes) -> tuple[str, bytes, int, int, int]:
    """Return a member of an archive, stored or compressed in one of the ways that zip files have."""
    packers: list[tuple[int, Callable[[bytes], bytes]]] = [(0, bytes), (0, bytes), (8, _deflated), (8, _deflated)]
    method, pack = rng.choice(packers)
    return (
        f"{name}.npy",
        pack(data),
        len(data),
        zlib.crc32(data),
        method if rng.random() < 0.99 else rng.choice([12, 14, 99]),
    )


def _deflated(data: bytes) -> bytes:
    machine = zlib.compressobj(6, zlib.DEFLATED, -15)
    return machine.compress(data) + machine.flush()
