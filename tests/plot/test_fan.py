"""Fans of forecasts."""

import numpy as np
import pytest

from rnnrbm import plot


def test_bands_are_quantiles_and_begin_at_the_last_frame():
    rng = np.random.default_rng(0)
    history, samples = rng.normal(size=(30, 2)), rng.normal(size=(200, 4, 2)).cumsum(axis=1)
    _, panels = plot.fan(history, samples, true=np.zeros((4, 2)), names=["hip", "knee"], seconds_per_frame=0.5)
    assert [ax.get_title(loc="left") for ax in panels.ravel()] == ["hip", "knee"]
    ax = panels[0, 1]
    median = ax.lines[1]
    np.testing.assert_allclose(median.get_xdata(), [0.0, 0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(median.get_ydata()[1:], np.median(samples[:, :, 1], axis=0))
    assert median.get_ydata()[0] == pytest.approx(history[-1, 1])
    wide = ax.collections[0].get_paths()[0].vertices
    low, high = np.quantile(samples[:, -1, 1], [0.05, 0.95])
    last = wide[np.isclose(wide[:, 0], 2.0)][:, 1]
    np.testing.assert_allclose([last.min(), last.max()], [low, high], atol=1e-9)
    assert len(ax.collections) == 2


def test_of_many_columns_those_that_move_most_are_drawn():
    samples = np.random.default_rng(0).normal(size=(20, 3, 12)) * np.arange(12)
    _, panels = plot.fan(np.zeros((5, 12)), samples)
    drawn = {ax.get_title(loc="left") for ax in panels.ravel()}
    assert drawn == {f"column {i}" for i in range(3, 12)}


@pytest.mark.parametrize(
    ("history", "samples", "more", "message"),
    [
        (np.zeros((5, 2)), np.zeros((3, 4, 3)), {}, "history has shape"),
        (np.zeros((0, 2)), np.zeros((3, 4, 2)), {}, "history has shape"),
        (np.zeros((5, 2)), np.zeros((3, 4, 2)), {"true": np.zeros((3, 2))}, "true has shape"),
        (np.zeros((5, 2)), np.zeros((3, 4, 2)), {"names": ["a"]}, "1 names for 2 columns"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(history, samples, more, message):
    with pytest.raises(ValueError, match=message):
        plot.fan(history, samples, **more)
