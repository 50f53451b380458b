"""Boltzmann machines of layers beside NumPy, which sums over all states."""

import itertools
from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import chi2

from rnnrbm.backend import engine, random
from rnnrbm.models.layered import LayeredMachine, layered
from rnnrbm.models.layered_inference import entropy_bound, gibbs, mean_field
from rnnrbm.models.layered_log_z import log_Z
from rnnrbm.units import Bernoulli, Gaussian, LearnedGaussian, Softmax

STACK = ((3, 2, 3, 2), ((0, 1), (1, 2), (2, 3)))
#: two frames that meet in layer 2; one edge goes from a later layer to an earlier one
MEETING = ((3, 2, 2, 3, 2), ((0, 1), (2, 1), (2, 3), (3, 4)))


def machine(shape: Any, scale: float = 1.0, units: Any = None) -> LayeredMachine:
    """Every parameter random."""
    sizes, edges = shape
    rng = np.random.default_rng(5)

    def drawn(*size: int, name: str) -> Any:
        return engine.shared(scale * rng.normal(size=size), name)

    biases = [drawn(n, name=f"b{i}") for i, n in enumerate(sizes)]
    weights = [drawn(sizes[a], sizes[b], name=f"W{a}{b}") for a, b in edges]
    return layered(units or [Bernoulli()] * len(sizes), biases, edges, weights)


def states(n: int) -> np.ndarray:
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def numpy_energy(m: LayeredMachine, x: np.ndarray) -> np.ndarray:
    """Energy of binary states (S, n), all layers side by side."""
    ends = np.cumsum(m.sizes)
    parts = [x[:, end - n : end] for end, n in zip(ends, m.sizes, strict=True)]
    total = -sum(part @ engine.to_numpy(b) for part, b in zip(parts, m.biases, strict=True))
    for (a, b), W in zip(m.edges, m.weights, strict=True):
        total -= np.einsum("si,ij,sj->s", parts[a], engine.to_numpy(W), parts[b])
    return total


def given_frames(m: LayeredMachine, layers: tuple[int, ...], v: np.ndarray) -> np.ndarray:
    """log p(v) + log Z of values (R, n) of some layers, by enumeration."""
    every = states(sum(m.sizes))
    minus = -numpy_energy(m, every)
    ends = np.cumsum(m.sizes)
    columns = np.concatenate([np.arange(ends[i] - m.sizes[i], ends[i]) for i in layers])
    return np.array([logsumexp(minus[(every[:, columns] == row).all(axis=1)]) for row in v])


def on(*x: Any, n_rows: int) -> Any:
    return [pt.specify_shape(pt.as_tensor(np.asarray(a, np.float32)), (n_rows, np.shape(a)[1])) for a in x]


@pytest.mark.parametrize("shape", [STACK, MEETING], ids=["stack", "meeting"])
def test_energy_and_the_one_rbm_are_those_of_numpy(shape):
    m = machine(shape)
    every = states(sum(m.sizes))
    parts = np.split(every.astype(np.float32), np.cumsum(m.sizes)[:-1], axis=1)
    rbm = m.as_rbm()
    assert rbm.W.type.shape == (sum(m.sizes[i] for i in m.side(True)), sum(m.sizes[i] for i in m.side(False)))
    odd, even = (np.concatenate([parts[i] for i in m.side(side)], axis=1) for side in (True, False))
    energy, of_rbm = engine.function([], [m.energy(list(map(pt.as_tensor, parts))), rbm.energy(odd, even)])()
    assert_allclose(energy, numpy_energy(m, every), atol=2e-5)
    assert_allclose(of_rbm, numpy_energy(m, every), atol=2e-5)


def test_log_Z_is_exact_and_annealing_comes_close():
    m = machine(MEETING)
    true = logsumexp(-numpy_energy(m, states(sum(m.sizes))))
    chains = [np.zeros((20, m.sizes[i])) for i in m.side(False)]
    exact = log_Z(m, chains, n_chains=10, n_temperatures=10)
    assert (exact.n_chains, exact.variance, exact.settings) == (1, 0.0, "exact")
    assert exact.value == pytest.approx(true, abs=1e-4)
    ais = log_Z(m, chains, method="ais", n_chains=400, n_temperatures=300)
    assert ais.value == pytest.approx(true, abs=0.05)
    assert 0 < ais.variance < 0.02**2
    assert ais.settings == "AIS, 400 chains x 300 temperatures, quadratic"


