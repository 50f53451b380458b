"""Unit types: log partition, mean and samples against the exact law, from the far tail to saturation."""

import re
from functools import cache

import numpy as np
import pytensor.tensor as pt
import pytest
from oracles import UnitRef
from scipy import integrate, stats
from scipy.special import expit, softmax

from rnnrbm.backend import engine, random
from rnnrbm.backend.random import Rng
from rnnrbm.units import Bernoulli, Gaussian, LearnedGaussian, ReLU, Softmax, Unit

pytestmark = pytest.mark.gpu

ACTIVATIONS = [-30.0, -12.0, -10.0, -9.9, -5.0, -1.0, -0.3, 0.0, 0.7, 2.0, 5.0, 10.1, 30.0]
UNITS = {
    "bernoulli": (Bernoulli(), UnitRef("bernoulli")),
    "gaussian": (Gaussian(), UnitRef("gaussian")),
    "wide": (Gaussian(2.5), UnitRef("gaussian", sigma=2.5)),
    "relu": (ReLU(), UnitRef("relu")),
}
ALPHA = 1e-4  # p-values must be above it; the random numbers are fixed
N = 100_000


@cache
def sampler(unit: Unit, shape: tuple[int, ...]) -> tuple:
    rng = random.shared(17)
    a = pt.tensor("a", dtype="float32", shape=shape)
    x, after = unit.sample(a, rng)
    return engine.function([a], x, after.updates()), rng


def draw(unit: Unit, a: np.ndarray, first_draw: int) -> np.ndarray:
    f, rng = sampler(unit, a.shape)
    rng.draw.set_value(np.uint32(first_draw))
    out = np.asarray(f(a.astype(np.float32)))
    assert out.dtype == np.float32
    assert out.shape == a.shape
    assert np.isfinite(out).all()
    return out.astype(np.float64)


def law(kind: str, a: float) -> tuple:
    """Exact distribution, mean and variance of one unit."""
    if kind == "bernoulli":
        p = expit(a)
        return stats.bernoulli(p), p, p * (1.0 - p)
    if kind == "relu":
        # scipy's truncated normal loses its moments far in the tail; its distribution function does not
        dist = stats.truncnorm(-a, np.inf, loc=a)
        moments = [integrate.quad(lambda x, i=i: x**i * dist.pdf(x), 0, max(a, 0.0) + 12.0)[0] for i in (1, 2)]
        if a <= -5:
            moments = [integrate.quad(lambda x, i=i: x**i * dist.pdf(x), 0, 40.0 / -a, epsabs=1e-13)[0] for i in (1, 2)]
        return dist, moments[0], moments[1] - moments[0] ** 2
    sigma = {"gaussian": 1.0, "wide": 2.5}[kind]
    return stats.norm(a, sigma), a, sigma**2


