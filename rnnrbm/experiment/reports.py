"""Pages of runs in files: that of one run, and that of several beside each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rnnrbm.experiment.reading import is_run, read_run
from rnnrbm.files import atomic, check_writable, first_line
from rnnrbm.report.compare import comparison_page
from rnnrbm.report.markup import GENERATOR
from rnnrbm.report.page import run_page
from rnnrbm.report.record import Record

__all__ = ["check_page", "read_runs", "try_report", "write_comparison", "write_report"]


def write_report(folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` into the folder of a run, and return its path.

    The page is read from the folder and holds all that it shows. Of a run that has not ended it says so.

    Parameters
    ----------
    folder : path-like

    Raises
    ------
    FileNotFoundError, FileExistsError
        If it is no folder of a run.
    ValueError
        If a file of the run is damaged.
    OSError
        If the page cannot be written.
    """
    folder = Path(folder)
    run = read_run(folder)
    check_writable(folder)
    return _write(folder / "report.html", run_page(run))


def try_report(folder: Path) -> str:
    """Write the report of a run that has just ended, and say why that failed; empty if it did not.

    The run is whole without it, so no error of the report is one of the run.
    """
    try:
        write_report(folder)
    except Exception as error:
        return f"no report was written ({first_line(error)}); try again by 'rnnrbm report {folder}'"
    return ""


def read_runs(folders: Sequence[str | os.PathLike[str]]) -> list[Record]:
    """Read several runs; a folder that is no run, but holds some, stands for them.

    Raises
    ------
    FileNotFoundError, FileExistsError
        If there is no run.
    ValueError
        If a run is given twice, none is given, or a file of a run is damaged.
    """
    found: list[Path] = []
    for folder in map(Path, folders):
        inside = [] if is_run(folder) or not folder.is_dir() else sorted(p for p in folder.iterdir() if is_run(p))
        found += inside or [folder]
    if not found:
        raise ValueError("no run to compare; give the folders of runs")
    seen: dict[Path, Path] = {}
    for path in found:
        if (other := seen.setdefault(path.resolve(), path)) is not path:
            raise ValueError(f"{path}: is given twice, as {other} too; give each run once")
    return [read_run(path) for path in found]


def write_comparison(runs: Sequence[Record], path: str | os.PathLike[str]) -> Path:
    """Write a page that compares runs, and return its path.

    Parameters
    ----------
    runs : sequence of Record
        See :func:`read_runs`.
    path : path-like
        The file. A page that this function wrote before is replaced, any other file is not.

    Raises
    ------
    ValueError
        If the name does not end in ``.html`` or ``.htm``.
    FileExistsError
        If another file is there.
    FileNotFoundError
        If its folder does not exist.
    OSError
        If the page cannot be written.
    """
    path = Path(path)
    check_page(path)
    return _write(path, comparison_page(runs))


def check_page(path: Path) -> None:
    """Raise an error if a page cannot come into a file; see :func:`write_comparison`."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{path}: expected a file name ending in .html")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {str(path.parent)!r} does not exist; create it first")
    if path.is_file() and GENERATOR not in path.read_bytes()[:2000].decode("utf-8", "replace"):
        raise FileExistsError(f"{path}: exists, and is no page of rnnrbm; choose another name")


def _write(path: Path, content: str) -> Path:
    with atomic(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return path
