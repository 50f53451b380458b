"""Models of real numbers: independent Gaussians, and linear models of a frame given the frames before it.

A vector autoregression of order p says

    v(t) = mean + sum over i = 1..p of (v(t - i) - mean) A_i + e(t),    e(t) normal with a full covariance matrix.

With a full covariance it knows all linear dependencies, in time and between columns. A model whose non-linear parts are
worth something has a higher log-likelihood. The standard reference is Luetkepohl, New Introduction to Multiple Time
Series Analysis (2005), chapter 3; ridge regression keeps the weights small where there are few frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from rnnrbm.arguments import as_pieces, whole_number
from rnnrbm.pieces import column_moments

__all__ = [
    "ColumnGaussian",
    "VectorAutoregression",
    "expected_next",
    "past_and_present",
    "squared_errors",
]

#: Ridges that are tried, as fractions of the mean square of an input.
_RIDGES = tuple(10.0**e for e in range(-6, 2))
#: How much of the covariances between columns is taken away: so much of them is noise if there are few frames.
_SHRINKAGES = (0.0, 1e-4, 1e-3, 1e-2, 0.1, 0.3)
_USUAL = 0.01  # of both, while the other is chosen
_CHUNK = 4096  # frames that are handled at once
_LEAST = 1e-6  # least standard deviation: a constant column would have an infinite density

Pieces = Sequence[np.ndarray]


@dataclass(frozen=True)
class ColumnGaussian:
    """Independent Gaussian columns, around their means or around the previous frame.

    Attributes
    ----------
    mean, deviation : numpy.ndarray, shape (n_visible,)
        Of the values, or of their differences from the previous frame. Before the first frame there are zeros.
    follow : bool
        Whether the Gaussians lie around the previous frame.
    """

    mean: np.ndarray
    deviation: np.ndarray
    follow: bool = False

    @classmethod
    def fit(cls, pieces: Pieces, follow: bool = False) -> ColumnGaussian:
        """Estimate from pieces, arrays (T, n_visible)."""
        moments = column_moments(_difference(piece, follow) for piece in as_pieces(pieces))
        return cls(moments.mean, np.maximum(np.sqrt(moments.variance), _LEAST), follow)

    def mean_of(self, piece: np.ndarray) -> np.ndarray:
        """Expected frames (T, n_visible), each given the true frames before it."""
        return np.asarray(piece, float) - _difference(piece, self.follow) + self.mean

    def next_of(self, past: np.ndarray) -> np.ndarray:
        """Expected frames (R, n_visible) after pasts (R, t, n_visible)."""
        return past[:, -1] + self.mean if self.follow else np.broadcast_to(self.mean, past[:, -1].shape)

    def draw_errors(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Sample what a frame adds to what was expected: (n, n_visible)."""
        return self.deviation * rng.standard_normal((n, len(self.deviation)))

    def frame_log_likelihoods(self, piece: np.ndarray) -> np.ndarray:
        """Log density of each frame, nats, shape (T,)."""
        z = (_difference(piece, self.follow) - self.mean) / self.deviation
        return -(0.5 * z**2 + np.log(self.deviation) + 0.5 * math.log(2.0 * math.pi)).sum(axis=1)


def _difference(piece: np.ndarray, follow: bool) -> np.ndarray:
    """Return a piece in double precision, or its differences from frame to frame."""
    values = np.asarray(piece, float)
    return np.diff(values, axis=0, prepend=np.zeros((1, values.shape[1]))) if follow else values


