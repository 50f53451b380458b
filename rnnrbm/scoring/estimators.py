"""Estimates from the log weights of annealing chains, in NumPy.

Annealing (:mod:`rnnrbm.scoring.partition`) gives R rows of n log weights, one row for each conditional RBM. Here they
become estimates of log Z (AIS) and of log p (RAISE), with their variances.

*A list of states* whose terms of Z are summed exactly (S) leaves two unbiased estimates of Z from the same chains. With
the weight w of a chain split into x, if it ended in the list, and y otherwise, they are the means of x + y and of
S + y. The second is far better if the list holds narrow modes that annealing rarely finds, and the first if annealing
finds everything, since x and y then vary together. Any mixture is unbiased too:

    Z_i = S + y_i + alpha_i (x_i - S)

where alpha_i, between 0 and 1, is the best mixture for other chains than the i-th, so that the choice does not bias
the estimate: those of the same row, and with a small weight those of the other rows, since a few chains alone choose
badly. The mean of x is known to be S: if all chains agree and miss a mode of the list, they miss S too, and alpha is
near 0.

*Downwards* (RAISE), the scored model with a list is a mixture: a state of the list, sampled exactly, with the
probability pi, or a state that annealing generates. pi comes from chains upwards that do not know the datum, so the
probabilities of all data still add up to one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["N_RESAMPLINGS", "POOLED_CHAINS", "Estimate", "log_mean", "mixed_log_weights", "raise_log_mean"]

N_RESAMPLINGS = 200  #: of the bootstrap
_TINY = np.finfo(float).tiny

#: The other rows have a say in the mixture of a row like so many of its own chains.
POOLED_CHAINS = 2.0

#: Annealing generates at least this fraction of the scored model, in units of one chain upwards.
_LEAST_SHARE = 0.1


class Estimate(NamedTuple):
    """Estimates of R rows.

    Attributes
    ----------
    log_mean : numpy.ndarray, shape (R,)
        Log of the mean weight.
    variance : numpy.ndarray, shape (R,)
        Its variance, nats squared.
    effective_sample_size : numpy.ndarray, shape (R,)
        Between 1 and the number of weights.
    """

    log_mean: np.ndarray
    variance: np.ndarray
    effective_sample_size: np.ndarray


def log_mean(log_w: np.ndarray, rng: np.random.Generator) -> Estimate:
    """Estimate the log of the mean weight of each row, with its variance by bootstrap.

    Parameters
    ----------
    log_w : numpy.ndarray, shape (R, n)
    rng : numpy.random.Generator
        Chooses the resamplings.
    """
    n = log_w.shape[1]
    log_w = log_w.astype(float)
    top = log_w.max(axis=1, keepdims=True)
    w = np.exp(log_w - top)
    counts = rng.multinomial(n, np.full(n, 1.0 / n), size=N_RESAMPLINGS)
    # a resampling may miss every large weight; its mean then gets the smallest positive number
    means = np.maximum(w @ counts.T / n, _TINY)
    # n / (n - 1) corrects the bias of the bootstrap variance
    variance = np.log(means).var(axis=1, ddof=1) * n / (n - 1)
    return Estimate(top[:, 0] + np.log(w.mean(axis=1)), variance, w.sum(axis=1) ** 2 / np.square(w).sum(axis=1))


def mixed_log_weights(
    log_w: np.ndarray, inside: np.ndarray, log_sum: np.ndarray, *, pooled_chains: float = POOLED_CHAINS
) -> tuple[np.ndarray, np.ndarray]:
    """Mix the two estimates of Z that a list of states leaves.

    Parameters
    ----------
    log_w : numpy.ndarray, shape (R, n)
        Log weights of chains upwards.
    inside : numpy.ndarray, shape (R, n), bool
        Whether a chain ended in the list.
    log_sum : numpy.ndarray, shape (R,)
        Log of the exact sum over the list, on the scale of the weights.
    pooled_chains : float
        Say of the other rows in the mixture of a row, in chains of its own; 0 makes rows independent of each other.

    Returns
    -------
    log_w : numpy.ndarray, shape (R, n)
        Log of Z_i, whose mean is an unbiased estimate of Z.
    alpha : numpy.ndarray, shape (R, n)
        The mixture of each chain.
    """
    log_w, log_sum = log_w.astype(float), log_sum.astype(float)[:, None]
    top = np.maximum(log_w.max(axis=1, keepdims=True), log_sum)
    w, exact = np.exp(log_w - top), np.exp(log_sum - top)
    y = np.where(inside, 0.0, w)
    off = np.where(inside, w, 0.0) - exact
    n = log_w.shape[1]
    each = (np.square(off), off * y, off, y)
    whole = [z.sum(axis=1, keepdims=True) for z in each]
    unit = np.maximum(exact + whole[3] / n, _TINY)  # Z, as the list alone estimates it: rows can be compared in it
    pooled = [_of_other_rows(z / unit**2) / n for z in _sums_of_squares(whole, n)]
    others = [z - own for z, own in zip(whole, each, strict=True)]
    unit = exact + others[3] / (n - 1)
    square, product = (
        z + pooled_chains * unit**2 * p for z, p in zip(_sums_of_squares(others, n - 1), pooled, strict=True)
    )
    alpha = np.clip(-product / np.maximum(square, _TINY), 0.0, 1.0)
    return top + np.log(np.maximum(exact + y + alpha * off, _TINY)), alpha


def _sums_of_squares(sums: list[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of off^2, whose mean is known, and of off times y less its mean, from sums over n chains."""
    square, product, first, second = sums
    return square, product - first * second / n


