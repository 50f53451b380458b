"""Poses: forward kinematics by hand, and the root as seen from the body and from the world."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rnnrbm.io.skeleton import body_centred, is_body_centred, joint_positions, uprightness, world_path

RIGHT = np.pi / 2


def test_a_chain_by_hand():
    """Root, elbow and hand: the root turns by a right angle about z, the elbow by one about its own x."""
    parents, offsets = [-1, 0, 1], [[9, 9, 9], [2, 0, 0], [0, 0, 3]]
    rotations = [[[7, 7, 7], [RIGHT, 0, 0], [1, 1, 1]]]
    found = joint_positions(parents, offsets, rotations, [[10, 20, 30]], Rotation.from_rotvec([[0, 0, RIGHT]]))
    # x of the root points along y of the world; z of the elbow, turned about its x, points along -y of the root, so x
    np.testing.assert_allclose(found[0], [[10, 20, 30], [10, 22, 30], [13, 22, 30]], atol=1e-12)


def test_rotations_add_up_along_a_chain_as_matrices_do():
    rng = np.random.default_rng(0)
    parents, offsets = [-1, 0, 1, 0], rng.normal(size=(4, 3))
    rotations, root, position = rng.normal(size=(5, 4, 3)), rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    found = joint_positions(parents, offsets, rotations, position, Rotation.from_rotvec(root))

    def matrix(vector):  # formula of Rodrigues
        angle = np.linalg.norm(vector)
        x, y, z = vector / angle
        K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K

    for t in range(5):
        R = matrix(root[t])
        one = position[t] + R @ offsets[1]
        two = one + R @ matrix(rotations[t, 1]) @ offsets[2]
        expected = [position[t], one, two, position[t] + R @ offsets[3]]
        np.testing.assert_allclose(found[t], expected, atol=1e-12)
    lengths = [np.linalg.norm(found[:, j] - found[:, p], axis=1) for j, p in enumerate(parents) if j]
    np.testing.assert_allclose(np.transpose(lengths), np.tile(np.linalg.norm(offsets[1:], axis=1), (5, 1)))


def bodies(n, seed):
    """Positions and rotation vectors of a root that wanders, turns round more than once, and tilts."""
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0.3, 0.5, n))
    tilts = rng.normal(0, 0.3, (n, 2))
    rotation = Rotation.from_euler("ZYX", np.column_stack([heading, tilts]))
    return np.cumsum(rng.normal(0, 40, (n, 3)), axis=0) + [5, -7, 900], rotation.as_rotvec()


def test_the_way_there_and_back():
    position, vectors = bodies(200, 1)
    root = body_centred(position, vectors)
    first = Rotation.from_rotvec(vectors).as_matrix()[0, :2, 0]
    back, rotation, heading = world_path(root, start=tuple(position[0, :2]), heading=np.arctan2(first[1], first[0]))
    np.testing.assert_allclose(back, position, atol=1e-6)
    np.testing.assert_allclose(rotation.as_matrix(), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-7)
    np.testing.assert_allclose(np.diff(heading), root[:-1, 2], atol=1e-12)


def test_where_it_begins_and_which_way_it_faces_does_not_matter():
    position, vectors = bodies(50, 2)
    turn = Rotation.from_rotvec([0, 0, 2.1])
    moved = turn.apply(position) + [100, -50, 0]
    root = body_centred(position, vectors)
    np.testing.assert_allclose(body_centred(moved, (turn * Rotation.from_rotvec(vectors)).as_rotvec()), root, atol=1e-9)
    here, there = world_path(root)[0], position
    distances = [np.linalg.norm(path[:, None] - path[None], axis=2) for path in (here, there)]
    np.testing.assert_allclose(*distances, atol=1e-6)


def test_the_six_numbers_by_hand():
    """A body that faces y, leans back and to its left, and walks along y, then turns to the left."""
    lean = Rotation.from_euler("ZYX", [[RIGHT, -0.2, 0.0], [RIGHT + 0.3, 0.0, 0.1]])
    root = body_centred([[0, 0, 90], [-1, 5, 80]], lean.as_rotvec())
    # leaning back lifts the forward axis; a turn about the forward axis lifts the left one
    np.testing.assert_allclose(root[0], [RIGHT + 0.2, RIGHT, 0.3, 5, -1, 90], atol=1e-12)
    np.testing.assert_allclose(root[1], [RIGHT, RIGHT + 0.1, 0.3, 5, -1, 80], atol=1e-12)
    assert body_centred([[1, 2, 3]], [[0, 0, 1.0]]).tolist() == [[RIGHT, RIGHT, 0, 0, 0, 3]]


def test_bodies_that_face_nowhere_are_refused():
    with pytest.raises(ValueError, match="frame 1: the body is upside down"):
        body_centred(np.zeros((2, 3)), [[0, 0, 0], [np.pi - 0.1, 0, 0]])
    with pytest.raises(ValueError, match=r"frame 0: .*vertical"):
        body_centred(np.zeros((1, 3)), [[0, RIGHT, 0]])


def test_samples_that_no_body_has_give_a_body():
    root = np.array([[0.3, 3.0, 0.1, 1, 2, 3], [RIGHT, -9.0, 0, 1, 2, 3], [0.0, 0.0, 0, 0, 0, 0]])
    position, rotation, _ = world_path(root)
    assert np.isfinite(position).all()
    np.testing.assert_allclose(np.linalg.det(rotation.as_matrix()), 1)


def test_the_two_layouts_of_a_root_are_told_apart():
    position, vectors = bodies(60, 3)
    root = body_centred(position, vectors)
    assert is_body_centred(root)
    assert not is_body_centred(vectors)
    assert uprightness(vectors) > 0.8
    assert uprightness(root[:, :3]) < 0
