"""Pretraining, as in 2012: the frame density on single frames, the network by prediction.

Both are sequence models that share parameters with the whole model, so :func:`rnnrbm.training.fit.fit` on them trains
the model: the density without a past, on shuffled frames, and the network with independent units, whose loss is the
cross-entropy of the next frame (Boulanger-Lewandowski et al. 2012, section 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rnnrbm.backend import engine
from rnnrbm.densities import Independent, visible_biases
from rnnrbm.networks import Memoryless
from rnnrbm.sequence import SequenceModel
from rnnrbm.training.settings import Training
from rnnrbm.training.suitable import usual_rate

__all__ = ["Stage", "stages"]


class Stage(NamedTuple):
    """A stage of training: a part of a model, or finally the model.

    Attributes
    ----------
    name : {"density", "network", "model"}
    model : SequenceModel, or another model that has no parts
        Shares its parameters with the whole model.
    settings : Training
        For :func:`rnnrbm.training.fit.fit`.
    """

    name: str
    model: Any
    settings: Training


def stages(model: Any, settings: Training) -> Iterator[Stage]:
    """Yield the stages of training in order: the pretrained parts, then the model itself.

    This function trains nothing. Each part is made on demand, since it begins where the previous one ended::

        for name, part, own in rnnrbm.training.pretraining.stages(model, settings):
            for row in rnnrbm.fit(part, data.train, data.valid if name == "model" else None, own):
                print(name, row["epoch"], row["loss"])

    A model without a past has no network to train; pretraining its density would be the training itself.

    Parameters
    ----------
    model : SequenceModel, or another model, whose only stage is itself
    settings : Training
        ``pretrain_density`` and ``pretrain_network`` are the epochs of the parts. Parts use the model's settings, but
        neither early stopping nor averaging, and the density's batch has the same number of frames as single rows.
    """
    own = settings.without_pretraining()
    if not isinstance(model, SequenceModel) or not model.bias_weights:
        yield Stage("model", model, own)
        return
    rate = settings.learning_rate or usual_rate(model)  # of the whole model; a part alone could choose another
    part = own.model_copy(update={"patience": 0, "averaging": 0.0, "learning_rate": rate})
    if settings.pretrain_density:
        shuffled = part.single_frames(settings.row_length * settings.batch_size)
        density = SequenceModel(Memoryless(model.dtype), model.density)
        yield Stage("density", density, shuffled.model_copy(update={"epochs": settings.pretrain_density}))
    if settings.pretrain_network:
        network = _predictor(model, settings.seed)
        yield Stage("network", network, part.model_copy(update={"epochs": settings.pretrain_network}))
    yield Stage("model", model, own)


def _predictor(model: SequenceModel, seed: int) -> SequenceModel:
    """The model's network with independent units.

    These have biases and weights of their own. Only of real numbers they are those of the model: what the network says
    there is the expected frame, with hidden units or without.
    """
    if not model.density.visible.is_discrete:
        names = visible_biases(model.density.visible)
        weights = dict(zip(model.density.biases, model.bias_weights, strict=True))
        independent = Independent(model.density.b_v, model.density.visible)
        return SequenceModel(model.network, independent, tuple(weights[name] for name in names))
    density = Independent(engine.shared(engine.to_numpy(model.density.b_v), "b_v", model.dtype), model.density.visible)
    return SequenceModel.init(model.network, density, seed=seed, dtype=model.dtype)
