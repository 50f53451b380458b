"""rnnrbm forecast: what comes after a table, in original units, and after notes."""

import csv

import numpy as np
import pytest
from helpers import refused, rnnrbm

TINY = ["n_hidden=4", "n_recurrent=4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecast")
    t = np.arange(120.0)
    for i in range(4):
        rows = np.stack([20 + 5 * np.sin(0.2 * t + i), 1000 + 300 * np.cos(0.2 * t + i), np.full(120, 7.0)], axis=1)
        lines = ["warm,pressure,fixed", *(",".join(f"{x:.6g}" for x in row) for row in rows)]
        (folder / "sensors").mkdir(exist_ok=True)
        (folder / "sensors" / f"day{i}.csv").write_text("\n".join(lines) + "\n")
    options = [x for size in TINY for x in ("--set", f"model.{size}")]
    options += ["--set", "evaluation.n_temperatures=5", "--set", "training.valid_n_temperatures=5"]
    options += ["--set", "training.valid_n_frames=20", "--set", "evaluation.n_chains=2", "--set", "generation.k=2"]
    rnnrbm("train", "--data", folder / "sensors", "--epochs", "2", "--out", folder / "run", *options)
    return folder


@pytest.mark.filterwarnings("ignore")
def test_a_table_is_continued_in_its_own_units(run):
    history = run / "sensors" / "day0.csv"
    rnnrbm("forecast", run / "run", history, "--steps", "5", "--n-samples", "40")
    folder = run / "run" / "forecasts"
    assert sorted(p.name for p in folder.iterdir()) == [f"day0-seed0.{s}" for s in ("csv", "npz", "png")]
    with open(folder / "day0-seed0.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    assert [r["column"] for r in rows[:3]] == ["warm", "pressure", "fixed"]
    last = {"warm": 20 + 5 * np.sin(0.2 * 119), "pressure": 1000 + 300 * np.cos(0.2 * 119), "fixed": 7.0}
    for row in rows[:3]:
        low, middle, high = float(row["q5"]), float(row["q50"]), float(row["q95"])
        assert low <= middle <= high
        assert abs(float(row["mean"]) - last[row["column"]]) < 0.2 * abs(last[row["column"]]) + 1e-6
    with np.load(folder / "day0-seed0.npz") as arrays:
        assert arrays["samples"].shape == (40, 5, 2)
        np.testing.assert_allclose(arrays["mean"], arrays["samples"].mean(axis=0), rtol=1e-5, atol=1e-6)
    error = refused("forecast", run / "run", history, "--steps", "5")
    assert "exists already; choose another --seed or --out" in error


def test_what_cannot_be_forecast_is_refused_before_anything_is_written(run, tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n3,4\n")
    out = tmp_path / "out"
    error = refused("forecast", run / "run", tmp_path / "other.csv", "--out", out)
    assert "other.csv" in error
    assert not out.exists()


def test_notes_are_forecast_too(tmp_path):
    from rnnrbm.io import midi

    roll = np.zeros((8, 88), np.uint8)
    roll[:, 40] = 1
    midi.write(tmp_path / "one.mid", roll, low=21)
    few = ["--steps", "2", "--n-samples", "3", "--k", "2"]
    rnnrbm("forecast", "bach", tmp_path / "one.mid", *few, "--out", tmp_path)
    with np.load(tmp_path / "one-seed0.npz") as arrays:
        assert arrays["samples"].shape == (3, 2, 88)
    assert (tmp_path / "one-seed0.png").exists()
