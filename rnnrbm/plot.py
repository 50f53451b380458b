"""Plots of rolls, training and models.

Every function uses matplotlib's objects, never ``pyplot``: it needs no display, does not change the user's backend, and
figures are freed like any other object. Every function returns ``(fig, ax)``: the figure, and its axes or an array of
them. A function that draws one plot takes the ``ax`` to draw on; by default it makes a new figure. `save` writes a
figure to a file.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, MultipleLocator, PercentFormatter
from numpy.typing import ArrayLike

from rnnrbm.files import atomic
from rnnrbm.scoring.metrics import repeated_frame_rate

__all__ = ["column_statistics", "filters", "frames", "learning_curves", "piano_roll", "save", "statistics"]

INK, ACCENT, FAINT = "#1f4e79", "#d1495b", "#e4e7eb"  # distinguishable in grey and by the color-blind
# from transparent to ink, so that the grid and the black keys show where no note sounds
SHADE = LinearSegmentedColormap.from_list("shade", [(*(0.12, 0.31, 0.47), a) for a in (0.0, 1.0)])
#: columns by which the best epoch is chosen, the first that there is, and their names in words
_JUDGES = {
    "valid_ll": "validation log-likelihood",
    "valid_score": "validation score",
    "valid_loss": "validation loss",
    "pseudo_likelihood": "pseudo-likelihood",
}
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


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
    array = _matrix(roll, "roll", "(T, n)")
    figure, ax = _axes(ax, (12, 4))
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
    _note_axis(ax.yaxis, bottom, top)

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
        _mark_primed(ax, primed / (steps_per_beat or 1))
    _finish(ax, title)
    return figure, ax


def learning_curves(
    metrics: Mapping[str, Sequence[Any]], *, figsize: tuple[float, float] = (9, 7)
) -> tuple[Figure, np.ndarray]:
    """Draw the metrics of a run's metrics.csv.

    There is one panel for each of these that has numbers: the log-likelihoods (every column whose name ends in
    ``_ll``), the pseudo-likelihood, the validation score, the losses, and k. All panels mark the epoch of the best
    validation, or without a validation that of the best pseudo-likelihood.

    Parameters
    ----------
    metrics : mapping of str to sequence of float, all of one length
        The columns: ``epoch`` (by default 1, 2, ...), and any of ``valid_ll`` and other names in ``_ll`` (nats per
        frame), ``pseudo_likelihood`` (nats per frame), ``valid_score``, ``loss`` and ``valid_loss``, and ``k`` (Gibbs
        steps). NaN, None and the empty string mean that a row has no number. Other columns are ignored.
    figsize : tuple of float
        Width and height in inches.

    Returns
    -------
    matplotlib.figure.Figure, numpy.ndarray of matplotlib.axes.Axes
        The figure and its panels, from top to bottom.

    Raises
    ------
    ValueError
        If no column can be drawn or the columns differ in length.
    """
    columns = {name: _numbers(column) for name, column in metrics.items() if _drawn(name)}
    columns = {name: column for name, column in columns.items() if np.isfinite(column).any()}
    epoch = columns.pop("epoch", None)
    if not columns:
        raise ValueError(
            f"metrics has columns {list(metrics)}: expected numbers in 'pseudo_likelihood', "
            "'loss', 'k' or a column whose name ends in '_ll'"
        )
    if epoch is None:
        epoch = np.arange(1.0, 1 + len(next(iter(columns.values()))))
    lengths = {"epoch": len(epoch)} | {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different length: {lengths}; each row is an epoch")

    likelihoods = [name for name in columns if name.endswith("_ll")]
    panels = [
        (f"log-likelihood{' of valid' if likelihoods == ['valid_ll'] else ''}\n(nats per frame)", likelihoods),
        ("pseudo-likelihood\n(nats per frame)", ["pseudo_likelihood"]),
        ("validation score", ["valid_score"]),
        ("loss\n(nats per frame)" if likelihoods or "k" in columns else "loss", ["loss", "valid_loss"]),
        ("k\n(steps)", ["k"]),
    ]
    panels = [(label, [n for n in names if n in columns]) for label, names in panels]
    panels = [(label, names) for label, names in panels if names]
    figure = Figure(figsize=figsize, layout="constrained")
    heights = [1 if names == ["k"] else 3 if label.startswith("log") else 2 for label, names in panels]
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]

    judge = next((name for name in _JUDGES if name in columns), None)
    best = None if judge is None else int((np.nanargmin if judge == "valid_loss" else np.nanargmax)(columns[judge]))
    colors = [INK, ACCENT, "#5f9e6e", "#8c6bb1"]
    for ax, (label, names) in zip(axes, panels, strict=True):
        for name, color in zip(names, colors * len(names), strict=False):
            # expensive metrics are measured rarely: join the available values and mark each one
            known = np.isfinite(columns[name])
            style = "" if known.sum() > 60 else "o"
            ax.plot(
                epoch[known],
                columns[name][known],
                color=color,
                marker=style,
                markersize=3,
                linewidth=1.5,
                drawstyle="steps-post" if name == "k" else "default",
                label=name.removesuffix("_ll"),
            )
        if len(names) > 1:
            ax.legend(frameon=False, fontsize="small", loc="lower right")
        if best is not None:
            ax.axvline(epoch[best], color=ACCENT, linewidth=1, linestyle="--", zorder=0)
        if names == ["k"]:
            ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            ax.set_ylim(0, np.nanmax(columns["k"]) * 1.2)
        ax.set_ylabel(label)
        ax.grid(color=FAINT, linewidth=0.7)
        _finish(ax, None)
    axes[-1].set_xlabel("epoch")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    if best is not None:
        assert judge is not None
        unit = " nats per frame" if judge in ("valid_ll", "pseudo_likelihood") else ""
        axes[0].set_title(
            f"best {_JUDGES[judge]}: {columns[judge][best]:.3f}{unit}, epoch {epoch[best]:g}",
            loc="left",
            fontsize="medium",
        )
    figure.align_ylabels()
    return figure, axes


def filters(
    W: ArrayLike,
    *,
    low: int | None = 21,
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
    weights = _matrix(W, "W", "(n_visible, n_hidden)")
    if count < 1:
        raise ValueError(f"count={count}: expected a number of hidden units, at least 1")
    figure, ax = _axes(ax, (10, 6))
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
    if low is None:
        ax.set_ylabel("column")
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        _note_axis(ax.yaxis, first, last)
        ax.grid(axis="y", color="#9aa3ad", linewidth=0.4)
    ax.set_xlabel("hidden units, by the pitch of the greatest weight" if low is not None else "hidden units")
    ax.set_xticks([])
    _finish(ax, f"{shown.shape[1]} strongest of {n_hidden} hidden units" if title is None else title)
    return figure, ax


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
    sets = _sets(samples, data)
    figure = Figure(figsize=figsize, layout="constrained")
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
    _note_axis(axes[0, 1].xaxis, low + bottom, low + top)
    axes[0, 1].set_xlabel("MIDI note")
    longest = max(0.05, *(np.nan_to_num(repeated_frame_rate(arrays)) for _, arrays in sets))
    axes[1, 0].set(xlabel="frames equal to the one before (share)", xlim=(0, 1.15 * longest), ylim=(1.6, -0.6))
    axes[1, 0].set_yticks([0, 1], ["data", "samples"])
    axes[1, 0].xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[1, 1].set(xlabel="pitch class", ylabel="share of notes")
    axes[1, 1].set_xticks(range(12), PITCH_CLASSES)
    for ax in axes.flat:
        ax.grid(axis="x" if ax is axes[1, 0] else "y", color=FAINT, linewidth=0.7)
        ax.set_axisbelow(True)
        _finish(ax, None)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure, axes


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
    array = _matrix(values, "values", "(T, n)")
    figure, ax = _axes(ax, (12, 4))
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
        _mark_primed(ax, primed * unit)
    ax.set(xlabel="time (frames)" if seconds_per_frame is None else "time (seconds)", ylabel="column")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(ax, title)
    return figure, ax


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
    sets = _sets(samples, data)
    figure = Figure(figsize=figsize, layout="constrained")
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
        _finish(ax, None)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure, axes


def save(figure: Figure | tuple[Figure, Any], path: str | os.PathLike[str], *, dpi: float = 120) -> None:
    """Write a figure as a PNG, PDF or SVG file, in one step.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or tuple
        Figure to write, or what one of these functions returned.
    path : path-like
        The file, whose suffix chooses the format; its folder must exist. An earlier file is replaced, or stays if
        writing fails.
    dpi : float
        Dots per inch of a PNG.

    Raises
    ------
    OSError
        If the folder does not exist or the file cannot be written.
    ValueError
        If the suffix is none of .png, .pdf and .svg.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"{path}: expected a file name ending in .png, .pdf or .svg")
    with atomic(path) as temporary:
        (figure[0] if isinstance(figure, tuple) else figure).savefig(temporary, dpi=dpi, format=suffix[1:])


