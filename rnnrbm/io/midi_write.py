"""Piano-rolls written as MIDI files; `rnnrbm.io.midi` says what a piano-roll and a grid are."""

import os
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import check_options, number, whole_number
from rnnrbm.files import atomic
from rnnrbm.io import rolls
from rnnrbm.io.midi_grid import check_grid
from rnnrbm.io.rolls import check_roll

if TYPE_CHECKING:
    import mido

__all__ = ["WriteOptions", "check_tempo", "check_writing", "to_mido", "writable_tempo", "write"]

#: Tempi that a file can state, in beats per minute: it holds whole microseconds per beat in 24 bits.
SLOWEST, FASTEST = 60e6 / (2**24 - 1), 60e6
_MOST_DELTA = 2**28 - 1  # ticks between two events of a file
_SECONDS_TICKS = 960  # in a beat, on a grid of seconds


class WriteOptions(TypedDict, total=False):
    """The options of `write`, for functions that pass them on."""

    low: int
    steps_per_beat: int | None
    seconds_per_frame: float | None
    tempo: float
    legato: bool
    restrike: int
    velocity: int
    program: int


def check_tempo(tempo: float) -> None:
    """Raise ValueError unless a file can state a tempo, in beats per minute; TypeError if it is no number."""
    number("tempo", tempo, "beats per minute, 3.6 to 60 000 000", least=SLOWEST, most=FASTEST)


def writable_tempo(tempo: float) -> float | None:
    """Return a tempo in beats per minute, or None if no file can state it."""
    return tempo if SLOWEST <= tempo <= FASTEST else None


def check_writing(
    n_frames: int,
    *,
    steps_per_beat: int | None = None,
    seconds_per_frame: float | None = None,
    tempo: float = 120.0,
) -> None:
    """Raise ValueError or TypeError unless a roll of so many frames can be written so; see `write`."""
    _, seconds = check_grid(steps_per_beat, seconds_per_frame)
    check_tempo(tempo)
    if n_frames > rolls.MAX_FRAMES:
        raise ValueError(
            f"a roll of {n_frames} frames, expected at most {rolls.MAX_FRAMES}, which `read` accepts too; write it in "
            "parts, or raise rnnrbm.io.rolls.MAX_FRAMES"
        )
    if seconds and seconds * 1e6 * _SECONDS_TICKS / round(60e6 / tempo) < 2:
        raise ValueError(
            f"seconds_per_frame={seconds}: shorter than two ticks of a MIDI file at "
            f"tempo={tempo} (0.002 beats); use longer frames or a faster tempo"
        )


def write(path: str | os.PathLike[str], roll: ArrayLike, **options: Unpack[WriteOptions]) -> None:
    """Write a piano-roll as a MIDI file (format 0), in one step: see `rnnrbm.files.atomic`.

    `read` with the same grid, `low` and a suitable `high` gives the roll back, up to trailing silence. The file stores
    trailing silence as the time of its end-of-track event, so a roll without notes makes a valid file of its length.
    `read` rejects that file because it holds no note.

    Parameters
    ----------
    path : path-like
        The file to write, usually ``.mid``. Its folder must exist.
    roll : array_like, shape (T, n)
        0 or 1; ``roll[t, j]`` is 1 if MIDI note number ``low + j`` sounds in frame t.
    low : int
        MIDI note number of the first column, by default 21; ``low + n`` is at most 128.
    steps_per_beat : int, optional
        Frames in a beat (quarter note). The default is 4, unless `seconds_per_frame` is given.
    seconds_per_frame : float, optional
        Duration of a frame in seconds, at least two ticks of 1/960 beat. Give at most one of the two.
    tempo : float
        Beats per minute, by default 120; 3.6 to 60 000 000 (the file stores whole microseconds per beat). On a grid of
        seconds it sets where beats are displayed, not when notes sound.
    legato : bool
        True (default): a note that sounds in consecutive frames is one held note. False: it is struck again every
        `restrike` frames.
    restrike : int
        With ``legato=False``, frames between strikes (default 1), counted from frame 0 of the roll. The value of
        `steps_per_beat` strikes held notes again on every beat.
    velocity : int
        Velocity of every note, 1 to 127; by default 80.
    program : int
        General MIDI instrument, 0 to 127; 0 (default) is the acoustic grand piano.

    Raises
    ------
    OSError
        If the folder does not exist or the file cannot be written; an earlier file then stays.
    ValueError
        If the roll is not a matrix of 0 and 1 with at least one frame and columns within the MIDI note numbers, or
        another argument is out of range.
    """
    check_options("write", options, WriteOptions.__annotations__)
    file = to_mido(roll, **options)
    with atomic(path) as temporary:
        file.save(temporary)


