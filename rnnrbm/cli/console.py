"""Terminal code of all commands: errors in one line, Ctrl-C, progress."""

from __future__ import annotations

import _thread
import math
import os
import signal
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rnnrbm import memory
from rnnrbm.files import as_text, cache_folder
from rnnrbm.progress import Progress, silent

if TYPE_CHECKING:
    from rich.console import Console

    from rnnrbm.datasets import Dataset
    from rnnrbm.experiment.run import Run

__all__ = ["ProgressBar", "friendly", "in_words", "interruptible", "own_data", "path_given", "say", "say_table", "tell"]


@contextmanager
def friendly() -> Iterator[None]:
    """Turn foreseeable errors into one line; RNNRBM_TRACEBACK=1 shows where they came from."""
    import warnings

    def short(message: Any, category: Any, *rest: Any, **more: Any) -> None:
        tell(f"warning: {as_text(str(message))}")

    shown, warnings.showwarning = warnings.showwarning, short
    try:
        yield
    except (ValueError, OSError, ArithmeticError, RuntimeError, TypeError, ImportError) as error:
        if isinstance(error, typer.Exit) or os.environ.get("RNNRBM_TRACEBACK"):
            raise
        message = str(error)
        if isinstance(error, OSError) and error.errno and error.filename:
            message = f"{error.filename}: {error.strerror}"
        elif isinstance(error, OSError) and error.errno:
            # of a compiler's temporary file, say
            message = f"{error.strerror}, in {tempfile.gettempdir()} or {cache_folder()}; free some space there"
        tell(f"error: {as_text(str(message))}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        tell("stopped")
        raise typer.Exit(130) from None
    except MemoryError as error:
        if os.environ.get("RNNRBM_TRACEBACK"):
            raise
        message = str(error)
        if not isinstance(error, memory.TooMuch):  # of NumPy, say
            message = (
                f"not enough memory ({error or 'no size is known'}); this process may have "
                f"{memory.available() / 2**30:.0f} GiB. Choose a smaller model, or fewer samples or frames"
            )
        tell(f"error: {as_text(message)}")
        raise typer.Exit(1) from None
    finally:
        warnings.showwarning = shown


def _give_up_output() -> None:
    """Let Python end without another attempt to write what is left for standard output."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def in_words(name: str) -> str:
    """A statistic's name as words."""
    return name.replace("_", " ")


def path_given(text: str) -> Path:
    """Return the path that an option gives, which must not be empty: Python would take that for this folder."""
    if not text:
        raise typer.BadParameter("is empty; give a path")
    return Path(text)


@contextmanager
def interruptible() -> Iterator[Any]:
    """Stop after the current batch at the first Ctrl-C (or SIGTERM), and at once at the second."""
    asked = False

    def handle(signum: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        if signum == signal.SIGINT:
            os.write(2, b"\nStopping after this batch; the run can be resumed. Ctrl-C again stops at once.\n")

    repeats: list[threading.Timer] = []

    def lost(error: sys.UnraisableHookArgs) -> None:
        # a signal that came during a callback of the garbage collector, say, whose errors end nothing
        if not issubclass(error.exc_type, KeyboardInterrupt):
            hook(error)
            return
        repeats.append(threading.Timer(0.01, _thread.interrupt_main))
        repeats[-1].start()

    hook, sys.unraisablehook = sys.unraisablehook, lost
    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for repeat in repeats:
            repeat.cancel()
        sys.unraisablehook = hook
        for s, handler in before.items():
            signal.signal(s, handler)


class ProgressBar:
    """A live bar on a terminal; elsewhere, a line every 15 seconds."""

    STAGES = {  # noqa: RUF012
        "pretrain density": "Pretrain density",
        "pretrain network": "Pretrain network",
        "read": "Reading files",
        "segment": "Finding calls",
        "train": "Training",
        "sample": "Sampling",
        "write": "Writing samples",
        "draw": "Drawing",
        "ais": "AIS",
        "raise": "RAISE",
        "exact": "Likelihood",
        "valid": "Valid likelihood",
        "prediction": "Prediction",
        "baselines": "Baselines",
    }

    #: stages that are usually over at once: only a terminal shows them, unless they take more than two seconds
    BRIEF = ("read", "segment", "sample", "write")

    def __init__(self, *, quiet: bool = False) -> None:
        from rich import progress as bars
        from rich.console import Console
        from rich.table import Column

        self.console = Console(stderr=True, markup=False)
        self.live = self.console.is_terminal and not quiet
        self.quiet = quiet
        # the text gives way on a narrow terminal; the bar, the count and the time left do not
        self.bar = bars.Progress(
            bars.TextColumn("{task.description:<16}"),
            bars.BarColumn(bar_width=24 if self.console.width >= 100 else 8),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(),
            bars.TextColumn(
                "{task.fields[row]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
            ),
            console=self.console,
            disable=not self.live,
            expand=True,
        )
        self.row = ""
        self.tasks: dict[str, Any] = {}
        self.begun: dict[str, float] = {}
        self.valid = ""
        self.last = -math.inf

    def __enter__(self) -> ProgressBar:
        self.bar.start()
        if self.live:  # imports and the first compilation take seconds
            self.tasks["start"] = self.bar.add_task("Starting", total=None, row="")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):
            self.bar.stop()

    def report(self, stage: str, done: int, total: int, row: dict[str, Any] | None = None) -> None:
        """Show progress; see :data:`rnnrbm.progress.Progress`."""
        if stage == "batch":
            if self.live and "train" in self.tasks and done % 8 == 0:
                self.bar.update(self.tasks["train"], row=f"{self.row}  batch {done}/{total}".strip())
            return
        if stage == "note":
            if row is not None and not self.quiet:
                tell(row["text"])  # above a live bar, which has taken over stderr
            return
        text = "" if row is None else self._words(row)
        if "start" in self.tasks:
            self.bar.remove_task(self.tasks.pop("start"))
        if stage not in self.tasks:
            self.tasks[stage] = self.bar.add_task(self.STAGES[stage], total=total, row=text)
        if text:
            self.row = text
        fields: dict[str, Any] = {"row": text} if text else {}
        self.bar.update(self.tasks[stage], completed=done, total=total, **fields)
        now = time.monotonic()
        if self.live or self.quiet:
            return
        if stage in self.BRIEF and now - self.begun.setdefault(stage, now) < 2:
            return
        if now - self.last > 15 or done in (0, total):
            self.last = now
            tell(f"{self.STAGES[stage]} {done}/{total}  {text}".rstrip())

    def _words(self, row: dict[str, Any]) -> str:
        """The metrics of an epoch, the most telling ones first."""
        if not math.isnan(row.get("valid_ll", math.nan)):
            self.valid = f"valid LL {row['valid_ll']:.3f} in epoch {row['epoch']}"
        for name in ("score", "loss"):  # of a model without a log-likelihood
            if not math.isnan(row.get(f"valid_{name}", math.nan)):
                self.valid = f"valid {name} {row[f'valid_{name}']:.4g} in epoch {row['epoch']}"
        parts = [self.valid] if self.valid else []
        if not math.isnan(row.get("k", math.nan)):  # of an energy
            parts.append(f"k {row['k']}")
        if "loss" in row:
            parts.append(f"loss {row['loss']:+.3f}")
        if not math.isnan(row.get("pseudo_likelihood", math.nan)):  # of binary units
            parts.append(f"pseudo-LL {row['pseudo_likelihood']:.3f}")
        return "  ".join(parts)


def own_data(trained: Run, changed: str, missing: str = "", progress: Progress = silent) -> Dataset | None:
    """Return the run's data, or None with a warning if they cannot be read.

    The texts say what follows if the data have changed, and if they are missing, which is an error without a text.
    """
    from rnnrbm.experiment import run

    source = trained.config.data.source
    try:
        data = run.load_data(trained.config.data, progress, trained.folder)
    except (OSError, ValueError) as error:
        message = f"the run's training data cannot be read ({error})"
        remedy = f"restore {source!r}, or run this command in the folder from which the path is right"
        if not missing:
            kind = OSError if isinstance(error, OSError) else ValueError  # others cannot be made of a text alone
            raise kind(f"{message}; {remedy}, or give other data by --data") from None
        tell(f"warning: {message}, so {missing}; to avoid that, {remedy}")
        return None
    if trained.data_hash is not None and data.fingerprint() != trained.data_hash:
        tell(f"warning: {source} is not what the run was trained on, so {changed}; restore it to avoid that")
    return data


def tell(text: str) -> None:
    """Print a line on standard error; if nobody reads it any more, the work goes on."""
    with suppress(OSError):
        typer.echo(text, err=True)


def say(what: Any) -> None:
    """Print text or a table on standard output.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    try:
        _console().print(what, soft_wrap=isinstance(what, str))
        sys.stdout.flush()
    except OSError as error:
        _give_up_output()
        if isinstance(error, BrokenPipeError):  # another command, such as head, has seen enough
            raise typer.Exit(1) from None
        reason = error.strerror or error
        raise OSError(f"standard output cannot be written ({reason}); files are not affected") from None


def _console() -> Console:
    from rich.console import Console

    # a name such as set[1] is no markup
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 130
    return Console(width=width, markup=False, highlight=False)


def say_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on standard output, or, on a narrow terminal, a few lines for each row: no number is cut.

    The first and the last column are text, the others are numbers.
    """
    from rich.measure import Measurement
    from rich.table import Table

    table, console, rows = Table(title=title, title_justify="left"), _console(), list(rows)
    for i, heading in enumerate(headings):
        text = i in (0, len(headings) - 1)
        table.add_column(
            heading, justify="left" if text else "right", no_wrap=i < len(headings) - 1, min_width=10 if text else None
        )
    for row in rows:
        table.add_row(*row)
    if Measurement.get(console, console.options.update(max_width=1000), table).minimum <= console.width:
        say(table)
        return
    say(title)
    for name, *numbers, how in rows:
        given = ", ".join(f"{h} {n}" for h, n in zip(headings[1:-1], numbers, strict=True) if n)
        for line in (given, how):
            if line and name:
                say(name)
                name = ""
            if line:
                say(textwrap.fill(line, console.width - 1, initial_indent="  ", subsequent_indent="  "))
