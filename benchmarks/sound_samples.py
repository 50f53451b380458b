"""What the samples of a model of spectrograms are worth, beside what recordings are worth to each other.

Samples of a run, each as long as a piece of its training set, are compared with its test set, and its training set with
the same test set, which shows how far apart recordings are by themselves:

* durations, silences, peak frequencies, bandwidths and levels of calls: medians, and the Kolmogorov-Smirnov distance
  with the Wasserstein distance in brackets;
* the unbiased squared maximum mean discrepancy of calls, and of windows of 100 ms.

With --classifier, where the recordings have annotations with labels: a support vector machine learns which syllable a
call is, from the training and validation recordings. Its probabilities are calibrated on those recordings that it was
not trained on, each in turn, and its accuracy is that on the test recordings. It is then applied to samples. All calls,
those of recordings too, are found by their level, and none by the annotations, which only name them. Samples pass if

* right: 97 % of the test recordings' syllables are recognised;
* sure: the mean probability of the likeliest class is that of the test recordings, within 0.05;
* complete: every class is among the samples.

The exit code is 1 if they do not.

    python benchmarks/sound_samples.py RUN [--seconds 240] [--k K] [--classifier] [--figure FILE]

The classifier needs the package scikit-learn, and annotations of other programs crowsetta.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import common
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

import rnnrbm
from rnnrbm.datasets import Dataset
from rnnrbm.experiment import run
from rnnrbm.experiment.setup import located
from rnnrbm.io.annotations import Annotation, find_annotations, read_annotations
from rnnrbm.kinds.spectrogram import Spectrogram
from rnnrbm.plot import canvas
from rnnrbm.plot import spectrogram as draw_spectrogram
from rnnrbm.plot.sound import distribution_functions
from rnnrbm.scoring.calls import Calls, call_threshold, find_calls
from rnnrbm.scoring.resemblance import MEASURES, Discrepancy, FeatureSpace, discrepancies, distance

RIGHT, SURE = 0.97, 0.05
EXCERPT = 3.0  # seconds that are drawn


class Sounds(NamedTuple):
    """Pieces in decibels, and the calls in them."""

    pieces: list[np.ndarray]
    calls: Calls


class Named(NamedTuple):
    """Calls of recordings: their names, empty where there is none, and the recordings that they are of."""

    labels: np.ndarray
    recordings: np.ndarray

    @property
    def known(self) -> np.ndarray:
        return self.labels != ""


class Verdict(NamedTuple):
    """What the classifier says.

    Attributes
    ----------
    classes : array of str
    accuracy, n : float, int
        Of the syllables of the test recordings.
    left_out_accuracy, n_left_out : float, int
        Of those of the other recordings, each left out of the training in turn.
    guesses, tops : dict of str to array
        For samples and test recordings the class of each call, and its probability.
    songs : array of str
        Labels of all recordings.
    """

    classes: np.ndarray
    accuracy: float
    n: int
    left_out_accuracy: float
    n_left_out: int
    guesses: dict[str, np.ndarray]
    tops: dict[str, np.ndarray]
    songs: np.ndarray

    def share(self, labels: np.ndarray) -> np.ndarray:
        return np.array([np.mean(labels == each) if len(labels) else 0.0 for each in self.classes])


def sample(
    trained: run.Run, train: Sequence[np.ndarray], seconds: float, *, k: int | None = None, seed: int = 0
) -> list[np.ndarray]:
    """Sample pieces with the settings of the run, each as long as one of the training set, drawn at random."""
    generation, lengths = trained.config.generation, np.array([len(piece) for piece in train])
    wanted = max(round(seconds / trained.kind.seconds_per_frame), 1)
    drawn = np.random.default_rng(seed).choice(lengths, wanted // int(lengths.mean()) + 1)
    sampled = rnnrbm.generate(
        trained.model,
        int(drawn.max()),
        n_samples=len(drawn),
        k=generation.k if k is None else k,
        seed=seed,
        temperature=generation.temperature,
        start=trained.start,
    )
    kind = trained.kind
    assert isinstance(kind, Spectrogram)
    return [kind.decibels(kind.from_samples(each[:n])) for each, n in zip(sampled, drawn, strict=True)]


def names(data: Dataset, split: str, calls: Calls, folder: Path) -> Named:
    """Name each call by the annotation that shares more than half of the time of both."""
    kind = data.kind
    assert isinstance(kind, Spectrogram)
    # the middle of a frame is that of its window
    first = (kind.settings.window_samples(kind.rate) / kind.rate - kind.seconds_per_frame) / 2
    annotations: dict[str, list[Annotation]] = {}
    labels, recordings = [], []
    for i, start, stop in calls.spans:
        match = re.fullmatch(r"(.+) ([\d.]+)-[\d.]+ s", data.names_of(split)[i])
        if match is None:
            raise ValueError(f"{data.name}: a piece is called {data.names_of(split)[i]}, not as recordings are")
        name, begin = match[1], float(match[2]) + first
        if name not in annotations:
            path = folder / name
            file = find_annotations(path)
            if file is None:
                raise ValueError(f"{path}: has no annotations; leave --classifier out")
            annotations[name] = read_annotations(file, recording=path)
        onset, offset = (begin + frame * kind.seconds_per_frame for frame in (start, stop))
        shares = [
            ((min(offset, a.offset) - max(onset, a.onset)) / (max(offset, a.offset) - min(onset, a.onset)), a.label)
            for a in annotations[name]
        ]
        share, label = max(shares, default=(0.0, ""))
        labels.append(label if share > 0.5 else "")
        recordings.append(name)
    return Named(np.array(labels, str), np.array(recordings, str))


def classify(sets: dict[str, Sounds], named: dict[str, Named]) -> Verdict:
    """Train a classifier, calibrate it, and apply it to test recordings and samples.

    Far from all that it was trained on, the kernel machines of all classes say the same, so that an unlike call has no
    probable class. A linear classifier would be sure of it.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax, softmax
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import SVC

    space = FeatureSpace.fit(sets["train"].pieces, sets["train"].calls.spans, n_components=40)
    points = {name: space(each.pieces, each.calls.spans) for name, each in sets.items()}
    x = np.concatenate([points[s][named[s].known] for s in ("train", "valid")])
    y, groups = (
        np.concatenate([getattr(named[s], name)[named[s].known] for s in ("train", "valid")])
        for name in ("labels", "recordings")
    )
    classes, numbers = np.unique(y, return_inverse=True)
    n_recordings = len(np.unique(groups))
    if len(classes) < 3 or n_recordings < 2:
        raise ValueError(
            f"{len(classes)} labels in {n_recordings} recordings for training; a classifier needs three labels and two "
            "recordings, so leave --classifier out"
        )
    machine = OneVsRestClassifier(SVC(C=10.0, gamma=1.0))  # the features have variance 1
    folds = GroupKFold(min(n_recordings, 7))
    left_out = cross_val_predict(machine, x, y, groups=groups, cv=folds, method="decision_function")
    # By Laplace's rule one more call would be wrong; if all are right, no probability would be great enough otherwise.
    doubt = 1 / (len(y) + 2)
    target = np.where(numbers[:, None] == np.arange(len(classes)), 1 - doubt, doubt / (len(classes) - 1))
    by = math.exp(
        minimize_scalar(
            lambda log: -(target * log_softmax(math.exp(log) * left_out, axis=1)).sum(axis=1).mean(),
            bounds=(-3.0, 5.0),
            method="bounded",
        ).x
    )
    machine.fit(x, y)
    guesses, tops = {}, {}
    for name in ("samples", "test"):
        scores = machine.decision_function(points[name]) if len(points[name]) else np.empty((0, len(classes)))
        guesses[name] = classes[scores.argmax(axis=1)]
        tops[name] = softmax(by * scores, axis=1).max(axis=1)
    test = named["test"]
    right = guesses["test"][test.known] == test.labels[test.known]
    songs = np.concatenate([each.labels[each.known] for each in named.values()])
    accuracy = float(np.mean(classes[left_out.argmax(axis=1)] == y))
    return Verdict(classes, float(right.mean()), len(right), accuracy, len(y), guesses, tops, songs)


