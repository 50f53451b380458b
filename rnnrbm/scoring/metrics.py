"""Accuracies and descriptive statistics of sets of piano-rolls. NumPy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnnrbm.arguments import as_array, as_pieces
from rnnrbm.io.rolls import check_roll

__all__ = [
    "Nearest",
    "accuracy",
    "copy_previous",
    "expected_accuracy",
    "frame_accuracy",
    "longest_copies",
    "longest_copy",
    "nearest_piece",
    "nearest_pieces",
    "note_lengths",
    "notes_per_frame",
    "pitch_histogram",
    "previous",
    "repeated_frame_rate",
    "shares",
]

Pieces = Sequence[np.ndarray]

_ROWS = 2048  # frames at a time, so that a block stays in the processor's cache


def _rolls(pieces: Pieces) -> list[np.ndarray]:
    """Return pieces as a list of rolls of 0 and 1."""
    return [check_roll(piece, where=f"piece {i}") for i, piece in enumerate(as_pieces(pieces))]


def previous(piece: np.ndarray) -> np.ndarray:
    """Previous frame of each frame of a piece (T, n_visible), in the same shape; silence before the first frame."""
    return np.concatenate([np.zeros_like(piece[:1]), piece[:-1]])


def frame_accuracy(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Accuracy of each frame, TP / max(predicted notes, true notes), which reproduces the figures of the 2012 paper.

    A silent frame that is predicted silent counts 1. The accuracy TP / (TP + FP + FN) of Bay, Ehmann & Downie (ISMIR
    2009) is different; see :func:`accuracy`.

    Parameters
    ----------
    predicted, true : numpy.ndarray, shape (T, n_visible)

    Returns
    -------
    numpy.ndarray, shape (T,), between 0 and 1
    """
    predicted, true = as_array(predicted, "predicted") > 0, as_array(true, "true") > 0
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
        all frames. ``precision``, ``recall``: over all notes. Values are fractions, not percent; NaN for 0 / 0.
    """
    p, t = (np.concatenate(_rolls(pieces)) > 0 for pieces in (predicted, true))
    return shares(frame_accuracy(p, t), float((p & t).sum()), float(p.sum()), float(t.sum()))


def shares(frame: np.ndarray, hits: float, predicted: float, there: float) -> dict[str, float]:
    """Compute the result of :func:`accuracy` from the accuracy of each frame and numbers of notes.

    Parameters
    ----------
    frame : numpy.ndarray, shape (frames,)
        Accuracy of each frame.
    hits, predicted, there : float
        Numbers of notes over all frames: predicted correctly, predicted, true. They may be expectations.
    """

    def ratio(a: float, b: float) -> float:
        return float(a / b) if b else float("nan")

    return {
        "frame": float(frame.mean()),
        "bay": ratio(hits, predicted + there - hits),
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, there),
    }


def _number_on(p: np.ndarray, most: int) -> np.ndarray:
    """Distribution of the number of n independent notes that are on. p: (n, frames); returns (most + 1, frames)."""
    out = np.zeros((most + 1, p.shape[1]))
    out[0] = 1.0
    for j, on in enumerate(p, 1):
        top = min(j, most)
        # the new row needs the old one, so the right side is computed before the assignment
        out[1 : top + 1] = out[1 : top + 1] * (1.0 - on) + out[:top] * on
        out[0] *= 1.0 - on
    return out


def expected_accuracy(p: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Exact expectation of :func:`frame_accuracy` for frames of independent notes.

    Hits and false alarms are independent sums of independent notes; their distributions are computed note by note.

    Parameters
    ----------
    p : numpy.ndarray, shape (frames, n_visible)
        Probability of each note.
    true : numpy.ndarray, shape (frames, n_visible)

    Returns
    -------
    numpy.ndarray, shape (frames,)
    """
    p, true = as_array(p, "p"), as_array(true, "true")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p holds values from {p.min()} to {p.max()}; expected probabilities, 0 to 1")
    parts = []
    for start in range(0, len(true), _ROWS):
        t = true[start : start + _ROWS].T > 0
        q = p[start : start + _ROWS].T
        there = t.sum(axis=0)
        hits = _number_on(np.where(t, q, 0.0), int(there.max()))  # a frame cannot have more
        false = _number_on(np.where(t, 0.0, q), len(t))
        number = np.arange(len(false))[:, None]
        score = np.where(there == 0, false[0], 0.0)
        for a in range(1, len(hits)):
            score += a * hits[a] * (false / np.maximum(a + number, there)).sum(axis=0)
        parts.append(score)
    return np.concatenate(parts)


