"""Independent reference in NumPy, float64: slow, plain and checked by enumeration.

Nothing here is shared with the library except the source of random numbers (`rnnrbm.backend.random.uniform_numpy`,
itself checked against `pcg4d` below). Parameters are dicts keyed by the names of the paper.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_ndtr, logsumexp, ndtri

from rnnrbm.backend.random import uniform_numpy

Params = dict[str, np.ndarray]


# ------------------------------------------------------------------------------------------ random numbers


def pcg4d(x: int, y: int, z: int, w: int) -> int:
    """The last word of pcg4d (Jarzynski & Olano 2020) in Python's integers."""
    m = 0xFFFFFFFF
    x, y, z, w = ((t * 1664525 + 1013904223) & m for t in (x, y, z, w))
    x = (x + y * w) & m
    y = (y + z * x) & m
    z = (z + x * y) & m
    w = (w + y * z) & m
    x, y, z, w = (t ^ (t >> 16) for t in (x, y, z, w))
    x = (x + y * w) & m
    y = (y + z * x) & m
    z = (z + x * y) & m
    return (w + y * z) & m


class Stream:
    """A stream of uniform numbers that counts its draws as the library does."""

    def __init__(self, key: np.ndarray, draw: int = 0) -> None:
        self.key, self.draw = key, draw

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        u = uniform_numpy(self.key, self.draw, shape)
        self.draw += 1
        return u.astype(np.float64)

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return ndtri(self.uniform(shape) + 2.0**-25)


# --------------------------------------------------------------------------------------------------- units


