"""A run that takes the place of another one, what would fail only at its end, and runs that are read elsewhere."""

import contextlib
import json
import os
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import LOW, metrics_of, midi_folder, refused, rnnrbm, same_training, save_data, stop_after, tiny

from rnnrbm import checkpoint, datasets, memory
from rnnrbm.checkpoint import CheckpointError
from rnnrbm.experiment import config, evaluation, run, run_folder
from rnnrbm.experiment.config import ConfigError
from rnnrbm.io import midi
from rnnrbm.io.midi_grid import GridWarning

QUICK = {"evaluation.test": False, "generation.n_samples": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return save_data(tmp_path_factory.mktemp("data") / "toy.npz")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    run.train(tiny(data, **QUICK), folder)
    return folder


@pytest.fixture
def old(tmp_path, trained) -> Path:
    """A copy of a run that is worth keeping, with an evaluation and samples."""
    shutil.copytree(trained, tmp_path / "old")
    for name in ("evaluations/toy-test.json", "generated/seed0-1.mid"):
        (tmp_path / "old" / name).parent.mkdir()
        (tmp_path / "old" / name).write_text("{}")
    return tmp_path / "old"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def new(data: Path, **changes: Any) -> config.Config:
    return tiny(data, **QUICK, **{"training.seed": 1} | changes)


# --- a run stays until another has something to save --------------------------------------------------


@pytest.mark.parametrize("error", [MemoryError("full"), run.Diverged("NaN"), KeyboardInterrupt()])
def test_a_run_that_cannot_train_costs_no_other(monkeypatch, old, data, error):
    def fit(*arguments: Any, **options: Any) -> Any:
        yield from ()
        raise error

    before = contents(old)
    monkeypatch.setattr(run, "fit", fit)
    expected = run.Interrupted if isinstance(error, KeyboardInterrupt) else type(error)
    with pytest.raises(expected) as caught:
        run.train(new(data), old, overwrite=True)
    assert contents(old) == before
    assert sorted(path.name for path in old.iterdir()) == sorted({name.split("/")[0] for name in before})
    if expected is run.Interrupted:
        assert not caught.value.resumable
        assert "stopped before anything was saved; the run in" in str(caught.value)


@pytest.mark.parametrize("pretrain", [0, 2])
def test_an_interrupted_run_has_taken_the_place(old, data, tmp_path, pretrain):
    settings = new(data, **{"training.pretrain_density": pretrain})
    with pytest.raises(run.Interrupted) as caught:
        run.train(settings, old, overwrite=True, stop=stop_after(2))
    assert caught.value.resumable
    saved = "pretraining.npz" if pretrain else "checkpoint.npz"
    assert {path.name for path in old.iterdir()} == {"config.toml", saved}
    run.train(None, old, resume=True)
    run.train(settings, tmp_path / "whole")
    same_training(old, tmp_path / "whole")
    assert not (old / "pretraining.npz").exists()


def test_a_run_does_not_replace_its_own_data(tmp_path, old):
    for i in range(4):
        midi.write(old / "samples" / f"sample-{i}.mid", np.eye(6, 12, dtype=np.uint8), low=LOW, steps_per_beat=2)
    save_data(old / "evaluations" / "toy-test-ais-0123abcd.npz")
    before = contents(old)
    for source in (old, old / "samples", old / "evaluations" / "toy-test-ais-0123abcd.npz"):
        with pytest.raises(ValueError, match="the new run would replace its data; choose another folder by --out"):
            run.train(new(source), old, overwrite=True)
    assert contents(old) == before


needs_locks = pytest.mark.skipif(os.name == "nt", reason="no locks of folders")


@needs_locks
def test_a_run_is_not_replaced_while_it_is_evaluated(old, data):
    before = contents(old)
    for part in ("evaluations", "generated"):
        with run_folder.using(old, part), pytest.raises(FileExistsError, match="another process is evaluating or samp"):
            run.train(new(data), old, overwrite=True)
    assert contents(old) == before


@needs_locks
def test_a_run_is_not_evaluated_while_it_is_replaced(old, data):
    loaded = run.load(old)
    with run_folder.replacing(old), pytest.raises(FileExistsError, match="another process is replacing the run"):
        evaluation.evaluate(loaded, datasets.load(data))
    with run_folder.replacing(old):
        assert "another process is replacing the run there" in refused("generate", old, "--seed", 5)
    with contextlib.ExitStack() as stack:  # several may evaluate
        for _ in range(3):
            stack.enter_context(run_folder.using(old, "evaluations"))


def test_folders_of_results_are_deleted_if_they_stay_empty(tmp_path):
    with run_folder.using(tmp_path, "generated") as place:
        with run_folder.using(tmp_path, "generated"):
            pass
        assert place.is_dir()  # still in use
    assert list(tmp_path.iterdir()) == []
    with run_folder.replacing(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    with run_folder.using(tmp_path, "evaluations") as place:
        (place / "a").touch()
    assert (tmp_path / "evaluations" / "a").exists()


def test_results_of_a_run_do_not_come_into_another(old, data):
    loaded = run.load(old)
    run.train(new(data), old, overwrite=True)
    with pytest.raises(
        CheckpointError,
        match=r"its config.toml is of another run than the checkpoint that was read: training\.seed is 1, was 0",
    ):
        evaluation.evaluate(loaded, datasets.load(data))
    assert not (old / "evaluations").exists()


# --- what would fail only at the end ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"generation.tempo": 1}, ValueError, "generation: tempo=1.*expected beats per minute, 3.6 to"),
        ({"generation.tempo": 5e7}, ValueError, "generation: a frame lasts .* less than two samples of sound"),
        ({"generation.n_frames": 2_000_000}, ValueError, "generation: a roll of 2000000 frames, expected at most 1000"),
        ({"generation.n_frames": 10**6, "generation.tempo": 4}, ValueError, "longer than a WAV file can be"),
        ({"generation.n_samples": 2**31 - 1, "generation.n_frames": 10**5}, MemoryError, "choose a smaller generation"),
        ({"generation.k": 10**20}, ConfigError, "generation.k: Input should be less than"),
        ({"evaluation.n_chains": 2**31 - 1}, MemoryError, "evaluation.n_chains=2147483647 would take .*; choose fewer"),
        ({"training.valid_n_chains": 2**31 - 1}, MemoryError, r"training\.valid_n_chains=2147483647 would take"),
        ({"evaluation.n_temperatures": 2**31 - 1}, MemoryError, "evaluation.n_temperatures=2147483647 would take"),
        ({"training.k": 2**31}, ConfigError, "training.k: expected a whole number"),
        ({"training.transpose_range": [-(10**20), 0]}, ConfigError, "training.transpose_range"),
        (
            {"training.seed": 2**63},
            ConfigError,
            "training.seed: Input should be less than or equal to 9223372036854775807",
        ),
        (
            {"model.n_hidden": 2**31 - 1},
            MemoryError,
            "rnn-rbm with .*n_hidden=2147483647.* would take .* smaller sizes",
        ),
        ({"model.n_layers": 10**6, "model.n_recurrent": 1}, ValueError, "n_layers must be 1 to 1000, got 1000000"),
        ({"model.name": "tied-rnn-rbm", "model.reach": 2**31 - 1}, MemoryError, "tied-rnn-rbm with .*reach=2147483647"),
    ],
)
def test_it_is_refused_before_anything_is_done(monkeypatch, tmp_path, data, changes, error, message):
    monkeypatch.setattr(memory, "available", lambda: 2**34)
    with pytest.raises(error, match=message):
        run.train(
            tiny(data, **{k: v for k, v in QUICK.items() if not k.startswith("evaluation")} | changes), tmp_path / "new"
        )
    assert list(tmp_path.iterdir()) == []


