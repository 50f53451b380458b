"""Centring: the weights of an RBM learn deviations of the units from offsets, and not their mean activity too.

A centred RBM has the energy -(v - mu) W (h - lambda) - b_v v - b_h h. It is the same family of distributions: with the
biases b_v - W lambda and b_h - mu W, up to a constant, it is a plain RBM. So nothing but training knows of it here. The
gradient is taken in the centred parameters, the optimiser makes a step in them, and the step is turned into one of the
plain parameters. Since a network adds its output to the biases, the same holds for every frame of an RNN-RBM.

(Montavon & Mueller, "Deep Boltzmann machines and the centering trick", 2012; Melchior, Fischer & Wiskott, "How to
center deep Boltzmann machines", JMLR 2016.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.engine import Updates
from rnnrbm.rbm import RBM

__all__ = ["Centring", "centring"]


class Centring(NamedTuple):
    """The parameters of an RBM and the offsets of its units.

    Attributes
    ----------
    W, b_v, b_h : shared variables
    mu : numpy.ndarray, shape (n_visible,)
    lam : numpy.ndarray, shape (n_hidden,)
    """

    W: Any
    b_v: Any
    b_h: Any
    mu: np.ndarray
    lam: np.ndarray

    def gradients(self, grads: Sequence[TensorVariable], params: Sequence[Any]) -> list[TensorVariable]:
        """Return gradients with respect to the centred parameters, of which only that of W differs."""
        of = dict(zip(params, grads, strict=True))
        of[self.W] = of[self.W] - pt.outer(pt.as_tensor(self.mu), of[self.b_h]) - pt.outer(of[self.b_v], pt.as_tensor(self.lam))
        return [of[p] for p in params]

    def plain(self, updates: Mapping[Any, Any]) -> Updates:
        """Return updates of the plain parameters for those of the centred ones."""
        step = updates[self.W] - self.W
        return dict(updates) | {
            self.b_v: updates[self.b_v] - step @ pt.as_tensor(self.lam),
            self.b_h: updates[self.b_h] - pt.as_tensor(self.mu) @ step,
        }


def centring(density: Any, mean: np.ndarray) -> Centring | None:
    """Return how to centre a density, or None for one whose parameters are not those of an RBM.

    Parameters
    ----------
    density : FrameDensity
    mean : numpy.ndarray, shape (n_visible,)
        Mean frame of the training set.
    """
    if not isinstance(density, RBM) or not all(isinstance(p, SharedVariable) for p in density.tensors()):
        return None
    dtype, n_hidden = density.W.dtype, density.W.type.shape[1]
    # of the hidden units of an RBM that has learned nothing, and of the visible ones in the data
    idle = density.hidden.statistic(density.hidden.mean(pt.zeros((n_hidden,), dtype)))
    seen = density.visible.statistic(pt.as_tensor(mean.astype(dtype)))
    mu, lam = engine.function([], [seen, idle], mode="FAST_COMPILE")()
    return Centring(density.W, density.b_v, density.b_h, mu, lam)
