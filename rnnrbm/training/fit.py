"""Training: ``fit`` is a generator, so the user's ``for`` loop is the callback.

    for row in fit(model, data.train, data.valid, epochs=50, transpose_range=(-5, 6)):
        print(row["epoch"], row["valid_ll"])

All state of a training run is in a :class:`State`: parameters, optimiser, random stream, position in the epoch, best
parameters so far. A run that is saved, loaded and continued gives the same numbers, bit for bit, as one that never
stopped.

A sequence model trains, a frame density such as an RBM, and any object with the interface of
:mod:`rnnrbm.training.trainable`.
"""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm import checkpoint, memory
from rnnrbm.backend import engine, processes, sharding
from rnnrbm.backend.random import as_seed
from rnnrbm.densities import FrameDensity, set_fitted_bias
from rnnrbm.progress import Progress, as_progress
from rnnrbm.samplers import Differs
from rnnrbm.sequence import SequenceModel
from rnnrbm.training.data_checks import check_data
from rnnrbm.training.linear_start import set_linear_start
from rnnrbm.training.options import TrainingOptions
from rnnrbm.training.packing import PackedDataset
from rnnrbm.training.settings import Training
from rnnrbm.training.step import Steps
from rnnrbm.training.suitable import suitable_settings
from rnnrbm.training.trainable import Trainable, as_trainable, checked_pieces, has_own_rule, parameters
from rnnrbm.training.validation import Validation, check_validation, validation
from rnnrbm.warn import warn

__all__ = ["Diverged", "Epochs", "State", "fit"]

Row = dict[str, Any]


class Diverged(RuntimeError):
    """Loss or parameters became NaN or infinite; the message says when and what to try."""


