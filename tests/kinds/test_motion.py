"""Motion as a kind of frame: its columns, where its joints are, and what is written of it."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rnnrbm.datasets import Dataset, Motion, Vectors, matched
from rnnrbm.io.tables import read_table

#: a pelvis with two legs of one bone
BODY = Motion(0.05, ("pelvis", "left foot", "right foot"), (-1, 0, 0), (0, 0, 0, 10, 90, -800, 10, -90, -800))
UPRIGHT = np.pi / 2


def walk(n=12):
    """A body that goes forwards by 40 in each frame, turns left slowly, and swings its legs about its y axis."""
    values = np.zeros((n, 12))
    values[:, :6] = [UPRIGHT, UPRIGHT, 0.1, 40, 0, 820]
    values[:, 7] = 0.5 * np.sin(np.arange(n))
    values[:, 10] = -0.5 * np.sin(np.arange(n))
    return values


def test_joints_by_hand():
    found, heading = BODY.positions(walk())
    np.testing.assert_allclose(heading, 0.1 * np.arange(12), atol=1e-7)
    turn = np.cumsum(np.concatenate([[0], np.full(10, 0.1)]))
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(40 * np.stack([np.cos(turn), np.sin(turn)], 1), axis=0)])
    np.testing.assert_allclose(found[:, 0, :2], path, atol=1e-4)
    np.testing.assert_allclose(found[:, 0, 2], 820)
    np.testing.assert_allclose(found[0, 1:], [[10, 90, 20], [10, -90, 20]], atol=1e-4)  # z is up, y is left
    for joint in (1, 2):
        np.testing.assert_allclose(
            np.linalg.norm(found[:, joint] - found[:, 0], axis=1), np.hypot(np.hypot(10, 90), 800)
        )


def test_columns_are_those_of_the_root_and_of_each_joint():
    assert BODY.columns[5:] == ("height", *(f"{side} foot {axis}" for side in ("left", "right") for axis in "xyz"))
    assert len(BODY.columns) == 12
    assert BODY.describe(12).endswith("0.05 s per frame, poses of a skeleton of 3 joints")
    assert BODY.sample_length == 80
    assert replace(BODY, seconds_per_frame=None).sample_length == 120


def test_statistics_are_in_original_units():
    mean, deviation = tuple(np.arange(12.0)), (2.0, *[1.0] * 11)
    kind = replace(BODY, mean=mean, deviation=deviation)
    numbers = kind.statistics([kind.standardised(walk())])
    assert numbers["moving_forwards"] == pytest.approx(40)
    assert numbers["turning_left"] == pytest.approx(0.1)
    assert numbers["height"] == pytest.approx(820)
    assert set(Vectors().statistics([walk()])) < set(numbers)


def test_a_film_and_tables_are_written(tmp_path):
    files = BODY.write(tmp_path, "a", BODY.check(walk(14)))
    assert [path.suffix for path in files] == [".npy", ".csv", ".gif"]
    assert read_table(files[1]).names == BODY.columns
    with Image.open(files[2]) as film:
        assert film.n_frames == 14
        assert film.info["duration"] == 50  # milliseconds
    np.testing.assert_allclose(BODY.read(files[1], 12)[0], walk(14), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="motion has no tempo"):
        BODY.check_writing(10, tempo=100.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"joints": ("a", "a", "b")}, "all different"),
        ({"joints": "abc"}, "expected a list of names"),
        ({"parents": (-1, 0)}, "as many names"),
        ({"parents": (-1, 2, 0)}, "one that comes before it"),
        ({"parents": (0, 0, 1)}, "expected -1"),
        ({"parents": (-1, 0, 1.0)}, "expected a list of whole numbers"),
        ({"offsets": (1.0, 2.0)}, "expected 9 finite numbers"),
        ({"offsets": (np.nan,) * 9}, "expected 9 finite numbers"),
        ({"mean": (1.0,)}, "expected one for each of 12 columns"),
        ({"seconds_per_frame": 0}, "positive number"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        replace(BODY, **fields)


def test_skeletons_are_compared():
    longer = replace(BODY, offsets=(*BODY.offsets[:8], -900.0))
    assert BODY.mismatch(longer) == ("", "bones of other lengths than")
    other = replace(BODY, parents=(-1, 0, 1))
    assert BODY.mismatch(other).columns
    assert not BODY.converts(other)
    assert BODY.mismatch(Vectors()).columns


def test_other_motion_is_standardised_as_that_of_training():
    kind = replace(BODY, mean=tuple(np.arange(12.0)), deviation=(*[2.0] * 11, 0.0))
    own = Dataset("walk", [walk()], [walk(5)], [walk(6)], BODY)
    fitted = matched(own, kind)
    assert fitted.kind == kind
    np.testing.assert_allclose(fitted.test[0], (walk(6)[:, :11] - np.arange(11)) / 2, rtol=1e-6)


def test_drawing_shows_poses():
    _, ax = BODY.draw(BODY.check(walk(30)), primed=10, title="a piece")
    assert ax.get_xlabel() == "time (seconds)"
    assert ax.get_title(loc="left") == "a piece"