def to_mido(
    roll: ArrayLike,
    *,
    low: int = 21,
    steps_per_beat: int | None = None,
    seconds_per_frame: float | None = None,
    tempo: float = 120.0,
    legato: bool = True,
    restrike: int = 1,
    velocity: int = 80,
    program: int = 0,
) -> "mido.MidiFile":
    """Return the roll as a MIDI file in memory; for arguments see `write`."""
    import mido

    steps, seconds = check_grid(steps_per_beat, seconds_per_frame)
    array = _check(roll, low)
    low = int(low)
    check_writing(len(array), steps_per_beat=steps_per_beat, seconds_per_frame=seconds_per_frame, tempo=tempo)
    beat = round(60e6 / tempo)
    restrike = whole_number("restrike", restrike, 1)
    velocity = whole_number("velocity", velocity, 1, 127)
    program = whole_number("program", program, 0, 127)
    lines = np.arange(len(array) + 1)
    if steps is not None:
        # Every grid line is a whole number of ticks, and a beat has at least 480 of them, which suits sequencers.
        ticks_per_beat = steps * -(-480 // steps)
        ticks = lines * (ticks_per_beat // steps)
    else:
        ticks_per_beat = _SECONDS_TICKS
        frame = seconds * 1e6 * ticks_per_beat / beat
        ticks = np.floor(lines * frame + 0.5).astype(np.int64)

    # A strike is a cell that sounds and did not before, or is struck again. A note stops after a sounding cell if the
    # next cell is silent or a strike. Both are in order of column, then time, so the n-th strike and the n-th stop
    # belong to one note.
    sounds = np.zeros((len(array) + 1, array.shape[1]), bool)
    sounds[:-1] = array
    held = np.zeros_like(sounds)
    held[1:] = sounds[1:] & sounds[:-1]
    if not legato:
        held[::restrike] = False
    columns, strikes = np.nonzero((sounds & ~held).T)
    stops = np.nonzero((sounds[:-1] & ~held[1:]).T)[1] + 1
    events = [(tick, 1, note) for tick, note in zip(ticks[strikes], columns + low, strict=True)]
    events += [(tick, 0, note) for tick, note in zip(ticks[stops], columns + low, strict=True)]
    events.sort()  # at one tick, notes end before they start again

    track = mido.MidiTrack()
    track.append(mido.MetaMessage("set_tempo", tempo=beat))
    track.append(mido.Message("program_change", program=program))
    now = 0

    def wait(tick: int) -> int:
        """Return the ticks until an event, after events without effect where there are more than a file can hold."""
        nonlocal now
        while tick - now > _MOST_DELTA:
            track.append(mido.MetaMessage("text", time=_MOST_DELTA))
            now += _MOST_DELTA
        delta, now = tick - now, tick
        return delta

    for tick, strike, note in events:
        kind, force = ("note_on", velocity) if strike else ("note_off", 0)
        track.append(mido.Message(kind, note=int(note), velocity=force, time=wait(int(tick))))
    track.append(mido.MetaMessage("end_of_track", time=wait(int(ticks[-1]))))
    return mido.MidiFile(type=0, ticks_per_beat=ticks_per_beat, tracks=[track])


def _check(roll: ArrayLike, low: int) -> np.ndarray:
    """Return a roll of 0 and 1 as uint8; raise ValueError for other values."""
    array = check_roll(roll)
    whole_number("low", low, 0, 127)
    if not 0 <= low <= low + array.shape[1] <= 128:
        raise ValueError(
            f"low={low} and a roll of {array.shape[1]} columns are MIDI note numbers {low} to "
            f"{low + array.shape[1] - 1}, expected 0 to 127; pass the low that the roll was made with"
        )
    return array
