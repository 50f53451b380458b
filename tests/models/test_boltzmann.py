"""Boltzmann machines: settling has the enumerated distribution, learning is a difference of correlations."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from rnnrbm import fit
from rnnrbm.backend import engine, random
from rnnrbm.batch import Batch
from rnnrbm.models.boltzmann import BoltzmannMachine, settle
from rnnrbm.models.settling import as_frames, as_states, random_states
from rnnrbm.recurrence import flatten

ALPHA = 1e-4


def machine(n_visible: int, n_hidden: int, seed: int = 0, **options: Any) -> BoltzmannMachine:
    """Every parameter random; what is not above the diagonal is noise that must not matter."""
    made = BoltzmannMachine.init(n_visible, n_hidden, seed=seed, **options)
    rng = np.random.default_rng(seed)
    for p in made.params:
        p.set_value(rng.normal(size=p.type.shape).astype(p.dtype))
    return made


def full_weights(m: BoltzmannMachine) -> np.ndarray:
    """The symmetric matrix, pair by pair."""
    U, n = engine.to_numpy(m.U).astype(float), m.n_units
    W = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            if not m.restricted or i < m.n_visible <= j:
                W[i, j] = W[j, i] = U[i, j]
    return W


def enumerated(m: BoltzmannMachine) -> tuple[np.ndarray, np.ndarray]:
    """All states in the values of the units, and their energies."""
    states = np.array(list(product([-1.0, 1.0] if m.signed else [0.0, 1.0], repeat=m.n_units)))
    W, b = full_weights(m), 0 if m.b is None else engine.to_numpy(m.b).astype(float)
    return states, np.array([-0.5 * s @ W @ s - (s * b).sum() for s in states])


def codes(s: np.ndarray) -> np.ndarray:
    return (s > 0) @ (1 << np.arange(s.shape[-1])[::-1])


# --- settling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signed", "free", "temperature"),
    [(False, None, 1.0), (True, None, 2.5), (True, [3, 1], 0.7)],
)
def test_settling_leaves_the_boltzmann_distribution_and_comes_to_it(signed, free, temperature):
    m = machine(2, 2, signed=signed)
    states, E = enumerated(m)
    p = np.exp(-(E - E.min()) / temperature)
    p /= p.sum()
    n = 20_000
    exact = states[np.random.default_rng(1).choice(len(states), size=n, p=p)].astype(np.float32)
    s = pt.tensor("s", dtype="float32", shape=exact.shape)
    settled, rng = settle(m, s, random.shared(2), 2, free, temperature)
    f = engine.function([s], settled, rng.updates())

    def pvalue(s: np.ndarray) -> float:
        return stats.chisquare(np.bincount(codes(s), minlength=16), n * p).pvalue

    units = [0, 1, 2, 3] if free is None else free
    clamped = [i for i in range(4) if i not in units]
    once = engine.to_numpy(f(exact))
    assert set(np.unique(once)) == set(np.unique(states))
    assert (once != exact).any(axis=0).tolist() == [i in units for i in range(4)]
    assert pvalue(once) > ALPHA
    cold = exact.copy()
    cold[:, units] = states[0, 0]  # all off: far from the distribution, given the units that are clamped
    assert pvalue(cold) < 1e-12
    for _ in range(15):
        cold = engine.to_numpy(f(cold))
    assert pvalue(cold) > ALPHA
    assert_array_equal(cold[:, clamped], exact[:, clamped])


def test_annealing_finds_the_ground_state_more_often():
    m = machine(12, 0, signed=True)
    states, E = enumerated(m)
    ground = states[E.argmin()]

    def share(m: BoltzmannMachine, temperature: Any) -> float:
        s, rng = random_states(m, pt.zeros((1000, 12), "float32"), random.shared(3))
        s, _ = settle(m, s, rng, 20, temperature=temperature)
        return float((engine.to_numpy(engine.function([], s)()) == ground).all(axis=1).mean())

    annealed = share(m, np.geomspace(5.0, 0.1, 20))
    assert annealed > share(m, 1.0) + 0.1
    assert annealed > share(m._replace(threshold=True), 1.0) + 0.1


def test_a_threshold_unit_is_on_at_a_field_of_zero_and_energy_never_rises():
    m = BoltzmannMachine.init(3, 0, seed=0, threshold=True, signed=True, bias=False, scale=0.0)
    assert m.sample(5, k=1, seed=0).tolist() == [[1.0] * 3] * 5
    m = machine(7, 3, threshold=True)
    s = pt.tensor("s", dtype="float32", shape=(64, 10))
    settled, rng = settle(m, s, random.shared(2), 1)
    f = engine.function([s], [settled, m.energy(settled)], rng.updates())
    states, E = enumerated(m)
    now = states[np.random.default_rng(0).integers(len(states), size=64)].astype(np.float32)
    energies = [E[codes(now)]]
    for _ in range(6):
        now, energy = (engine.to_numpy(x) for x in f(now))
        energies.append(E[codes(now)])
        assert_allclose(energy, energies[-1], atol=1e-5)
    steps = np.diff(energies, axis=0)
    assert steps.max() <= 1e-9
    assert (steps[0] < 0).any()
    assert (steps[-1] == 0).all()  # it is settled


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_sweeps": -1}, "n_sweeps=-1: expected a whole number, at least 0"),
        ({"free": [0, 4]}, r"free=\[0, 4\]: expected different units from 0 to 3"),
        ({"free": [1, 1]}, r"free=\[1, 1\]: expected different units"),
        ({"temperature": 0.0}, r"temperature=0.0: expected a positive number, or one for each of 2 sweeps"),
        ({"temperature": [2.0, 1.0, 1.0]}, "temperature=.*: expected a positive number, or one for each of 2 sweeps"),
    ],
)
def test_impossible_settling_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        settle(machine(2, 2), pt.zeros((3, 4), "float32"), random.shared(0), **{"n_sweeps": 2} | options)


# --- learning -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"signed": True},
        {"restricted": True, "n_positive": 1},
    ],
)
def test_the_gradient_is_the_difference_of_correlations(options):
    m = machine(4, 3, **options)
    x = (np.random.default_rng(3).random((5, 2, 4)) < 0.5).astype(np.float32)
    counts = np.ones((5, 2), np.float32)
    counts[3:, 1] = 0.0
    v = pt.tensor("v", dtype="float32", shape=x.shape)
    mask = pt.tensor("mask", dtype="float32", shape=counts.shape)
    rng = random.shared(4)
    loss = m.loss(Batch(v, mask, mask), rng)
    positive, after = m.positive_phase(flatten(v), rng)
    negative, _ = settle(m, positive, after, m.n_sweeps)
    grads = pt.grad(loss.cost, m.params)
    f = engine.function([v, mask], [positive, negative, loss.cost, *grads], on_unused_input="ignore")
    s, t, cost, *found = (engine.to_numpy(y).astype(float) for y in f(x, counts))
    assert_array_equal(s[:, :4] > 0, x.transpose(1, 0, 2).reshape(10, 4) > 0)  # clamped
    share = counts.T.ravel() / counts.sum()
    assert (s != t).any()
    difference = (s * share[:, None]).T @ s - (t * share[:, None]).T @ t
    has = np.triu(np.ones((7, 7), bool), 1)
    if m.restricted:
        has[:, :4] = has[4:] = False
    assert_allclose(found[0], np.where(has, -difference, 0), atol=1e-6)
    if m.b is not None:
        assert_allclose(found[1], -(share @ (s - t)), atol=1e-6)
    W, b = full_weights(m), np.zeros(7) if m.b is None else engine.to_numpy(m.b)
    energy = [(-0.5 * ((y @ W) * y).sum(axis=1) - y @ b) @ share for y in (s, t)]
    assert cost == pytest.approx(energy[0] - energy[1], abs=1e-5)
    again = engine.to_numpy(f(np.where(counts[:, :, None] > 0, x, 1 - x), counts)[3])
    assert_allclose(again, found[0], atol=1e-6)  # what is masked does not matter


SGD = {
    "optimiser": "sgd",
    "learning_rate": 1.0,
    "schedule": "constant",
    "warmup": 0.0,
    "clip": 0.0,
    "batch_size": 2,
}


def toy(patterns: list[list[int]], start: list[float], *, negative: bool, epochs: int) -> Any:
    """Three visible units and a hidden one; the weights after each epoch."""
    m = BoltzmannMachine.init(
        *(3, 1), seed=0, signed=True, threshold=True, restricted=True, bias=False, negative=negative, scale=0.0
    )
    U = np.zeros((4, 4), np.float32)
    U[:3, 3] = start
    m.U.set_value(U)
    frames = (np.array(patterns) + 1) // 2
    weights = [m.filters()[:, 0].tolist() for _ in fit(m, frames, epochs=epochs, **SGD)]
    return m, frames, weights


def test_the_positive_phase_alone_grows_without_end():
    """Patterns p = (1, -1, 1) and q = (-1, -1, 1), a hidden unit h that is 1 at a field of 0 or more.

    From zero weights both fields are 0, so h = 1 for both, and the mean of the products is (p + q) / 2 = (0, -1, 1).
    With these weights, and with every multiple of them, both fields are positive, and h = 1 for both again. From
    (1, 0, 0) the field is 1 for p and -1 for q, so h = 1 and -1, and the mean is (p - q) / 2 = (1, 0, 0).
    """
    patterns = [[1, -1, 1], [-1, -1, 1]]
    _, _, weights = toy(patterns, [0, 0, 0], negative=False, epochs=5)
    assert weights == [[0.0, -n, n] for n in (1.0, 2.0, 3.0, 4.0, 5.0)]
    _, _, weights = toy(patterns, [1, 0, 0], negative=False, epochs=4)
    assert weights == [[n, 0.0, 0.0] for n in (2.0, 3.0, 4.0, 5.0)]


def test_the_negative_phase_learns_to_reconstruct():
    """Patterns p = (1, -1, 1) and q = -(1, -1, 1), zero weights.

    Epoch 1: all fields are 0, so h = 1 for both, and the mean of the products is (p + q) / 2 = 0. In the negative phase
    every unit comes to 1: products (1, 1, 1). The weights become (-1, -1, -1).
    Epoch 2: the field of h is -1 for p and 1 for q, so h = -1 and 1; the products are (-1, 1, -1) for both. In the
    negative phase p becomes (1, 1, 1) with h = -1, and q becomes (-1, -1, -1) with h = 1: products (-1, -1, -1) for
    both. The weights change by (0, 2, 0) to (-1, 1, -1).
    Epoch 3: h = -1 for p and 1 for q, and both patterns are stable, so the weights stay.
    """
    patterns = [[1, -1, 1], [-1, 1, -1]]
    m, frames, weights = toy(patterns, [0, 0, 0], negative=True, epochs=1)
    assert weights == [[-1.0, -1.0, -1.0]]
    wrong = frames - m.reconstruct(frames, seed=0)
    assert wrong.tolist() == [[0, -1, 0], [0, 1, 0]]  # each is wrong, and the sum over patterns is zero
    m, frames, weights = toy(patterns, [0, 0, 0], negative=True, epochs=4)
    assert weights == [[-1.0, -1.0, -1.0]] + [[-1.0, 1.0, -1.0]] * 3
    assert_array_equal(m.reconstruct(frames, seed=0), frames)


def test_a_machine_learns_a_distribution():
    """Two patterns and their mixture, which independent units do not have; all numbers of a run."""
    frames = np.repeat(np.uint8([[1, 1, 0, 0], [0, 0, 1, 1]]), [60, 40], axis=0)
    m = BoltzmannMachine.init(4, 2, seed=1)
    before = m.log_likelihood(frames).mean()
    rows = list(fit(m, frames, frames[50:70], epochs=80, batch_size=100, learning_rate=0.3, valid_every=80))
    after = m.log_likelihood(frames).mean()
    entropy = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert before == pytest.approx(-math.log(16), abs=0.01)
    assert -entropy - 0.1 < after <= -entropy
    assert [*rows[0]] == [*("epoch", "learning_rate", "loss", "changed", "valid_score", "seconds", "frames_per_second")]
    assert rows[0]["changed"] > 0.4 > 0.2 > rows[-1]["changed"]
    assert 0.8 < rows[-1]["valid_score"] == m.score([frames[50:58], frames[58:70]])
    x = m.sample(4000, k=40, seed=2)
    p = np.exp(m.log_likelihood(np.array(list(product([0, 1], repeat=4)))))
    counts, expected = np.bincount(codes(x), minlength=16), 4000 * p
    rare = expected < 5
    observed, expected = (np.append(y[~rare], y[rare].sum()) for y in (counts, expected))
    assert stats.chisquare(observed, expected * (4000 / expected.sum())).pvalue > ALPHA


# --- exact numbers, and what is refused ---------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"signed": True}, {"restricted": True}, {"signed": True, "bias": False}])
def test_likelihoods_by_enumeration(options):
    m = machine(4, 3, **options)
    states, E = enumerated(m)
    Z = np.exp(-E).sum()
    assert m.log_Z() == pytest.approx(math.log(Z), rel=1e-6)
    frames = np.array([[0, 0, 1, 0], [1, 0, 1, 1], [0, 1, 1, 0]], np.uint8)
    expected = [math.log(np.exp(-E[((states[:, :4] > 0) == frame).all(axis=1)]).sum() / Z) for frame in frames]
    assert_allclose(m.log_likelihood(frames), expected, rtol=1e-5)
    large = machine(9, 6, **options)  # in several blocks
    states, E = enumerated(large)
    assert large.log_Z() == pytest.approx(math.log(np.exp(-E - E.min()).sum()) + E.min(), rel=1e-6)


def test_what_is_impossible_is_said():
    with pytest.raises(ValueError, match="the machine has 21 units, and states are enumerated for at most 20"):
        machine(20, 1).log_Z()
    with pytest.raises(ValueError, match="units of this machine are deterministic"):
        machine(2, 1, threshold=True).log_likelihood(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="n_hidden=0: expected a whole number, at least 1"):
        BoltzmannMachine.init(3, 0, seed=0, restricted=True)
    with pytest.raises(ValueError, match="b_v is given, but bias=False"):
        BoltzmannMachine.init(3, 1, seed=0, bias=False, b_v=1.0)
    with pytest.raises(TypeError, match="signed=1: expected True or False"):
        BoltzmannMachine.init(3, 1, seed=0, signed=1)
    with pytest.raises(ValueError, match=r"frames 0 has shape \(2, 3\), expected \(T, 2\)"):
        machine(2, 1).reconstruct(np.zeros((2, 3)), seed=0)


def test_biases_are_log_odds_and_filters_are_weights_to_hidden_units():
    log_odds = np.array([1.0, -0.5, 2.0])
    for signed in (False, True):
        m = BoltzmannMachine.init(3, 2, seed=0, signed=signed, b_v=log_odds, scale=0.0)
        p = np.exp(m.log_likelihood(np.array(list(product([0, 1], repeat=3)))))
        on = np.array(list(product([0, 1], repeat=3))).T @ p
        assert_allclose(np.log(on / (1 - on)), log_odds, rtol=1e-5)
        v = pt.as_tensor(np.float32([0, 1, 1]))
        there_and_back = engine.function([], as_frames(m, as_states(m, v)))()
        assert_array_equal(engine.to_numpy(there_and_back), [0, 1, 1])
    m = machine(3, 2)
    assert_array_equal(m.filters(), engine.to_numpy(m.U)[:3, 3:])
    alone = BoltzmannMachine.init(3, 0, seed=0)
    assert alone.filters() is None
    assert alone.reconstruct(np.eye(3), seed=0).shape == (3, 3)