def test_memory_that_only_training_takes_is_named(monkeypatch, old, data):
    before = contents(old)
    huge = {"training.row_length": 2**31 - 1}
    monkeypatch.setattr(memory, "available", lambda: 2**34)
    with pytest.raises(MemoryError, match=r"a batch of 1 rows of 2147483647 frames would take .*smaller row_length"):
        run.train(new(data, **huge), old, overwrite=True)
    assert contents(old) == before


def test_scores_and_samples_can_be_made_anew_with_other_settings(old):
    changes = {"generation.n_samples": 3, "generation.tempo": 72, "evaluation.test": True}
    results = run.train(None, old, resume=True, changes=changes)
    assert len([name for name in results["samples"] if name.endswith(".mid")]) == 3
    (old / "samples" / "mine.mid").touch()
    assert midi.parse(old / "samples" / "sample-1.mid").beats_per_minute() == pytest.approx(72, abs=1e-3)
    assert results["test_ll"] is not None
    assert config.read(old / "config.toml").generation.n_samples == 3
    written = old / "config.toml"
    written.write_text(written.read_text().replace("n_frames = 10", "n_frames = 5"))
    run.train(None, old, resume=True, changes={"generation.n_samples": 1})
    assert {path.name for path in (old / "samples").glob("*.mid")} == {"sample-1.mid", "mine.mid"}
    sampling = run.load(old).config.generation  # as the run is now
    assert (sampling.n_samples, sampling.n_frames, sampling.tempo) == (1, 5, 72)
    with pytest.raises(ValueError, match="generation: tempo=1"):
        run.train(None, old, resume=True, changes={"generation.tempo": 1})


