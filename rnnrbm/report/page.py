"""The page of one run: its numbers, curves, samples, data, settings and origin."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rnnrbm.report.chart import Line, chart, legend
from rnnrbm.report.markup import (
    Cell,
    Html,
    cards,
    code,
    data_uri,
    download,
    figure,
    image,
    note,
    number,
    page,
    paragraph,
    safe,
    section,
    table,
    text,
)
from rnnrbm.report.media import Budget, Clip, clips, png_size
from rnnrbm.report.record import JUDGES, Record, Score

__all__ = ["MOST_BYTES", "MOST_SAMPLES", "duration", "plus_minus", "run_page"]

#: bytes of a page
MOST_BYTES = 5_000_000
#: samples that are shown; the folder has the others
MOST_SAMPLES = 12
_SOUND_SHARE = 0.6  # of what a page may hold
_SAVED = {".mid": ("audio/midi", "MIDI file"), ".csv": ("text/csv", "table (CSV)")}
_MOST_SAVED = 100_000  # bytes of a file that can be saved from the page
#: names of scores of predicted frames that are not plain words in files
_SCORES = {"frame": "accuracy", "bay": "accuracy (Bay)", "rmse": "RMSE", "r2": "R\u00b2"}
#: figures of a run: name, what it shows, and what it shows to those who cannot see it
_FIGURES = (
    ("filters", "Filters", "What each hidden unit of the frame model responds to: its weights to the visible units."),
    ("reconstructions", "Reconstructions", "Images of the test set, and what the model makes of them."),
)


def duration(seconds: float) -> str:
    """Return a duration in words that fit its size: ``"32.8 s"``, ``"5 min 03 s"``, ``"2 h 05 min"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def plus_minus(score: Score) -> str:
    """Return a score with its standard error, if it has one above the digits that are shown."""
    digits = 3 if score.unit else 4
    error = "" if not score.error or score.error < 5e-4 else f" \u00b1 {number(score.error)}"
    return f"{number(score.value, digits)}{error}"


def run_page(run: Record, *, most: int = MOST_BYTES) -> str:
    """Return the page of a run.

    Parameters
    ----------
    run : Record
    most : int
        Bytes of the page. Files that do not fit are named instead, and sounds become shorter.

    Returns
    -------
    str
        A whole page of HTML.
    """
    budget = Budget(most - 200_000)  # text, style and settings take a tenth of that
    where = str(run.folder)
    lead = [paragraph(_summary(run)), paragraph(code(where), kind="soft")]
    if run.state:
        resume = f"rnnrbm train --resume --out {shlex.quote(where)}"
        lead.insert(0, note(f"This run has not ended: {run.state}. Resume it with ", code(resume)))
    lead.append(cards(_main_numbers(run)))
    sections = [
        section("scores", "Scores", *_scores(run)),
        section("curves", "Learning curves", *_curves(run)),
        section("samples", "Samples", *_samples(run, budget)),
        section("statistics", "Statistics beside the data", *_statistics(run, budget)),
        section("model", "What the model has learned", *_figures(run, budget)),
        section("data", "Data", *_data(run)),
        section("settings", "Settings", *_settings(run)),
        section("origin", "How it was made", *_origin(run)),
    ]
    title = f"{run.model} trained on {run.data}"
    foot = paragraph("This page holds all that it shows and loads nothing. It was written by rnnrbm.")
    return page(title, text(*lead), sections, foot=foot)


def _summary(run: Record) -> str:
    parts = [f"A run of {run.last_epoch} epoch{'' if run.last_epoch == 1 else 's'}"]
    if run.seconds:
        parts.append(f" in {duration(run.seconds)}")
    if run.seed is not None:
        parts.append(f", seed {run.seed}")
    return "".join(parts) + "."


def _main_numbers(run: Record) -> Iterator[tuple[str, str, str]]:
    if (test := run.test) is not None:
        name, _, unit = test.name.partition(", ")
        yield f"Test {name}", plus_minus(test), test.unit or unit
    if (valid := run.valid) is not None:
        name = valid.name.removeprefix("validation ")
        yield f"Validation {name}", plus_minus(valid), valid.unit
    if (error := run.results.get("label_error")) is not None:
        yield "Classified wrongly", f"{100 * error:.2f} %", f"of the {run.frame_name}s of the test set"
    if run.best_epoch is not None:
        yield "Best epoch", str(run.best_epoch), f"of {run.last_epoch}"
    if run.n_parameters is not None:
        yield "Parameters", f"{run.n_parameters:,}".replace(",", "\u2009"), ""
    if run.seconds is not None:
        yield "Training time", duration(run.seconds), ""


def _missing(what: str, how: str) -> Html:
    return paragraph(f"{what} ", code(how), kind="soft")


