"""A run folder: what is in it, what is refused, and that interruption leaves no trace."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pytest
from helpers import (
    COLUMNS,
    FIGURES,
    LOW,
    PARTS,
    WIDTH,
    environment,
    metrics_of,
    midi_folder,
    same_training,
    save_data,
    some_pieces,
    stop_after,
    tiny,
)
from scipy.io import wavfile

import rnnrbm
from rnnrbm import checkpoint, datasets
from rnnrbm.backend import engine
from rnnrbm.checkpoint import CheckpointError
from rnnrbm.datasets import Dataset, PianoRoll
from rnnrbm.experiment import config, run, run_folder
from rnnrbm.experiment.config import Config
from rnnrbm.io import midi
from rnnrbm.sampling import generate
from rnnrbm.scoring import baselines
from rnnrbm.scoring.likelihood import frequent_states, log_likelihood
from rnnrbm.training.packing import PackedDataset

#: for tests that look at training only
QUICK_END = {"evaluation.test": False, "generation.n_samples": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return save_data(tmp_path_factory.mktemp("data") / "toy.npz")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data) -> tuple[Path, dict[str, Any], list[tuple[str, int, int]]]:
    """A finished run: its folder, its results and the calls of `watch`."""
    folder = tmp_path_factory.mktemp("runs") / "a" / "b"
    calls = []
    results = run.train(tiny(data), folder, progress=lambda stage, done, total, row: calls.append((stage, done, total)))
    return folder, results, calls


# --- what a run leaves ------------------------------------------------------------------------------


def test_everything_is_there_and_nothing_else(whole):
    folder, results, _ = whole
    assert set(os.listdir(folder)) == PARTS
    assert set(os.listdir(folder / "figures")) == FIGURES
    samples = {f"sample-{i}{suffix}" for i in (1, 2) for suffix in (".mid", ".wav", ".png")}
    assert set(os.listdir(folder / "samples")) == samples
    assert {Path(x) for x in results["samples"]} == {Path("samples") / x for x in samples}
    for path in (*(folder / "figures").iterdir(), *(folder / "samples").glob("*.png")):
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert path.stat().st_size > 2000


def resolved(data):
    """What the settings of the tiny run become: the rest of the model is the model's own."""
    own = {
        "cell": "gru",
        "n_layers": 1,
        "connections": "plain",
        "visible": "binary",
        "hidden": "binary",
        "frames_per_bar": 0,
        "n_pitch_conv": 0,
        "autoregressive": 0,
    }
    chosen = {f"model.{key}": value for key, value in own.items()}
    return tiny(data).replaced(chosen | {"training.learning_rate": 8e-3})


def test_settings_are_resolved_and_versions_kept(whole, data):
    folder, _, _ = whole
    assert config.read(folder / "config.toml") == resolved(data)
    tables = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    assert tables["training"]["optimiser"] == Config().training.optimiser  # defaults are written out
    facts = tables["run"]
    assert facts["rnnrbm"] == rnnrbm.__version__
    assert facts["numpy"] == np.__version__
    assert re.match(r"3\.\d+", facts["python"])
    assert "PyTensor" in facts["engine"]
    assert "JAX" in facts["engine"]
    assert re.fullmatch("[0-9a-f]{64}", facts["data"].pop("sha256"))
    assert facts["data"] == {
        "columns": WIDTH,
        "kind": "piano-roll",
        "low": LOW,
        "steps_per_beat": 2.0,
        "pieces": {"train": 4, "valid": 2, "test": 2},
        "frames": {"train": 79, "valid": 14, "test": 14},
    }
    assert tables["data"] == {"source": str(data)}  # a file comes as it is


NOTHING = {"training.epochs": 0, "generation.n_samples": 1}


def test_notes_are_transposed_and_other_columns_are_not():
    cases = ((None, PianoRoll(21), (-5, 6)), (None, PianoRoll(), (0, 0)), ((-1, 2), PianoRoll(), (-1, 2)))
    for chosen, kind, expected in cases:
        settings = Config().replaced({"training.transpose_range": chosen})
        pieces = some_pieces([4], 0)
        data = Dataset("a", pieces, pieces, pieces, kind)
        assert run.resolved(settings, data).training.transpose_range == expected


