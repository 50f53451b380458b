"""Settings: what is read is what was written, and what cannot be used is named."""

import inspect
import pydoc
import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rnnrbm.experiment import config
from rnnrbm.experiment.config import Config, ConfigError, Training
from rnnrbm.training.settings import Variant


def test_defaults_are_valid_and_frozen():
    settings = Config()
    assert settings == Config.from_dict({})
    with pytest.raises(ValidationError, match="frozen"):
        settings.training.epochs = 3
    with pytest.raises(ValidationError, match="frozen"):
        settings.training = Training()


CHANGED = {
    "data.source": 'a "quoted" folder\\ä',
    "data.steps_per_beat": 4,
    "data.seconds_per_frame": 0.1,
    "data.original_key": True,
    "data.split": (0.5, 0.25, 0.25),
    "data.seed": 3,
    "data.low": 30,
    "data.high": 90,
    "data.drums": False,
    "data.rule": "published",
    "model.cell": "sigmoid",
    "model.n_hidden": 7,
    "training.k": 15,
    "training.learning_rate": 1e-4,
    "training.transpose_range": (0, 0),
    "evaluation.n_chains": 2,
    "generation.tempo": 61.7,
}


def test_the_template_is_the_defaults_explained(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(config.template(), encoding="utf-8")
    assert config.read(path) == Config()
    lines = path.read_text(encoding="utf-8").splitlines()
    for name, table in Config().model_dump().items():
        first = lines.index(f"[{name}]")
        last = next((i for i in range(first + 1, len(lines)) if lines[i].startswith("[")), len(lines))
        for key, value in table.items():
            rows = [i for i in range(first, last) if lines[i].removeprefix("# ").startswith(f"{key} =")]
            assert len(rows) == 1, key
            assert lines[rows[0]].startswith("# ") == (value is None)
            assert any(line.startswith("# ") for line in lines[max(0, rows[0] - 4) : rows[0]])
    assert not any(":func:" in line or "``" in line for line in lines)
    # a default of the model needs nothing but its mark of a comment taken away
    path.write_text(re.sub(r"(?m)^# (\w+ = [^.])", r"\1", path.read_text(encoding="utf-8")), encoding="utf-8")
    assert config.read(path).model.n_hidden == 256
    assert config.read(path).model.cell == "gru"


def test_written_and_read_back(tmp_path):
    path = tmp_path / "config.toml"
    for settings in (Config(), Config().replaced(CHANGED), Config().replaced({"training.k": [(0.0, 1), (0.25, 3)]})):
        config.write(path, settings, run={"version": "1.2", "seed": 3})
        assert config.read(path) == settings
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        assert tables.pop("run") == {"version": "1.2", "seed": 3}
        # every setting is there, except those that are not set
        assert {n: set(t) for n, t in tables.items()} == {
            name: {key for key, value in table.items() if value is not None}
            for name, table in settings.model_dump().items()
        }
        assert len(tables["data"]) == (10 if settings.data.drums is False else 1)
    assert [p.name for p in tmp_path.iterdir()] == ["config.toml"]


@given(
    st.floats(1e-30, 1e30),
    st.integers(0, 2**40),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sets(st.floats(0.001, 0.999), max_size=4),
)
def test_any_value_survives_the_file(tmp_path_factory, rate, seed, source, begins):
    stages = [(b, i + 1) for i, b in enumerate([0.0, *sorted(begins)])]
    changes = {"training.learning_rate": rate, "training.seed": seed, "data.source": source, "training.k": stages}
    settings = Config().replaced(changes)
    path = tmp_path_factory.getbasetemp() / "any.toml"
    config.write(path, settings)
    assert config.read(path) == settings
    assert settings.training.k == stages


def test_what_a_file_leaves_out_has_its_default(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("[training]\nepochs = 3\nk = [[0.0, 1], [0.5, 4]]\n")
    settings = config.read(path)
    assert settings == Config(training=Training(epochs=3, k=[(0.0, 1), (0.5, 4)]))
    assert settings.model == Config().model


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[training]\nepoch = 3", r"unknown key 'training\.epoch'; did you mean 'training\.epochs'\?"),
        (
            "[training]\nlearning-rate = 3",
            r"unknown key 'training\.learning-rate'; did you mean 'training\.learning_rate'\?",
        ),
        ("[model]\nepochs = 3", r"unknown key 'model\.epochs'; did you mean 'training\.epochs'\?"),
        ("[model]\nn_hid = 3", r"unknown key 'model\.n_hid'; did you mean 'model\.n_hidden'\?"),
        ("[trainning]\nepochs = 3", r"unknown table or key 'trainning'; did you mean 'training'\?"),
        ("epochs = 3", r"unknown table or key 'epochs'; did you mean 'training\.epochs'\?"),
        (
            "[model]\nzzzzzzzzzzzz = 3",
            r"unknown key 'model\.zzzzzzzzzzzz'; known are data\.source, .*generation\.tempo",
        ),
        ("[training]\nepochs = 'many'", r"training\.epochs: expected a number, without quotes, got 'many'"),
        ("[training]\nepochs = 2.5", r"training\.epochs: .*integer.*got 2\.5"),
        ("[training]\nepochs = -1", r"training\.epochs: .*greater than or equal to 0, got -1"),
        ("[training]\nlearning_rate = 0.0", r"training\.learning_rate: .*greater than 0, got 0\.0"),
        ("[training]\nlearning_rate = inf", r"training\.learning_rate: .*finite.*got inf"),
        ("[training]\nclip = nan", r"training\.clip: .*got nan"),
        ("[training]\nstate_dropout = 1.0", r"training\.state_dropout: .*less than 1, or stages.*got 1\.0"),
        ("[training]\noptimiser = 'adamw'", r"training\.optimiser: .*'adam'.*'sgd'.*got 'adamw'"),
        ("[training]\nepochs = true", r"training\.epochs: expected a number, not true or false, got True"),
        ('[training]\nepochs = "3"', r"training\.epochs: expected a number, without quotes, got '3'"),
        ("[training]\nk = true", r"training\.k: expected a whole number of at least 1, .*got True"),
        ("[training]\ntranspose_range = [1, 3]", r"training\.transpose_range: must be a range around 0.*got"),
        ("[training]\ntranspose_range = [-1]", r"training\.transpose_range: "),
        (
            "[training]\nrow_length = 8\ncontext = 5",
            r"training: context \(5\) must be at most half of row_length \(8\)$",
        ),
        (
            "[training]\nk = 0",
            r"mine\.toml: training\.k: expected a whole number of at least 1, or stages .* as in \[\[0\.0, 2\], "
            r"\[0\.5, 10\]\], got 0$",
        ),
        (
            "[training]\nk = [[0.0, 0]]",
            r"training\.k: expected a whole number of at least 1, or stages.*\[\[0\.0, 0\]\]$",
        ),
        ("[training]\nk = 'x'", r"mine\.toml: training\.k: expected a whole number of at least 1, or [^;]*, got 'x'$"),
        ("[training]\nlr = 3", r"unknown key 'training\.lr'; did you mean 'training\.learning_rate'\?"),
        ("[training]\nk = []", r"training\.k: stages must begin at 0\.0"),
        ("[training]\nk = [[0.5, 2]]", r"training\.k: stages must begin at 0\.0"),
        ("[training]\nk = [[0.0, 2], [0.5, 3], [0.5, 4]]", r"training\.k: stages must .* follow each other"),
        ("[training]\nk = [[0.0, 2], [0.6, 3], [0.5, 4]]", r"training\.k: stages must .* follow each other"),
        (
            "[training]\ntranspose_prob = 1.5",
            r"training\.transpose_prob: expected a number between 0 and 1, or stages .* as in \[\[0\.0, 1\.0\], "
            r"\[0\.75, 0\.5\]\], got 1\.5$",
        ),
        (
            "[training]\ntranspose_prob = true",
            r"training\.transpose_prob: expected a number between 0 and 1, .*got True$",
        ),
        (
            "[training]\nn_proposals = 577",
            r"training: n_proposals \(577\) must be at most the frames of a batch, row_length x batch_size \(576\)$",
        ),
        (
            "[training]\npersistent = true\nn_proposals = 2",
            r"training: persistent chains do not start from n_proposals \(2\) frames: set only one of the two$",
        ),
        (
            "[training]\npersistent = true",
            r"mine\.toml: training: persistent chains need biases that are the same for all frames: "
            r'model "rbm" or "conv-rbm", not "rnn-rbm"$',
        ),
        ("[training]\ntranspose_prob = [[0.1, 1.0]]", r"training\.transpose_prob: stages must begin at 0\.0"),
        ("[training]\nvalid_n_chains = 1", r"training\.valid_n_chains: .*greater than or equal to 2, got 1"),
        ("[data]\nsplit = [0.5, 0.5, 0.0]", r"data\.split: .*greater than 0"),
        ("[data]\nrule = 'strict'", r"data\.rule: .*'sounding' or 'published', got 'strict'"),
        ("[data]\nhigh = -1", r"data\.high: .*greater than or equal to 0, got -1"),
        ("[data]\nseconds_per_frame = 0.0", r"data\.seconds_per_frame: .*greater than 0, got 0\.0"),
        ("[data]\nsource = 3", r"data\.source: .*string.*got 3"),
        ("training = 3", r"training: .*got 3"),
        ("[training", r"not a TOML file: Expected '\]'.*at "),
        ("[training]\nepochs = 3\nepochs = 4", r"not a TOML file"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        config.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = " + "[" * 50_000, "not a TOML file: maximum recursion"),
        ("x = " + "{a=" * 20_000, "not a TOML file: maximum recursion"),
        ("x = " + "[" * 100_000, "has 100004 bytes, expected at most 65536 of a configuration"),
        (".".join("a" * 30_000) + " = 1", "has a key of 20 parts or more"),
        ("[" + " . ".join(['"a"', "b"] * 10) + "]\nx = 1", "has a key of 20 parts or more"),
        ("x = {" + ".".join("a" * 20_000) + " = 1}", "has a key of 20 parts or more"),
        ("[training]\nseed = " + "1" * 5000, "not a TOML file: Exceeds the limit"),
        ("[training]\nseed = 0x" + "f" * 5000, "not a TOML file: it has a whole number of more than 64 bits"),
        ("[training]\nseed = 9223372036854775808", "more than 64 bits"),
        ("[training]\ntranspose_range = [[[-9223372036854775809]]]", "more than 64 bits"),
        ("[training]\nepochs = '" + "x" * 10_000 + "'", r"training\.epochs: .* \.\.\. x+'$"),
    ],
)
def test_what_no_file_should_hold_is_named_briefly(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        config.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 1000


def test_whole_numbers_of_64_bits_are_read(tmp_path):
    (tmp_path / "a.toml").write_text("[training]\nseed = 9223372036854775807")
    assert config.read(tmp_path / "a.toml").training.seed == 2**63 - 1


def test_all_faults_are_named_at_once():
    with pytest.raises(ConfigError, match=r"mine: .*model\.n_hiden.*'model\.n_hidden'.*training\.epochs"):
        Config.from_dict({"training": {"epochs": -1}, "model": {"n_hiden": 3}}, where="mine")


def test_files_that_are_no_text(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"a\.toml: byte 0 is not UTF-8"):
        config.read(path)
    with pytest.raises(
        FileNotFoundError, match=r"none\.toml: there is no such file; give .* a configuration, a TOML file$"
    ):
        config.read(tmp_path / "none.toml")
    with pytest.raises(IsADirectoryError, match=r": is a folder; give the path of a configuration"):
        config.read(tmp_path)


def test_settings_by_name():
    assert Training.named({"epochs": 3, "k": 2}) == Training(epochs=3, k=2)
    with pytest.raises(ConfigError, match=r"^fit: unknown setting 'lr'; did you mean 'learning_rate'\?$"):
        Training.named({"lr": 3}, where="fit")
    with pytest.raises(ConfigError, match=r"^fit: epochs: .*got -1; unknown setting 'optimizer'; .*'optimiser'\?$"):
        Training.named({"epochs": -1, "optimizer": "sgd"}, where="fit")
    with pytest.raises(
        ConfigError, match=r"^training: settings: context \(9\) must be at most half of row_length \(4\)$"
    ):
        Training.named({"context": 9, "row_length": 4})


# --- changes ----------------------------------------------------------------------------------------


def test_replaced_changes_only_what_is_asked():
    settings = Config()
    changed = settings.replaced(CHANGED)
    tables, before = changed.model_dump(), settings.model_dump()
    for key, value in CHANGED.items():
        table, name = key.split(".")
        assert tables[table].pop(name) == value
        del before[table][name]
    assert tables == before
    assert settings == Config()
    assert settings.replaced({}) == settings


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.epoch", 1, r"^unknown key 'training\.epoch'; did you mean 'training\.epochs'\?"),
        ("epochs", 1, r"^'epochs' is no setting; did you mean 'training\.epochs'\?"),
        ("trainin.epochs", 1, r"'trainin\.epochs' is no setting; did you mean 'training\.epochs'\?"),
        ("training", {}, r"'training' is no setting"),
        ("training.", 1, r"'training\.' is no setting"),
        ("", 1, r"'' is no setting; known are "),
        ("training.epochs.x", 1, r"unknown key 'training\.epochs\.x'; did you mean 'training\.epochs'\?"),
        ("training.epochs", "x", r"^training\.epochs: .*got 'x'"),
        ("training.context", 1000, r"^training: context \(1000\) must be at most half of row_length \(\d+\)$"),
    ],
)
def test_replaced_refuses(key, value, message):
    with pytest.raises(ConfigError, match=message):
        Config().replaced({key: value})


# --- stages of k ------------------------------------------------------------------------------------


def test_k_at():
    assert [Training(epochs=3, k=7).k_at(e) for e in range(3)] == [7, 7, 7]
    staged = Training(epochs=10, k=[(0.0, 2), (0.4, 5), (0.8, 10)])
    assert [staged.k_at(e) for e in range(10)] == [2] * 4 + [5] * 4 + [10] * 2
    # a stage begins with the first epoch at or after its share: 0.25 of 10 epochs is reached by epoch 3
    assert [Training(epochs=10, k=[(0.0, 1), (0.25, 2)]).k_at(e) for e in (2, 3)] == [1, 2]
    assert Training(epochs=1).k_at(0) == 2
    shares = Training(epochs=10, transpose_prob=[(0.0, 1.0), (0.9, 0.25)])
    assert [shares.transpose_prob_at(e) for e in range(10)] == [1.0] * 9 + [0.25]
    assert [Training(epochs=e, transpose_prob=[(0.0, 1.0), (0.9, 0.25)]).transpose_prob_at(e) for e in (0, 5)] == [
        0.25,
        0.25,
    ]
    assert Training(transpose_prob=0.4).transpose_prob_at(7) == 0.4
    dropped = Training(epochs=20, k=3, state_dropout=0.4, input_dropout=[(0.0, 0.2), (0.95, 0.0)])
    assert [dropped.variant_at(e) for e in (18, 19)] == [Variant(3, 0.2, 0.4), Variant(3, 0.0, 0.4)]
    assert Training(epochs=0, k=[(0.0, 3), (0.5, 4)]).k_at(0) in (3, 4)


@pytest.mark.parametrize("epochs", [1, 20, 100, 150, 300])
def test_a_stage_begins_exactly_at_its_share(epochs):
    """Shares are decimal numbers to the person who writes them: 0.55 of 100 epochs are 55."""
    for percent in range(1, 100):
        settings = Training(epochs=epochs, k=[(0.0, 1), (percent / 100, 2)])
        first = -(-percent * epochs // 100)  # rounded up
        assert settings.k_at(first) == 2, percent
        assert settings.k_at(first - 1) == 1, percent


@pytest.mark.parametrize("table", [config.Training, config.Data, config.Model, config.Evaluation, config.Generation])
def test_help_shows_plain_types(table):
    text = pydoc.render_doc(table, renderer=pydoc.plaintext)
    head = text.partition("Method resolution order")[0]
    assert "Validator" not in text.partition("Data and other attributes")[0]
    assert "Annotated" not in head
    signature = inspect.signature(table)
    assert list(signature.parameters) == list(table.model_fields)
    for name, parameter in signature.parameters.items():
        assert parameter.default == getattr(table(), name)


def test_the_signature_of_the_training():
    parameters = inspect.signature(config.Training).parameters
    shown = {name: str(parameters[name]) for name in ("epochs", "k", "optimiser", "transpose_range")}
    assert shown == {
        "epochs": "epochs: int = 200",
        "k": "k: int | list[tuple[float, int]] = [(0.0, 2), (0.4, 5), (0.8, 10)]",
        "optimiser": "optimiser: Literal['adam', 'rmsprop', 'momentum', 'sgd'] = 'adam'",
        "transpose_range": "transpose_range: tuple[int, int] | None = None",
    }
