"""Cells against NumPy recurrences, and the written-out gradient through time against finite differences."""

from functools import cache
from typing import Any

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from oracles import Params

from rnnrbm.backend import engine
from rnnrbm.cells import CELLS, init_cell
from rnnrbm.recurrence import flatten, initial_state, shift, unflatten, unroll

KINDS = ["tanh", "sigmoid", "gru", "lstm"]
T, B, N_VISIBLE, N = 6, 3, 4, 3
NAMES = ["W_vu", "W_uu", "b_u", "u_0"]
START = np.zeros((T, B), bool)
START[0, 1] = START[2, 0] = START[3, 2] = START[4, 2] = START[5, 1] = True  # also two in a row and the last one


def n_state(kind: str) -> int:
    return CELLS[kind].n_parts * N


def states(cell: Any, v: Any, *start: Any) -> Any:
    """States before every frame."""
    return shift(unroll(cell, v, *start), initial_state(cell.u_0, v), *start)


def parameters(kind: str, seed: int = 0) -> Params:
    rng = np.random.default_rng(seed)
    columns = CELLS[kind].n_blocks * N
    shapes = {"W_vu": (N_VISIBLE, columns), "W_uu": (N, columns), "b_u": (columns,), "u_0": (n_state(kind),)}
    return {k: 0.8 * rng.normal(size=s).astype(np.float32).astype(np.float64) for k, s in shapes.items()}


def frames(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(T, B, N_VISIBLE)).astype(np.float32).astype(np.float64)


@cache
def compiled(kind: str, with_start: bool) -> tuple:
    """States before and after every frame, and the gradient of two weighted sums of them."""
    make, fields = CELLS[kind].make, CELLS[kind].fields
    columns = CELLS[kind].n_blocks * N
    shapes = [(N_VISIBLE, columns), (N, columns), (columns,), (n_state(kind),)]
    params = [pt.tensor(name, dtype="float32", shape=s) for name, s in zip(NAMES, shapes, strict=True)]
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    start = [pt.tensor("start", dtype="bool", shape=(T, B))] if with_start else []
    weight = pt.tensor("weight", dtype="float32", shape=(T, B, n_state(kind)))
    cell = make(*params, **fields)
    earlier, after = states(cell, v, *start), unroll(cell, v, *start)
    wrt = [*params, v]
    g_before = pt.grad((weight * earlier).sum(), wrt)
    g_after = pt.grad((weight * after).sum(), wrt)
    return engine.function([*params, v, weight, *start], [earlier, after, *g_before, *g_after])


def evaluate(kind: str, p: Params, v: np.ndarray, weight: np.ndarray, start: np.ndarray | None) -> tuple:
    arrays = [np.asarray(x, np.float32) for x in (*(p[name] for name in NAMES), v, weight)]
    before, after, *grads = compiled(kind, start is not None)(*arrays, *([] if start is None else [start]))
    grads = [np.asarray(g) for g in grads]
    assert {g.dtype for g in grads} == {np.dtype(np.float32)}
    names = [*NAMES, "v"]
    n = len(names)
    return (
        np.asarray(before),
        np.asarray(after),
        dict(zip(names, grads[:n], strict=True)),
        dict(zip(names, grads[n:], strict=True)),
    )


@pytest.mark.parametrize("start", [None, START], ids=["one piece", "starts"])
@pytest.mark.parametrize("kind", KINDS)
def test_states_and_gradients_equal_numpy(kind: str, start: np.ndarray | None) -> None:
    p, v = parameters(kind), frames()
    weight = np.random.default_rng(2).normal(size=(T, B, n_state(kind))).astype(np.float32).astype(np.float64)
    before, after, g_before, g_after = evaluate(kind, p, v, weight, start)
    expected_before, expected_after = oracles.run_cell(kind, p, v, start)
    np.testing.assert_allclose(before, expected_before, atol=3e-6)
    np.testing.assert_allclose(after, expected_after, atol=3e-6)

    def objective(q: Params, which: int) -> float:
        return float((weight * oracles.run_cell(kind, q, q["v"], start)[which]).sum())

    every = p | {"v": v}
    by_hand = oracles.backpropagate(kind, p, v, weight, start)
    difference_before = oracles.finite_differences(lambda q: objective(q, 0), every)
    difference_after = oracles.finite_differences(lambda q: objective(q, 1), every)
    for name in every:
        np.testing.assert_allclose(by_hand[name], difference_before[name], atol=2e-8, err_msg=name)
        np.testing.assert_allclose(g_before[name], by_hand[name], atol=2e-5, rtol=2e-5, err_msg=name)
        np.testing.assert_allclose(g_after[name], difference_after[name], atol=2e-5, rtol=2e-5, err_msg=name)
        assert np.abs(by_hand[name]).max() > 1e-2, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_makes_separate_pieces(kind: str) -> None:
    p, v = parameters(kind, 3), frames(4)
    weight = np.random.default_rng(5).normal(size=(T, B, n_state(kind)))
    start = np.zeros((T, B), bool)
    start[4] = True
    before, after, grads, _ = evaluate(kind, p, v, weight, start)
    one = oracles.run_cell(kind, p, v[:4])
    two = oracles.run_cell(kind, p, v[4:])
    np.testing.assert_allclose(before, np.concatenate([one[0], two[0]]), atol=3e-6)
    np.testing.assert_allclose(after, np.concatenate([one[1], two[1]]), atol=3e-6)
    pieces = [oracles.backpropagate(kind, p, v[s], weight[s]) for s in (slice(0, 4), slice(4, None))]
    for name in NAMES:
        np.testing.assert_allclose(grads[name], pieces[0][name] + pieces[1][name], atol=2e-5, err_msg=name)
    np.testing.assert_allclose(grads["v"], np.concatenate([g["v"] for g in pieces]), atol=2e-5)
    # nothing flows over the border, not even a little
    weight[:4] = 0
    grads = evaluate(kind, p, v, weight, start)[2]
    assert (grads["v"][:4] == 0).all()
    assert (grads["v"][4:-1] != 0).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", [None, START], ids=["one piece", "starts"])