#: baselines that need a word
_BASELINES = {
    "note 1-gram": "Each note sounds with the probability that it has in the training set, whatever the others do.",
    "1-gram (Gaussian)": "A frame is one of the frames of the training set, with random changes.",
    "previous frame, fitted": "A note sounds with a probability that depends on whether it sounded just before.",
    "VAR(1)": "Vector autoregression: a linear model of a frame given the one before, with Gaussian errors.",
    "VAR(3)": "Vector autoregression: a linear model of a frame given the three before, with Gaussian errors.",
    "VAR(3), heavy tails": "The same with errors of heavy tails, so that a few wild frames do not rule it.",
    "independent columns": "Each column by itself, with its mean and its standard deviation.",
}


def _scores(run: Record) -> Iterator[Html]:
    test, results = run.test, run.results
    if test is None and "trial" in run.facts:
        yield paragraph("A trial of a sweep: the test set is scored by the best one only.", kind="soft")
    elif test is None:
        yield (
            _missing("The test set was not scored. Score it with", f"rnnrbm evaluate {shlex.quote(str(run.folder))}")
            if run.has_ended
            else paragraph("Scores are computed when the training has ended.", kind="soft")
        )
    else:
        rows: list[tuple[Any, ...]] = [(f"this {run.model}", Cell(test.value, plus_minus(test)), test.how)]
        if (bound := results.get("test_bound")) is not None:
            low = Score(bound["mean"], bound["standard_error"], "", "nats")
            rows.append((f"this {run.model}, lower bound", Cell(low.value, plus_minus(low)), bound["settings"]))
        rows += [(name, Cell(value), "exact") for name, value in results.get("baselines", {}).items()]
        unit = test.unit or test.name
        caption = f"Test set of {run.data}: {results.get('test_frames', '?')} {run.frame_name}s"
        yield table(("model", unit, "how"), rows, caption=caption, own=[0])
        if test.unit:
            yield paragraph(
                "A log-likelihood is higher if the model is better. Baselines are simple models of the same data.",
                kind="soft",
            )
            known = [(name, _BASELINES[name]) for name in results.get("baselines", {}) if name in _BASELINES]
            if known:
                meanings = "".join(f"<dt>{safe(name)}</dt><dd>{safe(meaning)}</dd>" for name, meaning in known)
                yield Html(f"<details><summary>What the baselines are</summary><dl>{meanings}</dl></details>")
        if better := [name for name, value in results.get("baselines", {}).items() if test.unit and value > test.value]:
            yield note(f"The model scores below {'; '.join(better)}.")
    for each in run.evaluations:
        yield _evaluation(run, each)
    if test is not None and not run.evaluations:
        yield _missing("A detailed evaluation comes from", f"rnnrbm evaluate {shlex.quote(str(run.folder))}")


def _evaluation(run: Record, found: Mapping[str, Any]) -> Html:
    """The table of ``rnnrbm evaluate``: the model and its lower side, and the baselines, with all their scores."""
    prediction = {k: v for k, v in found.get("prediction", {}).items() if k != "how" and isinstance(v, (int, float))}
    rows: list[list[Any]] = []
    for key, name in (("log_likelihood", f"this {run.model}"), ("raise", "lower side")):
        if (ll := found.get(key)) is not None:
            shown = plus_minus(Score(ll["micro"], ll["standard_error"], "", "nats"))
            scores = [Cell(prediction[k] if key == "log_likelihood" else None, digits=4) for k in prediction]
            rows.append([name, Cell(ll["micro"], shown), Cell(ll.get("macro")), *scores, ll["settings"]])
    for row in found.get("baselines", ()):
        how = ", ".join(f"{_words(k)} {v:.4g}" for k, v in row.get("settings", {}).items()).replace("-", "\u2212")
        scores = [Cell(row.get(k), digits=4) for k in prediction]
        rows.append([row["model"], Cell(row["ll"]), Cell(row["ll_pieces"]), *scores, how])
    heading = f"Evaluation on {found['data']}, {found['split']}"
    parts = [Html(f"<h3>{safe(heading)}</h3>")]
    if "score" in found:
        parts.append(paragraph(f"{found['score']['name']}: {number(found['score']['value'], 4)}"))
    if rows:
        headings = [
            "model",
            f"nats per {run.frame_name}",
            "mean by piece",
            *(_SCORES.get(k, _words(k)) for k in prediction),
            "how",
        ]
        parts.append(table(headings, rows, caption=f"{found['frames']} {run.frame_name}s", own=[0]))
    if why := found.get("bracket", {}).get("verdict"):
        parts.append(note(f"The two estimates are no bracket here. {why}"))
    return text(*parts)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _curves(run: Record) -> Iterator[Html]:
    panels = [
        ("valid_ll", "Validation log-likelihood", f"nats per {run.frame_name}"),
        ("valid_score", "Validation score", ""),
        ("pseudo_likelihood", "Pseudo-likelihood", f"nats per {run.frame_name}"),
        ("loss", "Loss", ""),
    ]
    best, drawn = run.best_epoch, False
    for name, title, unit in panels:
        values = {key: run.metrics[key] for key in (name, "valid_loss") if key in run.metrics}
        if name != "loss":
            values.pop("valid_loss", None)
        lines = [
            Line(key, run.metrics["epoch"], ys, i)
            for i, (key, ys) in enumerate(values.items())
            if any(map(math.isfinite, ys))
        ]
        if not lines:
            continue
        drawn = True
        label = f"{title}: {'; '.join(map(_course, lines))}"
        heading = f"{title}, {unit}" if unit else title
        yield Html(f"<h3>{safe(heading)}</h3>")
        yield chart(lines, label=label, best=best)
        if len(lines) > 1:
            yield legend([("training" if line.name == "loss" else "validation", line.style) for line in lines])
    if not drawn:
        yield paragraph("There are curves when the first epoch has ended.", kind="soft")
    elif best is not None and run.judge:
        judged = JUDGES[run.judge][0]
        yield paragraph(f"The dashed line marks epoch {best}, which has the best {judged}.", kind="soft")
    if any(map(math.isfinite, run.metrics.get("pseudo_likelihood", ()))):
        yield paragraph(
            "The loss of an RBM is a difference of free energies, and its value measures nothing. Compare models by "
            "the log-likelihood.",
            kind="soft",
        )


