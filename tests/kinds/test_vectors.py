"""Vectors with names and a standardisation: original units, tables of them, and other data of the same columns."""

import json

import numpy as np
import pytest

from rnnrbm.datasets import Dataset, Vectors, load, matched, save
from rnnrbm.io.tables import read_table, write_table
from rnnrbm.kinds.registry import from_record, to_record

#: of four columns, the second and the last do not vary
KIND = Vectors(0.5, ("x", "room", "y", "flag"), (10, 7.25, -3e6, 1e-3), (2, 0, 5e-4, 0))


def frames(n=9, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32)


def test_original_units_by_hand():
    values = KIND.original([[1.0, -2.0], [0.0, 4.0]])
    np.testing.assert_array_equal(values, [[12, 7.25, -3e6 - 1e-3, 1e-3], [10, 7.25, -3e6 + 2e-3, 1e-3]])
    np.testing.assert_allclose(KIND.standardised(values), [[1, -2], [0, 4]], atol=1e-5)
    assert KIND.standardised(values).dtype == np.float32
    assert KIND.kept_columns == ["x", "y"]
    assert KIND.describe(2) == "2 columns of real numbers, standardised, 0.5 s per frame"


def test_records_hold_the_columns():
    assert from_record(json.loads(json.dumps(to_record(KIND)))) == KIND
    assert hash(KIND) != hash(Vectors(0.5))
    assert to_record(Vectors()) == {"kind": "vectors"}


def test_files_have_all_columns_in_original_units(tmp_path):
    piece = frames()
    files = KIND.write(tmp_path, "a", piece)
    assert [path.name for path in files] == ["a.npy", "a.csv"]
    table = read_table(files[1])
    assert table.names == KIND.columns
    np.testing.assert_allclose(table.values, KIND.original(piece), rtol=0, atol=2e-6)
    np.testing.assert_array_equal(np.load(files[0]), table.values)
    for path in files:
        np.testing.assert_allclose(KIND.read(path, 2)[0], piece, atol=3e-6)
    lines = files[1].read_text().splitlines()
    assert max(map(len, lines)) < 50  # no digits that mean nothing


def test_tables_are_read_by_names(tmp_path):
    piece = frames()
    values = KIND.original(piece)
    write_table(tmp_path / "a.csv", np.column_stack([values[:, 2], np.arange(9), values[:, 0]]), ["y", "time", "x"])
    np.testing.assert_allclose(KIND.read(tmp_path / "a.csv", 2)[0], piece, atol=1e-5)
    write_table(tmp_path / "a.csv", values[:, :2], ["x", "z"])
    with pytest.raises(ValueError, match=r"a\.csv: has no column 'y'; expected a header and the columns 'x', 'room'"):
        KIND.read(tmp_path / "a.csv", 2)
    np.save(tmp_path / "a.npy", piece)
    with pytest.raises(ValueError, match=r"a\.npy: .*shape \(9, 2\) .*expected \(frames, 4\)"):
        KIND.read(tmp_path / "a.npy", 2)


def test_names_alone_leave_values_as_they_are(tmp_path):
    kind, piece = Vectors(columns=("a", "b")), frames()
    np.testing.assert_array_equal(kind.original(piece), piece)
    kind.write(tmp_path, "a", piece)
    np.testing.assert_allclose(kind.read(tmp_path / "a.csv", 2)[0], piece, rtol=1e-5, atol=1e-5)
    kind.write(tmp_path, "a", np.zeros((3, 2), np.float32))
    np.testing.assert_array_equal(kind.read(tmp_path / "a.csv", 2)[0], np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"columns": ("a", "a")}, "'a' occurs twice"),
        ({"columns": "ab"}, "expected a list of names"),
        ({"columns": ("a", 3)}, "expected a list of names"),
        ({"columns": ("a", "b"), "mean": (1, 2, 3)}, "mean has 3 values; expected one for each of 2 columns"),
        ({"columns": ("a",), "mean": (1,)}, "one is empty"),
        ({"columns": ("a",), "mean": (1,), "deviation": (0,)}, "more than 0 for a column"),
        ({"columns": ("a", "b"), "mean": (1, 1), "deviation": (1, -1)}, "expected 0 or more"),
        ({"columns": ("a",), "mean": (np.nan,), "deviation": (1,)}, "expected finite numbers"),
        ({"mean": (1.0,), "deviation": (1.0,)}, "expected one for each of 0 columns"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Vectors(**fields)


def test_frames_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"here: 4 columns; expected 2, the columns of the kind \(2 constant"):
        KIND.check(np.ones((3, 4)), where="here")


def test_differences_between_kinds():
    other = Vectors(0.25, ("x", "y"), (10, -3e6), (2, 1e-3))
    assert KIND.mismatch(Vectors(0.5)) == ("", "columns that are standardised by themselves, not")
    columns, caveat = KIND.mismatch(other)
    assert columns == ""
    assert caveat == "0.25 seconds per frame, not 0.5; columns that are standardised by themselves, not"
    assert "has no 'y' and has 'z' besides" in KIND.mismatch(Vectors(0.5, ("x", "z"))).columns
    assert "another order" in KIND.mismatch(Vectors(0.5, ("y", "x"))).columns


def test_other_data_are_standardised_as_those_of_training(tmp_path):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(30, 3)) * [4, 1e-3, 1] + [10, -3e6, 0]
    write_table(tmp_path / "a.csv", values, ["x", "y", "extra"])
    own = load(tmp_path / "a.csv", seconds_per_frame=0.25)
    fitted = matched(own, KIND)
    assert KIND.mismatch(fitted.kind) == ("", "0.25 seconds per frame, not 0.5")
    true = (values[:21, :2] - [10, -3e6]) / [2, 5e-4]
    np.testing.assert_allclose(fitted.train[0], true, atol=1e-5)
    stranger = Vectors(columns=("x", "z"), mean=(0, 0), deviation=(1, 1))
    assert matched(own, stranger) is own
    assert matched(own, Vectors()) is own


def test_a_data_set_with_columns_is_saved_and_loaded(tmp_path):
    data = Dataset("a", [frames()], [frames(4, 1)], [frames(5, 2)], KIND)
    save(tmp_path / "a.npz", data)
    assert load(tmp_path / "a.npz").kind == KIND


def test_drawing_labels_the_axes():
    _, axes = KIND.draw(frames(), primed=4, title="a piece")
    assert [ax.get_ylabel() for ax in axes] == ["x", "y"]
    assert axes[-1].get_xlabel() == "time (seconds)"
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), KIND.original(frames())[:, 0])
