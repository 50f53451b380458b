"""The RBM against enumeration, for every pairing of unit types, always with asymmetric parameters."""

from functools import cache

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Params, UnitRef
from scipy import stats
from scipy.special import expit

from rnnrbm.backend import engine, random
from rnnrbm.backend.random import uniform_numpy
from rnnrbm.densities import EnergyDensity, NormalizedDensity
from rnnrbm.rbm import RBM, gibbs, sparsity_penalty, statistics_gradient
from rnnrbm.units import Bernoulli, Gaussian, ReLU, Softmax, Unit
from rnnrbm.weights import log_weights

pytestmark = pytest.mark.gpu

# name -> (unit, reference, number of units); few where the layer is integrated on a grid
VISIBLE: dict[str, tuple[Unit, UnitRef, int]] = {
    "bernoulli": (Bernoulli(), UnitRef("bernoulli"), 4),
    "softmax": (Softmax(3), UnitRef("softmax", 3), 6),
    "gaussian": (Gaussian(0.7), UnitRef("gaussian", sigma=0.7), 2),
    "relu": (ReLU(0.8), UnitRef("relu", sigma=0.8), 2),
}
HIDDEN: dict[str, tuple[Unit, UnitRef, int]] = {
    "bernoulli": (Bernoulli(), UnitRef("bernoulli"), 3),
    "softmax": (Softmax(2), UnitRef("softmax", 2), 4),
    "gaussian": (Gaussian(), UnitRef("gaussian"), 1),
    "relu": (ReLU(), UnitRef("relu"), 2),
}
PAIRS = [(v, h) for v in VISIBLE for h in HIDDEN]
ROWS = 6


def parameters(seed: int, n_visible: int, n_hidden: int, scale: float = 0.7) -> Params:
    rng = np.random.default_rng(seed)
    shapes = {"W": (n_visible, n_hidden), "b_v": (n_visible,), "b_h": (n_hidden,)}
    return {name: scale * rng.normal(size=s).astype(np.float32).astype(np.float64) for name, s in shapes.items()}


def variables(n_visible: int, n_hidden: int) -> list:
    shapes = {"W": (n_visible, n_hidden), "b_v": (n_visible,), "b_h": (n_hidden,)}
    return [pt.tensor(name, dtype="float32", shape=s) for name, s in shapes.items()]


def values(unit: UnitRef, n: int, rng: np.random.Generator) -> np.ndarray:
    """Random values that units can take."""
    if unit.kind in ("bernoulli", "softmax"):
        points = unit.nodes(n)[0]
        return points[rng.integers(len(points), size=ROWS)]
    x = unit.sigma * rng.normal(size=(ROWS, n)).astype(np.float32).astype(np.float64)
    return abs(x) if unit.kind == "relu" else x


def single(p: Params) -> list[np.ndarray]:
    return [p[name].astype(np.float32) for name in ("W", "b_v", "b_h")]


def close(got: object, expected: np.ndarray, tolerance: float = 2e-5) -> None:
    got = np.asarray(got)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@cache
