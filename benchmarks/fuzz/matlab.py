"""Mutants of MATLAB files: elements within elements, whose types, classes, shapes and counts are changed."""

from __future__ import annotations

import copy
import struct
import zlib
from collections.abc import Sequence
from random import Random
from typing import Any

from benchmarks.fuzz.mutate import EDGES, bend

__all__ = ["elements", "mat_mutant"]

_MATRIX, _COMPRESSED = 14, 15
HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"

#: an element: its type, and its bytes or the elements in it
Element = list[Any]


def elements(data: bytes) -> list[Element]:
    """Take the elements of a sound file apart, without its header of 128 bytes."""
    found, at = [], 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        start, at = at + 8, at + 8 + size + (0 if kind == _COMPRESSED else -size % 8)
        if kind >> 16:  # a small one
            kind, size, start, at = kind & 0xFFFF, kind >> 16, start - 4, start
        inside = data[start : start + size]
        if kind == _COMPRESSED:
            found += elements(zlib.decompress(inside))
        else:
            found.append([kind, elements(inside) if kind == _MATRIX else inside])
    return found


def _written(tree: Sequence[Element], rng: Random | None = None) -> bytes:
    """Write elements, with right sizes, or if a generator is given once in a while with wrong ones."""
    data = b""
    for kind, inside in tree:
        body = _written(inside, rng) if isinstance(inside, list) else inside
        size = len(body)
        if rng is not None and rng.random() < 0.01:
            size = rng.choice([0, size + 8, size * 2, *EDGES]) % 2**32
        if kind != _MATRIX and 0 < len(body) <= 4 and size == len(body) and (rng is None or rng.random() < 0.9):
            data += struct.pack("<HH", kind % 2**16, len(body)) + body.ljust(4, b"\0")
        else:
            data += struct.pack("<II", kind % 2**32, size) + body + bytes(-len(body) % 8)
    return data


def _all(tree: Sequence[Element]) -> list[tuple[list[Element], int]]:
    """Return every element, as the list that holds it and its place there."""
    places: list[tuple[list[Element], int]] = []
    for i, (_, inside) in enumerate(tree):
        places.append((tree, i))  # type: ignore[arg-type]
        if isinstance(inside, list):
            places += _all(inside)
    return places


def _mutate_element(rng: Random, holder: list[Element], at: int) -> None:
    """Change one element, or its place among the others."""
    kind, inside = holder[at]
    way = rng.randrange(10)
    if way == 0:
        del holder[at]
    elif way == 1:
        holder.insert(at, copy.deepcopy(holder[at]))
    elif way == 2:
        to = rng.randrange(len(holder))
        holder[at], holder[to] = holder[to], holder[at]
    elif way == 3:
        holder[at][0] = rng.choice([*range(20), 99, 2**31])
    elif way == 4 and isinstance(inside, list):  # matrices in matrices
        for _ in range(rng.choice([1, 10, 150])):
            inside = [[6, struct.pack("<II", 1, 0)], [5, struct.pack("<ii", 1, 1)], [1, b""], [_MATRIX, inside]]
        holder[at][1] = inside
    elif isinstance(inside, bytes) and kind in (5, 6) and len(inside) >= 8:  # class and flags, or a shape
        numbers = list(struct.unpack(f"<{len(inside) // 4}I", inside[: len(inside) // 4 * 4]))
        if kind == 6 and rng.random() < 0.8:
            numbers[0] = rng.randrange(20) | rng.choice([0, 0x100, 0x200, 0x400, 0x800, 0xF00])
        else:
            sizes = [*EDGES, 2**30, 3 * 10**8, 10**7, 2**32 - 1]
            numbers[rng.randrange(len(numbers))] = rng.choice(sizes) % 2**32
            numbers += rng.choice([[], [], [], [1], [0], [2**16, 2**16], [1] * 40])
        holder[at][1] = struct.pack(f"<{len(numbers)}I", *numbers)
    elif isinstance(inside, bytes):
        holder[at][1] = rng.choice(
            [bend(rng, inside), b"", inside * 2, b"\xff" * len(inside), b"traindata", b"a" * 100]
        )
        if rng.random() < 0.3:
            holder[at][0] = rng.choice([1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18])
    else:
        holder[at][1] = rng.choice([[], inside[:1], inside[:-1], inside + inside, b"", rng.randbytes(16)])


def _old(rng: Random) -> bytes:
    """Return a file of MATLAB 4: full, text or sparse matrices, of shapes that may lie."""
    data = b""
    for name in (b"traindata\0", b"validdata\0", b"testdata\0"):
        rows, columns = (rng.choice([0, 1, 2, 3, 88, 10**6, 3 * 10**8, 2**31 - 1, 2**32 - 1]) for _ in range(2))
        kind = rng.choice([0, 0, 1, 2, 2, 10, 20, 30, 50, 51, 52, 1000, 2000, 3000, 4000, 7])
        values = struct.pack("<9d", 1, 1, rows % 2**31, 1, 1, columns % 2**31, 1, 1, 0) * rng.choice([0, 1, 1, 3])
        shape = (3, 3) if kind % 10 == 2 and rng.random() < 0.7 else (rows, columns)
        data += struct.pack("<5I", kind, *shape, rng.choice([0, 0, 1]), len(name)) + name + values
    return data


def mat_mutant(rng: Random, seeds: Sequence[Sequence[Element]]) -> bytes:
    """Return a changed MATLAB file, whole or in compressed elements, or one of the old format."""
    if rng.random() < 0.05:
        return _old(rng)
    tree = copy.deepcopy(list(rng.choice(seeds)))
    for _ in range(rng.choice([1, 1, 2, 3])):
        if places := _all(tree):
            _mutate_element(rng, *rng.choice(places))
    header = HEADER
    if rng.random() < 0.05:
        header = HEADER[:124] + rng.choice([b"\0\1MI", b"\0\2IM", b"\1\0IM", b"\0\0IM", b"\0\1XX"])
    if rng.random() < 0.5:
        return header + _written(tree, rng)
    data = header
    for element in tree:
        body = _written([element], rng)
        if rng.random() < 0.02:
            body += bytes(rng.choice([8, 1000, 2**25, 2**27]))
        packed = zlib.compress(body, 9)
        if rng.random() < 0.03:
            packed = rng.choice([packed[:-4], packed + b"xx", bend(rng, packed), b"", zlib.compress(packed)])
        data += struct.pack("<II", _COMPRESSED, len(packed)) + packed
    return data
