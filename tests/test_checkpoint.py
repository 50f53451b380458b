"""Checkpoints: whole or not at all, and nothing in them is ever executed."""

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnrbm import checkpoint
from rnnrbm.backend import engine
from rnnrbm.checkpoint import CheckpointError

ARRAYS = {
    "W": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "rng_key": np.array([2**32 - 1, 5], np.uint32),
    "adam_t": np.array(3.5, np.float32),
    "best.b_v": np.array([np.nan, -np.inf, -0.0]),
    "empty": np.zeros((0, 4), np.int8),
}
META = {"epoch": 3, "rows": [{"loss": 0.1, "valid_ll": None}], "name": "Präludium"}


def same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert a[name].shape == b[name].shape, name
        assert a[name].tobytes() == b[name].tobytes(), name


@pytest.fixture
def path(tmp_path):
    checkpoint.save(tmp_path / "checkpoint.npz", ARRAYS, META)
    return tmp_path / "checkpoint.npz"


def test_round_trip(path):
    arrays, meta = checkpoint.load(path)
    same(arrays, ARRAYS)
    assert meta == META
    assert os.listdir(path.parent) == ["checkpoint.npz"]


@given(
    st.dictionaries(
        st.text("abcW._0", min_size=1, max_size=8).filter(lambda name: name != "_meta"),
        hnp.arrays(st.sampled_from([np.float32, np.float64, np.uint32, np.bool_, np.int64]), hnp.array_shapes()),
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.integers(), st.text(), st.floats(allow_nan=False))),
)
@settings(max_examples=50)
def test_anything_comes_back(tmp_path_factory, arrays, meta):
    path = tmp_path_factory.getbasetemp() / "any.npz"
    checkpoint.save(path, arrays, meta)
    back, back_meta = checkpoint.load(path)
    same(back, arrays)
    assert back_meta == meta


def test_not_a_number_in_the_text(path):
    checkpoint.save(path, {}, {"valid_ll": float("nan"), "best_ll": float("-inf")})
    meta = checkpoint.load(path)[1]
    assert np.isnan(meta["valid_ll"])
    assert meta["best_ll"] == -np.inf


def test_objects_are_not_saved(path):
    before = path.read_bytes()
    with pytest.raises(ValueError, match="allow_pickle"):
        checkpoint.save(path, {"W": np.array([{}, []], object)}, {})
    with pytest.raises(TypeError, match="JSON"):
        checkpoint.save(path, {}, {"W": np.zeros(2)})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["checkpoint.npz"]


# --- damaged and foreign files ----------------------------------------------------------------------


def test_truncated_anywhere(path):
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"checkpoint\.npz: .*nothing was loaded"):
            checkpoint.load(path)


def test_any_byte_changed(path):
    """What is read is what was written, or it is refused; there is no third."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(changed))
        try:
            arrays, meta = checkpoint.load(path)
        except CheckpointError as error:
            assert "checkpoint.npz" in str(error)  # noqa: PT017  whether it is raised depends on the place
            refused += 1
        else:
            same(arrays, ARRAYS)  # dates, attributes and the like are not covered by a checksum
            assert meta == META
    assert refused > len(whole) / 2


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"not a checkpoint, but a text\n", bytes(1000), b"\x89PNG\r\n\x1a\n" + bytes(50)]
)
def test_foreign_files(tmp_path, data):
    path = tmp_path / "a.npz"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"a\.npz: .*nothing was loaded"):
        checkpoint.load(path)


def test_a_foreign_file_is_not_said_to_hold_pickles(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"[training]\nepochs = 3\n")
    with pytest.raises(CheckpointError, match="is truncated or no checkpoint"):
        checkpoint.load(path)


def test_foreign_numpy_files(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    np.savez(tmp_path / "a.npz", W=np.eye(3))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(CheckpointError, match=f"{name}: a NumPy file, but not a checkpoint of rnnrbm"):
            checkpoint.load(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
        file.writestr("hello.txt", "hello")
    with pytest.raises(CheckpointError, match=r"b\.npz"):
        checkpoint.load(tmp_path / "b.npz")


def test_text_that_is_no_json(tmp_path):
    np.savez(tmp_path / "a.npz", _meta=np.frombuffer(b"{", np.uint8))
    with pytest.raises(CheckpointError, match="is truncated or no checkpoint"):
        checkpoint.load(tmp_path / "a.npz")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        checkpoint.load(tmp_path / "none.npz")
    with pytest.raises(OSError, match=tmp_path.name):
        checkpoint.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere' does not exist"):
        checkpoint.save(tmp_path / "nowhere" / "a.npz", {}, {})


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("where", ["W", "_meta", "whole file"])
def test_pickles_are_refused_and_never_run(tmp_path, where):
    target, path = tmp_path / "sprung", tmp_path / "a.npz"
    if where == "whole file":
        path.write_bytes(pickle.dumps(Trap(target)))
    else:
        arrays = {"W": np.eye(2), "_meta": np.frombuffer(b"{}", np.uint8)}
        np.savez(path, **(arrays | {where: np.array([Trap(target)], object)}))
    reason = "is truncated or no checkpoint" if where == "whole file" else "contains pickled objects"
    with pytest.raises(CheckpointError, match=rf"a\.npz: {reason}; nothing was loaded"):
        checkpoint.load(path)
    assert not target.exists()
    if where == "W":  # the trap works
        with np.load(path, allow_pickle=True) as file:
            assert file["W"][0] is None
        assert target.exists()


# --- disks that fill up -----------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file size")
@pytest.mark.parametrize("limit", [0, 1, 100, 5000, 300_000])
def test_a_full_disk_keeps_the_old_checkpoint(path, limit):
    """A file size limit makes every write beyond it fail, as a full disk does."""
    before = path.read_bytes()
    code = f"""
