"""Stick figures: the view from the side, the strip of poses, and the film."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from PIL import Image

from rnnrbm import plot
from rnnrbm.plot.canvas import INK
from rnnrbm.plot.skeleton import side_view, write_moving_figure

PARENTS = [-1, 0, 0]
NAMES = ["pelvis", "left hand", "right head"]


def figures(n=20, heading=0.7):
    """A body that goes along its heading; a hand 3 ahead and 2 to the left of it, a head 5 above it."""
    ahead, left = np.array([np.cos(heading), np.sin(heading), 0]), np.array([-np.sin(heading), np.cos(heading), 0])
    root = np.arange(n)[:, None] * ahead * 4 + [1, 2, 10]
    return np.stack([root, root + 3 * ahead + 2 * left, root + [0, 0, 5]], axis=1), np.full(n, heading)


@pytest.mark.parametrize("window", [1, 5])
def test_the_view_from_the_side(window):
    view, travelled = side_view(*figures(), window=window)
    np.testing.assert_allclose(view, np.tile([[0, 10], [3, 10], [0, 15]], (20, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(travelled, 4 * np.arange(20), atol=1e-12)


def test_the_camera_turns_slowly():
    positions, heading = figures(31)
    sway = 0.3 * (-1.0) ** np.arange(31)
    quick, slow = (side_view(positions, heading + sway, window=w)[0] for w in (1, 21))
    assert np.ptp(quick[:, 1, 0]) > 10 * np.ptp(slow[10:-10, 1, 0])


def test_the_strip_has_poses_side_by_side_with_the_head_up(tmp_path):
    drawn = plot.stick_figures(*figures()[:1], PARENTS, figures()[1], names=NAMES, n_poses=4, primed=8, title="walk")
    ax = drawn[1]
    poses = [each for each in ax.collections if isinstance(each, LineCollection)]
    assert len(poses) == 8  # bones on both sides of four poses
    near = [each.get_segments()[0] for each in poses[1::2]]
    for segment in near:  # from the pelvis to the head, upwards
        np.testing.assert_allclose(segment[:, 1], [10, 15])
    places = [segment[0, 0] for segment in near]
    assert len(set(np.round(np.diff(places), 9))) == 1
    assert np.diff(places)[0] > 3  # no pose covers the next
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "6", "13", "19"]
    assert ax.lines[-1].get_xdata()[0] == pytest.approx((places[1] + places[2]) / 2)  # frames 0 and 6 were given
    assert not ax.yaxis_inverted()
    plot.save(drawn, tmp_path / "a.png")


def test_the_film_follows_the_body_and_shows_it_upright(tmp_path):
    positions, heading = figures(12)
    write_moving_figure(tmp_path / "a.gif", positions, PARENTS, heading, names=NAMES, seconds_per_frame=0.05, primed=4)
    images = []
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 12
        for i in range(12):
            film.seek(i)
            images.append(np.asarray(film.convert("RGB")).astype(int))

    def rows(image, colour):
        true = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        return np.argwhere(np.abs(image - true).max(axis=2) < 30)

    last = rows(images[-1], INK)  # the bone from the pelvis up to the head, in the middle of the image
    assert len(last) > 20
    height, width = images[0].shape[:2]
    assert abs(last[:, 1].mean() - width / 2) < 3
    assert last[:, 0].max() > height / 2 > last[:, 0].min()
    assert not len(rows(images[0], INK))  # given frames have another colour
    assert (images[-1] != images[-2]).any()  # marks on the ground pass by


def test_fast_films_leave_frames_out(tmp_path):
    positions, heading = figures(30)
    positions[:, 1, 2] += np.arange(30)  # equal images in a row would become one
    write_moving_figure(tmp_path / "a.gif", positions, PARENTS, heading, seconds_per_frame=1 / 120)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 6


@pytest.mark.parametrize(
    ("parents", "names", "heading", "message"),
    [
        ([-1, 0], None, 20, "not 3, one for each joint"),
        (PARENTS, ["a"], 20, "not 3, one for each joint"),
        ([-1, 0, 3], None, 20, "expected numbers of joints, 0 to 2"),
        (PARENTS, None, 19, r"shapes \(20, 3, 3\) and \(19,\)"),
    ],
)
def test_what_does_not_fit_is_refused(parents, names, heading, message):
    with pytest.raises(ValueError, match=message):
        plot.stick_figures(figures()[0], parents, np.zeros(heading), names=names)
