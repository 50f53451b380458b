"""Random numbers: the same bits on every engine, and good ones."""

import numpy as np
import pytensor.tensor as pt
import pytest
from oracles import Stream, pcg4d
from pytensor.gradient import DisconnectedInputError
from scipy import stats

from rnnrbm.backend import engine, random
from rnnrbm.backend.random import Rng, _pcg4d, bits_numpy, key_from_seed, uniform_numpy

pytestmark = pytest.mark.gpu

ENGINES = ["JAX", "FAST_COMPILE", "NUMBA"]
SHAPES = [(), (5,), (3, 7), (2, 3, 5), (2, 1, 3, 4)]
DRAWS = [0, 1, 12345, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]
ALPHA = 1e-4  # every p-value of the battery must be above it; the numbers are fixed, so this is no gamble


# -------------------------------------------------------------------------------------------------- the bits


@pytest.mark.parametrize("draw", DRAWS)
def test_numpy_reference_is_pcg4d(draw: int) -> None:
    for key in ([0, 0], [1, 0], [2**32 - 1, 2**31], key_from_seed(7)):
        bits = bits_numpy(np.asarray(key, np.uint32), draw, (4, 5))
        expected = [pcg4d(int(key[0]), int(key[1]), draw, i) for i in range(20)]
        assert bits.dtype == np.uint32
        assert bits.ravel().tolist() == expected


def test_element_index_is_the_position_in_c_order_whatever_the_shape() -> None:
    key = key_from_seed(3)
    flat = bits_numpy(key, 9, (24,))
    for shape in [(24, 1), (2, 3, 4), (4, 1, 6)]:
        assert bits_numpy(key, 9, shape).shape == shape
        assert (bits_numpy(key, 9, shape).ravel() == flat).all()
    assert bits_numpy(key, 9, ()).shape == ()
    assert bits_numpy(key, 9, (0, 3)).shape == (0, 3)


@pytest.mark.parametrize("mode", ENGINES)
def test_every_engine_computes_the_same_numbers(mode: str) -> None:
    key, draw = pt.vector("key", dtype="uint32", shape=(2,)), pt.scalar("draw", dtype="uint32")
    likes = [pt.tensor(f"like{i}", dtype="float32", shape=s) for i, s in enumerate(SHAPES)]
    f = engine.function([key, draw, *likes], [Rng(key, draw).uniform(x)[0] for x in likes], mode=mode)
    values = [np.full(s, np.nan, np.float32) for s in SHAPES]  # their content must not matter
    for seed, d in [*((0, d) for d in DRAWS), (123, 2**32 - 1), (2**40, 77)]:
        k = key_from_seed(seed)
        for shape, out in zip(SHAPES, f(k, np.uint32(d), *values), strict=True):
            assert np.asarray(out).dtype == np.float32
            np.testing.assert_array_equal(np.asarray(out), uniform_numpy(k, d, shape), strict=True)


@pytest.mark.parametrize("mode", ENGINES)
def test_the_counter_wraps_and_the_stream_moves_on(mode: str) -> None:
    rng = random.shared(5)
    rng.draw.set_value(np.uint32(2**32 - 2))
    like = pt.vector("like", dtype="float32", shape=(6,))
    u1, after = rng.uniform(like)
    u2, after = after.uniform(like)
    u3, after = after.uniform(like)
    assert after.updates().keys() == {rng.draw}
    f = engine.function([like], [u1, u2, u3, after.draw], after.updates(), mode=mode)
    x = np.zeros(6, np.float32)
    key = key_from_seed(5)
    for first in (2**32 - 2, 1, 4):
        *drawn, draw = (np.asarray(t) for t in f(x))
        for i, u in enumerate(drawn):
            np.testing.assert_array_equal(u, uniform_numpy(key, (first + i) % 2**32, (6,)))
        assert draw.dtype == np.uint32
        assert int(draw) == (first + 3) % 2**32
        assert int(engine.to_numpy(rng.draw)) == (first + 3) % 2**32


def test_uniforms_are_multiples_of_2_to_the_minus_24_below_one() -> None:
    u = uniform_numpy(key_from_seed(0), 0, (2**20,))
    assert u.min() >= 0.0
    assert u.max() < 1.0
    assert (u * 2.0**24 % 1.0 == 0.0).all()
    top = np.uint32(0xFFFFFFFF) >> np.uint32(8)
    assert top.astype(np.float32) * np.float32(2.0**-24) < 1.0


