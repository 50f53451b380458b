"""Every published model: probabilities that add up, samples that have them, training that resumes, weights tied."""

import math
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from helpers import VARIANTS, a_model
from oracles import Params
from scipy import stats

from rnnrbm import State, fit, generate, load_model, log_likelihood, memory
from rnnrbm.backend import engine, random
from rnnrbm.backend.random import key_from_seed
from rnnrbm.densities import EnergyDensity, Independent, NormalizedDensity
from rnnrbm.experiment.config import Model
from rnnrbm.joint_units import Joint
from rnnrbm.models.nade import NADE
from rnnrbm.models.pitch_tied import TiedNADE
from rnnrbm.models.registry import MODELS, SEQUENCE_MODELS, STATIC_MODELS, build, options_of, rnn
from rnnrbm.networks import Memoryless, init_stack
from rnnrbm.pitch import init_tied
from rnnrbm.rbm import RBM
from rnnrbm.rnnrbm import rtrbm
from rnnrbm.samplers import NegativePhase
from rnnrbm.sampling import Sampler, predict
from rnnrbm.sequence import SequenceModel
from rnnrbm.static import StaticModel
from rnnrbm.training import fit as training_fit
from rnnrbm.units import Bernoulli, Gaussian, ReLU, Softmax

ALPHA = 1e-4


def make(variant: str, n_visible: int = 3, seed: int = 0, **more: Any) -> SequenceModel:
    """Every parameter random, so that none is forgotten."""
    model = a_model(variant, n_visible, np.random.default_rng(seed), **more)
    rng = np.random.default_rng(seed + 1)
    for t in model.params:
        t.set_value((0.8 * rng.normal(size=t.type.shape)).astype(np.float32))
    return model


def frames_of(model: SequenceModel) -> np.ndarray:
    n = model.n_visible
    return (
        np.eye(n, dtype=np.uint8)
        if isinstance(model.density.visible, Softmax)
        else oracles.all_states(n).astype(np.uint8)
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_probabilities_of_all_sequences_add_up_and_samples_have_them(variant):
    """Three frames, of which the third depends on both others, exactly enumerated; sampled with many Gibbs steps."""
    model = make(variant, 2 if "softmax" not in variant else 3)
    frames = frames_of(model)
    pieces = [np.array(piece) for piece in product(frames, repeat=3)]
    scored = log_likelihood(model, pieces, method="exact")
    exact = np.exp(scored.per_piece)
    assert exact.sum() == pytest.approx(1.0, abs=2e-5)
    n = 20_000
    v = generate(model, 3, n_samples=n, k=30, seed=3)
    codes = {frame.tobytes(): i for i, frame in enumerate(frames)}
    index = np.array([[codes[f.tobytes()] for f in piece] for piece in v.astype(np.uint8)])
    counts = np.bincount(index @ len(frames) ** np.arange(2, -1, -1), minlength=len(pieces))
    rare = n * exact < 5
    observed, expected = (np.append(x[~rare], x[rare].sum()) for x in (counts, n * exact))
    keep = expected > 1
    observed, expected = observed[keep], expected[keep]
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > ALPHA
    # frames that know nothing of each other have other probabilities, but where that is the model
    first = np.bincount(index[:, 0], minlength=len(frames)) / n
    alone = np.einsum("i,j,k->ijk", first, first, first).ravel()
    assert (np.abs(alone - exact).sum() < 0.05) == isinstance(model.network, Memoryless)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if "softmax" not in v and "LSTM" not in v])
