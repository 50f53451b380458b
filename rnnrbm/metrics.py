"""Baselines, accuracies and descriptive statistics of sets of piano-rolls. NumPy only.

Log-likelihoods are in nats per frame, summed over the notes of a frame and averaged over all frames of all
pieces, the first frame of each included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "NoteCopy",
    "NoteUnigram",
    "accuracy",
    "copy_previous",
    "frame_accuracy",
    "notes_per_frame",
    "pitch_histogram",
    "repeated_frame_rate",
]

Pieces = Sequence[np.ndarray]


def _previous(piece: np.ndarray) -> np.ndarray:
    """The frame before each frame; before the first there is silence."""
    return np.concatenate([np.zeros_like(piece[:1]), piece[:-1]])


def _check(pieces: Pieces) -> None:
    if len(pieces) == 0 or any(np.ndim(p) != 2 or len(p) == 0 for p in pieces):
        raise ValueError("expected at least one piece, each an array (T, n_visible) with T of 1 or more")


@dataclass(frozen=True)
class NoteUnigram:
    """Independent notes: each note has one probability, the same at every frame.

    ``fit`` counts with one added to the frames with and to those without the note, so nothing is impossible.

    Attributes
    ----------
    probability : numpy.ndarray, shape (n_visible,)
    """

    probability: np.ndarray

    @classmethod
    def fit(cls, pieces: Pieces) -> NoteUnigram:
        """Estimate from pieces, arrays (T, n_visible) of 0 and 1."""
        _check(pieces)
        on = sum(np.asarray(p, float).sum(axis=0) for p in pieces)
        return cls((on + 1.0) / (sum(len(p) for p in pieces) + 2.0))

    @property
    def log_odds(self) -> np.ndarray:
        """Log p / (1 - p) of each note: the natural first visible biases of an RBM. Shape (n_visible,)."""
        return np.log(self.probability) - np.log1p(-self.probability)

    def log_likelihood(self, pieces: Pieces) -> float:
        """Mean over all frames, nats per frame."""
        _check(pieces)
        on, off = np.log(self.probability), np.log1p(-self.probability)
        return float(np.concatenate([np.where(p > 0, on, off).sum(axis=1) for p in pieces]).mean())


@dataclass(frozen=True)
class NoteCopy:
    """Independent notes that know the frame before: P(note on | it was on) and P(note on | it was off).

    The likelihood of "play the same again", softened just as much as the data asks for; the note's own frequency
    enters through the second probability. Before the first frame there is silence.

    Attributes
    ----------
    after_on : float
        Probability that a sounding note goes on, shared by all notes.
    after_off : numpy.ndarray, shape (n_visible,)
        Probability that a silent note starts.
    """

    after_on: float
    after_off: np.ndarray

    @classmethod
    def fit(cls, pieces: Pieces) -> NoteCopy:
        """Estimate from pieces, arrays (T, n_visible) of 0 and 1, with add-one counts."""
        _check(pieces)
        now = np.concatenate(list(pieces)) > 0
        before = np.concatenate([_previous(p) for p in pieces]) > 0
        after_on = ((now & before).sum() + 1.0) / (before.sum() + 2.0)
        return cls(float(after_on), ((now & ~before).sum(axis=0) + 1.0) / ((~before).sum(axis=0) + 2.0))

    def log_likelihood(self, pieces: Pieces) -> float:
        """Mean over all frames, nats per frame."""
        _check(pieces)
        frames = []
        for piece in pieces:
            p = np.where(_previous(piece) > 0, self.after_on, self.after_off)
            frames.append(np.where(piece > 0, np.log(p), np.log1p(-p)).sum(axis=1))
        return float(np.concatenate(frames).mean())


def frame_accuracy(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Accuracy of each frame as the 2012 paper's figures behave: TP / max(notes predicted, notes true).

    A silent frame predicted silent counts 1. It differs from the TP / (TP + FP + FN) of Bay, Ehmann & Downie
    (ISMIR 2009); see :func:`accuracy`.

    Parameters
    ----------
    predicted, true : numpy.ndarray, shape (T, n_visible)

    Returns
    -------
    numpy.ndarray, shape (T,), between 0 and 1
    """
    predicted, true = np.asarray(predicted) > 0, np.asarray(true) > 0
    if predicted.shape != true.shape:
        raise ValueError(f"predicted has shape {predicted.shape}, true {true.shape}; they must be equal")
    most = np.maximum(predicted.sum(axis=1), true.sum(axis=1))
    return np.where(most == 0, 1.0, (predicted & true).sum(axis=1) / np.maximum(most, 1))


def accuracy(predicted: Pieces, true: Pieces) -> dict[str, float]:
    """Frame-level accuracies of predicted pieces.

    Returns
    -------
    dict
        ``frame``: mean of :func:`frame_accuracy` over all frames. ``bay``: TP / (TP + FP + FN) over all notes of
        all frames. ``precision``, ``recall``: over all notes. Fractions, not percent; NaN where 0 / 0.
    """
    _check(true)
    p, t = np.concatenate(list(predicted)) > 0, np.concatenate(list(true)) > 0
    hits, said, there = (p & t).sum(), p.sum(), t.sum()

    def ratio(a: float, b: float) -> float:
        return float(a / b) if b else float("nan")

    return {
        "frame": float(frame_accuracy(p, t).mean()),
        "bay": ratio(hits, said + there - hits),
        "precision": ratio(hits, said),
        "recall": ratio(hits, there),
    }


def copy_previous(pieces: Pieces) -> list[np.ndarray]:
    """Predict each frame to be the one before; the first to be silent."""
    _check(pieces)
    return [_previous(p) for p in pieces]


def notes_per_frame(pieces: Pieces) -> np.ndarray:
    """Number of notes in each frame of all pieces, shape (frames,)."""
    _check(pieces)
    return np.concatenate([np.asarray(p) > 0 for p in pieces]).sum(axis=1)


def repeated_frame_rate(pieces: Pieces) -> float:
    """Share of frames equal to the one before, of frames in which something sounds; NaN if there are none."""
    _check(pieces)
    equal = np.concatenate([(p[1:] == p[:-1]).all(axis=1) for p in pieces])
    sounds = np.concatenate([p[1:].any(axis=1) for p in pieces])
    return float((equal & sounds).sum() / sounds.sum()) if sounds.any() else float("nan")


def pitch_histogram(pieces: Pieces, *, low: int = 21, classes: bool = False) -> np.ndarray:
    """Share of each note among all sounding notes.

    Parameters
    ----------
    pieces : sequence of arrays (T, n_visible)
    low : int
        MIDI note of column 0.
    classes : bool
        Fold octaves: shape (12,), C first. Otherwise shape (n_visible,).

    Returns
    -------
    numpy.ndarray
        Sums to 1; zeros if nothing sounds.
    """
    _check(pieces)
    counts = sum((np.asarray(p) > 0).sum(axis=0).astype(float) for p in pieces)
    if classes:
        counts = np.bincount((low + np.arange(counts.size)) % 12, weights=counts, minlength=12)
    return counts / max(counts.sum(), 1.0)
