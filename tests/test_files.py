import errno
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rnnrbm import checkpoint, datasets
from rnnrbm.experiment import config
from rnnrbm.files import atomic, check_folder, first_line, load_arrays, read_bytes, temporary_target
from rnnrbm.io import formats, midi


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_writes_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with atomic(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary != target
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_replaces_an_earlier_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic(str(target)) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
def test_any_exception_keeps_the_old_file(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half() -> None:
        with atomic(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_full_disk_at_the_last_moment_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), atomic(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_file_size_limit_keeps_the_old_file(tmp_path: Path) -> None:
    """A real failing write, as on a full disk: the process may not write beyond 4096 bytes."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"), atomic(target) as temporary:
            temporary.write_bytes(bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="nowhere' does not exist; create it"),
        atomic(tmp_path / "nowhere" / "a.txt"),
    ):
        pytest.fail("the block must not run")


def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a directory"), atomic(tmp_path):
        pytest.fail("the block must not run")


def test_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(FileNotFoundError, match="nothing was written"), atomic(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "a.txt").read_text() == "old"


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    (tmp_path / "b.txt").write_text("ordinary")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_suffix_choosing_library_writes_the_named_file(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.npz") as temporary:
        np.savez(temporary, x=np.arange(3))  # appends .npz to any other suffix
    with np.load(tmp_path / "a.npz") as saved:
        np.testing.assert_array_equal(saved["x"], [0, 1, 2])
    assert names(tmp_path) == ["a.npz"]


def test_longest_possible_name(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".txt")
    with atomic(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_a_temporary_file_tells_what_it_was_to_become(tmp_path: Path) -> None:
    for name in ("checkpoint.npz", "a." + "n" * 60 + "-test-ais-0123abcd.npz"):
        with atomic(tmp_path / name) as temporary:
            temporary.write_text("new")
        assert temporary_target(temporary) == name[-54:]
    for name in ("checkpoint.npz", ".checkpoint.npz", ".checkpoint.0123abcx.npz", ".0123abcd.npz"):
        assert temporary_target(tmp_path / name) is None


def test_reading_says_in_words_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert read_bytes(str(tmp_path / "a"), "a tune") == b"x"
    with pytest.raises(FileNotFoundError, match=r"none: there is no such file; give the path of a tune$"):
        read_bytes(tmp_path / "none", "a tune")
    with pytest.raises(IsADirectoryError, match=r": is a folder; give the path of a tune$"):
        read_bytes(tmp_path, "a tune")
    with pytest.raises(OSError, match=r"a.b: cannot be read \(.*\); expected a tune$"):
        read_bytes(tmp_path / "a" / "b", "a tune")


def test_what_cannot_become_a_folder(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_folder(tmp_path / "new" / "one")
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(FileExistsError, match=r"a: is a file; give a folder for the run$"):
        check_folder(tmp_path / "a", "the run")
    with pytest.raises(FileExistsError, match=r"b: .*a is a file; give a folder"):
        check_folder(str(tmp_path / "a" / "b"))


# --- files of arrays


def test_arrays_are_read_of_both_kinds_of_file(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    np.savez(tmp_path / "a.npz", a=np.eye(3), b=np.array("text"))
    with open(tmp_path / "a.npy", "rb") as file:
        np.testing.assert_array_equal(load_arrays(file), np.eye(3))
    with open(tmp_path / "a.npz", "rb") as file:
        found = load_arrays(file)
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], np.eye(3))


def test_the_size_of_arrays_is_checked_before_they_are_read(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(1000))

    def check_size(size):
        assert 8000 < size < 8300
        raise OverflowError

    with open(tmp_path / "a.npz", "rb") as file, pytest.raises(OverflowError):
        load_arrays(file, check_size)


def test_members_of_one_name_are_read_once(tmp_path, monkeypatch):
    """Only so is their size the one that is checked."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of such names
        for n in (1, 2, 3):
            with file.open("a.npy", "w") as member:
                np.lib.format.write_array(member, np.arange(n))
    read = []
    archive = np.lib.npyio.NpzFile
    plain = archive.__getitem__
    monkeypatch.setattr(archive, "__getitem__", lambda self, name: read.append(name) or plain(self, name))
    with open(tmp_path / "a.npz", "rb") as file:
        found = load_arrays(file)
    assert {name: len(array) for name, array in found.items()} == {"a": 3}
    assert read == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '|u1', 'fortran_order': 0xfor, 'shape': (1,)}",
        "{'descr': '\\h', 'fortran_order': False, 'shape': (1,)}",
    ],
)
def test_damaged_headers_of_arrays_raise_and_do_not_warn(tmp_path, text):
    """Python warns of the style of the text that a header is."""
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + b"x")
    with open(tmp_path / "a.npy", "rb") as file, pytest.raises((ValueError, TypeError)):
        load_arrays(file)


def test_the_first_line_of_an_error_names_its_kind():
    assert first_line(ValueError("one\ntwo")) == "ValueError: one"
    assert first_line(KeyError()) == "KeyError: "


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    for name in ("a.json", "a.npz", "a.mat", "a.mid", "a.toml"):
        os.mkfifo(tmp_path / name)
    readers = {
        "a.json": datasets.load,
        "a.mat": datasets.load,
        "a.npz": formats.load_roll,
        "a.mid": midi.read,
        "a.toml": config.read,
    }
    for name, read in readers.items():
        with pytest.raises(OSError, match=rf"{name}: a pipe or a device; expected .*, copy it to a file first"):
            read(tmp_path / name)
    with pytest.raises(OSError, match=r"a\.npz: a pipe or a device"):
        checkpoint.load(tmp_path / "a.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"pipe: a pipe or a device"), atomic(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()


def test_without_permission_the_file_is_named_and_not_its_temporary_one(monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(tmp_path / ".a.0123abcd.txt"))

    with (
        pytest.raises(PermissionError, match=r"a\.txt: cannot be written, permission is denied; choose another folder"),
        atomic(tmp_path / "a.txt"),
    ):
        refuse()
    assert list(tmp_path.iterdir()) == []
