"""Likelihoods: partition functions against enumeration, sequences against NumPy, AIS against its own error."""

from functools import cache

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from oracles import Params, UnitRef
from scipy.special import logsumexp

from rnnrbm import engine, random
from rnnrbm.likelihood import (
    Evaluator,
    LogLikelihood,
    ais_log_weights,
    base_activation,
    exact_log_Z,
    log_likelihood,
)
from rnnrbm.rbm import RBM
from rnnrbm.rnnrbm import RNNRBM
from rnnrbm.units import Bernoulli, Gaussian, ReLU, Softmax, Unit

KINDS = ["tanh", "sigmoid", "gru"]
N_VISIBLE, N_HIDDEN, N_RECURRENT = 5, 6, 3


def make(kind: str, sizes: tuple[int, int, int], seed: int = 0, scale: float = 0.7) -> tuple[RNNRBM, Params]:
    """A model whose parameters are all random, and the same for NumPy."""
    rng = np.random.default_rng(seed)
    model = RNNRBM.init(*sizes, rng=rng, cell=kind)
    for t in model.params:
        t.set_value((scale * rng.normal(size=t.type.shape)).astype(np.float32))
    return model, {t.name: engine.to_numpy(t).astype(np.float64) for t in model.params}


def some_pieces(lengths: list[int], width: int = N_VISIBLE, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(rng.random((length, width)) < 0.4).astype(np.uint8) for length in lengths]


def reference(kind: str, p: Params, piece: np.ndarray) -> np.ndarray:
    """log p(v(t) | past) of every frame, by the recurrence in NumPy and enumeration of v and h."""
    v = piece.astype(np.float64)[:, None]
    b_v, b_h = oracles.conditional_biases(kind, p, v)
    out = []
    for t in range(len(v)):
        q = {"W": p["W"], "b_v": b_v[t, 0], "b_h": b_h[t, 0]}
        out.append(-oracles.free_energy(q, v[t])[0] - oracles.log_z(q))
    return np.array(out)


@cache
def exact(kind: str = "gru") -> tuple[Evaluator, Params]:
    model, p = make(kind, (N_VISIBLE, N_HIDDEN, N_RECURRENT))
    return Evaluator(model, method="exact"), p


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
        exact_log_Z(RBM.init(26, 30, rng=rng))
    with pytest.raises(ValueError, match=r"got 3 visible Gaussian.* and 4 hidden ReLU"):
        exact_log_Z(RBM.init(3, 4, rng=rng, visible=Gaussian(), hidden=ReLU()))
    with pytest.raises(ValueError, match=r"got 3 visible Softmax.* and 26 hidden"):
        exact_log_Z(RBM.init(3, 26, rng=rng, visible=Softmax(3)))
    with pytest.raises(ValueError, match="got 26 visible"):
        Evaluator(RNNRBM.init(26, 26, 2, rng=rng), method="exact")


# --- sequences --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_log_likelihood_of_sequences_is_that_of_numpy(kind):
    evaluate, p = exact(kind)
    pieces = some_pieces([4, 1, 9])
    scored = evaluate(pieces)
    for frames, piece in zip(scored.frames, pieces, strict=True):
        np.testing.assert_allclose(frames, reference(kind, p, piece), atol=5e-6)
    assert scored.settings == "exact"
    assert all(not x.any() for x in scored.variances)
    assert scored.standard_error == 0.0


def test_probabilities_of_all_sequences_add_up_to_one():
    model, p = make("gru", (3, 4, 2), seed=5)
    expected = oracles.sequence_probabilities("gru", p, 2)
    frames = oracles.all_states(3)
    sequences = [frames[list(key)] for key in expected]
    assert len(sequences) == 64
    scored = log_likelihood(model, sequences, method="exact")
    assert np.exp(scored.per_piece).sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(np.exp(scored.per_piece), list(expected.values()), rtol=2e-5)
    # the first frame counts: it is what the learned initial state says
    ones = log_likelihood(model, list(frames[:, None]), method="exact")
    q = {"W": p["W"], "b_v": p["b_v"] + p["u_0"] @ p["W_uv"], "b_h": p["b_h"] + p["u_0"] @ p["W_uh"]}
    np.testing.assert_allclose(np.exp(ones.per_piece), oracles.probabilities(q), rtol=1e-5)