import resource, signal
import numpy as np
from rnnrbm import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    checkpoint.save({str(path)!r}, {{"W": np.ones(100_000), "b": np.ones(3)}}, {{"epoch": 9}})
except OSError as error:
    print("refused", error.errno)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("refused ")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["checkpoint.npz"]
    same(checkpoint.load(path)[0], ARRAYS)


def test_an_interrupt_while_saving_keeps_the_old_checkpoint(path, monkeypatch):
    before = path.read_bytes()

    def interrupted(file, **arrays):
        file.write(b"PK\x03\x04 half of")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, {"W": np.ones(3)}, {})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["checkpoint.npz"]


# --- assigning --------------------------------------------------------------------------------------


def variables() -> dict:
    listed = [engine.shared(np.zeros((2, 3)), "W"), engine.shared(np.zeros(3), "b_h"), engine.shared(0, "n", "uint32")]
    return {v.name: v for v in listed}


def test_assign():
    to = variables()
    arrays = {"W": np.arange(6.0).reshape(2, 3), "b_h": np.ones(3), "n": np.array(7), "other": np.zeros(9)}
    checkpoint.assign(to, arrays, where="here")
    for name, variable in to.items():
        value = engine.to_numpy(variable)
        np.testing.assert_array_equal(value, arrays[name])
        assert value.dtype == variable.type.dtype
    arrays["W"][0, 0] = 99.0
    assert engine.to_numpy(to["W"])[0, 0] == 0.0  # a copy


def test_assign_all_or_none():
    to = variables()
    arrays = {"W": np.ones((3, 2)), "b_h": np.ones(3)}
    with pytest.raises(CheckpointError) as caught:
        checkpoint.assign(to, arrays, where="run/checkpoint.npz")
    message = str(caught.value)
    assert message.startswith("run/checkpoint.npz: belongs to another model: ")
    assert "W has shape (3, 2), the model's is (2, 3)" in message
    assert "n is missing" in message
    assert "b_h" not in message
    for variable in to.values():
        assert not engine.to_numpy(variable).any()


# --- archives whose checksums are right


@pytest.mark.parametrize("value", [np.array(["a"]), np.zeros(2, "M8[s]"), np.zeros(2, [("a", "u1")]), np.array(b"x")])
def test_arrays_of_something_else_than_numbers_are_refused(tmp_path, value):
    text = np.frombuffer(b'{"names": ["best.W"], "meta": {}}', np.uint8)
    np.savez(tmp_path / "a.npz", **{"_meta": text, "best.W": value})
    with pytest.raises(CheckpointError, match=r"a\.npz: is truncated or no checkpoint"):
        checkpoint.load(tmp_path / "a.npz")


def test_a_file_that_expands_is_refused(tmp_path):
    """Half a megabyte of zeros here, but it could be any size."""
    text = np.frombuffer(b'{"names": ["best.W"], "meta": {}}', np.uint8)
    np.savez_compressed(tmp_path / "a.npz", **{"_meta": text, "best.W": np.zeros(2**16)})
    with pytest.raises(CheckpointError, match=r"a\.npz: is no checkpoint, since it expands to \d+ bytes"):
        checkpoint.load(tmp_path / "a.npz")


def test_members_that_are_no_arrays_are_refused(path):
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("b.npy", b"no array")
    with pytest.raises(CheckpointError, match="is truncated or no checkpoint"):
        checkpoint.load(path)
