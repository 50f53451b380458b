"""A table of results from committed configurations: train and score each.

A table is a folder with one configuration for each row, ``DATA-MODEL.toml``. Results are stored next to the
configurations: in ``results/`` the settings, epochs and scores of each row, and in ``checkpoints/`` the parameters of
RNN-RBMs and RNN-NADEs, as run folders that can be evaluated and sampled. :mod:`benchmarks.table1.page` writes the
report, from the results only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rnnrbm import datasets
from rnnrbm.backend import engine
from rnnrbm.experiment import config, run
from rnnrbm.experiment.config import Config
from rnnrbm.experiment.evaluation import evaluate, fingerprint, score
from rnnrbm.experiment.run_folder import machine
from rnnrbm.files import atomic, to_json
from rnnrbm.models.registry import MODELS
from rnnrbm.progress import Progress, silent
from rnnrbm.scoring.likelihood import Evaluator, usable_states
from rnnrbm.training.fit import State

__all__ = ["DATA", "N_VALID_FRAMES", "PUBLISHED", "finished", "make_row", "place", "rows"]

#: Test log-likelihood (nats per frame) and accuracy (percent), Boulanger-Lewandowski et al. 2012, table 1, on the four
#: sets in the order of DATA; names with "(HF)" are the paper's models with Hessian-free training.
PUBLISHED: dict[str, tuple[tuple[float, float], ...]] = {
    "rbm": ((-10.17, 5.63), (-5.25, 5.81), (-9.56, 8.19), (-7.43, 4.47)),
    "nade": ((-10.28, 5.82), (-5.48, 22.67), (-10.06, 7.65), (-7.19, 17.88)),
    "mlp": ((-8.13, 20.29), (-4.38, 63.46), (-7.94, 25.68), (-8.70, 30.41)),
    "rnn": ((-8.37, 19.33), (-4.46, 62.93), (-8.13, 23.25), (-8.71, 28.46)),
    "rtrbm": ((-7.36, 22.99), (-2.62, 75.01), (-6.35, 30.85), (-6.35, 30.17)),
    "rnn-rbm": ((-7.09, 28.92), (-2.39, 75.40), (-6.01, 34.02), (-6.27, 33.12)),
    "rnn-nade": ((-7.48, 20.69), (-2.91, 64.95), (-6.74, 24.91), (-5.83, 32.11)),
    "rnn-nade (HF)": ((-7.05, 23.42), (-2.31, 71.50), (-5.60, 32.60), (-5.56, 32.50)),
}
DATA = ("piano-midi", "nottingham", "musedata", "jsb")

#: Models whose parameters are kept.
KEPT = ("rnn-rbm", "rnn-nade")

#: Number of valid frames to score, the same for all models, and of test frames for RAISE, next to AIS of all frames.
N_VALID_FRAMES = N_BRACKET_FRAMES = 5000
N_VALID_CHAINS = 20  # at most, since valid only ranks the models and should not take as long as test


def rows(table: Path, data: str | None = None, model: str | None = None) -> Iterator[tuple[Path, Config]]:
    """Yield the configurations of a table, or those of one data set or model.

    Raises
    ------
    FileNotFoundError
        If there is no table in the folder.
    ValueError
        If it has no such data set or model.
    ConfigError
        If a configuration cannot be used.
    """
    found = [(path, config.read(path)) for path in sorted(table.glob("*.toml"))]
    if not found:
        raise FileNotFoundError(f"{table}: no table there (no .toml files); run this in a clone of the repository")
    chosen = [
        (path, settings)
        for path, settings in found
        if data in (None, settings.data.source) and model in (None, settings.model.name)
    ]
    if not chosen:
        names = ", ".join(path.stem for path, _ in found)
        raise ValueError(f"{table} has no row for {' and '.join(filter(None, (data, model)))}; it has {names}")
    yield from sorted(chosen, key=lambda row: place(row[1].data.source, row[1].model.name))


def place(data: str, model: str) -> tuple[int, int]:
    """Position of a row in the report."""
    return [*DATA, data].index(data), [*MODELS, model].index(model)


def make_row(
    path: Path,
    settings: Config,
    folder: Path,
    *,
    again: bool = False,
    mode: Any = None,
    stop: Callable[[], bool] | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train and score one row, resuming earlier work on it; return a finished row as it is.

    Parameters
    ----------
    path : pathlib.Path
        The configuration.
    settings : Config
        Contents of the configuration.
    folder : pathlib.Path
        Run folder. A run with other settings in it is an error; it is not replaced.
    again : bool
        Make the result again, even if it is stored.
    mode, stop, progress
        As for :func:`rnnrbm.experiment.run.train`.

    Returns
    -------
    dict
        Contents of ``results/NAME.json`` next to the configuration.

    Raises
    ------
    ValueError
        If `folder` holds a run of other settings.
    Interrupted
        If `stop` returned True.
    """
    # settings are chosen on valid; test is scored once, here
    wanted = _wanted(settings)
    if not again and (row := finished(path, settings)):
        return row
    saved = _saved(path)
    there = (folder / "config.toml").exists()
    if there and not _trained_alike(run.resolved(config.read(folder / "config.toml")), wanted):
        raise ValueError(f"{folder}: holds a run of other settings than {path}; move it away, or choose another folder")
    if not (folder / "results.json").exists():
        run.train(None if there else wanted, folder, resume=there, mode=mode, stop=stop, progress=progress)
    trained, data = run.load(folder), run.load_data(wanted.data)
    chosen = settings.evaluation
    scored = evaluate(
        trained,
        data,
        n_chains=chosen.n_chains,
        n_temperatures=chosen.n_temperatures,
        n_exact_states=chosen.n_exact_states,
        n_bracket_frames=N_BRACKET_FRAMES,
        seed=settings.training.seed,
        mode=mode,
        stop=stop,
        progress=progress,
    )
    state, _ = State.load(folder / "checkpoint.npz")
    sides = {"ll": scored["log_likelihood"], "raise": scored.get("raise")}
    fields = ("micro", "standard_error", "bias", "macro", "settings", "diagnostics")
    row = {
        "data": wanted.data.source,
        "model": wanted.model.name,
        "config": path.name,
        "settings": _mark(wanted),
        "test": {side: {key: values[key] for key in fields} for side, values in sides.items() if values},
        "frames": scored["frames"],
        "accuracy": {key: scored["prediction"][key] for key in ("frame", "bay", "how")},
        "valid": _score_valid(trained, data, wanted, mode, stop, progress),
        "best_epoch": state.best_epoch,
        "epochs": state.epoch,
        "seed": wanted.training.seed,
        "parameters": sum(engine.to_numpy(p).size for p in trained.model.params),
        "training_minutes": round(state.seconds / 60, 1),
        "scoring_minutes": round(scored["seconds"] / 60, 1),
        "machine": machine(),
        "engine": engine.describe(mode),
        "date": time.strftime("%Y-%m-%d"),
    }
    saved.parent.mkdir(exist_ok=True)
    if (folder / "metrics.csv").exists():
        shutil.copyfile(folder / "metrics.csv", saved.with_suffix(".csv"))
    with atomic(saved) as temporary:
        temporary.write_text(to_json(row), encoding="utf-8")
    if row["model"] in KEPT:
        _keep_run(folder, path.parent / "checkpoints" / path.stem)
    return row


