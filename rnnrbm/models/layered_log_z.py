"""The log partition function of a machine of layers, which is that of one RBM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt

from rnnrbm.backend import engine
from rnnrbm.backend.random import Seed
from rnnrbm.models.layered import LayeredMachine
from rnnrbm.rbm import RBM
from rnnrbm.scoring.likelihood import Evaluator
from rnnrbm.units import Bernoulli

__all__ = ["LogZ", "log_Z"]


#: Most units of the smaller binary side for which log Z is enumerated if no method is chosen.
MOST_ENUMERATED = 14


class LogZ(NamedTuple):
    """The log partition function of a machine, and how it was computed.

    Attributes
    ----------
    value : float
        Nats.
    variance : float
        By bootstrap over chains, nats squared; 0 if exact.
    effective_sample_size : float
    settings : str
        The method in words.
    n_chains : int
        1 if exact.
    """

    value: float
    variance: float
    effective_sample_size: float
    settings: str
    n_chains: int


def log_Z(
    machine: LayeredMachine,
    even: Sequence[np.ndarray],
    *,
    n_chains: int,
    n_temperatures: int,
    schedule: str | np.ndarray = "quadratic",
    method: str | None = None,
    seed: Seed = 0,
    mode: Any = None,
) -> LogZ:
    """Return log Z of a machine whose odd layers are binary, and whose biases have shape (n_l,).

    Parameters
    ----------
    machine : LayeredMachine
    even : sequence of numpy.ndarray, each (n, n_l)
        States of the even layers, such as those of persistent chains. The base of annealing is fitted to a short chain
        from there.
    n_chains, n_temperatures, schedule
        Of AIS; see :class:`rnnrbm.scoring.likelihood.Evaluator`.
    method : {"ais", "exact"} or None
        None enumerates a side of at most 14 binary units, and anneals otherwise.
    seed : int or numpy.random.Generator
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Raises
    ------
    ValueError
        If an odd layer is not binary, or a setting is impossible.
    """
    whole = machine.as_rbm()
    if not whole.visible.is_binary:
        raise ValueError(f"log Z needs binary units in the odd layers, and they are {whole.visible}")
    tensors = engine.function([], [whole.W, whole.b_v, whole.b_h], mode=mode)()
    W, b_v, b_h = (engine.to_numpy(x) for x in tensors)
    shared = [engine.shared(x, name, machine.dtype) for x, name in ((W, "W"), (b_v, "b_v"), (b_h, "b_h"))]
    rbm = RBM(shared[0], shared[1], shared[2], Bernoulli(), whole.hidden)
    if method is None:
        binary = [n for n, unit in zip(rbm.W.type.shape, (rbm.visible, rbm.hidden), strict=True) if unit.is_binary]
        method = "exact" if min(binary) <= MOST_ENUMERATED else "ais"
    evaluate = Evaluator(
        rbm, method=method, n_chains=n_chains, n_temperatures=n_temperatures, schedule=schedule, mode=mode
    )
    # the likeliest odd states given the even ones
    frames = (np.concatenate(even, axis=1) @ W.T + b_v > 0).astype(machine.dtype)
    scored = evaluate([frames], seed=seed)
    x = pt.as_tensor(frames[:1])
    free_energy = engine.to_numpy(engine.function([], rbm.free_energy(x), mode=mode)())
    return LogZ(
        float(-free_energy[0] - scored.frames[0][0]),
        float(scored.variances[0][0]),
        float(scored.effective_sample_size[0]),
        scored.settings,
        scored.n_chains,
    )
