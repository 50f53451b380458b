"""Likelihoods: partition functions against enumeration, sequences against NumPy, AIS against its own error."""

from functools import cache
from typing import Any

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
import scipy.sparse
from oracles import Params

from rnnrbm.backend import engine, random
from rnnrbm.rbm import RBM
from rnnrbm.rnnrbm import rnn_rbm
from rnnrbm.scoring.likelihood import Evaluator, frequent_states, log_likelihood, usual_annealing
from rnnrbm.scoring.partition import ais_log_weights, annealing_schedule, base_activation
from rnnrbm.sequence import SequenceModel
from rnnrbm.state_encoder import StateEncoder
from rnnrbm.units import Gaussian

pytestmark = pytest.mark.gpu

KINDS = ["tanh", "sigmoid", "gru"]
N_VISIBLE, N_HIDDEN, N_RECURRENT = 5, 6, 3


def make(kind: str, sizes: tuple[int, int, int], seed: int = 0, scale: float = 0.7) -> tuple[SequenceModel, Params]:
    """A model whose parameters are all random, and the same for NumPy."""
    rng = np.random.default_rng(seed)
    model = rnn_rbm(*sizes, seed=rng, cell=kind)
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
    model, p = make("gru", (N_VISIBLE, N_HIDDEN, N_RECURRENT))
    pieces = some_pieces([3, 70, 1])
    for u, piece in zip(StateEncoder(model)(pieces), pieces, strict=True):
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
    evaluate(some_pieces([100, 50]), progress=lambda stage, done, total, row: calls.append((done, total)))
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
        ([], "there is no piece; give at least one array"),
        ([np.full((2, N_VISIBLE), np.nan)], "piece 0 holds nan in frame 0, column 0, and 10 such values in all"),
        ([np.full((2, N_VISIBLE), 3)], "holds 3 in frame 0.*expected 0 and 1, as the visible units are binary"),
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
        ({"method": "guess"}, "method 'guess' is none of ais, raise, exact"),
        ({"n_chains": 1}, "n_chains=1: expected a whole number, at least 2"),
        ({"n_temperatures": 1}, "n_temperatures=1: expected a whole number, at least 2"),
        ({"schedule": "steep"}, "annealing schedule 'steep' is none of"),
        ({"exact_states": np.zeros((4, 2))}, r"exact_states has shape \(4, 2\), expected frames, \(1 or more, 3\)"),
        ({"exact_states": np.zeros((0, 3))}, r"exact_states has shape \(0, 3\), expected"),
        ({"exact_states": np.full((1, 3), 2)}, "exact_states must hold 0 and 1 only"),
        (
            {"exact_states": np.ones((2, 3))},
            "exact_states holds a state more than once; see rnnrbm.scoring.likelihood.frequent_states",
        ),
    ],
)
def test_settings_that_are_impossible(options, message):
    with pytest.raises(ValueError, match=message):
        Evaluator(make("tanh", (3, 3, 2))[0], **options)


def test_models_that_cannot_be_scored():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="only states of binary visible units can be enumerated, not of Gaussian"):
        Evaluator(rnn_rbm(3, 3, 2, seed=rng, visible=Gaussian()), exact_states=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="got 26 visible"):
        Evaluator(rnn_rbm(26, 26, 2, seed=rng), method="exact")
    with pytest.raises(TypeError, match="expected a SequenceModel, an RBM or a normalized density, got GRU"):
        log_likelihood(rnn_rbm(3, 3, 2, seed=rng).network.layers[0], [np.zeros((2, 3))])
    with pytest.raises(TypeError, match=r"got dict; for a data set, give one of its lists, .train, .valid or .test"):
        log_likelihood(rnn_rbm(3, 3, 2, seed=rng), {"test": [np.zeros((2, 3))]})


# --- warnings ---------------------------------------------------------------------------------------


def test_log_likelihood_warns_of_poor_weights():
    model, _ = make("gru", (7, 8, N_RECURRENT), seed=8, scale=8.0)
    with pytest.warns(UserWarning, match="use more temperatures"):
        log_likelihood(model, some_pieces([60], 7), n_chains=40, n_temperatures=2)