def test_pieces_of_all_lengths_together_are_as_alone():
    """Padding never counts, and the order of the pieces is kept."""
    evaluate, p = exact()
    lengths = [130, 1, 64, 7, 65, 200, 63, 1, 129]
    pieces = some_pieces(lengths, seed=4)
    together = evaluate(pieces)
    assert [len(x) for x in together.frames] == lengths
    assert [len(x) for x in together.variances] == lengths
    for frames, piece in zip(together.frames, pieces, strict=True):
        np.testing.assert_allclose(frames, reference("gru", p, piece), atol=1e-5)
        np.testing.assert_allclose(frames, evaluate([piece]).frames[0], atol=1e-5)
    np.testing.assert_allclose(together.per_piece, [x.sum() for x in together.frames])
    # all frames weigh the same, not all pieces
    assert together.mean == pytest.approx(together.per_piece.sum() / sum(lengths))
    assert together.mean != pytest.approx(np.mean([x.mean() for x in together.frames]), abs=1e-4)
    backwards = evaluate(pieces[::-1])
    for a, b in zip(backwards.frames[::-1], together.frames, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_states_are_those_before_each_frame():
    evaluate, p = exact()
    pieces = some_pieces([3, 70, 1])
    for u, piece in zip(evaluate.states(pieces), pieces, strict=True):
        before, after = oracles.run_cell("gru", p, piece.astype(float)[:, None])
        np.testing.assert_allclose(u, before[:, 0], atol=5e-6)
        assert not np.allclose(u, after[:, 0], atol=1e-3)


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float64])
def test_pieces_of_any_type(dtype):
    evaluate, _ = exact()
    pieces = some_pieces([5, 2])
    for a, b in zip(evaluate([p.astype(dtype) for p in pieces]).frames, evaluate(pieces).frames, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_subset_of_the_frames():
    evaluate, _ = exact()
    pieces = some_pieces([40, 1, 60])
    full = evaluate(pieces)
    means = []
    for seed in range(20):
        some = evaluate(pieces, frames=25, seed=seed)
        assert sum(len(x) for x in some.frames) == 25 == len(some.effective_sample_size)
        for part, whole in zip(some.frames, full.frames, strict=True):
            # its values are some of the whole's, in their order, each once
            places = [int(np.abs(whole - x).argmin()) for x in part]
            assert places == sorted(set(places))
            np.testing.assert_allclose(part, whole[places], atol=1e-6)
        means.append(some.mean)
    assert len(set(means)) == 20
    se = np.concatenate(full.frames).std() / np.sqrt(25 * 20)
    assert abs(np.mean(means) - full.mean) < 4 * se
    assert evaluate(pieces, frames=25, seed=3).mean == means[3]
    for n in (101, 500, None):
        assert evaluate(pieces, frames=n).mean == full.mean


def test_progress_ends_at_all_frames():
    evaluate, _ = exact()
    calls = []
    evaluate(some_pieces([100, 50]), progress=lambda done, total: calls.append((done, total)))
    done = [d for d, _ in calls]
    assert done == sorted(set(done))
    assert len(done) > 1
    assert calls[-1] == (150, 150)
    assert {t for _, t in calls} == {150}


def test_one_array_is_one_piece():
    model, p = make("tanh", (4, 3, 2))
    piece = some_pieces([6], 4)[0]
    scored = log_likelihood(model, piece, method="exact")
    assert len(scored.frames) == 1
    np.testing.assert_allclose(scored.frames[0], reference("tanh", p, piece), atol=5e-6)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([], "there are no pieces to score"),
        ([np.zeros((3, 5)), np.zeros((3, 4))], r"piece 1 has shape \(3, 4\), expected \(T, 5\) .*5 visible units"),
        ([np.zeros((0, 5))], r"piece 0 has shape \(0, 5\)"),
        ([np.zeros(5)], r"piece 0 has shape \(5,\)"),
        ([np.zeros((2, 3, 5))], r"piece 0 has shape \(2, 3, 5\)"),
    ],
)
def test_pieces_that_cannot_be_scored(pieces, message):
    with pytest.raises(ValueError, match=message):
        exact()[0](pieces)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "guess"}, "method 'guess' is neither 'ais' nor 'exact'"),
        ({"n_chains": 1}, "at least, got 1, 500"),
        ({"n_temperatures": 1}, "at least, got 20, 1"),
    ],
)
def test_settings_that_are_impossible(options, message):
    with pytest.raises(ValueError, match=message):
        Evaluator(make("tanh", (3, 3, 2))[0], **options)


