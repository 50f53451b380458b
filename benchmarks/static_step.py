"""Time of an epoch of an RBM of images: the library, scikit-learn, PyTorch eager, ``rbms``, and bare products.

    python benchmarks/static_step.py [--rounds 3] [--images 60000] [--k 10] [--rbms PYTHON]

The images are random with the size and the ink of MNIST (784 pixels), the RBM has 500 hidden units, a batch is 100
images. ``--k 0`` is persistent contrastive divergence with one Gibbs step (PCD-1), which scikit-learn and ``rbms``
train too; ``--k 10`` is CD-10. The library runs ``rnnrbm.fit`` with everything that it does by default: centring,
momentum, a moving average of the parameters, the pseudo-likelihood. ``rbms`` (0.6) needs Python 3.12 and is timed in a
process of its own, by the interpreter that ``--rbms`` names.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
from collections.abc import Callable
from typing import Any

import common
import jax
import jax.numpy as jnp
import numpy as np

import rnnrbm
from rnnrbm.backend import engine, sharding

BATCH, N_HIDDEN = 100, 500


def images(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random((n, 784), np.float32) < np.linspace(0.0, 0.26, 784)).astype(np.uint8)


def library(v: np.ndarray, k: int) -> Callable[[], Any]:
    how: dict[str, Any] = {"k": k, "persistent": False} if k else {"k": 1, "persistent": True}
    epochs = rnnrbm.fit(rnnrbm.RBM.init(784, N_HIDDEN, seed=0), v, epochs=10_000, batch_size=BATCH, **how)
    return lambda: next(epochs)


def products(v: np.ndarray, k: int) -> Callable[[], Any]:
    """The matrix products of a step: hidden units of data and of negative samples, the chain, two outer products."""
    spread = sharding.Sharding(BATCH, None, sums=True)  # over as many devices as the library's own
    batch = spread.shard(v[:BATCH].astype(np.float32))
    rng = np.random.default_rng(0)
    W = jnp.asarray(rng.normal(0, 0.01, (784, N_HIDDEN)).astype(np.float32))
    if spread.n_devices > 1:
        W = jax.device_put(W, jax.sharding.NamedSharding(batch.sharding.mesh, jax.sharding.PartitionSpec()))

    def step(W: Any, v: Any, particles: Any) -> tuple[Any, Any]:
        data = v @ W
        x = data if k else particles @ W
        for _ in range(max(k, 1)):
            negative = x @ W.T
            x = negative @ W
        return W + 1e-9 * (v.T @ data - negative.T @ x), negative

    compiled = jax.jit(step)

    def epoch() -> None:
        nonlocal W
        particles = batch
        for _ in range(len(v) // BATCH):
            W, particles = compiled(W, batch, particles)
        engine.block(W)

    return epoch


def torch_eager(v: np.ndarray, k: int) -> Callable[[], Any]:
    import torch

    data = torch.tensor(v, dtype=torch.float32)
    W, b_v, b_h = 0.01 * torch.randn(784, N_HIDDEN), torch.zeros(784), torch.zeros(N_HIDDEN)
    speed = [torch.zeros_like(p) for p in (W, b_v, b_h)]
    particles = data[:BATCH].clone()

    @torch.no_grad()
    def epoch() -> None:
        nonlocal particles
        order = torch.randperm(len(data))
        for i in range(0, len(data), BATCH):
            batch = data[order[i : i + BATCH]]
            positive = torch.addmm(b_h, batch, W).sigmoid_()
            h = positive if k else torch.addmm(b_h, particles, W).sigmoid_()
            for _ in range(max(k, 1)):
                negative = torch.bernoulli(torch.addmm(b_v, torch.bernoulli(h), W.T).sigmoid_())
                h = torch.addmm(b_h, negative, W).sigmoid_()
            particles = negative
            grads = (
                (batch.T @ positive - negative.T @ h) / BATCH,
                batch.mean(0) - negative.mean(0),
                positive.mean(0) - h.mean(0),
            )
            for p, s, g in zip((W, b_v, b_h), speed, grads, strict=True):
                s.mul_(0.9).add_(g, alpha=0.01)
                p.add_(s)

    return epoch


def scikit_learn(v: np.ndarray) -> Callable[[], Any]:
    from sklearn.neural_network import BernoulliRBM

    rbm = BernoulliRBM(N_HIDDEN, learning_rate=0.01, batch_size=BATCH, n_iter=1, random_state=0)
    data = v.astype(np.float32)
    return lambda: rbm.fit(data)


_RBMS = """
import sys, time, torch
from rbms.bernoulli_bernoulli.classes import BBRBM
from rbms.dataset.dataset_class import RBMDataset
from rbms.sampler.pcd import PCD
import numpy as np
n, rounds = int(sys.argv[1]), int(sys.argv[2])
v = (np.random.default_rng(0).random((n, 784), np.float32) < np.linspace(0, 0.26, 784)).astype(np.float32)
dataset = RBMDataset(v, np.zeros(n), np.ones(n), np.arange(n), "images", "bernoulli", "cpu", torch.float32)
params = BBRBM.init_parameters(500, dataset, torch.device("cpu"), torch.float32)
for p in params.parameters():
    p.grad = torch.zeros_like(p)
sampler = PCD(params, params.init_chains(100), num_steps=1)
optimizer = torch.optim.SGD(params.parameters(), lr=0.01, maximize=True)
ones = torch.ones(100)
for _ in range(rounds + 1):
    began = time.perf_counter()
    for i in range(0, n, 100):
        optimizer.zero_grad(set_to_none=False)
        batch = dataset.data[i : i + 100]
        data = params.init_chains(num_samples=100, weights=ones, start_v=batch)
        params.compute_gradient(data=data, chains=sampler.get_conf_grad(batch=batch), centered=True)
        optimizer.step()
        sampler.post_grad_update(params=params)
    print(time.perf_counter() - began, flush=True)
"""


def rbms(python: str, n: int) -> list[float]:
    """Seconds of an epoch of the package ``rbms``, once for each of three epochs after the first."""
    done = subprocess.run([python, "-c", _RBMS, str(n), "3"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"rbms did not run: {done.stderr.strip().splitlines()[-1]}")
    return [float(line) for line in done.stdout.split()][1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--k", type=int, default=0, help="Gibbs steps of CD-k; 0 is PCD-1")
    parser.add_argument("--rbms", metavar="PYTHON", help="interpreter that has the package rbms")
    args = parser.parse_args()
    common.header("torch", "scikit-learn")
    v = images(args.images)
    contestants = {"library": library(v, args.k), "matrix products alone": products(v, args.k)}
    targets = {
        "matrix products alone": ">= 0.71",
        "scikit-learn": "> 1",
        "PyTorch eager": "> 1" if not args.k else ">= 2",
    }
    if importlib.util.find_spec("torch"):
        contestants["PyTorch eager"] = torch_eager(v, args.k)
    if importlib.util.find_spec("sklearn") and not args.k:
        contestants["scikit-learn"] = scikit_learn(v)
    name = f"CD-{args.k}" if args.k else "PCD-1"
    times = common.interleave(contestants, args.rounds, 1)
    common.report(f"an epoch of {name}, {args.images} images", times, targets=targets)
    if args.rbms and not args.k:
        print(f"rbms, in a process of its own: {common.spread(rbms(args.rbms, args.images))} s")


if __name__ == "__main__":
    main()
