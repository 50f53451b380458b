"""What a deep belief net learns by: the RBMs of its stack, or the up-down algorithm, which comes after them.

A stack trains all its RBMs at the same time by persistent chains, each on samples of the layer below.

Up-down, a contrastive form of wake-sleep, gives a stack weights of its own for inference. Going up from data by these,
it trains the weights that generate; going down from the chains of the top RBM, it trains those that infer.

All gradients are centred (:mod:`rnnrbm.training.centring`), but those of real numbers.

Source: Hinton, Osindero & Teh, "A fast learning algorithm for deep belief nets", Neural Computation 2006, section 5 and
appendix B; here the chains of the top RBM are persistent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend.random import Rng
from rnnrbm.batch import Batch, Loss, masked_mean
from rnnrbm.densities import Independent
from rnnrbm.rbm import RBM, gibbs, mean_activity, mean_of_rows, rate_of_images
from rnnrbm.recurrence import flatten
from rnnrbm.sequence import OFFSET_RATE

__all__ = ["Stack", "stack_loss", "up_down_loss", "usual_rate"]

#: Gibbs steps of the chains of real numbers, which start from noise in every step; see docs/vocalizations.md.
K_OF_REAL_NUMBERS = 20


class Stack(Protocol):
    """What the losses need of a net: the attributes of :class:`rnnrbm.models.dbn.DBN`."""

    @property
    def rbms(self) -> tuple[RBM, ...]:
        """RBMs, from the frame up."""

    @property
    def recognition(self) -> tuple[Any, ...]:
        """W and b_h of inference, for each RBM but the top one; empty if they are those of the RBMs."""

    @property
    def chains(self) -> tuple[Any, ...]:
        """Shared variables (n_chains, visible units), one for each RBM."""

    @property
    def offsets(self) -> tuple[Any, ...]:
        """Shared variables (units,), one for each layer."""

    @property
    def n_steps(self) -> Any:
        """Shared variable: number of steps so far."""


def usual_rate(rbm: RBM) -> float:
    """Return the learning rate of an RBM of discrete units: the more visible units, the lower."""
    return rate_of_images(rbm.W.type.shape[0])


def stack_loss(net: Stack, batch: Batch, rng: Rng) -> Loss:
    """Build the sum over RBMs of mean F(data) - mean F(chains), each RBM on samples of the layer below.

    Its value has no meaning. The metrics are the pseudo-likelihoods of the RBMs, nats per frame, that of the lowest
    without a number.
    """
    v, mask = _rows(batch)
    means, costs = [mean_of_rows(v, mask)], []
    updates: dict[Any, Any] = {}
    metrics: dict[str, TensorVariable] = {}
    for i, rbm in enumerate(net.rbms):
        cost, negative, rng = _contrast(net, i, v, batch, rng)
        costs.append(cost)
        updates[net.chains[i]] = negative
        means.append(mean_activity(rbm, v, mask))
        if rbm.visible.is_binary:
            pseudo, rng = rbm.pseudo_log_likelihood(v, rng)
            metrics["pseudo_likelihood" + (f"_{i + 1}" if i else "")] = masked_mean(pseudo, batch.mask)
        if i + 1 < len(net.rbms):
            v, rng = rbm.hidden.sample(rbm.hidden_activation(v), rng)
            v = disconnected_grad(v)
    return Loss(_total(costs), updates | _next_offsets(net, means) | rng.updates(), metrics)


def up_down_loss(net: Stack, batch: Batch, rng: Rng) -> Loss:
    """Build the loss of up-down: that of the top RBM, and -log p of each layer below it given its neighbour, twice.

    In the up phase (wake), layers are sampled from data by the weights of inference, and each layer is predicted from
    the one above. In the down phase (sleep), they are sampled from the chains of the top RBM by the weights that
    generate, and each is predicted from the one below. The metrics are mean log-probabilities of the two phases, nats
    per frame.
    """
    v, mask = _rows(batch)
    means, costs = [mean_of_rows(v, mask)], []
    up, down = [], []
    for i, (rbm, (W, b_h)) in enumerate(zip(net.rbms[:-1], net.recognition, strict=True)):
        h, rng = rbm.hidden.sample(rbm.visible.statistic(v) @ W + b_h, rng)
        h = disconnected_grad(h)
        log_p = masked_mean(Independent(rbm.visible_activation(h), rbm.visible).log_prob(v), batch.mask)
        costs.append(_cost(net, i, -log_p, {"W": rbm.W, "b_v": rbm.b_v}, rbm.tensors()[3:]))
        up.append(log_p)
        v = h
        means.append(mean_of_rows(v, mask))
    top = len(net.rbms) - 1
    cost, negative, rng = _contrast(net, top, v, batch, rng)
    costs.append(cost)
    means.append(mean_activity(net.rbms[-1], v, mask))
    h = negative
    for i, (rbm, (W, b_h)) in reversed(list(enumerate(zip(net.rbms[:-1], net.recognition, strict=True)))):
        below, rng = rbm.visible.sample(rbm.visible_activation(h), rng)
        below = disconnected_grad(below)
        log_q = Independent(rbm.visible.statistic(below) @ W + b_h, rbm.hidden).log_prob(h).mean(acc_dtype=h.dtype)
        costs.append(_cost(net, i, -log_q, {"W": W, "b_h": b_h}, []))
        down.append(log_q)
        h = below
    updates = {net.chains[-1]: negative} | _next_offsets(net, means) | rng.updates()
    return Loss(_total(costs), updates, {"up": _total(up), "down": _total(down)})


def _rows(batch: Batch) -> tuple[TensorVariable, TensorVariable]:
    """Frames as rows, and which of them count; padding may hold anything, and becomes 0."""
    v, mask = flatten(batch.v), flatten(batch.mask)
    return pt.switch(pt.gt(mask[:, None], 0), v, np.asarray(0.0, v.dtype)), mask


def _total(terms: Sequence[TensorVariable]) -> TensorVariable:
    return sum(terms[1:], terms[0])


def _contrast(
    net: Stack, i: int, v: TensorVariable, batch: Batch, rng: Rng
) -> tuple[TensorVariable, TensorVariable, Rng]:
    """Mean F(data) - mean F(chains) of an RBM, and where its chains have come to."""
    rbm, chains = net.rbms[i], net.chains[i]
    if rbm.visible.is_discrete:
        negative, rng = rbm.gibbs_step(chains, rng)
    else:
        negative, rng = gibbs(rbm, *rbm.visible.noise(chains, rng), K_OF_REAL_NUMBERS)
    negative = disconnected_grad(negative)
    cost = masked_mean(rbm.free_energy(v), batch.mask) - rbm.free_energy(negative).mean(acc_dtype=v.dtype)
    parts = {"W": rbm.W, "b_v": rbm.b_v, "b_h": rbm.b_h}
    return _cost(net, i, cost, parts, rbm.tensors()[3:]), negative, rng


def _cost(net: Stack, i: int, cost: TensorVariable, parts: Mapping[str, Any], others: Sequence[Any]) -> TensorVariable:
    """Return a cost of the same value whose gradient is the centred one, times the relative rate of the layer.

    A step along the centred gradient changes the weights, and the plain biases by what keeps those of the centred units
    in place. The result is linear in the parameters.

    Parameters
    ----------
    net : Stack
    i : int
        Between which layers the weights are: `i` and the one above.
    cost : TensorVariable
    parts : dict
        ``W`` and the biases, ``b_v``, ``b_h`` or both, that the cost depends on.
    others : list of shared variables
        Further parameters.
    """
    if not net.rbms[i].visible.is_discrete:
        return cost
    found: Any = pt.grad(cost, [*parts.values(), *others])
    grads = dict(zip(parts, found, strict=False))
    mu, lam = net.offsets[i], net.offsets[i + 1]
    if "b_h" in grads:
        grads["W"] = grads["W"] - mu[:, None] * grads["b_h"]
    if "b_v" in grads:
        grads["W"] = grads["W"] - grads["b_v"][:, None] * lam
    shifts = {"b_v": grads["W"] @ lam, "b_h": mu @ grads["W"]}
    directions = [g - shifts[name] if name in shifts else g for name, g in grads.items()] + found[len(parts) :]
    scale = np.asarray(usual_rate(net.rbms[i]) / usual_rate(net.rbms[0]), cost.dtype)
    pairs = zip([*parts.values(), *others], directions, strict=True)
    linear = _total([(p * disconnected_grad(scale * d)).sum(acc_dtype=p.dtype) for p, d in pairs])
    return disconnected_grad(cost) + linear - disconnected_grad(linear)


def _next_offsets(net: Stack, means: Sequence[TensorVariable]) -> dict[Any, Any]:
    """Updates of the offsets: the first batch sets them, from then on they are a running mean with a long memory."""
    n_steps = net.n_steps + np.asarray(1.0, net.n_steps.dtype)
    share = pt.maximum(np.asarray(OFFSET_RATE, n_steps.dtype), np.asarray(1.0, n_steps.dtype) / n_steps)
    moved = {o: o + share * (mean - o) for o, mean in zip(net.offsets, means, strict=True)}
    return {net.n_steps: n_steps} | moved
