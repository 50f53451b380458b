"""Pictures of images: every pixel is where it belongs, gaps are gaps, and colours mean what they should."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from rnnrbm import plot

IMAGES = np.random.default_rng(0).random((5, 2, 3))


def picture(ax):
    """The array of the only image of some axes; gaps are NaN."""
    (image,) = ax.images
    return np.ma.filled(image.get_array().astype(float), np.nan), image


def test_every_image_is_at_its_place():
    for images in (IMAGES, IMAGES.reshape(5, 6), IMAGES.tolist()):
        _, ax = plot.image_tiles(images, (2, 3), n_columns=2, title="five")
        found, image = picture(ax)
        assert found.shape == (3 * 2 + 2, 2 * 3 + 1)
        for i in range(5):
            row, column = divmod(i, 2)
            np.testing.assert_array_equal(found[3 * row : 3 * row + 2, 4 * column : 4 * column + 3], IMAGES[i])
        assert np.isnan(found[2]).all()
        assert np.isnan(found[5]).all()
        assert np.isnan(found[:, 3]).all()
        assert np.isnan(found[6:, 4:]).all()  # there is no sixth
        assert np.isnan(found).sum() == found.size - IMAGES.size
        assert image.get_clim() == (0, 1)
        assert ax.get_title("left") == "five"


def test_without_gaps_images_touch():
    _, ax = plot.image_tiles(IMAGES[:4], n_columns=2, separate=False)
    found, _ = picture(ax)
    np.testing.assert_array_equal(found, np.block([[IMAGES[0], IMAGES[1]], [IMAGES[2], IMAGES[3]]]))


@pytest.mark.parametrize(
    ("n", "shape", "rows"), [(100, (28, 28), 10), (1, (5, 5), 1), (3, (2, 20), 3), (8, (20, 5), 2), (12, (4, 4), 3)]
)
def test_the_picture_is_about_square(n, shape, rows):
    _, ax = plot.image_tiles(np.zeros((n, *shape)))
    found, _ = picture(ax)
    assert (found.shape[0] + 1) // (shape[0] + 1) == rows
    assert (np.isnan(found).sum(axis=None) == 0) == (n == 1)


def test_scales():
    def limits(images, **options):
        return picture(plot.image_tiles(images, **options)[1])[1].get_clim()

    assert limits(IMAGES * 0.2) == (0, 1)  # pale images stay pale
    assert limits(IMAGES[:1] * 255) == (IMAGES[0].min() * 255, IMAGES[0].max() * 255)
    weights = IMAGES - 0.8
    assert limits(weights, symmetric=True) == (-np.abs(weights).max(), np.abs(weights).max())
    assert limits(np.zeros((2, 2, 2)), symmetric=True) == (-1, 1)
    assert limits(np.full((1, 2, 2), np.nan)) == (0, 1)


def colours(ax, path):
    """The colours (height, width, 3) of the pixels of the only image of some axes, as they are in a PNG file."""
    found, _ = picture(ax)
    ax.set_position([0, 0, 1, 1])
    ax.figure.set_layout_engine("none")
    ax.figure.set_size_inches(found.shape[1], found.shape[0])
    ax.set_title("", loc="left")
    plot.save(ax.figure, path, dpi=11)
    drawn = imread(path)[..., :3]
    assert drawn.shape[:2] == (11 * found.shape[0], 11 * found.shape[1])
    return drawn[5::11, 5::11]


def test_colours_of_pixels_weights_and_gaps(tmp_path):
    _, ax = plot.image_tiles([[[0.0, 1.0]], [[0.5, 0.0]]], n_columns=2)
    found = colours(ax, tmp_path / "a.png")[0]
    np.testing.assert_array_equal(found[[0, 1, 4]], [[1, 1, 1], [0, 0, 0], [1, 1, 1]])
    np.testing.assert_allclose(found[3], 0.5, atol=0.01)
    np.testing.assert_allclose(found[2], np.array([0xC9, 0xCE, 0xD6]) / 255, atol=0.01)
    _, ax = plot.image_tiles([[[-2.0, 0.0]], [[1.0, 2.0]]], n_columns=2, symmetric=True)
    blue, white, gap, pale, red = colours(ax, tmp_path / "b.png")[0]
    assert blue[2] > blue[0] + 0.2
    assert white.min() > 0.95
    assert red[0] > red[2] + 0.2
    assert pale[0] > pale[2]
    assert pale.min() > red.min()
    assert gap.max() < 0.35  # dark, as weights are pale


def test_filters_are_those_of_the_strongest_units_each_on_its_scale():
    W = np.zeros((6, 4))
    W[0, 0], W[1, 1], W[2, 2], W[3, 3] = 0.5, -4.0, 2.0, 1e-3
    W[4, 2] = -1.0
    _, ax = plot.filter_tiles(W, (2, 3), count=3, n_columns=3)
    found, image = picture(ax)
    assert ax.get_title("left") == "3 strongest of 4 hidden units"
    np.testing.assert_array_equal(found[:, :3], [[0, -1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(found[:, 4:7], [[0, 0, 1], [0, -0.5, 0]])
    np.testing.assert_array_equal(found[:, 8:], [[1, 0, 0], [0, 0, 0]])
    assert image.get_clim() == (-1, 1)
    found, _ = picture(plot.filter_tiles(np.zeros((6, 2)), (2, 3), title="none")[1])
    assert np.nansum(np.abs(found)) == 0


def test_pairs_are_rows_with_labels():
    others = 1 - IMAGES
    figure, ax = plot.image_pairs([("images", IMAGES), ("reconstructions", others.reshape(5, 6))], (2, 3), title="x")
    found, _ = picture(ax)
    assert found.shape == (5, 5 * 4 - 1)
    for i in range(5):
        np.testing.assert_array_equal(found[:2, 4 * i : 4 * i + 3], IMAGES[i])
        np.testing.assert_array_equal(found[3:, 4 * i : 4 * i + 3], others[i])
    assert np.isnan(found[2]).all()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["images", "reconstructions"]
    assert ax.get_yticks().tolist() == [0.5, 3.5]  # the middles of the rows
    assert isinstance(figure, Figure)


def test_statistics_of_images():
    data, samples = [IMAGES.reshape(5, 6)], [np.zeros((3, 6)), np.full((1, 6), 0.5)]
    _, axes = plot.image_statistics(samples, data, (2, 3), data_name="test set")
    np.testing.assert_allclose(picture(axes[0])[0], IMAGES.mean(axis=0))
    np.testing.assert_allclose(picture(axes[1])[0], 0.125)
    assert [ax.get_title("left") for ax in axes[:2]] == ["mean image, test set", "mean image, samples"]
    for patch, n in zip(axes[2].patches, (5, 4), strict=True):
        heights = patch.get_data().values
        assert heights.sum() == pytest.approx(1)  # no image is outside the axis
        np.testing.assert_allclose(heights * n, np.rint(heights * n), atol=1e-9)
    assert axes[2].patches[1].get_data().values[0] == 0.75  # three of four samples are white
    blank = [np.zeros((2, 6))]
    _, axes = plot.image_statistics(blank, blank, (2, 3))
    assert axes[2].patches[0].get_data().values.sum() == 1


def test_axes_of_ones_own():
    axes = Figure().subplots(1, 2)
    figure, ax = plot.image_tiles(IMAGES, ax=axes[1])
    assert ax is axes[1]
    assert figure is axes[0].figure


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: plot.image_tiles(IMAGES.reshape(5, 6)), ValueError, r"\(5, 6\); expected \(n, height, width"),
        (lambda: plot.image_tiles(IMAGES, (3, 3)), ValueError, r"expected \(n, 9\) or \(n, 3, 3\)"),
        (lambda: plot.image_tiles(np.zeros((0, 6)), (2, 3)), ValueError, r"n at least 1"),
        (lambda: plot.image_tiles([["a"]], (1, 1)), TypeError, "images: values of type"),
        (lambda: plot.image_tiles(IMAGES, (2, 2.5)), ValueError, "shape=2.5: expected a whole number"),
        (lambda: plot.image_tiles(IMAGES, n_columns=0), ValueError, "n_columns=0"),
        (lambda: plot.filter_tiles(np.zeros((7, 4)), (2, 3)), ValueError, r"columns of W: .*expected \(n, 6\)"),
        (lambda: plot.filter_tiles(np.zeros((6, 4)), (2, 3), 0), ValueError, "count=0"),
        (lambda: plot.filter_tiles(np.zeros(6), (2, 3)), ValueError, "W has shape"),
        (lambda: plot.image_pairs([], (2, 3)), ValueError, "rows is empty"),
        (lambda: plot.image_pairs([("a", IMAGES), ("b", IMAGES[:4])]), ValueError, r"'a': \(5, 2, 3\), 'b': \(4,"),
        (lambda: plot.image_statistics([], [np.zeros((2, 6))], (2, 3)), ValueError, "samples is empty"),
        (lambda: plot.image_statistics([np.eye(6)], [np.eye(6)], (2, 2)), ValueError, r"expected \(n, 4\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
