"""Mutants of JSON and TOML: of the values in the tree, and of the text."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import tomli_w

from benchmarks.fuzz.mutate import mutate_tree

__all__ = ["json_mutant", "toml", "toml_mutant"]

#: texts of values; Python refuses to read decimal numbers of more than 4300 digits, but reads such hexadecimal ones
_ODD = [
    "1" * 5000,
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "-0",
    "01",
    "1_0",
    "null",
    "true",
    '"\\ud800"',
    '"\\u0000"',
    "'x'",
]
_ODD_TOML = [
    *_ODD,
    "0x" + "f" * 5000,
    "0o777",
    "inf",
    "nan",
    "1979-05-27T07:32:00Z",
    "9999-99-99",
    "25:61:00",
    '"""a\nb"""',
    "[[0.0, 1], [0.0, 2]]",
    "{a = 1}",
    "{source = 3}",
    "[",
    '"',
]


def _deep(rng: Random, opening: str, closing: str) -> str:
    n = rng.choice([50, 500, 1500, 100_000])
    return opening * n + closing * rng.choice([0, n])


def json_mutant(rng: Random, tree: Any) -> bytes:
    """Return JSON of a changed tree, in which some values may be replaced by odd texts."""
    text = json.dumps(mutate_tree(rng, tree))
    tokens = [match.span() for match in re.finditer(r"-?\d+(\.\d+)?|\"\w*\"|\[\]", text)]
    if tokens and rng.random() < 0.5:
        start, end = rng.choice(tokens)
        odd = rng.choice([*_ODD, _deep(rng, "[", "]"), _deep(rng, '{"a":', "}")])
        text = text[:start] + odd + text[end:]
    return text.encode("utf-16" if rng.random() < 0.02 else "utf-8", "surrogatepass")


def _without_none(tree: Any) -> Any:
    """Return a tree that TOML can hold."""
    if isinstance(tree, dict):
        return {key: _without_none(value) for key, value in tree.items() if value is not None}
    return [_without_none(value) for value in tree if value is not None] if isinstance(tree, list) else tree


def toml(tree: dict[str, Any]) -> bytes:
    """Return a tree as TOML, which has no None."""
    return tomli_w.dumps(_without_none(tree)).encode("utf-8", "surrogatepass")


def toml_mutant(rng: Random, tree: dict[str, Any]) -> bytes:
    """Return TOML of a changed tree, in which lines may be replaced, doubled, or moved."""
    changed = mutate_tree(rng, tree)
    try:
        text = toml(changed if isinstance(changed, dict) else tree)
    except RecursionError:  # deep values come below
        text = toml(tree)
    lines = text.decode("utf-8", "surrogatepass").split("\n")
    for _ in range(rng.choice([0, 1, 1, 3])):
        at = rng.randrange(len(lines) or 1)
        line = lines[at] if lines else ""
        key = line.partition("=")[0]
        odd = rng.choice([*_ODD_TOML, _deep(rng, "[", "]"), _deep(rng, "{a=", "}")])
        way = rng.randrange(7)
        if way == 0 and lines:
            lines[at] = f"{key}= {odd}"
        elif way == 1:
            lines.insert(at, line)
        elif way == 2:
            lines.insert(
                at,
                rng.choice(["[[training]]", "[data.x]", "[run]", "[run.data]", "run = 5", "[model", "training.k = 1"]),
            )
        elif way == 3 and lines:
            lines.insert(rng.randrange(len(lines)), lines.pop(at))
        elif way == 4 and lines:
            lines[at] = rng.choice([f'"{key.strip()}" = {odd}', f"{key.strip()}.a = 1", f"a.{line}", "." * 3000 + line])
        elif way == 5:
            lines.insert(at, ".".join("a" * rng.choice([3, 2000])) + " = 1")
        else:
            lines = lines[:at]
    return "\n".join(lines).encode("utf-8", "surrogatepass")
