"""Where a training is saved: the folder of a run, and, before the joint training, the part that is trained first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnrbm import checkpoint
from rnnrbm.backend import engine
from rnnrbm.experiment.config import Config
from rnnrbm.experiment.run_folder import begin, run_files, write_metrics
from rnnrbm.io import tensorboard
from rnnrbm.sequence import SequenceModel
from rnnrbm.training.fit import State

__all__ = ["Interrupted", "Part", "Place"]


class Interrupted(Exception):
    """Training stopped before its end; the checkpoint holds its place.

    Attributes
    ----------
    resumable : bool
        False if nothing was saved: the folder still holds the run that was to be replaced.
    """

    resumable = True


class Part(NamedTuple):
    """A part of the model that is trained first, and where its training stands.

    Attributes
    ----------
    name : {"density", "network"}
    state : State
        Its `others` are the parameters of the whole model.
    """

    name: str
    state: State

    def restore(self, model: SequenceModel) -> None:
        """Give the model the parameters that it had come to."""
        checkpoint.assign({p.name: p for p in model.params}, self.state.others, where="the model trained so far")


class Place:
    """Saves a training in the folder of a run.

    A new run in a folder that holds another takes its place when there is something to save, so that a run that cannot
    train costs no other.

    Parameters
    ----------
    folder : pathlib.Path
    settings : Config
    meta : dict
        Goes into each checkpoint.
    facts : mapping or None
        Of a new run: what is recorded beside its settings. None stands for the run that is in the folder.
    events : bool
        Write event files for TensorBoard. A run that has some goes on writing them.

    Attributes
    ----------
    writes : bool
        Whether anything is written; of several processes, one does.
    """

    writes = True

    def __init__(
        self,
        folder: Path,
        settings: Config,
        meta: dict[str, Any],
        facts: Mapping[str, Any] | None = None,
        *,
        events: bool = False,
    ) -> None:
        self.folder, self.meta, self._settings, self._facts, self._events = folder, meta, settings, facts, events
        if not run_files(folder):
            self._begin()

    @property
    def waits(self) -> bool:
        """Whether the folder still holds the run that this one replaces."""
        return self._facts is not None

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint of the joint training; None before it is saved."""
        path = self.folder / "checkpoint.npz"
        return path if path.exists() and not self.waits else None

    def _begin(self) -> None:
        if self._facts is not None:
            begin(self.folder, self._settings, self._facts)
            self._facts = None

    def save(self, state: State) -> None:
        """Save the state of the joint training, and its metrics."""
        self._begin()
        state.save(self.folder / "checkpoint.npz", self.meta)
        write_metrics(self.folder / "metrics.csv", state.rows)
        self.write_events(state)
        (self.folder / "pretraining.npz").unlink(missing_ok=True)

    def write_events(self, state: State) -> None:
        """Add the epochs of a state that has been saved to the event file, if there shall be one."""
        folder = self.folder / "tensorboard"
        if self._events:
            folder.mkdir(exist_ok=True)
        if folder.is_dir() and not self.waits:
            tensorboard.append(folder / tensorboard.FILE, state.rows)

    def save_part(self, part: Part, model: SequenceModel) -> None:
        """Save the training of a part, and the parameters of the whole model."""
        self._begin()
        part.state.others = {p.name: np.array(engine.to_numpy(p)) for p in model.params}
        part.state.save(self.folder / "pretraining.npz", self.meta | {"part": part.name})