def nearest(sets: dict[str, Sounds]) -> dict[str, np.ndarray]:
    """Distances of calls of samples and of test recordings from the nearest call of the training set, if it has two."""
    from scipy.spatial import KDTree

    train, calls = sets["train"]
    if len(calls.spans) < 2:
        return {name: np.empty(0) for name in ("samples", "test")}
    space = FeatureSpace.fit(train, calls.spans)
    tree = KDTree(space(train, calls.spans))
    return {name: tree.query(space(sets[name].pieces, sets[name].calls.spans))[0] for name in ("samples", "test")}


def median(values: np.ndarray, unit: str = "") -> str:
    return f"{np.median(values):.4g} {unit}".strip() if len(values) else "none"


def both(x: np.ndarray, y: np.ndarray, unit: str) -> str:
    found = distance(x, y)
    if not all(found.n):
        return "none"
    return f"{found.ks:.3f} ({found.wasserstein:.3g}{' ' if unit else ''}{unit})"


def rows(sets: dict[str, Sounds], found: dict[str, Discrepancy], near: dict[str, np.ndarray]) -> list[list[str]]:
    """The table of calls."""
    three = [sets[name].calls for name in ("samples", "test", "train")]
    table = [["", "samples", "test", "training", "samples to test", "training to test"]]
    table += [["sound", *(f"{each.seconds:.1f} s" for each in three), "", ""]]
    table += [["complete calls", *(f"{len(each.spans)}" for each in three), "", ""]]
    for text, values in (
        ("calls per second", [each.summary()["calls_per_second"] for each in three]),
        ("share of silent frames", [each.silent_share for each in three]),
    ):
        differences = [f"{values[i] - values[1]:+.3f}" for i in (0, 2)]
        table.append([text, *(f"{value:.3f}" for value in values), *differences])
    for name, unit, values_of in MEASURES:
        x, y, z = map(values_of, three)
        table.append([name, *(median(each, unit) for each in (x, y, z)), both(x, y, unit), both(z, y, unit)])
    apart = both(near["samples"], near["test"], "")
    table.append(["distance to a training call", median(near["samples"]), median(near["test"]), "", apart, ""])
    for name, each in found.items():
        values = [f"{value:.4f}" for value in (each.samples, each.real)]
        table.append([f"squared MMD of so many {name}", *map(str, each.n), *values])
    return table


