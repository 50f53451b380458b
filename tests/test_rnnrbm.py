"""The RNN-RBM: what its biases see, its training step against NumPy, padding, dropout and what it generates."""

from functools import cache

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from oracles import Params
from scipy import stats
from scipy.special import expit, ndtri

from rnnrbm.backend import engine, random
from rnnrbm.backend.random import key_from_seed, uniform_numpy
from rnnrbm.batch import dropout_mask, masked_mean
from rnnrbm.networks import shifted_outputs
from rnnrbm.recurrence import flatten, initial_state
from rnnrbm.rnnrbm import rnn_rbm
from rnnrbm.samplers import NegativePhase
from rnnrbm.sequence import SequenceModel

pytestmark = pytest.mark.gpu

KINDS = ["tanh", "sigmoid", "gru", "lstm"]
T, B, N_VISIBLE, N_HIDDEN, N_RECURRENT, K = 5, 3, 4, 3, 2, 3
ALPHA = 1e-4  # p-values must be above it; the random numbers are fixed


def make(kind: str, sizes: tuple = (N_VISIBLE, N_HIDDEN, N_RECURRENT), seed: int = 0) -> tuple[SequenceModel, Params]:
    """A model whose parameters are all random, none symmetric, none zero."""
    rng = np.random.default_rng(seed)
    model = rnn_rbm(*sizes, seed=rng, cell=kind)
    for t in model.params:
        t.set_value((0.8 * rng.normal(size=t.type.shape)).astype(np.float32))
    return model, {t.name: engine.to_numpy(t).astype(np.float64) for t in model.params}


def batch(seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random((T, B, N_VISIBLE)) < 0.4).astype(np.float32)


LENGTHS = np.array([5, 2, 4])
MASK = (np.arange(T)[:, None] < LENGTHS).astype(np.float32)
START = np.zeros((T, B), bool)
START[0] = START[2, 0] = START[1, 2] = True


@cache
def compiled(kind: str) -> tuple:
    """Cost, pseudo-likelihood, and gradients including that of the frames; with mask and starts."""
    model, p = make(kind)
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    mask, start = pt.tensor("mask", dtype="float32", shape=(T, B)), pt.tensor("start", dtype="bool", shape=(T, B))
    rng = random.shared(6)
    loss = model.loss(v, mask, start, rng=rng, negative_phase=NegativePhase(K))
    grads = pt.grad(loss.cost, [*model.params, v])
    return (
        engine.function([v, mask, start], [loss.cost, loss.metrics["pseudo_likelihood"], *grads], loss.updates),
        model,
        p,
        rng,
    )


def step(kind: str, v: np.ndarray, mask: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, Params]:
    f, model, _, rng = compiled(kind)
    rng.draw.set_value(np.uint32(0))
    cost, pseudo, *grads = (np.asarray(t) for t in f(v, mask, start))
    assert {t.dtype for t in (cost, pseudo, *grads)} == {np.dtype(np.float32)}
    return cost, pseudo, dict(zip([*(t.name for t in model.params), "v"], grads, strict=True))


# ------------------------------------------------------------------------------------------- what biases see


