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

Three more attributes are optional: ``n_visible`` or ``visible`` (a unit type of :mod:`rnnrbm.units`), by which the data
are checked; ``score(pieces, mode)``, which validates the model by a number that is higher for a better model; and
``usual_settings``, a dict of the settings of training that suit the model, for those that are not set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend.engine import Updates
from rnnrbm.backend.random import Rng
from rnnrbm.batch import Batch, Loss
from rnnrbm.joint_units import Joint
from rnnrbm.rbm import RBM
from rnnrbm.samplers import NegativePhase
from rnnrbm.sequence import SequenceModel, as_sequence_model
from rnnrbm.state_encoder import check_arrays, check_pieces
from rnnrbm.training.settings import USUAL_RATE, Training, Variant
from rnnrbm.units import Gaussian
from rnnrbm.weights import as_rbm

__all__ = [
    "Trainable",
    "TrainableByLoss",
    "TrainableByUpdates",
    "as_trainable",
    "check_names",
    "checked_pieces",
    "float_type",
    "has_own_rule",
    "missing_settings",
    "parameters",
    "sequence_loss",
    "suitable_settings",
    "usual_rate",
    "usual_settings",
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

#: Settings of sequence models and of frame densities alone.
_OF_SEQUENCES = (
    "pretrain_density",
    "pretrain_network",
    "k",
    "start",
    "n_proposals",
    "persistent",
    "n_betas",
    "centring",
    "adaptive_offsets",
    "sparsity_target",
    "sparsity_cost",
    "density_scale",
    "rnn_scale",
    "state_dropout",
    "input_dropout",
    "input_noise",
    "carry",
    "valid_n_frames",
    "valid_n_chains",
    "valid_n_temperatures",
    "valid_n_exact_states",
)
#: Settings of the optimiser.
_OF_OPTIMISER = ("optimiser", "learning_rate", "schedule", "final_rate", "warmup", "clip", "weight_decay")
#: Settings that are off by default for other models: what is good for the weights of these may be wrong for those.
_OF_WEIGHTS = ("averaging", "weight_decay")


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


#: Learning rate of RTRBMs, of models without a partition function, and of RBMs whose weights are shared over pitch: the
#: best of three on the embedded chorales; see ``benchmarks/rates.csv``.
USUAL_RATE_OF_OTHERS = 2e-2


def usual_rate(model: Any) -> float:
    """Return the learning rate with which a model is trained if none is set.

    Parameters
    ----------
    model
        The result of :func:`as_trainable`.
    """
    if not isinstance(model, SequenceModel):
        return USUAL_RATE
    shared_over_pitch = isinstance(as_rbm(model.density), RBM) and not isinstance(model.density, RBM)
    return USUAL_RATE_OF_OTHERS if model.is_tied or model.normalized or shared_over_pitch else USUAL_RATE


#: Settings for models whose frames are real numbers, unless they are set; what each brings is in docs/vocalizations.md.
USUAL_OF_REAL_NUMBERS: dict[str, Any] = {
    "start": "noise",
    "k": [(0.0, 10), (0.5, 40)],
    "epochs": 30,
    "centring": False,
    "weight_decay": 0.3,
    "input_noise": 0.3,
    "input_dropout": 0.0,
    "state_dropout": 0.0,
}


#: Settings for RBMs of binary frames that are independent of each other, unless they are set; see docs/rbm.md.
USUAL_OF_IMAGES: dict[str, Any] = {
    "persistent": True,
    "adaptive_offsets": True,
    "k": 1,
    "optimiser": "momentum",
    "density_scale": 1.0,
    "clip": 0.0,
    "weight_decay": 0.0,
    "averaging": 0.999,
    "valid_n_chains": 100,
    "valid_n_temperatures": 2000,
    "valid_n_exact_states": 0,
}
#: What differs for RBMs of images and labels. With one step to the end, the probabilities of the classes drift apart:
#: 40 epochs of MNIST came to a model of which nine of ten images are a 0 (estimated by AIS).
USUAL_OF_LABELS: dict[str, Any] = {"k": [(0.0, 1), (0.5, 3), (0.8, 10)]}
#: Learning rate of images times their pixels, and the greatest learning rate; tried with 64 and 784 pixels.
RATE_OF_A_PIXEL, MOST_RATE = 16.0, 0.05
#: Images of a batch, and images that are read in all epochs together, within 50 to 150 epochs.
IMAGE_BATCH, IMAGES_READ = 100, 2_500_000


def usual_settings(model: Any, *, single_frames: bool = False) -> dict[str, Any]:
    """Return the settings with which a model is trained where none are set and the usual ones do not suit it.

    Parameters
    ----------
    model
        The result of :func:`as_trainable`. One that is no sequence model may name its own, ``usual_settings``.
    single_frames : bool
        Whether frames are independent of each other, as images are.

    Returns
    -------
    dict
        ``learning_rate``, ``start`` and others, by name.

    Raises
    ------
    TypeError
        If the model's own are no dict.
    ValueError
        If there is no setting of one of their names, or its value is impossible.
    """
    usual: dict[str, Any] = {} if has_own_rule(model) else {"learning_rate": usual_rate(model)}
    if not isinstance(model, SequenceModel):
        if not hasattr(model, "usual_settings"):
            return usual
        own, where = model.usual_settings, f"usual_settings of {type(model).__name__}"
        if not isinstance(own, Mapping):
            raise TypeError(f"{where} must be a dict of settings of training by name, got {type(own).__name__}")
        checked = Training.named(own, where=where)
        return usual | {name: getattr(checked, name) for name in own}
    if _is_of_images(model, single_frames):
        # the more pixels, the greater is the curvature of the loss in the direction that all of them share
        usual |= USUAL_OF_IMAGES | {"learning_rate": min(RATE_OF_A_PIXEL / model.n_visible, MOST_RATE)}
        return usual | (USUAL_OF_LABELS if isinstance(model.density.visible, Joint) else {})
    return usual if model.density.visible.is_discrete else usual | USUAL_OF_REAL_NUMBERS


def _is_of_images(model: Any, single_frames: bool) -> bool:
    """Whether a model is an RBM of discrete frames that are independent of each other."""
    if not single_frames or not isinstance(model, SequenceModel):
        return False
    return isinstance(model.density, RBM) and model.density.visible.is_discrete


def missing_settings(model: Any, settings: Training, *, single_frames: bool = False) -> dict[str, Any]:
    """Return those of :func:`usual_settings` that are not set, by name."""
    usual = usual_settings(model, single_frames=single_frames)
    if "persistent" in usual and (settings.n_proposals or settings.start):  # these chains have another start
        del usual["persistent"]
    chains_persist = settings.persistent if "persistent" in settings.model_fields_set else usual.get("persistent")
    if _is_of_images(model, single_frames) and not chains_persist:
        usual.pop("k", None)  # chains from the data learn better from a growing number of steps
    if "adaptive_offsets" in usual and "centring" in settings.model_fields_set and not settings.centring:
        del usual["adaptive_offsets"]
    if "start" in usual and (settings.persistent or settings.n_proposals):  # these chains have another start
        usual["start"] = "data"
    chosen = {name for name in settings.model_fields_set if getattr(settings, name) is not None}
    return {name: value for name, value in usual.items() if name not in chosen}


def suitable_settings(model: Any, settings: Training, *, single_frames: bool, n_frames: int) -> Training:
    """Return the settings with which a model is trained.

    What is not set is that of :func:`usual_settings`. An RBM of images reads :data:`IMAGES_READ` of them. Averaging and
    weight decay, which are on by default, are off for a model that is no sequence model, unless they are set: they
    would change what its own rule or loss says.

    Parameters
    ----------
    model
        The result of :func:`as_trainable`.
    settings : Training
    single_frames : bool
        Whether frames are independent. They are then shuffled one by one, unless ``row_length`` is set. A batch has
        ``batch_size`` of them if that is set, else as many as a batch of rows has by default, or a twentieth of the
        training set if that is less.
    n_frames : int
        Frames of the training set.

    Raises
    ------
    ValueError
        If a setting is changed from its default that has no meaning for the model, or needs other units.
    """
    kind = type(model).__name__
    if not isinstance(model, SequenceModel):
        unused = [*_OF_SEQUENCES, *(_OF_OPTIMISER if has_own_rule(model) else ())]
        off = [name for name in _OF_WEIGHTS if getattr(settings, name) == 0.0]  # a run that is read back says so
        changed = [name for name in unused if getattr(settings, name) != Training.model_fields[name].default]
        changed = [name for name in changed if name not in off]
        if changed:
            why = (
                "it trains by its own updates, without an optimiser"
                if changed[0] in _OF_OPTIMISER
                else ("that is for sequence models and frame densities")
            )
            raise ValueError(f"{', '.join(changed)}: {kind} has no use for this setting; {why}")
        kept = settings.model_fields_set
        settings = settings.model_copy(update={name: 0.0 for name in _OF_WEIGHTS if name not in kept})
    elif settings.pretrain_density or settings.pretrain_network:
        raise ValueError(
            f"pretrain_density ({settings.pretrain_density}) and pretrain_network ({settings.pretrain_network}) are "
            "stages of their own, and fit trains one: call it for each of "
            "rnnrbm.training.pretraining.stages(model, settings)"
        )
    elif settings.n_betas > 1:
        units = [getattr(model.density, layer) for layer in ("visible", "hidden") if hasattr(model.density, layer)]
        if not all(unit.is_discrete for unit in units):
            raise ValueError(
                f"n_betas ({settings.n_betas}): parallel tempering needs binary or softmax units, and the model has "
                f"{' and '.join(type(unit).__name__ for unit in units)}; set n_betas = 1 for chains without tempering"
            )
    if settings.sparsity_cost and isinstance(model, SequenceModel):
        rbm = as_rbm(model.density)
        if not isinstance(rbm, RBM) or not rbm.hidden.is_binary:
            raise ValueError(
                f"sparsity_cost ({settings.sparsity_cost:g}) needs an RBM with binary hidden units, and the density is "
                f"a {type(model.density).__name__}; set it to 0"
            )
    offsets = settings.adaptive_offsets and isinstance(model, SequenceModel)
    if offsets and not (settings.centring and isinstance(model.density, RBM)):
        raise ValueError(
            f"adaptive_offsets are those of centring (set to {str(settings.centring).lower()}) of an RBM, and the "
            f"density is a {type(model.density).__name__}; leave it out"
        )
    if settings.averaging and any(np.dtype(p.type.dtype).kind != "f" for p in model.params):
        raise ValueError(f"averaging ({settings.averaging}) needs float parameters, and {kind} has others")
    settings = settings.model_copy(update=missing_settings(model, settings, single_frames=single_frames))
    chosen = settings.model_fields_set
    if not single_frames or "row_length" in chosen:
        return settings
    if settings.context and "context" in chosen:
        raise ValueError(f"context ({settings.context}) needs rows of several frames: set row_length too")
    most = settings.row_length * settings.batch_size
    if _is_of_images(model, single_frames):
        most = IMAGE_BATCH
        if "epochs" not in chosen:
            epochs = int(np.clip(IMAGES_READ // max(n_frames, 1), 50, 150))
            settings = settings.model_copy(update={"epochs": epochs})
    usual = min(most, max(1, n_frames // 20))
    size = settings.batch_size if "batch_size" in chosen else usual
    return settings.single_frames(size)


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
    """

    def loss(batch: Batch, rng: Rng) -> Loss:
        return model.loss(
            *batch,
            rng=rng,
            negative_phase=NegativePhase(
                variant.k, settings.n_proposals, particles, settings.betas, settings.start or "data"
            ),
            input_dropout=variant.input_dropout,
            input_noise=settings.input_noise,
            state_dropout=variant.state_dropout,
            carried=carried,
            max_active=max_active,
            hidden_mean=hidden_mean,
            sparsity=(settings.sparsity_target or 0.1, settings.sparsity_cost) if settings.sparsity_cost else None,
        )

    return loss
