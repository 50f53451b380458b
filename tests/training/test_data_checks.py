"""Warnings about data that a model can be trained on, but hardly well."""

import warnings

import numpy as np
import pytest

import rnnrbm
from rnnrbm.joint_units import Joint
from rnnrbm.rbm import RBM
from rnnrbm.units import Gaussian, LearnedGaussian, Softmax

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


def test_of_several_unit_types_the_gaussian_columns_are_told() -> None:
    frames = np.hstack([np.eye(2)[np.arange(50) % 2], GOOD[:, :2]])
    unit = Joint(((2, Softmax(2)), (2, Gaussian())))
    assert said(unit, frames) == []
    (message,) = said(unit, frames * [1, 1, 255, 255])
    assert "standard deviations of 2" in message
    assert said(Joint(((2, Softmax(2)), (2, Gaussian(200.0)))), frames * [1, 1, 255, 255]) == []
