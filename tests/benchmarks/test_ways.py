"""Ways to train an RBM: the kernels leave the distribution unchanged, and what is exact is exact."""

import itertools

import numpy as np
import pytensor.tensor as pt
import pytest

from benchmarks import common
from benchmarks.ways import __main__ as table
from benchmarks.ways import numbered, phases
from benchmarks.ways.ways import WAYS
from rnnrbm.backend import engine, random
from rnnrbm.rbm import RBM

N, H, R = 6, 4, 60_000
STATES = np.array(list(itertools.product([0, 1], repeat=N)), np.float32)


def machine(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 1.2, shape).astype(np.float32) for shape in ((N, H), (N,), (H,))]


def probabilities(W, b_v, b_h):
    log_p = STATES @ b_v + np.logaddexp(0, STATES @ W + b_h).sum(axis=1)
    return np.exp(log_p - np.logaddexp.reduce(log_p))


def check_frequencies(rows, p):
    code = (rows @ 2 ** np.arange(N)[::-1]).astype(int)
    counts, expected = np.bincount(code, minlength=len(p)), p * len(rows)
    likely = expected >= 5
    chi2 = ((counts - expected) ** 2 / np.maximum(expected, 1e-9))[likely].sum()
    degrees = likely.sum() - 1
    assert chi2 < degrees + 5 * np.sqrt(2 * degrees)


class Negative:
    """Stands for the density: what comes out as the negative sample."""

    def __init__(self, rbm):
        self.rbm, self.seen = rbm, []

    def __getattr__(self, name):
        return getattr(self.rbm, name)

    def free_energy(self, v):
        self.seen.append(v)
        return self.rbm.free_energy(v)


@pytest.mark.parametrize("phase", [phases.Proposals(1, 4), phases.TemperedTransitions(3, 1)])
def test_a_kernel_leaves_the_distribution_unchanged(phase):
    W, b_v, b_h = machine()
    p = probabilities(W, b_v, b_h)
    rows = STATES[np.random.default_rng(1).choice(len(p), R, p=p)]
    n = 600  # proposals are drawn from the rows of a batch, whose frequencies are only nearly those of the model
    rbm = RBM(engine.shared(W, "W"), *(pt.as_tensor(np.tile(b, (n, 1))) for b in (b_v, b_h)))
    v = pt.tensor("v", dtype="float32", shape=(n, N))
    rng = random.shared(2)
    density = Negative(rbm)
    _, updates = phase.difference(density, v, rng, pt.ones((n,)))
    run = engine.function([v], density.seen[-1], {k: x for k, x in updates.items() if k is rng.draw})
    check_frequencies(np.concatenate([np.asarray(run(part)) for part in rows.reshape(-1, n, N)]), p)


def test_ratio_matching_is_the_pseudo_likelihood():
    W, b_v, b_h = machine(3)
    v = np.repeat(STATES[[5, 22, 41]], 20_000, axis=0)
    rbm = RBM(engine.shared(W, "W"), *(pt.as_tensor(np.tile(b, (len(v), 1))) for b in (b_v, b_h)))
    loss, _ = phases.RatioMatching(1).difference(rbm, pt.as_tensor(v), random.shared(1))
    ours = np.asarray(engine.function([], loss)()).reshape(3, -1).mean(axis=1)
    log_p = np.log(probabilities(W, b_v, b_h))
    for mean, state in zip(ours, (5, 22, 41), strict=True):
        flips = [state ^ (1 << i) for i in range(N)]
        exact = sum(np.logaddexp(0, log_p[other] - log_p[state]) for other in flips)
        assert mean == pytest.approx(exact, rel=0.03)


def test_units_are_drawn_exactly_given_their_number():
    a = machine(4)[1]
    wanted = np.eye(N + 1, dtype=np.float32)[[2, 4]].repeat(R // 2, axis=0)
    v, _, likely = numbered.draw_with_number(pt.as_tensor(np.tile(a, (R, 1))), pt.as_tensor(wanted), random.shared(5))
    rows, chance = (np.asarray(x) for x in engine.function([], [v, likely])())
    p = np.exp(STATES @ a - np.logaddexp(0, a).sum())
    for number, part, said in zip((2, 4), np.split(rows, 2), np.split(chance, 2), strict=True):
        own = np.where(STATES.sum(axis=1) == number, p, 0)
        assert (part.sum(axis=1) == number).all()
        np.testing.assert_allclose(said, own.sum(), rtol=1e-5)
        check_frequencies(part, own / own.sum())


def test_annealing_of_a_numbered_rbm_is_right():
    W, b_v, b_h = machine(6)
    b_n = np.linspace(-1, 1, N + 1).astype(np.float32)
    n = len(STATES)
    tensors = [pt.as_tensor(np.tile(b, (n, 1))) for b in (b_v, b_h, b_n)]
    density = numbered.NumberedRBM(engine.shared(W, "W"), *tensors)
    ll, ess, _ = numbered.annealed(density, pt.as_tensor(STATES), random.shared(7), n_chains=200, n_temperatures=50)
    ours, effective = (np.asarray(x) for x in engine.function([], [ll, ess])())
    log_f, number = np.log(probabilities(W, b_v, b_h)), STATES.sum(axis=1).astype(int)
    log_z = np.array([np.logaddexp.reduce(log_f[number == k]) for k in range(N + 1)])
    exact = log_f - log_z[number] + b_n[number] - np.logaddexp.reduce(b_n)
    np.testing.assert_allclose(ours, exact, atol=0.1)
    assert np.exp(exact).sum() == pytest.approx(1)
    assert effective.min() > 100


def test_the_table_of_ways():
    rows = common.read_rows(table.Path(table.__file__).with_name("ways.csv"))
    assert {row["way"] for row in rows} <= set(WAYS)
    assert "defaults" in {row["way"] for row in rows}
    valid, known, seconds, epochs = table.means(rows, "bach")["defaults"]
    assert valid[0] < known
    assert (epochs > 0, seconds > 0) == (True, True)
