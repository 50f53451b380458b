"""The lower bound of the log-likelihood of deep Boltzmann machines: mean field, and log Z."""

from __future__ import annotations

from typing import Any

import numpy as np
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng, Seed, as_seed
from rnnrbm.models.deep_learning import posterior
from rnnrbm.models.deep_parts import DeepMachine
from rnnrbm.models.layered_inference import entropy_bound
from rnnrbm.models.layered_log_z import log_Z
from rnnrbm.models.rows import map_rows
from rnnrbm.scoring.likelihood import OF_ALL
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.state_encoder import check_arrays

__all__ = ["BOUND_STEPS", "bound", "mean_bound", "unnormalized_bound", "unnormalized_bounds"]


#: Mean-field steps of a bound. Those of training are fewer; more never make the bound worse.
BOUND_STEPS = 50


#: Chains and temperatures of the log Z by which a model is validated.
SCORE_CHAINS, SCORE_TEMPERATURES = 100, 2000


def unnormalized_bound(model: DeepMachine, v: TensorVariable, n_steps: int) -> TensorVariable:
    """Build a lower bound of log p + log Z of frames (R, n_visible) by `n_steps` of mean field: (R,)."""
    rest, activations, own = posterior(model, v, n_steps)
    return entropy_bound(rest, activations) - own


def unnormalized_bounds(model: DeepMachine, rows: np.ndarray, mode: Any) -> np.ndarray:
    """Return a lower bound of log p + log Z of frames (n, n_visible), nats: (n,), float64."""

    def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        return unnormalized_bound(model, v, BOUND_STEPS), rng

    return map_rows(build, rows, dtype=model.machine.dtype, seed=0, mode=mode).astype(float)


def bound(
    model: DeepMachine,
    frames: Any,
    *,
    n_chains: int | None = None,
    n_temperatures: int | None = None,
    schedule: str | np.ndarray | None = None,
    method: str | None = None,
    seed: Seed = 0,
    mode: Any = None,
) -> LogLikelihood:
    """Return a lower bound of the log-likelihood of frames: mean field, and log Z; see :meth:`DBM.bound`."""
    pieces = check_arrays(frames, model.n_visible, model.visible, dtype=model.params[0].type.dtype, name="frames")
    z = log_Z(
        model.machine,
        [engine.to_numpy(x) for x in model.chains],
        n_chains=OF_ALL.n_chains if n_chains is None else n_chains,
        n_temperatures=OF_ALL.n_temperatures if n_temperatures is None else n_temperatures,
        schedule=OF_ALL.schedule if schedule is None else schedule,
        method=method,
        seed=as_seed(seed),
        mode=mode,
    )

    values = unnormalized_bounds(model, np.concatenate(pieces), mode) - z.value
    ends = np.cumsum([len(piece) for piece in pieces])[:-1]
    return LogLikelihood(
        np.split(values, ends),
        [np.full(len(piece), z.variance) for piece in pieces],
        np.full(len(values), z.effective_sample_size),
        f"lower bound by mean field, log Z {'exact' if z.n_chains == 1 else 'by ' + z.settings}",
        z.n_chains,
        shared_Z=True,
        method="bound",
    )


def mean_bound(model: DeepMachine, pieces: Any, mode: Any) -> float:
    """Return the mean lower bound of pieces, nats per frame, by a short annealing that is always the same."""
    return bound(model, pieces, n_chains=SCORE_CHAINS, n_temperatures=SCORE_TEMPERATURES, mode=mode).mean
