"""Samples of trained models: MIDI files and pictures, with statistics next to those of the data.

Two numbers measure copying, for samples and for excerpts of the test set of the same length. One is the number of cells
per frame that differ between windows of a roll and the nearest position in the training set, in any key. The other is
the longest run of frames that also occurs in the training set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import long_samples
from rnnrbm.datasets import Dataset
from rnnrbm.experiment import run
from rnnrbm.files import atomic
from rnnrbm.sampling import generate
from rnnrbm.scoring import metrics
from rnnrbm.scoring.likelihood import usable_states
from rnnrbm.training.packing import transposed

__all__ = ["COLUMNS", "excerpts", "row_of", "statistics", "write_gallery"]

#: Head of the tables of :func:`statistics`.
COLUMNS = [
    "| | notes a frame | note length | repeated | pitch classes | nearest | longest copy |",
    "| --- |" + " ---: |" * 6,
]

Rolls = Sequence[np.ndarray]


def excerpts(pieces: Rolls, n_steps: int, count: int, seed: int = 0) -> list[np.ndarray]:
    """Consecutive frames of randomly drawn pieces, at most `n_steps`; a shorter piece is taken whole."""
    rng = np.random.default_rng(seed)
    chosen = [pieces[i] for i in rng.integers(len(pieces), size=count)]
    begins = [int(rng.integers(max(1, len(piece) - n_steps + 1))) for piece in chosen]
    return [piece[begin : begin + n_steps] for piece, begin in zip(chosen, begins, strict=True)]


def statistics(
    rolls: Rolls, train: Rolls, *, low: int, keys: tuple[int, int], share: float = 1.0, window: int = 16
) -> dict[str, float]:
    """Describe rolls, and their distance to the training set.

    Parameters
    ----------
    rolls : sequence of arrays (T, n_visible)
    train : sequence of arrays (T, n_visible)
    low : int
        MIDI note of column 0.
    keys : (int, int)
        Range of shifts, in columns, for comparing a roll with the training set.
    share : float
        Fraction of the training pieces that were transposed at the end of training.
    window : int
        Frames of a window compared with the training set, for ``nearest``.

    Returns
    -------
    dict
        ``notes_per_frame``, ``note_length`` (frames), ``repeated_frames`` (fraction), ``pitch_classes`` (half the
        summed difference from the fractions of the training set, transposed alike; 0 is equal), ``nearest`` (cells per
        frame, median over all windows) and ``longest_copy`` (frames, median over rolls).
    """
    lengths = metrics.note_lengths(rolls)
    theirs = metrics.pitch_histogram(transposed(train, keys, transpose_prob=share), low=low, classes=True)
    ours = metrics.pitch_histogram(rolls, low=low, classes=True)
    window = min(window, *map(len, rolls))
    near = [
        place.distance
        for roll in rolls  # the windows of one roll at a time; those of all would take gigabytes
        for place in metrics.nearest_pieces(
            [roll[begin : begin + window] for begin in range(0, len(roll) - window + 1, window)], train, keys
        )
    ]
    copied = metrics.longest_copies(rolls, train, keys)
    return {
        "notes_per_frame": float(metrics.notes_per_frame(rolls).mean()),
        "note_length": float(lengths.mean()) if len(lengths) else float("nan"),
        "repeated_frames": metrics.repeated_frame_rate(rolls),
        "pitch_classes": float(0.5 * np.abs(ours - theirs).sum()),
        "nearest": float(np.median(near)),
        "longest_copy": float(np.median(copied)),
    }


_HEAD = """\
# Samples

`python -m benchmarks.table1 samples{also}` makes this page. Each model wrote {count} samples of {steps} frames with the
seed 0; the first {shown} are shown. The parameters of the models are in [`{folder}`]({link}){embedded}.
The tables compare the samples with as many excerpts of the test set, each of at most {steps} frames:

* *notes a frame*: mean number of notes per frame;
* *note length*: mean length of a note in frames;
* *repeated*: fraction of frames that repeat the previous frame;
* *pitch classes*: difference between the frequencies of the twelve pitch classes and those of the training set (half
  the sum of absolute differences). Samples are compared with the training set as it is transposed at the end of
  training;
* *nearest*: cells per frame that differ between 16 frames and the most similar 16 frames of the training set, in any
  key used in training (median);
* *longest copy*: number of successive frames that also occur in the training set (median of the longest ones).

