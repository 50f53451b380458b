"""Deep belief nets: the bound and the samples by enumeration, the gradient by NumPy, and both ways of training."""

from typing import Any

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logsumexp
from scipy.stats import chisquare

from rnnrbm import fit, load_model, log_likelihood
from rnnrbm.backend import engine, random
from rnnrbm.batch import Batch
from rnnrbm.models.dbn import DBN
from rnnrbm.rbm import RBM
from rnnrbm.units import Gaussian, Softmax


def net(n_visible: int, *layers: int, scale: float = 0.8, **options: Any) -> DBN:
    """Every parameter random."""
    model = DBN.init(n_visible, layers, seed=0, **options)
    rng = np.random.default_rng(1)
    for p in model.params:
        p.set_value((scale * rng.normal(size=p.type.shape)).astype(p.dtype))
    return model


def values_of(x: Any) -> np.ndarray:
    return engine.to_numpy(x).astype(float)


def values(rbm: RBM) -> list[np.ndarray]:
    return [values_of(x) for x in rbm.tensors()]


def log_bernoulli(x: np.ndarray, a: np.ndarray) -> np.ndarray:
    return (x * a - np.logaddexp(0, a)).sum(axis=-1)


def by_enumeration(model: DBN) -> tuple[np.ndarray, np.ndarray]:
    """log p(v) and the bound of every visible state (2**n,), by sums over all hidden states below the top layer."""
    *below, top = map(values, model.rbms)
    inference = [(values_of(own.W), values_of(own.b_h)) for own in model.recognition] or [(W, c) for W, _, c in below]
    W, b_v, b_h = top
    h = oracles.all_states(len(b_v))
    log_f = h @ b_v + np.logaddexp(0, h @ W + b_h).sum(axis=1)
    log_p = bound = log_f - logsumexp(log_f)  # of the visible layer of the top RBM
    for (W, b_v, b_h), (R, c) in reversed(list(zip(below, inference, strict=True))):
        v, h = oracles.all_states(len(b_v)), oracles.all_states(len(b_h))
        generates = log_bernoulli(v[:, None], h @ W.T + b_v)
        infers = log_bernoulli(h, (v @ R + c)[:, None])
        log_p = logsumexp(generates + log_p, axis=1)
        bound = (np.exp(infers) * (generates + bound - infers)).sum(axis=1)
    return log_p, bound


@pytest.mark.parametrize("layers", [(3,), (3, 4, 2)], ids=str)
def test_the_bound_is_that_of_enumeration(layers):
    model = net(5, *layers)
    log_p, bound = by_enumeration(model)
    assert logsumexp(log_p) == pytest.approx(0, abs=1e-9)
    v = oracles.all_states(5).astype(np.uint8)
    found = model.bound([v[:20], v[20:]], n_samples=200, method="exact")
    assert [len(part) for part in found.frames] == [20, 12]
    assert found.method == "bound"
    assert_allclose(np.concatenate(found.frames), bound, atol=1e-5 if len(layers) == 1 else 0.25)
    if len(layers) == 1:
        assert_allclose(bound, log_p)
        assert "bound" not in found.settings
    else:
        assert (bound < log_p).all()
        assert bound.mean() < log_p.mean() - 0.05
        assert found.mean == pytest.approx(bound.mean(), abs=0.02)
        assert found.settings == "lower bound, 200 samples of the hidden units, exact"
        assert model.score([v[:20], v[20:]]) == model.bound(v, n_samples=1, method="exact").mean  # small enough


def test_the_bound_by_annealing():
    model = net(5, 3, 11)
    frames = (np.random.default_rng(2).random((32, 5)) < 0.5).astype(np.uint8)
    exact = model.bound(frames, n_samples=3, method="exact")
    annealed = model.bound(
        [frames[:20], frames[20:]], n_samples=3, n_chains=100, n_temperatures=1000, schedule="linear"
    )
    assert annealed.mean == pytest.approx(exact.mean, abs=3 * annealed.standard_error)
    assert 0 < annealed.standard_error < 0.02
    assert annealed.shared_Z
    assert annealed.effective_sample_size.shape == (32,)
    expected = "lower bound, 3 samples of the hidden units, AIS, 100 chains x 1000 temperatures"
    assert annealed.settings == expected


