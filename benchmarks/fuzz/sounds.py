"""Mutants of sound files, whose chunks and headers lie, and of tables and labels that annotate them."""

from __future__ import annotations

import io
import struct
from random import Random

import numpy as np
import soundfile

from benchmarks.fuzz.mutate import EDGES, bend

__all__ = ["sounds", "text_mutant", "wav_mutant"]

Chunk = tuple[bytes, bytes]

#: texts where a number should be, and parts of lines
_ODD = ["", "nan", "inf", "-1", "1e999", "1e-320", "0x10", "1_0", "1,5", "x" * 300, "\\", '"', "\u0661", "\0", "\ud7ff"]
_NAMES = [b"LIST", b"fact", b"PEAK", b"cue ", b"bext", b"guan", b"smpl", b"id3 ", b"acid", b"JUNK", b"data", b"fmt "]


def sounds() -> list[bytes]:
    """Return sound files of several kinds, the same at every call."""
    real = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    found = []
    for kind, subtype, order, channels in (
        ("WAV", "PCM_16", "LITTLE", 1),
        ("WAV", "PCM_U8", "LITTLE", 2),
        ("WAV", "FLOAT", "BIG", 2),
        ("WAVEX", "PCM_24", "LITTLE", 2),
        ("WAVEX", "DOUBLE", "LITTLE", 1),
        ("AIFF", "PCM_16", "BIG", 1),
        ("FLAC", "PCM_16", "FILE", 2),
    ):
        with io.BytesIO() as file:
            soundfile.write(file, real[:, :channels], 8000, subtype, order, kind)
            # of floats, libsndfile writes the peaks and the time of day
            found.append(_joined(b"RIFX" if order == "BIG" else b"RIFF", _plain(file.getvalue()), order == "BIG"))
    return found


def _plain(data: bytes) -> list[Chunk] | bytes:
    """Return the chunks of a WAV file without that of peaks, or the bytes of another file."""
    if data[8:12] != b"WAVE":
        return data
    return [chunk for chunk in _chunks(data) if chunk[0] != b"PEAK"]


def _chunks(data: bytes) -> list[Chunk]:
    """Return the chunks of a sound WAV file."""
    order = ">" if data[:4] == b"RIFX" else "<"
    at, found = 12, []
    while at + 8 <= len(data):
        name, size = struct.unpack_from(f"{order}4sI", data, at)
        found.append((name, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def _joined(riff: bytes, chunks: list[Chunk] | bytes, big: bool, rng: Random | None = None) -> bytes:
    """Return a WAV file of some chunks; with a generator, some sizes lie."""
    if isinstance(chunks, bytes):
        return chunks
    order = ">" if big else "<"
    body = b"WAVE"
    for name, data in chunks:
        size = len(data)
        if rng is not None and rng.random() < 0.15:
            size = rng.choice([*EDGES[:12], size + 1, size - 1, size * 1000]) % 2**32
        body += struct.pack(f"{order}4sI", name, size) + data + b"\0" * (len(data) % 2)
    size = len(body)
    if rng is not None and rng.random() < 0.1:
        size = rng.choice(EDGES[:12]) % 2**32
    return riff + struct.pack(f"{order}I", size) + body


def wav_mutant(rng: Random, seeds: list[bytes]) -> bytes:
    """Return a WAV file whose header says something else, or whose chunks are changed, moved, doubled or left out."""
    whole = rng.choice([seed for seed in seeds if seed[8:12] == b"WAVE"])
    big = whole[:4] == b"RIFX"
    order = ">" if big else "<"
    chunks = _chunks(whole)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(chunks))
        name, data = chunks[at]
        way = rng.randrange(8)
        if name == b"fmt " and way < 6 and len(data) >= 16:
            # format, channels, rate, bytes a second, bytes a frame, bits
            fields = list(struct.unpack_from(f"{order}HHIIHH", data))
            i = rng.randrange(6)
            most = 2**32 if i in (2, 3) else 2**16
            usual = [3, 6, 7, 8, 17, 24, 44_100, 65_534]
            fields[i] = rng.choice([*EDGES, *usual, fields[i] + 1, fields[i] * 2]) % most
            chunks[at] = name, struct.pack(f"{order}HHIIHH", *fields) + data[16:]
        elif name == b"data" and way < 3:
            with np.errstate(over="ignore"):
                odd = np.array([rng.choice([np.nan, np.inf, 1e30, 1e300])]).astype(rng.choice(["f4", "f8"]))
            chunks[at] = name, data[:8] + odd.astype(odd.dtype.newbyteorder(order)).tobytes() + data[16:]
        elif way == 3:
            del chunks[at]
        elif way == 4:
            chunks.insert(rng.randrange(len(chunks) + 1), chunks[at])
        elif way == 5:
            body = rng.randbytes(rng.choice([0, 1, 4, 24, 300]))
            chunks.insert(rng.randrange(len(chunks) + 1), (rng.choice(_NAMES), body))
        elif way == 6:
            chunks[at] = name, bend(rng, data)
        else:
            rng.shuffle(chunks)
        if not chunks:
            break
    riff = rng.choice([b"RIFF", b"RIFX", b"RF64", b"FORM"]) if rng.random() < 0.05 else whole[:4]
    return _joined(riff, chunks, big, rng)


def text_mutant(rng: Random, seeds: list[bytes]) -> bytes:
    """Return lines of cells of which some are changed, exchanged, doubled or left out."""
    text = rng.choice(seeds).decode()
    mark = "\t" if "\t" in text else ","
    rows = [line.split(mark) for line in text.splitlines()]
    for _ in range(rng.choice([1, 1, 2, 4])):
        row = rng.choice(rows)
        at = rng.randrange(len(row)) if row else 0
        way = rng.randrange(7)
        if way < 3 and row:
            row[at] = rng.choice([*_ODD, row[at] + "0", "-" + row[at], row[at][:-1], str(rng.choice(EDGES))])
        elif way == 3 and row:
            del row[at]
        elif way == 4:
            row.insert(at, rng.choice(_ODD))
        elif way == 5:
            rows.insert(rng.randrange(len(rows) + 1), list(rng.choice(rows)))
        else:
            rng.shuffle(rows)
    ends = rng.choice(["\n", "\n", "\r\n", "\r", "\u2028", "\n\n"])
    return (rng.choice(["", "", "\ufeff"]) + ends.join(mark.join(row) for row in rows)).encode("utf-8", "surrogatepass")
