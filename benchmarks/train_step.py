"""Time of one training step: the library, PyTorch eager, plain JAX, and the matrix products alone.

Two models: that of the 2012 tutorial (tanh, 88 visible, 150 hidden and 100 recurrent units, CD-15, plain SGD), and the
library's default (GRU, 256 and 256, CD-5 here, dropout, clipping, Adam) on a small and a large batch. All contestants
start from the same parameters; first the program checks that they compute the same loss and gradient.

A model of sound, with 128 Gaussian units of learned variance and chains from noise, is timed beside one of 128 binary
units and the matrix products, which are the same for both.

    python benchmarks/train_step.py [--rounds 15] [--numba] [--models tutorial,default-small,default-large,sound]
"""

from __future__ import annotations

import argparse
import importlib.util
from typing import Any, NamedTuple

import common
import jax
import numpy as np
import plain_jax
import pytensor.tensor as pt

import rnnrbm
from rnnrbm import SequenceModel
from rnnrbm.backend import engine, random, sharding
from rnnrbm.recurrence import flatten
from rnnrbm.samplers import NegativePhase
from rnnrbm.training import optimisers


class Setup(NamedTuple):
    """A model and a batch of `n_steps` x `n_batch` frames."""

    cell: str
    n_hidden: int
    n_recurrent: int
    n_steps: int
    n_batch: int
    k: int
    optimiser: str = "sgd"
    dropout: tuple[float, float] = (0.0, 0.0)  #: rates of the input and of the state
    n_visible: int = 88
    visible: str = "binary"


SOUND = Setup("gru", 256, 256, 48, 12, 10, "adam", (0.1, 0.1), 128, "gaussian:learned")
SETUPS = {
    "tutorial": Setup("tanh", 150, 100, 100, 16, 15),
    "default-small": Setup("gru", 256, 256, 96, 6, 5, "adam", (0.1, 0.4)),
    "default-large": Setup("gru", 256, 256, 128, 16, 5, "adam", (0.1, 0.4)),
}
TARGETS = {"PyTorch eager": ">= 4", "plain JAX": ">= 1.8", "matrix products alone": ">= 0.5"}


def make_model(s: Setup) -> SequenceModel:
    b_v = -2.9 if s.visible == "binary" else 0.0
    sizes = {"n_hidden": s.n_hidden, "n_recurrent": s.n_recurrent}
    model = rnnrbm.build("rnn-rbm", s.n_visible, visible=s.visible, cell=s.cell, seed=0, b_v=b_v, **sizes)
    for name, p in (
        ("W_uv", model.bias_weights[0]),
        ("W_uh", model.bias_weights[1]),
    ):  # zero initially; here they should have an effect
        noise = np.random.default_rng(len(name)).normal(0.0, 0.05, p.type.shape)
        p.set_value(noise.astype(np.float32))
    return model


def library(s: Setup, v: np.ndarray, mode: str | None = None, precision: str | None = None) -> Any:
    """The library's training step, through its public interface."""
    model, frames = make_model(s), pt.tensor("v", dtype="float32", shape=v.shape)
    loss = model.loss(
        frames,
        rng=random.shared(0),
        negative_phase=NegativePhase(s.k, start="data" if s.visible == "binary" else "noise"),
        input_dropout=s.dropout[0],
        state_dropout=s.dropout[1],
    )
    grads = pt.grad(loss.cost, model.params)
    if s.optimiser == "sgd":
        updates = optimisers.sgd(grads, model.params, 1e-3)
    else:
        updates = optimisers.adam(optimisers.clip_by_global_norm(grads, 1.0), model.params, 3e-3)
    step = engine.function(
        [frames], loss.cost, updates | loss.updates, mode=mode, precision=precision, trust_input=True
    )
    spread = sharding.Sharding(s.n_batch, mode, sums=True)  # as rnnrbm.fit does
    spread.replicate(engine.shared_inputs([loss.cost, *updates.values()]))
    batch = spread.shard(v, axis=1)
    return lambda: engine.block(step(batch))