def test_the_state_of_a_frame_has_not_seen_it(kind: str, start: np.ndarray | None) -> None:
    p, v = parameters(kind), frames()
    weight = np.zeros((T, B, n_state(kind)))
    before, after, *_ = evaluate(kind, p, v, weight, start)
    for t in range(T):
        other = v.copy()
        other[t, 1] += 1.0
        before_2, after_2, *_ = evaluate(kind, p, other, weight, start)
        np.testing.assert_array_equal(before_2[: t + 1], before[: t + 1])
        np.testing.assert_array_equal(after_2[:t], after[:t])
        assert (after_2[t, 1] != after[t, 1]).all()
        np.testing.assert_array_equal(after_2[:, [0, 2]], after[:, [0, 2]])  # nor have other pieces
        if t + 1 < T:
            starts = start is not None and start[t + 1, 1]
            assert (before_2[t + 1, 1] != before[t + 1, 1]).all() != starts
    np.testing.assert_allclose(before[0], np.tile(p["u_0"], (B, 1)), atol=1e-7)


@pytest.mark.parametrize("with_start", [False, True])
def test_lengths_and_numbers_of_pieces_may_be_unknown_outside_jax(with_start: bool) -> None:
    cell = init_cell("gru", N_VISIBLE, N, seed=0)
    cell.u_0.set_value(np.array([0.3, -0.2, 0.5], np.float32))
    v = pt.tensor3("v", dtype="float32")
    start = [pt.matrix("start", dtype="bool")] if with_start else []
    u = states(cell, v, *start)
    grads = pt.grad(pt.sqr(u).sum(), cell.tensors())
    f = engine.function([v, *start], [u, *grads], mode="FAST_COMPILE")
    p = {t.name: engine.to_numpy(t).astype(np.float64) for t in cell.tensors()}
    for n_steps, n_batch in [(T, B), (T + 2, B + 1), (1, 1)]:
        rng = np.random.default_rng(7)
        x = rng.normal(size=(n_steps, n_batch, N_VISIBLE)).astype(np.float32)
        begins = rng.random((n_steps, n_batch)) < 0.3 if with_start else None
        before, *grads = f(x, *([begins] if with_start else []))
        expected, _ = oracles.run_cell("gru", p, x.astype(np.float64), begins)
        np.testing.assert_allclose(np.asarray(before), expected, atol=3e-6)
        by_hand = oracles.backpropagate("gru", p, x.astype(np.float64), 2 * expected, begins)
        for t, g in zip(cell.tensors(), grads, strict=True):
            np.testing.assert_allclose(np.asarray(g), by_hand[t.name], atol=5e-5)


@pytest.mark.filterwarnings("ignore:Skipping Assert", "ignore:Split node does not", "ignore:Explicitly requested dtype")
@pytest.mark.parametrize("shape", [(None, B, N_VISIBLE), (None, None, None)])
def test_jax_says_so_when_a_length_is_unknown(shape: tuple) -> None:
    cell = init_cell("tanh", N_VISIBLE, N, seed=0)
    v = pt.tensor("v", dtype="float32", shape=shape)
    with pytest.raises((TypeError, ValueError), match=r"concrete|static shape"):
        engine.function([v], pt.grad(states(cell, v).sum(), cell.tensors()))(frames().astype(np.float32))


def test_flatten_is_batch_major_and_unflatten_undoes_it() -> None:
    x = np.arange(T * B * 2, dtype=np.float32).reshape(T, B, 2)
    v, m = pt.tensor("v", dtype="float32", shape=x.shape), pt.tensor("m", dtype="float32", shape=(T, B))
    rows, back, mask = (
        np.asarray(t) for t in engine.function([v, m], [flatten(v), unflatten(flatten(v), v), flatten(m)])(x, x[..., 0])
    )
    np.testing.assert_array_equal(rows, oracles.batch_major(x))
    np.testing.assert_array_equal(back, x)
    np.testing.assert_array_equal(mask, rows[:, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_init(kind: str) -> None:
    cell = init_cell(kind, 9, 5, seed=0)
    blocks = CELLS[kind].n_blocks
    assert [t.name for t in cell.tensors()] == NAMES
    assert [t.type.shape for t in cell.tensors()] == [
        (9, blocks * 5),
        (5, blocks * 5),
        (blocks * 5,),
        (CELLS[kind].n_parts * 5,),
    ]
    assert {t.dtype for t in cell.tensors()} == {"float32"}
    assert cell.with_tensors(cell.tensors()) == cell
    for block in np.split(engine.to_numpy(cell.W_uu).astype(np.float64), blocks, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(5), atol=1e-6)
    biases = engine.to_numpy(cell.tensors()[2]).reshape(blocks, 5)
    remembers = {"gru": [[0], [1], [0]], "lstm": [[0], [1], [0], [0]]}
    assert (biases == remembers.get(kind, [[0]])).all()
    v = pt.tensor("v", dtype="float32", shape=(2, 7, 9))
    assert initial_state(cell.u_0, v).type.shape == (7, CELLS[kind].n_parts * 5)


def test_impossible_cells_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="'lstn' is not one of tanh, sigmoid, gru, lstm"):
        init_cell("lstn", 3, 2, seed=rng)
    for sizes in ((0, 2), (3, 0)):
        with pytest.raises(ValueError, match="must be at least 1"):
            init_cell("gru", *sizes, seed=rng)
