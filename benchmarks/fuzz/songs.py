"""MIDI files as lists of events, and mutants of them: times, lengths, statuses, tempi, counts, chunks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

__all__ = ["SEEDS", "Song", "midi_mutant"]

Event = tuple[int, bytes]  # delta in ticks, and the bytes of the event


def _number(value: int, n_bytes: int = 1) -> bytes:
    """Return a quantity of variable length, of at least so many bytes."""
    parts = [value & 0x7F]
    while (value := value >> 7) or len(parts) < n_bytes:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))


@dataclass(frozen=True)
class Song:
    """A MIDI file: format, ticks per beat, and the events of each track."""

    kind: int
    division: int
    tracks: list[list[Event]]

    def tobytes(self) -> bytes:
        chunks = [b"".join(_number(delta) + event for delta, event in track) for track in self.tracks]
        return self.header(len(chunks)) + b"".join(_chunk(b"MTrk", chunk) for chunk in chunks)

    def header(self, n_tracks: int) -> bytes:
        numbers = (self.kind, n_tracks, self.division)
        return _chunk(b"MThd", b"".join((n % 2**16).to_bytes(2, "big") for n in numbers))


def _chunk(name: bytes, data: bytes, size: int | None = None) -> bytes:
    return name + ((len(data) if size is None else size) % 2**32).to_bytes(4, "big") + data


def _note(start: int, length: int, pitch: int, channel: int = 0, force: int = 80) -> list[Event]:
    return [(start, bytes([0x90 | channel, pitch, force])), (length, bytes([0x80 | channel, pitch, 0]))]


END: Event = (0, b"\xff\x2f\x00")

_TEMPI: list[Event] = [
    (0, b"\xff\x51\x03\x07\xa1\x20"),
    (480, b"\xff\x51\x03\x09\x27\xc0"),
    (960, b"\xff\x51\x03\x03\xd0\x90"),
]

#: sound files of both formats: one voice; chords, pedal, drums, tempi, text, running status, messages for instruments
SEEDS = [
    Song(0, 480, [[*_note(0, 240, 60), *_note(0, 480, 64), *_note(120, 960, 67), END]]),
    Song(
        1,
        96,
        [
            [(0, b"\xff\x03\x04name"), (0, b"\xff\x58\x04\x04\x02\x18\x08"), *_TEMPI, END],
            [
                (0, b"\xc0\x05"),
                (0, b"\xb0\x40\x7f"),
                (0, b"\x90\x3c\x40"),
                (0, b"\x40\x40"),  # running status
                (96, b"\x3c\x00"),
                (0, b"\x40\x00"),
                (0, b"\xb0\x40\x00"),
                (10, b"\xf0\x03\x01\x02\xf7"),
                (0, b"\xe0\x00\x40"),
                *_note(48, 48, 72),
                END,
            ],
            [*_note(0, 24, 36, 9), *_note(24, 24, 38, 9), *_note(0, 300, 55, 1), END],
        ],
    ),
    Song(0, 24, [[event for i in range(30) for event in _note(i % 3, 5 + i % 7, 40 + i, i % 4)] + [END]]),
]

_DELTAS = [0, 1, 127, 128, 2**14, 2**21 - 1, 2**28 - 1, 480 * 1000, 3]
_STATUS = [
    0x80,
    0x8F,
    0x90,
    0x99,
    0xA0,
    0xB0,
    0xC0,
    0xD0,
    0xE0,
    0xF0,
    0xF1,
    0xF3,
    0xF4,
    0xF6,
    0xF7,
    0xF8,
    0xFE,
    0xFF,
    0x00,
]


def _event(rng: Random) -> bytes:
    """Return an event that is rare, or none at all."""
    tempo = rng.choice([0, 1, 2**24 - 1, 500_000, 250])
    size = rng.choice([0, 1, 3, 127, 2**14, 2**28 - 1])
    return rng.choice(
        [
            b"\xff\x51\x03" + tempo.to_bytes(3, "big"),
            b"\xff\x51" + _number(rng.choice([0, 2, 4])) + rng.randbytes(4),
            b"\xff" + bytes([rng.randrange(256)]) + _number(size) + rng.randbytes(rng.choice([0, min(size, 200)])),
            b"\xf0" + _number(size) + rng.randbytes(min(size, 50)) + b"\xf7",
            bytes([rng.choice(_STATUS)]) + rng.randbytes(rng.randrange(4)),
            bytes([0x90 | rng.randrange(16), rng.randrange(256), rng.randrange(256)]),
            bytes([0xB0 | rng.randrange(4), 64, rng.choice([0, 63, 64, 127, 255])]),
            rng.randbytes(2),
            END[1],
            b"",
        ]
    )


def _mutate_track(rng: Random, track: list[Event]) -> list[Event]:
    """Return a track in which one thing is changed."""
    at = rng.randrange(len(track) + 1)
    way = rng.randrange(9)
    if way == 0 and track:
        return track[: at - 1] + track[at:]
    if way == 1 and track:
        _, event = track[at - 1]
        return [*track[: max(at - 1, 0)], (rng.choice(_DELTAS), event), *track[at:]]
    if way == 2:  # without status bytes
        return [
            (delta, event[1:] if event[:1] in (b"\x90", b"\x80") and rng.random() < 0.5 else event)
            for delta, event in track
        ]
    if way == 3:  # many strikes of few keys, at few times, with few releases
        n = rng.choice([10, 30, 300, rng.choice([300, 3000])])
        return [
            (
                rng.choice([0, 0, 0, 1, rng.choice(_DELTAS)]),
                bytes([rng.choice([0x90, 0x90, 0x80]), rng.randrange(60, 63), 64]),
            )
            for _ in range(n)
        ] + track
    if way == 4:
        return track[:at] + track[:at] + track[at:]
    if way == 5:
        return [(delta * rng.choice([0, 1, 1000]) % 2**28, event) for delta, event in track]
    if way == 6:  # a great many tempi
        return [
            (rng.choice(_DELTAS), _event(rng)[:3] if rng.random() < 0.1 else b"\xff\x51\x03" + rng.randbytes(3))
            for _ in range(50)
        ] + track
    return [*track[:at], (rng.choice(_DELTAS), _event(rng)), *track[at:]]


def midi_mutant(rng: Random) -> bytes:
    """Return a changed file; its counts and lengths are those of what is in it, unless they are what is changed."""
    song = rng.choice(SEEDS)
    if rng.random() < 0.02:
        return _swallowing(rng, song)
    tracks = [list(track) for track in song.tracks]
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        at = rng.randrange(len(tracks))
        tracks[at] = _mutate_track(rng, tracks[at])
    if rng.random() < 0.04:
        tracks = tracks * rng.choice([2, 40])
    if rng.random() < 0.15:
        division = rng.choice([0, 1, 2, 24, 0x7FFF, 0x8000, 0xE728, 0xFFFF])
        song = replace(song, kind=rng.choice([0, 0, 1, 1, 2, 3, 65535]), division=division)
    data = song.header(rng.choice([len(tracks)] * 6 + [0, 1, 2, 65535]))
    for track in tracks:
        pad = rng.choice([1] * 20 + [2, 4, 5])  # numbers that take more bytes than they need
        body = b"".join(_number(delta, pad) + event for delta, event in track)
        size = (
            len(body)
            if rng.random() < 0.9
            else rng.choice([0, 1, len(body) - 1, len(body) + 1, len(body) + 8, 2**31, 2**32 - 1])
        )
        data += _chunk(
            b"MTrk" if rng.random() < 0.97 else rng.choice([b"XFIH", b"MTrX", b"\0\0\0\0", b"MThd"]), body, size
        )
    return data + rng.choice([b""] * 8 + [b"\0", b"MTrk", b"MTrk\0\0\0\0", b"TAG" + bytes(125), b"abcd\0\0\0\x02xy"])


def _swallowing(rng: Random, song: Song) -> bytes:
    """Return many tracks, whose events take the header of the next chunk for text: where does a track end?"""
    n = rng.choice([10, 1000, 6000])
    text = rng.choice([b"\x00\xff\x01\x08", b"\x00\xff\x01\x12", b"\x00\xf0\x08", b"\x00\x90\x3c\x40"])
    chunk = _chunk(b"MTrk", text) + rng.choice([b"", _chunk(b"Junk", text), _chunk(b"Junk", text + END[1])])
    return song.header(n) + chunk * n + song.tobytes()[14:]
