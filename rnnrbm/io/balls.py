"""Films of balls that bounce in a box, a standard test of models of video. They are simulated when they are loaded.

I. Sutskever, G. Hinton and G. Taylor, "The recurrent temporal restricted Boltzmann machine", NIPS 2008: three equal
balls in a box collide with the walls and with each other, and no energy is lost. Models of video have been compared on
them since, usually by the squared error of the predicted next frame.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm import memory
from rnnrbm.arguments import as_array, number, whole_number
from rnnrbm.io.rolls import SPLITS, Contents

__all__ = ["BALLS_OPTIONS", "N_SEQUENCES", "RESOLUTION", "bouncing_balls", "load_balls", "render", "trajectories"]

VIDEO = "video"  # name of the kind of frame in records
#: Defaults of :func:`load_balls`, and its options.
RESOLUTION, N_SEQUENCES = 15, 4000
BALLS_OPTIONS = ("resolution", "n_sequences", "seed")
_N_UNSEEN = 200  # sequences of the test set, and at most of the validation set
_N_FRAMES = 128
_MOST_BALLS = 100
_MOST_PIXELS = 2**20  # that are computed at once
_TRIED = 10_000  # placements that are drawn at once
_LEAST_FREE = 10  # ... of which so many must be free of overlaps, or the search would take long

Seed = int | np.random.Generator


def bouncing_balls(
    n_sequences: int,
    n_frames: int = _N_FRAMES,
    resolution: int = RESOLUTION,
    n_balls: int = 3,
    *,
    box: float = 10.0,
    radius: float = 1.2,
    speed: float = 0.5,
    substeps: int = 2,
    seed: Seed = 0,
) -> np.ndarray:
    """Simulate films of balls that bounce in a square box.

    They are the pictures (:func:`render`) of what :func:`trajectories` returns for the same arguments.

    Parameters
    ----------
    n_sequences, n_frames : int
        Number of films, and frames of each.
    resolution : int
        Height and width of a frame, pixels.
    n_balls, box, radius, speed, substeps, seed
        See :func:`trajectories`.

    Returns
    -------
    numpy.ndarray, shape (n_sequences, n_frames, resolution**2)
        float32, from 0 (no ball) to 1 (inside a ball); the rows of the pixels of a frame one after the other.

    Raises
    ------
    ValueError
        If a number is out of range, or the balls do not fit into the box.
    TypeError
        If an argument is no number.
    MemoryError
        If the films would take more memory than there is.

    Examples
    --------
    >>> from rnnrbm.io.balls import bouncing_balls
    >>> bouncing_balls(2, n_frames=5, resolution=8).shape
    (2, 5, 64)
    """
    n_sequences, n_frames = whole_number("n_sequences", n_sequences, 1), whole_number("n_frames", n_frames, 1)
    resolution = _resolution(resolution)
    memory.check(
        4 * n_sequences * n_frames * resolution**2,
        f"{n_sequences} films of {n_frames} frames of {resolution} x {resolution} pixels",
        "give a smaller n_sequences or resolution",
    )
    positions, _ = trajectories(
        n_sequences, n_frames, n_balls, box=box, radius=radius, speed=speed, substeps=substeps, seed=seed
    )
    return render(positions, resolution, box=box, radius=radius)


def trajectories(
    n_sequences: int,
    n_frames: int = _N_FRAMES,
    n_balls: int = 3,
    *,
    box: float = 10.0,
    radius: float = 1.2,
    speed: float = 0.5,
    substeps: int = 2,
    seed: Seed = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate where balls are that bounce in a square box, and how fast they move.

    At the start balls lie anywhere in the box without overlap, each placement as probable as any other. Velocities are
    normal, and scaled so that the root of the sum of their squares over all balls is `speed`. Balls have equal mass. In
    a collision two balls exchange the parts of their velocities along the line between their centres; a wall turns
    the part of the velocity across it. Contacts are found after each substep, so that balls overlap each other and the
    walls by up to a few substeps for a moment.

    Parameters
    ----------
    n_sequences, n_frames : int
        Number of films, and frames of each.
    n_balls : int
        Balls in the box, up to 100.
    box : float
        Side of the box.
    radius : float
        Radius of a ball.
    speed : float
        Length of all velocities of a film together, as one vector, per frame. It never changes.
    substeps : int
        Steps of the simulation in a frame.
    seed : int or numpy.random.Generator
        Decides how balls start. The first films of more, and the first frames of longer ones, are the same for an
        equal seed.

    Returns
    -------
    positions, velocities : numpy.ndarray, shape (n_sequences, n_frames, n_balls, 2)
        float64, x and y: positions of the centres from 0 to `box`, and velocities per frame.

    Raises
    ------
    ValueError
        If a number is out of range, the balls do not fit into the box, or they could pass through each other in a step.
    TypeError
        If an argument is no number.
    MemoryError
        If the result would take more memory than there is.
    """
    n_sequences, n_frames = whole_number("n_sequences", n_sequences, 1), whole_number("n_frames", n_frames, 1)
    n_balls, substeps = whole_number("n_balls", n_balls, 1, _MOST_BALLS), whole_number("substeps", substeps, 1)
    box, radius = _lengths(box, radius)
    speed = number("speed", speed, "a length per frame, at least 0", least=0.0)
    if speed / substeps > radius:
        raise ValueError(
            f"speed={speed:g}: a ball moves up to {speed / substeps:g} in a step, more than its radius {radius:g}, and "
            f"could pass through another one; give more substeps than {substeps}, or a lower speed"
        )
    memory.check(
        4 * 8 * n_sequences * n_frames * n_balls,
        f"the paths of {n_balls} balls in {n_sequences} films of {n_frames} frames",
        "give a smaller n_sequences",
    )
    rng = seed if isinstance(seed, np.random.Generator) else np.random.default_rng(whole_number("seed", seed, 0))
    of_places, of_velocities = rng.spawn(2)  # so that the number of films does not change the first of them
    x = _placed(of_places, n_sequences, n_balls, box, radius)
    v = of_velocities.normal(size=x.shape)
    v *= speed / np.sqrt(np.square(v).sum(axis=(1, 2), keepdims=True))
    positions, velocities = np.empty((2, n_sequences, n_frames, n_balls, 2))
    for t in range(n_frames):
        positions[:, t], velocities[:, t] = x, v
        for _ in range(substeps if t < n_frames - 1 else 0):
            x = x + v / substeps
            v = _after_contacts(x, v, box, radius)
    return positions, velocities