def test_log_likelihood_warns_of_chains_that_all_ended_at_enumerated_frames():
    """The one Z of a static RBM then has no error, which is not to be believed."""
    rbm = RBM.init(30, 26, seed=0, b_v=9.0)  # all units on, most of the time
    ones = [np.ones((3, 30), np.float32)]
    with pytest.warns(UserWarning, match="no chain ended at a frame that is not enumerated.*use more chains"):
        log_likelihood(rbm, ones, n_chains=4, n_temperatures=5, exact_states=ones[0][:1])


# --- annealed importance sampling -------------------------------------------------------------------

CHAINS, TEMPERATURES = 12, 40


@cache
def annealed() -> tuple[Evaluator, Evaluator, SequenceModel, list[np.ndarray]]:
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


def test_standard_error_and_size_come_from_the_weights():
    """The evaluator's figures, computed again in NumPy from the log weights of the same random numbers."""
    model, _ = make("tanh", (6, 5, 2), seed=2, scale=1.0)
    n, chains, temperatures = 30, 400, 8
    piece = some_pieces([n], 6)[0]
    ais = Evaluator(model, n_chains=chains, n_temperatures=temperatures, rows=n * chains)
    got = ais([piece], seed=9)

    u, v = pt.tensor("u", dtype="float32", shape=(n, 2)), pt.tensor("v", dtype="float32", shape=(n, 6))
    rng = random.shared(9)
    rbm = model.conditional(u)
    base, rng = base_activation(rbm, v, rng)
    log_z_base, log_w, *_ = ais_log_weights(rbm, base, annealing_schedule("linear", temperatures), chains, rng)
    f = engine.function([u, v], [log_z_base, log_w, rbm.free_energy(v)])
    log_z_base, log_w, energy = (
        engine.to_numpy(x).astype(np.float64) for x in f(StateEncoder(model)([piece])[0], piece.astype(np.float32))
    )
    assert log_w.shape == (n, chains)
    w = np.exp(log_w)
    np.testing.assert_allclose(got.frames[0], -energy - log_z_base - np.log(w.mean(axis=1)), atol=2e-5)
    np.testing.assert_allclose(got.effective_sample_size, w.sum(axis=1) ** 2 / (w**2).sum(axis=1), rtol=1e-3)
    # the bootstrap agrees with the delta method where there are many chains
    delta = w.var(axis=1, ddof=1) / chains / w.mean(axis=1) ** 2
    assert (np.abs(got.variances[0] / delta - 1) < 0.5).all()
    assert got.variances[0].mean() == pytest.approx(delta.mean(), rel=0.1)
    assert got.standard_error == pytest.approx(np.sqrt(got.variances[0].sum()) / n)


# --- the bracket ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_listed", [0, pytest.param(20, marks=pytest.mark.slow)])
def test_raise_and_ais_bracket_the_truth(n_listed):
    """All states of a machine with strong weights, weighted by their exact probabilities.

    RAISE gives probabilities that add up to one, of a worse model; with few temperatures too. They would exceed it if
    annealing knew which datum it is to generate.
    """
    rng = np.random.default_rng(5)
    rbm = RBM.init(6, 5, seed=rng)
    for t in rbm.tensors():
        t.set_value((3.0 * rng.normal(size=t.type.shape)).astype(np.float32))
    exact = oracles.probabilities({t.name: engine.to_numpy(t).astype(np.float64) for t in rbm.tensors()})
    true = exact @ np.log(exact)
    states = oracles.all_states(6).astype(np.float32)
    listed = rng.permutation(states)[:n_listed] if n_listed else None

    def score(method: str, n_temperatures: int, copies: int) -> np.ndarray:
        """Log-probabilities of all states, `copies` times, each time from another base."""
        evaluator = Evaluator(rbm, method=method, n_chains=50, n_temperatures=n_temperatures, exact_states=listed)
        got = evaluator([np.tile(states, (copies, 1))], seed=3)
        known = ", 20 frames enumerated" if n_listed else ""
        assert got.settings == f"{method.upper()}, 50 chains x {n_temperatures} temperatures{known}"
        return got.frames[0].reshape(copies, len(states))

    copies = 300
    log_p = score("raise", 3, copies)
    total = np.exp(log_p).sum(axis=1)
    error = total.std(ddof=1) / np.sqrt(copies)
    assert error < 0.025
    assert total.mean() < 1 + 4 * error
    assert total.mean() > 1 - 4 * error - (0.05 if n_listed else 0.0)  # few chains see the list's share: a little less
    assert (log_p @ exact).mean() < true - 0.05
    closer, over = score("raise", 1000, 2), score("ais", 1000, 2)
    assert abs((closer @ exact).mean() - true) < 0.02
    # with one Z for all frames, 50 chains say how much of it is listed to within some hundredths
    assert abs((over @ exact).mean() - true) < (0.12 if n_listed else 0.02)


