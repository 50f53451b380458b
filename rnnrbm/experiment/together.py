"""A run of several processes: what they exchange before and after training, and what only process 0 does.

Process 0 alone reads and writes the folder of the run, so the others need not see it. Each process reads the data by
itself. Before anything is written, the processes compare their settings, their data and their first parameters.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from rnnrbm.backend import engine, processes
from rnnrbm.experiment import config
from rnnrbm.experiment.config import Config
from rnnrbm.experiment.place import Part, Place
from rnnrbm.files import hash_of, to_json
from rnnrbm.sequence import SequenceModel
from rnnrbm.static import StaticModel
from rnnrbm.training.fit import State

__all__ = ["Elsewhere", "Together"]


class Elsewhere(Place):
    """The place of a process that writes nothing.

    Parameters
    ----------
    folder : pathlib.Path
        That of the run, perhaps on another machine.
    meta : dict
        See :class:`rnnrbm.experiment.place.Place`.
    """

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        self.folder, self.meta, self._facts, self.saved = folder, meta, None, False

    writes = False

    @property
    def checkpoint(self) -> Path | None:
        return self.folder / "checkpoint.npz" if self.saved else None

    def save(self, state: State) -> None:
        self.saved = True

    def save_part(self, part: Part, model: SequenceModel) -> None:
        pass


class Together:
    """The exchanges of a run, as a context: an error in one process before training is raised in all.

    With one process, nothing is exchanged.

    Parameters
    ----------
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Attributes
    ----------
    leads : bool
        Whether this process reads and writes the folder of the run.
    """

    #: stages of progress that all processes report equally often
    STAGES = ("ais", "raise", "exact", "sample")

    def __init__(self, mode: Any) -> None:
        self.leads = processes.is_lead()
        self._several, self._mode = processes.count() > 1, mode
        self._preparing = self._several

    def __enter__(self) -> Together:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._preparing and isinstance(error, Exception) and not isinstance(error, processes.Refused):
            self._preparing = False
            processes.announce(_failure(error))

    def _gather(self, record: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the records of all processes; an error of another process is raised."""
        records = [json.loads(text) for text in processes.gather(json.dumps(record).encode())]
        for i, other in enumerate(records):
            if "error" in other:
                raise processes.Refused(f"process {i} has ended: {other['error']}")
        return records

    def settings(self, settings: Config | None, *, resume: bool, trained: bool) -> tuple[Config, bool]:
        """Return the settings, and whether a checkpoint is resumed, both of process 0 if the run is resumed.

        Raises
        ------
        ValueError
            If the engine is not JAX, which alone runs in several processes.
        """
        if self._several:
            if engine.resolve_mode(self._mode) != "JAX":
                raise ValueError(f"mode {self._mode}: several processes need JAX; leave it out")
            lead = self._gather({"settings": settings and settings.model_dump(mode="json"), "trained": trained})[0]
            if resume:
                return Config.from_dict(lead["settings"], where="the run of process 0"), lead["trained"]
        return settings or Config(), trained

    def agree(self, settings: Config, data: str, model: SequenceModel | StaticModel, *, resume: bool) -> None:
        """Raise Refused unless all processes have equal settings, data, first parameters and versions.

        Paths of the data and of the model to start from may differ, as on machines without a common disk.
        """
        if not self._several:
            return
        facts = config.flat(settings.model_dump(mode="json"))
        facts = {key: value for key, value in facts.items() if key not in ("data.source", "model.init")}
        parameters = sorted((p.name, engine.to_numpy(p)) for p in model.params)
        facts |= {"the data (SHA-256)": data, "the model at first (SHA-256)": hash_of(parameters), "resume": resume}
        facts |= {f"the version of {name}": version(name) for name in ("jax", "pytensor", "numpy")}
        self._gather({})
        processes.agree(facts, "start all of them with the same settings, data and versions")

    def state(self, place: Place, state: State, part: Part | None) -> tuple[State, Part | None]:
        """Return where process 0 stands; the training begins."""
        if not self._several:
            return state, part
        has = self._gather({"checkpoint": self.leads and place.checkpoint is not None})[0]["checkpoint"]
        self._preparing = False
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "state.npz")
            if self.leads:
                whole = state if part is None else part.state
                whole.save(file, {"part": part and part.name})
            content = processes.from_lead(file.read_bytes() if self.leads else b"")
            if self.leads:
                return state, part
            assert isinstance(place, Elsewhere)
            place.saved = has
            file.write_bytes(content)
            state, meta = State.load(file)
        return (state, None) if meta["part"] is None else (State(), Part(meta["part"], state))

    def results(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the results of process 0, after it has written all its files."""
        if not self._several:
            return results
        found: dict[str, Any] = json.loads(processes.from_lead(to_json(results).encode()))
        return results if self.leads else found


def _failure(error: Exception) -> bytes:
    return json.dumps({"error": str(error) or type(error).__name__}).encode()
