"""Training a part of a model before the whole, in the folder of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnnrbm import datasets
from rnnrbm.experiment.place import Interrupted, Part, Place
from rnnrbm.progress import Progress
from rnnrbm.sequence import SequenceModel
from rnnrbm.training import pretraining
from rnnrbm.training.fit import fit

__all__ = ["pretrain"]


def pretrain(
    stage: pretraining.Stage,
    data: datasets.Dataset,
    place: Place,
    model: SequenceModel,
    part: Part,
    mode: Any,
    stop: Callable[[], bool] | None,
    progress: Progress,
    save_every: float,
) -> None:
    """Train a part of the model, and save it after every `save_every` seconds of training.

    Raises
    ------
    Interrupted
        If `stop` returned True; everything is saved.
    """
    state, epochs = part.state, stage.settings.epochs
    since = state.seconds
    progress(f"pretrain {stage.name}", state.epoch, epochs, None)
    for row in fit(stage.model, data.train, None, stage.settings, state=state, stop=stop, mode=mode):
        if state.finished or state.seconds - since >= save_every:
            place.save_part(part, model)
            since = state.seconds
        progress(f"pretrain {stage.name}", state.epoch, epochs, row)
    if not state.finished:
        place.save_part(part, model)
        raise Interrupted(
            f"stopped while the {stage.name} was trained first, in epoch {state.epoch + 1}; everything is saved in "
            f"{place.folder}"
        )