def test_skip_is_the_same_as_drawing() -> None:
    rng = random.shared(1)
    like = pt.vector("like", dtype="float32", shape=(4,))
    _, drawn = rng.uniform(like)
    _, drawn = drawn.normal(like)
    f = engine.function([like], [drawn.uniform(like)[0], rng.skip(2).uniform(like)[0]])
    a, b = f(np.zeros(4, np.float32))
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_names_and_keys() -> None:
    rng = random.shared(11, "noise", stream=2)
    assert (rng.key.name, rng.draw.name) == ("noise_key", "noise_draw")
    assert rng.origin is rng.draw
    assert Rng(rng.key, rng.draw).updates() == {}
    keys = {tuple(key_from_seed(s, t).tolist()) for s in range(50) for t in range(4)}
    assert len(keys) == 200
    assert key_from_seed(2**70).dtype == np.uint32
    for seed, stream in [(-1, 0), (0, -1)]:
        with pytest.raises(ValueError, match="non-negative"):
            key_from_seed(seed, stream)


@pytest.mark.parametrize(("key", "draw"), [("int64", "uint32"), ("uint32", "int64"), ("uint32", "uint64")])
def test_a_key_or_counter_of_another_type_is_refused(key: str, draw: str) -> None:
    with pytest.raises(TypeError, match="must be a uint32 tensor"):
        Rng(pt.vector(dtype=key), pt.scalar(dtype=draw)).uniform(pt.vector())


def test_numbers_are_constants_for_the_gradient() -> None:
    x = pt.vector("x", shape=(3,))
    u, _ = random.shared(0).uniform(x)
    assert pt.grad((u * x).sum(), x).owner is not None  # only through the factor x
    with pytest.raises(DisconnectedInputError):
        pt.grad(u.sum(), x)


# ----------------------------------------------------------------------------------------------- the battery


def chi_square(counts: np.ndarray) -> float:
    return float(stats.chisquare(counts).pvalue)


def correlation_p(a: np.ndarray, b: np.ndarray) -> float:
    """p-value of independence of two sequences of uniform numbers from their correlation."""
    z = ((a - 0.5) * (b - 0.5)).sum() * 12.0 / np.sqrt(a.size)
    return float(2.0 * stats.norm.sf(abs(z)))


def neighbours(key: np.ndarray) -> list[np.ndarray]:
    """Keys that differ from `key` in one bit."""
    bits = [0, 1, 7, 15, 16, 23, 31]
    return [key ^ np.array([b, 0], np.uint32) for b in (1 << np.array(bits))] + [
        key ^ np.array([0, b], np.uint32) for b in (1 << np.array(bits))
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(2**20,), (1600, 88, 8), (2**16, 16)])
def test_uniformity(seed: int, shape: tuple[int, ...]) -> None:
    u = uniform_numpy(key_from_seed(seed), 1000 * seed, shape).ravel()
    assert chi_square(np.bincount((u * 256).astype(int), minlength=256)) > ALPHA
    assert chi_square(np.bincount((u * 65536).astype(int) % 256, minlength=256)) > ALPHA
    assert chi_square(np.bincount((u * 2.0**24).astype(int) % 256, minlength=256)) > ALPHA
    assert stats.kstest(u, "uniform").pvalue > ALPHA
    # pairs of neighbours on a 32 x 32 board
    a, b = (u[::2] * 32).astype(int), (u[1::2] * 32).astype(int)
    assert chi_square(np.bincount(a * 32 + b, minlength=1024)) > ALPHA


def test_one_element_over_many_draws_is_uniform() -> None:
    # the other direction: a unit's number from one Gibbs step to the next
    key = key_from_seed(1)
    u = np.array([uniform_numpy(key, d, (16,)) for d in range(2**14)])
    for column in u.T:
        assert chi_square(np.bincount((column * 64).astype(int), minlength=64)) > ALPHA
        assert correlation_p(column[:-1], column[1:]) > ALPHA
        assert correlation_p(column[:-2], column[2:]) > ALPHA


def test_consecutive_seeds_are_uniform_and_independent() -> None:
    u = np.array([uniform_numpy(key_from_seed(s), 0, (8,)) for s in range(2**13)])
    for column in u.T:
        assert chi_square(np.bincount((column * 64).astype(int), minlength=64)) > ALPHA
        assert correlation_p(column[:-1], column[1:]) > ALPHA


