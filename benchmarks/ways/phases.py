"""Negative phases that are measured here, and are not part of the library because they gained nothing, or too little.

Each has the method of :class:`rnnrbm.samplers.Differs`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.engine import Updates
from rnnrbm.backend.random import Rng
from rnnrbm.rbm import RBM, cd, gibbs, mean_activity, mean_of_rows
from rnnrbm.recurrence import flatten
from rnnrbm.samplers import draw_index, draw_rows
from rnnrbm.training.centring import Centring
from rnnrbm.weights import log_weights

__all__ = ["EnhancedGradient", "MeanFieldStart", "PerFrame", "Proposals", "RatioMatching", "TemperedTransitions"]

Result = tuple[TensorVariable, Updates]


def after_chain(density: RBM, v: TensorVariable, start: TensorVariable, rng: Rng, k: int) -> Result:
    """F(v) - F(negative), where chains of `k` steps begin at `start`."""
    negative, updates = cd(density, start, rng, k)
    return density.free_energy(v) - density.free_energy(negative), updates


class Proposals(NamedTuple):
    """Chains start at their own frame or at another known one, so that the kernel leaves the distribution unchanged.

    `n` frames of the batch are proposed to all rows. Row t starts from v among its own frame and these with
    probability proportional to exp(-F_t(v)) / q(v), where q is the frequency of v in the batch: the importance weights
    of independent proposals from q. (:func:`rnnrbm.samplers.propose` leaves out q, so it favours frequent frames.)
    """

    k: int
    n: int = 16

    def difference(self, density: RBM, v: TensorVariable, rng: Rng, counts: TensorVariable | None = None) -> Result:
        assert counts is not None
        seen, size = counts.astype("float32"), v.sum(axis=1)
        states, rng = draw_rows(v, rng, self.n, counts)

        def log_frequency(x: TensorVariable) -> TensorVariable:
            equal = pt.eq(2 * (x @ v.T), x.sum(axis=1)[:, None] + size).astype("float32")
            return pt.log(pt.maximum((equal * seen).sum(axis=1), np.float32(1.0)))

        own = -density.free_energy(v) - log_frequency(v)
        others = log_weights(density, states) - log_frequency(states)
        best, rng = draw_index(pt.concatenate([own[:, None], others], axis=1), rng)
        start = pt.switch(pt.eq(best, 0)[:, None], v, states[pt.maximum(best - 1, 0)])
        return after_chain(density, v, start, rng, self.k)


class MeanFieldStart(NamedTuple):
    """Chains start from a sample of the mean field that `n` updates of all units reach from the datum."""

    k: int
    n: int = 5

    def difference(self, density: RBM, v: TensorVariable, rng: Rng, counts: TensorVariable | None = None) -> Result:
        mean = v
        for _ in range(self.n):
            mean = pt.sigmoid(density.visible_activation(pt.sigmoid(density.hidden_activation(mean))))
        u, rng = rng.uniform(v)
        return after_chain(density, v, pt.lt(u, mean).astype(v.dtype), rng, self.k)


class TemperedTransitions(NamedTuple):
    """A chain of `k` - 2 `n` steps, then one tempered transition (Neal 1996) up to `lowest` and back in 2 `n` steps.

    The transition passes through inverse temperatures from 1 down to `lowest`, returns, and is accepted with the
    probability that leaves the distribution unchanged.
    """

    k: int
    n: int = 3
    lowest: float = 0.7

    def difference(self, density: RBM, v: TensorVariable, rng: Rng, counts: TensorVariable | None = None) -> Result:
        begun, rng = gibbs(density, v, rng, max(1, self.k - 2 * self.n))
        betas = [np.float32(b) for b in np.geomspace(1.0, self.lowest, self.n + 1)]

        def log_f(x: TensorVariable, beta: np.float32) -> TensorVariable:
            hidden = pt.softplus(beta * density.hidden_activation(x)).sum(axis=-1)
            return beta * (x * density.b_v).sum(axis=-1) + hidden

        def step(x: TensorVariable, beta: np.float32, rng: Rng) -> tuple[TensorVariable, Rng]:
            h, rng = density.hidden.sample(beta * density.hidden_activation(x), rng)
            return density.visible.sample(beta * density.visible_activation(h), rng)

        x, log_ratio = begun, pt.zeros_like(v[:, 0])
        for warm, cold in zip(betas[1:], betas[:-1], strict=True):
            log_ratio = log_ratio + log_f(x, warm) - log_f(x, cold)
            x, rng = step(x, warm, rng)
        for warm, cold in zip(betas[:0:-1], betas[-2::-1], strict=True):
            x, rng = step(x, warm, rng)
            log_ratio = log_ratio + log_f(x, cold) - log_f(x, warm)
        u, rng = rng.uniform(v[:, :1])
        negative = disconnected_grad(pt.switch(pt.lt(pt.log(u[:, 0]), log_ratio)[:, None], x, begun))
        return density.free_energy(v) - density.free_energy(negative), rng.updates()


class RatioMatching(NamedTuple):
    """The pseudo-likelihood by two flips while k is 1, then contrastive divergence.

    The flips are one of a unit that is on and one of a unit that is off, weighted by how many there are.
    """

    k: int

    def difference(self, density: RBM, v: TensorVariable, rng: Rng, counts: TensorVariable | None = None) -> Result:
        if self.k > 1:
            return after_chain(density, v, v, rng, self.k)
        u, rng = rng.uniform(v)
        loss, x = pt.zeros_like(v[:, 0]), density.hidden_activation(v)
        before = pt.softplus(x).sum(axis=-1)
        for value in (1.0, 0.0):
            among = pt.eq(v, np.float32(value)).astype(v.dtype)
            number = among.sum(axis=1)
            chosen = pt.argmax(u * among + among, axis=1)
            change = np.float32(1.0 - 2.0 * value)
            gain = pt.softplus(x + change * density.W[chosen]).sum(axis=-1) - before
            gain = gain + change * density.b_v[pt.arange(v.shape[0]), chosen]
            loss = loss + number * pt.softplus(gain)
        return loss, rng.updates()


class EnhancedGradient(NamedTuple):
    """Contrastive divergence whose offsets of centring are the means of data and negative samples, half each.

    (Cho, Raiko & Ilin, "Enhanced gradient for training restricted Boltzmann machines", 2013.) Moving averages stand
    for the means of the batch. `mu` and `lam` are shared variables; :func:`centred_by` makes training use them.
    """

    k: int
    mu: Any
    lam: Any
    rate: float = 0.05

    def difference(self, density: RBM, v: TensorVariable, rng: Rng, counts: TensorVariable | None = None) -> Result:
        negative, updates = cd(density, v, rng, self.k)
        both = [(mean_of_rows(x, counts), mean_activity(density, x, counts)) for x in (v, negative)]
        moved = {}
        for held, (data, model) in zip((self.mu, self.lam), zip(*both, strict=True), strict=True):
            mean = np.float32(0.5) * (data + model)
            moved[held] = held + np.float32(self.rate) * (mean - held)
        return density.free_energy(v) - density.free_energy(negative), dict(updates) | moved


def centred_by(mu: Any, lam: Any) -> Any:
    """Return a class like :class:`Centring` whose offsets are two shared variables, whatever it is made with."""

    class Moving(Centring):
        def _shifts(self, W: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
            return W @ lam, mu @ W

        def gradients(self, grads: Any, params: Any) -> list[TensorVariable]:
            return Centring(self.density, mu, lam).gradients(grads, params)

    return Moving


class PerFrame:
    """Chains that persist from epoch to epoch, one for each frame of the training set, transposed with it.

    Make one for each training, and call :meth:`symbolic_batch` in place of that of the library, which tells which
    frames a batch has.
    """

    def __init__(self, symbolic_batch: Any) -> None:
        self._symbolic_batch, self.chains, self.k = symbolic_batch, None, 1

    def symbolic_batch(self, corpus: Any, frames: Any, dtype: str) -> Any:
        inputs, batch = self._symbolic_batch(corpus, frames, dtype)
        if self.chains is None:
            self.chains = engine.shared(engine.to_numpy(frames), "chains", corpus.dtype)
            self._padding = np.int32(corpus._first[-1] * corpus._width + corpus._margin)
        self._offset, self._mask = flatten(inputs[0]), flatten(inputs[1])
        return inputs, batch

    def with_k(self, k: int) -> PerFrame:
        self.k = k
        return self

    def difference(self, density: RBM, v: TensorVariable, rng: Rng, counts: TensorVariable | None = None) -> Result:
        columns = np.arange(v.type.shape[1], dtype=np.int32)
        start = self.chains[self._offset[:, None] + columns].astype(v.dtype)
        negative, updates = cd(density, start, rng, self.k)
        place = pt.switch(pt.gt(self._mask, 0), self._offset, self._padding)[:, None] + columns
        new = pt.set_subtensor(self.chains[place], negative.astype(self.chains.dtype))
        return density.free_energy(v) - density.free_energy(negative), dict(updates) | {self.chains: new}
