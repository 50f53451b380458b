"""The RNN-RBM in plain JAX, as an experienced JAX user writes it, and the lower bound: its matrix products alone.

One jitted training step with donated state, ``lax.scan`` over time and over the Gibbs chain, biases and free
energies of all frames as one batch, ``jax.random`` for randomness.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def cell_step(cell: str, x, y, u):
    if cell == "tanh":
        return jnp.tanh(x + y)
    n = u.shape[-1]
    r, z = jnp.split(jax.nn.sigmoid(x[..., : 2 * n] + y[..., : 2 * n]), 2, axis=-1)
    return (1 - z) * jnp.tanh(x[..., 2 * n :] + r * y[..., 2 * n :]) + z * u


def biases(p, read, cell, keep=None):
    """Biases (T*B, n) of all frames from the RNN's input (T, B, n_visible)."""
    x = read @ p["W_vu"] + p["b_u"]
    u_0 = jnp.broadcast_to(p["u_0"], (read.shape[1], len(p["u_0"])))

    def step(u, x_t):
        u = cell_step(cell, x_t, u @ p["W_uu"], u)
        return u, u

    _, u = lax.scan(step, u_0, x[:-1])
    u = jnp.concatenate([u_0[None], u]).reshape(-1, u_0.shape[1])
    if keep is not None:
        u = u * keep
    return p["b_v"] + u @ p["W_uv"], p["b_h"] + u @ p["W_uh"]


def chain(W, b_v, b_h, v, key, k):
    def step(v, key):
        key_h, key_v = jax.random.split(key)
        h = jax.random.bernoulli(key_h, jax.nn.sigmoid(v @ W + b_h)).astype(v.dtype)
        return jax.random.bernoulli(key_v, jax.nn.sigmoid(h @ W.T + b_v)).astype(v.dtype), None

    return lax.scan(step, v, jax.random.split(key, k))[0]


def free_energy(W, b_v, b_h, v):
    return -(v * b_v).sum(-1) - jax.nn.softplus(v @ W + b_h).sum(-1)


def loss(p, v, cell, *, k=0, key=None, negative=None, dropout=(0.0, 0.0)):
    """The loss of a batch; the negative sample (T*B rows) is drawn if it is None."""
    read, keep, rows = v, None, v.reshape(-1, v.shape[-1])
    if key is not None:
        key, key_v, key_u = jax.random.split(key, 3)
        if dropout[0]:
            read = v * jax.random.bernoulli(key_v, 1 - dropout[0], v.shape)
        if dropout[1]:
            keep = jax.random.bernoulli(key_u, 1 - dropout[1], (len(rows), len(p["u_0"]))) / (1 - dropout[1])
    b_v, b_h = biases(p, read, cell, keep)
    if negative is None:
        negative = lax.stop_gradient(chain(*lax.stop_gradient((p["W"], b_v, b_h)), rows, key, k))
    return (free_energy(p["W"], b_v, b_h, rows) - free_energy(p["W"], b_v, b_h, negative)).mean()


gradients = jax.jit(jax.value_and_grad(loss), static_argnames="cell")


def make_step(cell: str, k: int, optimiser: str = "sgd", dropout: tuple = (0.0, 0.0)):
    """Return (state of parameters, step): ``state, cost = step(state, v)``."""

    @partial(jax.jit, donate_argnums=0)
    def step(state, v):
        p, m, s, t, key = state
        key, now = jax.random.split(key)
        cost, g = jax.value_and_grad(loss)(p, v, cell, k=k, key=now, dropout=dropout)
        t = t + 1
        if optimiser == "sgd":
            return (jax.tree.map(lambda p, g: p - 1e-3 * g, p, g), m, s, t, key), cost
        norm = jnp.sqrt(sum((x**2).sum() for x in jax.tree.leaves(g)))
        g = jax.tree.map(lambda g: g / jnp.maximum(norm, 1.0), g)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        s = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g**2, s, g)
        a, b = 1 - 0.9**t, 1 - 0.999**t
        p = jax.tree.map(lambda p, m, s: p - 3e-3 * (m / a) / (jnp.sqrt(s / b) + 1e-8), p, m, s)
        return (p, m, s, t, key), cost

    def start(values, prng):
        p = {name: jnp.array(value) for name, value in values.items()}
        zero = jax.tree.map(jnp.zeros_like, p) if optimiser == "adam" else {}
        return p, zero, jax.tree.map(jnp.copy, zero), jnp.float32(0), jax.random.key(0, impl=prng)

    return start, step


