"""Learning curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rnnrbm.plot.canvas import ACCENT, FAINT, INK, finish, new_figure

__all__ = ["learning_curves"]

#: columns by which the best epoch is chosen, the first that there is, and their names in words
_JUDGES = {
    "valid_ll": "validation log-likelihood",
    "valid_score": "validation score",
    "valid_loss": "validation loss",
    "pseudo_likelihood": "pseudo-likelihood",
}


def learning_curves(
    metrics: Mapping[str, Sequence[Any]], *, figsize: tuple[float, float] = (9, 7)
) -> tuple[Figure, np.ndarray]:
    """Draw the metrics of a run's metrics.csv.

    There is one panel for each of these that has numbers: the log-likelihoods (every column whose name ends in
    ``_ll``), the pseudo-likelihood, the validation score, the losses, and k if it changes. All panels mark the epoch of
    the best validation, or without a validation that of the best pseudo-likelihood.

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
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics is a {type(metrics).__name__}; expected a dictionary of columns")
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
    if len(columns) > 1 and "k" in columns and np.ptp(columns["k"][np.isfinite(columns["k"])]) == 0:
        panels.pop()  # a constant needs no panel
    panels = [(label, [n for n in names if n in columns]) for label, names in panels]
    panels = [(label, names) for label, names in panels if names]
    figure = new_figure(figsize)
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
        finish(ax, None)
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


def _numbers(column: Sequence[Any]) -> np.ndarray:
    """Return a column as float64, NaN where a row has no number."""
    return np.array([np.nan if x is None or x == "" else float(x) for x in column], float)


def _drawn(name: str) -> bool:
    return name in ("epoch", "loss", "k", *_JUDGES) or name.endswith("_ll")
