"""Conversion between MIDI files and piano-rolls.

A piano-roll is an array of shape ``(T, n)`` of 0 and 1, dtype uint8: row t is a frame of constant duration, column j is
MIDI note number ``low + j`` (60 is middle C). One of two grids sets the duration of a frame: ``steps_per_beat`` frames
per beat, where a beat is a quarter note and the tempo has no effect, or ``seconds_per_frame`` seconds.

`read` and `write` convert between files and rolls; `parse` returns the unchanged notes of a file, in ticks.
`rnnrbm.io.wav` renders a roll as sound.

A rule selects the notes of a roll. The default rule ``"sounding"`` loses no note. The rule ``"published"`` makes rolls
like those of N. Boulanger-Lewandowski, Y. Bengio and P. Vincent (ICML 2012), for comparison with published results.
`read` describes both rules.

The format is that of the MIDI Manufacturers Association, *Standard MIDI Files 1.0* (RP-001).
"""

import os
from itertools import pairwise
from typing import TypedDict, Unpack

import numpy as np

from rnnrbm.arguments import truth, whole_number
from rnnrbm.io import midi_grid, rolls
from rnnrbm.io.midi_grid import DEFAULT_STEPS
from rnnrbm.io.midi_score import RULES, MidiError, Score, check_rule, parse
from rnnrbm.io.midi_write import WriteOptions, check_tempo, check_writing, to_mido, writable_tempo, write
from rnnrbm.warn import warn

__all__ = [
    "DEFAULT_STEPS",
    "RULES",
    "MidiError",
    "ReadOptions",
    "Score",
    "WriteOptions",
    "check_range",
    "check_reading",
    "check_rule",
    "check_tempo",
    "check_writing",
    "in_range",
    "parse",
    "read",
    "to_mido",
    "to_roll",
    "to_roll_and_fit",
    "usable_tempo",
    "writable_tempo",
    "write",
]

#: Beats of a note above which `read` warns that the file may be damaged.
LONG_NOTE = 1_000
PUBLISHED_STEPS = 2  # a frame of the published rolls is an eighth note
DRUM_CHANNEL = 9  # counted from 0; usually called channel 10


class GridOptions(TypedDict, total=False):
    """The options of `read` but for the range of notes, for functions that pass them on."""

    rule: str
    steps_per_beat: int | None
    seconds_per_frame: float | None
    drums: bool
    pedal: bool


class ReadOptions(GridOptions, total=False):
    """The options of `read`."""

    low: int
    high: int


