"""The folder of a run: which files in it are the run's, whether a run may write there, making room for another."""

from __future__ import annotations

import contextlib
import csv
import os
import platform
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnnrbm.experiment import config
from rnnrbm.experiment.config import Config
from rnnrbm.files import atomic, check_folder, check_regular, check_writable, make_folder, temporary_target

__all__ = [
    "begin",
    "check_spared",
    "clear",
    "finish_clearing",
    "free_folder",
    "lock",
    "locked",
    "machine",
    "prepare",
    "replaces",
    "replacing",
    "run_files",
    "sweep",
    "using",
    "write_metrics",
]

#: names of the files that a run and its evaluations write; all others in the folder are the user's
_WRITTEN = {
    ".": r"config\.toml|metrics\.csv|(checkpoint|pretraining)\.npz|results\.json|report\.html",
    "figures": r"(learning_curves|filters|sample|statistics|reconstructions)\.(png|pdf|svg)",
    "tensorboard": r"events\.out\.tfevents\.rnnrbm",
    "samples": r"sample-[0-9]+\.(mid|wav|npy|gif|png|pdf|svg)",
    "evaluations": r".*-(train|valid|test)(\.json|-(ais|raise|exact)-[0-9a-f]{8}\.npz)",
    "generated": r"(.+-)?seed[0-9]+-[0-9]+\.(mid|wav|npy|gif|png|pdf|svg)",
}

#: folders in which other processes write what they make of a run
_USED = ("evaluations", "generated")

#: a fact of a run whose folder may still hold files of the run that it replaces
_REPLACES = "replaces_a_run"


def free_folder(source: str, base: Path = Path("runs")) -> Path:
    """Return the first of ``runs/NAME-1``, ``runs/NAME-2`` ... that does not exist."""
    stem = Path(source).stem or "run"
    return next(p for i in range(1, 10**6) if not (p := base / f"{stem}-{i}").exists())


def run_files(folder: Path) -> list[Path]:
    """Return the files in a folder that a run and its evaluations have written, by their names."""
    return [
        path
        for part, names in _WRITTEN.items()
        if (folder / part).is_dir()
        for path in sorted((folder / part).iterdir())
        if path.is_file() and re.fullmatch(names, path.name)
    ]


def check_spared(folder: Path, used: Path, what: str) -> None:
    """Raise ValueError if a new run in a folder would replace what it is made of.

    Parameters
    ----------
    folder : pathlib.Path
    used : pathlib.Path
        A file or a folder.
    what : str
        What it is, for the message.
    """
    used = used.resolve()
    victims = [path.resolve() for path in run_files(folder)]
    if any(used in (path, *path.parents) for path in victims):
        raise ValueError(f"{used}: the new run would replace {what}; choose another folder by --out")


def prepare(folder: Path, settings: Config | None, *, resume: bool, overwrite: bool) -> Config:
    """Check whether the folder can be used, and return the settings of the run; nothing is written yet.

    Raises
    ------
    ValueError
        If both `resume` and `overwrite` are true, or the settings of the run to resume are invalid.
    FileExistsError
        If the folder, or one in it, is a file, or if it holds a run that is neither resumed nor overwritten.
    IsADirectoryError
        If a file of the run is a folder.
    PermissionError
        If it cannot be written to.
    FileNotFoundError
        If there is no run to resume.
    """
    if resume and overwrite:
        raise ValueError("resume continues the run in the folder, overwrite replaces it; choose one of the two")
    check_folder(folder, "the run")
    if resume and not (folder / "config.toml").exists():
        raise FileNotFoundError(f"{folder}: no run to resume there (no config.toml); give the folder of a run")
    check_writable(folder)
    for part in _WRITTEN:
        check_folder(folder / part, "the run")
        check_writable(folder / part)
    for name in ("config.toml", "metrics.csv", "checkpoint.npz", "results.json"):
        if (folder / name).is_dir():
            raise IsADirectoryError(f"{folder / name}: is a folder, and the run writes a file of that name; remove it")
        check_regular(folder / name, "a folder for the run")
    if resume:
        return config.read(folder / "config.toml")
    parts = dict.fromkeys(path.relative_to(folder).parts[0] for path in run_files(folder))
    if parts and not overwrite:
        raise FileExistsError(
            f"{folder}: holds a run already ({', '.join(parts)}); continue it with --resume, choose another "
            "folder by --out, or replace it with --overwrite"
        )
    return settings or Config()


