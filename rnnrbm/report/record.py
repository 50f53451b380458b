"""What a page says of a run: the contents of its folder as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["JUDGES", "LEAST_IS_BEST", "Record", "Score"]

#: columns of metrics by which the best epoch is chosen, the first that has numbers, and their names and units
JUDGES = {
    "valid_ll": ("validation log-likelihood", "nats per frame"),
    "valid_score": ("validation score", ""),
    "valid_loss": ("validation loss", ""),
    "pseudo_likelihood": ("pseudo-likelihood", "nats per frame"),
    "loss": ("training loss", ""),
}
#: those of which the least is the best
LEAST_IS_BEST = ("valid_loss", "loss")


class Score(NamedTuple):
    """A number that says how good a model is.

    Attributes
    ----------
    value : float
    error : float or None
        Standard error of the estimate.
    name : str
    unit : str
        Empty if it has none.
    how : str
        How it was computed.
    """

    value: float
    error: float | None
    name: str
    unit: str
    how: str = ""


@dataclass(frozen=True)
class Record:
    """A run as its folder describes it.

    Attributes
    ----------
    folder : pathlib.Path
    model : str
        Name of the model as it is shown.
    settings : mapping
        By their whole names, such as ``"training.epochs"``; those without a value are left out.
    defaults : mapping
        Their defaults; None where the model or the data choose.
    facts : mapping
        What the run recorded beside its settings: versions, facts of the data, the command.
    metrics : mapping of str to list of float
        Columns of ``metrics.csv``, NaN where there is no number; empty before the first epoch.
    results : mapping
        ``results.json``; empty before the training has ended.
    evaluations : sequence of mapping
        Of ``rnnrbm evaluate``.
    n_parameters : int or None
        None if no checkpoint says.
    """

    folder: Path
    model: str
    settings: Mapping[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Sequence[float]] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    evaluations: Sequence[Mapping[str, Any]] = ()
    n_parameters: int | None = None

    @property
    def name(self) -> str:
        return self.folder.resolve().name or str(self.folder)

    @property
    def data(self) -> str:
        """Name of the data: that of the data set, or the last part of its path."""
        known = self.results.get("data") or self.settings.get("data.source", "")
        return str(known).rstrip("/\\").replace("\\", "/").rpartition("/")[2] or str(known)

    @property
    def data_facts(self) -> Mapping[str, Any]:
        facts = self.facts.get("data")
        return facts if isinstance(facts, dict) else {}

    @property
    def data_hash(self) -> str:
        """Fingerprint of the data, or what they are called if there is none."""
        return str(self.data_facts.get("sha256") or self.settings.get("data.source", ""))

    @property
    def frame_name(self) -> str:
        return str(self.results.get("frame_name") or ("image" if self.data_facts.get("kind") == "image" else "frame"))

    @property
    def last_epoch(self) -> int:
        epochs = self.metrics.get("epoch", ())
        return int(epochs[-1]) if epochs else int(self.results.get("epochs", 0))

    @property
    def has_ended(self) -> bool:
        """Whether its results are those of its last epoch."""
        return bool(self.results) and int(self.results.get("epochs", 0)) >= self.last_epoch

    @property
    def state(self) -> str:
        """Say that the run is not whole, and how far it has come; empty if it is."""
        if self.has_ended:
            return ""
        epochs = self.settings.get("training.epochs")
        of_all = f" of {epochs}" if isinstance(epochs, int) else ""
        if self.results:
            return (
                f"the training went on after epoch {self.results.get('epochs')}, to which the scores and the samples "
                f"belong, and has come to epoch {self.last_epoch}{of_all}"
            )
        if not self.metrics:
            return "the training has not come to the end of its first epoch"
        return f"the training has come to epoch {self.last_epoch}{of_all}; there are no scores and no samples yet"

    @property
    def judge(self) -> str | None:
        """The column of metrics by which the best epoch is chosen, None if none has numbers."""
        return next((name for name in JUDGES if any(map(math.isfinite, self.metrics.get(name, ())))), None)

    @property
    def best_epoch(self) -> int | None:
        """Epoch of the best validation."""
        if self.has_ended and isinstance(self.results.get("best_epoch"), int):
            return self.results["best_epoch"]
        if (judge := self.judge) is None:
            return None
        known = [(y, x) for x, y in zip(self.metrics["epoch"], self.metrics[judge], strict=True) if math.isfinite(y)]
        return int((min(known) if judge in LEAST_IS_BEST else max(known, key=lambda pair: pair[0]))[1])

    @property
    def valid(self) -> Score | None:
        """The best value on the validation set; None without a validation."""
        judge = self.judge
        if judge is None or not judge.startswith("valid"):
            return None
        values = [y for y in self.metrics[judge] if math.isfinite(y)]
        name, unit = JUDGES[judge]
        best = min(values) if judge in LEAST_IS_BEST else max(values)
        return Score(best, None, name, unit and f"nats per {self.frame_name}")

    @property
    def test(self) -> Score | None:
        """The score on the test set; None if there is none."""
        results = self.results
        if (score := results.get("test_score")) is not None:
            return Score(score["value"], None, score["name"], "")
        if results.get("test_ll") is None:
            return None
        bias = results.get("test_bias")
        how = f"{results.get('method') or ''}{f', bias {bias:.3f}' if bias else ''}"
        return Score(results["test_ll"], results.get("test_se"), "log-likelihood", f"nats per {self.frame_name}", how)

    @property
    def seconds(self) -> float | None:
        """Duration of the training, seconds."""
        if self.has_ended and (known := self.results.get("training_seconds")) is not None:
            return float(known)
        seconds = [x for x in self.metrics.get("seconds", ()) if math.isfinite(x)]
        return seconds[-1] if seconds else None

    @property
    def seed(self) -> Any:
        return self.settings.get("training.seed")

    def is_chosen(self, key: str) -> bool:
        """Whether a setting was chosen for this run, and is not what the library takes anyway."""
        chosen, default = self.facts.get("chosen"), self.defaults.get(key)
        if default is not None:
            return bool(self.settings[key] != default)
        return isinstance(chosen, dict) and key in chosen
