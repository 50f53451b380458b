"""Centring: the gradient and the step are those of the centred energy, and turning a unit around changes nothing."""

from typing import Any

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from scipy.special import expit

from rnnrbm import rnn_rbm
from rnnrbm.backend import engine
from rnnrbm.densities import Independent
from rnnrbm.models.nade import NADE
from rnnrbm.models.pitch_tied import TiedRBM
from rnnrbm.rbm import RBM
from rnnrbm.training import optimisers
from rnnrbm.training.centring import Centring, centring
from rnnrbm.training.fit import State, fit
from rnnrbm.units import Gaussian, ReLU, Softmax

N, M, ROWS = 6, 4, 5
RATE = np.float32(0.3)


def make(kind: str, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    if kind == "tied":
        density: Any = TiedRBM.init(N, 2, seed=rng, reach=2)
    else:
        visible = {"gaussian": Gaussian(0.7), "softmax": Softmax(3)}.get(kind)
        density = RBM.init(N, M, seed=rng, hidden=ReLU() if kind == "softmax" else RBM.init(1, 1, seed=0).hidden)
        density = density if visible is None else density._replace(visible=visible)
    for t in density.tensors():
        t.set_value(rng.normal(size=t.type.shape).astype(np.float32))
    return density


def surplus(density: Any, data: np.ndarray, negative: np.ndarray) -> Any:
    """The loss of contrastive divergence for given negative samples."""
    f = [density.free_energy(pt.as_tensor(x.astype(np.float32))).mean() for x in (data, negative)]
    return f[0] - f[1]


def values(density: Any) -> list[np.ndarray]:
    return [engine.to_numpy(t) for t in density.tensors()]


def rows(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((ROWS, N)) < 0.3).astype(np.float32)


@pytest.mark.parametrize("kind", ["binary", "gaussian", "softmax", "tied"])
def test_a_step_is_the_one_in_the_centred_parameters(kind):
    """The same model written with centred parameters, whose gradient PyTensor takes."""
    density = make(kind)
    mean = np.random.default_rng(1).random(N)
    centred = centring(density, mean)
    assert centred is not None
    sigma = 0.7 if kind == "gaussian" else 1.0
    np.testing.assert_allclose(centred.mu, mean / sigma**2, rtol=1e-6)
    middle = np.sqrt(2 / np.pi) if kind == "softmax" else 0.5  # of a rectified unit without input
    np.testing.assert_allclose(centred.lam, middle, rtol=1e-5)

    W, b_v, b_h = values(density)
    whole = np.asarray(engine.function([], density.rbm.W)()) if kind == "tied" else W
    written = [engine.shared(x, name) for x, name in ((W, "W"), (b_v + whole @ centred.lam, "a"))]
    written.append(engine.shared(b_h + centred.mu @ whole, "c"))
    W_c, a, c = written
    full = density._replace(W=W_c).rbm.W if kind == "tied" else W_c
    folded = density.with_tensors([W_c, a - full @ pt.as_tensor(centred.lam), c - pt.as_tensor(centred.mu) @ full])
    data, negative = rows(2), rows(3)
    steps = optimisers.sgd(pt.grad(surplus(folded, data, negative), written), written, RATE)
    expected = engine.function([], [steps[p] for p in written])()

    params = density.tensors()
    grads = centred.gradients(pt.grad(surplus(density, data, negative), params), params)
    updates = centred.plain(optimisers.sgd(grads, params, RATE))
    got = engine.function([], [updates[p] for p in params])()

    W_new, a_new, c_new = (np.asarray(x) for x in expected)
    np.testing.assert_allclose(got[0], W_new, rtol=1e-4, atol=1e-5)
    full_new = (
        np.asarray(engine.function([], density._replace(W=pt.as_tensor(W_new)).rbm.W)()) if kind == "tied" else W_new
    )
    np.testing.assert_allclose(got[1], a_new - full_new @ centred.lam, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(got[2], c_new - centred.mu @ full_new, rtol=1e-4, atol=2e-5)
    assert abs(np.asarray(got[0]) - W).max() > 0.01


def after_a_step(p: dict[str, np.ndarray], data: np.ndarray, negative: np.ndarray, *, centred: bool) -> np.ndarray:
    """Exact probabilities of all frames after a step from given parameters."""
    rbm = RBM(*(engine.shared(p[name], name) for name in ("W", "b_v", "b_h")))
    grads = pt.grad(surplus(rbm, data, negative), rbm.tensors())
    by = Centring(rbm, data.mean(axis=0), np.full(M, 0.5, np.float32))
    if centred:
        grads = by.gradients(grads, rbm.tensors())
    updates = optimisers.sgd(grads, rbm.tensors(), RATE)
    updates = by.plain(updates) if centred else updates
    new = engine.function([], [updates[t] for t in rbm.tensors()])()
    return oracles.probabilities(dict(zip(("W", "b_v", "b_h"), map(np.float64, new), strict=True)))


def test_data_with_some_units_turned_around_are_learned_as_well():
    """With 0 and 1 exchanged in some columns, a centred RBM learns the same; a plain one does not."""
    rng = np.random.default_rng(4)
    p = {"W": rng.normal(size=(N, M)), "b_v": rng.normal(size=N), "b_h": rng.normal(size=M)}
    data, negative = rows(5), rows(6)
    turned = np.array([1, 0, 1, 1, 0, 0], bool)
    sign = np.where(turned, -1.0, 1.0)
    q = {"W": sign[:, None] * p["W"], "b_v": sign * p["b_v"], "b_h": p["b_h"] + turned @ p["W"]}
    flipped = [np.where(turned, 1 - x, x).astype(np.float32) for x in (data, negative)]
    states = oracles.all_states(N)
    where = oracles.state_index(np.where(turned, 1 - states, states))
    np.testing.assert_allclose(oracles.probabilities(q)[where], oracles.probabilities(p), rtol=1e-6)

    apart = {}
    for centred in (True, False):
        one, other = after_a_step(p, data, negative, centred=centred), after_a_step(q, *flipped, centred=centred)
        apart[centred] = abs(np.log(other[where]) - np.log(one)).max()
    assert apart[True] < 1e-4
    assert apart[False] > 0.05


def test_only_an_rbm_of_its_own_parameters_is_centred():
    mean = np.zeros(N)
    assert centring(NADE.init(N, M, seed=0), mean) is None
    assert centring(Independent.init(N), mean) is None
    rbm = make("binary")
    assert centring(rbm._replace(b_h=rbm.b_h + 1), mean) is None


def test_fit_centres_unless_told_otherwise():
    """One epoch of one batch, without anything else that changes the step."""
    pieces = [rows(i) for i in range(4)]
    options = {"optimiser": "sgd", "learning_rate": 0.1, "schedule": "constant", "warmup": 0.0, "clip": 0.0}
    options |= {
        "epochs": 1,
        "k": 1,
        "state_dropout": 0.0,
        "input_dropout": 0.0,
        "carry": 0.0,
        "context": 0,
        "averaging": 0.0,
    }
    options |= {"row_length": 40, "batch_size": 1}
    got = {}
    for centred in (True, False):
        model = rnn_rbm(N, M, 3, seed=0)
        model.density.W.set_value(np.random.default_rng(7).normal(size=(N, M)).astype(np.float32))
        before = {p.name: engine.to_numpy(p) for p in model.params}
        list(fit(model, pieces, initial_bias=False, centring=centred, **options))
        got[centred] = {p.name: engine.to_numpy(p) - before[p.name] for p in model.params}
    mu, lam = np.concatenate(pieces).mean(axis=0), np.full(M, 0.5)
    plain, step = got[False], got[True]
    # of plain gradient descent: the step in W loses what belongs to the biases, and these take over the offsets
    W = plain["W"] - np.outer(mu, plain["b_h"]) - np.outer(plain["b_v"], lam)
    np.testing.assert_allclose(step["W"], W, atol=2e-6)
    np.testing.assert_allclose(step["b_v"], plain["b_v"] - W @ lam, atol=2e-6)
    np.testing.assert_allclose(step["b_h"], plain["b_h"] - mu @ W, atol=2e-6)
    for name in set(plain) - {"W", "b_v", "b_h"}:
        np.testing.assert_allclose(step[name], plain[name], atol=1e-7)


def test_adaptive_offsets_follow_the_mean_of_hidden_units():
    rng = np.random.default_rng(7)
    data = (rng.random((12, N)) < 0.4).astype(np.uint8)
    rbm = RBM.init(N, M, seed=1, scale=0.8)
    rbm.b_v.set_value(np.full(N, 0.1, np.float32))  # fit leaves it
    W, b_v, b_h = (x.astype(float) for x in values(rbm))
    state, settings = State(), {"epochs": 1, "batch_size": 12, "optimiser": "sgd", "learning_rate": 0.2}
    plain = {"clip": 0.0, "warmup": 0.0, "averaging": 0.0, "density_scale": 1.0, "schedule": "constant"}
    list(fit(rbm, data, state=state, **settings, **plain, adaptive_offsets=True))
    expected = 0.5 + 0.01 * (expit(data @ W + b_h).mean(axis=0) - 0.5)
    np.testing.assert_allclose(engine.to_numpy(state.variables["hidden_mean"]), expected, rtol=1e-5)
    # the step itself was made with the offsets before it
    own, moved = [x.astype(float) for x in values(rbm)], engine.to_numpy(state.variables["particles"])
    mu, lam = data.mean(axis=0), 0.5
    h, h_moved = expit(data @ W + b_h), expit(moved @ W + b_h)
    g_v, g_h = moved.mean(axis=0) - data.mean(axis=0), h_moved.mean(axis=0) - h.mean(axis=0)
    g_W = (moved.T @ h_moved - data.T @ h) / 12 - np.outer(mu, g_h) - lam * g_v[:, None]
    np.testing.assert_allclose(own[0], W - 0.2 * g_W, atol=1e-5)
    np.testing.assert_allclose(own[1], b_v - 0.2 * g_v + lam * 0.2 * g_W.sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(own[2], b_h - 0.2 * g_h + mu @ (0.2 * g_W), atol=1e-5)


def test_adaptive_offsets_need_centring_of_an_rbm():
    with pytest.raises(ValueError, match="adaptive_offsets are those of centring"):
        fit(RBM.init(3, 2, seed=0), rows(0)[:, :3], centring=False, adaptive_offsets=True)
    with pytest.raises(ValueError, match="the density is a NADE"):
        fit(NADE.init(3, 2, seed=0), rows(0)[:, :3], adaptive_offsets=True)
