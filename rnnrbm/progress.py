"""Progress callbacks: long computations report their stage, the units done and the total."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Progress", "silent"]

#: Called with (stage, done, total, row). `stage` names the work, for example ``"train"``, ``"batch"`` or ``"ais"``;
#: `done` of `total` units are complete. `row` is None or a dict: the metrics of an epoch, or ``{"text": ...}`` for a
#: message (stage ``"note"``).
Progress = Callable[[str, int, int, "dict[str, Any] | None"], Any]


def silent(stage: str, done: int, total: int, row: dict[str, Any] | None = None) -> None:
    """Report nothing."""
