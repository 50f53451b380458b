"""Estimates from log weights: unbiased, as good as the better of their parts, and errors that are right."""

import numpy as np
import pytest

from rnnrbm.scoring.estimators import log_mean, mixed_log_weights, raise_log_mean

Chains = tuple[np.ndarray, np.ndarray, np.ndarray]


def chains(n_rows: int, n: int, spread: float, found: float, seed: int = 0) -> tuple[Chains, float]:
    """Log weights of chains with E[w] = 1, whether they ended in a list, and the list's exact log sum.

    `spread` is the standard deviation of log w. A chain ends in the list with probability 0.6, of which `found` are
    ends that plain annealing weighs rightly; the others make up for them with rare, large weights.
    """
    rng = np.random.default_rng(seed)
    w = np.exp(spread * rng.normal(size=(n_rows, n)) - spread**2 / 2)
    inside = rng.random((n_rows, n)) < 0.6
    rare = rng.random((n_rows, n)) < 0.01
    w = np.where(inside, w * (found + (1.0 - found) * rare / 0.01), w)
    return (np.log(w + 1e-300), inside, np.full(n_rows, np.log(0.6))), 1.0


@pytest.mark.parametrize("n", [2, 3, 20])
@pytest.mark.parametrize(("spread", "found"), [(0.1, 1.0), (0.5, 0.5), (0.5, 0.0)])
def test_mixed_weights_are_unbiased(n, spread, found):
    (log_w, inside, log_sum), true = chains(40_000, n, spread, found)
    mixed, alpha = mixed_log_weights(log_w, inside, log_sum)
    assert mixed.shape == alpha.shape == log_w.shape
    assert alpha.min() >= 0.0
    assert alpha.max() <= 1.0
    means = np.exp(mixed).mean(axis=1)
    assert abs(means.mean() - true) < 4 * means.std() / np.sqrt(len(means))


@pytest.mark.parametrize(("spread", "found", "better"), [(0.05, 1.0, "plain"), (0.3, 0.0, "listed")])
def test_mixed_weights_vary_as_little_as_the_better_estimate(spread, found, better):
    (log_w, inside, log_sum), _ = chains(4000, 100, spread, found)
    w, exact = np.exp(log_w), np.exp(log_sum)[:, None]
    each = {"plain": w, "listed": exact + np.where(inside, 0.0, w)}
    variance = {name: z.mean(axis=1).var() for name, z in each.items()}
    assert min(variance, key=lambda name: variance[name]) == better
    mixed, alpha = mixed_log_weights(log_w, inside, log_sum)
    assert np.exp(mixed).mean(axis=1).var() < 1.15 * variance[better]
    assert max(variance.values()) > 3 * variance[better]
    assert (alpha.mean() > 0.9) == (better == "plain")


def test_the_mixture_of_a_chain_is_that_of_all_others():
    rng = np.random.default_rng(0)
    log_w, inside, log_sum = rng.normal(size=(1, 6)), np.array([[1, 0, 1, 1, 0, 0]], bool), np.array([0.3])
    mixed, alpha = mixed_log_weights(log_w, inside, log_sum)
    w, exact = np.exp(log_w[0]), np.exp(0.3)
    for i in range(6):
        x, y = (np.delete(np.where(where, w, 0.0), i) for where in (inside[0], ~inside[0]))
        best = -((x - exact) * (y - y.mean())).sum() / ((x - exact) ** 2).sum()
        assert alpha[0, i] == pytest.approx(np.clip(best, 0.0, 1.0))
        own = (w[i], 0.0) if inside[0, i] else (0.0, w[i])
        assert np.exp(mixed[0, i]) == pytest.approx(exact + own[1] + alpha[0, i] * (own[0] - exact))


def test_other_rows_steady_the_mixture_of_few_chains():
    """Five chains alone choose badly; a row by itself is the check that the gain is that of the others."""
    (log_w, inside, log_sum), true = chains(4000, 5, 0.05, 1.0)
    together, _ = mixed_log_weights(log_w, inside, log_sum)
    alone = np.concatenate([mixed_log_weights(log_w[[i]], inside[[i]], log_sum[[i]])[0] for i in range(4000)])
    mixed, single = (np.exp(z).mean(axis=1) for z in (together, alone))
    assert mixed.var() < 0.85 * single.var()
    assert abs(mixed.mean() - true) < 4 * mixed.std() / np.sqrt(len(mixed))


