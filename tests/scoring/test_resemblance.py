"""Two-sample distances: against double loops and known values; mutated songs differ, halves of songs agree."""

import numpy as np
import pytest

from rnnrbm.scoring.calls import call_threshold, find_calls
from rnnrbm.scoring.resemblance import (
    FeatureSpace,
    discrepancies,
    distance,
    distances,
    median_width,
    mmd2,
    resized,
)

HERTZ = np.linspace(500.0, 8000.0, 12)
HOP = 0.008


def by_loops(x, y, width):
    def kernel(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * width**2))

    n, m = len(x), len(y)
    xx = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(kernel(a, b) for a in x for b in y) / (n * m)


def test_mmd_is_that_of_a_double_loop(monkeypatch):
    monkeypatch.setattr("rnnrbm.scoring.resemblance._BLOCK", 4)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 3)), rng.normal(0.5, 2, size=(14, 3))
    assert mmd2(x, y, 1.3) == pytest.approx(by_loops(x, y, 1.3), rel=1e-12)


def test_mmd_is_unbiased_and_has_the_known_value_of_normal_distributions():
    # with variance 1, means that are d apart, and s = 1 + 2 / width^2: 2 (1 - exp(-d^2 / (2 (width^2 + 2)))) / sqrt(s)
    rng = np.random.default_rng(1)
    width, shift, rounds = 1.5, 1.0, 3000
    for d in (0.0, shift):
        values = [mmd2(rng.normal(size=(6, 1)), rng.normal(d, 1, size=(5, 1)), width) for _ in range(rounds)]
        true = 2 * (1 - np.exp(-(d**2) / (2 * (width**2 + 2)))) / np.sqrt(1 + 2 / width**2)
        assert np.mean(values) == pytest.approx(true, abs=4 * np.std(values) / np.sqrt(rounds))
        assert np.std(values) / np.sqrt(rounds) < 0.01
        assert min(values) < 0  # as an unbiased estimate must be


def test_width_is_the_median_distance():
    assert median_width(np.array([[0.0], [1.0], [3.0]])) == 2.0
    many = np.random.default_rng(0).normal(size=(5000, 1))
    assert median_width(many) == pytest.approx(np.sqrt(2) * 0.6745, rel=0.1)


def test_distances_of_one_variable():
    found = distance(np.array([0.0, 1.0, 2.0]), np.array([10.0, 11.0, 12.0, 13.0]))
    assert found == (1.0, pytest.approx(10.5), (3, 4))
    assert distance(np.arange(4.0), np.arange(4.0))[:2] == (0, 0)
    empty = distance(np.empty(0), np.arange(4.0))
    assert np.isnan(empty[:2]).all()
    assert empty.n == (0, 4)


def test_spectrograms_are_interpolated_in_time():
    x = np.arange(10.0)[:, None] * [1.0, -2.0]
    rows = resized([x, x], np.array([[0, 2, 7], [1, 3, 4]]), 3).reshape(2, 3, 2)
    np.testing.assert_allclose(rows[0], [[2, -4], [4, -8], [6, -12]])
    np.testing.assert_allclose(rows[1], [[3, -6]] * 3)  # a single frame