def copy_previous(pieces: Pieces) -> list[np.ndarray]:
    """Predict each frame as a copy of the previous one, and the first frame as silent."""
    pieces = _rolls(pieces)
    return [previous(p) for p in pieces]


def notes_per_frame(pieces: Pieces) -> np.ndarray:
    """Number of notes in each frame of all pieces, shape (frames,)."""
    pieces = _rolls(pieces)
    return np.concatenate([np.asarray(p) > 0 for p in pieces]).sum(axis=1)


def note_lengths(pieces: Pieces) -> np.ndarray:
    """Length in frames of each note of all pieces, without a break, including notes at the ends."""
    pieces = _rolls(pieces)
    lengths = []
    for piece in pieces:
        on = np.pad(np.asarray(piece) > 0, ((1, 1), (0, 0)))
        begins, ends = on[1:] & ~on[:-1], ~on[1:] & on[:-1]
        # column by column, so that each end matches the beginning before it
        lengths.append(np.nonzero(ends.T)[1] - np.nonzero(begins.T)[1])
    return np.concatenate(lengths)


class Nearest(NamedTuple):
    """Position in pieces that is nearest to a roll.

    Attributes
    ----------
    distance : float
        Number of cells that differ, per frame.
    piece : int
    frame : int
        Beginning of the roll in the piece.
    shift : int
        Upward shift of the roll, in columns.
    """

    distance: float
    piece: int
    frame: int
    shift: int


def nearest_piece(roll: np.ndarray, pieces: Pieces, transpose_range: tuple[int, int] = (0, 0)) -> Nearest:
    """Find the position and shift in the pieces at which the fewest cells differ from a roll.

    Parameters
    ----------
    roll : array (T, n_visible) of 0 and 1
    pieces : sequence of arrays (T, n_visible)
        Pieces shorter than the roll are ignored.
    transpose_range : (int, int)
        Smallest and largest shift of the roll, in columns; notes that leave the roll count as different.

    Raises
    ------
    ValueError
        If no piece is as long as the roll.
    """
    return nearest_pieces([roll], pieces, transpose_range)[0]


def nearest_pieces(rolls: Pieces, pieces: Pieces, transpose_range: tuple[int, int] = (0, 0)) -> list[Nearest]:
    """As :func:`nearest_piece` for several rolls of one length, faster than one by one.

    Raises
    ------
    ValueError
        If the rolls differ in length, or no piece is as long as they are.
    """
    rolls = _rolls(rolls)
    pieces = _rolls(pieces)
    n_steps = len(rolls[0])
    if any(len(roll) != n_steps for roll in rolls):
        raise ValueError(f"rolls have {sorted({len(roll) for roll in rolls})} frames, expected one length")
    sums = np.array([np.sum(roll) for roll in rolls], np.float32)
    shifts = range(transpose_range[0], transpose_range[1] + 1)
    flat = np.concatenate([m for roll in rolls for _, m in _moved(np.asarray(roll, np.float32), transpose_range)])
    best = [Nearest(np.inf, -1, -1, 0)] * len(rolls)
    for i, piece in enumerate(pieces):
        if len(piece) < n_steps:
            continue
        there = np.asarray(piece, np.float32)
        notes = np.cumsum(np.pad(there.sum(axis=1), (1, 0)))
        notes = notes[n_steps:] - notes[:-n_steps]
        common = (flat @ there.T).reshape(len(rolls), len(shifts), n_steps, len(piece))
        # frame t of the roll aligned with frame begin + t of the piece: sums along diagonals
        n_begins = len(piece) - n_steps + 1
        both = common[:, :, 0, :n_begins].copy()
        for t in range(1, n_steps):
            both += common[:, :, t, t : t + n_begins]
        distance = (sums[:, None, None] + notes - 2 * both) / n_steps
        for r, at in enumerate(distance.reshape(len(rolls), -1).argmin(axis=1)):
            shift, begin = divmod(int(at), n_begins)
            if distance[r, shift, begin] < best[r].distance:
                best[r] = Nearest(float(distance[r, shift, begin]), i, begin, shifts[shift])
    if best[0].piece < 0:
        raise ValueError(f"no piece is as long as the roll, {n_steps} frames")
    return best