def test_the_bound_of_tied_layers_is_the_log_likelihood_of_the_rbm():
    """A second RBM with the weights of the first one, upside down, has its distribution of the hidden units."""
    rbm = RBM.init(6, 4, seed=0)
    rng = np.random.default_rng(1)
    for p in rbm.tensors():
        p.set_value(rng.normal(size=p.type.shape).astype(p.dtype))
    W, b_v, b_h = (engine.to_numpy(p) for p in rbm.tensors())
    turned = RBM(*(engine.shared(x, name) for x, name in ((W.T, "W"), (b_h, "b_v"), (b_v, "b_h"))))
    tied = DBN.stack([rbm, turned])
    v = oracles.all_states(6).astype(np.uint8)
    expected = log_likelihood(rbm, v, method="exact").frames[0]
    assert_allclose(tied.bound(v, n_samples=1, method="exact", seed=3).frames[0], expected, atol=2e-5)
    tied.rbms[1].W.set_value(tied.rbms[1].W.get_value() * np.float32(1.3))  # a copy
    assert_array_equal(engine.to_numpy(turned.W), W.T)
    assert np.abs(tied.bound(v, n_samples=1, method="exact").frames[0] - expected).max() > 0.1


@pytest.mark.parametrize("layers", [(3,), (3, 4, 2)], ids=str)
def test_samples_have_the_distribution_of_enumeration(layers):
    model = net(4, *layers, scale=0.6)
    log_p, _ = by_enumeration(model)
    samples = model.sample(4000, k=60, seed=2)
    counts = np.bincount(oracles.state_index(samples.astype(int)), minlength=16)
    assert chisquare(counts, 4000 * np.exp(log_p)).pvalue > 0.01
    assert chisquare(counts, np.full(16, 250)).pvalue < 1e-6  # the test would find another distribution
    assert not np.array_equal(samples, model.sample(4000, k=60, seed=3))


def test_what_goes_up_and_down_is_that_of_numpy():
    model = net(5, 4, 3)
    (W_1, b_v, b_1), (W_2, b_21, b_2) = map(values, model.rbms)
    frames = (np.random.default_rng(2).random((7, 5)) < 0.5).astype(np.uint8)
    h_1 = expit(frames @ W_1 + b_1)
    h_2 = expit(h_1 @ W_2 + b_2)
    assert_allclose(model.encode(frames, 1), h_1, rtol=1e-5)
    assert_allclose(model.encode(frames), h_2, rtol=1e-5)
    assert_allclose(model.reconstruct(frames), expit(expit(h_2 @ W_2.T + b_21) @ W_1.T + b_v), rtol=1e-5)
    assert_allclose(model.filters(), W_1, rtol=1e-6)
    assert_allclose(model.filters(2), W_1 @ W_2, rtol=1e-5)
    many = np.repeat(frames[:1], 6000, axis=0)
    assert_allclose(model.infer(many, 1, seed=1).mean(axis=0), h_1[0], atol=0.03)
    h = oracles.all_states(4)
    p = np.exp(log_bernoulli(h, (frames[0] @ W_1 + b_1)))
    assert_allclose(model.infer(many, seed=1).mean(axis=0), p @ expit(h @ W_2 + b_2), atol=0.03)
    assert model.infer(many).dtype == np.uint8


