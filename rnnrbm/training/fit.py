"""Training: ``fit`` is a generator, so the user's ``for`` loop is the callback.

    for row in fit(model, data.train, data.valid, epochs=50, transpose_range=(-5, 6)):
        print(row["epoch"], row["valid_ll"])

All state of a training run is in a :class:`State`: parameters, optimiser, random stream, position in the epoch, best
parameters so far. Saved and loaded again, training goes on as if it had never stopped, bit for bit.
"""

from __future__ import annotations

import math
import os
import time
import warnings
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine, random, sharding
from rnnrbm.backend.progress import Progress, silent
from rnnrbm.samplers import NegativePhase
from rnnrbm.scoring.likelihood import Evaluator, usable_states
from rnnrbm.sequence import SequenceModel
from rnnrbm.state_encoder import check_pieces
from rnnrbm.training import checkpoint, optimisers
from rnnrbm.training.packing import PackedDataset
from rnnrbm.training.settings import Training

__all__ = ["Diverged", "Epochs", "State", "fit", "gather"]

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
        Their valid log-likelihood, nats per frame.
    best : dict of str to numpy.ndarray
        The best parameters by name.
    rows : list of dict
        Metrics of all epochs.
    finished : bool
        Training ended of itself: all epochs done, or early stopping.
    variables : dict of str to shared variable
        Everything that changes from step to step, live.
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
    _loaded: dict[str, np.ndarray] = field(default_factory=dict)
    _source: str = ""

    _PLAIN = ("epoch", "batch", "best_epoch", "best_ll", "seconds", "finished", "rows", "partial")

    def save(self, path: str | os.PathLike[str], meta: Mapping[str, Any] | None = None) -> None:
        """Write a checkpoint, in one step; `meta` (JSON) goes with it."""
        arrays = {name: engine.to_numpy(v) for name, v in self.variables.items()}
        arrays |= {f"best.{name}": value for name, value in self.best.items()}
        plain = {name: getattr(self, name) for name in self._PLAIN}
        checkpoint.save(path, arrays, {"state": plain, **(meta or {})})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> tuple[State, dict[str, Any]]:
        """Read a checkpoint: the state, to be given to :func:`fit`, and the `meta` saved with it."""
        arrays, meta = checkpoint.load(path)
        plain = meta.pop("state", None)
        if plain is None or set(plain) != set(cls._PLAIN):
            raise checkpoint.CheckpointError(f"{path}: holds no training state of this version of rnnrbm")
        best = {name[5:]: arrays.pop(name) for name in list(arrays) if name.startswith("best.")}
        return cls(**plain, best=best, _loaded=arrays, _source=str(path)), meta

    def attach(self, variables: Mapping[str, Any]) -> None:
        """Name the live variables, and give them the values that were loaded, or that those before them came to."""
        held = self._loaded or {name: engine.to_numpy(v) for name, v in self.variables.items()}
        if held:
            checkpoint.assign(variables, held, where=self._source or "the state given")
            self._loaded = {}
        self.variables = dict(variables)

    def restore_best(self, model: SequenceModel) -> None:
        """Give the model the best parameters."""
        if self.best:
            checkpoint.assign({p.name: p for p in model.params}, self.best, where="best parameters")


def gather(frames: TensorVariable, offset: TensorVariable, n_visible: int, dtype: str) -> TensorVariable:
    """Pick the frames of a batch from the data where they lie: (T, B) places -> (T, B, n_visible)."""
    columns = np.arange(n_visible, dtype=np.int32)
    return frames[offset[:, :, None] + columns].astype(dtype)


def _rates(settings: Training, n_steps: int) -> Callable[[int], float]:
    """The learning rate as a function of the step, counted from 0."""
    warm = max(1, round(settings.warmup * n_steps))

    def rate(step: int) -> float:
        done = min(1.0, step / max(1, n_steps))
        left = {"cosine": 0.5 * (1.0 + math.cos(math.pi * done)), "linear": 1.0 - done, "constant": 1.0}
        share = settings.final_rate + (1.0 - settings.final_rate) * left[settings.schedule]
        return settings.learning_rate * share * min(1.0, (step + 1) / warm)

    return rate


