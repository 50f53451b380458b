"""Variational autoencoders: terms, gradients and bound by NumPy, and a linear one whose likelihood is known."""

import math
from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.special import expit, ndtri

from rnnrbm import fit, load_model
from rnnrbm.backend import engine, random
from rnnrbm.backend.random import key_from_seed, uniform_numpy
from rnnrbm.batch import Batch
from rnnrbm.models import vae as module
from rnnrbm.models.vae import VAE
from rnnrbm.units import Bernoulli, Gaussian, LearnedGaussian


def vae(n_visible: int, *sizes: int, scale: float = 0.5, **options: Any) -> VAE:
    """Every parameter random."""
    model = VAE.init(n_visible, *sizes, seed=0, **options)
    rng = np.random.default_rng(1)
    for p in model.params:
        p.set_value((scale * rng.normal(size=p.type.shape)).astype(p.dtype))
    return model


def values(model: VAE) -> list[np.ndarray]:
    return [engine.to_numpy(p).astype(float) for p in model.params]


def noise_of(seed: int, draw: int, shape: tuple[int, ...]) -> np.ndarray:
    """The normal numbers of a draw, from their uniform ones."""
    return ndtri(uniform_numpy(key_from_seed(seed), draw, shape).astype(float) + 2.0**-25)


def network(x: np.ndarray, layers: list[np.ndarray]) -> np.ndarray:
    for W, b in zip(layers[:-2:2], layers[1:-2:2], strict=True):
        x = np.tanh(x @ W + b)
    return x @ layers[-2] + layers[-1]