@pytest.mark.parametrize(
    ("name", "make", "error", "message"),
    [
        ("samples", Path.touch, FileExistsError, "is a file; give a folder for the run"),
        (
            "results.json",
            Path.mkdir,
            IsADirectoryError,
            "is a folder, and the run writes a file of that name; remove it",
        ),
        (
            "figures",
            lambda path: path.symlink_to("nowhere"),
            FileExistsError,
            "is a link to nowhere, which does not exist",
        ),
        ("metrics.csv", os.mkfifo if hasattr(os, "mkfifo") else None, OSError, "a pipe or a device"),
    ],
)
def test_places_that_cannot_be_written_are_named_first(tmp_path, data, name, make, error, message):
    if make is None:
        pytest.skip("no pipes")
    folder = tmp_path / "run"
    folder.mkdir()
    make(folder / name)
    with pytest.raises(error, match=message):
        run.train(new(data), folder)
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_folder_without_permission_is_named(monkeypatch, tmp_path, data):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match=r"new: nothing can be written in .*, permission is denied"):
        run.train(new(data), tmp_path / "new")


# --- damaged checkpoints ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": {"rows": [3]}}, "have 1 rows of metrics"),
        ({"state": {"rows": [[], [], []]}}, "rows of metrics hold something else"),
        ({"state": {"rows": [{"a": 1}, {"a": "x"}, {"a": 1}]}}, "rows of metrics hold something else"),
        ({"state": {"rows": [{"a": 1}, {"b": 1}, {"a": 1}]}}, "rows of metrics differ in their columns"),
        ({"state": {"batch": 2}}, "2 batches have 0 results"),
        ({"state": {"batch": 2, "partial": [[1.0], [1.0, 2.0]]}}, "results of batches differ in length"),
        ({"state": {"best_epoch": 9}}, "3 epochs, of which 9 is the best"),
        ({"state": {"best_ll": float("nan")}}, "best_ll is nan"),
        ({"state": {"seconds": -1.0}}, "seconds -1"),
        ({"part": "all"}, "part is 'all'"),
        ({"config": {"training": 3}}, "holds no settings"),
        ({"best": None}, "training is finished, but no best parameters are there"),
        ({"arrays": np.nan}, "hold NaN or infinity; train anew"),
        ({"arrays": 1j}, "the model's is float32"),
    ],
)
def test_damage_is_a_checkpoint_error(old, change, message):
    path = old / "checkpoint.npz"
    arrays, meta = checkpoint.load(path)
    (key, value), *_ = change.items()
    if key == "best":
        arrays = {name: x for name, x in arrays.items() if not name.startswith("best.")}
    elif key == "arrays":
        name = next(name for name in arrays if not name.startswith("best.") and arrays[name].dtype.kind == "f")
        arrays[name] = arrays[name] + value
        meta["state"]["finished"] = np.isnan(value).item()
    else:
        meta[key] = meta[key] | value if isinstance(value, dict) else value
    checkpoint.save(path, arrays, meta)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        run.train(None, old, resume=True)


@pytest.mark.parametrize("facts", ["data = 3", "started_in = 3\ndata = [1]", "data = {sha256 = 1}"])
def test_damaged_facts_are_an_error_in_words(old, facts):
    (old / "checkpoint.npz").unlink()
    text = (old / "config.toml").read_text().partition("[run")[0]
    (old / "config.toml").write_text(f"{text}\n[run]\n{facts}\n")
    with pytest.raises(CheckpointError, match=r"says nothing about the data|the data differ from"):
        run.train(None, old, resume=True)


# --- runs that are read from elsewhere ----------------------------------------------------------------


@pytest.mark.parametrize("moved", [False, True])
def test_a_relative_path_is_that_of_where_the_run_was_started(tmp_path, moved):
    home = tmp_path / "home"
    home.mkdir()
    save_data(home / "toy.npz")
    settings = tmp_path / "tiny.toml"
    config.write(settings, tiny(Path("toy.npz"), **QUICK))
    rnnrbm("train", settings, "--out", "runs/a", cwd=home)
    if moved:
        home = home.rename(tmp_path / "other")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    here, there = (
        rnnrbm("generate", folder, "--out", out, cwd=cwd)
        for folder, out, cwd in (("runs/a", "here", home), (home / "runs" / "a", "there", elsewhere))
    )
    assert here.stderr == there.stderr
    assert "warning" not in there.stderr
    for name in ("seed0-1.mid", "seed0-1.wav"):
        assert (home / "here" / name).read_bytes() == (elsewhere / "there" / name).read_bytes()
    rnnrbm("evaluate", home / "runs" / "a", "--n-chains", 3, "--n-temperatures", 3, "--n-draws", 1, cwd=elsewhere)
    rnnrbm("train", "--resume", "--out", home / "runs" / "a", "--epochs", 4, cwd=elsewhere)
    assert len(metrics_of(home / "runs" / "a")) == 4


