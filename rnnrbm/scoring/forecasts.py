"""Scores of forecasts, and of linear models beside them.

A forecast is a set of samples. The continuous ranked probability score (CRPS) compares the samples of one value with
the value that came true, and is small if they are near it and no wider than they must be (Gneiting & Raftery, "Strictly
proper scoring rules, prediction, and estimation", JASA 2007). Of a single guess it is the absolute error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_array, as_pieces, whole_number
from rnnrbm.backend.random import generator
from rnnrbm.scoring.autoregression import ColumnGaussian, VectorAutoregression
from rnnrbm.scoring.heavy_tails import RobustAutoregression
from rnnrbm.scoring.linear_baselines import ORDERS

__all__ = ["ForecastScores", "crps", "linear_forecasters", "next_frame_error", "score_forecasts"]

#: Samples the continuations of a history: (history (T, n), steps, n_samples, seed) -> (n_samples, steps, n).
Forecaster = Callable[[np.ndarray, int, int, int], np.ndarray]

#: The first frame of a piece whose prediction counts, from 1, so that all models have had as much to read.
FIRST = 4


def crps(samples: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Return the continuous ranked probability score of samples of each value, in the units of the values.

    It is E|X - y| - E|X - X'| / 2, the mean over all pairs of different samples, which has no bias from their number.

    Parameters
    ----------
    samples : array-like, shape (n_samples, ...)
        At least 2.
    true : array-like, shape (...)

    Returns
    -------
    numpy.ndarray, shape (...)

    Raises
    ------
    ValueError
        If the shapes do not fit, or there are fewer than two samples.
    """
    x, y = as_array(samples, "samples").astype(float), as_array(true, "true").astype(float)
    if x.ndim < 1 or len(x) < 2 or x.shape[1:] != y.shape:
        raise ValueError(f"samples has shape {x.shape}, true {y.shape}; expected two samples or more of that shape")
    m = len(x)
    x = np.sort(x, axis=0)
    # the sum of |x_i - x_j| over all pairs, from the ranks
    ranks = (2.0 * np.arange(1, m + 1) - m - 1).reshape(-1, *[1] * y.ndim)
    spread = 2.0 * (ranks * x).sum(axis=0) / (m * (m - 1))
    return np.asarray(np.abs(x - y).mean(axis=0) - 0.5 * spread)


class ForecastScores(NamedTuple):
    """Scores of a forecaster, for each number of steps ahead.

    Attributes
    ----------
    squared_error : numpy.ndarray, shape (steps,)
        Of the mean of the samples, summed over a frame; means over all forecasts.
    crps : numpy.ndarray, shape (steps,)
        Mean over columns and forecasts.
    n_forecasts : int
    """

    squared_error: np.ndarray
    crps: np.ndarray
    n_forecasts: int


def score_forecasts(
    forecaster: Forecaster,
    pieces: Sequence[np.ndarray],
    *,
    steps: int = 10,
    n_samples: int = 100,
    every: int = 10,
    n_history: int = 10,
    seed: int = 0,
) -> ForecastScores:
    """Score forecasts that begin at many places of some pieces.

    Parameters
    ----------
    forecaster : callable
        ``(history, steps, n_samples, seed) -> samples``, such as
        ``lambda *given: model.predict(*given[:3], seed=given[3]).samples``.
    pieces : sequence of arrays (T, n_visible)
    steps, n_samples : int
        Frames ahead, and samples of each forecast.
    every, n_history : int
        Forecasts begin after `n_history` frames of a piece, and again after each `every` frames.
    seed : int

    Raises
    ------
    ValueError
        If a number is out of range, or no piece is long enough.
    """
    steps, every = whole_number("steps", steps, 1), whole_number("every", every, 1)
    n_samples, n_history = whole_number("n_samples", n_samples, 2), whole_number("n_history", n_history, 1)
    pieces = as_pieces(pieces)
    places = [(piece, t) for piece in pieces for t in range(n_history, len(piece) - steps + 1, every)]
    if not places:
        raise ValueError(f"no piece has {n_history + steps} frames, of which {n_history} are the history")
    errors, scores = np.zeros(steps), np.zeros(steps)
    for i, (piece, t) in enumerate(places):
        samples, true = forecaster(piece[:t], steps, n_samples, seed + i), piece[t : t + steps].astype(float)
        errors += np.square(samples.mean(axis=0, dtype=float) - true).sum(axis=1)
        scores += crps(samples, true).mean(axis=1)
    return ForecastScores(errors / len(places), scores / len(places), len(places))


def linear_forecasters(train: Sequence[np.ndarray], valid: Sequence[np.ndarray]) -> dict[str, Forecaster]:
    """Fit linear models of real numbers that forecast: the last frame with steps at random, and autoregressions."""
    models: dict[str, Any] = {"copy": ColumnGaussian.fit(train, True)}
    models |= {f"VAR({order})": VectorAutoregression.fit(train, valid, order) for order in ORDERS}
    models[f"VAR({max(ORDERS)}), heavy tails"] = RobustAutoregression.fit(train, max(ORDERS))
    return {name: functools.partial(_paths, model) for name, model in models.items()}


def _paths(model: Any, history: np.ndarray, steps: int, n_samples: int, seed: int) -> np.ndarray:
    """Sample continuations (n_samples, steps, n) of a history from a linear model."""
    order = getattr(model, "order", 1)
    known = np.asarray(history[-order:], float)
    rng, past = generator(seed), np.repeat(known[None], n_samples, axis=0)
    drawn = model.draw_errors(rng, n_samples * steps).reshape(n_samples, steps, -1)
    for t in range(steps):
        expected = model.next_of(past)
        past = np.concatenate([past, (expected + drawn[:, t])[:, None]], axis=1)
    return past[:, len(known) :]


def next_frame_error(expected: Any, pieces: Sequence[np.ndarray], first: int = FIRST) -> float:
    """Return the squared error of expected frames, summed over a frame, mean over the frames from `first` on.

    All frames of all pieces count alike. Frames are counted from 1, so that by default a linear model of three past
    frames has read as many as it needs.

    Parameters
    ----------
    expected : callable, or iterable of (true, expected)
        ``expected(piece)`` returns expected frames (T, n_visible), each given the true frames before it, as
        ``VectorAutoregression.mean_of`` does. Or what :func:`rnnrbm.sampling.expect_blocks` yields for the same pieces.
    pieces : sequence of arrays (T, n_visible)
    first : int
        At least 1.

    Raises
    ------
    ValueError
        If no piece is so long.
    """
    first = whole_number("first", first, 1)
    pieces = as_pieces(pieces)
    counts = np.concatenate([np.arange(len(piece)) >= first - 1 for piece in pieces])
    if not counts.any():
        raise ValueError(f"no piece has {first} frames; lower first")
    pairs = ((piece, expected(piece)) for piece in pieces) if callable(expected) else expected
    errors = np.concatenate([np.square(np.asarray(t, float) - np.asarray(e, float)).sum(axis=1) for t, e in pairs])
    if len(errors) != len(counts):
        raise ValueError(f"{len(errors)} frames were expected, and the pieces have {len(counts)}")
    return float(errors[counts].mean())
