"""Pictures of sound: spectrograms, segments of recordings, and statistics of samples beside those of data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from rnnrbm.plot.canvas import ACCENT, FAINT, INK, axes_of, finish, hertz_axis, mark_primed, matrix
from rnnrbm.scoring.spectra import SpectralMeasures

__all__ = ["sound_statistics", "spectrogram"]

Span = tuple[float, float, str]


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
    samples: SpectralMeasures,
    data: SpectralMeasures,
    frequencies: ArrayLike,
    *,
    data_name: str = "data",
    figsize: tuple[float, float] = (12, 6.5),
) -> tuple[Figure, np.ndarray]:
    """Draw measures of sampled spectrograms next to those of data.

    Six panels: the distributions of the level of a frame, and of peak frequency and bandwidth of the frames that are
    not silent; and of each band the mean, the standard deviation, and the correlation with the frame before.

    Parameters
    ----------
    samples, data : SpectralMeasures
        What :func:`rnnrbm.scoring.spectra.measure` returns.
    frequencies : array_like, shape (n_bands,)
        Centres of the bands, hertz.
    data_name : str
        Legend label of the data.
    figsize : tuple of float
        Width and height in inches.

    Returns
    -------
    matplotlib.figure.Figure, numpy.ndarray of matplotlib.axes.Axes
        The figure and its panels, shape (2, 3).
    """
    centres = np.asarray(frequencies, float)
    figure = Figure(figsize=figsize, layout="constrained")
    axes = figure.subplots(2, 3)
    sets = [(data_name, data, INK), ("samples", samples, ACCENT)]
    ranges: list[tuple[Any, str]] = [
        (lambda m: m.level, "mean level of a frame (dB)"),
        (lambda m: m.of_calls(m.peak), "peak frequency (Hz), not silent"),
        (lambda m: m.of_calls(m.bandwidth), "bandwidth (Hz), not silent"),
    ]
    for ax, (values, label) in zip(axes[0], ranges, strict=True):
        both = np.concatenate([values(measures) for _, measures, _ in sets])
        bins = np.histogram_bin_edges(both, 40)
        for _, measures, color in sets:
            found = values(measures)
            weights = np.full(len(found), 1 / len(found))
            ax.hist(found, bins=list(bins), weights=weights, histtype="step", color=color, linewidth=1.5)
        ax.set(xlabel=label, ylabel="share of frames")
    bands = [("mean", "mean (dB)"), ("deviation", "standard deviation (dB)"), ("correlation", "correlation of frames")]
    for ax, (name, label) in zip(axes[1], bands, strict=True):
        for set_name, measures, color in sets:
            legend = f"{set_name}: {measures.n_pieces} pieces, {measures.n_frames} frames"
            ax.plot(np.arange(len(centres)), getattr(measures, name), color=color, linewidth=1.5, label=legend)
        ax.set_ylabel(label)
        hertz_axis(ax.xaxis, centres)
    for ax in axes.flat:
        ax.grid(color=FAINT, linewidth=0.7)
        ax.set_axisbelow(True)
        finish(ax, None)
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure, axes
