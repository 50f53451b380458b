from typing import Any

import numpy as np
import pytest
import scipy.sparse

import rnnrbm
from rnnrbm.arguments import as_array, as_pieces, nearest, number, suggestion, whole_number
from rnnrbm.datasets import Dataset, PianoRoll, Vectors, save
from rnnrbm.io import midi
from rnnrbm.io.rolls import check_roll

SETTINGS = ["training.epochs", "training.learning_rate", "model.n_hidden", "data.seed", "training.seed"]


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("epochs", SETTINGS, "training.epochs"),
        ("epoch", SETTINGS, "training.epochs"),
        ("model.epochs", SETTINGS, "training.epochs"),  # the last part counts more than the first
        ("model.n_hid", SETTINGS, "model.n_hidden"),
        ("lr", SETTINGS, "training.learning_rate"),
        ("training.lr", SETTINGS, "training.learning_rate"),
        ("training.learning-rate", SETTINGS, "training.learning_rate"),
        ("JSB", ["bach", "jsb"], "jsb"),
        ("RNN-RBM", ["rnn-nade", "rnn-rbm"], "rnn-rbm"),
        ("rnnrbm", ["rnn-nade", "rnn-rbm"], "rnn-rbm"),
        ("trainin.k", ["training.k", "generation.k"], "training.k"),
        ("piano", ["bach", "piano-midi"], "piano-midi"),
        ("wholly different", SETTINGS, None),
        ("", SETTINGS, None),
        ("", ["_", "a"], None),
        ("a", [], None),
    ],
)
def test_the_nearest_name(name: str, known: list[str], expected: str | None) -> None:
    assert nearest(name, known) == expected


def test_a_suggestion_names_the_nearest_or_all() -> None:
    assert suggestion("bahc", ["bach", "jsb"]) == "did you mean 'bach'?"
    assert suggestion("x", ["bach", "jsb"]) == "known are bach, jsb"


