"""Statistics of samples beside those of the data."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from rnnrbm.plot.canvas import ACCENT, FAINT, INK, PITCH_CLASSES, finish, named_sets, new_figure, note_axis
from rnnrbm.scoring.metrics import repeated_frame_rate

__all__ = ["column_statistics", "statistics"]


def statistics(
    samples: Sequence[ArrayLike],
    data: Sequence[ArrayLike],
    *,
    low: int = 21,
    data_name: str = "data",
    figsize: tuple[float, float] = (11, 6.5),
) -> tuple[Figure, np.ndarray]:
    """Draw statistics of sampled rolls next to those of real rolls.

    Four panels: notes per frame (fraction of frames), MIDI notes and pitch classes (fraction of sounding cells), and
    non-silent frames that repeat the previous frame (fraction of non-silent frames; a model stuck on one chord stands
    out).

    Parameters
    ----------
    samples, data : sequence of array_like, each of shape (T, n)
        Rolls of 0 and 1; lengths may differ, n may not.
    low : int
        MIDI note number of the first column.
    data_name : str
        Legend label of the real rolls.
    figsize : tuple of float
        Width and height in inches.

    Returns
    -------
    matplotlib.figure.Figure, numpy.ndarray of matplotlib.axes.Axes
        The figure and its panels, shape (2, 2).

    Raises
    ------
    ValueError
        If either sequence is empty, a roll is not a matrix, or their widths differ.
    """
    sets = named_sets(samples, data)
    figure = new_figure(figsize)
    axes = figure.subplots(2, 2, width_ratios=[2, 3])
    counts = [np.concatenate([a.sum(axis=1) for a in arrays]).astype(int) for _, arrays in sets]
    most = max(int(c.max()) for c in counts)
    totals = [sum(a.sum(axis=0) for a in arrays) for _, arrays in sets]
    # rare notes with invisible bars must not stretch the axis over the whole keyboard
    used = np.flatnonzero(sum(total / max(1, total.sum()) for total in totals) > 1e-3)
    bottom, top = (int(used[0]), int(used[-1])) if len(used) else (0, len(totals[0]) - 1)
    for i, (name, arrays) in enumerate(sets):
        color = (INK, ACCENT)[i]
        pitches = totals[i] / max(1, totals[i].sum())
        classes = np.bincount((low + np.arange(len(pitches))) % 12, pitches, minlength=12)
        notes = np.bincount(counts[i], minlength=most + 1) / len(counts[i])
        panels = [
            (axes[0, 0], np.arange(most + 1), notes),
            (axes[1, 0], np.array([0]), np.array([repeated_frame_rate(arrays)])),
            (axes[0, 1], low + np.arange(bottom, top + 1), pitches[bottom : top + 1]),
            (axes[1, 1], np.arange(12), classes),
        ]
        label = f"{data_name if name == 'data' else name}: {len(arrays)} pieces, {len(counts[i])} frames"
        for ax, x, share in panels:
            if ax is axes[1, 0]:
                ax.barh([i], share, height=0.6, color=color)
                ax.annotate(
                    f"{share[0]:.1%}", (share[0], i), (4, 0), textcoords="offset points", va="center", color=color
                )
            else:
                ax.bar(x + 0.42 * i - 0.21, share, width=0.42, color=color, label=label)
    axes[0, 0].set(xlabel="notes per frame", ylabel="share of frames")
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0, 1].set(ylabel="share of notes", xlim=(low + bottom - 1, low + top + 1))
    note_axis(axes[0, 1].xaxis, low + bottom, low + top)
    axes[0, 1].set_xlabel("MIDI note")
    longest = max(0.05, *(np.nan_to_num(repeated_frame_rate(arrays)) for _, arrays in sets))
    axes[1, 0].set(xlabel="frames equal to the one before (share)", xlim=(0, 1.15 * longest), ylim=(1.6, -0.6))
    axes[1, 0].set_yticks([0, 1], ["data", "samples"])
    axes[1, 0].xaxis.set_major_formatter(PercentFormatter(1.0))
    axes[1, 1].set(xlabel="pitch class", ylabel="share of notes")
    axes[1, 1].set_xticks(range(12), PITCH_CLASSES)
    for ax in axes.flat:
        ax.grid(axis="x" if ax is axes[1, 0] else "y", color=FAINT, linewidth=0.7)
        ax.set_axisbelow(True)
        finish(ax, None)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure, axes


def column_statistics(
    samples: Sequence[ArrayLike],
    data: Sequence[ArrayLike],
    *,
    data_name: str = "data",
    figsize: tuple[float, float] = (11, 6.5),
) -> tuple[Figure, np.ndarray]:
    """Draw statistics of sampled frames of real numbers next to those of data.

    Four panels: the mean and the standard deviation of each column, the correlation of each column with its value one
    frame earlier (a sample that jumps or stands still stands out), and the distribution of all values.

    Parameters
    ----------
    samples, data : sequence of array_like, each of shape (T, n)
        Lengths may differ, n may not.
    data_name : str
        Legend label of the data.
    figsize : tuple of float
        Width and height in inches.

    Returns
    -------
    matplotlib.figure.Figure, numpy.ndarray of matplotlib.axes.Axes
        The figure and its panels, shape (2, 2).

    Raises
    ------
    ValueError
        If either sequence is empty, a piece is not a matrix, or their widths differ.
    """
    sets = named_sets(samples, data)
    figure = new_figure(figsize)
    axes = figure.subplots(2, 2)
    pooled = [np.concatenate(arrays) for _, arrays in sets]
    bins = np.histogram_bin_edges(np.concatenate([x.ravel() for x in pooled]), 60)
    for i, (name, arrays) in enumerate(sets):
        values, color = pooled[i], (INK, ACCENT)[i]
        label = f"{data_name if name == 'data' else name}: {len(arrays)} pieces, {len(values)} frames"
        centred = [a - values.mean(axis=0) for a in arrays]
        product = np.sum([(a[:-1] * a[1:]).sum(axis=0) for a in centred], axis=0)
        squares = np.sum([(a**2).sum(axis=0) for a in centred], axis=0)
        column = np.arange(values.shape[1])
        axes[0, 0].plot(column, values.mean(axis=0), color=color, marker=".", label=label)
        axes[0, 1].plot(column, values.std(axis=0), color=color, marker=".")
        axes[1, 0].plot(column, product / np.where(squares > 0, squares, np.nan), color=color, marker=".")
        axes[1, 1].hist(values.ravel(), bins=list(bins), density=True, histtype="step", color=color, linewidth=1.5)
    for ax, quantity in ((axes[0, 0], "mean"), (axes[0, 1], "standard deviation"), (axes[1, 0], "autocorrelation")):
        ax.set(xlabel="column", ylabel=quantity)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[1, 1].set(xlabel="value", ylabel="density")
    for ax in axes.flat:
        ax.grid(color=FAINT, linewidth=0.7)
        ax.set_axisbelow(True)
        finish(ax, None)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure, axes
