"""A run: a folder that holds an experiment from its settings to its samples.

config.toml       the settings, resolved, with versions and seed
metrics.csv       one row for each epoch
checkpoint.npz    everything needed to go on, and the best parameters
results.json      test log-likelihood, baselines, statistics of the samples
figures/*.png     learning curves, filters, samples beside the data
samples/*         MIDI, WAV and PNG of each sample
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import rnnrbm
from rnnrbm import cells, datasets, networks
from rnnrbm.backend import engine
from rnnrbm.backend.progress import Progress, silent
from rnnrbm.experiment import config
from rnnrbm.experiment.config import Config
from rnnrbm.experiment.run_folder import clear, free_folder, prepare, write_metrics
from rnnrbm.files import atomic, to_json
from rnnrbm.io.midi_folder import SPLITS
from rnnrbm.models import registry
from rnnrbm.scoring import baselines, metrics
from rnnrbm.sequence import SequenceModel
from rnnrbm.training import checkpoint, pretraining
from rnnrbm.training.fit import Diverged, State, fit
from rnnrbm.training.packing import transposed

__all__ = [
    "Interrupted",
    "Run",
    "build_model",
    "free_folder",
    "load",
    "load_data",
    "resolved",
    "train",
    "write_samples",
]

SIZES = ("n_hidden", "n_recurrent", "window", "reach")  # of models

KEYS = (-5, 6)  # by so many semitones pieces of notes are transposed, if nothing else is said

SAVE_EVERY = 10.0  # seconds of training between checkpoints, at the ends of epochs


class Interrupted(Exception):
    """Training was asked to stop; the checkpoint holds its place."""


@dataclass(frozen=True)
class Run:
    """A trained run, read back.

    Attributes
    ----------
    folder : pathlib.Path
    config : Config
    model : SequenceModel
        With the best parameters.
    low : int or None
        MIDI note of column 0.
    steps_per_beat, seconds_per_frame : float or None
        The grid of the frames.
    best_epoch : int
        Epoch of the parameters.
    """

    folder: Path
    config: Config
    model: SequenceModel
    low: int | None
    steps_per_beat: float | None
    seconds_per_frame: float | None
    best_epoch: int

    @property
    def grid(self) -> dict[str, Any]:
        """What reading and writing MIDI ask for: ``steps_per_beat`` (2 if not known) or ``seconds_per_frame``."""
        if self.seconds_per_frame is not None:
            return {"seconds_per_frame": self.seconds_per_frame}
        return {"steps_per_beat": int(self.steps_per_beat or 2)}

    @property
    def reading(self) -> dict[str, Any]:
        """What reading MIDI asks for to give frames like those of training: the grid, the drums, the notes if known."""
        options = {**self.grid, "drums": bool(self.config.data.drums)}
        if self.low is not None:
            options |= {"low": self.low, "high": self.low + self.model.n_visible - 1}
        return options


def build_model(settings: config.Model, n_visible: int, *, seed: int, b_v: np.ndarray | float = 0.0) -> SequenceModel:
    """Make the model a configuration asks for.

    Raises
    ------
    ConfigError
        If something is set that this model does not have.
    """
    rng = np.random.default_rng(seed)
    return registry.build(settings.name, n_visible, rng=rng, b_v=b_v, **_model_options(settings))


def _model_options(settings: config.Model, *, strict: bool = False) -> dict[str, Any]:
    """The options that a model has, its own or chosen.

    With `strict`, of others only a size may have been chosen, so that one file serves all models. What a run has
    written down of options that its model does not have is passed over.
    """
    options = settings.model_dump(exclude={"name"}, exclude_none=True)
    tables = {
        "cell": cells.CELLS,
        "connections": networks.CONNECTIONS,
        "visible": registry.UNITS,
        "hidden": registry.UNITS,
    }
    for name, table in ({"name": registry.MODELS} | tables).items():
        if name == "name" or name in options:
            config.check_name(f"model.{name}", getattr(settings, name).partition(":")[0], table)
    known = registry.options_of(settings.name)
    if strict and (wrong := [name for name in options if name not in known and name not in SIZES]):
        raise config.ConfigError(
            f"model.{wrong[0]} cannot be chosen for {settings.name}, which has {', '.join(sorted(known))}; leave it out"
        )
    return known | {name: value for name, value in options.items() if name in known}


def _versions(mode: Any) -> dict[str, str]:
    return {
        "rnnrbm": rnnrbm.__version__,
        "python": platform.python_version(),
        "engine": engine.describe(mode),
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def train(
    settings: Config | None,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    mode: Any = None,
    stop: Callable[[], bool] | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Run an experiment: train, score on the test set, sample, draw.

    Parameters
    ----------
    settings : Config or None
        None stands for the defaults; with `resume` the run's own are used.
    folder : path-like
        Made if absent.
    resume : bool
        Go on with the run in `folder`.
    overwrite : bool
        Replace a run in `folder`: delete what it and its evaluations wrote. Other files there are left alone.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    stop : callable or None
        Asked after every batch, and now and then while the model is scored; if it answers True, the place is saved and
        :class:`Interrupted` raised.
    progress : callable
        See :data:`rnnrbm.backend.progress.Progress`. Stages are note, pretrain density, pretrain network, train, batch,
        ais or exact, sample, draw.

    Returns
    -------
    dict
        What ``results.json`` holds.

    Raises
    ------
    FileExistsError, FileNotFoundError
        If the folder holds a run and neither `resume` nor `overwrite` is given, or none and `resume` is.
    ValueError
        If both are given, or settings or data cannot be used.
    Interrupted
        If `stop` answered True.
    """
    folder = Path(folder)
    engine.resolve_mode(mode)
    if settings is not None:
        _model_options(settings.model, strict=True)
    settings = prepare(folder, settings, resume=resume, overwrite=overwrite)
    data = load_data(settings.data)
    settings = resolved(settings, notes=data.low is not None)
    if not resume:  # only now, when there is something to put in its place
        clear(folder)
    saved = folder / "checkpoint.npz"
    state, meta = State.load(saved) if resume and saved.exists() else (State(), {})
    if meta and meta["n_visible"] != data.n_visible:
        raise checkpoint.CheckpointError(
            f"{saved}: was trained on {meta['n_visible']} visible units, {settings.data.source} has {data.n_visible}"
        )
    meta = {
        "config": settings.model_dump(),
        "n_visible": data.n_visible,
        "low": data.low,
        "steps_per_beat": data.steps_per_beat,
        "seconds_per_frame": data.seconds_per_frame,
    }
    if not resume:
        config.write(folder / "config.toml", settings, run={**_versions(mode), "data": _facts(data)})
    progress("note", 0, 0, {"text": f"run folder: {folder}\n{data}"})
    if state.finished:
        best = f", best valid log-likelihood {state.best_ll:.3f} in epoch {state.best_epoch}"
        best = best if np.isfinite(state.best_ll) else ""
        text = f"training is finished (epoch {state.epoch}{best}); only scoring, sampling and drawing are done again"
        progress("note", 0, 0, {"text": text})

    odds = baselines.NoteUnigram.fit(data.train).log_odds
    model = build_model(settings.model, data.n_visible, seed=settings.training.seed, b_v=odds)
    for stage in pretraining.stages(model, settings.training):  # the last of which is the model
        if stage.model is not model and not saved.exists():
            _pretrain(stage, data, folder, mode, stop, progress)
    epochs = stage.settings.epochs
    since = state.seconds
    progress("train", state.epoch, epochs, state.rows[-1] if state.rows else None)
    rows = fit(
        model,
        data.train,
        data.valid,
        stage.settings,
        state=state,
        stop=stop,
        progress=progress,
        mode=mode,
    )
    try:
        for row in rows:
            if state.finished or state.seconds - since >= SAVE_EVERY:
                state.save(saved, meta)
                write_metrics(folder / "metrics.csv", state.rows)
                since = state.seconds
            progress("train", state.epoch, epochs, row)
    except Diverged as error:
        kept = f"the last good checkpoint is in {folder}" if saved.exists() else "no checkpoint had been saved yet"
        raise Diverged(f"{error}; {kept}") from None
    if not state.finished:
        state.save(saved, meta)
        write_metrics(folder / "metrics.csv", state.rows)
        raise Interrupted(f"stopped in epoch {state.epoch + 1}; everything is saved in {folder}")
    if not saved.exists():  # no epoch at all was asked for
        state.best = {p.name: engine.to_numpy(p) for p in model.params}
        state.save(saved, meta)
    state.restore_best(model)

    def progress_or_stop(stage: str, done: int, total: int, row: dict[str, Any] | None) -> None:
        if stop is not None and stop():
            raise Interrupted(f"stopped after training, which is finished and saved in {folder}")
        progress(stage, done, total, row)

    return _finish(folder, settings, data, model, state, mode, progress_or_stop)