def chords() -> list[Any]:
    """A model of 12 chords of three notes out of 24, hardly anything between them, the same at every step.

    Returned with it: 400 frames to learn from and 60 to be scored, drawn from it exactly.
    """
    rng = np.random.default_rng(0)
    model = rnn_rbm(24, 12, 2, seed=rng)
    modes = np.zeros((12, 24), np.uint8)
    for mode in modes:
        mode[rng.choice(24, 3, replace=False)] = 1
    p = {"W": 4.0 * (2.0 * modes.T - 1.0), "b_v": np.full(24, -2.0), "b_h": np.full(12, -2.0)}
    for t in model.params:
        t.set_value(np.broadcast_to(p.get(t.name, 0.0), t.type.shape).astype(np.float32))
    h = oracles.all_states(12).astype(np.float64)
    weights = h @ p["b_h"] + np.logaddexp(0.0, h @ p["W"].T + p["b_v"]).sum(axis=1)
    drawn = h[rng.choice(len(h), 460, p=np.exp(weights - np.logaddexp.reduce(weights)))]
    on = 1.0 / (1.0 + np.exp(-(drawn @ p["W"].T + p["b_v"])))
    return [model, *np.split((rng.random(on.shape) < on).astype(np.uint8), [400])]


def test_narrow_modes_that_are_enumerated():
    """Few temperatures miss most modes and overstate the likelihood; with the frames of training listed they do not."""
    model, train, frames = chords()
    true = log_likelihood(model, frames, method="exact").mean
    got = {}
    for method in ("ais", "raise"):
        for listed in (None, frequent_states([train])):
            evaluate = Evaluator(model, method=method, n_chains=10, n_temperatures=20, exact_states=listed)
            got[method, listed is not None] = np.mean([evaluate([frames], seed=s).mean for s in range(5)]) - true
    assert got["ais", False] > 0.4
    assert got["raise", False] < -1.0
    assert -0.03 < got["ais", True] < 0.05
    assert -0.6 < got["raise", True] < 0.02


