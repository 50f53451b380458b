"""Warnings that point to the user's own line, however deep in the library they are given."""

import sys
import warnings

__all__ = ["warn"]


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of something, at the line outside the library that led to it."""
    # Python's own skip_file_prefixes comes with 3.12
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "rnnrbm":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