def song(n_calls: int, seed: int) -> np.ndarray:
    """Two kinds of calls with silences between them, in decibels."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(n_calls):
        parts += [np.full((rng.integers(6, 12), len(HERTZ)), -90.0)]
        n, band = rng.integers(8, 16), 3 if rng.random() < 0.5 else 8
        parts += [-70.0 - 6.0 * np.abs(np.arange(len(HERTZ)) - band - np.linspace(-1, 1, n)[:, None])]
        parts[-1] = np.maximum(parts[-1], -88.0) + 8.0 * np.hanning(n + 2)[1:-1, None]
    x = np.concatenate([*parts, np.full((8, len(HERTZ)), -90.0)])
    return x + 0.5 * rng.normal(size=x.shape)


@pytest.fixture(scope="module")
def songs():
    train, test = ([song(20, seed) for seed in seeds] for seeds in (range(8), range(8, 12)))
    return train, test, call_threshold(train)


def compared(samples, songs):
    train, test, threshold = songs
    calls = [find_calls(each, HERTZ, HOP, threshold) for each in (samples, test, train)]
    spans = tuple(each.spans for each in calls)
    found = discrepancies(samples, test, train, spans, HOP)
    return distances(calls[0], calls[1]), distances(calls[2], calls[1]), found


def stretched(piece, factor):
    at = np.arange(0, len(piece) - 1, 1 / factor)
    return piece[np.round(at).astype(int)]


def test_other_songs_are_as_far_away_as_songs_are_from_each_other(songs):
    mine, real, found = compared([song(20, seed) for seed in range(20, 26)], songs)
    for name, each in mine.items():
        assert each.ks < 0.28, name  # 0.001 of equal distributions are beyond
        assert real[name].ks < 0.28, name
    for each in found.values():
        assert abs(each.samples) < 0.01
        assert abs(each.real) < 0.01


def test_stretched_songs_differ_in_time_and_not_in_frequency(songs):
    mine, real, found = compared([stretched(song(20, seed), 1.5) for seed in range(20, 26)], songs)
    for name in ("duration of a call", "silence between calls"):
        assert mine[name].ks > 0.5 > 0.2 > real[name].ks
    assert mine["duration of a call"].wasserstein == pytest.approx(0.5 * 88, rel=0.25)
    assert mine["peak frequency of a call"].ks < 0.2
    assert found["calls"].samples > 0.1 > 10 * abs(found["calls"].real)


def test_shifted_songs_differ_in_frequency_and_not_in_time(songs):
    mine, _, found = compared([np.roll(song(20, seed), 2, axis=1) for seed in range(20, 26)], songs)
    assert mine["peak frequency of a call"].ks > 0.4
    assert mine["duration of a call"].ks < 0.2
    assert found["calls"].samples > 0.02 > 10 * abs(found["calls"].real)


def test_silence_has_no_calls_to_compare_but_windows(songs):
    mine, _, found = compared([np.full((400, len(HERTZ)), -90.0)], songs)
    assert all(np.isnan(each.ks) for each in mine.values())
    assert np.isnan(found["calls"].samples)
    assert found["calls"].n[0] == 0
    assert found["windows"].samples > 0.1 > 0.01 > abs(found["windows"].real)


def test_points_have_unit_variance_on_the_calls_of_the_space(songs):
    train, _, threshold = songs
    calls = find_calls(train, HERTZ, HOP, threshold)
    space = FeatureSpace.fit(train, calls.spans, n_components=5)
    points = space(train, calls.spans)
    assert points.shape == (len(calls.spans), 6)
    assert points[:, :5].var(axis=0).sum() == pytest.approx(1)
    assert points[:, 5].var() == pytest.approx(1)
    assert FeatureSpace.fit(train, calls.spans[:3])(train, calls.spans).shape == (len(calls.spans), 3)


def test_wrong_points_are_refused(songs):
    x = np.zeros((3, 2))
    with pytest.raises(ValueError, match="two points or more"):
        mmd2(x[:1], x, 1.0)
    with pytest.raises(ValueError, match="2 values, y of 1"):
        mmd2(x, x[:, :1], 1.0)
    with pytest.raises(ValueError, match="y holds NaN"):
        mmd2(x, np.full((3, 2), np.nan), 1.0)
    with pytest.raises(ValueError, match="width=0"):
        mmd2(x, x, 0)
    with pytest.raises(ValueError, match="median distance of the points is 0"):
        median_width(x)
    with pytest.raises(ValueError, match="1 calls have no variance"):
        FeatureSpace.fit(songs[0], np.array([[0, 0, 5]]))
    with pytest.raises(ValueError, match="all calls are equal"):
        FeatureSpace.fit([np.zeros((9, 2))], np.array([[0, 0, 5], [0, 5, 9]]))
