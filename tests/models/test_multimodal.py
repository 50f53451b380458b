"""Multimodal deep Boltzmann machines beside enumeration: the bound, each part given the other, what is learned."""

import itertools

import numpy as np
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logsumexp

import rnnrbm
from rnnrbm.backend import engine, random
from rnnrbm.batch import Batch
from rnnrbm.joint_units import Joint
from rnnrbm.models import class_balance
from rnnrbm.models.class_balance import class_log_Z
from rnnrbm.models.deep_learning import chains_of_training
from rnnrbm.models.multimodal import MultimodalDBM
from rnnrbm.units import Bernoulli, Gaussian, Softmax

PARTS = Joint(((3, Bernoulli()), (3, Softmax(3))))


def machine(scale: float = 1.0) -> MultimodalDBM:
    """Three pixels and a label of three classes, every parameter random."""
    model = MultimodalDBM.init(6, (2, 3, 2), seed=0, visible=PARTS, n_chains=8)
    rng = np.random.default_rng(4)
    for p in model.params:
        p.set_value((scale * rng.normal(size=p.type.shape)).astype(p.dtype))
    return model


def states(n: int) -> np.ndarray:
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


#: all frames: eight images, each with three labels
FRAMES = np.array([[*image, *label] for image in states(3) for label in np.eye(3)])


def log_p(model: MultimodalDBM) -> np.ndarray:
    """Exact log p of :data:`FRAMES`."""
    W1, W2, W1t, W2t, b1, b2, bh1, bh2, bt = (engine.to_numpy(p).astype(float) for p in model.params)
    total = []
    for frame in FRAMES:
        x, y = frame[:3], frame[3:]
        hidden = [
            h @ (W1.T @ x + bh1) + g @ (W2.T @ y + bh2) + t @ (h @ W1t + g @ W2t + bt)
            for h in states(2)
            for g in states(3)
            for t in states(2)
        ]
        total.append(logsumexp(hidden) + x @ b1 + y @ b2)
    return np.array(total) - logsumexp(total)


def test_the_bound_lies_below_the_exact_log_likelihood():
    model = machine()
    exact = log_p(model)
    values = model.bound(FRAMES, method="exact").frames[0]
    assert (values < exact + 1e-5).all()
    assert 1e-3 < (exact - values).max() < 0.3


def test_each_part_given_the_other_has_its_exact_distribution():
    model, n = machine(), 3000
    p = np.exp(log_p(model)).reshape(8, 3)
    x = model.sample(n, k=60, seed=1)
    assert (x[:, 3:].sum(axis=1) == 1).all()
    images, labels = (x[:, :3] @ [4, 2, 1]).astype(int), x[:, 3:].argmax(axis=1)
    found = np.zeros((8, 3))
    np.add.at(found, (images, labels), 1 / n)
    assert np.abs(found - p).max() < 5 * np.sqrt(p.max() / n)
    frames = np.full((n, 6), np.nan)
    frames[:, 3:] = [0, 1, 0]
    given = model.complete(frames, k=60, seed=2)
    assert_array_equal(given[:, 3:], frames[:, 3:])
    found = np.bincount((given[:, :3] @ [4, 2, 1]).astype(int), minlength=8) / n
    assert np.abs(found - p[:, 1] / p[:, 1].sum()).max() < 5 * np.sqrt(0.25 / n)
    frames = np.full((n, 6), np.nan)
    frames[:, :3] = [1, 0, 1]
    given = model.complete(frames, k=60, seed=3)
    assert_allclose(given[:, 3:].mean(axis=0), p[5] / p[5].sum(), atol=5 * np.sqrt(0.25 / n))
    expected = model.complete(frames, k=60, seed=3, expected=True)
    assert_allclose(expected[:, 3:].mean(axis=0), p[5] / p[5].sum(), atol=5 * np.sqrt(0.25 / n))
    assert_allclose(expected[:, 3:].sum(axis=1), 1.0, atol=1e-5)


def test_labels_are_told_apart_by_the_bound():
    model = machine(0.7)
    for W in model.weights:
        W.set_value(2.0 * engine.to_numpy(W))
    p = np.exp(log_p(model)).reshape(8, 3)
    found = model.classify(states(3))
    assert_allclose(found, p / p.sum(axis=1, keepdims=True), atol=0.045)
    assert np.abs(found - found.mean(axis=0)).max() > 0.06
    assert_array_equal(model.classify(np.concatenate([states(3), np.eye(3)[[1] * 8]], axis=1)), found)


