"""Frames in parts give the numbers of all frames at once."""

import numpy as np
import pytest

from rnnrbm import pieces as pieces_module
from rnnrbm.pieces import chunks, column_moments, first_frames, frames_at


@pytest.fixture
def pieces(monkeypatch):
    monkeypatch.setattr(pieces_module, "_CHUNK", 5)
    rng = np.random.default_rng(0)
    return [rng.normal(1e4, 0.1, (n, 3)).astype(np.float32) for n in (1, 13, 5, 2)]


def test_parts_are_the_pieces(pieces):
    parts = list(chunks(pieces))
    assert [len(part) for part in parts] == [1, 5, 5, 3, 5, 2]
    np.testing.assert_array_equal(np.concatenate(parts), np.concatenate(pieces))
    overlapping = [np.diff(part, axis=0) for part in chunks(pieces, overlap=1)]
    expected = [np.diff(piece.astype(float), axis=0) for piece in pieces]
    np.testing.assert_array_equal(np.concatenate(overlapping), np.concatenate(expected))


def test_moments_are_those_of_all_frames(pieces):
    found = column_moments(chunks(pieces))
    frames = np.concatenate(pieces).astype(float)
    assert found.n == len(frames)
    np.testing.assert_allclose(found.mean, frames.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.variance, frames.var(axis=0), rtol=1e-9)  # a great mean costs nothing
    with pytest.raises(ValueError, match="there is no frame; give at least one"):
        column_moments([np.zeros((0, 3))])


def test_frames_in_any_order(pieces):
    first = first_frames(pieces)
    np.testing.assert_array_equal(first, [0, 1, 14, 19, 21])
    positions = np.array([20, 0, 13, 14, 13, -1, 21])
    found = frames_at(pieces, first, positions)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:5], np.concatenate(pieces)[positions[:5]])
    assert not found[5:].any()  # outside
