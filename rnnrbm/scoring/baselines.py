"""Count-based baselines, chance and repetition of the previous frame. NumPy only.

Log-likelihoods are in nats per frame, summed over the notes of a frame and averaged over all frames of all pieces,
including the first frame of each piece. Before a piece there is silence. Accuracies are expectations over frames
sampled from the model, each given the true frames before it. They are computed exactly, so nothing here is random.

The models are those of N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, "Modeling temporal dependencies in
high-dimensional sequences", ICML 2012, table 1. The paper defines them in a few words; the definitions here come
closest to its figures. Test log-likelihoods, ours / the paper's:

====================  =================  ===============  =================  =================
model                 piano-midi         nottingham       musedata           jsb
====================  =================  ===============  =================  =================
random                -61.00 / -61.00    -61.00 / -61.00  -61.00 / -61.00    -61.00 / -61.00
1-gram (add-p)        -27.64 / -27.64    -5.94 / -5.94    -19.03 / -19.03    -12.23 / -12.22
1-gram (Gaussian)     -10.79 / -10.79    -5.27 / -5.30    -10.15 / -10.15    -7.56 / -7.56
note 1-gram           -11.05 / -11.05    -10.25 / -10.25  -11.51 / -11.51    -11.06 / -11.06
note 1-gram (IID)     -12.90 / -12.90    -16.24 / -16.24  -14.06 / -14.06    -15.93 / -15.93
previous + Gaussian   -12.48 / -12.48    -8.41 / -8.41    -12.90 / -12.90    -19.00 / -19.00
N-gram (add-p)        -46.04 / -46.04    -6.48 / -6.50    -35.23 / -35.22    -29.94 / -29.98
N-gram (Gaussian)     -12.19 / -12.22    -3.16 / -3.16    -10.59 / -10.59    -9.74 / -9.74
note N-gram           -7.49 / -7.50      -4.54 / -4.54    -7.91 / -7.91      -10.26 / -10.26
====================  =================  ===============  =================  =================

Expected accuracies are within 0.15 percentage points of the paper's for the note 1-grams, 0.7 for the note N-gram, 1.2
for "previous + Gaussian" and 2.4 for whole frames. N of whole frames is chosen from 2 and 3, and is 2 on all four data
sets; the 1-grams are separate rows.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from rnnrbm.arguments import as_list, as_pieces
from rnnrbm.io.rolls import check_roll
from rnnrbm.scoring.metrics import Pieces, accuracy, copy_previous, expected_accuracy, previous, shares
from rnnrbm.scoring.ngrams import Grams, Queries, note_grams

__all__ = [
    "Baseline",
    "ChordGaussian",
    "ChordNgram",
    "Expected",
    "NoteCopy",
    "NoteFlip",
    "NoteNgram",
    "NoteUnigram",
    "table",
]

_LN2 = math.log(2.0)
_NOTE_STATES = 1 << 23  # entries of the largest table of note histories


class Expected(NamedTuple):
    """Expected scores of frames sampled from a model, each array of shape (frames,)."""

    accuracy: np.ndarray  # see metrics.frame_accuracy
    hits: np.ndarray  # predicted notes that are in the true frame
    notes: np.ndarray  # predicted notes


class Baseline(ABC):
    """A model that gives each frame a probability, given the true frames before it."""

    @abstractmethod
    def frame_log_likelihoods(self, pieces: Pieces) -> np.ndarray:
        """Log probability of each frame, over all pieces in order, nats, shape (frames,)."""

    @abstractmethod
    def expected(self, pieces: Pieces) -> Expected:
        """Expected scores of each frame, if it is sampled from the model given the true frames before it."""

    @property
    def settings(self) -> dict[str, float]:
        """Settings chosen on the validation set, by name; p as its logarithm to base 10, since it may be 1e-26."""
        return {}

    def log_likelihood(self, pieces: Pieces) -> float:
        """Mean over all frames of all pieces, nats per frame.

        Parameters
        ----------
        pieces : sequence of arrays (T, n_visible)
            Values are 0 and 1.

        Raises
        ------
        ValueError
            If there is no piece, if one has another width than the model, or if a value is neither 0 nor 1.
        """
        return float(self.frame_log_likelihoods(pieces).mean())

    def accuracy(self, pieces: Pieces) -> dict[str, float]:
        """Accuracies of frames sampled from the model, each given the true frames before it.

        Returns
        -------
        dict
            As :func:`rnnrbm.scoring.metrics.accuracy`: ``frame`` is its exact expectation; ``bay``, ``precision`` and
            ``recall`` are ratios of expected numbers of notes, the limits for many samples.
        """
        frame, hits, notes = self.expected(pieces)
        there = sum(float(roll.sum()) for roll in _rolls(pieces))
        return shares(frame, float(hits.sum()), float(notes.sum()), there)


def _rolls(pieces: Pieces, n_visible: int | None = None) -> list[np.ndarray]:
    """Check the pieces and convert them to uint8."""
    arrays = as_pieces(pieces)
    width = n_visible or arrays[0].shape[1]
    return [check_roll(piece, n_visible=width, where=f"piece {i}") for i, piece in enumerate(arrays)]


def _argmax(function: Callable[[float], float], low: float, high: float) -> float:
    """Maximize a unimodal function, to a 30 000th of the interval: a grid, then finer grids."""
    x = 0.5 * (low + high)
    for _ in range(4):
        grid = np.linspace(low, high, 21)
        best = int(np.argmax([function(float(v)) for v in grid]))
        x, low, high = float(grid[best]), float(grid[max(best - 1, 0)]), float(grid[min(best + 1, 20)])
    return x


# --- independent notes --------------------------------------------------------------------------------


class _Notes(Baseline):
    """Notes that are independent of each other, given the previous frames."""

    @abstractmethod
    def probabilities(self, pieces: Pieces) -> np.ndarray:
        """Probability of each note in each frame, over all pieces in order, shape (frames, n_visible)."""

    def frame_log_likelihoods(self, pieces: Pieces) -> np.ndarray:
        p = self.probabilities(pieces)
        return np.where(np.concatenate(list(pieces)) > 0, np.log(p), np.log1p(-p)).sum(axis=1)

    def expected(self, pieces: Pieces) -> Expected:
        p, true = self.probabilities(pieces), np.concatenate(list(pieces))
        return Expected(expected_accuracy(p, true), (p * true).sum(axis=1), p.sum(axis=1))


@dataclass(frozen=True)
class NoteUnigram(_Notes):
    """Independent notes: each note has one probability, the same for every frame.

    ``fit`` adds one to the number of frames with the note and to that without it, so no frame is impossible.

    Attributes
    ----------
    probability : numpy.ndarray, shape (n_visible,)
    """

    probability: np.ndarray

    @classmethod
    def fit(cls, pieces: Pieces, *, alike: bool = False) -> NoteUnigram:
        """Estimate from pieces, arrays (T, n_visible) of 0 and 1.

        With `alike` all notes have the same probability: "Note 1-gram (IID)" in the paper.
        """
        rolls = _rolls(pieces)
        on = np.sum([roll.sum(axis=0, dtype=float) for roll in rolls], axis=0)
        frames = sum(len(roll) for roll in rolls)
        if alike:
            return cls(np.full(on.size, (on.sum() + 1.0) / (frames * on.size + 2.0)))
        return cls((on + 1.0) / (frames + 2.0))

    @classmethod
    def random(cls, n_visible: int) -> NoteUnigram:
        """Probability 1/2 for every note, so that every frame has log-likelihood -n_visible ln 2."""
        return cls(np.full(n_visible, 0.5))

    @property
    def log_odds(self) -> np.ndarray:
        """Log p / (1 - p) of each note: natural initial visible biases of an RBM. Shape (n_visible,)."""
        return np.log(self.probability) - np.log1p(-self.probability)

    def probabilities(self, pieces: Pieces) -> np.ndarray:
        frames = sum(len(roll) for roll in _rolls(pieces, self.probability.size))
        return np.broadcast_to(self.probability, (frames, self.probability.size))


@dataclass(frozen=True)
class NoteCopy(_Notes):
    """Independent notes given the previous frame: P(note on | it was on) and P(note on | it was off).

    The likelihood of repeating the previous frame, smoothed as far as the data requires. The second probability
    depends on the note and so contains its frequency. Before the first frame there is silence.

    Attributes
    ----------
    after_on : float
        Probability that a sounding note continues, shared by all notes.
    after_off : numpy.ndarray, shape (n_visible,)
        Probability that a silent note starts.
    """

    after_on: float
    after_off: np.ndarray

    @classmethod
    def fit(cls, pieces: Pieces) -> NoteCopy:
        """Estimate from pieces, arrays (T, n_visible) of 0 and 1, with add-one counts."""
        rolls = _rolls(pieces)
        now = np.concatenate(rolls) > 0
        before = np.concatenate([previous(p) for p in rolls]) > 0
        after_on = ((now & before).sum() + 1.0) / (before.sum() + 2.0)
        return cls(float(after_on), ((now & ~before).sum(axis=0) + 1.0) / ((~before).sum(axis=0) + 2.0))

    def probabilities(self, pieces: Pieces) -> np.ndarray:
        before = np.concatenate([previous(p) for p in _rolls(pieces, self.after_off.size)])
        return np.where(before > 0, self.after_on, self.after_off)


@dataclass(frozen=True)
class NoteFlip(_Notes):
    """The previous frame, with each note flipped with one probability: "Previous + Gaussian" in the paper.

    For frames of 0 and 1 a Gaussian of the distance to the previous frame is a constant factor for each flipped note.
    The probability is fitted on the training set, which reproduces the paper's figures.

    Attributes
    ----------
    n_visible : int
    flip : float
        Probability that a note changes.
    """

    n_visible: int
    flip: float

    @classmethod
    def fit(cls, pieces: Pieces) -> NoteFlip:
        """Estimate from pieces, arrays (T, n_visible) of 0 and 1, with add-one counts."""
        rolls = _rolls(pieces)
        changed = sum(int((roll != previous(roll)).sum()) for roll in rolls)
        return cls(rolls[0].shape[1], (changed + 1.0) / (sum(roll.size for roll in rolls) + 2.0))

    def probabilities(self, pieces: Pieces) -> np.ndarray:
        before = np.concatenate([previous(p) for p in _rolls(pieces, self.n_visible)])
        return np.where(before > 0, 1.0 - self.flip, self.flip)


@dataclass(frozen=True)
class NoteNgram(_Notes):
    """Independent notes, each given its own last N - 1 states: "Note N-gram" in the paper.

    P(on | history) = (times on after it + p) / (times after it + 2 p), with a table for each note; before a piece all
    notes are off. N and p are chosen on the validation set.

    Attributes
    ----------
    probability : numpy.ndarray, shape (n_visible, 2**(N - 1))
        For each history, a binary number whose last bit is the previous frame.
    p : float
    """

    probability: np.ndarray
    p: float

    @classmethod
    def fit(cls, pieces: Pieces, valid: Pieces = (), *, max_order: int = 16) -> NoteNgram:
        """Estimate from pieces.

        Parameters
        ----------
        pieces : sequence of arrays (T, n_visible)
            Values are 0 and 1.
        valid : sequence of arrays (T, n_visible)
            N and p maximize its likelihood; without valid pieces, N is 2 and p is 1.
        max_order : int
            Largest N to try; smaller if there are so many notes that its table would be large.
        """
        rolls = _rolls(pieces)
        n = rolls[0].shape[1]
        if max_order < 1:
            raise ValueError(f"max_order is {max_order}; expected 1 or more")
        order = max(1, min(max_order, int(math.log2(_NOTE_STATES / n))))
        if len(valid) == 0:
            order = min(order, 2)
            return cls(cls._probability(cls._count(rolls, order), 1.0), 1.0)
        counts, scored = cls._count(rolls, order), cls._count(_rolls(valid, n), order)
        best = (-math.inf, counts, 1.0)
        while True:
            seen = scored.any(axis=2)  # the few histories that occur in valid
            of_train, of_valid = counts[seen], scored[seen]

            def likelihood(log_p: float, of_train: np.ndarray = of_train, of_valid: np.ndarray = of_valid) -> float:
                on = cls._probability(of_train, math.exp(log_p))
                return float((of_valid[:, 1] * np.log(on) + of_valid[:, 0] * np.log1p(-on)).sum())

            log_p = _argmax(likelihood, math.log(1e-3), math.log(1e3))
            # at equal likelihood prefer the shorter history
            if (value := likelihood(log_p)) >= best[0]:
                best = (value, counts, math.exp(log_p))
            if counts.shape[1] == 1:
                return cls(cls._probability(best[1], best[2]), best[2])
            # summing over the oldest state gives the counts of the next lower order
            counts, scored = (c.reshape(n, 2, -1, 2).sum(axis=1) for c in (counts, scored))

    @staticmethod
    def _count(rolls: Sequence[np.ndarray], order: int) -> np.ndarray:
        """Occurrences, shape (n_visible, 2**(order - 1), 2): note, history, off or on."""
        counts = [np.bincount(gram, minlength=2**order) for gram in note_grams(rolls, order)]
        return np.stack(counts).reshape(len(counts), -1, 2)

    @staticmethod
    def _probability(counts: np.ndarray, p: float) -> np.ndarray:
        return (counts[..., 1] + p) / (counts.sum(axis=-1) + 2.0 * p)

    @property
    def order(self) -> int:
        """N."""
        return self.probability.shape[1].bit_length()

    @property
    def settings(self) -> dict[str, float]:
        return {"N": self.order, "log10_p": math.log10(self.p)}

    def probabilities(self, pieces: Pieces) -> np.ndarray:
        grams = note_grams(_rolls(pieces, len(self.probability)), self.order)
        return np.stack([p[gram >> 1] for p, gram in zip(self.probability, grams, strict=True)], axis=1)


# --- whole frames -------------------------------------------------------------------------------------


def _flipped_scores(notes: np.ndarray, there: np.ndarray, common: np.ndarray, flip: float, n: int) -> np.ndarray:
    """Expected frame accuracy of frames with given numbers of notes and of common notes, after random flips.

    Parameters
    ----------
    notes, there, common : numpy.ndarray of int, shape (rows,)
        Number of notes in the frame before flips, in the true frame, and in both.
    flip : float
        Probability that each of the n notes flips.

    Returns
    -------
    numpy.ndarray, shape (rows,)
    """
    # Only the numbers of notes matter, so each case is computed once, on ordered notes: true notes first, beginning
    # with the common ones, then the other notes of the frame.
    cases, which = np.unique(np.stack([notes, there, common], axis=1), axis=0, return_inverse=True)
    k, t, m = cases.T[:, :, None]
    note = np.arange(n)
    on = (note < m) | ((note >= t) & (note < t + k - m))
    return expected_accuracy(np.where(on, 1.0 - flip, flip), note < t)[which.ravel()]


@dataclass(frozen=True)
class _Chords(Baseline):
    """Whole frames: the frames that followed the last N - 1 frames in training.

    Attributes
    ----------
    grams : Grams
        Counts of orders 1 to N.
    """

    grams: Grams

    @classmethod
    def fit(cls, pieces: Pieces, valid: Pieces = (), *, orders: Sequence[int] = (1,)) -> Self:
        """Estimate from pieces.

        Parameters
        ----------
        pieces : sequence of arrays (T, n_visible)
            Values are 0 and 1.
        valid : sequence of arrays (T, n_visible)
            N and the smoothing maximize its likelihood. Without valid pieces, N is the first of `orders` and the
            smoothing a default: p adds one frame in all, `flip` changes half a note per frame on average.
        orders : sequence of int
            Values of N to choose from.

        Raises
        ------
        ValueError
            If there is no piece or no order, if widths differ, or if a value is neither 0 nor 1.
        """
        if len(orders) == 0 or min(orders) < 1:
            raise ValueError(f"orders is {tuple(orders)}; expected at least one N to choose from, each 1 or more")
        return cls.choose(Grams.count(_rolls(pieces), max(orders)), valid, orders=orders)

    @classmethod
    @abstractmethod
    def choose(cls, grams: Grams, valid: Pieces, *, orders: Sequence[int]) -> Self:
        """As :meth:`fit`, from existing counts of an order no smaller than the largest of `orders`."""

    def _queries(self, pieces: Pieces) -> Queries:
        return self.grams.queries(_rolls(pieces, self.grams.n_visible))

    def _expected(self, queries: Queries, flip: float) -> Expected:
        """Expected scores of each query for a frame that followed in training, with notes flipped at random."""
        query, there, notes, common, share = self.grams.overlaps(queries)
        n, size = self.grams.n_visible, len(queries.keys)
        parts = (
            _flipped_scores(notes, there, common, flip, n),
            common * (1.0 - flip) + (there - common) * flip,
            notes * (1.0 - flip) + (n - notes) * flip,
        )
        return Expected(*(np.bincount(query, share * part, size) for part in parts))


@dataclass(frozen=True)
class ChordNgram(_Chords):
    """Whole frames with additive smoothing: "1-gram (add-p)" and "N-gram (add-p)" in the paper.

    P(frame | history) = (count + p) / (count of the history + p 2**n_visible): p is added to the count of each of the
    2**n_visible possible frames, and p is about 1e-25. After a history that never occurred in training, the model of
    order N - 1 with its own p replaces this one. Otherwise those frames would cost n_visible ln 2, and an N-gram of the
    chorales would have -33.76 nats per frame instead of -29.94 (the paper: -29.98).

    Each p is chosen on the validation frames that depend on it, N on all validation frames.

    Attributes
    ----------
    grams : Grams
        Counts of orders 1 to N.
    log_p : tuple of float
        Natural logarithm of p for orders 1 to N.
    """

    log_p: tuple[float, ...]

    @classmethod
    def choose(cls, grams: Grams, valid: Pieces, *, orders: Sequence[int]) -> Self:
        n = grams.n_visible
        if len(valid) == 0:
            return cls(grams.up_to(orders[0]), (-n * _LN2,) * orders[0])
        scored = _rolls(valid, n)
        log_p: list[float] = []
        for order in range(1, max(orders) + 1):
            below = grams.up_to(order)
            queries = below.queries(scored)
            # the p of an order matters only after histories of that order
            here = np.array([key[0] == order for key in queries.keys])
            count, total, weight = np.column_stack([below.counts(queries), queries.weights])[here].T

            def likelihood(
                log_p: float, count: np.ndarray = count, total: np.ndarray = total, weight: np.ndarray = weight
            ) -> float:
                return float(_add_p(count, total, log_p, n) @ weight)

            log_p.append(_argmax(likelihood, -n * _LN2 - 12.0, math.log(1e3)) if here.any() else -n * _LN2)
        models = [cls(grams.up_to(order), tuple(log_p[:order])) for order in orders]
        return max(models, key=lambda model: model.log_likelihood(scored))

    def _log_p(self, queries: Queries) -> np.ndarray:
        return np.array([self.log_p[order - 1] for order, _, _ in queries.keys])

    @property
    def settings(self) -> dict[str, float]:
        return {"N": self.grams.order, "log10_p": self.log_p[-1] / math.log(10.0)}

    def frame_log_likelihoods(self, pieces: Pieces) -> np.ndarray:
        queries = self._queries(pieces)
        count, total = self.grams.counts(queries).T
        return _add_p(count, total, self._log_p(queries), self.grams.n_visible)[queries.which]

    def expected(self, pieces: Pieces) -> Expected:
        # a sample is a frame seen in training or, rarely, any frame: each note with probability 1/2
        queries, n = self._queries(pieces), self.grams.n_visible
        log_any = self._log_p(queries) + n * _LN2
        any_frame = np.exp(log_any - np.logaddexp(np.log(self.grams.counts(queries)[:, 1]), log_any))
        there, none = queries.notes(), np.zeros(len(queries.keys), int)
        seen = self._expected(queries, 0.0)
        chance = Expected(_flipped_scores(none, there, none, 0.5, n), 0.5 * there, np.full(len(there), 0.5 * n))
        mixed = ((1.0 - any_frame) * a + any_frame * b for a, b in zip(seen, chance, strict=True))
        return Expected(*(part[queries.which] for part in mixed))


def _add_p(count: np.ndarray, total: np.ndarray, log_p: np.ndarray | float, n_visible: int) -> np.ndarray:
    """Log of (count + p) / (total + p 2**n_visible), nats."""
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log(count), log_p) - np.logaddexp(np.log(total), log_p + n_visible * _LN2)


@dataclass(frozen=True)
class ChordGaussian(_Chords):
    """Blurred whole frames of training: "1-gram (Gaussian)" and "N-gram (Gaussian)" in the paper.

    A frame that followed the history in training, with each note flipped with probability `flip`: a mixture with one
    kernel for each such frame. For 0 and 1 this equals a Gaussian of the distance between frames, with odds of a flip
    exp(-1 / (2 sigma**2)). After a history that never occurred in training, the model of order N - 1 with the same
    `flip` replaces this one. N and `flip` are chosen on the validation set.

    Attributes
    ----------
    grams : Grams
        Counts of orders 1 to N.
    flip : float
        Probability that a note flips.
    """

    flip: float

    @classmethod
    def choose(cls, grams: Grams, valid: Pieces, *, orders: Sequence[int]) -> Self:
        n = grams.n_visible
        if len(valid) == 0:
            return cls(grams.up_to(orders[0]), 0.5 / n)
        scored = _rolls(valid, n)
        tried: list[tuple[float, int, float]] = []
        for order in orders:
            queries = grams.up_to(order).queries(scored)
            weights, near = queries.weights, _Distances.of(grams, queries)

            def likelihood(log_flip: float, weights: np.ndarray = weights, near: _Distances = near) -> float:
                return float(near.blurred(math.exp(log_flip)) @ weights)

            log_flip = _argmax(likelihood, math.log(1e-6), math.log(0.5))
            tried.append((likelihood(log_flip), order, math.exp(log_flip)))
        _, order, flip = max(tried, key=lambda one: one[0])
        return cls(grams.up_to(order), flip)

    @property
    def settings(self) -> dict[str, float]:
        return {"N": self.grams.order, "flip": self.flip}

    def frame_log_likelihoods(self, pieces: Pieces) -> np.ndarray:
        queries = self._queries(pieces)
        return _Distances.of(self.grams, queries).blurred(self.flip)[queries.which]

    def expected(self, pieces: Pieces) -> Expected:
        queries = self._queries(pieces)
        return Expected(*(part[queries.which] for part in self._expected(queries, self.flip)))


class _Distances(NamedTuple):
    """Distances of frames to the frames that followed their history in training: the number of notes that differ."""

    nearest: np.ndarray  # (queries,)
    share: np.ndarray  # (queries, n_visible + 1), fraction at the nearest distance, at one more ...

    @classmethod
    def of(cls, grams: Grams, queries: Queries) -> _Distances:
        query, there, notes, common, share = grams.overlaps(queries)
        shape = (len(queries.keys), grams.n_visible + 1)
        distance = there + notes - 2 * common
        nearest = np.full(shape[0], shape[1])
        np.minimum.at(nearest, query, distance)
        bins = query * shape[1] + distance - nearest[query]
        return cls(nearest, np.bincount(bins, share, math.prod(shape)).reshape(shape))

    def blurred(self, flip: float) -> np.ndarray:
        """Log probability of each frame, nats: sum of share flip**d (1 - flip)**(n - d) over the distances d."""
        n = self.share.shape[1] - 1
        odds = flip / (1.0 - flip)
        # relative to the nearest distance, whose share is positive, the sum cannot vanish
        near = self.share @ odds ** np.arange(n + 1)
        return np.log(near) + self.nearest * math.log(odds) + n * math.log1p(-flip)


# --- all of them --------------------------------------------------------------------------------------


def table(train: Pieces, valid: Pieces, test: Pieces) -> list[dict[str, Any]]:
    """Fit every baseline on the training set, choose its settings on the validation set, and score a test set.

    Parameters
    ----------
    train, valid, test : sequence of arrays (T, n_visible)
        Values are 0 and 1. Without valid pieces, the settings have defaults.

    Returns
    -------
    list of dict
        For each model ``model``, its name; ``settings``, see :attr:`Baseline.settings`; ``ll``, nats per frame averaged
        over all frames; ``ll_pieces``, the mean over pieces of their means; ``frame``, ``bay``, ``precision`` and
        ``recall``, see :meth:`Baseline.accuracy`. The last model repeats the previous frame: it has a prediction but no
        likelihood, so its ``ll`` is None.

    Raises
    ------
    ValueError
        If the training set or the test set has no piece.
    """
    train, valid, test = (as_list(pieces) for pieces in (train, valid, test))
    for part, pieces in (("training", train), ("test", test)):
        if not len(pieces):
            raise ValueError(f"no piece in the {part} set; baselines need the training set and the pieces to score")
    grams = Grams.count(_rolls(train), 3)
    models: dict[str, Callable[[], Baseline]] = {
        "random": lambda: NoteUnigram.random(np.shape(train[0])[1]),
        "note 1-gram (IID)": lambda: NoteUnigram.fit(train, alike=True),
        "note 1-gram": lambda: NoteUnigram.fit(train),
        "note N-gram": lambda: NoteNgram.fit(train, valid),
        "1-gram (add-p)": lambda: ChordNgram.choose(grams, valid, orders=(1,)),
        "N-gram (add-p)": lambda: ChordNgram.choose(grams, valid, orders=(2, 3)),
        "1-gram (Gaussian)": lambda: ChordGaussian.choose(grams, valid, orders=(1,)),
        "N-gram (Gaussian)": lambda: ChordGaussian.choose(grams, valid, orders=(2, 3)),
        "previous + Gaussian": lambda: NoteFlip.fit(train),
        "previous frame, fitted": lambda: NoteCopy.fit(train),
    }
    ends = np.cumsum([len(piece) for piece in test])[:-1]
    rows: list[dict[str, Any]] = []
    for name, fit in models.items():
        model = fit()  # one at a time: some tables are large
        each = model.frame_log_likelihoods(test)
        by_piece = float(np.mean([part.mean() for part in np.split(each, ends)]))
        scores = {"ll": float(each.mean()), "ll_pieces": by_piece, **model.accuracy(test)}
        rows.append({"model": name, "settings": model.settings, **scores})
    copied = accuracy(copy_previous(test), test)
    return [*rows, {"model": "previous frame", "settings": {}, "ll": None, "ll_pieces": None, **copied}]
