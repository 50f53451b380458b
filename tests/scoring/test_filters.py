"""Measures of filters, on filters whose numbers are known."""

import numpy as np
import pytest

from rnnrbm.scoring.filters import measure_filters

SHAPE = (12, 10)


def image(*spots, size=1):
    """An image of squares of weight 1 or -1."""
    w = np.zeros(SHAPE)
    for y, x, sign in spots:
        w[y : y + size, x : x + size] = sign
    return w.ravel()


def test_known_filters() -> None:
    uniform = np.full(SHAPE, -0.3).ravel()
    W = np.stack([image((3, 4, 1)), image((1, 1, 2)), uniform, image((2, 2, 1), (2, 6, -1)), 0 * uniform], axis=1)
    found = measure_filters(W, SHAPE, smooth=0)
    np.testing.assert_allclose(found.area, [1, 1, 120, 2, 0])
    # a uniform rectangle has the variances (n**2 - 1) / 12 of its sides; two points at distance 4 have a radius of 2
    np.testing.assert_allclose(found.radius, [0, 0, np.sqrt((143 + 99) / 12), 2, 0])
    assert found.spots.tolist() == [1, 1, 1, 2, 0]


def test_touching_regions_of_two_signs_are_two_spots() -> None:
    edge = np.zeros(SHAPE)
    edge[4:8, 2:4], edge[4:8, 4:6] = 1, -1
    assert measure_filters(edge.reshape(-1, 1), SHAPE).spots.tolist() == [2]


def test_smoothing_keeps_noise_from_being_spots() -> None:
    stroke = np.zeros(SHAPE)
    stroke[2:10, 4:6] = 1
    noisy = stroke + np.random.default_rng(0).normal(0, 0.25, SHAPE)
    W = noisy.reshape(-1, 1)
    assert measure_filters(W, SHAPE).spots[0] == 1
    assert measure_filters(W, SHAPE, smooth=0).spots[0] > 1
    scaled = measure_filters(-7 * W, SHAPE)
    for mine, theirs in zip(measure_filters(W, SHAPE), scaled, strict=True):
        np.testing.assert_allclose(mine, theirs)  # neither sign nor scale matters


def test_wrong_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"W has shape \(100, 3\); expected \(120, n_hidden\), an image 12x10"):
        measure_filters(np.zeros((100, 3)), SHAPE)
    with pytest.raises(ValueError, match="NaN"):
        measure_filters(np.full((120, 1), np.nan), SHAPE)
