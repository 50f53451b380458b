"""The compiled training step of a model, and what it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine, random
from rnnrbm.backend.engine import Updates
from rnnrbm.backend.random import Rng
from rnnrbm.batch import Batch, Loss
from rnnrbm.samplers import Differs
from rnnrbm.sequence import SequenceModel
from rnnrbm.training import optimisers
from rnnrbm.training.centring import centring
from rnnrbm.training.packing import PackedDataset
from rnnrbm.training.settings import Training, Variant
from rnnrbm.training.trainable import check_names, checked_stages, float_type, has_own_rule, parameters, sequence_loss

__all__ = ["Steps", "build_loss", "device_frames", "gather", "symbolic_batch"]

#: Columns of an epoch's metrics that do not come from the model.
RESERVED = {"epoch", "k", "learning_rate", "valid_ll", "valid_se", "valid_loss", "valid_score"}
RESERVED |= {"seconds", "frames_per_second"}

#: Cells up to which a data set is padded; compiling takes longer than the training of a smaller one.
MOST_PADDED = 2**22


def gather(
    frames: TensorVariable, offset: TensorVariable, n_visible: int, dtype: str, *, whole: bool = False
) -> TensorVariable:
    """Gather the frames of a batch from the data on the device: (T, B) offsets -> (T, B, n_visible).

    With `whole`, every offset is that of a frame's first column, as without transposition; whole rows are faster.
    """
    if whole:
        return frames.reshape((-1, n_visible))[offset // np.int32(n_visible)].astype(dtype)
    columns = np.arange(n_visible, dtype=np.int32)
    return frames[offset[:, :, None] + columns].astype(dtype)


def device_frames(corpus: PackedDataset, name: str) -> Any:
    """Return all frames as a shared variable; None if they are too many, and each batch brings its own.

    A small data set is padded to one of a few sizes, so that sets of about equal size, such as the folds of a
    cross-validation, share the compiled training step.
    """
    if not corpus.on_device:
        return None
    frames = corpus.frames
    if frames.size <= MOST_PADDED:
        n_frames = len(frames)
        grain = 1 << max(8, n_frames.bit_length() - 3)  # 256, or a quarter of the power of two at or below it
        frames = np.pad(frames, ((0, -n_frames % grain), (0, 0)))
    return engine.shared(frames.ravel(), name, corpus.dtype, borrow=True)


def symbolic_batch(corpus: PackedDataset, frames: Any, dtype: str) -> tuple[list[TensorVariable], Batch]:
    """Return the inputs of a compiled function, those of :meth:`PackedDataset.inputs`, and the batch they describe.

    Parameters
    ----------
    corpus : PackedDataset
    frames : shared variable or None
        What :func:`device_frames` has returned.
    dtype : str
        Type of the frames of the batch.
    """
    shape = (corpus.row_length, corpus.batch_size)
    mask = pt.tensor("mask", dtype="float32", shape=shape)
    start = pt.tensor("start", dtype="bool", shape=shape)
    if frames is None:
        v = pt.tensor("frames", dtype=corpus.dtype.name, shape=(*shape, corpus.n_visible))
        return [v, mask, start], Batch(v.astype(dtype), mask, start)
    offset = pt.tensor("offset", dtype="int32", shape=shape)
    return [offset, mask, start], Batch(
        gather(frames, offset, corpus.n_visible, dtype, whole=corpus.is_still), mask, start
    )


def build_loss(rule: Callable[[Batch, Rng], Any], batch: Batch, rng: Rng, kind: str) -> Loss:
    """Build the loss of a batch, and check it.

    Raises
    ------
    TypeError
        If the result is not a :class:`rnnrbm.sequence.Loss` with a scalar cost.
    ValueError
        If the loss draws random numbers and does not advance the random stream.
    """
    loss = rule(batch, rng)
    if not isinstance(loss, Loss):
        raise TypeError(
            f"loss of {kind} must return a rnnrbm.sequence.Loss(cost, updates, metrics), got {type(loss).__name__}"
        )
    _check_scalars({"loss": loss.cost} | dict(loss.metrics), kind)
    _check_stream([loss.cost, *loss.updates.values()], loss.updates, rng, "loss", kind)
    return loss


class Steps:
    """The compiled training step, one program for each variant of it, all on the same variables.

    Parameters
    ----------
    model : SequenceModel or Trainable
    corpus : PackedDataset
    settings : Training
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    negative_phase : callable or None
        See :func:`rnnrbm.training.fit.fit`.

    Attributes
    ----------
    params, average, state : lists of shared variables
        Parameters, their moving averages if these are on, and what else the model updates, such as persistent chains.
    columns : list of str
        Names of the outputs of a step.
    """

    def __init__(
        self,
        model: Any,
        corpus: PackedDataset,
        settings: Training,
        mode: Any,
        negative_phase: Callable[[int], Differs] | None = None,
    ) -> None:
        self._negative_phase = negative_phase
        self.model, self.corpus, self.settings, self.mode = model, corpus, settings, mode
        self.params = parameters(model)
        self.dtype = float_type(self.params)
        self.frames = device_frames(corpus, "frames")
        self.rate = engine.shared(0.0, "learning_rate", self.dtype)
        self.rng = random.shared(settings.seed)
        self.optimiser: dict[str, Any] = {}
        self.average: list[Any] = []
        if settings.averaging:
            self.optimiser["average_t"] = engine.shared(0.0, "average_t", self.dtype)
            self.average = [engine.shared(engine.to_numpy(p), f"average.{p.name}", p.dtype) for p in self.params]
        particles: Any = None
        if settings.persistent:  # silence at first, from which a model that is hardly trained is a step away
            rows = (settings.n_annealed + corpus.row_length * corpus.batch_size, corpus.n_visible)
            shape = rows if settings.n_betas == 1 else (settings.n_betas, *rows)
            particles = engine.shared(np.zeros(shape), "particles", self.dtype)
        self._particles = particles
        self._carried = None
        if isinstance(model, SequenceModel) and model.network.n_outputs:
            n_rows = round(settings.carry * corpus.batch_size)
            states = np.zeros((n_rows, model.network.u_0.type.shape[0]))
            self._carried = engine.shared(states, "carried", self.dtype) if n_rows else None
        self._centring = None
        if settings.centring and isinstance(model, SequenceModel):
            self._centring = centring(model.density, corpus.mean())
        if self._centring is not None:  # no constant, which would make the program that of these data alone
            mean = engine.shared(self._centring.mu, "data_mean", self._centring.mu.dtype)
            self._centring = self._centring._replace(mu=mean)
        self._hidden_mean = None
        if self._centring is not None and settings.adaptive_offsets:
            self._hidden_mean = engine.shared(self._centring.lam, "hidden_mean", self.dtype)
            self._centring = self._centring._replace(lam=self._hidden_mean)
        self.state: list[Any] = []
        self.columns: list[str] = []
        self._graphs: dict[Variant, Any] = {}
        self._programs: dict[Variant, Any] = {}
        self._stages = checked_stages(model)
        self._graph(self.variant_at(0))  # finds all state variables
        check_names(list(self._listed()), type(model).__name__)

    def _listed(self) -> Iterator[Any]:
        yield from (*self.params, *self.average, *self.optimiser.values(), *self.state, self.rng.key, self.rng.draw)

    def variables(self) -> dict[str, Any]:
        """Return everything that changes from step to step, by name."""
        return {variable.name: variable for variable in self._listed()}

    @property
    def kept(self) -> dict[str, Any]:
        """What belongs to the trained model, under its name there: parameters, or their averages, and its own state."""
        best = self.average or self.params
        own = [] if isinstance(self.model, SequenceModel) else self.state  # chains are no part of a sequence model
        return {p.name: value for p, value in zip(self.params, best, strict=True)} | {v.name: v for v in own}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the parameters hold their averages within the block, if there are any."""
        before = [p.container.storage[0] for p in self.params]
        for p, average in zip(self.params, self.average, strict=False):
            p.container.storage[0] = average.container.storage[0]
        try:
            yield
        finally:
            for p, value in zip(self.params, before, strict=True):
                p.container.storage[0] = value

    def variant_at(self, epoch: int) -> Variant:
        """What of the step belongs to an epoch, counted from 0, and to this model: Gibbs chains, a network, stages."""
        model, variant = self.model, self.settings.variant_at(epoch)
        if not isinstance(model, SequenceModel):
            return Variant(1, stage=self.settings.stage_at([share for share, _ in self._stages], epoch))
        k = 1 if model.normalized else variant.k
        return variant._replace(k=k) if model.network.n_outputs else Variant(k)

    def __getitem__(self, variant: Variant) -> Any:
        if variant not in self._programs:
            inputs, outputs, updates = self._graph(variant)
            self._programs[variant] = engine.function(
                inputs,
                outputs,
                updates,
                mode=self.mode,
                precision=self.settings.precision,
                trust_input=True,
                on_unused_input="ignore",  # a model without a past has no use for starts
            )
        return self._programs[variant]

    def _graph(self, variant: Variant) -> Any:
        """Build the inputs, outputs and updates of the step."""
        if variant in self._graphs:
            return self._graphs[variant]
        inputs, batch = symbolic_batch(self.corpus, self.frames, self.dtype)
        if has_own_rule(self.model):
            metrics, updates, own = self._by_own_rule(batch)
        else:
            metrics, updates, own = self._by_gradient(batch, variant)
        if self.average:
            t = self.optimiser["average_t"]
            one, nine = (np.asarray(x, t.dtype) for x in (1.0, 9.0))
            # a running mean over all steps at first, so that the random start is soon forgotten
            decay = pt.minimum(np.asarray(self.settings.averaging, t.dtype), (one + t) / (one + nine + t))
            pairs = list(zip(self.average, self.params, strict=True))
            updates |= {t: t + one}
            updates |= {a: a + (one - decay) * (updates.get(p, p) - a) for a, p in pairs}
        state = [v for v in own if v not in (*self.params, self.rng.key, self.rng.draw)]
        if self._graphs and (set(state) != set(self.state) or list(metrics) != self.columns):
            raise ValueError(
                f"stage {variant.stage} of {type(self.model).__name__} has other updates or metrics than the first: "
                f"{sorted(v.name for v in state)} and {list(metrics)}, expected {sorted(v.name for v in self.state)} "
                f"and {self.columns}; what a stage leaves alone it returns as its own update"
            )
        if not self._graphs:
            self.state, self.columns = state, list(metrics)
        self._graphs[variant] = inputs, list(metrics.values()), updates
        return self._graphs[variant]

    def _by_gradient(self, batch: Batch, variant: Variant) -> tuple[dict[str, Any], Updates, list[Any]]:
        """Minimize the loss: return metrics, updates, and the variables that the model itself updates."""
        model, settings, params, kind = self.model, self.settings, self.params, type(self.model).__name__
        rule, scales = self._stages[variant.stage][1].loss if self._stages else model.loss, {}
        if isinstance(model, SequenceModel):
            active = self.corpus.max_active
            chains, carried = self._particles, self._carried
            rule = sequence_loss(
                model,
                settings,
                variant,
                particles=chains,
                carried=carried,
                max_active=active,
                hidden_mean=self._hidden_mean,
                negative_phase=self._negative_phase,
            )
            scales = {p.name: settings.rnn_scale for p in params}
            scales |= {p.name: settings.density_scale for p in model.density.tensors()}
        loss = build_loss(rule, batch, self.rng, kind)
        both = [p.name for p in params if p in loss.updates]
        if both:
            raise ValueError(f"loss of {kind} updates its parameters {', '.join(both)}, which the optimiser does")
        grads: Any = pt.grad(loss.cost, params)
        centred = self._centring
        if centred is not None:
            grads = centred.gradients(grads, params)
        if settings.clip:
            grads = optimisers.clip_by_global_norm(grads, settings.clip)
        make = optimisers.OPTIMISERS[settings.optimiser]
        updates = make(grads, params, self.rate, scales=scales, state=self.optimiser) | dict(loss.updates)
        if settings.weight_decay:
            shrink = np.asarray(settings.weight_decay, self.rate.dtype) * self.rate
            updates |= {p: updates[p] - shrink * p for p in params if p.ndim > 1}
        if centred is not None:
            updates = centred.plain(updates)
        return {"loss": loss.cost} | dict(loss.metrics), updates, list(loss.updates)

    def _by_own_rule(self, batch: Batch) -> tuple[dict[str, Any], Updates, list[Any]]:
        """Take the model's own updates; see :meth:`_by_gradient`."""
        kind = type(self.model).__name__
        result = self.model.updates(batch, self.rng)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"updates of {kind} must return (updates, metrics), got {type(result).__name__}")
        updates, metrics = (dict(part) for part in result)
        wrong = [key for key in updates if not isinstance(key, SharedVariable)]
        if wrong:
            raise TypeError(f"updates of {kind} has the key {wrong[0]!r}, expected shared variables")
        if not set(self.params) & set(updates):
            raise ValueError(f"updates of {kind} has none of its params, so nothing is trained")
        _check_scalars(metrics, kind)
        _check_stream([*updates.values(), *metrics.values()], updates, self.rng, "updates", kind)
        return metrics, updates, list(updates)


def _check_scalars(metrics: dict[str, Any], kind: str) -> None:
    for name, value in metrics.items():
        if getattr(value, "ndim", None) != 0:
            shape = f"has {value.ndim} dimensions" if hasattr(value, "ndim") else f"is a {type(value).__name__}"
            raise TypeError(f"{name} of {kind} {shape}, expected a symbolic scalar, such as a mean over the batch")
        if name in RESERVED:
            raise ValueError(f"a metric of {kind} is called {name!r}, which is a column of every epoch's metrics")


def _check_stream(results: Sequence[Any], updates: Any, rng: Rng, method: str, kind: str) -> None:
    if rng.draw in engine.shared_inputs([x for x in results if hasattr(x, "owner")]) and rng.draw not in updates:
        raise ValueError(
            f"{method} of {kind} draws random numbers, and its updates do not advance the random stream, so every step "
            "would draw the same ones; add rng.updates() of the last rng to them"
        )
