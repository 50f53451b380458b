"""A few training steps give the same samples and parameters on every engine and number of devices.

Tolerances: the negative samples are equal to the last bit, because every engine computes the same uniform
numbers and none of them falls between two roundings of a probability; parameters after three steps of Adam
agree within 2e-5 (three engines round sums of float32 differently, and Adam divides by small numbers); one and
four devices within 1e-7 after steps of SGD, and within 1e-5 after training with Adam.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytensor.tensor as pt
import pytest

from rnnrbm import samplers
from rnnrbm.backend import engine, random
from rnnrbm.rnnrbm import rnn_rbm
from rnnrbm.samplers import NegativePhase
from rnnrbm.training import optimisers

T, B, N_VISIBLE = 6, 8, 5


def train(mode: str, cell: str) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Three steps on one batch: negative samples and costs, and the parameters afterwards."""
    rng = np.random.default_rng(0)
    model = rnn_rbm(N_VISIBLE, 4, 3, seed=rng, cell=cell)
    for t in model.params:
        t.set_value((0.5 * rng.normal(size=t.type.shape)).astype(np.float32))
    v = pt.tensor("v", dtype="float32", shape=(T, B, N_VISIBLE))
    mask, start = pt.tensor("mask", dtype="float32", shape=(T, B)), pt.tensor("start", dtype="bool", shape=(T, B))
    stream = random.shared(1)
    loss = model.loss(v, mask, start, rng=stream, negative_phase=NegativePhase(2))
    rbm, rows = model.frames(v, start)
    negative, _ = samplers.gibbs(rbm, rows, stream.skip(1), 2)  # the sample that the loss takes
    updates = optimisers.adam(pt.grad(loss.cost, model.params), model.params, 0.01)
    f = engine.function(
        [v, mask, start], [negative, loss.cost, loss.metrics["pseudo_likelihood"]], loss.updates | updates, mode=mode
    )
    outputs = []
    for i in range(3):
        data = np.random.default_rng(10 + i)
        x = (data.random((T, B, N_VISIBLE)) < 0.4).astype(np.float32)
        lengths = data.integers(2, T + 1, size=B)
        real = (np.arange(T)[:, None] < lengths).astype(np.float32)
        outputs += [engine.to_numpy(t) for t in f(x, real, data.random((T, B)) < 0.2)]
    return outputs, {t.name: engine.to_numpy(t) for t in [*model.params, stream.draw]}


def compare(one: tuple, other: tuple, tolerance: float) -> None:
    for i in range(0, 9, 3):
        np.testing.assert_array_equal(one[0][i], other[0][i])
    for a, b in zip(one[0], other[0], strict=True):
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    for name, value in one[1].items():
        assert other[1][name].dtype == value.dtype
        np.testing.assert_allclose(other[1][name], value, rtol=0, atol=tolerance, err_msg=name)
    assert one[1]["rng_draw"] == other[1]["rng_draw"] == 15


@pytest.mark.parametrize("cell", [pytest.param("tanh", marks=pytest.mark.slow), "gru"])
def test_fast_compile_agrees_with_jax(cell: str) -> None:
    compare(train("JAX", cell), train("FAST_COMPILE", cell), 2e-5)


@pytest.mark.slow
def test_numba_agrees_with_jax() -> None:
    compare(train("JAX", "gru"), train("NUMBA", "gru"), 2e-5)


def test_numba_gibbs_steps_agree_with_jax() -> None:
    """The part of a training step that NUMBA compiles quickly: conditional biases, two Gibbs half-steps, F."""
    results = []
    for mode in ("JAX", "NUMBA"):
        rng = np.random.default_rng(2)
        model = rnn_rbm(N_VISIBLE, 4, 3, seed=rng, cell="tanh", scale=1.0)
        u, v = pt.tensor("u", dtype="float32", shape=(20, 3)), pt.tensor("v", dtype="float32", shape=(20, N_VISIBLE))
        rbm = model.conditional(u)
        stream = random.shared(4)
        sample, after = rbm.gibbs_step(v, stream)
        f = engine.function([u, v], [sample, rbm.free_energy(sample)], after.updates(), mode=mode)
        inputs = rng.normal(size=(20, 3)).astype(np.float32), (rng.random((20, N_VISIBLE)) < 0.5).astype(np.float32)
        results.append([engine.to_numpy(t) for _ in range(2) for t in f(*inputs)])
    for i, (a, b) in enumerate(zip(*results, strict=True)):
        np.testing.assert_allclose(a, b, rtol=0, atol=0 if i % 2 == 0 else 1e-5)


