"""The mixture of a NADE's orders, and gradients through its blocks of units."""

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, logsumexp

from rnnrbm.backend import engine
from rnnrbm.models import nade_orders
from rnnrbm.models.nade import NADE
from rnnrbm.models.nade_blocks import BLOCK
from rnnrbm.models.nade_orders import log_likelihood_of_orders
from rnnrbm.models.registry import build
from rnnrbm.networks import Memoryless
from rnnrbm.sequence import SequenceModel


def make(n_visible: int, n_hidden: int, **options) -> tuple[NADE, dict[str, np.ndarray]]:
    """All parameters random, none symmetric."""
    rng = np.random.default_rng(0)
    nade = NADE.init(n_visible, n_hidden, seed=0, **options)
    for t in nade.tensors():
        t.set_value(rng.normal(size=t.type.shape).astype(np.float32))
    return nade, {t.name: engine.to_numpy(t).astype(float) for t in nade.tensors()}


def log_prob(p: dict[str, np.ndarray], v: np.ndarray, order: np.ndarray) -> np.ndarray:
    """log p(v) of rows, unit by unit."""
    a, total = p["b_h"] + np.zeros((len(v), 1)), np.zeros(len(v))
    for i in order:
        on = expit(expit(a) @ p["V"][i] + p["b_v"][i])
        total += np.log(np.where(v[:, i] == 1, on, 1 - on))
        a = a + v[:, [i]] * p["W"][i] + (p["U"][i] if "U" in p else 0)
    return total


def test_the_mixture_of_orders_is_that_of_enumeration(monkeypatch):
    monkeypatch.setattr(nade_orders, "MOST_ROWS", 6)
    nade, p = make(4, 3, orderless=True)
    states = oracles.all_states(4)
    rng = np.random.default_rng(7)
    each = np.array([log_prob(p, states, rng.permutation(4)) for _ in range(5)])
    expected = logsumexp(each, axis=0) - np.log(5)
    assert np.ptp(each, axis=0).max() > 0.5
    found = log_likelihood_of_orders(nade, [states[:10], states[10:]], n_orders=5, seed=7)
    assert [len(x) for x in found.frames] == [10, 6]
    assert_allclose(np.concatenate(found.frames), expected, atol=1e-5)
    assert np.exp(np.concatenate(found.frames)).sum() == pytest.approx(1.0, abs=1e-5)
    assert found.standard_error == 0.0
    assert found.settings == "exact, mixture of 5 orders"
    whole = log_likelihood_of_orders(SequenceModel(Memoryless("float32"), nade), states, n_orders=5, seed=7)
    assert whole.mean == pytest.approx(expected.mean(), abs=1e-5)


@pytest.mark.parametrize("orderless", [False, True])
def test_gradients_through_several_blocks(orderless):
    """Also with respect to the frames, and to biases of their own for each row."""
    n, n_rows = 2 * BLOCK + 3, 3
    nade, p = make(n, 4, orderless=orderless)
    rng = np.random.default_rng(1)
    rows, weight = rng.random((n_rows, n)).astype(np.float32), rng.normal(size=n_rows).astype(np.float32)
    b_h = rng.normal(size=(n_rows, 4)).astype(np.float32)
    v, bias = (pt.tensor(name, dtype="float32", shape=(n_rows, m)) for name, m in (("v", n), ("bias", 4)))
    total = (nade._replace(b_h=bias).log_prob(v) * weight).sum(acc_dtype="float32")
    wrt = [v, bias, *(t for t in nade.tensors() if t.name != "b_h")]
    found = engine.function([v, bias], [total, *pt.grad(total, wrt)])(rows, b_h)

    def oracle(q: dict[str, np.ndarray]) -> float:
        a, total = q["bias"], 0.0
        for i in range(n):
            logits = expit(a) @ q["V"][i] + q["b_v"][i]
            total = total + weight @ (q["v"][:, i] * logits - np.logaddexp(0, logits))
            a = a + q["v"][:, [i]] * q["W"][i] + (q["U"][i] if orderless else 0)
        return float(total)

    any_number = pt.matrix("any_number", dtype="float32")
    each = engine.function([any_number], nade.log_prob(any_number))(rows.round())
    assert_allclose(engine.to_numpy(each), log_prob(p, rows.round(), np.arange(n)), rtol=1e-5)
    q = p | {"v": rows.astype(float), "bias": b_h.astype(float)}
    assert float(found[0]) == pytest.approx(oracle(q), rel=1e-5)
    expected = oracles.finite_differences(oracle, q)
    for variable, gradient in zip(wrt, found[1:], strict=True):
        name = {id(v): "v", id(bias): "bias"}.get(id(variable), variable.name)
        assert_allclose(engine.to_numpy(gradient), expected[name], atol=1e-4, err_msg=name)
        assert np.abs(expected[name]).max() > 1e-2


def test_what_is_impossible_is_said():
    frames = np.zeros((2, 4))
    with pytest.raises(ValueError, match="trained on one order only; make one with orderless=True"):
        log_likelihood_of_orders(make(4, 3)[0], frames)
    with pytest.raises(TypeError, match="expected a NADE, alone or as a model of single frames, got SequenceModel"):
        log_likelihood_of_orders(build("rnn-nade", 4, n_hidden=3, n_recurrent=2, seed=0), frames)
    with pytest.raises(ValueError, match="n_orders=0: expected a whole number, at least 1"):
        log_likelihood_of_orders(make(4, 3, orderless=True)[0], frames, n_orders=0)
    with pytest.raises(ValueError, match=r"holds 0\.5 in frame 0"):
        log_likelihood_of_orders(make(4, 3, orderless=True)[0], frames + 0.5)
