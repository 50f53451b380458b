"""NADE against a NumPy loop and enumeration: every order, every way to compute it, its samples and its training."""

from itertools import permutations

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from oracles import Params
from scipy import stats
from scipy.special import expit

from rnnrbm.backend import engine, random
from rnnrbm.densities import EnergyDensity, NormalizedDensity
from rnnrbm.models.nade import NADE

pytestmark = pytest.mark.gpu

N_VISIBLE, N_HIDDEN = 4, 3
ALPHA = 1e-4
ORDERS = [None, (2, 0, 3, 1)]


def make(orderless: bool = False, order: tuple[int, ...] | None = None, seed: int = 0) -> tuple[NADE, Params]:
    """All parameters random, none symmetric."""
    rng = np.random.default_rng(seed)
    nade = NADE.init(N_VISIBLE, N_HIDDEN, seed=rng, orderless=orderless, order=order)
    for t in nade.tensors():
        t.set_value(rng.normal(size=t.type.shape).astype(np.float32))
    return nade, {t.name: engine.to_numpy(t).astype(np.float64) for t in nade.tensors()}


def reference(p: Params, v: np.ndarray, order: tuple[int, ...] | None = None) -> float:
    """log p(v) of one row, unit by unit, as the formula says."""
    a, total = p["b_h"].copy(), 0.0
    for i in order or range(len(v)):
        chance = expit(p["V"][i] @ expit(a) + p["b_v"][i])
        total += np.log(chance if v[i] else 1 - chance)
        a = a + v[i] * p["W"][i] + p.get("U", np.zeros_like(p["W"]))[i]
    return total


STATES = oracles.all_states(N_VISIBLE)


