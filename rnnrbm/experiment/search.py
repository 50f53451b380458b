"""What a sweep searches: the table ``[sweep]`` of a configuration, and the file ``sweep.toml`` of the sweep's folder.

    [sweep]
    pruner = "median"

    [sweep.ranges]
    "training.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
    "model.n_hidden" = { low = 32, high = 512, step = 32 }
    "model.cell" = { choices = ["gru", "lstm"] }

Ranges are validated as the settings themselves are, before anything starts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

import rnnrbm
from rnnrbm.arguments import suggestion
from rnnrbm.experiment import config
from rnnrbm.experiment.config import Config, ConfigError
from rnnrbm.files import atomic
from rnnrbm.training.settings import Number, Seed, Settings, explain

__all__ = [
    "FILE",
    "FORMAT",
    "Range",
    "Search",
    "begin",
    "is_sweep",
    "read",
    "read_folder",
    "trial_folder",
    "trial_folders",
]

FILE = "sweep.toml"
#: Version of the files of a sweep.
FORMAT = 1
_TRIAL = "trial-"
#: Settings of how a validation is done: scores of different ones do not compare.
_MEASURE = ("training.valid_", "training.seed", "model.init")


_PARTS = ("low", "high", "step", "log", "choices")


class Search(Settings):
    """How a sweep searches.

    Attributes
    ----------
    ranges : dict
        Ranges by the names of settings; see :class:`Range`.
    sampler : {"tpe", "random"}
        How values are suggested: by a tree-structured Parzen estimator (Bergstra et al., NIPS 2011), which learns from
        the trials so far, or at random.
    pruner : {"median", "hyperband", "none"}
        Which trials end early: those whose best validation so far is below the median of the others at the same epoch,
        those that successive halving drops (Li et al., JMLR 2018), or none.
    warmup_epochs : int or None
        From this epoch on a trial can be pruned; by default a tenth of all.
    seed : int
        Seed of the suggestions.
    """

    ranges: dict[str, Any]
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["median", "hyperband", "none"] = "median"
    warmup_epochs: Number | None = None
    seed: Seed = 0


class _Tables(Settings):
    sweep: Search


@dataclass(frozen=True)
class Range:
    """Values of a setting that are tried.

    Attributes
    ----------
    key : str
        Name of the setting, such as ``"training.learning_rate"``.
    low, high : int or float
        Ends of an interval, both included; whole numbers for a setting that is one.
    step : int, float or None
        Distance between neighbouring values; None for all values.
    log : bool
        Sample the logarithm evenly.
    choices : tuple
        Values instead of an interval.
    """

    key: str
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that show whether the configuration accepts the range."""
        return self.choices or (self.low, self.high)

    def suggest(self, trial: Any) -> Any:
        """Return the value of an Optuna trial, which it chooses if it has none yet."""
        if self.choices:  # Optuna takes no lists
            texts = [json.dumps(choice) for choice in self.choices]
            return self.choices[texts.index(trial.suggest_categorical(self.key, texts))]
        if isinstance(self.low, int):
            return trial.suggest_int(self.key, self.low, self.high, step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log)


def read(path: str | os.PathLike[str]) -> tuple[Config, Search, list[Range]]:
    """Read a configuration with a table ``[sweep]``.

    Returns
    -------
    settings : Config
        All other settings.
    search : Search
    ranges : list of Range

    Raises
    ------
    ConfigError
        If the file is no such configuration, or a range is impossible. The message names file and key.
    OSError
        If it cannot be read.
    """
    where = str(path)
    tables = config.read_tables(path)
    if not isinstance(table := tables.pop("sweep", None), dict) or not table.get("ranges"):
        raise ConfigError(
            f"{where}: has no ranges to search; expected a table [sweep.ranges], with lines such as "
            '"training.learning_rate" = { low = 1e-4, high = 1e-2, log = true }'
        )
    settings = Config.from_dict(tables, where=where)
    try:
        search = _Tables.model_validate({"sweep": table}).sweep
    except ValidationError as error:
        known = [f"sweep.{name}" for name in Search.model_fields]
        raise ConfigError(f"{where}: {explain(error.errors()[0], unknown='key', known=known)}") from None
    ranges = [
        _range(key, given, settings, f"{where}: sweep.ranges, {key!r}") for key, given in _flat(search.ranges).items()
    ]
    return settings, search, ranges


def _flat(ranges: Mapping[str, Any]) -> dict[str, Any]:
    """Return ranges by the whole names of their settings. A key without quotes, such as model.cell, is a table."""
    found: dict[str, Any] = {}
    for key, given in ranges.items():
        inside = key in Config.model_fields and isinstance(given, Mapping)
        found |= {f"{key}.{name}": value for name, value in given.items()} if inside else {key: given}
    return found


