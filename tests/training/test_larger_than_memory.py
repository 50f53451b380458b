"""Frames that are too many for the memory train from where they are, and give the numbers of those on the device."""

import numpy as np
import pytest

from rnnrbm import rnn_rbm
from rnnrbm.backend import engine
from rnnrbm.models.registry import build
from rnnrbm.training import packing
from rnnrbm.training.fit import State, fit
from rnnrbm.training.packing import PackedDataset

LENGTHS = (30, 7, 12, 45, 3)
QUICK = {"row_length": 8, "batch_size": 3, "context": 2, "k": 2, "epochs": 2, "valid_n_chains": 2}
QUICK |= {"valid_n_temperatures": 3, "input_dropout": 0.1, "state_dropout": 0.1}


def rolls(seed=0):
    rng = np.random.default_rng(seed)
    pieces = [(rng.random((n, 9)) < 0.3).astype(np.uint8) for n in LENGTHS]
    for piece in pieces:
        piece[:, [0, 1, 8]] = 0  # room for transposition
    return pieces


def levels(folder, seed=0):
    """Pieces that are mapped from one file, as those of a folder of sound are."""
    rng = np.random.default_rng(seed)
    path = folder / f"frames{seed}"
    rng.normal(size=(sum(LENGTHS), 7)).astype(np.float32).tofile(path)
    frames = np.asarray(np.memmap(path, np.float32, "r")).reshape(-1, 7)
    return np.split(frames, np.cumsum(LENGTHS)[:-1])


def trained(make, pieces, valid, **settings):
    model, state = make(), State()
    rows = list(fit(model, pieces, valid, state=state, **settings))
    return {name: engine.to_numpy(v) for name, v in state.variables.items()}, rows


def assert_same(one, other):
    (variables, rows), (others, other_rows) = one, other
    assert variables.keys() == others.keys()
    for name, value in variables.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)
    measured = [{k: v for k, v in row.items() if k not in ("seconds", "frames_per_second")} for row in rows]
    expected = [{k: v for k, v in row.items() if k not in ("seconds", "frames_per_second")} for row in other_rows]
    np.testing.assert_equal(measured, expected)


@pytest.fixture
def too_many(monkeypatch):
    """Let any number of frames be too many for the device, from the call on."""
    return lambda: monkeypatch.setattr(packing, "DEVICE_SHARE", 0.0)


def test_piano_rolls_with_transposition(too_many):
    def make():
        return rnn_rbm(9, 6, 5, seed=1)

    settings = QUICK | {"transpose_range": (-2, 1), "centring": True}
    usual = trained(make, rolls(), rolls(1), **settings)
    too_many()
    assert_same(trained(make, rolls(), rolls(1), **settings), usual)


def gaussian_rnn_rbm():
    return build("rnn-rbm", 7, n_hidden=6, n_recurrent=5, visible="gaussian:0.9", seed=1)


def test_spectrograms_that_are_mapped_in_a_run_that_is_interrupted(too_many, tmp_path):
    settings, asked, state = QUICK | {"learning_rate": 1e-2}, [], State()
    usual = trained(gaussian_rnn_rbm, levels(tmp_path), levels(tmp_path, 1), **settings)
    too_many()

    def stop():
        asked.append(0)
        return len(asked) == 3

    assert not list(fit(gaussian_rnn_rbm(), levels(tmp_path), levels(tmp_path, 1), state=state, stop=stop, **settings))
    assert state.batch == 3
    state.save(tmp_path / "state.npz")
    state = State.load(tmp_path / "state.npz")[0]
    rows = list(fit(gaussian_rnn_rbm(), levels(tmp_path), levels(tmp_path, 1), state=state, **settings))
    assert_same(({n: engine.to_numpy(v) for n, v in state.variables.items()}, rows), usual)


def test_single_frames(too_many, tmp_path):
    def make():
        return build("rbm", 7, n_hidden=6, visible="gaussian", seed=2)

    settings = {"epochs": 2, "k": 2, "batch_size": 11, "valid_n_chains": 2, "valid_n_temperatures": 3}
    usual = trained(make, levels(tmp_path), levels(tmp_path, 1), **settings)
    too_many()
    assert_same(trained(make, levels(tmp_path), levels(tmp_path, 1), **settings), usual)


def test_the_limit_is_a_part_of_the_memory(monkeypatch):
    pieces = rolls()
    assert PackedDataset(pieces, row_length=8, context=2).on_device
    monkeypatch.setattr(packing.memory, "available", lambda: 8 * 10 * sum(LENGTHS))
    assert PackedDataset(pieces, row_length=8, context=2).on_device
    corpus = PackedDataset(pieces, row_length=8, context=2, transpose_range=(-1, 1))  # two columns wider
    assert not corpus.on_device
    assert next(corpus.epoch((0,))).offset.dtype == np.int64
    with pytest.raises(MemoryError, match=r"97 frames of 11 columns, too many for the device; take .* dense\(batch\)"):
        corpus.frames  # noqa: B018


def test_more_cells_than_a_device_can_count(tmp_path):
    width, n = 2**17, 2**14 + 8
    with open(tmp_path / "frames", "wb") as file:
        file.truncate(width * n)  # nothing but a hole
    piece = np.asarray(np.memmap(tmp_path / "frames", np.uint8, "r")).reshape(n, width)
    corpus = PackedDataset([piece[:3], piece[3:6]], row_length=4, context=0)
    assert corpus.on_device
    corpus = PackedDataset([piece], row_length=4, batch_size=1, context=0)
    assert not corpus.on_device
    last = max(int(batch.offset.max()) for batch in corpus.epoch((0,)))
    assert last >= 2**31