class _Steps:
    """The compiled training step, one program for each k, all on the same variables."""

    def __init__(self, model: SequenceModel, corpus: PackedDataset, settings: Training, mode: Any) -> None:
        self.model, self.corpus, self.settings, self.mode = model, corpus, settings, mode
        dtype = model.dtype
        self.frames = engine.shared(corpus.frames.ravel(), "frames", corpus.frames.dtype)
        self.rate = engine.shared(0.0, "learning_rate", dtype)
        self.rng = random.shared(settings.seed)
        self.optimiser: dict[str, Any] = {}
        self.average: list[Any] = []
        if settings.averaging:
            self.optimiser["average_t"] = engine.shared(0.0, "average_t", dtype)
            self.average = [engine.shared(engine.to_numpy(p), f"average.{p.name}", dtype) for p in model.params]
        self.particles: Any = None
        if settings.persistent:  # silence at first, from which a model that is hardly trained is a step away
            rows = (corpus.row_length * corpus.batch_size, corpus.n_visible)
            shape = rows if settings.n_betas == 1 else (settings.n_betas, *rows)
            self.particles = engine.shared(np.zeros(shape), "particles", dtype)
        self._compiled: dict[int, Any] = {}
        self[settings.k_at(0)]  # so that all state variables exist

    @property
    def kept(self) -> SequenceModel:
        """The model to validate and keep: the averaged one, if averaging is on."""
        return self.model.with_params(self.average) if self.average else self.model

    def variables(self) -> dict[str, Any]:
        chains = [] if self.particles is None else [self.particles]
        listed = [*self.model.params, *self.average, *self.optimiser.values(), *chains, self.rng.key, self.rng.draw]
        return {variable.name: variable for variable in listed}

    def __getitem__(self, k: int) -> Any:
        k = 1 if self.model.normalized else k  # without Gibbs chains, one program for all epochs
        if k not in self._compiled:
            self._compiled[k] = self._compile(k)
        return self._compiled[k]

    def _compile(self, k: int) -> Any:
        model, settings = self.model, self.settings
        shape = (self.corpus.row_length, self.corpus.batch_size)
        offset = pt.tensor("offset", dtype="int32", shape=shape)
        mask = pt.tensor("mask", dtype="float32", shape=shape)
        start = pt.tensor("start", dtype="bool", shape=shape)
        v = gather(self.frames, offset, self.corpus.n_visible, model.dtype)
        loss = model.loss(
            v,
            mask,
            start,
            rng=self.rng,
            negative_phase=NegativePhase(k, settings.n_proposals, self.particles, settings.betas),
            input_dropout=settings.input_dropout,
            state_dropout=settings.state_dropout,
            max_active=self.corpus.max_active,
        )
        params = model.params
        grads: Any = pt.grad(loss.cost, params)
        if settings.clip:
            grads = optimisers.clip_by_global_norm(grads, settings.clip)
        scales = {p.name: settings.rnn_scale for p in params}
        scales |= {p.name: settings.density_scale for p in model.density.tensors()}
        make = optimisers.OPTIMISERS[settings.optimiser]
        updates = make(grads, params, self.rate, scales=scales, state=self.optimiser) | loss.updates
        if settings.weight_decay:
            shrink = np.asarray(settings.weight_decay, self.rate.dtype) * self.rate
            updates |= {p: updates[p] - shrink * p for p in params if p.ndim > 1}
        if self.average:
            t = self.optimiser["average_t"]
            one, nine = (np.asarray(x, t.dtype) for x in (1.0, 9.0))
            # a running mean over all steps at first, so that the random start is soon forgotten
            decay = pt.minimum(np.asarray(settings.averaging, t.dtype), (one + t) / (one + nine + t))
            updates |= {t: t + one}
            updates |= {a: a + (one - decay) * (updates[p] - a) for a, p in zip(self.average, params, strict=True)}
        outputs = [loss.cost, loss.pseudo_log_likelihood]
        return engine.function(  # a model without a past has no use for starts
            [offset, mask, start], outputs, updates, mode=self.mode, trust_input=True, on_unused_input="ignore"
        )


