"""Images: what is a pixel, what differs, baselines and statistics by hand, and files."""

import math

import numpy as np
import pytest

from rnnrbm.datasets import Image, Vectors

GREY, BINARY = Image(2, 3), Image(2, 3, "threshold")
RNG = np.random.default_rng(4)
#: columns of different means, and one that is always 0
SHARES = np.array([0.9, 0.1, 0.5, 0.7, 0.0, 0.3])


def drawn(n, seed=0):
    return (np.random.default_rng(seed).random((n, 6)) < SHARES).astype(np.uint8)


def greys(n, seed=0):
    return np.clip(SHARES + np.random.default_rng(seed).normal(0, 0.05, (n, 6)) * (SHARES > 0), 0, 1).astype(np.float32)


def test_images_become_rows_of_pixels():
    images = np.arange(12).reshape(2, 2, 3) / 12
    np.testing.assert_allclose(GREY.check(images), images.reshape(2, 6), rtol=1e-6)
    assert GREY.check(images).dtype == np.float32
    assert GREY.check([[0, 1, 1, 0, 1, 0]]).dtype == np.float32
    assert BINARY.check(images > 0.5).dtype == np.uint8
    np.testing.assert_array_equal(BINARY.check(images > 0.5), images.reshape(2, 6) > 0.5)


@pytest.mark.parametrize(
    ("kind", "piece", "message"),
    [
        (GREY, np.full((1, 6), 255), r"6 pixels are not numbers from 0 to 1, the first is 255 in image 0, column 0; "
         r"divide by the greatest possible value, 255$"),
        (GREY, np.full((1, 6), 16), "divide by the greatest possible value, such as 16 or 255"),
        (GREY, [[0, 0, 0, 0, 0, -0.5]], r"1 pixels .* the first is -0.5 in image 0, column 5; scale the pixels"),
        (GREY, [[0, 0, 0, np.nan, 0, 2]], "the first is nan in image 0, column 3; replace or leave out missing"),
        (GREY, np.full((2, 6), np.inf), "the first is inf"),
        (BINARY, [[0, 1, 0.25, 0, 0, 0]], r"not 0 and 1, the first is 0.25 .* by rnnrbm.io.image_sets.binarise"),
        (BINARY, np.full((1, 6), 255), "possible value, 255, and make pixels binary by rnnrbm.io.image_sets.binarise"),
        (BINARY, [[0, 1, 0, 0, np.nan, 0]], "replace or leave out missing values"),
        (GREY, np.zeros((2, 3)), r"3 columns .*expected 6, .* 2 x 3. One image has a piece of its own: give"),
        (GREY, np.zeros((6, 4)), "4 columns .* Images come first: give its transpose"),
        (GREY, np.zeros((4, 3, 2)), r"shape \(4, 3, 2\); expected \(images, 6\) or \(images, 2, 3\)"),
        (GREY, np.zeros((0, 2, 3)), "at least one image"),
        (GREY, np.zeros((1, 6), complex), "values of type complex128"),
    ],
)  # fmt: skip
def test_what_is_no_image(kind, piece, message):
    with pytest.raises(ValueError, match=message):
        kind.check(piece)


def test_a_width_of_other_data_is_refused():
    with pytest.raises(ValueError, match="here: images of 6 pixels; expected 8 columns"):
        GREY.check(np.zeros((1, 6)), n_visible=8, where="here")


def test_what_differs_decides_whether_a_model_can_be_used_or_scores_compare():
    assert Image(28, 28).mismatch(Image(8, 8)).columns == "images have 8 x 8 pixels, not 28 x 28"
    assert GREY.mismatch(Image(3, 2)).columns  # as many columns
    assert GREY.mismatch(BINARY) == ("pixels are binary, not grey", "")
    assert BINARY.mismatch(GREY) == ("pixels are grey, not binary", "")
    assert BINARY.mismatch(Image(2, 3, "sampled")) == ("", "pixels made binary by sampling, not by threshold")
    assert Vectors().mismatch(GREY).columns == "the frames are image, not vectors"


def test_descriptions():
    assert (
        Image(28, 28, "sampled").describe(784) == "784 columns, images of 28 x 28 binary pixels, binarised by sampling"
    )
    assert Image(1, 1).describe(1) == "1 column, images of 1 x 1 grey pixels"
    assert Image(2, 2, "original").describe(4) == "4 columns, images of 2 x 2 binary pixels"