def test_weights_of_inference_are_in_the_bound_but_not_in_the_net():
    tied = net(5, 3, 4, 2)
    model = tied.untied()
    v = oracles.all_states(5).astype(np.uint8)
    same = [m.bound(v, n_samples=2, method="exact", seed=1).frames[0] for m in (tied, model, model.untied())]
    assert_array_equal(same[0], same[1])
    assert_array_equal(same[1], same[2])
    assert not set(tied.params) & set(model.params)
    rng = np.random.default_rng(5)
    for own in model.recognition:
        for p in own:
            p.set_value((0.3 * rng.normal(size=p.type.shape)).astype(p.dtype))
    log_p, bound = by_enumeration(model)
    assert_allclose(log_p, by_enumeration(tied)[0])
    assert (bound < log_p).all()
    found = model.bound(v, n_samples=300, method="exact")
    assert_allclose(found.frames[0], bound, atol=0.25)
    assert found.mean == pytest.approx(bound.mean(), abs=0.02)
    (R, c), _ = model.recognition
    assert_allclose(model.encode(v, 1), expit(v @ values_of(R) + values_of(c)), rtol=1e-5)
    names = [p.name for p in model.params]
    assert names == ["W_1", "b_v_1", "W_2", "b_v_2", "W_3", "b_v_3", "b_h_3", "R_1", "c_1", "R_2", "c_2"]


def loss_and_gradient(model: DBN, x: np.ndarray, counts: np.ndarray) -> tuple[float, dict[str, np.ndarray], list[Any]]:
    """The cost, the gradient of each parameter, and where chains and offsets have come to."""
    v, mask = pt.tensor("v", dtype="float32", shape=x.shape), pt.tensor("mask", dtype="float32", shape=counts.shape)
    loss = model.loss(Batch(v, mask, mask), random.shared(3))
    changed = [c for c in (*model.chains, *model.offsets, model.n_steps) if c in loss.updates]
    outputs = [loss.cost, *pt.grad(loss.cost, model.params), *(loss.updates[c] for c in changed)]
    cost, *found = (engine.to_numpy(y).astype(float) for y in engine.function([v, mask], outputs)(x, counts))
    n = len(model.params)
    return float(cost), dict(zip([p.name for p in model.params], found[:n], strict=True)), found[n:]


def data_of_gradients(model: DBN) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], np.ndarray]:
    """A batch with padding, its mask, offsets that the model has now, and the rows that count."""
    x = (np.random.default_rng(2).random((3, 2, 5)) < 0.5).astype(np.float32)
    counts = np.float32([[1, 1], [1, 1], [1, 0]])
    x[2, 1] = np.nan
    offsets = [np.random.default_rng(3 + i).random(n).astype(np.float32) for i, n in enumerate((5, *model.layers))]
    for variable, value in zip(model.offsets, offsets, strict=True):
        variable.set_value(value)
    model.n_steps.set_value(np.float32(399))
    return x, counts, [o.astype(float) for o in offsets], x.transpose(1, 0, 2).reshape(6, 5)[:5].astype(float)


def of_rbm(rbm: list[np.ndarray], data: np.ndarray, negative: np.ndarray, mu: np.ndarray, lam: np.ndarray) -> list:
    """The centred gradient of W, b_v and b_h."""
    W, b_v, b_h = rbm
    mean, of_chains = expit(data @ W + b_h), expit(negative @ W + b_h)
    g_W = (negative - mu).T @ (of_chains - lam) / len(negative) - (data - mu).T @ (mean - lam) / len(data)
    g_v, g_h = negative.mean(axis=0) - data.mean(axis=0), of_chains.mean(axis=0) - mean.mean(axis=0)
    factor = min(16 / len(b_v), 0.05) / 0.05
    return [factor * g for g in (g_W, g_v - g_W @ lam, g_h - mu @ g_W)]


def contrast(rbm: list[np.ndarray], data: np.ndarray, negative: np.ndarray) -> float:
    p = dict(zip(("W", "b_v", "b_h"), rbm, strict=True))
    return float(oracles.free_energy(p, data).mean() - oracles.free_energy(p, negative).mean())


