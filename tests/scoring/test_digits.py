"""The likelihood of an RBM of images that is small enough to enumerate."""

import pytest

import rnnrbm
from rnnrbm.scoring.likelihood import Evaluator


@pytest.mark.slow
def test_ais_of_an_rbm_of_digits_agrees_with_enumeration() -> None:
    data = rnnrbm.load("digits")
    rbm = rnnrbm.RBM.init(64, 20, seed=0)
    list(rnnrbm.fit(rbm, data.train, epochs=30, seed=0))
    images = data.test[0][:30]
    exact = Evaluator(rbm, method="exact")([images])
    annealed = Evaluator(rbm, n_chains=100, n_temperatures=1000, schedule="quadratic")([images], seed=0)
    assert abs(annealed.mean - exact.mean) < 0.05
    assert annealed.standard_error < 0.05
    independent = data.kind.baselines(data.train, data.valid, [images])["independent pixels"]
    assert exact.mean > independent + 1.0