def _course(line: Line) -> str:
    """Say where a curve begins and ends, for those who cannot see it."""
    (first, begin), (last, end) = line.points[0], line.points[-1]
    return f"{number(begin)} in epoch {first:g}, {number(end)} in epoch {last:g}"


def _samples(run: Record, budget: Budget) -> Iterator[Html]:
    stems: dict[str, list[Path]] = {}
    for name in run.results.get("samples", ()):
        path = run.folder / name
        stems.setdefault(path.stem, []).append(path)
    if not stems:
        yield paragraph("Samples are drawn when the training has ended.", kind="soft")
        return
    shown = list(stems.items())[:MOST_SAMPLES]
    sounds = [path for _, paths in shown for path in paths if path.suffix == ".wav" and path.is_file()]
    heard = dict(zip(sounds, clips(sounds, int(_SOUND_SHARE * budget.left)), strict=True))
    for clip in heard.values():
        budget.take(clip.content)
    temperature = run.settings.get("generation.temperature", 1.0)
    how = "" if temperature == 1 else f", at temperature {temperature:g}"
    yield paragraph(f"Drawn from the model with the parameters of epoch {run.best_epoch}{how}. None was chosen.")
    parts = [_sample(run, i, paths, heard, budget) for i, (_, paths) in enumerate(shown, 1)]
    yield Html(f'<div class="samples">{"".join(parts)}</div>')
    if more := len(stems) - len(shown):
        yield paragraph(f"{more} more are in ", code(run.folder / "samples"), ".", kind="soft")
    yield _missing("More samples:", f"rnnrbm generate {shlex.quote(str(run.folder))} --seed 1")


def _sample(run: Record, i: int, paths: list[Path], heard: Mapping[Path, Clip], budget: Budget) -> Html:
    parts, by_suffix = [f"<h3>Sample {i}</h3>"], {path.suffix: path for path in paths}
    picture = None
    for suffix, media in ((".gif", "image/gif"), (".png", "image/png")):
        if picture is None and suffix in by_suffix:
            picture = budget.read(by_suffix[suffix], "a picture")
            if picture is not None:
                what = "a film" if suffix == ".gif" else "a picture"
                parts.append(
                    image(
                        picture,
                        media,
                        alt=f"Sample {i} of {run.model} trained on {run.data}, as {what}",
                        size=png_size(picture),
                    )
                )
    links: list[Any] = []
    for suffix, path in by_suffix.items():
        if suffix == ".wav":
            clip = heard.get(path, Clip(reason=f"{path}: there is no such file; sample again"))
            parts.append(_player(i, clip))
        elif suffix in _SAVED and path.is_file() and path.stat().st_size <= _MOST_SAVED:
            content = budget.read(path, "a file of a sample")
            if content is not None:
                links.append(download(content, _SAVED[suffix][0], path.name, f"Save the {_SAVED[suffix][1]}"))
    absent = [] if picture else [text("The picture is not in this page. ")]
    caption = text(*absent, *links, " " if links else "", code(paths[0].with_suffix("").name), " in ", code("samples"))
    return Html(f"<figure>{''.join(parts)}<figcaption>{caption}</figcaption></figure>")


