"""Stick figures: bodies whose joints and bones are drawn as seen from their right side, still or moving."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_array, number, whole_number
from rnnrbm.plot.canvas import ACCENT, FAINT, INK, axes_of
from rnnrbm.plot.moving import write_gif

__all__ = ["side_view", "stick_figures", "write_moving_figure"]

_FAR = "#8fa3b8"  # of bones on the side that is turned away
_TURNS = 1.0  # seconds over which the heading is averaged, so that the camera does not swing with each step
_MOST_PER_SECOND = 25.0  # images of a GIF file


def side_view(positions: ArrayLike, heading: ArrayLike, *, window: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return joints as they are seen from the right side of a body, by somebody who walks along with it.

    Parameters
    ----------
    positions : array_like, shape (T, n_joints, 3)
        Positions; z is up. The first joint is the root.
    heading : array_like, shape (T,)
        Direction that the body faces: its angle from the x axis, radians, not limited to one turn.
    window : int
        Frames over which the heading is averaged.

    Returns
    -------
    view : numpy.ndarray, shape (T, n_joints, 2)
        How far each joint is ahead of the root, and how high it is.
    travelled : numpy.ndarray, shape (T,)
        How far the root has come forwards since the first frame.
    """
    positions, heading = as_array(positions, "positions").astype(float), as_array(heading, "heading").astype(float)
    if positions.ndim != 3 or positions.shape[2] != 3 or 0 in positions.shape or heading.shape != positions.shape[:1]:
        raise ValueError(
            f"positions and heading have shapes {positions.shape} and {heading.shape}; expected (T, n_joints, 3) and "
            "(T,)"
        )
    half = whole_number("window", window, 1) // 2
    padded = np.pad(heading, half, mode="edge")
    smooth = np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")
    ahead = np.stack([np.cos(smooth), np.sin(smooth)], axis=1)
    relative = positions[:, :, :2] - positions[:, :1, :2]
    view = np.stack([np.einsum("tjc,tc->tj", relative, ahead), positions[:, :, 2]], axis=2)
    steps = np.einsum("tc,tc->t", np.diff(positions[:, 0, :2], axis=0), ahead[:-1])
    return view, np.concatenate([[0.0], np.cumsum(steps)])


def stick_figures(
    positions: ArrayLike,
    parents: Sequence[int],
    heading: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    seconds_per_frame: float | None = None,
    n_poses: int = 12,
    ax: Axes | None = None,
    title: str | None = None,
    primed: int = 0,
) -> tuple[Figure, Axes]:
    """Draw some poses of a piece side by side, evenly spaced in time, as seen from the right side of the body.

    Parameters
    ----------
    positions : array_like, shape (T, n_joints, 3)
        Positions of the joints; z is up.
    parents : sequence of int
        Of each joint, the number of its parent; -1 of the root.
    heading : array_like, shape (T,)
        Direction that the body faces, radians.
    names : sequence of str, optional
        Names of the joints: bones of those that begin with "left" are drawn fainter, as they are farther away.
    seconds_per_frame : float, optional
        Duration of a frame; poses are then labelled in seconds, otherwise by the number of the frame.
    n_poses : int
        Greatest number of poses.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. The default is a new figure of 12 by 3 inches.
    title : str, optional
        Title above the plot.
    primed : int
        Number of given (not sampled) frames at the beginning; a line stands between them and the others.

    Returns
    -------
    matplotlib.figure.Figure, matplotlib.axes.Axes
        The figure and the axes drawn on.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or a parent is no joint.
    """
    window = 1 if seconds_per_frame is None else max(round(_TURNS / seconds_per_frame), 1)
    view, _ = side_view(positions, heading, window=window)
    bones, far = _bones(parents, names, view.shape[1])
    n_poses, primed = whole_number("n_poses", n_poses, 1), whole_number("primed", primed, 0, len(view))
    figure, ax = axes_of(ax, (12, 3))
    shown = np.unique(np.linspace(0, len(view) - 1, n_poses).round().astype(int))
    width = 1.1 * float(np.ptp(view[shown, :, 0], axis=1).max()) or 1.0
    for place, frame in enumerate(shown):
        _draw(ax, view[frame] + [place * width, 0.0], bones, far)
    ground, top = float(view[shown, :, 1].min()), float(view[shown, :, 1].max())
    height = top - ground or 1.0
    ax.axhline(ground, color=FAINT, linewidth=1.0, zorder=0)
    ax.set(xlim=(-0.6 * width, (len(shown) - 0.4) * width), ylim=(ground - 0.05 * height, top + 0.1 * height))
    ax.set_aspect("equal")
    unit = 1.0 if seconds_per_frame is None else seconds_per_frame
    ax.set_xticks(np.arange(len(shown)) * width, [f"{frame * unit:.4g}" for frame in shown])
    ax.set_xlabel("time (frames)" if seconds_per_frame is None else "time (seconds)")
    ax.set_yticks([])
    ax.tick_params(length=0, labelsize="small")
    for spine in ax.spines.values():
        spine.set_visible(False)
    if primed and (n_given := int((shown < primed).sum())):
        ax.axvline((n_given - 0.5) * width, color=ACCENT, linewidth=1.5)
        ax.annotate(
            "given | sampled",
            ((n_given - 0.5) * width, 1.01),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            color=ACCENT,
        )
    if title is not None:
        ax.set_title(title, loc="left", fontsize="medium")
    return figure, ax


