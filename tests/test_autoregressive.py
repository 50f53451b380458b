"""Autoregressive connections: what is expected at first, and the linear model that training starts from."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest

import rnnrbm
from rnnrbm.autoregressive import Autoregressive
from rnnrbm.backend import engine
from rnnrbm.sampling import expect_blocks
from rnnrbm.scoring.heavy_tails import RobustAutoregression
from rnnrbm.training.linear_start import set_linear_start

RNG = np.random.default_rng


def process(n_pieces: int = 6, length: int = 80, seed: int = 0) -> list[np.ndarray]:
    """A stable process of order 2 around (1, -2, 0)."""
    rng, pieces = RNG(seed), []
    A = np.array([[1.2, 0.1, 0.0], [0.0, 0.9, -0.2], [0.1, 0.0, 0.7]])
    B = np.array([[-0.5, 0.0, 0.1], [0.0, -0.3, 0.0], [0.0, 0.2, -0.1]])
    for _ in range(n_pieces):
        x = np.zeros((length, 3))
        for t in range(2, length):
            x[t] = x[t - 1] @ A + x[t - 2] @ B + 0.2 * rng.normal(size=3)
        pieces.append((x + [1.0, -2.0, 0.0]).astype(np.float32))
    return pieces


def expected(model: Any, piece: np.ndarray) -> np.ndarray:
    return np.concatenate([e for _, e in expect_blocks(model, [piece], n_samples=1, k=1)])


@pytest.mark.parametrize("name", ["rnn", "rnn-rbm"])
def test_a_new_model_expects_each_frame_to_be_as_the_one_before(name: str) -> None:
    options = {} if name == "rnn" else {"n_hidden": 4}
    model = rnnrbm.build(name, 3, n_recurrent=5, visible="gaussian:0.1", autoregressive=2, seed=0, **options)
    if name == "rnn-rbm":
        model.density.W.set_value(np.zeros((3, 4), np.float32))
    piece = process(1, 12)[0]
    np.testing.assert_allclose(expected(model, piece)[1:], piece[:-1], atol=0.02)


def test_dropout_of_the_outputs_leaves_the_frames_alone() -> None:
    model = rnnrbm.build("rnn", 3, n_recurrent=5, visible="gaussian:0.1", autoregressive=2, seed=0)
    assert model.network.traits.n_direct == 6
    assert model.network.n_outputs == 11
    v = pt.as_tensor(process(1, 9)[0][:, None])
    rng = rnnrbm.backend.random.shared(3)
    plain = engine.function([], model.loss(v, rng=rng).cost)()
    dropped = engine.function([], model.loss(v, rng=rng, state_dropout=0.9).cost)()
    # all that is dropped are outputs that hardly set anything yet
    assert float(dropped) == pytest.approx(float(plain), rel=1e-3)


def test_training_starts_from_the_linear_model() -> None:
    pieces = process()
    model = rnnrbm.build("rnn", 3, n_recurrent=4, visible="gaussian:conditional", autoregressive=2, seed=0)
    linear = RobustAutoregression.fit(pieces, 2)
    set_linear_start(model, pieces)
    np.testing.assert_allclose(expected(model, pieces[0])[2:], linear.mean_of(pieces[0])[2:], atol=2e-3)
    sigma = np.exp(engine.to_numpy(model.density.visible.log_sigma))
    np.testing.assert_allclose(sigma, np.sqrt(linear.scale.diagonal()), rtol=1e-4)
    np.testing.assert_allclose(sigma, 0.2, rtol=0.25)
    # a model that has been trained is left as it is
    before = [engine.to_numpy(p) for p in model.params]
    set_linear_start(model, process(seed=9))
    for p, value in zip(model.params, before, strict=True):
        np.testing.assert_array_equal(engine.to_numpy(p), value)


def test_models_of_other_frames_do_not_start_so() -> None:
    model = rnnrbm.build("rnn-rbm", 3, n_hidden=4, n_recurrent=4, autoregressive=2, seed=0)
    before = [engine.to_numpy(p) for p in model.params]
    set_linear_start(model, [(piece > 0).astype(np.float32) for piece in process()])
    for p, value in zip(model.params, before, strict=True):
        np.testing.assert_array_equal(engine.to_numpy(p), value)
    assert isinstance(model.network, Autoregressive)


def test_fit_begins_where_the_linear_model_ends() -> None:
    pieces = process()
    model = rnnrbm.build("rnn", 3, n_recurrent=8, visible="gaussian:conditional", autoregressive=2, seed=0)
    list(rnnrbm.fit(model, pieces[:5], epochs=1, learning_rate=1e-5))
    linear = RobustAutoregression.fit(pieces[:5], 2)
    own = np.square(expected(model, pieces[5]) - pieces[5])[3:].sum(axis=1).mean()
    theirs = np.square(linear.mean_of(pieces[5]) - pieces[5])[3:].sum(axis=1).mean()
    assert own == pytest.approx(theirs, rel=0.02)
    assert own < 0.8 * np.square(np.diff(pieces[5], axis=0))[2:].sum(axis=1).mean()  # that of the previous frame


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"n_pitch_conv=2 and autoregressive=1: both set biases"):
        rnnrbm.build("rnn-rbm", 12, n_pitch_conv=2, autoregressive=1, seed=0)
    with pytest.raises(ValueError, match=r"autoregressive.*-1"):
        rnnrbm.build("rnn-rbm", 12, autoregressive=-1, seed=0)


def test_it_is_saved_and_read_back(tmp_path) -> None:
    model = rnnrbm.build(
        "rnn-rbm", 3, n_hidden=4, n_recurrent=4, visible="gaussian:conditional", autoregressive=2, seed=0
    )
    set_linear_start(model, process())
    model.save(tmp_path / "m.npz")
    read = rnnrbm.load_model(tmp_path / "m.npz")
    piece = process(1, 20, seed=4)[0]
    np.testing.assert_array_equal(expected(read, piece), expected(model, piece))


def test_an_rtrbm_has_them_too() -> None:
    """Its state is the mean of its hidden units, whose biases the frames before set as well."""
    model = rnnrbm.build("rtrbm", 4, n_hidden=3, visible="gaussian:0.5", autoregressive=2, seed=0)
    rng = RNG(1)
    for parameter in model.params:
        parameter.set_value((0.5 * rng.normal(size=parameter.type.shape)).astype(np.float32))
    p = {t.name: engine.to_numpy(t).astype(np.float64) for t in model.params}
    assert p["W_uh"].shape == (3 + 2 * 4, 3)
    assert model.network.traits.n_direct == 8
    x = rng.normal(size=(6, 2, 4)).astype(np.float32)
    starts = np.zeros((6, 2), bool)
    starts[0] = starts[3, 1] = True
    v, start = pt.tensor("v", dtype="float32", shape=x.shape), pt.tensor("s", dtype="bool", shape=starts.shape)
    density, _ = model.frames(v, start)
    found = [engine.to_numpy(b) for b in engine.function([v, start], [density.b_v, density.b_h])(x, starts)]
    for b in range(2):
        for t in range(6):
            if starts[t, b]:
                h, past = p["u_0"], np.zeros((2, 4))
            output = np.concatenate([h, *past])
            b_h = p["b_h"] + output @ p["W_uh"]
            np.testing.assert_allclose(found[0][b * 6 + t], p["b_v"] + output @ p["W_uv"], atol=1e-5)
            np.testing.assert_allclose(found[1][b * 6 + t], b_h, atol=1e-5)
            h = 1 / (1 + np.exp(-(x[t, b] / 0.5**2 @ p["W"] + b_h)))
            past = np.array([past[1], x[t, b]])
    states = engine.function([v, start], model.network.run(v, start))(x, starts)
    u, frame = pt.tensor("u", dtype="float32", shape=(11,)), pt.tensor("f", dtype="float32", shape=(4,))
    after = engine.function([frame, u], model.network.step(frame, u))(x[5, 0], engine.to_numpy(states)[4, 0])
    np.testing.assert_allclose(engine.to_numpy(after), engine.to_numpy(states)[5, 0], atol=1e-5)


def test_an_rtrbm_starts_from_the_linear_model_and_refuses_deviations_by_the_past() -> None:
    pieces = process()
    model = rnnrbm.build("rtrbm", 3, n_hidden=4, visible="gaussian:learned", autoregressive=2, seed=0)
    set_linear_start(model, pieces)
    linear = RobustAutoregression.fit(pieces, 2)
    np.testing.assert_allclose(expected(model, pieces[0])[2:], linear.mean_of(pieces[0])[2:], atol=0.1)
    with pytest.raises(ValueError, match=r"choose gaussian:learned"):
        rnnrbm.build("rtrbm", 3, visible="gaussian:conditional", autoregressive=2, seed=0)