@pytest.mark.parametrize("unit", [0, 1])
def test_clamped_units_stay_and_others_are_sampled_given_them(variant, unit):
    """Of two units one is clamped in the first and the last of three frames; what is left has its exact conditional."""
    model = make(variant, 2)
    frames = frames_of(model)
    pieces = [np.array(piece) for piece in product(frames, repeat=3)]
    clamp = np.full((3, 2), np.nan)
    clamp[0, unit], clamp[2, unit] = 1, 0
    if isinstance(model.density, (NADE, TiedNADE)) and unit == 1:
        if model.density.fixed_order is not None:
            with pytest.raises(ValueError, match="in one order can only clamp the first of them; train an rnn-nade"):
                generate(model, 3, clamp=clamp)
            return
        # what is clamped comes first: that is the other order
        exact = log_likelihood(model._replace(density=model.density._replace(order=(1, 0))), pieces, method="exact")
        free = log_likelihood(model, pieces, method="exact")
        by_frame = [np.where([1, 0, 1], a, b) for a, b in zip(exact.frames, free.frames, strict=True)]
    else:
        by_frame = log_likelihood(model, pieces, method="exact").frames
    p = np.exp(np.array(by_frame)).reshape(4, 4, 4, 3)
    allowed = [frames[:, unit] == 1, np.ones(4, bool), frames[:, unit] == 0]
    expected = np.ones((4, 4, 4))
    for t in range(3):
        here = p[..., t] * allowed[t].reshape([-1 if axis == t else 1 for axis in range(3)])
        expected *= here / here.sum(axis=t, keepdims=True)
    assert expected.sum() == pytest.approx(1.0, abs=1e-4)
    n = 10_000
    v = generate(model, 3, n_samples=n, k=30, seed=3, clamp=clamp).astype(int)
    given = ~np.isnan(clamp)
    assert (v[:, given] == clamp[given]).all()
    code = {tuple(frame): i for i, frame in enumerate(frames.tolist())}
    index = np.array([[code[tuple(f)] for f in piece] for piece in v.tolist()])
    counts = np.bincount(index @ [16, 4, 1], minlength=64)
    probable = expected.ravel() > 5e-4
    assert counts[expected.ravel() < 1e-9].sum() == 0
    chi = stats.chisquare(
        counts[probable], expected.ravel()[probable] / expected.ravel()[probable].sum() * counts[probable].sum()
    )
    assert chi.pvalue > ALPHA
    if unit == 0:  # one sample is another program
        one = generate(model, 3, k=30, seed=3, clamp=clamp)[0]
        assert (one[given] == clamp[given]).all()


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_numba_agrees_with_jax(variant):
    """Trained, scored and sampled on both engines: the same samples, the rest but for rounding."""
    rng = np.random.default_rng(5)
    results = []
    pieces = None
    for mode in ("JAX", "NUMBA"):
        model = make(variant, seed=7)
        pieces = pieces or [frames_of(model)[rng.integers(len(frames_of(model)), size=n)] for n in (5, 9, 3, 7)]
        settings = {"epochs": 3, "row_length": 6, "batch_size": 2, "context": 2, "k": 1, "learning_rate": 0.1}
        rows = list(fit(model, pieces, mode=mode, optimiser="sgd", **settings))  # Adam divides by what is rounded
        scored = log_likelihood(model, pieces, n_chains=3, n_temperatures=5, mode=mode)
        drawn = generate(model, 4, n_samples=3, k=2, seed=1, mode=mode)
        figures = [row["loss"] for row in rows] + [scored.mean, scored.standard_error]
        results.append((drawn, np.array(figures), {t.name: engine.to_numpy(t) for t in model.params}))
    (drawn, figures, trained), (other_drawn, other_figures, other_trained) = results
    np.testing.assert_array_equal(other_drawn, drawn)
    np.testing.assert_allclose(other_figures, figures, rtol=0, atol=5e-5)
    for name, value in trained.items():
        np.testing.assert_allclose(other_trained[name], value, rtol=0, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_is_trained_and_every_start_is_a_new_piece(variant):
    model = make(variant)
    T, B = 5, 2
    rng = np.random.default_rng(1)
    x = frames_of(model)[rng.integers(len(frames_of(model)), size=(T, B))].astype(np.float32)
    v = pt.tensor("v", dtype="float32", shape=x.shape)
    start = pt.tensor("start", dtype="bool", shape=(T, B))
    mask = pt.tensor("mask", dtype="float32", shape=(T, B))
    loss = model.loss(v, mask, start, rng=random.shared(1), negative_phase=NegativePhase(2))
    f = engine.function(
        [v, mask, start],
        [loss.cost, *pt.grad(loss.cost, model.params)],
        loss.updates,
        on_unused_input="ignore",
    )
    starts = np.zeros((T, B), bool)
    starts[0] = starts[3] = True
    for counts in (np.ones((T, B), np.float32), np.tile(np.arange(T)[:, None] < 4, (1, B)).astype(np.float32)):
        cost, *grads = (engine.to_numpy(y) for y in f(x, counts, starts))
        assert np.isfinite(cost)
        for t, g in zip(model.params, grads, strict=True):
            assert np.isfinite(g).all()
            assert np.abs(g).max() > 1e-6, t.name
    if model.normalized and "any order" not in variant:
        pieces = [x[:3, b] for b in range(B)] + [x[3:4, b] for b in range(B)]
        expected = -log_likelihood(model, pieces).mean
        assert cost == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "variant",
    [  # models that have more in common than not are trained once
        pytest.param(v, marks=pytest.mark.slow if v not in {"rtrbm", "rnn-nade", "rbm"} else ()) for v in VARIANTS
    ],
)
def test_it_learns_and_predicts(variant):
    pattern = np.eye(6, dtype=np.uint8)[np.arange(40) % 6]
    train = [pattern[i : i + 25] for i in range(8)]
    settings = {
        "epochs": 24,
        "batch_size": 2,
        "row_length": 32,
        "context": 0,
        "transpose_range": (0, 0),
        "learning_rate": 0.03,
    }
    settings |= {"k": 1, "valid_every": 12, "valid_n_chains": 4, "valid_n_temperatures": 20, "state_dropout": 0.1}

    sizes = {key: 12 for key in ("n_hidden", "n_recurrent") if key in options_of(variant.split(" ")[0])}
    whole = a_model(variant, 6, **sizes)
    rows = list(fit(whole, train, train[:2], **settings))
    assert rows[-1]["valid_ll"] > -6 * math.log(2) + 1
    if not isinstance(whole.network, Memoryless) and variant != "rtrbm":  # which takes longer
        assert rows[-1]["valid_ll"] > -math.log(6) - 0.5  # better than the best without a past
    assert math.isnan(rows[0]["k"]) == math.isnan(rows[0]["pseudo_likelihood"]) == whole.normalized
    sampled = next(predict(whole, train[:2], k=2))
    assert [x.shape for x in sampled] == [(25, 6), (25, 6)]
    primed = Sampler(whole, 4, k=2)(1, prime=train[0])
    np.testing.assert_array_equal(primed, Sampler(whole, 4, k=2)(1, prime=train[0]))
    assert primed.shape == (1, 4, 6)


