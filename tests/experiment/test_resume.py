"""A run that is given more epochs, or a model to start from."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import LOW, WIDTH, metrics_of, midi_folder, rnnrbm, same_training, save_data, some_pieces, stop_after, tiny

from rnnrbm import checkpoint, datasets, load_model
from rnnrbm.backend import engine
from rnnrbm.checkpoint import CheckpointError
from rnnrbm.datasets import Dataset, PianoRoll
from rnnrbm.experiment import config, run
from rnnrbm.experiment.config import ConfigError
from rnnrbm.training.fit import State

QUICK = {"evaluation.test": False, "generation.n_samples": 1, "training.schedule": "cosine"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return save_data(tmp_path_factory.mktemp("data") / "toy.npz")


def notes_of(*arguments: Any, **options: Any) -> tuple[dict[str, Any], str]:
    """The results of a run, and what it noted."""
    said = []

    def progress(stage: str, done: int, total: int, row: dict[str, Any] | None) -> None:
        said.extend([row["text"]] if stage == "note" and row else [])

    return run.train(*arguments, progress=progress, **options), "\n".join(said)


# --- more epochs ------------------------------------------------------------------------------------


def test_a_finished_run_trains_on_by_the_schedules_of_all_its_epochs(tmp_path, data):
    stages = {"training.k": [[0.0, 1], [0.5, 2]], "training.warmup": 0.0}
    folder = tmp_path / "run"
    run.train(tiny(data, **QUICK, **stages), folder)
    first = metrics_of(folder)
    results, said = notes_of(None, folder, resume=True, changes={"training.epochs": 5})
    rows = metrics_of(folder)
    assert rows[:3] == first
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5]
    assert results["epochs"] == 5
    settings = config.read(folder / "config.toml").training
    assert settings.epochs == 5
    assert [int(row["k"]) for row in rows] == [1, 1, 2, 2, 2]  # from the half of 3 epochs, then of 5
    # the rate of the last step of an epoch, as a run of five epochs has it
    whole = tmp_path / "whole"
    run.train(tiny(data, **QUICK, **stages, **{"training.epochs": 5}), whole)
    rates, expected = ([float(row["learning_rate"]) for row in metrics_of(f)] for f in (folder, whole))
    assert rates[3:] == expected[3:]
    assert rates[3] > rates[2]
    assert "training.epochs is 5, was 3; schedules are now those of 5 epochs: after epoch 3, learning rate" in said
    assert f"learning rate {settings.rate_at(0.6):.2g}, was {0.02 * settings.learning_rate:.2g}" in said


def test_an_extended_run_may_be_interrupted_too(tmp_path, data):
    for name in ("a", "b"):
        run.train(tiny(data, **QUICK), tmp_path / name)
    run.train(None, tmp_path / "a", resume=True, changes={"training.epochs": 5})
    with pytest.raises(run.Interrupted):
        run.train(None, tmp_path / "b", resume=True, changes={"training.epochs": 5}, stop=stop_after(2))
    run.train(None, tmp_path / "b", resume=True)
    same_training(tmp_path / "a", tmp_path / "b")


def test_a_kill_after_the_new_settings_were_written(tmp_path, data):
    """The checkpoint then still has the old number of epochs."""
    for name in ("a", "b"):
        run.train(tiny(data, **QUICK), tmp_path / name)
    run.train(None, tmp_path / "a", resume=True, changes={"training.epochs": 5})
    written = tmp_path / "b" / "config.toml"
    written.write_text(written.read_text().replace("epochs = 3", "epochs = 5"))
    run.train(None, tmp_path / "b", resume=True)
    same_training(tmp_path / "a", tmp_path / "b")


def test_what_cannot_be_extended_is_said_and_nothing_is_changed(tmp_path, data):
    folder = tmp_path / "run"
    run.train(tiny(data, **QUICK), folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"training.epochs": 2}, CheckpointError, "3 epochs are done, so training.epochs = 2 leaves nothing to train"),
        ({"training.epochs": -1}, ConfigError, "training.epochs"),
        (
            {"training.k": 3},
            ConfigError,
            r"only training\.epochs, training\.patience and those of evaluation and generation may.*out training\.k,",
        ),
    ]
    for changes, error, message in cases:
        with pytest.raises(error, match=message):
            run.train(None, folder, resume=True, changes=changes)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    with pytest.raises(ValueError, match=r"changes \(training\.epochs\) are for a run that is resumed"):
        run.train(tiny(data), tmp_path / "new", changes={"training.epochs": 5})


def test_a_run_that_stopped_early_needs_more_patience(tmp_path, data):
    folder = tmp_path / "run"
    huge = {"training.patience": 1, "training.valid_every": 1, "training.learning_rate": 1.0, "training.epochs": 9}
    stopped = run.train(tiny(data, **QUICK, **huge), folder)
    assert stopped["epochs"] < 9
    with pytest.raises(CheckpointError, match=r"stopped early in epoch \d, \d epochs after .*training\.patience = 1"):
        run.train(None, folder, resume=True, changes={"training.epochs": 12})
    assert run.train(None, folder, resume=True, changes={"training.patience": 0})["epochs"] == 9


def test_the_command_extends_a_run(tmp_path, data):
    run.train(tiny(data, **QUICK), tmp_path / "run")
    done = rnnrbm("train", "--resume", "--out", tmp_path / "run", "--epochs", 4)
    assert "training.epochs is 4, was 3" in done.stderr
    assert [int(row["epoch"]) for row in metrics_of(tmp_path / "run")] == [1, 2, 3, 4]


# --- from a trained model ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    run.train(tiny(data, **QUICK, **{"model.cell": "tanh"}), folder)
    return folder


def values(model: Any) -> dict[str, np.ndarray]:
    return {p.name: engine.to_numpy(p) for p in model.params}


def assert_equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def other_data(path: Path, *, low: int = LOW, width: int = WIDTH) -> Path:
    splits = [some_pieces([9, 12, 6], seed, width) for seed in (11, 12, 13)]
    datasets.save(path, Dataset("other", *splits, PianoRoll(low, 2)))
    return path


NO_SIZES = {"model.n_hidden": None, "model.n_recurrent": None, "training.epochs": 0}


@pytest.mark.parametrize("form", ["run", "checkpoint", "model"])
def test_training_starts_from_a_trained_model(tmp_path, trained, form):
    source = {"run": trained, "checkpoint": trained / "checkpoint.npz", "model": tmp_path / "model.npz"}[form]
    sizes = {} if form != "model" else {"model.n_hidden": 8, "model.n_recurrent": 6, "model.cell": "tanh"}
    if form == "model":
        load_model(trained).save(source)
    settings = tiny(other_data(tmp_path / "other.npz"), **QUICK, **(NO_SIZES | sizes), **{"model.init": str(source)})
    _, said = notes_of(settings, tmp_path / "tuned")
    tuned = run.load(tmp_path / "tuned")
    assert_equal(values(tuned.model), values(load_model(trained)))
    assert (tuned.config.model.n_hidden, tuned.config.model.cell) == (8, "tanh")
    count = sum(value.size for value in values(tuned.model).values())
    assert f"taken over: all {len(values(tuned.model))} arrays of parameters ({count} numbers) of {source}" in said
    assert ("an RNN-RBM trained on" in said) == (form != "model")


def test_fine_tuning_by_the_command_and_interrupted(tmp_path, trained):
    other = other_data(tmp_path / "other.npz")
    short = [x for key, value in QUICK.items() for x in ("--set", f"{key}={json.dumps(value)}")]
    rnnrbm("train", "--init", trained, "--data", other, "--out", tmp_path / "a", "--epochs", 2, *short)
    assert metrics_of(tmp_path / "a")[0]["epoch"] == "1"
    assert config.read(tmp_path / "a" / "config.toml").model.init == str(trained)
    # stopped before the first checkpoint, it begins from the same parameters again
    settings = config.read(tmp_path / "a" / "config.toml")
    with pytest.raises(run.Interrupted):
        run.train(settings, tmp_path / "c", stop=stop_after(1))
    (tmp_path / "c" / "checkpoint.npz").unlink()
    run.train(None, tmp_path / "c", resume=True)
    same_training(tmp_path / "a", tmp_path / "c")


def test_the_parameters_to_start_from_must_not_change_before_the_first_checkpoint(tmp_path, trained):
    model = load_model(trained)
    model.save(tmp_path / "model.npz")
    sizes = {"model.n_hidden": 8, "model.n_recurrent": 6, "model.cell": "tanh"}
    settings = tiny(other_data(tmp_path / "other.npz"), **QUICK, **sizes, **{"model.init": str(tmp_path / "model.npz")})
    with pytest.raises(run.Interrupted):
        run.train(settings, tmp_path / "run", stop=stop_after(1))
    (tmp_path / "run" / "checkpoint.npz").unlink()
    model.density.b_v.set_value(model.density.b_v.get_value() + 1)
    model.save(tmp_path / "model.npz")
    with pytest.raises(CheckpointError, match=r"model\.npz: its parameters differ from those that the run in"):
        run.train(None, tmp_path / "run", resume=True)


def test_folders_are_read_as_the_notes_of_the_model(tmp_path, trained):
    songs = midi_folder(tmp_path / "songs")
    run.train(tiny(songs, **QUICK, **NO_SIZES, **{"model.init": str(trained)}), tmp_path / "run")
    read = config.read(tmp_path / "run" / "config.toml").data
    assert (read.low, read.high, read.steps_per_beat) == (LOW, LOW + WIDTH - 1, 2)


def test_what_one_cannot_start_from(tmp_path, trained, data):
    State().save(tmp_path / "state.npz")
    load_model(trained).density.save(tmp_path / "rbm.npz")
    (tmp_path / "text.npz").write_text("no archive")
    init: dict[str, Any] = {"model.init": str(trained)}
    other = other_data(tmp_path / "other.npz")
    cases = [
        (other, {"model.n_hidden": 9} | init, r"model\.n_hidden is 9, but the model of .*first has 8"),
        (other, {"model.name": "rtrbm"} | init, r"model\.name is 'rtrbm', but the model of .*first has 'rnn-rbm'"),
        (other_data(tmp_path / "c.npz", width=13), init, r"other: has 13 columns, but the RNN-RBM of .*first has 12"),
        (
            other_data(tmp_path / "d.npz", low=LOW + 1),
            init,
            r"other: column 0 is note 61, not note 60 as for the RNN-RBM",
        ),
        (other, {"model.init": str(tmp_path / "none")}, r"none: there is no such run, checkpoint or file of a model$"),
        (other, {"model.init": str(tmp_path)}, r"checkpoint\.npz: no such file; give the folder that 'rnnrbm train'"),
        (
            other,
            {"model.init": str(tmp_path / "state.npz")},
            r"state\.npz: holds the state of a training but not its mo",
        ),
        (
            other,
            {"model.init": str(tmp_path / "rbm.npz")},
            r"rbm\.npz: holds a RBM; expected a model that a run trains",
        ),
        (other, {"model.init": str(tmp_path / "text.npz")}, r"text\.npz: is truncated or no checkpoint"),
    ]
    for source, changes, message in cases:
        with pytest.raises((ValueError, OSError), match=message):
            run.train(tiny(source, **QUICK, **(NO_SIZES | changes)), tmp_path / "new")
        assert not (tmp_path / "new").exists()
    load_model(trained).save(tmp_path / "model.npz")
    settings = tiny(other, **QUICK, **NO_SIZES, **{"model.init": str(tmp_path / "model.npz")})
    with pytest.raises(
        CheckpointError,
        match=r"model\.npz: belongs to another model: model\.network\.layers\[0\] is Tanh, the model's is GRU; choose",
    ):
        run.train(settings, tmp_path / "new")


def test_a_run_does_not_replace_the_model_that_it_starts_from(tmp_path, trained, data):
    folder = tmp_path / "first"
    shutil.copytree(trained, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for source in (folder, folder / "checkpoint.npz"):
        with pytest.raises(
            ValueError, match=r"the new run would replace the model that it starts from; choose another"
        ):
            run.train(tiny(data, **QUICK, **NO_SIZES, **{"model.init": str(source)}), folder, overwrite=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_run_of_no_epoch_trains_on(tmp_path, data):
    folder = tmp_path / "run"
    run.train(tiny(data, **QUICK, **{"training.epochs": 0}), folder)
    run.train(None, folder, resume=True, changes={"training.epochs": 2})
    run.train(tiny(data, **QUICK, **{"training.epochs": 2}), tmp_path / "whole")
    for mine, theirs in zip(*(values(run.load(f).model).values() for f in (folder, tmp_path / "whole")), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_checkpoint_that_is_no_model(tmp_path):
    checkpoint.save(tmp_path / "a.npz", {}, {})
    with pytest.raises(CheckpointError, match=r"a\.npz: holds no model; expected a file written by model\.save"):
        load_model(tmp_path / "a.npz")
