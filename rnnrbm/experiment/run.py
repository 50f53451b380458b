"""A run: a folder that holds an experiment from its settings to its samples.

config.toml       the settings, resolved, with versions and seed
metrics.csv       one row for each epoch
checkpoint.npz    everything needed to resume, and the best parameters
pretraining.npz   instead, while a part of the model is trained first
results.json      test log-likelihood, baselines, statistics of the samples
figures/*.png     learning curves, filters, samples beside the data, reconstructions of images
tensorboard/*     event files, on demand
samples/*         each sample in files of its kind (MIDI and WAV, or .npy), and its picture
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm import checkpoint, datasets
from rnnrbm.backend import engine
from rnnrbm.datasets import SPLITS
from rnnrbm.experiment.artifacts import Run, check_primable, draw, draw_samples, load, starts_from_states, write_samples
from rnnrbm.experiment.config import Config, Evaluation
from rnnrbm.experiment.place import Part, Place
from rnnrbm.experiment.resume import extended, resumed
from rnnrbm.experiment.run_folder import (
    check_spared,
    finish_clearing,
    free_folder,
    locked,
    prepare,
    replaces,
    replacing,
    run_files,
    sweep,
)
from rnnrbm.experiment.setup import (
    bound_summary,
    build_model,
    check_end,
    comparable,
    facts,
    label_error,
    load_data,
    located,
    model_options,
    own_score,
    resolved,
    started_in,
    trained_as,
    versions,
)
from rnnrbm.experiment.start import check_model, inherited, start_from
from rnnrbm.files import atomic, make_folder, to_json
from rnnrbm.kinds.registry import to_record
from rnnrbm.progress import Progress, silent
from rnnrbm.scoring import drift
from rnnrbm.scoring.bounds import bound_settings, has_bound, lower_bound
from rnnrbm.sequence import SequenceModel
from rnnrbm.static import StaticModel
from rnnrbm.training import pretraining
from rnnrbm.training.fit import Diverged, State, fit
from rnnrbm.training.suitable import suitable_settings
from rnnrbm.training.trainable import as_trainable, checked_pieces

__all__ = [
    "Interrupted",
    "Run",
    "build_model",
    "check_primable",
    "draw_samples",
    "free_folder",
    "load",
    "load_data",
    "resolved",
    "starts_from_states",
    "train",
    "write_samples",
]

SAVE_EVERY = 10.0  # seconds of training between checkpoints, at the ends of epochs


class Interrupted(Exception):
    """Training stopped before its end; the checkpoint holds its place.

    Attributes
    ----------
    resumable : bool
        False if nothing was saved: the folder still holds the run that was to be replaced.
    """

    resumable = True


def train(
    settings: Config | None,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    changes: Mapping[str, Any] | None = None,
    record: Mapping[str, Any] | None = None,
    tensorboard: bool = False,
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
        Replace a run in `folder`: delete what it, its evaluations and ``rnnrbm generate`` wrote there, as soon as the
        new run has something to save. Other files are left alone.
    changes : mapping or None
        With `resume`, new values of settings that may change: ``{"training.epochs": 200}``. They are
        ``training.epochs``, ``training.patience``, and all of ``evaluation`` and ``generation``. A finished run with
        more epochs than before trains on. Its schedules are then those of all these epochs, so the learning rate rises
        first.
    record : mapping or None
        Of a new run: more facts for the table ``run`` of its ``config.toml``.
    tensorboard : bool
        Write event files, which TensorBoard shows. A run that is resumed goes on with those it has.
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
        Also if another process trains in the folder, or evaluates the run that is to be replaced.
    ValueError
        If both are given, or settings or data cannot be used.
    MemoryError
        If the model, the scores or the samples would take more memory than there is.
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
    home = folder if resume else None
    if settings.model.init and not trained:  # else its parameters have been used
        start = start_from(located(settings.model.init, home))
        if overwrite:
            check_spared(folder, start.path, "the model that it starts from")
        settings = inherited(settings, start)
    if datasets.is_path(settings.data.source):
        source = Path(settings.data.source)
        if overwrite:
            check_spared(folder, source, "its data")
        if not resume and source.is_dir() and source.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise ValueError(
                f"{folder}: is in the folder of the data, of which the samples of the run would become a part; choose "
                "another folder by --out"
            )
    data = load_data(settings.data, progress, home)
    for split in SPLITS:
        if not getattr(data, split) and (split != "test" or settings.evaluation.test):
            hint = "; or set evaluation.test = false" if split == "test" else ""
            raise ValueError(f"{settings.data.source}: {split} holds no piece; expected at least one{hint}")
    if not data.kind.is_sequence and "name" not in settings.model.model_fields_set:
        settings = settings.replaced({"model.name": "rbm"})  # the usual model reads a past, which images do not have
    settings = resolved(settings, data)
    if start is not None and start.run is not None:
        start.run.check_columns(data)
    model = build_model(settings.model, data.n_visible, seed=settings.training.seed)
    if start is not None:
        check_model(start, model)
        checkpoint.assign({p.name: p for p in model.params}, start.arrays, where=str(start.path))
    for split in SPLITS:
        if pieces := getattr(data, split):
            checked_pieces(model, pieces, name=f"{settings.data.source}: {split} piece")
    trained = trained_as(model, data.kind)
    suitable_settings(
        as_trainable(trained),
        settings.training.without_pretraining(),
        single_frames=not isinstance(trained, SequenceModel),
        n_frames=sum(map(len, data.train)),
    )
    check_end(settings, data, model)
    make_folder(folder, "the run")
    with ExitStack() as stack:
        stack.enter_context(locked(folder))
        prepare(folder, settings, resume=resume, overwrite=overwrite)  # another run may have come first
        sweep(folder)
        if overwrite and run_files(folder):
            stack.enter_context(replacing(folder))
        meta = {"config": settings.model_dump(), "n_visible": data.n_visible, "kind": to_record(data.kind)}
        about: dict[str, Any] = {"data": facts(data)}
        meta["data"] = about["data"]["sha256"]
        meta["levels"] = drift.ranges(level for piece in data.train for level in data.kind.levels([piece]))
        if (shifts := settings.data.shifts or 1) > 1:
            text = f"each piece of the training set is read {shifts} times, at other parts of the hop (data.shifts)"
            progress("note", 0, 0, {"text": text})
        if start is not None:
            meta["init"] = start.fingerprint
            about["init"] = {"sha256": start.fingerprint}
            progress("note", 0, 0, {"text": f"taken over: {start}; the optimiser and the schedules begin anew"})
            if start.run is not None and (caveat := start.run.kind.mismatch(data.kind).caveat):
                progress("note", 0, 0, {"text": f"{data.name} has {caveat} as the model was trained on"})
        state, part = State(), None
        if resume:
            finish_clearing(folder, settings)
            state, part = resumed(folder, settings, meta, progress)
            place = Place(folder, settings, meta, events=tensorboard)
            place.write_events(state)
        else:
            about |= versions(mode) | {"started_in": started_in(folder), **(record or {})}
            place = Place(folder, settings, meta, about, events=tensorboard)
        try:
            return _train(place, settings, data, model, state, part, mode, stop, progress)
        except KeyboardInterrupt:
            if not place.waits:
                raise
            interrupted = Interrupted(f"stopped before anything was saved; the run in {folder} is as it was")
            interrupted.resumable = False
            raise interrupted from None


def _train(
    place: Place,
    settings: Config,
    data: datasets.Dataset,
    model: SequenceModel | StaticModel,
    state: State,
    part: Part | None,
    mode: Any,
    stop: Callable[[], bool] | None,
    progress: Progress,
) -> dict[str, Any]:
    """Train, score, sample and draw, from where the state stands."""
    folder = place.folder
    progress("note", 0, 0, {"text": f"run folder: {folder}\n{data}"})
    if state.finished:
        what = "log-likelihood" if isinstance(model, SequenceModel) else "score"
        best = f", best valid {what} {state.best_ll:.3f} in epoch {state.best_epoch}"
        best = best if np.isfinite(state.best_ll) else ""
        text = f"training is finished (epoch {state.epoch}{best}); only scoring, sampling and drawing are done again"
        progress("note", 0, 0, {"text": text})

    if part is not None:
        assert isinstance(model, SequenceModel)
        part.restore(model)
    for stage in pretraining.stages(model, settings.training):  # the last of which is the model
        if stage.model is model or place.checkpoint or (part and stage.name != part.name):
            continue
        assert isinstance(model, SequenceModel)
        _pretrain(stage, data, place, model, part or Part(stage.name, State()), mode, stop, progress)
        part = None
    epochs = stage.settings.epochs
    since, since_epoch = state.seconds, state.epoch
    progress("train", state.epoch, epochs, state.rows[-1] if state.rows else None)
    rows = fit(
        trained_as(model, data.kind),
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
                place.save(state)
                since = state.seconds
            progress("train", state.epoch, epochs, row)
    except Diverged as error:
        advice = f"the last good checkpoint is in {folder}" if place.checkpoint else "no checkpoint had been saved yet"
        raise Diverged(f"{error}; {advice}") from None
    if state.finished and since_epoch < state.epoch < epochs:
        waited = state.epoch - state.best_epoch
        text = (
            f"training stopped early in epoch {state.epoch} of {epochs}: the last {waited} epochs had no better "
            f"validation than epoch {state.best_epoch} (training.patience = {stage.settings.patience})"
        )
        progress("note", 0, 0, {"text": text})
    if not state.finished:
        place.save(state)
        raise Interrupted(f"stopped in epoch {state.epoch + 1}; everything is saved in {folder}")
    if not place.checkpoint:  # the settings have no epoch
        state.best = {p.name: engine.to_numpy(p) for p in model.params}
        place.save(state)
    state.restore_best(as_trainable(model))

    def progress_or_stop(stage: str, done: int, total: int, row: dict[str, Any] | None) -> None:
        if stop is not None and stop():
            raise Interrupted(f"stopped after training, which is finished and saved in {folder}")
        progress(stage, done, total, row)

    results = _finish(place, settings, data, model, state, mode, progress_or_stop)
    if missing := [name for name in ("config.toml", "checkpoint.npz") if not (folder / name).exists()]:
        raise FileNotFoundError(
            f"{folder}: {' and '.join(missing)} was deleted while the run was scored and sampled, so it cannot be used "
            "again; train it anew by --overwrite"
        )
    return results


def _pretrain(
    stage: pretraining.Stage,
    data: datasets.Dataset,
    place: Place,
    model: SequenceModel,
    part: Part,
    mode: Any,
    stop: Callable[[], bool] | None,
    progress: Progress,
) -> None:
    """Train a part of the model first."""
    state, epochs = part.state, stage.settings.epochs
    since = state.seconds
    progress(f"pretrain {stage.name}", state.epoch, epochs, None)
    for row in fit(stage.model, data.train, None, stage.settings, state=state, stop=stop, mode=mode):
        if state.finished or state.seconds - since >= SAVE_EVERY:
            place.save_part(part, model)
            since = state.seconds
        progress(f"pretrain {stage.name}", state.epoch, epochs, row)
    if not state.finished:
        place.save_part(part, model)
        raise Interrupted(
            f"stopped while the {stage.name} was trained first, in epoch {state.epoch + 1}; everything is saved in "
            f"{place.folder}"
        )


def _finish(
    place: Place,
    settings: Config,
    data: datasets.Dataset,
    model: SequenceModel | StaticModel,
    state: State,
    mode: Any,
    progress: Progress,
) -> dict[str, Any]:
    """Score, sample and draw."""
    from rnnrbm.scoring.likelihood import log_likelihood, usable_states

    folder, evaluation, generation = place.folder, settings.evaluation, settings.generation
    states = usable_states(model, data.train, max(evaluation.n_exact_states, generation.n_init_states))
    scored, test_score, test_bound = None, None, None
    if evaluation.test and not isinstance(model, SequenceModel):
        test_score = own_score(model, data.test, mode)
        if has_bound(model):
            test_bound = bound_summary(lower_bound(model, data.test, _bound_settings(model, evaluation), mode=mode))
    elif evaluation.test and isinstance(model, SequenceModel):
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
    kind = data.kind
    run = Run(folder, settings, model, kind, state.best_epoch, levels=place.meta["levels"])
    samples = draw_samples(
        run,
        generation.n_frames or kind.sample_length,
        n_samples=generation.n_samples,
        k=generation.k,
        seed=settings.training.seed,
        init_states=_at_most(states, generation.n_init_states),
        temperature=generation.temperature,
        mode=mode,
        progress=progress,
    )
    if departure := run.departure(samples):
        progress("note", 0, 0, {"text": f"warning: {departure}"})
    (folder / "samples").mkdir(exist_ok=True)
    files = write_samples(run, samples, folder / "samples", progress=progress)
    for path in run_files(folder):  # of another number of samples
        if path.parent.name == "samples" and path not in files:
            path.unlink()
    results: dict[str, Any] = {
        "model": settings.model.name,
        "data": data.name,
        "test_ll": scored.mean if scored else None,
        "test_se": scored.standard_error if scored else None,
        "test_bias": scored.bias if scored else None,
        "method": scored.settings if scored else None,
        "test_score": test_score,
        "test_bound": test_bound,
        "test_frames": int(sum(len(p) for p in data.test)),
        "frame_name": kind.frame_name,
        "best_epoch": state.best_epoch,
        "best_valid_ll": state.best_ll if np.isfinite(state.best_ll) else None,
        "epochs": state.epoch,
        "training_seconds": round(state.seconds, 1),
        "baselines": kind.baselines(data.train, data.valid, data.test) if comparable(kind, model) else {},
        "statistics": {"samples": kind.statistics(samples), "train": kind.statistics(data.train)},
        "samples": [str(f.relative_to(folder)) for f in files],
    }
    tested = scored is not None or test_score is not None
    if tested and (error := label_error(model, kind, data.test, mode)) is not None:
        results["label_error"] = error
    # names in other data do not depend on settings and files that may change
    if datasets.kind_of_files(located(settings.data.source, folder)) is not None:
        results["pieces"] = {split: data.names_of(split) for split in SPLITS}
    with atomic(folder / "results.json") as temporary:
        temporary.write_text(to_json(results), encoding="utf-8")
    progress("draw", 0, 1, None)
    draw(run, samples, data, state, mode)
    progress("draw", 1, 1, None)
    return results


def _bound_settings(model: StaticModel, evaluation: Evaluation) -> dict[str, Any]:
    """The settings of an evaluation that the bound of a model has."""
    known = bound_settings(model)
    return {name: getattr(evaluation, name) for name in ("n_chains", "n_temperatures") if name in known}


def _at_most(frames: np.ndarray | None, n: int) -> np.ndarray | None:
    return None if frames is None or n == 0 else frames[:n]
