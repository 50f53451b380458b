"""Multimodal deep Boltzmann machines beside enumeration: the bound, each part given the other, what is learned."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp

from rnnrbm import fit
from rnnrbm.backend import engine
from rnnrbm.joint_units import Joint
from rnnrbm.models.multimodal import MultimodalDBM
from rnnrbm.units import Bernoulli, Softmax

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
    assert model.bound(FRAMES, method="ais", n_chains=200, n_temperatures=200).mean == pytest.approx(
        values.mean(), abs=0.05
    )


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
    model = machine(0.5)  # where the bound is close
    p = np.exp(log_p(model)).reshape(8, 3)
    found = model.classify(states(3))
    assert_allclose(found, p / p.sum(axis=1, keepdims=True), atol=0.02)
    assert np.abs(found - found.mean(axis=0)).max() > 0.05
    assert_array_equal(model.classify(np.concatenate([states(3), np.eye(3)[[1] * 8]], axis=1)), found)


def test_it_learns_which_label_belongs_to_which_image():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 1500)
    x = np.eye(3)[y] != (rng.random((1500, 3)) < 0.05)
    model = MultimodalDBM.init(6, (6, 6, 6), seed=0, visible=PARTS)
    for _ in fit(model, [np.concatenate([x, np.eye(3)[y]], axis=1)], epochs=100, seed=0, learning_rate=0.05):
        pass
    assert (model.classify(np.eye(3)).argmax(axis=1) == [0, 1, 2]).all()
