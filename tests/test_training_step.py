"""The training step that the docstring of `rnnrbm.rnnrbm` writes out is the one that `SequenceModel.loss` takes."""

import re
import textwrap

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from rnnrbm import rnn_rbm
from rnnrbm import rnnrbm as module
from rnnrbm.backend import engine, random
from rnnrbm.rbm import RBM, cd
from rnnrbm.samplers import NegativePhase
from rnnrbm.training import optimisers

pytestmark = pytest.mark.gpu

T, RATE = 12, np.float32(0.1)


def make():
    rng = np.random.default_rng(0)
    model = rnn_rbm(6, 5, 4, seed=rng, cell="tanh")
    for p in model.params:
        p.set_value((0.5 * rng.normal(size=p.type.shape)).astype(np.float32))
    return model


def test_the_step_of_the_docstring_is_that_of_the_library():
    v = (np.random.default_rng(1).random((T, 6)) < 0.4).astype(np.float32)
    ours, theirs = make(), make()

    sequence = pt.tensor("v", dtype="float32", shape=(T, 1, 6))
    loss = ours.loss(sequence, rng=random.shared(3), negative_phase=NegativePhase(k=15))
    updates = optimisers.sgd(pt.grad(loss.cost, ours.params), ours.params, RATE) | loss.updates
    cost = float(engine.function([sequence], loss.cost, updates)(v[:, None]))

    # the loss draws one number for each frame first, for the pseudo-likelihood that it reports
    names = {p.name: p for p in theirs.params} | {"params": theirs.params, "rate": RATE}
    names |= {"v": pt.tensor("v", dtype="float32", shape=(T, 6)), "rng": random.shared(3).skip(1)}
    names |= {"pt": pt, "pytensor": pytensor, "RBM": RBM, "cd": cd, "engine": engine}
    (code,) = re.findall(r"::\n\n(    def step.*?)\n\n:meth:", module.__doc__ or "", re.DOTALL)
    exec(textwrap.dedent(code), names)
    train: object = names["train"]
    assert callable(train)
    np.testing.assert_allclose(float(train(v)), cost, rtol=1e-5)
    for p, q in zip(ours.params, theirs.params, strict=True):
        np.testing.assert_allclose(engine.to_numpy(p), engine.to_numpy(q), rtol=1e-4, atol=1e-6)
        assert not np.array_equal(engine.to_numpy(p), make().params[ours.params.index(p)].get_value())
