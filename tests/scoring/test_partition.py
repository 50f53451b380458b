"""Partition functions against enumeration, annealing in both directions against the exact distribution of its chain."""

from itertools import pairwise
from typing import Any

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from oracles import Params, UnitRef
from scipy.special import expit, logsumexp

from rnnrbm.backend import engine, random
from rnnrbm.rbm import RBM
from rnnrbm.scoring.estimators import mixed_log_weights, raise_log_mean
from rnnrbm.scoring.partition import (
    SMALL_STEP,
    ais_log_weights,
    annealing_schedule,
    base_activation,
    exact_log_Z,
    is_listed,
    largest_step,
    partial_log_Z,
    raise_log_weights,
)
from rnnrbm.units import Bernoulli, Gaussian, ReLU, Softmax, Unit

pytestmark = pytest.mark.gpu

# --- exact partition functions ----------------------------------------------------------------------


def machines(
    sizes: tuple[int, int], n_rows: int, visible: Unit, hidden: Unit, seed: int, scale: float = 0.8
) -> tuple[RBM, list[Params]]:
    """`n_rows` machines that share their weights, and each of them for NumPy."""
    rng = np.random.default_rng(seed)
    W = (scale * rng.normal(size=sizes)).astype(np.float32)
    b_v, b_h = (rng.normal(size=(n_rows, n)).astype(np.float32) for n in sizes)
    shared = [engine.shared(x, name) for name, x in (("W", W), ("b_v", b_v), ("b_h", b_h))]
    each = [{"W": W, "b_v": b_v[r], "b_h": b_h[r]} for r in range(n_rows)]
    return RBM(*shared, visible, hidden), [{n: x.astype(np.float64) for n, x in p.items()} for p in each]


def enumerated(p: Params, visible: UnitRef, hidden: UnitRef) -> float:
    """log Z over all v and h; integrals by quadrature."""
    v, w_v = visible.nodes(p["W"].shape[0])
    h, w_h = hidden.nodes(p["W"].shape[1])
    return float(logsumexp(-oracles.energy(p, v, h, visible, hidden) + w_v[:, None] + w_h))


BINARY = (Bernoulli(), UnitRef("bernoulli"))
SOFTMAX = (Softmax(3), UnitRef("softmax", 3))
GAUSSIAN = (Gaussian(0.8), UnitRef("gaussian", sigma=0.8))
RELU = (ReLU(), UnitRef("relu"))


@pytest.mark.parametrize(
    ("sizes", "visible", "hidden"),
    [
        pytest.param((3, 5), BINARY, BINARY, id="few visible"),
        pytest.param((6, 4), BINARY, BINARY, id="few hidden"),
        pytest.param((4, 4), BINARY, BINARY, id="equally many"),
        pytest.param((1, 1), BINARY, BINARY, id="one of each"),
        pytest.param((11, 10), BINARY, BINARY, id="more than one block"),
        pytest.param((6, 4), SOFTMAX, BINARY, id="softmax visible"),
        pytest.param((4, 6), BINARY, SOFTMAX, id="softmax hidden"),
        pytest.param((3, 3), SOFTMAX, BINARY, id="softmax visible though as few"),
        pytest.param((2, 5), GAUSSIAN, BINARY, id="gaussian visible"),
        pytest.param((5, 2), BINARY, GAUSSIAN, id="gaussian hidden"),
        pytest.param((5, 1), BINARY, RELU, id="relu hidden"),
    ],
)
def test_exact_log_z_is_the_enumeration(sizes, visible, hidden):
    rbm, each = machines(sizes, 4, visible[0], hidden[0], seed=sum(sizes))
    log_z = engine.to_numpy(engine.function([], exact_log_Z(rbm))())
    assert log_z.shape == (4,)
    assert log_z.dtype == np.float32
    np.testing.assert_allclose(log_z, [enumerated(p, visible[1], hidden[1]) for p in each], rtol=2e-6)


def test_exact_log_z_of_one_machine_is_a_scalar():
    rbm, (p,) = machines((4, 3), 1, Bernoulli(), Bernoulli(), seed=3)
    one = rbm._replace(b_v=rbm.b_v[0], b_h=rbm.b_h[0])
    log_z = engine.to_numpy(engine.function([], exact_log_Z(one))())
    assert log_z.shape == ()
    assert log_z == pytest.approx(oracles.log_z(p), rel=2e-6)


