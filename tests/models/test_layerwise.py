"""Training layer by layer: the gradient of each RBM and its copies by NumPy, stages, resuming, what is learned."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from rnnrbm import fit
from rnnrbm.backend import engine, random
from rnnrbm.batch import Batch, Loss
from rnnrbm.models import layerwise
from rnnrbm.models.dbm import DBM
from rnnrbm.training.fit import State
from rnnrbm.training.settings import Training


def numbers(variables: Any) -> list[np.ndarray]:
    return [engine.to_numpy(v).astype(float) for v in variables]


def random_dbm(n_chains: int = 7) -> DBM:
    """Three hidden layers, every parameter and offset random, and chains of 0, 1 and 2."""
    model = DBM.init(4, (3, 5, 2), seed=0, n_chains=n_chains)
    rng = np.random.default_rng(1)
    for p in model.params:
        p.set_value((0.8 * rng.normal(size=p.type.shape)).astype(p.dtype))
    for mu in model.offsets:
        mu.set_value(rng.uniform(0.2, 0.8, mu.type.shape).astype(mu.dtype))
    for chain in model.layer_chains:
        chain.set_value(rng.integers(0, 2, chain.type.shape).astype(chain.dtype))
    return model


def test_a_layer_in_the_middle_has_two_copies_of_what_is_on_its_other_side():
    blocks = layerwise._blocks(random_dbm().machine, [0])
    assert [(b.upper, b.edges, b.n_lower, b.n_upper) for b in blocks] == [
        (1, ((0, 0),), 2, 1),
        (2, ((1, 1),), 2, 2),
        (3, ((2, 2),), 1, 2),
    ]


def test_the_gradient_is_that_of_each_rbm_on_samples_of_the_layer_below():
    model = random_dbm()
    W1, _, _, b0, b1, *_ = numbers(model.params)
    mu = numbers(model.offsets)
    x = (np.random.default_rng(2).random((4, 2, 4)) < 0.5).astype(np.float32)
    v, mask = pt.tensor("v", dtype="float32", shape=x.shape), pt.tensor("mask", dtype="float32", shape=(4, 2))
    counts = np.float32([[1, 1], [1, 1], [1, 0], [1, 0]])
    loss = layerwise.Layerwise(model).loss(Batch(v, mask, mask), random.shared(3))
    moved = [loss.updates[c] for c in model.layer_chains]
    f = engine.function([v, mask], [*pt.grad(loss.cost, model.params), *moved, loss.metrics["reconstruction"]])
    # only the top of the lowest RBM has no sample in its gradient: its data part is exact
    found = [engine.to_numpy(y).astype(float) for y in f(x, counts)]
    rows, weight = x.transpose(1, 0, 2).reshape(8, 4).astype(float), counts.T.ravel() / counts.sum()
    h = expit(2 * rows @ W1 + b1)
    log_p = rows * np.log(expit(h @ W1.T + b0)) + (1 - rows) * np.log(expit(-(h @ W1.T) - b0))
    assert_allclose(found[-1], weight @ log_p.sum(axis=1), rtol=1e-4)

    # averaged over many draws, the negative phase of the lowest RBM is that of its chains one step later
    chain = numbers(model.layer_chains)[0]
    back = expit(chain @ W1.T + b0)
    updates = dict(loss.updates)
    g = engine.function(
        [v, mask], pt.grad(loss.cost, model.params)[0], {k: u for k, u in updates.items() if "rng" in k.name}
    )
    first = np.mean([engine.to_numpy(g(x, counts)) for _ in range(4000)], axis=0)
    states = np.array(np.meshgrid(*[[0, 1]] * 8)).T.reshape(-1, 8).astype(float)  # two copies of four units
    negative = np.zeros((4, 3))
    for p in back:
        both = np.r_[p, p]
        prob = np.prod(np.where(states == 1, both, 1 - both), axis=1)
        total = states[:, :4] + states[:, 4:]
        up = expit(total @ W1 + b1)
        negative += (prob[:, None] * (total / 2 - mu[0])).T @ (up - mu[1]) / len(back)
    positive = (weight[:, None] * (rows - mu[0])).T @ (h - mu[1])
    assert_allclose(first, negative - positive, atol=0.01)
    assert {0.0, 1.0} == set(np.unique(found[7]))  # one copy of the first hidden layer, two of the next
    assert {0.0, 1.0, 2.0} == set(np.unique(found[8]))


def test_a_training_goes_through_the_stages_and_can_be_resumed(tmp_path):
    images = (np.random.default_rng(0).random((60, 6)) < 0.3).astype(np.float32)
    settings: dict[str, Any] = {"epochs": 8, "batch_size": 20, "seed": 1}
    whole, parts = DBM.init(6, (4, 3), seed=0, n_chains=5), DBM.init(6, (4, 3), seed=0, n_chains=5)
    rows = list(fit(whole, images, **settings))
    state = State()
    for row in fit(parts, images, state=state, **settings):
        if row["epoch"] == 3:  # in the second stage
            state.save(tmp_path / "state.npz")
            break
    again = DBM.init(6, (4, 3), seed=5, n_chains=5)
    more = list(fit(again, images, state=State.load(tmp_path / "state.npz")[0], **settings))
    assert [row["reconstruction"] for row in more] == [row["reconstruction"] for row in rows][3:]
    for a, b in zip(whole.params, again.params, strict=True):
        assert_array_equal(engine.to_numpy(a), engine.to_numpy(b))


@pytest.mark.parametrize(("epochs", "expected"), [(20, [0] * 5 + [1] * 7 + [2] * 5 + [3] * 3), (1, [0])])
def test_the_epochs_of_each_stage(epochs, expected):
    shares = [share for share, _ in random_dbm().stages]
    assert [Training(epochs=epochs).stage_at(shares, e) for e in range(epochs)] == expected


class Staged:
    """A model whose stages are given."""

    def __init__(self, stages: list[Any]) -> None:
        self.W = engine.shared(np.ones(3), "W")
        self.own = engine.shared(0.0, "own")
        self.params, self.stages = [self.W], stages

    def loss(self, batch: Batch, rng: Any) -> Loss:
        return Loss(pt.sqr(self.W).sum() + 0 * batch.v.sum())


@pytest.mark.parametrize(
    ("stages", "error", "message"),
    [
        ([(0.5, Staged([]))], ValueError, "begin at .0.5., expected 0 first"),
        ([(0.0, Staged([])), (0.0, Staged([]))], ValueError, "larger and larger"),
        ([(0.0, Staged([])), (1.0, Staged([]))], ValueError, "below 1"),
        ([(0.0, 3)], TypeError, "an object with a loss, got .0.0, 3"),
    ],
)
def test_impossible_stages_are_refused(stages, error, message):
    with pytest.raises(error, match=message):
        list(fit(Staged(stages), np.zeros((4, 3)), epochs=2))


def test_stages_with_other_metrics_or_variables_are_refused():
    class Other(Staged):
        def loss(self, batch: Batch, rng: Any) -> Loss:
            return Loss(pt.sqr(model.W).sum() + 0 * batch.v.sum(), {model.own: model.own + np.float32(1)})

    model = Staged([])
    model.stages = [(0.0, model), (0.5, Other([]))]
    with pytest.raises(ValueError, match=r"stage 1 of Staged has other updates.*'own'.*what a stage leaves alone"):
        list(fit(model, np.zeros((4, 3)), epochs=2))


def test_training_is_completed_once_and_its_result_is_the_best_model():
    class Completed(Staged):
        calls = 0

        def complete_training(self, pieces: Any) -> None:
            self.calls += 1
            self.W.set_value(np.full(3, sum(map(len, pieces)), self.W.dtype))

    model, state, plain = Completed([]), State(), Staged([])
    list(fit(plain, np.zeros((4, 3)), epochs=3, averaging=0.0))
    for row in fit(model, np.zeros((4, 3)), epochs=3, state=state, averaging=0.0):
        assert model.calls == (row["epoch"] == 3)
        if row["epoch"] == 3:  # a training that goes on does so from where it stood
            assert_array_equal(state.arrays["W"], engine.to_numpy(plain.W))
    assert_array_equal(state.best["W"], [4, 4, 4])
    assert_array_equal(engine.to_numpy(model.W), [4, 4, 4])
