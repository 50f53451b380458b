"""Motion capture in MATLAB files: both published layouts, made here, and the published files themselves."""

import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from helpers import assert_damage_is_named, write_mat
from scipy.spatial.transform import Rotation

from rnnrbm.datasets import SPLITS, Dataset, Motion, Vectors, load, resolved, save
from rnnrbm.io.motion import motion_layout
from rnnrbm.io.skeleton import ROOT_COLUMNS, body_centred, joint_positions

FOLDER = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "mocap"
needs_motion = pytest.mark.skipif(not (FOLDER / "motion.mat").is_file(), reason="RNNRBM_DATA has no mocap/motion.mat")
needs_mit = pytest.mark.skipif(
    not (FOLDER / "mit_mocap.mat").is_file(), reason="RNNRBM_DATA has no mocap/mit_mocap.mat"
)

PARENTS = [-1, 0, 1, 0]
OFFSETS = np.array([[0, 0, 0], [0, 90, 0], [0, 0, -400], [0, -90, 5.0]])


def raw(n, seed):
    """Rows as of a file: root position and rotation vector, and those of three joints with their offsets."""
    rng = np.random.default_rng(seed)
    root = Rotation.from_euler("ZYX", np.cumsum(rng.normal(0, 0.1, (n, 3)), axis=0) * [3, 0.3, 0.3]).as_rotvec()
    position = np.cumsum(rng.normal(0, 30, (n, 3)), axis=0) + [0, 0, 900]
    joints = np.cumsum(rng.normal(0, 0.1, (n, 3, 3)), axis=0)
    joints[:, 1, [0, 2]] = 0.0  # a knee
    parts = [root, position]
    for j in range(3):
        parts += [joints[:, j], np.tile(OFFSETS[j + 1], (n, 1))]
    return np.concatenate(parts, axis=1)


def skeleton(**changes):
    n = len(PARENTS)
    tree = np.empty((1, n), [(name, object) for name in ("children", "parent", "or", "offset")])
    for j, parent in enumerate(PARENTS):
        first = 6 * j + 1
        tree[0, j] = (
            np.zeros((0, 0)),
            [[parent + 1]] if j else np.zeros((0, 0)),
            first + np.arange(3),
            first + np.arange(3, 6),
        )
    return {"tree": tree, "type": "mit"} | changes


def write_motion(path, sequences, **changes):
    cells = np.empty((1, len(sequences)), object)
    cells[0] = sequences
    scipy.io.savemat(path, {"Motion": cells, "skel": skeleton(**changes)})
    return path


@pytest.fixture(scope="module")
def sequences():
    return [raw(40, 1), raw(31, 2)]


def test_a_raw_file_gives_poses_that_are_those_of_the_file(tmp_path, sequences):
    data = load(write_motion(tmp_path / "a.mat", sequences), split=(0.5, 0.25, 0.25), seconds_per_frame=0.02)
    assert isinstance(data.kind, Motion)
    assert (data.kind.parents, data.kind.joints) == (tuple(PARENTS), ("root", "joint 1", "joint 2", "joint 3"))
    assert data.n_visible == 6 + 7
    assert len(data.kind.columns) == 6 + 9
    assert data.names["valid"] == ["Motion[0][20:30]", "Motion[1][15:23]"]
    for split, start, end in (("train", 0, 20), ("valid", 20, 30)):
        rows = sequences[0][start:end]
        found, heading = data.kind.positions(getattr(data, split)[0])
        rotations = rows.reshape(len(rows), 4, 6)[:, :, :3]
        root = Rotation.from_rotvec(rotations[:, 0])
        true = joint_positions(PARENTS, OFFSETS, rotations, rows[:, 3:6], root)
        ahead = root.as_matrix()[0, :2, 0]
        turn = Rotation.from_rotvec([0, 0, -np.arctan2(ahead[1], ahead[0])])
        true[:, :, :2] -= true[:1, :1, :2]
        np.testing.assert_allclose(found, turn.apply(true.reshape(-1, 3)).reshape(true.shape), atol=2e-2)  # mm
        assert heading[0] == 0


def test_a_body_centred_file_gives_the_same(tmp_path, sequences):
    centred = []
    for rows in sequences:
        root = body_centred(rows[:, 3:6], rows[:, :3])
        centred.append(np.concatenate([root, rows[:, 6:]], axis=1))
    a, b = (load(write_motion(tmp_path / f"{i}.mat", each)) for i, each in enumerate((sequences, centred)))
    np.testing.assert_allclose(a.kind.deviation, b.kind.deviation, rtol=1e-9, atol=1e-12)
    assert (a.kind.offsets, a.names) == (b.kind.offsets, b.names)
    for split in SPLITS:
        for x, y in zip(getattr(a, split), getattr(b, split), strict=True):
            np.testing.assert_allclose(x, y, atol=1e-5)


