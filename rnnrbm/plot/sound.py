"""Pictures of sound: spectrograms, segments of recordings, and statistics of samples beside those of data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike

from rnnrbm.plot.canvas import ACCENT, FAINT, INK, axes_of, finish, hertz_axis, mark_primed, matrix, new_figure
from rnnrbm.scoring.calls import Calls
from rnnrbm.scoring.spectra import SpectralMeasures

__all__ = ["sound_statistics", "spectrogram"]

Span = tuple[float, float, str]
Measures = tuple[SpectralMeasures, Calls]


def spectrogram(
    decibels: ArrayLike,
    frequencies: ArrayLike,
    *,
    seconds_per_frame: float,
    ax: Axes | None = None,
    title: str | None = None,
    primed: int = 0,
    segments: Sequence[Span] = (),
    begin: float = 0.0,
    limits: tuple[float, float] | None = None,
) -> tuple[Figure, Axes]:
    """Draw a spectrogram: seconds to the right, frequency up, and a colour for each level.

    Parameters
    ----------
    decibels : array_like, shape (T, n_bands)
    frequencies : array_like, shape (n_bands,)
        Centres of the bands, hertz, rising. Bands are drawn equally high, whatever their spacing is.
    seconds_per_frame : float
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. The default is a new figure of 12 by 4 inches.
    title : str, optional
        Title above the plot.
    primed : int
        Number of given (not sampled) frames at the beginning; a line marks their end.
    segments : sequence of (onset, offset, label)
        Parts to mark above the spectrogram, in seconds.
    begin : float
        Time of the beginning, in seconds.
    limits : (float, float), optional
        Decibels of the darkest and the brightest colour; by default those that half a percent of the values are below
        and above.

    Returns
    -------
    matplotlib.figure.Figure, matplotlib.axes.Axes
        The figure and the axes drawn on, with a color bar in decibels next to them.

    Raises
    ------
    ValueError
        If `decibels` is not a matrix with a column for each frequency.
    """
    array = matrix(decibels, "decibels", "(T, n_bands)")
    centres = np.asarray(frequencies, float)
    if centres.shape != (array.shape[1],):
        raise ValueError(f"decibels has {array.shape[1]} bands, frequencies {centres.shape}; expected one for each")
    figure, ax = axes_of(ax, (12, 4))
    low, high = np.nanquantile(array, (0.005, 0.995)) if limits is None else limits
    n = array.shape[1]
    image = ax.imshow(
        array.T,
        origin="lower",
        aspect="auto",
        extent=(begin, begin + len(array) * seconds_per_frame, -0.5, n - 0.5),
        cmap="magma",
        vmin=low,
        vmax=high if high > low else low + 1.0,
        interpolation="auto",
    )
    bar = figure.colorbar(image, ax=ax, extend="both", pad=0.02, aspect=30)
    bar.set_label("level (dB)")
    bar.outline.set_visible(False)
    for onset, offset, label in segments:
        style: dict[str, Any] = {"linewidth": 3, "solid_capstyle": "butt", "clip_on": False}
        ax.plot([onset, offset], [1.02, 1.02], color=ACCENT, transform=ax.get_xaxis_transform(), **style)
        for edge in (onset, offset):
            ax.axvline(edge, color="white", linewidth=0.5, alpha=0.6)
        if label:
            middle = (onset + offset) / 2
            ax.annotate(label, (middle, 1.04), xycoords=ax.get_xaxis_transform(), ha="center", fontsize="x-small")
    if primed:
        mark_primed(ax, begin + primed * seconds_per_frame)
    ax.set_xlabel("time (seconds)")
    hertz_axis(ax.yaxis, centres)
    finish(ax, None)
    if title is not None:
        ax.set_title(title, loc="left", fontsize="medium", pad=18 if segments else 6)
    return figure, ax


def sound_statistics(
    samples: Measures,
    data: Measures,
    frequencies: ArrayLike,
    *,
    halves: Sequence[Measures] = (),
    data_name: str = "data",
    figsize: tuple[float, float] = (12, 9.5),
) -> tuple[Figure, np.ndarray]:
    """Draw measures of sampled spectrograms next to those of data.

    Nine panels. Frames: the distributions of level, and of peak frequency and bandwidth where it is not silent. Calls:
    the distribution functions of their durations, of the silences between them, and of their levels. Bands: the mean,
    the standard deviation, and the correlation with the frame before.

    Parameters
    ----------
    samples, data : tuple of SpectralMeasures and Calls
        What :func:`rnnrbm.scoring.spectra.measure` and :func:`rnnrbm.scoring.calls.find_calls` return.
    frequencies : array_like, shape (n_bands,)
        Centres of the bands, hertz.
    halves : sequence of tuples of SpectralMeasures and Calls
        Of parts of the data, drawn as faint lines, which show how far real sounds are from each other.
    data_name : str
        Legend label of the data.
    figsize : tuple of float
        Width and height in inches.

    Returns
    -------
    matplotlib.figure.Figure, numpy.ndarray of matplotlib.axes.Axes
        The figure and its panels, shape (3, 3).
    """
    centres = np.asarray(frequencies, float)
    figure = new_figure(figsize)
    axes = figure.subplots(3, 3)
    faint: dict[str, Any] = {"color": INK, "linewidth": 1.0, "alpha": 0.35}
    sets: list[tuple[Measures, dict[str, Any]]] = [(half, faint) for half in halves]
    for name, each, color in ((data_name, data, INK), ("samples", samples, ACCENT)):
        frames, found = each
        counts = {"piece": frames.n_pieces, "frame": frames.n_frames, "call": len(found.spans)}
        label = f"{name}: " + ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for what, n in counts.items())
        sets.append((each, {"color": color, "linewidth": 1.5, "label": label}))
    of_frames: list[tuple[Any, str]] = [
        (lambda m: m.level, "mean level of a frame (dB)"),
        (lambda m: m.of_calls(m.peak), "peak frequency of a frame (Hz), not silent"),
        (lambda m: m.of_calls(m.bandwidth), "bandwidth of a frame (Hz), not silent"),
    ]
    for ax, (values, label) in zip(axes[0], of_frames, strict=True):
        both = np.concatenate([values(frames) for (frames, _), _ in sets])
        low, high = float(both.min()), float(both.max())
        if high - low < 1e-6 * (1 + abs(high)):  # all frames are alike
            low, high = low - 0.5, high + 0.5
        bins = np.linspace(low, high, 41)
        for (frames, _), style in sets:
            found_values = values(frames)
            weights = np.full(len(found_values), 1 / len(found_values))
            ax.hist(found_values, bins=list(bins), weights=weights, histtype="step", **style)
        ax.set(xlabel=label, ylabel="share of frames")
    of_calls: list[tuple[Any, str, str]] = [
        (lambda calls: calls.duration, "duration of a call (ms)", "calls"),
        (lambda calls: calls.silences, "silence between calls (ms)", "silences"),
        (lambda calls: calls.level, "mean level of a call (dB)", "calls"),
    ]
    for ax, (values, label, what) in zip(axes[1], of_calls, strict=True):
        distribution_functions(ax, [(values(found), style) for (_, found), style in sets], log=label.endswith("(ms)"))
        ax.set(xlabel=label, ylabel=f"share of {what} up to this")
    bands = [("mean", "mean (dB)"), ("deviation", "standard deviation (dB)"), ("correlation", "correlation of frames")]
    for ax, (name, label) in zip(axes[2], bands, strict=True):
        for (frames, _), style in sets:
            ax.plot(np.arange(len(centres)), getattr(frames, name), **style)
        ax.set_ylabel(label)
        hertz_axis(ax.xaxis, centres)
    for ax in axes.flat:
        ax.grid(color=FAINT, linewidth=0.7)
        ax.set_axisbelow(True)
        finish(ax, None)
    handles, labels = axes[2, 0].get_legend_handles_labels()
    if halves:
        handles, labels = [*handles, Line2D([], [], **faint)], [*labels, f"parts of {data_name}"]
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure, axes


def distribution_functions(
    ax: Axes, sets: Sequence[tuple[np.ndarray, Mapping[str, Any]]], *, log: bool = False
) -> None:
    """Draw which share of the values of each set, shape (n,), is at most how great; a set without values has no line.

    The largest vertical distance of two lines is their Kolmogorov-Smirnov distance.
    """
    for values, style in sets:
        if len(values):
            ax.ecdf(values, **style)
    if log:
        ax.set_xscale("log")
        low, high = ax.get_xlim()
        steps = next(
            (s for decades, s in ((1.0, (1.0, 2.0, 3.0, 5.0)), (2.0, (1.0, 3.0))) if high <= low * 10**decades), (1.0,)
        )
        ax.xaxis.set_major_locator(LogLocator(subs=steps))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
    if not any(len(values) for values, _ in sets):
        ax.annotate("none", (0.5, 0.5), xycoords="axes fraction", ha="center")
