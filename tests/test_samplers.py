"""Negative phases: chains that leave the exact distribution alone, and the gradient they give."""

import numpy as np
import oracles
import pytensor
import pytensor.tensor as pt
import pytest
from oracles import Params
from scipy import stats
from scipy.special import expit

from rnnrbm import samplers
from rnnrbm.backend import engine, random
from rnnrbm.rbm import RBM
from rnnrbm.units import Gaussian, Softmax

pytestmark = pytest.mark.gpu

ALPHA = 1e-4  # p-values must be above it; the random numbers are fixed
N = 40_000


def machine(seed: int = 1, n_visible: int = 4, n_hidden: int = 3, scale: float = 1.5) -> tuple[RBM, Params]:
    """An RBM far from symmetric and far from uniform."""
    rng = np.random.default_rng(seed)
    p = {
        "W": scale * rng.normal(size=(n_visible, n_hidden)),
        "b_v": rng.normal(size=n_visible) - 0.3,
        "b_h": rng.normal(size=n_hidden) + 0.2,
    }
    rbm = RBM(*(engine.shared(x, name) for name, x in p.items()))
    return rbm, {t.name: engine.to_numpy(t).astype(np.float64) for t in rbm.tensors()}


def exact_rows(probabilities: np.ndarray, n: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).choice(len(probabilities), size=n, p=probabilities)
    return oracles.all_states(int(np.log2(len(probabilities))))[rows].astype(np.float32)


def chi_square(rows: np.ndarray, probabilities: np.ndarray) -> float:
    counts = np.bincount(oracles.state_index(rows), minlength=len(probabilities))
    assert (probabilities * len(rows)).min() > 4
    return float(stats.chisquare(counts, probabilities * len(rows)).pvalue)


@pytest.mark.parametrize("k", [1, 3])
def test_gibbs_leaves_the_exact_distribution_alone(k: int) -> None:
    rbm, p = machine()
    exact = oracles.probabilities(p)
    v = pt.tensor("v", dtype="float32", shape=(N, 4))
    out, after = samplers.gibbs(rbm, v, random.shared(3), k)
    f = engine.function([v], out, after.updates())
    start = exact_rows(exact, N, 0)
    end = np.asarray(f(start))
    assert chi_square(start, exact) > ALPHA  # the test of the test
    assert chi_square(end, exact) > ALPHA
    assert (end != start).any(axis=1).mean() > 0.2
    assert chi_square(end, exact[::-1]) < 1e-12


def test_gibbs_arrives_at_the_exact_distribution() -> None:
    rbm, p = machine(2)
    v = pt.tensor("v", dtype="float32", shape=(N, 4))
    out, after = samplers.gibbs(rbm, v, random.shared(4), 200)
    f = engine.function([v], out, after.updates())
    assert chi_square(np.asarray(f(np.zeros((N, 4), np.float32))), oracles.probabilities(p)) > ALPHA


def test_gibbs_with_softmax_units_leaves_the_exact_distribution_alone() -> None:
    rng = np.random.default_rng(6)
    visible, hidden = oracles.UnitRef("softmax", 3), oracles.UnitRef("softmax", 2)
    p = {"W": rng.normal(size=(6, 4)), "b_v": rng.normal(size=6), "b_h": rng.normal(size=4)}
    p = {name: x.astype(np.float32).astype(np.float64) for name, x in p.items()}
    points, _ = visible.nodes(6)
    exact = np.exp(-oracles.free_energy(p, points, visible, hidden))
    exact /= exact.sum()
    start = points[rng.choice(len(points), size=N, p=exact)].astype(np.float32)
    rbm = RBM(*(engine.shared(x, name) for name, x in p.items()), visible=Softmax(3), hidden=Softmax(2))
    v = pt.tensor("v", dtype="float32", shape=(N, 6))
    out, _ = samplers.gibbs(rbm, v, random.shared(5), 2)
    end = np.asarray(engine.function([v], out)(start))
    counts = (end[:, None, :] == points[None]).all(-1).sum(0)
    assert counts.sum() == N
    assert stats.chisquare(counts, N * exact).pvalue > ALPHA


