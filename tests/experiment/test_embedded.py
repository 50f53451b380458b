"""The model that comes with the library."""

import os
from importlib.resources import as_file

import numpy as np
import pytest
from helpers import rnnrbm, save_data, tiny

from rnnrbm import datasets, load_model, log_likelihood
from rnnrbm.backend import engine
from rnnrbm.experiment import run
from rnnrbm.experiment.artifacts import EMBEDDED
from rnnrbm.io import midi
from rnnrbm.scoring.likelihood import frequent_states


@pytest.mark.filterwarnings("ignore:.*effective sample size")
def test_it_is_a_run_on_the_embedded_data():
    trained = run.load("bach")
    data = datasets.load("bach")
    assert trained.kind == data.kind
    assert trained.data_hash == data.fingerprint()
    assert trained.config.model.name == "rnn-rbm"
    assert set(trained.levels) == {16, 64, 256}
    states = frequent_states(data.train)
    pieces = data.valid[:6]
    assert log_likelihood(trained.model, pieces, n_chains=10, n_temperatures=500, exact_states=states).mean > -5.9
    for name in EMBEDDED.values():
        with as_file(datasets.embedded_file(name)) as path:
            assert path.stat().st_size < 3e6
    model = load_model("bach")
    for p, q in zip(model.params, trained.model.params, strict=True):
        np.testing.assert_array_equal(engine.to_numpy(p), engine.to_numpy(q))


def test_it_makes_music_anywhere(tmp_path):
    options = ["generate", "bach", "--n-samples", "1", "--n-frames", "8", "--k", "5"]
    rnnrbm(*options, cwd=tmp_path)
    assert sorted(os.listdir(tmp_path / "runs" / "bach" / "generated")) == ["seed0-1.mid", "seed0-1.png", "seed0-1.wav"]
    assert midi.read(tmp_path / "runs" / "bach" / "generated" / "seed0-1.mid", steps_per_beat=1).sum() >= 16
    rnnrbm(*options, "--seed", "1", cwd=tmp_path)  # the folder that was written is no run
    assert (tmp_path / "runs" / "bach" / "generated" / "seed1-1.mid").exists()


def test_a_run_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run.train(tiny(save_data(tmp_path / "toy.npz")), "bach")
    assert run.load("bach").config.data.source.endswith("toy.npz")
    assert load_model("bach").n_visible == 12
    (tmp_path / "jsb").mkdir()
    with pytest.raises(FileNotFoundError, match=r"jsb.checkpoint\.npz"):
        run.load("jsb")
