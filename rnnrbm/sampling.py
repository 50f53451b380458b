"""Sampling sequences: compiled, arrays in and arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

from rnnrbm import engine, random
from rnnrbm.cells import recur
from rnnrbm.rnnrbm import RNNRBM

__all__ = ["Sampler", "generate"]


class Sampler:
    """A compiled generator, to be called again and again.

    Parameters
    ----------
    model : RNNRBM
    n_steps : int
        Frames of each sequence.
    k : int
        Gibbs steps for each frame; each frame's chain starts from the frame before it.
    mode : str or None
        See :func:`rnnrbm.engine.function`.
    """

    def __init__(self, model: RNNRBM, n_steps: int, *, k: int = 25, mode: Any = None) -> None:
        if n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {n_steps}")
        self.n_visible = model.rbm.W.type.shape[0]
        self.dtype = model.rbm.W.dtype
        n_recurrent = model.cell.u_0.type.shape[0]
        u = pt.tensor("u", dtype=self.dtype, shape=(None, n_recurrent))
        v = pt.tensor("v", dtype=self.dtype, shape=(None, self.n_visible))
        prime = pt.tensor("prime", dtype=self.dtype, shape=(None, 1, self.n_visible))
        self._rng = random.shared(0)
        sequence, _ = model.generate(n_steps, u, v, rng=self._rng, k=k)
        self._generate = engine.function([u, v], sequence, mode=mode)
        self._read = engine.function([prime], recur(model.cell, prime)[-1], mode=mode)
        self._begin = engine.function([], pt.shape_padleft(model.cell.u_0), mode=mode)

    def __call__(self, count: int = 1, *, seed: int = 0, prime: np.ndarray | None = None) -> np.ndarray:
        """Sample sequences.

        Parameters
        ----------
        count : int
            How many, at least 1.
        seed : int
            Of the sampling: the same seed gives the same sequences.
        prime : numpy.ndarray or None, shape (T, n_visible)
            A beginning that the model reads and goes on from; it is not part of the result.

        Returns
        -------
        numpy.ndarray, shape (count, n_steps, n_visible), in the model's type

        Raises
        ------
        ValueError
            If `count` is below 1, or `prime` is empty or of another width.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        if prime is not None and (prime.ndim != 2 or len(prime) == 0 or prime.shape[1] != self.n_visible):
            raise ValueError(f"prime has shape {prime.shape}, expected (T, {self.n_visible}) with T of 1 or more")
        if prime is None:
            u, last = self._begin(), np.zeros((1, self.n_visible), self.dtype)
        else:
            u, last = self._read(prime.astype(self.dtype)[:, None]), prime[-1:].astype(self.dtype)
        self._rng.key.set_value(random.key_from_seed(seed))
        u, v = (np.repeat(engine.to_numpy(x), count, axis=0) for x in (u, last))
        return engine.to_numpy(self._generate(u, v)).swapaxes(0, 1)


def generate(
    model: RNNRBM,
    n_steps: int,
    *,
    count: int = 1,
    k: int = 25,
    seed: int = 0,
    prime: np.ndarray | None = None,
    mode: Any = None,
) -> np.ndarray:
    """Sample sequences from a model; see :class:`Sampler` for the parameters.

    Returns
    -------
    numpy.ndarray, shape (count, n_steps, n_visible)
    """
    return Sampler(model, n_steps, k=k, mode=mode)(count, seed=seed, prime=prime)
