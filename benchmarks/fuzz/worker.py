"""A process that reads one mutant after another under limits, and is started again if one ends it."""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import resource
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from benchmarks.fuzz.mutate import SENTINEL

__all__ = ["Limits", "Outcome", "Worker"]

#: seconds until the worker has imported the library and read a sound file
STARTING = 120.0
#: characters of a message; a longer one repeats the file
LONGEST = 20_000
#: what no reader has to do once all is imported; Python announces each of them
_FORBIDDEN = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.Popen", "socket.", "pty.")


class Limits(NamedTuple):
    """Limits of a worker: seconds for each mutant, bytes of addresses, and bytes that one mutant may take."""

    seconds: float = 10.0
    addresses: int = 4 * 2**30
    resident: int = 2**29


class Outcome(NamedTuple):
    """What became of a mutant.

    Attributes
    ----------
    kind : str
        ``"accepted"``, ``"refused"``, or the kind of fault: ``"exception"``, ``"message"``, ``"warning"``,
        ``"invariant"``, ``"executed"``, ``"memory"``, ``"time"``, ``"crash"``.
    detail : str
    """

    kind: str
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        return self.kind not in ("accepted", "refused")


class Worker:
    """Reads files in a process of its own; use it in a ``with`` statement.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        memory = Path("/dev/shm")  # a disk would be waited for after every file that a check writes
        self._temporary = tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory if memory.is_dir() else None)
        self.folder = Path(self._temporary.name)
        self._process: Any = None
        self._pipe: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._temporary.cleanup()

    @property
    def running(self) -> bool:
        return self._process is not None

    def stop(self) -> None:
        """End the process, if it is running."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = self._pipe = None

    def read(self, reader: str, path: Path, errors: tuple[str, ...], *, first: bool = False) -> Outcome:
        """Let the process read a file.

        Parameters
        ----------
        reader : str
            The function, as ``module:name``.
        path : pathlib.Path
        errors : tuple of str
            Names of the exceptions by which the file may be refused.
        first : bool
            Whether modules may be imported, which takes time and starts processes.
        """
        if self._process is None:
            # not forked: threads of this process hold locks that no thread of a copy would ever release
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self.limits, self.folder), daemon=True)
            self._process.start()
            theirs.close()
            if not self._pipe.poll(STARTING):
                raise RuntimeError("the worker does not start")
            self._pipe.recv()
        allowed = STARTING if first else self.limits.seconds
        self._pipe.send((reader, str(path), errors, first))
        try:
            if self._pipe.poll(allowed):
                outcome = Outcome(*self._pipe.recv())
                if outcome.kind == "memory":  # the next one starts anew
                    self.stop()
                return outcome
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode
            self.stop()
            return Outcome("crash", f"exit code {code}")
        self.stop()
        return Outcome("time", f"more than {allowed:g} s")


def _serve(pipe: Connection, limits: Limits, folder: Path) -> None:
    """Read what comes through a pipe, and answer with outcomes."""
    resource.setrlimit(resource.RLIMIT_AS, (limits.addresses, limits.addresses))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(folder)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    seen: list[str] = []
    sys.addaudithook(lambda event, _: seen.append(event) if event.startswith(_FORBIDDEN) else None)
    pipe.send("started")
    ready: dict[str, Callable[[Path], None]] = {}
    while True:
        try:
            reader, path, errors, first = pipe.recv()
        except EOFError:
            return
        if reader not in ready:
            module, _, name = reader.partition(":")
            ready[reader] = getattr(importlib.import_module(module), name)
        del seen[:]
        before = _peak(anew=True)
        outcome = _read(ready[reader], Path(path), errors)
        taken = _peak() - before
        if Path(SENTINEL).exists() or (seen and not first):
            with contextlib.suppress(FileNotFoundError):
                os.remove(SENTINEL)
            outcome = Outcome("executed", ", ".join(dict.fromkeys(seen)) or f"a file {SENTINEL}")
        elif taken > limits.resident and not first:
            outcome = Outcome("memory", f"took {taken >> 20} MiB; {outcome.kind} {outcome.detail}")
        pipe.send((outcome.kind, ascii(outcome.detail)[1:-1]))


def _peak(*, anew: bool = False) -> int:
    """Return the greatest number of bytes that the process has held, on Linux since the last call with `anew`."""
    # getrusage counts what the process held that started this one
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if anew:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024


def _read(reader: Callable[[Path], None], path: Path, errors: tuple[str, ...]) -> Outcome:
    """Call a reader, and say what came of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            reader(path)
            outcome = Outcome("accepted")
        except AssertionError as error:
            outcome = Outcome("invariant", str(error))
        except MemoryError as error:
            outcome = Outcome("memory", f"MemoryError: {error}{_place(error)}")
        except Exception as error:
            outcome = _judged(error, path, errors)
    for each in caught:
        own = each.category is UserWarning or each.category.__module__.startswith("rnnrbm.")
        if not own or not any(str(place) in str(each.message) for place in (path, path.parent)):
            return Outcome("warning", f"{each.category.__name__}: {each.message}"[:300])
    if outcome.kind == "memory":
        gc.collect()
    return outcome


def _judged(error: Exception, path: Path, errors: tuple[str, ...]) -> Outcome:
    """Say if an exception is a refusal in the library's own way."""
    name, message = type(error).__name__, str(error)
    if name == "LeftOut":
        return Outcome("refused", message[:300])
    own = type(error) is ValueError or type(error).__module__.partition(".")[0] == "rnnrbm"
    if name not in errors or not own:
        return Outcome("exception", f"{name}: {message[:300]}{_place(error)}")
    if path.name not in message:
        return Outcome("message", f"does not name the file: {message[:300]}{_place(error)}")
    if len(message) > LONGEST or "\n" in message:
        return Outcome("message", f"{len(message)} characters, {message.count(chr(10))} line breaks: {message[:300]}")
    try:
        message.encode().decode()
    except UnicodeError:
        return Outcome("message", f"is no text: {message[:300]!a}{_place(error)}")
    return Outcome("refused", message[:300])


def _place(error: BaseException) -> str:
    """Return where an error was raised: the last line of each file."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " in " + ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
