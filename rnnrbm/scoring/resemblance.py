"""How much sampled spectrograms resemble recordings, and how much recordings resemble each other.

A distance between samples and recordings says little by itself. So each one stands beside the same distance between
two disjoint sets of recordings: a model is as good as its data where the two are alike.

Distributions of one variable are compared by the Kolmogorov-Smirnov and the Wasserstein distance, those of whole calls
by the maximum mean discrepancy (Gretton et al. 2012), whose features are the spectrogram of a call at a fixed number of
times, reduced by principal components, and the logarithm of its duration.

References
----------
A. Gretton, K. M. Borgwardt, M. J. Rasch, B. Schoelkopf and A. Smola, A kernel two-sample test, Journal of
Machine Learning Research 13 (2012) 723-773.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rnnrbm.arguments import as_array, number, whole_number
from rnnrbm.scoring.calls import Calls, windows

__all__ = [
    "MEASURES",
    "Discrepancy",
    "Distance",
    "FeatureSpace",
    "discrepancies",
    "distance",
    "distances",
    "median_width",
    "mmd2",
    "resized",
]

#: What of the calls is compared: name, unit, values.
MEASURES: tuple[tuple[str, str, Callable[[Calls], np.ndarray]], ...] = (
    ("duration of a call", "ms", lambda calls: calls.duration),
    ("silence between calls", "ms", lambda calls: calls.silences),
    ("peak frequency of a call", "Hz", lambda calls: calls.peak),
    ("bandwidth of a call", "Hz", lambda calls: calls.bandwidth),
    ("level of a call", "dB", lambda calls: calls.level),
)

WINDOW_MS = 100.0  # about the length of a syllable
_BLOCK = 1024  # points that are compared with all others at once
_ENOUGH = 1024  # points of which the median distance is taken


class Distance(NamedTuple):
    """How far two distributions of one variable are apart.

    Attributes
    ----------
    ks : float
        Kolmogorov-Smirnov distance, the largest difference of the distribution functions, 0 to 1.
    wasserstein : float
        Wasserstein distance of order 1, in the unit of the variable.
    n : tuple of int
        Numbers of values. Both distances are NaN if one set is empty.
    """

    ks: float
    wasserstein: float
    n: tuple[int, int]


def distance(x: np.ndarray, y: np.ndarray) -> Distance:
    """Compare two sets of values, shapes (n,) and (m,)."""
    from scipy.stats import ks_2samp, wasserstein_distance

    n = len(x), len(y)
    if not all(n):
        return Distance(float("nan"), float("nan"), n)
    return Distance(float(ks_2samp(x, y, method="asymp").statistic), float(wasserstein_distance(x, y)), n)


def distances(x: Calls, y: Calls) -> dict[str, Distance]:
    """Compare each of the :data:`MEASURES` of two sets of calls, by name."""
    return {name: distance(values(x), values(y)) for name, _, values in MEASURES}


class FeatureSpace(NamedTuple):
    """Calls as points: their spectrograms at a fixed number of times, by principal components, and their durations.

    Both parts have a total variance of 1 on the calls that the space was fitted to.

    Attributes
    ----------
    n_steps : int
        Times in a call.
    mean : numpy.ndarray, shape (n_steps * n_bands,)
    components : numpy.ndarray, shape (n_steps * n_bands, n_components)
        Principal directions, times a scale.
    duration : tuple of float
        Mean and deviation of the natural logarithm of the number of frames.
    """

    n_steps: int
    mean: np.ndarray
    components: np.ndarray
    duration: tuple[float, float]

    @classmethod
    def fit(
        cls, pieces: Sequence[np.ndarray], spans: np.ndarray, *, n_steps: int = 12, n_components: int = 20
    ) -> FeatureSpace:
        """Find the principal components of calls.

        Parameters
        ----------
        pieces : sequence of numpy.ndarray, shape (T, n_bands)
            Decibels.
        spans : numpy.ndarray of int, shape (n, 3)
            Two calls or more, as in :class:`rnnrbm.scoring.calls.Calls`.
        n_steps, n_components : int
            Fewer components if there are fewer calls or values.

        Raises
        ------
        ValueError
            If there are fewer than two calls, or all are equal.
        """
        n_steps, n_components = whole_number("n_steps", n_steps, 1), whole_number("n_components", n_components, 1)
        if len(spans) < 2:
            raise ValueError(f"{len(spans)} calls have no variance; give two or more")
        x = resized(pieces, spans, n_steps)
        mean = x.mean(axis=0)
        _, sizes, directions = np.linalg.svd(x - mean, full_matrices=False)
        kept = directions[: min(n_components, len(x) - 1)].T
        variance = float(np.square(sizes[: kept.shape[1]]).sum()) / len(x)
        if not variance > 1e-12:
            raise ValueError("the spectrograms of all calls are equal; give calls that differ")
        log_length = np.log(spans[:, 2] - spans[:, 1])
        return cls(n_steps, mean, kept / np.sqrt(variance), (float(log_length.mean()), float(log_length.std())))

    def __call__(self, pieces: Sequence[np.ndarray], spans: np.ndarray) -> np.ndarray:
        """Return the calls as points, shape (n, n_components + 1)."""
        mean, deviation = self.duration
        log_length = np.log(spans[:, 2:] - spans[:, 1:2])
        # windows of one length have no variance there
        last = (log_length - mean) / deviation if deviation > 1e-9 else np.zeros_like(log_length, float)
        return np.hstack([(resized(pieces, spans, self.n_steps) - self.mean) @ self.components, last])


def resized(pieces: Sequence[np.ndarray], spans: np.ndarray, n_steps: int) -> np.ndarray:
    """Return the spectrograms of calls, interpolated in time, shape (n, n_steps * n_bands)."""
    width = np.shape(pieces[0])[1]
    rows = np.empty((len(spans), n_steps * width))
    for row, (i, start, stop) in zip(rows, spans, strict=True):
        x = np.asarray(pieces[i][start:stop], float)
        at = np.linspace(0.0, len(x) - 1.0, n_steps)
        before = np.floor(at).astype(int)
        after, share = np.minimum(before + 1, len(x) - 1), (at - before)[:, None]
        row[:] = ((1 - share) * x[before] + share * x[after]).ravel()
    return rows


def median_width(x: np.ndarray) -> float:
    """Return the median distance between different points, shape (n, d), as the width of a Gaussian kernel.

    Of more than 1024 points, that many are taken, evenly.

    Raises
    ------
    ValueError
        If there are fewer than two points, or more than half of the distances are 0.
    """
    from scipy.spatial.distance import pdist

    x = _points(x, "x")
    width = float(np.median(pdist(x[np.linspace(0, len(x) - 1, min(len(x), _ENOUGH)).astype(int)])))
    if not width > 0:
        raise ValueError("the median distance of the points is 0; choose a width")
    return width


def mmd2(x: np.ndarray, y: np.ndarray, width: float) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy of two samples; lemma 6 of the source.

    It is 0 on average if both samples are of the same distribution, and may then be negative.

    Parameters
    ----------
    x, y : numpy.ndarray, shapes (n, d) and (m, d)
        Two points or more in each.
    width : float
        Standard deviation of the Gaussian kernel, exp(-distance^2 / (2 width^2)).

    Raises
    ------
    ValueError
        If there are too few points, their dimensions differ, or a value is not finite.

    References
    ----------
    A. Gretton and others, A kernel two-sample test, Journal of Machine Learning Research 13 (2012) 723-773.
    """
    x, y = _points(x, "x"), _points(y, "y")
    width = number("width", width, "more than 0", above=0)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x has points of {x.shape[1]} values, y of {y.shape[1]}; they must be equal")
    n, m = len(x), len(y)
    within = [(_kernel_sum(z, z, width) - len(z)) / (len(z) * (len(z) - 1)) for z in (x, y)]  # not with themselves
    return sum(within) - 2 * _kernel_sum(x, y, width) / (n * m)


