"""The notes of a Standard MIDI File as they are, in ticks: a parser that survives what real files contain."""

import os
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.files import read_bytes
from rnnrbm.io import rolls
from rnnrbm.io.midi_bytes import CONTROL, NOTE_OFF, NOTE_ON, SET_TEMPO, MidiError, chunks, events
from rnnrbm.warn import warn

__all__ = ["RULES", "MidiError", "Score", "check_rule", "parse"]

RULES = ("sounding", "published")

FIELDS = ("track", "channel", "pitch", "velocity", "start", "end")

_SUSTAIN = 64  # the controller of the sustain pedal, which is down from a value of 64


class Score(NamedTuple):
    """The notes of a MIDI file, unchanged.

    Attributes
    ----------
    notes : numpy.ndarray, shape (N,)
        One record per note, in file order: int64 fields ``track``, ``channel`` (both from 0), ``pitch`` (MIDI note
        number), ``velocity`` (1 to 127), ``start`` and ``end`` (ticks).
    ticks_per_beat : int
        Ticks in a quarter note.
    tempo : numpy.ndarray, shape (M, 2)
        The tempo map, int64: tick, and the microseconds per beat from that tick on. The first row is at tick 0
        (500 000 microseconds, 120 beats per minute, if the file does not specify a tempo).
    end : int
        Last tick of the longest track.
    pedal : numpy.ndarray, shape (P, 3)
        The sustain pedal, int64, in order of time: tick, channel, and 1 where it goes down or 0 where it comes up.
    """

    notes: np.ndarray
    ticks_per_beat: int
    tempo: np.ndarray
    end: int
    pedal: np.ndarray

    def sustained(self) -> np.ndarray:
        """Return the notes as they sound with the sustain pedal.

        A note whose key is released while the pedal of its channel is down ends when the pedal comes up, or at the last
        tick. If the pedal comes up at the tick of the release, the note ends there.
        """
        notes = self.notes.copy()
        for channel in np.unique(self.pedal[:, 1]):
            tick, _, down = self.pedal[self.pedal[:, 1] == channel].T
            keys = np.flatnonzero(notes["channel"] == channel)
            released = notes["end"][keys]
            last = np.searchsorted(tick, released, side="right") - 1  # the last change of the pedal until then
            held = (last >= 0) & (down[last] == 1)
            ups = np.append(tick[down == 0], self.end)
            until = ups[np.searchsorted(tick[down == 0], released[held], side="right")]
            notes["end"][keys[held]] = np.maximum(until, released[held])
        return notes

    def seconds(self, ticks: ArrayLike) -> np.ndarray:
        """Return the time of each tick in seconds, from the tempo map (float64, shape of `ticks`)."""
        return self._tick_microseconds(ticks) / (1e6 * self.ticks_per_beat)

    def beats_per_minute(self) -> float:
        """Return the mean tempo from the start to the last tick, in beats per minute; infinite if no time passes."""
        ticks, time = (self.end, self._tick_microseconds(self.end)) if self.end else (1, self.tempo[-1, 1])
        return float(60e6 * ticks / time) if time else float("inf")

    def _tick_microseconds(self, ticks: ArrayLike) -> np.ndarray:
        # Ticks times microseconds per beat are whole numbers, so rounding errors do not add up over tempo changes and
        # a note on a grid line stays on it.
        at, duration = self.tempo.T
        elapsed = np.concatenate([[0], np.cumsum(np.diff(at) * duration[:-1])])
        ticks = np.asarray(ticks, np.int64)
        index = np.searchsorted(at, ticks, side="right") - 1
        return np.asarray(elapsed[index] + (ticks - at[index]) * duration[index])


