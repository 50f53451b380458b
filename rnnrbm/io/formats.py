"""Files that hold a data set, or one piano-roll: ``.npz`` files, and which reader each suffix has.

`rnnrbm.datasets.load` chooses a reader by the suffix. `save_roll` and `load_roll` are for a single piano-roll, which
`rnnrbm convert` goes through; `load_roll` also reads a file of the package pypianoroll.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.files import atomic, check_regular, load_arrays
from rnnrbm.io import pypianoroll
from rnnrbm.io.mat import read_mat
from rnnrbm.io.midi import check_reading, check_tempo
from rnnrbm.io.notes import read_json, read_pickle
from rnnrbm.io.rolls import SPLITS, Contents, TooLarge, check_roll, check_size, unreadable

__all__ = [
    "LONGEST_RECORD",
    "PLAIN",
    "WITH_RANGE",
    "load_roll",
    "read_arrays",
    "read_npy",
    "read_npz",
    "roll_layout",
    "save_roll",
    "write_npy",
    "write_npz",
]

_LONGEST = 10_000  # characters of a name
LONGEST_RECORD = 250_000  # ... of the record of a kind of frame, which may have numbers for each column
_PIECE = 200  # bytes that an array and its name take, whatever they hold


def read_npz(path: Path) -> Contents:
    """Read a file that `rnnrbm.datasets.save` wrote. Its kind of frame has yet to check the values.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is damaged or of another kind or layout.
    """
    data = _arrays(path, "write it again with `save`")
    keys = ["name", "kind", *(s + part for s in SPLITS for part in ("", "_lengths", "_names"))]
    missing = [key for key in keys if key not in data]
    if missing and _layout(data):
        raise ValueError(
            f"{path}: holds one piano-roll, not a data set of pieces for training, validation and test; convert each "
            "roll to MIDI ('rnnrbm convert roll.npz roll.mid') and give the folder, or make a Dataset of several rolls "
            "and write it with rnnrbm.datasets.save"
        )
    if missing:
        raise ValueError(
            f"{path}: has no {', '.join(missing)}; expected a file written by rnnrbm.datasets.save or 'rnnrbm convert'"
        )
    for key in ("name", "kind", *(f"{split}_names" for split in SPLITS)):
        _check_text(data[key], f"{path}: {key}", LONGEST_RECORD if key == "kind" else _LONGEST)
    if data["name"].ndim or data["kind"].ndim:
        raise ValueError(
            f"{path}: name and kind have shapes {data['name'].shape} and {data['kind'].shape}; expected texts"
        )
    try:
        record = json.loads(str(data["kind"]))
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ValueError(f"{path}: kind is {str(data['kind'])[:40]!r}; expected a JSON object; write it again")
    pieces: dict[str, list[np.ndarray]] = {}
    names: dict[str, list[str]] = {}
    for split in SPLITS:
        frames, lengths, texts = (data[split + part] for part in ("", "_lengths", "_names"))
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or texts.ndim != 1 or frames.ndim != 2:
            raise ValueError(
                f"{path}: {split}, {split}_lengths and {split}_names have {frames.ndim}, {lengths.ndim} and "
                f"{texts.ndim} dimensions, lengths of {lengths.dtype}; expected 2, 1 and 1, whole numbers; write "
                "it again with `save`"
            )
        check_size(_PIECE * max(len(lengths), len(texts)), path)
        if (lengths < 0).any() or (lengths > len(frames)).any() or lengths.sum() != len(frames):
            span = f" (from {lengths.min()} to {lengths.max()})" if len(lengths) else ""
            raise ValueError(
                f"{path}: {split} has {len(frames)} frames but its lengths{span} add up to {sum(map(int, lengths))}; "
                "write it again with `save`"
            )
        ends = np.cumsum(lengths)
        pieces[split] = [frames[end - length : end] for end, length in zip(ends, lengths, strict=True)]
        names[split] = [str(text) for text in texts]
    return Contents(str(data["name"]), pieces, names, record, _labels(path, data, pieces))


def _labels(
    path: Path, data: Mapping[str, np.ndarray], pieces: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, list[np.ndarray]] | None:
    """Return the labels of a data set's frames, or None if its file has none."""
    given = {split: data[f"{split}_labels"] for split in SPLITS if f"{split}_labels" in data}
    if not given:
        return None
    if missing := [f"{split}_labels" for split in SPLITS if split not in given]:
        raise ValueError(f"{path}: has no {', '.join(missing)}; expected labels of every split, write it again")
    for split, labels in given.items():
        n = sum(map(len, pieces[split]))
        if labels.shape != (n,) or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{path}: {split}_labels is an array of shape {labels.shape} of {labels.dtype}; expected {n} whole "
                "numbers, one for each frame; write it again with `save`"
            )
    ends = {split: np.cumsum([len(piece) for piece in pieces[split]], dtype=int) for split in SPLITS}
    return {split: np.split(labels, ends[split][:-1]) if len(ends[split]) else [] for split, labels in given.items()}


