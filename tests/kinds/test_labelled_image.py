"""Images with labels: joining and splitting, what is no label, baselines by hand, figures, files."""

import math

import numpy as np
import pytest

import rnnrbm
from rnnrbm import datasets
from rnnrbm.datasets import Dataset, Image, LabelledImage, Vectors
from rnnrbm.models.registry import unit_of
from rnnrbm.units import Bernoulli, Gaussian, Softmax

KIND, GREY = LabelledImage(2, 3, 3, "threshold"), LabelledImage(2, 3, 3)
SHARES = np.array([[0.9, 0.1, 0.5, 0.7, 0.0, 0.3], [0.2, 0.8, 0.5, 0.1, 0.0, 0.9], [0.5, 0.5, 0.1, 0.4, 0.0, 0.6]])


def drawn(n, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return (rng.random((n, 6)) < SHARES[labels]).astype(np.uint8), labels


IMAGE = Image(2, 3, "threshold")


def a_set(kind=IMAGE, change=lambda labels: labels):
    images, labels = zip(*(drawn(n, seed) for seed, n in enumerate((40, 10, 20))), strict=True)
    of_split = {split: [change(each)] for split, each in zip(datasets.SPLITS, labels, strict=True)}
    return Dataset("toy", *([each] for each in images), kind, labels=of_split)


def test_frames_are_pixels_and_one_column_for_each_class():
    images, labels = drawn(8)
    frames = KIND.join(images.reshape(8, 2, 3), labels)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames[:, :6], images)
    np.testing.assert_array_equal(frames[:, 6:], np.eye(3)[labels])
    for part, expected in zip(KIND.split(frames), (images, labels), strict=True):
        np.testing.assert_array_equal(part, expected)
    assert GREY.join(images * 0.3, labels).dtype == np.float32
    clamp = KIND.clamp([2, 0])
    np.testing.assert_array_equal(clamp, [[np.nan] * 6 + [0, 0, 1], [np.nan] * 6 + [1, 0, 0]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3], "1 labels are out of range, the first is 3 of image 2; expected 0 to 2"),
        ([0, -1, 2], "the first is -1 of image 1"),
        ([0, 0.5, 2], "the first is 0.5 of image 1"),
        ([0, np.nan, 2], "the first is nan of image 1"),
        ([0, 1], r"shape \(2,\) and type int64; expected \(3,\)"),
        ([[0], [1], [2]], r"shape \(3, 1\)"),
        (["a", "b", "c"], "type <U1"),
    ],
)
def test_labels_that_are_none(labels, message):
    with pytest.raises(ValueError, match=message):
        KIND.join(drawn(3)[0], labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :6], r"shape \(4, 6\); expected \(images, 9\).* use kind.join\(images, labels\)"),
        (lambda x: x[:0], r"shape \(0, 9\)"),
        (lambda x: x + np.eye(9, dtype=int)[[8]], "images have no label, the first is image 0, with"),
        (lambda x: np.where(np.arange(9) == 7, 0.5, x), r"4 images have no label.* 0.5, .* expected 1 in one of them"),
        (lambda x: np.where(np.arange(9) == 1, 7, x), "4 pixels are not 0 and 1, the first is 7"),
    ],
)
def test_frames_that_are_none(change, message):
    with pytest.raises(ValueError, match=f"^here: .*{message}"):
        KIND.check(change(KIND.join(*drawn(4)).astype(float)), where="here")


def test_what_differs():
    assert KIND.mismatch(LabelledImage(2, 3, 5, "threshold")).columns == "images have 5 classes, not 3"
    assert LabelledImage(3, 2, 4).mismatch(KIND).columns == (
        "images have 2 x 3 pixels, not 3 x 2; pixels are binary, not grey; images have 3 classes, not 4"
    )
    assert KIND.mismatch(LabelledImage(2, 3, 3, "sampled")).caveat.startswith("pixels made binary by sampling")
    assert "load it with_labels" in KIND.mismatch(KIND.image).columns
    assert KIND.mismatch(Vectors()).columns == "the frames are vectors, not labelled-image"
    assert KIND.describe(9) == "9 columns, images of 2 x 3 binary pixels, binarised by threshold, and 3 classes"


