"""What a page holds besides text: pictures, sounds that are small enough, and files to save."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from rnnrbm.files import first_line, read_bytes

__all__ = ["HIGHEST_RATE", "Budget", "Clip", "clips", "ogg", "png_size"]

#: samples per second of the fastest sound that browsers play and people hear; faster ones are played slower
HIGHEST_RATE = 48_000
_LARGE = 200_000  # bytes of a picture that is made smaller
_MOST_READ = 50_000_000  # bytes of a file that is looked at
_BLOCK = 2**15  # samples that go to the encoder at once; it fails on many


def _fewer_colours(content: bytes) -> bytes:
    """Return a PNG picture with at most 256 colours if that is smaller; a spectrogram takes a third then."""
    from PIL import Image

    if png_size(content) is None:
        return content
    try:
        with Image.open(io.BytesIO(content)) as picture:
            reduced = picture.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
            memory = io.BytesIO()
            reduced.save(memory, "PNG")
    except (OSError, ValueError, SyntaxError):  # damaged; the browser shows its description instead
        return content
    return min(content, memory.getvalue(), key=len)


class Budget:
    """Bytes that a page may still take, since all that it shows is inside it.

    Attributes
    ----------
    left : int
        Bytes of files; in the page they take a third more.
    """

    def __init__(self, most: int) -> None:
        self.left = most * 3 // 4

    def take(self, content: bytes) -> bytes | None:
        """Return the content if it still fits, or None."""
        if len(content) > self.left:
            return None
        self.left -= len(content)
        return content

    def read(self, path: Path, what: str) -> bytes | None:
        """Return the content of a file if there is one and it still fits, or None."""
        if not path.is_file() or path.stat().st_size > _MOST_READ:
            return None
        content = read_bytes(path, what)
        return self.take(_fewer_colours(content) if len(content) > _LARGE else content)


class Clip(NamedTuple):
    """A sound for a page.

    Attributes
    ----------
    content : bytes
        An OGG Vorbis file, empty if there is none.
    seconds, total : float
        Duration of the clip as it is played at its normal speed, and of the whole sound.
    slower : int
        How many times slower it is played, because people would not hear it.
    reason : str
        Why there is none.
    """

    content: bytes = b""
    seconds: float = 0.0
    total: float = 0.0
    slower: int = 1
    reason: str = ""


def png_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG picture in pixels, None if it is none."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        return None
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def ogg(path: Path, most: int) -> Clip:
    """Return the beginning of a sound file as OGG Vorbis of at most so many bytes, in mono.

    Raises
    ------
    ValueError
        If the file cannot be read as sound.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            rate, n_frames = file.samplerate, file.frames
            slower = -(-rate // HIGHEST_RATE)
            # more than the codec can hold in so many bytes: music takes a byte for each 10 samples, noise for each 6
            samples = file.read(min(n_frames, 16 * most), dtype="float32", always_2d=True).mean(axis=1)
        for quality in (0.6, 1.0):
            content = _encoded(samples, rate // slower, quality)
            if len(content) <= most:
                break
        while len(content) > most and len(samples) > 1:
            samples = samples[: int(0.9 * len(samples) * most / len(content))]
            content = _encoded(samples, rate // slower, 1.0)
    except (soundfile.SoundFileError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as sound ({first_line(error)}); sample again") from None
    return Clip(content if len(content) <= most else b"", len(samples) / rate, n_frames / rate, slower)


def _encoded(samples: Any, rate: int, quality: float) -> bytes:
    import soundfile

    memory = io.BytesIO()
    with soundfile.SoundFile(
        memory, "w", rate, 1, format="OGG", subtype="VORBIS", compression_level=quality
    ) as encoder:
        for start in range(0, len(samples), _BLOCK):
            encoder.write(samples[start : start + _BLOCK])
    return memory.getvalue()


def clips(paths: Sequence[Path], most: int) -> list[Clip]:
    """Return sound files as clips that take at most so many bytes together, an equal share each.

    The encoder runs outside Python's lock, so several files are encoded at the same time.
    """
    if not paths:
        return []
    share = most // len(paths)

    def one(path: Path) -> Clip:
        try:
            return ogg(path, share)
        except ValueError as error:
            return Clip(reason=str(error))

    with ThreadPoolExecutor(min(len(paths), 4, os.cpu_count() or 1)) as pool:
        return list(pool.map(one, paths))
