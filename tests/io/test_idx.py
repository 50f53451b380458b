"""idx files, whole and damaged in every way that a header of a few numbers allows."""

import gzip
import hashlib
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from rnnrbm.io import rolls
from rnnrbm.io.idx import read_idx, sha256_of_content

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "mnist"
IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 9


def idx(array, magic=None, sizes=None):
    """The bytes of an idx file, or of one that says something else than it holds."""
    magic = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    sizes = array.shape if sizes is None else sizes
    return magic + struct.pack(f">{len(sizes)}I", *sizes) + array.tobytes()


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "a-idx"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("array", [IMAGES, np.array([7], np.uint8), IMAGES.reshape(1, 1, 1, 24)], ids=str)
def test_arrays_are_read_by_content_whatever_the_name(written, array):
    for content in (idx(array), gzip.compress(idx(array), mtime=0)):
        found = read_idx(written(content))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, array)
    found[:] = 0  # the array belongs to the caller


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected an idx file"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"\0\0\x08", "begins with the bytes 00 00 08, which no idx file does"),
        (idx(IMAGES, b"\0\1\x08\x03"), "begins with the bytes 00 01 08 03"),
        (b"\x89PNG\r\n", "begins with the bytes 89 50 4e 47"),
        (idx(IMAGES, b"\0\0\x0a\x03"), "begins with the bytes 00 00 0a 03"),
        (idx(IMAGES, b"\0\0\x0d\x03"), r"type float32; expected an idx file of bytes"),
        (idx(IMAGES, b"\0\0\x0b\x03"), "type int16"),
        (idx(IMAGES, b"\0\0\x08\x00"), "has 0 dimensions; expected 1 to 8"),
        (idx(IMAGES, b"\0\0\x08\xff"), "has 255 dimensions"),
        (idx(IMAGES)[:13], "ends within its header of 16 bytes"),
        (idx(IMAGES)[:-1], "2 x 3 x 4 = 24 values, but has only 23"),
        (idx(IMAGES)[:16], "but has only 0"),
        (idx(IMAGES) + b"\0", "24 values, but has more"),
        (idx(IMAGES, sizes=(2, 3, 5)), "2 x 3 x 5 = 30 values, but has only 24"),
        (idx(IMAGES, sizes=(2, 0, 4)), "2 x 0 x 4 values; expected at least 1 in each"),
        (
            idx(IMAGES, sizes=(2**32 - 1,) * 3),
            r"4294967295 x .* values, that is \d{29} bytes or more, expected at most",
        ),
        (gzip.compress(idx(IMAGES), mtime=0)[:-9], "is a damaged file of gzip"),
        (gzip.compress(idx(IMAGES), mtime=0)[:5], "is a damaged file of gzip"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-8] + b"\0" * 8, r"is a damaged file of gzip \(CRC"),
        (gzip.compress(idx(IMAGES), mtime=0) + b"more", "is a damaged file of gzip"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0nonsense", "is a damaged file of gzip"),
    ],
)
def test_damaged_files_are_named(written, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(written(content))
    assert str(caught.value).startswith(f"{written(content)}: ")
    assert "\n" not in str(caught.value)


def test_every_changed_bit_of_a_header_is_refused(written):
    content = idx(IMAGES)
    for i in range(8 * 16):
        changed = bytearray(content)
        changed[i // 8] ^= 1 << i % 8
        with pytest.raises(ValueError, match="a-idx: "):
            read_idx(written(bytes(changed)))


def test_every_changed_byte_of_a_compressed_file_is_refused_or_tells_nothing(written):
    content = gzip.compress(idx(IMAGES), mtime=0)
    for i in range(len(content)):
        changed = bytearray(content)
        changed[i] ^= 0xFF
        path = written(bytes(changed))
        if 4 <= i < 10:  # the time, the flags of the compressor and the system are not part of the data
            np.testing.assert_array_equal(read_idx(path), IMAGES)
        else:
            with pytest.raises(ValueError, match="a-idx: "):
                read_idx(path)


def test_memory_is_only_taken_for_what_there_is(written):
    claims = idx(IMAGES, sizes=(2**10, 2**10, 2**9))
    for content, message in (
        (gzip.compress(idx(np.zeros(2**26, np.uint8), sizes=(3,)), 1, mtime=0), "3 = 3 values, but has more"),  # a bomb
        (claims, "but has only 24"),
        (gzip.compress(claims, mtime=0), "but has only 24"),
    ):
        path = written(content)
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=message):
                read_idx(path)
            assert tracemalloc.get_traced_memory()[1] < 2**23
        finally:
            tracemalloc.stop()


def test_the_limit_can_be_raised(written, monkeypatch):
    monkeypatch.setattr(rolls, "MAX_BYTES", 23)
    with pytest.raises(rolls.TooLarge, match="that is 24 bytes or more, expected at most 23"):
        read_idx(written(idx(IMAGES)))
    monkeypatch.setattr(rolls, "MAX_BYTES", 24)
    assert read_idx(written(idx(IMAGES))).shape == (2, 3, 4)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="none: there is no such file"):
        read_idx(tmp_path / "none")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_idx(tmp_path)


def test_the_hash_is_that_of_the_content_however_it_is_compressed(written):
    content = idx(IMAGES)
    expected = hashlib.sha256(content).hexdigest()
    assert content != gzip.compress(content, 1, mtime=5) != gzip.compress(content, 9, mtime=0)
    for given in (content, gzip.compress(content, 1, mtime=5), gzip.compress(content, 9, mtime=0)):
        assert sha256_of_content(written(given), len(content)) == expected
        with pytest.raises(ValueError, match=r"a-idx: expands to more than 39 bytes"):
            sha256_of_content(written(given), len(content) - 1)
    raw = zlib.compress(content)  # no file of gzip
    assert sha256_of_content(written(raw), 100) == hashlib.sha256(raw).hexdigest()


@pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")
def test_the_test_set_of_mnist():
    labels = read_idx(DATA / "t10k-labels-idx1-ubyte.gz")
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    images = read_idx(DATA / "t10k-images-idx3-ubyte.gz")
    assert images.shape == (10_000, 28, 28)
    assert images.mean() == pytest.approx(33.791, abs=1e-3)
