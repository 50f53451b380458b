"""Readers of .npz files, of data sets and of single rolls: what they read, and what they refuse."""

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_damage_is_named, assert_same, small

from rnnrbm.datasets import load, save
from rnnrbm.io import formats, rolls
from rnnrbm.io.formats import load_roll, save_roll


def test_damaged_files_are_read_or_named(tmp_path):
    save(tmp_path / "a.npz", small())
    assert_damage_is_named(load, tmp_path / "a.npz")
    save_roll(tmp_path / "roll.npz", np.eye(5, dtype=np.uint8), low=60, steps_per_beat=2)
    assert_damage_is_named(load_roll, tmp_path / "roll.npz")


def test_a_file_that_cannot_be_opened_is_an_os_error(tmp_path):
    for suffix in (".npz", ".mat", ".json", ".pkl"):
        reader = {**formats.PLAIN, **formats.WITH_RANGE}[suffix]
        with pytest.raises(FileNotFoundError, match=f"none{suffix}"):
            reader(tmp_path / f"none{suffix}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "x"}, "JSON"),
        ({"kind": "[1]"}, "JSON"),
        ({"kind": '{"low": 3}'}, "kind of frame None"),
        ({"kind": '{"kind": "gesture"}'}, "kind of frame 'gesture'"),
        ({"kind": '{"kind": "piano-roll", "colour": 3}'}, "colour"),
        ({"kind": '{"kind": "piano-roll", "a\\nb": 3}'}, r"has no 'a\\nb'"),
        ({"kind": "[" * 9_000}, "JSON"),
        ({"kind": '{"kind": "piano-roll", "low": 200}'}, "low=200"),
        ({"kind": '{"kind": "piano-roll", "low": "x"}'}, "low"),
        ({"kind": '{"kind": "vectors", "seconds_per_frame": -1}'}, "seconds_per_frame=-1"),
        ({"train_lengths": 3}, "dimensions"),
        ({"train_lengths": [1.5, 1.5]}, "lengths of float64"),
        ({"train_lengths": [9, -4]}, "train has 5 frames but its lengths .* add up to 5"),
        ({"train_lengths": [5, 0]}, r"train\[1\]: no frames"),
        ({"train": np.zeros(5)}, "1, 1 and 1 dimensions"),
        ({"train": np.full((5, 4), 2)}, r"train\[0\]: 8 values are neither 0 nor 1"),
        ({"train_names": "a"}, "0 dimensions"),
    ],
)
def test_npz_files_of_other_shapes_are_named(tmp_path, change, message):
    path = tmp_path / "a.npz"
    save(path, small())
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, **change})
    with pytest.raises(ValueError, match=rf"a.npz.*{message}"):
        load(path)


# --- one roll


@pytest.mark.parametrize("metadata", [{"low": 21, "steps_per_beat": 4}, {"low": 60, "seconds_per_frame": 0.02}, {}])
def test_save_roll_and_load_roll_give_it_back(tmp_path, metadata):
    save_roll(tmp_path / "a.npz", np.eye(5), **metadata)
    back, again = load_roll(tmp_path / "a.npz")
    np.testing.assert_array_equal(back, np.eye(5))
    assert back.dtype == np.uint8
    assert again == metadata
    assert formats.roll_layout(tmp_path / "a.npz") == "rnnrbm"
    with pytest.raises(ValueError, match=r"a.npz: holds one piano-roll, not a data set"):
        load(tmp_path / "a.npz")


def test_save_roll_and_load_roll_refuse(tmp_path):
    with pytest.raises(ValueError, match=r"a.mat: expected a file name ending in .npz"):
        save_roll(tmp_path / "a.mat", np.eye(3))
    with pytest.raises(ValueError, match=r"neither 0 nor 1"):
        save_roll(tmp_path / "a.npz", np.full((2, 2), 5))
    assert os.listdir(tmp_path) == []
    save(tmp_path / "set.npz", small())
    with pytest.raises(ValueError, match=r"set.npz: has no array 'roll' but name, kind"):
        load_roll(tmp_path / "set.npz")
    np.savez(tmp_path / "a.npz", roll=np.full((2, 2), 0.5))
    with pytest.raises(ValueError, match=r"a.npz, roll: 4 values are neither 0 nor 1"):
        load_roll(tmp_path / "a.npz")
    for low, message in (([1, 2], r"shape \(2,\)"), ("x", "U1"), (np.nan, "low is an array")):
        np.savez(tmp_path / "a.npz", roll=np.eye(2), low=low)
        with pytest.raises(ValueError, match=rf"a.npz.*{message}"):
            load_roll(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", roll=np.eye(2), low=2.5)
    with pytest.raises(ValueError, match=r"a.npz: low=2.5; expected a whole number"):
        load_roll(tmp_path / "a.npz")


def test_a_text_in_the_archive_is_no_array_of_the_file(tmp_path):
    save(tmp_path / "set.npz", small())
    with zipfile.ZipFile(tmp_path / "set.npz", "a") as archive:
        archive.writestr("README", "about this set")
    assert_same(load(tmp_path / "set.npz"), small())
    with np.load(tmp_path / "set.npz") as arrays:
        rest = {key: arrays[key] for key in arrays.files if key not in ("train_lengths", "README")}
    np.savez(tmp_path / "bad.npz", **rest)
    with zipfile.ZipFile(tmp_path / "bad.npz", "a") as archive:
        archive.writestr("train_lengths", "1, 2")
    with pytest.raises(ValueError, match=r"bad\.npz: train has 5 frames but its lengths .* add up to \d+"):
        load(tmp_path / "bad.npz")


# --- small files that would take all memory


def test_an_npz_file_that_expands_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(rolls, "MAX_BYTES", 2**20)
    np.savez_compressed(tmp_path / "bomb.npz", roll=np.zeros((2**16, 88), np.uint8))
    for read in (load, load_roll):
        with pytest.raises(ValueError, match=r"bomb\.npz: expands to \d+ bytes or more, expected at most 1048576"):
            read(tmp_path / "bomb.npz")


# --- archives whose checksums are right


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def npy(array: np.ndarray) -> bytes:
    with io.BytesIO() as file:
        np.lib.format.write_array(file, array)
        return file.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (header("{'descr': '|u1', 'fortran_order': 0xfor, 'shape': (1,)}"), "ValueError: Cannot parse header"),
        (header("{'descr': '|u1', 'fortran_order': 1if(1)else(2), 'shape': (1,)}"), "ValueError"),
        (header(" " * 20_000), "Header info length"),
    ],
)
def test_damaged_members_are_named_in_one_line(tmp_path, member, message):
    path = archive(tmp_path / "a.npz", roll=member)
    for read in (load, load_roll, formats.roll_layout):
        with pytest.raises(ValueError, match=rf"a\.npz: cannot be read as an \.npz file, .*{message}") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_headers_of_python_2_are_read(tmp_path):
    text = "{'descr': '|u1', 'fortran_order': False, 'shape': (2L, 3L)}"
    roll, _ = load_roll(archive(tmp_path / "a.npz", roll=header(text) + bytes([0, 1, 0, 1, 1, 0])))
    np.testing.assert_array_equal(roll, [[0, 1, 0], [1, 1, 0]])