def test_rtrbm_is_an_rnn_rbm_whose_weights_are_tied():
    """Its gradient is that of the RNN-RBM, added up over what is tied."""
    model = rtrbm(4, 3, seed=0)
    rng = np.random.default_rng(5)
    for t in model.params:
        t.set_value((0.8 * rng.normal(size=t.type.shape)).astype(np.float32))
    p = {t.name: engine.to_numpy(t).astype(np.float64) for t in model.params}
    assert {name: x.shape for name, x in p.items()} == {
        "W": (4, 3),
        "b_v": (4,),
        "b_h": (3,),
        "W_uv": (3, 4),
        "W_uh": (3, 3),
        "u_0": (3,),
    }
    T, B = 5, 3
    x = (rng.random((T, B, 4)) < 0.5).astype(np.float32)
    v = pt.tensor("v", dtype="float32", shape=x.shape)
    loss = model.loss(v, rng=random.shared(6), negative_phase=NegativePhase(2))
    cost, *grads = (engine.to_numpy(y) for y in engine.function([v], [loss.cost, *pt.grad(loss.cost, model.params)])(x))
    free: Params = p | {"W_vu": p["W"], "W_uu": p["W_uh"], "b_u": p["b_h"]}
    step = oracles.training_step("sigmoid", free, x.astype(np.float64), oracles.Stream(key_from_seed(6)), 2)
    assert cost == pytest.approx(step.cost, abs=3e-6)
    tied = {"W": "W_vu", "W_uh": "W_uu", "b_h": "b_u"}
    for t, g in zip(model.params, grads, strict=True):
        expected = step.grads[t.name] + (step.grads[tied[t.name]] if t.name in tied else 0.0)
        np.testing.assert_allclose(g, expected, atol=3e-6, err_msg=t.name)
    copies = [pt.tensor(t.name, dtype=t.dtype, shape=t.type.shape) for t in model.params]
    again = model.with_params(copies)
    assert [t.name for t in again.params] == [t.name for t in model.params]  # still tied


