"""Films: strips of their frames, statistics of their frames and movements, and GIF files that move."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from rnnrbm.arguments import as_array, as_list, number, whole_number
from rnnrbm.files import atomic
from rnnrbm.plot.canvas import ACCENT, FAINT, INK, finish, matrix, new_figure
from rnnrbm.plot.tiles import image_tiles

__all__ = ["film_statistics", "film_strip", "moving_images", "write_gif"]

_MOST_SHOWN = 32  # frames of a strip
_LEAST_SIDE, _MOST_SIDE = 120, 1920  # pixels of a film in a GIF: of its shorter side, and of its longer one
_MARGIN, _TITLE = 8, 24  # pixels between films that move side by side, and of the line above them
_MOST_WRITTEN = 1000  # frames in a GIF of films, a minute at the usual rate
_MOST_PIXELS = 2**28  # ... and pixels of all its frames, which are in memory together while it is written
_FASTEST = 50.0  # frames per second: viewers show faster films slowly


def write_gif(path: str | os.PathLike[str], images: Iterable[np.ndarray], frames_per_second: float) -> None:
    """Write images as a GIF file that moves and begins again at its end.

    Of films with more than 50 frames per second, which viewers do not show, every second image is left out, or more.
    The times of images are rounded to hundredths of a second, as GIF files have them, so that the film keeps its
    length.

    Parameters
    ----------
    path : path-like
        Ends in ``.gif``; its folder must exist. An earlier file is replaced, or stays if writing fails.
    images : iterable of numpy.ndarray, each of shape (height, width, 3)
        uint8, red, green and blue; all of one shape. They are read one at a time.
    frames_per_second : float
        From 0.01.

    Raises
    ------
    ValueError
        If `path` does not end in ``.gif``, there is no image, images differ in shape or are no such arrays, or the
        rate is too low.
    TypeError
        If the rate is no number.
    OSError
        If the folder does not exist or the file cannot be written.
    """
    if Path(path).suffix.lower() != ".gif":
        raise ValueError(f"{path}: expected a file name ending in .gif")
    rate = number("frames_per_second", frames_per_second, "images per second, at least 0.01", least=0.01)
    step = math.ceil(rate / _FASTEST)
    pictures = _timed(itertools.islice(images, 0, None, step), rate / step)
    try:
        first = next(pictures)
    except StopIteration:
        raise ValueError(f"{path}: images is empty; expected at least one array (height, width, 3)") from None
    with atomic(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=pictures, loop=0)


def _timed(images: Iterable[np.ndarray], rate: float) -> Iterator[Image.Image]:
    """Yield pictures, each with the milliseconds for which it is shown."""
    shape: tuple[int, ...] | None = None
    for i, image in enumerate(images):
        array = np.asarray(image)
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
            raise ValueError(
                f"image {i} has shape {array.shape} of {array.dtype}; expected (height, width, 3) of uint8"
            )
        if shape is not None and array.shape != shape:
            raise ValueError(f"image {i} has shape {array.shape}, those before it {shape}; expected one shape for all")
        shape = array.shape
        # a file has up to 256 colours for each image, which hold all greys
        grey = (array == array[..., :1]).all()
        picture = Image.fromarray(array[..., 0].copy() if grey else array)
        picture.info["duration"] = 10 * (round(100 * (i + 1) / rate) - round(100 * i / rate))
        yield picture


def moving_images(
    pieces: Sequence[ArrayLike],
    shape: tuple[int, int],
    path: str | os.PathLike[str],
    *,
    frames_per_second: float = 15.0,
    titles: Sequence[str] = (),
) -> None:
    """Write films side by side as a GIF file that moves, such as data beside samples.

    Pixels are enlarged by a whole number, so that the shorter side of a film has at least 120 pixels, unless the longer
    one would have more than 1920. A film that ends before the longest one stands still. Of films of more than 1000
    frames, of large ones fewer, only the beginning is written.

    Parameters
    ----------
    pieces : sequence of array_like, each of shape (T, height * width) or (T, height, width)
        Pixels from 0, black, to 1, white; what lies outside is cut.
    shape : (int, int)
        Height and width of a frame, pixels.
    path : path-like
        Ends in ``.gif``; its folder must exist.
    frames_per_second : float
        See :func:`write_gif`.
    titles : sequence of str
        A title above each film; none by default.

    Raises
    ------
    ValueError
        If there is no film, a film has no frame of that shape or holds NaN or infinity, there is not one title for each
        film, or for what :func:`write_gif` raises it.
    TypeError
        If a film holds anything but numbers.
    OSError
        If the folder does not exist or the file cannot be written.
    """
    films = [_film(piece, shape, f"film {i}") for i, piece in enumerate(pieces)]
    if not films:
        raise ValueError(f"{path}: there is no film; expected arrays (T, {shape[0] * shape[1]})")
    if titles and len(titles) != len(films):
        raise ValueError(f"{len(titles)} titles of {len(films)} films; expected one for each, or none")
    height, width = shape
    factor = max(min(math.ceil(_LEAST_SIDE / min(shape)), _MOST_SIDE // max(shape)), 1)
    margin, top = (_MARGIN, _TITLE) if titles else (0 if len(films) == 1 else _MARGIN, 0)
    lefts = [margin + i * (factor * width + margin) for i in range(len(films))]
    above = top or margin
    size = (above + factor * height + margin, lefts[-1] + factor * width + margin)
    n_frames = min(max(map(len, films)), _MOST_WRITTEN, max(_MOST_PIXELS // (size[0] * size[1]), 1))
    background = _titled(size, dict(zip(lefts, titles, strict=False)), above)

    def images() -> Iterator[np.ndarray]:
        for t in range(n_frames):
            picture = background.copy()
            for left, film in zip(lefts, films, strict=True):
                grey = np.round(255 * np.clip(film[min(t, len(film) - 1)], 0, 1)).astype(np.uint8)
                enlarged = grey.repeat(factor, axis=0).repeat(factor, axis=1)
                picture[above : above + factor * height, left : left + factor * width] = enlarged[..., None]
            yield picture

    write_gif(path, images(), frames_per_second)


def _film(piece: ArrayLike, shape: tuple[int, int], name: str) -> np.ndarray:
    """Return a film as an array (T, height, width)."""
    array = as_array(piece, name)
    height, width = (whole_number("shape", side, 1) for side in shape)
    if array.ndim not in (2, 3) or not len(array) or array[0].size != height * width:
        raise ValueError(
            f"{name}: an array of shape {array.shape}; expected (T, {height * width}) or (T, {height}, {width}), T at "
            "least 1"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity; replace or leave out missing values")
    return array.reshape(-1, height, width)


def _titled(size: tuple[int, int], titles: dict[int, str], above: int) -> np.ndarray:
    """Return a white image (height, width, 3) with titles, each by where it begins, on the line at the top."""
    if not titles:
        return np.full((*size, 3), 255, np.uint8)
    dpi = 100
    figure = Figure(figsize=(size[1] / dpi, size[0] / dpi), dpi=dpi)
    canvas = FigureCanvasAgg(figure)
    for left, title in titles.items():
        figure.text(left / size[1], 1 - above / 2 / size[0], title, va="center", fontsize=9)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[: size[0], : size[1], :3]


def film_strip(
    piece: ArrayLike,
    shape: tuple[int, int],
    *,
    primed: int = 0,
    ax: Axes | None = None,
    title: str | None = None,
) -> tuple[Figure, Axes]:
    """Draw frames of a film side by side in rows; time goes right, then down.

    Of a film of more than 32 frames, every second frame is drawn, every third and so on, so that there are at most 32.

    Parameters
    ----------
    piece : array_like, shape (T, height * width) or (T, height, width)
        Pixels from 0, black, to 1, white.
    shape : (int, int)
        Height and width of a frame, pixels.
    primed : int
        Number of given (not sampled) frames at the beginning; a line marks their end.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. The default is a new figure whose longer side is 7 inches.
    title : str, optional
        Title above the plot, which also says which frames are drawn.

    Returns
    -------
    matplotlib.figure.Figure, matplotlib.axes.Axes
        The figure and the axes drawn on. The label of each row is the number of its first frame, from 0.

    Raises
    ------
    ValueError
        If the film has no frame of that shape, or fewer frames than `primed`.
    TypeError
        If it holds anything but numbers.
    """
    film = _film(piece, shape, "piece")
    primed = whole_number("primed", primed, 0, len(film))
    step = math.ceil(len(film) / _MOST_SHOWN)
    shown = film[::step]
    height, width = shape
    # half as high as it is wide, in columns that a reader can count
    n_columns = min(len(shown), next((n for n in (4, 8, 16) if len(shown) * height <= n * n * width / 2), 32))
    name = f"every {_ordinal(step)} frame" if step > 1 else ""
    figure, ax = image_tiles(
        shown, n_columns=n_columns, ax=ax, title=", ".join(filter(None, (title, name))) or None, light=True
    )
    n_rows = math.ceil(len(shown) / n_columns)
    ax.set_yticks(
        [row * (height + 1) + (height - 1) / 2 for row in range(n_rows)],
        [str(row * n_columns * step) for row in range(n_rows)],
    )
    ax.set_ylabel("frame")
    if primed:
        row, column = divmod(math.ceil(primed / step), n_columns)
        if not column:  # at the end of a row, and not before the next one
            row, column = row - 1, n_columns
        x, top = column * (width + 1) - 1, row * (height + 1) - 0.5
        (line,) = ax.plot([x, x], [top, top + height], color=ACCENT, linewidth=3, scalex=False, scaley=False)
        line.set(clip_on=False, solid_capstyle="butt")
        ax.set_xlabel(f"given up to the line ({primed} frame{'s' if primed > 1 else ''})", color=ACCENT)
    return figure, ax


def _ordinal(n: int) -> str:
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return {2: "second", 3: "third"}.get(n, f"{n}{ending}")


def film_statistics(
    samples: Sequence[ArrayLike],
    data: Sequence[ArrayLike],
    shape: tuple[int, int],
    *,
    data_name: str = "data",
    figsize: tuple[float, float] = (13, 3.5),
) -> tuple[Figure, np.ndarray]:
    """Draw statistics of sampled films next to those of real ones.

    Four panels: the mean frame of the data, that of the samples, the mean pixel of a frame, and the mean absolute
    change of a pixel from a frame to the next (fraction of frames). A film that stands still has no change; one that
    flickers has much.

    Parameters
    ----------
    samples, data : sequence of array_like, each of shape (T, height * width)
        Pixels from 0, black, to 1, white. They are read one at a time, so that large data need not be copied.
    shape : (int, int)
        Height and width of a frame, pixels.
    data_name : str
        Name of the data.
    figsize : tuple of float
        Width and height in inches.

    Returns
    -------
    matplotlib.figure.Figure, numpy.ndarray of matplotlib.axes.Axes
        The figure and its panels, shape (4,).

    Raises
    ------
    ValueError
        If either sequence is empty, or a film has no frame of that shape.
    """
    names = (data_name, "samples")
    measured = [_measures(films, shape, name) for films, name in zip((data, samples), names, strict=True)]
    figure = new_figure(figsize)
    axes = figure.subplots(1, 4, width_ratios=[1, 1, 1.5, 1.5])
    white = max(float(mean.max()) for mean, _, _ in measured) or 1.0  # or the mean of few bright pixels would be black
    for ax, name, (mean, _, _) in zip(axes, names, measured, strict=False):
        image_tiles(np.maximum(mean[None] / white, 0), ax=ax, title=f"mean frame, {name}", light=True)
        ax.set_xlabel(f"white is {white:.2g}")
    labels = ("mean pixel of a frame", "mean change of a pixel from frame to frame")
    for i, (ax, label) in enumerate(zip(axes[2:], labels, strict=True), 1):
        values = [each[i] for each in measured]
        most = max((float(x.max()) for x in values if len(x)), default=0.0) or 1.0
        least = min((float(x.min()) for x in values if len(x)), default=0.0) if i == 1 else 0.0
        edges = np.linspace(min(least, 0.98 * most), most, 31)
        for found, name, color in zip(values, names, (INK, ACCENT), strict=True):
            heights, _ = np.histogram(found, edges)
            ax.stairs(heights / max(len(found), 1), edges, color=color, label=name, linewidth=1.5)
        ax.set(xlabel=label, ylabel="fraction of frames")
        ax.grid(color=FAINT, linewidth=0.7)
        ax.set_axisbelow(True)
        finish(ax, None)
    axes[2].legend(frameon=False, fontsize="small")
    return figure, axes


def _measures(
    films: Sequence[ArrayLike], shape: tuple[int, int], name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean frame (height, width), the mean pixel of all frames, and the mean change from frame to frame."""
    given = as_list(films, "film")
    if not given:
        raise ValueError(f"{name}: there is no film; expected at least one array (T, {shape[0] * shape[1]})")
    total, n, levels, changes = np.zeros(shape), 0, [], []
    for film in given:
        array = _film(matrix(film, name, "(T, height * width)"), shape, name)
        total += array.sum(axis=0)
        n += len(array)
        levels.append(array.mean(axis=(1, 2)))
        changes.append(np.abs(np.diff(array, axis=0)).mean(axis=(1, 2)))
    return total / n, np.concatenate(levels), np.concatenate(changes)
