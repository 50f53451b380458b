"""Forecasts: their scores, and those of linear models; what a model and the command give."""

import numpy as np
import pytest

import rnnrbm
from rnnrbm.forecasting import Forecast
from rnnrbm.sampling import expect_blocks
from rnnrbm.scoring.autoregression import ColumnGaussian, VectorAutoregression
from rnnrbm.scoring.forecasts import crps, linear_forecasters, next_frame_error, score_forecasts

RNG = np.random.default_rng


def walk(seed: int, n: int = 60) -> np.ndarray:
    return RNG(seed).normal(size=(n, 2)).cumsum(axis=0).astype(np.float32)


def test_crps_by_all_pairs_and_in_closed_form():
    x, y = RNG(0).normal(size=(7, 3, 2)), RNG(1).normal(size=(3, 2))
    pairs = [np.abs(x[i] - x[j]) for i in range(7) for j in range(7) if i != j]
    np.testing.assert_allclose(crps(x, y), np.abs(x - y).mean(axis=0) - 0.5 * np.mean(pairs, axis=0), atol=1e-12)
    # of a standard normal law at 0: (sqrt 2 - 1) / sqrt pi
    many = RNG(2).normal(size=(200_000, 1))
    assert crps(many, np.zeros(1))[0] == pytest.approx((np.sqrt(2) - 1) / np.sqrt(np.pi), abs=3e-3)
    # it has no bias from the number of samples
    few = np.mean([crps(RNG(s).normal(size=(2, 1)), np.zeros(1))[0] for s in range(20_000)])
    assert few == pytest.approx((np.sqrt(2) - 1) / np.sqrt(np.pi), abs=0.02)
    for wrong in (x[:1], x[:, :2]):
        with pytest.raises(ValueError, match="expected two samples or more of that shape"):
            crps(wrong, y)


def test_a_forecast_has_mean_and_quantiles():
    samples = np.arange(24.0).reshape(4, 3, 2)
    found = Forecast(samples)
    np.testing.assert_array_equal(found.mean, samples.mean(axis=0))
    np.testing.assert_array_equal(found.quantile(0.5), np.median(samples, axis=0))
    assert found.quantile([0.1, 0.9]).shape == (2, 3, 2)
    with pytest.raises(ValueError, match="between 0 and 1"):
        found.quantile(1.5)


def test_linear_forecasts_of_a_random_walk():
    """Its forecast is the last frame, and its error grows as the root of the number of steps."""
    train, test = [walk(s, 200) for s in range(6)], [walk(99, 400)]
    models = linear_forecasters(train, train[:1])
    scores = {name: score_forecasts(f, test, steps=4, n_samples=200, every=7, seed=1) for name, f in models.items()}
    assert scores["copy"].n_forecasts == len(range(10, 397, 7))
    law = (np.sqrt(2) - 1) / np.sqrt(np.pi)  # mean over y of the score of a normal law is 1 / sqrt(pi)
    np.testing.assert_allclose(scores["copy"].crps, np.sqrt(np.arange(1, 5)) / np.sqrt(np.pi), rtol=0.2)
    assert scores["copy"].crps[0] > law
    np.testing.assert_allclose(scores["copy"].squared_error, 2.0 * np.arange(1, 5), rtol=0.4)
    for name in ("VAR(1)", "VAR(3)", "VAR(3), heavy tails"):
        np.testing.assert_allclose(scores[name].crps, scores["copy"].crps, rtol=0.15)


def test_paths_of_an_autoregression_have_its_mean():
    train = [walk(s) for s in range(4)]
    model, history = VectorAutoregression.fit(train, [], 2), walk(8, 20)
    drawn = linear_forecasters(train, [])["VAR(2)"](history, 3, 40_000, 0)
    past = history.astype(float)
    for t in range(3):
        expected = model.mean_of(np.concatenate([past, np.zeros((1, 2))]))[-1]
        np.testing.assert_allclose(drawn[:, t].mean(axis=0), expected, atol=0.05)
        past = np.concatenate([past, expected[None]])
    np.testing.assert_allclose(np.cov(drawn[:, 0].T), model.covariance, rtol=0.05, atol=0.02)
    # with less history than its order, the mean stands before it
    assert linear_forecasters(train, [])["VAR(3)"](history[:1], 2, 5, 0).shape == (5, 2, 2)


def test_next_frame_error_counts_from_the_fourth_frame():
    pieces = [walk(0, 9), walk(1, 3), walk(2, 5)]
    copied = ColumnGaussian(np.zeros(2), np.ones(2), True)
    by_hand = np.concatenate([np.square(np.diff(p, axis=0))[2:].sum(axis=1) for p in pieces])
    assert next_frame_error(copied.mean_of, pieces) == pytest.approx(by_hand.mean(), rel=1e-6)
    with pytest.raises(ValueError, match="no piece has 10 frames"):
        next_frame_error(copied.mean_of, pieces, first=10)
    model = rnnrbm.build("rnn", 2, n_recurrent=3, visible="gaussian:0.5", autoregressive=1, seed=0)
    own = next_frame_error(expect_blocks(model, pieces, n_samples=2, k=1), pieces)
    assert own == pytest.approx(by_hand.mean(), rel=0.05)  # a new model copies
    with pytest.raises(ValueError, match="17 frames were expected, and the pieces have 9"):
        next_frame_error(expect_blocks(model, pieces, n_samples=1, k=1), pieces[:1])


def test_a_model_forecasts_any_kind_of_frame():
    notes = rnnrbm.build("rnn-rbm", 6, n_hidden=4, n_recurrent=5, seed=0)
    history = (RNG(0).random((5, 6)) < 0.3).astype(np.float32)
    found = notes.predict(history, steps=4, n_samples=30, k=3, seed=2)
    assert found.samples.shape == (30, 4, 6)
    assert set(np.unique(found.samples)) <= {0.0, 1.0}
    np.testing.assert_array_equal(found.samples, rnnrbm.generate(notes, 4, n_samples=30, k=3, seed=2, prime=history))
    real = rnnrbm.build("rnn", 2, n_recurrent=3, visible="gaussian:0.5", autoregressive=1, seed=0)
    end = real.predict(walk(3), 2, n_samples=2000, seed=1)
    np.testing.assert_allclose(end.mean, np.tile(walk(3)[-1], (2, 1)), atol=0.06)
    np.testing.assert_allclose(end.samples.std(axis=0)[:, 0], [0.5, 0.5 * np.sqrt(2)], rtol=0.1)
    for wrong in ({"steps": 0}, {"steps": 2, "n_samples": 1}):
        with pytest.raises(ValueError, match="at least"):
            real.predict(walk(3), **wrong)
    with pytest.raises(ValueError, match="prime"):
        real.predict(np.zeros((4, 3)), 2)


def test_scores_need_pieces_that_are_long_enough():
    with pytest.raises(ValueError, match="no piece has 20 frames, of which 10 are the history"):
        score_forecasts(lambda *given: np.zeros((2, 10, 2)), [walk(0, 15)], steps=10)
