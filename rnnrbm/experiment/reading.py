"""The folder of a run as values for a page; nothing of it is computed, and no model is loaded."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnrbm import checkpoint
from rnnrbm.experiment import config
from rnnrbm.files import first_line, read_bytes
from rnnrbm.models.names import shown_name
from rnnrbm.report.record import Record

__all__ = ["is_run", "read_run"]

_MOST_JSON = 64 * 2**20
_MOST_METRICS = 256 * 2**20
#: what results.json holds, as far as a page shows it
_KINDS: dict[str, tuple[type, ...]] = {
    "data": (str,),
    "test_ll": (int, float, type(None)),
    "test_se": (int, float, type(None)),
    "test_bias": (int, float, type(None)),
    "method": (str, type(None)),
    "test_score": (dict, type(None)),
    "test_bound": (dict, type(None)),
    "test_frames": (int,),
    "frame_name": (str,),
    "best_epoch": (int,),
    "best_valid_ll": (int, float, type(None)),
    "epochs": (int,),
    "training_seconds": (int, float),
    "baselines": (dict,),
    "statistics": (dict,),
    "samples": (list,),
    "label_error": (int, float, type(None)),
}
_NUMBER = (int, float, type(None))


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a run, or the beginning of one."""
    return (folder / "config.toml").is_file()


def read_run(folder: Path) -> Record:
    """Read what a page says of a run.

    Parameters
    ----------
    folder : pathlib.Path
        That of a run, which need not have ended.

    Raises
    ------
    FileNotFoundError
        If it holds no run.
    FileExistsError
        If it is a file.
    ValueError
        If a file of the run is damaged.
    """
    if folder.is_file():
        raise FileExistsError(
            f"{folder}: is a file; give the folder that 'rnnrbm train' wrote, such as {folder.parent}"
        )
    path = folder / "config.toml"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; give the folder that 'rnnrbm train' wrote")
    if not path.exists():
        inside = sorted(each.parent.name for each in folder.glob("*/config.toml"))
        if inside:
            some = ", ".join(inside[:3]) + (" ..." if len(inside) > 3 else "")
            raise FileNotFoundError(
                f"{folder}: no run there (no config.toml), but runs inside: {some}; give one of them, or compare them "
                "by rnnrbm compare"
            )
        raise FileNotFoundError(f"{folder}: no run there (no config.toml); give the folder that 'rnnrbm train' wrote")
    settings, facts = config.read(path), config.facts_of_run(path)
    if facts.get("replaces_a_run") is True:
        raise ValueError(
            f"{folder}: belongs to a run that is being replaced; resume it by 'rnnrbm train --resume --out {folder}'"
        )
    results = _results(folder / "results.json", folder)
    flat = {key: value for key, value in config.flat(settings.model_dump()).items() if value is not None}
    return Record(
        folder=folder,
        model=shown_name(settings.model.name),
        settings=flat,
        defaults=config.flat(config.Config().model_dump()),
        facts=facts,
        metrics=_metrics(folder / "metrics.csv"),
        results=results,
        evaluations=_evaluations(folder),
        n_parameters=_parameters(folder / "checkpoint.npz"),
    )


def _again(folder: Path) -> str:
    return f"delete it, and write it again by 'rnnrbm train --resume --out {folder}'"


def _json(path: Path, advice: str) -> dict[str, Any]:
    try:
        found = json.loads(read_bytes(path, "a file of results", most=_MOST_JSON))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: is damaged ({first_line(error)}); {advice}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: holds a {type(found).__name__}, expected a dictionary; {advice}")
    return found


