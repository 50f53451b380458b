"""Runs of models of single images: train, interrupt, resume, score, sample, draw, read back."""

import json
import re

import helpers
import numpy as np
import pytest

import rnnrbm
from rnnrbm import checkpoint, datasets
from rnnrbm.datasets import Dataset
from rnnrbm.experiment import evaluation, run
from rnnrbm.experiment.config import Config
from rnnrbm.joint_units import Joint
from rnnrbm.kinds.image import Image
from rnnrbm.kinds.labelled_image import LabelledImage
from rnnrbm.models.registry import STATIC_MODELS
from rnnrbm.scoring.labels import classify
from rnnrbm.units import Bernoulli, Softmax

MODELS = ("rbm", *(name for name in STATIC_MODELS if name != "multimodal-dbm"))  # which needs labels
SIZES = {"rbm": {"n_hidden": 5}, "boltzmann": {"n_hidden": 4}, "autoencoder": {"n_hidden": 5}, "hopfield": {}}
SIZES |= {"dbm": {"layers": [5, 4], "n_chains": 8, "n_mean_field": 3}}
SIZES |= {"multimodal-dbm": {"layers": [5, 3, 4], "n_chains": 8, "n_mean_field": 3}}
SIZES |= {"vae": {"n_hidden": 5, "n_latent": 2}, "dbn": {"layers": [5, 3]}}


