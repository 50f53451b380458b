"""Networks: whole sequences against one frame after the other, what outputs have seen, layers against NumPy."""

from typing import Any

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest

from rnnrbm.backend import engine
from rnnrbm.networks import Memoryless, Network, Stack, init_stack, init_window, outputs_before, shifted_outputs
from rnnrbm.pitch import init_tied
from rnnrbm.rnnrbm import init_network

T, B, N_VISIBLE, N = 6, 3, 4, 3
START = np.zeros((T, B), bool)
START[0, 1] = START[2, 0] = START[3, 2] = START[4, 2] = True
RNG = np.random.default_rng


def make(name: str) -> Any:
    if name == "nothing":
        return Memoryless("float32")
    if name.startswith("clock"):
        network: Any = init_network(N_VISIBLE, N, frames_per_bar=int(name[5:]), seed=0)
    elif name == "direct":
        network = init_network(N_VISIBLE, N, autoregressive=3, seed=0)
    elif name == "beside":
        network = init_network(N_VISIBLE, N, frames_per_bar=2, n_pitch_conv=3, seed=0)
    elif name == "tied clock":
        network = init_tied(N_VISIBLE, N, n_layers=1, seed=0, reach=1, octave=3, frames_per_bar=3)
    elif name.startswith("tied"):
        network = init_tied(N_VISIBLE, N, cell=name.split()[1], seed=0, reach=2, octave=3)
    elif name.startswith("window"):
        network = init_window(N_VISIBLE, 5, int(name[6:]), seed=0)
    else:
        kind, layers, connections = name.split()
        network = init_stack(kind, N_VISIBLE, N, int(layers), seed=0, connections=connections)
    for t in network.tensors():
        t.set_value((0.7 * RNG(len(t.name)).normal(size=t.type.shape)).astype(np.float32))
    return network


STACKS = ["gru 1 plain", "lstm 2 plain", "gru 3 residual", "lstm 2 residual", "tanh 3 skip", "lstm 2 skip"]
NAMES = [
    *STACKS,
    "tied gru",
    "tied lstm",
    "clock2",
    "clock4",
    "tied clock",
    "beside",
    "direct",
    "window1",
    "window3",
    "window9",
    "nothing",
]


def frames(seed: int = 1) -> np.ndarray:
    return (RNG(seed).random((T, B, N_VISIBLE)) < 0.5).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", [None, START], ids=["one piece", "starts"])
@pytest.mark.parametrize("given", [False, True], ids=["learned", "given"])
def test_sequences_are_read_as_one_frame_after_the_other(name, start, given):
    network = make(name)
    assert isinstance(network, Network)
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    s = [] if start is None else [pt.tensor("start", dtype="bool", shape=(T, B))]
    n_state = network.u_0.type.shape[0]
    u_0 = np.tile(np.asarray(engine.function([], network.u_0)()), (B, 1))
    if given:
        u_0 = RNG(7).normal(size=u_0.shape).astype(np.float32)
        u_0[:, :1] *= network.traits.period == 1  # a clock begins with the piece
    begin = pt.as_tensor(u_0) if given else None
    u = network.run(v, *(s or [None]), begin)
    before = outputs_before(network, u, begin, *s) if given else shifted_outputs(network, v, *s)
    outputs = [u, network.output(u), before]
    f = engine.function([v, *s], outputs, on_unused_input="ignore")
    states, outputs, earlier = (np.asarray(x) for x in f(frames(), *([] if start is None else [start])))
    earlier = oracles.time_major(earlier, T, B)
    assert states.shape == (T, B, n_state)
    assert outputs.shape == earlier.shape == (T, B, network.n_outputs)
    v_t = pt.tensor("v_t", dtype="float32", shape=(B, N_VISIBLE))
    u_t = pt.tensor("u_t", dtype="float32", shape=(B, n_state))
    step = engine.function([v_t, u_t], [network.step(v_t, u_t), network.output(u_t)], on_unused_input="ignore")
    now = u_0
    for t in range(T):
        if start is not None:
            now = np.where(start[t][:, None], u_0, now)
        after, told = (np.asarray(x) for x in step(frames()[t], now))
        np.testing.assert_allclose(earlier[t], told, atol=3e-6)
        np.testing.assert_allclose(states[t], after, atol=3e-6)
        now = after
    np.testing.assert_allclose(outputs[:-1][~START[1:]], earlier[1:][~START[1:]], atol=1e-6)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "nothing"])
