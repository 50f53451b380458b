"""Tables of real numbers: what is read of them, how they are divided and standardised, and what is refused."""

import re
import warnings

import numpy as np
import pytest
from helpers import assert_damage_is_named

from rnnrbm.datasets import SPLITS, kind_of_files, load, resolved
from rnnrbm.io import formats, tables
from rnnrbm.io.tables import read_table, write_table
from rnnrbm.kinds.vectors import Vectors


def walk(n, seed, width=3):
    """A random walk whose columns have unlike means and scales."""
    rng = np.random.default_rng(seed)
    return np.arange(1.0, width + 1) * (np.cumsum(rng.normal(0, 1, (n, width)), axis=0) + 5)


def all_names(data):
    return sorted(name for split in SPLITS for name in data.names_of(split))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False])
def test_delimiters_and_headers_are_found(tmp_path, delimiter, header):
    rows = [["left knee", 'the "hip"', " x "]] * header + [["1", "-2.5", "3e2"], [" 4", "5.25 ", "+6"]]
    lines = [delimiter.join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in rows]
    path = write(tmp_path / "a.csv", "\ufeff\n" + "\r\n".join(lines) + "\r\n\r\n")
    read = read_table(path)
    assert read.names == (("left knee", 'the "hip"', "x") if header else ("column 0", "column 1", "column 2"))
    np.testing.assert_array_equal(read.values, [[1, -2.5, 300], [4, 5.25, 6]])


def test_a_mark_in_a_name_is_no_delimiter(tmp_path):
    read = read_table(write(tmp_path / "a.csv", "time,heat;1,b\n1,2,3\n"))
    assert read.names == ("time", "heat;1", "b")
    assert read_table(write(tmp_path / "a.csv", '"a;b"\n1\n2\n')).names == ("a;b",)
    read = read_table(write(tmp_path / "a.csv", "x, in m;y\n1;2\n"))
    assert read.names == ("x, in m", "y")


def test_a_value_that_is_too_large_beside_the_others_is_named(tmp_path):
    values = walk(20, 0)
    values[-1, 1] = 1e300
    write_table(tmp_path / "a.csv", values, "xyz")
    with pytest.raises(ValueError, match=r"a\.csv: a, test\[0\]: 1 values are not finite, the first is inf in frame 2"):
        load(tmp_path / "a.csv")


def test_what_is_written_is_read(tmp_path):
    values, names = walk(7, 0) * 1e5, ["a,b", 'c "d"', "é"]
    write_table(tmp_path / "a.csv", values, names)
    read = read_table(tmp_path / "a.csv")
    assert read.names == tuple(names)
    np.testing.assert_array_equal(read.values, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,\n", r"line 3, column 1 \(b\) is empty; .* fill in missing values"),
        ("1,2\n\n3,nan\n", r"line 3, column 1 is nan; expected a finite number"),
        ("1,2\n-inf,4\n", r"line 2, column 0 is -inf"),
        ("1,1e999\n", r"line 1, column 1 is '1e999'"),
        ("a,b\n1,2\n3,walks\n", r"line 3, column 1 \(b\) is 'walks'; .* leave columns of text out"),
        ("a;b\n1,5;2,5\n", r"line 2, column 0 \(a\) is '1,5'; .* decimal point"),
        ("a,b\n1,2\n3\n", r"line 3 has 1 cells, but the header has 2"),
        ("1,2\n3,4,5\n", r"line 2 has 3 cells, but the first row has 2"),
        ("a,b\n1,1_0\n", r"line 2, column 1 \(b\) is '1_0'"),
        ("a,b\nc,d\n1,2\n", r"line 2, column 0 \(a\) is 'c'; .* one line of names at most"),
        ("time,1,2\n", r"line 1, column 0 is 'time'"),
        ("a,a\n1,2\n", r"two columns are called 'a'"),
        ("a,b\n", r"has no row of numbers"),
        ("", r"has no row of numbers"),
        ("1,2\n3,\0\n", r"has zero bytes"),
    ],
)
def test_wrong_cells_are_named_by_line_and_column(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf"a\.csv: {message}"):
        load(write(tmp_path / "a.csv", text))


