"""Time to generate pieces: the library's Sampler, PyTorch eager and plain JAX.

200 frames of 25 Gibbs steps from the model of the 2012 tutorial (tanh, 88 visible, 150 hidden, 100 recurrent units),
for 1, 8 and 64 pieces at once; compilation excluded. The mean number of notes a frame checks that all contestants
sample from the same distribution.

    python benchmarks/generate.py [--rounds 7] [--pieces 1,8,64]
"""

from __future__ import annotations

import argparse
import importlib.util
from typing import Any

import common
import jax
import numpy as np
import plain_jax
from train_step import SETUPS, make_model

from rnnrbm.sampling import Sampler

N_STEPS, K = 200, 25
TARGETS = {1: ">= 8", 64: ">= 4"}


def contestants(count: int, torch_too: bool) -> dict[str, Any]:
    """Functions without arguments that return (n_steps, count, n_visible) or its transpose as NumPy arrays."""
    model = make_model(SETUPS["tutorial"])
    values = common.parameters(model)
    sampler = Sampler(model, N_STEPS, k=K)
    runs: dict[str, Any] = {"rnnrbm": lambda: sampler(count, seed=1)}
    if torch_too:
        import plain_torch

        theirs = plain_torch.RNNRBM(values, "tanh")
        runs["PyTorch eager"] = lambda: theirs.generate(N_STEPS, count, K)
    p, key = jax.device_put(values), jax.random.key(1)
    runs["plain JAX"] = lambda: np.asarray(plain_jax.generate(p, key, N_STEPS, count, K))
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--pieces", default="1,8,64", help="numbers of pieces to generate at once")
    parser.add_argument("--torch-threads", type=int, help="threads of PyTorch on a CPU; 1 on a shared machine")
    options = parser.parse_args()
    common.header("torch")
    torch_too = importlib.util.find_spec("torch") is not None
    if torch_too:
        import plain_torch

        if options.torch_threads:
            plain_torch.torch.set_num_threads(options.torch_threads)
        print(plain_torch.describe())
    else:
        print("PyTorch is left out: it is not installed (pip install 'rnnrbm[bench]')")
    for count in (int(c) for c in options.pieces.split(",")):
        runs = contestants(count, torch_too)
        notes = {name: run().sum() / (count * N_STEPS) for name, run in runs.items()}
        # 200 frames or more of about 4.6 notes: a standard error of 0.15 at most, before autocorrelation
        assert max(notes.values()) - min(notes.values()) < 1.0, f"notes a frame differ: {notes}"
        times = common.interleave(runs, options.rounds, options.calls)
        targets = {"PyTorch eager": TARGETS.get(count, "")}
        common.report(f"{count} at once", times, targets=targets, per=count, unit="ms a piece")


if __name__ == "__main__":
    main()
