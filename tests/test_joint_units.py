"""Layers of several unit types, against enumeration and quadrature of all states."""

import itertools
import re
from typing import NamedTuple

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from oracles import UnitRef
from scipy import stats
from scipy.special import expit, logsumexp, softmax

import rnnrbm
from rnnrbm import model_file
from rnnrbm.backend import engine, random
from rnnrbm.densities import Independent
from rnnrbm.joint_units import Joint, unit_index
from rnnrbm.models.autoencoder import Autoencoder
from rnnrbm.rbm import RBM, gibbs
from rnnrbm.rnnrbm import rnn_rbm
from rnnrbm.samplers import draw_frame, tempered
from rnnrbm.sampling import generate
from rnnrbm.scoring.partition import ais_log_weights, annealing_schedule, base_activation, exact_log_Z
from rnnrbm.units import Bernoulli, Gaussian, LearnedGaussian, ReLU, Softmax

pytestmark = pytest.mark.gpu

DISCRETE = Joint(((3, Bernoulli()), (3, Softmax(3))))
MIXED = Joint(((2, Bernoulli()), (3, Softmax(3)), (1, Gaussian(0.6))))


class JointRef(NamedTuple):
    """The same for NumPy: parts of columns and their types."""

    parts: tuple[tuple[int, UnitRef], ...]

    def split(self, x):
        return np.split(x, np.cumsum([n for n, _ in self.parts])[:-1], axis=-1)

    def statistic(self, x):
        return np.concatenate(
            [unit.statistic(own) for (_, unit), own in zip(self.parts, self.split(x), strict=True)], axis=-1
        )

    def base(self, x):
        return np.concatenate(
            [unit.base(own) for (_, unit), own in zip(self.parts, self.split(x), strict=True)], axis=-1
        )

    def nodes(self, n):
        own = [unit.nodes(size) for size, unit in self.parts]
        points = np.array([np.concatenate(rows) for rows in itertools.product(*(x for x, _ in own))])
        weights = np.array([sum(rows) for rows in itertools.product(*(w for _, w in own))])
        assert points.shape[1] == n
        return points, weights


def ref(joint):
    kinds = {Bernoulli: "bernoulli", Softmax: "softmax", Gaussian: "gaussian"}
    return JointRef(
        tuple(
            (n, UnitRef(kinds[type(unit)], getattr(unit, "n_states", 0), getattr(unit, "sigma", 1.0)))
            for n, unit in joint.parts
        )
    )