# --- units ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "values"), [(Gaussian(0.7), "real"), (ReLU(), "positive"), (Softmax(3), "one of 3")])
def test_independent_units_of_other_kinds(unit, values):
    n = 6
    rng = np.random.default_rng(0)
    density = Independent.init(n, visible=unit, b_v=rng.normal(size=n))
    assert isinstance(density, NormalizedDensity)
    assert not isinstance(density, EnergyDensity)
    v, _ = density.sample(pt.zeros((50_000, n), "float32"), random.shared(2))
    # the expectation of d log p / d b_v is zero under the density itself
    score = pt.grad(density.log_prob(v).mean(), density.b_v, consider_constant=[v])
    rows, gradient = (engine.to_numpy(x) for x in engine.function([], [v, score])())
    assert np.abs(gradient).max() < 0.03
    if values == "one of 3":
        assert (rows.reshape(-1, 2, 3).sum(axis=2) == 1).all()
        p = np.exp(engine.to_numpy(density.b_v)).reshape(2, 3)
        np.testing.assert_allclose(rows.mean(axis=0), (p / p.sum(axis=1, keepdims=True)).ravel(), atol=0.01)
    grid = np.linspace(0 if values == "positive" else -9, 9, 4001).astype(np.float32)
    if values != "one of 3":  # one unit integrates to one
        one = Independent.init(1, visible=unit, b_v=0.4)
        p = np.exp(engine.to_numpy(engine.function([], one.log_prob(pt.as_tensor(grid[:, None])))()))
        assert np.trapezoid(p, grid) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("name", ["rnn-rbm", "rnn"])
def test_real_valued_frames_can_be_trained(name):
    rng = np.random.default_rng(0)
    pieces = [np.sin(np.arange(60)[:, None] * 0.5 + np.arange(4)) + 0.1 * rng.normal(size=(60, 4)) for _ in range(6)]
    pieces = [piece.astype(np.float32) for piece in pieces]
    model = build(name, 4, seed=rng, visible="gaussian", n_recurrent=16)
    rows = list(
        fit(model, pieces, None, epochs=50, k=1, transpose_range=(0, 0), row_length=64, batch_size=3, state_dropout=0.0)
    )
    assert math.isnan(rows[-1]["pseudo_likelihood"])
    if name == "rnn":
        assert rows[-1]["loss"] < rows[0]["loss"] - 0.5


def test_a_text_is_learnt_by_characters():
    text = "the cat sat on the mat. " * 40
    letters = sorted(set(text))
    roll = np.eye(len(letters), dtype=np.uint8)[[letters.index(c) for c in text]]
    model = rnn(len(letters), 32, seed=0, visible=Softmax(len(letters)))
    list(
        fit(
            model,
            [roll],
            None,
            epochs=40,
            transpose_range=(0, 0),
            row_length=64,
            context=8,
            batch_size=4,
            state_dropout=0.0,
        )
    )
    assert log_likelihood(model, [roll]).mean > -0.5
    sample = generate(model, 60, seed=1)[0]
    assert (sample.sum(axis=1) == 1).all()
    written = "".join(letters[i] for i in sample.argmax(axis=1))
    assert "the " in written
    roll[3] = 0
    roll[3, :2] = 1
    with pytest.raises(ValueError, match=r"train piece 0 has 2 units on in frame 3; expected one of each"):
        list(fit(model, [roll], None, epochs=1, transpose_range=(0, 0)))


# --- models of single frames --------------------------------------------------------------------------

STATIC: dict[str, dict[str, Any]] = {
    "boltzmann": {"n_hidden": 3, "signed": True},
    "hopfield": {"unlearning": 0.2},
    "autoencoder": {"n_hidden": 3},
    "dbn": {"layers": (3, 2)},
    "dbm": {"layers": (3, 2), "n_chains": 8, "n_mean_field": 3},
    "multimodal-dbm": {
        "layers": (3, 3, 2),
        "n_chains": 8,
        "n_mean_field": 3,
        "visible": Joint(((5, Bernoulli()), (4, Bernoulli()))),
    },
    "vae": {"n_hidden": 4, "n_latent": 3},
}


