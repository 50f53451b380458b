"""Time of one training step for every model, and of a NADE computed in three ways; and their memory.

All models have the library's defaults (256 hidden and recurrent units, GRU, CD-5, dropout, clipping, Adam), on batches
of 96 x 6 frames as sparse as music (at most 15 units on). Memory is that of a separate process that trains ten steps.

    python benchmarks/models.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import common
import numpy as np
import pytensor.tensor as pt

from rnnrbm.backend import engine, random
from rnnrbm.models.nade import NADE
from rnnrbm.models.registry import SEQUENCE_MODELS, build
from rnnrbm.samplers import NegativePhase
from rnnrbm.training import optimisers

T, B, N_VISIBLE, K = 96, 6, 88, 5
VARIANTS: dict[str, dict[str, Any]] = {name: {} for name in SEQUENCE_MODELS}
VARIANTS["rnn-rbm, 2 layers of LSTM"] = {"cell": "lstm", "n_layers": 2}
VARIANTS["rnn-nade, orderless"] = {"orderless": True}
VARIANTS["rnn-nade, a layer beside"] = {"n_pitch_conv": 64}


def batch() -> np.ndarray:
    v = common.piano_roll(T, B, N_VISIBLE)
    v[v.sum(axis=2) > 15] = 0.0
    return v


def training_step(variant: str) -> Any:
    """A compiled training step of one model, on one batch."""
    name = variant.split(",")[0]
    model = build(name, N_VISIBLE, seed=0, b_v=-2.9, **VARIANTS[variant])
    frames = batch()
    v = pt.tensor("v", dtype="float32", shape=frames.shape)
    dropout = {"input_dropout": 0.1, "state_dropout": 0.4} if model.bias_weights else {}
    max_active = int(frames.sum(axis=2).max())
    loss = model.loss(v, rng=random.shared(0), negative_phase=NegativePhase(K), max_active=max_active, **dropout)
    grads = optimisers.clip_by_global_norm(pt.grad(loss.cost, model.params), 1.0)
    updates = optimisers.adam(grads, model.params, 1e-3) | loss.updates
    f = engine.function([v], loss.cost, updates, trust_input=True)
    return lambda: engine.block(f(frames))


def nade_gradient(way: str, n_hidden: int = 256) -> Any:
    """Log-probability and gradient of a NADE on the rows of a batch."""
    nade = NADE.init(N_VISIBLE, n_hidden, seed=0, b_v=-2.9)
    frames = batch().reshape(-1, N_VISIBLE)
    v = pt.tensor("v", dtype="float32", shape=frames.shape)
    if way == "triangular product":
        # inputs of the hidden units before every unit: (R, n, n_hidden)
        before = pt.as_tensor(np.tril(np.ones((N_VISIBLE, N_VISIBLE), np.float32), -1))
        told = (v[:, None, :] * before).reshape((-1, N_VISIBLE)) @ nade.W
        h = pt.sigmoid(told.reshape((len(frames), N_VISIBLE, n_hidden)) + nade.b_h)
        logits = (h * nade.V).sum(axis=-1, acc_dtype="float32") + nade.b_v
        log_p = (v * logits - pt.softplus(logits)).sum(axis=-1, acc_dtype="float32")
    else:
        log_p = nade.log_prob(v, int(frames.sum(axis=1).max()) if way == "segments" else None)
    f = engine.function([v], [log_p.mean(), *pt.grad(log_p.mean(), nade.tensors())], trust_input=True)
    value = float(f(frames)[0])
    assert abs(value - REFERENCE.setdefault("nade", value)) < 1e-4 * abs(value), "the three ways differ"
    return lambda: engine.block(f(frames))


REFERENCE: dict[str, float] = {}


def peak() -> float:
    """Peak memory of this process, GB; on Linux getrusage would include the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def peak_memory(variant: str) -> float:
    """Peak memory of a process that trains ten steps, GB."""
    done = subprocess.run([sys.executable, __file__, "--only", variant], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        step = training_step(options.only)
        for _ in range(10):
            step()
        print(peak())
        return
    common.header()
    steps = {variant: training_step(variant) for variant in sorted(VARIANTS, key=lambda v: v != "rnn-rbm")}
    times = common.interleave(steps, options.rounds, 5)
    common.report(f"a step of {T} x {B} frames", times, targets={})
    rows = [("model", "frames a second", "peak memory, GB")]
    for variant, t in times.items():
        rows.append((variant, f"{T * B / np.median(t.wall):.0f}", f"{peak_memory(variant):.2f}"))
    common.table(rows)
    ways = ("segments", "unit by unit", "triangular product")
    nades = {way: nade_gradient(way) for way in ways}
    common.report(f"NADE, gradient, {T * B} rows", common.interleave(nades, options.rounds, 3), targets={})


if __name__ == "__main__":
    main()