@dataclass
class State:
    """Where a training run stands.

    Attributes
    ----------
    epoch, batch : int
        Epochs completed, and batches done of the one under way.
    best_epoch : int
        Epoch (counted from 1) of the best parameters; 0 before there are any.
    best_ll : float
        Their valid log-likelihood, nats per frame. For a model that is validated otherwise, it is the model's own valid
        score, or minus its valid loss: higher is better in all cases.
    best : dict of str to numpy.ndarray
        The best parameters by name, and the state variables that belong to a model that is no sequence model.
    rows : list of dict
        Metrics of all epochs.
    finished : bool
        Training is complete: all epochs are done, or it stopped early. To train on, with more epochs than before, set
        it to False. The schedules of the settings are then those of the new number of epochs.
    variables : dict of str to shared variable
        Everything that changes from step to step, live.
    others : dict of str to numpy.ndarray
        Arrays of the caller's own, which are saved and loaded with the state.
    """

    epoch: int = 0
    batch: int = 0
    best_epoch: int = 0
    best_ll: float = -math.inf
    seconds: float = 0.0
    finished: bool = False
    rows: list[Row] = field(default_factory=list)
    partial: list[list[float]] = field(default_factory=list)
    best: dict[str, np.ndarray] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    others: dict[str, np.ndarray] = field(default_factory=dict)
    _loaded: dict[str, np.ndarray] = field(default_factory=dict)
    _source: str = ""

    _GROUPS = ("best", "others")
    _PLAIN = ("epoch", "batch", "best_epoch", "best_ll", "seconds", "finished", "rows", "partial")

    def save(self, path: str | os.PathLike[str], meta: Mapping[str, Any] | None = None) -> None:
        """Write a checkpoint, in one step; `meta` (JSON) goes with it."""
        plain = {name: getattr(self, name) for name in self._PLAIN}
        checkpoint.save(path, self.arrays, {"state": plain, **(meta or {})})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> tuple[State, dict[str, Any]]:
        """Read a checkpoint: the state, to be given to :func:`fit`, and the `meta` saved with it."""
        arrays, meta = checkpoint.load(path)
        plain = meta.pop("state", None)
        if not isinstance(plain, dict) or set(plain) != set(cls._PLAIN):
            raise checkpoint.CheckpointError(f"{path}: holds no training state of this version of rnnrbm")
        fresh = cls()
        for name, value in plain.items():
            kind = type(getattr(fresh, name))
            if not isinstance(value, (int, float) if kind is float else kind) or (kind is int and value < 0):
                raise checkpoint.CheckpointError(
                    f"{path}: its training state is damaged: {name} is {value!r}, expected a value like "
                    f"{getattr(fresh, name)!r}"
                )
        if damage := _damage(plain):
            raise checkpoint.CheckpointError(f"{path}: its training state is damaged: {damage}")
        state = cls(**plain, _source=str(path))
        for name, value in arrays.items():
            group, _, rest = name.partition(".")
            if rest and group in cls._GROUPS:
                getattr(state, group)[rest] = value
            else:
                state._loaded[name] = value
        return state, meta

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, as they are saved: those of `best` and `others` have ``best.`` and ``others.`` before."""
        groups = {f"{prefix}.{name}": x for prefix in self._GROUPS for name, x in getattr(self, prefix).items()}
        return self._values() | groups

    @property
    def is_new(self) -> bool:
        """Whether no training has begun with this state."""
        return not self._loaded and not self.variables

    def _values(self) -> dict[str, np.ndarray]:
        """Values that were loaded and are not assigned yet, or else those of the live variables."""
        return dict(self._loaded) or {name: engine.to_numpy(v) for name, v in self.variables.items()}

    def attach(self, variables: Mapping[str, Any]) -> None:
        """Name the live variables, and give them the values that were loaded, or that those before them came to."""
        if held := self._values():
            checkpoint.assign(variables, held, where=self._source or "the state given")
            self._loaded = {}
        self.variables = dict(variables)

    def restore_best(self, model: SequenceModel | FrameDensity | Trainable) -> None:
        """Give the model the best parameters."""
        if self.best:
            own = {name: v for name, v in self.variables.items() if name in self.best}
            best = own | {p.name: p for p in parameters(as_trainable(model))}
            checkpoint.assign(best, self.best, where="best parameters")


def _damage(plain: Mapping[str, Any]) -> str:
    """Say what is impossible in the plain values of a state; empty if nothing is."""
    rows, partial = plain["rows"], plain["partial"]
    if math.isnan(plain["best_ll"]) or not 0 <= plain["seconds"] < math.inf:
        return f"best_ll is {plain['best_ll']}, seconds {plain['seconds']}"
    if len(rows) not in (0, plain["epoch"]) or plain["best_epoch"] > plain["epoch"]:
        return f"{plain['epoch']} epochs, of which {plain['best_epoch']} is the best, have {len(rows)} rows of metrics"
    if not all(isinstance(row, dict) and all(map(_is_number, row.values())) for row in rows):
        return "rows of metrics hold something else than numbers"
    if len({tuple(row) for row in rows}) > 1:
        return "rows of metrics differ in their columns"
    if len(partial) != plain["batch"] or not all(isinstance(x, list) and all(map(_is_number, x)) for x in partial):
        return f"{plain['batch']} batches have {len(partial)} results, or some that are no numbers"
    if len({len(x) for x in partial}) > 1:
        return "results of batches differ in length"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _rates(settings: Training, n_steps: int) -> Callable[[int], float]:
    """The learning rate as a function of the step, counted from 0."""
    warm = max(1, round(settings.warmup * n_steps))

    def rate(step: int) -> float:
        return settings.rate_at(min(1.0, step / max(1, n_steps))) * min(1.0, (step + 1) / warm)

    return rate


def fit(
    model: SequenceModel | FrameDensity | Trainable,
    train: Sequence[ArrayLike] | np.ndarray,
    valid: Sequence[ArrayLike] | np.ndarray | None = None,
    settings: Training | None = None,
    *,
    state: State | None = None,
    initial_bias: bool = True,
    stop: Callable[[], bool] | None = None,
    progress: Progress | bool = False,
    negative_phase: Callable[[int], Differs] | None = None,
    mode: Any = None,
    **changes: Unpack[TrainingOptions],
) -> Epochs:
    """Train a model in place, epoch by epoch: iterate over the result.

    A model must not be trained by two calls in two threads at the same time.

    Arguments are checked at once; training happens in the loop, ``for row in fit(...)``, or in ``list(fit(...))``.

    When training finishes or stops early, the model holds its best parameters: those with the highest valid
    log-likelihood, or the last ones if there is no valid set.

    Parameters
    ----------
    model : SequenceModel, FrameDensity or Trainable
        A frame density, such as an RBM or a NADE, trains as a sequence model without a past. Any other object trains
        if it has ``params`` and ``loss(batch, rng)`` or ``updates(batch, rng)``; see :mod:`rnnrbm.training.trainable`.
        Frames are independent for all but a sequence model: they are shuffled one by one, `batch_size` of them in a
        batch (by default a twentieth of them, at most 576), unless ``row_length`` is set.
    train, valid : sequences of array-likes (T, n_visible)
        Values are 0 and 1 for binary visible units, and finite for others. One array (T, n_visible) is one piece, or
        the frames if they are independent. `valid` may be None: then nothing is validated and nothing stops early.
        Arrays that are mapped from a file (:class:`numpy.memmap`) may be larger than the memory if they are of the
        model's type, or uint8 of 0 and 1: frames that would take more than an eighth of the memory
        (:data:`rnnrbm.training.packing.DEVICE_SHARE`) stay where they are, and each batch is read from there.
    settings : Training or None
        See :class:`rnnrbm.training.settings.Training`; None stands for the defaults. For music give
        ``transpose_range=(-5, 6)``, or the model will overfit: each piece is then shifted at random, in every epoch, by
        a number of columns from this range.
    state : State or None
        Where the run's state is kept; give a state that was loaded, or in which another call stopped, to continue.
    initial_bias : bool
        If the visible biases of a model are all zero, it is untrained: set them first to those of independent units
        that fit the training set (Hinton, "A practical guide to training restricted Boltzmann machines", 2010,
        section 8.1). With False they stay.
    stop : callable or None
        Asked after every batch; if it answers True, the generator ends with the state at that batch.
    progress : bool or callable
        True shows a bar, in a terminal or a notebook. A function is called with the stage "batch" after every batch of
        an epoch, and with the stage "train" and the metrics after every epoch; see :data:`rnnrbm.progress.Progress`.
    negative_phase : callable or None
        A negative phase of your own for an RBM: called with k, the Gibbs steps of the epoch, it returns an object with
        the method of :class:`rnnrbm.samplers.Differs`. None: that of the settings.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    **changes
        Settings by name, instead of `settings`: ``fit(model, train, epochs=10, k=5)``. `seed` may be a
        numpy.random.Generator too.

    Returns
    -------
    Epochs
        An iterator of dicts, one for each epoch: ``epoch`` (from 1), ``k`` (NaN of a normalized density),
        ``learning_rate``, ``loss`` (of a normalized density -log p, nats per frame), ``pseudo_likelihood`` (of binary
        RBMs; both of the training batches, with dropout), ``valid_ll``, ``valid_se`` (nats per frame; NaN where not
        validated), ``seconds`` (so far), ``frames_per_second``. An object with its own ``loss`` has its own metrics
        instead of ``pseudo_likelihood``, ``valid_loss`` or its own ``valid_score`` instead of ``valid_ll``, and no
        ``k``. An object with its own ``updates`` has no ``learning_rate`` either, and a ``loss`` only among its
        metrics.

    Raises
    ------
    Diverged
        If loss or parameters become NaN or infinite. The state is then useless; the last one saved is good.
    TypeError
        If `model` cannot be trained, or returns something else than its interface promises.
    ValueError
        If data and model do not fit together, a setting is impossible or has no meaning for the model, or
        `negative_phase` is given for a model without an energy; or if parts
        of the model are to be trained first, which is :func:`rnnrbm.training.pretraining.stages`.
    """
    if settings is not None and changes:
        raise ValueError("give either settings or single settings by name, not both")
    engine.check_process(mode)
    trained = as_trainable(model)
    parameters(trained)
    if settings is not None and not isinstance(settings, Training):
        raise TypeError(
            f"settings must be a rnnrbm.training.settings.Training, got {type(settings).__name__}; give "
            "single ones by name, "
            "as in fit(model, train, epochs=10)"
        )
    if isinstance(changes.get("seed"), np.random.Generator):
        changes["seed"] = as_seed(changes["seed"])
    settings = settings or Training.named(changes, where="fit")
    alone = not isinstance(model, SequenceModel)
    rolls = checked_pieces(trained, train, name="train piece")
    n_frames = sum(map(len, rolls))
    settings = suitable_settings(trained, settings, single_frames=alone, n_frames=n_frames)
    state = State() if state is None else state
    if not isinstance(state, State):
        raise TypeError(f"state is a {type(state).__name__}; expected a State, which State.load(path)[0] reads")
    if stop is not None and not callable(stop):
        raise TypeError(f"stop is a {type(stop).__name__}; expected a function")
    report = as_progress(progress)
    waited = state.epoch - state.best_epoch
    if state.finished and state.epoch < settings.epochs and not 0 < settings.patience <= waited:
        warn(
            f"this state is finished after {state.epoch} epochs, so nothing is trained; to train on to epoch "
            f"{settings.epochs}, set state.finished = False first",
            RuntimeWarning,
        )
    held_out: list[np.ndarray] = []
    if not (valid is None or (isinstance(valid, (Sequence, np.ndarray)) and len(valid) == 0)):
        check_validation(trained)
        held_out = checked_pieces(trained, valid, name="valid piece")
        if held_out[0].shape[1] != rolls[0].shape[1]:
            raise ValueError(f"valid pieces have {held_out[0].shape[1]} columns, train pieces {rolls[0].shape[1]}")
    if state.is_new:
        check_data(trained, rolls)
    if negative_phase is not None and getattr(trained, "normalized", True):
        kind = type(getattr(trained, "density", trained)).__name__
        raise ValueError(f"negative_phase is for a model with an energy, such as an RNN-RBM; a {kind} has none")
    rows = _run(
        trained, rolls, held_out, settings, state, stop, report, mode, negative_phase, initial_bias=initial_bias
    )
    return Epochs(rows)


class Epochs(Iterator[Row]):
    """The epochs of a training run. Iterating over them is the training; each gives its metrics.

    It warns if it is thrown away before its first epoch, since then nothing was trained. Left in the middle, it brings
    the parameters back to NumPy when it is deleted, or when Python ends.
    """

    def __init__(self, rows: Generator[Row, None, None]) -> None:
        self._rows, self._begun = rows, False
        # a generator that is still suspended when Python ends would be closed after the modules it needs
        self.close = weakref.finalize(self, rows.close)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Row:
        self._begun = True
        return next(self._rows)

    def __del__(self) -> None:
        if not getattr(self, "_begun", True):
            warn(
                "fit(...) was called but not iterated over, so nothing was trained; write 'for row in fit(...):' or "
                "list(fit(...))",
                RuntimeWarning,
            )


def _run(
    model: Any,
    train: Sequence[np.ndarray],
    valid: Sequence[np.ndarray],
    settings: Training,
    state: State,
    stop: Callable[[], bool] | None,
    progress: Progress,
    mode: Any,
    negative_phase: Callable[[int], Differs] | None,
    *,
    initial_bias: bool,
) -> Generator[Row, None, None]:
    """Lay out the data, compile, and train; see :func:`fit`."""
    engine.check_process(mode)  # here too: the process may have been forked after the call
    sequential = isinstance(model, SequenceModel)
    progress("train", state.epoch, settings.epochs, state.rows[-1] if state.rows else None)
    if state.finished and sequential:
        state.restore_best(model)
        return
    if initial_bias and state.is_new:
        if sequential:
            set_fitted_bias(model.density.b_v, model.density.visible, train)
            set_linear_start(model, train)
        elif hasattr(model, "prepare"):
            model.prepare(train)
    corpus = PackedDataset(
        train,
        row_length=settings.row_length,
        batch_size=settings.batch_size,
        context=settings.context,
        align=model.network.traits.period if sequential else 1,
        transpose_range=settings.shifts,
        on_device=processes.count() == 1,  # each process reads its own rows alone
    )
    steps = Steps(model, corpus, settings, mode, negative_phase)
    state.attach(steps.variables())
    if state.finished:  # the model's own state is known only now
        state.restore_best(model)
        return
    spread = sharding.Sharding(corpus.batch_size, mode, sums=True)
    if spread.n_processes < processes.count():
        warn(
            f"{corpus.batch_size} rows of a batch cannot be divided among {processes.count()} processes, so each of "
            "these trains on all rows, which is no faster; choose a batch_size that is a multiple",
            RuntimeWarning,
        )
    judged = validation(model, train, valid, settings, mode)
    spread.replicate([*([] if steps.frames is None else [steps.frames]), *state.variables.values()])
    try:
        complete = partial(model.complete_training, train) if hasattr(model, "complete_training") else None
        with processes.naming_losses():
            yield from _epochs(state, settings, steps, spread, judged, complete, processes.agreed(stop), progress)
    except processes.LostProcess:
        raise
    except BaseException:
        sharding.release(state.variables.values())
        raise
    sharding.release(state.variables.values())
    if state.finished:
        state.restore_best(model)


def _epochs(
    state: State,
    settings: Training,
    steps: Steps,
    spread: sharding.Sharding,
    judged: Validation,
    complete: Callable[[], None] | None,
    stop: Callable[[], bool] | None,
    progress: Progress,
) -> Iterator[Row]:
    """Train epoch by epoch until the end, early stopping or `stop`; at the end, `complete` the best model."""
    corpus = steps.corpus
    n_batches = corpus.n_batches((settings.seed, 0))
    rate = _rates(settings, settings.epochs * n_batches)
    own_rule, sequential = has_own_rule(steps.model), isinstance(steps.model, SequenceModel)

    while state.epoch < settings.epochs:
        began = time.perf_counter()
        epoch, variant = state.epoch, steps.variant_at(state.epoch)
        step = steps[variant]
        results: list[Any] = []
        frames = 0.0
        # the number of batches varies a little from epoch to epoch; the schedule counts by the first one
        share = settings.transpose_prob_at(epoch)
        in_epoch = corpus.n_batches((settings.seed, epoch))
        batches = corpus.epoch((settings.seed, epoch), transpose_prob=share, fill=not own_rule)
        with engine.large_results_kept():
            for i, batch in enumerate(batches):
                if i < state.batch:
                    continue
                steps.rate.set_value(np.asarray(rate(epoch * n_batches + min(i, n_batches - 1)), steps.rate.dtype))
                own = corpus.inputs(batch.rows(spread.own))
                results.append(step(*(spread.assemble(x, axis=1) for x in own)))
                frames += float(batch.mask.sum())
                progress("batch", i + 1, in_epoch, None)
                if stop is not None and i + 1 < in_epoch and stop():
                    state.partial += [[float(x) for x in numbers] for numbers in results]
                    state.batch = i + 1
                    state.seconds += time.perf_counter() - began
                    spread.settle(state.variables.values())
                    _check_finite(state, steps, epoch)
                    return
        state.partial += [[float(x) for x in numbers] for numbers in results]
        spread.settle(state.variables.values())
        _check_finite(state, steps, epoch)
        took = time.perf_counter() - began
        state.epoch, state.batch = epoch + 1, 0
        means = np.mean(state.partial, axis=0)
        state.partial = []
        row: Row = {"epoch": epoch + 1}
        row |= {"k": math.nan if steps.model.normalized else variant.k} if sequential else {}
        row |= {} if own_rule else {"learning_rate": float(steps.rate.get_value())}
        row |= {name: float(mean) for name, mean in zip(steps.columns, means, strict=True)}
        row |= dict.fromkeys(judged.columns, math.nan)
        last = state.epoch == settings.epochs
        score = math.nan
        if judged.measure is not None and (last or state.epoch % settings.valid_every == 0):
            memory.give_back()  # not in every epoch, since the next steps must ask for it again
            with spread.at_home(state.variables.values()), steps.averaged():
                measured = processes.same_numbers(judged.measure())
            memory.give_back()
            row |= dict(zip(judged.columns, measured, strict=True))
            score = judged.sign * measured[0]
        if judged.measure is None or score > state.best_ll:
            state.best_ll = score if judged.measure is not None else state.best_ll
            state.best_epoch = state.epoch
            state.best = {name: engine.to_numpy(value) for name, value in steps.kept.items()}
        waited = state.epoch - state.best_epoch
        looked = not math.isnan(score)  # nothing is given up between two validations
        state.finished = last or (looked and 0 < settings.patience <= waited)
        if state.finished and complete is not None:
            live = {v: v.get_value() for v in (*steps.params, *steps.state)}  # from which more epochs may go on
            state.restore_best(steps.model)
            with spread.at_home(state.variables.values()):
                complete()
            state.best |= {p.name: engine.to_numpy(p) for p in steps.params}
            for variable, value in live.items():
                variable.set_value(value)
        state.seconds += time.perf_counter() - began
        row |= {"seconds": round(state.seconds, 2), "frames_per_second": round(frames / took)}
        state.rows.append(row)
        progress("train", state.epoch, settings.epochs, row)
        yield row
        if state.finished:
            break
        if stop is not None and stop():
            return
    state.finished = True


def _check_finite(state: State, steps: Steps, epoch: int) -> None:
    losses = [numbers[steps.columns.index("loss")] for numbers in state.partial] if "loss" in steps.columns else []
    finite = np.isfinite(losses).all()
    bad = [n for n, v in state.variables.items() if not np.isfinite(engine.to_numpy(v)).all()]
    if finite and not bad:
        return
    what = f"the parameters {', '.join(bad[:4])}" if bad else "the loss"
    if has_own_rule(steps.model):
        raise Diverged(f"{what} became NaN or infinite in epoch {epoch + 1}; see the updates of the model")
    raise Diverged(
        f"{what} became NaN or infinite in epoch {epoch + 1}; try a learning rate three times lower, a lower clip "
        "(training.clip), or a longer warmup"
    )