def test_a_folder_of_a_run_is_read_from_elsewhere_too(tmp_path):
    midi_folder(tmp_path / "songs")
    settings = tmp_path / "tiny.toml"
    config.write(settings, tiny(Path("songs"), **QUICK, **{"data.low": LOW - 12, "data.high": LOW + 12}))
    rnnrbm("train", settings, "--out", "run", cwd=tmp_path)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    (tmp_path / "elsewhere").mkdir()
    rnnrbm("train", "--resume", "--out", tmp_path / "run", cwd=tmp_path / "elsewhere")
    again = json.loads((tmp_path / "run" / "results.json").read_text())
    assert again["pieces"] == results["pieces"]


def test_data_that_changed_are_noticed(tmp_path, trained, data):
    folder = tmp_path / "run"
    save_data(tmp_path / "toy.npz")
    run.train(tiny(tmp_path / "toy.npz", **QUICK), folder)
    changed = datasets.load(tmp_path / "toy.npz")
    changed.train[0][0, 0] ^= 1
    datasets.save(tmp_path / "toy.npz", changed)
    said = rnnrbm("generate", folder).stderr
    assert re.search(r"warning: .*toy\.npz is not what the run was trained on, so Gibbs chains start from other", said)
    quick = ["--n-chains", 3, "--n-temperatures", 3, "--n-draws", 1]
    said = rnnrbm("evaluate", folder, *quick).stderr
    assert "is not what the run was trained on, so what is scored is not what it was trained with" in said
    (tmp_path / "toy.npz").unlink()
    said = rnnrbm("generate", folder, "--seed", 1).stderr
    assert re.search(r"warning: .* cannot be read .*, so Gibbs chains start from the frame before, .* restore", said)
    line = refused("evaluate", folder, *quick)
    assert re.search(r"the run's training data cannot be read .*; restore .*, or give other data by --data", line)


def test_each_data_set_has_results_of_its_own(old, data):
    loaded, toy = run.load(old), datasets.load(data)
    shutil.rmtree(old / "evaluations")
    names = ["toy", "toy.v2", "toy.v3", "", "a/b", "a_b", "a\0b", "L" * 300, "é" * 120, "two\nlines"]
    for name in names:
        evaluation.evaluate(
            loaded, replace(toy, name=name), n_chains=2, n_temperatures=2, n_draws=1, k=1, bracket=False
        )
    written = [json.loads(path.read_text()) for path in (old / "evaluations").glob("*.json")]
    assert sorted(results["data"] for results in written) == sorted(name.replace("\n", " ") for name in names)
    run_folder.clear(old)
    assert not (old / "evaluations").exists()


def test_what_was_said_of_the_grid_is_not_said_again(tmp_path):
    songs = tmp_path / "songs"
    songs.mkdir()
    for i in range(6):
        midi.write(songs / f"{i}.mid", np.eye(12, dtype=np.uint8), low=LOW, steps_per_beat=4)
    settings = tiny(songs, **QUICK, **{"data.steps_per_beat": 1, "data.low": LOW, "data.high": LOW + 11})
    with pytest.warns(GridWarning, match="steps_per_beat=1"):
        run.train(settings, tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.train(None, tmp_path / "run", resume=True, changes={"training.epochs": 4})


def test_each_score_is_said_as_soon_as_it_is_known(old, data):
    said = []

    def progress(stage: str, done: int, total: int, row: dict[str, Any] | None) -> None:
        said.append(row["text"] if stage == "note" and row else f"{stage} {done}/{total}")

    options = {"n_chains": 3, "n_temperatures": 3, "n_draws": 1, "k": 1}
    results = evaluation.evaluate(run.load(old), datasets.load(data), progress=progress, **options)
    (ais,) = [i for i, text in enumerate(said) if text.startswith("AIS, 3 chains x 3 temperatures")]
    assert f"{results['log_likelihood']['micro']:.3f}" in said[ais]
    assert "raise 0/14" in said[ais:]
