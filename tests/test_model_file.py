"""Models in files: all of them come back, and nothing else is made."""

import json
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
import pytest
from helpers import VARIANTS, a_model

import rnnrbm
from rnnrbm import RBM, checkpoint, load_model, model_file
from rnnrbm.backend import engine
from rnnrbm.checkpoint import CheckpointError
from rnnrbm.densities import Independent
from rnnrbm.models.nade import NADE
from rnnrbm.sampling import generate
from rnnrbm.units import Bernoulli, Gaussian, Softmax


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_model_comes_back(tmp_path, variant):
    model = a_model(variant, 6, seed=3)
    model.save(tmp_path / "model.npz")
    back = load_model(tmp_path / "model.npz")
    assert type(back) is type(model)
    assert [p.name for p in back.params] == [p.name for p in model.params]  # tied weights are one again
    for mine, theirs in zip(model.params, back.params, strict=True):
        np.testing.assert_array_equal(engine.to_numpy(mine), engine.to_numpy(theirs))
        assert mine.type == theirs.type
    samples = [generate(m, 4, n_samples=2, k=2, seed=1) for m in (model, back)]
    np.testing.assert_array_equal(*samples)


@pytest.mark.parametrize(
    "density",
    [
        RBM.init(4, 3, seed=0, visible=Softmax(2), hidden=Gaussian(0.5)),
        NADE.init(4, 3, seed=0),
        Independent.init(4, visible=Gaussian(0.2), b_v=0.3),
    ],
    ids=lambda density: type(density).__name__,
)
def test_densities_alone(tmp_path, density):
    model_file.save(tmp_path / "density.npz", density)
    back = load_model(tmp_path / "density.npz")
    assert type(back) is type(density)
    assert (back.visible, back.biases) == (density.visible, density.biases)
    for mine, theirs in zip(density.tensors(), back.tensors(), strict=True):
        np.testing.assert_array_equal(engine.to_numpy(mine), engine.to_numpy(theirs))


class Own(NamedTuple):
    """A density that is not of the library."""

    b_v: Any
    visible: Any = Bernoulli()


def test_parts_of_ones_own_are_made_only_if_the_class_is_given(tmp_path):
    model_file.save(tmp_path / "own.npz", Own(engine.shared(np.ones(3), "b_v")))
    with pytest.raises(CheckpointError, match=r"own\.npz: holds a part of the class '.*test_model_file:Own'.*classes="):
        load_model(tmp_path / "own.npz")
    back = load_model(tmp_path / "own.npz", classes=[Own])
    np.testing.assert_array_equal(engine.to_numpy(back.b_v), np.ones(3))


def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path):
    rbm = RBM.init(4, 3, seed=0)
    for field, value in (("W", pt.zeros((4, 3))), ("hidden", len)):
        with pytest.raises(TypeError, match=rf"^RBM\.{field} is "):
            rbm._replace(**{field: value}).save(tmp_path / "model.npz")
    assert list(tmp_path.iterdir()) == []


def changed(path, change):
    arrays, meta = checkpoint.load(path)
    change(arrays, meta)
    checkpoint.save(path, arrays, meta)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, meta: meta["model"].update({"class": "os:system"}), "a part of the class 'os:system'"),
        (lambda arrays, meta: meta["model"].update({"class": "rnnrbm.files:atomic"}), "class 'rnnrbm.files:atomic'"),
        (lambda arrays, meta: meta["model"].update({"class": "rnnrbm.rbm:np"}), "class 'rnnrbm.rbm:np'"),
        (lambda arrays, meta: meta["model"].update({"class": "rnnrbm.rbm:Unit"}), "class 'rnnrbm.rbm:Unit'"),
        (lambda arrays, meta: meta["model"].update({"class": "rnnrbm.nowhere:RBM"}), "ModuleNotFoundError"),
        (lambda arrays, meta: meta["model"]["fields"].pop("W"), r"its model cannot be made \(TypeError"),
        (lambda arrays, meta: meta.update(model=[{"class": 3}]), "cannot be made"),
        (lambda arrays, meta: arrays.pop("W"), r"its model cannot be made \(KeyError: 'W'\)"),
        (lambda arrays, meta: arrays["W"].fill(np.nan), "parameters hold NaN or infinity: W"),
    ],
)
def test_a_damaged_model_is_refused(tmp_path, change, message):
    RBM.init(4, 3, seed=0).save(tmp_path / "model.npz")
    changed(tmp_path / "model.npz", change)
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path / "model.npz")


def test_the_description_is_plain(tmp_path):
    """It holds nothing that a program could run."""
    rnnrbm.rnn_rbm(4, n_hidden=3, n_recurrent=2, seed=0).save(tmp_path / "model.npz")
    meta = checkpoint.load(tmp_path / "model.npz")[1]
    assert json.loads(json.dumps(meta)) == meta
    assert meta["model"]["fields"]["density"]["class"] == "rnnrbm.rbm:RBM"


@pytest.mark.parametrize("description", [3, "x", None, [], {"parameter": "W", "name": "W"}])
def test_a_value_that_is_no_part_is_no_model(tmp_path, description):
    checkpoint.save(tmp_path / "a.npz", {"W": np.ones(2)}, {"model": description})
    with pytest.raises(checkpoint.CheckpointError, match=r"a\.npz: holds no model; expected a file written by"):
        model_file.load(tmp_path / "a.npz")


@pytest.mark.parametrize("value", [3, [1], [{"parameter": "W_uv", "name": "W_uv"}, [1.5]]])
def test_a_value_in_the_place_of_a_part_is_refused(tmp_path, value):
    a_model("rnn-rbm", 4).save(tmp_path / "a.npz")
    arrays, meta = checkpoint.load(tmp_path / "a.npz")
    meta["model"]["fields"]["bias_weights"] = value
    checkpoint.save(tmp_path / "a.npz", arrays, meta)
    with pytest.raises(CheckpointError, match=r"a\.npz: its model cannot be made \(TypeError"):
        load_model(tmp_path / "a.npz")
