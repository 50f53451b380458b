"""Sampling: against NumPy with the same uniforms, by seed, from a primer."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import oracles
import pytest
import scipy.sparse
from oracles import Params

import rnnrbm
from rnnrbm import sampling
from rnnrbm.backend import engine, sharding
from rnnrbm.backend.random import key_from_seed
from rnnrbm.densities import Independent
from rnnrbm.rbm import RBM
from rnnrbm.rnnrbm import rnn_rbm
from rnnrbm.sampling import Sampler, expect_blocks, generate, predict, reconstruct
from rnnrbm.sequence import SequenceModel, as_sequence_model
from rnnrbm.state_encoder import StateEncoder
from rnnrbm.units import Bernoulli, Gaussian, Softmax

pytestmark = pytest.mark.gpu

N_VISIBLE, N_HIDDEN, N_RECURRENT, STEPS, K = 5, 4, 3, 6, 2
PRIME = np.array([[1, 0, 0, 1, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 1]], np.uint8)


@cache
def make(kind: str = "gru") -> tuple[SequenceModel, Sampler, Params]:
    rng = np.random.default_rng(3)
    model = rnn_rbm(N_VISIBLE, N_HIDDEN, N_RECURRENT, seed=rng, cell=kind)
    for t in model.params:
        t.set_value(rng.normal(size=t.type.shape).astype(np.float32))
    sampler = Sampler(model, STEPS, k=K)
    return model, sampler, {t.name: engine.to_numpy(t).astype(np.float64) for t in model.params}


def reference(kind: str, p: Params, count: int, seed: int, prime: np.ndarray | None = None) -> np.ndarray:
    """Frame after frame: a Gibbs chain from the frame before, then one step of the cell."""
    stream = oracles.Stream(key_from_seed(seed))
    u, v = np.tile(p["u_0"], (count, 1)), np.zeros((count, p["b_v"].size))
    for frame in [] if prime is None else prime.astype(float):
        v = np.tile(frame, (count, 1))
        u = oracles.cell_step(kind, p, v, u)
    out = []
    for _ in range(STEPS):
        v = oracles.gibbs(p["W"], p["b_v"] + u @ p["W_uv"], p["b_h"] + u @ p["W_uh"], v, stream, K)
        u = oracles.cell_step(kind, p, v, u)
        out.append(v)
    return np.stack(out, axis=1)


@pytest.mark.parametrize("kind", ["tanh", "gru"])
@pytest.mark.parametrize("prime", [None, PRIME], ids=["free", "primed"])
def test_samples_are_those_of_numpy(kind, prime):
    _, sampler, p = make(kind)
    samples = sampler(40, seed=11, prime=prime)
    assert samples.shape == (40, STEPS, N_VISIBLE)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, reference(kind, p, 40, 11, prime))


def test_few_pieces_are_sampled_on_the_processor_where_a_gpu_is_the_device(monkeypatch):
    """The cores stand in for it: what is chosen are the cores, and the samples are the same."""
    _, sampler, _ = make()
    notes = []

    def note(stage, done, total, row):
        if stage == "note":
            notes.append(row["text"])

    expected = [sampler(n, seed=11, progress=note) for n in (1, 3)]
    assert notes == []
    monkeypatch.setattr(sharding, "has_gpu", lambda mode=None: True)
    for n, samples in zip((1, 3), expected, strict=True):
        np.testing.assert_array_equal(sampler(n, seed=11, progress=note), samples)
    assert len(notes) == 2
    assert "sampled on the processor" in notes[0]
    monkeypatch.setattr(sampling, "FEW_PRODUCTS", 2 * N_VISIBLE * N_HIDDEN)
    sampler(3, seed=11, progress=note)  # more than a few
    assert len(notes) == 2
    monkeypatch.setattr(sharding, "cores", list)  # JAX was told to use none
    np.testing.assert_array_equal(sampler(1, seed=11, progress=note), expected[0])
    assert len(notes) == 2


def test_seeds():
    _, sampler, _ = make()
    a, b, c = sampler(20, seed=1), sampler(20, seed=1), sampler(20, seed=2)
    np.testing.assert_array_equal(a, b)
    assert (a != c).any(axis=(1, 2)).mean() > 0.9
    assert len({x.tobytes() for x in a}) > 15  # the sequences of one call differ from each other
    np.testing.assert_array_equal(sampler(20), sampler(20, seed=0))


def test_the_first_sequences_do_not_depend_on_how_many_are_asked_for():
    _, sampler, _ = make()
    many = sampler(7, seed=4)
    for count in (1, 2, 5):
        np.testing.assert_array_equal(sampler(count, seed=4), many[:count])


def test_a_primer_has_an_effect():
    _, sampler, _ = make()
    free, primed = sampler(200, seed=5), sampler(200, seed=5, prime=PRIME)
    assert (free != primed).any(axis=(1, 2)).mean() > 0.2
    # all of it does, not only its last frame
    assert (sampler(200, seed=5, prime=PRIME[1:]) != primed).any()
    assert (sampler(200, seed=5, prime=PRIME[::-1]) != primed).any()


def test_a_primer_of_any_type_and_length():
    _, sampler, p = make()
    expected = sampler(3, seed=6, prime=PRIME)
    for dtype in (bool, np.int64, np.float64):
        np.testing.assert_array_equal(sampler(3, seed=6, prime=PRIME.astype(dtype)), expected)
    for prime in (PRIME[:1], np.tile(PRIME, (30, 1))):
        np.testing.assert_array_equal(sampler(5, seed=6, prime=prime), reference("gru", p, 5, 6, prime))


def test_the_sampler_follows_its_model():
    model, sampler, _ = make()
    before = engine.to_numpy(model.density.b_v)
    try:
        model.density.b_v.set_value(np.full(N_VISIBLE, -40, np.float32))
        assert not sampler(5).any()
    finally:
        model.density.b_v.set_value(before)
    assert sampler(5).any()


def test_generate_is_a_sampler_called_once():
    model, sampler, _ = make()
    for options in ({"n_samples": 3, "seed": 8}, {"n_samples": 2, "seed": 9, "prime": PRIME}):
        np.testing.assert_array_equal(generate(model, STEPS, k=K, **options), sampler(**options))
    assert generate(model, 1).shape == (1, 1, N_VISIBLE)


def test_errors():
    model, sampler, _ = make()
    for wrong in (0, 2.5, float("nan")):
        with pytest.raises(ValueError, match=f"n_frames={wrong}: expected a whole number, at least 1"):
            Sampler(model, wrong)
        with pytest.raises(ValueError, match=f"k={wrong}: expected a whole number, 1 to 2147483647"):
            Sampler(model, 3, k=wrong)
        with pytest.raises(ValueError, match=f"n_samples={wrong}: expected a whole number, at least 1"):
            sampler(wrong)
    with pytest.raises(TypeError, match="n_frames='3'"):
        generate(model, "3")
    assert generate(model, 2.0, n_samples=np.int64(3), k=1.0).shape == (3, 2, N_VISIBLE)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        sampler(seed=-1)
    for prime, shape in ((PRIME[:, :4], r"\(3, 4\)"), (PRIME[:0], r"\(0, 5\)"), (PRIME[0], r"\(5,\)")):
        with pytest.raises(ValueError, match=rf"prime 0 has shape {shape}, expected \(T, 5\) with T of 1 or more"):
            sampler(prime=prime)


def clamps(**values: float) -> np.ndarray:
    clamp = np.full((2, 4), np.nan)
    for place, value in values.items():
        clamp[int(place[1]), int(place[3])] = value
    return clamp


@pytest.mark.parametrize(
    ("options", "clamp", "message"),
    [
        ({}, clamps()[:1], r"clamp has shape \(1, 4\), expected \(2, 4\)"),
        ({}, clamps(t0i1=0.5), r"clamp 0 .*0\.5"),
        ({"visible": Softmax(2)}, clamps(t0i0=1), "all units of a softmax group or none"),
        ({"visible": Softmax(2)}, clamps(t0i0=1, t0i1=1), "3 units on in frame 0; expected one of each 2"),
    ],
)
def test_what_cannot_be_clamped(options, clamp, message):
    model = rnn_rbm(4, 3, 2, seed=0, **options)
    with pytest.raises(ValueError, match=message):
        generate(model, 2, clamp=clamp)


def test_softmax_groups_and_real_units_can_be_clamped():
    model = rnn_rbm(4, 3, 2, seed=0, visible=Softmax(2))
    v = generate(model, 2, n_samples=20, clamp=clamps(t0i0=0, t0i1=1))
    assert (v[:, 0, :2] == [0, 1]).all()
    assert (v.reshape(20, 2, 2, 2).sum(axis=3) == 1).all()
    assert v[:, 1, :2].mean(axis=0).min() > 0  # free there
    model = rnn_rbm(4, 3, 2, seed=0, visible=Gaussian())
    v = generate(model, 2, n_samples=20, clamp=clamps(t1i2=-3.25))
    assert (v[:, 1, 2] == -3.25).all()
    assert v[:, 0, 2].std() > 0


def test_arrays_in_any_form_are_sampled_from():
    """Lists and sparse matrices are what the array of the same values is."""
    frames = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    clamp = np.full((4, 3), np.nan)
    clamp[1, 2] = 1.0
    model = rnn_rbm(3, n_hidden=4, n_recurrent=2, seed=0)

    def sampled(prime, states, fixed):
        return generate(model, 4, n_samples=2, k=2, seed=5, prime=prime, init_states=states, clamp=fixed)

    expected = sampled(frames, frames, clamp)
    for form in (np.ndarray.tolist, scipy.sparse.csr_matrix, lambda x: x.astype(bool)):
        np.testing.assert_array_equal(sampled(form(frames), form(frames), clamp.tolist()), expected)


@pytest.mark.parametrize("n_samples", [1, 2])
@pytest.mark.parametrize("clamped", [False, True])
def test_sequences_longer_than_a_block_are_those_of_one_program(monkeypatch, n_samples, clamped):
    """The next block continues from states, last frame and random numbers of the one before."""
    model = rnn_rbm(3, n_hidden=4, n_recurrent=2, seed=0)
    prime = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    clamp = None
    if clamped:
        clamp = np.full((11, 3), np.nan)
        clamp[[2, 5, 10], 1] = 1.0
    reports = []

    def sampled():
        return generate(
            model,
            11,
            n_samples=n_samples,
            k=2,
            seed=5,
            prime=prime,
            clamp=clamp,
            progress=lambda stage, done, total, row: reports.append((stage, done, total)),
        )

    whole = sampled()
    assert reports == [("sample", 0, 11), ("sample", 11, 11)]
    reports.clear()
    monkeypatch.setattr(sampling, "BLOCK", 4)
    np.testing.assert_array_equal(sampled(), whole)
    assert reports == [("sample", done, 11) for done in (0, 4, 8, 11)]
    assert len(np.unique(whole[0], axis=0)) > 1


def test_more_gibbs_steps_than_can_be_counted_are_refused():
    model = rnn_rbm(3, n_hidden=4, n_recurrent=2, seed=0)
    with pytest.raises(ValueError, match=r"^k=1000000000000: expected a whole number, 1 to 2147483647$"):
        generate(model, 1, k=10**12)


def test_threads_may_share_a_sampler():
    _, sampler, _ = make()
    expected = [sampler(2, seed=i) for i in range(12)]
    with ThreadPoolExecutor(6) as pool:
        for a, b in zip(expected, pool.map(lambda i: sampler(2, seed=i), range(12)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_predict_checks_its_arguments():
    model, _, _ = make()
    for wrong, message in (
        ({"k": 1.5}, "k=1.5: expected a whole"),
        ({"n_samples": 0}, "n_samples=0: expected a whole"),
    ):
        with pytest.raises(ValueError, match=message):
            next(predict(model, [PRIME], **wrong))
    with pytest.raises(TypeError, match="expected a SequenceModel, got str"):
        next(predict("x", [PRIME]))


def gaussian():
    """A model of real numbers with a past."""
    model = rnnrbm.build("rnn-rbm", 3, visible="gaussian:0.8", n_hidden=4, n_recurrent=2, seed=1)
    rng = np.random.default_rng(3)
    for p in model.params:
        p.set_value(p.get_value() + 0.3 * rng.normal(size=p.get_value().shape).astype(p.dtype))
    return model


def test_an_expected_frame_is_the_mean_of_the_density_given_the_past(monkeypatch):
    """Against the sum over all hidden states, whose mean and probability are known; block by block."""
    model = gaussian()
    rng = np.random.default_rng(0)
    pieces = [rng.normal(size=(3, 3)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32)]
    monkeypatch.setattr(sampling, "_AT_ONCE", 2)
    true, blocks = zip(*expect_blocks(model, pieces, n_samples=1000, k=20, seed=5), strict=True)
    assert [len(block) for block in true] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(true), np.concatenate(pieces))
    W, b_v, b_h = (p.get_value().astype(float) for p in model.density.tensors())
    W_uv, W_uh = (p.get_value().astype(float) for p in model.bias_weights)
    hidden = np.array(list(itertools.product((0.0, 1.0), repeat=4)))
    states = np.concatenate([states for _, states in StateEncoder(model).blocks(pieces, 8)])
    for expected, u in zip(np.concatenate(blocks), states, strict=True):
        means = b_v + u @ W_uv + hidden @ W.T
        log_p = hidden @ (b_h + u @ W_uh) + 0.5 * np.square(means).sum(axis=1) / 0.64
        p = np.exp(log_p - log_p.max())
        np.testing.assert_allclose(expected, (p / p.sum()) @ means, atol=0.1)


def test_expected_frames_of_independent_columns_are_exact():
    model = rnnrbm.build("rnn", 2, visible="gaussian:0.5", n_recurrent=2, seed=0)
    pieces = [np.ones((4, 2), np.float32)]
    ((_, once),) = expect_blocks(model, pieces, seed=0)
    ((_, again),) = expect_blocks(model, pieces, seed=1)
    np.testing.assert_array_equal(once, again)


def test_chains_of_real_numbers_start_from_noise():
    """After one Gibbs step of a density of two far modes, chains know where they started."""
    W, modes = np.array([[8.0], [8.0]], np.float32), np.array([[8.0, 8.0]], np.float32)
    rbm = RBM.init(2, 1, seed=0, visible=Gaussian(0.5))
    rbm.W.set_value(W)
    rbm.b_h.set_value(np.array([-64.0 / 0.25], np.float32))  # both modes are equally probable
    model = as_sequence_model(rbm)
    far = [np.repeat(modes, 200, axis=0)]

    def share(**how):
        return float((next(predict(model, far, k=1, seed=0, **how))[0][1:, 0] > 4).mean())

    assert share(start="previous") == 1.0
    assert share() == share(start="noise") == 0.0
    assert generate(model, 50, k=1, seed=0).max() < 4
    with pytest.raises(ValueError, match="start='x': expected 'previous', 'noise', 'annealed' or None"):
        generate(model, 3, start="x")
    with pytest.raises(ValueError, match="start='noise' and init_states"):
        generate(model, 3, start="noise", init_states=modes)


def test_a_class_is_no_model():
    with pytest.raises(TypeError, match="expected a model, got the class RBM; make one"):
        generate(RBM, 3)


@pytest.mark.parametrize("count", [1, 40])
def test_samples_at_a_temperature_are_those_of_numpy(count):
    """Every parameter of the RBM at every frame divided by the temperature; the network reads as before."""
    model, _, p = make("gru")
    warm = Sampler(model, STEPS, k=K, temperature=0.5)
    scaled = p | {name: 2 * p[name] for name in ("W", "b_v", "b_h", "W_uv", "W_uh")}
    np.testing.assert_array_equal(warm(count, seed=5), reference("gru", scaled, count, 5))


@pytest.mark.parametrize(
    ("temperature", "error"), [(0, ValueError), (-1.0, ValueError), (np.nan, ValueError), ("hot", TypeError)]
)
def test_impossible_temperatures_are_refused(temperature, error):
    with pytest.raises(error, match="temperature"):
        Sampler(make("gru")[0], 2, temperature=temperature)


def test_a_density_without_a_temperature_says_so():
    class Plain(NamedTuple):
        b_v: Any
        visible: Any = Bernoulli()
        biases = ("b_v",)

        def tensors(self):
            return [self.b_v]

        def with_tensors(self, tensors):
            return Plain(*tensors)

        def log_prob(self, v, max_active=None):
            return Independent(self.b_v).log_prob(v)

        def surrogate(self, v, rng, max_active=None):
            return -self.log_prob(v), rng

        def sample(self, like, rng, clamp=None):
            return Independent(self.b_v).sample(like, rng, clamp)

    density = Plain(engine.shared(np.zeros(3), "b_v"))
    assert generate(density, 4).shape == (1, 4, 3)
    with pytest.raises(TypeError, match=r"Plain has no at_temperature\(temperature\)"):
        generate(density, 4, temperature=2.0)


def test_an_rbm_is_sampled_by_annealing_and_reconstructs_what_it_sees() -> None:
    rng = np.random.default_rng(3)
    W = rng.choice([-40.0, 40.0], size=(6, 3))  # hidden units are certain
    rbm = RBM.init(6, 3, seed=0)
    rbm.W.set_value(W.astype(np.float32))
    rbm.b_h.set_value(np.array([10.0, -10.0, 5.0], np.float32))
    b_v = rng.normal(size=6)
    rbm.b_v.set_value(b_v.astype(np.float32))
    frames = rng.integers(0, 2, (7, 6))
    h = (frames @ W + [10, -10, 5] > 0).astype(float)
    np.testing.assert_allclose(reconstruct(rbm, frames), 1 / (1 + np.exp(-(h @ W.T + b_v))), atol=1e-4)
    nade = rnnrbm.build("nade", 6, n_hidden=2, seed=0)
    assert reconstruct(nade, frames) is None
    drawn = generate(rbm, 2, n_samples=5, k=30, start="annealed", seed=4)
    assert drawn.shape == (5, 2, 6)
    assert set(np.unique(drawn)) <= {0.0, 1.0}
    np.testing.assert_array_equal(drawn, generate(rbm, 2, n_samples=5, k=30, start="annealed", seed=4))
    with pytest.raises(ValueError, match="start='annealed' and init_states"):
        generate(rbm, 2, start="annealed", init_states=frames)
    with pytest.raises(ValueError, match="needs an RBM of binary or softmax units"):
        generate(RBM.init(4, 2, seed=0, visible=Gaussian()), 2, start="annealed")