def read(
    path: str | os.PathLike[str],
    *,
    rule: str = "sounding",
    steps_per_beat: int | None = None,
    seconds_per_frame: float | None = None,
    low: int = 21,
    high: int = 108,
    drums: bool = False,
    pedal: bool = False,
) -> np.ndarray:
    """Read a MIDI file as a piano-roll.

    With the rule ``"sounding"`` a note sounds from its start to its end, each rounded to the nearest line of the grid,
    half up. A note shorter than a frame, even one of zero length, gets the frame that its start is rounded to, so no
    note is lost. Notes that follow each other within a frame become a chord; a warning tells if a grid of beats is too
    coarse for the file. Notes of one pitch merge, whatever their track: a roll does not distinguish a held note from a
    repeated one.

    The first frame is tick 0 of the file, so leading silence stays. The last frame is the last in which a note of `low`
    to `high` sounds, so trailing silence is dropped. A note ends when its key is released, or with ``pedal=True`` when
    the sustain pedal is up too. `parse` describes which notes a file has.

    The rule ``"published"`` differs in five ways. Together they give the benchmark rolls from the published MIDI files,
    before the transposition of those rolls (see `rnnrbm.io.rolls.transpose`). A frame is an eighth note. If a note
    is struck again while it sounds, only the last strike remains. A note whose start and end round to one grid line has
    no frame. The first frame, that of tick 0, is left out, and the last frame is the one before the rounded end of the
    last note, silent or not. Channel 10 is read like the others.

    Parameters
    ----------
    path : path-like
        A Standard MIDI File of format 0 or 1.
    rule : {"sounding", "published"}
        Which notes are read. ``"published"`` allows none of `steps_per_beat`, `seconds_per_frame` and `drums`, since
        it has its own.
    steps_per_beat : int, optional
        Frames in a beat (quarter note): 4 means sixteenth notes, 12 represents triplets too. The tempo has no effect.
        The default is 4, unless `seconds_per_frame` is given.
    seconds_per_frame : float, optional
        Duration of a frame in seconds, from the file's tempo map: for recorded performances, which follow no beat. Give
        at most one of the two.
    low, high : int
        MIDI note numbers of the first and the last column, 0 to 127. The default is the piano's 88 keys, 21 (A0) to 108
        (C8).
    drums : bool
        Read channel 10 too, where a note number means an instrument, not a pitch. By default it is ignored.
    pedal : bool
        Let notes sound on while the sustain pedal of their channel is down. By default pedals are ignored.

    Returns
    -------
    numpy.ndarray, shape (T, high - low + 1)
        uint8, 0 or 1; ``roll[t, j]`` is 1 if MIDI note number ``low + j`` sounds in frame t.

    Raises
    ------
    OSError
        If the file does not exist, is a directory or cannot be read.
    MidiError
        If the file cannot be parsed (see `parse`), holds no note, or only drums or notes outside `low` to `high`, or
        would make a roll of more than :data:`rnnrbm.io.rolls.MAX_FRAMES` frames, or a silent roll with the rule
        ``"published"``.
    ValueError
        If both grids are given, or one that the rule excludes, the rule is unknown, or a grid, `low` or `high` is
        invalid.

    Warns
    -----
    UserWarning
        If some notes lie outside `low` to `high`; the message gives the number dropped. If a note is longer than
        :data:`LONG_NOTE` beats, which a damaged time may cause. If, on a grid of beats, more than 5 % of the notes
        begin a quarter of a frame or more from the nearest frame; the message names a finer grid that suits. There is
        no such warning for a grid of seconds, or with the rule ``"published"``. See also `parse`.
    """
    options: ReadOptions = {
        "rule": rule,
        "steps_per_beat": steps_per_beat,
        "seconds_per_frame": seconds_per_frame,
        "low": low,
        "high": high,
        "drums": drums,
        "pedal": pedal,
    }
    check_reading(**options)  # before the file is read
    return to_roll(parse(path, rule=rule), str(path), **options)


def check_reading(
    *,
    rule: str = "sounding",
    steps_per_beat: int | None = None,
    seconds_per_frame: float | None = None,
    low: int = 21,
    high: int = 108,
    drums: bool = False,
    pedal: bool = False,
) -> tuple[int | None, float]:
    """Check the options of `read`, and return the grid: (steps per beat, 0.0) or (None, seconds per frame)."""
    check_rule(
        rule,
        steps_per_beat=steps_per_beat,
        seconds_per_frame=seconds_per_frame,
        drums=drums or None,
        pedal=pedal or None,
    )
    truth("drums", drums)
    truth("pedal", pedal)
    check_range(low, high)
    return midi_grid.check_grid(PUBLISHED_STEPS if rule == "published" else steps_per_beat, seconds_per_frame)


def to_roll(score: Score, path: str, **options: Unpack[ReadOptions]) -> np.ndarray:
    """Return the piano-roll of a parsed file, which `path` names in messages; see `read`."""
    roll, fit = to_roll_and_fit(score, path, **options)
    if fit is not None:
        midi_grid.warn(
            path,
            fit,
            finer="read it with steps_per_beat={}",
            none="its notes may follow no beat: read it with seconds_per_frame",
        )
    return roll


