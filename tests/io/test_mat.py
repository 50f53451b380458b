"""Reading .mat files: what is refused before scipy sees it. Their contents are tested with the benchmark sets."""

import struct
import zlib

import numpy as np
import pytest
import scipy.io
from helpers import assert_damage_is_named, write_mat

from rnnrbm.datasets import load
from rnnrbm.io import mat as mat_files
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


MATRIX, INT8, UINT8, INT32, UINT32 = 14, 1, 2, 5, 6

# --- arrays whose parts are not those of their class


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def array(kind: int, shape: tuple[int, ...], *parts: bytes, name: bytes = b"") -> bytes:
    """An array of a class: its flags, its shape, its name, and its other parts."""
    start = element(UINT32, struct.pack("<II", kind, 0)), element(INT32, struct.pack(f"<{len(shape)}i", *shape))
    return element(MATRIX, b"".join([*start, element(INT8, name), *parts]))


def train(kind: int, shape: tuple[int, ...], *parts: bytes) -> bytes:
    return array(kind, shape, *parts, name=b"traindata")


def record(shape: tuple[int, ...], *values: bytes, names: bytes = b"ab\0\0c\0\0\0", length: int = 4) -> bytes:
    """A struct of two fields."""
    return train(2, shape, element(INT32, struct.pack("<i", length)), element(INT8, names), *values)


NUMBERS = array(9, (2, 2), element(UINT8, bytes([0, 1, 1, 0])))
SOUND = {name: array(1, (1, 1), NUMBERS, name=name) for name in (b"traindata", b"validdata", b"testdata")}


def mat(*elements: bytes) -> bytes:
    return b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + b"".join(elements)