def test_no_serial_correlation() -> None:
    key, n = key_from_seed(2), 2**18
    u = uniform_numpy(key, 0, (n,)).astype(np.float64)
    for lag in (1, 2, 3, 8, 88, 150, 256, 1024, 88 * 16):  # widths of layers are the lags between rows
        assert correlation_p(u[:-lag], u[lag:]) > ALPHA, lag
    for draw in (1, 2, 3, 16, 256, 2**16, 2**31, 2**32 - 1):
        assert correlation_p(u, uniform_numpy(key, draw, (n,)).astype(np.float64)) > ALPHA, draw
    for other in neighbours(key):
        assert correlation_p(u, uniform_numpy(other, 0, (n,)).astype(np.float64)) > ALPHA, other


def test_avalanche() -> None:
    """Flipping one bit of the input flips each bit in use with probability one half.

    All 24 bits where index and counter are of practical size. pcg4d's high input bits do not reach its low
    output bits: flipping one of them leaves up to the 12 lowest bits of a 24-bit number less than perfectly
    mixed, which moves a uniform number by less than 2**-12 and is checked for the 12 highest bits here.
    """
    rng, n = np.random.default_rng(12), 2**16
    inputs = rng.integers(0, [2**32, 2**32, 2**20, 2**20], size=(n, 4), dtype=np.uint32)
    plain = _pcg4d(*inputs.T)
    fully_mixed = (22, 22, 24, 22)
    for word, bit in [(w, b) for w in range(4) for b in range(32 if w < 3 else 28)]:
        lowest = 8 if bit < fully_mixed[word] else 20
        changed = inputs.copy()
        changed[:, word] ^= np.uint32(1 << bit)
        flipped = (plain ^ _pcg4d(*changed.T))[:, None] >> np.arange(lowest, 32, dtype=np.uint32) & np.uint32(1)
        z = (flipped.sum(axis=0) - n / 2) / np.sqrt(n / 4)
        assert stats.norm.sf(np.abs(z)).min() * 2 > ALPHA / z.size / 100, (word, bit)
        # bits of one hash may be correlated a little, so a mean square, not an exact chi-square of the bits
        assert stats.chi2.sf((z**2).sum(), z.size) > ALPHA / 100, (word, bit)


def test_birthday_spacings() -> None:
    """Marsaglia's test: 512 birthdays in a year of 2**24 days; equal spacings are Poisson with mean 2."""
    key, equal = key_from_seed(8), []
    for draw in range(1000):
        days = np.sort(bits_numpy(key, draw, (512,)) >> np.uint32(8)).astype(np.int64)
        spacings = np.sort(np.diff(days))
        equal.append(int((np.diff(spacings) == 0).sum()))
    total = sum(equal)
    assert 2 * min(stats.poisson.cdf(total, 2000), stats.poisson.sf(total - 1, 2000)) > ALPHA
    observed = np.bincount(np.minimum(equal, 6), minlength=7)
    expected = stats.poisson.pmf(np.arange(6), 2.0)
    assert stats.chisquare(observed, 1000 * np.append(expected, 1.0 - expected.sum())).pvalue > ALPHA


def test_normals() -> None:
    rng = random.shared(21)
    like = pt.vector("like", dtype="float32", shape=(2**17,))
    z, after = rng.normal(like)
    f = engine.function([like], z, after.updates())
    first, second = (np.asarray(f(np.zeros(2**17, np.float32))) for _ in range(2))
    assert first.dtype == np.float32
    assert int(engine.to_numpy(rng.draw)) == 2
    np.testing.assert_allclose(first, Stream(key_from_seed(21)).normal((2**17,)), rtol=2e-5, atol=1e-6)
    for x in (first, second):
        assert np.isfinite(x).all()
        assert stats.kstest(x.astype(np.float64), "norm").pvalue > ALPHA
        tail = int((np.abs(x) > 3.5).sum())
        assert stats.binomtest(tail, x.size, 2 * stats.norm.sf(3.5)).pvalue > ALPHA
    n = first.size
    for a, b in [(first, second), (first[1:], first[:-1]), (first**2 - 1, second**2 - 1)]:
        r = np.corrcoef(a, b)[0, 1]
        assert 2 * stats.norm.sf(abs(r) * np.sqrt(n)) > ALPHA
