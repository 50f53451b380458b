"""What a trained run is worth on a set: log-likelihood with its bracket, accuracies, baselines beside."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm import checkpoint, datasets
from rnnrbm.backend import engine
from rnnrbm.datasets import SPLITS
from rnnrbm.experiment.artifacts import Run
from rnnrbm.experiment.run import Interrupted
from rnnrbm.experiment.run_folder import using
from rnnrbm.experiment.setup import bound_summary, comparable, label_error, own_score
from rnnrbm.files import atomic, file_name, to_json
from rnnrbm.progress import Progress, silent
from rnnrbm.sampling import expect_blocks, predict
from rnnrbm.scoring.bounds import bound_options, has_bound, lower_bound
from rnnrbm.scoring.likelihood import Evaluator, chosen_frames, has_many_hidden, usable_states, usual_annealing
from rnnrbm.scoring.partition import annealing_schedule
from rnnrbm.scoring.result import LogLikelihood, verdict, with_error
from rnnrbm.sequence import SequenceModel

__all__ = ["check_how", "evaluate", "fingerprint", "read_partial", "score"]

#: Frames without an order for which RAISE is computed unless a number is given.
N_BRACKET_IMAGES = 200
#: The same for a model with many hidden units, such as a convolutional RBM.
N_BRACKET_OF_MANY = 6
SAVE_EVERY = 10.0  # seconds between savings of what has been scored


def score(
    evaluator: Evaluator,
    pieces: Sequence[np.ndarray],
    *,
    seed: int = 0,
    frames: int | None = None,
    partial: Path | None = None,
    stop: Callable[[], bool] | None = None,
    progress: Progress = silent,
) -> LogLikelihood:
    """Score pieces, and save the results so far in a file, so that an interrupted score can be resumed.

    Parameters
    ----------
    evaluator : Evaluator
    pieces : sequence of arrays (T, n_visible)
    seed : int
    frames : int or None
        Score that many random frames; None scores all.
    partial : pathlib.Path or None
        An ``.npz`` file of results. If it exists and belongs to the same parameters, pieces and settings, scoring
        resumes from it; otherwise it is replaced. It stays when all is scored.
    stop : callable or None
        Called after every chunk; True stops.
    progress : callable
        Called with the method as its stage, the frames done and the frames in all.

    Raises
    ------
    Interrupted
        If `stop` returned True.
    """
    mark = fingerprint(evaluator, pieces, seed, frames)
    total = len(chosen_frames(pieces, seed, frames))
    values, done = np.empty((3, total)), 0
    if partial is not None and partial.exists():
        with suppress(checkpoint.CheckpointError):  # it can be computed again
            earlier = read_partial(partial, mark, total)
            done = earlier.shape[1]
            values[:, :done] = earlier
    since = time.monotonic()

    def save() -> None:
        if partial is not None:
            checkpoint.save(partial, {"values": values[:, :done]}, {"mark": mark})

    progress(evaluator.method, done, total, None)
    if done < total:
        for chunk in evaluator.chunks(pieces, seed=seed, frames=frames, done=done):
            values[:, chunk.rows] = chunk.values
            done = int(chunk.rows[-1]) + 1
            progress(evaluator.method, done, total, None)
            stopped = stop is not None and stop()
            if done == total or stopped or time.monotonic() - since > SAVE_EVERY:
                save()
                since = time.monotonic()
            if stopped and done < total:
                raise Interrupted(f"stopped after {done} of {total} frames")
    return evaluator.result(pieces, values, seed, frames)


def read_partial(path: Path, mark: str, total: int) -> np.ndarray:
    """Return the values that an interrupted score has saved.

    Parameters
    ----------
    path : pathlib.Path
    mark : str
        The :func:`fingerprint` of the score.
    total : int
        Number of its frames.

    Returns
    -------
    numpy.ndarray, shape (3, n)
        Of the first n frames; float64.

    Raises
    ------
    CheckpointError
        If the file is damaged, or belongs to another score.
    OSError
        If it cannot be opened.
    """
    arrays, meta = checkpoint.load(path)
    values = arrays.get("values", np.empty(0))
    if meta.get("mark") != mark or values.dtype != float or values.ndim != 2 or len(values) != 3:
        raise checkpoint.CheckpointError(f"{path}: is of another score")
    if values.shape[1] > total:
        raise checkpoint.CheckpointError(f"{path}: holds {values.shape[1]} frames, expected at most {total}")
    return values


def fingerprint(evaluator: Evaluator, pieces: Sequence[np.ndarray], seed: int, frames: int | None = None) -> str:
    """Return a hash of everything that the values of a score depend on."""
    how = f"{evaluator.settings} {evaluator.chunk} {seed}" + ("" if frames is None else f" {frames} frames")
    digest = hashlib.sha256(how.encode())
    for array in [*(engine.to_numpy(p) for p in evaluator.variables), evaluator.betas, *pieces]:
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def evaluate(
    run: Run,
    data: datasets.Dataset,
    *,
    split: str = "test",
    method: str | None = None,
    n_chains: int | None = None,
    n_temperatures: int | None = None,
    schedule: str | np.ndarray | None = None,
    n_exact_states: int = 5000,
    train: Sequence[np.ndarray] | None = None,
    bracket: bool = True,
    n_bracket_frames: int | None = None,
    k: int = 50,
    n_draws: int = 10,
    seed: int = 0,
    mode: Any = None,
    stop: Callable[[], bool] | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Evaluate a run on a split of a data set.

    Parameters
    ----------
    run : Run
    data : Dataset
    split : {"test", "valid", "train"}
    method : {"ais", "exact"} or None
        None stands for AIS if Z has to be estimated; a normalized density is scored exactly.

        How the headline is computed.
    n_chains, n_temperatures, schedule
        Of annealing; see :func:`rnnrbm.scoring.likelihood.log_likelihood`.
    n_exact_states : int
        So many of the most frequent frames of `train` have their part of Z summed exactly; 0 is the published protocol,
        and that of frames without an order, such as images, each of which occurs once.
    train : sequence of arrays (T, n_visible) or None
        What the run was trained on; by default the training set of `data`.
    bracket : bool
        With AIS, compute RAISE too, which takes as long again.
    n_bracket_frames : int or None
        Number of random frames for RAISE, 2 or more. The mean gap between AIS and RAISE on these frames is taken for
        the gap on all frames. It is small and varies little, so a few thousand frames are enough; its error is part of
        the standard error. None scores all frames; of frames without an order it stands for at most
        :data:`N_BRACKET_IMAGES`, since each of them is annealed on its own, and with more than 4096 hidden units for
        :data:`N_BRACKET_OF_MANY`.
    k, n_draws : int
        Prediction scores are those of frames that are sampled `n_draws` times given the true past, by `k` Gibbs steps
        from the frame before.
    seed : int
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    stop : callable or None
        Called now and then. If it returns True, the results so far are saved in ``evaluations/`` of the run.
    progress : callable
        See :data:`rnnrbm.progress.Progress`; stages are ais, raise, exact, prediction, baselines, and note,
        which gives each score as soon as it is known.

    Returns
    -------
    dict
        What is written to ``evaluations/DATA-SPLIT.json`` of the run, the latest for this data and split:
        ``log_likelihood`` (nats per frame: micro, over all frames; macro, over pieces; [name, mean] of each piece;
        standard error; bias; settings; share of frames with poor weights), ``raise`` likewise, ``bracket`` (the gap
        between the two, and why they are no bracket, if they are none), ``prediction`` (of sequences), ``baselines``.
        A static model has a ``score`` (its name and value) instead of these, and a ``bound`` if it has a lower bound of
        its log-likelihood: mean, standard error, bias, settings, effective sample size. The frames' own
        values are beside it, in a file for each method and settings.

    Raises
    ------
    ValueError
        If the method or the split is unknown, the split is empty, run and data differ in their columns,
        `n_bracket_frames` is below 2, or the model has no use for a setting.
    CheckpointError
        If the run was replaced by another after it had been read.
    FileExistsError
        If another process is replacing it.
    Interrupted
        If `stop` returned True. Another call with the same settings resumes.
    """
    check_how(method, schedule)
    model = run.model
    given: Any = {"n_chains": n_chains, "n_temperatures": n_temperatures, "schedule": schedule}
    if not isinstance(model, SequenceModel):
        bound_options(model, given | {"method": method, "n_bracket_frames": n_bracket_frames})
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    if n_bracket_frames is None and not run.kind.is_sequence:
        many = isinstance(model, SequenceModel) and has_many_hidden(model.density)
        n_bracket_frames = N_BRACKET_OF_MANY if many else N_BRACKET_IMAGES
    if n_bracket_frames is not None and n_bracket_frames < 2:
        raise ValueError(f"n_bracket_frames must be at least 2, or None for all, got {n_bracket_frames}")
    data = datasets.matched(data, run.kind)
    pieces = getattr(data, split)
    if not pieces:
        raise ValueError(f"{data.name} has no piece in {split}")
    run.check_columns(data)
    names = data.names_of(split)
    name = f"{file_name(data.name)}-{split}"
    with using(run.folder, "evaluations") as folder:
        run.check_present()
        results: dict[str, Any] = {
            "run": str(run.folder),
            "model": run.config.model.name,
            "data": data.name,
            "split": split,
            "pieces": len(pieces),
            "frames": sum(len(p) for p in pieces),
            "seed": seed,
            "epoch": run.best_epoch,
        }
        if not isinstance(model, SequenceModel):
            results["score"] = own_score(model, pieces, mode)
            if has_bound(model):
                began = time.monotonic()
                scored = lower_bound(model, pieces, given | {"method": method}, seed=seed, mode=mode)
                results["bound"] = bound_summary(scored)
                results["seconds"] = round(time.monotonic() - began, 1)
            if (error := label_error(model, run.kind, pieces, mode)) is not None:
                results["label_error"] = error
            _write(folder / f"{name}.json", results)
            return results
        method = method or ("exact" if model.normalized else "ais")
        methods = [method, "raise"] if bracket and method == "ais" else [method]
        n_exact_states = n_exact_states if run.kind.is_sequence else 0
        states = usable_states(model, data.train if train is None else train, n_exact_states)
        began = time.monotonic()
        for stage in methods:
            annealing = usual_annealing(model, stage, **given)
            evaluator = Evaluator(model, method=stage, exact_states=states, mode=mode, **annealing._asdict())
            frames = (
                n_bracket_frames
                if stage == "raise" and n_bracket_frames and n_bracket_frames < results["frames"]
                else None
            )
            scored = score(
                evaluator,
                pieces,
                seed=seed,
                frames=frames,
                partial=folder / f"{name}-{stage}-{fingerprint(evaluator, pieces, seed, frames)[:8]}.npz",
                stop=stop,
                progress=progress,
            )
            summary = {
                "micro": scored.mean,
                "standard_error": scored.standard_error,
                "bias": scored.bias,
                "macro": scored.mean_over_pieces,
                "settings": scored.settings,
                "by_piece": [list(pair) for pair in zip(names, scored.mean_per_piece.tolist(), strict=True)],
                "low_ess": scored.low_ess,
                "diagnostics": scored.diagnostics(),
            }
            if stage != "raise":
                headline = scored
            else:
                upper = headline if frames is None else headline.subset(chosen_frames(pieces, seed, frames))
                results["bracket"] = {"gap": upper.mean - scored.mean, "verdict": verdict(upper, scored)}
                if frames is not None:
                    summary |= _below(headline, upper, scored)
            results["raise" if stage == "raise" else "log_likelihood"] = summary
            text = f"{summary['settings']}: {with_error(scored.mean, scored.standard_error)}"
            if frames is not None:
                text += f" (AIS of the same frames: {upper.mean:.3f})"
            progress("note", 0, 0, {"text": text})
        if (error := label_error(model, run.kind, pieces, mode)) is not None:
            results["label_error"] = error
        if run.kind.is_sequence:
            results["prediction"] = _prediction(run, model, pieces, k, n_draws, seed, mode, stop, progress)
        progress("baselines", 0, 1, None)
        results["baselines"] = (
            run.kind.baseline_table(data.train, data.valid, pieces) if comparable(run.kind, run.model) else []
        )
        progress("baselines", 1, 1, None)
        results["seconds"] = round(time.monotonic() - began, 1)
        _write(folder / f"{name}.json", results)
        return results


