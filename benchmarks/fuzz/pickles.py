"""Mutants of pickles: changed opcodes, numbers and names, calls of what must not be called, and what grows."""

from __future__ import annotations

import pickle
import pickletools
import struct
from random import Random
from typing import Any

from benchmarks.fuzz.mutate import COMMAND, EDGES, SENTINEL, mutate_tree

__all__ = ["pickle_mutant"]

#: what must not be called: module, name, its argument
_EVIL = [
    ("os", "system", f"touch {SENTINEL}"),
    ("posix", "system", f"touch {SENTINEL}"),
    ("nt", "system", f"touch {SENTINEL}"),
    ("subprocess", "getoutput", f"touch {SENTINEL}"),
    ("builtins", "eval", COMMAND),
    ("builtins", "exec", COMMAND),
    ("__builtin__", "eval", COMMAND),
    ("builtins", "open", SENTINEL),
    ("builtins", "__import__", "antigravity"),
    ("builtins", "getattr", "x"),
    ("builtins", "bytearray", "x"),
    ("numpy", "load", SENTINEL),
    ("numpy", "dtype", "O"),
    ("numpy.core.multiarray", "scalar", "i8"),
    ("numpy._core.multiarray", "scalar.__globals__", "x"),
    ("numpy.core.multiarray", "_reconstruct", "x"),
    ("_codecs", "encode", "x"),
    ("_codecs", "lookup", "x"),
    ("rnnrbm.io.formats", "_CALLABLES", "x"),
    ("pathlib", "Path.touch", SENTINEL),
]


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _call(rng: Random) -> bytes:
    """Return opcodes that call something, in one of the ways that the format has."""
    module, name, argument = rng.choice(_EVIL)
    named = f"c{module}\n{name}\n".encode()
    on_stack = _text(module) + _text(name) + b"\x93"
    return rng.choice(
        [
            named + _text(argument) + b"\x85R",
            on_stack + _text(argument) + b"\x85R",
            named + b"(" + _text(argument) + b"tR",
            f"(S{argument!r}\ni{module}\n{name}\n".encode(),
            b"(" + named + _text(argument) + b"o",
            named + _text(argument) + b"\x85\x81",
            named + _text(argument) + b"\x85}\x92",
            named + b"}(" + _text("__globals__") + _text(argument) + b"ub",
            named,
            on_stack,
        ]
    )


def _opcodes(pickled: bytes) -> list[bytes]:
    """Cut a sound pickle into its opcodes with their arguments."""
    starts = [position for _, _, position in pickletools.genops(pickled) if position is not None]
    return [pickled[i:j] for i, j in zip(starts, [*starts[1:], len(pickled)], strict=True)]


def _growing(rng: Random) -> bytes:
    """Return a small pickle of what takes long to go through, or much room: it refers to its own parts many times."""
    n = rng.choice([5, 20, 60, 300])
    way = rng.randrange(5)
    if way == 0:  # a tuple of two of a tuple of two ...; its hash takes 2**n steps
        key = b")" + b"2\x86" * n
        return b"\x80\x02}" + key + b"K\x01s."
    if way == 1:  # the same by remembered objects, and in a set
        key = b")" + b"".join(b"q%ch%c\x86" % (i % 256, i % 256) for i in range(n))
        return b"\x80\x04" + rng.choice([b"}" + key + b"Ns.", b"\x8f(" + key + b"\x90.", b"(" + key + b"\x91."])
    notes = [rng.choice([60, -1])] * rng.choice([3, 900, 5000])
    frames: list[Any] = [notes] * rng.choice([10, 3000, 30_000])
    if way == 2:  # one frame, referred to from everywhere
        pieces = [frames] * rng.choice([1, 30, 300])
        return pickle.dumps({"train": pieces, "valid": pieces, "test": []}, 2)
    if way == 3:  # lists in lists
        for _ in range(n):
            frames = [frames, frames]
        return pickle.dumps({"train": frames, "valid": [], "test": frames}, 2)
    size = rng.choice([2**20, 2**31 - 1, 2**33])
    return rng.choice(
        [
            b"\x80\x05\x96" + struct.pack("<Q", size) + b"x.",
            b"\x80\x04\x8e" + struct.pack("<Q", size) + b"x.",
            b"\x80\x02\x8b" + struct.pack("<I", min(size, 2**31 - 1)) + b"x.",
            b"\x80\x04\x95" + struct.pack("<Q", size) + b"}.",
            b"]r" + struct.pack("<I", min(size, 2**32 - 1)) + b".",
            b"]p" + str(size).encode() + b"\n.",
            b"(" * 100_000 + b"t" * 100_000 + b".",
            b"]" * 50_000 + b"a" * 49_999 + b".",
        ]
    )


def pickle_mutant(rng: Random, tree: Any, sound: list[bytes]) -> bytes:
    """Return a pickle of a changed tree, or one of some sound pickles with other opcodes."""
    if rng.random() < 0.1:
        return _growing(rng)
    if rng.random() < 0.4:
        pickled = pickle.dumps(mutate_tree(rng, tree), rng.randrange(pickle.HIGHEST_PROTOCOL + 1))
    else:
        pickled = rng.choice(sound)
    codes = _opcodes(pickled)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(codes))
        way = rng.randrange(7)
        if way == 0:
            del codes[at]
        elif way == 1:
            codes.insert(at, codes[at])
        elif way == 2:
            to = rng.randrange(len(codes))
            codes[at], codes[to] = codes[to], codes[at]
        elif way == 3:  # an opcode without argument, known or not
            codes[at] = bytes([rng.randrange(256)])
        elif way == 4:
            number = rng.choice([*EDGES, -1])
            digits = str(number).encode()
            codes[at] = rng.choice(
                [b"I" + digits + b"\n", b"L" + digits + b"L\n", b"p" + digits + b"\n", b"g" + digits + b"\n",
                 b"J" + struct.pack("<I", number % 2**32), b"\x8a\x08" + struct.pack("<Q", number % 2**64),
                 b"r" + struct.pack("<I", number % 2**32), b"F" + digits + b"\n", b"G" + rng.randbytes(8),
                 b"I" + b"9" * 5000 + b"\n", b"\x82\x01", b"Px\n", b"Q", b"\x97", b"\x98"]
            )  # fmt: skip
        else:
            codes.insert(at, _call(rng))
        codes = codes or [b"."]
    return b"".join(codes)
