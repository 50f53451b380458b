"""Checks of arguments: whole numbers, and suggestions for misspelt names."""

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = ["nearest", "suggestion", "whole_number"]


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return an argument that must be a whole number, as an int; ``4.0`` is one.

    Raises
    ------
    TypeError
        If it is no number, or True or False.
    ValueError
        If it is not whole or out of range.
    """
    expected = f"a whole number, {least} to {most}" if most is not None else f"a whole number, at least {least}"
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        wrong = ValueError if isinstance(value, float) else TypeError  # infinity and NaN are numbers
        raise wrong(f"{name}={value!r}: expected {expected}") from None
    if number != value or number < least or (most is not None and number > most):
        raise ValueError(f"{name}={value!r}: expected {expected}")
    return number


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, or None.

    A known name may have a prefix that ends in a dot, such as ``"training.epochs"``: its last part alone is recognised
    too, and so are its initials (``"lr"`` for ``"learning_rate"``) and a part of it (``"piano"``).
    """
    if not name:
        return None
    known, lower = list(known), name.lower()
    last = lower.rpartition(".")[2]
    by_last_part = {k.rpartition(".")[2]: k for k in known}
    by_initials = {"".join(word[:1] for word in k.split("_")): full for k, full in by_last_part.items() if "_" in k}
    if exact := by_last_part.get(last) or by_initials.get(last):
        return exact
    if close := difflib.get_close_matches(lower, known, 1):
        return close[0]
    if close := difflib.get_close_matches(last, by_last_part, 1):
        return by_last_part[close[0]]
    return next((k for k in known if lower in k), None)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'epochs'?`` or, if nothing is near, ``known are epochs, seed``."""
    known = list(known)
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else f"known are {', '.join(known)}"
