"""Several runs beside each other: runs that differ in nothing but the seed are a group with a mean and a deviation."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from rnnrbm.report.chart import Line, chart, legend
from rnnrbm.report.markup import Cell, Html, code, note, number, page, paragraph, safe, section, table, text
from rnnrbm.report.page import duration, plus_minus
from rnnrbm.report.record import JUDGES, Record, Score

__all__ = ["Group", "caveats", "comparison_page", "differing", "groups", "table_rows"]

_SEED = "training.seed"
#: settings that have columns of their own in the table of scores; more have a table of their own
_MOST_SETTINGS = 4
#: settings that other columns show
_SHOWN = ("data.source", "model.name")
_MOST_IN_TEXT = 4
_PANELS = ("valid_ll", "valid_score", "valid_loss", "pseudo_likelihood", "loss")


@dataclass(frozen=True)
class Group:
    """Runs with the same settings and data, which differ in the seed.

    Attributes
    ----------
    runs : sequence of Record
        At least one.
    """

    runs: Sequence[Record]

    @property
    def ended(self) -> list[Record]:
        """The runs that have ended; only these are averaged."""
        return [run for run in self.runs if run.has_ended]

    @property
    def name(self) -> str:
        """The name of the run, or what the names of all begin with."""
        names = [run.name for run in self.runs]
        if len(names) == 1:
            return names[0]
        parents = {run.folder.resolve().parent for run in self.runs}
        same = list(takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False)))
        begin = names[0][: len(same)].rstrip("0123456789").rstrip("-_ .")
        if len(parents) == 1 and begin in ("", "seed"):
            begin = next(iter(parents)).name
        return begin or f"{names[0]} and others"

    @property
    def seeds(self) -> str:
        return ", ".join(str(run.seed) for run in self.runs)

    def summary(self, score: Callable[[Record], float | None]) -> tuple[float | None, float | None, int]:
        """Return mean, standard deviation and number of the runs that have ended and have a score.

        The deviation is that of a sample, with n - 1, and None below two runs.
        """
        values = [v for run in self.ended if (v := score(run)) is not None and math.isfinite(v)]
        if not values:
            return None, None, 0
        return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values)


def groups(runs: Sequence[Record]) -> list[Group]:
    """Put runs together that differ in nothing but the seed, in the order of the first of each."""
    found: dict[str, list[Record]] = {}
    for run in runs:
        own = {key: value for key, value in run.settings.items() if key not in (_SEED, "data.source")}
        found.setdefault(json.dumps([run.data_hash, own], sort_keys=True), []).append(run)
    return [Group(each) for each in found.values()]


def differing(runs: Sequence[Record]) -> list[str]:
    """Return the settings in which runs differ, the seed aside."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    return [key for key in keys if key != _SEED and len({json.dumps(run.settings.get(key)) for run in runs}) > 1]


def caveats(runs: Sequence[Record]) -> list[str]:
    """Return sentences that say why some scores do not compare."""
    found = []
    if n := len({run.data_hash for run in runs}) - 1:
        names = ", ".join(dict.fromkeys(run.data for run in runs))
        found.append(f"These runs are of {n + 1} data sets ({names}), so their scores do not compare across data sets.")
    if waiting := [run.name for run in runs if not run.has_ended]:
        found.append(f"Not ended, and in no mean: {', '.join(waiting)}.")
    tests = [run.test for run in runs]
    if len(kinds := {test.name for test in tests if test}) > 1:
        found.append(f"Test scores are of {len(kinds)} kinds ({', '.join(sorted(kinds))}), which do not compare.")
    for group in groups(runs):
        seeds = [run.seed for run in group.runs]
        if len(set(seeds)) < len(seeds):
            found.append(f"{group.name}: some runs have the same seed, so their deviation is too small.")
    return found


def _value(score: Score | None) -> float | None:
    return None if score is None else score.value


def _test(run: Record) -> float | None:
    return _value(run.test) if run.has_ended else None


def _valid(run: Record) -> float | None:
    return _value(run.valid)


