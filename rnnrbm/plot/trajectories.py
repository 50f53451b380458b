"""Trajectories: how the columns of a piece of real numbers change, each in a panel of its own."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from rnnrbm.arguments import whole_number
from rnnrbm.plot.canvas import INK, finish, mark_primed, matrix, new_figure

__all__ = ["trajectories"]

_LONGEST = 30  # characters of a name beside a panel


def trajectories(
    values: ArrayLike,
    names: Sequence[str] | None = None,
    *,
    scale: ArrayLike | None = None,
    seconds_per_frame: float | None = None,
    most: int = 12,
    title: str | None = None,
    primed: int = 0,
) -> tuple[Figure, np.ndarray]:
    """Draw the columns that vary most as lines, one below the other, in the order that they have.

    Parameters
    ----------
    values : array_like, shape (T, n)
        In any units.
    names : sequence of str, optional
        Names of the columns; by default ``"column 0"`` and so on.
    scale : array_like, shape (n,), optional
        Usual deviation of each column: those vary most whose standard deviation in this piece is greatest relative to
        it. The default compares the standard deviations themselves.
    seconds_per_frame : float, optional
        Duration of a frame; the time axis is then in seconds, otherwise in frames.
    most : int
        Greatest number of columns that are drawn.
    title : str, optional
        Title above the panels.
    primed : int
        Number of given (not sampled) frames at the beginning; a line marks their end.

    Returns
    -------
    matplotlib.figure.Figure, numpy.ndarray of matplotlib.axes.Axes
        The figure and its panels, from above.

    Raises
    ------
    ValueError
        If `values` is not a matrix with at least one frame and one column, or there is not one name, or not one
        positive scale, for each column.
    """
    array = matrix(values, "values", "(T, n)")
    n = array.shape[1]
    most, primed = whole_number("most", most, 1), whole_number("primed", primed, 0, len(array))
    names = [f"column {i}" for i in range(n)] if names is None else list(names)
    if len(names) != n:
        raise ValueError(f"names: {len(names)} for {n} columns; expected one for each")
    usual = np.ones(n) if scale is None else np.asarray(scale, float)
    if usual.shape != (n,) or not (usual > 0).all():
        raise ValueError(f"scale has shape {usual.shape}; expected {n} positive numbers, one for each column")
    variation = array.std(axis=0) / usual
    shown = np.sort(np.argsort(-variation, kind="stable")[:most])
    figure = new_figure((10, 0.8 + 0.75 * len(shown)))
    axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    unit = 1.0 if seconds_per_frame is None else seconds_per_frame
    times = np.arange(len(array)) * unit
    for ax, column in zip(axes, shown, strict=True):
        ax.plot(times, array[:, column], color=INK, linewidth=1.0, marker="." if len(array) == 1 else "")
        label = names[column] if len(names[column]) <= _LONGEST else f"{names[column][: _LONGEST - 3]}..."
        # names are the user's: a dollar sign is no beginning of mathematics
        ax.set_ylabel(label.replace("$", r"\$"), rotation=0, ha="right", va="center", fontsize="small")
        ax.locator_params(axis="y", nbins=3)
        finish(ax, None)
        if primed:
            _mark(ax, primed * unit, first=ax is axes[0])
    axes[-1].set_xlabel("time (frames)" if seconds_per_frame is None else "time (seconds)")
    left_out = f"the {len(shown)} of {n} columns that vary most" if len(shown) < n else ""
    if heading := ", ".join(filter(None, (title, left_out))):
        figure.suptitle(heading, x=0.01, ha="left", fontsize="medium")
    return figure, axes


def _mark(ax: Axes, end: float, *, first: bool) -> None:
    """Mark the end of the given frames; the words stand above the first panel alone."""
    mark_primed(ax, end)
    if not first:
        ax.texts[-1].remove()
