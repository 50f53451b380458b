"""Runs that differ in nothing but the seed: how much of a score is chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from rnnrbm.experiment import config, run
from rnnrbm.experiment.config import Config, ConfigError
from rnnrbm.experiment.reading import is_run, read_run
from rnnrbm.progress import Progress, silent

__all__ = ["Planned", "plan", "train_seeds"]

_SEED = "training.seed"


class Planned(NamedTuple):
    """A run of one seed.

    Attributes
    ----------
    seed : int
    folder : pathlib.Path
    settings : Config
    state : {"new", "begun", "ended"}
        What the folder says.
    """

    seed: int
    folder: Path
    settings: Config
    state: str


def plan(settings: Config, n_seeds: int, out: Path | None = None) -> list[Planned]:
    """Return the runs of several seeds, in the order of the seeds, and what there is of each. Nothing is written.

    Parameters
    ----------
    settings : Config
        Its seed is that of the first run.
    n_seeds : int
        Number of runs; 2 or more.
    out : pathlib.Path or None
        The folder of their folders ``seed-0``, ``seed-1`` ... By default the first of ``runs/DATA-seeds-1``,
        ``runs/DATA-seeds-2`` ... that does not exist, or whose runs have the same settings.

    Raises
    ------
    ConfigError
        If there are less than two seeds, one is too large, or a folder holds a run of other settings.
    FileExistsError
        If a folder is a file.
    """
    if n_seeds < 2:
        raise ConfigError(f"seeds is {n_seeds}: expected at least 2; for one run, give --seed")
    if out is not None:
        return _planned(settings, n_seeds, out)
    stem = Path(settings.data.source).stem or "run"
    for i in range(1, 10**6):
        base = Path("runs") / f"{stem}-seeds-{i}"
        with suppress(ConfigError, FileExistsError):
            return _planned(settings, n_seeds, base)
    raise ConfigError(f"no folder is free for runs of {stem}; choose one by --out")


def _planned(settings: Config, n_seeds: int, base: Path) -> list[Planned]:
    if is_run(base):
        raise ConfigError(f"{base}: holds a run itself; choose another folder for those of several seeds by --out")
    first = settings.training.seed
    each = [settings.replaced({_SEED: first + i}) for i in range(n_seeds)]
    found = []
    for own in each:
        folder = base / f"seed-{own.training.seed}"
        if folder.is_file() or base.is_file():
            raise FileExistsError(f"{folder if folder.is_file() else base}: is a file; choose another folder by --out")
        found.append(Planned(own.training.seed, folder, own, _state(folder, own)))
    return found


def _state(folder: Path, settings: Config) -> str:
    """Return what there is of a run: nothing, a beginning, or all.

    Raises
    ------
    ConfigError
        If the folder holds a run of other settings.
    """
    path = folder / "config.toml"
    if not path.exists():
        return "new"
    there, recorded = config.read(path), config.facts_of_run(path).get("chosen")
    own, other = config.chosen(settings), recorded if isinstance(recorded, dict) else None
    if other is None:
        raise ConfigError(f"{folder}: holds a run that does not say which settings were chosen; choose another --out")
    wanted, had = (_plain(chosen) for chosen in (own, other))
    if different := sorted(key for key in {*wanted, *had} if wanted.get(key) != had.get(key)):
        key = different[0]
        values = [repr(chosen[key]) if key in chosen else "its default" for chosen in (had, wanted)]
        raise ConfigError(
            f"{folder}: holds a run of other settings: {key} is {values[0]}, not {values[1]}; choose another folder "
            "by --out, or delete this one"
        )
    if there.training.epochs != settings.training.epochs and "training.epochs" in own:
        raise ConfigError(
            f"{folder}: was trained for {there.training.epochs} epochs, not {settings.training.epochs}; choose another "
            "folder by --out"
        )
    whole = (folder / "figures" / "statistics.png").is_file() and (folder / "checkpoint.npz").is_file()
    return "ended" if whole and read_run(folder).has_ended else "begun"


def _plain(chosen: dict[str, Any]) -> dict[str, Any]:
    """Return settings as a file gives them back: with lists for tuples."""

    def plain(value: Any) -> Any:
        return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value

    return {key: plain(value) for key, value in chosen.items()}


def train_seeds(
    planned: list[Planned],
    *,
    mode: Any = None,
    stop: Callable[[], bool] | None = None,
    progress: Callable[[Planned], Progress] = lambda _: silent,
    command: str | None = None,
    vector: str | None = None,
) -> Iterator[Planned]:
    """Train the runs of a plan one after the other, and yield each when it has ended.

    A run that has ended is not trained again, and one that was begun is resumed.

    Parameters
    ----------
    planned : list of Planned
        See :func:`plan`.
    mode, stop, command, vector
        See :func:`rnnrbm.experiment.run.train`.
    progress : callable
        Called with each run before it is trained, for its progress.

    Raises
    ------
    Interrupted
        If `stop` returned True; with the same plan made anew, training continues.
    """
    for each in planned:
        if each.state != "ended":
            begun = each.state == "begun"
            run.train(
                None if begun else each.settings,
                each.folder,
                resume=begun,
                mode=mode,
                stop=stop,
                progress=progress(each),
                record={"command": command} if command else None,
                vector=vector,
            )
        yield each
