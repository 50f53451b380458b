"""From tables to tables: runs on a CSV file and on a folder, samples in original units, and a primer."""

import json
import tomllib

import numpy as np
import pytest
from helpers import rnnrbm

from rnnrbm.experiment import run
from rnnrbm.io.tables import read_table, write_table

QUICK = {
    "model.n_hidden": 4,
    "model.n_recurrent": 3,
    "training.epochs": 1,
    "training.row_length": 8,
    "training.context": 2,
    "training.k": 1,
    "training.valid_n_chains": 2,
    "training.valid_n_temperatures": 3,
    "evaluation.test": "false",
    "generation.n_samples": 1,
    "generation.n_frames": 9,
    "generation.k": 2,
}
CHANGES = [f"--set={key}={value}" for key, value in QUICK.items()]


def readings(n, seed):
    """Times, a temperature near 300, and a pressure near 1e5 that follows it."""
    rng = np.random.default_rng(seed)
    warm = 300 + np.cumsum(rng.normal(0, 0.5, n))
    return np.column_stack([np.arange(n) * 0.1, warm, 1e5 + 40 * (warm - 300) + rng.normal(0, 5, n)])


NAMES = ["time", "temperature", "pressure"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a folder of tables with a column of times that is left out, started where the folder is."""
    place = tmp_path_factory.mktemp("tables")
    (place / "days").mkdir()
    for i in range(4):
        write_table(place / "days" / f"{i}.csv", readings(20 + i, i), NAMES)
    how = ['--set=data.skip_columns=["time"]', "--set=data.seconds_per_frame=0.1"]
    done = rnnrbm("train", "--data", "days", "--out", "run", *CHANGES, *how, cwd=place)
    return place, done


def test_a_run_on_a_folder(trained):
    place, done = trained
    assert "days: 2 columns of real numbers, standardised, 0.1 s per frame" in done.stderr
    samples = place / "run" / "samples"
    assert {path.name for path in samples.iterdir()} == {f"sample-1.{suffix}" for suffix in ("csv", "npy", "png")}
    table = read_table(samples / "sample-1.csv")
    assert table.names == ("temperature", "pressure")
    assert table.values.shape == (9, 2)
    assert (np.abs(table.values - [300, 1e5]) < [100, 1e4]).all()  # original units
    tables = tomllib.loads((place / "run" / "config.toml").read_text())
    assert tables["data"]["skip_columns"] == ["time"]
    assert tables["data"]["split"] == [0.7, 0.15, 0.15]
    results = json.loads((place / "run" / "results.json").read_text())
    assert sorted(name for names in results["pieces"].values() for name in names) == [f"{i}.csv" for i in range(4)]
    kind = run.load(place / "run").kind
    assert kind.columns == ("temperature", "pressure")
    assert kind.mean[1] == pytest.approx(1e5, rel=0.01)


def test_samples_continue_a_table(trained):
    place, _ = trained
    primer = readings(12, 1)
    write_table(place / "primer.csv", primer, NAMES)
    how = ["--n-frames", 5, "--n-samples", 1, "--k", 2, "--prime-frames", 12]
    rnnrbm("generate", "run", "--prime", "primer.csv", "--out", "more", *how, cwd=place)
    (path,) = (place / "more").glob("*-1.csv")
    table = read_table(path)
    assert table.values.shape == (17, 2)
    np.testing.assert_allclose(table.values[:12], primer[:, 1:], rtol=1e-6)


def test_a_run_on_a_file(tmp_path):
    write_table(tmp_path / "room.csv", readings(40, 5)[:, 1:], NAMES[1:])
    rnnrbm("train", "--data", "room.csv", "--out", "run", *CHANGES, "--set=model.name=rbm", cwd=tmp_path)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["pieces"]["train"] == ["room.csv[0:28]"]
    assert read_table(tmp_path / "run" / "samples" / "sample-1.csv").names == ("temperature", "pressure")