@pytest.mark.parametrize("k", [1, 2, 5])
def test_gibbs_equals_numpy_fed_the_same_uniforms(k: int) -> None:
    rbm, p = machine(7, 6, 5)
    rng = random.shared(8)
    v = pt.tensor("v", dtype="float32", shape=(200, 6))
    out, after = samplers.gibbs(rbm, v, rng, k)
    f = engine.function([v], out, after.updates())
    rows = (np.random.default_rng(1).random((200, 6)) < 0.5).astype(np.float64)
    stream = oracles.Stream(random.key_from_seed(8))
    for _ in range(2):
        got = np.asarray(f(rows.astype(np.float32)))
        rows = oracles.gibbs(p["W"], p["b_v"], p["b_h"], rows, stream, k)
        np.testing.assert_array_equal(got, rows)
    assert int(engine.to_numpy(rng.draw)) == stream.draw == 4 * k


def test_cd_gradient() -> None:
    """The gradient of the loss is positive minus negative statistics, with the negative sample held constant."""
    rbm, p = machine(3, 5, 4, 0.8)
    v = pt.tensor("v", dtype="float32", shape=(40, 5))
    negative, updates = samplers.cd(rbm, v, random.shared(9), k=2)
    loss = rbm.free_energy(v).mean() - rbm.free_energy(negative).mean()
    grads = pt.grad(loss, rbm.tensors())  # NullTypeGradError here if the sample were not held constant
    f = engine.function([v], [loss, negative, *grads], updates)
    rows = (np.random.default_rng(2).random((40, 5)) < 0.4).astype(np.float64)
    cost, sampled, *grads = f(rows.astype(np.float32))
    sampled = np.asarray(sampled, np.float64)
    np.testing.assert_array_equal(
        sampled, oracles.gibbs(p["W"], p["b_v"], p["b_h"], rows, oracles.Stream(random.key_from_seed(9)), 2)
    )

    def contrast(q: Params) -> float:
        return float(oracles.free_energy(q, rows).mean() - oracles.free_energy(q, sampled).mean())

    h_data, h_model = expit(rows @ p["W"] + p["b_h"]), expit(sampled @ p["W"] + p["b_h"])
    explicit = {
        "W": -(rows.T @ h_data - sampled.T @ h_model) / 40,
        "b_v": -(rows - sampled).mean(0),
        "b_h": -(h_data - h_model).mean(0),
    }
    by_difference = oracles.finite_differences(contrast, p)
    np.testing.assert_allclose(float(cost), contrast(p), atol=2e-6)
    for g, (name, expected) in zip(grads, explicit.items(), strict=True):
        np.testing.assert_allclose(np.asarray(g), expected, atol=1e-6)
        np.testing.assert_allclose(by_difference[name], expected, atol=1e-8)


def test_cd_on_average_is_the_likelihood_gradient_when_the_chain_is_long() -> None:
    rbm, p = machine(4, 4, 3, 0.7)
    v = pt.tensor("v", dtype="float32", shape=(N, 4))
    negative, updates = samplers.cd(rbm, v, random.shared(10), k=60)
    grads = pt.grad(rbm.free_energy(v).mean() - rbm.free_energy(negative).mean(), rbm.tensors())
    f = engine.function([v], grads, updates)
    rows = oracles.all_states(4)[np.random.default_rng(3).integers(16, size=N)]
    exact = oracles.log_likelihood_gradient(p, rows)
    for g, name in zip(f(rows.astype(np.float32)), ("W", "b_v", "b_h"), strict=True):
        np.testing.assert_allclose(-np.asarray(g), exact[name], atol=4.5 * 0.5 / np.sqrt(N))