def _check_text(array: np.ndarray, where: str, longest: int) -> None:
    """Raise ValueError unless an array holds texts. NumPy takes any number for a character; Python does not."""
    codes = np.empty(0, np.uint32)
    if array.dtype.kind == "U":
        codes = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).ravel().view(np.uint32)
    if array.dtype.itemsize > 4 * longest:
        raise ValueError(f"{where} has room for texts of {array.dtype.itemsize // 4} characters; expected {longest}")
    if array.dtype.kind != "U" or (codes > 0x10FFFF).any() or (codes >> 11 == 0x1B).any():  # the latter are surrogates
        raise ValueError(f"{where} is an array of {array.dtype}, or damaged; expected texts")


def save_roll(path: str | os.PathLike[str], roll: ArrayLike, **metadata: float | None) -> None:
    """Write one piano-roll to an ``.npz`` file, which `load_roll` reads back.

    The file has an array ``roll``, and the numbers `metadata` that are not None. It appears whole or not at all; an
    earlier one of that name is replaced.

    Parameters
    ----------
    path : path-like
        Ends in ``.npz``; its folder exists.
    roll : array_like, shape (T, n)
        0 and 1.
    **metadata
        ``low`` (MIDI note number of column 0), ``steps_per_beat`` or ``seconds_per_frame``, and ``tempo`` (beats per
        minute).

    Raises
    ------
    ValueError
        If `path` does not end in ``.npz``, or the roll holds other values than 0 and 1.
    OSError
        If the file cannot be written.
    """
    known: dict[str, ArrayLike] = {key: value for key, value in metadata.items() if value is not None}
    write_npz(path, known | {"roll": check_roll(roll, where="roll")})


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, ArrayLike]) -> None:
    """Write compressed arrays to an ``.npz`` file, whole or not at all.

    Raises
    ------
    ValueError
        If `path` does not end in ``.npz``.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"{path}: expected a file name ending in .npz")
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write one array to an ``.npy`` file, whole or not at all.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with atomic(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def read_npy(path: Path, what: str) -> np.ndarray:
    """Read the array of an ``.npy`` file; `what` says in errors what it should hold.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is damaged or of another kind.
    """
    check_regular(path, "an .npy file")
    with open(path, "rb") as file:
        try:
            array = load_arrays(file, lambda size: check_size(size, path))
            if isinstance(array, dict):
                raise ValueError("an archive of arrays")
            return array
        except Exception as error:  # NumPy raises many kinds of errors for a damaged file
            raise ValueError(f"{path}: is no .npy file, or is damaged; give a .npy file of {what}") from error


def read_arrays(path: Path, names: Sequence[str], advice: str) -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz`` file that has some names; `advice` says in errors what to do.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is damaged, or an array is missing.
    """
    arrays = _arrays(path, advice)
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"{path}: has no {', '.join(missing)}; expected the arrays {', '.join(names)}; {advice}")
    return arrays


