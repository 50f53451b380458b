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
from rnnrbm.report.record import JUDGES, LEAST_IS_BEST, Record, Score

__all__ = ["Group", "caveats", "comparison_page", "differing", "groups", "table_rows"]

_SEED = "training.seed"
#: settings that have columns of their own in the table of scores; more have a table of their own
_MOST_SETTINGS = 4
#: settings that other columns show
_SHOWN = ("data.source", "model.name")
_MOST_IN_TEXT = 6
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
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _by_score(found: Sequence[Group]) -> list[Group]:
    """Groups of the same data together, the best validation first; those without one last."""
    order = {group.runs[0].data_hash: i for i, group in reversed(list(enumerate(found)))}

    def key(group: Group) -> tuple[int, float]:
        score = group.summary(_valid)[0] if group.ended else _valid(group.runs[0])
        least = group.runs[0].judge in LEAST_IS_BEST
        return order[group.runs[0].data_hash], math.inf if score is None else score if least else -score

    return sorted(found, key=key)


def _changed(runs: Sequence[Record]) -> list[str]:
    """The settings that are worth a column: those that differ, and that more than one of the models has."""
    keys = [key for key in differing(runs) if key not in _SHOWN and not key.startswith("generation.")]
    having = {key: {run.model for run in runs if key in run.settings} for key in keys}
    several = len({run.model for run in runs}) > 1
    return [key for key in keys if not several or len(having[key]) > 1 or key.startswith("training.")]


def table_rows(runs: Sequence[Record]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of a table of groups as text; the first and the last column are words."""
    changed, rows = _changed(runs), []
    several = len({run.data_hash for run in runs}) > 1
    for group in _by_score(groups(runs)):
        first = group.runs[0]
        valid, valid_sd, _ = group.summary(_valid)
        test, test_sd, _ = group.summary(_test)
        if not group.ended:
            valid = _valid(first)
        seconds, _, _ = group.summary(lambda run: run.seconds)
        own = [key for key in changed if _setting(first, key)]
        what = [f"{key.partition('.')[2]} {_setting(first, key)}" for key in own[:_MOST_IN_TEXT]]
        if len(own) > _MOST_IN_TEXT:
            what.append(f"and {len(own) - _MOST_IN_TEXT} more: see the page, --html")
        of_seeds = f"seed{'s' if len(group.runs) > 1 else ''} {group.seeds}"
        state = "" if group.ended else f"not ended, epoch {first.last_epoch}"
        rows.append(
            [
                group.name,
                str(len(group.ended)),
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
    found = _by_score(groups(runs))
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
    changed = _changed([group.runs[0] for group in found])
    columns = changed if len(changed) <= _MOST_SETTINGS else []
    rows = []
    for group in found:
        first = group.runs[0]
        valid, valid_sd, _ = group.summary(_valid)
        test, test_sd, _ = group.summary(_test)
        seconds, _, _ = group.summary(lambda run: run.seconds)
        so_far = _valid(first) if not group.ended else None
        rows.append(
            [
                group.name,
                Cell(len(group.ended), digits=0),
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
    headings += [key.partition(".")[2] for key in columns]
    caption = "Scores of groups; runs that differ in nothing but the seed are one row"
    # what no run has, and what all have in common, takes no column
    common = {"model", "data"}
    kept = [
        i
        for i, name in enumerate(headings)
        if any(getattr(row[i], "value", row[i]) is not None for row in rows)
        and not (name in common and len(rows) > 1 and len({row[i] for row in rows}) == 1)
    ]
    yield table([headings[i] for i in kept], [[row[i] for i in kept] for row in rows], caption=caption)
    yield paragraph(
        "n is the number of runs that have ended. Scores are means over them, and sd is the standard deviation over "
        "seeds, with n \u2212 1. Log-likelihoods are in nats per frame; higher is better. The time of the first run of "
        "a process has that of compiling in it.",
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
            models = {run.model for _, group in each for run in group.runs}
            if name == "loss" and len(models) > 1:
                yield paragraph("Losses of different models do not compare.", kind="soft")
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
