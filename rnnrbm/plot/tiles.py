"""Pictures of images and of weights that are images: many of them side by side in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_array, whole_number
from rnnrbm.plot.canvas import ACCENT, INK, axes_of, finish, matrix, named_sets, new_figure

__all__ = ["filter_tiles", "image_pairs", "image_statistics", "image_tiles"]

#: colours of pixels and of weights, and of the gaps between images: pale beside white paper, dark beside pale weights,
#: bluish beside black and white
_GREY, _DIVERGING, _LIGHT = ("gray_r", "#c9ced6"), ("RdBu_r", "#3d434b"), ("gray", "#5f7f9f")
_MOST_TICKS = 20  # classes that all have their number below the axis
_LETTER = 0.07  # inches of a letter of a label
_LONGEST = 7.0  # inches of the longer side of a new figure


def image_tiles(
    images: ArrayLike,
    shape: tuple[int, int] | None = None,
    *,
    n_columns: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    symmetric: bool = False,
    separate: bool = True,
    light: bool = False,
) -> tuple[Figure, Axes]:
    """Draw images side by side, row by row, as one picture.

    Parameters
    ----------
    images : array_like, shape (n, height * width) or (n, height, width)
        Pixels, in which 0 is white and 1 is black; if there are others, the least is white and the greatest black. NaN
        is drawn in the colour of the gaps.
    shape : (int, int), optional
        Height and width of an image in pixels; needed for images in rows.
    n_columns : int, optional
        Images in a row of the picture. The default makes the picture about as high as it is wide.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. The default is a new figure whose longer side is 7 inches.
    title : str, optional
        Title above the plot.
    symmetric : bool
        Draw weights: 0 is white, positive numbers are red and negative ones blue, up to the greatest magnitude.
    separate : bool
        Leave a gap of one pixel between images.
    light : bool
        Draw light, as in a film: 0 is black and 1 is white.

    Returns
    -------
    matplotlib.figure.Figure, matplotlib.axes.Axes
        The figure and the axes drawn on.

    Raises
    ------
    ValueError
        If there is no image, or the images do not have that shape.
    TypeError
        If they hold anything but numbers.
    """
    pictures = _pictures(images, shape, "images")
    n, height, width = pictures.shape
    if n_columns is None:
        n_columns = min(n, math.ceil(math.sqrt(n * height / width)))
    n_columns = whole_number("n_columns", n_columns, 1)
    n_rows = math.ceil(n / n_columns)
    full = np.full((n_rows * n_columns, height, width), np.nan)
    full[:n] = pictures
    grid = _grid(full.reshape(n_rows, n_columns, height, width), separate)
    return _draw(grid, ax, title, _DIVERGING if symmetric else _LIGHT if light else _GREY)


def filter_tiles(
    W: ArrayLike,
    shape: tuple[int, int],
    count: int = 100,
    *,
    n_columns: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> tuple[Figure, Axes]:
    """Draw the weights of the strongest hidden units as images, the strongest first.

    The strongest units are the columns of `W` with the greatest Euclidean norm. Each image has its own scale: its
    greatest weight by magnitude has the full colour, red if positive and blue if negative.

    Parameters
    ----------
    W : array_like, shape (height * width, n_hidden)
        The weights.
    shape : (int, int)
        Height and width of an image in pixels.
    count : int
        Greatest number of hidden units.
    n_columns, ax, title : optional
        As for `image_tiles`.

    Returns
    -------
    matplotlib.figure.Figure, matplotlib.axes.Axes
        The figure and the axes drawn on.

    Raises
    ------
    ValueError
        If `W` is not a matrix with a row for each pixel, or `count` is below 1.
    """
    weights = matrix(W, "W", "(n_visible, n_hidden)")
    count = whole_number("count", count, 1)
    strongest = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")[:count]
    shown = _pictures(weights[:, strongest].T, shape, "the columns of W")
    limits = np.abs(shown).max(axis=(1, 2), keepdims=True)
    if title is None:
        title = f"{len(shown)} strongest of {weights.shape[1]} hidden units"
    scaled = shown / np.where(limits > 0, limits, 1.0)
    return image_tiles(scaled, n_columns=n_columns, ax=ax, title=title, symmetric=True)


def image_pairs(
    rows: Sequence[tuple[str, ArrayLike]],
    shape: tuple[int, int] | None = None,
    *,
    ax: Axes | None = None,
    title: str | None = None,
) -> tuple[Figure, Axes]:
    """Draw rows of images one under the other, such as images and their reconstructions.

    Parameters
    ----------
    rows : list of (str, array_like)
        For each row, the label at its left and its images, shape (n, height * width) or (n, height, width); n is the
        same for all. All rows have one scale, that of `image_tiles`.
    shape : (int, int), optional
        Height and width of an image in pixels; needed for images in rows.
    ax, title : optional
        As for `image_tiles`.

    Returns
    -------
    matplotlib.figure.Figure, matplotlib.axes.Axes
        The figure and the axes drawn on.

    Raises
    ------
    ValueError
        If there is no row, an image does not have that shape, or rows differ in the number or shape of images.
    """
    if not len(rows):
        raise ValueError("rows is empty; expected pairs of a label and images, such as [('data', images)]")
    labels = [str(label) for label, _ in rows]
    pictures = [_pictures(images, shape, f"row {label!r}") for label, images in rows]
    if len({each.shape for each in pictures}) > 1:
        found = ", ".join(f"{label!r}: {each.shape}" for label, each in zip(labels, pictures, strict=True))
        raise ValueError(f"rows of images of different shapes ({found}); expected as many images of one size in each")
    figure, ax = _draw(_grid(np.stack(pictures), True), ax, title, left=_LETTER * max(map(len, labels)))
    height = pictures[0].shape[1]
    ax.set_yticks([row * (height + 1) + (height - 1) / 2 for row in range(len(labels))], labels)
    return figure, ax


def image_statistics(
    samples: Sequence[ArrayLike],
    data: Sequence[ArrayLike],
    shape: tuple[int, int],
    *,
    data_name: str = "data",
    class_shares: Sequence[ArrayLike] | None = None,
    figsize: tuple[float, float] | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw statistics of sampled images next to those of real ones.

    Three panels: the mean image of the data, that of the samples, and the mean pixel of an image (fraction of images).
    Of labelled images a fourth one has the share of each class.

    Parameters
    ----------
    samples, data : sequence of array_like, each of shape (n, height * width)
    shape : (int, int)
        Height and width of an image in pixels.
    data_name : str
        Name of the data.
    class_shares : pair of array_like, each of shape (n_classes,), optional
        Share of each class among the samples, and among the data.
    figsize : tuple of float, optional
        Width and height in inches; by default 10 x 3.5, or 13 x 3.5 with the panel of classes.

    Returns
    -------
    matplotlib.figure.Figure, numpy.ndarray of matplotlib.axes.Axes
        The figure and its panels, shape (3,) or (4,).

    Raises
    ------
    ValueError
        If there is no image, the images do not have that shape, or the shares are no two of equal length.
    """
    sets = named_sets(samples, data)
    if class_shares is not None and (len(class_shares) != 2 or len({np.shape(share) for share in class_shares}) != 1):
        shapes = [np.shape(share) for share in class_shares]
        raise ValueError(f"class_shares of shapes {shapes}; expected two of one length, of samples and of data")
    widths = [1, 1, 1.5, *([] if class_shares is None else [1.5])]
    figure = new_figure(figsize or ((10 if class_shares is None else 13), 3.5))
    axes = figure.subplots(1, len(widths), width_ratios=widths)
    names = [data_name if name == "data" else name for name, _ in sets]
    inks = []
    for i, (_, arrays) in enumerate(sets):
        pixels = np.concatenate(arrays)
        image_tiles(_pictures(pixels.mean(axis=0)[None], shape, "images"), ax=axes[i], title=f"mean image, {names[i]}")
        inks.append(pixels.mean(axis=1))
    edges = _ink_edges(inks, shape)
    for ink, name, color in zip(inks, names, (INK, ACCENT), strict=True):
        heights, _ = np.histogram(ink, edges)
        axes[2].stairs(heights / len(ink), edges, color=color, label=name, linewidth=1.5)
    axes[2].set(xlabel="mean pixel of an image", ylabel="fraction of images")
    axes[2].legend(frameon=False, fontsize="small")
    finish(axes[2], None)
    if class_shares is not None:
        of_samples, of_data = (np.asarray(share) for share in class_shares)
        edges = np.arange(len(of_data) + 1) - 0.5
        for share, name, color in ((of_data, names[0], INK), (of_samples, names[1], ACCENT)):
            axes[3].stairs(share, edges, color=color, label=name, linewidth=1.5)
        axes[3].set(xlabel="class", ylabel="fraction of images", ylim=(0, None))
        if len(of_data) <= _MOST_TICKS:
            axes[3].set_xticks(range(len(of_data)))
        finish(axes[3], None)
    return figure, axes


