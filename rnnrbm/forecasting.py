"""Forecasts: many continuations of a history, and what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import whole_number
from rnnrbm.backend.random import Seed
from rnnrbm.sampling import Sampler
from rnnrbm.sequence import SequenceModel

__all__ = ["Forecast", "forecast"]


class Forecast(NamedTuple):
    """Samples of what comes after a history.

    Attributes
    ----------
    samples : numpy.ndarray, shape (n_samples, steps, n_visible)
        Continuations that are equally probable. All of one sample belong together.
    """

    samples: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Expected values (steps, n_visible); of binary units, their probabilities."""
        return np.asarray(self.samples.mean(axis=0, dtype=float))

    def quantile(self, q: float | Sequence[float]) -> np.ndarray:
        """Return quantiles of each value: (steps, n_visible), or (len(q), steps, n_visible) for several.

        Raises
        ------
        ValueError
            If a probability is not between 0 and 1.
        """
        if not np.all((np.asarray(q) >= 0) & (np.asarray(q) <= 1)):
            raise ValueError(f"q={q!r}: expected probabilities, between 0 and 1")
        return np.asarray(np.quantile(self.samples.astype(float), q, axis=0))


def forecast(
    model: SequenceModel,
    history: ArrayLike,
    steps: int,
    n_samples: int = 100,
    *,
    k: int = 50,
    seed: Seed = 0,
    start: str | None = None,
    init_states: ArrayLike | None = None,
    temperature: float = 1.0,
    mode: Any = None,
) -> Forecast:
    """Sample what comes after a history; ``model.predict`` is the same.

    Parameters
    ----------
    model : SequenceModel
        With a past. Any kind of frame.
    history : array-like, shape (T, n_visible)
        What is known, at least one frame.
    steps, n_samples : int
        Frames to forecast, and number of samples; at least 1 and 2.
    k, seed, start, init_states, temperature, mode
        See :func:`rnnrbm.sampling.generate`.

    Returns
    -------
    Forecast

    Raises
    ------
    ValueError
        If a number is out of range, or the history does not fit the model.
    TypeError
        If the model is no sequence model.

    Examples
    --------
    >>> import numpy as np
    >>> import rnnrbm
    >>> model = rnnrbm.build("rnn", 2, visible="gaussian:0.1", n_recurrent=4, seed=0)
    >>> found = model.predict(np.zeros((5, 2)), steps=3, n_samples=50)
    >>> found.samples.shape, found.mean.shape, found.quantile([0.1, 0.9]).shape
    ((50, 3, 2), (3, 2), (2, 3, 2))
    """
    n_samples = whole_number("n_samples", n_samples, 2)
    sampler = Sampler(
        model,
        whole_number("steps", steps, 1),
        k=k,
        init_states=init_states,
        temperature=temperature,
        start=start,
        mode=mode,
    )
    return Forecast(sampler(n_samples, seed=seed, prime=history))
