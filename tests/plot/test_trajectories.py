"""Plots of trajectories: which columns are drawn, and what is refused."""

import numpy as np
import pytest

from rnnrbm import plot


def test_the_columns_that_vary_most_are_drawn_in_their_order(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 5)) * [1, 9, 2, 8, 7]
    figure, axes = plot.trajectories(values, list("abcde"), most=3, title="walk", primed=5, seconds_per_frame=0.5)
    assert [ax.get_ylabel() for ax in axes] == ["b", "d", "e"]
    np.testing.assert_array_equal(axes[1].lines[0].get_ydata(), values[:, 3])
    np.testing.assert_array_equal(axes[1].lines[0].get_xdata(), np.arange(40) * 0.5)
    assert all(ax.lines[1].get_xdata()[0] == 2.5 for ax in axes)  # the end of the given frames
    assert [len(ax.texts) for ax in axes] == [1, 0, 0]
    assert figure.get_suptitle() == "walk, the 3 of 5 columns that vary most"
    scaled = plot.trajectories(values, scale=[0.01, 9, 2, 8, 0.1], most=2)[1]
    assert [ax.get_ylabel() for ax in scaled] == ["column 0", "column 4"]
    assert scaled[-1].get_xlabel() == "time (frames)"
    plot.save((figure, axes), tmp_path / "a.png")


def test_names_are_no_mathematics(tmp_path):
    drawn = plot.trajectories([[1.0], [2.0]], ["cost $x^$" + "long " * 9])
    assert drawn[1][0].get_ylabel().endswith("...")
    plot.save(drawn, tmp_path / "a.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["a"]}, "1 for 2 columns"),
        ({"scale": [1.0]}, "expected 2 positive numbers"),
        ({"scale": [1.0, 0.0]}, "expected 2 positive numbers"),
        ({"most": 0}, "most=0"),
        ({"primed": 4}, "primed=4"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot.trajectories(np.ones((3, 2)), **arguments)