def compiled(visible: str, hidden: str) -> tuple:
    """Energies of rows v and h of a pairing, and log p(h | v) and log p(v | h) from the activations."""
    (unit_v, _, n_v), (unit_h, _, n_h) = VISIBLE[visible], HIDDEN[hidden]
    params = variables(n_v, n_h)
    rbm = RBM(*params, visible=unit_v, hidden=unit_h)
    v, h = (pt.tensor(name, dtype="float32", shape=(ROWS, n)) for name, n in (("v", n_v), ("h", n_h)))

    def log_conditional(unit: Unit, x: pt.TensorVariable, a: pt.TensorVariable) -> pt.TensorVariable:
        base = unit.base(x)
        score = unit.statistic(x) * a - (0 if base is None else base)
        return score.sum(axis=-1) - unit.log_partition(a).sum(axis=-1)

    outputs = [
        rbm.energy(v, h),
        rbm.free_energy(v),
        rbm.hidden_free_energy(h),
        log_conditional(unit_h, h, rbm.hidden_activation(v)),
        log_conditional(unit_v, v, rbm.visible_activation(h)),
    ]
    return engine.function([*params, v, h], outputs)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_energies_equal_enumeration(visible: str, hidden: str) -> None:
    (_, ref_v, n_v), (_, ref_h, n_h) = VISIBLE[visible], HIDDEN[hidden]
    rng = np.random.default_rng(8)
    for seed in range(2):
        p = parameters(seed, n_v, n_h)
        v, h = values(ref_v, n_v, rng), values(ref_h, n_h, rng)
        e, f_v, f_h, _, _ = compiled(visible, hidden)(*single(p), v.astype(np.float32), h.astype(np.float32))
        close(e, np.diag(oracles.energy(p, v, h, ref_v, ref_h)))
        close(f_v, oracles.free_energy(p, v, ref_v, ref_h))
        close(f_h, oracles.hidden_free_energy(p, h, ref_v, ref_h))


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.01, 3.0))
def test_conditionals_and_energies_say_the_same(visible: str, hidden: str, seed: int, scale: float) -> None:
    """log p(h|v) - log p(h'|v) = E(v,h') - E(v,h), and the same with the layers exchanged."""
    (_, ref_v, n_v), (_, ref_h, n_h) = VISIBLE[visible], HIDDEN[hidden]
    rng = np.random.default_rng(seed)
    p = parameters(seed, n_v, n_h, scale)
    f = compiled(visible, hidden)
    v, h, h_2, v_2 = (
        values(ref, n, rng).astype(np.float32) for ref, n in ((ref_v, n_v), (ref_h, n_h), (ref_h, n_h), (ref_v, n_v))
    )
    e, f_v, f_h, h_given_v, v_given_h = (np.asarray(t, np.float64) for t in f(*single(p), v, h))
    e_h, _, _, h_2_given_v, _ = (np.asarray(t, np.float64) for t in f(*single(p), v, h_2))
    e_v, _, _, _, v_2_given_h = (np.asarray(t, np.float64) for t in f(*single(p), v_2, h))
    size = 1.0 + np.abs([e, e_h, e_v, h_given_v, h_2_given_v, v_given_h, v_2_given_h, f_v, f_h]).max()
    np.testing.assert_allclose(h_given_v - h_2_given_v, e_h - e, atol=3e-6 * size)
    np.testing.assert_allclose(v_given_h - v_2_given_h, e_v - e, atol=3e-6 * size)
    # p(v, h) = p(h | v) p(v) = p(v | h) p(h)
    np.testing.assert_allclose(h_given_v - f_v, -e, atol=3e-6 * size)
    np.testing.assert_allclose(v_given_h - f_h, -e, atol=3e-6 * size)


def test_log_z_agrees_from_both_sides_and_gradient_is_exact() -> None:
    n_v, n_h = 5, 4
    p, params = parameters(3, n_v, n_h), variables(n_v, n_h)
    rbm = RBM(*params)
    data = pt.tensor("data", dtype="float32", shape=(7, n_v))
    all_v, all_h = (oracles.all_states(n).astype(np.float32) for n in (n_v, n_h))
    log_z = pt.logsumexp(-rbm.free_energy(pt.as_tensor(all_v)))
    log_z_h = pt.logsumexp(-rbm.hidden_free_energy(pt.as_tensor(all_h)))
    log_likelihood = -rbm.free_energy(data).mean() - log_z
    f = engine.function([*params, data], [log_z, log_z_h, *pt.grad(log_likelihood, params)])
    rows = oracles.all_states(n_v)[np.random.default_rng(1).integers(32, size=7)]
    z, z_h, *grads = f(*single(p), rows.astype(np.float32))
    close(z, oracles.log_z(p))
    close(z_h, oracles.log_z(p))
    exact = oracles.log_likelihood_gradient(p, rows)
    for name, g in zip(("W", "b_v", "b_h"), grads, strict=True):
        close(g, exact[name], 5e-6)
    by_difference = oracles.finite_differences(
        lambda q: float(-oracles.free_energy(q, rows).mean() - oracles.log_z(q)), p
    )
    for name, g in exact.items():
        np.testing.assert_allclose(g, by_difference[name], atol=1e-8)
    mean_v, mean_h = oracles.marginals(p)
    np.testing.assert_allclose(oracles.probabilities(p) @ oracles.all_states(n_v), mean_v)
    np.testing.assert_allclose(exact["b_v"], rows.mean(0) - mean_v)
    assert mean_h.shape == (n_h,)