def test_the_mixture_of_a_row_does_not_depend_on_its_own_chain():
    """What a chain weighs changes the mixtures of all chains but its own."""
    (log_w, inside, log_sum), _ = chains(3, 6, 0.5, 0.5)
    _, before = mixed_log_weights(log_w, inside, log_sum)
    log_w[1, 2] += 0.7
    inside[1, 2] = ~inside[1, 2]
    _, after = mixed_log_weights(log_w, inside, log_sum)
    assert after[1, 2] == before[1, 2]
    assert np.isclose(after, before, rtol=1e-12).sum() == 1


def test_chains_that_agree_and_miss_the_list_are_not_trusted():
    """All in one mode, with weights that hardly differ; the exact sum is a hundred times as large."""
    log_w = 0.01 * np.random.default_rng(0).normal(size=(1, 50))
    mixed, alpha = mixed_log_weights(log_w, np.arange(50)[None] < 25, np.array([np.log(100.0)]))
    assert alpha.max() < 0.02
    assert log_mean(mixed, np.random.default_rng(0)).log_mean[0] == pytest.approx(np.log(100.5), abs=0.02)


def test_weights_of_any_size_do_not_overflow():
    (log_w, inside, log_sum), _ = chains(50, 10, 0.5, 0.5)
    for shift in (-5000.0, 5000.0):
        shifted, _ = mixed_log_weights(log_w + shift, inside, log_sum + shift)
        np.testing.assert_allclose(shifted - shift, mixed_log_weights(log_w, inside, log_sum)[0], atol=1e-9)
    far, _ = mixed_log_weights(log_w - 2000.0, inside, log_sum)  # annealing finds nothing of Z
    np.testing.assert_allclose(far, np.broadcast_to(log_sum[:, None], far.shape))


def test_the_variance_is_that_of_repeated_estimates():
    log_w = 0.7 * np.random.default_rng(0).normal(size=(3000, 40))
    got = log_mean(log_w, np.random.default_rng(1))
    np.testing.assert_allclose(got.log_mean, np.log(np.exp(log_w).mean(axis=1)))
    assert got.variance.mean() == pytest.approx(got.log_mean.var(), rel=0.1)
    w = np.exp(log_w)
    np.testing.assert_allclose(got.effective_sample_size, w.sum(axis=1) ** 2 / (w**2).sum(axis=1))


def test_raise_with_a_list_by_hand():
    """A datum of the list gets pi / sum besides its share of annealing; another only the latter."""
    (log_up, inside, log_sum), _ = chains(2, 4000, 1.0, 0.0)
    log_w = np.zeros((2, 30))
    got = raise_log_mean(log_w, np.array([True, False]), log_up, inside, log_sum, np.random.default_rng(0))
    annealed = np.exp(got.log_mean[1])  # 1 - pi
    assert 0.5 < annealed < 1.1
    mixed, alpha = mixed_log_weights(log_up, inside, log_sum, pooled_chains=0)
    r = (inside.sum(axis=1) + 0.5) / 4001
    share = np.minimum(np.exp(log_sum) / np.exp(mixed).mean(axis=1), 1.0)
    pi = np.clip((1 - alpha.mean(axis=1)) * (share - r) / (1 - r), 0.0, 1.0)
    assert annealed == pytest.approx(1 - pi[1])
    assert np.exp(got.log_mean[0]) == pytest.approx(pi[0] / np.exp(log_sum[0]) + 1 - pi[0])


def test_raise_of_a_row_does_not_depend_on_other_rows():
    """Rows are frames of one piece: the RBM of a later frame has read the datum of an earlier one."""
    (log_up, inside, log_sum), _ = chains(3, 6, 0.5, 0.5)
    log_w, listed = np.random.default_rng(0).normal(size=(3, 5)), np.array([True, False, True])
    before = raise_log_mean(log_w, listed, log_up, inside, log_sum, np.random.default_rng(0))
    log_up[2] += np.linspace(-1.0, 2.0, 6)
    inside[2] = ~inside[2]
    after = raise_log_mean(log_w, listed, log_up, inside, log_sum, np.random.default_rng(0))
    np.testing.assert_array_equal(after.log_mean[:2], before.log_mean[:2])
    assert after.log_mean[2] != before.log_mean[2]
