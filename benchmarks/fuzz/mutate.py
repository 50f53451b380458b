"""Mutations of bytes and of trees of plain values, for files of any format, drawn from a seeded generator."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

__all__ = ["COMMAND", "SENTINEL", "STRANGE", "bend", "mutate_bytes", "mutate_tree", "splice"]

#: a file of this name in the current folder says that something in a mutant was executed
SENTINEL = "executed"
COMMAND = f"open({SENTINEL!r}, 'w').close()"

#: numbers at the edges of their types
EDGES = [
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    2**15 - 1,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
    2**64 - 1,
]

#: values that stand where a file should have another one
STRANGE: list[Any] = [
    *EDGES,
    -1,
    -(2**63),
    10**30,
    0.5,
    -0.0,
    1e-320,
    1e308,
    math.inf,
    -math.inf,
    math.nan,
    True,
    False,
    None,
    "",
    "0",
    "NaN",
    "x" * 300,
    "a\nb\x00\x1b",
    "\ufffe\U0001f3b5",
    [],
    {},
    [[]],
    [None] * 40,
    {"": {"": 0}},
]


def bend(rng: Random, data: bytes) -> bytes:
    """Change some bytes in one of many ways."""
    if not data:
        return rng.randbytes(rng.randrange(20))
    at, to = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    ways: list[Callable[[], bytes]] = [
        lambda: _flipped(rng, data),
        lambda: _flipped(rng, data),
        lambda: _numbered(rng, data),
        lambda: _numbered(rng, data),
        lambda: data[:at],
        lambda: data[:at] + rng.randbytes(rng.choice([1, 2, 8, 100])) + data[at:],
        lambda: data[:at] + data[min(to, at + rng.choice([1, 2, 4, 8, len(data)])) :],
        lambda: data[:to] + data[at:to] * rng.choice([1, 1, 2, 9]) + data[to:],
        lambda: _swapped(rng, data),
        lambda: data[:at] + bytes([rng.choice([0, 255, 127])]) * (to - at) + data[to:],
    ]
    return rng.choice(ways)()


def mutate_bytes(rng: Random, data: bytes) -> bytes:
    """Change some bytes one or several times."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        data = bend(rng, data)
    return data


def splice(rng: Random, first: bytes, second: bytes) -> bytes:
    """Return the beginning of one file and the end of another, cut at one place, or at one place in each."""
    at = rng.randrange(len(first) + 1)
    other = min(at, len(second)) if rng.random() < 0.5 else rng.randrange(len(second) + 1)
    return first[:at] + second[other:]


def _flipped(rng: Random, data: bytes) -> bytes:
    """Change single bytes, or single bits of them."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8, 30])):
        at = rng.randrange(len(data))
        changed[at] = rng.randrange(256) if rng.random() < 0.5 else changed[at] ^ 1 << rng.randrange(8)
    return bytes(changed)


def _numbered(rng: Random, data: bytes) -> bytes:
    """Write a number at the edge of its type over 1, 2, 4 or 8 bytes, in either order of bytes."""
    size = rng.choice([1, 2, 4, 8])
    at = rng.randrange(len(data))
    number = rng.choice([*EDGES, *(2 ** (8 * size) - edge for edge in (1, 2, 128))]) % 2 ** (8 * size)
    written = number.to_bytes(size, rng.choice(["little", "big"]))
    return data[:at] + written + data[at + size :]


def _swapped(rng: Random, data: bytes) -> bytes:
    """Exchange two blocks."""
    a, b, c, d = sorted(rng.randrange(len(data) + 1) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def mutate_tree(rng: Random, tree: Any, strange: Sequence[Any] = STRANGE) -> Any:
    """Return a copy of nested dictionaries and lists of plain values, in which one to four things are changed."""
    holder = [copy.deepcopy(tree)]
    for _ in range(rng.choice([1, 1, 2, 4])):
        _mutate_node(rng, holder, strange)
    return holder[0]


def _mutate_node(rng: Random, holder: list[Any], strange: Sequence[Any]) -> None:
    """Change something in the tree that a list of one holds."""
    inside: Any = holder
    key: Any = 0
    while isinstance(inside[key], dict | list) and inside[key] and rng.random() < 0.85:
        inside = inside[key]
        key = rng.choice(list(inside)) if isinstance(inside, dict) else rng.randrange(len(inside))
    value = inside[key]
    way = rng.randrange(8)
    if way == 0 and inside is not holder:
        del inside[key]
    elif way == 1 and isinstance(inside, dict):  # another name for it
        inside[
            rng.choice([str(key) + "s", str(key)[:-1], str(key).upper(), "", "run", "x" * 100, "a\nb", "\ud800"])
        ] = inside.pop(key)
    elif way == 2:
        inside[key] = [value] * rng.choice([1, 2, 300])
    elif way == 3:
        inside[key] = {rng.choice(["a", str(key)]): value}
    elif way == 4:
        for _ in range(rng.choice([2, 50, 150])):
            value = [value]
        inside[key] = value
    elif way == 5 and isinstance(value, int | float) and math.isfinite(value):
        inside[key] = rng.choice([value + 1, -value, value * 1000, value / 3, float(value), str(value), bool(value)])
    elif way == 6 and isinstance(inside, dict):  # the value of another key
        inside[key] = copy.deepcopy(inside[rng.choice(list(inside))])
    else:
        inside[key] = copy.deepcopy(rng.choice(strange))