def test_the_columns_are_standardised_by_the_training_part(tmp_path, sequences):
    data = load(write_motion(tmp_path / "a.mat", sequences))
    joined = np.concatenate(data.train)
    np.testing.assert_allclose(joined.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(joined.std(axis=0), 1, atol=1e-5)
    assert resolved(tmp_path / "a.mat") == {"split": (0.7, 0.15, 0.15), "seconds_per_frame": 1 / 30}
    save(tmp_path / "a.npz", data)
    assert load(tmp_path / "a.npz").kind == data.kind


def test_what_is_no_motion_is_refused(tmp_path, sequences):
    path = tmp_path / "a.mat"
    with pytest.raises(ValueError, match="of type 'acclaim'; expected 'mit'"):
        load(write_motion(path, sequences, type="acclaim"))
    with pytest.raises(ValueError, match="skel is no skeleton"):
        load(write_motion(path, sequences, tree=[1.0, 2.0]))
    tree = skeleton()["tree"]
    tree["parent"][0, 1] = [[4]]
    with pytest.raises(ValueError, match="a joint comes before its parent"):
        load(write_motion(path, sequences, tree=tree))
    with pytest.raises(ValueError, match=r"names columns 1 to 24, .*have 23 columns"):
        load(write_motion(path, [rows[:, :-1] for rows in sequences]))
    longer = sequences[1].copy()
    longer[:, 22] += 3
    with pytest.raises(ValueError, match="column 23, part of the offset of 'joint 3', changes"):
        load(write_motion(path, [sequences[0], longer]))
    lying = sequences[0].copy()
    lying[:, :3] = [0, np.pi / 2 + 0.5, 0]
    with pytest.raises(ValueError, match=r"Motion\[0\] is no upright body"):
        load(write_motion(path, [lying]))
    with pytest.raises(ValueError, match=r"Motion\[1\] has 23 columns"):
        load(write_motion(path, [sequences[0], sequences[1][:, :-1]]))
    with pytest.raises(ValueError, match=r"seed .* cannot be chosen for motion capture"):
        load(write_motion(path, sequences), seed=1)
    scipy.io.savemat(path, {"Motion": np.ones((3, 3))})
    with pytest.raises(ValueError, match="has no skel"):
        load(path)


def test_damaged_motion_is_read_or_named(tmp_path):
    path = write_motion(tmp_path / "a.mat", [raw(6, 0)])
    assert_damage_is_named(load, path)


def test_sequences_are_taken_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    train, test = [rng.normal(size=(4 + i, 3)) for i in range(12)], [rng.normal(size=(5, 3))]
    path = write_mat(tmp_path / "a.mat", train_data=train, test_data=test)
    assert motion_layout(path) == "vectors"
    data = load(path)
    assert data.kind == Vectors()
    assert [len(getattr(data, split)) for split in SPLITS] == [7, 5, 1]
    np.testing.assert_array_equal(data.valid[0], train[7].astype(np.float32))
    assert data.names["valid"][-1] == "train_data[11]"
    few = write_mat(tmp_path / "b.mat", train_data=train[:3], test_data=test)
    assert [len(getattr(load(few), split)) for split in SPLITS] == [2, 1, 1]
    with pytest.raises(ValueError, match="train_data has one sequence"):
        load(write_mat(tmp_path / "b.mat", train_data=train[:1], test_data=test))
    with pytest.raises(ValueError, match="has no test_data"):
        load(write_mat(tmp_path / "b.mat", train_data=train))
    with pytest.raises(ValueError, match="split cannot be chosen"):
        load(path, split=(0.5, 0.25, 0.25))


def test_compressed_files_and_files_of_rolls_are_told_apart(tmp_path):
    cells = np.empty((1, 3), object)
    cells[0] = [np.eye(3)] * 3
    scipy.io.savemat(tmp_path / "a.mat", {"train_data": cells, "test_data": cells}, do_compression=True)
    assert motion_layout(tmp_path / "a.mat") == "vectors"
    scipy.io.savemat(tmp_path / "a.mat", dict.fromkeys(("traindata", "validdata", "testdata"), cells))
    assert motion_layout(tmp_path / "a.mat") == ""
    (tmp_path / "a.mat").write_bytes(b"MATLAB" * 40)
    assert motion_layout(tmp_path / "a.mat") == ""


@needs_mit
def test_the_published_sequences():
    data = load("mit-mocap")
    assert isinstance(data, Dataset)
    assert [len(getattr(data, split)) for split in SPLITS] == [30, 5, 4]
    assert (data.n_visible, data.name, data.kind) == (49, "mit-mocap", Vectors(1 / 30))
    assert [len(piece) for piece in data.test] == [100, 100, 100, 26]


@needs_motion
def test_the_published_motion():
    data = load(FOLDER / "motion.mat")
    assert (data.n_visible, len(data.kind.joints), len(data.kind.columns)) == (49, 18, 57)
    assert sum(len(piece) for split in SPLITS for piece in getattr(data, split)) == 438 + 260 + 3128
    found, _ = data.kind.positions(data.train[2])
    head, feet = found[:, data.kind.joints.index("left collar"), 2], found[:, [4, 8], 2]
    assert (head > feet.max(axis=1) + 900).all()  # millimetres; the body is upright
    forwards = data.kind.original(data.train[2])[:, ROOT_COLUMNS.index("moving forwards")]
    assert 1.0 < forwards.mean() * 30 / 1000 < 1.4  # metres per second, of people who walk
    # the foot that bears the body does not slide: this holds only if signs and axes of the root are right
    lowest = feet.argmin(axis=1)
    steps = np.linalg.norm(np.diff(found[:, [4, 8], :2], axis=0), axis=2)
    same = lowest[1:] == lowest[:-1]
    assert np.median(steps[np.arange(len(steps)), lowest[1:]][same]) < 0.05 * np.median(forwards)


@needs_motion
@needs_mit
def test_both_published_files_have_the_same_columns():
    """A frame of the one file is one of the other, standardised by all its frames."""
    motion, sequences = load(FOLDER / "motion.mat"), load("mit-mocap")
    frames = np.concatenate([p for split in SPLITS for p in map(motion.kind.original, getattr(motion, split))])
    kept = frames[:, motion.kind.values.kept]
    standard = (kept - kept.mean(axis=0)) / kept.std(axis=0)
    for frame in sequences.train[3][::40]:
        assert np.abs(standard - frame).max(axis=1).min() < 1e-3