class UnitRef(NamedTuple):
    """A unit type: `kind` is bernoulli, softmax, gaussian or relu."""

    kind: str
    n_states: int = 0
    sigma: float = 1.0

    def statistic(self, x: np.ndarray) -> np.ndarray:
        return x / self.sigma**2 if self.kind in ("gaussian", "relu") else x

    def base(self, x: np.ndarray) -> np.ndarray:
        """Energy without bias, one number for each unit."""
        return x**2 / (2.0 * self.sigma**2) if self.kind in ("gaussian", "relu") else np.zeros_like(x)

    def nodes(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """All joint values of `n` units and the log of their weights: an enumeration or a quadrature grid."""
        if self.kind == "bernoulli":
            points = all_states(n)
        elif self.kind == "softmax":
            groups = [np.eye(self.n_states)] * (n // self.n_states)
            points = np.array([np.concatenate(rows) for rows in itertools.product(*groups)])
        else:
            x, w = np.polynomial.legendre.leggauss(160)
            low, high = (0.0 if self.kind == "relu" else -24.0 * self.sigma), 24.0 * self.sigma
            x, w = (high - low) / 2 * x + (high + low) / 2, (high - low) / 2 * w
            points = np.array(list(itertools.product(*[x] * n)))
            return points, np.log(np.array(list(itertools.product(*[w] * n)))).sum(axis=1)
        return points, np.zeros(len(points))

    def log_partition(self, a: float) -> float:
        """Of one unit with activation `a` (no softmax): log of the sum or integral of exp(s(x) a - base(x))."""
        if self.kind == "bernoulli":
            return float(np.logaddexp(0.0, a))
        if self.kind == "gaussian":
            return a**2 / (2.0 * self.sigma**2) + 0.5 * np.log(2.0 * np.pi * self.sigma**2)
        return float(log_ndtr(a / self.sigma) + (a / self.sigma) ** 2 / 2.0 + 0.5 * np.log(2.0 * np.pi * self.sigma**2))


BERNOULLI = UnitRef("bernoulli")


def all_states(n: int) -> np.ndarray:
    """All 2**n rows of n bits, shape (2**n, n)."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=n))).reshape(2**n, n)


def state_index(v: np.ndarray) -> np.ndarray:
    """Position of binary rows in :func:`all_states`."""
    n = v.shape[-1]
    return (np.asarray(v) @ (2.0 ** np.arange(n - 1, -1, -1))).astype(int)


# ----------------------------------------------------------------------------------------------------- RBM


def energy(
    p: Params, v: np.ndarray, h: np.ndarray, visible: UnitRef = BERNOULLI, hidden: UnitRef = BERNOULLI
) -> np.ndarray:
    """E(v, h) for every pair of rows: (V, n_visible), (H, n_hidden) -> (V, H), summed term by term."""
    s_v, s_h = visible.statistic(v), hidden.statistic(h)
    total = visible.base(v).sum(1)[:, None] + hidden.base(h).sum(1)[None, :]
    total = total - (s_v * p["b_v"]).sum(1)[:, None] - (s_h * p["b_h"]).sum(1)[None, :]
    return total - np.einsum("ai,ij,bj->ab", s_v, p["W"], s_h)


def free_energy(p: Params, v: np.ndarray, visible: UnitRef = BERNOULLI, hidden: UnitRef = BERNOULLI) -> np.ndarray:
    """-log of the sum over all h of exp(-E): enumeration, without using that the sum factorizes."""
    h, log_w = hidden.nodes(p["W"].shape[1])
    return -logsumexp(-energy(p, v, h, visible, hidden) + log_w, axis=1)


def hidden_free_energy(
    p: Params, h: np.ndarray, visible: UnitRef = BERNOULLI, hidden: UnitRef = BERNOULLI
) -> np.ndarray:
    """-log of the sum over all v of exp(-E)."""
    v, log_w = visible.nodes(p["W"].shape[0])
    return -logsumexp(-energy(p, v, h, visible, hidden) + log_w[:, None], axis=0)


def log_z(p: Params, beta: float = 1.0) -> float:
    """Exact log partition function of a binary RBM at inverse temperature `beta`."""
    n_visible, n_hidden = p["W"].shape
    return float(logsumexp(-beta * energy(p, all_states(n_visible), all_states(n_hidden))))


def probabilities(p: Params, beta: float = 1.0) -> np.ndarray:
    """Exact p(v) of all 2**n_visible rows of a binary RBM."""
    n_visible, n_hidden = p["W"].shape
    e = -beta * energy(p, all_states(n_visible), all_states(n_hidden))
    return np.exp(logsumexp(e, axis=1) - logsumexp(e))


def marginals(p: Params) -> tuple[np.ndarray, np.ndarray]:
    """Exact E[v] and E[h] of a binary RBM."""
    v, h = all_states(p["W"].shape[0]), all_states(p["W"].shape[1])
    e = -energy(p, v, h)
    joint = np.exp(e - logsumexp(e))
    return joint.sum(1) @ v, joint.sum(0) @ h


def log_likelihood_gradient(p: Params, data: np.ndarray) -> Params:
    """Exact gradient of the mean log-likelihood of binary rows: data moments minus model moments."""
    v, h = all_states(p["W"].shape[0]), all_states(p["W"].shape[1])
    e = -energy(p, v, h)
    joint = np.exp(e - logsumexp(e))
    data_e = -energy(p, data, h)
    posterior = np.exp(data_e - logsumexp(data_e, axis=1, keepdims=True)) @ h
    return {
        "W": data.T @ posterior / len(data) - v.T @ joint @ h,
        "b_v": data.mean(0) - joint.sum(1) @ v,
        "b_h": posterior.mean(0) - joint.sum(0) @ h,
    }


def log_pseudo_likelihood_terms(p: Params, v: np.ndarray) -> np.ndarray:
    """log P(v_i | the other units) of every unit of binary rows, (R, n), by comparing two states each."""
    terms = np.empty(v.shape)
    f = free_energy(p, v)
    for i in range(v.shape[1]):
        other = v.copy()
        other[:, i] = 1.0 - other[:, i]
        terms[:, i] = -f - np.logaddexp(-f, -free_energy(p, other))
    return terms


def gibbs(W: np.ndarray, b_v: np.ndarray, b_h: np.ndarray, v: np.ndarray, stream: Stream, k: int) -> np.ndarray:
    """`k` steps of a binary RBM fed uniform numbers: hidden units first, then visible ones."""
    for _ in range(k):
        a = v @ W + b_h
        h = (stream.uniform(a.shape) < expit(a)).astype(np.float64)
        a = h @ W.T + b_v
        v = (stream.uniform(a.shape) < expit(a)).astype(np.float64)
    return v


# --------------------------------------------------------------------------------------------------- cells


def cell_step(kind: str, p: Params, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """u(t) from v(t) and u(t-1), rows at once; kinds tanh, sigmoid, gru, lstm (whose u is h and c)."""
    if kind == "lstm":
        n = u.shape[-1] // 2
        h, c = u[..., :n], u[..., n:]
        i, f, o, g = (
            squash(
                v @ p["W_vu"][:, k * n : (k + 1) * n] + h @ p["W_uu"][:, k * n : (k + 1) * n] + p["b_u"][k * n :][:n]
            )
            for k, squash in enumerate((expit, expit, expit, np.tanh))
        )
        c = f * c + i * g
        return np.concatenate([o * np.tanh(c), c], axis=-1)
    if kind == "gru":
        n = u.shape[-1]
        W = [p["W_vu"][:, i * n : (i + 1) * n] for i in range(3)]
        U = [p["W_uu"][:, i * n : (i + 1) * n] for i in range(3)]
        b = [p["b_u"][i * n : (i + 1) * n] for i in range(3)]
        r = expit(v @ W[0] + u @ U[0] + b[0])
        z = expit(v @ W[1] + u @ U[1] + b[1])
        c = np.tanh(v @ W[2] + b[2] + r * (u @ U[2]))
        return (1.0 - z) * c + z * u
    a = v @ p["W_vu"] + u @ p["W_uu"] + p["b_u"]
    return np.tanh(a) if kind == "tanh" else expit(a)


def output(kind: str, u: np.ndarray) -> np.ndarray:
    """What others read of a state: all of it, or the h of an LSTM."""
    return u[..., : u.shape[-1] // 2] if kind == "lstm" else u


def run_cell(kind: str, p: Params, v: np.ndarray, start: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """States before and after every frame of sequences (T, B, n): u(0)..u(T-1) and u(1)..u(T)."""
    T, B = v.shape[:2]
    before, after = [], []
    u = np.tile(p["u_0"], (B, 1))
    for t in range(T):
        for b in range(B):
            if start is not None and start[t, b]:
                u = u.copy()
                u[b] = p["u_0"]
        before.append(u)
        u = cell_step(kind, p, v[t], u)
        after.append(u)
    return np.array(before), np.array(after)


def backpropagate(kind: str, p: Params, v: np.ndarray, g_before: np.ndarray, start: np.ndarray | None = None) -> Params:
    """Backpropagation through time, one piece and one frame after the other.

    `g_before` (T, B, n) is the gradient with respect to the states before each frame. Returns the gradient
    with respect to W_vu, W_uu, b_u, u_0 and the frames v.
    """
    before, after = run_cell(kind, p, v, start)
    T, B = v.shape[:2]
    n = p["u_0"].size
    g = {name: np.zeros_like(p[name]) for name in ("W_vu", "W_uu", "b_u", "u_0")} | {"v": np.zeros_like(v)}
    for b in range(B):
        later = np.zeros(n)  # gradient with respect to the state after frame t
        for t in reversed(range(T)):
            u, u_next, x = before[t, b], after[t, b], v[t, b]
            if kind == "gru":
                a = x @ p["W_vu"] + p["b_u"]
                y = u @ p["W_uu"]
                r, z = expit(a[:n] + y[:n]), expit(a[n : 2 * n] + y[n : 2 * n])
                c = np.tanh(a[2 * n :] + r * y[2 * n :])
                d_c = later * (1.0 - z) * (1.0 - c**2)
                d_z = later * (u - c) * z * (1.0 - z)
                d_r = d_c * y[2 * n :] * r * (1.0 - r)
                d_x = np.concatenate([d_r, d_z, d_c])
                d_y = np.concatenate([d_r, d_z, d_c * r])
                direct = later * z
            elif kind == "lstm":
                m = n // 2
                a = x @ p["W_vu"] + p["b_u"] + u[:m] @ p["W_uu"]
                i, f, o = (expit(a[j * m : (j + 1) * m]) for j in range(3))
                c_new, g_in = u_next[m:], np.tanh(a[3 * m :])
                d_c = later[m:] + later[:m] * o * (1.0 - np.tanh(c_new) ** 2)
                d_o = later[:m] * np.tanh(c_new) * o * (1.0 - o)
                d_f, d_i = d_c * u[m:] * f * (1.0 - f), d_c * g_in * i * (1.0 - i)
                d_x = d_y = np.concatenate([d_i, d_f, d_o, d_c * i * (1.0 - g_in**2)])
                direct = np.concatenate([np.zeros(m), d_c * f])
            else:
                slope = 1.0 - u_next**2 if kind == "tanh" else u_next * (1.0 - u_next)
                d_x = d_y = later * slope
                direct = np.zeros(n)
            g["W_vu"] += np.outer(x, d_x)
            g["W_uu"] += np.outer(output(kind, u), d_y)
            g["b_u"] += d_x
            g["v"][t, b] = p["W_vu"] @ d_x
            later = direct + g_before[t, b]
            later[: len(p["W_uu"])] += p["W_uu"] @ d_y
            if t == 0 or (start is not None and start[t, b]):
                g["u_0"] += later
                later = np.zeros(n)
    return g


def finite_differences(f: Callable[[Params], float], p: Params, step: float = 1e-5) -> Params:
    """Central differences of a function of parameters, one number after the other."""
    out = {}
    for name, value in p.items():
        g = np.zeros_like(value)
        for i in np.ndindex(value.shape):
            ends = []
            for sign in (1.0, -1.0):
                moved = value.copy()
                moved[i] += sign * step
                ends.append(f(p | {name: moved}))
            g[i] = (ends[0] - ends[1]) / (2.0 * step)
        out[name] = g
    return out


# ------------------------------------------------------------------------------------------------- RNN-RBM


class Step(NamedTuple):
    """What a training step of the RNN-RBM gives."""

    cost: float
    grads: Params
    negative: np.ndarray
    pseudo_log_likelihood: float


def batch_major(x: np.ndarray) -> np.ndarray:
    """(T, B, ...) -> (B*T, ...), one piece after the other."""
    return np.concatenate([x[:, b] for b in range(x.shape[1])])


def time_major(rows: np.ndarray, T: int, B: int) -> np.ndarray:
    """The inverse of :func:`batch_major`."""
    return np.stack([rows[b * T : (b + 1) * T] for b in range(B)], axis=1)


def conditional_biases(kind: str, p: Params, v: np.ndarray, start: np.ndarray | None = None) -> tuple:
    """b_v(t) and b_h(t) of every frame, (T, B, n)."""
    u = output(kind, run_cell(kind, p, v, start)[0])
    return p["b_v"] + u @ p["W_uv"], p["b_h"] + u @ p["W_uh"]


def cd_cost(
    kind: str, p: Params, v: np.ndarray, negative: np.ndarray, weight: np.ndarray, start: np.ndarray | None = None
) -> float:
    """Weighted sum of F(v(t)) - F(negative(t)) over the frames; everything (T, B, ...), the sums enumerated."""
    b_v, b_h = conditional_biases(kind, p, v, start)
    total = 0.0
    for t, b in np.ndindex(weight.shape):
        if weight[t, b]:
            q = {"W": p["W"], "b_v": b_v[t, b], "b_h": b_h[t, b]}
            f = free_energy(q, np.stack([v[t, b], negative[t, b]]))
            total += weight[t, b] * (f[0] - f[1])
    return float(total)


def training_step(
    kind: str,
    p: Params,
    v: np.ndarray,
    stream: Stream,
    k: int,
    mask: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> Step:
    """Contrastive divergence of the RNN-RBM: the chain, the positive-minus-negative gradient, then BPTT.

    The order of the draws is the library's: the unit of the pseudo-likelihood, then hidden and visible units
    of every Gibbs step, each for all frames with the pieces one after the other.
    """
    T, B, n_visible = v.shape
    b_v, b_h = (batch_major(x) for x in conditional_biases(kind, p, v, start))
    rows = batch_major(v)
    chosen = np.floor(stream.uniform((T * B,)) * n_visible).astype(int)
    negative = gibbs(p["W"], b_v, b_h, rows, stream, k)

    weight = np.ones((T, B)) if mask is None else np.asarray(mask, np.float64)
    weight = weight / weight.sum()
    w = batch_major(weight)[:, None]
    terms = np.array(
        [
            log_pseudo_likelihood_terms({"W": p["W"], "b_v": x, "b_h": y}, r[None])[0]
            for x, y, r in zip(b_v, b_h, rows, strict=True)
        ]
    )
    pseudo = n_visible * float((terms[np.arange(T * B), chosen] * w[:, 0]).sum())

    # dF/db_v = -v, dF/db_h = -E[h|v], dF/dW = -v E[h|v]'
    h_data, h_model = expit(rows @ p["W"] + b_h), expit(negative @ p["W"] + b_h)
    g_b_v, g_b_h = -w * (rows - negative), -w * (h_data - h_model)
    before, _ = run_cell(kind, p, v, start)
    u = output(kind, batch_major(before))
    grads = {
        "W": -(w * rows).T @ h_data + (w * negative).T @ h_model,
        "b_v": g_b_v.sum(0),
        "b_h": g_b_h.sum(0),
        "W_uv": u.T @ g_b_v,
        "W_uh": u.T @ g_b_h,
    }
    g_before = np.zeros_like(before)
    g_before[..., : u.shape[1]] = time_major(g_b_v @ p["W_uv"].T + g_b_h @ p["W_uh"].T, T, B)
    through_time = backpropagate(kind, p, v, g_before, start)
    grads |= {name: through_time[name] for name in ("W_vu", "W_uu", "b_u", "u_0")}
    negative = time_major(negative, T, B)
    return Step(cd_cost(kind, p, v, negative, weight, start), grads, negative, pseudo)


def sequence_probabilities(kind: str, p: Params, n_steps: int) -> dict[tuple[int, ...], float]:
    """Exact probability of every binary sequence of `n_steps` frames, keyed by the frames' state indices."""
    frames = all_states(p["b_v"].size)
    out: dict[tuple[int, ...], float] = {}

    def go(prefix: tuple[int, ...], u: np.ndarray, prob: float) -> None:
        if len(prefix) == n_steps:
            out[prefix] = prob
            return
        x = output(kind, u)
        q = {"W": p["W"], "b_v": p["b_v"] + x @ p["W_uv"], "b_h": p["b_h"] + x @ p["W_uh"]}
        for i, chance in enumerate(probabilities(q)):
            go((*prefix, i), cell_step(kind, p, frames[i][None], u[None])[0], prob * chance)

    go((), p["u_0"], 1.0)
    return out


# ---------------------------------------------------------------------------------------------- optimisers


def optimise(
    name: str, p: np.ndarray, grads: list[np.ndarray], rate: float, *, decay: float = 0.9, scale: float = 1.0
) -> np.ndarray:
    """A parameter after one step for each of `grads`, from the formulas of the papers."""
    rate = rate * scale
    m = np.zeros_like(p)
    s = np.zeros_like(p)
    for t, g in enumerate(grads, start=1):
        if name == "sgd":
            p = p - rate * g
        elif name == "momentum":
            m = decay * m - rate * g
            p = p + m
        elif name == "rmsprop":
            s = decay * s + (1.0 - decay) * g**2
            p = p - rate * g / np.sqrt(s + 1e-6)
        elif name == "adam":
            m = 0.9 * m + 0.1 * g
            s = 0.999 * s + 0.001 * g**2
            p = p - rate * (m / (1.0 - 0.9**t)) / (np.sqrt(s / (1.0 - 0.999**t)) + 1e-8)
        else:
            raise ValueError(name)
    return p
