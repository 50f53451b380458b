"""The notes of a Standard MIDI File as they are, in ticks: a parser that survives what real files contain."""

import os
import warnings
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.files import read_bytes

__all__ = ["RULES", "MidiError", "Score", "check_rule", "parse"]

RULES = ("sounding", "published")

FIELDS = ("track", "channel", "pitch", "velocity", "start", "end")

# Status bytes without the channel in the low four bits; meta events start with 0xFF.
NOTE_OFF, NOTE_ON, PROGRAM, PRESSURE = 0x80, 0x90, 0xC0, 0xD0
END_OF_TRACK, SET_TEMPO = 0xFF2F, 0xFF51


class MidiError(ValueError):
    """A MIDI file that cannot be read with the given options; the message names the file, the problem and a remedy."""


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
    """

    notes: np.ndarray
    ticks_per_beat: int
    tempo: np.ndarray
    end: int

    def seconds(self, ticks: ArrayLike) -> np.ndarray:
        """Return the time of each tick in seconds, from the tempo map (float64, shape of `ticks`)."""
        return self._tick_microseconds(ticks) / (1e6 * self.ticks_per_beat)

    def beats_per_minute(self) -> float:
        """Return the mean tempo from the start to the last tick, in beats per minute."""
        if self.end == 0:
            return float(60e6 / self.tempo[-1, 1])
        return float(60e6 * self.end / self._tick_microseconds(self.end))

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

    Text is not decoded, so any encoding works. Pedals, bends, programs, chunks of other kinds, and bytes after the last
    track are skipped. Tempo changes of all tracks are used.

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
        If the file is empty, not MIDI, truncated or corrupt, has format 2, or uses SMPTE frames.
    ValueError
        If the rule is unknown.

    Warns
    -----
    UserWarning
        If notes have no end; the message gives the number dropped.
    """
    check_rule(rule)
    one_at_a_time = rule == "published"
    # This parser replaces mido's. mido 1.3.3 loses the time before an unknown meta event, which shifts all later notes
    # (pretty_midi uses mido and does the same), and one malformed key signature or foreign chunk makes it reject the
    # file. pretty_midi also allows at most 10 million ticks, gives seconds instead of ticks, and uses the tempo changes
    # of only one track.
    data = read_bytes(path, "a MIDI file")
    resolution, chunks = _chunks(path, data)
    notes: list[tuple[int, int, int, int, int, int]] = []
    tempo = [(0, 500_000)]
    unended = last = 0
    for track, chunk in enumerate(chunks):
        sounding: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for tick, status, payload in _events(path, track, chunk):
            last = max(last, tick)
            if status == SET_TEMPO and len(payload) == 3:
                tempo.append((tick, int.from_bytes(payload, "big")))
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
        warnings.warn(f"{path}: dropped {unended} note(s) that the file never ends", stacklevel=2)
    # Of several tempi at one tick the last one is used; the sort is stable, in order of tracks.
    changes = dict(sorted(tempo, key=lambda change: change[0]))
    return Score(
        np.array(notes, [(field, np.int64) for field in FIELDS]),
        resolution,
        np.array(list(changes.items()), np.int64),
        last,
    )


def _chunks(path: str | os.PathLike[str], data: bytes) -> tuple[int, list[bytes]]:
    """Return the ticks per beat and the bytes of each track."""
    if not data:
        raise MidiError(f"{path}: the file is empty (0 bytes), not MIDI; get another copy")
    if data[:4] != b"MThd":
        raise MidiError(
            f"{path}: not a MIDI file: it starts with {data[:4]!r}, a MIDI file with b'MThd'; "
            "check the path, or convert the file to a Standard MIDI File"
        )
    if len(data) < 14:
        raise MidiError(f"{path}: ends within the MIDI header ({len(data)} bytes); truncated")
    size = int.from_bytes(data[4:8], "big")
    kind, n_tracks, division = (int.from_bytes(data[i : i + 2], "big") for i in (8, 10, 12))
    if kind not in (0, 1):
        raise MidiError(
            f"{path}: MIDI format {kind}, expected 0 or 1 (format 2 holds independent pieces that "
            "have no common time); save each of its tracks to a separate file"
        )
    if division >= 0x8000:
        raise MidiError(
            f"{path}: times are in SMPTE frames (division {division:#06x}), not in ticks per "
            "beat; save it again with a musical time base, such as 480 ticks per quarter note"
        )
    if division == 0:
        raise MidiError(f"{path}: 0 ticks per beat, expected 1 to 32767; the file is damaged")
    tracks: list[bytes] = []
    position = 8 + size
    while len(tracks) < n_tracks:
        name, start = data[position : position + 4], position + 8
        position = start + int.from_bytes(data[position + 4 : start], "big")
        if start > len(data) or position > len(data):
            raise MidiError(
                f"{path}: truncated: the header promises {n_tracks} track(s), the file of "
                f"{len(data)} bytes ends after {len(tracks)} whole one(s); get another copy"
            )
        if name == b"MTrk":
            tracks.append(data[start:position])
    return division, tracks


def _events(path: str | os.PathLike[str], track: int, chunk: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (tick, status, data bytes) of every event; a meta event has status 0xFFkk."""
    position = tick = running = 0

    def number() -> int:
        """Read a variable-length quantity: 7 bits a byte; the high bit means that more bytes follow."""
        nonlocal position
        value = 0
        for _ in range(4):
            byte = chunk[position]
            position += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise MidiError(
            f"{path}: track {track + 1} has a number of more than 4 bytes at its byte {position}; "
            "the file is damaged: get another copy"
        )

    status = 0
    try:
        # Some tracks lack an end-of-track event, so the length of the chunk ends them too.
        while position < len(chunk) and status != END_OF_TRACK:
            tick += number()
            status = running
            if chunk[position] >= 0x80:
                status = chunk[position]
                position += 1
            if status == 0xFF:
                status = 0xFF00 | chunk[position]
                position += 1
                size = number()
            elif status in (0xF0, 0xF7):
                size = number()
            elif 0x80 <= status < 0xF0:
                # Running status is that of the last channel event. Here meta and system exclusive events leave it
                # unchanged: by the standard they end it, but not all files obey.
                running = status
                size = 1 if PROGRAM <= status < PRESSURE + 16 else 2
            else:
                raise MidiError(
                    f"{path}: track {track + 1} has an undefined event (status {status:#04x}) at "
                    f"its byte {position}; the file is damaged: get another copy"
                )
            payload = chunk[position : position + size]
            position += size
            if position > len(chunk):
                raise IndexError
            yield tick, status, payload
    except IndexError:
        raise MidiError(
            f"{path}: track {track + 1} ends within an event, after {len(chunk)} bytes (tick "
            f"{tick}); the file is damaged: get another copy"
        ) from None


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
