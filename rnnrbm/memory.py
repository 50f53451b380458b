"""How much memory this process may have, and a refusal of what would need more, before it is made."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["TooMuch", "available", "check"]

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