@dataclass(frozen=True)
class VectorAutoregression:
    """A linear model of a frame given the frames before it, whose errors have a full covariance matrix.

    Attributes
    ----------
    mean : numpy.ndarray, shape (n_visible,)
        Before the first frame of a piece, all frames are equal to it.
    weights : numpy.ndarray, shape (order * n_visible, n_visible)
        Those of the previous frame first.
    covariance : numpy.ndarray, shape (n_visible, n_visible)
        Of the errors.
    ridge, shrinkage : float
        What was chosen: the penalty on the weights, as a fraction of the mean square of an input; and by how much the
        covariances between columns were made smaller.
    """

    mean: np.ndarray
    weights: np.ndarray
    covariance: np.ndarray
    ridge: float
    shrinkage: float

    @property
    def order(self) -> int:
        """Number of frames that the model looks back."""
        return len(self.weights) // len(self.mean)

    @classmethod
    def fit(cls, train: Pieces, valid: Pieces, order: int = 1) -> VectorAutoregression:
        """Estimate from `train`, and choose first the ridge, then the shrinkage, by the log-likelihood of `valid`.

        Parameters
        ----------
        train, valid : sequence of numpy.ndarray, each of shape (T, n_visible)
            Without validation pieces, ridge and shrinkage are 0.01.
        order : int
            1 or more.

        Raises
        ------
        ValueError
            If there are no training pieces, or widths differ.
        """
        order = whole_number("order", order, 1)
        train = as_pieces(train)
        mean = np.asarray(sum(piece.sum(axis=0, dtype=float) for piece in train) / sum(map(len, train)))
        moments = _Moments.of(train, mean, order)
        unseen = _Moments.of(as_pieces(valid, train[0].shape[1]), mean, order) if len(valid) else None
        scale = float(np.trace(moments.inputs)) / len(moments.inputs) or 1.0
        values, vectors = np.linalg.eigh(moments.inputs)

        def solved(ridge: float) -> np.ndarray:
            return np.asarray((vectors / (np.maximum(values, 0.0) + ridge * scale)) @ (vectors.T @ moments.cross))

        def score(weights: np.ndarray, shrinkages: Sequence[float]) -> list[float]:
            assert unseen is not None
            own, others = moments.errors(weights), unseen.errors(weights)
            return [_mean_log_density(_shrunk(own, shrinkage), others) for shrinkage in shrinkages]

        ridge = _USUAL if unseen is None else max(_RIDGES, key=lambda each: score(solved(each), [_USUAL])[0])
        weights = solved(ridge)
        shrinkage = _USUAL if unseen is None else _SHRINKAGES[int(np.argmax(score(weights, _SHRINKAGES)))]
        return cls(mean, weights, _shrunk(moments.errors(weights), shrinkage), ridge, shrinkage)

    def mean_of(self, piece: np.ndarray) -> np.ndarray:
        """Expected frames (T, n_visible), each given the true frames before it."""
        return (
            np.concatenate([past @ self.weights for past, _ in past_and_present(piece, self.mean, self.order)])
            + self.mean
        )

    def next_of(self, past: np.ndarray) -> np.ndarray:
        """Expected frames (R, n_visible) after pasts (R, t, n_visible)."""
        return expected_next(past, self.mean, self.weights)

    def draw_errors(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Sample what a frame adds to what was expected: (n, n_visible)."""
        return rng.standard_normal((n, len(self.mean))) @ np.linalg.cholesky(self.covariance).T

    def frame_log_likelihoods(self, piece: np.ndarray) -> np.ndarray:
        """Log density of each frame, nats, shape (T,)."""
        from scipy.linalg import solve_triangular

        factor = np.linalg.cholesky(self.covariance)
        z = solve_triangular(factor, (np.asarray(piece, float) - self.mean_of(piece)).T, lower=True)
        constant = np.log(factor.diagonal()).sum() + 0.5 * len(factor) * math.log(2.0 * math.pi)
        return np.asarray(-0.5 * np.square(z).sum(axis=0) - constant)


def past_and_present(piece: np.ndarray, mean: np.ndarray, order: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the past of some frames, (T, order * n), and the frames, (T, n), both about the mean."""
    n = len(mean)
    for start in range(0, len(piece), _CHUNK):
        first = max(start - order, 0)
        frames = np.asarray(piece[first : start + _CHUNK], float) - mean
        now = frames[start - first :]
        frames = np.concatenate([np.zeros((order - (start - first), n)), frames])
        yield np.hstack([frames[order - i : len(frames) - i] for i in range(1, order + 1)]), now


def expected_next(past: np.ndarray, mean: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return what linear weights expect after pasts (R, t, n): (R, n). Before the first frame, all are the mean."""
    order = len(weights) // len(mean)
    latest = past[:, -order:][:, ::-1] - mean
    latest = np.pad(latest, ((0, 0), (0, order - latest.shape[1]), (0, 0)))
    return np.asarray(latest.reshape(len(past), -1) @ weights + mean)


class _Moments(NamedTuple):
    """Mean products of the past with itself, of the past with the frames, and of the frames with themselves."""

    inputs: np.ndarray
    cross: np.ndarray
    outputs: np.ndarray

    @classmethod
    def of(cls, pieces: Pieces, mean: np.ndarray, order: int) -> _Moments:
        n = len(mean)
        inputs, cross, outputs = np.zeros((order * n, order * n)), np.zeros((order * n, n)), np.zeros((n, n))
        for piece in pieces:
            for past, now in past_and_present(piece, mean, order):
                inputs += past.T @ past
                cross += past.T @ now
                outputs += now.T @ now
        total = sum(map(len, pieces))
        return cls(inputs / total, cross / total, outputs / total)

    def errors(self, weights: np.ndarray) -> np.ndarray:
        """Mean products of the errors of a prediction, shape (n, n)."""
        both = weights.T @ self.cross
        return np.asarray(self.outputs - both - both.T + weights.T @ self.inputs @ weights)


def _shrunk(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
    """Return a covariance matrix whose elements off the diagonal are smaller."""
    shrunk = (1 - shrinkage) * covariance
    np.fill_diagonal(shrunk, np.maximum(covariance.diagonal(), _LEAST**2))
    return shrunk


def _mean_log_density(covariance: np.ndarray, errors: np.ndarray) -> float:
    """Return the mean log density of frames whose errors have these mean products; -infinity if it is not defined."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        factor = cho_factor(covariance, lower=True)
    except LinAlgError:
        return -math.inf
    determinant = 2.0 * float(np.log(factor[0].diagonal()).sum())
    distance = float(np.trace(cho_solve(factor, errors)))
    return -0.5 * (determinant + distance + len(errors) * math.log(2.0 * math.pi))


def squared_errors(predicted: Iterable[np.ndarray], true: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean squared error of predicted frames in each column, and the variance of the true values.

    Parameters
    ----------
    predicted, true : sequences or iterators of arrays, each of shape (T, n_visible)
        As many of the one as of the other, of the same shapes. Iterators are read one array at a time, so that all need
        not be in memory together.

    Returns
    -------
    errors, variances : numpy.ndarray, shape (n_visible,)
        float64.

    Raises
    ------
    ValueError
        If their numbers or shapes differ, or there is no frame.
    """
    errors: Any = 0.0
    pairs = zip_longest(*(x if isinstance(x, Iterator) else as_pieces(x) for x in (predicted, true)))

    def compared() -> Iterator[np.ndarray]:
        nonlocal errors
        for pair in pairs:
            if any(piece is None for piece in pair):
                raise ValueError("predicted and true differ in their number of pieces; they must be equal")
            p, t = (np.asarray(piece, float) for piece in pair)
            if p.shape != t.shape:
                raise ValueError(f"predicted has shape {p.shape}, true {t.shape}; they must be equal")
            errors = errors + np.square(p - t).sum(axis=0)
            yield t

    moments = column_moments(compared())
    return errors / moments.n, moments.variance
