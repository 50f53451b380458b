"""A table of results: trained, scored, kept and reported; gone on with; what is in the way is not replaced."""

import functools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import long_samples
from benchmarks.table1 import mixtures, page, reproduce, samples
from benchmarks.table1.__main__ import app
from rnnrbm import datasets
from rnnrbm.experiment import config, run
from rnnrbm.models.registry import MODELS
from rnnrbm.scoring.likelihood import Evaluator, frequent_states, log_likelihood

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder"))

ROW = """
[data]
source = "toy.npz"
[model]
name = "{name}"
n_hidden = 4
n_recurrent = 4
[training]
epochs = 2
k = 1
valid_every = 1
row_length = 16
context = 0
batch_size = 2
[evaluation]
n_chains = 2
n_temperatures = 5
[generation]
n_samples = 1
n_frames = 4
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A table of two rows, made in a folder of its own by the command."""
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    pieces = [(rng.random((20, 6)) < 0.3).astype(np.uint8) for _ in range(6)]
    names = {"train": ["a", "b", "c"], "valid": ["d", "e"], "test": ["f"]}
    toy = datasets.Dataset("toy", pieces[:3], pieces[3:5], pieces[5:], datasets.PianoRoll(60, 2), names)
    datasets.save(folder / "toy.npz", toy)
    table = folder / "tables" / "mine"
    table.mkdir(parents=True)
    for name in ("rnn", "rnn-rbm"):
        (table / f"toy-{name}.toml").write_text(ROW.format(name=name), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(app, ["reproduce", "tables/mine"])
        assert result.exit_code == 0, result.output
    return folder, table


def test_what_is_kept(made):
    folder, table = made
    rows = [json.loads((table / "results" / f"toy-{name}.json").read_text()) for name in ("rnn-rbm", "rnn")]
    assert [row["model"] for row in rows] == ["rnn-rbm", "rnn"]
    assert set(rows[0]["test"]) == {"ll", "raise"}
    assert rows[0]["test"]["raise"]["macro"] is not None  # fewer frames than would be drawn: all of them
    assert set(rows[1]["test"]) == {"ll"}
    for row in rows:
        assert (row["frames"], row["epochs"], row["seed"]) == (20, 2, 0)
        stem = f"toy-{row['model']}"
        evaluated = json.loads((folder / "runs/mine" / stem / "evaluations" / "toy-test.json").read_text())
        assert row["test"]["ll"]["micro"] == evaluated["log_likelihood"]["micro"]
        epochs = (table / "results" / f"{stem}.csv").read_text().splitlines()
        assert len(epochs) == 3
        # nothing was scored on test before
        assert json.loads((folder / "runs/mine" / stem / "results.json").read_text())["test_ll"] is None


def test_report(made):
    folder, table = made
    text = (folder / "docs/results.md").read_text(encoding="utf-8")
    ours = page.report(table, folder / "docs/results.md").replace(f"[`{table.as_posix()}`]", "[`tables/mine`]")
    assert text == ours.replace(f" {table.as_posix()} --data", " tables/mine --data")
    assert text != ours
    assert "(../tables/mine)" in text
    for name in ("rnn-rbm", "rnn"):
        row = json.loads((table / "results" / f"toy-{name}.json").read_text())
        line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        assert f"{row['test']['ll']['micro']:.3f}" in line
        assert ("exact" in line) == (name == "rnn")


def test_parameters_are_kept_and_nothing_else(made):
    folder, table = made
    assert [path.name for path in (table / "checkpoints").iterdir()] == ["toy-rnn-rbm"]  # others are not kept
    kept, whole = table / "checkpoints" / "toy-rnn-rbm", folder / "runs/mine" / "toy-rnn-rbm"
    trained, again = run.load(whole), run.load(kept)
    assert again.config == trained.config
    text = (kept / "config.toml").read_text(encoding="utf-8")
    assert "started_in" in (whole / "config.toml").read_text(encoding="utf-8")
    assert "started_in" not in text  # a path of the machine that trained
    assert "[run.data]" in text
    for ours, theirs in zip(trained.model.params, again.model.params, strict=True):
        np.testing.assert_array_equal(ours.get_value(), theirs.get_value())
    assert (kept / "checkpoint.npz").stat().st_size < 0.5 * (whole / "checkpoint.npz").stat().st_size


def test_made_rows_are_not_made_again_and_others_not_replaced(made, monkeypatch):
    folder, table = made
    monkeypatch.chdir(folder)
    monkeypatch.setattr(run, "train", lambda *a, **k: pytest.fail("trained again"))
    path, settings = next(reproduce.rows(table, model="rnn"))
    before = json.loads((table / "results" / "toy-rnn.json").read_text())
    assert reproduce.make_row(path, settings, folder / "nowhere") == before  # nothing is done, not even looked for
    said = CliRunner().invoke(app, ["reproduce", "tables/mine", "--model", "rnn"])
    assert "made on " in said.output
    assert "--again repeats it" in said.output
    other = settings.replaced({"generation.n_frames": 5})  # which does not ask for another training
    again = reproduce.make_row(path, other, folder / "runs/mine/toy-rnn")
    assert again["test"] == before["test"]
    with pytest.raises(ValueError, match=r"toy-rnn: holds a run of other settings than .*toy-rnn\.toml"):
        reproduce.make_row(path, settings.replaced({"training.seed": 3}), folder / "runs/mine/toy-rnn")


def test_a_row_survives_a_setting_that_is_off_and_no_other():
    """As one that a later version has: what the library did not know is what it leaves off."""
    known = config.Config().model_dump()

    class Later:
        def __init__(self, **changes):
            self.tables = known | {"training": known["training"] | changes}

        def model_dump(self):
            return self.tables

    mark = reproduce._mark(config.Config())
    assert all(reproduce._mark(Later(brand_new=off)) == mark for off in (False, None, 0, 0.0))
    assert known["training"]["n_proposals"] == 0
    for changes in ({"brand_new": True}, {"brand_new": 0.1}, {"n_proposals": 5}, {"epochs": 1}, {"patience": 0}):
        assert reproduce._mark(Later(**changes)) != mark, changes


def test_an_interrupted_row_goes_on(made, tmp_path, monkeypatch):
    """Again from where it was stopped: in training, and while the valid set is scored."""
    folder, table = made
    monkeypatch.chdir(folder)
    shutil.copytree(table, tmp_path / "t")
    path, settings = next(reproduce.rows(tmp_path / "t", model="rnn"))
    monkeypatch.setattr(reproduce, "Evaluator", functools.partial(Evaluator, rows=8))  # else it is done at once
    stages = []

    def progress(stage, done, total, row):
        stages.append(stage)

    for name in ("train", "valid"):
        with pytest.raises(run.Interrupted):
            reproduce.make_row(
                path,
                settings,
                tmp_path / "run",
                again=True,
                stop=lambda name=name: stages[-1] == name,
                progress=progress,
            )
    row = reproduce.make_row(path, settings, tmp_path / "run", again=True)
    before = json.loads((table / "results" / "toy-rnn.json").read_text())
    assert row["test"]["ll"]["micro"] == pytest.approx(before["test"]["ll"]["micro"])
    assert row["valid"] == pytest.approx(before["valid"])


def test_rows_that_are_not_there(made, tmp_path):
    _, table = made
    with pytest.raises(FileNotFoundError, match="no table there"):
        next(reproduce.rows(tmp_path))
    with pytest.raises(ValueError, match="has no row for jsb and rnn; it has toy-rnn-rbm, toy-rnn"):
        next(reproduce.rows(table, "jsb", "rnn"))


def test_samples_of_what_is_kept(made, monkeypatch):
    folder, _ = made
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["samples", "tables/mine", "--run", "runs/mine/toy-rnn", "--n-long", "512"])
    assert result.exit_code == 0, result.output
    page = (folder / "docs/samples.md").read_text(encoding="utf-8")
    files = {path.name for path in (folder / "docs/samples").iterdir()}
    names = ["toy-rnn", "toy-rnn-rbm"]
    assert files == {f"{name}-{i}.{kind}" for name in names for i in (1, 2) for kind in ("mid", "png")} | {"long.png"}
    assert all(f"(samples/{name})" in page for name in files)
    assert page.count("| samples |") == page.count("| test set |") == 2
    long = page[page.index("## Long samples") :]
    assert all(long.count(f"\n| {name} |") == 1 for name in names)
    assert long.count("\n| training set |") == 2