def _moved(roll: np.ndarray, transpose_range: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each shift in a range and the shifted roll; notes that leave it are lost."""
    if not -128 <= transpose_range[0] <= transpose_range[1] <= 128:
        raise ValueError(
            f"transpose_range must be a range such as (-5, 6), of at most 128 columns, got {transpose_range}"
        )
    margin, n = max(-transpose_range[0], transpose_range[1], 0), roll.shape[1]
    wide = np.pad(roll, ((0, 0), (margin, margin)))
    for shift in range(transpose_range[0], transpose_range[1] + 1):
        yield shift, wide[:, margin - shift : margin - shift + n]


def longest_copy(roll: np.ndarray, pieces: Pieces, transpose_range: tuple[int, int] = (0, 0)) -> int:
    """Length of the longest run of consecutive frames of a roll that also occurs in some piece, transposed or not.

    Runs of a repeated frame, and silence, count too; compare with held-out pieces.
    """
    return longest_copies([roll], pieces, transpose_range)[0]


def longest_copies(rolls: Pieces, pieces: Pieces, transpose_range: tuple[int, int] = (0, 0)) -> list[int]:
    """As :func:`longest_copy` for several rolls, faster than one by one."""
    rolls = _rolls(rolls)
    pieces = _rolls(pieces)
    number: dict[bytes, int] = {}
    frames = []
    for piece in pieces:
        packed = np.packbits(np.asarray(piece) > 0, axis=1)
        frames += [-1, *(number.setdefault(frame.tobytes(), len(number)) for frame in packed)]
    places = np.array(frames)
    order = np.argsort(places, kind="stable")
    where = np.split(order, np.searchsorted(places[order], np.arange(len(number))))[1:]
    nowhere = np.empty(0, int)
    longest = []
    for roll in rolls:
        on, most = np.asarray(roll) > 0, 0
        for _, moved in _moved(on, transpose_range):
            if moved.sum() < on.sum():  # notes would leave the roll
                continue
            # frames of the pieces at which a run ends, and its length; only for frames equal to the roll's frame
            run, before = np.zeros(len(places), int), nowhere
            for frame in np.packbits(moved, axis=1):
                at = where[number[key]] if (key := frame.tobytes()) in number else nowhere
                length = run[at - 1] + 1
                run[before] = 0
                run[at], before = length, at
                most = max(most, int(length.max(initial=0)))
        longest.append(most)
    return longest


def repeated_frame_rate(pieces: Pieces) -> float:
    """Fraction of non-silent frames that equal the previous frame; NaN if there are none."""
    pieces = _rolls(pieces)
    equal = np.concatenate([(p[1:] == p[:-1]).all(axis=1) for p in pieces])
    sounds = np.concatenate([p[1:].any(axis=1) for p in pieces])
    return float((equal & sounds).sum() / sounds.sum()) if sounds.any() else float("nan")


def pitch_histogram(pieces: Pieces, *, low: int = 21, classes: bool = False) -> np.ndarray:
    """Fraction of each note among all sounding notes.

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
    pieces = _rolls(pieces)
    counts = sum((np.asarray(p) > 0).sum(axis=0).astype(float) for p in pieces)
    if classes:
        counts = np.bincount((low + np.arange(counts.size)) % 12, weights=counts, minlength=12)
    return counts / max(counts.sum(), 1.0)