@pytest.mark.parametrize("kind", KINDS)
def test_biases_have_not_seen_their_frame(kind: str) -> None:
    model, p = make(kind)
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    rbm, rows = model.frames(v)
    f = engine.function([v], [rbm.b_v, rbm.b_h, rows])
    x = batch()
    b_v, b_h, same = (oracles.time_major(np.asarray(t), T, B) for t in f(x))
    np.testing.assert_array_equal(same, x)
    expected = oracles.conditional_biases(kind, p, x.astype(np.float64))
    np.testing.assert_allclose(b_v, expected[0], atol=3e-6)
    np.testing.assert_allclose(b_h, expected[1], atol=3e-6)
    for t in range(T):
        y = x.copy()
        y[t] = 1 - y[t]
        b_v_2, b_h_2, _ = (oracles.time_major(np.asarray(o), T, B) for o in f(y))
        np.testing.assert_array_equal(b_v_2[: t + 1], b_v[: t + 1])
        np.testing.assert_array_equal(b_h_2[: t + 1], b_h[: t + 1])
        assert (b_v_2[t + 1 :] != b_v[t + 1 :]).any(axis=(1, 2)).all()
        assert (b_h_2[t + 1 :] != b_h[t + 1 :]).any(axis=(1, 2)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_conditional_probabilities_of_all_frames_sum_to_one(kind: str) -> None:
    model, p = make(kind, (3, 4, 2))
    frames = oracles.all_states(3).astype(np.float32)
    u = pt.tensor("u", dtype="float32", shape=(1, 2))
    rbm = model.conditional(u)
    log_z = pt.logsumexp(-rbm.hidden_free_energy(pt.as_tensor(oracles.all_states(4).astype(np.float32))))
    f = engine.function([u], -rbm.free_energy(pt.as_tensor(frames)) - log_z)
    for state in np.random.default_rng(0).normal(size=(3, 1, 2)).astype(np.float32):
        log_p = np.asarray(f(state), np.float64)
        assert abs(np.exp(log_p).sum() - 1.0) < 5e-6
        u_1 = state[0].astype(np.float64)
        q = {"W": p["W"], "b_v": p["b_v"] + u_1 @ p["W_uv"], "b_h": p["b_h"] + u_1 @ p["W_uh"]}
        np.testing.assert_allclose(np.exp(log_p), oracles.probabilities(q), atol=2e-6)
    assert abs(sum(oracles.sequence_probabilities(kind, p, 2).values()) - 1.0) < 1e-12


# ------------------------------------------------------------------------------------------ the training step


@pytest.mark.parametrize("kind", KINDS)
def test_training_step_equals_numpy_fed_the_same_uniforms(kind: str) -> None:
    _, _, p, rng = compiled(kind)
    cases = [
        (np.ones((T, B), np.float32), np.zeros((T, B), bool)),
        (MASK, np.zeros((T, B), bool)),
        (MASK, START),
    ]
    for mask, start in cases:
        v = batch()
        cost, pseudo, grads = step(kind, v, mask, start)
        stream = oracles.Stream(key_from_seed(6))
        expected = oracles.training_step(kind, p, v.astype(np.float64), stream, K, mask, start)
        assert stream.draw == int(engine.to_numpy(rng.draw)) == 1 + 2 * K
        np.testing.assert_allclose(cost, expected.cost, atol=3e-6)
        np.testing.assert_allclose(pseudo, expected.pseudo_log_likelihood, rtol=3e-6)
        for name, g in expected.grads.items():
            np.testing.assert_allclose(grads[name], g, atol=3e-6, err_msg=name)
            assert np.abs(g).max() > 1e-4, name  # every parameter gets a gradient, u_0 among them


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_gradient_is_that_of_its_cost(kind: str) -> None:
    _, p = make(kind)
    v, mask = batch().astype(np.float64), MASK.astype(np.float64)
    result = oracles.training_step(kind, p, v, oracles.Stream(key_from_seed(6)), K, mask, START)

    def cost(q: Params) -> float:
        return oracles.cd_cost(kind, q, v, result.negative, mask / mask.sum(), START)

    by_difference = oracles.finite_differences(cost, p)
    for name, g in result.grads.items():
        np.testing.assert_allclose(g, by_difference[name], atol=1e-8, err_msg=name)


def test_loss_without_mask_and_start_is_that_with_trivial_ones() -> None:
    model, _ = make("gru")
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    loss = model.loss(v, rng=random.shared(6), negative_phase=NegativePhase(K))
    f = engine.function(
        [v], [loss.cost, loss.metrics["pseudo_likelihood"], *pt.grad(loss.cost, model.params)], loss.updates
    )
    cost, pseudo, *grads = (np.asarray(t) for t in f(batch()))
    other = step("gru", batch(), np.ones((T, B), np.float32), np.zeros((T, B), bool))
    np.testing.assert_allclose(cost, other[0], atol=1e-6)
    np.testing.assert_allclose(pseudo, other[1], rtol=1e-6)
    for t, g in zip(model.params, grads, strict=True):
        np.testing.assert_allclose(g, other[2][t.name], atol=1e-6, err_msg=t.name)


# --------------------------------------------------------------------------------------------------- padding


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("garbage", [1.0, -7.5, 1e30, np.inf, -np.inf, np.nan])
def test_padding_changes_neither_the_loss_nor_any_gradient(kind: str, garbage: float) -> None:
    v = batch()
    padded = MASK == 0
    v[padded] = 0.0
    cost, pseudo, grads = step(kind, v, MASK, START)
    v[padded] = garbage
    cost_2, pseudo_2, grads_2 = step(kind, v, MASK, START)
    assert cost_2 == cost
    assert pseudo_2 == pseudo
    assert (grads_2["v"][padded] == 0).all()
    assert (grads["v"][padded] == 0).all()
    for name, g in grads.items():
        np.testing.assert_array_equal(grads_2[name], g, err_msg=name)


def test_a_batch_of_padding_only_gives_zero() -> None:
    cost, pseudo, grads = step("gru", batch(), np.zeros((T, B), np.float32), START)
    assert cost == pseudo == 0
    assert all((g == 0).all() for g in grads.values())


def test_masked_mean() -> None:
    rows, mask = pt.tensor("rows", dtype="float32", shape=(6,)), pt.tensor("mask", dtype="float32", shape=(3, 2))
    f = engine.function([rows, mask], [masked_mean(rows, mask), masked_mean(rows, None)])
    x = np.array([1, 2, np.inf, 4, np.nan, 6], np.float32)  # piece 0 is 1, 2, inf; piece 1 is 4, nan, 6
    mean, _ = f(x, np.array([[1, 1], [1, 0], [0, 1]], np.float32))
    assert float(mean) == 13 / 4
    _, mean = f(np.arange(6, dtype=np.float32), np.zeros((3, 2), np.float32))
    assert float(mean) == 2.5


# --------------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_keep_mask_drops_at_its_rate(rate: float) -> None:
    x = pt.tensor("x", dtype="float32", shape=(300, 300))
    keep, after = dropout_mask(x, rate, random.shared(3))
    f = engine.function([x], keep, after.updates())
    one, two = (np.asarray(f(np.zeros((300, 300), np.float32))) for _ in range(2))
    assert set(np.unique(one)) == {0.0, 1.0}
    assert stats.binomtest(int(one.sum()), one.size, 1 - rate).pvalue > ALPHA
    assert (one != two).any()


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_impossible_dropout_is_refused(rate: float) -> None:
    model, _ = make("tanh")
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    for name in ("input_dropout", "state_dropout"):
        with pytest.raises(ValueError, match="at least 0 and below 1"):
            model.loss(v, rng=random.shared(0), **{name: rate})


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_dropout_and_noise_of_the_loss_equal_numpy(noise: float) -> None:
    """Inputs and states that remain are scaled up, and inputs are noisy; the frames to explain stay whole."""
    model, p = make("tanh")
    model.density.W.set_value(np.zeros((N_VISIBLE, N_HIDDEN), np.float32))  # then F(v) = -v b_v(t) + constant
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    rates = {"input_dropout": 0.3, "input_noise": noise, "state_dropout": 0.4}
    loss = model.loss(v, rng=random.shared(16), negative_phase=NegativePhase(1), **rates)
    f = engine.function([v], [loss.cost, pt.grad(loss.cost, model.bias_weights[0])], loss.updates)
    key = key_from_seed(16)
    draw = 0

    def uniform(*shape: int) -> np.ndarray:
        nonlocal draw
        draw += 1
        return uniform_numpy(key, draw - 1, shape)

    for i in range(2):
        x = batch(i).astype(np.float64)
        cost, g = f(x.astype(np.float32))
        read = x * (uniform(T, B, N_VISIBLE) >= np.float32(0.3)) / 0.7
        if noise:
            read = read + noise * ndtri(uniform(T, B, N_VISIBLE).astype(float) + 2.0**-25)
        u = oracles.batch_major(oracles.run_cell("tanh", p, read)[0])
        u = u * (uniform(T * B, N_RECURRENT) >= np.float32(0.4)) / 0.6
        uniform(T * B)  # the pseudo-likelihood
        uniform(T * B, N_HIDDEN)
        b_v = p["b_v"] + u @ p["W_uv"]
        surplus = oracles.batch_major(x) - (uniform(T * B, N_VISIBLE) < expit(b_v))
        np.testing.assert_allclose(float(cost), -(surplus * b_v).sum() / (T * B), atol=3e-6)
        np.testing.assert_allclose(np.asarray(g), -u.T @ surplus / (T * B), atol=3e-6)


# -------------------------------------------------------------------------------------------- carried states


@pytest.mark.parametrize("kind", ["tanh", "lstm"])
def test_carried_states_equal_numpy_over_batches(kind: str) -> None:
    """Pieces of the first rows begin in the states that the last batch left, after its last counted frames."""
    model, p = make(kind)
    carried = engine.shared(np.random.default_rng(5).normal(size=(2, p["u_0"].size)), "carried", "float32")
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    mask, start = pt.tensor("mask", dtype="float32", shape=(T, B)), pt.tensor("start", dtype="bool", shape=(T, B))
    loss = model.loss(v, mask, start, rng=random.shared(6), negative_phase=NegativePhase(1), carried=carried)
    f = engine.function([v, mask, start], loss.cost, loss.updates)
    for i in range(3):
        before = engine.to_numpy(carried).astype(np.float64)
        x = batch(i).astype(np.float64)
        f(x.astype(np.float32), MASK, START)
        for row, n in enumerate(LENGTHS[:2]):
            one = slice(row, row + 1)
            _, after = oracles.run_cell(kind, p | {"u_0": before[row]}, x[:n, one], START[:n, one])
            np.testing.assert_allclose(engine.to_numpy(carried)[row], after[-1, 0], atol=3e-6)


def test_a_carried_row_has_the_loss_of_a_model_that_begins_there() -> None:
    model, _ = make("gru")
    states = np.random.default_rng(5).normal(size=(1, N_RECURRENT)).astype(np.float32)
    v = pt.tensor("v", dtype="float32", shape=(T, 1, N_VISIBLE))
    start = pt.as_tensor(START[:, :1])  # a piece begins in the middle of the row
    found = []
    for carried in (engine.shared(states, "carried", "float32"), None):
        if carried is None:
            next(p for p in model.params if p.name == "u_0").set_value(states[0])
        loss = model.loss(v, None, start, rng=random.shared(6), negative_phase=NegativePhase(2), carried=carried)
        found.append(np.asarray(engine.function([v], pt.grad(loss.cost, model.bias_weights[1]))(batch()[:, :1])))
    np.testing.assert_array_equal(found[0], found[1])


# ------------------------------------------------------------------------------------------------ generation


@pytest.mark.parametrize("kind", ["tanh", "gru"])
def test_generated_pieces_have_the_exact_probabilities(kind: str) -> None:
    model, p = make(kind, (2, 3, 2), seed=4)
    n, n_steps = 40_000, 3
    v = pt.tensor("v", dtype="float32", shape=(n, 2))
    u = initial_state(model.network.u_0, v[None])
    pieces, _, after = model.generate(n_steps, u, v, rng=random.shared(20), k=40)
    f = engine.function([v], pieces, after.updates())
    out = np.asarray(f(np.zeros((n, 2), np.float32)))
    assert out.shape == (n_steps, n, 2)
    exact = oracles.sequence_probabilities(kind, p, n_steps)
    index = oracles.state_index(out)
    code = index[0] * 16 + index[1] * 4 + index[2]
    expected = n * np.array([exact[s] for s in np.ndindex(4, 4, 4)])
    rare = expected < 5
    counts = np.bincount(code, minlength=64)
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 1:
        observed, expected = observed[:-1], expected[:-1] * observed[:-1].sum() / expected[:-1].sum()
    assert stats.chisquare(observed, expected).pvalue > ALPHA
    # and the test can tell: what is exact for frames that know nothing of each other is refuted
    alone = np.bincount(index[0], minlength=4) / n
    independent = n * np.einsum("i,j,k->ijk", alone, alone, alone).ravel()
    assert stats.chisquare(counts, independent * counts.sum() / independent.sum()).pvalue < 1e-12


def test_a_piece_does_not_depend_on_how_many_are_generated() -> None:
    model, _ = make("gru")
    outputs = []
    for n in (1, 4):
        v, u = (
            pt.tensor("v", dtype="float32", shape=(n, N_VISIBLE)),
            pt.tensor("u", dtype="float32", shape=(n, N_RECURRENT)),
        )
        pieces, _, after = model.generate(12, u, v, rng=random.shared(23), k=4)
        f = engine.function([v, u], [pieces, after.draw], after.updates())
        first = np.asarray([1, 0, 0, 1], np.float32)
        state = np.asarray([0.3, -0.6], np.float32)
        runs = [f(np.tile(first, (n, 1)), np.tile(state, (n, 1))) for _ in range(2)]
        assert [int(draw) for _, draw in runs] == [12 * 4 * 2, 2 * 12 * 4 * 2]
        outputs.append([np.asarray(x) for x, _ in runs])
    for one, four in zip(*outputs, strict=True):
        np.testing.assert_array_equal(one[:, 0], four[:, 0])
        assert (four[:, 0] != four[:, 1]).any()
    assert (outputs[0][0] != outputs[0][1]).any()


def test_generation_goes_on_from_a_state_as_training_reads_it() -> None:
    """generate's first frame comes from the biases that `frames` gives the frame after the primer."""
    model, p = make("gru")
    n = 4000
    primer = batch()[:, :1]
    v = pt.tensor("v", dtype="float32", shape=(T, 1, N_VISIBLE))
    rbm, _ = model.frames(v)
    last = shifted_outputs(model.network, v)[-1:]  # of a GRU the whole state; there is one piece
    u = pt.tile(last, (n, 1))
    pieces, _, _ = model.generate(1, u, pt.tile(v[-2], (n, 1)), rng=random.shared(2), k=40)
    b_v, b_h, out = (np.asarray(t) for t in engine.function([v], [rbm.b_v, rbm.b_h, pieces])(primer))
    q = {"W": p["W"], "b_v": b_v[-1].astype(np.float64), "b_h": b_h[-1].astype(np.float64)}
    counts = np.bincount(oracles.state_index(out[0]), minlength=16)
    assert stats.chisquare(counts, n * oracles.probabilities(q)).pvalue > ALPHA


def test_names_and_shapes() -> None:
    model = rnn_rbm(6, 5, 4, seed=0, b_v=np.arange(6.0), scale=0.1)
    shapes = {t.name: t.type.shape for t in model.params}
    assert shapes == {
        "W": (6, 5),
        "b_v": (6,),
        "b_h": (5,),
        "W_vu": (6, 12),
        "W_uu": (4, 12),
        "b_u": (12,),
        "u_0": (4,),
        "W_uv": (4, 6),
        "W_uh": (4, 5),
    }
    assert len(shapes) == len(model.params)
    v = pt.tensor("v", dtype="float32", shape=(T, B, 6))
    assert flatten(v).type.shape == (T * B, 6)
    np.testing.assert_array_equal(engine.to_numpy(model.density.b_v), np.arange(6.0))
    other = rnn_rbm(6, 5, 4, seed=0, b_v=np.arange(6.0), scale=0.1)
    for a, b in zip(model.params, other.params, strict=True):
        np.testing.assert_array_equal(engine.to_numpy(a), engine.to_numpy(b))