def test_baseline_of_binary_images_by_counting():
    train, test = [drawn(30), drawn(20, 1)], [drawn(5, 2), drawn(9, 3)]
    (row,) = BINARY.baseline_table(train, [], test)
    on = np.concatenate(train).sum(axis=0)
    lls = [
        [sum(math.log((on[j] + 1 if bit else 50 - on[j] + 1) / 52) for j, bit in enumerate(image)) for image in piece]
        for piece in test
    ]
    assert row["ll"] == pytest.approx(np.mean(lls[0] + lls[1]))
    assert row["ll_pieces"] == pytest.approx((np.mean(lls[0]) + np.mean(lls[1])) / 2)
    assert row["settings"] == {}
    assert BINARY.baselines(train, [], test) == {"independent pixels": row["ll"]}


def test_baseline_of_grey_images_by_normal_densities():
    train, valid, test = [greys(60)], [greys(20, 1)], [greys(9, 2)]
    (row,) = GREY.baseline_table(train, valid, test)
    mean, deviation = train[0].astype(float).mean(axis=0), train[0].astype(float).std(axis=0)

    def score(images, least):
        s = np.maximum(deviation, least)
        return np.mean((-0.5 * ((images - mean) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi)).sum(axis=1))

    assert row["settings"] == {"least_deviation": 1 / 256}  # column 4 is as in training
    assert row["ll"] == pytest.approx(score(test[0], 1 / 256), rel=1e-6)
    other = valid[0].copy()
    other[:, 4] = 0.3  # now column 4 is not
    (row,) = GREY.baseline_table(train, [other], test)
    assert row["settings"]["least_deviation"] > 0.01
    assert row["ll"] == pytest.approx(score(test[0], row["settings"]["least_deviation"]), rel=1e-6)
    assert score(other, row["settings"]["least_deviation"]) == max(
        score(other, least) for least in (1 / 256, 0.01, 0.03, 0.1, 0.3)
    )
    (row,) = GREY.baseline_table(train, [], test)
    assert row["settings"] == {"least_deviation": 1 / 256}


def test_statistics_by_hand():
    images = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]], np.uint8)
    found = BINARY.statistics([images[:2], images[2:]])
    assert found["mean_pixel"] == pytest.approx(8 / 18)
    assert found["deviation_of_mean_pixel"] == pytest.approx(np.std([0, 1 / 3, 1]))
    assert found["nearest_distance"] == pytest.approx((2 * math.sqrt(2) + 2) / 3)
    assert BINARY.statistics([np.repeat(images[:1], 4, axis=0)])["nearest_distance"] == 0
    assert BINARY.statistics([images[:1]])["nearest_distance"] == 0


def test_distances_are_of_images_spread_over_all_pieces(monkeypatch):
    monkeypatch.setattr("rnnrbm.kinds.image._MOST_COMPARED", 3)
    images = np.zeros((9, 6), np.float32)
    images[[0, 4, 8], 0] = 0.0, 0.5, 0.75  # the others are copies
    distance = GREY.statistics([images[:4], images[4:5], images[5:]])["nearest_distance"]
    assert distance == pytest.approx((0.5 + 0.25 + 0.25) / 3)


def test_samples_are_cut_or_rounded():
    values = np.array([[-0.2, 0.0, 0.49, 0.5, 0.51, 1.7]])
    np.testing.assert_array_equal(GREY.from_samples(values), np.float32([[0, 0, 0.49, 0.5, 0.51, 1]]))
    np.testing.assert_array_equal(BINARY.from_samples(values), [[0, 0, 0, 1, 1, 1]])


def test_files_hold_images_of_two_dimensions(tmp_path):
    piece = greys(4)
    (path,) = GREY.write(tmp_path, "a", piece)
    assert np.load(path).shape == (4, 2, 3)
    np.save(tmp_path / "rows.npy", piece)
    np.testing.assert_array_equal(GREY.read(tmp_path / "rows.npy", 6)[0], piece)
    np.save(tmp_path / "bytes.npy", (piece * 255).astype(np.uint8))
    with pytest.raises(ValueError, match=r"bytes.npy: .*divide by the greatest possible value, 255"):
        GREY.read(tmp_path / "bytes.npy", 6)
    with pytest.raises(ValueError, match="tempo=90: images have no tempo"):
        GREY.check_writing(3, 90.0)
    GREY.check_writing(3)


def test_a_picture_of_many_images_says_so():
    _, ax = BINARY.draw(drawn(120), title="samples")
    assert ax.get_title("left") == "samples, 100 of 120 images"
    shown = ax.images[0].get_array()
    np.testing.assert_array_equal(shown[:2, :3], drawn(120)[0].reshape(2, 3))
    assert GREY.draw(greys(3))[1].get_title("left") == ""
