"""Validation: how good a model is on other data, by the measure that suits it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnrbm.backend import engine, processes, random, sharding
from rnnrbm.scoring.likelihood import Evaluator, usable_states
from rnnrbm.sequence import SequenceModel
from rnnrbm.training.packing import PackedDataset
from rnnrbm.training.settings import Training
from rnnrbm.training.step import build_loss, device_frames, symbolic_batch
from rnnrbm.training.trainable import float_type, parameters

__all__ = ["ValidLoss", "Validation", "check_validation", "validation"]


class Validation(NamedTuple):
    """How a model is validated.

    Attributes
    ----------
    columns : tuple of str
        Names of the measured numbers; the first one chooses the best parameters.
    measure : callable or None
        Returns the numbers of the model as it is now. None without valid data.
    sign : float
        1 if higher is better, -1 if lower is better.
    """

    columns: tuple[str, ...]
    measure: Callable[[], tuple[float, ...]] | None
    sign: float = 1.0


def check_validation(model: Any) -> None:
    """Raise ValueError unless valid data have a use: the model has a likelihood, a ``score`` or a ``loss``."""
    if not any(hasattr(model, name) for name in ("score", "loss")):
        raise ValueError(
            f"{type(model).__name__} has neither score(pieces, mode) nor loss(batch, rng), so it cannot be validated; "
            "add one of them, or give no valid data"
        )


def validation(
    model: Any, train: Sequence[np.ndarray], valid: Sequence[np.ndarray], settings: Training, mode: Any
) -> Validation:
    """Choose how to validate a model.

    The measure of a sequence model is its log-likelihood. Another model is measured by its own ``score``, or else by
    its loss, see :class:`ValidLoss`.
    """
    if isinstance(model, SequenceModel):
        return Validation(("valid_ll", "valid_se"), _likelihood(model, train, valid, settings, mode) if valid else None)
    if hasattr(model, "score"):
        return Validation(("valid_score",), (lambda: (float(model.score(valid, mode)),)) if valid else None)
    if hasattr(model, "loss"):
        return Validation(("valid_loss",), ValidLoss(model, valid, settings, mode) if valid else None, -1.0)
    return Validation((), None)


def _likelihood(
    model: SequenceModel, train: Sequence[np.ndarray], valid: Sequence[np.ndarray], settings: Training, mode: Any
) -> Callable[[], tuple[float, ...]]:
    evaluate = Evaluator(
        model,
        n_chains=settings.valid_n_chains,
        n_temperatures=settings.valid_n_temperatures,
        exact_states=usable_states(model, train, settings.valid_n_exact_states),
        mode=mode,
    )

    def measure() -> tuple[float, float]:
        scored = evaluate(valid, seed=settings.seed, frames=settings.valid_n_frames or None)
        return scored.mean, scored.standard_error

    return measure


class ValidLoss:
    """The mean loss of valid pieces, each frame once, with the same random numbers every time.

    Parameters
    ----------
    model : TrainableByLoss
    valid : sequence of arrays (T, n_visible)
    settings : Training
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    """

    def __init__(self, model: Any, valid: Sequence[np.ndarray], settings: Training, mode: Any) -> None:
        corpus = PackedDataset(
            valid,
            row_length=settings.row_length,
            batch_size=settings.batch_size,
            context=settings.context,
            on_device=processes.count() == 1,
        )
        frames = device_frames(corpus, "valid_frames")
        self._rng = random.shared(settings.seed, stream=1)
        inputs, batch = symbolic_batch(corpus, frames, float_type(parameters(model)))
        loss = build_loss(model.loss, batch, self._rng, type(model).__name__)
        updates = {v: new for v, new in loss.updates.items() if v is self._rng.draw}
        self._cost = engine.function(inputs, loss.cost, updates, mode=mode, trust_input=True, on_unused_input="ignore")
        self._corpus, self._seed = corpus, (settings.seed,)
        self._spread = sharding.Sharding(corpus.batch_size, mode, sums=True)
        self._variables = engine.shared_inputs([loss.cost, *updates.values()])

    def __call__(self) -> tuple[float, ...]:
        """Return the mean loss over all frames."""
        self._rng.draw.set_value(np.asarray(0, np.uint32))
        with self._spread.replicated(self._variables):
            costs, weights = [], []
            for batch in self._corpus.epoch(self._seed, fill=False):
                own = self._corpus.inputs(batch.rows(self._spread.own))
                costs.append(self._cost(*(self._spread.assemble(x, axis=1) for x in own)))
                weights.append(float(batch.mask.sum()))
            return (math.fsum(float(c) * w for c, w in zip(costs, weights, strict=True)) / math.fsum(weights),)
