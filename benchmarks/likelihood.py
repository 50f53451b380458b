"""Time and memory of annealed importance sampling, compared with its own matrix products.

An RNN-RBM of 200 hidden units, 100 chains x 1 000 temperatures. First one chunk of frames, in turns with the matrix
products v W and h W^T that it needs (on one device with all threads, and spread over all devices; the faster is the
lower bound). With --full, also all 4 725 frames of the JSB test set (RNNRBM_DATA), with the peak memory of the process.

    python benchmarks/likelihood.py [--rounds 5] [--full]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from typing import Any

import common
import jax
import jax.numpy as jnp
import numpy as np

import rnnrbm
from rnnrbm import SequenceModel
from rnnrbm.backend import sharding
from rnnrbm.scoring.likelihood import Evaluator

N_HIDDEN, N_CHAINS, N_TEMPERATURES = 200, 100, 1000


def make_model() -> SequenceModel:
    """Make a model with weights of the size of trained ones."""
    model = rnnrbm.rnn_rbm(88, N_HIDDEN, 150, seed=0, b_v=-2.9, scale=0.3)
    for name, p in (("W_uv", model.bias_weights[0]), ("W_uh", model.bias_weights[1])):
        noise = np.random.default_rng(len(name)).normal(0.0, 0.1, p.type.shape)
        p.set_value(noise.astype(np.float32))
    return model


def products(model: SequenceModel, n_rows: int, spread: bool) -> Any:
    """Matrix products of one chunk: two for each temperature."""
    place = sharding.Sharding(n_rows, sums=not spread)  # a single device if the devices are cores
    W = np.linalg.qr(np.random.default_rng(0).normal(size=(N_HIDDEN, 88)))[0].T.astype(np.float32)  # v W W^T stays v
    v = place.shard(np.random.default_rng(1).random((n_rows, 88), np.float32))

    @jax.jit
    def run(v: Any, W: Any) -> Any:
        return jax.lax.fori_loop(0, N_TEMPERATURES, lambda _, v: (v @ W) @ W.T, v)

    W = place.shard(np.broadcast_to(W, (place.n_devices, *W.shape)))[0] if spread else jnp.asarray(W)
    return lambda: jax.block_until_ready(run(v, W))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="score the whole JSB test set too")
    options = parser.parse_args()
    common.header()
    model = make_model()
    roll = common.piano_roll(1000, 1, 88)[:, 0]
    runs: dict[str, Any] = {}
    for method in ("ais", "raise"):
        evaluator = Evaluator(model, method=method, n_chains=N_CHAINS, n_temperatures=N_TEMPERATURES)
        piece = [roll[: evaluator.chunk]]
        runs[method.upper()] = lambda evaluator=evaluator, piece=piece: evaluator(piece)
    n_rows = evaluator.chunk * N_CHAINS
    runs["matrix products, one device"] = products(model, n_rows, spread=False)
    runs["matrix products, all devices"] = products(model, n_rows, spread=True)
    times = common.interleave(runs, options.rounds, 1)
    floor = "1 / 1.5 at least, of the faster"
    title = f"{evaluator.chunk} frames x {N_CHAINS} chains x {N_TEMPERATURES} temperatures"
    common.report(title, times, targets={"matrix products, one device": floor}, unit="ms")
    if options.full:
        test = rnnrbm.load("jsb").test
        began = time.perf_counter()
        scored = rnnrbm.log_likelihood(model, test, n_chains=N_CHAINS, n_temperatures=N_TEMPERATURES)
        took = time.perf_counter() - began
        unit = 2**30 if sys.platform == "darwin" else 2**20
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        n = sum(len(p) for p in test)
        print(f"JSB test, {n} frames: {took:.0f} s (aim: 480), peak memory {peak:.2f} GB (aim: 2); {scored}")


if __name__ == "__main__":
    main()
