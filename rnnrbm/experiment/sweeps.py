"""A sweep: many runs with suggested settings, of which the validation set chooses.

Each trial is an ordinary run in the folder of the sweep, and trained as any other. The test set is not scored. A sweep
that was stopped or killed goes on where it was, and many processes, also on several machines, can work on it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from rnnrbm import checkpoint
from rnnrbm.backend import engine
from rnnrbm.experiment import config, run, search
from rnnrbm.experiment.config import Config, ConfigError
from rnnrbm.experiment.journal import Journal, Trial, Work, check_installed
from rnnrbm.experiment.run_folder import run_files
from rnnrbm.experiment.search import Range, Search, trial_folder
from rnnrbm.experiment.setup import located, model_options, started_in
from rnnrbm.files import atomic, check_folder, check_writable, make_folder, to_json
from rnnrbm.kinds.registry import from_record
from rnnrbm.progress import Progress, silent
from rnnrbm.training.fit import Diverged, State

__all__ = ["Sweep", "open_sweep", "ranked", "work"]

#: Settings of every trial: the validation set chooses, and the test set is scored once, of the best.
_FORCED = {"evaluation.test": False}

#: Returns a context that shows the progress of a trial.
Show = Callable[[int, Mapping[str, Any]], AbstractContextManager[Progress]]


class Sweep(NamedTuple):
    """A sweep that has been checked, and whose folder is there.

    Attributes
    ----------
    folder : pathlib.Path
    settings : Config
        Those that all trials have in common.
    search : Search
    ranges : list of Range
    """

    folder: Path
    settings: Config
    search: Search
    ranges: list[Range]

    def journal(self) -> Journal:
        """Open the journal, which is made if it is absent."""
        epochs = [each.ends[-1] for each in self.ranges if each.key == "training.epochs"]
        return Journal(
            self.folder,
            self.search,
            self.ranges,
            epochs=max(epochs, default=self.settings.training.epochs),
            valid_every=self.settings.training.valid_every,
        )


def open_sweep(source: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> Sweep:
    """Begin a sweep, or continue the one in a folder; nothing is trained yet.

    Parameters
    ----------
    source : path-like
        A configuration with a table ``[sweep]``, or the folder of a sweep.
    folder : path-like or None
        That of the sweep; by default ``runs/NAME`` for ``NAME.toml``.

    Returns
    -------
    Sweep

    Raises
    ------
    ConfigError
        If the configuration, a range or the sweep in the folder cannot be used.
    FileExistsError
        If the folder holds something else.
    ImportError
        If Optuna is not installed.
    OSError
        If something cannot be read or written.
    """
    check_installed()
    source = Path(source)
    if source.is_dir():
        if folder is not None:
            raise ConfigError(f"{source}: is the folder of a sweep, which continues there; leave out --out {folder}")
        if not search.is_sweep(source):
            raise ConfigError(
                f"{source}: holds no sweep (no {search.FILE}); give a configuration, or the folder of one"
            )
        folder, (settings, how, ranges) = source, search.read_folder(source)
        _check(source / search.FILE, settings, ranges)
        sources = {"data.source": settings.data.source, "model.init": settings.model.init}
        moved = {key: located(path, source, search.FILE) for key, path in sources.items() if path is not None}
        return Sweep(source, settings.replaced({k: v for k, v in moved.items() if v != sources[k]}), how, ranges)
    settings, how, ranges = search.read(source)
    _check(source, settings, ranges)
    folder = Path("runs", source.stem) if folder is None else Path(folder)
    check_folder(folder, "the sweep")
    check_writable(folder)
    if not search.is_sweep(folder) and folder.is_dir() and (run_files(folder) or search.trial_folders(folder)):
        raise FileExistsError(f"{folder}: holds a run, and no sweep; choose another folder by --out")
    make_folder(folder, "the sweep")
    search.begin(folder, settings, how, {"started_in": started_in(folder), "optuna": _optuna_version()})
    return Sweep(folder, settings, how, ranges)


def _optuna_version() -> str:
    import optuna

    return str(optuna.__version__)


def _check(path: Path, settings: Config, ranges: list[Range]) -> None:
    """Raise ConfigError for a model without an option that is set or searched, or a name that does not exist."""
    models = any(each.key == "model.name" for each in ranges)  # of which one may have a size that another has not
    for changes in ({}, *({each.key: value} for each in ranges for value in each.ends)):
        where = "".join(f"sweep.ranges, {key!r}: " for key in changes)
        try:
            options = model_options(settings.replaced(changes).model, strict=True)
        except ConfigError as error:
            raise ConfigError(f"{path}: {where}{error}") from None
        for key in changes:
            table, _, name = key.partition(".")
            if table == "model" and name not in ("name", *options) and not models:
                raise ConfigError(f"{path}: {where}{settings.model.name} has no {name}; leave it out")


def work(
    sweep: Sweep,
    n_trials: int,
    *,
    show: Show | None = None,
    mode: Any = None,
    stop: Callable[[], bool] = lambda: False,
    tensorboard: bool = False,
    most: int | None = None,
) -> None:
    """Work on trials until there are `n_trials` of them, and none is left that no process works on.

    Parameters
    ----------
    sweep : Sweep
    n_trials : int
        Trials of the whole sweep, those that have ended included.
    show : callable or None
        Called with the number of a trial and its values; returns a context, whose value is called with the progress
        (:data:`rnnrbm.progress.Progress`). None shows nothing.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    stop : callable
        If it returns True, the trial is saved and :class:`rnnrbm.experiment.run.Interrupted` is raised.
    tensorboard : bool
        Write event files of each trial.
    most : int or None
        Most trials that this call works on.

    Raises
    ------
    Interrupted
        If `stop` returned True.
    ConfigError
        If a trial was refused, and none had been trained before.
    CheckpointError
        If the checkpoint of a trial is damaged.
    """
    journal, done = sweep.journal(), 0
    while not stop():
        if done == most or (trial := journal.next(n_trials, stop)) is None:
            break
        try:
            with nullcontext(silent) if show is None else show(trial.number, trial.values) as progress:
                reason = _run(sweep, trial, mode, stop, progress, tensorboard)
        finally:
            trial.claim.release()
        if reason and all(each.score is None for each in journal.trials()):
            raise ConfigError(f"{trial_folder(sweep.folder, trial.number)}: cannot be trained: {reason}")
        done += 1
        engine.forget_programs()
    if stop():
        raise run.Interrupted("stopped; everything is saved")


class _Watch:
    """Reports the validations of a trial, and ends it when the sweep has no use for it."""

    def __init__(self, trial: Work, stop: Callable[[], bool], progress: Progress) -> None:
        self.trial, self.pruned_at = trial, 0
        self._stop, self._progress = stop, progress

    def stop(self) -> bool:
        return bool(self.pruned_at) or self.trial.claim.lost or self._stop()

    def progress(self, stage: str, done: int, total: int, row: dict[str, Any] | None = None) -> None:
        self._progress(stage, done, total, row)
        score = math.nan if stage != "train" or row is None else valid_score(row)
        if not math.isnan(score) and self.trial.report(score, done) and done < total:
            self.pruned_at = done


def valid_score(row: Mapping[str, Any]) -> float:
    """Return the validation of an epoch, of which more is better; NaN if there was none."""
    for name, sign in (("valid_ll", 1.0), ("valid_score", 1.0), ("valid_loss", -1.0)):
        if name in row:
            return sign * float(row[name])
    return math.nan


def _run(sweep: Sweep, trial: Work, mode: Any, stop: Callable[[], bool], progress: Progress, tensorboard: bool) -> str:
    """Train a trial, or resume it, and record what it came to; return why it could not be trained, or nothing."""
    folder, watch = trial_folder(sweep.folder, trial.number), _Watch(trial, stop, progress)
    resume = (folder / "config.toml").is_file()
    try:
        settings = None if resume else sweep.settings.replaced({**trial.values, **_FORCED})
        results = run.train(
            settings,
            folder,
            resume=resume,
            record={"trial": {"number": trial.number, "values": trial.values}},
            tensorboard=tensorboard,
            mode=mode,
            stop=watch.stop,
            progress=watch.progress,
        )
    except run.Interrupted:
        if not watch.pruned_at:
            raise
        reason = f"pruned in epoch {watch.pruned_at}: its best validation is below that of other trials"
        _write_end(folder, reason)
        trial.prune(reason)
        return ""
    except checkpoint.CheckpointError as error:
        raise checkpoint.CheckpointError(f"{error}; delete {folder} to begin the trial anew") from None
    except (Diverged, ValueError, MemoryError) as error:
        reason = f"diverged: {error}" if isinstance(error, Diverged) else str(error)
        if folder.is_dir():
            _write_end(folder, reason)
        trial.prune(reason)
        return reason
    trial.complete(results["best_valid_ll"])
    return ""


def _write_end(folder: Path, reason: str) -> None:
    """Write the results of a trial that ended early: those of a run that was not scored."""
    path, state, frame_name = folder / "checkpoint.npz", State(), "frame"
    if path.exists():
        state, meta = State.load(path)
        frame_name = from_record(meta["kind"]).frame_name
    settings = config.read(folder / "config.toml") if (folder / "config.toml").exists() else Config()
    results: dict[str, Any] = {
        "model": settings.model.name,
        "data": settings.data.source,
        "test_ll": None,
        "test_se": None,
        "test_bias": None,
        "method": None,
        "test_score": None,
        "test_bound": None,
        "frame_name": frame_name,
        "best_epoch": state.best_epoch,
        "best_valid_ll": state.best_ll,
        "epochs": state.epoch,
        "training_seconds": round(state.seconds, 1),
        "baselines": {},
        "statistics": {"samples": {}, "train": {}},
        "samples": [],
        "pruned": reason,
    }
    with atomic(folder / "results.json") as temporary:
        temporary.write_text(to_json(results), encoding="utf-8")


def ranked(trials: list[Trial]) -> list[Trial]:
    """Return trials by their scores, the best of those that came to their end first."""
    return sorted(
        trials,
        key=lambda trial: (
            trial.state != "complete",
            -math.inf if trial.score is None else -trial.score,
            trial.score is None,
            trial.number,
        ),
    )