def _player(i: int, clip: Clip) -> str:
    if not clip.content:
        return paragraph(clip.reason or "The sound does not fit into this page.", kind="soft")
    remarks = []
    if clip.slower > 1:
        remarks.append(f"played {clip.slower} times slower, so that it can be heard")
    if clip.seconds < clip.total - 0.01:
        remarks.append(f"the first {clip.seconds:.1f} s of {clip.total:.1f} s")
    remark = paragraph(f"{'; '.join(remarks).capitalize()}.", kind="soft") if remarks else ""
    source = data_uri(clip.content, "audio/ogg")
    return f'<audio controls preload="metadata" aria-label="Sound of sample {i}" src="{source}"></audio>{remark}'


def _statistics(run: Record, budget: Budget) -> Iterator[Html]:
    both = run.results.get("statistics") or {}
    samples, train = both.get("samples", {}), both.get("train", {})
    if not samples:
        yield paragraph("Statistics are computed when the training has ended.", kind="soft")
        return
    rows = [(_words(name), Cell(value), Cell(train.get(name))) for name, value in samples.items()]
    yield table(("statistic", "samples", "training set"), rows, caption="Samples beside the training set")
    yield from _picture(
        run,
        budget,
        "statistics",
        "Distributions of the samples and of the training set",
        "The samples beside the training set. Good samples have the same distributions.",
    )


def _picture(run: Record, budget: Budget, name: str, alt: str, caption: str) -> Iterator[Html]:
    path = run.folder / "figures" / f"{name}.png"
    content = budget.read(path, "a picture")
    if content is not None:
        yield figure(content, "image/png", alt=alt, caption=caption, size=png_size(content))
    elif path.is_file():
        yield paragraph("The figure does not fit into this page: ", code(path), kind="soft")


def _figures(run: Record, budget: Budget) -> Iterator[Html]:
    drawn = False
    for name, title, caption in _FIGURES:
        found = list(_picture(run, budget, name, f"{title} of {run.model} trained on {run.data}", caption))
        if found:
            drawn = True
            yield Html(f"<h3>{title}</h3>")
            yield from found
    if not drawn:
        yield paragraph(
            "This model has no filters that can be drawn."
            if run.has_ended
            else "Filters are drawn when the training has ended.",
            kind="soft",
        )


def _data(run: Record) -> Iterator[Html]:
    facts = run.data_facts
    pieces, frames = facts.get("pieces"), facts.get("frames")
    if isinstance(pieces, dict) and isinstance(frames, dict):
        rows = [
            (split, Cell(pieces.get(split), digits=0), Cell(frames.get(split), digits=0))
            for split in ("train", "valid", "test")
        ]
        yield table(("set", "pieces", f"{run.frame_name}s"), rows, caption="Sizes of the sets", sortable=False)
    plain = {k: v for k, v in facts.items() if not isinstance(v, dict)}
    rows_of_facts = [("source", code(run.settings.get("data.source", ""))), *((_words(k), v) for k, v in plain.items())]
    yield table(("fact", "value"), rows_of_facts, caption="What it was trained on", sortable=False, kind="settings")


def _settings(run: Record) -> Iterator[Html]:
    mark = Html(' <span class="mark">chosen</span>')
    yield paragraph(
        "All settings of the run; ",
        mark,
        " marks those that were chosen for this run, and are not the library\u2019s. They are in ",
        code("config.toml"),
        ", which trains the same run again.",
    )
    for group in dict.fromkeys(key.partition(".")[0] for key in run.settings):
        own = {k: v for k, v in run.settings.items() if k.startswith(f"{group}.")}
        rows = [
            (text(code(key.partition(".")[2]), mark if run.is_chosen(key) else ""), _value(value))
            for key, value in own.items()
        ]
        shown = table(("setting", "value"), rows, caption=f"Settings of {group}", sortable=False, kind="settings")
        opened = "<details open>" if group in ("data", "model") else "<details>"
        yield Html(f"{opened}<summary>{safe(group)} ({len(own)})</summary>{shown}</details>")


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _origin(run: Record) -> Iterator[Html]:
    if command := run.facts.get("command"):
        yield paragraph("The command that began the run:")
        yield Html(f"<pre>{safe(command)}</pre>")
    else:
        yield paragraph("The run did not record a command.", kind="soft")
    yield paragraph("The same run again, in another folder:")
    again = f"rnnrbm train {shlex.quote(str(run.folder / 'config.toml'))} --out FOLDER"
    yield Html(f"<pre>{safe(again)}</pre>")
    rows = [("seed", run.seed)]
    rows += [(k, v) for k, v in run.facts.items() if not isinstance(v, dict) and k not in ("command", "started_in")]
    yield table(("what", "value"), rows, caption="Seed and versions", sortable=False, kind="settings")