If the samples were copies, they would be nearer to the training set than the test set is.
[Long samples](#long-samples) are at the end of the page.
"""

_LONG = """\
## Long samples

Each model wrote {count} samples of {steps:,} frames, far longer than a piece. They are cut into windows of {window}
frames; the level of a window is its mean number of notes per frame.

![Notes per frame along long samples of each model]({picture})

Three rules say whether samples stay like the training set. *Mean*: the mean level of each window, over all samples, is
within 15 % of the training set; the table has the window that is farthest from it. *Ends*: the last two windows are
within 10 % of the first two. The 5th to 95th percentile of the levels lies between the 1st and 99th of the training
set. As many windows drawn from the training set are held to the same rules.
"""


def write_gallery(
    checkpoints: Path,
    page: Path,
    *,
    also: Sequence[str] = (),
    count: int = 16,
    steps: int = 96,
    shown: int = 2,
    n_long: int = 2048,
    mode: Any = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Sample every run in a folder of runs, write a page about the samples, and write some of them.

    Parameters
    ----------
    checkpoints : pathlib.Path
        Run folders.
    page : pathlib.Path
        A Markdown file; MIDI files and pictures go into a folder with its name.
    also : sequence of str
        Further runs, which come first: folders, or bach.
    count, steps : int
        Samples of each model, and frames of each.
    shown : int
        Number of samples to write for each model.
    n_long : int
        Frames of long samples.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    say : callable or None
        Called with a message before each run is sampled.

    Raises
    ------
    FileNotFoundError
        If there is no run in the folder.
    ValueError
        If `page` is not a ``.md`` file.
    """
    kept = sorted(path.parent for path in checkpoints.glob("*/checkpoint.npz"))
    if not kept:
        raise FileNotFoundError(
            f"{checkpoints}: no checkpoint there; 'python -m benchmarks.table1 reproduce' saves those of RNN-RBMs and "
            f"RNN-NADEs when it makes their rows"
        )
    if page.suffix != ".md":
        raise ValueError(f"{page}: expected a Markdown file, such as docs/samples.md")
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    link = Path(os.path.relpath(checkpoints, page.parent)).as_posix()
    options = "".join(f" --run {place}" for place in also)
    embedded = "; that of `bach` is in the library" if "bach" in also else ""
    head = {"folder": checkpoints.as_posix(), "link": link, "also": options, "embedded": embedded}
    lines = [_HEAD.format(**head, count=count, steps=steps, shown=shown)]
    found = []
    for i, place in enumerate([*map(Path, also), *kept]):
        if say is not None:
            say(f"{place.name}, {i + 1} of {len(also) + len(kept)}: samples, and their distance to the training set")
        trained = run.load(place)
        data = run.load_data(trained.config.data, run_folder=trained.folder)
        lines += _section(place.name, trained, data, folder, count, steps, shown, mode)
        found += [(place.name, long_samples.levels(trained, data.train, n_frames=n_long, mode=mode))]
    picture = folder / "long.png"
    long_samples.draw(found, picture)
    where = f"{folder.name}/{picture.name}"
    window, n_samples = long_samples.WINDOW, len(found[0][1].levels)
    lines += [_LONG.format(count=n_samples, steps=n_long, window=window, picture=where), *long_samples.HEAD]
    lines += [line for name, levels in found for line in long_samples.lines(name, levels)]
    lines += [""]
    with atomic(page) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def _section(
    name: str, trained: run.Run, data: Dataset, folder: Path, count: int, steps: int, shown: int, mode: Any
) -> list[str]:
    """Sample one run, write the first samples, and describe them."""
    generation, training = trained.config.generation, trained.config.training
    sampled = generate(
        trained.model,
        steps,
        n_samples=count,
        k=generation.k,
        init_states=usable_states(trained.model, data.train, generation.n_init_states),
        mode=mode,
    )
    rolls = trained.kind.from_samples(sampled)
    files = run.write_samples(trained, list(rolls[:shown]), folder, name=name, sound=False)
    lines = [f"## {name}", "", f"Model: {trained.config.model.name.upper()}; data: {trained.config.data.source}.", ""]
    for picture in (path for path in files if path.suffix == ".png"):
        lines += [f"![{picture.stem}]({folder.name}/{picture.name})", ""]
    music = [path for path in files if path.suffix == ".mid"]
    if music:
        lines += ["To listen: " + ", ".join(f"[{path.name}]({folder.name}/{path.name})" for path in music) + ".", ""]
    lines += COLUMNS
    # a model learns the pitch classes of the transposed training set; the test set is not transposed
    share = training.transpose_prob_at(training.epochs)
    for label, some, moved in (("samples", list(rolls), share), ("test set", excerpts(data.test, steps, count), 0.0)):
        s = statistics(some, data.train, low=trained.kind.low or 0, keys=training.shifts, share=moved)
        lines += [row_of(label, s)]
    return [*lines, ""]


def row_of(label: str, s: dict[str, float]) -> str:
    """A row of the table under :data:`COLUMNS`."""
    return (
        f"| {label} | {s['notes_per_frame']:.2f} | {s['note_length']:.2f} | {s['repeated_frames']:.1%} | "
        f"{s['pitch_classes']:.3f} | {s['nearest']:.2f} | {s['longest_copy']:.0f} |"
    )