def _range(key: str, given: Any, settings: Config, where: str) -> Range:
    """Return a range that has been checked."""
    if not key.startswith(("model.", "training.")) or key.startswith(_MEASURE):
        raise ConfigError(
            f"{where}: cannot be searched, since scores of different values do not compare, or do not depend on it; "
            "expected settings of model or training, such as model.n_hidden"
        )
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: expected {{ low = ..., high = ... }} or {{ choices = [...] }}, got {given!r:.60}")
    if unknown := sorted(set(given) - set(_PARTS)):
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; {suggestion(unknown[0], _PARTS)}")
    if "choices" in given:
        return _choice(key, given, settings, where)
    if missing := [name for name in ("low", "high") if name not in given]:
        raise ConfigError(f"{where}: {missing[0]} is missing; give low and high, or choices")
    for name in ("low", "high", "step"):
        if name in given and (isinstance(given[name], bool) or not isinstance(given[name], int | float)):
            raise ConfigError(f"{where}: {name} is {given[name]!r:.60}; expected a number, or give choices instead")
    if not isinstance(log := given.get("log", False), bool):
        raise ConfigError(f"{where}: log is {log!r:.60}; expected true or false")
    low, high = (_accepted(key, given[name], settings, where) for name in ("low", "high"))
    whole = isinstance(low, int)
    step = given.get("step")
    if not low < high:
        raise ConfigError(f"{where}: is empty, from {low} to {high}; low must be below high")
    if log and low <= 0:
        raise ConfigError(f"{where}: has no logarithm at {low}; give a low above 0, or leave log out")
    if log and step is not None:
        raise ConfigError(f"{where}: has both step and log; give only one of the two")
    if step is not None:
        fits = (
            step > 0
            and (not whole or step == int(step))
            and not (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step))
        )
        if not fits:
            kind = "a whole number" if whole else "a number"
            raise ConfigError(f"{where}: step is {step}; expected {kind} that divides {high} - {low}")
    return Range(key, low, high, int(step) if whole and step is not None else step, log)


def _choice(key: str, given: Mapping[str, Any], settings: Config, where: str) -> Range:
    choices = given["choices"]
    if len(given) > 1:
        raise ConfigError(f"{where}: has both choices and {sorted(set(given) - {'choices'})[0]}; give only one of them")
    if not isinstance(choices, list) or len({json.dumps(choice) for choice in choices}) < max(2, len(choices)):
        raise ConfigError(f"{where}: choices is {choices!r:.60}; expected a list of at least two different values")
    for choice in choices:
        _accepted(key, choice, settings, where)
    return Range(key, choices=tuple(choices))


def _accepted(key: str, value: Any, settings: Config, where: str) -> Any:
    """Return a value as the configuration takes it.

    Raises
    ------
    ConfigError
        If it refuses the value.
    """
    try:
        changed = settings.replaced({key: value})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    table, _, name = key.partition(".")
    return getattr(getattr(changed, table), name)


def begin(folder: Path, settings: Config, search: Search, facts: Mapping[str, Any]) -> None:
    """Write the file of a new sweep, or check that the one in the folder searches the same.

    Raises
    ------
    ConfigError
        If it does not.
    """
    if is_sweep(folder):
        then, then_search, _ = read_folder(folder)
        before, now = (
            config.flat(s.model_dump(exclude_unset=True) | {"sweep": x.model_dump()})
            for s, x in ((then, then_search), (settings, search))
        )
        if changed := [key for key in {**now, **before} if now.get(key) != before.get(key)]:
            key = changed[0]
            raise ConfigError(
                f"{folder}: its trials were begun with other settings: {key} is now {now.get(key)!r:.200}, was "
                f"{before.get(key)!r:.200}; choose another folder by --out, or continue by 'rnnrbm sweep {folder}'"
            )
        return
    import tomli_w

    tables = settings.model_dump(exclude_unset=True, exclude_none=True)
    tables["sweep"] = search.model_dump(exclude_none=True)
    tables["run"] = {"format": FORMAT, "rnnrbm": rnnrbm.__version__, **facts}
    with atomic(folder / FILE) as temporary:
        temporary.write_text(tomli_w.dumps(tables), encoding="utf-8")


def is_sweep(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder is that of a sweep."""
    return (Path(folder) / FILE).is_file()


def read_folder(folder: str | os.PathLike[str]) -> tuple[Config, Search, list[Range]]:
    """Read what the sweep in a folder searches; see :func:`read`.

    Raises
    ------
    ConfigError
        If another version of the library wrote it, or it has been damaged.
    """
    path = Path(folder) / FILE
    found = config.facts_of_run(path).get("format")
    if found != FORMAT:
        raise ConfigError(
            f"{path}: is a sweep of format {found!r}, and this version of rnnrbm reads format {FORMAT}; continue it "
            "with the version that began it, or begin a new one in another folder"
        )
    return read(path)


def trial_folder(folder: str | os.PathLike[str], number: int) -> Path:
    """Return the run folder of a trial, such as ``runs/NAME/trial-0007``."""
    return Path(folder) / f"{_TRIAL}{number:04}"


def trial_folders(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the run folders of a sweep, in the order of their numbers."""
    found = [path for path in Path(folder).glob(f"{_TRIAL}*") if (path / "config.toml").is_file()]
    return sorted(found, key=lambda path: (len(path.name), path.name))