def load_roll(
    path: str | os.PathLike[str], **options: Unpack[pypianoroll.RollOptions]
) -> tuple[np.ndarray, dict[str, Any]]:
    """Read one piano-roll, of a file that `save_roll` wrote, one with an array ``roll``, or one of pypianoroll.

    Parameters
    ----------
    path : path-like
        An ``.npz`` file.
    **options
        For a file of pypianoroll, whose tracks become one roll: ``low`` and ``high``, the MIDI note numbers of the
        first and the last column, by default 21 and 108, and ``drums=True`` to read tracks of drums too.

    Returns
    -------
    roll : numpy.ndarray, shape (T, n)
        uint8, 0 or 1.
    metadata : dict
        ``low``, ``steps_per_beat``, ``seconds_per_frame`` and ``tempo``, those that the file has.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is damaged or of another kind or layout, holds other values than 0 and 1, or has no such option. For a
        file of pypianoroll see also `rnnrbm.io.pypianoroll.to_roll`.

    Warns
    -----
    UserWarning
        If notes of a file of pypianoroll lie outside `low` to `high`.
    """
    path = Path(path)
    data = _arrays(path, "write it again with `save_roll`")
    layout = _layout(data)
    if not layout:
        found = " ".join(", ".join(data).split()) or "nothing"  # in one line
        raise ValueError(f"{path}: has no array 'roll' but {found}; expected a piano-roll")
    if layout == "pypianoroll":
        return pypianoroll.to_roll(path, data, **options)
    if options:
        raise ValueError(f"{path}: {', '.join(options)} cannot be chosen for a piano-roll that says what it is")
    roll = check_roll(data["roll"], where=f"{path}, roll")
    metadata: dict[str, Any] = {}
    for key in ("low", "steps_per_beat", "seconds_per_frame", "tempo"):
        value = _number(path, data, key)
        if value is not None:
            whole = key in ("low", "steps_per_beat")
            if whole and value != int(value):
                raise ValueError(f"{path}: {key}={value}; expected a whole number")
            metadata[key] = int(value) if whole else value
    try:
        check_reading(**{key: value for key, value in metadata.items() if key != "tempo"}, high=127)
        if "tempo" in metadata:
            check_tempo(metadata["tempo"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return roll, metadata


def roll_layout(path: Path) -> str:
    """Return whose layout an ``.npz`` file of one piano-roll has, "rnnrbm" or "pypianoroll"; "" if it is no such file.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is damaged or of another kind.
    """
    return _layout(_arrays(path, "write it again"))


def _layout(data: Mapping[str, np.ndarray]) -> str:
    """Return the layout of one piano-roll that the arrays have, "" if they have none."""
    if "roll" in data:
        return "rnnrbm"
    return "pypianoroll" if pypianoroll.is_pypianoroll(data) else ""


def _arrays(path: Path, advice: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file."""
    check_regular(path, "an .npz file")
    with open(path, "rb") as file:
        try:
            arrays = load_arrays(file, lambda size: check_size(size, path))
            if isinstance(arrays, dict):
                return arrays
            raise ValueError("one array, as in an .npy file")
        except TooLarge:
            raise
        except Exception as error:  # a damaged file makes zipfile, zlib or NumPy raise
            raise unreadable(path, "an .npz file", error, advice) from error


def _number(path: Path, data: dict[str, np.ndarray], key: str) -> float | None:
    """Return a number of an .npz file, None if it is not there."""
    if key not in data:
        return None
    value = data[key]
    if value.ndim != 0 or value.dtype.kind not in "iuf" or not np.isfinite(value):
        raise ValueError(f"{path}: {key} is an array of shape {value.shape} of {value.dtype}; expected one number")
    return float(value)


#: Readers by suffix: those of files that say themselves what their columns are, and those that are told.
PLAIN: dict[str, Callable[[Path], Contents]] = {".mat": read_mat, ".npz": read_npz}
WITH_RANGE: dict[str, Callable[[Path, int, int], Contents]] = {
    ".json": read_json,
    ".pickle": read_pickle,
    ".pkl": read_pickle,
}