def test_pcd_particles_move_on_and_stay_exact() -> None:
    rbm, p = machine(5)
    exact = oracles.probabilities(p)
    particles = engine.shared(exact_rows(exact, N, 4), "particles")
    rng = random.shared(12)
    negative, updates = samplers.pcd(rbm, particles, rng, k=2)
    assert set(updates) == {particles, rng.draw}
    grads = pt.grad(-rbm.free_energy(negative).mean(), rbm.tensors())
    f = engine.function([], [negative, *grads], updates)
    seen = [engine.to_numpy(particles)]
    stream = oracles.Stream(random.key_from_seed(12))
    for i in range(3):
        out = engine.to_numpy(f()[0])
        np.testing.assert_array_equal(engine.to_numpy(particles), out)
        # the chain goes on from where it stood, not from where it began
        expected = oracles.gibbs(p["W"], p["b_v"], p["b_h"], seen[-1].astype(np.float64), stream, 2)
        assert (out != expected).mean() < 1e-5  # a uniform number may fall between a float32 and a float64 sigmoid
        assert int(engine.to_numpy(rng.draw)) == 4 * (i + 1)
        assert chi_square(out, exact) > ALPHA
        seen.append(out)


def test_tempered_chains_stay_exact_at_every_temperature() -> None:
    rbm, p = machine(6)
    betas = np.array([1.0, 0.7, 0.35, 0.0])
    exact = [oracles.probabilities(p, b) for b in betas]
    particles = engine.shared(np.stack([exact_rows(q, N, 5 + i) for i, q in enumerate(exact)]), "particles")
    negative, updates = samplers.tempered(rbm, particles, random.shared(13), k=3, betas=betas)
    f = engine.function([], negative, updates)
    for _ in range(2):
        out = np.asarray(f())
        state = engine.to_numpy(particles)
        np.testing.assert_array_equal(out, state[0])
        for rows, q in zip(state, exact, strict=True):
            assert chi_square(rows, q) > ALPHA
        # chains at different temperatures are still independent of each other
        table = np.zeros((16, 16))
        np.add.at(table, (oracles.state_index(state[0]), oracles.state_index(state[1])), 1)
        assert stats.chisquare(table.ravel(), (N * np.outer(exact[0], exact[1])).ravel()).pvalue > ALPHA


def test_tempered_chains_change_places() -> None:
    """Chains that cannot move by Gibbs steps at beta = 1 leave their mode through the hot ones."""
    n = 6
    W = np.full((n, n), 3.0) + np.random.default_rng(0).normal(size=(n, n)) * 0.1
    rbm = RBM(engine.shared(W, "W"), engine.shared(np.full(n, -9.0), "b_v"), engine.shared(np.full(n, -9.1), "b_h"))
    stuck = engine.shared(np.zeros((200, n)), "stuck")
    negative, updates = samplers.pcd(rbm, stuck, random.shared(14), k=40)
    cold = np.asarray(engine.function([], negative, updates)())
    particles = engine.shared(np.zeros((8, 200, n)), "particles")
    betas = np.linspace(1.0, 0.0, 8)
    negative, updates = samplers.tempered(rbm, particles, random.shared(15), k=2, betas=betas)
    f = engine.function([], negative, updates)
    for _ in range(60):
        hot = np.asarray(f())
    assert (cold.mean(axis=1) > 0.5).mean() < 0.05
    assert (hot.mean(axis=1) > 0.5).mean() > 0.2