def test_gibbs_leaves_the_distribution_as_it_is():
    """By chi-square over all states of the even layers, after a step from exact samples; and with a unit clamped."""
    m, n = machine(STACK), 20_000
    every = states(sum(m.sizes))
    even_columns = np.r_[0:3, 5:8]
    p = np.exp(-numpy_energy(m, every))
    codes = every[:, even_columns] @ (1 << np.arange(6))
    p_even = np.bincount(codes.astype(int), p / p.sum(), 64)
    rng = np.random.default_rng(1)

    def code_after(p_even: np.ndarray, clamp: Any, k: int) -> np.ndarray:
        drawn = rng.choice(64, n, p=p_even)
        bits = (drawn[:, None] >> np.arange(6) & 1).astype(np.float32)
        out, _ = gibbs(m, on(bits[:, :3], bits[:, 3:], n_rows=n), random.shared(3), k, clamp=clamp)
        x = np.concatenate([engine.to_numpy(a) for a in engine.function([], out)()], axis=1)
        return np.bincount((x @ (1 << np.arange(6))).astype(int), minlength=64)

    def misfit(found: np.ndarray, p_even: np.ndarray) -> float:
        used = p_even > 0
        assert found[~used].sum() == 0
        return float(chi2.sf(((found - n * p_even)[used] ** 2 / (n * p_even)[used]).sum(), used.sum() - 1))

    assert misfit(code_after(p_even, None, 2), p_even) > 0.01
    held = np.full((n, 3), np.nan, np.float32)
    held[:, 1] = 1.0
    given = np.where(np.arange(64) >> 1 & 1, p_even, 0.0)
    given /= given.sum()
    assert misfit(code_after(given, {0: on(held, n_rows=n)[0]}, 2), given) > 0.01
    flat = np.full(64, 1 / 64)
    assert misfit(code_after(flat, None, 1), p_even) < 1e-6  # the test can fail


def test_a_gibbs_step_at_an_inverse_temperature_of_0_forgets_everything():
    m = machine(STACK, scale=3.0)
    even = on(np.ones((4000, 3)), np.ones((4000, 3)), n_rows=4000)
    out, _ = gibbs(m, even, random.shared(0), 2, betas=np.array([1.0, 0.0]))
    for x in engine.function([], out)():
        assert_allclose(engine.to_numpy(x).mean(axis=0), 0.5, atol=0.03)


def test_the_bound_is_below_the_log_likelihood_and_rises_with_each_step():
    m, visible = machine(MEETING), (0, 4)
    sizes = [m.sizes[i] for i in visible]
    v = states(sum(sizes))
    true = given_frames(m, visible, v)
    clamped = dict(zip(visible, on(*np.split(v, np.cumsum(sizes)[:-1], axis=1), n_rows=len(v)), strict=True))
    rest, own = m.given(clamped)
    bounds = engine.function([], [entropy_bound(rest, mean_field(rest, n)) - own for n in (1, 2, 5, 40)])()
    bounds = [engine.to_numpy(x) for x in bounds]
    for lower, higher in itertools.pairwise([*bounds, true]):
        assert (lower < higher + 2e-5).all()
    assert (bounds[0] < bounds[-1] - 1e-3).any()
    gap = (true - bounds[-1]).mean()
    assert 0.001 < gap < 0.3
    # one step from the means where another ends is no change
    hidden = [i for i in range(len(m.units)) if i not in visible]
    last = mean_field(rest, 40)
    means = {i: Bernoulli().mean(last[i]) for i, layer in enumerate(hidden) if not m.odd[layer]}
    again = engine.function([], entropy_bound(rest, mean_field(rest, 1, start=means)) - own)()
    assert_allclose(again, bounds[-1], atol=2e-5)


@pytest.mark.parametrize("visible", [Bernoulli(), Softmax(4), Gaussian(0.7)], ids=repr)
def test_the_bound_of_one_hidden_layer_is_the_free_energy(visible):
    m = machine(((4, 3), ((0, 1),)), units=[visible, Bernoulli()])
    v = np.eye(4, dtype=np.float32)[[0, 2, 3]]
    rest, own = m.given({0: on(v, n_rows=3)[0]})
    rbm = m.as_rbm()  # its visible units are the hidden ones of the machine
    found, expected = engine.function(
        [], [entropy_bound(rest, mean_field(rest, 1)) - own, -rbm.hidden_free_energy(pt.as_tensor(v))]
    )()
    assert_allclose(found, expected, rtol=1e-5)


def test_machines_that_are_none_are_refused():
    b = [engine.shared(np.zeros(n), f"b{n}") for n in (2, 3, 4)]
    W = {(a, c): engine.shared(np.zeros((a, c)), f"W{a}{c}") for a in (2, 3, 4) for c in (2, 3, 4)}
    units = [Bernoulli()] * 3
    with pytest.raises(ValueError, match="same side"):
        layered(units, b, [(0, 1), (1, 2), (0, 2)], [W[2, 3], W[3, 4], W[2, 4]])
    with pytest.raises(ValueError, match="layer 2 is not joined"):
        layered(units, b, [(0, 1)], [W[2, 3]])
    with pytest.raises(ValueError, match=r"edge \(1, 2\) has weights of shape \(4, 3\)"):
        layered(units, b, [(0, 1), (1, 2)], [W[2, 3], W[4, 3]])
    with pytest.raises(ValueError, match="a weight matrix for each edge"):
        layered(units, b, [(0, 1), (1, 2)], [W[2, 3]])
    with pytest.raises(ValueError, match="fixed standard deviation"):
        layered([LearnedGaussian.init(2), *units[1:]], b, [(0, 1), (1, 2)], [W[2, 3], W[3, 4]])
    odd = layered([Bernoulli(), Softmax(3), Bernoulli()], b, [(0, 1), (1, 2)], [W[2, 3], W[3, 4]])
    with pytest.raises(ValueError, match="needs binary units in the odd layers"):
        log_Z(odd, [np.zeros((1, 2)), np.zeros((1, 4))], n_chains=2, n_temperatures=2)
