"""Optimisers against the formulas in NumPy."""

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest

from rnnrbm.backend import engine
from rnnrbm.training import optimisers

STEPS = 6


def problem() -> tuple:
    """Two parameters of different shapes, inputs for their gradients, and gradients of several steps."""
    rng = np.random.default_rng(0)
    shapes = {"W": (3, 2), "b": (4,)}
    params = [engine.shared(rng.normal(size=s), name) for name, s in shapes.items()]
    inputs = [pt.tensor(f"g_{name}", dtype="float32", shape=s) for name, s in shapes.items()]
    grads = [[(0.5 * rng.normal(size=s)).astype(np.float32) for s in shapes.values()] for _ in range(STEPS)]
    return params, inputs, grads


@pytest.mark.parametrize("name", optimisers.OPTIMISERS)
def test_several_steps_equal_numpy(name: str) -> None:
    params, inputs, grads = problem()
    start = [engine.to_numpy(p).astype(np.float64) for p in params]
    updates = optimisers.OPTIMISERS[name](inputs, params, 0.03, scales={"b": 0.25, "absent": 9.0})
    names = [p.name for p in updates]
    assert len(set(names)) == len(names)
    assert {"W", "b"} <= set(names)
    assert all(new.dtype == p.dtype == "float32" for p, new in updates.items())
    f = engine.function(inputs, [], updates)
    for n, g in enumerate(grads, start=1):
        f(*g)
        for i, p in enumerate(params):
            expected = oracles.optimise(
                name, start[i], [x[i].astype(np.float64) for x in grads[:n]], 0.03, scale=[1.0, 0.25][i]
            )
            np.testing.assert_allclose(engine.to_numpy(p), expected, rtol=2e-5, atol=2e-6)
            assert (engine.to_numpy(p) != start[i]).all()


def test_state_is_named_after_its_parameter() -> None:
    params, inputs, _ = problem()
    expected = {
        "sgd": set(),
        "momentum": {"momentum.W", "momentum.b"},
        "rmsprop": {"rmsprop.W", "rmsprop.b"},
        "adam": {"adam_t", "adam_m.W", "adam_s.W", "adam_m.b", "adam_s.b"},
    }
    for name, make in optimisers.OPTIMISERS.items():
        state = [p for p in make(inputs, params, 0.1) if p not in params]
        assert {p.name for p in state} == expected[name]
        assert all((engine.to_numpy(p) == 0).all() for p in state)
        assert all(p.type.shape == engine.to_numpy(p).shape for p in state)


@pytest.mark.parametrize("name", optimisers.OPTIMISERS)
def test_a_shared_learning_rate_changes_without_compiling_again(name: str) -> None:
    params, inputs, grads = problem()
    rate = engine.shared(0.0, "learning_rate")
    f = engine.function(inputs, [], optimisers.OPTIMISERS[name](inputs, params, rate, scales={"b": 2.0}))
    start = [engine.to_numpy(p) for p in params]
    f(*grads[0])
    for p, x in zip(params, start, strict=True):
        np.testing.assert_array_equal(engine.to_numpy(p), x)
    rate.set_value(np.float32(0.1))
    f(*grads[1])
    moved = [engine.to_numpy(p) - x for p, x in zip(params, start, strict=True)]
    assert all((np.abs(m) > 1e-6).all() for m in moved)
    if name == "sgd":
        np.testing.assert_allclose(moved[0], -0.1 * grads[1][0], atol=1e-6)
        np.testing.assert_allclose(moved[1], -0.2 * grads[1][1], atol=1e-6)


@pytest.mark.parametrize(("name", "options"), [("momentum", {"decay": 0.5}), ("rmsprop", {"decay": 0.5})])
def test_other_decays(name: str, options: dict) -> None:
    params, inputs, grads = problem()
    start = engine.to_numpy(params[0]).astype(np.float64)
    f = engine.function(inputs, [], optimisers.OPTIMISERS[name](inputs, params, 0.03, **options))
    for g in grads:
        f(*g)
    expected = oracles.optimise(name, start, [g[0].astype(np.float64) for g in grads], 0.03, **options)
    np.testing.assert_allclose(engine.to_numpy(params[0]), expected, rtol=2e-5, atol=2e-6)


def test_adam_first_step_is_the_learning_rate_whatever_the_gradient() -> None:
    params, inputs, _ = problem()
    start = [engine.to_numpy(p) for p in params]
    f = engine.function(inputs, [], optimisers.adam(inputs, params, 0.01))
    g = [np.full(x.shape, s, np.float32) for x, s in zip(start, (1e-3, -1e4), strict=True)]
    f(*g)
    for p, x, sign in zip(params, start, (1, -1), strict=True):
        np.testing.assert_allclose(engine.to_numpy(p) - x, -0.01 * sign, rtol=2e-4)


def test_clipping() -> None:
    _, inputs, grads = problem()
    f = engine.function(inputs, [optimisers.global_norm(inputs), *optimisers.clip_by_global_norm(inputs, 0.7)])
    for size in (0.0, 1e-3, 0.1, 1.0, 1e6):
        given = [(size * g).astype(np.float32) for g in grads[0]]
        norm, *clipped = (np.asarray(t) for t in f(*given))
        exact = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in given))
        np.testing.assert_allclose(norm, exact, rtol=1e-6)
        factor = min(1.0, 0.7 / exact) if exact else 1.0
        for g, c in zip(given, clipped, strict=True):
            assert c.dtype == np.float32
            np.testing.assert_allclose(c, factor * g, rtol=2e-6)


@pytest.mark.parametrize("max_norm", [0.0, -1.0, float("nan")])
def test_impossible_norms_are_refused(max_norm: float) -> None:
    with pytest.raises(ValueError, match="max_norm must be positive"):
        optimisers.clip_by_global_norm([pt.vector()], max_norm)


def test_as_many_gradients_as_parameters() -> None:
    params, inputs, _ = problem()
    for make in optimisers.OPTIMISERS.values():
        with pytest.raises(ValueError, match="zip"):
            make(inputs[:1], params, 0.1)
