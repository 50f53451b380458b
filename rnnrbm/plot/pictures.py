"""Pictures of arrays: a piano-roll, frames of real numbers, the filters of an RBM."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator
from numpy.typing import ArrayLike

from rnnrbm.arguments import whole_number
from rnnrbm.plot.canvas import FAINT, PITCH_CLASSES, axes_of, finish, hertz_axis, mark_primed, matrix, note_axis

__all__ = ["filters", "frames", "piano_roll"]

# from transparent to ink, so that the grid and the black keys show where no note sounds
SHADE = LinearSegmentedColormap.from_list("shade", [(*(0.12, 0.31, 0.47), a) for a in (0.0, 1.0)])


def piano_roll(
    roll: ArrayLike,
    *,
    low: int = 21,
    steps_per_beat: int | None = None,
    beats_per_bar: int = 4,
    ax: Axes | None = None,
    title: str | None = None,
    primed: int = 0,
) -> tuple[Figure, Axes]:
    """Draw a piano-roll, cropped to the notes in use.

    Parameters
    ----------
    roll : array_like, shape (T, n)
        0 or 1, or probabilities between; NaN is left blank. Column j is MIDI note number ``low + j``.
    low : int
        MIDI note number of the first column.
    steps_per_beat : int, optional
        Frames in a beat; the time axis is then in beats, otherwise in frames.
    beats_per_bar : int
        Beats (without `steps_per_beat`, frames) between stronger grid lines.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. The default is a new figure of 12 by 4 inches.
    title : str, optional
        Title above the plot.
    primed : int
        Number of given (not sampled) frames at the beginning; a line marks their end.

    Returns
    -------
    matplotlib.figure.Figure, matplotlib.axes.Axes
        The figure and the axes drawn on.

    Raises
    ------
    ValueError
        If the roll is not a matrix with at least one frame and one column.
    """
    array = matrix(roll, "roll", "(T, n)")
    low, beats_per_bar = whole_number("low", low, 0, 127), whole_number("beats_per_bar", beats_per_bar, 1, 10**6)
    primed = whole_number("primed", primed, 0, len(array))
    if steps_per_beat is not None:
        steps_per_beat = whole_number("steps_per_beat", steps_per_beat, 1, 32767)
    figure, ax = axes_of(ax, (12, 4))
    used = np.flatnonzero(np.nan_to_num(array).any(axis=0))
    bottom, top = (used[0], used[-1]) if len(used) else (0, array.shape[1] - 1)
    bottom, top = low + max(0, bottom - 2), low + min(array.shape[1] - 1, top + 2)
    beats = len(array) / (steps_per_beat or 1)

    for note in range(bottom, top + 1):
        if "#" in PITCH_CLASSES[note % 12]:
            ax.axhspan(note - 0.5, note + 0.5, color="#f4f6f8", linewidth=0, zorder=0)
    ax.imshow(
        array.T,
        origin="lower",
        aspect="auto",
        extent=(0, beats, low - 0.5, low + array.shape[1] - 0.5),
        cmap=SHADE,
        vmin=0,
        vmax=1,
        interpolation="auto",
        zorder=2,
    )
    ax.set(xlim=(0, beats), ylim=(bottom - 0.5, top + 0.5))
    note_axis(ax.yaxis, bottom, top)

    # whole bars, doubled until the labels have room
    step = beats_per_bar
    while beats / step > 24:
        step *= 2
    ax.xaxis.set_major_locator(MultipleLocator(step))
    ax.grid(which="major", axis="both", color="#c3c9d1", linewidth=0.8, zorder=1)
    if beats <= 150:
        ax.xaxis.set_minor_locator(MultipleLocator(1))
        ax.grid(which="minor", axis="x", color=FAINT, linewidth=0.5, zorder=1)
    ax.set_xlabel("time (frames)" if steps_per_beat is None else "time (beats)")
    if primed:
        mark_primed(ax, primed / (steps_per_beat or 1))
    finish(ax, title)
    return figure, ax


def frames(
    values: ArrayLike,
    *,
    seconds_per_frame: float | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    primed: int = 0,
) -> tuple[Figure, Axes]:
    """Draw frames of real numbers as an image, a row for each column.

    Parameters
    ----------
    values : array_like, shape (T, n)
    seconds_per_frame : float, optional
        Duration of a frame; the time axis is then in seconds, otherwise in frames.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. The default is a new figure of 12 by 4 inches.
    title : str, optional
        Title above the plot.
    primed : int
        Number of given (not sampled) frames at the beginning; a line marks their end.

    Returns
    -------
    matplotlib.figure.Figure, matplotlib.axes.Axes
        The figure and the axes drawn on, with a color bar next to them.

    Raises
    ------
    ValueError
        If `values` is not a matrix with at least one frame and one column.
    """
    array = matrix(values, "values", "(T, n)")
    figure, ax = axes_of(ax, (12, 4))
    unit = 1.0 if seconds_per_frame is None else seconds_per_frame
    # let the few greatest values saturate, so that the others are visible
    low, high = np.nanquantile(array, (0.005, 0.995))
    image = ax.imshow(
        array.T,
        origin="lower",
        aspect="auto",
        extent=(0, len(array) * unit, -0.5, array.shape[1] - 0.5),
        cmap="viridis",
        vmin=low,
        vmax=high if high > low else low + 1.0,
        interpolation="auto",
    )
    bar = figure.colorbar(image, ax=ax, extend="both", pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    if primed:
        mark_primed(ax, primed * unit)
    ax.set(xlabel="time (frames)" if seconds_per_frame is None else "time (seconds)", ylabel="column")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    finish(ax, title)
    return figure, ax


def filters(
    W: ArrayLike,
    *,
    low: int | None = 21,
    frequencies: ArrayLike | None = None,
    count: int = 60,
    ax: Axes | None = None,
    title: str | None = None,
) -> tuple[Figure, Axes]:
    """Draw the weights of the strongest hidden units of an RBM, in order of pitch.

    The columns of `W` with the greatest Euclidean norm are drawn side by side, ordered by the visible unit of their
    greatest weight (by magnitude), lowest first. The visible units at both ends with only tiny weights are left out.

    Parameters
    ----------
    W : array_like, shape (n_visible, n_hidden)
        The weights.
    low : int, optional
        MIDI note number of the first visible unit. None: the visible units are the columns of the data, from 0.
    frequencies : array_like, shape (n_visible,), optional
        With ``low=None``: the centres of the bands that the visible units are, hertz.
    count : int
        Greatest number of hidden units.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. The default is a new figure of 10 by 6 inches.
    title : str, optional
        Title above the plot.

    Returns
    -------
    matplotlib.figure.Figure, matplotlib.axes.Axes
        The figure and the axes drawn on, with a color bar next to them, symmetric about 0.

    Raises
    ------
    ValueError
        If `W` is not a matrix or `count` is below 1.
    """
    weights = matrix(W, "W", "(n_visible, n_hidden)")
    if count < 1:
        raise ValueError(f"count={count}: expected a number of hidden units, at least 1")
    figure, ax = axes_of(ax, (10, 6))
    n_visible, n_hidden = weights.shape
    strongest = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")[:count]
    peak = np.abs(weights[:, strongest]).argmax(axis=0)
    shown = weights[:, strongest[np.argsort(peak, kind="stable")]]
    bottom = 0 if low is None else low
    # let the few greatest weights saturate, so that the others are visible
    limit = float(np.quantile(np.abs(shown), 0.995)) or 1.0
    image = ax.imshow(
        shown,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0, shown.shape[1], bottom - 0.5, bottom + n_visible - 0.5),
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
    )
    # keys that no piece uses have only initial weights: crop them
    used = np.flatnonzero(np.abs(shown).max(axis=1) >= 0.1 * limit)
    first, last = (int(used[0]), int(used[-1])) if len(used) else (0, n_visible - 1)
    first, last = bottom + max(0, first - 1), bottom + min(n_visible - 1, last + 1)
    ax.set_ylim(first - 0.5, last + 0.5)
    bar = ax.figure.colorbar(image, ax=ax, extend="both", pad=0.02, aspect=30)
    bar.set_label("weight")
    bar.outline.set_visible(False)
    if frequencies is not None:
        hertz_axis(ax.yaxis, np.asarray(frequencies, float))
    elif low is None:
        ax.set_ylabel("column")
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        note_axis(ax.yaxis, first, last)
        ax.grid(axis="y", color="#9aa3ad", linewidth=0.4)
    by = "pitch" if low is not None else "frequency" if frequencies is not None else ""
    ax.set_xlabel(f"hidden units, by the {by} of the greatest weight" if by else "hidden units")
    ax.set_xticks([])
    finish(ax, f"{shown.shape[1]} strongest of {n_hidden} hidden units" if title is None else title)
    return figure, ax