def test_the_gradient_raises_the_bound():
    """It is the centred one of E_q - log Z, with the expectations of the machine by enumeration."""
    n = 30_000
    model = MultimodalDBM.init(6, (2, 3, 2), seed=0, visible=PARTS, n_chains=n, k=40, n_mean_field=40)
    for p, other in zip(model.params, machine(0.7).params, strict=True):
        p.set_value(engine.to_numpy(other))
    rng = np.random.default_rng(2)
    for mu in model.offsets:
        mu.set_value(rng.uniform(0.2, 0.8, mu.type.shape).astype(mu.dtype))
    mu = [engine.to_numpy(m).astype(float) for m in model.offsets]
    v = pt.tensor("v", dtype="float32", shape=(1, 24, 6))
    loss = model.loss(Batch(v, pt.ones((1, 24), "float32"), pt.ones((1, 24), "bool")), random.shared(3))
    f = engine.function([v], pt.grad(loss.cost, model.params))
    found = [engine.to_numpy(g).astype(float) for g in f(FRAMES[None].astype(np.float32))]

    params = [engine.to_numpy(p).astype(float) for p in model.params]
    weights, biases = params[:4], params[4:]
    edges = [(0, 2), (1, 3), (2, 4), (3, 4)]
    x = np.array([[*v, *h] for v in FRAMES for h in states(7)])
    layers = np.split(x, [3, 6, 8, 11], axis=1)
    minus = sum(layer @ b for layer, b in zip(layers, biases, strict=True))
    minus += sum(np.einsum("si,ij,sj->s", layers[a], W, layers[b]) for (a, b), W in zip(edges, weights, strict=True))
    p = np.exp(minus - logsumexp(minus))
    shares = mu[1] / mu[1].sum()  # of the classes of the chains, which do not change
    p *= layers[1] @ (shares / (p @ layers[1]))
    q = [FRAMES[:, :3], FRAMES[:, 3:], None, None, np.full((24, 2), 0.5)]
    for _ in range(200):
        q[2] = expit(q[0] @ weights[0] + q[4] @ weights[2].T + biases[2])
        q[3] = expit(q[1] @ weights[1] + q[4] @ weights[3].T + biases[3])
        q[4] = expit(q[2] @ weights[2] + q[3] @ weights[3] + biases[4])

    def statistics(layers, weight):
        c = [layer - m for layer, m in zip(layers, mu, strict=True)]
        return [(weight[:, None] * c[a]).T @ c[b] for a, b in edges], [weight @ layer for layer in c]

    model_side, data_side = statistics(layers, p), statistics(q, np.full(24, 1 / 24))
    of_weights, of_biases = (
        [m - d for m, d in zip(*side, strict=True)] for side in zip(model_side, data_side, strict=True)
    )
    for (a, b), g in zip(edges, of_weights, strict=True):
        of_biases[a] = of_biases[a] - g @ mu[b]
        of_biases[b] = of_biases[b] - mu[a] @ g
    for param, one, other in zip(model.params, found, [*of_weights, *of_biases], strict=True):
        assert_allclose(one, other, atol=5 * 0.5 / np.sqrt(n), err_msg=param.name)
    assert max(np.abs(g).max() for g in of_weights) > 0.05


def test_frames_and_filters(tmp_path):
    model = machine()
    model.save(tmp_path / "m.npz")
    read = rnnrbm.load_model(tmp_path / "m.npz")
    assert read.visible == PARTS
    assert_array_equal(read.filters()[:3], engine.to_numpy(model.weights[0]))
    assert_array_equal(read.filters()[3:], 0)
    found = read.reconstruct(FRAMES)
    assert found.shape == FRAMES.shape
    assert_allclose(found[:, 3:].sum(axis=1), 1.0, atol=1e-5)


def test_training_begins_with_the_means_of_the_parts():
    rng = np.random.default_rng(0)
    frames = np.concatenate([rng.random((50, 3)) < 0.3, np.eye(3)[rng.integers(0, 2, 50)]], axis=1)
    model = MultimodalDBM.init(6, (2, 3, 2), seed=0, visible=PARTS, n_chains=4000)
    model.prepare([frames])
    p = (frames[:, :3].sum(axis=0) + 1) / 52
    assert_allclose(engine.to_numpy(model.offsets[0]), p, rtol=1e-5)
    classes = (frames[:, 3:].sum(axis=0) + 1) / 53
    assert_allclose(engine.to_numpy(model.offsets[1]), classes, rtol=1e-5)
    assert_allclose(engine.to_numpy(model.chains[1]).mean(axis=0), classes, atol=0.04)
    model.biases[0].set_value(np.float32([1, 2, 3]))
    model.prepare([frames[:10]])
    assert_array_equal(engine.to_numpy(model.biases[0]), [1, 2, 3])  # what is set stays


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"visible must have two parts or more.*got Bernoulli"):
        MultimodalDBM.init(6, (2, 3, 2), seed=0)
    with pytest.raises(ValueError, match="the parts of visible have 6 columns together, expected 7"):
        MultimodalDBM.init(7, (2, 3, 2), seed=0, visible=PARTS)
    with pytest.raises(ValueError, match="layers has 2 sizes, expected 3: a hidden layer for each of 2 parts"):
        MultimodalDBM.init(6, (2, 3), seed=0, visible=PARTS)
    with pytest.raises(ValueError, match="layers is empty"):
        MultimodalDBM.init(6, (), seed=0, visible=PARTS)
    model = machine()
    with pytest.raises(ValueError, match=r"frames has shape \(2, 5\), expected \(1 or more, 3\), without labels"):
        model.classify(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="expected 0 and 1"):
        model.classify(np.full((2, 3), 0.5))
    with pytest.raises(ValueError, match=r"2 unknown columns among \[3, 4, 5\], which are one choice"):
        model.complete(np.array([[0, 1, 0, np.nan, np.nan, 1]]))
    with pytest.raises(ValueError, match="has 2 units on in frame 0"):
        model.complete(np.array([[np.nan, 1, 0, 1, 1, 0]]))
    numbers = MultimodalDBM.init(4, (2, 2, 2), seed=0, visible=Joint(((2, Bernoulli()), (2, Gaussian()))))
    with pytest.raises(ValueError, match=r"the last part must be a label"):
        numbers.classify(np.zeros((1, 2)))