def test_settings_of_the_data_are_resolved(tmp_path):
    """What was chosen for the user is written down, and a run with these settings is the same."""
    songs = midi_folder(tmp_path / "songs")
    range_ = {"data.low": LOW, "data.high": LOW + WIDTH - 1}
    results = run.train(tiny(songs, **NOTHING, **range_), tmp_path / "a")
    tables = tomllib.loads((tmp_path / "a" / "config.toml").read_text(encoding="utf-8"))
    assert tables["data"] == {
        "source": str(songs),
        "steps_per_beat": 2,
        "split": [0.7, 0.15, 0.15],
        "seed": 0,
        "low": LOW,
        "high": LOW + WIDTH - 1,
        "drums": False,
        "pedal": False,
        "rule": "sounding",
    }
    assert tables["run"]["data"]["pieces"] == {"train": 4, "valid": 1, "test": 1}
    assert sorted(name for names in results["pieces"].values() for name in names) == [f"{i}.mid" for i in range(6)]
    assert results["pieces"] == datasets.load(songs).names
    again = run.train(config.read(tmp_path / "a" / "config.toml"), tmp_path / "b")
    assert again == run.train(None, tmp_path / "a", resume=True) | {"training_seconds": again["training_seconds"]}
    assert run.load(tmp_path / "a").config == config.read(tmp_path / "a" / "config.toml")


def test_every_data_option_that_is_set_is_used_or_refused(tmp_path):
    songs = midi_folder(tmp_path / "songs", channel=9)
    options = {"split": (0.5, 0.25, 0.25), "seed": 2, "low": 50, "high": 90, "drums": True}
    loaded = run.load_data(config.Data(source=str(songs), seconds_per_frame=0.25, **options))
    options["seed"] = options.pop("seed")
    assert loaded.names == datasets.load(songs, seconds_per_frame=0.25, **options).names
    assert (loaded.kind, loaded.n_visible) == (PianoRoll(50, seconds_per_frame=0.25, drums=True, tempo=120.0), 41)
    songs = midi_folder(tmp_path / "pitched")
    assert run.load_data(config.Data(source=str(songs), rule="published")).kind.steps_per_beat == 2.0
    with pytest.raises(ValueError, match=r"split=\(0\.9, 0\.2, 0\.2\): expected three positive fractions"):
        run.load_data(config.Data(source=str(songs), split=(0.9, 0.2, 0.2)))
    refused = {
        "split": (0.9, 0.2, 0.2),
        "seed": 1,
        "seconds_per_frame": 0.1,
        "low": 30,
        "high": 90,
        "drums": True,
        "pedal": False,
        "rule": "published",
    }
    for name, value in refused.items():
        with pytest.raises(ValueError, match=rf"^{name.removeprefix('split_')}.* cannot be chosen for .*'bach'"):
            run.load_data(config.Data(source="bach", **{name: value}))


def test_bach_is_resolved_too(tmp_path):
    with pytest.raises(run.Interrupted):
        run.train(tiny(Path("bach"), **{"data.source": "bach"}), tmp_path, stop=stop_after(1))
    tables = tomllib.loads((tmp_path / "config.toml").read_text(encoding="utf-8"))
    assert tables["data"] == {"source": "bach", "steps_per_beat": 1, "original_key": False}
    with pytest.raises(run.Interrupted):
        run.train(None, tmp_path, resume=True, stop=stop_after(1))


def test_metrics(whole):
    rows = metrics_of(whole[0])
    assert list(rows[0]) == COLUMNS
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [np.isnan(float(row["valid_ll"])) for row in rows] == [True, False, False]
    assert all(np.isfinite(float(row["loss"])) for row in rows)


def test_results(whole, data):
    folder, results, _ = whole
    assert json.loads((folder / "results.json").read_text(encoding="utf-8")) == results
    toy = datasets.load(data)
    assert results["test_frames"] == 14
    assert results["epochs"] == 3
    known = len(frequent_states(toy.train))
    assert results["method"] == f"AIS, 3 chains x 4 temperatures, {known} frames enumerated"
    assert results["baselines"] == {
        "note 1-gram": baselines.NoteUnigram.fit(toy.train).log_likelihood(toy.test),
        "1-gram (Gaussian)": baselines.ChordGaussian.fit(toy.train, toy.valid).log_likelihood(toy.test),
        "previous frame, fitted": baselines.NoteCopy.fit(toy.train).log_likelihood(toy.test),
    }
    assert results["statistics"]["train"]["notes_per_frame"] == pytest.approx(
        np.concatenate(toy.train).sum(axis=1).mean()
    )
    rows = metrics_of(folder)
    best = max((row for row in rows if row["valid_ll"] != "nan"), key=lambda row: float(row["valid_ll"]))
    assert results["best_epoch"] == int(best["epoch"])
    assert results["best_valid_ll"] == pytest.approx(float(best["valid_ll"]))