def to_roll_and_fit(
    score: Score, path: str, **options: Unpack[ReadOptions]
) -> tuple[np.ndarray, midi_grid.GridFit | None]:
    """Return the piano-roll of a parsed file, and how its notes fit the grid instead of a warning about that.

    There is no such fit on a grid of seconds, which no music follows, and with the rule ``"published"``, by which notes
    are moved as the authors of the benchmark sets moved them.
    """
    steps, seconds = check_reading(**options)
    low, high = options.get("low", 21), options.get("high", 108)
    drums, pedal = options.get("drums", False), options.get("pedal", False)
    published = options.get("rule") == "published"
    notes = score.sustained() if pedal else score.notes
    if not len(notes):
        raise MidiError(f"{path}: holds no note; leave the file out, or check the program that wrote it")
    if not drums and not published:
        notes = notes[notes["channel"] != DRUM_CHANNEL]
        if not len(notes):
            raise MidiError(
                f"{path}: all {len(score.notes)} notes are drums (channel 10); read them with "
                "drums=True (in a configuration drums = true under [data], on the command line "
                "--set data.drums=true; rnnrbm convert --drums), or leave the file out"
            )
    notes = notes[in_range(notes["pitch"], low, high, path)]
    if steps is None and not score.tempo[:, 1].all():
        raise MidiError(
            f"{path}: has a tempo of 0 microseconds per beat, so its notes have no time in "
            "seconds; read it with steps_per_beat"
        )
    fit = None if steps is None or published else midi_grid.fit(notes["start"], score.ticks_per_beat, steps)
    start, end = (_frame(score, notes[name], steps, seconds) for name in ("start", "end"))
    if published:
        start, end = np.maximum(start - 1, 0), np.maximum(end - 1, 0)
    else:
        end = np.maximum(end, start + 1)
    n_frames = int(end.max())
    if n_frames > rolls.MAX_FRAMES:
        raise MidiError(
            f"{path}: would make a roll of {n_frames} frames ({n_frames * (high - low + 1)} cells), expected at most "
            f"{rolls.MAX_FRAMES} frames; use a coarser grid, leave the file out if its times are damaged, or raise "
            "rnnrbm.io.rolls.MAX_FRAMES"
        )
    if not (start < end).any():
        raise MidiError(
            f"{path}: no note sounds with the rule 'published', all are too short or in the first eighth note; "
            "leave the file out, or read it with the rule 'sounding'"
        )
    longest = int((notes["end"] - notes["start"]).argmax())
    beats = (notes["end"] - notes["start"])[longest] / score.ticks_per_beat
    if beats > LONG_NOTE:
        warn(f"{path}: note {notes['pitch'][longest]} lasts {beats:.0f} beats; the file may be damaged")
    roll = np.zeros((n_frames, high - low + 1), np.uint8)
    # Notes of one pitch that overlap are merged first: thousands of long ones in a small file would take hours.
    order = np.lexsort((start, notes["pitch"]))
    pitch, start, end = notes["pitch"][order], start[order], end[order]
    for begin, stop in pairwise([0, *(np.flatnonzero(np.diff(pitch)) + 1), len(pitch)]):
        reached = np.maximum.accumulate(end[begin:stop])
        apart = np.flatnonzero(start[begin + 1 : stop] > reached[:-1]) + 1
        for i, j in pairwise([0, *apart, stop - begin]):
            roll[start[begin + i] : reached[j - 1], pitch[begin] - low] = 1
    return roll, fit


def usable_tempo(score: Score) -> float | None:
    """Return the mean tempo of a file in beats per minute, or None if no file can state it."""
    return writable_tempo(score.beats_per_minute())


def in_range(pitches: np.ndarray, low: int, high: int, path: object, what: str = "notes") -> np.ndarray:
    """Return which pitches lie within `low` to `high`; warn if some do not, and raise MidiError if none does."""
    inside = np.asarray((low <= pitches) & (pitches <= high))
    outside = pitches[~inside]
    if len(outside):
        span = f"note numbers {outside.min()} to {outside.max()}, expected {low} to {high}"
        if len(outside) == len(pitches):
            raise MidiError(f"{path}: all {len(pitches)} {what} are out of range: {span}; widen it")
        warn(f"{path}: dropped {len(outside)} of {len(pitches)} {what}, out of range: {span}")
    return inside


def check_range(low: int, high: int) -> None:
    """Raise an error if `low` to `high` are not MIDI note numbers."""
    whole_number("low", low, 0, 127)
    whole_number("high", high, 0, 127)
    if not 0 <= low <= high <= 127:
        raise ValueError(f"low={low} and high={high}: expected 0 <= low <= high <= 127")


def _frame(score: Score, ticks: np.ndarray, steps: int | None, seconds: float) -> np.ndarray:
    """Return the nearest grid line of each tick, half up, as int64."""
    if steps is not None:
        return (2 * ticks * steps + score.ticks_per_beat) // (2 * score.ticks_per_beat)
    frames = np.floor(score.seconds(ticks) / seconds + 0.5)
    return np.minimum(frames, 2.0**62).astype(np.int64)
