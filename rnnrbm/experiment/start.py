"""What a training starts from: a trained model, read from a run, a checkpoint or a file of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnrbm import checkpoint, model_file
from rnnrbm.backend import engine
from rnnrbm.datasets import kind_of_files
from rnnrbm.experiment import config
from rnnrbm.experiment.artifacts import Run, embedded, load, load_checkpoint
from rnnrbm.experiment.config import Config
from rnnrbm.files import check_path, hash_of
from rnnrbm.models.registry import shown_name
from rnnrbm.sequence import SequenceModel
from rnnrbm.static import StaticModel

__all__ = ["Start", "check_model", "inherited", "load_model", "start_from"]


def load_model(path: str | os.PathLike[str], classes: Sequence[type] = ()) -> Any:
    """Read a trained model.

    Parameters
    ----------
    path : path-like
        A file that ``model.save`` wrote, the folder of a run, or the checkpoint in it. The model of a run has the best
        parameters. ``"bach"`` is the model of chorales that comes with the library.
    classes : sequence of type
        Classes of the model's parts that are not of this library.

    Returns
    -------
    SequenceModel, RBM or another part that was saved

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds no model.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import rnnrbm
    >>> model = rnnrbm.build("rnn-rbm", 88, seed=0)
    >>> model.save("model.npz")  # doctest: +SKIP
    >>> model = rnnrbm.load_model("model.npz")  # doctest: +SKIP
    """
    check_path(path, "a model")
    return _read(Path(path), classes)[0]


def _read(path: Path, classes: Sequence[type] = ()) -> tuple[Any, Run | None]:
    """Return the model in a file or a folder, and its run if there is one."""
    run = _run_of(path)
    return (model_file.load(path, classes), None) if run is None else (run.model, run)


def _run_of(path: Path) -> Run | None:
    """Return the run in a folder or of a checkpoint; None if the file holds a model alone."""
    if (own := embedded(path)) is not None:
        return own
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such run, checkpoint or file of a model")
    if path.is_dir():
        return load(path)
    _, meta = checkpoint.load(path)
    if "config" in meta:
        return load_checkpoint(path)
    if "state" in meta:
        raise checkpoint.CheckpointError(
            f"{path}: holds the state of a training but not its model; make the model, then "
            "State.load(path)[0].restore_best(model). To keep a model, write it by model.save(path)"
        )
    return None


class Start(NamedTuple):
    """What a training starts from.

    Attributes
    ----------
    path : pathlib.Path
    model : SequenceModel or StaticModel
    run : Run or None
        The run that they are of, if it is known.
    """

    path: Path
    model: SequenceModel | StaticModel
    run: Run | None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Parameters by name."""
        return {p.name: engine.to_numpy(p) for p in self.model.params}

    @property
    def fingerprint(self) -> str:
        """A hash of the parameters: SHA-256, hexadecimal."""
        return hash_of(sorted(self.arrays.items()))

    def __str__(self) -> str:
        """Say what was taken over, in words."""
        what = f"all {len(self.arrays)} arrays of parameters ({sum(a.size for a in self.arrays.values())} numbers)"
        if self.run is None:
            return f"{what} of {self.path}, which does not say what its columns and frames were"
        model, source = shown_name(self.run.config.model.name), self.run.config.data.source
        return f"{what} of {self.path}, an {model} trained on {source}, epoch {self.run.best_epoch}"


def start_from(path: str | os.PathLike[str]) -> Start:
    """Read the parameters that a training starts from; for `path` and errors see :func:`load_model`."""
    path = Path(path)
    model, run = _read(path)
    if not isinstance(model, (SequenceModel, StaticModel)):
        raise checkpoint.CheckpointError(f"{path}: holds a {type(model).__name__}; expected a model that a run trains")
    return Start(path, model, run)


def inherited(settings: Config, start: Start) -> Config:
    """Return settings whose model is that of the run they start from, and whose files are read as its own were.

    Raises
    ------
    ConfigError
        If a setting of the model was chosen that differs from the run's.
    """
    if start.run is None:
        return settings
    changes: dict[str, Any] = {}
    for name, value in start.run.config.model.model_dump(exclude={"init"}).items():
        own = getattr(settings.model, name)
        if name in settings.model.model_fields_set and own is not None and own != value:
            raise config.ConfigError(
                f"model.{name} is {own!r}, but the model of {start.path} has {value!r}; leave it out to start from "
                "that model, or leave out model.init"
            )
        changes[f"model.{name}"] = value
    if kind_of_files(settings.data.source) == start.run.kind.name:
        options = start.run.kind.folder_options(start.run.model.n_visible)
        grid = {"steps_per_beat", "seconds_per_frame"}
        chosen = {name for name, value in settings.data.model_dump().items() if value is not None}
        for name, value in options.items():
            if name not in chosen and not (name in grid and grid & chosen):
                changes[f"data.{name}"] = value
    return settings.replaced(changes)


def check_model(start: Start, model: SequenceModel | StaticModel) -> None:
    """Raise CheckpointError unless the model that a training starts from is made as the one to train.

    Parameters of equal shapes could mean something else in a model of other cells or units.
    """
    if difference := model_file.difference(start.model, model):
        raise checkpoint.CheckpointError(
            f"{start.path}: belongs to another model: {difference}; choose the settings of [model] that it was made "
            "with"
        )