def test_a_run_read_back_gives_the_same_score_and_samples(whole, data):
    folder, results, _ = whole
    back = run.load(folder)
    assert back.config == resolved(data)
    assert (back.folder, back.kind) == (folder, PianoRoll(LOW, 2))
    assert back.best_epoch == results["best_epoch"]
    toy = datasets.load(data)
    known = frequent_states(toy.train)
    scored = log_likelihood(back.model, toy.test, n_chains=3, n_temperatures=4, exact_states=known, seed=0)
    assert scored.mean == results["test_ll"]
    assert scored.standard_error == results["test_se"]
    assert scored.bias == results["test_bias"]
    rolls = generate(back.model, 10, n_samples=2, k=3, seed=0, init_states=known).astype(np.uint8)
    assert results["statistics"]["samples"]["notes_per_frame"] == pytest.approx(rolls.sum(axis=2).mean())
    for i, roll in enumerate(rolls, 1):
        read = midi.read(folder / "samples" / f"sample-{i}.mid", low=LOW, high=LOW + WIDTH - 1, steps_per_beat=2)
        np.testing.assert_array_equal(read, roll[: len(read)])
        assert not roll[len(read) :].any()
        # ten frames of half a beat, at 100 beats a minute
        score = pretty_midi.PrettyMIDI(str(folder / "samples" / f"sample-{i}.mid"))
        np.testing.assert_allclose(score.get_tempo_changes()[1], [100.0], rtol=1e-5)
        rate, sound = wavfile.read(folder / "samples" / f"sample-{i}.wav")
        assert len(sound) / rate == pytest.approx(3.0, abs=1e-3)


def test_progress_goes_through_the_stages(whole):
    calls = whole[2]
    stages = list(dict.fromkeys(stage for stage, _, _ in calls))
    assert stages == ["note", "train", "batch", "ais", "sample", "write", "draw"]
    assert [(done, total) for stage, done, total in calls if stage == "train"] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    batches = [(done, total) for stage, done, total in calls if stage == "batch"]
    assert sum(done == 1 for done, _ in batches) == 3
    assert sum(done == total for done, total in batches) == 3
    for stage in set(stages) - {"batch", "note"}:
        done = [d for s, d, _ in calls if s == stage]
        assert done == sorted(done)
        assert done[-1] == [t for s, _, t in calls if s == stage][-1]


# --- folders ----------------------------------------------------------------------------------------


