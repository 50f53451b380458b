"""From settings to the data and the model of a run, and the facts about them that a run records."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

import rnnrbm
from rnnrbm import cells, datasets, networks
from rnnrbm.backend import engine
from rnnrbm.datasets import SPLITS
from rnnrbm.experiment import config
from rnnrbm.experiment.config import Config
from rnnrbm.frames import FrameKind
from rnnrbm.kinds.registry import to_record
from rnnrbm.models import registry
from rnnrbm.progress import Progress, silent
from rnnrbm.sequence import SequenceModel

__all__ = [
    "SIZES",
    "build_model",
    "comparable",
    "facts",
    "load_data",
    "model_options",
    "resolved",
    "versions",
]

SIZES = ("n_hidden", "n_recurrent", "window", "reach")  # of models


def build_model(settings: config.Model, n_visible: int, *, seed: int) -> SequenceModel:
    """Make the model a configuration asks for.

    Raises
    ------
    ConfigError
        If something is set that this model does not have.
    """
    return registry.build(settings.name, n_visible, seed=seed, **model_options(settings))


def model_options(settings: config.Model, *, strict: bool = False) -> dict[str, Any]:
    """The options that a model has, its own or chosen.

    With `strict`, of others only a size may have been chosen, so that one file serves all models. What a run has
    written down of options that its model does not have is passed over.
    """
    options = settings.model_dump(exclude={"name", "init"}, exclude_none=True)
    tables = {
        "cell": cells.CELLS,
        "connections": networks.CONNECTIONS,
        "visible": registry.UNITS,
        "hidden": registry.UNITS,
    }
    for name, table in ({"name": registry.MODELS} | tables).items():
        if name == "name" or name in options:
            config.check_name(f"model.{name}", getattr(settings, name).partition(":")[0], table)
    known = registry.options_of(settings.name)
    if strict and (wrong := [name for name in options if name not in known and name not in SIZES]):
        raise config.ConfigError(
            f"model.{wrong[0]} cannot be chosen for {settings.name}, which has {', '.join(sorted(known))}; leave it out"
        )
    return known | {name: value for name, value in options.items() if name in known}


def versions(mode: Any) -> dict[str, str]:
    return {
        "rnnrbm": rnnrbm.__version__,
        "python": platform.python_version(),
        "engine": engine.describe(mode),
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def load_data(settings: config.Data, progress: Progress = silent) -> datasets.Dataset:
    """Load what the configuration names, with all options that are set; one that a source does not have is refused."""
    return datasets.load(settings.source, progress=progress, **_options(settings))


def _options(settings: config.Data) -> dict[str, Any]:
    """The options that are set, by their names in :func:`rnnrbm.datasets.load`."""
    options = settings.model_dump(exclude={"source"}, exclude_none=True)
    return options


def resolved(settings: Config, data: datasets.Dataset | None = None) -> Config:
    """Return the settings with every default written out, so that later defaults change no run.

    A size that the model does not have is left out.

    Parameters
    ----------
    settings : Config
    data : Dataset or None
        The data, whose kind of frame decides the unit type of a frame and the transposition; None loads them.
    """
    data = load_data(settings.data) if data is None else data
    options = datasets.resolved(settings.data.source, **_options(settings.data))
    chosen = {f"data.{k}": v for k, v in options.items()}
    own = model_options(settings.model)
    if "visible" in own and settings.model.visible is None:
        own["visible"] = data.kind.unit_name(data.train)
    if settings.training.transpose_range is None:
        chosen["training.transpose_range"] = data.kind.transpose_range
    return settings.replaced(chosen | {f"model.{k}": own.get(k) for k in {*own, *SIZES}})


def comparable(kind: FrameKind, model: SequenceModel) -> bool:
    """Return whether a model's log-likelihoods compare with those of the kind's baselines.

    A probability and a density do not: Gaussian units on frames of 0 and 1 have a density.
    """
    return kind.is_discrete == model.density.visible.is_discrete


def facts(data: datasets.Dataset) -> dict[str, Any]:
    """Return sizes, kind of frame and fingerprint of a data set, for the record of a run."""
    return {
        "columns": data.n_visible,
        **to_record(data.kind),
        "pieces": {split: len(getattr(data, split)) for split in SPLITS},
        "frames": {split: sum(map(len, getattr(data, split))) for split in SPLITS},
        "sha256": data.fingerprint(),
    }
