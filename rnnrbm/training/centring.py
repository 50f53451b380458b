"""Centring: the weights of an RBM learn how its units deviate from offsets, and not their mean activity too.

A centred RBM has the energy -(v - mu) W (h - lambda) - v b_v - h b_h. With the biases b_v - W lambda and b_h - mu W it
is a plain RBM, up to a constant, so both are the same family of distributions, and nothing but training knows of the
centred one. The gradient is taken in the centred parameters, the optimiser makes a step in them, and the step is turned
into one of the plain parameters. Since a network adds its output to the biases, the same holds for every frame of an
RNN-RBM.

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
from rnnrbm.weights import as_rbm, has_layers

__all__ = ["Centring", "centring"]


class Centring(NamedTuple):
    """An RBM and the offsets of its units.

    Attributes
    ----------
    density : RBM, or a density with an attribute ``rbm``
        Its fields W, b_v and b_h are shared variables.
    mu : numpy.ndarray or tensor, shape (n_visible,)
    lam : numpy.ndarray or tensor, shape (n_hidden,)
    """

    density: Any
    mu: Any
    lam: Any

    def _shifts(self, W: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """What the offsets add to the plain biases: W lambda and mu W, which are linear in W."""
        whole = as_rbm(self.density._replace(W=W)).W
        return whole @ pt.as_tensor(self.lam), pt.as_tensor(self.mu) @ whole

    def gradients(self, grads: Sequence[TensorVariable], params: Sequence[Any]) -> list[TensorVariable]:
        """Return gradients with respect to the centred parameters, of which only that of W differs.

        Parameters
        ----------
        grads : sequence of TensorVariable
            With respect to the plain parameters.
        params : sequence of shared variables
        """
        of = dict(zip(params, grads, strict=True))
        W, b_v, b_h = self.density.W, self.density.b_v, self.density.b_h
        if isinstance(self.density, RBM):  # broadcast, which is one pass with all else that changes W
            own = pt.as_tensor(self.mu)[:, None] * of[b_h] + of[b_v][:, None] * pt.as_tensor(self.lam)
            of[W] = of[W] - own
            return [of[p] for p in params]
        by_v, by_h = self._shifts(W)
        product = (by_v * of[b_v]).sum() + (by_h * of[b_h]).sum()
        of[W] = of[W] - pt.grad(product, W, consider_constant=[of[b_v], of[b_h]])
        return [of[p] for p in params]

    def plain(self, updates: Mapping[Any, Any]) -> Updates:
        """Return updates of the plain parameters for those of the centred ones."""
        W, b_v, b_h = self.density.W, self.density.b_v, self.density.b_h
        by_v, by_h = self._shifts(updates[W] - W)
        return dict(updates) | {b_v: updates[b_v] - by_v, b_h: updates[b_h] - by_h}


def centring(density: Any, mean: np.ndarray) -> Centring | None:
    """Return how to centre a density, or None for one whose parameters are not those of an RBM.

    The offsets are the mean of the data, and that of hidden units without input.

    Parameters
    ----------
    density : FrameDensity
    mean : numpy.ndarray, shape (n_visible,)
        Mean frame of the training set.
    """
    if has_layers(density) and not isinstance(density, RBM):  # its biases are shared, so they take up no other shift
        return None
    if not isinstance(as_rbm(density), RBM) or not all(isinstance(p, SharedVariable) for p in density.tensors()):
        return None
    rbm = as_rbm(density)
    idle = rbm.hidden.statistic(rbm.hidden.mean(pt.zeros((rbm.W.type.shape[1],), rbm.W.dtype)))
    seen = rbm.visible.statistic(pt.as_tensor(mean.astype(rbm.W.dtype)))
    mu, lam = engine.function([], [seen, idle], mode="FAST_COMPILE")()
    return Centring(density, np.asarray(mu), np.asarray(lam))
