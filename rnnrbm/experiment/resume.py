"""Resuming a run: what must be as it was, and how a run goes on of which some settings have changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm import checkpoint
from rnnrbm.experiment import config
from rnnrbm.experiment.config import Config, Training
from rnnrbm.experiment.place import Part
from rnnrbm.experiment.run_folder import write_metrics
from rnnrbm.models.registry import STATIC_MODELS
from rnnrbm.progress import Progress
from rnnrbm.training.fit import State

__all__ = ["extended", "resumed"]


def extended(settings: Config, changes: Mapping[str, Any], *, resume: bool) -> Config:
    """Return the settings of a run to resume, with changes of those that may change.

    Raises
    ------
    ConfigError
        If another setting is to change, or an own value is invalid.
    ValueError
        If the run is not resumed.
    """
    if changes and not resume:
        raise ValueError(f"changes ({', '.join(changes)}) are for a run that is resumed; change the settings instead")
    if wrong := [key for key in changes if not config.may_change(key)]:
        raise config.ConfigError(
            "a run resumes with its own settings, of which only training.epochs, training.patience and those of "
            f"evaluation and generation may change; leave out {', '.join(wrong)}, or start a new run"
        )
    return settings.replaced(changes) if changes else settings


def resumed(folder: Path, settings: Config, meta: dict[str, Any], progress: Progress) -> tuple[State, Part | None]:
    """Return where the run in a folder stands, if its settings and its data are those it began with.

    A run trains on of which settings have changed that may.

    Returns
    -------
    state : State
        Of the joint training.
    part : Part or None
        The part of the model that is being trained first.

    Raises
    ------
    CheckpointError
        If anything else differs, or nothing is left to train; the message says in what.
    """
    saved, written = folder / "checkpoint.npz", folder / "config.toml"
    if not saved.exists():
        saved = folder / "pretraining.npz"
    state, then = State.load(saved) if saved.exists() else (State(), {})
    facts = config.facts_of_run(written)
    if then:
        _check_saved(saved, state, then)
    began = then.get("data") if then else _hash_in(facts, "data")
    before, now = (config.flat(json.loads(json.dumps(x))) for x in (then.get("config", {}), meta["config"]))
    changed = [key for key in {**now, **before} if before.get(key) != now.get(key)] if then else []
    if other := [key for key in changed if not config.may_change(key)]:
        key = other[0]
        more = f" (and {len(other) - 1} more)" if len(other) > 1 else ""
        raise checkpoint.CheckpointError(
            f"{written}: its settings differ from those in {saved.name}: {key} is {now.get(key)!r}, was "
            f"{before.get(key)!r}{more}; undo the change, or start a new run with the changed file"
        )
    if began is None:
        raise checkpoint.CheckpointError(f"{written}: says nothing about the data of the run, so it cannot be resumed")
    if began != meta["data"]:
        raise checkpoint.CheckpointError(
            f"{folder}: the data differ from those of the run (SHA-256 of all pieces {meta['data'][:12]}, was "
            f"{str(began)[:12]}); restore the data, or start a new run"
        )
    if not then and _hash_in(facts, "init") != meta.get("init"):
        raise checkpoint.CheckpointError(
            f"{settings.model.init or written}: its parameters differ from those that the run in {folder} began with; "
            "restore model.init and what it names, or start a new run"
        )
    if "init" in then:
        meta["init"] = then["init"]
    part = None
    if "part" in then:
        part, state = Part(then["part"], state), State()
    elif changed:
        of_sequences = settings.model.name not in STATIC_MODELS
        _extend(
            state,
            Config.from_dict(then["config"]).training,
            settings.training,
            str(saved),
            progress,
            chains=of_sequences,
        )
        if state.finished:  # nothing will be saved again, and the checkpoint says how to sample the run
            state.save(saved, meta)
    recorded = config.flat(config.read(written).model_dump())
    if any(recorded[key] != now[key] for key in recorded if config.may_change(key)):
        config.write(written, settings, run=facts)
    if state.rows:  # a kill may have come between the checkpoint and this file
        write_metrics(folder / "metrics.csv", state.rows)
    return state, part


def _hash_in(facts: Mapping[str, Any], name: str) -> str | None:
    """Return a hash that the facts of a run record, None if there is none."""
    recorded = facts.get(name)
    return recorded.get("sha256") if isinstance(recorded, dict) else None


def _check_saved(path: Path, state: State, meta: Mapping[str, Any]) -> None:
    """Raise CheckpointError if what was saved with a state is no run's, or training could not go on with it."""
    tables = meta.get("config")
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise checkpoint.CheckpointError(f"{path}: holds no settings, so no run of this version wrote it")
    if state.finished and not state.best and "part" not in meta:
        raise checkpoint.CheckpointError(f"{path}: is damaged: training is finished, but no best parameters are there")
    if meta.get("part", "density") not in ("density", "network"):
        raise checkpoint.CheckpointError(f"{path}: is damaged: part is {meta['part']!r:.40}")
    if wrong := [name for name, value in state.arrays.items() if not np.isfinite(value).all()]:
        raise checkpoint.CheckpointError(f"{path}: is damaged: {', '.join(wrong[:4])} hold NaN or infinity; train anew")


def _extend(state: State, before: Training, now: Training, where: str, progress: Progress, *, chains: bool) -> None:
    """Let a run train on with other epochs or patience, and say how its schedules go on.

    `chains` is False for a model that has neither Gibbs chains nor dropout.
    """
    epoch, waited = state.epoch, state.epoch - state.best_epoch
    if now.epochs != before.epochs and now.epochs <= epoch:
        raise checkpoint.CheckpointError(
            f"{where}: {epoch} epochs are done, so training.epochs = {now.epochs} leaves nothing to train; give more"
        )
    if state.finished and epoch < now.epochs:
        if 0 < now.patience <= waited:
            raise checkpoint.CheckpointError(
                f"{where}: training stopped early in epoch {epoch}, {waited} epochs after the best validation, and "
                f"training.patience = {now.patience} would stop it at once; set a greater one too, or 0, which never "
                "stops"
            )
        state.finished = False
    if now.epochs == before.epochs:
        return
    # a schedule is a function of the fraction of all epochs that is done
    rates = [x.rate_at(min(1.0, epoch / max(1, x.epochs))) for x in (now, before)]
    said = [f"learning rate {rates[0]:.2g}, was {rates[1]:.2g}"]
    variants = [x.variant_at(min(epoch, max(0, x.epochs - 1))) for x in (now, before)]
    for name, values in (
        ("k", [x.k for x in variants]),
        ("input dropout", [x.input_dropout for x in variants]),
        ("state dropout", [x.state_dropout for x in variants]),
        ("transposed pieces", [x.transpose_prob_at(min(epoch, max(0, x.epochs - 1))) for x in (now, before)]),
    ):
        if not chains or (name == "transposed pieces" and not any(now.shifts)):
            continue
        if values[0] != values[1]:
            said.append(f"{name} {values[0]:g}, was {values[1]:g}")
    text = (
        f"training.epochs is {now.epochs}, was {before.epochs}; schedules are now those of {now.epochs} epochs: after "
        f"epoch {epoch}, {'; '.join(said)}"
    )
    progress("note", 0, 0, {"text": text})
