"""The biases of a label, set so that each class is as probable as in the data.

Chains of training seldom move from one class to another. So what a machine learns of each class is right, but not how
probable it finds the class: a small error of log Z of a class, added up over many steps, makes most samples those of
a few classes. Given the label, a machine is a smaller machine, whose log Z annealing estimates well. The biases of the
label then set the probabilities of the classes to any values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt

from rnnrbm.backend import engine, random
from rnnrbm.backend.random import Seed, as_seed, generator
from rnnrbm.models.layered import LayeredMachine
from rnnrbm.rbm import RBM
from rnnrbm.scoring.estimators import Estimate, log_mean
from rnnrbm.scoring.partition import ais_log_weights, annealing_schedule, base_activation
from rnnrbm.units import Bernoulli

__all__ = ["balanced_bias", "class_log_Z"]

#: Numbers of temperatures that are tried for biases until the effective sample sizes of all classes are large enough.
TEMPERATURES = (1000, 4000, 16_000)
#: Share of the chains that is large enough.
ENOUGH = 0.15


def class_log_Z(
    machine: LayeredMachine,
    layer: int,
    *,
    n_chains: int = 100,
    n_temperatures: int = 1000,
    seed: Seed = 0,
    mode: Any = None,
) -> Estimate:
    """Return the log of the sum of exp(-E) over the states with each label, by annealed importance sampling.

    Parameters
    ----------
    machine : LayeredMachine
        Its odd layers are binary, and its biases have shape (n_l,).
    layer : int
        The label, one softmax unit.
    n_chains, n_temperatures : int
        Of annealing, for each class; temperatures have quadratic spacing.
    seed : int or numpy.random.Generator
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Returns
    -------
    Estimate
        Nats, and their variances: arrays (n_classes,).

    Raises
    ------
    ValueError
        If an odd layer is not binary.
    """
    rng = generator(seed)
    n_classes = machine.sizes[layer]
    rest, own = machine.given({layer: pt.as_tensor(np.eye(n_classes, dtype=machine.dtype))})
    rows = pt.zeros((n_classes, 1), machine.dtype)
    rest = rest._replace(
        biases=tuple(pt.specify_shape(b + rows, (n_classes, n)) for b, n in zip(rest.biases, rest.sizes, strict=True))
    )
    rbm = rest.as_rbm()
    if not rbm.visible.is_binary:
        raise ValueError(f"class_log_Z needs binary units in the odd layers, and they are {rbm.visible}")
    rbm = RBM(rbm.W, rbm.b_v, rbm.b_h, Bernoulli(), rbm.hidden)
    start, stream = rbm.visible.sample(rbm.b_v, random.shared(as_seed(rng)))
    base, stream = base_activation(rbm, start, stream, n_steps=100)
    betas = annealing_schedule("quadratic", n_temperatures)
    annealed = ais_log_weights(rbm, base, betas, n_chains, stream)
    outputs = [annealed.log_Z_base, annealed.log_weights, own]
    log_Z_base, log_w, energy = (engine.to_numpy(x) for x in engine.function([], outputs, mode=mode)())
    found = log_mean(log_w, rng)
    return found._replace(log_mean=found.log_mean + log_Z_base.astype(float) - energy)


def balanced_bias(
    machine: LayeredMachine, layer: int, labels: Sequence[np.ndarray], *, n_chains: int = 100, seed: Seed = 0
) -> np.ndarray:
    """Return biases of a label with which each class is as probable as among some labels: (n_classes,).

    Annealing takes more and more temperatures, :data:`TEMPERATURES`, until it is precise.

    Parameters
    ----------
    machine, layer
        As for :func:`class_log_Z`.
    labels : sequence of arrays (n, n_classes)
        Of which one column is 1 in each row. A class that does not occur counts as if it had occurred half a time.
    n_chains : int
        Of annealing, for each class.
    seed : int or numpy.random.Generator
    """
    rng = generator(seed)
    counts = np.sum([np.sum(x, axis=0, dtype=float) for x in labels], axis=0)
    share = np.log(np.maximum(counts, 0.5)) - np.log(counts.sum())
    for n_temperatures in TEMPERATURES:
        found = class_log_Z(machine, layer, n_chains=n_chains, n_temperatures=n_temperatures, seed=rng)
        if found.effective_sample_size.min() >= ENOUGH * n_chains:
            break
    bias = engine.to_numpy(machine.biases[layer]).astype(float) + share - found.log_mean
    balanced: np.ndarray = bias - bias.mean()
    return balanced
