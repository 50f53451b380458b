"""Bouncing balls: the laws that they obey, their pictures, and the data set of them."""

import math

import numpy as np
import pytest

from rnnrbm.datasets import SPLITS, Video, load, resolved
from rnnrbm.experiment.config import Config, ConfigError
from rnnrbm.io import balls
from rnnrbm.io.balls import bouncing_balls, load_balls, render, trajectories


@pytest.fixture(scope="module")
def paths():
    """Paths of three balls in many films: positions and velocities."""
    return trajectories(300, 60, seed=3)


@pytest.fixture
def few(monkeypatch):
    """Make small sets for validation and test."""
    monkeypatch.setattr(balls, "_N_UNSEEN", 3)


# --- the laws


def test_no_energy_is_lost_and_nothing_leaves_the_box(paths):
    positions, velocities = paths
    assert positions.shape == velocities.shape == (300, 60, 3, 2)
    np.testing.assert_allclose(np.sqrt((velocities**2).sum(axis=(2, 3))), 0.5, rtol=1e-9)
    assert positions.min() > 1.2 - 0.4
    assert positions.max() < 8.8 + 0.4
    assert positions[:, 0].min() >= 1.2
    # balls touch, and come into each other by no more than some steps
    gaps = [np.linalg.norm(positions[:, :, i] - positions[:, :, j], axis=-1) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert 2.0 < np.min(gaps) < 2.4
    assert np.min([gap[:, 0] for gap in gaps]) >= 2.4
    # ... and by less if the steps are shorter
    short, _ = trajectories(40, 60, substeps=40, seed=3)
    assert short.min() > 1.2 - 0.04
    gaps = [np.linalg.norm(short[:, :, i] - short[:, :, j], axis=-1) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert np.min(gaps) > 2.4 - 0.04


def test_two_balls_collide_as_the_laws_of_mechanics_say():
    radius = 1.5
    x, v = trajectories(200, 50, 2, radius=radius, substeps=1, seed=1)
    np.testing.assert_allclose(x[:, 1:] - x[:, :-1], v[:, :-1], atol=1e-12)
    before, after, at = v[:, :-1], v[:, 1:], x[:, 1:]
    free = ((at > radius) & (at < 10 - radius)).all(axis=(2, 3))  # of the walls
    np.testing.assert_allclose(after.sum(axis=2)[free], before.sum(axis=2)[free], atol=1e-12)
    changed = free & (np.abs(after - before).max(axis=(2, 3)) > 1e-12)
    assert changed.sum() > 50
    line = at[:, :, 0] - at[:, :, 1]
    distance = np.linalg.norm(line, axis=-1)
    relative = before[:, :, 0] - before[:, :, 1]
    closing = -(relative * line).sum(axis=-1) / distance
    np.testing.assert_array_equal(changed[free], ((distance < 2 * radius) & (closing > 1e-12))[free])
    # the relative velocity is mirrored by the plane between the centres
    mirrored = relative + 2 * (closing / distance)[..., None] * line
    np.testing.assert_allclose((after[:, :, 0] - after[:, :, 1])[changed], mirrored[changed], atol=1e-12)


def test_a_single_ball_moves_on_a_straight_line_from_wall_to_wall():
    x, v = (each[:, :, 0] for each in trajectories(50, 80, 1, speed=0.7, substeps=1, seed=2))
    np.testing.assert_allclose(x[:, 1:], x[:, :-1] + v[:, :-1], atol=1e-12)
    low, high = x[:, 1:] < 1.2, x[:, 1:] > 8.8
    expected = np.where(low, np.abs(v[:, :-1]), np.where(high, -np.abs(v[:, :-1]), v[:, :-1]))
    np.testing.assert_array_equal(v[:, 1:], expected)
    assert low.any(axis=(0, 1)).all()
    assert high.any(axis=(0, 1)).all()


@pytest.mark.parametrize("mirror", ["x", "y", "exchange"])
def test_the_laws_know_no_direction(mirror):
    rng = np.random.default_rng(0)
    x, v = rng.uniform(0, 10, (400, 4, 2)), rng.normal(size=(400, 4, 2))

    def mirrored(positions, velocities):
        if mirror == "exchange":
            return positions[..., ::-1], velocities[..., ::-1]
        signs = np.array([-1, 1] if mirror == "x" else [1, -1])
        return np.where(signs < 0, 10 - positions, positions), velocities * signs

    _, expected = mirrored(x, balls._after_contacts(x, v, 10.0, 1.2))
    np.testing.assert_allclose(balls._after_contacts(*mirrored(x, v), 10.0, 1.2), expected, atol=1e-12)
    assert np.abs(expected - mirrored(x, v)[1]).max() > 1


def test_speeds_are_shared_at_random_and_places_are_anywhere(paths):
    positions, velocities = paths
    starts = positions[:, 0].reshape(-1, 2)
    np.testing.assert_allclose(starts.mean(axis=0), 5, atol=0.4)
    assert starts.min() < 1.3
    assert starts.max() > 8.7
    np.testing.assert_allclose((velocities[:, 0] ** 2).mean(axis=0), 0.25 / 6, rtol=0.2)
    np.testing.assert_allclose(velocities[:, 0].mean(axis=0), 0, atol=0.05)


# --- the pictures


def test_pixels_are_what_the_positions_say():
    places = np.array([[[2.0, 3.1], [7.7, 4.4]], [[2.5, 7.9], [3.6, 7.0]]])
    pictures = render(places, 7, box=9.0, radius=1.4)
    assert pictures.dtype == np.float32
    assert pictures.shape == (2, 49)
    for picture, both in zip(pictures, places, strict=True):
        for row in range(7):
            for column in range(7):
                x, y = (column + 0.5) * 9 / 7, (row + 0.5) * 9 / 7
                value = sum(math.exp(-((math.dist((x, y), ball) / 1.4) ** 8)) for ball in both)
                assert picture[7 * row + column] == pytest.approx(min(value, 1.0), abs=1e-6)
    assert (pictures[1] == 1).any()  # where two balls are
    mirrored = render(np.array([9.0, 0.0]) + places * [-1, 1], 7, box=9.0, radius=1.4).reshape(2, 7, 7)
    np.testing.assert_allclose(mirrored[:, :, ::-1], pictures.reshape(2, 7, 7), atol=1e-6)
    assert render(places[0], 1).shape == (1,)
    assert (render(places, 3, radius=1e-9) == 0).all()


def test_films_are_pictures_of_the_paths(monkeypatch):
    options = {"box": 7.0, "radius": 0.9, "speed": 0.8, "substeps": 3, "seed": 5}
    films = bouncing_balls(4, 6, 9, 2, **options)
    positions, _ = trajectories(4, 6, 2, **options)
    np.testing.assert_array_equal(films, render(positions, 9, box=7.0, radius=0.9))
    monkeypatch.setattr(balls, "_MOST_PIXELS", 400)  # parts of four pictures
    np.testing.assert_array_equal(films, bouncing_balls(4, 6, 9, 2, **options))


def test_statistics_of_the_films(paths):
    films = render(paths[0][:100])
    # an area of pi radius**2 times the mean of exp(-u**4), u from 0, for each ball, of which a little overlaps
    assert films.mean() == pytest.approx(3 * math.pi * 1.44 * math.gamma(1.25) / 100, rel=0.01)
    assert np.square(np.diff(films, axis=1)).sum(axis=2).mean() == pytest.approx(2.99, abs=0.2)


# --- seeds


def test_fewer_and_shorter_films_are_the_beginning():
    more, velocities = trajectories(12, 9, seed=4)
    fewer, same = trajectories(5, 7, seed=4)
    np.testing.assert_array_equal(fewer, more[:5, :7])
    np.testing.assert_array_equal(same, velocities[:5, :7])
    other, _ = trajectories(5, 7, seed=5)
    assert np.abs(other - fewer).max(axis=(1, 2, 3)).min() > 0.1
    rng = np.random.default_rng(4)
    first, second = trajectories(5, 7, seed=rng)[0], trajectories(5, 7, seed=rng)[0]
    np.testing.assert_array_equal(first, fewer)
    assert np.abs(second - first).max() > 0.1


# --- errors


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_sequences": 0}, ValueError, "n_sequences=0: expected a whole number, at least 1"),
        ({"n_frames": 2.5}, ValueError, "n_frames=2.5"),
        ({"resolution": 0}, ValueError, "resolution=0: expected a whole number, 1 to 1024"),
        ({"n_balls": 0}, ValueError, "n_balls=0: expected a whole number, 1 to 100"),
        ({"n_balls": "3"}, TypeError, "n_balls='3'"),
        ({"box": 0}, ValueError, "box=0: expected the side of the box, greater than 0"),
        ({"box": math.inf}, ValueError, "box=inf"),
        ({"radius": -1}, ValueError, "radius=-1: expected the radius of a ball"),
        ({"speed": math.nan}, ValueError, "speed=nan"),
        ({"substeps": 0}, ValueError, "substeps=0"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"seed": None}, TypeError, "seed=None"),
        ({"radius": 5}, ValueError, "radius=5: a ball of diameter 10 cannot move in a box of 10 x 10; give a smaller"),
        ({"speed": 3}, ValueError, "speed=3: a ball moves up to 1.5 in a step, more than its radius 1.2, .* than 2"),
        ({"n_balls": 15}, ValueError, r"n_balls=15 of radius 1.2 in a box of 10 x 10: .* cover 68% .* and 0 of 10000"),
        ({"n_sequences": 10**12}, MemoryError, "1000000000000 films of 128 frames of 15 x 15 pixels would take"),
        ({"n_sequences": 10**13, "resolution": 1}, MemoryError, "10000000000000 films"),
    ],
)
def test_what_cannot_be_simulated(arguments, error, message, monkeypatch):
    monkeypatch.setattr(balls, "_after_contacts", None)  # no work is done before
    monkeypatch.setattr(balls, "render", None)
    with pytest.raises(error, match=message):
        bouncing_balls(**{"n_sequences": 2, **arguments})


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"positions has shape \(4, 3\); expected \(..., n_balls, 2\)"):
        render(np.zeros((4, 3)))
    with pytest.raises(TypeError, match="positions"):
        render([["a", "b"]])
    with pytest.raises(MemoryError, match="the paths of 9 balls in 10000000000000 films"):
        trajectories(10**13, n_balls=9)


