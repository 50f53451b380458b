"""What the readers share: the contents of a data set, and checking and transposing one piano-roll."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import plain
from rnnrbm.files import first_line

__all__ = [
    "MAX_BYTES",
    "MAX_FRAMES",
    "MAX_MIDI_BYTES",
    "PIANO",
    "PIANO_ROLL",
    "SPLITS",
    "Contents",
    "TooLarge",
    "check_roll",
    "check_size",
    "transpose",
    "unreadable",
]

SPLITS = ("train", "valid", "test")
PIANO = (21, 108)  # A0 to C8, the 88 keys
PIANO_ROLL = "piano-roll"  # name of the kind of frame in records
#: Most bytes that a file of data may take, or expand to. The largest benchmark set takes a fifth of it. For more, set
#: ``rnnrbm.io.rolls.MAX_BYTES``.
MAX_BYTES = 2**30
#: Most frames of a roll that is read from or written to a MIDI file: of eighth notes, 70 hours of music. A roll of 88
#: notes takes 88 MB. For more, set ``rnnrbm.io.rolls.MAX_FRAMES``.
MAX_FRAMES = 1_000_000


#: Most bytes of a MIDI file, of which a large one has a tenth. For more, set ``rnnrbm.io.rolls.MAX_MIDI_BYTES``.
MAX_MIDI_BYTES = 2**24


class TooLarge(ValueError):
    """A file is larger than may be read, or expands to more."""


def check_size(size: int, where: object, what: str = "expands to") -> None:
    """Raise TooLarge if a file is larger than :data:`MAX_BYTES`, or expands to more."""
    if size > MAX_BYTES:
        raise TooLarge(
            f"{where}: {what} {size} bytes or more, expected at most {MAX_BYTES}; if the file is not damaged, raise "
            "rnnrbm.io.rolls.MAX_BYTES"
        )


def unreadable(path: object, kind: str, error: Exception, advice: str) -> ValueError:
    """Return what to raise about a damaged file."""
    # NumPy takes any other file for a pickle, and advises to load it
    reason = "it holds no arrays of numbers" if "contains pickled" in str(error) else first_line(error)
    return ValueError(
        f"{path}: cannot be read as {kind}, it is cut off, damaged or of another kind ({reason}); {advice}"
    )


class Contents(NamedTuple):
    """What a file or folder holds; see `rnnrbm.datasets.Dataset`.

    Attributes
    ----------
    name : str
        The file's own name for the data set, else the name of the file.
    pieces : dict of str to list of numpy.ndarray
        For "train", "valid" and "test", arrays of shape ``(T, n)``.
    names : dict of str to list of str
        For each split, the names of the pieces, in the same order.
    record : dict
        The kind of frame: its name under "kind", and its metadata.
    labels : dict of str to list of numpy.ndarray, optional
        For each split, arrays of shape ``(T,)``, int64: a whole number for each frame of each piece.
    """

    name: str
    pieces: dict[str, list[np.ndarray]]
    names: dict[str, list[str]]
    record: dict[str, Any]
    labels: dict[str, list[np.ndarray]] | None = None


def check_roll(roll: ArrayLike, *, n_visible: int | None = None, where: str = "") -> np.ndarray:
    """Return a piano-roll as uint8, or say what is wrong with it.

    Parameters
    ----------
    roll : array-like or sparse matrix, shape (T, n)
        Boolean, integer or real; T at least 1.
    n_visible : int, optional
        Number of columns expected; by default any from 1.
    where : str
        What the roll is, for the message: a file, a piece.

    Returns
    -------
    numpy.ndarray, shape (T, n)
        uint8, 0 or 1, contiguous in memory; `roll` itself if it is that already.

    Raises
    ------
    ValueError
        If the array is not two-dimensional, has no frame, another width than expected, is not
        numeric, or holds NaN or other values than 0 and 1.
    """
    prefix = f"{where}: " if where else ""
    roll = plain(roll, where or "roll")
    try:
        array = np.asarray(roll)
    except ValueError as error:
        raise ValueError(f"{prefix}rows of different lengths; expected an array of frames x notes") from error
    if array.ndim != 2:
        raise ValueError(
            f"{prefix}an array of shape {array.shape}; expected two dimensions, frames x notes. "
            "Give one piece at a time, time first"
        )
    frames, width = array.shape
    if frames == 0:
        raise ValueError(f"{prefix}no frames (shape {array.shape}); leave the piece out")
    if width == 0 or (n_visible is not None and width != n_visible):
        expected = "at least 1" if n_visible is None else str(n_visible)
        turned = frames == n_visible
        raise ValueError(
            f"{prefix}{width} columns (shape {array.shape}); expected {expected}"
            + (". Time comes first: give its transpose, roll.T" if turned else "")
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{prefix}values of type {array.dtype}; expected numbers, 0 and 1")
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        t, j = (int(i) for i in np.argwhere(wrong)[0])
        value = array[t, j].item()
        advice = "replace or leave out missing values"
        if value == value:
            advice = "for velocities or probabilities, say when a note sounds: roll > threshold"
        raise ValueError(
            f"{prefix}{wrong.sum()} values are neither 0 nor 1, the first is {value} in frame {t}, "
            f"column {j}; expected 1 where a note sounds, else 0; {advice}"
        )
    return np.ascontiguousarray(array, np.uint8)


def transpose(roll: ArrayLike, semitones: int, *, drop: bool = False) -> np.ndarray:
    """Shift a piano-roll by semitones.

    Parameters
    ----------
    roll : array-like, shape (T, n)
        Piano-roll of 0 and 1.
    semitones : int
        Columns to shift by; positive is up.
    drop : bool
        Drop notes that would leave the roll; by default they are an error.

    Returns
    -------
    numpy.ndarray, shape (T, n)
        A new roll, uint8.

    Raises
    ------
    ValueError
        If notes would leave the roll and `drop` is false, or `roll` is not a piano-roll
        (see `check_roll`).
    TypeError
        If `semitones` is not a whole number.
    """
    array = check_roll(roll, where="roll")
    if isinstance(semitones, bool) or not isinstance(semitones, int | np.integer):
        raise TypeError(f"semitones={semitones!r}: expected a whole number")
    used = np.flatnonzero(array.any(0))
    shifted = used + int(semitones)
    inside = (shifted >= 0) & (shifted < array.shape[1])
    if not drop and not inside.all():
        raise ValueError(
            f"transposing by {semitones} moves {int((~inside).sum())} of {len(used)} notes out of "
            f"the roll's {array.shape[1]} columns; expected {-used[0]} to "
            f"{array.shape[1] - 1 - used[-1]} semitones. Pass drop=True to drop such notes"
        )
    result = np.zeros_like(array)
    result[:, shifted[inside]] = array[:, used[inside]]
    return result