@pytest.mark.parametrize("n_listed", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_a_list_that_hardly_counts(n_listed):
    """An untrained machine, in which all states are alike: the listed ones are next to nothing of Z."""
    rbm, frames = RBM.init(40, 6, seed=0), np.eye(40, dtype=np.uint8)
    true = log_likelihood(rbm, frames, method="exact").mean
    listed = np.tril(np.ones((40, 40)))[:n_listed]  # one of them is among the frames
    for method in ("ais", "raise"):
        got = log_likelihood(rbm, frames, method=method, n_chains=10, n_temperatures=20, exact_states=listed)
        assert got.mean == pytest.approx(true, abs=0.02)
        assert np.isfinite(got.standard_error)


def test_frequent_frames():
    a, b, c = np.eye(3, 11, dtype=np.uint8)
    pieces = [np.stack([a, b, b]), np.stack([c, b, a]), a[None].astype(bool)]
    np.testing.assert_array_equal(frequent_states([*pieces, a[None]]), [a, b, c])
    np.testing.assert_array_equal(frequent_states(pieces, 2), [b, a])  # as often as each other: in a fixed order
    assert frequent_states(pieces).dtype == np.uint8
    assert frequent_states(pieces, 0) is None
    assert frequent_states([]) is None
    assert frequent_states([np.array([[0.5, 1.0]])]) is None


@pytest.mark.parametrize(
    "spacing", ["geometric", pytest.param("sigmoid", marks=pytest.mark.slow), np.linspace(0, 1, 301)[1:] ** 1.5]
)
def test_other_ladders_come_to_the_same(spacing):
    _, enumeration, model, pieces = annealed()
    got = Evaluator(model, n_chains=50, n_temperatures=300, schedule=spacing)(pieces, frames=200)
    true = enumeration(pieces, frames=200)
    assert abs(got.mean - true.mean) < 5 * got.standard_error + 1e-3
    assert got.settings.endswith("own schedule" if isinstance(spacing, np.ndarray) else spacing)


# --- in parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("method", ["ais", "raise", "exact"])
def test_scored_in_parts_is_as_at_once(method, listed):
    _, _, model, pieces = annealed()
    states = frequent_states(pieces) if listed else None
    evaluate = Evaluator(model, method=method, n_chains=10, n_temperatures=5, rows=500, exact_states=states)
    whole = np.concatenate([c.values for c in evaluate.chunks(pieces, seed=3)], axis=1)
    done = 2 * evaluate.chunk + 7  # in the middle of a chunk, which is scored again
    rest = list(evaluate.chunks(pieces, seed=3, done=done))
    assert rest[0].rows[0] == 2 * evaluate.chunk
    np.testing.assert_array_equal(np.concatenate([c.values for c in rest], axis=1), whole[:, rest[0].rows[0] :])
    assert {c.total for c in rest} == {451}
    assert list(evaluate.chunks(pieces, seed=3, done=451)) == []
    scored = evaluate(pieces, seed=3)
    np.testing.assert_array_equal(np.concatenate(scored.frames), whole[0])
    np.testing.assert_array_equal(scored.effective_sample_size, whole[2])


# --- machines by themselves -------------------------------------------------------------------------


def static(seed: int = 0, scale: float = 1.0, **units) -> RBM:
    rng = np.random.default_rng(seed)
    rbm = RBM.init(7, 9, seed=rng, **units)
    for t in rbm.tensors():
        t.set_value((scale * rng.normal(size=t.type.shape)).astype(np.float32))
    return rbm


def test_a_static_machine():
    rbm, pieces = static(), some_pieces([150, 1, 40], 7)
    p = {t.name: engine.to_numpy(t).astype(np.float64) for t in rbm.tensors()}
    expected = -oracles.free_energy(p, np.concatenate(pieces).astype(np.float64)) - oracles.log_z(p)
    true = log_likelihood(rbm, pieces, method="exact")
    np.testing.assert_allclose(np.concatenate(true.frames), expected, atol=1e-4)
    assert [len(f) for f in true.frames] == [150, 1, 40]
    got = log_likelihood(rbm, pieces, n_chains=500, n_temperatures=100)
    # one Z: all frames are off by the same
    off = np.concatenate(got.frames) - expected
    np.testing.assert_allclose(off, off[0], atol=2e-5)
    assert 0 < abs(off[0]) < 4 * got.standard_error + 1e-4
    assert 1e-4 < got.standard_error < 0.1
    assert got.effective_sample_size.shape == (191,)
    under = log_likelihood(rbm, pieces, method="raise", n_chains=50, n_temperatures=300)
    assert abs(under.mean - true.mean) < 0.03


def test_a_static_machine_of_other_units():
    rbm = static(scale=0.3, visible=Gaussian(0.8))
    frames = np.random.default_rng(1).normal(size=(64, 7)).astype(np.float32)
    true = log_likelihood(rbm, frames, method="exact")
    for method in ("ais", "raise"):
        got = log_likelihood(rbm, frames, method=method, n_chains=200, n_temperatures=300)
        assert abs(got.mean - true.mean) < 5 * got.standard_error + 2e-3


def test_pieces_in_any_form_score_alike():
    """Lists, sparse matrices and one array are what the list of arrays is; one matrix is one piece."""
    pieces = [(np.random.default_rng(i).random((5, 3)) < 0.5).astype(np.uint8) for i in range(2)]
    model = rnn_rbm(3, n_hidden=4, n_recurrent=2, seed=0)
    states = frequent_states(pieces)
    expected = log_likelihood(model, pieces, method="exact")
    forms = [np.array(pieces), np.array(pieces).tolist(), [scipy.sparse.csr_matrix(p) for p in pieces]]
    for form in forms:
        np.testing.assert_array_equal(frequent_states(form), states)
        np.testing.assert_array_equal(log_likelihood(model, form, method="exact").frames, expected.frames)
    for one in (pieces[0], scipy.sparse.csr_matrix(pieces[0])):
        np.testing.assert_array_equal(log_likelihood(model, one, method="exact").frames[0], expected.frames[0])
        np.testing.assert_array_equal(frequent_states(one), frequent_states(pieces[:1]))
    annealing: Any = {"n_chains": 2, "n_temperatures": 3}
    ais = [log_likelihood(model, pieces, exact_states=s, **annealing) for s in (states, states.tolist())]
    np.testing.assert_array_equal(ais[0].frames, ais[1].frames)
    with pytest.raises(TypeError, match="for a data set, give one of its lists"):
        frequent_states({"train": pieces})


def test_usual_annealing_is_more_for_one_Z():
    model, rbm = rnn_rbm(3, n_hidden=4, n_recurrent=2, seed=0), static()
    assert usual_annealing(model) == usual_annealing(model, "exact") == (100, 1000, "linear")
    assert usual_annealing(model, "raise") == usual_annealing(rbm, "raise") == (100, 1000, "quadratic")
    assert usual_annealing(rbm) == usual_annealing(rbm, "ais") == (500, 16_000, "quadratic")
    assert usual_annealing(rbm, n_chains=7, schedule="sigmoid") == (7, 16_000, "sigmoid")
    frames = some_pieces([5], 7)
    got = log_likelihood(rbm, frames, n_chains=4)
    assert got.settings == "AIS, 4 chains x 16000 temperatures, quadratic"
    assert got.mean == pytest.approx(log_likelihood(rbm, frames, method="exact").mean, abs=0.02)


@pytest.mark.parametrize("n_chains", [6, 7])
def test_one_Z_does_not_depend_on_the_number_of_devices(n_chains, monkeypatch):
    """Chains are spread over devices, if their numbers allow it; each has the random numbers of its index."""
    frames, rbm = some_pieces([5], 7), static()
    states = frequent_states(some_pieces([9], 7))
    scores = []
    for n_devices in (1, 2):
        monkeypatch.setattr("rnnrbm.backend.sharding.available", lambda mode=None, n=n_devices: n)
        evaluate = Evaluator(rbm, n_chains=n_chains, n_temperatures=20, exact_states=states)
        assert evaluate._spread.n_devices == (n_devices if n_chains == 6 else 1)
        scores.append(evaluate(frames, seed=3))
    np.testing.assert_allclose(scores[0].frames[0], scores[1].frames[0], rtol=1e-5)
    np.testing.assert_allclose(scores[0].effective_sample_size, scores[1].effective_sample_size, rtol=1e-4)


@pytest.mark.parametrize("kind", ["static", "recurrent"])
def test_large_weights_are_annealed_without_the_series(kind):
    """The program is chosen for each chunk from the weights of the moment, so a model may grow while it learns."""
    model = static() if kind == "static" else rnn_rbm(7, n_hidden=4, n_recurrent=2, seed=0)
    frames = some_pieces([5], 7)
    evaluate = Evaluator(model, n_chains=4, n_temperatures=50)
    evaluate(frames)
    assert list(evaluate._programs) == [True]
    W = model.W if kind == "static" else model.density.W
    W.set_value(30.0 * np.ones_like(W.get_value()))
    evaluate(frames)
    assert list(evaluate._programs) == [True, False]