# --- the data set


def test_the_data_set(few):
    data = load("balls", resolution=4, n_sequences=45, seed=1)
    assert data.kind == Video(4, 4)
    assert [len(getattr(data, split)) for split in SPLITS] == [45, 2, 3]
    assert data.names_of("valid") == ["valid[0]", "valid[1]"]
    for split in SPLITS:
        for piece in getattr(data, split):
            assert piece.shape == (128, 16)
            assert piece.dtype == np.float32
    smaller = load("balls", resolution=4, n_sequences=1, seed=1)
    assert len(smaller.valid) == 1
    np.testing.assert_array_equal(smaller.train, data.train[:1])
    np.testing.assert_array_equal(smaller.valid, data.valid[:1])
    np.testing.assert_array_equal(smaller.test, data.test)
    firsts = [getattr(data, split)[0] for split in SPLITS] + [load("balls", resolution=4, n_sequences=1).train[0]]
    assert all(np.abs(a - b).max() > 0.1 for i, a in enumerate(firsts) for b in firsts[:i])


def test_sizes_of_the_splits(monkeypatch):
    asked = []
    monkeypatch.setattr(balls, "bouncing_balls", lambda n, **_: asked.append(n) or [])
    load_balls()
    load_balls(n_sequences=10_000)
    load_balls(n_sequences=19)
    assert asked == [4000, 200, 200, 10_000, 200, 200, 19, 1, 200]


def test_options_of_the_data_set(few):
    assert resolved("balls") == {"resolution": 15, "n_sequences": 4000, "seed": 0}
    assert resolved("balls", seed=3, resolution=8) == {"resolution": 8, "n_sequences": 4000, "seed": 3}
    for source, options, message in (
        ("balls", {"binarise": "none"}, "binarise cannot be chosen for the bouncing balls .* only resolution, n_seq"),
        ("bach", {"resolution": 8}, "resolution cannot be chosen for the embedded set 'bach'"),
        ("balls", {"resolution": 0}, "resolution=0"),
        ("balls", {"n_sequences": 0}, "n_sequences=0"),
    ):
        with pytest.raises(ValueError, match=message):
            load(source, **options)
    with pytest.raises(TypeError, match="seed='a'"):
        load("balls", seed="a")
    with pytest.raises(ConfigError, match=r"data\.n_sequences"):
        Config.from_dict({"data": {"source": "balls", "n_sequences": 0}})
