"""Reading idx files, the format of MNIST: a header of a few numbers, and the bytes of one array.

The header has two zero bytes, a byte for the type of the values, a byte for the number of dimensions, and the size of
each dimension as four bytes, the most significant first (Y. LeCun, C. Cortes and C. Burges, "The MNIST database of
handwritten digits"). The files are usually compressed by gzip.
"""

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rnnrbm.files import check_readable
from rnnrbm.io.rolls import check_size

__all__ = ["read_idx", "sha256_of_content"]

_GZIP = b"\x1f\x8b"
_UINT8 = 0x08
#: the other types of values that the format has
_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
_MOST_DIMENSIONS = 8
_PART = 2**20  # bytes that are read at once
_ADVICE = "expected an idx file, such as train-images-idx3-ubyte.gz of MNIST"


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the array of an idx file of bytes, plain or compressed by gzip.

    The content of the file decides which of the two it is, not its name. No more is read, or expanded, than the header
    says there is.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    numpy.ndarray
        uint8, in the shape that the file states: (n, height, width) for images, (n,) for labels.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is empty, of another kind, damaged, longer or shorter than its header says, or holds other values than
        bytes. :class:`rnnrbm.io.rolls.TooLarge`, which is one, if the array has more bytes than may be read.
    """
    path = Path(path)
    with _opened(path) as file:
        magic = file.read(4)
        if not magic:
            raise ValueError(f"{path}: is empty; {_ADVICE}")
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in (_UINT8, *_TYPES):
            raise ValueError(f"{path}: begins with the bytes {magic.hex(' ')}, which no idx file does; {_ADVICE}")
        if magic[2] != _UINT8:
            raise ValueError(f"{path}: holds values of type {_TYPES[magic[2]]}; expected an idx file of bytes (uint8)")
        if not 1 <= magic[3] <= _MOST_DIMENSIONS:
            raise ValueError(f"{path}: has {magic[3]} dimensions; expected 1 to {_MOST_DIMENSIONS}, 3 for images")
        header = file.read(4 * magic[3])
        if len(header) < 4 * magic[3]:
            raise ValueError(
                f"{path}: ends within its header of {4 + 4 * magic[3]} bytes; it is cut off, fetch it again"
            )
        shape = tuple(int(size) for size in np.frombuffer(header, ">u4"))
        sizes, expected = " x ".join(map(str, shape)), math.prod(shape)
        if not expected:
            raise ValueError(f"{path}: says that it holds {sizes} values; expected at least 1 in each dimension")
        check_size(expected, path, f"says that it holds {sizes} values, that is")
        values = _read(file, expected + 1)
    if len(values) != expected:
        found = f"only {len(values)}" if len(values) < expected else "more"
        raise ValueError(
            f"{path}: says that it holds {sizes} = {expected} values, but has {found}; it is damaged, fetch it again"
        )
    return np.frombuffer(values, np.uint8).reshape(shape)


def sha256_of_content(path: str | os.PathLike[str], most: int) -> str:
    """Return the SHA-256 of what a file expands to if it is compressed by gzip, else of its bytes.

    Copies of a file that were compressed at other times differ, since gzip writes the time. What they expand to does
    not.

    Parameters
    ----------
    path : path-like
    most : int
        Most bytes that it may expand to.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is a damaged file of gzip, or expands to more than `most` bytes.
    """
    path = Path(path)
    digest, n = hashlib.sha256(), 0
    with _opened(path) as file:
        while part := file.read(min(_PART, most + 1 - n)):
            digest.update(part)
            n += len(part)
    if n > most:
        raise ValueError(f"{path}: expands to more than {most} bytes; it is damaged or another file, fetch it again")
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file of gzip to read what it expands to, and any other as it is."""
    check_readable(path, "an idx file")
    with open(path, "rb") as plain:
        compressed = plain.read(2) == _GZIP
        plain.seek(0)
        try:
            if not compressed:
                yield plain
            else:
                with gzip.GzipFile(fileobj=plain) as expanded:
                    yield expanded  # type: ignore[misc]
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: is a damaged file of gzip ({error}); fetch it again") from None


def _read(file: BinaryIO, most: int) -> bytearray:
    """Return at most so many bytes. Memory is only taken for what there is, whatever a header says."""
    content = bytearray()
    while part := file.read(min(_PART, most - len(content))):
        content += part
    return content
