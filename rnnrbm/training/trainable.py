"""What can be trained: the interface of a model, and the losses of sequence models.

A model has ``params`` and one of two methods, both of which build graphs:

* ``loss(batch, rng)`` returns a cost. Training minimizes it by the optimiser of the settings.
* ``updates(batch, rng)`` returns the next values of the parameters: the model's own learning rule.

Nothing is inherited. A linear autoencoder, for example::

    class Autoencoder:
        def __init__(self, n_visible, n_hidden, rng):
            self.W = engine.shared(rng.normal(0.0, 0.1, (n_visible, n_hidden)), "W")

        @property
        def params(self):
            return [self.W]

        def loss(self, batch, rng):
            error = pt.sqr(batch.v - batch.v @ self.W @ self.W.T).sum(axis=-1)
            return Loss(masked_mean(flatten(error), batch.mask))

    for row in rnnrbm.fit(Autoencoder(64, 8, rng), images, epochs=20):  # images: (N, 64)
        print(row["epoch"], row["loss"])

Six more attributes are optional:

* ``n_visible`` or ``visible`` (a unit type of :mod:`rnnrbm.units`), by which the data are checked;
* ``score(pieces, mode)``, which validates the model by a number that is higher for a better model;
* ``usual_settings``, a dict of the settings of training that suit the model, for those that are not set;
* ``prepare(pieces)``, which sets what a new training starts from by the data, such as biases;
* ``stages``, what is trained when: pairs of the share of the epochs after which a stage begins, the first 0, and an
  object whose ``loss`` is that of the stage. All stages have the same parameters, metrics and other variables;
* ``complete_training(pieces)``, which changes the best parameters once, when training is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend.engine import Updates
from rnnrbm.backend.random import Rng
from rnnrbm.batch import Batch, Loss
from rnnrbm.samplers import Differs, NegativePhase
from rnnrbm.sequence import SequenceModel, as_sequence_model
from rnnrbm.state_encoder import check_arrays, check_pieces
from rnnrbm.training.settings import Training, Variant
from rnnrbm.units import Gaussian

__all__ = [
    "Trainable",
    "TrainableByLoss",
    "TrainableByUpdates",
    "as_trainable",
    "check_names",
    "checked_pieces",
    "checked_stages",
    "float_type",
    "has_own_rule",
    "parameters",
    "sequence_loss",
]


@runtime_checkable
class TrainableByLoss(Protocol):
    """A model that an optimiser trains."""

    @property
    def params(self) -> Sequence[Any]:
        """Parameters: shared variables, whose names are unique."""

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """Build the cost of a batch, the updates of other state, and metrics to report.

        A model that draws from `rng` returns ``rng.updates()`` of the last position among its updates.
        """


@runtime_checkable
class TrainableByUpdates(Protocol):
    """A model with its own learning rule, such as Hebb's or wake-sleep."""

    @property
    def params(self) -> Sequence[Any]:
        """Parameters: shared variables, whose names are unique."""

    def updates(self, batch: Batch, rng: Rng) -> tuple[Updates, Mapping[str, TensorVariable]]:
        """Build the next values of the parameters and of other state, and metrics to report.

        In each epoch every frame has mask 1 exactly once.
        """


Trainable = TrainableByLoss | TrainableByUpdates


def has_own_rule(model: Any) -> bool:
    """Whether a model is trained by its ``updates``. They take precedence over a ``loss``."""
    return not isinstance(model, SequenceModel) and hasattr(model, "updates")


def as_trainable(model: Any) -> Any:
    """Return a SequenceModel or a :data:`Trainable`; a frame density becomes a sequence model without a past.

    The result shares the parameters of the argument.

    Raises
    ------
    TypeError
        For anything else. The message says what is missing.
    """
    if isinstance(model, type):
        raise TypeError(f"fit trains a model, got the class {model.__name__}; make a model of it first")
    model = as_sequence_model(model)
    if isinstance(model, (SequenceModel, TrainableByLoss, TrainableByUpdates)):
        return model
    lacks = [name for name in ("params",) if not hasattr(model, name)]
    lacks += [] if hasattr(model, "loss") or hasattr(model, "updates") else ["loss or updates"]
    raise TypeError(
        "fit trains a SequenceModel, a frame density such as an RBM, or an object with params (a list of named shared "
        f"variables) and loss(batch, rng) or updates(batch, rng); got {type(model).__name__}, which lacks "
        f"{' and '.join(lacks)}. See rnnrbm.training.trainable"
    )


def parameters(model: Any) -> list[Any]:
    """Return the parameters of a model that :func:`as_trainable` returned.

    Raises
    ------
    TypeError
        If ``params`` is not a list of shared variables, or a parameter to train by gradients is no float.
    ValueError
        If a parameter has no name, or the name of another one.
    """
    params, kind = model.params, type(model).__name__
    if callable(params) or isinstance(params, (str, Mapping)) or not hasattr(params, "__iter__"):
        raise TypeError(f"params of {kind} must be a list of shared variables, got {type(params).__name__}")
    params = list(params)
    if not params:
        raise ValueError(f"params of {kind} is empty, so there is nothing to train")
    for p in params:
        if not isinstance(p, SharedVariable):
            raise TypeError(
                f"params of {kind} holds {p!r} of type {type(p).__name__}, expected shared variables, as made by "
                "rnnrbm.backend.engine.shared(value, name)"
            )
        if not has_own_rule(model) and np.dtype(p.type.dtype).kind != "f":
            raise TypeError(f"parameter {p.name} of {kind} has type {p.type.dtype}, which has no gradient; use float32")
    check_names(params, kind)
    return params