@pytest.mark.filterwarnings("ignore:there are 30 patterns")
@pytest.mark.parametrize("name", STATIC_MODELS)
def test_models_of_single_frames_resume_and_come_back(tmp_path, name):
    frames = (np.random.default_rng(1).random((30, 9)) < 0.4).astype(np.uint8)
    settings = {"epochs": 2, "batch_size": 8, "seed": 3}
    whole, state = build(name, 9, seed=0, **STATIC[name]), State()
    assert isinstance(whole, StaticModel)
    assert not isinstance(whole, SequenceModel)
    rows = list(fit(whole, frames, frames, state=state, **settings))

    part, stopped, done = build(name, 9, seed=0, **STATIC[name]), State(), []
    list(fit(part, frames, frames, state=stopped, stop=lambda: bool(done.append(0)) or len(done) == 6, **settings))
    assert (stopped.epoch, stopped.batch) == (1, 2)
    stopped.save(tmp_path / "state.npz")
    again, loaded = build(name, 9, seed=5, **STATIC[name]), State.load(tmp_path / "state.npz")[0]
    list(fit(again, frames, frames, state=loaded, **settings))
    for mine, theirs in zip(whole.params, again.params, strict=True):
        np.testing.assert_array_equal(engine.to_numpy(mine), engine.to_numpy(theirs))
        assert engine.to_numpy(mine).any()
    assert [row["valid_score"] for row in loaded.rows[1:]] == [rows[1]["valid_score"]]

    whole.save(tmp_path / "model.npz")
    back = load_model(tmp_path / "model.npz")
    assert type(back) is type(whole)
    assert back.score([frames]) == whole.score([frames]) == whole.score([frames[:4], frames[4:]])
    for results in (
        [m.sample(6, k=3, seed=2) for m in (whole, back)],
        [m.reconstruct(frames, seed=2) for m in (whole, back)],
    ):
        np.testing.assert_array_equal(*results)
    assert results[0].shape == frames.shape
    assert isinstance(whole.score_name, str)
    assert whole.filters() is None if name == "hopfield" else whole.filters().shape == (9, 3)


def test_every_option_is_a_setting():
    options = {option for name in MODELS for option in options_of(name)}
    assert options == set(Model.model_fields) - {"name", "init"}
    assert {**SEQUENCE_MODELS, **STATIC_MODELS} == MODELS
    assert len(MODELS) == len(SEQUENCE_MODELS) + len(STATIC_MODELS)
    assert build("autoencoder", 4, seed=0, visible="gaussian:0.5").visible == Gaussian(0.5)
    assert build("boltzmann", 4, n_hidden=0, seed=0).n_units == 4


@pytest.mark.parametrize(
    ("name", "options", "n_weights"),
    [
        ("boltzmann", {"n_hidden": 10}, 30**2),
        ("hopfield", {}, 20**2),
        ("dbn", {"layers": (10, 30)}, 20 * 10 + 10 * 30),
    ],
)
def test_weights_that_take_too_much_memory_are_refused(monkeypatch, name, options, n_weights):
    monkeypatch.setattr(memory, "available", lambda: 8 * n_weights - 1)
    with pytest.raises(MemoryError, match=f"{name} with n_visible=20"):
        build(name, 20, seed=0, **options)
    monkeypatch.setattr(memory, "available", lambda: 8 * (n_weights + 20))
    build(name, 20, seed=0, **options)


# --- what is refused --------------------------------------------------------------------------------


def test_what_cannot_be_built_is_said():
    rng = np.random.default_rng(0)
    for name, options, message in (
        ("rnnrbm", {}, "'rnnrbm' is not one of rnn-rbm, rtrbm"),
        ("nade", {"cell": "gru"}, "cell cannot be chosen for nade, which has n_hidden, orderless"),
        ("rnn", {"n_hidden": 3, "window": 3}, "n_hidden, window cannot be chosen for rnn"),
        ("nade", {"visible": "softmax"}, "nade has binary visible units"),
        ("rnn", {"visible": "poisson"}, "'poisson' is not one of binary, softmax, gaussian"),
        ("hopfield", {"n_hidden": 3}, "n_hidden cannot be chosen for hopfield, which has n_sweeps, unlearning"),
        ("boltzmann", {"visible": "gaussian"}, "boltzmann has binary visible units"),
        ("boltzmann", {"negative": False}, "negative cannot be chosen for boltzmann"),
    ):
        with pytest.raises(ValueError, match=message):
            build(name, 4, seed=rng, **options)
    with pytest.raises(ValueError, match="rtrbm has binary hidden units"):
        build("rtrbm", 4, seed=rng, hidden="gaussian")
    with pytest.raises(ValueError, match="ais estimates log Z, and a NADE has none; use exact"):
        log_likelihood(make("rnn-nade"), [np.zeros((2, 3))], method="ais")