def judged(verdict: Verdict) -> tuple[list[list[str]], bool]:
    """The table of the classifier, and whether samples pass."""
    tops = {name: float(each.mean()) if len(each) else float("nan") for name, each in verdict.tops.items()}
    apart = tops["samples"] - tops["test"]
    ours, theirs, songs = (
        verdict.share(labels) for labels in (verdict.guesses["samples"], verdict.guesses["test"], verdict.songs)
    )
    there = int((ours > 0).sum())
    verdicts = [verdict.accuracy >= RIGHT, abs(apart) <= SURE, there == len(verdict.classes)]
    right, sure, complete = ("passes" if each else "DOES NOT PASS" for each in verdicts)
    table = [
        ["syllables", "samples", "test", "all recordings", "samples to test", "verdict"],
        ["right, of the test recordings", "", f"{verdict.accuracy:.1%} of {verdict.n}", "", "", right],
        ["... of others, left out in turn", "", f"{verdict.left_out_accuracy:.1%} of {verdict.n_left_out}", "", "", ""],
        ["mean top probability", *(f"{tops[name]:.3f}" for name in ("samples", "test")), "", f"{apart:+.3f}", sure],
        ["classes", f"{there}", f"{(theirs > 0).sum()}", f"{len(verdict.classes)}", "", complete],
    ]
    for i, name in enumerate(verdict.classes):
        shares = [f"{each[i]:.1%}" for each in (ours, theirs, songs)]
        table.append([f"share of {name}", *shares, f"{ours[i] - theirs[i]:+.1%}", ""])
    return table, all(verdicts)


def excerpt(kind: Spectrogram, sounds: Sounds, labels: np.ndarray | None, ax: Any, title: str) -> None:
    """Draw the seconds with the most calls, and the calls."""
    hop, spans = kind.seconds_per_frame, sounds.calls.spans
    n = round(EXCERPT / hop)

    def within(i: int, begin: int) -> np.ndarray:
        return (spans[:, 0] == i) & (spans[:, 1] >= begin) & (spans[:, 2] <= begin + n)

    places = [(int(i), max(int(start) - 10, 0)) for i, start, _ in spans]
    i, begin = max(places, key=lambda place: within(*place).sum(), default=(0, 0))
    begin = max(min(begin, len(sounds.pieces[i]) - n), 0)
    texts = labels if labels is not None else np.full(len(spans), "")
    shown = within(i, begin)
    draw_spectrogram(
        sounds.pieces[i][begin : begin + n],
        kind.frequencies,
        seconds_per_frame=hop,
        ax=ax,
        title=title,
        segments=[
            (start * hop, stop * hop, str(text))
            for (_, start, stop), text in zip(spans[shown], texts[shown], strict=True)
        ],
        begin=begin * hop,
    )