def machine(visible, hidden, sizes, seed=3, scale=0.9):
    rng = np.random.default_rng(seed)
    shapes = {"W": sizes, "b_v": sizes[:1], "b_h": sizes[1:]}
    single = {name: (scale * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}
    rbm = RBM(*(engine.shared(x, name) for name, x in single.items()), visible, hidden)
    return rbm, {name: x.astype(float) for name, x in single.items()}


def values(*graphs):
    return [engine.to_numpy(x).astype(float) for x in engine.function([], list(graphs))()]


def log_z(p, visible, hidden):
    (v, w_v), (h, w_h) = visible.nodes(p["W"].shape[0]), hidden.nodes(p["W"].shape[1])
    return logsumexp(-oracles.energy(p, v, h, visible, hidden) + w_v[:, None] + w_h)


@pytest.mark.parametrize(
    ("visible", "hidden"),
    [(DISCRETE, Bernoulli()), (MIXED, Bernoulli()), (Bernoulli(), MIXED), (DISCRETE, DISCRETE), (MIXED, MIXED)],
    ids=["discrete visible", "mixed visible", "mixed hidden", "discrete both", "mixed both"],
)
def test_energies_and_exact_log_z_are_the_enumeration(visible, hidden):
    sizes = [unit.n_columns if isinstance(unit, Joint) else 4 for unit in (visible, hidden)]
    rbm, p = machine(visible, hidden, tuple(sizes))
    refs = [ref(unit) if isinstance(unit, Joint) else UnitRef("bernoulli") for unit in (visible, hidden)]
    (v, _), (h, _) = (r.nodes(n) for r, n in zip(refs, sizes, strict=True))
    pick = np.random.default_rng(0)
    v, h = (x[pick.integers(len(x), size=9)].astype(np.float32) for x in (v, h))
    for unit, x in ((visible, v), (hidden, h)):
        if unit == MIXED:
            x[:, 5] = pick.normal(size=9)  # not where quadrature has its ends
    energy, free, hidden_free = values(
        rbm.energy(pt.as_tensor(v), pt.as_tensor(h)),
        rbm.free_energy(pt.as_tensor(v)),
        rbm.hidden_free_energy(pt.as_tensor(h)),
    )
    expected = oracles.energy(p, v, h, *refs)
    np.testing.assert_allclose(energy, np.diag(expected), rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(free, oracles.free_energy(p, v, *refs), rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(hidden_free, oracles.hidden_free_energy(p, h, *refs), rtol=2e-5, atol=2e-5)
    if Bernoulli() in (visible, hidden):
        (exact,) = values(exact_log_Z(rbm))
        assert exact == pytest.approx(log_z(p, *refs), rel=2e-6)
    else:
        with pytest.raises(ValueError, match="exact log Z needs a binary layer"):
            exact_log_Z(rbm)


def test_conditional_means_are_those_of_each_part():
    rbm, p = machine(MIXED, MIXED, (6, 6))
    v = np.array([[1, 0, 0, 1, 0, 0.7], [0, 1, 0, 0, 1, -1.9]], np.float32)
    a = ref(MIXED).statistic(v.astype(float)) @ p["W"] + p["b_h"]
    (mean,) = values(rbm.hidden.mean(rbm.hidden_activation(pt.as_tensor(v))))
    expected = np.concatenate([expit(a[:, :2]), softmax(a[:, 2:5], axis=1), a[:, 5:]], axis=1)
    np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("hidden", [Bernoulli(), DISCRETE], ids=["binary hidden", "joint hidden"])
def test_gibbs_chains_have_the_exact_distribution(hidden):
    n_chains = 20_000
    sizes = (6, 6 if hidden == DISCRETE else 3)
    rbm, p = machine(DISCRETE, hidden, sizes, seed=7)
    states, _ = ref(DISCRETE).nodes(6)
    log_p = -oracles.free_energy(p, states, ref(DISCRETE), ref(hidden) if hidden == DISCRETE else oracles.BERNOULLI)
    exact = np.exp(log_p - logsumexp(log_p))
    v, rng = DISCRETE.noise(pt.zeros((n_chains, 6), dtype="float32"), random.shared(5))
    v, _ = gibbs(rbm, v, rng, 30)
    (drawn,) = values(v)
    assert DISCRETE.validate(drawn) == ""
    counts = (drawn[:, None] == states[None]).all(axis=2).sum(axis=0)
    assert counts.sum() == n_chains
    assert stats.chisquare(counts, n_chains * exact).pvalue > 1e-3


def test_tempered_chains_have_the_exact_distribution():
    rbm, p = machine(DISCRETE, DISCRETE, (6, 6), seed=7)
    states, _ = ref(DISCRETE).nodes(6)
    log_p = -oracles.free_energy(p, states, ref(DISCRETE), ref(DISCRETE))
    particles = engine.shared(np.tile(states[0], (2, 10_000, 1)), "particles")
    negative, updates = tempered(rbm, particles, random.shared(3), k=2, betas=np.array([1.0, 0.4]))
    f = engine.function([], negative, updates)
    for _ in range(15):
        drawn = np.asarray(f())
    counts = (drawn[:, None] == states[None]).all(axis=2).sum(axis=0)
    assert counts.sum() == 10_000
    assert stats.chisquare(counts, 10_000 * np.exp(log_p - logsumexp(log_p))).pvalue > 1e-3


@pytest.mark.parametrize("start", ["previous", "annealed"])
def test_a_clamped_label_samples_the_conditional(start):
    """p(pixels | label) by chains of which the label is clamped."""
    n_chains = 20_000
    rbm, p = machine(DISCRETE, Bernoulli(), (6, 3), seed=9)
    pixels = oracles.all_states(3)
    with_label = np.hstack([pixels, np.tile([0.0, 1.0, 0.0], (8, 1))])
    log_p = -oracles.free_energy(p, with_label, ref(DISCRETE))
    clamp = pt.as_tensor(np.array([np.nan] * 3 + [0, 1, 0], np.float32))
    zeros = pt.zeros((n_chains, 6), dtype="float32")
    v, _ = draw_frame(rbm, zeros, rng=random.shared(1), k=60, clamp=clamp, start=start)
    (drawn,) = values(v)
    assert (drawn[:, 3:] == [0, 1, 0]).all()
    counts = np.bincount(oracles.state_index(drawn[:, :3]), minlength=8)
    assert stats.chisquare(counts, n_chains * np.exp(log_p - logsumexp(log_p))).pvalue > 1e-3


def test_annealing_finds_log_z():
    rbm, p = machine(MIXED, DISCRETE, (6, 6), seed=11, scale=0.7)
    true = log_z(p, ref(MIXED), ref(DISCRETE))
    rows = rbm._replace(b_v=rbm.b_v[None], b_h=rbm.b_h[None])
    v, rng = MIXED.noise(pt.zeros((64, 6), dtype="float32"), random.shared(2))
    base, rng = base_activation(rows, v, rng, pool=True)
    annealed = ais_log_weights(rows, base, annealing_schedule("linear", 200), 400, rng)
    base_log_z, log_w = values(annealed.log_Z_base, annealed.log_weights)
    assert base_log_z[0] + logsumexp(log_w[0]) - np.log(400) == pytest.approx(true, abs=0.05)
    assert log_w.std() > 1e-2


def test_the_base_of_annealing_keeps_binary_parts_from_certainty():
    sure = [30.0, -30.0, 0.0, 5.0, 0.0, 0.0]
    rbm = RBM(pt.zeros((6, 2)), pt.as_tensor(np.array([sure], np.float32)), pt.zeros((1, 2)), DISCRETE)
    base, _ = base_activation(rbm, pt.zeros((1, 6), dtype="float32"), random.shared(0))
    (activation,) = values(base)
    np.testing.assert_allclose(activation[0, :3], [np.log(99), -np.log(99), 0], atol=1e-4)
    np.testing.assert_allclose(activation[0, 3:], [5, 0, 0], atol=1e-5)


def test_log_likelihood_of_a_joint_layer_is_exact():
    rbm, p = machine(DISCRETE, Bernoulli(), (6, 4), seed=5)
    states, _ = ref(DISCRETE).nodes(6)
    result = rnnrbm.log_likelihood(rbm, [states], method="exact")
    expected = -oracles.free_energy(p, states, ref(DISCRETE)) - log_z(p, ref(DISCRETE), oracles.BERNOULLI)
    np.testing.assert_allclose(np.concatenate(result.frames), expected, atol=1e-4)
    assert np.exp(np.concatenate(result.frames)).sum() == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_temperature_divides_every_energy(temperature):
    for hidden in (Bernoulli(), MIXED):
        rbm, _ = machine(MIXED, hidden, (6, 6 if hidden == MIXED else 4))
        v = np.array([[1, 0, 0, 1, 0, 0.7], [0, 1, 0, 0, 1, -1.9]], np.float32)
        h = v[::-1] if hidden == MIXED else v[:, :4]
        h = np.ascontiguousarray(h)
        there = rbm.at_temperature(temperature)
        energies = values(*(r.energy(pt.as_tensor(v), pt.as_tensor(h)) for r in (rbm, there)))
        np.testing.assert_allclose(energies[1], energies[0] / temperature, rtol=1e-5)


def test_fitted_biases_and_checks_are_those_of_the_parts():
    rng = np.random.default_rng(1)
    frames = np.hstack(
        [rng.random((400, 2)) < [0.2, 0.7], np.eye(3)[rng.integers(0, 3, 400)], rng.normal(2, 1, (400, 1))]
    )
    bias = MIXED.fitted_bias([frames[:100], frames[100:]])
    (mean,) = values(MIXED.mean(pt.as_tensor(bias[None].astype("float32"))))
    np.testing.assert_allclose(mean[0], frames.mean(axis=0), atol=0.01)
    assert MIXED.validate(frames) == ""
    for column, value, message in [
        (1, 0.5, "^holds 0.5 in frame 0, column 1,"),
        (3, 1 - frames[0, 3], r"^in columns 2 to 4, counted from 2, has [02] units on in frame 0"),
        (5, np.nan, "^in columns 5 to 5, counted from 5, holds nan in frame 0, column 0"),
    ]:
        wrong = frames.copy()
        wrong[0, column] = value
        assert re.search(message, MIXED.validate(wrong))
    assert (DISCRETE.is_discrete, MIXED.is_discrete) == (True, False)
    assert (DISCRETE.is_binary, Joint(((2, Bernoulli()), (1, Bernoulli()))).is_binary) == (False, True)
    assert unit_index(MIXED, 6).tolist() == [0, 1, 2, 2, 2, 3]
    assert unit_index(Softmax(2), 4).tolist() == [0, 0, 1, 1]


def test_a_joint_part_stands_for_its_parts():
    assert Joint(((6, DISCRETE), (1, Gaussian()))) == Joint((*DISCRETE.parts, (1, Gaussian())))


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ((), ValueError, "parts is empty"),
        (5, TypeError, r"parts=5: expected pairs such as \(784, Bernoulli\(\)\)"),
        ((5, Bernoulli()), TypeError, r"parts\[0\] is 5; expected a number of columns and a unit type"),
        (((Bernoulli(), 5),), TypeError, r"parts\[0\] is \(Bernoulli\(\), 5\)"),
        (((0, Bernoulli()),), ValueError, r"the number of columns of parts\[0\]"),
        (((2.5, Bernoulli()),), ValueError, r"the number of columns of parts\[0\]"),
        (
            ((2, Bernoulli()), (4, Softmax(3))),
            ValueError,
            r"parts\[1\] has 4 columns, which do not divide into groups of 3",
        ),
        (
            ((2, LearnedGaussian.init(2)),),
            ValueError,
            r"parts\[0\] is of LearnedGaussian, which has parameters of its own",
        ),
    ],
)
def test_impossible_parts_are_told(parts, error, message):
    with pytest.raises(error, match=message):
        Joint(parts)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RBM.init(7, 3, seed=0, visible=DISCRETE),
        lambda: RBM.init(3, 7, seed=0, hidden=DISCRETE),
        lambda: Independent.init(7, visible=DISCRETE),
        lambda: Autoencoder.init(7, 3, seed=0, visible=DISCRETE),
        lambda: DISCRETE.mean(pt.zeros((2, 7))),
    ],
)
def test_a_layer_of_another_size_is_told(make):
    with pytest.raises(ValueError, match=r"7 columns.* 6"):
        make()