def _after_contacts(x: np.ndarray, v: np.ndarray, box: float, radius: float) -> np.ndarray:
    """Return the velocities (n, n_balls, 2) after the contacts of balls at `x` with walls, then with each other."""
    v = np.where(x < radius, np.abs(v), np.where(x > box - radius, -np.abs(v), v))
    for i, j in combinations(range(x.shape[1]), 2):
        apart = x[:, i] - x[:, j]
        distance = np.sqrt(np.square(apart).sum(axis=1, keepdims=True))
        along = apart / np.maximum(distance, np.finfo(float).tiny)
        approach = ((v[:, j] - v[:, i]) * along).sum(axis=1, keepdims=True)
        # balls that overlap still and part already have collided in the step before
        exchanged = np.where((distance < 2 * radius) & (approach > 0), approach, 0.0) * along
        v[:, i] += exchanged
        v[:, j] -= exchanged
    return v


def _placed(rng: np.random.Generator, n_sequences: int, n_balls: int, box: float, radius: float) -> np.ndarray:
    """Return centres (n_sequences, n_balls, 2) of balls; placements are drawn until so many have no overlap.

    Raises
    ------
    ValueError
        If next to no placement has none.
    """
    found: list[np.ndarray] = []
    while sum(map(len, found)) < n_sequences:
        drawn = radius + rng.random((_TRIED, n_balls, 2)) * (box - 2 * radius)
        free = np.ones(_TRIED, bool)
        for i, j in combinations(range(n_balls), 2):
            free &= np.square(drawn[:, i] - drawn[:, j]).sum(axis=1) >= (2 * radius) ** 2
        if not found and free.sum() < _LEAST_FREE:
            raise ValueError(
                f"n_balls={n_balls} of radius {radius:g} in a box of {box:g} x {box:g}: they would cover "
                f"{n_balls * np.pi * (radius / box) ** 2:.0%} of it, and {free.sum()} of {_TRIED} random placements "
                f"had no overlap, expected {_LEAST_FREE} or more; give fewer or smaller balls, or a larger box"
            )
        found.append(drawn[free])
    return np.concatenate(found)[:n_sequences]