@pytest.mark.parametrize("name", ["rbm", "rnn-rbm", "tied-rnn-rbm"])
@pytest.mark.parametrize("count", [1, 3])
def test_each_sequence_draws_its_own_known_frames(name, count):
    model = build(name, 6, seed=0, n_hidden=2)
    known = np.eye(6, dtype=np.uint8)
    v = generate(model, 40, n_samples=count, k=1, seed=1, init_states=known, clamp=np.full((40, 6), np.nan))
    assert v.shape == (count, 40, 6)
    assert len({sequence.tobytes() for sequence in v}) == count


def test_known_frames_are_frames():
    model = build("rnn-rbm", 6, seed=0, n_hidden=2, n_recurrent=2)
    with pytest.raises(ValueError, match=r"init_states must be frames, an array \(S, 6\), .*; got 5000"):
        generate(model, 4, init_states=5000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": None}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"n_hidden": "10"}, "n_hidden must be a whole number, got '10'"),
        ({"n_layers": 1.5}, r"n_layers must be a whole number, got 1\.5"),
        ({"n_pitch_conv": True}, "n_pitch_conv must be a whole number, got True"),
        ({"n_visible": 6.0}, r"n_visible must be a whole number, got 6\.0"),
    ],
)
def test_sizes_are_whole_numbers(options, message):
    with pytest.raises(TypeError, match=message):
        build("rnn-nade", **{"n_visible": 6, "seed": 0} | options)
    assert build("nade", np.int64(6), seed=0).n_visible == 6


def test_what_a_density_lacks_is_named():
    class Half(NamedTuple):
        b_v: Any
        biases = ("b_v",)
        visible = Bernoulli()

        def tensors(self):
            return [self.b_v]

        def with_tensors(self, tensors):
            return type(self)(*tensors)

        def free_energy(self, v):
            return -(v * self.b_v).sum(axis=-1, acc_dtype="float32")

        def gibbs_step(self, v, rng):
            return Bernoulli().sample(self.b_v + 0.0 * v, rng)

    class Energy(Half):
        def pseudo_log_likelihood(self, v, rng):
            return -self.free_energy(v) - pt.softplus(self.b_v).sum(axis=-1, acc_dtype="float32"), rng

    rng = np.random.default_rng(0)
    network = init_stack("tanh", 4, 3, seed=rng)
    with pytest.raises(
        TypeError, match=r"Half is not a frame density\. Missing for any density: nothing; .*for an energy: pseudo_log"
    ):
        SequenceModel.init(network, Half(engine.shared(np.zeros(4), "b_v")), seed=rng)
    model = SequenceModel.init(network, Energy(engine.shared(np.zeros(4), "b_v")), seed=rng)
    pieces = [np.eye(4, dtype=np.uint8)]
    with pytest.raises(TypeError, match="got Energy; other energies can be trained, without valid pieces"):
        next(fit(model, pieces, pieces, epochs=1))
    rows = list(fit(model, pieces, epochs=2, row_length=4, context=0, batch_size=1, k=1))
    assert len(rows) == 2
    assert generate(model, 3).shape == (1, 3, 4)


def test_a_network_for_every_note_needs_a_density_with_parts():
    network = init_tied(6, 3, n_layers=1, seed=0)
    with pytest.raises(ValueError, match="b_h has 8 units, which 6 parts of the network's output cannot share equally"):
        SequenceModel.init(network, RBM.init(6, 8, seed=0), seed=0)


def test_segments_are_cut_where_the_clock_is_at_zero(monkeypatch):
    """Also of a clock inside another network."""
    asked = []
    monkeypatch.setattr(
        training_fit, "PackedDataset", lambda *a, **k: asked.append(k["align"]) or pytest.skip.Exception
    )
    for options in ({"frames_per_bar": 3}, {"frames_per_bar": 3, "n_pitch_conv": 2}, {}):
        model = build("rnn-nade", 6, seed=0, n_hidden=2, n_recurrent=2, **options)
        with pytest.raises(AttributeError):
            next(fit(model, [np.eye(6, dtype=np.uint8)], epochs=1))
    assert asked == [3, 3, 1]
