"""A mixture of sequence models: its likelihood, its samples, its file, and what it refuses."""

import itertools

import numpy as np
import pytest

import rnnrbm
from rnnrbm.models.mixture import mixture

N = 4
STATES = np.array(list(itertools.product([0, 1], repeat=N)), np.uint8)


def members(seeds=(1, 2, 3), name="rnn-nade"):
    made = [rnnrbm.build(name, N, seed=seed, n_hidden=5, n_recurrent=6) for seed in seeds]
    rng = np.random.default_rng(0)
    for model in made:
        for p in model.params:
            p.set_value(rng.normal(0, 0.8, p.get_value().shape).astype(p.dtype))
    return made


def test_probabilities_are_the_mean_of_the_members_and_sum_to_one():
    models = members()
    past = np.array([[1, 0, 1, 0], [0, 1, 1, 0]], np.uint8)
    pieces = [np.concatenate([past, state[None]]) for state in STATES]
    mixed = mixture(models).log_likelihood(pieces)
    last = np.exp([x[-1] for x in mixed.frames])
    each = [np.exp([x[-1] for x in rnnrbm.log_likelihood(m, pieces).frames]) for m in models]
    np.testing.assert_allclose(last, np.mean(each, axis=0), rtol=1e-5)
    assert last.sum() == pytest.approx(1, abs=1e-5)
    assert mixed.standard_error == 0
    assert mixed.settings == "mixture of 3, exact"


def test_samples_have_the_probabilities_of_the_mixture():
    models = members()
    mixed = mixture(models)
    rolls = mixed.generate(2, n_samples=40_000, seed=3)
    assert rolls.shape == (40_000, 2, N)
    pieces = [np.stack([a, b]) for a in STATES for b in STATES]
    p = np.exp(mixed.log_likelihood(pieces).per_piece)
    assert p.sum() == pytest.approx(1, abs=1e-5)
    code = (rolls.reshape(-1, 2 * N) @ (2 ** np.arange(2 * N)[::-1])).astype(int)
    counts = np.bincount(code, minlength=len(p))
    likely = p * len(rolls) >= 5
    chi2 = ((counts - p * len(rolls)) ** 2 / (p * len(rolls)))[likely].sum()
    degrees = likely.sum() - 1
    assert abs(chi2 - degrees) < 5 * np.sqrt(2 * degrees)


def test_energies_mix_too_and_their_errors_shrink():
    models = members((1, 2), "rnn-rbm")
    pieces = [STATES]
    mixed = mixture(models).log_likelihood(pieces, method="exact")
    each = [rnnrbm.log_likelihood(m, pieces, method="exact").frames[0] for m in models]
    np.testing.assert_allclose(mixed.frames[0], np.logaddexp(*each) - np.log(2), rtol=1e-5)
    estimated = mixture(models).log_likelihood(pieces, n_chains=50, n_temperatures=100)
    assert estimated.mean == pytest.approx(mixed.mean, abs=5 * estimated.standard_error + 1e-3)
    alone = rnnrbm.log_likelihood(models[0], pieces, n_chains=50, n_temperatures=100)
    assert 0 < estimated.standard_error < alone.standard_error * 1.2
    assert np.isin(mixture(models).generate(3, k=2), [0, 1]).all()


def test_a_file_gives_the_same_mixture(tmp_path):
    mixed = mixture(members())
    mixed.save(tmp_path / "mixture.npz")
    read = rnnrbm.load_model(tmp_path / "mixture.npz")
    np.testing.assert_array_equal(read.generate(5, seed=1), mixed.generate(5, seed=1))
    assert read.log_likelihood([STATES]).mean == mixed.log_likelihood([STATES]).mean


def test_one_member_is_that_model():
    model = members()[0]
    np.testing.assert_allclose(
        mixture([model]).log_likelihood([STATES]).frames[0], rnnrbm.log_likelihood(model, [STATES]).frames[0], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ([], ValueError, "members is empty"),
        (["model"], TypeError, r"members\[0\] is a str"),
        ([rnnrbm.build("rnn-nade", 4, seed=0), rnnrbm.build("rnn-nade", 5, seed=0)], ValueError, r"4, Bernoulli"),
    ],
)
def test_what_is_no_mixture_is_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        mixture(wrong)
