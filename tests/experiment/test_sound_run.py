"""From sound to sound: a run on recordings is read back, evaluated on others, and continues a WAV file."""

import json
import tomllib

import numpy as np
import pytest
import soundfile
from helpers import refused, rnnrbm, whistles

from rnnrbm import checkpoint
from rnnrbm.experiment import run
from rnnrbm.io import rolls
from rnnrbm.io.sound import write_sound
from rnnrbm.training import packing

RATE = 16_000
QUICK = {
    "model.n_hidden": 5,
    "model.n_recurrent": 4,
    "training.epochs": 1,
    "training.row_length": 16,
    "training.context": 2,
    "training.k": 1,
    "training.valid_n_chains": 2,
    "training.valid_n_temperatures": 3,
    "evaluation.n_chains": 2,
    "evaluation.n_temperatures": 3,
    "generation.n_samples": 2,
    "generation.n_frames": 30,
    "generation.k": 2,
    "data.n_bands": 12,
    "data.high": 6000,
    "data.low": 500,
}


def songs(folder, loudness=1.0, rate=RATE):
    folder.mkdir()
    for i in range(4):
        samples = whistles((0.1, 0.3), (0.4, 0.7), seconds=1.0, rate=rate, seed=i, hertz=1000.0 + 500 * i)
        write_sound(folder / f"{i}.wav", loudness * samples, rate)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of songs, and a run on it that was started there."""
    place = tmp_path_factory.mktemp("sound")
    songs(place / "songs")
    changes = [f"--set={key}={value}" for key, value in QUICK.items()]
    done = rnnrbm("train", "--data", "songs", "--out", "run", *changes, cwd=place)
    return place, done


def test_a_run_writes_sounds_of_the_rate_of_the_data(trained):
    place, done = trained
    assert "songs: 12 bands, 500 to 6 000 Hz (mel), 8 ms per frame, 16 000 Hz" in done.stderr
    for name in ("VAR(1)", "peak frequency hz"):
        assert name in done.stdout
    names = sorted(p.name for p in (place / "run" / "samples").iterdir())
    assert names == [f"sample-{i}.{suffix}" for i in (1, 2) for suffix in ("npy", "png", "wav")]
    info = soundfile.info(place / "run" / "samples" / "sample-1.wav")
    assert (info.samplerate, info.frames) == (RATE, 29 * 128 + 256)  # hops of 8 ms, a window of 16 ms
    tables = tomllib.loads((place / "run" / "config.toml").read_text())
    assert tables["data"]["hop_ms"] == 8
    assert tables["data"]["segments"] == "auto"
    assert tables["model"]["visible"].startswith("gaussian:")
    assert tables["training"]["transpose_range"] == [0, 0]
    assert tables["run"]["data"]["kind"] == "spectrogram"
    results = json.loads((place / "run" / "results.json").read_text())
    assert set(results["statistics"]["samples"]) == set(results["statistics"]["train"])
    assert results["pieces"]["test"][0].endswith(" s")
    back = run.load(place / "run")
    assert (back.kind.rate, len(back.kind.bands)) == (RATE, 12)


def test_a_finished_run_reads_its_own_sounds_again(trained, tmp_path, monkeypatch):
    place, _ = trained
    monkeypatch.chdir(tmp_path)
    done = rnnrbm("train", "--resume", "--out", place / "run", "--set", "evaluation.test=false")
    assert "training is finished" in done.stderr
    assert "differ" not in done.stderr


def test_other_recordings_are_scored_by_the_standardisation_of_the_run(trained, tmp_path):
    place, _ = trained
    scores = []
    for name, loudness in (("same", 1.0), ("quiet", 0.5)):
        songs(tmp_path / name, loudness)
        more = ("--n-chains", 2, "--n-temperatures", 3, "--k", 1, "--n-draws", 1, "--no-bracket", "--json")
        done = rnnrbm("evaluate", place / "run", "--data", tmp_path / name, *more)
        assert "standardised" not in done.stderr
        scores.append(json.loads(done.stdout))
    assert {"rmse", "r2"} < set(scores[0]["prediction"])
    lls = [next(row["ll"] for row in score["baselines"] if row["model"] == "column Gaussian") for score in scores]
    assert lls[0] == pytest.approx(lls[1], abs=0.3)  # baselines are fitted to each
    rmse = [score["prediction"]["rmse"] for score in scores]
    assert rmse[0] != pytest.approx(rmse[1], abs=0.05)
    songs(tmp_path / "other", rate=22_050)
    assert "22050 samples per second" in refused("evaluate", place / "run", "--data", tmp_path / "other")


def test_a_recording_is_continued(trained, tmp_path):
    place, _ = trained
    more = ("--n-frames", 20, "--n-samples", 1, "--k", 1, "--n-init-states", 0, "--out", tmp_path / "new")
    rnnrbm("generate", place / "run", "--prime", place / "songs" / "0.wav", "--prime-frames", 10, *more)
    assert np.load(tmp_path / "new" / "0-seed0-1.npy").shape == (30, 12)
    assert soundfile.info(tmp_path / "new" / "0-seed0-1.wav").samplerate == RATE
    write_sound(tmp_path / "high.wav", whistles(rate=48_000), 48_000)
    said = refused("generate", place / "run", "--prime", tmp_path / "high.wav", *more, "--seed", 1)
    assert "high.wav: has 48000 samples per second" in said


def test_what_cannot_be_read_stops_a_run_before_it_begins(tmp_path):
    songs(tmp_path / "songs")
    write_sound(tmp_path / "songs" / "high.wav", whistles(rate=48_000), 48_000)
    assert "sample rates differ" in refused("train", "--data", "songs", "--out", "run", cwd=tmp_path)
    (tmp_path / "songs" / "high.wav").unlink()
    said = refused("train", "--data", "songs", "--set", "data.high=9000", "--out", "run", cwd=tmp_path)
    assert "high=9000" in said
    assert not (tmp_path / "run").exists()


def test_frames_on_disk_give_the_run_of_frames_in_memory(trained, tmp_path, monkeypatch):
    place, _ = trained
    monkeypatch.setattr(rolls, "MAX_BYTES", 1)
    monkeypatch.setattr(packing, "DEVICE_SHARE", 0.0)
    monkeypatch.setenv("RNNRBM_CACHE", str(tmp_path / "cache"))
    changes = [f"--set={key}={value}" for key, value in QUICK.items()]
    rnnrbm("train", "--data", place / "songs", "--out", tmp_path / "run", *changes)
    assert (tmp_path / "cache" / "spectrograms").is_dir()
    assert not list((tmp_path / "cache" / "spectrograms").iterdir())
    usual, other = (checkpoint.load(folder / "checkpoint.npz")[0] for folder in (place / "run", tmp_path / "run"))
    for name, value in usual.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    usual_results, results = (
        json.loads((folder / "results.json").read_text()) for folder in (place / "run", tmp_path / "run")
    )
    for name in ("baselines", "statistics"):
        assert results[name] == usual_results[name]
    quiet = songs(tmp_path / "quiet", 0.5)
    scored = []
    for where in (tmp_path / "run", place / "run"):
        more = ("--n-chains", 2, "--n-temperatures", 3, "--k", 1, "--n-draws", 2, "--no-bracket", "--json")
        done = json.loads(rnnrbm("evaluate", where, "--data", quiet, *more).stdout)
        scored.append({name: done[name] for name in ("log_likelihood", "prediction", "baselines")})
        monkeypatch.undo()
    assert scored[0] == scored[1]
