"""Training parts of a sequence model first, as in 2012: the frame density on frames alone, the network by prediction.

Both are sequence models themselves and share the parameters of the whole, so what :func:`rnnrbm.train.fit` does to them
it does to the model: the density without a past, and the network with independent units, whose log-loss is the
cross-entropy of the next frame. (Boulanger-Lewandowski et al. 2012, section 5.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnnrbm import engine
from rnnrbm.config import Training
from rnnrbm.densities import Independent
from rnnrbm.networks import Nothing
from rnnrbm.sequence import SequenceModel

__all__ = ["Stage", "stages"]


class Stage(NamedTuple):
    """Something to be trained before the model.

    Attributes
    ----------
    name : {"density", "network"}
    model : SequenceModel
        Shares parameters with the model it is a part of.
    settings : Training
    """

    name: str
    model: SequenceModel
    settings: Training


def stages(model: SequenceModel, settings: Training) -> Iterator[Stage]:
    """Yield what is to be trained first: ``settings.pretrain_density`` and ``.pretrain_network`` epochs of it.

    A model without a past has no network to train; training its density first would be the training itself.

    Parameters
    ----------
    model : SequenceModel
    settings : Training
        The stages have the same, but for epochs, early stopping and averaging.
    """
    if not model.writers:
        return
    parts = (
        ("density", settings.pretrain_density, lambda: SequenceModel(Nothing(model.dtype), model.density)),
        ("network", settings.pretrain_network, lambda: _predictor(model, settings.seed)),
    )
    for name, epochs, make in parts:
        if epochs:
            changes = {"epochs": epochs, "patience": 0, "averaging": 0.0}
            yield Stage(name, make(), settings.model_copy(update=changes))


def _predictor(model: SequenceModel, seed: int) -> SequenceModel:
    """The model's network with independent units, which have biases and weights of their own."""
    density = Independent(engine.shared(engine.to_numpy(model.density.b_v), "b_v", model.dtype), model.density.visible)
    rng = np.random.default_rng(seed)
    return SequenceModel.init(model.network, density, rng=rng, dtype=model.dtype)