def test_an_existing_run_is_refused_untouched(whole, data):
    folder = whole[0]
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    message = r"holds a run already \(checkpoint\.npz, config\.toml, .*--resume.*--out.*--overwrite"
    with pytest.raises(FileExistsError, match=message):
        run.train(tiny(data), folder)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_other_folders(tmp_path, data):
    with pytest.raises(FileNotFoundError, match=r"no run to resume there \(no config\.toml\)"):
        run.train(None, tmp_path, resume=True)
    (tmp_path / "file").write_text("x")
    for resume in (False, True):
        with pytest.raises(FileExistsError, match=r"file: is a file; give a folder for the run$"):
            run.train(tiny(data), tmp_path / "file", resume=resume)
        with pytest.raises(FileExistsError, match=r"file.a: .*file is a file; give a folder for the run$"):
            run.train(tiny(data), tmp_path / "file" / "a", resume=resume)
    with pytest.raises(ValueError, match=r"resume continues .* overwrite replaces it; choose one of the two"):
        run.train(tiny(data), tmp_path, resume=True, overwrite=True)
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "samples").write_text("x")
    with pytest.raises(FileExistsError, match=r"samples: is a file"):
        run.train(tiny(data), tmp_path / "mixed")
    with pytest.raises(ValueError, match="mode 'JAXX' is not one of PyTensor's"):
        run.train(tiny(data), tmp_path / "new", mode="JAXX")
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        run.train(tiny(tmp_path / "none.npz"), tmp_path / "new")
    assert not (tmp_path / "new" / "config.toml").exists()


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_an_empty_split_is_refused_before_training(tmp_path, split):
    notes = {name: [] if name == split else [[[60], [62]]] * 2 for name in ("train", "valid", "test")}
    (tmp_path / "notes.json").write_text(json.dumps(notes))
    with pytest.raises(ValueError, match=rf"notes\.json: {split} holds no piece"):
        run.train(tiny(tmp_path / "notes.json"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_bad_data_does_not_cost_the_run_that_is_replaced(tmp_path, data):
    """What --overwrite would delete is deleted only when there is something to put in its place."""
    (tmp_path / "checkpoint.npz").write_text("days of work")
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        run.train(tiny(tmp_path / "none.npz"), tmp_path, overwrite=True)
    tempered = {"model.name": "rbm", "model.hidden": "relu", "training.persistent": True, "training.n_betas": 3}
    with pytest.raises(ValueError, match=r"n_betas .3.: chains at other temperatures need binary or softmax units"):
        run.train(tiny(data, **tempered), tmp_path, overwrite=True)
    assert (tmp_path / "checkpoint.npz").read_text() == "days of work"


def test_overwrite_replaces_the_run_and_nothing_else(tmp_path, data):
    (tmp_path / "notes.txt").write_text("mine")
    mine = {
        "samples/sample.mid",
        "samples/sample-1.mp3",
        "samples/sample-1b.mid",
        "figures/a.png",
        "generated/mine.mid",
    }
    of_the_run = {"samples/sample-12.wav", "figures/learning_curves.png", "metrics.csv", "evaluations/toy-test.json"}
    of_the_run |= {"generated/seed0-1.mid", "generated/a tune-seed12-3.png", "pretraining.npz"}
    of_the_run |= {"evaluations/toy-valid-raise-0123abcd.npz", "results.json"}
    for name in mine | of_the_run:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    with pytest.raises(
        FileExistsError,
        match=r"\(metrics\.csv, pretraining\.npz, results\.json, figures, samples, evaluations, generated\)",
    ):
        run.train(tiny(data), tmp_path)
    run.train(tiny(data, **{"training.epochs": 0, "generation.n_samples": 1}), tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert set(os.listdir(tmp_path)) == (PARTS - {"metrics.csv"}) | {"notes.txt", "generated"}  # no epoch, no metrics
    assert all((tmp_path / name).read_text() == "old" for name in mine)
    assert all(not (tmp_path / name).exists() for name in of_the_run - {"results.json"})
    assert set(os.listdir(tmp_path / "figures")) == (FIGURES - {"learning_curves.png"}) | {"a.png"}
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["epochs"], results["best_epoch"], results["best_valid_ll"]) == (0, 0, None)
    # the untrained model, which begins with the notes' own frequencies
    model = run.load(tmp_path).model
    odds = baselines.NoteUnigram.fit(datasets.load(data).train).log_odds
    np.testing.assert_allclose(engine.to_numpy(model.density.b_v), odds, rtol=1e-6)
    assert results["test_ll"] == pytest.approx(results["baselines"]["note 1-gram"], abs=0.05)


def test_a_folder_with_the_users_own_files_is_free(tmp_path, data):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "drum.wav").write_text("mine")
    assert not run_folder.run_files(tmp_path)
    run_folder.clear(tmp_path)
    assert (tmp_path / "samples" / "drum.wav").read_text() == "mine"
    run_folder.prepare(tmp_path, tiny(data), resume=False, overwrite=False)


def test_free_folder(tmp_path):
    assert run.free_folder("bach", tmp_path) == tmp_path / "bach-1"
    (tmp_path / "bach-1").mkdir()
    (tmp_path / "bach-2").write_text("a file is in the way too")
    assert run.free_folder("bach", tmp_path) == tmp_path / "bach-3"
    assert run.free_folder("some/where/Toys.npz", tmp_path) == tmp_path / "Toys-1"
    assert run.free_folder("..", tmp_path).parent == tmp_path


# --- interruption -----------------------------------------------------------------------------------


def test_interrupted_and_resumed_is_as_never_interrupted(tmp_path, whole, data):
    folder = tmp_path / "run"
    with pytest.raises(run.Interrupted, match=r"stopped in epoch 1; everything is saved in .*run"):
        run.train(tiny(data), folder, stop=stop_after(1))
    assert set(os.listdir(folder)) == {"config.toml", "checkpoint.npz"}
    with pytest.raises(CheckpointError, match="has not come to its first validation; resume it"):
        run.load(folder)
    with pytest.raises(run.Interrupted, match="stopped in epoch 2"):
        run.train(None, folder, resume=True, stop=stop_after(checkpoint_batches(folder) + 3))
    results = run.train(None, folder, resume=True)
    same_training(folder, whole[0])
    expected = dict(whole[1])
    assert {k: v for k, v in results.items() if k != "training_seconds"} == {
        k: v for k, v in expected.items() if k != "training_seconds"
    }
    for name in ("sample-1.mid", "sample-2.mid", "sample-1.wav"):
        assert (folder / "samples" / name).read_bytes() == (whole[0] / "samples" / name).read_bytes()


def checkpoint_batches(folder: Path) -> int:
    """Questions that are still asked in the epoch under way: one after each batch that is left, but the last."""
    settings = config.read(folder / "config.toml")
    t = settings.training
    corpus = PackedDataset(
        datasets.load(settings.data.source).train,
        row_length=t.row_length,
        batch_size=t.batch_size,
        context=t.context,
        transpose_range=t.transpose_range,
    )
    done = checkpoint.load(folder / "checkpoint.npz")[1]["state"]["batch"]
    return corpus.n_batches((t.seed, 0)) - done - 1


def test_a_finished_run_resumed_repeats_only_the_end(whole):
    folder, results, _ = whole
    saved = {name: (folder / name).read_bytes() for name in ("checkpoint.npz", "metrics.csv", "config.toml")}
    for name in ("results.json", "figures/filters.png", "samples/sample-1.wav"):
        (folder / name).unlink()
    calls, notes = [], []

    def progress(stage: str, done: int, total: int, row: dict[str, Any] | None) -> None:
        notes.extend([row["text"]] if stage == "note" else [])
        calls.append((stage, done))

    again = run.train(None, folder, resume=True, progress=progress)
    assert again == results
    assert [stage for stage, _ in calls[:3]] == ["note", "note", "train"]
    assert notes[0].startswith(f"run folder: {folder}\ntoy: 12 columns (notes 60 to 71), 2 frames per beat\n  train ")
    assert notes[1] == (
        f"training is finished (epoch 3, best valid log-likelihood {results['best_valid_ll']:.3f} in epoch "
        f"{results['best_epoch']}); only scoring, sampling and drawing are done again"
    )
    assert [done for stage, done in calls if stage == "train"] == [3]
    assert {name: (folder / name).read_bytes() for name in saved} == saved
    assert (folder / "figures" / "filters.png").exists()
    assert (folder / "samples" / "sample-1.wav").exists()


@pytest.mark.parametrize("stage", ["ais", pytest.param("sample", marks=pytest.mark.slow)])
def test_interrupted_after_training_goes_on_with_the_rest(tmp_path, whole, data, stage):
    folder, reached = tmp_path / "run", []

    def progress(at, done, total, row) -> None:
        reached.append(at)

    with pytest.raises(run.Interrupted, match=r"stopped after training, which is finished and saved in .*run"):
        run.train(tiny(data), folder, stop=lambda: stage in reached, progress=progress)
    assert reached[-1] == stage
    assert not (folder / "results.json").exists()
    reached.clear()
    results = run.train(None, folder, resume=True, progress=progress)
    assert "batch" not in reached  # nothing is trained again
    same_training(folder, whole[0])
    assert {k: v for k, v in results.items() if k != "training_seconds"} == {
        k: v for k, v in whole[1].items() if k != "training_seconds"
    }


def test_a_run_stopped_before_its_first_checkpoint_begins_again(tmp_path, whole, data):
    shutil.copy(whole[0] / "config.toml", tmp_path)
    run.train(None, tmp_path, resume=True)
    same_training(tmp_path, whole[0])


def test_a_run_whose_settings_were_emptied_is_not_resumed(tmp_path, data):
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(CheckpointError, match=r"config\.toml: says nothing about the data of the run"):
        run.train(None, tmp_path, resume=True)
    assert os.listdir(tmp_path) == ["config.toml"]


@pytest.mark.parametrize("change", ["settings", "emptied", "a cell", "order"])
def test_a_run_whose_settings_or_data_changed_is_not_resumed(tmp_path, change):
    source, folder = save_data(tmp_path / "toy.npz"), tmp_path / "run"
    with pytest.raises(run.Interrupted):
        run.train(tiny(source), folder, stop=stop_after(3))
    text = (folder / "config.toml").read_text()
    rolls = datasets.load(source)
    if change == "settings":
        (folder / "config.toml").write_text(text.replace("learning_rate = 0.008", "learning_rate = 0.002"))
        message = r"training\.learning_rate is 0\.002, was 0\.008; undo the change"
    elif change == "emptied":
        (folder / "config.toml").write_text(f"[data]\nsource = {str(source)!r}\n")
        message = r"config\.toml: its settings differ .* \(and \d+ more\)"
    elif change == "a cell":
        rolls.train[0][0, 0] ^= 1
        datasets.save(source, rolls)
        message = "the data differ from those of the run"
    else:
        rolls.train.reverse()
        datasets.save(source, rolls)
        message = "the data differ from those of the run"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=message):
        run.train(None, folder, resume=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_metrics_that_a_kill_has_cost_are_written_again_and_what_it_left_is_deleted(tmp_path, whole, data):
    folder = tmp_path / "run"
    with pytest.raises(run.Interrupted):
        run.train(tiny(data), folder, stop=stop_after(8))
    epochs = len(metrics_of(folder))
    assert epochs > 0
    (folder / "metrics.csv").unlink()
    (folder / "samples").mkdir()
    left = [
        folder / ".checkpoint.0123abcd.npz",
        folder / ".metrics.0123abcd.csv",
        folder / "samples/.sample-1.0123abcd.mid",
    ]
    own = [folder / ".notes.0123abcd.txt", folder / ".checkpoint.npz", folder / "samples/.mine.0123abcd.mid"]
    for path in left + own:
        path.write_text("")
    again = 0

    def stop() -> bool:
        nonlocal again
        again += 1
        return again > 1

    with pytest.raises(run.Interrupted):
        run.train(None, folder, resume=True, stop=stop)
    assert len(metrics_of(folder)) == epochs
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in own)