def test_renewed_chains_move_up_by_one_place_and_reach_the_exact_distribution() -> None:
    rbm, p = machine(6)
    exact = oracles.probabilities(p)
    particles = engine.shared(np.full((50 + N, 4), np.nan), "particles")
    negative, updates = samplers.renewed(rbm, particles, random.shared(16), k=2, n_annealed=50)
    f = engine.function([], negative, updates)
    first = np.asarray(f())
    assert first.shape == (N, 4)
    state = engine.to_numpy(particles)
    np.testing.assert_array_equal(state[50:], first)
    assert set(np.unique(state[0])) <= {0.0, 1.0}  # the youngest comes from noise, whatever was there

    # put exact samples on every place: all that are old enough stay exact
    particles.set_value(np.concatenate([np.zeros((50, 4)), exact_rows(exact, N, 7)]).astype(np.float32))
    out = np.asarray(f())
    assert chi_square(out, exact) > ALPHA
    assert chi_square(out, exact[::-1]) < 1e-12

    # a chain that is 51 updates old has come from noise; many such chains, one after the other, are almost exact
    rbm, p = machine(6, scale=0.5)
    exact = oracles.probabilities(p)
    few = engine.shared(np.zeros((51, 4)), "few")
    negative, updates = samplers.renewed(rbm, few, random.shared(17), k=4, n_annealed=50)
    g = engine.function([], negative, updates)
    ended = np.concatenate([np.asarray(g()) for _ in range(4100)])[100:]
    assert chi_square(ended, exact) > ALPHA
    assert chi_square(ended, exact[::-1]) < 1e-12
    hot = samplers.renewed(rbm, few, random.shared(18), k=4, n_annealed=1)[0]
    assert hot.type.shape == (50, 4)


def test_renewed_chains_find_both_modes() -> None:
    """Chains that begin blank and cannot leave by Gibbs steps at beta = 1 are followed by chains that can."""
    n = 6
    W = np.full((n, n), 3.0) + np.random.default_rng(0).normal(size=(n, n)) * 0.1
    rbm = RBM(engine.shared(W, "W"), engine.shared(np.full(n, -9.0), "b_v"), engine.shared(np.full(n, -9.1), "b_h"))
    particles = engine.shared(np.zeros((300, n)), "particles")
    negative, updates = samplers.renewed(rbm, particles, random.shared(15), n_annealed=100)
    f = engine.function([], negative, updates)
    for _ in range(300):
        out = np.asarray(f())
    assert 0.2 < (out.mean(axis=1) > 0.5).mean() < 0.8


def test_impossible_arguments_are_refused() -> None:
    rbm, _ = machine()
    v = pt.tensor("v", dtype="float32", shape=(5, 4))
    for k in (0, -3):
        for sampler in (samplers.gibbs, samplers.cd):
            with pytest.raises(ValueError, match=f"must be at least 1, got {k}"):
                sampler(rbm, v, random.shared(0), k)
    particles = engine.shared(np.zeros((2, 5, 4)), "particles")
    for betas in ([1.0], [0.9, 0.1], [1.0, 1.0], [1.0, 0.5, 0.6], [1.0, -0.1], [[1.0, 0.5]]):
        with pytest.raises(ValueError, match="betas must fall strictly from 1"):
            samplers.tempered(rbm, particles, random.shared(0), 1, betas=np.array(betas))
    rows = engine.shared(np.zeros((5, 4)), "rows")
    for n_annealed in (0, -1, 5):
        with pytest.raises(ValueError, match=f"n_annealed={n_annealed}: expected at least 1, and fewer than the 5"):
            samplers.renewed(rbm, rows, random.shared(0), n_annealed=n_annealed)
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        samplers.renewed(rbm, rows, random.shared(0), 0, n_annealed=2)
    real = RBM.init(4, 3, seed=0, visible=Gaussian())
    with pytest.raises(ValueError, match="needs an RBM of binary or softmax units"):
        samplers.renewed(real, rows, random.shared(0), n_annealed=2)


def test_tempered_refuses_less_than_one_round() -> None:
    rbm, _ = machine()
    particles = engine.shared(np.zeros((2, 5, 4)), "particles")
    with pytest.raises(ValueError, match="at least 1"):
        samplers.tempered(rbm, particles, random.shared(0), 0, betas=np.array([1.0, 0.5]))


