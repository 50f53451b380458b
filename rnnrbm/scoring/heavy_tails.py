"""Linear autoregression whose errors have heavy tails: most frames are easy to predict, and a few are not at all.

Least squares lets the few rule the weights. Here errors have a multivariate Student t distribution, so a frame counts
the less the farther it lies from what was expected. The weights are found by expectation maximization, which is least
squares again and again with a weight for each frame (Lange, Little & Taylor, "Robust statistical modeling using the t
distribution", JASA 1989).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnrbm.arguments import as_pieces, whole_number
from rnnrbm.scoring.autoregression import expected_next, past_and_present

__all__ = ["RobustAutoregression"]

#: Degrees of freedom: what Lange et al. found to suit many data.
DEGREES = 4.0
_RIDGE = 1e-6  # penalty on the weights, as a fraction of the mean square of an input
_N_ROUNDS = 20
_LEAST = 1e-6  # least standard deviation of a column's error
#: Frames from which the weights are found; more would change little and take long.
_MOST = 20_000


@dataclass(frozen=True)
class RobustAutoregression:
    """A linear model of a frame given the frames before it, with errors of a multivariate t distribution.

    Attributes
    ----------
    mean : numpy.ndarray, shape (n_visible,)
        Before the first frame of a piece, all frames are equal to it.
    weights : numpy.ndarray, shape (order * n_visible, n_visible)
        Those of the previous frame first.
    constant : numpy.ndarray, shape (n_visible,)
        Added to the expected frame.
    scale : numpy.ndarray, shape (n_visible, n_visible)
        Scale matrix of the errors.
    degrees : float
        Degrees of freedom; infinite for normal errors.
    """

    mean: np.ndarray
    weights: np.ndarray
    constant: np.ndarray
    scale: np.ndarray
    degrees: float = DEGREES

    @property
    def order(self) -> int:
        """Number of frames that the model looks back."""
        return len(self.weights) // len(self.mean)

    @classmethod
    def fit(cls, train: Sequence[np.ndarray], order: int = 1, degrees: float = DEGREES) -> RobustAutoregression:
        """Estimate from pieces (T, n_visible), from the first 20 000 frames or a little more.

        With infinite `degrees` the errors are normal, and all frames count alike.

        Raises
        ------
        ValueError
            If there are no pieces, widths differ, or `order` is below 1.
        """
        order = whole_number("order", order, 1)
        pieces = as_pieces(train)
        chosen: list[np.ndarray] = []
        for piece in pieces:
            if sum(len(x) for x in chosen) >= _MOST:
                break
            chosen.append(piece[:_MOST])
        mean = np.concatenate(chosen).mean(axis=0, dtype=float)
        parts = [part for piece in chosen for part in past_and_present(piece, mean, order)]
        inputs = np.concatenate([past for past, _ in parts])
        inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
        outputs = np.concatenate([now for _, now in parts])
        n = outputs.shape[1]
        # at first, errors are changes from frame to frame, and their scale is a median: wild frames do not set it
        changes = outputs - inputs[:, :n]
        usual = np.maximum(np.median(np.abs(changes), axis=0) / 0.6745, _LEAST)
        weight = np.ones(len(outputs))
        if math.isfinite(degrees):
            weight = (degrees + n) / (degrees + np.square(changes / usual).sum(axis=1))
        for _ in range(_N_ROUNDS):
            weighted = inputs * weight[:, None]
            moments = weighted.T @ inputs
            penalty = np.full(len(moments), _RIDGE * np.trace(moments[:-1, :-1]) / max(len(moments) - 1, 1) + 1e-12)
            penalty[-1] = 0.0
            solution = np.linalg.solve(moments + np.diag(penalty), weighted.T @ outputs)
            errors = outputs - inputs @ solution
            scale = (errors * weight[:, None]).T @ errors / len(errors)
            scale[np.arange(n), np.arange(n)] += _LEAST**2
            if math.isinf(degrees):
                break
            weight = (degrees + n) / (degrees + _distances(scale, errors))
        return cls(mean, solution[:-1], solution[-1], scale, degrees)

    def mean_of(self, piece: np.ndarray) -> np.ndarray:
        """Expected frames (T, n_visible), each given the true frames before it."""
        past = np.concatenate([past for past, _ in past_and_present(piece, self.mean, self.order)])
        return np.asarray(past @ self.weights + self.constant + self.mean)

    def next_of(self, past: np.ndarray) -> np.ndarray:
        """Expected frames (R, n_visible) after pasts (R, t, n_visible)."""
        return expected_next(past, self.mean, self.weights) + self.constant

    def draw_errors(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Sample what a frame adds to what was expected: (n, n_visible)."""
        normal = rng.standard_normal((n, len(self.mean))) @ np.linalg.cholesky(self.scale).T
        if math.isinf(self.degrees):
            return np.asarray(normal)
        return np.asarray(normal / np.sqrt(rng.chisquare(self.degrees, (n, 1)) / self.degrees))

    def frame_log_likelihoods(self, piece: np.ndarray) -> np.ndarray:
        """Log density of each frame, nats, shape (T,)."""
        n, d = len(self.mean), self.degrees
        errors = np.asarray(piece, float) - self.mean_of(piece)
        _, log_det = np.linalg.slogdet(self.scale)
        if math.isinf(d):
            return np.asarray(-0.5 * (_distances(self.scale, errors) + log_det + n * math.log(2.0 * math.pi)))
        constant = math.lgamma((d + n) / 2) - math.lgamma(d / 2) - 0.5 * (n * math.log(d * math.pi) + log_det)
        return np.asarray(constant - 0.5 * (d + n) * np.log1p(_distances(self.scale, errors) / d))


def _distances(scale: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the squared distance of each row of errors from 0, in units of a scale matrix."""
    from scipy.linalg import solve_triangular

    z = solve_triangular(np.linalg.cholesky(scale), errors.T, lower=True)
    return np.asarray(np.square(z).sum(axis=0))
