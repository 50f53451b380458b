"""Runs of several seeds: their folders, what is skipped, resumed or refused, and that nothing is trained twice."""

import json
import shutil
from pathlib import Path

import pytest
from helpers import FIGURES, PARTS, metrics_of, refused, rnnrbm, same_training, save_data, some_pieces, tiny

from rnnrbm.experiment import config, run
from rnnrbm.experiment.config import ConfigError
from rnnrbm.experiment.seeds import plan, train_seeds

QUICK = {"model.name": "mlp", "training.epochs": 2, "generation.n_samples": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return save_data(tmp_path_factory.mktemp("data") / "toy.npz")


@pytest.fixture(scope="module")
def settings(data):
    return tiny(data, **QUICK)


@pytest.fixture(scope="module")
def two(tmp_path_factory, settings) -> Path:
    """Runs of the seeds 3 and 4, of which the second was stopped once and resumed."""
    base = tmp_path_factory.mktemp("seeds") / "a"
    own, trained = settings.replaced({"training.seed": 3}), []
    training = train_seeds(plan(own, 2, base), stop=lambda: len(trained) == 1, vector="svg")
    trained.append(next(training))
    with pytest.raises(run.Interrupted):
        next(training)
    states = [(each.seed, each.folder.name, each.state) for each in plan(own, 2, base)]
    assert states == [(3, "seed-3", "ended"), (4, "seed-4", "begun")]
    assert [each.seed for each in train_seeds(plan(own, 2, base))] == [3, 4]
    return base


def test_each_seed_is_an_ordinary_run(two, settings, tmp_path):
    assert {path.name for path in two.iterdir()} == {"seed-3", "seed-4"}
    for seed in (3, 4):
        assert {path.name for path in (two / f"seed-{seed}").iterdir()} == PARTS
        assert len(metrics_of(two / f"seed-{seed}")) == 2
    run.train(settings.replaced({"training.seed": 4}), tmp_path / "alone")
    same_training(tmp_path / "alone", two / "seed-4")


def test_what_has_ended_is_not_trained_again(two, settings, monkeypatch):
    own = settings.replaced({"training.seed": 3})
    monkeypatch.setattr(run, "train", lambda *a, **k: pytest.fail("trained again"))
    assert [each.state for each in train_seeds(plan(own, 2, two))] == ["ended", "ended"]
    assert [each.state for each in plan(own, 3, two)] == ["ended", "ended", "new"]


def test_a_run_without_its_last_figure_is_not_whole(two, settings, tmp_path):
    base = shutil.copytree(two, tmp_path / "b")
    figures = base / "seed-3" / "figures"
    drawn = FIGURES - {"filters.png"}  # an MLP has none
    assert {path.name for path in figures.iterdir()} == drawn | {f"{name[:-4]}.svg" for name in drawn}
    assert (figures / "sample.svg").read_text().startswith("<?xml")
    (figures / "statistics.png").unlink()
    planned = plan(settings.replaced({"training.seed": 3}), 2, base)
    assert [each.state for each in planned] == ["begun", "ended"]
    assert [each.seed for each in train_seeds(planned)] == [3, 4]
    assert {path.name for path in figures.iterdir()} == drawn  # vector figures of before would be of another drawing
    assert {path.suffix for path in (figures.parent / "samples").iterdir()} == {".mid", ".wav", ".png"}


def test_samples_are_drawn_in_vectors_too(two, tmp_path):
    files = run.write_samples(run.load(two / "seed-4"), some_pieces([9], 0), tmp_path, vector="pdf")
    assert [file.name for file in files] == [f"sample-1.{suffix}" for suffix in ("mid", "wav", "png", "pdf")]
    assert files[-1].read_bytes().startswith(b"%PDF-")


def test_other_settings_are_refused_before_any_training(two, settings, tmp_path):
    other = settings.replaced({"training.seed": 3, "model.n_hidden": 9})
    with pytest.raises(
        ConfigError, match=r"seed-3: holds a run of other settings: model\.n_hidden is 8, not 9; choose"
    ):
        plan(other, 2, two)
    with pytest.raises(ConfigError, match=r"model\.window is its default, not 4"):
        plan(settings.replaced({"training.seed": 3, "model.window": 4}), 2, two)
    with pytest.raises(ConfigError, match="holds a run itself"):
        plan(settings, 2, two / "seed-3")
    with pytest.raises(ConfigError, match="seeds is 1: expected at least 2"):
        plan(settings, 1, two)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is a file; choose another folder"):
        plan(settings, 2, tmp_path / "file")
    base = shutil.copytree(two, tmp_path / "b")
    path = base / "seed-3" / "config.toml"
    path.write_text(path.read_text().replace("[run.chosen]", "[run.other]"))
    with pytest.raises(ConfigError, match="does not say which settings were chosen"):
        plan(settings.replaced({"training.seed": 3}), 2, base)


def test_the_usual_folder_is_found_again(two, settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = settings.replaced({"training.seed": 3})
    assert plan(own, 2)[1].folder == Path("runs/toy-seeds-1/seed-4")
    shutil.copytree(two, tmp_path / "runs" / "toy-seeds-1")
    assert [each.state for each in plan(own, 2)] == ["ended", "ended"]
    assert plan(own.replaced({"training.k": 3}), 2)[0].folder == Path("runs/toy-seeds-2/seed-3")


def test_the_command_prints_mean_and_deviation(two, data, tmp_path):
    base = shutil.copytree(two, tmp_path / "b")
    options = [
        f"--set={k}={v}" for k, v in _chosen(base / "seed-3").items() if k not in ("training.seed", "data.source")
    ]
    command = ["train", "--data", data, "--seed", 3, "--seeds", 2, "--out", base, *options]
    done = rnnrbm(*command)
    assert done.stderr.count("has ended, and is not trained again") == 2
    row = next(line for line in done.stdout.splitlines() if "seeds 3, 4" in line).split("\u2502")
    assert [cell.strip() for cell in row[1:3]] == ["b", "2"]
    values = [float(cell.strip().replace("\u2212", "-")) for cell in row[5:7]]
    tests = [float(_results(base / f"seed-{seed}")["test_ll"]) for seed in (3, 4)]
    assert values == pytest.approx([sum(tests) / 2, abs(tests[0] - tests[1]) / 2**0.5], abs=6e-4)
    assert (base / "compare.html").is_file()
    again = rnnrbm("compare", base, "--html", tmp_path / "c.html")
    assert again.stdout.splitlines()[3] == done.stdout.splitlines()[3]
    assert (tmp_path / "c.html").read_bytes() == (base / "compare.html").read_bytes()


def _chosen(folder):
    return config.facts_of_run(folder / "config.toml")["chosen"]


def _results(folder):
    return json.loads((folder / "results.json").read_text())


def test_options_that_contradict_each_other(tmp_path):
    for option in ("--resume", "--overwrite"):
        message = refused("train", "--seeds", 2, option, "--out", tmp_path / "a")
        assert f"--seeds continues by itself, so leave out {option}" in message
    assert "seeds is 0" in refused("train", "--seeds", 0, "--out", tmp_path / "a")
    assert "format 'jpg' is neither pdf nor svg" in refused("train", "--format", "jpg", "--out", tmp_path / "a")
    assert not (tmp_path / "a").exists()