@pytest.mark.parametrize("n_classes", [1, 2.5, True, 10_001, "3"])
def test_impossible_numbers_of_classes(n_classes):
    with pytest.raises(ValueError, match="n_classes="):
        LabelledImage(2, 3, n_classes)


def test_samples_take_the_most_probable_class():
    values = np.array([[[0.2, 0.7, 0.5, 0.4, 0.0, 1.0, 0.1, 0.3, 0.2]]])
    np.testing.assert_array_equal(KIND.from_samples(values), [[[0, 1, 1, 0, 0, 1, 0, 1, 0]]])
    np.testing.assert_allclose(GREY.from_samples(values)[..., :6], values[..., :6], rtol=1e-6)


def test_baselines_by_counting():
    (images, labels), (tested, of_tested) = drawn(60), drawn(15, 1)
    lls = {"independent pixels and label": [], "independent pixels given the label": []}
    for image, label in zip(tested, of_tested, strict=True):
        log_class = math.log((np.sum(labels == label) + 1) / 63)
        for name, of in zip(lls, (images, images[labels == label]), strict=True):
            p = (of.sum(axis=0) + 1) / (len(of) + 2)
            lls[name].append(log_class + sum(math.log(q if bit else 1 - q) for q, bit in zip(p, image, strict=True)))
    train, test = [KIND.join(images, labels)], [KIND.join(tested, of_tested)]
    found = KIND.baselines(train, [], [test[0][:4], test[0][4:]])
    assert found == {name: pytest.approx(np.mean(each)) for name, each in lls.items()}
    assert found["independent pixels given the label"] > found["independent pixels and label"]
    two = images[labels != 2], labels[labels != 2]  # a class that training does not have has the pixels of all
    rows = KIND.baselines([KIND.join(*two)], [], [KIND.join(tested[:1], [2])])
    assert len(set(rows.values())) == 1


def test_statistics_are_those_of_the_images_and_of_the_classes():
    images, labels = drawn(50)
    pieces = [KIND.join(images[:20], labels[:20]), KIND.join(images[20:], labels[20:])]
    found = KIND.statistics(pieces)
    shares = {f"share_of_class_{i}": pytest.approx(np.mean(labels == i)) for i in range(3)}
    assert found == KIND.image.statistics([images[:20], images[20:]]) | shares


def test_unit_types():
    images, labels = drawn(30)
    unit = unit_of("visible", KIND.unit_name([KIND.join(images, labels)]), 9)
    assert unit.parts == ((6, Bernoulli()), (3, Softmax(3)))
    unit = unit_of("visible", GREY.unit_name([GREY.join(images, labels)]), 9)
    (n, pixels), label = unit.parts
    assert (n, label) == (6, (3, Softmax(3)))
    assert type(pixels) is Gaussian
    assert pixels.sigma == pytest.approx(np.sqrt(images.var(axis=0).mean()), rel=1e-2)
    assert unit_of("visible", "softmax:2+softmax:3+softmax:4", 11).parts == (
        (4, Softmax(2)),
        (3, Softmax(3)),
        (4, Softmax(4)),
    )
    for name, message in [
        ("binary+gaussian", r"expected softmax units after the first \+"),
        ("binary+softmax", "such as binary"),
        ("binary+softmax:11", "11 columns leave none to the binary units; expected 12 or more"),
        ("gaussian:learned+softmax:2", "parameters of its own"),
        ("other+softmax:2", "'other' is not one of"),
        ("binary+softmax:1", "expected 2 or more"),
    ]:
        with pytest.raises(ValueError, match=message):
            unit_of("visible", name, 11)


