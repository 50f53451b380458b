"""Files of the package pypianoroll, in which each track is a sparse piano-roll of 128 notes.

Such an ``.npz`` file has for each track the arrays of a matrix in compressed sparse column (CSC) format, frames x
notes: velocities, or True where a note sounds. The text ``info.json`` says how many frames a beat has, and which tracks
are drums. An array ``tempo`` has the beats per minute of every frame. Versions 0.x and 1.x of the package differ in the
name of the resolution and in the shape of ``tempo``; both are read.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from rnnrbm.arguments import whole_number
from rnnrbm.io import midi, rolls
from rnnrbm.io.rolls import check_size

__all__ = ["RollOptions", "is_pypianoroll", "to_roll"]

_INFO = "info.json"
_RESOLUTIONS = ("resolution", "beat_resolution")  # since version 1.0, and before
_N_NOTES = 128
_CELL = 40  # bytes for a sounding cell: frame and note numbers, in its track and in all tracks together, and masks
_TRACK = re.compile(r"pianoroll_(\d{1,9})_csc_(?:data|indices|indptr|shape)")
_AGAIN = "write the file again with pypianoroll"


class RollOptions(TypedDict, total=False):
    """Options of such a file, which mean what they mean for `rnnrbm.midi.read`."""

    low: int
    high: int
    drums: bool


def is_pypianoroll(data: Mapping[str, np.ndarray]) -> bool:
    """Say if the arrays of an ``.npz`` file are those of pypianoroll."""
    return _INFO in data or any(_TRACK.fullmatch(key) for key in data)


def to_roll(
    path: Path, data: Mapping[str, np.ndarray], *, low: int = 21, high: int = 108, drums: bool = False
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return all tracks as one piano-roll.

    The roll is as long as the longest track, so silence at its end stays.

    Parameters
    ----------
    path : pathlib.Path
        The file, for messages.
    data : mapping of str to numpy.ndarray
        Its arrays, and the bytes of ``info.json`` as an array.
    low, high : int
        MIDI note numbers of the first and the last column.
    drums : bool
        Read the tracks of drums too.

    Returns
    -------
    roll : numpy.ndarray, shape (T, high - low + 1)
        uint8, 1 where a note sounds in any of the tracks, with whatever velocity.
    metadata : dict
        ``low``, ``steps_per_beat``, and ``tempo`` if the file has one: the mean over all beats.

    Raises
    ------
    ValueError
        If `low` or `high` is invalid, the file is damaged or of another layout, holds no note, or only drums or notes
        outside `low` to `high`, or has more than :data:`rnnrbm.io.rolls.MAX_FRAMES` frames.

    Warns
    -----
    UserWarning
        If some notes lie outside `low` to `high`.
    """
    midi.check_range(low, high)
    steps_per_beat, is_drum = _info(path, data)
    n_frames, cells = 0, []
    n_cells = sum(data[key].size for track in is_drum if (key := f"pianoroll_{track}_csc_indices") in data)
    check_size(_CELL * n_cells, path)
    for track in is_drum:
        frames, pitches, length = _track(path, data, f"pianoroll_{track}_csc")
        n_frames = max(n_frames, length)
        cells.append((frames, pitches))
    check_size(n_frames * (high - low + 1), path)
    kept = [cell for cell, drum in zip(cells, is_drum.values(), strict=True) if drums or not drum]
    frames, pitches = (np.concatenate([np.zeros(0, np.int64), *(cell[i] for cell in kept)]) for i in range(2))
    if not len(pitches):
        if any(len(cell[1]) for cell in cells):
            raise ValueError(
                f"{path}: all notes are in tracks of drums; read them with drums=True (rnnrbm convert --drums)"
            )
        raise ValueError(f"{path}: holds no note in {len(cells)} tracks; leave the file out, or {_AGAIN}")
    inside = midi.in_range(pitches, low, high, path, "sounding cells")
    roll = np.zeros((n_frames, high - low + 1), np.uint8)
    roll[frames[inside], pitches[inside] - low] = 1
    tempo = _tempo(path, data)
    metadata: dict[str, Any] = {"low": low, "steps_per_beat": steps_per_beat}
    return roll, metadata if tempo is None else metadata | {"tempo": tempo}


