"""The end of a run: the scores of the trained model, its samples, its figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnrbm import datasets
from rnnrbm.datasets import SPLITS
from rnnrbm.experiment.artifacts import Run, draw, draw_samples, write_samples
from rnnrbm.experiment.config import Config, Evaluation
from rnnrbm.experiment.place import Place
from rnnrbm.experiment.run_folder import run_files
from rnnrbm.experiment.setup import bound_summary, comparable, label_error, located, own_score
from rnnrbm.files import atomic, to_json
from rnnrbm.progress import Progress
from rnnrbm.scoring.bounds import bound_settings, has_bound, lower_bound
from rnnrbm.sequence import SequenceModel
from rnnrbm.static import StaticModel
from rnnrbm.training.fit import State

__all__ = ["finish"]


def finish(
    place: Place,
    settings: Config,
    data: datasets.Dataset,
    model: SequenceModel | StaticModel,
    state: State,
    mode: Any,
    progress: Progress,
    vector: str | None,
) -> dict[str, Any]:
    """Score a trained model, sample it, draw, and return what is written to ``results.json``.

    Parameters
    ----------
    place : Place
    settings : Config
    data : Dataset
    model : SequenceModel or StaticModel
        With the best parameters.
    state : State
        That of the training, which has ended.
    mode, progress, vector
        See :func:`rnnrbm.experiment.run.train`.
    """
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
    tested = scored is not None or test_score is not None
    error = label_error(model, kind, data.test, mode) if tested else None
    if not place.writes:
        return {}
    if departure := run.departure(samples):
        progress("note", 0, 0, {"text": f"warning: {departure}"})
    (folder / "samples").mkdir(exist_ok=True)
    files = write_samples(run, samples, folder / "samples", vector=vector, progress=progress)
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
    if error is not None:
        results["label_error"] = error
    # names in other data do not depend on settings and files that may change
    if datasets.kind_of_files(located(settings.data.source, folder)) is not None:
        results["pieces"] = {split: data.names_of(split) for split in SPLITS}
    with atomic(folder / "results.json") as temporary:
        temporary.write_text(to_json(results), encoding="utf-8")
    progress("draw", 0, 1, None)
    draw(run, samples, data, state, mode, vector=vector)
    progress("draw", 1, 1, None)
    return results


def _bound_settings(model: StaticModel, evaluation: Evaluation) -> dict[str, Any]:
    """The settings of an evaluation that the bound of a model has."""
    known = bound_settings(model)
    return {name: getattr(evaluation, name) for name in ("n_chains", "n_temperatures") if name in known}


def _at_most(frames: np.ndarray | None, n: int) -> np.ndarray | None:
    return None if frames is None or n == 0 else frames[:n]
