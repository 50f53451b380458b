"""Mixtures of the models of a row that differ in the seed of their training; see :mod:`rnnrbm.models.mixture`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rnnrbm
from rnnrbm.backend import engine
from rnnrbm.experiment import config, run
from rnnrbm.experiment.config import Config
from rnnrbm.experiment.run_folder import machine
from rnnrbm.files import atomic, to_json
from rnnrbm.models.mixture import Mixture
from rnnrbm.progress import Progress, silent
from rnnrbm.scoring.likelihood import usable_states
from rnnrbm.training.fit import State

__all__ = ["load_mixture", "make_mixture", "member_folders", "stored"]


def member_folders(path: Path, runs: Path, seeds: Sequence[int]) -> list[Path]:
    """Folders of the members: the row's own, if its parameters are kept, and runs beside it."""
    kept = path.parent / "checkpoints" / path.stem
    own = config.read(path).training.seed
    return [kept if seed == own and kept.is_dir() else runs / f"{path.stem}-seed{seed}" for seed in seeds]


def load_mixture(folders: Sequence[Path]) -> tuple[Mixture, list[run.Run]]:
    """Return the mixture of trained runs, and the runs."""
    trained = [run.load(folder) for folder in folders]
    return rnnrbm.mixture([one.model for one in trained]), trained


def make_mixture(
    path: Path,
    settings: Config,
    runs: Path,
    seeds: Sequence[int],
    *,
    mode: Any = None,
    stop: Callable[[], bool] | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train the members that are missing, score the mixture, and store the result beside the table.

    Parameters
    ----------
    path : pathlib.Path
        The configuration of the row.
    settings : Config
        Its contents.
    runs : pathlib.Path
        Folder of the members' runs; one that was interrupted goes on.
    seeds : sequence of int
    mode, stop, progress
        As for :func:`rnnrbm.experiment.run.train`.

    Returns
    -------
    dict
        Contents of ``mixtures/NAME.json`` beside the configuration.
    """
    folders = member_folders(path, runs, seeds)
    for seed, folder in zip(seeds, folders, strict=True):
        if folder.parent.name == "checkpoints" or (folder / "results.json").exists():
            continue
        there = (folder / "config.toml").exists()
        # test is scored once, for the mixture
        wanted = settings.replaced({"training.seed": seed, "evaluation.test": False})
        run.train(None if there else wanted, folder, resume=there, mode=mode, stop=stop, progress=progress)
    mixed, trained = load_mixture(folders)
    data = run.load_data(settings.data)
    how: dict[str, Any] = {"seed": settings.training.seed, "mode": mode}
    if not all(model.normalized for model in mixed.members):
        chosen = settings.evaluation
        states = usable_states(mixed.members[0], data.train, chosen.n_exact_states)
        how |= {"n_chains": chosen.n_chains, "n_temperatures": chosen.n_temperatures, "exact_states": states}
    own = [rnnrbm.mixture([model]).log_likelihood(data.valid, **how).mean for model in mixed.members]
    valid, test = (mixed.log_likelihood(pieces, **how) for pieces in (data.valid, data.test))
    row = {
        "data": settings.data.source,
        "model": settings.model.name,
        "config": path.name,
        "seeds": list(seeds),
        "test": {"micro": test.mean, "standard_error": test.standard_error, "settings": test.settings},
        "valid": valid.mean,
        "members_valid": own,
        "frames": sum(map(len, data.test)),
        "parameters": sum(engine.to_numpy(p).size for p in mixed.params),
        "training_minutes": round(sum(_seconds(one.folder) for one in trained) / 60, 1),
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
    }
    place = path.parent / "mixtures" / f"{path.stem}.json"
    place.parent.mkdir(exist_ok=True)
    with atomic(place) as temporary:
        temporary.write_text(to_json(row), encoding="utf-8")
    return row


def _seconds(folder: Path) -> float:
    """Seconds of training; a checkpoint that is kept no longer knows them, but the row of the table does."""
    stored_row = folder.parent.parent / "results" / f"{folder.name}.json"
    if folder.parent.name == "checkpoints" and stored_row.exists():
        return 60 * float(json.loads(stored_row.read_text(encoding="utf-8"))["training_minutes"])
    return State.load(folder / "checkpoint.npz")[0].seconds


def stored(table: Path) -> list[dict[str, Any]]:
    """Return the results of all mixtures of a table."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(table.glob("mixtures/*.json"))]