def test_outputs_have_not_seen_their_frame_and_every_parameter_gets_a_gradient(name):
    network = make(name)
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    outputs = shifted_outputs(network, v)
    weight = RNG(3).normal(size=(T * B, network.n_outputs)).astype(np.float32)
    compiled = engine.function([v], [outputs, *pt.grad((outputs * weight).sum(), network.tensors())])

    def f(x: np.ndarray) -> np.ndarray:
        return oracles.time_major(np.asarray(compiled(x)[0]), T, B)

    x = frames()
    whole = f(x)
    for t in range(T):
        y = x.copy()
        y[t, 1] = 1 - y[t, 1]
        other = f(y)
        np.testing.assert_array_equal(other[: t + 1], whole[: t + 1])
        np.testing.assert_array_equal(other[:, [0, 2]], whole[:, [0, 2]])
        reach = network.n_frames if name.startswith("window") else T
        changed = (other[:, 1] != whole[:, 1]).any(axis=1)
        np.testing.assert_array_equal(changed, (np.arange(T) > t) & (np.arange(T) <= t + reach))
    for parameter, g in zip(network.tensors(), compiled(x)[1:], strict=True):
        assert np.isfinite(np.asarray(g)).all()
        # a later layer's first c is read by no one: its state is, at every frame
        assert np.abs(np.asarray(g)).max() > 1e-4, parameter.name
    assert network.with_tensors(network.tensors()) == network


@pytest.mark.parametrize("connections", ["plain", "residual", "skip"])
def test_layers_equal_numpy(connections):
    """Two layers of tanh, each a recurrence of its own on what it reads."""
    network = make(f"tanh 2 {connections}")
    p = {t.name: engine.to_numpy(t).astype(np.float64) for t in network.tensors()}
    assert set(p) == {f"{name}{layer}" for name in ("W_vu", "W_uu", "b_u", "u_0") for layer in ("", "_2")}
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    got = np.asarray(engine.function([v], network.output(network.run(v)))(frames()))
    x = frames().astype(np.float64)
    first = oracles.run_cell("tanh", p, x)[1]
    second = {name: p[f"{name}_2"] for name in ("W_vu", "W_uu", "b_u", "u_0")}
    reads = np.concatenate([x, first], axis=2) if connections == "skip" else first
    top = oracles.run_cell("tanh", second, reads)[1]
    expected = {"plain": top, "residual": first + top, "skip": np.concatenate([first, top], axis=2)}[connections]
    np.testing.assert_allclose(got, expected, atol=3e-6)


def test_a_window_equals_numpy():
    network = make("window3")
    p = {t.name: engine.to_numpy(t).astype(np.float64) for t in network.tensors()}
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    got = oracles.time_major(np.asarray(engine.function([v], shifted_outputs(network, v))(frames())), T, B)
    silent = np.zeros((B, N_VISIBLE))
    x = [silent, silent, silent, *frames().astype(np.float64)]
    for t in range(T):
        latest = np.concatenate([x[t + 2], x[t + 1], x[t]], axis=1)
        np.testing.assert_allclose(got[t], np.tanh(latest @ p["W_vu"] + p["b_u"]), atol=3e-6)


def test_impossible_networks_are_refused():
    for options, message in (
        ({"connections": "dense"}, "'dense' is not one of plain, residual, skip"),
        ({"n_layers": 0}, "n_layers must be 1 to 1000, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            init_stack("gru", 3, 2, **{"n_layers": 1, "seed": 0, **options})
    with pytest.raises(ValueError, match="got 3 visible, 2 hidden, 0 frames"):
        init_window(3, 2, 0, seed=0)
    assert isinstance(init_stack("gru", 3, 2, seed=0), Stack)


def test_a_clock_counts_the_frames_of_each_piece():
    network = make("clock4")
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    start = pt.tensor("start", dtype="bool", shape=(T, B))
    place = engine.to_numpy(engine.function([v, start], network.run(v, start))(frames(), START))[:, :, 0]
    for b in range(B):
        since = 0
        for t in range(T):
            since = 0 if START[t, b] else since + (t > 0)
            assert place[t, b] == (since + 1) % 4
    # what the network is told besides the frames, a one in the place of the next
    inner = network.network
    told = engine.function([v], inner.run(network._with_position(v, pt.as_tensor(np.full((T, B, 1), 2, np.float32)))))
    with_columns = np.concatenate([frames(), np.tile(np.eye(4, dtype=np.float32)[2], (T, B, 1))], axis=2)
    w = pt.tensor("w", dtype="float32", shape=with_columns.shape)
    expected = engine.function([w], inner.run(w))(with_columns)
    np.testing.assert_allclose(engine.to_numpy(told(frames())), engine.to_numpy(expected), atol=1e-6)
    with pytest.raises(ValueError, match="frames_per_bar"):
        init_network(4, 3, frames_per_bar=-1, seed=0)
