"""The pose of a body: joint positions by forward kinematics, and a root that is described from the body's own view.

A pose is the position and the rotation of the root, the joint that all others hang on, and a rotation of each other
joint relative to its parent. Rotations are rotation vectors (exponential maps): the axis, times the angle in radians.
The vertical axis is z. Of the root's own axes, x points forwards, y to the left, and z upwards.

Where a body is and which way it faces says nothing of how it moves, so the root is described by six numbers that do not
depend on it, in words those of G. W. Taylor, G. E. Hinton and S. Roweis, "Modeling human motion using binary latent
variables", NIPS 2006:

1. the angle from gravity, which points down, to the forward axis, radians: more than pi / 2 if it points upwards;
2. the angle from gravity to the left axis, radians;
3. the turning to the left until the next frame, radians;
4. the way forwards until the next frame;
5. the way to the right until the next frame;
6. the height.

`body_centred` makes them, and `world_path` is its inverse, but for where the body begins and which way it faces. The
transformation is this library's own, written to give the columns that the published file has.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

__all__ = ["ROOT_COLUMNS", "body_centred", "is_body_centred", "joint_positions", "uprightness", "world_path"]

#: Names of the six numbers.
ROOT_COLUMNS = (
    "gravity to forward axis",
    "gravity to left axis",
    "turning left",
    "moving forwards",
    "moving right",
    "height",
)

_LEAST = 1e-6  # horizontal part of the forward axis below which a body has no heading


def joint_positions(
    parents: Sequence[int],
    offsets: ArrayLike,
    rotations: ArrayLike,
    root_position: ArrayLike,
    root_rotation: "Rotation",
) -> np.ndarray:
    """Return the positions of all joints by forward kinematics.

    A joint lies at the position of its parent, plus its offset turned by the rotation of its parent. Its rotation is
    that of its parent, after its own.

    Parameters
    ----------
    parents : sequence of int
        Of each joint, the number of its parent, which comes before it; the root is number 0, and its parent is -1.
    offsets : array_like, shape (n_joints, 3)
        Position of each joint in the axes of its parent; that of the root is not used.
    rotations : array_like, shape (T, n_joints, 3)
        Rotation vectors relative to the parents, radians; those of the root are not used.
    root_position : array_like, shape (T, 3)
    root_rotation : scipy.spatial.transform.Rotation of T rotations

    Returns
    -------
    numpy.ndarray, shape (T, n_joints, 3)
        In the unit of the offsets.
    """
    from scipy.spatial.transform import Rotation

    offsets, rotations = np.asarray(offsets, float), np.asarray(rotations, float)
    found = np.empty((len(rotations), len(parents), 3))
    found[:, 0] = root_position
    turned = [root_rotation]
    for joint, parent in enumerate(parents[1:], 1):
        found[:, joint] = found[:, parent] + turned[parent].apply(offsets[joint])
        turned.append(turned[parent] * Rotation.from_rotvec(rotations[:, joint]))
    return found


def body_centred(position: ArrayLike, rotation: ArrayLike) -> np.ndarray:
    """Describe the root from the body's own view.

    Parameters
    ----------
    position : array_like, shape (T, 3)
        Positions of the root; z is up.
    rotation : array_like, shape (T, 3)
        Rotation vectors of the root, radians.

    Returns
    -------
    numpy.ndarray, shape (T, 6)
        See :data:`ROOT_COLUMNS`. The last frame has no next one; it moves as the frame before it.

    Raises
    ------
    ValueError
        If in a frame the body is upside down, or its forward axis is vertical, so that it faces nowhere.
    """
    from scipy.spatial.transform import Rotation

    position = np.asarray(position, float)
    axes = Rotation.from_rotvec(np.asarray(rotation, float)).as_matrix()  # columns are the body's axes
    ahead = np.hypot(axes[:, 0, 0], axes[:, 1, 0])
    if (wrong := (axes[:, 2, 2] < 0) | (ahead < _LEAST)).any():
        raise ValueError(
            f"frame {int(wrong.argmax())}: the body is upside down, or its forward axis is vertical; expected bodies "
            "whose root has an x axis that points forwards and a z axis that points up"
        )
    heading = np.unwrap(np.arctan2(axes[:, 1, 0], axes[:, 0, 0]))
    steps = np.diff(position[:, :2], axis=0)
    cos, sin = np.cos(heading[:-1]), np.sin(heading[:-1])
    moves = np.stack(
        [np.diff(heading), cos * steps[:, 0] + sin * steps[:, 1], sin * steps[:, 0] - cos * steps[:, 1]], 1
    )
    moves = np.concatenate([moves, moves[-1:] if len(moves) else np.zeros((1, 3))])
    tilts = np.arccos(np.clip(-axes[:, 2, :2], -1.0, 1.0))
    return np.column_stack([tilts, moves, position[:, 2]])


def world_path(
    root: ArrayLike, *, start: tuple[float, float] = (0.0, 0.0), heading: float = 0.0
) -> "tuple[np.ndarray, Rotation, np.ndarray]":
    """Return where the root is: the inverse of :func:`body_centred`, for upright bodies.

    Parameters
    ----------
    root : array_like, shape (T, 6)
        See :data:`ROOT_COLUMNS`. Angles that no body has, as a model may sample them, are taken for the nearest ones.
    start : (float, float)
        Horizontal position in the first frame.
    heading : float
        Direction that the body faces in the first frame: its angle from the x axis, radians.

    Returns
    -------
    position : numpy.ndarray, shape (T, 3)
    rotation : scipy.spatial.transform.Rotation of T rotations
    heading : numpy.ndarray, shape (T,)
        Radians; not limited to one turn.
    """
    from scipy.spatial.transform import Rotation

    root = np.asarray(root, float)
    headings = heading + np.concatenate([[0.0], np.cumsum(root[:-1, 2])])
    cos, sin = np.cos(headings), np.sin(headings)
    forwards, right = root[:, 3], root[:, 4]
    steps = np.stack([cos * forwards + sin * right, sin * forwards - cos * right], axis=1)
    path = np.asarray(start, float) + np.concatenate([np.zeros((1, 2)), np.cumsum(steps[:-1], axis=0)])
    rise, lean = -np.cos(root[:, 0]), -np.cos(root[:, 1])  # of the forward axis and of the left axis
    ahead = np.sqrt(np.maximum(1.0 - rise**2, _LEAST**2))
    forward = np.stack([ahead * cos, ahead * sin, rise], axis=1)
    level = np.stack([-sin, cos, np.zeros(len(root))], axis=1)  # to the left, and horizontal
    above = np.cross(forward, level)
    share = np.clip(lean / ahead, -1.0, 1.0)[:, None]
    left = np.sqrt(1.0 - share**2) * level + share * above
    rotation = Rotation.from_matrix(np.stack([forward, left, np.cross(forward, left)], axis=2))
    return np.column_stack([path, root[:, 5]]), rotation, headings


def is_body_centred(root: ArrayLike) -> bool:
    """Return whether the first two of some columns (T, n) are angles from gravity to two axes of an upright body."""
    angles = np.asarray(root, float)[:, :2]
    possible = (np.square(np.cos(angles)).sum(axis=1) <= 1.0 + 1e-6).all()
    return bool(possible and (np.abs(angles.mean(axis=0) - np.pi / 2) < np.pi / 6).all())


def uprightness(rotation: ArrayLike) -> float:
    """Return the mean cosine of the angle between the root's z axis and the vertical, of rotation vectors (T, 3)."""
    from scipy.spatial.transform import Rotation

    return float(Rotation.from_rotvec(np.asarray(rotation, float)).as_matrix()[:, 2, 2].mean())