@partial(jax.jit, static_argnames=("n_steps", "count", "k"))
def generate(p, key, n_steps: int, count: int, k: int):
    """Sample (n_steps, count, n_visible) from a model with a tanh cell, like ``rnnrbm.sampling``."""

    def step(carry, key):
        v, u = carry
        v = chain(p["W"], p["b_v"] + u @ p["W_uv"], p["b_h"] + u @ p["W_uh"], v, key, k)
        return (v, jnp.tanh(v @ p["W_vu"] + p["b_u"] + u @ p["W_uu"])), v

    begin = jnp.zeros((count, len(p["b_v"]))), jnp.broadcast_to(p["u_0"], (count, len(p["u_0"])))
    return lax.scan(step, begin, jax.random.split(key, n_steps))[1]


def make_floor(n_visible: int, n_hidden: int, n_recurrent: int, n_steps: int, n_batch: int, k: int, blocks: int):
    """Return a function without arguments that computes only the matrix products of a training step."""
    rng = np.random.default_rng(0)

    def orthogonal(rows: int, columns: int):
        q = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))[0]
        return jnp.asarray(q if rows > columns else q.T, jnp.float32)  # keeps products from overflow and underflow

    W, W_uv, W_uh = (
        orthogonal(n_visible, n_hidden),
        orthogonal(n_recurrent, n_visible),
        orthogonal(n_recurrent, n_hidden),
    )
    W_vu, W_uu = orthogonal(n_visible, blocks * n_recurrent), orthogonal(n_recurrent, blocks * n_recurrent)
    v, g_v, g_h = (
        jnp.asarray(rng.normal(size=(n_steps * n_batch, n)), jnp.float32) for n in (n_visible, n_visible, n_hidden)
    )
    u_0 = jnp.asarray(rng.normal(size=(n_batch, n_recurrent)), jnp.float32)
    rest = (n_steps, n_batch, blocks * n_recurrent)

    @jax.jit
    def products(W, W_uv, W_uh, W_vu, W_uu, v, g_v, g_h, u_0):
        def forward(u, x):
            y = u @ W_uu + x
            return y[:, :n_recurrent], y

        x = (v @ W_vu).reshape(rest)
        u = lax.scan(forward, u_0, x)[1][..., :n_recurrent].reshape(-1, n_recurrent)
        b_v, b_h = u @ W_uv, u @ W_uh
        negative = lax.scan(lambda v, _: ((v @ W) @ W.T, None), v, None, length=k)[0]
        energies = v @ W, negative @ W
        g_W = v.T @ g_h, negative.T @ g_h
        g_u = (g_v @ W_uv.T + g_h @ W_uh.T).reshape(n_steps, n_batch, n_recurrent)

        def backward(g, g_t):
            g_y = jnp.concatenate([g + g_t] * blocks, axis=1)
            return g_y @ W_uu.T, g_y

        g_y = lax.scan(backward, u_0, g_u, reverse=True)[1].reshape(-1, rest[2])
        return b_v, b_h, energies, g_W, u.T @ g_v, u.T @ g_h, u.T @ g_y, v.T @ g_y

    arguments = (W, W_uv, W_uh, W_vu, W_uu, v, g_v, g_h, u_0)
    return lambda: jax.block_until_ready(products(*arguments))
