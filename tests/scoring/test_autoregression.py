"""Baselines of real numbers: by hand, on data of a known law, and against a direct regression."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from rnnrbm.scoring import autoregression, linear_baselines
from rnnrbm.scoring.autoregression import ColumnGaussian, VectorAutoregression, squared_errors
from rnnrbm.scoring.linear_baselines import table

A = np.array([[0.5, -0.3, 0.1], [0.2, 0.4, 0.0], [0.0, 0.3, -0.6]])
L = np.array([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.3, 0.2, 0.4]])
MEAN = np.array([3.0, -2.0, 10.0])


def process(n: int, seed: int, second: float = 0.0) -> np.ndarray:
    """A vector autoregression of order 1, or 2."""
    rng = np.random.default_rng(seed)
    v = np.zeros((n + 2, 3))
    for t in range(2, n + 2):
        v[t] = v[t - 1] @ A + second * v[t - 2] + L @ rng.normal(size=3)
    return v[2:] + MEAN


def test_gaussian_baselines_by_hand():
    train = [np.array([[0.0], [2.0], [0.0], [2.0]])]
    column = ColumnGaussian.fit(train)
    assert (column.mean[0], column.deviation[0]) == (1, 1)
    expected = -0.5 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(column.frame_log_likelihoods(train[0]), expected)
    np.testing.assert_allclose(column.mean_of(train[0]), 1)
    follow = ColumnGaussian.fit(train, follow=True)  # differences 0, 2, -2, 2
    assert follow.mean[0] == 0.5
    assert follow.deviation[0] == pytest.approx(np.sqrt((0 + 4 + 4 + 4) / 4 - 0.25))
    np.testing.assert_allclose(follow.mean_of(train[0])[:, 0], [0.5, 0.5, 2.5, 0.5])


def test_parameters_of_a_known_process_are_found():
    model = VectorAutoregression.fit([process(20_000, 0), process(10_000, 1)], [process(5000, 2)])
    np.testing.assert_allclose(model.weights, A, atol=0.03)
    np.testing.assert_allclose(model.covariance, L @ L.T, atol=0.03)
    np.testing.assert_allclose(model.mean, MEAN, atol=0.15)
    assert model.order == 1


def test_densities_are_those_of_scipy_and_each_frame_sees_only_its_past(monkeypatch):
    monkeypatch.setattr(autoregression, "_CHUNK", 5)  # pieces are cut
    model = VectorAutoregression.fit([process(500, 0, 0.3)], [process(100, 1, 0.3)], order=2)
    piece = process(13, 2)
    past = np.concatenate([np.tile(model.mean, (2, 1)), piece]) - model.mean
    means = [model.mean + past[t + 1] @ model.weights[:3] + past[t] @ model.weights[3:] for t in range(13)]
    np.testing.assert_allclose(model.mean_of(piece), means)
    exact = [multivariate_normal(m, model.covariance).logpdf(v) for m, v in zip(means, piece, strict=True)]
    np.testing.assert_allclose(model.frame_log_likelihoods(piece), exact)
    changed = piece.copy()
    changed[6:] += 5
    np.testing.assert_array_equal(model.mean_of(changed)[:7], model.mean_of(piece)[:7])


def test_weights_are_those_of_ridge_regression():
    train, order = [process(40, 0), process(30, 1)], 2
    model = VectorAutoregression.fit(train, [process(50, 2)], order)
    x = np.vstack([np.hstack([np.pad(p - model.mean, ((i, 0), (0, 0)))[: len(p)] for i in (1, 2)]) for p in train])
    y = np.vstack(train) - model.mean
    penalty = model.ridge * np.square(x).sum() / 6 * np.eye(6)
    np.testing.assert_allclose(model.weights, np.linalg.solve(x.T @ x + penalty, x.T @ y), rtol=1e-8, atol=1e-10)


def test_validation_chooses_a_strong_ridge_where_there_is_nothing_to_learn():
    rng = np.random.default_rng(0)
    noise = [rng.normal(size=(n, 8)) for n in (30, 500)]
    model = VectorAutoregression.fit(noise[:1], noise[1:], order=3)
    assert model.ridge >= 0.1
    assert model.shrinkage >= 0.1
    alone = VectorAutoregression.fit(noise[:1], [], order=3)
    assert (alone.ridge, alone.shrinkage) == (0.01, 0.01)
    better, worse = (float(m.frame_log_likelihoods(noise[1]).mean()) for m in (model, alone))
    assert better > worse


def test_more_columns_than_frames_and_constant_columns_have_a_density():
    rng = np.random.default_rng(0)
    train = [np.hstack([rng.normal(size=(5, 9)), np.ones((5, 1))])]
    for row in table(train, train, train, lambda predicted, true: {"n": float(len(list(predicted)))}):
        assert np.isfinite([row["ll"], row["ll_pieces"], row["n"]]).all(), row


def test_the_right_order_wins(monkeypatch):
    train, valid, test = ([process(3000, 3 * i + j, 0.35) for j in range(2)] for i in range(3))
    rows = table(train, valid, test, lambda predicted, true: {"mse": float(np.mean((next(predicted) - true[0]) ** 2))})
    lls = {row["model"]: row["ll"] for row in rows}
    assert lls["VAR(2)"] > lls["VAR(1)"] + 0.05 > lls["column Gaussian"] + 0.1
    assert lls["VAR(3)"] == pytest.approx(lls["VAR(2)"], abs=0.01)
    assert set(rows[-2]["settings"]) == {"ridge", "shrinkage"}
    monkeypatch.setattr(linear_baselines, "_MOST", 6)
    assert "VAR(3)" not in {row["model"] for row in table(train, valid, test, lambda p, t: {})}


def test_squared_errors_are_those_of_all_frames_at_once():
    true = [process(n, n, 0.3) for n in (40, 7)]
    predicted = [piece + 0.5 * np.arange(piece.shape[1]) for piece in true]
    for form in (list, iter):
        errors, variances = squared_errors(form(predicted), form(true))
        np.testing.assert_allclose(errors, (0.5 * np.arange(true[0].shape[1])) ** 2, atol=1e-12)
        np.testing.assert_allclose(variances, np.concatenate(true).var(axis=0))
    with pytest.raises(ValueError, match="differ in their number of pieces; they must be equal"):
        squared_errors(predicted[:1], true)
    with pytest.raises(ValueError, match=r"predicted has shape \(7, \d+\), true \(40, \d+\); they must be equal"):
        squared_errors(predicted[::-1], true)
