"""What can be trained besides sequence models: densities alone, models with a loss, models with their own rule."""

import math
from functools import partial
from typing import Any, ClassVar

import numpy as np
import oracles
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.sparse
from helpers import TIMES, VARIANTS, a_model

from rnnrbm import RBM, State, fit, rnn_rbm
from rnnrbm.backend import engine, random
from rnnrbm.batch import Loss, masked_mean
from rnnrbm.checkpoint import CheckpointError
from rnnrbm.joint_units import Joint
from rnnrbm.models import registry
from rnnrbm.models.nade import NADE
from rnnrbm.networks import Memoryless
from rnnrbm.recurrence import flatten
from rnnrbm.scoring.likelihood import log_likelihood
from rnnrbm.sequence import SequenceModel
from rnnrbm.training.fit import Diverged
from rnnrbm.training.packing import PackedDataset
from rnnrbm.training.settings import Training
from rnnrbm.training.suitable import (
    USUAL_OF_REAL_NUMBERS,
    missing_settings,
    suitable_settings,
    usual_rate,
    usual_settings,
)
from rnnrbm.training.trainable import as_trainable, checked_pieces
from rnnrbm.units import Bernoulli, Gaussian, ReLU, Softmax

# --- the models ---------------------------------------------------------------------------------------


class Autoencoder:
    """Linear, of one matrix: the optimum is the projection on the principal components."""

    def __init__(self, n_visible: int, n_hidden: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.W = engine.shared(rng.normal(0.0, 0.1, (n_visible, n_hidden)), "W")

    @property
    def params(self) -> list[Any]:
        return [self.W]

    def loss(self, batch: Any, rng: Any) -> Loss:
        error = pt.sqr(batch.v - batch.v @ self.W @ self.W.T).sum(axis=-1)
        return Loss(masked_mean(flatten(error), batch.mask))


class Denoising(Autoencoder):
    """With noise, state of its own (a running mean of the error and a count of steps) and metrics."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.running = engine.shared(0.0, "running")
        self.steps = engine.shared(0, "steps", "int32")

    def loss(self, batch: Any, rng: Any) -> Loss:
        noise, rng = rng.normal(batch.v)
        error = pt.sqr(batch.v - (batch.v + np.float32(0.1) * noise) @ self.W @ self.W.T).sum(axis=-1)
        cost = masked_mean(flatten(error), batch.mask)
        tenth = np.float32(0.1)
        own = {self.running: self.running + tenth * (cost - self.running), self.steps: self.steps + np.int32(1)}
        return Loss(cost, own | rng.updates(), {"norm": pt.sqr(self.W).sum(acc_dtype="float32")})


class Hopfield:
    """Hebb's rule, W = sum of x x' over patterns of -1 and 1, without a diagonal."""

    def __init__(self, n_visible: int, dtype: str = "float32") -> None:
        self.n_visible = n_visible
        self.W = engine.shared(np.zeros((n_visible, n_visible)), "W", dtype)
        self.patterns = engine.shared(0.0, "patterns")
        self.params = [self.W]

    def updates(self, batch: Any, rng: Any) -> Any:
        x = flatten(batch.v) * flatten(batch.mask[:, :, None])
        hebb = (x.T @ x) * (np.float32(1.0) - np.eye(self.n_visible, dtype=np.float32))
        seen = batch.mask.sum(acc_dtype="float32")
        energy = -((x @ self.W) * x).sum(acc_dtype="float32") / np.float32(2.0)
        return {self.W: self.W + hebb, self.patterns: self.patterns + seen}, {"energy": energy}


class Noisy(Hopfield):
    """A rule that draws random numbers."""

    def updates(self, batch: Any, rng: Any) -> Any:
        updates, metrics = super().updates(batch, rng)
        u, rng = rng.uniform(self.W)
        return updates | {self.W: updates[self.W] + u} | rng.updates(), metrics

    def score(self, pieces: Any, mode: Any = None) -> float:
        return -float(abs(engine.to_numpy(self.W).sum() - sum(piece.sum() for piece in pieces)))


# --- the data -----------------------------------------------------------------------------------------

BARS = np.repeat(np.eye(3, dtype=np.uint8), 2, axis=1)  # of six units, two neighbours at a time
FRAMES = BARS[np.random.default_rng(0).choice(3, 120, p=[0.5, 0.3, 0.2])]
REAL = (np.random.default_rng(1).normal(size=(200, 3)) @ np.random.default_rng(2).normal(size=(3, 5))).astype(
    np.float32
)
REAL += 0.1 * np.random.default_rng(3).normal(size=REAL.shape).astype(np.float32)
PIECES = [np.eye(6, dtype=np.uint8)[np.random.default_rng(n).integers(6, size=n)] for n in (12, 7, 20, 9, 15)]
PATTERNS = np.random.default_rng(4).choice(np.float32([-1, 1]), (7, 64))
ROWS = {"batch_size": 2, "row_length": 9, "context": 2, "k": 1}
FAST = {"warmup": 0.0, "learning_rate": 0.03, "valid_every": 2}
SHORT_AIS = {"valid_n_chains": 3, "valid_n_temperatures": 5}


def values(variables: Any) -> dict[str, np.ndarray]:
    return {v.name: engine.to_numpy(v) for v in variables}


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    """Bit for bit."""
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert a[name].tobytes() == b[name].tobytes(), name


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{key: repr(value) for key, value in row.items() if key not in TIMES} for row in rows]


# --- densities alone ----------------------------------------------------------------------------------


def make_rbm(seed: int = 0) -> RBM:
    return RBM.init(6, 4, seed=np.random.default_rng(seed), scale=0.3)


def test_an_rbm_alone_learns_what_can_be_enumerated():
    rbm = make_rbm()
    before = log_likelihood(rbm, FRAMES, method="exact").mean
    rows = list(fit(rbm, FRAMES, epochs=150, batch_size=30, k=5, **FAST | {"learning_rate": 0.1}))
    p = {t.name: engine.to_numpy(t).astype(np.float64) for t in rbm.tensors()}
    after = np.log(oracles.probabilities(p)[oracles.state_index(FRAMES)]).mean()
    entropy = -sum(q * math.log(q) for q in np.unique(FRAMES, axis=0, return_counts=True)[1] / len(FRAMES))
    assert before < -3.9  # hardly better than a uniform distribution, -4.16
    assert -entropy - 0.5 < after <= -entropy
    assert list(rows[0]) == [
        *("epoch", "k", "learning_rate", "loss", "pseudo_likelihood", "valid_ll", "valid_se"),
        *("seconds", "frames_per_second"),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"persistent": True, "n_betas": 2},
        {"persistent": True, "n_annealed": 3},
        {"averaging": 0.9, "n_proposals": 4},
    ],
)
def test_an_rbm_alone_trains_as_a_sequence_model_without_a_past(options):
    settings = FAST | SHORT_AIS | {"epochs": 3, "batch_size": 50, "k": 1} | options
    alone, inside = make_rbm(), make_rbm()
    mine, theirs = State(), State()
    list(fit(alone, FRAMES, FRAMES[:9], state=mine, **settings))
    model = SequenceModel(Memoryless("float32"), inside)
    usual = missing_settings(as_trainable(alone), Training.named(settings), single_frames=True)  # those of images
    rows = {"row_length": 1, "context": 0}
    list(fit(model, [FRAMES], [FRAMES[:9]], state=theirs, **usual | settings | rows))
    assert_same(values(alone.tensors()), values(inside.tensors()))
    assert_same(values(mine.variables.values()), values(theirs.variables.values()))
    assert_same(mine.best, theirs.best)
    assert timeless(mine.rows) == timeless(theirs.rows)
    mine.restore_best(make_rbm(1))


def test_a_gaussian_rbm_learns_real_numbers():
    standard = (REAL - REAL.mean(axis=0)) / REAL.std(axis=0)
    for data in (standard, standard.astype(np.float64)):
        rbm = RBM.init(5, 8, seed=0, visible=Gaussian())
        before = log_likelihood(rbm, data, method="exact").mean
        rows = list(fit(rbm, data, epochs=60, batch_size=50, k=1, **FAST))
        assert math.isnan(rows[-1]["pseudo_likelihood"])
        assert log_likelihood(rbm, data, method="exact").mean > before + 0.3


def test_a_nade_alone_learns():
    nade = NADE.init(6, 8, seed=0)
    rows = list(fit(nade, FRAMES, FRAMES, epochs=100, batch_size=30, **FAST | {"learning_rate": 0.1}))
    entropy = -sum(q * math.log(q) for q in np.unique(FRAMES, axis=0, return_counts=True)[1] / len(FRAMES))
    assert rows[-1]["valid_ll"] == pytest.approx(log_likelihood(nade, FRAMES).mean, abs=1e-5)
    assert -entropy - 0.15 < rows[-1]["valid_ll"] <= -entropy
    assert math.isnan(rows[-1]["k"])


def seen_shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    seen: list[tuple[int, int, int]] = []

    class Seen(PackedDataset):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            seen.append((options["row_length"], options["batch_size"], options["context"]))

    monkeypatch.setattr("rnnrbm.training.fit.PackedDataset", Seen)
    return seen


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (1, 6, 0)),
        ({"batch_size": 7}, (1, 7, 0)),
        ({"row_length": 8, "context": 2, "batch_size": 3}, (8, 3, 2)),
        ({"settings": Training(epochs=0, batch_size=5)}, (1, 5, 0)),
    ],
)
def test_frames_of_a_static_model_are_shuffled_unless_rows_are_asked_for(monkeypatch, options, expected):
    seen = seen_shapes(monkeypatch)
    for model in (make_rbm(), Autoencoder(6, 2)):
        list(fit(model, FRAMES, **options if "settings" in options else options | {"epochs": 0}))
    assert seen == [expected] * 2


@pytest.mark.parametrize("fill", [True, False])
def test_single_frames_come_in_random_order_each_once(fill):
    pieces = [np.eye(8, dtype=np.uint8)[2:6][np.arange(n) % 4] for n in (1, 30, 6)]
    corpus = PackedDataset(pieces, row_length=1, batch_size=5, context=0, transpose_range=(-2, 2))
    batches = list(corpus.epoch((0, 1), transpose_prob=0.5, fill=fill))
    assert [batch.offset.shape for batch in batches] == [(1, 5)] * 8 == [(1, 5)] * corpus.n_batches((0, 1))
    mask = np.concatenate([batch.mask[0] for batch in batches])
    assert mask.tolist() == [1.0] * 37 + [float(fill)] * 3
    frames = np.concatenate([corpus.dense(batch)[0] for batch in batches])[:37]
    assert (frames.sum(axis=1) == 1).all()  # no note has left the roll
    place = np.concatenate([batch.offset[0] for batch in batches])[:37] // (8 + 2 * 2)
    assert (np.diff(place) != 1).any()
    where = np.empty(37, int)
    where[place] = frames.argmax(axis=1)
    shifts = [set(part - pieces[i].argmax(axis=1)) for i, part in enumerate(np.split(where, [1, 31]))]
    assert all(len(shift) == 1 for shift in shifts)  # a piece moves as a whole
    assert {0} < set.union(*shifts)


# --- models with a loss -------------------------------------------------------------------------------


def test_an_autoencoder_finds_the_principal_components():
    centred = REAL - REAL.mean(axis=0)
    model = Autoencoder(5, 2)
    rows = list(fit(model, centred, epochs=150, batch_size=200, **FAST | {"clip": 0.0, "learning_rate": 0.05}))
    left = np.linalg.svd(centred, compute_uv=False)[2:]
    optimum = np.square(left, dtype=float).sum() / len(centred)
    assert rows[0]["loss"] > 3 * optimum
    assert rows[-1]["loss"] == pytest.approx(optimum, rel=1e-3)
    assert list(rows[0]) == ["epoch", "learning_rate", "loss", "valid_loss", "seconds", "frames_per_second"]
    assert math.isnan(rows[0]["valid_loss"])


def test_the_valid_loss_is_the_mean_over_frames_and_chooses_the_best_parameters():
    """Trained on some data and validated on other, it gets better first and then worse. 67 is no multiple of 10."""
    train, valid = REAL[:10] * np.float32([1, 1, 1, 0.1, 0.1]), REAL[100:167]
    model, state, seen = Autoencoder(5, 3, seed=2), State(), []
    settings = FAST | {"epochs": 40, "batch_size": 10, "valid_every": 1, "learning_rate": 0.02, "patience": 0}
    for row in fit(model, train, [valid[:20], valid[20:]], state=state, **settings):
        W = engine.to_numpy(model.W)
        assert row["valid_loss"] == pytest.approx(np.square(valid - valid @ W @ W.T).sum(axis=1).mean(), rel=1e-5)
        seen.append(W)
    losses = [row["valid_loss"] for row in state.rows]
    best = int(np.argmin(losses))
    assert 0 < best < 39
    assert (state.best_epoch, state.best_ll) == (best + 1, -losses[best])
    np.testing.assert_array_equal(engine.to_numpy(model.W), seen[best])


def test_the_valid_loss_has_the_same_noise_every_time_and_leaves_the_model_alone():
    def trained(valid: Any) -> tuple[Denoising, State]:
        model, state = Denoising(5, 2), State()
        list(fit(model, REAL, valid, epochs=4, batch_size=64, state=state, **FAST | {"learning_rate": 1e-30}))
        return model, state

    model, state = trained(REAL[:70])
    losses = [row["valid_loss"] for row in state.rows if not math.isnan(row["valid_loss"])]
    assert len(losses) == 2
    assert len(set(losses)) == 1
    # nothing improves after the first validation, in epoch 2, and the model's own state is that of its best parameters
    assert int(engine.to_numpy(model.steps)) == state.best["steps"] == 2 * 4
    other, without = trained(None)
    assert [row["loss"] for row in state.rows] == [row["loss"] for row in without.rows]
    assert_same(values(other.params), values(model.params))


def test_averages_are_validated_and_kept():
    model, state = Autoencoder(5, 2), State()
    settings = FAST | {"epochs": 6, "batch_size": 50, "averaging": 0.9, "valid_every": 6}
    rows = fit(model, REAL, REAL, state=state, **settings)
    live = [engine.to_numpy(model.W) for _ in rows]
    averaged = engine.to_numpy(state.variables["average.W"])
    assert np.abs(averaged - live[-1]).max() > 1e-3
    np.testing.assert_array_equal(engine.to_numpy(model.W), averaged)
    W = averaged
    assert state.rows[-1]["valid_loss"] == pytest.approx(np.square(REAL - REAL @ W @ W.T).sum(axis=1).mean(), rel=1e-5)


def test_rows_of_several_frames_keep_their_order():
    """A model of its own that reads the past: it predicts each frame by the one before, in its piece."""

    class Linear:
        visible = Bernoulli()

        def __init__(self) -> None:
            self.A = engine.shared(np.zeros((3, 3)), "A")
            self.params = [self.A]

        def loss(self, batch: Any, rng: Any) -> Loss:
            before = pt.concatenate([pt.zeros_like(batch.v[:1]), batch.v[:-1]])
            before = pt.switch(batch.start[:, :, None], np.float32(0.0), before)
            error = pt.sqr(batch.v - before @ self.A).sum(axis=-1)
            return Loss(masked_mean(flatten(error), batch.mask))

    turning = [np.eye(3, dtype=np.uint8)[np.arange(n) % 3] for n in (8, 40, 15)]
    model = Linear()
    list(fit(model, turning, epochs=200, row_length=16, context=2, batch_size=4, **FAST))
    np.testing.assert_allclose(engine.to_numpy(model.A), np.roll(np.eye(3), 1, axis=1), atol=0.02)


# --- models with their own rule -----------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [7, 3])
def test_a_hopfield_net_stores_patterns(batch_size):
    """Each pattern counts once, whether or not the batches come out even."""
    net = Hopfield(64)
    rows = list(fit(net, PATTERNS, epochs=1, batch_size=batch_size))
    W = PATTERNS.T @ PATTERNS
    np.fill_diagonal(W, 0.0)
    np.testing.assert_array_equal(engine.to_numpy(net.W), W)
    np.testing.assert_array_equal(np.sign(PATTERNS @ W), PATTERNS)
    assert float(engine.to_numpy(net.patterns)) == 7.0
    assert list(rows[0]) == ["epoch", "energy", "seconds", "frames_per_second"]


def test_what_is_on_by_default_for_sequence_models_is_off_for_others():
    """Unless it is chosen."""
    usual = Training()
    assert usual.averaging > 0
    assert usual.weight_decay > 0
    others = suitable_settings(Hopfield(4), usual, single_frames=True, n_frames=40)
    assert (others.averaging, others.weight_decay) == (0.0, 0.0)
    chosen = suitable_settings(Hopfield(4), Training(averaging=0.5), single_frames=True, n_frames=40)
    assert (chosen.averaging, chosen.weight_decay) == (0.5, 0.0)
    model = as_trainable(NADE.init(4, 3, seed=0))
    kept = suitable_settings(model, usual, single_frames=False, n_frames=40)
    assert (kept.averaging, kept.weight_decay) == (usual.averaging, usual.weight_decay)


def test_a_score_of_the_models_own_chooses_the_best_parameters():
    net, state = Noisy(64), State()
    rows = list(fit(net, PATTERNS, PATTERNS, epochs=3, state=state, valid_every=1))
    scores = [row["valid_score"] for row in rows]
    assert state.best_epoch == int(np.argmax(scores)) + 1
    assert state.best_ll == max(scores) == net.score([PATTERNS])


def test_a_rule_without_metrics():
    class Silent(Hopfield):
        def updates(self, batch: Any, rng: Any) -> Any:
            return super().updates(batch, rng)[0], {}

    net = Silent(64)
    assert list(next(fit(net, PATTERNS, epochs=1))) == ["epoch", "seconds", "frames_per_second"]
    assert engine.to_numpy(net.W).any()


# --- interruption -------------------------------------------------------------------------------------

CASES: dict[str, tuple[Any, np.ndarray, np.ndarray | None, dict[str, Any]]] = {
    "rbm": (
        make_rbm,
        FRAMES,
        FRAMES[:20],
        SHORT_AIS | {"batch_size": 50, "k": [(0.0, 1), (0.5, 2)], "persistent": True},
    ),
    "nade": (lambda seed: NADE.init(6, 3, seed=np.random.default_rng(seed)), FRAMES, FRAMES[:9], {"batch_size": 50}),
    "autoencoder": (lambda seed: Autoencoder(5, 2, seed), REAL, REAL[:20], {"batch_size": 90, "averaging": 0.9}),
    "denoising": (lambda seed: Denoising(5, 2, seed=seed), REAL, REAL[:20], {"batch_size": 90, "weight_decay": 0.1}),
    "hopfield": (lambda seed: Hopfield(64), PATTERNS, None, {"batch_size": 3}),
    "noisy": (lambda seed: Noisy(64), PATTERNS, PATTERNS, {"batch_size": 3}),
    **{
        name: (partial(a_model, name, 6), PIECES, PIECES[:2], SHORT_AIS | ROWS)
        for name in VARIANTS
        if name not in {"rbm", "nade"}
    },
}
#: models that have more in common with one of the others than not
ALIKE = set(VARIANTS) - {"rbm", "nade", "rnn-rbm", "rtrbm", "rnn-nade"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in ALIKE else ()) for n in CASES])
def test_resumed_is_as_never_interrupted(tmp_path, name):
    make, train, valid, options = CASES[name]
    if make is not CASES["hopfield"][0] and make is not CASES["noisy"][0]:
        options = FAST | options
    settings = Training(**{"valid_every": 2} | options | {"epochs": 4})

    def params(model: Any) -> Any:
        return model.params if hasattr(model, "params") else model.tensors()

    whole, state = make(0), State()
    list(fit(whole, train, valid, settings, state=state))

    part, stopped, done = make(0), State(), []
    rows = fit(
        *(part, train, valid, settings),
        state=stopped,
        progress=lambda stage, i, n, row: done.append(i) if stage == "batch" else None,
        stop=lambda: len(done) >= 4,
    )
    list(rows)
    assert stopped.batch > 0  # within an epoch
    stopped.save(tmp_path / "state.npz")
    loaded, _ = State.load(tmp_path / "state.npz")
    again = make(5)
    list(fit(again, train, valid, settings, state=loaded))
    assert_same(values(params(again)), values(params(whole)))
    assert_same(values(loaded.variables.values()), values(state.variables.values()))
    assert_same(loaded.best, state.best)
    assert timeless(loaded.rows) == timeless(state.rows)
    assert (loaded.best_ll, loaded.best_epoch) == (state.best_ll, state.best_epoch)

    # a finished run gives a fresh object its parameters and its own state
    state.save(tmp_path / "state.npz")
    loaded, _ = State.load(tmp_path / "state.npz")
    loaded.save(tmp_path / "again.npz")  # nothing is lost by saving before training
    loaded, _ = State.load(tmp_path / "again.npz")
    fresh = make(6)
    assert list(fit(fresh, train, valid, settings, state=loaded)) == []
    assert_same(values(params(fresh)), values(params(whole)))
    for own in ("running", "steps", "patterns"):
        if hasattr(fresh, own):
            np.testing.assert_array_equal(*(engine.to_numpy(getattr(x, own)) for x in (fresh, whole)))


def test_state_variables_are_in_the_checkpoint(tmp_path):
    model, state = Denoising(5, 2), State()
    next(fit(model, REAL, epochs=2, state=state))
    assert {"W", "running", "steps", "rng_draw", "adam_m.W"} <= state.variables.keys()
    state.save(tmp_path / "state.npz")
    loaded, _ = State.load(tmp_path / "state.npz")
    with pytest.raises(CheckpointError, match=r"belongs to another model: .*patterns is missing"):
        next(fit(Hopfield(2), REAL[:, :2], epochs=2, state=loaded))


# --- misuse -------------------------------------------------------------------------------------------


class WithoutParams:
    def loss(self, batch: Any, rng: Any) -> Loss:
        raise AssertionError


class Neither:
    def __init__(self) -> None:
        self.params = Autoencoder(5, 2).params


class Changed(Autoencoder):
    """An autoencoder with one method or attribute replaced."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(5, 2)
        self.extra = engine.shared(0.0, "extra")
        self.__dict__.update(changes)

    @property
    def params(self) -> Any:
        return self.__dict__.get("listed", [self.W])

    def loss(self, batch: Any, rng: Any) -> Any:
        return (
            self.__dict__["change"](self, super().loss(batch, rng), rng)
            if "change" in self.__dict__
            else super().loss(batch, rng)
        )


def nameless() -> Any:
    variable = engine.shared(0.0, "x")
    variable.name = None
    return variable


def twice() -> list[Any]:
    return [engine.shared(np.zeros((5, 5)), "W") for _ in range(2)]


def generator() -> Any:
    return pytensor.shared(np.random.default_rng(0), "generator")


def draws(model: Any, loss: Loss, rng: Any) -> Loss:
    noise, _ = rng.normal(model.W)
    return loss._replace(cost=loss.cost + (noise * model.W).sum(acc_dtype="float32"))


MISUSE: dict[str, tuple[Any, type[Exception], str]] = {
    "no params": (WithoutParams, TypeError, "WithoutParams, which lacks params"),
    "neither loss nor updates": (Neither, TypeError, "Neither, which lacks loss or updates"),
    "something else": (lambda: 3, TypeError, "got int, which lacks params and loss or updates"),
    "a class": (lambda: RBM, TypeError, "got the class RBM"),
    "params is a method": (
        lambda: Changed(listed=lambda: []),
        TypeError,
        "must be a list of shared variables, got fun",
    ),
    "params is empty": (lambda: Changed(listed=[]), ValueError, "nothing to train"),
    "an array in params": (lambda: Changed(listed=[np.zeros(3)]), TypeError, "of type ndarray, expected shared"),
    "expressions in params": (lambda: Changed(listed=[pt.matrix("x")]), TypeError, "expected shared variables"),
    "whole numbers": (
        lambda: Changed(listed=[engine.shared(0, "i", "int32")]),
        TypeError,
        "i of .* int32.*no gradient",
    ),
    "unnamed parameter": (lambda: Changed(listed=[nameless()]), ValueError, "has no name"),
    "parameters of one name": (lambda: Changed(listed=twice()), ValueError, "the same name 'W'"),
    "reserved name": (lambda: Changed(listed=[engine.shared(0.0, "best.W")]), ValueError, "'best.W'.*reserve"),
    "a conditional density": (
        lambda: make_rbm()._replace(b_v=pt.zeros((6,), "float32")),
        TypeError,
        "expected shared variables",
    ),
    "unnamed state": (
        lambda: Changed(change=lambda m, loss, rng: loss._replace(updates={nameless(): np.float32(1)})),
        ValueError,
        "has no name",
    ),
    "a generator of random numbers": (
        lambda: Changed(change=lambda m, loss, rng: loss._replace(updates={(g := generator()): g})),
        TypeError,
        "generator, is no array",
    ),
    "state with the name of a parameter": (
        lambda: Changed(change=lambda m, loss, rng: loss._replace(updates={engine.shared(0.0, "W"): np.float32(1)})),
        ValueError,
        "the same name 'W'",
    ),
    "state with the name of the library's": (
        lambda: Changed(change=lambda m, loss, rng: loss._replace(updates=random.shared(0).skip(1).updates())),
        ValueError,
        "the same name 'rng_draw'",
    ),
    "loss is no Loss": (lambda: Changed(change=lambda m, loss, rng: loss.cost), TypeError, "must return .*Loss"),
    "loss is no scalar": (
        lambda: Changed(change=lambda m, loss, rng: loss._replace(cost=m.W.sum(axis=0))),
        TypeError,
        "loss of Changed has 1 dimensions, expected a symbolic scalar",
    ),
    "loss is a number": (
        lambda: Changed(change=lambda m, loss, rng: loss._replace(cost=0.5)),
        TypeError,
        "is a float, expected a symbolic scalar",
    ),
    "metric is no scalar": (
        lambda: Changed(change=lambda m, loss, rng: loss._replace(metrics={"W": m.W})),
        TypeError,
        "W of Changed has 2 dimensions",
    ),
    "metric with the name of a column": (
        lambda: Changed(change=lambda m, loss, rng: loss._replace(metrics={"seconds": m.extra})),
        ValueError,
        "'seconds', which is a column",
    ),
    "loss that updates a parameter": (
        lambda: Changed(change=lambda m, loss, rng: loss._replace(updates={m.W: m.W})),
        ValueError,
        "W, which the optimiser does",
    ),
    "random stream that stands still": (lambda: Changed(change=draws), ValueError, r"add rng\.updates\(\)"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_of_the_interface(name):
    make, error, message = MISUSE[name]
    with pytest.raises(error, match=message):
        next(fit(make(), REAL, epochs=1))


def test_misuse_of_own_updates():
    def changed(result: Any) -> Hopfield:
        net = Hopfield(64)
        net.updates = lambda batch, rng: result(net)  # type: ignore[method-assign]
        return net

    for result, error, message in (
        (lambda net: {net.W: net.W}, TypeError, r"must return \(updates, metrics\), got dict"),
        (lambda net: ({"W": net.W}, {}), TypeError, "has the key 'W', expected shared variables"),
        (lambda net: ({net.patterns: net.patterns}, {}), ValueError, "none of its params"),
        (lambda net: ({net.W: net.W}, {"W": net.W}), TypeError, "W of Hopfield has 2 dimensions"),
        (lambda net: ({net.W: net.W, nameless(): np.float32(1.0)}, {}), ValueError, "has no name"),
    ):
        with pytest.raises(error, match=message):
            next(fit(changed(result), PATTERNS, epochs=1))
    with pytest.raises(ValueError, match=r"neither score\(pieces, mode\) nor loss"):
        fit(Hopfield(64), PATTERNS, PATTERNS, epochs=1)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (Autoencoder(5, 2), {"k": 3}, "k: Autoencoder has no use for this setting; that is for sequence models"),
        (Autoencoder(5, 2), {"persistent": True, "state_dropout": 0.1}, "persistent, state_dropout: Autoencoder"),
        (Hopfield(5), {"learning_rate": 0.1, "clip": 0.0}, "learning_rate, clip: Hopfield.*its own updates"),
        (Hopfield(5, "int32"), {"averaging": 0.9}, "averaging .0.9. needs float parameters"),
        (Autoencoder(5, 2), {"context": 4}, "context .4. needs rows of several frames"),
        (RBM.init(5, 2, seed=0), {"pretrain_density": 2}, "pretrain_density .2."),
        (
            RBM.init(5, 2, seed=0, hidden=ReLU()),
            {"persistent": True, "n_betas": 3},
            "n_betas .3.: .*Bernoulli and ReLU",
        ),
        (
            RBM.init(5, 2, seed=0, hidden=ReLU()),
            {"persistent": True, "n_annealed": 3},
            "n_annealed .3.: .*Bernoulli and ReLU.*set n_annealed = 0",
        ),
        (RBM.init(5, 2, seed=0), {"persistent": False, "n_annealed": 3}, "n_annealed .3. needs persistent chains"),
        (RBM.init(5, 2, seed=0), {"persistent": True, "n_annealed": 3, "n_betas": 2}, "set only one of the two"),
        (RBM.init(5, 2, seed=0), {"n_proposals": 9, "batch_size": 4}, "n_proposals .9."),
    ],
)
def test_settings_that_have_no_meaning_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        fit(model, np.zeros((10, 5), np.uint8), **options)


def hole(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[3, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("make", "train", "valid", "error", "message"),
    [
        (
            lambda: Hopfield(64),
            PATTERNS[:, :5],
            None,
            ValueError,
            r"train piece 0 has shape \(7, 5\), expected \(T, 64\)",
        ),
        (lambda: Autoencoder(5, 2), hole(REAL), None, ValueError, "holds nan in frame 3, column 1"),
        (lambda: Autoencoder(5, 2), REAL, hole(REAL), ValueError, "valid piece 0 holds nan in frame 3"),
        (lambda: Autoencoder(5, 2), [REAL, REAL[:, :4]], None, ValueError, r"train piece 1 .*expected \(T, 5\)"),
        (lambda: Autoencoder(5, 2), REAL, REAL[:, :4], ValueError, "valid pieces have 4 columns, train pieces 5"),
        (lambda: Autoencoder(5, 2), "images", None, TypeError, "expected a list of arrays .*, got str"),
        (lambda: Autoencoder(5, 2), REAL, 7, TypeError, "expected a list of arrays .*, got int"),
        (lambda: Autoencoder(5, 2), 7, None, TypeError, "expected a list of arrays .*, got int"),
        (lambda: Autoencoder(5, 2), [], None, ValueError, "there is no train piece"),
        (lambda: Autoencoder(5, 2), REAL[0], None, ValueError, r"train piece 0 has shape \(\)"),
        (make_rbm, REAL, None, ValueError, r"train piece 0 has shape \(200, 5\), expected \(T, 6\)"),
        (make_rbm, FRAMES + 1, None, ValueError, "expected 0 and 1"),
        (
            lambda: SequenceModel(Memoryless("float32"), make_rbm()),
            list(FRAMES),
            None,
            ValueError,
            "put a single piece into a list",
        ),
    ],
)
def test_data_that_do_not_fit(make, train, valid, error, message):
    with pytest.raises(error, match=message):
        fit(make(), train, valid, epochs=1)


def test_lists_of_numbers_are_data_too():
    net = Hopfield(3)
    list(fit(net, [[[1.0, -1.0, 1.0]], [[1.0, 1.0, 1.0]]], epochs=1))
    np.testing.assert_array_equal(engine.to_numpy(net.W), [[0, 0, 2], [0, 0, 0], [2, 0, 0]])


def test_divergence_is_noticed():
    class Exploding(Hopfield):
        def updates(self, batch: Any, rng: Any) -> Any:
            return {self.W: self.W + np.float32(np.inf)}, {}

    with pytest.raises(Diverged, match="parameters W became NaN or infinite in epoch 1; see the updates of the model"):
        next(fit(Exploding(64), PATTERNS, epochs=1))
    with pytest.raises(Diverged, match="learning rate three times lower"):
        list(fit(Autoencoder(5, 2), REAL, epochs=20, optimiser="sgd", clip=0.0, learning_rate=1e6, warmup=0.0))


PIECES = [(np.random.default_rng(i).random((6, 4)) < 0.4).astype(np.uint8) for i in range(4)]


@pytest.mark.parametrize(
    "form",
    [
        lambda pieces: [scipy.sparse.csr_matrix(piece) for piece in pieces],
        lambda pieces: [piece.tolist() for piece in pieces],
        lambda pieces: tuple(piece.astype(bool) for piece in pieces),
        lambda pieces: [piece.astype(dtype) for piece, dtype in zip(pieces, "fdbl", strict=True)],
        np.array,
        lambda pieces: np.array(pieces, float).tolist(),
    ],
    ids=["sparse", "lists", "bool", "of different types", "one array of three dimensions", "lists of lists of lists"],
)
def test_pieces_in_any_form_train_alike(form):
    def trained(pieces: Any) -> list[Any]:
        model = rnn_rbm(4, n_hidden=3, n_recurrent=2, seed=0)
        (row,) = fit(model, pieces, pieces, epochs=1, valid_n_chains=2, valid_n_temperatures=3)
        return [row["loss"], row["valid_ll"], *(engine.to_numpy(p) for p in model.params)]

    for got, expected in zip(trained(form(PIECES)), trained(PIECES), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_one_matrix_is_one_piece():
    def trained(piece: Any) -> list[Any]:
        model = rnn_rbm(4, n_hidden=3, n_recurrent=2, seed=0)
        list(fit(model, piece, epochs=1))
        return [engine.to_numpy(p) for p in model.params]

    for form in (PIECES[0], scipy.sparse.csr_matrix(PIECES[0])):
        for got, expected in zip(trained(form), trained([PIECES[0]]), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_pieces_of_whole_and_of_real_numbers_lose_nothing():
    """An array of whole numbers before one of real numbers must not decide the type of both."""
    pieces: list[Any] = [np.array([[1], [2]]), np.array([[0.5], [0.25]])]
    model = Autoencoder(1, 1)
    assert [piece.dtype for piece in checked_pieces(model, pieces, name="piece")] == [np.float32, np.float32]
    rbm = as_trainable(RBM.init(1, 1, seed=0, visible=Gaussian()))
    assert [piece.dtype for piece in checked_pieces(rbm, pieces, name="piece")] == [np.float32, np.float32]


@pytest.mark.parametrize(
    ("name", "rate"),
    [("rnn-rbm", 8e-3), ("rbm", 8e-3), ("tied-rnn-rbm", 2e-2), ("rtrbm", 2e-2), ("rnn-nade", 2e-2), ("nade", 2e-2)],
)
def test_a_model_chooses_its_learning_rate(name, rate):
    model = registry.build(name, 12, n_hidden=3, seed=0)
    assert usual_rate(model) == rate
    pieces = [np.eye(12, dtype=np.uint8)]
    settings = {"epochs": 1, "schedule": "constant", "warmup": 0.0, "centring": False, "valid_every": 5}
    (row,) = fit(model, pieces, None, **settings)
    assert row["learning_rate"] == pytest.approx(rate)
    (row,) = fit(model, pieces, None, learning_rate=1e-4, **settings)
    assert row["learning_rate"] == pytest.approx(1e-4)


def test_real_numbers_have_settings_of_their_own():
    """They hold unless others are chosen, and other chains than usual start where they must."""
    reals = registry.build("rnn-rbm", 3, visible="gaussian:learned", n_hidden=2, n_recurrent=2, seed=0)
    notes = registry.build("rnn-rbm", 3, n_hidden=2, n_recurrent=2, seed=0)
    usual = Training()

    def suited(model, settings):
        return suitable_settings(model, settings, single_frames=False, n_frames=40)

    assert suited(notes, usual).model_dump() == usual.model_dump() | {"learning_rate": 8e-3}
    ours = suited(reals, usual)
    expected = {"learning_rate": 8e-3} | USUAL_OF_REAL_NUMBERS
    assert {name: getattr(ours, name) for name in expected} == expected
    assert suited(reals, ours) == ours
    chosen = suited(reals, Training(k=3, centring=True, start="data"))
    assert (chosen.k, chosen.centring, chosen.start) == (3, True, "data")
    assert chosen.state_dropout == USUAL_OF_REAL_NUMBERS["state_dropout"]
    assert suited(reals, Training(n_proposals=4)).start == "data"
    assert missing_settings(reals, chosen) == {}
    for other in ({"n_proposals": 4}, {"persistent": True}):
        with pytest.raises(ValueError, match='start = "noise" cannot be combined with'):
            Training(start="noise", **other)
    with pytest.raises(ValueError, match="start"):
        Training(start="silence")


def test_training_starts_its_chains_as_the_settings_say():
    """The first step differs by the start alone."""

    def trained(start):
        model = registry.build("rbm", 2, visible="gaussian:learned", n_hidden=2, seed=0)
        settings = Training(start=start, epochs=4, k=1, seed=3)
        list(fit(model, [np.linspace(-2, 2, 40, dtype=np.float32).reshape(20, 2)], None, settings))
        return engine.to_numpy(model.density.W)

    assert not np.array_equal(trained("data"), trained("noise"))
    np.testing.assert_array_equal(trained(None), trained("noise"))


def test_a_nade_of_images_has_settings_of_its_own():
    """One with a fixed order reads fewer images than one for all orders, and both fewer epochs of many images."""

    def suited(orderless=False, n_frames=50_000, **settings):
        model = as_trainable(NADE.init(6, 3, seed=0, orderless=orderless))
        chosen = suitable_settings(model, Training(**settings), single_frames=True, n_frames=n_frames)
        return chosen.epochs, chosen.batch_size * chosen.row_length, chosen.learning_rate * chosen.density_scale

    assert suited() == (12, 100, 0.015)
    assert suited(n_frames=1297) == (60, 64, 0.015)
    assert suited(orderless=True) == (50, 100, 0.015)
    assert suited(orderless=True, n_frames=1297) == (150, 64, 0.015)
    assert suited(epochs=7, batch_size=9, learning_rate=0.5) == (7, 9, 0.5)
    ours = suitable_settings(as_trainable(NADE.init(6, 3, seed=0)), Training(), single_frames=True, n_frames=100)
    assert (ours.optimiser, ours.persistent, ours.averaging) == ("adam", False, 0.999)
    notes = suitable_settings(as_trainable(NADE.init(6, 3, seed=0)), Training(), single_frames=False, n_frames=100)
    assert (notes.epochs, notes.density_scale) == (200, 2.0)


def test_averaging_may_be_a_usual_setting_of_a_model():
    class Averaged(Autoencoder):
        usual_settings: ClassVar[Any] = {"averaging": 0.9}

    def averaging(model, **settings):
        return suitable_settings(model, Training(**settings), single_frames=True, n_frames=100).averaging

    assert averaging(Averaged(6, 2)) == 0.9
    assert averaging(Averaged(6, 2), averaging=0.5) == 0.5
    assert averaging(Autoencoder(6, 2)) == 0.0


def test_a_model_may_have_usual_settings_of_its_own(monkeypatch):
    class Patient(Autoencoder):
        usual_settings: ClassVar[Any] = {"epochs": 3, "learning_rate": 0.5, "optimiser": "sgd"}

    model = Patient(6, 2)
    assert usual_settings(model) == {"epochs": 3, "learning_rate": 0.5, "optimiser": "sgd"}
    assert usual_settings(Autoencoder(6, 2)) == {"learning_rate": usual_rate(model)}
    rows = list(fit(model, FRAMES, schedule="constant", warmup=0.0))
    assert [row["learning_rate"] for row in rows] == [0.5] * 3
    rows = list(fit(model, FRAMES, epochs=2, learning_rate=0.25, schedule="constant", warmup=0.0))
    assert [row["learning_rate"] for row in rows] == [0.25] * 2
    for own, given, expected in (  # of averaging and weight decay
        ({}, {}, (0.0, 0.0)),
        ({"averaging": 0.7}, {}, (0.7, 0.0)),
        ({"averaging": 0.7, "weight_decay": 0.1}, {"averaging": 0.5}, (0.5, 0.1)),
    ):
        monkeypatch.setattr(Patient, "usual_settings", own)
        suited = suitable_settings(model, Training(**given), single_frames=True, n_frames=90)
        assert (suited.averaging, suited.weight_decay) == expected
    for own, error, message in (
        ({"epoch": 3}, ValueError, "usual_settings of Patient: .*epoch.*epochs"),
        ({"epochs": -1}, ValueError, "usual_settings of Patient: .*epochs"),
        (["epochs"], TypeError, "usual_settings of Patient must be a dict of settings of training by name, got list"),
    ):
        monkeypatch.setattr(Patient, "usual_settings", own)
        with pytest.raises(error, match=message):
            fit(model, FRAMES)


def test_an_rbm_of_images_and_labels_makes_more_steps_in_the_end():
    joint = RBM.init(6, 3, seed=0, visible=Joint(((3, Bernoulli()), (3, Softmax(3)))))
    for alone, k in ((RBM.init(6, 3, seed=0), 1), (joint, [(0.0, 1), (0.5, 3), (0.8, 10)])):
        model = as_trainable(alone)
        usual = usual_settings(model, single_frames=True)
        assert (usual["persistent"], usual["k"]) == (True, k)
        assert "k" not in missing_settings(model, Training(k=7), single_frames=True)
    assert "k" not in usual_settings(as_trainable(joint))
