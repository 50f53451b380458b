"""Do long samples stay like the training set?

    python -m benchmarks.long_samples RUN [RUN ...] [--n-samples 64] [--n-frames 2048]

RUN is a folder of ``rnnrbm train``, or bach. Samples are cut into windows of 256 frames, and the level of a window is
its mean number of notes per frame. Samples pass if

* mean: the mean level of each window, over all samples, is within 15 % of that of the training set;
* ends: the mean level of the last two windows is within 10 % of that of the first two;
* spread: the 5th and the 95th percentile of all levels lie between the 1st and the 99th of the training set.

As many windows drawn from the training set are held to the same rules, in the second line of each run. The exit code
is 1 if samples do not pass.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import rnnrbm
from rnnrbm.experiment import run
from rnnrbm.plot import canvas
from rnnrbm.scoring.drift import window_means
from rnnrbm.scoring.likelihood import usable_states

__all__ = ["HEAD", "Levels", "draw", "levels", "lines"]

WINDOW = 256  # frames
MEAN, ENDS = 0.15, 0.10

HEAD = (
    f"| windows of {WINDOW} frames | mean | ends | 5th to 95th percentile | 1st to 99th of training | |",
    "| --- | ---: | ---: | ---: | ---: | --- |",
)


class Levels(NamedTuple):
    """Levels of windows, and those of a training set to hold them against.

    Attributes
    ----------
    levels : array (n_samples, n_windows)
        Of samples, in the order of time.
    train : array (n,)
        Of the training set.
    usual : float
        Mean level of all frames of the training set.
    """

    levels: np.ndarray
    train: np.ndarray
    usual: float

    @property
    def apart(self) -> np.ndarray:
        """Relative difference between the mean level of each window and the training set: (n_windows,)."""
        return np.asarray(self.levels.mean(axis=0) / self.usual - 1)

    @property
    def ends(self) -> float:
        """Relative difference between the mean levels of the last two windows and the first two."""
        return float(self.levels[:, -2:].mean() / self.levels[:, :2].mean() - 1)

    @property
    def spread(self) -> tuple[float, float, float, float]:
        """5th and 95th percentile of the levels, and the 1st and 99th of the training set."""
        return (*np.percentile(self.levels, [5, 95]), *np.percentile(self.train, [1, 99]))

    @property
    def passes(self) -> bool:
        """Whether the three rules hold."""
        low, high, least, greatest = self.spread
        close = abs(self.apart).max() <= MEAN and abs(self.ends) <= ENDS
        return bool(close and least <= low and high <= greatest)

    def drawn(self) -> Levels:
        """As many windows of the training set, drawn at random."""
        return self._replace(levels=np.random.default_rng(0).choice(self.train, self.levels.shape))

    def line(self, name: str) -> str:
        """A row of the table under :data:`HEAD`."""
        low, high, least, greatest = self.spread
        return (
            f"| {name} | {self.apart[abs(self.apart).argmax()]:+.1%} | {self.ends:+.1%} | {low:.2f} to {high:.2f} | "
            f"{least:.2f} to {greatest:.2f} | {'passes' if self.passes else 'DOES NOT PASS'} |"
        )


def levels(trained: run.Run, train: Any, *, n_samples: int = 64, n_frames: int = 2048, mode: Any = None) -> Levels:
    """Draw samples of a run with the settings of its own, and return their levels."""
    generation = trained.config.generation
    theirs = trained.kind.levels(train)
    states = usable_states(trained.model, train, generation.n_init_states)
    sampled = rnnrbm.generate(
        trained.model, n_frames, n_samples=n_samples, k=generation.k, seed=0, init_states=states, mode=mode
    )
    ours = window_means(trained.kind.levels(list(trained.kind.from_samples(sampled))), WINDOW)
    usual = float(np.concatenate(theirs).mean())
    return Levels(ours.reshape(n_samples, n_frames // WINDOW), window_means(theirs, WINDOW), usual)


def lines(name: str, found: Levels) -> list[str]:
    """Rows of the table for samples and for the training set."""
    return [found.line(name), found.drawn().line("training set")]


def draw(found: Sequence[tuple[str, Levels]], path: Path) -> None:
    """Draw the levels of the samples along their frames, one panel for each run."""
    n_rows = -(-len(found) // 3)
    figure = Figure(figsize=(9.6, 0.4 + 2.0 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, 3, sharex=True, squeeze=False).ravel()
    for ax, (name, x) in zip(panels, found, strict=False):
        frame = (np.arange(x.levels.shape[1]) + 0.5) * WINDOW
        ax.axhspan(*np.percentile(x.train, [1, 99]), color=canvas.FAINT, label="training set, 1st to 99th percentile")
        ax.axhline(x.usual, color=canvas.INK, lw=1, ls="--", label="training set, mean")
        low, high = np.percentile(x.levels, [5, 95], axis=0)
        mean = x.levels.mean(axis=0)
        ax.errorbar(
            frame, mean, [np.maximum(mean - low, 0), np.maximum(high - mean, 0)],
            color=canvas.ACCENT, marker="o", ms=3, lw=1, label="samples, mean and 5th to 95th percentile",
        )  # fmt: skip
        ax.set_ylim(0, 1.15 * max(np.percentile(x.train, 99), high.max()))
        ax.set_title(name, fontsize="medium")
    for ax in panels[len(found) :]:
        ax.set_visible(False)
    for ax in panels[::3]:
        ax.set_ylabel("notes per frame")
    for ax in panels[max(0, len(found) - 3) : len(found)]:
        ax.set_xlabel("frame")
        ax.tick_params(labelbottom=True)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    canvas.save(figure, path)


def main(folders: list[str], n_samples: int, n_frames: int) -> int:
    print("\n".join(HEAD))
    failed = False
    for folder in folders:
        trained = run.load(folder)
        train = run.load_data(trained.config.data, run_folder=trained.folder).train
        found = levels(trained, train, n_samples=n_samples, n_frames=n_frames)
        print("\n".join(lines(f"samples of {folder}", found)), flush=True)
        failed |= not found.passes
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--n-samples", type=int, default=64)
    parser.add_argument("--n-frames", type=int, default=2048)
    args = parser.parse_args()
    sys.exit(main(args.runs, args.n_samples, args.n_frames))
