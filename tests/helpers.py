"""What several test files share: the command in this process, or in one of its own."""

import contextlib
import io
import os
import runpy
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

SCRIPT = Path(sysconfig.get_path("scripts")) / "rnnrbm"
#: the installed command
COMMAND = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "rnnrbm.cli.main"]


def environment() -> dict[str, str]:
    """Without colours, and wide enough that no line is wrapped."""
    return os.environ | {"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}


@contextlib.contextmanager
def as_a_process(arguments: list[str], cwd: Path | None) -> Iterator[None]:
    """Arguments, folder, environment and warnings of a process of its own."""
    with (
        mock.patch.object(sys, "argv", arguments),
        mock.patch.dict(os.environ, environment()),
        contextlib.chdir(cwd or Path.cwd()),
        warnings.catch_warnings(),
    ):
        warnings.resetwarnings()
        yield


def in_process(run, arguments: list[str], cwd: Path | None) -> subprocess.CompletedProcess[str]:
    """Call a function as if it were a process; what it prints and its exit code are the result."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with as_a_process(arguments, cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run()
        except SystemExit as end:
            code = end.code or 0
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def rnnrbm(*arguments: object, cwd: Path | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which has its imports behind it; the exit code must be `code`.

    What needs a process of its own (signals, imports, the installed script) starts :data:`COMMAND`.
    """
    from rnnrbm.cli.main import main

    done = in_process(main, ["rnnrbm", *(str(a) for a in arguments)], cwd)
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def refused(*arguments: object, code: int = 1, cwd: Path | None = None) -> str:
    """The one line that a command which cannot work says."""
    done = rnnrbm(*arguments, code=code, cwd=cwd)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr  # no folder is announced that is not made
    assert done.stdout == ""
    assert "Errno" not in done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def script(path: Path, *arguments: str, cwd: Path) -> str:
    """Run a Python script in this process; return what it prints."""
    done = in_process(lambda: runpy.run_path(str(path), run_name="__main__"), [str(path), *arguments], cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout
