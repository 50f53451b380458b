"""The convolutional RBM: against NumPy loops over windows, sums over all states, and an RBM of explicit weights."""

import itertools
from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import stats
from scipy.special import logsumexp

import rnnrbm
from rnnrbm.backend import engine, random
from rnnrbm.densities import EnergyDensity
from rnnrbm.models.convolutional import ConvolutionalRBM, layout
from rnnrbm.networks import init_stack
from rnnrbm.rbm import RBM, sparsity_penalty
from rnnrbm.samplers import can_anneal
from rnnrbm.scoring.likelihood import Evaluator, usual_annealing
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import AtMostOne, Bernoulli, Gaussian

RNG = np.random.default_rng
ALPHA = 1e-4
#: height, width, side of a filter, side of a group, filters; with squares of side 1, 2, 3 and 4, and padded images
SHAPES = [(3, 4, 2, 1, 2), (5, 7, 2, 2, 3), (7, 7, 4, 1, 3), (9, 6, 4, 3, 2), (6, 6, 3, 4, 1)]


def model(height: int, width: int, size: int, pool: int, n_filters: int, **options: Any) -> ConvolutionalRBM:
    """Every parameter random."""
    n = height * width
    conv = ConvolutionalRBM.init(n, n_filters, size, seed=1, pool=pool, height=height, scale=0.7, **options)
    conv.b_h.set_value(RNG(2).normal(-0.5, 0.5, n_filters).astype(np.float32))
    b_v = RNG(3).normal(0.0, 0.5, n)
    conv.b_v.set_value(np.full_like(b_v, b_v.mean()).astype(np.float32) if conv.shared_bias else b_v.astype(np.float32))
    return conv


def maps(conv: ConvolutionalRBM, v: np.ndarray) -> np.ndarray:
    """Input of the hidden units by loops over their windows: (filters, rows, columns)."""
    size = conv.filter_shape[0]
    W, b_h = (engine.to_numpy(x).astype(float) for x in (conv.W, conv.b_h))
    image = v.reshape(conv.height, -1)
    down, across = (n - size + 1 for n in image.shape)
    x = np.empty((W.shape[1], down, across))
    for k, i, j in np.ndindex(x.shape):
        x[k, i, j] = b_h[k] + (W[:, k].reshape(size, size) * image[i : i + size, j : j + size]).sum()
    return x


def groups_of(conv: ConvolutionalRBM, x: np.ndarray) -> np.ndarray:
    """Units of each group of maps: (groups, units)."""
    p, (k, down, across) = conv.pool, x.shape
    return x.reshape(k, down // p, p, across // p, p).transpose(0, 1, 3, 2, 4).reshape(-1, p * p)


def values(*graphs: Any, **inputs: np.ndarray) -> list[np.ndarray]:
    return [engine.to_numpy(x).astype(float) for x in engine.function([], list(graphs))()]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_layers_are_those_of_loops_over_windows(shape):
    conv = model(*shape)
    assert isinstance(conv, EnergyDensity)
    n = shape[0] * shape[1]
    v = (RNG(4).random((3, n)) < 0.5).astype(np.float32)
    h = RNG(5).normal(size=(3, conv.n_hidden)).astype(np.float32)
    given, hidden = pt.as_tensor(v), pt.as_tensor(h)
    rbm = conv.rbm
    F, x, back, pooled, means, W, b_h = values(
        conv.free_energy(given),
        conv.hidden_activation(given),
        conv.visible_activation(hidden),
        conv.pooled(given),
        conv.hidden_means(given),
        rbm.W,
        rbm.b_h,
    )
    b_v = engine.to_numpy(conv.b_v).astype(float)
    assert W.shape == (n, conv.n_hidden)
    for row in range(3):
        expected = maps(conv, v[row].astype(float))
        # hidden columns are another order of the units of all maps
        np.testing.assert_allclose(np.sort(x[row]), np.sort(expected.ravel()), atol=2e-5)
        states = np.vstack([np.zeros(conv.pool**2), np.eye(conv.pool**2)])
        terms = groups_of(conv, expected) @ states.T
        log_sums = logsumexp(terms, axis=1)
        assert F[row] == pytest.approx(-(b_v @ v[row]) - log_sums.sum(), rel=1e-5)
        p_on = 1.0 - np.exp(-log_sums)
        np.testing.assert_allclose(pooled[row].ravel(), p_on, atol=1e-5)
        by_filter = np.exp(terms - log_sums[:, None])[:, 1:].reshape(shape[4], -1).mean(axis=1)
        np.testing.assert_allclose(means[row], by_filter, atol=1e-5)
    np.testing.assert_allclose(x, v @ W + b_h, atol=2e-5)
    np.testing.assert_allclose(back, h @ W.T + b_v, atol=2e-5)
    # each column of the explicit weights is one filter at one place of an empty image
    size = conv.filter_shape[0]
    filters = engine.to_numpy(conv.W)
    placed = set()
    for column in W.T.astype(np.float32).round(4):
        image = column.reshape(shape[:2])
        i, j = (int(axis.min()) for axis in np.nonzero(image))
        found = image[i : i + size, j : j + size]
        assert np.count_nonzero(image) == size * size
        k = int(np.abs(filters.T.reshape(-1, size, size) - found).max(axis=(1, 2)).argmin())
        np.testing.assert_allclose(found.ravel(), filters[:, k], atol=1e-4)
        placed.add((k, i, j))
    assert len(placed) == conv.n_hidden


def states_of_groups(conv: ConvolutionalRBM) -> np.ndarray:
    """All states of the hidden layer with at most one unit of a group on."""
    block, filters = conv.pool**2 * conv.W.type.shape[1], conv.W.type.shape[1]
    columns = np.arange(conv.n_hidden).reshape(-1, block // filters, filters)
    found = []
    for choice in itertools.product(range(conv.pool**2 + 1), repeat=columns.shape[0] * filters):
        h = np.zeros(conv.n_hidden)
        for which, (square, k) in zip(choice, np.ndindex(columns.shape[0], filters), strict=True):
            if which:
                h[columns[square, which - 1, k]] = 1.0
        found.append(h)
    return np.array(found)


@pytest.mark.parametrize(("shape", "visible"), [((3, 3, 2, 2, 2), Bernoulli()), ((3, 3, 2, 2, 2), Gaussian(0.8))])
def test_the_free_energy_is_the_sum_over_hidden_states(shape, visible):
    conv = model(*shape, visible=visible)
    n = shape[0] * shape[1]
    h = states_of_groups(conv)
    assert len(h) == 25
    v = RNG(6).normal(size=(2, n)).astype(np.float32) if visible != Bernoulli() else np.eye(2, n, 3, dtype=np.float32)
    W, F, energies = values(
        conv.rbm.W,
        conv.free_energy(pt.as_tensor(v)),
        conv.energy(pt.as_tensor(np.repeat(v, len(h), 0)), pt.as_tensor(np.tile(h, (2, 1)).astype(np.float32))),
    )
    b_v = engine.to_numpy(conv.b_v).astype(float)
    b_h = np.tile(engine.to_numpy(conv.b_h).astype(float), conv.pool**2)
    s = v * (1.0 if visible == Bernoulli() else 0.8**-2)
    own = -(s @ b_v) + (0.0 if visible == Bernoulli() else 0.5 * 0.8**-2 * np.square(v).sum(axis=1))
    expected = own[:, None] - h @ b_h - (s @ W) @ h.T
    np.testing.assert_allclose(energies.reshape(2, -1), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(F, -logsumexp(-expected, axis=1), rtol=1e-5)


def test_log_Z_is_that_of_all_states_and_ais_comes_near():
    conv = model(3, 3, 2, 2, 2)
    v = np.array(list(itertools.product((0.0, 1.0), repeat=9)))
    h = states_of_groups(conv)
    (W,) = values(conv.rbm.W)
    b_v = engine.to_numpy(conv.b_v).astype(float)
    b_h = np.tile(engine.to_numpy(conv.b_h).astype(float), 4)
    minus_energy = (v @ b_v)[:, None] + h @ b_h + v @ W @ h.T
    log_p = logsumexp(minus_energy, axis=1) - logsumexp(minus_energy)
    pieces = [v.astype(np.uint8)]
    exact = rnnrbm.log_likelihood(conv, pieces, method="exact")
    np.testing.assert_allclose(exact.frames[0], log_p, atol=2e-5)
    estimated = Evaluator(conv, n_chains=100, n_temperatures=200)(pieces, seed=1)
    assert abs(estimated.mean - log_p.mean()) < 5 * estimated.standard_error < 0.2


@pytest.mark.parametrize("pool", [1, 2])
def test_gibbs_steps_leave_the_distribution_as_it_is(pool):
    conv = model(3, 3, 2, pool, 2)
    states = np.array(list(itertools.product((0, 1), repeat=9)), np.float32)
    (F,) = values(conv.free_energy(pt.as_tensor(states)))
    p = np.exp(-F - logsumexp(-F))
    n = 20_000
    start = states[RNG(7).choice(512, n, p=p)]
    v, rng = pt.tensor("v", dtype="float32", shape=(n, 9)), random.shared(2)
    after, moved = conv.gibbs_step(v, rng)
    after, moved = conv.gibbs_step(after, moved)
    end = engine.to_numpy(engine.function([v], after, moved.updates())(start))
    index = (end @ 2 ** np.arange(8, -1, -1)).astype(int)
    counts, expected = np.bincount(index, minlength=512), n * p
    rare = expected < 5
    observed, wanted = (np.append(x[~rare], x[rare].sum()) for x in (counts, expected))
    assert stats.chisquare(observed, wanted).pvalue > ALPHA
    assert (end != start).any(axis=1).mean() > 0.5


@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[2]], ids=str)
def test_gradient_and_pseudo_likelihood_are_those_of_the_explicit_rbm(shape):
    """The gradient of W is that of the explicit weights, summed over all places of a filter."""
    conv, n = model(*shape), shape[0] * shape[1]
    v = pt.as_tensor((RNG(8).random((60, n)) < 0.4).astype(np.float32))
    other = pt.as_tensor((RNG(9).random((60, n)) < 0.4).astype(np.float32))
    rbm, rng = conv.rbm, random.shared(3)

    def cost(density: Any) -> Any:
        return density.free_energy(v).mean() - density.free_energy(other).mean()

    sparse = sparsity_penalty(conv, v, 0.1)
    own, theirs, *grads, penalty, means = values(
        conv.pseudo_log_likelihood(v, rng)[0],
        rbm.pseudo_log_likelihood(v, rng)[0],
        *pt.grad(cost(conv), [conv.W, conv.b_v, conv.b_h]),
        *pt.grad(cost(rbm), [conv.W, conv.b_v, conv.b_h]),
        sparse,
        conv.hidden_means(v),
    )
    np.testing.assert_allclose(own, theirs, rtol=1e-4, atol=1e-3)
    for found, expected in zip(grads[:3], grads[3:], strict=True):
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(found, expected, atol=2e-5)
    sharing = conv.n_hidden // shape[4]
    assert penalty == pytest.approx(sharing * np.square(means.mean(axis=0) - 0.1).sum(), rel=1e-4)


def test_a_shared_bias_stays_one_number_for_all_pixels():
    conv = model(6, 6, 3, 2, 2, shared_bias=True)
    images = (RNG(0).random((60, 36)) < np.linspace(0.1, 0.6, 36)).astype(np.uint8)
    before = float(engine.to_numpy(conv.b_v)[0])
    for _ in rnnrbm.fit(conv, images, epochs=1, batch_size=20):
        pass
    b_v = engine.to_numpy(conv.b_v)
    assert np.ptp(b_v) == 0.0
    assert b_v[0] != before
    v = pt.as_tensor(images[:3].astype(np.float32))
    own, explicit = values(conv.free_energy(v), conv.rbm.free_energy(v))
    np.testing.assert_allclose(own, explicit, rtol=1e-5)


def test_it_learns_samples_reconstructs_and_is_saved(tmp_path):
    """Images of strokes: after training they are likelier, and samples have as much ink."""
    rng = RNG(0)
    images = np.zeros((400, 8, 8), np.uint8)
    for image in images:
        i, j = rng.integers(0, 8, 2)
        image[i, max(0, j - 3) : j + 2] = 1
    images = images.reshape(400, 64)
    sequence = rnnrbm.build("conv-rbm", 64, n_filters=8, filter_size=5, seed=0, b_v=Bernoulli().fitted_bias([images]))
    before = rnnrbm.log_likelihood(sequence, images[:50], n_chains=20, n_temperatures=100).mean
    rows = list(rnnrbm.fit(sequence.density, images[50:], epochs=40, batch_size=20, learning_rate=0.005))
    assert np.isfinite(rows[-1]["pseudo_likelihood"])
    after = rnnrbm.log_likelihood(sequence, images[:50], n_chains=100, n_temperatures=1000).mean
    assert after > before + 1.0
    samples = rnnrbm.generate(sequence, 1, n_samples=100, k=60, start="annealed", seed=1)[:, 0]
    assert 0.5 < samples.mean() / images.mean() < 2.0
    made = rnnrbm.sampling.reconstruct(sequence, images[:50])
    assert made is not None
    assert np.abs(made - images[:50]).mean() < 0.8 * np.abs(images.mean(axis=0) - images[:50]).mean()
    sequence.save(tmp_path / "conv.npz")
    read = rnnrbm.load_model(tmp_path / "conv.npz")
    assert read.density.layout == sequence.density.layout
    np.testing.assert_array_equal(engine.to_numpy(read.density.W), engine.to_numpy(sequence.density.W))


def test_a_network_can_set_its_biases():
    """One more axis of the biases: an RNN-RBM whose frames are images."""
    conv = model(4, 4, 3, 2, 2)
    sequence = SequenceModel.init(init_stack("tanh", 16, 3, seed=0), conv, seed=0)
    pieces = [(RNG(i).random((5, 16)) < 0.3).astype(np.uint8) for i in range(2)]
    explicit = rnnrbm.log_likelihood(sequence, pieces, method="exact")
    estimated = rnnrbm.log_likelihood(sequence, pieces, n_chains=60, n_temperatures=100)
    np.testing.assert_allclose(np.concatenate(estimated.frames), np.concatenate(explicit.frames), atol=0.3)
    assert rnnrbm.generate(sequence, 3, n_samples=2, k=3).shape == (2, 3, 16)


def test_a_temperature_divides_the_energy():
    conv = model(3, 4, 2, 1, 2, visible=Gaussian(0.7))
    v, h = (pt.as_tensor(RNG(i).normal(size=(2, n)).astype(np.float32)) for i, n in enumerate((12, conv.n_hidden)))
    one, other = values(conv.energy(v, h), conv.at_temperature(0.6).energy(v, h))
    np.testing.assert_allclose(other, one / 0.6, rtol=1e-5)


def test_scores_of_large_ones_are_shorter_and_cost_no_explicit_weights():
    large, small = ConvolutionalRBM.init(784, 32, 9, seed=0), ConvolutionalRBM.init(64, 8, 5, seed=0)
    assert large.n_hidden == 12_800
    assert usual_annealing(large)[:2] == (100, 1000)
    assert usual_annealing(small)[:2] == usual_annealing(RBM.init(64, 100, seed=0))[:2] == (500, 16_000)
    assert can_anneal(large)
    with pytest.raises(ValueError, match="exact log Z needs a binary layer of at most 25 units, got 784 visible"):
        Evaluator(large, method="exact")
    assert large.hidden == AtMostOne(4, 32)
    assert small._replace(pool=1).hidden == Bernoulli()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((12, 3, 1), "12 pixels are no square image; set height"),
        ((12, 3, 1, 5), "12 pixels are no image of height=5; choose a height that divides 12"),
        ((12, 4, 1, 3), "filter_size=4 is larger than an image of 3 x 4 pixels; choose at most 3"),
        ((64, 3, 4), r"pool=4 does not divide the 6 x 6 hidden units .* choose pool among 1, 2, 3, 6"),
        ((64, 0, 2), "filter_size"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        layout(*arguments)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(TypeError, match="visible must be a unit type"):
        ConvolutionalRBM.init(16, 2, 3, seed=0, visible=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_filters"):
        ConvolutionalRBM.init(16, 0, 3, seed=0)
    conv = ConvolutionalRBM.init(16, 2, 3, seed=0, visible=Gaussian())
    with pytest.raises(TypeError, match="needs binary visible units"):
        conv.pseudo_log_likelihood(pt.zeros((2, 16)), random.shared(0))