def _of_other_rows(z: np.ndarray) -> np.ndarray:
    """Mean over the other rows, (R, 1); 0 if there is no other."""
    return (z.sum() - z) / max(len(z) - 1, 1)


def raise_log_mean(
    log_w: np.ndarray,
    listed: np.ndarray,
    log_up: np.ndarray,
    inside: np.ndarray,
    log_sum: np.ndarray,
    rng: np.random.Generator,
) -> Estimate:
    """Estimate the log-probability that RAISE gives to data, with a list of states, relative to exp(-F) / Z_base.

    Parameters
    ----------
    log_w : numpy.ndarray, shape (R, n)
        Log weights of chains downwards from each datum.
    listed : numpy.ndarray, shape (R,), bool
        Whether the datum is in the list.
    log_up, inside, log_sum
        Chains upwards, as for :func:`mixed_log_weights`, with m chains.
    rng : numpy.random.Generator

    Returns
    -------
    Estimate
        The variance includes that of the mixture, by the jackknife over the chains upwards.
    """
    m = log_up.shape[1]
    # no other rows: the RBM of a later frame has seen the datum, and pi must not know it
    mixed, alpha = mixed_log_weights(log_up, inside, log_sum, pooled_chains=0)
    top = mixed.max(axis=1, keepdims=True)
    total = np.exp(mixed - top)
    log_exact = log_sum.astype(float)[:, None] - top

    def mixture(sums: list[np.ndarray], n: int) -> np.ndarray:
        """pi, such that the mixture generates the list as often as the RBM; annealing alone, where it is trusted."""
        total, n_inside, alpha = sums
        share = np.minimum(np.exp(log_exact - np.log(np.maximum(total / n, _TINY))), 1.0)
        annealed = (n_inside + 0.5) / (n + 1)
        pi = (1.0 - alpha / n) * (share - annealed) / (1.0 - annealed)
        return np.clip(pi, 0.0, 1.0 - _LEAST_SHARE / (n + 1))

    each = (total, inside, alpha)
    whole = [z.sum(axis=1, keepdims=True) for z in each]
    pi = mixture(whole, m)
    without = mixture([s - z for s, z in zip(whole, each, strict=True)], m - 1)

    def log_terms(pi: np.ndarray, log_annealed: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):  # log 0 is minus infinity: no part of the list
            log_list = np.where(listed[:, None], np.log(pi) - log_sum.astype(float)[:, None], -np.inf)
        return np.logaddexp(log_list, np.log1p(-pi) + log_annealed)

    annealed = log_mean(-log_w, rng)
    estimate = log_mean(log_terms(pi, -log_w.astype(float)), rng)
    others = log_terms(without, annealed.log_mean[:, None])
    jackknife = np.square(others - others.mean(axis=1, keepdims=True)).sum(axis=1) * (m - 1) / m
    return estimate._replace(variance=estimate.variance + jackknife)
