"""p(label | image) against enumeration, and by counting samples."""

import numpy as np
import oracles
import pytest
from scipy.special import softmax

from rnnrbm.densities import Independent
from rnnrbm.joint_units import Joint
from rnnrbm.models.autoencoder import Autoencoder
from rnnrbm.models.nade import NADE
from rnnrbm.rbm import RBM
from rnnrbm.rnnrbm import rnn_rbm
from rnnrbm.scoring import labels
from rnnrbm.scoring.labels import classify
from rnnrbm.units import Bernoulli, Softmax

pytestmark = pytest.mark.gpu

UNIT = Joint(((4, Bernoulli()), (3, Softmax(3))))
IMAGES = oracles.all_states(4)


def rbm(scale=1.5):
    rng = np.random.default_rng(2)
    made = RBM.init(7, 5, seed=0, visible=UNIT)
    p = {
        name: (scale * rng.normal(size=shape)).astype(np.float32)
        for name, shape in (("W", (7, 5)), ("b_v", 7), ("b_h", 5))
    }
    p["b_v"][4:] += [0.3, 0.5, -3.0]  # so that more than one label wins
    for name, value in p.items():
        getattr(made, name).set_value(value)
    return made, {name: x.astype(float) for name, x in p.items()}


@pytest.mark.parametrize("rows", [10_000, 12])
def test_probabilities_of_an_rbm_are_those_of_enumeration(monkeypatch, rows):
    monkeypatch.setattr(labels, "_ROWS", rows)  # one block, and several of which the last is not full
    made, p = rbm()
    h = oracles.all_states(5)
    expected = np.empty((16, 3))
    for i, image in enumerate(IMAGES):
        for label in range(3):
            v = np.concatenate([image, np.eye(3)[label]])
            expected[i, label] = sum(np.exp(v @ p["b_v"] + x @ p["b_h"] + v @ p["W"] @ x) for x in h)
    expected /= expected.sum(axis=1, keepdims=True)
    found = classify(made, [IMAGES[:5], IMAGES[5:]], 3)
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    assert found.dtype == np.float64
    assert np.ptp(found.argmax(axis=1)) > 0


def test_a_normalized_density_classifies_too():
    made = NADE.init(7, 4, seed=3)
    for parameter in made.tensors():
        value = parameter.get_value()
        parameter.set_value(np.random.default_rng(1).normal(size=value.shape).astype(value.dtype))
    from rnnrbm.scoring.likelihood import log_likelihood

    frames = np.concatenate([np.concatenate([IMAGES, np.tile(np.eye(3)[i], (16, 1))], axis=1) for i in range(3)])
    log_p = log_likelihood(made, [frames]).frames[0].reshape(3, 16).T
    np.testing.assert_allclose(classify(made, IMAGES, 3), softmax(log_p, axis=1), rtol=1e-4)
    alone = Independent.init(7, visible=UNIT, b_v=np.log([0.5] * 4 + [0.2, 0.3, 0.5]))
    np.testing.assert_allclose(classify(alone, IMAGES[:2], 3), [[0.2, 0.3, 0.5]] * 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: classify(rnn_rbm(7, 3, 2, seed=0), IMAGES, 3), TypeError, "reads the past"),
        (lambda: classify(Autoencoder.init(7, 3, seed=0), IMAGES, 3), TypeError, "an? Autoencoder has neither"),
        (lambda: classify(rbm()[0], IMAGES, 2), ValueError, "images have 4 pixels; expected 5, as"),
        (lambda: classify(rbm()[0], IMAGES, 7), ValueError, "n_classes=7: the model has 7 columns"),
        (lambda: classify(rbm()[0], IMAGES, 4), ValueError, "images have 4 pixels; expected 3, as"),
        (lambda: classify(rbm()[0], 0.5 * IMAGES, 3), ValueError, "images 0 holds 0.5"),
    ],
)  # fmt: skip
def test_what_cannot_be_classified(make, error, message):
    with pytest.raises(error, match=message):
        make()