def _pretrain(
    stage: pretraining.Stage,
    data: datasets.Dataset,
    folder: Path,
    mode: Any,
    stop: Callable[[], bool] | None,
    progress: Progress,
) -> None:
    """Train a part of the model first; interrupted, that begins anew."""
    state = State()
    progress(f"pretrain {stage.name}", 0, stage.settings.epochs, None)
    for row in fit(stage.model, data.train, None, stage.settings, state=state, stop=stop, mode=mode):
        progress(f"pretrain {stage.name}", state.epoch, stage.settings.epochs, row)
    if not state.finished:
        raise Interrupted(f"stopped while the {stage.name} was trained first; {folder} begins with that again")


def load_data(settings: config.Data) -> datasets.Dataset:
    """Load what the configuration names, with all options that are set; one that a source does not have is refused."""
    return datasets.load(settings.source, **_options(settings))


def _options(settings: config.Data) -> dict[str, Any]:
    """The options that are set, by their names in :func:`rnnrbm.datasets.load`."""
    options = settings.model_dump(exclude={"source"}, exclude_none=True)
    return options


def resolved(settings: Config, *, notes: bool = True) -> Config:
    """Return the settings with what was chosen for the user of data and model, so that later defaults change no run.

    A size that the model does not have is left out. Where columns are `notes`, pieces are transposed.
    """
    options = datasets.resolved(settings.data.source, **_options(settings.data))
    chosen = {f"data.{k}": v for k, v in options.items()}
    own = _model_options(settings.model)
    if settings.training.transpose_range is None:
        chosen["training.transpose_range"] = KEYS if notes else (0, 0)
    return settings.replaced(chosen | {f"model.{k}": own.get(k) for k in {*own, *SIZES}})