def write_moving_figure(
    path: str | os.PathLike[str],
    positions: ArrayLike,
    parents: Sequence[int],
    heading: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    seconds_per_frame: float = 1 / 30,
    primed: int = 0,
) -> None:
    """Write a GIF file of a stick figure that moves, seen from its right side by somebody who walks along with it.

    Marks on the ground pass by as the body moves. They are half a body's height apart.

    Parameters
    ----------
    path : path-like
    positions, parents, heading, names
        See :func:`stick_figures`.
    seconds_per_frame : float
        Duration of a frame. Of many frames a second, some are left out.
    primed : int
        Number of given frames at the beginning, in which the body has another colour.

    Raises
    ------
    ValueError
        If shapes do not fit each other, a parent is no joint, or the duration is not positive.
    OSError
        If the file cannot be written.
    """
    seconds = number("seconds_per_frame", seconds_per_frame, "a positive number", above=0.0)
    view, travelled = side_view(positions, heading, window=max(round(_TURNS / seconds), 1))
    bones, far = _bones(parents, names, view.shape[1])
    step = max(round(1 / (seconds * _MOST_PER_SECOND)), 1)
    rate = min(1 / (seconds * step), 50.0)
    write_gif(path, _images(view[::step], travelled[::step], bones, far, -(-primed // step)), rate)


def _images(
    view: np.ndarray, travelled: np.ndarray, bones: np.ndarray, far: np.ndarray, primed: int
) -> Iterator[np.ndarray]:
    """Yield an image of each pose, (height, width, 3)."""
    low, high = float(view[:, :, 1].min()), float(view[:, :, 1].max())
    height = high - low or 1.0
    reach = max(float(np.abs(view[:, :, 0]).max()), 0.5 * height)
    figure = Figure(figsize=(3.2, 3.2), dpi=80)
    canvas = FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    half, middle = max(1.1 * reach, 0.6 * height), (low + high) / 2
    ax.set(xlim=(-half, half), ylim=(middle - half, middle + half))  # of a square
    ax.axis("off")
    ax.axhline(low, color=FAINT, linewidth=2.0)
    canvas.draw()
    left, right = ax.get_xlim()
    background = canvas.copy_from_bbox(figure.bbox)
    spacing = 0.5 * height
    marks = LineCollection([], colors=_FAR, linewidths=1.5)
    lines = [LineCollection([], linewidths=width, capstyle="round") for width in (2.5, 3.0)]
    for artist in (marks, *lines):
        ax.add_collection(artist, autolim=False)
    for i, (pose, way) in enumerate(zip(view, travelled, strict=True)):
        canvas.restore_region(background)
        first = np.ceil((left + way) / spacing) * spacing - way
        at = np.arange(first, right, spacing)
        marks.set_segments([[(x, low), (x, low - 0.03 * height)] for x in at])
        for collection, chosen, colour in zip(lines, (far, ~far), (_FAR, ACCENT if i < primed else INK), strict=True):
            collection.set_segments(list(pose[bones[chosen]]))
            collection.set_color(colour)
        for artist in (marks, *lines):
            ax.draw_artist(artist)
        yield np.array(canvas.buffer_rgba())[:, :, :3].copy()


def _bones(parents: Sequence[int], names: Sequence[str] | None, n_joints: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the two joints of each bone (n_bones, 2), and which bones are on the left side (n_bones,)."""
    if len(parents) != n_joints or (names is not None and len(names) != n_joints):
        raise ValueError(f"parents or names are not {n_joints}, one for each joint of positions")
    if any(not -1 <= parent < n_joints for parent in parents):
        raise ValueError(
            f"parents={list(parents)}: expected numbers of joints, 0 to {n_joints - 1}, and -1 of the root"
        )
    joints = [joint for joint, parent in enumerate(parents) if parent >= 0]
    bones = np.array([(parents[joint], joint) for joint in joints], int).reshape(-1, 2)
    return bones, np.array([names is not None and names[joint].startswith("left") for joint in joints], bool)


def _draw(ax: Axes, pose: np.ndarray, bones: np.ndarray, far: np.ndarray) -> None:
    for chosen, colour, width in ((far, _FAR, 1.5), (~far, INK, 2.0)):
        ax.add_collection(LineCollection(list(pose[bones[chosen]]), colors=colour, linewidths=width, capstyle="round"))
