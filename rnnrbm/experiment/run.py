"""A run: a folder that holds an experiment from its settings to its samples.

config.toml       the settings, resolved, with versions and seed
metrics.csv       one row for each epoch
checkpoint.npz    everything needed to resume, and the best parameters
results.json      test log-likelihood, baselines, statistics of the samples
figures/*.png     learning curves, filters, samples beside the data
samples/*         each sample in files of its kind (MIDI and WAV, or .npy), and its picture
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm import checkpoint, datasets
from rnnrbm.backend import engine
from rnnrbm.datasets import SPLITS
from rnnrbm.experiment.artifacts import Run, draw, load, write_samples
from rnnrbm.experiment.config import Config
from rnnrbm.experiment.resume import extended, resumed
from rnnrbm.experiment.run_folder import (
    begin,
    finish_clearing,
    free_folder,
    locked,
    prepare,
    replaces,
    sweep,
    write_metrics,
)
from rnnrbm.experiment.setup import (
    build_model,
    comparable,
    facts,
    load_data,
    model_options,
    resolved,
    versions,
)
from rnnrbm.experiment.start import check_start, inherited, start_from
from rnnrbm.files import atomic, to_json
from rnnrbm.kinds.registry import to_record
from rnnrbm.progress import Progress, silent
from rnnrbm.sequence import SequenceModel
from rnnrbm.state_encoder import check_pieces
from rnnrbm.training import pretraining
from rnnrbm.training.fit import Diverged, State, fit
from rnnrbm.training.trainable import suitable_settings

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

SAVE_EVERY = 10.0  # seconds of training between checkpoints, at the ends of epochs


class Interrupted(Exception):
    """Training stopped before its end; the checkpoint holds its place."""


def train(
    settings: Config | None,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    changes: Mapping[str, Any] | None = None,
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
        Resume the run in `folder`.
    overwrite : bool
        Replace a run in `folder`: delete what it and its evaluations wrote. Other files there are left alone.
    changes : mapping or None
        With `resume`, new values of :data:`rnnrbm.experiment.resume.EXTENDABLE` settings: ``{"training.epochs": 200}``.
        A finished run with more epochs than before trains on. Its schedules are then those of all these epochs, so
        the learning rate rises first.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    stop : callable or None
        Called after every batch, and now and then while the model is scored. If it returns True, the place is saved and
        :class:`Interrupted` is raised.
    progress : callable
        See :data:`rnnrbm.progress.Progress`. Stages are note, read, pretrain density, pretrain network, train, batch,
        ais or exact, sample, write, draw.

    Returns
    -------
    dict
        The contents of ``results.json``.

    Raises
    ------
    FileExistsError, FileNotFoundError
        If the folder holds a run and neither `resume` nor `overwrite` is given, or none and `resume` is.
    ValueError
        If both are given, or settings or data cannot be used.
    Interrupted
        If `stop` returned True.
    """
    folder = Path(folder)
    engine.resolve_mode(mode)
    if settings is not None:
        model_options(settings.model, strict=True)
    settings = extended(prepare(folder, settings, resume=resume, overwrite=overwrite), changes or {}, resume=resume)
    start = None
    trained = resume and (folder / "checkpoint.npz").exists() and not replaces(folder)
    if settings.model.init and not trained:  # else its parameters have been used
        start = start_from(settings.model.init)
        if overwrite and folder.resolve() in (start.path.resolve(), start.path.resolve().parent):
            raise ValueError(
                f"{start.path}: the new run would replace the model that it starts from; choose another folder by --out"
            )
        settings = inherited(settings, start)
    data = load_data(settings.data, progress)
    for split in SPLITS:
        if not getattr(data, split) and (split != "test" or settings.evaluation.test):
            hint = "; or set evaluation.test = false" if split == "test" else ""
            raise ValueError(f"{settings.data.source}: {split} holds no piece; expected at least one{hint}")
    settings = resolved(settings, data)
    if start is not None:
        check_start(start, data)
    model = build_model(settings.model, data.n_visible, seed=settings.training.seed)
    if start is not None:
        checkpoint.assign({p.name: p for p in model.params}, start.arrays, where=str(start.path))
    for split in SPLITS:
        if pieces := getattr(data, split):
            check_pieces(pieces, model.density, name=f"{settings.data.source}: {split} piece")
    suitable_settings(
        model, settings.training.without_pretraining(), single_frames=False, n_frames=sum(map(len, data.train))
    )
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        prepare(folder, settings, resume=resume, overwrite=overwrite)  # another run may have come first
        sweep(folder)
        meta = {"config": settings.model_dump(), "n_visible": data.n_visible, "kind": to_record(data.kind)}
        about: dict[str, Any] = {"data": facts(data)}
        meta["data"] = about["data"]["sha256"]
        if start is not None:
            meta["init"] = start.fingerprint
            about["init"] = {"sha256": start.fingerprint}
            progress("note", 0, 0, {"text": f"taken over: {start}; the optimiser and the schedules begin anew"})
        if resume:
            finish_clearing(folder, settings)
            state = resumed(folder, settings, meta, progress)
        else:  # only now, when nothing can stop the run that replaces it
            begin(folder, settings, versions(mode) | about)
            state = State()
        return _train(folder, settings, data, model, state, meta, mode, stop, progress)