@pytest.mark.parametrize("value", [3, 3.0, np.int8(3), np.float32(3), np.array(3)])
def test_whole_numbers_of_every_type_are_ints(value: object) -> None:
    number = whole_number("n", value, 1, 3)
    assert type(number) is int
    assert number == 3


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (2.5, ValueError),
        (0, ValueError),
        (4, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (True, TypeError),
        ("3", TypeError),
        (None, TypeError),
        ([3], TypeError),
    ],
)
def test_anything_else_is_refused_by_name(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^n=.*expected a whole number, 1 to 3$"):
        whole_number("n", value, 1, 3)


# --- arrays and pieces ------------------------------------------------------------------------------


class Tensor:
    """What another library calls an array."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values if dtype is None else self.values.astype(dtype)


ROLL = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)


@pytest.mark.parametrize(
    "pieces",
    [
        ROLL,
        [ROLL],
        (ROLL.tolist(),),
        [ROLL.tolist()],
        ROLL[None],
        scipy.sparse.csc_matrix(ROLL),
        [scipy.sparse.coo_array(ROLL)],
        Tensor(ROLL),
        Tensor(ROLL[None]),
        [Tensor(ROLL)],
    ],
    ids=[
        "a matrix",
        "a list of arrays",
        "a tuple of lists",
        "nested lists",
        "three dimensions",
        "a sparse matrix",
        "a list of sparse arrays",
        "a tensor",
        "a tensor of three dimensions",
        "a list of tensors",
    ],
)
def test_pieces_in_any_form(pieces: Any) -> None:
    (piece,) = as_pieces(pieces, 3)
    np.testing.assert_array_equal(piece, ROLL)
    assert isinstance(piece, np.ndarray)


def test_pieces_of_different_lengths() -> None:
    several = as_pieces([ROLL, ROLL[:1].tolist(), scipy.sparse.csr_matrix(ROLL)])
    assert [piece.shape for piece in several] == [(2, 3), (1, 3), (2, 3)]
    unequal = np.empty(2, object)
    unequal[:] = [ROLL, ROLL[:1]]
    assert [piece.shape for piece in as_pieces(unequal)] == [(2, 3), (1, 3)]


@pytest.mark.parametrize(
    ("pieces", "error", "message"),
    [
        ([], ValueError, r"^there is no piece; give at least one array \(T, n_visible\)$"),
        ([ROLL[0]], ValueError, r"piece 0 has shape \(3,\), .*; put a single piece into a list$"),
        (ROLL.tolist(), ValueError, r"put a single piece into a list$"),
        ([ROLL[:0]], ValueError, r"piece 0 has shape \(0, 3\), expected \(T, 3\) with T of 1 or more$"),
        ([ROLL[:, :0]], ValueError, r"piece 0 has shape \(2, 0\), expected \(T, n_visible\)"),
        ([ROLL, ROLL[:, :2]], ValueError, r"piece 1 has shape \(2, 2\), expected \(T, 3\)"),
        ([ROLL[None]], ValueError, r"piece 0 has shape \(1, 2, 3\)"),
        ([[[0, 1], [0]]], ValueError, r"^piece 0: rows of different lengths; expected an array"),
        ([[["a", "b"]]], TypeError, r"^piece 0: values of type <U1; expected an array of numbers$"),
        ([None], TypeError, r"^piece 0: got NoneType; expected an array of numbers$"),
        (np.float64(3), TypeError, r"^expected a list of arrays .*, got (float64|ndarray)"),
        ({"train": [ROLL]}, TypeError, r"^expected a list of arrays .*, got dict; for a data set, give one of its"),
        ("bach", TypeError, r"^expected a list of arrays .*, got str"),
        (iter([ROLL]), TypeError, r"^expected a list of arrays .*, got list_iterator"),
        (None, TypeError, r"^expected a list of arrays .*, got NoneType"),
    ],
)
def test_what_are_no_pieces(pieces: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_pieces(pieces)


def test_masked_values_are_refused():
    whole = np.ma.array([[1, 0], [0, 1]])
    np.testing.assert_array_equal(as_array(whole, "x"), [[1, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"x: 1 values are masked; fill them first, array\.filled\(0\)"):
        as_array(np.ma.array([[1, 0], [0, 1]], mask=[[0, 1], [0, 0]]), "x")
    with pytest.raises(ValueError, match="roll: 1 values are masked"):
        check_roll(np.ma.array([[1, 0], [0, 1]], mask=[[0, 1], [0, 0]]))


def test_objects_that_are_numbers_are_read():
    array = as_array(np.array([[1, 0.5], [np.int8(2), True]], object), "x")
    assert array.dtype == float
    np.testing.assert_array_equal(array, [[1, 0.5], [2, 1]])
    for wrong in ("1", None, 1j):
        with pytest.raises(TypeError, match="x: values of type object"):
            as_array(np.array([[1, wrong]], object), "x")


@pytest.mark.parametrize("value", [1, 1.5, np.float32(2), np.int64(3)])
def test_number(value):
    assert number("x", value, "some number") == float(value)


@pytest.mark.parametrize("value", ["1", True, None, [1], 1j])
def test_number_of_another_type(value):
    with pytest.raises(TypeError, match=r"x=.*: expected hertz"):
        number("x", value, "hertz")


@pytest.mark.parametrize(
    ("value", "limits"),
    [(float("nan"), {}), (float("inf"), {}), (0, {"above": 0.0}), (1, {"least": 2.0}), (3, {"most": 2.0})],
)
def test_number_out_of_range(value, limits):
    with pytest.raises(ValueError, match=r"x=.*: expected hertz"):
        number("x", value, "hertz", **limits)


def test_options_that_are_not_there_and_truth():
    with pytest.raises(TypeError, match=r"write\(\) has no option 'tempi'; did you mean 'tempo'\?"):
        midi.write("a.mid", [[1]], tempi=3)
    for wrong in ("yes", 1, None):
        with pytest.raises(TypeError, match=f"drums={wrong!r}: expected True or False"):
            midi.read("a.mid", drums=wrong)


@pytest.mark.parametrize("wrong", [None, 5, [], {}])
def test_what_is_no_path_is_named(wrong):
    calls = [rnnrbm.load, rnnrbm.load_model, rnnrbm.State.load, rnnrbm.State().save, midi.read]
    for call in [*calls, lambda path: midi.write(path, [[1]])]:
        with pytest.raises(TypeError, match=r"of type \w+: expected the path of a"):
            call(wrong)


def test_other_types_are_named(tmp_path):
    model = rnnrbm.build("rnn-rbm", 3, n_hidden=2, n_recurrent=2, seed=0)
    model.save(tmp_path / "m.npz")
    ones = [np.ones((4, 3), np.uint8)]
    for call, message in (
        (lambda: rnnrbm.fit(model, ones, state="x"), r"state is a str; expected a State, which State\.load"),
        (lambda: rnnrbm.fit(model, ones, stop=range(3)), "stop is a range; expected a function"),
        (lambda: Dataset("x", ones, ones, ones, PianoRoll(), names="x"), "names is a str; expected a dictionary"),
        (lambda: save("z.npz", None), "dataset is a NoneType; expected a Dataset"),
        (
            lambda: rnnrbm.load_model(tmp_path / "m.npz", classes=["x"]),
            "expected a list of classes, not of their names",
        ),
    ):
        with pytest.raises(TypeError, match=message):
            call()
    with pytest.raises(ValueError, match=r"x, train\[0\]: 1 values are masked"):
        Dataset("x", [np.ma.array([[1.0, 2.0]], mask=[[0, 1]])], [], [], Vectors())
