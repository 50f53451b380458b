"""A batch of sequences in a graph, the loss on it, and the masks that both use."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend.random import Rng
from rnnrbm.recurrence import flatten

__all__ = ["Batch", "Loss", "dropout_mask", "masked_mean"]


class Batch(NamedTuple):
    """A batch of sequences, as symbolic variables.

    Attributes
    ----------
    v : TensorVariable, shape (T, B, n_visible)
        Frames.
    mask : TensorVariable, shape (T, B)
        1 for frames to train on, 0 for padding and context.
    start : TensorVariable of bool, shape (T, B)
        True where a piece begins; see :func:`rnnrbm.recurrence.unroll`.
    """

    v: TensorVariable
    mask: TensorVariable
    start: TensorVariable


class Loss(NamedTuple):
    """Symbolic results that a training step needs.

    Attributes
    ----------
    cost : scalar
        Quantity to minimize. The loss of a :class:`rnnrbm.sequence.SequenceModel` is in nats per frame. For a
        normalized density, it is the mean of -log p over the frames with mask 1. For an energy, it is the mean of
        F(data) - F(negative sample): its gradient is that of contrastive divergence, and its value has no meaning.
    updates : dict
        Updates of the random stream and of persistent chains; merge them with those of the optimiser.
    metrics : dict of str to scalar
        Further numbers to report, by name. A sequence model reports ``pseudo_likelihood``, nats per frame,
        the mean over the batch of :meth:`rnnrbm.rbm.RBM.pseudo_log_likelihood`. It is NaN for a normalized density and
        for units that are not binary.
    """

    cost: TensorVariable
    updates: Mapping[Any, Any] = MappingProxyType({})
    metrics: Mapping[str, TensorVariable] = MappingProxyType({})


def masked_mean(rows: TensorVariable, mask: TensorVariable | None) -> TensorVariable:
    """Mean of flattened frames (B*T,) over those whose mask (T, B) is 1."""
    if mask is None:
        return rows.mean(acc_dtype=rows.dtype)
    weight = flatten(mask).astype(rows.dtype)
    total = pt.maximum(weight.sum(acc_dtype=rows.dtype), np.asarray(1.0, rows.dtype))
    # switch, not a product: a masked row may hold an infinity
    return pt.switch(pt.gt(weight, 0), rows, np.asarray(0.0, rows.dtype)).sum(acc_dtype=rows.dtype) / total


def dropout_mask(x: TensorVariable, rate: float, rng: Rng) -> tuple[TensorVariable, Rng]:
    """Return 0 with probability `rate` and 1 otherwise, in the shape of `x`."""
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"a dropout rate must be at least 0 and below 1, got {rate}")
    u, rng = rng.uniform(x)
    return pt.ge(u, np.float32(rate)).astype(x.dtype), rng