def test_a_mixture_of_seeds_its_row_and_its_sound(made, tmp_path, monkeypatch):
    folder, table = made
    copied = tmp_path / "tables" / "mine"
    shutil.copytree(table, copied)
    shutil.copy(folder / "toy.npz", tmp_path)
    monkeypatch.chdir(tmp_path)
    command = ["mix", "tables/mine", "--data", "toy.npz", "--model", "rnn-rbm", "--seeds", "2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    row = json.loads((copied / "mixtures" / "toy-rnn-rbm.json").read_text())
    kept, own = copied / "checkpoints" / "toy-rnn-rbm", tmp_path / "runs/mine/toy-rnn-rbm-seed1"
    assert mixtures.member_folders(copied / "toy-rnn-rbm.toml", tmp_path / "runs/mine", [0, 1]) == [kept, own]
    assert run.load(own).config.training.seed == 1
    assert json.loads((own / "results.json").read_text())["test_ll"] is None
    assert (row["seeds"], row["frames"], len(row["members_valid"])) == ([0, 1], 20, 2)
    mixed, _ = mixtures.load_mixture([kept, own])
    assert row["parameters"] == sum(p.get_value().size for p in mixed.params)
    states = frequent_states(datasets.load("toy.npz").train)
    how = {"n_chains": 2, "n_temperatures": 5, "exact_states": states, "seed": 0}
    assert row["test"]["micro"] == pytest.approx(mixed.log_likelihood(datasets.load("toy.npz").test, **how).mean)
    monkeypatch.setattr(run, "train", lambda *a, **k: pytest.fail("trained again"))
    assert CliRunner().invoke(app, command).exit_code == 0

    for best in (row["valid"] + 1, row["valid"] - 1):  # first the row's own model is the best, then the mixture
        stored = copied / "results" / "toy-rnn-rbm.json"
        stored.write_text(json.dumps(json.loads(stored.read_text()) | {"valid": best}))
        result = CliRunner().invoke(app, ["listen", "tables/mine", "--steps", "200"])
        assert result.exit_code == 0, result.output
        name = "toy-rnn-rbm" if best > row["valid"] else "toy-rnn-rbm-mixture"
        text = (tmp_path / "docs/listen.md").read_text(encoding="utf-8")
        assert f"## {name}\n" in text
        for kind in ("ogg", "mid", "png"):
            assert f"listen/{name}.{kind}" in text
            assert (tmp_path / f"docs/listen/{name}.{kind}").stat().st_size > 100
        assert text.count("\n| sample |") == text.count("\n| test set |") == 1


def test_a_summary_is_filled(made, tmp_path, monkeypatch):
    _, table = made
    copied = tmp_path / "tables" / "mine"
    shutil.copytree(table, copied)
    (tmp_path / "tables" / "more.md").write_text("| more |\n", encoding="utf-8")
    (copied / "summary.md").write_text("# All\n\n{table}\n\n{include more.md}\n", encoding="utf-8")
    made_rows = page._read(copied)
    for row, data in zip(made_rows, ("jsb", "jsb"), strict=True):
        row["data"] = data
    mixed = [{"data": "jsb", "model": "rnn", "seeds": [0, 1], "test": {"micro": -0.5}}]
    lines = page.short_table(made_rows, mixed)
    assert lines[0] == "| | JSB chorales |"
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["RNN-RBM", "RNN", "mixture of 2 RNNs"]
    assert lines[-1] == "| mixture of 2 RNNs | **-0.50** |"
    assert "(-6.27) |" in lines[2]
    assert "**" not in lines[2]
    monkeypatch.setattr(page, "short_table", lambda *a: ["| the table |"])
    text = page.report(copied, tmp_path / "results.md")
    assert text.startswith("# All\n\n| the table |\n\n| more |\n")
    assert text.count("# Results") == 0
    assert "## Every score" in text


def test_rules_of_long_samples(tmp_path):
    rng = np.random.default_rng(0)
    train = 4 + rng.normal(size=200)
    like = long_samples.Levels(rng.choice(train, (64, 8)), train, 4.0)
    assert like.passes
    assert like.drawn().passes
    growing = like._replace(levels=like.levels + np.linspace(-0.4, 0.4, 8))
    assert max(abs(growing.apart)) < long_samples.MEAN
    assert growing.ends > long_samples.ENDS
    assert not growing.passes
    fuller = like._replace(levels=like.levels + 0.7)
    assert max(abs(fuller.apart)) > long_samples.MEAN
    assert not fuller.passes
    few = like._replace(levels=np.where(np.arange(64)[:, None] < 4, 9.0, like.levels))  # one sample in sixteen
    assert max(abs(few.apart)) < long_samples.MEAN
    assert few.ends == pytest.approx(like.ends, abs=0.02)
    assert not few.passes
    assert "DOES NOT PASS" in few.line("few")
    long_samples.draw([("a", like), ("b", growing), ("c", few), ("d", like)], tmp_path / "long.png")
    assert (tmp_path / "long.png").stat().st_size > 10_000


def test_statistics_tell_a_copy_from_a_new_piece():
    rng = np.random.default_rng(0)
    train = [np.pad((rng.random((60, 20)) < 0.2).astype(np.uint8), ((0, 0), (4, 4))) for _ in range(3)]
    new = [np.pad((rng.random((16, 20)) < 0.2).astype(np.uint8), ((0, 0), (4, 4))) for _ in range(3)]
    copied = [np.roll(roll, 2, axis=1) for roll in samples.excerpts(train, 16, 3)]
    ours, theirs = (samples.statistics(x, train, low=60, keys=(-3, 3)) for x in (new, copied))
    assert (theirs["nearest"], theirs["longest_copy"]) == (0.0, 16.0)
    assert ours["nearest"] > 3
    assert ours["longest_copy"] <= 1
    assert ours["notes_per_frame"] == pytest.approx(np.concatenate(new).sum(axis=1).mean())
    assert [len(x) for x in samples.excerpts(train, 99, 2)] == [60, 60]
    # joined of pieces that are shorter than a sample, it is a copy still
    joined = [np.concatenate([train[0][:20], train[1][:20], train[2][:20]])]
    short = [piece[:20] for piece in train]
    s = samples.statistics(joined, short, low=60, keys=(0, 0), window=10)
    assert (s["nearest"], s["longest_copy"]) == (0.0, 20.0)


def test_a_gallery_needs_checkpoints_and_a_page(made, tmp_path):
    _, table = made
    with pytest.raises(FileNotFoundError, match="no checkpoint there"):
        samples.write_gallery(tmp_path, tmp_path / "samples.md")
    with pytest.raises(ValueError, match=r"expected a Markdown file, such as docs/samples\.md"):
        samples.write_gallery(table / "checkpoints", tmp_path / "samples")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")
def test_the_committed_tables(pytestconfig, monkeypatch):
    """Every configuration can be used and is called after what it is."""
    monkeypatch.setattr(datasets, "load", functools.cache(datasets.load))  # seven rows for each set
    tables = [
        path for path in (pytestconfig.rootpath / "benchmarks").iterdir() if path.is_dir() and any(path.glob("*.toml"))
    ]
    assert tables
    for table in tables:
        for path, settings in reproduce.rows(table):
            assert path.stem == f"{settings.data.source}-{settings.model.name}"
            run.resolved(settings)
            assert settings.evaluation.test
            if (kept := path.parent / "results" / f"{path.stem}.json").exists():
                assert reproduce.finished(path, settings) == json.loads(kept.read_text()), f"{path}: not of that row"


def test_models_of_the_paper_are_there_and_tests_are_scored_by_default():
    assert set(reproduce.PUBLISHED) - {"rnn-nade (HF)"} <= set(MODELS)
    assert config.Config().evaluation.test


CHECKPOINTS = sorted(
    path.parent.name for path in (Path(__file__).parents[2] / "benchmarks/table1/checkpoints").glob("*/checkpoint.npz")
)


@pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")
@pytest.mark.parametrize(
    "name", [name if name == "jsb-rnn-nade" else pytest.param(name, marks=pytest.mark.slow) for name in CHECKPOINTS]
)
def test_the_committed_checkpoints_score_what_is_said(pytestconfig, name):
    table = pytestconfig.rootpath / "benchmarks" / "table1"
    row = json.loads((table / "results" / f"{name}.json").read_text())
    trained = run.load(table / "checkpoints" / name)
    assert (trained.config.model.name, trained.config.data.source) == (row["model"], row["data"])
    data = run.load_data(trained.config.data)
    said = row["test"]["ll"]["micro"]
    if trained.model.normalized:
        scored = log_likelihood(trained.model, data.test)
        assert scored.mean == pytest.approx(said, abs=2e-6)  # on the machine of the table: 4e-9
    else:
        states = frequent_states(data.train)
        scored = log_likelihood(trained.model, data.test, n_chains=5, n_temperatures=200, exact_states=states)
        assert scored.mean == pytest.approx(said, abs=0.05)
    assert sum(map(len, scored.frames)) == row["frames"]


def test_checkpoints_of_both_models_are_there():
    assert {"jsb-rnn-rbm", "jsb-rnn-nade", "musedata-rnn-nade", "nottingham-rnn-nade", "piano-midi-rnn-nade"} <= set(
        CHECKPOINTS
    )