def render(positions: ArrayLike, resolution: int = RESOLUTION, *, box: float = 10.0, radius: float = 1.2) -> np.ndarray:
    """Return pictures of balls. A pixel is the sum over balls of exp(-(d / radius)**8), at most 1.

    Here d is the distance from the centre of the pixel to that of the ball, so that balls have soft edges.

    Parameters
    ----------
    positions : array_like, shape (..., n_balls, 2)
        Centres of the balls, x and y. In a picture x goes right and y down.
    resolution : int
        Height and width of a picture, pixels.
    box, radius : float
        Side of the box, and radius of a ball.

    Returns
    -------
    numpy.ndarray, shape (..., resolution**2)
        float32, from 0 to 1.

    Raises
    ------
    ValueError
        If a number is out of range, or positions have another shape.
    TypeError
        If an argument is no number.
    """
    resolution = _resolution(resolution)
    box, radius = _lengths(box, radius)
    balls = as_array(positions, "positions").astype(float, copy=False)
    if balls.ndim < 2 or balls.shape[-1] != 2:
        raise ValueError(f"positions has shape {balls.shape}; expected (..., n_balls, 2), x and y of each ball")
    rows = balls.reshape(-1, *balls.shape[-2:])
    centres = (np.arange(resolution) + 0.5) * box / resolution
    pixels = np.empty((len(rows), resolution, resolution), np.float32)
    step = max(_MOST_PIXELS // resolution**2, 1)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        # far away, where all is 0 anyway, the eighth power could overflow
        squares = np.minimum(np.square((centres - part[..., None]) / radius), 100.0).astype(np.float32)
        shown = pixels[start : start + step]
        shown[:] = 0
        for ball in range(balls.shape[-2]):
            across, down = squares[:, ball, 0], squares[:, ball, 1]
            distance = across[:, None, :] + down[:, :, None]
            shown += np.exp(-np.square(np.square(distance)))
        np.minimum(shown, 1, out=shown)
    return pixels.reshape(*balls.shape[:-2], resolution**2)


def load_balls(resolution: int = RESOLUTION, n_sequences: int = N_SEQUENCES, seed: int = 0) -> Contents:
    """Make the data set of bouncing balls: films of 128 frames of three balls.

    By default, 4 400 films of 15 x 15 pixels take 507 MB of memory, and a few seconds to make. Both grow with
    `n_sequences` and with the square of `resolution`.

    Parameters
    ----------
    resolution : int
        Height and width of a frame, pixels.
    n_sequences : int
        Films of the training set. For validation there is one for each 20 of them, at least 1 and at most 200. The
        test set has 200. Each set has a random stream of its own: the test set depends on `resolution` and `seed`
        only, and a smaller training set is the beginning of a larger one.
    seed : int
        Decides how balls start.

    Returns
    -------
    Contents
        Pieces of shape (128, resolution**2), float32, from 0 to 1.

    Raises
    ------
    ValueError
        If a number is out of range.
    TypeError
        If an argument is no whole number.
    MemoryError
        If the films would take more memory than there is.
    """
    n_sequences = whole_number("n_sequences", n_sequences, 1)
    resolution, seed = _resolution(resolution), whole_number("seed", seed, 0)
    sizes: Sequence[int] = (n_sequences, min(max(n_sequences // 20, 1), _N_UNSEEN), _N_UNSEEN)
    streams = np.random.default_rng(seed).spawn(len(SPLITS))
    films = {
        split: list(bouncing_balls(size, resolution=resolution, seed=stream))
        for split, size, stream in zip(SPLITS, sizes, streams, strict=True)
    }
    names = {split: [f"{split}[{i}]" for i in range(len(pieces))] for split, pieces in films.items()}
    return Contents("balls", films, names, {"kind": VIDEO, "height": resolution, "width": resolution})


def _resolution(resolution: int) -> int:
    return whole_number("resolution", resolution, 1, 1024)


def _lengths(box: float, radius: float) -> tuple[float, float]:
    """Return the side of the box and the radius of a ball, which must fit into it."""
    box = number("box", box, "the side of the box, greater than 0", above=0.0)
    radius = number("radius", radius, "the radius of a ball, greater than 0", above=0.0)
    if 2 * radius >= box:
        raise ValueError(
            f"radius={radius:g}: a ball of diameter {2 * radius:g} cannot move in a box of {box:g} x {box:g}; give a "
            "smaller radius or a larger box"
        )
    return box, radius
