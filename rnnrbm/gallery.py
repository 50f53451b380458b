"""Samples of the best models of a table: as MIDI and pictures, with statistics beside those of the data.

Copying is told by two figures, each for samples and for excerpts of the test set of the same length: how many cells of
a frame differ from the place of the training set that is nearest, in whatever key; and the longest run of frames that
occurs in the training set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm import metrics, midi, plot, run
from rnnrbm.batches import transposed
from rnnrbm.files import atomic
from rnnrbm.likelihood import known_frames
from rnnrbm.sampling import generate

__all__ = ["excerpts", "gallery", "statistics", "write_gallery"]

Rolls = Sequence[np.ndarray]


def excerpts(pieces: Rolls, n_steps: int, count: int, seed: int = 0) -> list[np.ndarray]:
    """Some frames in a row of pieces that have as many, each place as likely; pieces in full if none has."""
    rng = np.random.default_rng(seed)
    long = [piece for piece in pieces if len(piece) >= n_steps] or list(pieces)
    places = np.array([max(1, len(piece) - n_steps + 1) for piece in long])
    chosen = rng.choice(len(long), count, p=places / places.sum())
    begins = [int(rng.integers(places[i])) for i in chosen]
    return [long[i][begin : begin + n_steps] for i, begin in zip(chosen, begins, strict=True)]


def statistics(rolls: Rolls, train: Rolls, *, low: int, keys: tuple[int, int]) -> dict[str, float]:
    """Describe some rolls, and how near they come to the training set.

    Parameters
    ----------
    rolls : sequence of arrays (T, n_visible)
    train : sequence of arrays (T, n_visible)
    low : int
        MIDI note of column 0.
    keys : (int, int)
        Shifts, in columns, in which a roll is compared with the training set.

    Returns
    -------
    dict
        ``notes_per_frame``, ``note_length`` (frames), ``repeated_frames`` (share), ``pitch_classes`` (half the summed
        difference of their shares from the training set's, transposed alike; 0 is equal), ``nearest`` (cells per frame,
        median over rolls) and ``longest_copy`` (frames, median over rolls).
    """
    lengths = metrics.note_lengths(rolls)
    theirs = metrics.pitch_histogram(transposed(train, keys), low=low, classes=True)
    ours = metrics.pitch_histogram(rolls, low=low, classes=True)
    longest = max(map(len, train))
    near = [metrics.nearest_piece(roll[:longest], train, keys).distance for roll in rolls]
    copied = [metrics.longest_copy(roll, train, keys) for roll in rolls]
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

Of the model that explains each set best by valid likelihood (the parameters are in [`{folder}`](../{folder})), the
first two of {count} samples of {steps} frames each, seed 0. Beside them the statistics of as many excerpts of the test
set, as long: notes per frame, mean length of a note in frames, share of frames that repeat the one before, how far the
shares of the pitch classes are from those of the training set (half the sum of differences; both transposed as in
training), cells per frame that differ from the nearest place of the training set in any of the keys trained on, and the
longest run of frames that occurs there (medians). Samples that were copied would be nearer to the training set than the
test set is.
"""


def gallery(
    checkpoints: Path, folder: Path, *, count: int = 16, steps: int = 96, shown: int = 2, mode: Any = None
) -> str:
    """Sample every run in a folder of them, write the first samples to another, and return the page about them.

    Parameters
    ----------
    checkpoints : pathlib.Path
        Run folders.
    folder : pathlib.Path
        For MIDI files and pictures; made if absent.
    count, steps : int
        Samples of each model, and frames of each.
    shown : int
        So many are written.
    mode : str or None
        See :func:`rnnrbm.engine.function`.

    Returns
    -------
    str
        Markdown that expects `folder` beside it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [_HEAD.format(folder=checkpoints.as_posix(), count=count, steps=steps)]
    for place in sorted(path for path in checkpoints.iterdir() if (path / "checkpoint.npz").exists()):
        trained = run.load(place)
        data = run.load_data(trained.config.data)
        name, generation, low = place.name, trained.config.generation, trained.low or 0
        rolls = generate(
            trained.model,
            steps,
            count=count,
            k=generation.gibbs,
            known=known_frames(trained.model, data.train, generation.known) if generation.known else None,
            mode=mode,
        ).astype(np.uint8)
        lines += [f"## {name}, {trained.config.model.name.upper()}", ""]
        for i, roll in enumerate(rolls[:shown], 1):
            stem = f"{name}-{i}"  # may have a dot
            if trained.low is not None:
                midi.write(folder / f"{stem}.mid", roll, low=low, tempo=generation.tempo, **trained.grid)
            drawn = plot.piano_roll(
                roll, low=low, steps_per_beat=trained.grid.get("steps_per_beat"), title=f"{name}, sample {i}"
            )
            plot.save(drawn, folder / f"{stem}.png")
            lines += [f"![{stem}]({folder.name}/{stem}.png)", ""]
        keys = trained.config.training.transpose
        lines += ["| | notes a frame | note length | repeated | pitch classes | nearest | longest copy |"]
        lines += ["| --- |" + " ---: |" * 6]
        for label, some in (("samples", list(rolls)), ("test set", excerpts(data.test, steps, count))):
            s = statistics(some, data.train, low=low, keys=keys)
            lines += [
                f"| {label} | {s['notes_per_frame']:.2f} | {s['note_length']:.2f} | {s['repeated_frames']:.1%} | "
                f"{s['pitch_classes']:.3f} | {s['nearest']:.2f} | {s['longest_copy']:.0f} |"
            ]
        lines += [""]
    return "\n".join(lines)


def write_gallery(checkpoints: Path, page: Path, **options: Any) -> None:
    """Write the page, and the samples into a folder of its name beside it; see :func:`gallery`."""
    text = gallery(checkpoints, page.with_suffix(""), **options)
    with atomic(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
