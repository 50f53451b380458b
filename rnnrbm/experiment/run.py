"""A run: a folder that holds an experiment from its settings to its samples.

config.toml       the settings, resolved, with versions and seed
metrics.csv       one row for each epoch
checkpoint.npz    everything needed to resume, and the best parameters
pretraining.npz   instead, while a part of the model is trained first
results.json      test log-likelihood, baselines, statistics of the samples
figures/*.png     learning curves, filters, samples beside the data, reconstructions of images
tensorboard/*     event files, on demand
samples/*         each sample in files of its kind (MIDI and WAV, or .npy), and its picture
report.html       all of this on one page
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm import checkpoint, datasets
from rnnrbm.backend import engine, processes
from rnnrbm.datasets import SPLITS
from rnnrbm.experiment import config
from rnnrbm.experiment.artifacts import (
    Run,
    check_primable,
    draw_samples,
    load,
    picture_formats,
    starts_from_states,
    write_samples,
)
from rnnrbm.experiment.config import Config
from rnnrbm.experiment.finish import finish
from rnnrbm.experiment.place import Interrupted, Part, Place
from rnnrbm.experiment.pretrain import pretrain
from rnnrbm.experiment.reports import try_report
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
    build_model,
    check_end,
    facts,
    load_data,
    located,
    model_options,
    resolved,
    started_in,
    trained_as,
    versions,
)
from rnnrbm.experiment.start import check_model, inherited, start_from
from rnnrbm.experiment.together import Elsewhere, Together
from rnnrbm.files import make_folder
from rnnrbm.kinds.registry import to_record
from rnnrbm.progress import Progress, as_progress, silent
from rnnrbm.scoring import drift
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
    vector: str | None = None,
) -> dict[str, Any]:
    """Run an experiment: train, score on the test set, sample, draw, and write a report.

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
    vector : {"pdf", "svg"} or None
        Format in which figures are written besides PNG.

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
    Refused
        If this is one of several processes (:mod:`rnnrbm.backend.processes`), and they differ in settings or data, or
        another one has raised an error.
    """
    with Together(mode) as together:
        how = _How(mode, stop, progress if together.leads else silent, record or {}, tensorboard, vector)
        return _run(together, settings, Path(folder), resume, overwrite, changes, how)


@dataclass(frozen=True)
class _How:
    """How a run is carried out; the fields are parameters of :func:`train`."""

    mode: Any
    stop: Callable[[], bool] | None
    progress: Progress
    record: Mapping[str, Any]
    tensorboard: bool
    vector: str | None


def _run(
    together: Together,
    settings: Config | None,
    folder: Path,
    resume: bool,
    overwrite: bool,
    changes: Mapping[str, Any] | None,
    how: _How,
) -> dict[str, Any]:
    """Read and check everything, make room in the folder, and train; see :func:`train`."""
    engine.resolve_mode(how.mode)
    picture_formats(how.vector)
    progress = as_progress(how.progress)
    how = replace(how, progress=progress)
    chosen = {} if settings is None else config.chosen(settings)
    if settings is not None:
        model_options(settings.model, strict=True)
    if together.leads:
        settings = extended(prepare(folder, settings, resume=resume, overwrite=overwrite), changes or {}, resume=resume)
    start = None
    trained = resume and (folder / "checkpoint.npz").exists() and not replaces(folder)
    settings, trained = together.settings(settings, resume=resume, trained=trained)
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
    as_trained = trained_as(model, data.kind)
    suitable_settings(
        as_trainable(as_trained),
        settings.training.without_pretraining(),
        single_frames=not isinstance(as_trained, SequenceModel),
        n_frames=sum(map(len, data.train)),
    )
    check_end(settings, data, model)
    about: dict[str, Any] = {"data": facts(data)}
    together.agree(settings, about["data"]["sha256"], model, resume=resume)
    with ExitStack() as stack:
        if together.leads:
            make_folder(folder, "the run")
            stack.enter_context(locked(folder))
            prepare(folder, settings, resume=resume, overwrite=overwrite)  # another run may have come first
            sweep(folder)
            if overwrite and run_files(folder):
                stack.enter_context(replacing(folder))
        meta = {"config": settings.model_dump(), "n_visible": data.n_visible, "kind": to_record(data.kind)}
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
        if not together.leads:
            place: Place = Elsewhere(folder, meta)
        elif resume:
            finish_clearing(folder, settings)
            state, part = resumed(folder, settings, meta, progress)
            place = Place(folder, settings, meta, events=how.tensorboard)
            place.write_events(state)
        else:
            about |= versions(how.mode) | {"started_in": started_in(folder), "chosen": chosen, **how.record}
            place = Place(folder, settings, meta, about, events=how.tensorboard)
        state, part = together.state(place, state, part)
        try:
            results = together.results(_train(place, settings, data, model, state, part, how))
        except KeyboardInterrupt:
            if not place.waits:
                raise
            interrupted = Interrupted(f"stopped before anything was saved; the run in {folder} is as it was")
            interrupted.resumable = False
            raise interrupted from None
        if together.leads and (failure := try_report(folder)):
            progress("note", 0, 0, {"text": f"warning: {failure}"})
        return results


def _train(
    place: Place,
    settings: Config,
    data: datasets.Dataset,
    model: SequenceModel | StaticModel,
    state: State,
    part: Part | None,
    how: _How,
) -> dict[str, Any]:
    """Train, score, sample and draw, from where the state stands."""
    folder, mode, stop, progress = place.folder, how.mode, how.stop, how.progress
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
        pretrain(stage, data, place, model, part or Part(stage.name, State()), mode, stop, progress, SAVE_EVERY)
        part = None
    epochs = stage.settings.epochs
    since, since_epoch = state.seconds, state.epoch
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
        for _ in rows:
            if state.finished or state.seconds - since >= SAVE_EVERY:
                place.save(state)
                since = state.seconds
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

    stop = processes.agreed(stop)

    def progress_or_stop(stage: str, done: int, total: int, row: dict[str, Any] | None) -> None:
        if stop is not None and (processes.count() == 1 or stage in Together.STAGES) and stop():
            raise Interrupted(f"stopped after training, which is finished and saved in {folder}")
        progress(stage, done, total, row)

    results = finish(place, settings, data, model, state, mode, progress_or_stop, how.vector)
    written = ("config.toml", "checkpoint.npz") if place.writes else ()
    if missing := [name for name in written if not (folder / name).exists()]:
        raise FileNotFoundError(
            f"{folder}: {' and '.join(missing)} was deleted while the run was scored and sampled, so it cannot be used "
            "again; train it anew by --overwrite"
        )
    return results
