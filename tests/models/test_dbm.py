"""Deep Boltzmann machines: the centred gradient by NumPy, what is learned by enumeration, samples, bad input."""

import itertools
from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logsumexp

import rnnrbm
from rnnrbm import fit
from rnnrbm.backend import engine, random
from rnnrbm.batch import Batch
from rnnrbm.models.dbm import DBM
from rnnrbm.sequence import OFFSET_RATE
from rnnrbm.units import Bernoulli, Gaussian, LearnedGaussian, Softmax


def dbm(n_visible: int = 4, layers: tuple[int, ...] = (3, 2), **options: Any) -> DBM:
    """Every parameter and every offset random."""
    model = DBM.init(n_visible, layers, seed=0, n_chains=6, **options)
    rng = np.random.default_rng(1)
    for p in model.params:
        p.set_value((0.8 * rng.normal(size=p.type.shape)).astype(p.dtype))
    for mu in model.offsets:
        mu.set_value(rng.uniform(0.2, 0.8, mu.type.shape).astype(mu.dtype))
    return model


def states(n: int) -> np.ndarray:
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def log_p(model: DBM) -> np.ndarray:
    """Exact log p(v) of every frame, in the order of :func:`states`; two hidden layers."""
    W1, W2, b0, b1, b2 = (engine.to_numpy(p).astype(float) for p in model.params)
    v, h, g = states(len(b0)), states(len(b1)), states(len(b2))
    minus = (v @ b0)[:, None, None] + (v @ W1 @ h.T + h @ b1)[:, :, None] + (h @ W2 @ g.T + g @ b2)[None]
    total = logsumexp(minus, axis=(1, 2))
    return total - logsumexp(total)


def test_the_gradient_is_the_centred_one_and_offsets_and_chains_move():
    model = dbm(k=3, n_mean_field=30)
    W1, W2, b0, b1, b2 = (engine.to_numpy(p).astype(float) for p in model.params)
    mu = [engine.to_numpy(x).astype(float) for x in model.offsets]
    x = (np.random.default_rng(2).random((4, 2, 4)) < 0.5).astype(np.float32)
    counts = np.float32([[1, 1], [1, 1], [1, 0], [1, 0]])
    v, mask = pt.tensor("v", dtype="float32", shape=x.shape), pt.tensor("mask", dtype="float32", shape=counts.shape)
    loss = model.loss(Batch(v, mask, mask), random.shared(3))
    moved = [loss.updates[c] for c in (*model.chains, *model.offsets)]
    f = engine.function([v, mask], [*pt.grad(loss.cost, model.params), *moved, loss.metrics["reconstruction"]])
    *found, reconstruction = (engine.to_numpy(y).astype(float) for y in f(x, counts))
    grads, chains, offsets = found[:5], found[5:7], found[7:]

    rows, weight = x.transpose(1, 0, 2).reshape(8, 4).astype(float), counts.T.ravel() / counts.sum()
    g = np.tile(mu[2], (8, 1))
    for _ in range(200):  # to the fixed point
        h = expit(rows @ W1 + g @ W2.T + b1)
        g = expit(h @ W2 + b2)
    data = [rows, h, g]
    fantasy = [chains[0], expit(chains[0] @ W1 + chains[1] @ W2.T + b1), chains[1]]

    def statistics(layers: list[np.ndarray], weight: np.ndarray) -> list[np.ndarray]:
        c = [layer - m for layer, m in zip(layers, mu, strict=True)]
        pairs = [(weight[:, None] * c[i]).T @ c[i + 1] for i in (0, 1)]
        return [*pairs, *(weight @ layer for layer in c)]

    g1, g2, g_0, g_1, g_2 = (
        n - p for n, p in zip(statistics(fantasy, np.full(6, 1 / 6)), statistics(data, weight), strict=True)
    )
    expected = [g1, g2, g_0 - g1 @ mu[1], g_1 - mu[0] @ g1 - g2 @ mu[2], g_2 - mu[1] @ g2]
    for p, one, other in zip(model.params, grads, expected, strict=True):
        assert_allclose(one, other, atol=2e-6, err_msg=p.name)
    for m, layer, new in zip(mu, data, offsets, strict=True):
        assert_allclose(new, m + OFFSET_RATE * (weight @ layer - m), atol=1e-6)
    assert set(np.unique(np.concatenate([c.ravel() for c in chains]))) == {0.0, 1.0}
    p = expit(h @ W1.T + b0)
    assert reconstruction == pytest.approx(weight @ np.log(np.where(rows == 1, p, 1 - p)).sum(axis=1), rel=1e-5)
    changed = np.where(counts[:, :, None] > 0, x, 1 - x)
    assert_allclose(f(changed, counts)[0], grads[0], atol=1e-7)  # what is masked does not matter


def test_training_comes_near_the_distribution_of_the_data():
    """By the exact log-likelihood of all 16 frames; independent units are 1.3 nats away."""
    p = np.full(16, 0.02 / 12)
    p[[0b0011, 0b1100, 0b0101, 0b1010]] = 0.4, 0.28, 0.2, 0.1
    p /= p.sum()
    frames = states(4)[np.random.default_rng(0).choice(16, 2000, p=p)]
    q = np.bincount((frames @ [8, 4, 2, 1]).astype(int), minlength=16) / 2000
    model = DBM.init(4, (6, 4), seed=0, n_chains=200)
    for _ in fit(model, [frames], epochs=40, seed=0, learning_rate=0.1):
        pass
    divergence = float((q[q > 0] * (np.log(q[q > 0]) - log_p(model)[q > 0])).sum())
    assert 0 <= divergence < 0.2