@pytest.mark.parametrize(
    ("visible", "hidden"), [("bernoulli", "bernoulli"), ("gaussian", "relu"), ("softmax", "softmax")]
)
def test_biases_with_leading_axes_are_one_machine_for_each_row(visible: str, hidden: str) -> None:
    (unit_v, ref_v, n_v), (unit_h, ref_h, n_h) = VISIBLE[visible], HIDDEN[hidden]
    rng = np.random.default_rng(11)
    p = parameters(5, n_v, n_h)
    b_v, b_h = (rng.normal(size=(2, 3, n)).astype(np.float32) for n in (n_v, n_h))
    v, h = values(ref_v, n_v, rng).reshape(2, 3, n_v), values(ref_h, n_h, rng).reshape(2, 3, n_h)
    W, *_ = variables(n_v, n_h)
    names = {"b_v": b_v, "b_h": b_h, "v": v, "h": h}
    t = {name: pt.tensor(name, dtype="float32", shape=x.shape) for name, x in names.items()}
    rbm = RBM.init(n_v, n_h, seed=rng, visible=unit_v, hidden=unit_h)._replace(W=W, b_v=t["b_v"], b_h=t["b_h"])
    f = engine.function(
        [W, *t.values()],
        [rbm.energy(t["v"], t["h"]), rbm.free_energy(t["v"]), rbm.hidden_free_energy(t["h"])],
    )
    e, f_v, f_h = (np.asarray(x) for x in f(single(p)[0], *(x.astype(np.float32) for x in names.values())))
    assert e.shape == f_v.shape == f_h.shape == (2, 3)
    for i in np.ndindex(2, 3):
        q = {"W": p["W"], "b_v": b_v[i].astype(np.float64), "b_h": b_h[i].astype(np.float64)}
        close(e[i], oracles.energy(q, v[i][None], h[i][None], ref_v, ref_h)[0, 0])
        close(f_v[i], oracles.free_energy(q, v[i][None], ref_v, ref_h)[0])
        close(f_h[i], oracles.hidden_free_energy(q, h[i][None], ref_v, ref_h)[0])


def test_gibbs_step_equals_numpy_fed_the_same_uniforms() -> None:
    n_v, n_h, n_rows = 7, 4, 500
    p, params = parameters(6, n_v, n_h, 1.5), variables(n_v, n_h)
    v = pt.tensor("v", dtype="float32", shape=(n_rows, n_v))
    rng = random.shared(31)
    out, after = RBM(*params).gibbs_step(v, rng)
    f = engine.function([*params, v], out, after.updates())
    stream = oracles.Stream(random.key_from_seed(31))
    rows = (np.random.default_rng(0).random((n_rows, n_v)) < 0.4).astype(np.float64)
    for _ in range(3):
        got = np.asarray(f(*single(p), rows.astype(np.float32)))
        rows = oracles.gibbs(p["W"], p["b_v"], p["b_h"], rows, stream, 1)
        np.testing.assert_array_equal(got, rows)
    assert int(engine.to_numpy(rng.draw)) == stream.draw == 6


def test_pseudo_likelihood_estimates_the_exact_one() -> None:
    n_v, n_h, copies = 5, 3, 4000
    p, params = parameters(9, n_v, n_h, 1.2), variables(n_v, n_h)
    rows = oracles.all_states(n_v)[[3, 17, 28]]
    v = pt.tensor("v", dtype="float32", shape=(3 * copies, n_v))
    estimate, after = RBM(*params).pseudo_log_likelihood(v, random.shared(41))
    f = engine.function([*params, v], estimate, after.updates())
    got = np.asarray(f(*single(p), np.repeat(rows, copies, axis=0).astype(np.float32))).reshape(3, copies)
    chosen = np.floor(uniform_numpy(random.key_from_seed(41), 0, (3 * copies,)) * n_v).astype(int)
    assert stats.chisquare(np.bincount(chosen, minlength=n_v)).pvalue > 1e-4
    terms = oracles.log_pseudo_likelihood_terms(p, rows)
    for row, of_row, unit in zip(got, terms, chosen.reshape(3, copies), strict=True):
        # one estimate for every unit flipped; their plain mean is the pseudo-likelihood itself
        by_unit = np.array([row[unit == i][0] for i in range(n_v)])
        assert (row == by_unit[unit]).all()
        close(by_unit, n_v * of_row)
        np.testing.assert_allclose(by_unit.mean(), of_row.sum(), rtol=2e-5)


def test_pseudo_likelihood_is_for_binary_units() -> None:
    rbm = RBM.init(3, 2, seed=0, visible=Gaussian())
    with pytest.raises(TypeError, match="needs binary visible units"):
        rbm.pseudo_log_likelihood(pt.matrix("v", dtype="float32"), random.shared(0))