def parse(path: str | os.PathLike[str], *, rule: str = "sounding") -> Score:
    """Read the notes and the tempo map of a MIDI file, format 0 or 1.

    A note-off ends every note of its track, channel and pitch that started before it, as in ``pretty_midi``. So a note
    struck again while it sounds gives two notes with one end. A note-off at the tick of the note-on gives a note of
    zero length, unless it ends an earlier note. A note-off without a sounding note is ignored. A note without end is
    dropped, with a warning.

    Text is not decoded, so any encoding works. Bends, programs, chunks of other kinds, and bytes after the last track
    are skipped. Tempo changes of all tracks are used. A file whose meaning is certain is read although its header
    counts other tracks, a track has another length than it says, or messages for instruments stand in a track.

    Parameters
    ----------
    path : path-like
        A Standard MIDI File.
    rule : {"sounding", "published"}
        With ``"published"``, of notes struck again while they sound only the last strike remains. A note-off ends it,
        also at its own tick.

    Returns
    -------
    Score
        The notes (possibly none) and the tempo map.

    Raises
    ------
    OSError
        If the file does not exist, is a directory or cannot be read.
    MidiError
        If the file is empty, not MIDI, truncated or corrupt, has format 2, uses SMPTE frames, or lasts more than 2**37
        ticks.
    ValueError
        If the rule is unknown.

    Warns
    -----
    UserWarning
        If notes have no end; the message gives the number dropped. If counts or lengths are wrong, or messages for
        instruments are skipped.
    """
    check_rule(rule)
    # This parser replaces mido's. mido 1.3.3 loses the time before an unknown meta event, which shifts all later notes
    # (pretty_midi uses mido and does the same), and one malformed key signature or foreign chunk makes it reject the
    # file. pretty_midi also allows at most 10 million ticks, gives seconds instead of ticks, and uses the tempo changes
    # of only one track.
    data = read_bytes(path, "a MIDI file", most=rolls.MAX_MIDI_BYTES)
    return _parsed(path, data, one_at_a_time=rule == "published")


def _parsed(path: str | os.PathLike[str], data: bytes, *, one_at_a_time: bool) -> Score:
    """Return the notes and the tempo map of the bytes of a file; see `parse`."""
    resolution, tracks = chunks(path, data)
    notes: list[tuple[int, int, int, int, int, int]] = []
    tempo = [(0, 500_000)]
    pedal: list[tuple[int, int, int]] = []
    unended = last = 0
    skipped: list[str] = []
    for track, chunk in enumerate(tracks):
        sounding: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for tick, status, payload in events(path, track, chunk, skipped):
            last = max(last, tick)
            if status == SET_TEMPO and len(payload) == 3:
                tempo.append((tick, int.from_bytes(payload, "big")))
            if status & 0xF0 == CONTROL and status <= 0xFF and payload[0] == _SUSTAIN:
                pedal.append((tick, status & 0x0F, int(payload[1] >= 64)))
            if status & 0xF0 not in (NOTE_OFF, NOTE_ON) or status > 0xFF:
                continue
            channel, pitch, velocity = status & 0x0F, payload[0], payload[1]
            if pitch > 127:
                raise MidiError(
                    f"{path}: track {track + 1} has a note number of {pitch} at tick {tick}, but "
                    "they end at 127; the file is damaged: get another copy"
                )
            key = sounding[channel, pitch]
            if status & 0xF0 == NOTE_ON and velocity > 0:
                if one_at_a_time:
                    key.clear()
                key.append((tick, min(velocity, 127)))
                continue
            ended = [strike for strike in key if strike[0] < tick or one_at_a_time] or list(key)
            notes += [(track, channel, pitch, force, start, tick) for start, force in ended]
            key[:] = key[len(ended) :]
        unended += sum(map(len, sounding.values()))
    if unended:
        warn(f"{path}: dropped {unended} note(s) that the file never ends")
    if skipped:
        more = f"; so are those of {len(skipped) - 1} other track(s)" if len(skipped) > 1 else ""
        warn(f"{path}: {skipped[0]}; they are skipped{more}")
    # Of several tempi at one tick the last one is used; the sort is stable, in order of tracks.
    changes = dict(sorted(tempo, key=lambda change: change[0]))
    return Score(
        np.array(notes, [(field, np.int64) for field in FIELDS]),
        resolution,
        np.array(list(changes.items()), np.int64),
        last,
        np.array(sorted(pedal, key=lambda change: change[0]), np.int64).reshape(-1, 3),
    )


def check_rule(rule: str, **options: Any) -> None:
    """Raise ValueError if a rule is unknown, or an option is given (not None) that the rule excludes."""
    if rule not in RULES:
        raise ValueError(f"rule={rule!r}: expected one of {', '.join(map(repr, RULES))}")
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    if rule == "published" and given:
        raise ValueError(
            f"rule='published' and {', '.join(given)}: the rule fixes the notes to read, and a frame of an eighth "
            "note; leave one of them out"
        )
