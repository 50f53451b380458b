"""A GPU beside the processor of the same machine: the same numbers, and how long each takes.

    python benchmarks/gpu.py [--rounds 5]

First it compares results of the two: generated units, and loss and gradients of a CD-15 step in each precision of
matrix products. Then it times the first call and later calls of a training step, of generating pieces and of AIS.
Without a GPU it compares the processor with itself, which tests the script. The tests for a GPU are ``pytest -m gpu``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import common
import jax
import numpy as np
import pytensor.tensor as pt
from train_step import SETUPS, library, make_model

from rnnrbm import sampling
from rnnrbm.backend import engine, random, sharding
from rnnrbm.backend.engine import PRECISIONS
from rnnrbm.samplers import NegativePhase
from rnnrbm.scoring.likelihood import Evaluator

N_STEPS, K = 200, 25


@contextmanager
def sampling_on(few_products: int) -> Iterator[None]:
    """Sample on the processor up to so many products in a Gibbs step."""
    before, sampling.FEW_PRODUCTS = sampling.FEW_PRODUCTS, few_products
    try:
        yield
    finally:
        sampling.FEW_PRODUCTS = before


def pieces(n: int, few_products: int) -> Callable[[], np.ndarray]:
    """Generate n pieces by the tutorial's model, on the processor or on JAX's default device."""
    sampler = sampling.Sampler(make_model(SETUPS["tutorial"]), N_STEPS, k=K)

    def run() -> np.ndarray:
        with sampling_on(few_products):
            return sampler(n, seed=1)

    return run


def gradients(precision: str, devices: list[Any]) -> dict[str, np.ndarray]:
    """Loss and gradients of a CD-15 step of the tutorial's model."""
    s = SETUPS["tutorial"]
    model, v = make_model(s), pt.tensor("v", dtype="float32", shape=(s.n_steps, s.n_batch, s.n_visible))
    loss = model.loss(v, rng=random.shared(0), negative_phase=NegativePhase(s.k))
    results = [loss.cost, *pt.grad(loss.cost, model.params)]
    step = engine.function([v], results, precision=precision, trust_input=True)
    spread = sharding.Sharding(1, devices=devices)
    with spread.replicated(engine.shared_inputs(results)):
        values = [
            engine.to_numpy(x) for x in step(spread.shard(common.piano_roll(s.n_steps, s.n_batch, s.n_visible), 1))
        ]
    return dict(zip(["loss", *(p.name for p in model.params)], values, strict=True))


def farthest(a: dict[str, np.ndarray], b: dict[str, np.ndarray], names: list[str]) -> str:
    """Largest difference relative to the largest value, over arrays."""
    return f"{max(np.abs(a[n] - b[n]).max() / np.abs(b[n]).max() for n in names):.1e}"


def agree(cores: list[Any]) -> None:
    """Print how far the default device is from the processor."""
    here, there = pieces(4, 0)(), pieces(4, 10**9)()
    print(f"generated units that differ: {(here != there).sum()} of {here.size}")
    reference = gradients("float32", cores)
    rows = [("default device against the processor", "loss", "gradients")]
    for precision in PRECISIONS:
        got = gradients(precision, jax.local_devices())
        rows.append((precision, farthest(got, reference, ["loss"]), farthest(got, reference, list(got)[1:])))
    common.table(rows)


def first_and_later(runs: dict[str, Callable[[], Any]], rounds: int, per: dict[str, int]) -> None:
    """Print seconds of the first call, which compiles, and the median milliseconds of later ones."""
    rows = [("", "first call, s", "ms")]
    for name, run in runs.items():
        began = time.perf_counter()
        run()
        first = time.perf_counter() - began
        later = common.interleave({name: run}, rounds, 1)[name].wall
        rows.append((name, f"{first:.1f}", common.spread([1000 * x / per.get(name, 1) for x in later])))
    common.table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    common.header()
    cores = sharding.cores()
    if not sharding.has_gpu():
        print("JAX finds no GPU here")
    agree(cores)
    runs: dict[str, Callable[[], Any]] = {}
    for name, s in SETUPS.items():
        v = common.piano_roll(s.n_steps, s.n_batch, s.n_visible)
        for precision in ("float32", "tf32"):
            runs[f"training step, {name}, {precision}"] = library(s, v, precision=precision)
    per = {}
    for n in (1, 8, 64):
        for where, few in (("default device", 0), ("processor", 10**9)):
            per[f"{n} pieces, each, {where}"] = n
            runs[f"{n} pieces, each, {where}"] = pieces(n, few)
    ais, roll = (
        Evaluator(make_model(SETUPS["tutorial"]), n_chains=100, n_temperatures=1000),
        common.piano_roll(1000, 1, 88),
    )
    runs["AIS, 20 frames x 100 chains x 1 000 temperatures"] = lambda: ais([roll[: ais.chunk, 0]])
    first_and_later(runs, options.rounds, per)


if __name__ == "__main__":
    main()