def exact_shares(model: MultimodalDBM) -> np.ndarray:
    """Exact probabilities of the three classes."""
    return np.exp(log_p(model)).reshape(8, 3).sum(axis=0)


def test_log_Z_of_each_class_is_that_of_enumeration():
    model = machine(0.7)
    found = class_log_Z(model.machine, 1, n_chains=400, n_temperatures=100, seed=1)
    shares = np.exp(found.log_mean - logsumexp(found.log_mean))
    assert_allclose(shares, exact_shares(model), atol=0.02)
    assert found.variance.shape == (3,)
    assert (found.effective_sample_size > 100).all()


def test_when_training_is_complete_each_class_is_as_probable_as_in_the_data():
    model = machine(0.7)
    labels = np.eye(3)[[0] * 12 + [1] * 6 + [2] * 2]
    pieces = [np.hstack([np.zeros((n, 3)), part]) for n, part in ((15, labels[:15]), (5, labels[15:]))]
    assert np.abs(exact_shares(model) - [0.6, 0.3, 0.1]).max() > 0.1
    model.complete_training(pieces)
    assert_allclose(exact_shares(model), [0.6, 0.3, 0.1], atol=0.03)


def test_chains_of_training_keep_their_classes_and_are_weighted_by_the_shares_in_the_data():
    model = machine()
    model.biases[0].set_value(np.zeros(3, np.float32))
    model.biases[1].set_value(np.zeros(3, np.float32))
    classes = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
    model.prepare([np.hstack([np.ones((10, 3)), np.eye(3)[classes]])])
    label = engine.to_numpy(model.chains[1])
    assert_array_equal(label.sum(axis=0), [4, 2, 2])  # of eight chains
    even, weight, rng = chains_of_training(model, random.shared(1))
    f = engine.function([], [even[0], even[1], weight], rng.updates())
    runs = [[engine.to_numpy(x) for x in f()] for _ in range(5)]
    for _, kept, weights in runs:
        assert_array_equal(kept, label)
        shares = engine.to_numpy(model.offsets[1])
        assert_allclose(weights @ label, shares / shares.sum(), rtol=1e-5)
    assert len({x.tobytes() for x, _, _ in runs}) == 5  # and the images move


def test_samples_have_the_classes_of_the_machine_after_few_steps():
    model = machine()
    model.biases[1].set_value(np.float32([3.0, -2.0, 0.0]))
    shares = exact_shares(model)
    assert shares.max() > 0.5
    assert_allclose(model.sample(3000, k=2, seed=0)[:, 3:].mean(axis=0), shares, atol=0.04)


def test_annealing_takes_more_temperatures_until_it_is_precise(monkeypatch):
    model, tried = machine(3.0), []

    def class_log_Z_of(*args, n_temperatures, **options):
        tried.append(n_temperatures)
        return class_log_Z(*args, n_temperatures=n_temperatures, **options)

    monkeypatch.setattr(class_balance, "TEMPERATURES", (2, 20, 30))
    monkeypatch.setattr(class_balance, "class_log_Z", class_log_Z_of)
    for enough, expected in ((0.01, [2]), (1.01, [2, 20, 30])):
        tried.clear()
        monkeypatch.setattr(class_balance, "ENOUGH", enough)
        class_balance.balanced_bias(model.machine, 1, [np.eye(3)])
        assert tried == expected


def test_the_score_is_that_of_the_machine_with_balanced_classes():
    model = machine(0.7)
    shares = np.array([0.6, 0.3, 0.1])
    model.offsets[1].set_value(shares.astype(np.float32))
    first = model.score([FRAMES])
    model.biases[1].set_value(np.float32([5.0, -3.0, 0.0]))
    assert model.score([FRAMES]) == pytest.approx(first, abs=0.02)
    exact = log_p(model)
    of_image = exact - np.log(exact_shares(model))[np.tile(np.arange(3), 8)]
    assert first < np.mean(of_image + np.log(shares)[np.tile(np.arange(3), 8)]) + 0.02
    model.complete_training([np.hstack([np.zeros((10, 3)), np.eye(3)[[0] * 6 + [1] * 3 + [2]]])])
    assert model.score([FRAMES]) == pytest.approx(model.bound(FRAMES, method="exact").mean, abs=0.03)