@pytest.mark.parametrize("hidden", ["bernoulli", "softmax", "relu"])
@pytest.mark.parametrize("visible", ["bernoulli", "softmax"])
def test_saturated_units_stay_finite(visible: str, hidden: str) -> None:
    (unit_v, ref_v, n_v), (unit_h, ref_h, n_h) = VISIBLE[visible], HIDDEN[hidden]
    params = variables(n_v, n_h)
    rbm = RBM(*params, visible=unit_v, hidden=unit_h)
    v = pt.tensor("v", dtype="float32", shape=(ROWS, n_v))
    free = rbm.free_energy(v)
    sample, _ = rbm.gibbs_step(v, random.shared(2))
    f = engine.function([*params, v], [free, sample, *pt.grad(free.mean(), params)])
    rows = values(ref_v, n_v, np.random.default_rng(5))
    for sign_v, sign_h in [(1, 1), (1, -1), (-1, 1), (-1, -1)]:
        p = parameters(2, n_v, n_h, 0.1)
        p["b_v"] += 100.0 * sign_v * (-1.0) ** np.arange(n_v)
        p["b_h"] += 100.0 * sign_h
        p = {name: x.astype(np.float32).astype(np.float64) for name, x in p.items()}
        energy, drawn, *grads = (np.asarray(t) for t in f(*single(p), rows.astype(np.float32)))
        assert np.isfinite(energy).all()
        assert np.isfinite(drawn).all()
        assert all(np.isfinite(g).all() for g in grads)
        if ref_h.kind != "relu":  # the grid of the reference does not reach that far
            close(energy, oracles.free_energy(p, rows, ref_v, ref_h))
        if visible == "bernoulli" and hidden == "bernoulli":
            np.testing.assert_array_equal(drawn, np.broadcast_to(p["b_v"] > 0, drawn.shape))


def test_init() -> None:
    rbm = RBM.init(4, 3, seed=0, b_v=np.arange(4.0), scale=0.5, hidden=ReLU())
    assert isinstance(rbm, EnergyDensity)
    assert not isinstance(rbm, NormalizedDensity)
    assert [t.name for t in rbm.tensors()] == ["W", "b_v", "b_h"]
    assert [t.type.shape for t in rbm.tensors()] == [(4, 3), (4,), (3,)]
    assert {t.dtype for t in rbm.tensors()} == {"float32"}
    np.testing.assert_array_equal(engine.to_numpy(rbm.b_v), np.arange(4.0))
    assert rbm.with_tensors(rbm.tensors()) == rbm
    assert rbm.hidden == ReLU()
    assert 0.2 < engine.to_numpy(rbm.W).std() < 0.9
    with pytest.raises(
        TypeError, match=r"hidden must be a unit type, such as Bernoulli\(\), got 8; set their number by n_hidden"
    ):
        RBM.init(6, 3, seed=0, hidden=8)
    with pytest.raises(ValueError, match="n_visible=0: expected a whole number, at least 1"):
        RBM.init(0, 3, seed=0)
    with pytest.raises(ValueError, match=r"b_v has shape \(3,\), expected \(4,\)"):
        RBM.init(4, 3, seed=0, b_v=np.zeros(3))


@pytest.mark.parametrize("n_hidden", [1, 4, 7])
@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
@pytest.mark.parametrize("hidden", [Bernoulli(), Gaussian()], ids=str)
def test_states_are_weighed_as_by_free_energy(n_hidden, leading, hidden):
    rng = np.random.default_rng(0)
    rbm = RBM.init(5, n_hidden, seed=rng, hidden=hidden)
    W, b_v, b_h = (
        3 * rng.normal(size=s).astype(np.float32) for s in ((5, n_hidden), (*leading, 5), (*leading, n_hidden))
    )
    rbm = rbm._replace(W=pt.as_tensor(W), b_v=pt.as_tensor(b_v), b_h=pt.as_tensor(b_h))
    states = oracles.all_states(5).astype(np.float32)
    found = engine.to_numpy(engine.function([], log_weights(rbm, pt.as_tensor(states)))())
    wide = rbm._replace(b_v=pt.expand_dims(rbm.b_v, -2), b_h=pt.expand_dims(rbm.b_h, -2))
    expected = -engine.to_numpy(engine.function([], wide.free_energy(pt.as_tensor(states)))())
    assert found.shape == (*leading, 32)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_states_are_weighed_where_hidden_units_saturate():
    W = np.array([[90, 90, 90, 90, -90], [1, 2, 3, 4, 5]], np.float32)
    rbm = RBM(pt.as_tensor(W), pt.as_tensor(np.zeros(2, np.float32)), pt.as_tensor(np.full(5, 20, np.float32)))
    states = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], np.float32)
    found = engine.to_numpy(engine.function([], log_weights(rbm, pt.as_tensor(states)))())
    np.testing.assert_allclose(found, [440, 450, 115, 100], rtol=1e-6)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
