"""Warnings about data that a model can be trained on, but hardly well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnrbm.joint_units import Joint
from rnnrbm.pieces import chunks, column_moments
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import Gaussian, LearnedGaussian
from rnnrbm.warn import warn

__all__ = ["check_data"]

#: Means and standard deviations of columns between 1 over this and this are near enough to those of standardised ones.
_FAR = 10.0


def check_data(model: Any, pieces: Sequence[np.ndarray]) -> None:
    """Warn of training data that a model is not made for.

    Gaussian units of a standard deviation of 1, or a learned one, expect standardised columns; a learned standard
    deviation of a column without variance shrinks without end. A model may have a method ``check_data(pieces)`` for
    warnings of its own.

    Parameters
    ----------
    model
        The result of :func:`rnnrbm.training.trainable.as_trainable`.
    pieces : sequence of arrays (T, n_visible)
        The training set.
    """
    if hasattr(model, "check_data"):
        model.check_data(pieces)
    visible = model.density.visible if isinstance(model, SequenceModel) else getattr(model, "visible", None)
    learned = isinstance(visible, LearnedGaussian)
    own: slice | list[int] = slice(None)
    if isinstance(visible, Joint):
        parts = zip(visible.slices(), visible.parts, strict=True)
        own = [i for part, (_, unit) in parts if unit == Gaussian() for i in range(part.start, part.stop)]
        if not own:
            return
    elif not learned and visible != Gaussian():
        return
    mean, variance = (moment[own] for moment in column_moments(chunks(pieces))[-2:])
    deviation = np.sqrt(variance)
    still = np.flatnonzero(deviation <= 1e-7 * np.maximum(np.abs(mean), 1.0))
    if len(still) and learned:
        named = ", ".join(map(str, still[:5])) + (" ..." if len(still) > 5 else "")
        warn(
            f"columns {named} ({len(still)} of {len(mean)}) have no variance, so their learned standard deviations "
            "shrink without end; leave these columns out, or choose a fixed one, such as visible='gaussian:0.5'"
        )
    moving = np.delete(deviation, still)
    if not len(moving):
        return
    farthest, typical = float(np.abs(mean).max()), float(np.median(moving))
    if farthest > _FAR or not 1 / _FAR < typical < _FAR:
        warn(
            f"columns have means of up to {farthest:.3g} in size and standard deviations of {moving.min():.3g} to "
            f"{moving.max():.3g}; Gaussian units learn well from standardised columns: subtract the mean of each "
            "column of the training set, and divide by its standard deviation"
        )
