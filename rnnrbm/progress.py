"""Progress: long computations report their stage, the units done and the total.

What is reported also goes to the logger ``rnnrbm`` of :mod:`logging`: messages and the metrics of epochs as INFO.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

__all__ = ["LOGGER", "Bar", "Progress", "as_progress", "silent"]

#: Called with (stage, done, total, row). `stage` names the work, for example ``"train"``, ``"batch"`` or ``"ais"``;
#: `done` of `total` units are complete. `row` is None or a dict: the metrics of an epoch, or ``{"text": ...}`` for a
#: message (stage ``"note"``).
Progress = Callable[[str, int, int, "dict[str, Any] | None"], Any]

#: the logger of the library, which is silent unless the user configures logging
LOGGER = logging.getLogger("rnnrbm")
LOGGER.addHandler(logging.NullHandler())


def silent(stage: str, done: int, total: int, row: dict[str, Any] | None = None) -> None:
    """Report nothing."""


def as_progress(given: Progress | bool | None) -> Progress:
    """Return the function to report to, which also logs.

    Parameters
    ----------
    given : callable, bool or None
        True stands for a new :class:`Bar`; False and None for nothing.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if given is None or given is False:
        report: Progress = silent
    elif given is True:
        report = Bar()
    elif getattr(given, "logs", False):  # a result of this function
        return given
    elif callable(given):
        report = given
    else:
        raise TypeError(
            f"progress is a {type(given).__name__}; expected True for a bar, or a function that is called with the "
            "stage, the units done, the total, and the metrics or None"
        )

    def report_and_log(stage: str, done: int, total: int, row: dict[str, Any] | None) -> None:
        report(stage, done, total, row)
        if row is not None and "text" in row:
            LOGGER.info("%s", row["text"])
        elif row is not None:
            LOGGER.info("%s %d of %d: %s", stage, done, total, _in_words(row))

    report_and_log.logs = True  # type: ignore[attr-defined]
    return report_and_log


def _in_words(row: dict[str, Any]) -> str:
    numbers = {name: x for name, x in row.items() if isinstance(x, (int, float)) and not math.isnan(x)}
    return ", ".join(f"{name}={x:.4g}" for name, x in numbers.items() if name not in ("epoch", "seconds"))


class Bar:
    """A progress bar, in a terminal or a notebook, by the package tqdm.

    A new stage, such as ``"sample"`` after ``"train"``, has a new bar. Batches move the bar of their epochs by parts.
    """

    def __init__(self) -> None:
        self._stage, self._done = "", 0
        self._bar: Any = None

    def __call__(self, stage: str, done: int, total: int, row: dict[str, Any] | None = None) -> None:
        from tqdm.auto import tqdm

        if stage == "note":
            tqdm.write((row or {}).get("text", ""))
            return
        part = 0.0
        if stage == "batch" and self._stage == "train" and self._bar is not None:
            stage, done, total, part = "train", self._done, int(self._bar.total), done / max(1, total)
        if self._bar is None or (stage, total) != (self._stage, self._bar.total):
            self.close()
            shown = "{desc} {percentage:3.0f}%|{bar}| {n:.4g}/{total} [{elapsed}<{remaining}{postfix}]"
            self._bar = tqdm(total=total, desc=stage, bar_format=shown, initial=done)
            self._stage = stage
        self._done = done
        if row is not None:
            shown_names = ("loss", "valid_ll", "valid_score", "valid_loss")
            self._bar.set_postfix(
                {name: f"{row[name]:.3f}" for name in shown_names if not math.isnan(row.get(name, math.nan))},
                refresh=False,
            )
        self._bar.update(done + part - self._bar.n)
        if done >= total and not part:
            self.close()

    def close(self) -> None:
        """Leave the bar as it is; the next report begins a new one."""
        if self._bar is not None:
            self._bar.close()
        self._stage, self._bar, self._done = "", None, 0