def test_the_gradient_of_a_stack_is_the_centred_one_of_every_rbm():
    """The hidden units of the first layer are as good as deterministic, so NumPy knows what the second one reads."""
    model = net(5, 4, 3)
    model.rbms[0].W.set_value(model.rbms[0].W.get_value() * np.float32(100))
    x, counts, offsets, data = data_of_gradients(model)
    cost, grads, (*state, n_steps) = loss_and_gradient(model, x, counts)
    assert n_steps == 400
    total = 0.0
    for i, rbm in enumerate(map(values, model.rbms)):
        negative = state[i]
        assert set(np.unique(negative)) == {0.0, 1.0}
        expected = of_rbm(rbm, data, negative, *offsets[i : i + 2])
        for name, value in zip(("W", "b_v", "b_h"), expected, strict=True):
            assert_allclose(grads[f"{name}_{i + 1}"], value, atol=2e-5)
        assert_allclose(state[2 + i], 0.99 * offsets[i] + 0.01 * data.mean(axis=0), rtol=1e-5)
        total += contrast(rbm, data, negative)
        data = expit(data @ rbm[0] + rbm[2]).round()
    assert cost == pytest.approx(total, rel=1e-4)


def test_the_gradient_of_up_down_is_that_of_predicting_each_layer_from_its_neighbour():
    """As above; going down from the chains is as good as deterministic too."""
    model = net(5, 4, 3).untied()
    (R, c), own = model.recognition[0], model.rbms[0]
    R.set_value(-50 * np.roll(own.W.get_value(), 1, axis=0))
    for p in (own.W, own.b_v):
        p.set_value(p.get_value() * np.float32(2000))
    x, counts, offsets, data = data_of_gradients(model)
    cost, grads, state = loss_and_gradient(model, x, counts)
    W, b_v, _ = values(own)
    mu, lam, _ = offsets
    R, c = values_of(R), values_of(c)
    h = expit(data @ R + c).round()
    error = expit(h @ W.T + b_v) - data
    g_W = error.T @ (h - lam) / len(data)
    assert_allclose(grads["W_1"], g_W, atol=2e-5)
    assert_allclose(grads["b_v_1"], error.mean(axis=0) - g_W @ lam, atol=2e-5)
    total = contrast(values(model.rbms[1]), h, state[0]) - log_bernoulli(data, h @ W.T + b_v).mean()
    for name, value in zip(("W", "b_v", "b_h"), of_rbm(values(model.rbms[1]), h, state[0], *offsets[1:]), strict=True):
        assert_allclose(grads[f"{name}_2"], value, atol=2e-5)
    h = state[0]
    below = expit(h @ W.T + b_v).round()
    error = expit(below @ R + c) - h
    g_R = (below - mu).T @ error / len(below)
    assert np.abs(g_R).max() > 0.05
    assert_allclose(grads["R_1"], g_R, atol=2e-5)
    assert_allclose(grads["c_1"], error.mean(axis=0) - mu @ g_R, atol=2e-5)
    assert cost == pytest.approx(total - log_bernoulli(h, below @ R + c).mean(), rel=1e-4)


def bars(n: int, seed: int) -> np.ndarray:
    """Images of 4 x 4 pixels with either rows or columns on, at least one."""
    rng = np.random.default_rng(seed)
    on = rng.random((n, 4)) < 0.4
    on[np.arange(n), rng.integers(0, 4, n)] = True
    rows, columns = np.repeat(on[:, :, None], 4, axis=2), np.repeat(on[:, None, :], 4, axis=1)
    return np.where((rng.random(n) < 0.5)[:, None, None], rows, columns).reshape(n, 16).astype(np.uint8)