# --- the arithmetic of the result -------------------------------------------------------------------


def test_result_by_hand():
    scored = LogLikelihood(
        [np.array([-1.0, -3.0, -2.0]), np.array([]), np.array([-6.0])],
        [np.array([0.1, 0.2, 0.3]), np.array([]), np.array([0.4])],
        np.ones(4),
        "AIS, by hand",
    )
    assert scored.mean == pytest.approx(-3.0)
    np.testing.assert_allclose(scored.per_piece, [-6.0, 0.0, -6.0])
    assert scored.standard_error == pytest.approx(np.sqrt(1.0) / 4)  # of a mean of 4 independent frames
    assert str(scored) == "-3.000 +- 0.250 nats per frame (AIS, by hand)"


# --- annealed importance sampling -------------------------------------------------------------------

CHAINS, TEMPERATURES = 12, 40


@cache
def annealed() -> tuple[Evaluator, Evaluator, RNNRBM, list[np.ndarray]]:
    """AIS and enumeration of one model, whose machines are hard enough to leave some error."""
    model, _ = make("gru", (7, 8, N_RECURRENT), seed=8, scale=1.1)
    ais = Evaluator(model, n_chains=CHAINS, n_temperatures=TEMPERATURES)
    return ais, Evaluator(model, method="exact"), model, some_pieces([300, 1, 150], 7, seed=8)


def test_ais_agrees_with_enumeration_within_its_own_error():
    ais, enumeration, _, pieces = annealed()
    got, true = ais(pieces, seed=5), enumeration(pieces)
    difference = np.concatenate(got.frames) - np.concatenate(true.frames)
    error = np.sqrt(np.concatenate(got.variances))
    assert 0.005 < np.median(error) < 0.3  # neither trivial nor hopeless
    z = difference / error
    assert 0.85 < z.std() < 1.25
    assert abs(z.mean()) < 0.35  # log of an unbiased estimate: a little too high, by about half an error squared
    assert (np.abs(z) < 2).mean() > 0.9
    bias = np.concatenate(got.variances).sum() / 2 / len(z)
    assert abs(got.mean - true.mean - bias) < 4 * got.standard_error
    assert got.settings == f"AIS, {CHAINS} chains x {TEMPERATURES} temperatures"


def test_effective_sample_size_is_between_one_and_the_number_of_chains():
    ais, enumeration, _, pieces = annealed()
    size = ais(pieces).effective_sample_size
    assert size.shape == (451,)
    assert size.min() >= 1.0 - 1e-5
    assert size.max() <= CHAINS * (1 + 1e-5)
    assert size.min() < 0.9 * CHAINS
    np.testing.assert_array_equal(enumeration(pieces).effective_sample_size, 1.0)


def test_ais_repeats_by_seed():
    ais, _, _, pieces = annealed()
    a, b, c = (np.concatenate(ais(pieces, seed=s).frames) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).mean() > 0.9


