"""Suggestions for misspelt names."""

import difflib
from collections.abc import Iterable

__all__ = ["nearest", "suggestion"]


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