def _facts(data: datasets.Dataset) -> dict[str, Any]:
    """What was read: sizes, and what columns and frames are as far as that is known."""
    facts = {
        "columns": data.n_visible,
        "low": data.low,
        "steps_per_beat": data.steps_per_beat,
        "seconds_per_frame": data.seconds_per_frame,
        "pieces": {split: len(getattr(data, split)) for split in SPLITS},
        "frames": {split: sum(map(len, getattr(data, split))) for split in SPLITS},
    }
    return {name: value for name, value in facts.items() if value is not None}


def _finish(
    folder: Path,
    settings: Config,
    data: datasets.Dataset,
    model: SequenceModel,
    state: State,
    mode: Any,
    progress: Progress,
) -> dict[str, Any]:
    """Score, sample and draw."""
    from rnnrbm.sampling import generate
    from rnnrbm.scoring.likelihood import log_likelihood, usable_states

    evaluation, generation = settings.evaluation, settings.generation
    states = usable_states(model, data.train, max(evaluation.n_exact_states, generation.n_init_states))
    scored = None
    if settings.evaluation.test:
        scored = log_likelihood(
            model,
            data.test,
            n_chains=settings.evaluation.n_chains,
            n_temperatures=settings.evaluation.n_temperatures,
            exact_states=_at_most(states, evaluation.n_exact_states),
            seed=settings.training.seed,
            mode=mode,
            progress=progress,
        )
    progress("sample", 0, settings.generation.n_samples, None)
    samples = generate(
        model,
        settings.generation.n_frames,
        n_samples=settings.generation.n_samples,
        k=settings.generation.k,
        seed=settings.training.seed,
        init_states=_at_most(states, generation.n_init_states),
        mode=mode,
    ).astype(np.uint8)
    run = Run(folder, settings, model, data.low, data.steps_per_beat, data.seconds_per_frame, state.best_epoch)
    (folder / "samples").mkdir(exist_ok=True)
    files = write_samples(run, list(samples), folder / "samples", progress=progress)
    results: dict[str, Any] = {
        "model": settings.model.name,
        "data": settings.data.source,
        "test_ll": scored.mean if scored else None,
        "test_se": scored.standard_error if scored else None,
        "method": scored.settings if scored else None,
        "test_frames": int(sum(len(p) for p in data.test)),
        "best_epoch": state.best_epoch,
        "best_valid_ll": state.best_ll if np.isfinite(state.best_ll) else None,
        "epochs": state.epoch,
        "training_seconds": round(state.seconds, 1),
        "baselines": {
            name: baseline.log_likelihood(data.test)
            for name, baseline in (
                ("note 1-gram", baselines.NoteUnigram.fit(data.train)),
                ("1-gram (Gaussian)", baselines.ChordGaussian.fit(data.train, data.valid)),
                ("previous frame, fitted", baselines.NoteCopy.fit(data.train)),
            )
        },
        "statistics": {
            name: {
                "notes_per_frame": float(metrics.notes_per_frame(pieces).mean()),
                "repeated_frame_rate": metrics.repeated_frame_rate(pieces),
            }
            for name, pieces in (("samples", list(samples)), ("train", data.train))
        },
        "samples": [str(f.relative_to(folder)) for f in files],
    }
    if datasets.is_folder(settings.data.source):  # else they do not depend on settings and files that may change
        results["pieces"] = {split: data.names[split] for split in SPLITS}
    with atomic(folder / "results.json") as temporary:
        temporary.write_text(to_json(results), encoding="utf-8")
    progress("draw", 0, 1, None)
    _draw(run, samples, data, state)
    progress("draw", 1, 1, None)
    return results