def library_gradients(s: Setup, v: np.ndarray, negative: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients for a given negative sample (T, B, n_visible)."""
    model = make_model(s)
    frames, fixed = (pt.tensor(name, dtype="float32", shape=v.shape) for name in ("v", "negative"))
    rbm, rows = model.frames(frames)
    cost = (rbm.free_energy(rows) - rbm.free_energy(flatten(fixed))).mean()
    compute = engine.function([frames, fixed], [cost, *pt.grad(cost, model.params)])
    cost, *grads = compute(v, negative)
    return float(cost), {p.name: np.asarray(g) for p, g in zip(model.params, grads, strict=True)}


def check(s: Setup, v: np.ndarray, torch_too: bool) -> None:
    """Raise AssertionError unless all contestants have the same loss and gradient for the same negative sample."""
    values, negative = common.parameters(make_model(s)), common.piano_roll(*v.shape, seed=1)
    rows = negative.reshape(-1, s.n_visible)
    expected, grads = library_gradients(s, v, negative)
    others = {"plain JAX": plain_jax.gradients(values, v, s.cell, negative=rows)}
    if torch_too:
        import plain_torch

        others["PyTorch"] = plain_torch.RNNRBM(values, s.cell).gradients(v, rows)
    tolerance = 1e-4 if jax.devices()[0].platform == "cpu" else 2e-2  # GPUs multiply in TF32
    for name, (cost, theirs) in others.items():
        np.testing.assert_allclose(float(cost), expected, rtol=tolerance, err_msg=f"loss of {name}")
        for p, g in grads.items():
            scale = np.abs(g).max()
            np.testing.assert_allclose(
                np.asarray(theirs[p]), g, atol=tolerance * scale, err_msg=f"{name}: gradient of {p}"
            )
    print(f"same loss ({expected:.4f}) and same gradients: rnnrbm, {', '.join(others)}")


def contestants(s: Setup, v: np.ndarray, torch_too: bool, numba: bool) -> dict[str, Any]:
    values = common.parameters(make_model(s))
    runs = {"rnnrbm": library(s, v)}
    if torch_too:
        import plain_torch

        theirs, frames = plain_torch.RNNRBM(values, s.cell, s.optimiser), plain_torch.torch.tensor(v)
        frames = frames.to(plain_torch.DEVICE)
        runs["PyTorch eager"] = lambda: theirs.step(frames, s.k, s.dropout)
    for label, prng in (("plain JAX", "threefry2x32"), ("plain JAX, rbg generator", "rbg")):
        start, step = plain_jax.make_step(s.cell, s.k, s.optimiser, s.dropout)
        state, batch = [start(values, prng)], jax.device_put(v)

        def run(state=state, step=step, batch=batch) -> None:
            state[0], cost = step(state[0], batch)
            jax.block_until_ready((state[0], cost))

        runs[label] = run
    runs["matrix products alone"] = floor(s)
    if numba:
        runs["rnnrbm, NUMBA mode"] = library(s, v, "NUMBA")
    return runs


def floor(s: Setup) -> Any:
    """The matrix products of a training step."""
    sizes = (s.n_visible, s.n_hidden, s.n_recurrent, s.n_steps, s.n_batch)
    return plain_jax.make_floor(*sizes, s.k, 3 if s.cell == "gru" else 1)


def of_sound(s: Setup) -> dict[str, Any]:
    """The step of a model of real numbers, of one of as many binary units, and the matrix products."""
    reals = np.random.default_rng(0).normal(size=(s.n_steps, s.n_batch, s.n_visible)).astype(np.float32)
    binary = common.piano_roll(s.n_steps, s.n_batch, s.n_visible)
    return {
        "rnnrbm": library(s, reals),
        "rnnrbm, binary units": library(s._replace(visible="binary"), binary),
        "matrix products alone": floor(s),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=10, help="steps of each contestant in a round")
    parser.add_argument("--models", default=",".join([*SETUPS, "sound"]))
    parser.add_argument("--numba", action="store_true", help="also time the NUMBA mode (compiles for a minute)")
    parser.add_argument("--torch-threads", type=int, help="threads of PyTorch on a CPU; 1 on a shared machine")
    options = parser.parse_args()
    common.header("torch", "numba")
    torch_too = importlib.util.find_spec("torch") is not None
    if torch_too:
        import plain_torch

        if options.torch_threads:
            plain_torch.torch.set_num_threads(options.torch_threads)
        print(plain_torch.describe())
    else:
        print("PyTorch is left out: it is not installed (pip install 'rnnrbm[bench]')")
    for name in options.models.split(","):
        if name == "sound":
            times = common.interleave(of_sound(SOUND), options.rounds, options.calls)
            title = f"sound: {SOUND.n_visible} Gaussian units, CD-{SOUND.k}, {SOUND.n_steps} x {SOUND.n_batch} frames"
            common.report(title, times, targets={"matrix products alone": ">= 0.67"}, unit="ms a step")
            continue
        s = SETUPS[name]
        v = common.piano_roll(s.n_steps, s.n_batch, s.n_visible)
        check(s, v, torch_too)
        times = common.interleave(contestants(s, v, torch_too, options.numba), options.rounds, options.calls)
        title = f"{name}: {s.cell}, CD-{s.k}, {s.n_steps} x {s.n_batch} frames"
        common.report(title, times, targets=TARGETS, unit="ms a step")
        print(f"rnnrbm: {s.n_steps * s.n_batch / np.median(times['rnnrbm'].wall):.0f} frames a second")


if __name__ == "__main__":
    main()
