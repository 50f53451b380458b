"""Forecasts as fans: bands of quantiles that widen with time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_array
from rnnrbm.plot.canvas import ACCENT, FAINT, INK, finish, new_figure

__all__ = ["fan"]

#: Probabilities of the bands, the widest first.
BANDS = (0.9, 0.5)
_MOST = 9  # panels


def fan(
    history: ArrayLike,
    samples: ArrayLike,
    *,
    true: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    seconds_per_frame: float | None = None,
    title: str | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw a forecast of real numbers: the end of the history, the median, and bands of half and nine tenths.

    There is a panel for each column, or for the nine whose forecasts move most.

    Parameters
    ----------
    history : array-like, shape (T, n)
    samples : array-like, shape (n_samples, steps, n)
    true : array-like or None, shape (steps, n)
        What came, if it is known.
    names : sequence of str or None
        Of the columns; None: their numbers.
    seconds_per_frame : float or None
        None: time is counted in frames.
    title : str or None

    Returns
    -------
    matplotlib.figure.Figure, numpy.ndarray of matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    past, drawn = as_array(history, "history").astype(float), as_array(samples, "samples").astype(float)
    if past.ndim != 2 or drawn.ndim != 3 or past.shape[1] != drawn.shape[2] or 0 in (*past.shape, *drawn.shape):
        raise ValueError(
            f"history has shape {past.shape}, samples {drawn.shape}; expected (T, n) and (n_samples, S, n)"
        )
    n, steps = past.shape[1], drawn.shape[1]
    came = None if true is None else as_array(true, "true").astype(float)
    if came is not None and came.shape != (steps, n):
        raise ValueError(f"true has shape {came.shape}, expected {(steps, n)}")
    labels = [f"column {i}" for i in range(n)] if names is None else list(names)
    if len(labels) != n:
        raise ValueError(f"names has {len(labels)} names for {n} columns")
    past = past[-4 * max(steps, 5) :]
    spread = np.concatenate([past, np.median(drawn, axis=0)]).std(axis=0)
    chosen = np.sort(np.argsort(-spread, kind="stable")[:_MOST])
    n_columns = min(3, len(chosen))
    n_rows = -(-len(chosen) // n_columns)
    figure = new_figure((3.6 * n_columns + 0.6, 2.1 * n_rows + 0.5))
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True)
    scale = 1.0 if seconds_per_frame is None else seconds_per_frame
    before, after = np.arange(1 - len(past), 1) * scale, np.arange(steps + 1) * scale
    for ax, i in zip(panels.ravel(), chosen, strict=False):
        ax.plot(before, past[:, i], color=INK, linewidth=1)
        begin = np.full((len(drawn), 1), past[-1, i])
        values = np.concatenate([begin, drawn[:, :, i]], axis=1)
        for band in BANDS:
            low, high = np.quantile(values, [0.5 - band / 2, 0.5 + band / 2], axis=0)
            ax.fill_between(after, low, high, color=ACCENT, alpha=0.25, linewidth=0, label=f"{round(100 * band)} %")
        ax.plot(after, np.median(values, axis=0), color=ACCENT, linewidth=1.2, label="median")
        if came is not None:
            ax.plot(after[1:], came[:, i], color=INK, linewidth=1, linestyle=":", label="what came")
        ax.axvline(0.0, color=FAINT, linewidth=0.8)
        finish(ax, labels[i])
    for ax in panels.ravel()[len(chosen) :]:
        ax.set_axis_off()
    for ax in panels[-1, : len(chosen) - (n_rows - 1) * n_columns]:
        ax.set_xlabel("frames from now" if seconds_per_frame is None else "seconds from now")
    panels[0, 0].legend(fontsize="x-small", frameon=False, loc="upper left")
    if title:
        figure.suptitle(title)
    return figure, panels