def _setting(run: Record, key: str) -> str:
    value = run.settings.get(key)
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def table_rows(runs: Sequence[Record]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of a table of groups as text; the first and the last column are words."""
    changed, rows = [key for key in differing(runs) if key not in _SHOWN], []
    several = len({run.data_hash for run in runs}) > 1
    for group in groups(runs):
        first = group.runs[0]
        valid, valid_sd, n = group.summary(_valid)
        test, test_sd, _ = group.summary(_test)
        if not group.ended:
            valid = _valid(first)
        seconds, _, _ = group.summary(lambda run: run.seconds)
        what = [f"{key} {_setting(first, key)}" for key in changed[:_MOST_IN_TEXT] if _setting(first, key)]
        if len(changed) > _MOST_IN_TEXT:
            what.append(f"{len(changed) - _MOST_IN_TEXT} more settings differ")
        of_seeds = f"seed{'s' if len(group.runs) > 1 else ''} {group.seeds}"
        state = "" if group.ended else f"not ended, epoch {first.last_epoch}"
        rows.append(
            [
                group.name,
                str(n or len(group.runs)),
                *(number(x) for x in (valid, valid_sd, test, test_sd)),
                str(first.last_epoch),
                "" if seconds is None else f"{seconds:.0f}",
                "; ".join(filter(None, [first.model, first.data if several else "", state, of_seeds, *what])),
            ]
        )
    return ["runs", "n", "valid", "sd", "test", "sd", "epochs", "seconds", "settings"], rows


def comparison_page(runs: Sequence[Record]) -> str:
    """Return a page that compares runs: a table of groups, a table of runs, and their curves.

    Raises
    ------
    ValueError
        If there is no run.
    """
    if not runs:
        raise ValueError("runs is empty: expected at least one")
    found = groups(runs)
    n = len(runs)
    lead = [paragraph(f"{n} run{'' if n == 1 else 's'} in {len(found)} group{'' if len(found) == 1 else 's'}.")]
    lead += [note(each) for each in caveats(runs)]
    sections = [
        section("groups", "Scores", *_groups(found)),
        section("curves", "Learning curves", *_curves(found)),
        section("runs", "Each run", *_runs(runs)),
    ]
    foot = paragraph("This page holds all that it shows and loads nothing. It was written by rnnrbm.")
    names = ", ".join(dict.fromkeys(run.data for run in runs))
    return page(f"Comparison of {n} run{'' if n == 1 else 's'} on {names}", text(*lead), sections, foot=foot)


def _groups(found: Sequence[Group]) -> Iterator[Html]:
    changed = [key for key in differing([group.runs[0] for group in found]) if key not in _SHOWN]
    columns = changed if len(changed) <= _MOST_SETTINGS else []
    rows = []
    for group in found:
        first = group.runs[0]
        valid, valid_sd, _ = group.summary(_valid)
        test, test_sd, n = group.summary(_test)
        seconds, _, _ = group.summary(lambda run: run.seconds)
        so_far = _valid(first) if not group.ended else None
        rows.append(
            [
                group.name,
                Cell(n, digits=0),
                Cell(valid) if so_far is None else Cell(so_far, f"{number(so_far)} so far"),
                *(Cell(x) for x in (valid_sd, test, test_sd)),
                Cell(first.n_parameters, digits=0),
                Cell(seconds, "" if seconds is None else duration(seconds)),
                first.model,
                first.data,
                *(_setting(first, key) for key in columns),
            ]
        )
    headings = ["runs", "n", "validation", "its sd", "test", "its sd", "parameters", "training", "model", "data"]
    caption = "Scores of groups; runs that differ in nothing but the seed are one row"
    yield table([*headings, *(key.partition(".")[2] for key in columns)], rows, caption=caption)
    yield paragraph(
        "n is the number of runs that have ended. Scores are means over them, and sd is the standard deviation over "
        "seeds, with n \u2212 1. Log-likelihoods are in nats per frame; higher is better.",
        kind="soft",
    )
    if not columns and changed:
        of_each = [[code(key), *(_setting(group.runs[0], key) for group in found)] for key in changed]
        names = ["setting", *(group.name for group in found)]
        shown = table(names, of_each, caption="Settings in which the groups differ", sortable=False, kind="settings")
        yield Html(f"<details><summary>Settings that differ ({len(changed)})</summary>{shown}</details>")


def _curves(found: Sequence[Group]) -> Iterator[Html]:
    """The curves of all runs, apart for each data set, whose scores do not compare."""
    by_data: dict[str, list[tuple[int, Group]]] = {}
    for i, group in enumerate(found):
        by_data.setdefault(group.runs[0].data_hash, []).append((i, group))
    for each in by_data.values():
        where = f" on {each[0][1].runs[0].data}" if len(by_data) > 1 else ""
        for name in _PANELS:
            lines = [
                Line(run.name, run.metrics["epoch"], run.metrics[name], i)
                for i, group in each
                for run in group.runs
                if any(map(math.isfinite, run.metrics.get(name, ())))
            ]
            if not lines:
                continue
            title, unit = JUDGES[name]
            heading = f"{title.capitalize()}{where}, {unit}".rstrip(", ")
            yield Html(f"<h3>{safe(heading)}</h3>")
            ends = "; ".join(f"{line.name} ends at {number(line.points[-1][1])}" for line in lines[:10])
            yield chart(lines, label=f"{heading}: {ends}")
            yield legend([(group.name, i) for i, group in each if any(line.style == i for line in lines)])
    if not any(run.metrics for group in found for run in group.runs):
        yield paragraph("No run has come to the end of an epoch.", kind="soft")


def _runs(runs: Sequence[Record]) -> Iterator[Html]:
    rows = []
    for run in runs:
        valid, test = run.valid, run.test if run.has_ended else None
        epochs: Any = run.last_epoch
        rows.append(
            [
                run.name,
                Cell(run.seed if isinstance(run.seed, int) else None, digits=0),
                Cell(_value(valid), None if valid is None else plus_minus(valid)),
                Cell(_value(test), None if test is None else plus_minus(test)),
                Cell(run.best_epoch, digits=0),
                Cell(epochs, digits=0),
                Cell(run.seconds, None if run.seconds is None else duration(run.seconds)),
                "ended" if run.has_ended else "not ended",
                "" if test is None else test.how or test.name,
                code(run.folder),
            ]
        )
    headings = ["run", "seed", "validation", "test", "best epoch", "epochs", "training", "state", "how", "folder"]
    yield table(headings, rows, caption="Each run by itself; \u00b1 is the standard error of the estimate")