def test_exact_log_z_of_large_energies_does_not_overflow():
    rbm, (p,) = machines((4, 3), 1, Bernoulli(), Bernoulli(), seed=3, scale=200.0)
    log_z = engine.to_numpy(engine.function([], exact_log_Z(rbm))())
    assert log_z[0] > 89  # exp of it is no float32
    assert log_z[0] == pytest.approx(oracles.log_z(p), rel=1e-6)


def test_what_cannot_be_enumerated():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"at most 25 units, got 26 visible Bernoulli\(\) and 30 hidden.*use AIS"):
        exact_log_Z(RBM.init(26, 30, seed=rng))
    with pytest.raises(ValueError, match=r"got 3 visible Gaussian.* and 4 hidden ReLU"):
        exact_log_Z(RBM.init(3, 4, seed=rng, visible=Gaussian(), hidden=ReLU()))
    with pytest.raises(ValueError, match=r"got 3 visible Softmax.* and 26 hidden"):
        exact_log_Z(RBM.init(3, 26, seed=rng, visible=Softmax(3)))


@pytest.mark.parametrize(("n_rows", "n_states"), [(5, 1), (5, 30), (700, 32), (4096, 3), (1, 32)])
@pytest.mark.parametrize("hidden", [BINARY, GAUSSIAN], ids=["binary", "gaussian hidden"])
def test_states_enumerated_make_up_their_part_of_z(n_rows, n_states, hidden):
    """In one block and in several, the last of which is not full."""
    rbm, each = machines((5, 3 if hidden is BINARY else 2), n_rows, Bernoulli(), hidden[0], seed=2)
    states = np.random.default_rng(0).permutation(oracles.all_states(5))[:n_states]
    graph = partial_log_Z(rbm, engine.shared(states, "states"))
    got = engine.to_numpy(engine.function([], graph)())
    assert got.shape == (n_rows,)
    rows = slice(0, n_rows, max(1, n_rows // 20))
    reference = (Bernoulli(), UnitRef("bernoulli"))[1], hidden[1]
    expected = [logsumexp(-oracles.free_energy(p, states.astype(np.float64), *reference)) for p in each[rows]]
    np.testing.assert_allclose(got[rows], expected, rtol=3e-6, atol=3e-6)
    if n_states == 32:
        np.testing.assert_allclose(got, engine.to_numpy(engine.function([], exact_log_Z(rbm))()), rtol=3e-6, atol=3e-6)


# --- annealing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "visible", "hidden"),
    [
        pytest.param((5, 6), BINARY, BINARY, id="binary, 6"),
        pytest.param((6, 8), BINARY, BINARY, id="binary, 8"),
        pytest.param((8, 5), BINARY, BINARY, id="binary, 5"),
        pytest.param((5, 12), BINARY, BINARY, id="binary, 12"),
        pytest.param((6, 4), SOFTMAX, BINARY, id="softmax visible"),
        pytest.param((4, 6), BINARY, SOFTMAX, id="softmax hidden"),
        pytest.param((2, 5), GAUSSIAN, BINARY, id="gaussian visible"),
        pytest.param((5, 2), BINARY, GAUSSIAN, id="gaussian hidden"),
        pytest.param((4, 1), BINARY, RELU, id="relu hidden"),
    ],
)
def test_ais_is_unbiased_for_every_kind_of_unit(sizes, visible, hidden):
    """The mean of exp(log weight) is Z / Z_base, for few temperatures too and from any base."""
    n_rows, chains = 6, 4000
    rbm, each = machines(sizes, n_rows, visible[0], hidden[0], seed=1 + sum(sizes), scale=0.6)
    rng = np.random.default_rng(0)
    base = (0.5 * rng.normal(size=(n_rows, sizes[0]))).astype(np.float32)
    betas = np.array([0.1, 0.3, 0.4, 0.6, 0.7, 0.9, 1.0])  # of unequal steps
    log_z_base, log_w, *_ = ais_log_weights(rbm, pt.as_tensor(base), betas, chains, random.shared(4))
    log_z_base, log_w = (engine.to_numpy(x).astype(np.float64) for x in engine.function([], [log_z_base, log_w])())
    # the base alone: independent units, and hidden units that nothing reaches
    for r, p in enumerate(each):
        alone = {"W": 0 * p["W"], "b_v": base[r].astype(np.float64), "b_h": 0 * p["b_h"]}
        assert log_z_base[r] == pytest.approx(enumerated(alone, visible[1], hidden[1]), rel=1e-5)
    true = np.array([enumerated(p, visible[1], hidden[1]) for p in each])
    ratio = np.exp(log_w + (log_z_base - true)[:, None])
    error = ratio.std(axis=1, ddof=1) / np.sqrt(chains)
    assert error.max() < 0.4
    assert error.min() > 1e-4
    assert (np.abs(ratio.mean(axis=1) - 1.0) < 4.5 * error).all()


@pytest.mark.parametrize(("n_states", "hidden"), [(1, BINARY), (9, BINARY), (9, GAUSSIAN), (32, BINARY)])
def test_ais_of_the_rest_is_unbiased(n_states, hidden):
    """Some states are summed exactly; the mixed weights still have the mean Z / Z_base, and vary less."""
    chains = 4000
    rbm, each = machines((5, 4 if hidden is BINARY else 2), 3, Bernoulli(), hidden[0], seed=8)
    base = pt.as_tensor((0.5 * np.random.default_rng(0).normal(size=(3, 5))).astype(np.float32))
    true = np.array([enumerated(p, BINARY[1], hidden[1]) for p in each])
    # the most likely states of the first machine, not of the others
    all_of_them = oracles.all_states(5)
    order = oracles.free_energy(each[0], all_of_them.astype(np.float64), BINARY[1], hidden[1]).argsort()
    states = engine.shared(all_of_them[order[:n_states]], "states")
    ratios = []
    for listed in (None, states):
        graphs = ais_log_weights(rbm, base, np.array([0.3, 0.6, 1.0]), chains, random.shared(4), listed)
        wanted = [*graphs[:2], *(graphs.listed or ())]
        log_z_base, log_w, *rest = (engine.to_numpy(x) for x in engine.function([], wanted)())
        if listed is not None:
            log_sum, log_up, inside = rest
            np.testing.assert_array_equal(log_up, log_w)
            log_w, _ = mixed_log_weights(log_w, inside, log_sum)
        ratios.append(np.exp(log_w + (log_z_base - true)[:, None]))
    plain, rest = (ratio.std(axis=1, ddof=1) / np.sqrt(chains) for ratio in ratios)
    assert (np.abs(ratios[1].mean(axis=1) - 1.0) < 4.5 * rest + 1e-5).all()
    assert rest[0] < plain[0]
    if n_states == 32:
        np.testing.assert_allclose(ratios[1], 1.0, rtol=1e-5)  # nothing is left to be estimated
    else:
        assert rest.max() > 1e-3  # where the list is not nearly all there is


def test_base_is_fitted_to_each_machine():
    """Activations of its base come near the exact marginals, and no unit is ruled out."""
    rbm, each = machines((5, 4), 3, Bernoulli(), Bernoulli(), seed=6)
    repeats = 200
    many = rbm._replace(b_v=pt.repeat(rbm.b_v, repeats, axis=0), b_h=pt.repeat(rbm.b_h, repeats, axis=0))
    v = pt.zeros((3 * repeats, 5), dtype="float32")
    base, _ = base_activation(many, v, random.shared(2))
    mean = 1 / (1 + np.exp(-engine.to_numpy(engine.function([], base)()).astype(np.float64)))
    assert mean.min() >= 0.01 - 1e-5
    assert mean.max() <= 0.99 + 1e-5
    got = mean.reshape(3, repeats, 5).mean(axis=1)
    expected = np.array([0.98 * oracles.marginals(p)[0] + 0.01 for p in each])
    np.testing.assert_allclose(got, expected, atol=0.03)


def test_base_of_one_machine_for_all_rows():
    rbm, each = machines((5, 4), 1, Bernoulli(), Bernoulli(), seed=6)
    base, _ = base_activation(rbm, pt.zeros((400, 5), dtype="float32"), random.shared(2), pool=True)
    got = engine.to_numpy(engine.function([], base)())
    assert got.shape == (1, 5)
    np.testing.assert_allclose(expit(got[0]), 0.98 * oracles.marginals(each[0])[0] + 0.01, atol=0.03)


def annealed_distribution(p: Params, base: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Exact distribution of the visible units after annealing: base, then one Gibbs step at every temperature."""
    v = oracles.all_states(p["W"].shape[0]).astype(np.float64)
    h = oracles.all_states(p["W"].shape[1]).astype(np.float64)
    on = expit(base)
    now = np.prod(np.where(v > 0, on, 1 - on), axis=1)
    for beta in betas:
        on_h = expit(beta * (v @ p["W"] + p["b_h"]))
        on_v = expit((1 - beta) * base + beta * (h @ p["W"].T + p["b_v"]))
        given_v = np.prod(np.where(h[None] > 0, on_h[:, None], 1 - on_h[:, None]), axis=2)
        given_h = np.prod(np.where(v[None] > 0, on_v[:, None], 1 - on_v[:, None]), axis=2)
        now = now @ given_v @ given_h
    return now


def test_raise_is_unbiased_for_what_annealing_generates():
    """Few temperatures, so that this is far from the machine's own distribution; every visible state is scored."""
    sizes, chains = (3, 4), 20000
    (p,) = machines(sizes, 1, Bernoulli(), Bernoulli(), seed=3, scale=1.5)[1]
    base, betas = np.array([0.3, -0.8, 0.5]), np.array([0.2, 0.5, 1.0])
    exact = annealed_distribution(p, base, betas)
    assert exact.sum() == pytest.approx(1.0)
    states = oracles.all_states(3).astype(np.float32)
    n = len(states)
    rows = [engine.shared(np.repeat(p[name][None], n, axis=0), name) for name in ("b_v", "b_h")]
    rbm = RBM(engine.shared(p["W"], "W"), *rows)
    bases = pt.as_tensor(np.repeat(base[None], n, axis=0).astype(np.float32))
    log_z_base, log_w, *_ = raise_log_weights(rbm, bases, pt.as_tensor(states), betas, chains, random.shared(5))
    f = engine.function([], [log_z_base, log_w, rbm.free_energy(states)])
    log_z_base, log_w, energy = (engine.to_numpy(x).astype(np.float64) for x in f())
    weights = np.exp(-energy[:, None] - log_z_base[:, None] - log_w)
    error = weights.std(axis=1, ddof=1) / np.sqrt(chains)
    assert (np.abs(weights.mean(axis=1) - exact) < 4.5 * error).all()
    target = oracles.probabilities(p)
    assert np.abs(exact - target).max() > 10 * error.max()  # the test tells the two apart


LISTED = [1, 2, 6]  # of the 8 states of 3 units


def raise_with_listed_states(chains: int, copies: int) -> tuple[np.ndarray, np.ndarray, tuple[Params, Any, Any]]:
    """Probabilities of all states by RAISE, `copies` times, some enumerated, and variances of logs: (copies, 8)."""
    (p,) = machines((3, 4), 1, Bernoulli(), Bernoulli(), seed=3, scale=1.5)[1]
    base, betas = np.array([0.3, -0.8, 0.5]), np.array([0.2, 0.5, 1.0])
    states = np.tile(oracles.all_states(3), (copies, 1)).astype(np.float32)
    n = len(states)
    rows = [engine.shared(np.repeat(p[name][None], n, axis=0), name) for name in ("b_v", "b_h")]
    rbm = RBM(engine.shared(p["W"], "W"), *rows)
    bases = pt.as_tensor(np.repeat(base[None], n, axis=0).astype(np.float32))
    listed = engine.shared(oracles.all_states(3)[LISTED], "listed")
    got = raise_log_weights(rbm, bases, pt.as_tensor(states), betas, chains, random.shared(5), listed)
    assert got.listed is not None
    outputs = [got.log_Z_base, rbm.free_energy(states), got.log_weights, *got.listed, is_listed(states, listed)]
    log_z_base, energy, log_w, log_sum, log_up, inside, known = map(engine.to_numpy, engine.function([], outputs)())
    estimate = raise_log_mean(log_w, known, log_up, inside, log_sum, np.random.default_rng(0))
    probability = np.exp(estimate.log_mean - energy - log_z_base)
    return probability.reshape(copies, 8), estimate.variance.reshape(copies, 8), (p, base, betas)


def test_raise_with_listed_states_is_a_mixture():
    """With many chains: an enumerated state with the probability pi, or what annealing generates."""
    got, _, (p, base, betas) = raise_with_listed_states(chains=20000, copies=8)
    true = oracles.probabilities(p)
    annealed = annealed_distribution(p, base, betas)
    inside = np.isin(np.arange(8), LISTED)
    error = got.std(axis=0, ddof=1) / np.sqrt(8)
    assert (error / got.mean(axis=0)).max() < 0.01
    pi = 1 - (got.mean(axis=0)[~inside].sum() / annealed[~inside].sum())
    assert 0.02 < pi < 0.98
    expected = (1 - pi) * annealed + np.where(inside, pi * true / true[inside].sum(), 0.0)
    assert (np.abs(got.mean(axis=0) - expected) < 6 * error + 1e-6).all()
    assert np.abs(expected - true)[~inside].max() > 5 * error.max()  # not the machine's own probabilities


@pytest.mark.parametrize("chains", [2, 20])
def test_raise_with_listed_states_gives_one_in_all(chains):
    """However few chains choose the mixture."""
    got, *_ = raise_with_listed_states(chains, copies=4000)
    total = got.sum(axis=1)
    error = total.std(ddof=1) / np.sqrt(len(total))
    assert error < 0.02
    assert abs(total.mean() - 1) < 4 * error


def test_raise_knows_the_error_of_the_mixture():
    got, variance, _ = raise_with_listed_states(chains=300, copies=2000)
    seen, said = np.log(got).var(axis=0), variance.mean(axis=0)
    assert seen.min() > 1e-4
    np.testing.assert_allclose(said, seen, rtol=0.25)


def test_one_row_of_temperatures_is_every_spacing():
    for spacing in ("linear", "quadratic", "geometric", "sigmoid"):
        betas = annealing_schedule(spacing, 50)
        assert betas.shape == (50,)
        assert betas[0] > 0
        assert betas[-1] == 1
        assert (np.diff(betas) > 0).all()
    np.testing.assert_allclose(annealing_schedule("linear", 4), [0.25, 0.5, 0.75, 1.0])
    steps = np.diff(annealing_schedule("quadratic", 20))
    np.testing.assert_allclose(np.diff(steps), -2 / 400, atol=1e-12)
    geometric = annealing_schedule("geometric", 20)
    np.testing.assert_allclose([b / a for a, b in pairwise(geometric)], (1e3) ** (1 / 19))
    steps = np.diff(annealing_schedule("sigmoid", 21), prepend=0)
    assert steps.argmax() == 10
    np.testing.assert_allclose(steps, steps[::-1])
    own = annealing_schedule(np.array([0.5, 0.9, 1.0]), 7)
    np.testing.assert_array_equal(own, [0.5, 0.9, 1.0])


@pytest.mark.parametrize(
    ("spacing", "n", "message"),
    [
        ("steep", 10, "annealing schedule 'steep' is none of linear, quadratic, geometric, sigmoid; or give an array"),
        ("linear", 1, "n_temperatures=1: expected a whole number, at least 2"),
        (np.array([0.5, 0.5, 1.0]), 3, "rise strictly from above 0 to exactly 1"),
        (np.array([0.0, 1.0]), 2, "rise strictly from above 0"),
        (np.array([0.2, 0.9]), 2, "rise strictly"),
        (np.array([1.0]), 1, "in 2 steps or more"),
    ],
)
def test_ladders_that_are_none(spacing, n, message):
    with pytest.raises(ValueError, match=message):
        annealing_schedule(spacing, n)


# --- small steps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["up", "down"])
def test_small_steps_give_the_same_weights(direction):
    """The series replaces an exponential up to the limit: the largest step of these machines is just below it."""
    rbm, _ = machines((5, 64), 4, Bernoulli(), Bernoulli(), seed=3)
    reach = float(largest_step(rbm, np.ones(1)).eval())
    betas = annealing_schedule("linear", int(np.ceil(reach / SMALL_STEP)))
    assert 0.9 * SMALL_STEP < float(largest_step(rbm, betas).eval()) <= SMALL_STEP
    v = pt.as_tensor(np.random.default_rng(0).integers(0, 2, (4, 5)).astype(np.float32))

    def log_weights(small_steps: bool) -> np.ndarray:
        rng = random.shared(7)
        base = pt.zeros((4, 5), "float32")
        how: Any = {"betas": betas, "n_chains": 16, "rng": rng, "small_steps": small_steps}
        up = direction == "up"
        annealed = ais_log_weights(rbm, base, **how) if up else raise_log_weights(rbm, base, v, **how)
        return engine.to_numpy(engine.function([], annealed.log_weights)())

    exact, series = log_weights(False), log_weights(True)
    assert exact.std() > 0.1
    np.testing.assert_allclose(series, exact, atol=2e-4)
    assert np.abs(series - exact).max() > 0  # not the same program


def test_the_largest_step_bounds_every_activation():
    rbm, each = machines((5, 4), 3, Bernoulli(), Bernoulli(), seed=1)
    betas = np.array([0.1, 0.4, 1.0])
    every = np.array([[(i >> j) & 1 for j in range(5)] for i in range(32)])
    largest = max(np.abs(every @ p["W"] + p["b_h"]).max() for p in each)
    bound = float(largest_step(rbm, betas).eval())
    assert 0.6 * largest <= bound <= 1.2 * largest
    for visible, hidden in ((Gaussian(), Bernoulli()), (Bernoulli(), ReLU())):
        assert np.isinf(float(largest_step(machines((5, 4), 3, visible, hidden, seed=1)[0], betas).eval()))