def fit(
    model: SequenceModel,
    train: Sequence[np.ndarray],
    valid: Sequence[np.ndarray] | None = None,
    settings: Training | None = None,
    *,
    state: State | None = None,
    stop: Callable[[], bool] | None = None,
    progress: Progress = silent,
    mode: Any = None,
    **changes: Any,
) -> Epochs:
    """Train a model in place, epoch by epoch: iterate over the result.

    Arguments are checked at once; training happens in the loop, ``for row in fit(...)``, or in ``list(fit(...))``.

    When training has ended of itself, the model holds its best parameters: those with the highest valid
    log-likelihood, or the last ones if there is no valid set.

    Parameters
    ----------
    model : SequenceModel
    train, valid : sequences of arrays (T, n_visible) of 0 and 1
        `valid` may be None: then nothing is validated and nothing stops early.
    settings : Training or None
        See :class:`rnnrbm.training.settings.Training`; None stands for the defaults. Of music give
        ``transpose_range=(-5, 6)``, or the model will overfit: pieces are shifted at random by so many columns.
    state : State or None
        Where the run's state is kept; give one that was loaded, or that another call stopped in, to go on from there.
    stop : callable or None
        Asked after every batch; if it answers True, the generator ends with the state at that batch.
    progress : callable
        Called with the stage "batch" after every batch of an epoch; see :data:`rnnrbm.backend.progress.Progress`.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    **changes
        Settings by name, instead of `settings`: ``fit(model, train, epochs=10, k=5)``.

    Returns
    -------
    Epochs
        An iterator of dicts, one for each epoch: ``epoch`` (from 1), ``k`` (NaN of a normalized density),
        ``learning_rate``, ``loss`` (of a normalized density -log p, nats per frame), ``pseudo_likelihood`` (of binary
        RBMs; both of the training batches, with dropout), ``valid_ll``, ``valid_se`` (nats per frame; NaN where not
        validated), ``seconds`` (so far), ``frames_per_second``.

    Raises
    ------
    Diverged
        If loss or parameters become NaN or infinite. The state is then useless; the last one saved is good.
    ValueError
        If data and model do not fit together, or a setting is impossible; or if parts of the model are to be trained
        first, which is :func:`rnnrbm.training.pretraining.stages`.
    """
    if settings is not None and changes:
        raise ValueError("give either settings or single settings by name, not both")
    if not isinstance(model, SequenceModel):
        raise TypeError(
            f"fit trains a SequenceModel, got {type(model).__name__}; see rnnrbm.models.registry for one without past"
        )
    if settings is not None and not isinstance(settings, Training):
        raise TypeError(
            f"settings must be a rnnrbm.training.settings.Training, got {type(settings).__name__}; give "
            "single ones by name, "
            "as in fit(model, train, epochs=10)"
        )
    settings = settings or Training.named(changes, where="fit")
    if settings.pretrain_density or settings.pretrain_network:
        raise ValueError(
            f"pretrain_density ({settings.pretrain_density}) and pretrain_network ({settings.pretrain_network}) are "
            "stages of their own, and fit trains one: call it for each of "
            "rnnrbm.training.pretraining.stages(model, settings)"
        )
    state = State() if state is None else state
    check_pieces(train, model.density, name="train piece")
    if valid:
        check_pieces(valid, model.density, name="valid piece")
    return Epochs(_run(model, train, valid or [], settings, state, stop, progress, mode))


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
            warnings.warn(
                "fit(...) was called but not iterated over, so nothing was trained; write 'for row in fit(...):' or "
                "list(fit(...))",
                RuntimeWarning,
                stacklevel=2,
            )


def _run(
    model: SequenceModel,
    train: Sequence[np.ndarray],
    valid: Sequence[np.ndarray],
    settings: Training,
    state: State,
    stop: Callable[[], bool] | None,
    progress: Progress,
    mode: Any,
) -> Generator[Row, None, None]:
    """Lay out the data, compile, and train; see :func:`fit`."""
    if state.finished:
        state.restore_best(model)
        return
    corpus = PackedDataset(
        train,
        row_length=settings.row_length,
        batch_size=settings.batch_size,
        context=settings.context,
        align=model.network.traits.period,
        transpose_range=settings.shifts,
    )
    steps = _Steps(model, corpus, settings, mode)
    state.attach(steps.variables())
    spread = sharding.Sharding(corpus.batch_size, mode, sums=True)
    evaluate = None
    if valid:
        evaluate = Evaluator(
            steps.kept,
            n_chains=settings.valid_n_chains,
            n_temperatures=settings.valid_n_temperatures,
            exact_states=usable_states(model, train, settings.valid_n_exact_states),
            mode=mode,
        )
    spread.replicate([steps.frames, *state.variables.values()])
    try:
        yield from _epochs(state, settings, steps, spread, evaluate, valid, stop, progress)
    finally:
        sharding.release(state.variables.values())
    if state.finished:
        state.restore_best(model)