def test_ais_follows_its_model():
    """Called again after the parameters have changed, it scores the new ones."""
    ais, enumeration, model, pieces = annealed()
    before = [engine.to_numpy(p) for p in model.params]
    try:
        for p, old in zip(model.params, before, strict=True):
            p.set_value((old * np.float32(0.2)).astype(np.float32))
        got, true = ais(pieces), enumeration(pieces)
    finally:
        for p, old in zip(model.params, before, strict=True):
            p.set_value(old)
    assert abs(got.mean - true.mean) < 5 * got.standard_error + 1e-5
    assert abs(true.mean - enumeration(pieces).mean) > 0.1


def test_more_temperatures_are_more_precise():
    _, _, model, pieces = annealed()
    few = annealed()[0](pieces, frames=100)
    many = Evaluator(model, n_chains=CHAINS, n_temperatures=20 * TEMPERATURES)(pieces, frames=100)
    assert many.standard_error < 0.5 * few.standard_error
    assert many.effective_sample_size.mean() > few.effective_sample_size.mean()


def test_variance_and_size_come_from_the_weights():
    """The evaluator's figures, computed again in NumPy from the log weights of the same random numbers."""
    model, _ = make("tanh", (6, 5, 2), seed=2, scale=1.0)
    n, chains, temperatures = 30, 5, 8
    piece = some_pieces([n], 6)[0]
    ais = Evaluator(model, n_chains=chains, n_temperatures=temperatures, rows=n * chains)
    got = ais([piece], seed=9)

    u, v = pt.tensor("u", dtype="float32", shape=(n, 2)), pt.tensor("v", dtype="float32", shape=(n, 6))
    rng = random.shared(9)
    rbm = model.conditional(u)
    base, rng = base_activation(rbm, v, rng)
    betas = pt.as_tensor(np.linspace(0, 1, temperatures + 1)[1:].astype(np.float32))
    log_z_base, log_w, _ = ais_log_weights(rbm, base, betas, chains, rng)
    f = engine.function([u, v], [log_z_base, log_w, rbm.free_energy(v)])
    log_z_base, log_w, energy = (
        engine.to_numpy(x).astype(np.float64) for x in f(ais.states([piece])[0], piece.astype(np.float32))
    )
    assert log_w.shape == (n, chains)
    w = np.exp(log_w)
    np.testing.assert_allclose(got.frames[0], -energy - log_z_base - np.log(w.mean(axis=1)), atol=2e-5)
    np.testing.assert_allclose(got.variances[0], w.var(axis=1, ddof=1) / chains / w.mean(axis=1) ** 2, rtol=1e-3)
    np.testing.assert_allclose(got.effective_sample_size, w.sum(axis=1) ** 2 / (w**2).sum(axis=1), rtol=1e-3)
    assert got.standard_error == pytest.approx(np.sqrt(got.variances[0].sum()) / n)


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
    betas = pt.as_tensor(np.array([0.1, 0.3, 0.4, 0.6, 0.7, 0.9, 1.0], np.float32))  # of unequal steps
    log_z_base, log_w, _ = ais_log_weights(rbm, pt.as_tensor(base), betas, chains, random.shared(4))
    log_z_base, log_w = (engine.to_numpy(x).astype(np.float64) for x in engine.function([], [log_z_base, log_w])())
    # the base alone: independent units, and hidden units that nothing reaches
    for r, p in enumerate(each):
        alone = {"W": 0 * p["W"], "b_v": base[r].astype(np.float64), "b_h": 0 * p["b_h"]}
        assert log_z_base[r] == pytest.approx(enumerated(alone, visible[1], hidden[1]), rel=1e-5)
    true = np.array([enumerated(p, visible[1], hidden[1]) for p in each])
    ratio = np.exp(log_w + (log_z_base - true)[:, None])
    error = ratio.std(axis=1, ddof=1) / np.sqrt(chains)
    assert error.max() < 0.3
    assert error.min() > 1e-4
    assert (np.abs(ratio.mean(axis=1) - 1.0) < 4.5 * error).all()


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