def test_the_bound_lies_below_the_exact_log_likelihood():
    model = dbm()
    frames = states(4)
    exact = log_p(model)
    found = model.bound([frames[:5], frames[5:]])
    assert [len(x) for x in found.frames] == [5, 11]
    values = np.concatenate(found.frames)
    assert (values < exact + 1e-5).all()
    assert 1e-4 < (exact - values).max() < 0.2
    assert (found.method, found.n_chains, found.standard_error) == ("bound", 1, 0.0)
    assert found.settings == "lower bound by mean field, log Z exact"
    assert model.score([frames]) == pytest.approx(values.mean(), abs=1e-6)
    annealed = model.bound([frames[:5], frames[5:]], method="ais", n_chains=200, n_temperatures=200, seed=4)
    assert annealed.mean == pytest.approx(values.mean(), abs=0.05)
    assert 0 < annealed.standard_error < 0.03
    assert annealed.settings == "lower bound by mean field, log Z by AIS, 200 chains x 200 temperatures, quadratic"
    assert 2 < annealed.effective_sample_size[0] <= 200


@pytest.mark.parametrize("visible", [Bernoulli(), Softmax(2), Gaussian(0.5)], ids=repr)
def test_with_one_hidden_layer_it_is_an_rbm(visible):
    model = dbm(4, (3,), visible=visible)
    rbm = rnnrbm.RBM(model.weights[0], *model.biases, visible=visible)
    frames = np.array([[1.0, 0, 0, 1], [0, 1, 1, 0]])
    exact = rnnrbm.log_likelihood(rbm, frames, method="exact")
    assert_allclose(model.bound(frames).frames[0], exact.frames[0], atol=1e-5)


def test_samples_are_those_of_the_distribution_and_known_columns_stay():
    model, n = dbm(), 4000
    p = np.exp(log_p(model))
    x = model.sample(n, k=60, seed=1)
    found = np.bincount((x @ [8, 4, 2, 1]).astype(int), minlength=16) / n
    assert np.abs(found - p).max() < 5 * np.sqrt(p.max() / n)
    frames = np.full((n, 4), np.nan)
    frames[:, 2] = 1.0
    given = model.complete(frames, k=60, seed=2)
    assert (given[:, 2] == 1).all()
    assert set(np.unique(given)) == {0.0, 1.0}
    of_one = np.where(states(4)[:, 2] == 1, p, 0.0)
    found = np.bincount((given @ [8, 4, 2, 1]).astype(int), minlength=16) / n
    assert np.abs(found - of_one / of_one.sum()).max() < 5 * np.sqrt(0.5 / n)
    expected = model.complete(frames, k=60, seed=2, expected=True)
    assert (expected[:, 2] == 1).all()
    assert_allclose(expected.mean(axis=0), given.mean(axis=0), atol=0.04)
    assert ((expected[:, 0] > 0) & (expected[:, 0] < 1)).all()


def test_reconstructions_and_filters():
    model = dbm(n_mean_field=40)
    W1, W2, b0, b1, b2 = (engine.to_numpy(p).astype(float) for p in model.params)
    v = states(4)
    g = np.zeros((16, 2))
    for _ in range(100):
        h = expit(v @ W1 + g @ W2.T + b1)
        g = expit(h @ W2 + b2)
    assert_allclose(model.reconstruct(v), expit(h @ W1.T + b0), atol=1e-5)
    assert_array_equal(model.filters(), engine.to_numpy(model.weights[0]))


def test_a_file_brings_it_back(tmp_path):
    model = dbm(k=2, visible=Softmax(4))
    model.save(tmp_path / "dbm.npz")
    read = rnnrbm.load_model(tmp_path / "dbm.npz")
    assert read.visible == Softmax(4)
    assert (read.k, read.n_mean_field) == (2, 10)
    for one, other in zip(
        [*model.params, *model.offsets, *model.chains], [*read.params, *read.offsets, *read.chains], strict=True
    ):
        assert one.name == other.name
        assert_array_equal(engine.to_numpy(one), engine.to_numpy(other))


def test_three_hidden_layers_train():
    model = DBM.init(6, (5, 4, 3), seed=0, n_chains=10)
    assert [c.type.shape for c in model.chains] == [(10, 6), (10, 4)]
    frames = (np.random.default_rng(0).random((60, 6)) < 0.3).astype(np.uint8)
    before = engine.to_numpy(model.weights[2])
    rows = list(fit(model, [frames], valid=[frames], epochs=2, batch_size=20, valid_every=1))
    assert max(row["valid_score"] for row in rows) == pytest.approx(model.score([frames]), abs=1e-4)
    assert not np.array_equal(before, engine.to_numpy(model.weights[2]))


def test_bad_input_is_refused():
    for layers, message in (
        ((), "layers is empty"),
        ((3, 0), r"layers\[1\]=0: expected a whole number, at least 1"),
        (500, "must be a list of sizes"),
        ((3, 2.5), r"layers\[1\]"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            DBM.init(4, layers, seed=0)
    with pytest.raises(ValueError, match="k=0: expected"):
        DBM.init(4, (2,), seed=0, k=0)
    with pytest.raises(ValueError, match="n_mean_field=0: expected"):
        DBM.init(4, (2,), seed=0, n_mean_field=0)
    with pytest.raises(TypeError, match="unit type"):
        DBM.init(4, (2,), seed=0, visible=3)
    with pytest.raises(ValueError, match="fixed standard deviation"):
        DBM.init(4, (2,), seed=0, visible=LearnedGaussian.init(4))
    model = dbm()
    with pytest.raises(ValueError, match="expected 0 and 1"):
        model.bound(np.full((2, 4), 0.5))
    with pytest.raises(ValueError, match=r"frames has shape \(2, 3\), expected \(1 or more, 4\)"):
        model.complete(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="n_chains"):
        model.bound(states(4), method="ais", n_chains=1)