def _epochs(
    state: State,
    settings: Training,
    steps: _Steps,
    spread: sharding.Sharding,
    evaluate: Evaluator | None,
    valid: Sequence[np.ndarray],
    stop: Callable[[], bool] | None,
    progress: Progress,
) -> Iterator[Row]:
    """Train epoch by epoch until the end, early stopping or `stop`."""
    corpus = steps.corpus
    n_batches = corpus.n_batches((settings.seed, 0))
    rate = _rates(settings, settings.epochs * n_batches)

    while state.epoch < settings.epochs:
        began = time.perf_counter()
        epoch, k = state.epoch, settings.k_at(state.epoch)
        step = steps[k]
        results: list[Any] = []
        frames = 0.0
        # the number of batches varies a little from epoch to epoch; the schedule counts by the first one
        batches = list(corpus.epoch((settings.seed, epoch), transpose_prob=settings.transpose_prob_at(epoch)))
        for i, batch in enumerate(batches):
            if i < state.batch:
                continue
            steps.rate.set_value(np.asarray(rate(epoch * n_batches + min(i, n_batches - 1)), steps.rate.dtype))
            results.append(step(*(spread.shard(x, axis=1) for x in batch)))
            frames += float(batch.mask.sum())
            progress("batch", i + 1, len(batches), None)
            if stop is not None and i + 1 < len(batches) and stop():
                state.partial += [[float(x) for x in pair] for pair in results]
                state.batch = i + 1
                state.seconds += time.perf_counter() - began
                _check_finite(state, epoch)
                return
        state.partial += [[float(x) for x in pair] for pair in results]
        _check_finite(state, epoch)
        took = time.perf_counter() - began
        state.epoch, state.batch = epoch + 1, 0
        loss, pseudo = np.mean(state.partial, axis=0)
        state.partial = []
        row: Row = {
            "epoch": epoch + 1,
            "k": math.nan if steps.model.normalized else k,
            "learning_rate": float(steps.rate.get_value()),
            "loss": float(loss),
            "pseudo_likelihood": float(pseudo),
            "valid_ll": math.nan,
            "valid_se": math.nan,
        }
        last = state.epoch == settings.epochs
        if evaluate is not None and (last or state.epoch % settings.valid_every == 0):
            scored = evaluate(valid, seed=settings.seed, frames=settings.valid_n_frames or None)
            row["valid_ll"], row["valid_se"] = scored.mean, scored.standard_error
        if evaluate is None or row["valid_ll"] > state.best_ll:
            state.best_ll = row["valid_ll"] if evaluate is not None else state.best_ll
            state.best_epoch = state.epoch
            state.best = {
                p.name: engine.to_numpy(kept) for p, kept in zip(steps.model.params, steps.kept.params, strict=True)
            }
        state.seconds += time.perf_counter() - began
        row |= {"seconds": round(state.seconds, 2), "frames_per_second": round(frames / took)}
        state.rows.append(row)
        waited = state.epoch - state.best_epoch
        looked = not math.isnan(row["valid_ll"])  # nothing is given up between two validations
        state.finished = last or (looked and 0 < settings.patience <= waited)
        yield row
        if state.finished:
            break
        if stop is not None and stop():
            return
    state.finished = True


def _check_finite(state: State, epoch: int) -> None:
    finite = np.isfinite([loss for loss, _ in state.partial]).all()
    bad = [n for n, v in state.variables.items() if not np.isfinite(engine.to_numpy(v)).all()]
    if finite and not bad:
        return
    what = f"the parameters {', '.join(bad[:4])}" if bad else "the loss"
    raise Diverged(
        f"{what} became NaN or infinite in epoch {epoch + 1}; try a learning rate three times lower, a lower clip "
        "(training.clip), or a longer warmup"
    )