@pytest.mark.parametrize(
    "model",
    [
        rnn_rbm(6, 6, 3, seed=0, visible=MIXED, hidden=DISCRETE),
        RBM.init(6, 3, seed=0, visible=MIXED),
        Autoencoder.init(6, 3, seed=0, visible=DISCRETE),
    ],
    ids=lambda m: type(m).__name__,
)
def test_models_with_joint_units_come_back_from_files(tmp_path, model):
    model.save(tmp_path / "model.npz")
    back = model_file.load(tmp_path / "model.npz")
    assert model_file.difference(back, model) == ""
    density, other = (getattr(m, "density", m) for m in (model, back))
    assert other.visible == density.visible


def test_a_sequence_model_samples_joint_frames():
    model = rnn_rbm(6, 5, 3, seed=0, visible=DISCRETE, hidden=Joint(((4, Bernoulli()), (1, Bernoulli()))))
    clamp = np.full((5, 6), np.nan)
    clamp[2, 3:] = [0, 0, 1]
    (drawn,) = generate(model, 5, k=5, seed=1, clamp=clamp, temperature=0.8)  # no padding of the hidden layer
    assert DISCRETE.validate(drawn) == ""
    assert drawn[2, 3:].tolist() == [0, 0, 1]
    clamp[2, 3] = np.nan
    with pytest.raises(ValueError, match="all units of a softmax group or none"):
        generate(model, 5, k=5, clamp=clamp)


def test_an_autoencoder_corrupts_each_part_in_its_way():
    unit = Joint(((4, Bernoulli()), (2, Gaussian())))
    model = Autoencoder.init(6, 3, seed=0, visible=unit, corruption=0.4)
    v = pt.as_tensor(np.ones((3000, 6), np.float32))
    (noisy,) = values(model.corrupt(v, random.shared(0))[0])
    assert set(np.unique(noisy[:, :4])) == {0.0, 1.0}
    assert noisy[:, :4].mean() == pytest.approx(0.6, abs=0.02)
    assert noisy[:, 4:].std() == pytest.approx(0.4, abs=0.02)
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        Autoencoder.init(6, 3, seed=0, visible=unit, corruption=1.5)
    assert Autoencoder.init(2, 3, seed=0, visible=Joint(((2, Gaussian()),)), corruption=1.5).corruption == 1.5


def test_rectified_parts_sample_at_temperature_too():
    unit, factor = Joint(((2, ReLU(0.5)), (1, Bernoulli()))).at_temperature(4.0)
    assert unit.parts[0][1] == ReLU(1.0)
    np.testing.assert_allclose(factor, [0.25, 0.25, 1.0])
