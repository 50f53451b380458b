"""Motion capture in MATLAB files, in the two layouts in which data of the MIT (E. Hsu, 2005) were published.

A file with ``Motion`` and ``skel`` comes from the code of G. W. Taylor, G. E. Hinton and S. Roweis, "Modeling human
motion using binary latent variables", NIPS 2006. A file with ``train_data`` and ``test_data`` comes from that of
Z. Gan, C. Li, R. Henao, D. Carlson and L. Carin, "Deep temporal sigmoid belief networks for sequence modeling",
NIPS 2015. Its columns are those of the other file that are not constant, standardised.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnrbm.arguments import number
from rnnrbm.io import download
from rnnrbm.io.mat import load_variables, variable_names
from rnnrbm.io.rolls import Contents
from rnnrbm.io.skeleton import body_centred, is_body_centred, uprightness
from rnnrbm.io.splits import DEFAULT_SPLIT, check_split
from rnnrbm.io.tables import VECTORS, by_time, standardise

__all__ = [
    "MIT_MOCAP",
    "MOTION",
    "MOTION_OPTIONS",
    "MOTION_SECONDS",
    "load_mit_mocap",
    "load_motion",
    "motion_layout",
    "read_sequences",
]

MOTION = "motion"  # name of the kind of frame in records
#: Options of `load_motion`.
MOTION_OPTIONS = ("split", "seconds_per_frame")

_COMMIT = "5e3cb6d0ad5fe45e0d1078bc687d4be83fc21a12"
#: The data set of Gan and others, at a fixed commit.
MIT_MOCAP = download.PublishedFile(
    "mit-mocap",
    "mocap",
    f"https://raw.githubusercontent.com/zhegan27/TSBN_code_NIPS2015/{_COMMIT}/mocap/mit_data",
    "mit_mocap.mat",
    "d91828a48afe679eee20215b7657a0f54258654d3a2c9d6e943fec41dc7a0ddf",
)
_N_VALID = 5  # sequences at the end of train_data
MOTION_SECONDS = 1 / 30  # per frame; the recordings had 120 frames per second, of which every fourth was taken

#: The joints of the skeleton of type "mit", which the file does not name, and their parents.
_MIT_JOINTS = {
    "pelvis": -1,
    "left hip": 0,
    "left knee": 1,
    "left ankle": 2,
    "left toes": 3,
    "right hip": 0,
    "right knee": 5,
    "right ankle": 6,
    "right toes": 7,
    "spine": 0,
    "left collar": 9,
    "left shoulder": 10,
    "left elbow": 11,
    "left wrist": 12,
    "right collar": 9,
    "right shoulder": 14,
    "right elbow": 15,
    "right wrist": 16,
}


class _Tree(NamedTuple):
    """Joints, of which parents come before their children: names, parents, and columns (from 0) in the file."""

    names: list[str]
    parents: list[int]
    rotations: np.ndarray  # (n_joints, 3)
    offsets: np.ndarray  # (n_joints, 3)


def motion_layout(path: Path) -> str:
    """Return ``"motion"`` for a MATLAB file with ``Motion``, ``"vectors"`` with ``train_data``, ``""`` for others."""
    if path.suffix.lower() != ".mat" or not path.is_file():
        return ""
    names = variable_names(path)
    if "Motion" in names:
        return MOTION
    return VECTORS if names & {"train_data", "test_data"} else ""


def load_mit_mocap() -> Contents:
    """Read the data set ``"mit-mocap"``; see :func:`rnnrbm.io.download.locate` for where, and for errors."""
    contents = read_sequences(download.locate(MIT_MOCAP))
    return contents._replace(name="mit-mocap", record=contents.record | {"seconds_per_frame": MOTION_SECONDS})


def read_sequences(path: Path) -> Contents:
    """Read a MATLAB file with cell arrays ``train_data`` and ``test_data`` of sequences (T, n), as they are.

    The last five sequences of ``train_data`` are the validation set; if it has fewer than ten, half of them.

    Raises
    ------
    ValueError
        If the file is damaged or of another layout.
    """
    variables = load_variables(path, ["train_data", "test_data"])
    if missing := [key for key in ("train_data", "test_data") if key not in variables]:
        raise ValueError(f"{path}: has no {missing[0]}; expected cell arrays train_data and test_data of sequences")
    found = {key: _cells(path, key, variables[key]) for key in ("train_data", "test_data")}
    n = len(found["train_data"])
    if n < 2:
        raise ValueError(f"{path}: train_data has one sequence; expected two or more, the last ones for validation")
    valid = range(n - min(_N_VALID, n // 2), n)
    pieces: dict[str, list[np.ndarray]] = {"train": [], "valid": [], "test": found["test_data"]}
    names: dict[str, list[str]] = {"train": [], "valid": []}
    names["test"] = [f"test_data[{i}]" for i in range(len(found["test_data"]))]
    for i, piece in enumerate(found["train_data"]):
        pieces["valid" if i in valid else "train"].append(piece)
        names["valid" if i in valid else "train"].append(f"train_data[{i}]")
    return Contents(path.stem, pieces, names, {"kind": VECTORS})


def load_motion(
    path: Path, *, split: Sequence[float] = DEFAULT_SPLIT, seconds_per_frame: float = MOTION_SECONDS
) -> Contents:
    """Read a MATLAB file with ``Motion``, sequences of poses, and ``skel``, a skeleton of type ``mit``.

    A row of a sequence has for each joint a rotation vector relative to its parent, radians, and its offset from the
    parent. Those of the root are its rotation and position, z being up, or instead the six numbers of
    :mod:`rnnrbm.io.skeleton`, as in the published file. What they are is told by which of both is an upright body.

    Parameters
    ----------
    path : pathlib.Path
    split : three floats
        Fractions of each sequence for training, validation and test, one after the other.
    seconds_per_frame : float
        Duration of a frame in seconds. The file does not say it; the default is that of the published one, 1/30.

    Returns
    -------
    Contents
        Frames of the six numbers of the root and the rotation vectors of the other joints, standardised with means and
        deviations of the training set. Columns that do not vary are left out.

    Raises
    ------
    ValueError
        If the file is damaged or of another layout, or a body is not upright.
    """
    seconds = number("seconds_per_frame", seconds_per_frame, "a positive number", above=0.0)
    fractions, _ = check_split(split, 0)
    variables = load_variables(path, ["Motion", "skel"])
    if missing := [key for key in ("Motion", "skel") if key not in variables]:
        raise ValueError(
            f"{path}: has no {' and '.join(missing)}; expected cells Motion of sequences and a struct skel"
        )
    sequences = _cells(path, "Motion", variables["Motion"])
    tree = _tree(path, variables["skel"], sequences[0].shape[1])
    offsets = _offsets(path, tree, sequences)
    values = {f"Motion[{i}]": _frames(path, i, each, tree) for i, each in enumerate(sequences)}
    names, parts = by_time(path, values, fractions)
    done = standardise(path, parts)
    record = {
        "kind": MOTION,
        "seconds_per_frame": seconds,
        "joints": tuple(tree.names),
        "parents": tuple(tree.parents),
        "offsets": tuple(offsets.ravel().tolist()),
        "mean": done.mean,
        "deviation": done.deviation,
    }
    return Contents(path.stem, done.pieces, names, record)


def _cells(path: Path, key: str, cells: Any) -> list[np.ndarray]:
    """Return the cells of an array as sequences (T, n) of one width."""
    if cells.dtype != object or not cells.size:
        raise ValueError(
            f"{path}: {key} is an array of shape {cells.shape} of {cells.dtype}; expected a cell array of sequences"
        )
    found: list[np.ndarray] = []
    for i, cell in enumerate(cells.ravel()):
        array = np.asarray(cell)
        if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{path}: {key}[{i}] is an array of shape {array.shape} of {array.dtype}; expected (frames, columns) "
                "of real numbers"
            )
        if found and array.shape[1] != found[0].shape[1]:
            raise ValueError(
                f"{path}: {key}[{i}] has {array.shape[1]} columns, but the first sequence has {found[0].shape[1]}"
            )
        values = array.astype(float)
        if not np.isfinite(values).all():
            raise ValueError(f"{path}: {key}[{i}] has values that are not finite; get the file again")
        found.append(values)
    return found


def _tree(path: Path, skel: Any, n_columns: int) -> _Tree:
    """Return the joints of a skeleton."""
    try:
        kind = str(skel["type"].item().item())
        joints = skel["tree"].item().ravel()
        parents = [int(each.item()) - 1 if each.size else -1 for each in joints["parent"]]
        rotations, offsets = (
            np.array([each.ravel() for each in joints[name]]).astype(int) - 1 for name in ("or", "offset")
        )
    except (ValueError, TypeError, IndexError, KeyError, AttributeError):
        raise ValueError(
            f"{path}: skel is no skeleton; expected a struct of a type and a tree, whose fields are children, parent, "
            "or and offset"
        ) from None
    if kind != "mit":
        raise ValueError(
            f"{path}: the skeleton is of type {kind[:20]!r}; expected 'mit', whose joints are rotation vectors"
        )
    n = len(parents)
    wrong = n < 2 or parents[0] != -1 or any(not 0 <= parent < j for j, parent in enumerate(parents[1:], 1))
    if wrong or rotations.shape != (n, 3) or offsets.shape != (n, 3):
        raise ValueError(
            f"{path}: the tree of the skeleton does not begin with one root, or a joint comes before its parent or has "
            "not three columns of a rotation and three of an offset"
        )
    columns = np.concatenate([rotations, offsets]).ravel()
    if columns.min() < 0 or columns.max() >= n_columns or len(set(columns.tolist())) < len(columns):
        raise ValueError(
            f"{path}: the skeleton names columns {columns.min() + 1} to {columns.max() + 1}, or one twice; the "
            f"sequences have {n_columns} columns"
        )
    known = parents == list(_MIT_JOINTS.values())
    names = list(_MIT_JOINTS) if known else ["root", *(f"joint {i}" for i in range(1, n))]
    return _Tree(names, parents, rotations, offsets)


def _offsets(path: Path, tree: _Tree, sequences: list[np.ndarray]) -> np.ndarray:
    """Return the offsets of the joints (n_joints, 3), which must be the same in all frames; 0 of the root."""
    columns = tree.offsets[1:].ravel()
    low = np.min([each[:, columns].min(axis=0) for each in sequences], axis=0)
    high = np.max([each[:, columns].max(axis=0) for each in sequences], axis=0)
    if (changed := high - low > 1e-3 * max(float(np.abs(high).max()), 1e-12)).any():
        first = int(changed.argmax())
        raise ValueError(
            f"{path}: column {columns[first] + 1}, part of the offset of {tree.names[first // 3 + 1]!r}, changes; "
            "expected bones of constant length, and one skeleton for all sequences"
        )
    return np.concatenate([np.zeros((1, 3)), sequences[0][0, columns].reshape(-1, 3)])


def _frames(path: Path, i: int, values: np.ndarray, tree: _Tree) -> np.ndarray:
    """Return frames of a sequence: the six numbers of the root, and the rotations of the other joints."""
    rotation, position = values[:, tree.rotations[0]], values[:, tree.offsets[0]]
    if is_body_centred(rotation):
        root = np.concatenate([rotation, position], axis=1)
    elif uprightness(rotation) > 0.5:
        try:
            root = body_centred(position, rotation)
        except ValueError as error:
            raise ValueError(f"{path}: Motion[{i}], {error}") from None
    else:
        raise ValueError(
            f"{path}: Motion[{i}] is no upright body: its columns of the root are neither angles from gravity, near "
            "1.57, nor a rotation vector of a body with the z axis up"
        )
    return np.concatenate([root, values[:, tree.rotations[1:].ravel()]], axis=1)