def test_other_files_are_refused_in_words(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,\xff\n")
    with pytest.raises(ValueError, match=r"a\.csv: byte 6 is not UTF-8"):
        load(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match=r"b\.csv: there is no such file"):
        load(tmp_path / "b.csv")


def test_one_file_is_divided_by_time_and_standardised_by_its_beginning(tmp_path):
    values = walk(40, 1)
    write_table(tmp_path / "walk.csv", values, ["x", "y", "z"])
    data = load(tmp_path / "walk.csv", split=(0.5, 0.25, 0.25), seconds_per_frame=0.02)
    mean, deviation = values[:20].mean(axis=0), values[:20].std(axis=0)
    for split, part in zip(SPLITS, (values[:20], values[20:30], values[30:]), strict=True):
        np.testing.assert_allclose(getattr(data, split)[0], (part - mean) / deviation, atol=2e-6)
    assert data.names == {"train": ["walk.csv[0:20]"], "valid": ["walk.csv[20:30]"], "test": ["walk.csv[30:40]"]}
    assert (data.name, data.kind.columns, data.kind.seconds_per_frame) == ("walk", ("x", "y", "z"), 0.02)
    np.testing.assert_allclose(data.kind.mean, mean)
    np.testing.assert_allclose(data.kind.deviation, deviation)
    np.testing.assert_allclose(data.kind.original(data.test[0]), values[30:], rtol=1e-5)
    assert resolved(tmp_path / "walk.csv") == {"split": (0.7, 0.15, 0.15), "seed": 0}
    assert kind_of_files(tmp_path / "walk.csv") == "vectors"


def test_a_folder_is_divided_by_files(tmp_path):
    parts = [walk(12 + i, i) for i in range(6)]
    (tmp_path / "people").mkdir()
    for i, part in enumerate(parts):
        write_table(tmp_path / (f"people/{i}.csv" if i else "0.csv"), part, "xyz")
    data = load(tmp_path, seed=3)
    assert [len(getattr(data, split)) for split in SPLITS] == [4, 1, 1]
    assert all_names(data) == ["0.csv", *(f"people/{i}.csv" for i in range(1, 6))]
    for split in SPLITS:
        for name, piece in zip(data.names_of(split), getattr(data, split), strict=True):
            original = parts[int(re.findall(r"\d", name)[0])]
            np.testing.assert_allclose(data.kind.original(piece), original, rtol=1e-5)
    joined = np.concatenate(data.train)
    np.testing.assert_allclose(joined.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(joined.std(axis=0), 1, atol=1e-5)
    assert load(tmp_path, seed=3).names == data.names
    assert any(load(tmp_path, seed=seed).names != data.names for seed in range(3))


def test_sub_folders_are_the_splits(tmp_path):
    for i, split in enumerate(("train", "train", "valid", "test")):
        (tmp_path / split).mkdir(exist_ok=True)
        write_table(tmp_path / split / f"{i}.csv", walk(10, i), "xyz")
    data = load(tmp_path)
    assert data.names == {"train": ["train/0.csv", "train/1.csv"], "valid": ["valid/2.csv"], "test": ["test/3.csv"]}
    assert resolved(tmp_path) == {}
    with pytest.raises(ValueError, match="split and seed cannot be chosen"):
        load(tmp_path, seed=1)
    write_table(tmp_path / "4.csv", walk(10, 4), "xyz")
    with pytest.raises(ValueError, match="1 CSV files outside them"):
        load(tmp_path)


def test_tables_of_unlike_columns_are_refused(tmp_path):
    write_table(tmp_path / "a.csv", walk(5, 0), ["x", "y", "z"])
    write_table(tmp_path / "b.csv", walk(5, 0), ["x", "z", "y"])
    with pytest.raises(ValueError, match=r"b\.csv has the column 'z', not 'y' as a\.csv"):
        load(tmp_path)
    write_table(tmp_path / "b.csv", walk(5, 0, 2), ["x", "y"])
    with pytest.raises(ValueError, match=r"b\.csv has 2 columns, not 3 as a\.csv"):
        load(tmp_path)


def test_constant_columns_are_left_out_and_named(tmp_path):
    values = np.insert(walk(20, 2), [1, 3], [7.5, 0.0], axis=1)
    values[-1, 4] = 1.0  # in the test part only
    write_table(tmp_path / "a.csv", values, ["x", "room", "y", "z", "alarm"])
    with pytest.warns(UserWarning, match=r"2 of 5 columns .* left out: room, alarm; of these, alarm change in"):
        data = load(tmp_path / "a.csv")
    assert data.n_visible == 3
    assert data.kind.kept_columns == ["x", "y", "z"]
    np.testing.assert_allclose(data.kind.original(data.train[0]), values[:14], rtol=1e-5, atol=1e-6)
    write_table(tmp_path / "b.csv", np.ones((9, 2)), "xy")
    with pytest.raises(ValueError, match="no column changes within the 6 rows"):
        load(tmp_path / "b.csv")


def test_a_column_of_times_is_suspected_and_can_be_left_out(tmp_path):
    values = np.column_stack([np.arange(20) * 0.01, walk(20, 3)])
    write_table(tmp_path / "a.csv", values, ["time", "x", "y", "z"])
    with pytest.warns(UserWarning, match=r"'time' grows in every row, by 0\.01 .*skip_columns=\['time'\]"):
        load(tmp_path / "a.csv")
    for skip in (["time"], [0]):
        data = load(tmp_path / "a.csv", skip_columns=skip)
        assert data.kind.columns == ("x", "y", "z")
        np.testing.assert_allclose(data.kind.original(data.train[0]), values[:14, 1:], rtol=1e-5)
    with pytest.raises(ValueError, match="skip_columns has 'tine', no such column; did you mean 'time'"):
        load(tmp_path / "a.csv", skip_columns=["tine"])
    with pytest.raises(ValueError, match="skip_columns=4: expected a whole number, 0 to 3"):
        load(tmp_path / "a.csv", skip_columns=[4])
    with pytest.raises(TypeError, match="expected a list of names"):
        load(tmp_path / "a.csv", skip_columns="time")
    with pytest.raises(ValueError, match="leaves out all 4"):
        load(tmp_path / "a.csv", skip_columns=range(4))


def test_arrays_are_sequences_in_the_order_of_their_names(tmp_path):
    parts = {name: walk(10, i).astype(np.float32) for i, name in enumerate(("b", "a", "c"))}
    np.savez(tmp_path / "a.npz", **parts)
    data = load(tmp_path / "a.npz", split=(0.4, 0.3, 0.3), seed=1)
    assert all_names(data) == ["a", "b", "c"]
    for split in SPLITS:
        (name,), (piece,) = data.names_of(split), getattr(data, split)
        np.testing.assert_allclose(data.kind.original(piece), parts[name], rtol=1e-5)
    np.save(tmp_path / "a.npy", np.stack([parts["b"], parts["a"], parts["c"]]))
    stacked = load(tmp_path / "a.npy")
    assert all_names(stacked) == ["a[0]", "a[1]", "a[2]"]
    np.save(tmp_path / "b.npy", parts["b"])
    assert load(tmp_path / "b.npy").names_of("valid") == ["b.npy[7:9]"]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(4), r"shape \(4,\) of float64; .*array\[:, None\]"),
        (np.ones((2, 3, 0)), r"shape \(3, 0\)"),
        (np.array([["a"]]), "of <U1; expected"),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), "nan in frame 1, column 1"),
        (np.ones((2, 3)), "has 2 rows; expected at least 3"),
        (np.full((5, 2), 1e300) * np.arange(5.0)[:, None], "divide them by a power of ten"),
    ],
)
def test_arrays_that_are_no_sequences_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=rf"a\.npy.*{message}"):
        load(tmp_path / "a.npy")


