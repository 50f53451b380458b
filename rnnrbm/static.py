"""The interface of models of single frames that are no frame densities, such as autoencoders and Hopfield nets.

A frame density (:mod:`rnnrbm.densities`) has a log-probability or a free energy, and a network can set its biases. The
models here have neither. What they share is what a run needs: they train, they are validated by a number of their own,
they sample, and they reconstruct. Nothing is inherited; a model is a ``NamedTuple`` or a frozen dataclass of shared
variables and plain values, so that :mod:`rnnrbm.model_file` can save it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from rnnrbm import model_file
from rnnrbm.backend.random import Seed
from rnnrbm.units import Unit

__all__ = ["StaticModel"]


@runtime_checkable
class StaticModel(Protocol):
    """A model of single frames; it also has ``loss`` or ``updates`` (:mod:`rnnrbm.training.trainable`)."""

    @property
    def score_name(self) -> str:
        """What :meth:`score` measures, such as ``"share of pixels recalled"``."""

    @property
    def usual_k(self) -> int:
        """Steps of :meth:`sample` if none are chosen."""

    @property
    def params(self) -> Sequence[Any]:
        """Parameters: shared variables, whose names are unique."""

    @property
    def visible(self) -> Unit:
        """Unit type of a frame."""

    @property
    def n_visible(self) -> int:
        """Columns of a frame."""

    def score(self, pieces: Sequence[np.ndarray], mode: Any = None) -> float:
        """Return how good the model is on pieces (T, n_visible); higher is better, and equal calls give equal numbers.

        Parameters
        ----------
        pieces : sequence of arrays (T, n_visible)
        mode : str or None
            See :func:`rnnrbm.backend.engine.function`.
        """

    def sample(self, n_samples: int, *, k: int | None = None, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return samples (n_samples, n_visible), each after `k` steps of the model's own chain; None: `usual_k`."""

    def reconstruct(self, frames: np.ndarray, *, seed: Seed, mode: Any = None) -> np.ndarray:
        """Return what the model makes of frames (n, n_visible): an array of that shape."""

    def filters(self) -> np.ndarray | None:
        """Return weights (n_visible, n_features) that can be drawn as frames, or None."""

    def save(self, path: model_file.PathName) -> None:
        """Write the model to a file, which :func:`rnnrbm.load_model` reads back."""