def _write(path: Path, results: Mapping[str, Any]) -> None:
    with atomic(path) as temporary:
        temporary.write_text(to_json(results), encoding="utf-8")


def check_how(method: str | None, schedule: str | np.ndarray | None) -> None:
    """Raise ValueError unless a run can be scored so; for the arguments see :func:`evaluate`."""
    if method not in (None, "ais", "exact"):
        raise ValueError(f"method {method!r} is neither ais nor exact; RAISE comes with ais, as its lower side")
    if schedule is not None:
        annealing_schedule(schedule, 2)


def _below(all_frames: LogLikelihood, some: LogLikelihood, scored: LogLikelihood) -> dict[str, Any]:
    """What is known of the lower side if only some frames have one: how far it is below there, on average."""
    gap = np.concatenate(some.frames) - np.concatenate(scored.frames)
    error = gap.std(ddof=1) / np.sqrt(len(gap))
    return {
        "micro": all_frames.mean - float(gap.mean()),
        "standard_error": float(np.hypot(all_frames.standard_error, error)),
        "macro": None,
        "settings": f"{scored.settings}, of {len(gap)} random frames",
        "by_piece": None,
    }


def _prediction(
    run: Run,
    model: SequenceModel,
    pieces: Sequence[np.ndarray],
    k: int,
    n_draws: int,
    seed: int,
    mode: Any,
    stop: Callable[[], bool] | None,
    progress: Progress,
) -> dict[str, Any]:
    """Scores of predicted frames, and how these were sampled.

    Frames of notes are scored as they are sampled, and the scores are averaged, as in the literature. Of real numbers,
    the squared error is least for their expectation, so the last conditional means of the chains are averaged, and the
    mean is scored.
    """
    means = not run.kind.is_discrete
    how_sampled: Any = {"n_samples": n_draws, "k": k, "seed": seed, "start": run.start, "mode": mode}
    total = sum(map(len, pieces)) if means else n_draws
    done = 0
    progress("prediction", done, total, None)

    def did(more: int) -> None:
        nonlocal done
        done += more
        progress("prediction", done, total, None)
        if stop is not None and stop():
            raise Interrupted("stopped while frames were sampled")

    def mean_frames() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for frames, expected in expect_blocks(model, pieces, **how_sampled):
            yield run.kind.from_samples(expected), frames
            did(len(frames))

    each = []
    if means:
        for_predicted, for_true = tee(mean_frames())
        each.append(run.kind.prediction_scores((p for p, _ in for_predicted), (t for _, t in for_true)))
    else:
        for sampled in predict(model, pieces, **how_sampled):
            each.append(run.kind.prediction_scores([run.kind.from_samples(piece) for piece in sampled], pieces))
            did(1)
    times = f"{n_draws} {'chain' if means else 'time'}{'s' if n_draws > 1 else ''}"
    how = f"expected given the true past, mean of {times}" if means else f"sampled given the true past, {times}"
    if not model.normalized:
        how += f", {k} Gibbs step{'s' if k > 1 else ''} from {'noise' if run.start == 'noise' else 'the frame before'}"
    return {key: float(np.mean([a[key] for a in each])) for key in each[0]} | {"how": how}