def test_the_negative_sample_has_no_gradient() -> None:
    rbm, _ = machine()
    v = pt.tensor("v", dtype="float32", shape=(5, 4))
    negative, _ = samplers.cd(rbm, v, random.shared(0), 1)
    with pytest.raises(pytensor.gradient.DisconnectedInputError):
        pt.grad(negative.sum(), rbm.W)


# --- starts among known states ----------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [None, 3])
def test_known_states_are_picked_by_what_they_weigh(n_rows):
    """For each row by its own biases, and among the given states only."""
    rng = np.random.default_rng(4)
    n, repeats = 4, 20_000
    W = rng.normal(size=(n, 3)).astype(np.float32)
    shape = () if n_rows is None else (n_rows,)
    b_v, b_h = (rng.normal(size=(*shape, size)).astype(np.float32) for size in (n, 3))
    states = oracles.all_states(n)[[0, 3, 5, 6, 9, 15]].astype(np.float32)
    rows = [np.repeat(np.atleast_2d(b), repeats, axis=0) for b in (b_v, b_h)]
    rbm = RBM(engine.shared(W, "W"), *(pt.as_tensor(x) for x in rows))
    v, after = samplers.resample(rbm, pt.as_tensor(states), random.shared(3))
    got, draw = (engine.to_numpy(x) for x in engine.function([], [v, after.draw])())
    assert draw == 1
    for r, part in enumerate(np.split(oracles.state_index(got), n_rows or 1)):
        p = {
            "W": W.astype(float),
            "b_v": np.atleast_2d(b_v)[r].astype(float),
            "b_h": np.atleast_2d(b_h)[r].astype(float),
        }
        weight = np.exp(-oracles.free_energy(p, states.astype(float)))
        counts = np.bincount(part, minlength=2**n)[oracles.state_index(states)]
        assert counts.sum() == repeats
        assert stats.chisquare(counts, repeats * weight / weight.sum()).pvalue > 1e-4
    if n_rows is None:  # one machine, one row, no leading axis
        alone = rbm._replace(b_v=pt.as_tensor(b_v), b_h=pt.as_tensor(b_h))
        one, _ = samplers.resample(alone, pt.as_tensor(states), random.shared(3))
        np.testing.assert_array_equal(engine.to_numpy(engine.function([], one)()), got[0])