def test_one_array_is_no_archive(tmp_path):
    (tmp_path / "a.npz").write_bytes(npy(np.eye(3)))
    with pytest.raises(ValueError, match=r"a\.npz: cannot be read as an \.npz file"):
        load_roll(tmp_path / "a.npz")


def test_names_of_several_lines_are_told_in_one(tmp_path):
    path = archive(tmp_path / "a.npz", **{"b\nc": npy(np.eye(3))})
    with pytest.raises(ValueError, match=r"a\.npz: has no array 'roll' but b c; expected"):
        load_roll(path)
    save(path, small())
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, "name": "a\nb", "train": np.full_like(arrays["train"], 2)})
    with pytest.raises(ValueError, match=r"a\.npz: a b, train\[0\]: \d+ values are neither"):
        load(path)


BEYOND = np.array(["abc"])
BEYOND.view(np.uint32)[1] = 0x110000  # no character


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", [["a"], ["b"]], r"name and kind have shapes \(2, 1\) and \(\); expected texts"),
        ("name", 3, "name is an array of int64, or damaged; expected texts"),
        ("kind", b"a", r"kind is an array of \|S1"),
        ("name", BEYOND[0:1].reshape(()), "name is an array of <U3, or damaged"),
        ("name", "a\ud800", "name is an array of <U2, or damaged"),
        ("test_names", np.array(["\udfff", "x"], ">U2"), "test_names is an array of >U2, or damaged"),
    ],
)
def test_what_should_be_a_text_is_one(tmp_path, key, value, message):
    path = tmp_path / "a.npz"
    save(path, small())
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, key: value})
    with pytest.raises(ValueError, match=rf"a\.npz: {message}"):
        load(path)


def test_names_of_other_bytes_orders_and_alphabets_are_read(tmp_path):
    path = tmp_path / "a.npz"
    save(path, small())
    with np.load(path) as arrays:
        texts = {"name": np.array("春\U0001f3b5", ">U2"), "train_names": np.array(["ä", "ß"], ">U1")}
        np.savez(path, **{**arrays, **texts})
    assert (load(path).name, load(path).names["train"]) == ("春\U0001f3b5", ["ä", "ß"])


def test_millions_of_pieces_without_frames_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(rolls, "MAX_BYTES", 2**20)
    path = tmp_path / "a.npz"
    save(path, small())
    with np.load(path) as arrays:
        many = {"train": np.zeros((0, 4), np.uint8), "train_lengths": np.zeros(10**5, np.uint8)}
        np.savez(path, **{**arrays, **many})
    with pytest.raises(ValueError, match=r"a\.npz: expands to 20000000 bytes or more, expected at most 1048576"):
        load(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"low": 1e300}, "low="),
        ({"low": -1}, "low=-1"),
        ({"steps_per_beat": 0}, "steps_per_beat=0"),
        ({"steps_per_beat": 1e30}, "steps_per_beat="),
        ({"seconds_per_frame": -0.5}, "seconds_per_frame=-0.5"),
        ({"tempo": 0}, "tempo=0.0: expected beats per minute"),
        ({"steps_per_beat": 2, "seconds_per_frame": 0.5}, "give one of the two"),
    ],
)
def test_metadata_of_a_roll_are_checked(tmp_path, metadata, message):
    np.savez(tmp_path / "a.npz", roll=np.eye(2), **metadata)
    with pytest.raises(ValueError, match=rf"a\.npz: .*{message}"):
        load_roll(tmp_path / "a.npz")


def test_texts_have_a_limit(tmp_path):
    save(tmp_path / "a.npz", small())
    with np.load(tmp_path / "a.npz") as loaded:
        arrays = dict(loaded)
    arrays["train_names"] = arrays["train_names"].astype("<U20000")
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=r"a\.npz: train_names has room for texts of 20000 characters; expected 10000"):
        load(tmp_path / "a.npz")