def _at_most(frames: np.ndarray | None, n: int) -> np.ndarray | None:
    return None if frames is None or n == 0 else frames[:n]


def _draw(run: Run, samples: np.ndarray, data: datasets.Dataset, state: State) -> None:
    from rnnrbm.experiment import plot

    figures = run.folder / "figures"
    figures.mkdir(exist_ok=True)
    if state.rows:
        columns = {name: [row[name] for row in state.rows] for name in state.rows[0]}
        plot.save(plot.learning_curves(columns), figures / "learning_curves.png")
    W = engine.to_numpy(getattr(run.model.density, "W", np.empty((0, 0))))
    if len(W) == data.n_visible:  # those of tied weights have rows for distances, not for notes
        plot.save(plot.filters(W, low=data.low), figures / "filters.png")
    low = 0 if data.low is None else data.low
    title = f"A sample ({run.config.model.name.upper()} trained on {data.name})"
    roll = plot.piano_roll(samples[0], low=low, steps_per_beat=int(data.steps_per_beat or 0) or None, title=title)
    plot.save(roll, figures / "sample.png")
    # training transposes, so samples come in other keys, and are compared with pieces that do, as many as in the end
    training = run.config.training
    keys, share = training.shifts, training.transpose_prob_at(training.epochs)
    train = transposed(data.train, keys, transpose_prob=share) if any(keys) and share else data.train
    name = "training set, transposed as in training" if any(keys) and share else "training set"
    plot.save(plot.statistics(list(samples), train, low=low, data_name=name), figures / "statistics.png")


def write_samples(
    run: Run,
    samples: Sequence[np.ndarray],
    folder: Path,
    *,
    name: str = "sample",
    primed: int = 0,
    sound: bool = True,
    progress: Progress = silent,
) -> list[Path]:
    """Write each sample as MIDI, WAV and PNG; only the picture if the columns are no MIDI notes.

    Parameters
    ----------
    run : Run
    samples : sequence of arrays (T, n_visible)
    folder : pathlib.Path
        Must exist.
    name : str
        Files are called ``{name}-1.mid`` and so on.
    primed : int
        Frames at the beginning of each that were given; the picture shows where they end.
    sound : bool
        Write the WAV files, which are large.
    progress : callable
        Called with the stage "sample" after each.

    Returns
    -------
    list of pathlib.Path
        The files.
    """
    from rnnrbm.experiment import plot
    from rnnrbm.io import midi, wav

    files = []
    grid = run.grid
    for i, roll in enumerate(samples, 1):
        mid, heard, png = (folder / f"{name}-{i}.{kind}" for kind in ("mid", "wav", "png"))  # the name may have a dot
        if run.low is not None:
            options = {"low": run.low, "tempo": run.config.generation.tempo, **grid}
            midi.write(mid, roll, **options)
            files.append(mid)
            if sound:
                wav.write_wav(heard, roll, **options)
                files.append(heard)
        low, per_beat = run.low or 0, grid.get("steps_per_beat")
        drawn = plot.piano_roll(roll, low=low, steps_per_beat=per_beat, title=png.stem, primed=primed)
        plot.save(drawn, png)
        files.append(png)
        progress("sample", i, len(samples), None)
    return files


def load(folder: str | os.PathLike[str]) -> Run:
    """Read a run back: its settings, and its model with the best parameters.

    Raises
    ------
    FileNotFoundError
        If there is no checkpoint in the folder.
    FileExistsError
        If it is a file.
    CheckpointError
        If it cannot be read or belongs to another model.
    """
    folder = Path(folder)
    if folder.is_file():
        raise FileExistsError(
            f"{folder}: is a file; give the folder that 'rnnrbm train' wrote, such as {folder.parent}"
        )
    path = folder / "checkpoint.npz"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; give the folder that 'rnnrbm train' wrote")
    state, meta = State.load(path)
    settings = Config.from_dict(meta["config"], where=str(path))
    model = build_model(settings.model, meta["n_visible"], seed=settings.training.seed)
    if not state.best:
        raise checkpoint.CheckpointError(f"{path}: training has not come to its first validation; resume it")
    checkpoint.assign({p.name: p for p in model.params}, state.best, where=str(path))
    grid = (meta["low"], meta["steps_per_beat"], meta["seconds_per_frame"])
    return Run(folder, settings, model, *grid, state.best_epoch)
