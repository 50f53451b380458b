"""The table of baselines of real numbers: independent columns, and linear models of a frame given those before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from rnnrbm.scoring.autoregression import ColumnGaussian, VectorAutoregression
from rnnrbm.scoring.heavy_tails import DEGREES, RobustAutoregression

__all__ = ["ORDERS", "table"]

#: Orders of the autoregressions.
ORDERS = (1, 2, 3)
_MOST = 4096  # inputs of an autoregression; the time grows with their third power

Pieces = Sequence[np.ndarray]


def table(
    train: Pieces,
    valid: Pieces,
    test: Pieces,
    scores: Callable[[Iterable[np.ndarray], Iterable[np.ndarray]], dict[str, float]],
) -> list[dict[str, Any]]:
    """Fit every baseline of real numbers and score `test`; prediction scores are those of the expected frames.

    Parameters
    ----------
    train, valid, test : sequence of numpy.ndarray, each of shape (T, n_visible)
    scores : callable
        Compares predicted frames, an iterator of pieces, with true ones:
        :meth:`rnnrbm.frames.FrameKind.prediction_scores`.

    Returns
    -------
    list of dict
        As :meth:`rnnrbm.frames.FrameKind.baseline_table`. Autoregressions with more than 4 096 inputs are left out.
    """
    models: dict[str, tuple[Any, dict[str, float]]] = {
        "column Gaussian": (ColumnGaussian.fit(train), {}),
        "previous + Gaussian": (ColumnGaussian.fit(train, True), {}),
    }
    for order in ORDERS:
        if order * np.shape(train[0])[1] <= _MOST:
            model = VectorAutoregression.fit(train, valid, order)
            models[f"VAR({order})"] = (model, {"ridge": model.ridge, "shrinkage": model.shrinkage})
    if (order := max(ORDERS)) * np.shape(train[0])[1] <= _MOST:
        models[f"VAR({order}), heavy tails"] = (RobustAutoregression.fit(train, order), {"degrees": DEGREES})
    rows = []
    for name, (model, settings) in models.items():
        each = [model.frame_log_likelihoods(piece) for piece in test]
        lls = {"ll": float(np.concatenate(each).mean()), "ll_pieces": float(np.mean([x.mean() for x in each]))}
        predicted = map(model.mean_of, test)  # one at a time
        rows.append({"model": name, "settings": settings, **lls, **scores(predicted, test)})
    return rows
