"""Hopfield nets: weights are sums of products, settling goes downhill, and recall fails above the capacity."""

import math

import numpy as np
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rnnrbm import fit
from rnnrbm.backend import engine, random
from rnnrbm.batch import Batch
from rnnrbm.models.hopfield import CAPACITY, UNLEARNING_EPOCHS, Hopfield
from rnnrbm.models.settling import random_states, settle
from rnnrbm.training.settings import Training
from rnnrbm.training.suitable import missing_settings


def patterns(n_patterns: int, n: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n_patterns, n)) < 0.5).astype(np.uint8)


def hebb(x: np.ndarray) -> np.ndarray:
    """Sum of outer products over n, one pattern at a time."""
    W = sum(np.outer(s, s) for s in 2.0 * x - 1.0) / x.shape[1]
    np.fill_diagonal(W, 0.0)
    return W


def weights(net: Hopfield) -> np.ndarray:
    return engine.to_numpy(net.W).astype(float)


def stable(net: Hopfield, x: np.ndarray) -> float:
    """Share of the patterns of which no unit would change."""
    s = 2.0 * x - 1.0
    return float((s * (s @ weights(net)) > 0).all(axis=1).mean())


# --- learning -----------------------------------------------------------------------------------------


def test_weights_are_the_sum_of_products_however_the_data_are_cut():
    x = patterns(7, 60)
    made = [Hopfield.store(x)]
    for options in ({"batch_size": 3}, {"row_length": 4, "context": 0, "batch_size": 2}):
        net = Hopfield.init(60)
        rows = list(fit(net, [x[:3], x[3:4], x[4:]], **options))
        assert len(rows) == 1  # one epoch, unless it is set
        made.append(net)
    for net in made:
        W = weights(net)
        assert_allclose(W, hebb(x), atol=1e-6)
        assert_array_equal(W, W.T)
        assert not np.diag(W).any()
    again = Hopfield.init(60)
    rows = list(fit(again, x, epochs=2, batch_size=7))
    assert_allclose(weights(again), 2 * hebb(x), atol=1e-6)
    assert rows[0]["energy"] == 0.0  # of an empty net
    assert rows[1]["energy"] == pytest.approx(made[0].energy(x).mean() / 60, rel=1e-5)


def test_unlearning_subtracts_what_random_states_come_to():
    x = patterns(5, 12).astype(np.float32)[:, None]  # five frames of one row, of which the last is padding
    mask = np.float32([[1], [1], [1], [1], [0]])
    net = Hopfield.init(12, unlearning=0.25, n_sweeps=3)
    net.W.set_value(hebb(patterns(2, 12, seed=1)).astype(np.float32))
    v, m = pt.tensor("v", dtype="float32", shape=x.shape), pt.tensor("m", dtype="float32", shape=mask.shape)
    rng = random.shared(5)
    updates, _ = net.updates(Batch(v, m, m), rng)
    learnt = hebb(patterns(2, 12, seed=1)) + hebb(x[:4, 0])
    other = Hopfield.of(learnt.astype(np.float32))
    s, after = random_states(other, pt.zeros((5, 12), "float32"), rng)
    s, _ = settle(other, s, after, 3)
    new, s = (engine.to_numpy(y).astype(float) for y in engine.function([v, m], [updates[net.W], s])(x, mask))
    assert set(np.unique(s)) == {-1.0, 1.0}
    expected = learnt - 0.25 * hebb((s[:4] + 1) / 2)
    assert_allclose(new, expected, atol=1e-6)
    assert np.abs(new - learnt).max() > 0.01


def test_unlearning_makes_room_for_more_patterns():
    """Measured for 30 patterns of 100 units: none is stable without, 29 with 0.5 of unlearning in 20 epochs."""
    x = patterns(30, 100)
    with pytest.warns(RuntimeWarning, match=r"there are 30 patterns, and a Hopfield net of 100 units holds about 14"):
        plain = Hopfield.store(x)
    with pytest.warns(RuntimeWarning, match="set unlearning"):
        unlearnt = Hopfield.store(x, unlearning=0.5)
    assert stable(plain, x) < 0.1
    assert stable(unlearnt, x) > 0.8
    assert unlearnt.score([x]) > 0.98 > 0.85 > plain.score([x])
    W = weights(unlearnt)
    assert_allclose(W, W.T, atol=1e-5)
    assert not np.diag(W).any()


