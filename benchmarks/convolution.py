"""Time of an epoch of a convolutional RBM: the library, PyTorch eager, and the bare matrix products.

    python benchmarks/convolution.py [--rounds 5] [--images 2000] [--filters 32] [--size 9] [--pool 2]

The images are random with the size and the ink of MNIST (28 x 28), a batch is 100 images, and the training is
persistent contrastive divergence with one Gibbs step (PCD-1). The bare products are those of a step in JAX: three of
images with the filters, one of hidden units with the filters, and two of windows with hidden units, each of a window
for every hidden unit, which stands in memory already. The library runs ``rnnrbm.fit`` with all that it does by
default, the optimiser, a moving average of the parameters and the pseudo-likelihood, but with chains that go on for
ever; and once more with chains that begin anew, which has four times as many rows in its Gibbs steps.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from typing import Any

import common
import jax
import jax.numpy as jnp
import numpy as np
from static_step import images

import rnnrbm
from rnnrbm.backend import engine
from rnnrbm.models.convolutional import ConvolutionalRBM

BATCH, SIDE = 100, 28


def library(v: np.ndarray, n_filters: int, size: int, pool: int, n_annealed: int = 0) -> Callable[[], Any]:
    model = ConvolutionalRBM.init(SIDE**2, n_filters, size, seed=0, pool=pool)
    epochs = rnnrbm.fit(model, v, epochs=10_000, batch_size=BATCH, n_annealed=n_annealed)
    return lambda: next(epochs)


def products(n_images: int, n_filters: int, size: int) -> Callable[[], Any]:
    """The matrix products of a step."""
    rng = np.random.default_rng(0)
    n_positions = (SIDE - size + 1) ** 2
    windows = jnp.asarray(rng.random((BATCH * n_positions, size**2), np.float32))
    W = jnp.asarray(rng.normal(0, 0.01, (size**2, n_filters)).astype(np.float32))

    def step(W: Any, data: Any, particles: Any) -> tuple[Any, Any]:
        positive = data @ W
        negative = (particles @ W) @ W.T
        x = negative @ W
        return W + 1e-9 * (data.T @ positive - negative.T @ x), negative

    compiled = jax.jit(step)

    def epoch() -> None:
        nonlocal W
        particles = windows
        for _ in range(n_images // BATCH):
            W, particles = compiled(W, windows, particles)
        engine.block(W)

    return epoch


def torch_eager(v: np.ndarray, n_filters: int, size: int, pool: int) -> Callable[[], Any]:
    import torch
    from torch.nn.functional import conv2d, conv_transpose2d, pad

    data = torch.tensor(v, dtype=torch.float32).reshape(-1, 1, SIDE, SIDE)
    W, b_v, b_h = 0.01 * torch.randn(n_filters, 1, size, size), torch.zeros(SIDE, SIDE), torch.zeros(n_filters)
    speed = [torch.zeros_like(p) for p in (W, b_v, b_h)]
    particles = data[:BATCH].clone()
    down = (SIDE - size + 1) // pool

    def grouped(x: Any) -> Any:
        groups = x.reshape(BATCH, n_filters, down, pool, down, pool).transpose(3, 4)
        return groups.reshape(BATCH, n_filters, down, down, pool**2)

    def mapped(x: Any) -> Any:
        maps = x.reshape(BATCH, n_filters, down, down, pool, pool).transpose(3, 4)
        return maps.reshape(BATCH, n_filters, down * pool, down * pool)

    def probabilities(v: Any) -> Any:
        """Of the states of each group, the last of which is "off"."""
        return torch.softmax(pad(grouped(conv2d(v, W, b_h)), (0, 1)), dim=-1)

    def gradient(v: Any, h: Any) -> Any:
        return conv2d(v.transpose(0, 1), h.transpose(0, 1)).transpose(0, 1) / BATCH

    @torch.no_grad()
    def epoch() -> None:
        nonlocal particles
        order = torch.randperm(len(data))
        for i in range(0, len(data), BATCH):
            batch = data[order[i : i + BATCH]]
            positive = mapped(probabilities(batch)[..., :-1])
            p = probabilities(particles)
            state = torch.searchsorted(p.cumsum(-1), torch.rand(*p.shape[:-1], 1)).clamp_(max=pool**2)
            h = mapped(torch.zeros_like(p).scatter_(-1, state, 1.0)[..., :-1])
            particles = torch.bernoulli((conv_transpose2d(h, W) + b_v).sigmoid_())
            negative = mapped(probabilities(particles)[..., :-1])
            grads = (
                gradient(batch, positive) - gradient(particles, negative),
                (batch.mean(0) - particles.mean(0))[0],
                (positive.sum((0, 2, 3)) - negative.sum((0, 2, 3))) / BATCH,
            )
            for q, s, g in zip((W, b_v, b_h), speed, grads, strict=True):
                s.mul_(0.9).add_(g, alpha=1e-4)
                q.add_(s)

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--size", type=int, default=9)
    parser.add_argument("--pool", type=int, default=2)
    args = parser.parse_args()
    common.header("torch")
    v = images(args.images)
    of_model = (args.filters, args.size, args.pool)
    contestants = {"library": library(v, *of_model), "library, chains begin anew": library(v, *of_model, 300)}
    contestants |= {"matrix products alone": products(len(v), *of_model[:2])}
    targets = {"matrix products alone": ">= 0.33", "PyTorch eager": "> 1"}
    if importlib.util.find_spec("torch"):
        contestants["PyTorch eager"] = torch_eager(v, *of_model)
    title = f"PCD-1, {args.images} images, {args.filters} filters of {args.size} x {args.size}, pool {args.pool}"
    common.report(title, common.interleave(contestants, args.rounds, 1), targets=targets)


if __name__ == "__main__":
    main()
