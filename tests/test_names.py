import pytest

from rnnrbm.names import nearest, suggestion

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