def _points(x: np.ndarray, name: str) -> np.ndarray:
    x = as_array(x, name).astype(float)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"{name} has shape {x.shape}; expected two points or more, (n, d)")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} holds NaN or infinity; leave such points out")
    return x


def _kernel_sum(x: np.ndarray, y: np.ndarray, width: float) -> float:
    """Return the sum of the kernel over all pairs, in blocks that fit the memory."""
    from scipy.spatial.distance import cdist

    parts = [x[i : i + _BLOCK] for i in range(0, len(x), _BLOCK)]
    return float(sum(np.exp(cdist(part, y, "sqeuclidean") / (-2 * width**2)).sum() for part in parts))


class Discrepancy(NamedTuple):
    """Squared maximum mean discrepancies from the same recordings.

    Attributes
    ----------
    samples, real : float
        Of samples, and of other recordings; NaN if there are too few calls.
    n : tuple of int
        Numbers of calls or windows in samples, in the recordings, and in the others.
    """

    samples: float
    real: float
    n: tuple[int, int, int]


def discrepancies(
    samples: Sequence[np.ndarray],
    real: Sequence[np.ndarray],
    other: Sequence[np.ndarray],
    spans: tuple[np.ndarray, np.ndarray, np.ndarray],
    seconds_per_frame: float,
) -> dict[str, Discrepancy]:
    """Compare samples with recordings, and other recordings with the same ones.

    The features and the width of the kernel, the median distance, are those of the other recordings, which should be
    the training set; thus both comparisons are on the same scale.

    Parameters
    ----------
    samples, real, other : sequence of numpy.ndarray, shape (T, n_bands)
        Decibels.
    spans : tuple of numpy.ndarray of int, each of shape (n, 3)
        The calls in each of the three; see :class:`rnnrbm.scoring.calls.Calls`.
    seconds_per_frame : float

    Returns
    -------
    dict of str to Discrepancy
        Of ``"calls"``, and of ``"windows"`` of 100 ms without gaps, in which silences and the order of calls count, and
        which there are in samples without any call, too.
    """
    sets = (samples, real, other)
    n_frames = max(round(WINDOW_MS / (1000 * seconds_per_frame)), 1)
    cut = tuple(windows(each, n_frames) for each in sets)
    found = {}
    for name, of_sets in (("calls", spans), ("windows", cut)):
        a, b, c = map(len, of_sets)
        values = [float("nan")] * 2
        if min(b, c) >= 2:
            space = FeatureSpace.fit(other, of_sets[2])
            points = [space(pieces, each) if len(each) else None for pieces, each in zip(sets, of_sets, strict=True)]
            assert points[1] is not None
            assert points[2] is not None
            width = median_width(points[2])
            values = [
                mmd2(each, points[1], width) if each is not None and len(each) >= 2 else float("nan")
                for each in (points[0], points[2])
            ]
        found[name] = Discrepancy(values[0], values[1], (a, b, c))
    return found
