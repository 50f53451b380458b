import numpy as np
import pytest

from rnnrbm.arguments import nearest, suggestion, whole_number

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