def _results(path: Path, folder: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    advice = _again(folder)
    found = _json(path, advice)
    _check(path, found, _KINDS, advice)
    for name, value, keys in (
        ("test_score", "value", {"name": (str,), "value": _NUMBER}),
        ("test_bound", "mean", {"mean": _NUMBER, "standard_error": _NUMBER, "settings": (str,)}),
    ):
        if found.get(name) is not None:
            _check(path, found[name], keys, advice, f"{name}.")
            if found[name].get(value) is None:  # NaN, of which JSON has none
                found[name] = None
    _check(path, found["baselines"], dict.fromkeys(found["baselines"], _NUMBER), advice, "baselines.")
    found["baselines"] = {k: v for k, v in found["baselines"].items() if v is not None}
    for part in ("samples", "train"):
        values = found["statistics"].get(part)
        _check(path, found["statistics"], {part: (dict,)}, advice, "statistics.")
        _check(path, values, dict.fromkeys(values, _NUMBER), advice, f"statistics.{part}.")
    for name in found["samples"]:
        inside = isinstance(name, str) and not Path(name).is_absolute() and ".." not in Path(name).parts
        if not inside or "\0" in name:
            raise ValueError(f"{path}: samples has {name!r:.60}, expected the path of a file in the run; {advice}")
    return found


def _check(
    path: Path, found: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]], advice: str, prefix: str = ""
) -> None:
    """Raise ValueError unless values are of the kinds that a page can show; results of older versions lack some."""
    for name, kind in kinds.items():
        value = found.get(name)
        if name not in found and type(None) in kind:
            continue
        if not isinstance(value, kind) or isinstance(value, bool):
            expected = " or ".join("null" if k is type(None) else k.__name__ for k in kind)
            raise ValueError(f"{path}: {prefix}{name} is {value!r:.60}, expected {expected}; {advice}")


def _metrics(path: Path) -> dict[str, list[float]]:
    if not path.exists():
        return {}
    advice = "restore it, or resume the run, which writes it anew"
    content = read_bytes(path, "the metrics of a run", most=_MOST_METRICS)
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: is damaged ({first_line(error)}); {advice}") from None
    if not rows or "epoch" not in rows[0]:
        raise ValueError(f"{path}: has no column epoch; {advice}")
    columns: dict[str, list[float]] = {name: [] for name in rows[0]}
    for i, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            raise ValueError(f"{path}: line {i} has {len(row)} values, expected {len(rows[0])}; {advice}")
        for name, value in zip(rows[0], row, strict=True):
            try:
                columns[name].append(float(value) if value else math.nan)
            except ValueError:
                raise ValueError(f"{path}: line {i}, {name} is {value!r:.60}, expected a number; {advice}") from None
    if not all(map(math.isfinite, columns["epoch"])):
        raise ValueError(f"{path}: an epoch is no number; {advice}")
    return columns if len(rows) > 1 else {}


def _evaluations(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted((folder / "evaluations").glob("*.json")) if (folder / "evaluations").is_dir() else ():
        advice = f"delete it, and run 'rnnrbm evaluate {folder}' again"
        each = _json(path, advice)
        _check(path, each, {"data": (str,), "split": (str,), "frames": (int,)}, advice)
        for key in ("log_likelihood", "raise"):
            if key in each:
                _check(path, each, {key: (dict,)}, advice)
                kinds = {"micro": _NUMBER, "macro": _NUMBER, "standard_error": _NUMBER, "settings": (str,)}
                _check(path, each[key], kinds, advice, f"{key}.")
                if each[key].get("micro") is None:
                    del each[key]
        for key, kind in (("prediction", dict), ("bracket", dict), ("score", dict), ("baselines", list)):
            if key in each:
                _check(path, each, {key: (kind,)}, advice)
        if "score" in each:
            _check(path, each["score"], {"name": (str,), "value": (int, float)}, advice, "score.")
        for row in each.get("baselines", ()):
            if not isinstance(row, dict):
                raise ValueError(f"{path}: baselines has {row!r:.60}, expected a dictionary; {advice}")
            of_row = {"model": (str,), "ll": _NUMBER, "ll_pieces": _NUMBER, "settings": (dict,)}
            _check(path, row, of_row, advice, "baselines.")
            _check(path, row["settings"], dict.fromkeys(row["settings"], (int, float)), advice, "settings.")
        found.append(each)
    return found


def _parameters(path: Path) -> int | None:
    """Return the number of parameters that a checkpoint holds; None if there is none that can be read."""
    if not path.is_file():
        return None
    try:
        arrays, _ = checkpoint.load(path)
    except (checkpoint.CheckpointError, OSError):  # the page is of use without it; whoever loads the run hears of it
        return None
    best = [x.size for name, x in arrays.items() if name.startswith("best.")]
    return sum(best) if best else None
