"""A published RBM of MNIST, whose test log-likelihood is known: the golden value of AIS for a static RBM."""

import os
from pathlib import Path

import numpy as np
import pytest

from rnnrbm.backend import engine
from rnnrbm.rbm import RBM
from rnnrbm.scoring.likelihood import log_likelihood

FOLDER = Path(os.environ.get("RNNRBM_DATA", "")) / "mnist" / "golden_rbm"
#: of the CD-25 RBM with 500 hidden units of Salakhutdinov & Murray (ICML 2008)
PUBLISHED = -86.34

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (FOLDER / "cd25_500.npz").exists(), reason="RNNRBM_DATA has no mnist/golden_rbm"),
]


def golden() -> tuple[RBM, np.ndarray]:
    """The RBM, and its 10 000 test images."""
    with np.load(FOLDER / "cd25_500.npz") as arrays:
        rbm = RBM(*(engine.shared(arrays[name], name) for name in ("W", "b_v", "b_h")))
        return rbm, np.unpackbits(arrays["test_packed"], axis=1, count=784)


def test_the_default_is_the_published_value() -> None:
    rbm, images = golden()
    scored = log_likelihood(rbm, images, seed=0)
    assert abs(scored.mean - PUBLISHED) < 0.15
    assert scored.standard_error < 0.15


def test_the_published_settings_of_sequences_say_that_they_would_not_do() -> None:
    rbm, images = golden()
    with pytest.warns(UserWarning, match="the effective sample size is below 20 of 100 chains.*use more temperatures"):
        log_likelihood(rbm, images, n_chains=100, n_temperatures=1000)
