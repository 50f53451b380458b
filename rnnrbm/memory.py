"""How much memory this process may have, a refusal of what would need more, and the return of what was freed."""

import ctypes
import functools
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["TooMuch", "available", "check", "give_back"]

_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class TooMuch(MemoryError):
    """Something would take more memory than there is; the message says what, how much, and what to do."""


def available() -> int:
    """Return the bytes that this process may have: the machine's memory, or a lower limit of a user or a container.

    Where the system does not say, it is 2**63 - 1.
    """
    limits = [2**63 - 1]
    if hasattr(os, "sysconf"):
        with suppress(ValueError, OSError):
            limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(ImportError):
        import resource

        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    for place in _CGROUPS:
        with suppress(OSError, ValueError):  # the text "max" is no limit
            limits.append(int(Path(place).read_text()))
    return min(limit for limit in limits if limit > 0)


def check(size: float, what: str, advice: str) -> None:
    """Raise TooMuch, a MemoryError, if something would take more memory than there is.

    Parameters
    ----------
    size : float
        Bytes.
    what : str
        What would take them, with its sizes, for the message.
    advice : str
        What to do instead.
    """
    if size > (most := available()):
        raise TooMuch(
            f"{what} would take {size / 2**30:,.1f} GiB of memory, and this process may have {most / 2**30:,.1f}; "
            f"{advice}"
        )


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """Return the function of the GNU C library that gives freed memory back, None where there is another library."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    return trim


def give_back() -> None:
    """Give freed memory back to the system, which the GNU C library would keep.

    Compiling and scoring take much memory for a short time, and what is freed in between is too scattered to be used
    again, so that a process would grow with every turn.
    """
    if (trim := _trim()) is not None:
        trim(0)