def test_usual_settings_are_its_own():
    assert missing_settings(Hopfield.init(4), Training())["epochs"] == 1
    assert missing_settings(Hopfield.init(4, unlearning=0.1), Training())["epochs"] == UNLEARNING_EPOCHS
    assert "epochs" not in missing_settings(Hopfield.init(4), Training(epochs=3))


# --- recall -------------------------------------------------------------------------------------------


def test_patterns_are_recalled_below_the_capacity_and_none_above():
    """Measured at 500 units: all of 25 patterns, three quarters of the units of 100."""
    few = patterns(25, 500)
    net = Hopfield.store(few)
    assert net.capacity() == CAPACITY * 500 == pytest.approx(69)
    flipped = np.where(np.random.default_rng(1).random(few.shape) < 0.1, 1 - few, few)
    assert 0.05 < (flipped != few).mean() < 0.15
    assert_array_equal(net.recall(flipped), few)
    assert net.score([few[:4], few[4:]]) == 1.0
    with pytest.warns(RuntimeWarning, match="there are 100 patterns"):
        full = Hopfield.store(patterns(100, 500))
    assert full.score([patterns(100, 500)]) < 0.85  # worse than the frames that it was given


def test_energy_never_rises_along_a_recall():
    x = patterns(4, 60)
    net = Hopfield.store(x)
    s = 2.0 * x - 1.0
    W = hebb(x)
    by_pairs = [-sum(W[i, j] * a[i] * a[j] for i in range(60) for j in range(i)) for a in s]
    assert_allclose(net.energy(x), by_pairs, rtol=1e-5)
    assert_allclose(net.energy(x[1]), by_pairs[1], rtol=1e-5)
    v = pt.as_tensor(x.astype(np.float32))
    assert_allclose(engine.to_numpy(engine.function([], net.energy(v))()), by_pairs, rtol=1e-5)
    now, energies = patterns(50, 60, seed=9), []
    for sweep in range(6):
        energies.append(net.energy(now))
        now = net.recall(now, 1, seed=sweep)
    steps = np.diff(energies, axis=0)
    assert steps.max() <= 1e-6
    assert (steps[0] < 0).mean() > 0.9
    assert_array_equal(net.recall(now, seed=77), now)  # settled states stay, in any order of the units
    assert_array_equal(net.recall(patterns(50, 60, seed=9), seed=3), net.reconstruct(patterns(50, 60, seed=9), seed=3))
    samples = net.sample(50, k=20, seed=4)
    assert_array_equal(net.recall(samples, 1), samples)


# --- what is refused ----------------------------------------------------------------------------------


def test_given_weights_are_checked():
    W = hebb(patterns(3, 5)).astype(np.float32)
    assert_array_equal(engine.to_numpy(Hopfield.of(W).W), W)

    def changed(i: int, j: int, value: float) -> np.ndarray:
        new = W.copy()
        new[i, j] = value
        return new

    for wrong, message in (
        (W[:4], r"W has shape \(4, 5\), expected \(n, n\)"),
        (W[0], r"W has shape \(5,\), expected \(n, n\)"),
        (changed(0, 1, np.nan), "W must be finite"),
        (changed(3, 1, 9.0), r"W must be symmetric, but W\[1, 3\] is .* and W\[3, 1\] is 9\.0"),
        (changed(2, 2, 0.5), r"W must have a diagonal of 0, but W\[2, 2\] is 0\.5"),
    ):
        with pytest.raises(ValueError, match=message):
            Hopfield.of(wrong)


def test_what_is_impossible_is_said(recwarn):
    with pytest.raises(ValueError, match=r"unlearning=-1: expected a number of at least 0"):
        Hopfield.init(4, unlearning=-1)
    with pytest.raises(ValueError, match=r"patterns has shape \(4,\), expected \(P, n\)"):
        Hopfield.store(np.zeros(4))
    with pytest.raises(ValueError, match=r"patterns hold -1 and 1; expected 0 and 1"):
        Hopfield.store(np.array([[1, -1, 1]]))
    net = Hopfield.init(20)
    assert math.isclose(net.capacity(), 2.76)
    net.check_data([np.repeat(patterns(2, 20), 50, axis=0)])  # two patterns, however often
    assert not recwarn.list
    with pytest.warns(RuntimeWarning, match=r"there are 3 patterns, .* holds about 3 random ones"):
        net.check_data([patterns(3, 20)])
