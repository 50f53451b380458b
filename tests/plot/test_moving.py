"""Films in pictures and in files that move: every frame is where and when it belongs."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from rnnrbm import plot
from rnnrbm.plot import moving
from rnnrbm.plot.canvas import ACCENT


def frames_of(path):
    """The images of a GIF file (n, height, width, 3), and how long each is shown, milliseconds."""
    images, times = [], []
    with Image.open(path) as gif:
        for i in range(gif.n_frames):
            gif.seek(i)
            images.append(np.array(gif.convert("RGB")))
            times.append(gif.info["duration"])
        assert gif.info["loop"] == 0  # without end
    return np.array(images), np.array(times)


# --- write_gif


def test_images_are_written_in_order_and_in_their_colours(tmp_path):
    images = np.zeros((5, 4, 6, 3), np.uint8)
    images[..., 0] = np.arange(5)[:, None, None] * 50  # more red from image to image
    images[:, 1, 2] = 255, 130, 10
    plot.write_gif(tmp_path / "a.gif", iter(images), 4)
    found, times = frames_of(tmp_path / "a.gif")
    np.testing.assert_array_equal(found, images)
    np.testing.assert_array_equal(times, 250)


@pytest.mark.parametrize(
    ("rate", "n_shown", "step"), [(0.5, 90, 1), (15, 90, 1), (29.97, 90, 1), (50, 90, 1), (60, 45, 2), (120, 30, 3)]
)
def test_a_film_keeps_its_length(rate, n_shown, step, tmp_path):
    images = np.zeros((90, 2, 2, 3), np.uint8) + np.arange(0, 180, 2, np.uint8)[:, None, None, None]
    plot.write_gif(tmp_path / "a.gif", images, rate)
    found, times = frames_of(tmp_path / "a.gif")
    assert len(found) == n_shown
    np.testing.assert_array_equal(found, images[::step])
    assert times.sum() == pytest.approx(1000 * 90 / rate, abs=5)
    assert times.min() >= 20
    assert times.max() - times.min() in (0, 10)


def test_a_film_that_stands_still_lasts_as_long(tmp_path):
    plot.write_gif(tmp_path / "a.gif", [np.full((3, 3, 3), 7, np.uint8)] * 30, 15)
    found, times = frames_of(tmp_path / "a.gif")
    assert times.sum() == 2000
    assert (found == 7).all()


@pytest.mark.parametrize(
    ("images", "rate", "message"),
    [
        ([], 15, "images is empty"),
        (
            [np.zeros((2, 2, 3))],
            15,
            r"image 0 has shape \(2, 2, 3\) of float64; expected \(height, width, 3\) of uint8",
        ),
        ([np.zeros((2, 2), np.uint8)], 15, "image 0 has shape"),
        ([np.zeros((0, 2, 3), np.uint8)], 15, "image 0 has shape"),
        ([np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)], 15, r"image 1 .* those before it \(2, 2, 3\)"),
        ([np.zeros((2, 2, 3), np.uint8)], 0, "frames_per_second=0: expected images per second, at least 0.01"),
        ([np.zeros((2, 2, 3), np.uint8)], float("nan"), "frames_per_second=nan"),
    ],
)
def test_what_is_no_film_leaves_an_earlier_file(images, rate, message, tmp_path):
    (tmp_path / "a.gif").write_bytes(b"days of work")
    with pytest.raises(ValueError, match=message):
        plot.write_gif(tmp_path / "a.gif", images, rate)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"days of work"]
    with pytest.raises(ValueError, match=r"expected a file name ending in \.gif"):
        plot.write_gif(tmp_path / "a.png", [np.zeros((2, 2, 3), np.uint8)], 15)


# --- moving_images

FILM = np.random.default_rng(0).random((6, 4, 5))


def test_one_film_is_enlarged_by_a_whole_number(tmp_path):
    for film in (FILM, FILM.reshape(6, 20), FILM.tolist()):
        plot.moving_images([film], (4, 5), tmp_path / "a.gif")
        found, times = frames_of(tmp_path / "a.gif")
        assert found.shape == (6, 120, 150, 3)
        expected = np.round(255 * FILM).repeat(30, axis=1).repeat(30, axis=2)
        np.testing.assert_array_equal(found, np.repeat(expected[..., None], 3, axis=3))
        assert times.sum() == 400
    plot.moving_images([FILM.reshape(6, 1, 20) * 3 - 1], (1, 20), tmp_path / "a.gif")
    found, _ = frames_of(tmp_path / "a.gif")
    assert found.shape == (6, 96, 1920, 3)  # no wider
    np.testing.assert_array_equal(found[:, 48, 48::96, 0], np.round(255 * np.clip(FILM * 3 - 1, 0, 1)).reshape(6, 20))


def test_films_side_by_side_with_titles(tmp_path):
    both = [FILM, 1 - FILM[:4]]
    plot.moving_images(both, (4, 5), tmp_path / "a.gif", frames_per_second=10, titles=["data", "samples"])
    found, times = frames_of(tmp_path / "a.gif")
    assert found.shape == (6, 24 + 120 + 8, 3 * 8 + 2 * 150, 3)
    assert times.sum() == 600
    for t in range(6):
        for film, left in zip(both, (8, 166), strict=True):
            shown = found[t, 24 : 24 + 120, left : left + 150, 0]
            np.testing.assert_array_equal(shown[15::30, 15::30], np.round(255 * film[min(t, len(film) - 1)]))
    ink = (found[0, :24] < 128).any(axis=(0, 2))
    assert ink[8:60].any()
    assert ink[166:230].any()
    assert not ink[100:160].any()
    assert (found[:, :24] == found[0, :24]).all()
    plot.moving_images(both, (4, 5), tmp_path / "b.gif")
    found, _ = frames_of(tmp_path / "b.gif")
    assert found.shape == (6, 8 + 120 + 8, 3 * 8 + 2 * 150, 3)
    assert (found[:, :8] == 255).all()


def test_a_long_film_is_written_in_part(tmp_path, monkeypatch):
    film = np.linspace(0, 1, 12)[:, None]
    monkeypatch.setattr(moving, "_MOST_WRITTEN", 7)
    plot.moving_images([film], (1, 1), tmp_path / "a.gif")
    assert len(frames_of(tmp_path / "a.gif")[0]) == 7
    monkeypatch.setattr(moving, "_MOST_PIXELS", 3 * 120 * 120)
    plot.moving_images([film], (1, 1), tmp_path / "a.gif")
    found, _ = frames_of(tmp_path / "a.gif")
    np.testing.assert_array_equal(found[:, 0, 0, 0], np.round(255 * film[:3, 0]))


@pytest.mark.parametrize(
    ("pieces", "titles", "message"),
    [
        ([], (), "there is no film"),
        ([FILM], ("a", "b"), "2 titles of 1 films"),
        ([FILM, FILM[:, :3]], (), r"film 1: an array of shape \(6, 3, 5\); expected \(T, 20\) or \(T, 4, 5\)"),
        ([FILM[:0]], (), "film 0: an array of shape"),
        ([FILM * np.nan], (), "film 0 holds NaN"),
    ],
)
def test_what_cannot_move(pieces, titles, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        plot.moving_images(pieces, (4, 5), tmp_path / "a.gif", titles=titles)
    assert not list(tmp_path.iterdir())


# --- film_strip


def picture(ax):
    """The array of the only image of some axes; gaps are NaN."""
    (image,) = ax.images
    return np.ma.filled(image.get_array().astype(float), np.nan), image


@pytest.mark.parametrize(
    ("n", "step", "name"), [(5, 1, "a"), (32, 1, "a"), (33, 2, "a, every second frame"), (128, 4, "a, every 4th frame"),
                            (660, 21, "a, every 21st frame"), (350, 11, "a, every 11th frame")]
)  # fmt: skip
def test_every_nth_frame_is_drawn_in_rows(n, step, name):
    film = np.random.default_rng(n).random((n, 4, 5))
    _, ax = plot.film_strip(film.reshape(n, 20), (4, 5), title="a")
    found, image = picture(ax)
    shown = film[::step]
    n_columns = (found.shape[1] + 1) // 6
    assert (found.shape[0] + 1) // 5 == -(-len(shown) // n_columns)
    for i, frame in enumerate(shown):
        row, column = divmod(i, n_columns)
        np.testing.assert_array_equal(found[5 * row : 5 * row + 4, 6 * column : 6 * column + 5], frame)
    assert np.isnan(found).sum() == found.size - shown.size
    assert ax.get_title("left") == name
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        str(i * step) for i in range(0, len(shown), n_columns)
    ]
    assert image.cmap(0.0)[:3] == (0, 0, 0)  # light, as in a film
    assert image.cmap(1.0)[:3] == (1, 1, 1)
    assert not ax.lines


@pytest.mark.parametrize(
    ("n", "primed", "row", "column"),
    [(32, 3, 0, 3), (32, 8, 0, 8), (32, 9, 1, 1), (64, 7, 0, 4), (64, 8, 0, 4), (64, 64, 3, 8), (63, 63, 3, 8)],
)
def test_a_line_ends_the_given_frames(n, primed, row, column):
    _, ax = plot.film_strip(np.zeros((n, 5, 5)), (5, 5), primed=primed)
    assert picture(ax)[0].shape == (23, 47)  # 4 rows of 8
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), 6 * column - 1)
    np.testing.assert_array_equal(line.get_ydata(), [6 * row - 0.5, 6 * row + 4.5])
    assert to_rgb(line.get_color()) == to_rgb(ACCENT)
    assert f"{primed} frames" in ax.get_xlabel()
    assert ax.get_xlim() == (-0.5, 46.5)  # the line moves no axis


def test_a_strip_needs_a_film():
    with pytest.raises(ValueError, match="primed=7"):
        plot.film_strip(FILM, (4, 5), primed=7)
    with pytest.raises(ValueError, match="piece: an array of shape"):
        plot.film_strip(FILM, (5, 5))


# --- film_statistics


def test_statistics_of_films_by_hand():
    rng = np.random.default_rng(1)
    data = [rng.random((n, 6)) * 0.5 for n in (9, 4)]
    samples = [np.repeat(rng.random((1, 6)), 5, axis=0), rng.random((1, 6))]
    figure, axes = plot.film_statistics(samples, data, (2, 3), data_name="training set")
    figure.draw_without_rendering()
    means = [np.concatenate(films).mean(axis=0).reshape(2, 3) for films in (data, samples)]
    white = max(mean.max() for mean in means)
    for ax, mean, name in zip(axes, means, ("training set", "samples"), strict=False):
        np.testing.assert_allclose(picture(ax)[0], mean / white)
        assert ax.get_title("left") == f"mean frame, {name}"
        assert ax.get_xlabel() == f"white is {white:.2g}"
    for ax, measure in (
        (axes[2], lambda film: film.mean(axis=1)),
        (axes[3], lambda film: np.abs(film[1:] - film[:-1]).mean(axis=1)),
    ):
        for patch, films in zip(ax.patches, (data, samples), strict=True):
            heights, edges, _ = patch.get_data()
            found = np.concatenate([measure(film) for film in films])
            assert edges[0] <= found.min()
            assert edges[-1] >= found.max()
            np.testing.assert_allclose(heights, np.histogram(found, edges)[0] / len(found))
    assert axes[3].patches[1].get_data().values[0] == 1  # the samples stand still
    assert [text.get_text() for text in axes[2].get_legend().get_texts()] == ["training set", "samples"]


def test_statistics_of_black_films_and_of_none():
    figure, _ = plot.film_statistics([np.zeros((1, 6))], [np.zeros((3, 6))], (2, 3))
    figure.draw_without_rendering()
    with pytest.raises(ValueError, match="samples: there is no film"):
        plot.film_statistics([], [np.zeros((3, 6))], (2, 3))
    with pytest.raises(ValueError, match="data: an array of shape"):
        plot.film_statistics([np.zeros((3, 6))], [np.zeros((3, 5))], (2, 3))
