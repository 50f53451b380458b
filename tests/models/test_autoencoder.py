"""Denoising autoencoders: the loss and its gradient by NumPy, what is corrupted, and what is restored."""

import math
from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from rnnrbm import fit
from rnnrbm.backend import engine, random
from rnnrbm.backend.random import key_from_seed, uniform_numpy
from rnnrbm.batch import Batch
from rnnrbm.models.autoencoder import Autoencoder
from rnnrbm.units import Bernoulli, Gaussian, LearnedGaussian, Softmax


def autoencoder(n_visible: int, n_hidden: int, **options: Any) -> Autoencoder:
    """Every parameter random."""
    model = Autoencoder.init(n_visible, n_hidden, seed=0, **options)
    rng = np.random.default_rng(1)
    for p in model.params:
        p.set_value((0.7 * rng.normal(size=p.type.shape)).astype(p.dtype))
    return model


def bars(n: int, seed: int) -> np.ndarray:
    """Images of 4 x 4 pixels with some of four rows and of four columns on."""
    on = np.random.default_rng(seed).random((n, 8)) < 0.25
    rows, columns = np.repeat(on[:, :4, None], 4, axis=2), np.repeat(on[:, None, 4:], 4, axis=1)
    return (rows | columns).reshape(n, 16).astype(np.uint8)


def test_loss_and_gradient_are_those_of_numpy():
    """By central differences of a NumPy calculation with the same random numbers."""
    model = autoencoder(5, 3, corruption=0.4)
    x = (np.random.default_rng(2).random((4, 2, 5)) < 0.5).astype(np.float32)
    counts = np.float32([[1, 1], [1, 1], [1, 0], [1, 0]])
    v, mask = pt.tensor("v", dtype="float32", shape=x.shape), pt.tensor("mask", dtype="float32", shape=counts.shape)
    loss = model.loss(Batch(v, mask, mask), random.shared(3))
    f = engine.function([v, mask], [loss.cost, *pt.grad(loss.cost, model.params)])
    cost, *grads = (engine.to_numpy(y).astype(float) for y in f(x, counts))
    rows, weight = x.transpose(1, 0, 2).reshape(8, 5).astype(float), counts.T.ravel()
    kept = uniform_numpy(key_from_seed(3), 0, (8, 5)) >= np.float32(0.4)
    assert 0 < (~kept & (rows == 1)).sum() < rows.sum()

    def oracle(W: np.ndarray, b_v: np.ndarray, b_h: np.ndarray) -> float:
        p = expit(expit((rows * kept) @ W + b_h) @ W.T + b_v)
        return -(weight @ (rows * np.log(p) + (1 - rows) * np.log(1 - p)).sum(axis=1)) / weight.sum()

    values = [engine.to_numpy(p).astype(float) for p in model.params]
    assert cost == pytest.approx(oracle(*values), rel=1e-5)
    for i, found in enumerate(grads):
        for at in np.ndindex(found.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [value.copy() for value in values]
                moved[i][at] += step
                ends.append(oracle(*moved))
            assert found[at] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=2e-6), (model.params[i].name, at)
    changed = np.where(counts[:, :, None] > 0, x, 1 - x)
    assert engine.to_numpy(f(changed, counts)[0]) == np.float32(cost)  # what is masked does not matter


@pytest.mark.parametrize("visible", [Gaussian(0.5), LearnedGaussian.init(4), Softmax(2), Bernoulli()], ids=repr)
def test_what_is_corrupted(visible):
    model = autoencoder(4, 3, visible=visible, corruption=0.3)
    v = pt.as_tensor(np.ones((5000, 4), np.float32))
    noisy, rng = model.corrupt(v, random.shared(1))
    x, clean = engine.function([], [noisy, model._replace(corruption=0.0).corrupt(v, rng)[0]])()
    assert_array_equal(engine.to_numpy(clean), 1.0)
    change = engine.to_numpy(x) - 1.0
    if visible.is_discrete:
        assert set(np.unique(change)) == {-1.0, 0.0}
        assert_allclose((change == -1).mean(axis=0), 0.3, atol=0.03)
    else:
        assert_allclose(change.mean(axis=0), 0.0, atol=0.02)
        assert_allclose(change.std(axis=0), 0.3, atol=0.02)
    assert len(model.params) == 3 + isinstance(visible, LearnedGaussian)


