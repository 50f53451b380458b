"""Linear autoregression with errors of heavy tails."""

import numpy as np
import pytest
from scipy import stats

from rnnrbm.scoring.autoregression import VectorAutoregression
from rnnrbm.scoring.heavy_tails import RobustAutoregression
from rnnrbm.scoring.linear_baselines import table

A = np.array([[0.9, 0.2], [-0.3, 0.6]])


def process(seed: int, n: int = 400, degrees: float = 1.5) -> np.ndarray:
    """A process whose errors, seldom, are very large."""
    rng, x = np.random.default_rng(seed), np.zeros((n, 2))
    noise = 0.1 * rng.standard_t(degrees, size=(n, 1)) * rng.normal(size=(n, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    for t in range(1, n):
        x[t] = x[t - 1] @ A + noise[t]
    return x + [3.0, -1.0]


def test_large_errors_do_not_rule_the_weights():
    distances = {"robust": 0.0, "plain": 0.0}
    for seed in range(8):
        train = [process(10 * seed + i, 150) for i in range(2)]
        distances["robust"] += np.square(RobustAutoregression.fit(train, 1).weights - A).sum()
        distances["plain"] += np.square(VectorAutoregression.fit(train, [], 1).weights - A).sum()
    assert distances["robust"] < 0.3 * distances["plain"]
    assert distances["robust"] / 8 < 0.01


def test_the_density_is_that_of_scipy():
    train = [process(seed) for seed in range(3)]
    model, piece = RobustAutoregression.fit(train, 2), process(9, 30)
    got, mean = model.frame_log_likelihoods(piece), model.mean_of(piece)
    law = stats.multivariate_t(shape=model.scale, df=model.degrees)
    np.testing.assert_allclose(got, law.logpdf(piece - mean), rtol=1e-9)
    past = np.concatenate([np.tile(model.mean, (2, 1)), piece])
    for t in (0, 1, 7):
        by_hand = model.mean + model.constant + (past[t + 1] - model.mean) @ model.weights[:2]
        by_hand = by_hand + (past[t] - model.mean) @ model.weights[2:]
        np.testing.assert_allclose(mean[t], by_hand, atol=1e-9)
        np.testing.assert_allclose(
            model.next_of(piece[None, :t] if t else model.mean[None, None])[0], by_hand, atol=1e-9
        )


def test_the_weights_are_a_fixed_point_of_weighted_least_squares():
    train = [process(seed, 100) for seed in range(2)]
    model = RobustAutoregression.fit(train, 1)
    x = np.concatenate([np.concatenate([p[:-1], np.ones((len(p) - 1, 1))], axis=1) for p in train])
    y = np.concatenate([p[1:] for p in train])
    errors = np.concatenate([(p - model.mean_of(p))[1:] for p in train])
    d = np.einsum("ti,ij,tj->t", errors, np.linalg.inv(model.scale), errors)
    root = np.sqrt((4 + 2) / (4 + d))[:, None]
    solution = np.linalg.lstsq(x * root, y * root, rcond=None)[0]
    np.testing.assert_allclose(
        solution[:2], model.weights, atol=5e-3
    )  # first frames follow the mean, not another frame


def test_errors_have_the_covariance_of_their_law():
    model = RobustAutoregression.fit([process(0), process(1)], 1)
    drawn = model.draw_errors(np.random.default_rng(0), 200_000)
    centre = np.quantile(np.abs(drawn), 0.5, axis=0)
    law = stats.t(df=4, scale=np.sqrt(model.scale.diagonal()))
    np.testing.assert_allclose(centre, law.ppf(0.75), rtol=0.02)
    correlation = model.scale[0, 1] / np.sqrt(model.scale[0, 0] * model.scale[1, 1])
    signs = np.mean(np.sign(drawn[:, 0]) == np.sign(drawn[:, 1]))
    assert signs == pytest.approx(0.5 + np.arcsin(correlation) / np.pi, abs=0.01)


def test_it_is_among_the_baselines():
    train, test = [process(seed) for seed in range(4)], [process(50)]
    rows = {row["model"]: row for row in table(train, train[:1], test, lambda p, t: {})}
    assert rows["VAR(3), heavy tails"]["ll"] > rows["VAR(3)"]["ll"] + 0.5