@pytest.mark.parametrize("name", UNITS)
def test_log_partition_is_the_integral_and_the_mean_its_derivative(name: str) -> None:
    unit, ref = UNITS[name]
    a = pt.tensor("a", dtype="float32", shape=(len(ACTIVATIONS),))
    log_partition = unit.log_partition(a)
    f = engine.function([a], [log_partition, unit.mean(a), pt.grad(log_partition.sum(), a)])
    values = np.array(ACTIVATIONS, np.float32)
    outputs = [np.asarray(t) for t in f(values)]
    assert {t.dtype for t in outputs} == {np.dtype(np.float32)}
    got, mean, slope = outputs

    if name == "bernoulli":
        by_sum = [np.log(1.0 + np.exp(x)) for x in values.astype(np.float64)]
    else:  # integrate around the mode, with the exponent's maximum taken out
        by_sum = []
        for x in values.astype(np.float64):
            mode = max(x, 0.0) if name == "relu" else x
            top = ref.statistic(mode) * x - ref.base(mode)
            low, high = mode - 14 * ref.sigma, mode + 14 * ref.sigma
            if name == "relu":
                low, high = (max(low, 0.0), high) if x > -5 else (0.0, 60.0 / -x)
            integral = integrate.quad(
                lambda t, x=x, top=top: np.exp(ref.statistic(t) * x - ref.base(t) - top),
                low,
                high,
                epsabs=1e-14,
                limit=200,
            )[0]
            by_sum.append(top + np.log(integral))
    np.testing.assert_allclose(got, by_sum, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(got, [ref.log_partition(float(x)) for x in values], rtol=2e-6, atol=2e-6)

    # the derivative of the log partition is the mean of the statistic
    step = 1e-4
    by_difference = [
        (ref.log_partition(float(x) + step) - ref.log_partition(float(x) - step)) / (2 * step) for x in values
    ]
    # a rectified unit's mean far in the tail, a + exp(-A(a)), loses digits by cancellation
    rtol = 1e-3 if name == "relu" else 1e-5
    np.testing.assert_allclose(slope, by_difference, rtol=rtol, atol=2e-7)
    np.testing.assert_allclose(ref.statistic(mean.astype(np.float64)), by_difference, rtol=rtol, atol=2e-7)


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("a", [-30.0, -10.0, -9.0, -4.0, -1.01, -0.99, 0.0, 1.5, 6.0, 30.0])
def test_samples_follow_the_exact_law(name: str, a: float) -> None:
    unit, _ = UNITS[name]
    x = draw(unit, np.full(N, a, np.float32), int(1000 + 10 * a))
    dist, mean, variance = law(name, float(np.float32(a)))
    if variance < 1e-9:
        assert (x == np.round(mean)).all()
        return
    assert abs(x.mean() - mean) < 4.5 * np.sqrt(variance / N)
    if name == "bernoulli":
        assert set(np.unique(x)) <= {0.0, 1.0}
        assert stats.binomtest(int(x.sum()), N, mean).pvalue > ALPHA
        return
    fourth = (((x - mean) ** 2 - variance) ** 2).mean()
    assert abs(((x - mean) ** 2).mean() - variance) < 4.5 * np.sqrt(fourth / N)
    assert stats.kstest(x, dist.cdf).pvalue > ALPHA
    if name == "relu":
        assert x.min() >= 0.0


def test_relu_is_exact_for_every_uniform_number_even_the_extreme_ones() -> None:
    """Q(x - a) = (1 - u) Q(-a) for the first and the last of the 2**24 numbers, compared as logarithms."""
    a = np.linspace(-30.0, 30.0, 121)
    unit = ReLU()
    key, index = pt.vector("key", dtype="uint32"), pt.scalar("draw", dtype="uint32")
    t = pt.tensor("a", dtype="float32", shape=(a.size,))

    class Fixed:
        """Stands in for the stream: the same number for every element."""

        def __init__(self, u: pt.TensorVariable) -> None:
            self.u = u

        def uniform(self, like: pt.TensorVariable) -> tuple:
            return pt.zeros_like(like) + self.u, Rng(key, index)

    number = pt.scalar("u", dtype="float32")
    sample = engine.function([t, number], unit.sample(t, Fixed(number))[0])
    f = {}
    for u in (0.0, 2.0**-24, 2.0**-12, 0.1, 0.5, 0.9, 1.0 - 2.0**-12, 1.0 - 2.0**-23, 1.0 - 2.0**-24):
        f[u] = np.asarray(sample(a.astype(np.float32), np.float32(u)))
        assert f[u].dtype == np.float32
        log_q = stats.norm.logsf(-a) + np.log1p(-u)
        exact = _inverse_log_tail(log_q) + a
        # the outermost 2**-20 of the probability is coarse in float32, but never off by more than a quarter
        extreme = min(u, 1.0 - u) < 2.0**-20
        np.testing.assert_allclose(f[u], np.maximum(exact, 0.0), rtol=1e-4, atol=0.25 if extreme else 1e-4)
    sampled = np.array([f[u] for u in sorted(f)])
    assert (np.diff(sampled, axis=0) >= -1e-5).all()  # larger numbers give larger values


def _inverse_log_tail(log_q: np.ndarray) -> np.ndarray:
    """z with log Q(z) = log_q, by bisection."""
    low, high = np.full(log_q.shape, -45.0), np.full(log_q.shape, 45.0)
    for _ in range(80):
        middle = 0.5 * (low + high)
        right = stats.norm.logsf(middle) > log_q
        low, high = np.where(right, middle, low), np.where(right, high, middle)
    return low


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_softmax_units(scale: float) -> None:
    unit, groups = Softmax(4), 3
    logits = scale * np.random.default_rng(3).normal(size=(groups, 4)).astype(np.float32)
    a = pt.tensor("a", dtype="float32", shape=(2, groups * 4))
    log_partition = unit.log_partition(a)
    f = engine.function([a], [log_partition, unit.mean(a), pt.grad(log_partition.sum(), a)])
    two = np.stack([logits.ravel(), -logits.ravel()])
    got, mean, slope = (np.asarray(t) for t in f(two))
    assert got.shape == (2, groups)
    expected = two.reshape(2, groups, 4).astype(np.float64)
    np.testing.assert_allclose(got, np.log(np.exp(expected).sum(-1)), rtol=2e-6)
    np.testing.assert_allclose(mean, softmax(expected, axis=-1).reshape(2, -1), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(mean, slope, rtol=1e-5, atol=1e-7)
    assert {t.dtype for t in (got, mean, slope)} == {np.dtype(np.float32)}

    x = draw(unit, np.broadcast_to(logits.ravel(), (20_000, groups * 4)), 5).reshape(-1, groups, 4)
    assert set(np.unique(x)) == {0.0, 1.0}
    assert (x.sum(axis=-1) == 1.0).all()
    for g in range(groups):
        p = softmax(logits[g].astype(np.float64))
        for state in range(4):
            assert stats.binomtest(int(x[:, g, state].sum()), len(x), p[state]).pvalue > ALPHA / 12
    # groups are independent of each other
    table = np.einsum("ri,rj->ij", x[:, 0], x[:, 1])
    table = table[table.sum(1) > 50][:, table.sum(0) > 50]
    assert min(table.shape) < 2 or stats.chi2_contingency(table).pvalue > ALPHA


def test_units_of_a_layer_and_rows_of_a_batch_are_independent() -> None:
    x = draw(Bernoulli(), np.full((20_000, 6), 0.4, np.float32), 900)
    r = np.corrcoef(x.T)[np.triu_indices(6, 1)]
    assert 2 * stats.norm.sf(np.abs(r).max() * np.sqrt(20_000)) > ALPHA
    assert 2 * stats.norm.sf(abs(np.corrcoef(x[1:, 0], x[:-1, 0])[0, 1]) * np.sqrt(19_999)) > ALPHA


@pytest.mark.parametrize("unit", [Bernoulli(), Gaussian(), Gaussian(0.3), ReLU(), ReLU(0.3), Softmax(2)])
def test_float32_stays_float32_and_float64_stays_float64(unit: Unit) -> None:
    for dtype in ("float32", "float64"):
        a = pt.matrix("a", dtype=dtype, shape=(3, 4))
        x, _ = unit.sample(a, random.shared(0))
        base = unit.base(a)
        outputs = [unit.statistic(a), unit.log_partition(a), unit.mean(a), x]
        assert {t.dtype for t in outputs} == {dtype}
        assert base is None or base.dtype == dtype


@pytest.mark.parametrize("unit", [Bernoulli(), Gaussian(), ReLU(), Softmax(2)])
def test_the_stream_moves_on(unit: Unit) -> None:
    a = np.zeros((50, 4), np.float32)
    assert (draw(unit, a, 0) != draw(unit, a, 40)).any()
    f, rng = sampler(unit, a.shape)
    before = int(engine.to_numpy(rng.draw))
    one, two = np.asarray(f(a)), np.asarray(f(a))
    assert (one != two).any()
    assert int(engine.to_numpy(rng.draw)) == before + 2


def test_impossible_units_are_refused() -> None:
    for sigma in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="sigma must be positive"):
            Gaussian(sigma)
        with pytest.raises(ValueError, match="sigma must be positive"):
            ReLU(sigma)
    with pytest.raises(ValueError, match="at least 2"):
        Softmax(1)


@pytest.mark.parametrize(
    ("unit", "low", "high"),
    [
        (Bernoulli(), 0, 2),
        (Gaussian(0.5), -3.0, 3.0),
        (ReLU(), 0.0, 4.0),
        (ReLU(0.2), 0.0, 4.0),
        (Softmax(3), None, None),
    ],
    ids=str,
)
def test_fitted_biases_give_the_mean_of_the_frames(unit, low, high):
    rng = np.random.default_rng(0)
    if low is None:
        frames = np.eye(3, dtype=np.uint8)[rng.integers(0, 3, (5000, 2))].reshape(5000, 6)
    else:
        frames = rng.integers(low, high, (5000, 6)) if unit.is_discrete else rng.uniform(low, high, (5000, 6))
        frames = frames * np.array([1, 1, 1, 0, 1, 1])  # one column is always 0
    bias = unit.fitted_bias([frames[:10], frames[10:]])
    mean = engine.function([], unit.mean(pt.as_tensor(bias[None].astype("float32"))))()[0]
    np.testing.assert_allclose(mean, frames.mean(axis=0), atol=2e-3)
    assert np.isfinite(bias).all()
    if unit == Bernoulli():
        np.testing.assert_allclose(1 / (1 + np.exp(-bias)), (frames.sum(axis=0) + 1) / 5002)


@pytest.mark.parametrize("unit", [Bernoulli(), Gaussian(0.6), ReLU(0.8), Softmax(3)], ids=str)
@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_units_at_a_temperature_have_their_energy_divided_by_it(unit, temperature):
    """base - statistic * a, with the activation that goes with the new statistic."""
    x = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
    a = np.array([[0.4, -1.0, 2.0], [3.0, 0.1, -0.7]], np.float32)
    new, grown = unit.at_temperature(temperature)

    def energy(u, activation):
        base = u.base(pt.as_tensor(x))
        return (0 if base is None else base) - u.statistic(pt.as_tensor(x)) * activation

    one, other = engine.function([], [energy(unit, a), energy(new, a / np.float32(temperature * grown))])()
    np.testing.assert_allclose(other, np.asarray(one) / temperature, rtol=1e-5)


def test_a_relu_with_a_sigma_is_the_standard_one_scaled():
    sigma, values = np.float32(0.4), np.array(ACTIVATIONS, np.float32)
    wide, standard = ReLU(0.4), ReLU()
    log_partition, mean = engine.function(
        [], [wide.log_partition(pt.as_tensor(values)), wide.mean(pt.as_tensor(values))]
    )()
    scaled = pt.as_tensor(values / sigma)
    expected = engine.function([], [standard.log_partition(scaled), standard.mean(scaled)])()
    np.testing.assert_allclose(log_partition, np.asarray(expected[0]) + np.log(0.4), rtol=1e-5)
    np.testing.assert_allclose(mean, 0.4 * np.asarray(expected[1]), rtol=1e-3, atol=1e-6)
    a = np.tile(np.array([-2.0, 0.3, 1.0], np.float32), (50, 1))
    np.testing.assert_allclose(draw(wide, a, 3), 0.4 * draw(standard, a / sigma, 3), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("unit", "mean", "square"),
    [
        (Bernoulli(), 0.5, 0.5),
        (Softmax(4), 0.25, 0.25),
        (Gaussian(3.0), 0.0, 1.0),
        (LearnedGaussian.init(8, 3.0), 0.0, 1.0),
        (ReLU(3.0), np.sqrt(2 / np.pi), 1.0),
    ],
    ids=str,
)
def test_noise_knows_nothing_of_a_model(unit, mean, square):
    rng = random.shared(5)
    like = pt.tensor("like", dtype="float32", shape=(N // 8, 8))
    x, after = unit.noise(like, rng)
    assert x.dtype == "float32"
    drawn = np.asarray(engine.function([like], x, after.updates())(np.full((N // 8, 8), 40.0, np.float32)), float)
    assert unit.validate(drawn) == ""
    np.testing.assert_allclose([drawn.mean(), np.square(drawn).mean()], [mean, square], atol=0.02)
    again = np.asarray(engine.function([like], x, after.updates())(np.zeros((N // 8, 8), np.float32)))
    assert not np.array_equal(again, drawn)  # the stream has moved on


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ([[0.0, 1.0], [0.25, 0.0]], "if they are grey values, make them binary by rnnrbm.io.image_sets.binarise"),
        ([[0, 255]], r"divide the values by the greatest possible one \(255 or more\), then make them binary by"),
        ([[0.0, -0.5]], "as the visible units are binary$"),
        ([[0.5, np.nan]], "as the visible units are binary$"),
    ],
)
@pytest.mark.parametrize("unit", [Bernoulli(), Softmax(2)], ids=lambda unit: type(unit).__name__)
def test_grey_values_for_binary_units_have_a_remedy(unit, values, advice):
    message = unit.validate(np.array(values))
    assert "expected 0 and 1, as the visible units are binary" in message
    assert re.search(advice, message)
    assert unit.validate(np.array([[0.0, 1.0]])) == ""