def bars(n, seed):
    """Images of 4 x 3 pixels: each row is on or off, with a little noise."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(rng.integers(0, 2, (n, 4)), 3, axis=1)
    return (rows ^ (rng.random((n, 12)) < 0.05)).astype(np.uint8)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "bars.npz"
    kind = Image(4, 3, "original")
    datasets.save(path, Dataset("bars", [bars(60, 0)], [bars(20, 1)], [bars(20, 2)], kind))
    return path


def settings(source, name, **training):
    small = {"n_chains": 4, "n_temperatures": 20}
    of_rbm = {"valid_n_chains": 4, "valid_n_temperatures": 20} if name == "rbm" else {}
    epochs = {"epochs": 3, "batch_size": 20, "valid_every": 2}
    return Config.from_dict(
        {
            "data": {"source": str(source)},
            "model": {"name": name, **SIZES[name]},
            "training": epochs | of_rbm | training,
            "evaluation": small,
            "generation": {"n_samples": 2, "n_frames": 6, "k": 5},
        }
    )


def told(*arguments):
    return helpers.rnnrbm(*arguments).stdout


@pytest.mark.filterwarnings("ignore:there are 60 patterns")
@pytest.mark.parametrize("name", MODELS)
def test_a_run_resumes_bit_for_bit_and_is_read_back(name, source, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    results = run.train(settings(source, name), whole)
    asked = 0

    def stop():
        nonlocal asked
        asked += 1
        return asked == 4  # in the middle of the second epoch

    with pytest.raises(run.Interrupted):
        run.train(settings(source, name), parts, stop=stop)
    run.train(None, parts, resume=True)
    states = [checkpoint.load(folder / "checkpoint.npz")[0] for folder in (whole, parts)]
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key], err_msg=key)
    assert (whole / "samples" / "sample-2.npy").read_bytes() == (parts / "samples" / "sample-2.npy").read_bytes()

    figures = {path.name for path in (whole / "figures").iterdir()}
    expected = {"learning_curves.png", "sample.png", "statistics.png", "reconstructions.png"}
    assert figures == expected | (set() if name == "hopfield" else {"filters.png"})
    samples = np.load(whole / "samples" / "sample-1.npy")
    assert samples.shape == (6, 4, 3)
    assert set(np.unique(samples)) <= {0, 1}
    read = run.load(whole)
    assert read.kind == Image(4, 3, "original")
    again = run.draw_samples(read, 6, n_samples=2, k=5, seed=0)
    np.testing.assert_array_equal(again[0].reshape(6, 4, 3), samples)
    data = datasets.load(source)
    if name == "rbm":
        assert results["test_ll"] < 0
        assert results["test_score"] is None
        assert set(results["baselines"]) == {"independent pixels"}
    else:
        assert results["test_ll"] is None
        score = read.model.score(data.test)
        assert results["test_score"] == {"name": read.model.score_name, "value": pytest.approx(score)}
    found = evaluation.evaluate(read, data, n_chains=None, bracket=name == "rbm")
    assert found["frames"] == 20
    assert ("score" in found) == (name != "rbm")
    assert ("bound" in found) == (name in ("dbm", "dbn", "vae"))
    assert json.loads((whole / "evaluations" / "bars-test.json").read_text()) == json.loads(json.dumps(found))


def test_a_run_with_a_bound_is_scored_by_it(source, tmp_path):
    out = str(tmp_path / "dbm")
    settings = ("model.layers=[5, 4]", "training.epochs=1", "generation.n_samples=1", "generation.k=5")
    options = [word for setting in settings for word in ("--set", setting)]
    said = told("train", "--data", str(source), "--model", "dbm", "--out", out, *options)
    assert re.search(r"this DBM .* -\d+\.\d{3} .* lower bound by mean field, log Z exact; epoch 1", said)
    how = ("--n-chains", "30", "--n-temperatures", "40", "--schedule", "sigmoid", "--seed", "3")
    said = told("evaluate", out, "--method", "ais", *how)
    in_words = r"lower bound by mean field, log Z by AIS, 30 chains x 40 temperatures, sigmoid"
    assert re.search(rf"log-likelihood, nats per frame, at least: -\d+\.\d+ ± \d\.\d+ \({in_words}", said)
    found = json.loads((tmp_path / "dbm" / "evaluations" / "bars-test.json").read_text())["bound"]
    read, data = run.load(tmp_path / "dbm"), datasets.load(source)
    given = {"n_chains": 30, "n_temperatures": 40, "schedule": "sigmoid", "seed": 3}
    again = rnnrbm.log_likelihood(read.model, data.test, method="ais", **given)
    assert found["mean"] == pytest.approx(again.mean, abs=1e-6)
    assert found["standard_error"] == pytest.approx(again.standard_error)
    assert found["effective_sample_size"] == pytest.approx(again.effective_sample_size.min())
    with pytest.raises(ValueError, match="n_bracket_frames: the bound of a DBM has no such setting; it has n_chains"):
        evaluation.evaluate(read, data, n_bracket_frames=20)


def test_settings_of_a_score_that_a_model_does_not_have_are_refused(source, tmp_path):
    model = rnnrbm.build("hopfield", 12, seed=0)
    own = run.Run(tmp_path, settings(source, "hopfield"), model, Image(4, 3, "original"), 1)
    for given in ({"n_chains": 20}, {"method": "ais"}, {"schedule": "linear"}):
        with pytest.raises(
            ValueError, match=f"{next(iter(given))}: a Hopfield has neither a log-likelihood nor a bound"
        ):
            evaluation.evaluate(own, datasets.load(source), **given)
    with pytest.raises(TypeError, match=r"a Hopfield has no log-likelihood; it is measured by model\.score"):
        rnnrbm.log_likelihood(model, bars(3, 0))
    dbm = rnnrbm.build("dbm", 12, layers=(3, 2), seed=0)
    with pytest.raises(ValueError, match="exact_states: the bound of a DBM has no such setting"):
        rnnrbm.log_likelihood(dbm, bars(3, 0), exact_states=bars(3, 0))


def test_images_and_labels_are_a_run_of_a_multimodal_dbm(tmp_path):
    pieces = [bars(n, seed) for seed, n in enumerate((60, 20, 20))]
    labels = {split: [piece[:, 0].astype(int)] for split, piece in zip(datasets.SPLITS, pieces, strict=True)}
    data = Dataset("bars", *([piece] for piece in pieces), Image(4, 3, "original"), labels=labels)
    path, out = tmp_path / "bars.npz", tmp_path / "run"
    datasets.save(path, data)
    config = settings(path, "multimodal-dbm").replaced({"data.with_labels": True})
    results = run.train(config, out)
    read = run.load(out)
    assert results["test_bound"]["mean"] == pytest.approx(read.model.bound(data.with_labels().test).mean, abs=1e-4)
    wrong = read.model.classify(pieces[2]).argmax(axis=1) != labels["test"][0]
    assert results["label_error"] == evaluation.evaluate(read, data.with_labels())["label_error"] == wrong.mean()
    with pytest.raises(ValueError, match="visible must have two parts or more"):
        run.train(settings(path, "multimodal-dbm"), tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_the_command_line_has_it_all(source, tmp_path):
    out = str(tmp_path / "net")
    more = ["--set", "generation.n_samples=1", "--set", "model.n_hidden=9"]
    done = helpers.rnnrbm("train", "--data", str(source), "--model", "hopfield", "--out", out, *more)
    assert "hopfield has no model.n_hidden, so this is ignored" in done.stderr + done.stdout
    said = done.stdout
    assert re.search(r"train +60 images\n +valid +20 images", done.stderr + done.stdout)
    assert "Test set of bars, 20 images" in said
    assert re.search(r"this Hopfield net .* 0\.\d{4} .* share of pixels recalled", said)
    said = told("evaluate", out)
    assert re.search(r"share of pixels recalled from 10 % flipped \(0\.90 are right before\): 0\.\d{4}", said)
    said = told("generate", out, "--n-samples", "1", "--n-frames", "4")
    assert "seed0-1.npy" in said
    assert np.load(tmp_path / "net" / "generated" / "seed0-1.npy").shape == (4, 4, 3)


def test_a_run_on_images_and_labels_classifies_them(tmp_path):
    """Labels that say which row of pixels is on are learned, and told of every test image."""
    labels = [np.random.default_rng(seed).integers(0, 4, n) for seed, n in enumerate((200, 40, 40))]
    images = [np.repeat(np.eye(4, dtype=np.uint8)[each], 3, axis=1) for each in labels]
    named = dict(zip(datasets.SPLITS, ([each] for each in labels), strict=True))
    plain = Dataset("rows", *([each] for each in images), Image(4, 3, "original"), labels=named)
    path, out = tmp_path / "rows.npz", tmp_path / "run"
    datasets.save(path, plain)
    config = settings(path, "rbm", epochs=20, learning_rate=0.3)
    config = config.replaced({"data.with_labels": True, "evaluation.n_temperatures": 400, "evaluation.n_chains": 20})
    results = run.train(config, out)
    data = plain.with_labels()
    read = run.load(out)
    assert read.kind == data.kind == LabelledImage(4, 3, 4, "original")
    assert read.model.density.visible == Joint(((12, Bernoulli()), (4, Softmax(4))))
    predicted = classify(read.model, images[2], 4).argmax(axis=1)
    assert results["label_error"] == np.mean(predicted != labels[2]) < 0.1
    assert set(results["baselines"]) == {"independent pixels and label", "independent pixels given the label"}
    assert {file.name for file in (out / "samples").iterdir()} >= {"sample-1.npz", "sample-1.png"}
    assert {path.name for path in (out / "figures").iterdir()} >= {"reconstructions.png", "statistics.png"}
    said = told("evaluate", str(out), "--data", str(path), "--method", "exact")  # images that get their labels for it
    assert "rows, test: 40 images" in said
    assert f"label: {100 * results['label_error']:.2f} % of the images are classified wrongly" in said


def test_a_sequence_model_is_refused_for_images(source, tmp_path):
    with pytest.raises(
        ValueError, match=r"do not follow each other in time.*choose one of rbm, nade, conv-rbm, boltzmann"
    ):
        run.train(Config.from_dict({"data": {"source": str(source)}, "model": {"name": "rnn"}}), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_usual_model_of_images_is_the_rbm(source):
    from rnnrbm.experiment.setup import resolved

    chosen = resolved(Config.from_dict({"data": {"source": str(source)}, "model": {"name": "rbm"}}))
    assert (chosen.generation.k, chosen.generation.n_init_states, chosen.evaluation.n_exact_states) == (1000, 0, 0)
    assert (chosen.evaluation.n_chains, chosen.evaluation.n_temperatures) == (500, 16_000)


def test_what_a_static_model_does_not_have_is_refused_before_any_work(source, tmp_path):
    config = settings(source, "hopfield").replaced({"generation.temperature": 0.5})
    with pytest.raises(ValueError, match="hopfield samples at temperature 1 only"):
        run.train(config, tmp_path / "x")
    with pytest.raises(ValueError, match="k: Autoencoder has no use for this setting"):
        run.train(settings(source, "autoencoder", k=3), tmp_path / "x")
    assert not (tmp_path / "x").exists()
    model = rnnrbm.build("hopfield", 12, seed=0)
    own = run.Run(tmp_path, settings(source, "hopfield"), model, Image(4, 3, "original"), 1)
    with pytest.raises(ValueError, match="independent of each other"):
        run.draw_samples(own, 3, n_samples=1, k=2, seed=0, prime=bars(2, 3))


def test_images_that_do_not_suit_the_units_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match="divide by the greatest possible value, 255"):
        Dataset("grey", [255.0 * bars(5, 0)], [], [], Image(4, 3))
    grey = Dataset("grey", [0.5 * bars(5, 0)], [0.5 * bars(5, 0)], [], Image(4, 3))
    with pytest.raises(ValueError, match="binarise"):
        rnnrbm.fit(rnnrbm.RBM.init(12, 3, seed=0), grey.train)
