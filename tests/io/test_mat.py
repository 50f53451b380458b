"""Reading .mat files: what is refused before scipy sees it. Their contents are tested with the benchmark sets."""

import struct
import zlib

import numpy as np
import pytest
from helpers import assert_damage_is_named, write_mat

from rnnrbm.datasets import load
from rnnrbm.io import rolls


def test_damaged_files_are_read_or_named(tmp_path):
    pieces = [np.eye(5, dtype=np.uint8)] * 2
    assert_damage_is_named(load, write_mat(tmp_path / "a.mat", traindata=pieces, validdata=pieces, testdata=pieces))


def bomb(n: int) -> bytes:
    """A .mat file of one compressed element of so many zeros."""
    inside = zlib.compress(struct.pack("<II", 1, n) + bytes(n), 9)
    return b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + struct.pack("<II", 15, len(inside)) + inside


def test_a_mat_file_that_expands_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(rolls, "MAX_BYTES", 2**22)
    (tmp_path / "bomb.mat").write_bytes(bomb(2**24))
    assert (tmp_path / "bomb.mat").stat().st_size < 2**15
    with pytest.raises(
        ValueError, match=r"bomb\.mat: expands to \d+ bytes or more, expected at most 4194304; .*MAX_BYTES"
    ):
        load(tmp_path / "bomb.mat")
    (tmp_path / "twice.mat").write_bytes(bomb(3 * 2**20) + bomb(3 * 2**20)[128:])
    with pytest.raises(ValueError, match=r"twice\.mat: expands to"):
        load(tmp_path / "twice.mat")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with open(tmp_path / "huge.mat", "wb") as file:
        file.truncate(3 * 2**30)  # zeros that take no place on the disk
    with pytest.raises(ValueError, match=rf"huge\.mat: has {3 * 2**30} bytes or more, expected at most {2**30}"):
        load(tmp_path / "huge.mat")