DEVICES = """
import sys
import numpy as np
import pytensor.tensor as pt
from rnnrbm import fit, generate, log_likelihood, samplers
from rnnrbm.backend import engine, random, sharding
from rnnrbm.training import optimisers
from rnnrbm.rnnrbm import rnn_rbm
from rnnrbm.samplers import NegativePhase

n_devices, out = int(sys.argv[1]), sys.argv[2]
assert sharding.available() == n_devices
T, B = 6, 8
rng = np.random.default_rng(0)
model = rnn_rbm(5, 4, 3, seed=rng, cell="gru")
for t in model.params:
    t.set_value((0.5 * rng.normal(size=t.type.shape)).astype(np.float32))
v = pt.tensor("v", dtype="float32", shape=(T, B, 5))
mask, start = pt.tensor("mask", dtype="float32", shape=(T, B)), pt.tensor("start", dtype="bool", shape=(T, B))
stream = random.shared(1)
loss = model.loss(v, mask, start, rng=stream, negative_phase=NegativePhase(3))
rbm, rows = model.frames(v, start)
negative, _ = samplers.gibbs(rbm, rows, stream.skip(1), 3)
updates = loss.updates | optimisers.sgd(pt.grad(loss.cost, model.params), model.params, 0.1)
f = engine.function(
    [v, mask, start], [negative, loss.cost, rbm.free_energy(rows)], updates, trust_input=True
)
arrays = {}
spread = sharding.Sharding(B)
assert spread.n_devices == n_devices
spread.replicate([*model.params, stream.key, stream.draw])
for i in range(3):
    x = (rng.random((T, B, 5)) < 0.4).astype(np.float32)
    real = (np.arange(T)[:, None] < rng.integers(2, T + 1, size=B)).astype(np.float32)
    sample, cost, energy = f(*(spread.shard(a, axis=1) for a in (x, real, rng.random((T, B)) < 0.2)))
    if n_devices > 1:
        for name, a in (("negative", sample), ("free energy", energy)):
            assert len(a.sharding.device_set) == n_devices, (name, a.sharding)
            assert not a.sharding.is_fully_replicated, (name, a.sharding)
            assert a.sharding.is_equivalent_to(spread.shard(np.zeros(a.shape)).sharding, a.ndim), (name, a.sharding)
            assert {s.data.shape[0] for s in a.addressable_shards} == {T * B // n_devices}, name
        for t in model.params:
            assert t.get_value(borrow=True).sharding.is_fully_replicated, t.name
    arrays |= {f"sample{i}": np.asarray(sample), f"cost{i}": np.asarray(cost), f"energy{i}": np.asarray(energy)}
arrays |= {f"step {t.name}": engine.to_numpy(t) for t in [*model.params, stream.draw]}
pieces = [(rng.random((6, 5)) < 0.4).astype(np.float32) for _ in range(12)]
for row in fit(model, pieces[:8], pieces[8:], epochs=2, batch_size=4, row_length=6, context=0, transpose_range=(0, 0),
k=2):
    arrays["valid_ll"] = np.asarray(row["valid_ll"])
scored = log_likelihood(model, pieces, n_chains=10, n_temperatures=20)
arrays["log-likelihood"] = np.concatenate(scored.frames)
# one piece, fewer than there are devices, and a number that they do not divide
for count in (1, 6):
    arrays[f"sample of {count}"] = generate(model, 5, n_samples=count, k=3, seed=4)
np.savez(out, **arrays, **{t.name: engine.to_numpy(t) for t in [*model.params, stream.draw]})
"""


def test_four_devices_agree_with_one(tmp_path: Path) -> None:
    root = Path(engine.__file__).parents[2]
    results = []
    for n in (1, 4):
        environment = {k: x for k, x in os.environ.items() if not k.startswith(("PYTENSOR", "XLA"))}
        environment |= {
            "JAX_NUM_CPU_DEVICES": str(n),
            "NPROC": "16",  # threads of XLA: enough for all sums over devices to wait at once
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        out = tmp_path / f"{n}.npz"
        done = subprocess.run(
            [sys.executable, "-c", DEVICES, str(n), str(out)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results.append(dict(np.load(out)))
    one, four = results
    assert one.keys() == four.keys()
    for name, value in one.items():
        if name.startswith("sample"):
            np.testing.assert_array_equal(four[name], value, err_msg=name)
        else:
            atol = {"energy": 2e-6, "cost": 2e-6, "step": 1e-7}.get(name.split()[0].rstrip("012"), 1e-5)
            np.testing.assert_allclose(four[name], value, rtol=0, atol=atol, err_msg=name)
    np.testing.assert_array_equal(one["sample of 1"], one["sample of 6"][:1])