def _info(path: Path, data: Mapping[str, np.ndarray]) -> tuple[int, dict[int, bool]]:
    """Return the frames in a beat, and by the number of each track whether it is drums."""
    where = f"{path}, {_INFO}"
    if _INFO not in data:
        raise ValueError(f"{path}: has sparse piano-rolls of tracks but no {_INFO}; {_AGAIN}")
    try:
        info = json.loads(data[_INFO].tobytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: is not JSON ({str(error)[:100]}); {_AGAIN}") from None
    if not isinstance(info, dict):
        raise ValueError(f"{where}: is a {type(info).__name__}; expected an object of the resolution and the tracks")
    given = next((name for name in _RESOLUTIONS if name in info), None)
    if given is None:
        raise ValueError(f"{where}: has no {' or '.join(_RESOLUTIONS)}, the frames in a beat; {_AGAIN}")
    try:
        steps_per_beat = whole_number(given, info[given], 1, 32767)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {str(error)[-200:]} frames in a beat; {_AGAIN}") from None
    described = {int(key) for key in info if re.fullmatch(r"\d{1,9}", key)}
    stored = {int(match[1]) for key in data if (match := _TRACK.fullmatch(key))}
    if described != stored:
        raise ValueError(
            f"{where}: describes the tracks {_listed(described)}, expected those of the arrays, {_listed(stored)}; "
            f"{_AGAIN}"
        )
    is_drum = {}
    for track in sorted(described):
        about = info[str(track)]
        drum = about.get("is_drum") if isinstance(about, dict) else None
        if not isinstance(drum, bool):
            raise ValueError(f"{where}: is_drum of track {track} is {drum!r:.40}; expected true or false; {_AGAIN}")
        is_drum[track] = drum
    return steps_per_beat, is_drum


def _listed(tracks: set[int]) -> str:
    """Return the numbers of tracks as words, the first few if there are many."""
    first = sorted(tracks)[:10]
    return ", ".join(map(str, first)) + (" ..." if len(tracks) > len(first) else "") or "none"


def _track(path: Path, data: Mapping[str, np.ndarray], key: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Return frame and note number of each sounding cell of a track, and the number of its frames."""
    parts = {part: f"{key}_{part}" for part in ("data", "indices", "indptr", "shape")}
    for part, name in parts.items():
        if name not in data:
            raise ValueError(f"{path}: has no array {name}; {_AGAIN}")
        kinds = "biuf" if part == "data" else "iu"
        array = data[name]
        if array.ndim != 1 or array.dtype.kind not in kinds:
            raise ValueError(
                f"{path}: {name} is an array of shape {array.shape} of {array.dtype}; expected one dimension of "
                f"{'numbers' if part == 'data' else 'whole numbers'}; {_AGAIN}"
            )
    values, indices, indptr, shape = (data[name] for name in parts.values())
    if shape.size != 2 or shape[1] != _N_NOTES or shape[0] < 0:
        raise ValueError(f"{path}: {key}_shape is {shape.tolist()[:4]}; expected frames x {_N_NOTES} notes; {_AGAIN}")
    length = int(shape[0])
    if length > rolls.MAX_FRAMES:
        raise ValueError(
            f"{path}: {key}_shape is {shape.tolist()}, expected at most {rolls.MAX_FRAMES} frames; leave the file out "
            "if it is damaged, or raise rnnrbm.io.rolls.MAX_FRAMES"
        )
    ends = indptr.astype(np.int64)
    if len(ends) != _N_NOTES + 1 or ends[0] != 0 or (ends[1:] < ends[:-1]).any():
        raise ValueError(
            f"{path}: {key}_indptr has {len(ends)} values from {ends[:1].tolist()}; expected {_N_NOTES + 1} from 0 on, "
            f"none less than the one before; {_AGAIN}"
        )
    if not ends[-1] == len(indices) == len(values):
        raise ValueError(
            f"{path}: {key}_data has {len(values)} cells, {key}_indices {len(indices)}, and {key}_indptr ends at "
            f"{ends[-1]}; expected the same number; {_AGAIN}"
        )
    if len(indices) and not (indices.min() >= 0 and indices.max() < length):
        raise ValueError(
            f"{path}: {key}_indices has frames from {indices.min()} to {indices.max()}; expected 0 to {length - 1}; "
            f"{_AGAIN}"
        )
    if not (values >= 0).all():  # false for NaN too
        wrong = values[~(values >= 0)][0].item()
        raise ValueError(f"{path}: {key}_data holds {wrong}; expected velocities from 0 on, or true; {_AGAIN}")
    sounds = values > 0
    return indices[sounds].astype(np.int64), np.repeat(np.arange(_N_NOTES), np.diff(ends))[sounds], length


def _tempo(path: Path, data: Mapping[str, np.ndarray]) -> float | None:
    """Return the mean tempo in beats per minute, None if there is none that a MIDI file can state."""
    if "tempo" not in data:
        return None
    tempo = data["tempo"]
    if tempo.dtype.kind not in "iuf" or tempo.size != max(tempo.shape, default=1):
        raise ValueError(
            f"{path}: tempo is an array of shape {tempo.shape} of {tempo.dtype}; expected the beats per minute of "
            f"every frame; {_AGAIN}"
        )
    if not (tempo > 0).all() or not tempo.size:
        return None
    # Every frame is the same part of a beat, so this is beats by time, as for the tempo map of a MIDI file.
    return midi.writable_tempo(float(1 / np.mean(1 / tempo.astype(float))))
