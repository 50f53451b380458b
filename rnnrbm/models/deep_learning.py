"""How deep Boltzmann machines learn.

The positive phase is mean field with the frame clamped, and the negative phase persistent Gibbs chains of the whole
machine. The gradient is that of the centred energy

    E(x) = - sum over layers (x_l - mu_l) c_l  -  sum over edges (x_l - mu_l) W_lm (x_m - mu_m)

with offsets mu that follow the means of the layers. Its biases c are those of the plain machine plus a part that is
linear in W, so a step in (W, c) is turned into one in (W, b).

Sources: Salakhutdinov & Hinton, "Deep Boltzmann machines", AISTATS 2009; Montavon & Mueller, "Deep Boltzmann machines
and the centering trick", 2012; Melchior, Fischer & Wiskott, "How to center deep Boltzmann machines", JMLR 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend.random import Rng
from rnnrbm.batch import Batch, Loss, masked_mean
from rnnrbm.densities import Independent
from rnnrbm.models.deep_parts import DeepMachine, split
from rnnrbm.models.layered import LayeredMachine
from rnnrbm.models.layered_inference import gibbs, mean_field
from rnnrbm.recurrence import flatten
from rnnrbm.sequence import OFFSET_RATE

__all__ = ["USUAL_SETTINGS", "centred_loss", "chains_of_training", "hidden_means", "posterior"]


#: Settings of training.
USUAL_SETTINGS: dict[str, Any] = {
    "optimiser": "momentum",
    "learning_rate": 0.02,
    "batch_size": 100,
    "epochs": 100,
    "clip": 0.0,
    "weight_decay": 2e-4,
    "averaging": 0.999,
}


def posterior(model: DeepMachine, v: TensorVariable, n_steps: int) -> tuple[LayeredMachine, list[Any], TensorVariable]:
    """Approximate the hidden layers given frames (R, n_visible) by mean field from the offsets.

    Returns
    -------
    LayeredMachine
        That of the hidden layers.
    list of TensorVariable
        Their activations.
    TensorVariable, shape (R,)
        Energy of the frames alone.
    """
    machine = model.machine
    rest, own = machine.given(split(model, v))
    hidden = _hidden_layers(model)
    start = {i: model.offsets[layer] for i, layer in enumerate(hidden) if not machine.odd[layer]}
    return rest, mean_field(rest, n_steps, start=start), own


def _hidden_layers(model: DeepMachine) -> list[int]:
    return [layer for layer in range(len(model.machine.units)) if layer not in model.visible_layers]


def hidden_means(model: DeepMachine, v: TensorVariable) -> dict[int, TensorVariable]:
    """Mean-field means of each hidden layer given frames, by the steps of training."""
    rest, activations, _ = posterior(model, v, model.n_mean_field)
    return {layer: rest.units[i].mean(activations[i]) for i, layer in enumerate(_hidden_layers(model))}


def centred_loss(model: DeepMachine, batch: Batch, rng: Rng) -> Loss:
    """Build a loss whose gradient is that of the centred energy, and move the chains and the offsets.

    The gradient is the difference of the centred correlations of the negative and the positive phase; the value of the
    loss has no meaning. The metric ``reconstruction`` is the mean log-probability of the frames given their mean-field
    hidden units, nats per frame.
    """
    machine, v = model.machine, flatten(batch.v)
    dtype = machine.dtype
    visible = split(model, v)
    data = visible | hidden_means(model, v)
    weight = flatten(batch.mask).astype(dtype)
    weight = weight / pt.maximum(weight.sum(acc_dtype=dtype), np.asarray(1.0, dtype))

    evens, odds = machine.side(False), machine.side(True)
    even, chain_weight, rng = chains_of_training(model, rng)
    fantasy = dict(zip(evens, even, strict=True))
    fantasy |= {layer: machine.units[layer].mean(machine.activation(layer, fantasy)) for layer in odds}
    offsets = model.offsets

    def statistics(states: Mapping[int, TensorVariable], weight: TensorVariable) -> tuple[list[Any], list[Any]]:
        centred = [machine.units[i].statistic(states[i]) - offsets[i] for i in range(len(offsets))]
        pairs = [(centred[a] * weight[:, None]).T @ centred[b] for a, b in machine.edges]
        return pairs, [weight @ x for x in centred]

    positive, negative = statistics(data, weight), statistics(fantasy, chain_weight)
    of_weights = [n - p for p, n in zip(positive[0], negative[0], strict=True)]
    of_biases = [n - p for p, n in zip(positive[1], negative[1], strict=True)]
    for (a, b), g in zip(machine.edges, of_weights, strict=True):
        of_biases[a] = of_biases[a] - g @ offsets[b]
        of_biases[b] = of_biases[b] - offsets[a] @ g
    cost: Any = sum(
        (p * disconnected_grad(g)).sum(acc_dtype=dtype)
        for p, g in zip([*machine.weights, *machine.biases], [*of_weights, *of_biases], strict=True)
    )
    rate = np.asarray(OFFSET_RATE, dtype)
    moved: dict[Any, Any] = {mu: mu + rate * d for mu, d in zip(offsets, positive[1], strict=True)}
    moved |= dict(zip(model.chains, even, strict=True))
    moved |= {chain: chain for chain in model.layer_chains}
    log_p: Any = sum(
        Independent(machine.activation(layer, data), machine.units[layer]).log_prob(x) for layer, x in visible.items()
    )
    return Loss(cost, moved | rng.updates(), {"reconstruction": masked_mean(log_p, batch.mask)})


def chains_of_training(model: DeepMachine, rng: Rng) -> tuple[list[TensorVariable], TensorVariable, Rng]:
    """Move the chains of the whole machine by its Gibbs steps.

    A label is not moved, since chains seldom change their class, and would come to hold the classes in wrong shares.
    Instead each chain keeps its class, and has such a weight that all classes have the shares that they have in the
    data. With the best biases of the label the gradient of the log-likelihood is the same, and these are found when
    training is finished (:mod:`rnnrbm.models.class_balance`).

    Returns
    -------
    list of TensorVariable
        States of the even layers.
    TensorVariable, shape (n_chains,)
        Weights of the chains, whose sum is 1.
    Rng
    """
    machine = model.machine
    evens, n_chains = machine.side(False), model.chains[0].type.shape[0]
    dtype = machine.dtype
    if model.held is None:
        even, rng = gibbs(machine, model.chains, rng, model.k)
        return even, pt.full((n_chains,), np.asarray(1.0 / n_chains, dtype)), rng
    label = model.chains[evens.index(model.held)]
    even, rng = gibbs(machine, model.chains, rng, model.k, clamp={model.held: label})
    counts = pt.maximum(label.sum(axis=0, acc_dtype=dtype), np.asarray(1.0, dtype))
    weight = label @ (model.offsets[model.held] / counts)
    return even, weight / weight.sum(acc_dtype=dtype), rng