def test_the_sound_file_is_read(tmp_path):
    (tmp_path / "a.mat").write_bytes(mat(*SOUND.values()))
    np.testing.assert_array_equal(load(tmp_path / "a.mat").train[0], [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (train(1, (1, 1), array(5, (2, 2), element(UINT8, bytes(4)))), "an array of class 5, expected cells"),  # sparse
        (train(5, (1, 1), NUMBERS), "an array of class 5, expected cells"),
        (train(2, (2**31 - 1, 1), element(INT32, struct.pack("<i", 32)), element(INT8, b"")), "an array of class 2"),
        (record((2**31 - 1, 1), NUMBERS, NUMBERS), "of 2 fields and 2 values in a shape of"),
        (record((-1, -1), NUMBERS, NUMBERS), "of 2 fields and 2 values in a shape of"),
        (record((1, 1), NUMBERS), "of 2 fields and 1 values"),
        (record((1, 1), NUMBERS, element(UINT8, b"abcd")), "of 2 fields and 2 values"),
        (record((1, 1), NUMBERS, array(9, (2, 2))), "an array of numbers in 3 parts"),
        (record((1, 1), NUMBERS, NUMBERS, length=0), "names of 0 bytes in 8"),
        (record((1, 1), NUMBERS, NUMBERS, length=3), "names of 3 bytes in 8"),
        (record((1, 1), NUMBERS, NUMBERS, length=2**30), "names of 1073741824 bytes in 8"),
        (record((1, 1), NUMBERS, NUMBERS, names=b"ab\0\0ab\0\0"), "damaged names of fields"),
        (record((1, 1), NUMBERS, NUMBERS, names=b"ab\0\0\xff\0\0\0"), "damaged names of fields"),
        (train(2, (1, 1), element(INT32, bytes(8)), element(INT8, b"ab\0\0"), NUMBERS), "without names of fields"),
        (train(2, (1, 1), NUMBERS), "without names of fields"),
        (train(2, (1, 1)), "without names of fields"),
        (train(1, (2**31 - 1, 1), NUMBERS), "1 cells in a shape of"),
        (train(1, (-1, -1), NUMBERS), "1 cells in a shape of"),
        (train(1, (1, 1), element(UINT8, b"abcd")), "1 cells in a shape of"),
        (train(1, (1, 1), array(9, (2, 2))), "an array of numbers in 3 parts"),
        (train(1, (1, 1), array(4, (1, 1))), "an array of numbers in 3 parts"),
        (train(1, (1, 1), element(MATRIX, element(UINT8, b"x" * 8))), "an array without flags"),
        (train(1, (1, 1), element(MATRIX, element(UINT32, b"\x09" + bytes(7)))), "an array without shape and name"),
        (train(1, (1, 1), array(9, (2,), element(UINT8, b"ab"))), "an array without shape and name"),
        (train(17, (1, 1), NUMBERS), "an array of class 17"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("compressed", [False, True])
def test_parts_that_do_not_fit_are_refused(tmp_path, cells, message, compressed):
    if compressed:
        packed = zlib.compress(cells)
        cells = struct.pack("<II", 15, len(packed)) + packed
    (tmp_path / "a.mat").write_bytes(mat(cells, SOUND[b"validdata"], SOUND[b"testdata"]))
    with pytest.raises(ValueError, match=rf"a\.mat: cannot be read as a MATLAB 5 file.*{message}"):
        load(tmp_path / "a.mat")


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (0, 3)])
def test_structs_are_read_as_they_are(tmp_path, shape):
    n = 2 * shape[0] * shape[1]
    (tmp_path / "a.mat").write_bytes(mat(record(shape, *[NUMBERS] * n)))
    read = mat_files.load_variables(tmp_path / "a.mat", ["traindata"])["traindata"]
    assert (read.shape, read.dtype.names) == (shape, ("ab", "c"))
    for each in read.ravel():
        np.testing.assert_array_equal(each["c"], [[0, 1], [1, 0]])
    assert mat_files.variable_names(tmp_path / "a.mat") == {"traindata"}


def test_damaged_structs_are_read_or_named(tmp_path):
    inner = np.array([[(np.arange(3.0), "text"), (np.zeros((0, 0)), "b")]], [("numbers", object), ("words", object)])
    scipy.io.savemat(tmp_path / "a.mat", {"traindata": {"tree": inner, "kind": "mit"}})
    assert_damage_is_named(lambda path: mat_files.load_variables(path, ["traindata"]), tmp_path / "a.mat")


def test_other_variables_may_be_of_any_class(tmp_path):
    sparse = array(5, (2, 2), element(INT32, bytes(4)), name=b"weights")
    (tmp_path / "a.mat").write_bytes(mat(sparse, *SOUND.values()))
    assert len(load(tmp_path / "a.mat").train) == 1


def test_two_variables_of_one_name_are_refused(tmp_path):
    (tmp_path / "a.mat").write_bytes(mat(SOUND[b"traindata"], *SOUND.values()))
    with pytest.raises(ValueError, match=r"a\.mat: cannot be read as a MATLAB 5 file.*[Dd]uplicate"):
        load(tmp_path / "a.mat")


def test_a_file_of_matlab_4_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", dict.fromkeys(("traindata", "validdata", "testdata"), np.eye(3)), format="4")
    with pytest.raises(ValueError, match=r"a\.mat: cannot be read as a MATLAB 5 file.*a MATLAB 4 file"):
        load(tmp_path / "a.mat")


def test_files_of_scipy_are_read_in_both_forms(tmp_path):
    cells = np.empty((1, 2), object)
    cells[0] = [np.eye(3), np.ones((2, 3))]
    variables = {f"{split}data": cells for split in ("train", "valid", "test")}
    for compress in (False, True):
        scipy.io.savemat(tmp_path / "a.mat", variables | {"notes": {"a": 1, "b": "text"}}, do_compression=compress)
        np.testing.assert_array_equal(load(tmp_path / "a.mat").test[1], np.ones((2, 3)))


def test_an_array_of_very_many_cells_is_refused(tmp_path, monkeypatch):
    path = write_mat(tmp_path / "a.mat", traindata=[np.eye(3)] * 50, validdata=[np.eye(3)], testdata=[np.eye(3)])
    load(path)
    monkeypatch.setattr(mat_files, "_MOST_ELEMENTS", 40)
    with pytest.raises(ValueError, match="more than 40 elements in one, such as cells of an array"):
        load(path)