def _ink_edges(inks: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return about 25 bins of mean pixels; those of binary images have a whole number of pixels each."""
    low, high = min(ink.min() for ink in inks), max(max(ink.max() for ink in inks), 1e-6)
    n = shape[0] * shape[1]
    counts = np.concatenate(inks) * n
    if not np.allclose(counts, np.round(counts), atol=1e-6):
        return np.linspace(low, high, 26)
    step = max(1, math.ceil((high - low) * n / 25))
    first = round(low * n) - 0.5
    return (first + step * np.arange(math.ceil((round(high * n) + 0.5 - first) / step) + 1)) / n


def _pictures(images: ArrayLike, shape: tuple[int, int] | None, name: str) -> np.ndarray:
    """Return images as an array (n, height, width) of float64."""
    array = as_array(images, name).astype(float)
    if shape is None:
        if array.ndim != 3 or 0 in array.shape:
            raise ValueError(
                f"{name}: an array of shape {array.shape}; expected (n, height, width), or give the height and width "
                "of an image as shape"
            )
        return array
    height, width = (whole_number("shape", each, 1) for each in shape)
    if array.ndim not in (2, 3) or not len(array) or array[0].size != height * width:
        raise ValueError(
            f"{name}: an array of shape {array.shape}; expected (n, {height * width}) or (n, {height}, {width}), n at "
            "least 1"
        )
    return array.reshape(-1, height, width)


def _grid(tiles: np.ndarray, separate: bool) -> np.ndarray:
    """Return images (n_rows, n_columns, height, width) as one picture; gaps are NaN."""
    n_rows, n_columns, height, width = tiles.shape
    gap = 1 if separate else 0
    grid = np.full((n_rows, height + gap, n_columns, width + gap), np.nan)
    grid[:, :height, :, :width] = tiles.transpose(0, 2, 1, 3)
    # the last row and the last column have no gap after them
    picture = grid.reshape(n_rows * (height + gap), n_columns * (width + gap))
    return picture[: picture.shape[0] - gap, : picture.shape[1] - gap]


def _draw(
    grid: np.ndarray, ax: Axes | None, title: str | None, colours: tuple[str, str] = _GREY, left: float = 0.0
) -> tuple[Figure, Axes]:
    """Draw a picture of many images, beside `left` inches of labels."""
    inches = max(_LONGEST - left, _LONGEST / 2) / grid.shape[1]
    if grid.shape[0] > grid.shape[1]:
        inches = _LONGEST / grid.shape[0]
    figure, ax = axes_of(ax, (max(grid.shape[1] * inches, 1.5) + left, max(grid.shape[0] * inches, 1.0) + 0.3))
    finite = grid[np.isfinite(grid)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if colours == _DIVERGING:
        high = max(abs(low), abs(high)) or 1.0
        low = -high
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    name, gap = colours
    ax.imshow(
        grid,
        cmap=colormaps[name].with_extremes(bad=gap),
        vmin=low,
        vmax=high,
        interpolation="auto",
    )
    ax.set(
        xticks=[], yticks=[], anchor="W" if left else "C"
    )  # labels at the left would be cut beside a centred picture
    finish(ax, title)
    ax.tick_params(length=0)
    ax.spines[:].set(visible=True, color=gap)
    return figure, ax
