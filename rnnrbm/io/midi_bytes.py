"""The bytes of a Standard MIDI File: its chunks and events. Lenient where the meaning is certain, strict elsewhere.

The counts and lengths in a file may lie: programs write them before they know, and editors forget to correct them. The
end-of-track event and the next chunk show where a track really ends. Such a file is read, with a warning.
"""

import os
from collections.abc import Iterator

from rnnrbm.warn import warn

__all__ = [
    "CONTROL",
    "END_OF_TRACK",
    "NOTE_OFF",
    "NOTE_ON",
    "SET_TEMPO",
    "MidiError",
    "chunks",
    "events",
]

# Status bytes without the channel in the low four bits; meta events start with 0xFF.
NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, PRESSURE = 0x80, 0x90, 0xB0, 0xC0, 0xD0
END_OF_TRACK, SET_TEMPO = 0xFF2F, 0xFF51

# Messages for instruments, which a file should not hold, and their numbers of data bytes.
_SYSTEM = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0} | dict.fromkeys(range(0xF8, 0xFF), 0)

#: Last tick of a file. With the slowest tempo, times in microseconds then still fit into 64 bits.
MAX_TICK = 2**37


class MidiError(ValueError):
    """A MIDI file that cannot be read with the given options; the message names the file, the problem and a remedy."""


def chunks(path: str | os.PathLike[str], data: bytes) -> tuple[int, list[bytes]]:
    """Return the ticks per beat and the bytes of each track.

    Chunks of other kinds and bytes after the last chunk are skipped.

    Raises
    ------
    MidiError
        If the file is empty, not MIDI or truncated, has format 2, or uses SMPTE frames.

    Warns
    -----
    UserWarning
        If the header has another number of tracks than the file, or a track another length than it says.
    """
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
    mended: list[str] = []
    position = 8 + size
    while position < len(data):
        name, start = data[position : position + 4], position + 8
        size = int.from_bytes(data[position + 4 : start], "big")
        whole = start <= len(data)
        end = start + size
        if whole and name == b"MTrk":
            end = _end(path, data, start, size, len(tracks), mended)
        elif whole and len(tracks) >= n_tracks and not (name.isalnum() and end <= len(data)):
            break  # what follows the last track is no chunk
        if not whole or end > len(data):
            if len(tracks) >= n_tracks:
                break
            raise MidiError(
                f"{path}: truncated: the header promises {n_tracks} track(s), the file of "
                f"{len(data)} bytes ends after {len(tracks)} whole one(s); get another copy"
            )
        if name == b"MTrk":
            tracks.append(data[start:end])
        position = end
    if len(tracks) < n_tracks and (position > len(data) or not tracks):
        raise MidiError(
            f"{path}: truncated: the header promises {n_tracks} track(s), the file of "
            f"{len(data)} bytes has {len(tracks) or 'none'}; get another copy"
        )
    if len(tracks) != n_tracks:
        warn(f"{path}: the header promises {n_tracks} track(s), the file has {len(tracks)}; all of them are read")
    if mended:
        more = f"; {len(mended) - 1} other track(s) too" if len(mended) > 1 else ""
        warn(f"{path}: {mended[0]}; it is read whole{more}")
    return division, tracks


def _end(path: str | os.PathLike[str], data: bytes, start: int, size: int, track: int, mended: list[str]) -> int:
    """Return where a track ends: where its length says, unless only its end-of-track event leads to the next chunk."""
    stated = start + size
    fits = stated == len(data) or data[stated : stated + 4] == b"MTrk"
    if fits and data.find(b"MTrk", start, stated) < 0:  # else it may claim the bytes of other tracks
        return stated
    # only as far as the next chunk: from many tracks to the end of a large file would take hours
    following = data.find(b"MTrk", start)
    following = len(data) if following < 0 else following
    actual = stated
    try:
        for _, status, _, at in _scan(path, track, data[start:following]):
            if status == END_OF_TRACK:
                actual = start + at
                break
    except MidiError:
        return stated
    if actual == stated or actual != following:
        return stated
    mended.append(f"track {track + 1} says that it has {size} bytes, but ends after {actual - start}")
    return actual


def events(
    path: str | os.PathLike[str], track: int, chunk: bytes, skipped: list[str]
) -> Iterator[tuple[int, int, bytes]]:
    """Yield (tick, status, data bytes) of every event of a track; a meta event has status 0xFFkk.

    Messages for instruments, such as the active sensing of a recorded performance, are skipped; how many is added to
    `skipped`, in words, at the end of the track.

    Raises
    ------
    MidiError
        If the track is damaged, or ends after tick :data:`MAX_TICK`.
    """
    n_skipped = 0
    for tick, status, payload, position in _scan(path, track, chunk):
        if tick > MAX_TICK:
            raise MidiError(
                f"{path}: track {track + 1} lasts {tick} ticks or more, expected at most {MAX_TICK}; its times are "
                "damaged: get another copy"
            )
        if status == END_OF_TRACK and chunk[position:].strip(b"\0"):
            skipped.append(f"track {track + 1} has {len(chunk) - position} bytes after its end-of-track event")
        if status in _SYSTEM:
            n_skipped += 1
        else:
            yield tick, status, payload
    if n_skipped:
        skipped.append(
            f"track {track + 1} holds {n_skipped} message(s) for instruments, which do not belong into a file"
        )


def _scan(path: str | os.PathLike[str], track: int, chunk: bytes) -> Iterator[tuple[int, int, bytes, int]]:
    """Yield (tick, status, data bytes, position after it) of every event."""
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
            elif status in _SYSTEM:
                size = _SYSTEM[status]
            else:
                raise MidiError(
                    f"{path}: track {track + 1} has an undefined event (status {status:#04x}) at "
                    f"its byte {position}; the file is damaged: get another copy"
                )
            payload = chunk[position : position + size]
            position += size
            if position > len(chunk):
                raise IndexError
            yield tick, status, payload, position
    except IndexError:
        raise MidiError(
            f"{path}: track {track + 1} ends within an event, after {len(chunk)} bytes (tick "
            f"{tick}); the file is damaged: get another copy"
        ) from None
