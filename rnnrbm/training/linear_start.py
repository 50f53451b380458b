"""What autoregressive connections start from: the linear model of a frame given the frames before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from rnnrbm.autoregressive import Autoregressive
from rnnrbm.rnnrbm import HiddenUnits
from rnnrbm.scoring.heavy_tails import DEGREES, RobustAutoregression
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import Bernoulli, LearnedGaussian
from rnnrbm.weights import has_layers

__all__ = ["set_linear_start"]

_MOST_INPUTS = 1024  # of the linear model; the time grows with their third power
_UNTRAINED = 0.01  # most that weights differ from those with which they are made


def set_linear_start(model: SequenceModel, pieces: Sequence[np.ndarray]) -> None:
    """Set untrained weights of past frames, and what goes with them, to those of a linear model.

    Real-valued frames only. With learned standard deviations the linear model is one of heavy tails, so that a few wild
    frames do not rule it, and they become those of its errors; else it is that of least squares. The visible biases
    become its constant. Weights that have been trained stay as they are, and so do those of more than 1024 inputs.

    Parameters
    ----------
    model : SequenceModel
    pieces : sequence of arrays (T, n_visible)
        The training set.
    """
    density: Any = model.density
    network, visible = model.network, density.visible
    if not isinstance(network, Autoregressive | HiddenUnits) or visible.is_discrete or visible.is_binary:
        return
    n, width = model.n_visible, network.traits.n_direct
    W = model.bias_weights[density.biases.index("b_v")]
    values = W.get_value()
    made = np.eye(width, n, n - width)
    if not width or width > _MOST_INPUTS or np.abs(values[-width:] - made).max() > _UNTRAINED:
        return
    learned = isinstance(visible, LearnedGaussian)
    linear = RobustAutoregression.fit(pieces, network.n_frames, DEGREES if learned else math.inf)
    latest_first = linear.weights.reshape(network.n_frames, n, n)
    values[-width:] = latest_first[::-1].reshape(width, n)
    W.set_value(values)
    deviation = np.full(n, getattr(visible, "sigma", 1.0))
    if learned:
        deviation = np.maximum(np.sqrt(linear.scale.diagonal()), 1e-3)
        density.visible.log_sigma.set_value(np.log(deviation).astype(W.dtype))
    if has_layers(density):  # weights are made for units of standard deviation 1
        weights = density.W
        weights.set_value((weights.get_value() * deviation[:, None]).astype(weights.dtype))
    b_v, constant = density.b_v, linear.mean + linear.constant - linear.mean @ latest_first.sum(axis=0)
    if has_layers(density) and density.hidden == Bernoulli():  # what they add on average
        constant = constant - density.W.get_value() @ expit(density.b_h.get_value())
    b_v.set_value(constant.astype(b_v.dtype))
