"""What all plots share: colours, axes, checks of arrays, and writing a figure to a file."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_array, as_list
from rnnrbm.files import atomic

__all__ = [
    "ACCENT",
    "FAINT",
    "INK",
    "PITCH_CLASSES",
    "axes_of",
    "finish",
    "hertz_axis",
    "mark_primed",
    "matrix",
    "named_sets",
    "new_figure",
    "note_axis",
    "save",
]

INK, ACCENT, FAINT = "#1f4e79", "#d1495b", "#e4e7eb"  # distinguishable in grey and by the color-blind
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class Picture(Figure):
    """A figure that notebooks show, although it belongs to no window of pyplot."""

    def _repr_png_(self) -> bytes:
        drawn = io.BytesIO()
        self.savefig(drawn, format="png", dpi=80)
        return drawn.getvalue()


def new_figure(figsize: tuple[float, float]) -> Figure:
    """Make an empty figure of a size in inches."""
    return Picture(figsize=figsize, layout="constrained")


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
    drawn = figure[0] if isinstance(figure, tuple) and figure else figure
    if not isinstance(drawn, Figure):
        raise TypeError(
            f"figure is a {type(figure).__name__}; expected a Figure, or what a function of this module returned"
        )
    with atomic(path) as temporary:
        drawn.savefig(temporary, dpi=dpi, format=suffix[1:])


def axes_of(ax: Axes | None, figsize: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return the axes to draw on, those of a new figure by default, and their figure."""
    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax is a {type(ax).__name__}; expected axes of matplotlib, or None for a new figure")
    if ax is None:
        ax = new_figure(figsize).subplots()
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure, ax


def matrix(values: ArrayLike, name: str, shape: str) -> np.ndarray:
    array = as_array(values, name).astype(float)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}: expected {shape}, neither of them 0")
    return array


def named_sets(samples: Sequence[ArrayLike], data: Sequence[ArrayLike]) -> list[tuple[str, list[np.ndarray]]]:
    """Check data and samples to compare, and return both with their names."""
    sets = []
    for name, pieces in (("data", data), ("samples", samples)):
        given = as_list(pieces, name)
        if not given:
            raise ValueError(f"{name} is empty: expected at least one array of shape (T, n)")
        arrays = [matrix(piece, name, "(T, n)") for piece in given]
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError(f"{name} holds NaN or infinity: leave missing values out")
        sets.append((name, arrays))
    widths = {array.shape[1] for _, arrays in sets for array in arrays}
    if len(widths) > 1:
        raise ValueError(f"pieces of {sorted(widths)} columns: expected one width for all")
    return sets


def mark_primed(ax: Axes, end: float) -> None:
    """Mark the end of the given frames."""
    ax.axvline(end, color=ACCENT, linewidth=1.5, zorder=3)
    # above the axes, where it hides no note
    ax.annotate(
        "given | sampled", (end, 1.01), xycoords=("data", "axes fraction"), ha="center", va="bottom", color=ACCENT
    )


def note_axis(axis: Any, bottom: int, top: int) -> None:
    """Label each C on an axis of MIDI note numbers, or every third note if there is only one C."""
    notes = [note for note in range(bottom, top + 1) if note % 12 == 0]
    if len(notes) < 2:
        notes = [note for note in range(bottom, top + 1) if note % 3 == 0]
    axis.set_major_locator(FixedLocator(notes))
    axis.set_major_formatter(FuncFormatter(lambda note, _: f"{PITCH_CLASSES[round(note) % 12]}{round(note) // 12 - 1}"))
    axis.set_label_text("MIDI note")


def hertz_axis(axis: Any, frequencies: np.ndarray) -> None:
    """Label an axis of bands, numbered from 0, with round frequencies between those of the first and the last band."""
    first, last = frequencies[0], frequencies[-1]
    steps = np.diff(frequencies)
    if len(steps) > 1 and steps.max() > 1.01 * steps.min():  # mel or logarithmic
        decades = 10.0 ** np.arange(np.floor(np.log10(max(first, 1.0))), np.ceil(np.log10(max(last, 1.0))) + 1)
        values = np.sort(np.outer(decades, (1.0, 2.0, 3.0, 5.0)).ravel())
    else:
        values = np.asarray(MaxNLocator(6).tick_values(first, last))
    values = values[(values >= first) & (values <= last)]
    unit, name = (1000.0, "kHz") if last >= 2000 else (1.0, "Hz")
    if not len(values):
        values = np.array([first])
    axis.set_major_locator(FixedLocator(np.interp(values, frequencies, np.arange(len(frequencies)))))
    axis.set_major_formatter(FixedFormatter([f"{value / unit:g}" for value in values]))
    axis.set_label_text(f"frequency ({name})")


def finish(ax: Axes, title: str | None) -> None:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color("#9aa3ad")
    ax.tick_params(which="both", color="#9aa3ad", labelsize="small")
    ax.tick_params(which="minor", length=0)
    if title is not None:
        ax.set_title(title, loc="left", fontsize="medium")