def test_a_row_of_images_for_each_class():
    images, labels = drawn(12)
    _, ax = KIND.draw(KIND.join(images, labels), title="toy")
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "1", "2"]
    shown = ax.images[0].get_array()
    for label in range(3):
        of_class = images[labels == label]
        np.testing.assert_array_equal(shown[3 * label : 3 * label + 2, :3], of_class[0].reshape(2, 3))
    most = np.bincount(labels).max()
    filled = np.ma.filled(shown, np.nan)
    for label in range(3):  # a class with fewer images leaves room
        room = filled[3 * label : 3 * label + 2, 4 * (labels == label).sum() : 4 * most]
        assert np.isnan(room).all()
    frames = KIND.join(images, labels)
    made = frames.astype(float)
    made[1, 6:] = np.eye(3)[(labels[1] + 1) % 3]
    _, ax = KIND.draw_reconstructions(frames, made)
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert names[1] == f"{labels[1]}→{(labels[1] + 1) % 3}"
    assert names[2:] == [str(label) for label in labels[2:]]
    _, axes = KIND.draw_statistics([frames[:6]], [frames])
    heights = [patch.get_data().values for patch in axes[3].patches]
    np.testing.assert_allclose(heights, [np.bincount(x, minlength=3) / len(x) for x in (labels, labels[:6])])


def test_files_hold_images_and_labels(tmp_path):
    images, labels = drawn(5)
    (path,) = KIND.write(tmp_path, "a", KIND.join(images, labels))
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["images"], images.reshape(5, 2, 3))
        np.testing.assert_array_equal(arrays["labels"], labels)
    np.testing.assert_array_equal(KIND.read(path, 9)[0], KIND.join(images, labels))
    np.savez(tmp_path / "b.npz", images=images)
    with pytest.raises(ValueError, match=r"b\.npz: has no labels; expected the arrays images, labels"):
        KIND.read(tmp_path / "b.npz", 9)
    np.savez(tmp_path / "b.npz", images=images, labels=labels + 2)
    with pytest.raises(ValueError, match=r"b\.npz: \d labels are out of range"):
        KIND.read(tmp_path / "b.npz", 9)


def test_a_set_of_images_gets_columns_of_its_labels(tmp_path):
    plain = a_set()
    data = plain.with_labels()
    assert data.kind == KIND
    for split in datasets.SPLITS:
        np.testing.assert_array_equal(data.kind.split(getattr(data, split)[0])[1], plain.labels_of(split)[0])
    assert data.with_labels() is data
    assert plain.with_labels(5).n_visible == 11
    np.testing.assert_array_equal(data.of_classes([1]).train[0][:, 7], 1)
    assert datasets.matched(plain, KIND).fingerprint() == data.fingerprint()
    datasets.save(tmp_path / "toy.npz", plain)
    assert rnnrbm.load(tmp_path / "toy.npz", with_labels=True).fingerprint() == data.fingerprint()
    datasets.save(tmp_path / "labelled.npz", data)
    assert rnnrbm.load(tmp_path / "labelled.npz").fingerprint() == data.fingerprint()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: a_set(change=lambda labels: 3 * labels).with_labels(),
         "labels go up to 6, but no image has the label 1, 2, 4, 5; number the classes 0 to 2"),
        (lambda: a_set().with_labels(2), "toy: .*labels are out of range, the first is 2"),
        (lambda: a_set(change=lambda labels: 0 * labels).with_labels(), "toy: n_classes=1"),
        (lambda: Dataset("toy", [drawn(4)[0]], [], [], Image(2, 3, "threshold")).with_labels(), "toy: has no labels"),
        (lambda: a_set(Vectors()).with_labels(), "labels are set beside images, and its frames are vectors"),
        (lambda: rnnrbm.load("bach", with_labels=True), "with_labels cannot be chosen for the embedded set"),
    ],
)  # fmt: skip
def test_sets_that_cannot_be_labelled(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_digits_come_with_labels():
    data = rnnrbm.load("digits", with_labels=True)
    assert data.kind == LabelledImage(8, 8, 10, "sampled")
    alone = rnnrbm.load("digits")
    np.testing.assert_array_equal(data.test[0][:, :64], alone.test[0])
    assert "with_labels" in datasets.resolved("digits")
    with pytest.raises(TypeError, match="with_labels='yes': expected True or False"):
        rnnrbm.load("digits", with_labels="yes")
