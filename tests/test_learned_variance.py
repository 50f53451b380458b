"""Gaussian units of learned variance: the same law as fixed ones, gradients, estimates of Z, and training."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy.special import logsumexp

import rnnrbm
from rnnrbm.backend import engine, random
from rnnrbm.densities import Independent
from rnnrbm.rbm import RBM
from rnnrbm.scoring.likelihood import log_likelihood
from rnnrbm.scoring.partition import exact_log_Z
from rnnrbm.units import Bernoulli, Gaussian, LearnedGaussian, Unit, unit_tensors, with_unit_tensors

SIGMA = np.array([0.5, 1.0, 2.0], np.float32)


def learned(sigma: np.ndarray = SIGMA) -> LearnedGaussian:
    return LearnedGaussian(engine.shared(np.log(sigma), "log_sigma", "float32"))


def machine(visible: Unit, n_visible: int = 3, n_hidden: int = 4) -> RBM:
    rng = np.random.default_rng(0)
    shapes = {"W": (n_visible, n_hidden), "b_v": (n_visible,), "b_h": (n_hidden,)}
    return RBM(*(engine.shared(0.6 * rng.normal(size=s), n, "float32") for n, s in shapes.items()), visible)


def values(graph: Any) -> np.ndarray:
    return np.asarray(engine.function([], graph)(), float)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.0])
def test_equal_deviations_are_those_of_fixed_units(sigma):
    one, many = Gaussian(sigma), learned(np.full(3, sigma, np.float32))
    x = pt.as_tensor(np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32))
    for name in ("statistic", "base", "log_partition", "mean"):
        np.testing.assert_allclose(values(getattr(many, name)(x)), values(getattr(one, name)(x)), rtol=2e-5, atol=1e-6)
    samples = [values(unit.sample(x, random.shared(3))[0]) for unit in (one, many)]
    np.testing.assert_allclose(*samples, rtol=1e-5)
    cool, hot = one.at_temperature(0.3), many.at_temperature(0.3)
    assert cool[1] == hot[1]
    np.testing.assert_allclose(
        values(hot[0].sample(x, random.shared(3))[0]), values(cool[0].sample(x, random.shared(3))[0]), rtol=1e-5
    )


def test_free_energy_and_log_Z_by_numpy():
    rbm = machine(learned())
    W, b_v, b_h = (engine.to_numpy(t).astype(float) for t in (rbm.W, rbm.b_v, rbm.b_h))
    v = np.random.default_rng(2).normal(size=(6, 3))
    s = v / SIGMA**2
    free = (v**2 / (2 * SIGMA**2) - s * b_v).sum(axis=1) - np.log1p(np.exp(s @ W + b_h)).sum(axis=1)
    got = values(rbm.free_energy(pt.as_tensor(v.astype(np.float32))))
    np.testing.assert_allclose(got, free, rtol=1e-4, atol=1e-4)
    h = np.array([[(i >> j) & 1 for j in range(4)] for i in range(16)])
    a = b_v + h @ W.T  # given h, v is normal around a
    log_Z = logsumexp(h @ b_h + (a**2 / (2 * SIGMA**2) + np.log(SIGMA) + 0.5 * np.log(2 * np.pi)).sum(axis=1))
    assert values(exact_log_Z(rbm)) == pytest.approx(log_Z, abs=1e-4)


def test_the_gradient_of_the_log_likelihood_is_that_of_finite_differences():
    """d log p / d log sigma = -dF/d log sigma less its mean under the model, which enumeration of h gives."""
    rbm = machine(learned())
    v = pt.as_tensor(np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32))
    log_sigma: Any = unit_tensors(rbm.visible)[0]
    log_p = (-rbm.free_energy(v) - exact_log_Z(rbm)).mean()
    score, gradient = engine.function([], log_p), values(pt.grad(log_p, log_sigma))
    start, step = log_sigma.get_value(), 1e-2
    for i in range(3):
        ends = []
        for sign in (1, -1):
            moved = start.copy()
            moved[i] += sign * step
            log_sigma.set_value(moved)
            ends.append(float(score()))
        log_sigma.set_value(start)
        assert gradient[i] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=2e-3)


@pytest.mark.parametrize("method", ["ais", "raise"])
def test_annealing_agrees_with_the_exact_score(method):
    rbm = machine(learned())
    frames = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)
    exact = log_likelihood(rbm, frames, method="exact").mean
    assert log_likelihood(rbm, frames, method=method, n_chains=100, n_temperatures=300).mean == pytest.approx(
        exact, abs=0.03
    )


def test_the_chain_leaves_the_distribution_invariant():
    """Means and variances of long chains are those of the mixture of normals that enumeration gives."""
    rbm = machine(learned())
    W, b_v, b_h = (engine.to_numpy(t).astype(float) for t in (rbm.W, rbm.b_v, rbm.b_h))
    h = np.array([[(i >> j) & 1 for j in range(4)] for i in range(16)])
    a = b_v + h @ W.T
    weight = h @ b_h + (a**2 / (2 * SIGMA**2)).sum(axis=1)
    weight = np.exp(weight - logsumexp(weight))
    mean = weight @ a
    variance = weight @ (a - mean) ** 2 + SIGMA**2
    v = rnnrbm.rbm.gibbs(rbm, pt.zeros((20_000, 3), "float32"), random.shared(0), 60)[0]
    got = values(v)
    np.testing.assert_allclose(got.mean(axis=0), mean, atol=5 * np.sqrt(variance.max() / 20_000))
    np.testing.assert_allclose(got.var(axis=0), variance, rtol=0.06)


def test_parameters_of_units_are_tensors_of_their_density():
    rbm, alone = machine(learned()), Independent.init(3, visible=learned())
    for density in (rbm, alone):
        *_, log_sigma = density.tensors()
        assert log_sigma.name == "log_sigma"
        other = engine.shared(np.zeros(3), "other", "float32")
        changed = density.with_tensors([*density.tensors()[:-1], other])
        assert changed.visible.log_sigma is other
    units = with_unit_tensors((Bernoulli(), learned(), Gaussian(2.0)), [other])
    assert units[0] == Bernoulli()
    assert units[1].log_sigma is other
    assert units[2] == Gaussian(2.0)
    assert unit_tensors(Bernoulli(), Gaussian()) == []


@pytest.mark.parametrize("name", ["rnn", "rbm"])
def test_training_finds_the_deviations(name):
    rng = np.random.default_rng(0)
    sigma = np.array([0.5, 1.0, 1.6])
    pieces = [(sigma * rng.normal(size=(100, 3))).astype(np.float32) for _ in range(10)]
    size = {"n_hidden": 2} if name == "rbm" else {"n_recurrent": 2}
    model = rnnrbm.build(name, 3, visible="gaussian:learned", seed=0, **size)
    settings: Any = {"learning_rate": 2e-2, "weight_decay": 0.0, "centring": False}
    for _ in rnnrbm.fit(model, pieces, epochs=30, **settings):
        pass
    (log_sigma,) = (p for p in model.params if p.name == "log_sigma")
    np.testing.assert_allclose(np.exp(log_sigma.get_value()), sigma, rtol=0.1)


def test_a_sequence_model_is_saved_sampled_and_scored(tmp_path):
    model = rnnrbm.build("rnn-rbm", 3, visible="gaussian:learned", n_hidden=4, n_recurrent=3, seed=0)
    pieces = [np.random.default_rng(i).normal(size=(20, 3)).astype(np.float32) for i in range(4)]
    for _ in rnnrbm.fit(model, pieces, epochs=2):
        pass
    (log_sigma,) = (p for p in model.params if p.name == "log_sigma")
    assert np.abs(log_sigma.get_value()).max() > 0
    model.save(tmp_path / "model.npz")
    back = rnnrbm.load_model(tmp_path / "model.npz")
    exact = log_likelihood(model, pieces, method="exact").mean
    assert log_likelihood(back, pieces, method="exact").mean == exact
    for temperature in (1.0, 0.5):
        one, two = (rnnrbm.generate(m, 9, n_samples=2, k=3, seed=1, temperature=temperature) for m in (model, back))
        np.testing.assert_array_equal(one, two)
        assert np.isfinite(one).all()
    single = rnnrbm.generate(model, 9, n_samples=1, k=3, seed=1)
    assert single.shape[-2:] == (9, 3)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.inf, np.nan])
def test_impossible_deviations(sigma):
    with pytest.raises(ValueError, match="sigma must be positive"):
        LearnedGaussian.init(3, sigma)


def test_standard_deviations_that_a_network_sets():
    """Each frame has its own, with the weights W_ulog_sigma; scores by enumeration, by AIS and by scipy agree."""
    rng = np.random.default_rng(5)
    model = rnnrbm.build("rnn-rbm", 3, n_hidden=4, n_recurrent=5, visible="gaussian:conditional", seed=0)
    assert model.density.biases == ("b_v", "log_sigma", "b_h")
    assert [W.name for W in model.bias_weights] == ["W_uv", "W_ulog_sigma", "W_uh"]
    for p in model.params:
        p.set_value((p.get_value() + 0.4 * rng.normal(size=p.type.shape)).astype(p.dtype))
    piece = rng.normal(size=(7, 3)).astype(np.float32)
    exact = log_likelihood(model, [piece], method="exact")

    # by hand: a network in NumPy would repeat test_networks, so its outputs are taken from the graph
    from rnnrbm.networks import shifted_outputs

    u = values(shifted_outputs(model.network, pt.as_tensor(piece[:, None])))
    p = {t.name: engine.to_numpy(t).astype(float) for t in model.params}
    h = np.array([[(i >> j) & 1 for j in range(4)] for i in range(16)])
    expected = []
    for t in range(len(piece)):
        sigma = np.exp(p["log_sigma"] + 1.5 * np.tanh(u[t] @ p["W_ulog_sigma"] / 1.5))
        b_v, b_h = p["b_v"] + u[t] @ p["W_uv"], p["b_h"] + u[t] @ p["W_uh"]
        a = b_v + h @ p["W"].T
        log_w = h @ b_h + (0.5 * (a / sigma) ** 2 + np.log(sigma) + 0.5 * np.log(2 * np.pi)).sum(axis=1)
        joint = h @ b_h + ((piece[t] / sigma**2) * a - 0.5 * (piece[t] / sigma) ** 2).sum(axis=1)
        expected.append(logsumexp(joint) - logsumexp(log_w))
    np.testing.assert_allclose(np.concatenate(exact.frames), expected, atol=2e-3)
    by_ais = log_likelihood(model, [piece], n_chains=200, n_temperatures=200)
    assert by_ais.mean == pytest.approx(exact.mean, abs=0.05)


def test_deviations_that_a_network_sets_are_learned():
    """Of a process that is loud and quiet in turns, a model with deviations of its own for each frame knows more."""
    rng = np.random.default_rng(6)
    loud = np.tile(np.repeat([0.1, 1.0], 10), 20)
    piece = (loud[:, None] * rng.normal(size=(400, 2))).astype(np.float32)
    scores = {}
    for visible in ("gaussian:learned", "gaussian:conditional"):
        model = rnnrbm.build("rnn", 2, n_recurrent=12, visible=visible, seed=0)
        list(rnnrbm.fit(model, [piece], epochs=150, learning_rate=2e-2, input_noise=0.0, weight_decay=0.0))
        scores[visible] = log_likelihood(model, [piece]).mean
    assert scores["gaussian:conditional"] > scores["gaussian:learned"] + 0.7


def test_only_visible_units_of_one_type_have_such_deviations():
    with pytest.raises(ValueError, match="only the visible units"):
        rnnrbm.build("rnn-rbm", 3, hidden="gaussian:conditional", seed=0)
    with pytest.raises(ValueError, match="a layer of several types has gaussian:learned"):
        rnnrbm.build("rbm", 5, visible="gaussian:conditional+softmax:2", seed=0)
