"""Event files of scalars, which TensorBoard reads: written without TensorFlow, and continued without repeated steps.

A file is a row of records: the length of the data (8 bytes), a checksum of these bytes, the data, their checksum. The
data are a protocol buffer, ``Event`` of TensorFlow's ``event.proto``. Numbers are little-endian.
"""

from __future__ import annotations

import functools
import math
import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["FILE", "append", "last_step"]

#: TensorBoard reads files with ``tfevents`` in their names.
FILE = "events.out.tfevents.rnnrbm"

# fields of Event, Summary and Summary.Value: the number of the field, and how it is encoded
_WALL_TIME, _STEP, _VERSION, _SUMMARY = b"\x09", b"\x10", b"\x1a", b"\x2a"
_VALUE, _TAG, _SIMPLE_VALUE = b"\x0a", b"\x0a", b"\x15"


def append(path: str | os.PathLike[str], rows: Sequence[Mapping[str, float]]) -> None:
    """Add rows of metrics to an event file, which is made if it is absent.

    A row whose epoch is not above the last step of the file is passed over, and so is a value that is NaN. A record
    that a killed process has not completed is deleted first.

    Parameters
    ----------
    path : path-like
    rows : sequence of mappings
        Numbers by name, with ``epoch``, the step, and ``seconds`` since the beginning of the training. The last row is
        taken to be of this moment.
    """
    path = Path(path)
    step, end = _scan(path)
    new = [row for row in rows if row["epoch"] > step]
    if not new and end:
        return
    now = time.time()
    events = [] if end else [_event(now, 0, _VERSION + _text(b"brain.Event:2"))]
    for row in new:
        when = now - (new[-1].get("seconds", 0.0) - row.get("seconds", 0.0))
        values = {tag: x for tag, x in row.items() if tag not in ("epoch", "seconds") and not math.isnan(x)}
        summary = b"".join(
            _VALUE + _text(_TAG + _text(tag.encode()) + _SIMPLE_VALUE + struct.pack("<f", x))
            for tag, x in values.items()
        )
        events.append(_event(when, int(row["epoch"]), _SUMMARY + _text(summary)))
    with open(path, "r+b" if path.exists() else "wb") as file:
        file.truncate(end)
        file.seek(end)
        file.write(b"".join(map(_record, events)))


def last_step(path: str | os.PathLike[str]) -> int:
    """Return the greatest step of an event file that :func:`append` wrote; 0 if it has none."""
    return _scan(Path(path))[0]


def _scan(path: Path) -> tuple[int, int]:
    """Return the greatest step of a file, and where its last whole record ends."""
    step = end = 0
    if path.exists():
        for data, end in _records(path.read_bytes()):  # noqa: B007
            step = max(step, _step_of(data))
    return step, end


def _records(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the data of the whole records at the beginning of a file, and where each ends."""
    at = 0
    while len(content) >= at + 12:
        head = content[at : at + 8]
        end = at + 12 + struct.unpack("<Q", head)[0] + 4
        data = content[at + 12 : end - 4]
        if content[at + 8 : at + 12] != _checksum(head) or content[end - 4 : end] != _checksum(data):
            return
        yield data, end
        at = end


def _record(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + _checksum(head) + data + _checksum(data)


def _event(when: float, step: int, content: bytes) -> bytes:
    return _WALL_TIME + struct.pack("<d", when) + _STEP + _varint(step) + content


def _step_of(event: bytes) -> int:
    """The step of an event that :func:`_event` made; 0 of any other."""
    step = 0
    if event[:1] == _WALL_TIME and event[9:10] == _STEP:
        for i, byte in enumerate(event[10:20]):
            step |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                break
    return step


def _text(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """A whole number in groups of seven bits, the lowest first; all but the last have their highest bit set."""
    groups = []
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


@functools.cache
def _table() -> list[int]:
    """The CRC-32C (Castagnoli polynomial, reflected) of each byte."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def _checksum(data: bytes) -> bytes:
    """The CRC-32C, rotated by 15 bits, plus a constant: a checksum of data that hold checksums should not be 0."""
    crc, table = 0xFFFFFFFF, _table()
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