@pytest.mark.parametrize("temperature", [0.4, 3.0])
def test_an_rbm_at_a_temperature_has_its_energy_divided_by_it(visible, hidden, temperature):
    (unit_v, ref_v, n_v), (unit_h, ref_h, n_h) = VISIBLE[visible], HIDDEN[hidden]
    p, rng = parameters(3, n_v, n_h), np.random.default_rng(4)
    v, h = values(ref_v, n_v, rng), values(ref_h, n_h, rng)
    rbm = RBM(*(pt.as_tensor(x) for x in single(p)), visible=unit_v, hidden=unit_h).at_temperature(temperature)
    energy = rbm.energy(pt.as_tensor(v.astype(np.float32)), pt.as_tensor(h.astype(np.float32)))
    close(engine.function([], energy)(), np.diag(oracles.energy(p, v, h, ref_v, ref_h)) / temperature)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_chains_at_a_temperature_stay_exact(temperature):
    """Started from exact samples of the joint energy divided by the temperature, and counted over all states."""
    n_v, n_h, n = 4, 3, 40_000
    p = parameters(5, n_v, n_h)
    exact = oracles.probabilities(p, beta=1 / temperature)
    start = oracles.all_states(n_v)[np.random.default_rng(6).choice(2**n_v, n, p=exact)]
    rng = random.shared(7)
    rbm = RBM(*(pt.as_tensor(x) for x in single(p))).at_temperature(temperature)
    end, after = gibbs(rbm, pt.as_tensor(start.astype(np.float32)), rng, 3)
    counts = np.bincount(oracles.state_index(np.asarray(engine.function([], end, after.updates())())), minlength=2**n_v)
    assert stats.chisquare(counts, n * exact).pvalue > 1e-4
    assert stats.chisquare(counts, n * oracles.probabilities(p)).pvalue < 1e-12


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_the_gradient_in_full_is_the_derived_one(visible, hidden):
    (unit_v, ref_v, n_v), (unit_h, _, n_h) = VISIBLE[visible], HIDDEN[hidden]
    rng = np.random.default_rng(5)
    params = variables(n_v, n_h)
    rbm = RBM(*params, visible=unit_v, hidden=unit_h)
    v, negative = (pt.tensor(name, dtype="float32", shape=(n, n_v)) for name, n in (("v", ROWS), ("w", 2 * ROWS)))
    cost = rbm.free_energy(v).mean() - rbm.free_energy(negative).mean()
    both = engine.function([*params, v, negative], [*pt.grad(cost, params), *statistics_gradient(rbm, v, negative)])
    data = values(ref_v, n_v, rng).astype(np.float32)
    others = np.concatenate([values(ref_v, n_v, rng) for _ in range(2)]).astype(np.float32)
    results = both(*single(parameters(5, n_v, n_h)), data, others)
    for derived, full in zip(results[:3], results[3:], strict=True):
        close(full, np.asarray(derived))
        assert np.abs(np.asarray(full)).max() > 1e-3


def test_the_penalty_of_sparsity_is_that_of_mean_activities_without_padding():
    p = parameters(6, 5, 4)
    rng = np.random.default_rng(6)
    v = rng.integers(0, 2, (7, 5)).astype(float)
    counts = np.array([1, 1, 0, 1, 0, 1, 1.0])
    params = variables(5, 4)
    rows, weight = (pt.tensor(name, dtype="float32", shape=s) for name, s in (("v", (7, 5)), ("c", (7,))))
    rbm = RBM(*params)
    costs = [sparsity_penalty(rbm, rows, 0.2), sparsity_penalty(rbm, rows, 0.2, weight)]
    whole, part = engine.function([*params, rows, weight], costs, on_unused_input="ignore")(
        *single(p), v.astype(np.float32), counts.astype(np.float32)
    )
    h = expit(v @ p["W"] + p["b_h"])
    close(whole, ((h.mean(axis=0) - 0.2) ** 2).sum())
    close(part, ((h[counts == 1].mean(axis=0) - 0.2) ** 2).sum())