def draw(
    kind: Spectrogram,
    sets: dict[str, Sounds],
    near: dict[str, np.ndarray],
    found: dict[str, Discrepancy],
    verdict: Verdict | None,
    path: Path,
) -> None:
    """Draw excerpts with their calls, the distributions, and what the classifier says."""
    figure = Figure(figsize=(13, 14), layout="constrained")
    panels = figure.subplot_mosaic(
        [["test"] * 4, ["samples"] * 4, list("abcd"), list("efgh")], height_ratios=[4, 4, 5, 5]
    )
    styles: dict[str, dict[str, Any]] = {
        "train": {"color": canvas.INK, "alpha": 0.35, "linewidth": 1.2, "label": "training set"},
        "test": {"color": canvas.INK, "linewidth": 1.6, "label": "test set"},
        "samples": {"color": canvas.ACCENT, "linewidth": 1.6, "label": "samples"},
    }
    for name, text in (("test", "Test set"), ("samples", "A sample")):
        guesses = None if verdict is None else verdict.guesses[name]
        excerpt(kind, sets[name], guesses, panels[name], f"{text}, and the calls that were found there")
    for key, (name, unit, values) in zip("abcde", MEASURES, strict=True):
        distribution_functions(
            panels[key], [(values(sets[s].calls), style) for s, style in styles.items()], log=unit == "ms"
        )
        panels[key].set(xlabel=f"{name} ({unit})", ylabel="share up to this")
    ax = panels["f"]
    if verdict is None:
        distribution_functions(ax, [(near[name], styles[name]) for name in near])
        ax.set(xlabel="distance to the nearest training call", ylabel="share up to this")
        panels["g"].set_visible(False)
    else:
        distribution_functions(ax, [(verdict.tops[name], styles[name]) for name in verdict.tops])
        ax.set(xlabel="probability of the likeliest syllable", ylabel="share up to this")
        at = np.arange(len(verdict.classes))
        for name, shift in (("test", -0.2), ("samples", 0.2)):
            style = {"color": styles[name]["color"]}
            panels["g"].bar(at + shift, verdict.share(verdict.guesses[name]), 0.38, **style)
        panels["g"].set_xticks(at, [str(each) for each in verdict.classes])
        panels["g"].yaxis.set_major_formatter(PercentFormatter(1.0, 0))
        panels["g"].set(xlabel="syllable", ylabel="share of calls")
    at = np.arange(len(found))
    for shift, name, style in ((-0.2, "real", styles["train"]), (0.2, "samples", styles["samples"])):
        heights = [getattr(each, name) for each in found.values()]
        bars = panels["h"].bar(at + shift, heights, 0.38, color=style["color"], alpha=style.get("alpha"))
        panels["h"].bar_label(bars, [f"{height:.4f}" for height in heights], fontsize="small", padding=2)
    panels["h"].set_xticks(at, list(found))
    panels["h"].margins(y=0.15)
    panels["h"].set(ylabel="squared MMD to the test set")
    for key in "abcdefgh":
        panels[key].grid(color=canvas.FAINT, linewidth=0.7)
        panels[key].set_axisbelow(True)
        canvas.finish(panels[key], None)
    handles, labels = panels["a"].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    canvas.save(figure, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="folder of rnnrbm train, on recordings")
    parser.add_argument("--seconds", type=float, default=240.0, help="of samples in all")
    parser.add_argument("--k", type=int, help="Gibbs steps for each frame; by default those of the run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classifier", action="store_true", help="recognise syllables, where they have labels")
    parser.add_argument("--figure", type=Path, default=Path("sound_samples.png"))
    options = parser.parse_args()
    if not options.seconds > 0:
        parser.error("--seconds: expected more than 0")
    common.header("scipy", *(["scikit-learn"] if options.classifier else []))
    trained = run.load(options.run)
    kind = trained.kind
    if not isinstance(kind, Spectrogram):
        parser.error(f"{options.run}: its frames are {kind.name}, not {Spectrogram.name}")
    once = trained.config.data.model_copy(update={"shifts": 1})
    data = run.load_data(once, run_folder=trained.folder)
    splits = {split: [kind.decibels(piece) for piece in getattr(data, split)] for split in ("train", "valid", "test")}
    threshold = call_threshold(splits["train"])
    sampled = sample(trained, data.train, options.seconds, k=options.k, seed=options.seed)
    pieces = splits | {"samples": sampled}
    sets = {
        name: Sounds(each, find_calls(each, kind.frequencies, kind.seconds_per_frame, threshold))
        for name, each in pieces.items()
    }
    three = [sets[name] for name in ("samples", "test", "train")]
    spans = three[0].calls.spans, three[1].calls.spans, three[2].calls.spans
    found = discrepancies(three[0].pieces, three[1].pieces, three[2].pieces, spans, kind.seconds_per_frame)
    near = nearest(sets)
    table = rows(sets, found, near)
    verdict, passes = None, True
    if options.classifier:
        source = Path(located(trained.config.data.source, trained.folder))
        folder = source.parent if source.is_file() else source
        verdict = classify(sets, {s: names(data, s, sets[s].calls, folder) for s in splits})
        more, passes = judged(verdict)
        table += more
    print(f"\ncalls are above {threshold:.1f} dB; medians, and Kolmogorov-Smirnov (Wasserstein) distances")
    common.table(table)
    draw(kind, sets, near, found, verdict, options.figure)
    print(f"figure: {options.figure}")
    return int(not passes)


if __name__ == "__main__":
    sys.exit(main())
