"""Dividing files into training, validation and test sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnrbm.io.splits import DEFAULT_SPLIT, check_split, counts, divided, split_by_folders


@given(
    st.integers(3, 400),
    st.tuples(*[st.integers(1, 100)] * 3).map(lambda weights: np.array(weights) / sum(weights)),
)
def test_every_split_gets_its_share_and_at_least_one(n, fractions):
    found = counts(n, fractions)
    assert found.sum() == n
    assert found.min() >= 1
    assert np.abs(found - n * fractions).max() < 3


def test_divided_names_are_all_there_in_their_order():
    names = [f"{i:02}" for i in range(20)]
    first, again, other = (divided(names, np.array(DEFAULT_SPLIT), seed) for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(name for part in first.values() for name in part) == names
    assert all(part == sorted(part) for part in first.values())
    assert [len(part) for part in first.values()] == [14, 3, 3]


@pytest.mark.parametrize("split", [(0.5, 0.5), (0.7, 0.2, 0.2), (1.0, 0.0, 0.0), 1.0])
def test_impossible_fractions_are_refused(split):
    with pytest.raises(ValueError, match="three positive fractions"):
        check_split(split, 0)


def test_sub_folders_are_the_splits(tmp_path):
    paths = [tmp_path / name / "a.wav" for name in ("train", "valid", "test")]
    assert not split_by_folders(tmp_path, paths, "sound", DEFAULT_SPLIT, 0)
    for path in paths:
        path.parent.mkdir()
    assert split_by_folders(tmp_path, paths, "sound", DEFAULT_SPLIT, 0)
    with pytest.raises(ValueError, match="its sub-folders are the splits"):
        split_by_folders(tmp_path, paths, "sound", DEFAULT_SPLIT, 1)
    with pytest.raises(ValueError, match=r"1 sound files outside them, such as .*b\.wav"):
        split_by_folders(tmp_path, [*paths, tmp_path / "b.wav"], "sound", DEFAULT_SPLIT, 0)