def test_both_ways_of_training_learn_bars(tmp_path):
    train, test = bars(600, 0), bars(200, 1)
    mean = train.mean(axis=0)
    independent = (test * np.log(mean) + (1 - test) * np.log(1 - mean)).sum(axis=1).mean()
    settings = {"epochs": 30, "batch_size": 30, "seed": 0}
    together = DBN.init(16, (12, 12), seed=0)
    rows = list(fit(together, train, **settings))
    assert rows[-1]["pseudo_likelihood"] > rows[0]["pseudo_likelihood"] + 2
    assert np.isfinite(rows[-1]["pseudo_likelihood_2"])

    one_by_one = DBN.init(16, (12, 12), seed=0)
    before = [engine.to_numpy(p) for p in one_by_one.params]
    x = train
    for layer, rbm in enumerate(one_by_one.rbms, start=1):
        list(fit(rbm, x, **settings))
        x = one_by_one.infer(train, layer, seed=0)
    assert all((engine.to_numpy(p) != old).any() for p, old in zip(one_by_one.params, before, strict=True))
    for model in (together, one_by_one):
        assert model.bound(test, method="exact").mean > independent + 2
    before_it = together.bound(test, method="exact").mean
    refined = together.untied()
    list(fit(refined, train, epochs=15, batch_size=30, seed=1))
    assert refined.bound(test, method="exact").mean > before_it + 0.1
    refined.save(tmp_path / "dbn.npz")
    back = load_model(tmp_path / "dbn.npz")
    assert back.layers == (12, 12)
    assert back.bound(test, method="exact").mean == refined.bound(test, method="exact").mean


def test_real_numbers_train():
    rng = np.random.default_rng(0)
    x = (rng.integers(0, 2, (300, 1)) * 2 - 1 + 0.5 * rng.normal(size=(300, 3))).astype(np.float32)
    model = DBN.init(3, (6, 4), seed=0, visible=Gaussian(0.5))
    list(fit(model, x, epochs=20, batch_size=30))
    independent = -0.5 * np.log(2 * np.pi * x.var(axis=0)).sum() - 1.5
    assert model.bound(x, n_samples=2, method="exact").mean > independent + 0.5
    assert model.sample(3, k=5).dtype == np.float32


def test_what_is_impossible_is_said():
    def rbm(n: int, m: int, **options: Any) -> RBM:
        return RBM.init(n, m, seed=0, **options)

    for layers, kind, message in (
        ((), ValueError, "layers is empty"),
        ((4, 0), ValueError, r"layers\[1\]=0: expected a whole number, at least 1"),
        ((4, 2.5), ValueError, r"layers\[1\]"),
        (4, TypeError, "layers=4: expected the hidden units of each layer"),
    ):
        with pytest.raises(kind, match=message):
            DBN.init(5, layers, seed=0)
    for rbms, kind, message in (
        ([], ValueError, "at least one RBM"),
        (rbm(4, 3), TypeError, "a list of RBMs, from the frame up, got RBM"),
        ([rbm(4, 3), "rbm"], TypeError, "got str at 1"),
        ([rbm(4, 3), rbm(2, 2)], ValueError, "RBM 1 has 2 visible units, and the RBM below 3 hidden ones"),
        ([rbm(4, 3, hidden=Gaussian())], ValueError, "hidden units of RBM 0 are Gaussian"),
        ([rbm(4, 4), rbm(4, 2, visible=Softmax(2))], ValueError, "visible units of RBM 1 are Softmax"),
        ([rbm(4, 4)._replace(b_v=pt.zeros(4))], TypeError, "parameters of RBM 0 are no shared variables"),
    ):
        with pytest.raises(kind, match=message):
            DBN.stack(rbms)
    model = net(4, 3, 2)
    frames = np.zeros((2, 4), np.uint8)
    for call, message in (
        (lambda: model.filters(3), "layer=3"),
        (lambda: model.encode(frames, 0), "layer=0"),
        (lambda: model.infer(frames[:, :3]), "made for 4 visible units"),
        (lambda: model.bound(frames + 2), "holds 2"),
        (lambda: model.bound(frames, n_samples=0), "n_samples=0"),
        (lambda: model.bound(frames, method="guess"), "method 'guess' is none of"),
        (lambda: model.sample(0), "n_samples=0"),
        (lambda: net(4, 3).untied(), "the net has one layer"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match="k: DBN has no use for this setting"):
        fit(model, frames, k=3)