@pytest.mark.parametrize("n", range(7))
def test_a_kill_leaves_the_replaced_run_whole_or_the_new_one_to_be_resumed(tmp_path, monkeypatch, data, n):
    """What --overwrite does to the files of the old run, stopped before the n-th of its steps."""
    old, new = tiny(data), tiny(data, **{"training.seed": 1})
    run_folder.begin(tmp_path, old, {"numpy": "1"})
    for name in ("checkpoint.npz", "results.json", "samples/sample-1.mid", "figures/filters.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    steps = 0

    def killed(function):
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            if not options:  # deleting a temporary file that may be missing is no step
                steps += 1
                if steps > n:
                    raise KeyboardInterrupt
            return function(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed(Path.unlink))
        patch.setattr(os, "replace", killed(os.replace))
        try:
            run_folder.begin(tmp_path, new, {"numpy": "2"})
        except KeyboardInterrupt:
            pass
        else:
            assert n > 5
    left = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert (left == before) == (n == 0)
    if n == 0:
        return
    assert run_folder.replaces(tmp_path) == (n < 6)
    assert config.read(tmp_path / "config.toml") == new
    if (tmp_path / "checkpoint.npz").exists():
        with pytest.raises(CheckpointError, match="belongs to a run that is being replaced; resume the run"):
            run.load(tmp_path)
    run_folder.finish_clearing(tmp_path, run_folder.prepare(tmp_path, None, resume=True, overwrite=False))
    assert not run_folder.replaces(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.toml", "notes.txt"}
    assert config.read(tmp_path / "config.toml") == new
    assert config.facts_of_run(tmp_path / "config.toml") == {"numpy": "2"}


def test_a_run_that_had_not_replaced_all_of_another_is_resumed(tmp_path, whole, data):
    """The checkpoint of the old run is not that of the new one, whose settings are already there."""
    shutil.copytree(whole[0], tmp_path / "run")
    facts = config.facts_of_run(whole[0] / "config.toml")
    config.write(tmp_path / "run/config.toml", resolved(data), run=facts | {"replaces_a_run": True})
    calls = []

    def progress(stage: str, done: int, total: int, row: dict[str, Any] | None) -> None:
        calls.append(stage)

    with pytest.raises(run.Interrupted):
        run.train(None, tmp_path / "run", resume=True, stop=stop_after(1), progress=progress)
    assert "batch" in calls
    assert set(os.listdir(tmp_path / "run")) == {"config.toml", "checkpoint.npz"}
    assert config.facts_of_run(tmp_path / "run/config.toml") == facts


LOCK = """
import sys
from pathlib import Path
from rnnrbm.experiment.run_folder import locked

with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of folders")
def test_two_processes_do_not_train_in_one_folder(tmp_path, data):
    folder = tmp_path / "run"
    folder.mkdir()
    command = [sys.executable, "-c", LOCK, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(FileExistsError, match="another process is training there"):
            run.train(tiny(data), folder)
        assert list(folder.iterdir()) == []
        other.kill()  # the lock dies with its process
        other.wait()
    run.train(tiny(data, **{"training.epochs": 0, "generation.n_samples": 1, "evaluation.test": False}), folder)


@pytest.mark.parametrize(("name", "stop"), [("network", 8), pytest.param("density", 1, marks=pytest.mark.slow)])
def test_parts_trained_first_and_an_interruption_of_that_begins_anew(tmp_path, data, name, stop):
    changes = {"training.pretrain_density": 2, "training.pretrain_network": 3, "training.epochs": 1}
    settings = tiny(data).replaced(changes | QUICK_END)
    seen = []
    run.train(settings, tmp_path / "a", progress=lambda stage, done, total, row: seen.append((stage, done, total)))
    firsts = [("pretrain density", 2, 2), ("pretrain network", 3, 3), ("train", 1, 1)]
    assert [x for x in seen if x in firsts] == firsts
    run.train(settings.replaced(dict.fromkeys(list(changes)[:2], 0)), tmp_path / "plain")
    folder = tmp_path / name
    with pytest.raises(run.Interrupted, match=f"stopped while the {name} was trained first"):
        run.train(settings, folder, stop=stop_after(stop))
    assert not (folder / "checkpoint.npz").exists()
    run.train(None, folder, resume=True)
    same_training(folder, tmp_path / "a")
    with pytest.raises(AssertionError):
        same_training(tmp_path / "plain", tmp_path / "a")


def test_data_of_another_width_cannot_go_on(tmp_path):
    source = save_data(tmp_path / "toy.npz")
    folder = tmp_path / "run"
    with pytest.raises(run.Interrupted):
        run.train(tiny(source), folder, stop=stop_after(1))
    save_data(source, width=WIDTH + 1)
    with pytest.raises(CheckpointError, match="the data differ from those of the run"):
        run.train(None, folder, resume=True)


def test_a_damaged_checkpoint_is_named(tmp_path, whole):
    folder = whole[0]
    data = (folder / "checkpoint.npz").read_bytes()
    (tmp_path / "checkpoint.npz").write_bytes(data[: len(data) // 2])
    (tmp_path / "config.toml").write_bytes((folder / "config.toml").read_bytes())
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz: is truncated or no checkpoint"):
        run.load(tmp_path)
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz: is truncated or no checkpoint"):
        run.train(None, tmp_path, resume=True)
    assert (tmp_path / "checkpoint.npz").stat().st_size == len(data) // 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": None}, "has no config"),
        ({"n_visible": None}, "has no n_visible"),
        ({"kind": None}, "has no kind"),
        ({"config": [1]}, r"config is \[1\], expected dict"),
        ({"config": {"model": {"n_hidden": -3}}}, r"model\.n_hidden"),
        ({"config": {"model": 3}}, "model"),
        ({"n_visible": "12"}, "n_visible is '12', expected int"),
        ({"n_visible": -3}, "n_visible=-3: expected a whole number, at least 1"),
        ({"n_visible": 10**12}, r"n_visible is 1000000000000, the parameters allow at most \d+"),
        ({"config": {"model": {"n_hidden": 10**9}}}, "n_hidden is 1000000000, the parameters allow"),
        (
            {"config": {"model": {"n_hidden": 1, "n_recurrent": 1, "n_layers": 10**9}}},
            "n_layers is 1000000000, the parameters allow",
        ),
        (
            {"config": {"model": {"n_hidden": 1, "n_recurrent": 1, "n_pitch_conv": 10**9}}},
            "n_pitch_conv is 1000000000, the parameters allow",
        ),
        (
            {"config": {"model": {"n_hidden": 1, "n_recurrent": 1, "autoregressive": 10**9}}},
            "autoregressive is 1000000000, the parameters allow",
        ),
        ({"n_visible": 13}, "belongs to another model: .*W has shape"),
        ({"kind": [1]}, r"kind is \[1\], expected dict"),
        ({"kind": {"kind": "piano-roll", "low": 500}}, "low=500"),
        ({"state": [1]}, "holds no training state"),
        ({"state": {"epoch": "x"}}, "epoch is 'x', expected a value like 0"),
        ({"state": {"best_ll": None}}, "best_ll is None"),
        ({"state": {"rows": 3}}, "rows is 3"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_said(tmp_path, whole, change, message):
    arrays, meta = checkpoint.load(whole[0] / "checkpoint.npz")
    (key, value), *_ = change.items()
    if isinstance(value, dict):
        value = meta[key] | value
    checkpoint.save(
        tmp_path / "checkpoint.npz", arrays, {k: v for k, v in (meta | {key: value}).items() if v is not None}
    )
    with pytest.raises(CheckpointError, match=rf"checkpoint\.npz: .*{message}"):
        run.load(tmp_path)


def test_parameters_that_are_not_finite_are_named(tmp_path, whole):
    arrays, meta = checkpoint.load(whole[0] / "checkpoint.npz")
    arrays["best.b_v"] = np.full_like(arrays["best.b_v"], np.nan)
    checkpoint.save(tmp_path / "checkpoint.npz", arrays, meta)
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz: parameters hold NaN or infinity: b_v"):
        run.load(tmp_path)


def test_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint\.npz: no such file; give the folder that 'rnnrbm train'"):
        run.load(tmp_path / "nothing")
    (tmp_path / "checkpoint.npz").write_bytes(b"")
    with pytest.raises(FileExistsError, match=r"checkpoint\.npz: is a file; give the folder .*, such as .*") as caught:
        run.load(tmp_path / "checkpoint.npz")
    assert str(caught.value).endswith(str(tmp_path))


# --- samples ----------------------------------------------------------------------------------------


def test_samples_delete_what_a_killed_process_has_left_of_them(tmp_path, whole):
    trained = run.load(whole[0])
    long = "a primer of a very long name " * 3
    left = [tmp_path / ".x-1.0123abcd.mid", tmp_path / f".{(long + '-1')[-50:]}.0123abcd.wav"]
    others = [tmp_path / ".x-3.0123abcd.mid", tmp_path / ".y-1.0123abcd.mid", tmp_path / ".x-1.mid"]
    for path in left + others:
        path.write_text("")
    for name in ("x", long):
        run.write_samples(trained, some_pieces([5, 6], 0), tmp_path, name=name)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_columns_that_are_no_notes_are_only_drawn(tmp_path, whole):
    trained = run.Run(**{**vars(run.load(whole[0])), "kind": PianoRoll()})
    seen = []
    files = run.write_samples(
        trained, some_pieces([5, 6], 0), tmp_path, name="x", progress=lambda stage, done, total, row: seen.append(done)
    )
    assert [f.name for f in files] == ["x-1.png", "x-2.png"]
    assert sorted(os.listdir(tmp_path)) == ["x-1.png", "x-2.png"]
    assert seen == [1, 2]


def test_frames_of_seconds(tmp_path, whole):
    trained = run.Run(**{**vars(run.load(whole[0])), "kind": PianoRoll(LOW, seconds_per_frame=0.25)})
    roll = some_pieces([8], 0)[0]
    files = run.write_samples(trained, [roll], tmp_path)
    assert [f.suffix for f in files] == [".mid", ".wav", ".png"]
    rate, sound = wavfile.read(files[1])
    assert len(sound) / rate == pytest.approx(2.0, abs=1e-3)


def test_a_run_in_the_folder_of_its_data_is_refused(tmp_path):
    """Its samples would be pieces of the next run."""
    mine = tmp_path / "mine"
    mine.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        midi.write(mine / f"{i}.mid", (rng.random((20, 88)) < 0.05).astype(np.uint8), low=21, steps_per_beat=2)
    for folder in (mine, mine / "runs" / "a"):
        with pytest.raises(ValueError, match=r"is in the folder of the data.*choose another folder by --out"):
            run.train(tiny(mine), folder)
    assert sorted(p.name for p in mine.iterdir()) == [f"{i}.mid" for i in range(4)]


def test_a_stopped_run_says_so(tmp_path):
    settings = tiny(save_data(tmp_path / "toy.npz"), **{"training.epochs": 30, "training.valid_every": 1})
    with pytest.raises(run.Interrupted):
        run.train(settings, tmp_path / "a", stop=stop_after(12))
    trained = run.load(tmp_path / "a")
    assert re.search(r"a: the training stopped after epoch 3; the parameters are of epoch \d$", trained.state)
    run.train(None, tmp_path / "a", resume=True)
    assert run.load(tmp_path / "a").state == ""