@pytest.mark.parametrize("orderless", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_log_prob_is_the_formula_and_normalized(orderless, order):
    nade, p = make(orderless, order)
    v = pt.as_tensor(STATES.astype(np.float32))
    each = engine.function([], [nade.log_prob(v), nade.log_prob(v, N_VISIBLE), nade.log_prob(v, 3)])()
    expected = [reference(p, s, order) for s in STATES]
    assert np.exp(expected).sum() == pytest.approx(1.0)
    whole, none_too_many, few = (engine.to_numpy(x) for x in each)
    np.testing.assert_allclose(whole, expected, atol=3e-6)
    np.testing.assert_allclose(none_too_many, expected, atol=3e-6)
    rare = STATES.sum(axis=1) > 3
    np.testing.assert_allclose(few[~rare], np.array(expected)[~rare], atol=3e-6)
    assert np.isnan(few[rare]).all() != orderless  # rows of more than was said, where that matters


def test_rows_with_biases_of_their_own():
    nade, p = make()
    rng = np.random.default_rng(1)
    b_v, b_h = (rng.normal(size=(16, n)).astype(np.float32) for n in (N_VISIBLE, N_HIDDEN))
    rows = nade._replace(b_v=pt.as_tensor(b_v), b_h=pt.as_tensor(b_h))
    v = pt.as_tensor(STATES.astype(np.float32))
    expected = [reference(p | {"b_v": b_v[i], "b_h": b_h[i]}, s) for i, s in enumerate(STATES)]
    for log_prob in engine.function([], [rows.log_prob(v), rows.log_prob(v, N_VISIBLE - 1)])():
        got = engine.to_numpy(log_prob)
        np.testing.assert_allclose(got[:-1], expected[:-1], atol=3e-6)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("max_active", [None, 3])
def test_gradient_is_that_of_the_formula(order, max_active):
    nade, p = make(order=order)
    rows = STATES[STATES.sum(axis=1) <= 3]
    weight = np.random.default_rng(3).normal(size=len(rows))
    total = (nade.log_prob(pt.as_tensor(rows.astype(np.float32)), max_active) * weight.astype(np.float32)).sum()
    grads = engine.function([], pt.grad(total, nade.tensors()))()
    expected = oracles.finite_differences(lambda q: sum(weight * [reference(q, s, order) for s in rows]), p)
    for t, g in zip(nade.tensors(), grads, strict=True):
        np.testing.assert_allclose(engine.to_numpy(g), expected[t.name], atol=3e-5, err_msg=t.name)
        assert np.abs(expected[t.name]).max() > 1e-2


@pytest.mark.parametrize("orderless", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_samples_have_the_exact_probabilities(orderless, order):
    nade, p = make(orderless, order)
    n = 40_000
    v, after = nade.sample(pt.zeros((n, N_VISIBLE), "float32"), random.shared(5))
    one, _ = nade.sample(pt.zeros((N_VISIBLE,), "float32"), random.shared(5))
    rows, single, draw = (engine.to_numpy(x) for x in engine.function([], [v, one, after.draw])())
    assert draw == 1
    np.testing.assert_array_equal(single, rows[0])
    counts = np.bincount(oracles.state_index(rows), minlength=len(STATES))
    exact = np.exp([reference(p, s, order) for s in STATES])
    assert stats.chisquare(counts, n * exact).pvalue > ALPHA
    assert stats.chisquare(counts, n * np.roll(exact, 1)).pvalue < 1e-12


def test_random_orders_are_trained_without_bias():
    """The mean of what is minimized is the mean over all orders of -log p."""
    nade, p = make(orderless=True)
    v = np.array([1, 0, 1, 1])
    n = 200_000
    rows = pt.as_tensor(np.tile(v, (n, 1)).astype(np.float32))
    losses, after = nade.surrogate(rows, random.shared(7))
    got, draw = (engine.to_numpy(x) for x in engine.function([], [losses, after.draw])())
    assert draw == 2
    expected = -np.mean([reference(p, v, order) for order in permutations(range(N_VISIBLE))])
    error = got.std() / np.sqrt(n)
    assert error < 0.01
    assert abs(got.mean() - expected) < 4.5 * error
    fixed, _ = make()[0].surrogate(rows[:1], random.shared(7))
    np.testing.assert_allclose(engine.function([], fixed)()[0], -reference(make()[1], v), rtol=1e-5)


def test_contract():
    nade, _ = make()
    assert isinstance(nade, NormalizedDensity)
    assert not isinstance(nade, EnergyDensity)
    for made in (nade, make(orderless=True, order=(3, 2, 1, 0))[0]):
        assert made.with_tensors(made.tensors()) == made
    names = {t.name: t.type.shape for t in make(orderless=True)[0].tensors()}
    wide = (N_VISIBLE, N_HIDDEN)
    assert names == {"W": wide, "V": wide, "U": wide, "b_v": (N_VISIBLE,), "b_h": (N_HIDDEN,)}


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((0, 3), {}, "n_visible must be at least 1, got 0"),
        ((3, 0), {}, "n_hidden must be at least 1, got 0"),
        ((3, 2), {"b_v": np.zeros(2)}, r"b_v has shape \(2,\), expected \(3,\)"),
        ((3, 2), {"order": (0, 1, 1)}, r"each of 0 to 2 once, got \(0, 1, 1\)"),
    ],
)
def test_impossible_ones_are_refused(sizes, options, message):
    with pytest.raises(ValueError, match=message):
        NADE.init(*sizes, seed=0, **options)


@pytest.mark.parametrize("orderless", [False, True])
def test_at_a_temperature_the_log_odds_of_each_unit_are_divided(orderless):
    nade, p = make(orderless, ORDERS[1])
    log_p = engine.function([], nade.at_temperature(0.5).log_prob(pt.as_tensor(STATES.astype(np.float32))))()
    colder = p | {"V": 2 * p["V"], "b_v": 2 * p["b_v"]}
    np.testing.assert_allclose(np.asarray(log_p), [reference(colder, s, ORDERS[1]) for s in STATES], atol=5e-6)
