"""Warnings about data that a model can be trained on, but hardly well."""

import warnings

import numpy as np
import pytest

import rnnrbm
from rnnrbm.rbm import RBM
from rnnrbm.units import Gaussian, LearnedGaussian

RNG = np.random.default_rng(0)
GOOD = RNG.normal(0, 1, (50, 4))


def said(unit, frames):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rnnrbm.fit(RBM.init(4, 3, seed=0, visible=unit), frames, epochs=1).close()
    return [str(w.message) for w in caught if "nothing was trained" not in str(w.message)]


@pytest.mark.parametrize("unit", [Gaussian(), LearnedGaussian.init(4)], ids=["fixed", "learned"])
def test_columns_that_are_not_standardised_are_told(unit) -> None:
    assert said(unit, GOOD) == []
    (scaled,) = said(unit, 255 * GOOD)
    assert "standard deviations of 2" in scaled
    assert "divide by its standard deviation" in scaled
    (moved,) = said(unit, GOOD + 1000)
    assert "means of up to 1e+03 in size" in moved


def test_another_fixed_standard_deviation_is_the_users_choice() -> None:
    assert said(Gaussian(0.01), 255 * GOOD) == []


def test_columns_without_variance_are_told_where_it_is_learned() -> None:
    still = GOOD.copy()
    still[:, [1, 3]] = 0.5
    (message,) = said(LearnedGaussian.init(4), still)
    assert "columns 1, 3 (2 of 4) have no variance" in message
    assert said(Gaussian(), still) == []