def _axes(ax: Axes | None, figsize: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return the axes to draw on, those of a new figure by default, and their figure."""
    if ax is None:
        ax = Figure(figsize=figsize, layout="constrained").subplots()
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure, ax


def _matrix(values: ArrayLike, name: str, shape: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}: expected {shape}, neither of them 0")
    return array


def _sets(samples: Sequence[ArrayLike], data: Sequence[ArrayLike]) -> list[tuple[str, list[np.ndarray]]]:
    """Check data and samples to compare, and return both with their names."""
    sets = []
    for name, pieces in (("data", data), ("samples", samples)):
        if not len(pieces):
            raise ValueError(f"{name} is empty: expected at least one array of shape (T, n)")
        sets.append((name, [_matrix(piece, name, "(T, n)") for piece in pieces]))
    widths = {array.shape[1] for _, arrays in sets for array in arrays}
    if len(widths) > 1:
        raise ValueError(f"pieces of {sorted(widths)} columns: expected one width for all")
    return sets


def _mark_primed(ax: Axes, end: float) -> None:
    """Mark the end of the given frames."""
    ax.axvline(end, color=ACCENT, linewidth=1.5, zorder=3)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 2.0}  # readable over notes
    across, place = (end, 0.98), ("data", "axes fraction")
    ax.annotate("given | sampled", across, xycoords=place, ha="center", va="top", color=ACCENT, bbox=box, zorder=4)


def _numbers(column: Sequence[Any]) -> np.ndarray:
    """Return a column as float64, NaN where a row has no number."""
    return np.array([np.nan if x is None or x == "" else float(x) for x in column], float)


def _drawn(name: str) -> bool:
    return name in ("epoch", "loss", "k", *_JUDGES) or name.endswith("_ll")


def _note_axis(axis: Any, bottom: int, top: int) -> None:
    """Label each C on an axis of MIDI note numbers, or every third note if there is only one C."""
    notes = [note for note in range(bottom, top + 1) if note % 12 == 0]
    if len(notes) < 2:
        notes = [note for note in range(bottom, top + 1) if note % 3 == 0]
    axis.set_major_locator(FixedLocator(notes))
    axis.set_major_formatter(FuncFormatter(lambda note, _: f"{PITCH_CLASSES[round(note) % 12]}{round(note) // 12 - 1}"))
    axis.set_label_text("MIDI note")


def _finish(ax: Axes, title: str | None) -> None:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color("#9aa3ad")
    ax.tick_params(which="both", color="#9aa3ad", labelsize="small")
    ax.tick_params(which="minor", length=0)
    if title is not None:
        ax.set_title(title, loc="left", fontsize="medium")
