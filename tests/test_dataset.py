"""Labels of the frames of a data set: checked, kept in files, part of the fingerprint, and chosen by."""

from dataclasses import replace

import numpy as np
import pytest

from rnnrbm import datasets
from rnnrbm.datasets import SPLITS, Dataset, Vectors, load, save

LABELS = {"train": [[0, 3, 3], [1, 1]], "valid": [[3]], "test": [[2, 0]]}


def labelled(labels=LABELS):
    pieces = {split: [np.arange(len(each) * 2.0).reshape(-1, 2) for each in LABELS[split]] for split in SPLITS}
    return Dataset("set", **pieces, kind=Vectors(), labels=labels)


def test_labels_are_whole_numbers_for_each_frame():
    data = labelled({split: [np.array(each, float) for each in LABELS[split]] for split in SPLITS})
    for split in SPLITS:
        for found, given in zip(data.labels_of(split), LABELS[split], strict=True):
            assert found.dtype == np.int64
            assert found.tolist() == given
    assert labelled(None).labels is None
    with pytest.raises(ValueError, match="set: has no labels"):
        labelled(None).labels_of("train")
    with pytest.raises(ValueError, match="split='all': expected one of train"):
        data.labels_of("all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": [[0, 3, 3]]}, "set, train: 2 pieces but 1 arrays of labels"),
        ({"train": [[0, 3, 3], [1]]}, r"set, train\[1\]: labels have shape \(1,\); expected \(2,\)"),
        ({"train": [[[0, 3, 3]], [1, 1]]}, r"set, train\[0\]: labels have shape \(1, 3\)"),
        ({"valid": [[-1]]}, r"set, valid\[0\]: 1 labels are no whole numbers .*such as -1"),
        ({"test": [[0, 1.5]]}, r"set, test\[0\]: 1 labels are no whole numbers .*such as 1.5"),
        ({"test": [[np.nan, np.inf]]}, r"set, test\[0\]: 2 labels are no whole numbers .*such as nan"),
        ({"test": [[0, 2**63]]}, r"labels are no whole numbers .*such as 9\.2"),
        ({"valid": [[True]]}, r"set, valid\[0\]: labels are truth values"),
        ({"more": []}, "set: labels has the keys train, valid, test, more; expected a dictionary"),
    ],
)
def test_labels_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        labelled(LABELS | change)


def test_labels_of_another_type():
    with pytest.raises(ValueError, match="set: labels has list; expected a dictionary"):
        labelled([[1]])
    with pytest.raises(TypeError, match=r"set, valid\[0\]: labels: values of type <U1"):
        labelled(LABELS | {"valid": [["a"]]})


def test_labels_are_kept_in_files(tmp_path):
    for data in (labelled(), replace(labelled(), valid=[], names=None, labels=LABELS | {"valid": []})):
        save(tmp_path / "a.npz", data)
        back = load(tmp_path / "a.npz")
        assert back.fingerprint() == data.fingerprint()
        for split in SPLITS:
            assert [each.tolist() for each in back.labels_of(split)] == [
                each.tolist() for each in data.labels_of(split)
            ]
    save(tmp_path / "b.npz", labelled(None))
    assert load(tmp_path / "b.npz").labels is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("valid_labels", None, "a.npz: has no valid_labels; expected labels of every split"),
        ("train_labels", np.zeros(4, int), r"train_labels is an array of shape \(4,\) of int64; expected 5 whole"),
        ("train_labels", np.zeros(5), "of float64; expected 5 whole numbers"),
        ("train_labels", np.full(5, -1), r"a.npz: set, train\[0\]: 3 labels are no whole numbers"),
    ],
)
def test_damaged_labels_of_a_file(tmp_path, key, value, message):
    path = tmp_path / "a.npz"
    save(path, labelled())
    with np.load(path) as arrays:
        changed = dict(arrays)
    changed.pop(key)
    np.savez(path, **(changed if value is None else changed | {key: value}))
    with pytest.raises(ValueError, match=message):
        load(path)


def test_labels_are_part_of_the_fingerprint_if_there_are_any():
    # as it was before data sets had labels
    assert labelled(None).fingerprint() == "34d33c784ea96584390a1f007575fdf2382cd0ca5ed8f37d51b7ed2f9d3704c3"
    other = labelled(LABELS | {"valid": [[0]]})
    assert len({labelled(None).fingerprint(), labelled().fingerprint(), other.fingerprint()}) == 3


def test_frames_of_some_classes():
    data = labelled().of_classes([3, 1.0, 3])
    assert data.name == "set of classes 1, 3"
    assert [each.tolist() for each in data.labels_of("train")] == [[3, 3], [1, 1]]
    np.testing.assert_array_equal(data.train[0], [[2, 3], [4, 5]])
    np.testing.assert_array_equal(data.train[1], [[0, 1], [2, 3]])
    assert data.test == []
    only = labelled().of_classes({0})
    assert only.names_of("train") == ["train[0]"]
    assert [len(getattr(only, split)) for split in SPLITS] == [1, 0, 1]
    for classes, message in (([0, 7], "has no frame of class 7; its classes are 0, 1, 2, 3"), ([], "none given")):
        with pytest.raises(ValueError, match=message):
            labelled().of_classes(classes)
    with pytest.raises(ValueError, match="set: has no labels"):
        labelled(None).of_classes([0])
    for classes in (3, "3", ["a"]):
        with pytest.raises(TypeError, match=r"class"):
            labelled().of_classes(classes)
    with pytest.raises(ValueError, match=r"a class=1\.5: expected a whole number"):
        labelled().of_classes([1.5])


def test_the_name_is_that_of_before():
    from rnnrbm.dataset import Dataset as Same

    assert datasets.Dataset is Same
    assert Same is Dataset


def test_threes_and_eights_of_the_digits():
    digits, some = load("digits"), load("digits").of_classes([3, 8])
    for split in SPLITS:
        chosen = np.isin(digits.labels_of(split)[0], [3, 8])
        np.testing.assert_array_equal(getattr(some, split)[0], getattr(digits, split)[0][chosen])
        assert set(some.labels_of(split)[0]) == {3, 8}
