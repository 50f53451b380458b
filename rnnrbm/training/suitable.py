"""Which settings of training suit a model: those of its kind where none are set, and what has no meaning for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrbm.autoregressive import Autoregressive
from rnnrbm.densities import NormalizedDensity
from rnnrbm.joint_units import Joint
from rnnrbm.rbm import RBM, rate_of_images
from rnnrbm.rnnrbm import HiddenUnits
from rnnrbm.sequence import SequenceModel
from rnnrbm.training.settings import USUAL_RATE, Training
from rnnrbm.training.trainable import has_own_rule
from rnnrbm.units import AtMostOne
from rnnrbm.weights import as_layers, as_rbm, has_layers

__all__ = ["epochs_of", "missing_settings", "suitable_settings", "usual_rate", "usual_settings"]

#: Settings of sequence models and of frame densities alone.
_OF_SEQUENCES = (
    "pretrain_density",
    "pretrain_network",
    "k",
    "start",
    "n_proposals",
    "persistent",
    "n_betas",
    "n_annealed",
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


#: What differs for such models with autoregressive connections, which begin as the best linear model and would lose it:
#: motion capture ended at an error of 3.1 with the settings above, of 1.4 with these, where it began at 1.3.
USUAL_OF_AUTOREGRESSION: dict[str, Any] = {
    "learning_rate": 2e-3,
    "k": 10,
    "weight_decay": 0.15,
    "input_noise": 0.0,
    "state_dropout": [(0.0, 0.3), (0.95, 0.0)],
}
#: Frames that they read in all epochs together, within 10 to 100 epochs.
FRAMES_READ = 500_000


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
#: The settings for convolutional RBMs of images, whose biases are shared, so that they are not centred.
#: A penalty for sparsity (target 0.02, cost 3) makes filters of MNIST white spots, and costs 0.1 nats on digits.
USUAL_OF_CONVOLUTION: dict[str, Any] = USUAL_OF_IMAGES | {
    "optimiser": "adam",
    "learning_rate": 2e-3,
    "centring": False,
    "adaptive_offsets": False,
    "averaging": 0.99,
    "n_annealed": 300,
    "valid_n_chains": 20,
    "valid_n_temperatures": 200,
}
#: The same for normalized densities, such as a NADE; tried with 64 and 784 pixels.
USUAL_OF_NORMALIZED_IMAGES: dict[str, Any] = {
    "learning_rate": 0.015,
    "density_scale": 1.0,
    "averaging": 0.999,
    "valid_n_frames": 0,
    "valid_every": 2,
}
#: Images of a batch, and images that are read in all epochs together, within 50 to 150 epochs.
IMAGE_BATCH, IMAGES_READ = 100, 2_500_000
#: The same of a convolutional RBM, whose filters see many places of each image, within 10 to 150 epochs.
IMAGES_READ_BY_CONVOLUTION = 500_000
#: A NADE with a fixed order learns each image by heart sooner: it reads fewer, within 12 to 60 epochs.
IMAGES_READ_IN_ORDER = 600_000


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
    if _is_of_images(model, single_frames) and model.normalized:
        return usual | USUAL_OF_NORMALIZED_IMAGES
    if _is_of_images(model, single_frames):
        if not isinstance(model.density, RBM):
            return usual | USUAL_OF_CONVOLUTION
        usual |= USUAL_OF_IMAGES | {"learning_rate": rate_of_images(model.n_visible)}
        return usual | (USUAL_OF_LABELS if isinstance(model.density.visible, Joint) else {})
    if model.density.visible.is_discrete:
        return usual
    usual |= USUAL_OF_REAL_NUMBERS
    if _is_autoregressive(model):
        usual |= USUAL_OF_AUTOREGRESSION
        del usual["epochs"]  # see epochs_of
    return usual


def _is_autoregressive(model: SequenceModel) -> bool:
    """Whether a model is of real numbers with autoregressive connections."""
    return (
        isinstance(model.network, Autoregressive | HiddenUnits)
        and model.network.n_frames > 0
        and not model.density.visible.is_discrete
    )


def _is_of_images(model: Any, single_frames: bool) -> bool:
    """Whether a model is an RBM, perhaps convolutional, or a normalized density, of discrete frames in no order."""
    if not single_frames or not isinstance(model, SequenceModel) or model.network.n_outputs:
        return False
    return (has_layers(model.density) or model.normalized) and model.density.visible.is_discrete


def epochs_of(model: Any, settings: Training, n_frames: int) -> dict[str, int]:
    """Return the number of epochs if it is not set and depends on the number of frames, else nothing."""
    if not isinstance(model, SequenceModel) or not _is_autoregressive(model) or "epochs" in settings.model_fields_set:
        return {}
    return {"epochs": int(np.clip(FRAMES_READ // max(n_frames, 1), 10, 100))}


def _epochs_of_images(density: Any, n_frames: int) -> int:
    """Return how often a density of images reads a training set of so many."""
    read, least, most = IMAGES_READ, 50, 150
    if not isinstance(density, NormalizedDensity) and not isinstance(density, RBM):
        read, least = IMAGES_READ_BY_CONVOLUTION, 10
    elif getattr(density, "fixed_order", None) is not None:
        read, least, most = IMAGES_READ_IN_ORDER, 12, 60
    return int(np.clip(read // max(n_frames, 1), least, most))


def missing_settings(model: Any, settings: Training, *, single_frames: bool = False) -> dict[str, Any]:
    """Return those of :func:`usual_settings` that are not set, by name."""
    usual = usual_settings(model, single_frames=single_frames)
    if "persistent" in usual and (settings.n_proposals or settings.start):  # these chains have another start
        del usual["persistent"]
    chains_persist = settings.persistent if "persistent" in settings.model_fields_set else usual.get("persistent")
    if _is_of_images(model, single_frames) and not chains_persist:
        usual.pop("k", None)  # chains from the data learn better from a growing number of steps
    if "n_annealed" in usual and (not chains_persist or settings.n_betas > 1):
        del usual["n_annealed"]
    if "adaptive_offsets" in usual and "centring" in settings.model_fields_set and not settings.centring:
        del usual["adaptive_offsets"]
    if "start" in usual and (settings.persistent or settings.n_proposals):  # these chains have another start
        usual["start"] = "data"
    chosen = {name for name in settings.model_fields_set if getattr(settings, name) is not None}
    return {name: value for name, value in usual.items() if name not in chosen}


def suitable_settings(model: Any, settings: Training, *, single_frames: bool, n_frames: int) -> Training:
    """Return the settings with which a model is trained.

    What is not set is that of :func:`usual_settings`. A density of images reads :data:`IMAGES_READ` of them. Averaging
    and weight decay, which are on by default, are off for a model that is no sequence model, unless they are set or
    among its own usual settings: they would change what its own rule or loss says.

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
        kept = settings.model_fields_set | set(usual_settings(model))
        settings = settings.model_copy(update={name: 0.0 for name in _OF_WEIGHTS if name not in kept})
    elif settings.pretrain_density or settings.pretrain_network:
        raise ValueError(
            f"pretrain_density ({settings.pretrain_density}) and pretrain_network ({settings.pretrain_network}) are "
            "stages of their own, and fit trains one: call it for each of "
            "rnnrbm.training.pretraining.stages(model, settings)"
        )
    elif settings.n_betas > 1 or settings.n_annealed:
        units = [getattr(model.density, layer) for layer in ("visible", "hidden") if hasattr(model.density, layer)]
        if not all(unit.is_discrete for unit in units):
            name, without = ("n_annealed", 0) if settings.n_annealed else ("n_betas", 1)
            raise ValueError(
                f"{name} ({getattr(settings, name)}): chains at other temperatures need binary or softmax units, and "
                f"the model has {' and '.join(type(unit).__name__ for unit in units)}; set {name} = {without}"
            )
    if settings.sparsity_cost and isinstance(model, SequenceModel):
        rbm = as_layers(model.density)
        if not has_layers(rbm) or not (rbm.hidden.is_binary or isinstance(rbm.hidden, AtMostOne)):
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
    settings = settings.model_copy(update=epochs_of(model, settings, n_frames))
    settings = settings.model_copy(update=missing_settings(model, settings, single_frames=single_frames))
    for name, none in (("n_betas", 1), ("n_annealed", 0)):
        if getattr(settings, name) != none and not settings.persistent:
            raise ValueError(f"{name} ({getattr(settings, name)}) needs persistent chains: set persistent = true too")
    chosen = settings.model_fields_set
    if not single_frames or "row_length" in chosen:
        return settings
    if settings.context and "context" in chosen:
        raise ValueError(f"context ({settings.context}) needs rows of several frames: set row_length too")
    most = settings.row_length * settings.batch_size
    if _is_of_images(model, single_frames):
        most = IMAGE_BATCH
        if "epochs" not in chosen:
            settings = settings.model_copy(update={"epochs": _epochs_of_images(model.density, n_frames)})
    usual = min(most, max(1, n_frames // 20))
    size = settings.batch_size if "batch_size" in chosen else usual
    return settings.single_frames(size)