def begin(folder: Path, settings: Config, facts: Mapping[str, Any]) -> None:
    """Write the settings of a new run, and delete what an earlier run has written.

    A kill in between leaves the earlier run whole, or the new run to be resumed: the settings are replaced first, with
    a mark that files of the earlier run may be left, which :func:`finish_clearing` deletes.

    Parameters
    ----------
    folder : pathlib.Path
        Made if absent.
    settings : Config
    facts : mapping
        See :func:`rnnrbm.experiment.config.write`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if run_files(folder):
        config.write(folder / "config.toml", settings, run={**facts, _REPLACES: True})
        clear(folder, keep="config.toml")
    config.write(folder / "config.toml", settings, run=facts)


def replaces(folder: Path) -> bool:
    """Return whether files of an earlier run may be left in a folder, which the run of its settings replaces."""
    path = folder / "config.toml"
    return path.is_file() and re.search(rf"(?m)^{_REPLACES} = true\r?$".encode(), path.read_bytes()) is not None


def finish_clearing(folder: Path, settings: Config) -> None:
    """Delete what a run that is resumed should have replaced, if a kill came before."""
    if replaces(folder):
        begin(
            folder, settings, {k: v for k, v in config.facts_of_run(folder / "config.toml").items() if k != _REPLACES}
        )


def clear(folder: Path, *, keep: str = "") -> None:
    """Delete what an earlier run has written; files of other names stay, and their folders, and the file `keep`."""
    for path in run_files(folder):
        if path != folder / keep:
            path.unlink()
    for part in (folder / name for name in _WRITTEN if name != "."):
        # a link to a folder elsewhere stays
        if part.is_dir() and not part.is_symlink() and not any(part.iterdir()):
            part.rmdir()


def sweep(folder: Path, parts: Iterable[str] = _WRITTEN) -> None:
    """Delete the temporary files that a killed process has left; see :func:`rnnrbm.files.atomic`.

    Those of what is made of a run stay while another process makes it: they may be its own.
    """
    for part in parts:
        place = folder / part
        if not place.is_dir():
            continue
        with lock(place) if part in _USED else contextlib.nullcontext(True) as alone:
            for path in place.glob(".*"):
                target = temporary_target(path)
                if alone and target and re.fullmatch(_WRITTEN[part], target) and path.is_file():
                    path.unlink()


@contextmanager
def lock(folder: Path, *, shared: bool = False) -> Iterator[bool]:
    """Lock a folder, and yield whether that has succeeded. The lock ends with the process.

    Systems that cannot lock folders, such as Windows, are not protected. Many processes can hold a shared lock at once.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    handle = os.open(folder, os.O_RDONLY)
    alone = True
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            alone = False
        except OSError:  # some network file systems have no locks
            pass
        try:  # another process may have deleted the folder before it was locked, and made it again
            alone = alone and os.path.samestat(os.fstat(handle), os.stat(folder))
        except FileNotFoundError:
            alone = False
        yield alone
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, so that no other process trains there.

    Raises
    ------
    FileExistsError
        If another process holds the lock.
    """
    with lock(folder) as alone:
        if not alone:
            raise FileExistsError(
                f"{folder}: another process is training there; wait for it, or choose another folder by --out"
            )
        yield


@contextmanager
def using(folder: Path, part: str) -> Iterator[Path]:
    """Make and yield a folder in that of a run for what a command makes of the run, while the run is not replaced.

    Several processes can use a run at the same time. What killed evaluations have left there is deleted.

    Parameters
    ----------
    folder : pathlib.Path
        That of the run.
    part : {"evaluations", "generated"}

    Raises
    ------
    FileExistsError
        If another process is replacing the run.
    """
    place = folder / part
    for last in (False,) * 9 + (True,):
        make_folder(place, "the results")
        sweep(folder, [part])
        try:
            with lock(place, shared=True) as free:
                if free:
                    yield place
                    return
        finally:
            _remove_unused(place)
        if last:
            raise FileExistsError(f"{folder}: another process is replacing the run there; wait for the new one")
        time.sleep(0.1)  # one that deletes what killed ones have left holds the lock for a moment


@contextmanager
def replacing(folder: Path) -> Iterator[None]:
    """Keep other processes from evaluating a run that is to be replaced, and from sampling it into its folder.

    Raises
    ------
    FileExistsError
        If another process does that.
    """
    with contextlib.ExitStack() as stack:
        for part in _USED:
            place = folder / part
            place.mkdir(exist_ok=True)
            if not stack.enter_context(lock(place)):
                raise FileExistsError(
                    f"{folder}: another process is evaluating or sampling the run there; wait for it, or choose "
                    "another folder by --out"
                )
            stack.callback(_remove_empty, place)
        yield


def _remove_unused(folder: Path) -> None:
    """Delete an empty folder that no process has locked."""
    with contextlib.suppress(FileNotFoundError), lock(folder) as alone:
        if alone:
            _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it holds files, or has been deleted
        folder.rmdir()


def machine() -> str:
    """Name of the processor, and how many of its cores this process may use."""
    name, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        name = names[0] if names else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} core{'' if cores == 1 else 's'}"


def write_metrics(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the metrics of all epochs as CSV, in one step; nothing if there are none."""
    if not rows:
        return
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