def finished(path: Path, settings: Config) -> dict[str, Any] | None:
    """Return the stored row of a configuration, if it exists and was made with the same settings."""
    if not (saved := _saved(path)).exists():
        return None
    row: dict[str, Any] = json.loads(saved.read_text(encoding="utf-8"))
    return row if row.get("settings") == _mark(_wanted(settings)) else None


def _saved(path: Path) -> Path:
    return path.parent / "results" / f"{path.stem}.json"


def _wanted(settings: Config) -> Config:
    return run.resolved(settings.replaced({"evaluation.test": False}))


def _mark(wanted: Config) -> str:
    # Settings that are off are omitted, so that a row stays valid when the library gets new settings. Those of samples
    # are omitted too, since they change no score.
    kept = wanted.model_dump().items()
    tables = {table: {key: x for key, x in settings.items() if x} for table, settings in kept if table != "generation"}
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()


def _trained_alike(run_settings: Config, wanted: Config) -> bool:
    """Whether two configurations differ at most in how they score and sample."""
    return all(getattr(run_settings, table) == getattr(wanted, table) for table in ("data", "model", "training"))


def _score_valid(
    trained: run.Run,
    data: datasets.Dataset,
    settings: Config,
    mode: Any,
    stop: Callable[[], bool] | None,
    progress: Progress,
) -> float | None:
    """Valid log-likelihood of the saved parameters, on the same frames for all models, by a long AIS.

    Training chose the epoch by a shorter AIS, and its score is the highest of many.
    """
    if not data.valid:
        return None
    evaluator = Evaluator(
        trained.model,
        n_chains=min(N_VALID_CHAINS, settings.evaluation.n_chains),
        n_temperatures=settings.evaluation.n_temperatures,
        exact_states=usable_states(trained.model, data.train, settings.evaluation.n_exact_states),
        mode=mode,
    )
    seed = settings.training.seed
    mark = fingerprint(evaluator, data.valid, seed, N_VALID_FRAMES)
    return score(
        evaluator,
        data.valid,
        seed=seed,
        frames=N_VALID_FRAMES,
        partial=trained.folder / "evaluations" / f"valid-{mark[:8]}.npz",
        stop=stop,
        progress=lambda _, done, total, row: progress("valid", done, total, row),
    ).mean


def _keep_run(folder: Path, place: Path) -> None:
    """Keep the parameters and the settings of a run, without what was true of its folder and its machine only."""
    place.mkdir(parents=True, exist_ok=True)
    keep(folder, place / "checkpoint.npz")
    facts = config.facts_of_run(folder / "config.toml")
    facts = {key: value for key, value in facts.items() if key not in ("started_in", "platform")}
    config.write(place / "config.toml", config.read(folder / "config.toml"), run=facts)


def keep(folder: Path, path: Path) -> None:
    """Write the checkpoint of a run without the state of its training, which is three times as large."""
    state, meta = State.load(folder / "checkpoint.npz")
    State(epoch=state.epoch, best_epoch=state.best_epoch, best_ll=state.best_ll, finished=True, best=state.best).save(
        path, meta
    )
