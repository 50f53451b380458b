"""Units of which at most one of a group is on: against sums over the states of a group."""

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import stats

from rnnrbm.backend import engine, random
from rnnrbm.units import AtMostOne

ALPHA = 1e-4
A = np.random.default_rng(0).normal(0.0, 1.5, (2, 12)).astype(np.float32)


def groups(x: np.ndarray, unit: AtMostOne) -> np.ndarray:
    """Units of each group, chosen by their columns: (rows, groups, size)."""
    block = unit.size * unit.apart
    first = [b + i for b in range(0, x.shape[1], block) for i in range(unit.apart)]
    return np.stack([x[:, [f + unit.apart * i for i in range(unit.size)]] for f in first], axis=1)


@pytest.mark.parametrize("unit", [AtMostOne(3), AtMostOne(4), AtMostOne(2, 3), AtMostOne(2, 6)], ids=str)
def test_mean_and_log_partition_are_sums_over_states(unit):
    a = pt.tensor("a", dtype="float32", shape=A.shape)
    log_partition = unit.log_partition(a)
    f = engine.function([a], [log_partition, unit.mean(a), pt.grad(log_partition.sum(), a)])
    for scale in (1.0, 60.0, -60.0):  # no overflow, and no NaN in the gradient
        log_Z, mean, slope = (engine.to_numpy(x).astype(float) for x in f((scale * A).astype(np.float32)))
        states = np.concatenate([np.zeros((1, unit.size)), np.eye(unit.size)])
        terms = groups(scale * A.astype(float), unit) @ states.T
        top = terms.max(axis=2, keepdims=True)
        p = np.exp(terms - top)
        np.testing.assert_allclose(log_Z, np.log(p.sum(2)) + top[..., 0], rtol=1e-5, atol=1e-6)
        p /= p.sum(axis=2, keepdims=True)
        np.testing.assert_allclose(groups(mean, unit), p[..., 1:], atol=2e-6)
        np.testing.assert_allclose(slope, mean, atol=2e-6)


@pytest.mark.parametrize("unit", [AtMostOne(3), AtMostOne(2, 3)], ids=str)
def test_samples_have_the_probabilities_of_the_states(unit):
    n = 20_000
    a = pt.tensor("a", dtype="float32", shape=(n, 12))
    rng = random.shared(1)
    x, after = unit.sample(a, rng)
    drawn = engine.to_numpy(engine.function([a], x, after.updates())(np.broadcast_to(A[0], (n, 12))))
    assert unit.validate(drawn) == ""
    weights = np.exp(groups(A[:1].astype(float), unit)[0])
    states = groups(drawn, unit) @ np.arange(1, unit.size + 1)
    for group, w in enumerate(weights):
        counts = np.bincount(states[:, group].astype(int), minlength=unit.size + 1)
        expected = np.concatenate([[1.0], w]) / (1.0 + w.sum())
        assert stats.chisquare(counts, n * expected).pvalue > ALPHA
    pair = np.zeros((unit.size + 1, unit.size + 1))
    np.add.at(pair, (states[:, 0].astype(int), states[:, 1].astype(int)), 1)
    assert stats.chi2_contingency(pair).pvalue > ALPHA


def test_rows_need_not_be_known_when_the_graph_is_built():
    unit, a = AtMostOne(2, 3), pt.tensor("a", dtype="float32", shape=(None, None, 12))
    x, _ = unit.sample(a, random.shared(1))
    f = engine.function([a], [unit.mean(a), unit.log_partition(a), x], mode="FAST_COMPILE")
    mean, log_Z, drawn = f(np.stack([A, -A, A]))
    assert mean.shape == drawn.shape == (3, 2, 12)
    assert log_Z.shape == (3, 2, 6)
    np.testing.assert_array_equal(mean[0], mean[2])


def test_fitted_biases_and_what_is_refused():
    unit = AtMostOne(2, 3)
    rng = np.random.default_rng(0)
    state = rng.choice(3, (4000, 2, 3), p=[0.6, 0.3, 0.1])
    frames = np.stack([state == 1, state == 2], axis=2).reshape(4000, 12).astype(np.uint8)
    bias = unit.fitted_bias([frames[:9], frames[9:]])
    mean = engine.function([], unit.mean(pt.as_tensor(bias[None].astype(np.float32))), mode="FAST_COMPILE")()[0]
    np.testing.assert_allclose(mean, frames.mean(axis=0), atol=1e-3)
    assert unit.validate(frames) == ""
    frames[7, [1, 4]] = 1
    assert unit.validate(frames) == "has 2 units of a group on in frame 7; expected at most one of each 2"
    assert "expected 0 and 1" in unit.validate(0.5 * frames)
    with pytest.raises(ValueError, match="size must be at least 2"):
        AtMostOne(1)
    with pytest.raises(ValueError, match="apart must be at least 1"):
        AtMostOne(2, 0)