def checked_stages(model: Any) -> list[tuple[float, Any]]:
    """Return the stages of a model: when each begins, as a share of all epochs, and what has its loss; none: [].

    Raises
    ------
    TypeError
        If they are not pairs of a number and an object with a loss.
    ValueError
        If they do not begin at 0 and rise, or the model trains by updates of its own.
    """
    stages = [] if isinstance(model, SequenceModel) else list(getattr(model, "stages", ()))
    where = f"stages of {type(model).__name__}"
    if not stages:
        return []
    for stage in stages:
        if not (isinstance(stage, tuple) and len(stage) == 2 and hasattr(stage[1], "loss")):
            raise TypeError(
                f"{where}: expected pairs of a share of the epochs and an object with a loss, got {stage!r}"
            )
    shares = [float(share) for share, _ in stages]
    if has_own_rule(model):
        raise ValueError(f"{where}: a model with updates has no stages; it can count its own steps")
    if shares[0] != 0 or any(a >= b for a, b in pairwise([*shares, 1.0])):
        raise ValueError(f"{where} begin at {shares}, expected 0 first, then larger and larger numbers below 1")
    return list(zip(shares, (part for _, part in stages), strict=True))


def check_names(variables: Sequence[Any], kind: str) -> None:
    """Check that shared variables are arrays whose names are unique and can be keys of a checkpoint.

    Raises
    ------
    TypeError
        If a variable is no array.
    ValueError
        If a name is missing, not unique or reserved.
    """
    seen = set()
    for variable in variables:
        if not hasattr(variable.type, "dtype"):
            raise TypeError(
                f"a variable of {kind}, {variable.name}, is no array but {variable.type}, which a checkpoint cannot "
                "hold; draw random numbers from the rng that is passed"
            )
        if not variable.name:
            raise ValueError(
                f"a variable of {kind}, {variable.type}, has no name; give it one: it is the variable's key in a "
                "checkpoint"
            )
        if variable.name in seen:
            raise ValueError(f"two variables of {kind} have the same name {variable.name!r}; names must be unique")
        if variable.name in ("file", "allow_pickle", "_meta") or variable.name.startswith(("best.", "others.")):
            raise ValueError(f"a variable of {kind} has the name {variable.name!r}, which checkpoints reserve")
        seen.add(variable.name)


def float_type(params: Sequence[Any]) -> str:
    """Return the type of the first float parameter, in which the model reads frames."""
    return next((p.type.dtype for p in params if np.dtype(p.type.dtype).kind == "f"), pytensor.config.floatX)


def checked_pieces(model: Any, pieces: Any, *, name: str) -> list[np.ndarray]:
    """Check the data of a model, and return it as a list of pieces.

    Raises
    ------
    ValueError, TypeError
        See :func:`rnnrbm.state_encoder.check_pieces`.
    """
    if isinstance(model, SequenceModel):
        return check_pieces(pieces, model.density, name=name)
    visible, dtype = getattr(model, "visible", Gaussian()), float_type(parameters(model))
    return check_arrays(pieces, getattr(model, "n_visible", None), visible, dtype=dtype, name=name)


def sequence_loss(
    model: SequenceModel,
    settings: Training,
    variant: Variant,
    *,
    particles: Any = None,
    carried: Any = None,
    max_active: int | None = None,
    hidden_mean: Any = None,
    negative_phase: Callable[[int], Differs] | None = None,
) -> Callable[[Batch, Rng], Loss]:
    """Return ``loss(batch, rng)`` of a sequence model under the settings of training.

    Parameters
    ----------
    model : SequenceModel
    settings : Training
        Gives the proposals and temperatures of the negative phase.
    variant : Variant
        Gibbs steps and dropout rates.
    particles : shared variable or None
        Persistent chains; see :class:`rnnrbm.samplers.NegativePhase`.
    carried : shared variable or None
        States that rows carry on from batch to batch; see :meth:`rnnrbm.sequence.SequenceModel.loss`.
    max_active : int or None
        Greatest number of units that are on in a frame, if known.
    hidden_mean : shared variable or None
        Offsets of the hidden units, which follow their mean; see :meth:`rnnrbm.sequence.SequenceModel.loss`.
    negative_phase : callable or None
        Makes the negative phase of k Gibbs steps, instead of :class:`rnnrbm.samplers.NegativePhase`.
    """

    def phase() -> Differs:
        if negative_phase is not None:
            return negative_phase(variant.k)
        start = settings.start or "data"
        return NegativePhase(variant.k, settings.n_proposals, particles, settings.betas, settings.n_annealed, start)

    def loss(batch: Batch, rng: Rng) -> Loss:
        return model.loss(
            *batch,
            rng=rng,
            negative_phase=phase(),
            input_dropout=variant.input_dropout,
            input_noise=settings.input_noise,
            state_dropout=variant.state_dropout,
            carried=carried,
            max_active=max_active,
            hidden_mean=hidden_mean,
            sparsity=(settings.sparsity_target or 0.1, settings.sparsity_cost) if settings.sparsity_cost else None,
        )

    return loss