def _train(
    folder: Path,
    settings: Config,
    data: datasets.Dataset,
    model: SequenceModel,
    state: State,
    meta: dict[str, Any],
    mode: Any,
    stop: Callable[[], bool] | None,
    progress: Progress,
) -> dict[str, Any]:
    """Train, score, sample and draw, from where the state stands."""
    saved = folder / "checkpoint.npz"
    progress("note", 0, 0, {"text": f"run folder: {folder}\n{data}"})
    if state.finished:
        best = f", best valid log-likelihood {state.best_ll:.3f} in epoch {state.best_epoch}"
        best = best if np.isfinite(state.best_ll) else ""
        text = f"training is finished (epoch {state.epoch}{best}); only scoring, sampling and drawing are done again"
        progress("note", 0, 0, {"text": text})

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
        advice = f"the last good checkpoint is in {folder}" if saved.exists() else "no checkpoint had been saved yet"
        raise Diverged(f"{error}; {advice}") from None
    if not state.finished:
        state.save(saved, meta)
        write_metrics(folder / "metrics.csv", state.rows)
        raise Interrupted(f"stopped in epoch {state.epoch + 1}; everything is saved in {folder}")
    if not saved.exists():  # the settings have no epoch
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
    """Train a part of the model first. After an interruption, this part begins anew."""
    state = State()
    progress(f"pretrain {stage.name}", 0, stage.settings.epochs, None)
    for row in fit(stage.model, data.train, None, stage.settings, state=state, stop=stop, mode=mode):
        progress(f"pretrain {stage.name}", state.epoch, stage.settings.epochs, row)
    if not state.finished:
        raise Interrupted(f"stopped while the {stage.name} was trained first; {folder} begins with that again")


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
    sampled = generate(
        model,
        settings.generation.n_frames,
        n_samples=settings.generation.n_samples,
        k=settings.generation.k,
        seed=settings.training.seed,
        init_states=_at_most(states, generation.n_init_states),
        mode=mode,
        progress=progress,
    )
    kind = data.kind
    run = Run(folder, settings, model, kind, state.best_epoch)
    samples = list(kind.from_samples(sampled))
    (folder / "samples").mkdir(exist_ok=True)
    files = write_samples(run, samples, folder / "samples", progress=progress)
    results: dict[str, Any] = {
        "model": settings.model.name,
        "data": data.name,
        "test_ll": scored.mean if scored else None,
        "test_se": scored.standard_error if scored else None,
        "method": scored.settings if scored else None,
        "test_frames": int(sum(len(p) for p in data.test)),
        "best_epoch": state.best_epoch,
        "best_valid_ll": state.best_ll if np.isfinite(state.best_ll) else None,
        "epochs": state.epoch,
        "training_seconds": round(state.seconds, 1),
        "baselines": kind.baselines(data.train, data.valid, data.test) if comparable(kind, model) else {},
        "statistics": {"samples": kind.statistics(samples), "train": kind.statistics(data.train)},
        "samples": [str(f.relative_to(folder)) for f in files],
    }
    if datasets.is_folder(settings.data.source):  # else they do not depend on settings and files that may change
        results["pieces"] = {split: data.names_of(split) for split in SPLITS}
    with atomic(folder / "results.json") as temporary:
        temporary.write_text(to_json(results), encoding="utf-8")
    progress("draw", 0, 1, None)
    draw(run, samples, data, state)
    progress("draw", 1, 1, None)
    return results


def _at_most(frames: np.ndarray | None, n: int) -> np.ndarray | None:
    return None if frames is None or n == 0 else frames[:n]