def test_chains_of_cd_may_start_from_other_data():
    """Two narrow modes far apart: from its own datum a chain never leaves its mode, from n_proposals it has shares."""
    n = 12
    W = np.zeros((n, 1), np.float32)
    W[: n // 2], W[n // 2 :] = 12.0, -12.0
    b_v = np.where(np.arange(n) < n // 2, -6.0, 6.0).astype(np.float32)
    # P(h = 1) = 0.7
    b_h = np.array([np.log(0.7 / 0.3)], np.float32)
    rbm = RBM(pt.as_tensor(W), pt.as_tensor(b_v), pt.as_tensor(b_h))
    modes = np.stack([np.repeat([1, 0], n // 2), np.repeat([0, 1], n // 2)]).astype(np.float32)
    data = np.repeat(modes, 1000, axis=0)
    v = pt.tensor("v", dtype="float32", shape=data.shape)
    shares = {}
    for n_proposals in (0, 8):
        negative, updates = samplers.NegativePhase(3, n_proposals).sample(rbm, v, random.shared(1))
        sampled = engine.to_numpy(engine.function([v], negative, updates)(data))
        shares[n_proposals] = [sampled[half, 0].mean() for half in (slice(0, 1000), slice(1000, None))]
    assert shares[0][0] > 0.95
    assert shares[0][1] < 0.05
    for share in shares[8]:
        assert share == pytest.approx(0.7, abs=0.13)  # a candidate in ten is a row's own


def test_chains_of_cd_may_start_from_noise():
    """Of two far modes, chains find each by its share of the noise, wherever their data are."""
    rbm = RBM.init(2, 1, seed=0, visible=Gaussian(0.5))
    rbm.W.set_value(np.array([[8.0], [8.0]], np.float32))
    rbm.b_v.set_value(np.array([-4.0, -4.0], np.float32))  # modes at -4 and 4, equally probable
    v = pt.tensor("v", dtype="float32", shape=(2000, 2))
    far = np.full((2000, 2), 4.0, np.float32)
    for start, share in (("data", 1.0), ("noise", 0.5)):
        negative, updates = samplers.NegativePhase(2, start=start).sample(rbm, v, random.shared(1))
        sampled = engine.to_numpy(engine.function([v], negative, updates, on_unused_input="ignore")(far))
        assert (sampled[:, 0] > 0).mean() == pytest.approx(share, abs=0.05)
        assert np.abs(np.abs(sampled) - 4).max() < 3


def test_padding_is_no_candidate():
    """Silence would be a likely state of this machine, but it only fills rows up."""
    n, real = 6, np.array([1, 3, 4, 8], int)
    rbm = RBM(
        *(pt.as_tensor(x) for x in (np.zeros((n, 2), np.float32), np.full(n, -9, np.float32), np.zeros(2, np.float32)))
    )
    data = np.zeros((10, n), np.float32)
    data[real, :4] = np.eye(4)
    counts = np.zeros(10, np.float32)
    counts[real] = 1
    v, c = pt.tensor("v", dtype="float32", shape=data.shape), pt.tensor("c", dtype="float32", shape=(10,))
    rng = random.shared(3)
    drawn: list = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samplers, "resample", lambda density, states, rng, like, own: (drawn.append(states) or like, rng))
        samplers.NegativePhase(1, 64).sample(rbm, v, rng, c)
        samplers.NegativePhase(1, 64).sample(rbm, v, rng)
    some, any_ = (engine.to_numpy(x) for x in engine.function([v, c], drawn, on_unused_input="ignore")(data, counts))
    assert set(some.argmax(axis=1)) == {0, 1, 2, 3}
    assert (some.sum(axis=1) == 1).all()
    assert (any_.sum(axis=1) == 0).any()


def test_annealed_chains_come_to_the_distribution_of_a_machine_with_two_far_modes() -> None:
    # all visible units on, or all off: a chain at temperature 1 seldom crosses
    W = np.stack([np.full(6, 6.0), np.full(6, 5.0)], axis=1) + np.random.default_rng(3).normal(0, 0.2, (6, 2))
    rbm = RBM(*(engine.shared(x, name) for x, name in ((W, "W"), (-0.5 * W.sum(axis=1), "b_v"))), None)
    rbm = rbm._replace(b_h=engine.shared(np.array([-17.5, -15.0]), "b_h"))
    p = {t.name: engine.to_numpy(t).astype(np.float64) for t in rbm.tensors()}
    like = pt.zeros((N // 4, 6), rbm.W.dtype)
    start, rng = rbm.visible.noise(like, random.shared(4))
    cold, _ = samplers.gibbs(rbm, pt.zeros_like(start), rng, 200)
    annealed, _ = samplers.anneal(rbm, like, random.shared(5), 200)
    rows = [np.asarray(x) for x in engine.function([], [cold, annealed])()]
    exact = oracles.probabilities(p)
    on = oracles.all_states(6).mean(axis=1)
    expected = exact[on > 0.5].sum()
    assert 0.2 < expected < 0.8
    shares = [(x.mean(axis=1) > 0.5).mean() for x in rows]
    assert abs(shares[1] - expected) < 0.1
    assert abs(shares[0] - expected) > 0.15


def test_what_cannot_be_annealed_is_refused() -> None:
    rbm = RBM.init(4, 3, seed=0, visible=Gaussian())
    assert not samplers.can_anneal(rbm)
    with pytest.raises(ValueError, match="needs an RBM of binary or softmax units"):
        samplers.anneal(rbm, pt.zeros((2, 4), rbm.W.dtype), random.shared(0), 5)