def test_scores_and_features_are_those_of_numpy():
    model = autoencoder(4, 3, visible=Gaussian(0.5), corruption=2.0)
    W, b_v, b_h = (engine.to_numpy(p).astype(float) for p in model.params)
    frames = np.random.default_rng(4).normal(size=(600, 4)).astype(np.float32)  # more than are computed at a time
    h = expit(frames @ W + b_h)
    a = h @ W.T + b_v
    assert_allclose(model.encode(frames), h, rtol=1e-4)
    assert_allclose(model.reconstruct(frames), a, atol=1e-5)
    log_p = (-0.5 * ((frames - a) / 0.5) ** 2 - math.log(0.5) - 0.5 * math.log(2 * math.pi)).sum(axis=1)
    assert model.score([frames[:500], frames[500:]]) == pytest.approx(log_p.mean(), rel=1e-5)
    assert_array_equal(model.filters(), engine.to_numpy(model.W))
    # one step of the chain: noise of deviation sqrt(1 + 4) in, hidden units, and a sample of the decoder
    x = np.random.default_rng(5).normal(size=(20_000, 4)) * math.sqrt(5)
    expected = expit(x @ W + b_h) @ W.T + b_v
    sampled = model.sample(5000, k=1, seed=6)
    assert_allclose(sampled.mean(axis=0), expected.mean(axis=0), atol=0.06)
    assert_allclose(np.cov(sampled.T), np.cov(expected.T) + 0.25 * np.eye(4), atol=0.08)


def test_bars_are_restored_and_sampled():
    train, test = bars(400, 0), bars(200, 1)
    model = Autoencoder.init(16, 16, seed=0)
    rows = list(fit(model, train, test, epochs=40, batch_size=40, learning_rate=0.05, valid_every=20))
    mean = train.mean(axis=0)
    entropy = (test * np.log(mean) + (1 - test) * np.log(1 - mean)).sum(axis=1).mean()
    assert rows[-1]["valid_score"] == model.score([test]) > entropy + 7
    assert rows[-1]["valid_score"] > -rows[-1]["loss"]  # without corruption it is easier
    error, of_mean = (np.square(x - test).sum(axis=1).mean() for x in (model.reconstruct(test), mean))
    assert error < of_mean / 5
    known = {image.tobytes() for image in bars(20_000, 2)}

    def share(images: np.ndarray) -> float:
        return float(np.mean([image.astype(np.uint8).tobytes() in known for image in images]))

    samples = model.sample(300, k=30, seed=3)
    independent = np.random.default_rng(4).random((300, 16)) < mean
    assert share(samples) > 5 * share(independent) + 0.05


def test_what_is_impossible_is_said():
    for options, kind, message in (
        ({"corruption": 1.0}, ValueError, r"corruption=1\.0: expected at least 0 and below 1"),
        ({"corruption": -0.1, "visible": Gaussian()}, ValueError, "corruption=-0.1: expected a standard deviation"),
        ({"n_hidden": 0}, ValueError, "n_hidden=0: expected a whole number, at least 1"),
        ({"b_v": np.zeros(3)}, ValueError, r"b_v has shape \(3,\), expected \(4,\)"),
        ({"visible": "binary"}, TypeError, "visible must be a unit type"),
    ):
        with pytest.raises(kind, match=message):
            Autoencoder.init(4, **{"seed": 0} | options)
    assert Autoencoder.init(4, 2, seed=0, visible=Gaussian(), corruption=1.5).corruption == 1.5
    most = 4 * math.sqrt(6 / 30)
    W = engine.to_numpy(Autoencoder.init(10, 20, seed=0).W)
    assert 0.9 * most < np.abs(W).max() <= most