def test_other_npz_files_keep_their_reader(tmp_path):
    for name in ("train_x", "kind", "roll", "_meta"):
        np.savez(tmp_path / "a.npz", **{name: walk(5, 0)})
        assert kind_of_files(tmp_path / "a.npz") is None
    (tmp_path / "a.npz").write_text("no archive")
    with pytest.raises(ValueError, match=r"a\.npz: cannot be read as an \.npz file"):
        load(tmp_path / "a.npz")


def test_options_and_records_have_limits(tmp_path, monkeypatch):
    write_table(tmp_path / "a.csv", walk(9, 0), "xyz")
    with pytest.raises(ValueError, match="steps_per_beat cannot be chosen for real numbers"):
        load(tmp_path / "a.csv", steps_per_beat=2)
    with pytest.raises(ValueError, match="seconds_per_frame=0"):
        load(tmp_path / "a.csv", seconds_per_frame=0)
    monkeypatch.setattr(tables, "LONGEST_RECORD", 100)
    with pytest.raises(ValueError, match=r"of 3 columns take \d+ characters, expected at most 100"):
        load(tmp_path / "a.csv")
    assert formats.LONGEST_RECORD > 10_000


def test_damaged_tables_are_read_or_named(tmp_path):
    write_table(tmp_path / "a.csv", np.round(walk(12, 0), 2), "xyz")

    def quietly(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a damaged column may be constant
            assert isinstance(load(path).kind, Vectors)

    assert_damage_is_named(quietly, tmp_path / "a.csv", at_least=50)