def encoded(x: np.ndarray, p: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations of the latent units; half of the parameters are the encoder's."""
    mean, log_s = np.split(network(x, p[: len(p) // 2]), 2, axis=1)
    return mean, np.exp(log_s)


def log_bernoulli(x: np.ndarray, z: np.ndarray, p: list[np.ndarray]) -> np.ndarray:
    on = expit(network(z, p[len(p) // 2 :]))
    return np.where(x == 1, np.log(on), np.log(1 - on)).sum(axis=-1)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_loss_and_gradient_are_those_of_numpy(n_layers):
    """By central differences of a NumPy calculation with the same random numbers."""
    model = vae(5, 4, 3, n_layers)
    x = (np.random.default_rng(2).random((4, 2, 5)) < 0.5).astype(np.float32)
    counts = np.float32([[1, 1], [1, 1], [1, 0], [1, 0]])
    v, mask = pt.tensor("v", dtype="float32", shape=x.shape), pt.tensor("mask", dtype="float32", shape=counts.shape)
    loss = model.loss(Batch(v, mask, mask), random.shared(3))
    assert set(loss.metrics) == {"reconstruction", "kl"}
    f = engine.function([v, mask], [loss.cost, *loss.metrics.values(), *pt.grad(loss.cost, model.params)])
    cost, reconstruction, kl, *grads = (engine.to_numpy(y).astype(float) for y in f(x, counts))
    rows, weight = x.transpose(1, 0, 2).reshape(8, 5).astype(float), counts.T.ravel()
    noise = noise_of(3, 0, (8, 3))

    def terms(p: list[np.ndarray]) -> list[float]:
        mean, s = encoded(rows, p)
        each = log_bernoulli(rows, mean + s * noise, p), 0.5 * (mean**2 + s**2 - 1 - 2 * np.log(s)).sum(axis=1)
        return [weight @ term / weight.sum() for term in each]

    params = values(model)
    assert_allclose([reconstruction, kl], terms(params), rtol=1e-5)
    assert cost == pytest.approx(kl - reconstruction, rel=1e-5)
    rng = np.random.default_rng(4)
    for i, found in enumerate(grads):
        direction = rng.normal(size=found.shape)  # all entries at once, which finds any single error
        ends = []
        for step in (1e-5, -1e-5):
            moved = [p + step * direction if j == i else p for j, p in enumerate(params)]
            reconstruction, kl = terms(moved)
            ends.append(kl - reconstruction)
        slope = (ends[0] - ends[1]) / 2e-5
        assert (found * direction).sum() == pytest.approx(slope, abs=2e-5), model.params[i].name
        assert abs(slope) > 1e-3
    changed = np.where(counts[:, :, None] > 0, x, 1 - x)
    assert engine.to_numpy(f(changed, counts)[0]) == np.float32(cost)  # what is masked does not matter


def test_the_divergence_is_the_mean_of_the_log_ratio():
    model = vae(4, 5, 3, 1)
    x = np.random.default_rng(2).integers(0, 2, (3, 4))
    *_, kl, _ = model.terms(pt.as_tensor(x.astype(np.float32)), random.shared(0))
    mean, s = encoded(x, values(model))
    z = mean + s * np.random.default_rng(3).normal(size=(200_000, 3, 3))
    ratio = (stats.norm.logpdf(z, mean, s) - stats.norm.logpdf(z)).sum(axis=2)
    error = ratio.std(axis=0) / math.sqrt(len(z))
    assert error.max() < 0.01
    found = np.asarray(engine.function([], kl)())
    assert (np.abs(found - ratio.mean(axis=0)) < 4.5 * error).all()
    assert found.min() > 0.1


def linear(visible: Any, n: int = 6, n_latent: int = 2, width: float = 1.3) -> VAE:
    """A linear decoder, and an encoder whose deviations are `width` times those of the posterior."""
    model = vae(n, 1, n_latent, 0, visible=visible)
    W, b, sigma = engine.to_numpy(model.decoder[0].W), engine.to_numpy(model.decoder[0].b), deviation(model)
    inverse = np.linalg.inv(np.eye(n_latent) + (W / sigma**2) @ W.T)
    to_mean = (W / sigma**2).T @ inverse
    encoder = np.concatenate([to_mean, np.zeros((n, n_latent))], axis=1)
    biases = np.concatenate([-b @ to_mean, np.full(n_latent, np.log(width)) + 0.5 * np.log(np.diag(inverse))])
    model.encoder[0].W.set_value(encoder.astype(np.float32))
    model.encoder[0].b.set_value(biases.astype(np.float32))
    return model


def deviation(model: VAE) -> Any:
    unit = model.visible
    return np.exp(engine.to_numpy(unit.log_sigma)) if isinstance(unit, LearnedGaussian) else unit.sigma


@pytest.mark.parametrize("visible", [Gaussian(0.6), LearnedGaussian.init(6)], ids=["gaussian", "learned"])
def test_the_bound_of_a_linear_one_approaches_its_log_likelihood(visible):
    """With normal noise on a linear decoder, frames have a normal distribution with the covariance W'W + sigma^2."""
    model = linear(visible)
    W, b, sigma = (
        engine.to_numpy(model.decoder[0].W).astype(float),
        engine.to_numpy(model.decoder[0].b),
        deviation(model),
    )
    exact_density = stats.multivariate_normal(b, W.T @ W + np.diag(np.broadcast_to(sigma, 6) ** 2))
    frames = exact_density.rvs(230, random_state=np.random.default_rng(5)).astype(np.float32)  # three blocks
    exact = exact_density.logpdf(frames)
    few, many = (model.bound(frames, n_samples=n, seed=1) for n in (1, 3010))
    elbo = model.score([frames[:100], frames[100:]])
    assert len(many.frames[0]) == 230
    assert elbo == pytest.approx(few.mean, abs=0.15)
    assert elbo < many.mean - 0.1
    assert many.mean == pytest.approx(exact.mean(), abs=0.01)
    off = many.frames[0] - exact
    assert np.abs(off).max() < 0.3
    assert np.square(off).mean() == pytest.approx(many.variances[0].mean(), rel=0.5)
    assert many.diagnostics() == ""
    assert few.variances[0].max() == 0.0
    assert f"{few}" == f"{few.mean:.3f} +- 0.000 nats per frame (importance-weighted lower bound, 1 sample)"
    sampled = model.sample(40_000, seed=6)
    assert_allclose(np.cov(sampled.T), exact_density.cov, atol=0.03)
    assert_allclose(sampled.mean(axis=0), b, atol=0.03)


def test_the_bound_and_samples_of_a_binary_one_are_those_of_enumeration(monkeypatch):
    """log p(v) on a grid over one latent unit."""
    monkeypatch.setattr(module, "BOUND_ROWS", 5)
    model = vae(3, 4, 1, 1, scale=1.0)
    for t in model.encoder[-1]:  # it then covers the posterior
        t.set_value(engine.to_numpy(t) * np.float32(0.1))
    p = values(model)
    states = (np.arange(8)[:, None] >> np.arange(3)) & 1
    grid = np.linspace(-9, 9, 4001)
    exact = np.array(
        [np.trapezoid(np.exp(log_bernoulli(s, grid[:, None], p)) * stats.norm.pdf(grid), grid) for s in states]
    )
    assert exact.sum() == pytest.approx(1.0)
    scored = model.bound(states, n_samples=2000, seed=2)
    error = np.sqrt(scored.variances[0])
    assert error.max() < 0.1
    assert (np.abs(scored.frames[0] - np.log(exact)) < 4 * error).all()
    mean, s = encoded(states, p)
    noise = noise_of(2, 0, (module.BOUND_SAMPLES, 5, 1))
    z = mean[:5] + s[:5] * noise
    log_w = log_bernoulli(states[:5], z, p) + (stats.norm.logpdf(z) - stats.norm.logpdf(z, mean[:5], s[:5]))[..., 0]
    first = model.bound(states, n_samples=module.BOUND_SAMPLES, seed=2)
    assert_allclose(first.frames[0][:5], np.log(np.exp(log_w).mean(axis=0)), rtol=1e-4)
    w = np.exp(log_w)
    assert_allclose(first.effective_sample_size[:5], w.sum(axis=0) ** 2 / (w**2).sum(axis=0), rtol=1e-3)
    assert_array_equal(model.bound(states, n_samples=7, seed=3).frames, model.bound(states, n_samples=7, seed=3).frames)
    sampled = model.sample(20_000, seed=4) @ (1 << np.arange(3))
    counts = np.bincount(sampled.astype(int), minlength=8)
    assert stats.chisquare(counts, 20_000 * exact / exact.sum()).pvalue > 1e-4
    assert_allclose(model.encode(states), mean, rtol=1e-4, atol=1e-6)
    assert_allclose(model.reconstruct(states), expit(network(mean, p[len(p) // 2 :])), rtol=1e-4)
    ends = [expit(network(np.float64([[z]]), p[len(p) // 2 :]))[0] for z in (1, -1)]
    assert_allclose(model.filters(), (ends[0] - ends[1])[:, None], rtol=1e-4)


def bars(n: int, seed: int) -> np.ndarray:
    """Images of 4 x 4 pixels with some of four rows and of four columns on."""
    on = np.random.default_rng(seed).random((n, 8)) < 0.25
    rows, columns = np.repeat(on[:, :4, None], 4, axis=2), np.repeat(on[:, None, 4:], 4, axis=1)
    return (rows | columns).reshape(n, 16).astype(np.uint8)


def test_bars_are_learned_and_a_saved_one_is_the_same(tmp_path):
    train, test = bars(600, 0), bars(200, 1)
    model = VAE.init(16, 40, 6, 1, seed=0)
    rows = list(fit(model, train, test, epochs=40, learning_rate=0.01, batch_size=30, valid_every=20))
    assert rows[-1]["loss"] == pytest.approx(rows[-1]["kl"] - rows[-1]["reconstruction"], rel=1e-4)
    mean = train.mean(axis=0)
    entropy = (test * np.log(mean) + (1 - test) * np.log(1 - mean)).sum(axis=1).mean()
    bound = model.bound(test, n_samples=200)
    assert rows[-1]["valid_score"] == model.score([test]) > entropy + 2
    assert bound.mean > model.score([test])
    error, of_mean = (np.square(x - test).sum(axis=1).mean() for x in (model.reconstruct(test), mean))
    assert error < of_mean / 4
    model.save(tmp_path / "vae.npz")
    again = load_model(tmp_path / "vae.npz")
    assert again.score([test]) == model.score([test])
    assert again.visible == Bernoulli()


def test_what_is_impossible_is_said():
    for options, kind, message in (
        ({"n_latent": 0}, ValueError, "n_latent=0: expected a whole number, at least 1"),
        ({"n_hidden": 0}, ValueError, "n_hidden=0: expected a whole number, at least 1"),
        ({"n_layers": -1}, ValueError, "n_layers=-1: expected a whole number, at least 0"),
        ({"n_latent": "2"}, TypeError, "n_latent=.2.: expected a whole number"),
        ({"b_v": np.zeros(3)}, ValueError, r"b_v has shape \(3,\), expected \(4,\)"),
        ({"visible": "binary"}, TypeError, "visible must be a unit type"),
    ):
        with pytest.raises(kind, match=message):
            VAE.init(4, **{"seed": 0} | options)
    model = VAE.init(4, 3, 2, seed=0)
    assert [p.name for p in model.params] == [
        *("W_encoder1", "b_encoder1", "W_encoder2", "b_encoder2", "W_z", "b_z"),
        *("W_decoder1", "b_decoder1", "W_decoder2", "b_decoder2", "W_v", "b_v"),
    ]
    with pytest.raises(ValueError, match="n_samples=0: expected a whole number, at least 1"):
        model.bound(np.zeros((2, 4)), n_samples=0)
    with pytest.raises(ValueError, match="k=0"):
        model.sample(2, k=0)
    with pytest.raises(ValueError, match=r"holds 0\.5 in frame 0, column 0"):
        model.bound(np.full((2, 4), 0.5))
