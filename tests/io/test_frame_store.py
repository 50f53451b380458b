"""Frames that are standardised on disk are those that are standardised in memory."""

import io
import tempfile

import numpy as np
import pytest

from rnnrbm.io import frame_store, rolls
from rnnrbm.io.frame_store import standardised, stored


def parts(seed: int = 0):
    """Three pieces, cut anywhere; band 1 hardly varies, and band 3 only in the last piece."""
    rng = np.random.default_rng(seed)
    pieces = [rng.normal(-50 + 5 * i, 4, (n, 5)).astype(np.float32) for i, n in enumerate((30, 17, 40))]
    for piece in pieces:
        piece[:, 1] = -100 + 0.01 * piece[:, 1] / 50
    for piece in pieces[:2]:
        piece[:, 3] = -100
    return pieces, [[piece[:7], piece[7:]] for piece in pieces]


@pytest.fixture(params=["memory", "disk"])
def place(request, monkeypatch, tmp_path):
    monkeypatch.setenv("RNNRBM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(frame_store, "_CHUNK", 11)
    if request.param == "disk":
        monkeypatch.setattr(rolls, "MAX_BYTES", 1)
    return request.param, tmp_path / "cache" / "spectrograms"


def test_pieces_are_standardised_by_the_training_pieces_without_constant_bands(place):
    pieces, cut = parts()
    found = standardised(cut, 5, n_train=2, expected=87)
    train = np.concatenate(pieces[:2]).astype(float)
    kept = [0, 2, 4]
    np.testing.assert_allclose(np.array(found.mean)[kept], train.mean(axis=0)[kept], atol=1e-3)
    np.testing.assert_allclose(np.array(found.deviation)[kept], train.std(axis=0)[kept], atol=1e-3)
    assert (found.deviation[1], found.deviation[3]) == (0, 0)
    for mine, theirs in zip(found.pieces, pieces, strict=True):
        expected = (theirs[:, kept] - np.array(found.mean)[kept]) / np.array(found.deviation)[kept]
        np.testing.assert_allclose(mine, expected, atol=1e-4)
        assert mine.dtype == np.float32
        assert not mine.flags.writeable
        assert np.ascontiguousarray(mine, np.float32) is mine  # nothing is copied later
    where, folder = place
    assert folder.is_dir() == (where == "disk")
    assert where == "memory" or not list(folder.iterdir())  # nothing can be left behind


def test_a_great_mean_costs_no_precision(place):
    part = (np.random.default_rng(0).normal(size=(500, 2)) * 0.2 - 90).astype(np.float32)
    found = standardised([[part]], 2, n_train=1, expected=500)
    np.testing.assert_allclose(found.deviation, part.astype(float).std(axis=0), atol=6e-4)
    assert len(found.pieces) == 1


def test_constant_training_pieces_are_an_error(place):
    with pytest.raises(ValueError, match="no band of the spectrogram varies"):
        standardised([[np.full((5, 3), -90, np.float32)]], 3, n_train=1, expected=5)


def test_a_full_disk_is_an_error(monkeypatch, tmp_path):
    class Full(io.RawIOBase):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setenv("RNNRBM_CACHE", str(tmp_path))
    monkeypatch.setattr(rolls, "MAX_BYTES", 1)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: Full())
    with pytest.raises(OSError, match=r"spectrograms: .*No space left"):
        standardised(parts()[1], 5, n_train=2, expected=87)


def test_pieces_are_stored_as_they_are(place):
    pieces, _ = parts()
    found = stored(iter(pieces), expected=sum(piece.nbytes for piece in pieces))
    for mine, theirs in zip(found, pieces, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert mine.dtype == np.float32
    where, folder = place
    assert folder.is_dir() == (where == "disk")
    assert (found[0] is pieces[0]) == (where == "memory")
