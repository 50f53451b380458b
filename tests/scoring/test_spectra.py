"""Measures of spectrograms: by hand, and against a calculation with all frames at once."""

import numpy as np
import pytest

from rnnrbm.scoring import spectra
from rnnrbm.scoring.spectra import measure

HERTZ = np.array([100.0, 200.0, 400.0])


def test_measures_by_hand():
    # all power in one band; half in each of two; silence
    piece = np.array([[-90.0, -20.0, -90.0], [-30.0, -90.0, -30.0], [-90.0, -90.0, -90.0]])
    found = measure([piece], HERTZ, silence=-70.0)
    np.testing.assert_allclose(found.level, [-200 / 3, -50, -90])
    assert found.silent.tolist() == [False, False, True]
    np.testing.assert_allclose(found.peak[:2], [200, 100])
    np.testing.assert_allclose(found.bandwidth[:2], [0, 150], atol=0.5)
    np.testing.assert_allclose(found.mean, piece.mean(axis=0))
    np.testing.assert_allclose(found.deviation, piece.std(axis=0))
    summary = found.summary()
    assert summary["silent_share"] == pytest.approx(1 / 3)
    assert summary["peak_frequency_hz"] == pytest.approx(150)
    assert summary["mean_level_db"] == pytest.approx(piece.mean())


def test_correlation_is_within_pieces_and_about_the_mean_of_all():
    rng = np.random.default_rng(0)
    pieces = [rng.normal(-40, 5, (n, 3)).cumsum(axis=0) / 10 for n in (30, 50)]
    found = measure(iter(pieces), HERTZ)
    mean = np.concatenate(pieces).mean(axis=0)
    pairs = np.concatenate([(p[1:] - mean) * (p[:-1] - mean) for p in pieces])
    expected = pairs.mean(axis=0) / np.concatenate(pieces).var(axis=0)
    np.testing.assert_allclose(found.correlation, expected)
    assert found.silent.mean() == pytest.approx(np.mean(found.level < found.level.mean()))


def test_bands_that_do_not_vary_have_no_correlation_and_all_silence_has_measures():
    found = measure([np.full((4, 3), -100.0)], HERTZ, silence=-50.0)
    assert np.isnan(found.correlation).all()
    assert all(np.isfinite(value) for value in found.summary().values())


@pytest.mark.parametrize("pieces", [[], [np.zeros((3, 2))], [np.zeros((0, 3))]])
def test_wrong_pieces_are_refused(pieces):
    with pytest.raises(ValueError, match="piece"):
        measure(pieces, HERTZ)


def test_of_many_frames_every_second_or_fourth_is_measured(monkeypatch):
    rng = np.random.default_rng(0)
    pieces = [rng.normal(-40, 5, (n, 3)) for n in (30, 50, 21)]
    whole = measure(pieces, HERTZ, silence=-40.0)
    monkeypatch.setattr(spectra, "_MOST", 30)
    some = measure(iter(pieces), HERTZ, silence=-40.0)
    expected = np.concatenate([piece.mean(axis=1)[::4] for piece in pieces])
    np.testing.assert_allclose(some.level, expected)
    assert [len(x) for x in (some.silent, some.peak, some.bandwidth)] == [len(expected)] * 3
    assert (some.n_frames, some.n_pieces) == (whole.n_frames, whole.n_pieces) == (101, 3)
    for name in ("mean", "deviation", "correlation"):  # of all frames
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name))
