"""Drift: windows by hand, and samples that leave the training set's range."""

import numpy as np
import pytest

from rnnrbm.scoring.drift import SIZES, Departure, departures, ranges, window_means


def test_windows_by_hand():
    levels = [np.arange(7.0), np.array([10.0, 20.0])]
    np.testing.assert_allclose(window_means(levels, 3), [1.0, 4.0, 15.0])  # frame 6 is left over
    np.testing.assert_allclose(window_means(levels, 1), [0, 1, 2, 3, 4, 5, 6, 10, 20])
    assert window_means([np.array([1, 2], np.uint8)], 256) == 1.5


def test_ranges_are_those_of_all_windows():
    rng = np.random.default_rng(0)
    levels = [rng.random(n) for n in (5, 40, 300)]
    found = ranges(levels)
    assert set(found) == set(SIZES)
    for size, (low, high) in found.items():
        means = [x[i : i + size].mean() for x in levels for i in range(0, max(1, len(x) - size + 1), size)]
        assert (low, high) == pytest.approx((min(means), max(means)))
    assert departures(levels, found) is None  # of pieces as short as the shortest one, nothing is said
    assert departures([level for level in levels if len(level) > 16], found) is None


def test_samples_outside_are_told_with_the_worst_window():
    usual = {16: (2.0, 4.0), 64: (2.5, 3.5)}
    fine = np.full(70, 3.0)
    dense, sparse = fine.copy(), fine.copy()
    dense[0:64], sparse[0:64] = 5.0, 2.0
    assert departures([fine, fine], usual) is None
    assert departures([fine, sparse, dense], usual) == Departure(2, 2, 0, 64, 5.0, (2.5, 3.5))
    # a sample of 20 frames is judged by windows of 16, one of 12 by none
    assert departures([np.full(20, 4.5)], usual) == Departure(1, 0, 0, 16, 4.5, (2.0, 4.0))
    assert departures([np.full(12, 9.0)], usual) is None
    assert departures([np.full(70, 3.5 * 1.049), np.full(70, 2.5 * 0.951)], usual) is None
    assert departures([np.full(70, 3.5 * 1.051)], usual) is not None
    assert departures([np.full(70, 2.5 * 0.949)], usual) is not None
    late = np.full(200, 3.0)
    late[128:192] = 1.0
    found = departures([late], usual)
    assert found is not None
    assert (found.frame, found.level) == (128, 1.0)
