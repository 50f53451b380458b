"""Negative phases: samples from the model for the second term of the log-likelihood gradient.

The gradient of the log-likelihood of an energy model is that of ``-(mean F(data) - mean F(model))``. ``cd``, ``pcd``,
``tempered`` and ``renewed`` return ``(negative sample, updates)``; the sample is held constant, so the loss is always

    loss = density.free_energy(data).mean() - density.free_energy(negative).mean()

``cd`` is contrastive divergence (Hinton 2002), ``pcd`` persistent contrastive divergence (Tieleman 2008),
``tempered`` parallel tempering (Desjardins et al. 2010), and ``renewed`` keeps chains that end and begin anew.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend.engine import Updates
from rnnrbm.backend.random import Rng
from rnnrbm.densities import EnergyDensity, FrameDensity, Independent, NormalizedDensity, clamped
from rnnrbm.rbm import RBM, cd, check_k, gibbs
from rnnrbm.weights import as_layers, has_layers, log_weights

__all__ = [
    "Differs",
    "NegativePhase",
    "anneal",
    "can_anneal",
    "cd",
    "check_annealing",
    "draw_frame",
    "draw_index",
    "draw_rows",
    "expected_frame",
    "gibbs",
    "pcd",
    "propose",
    "renewed",
    "resample",
    "tempered",
    "usual_start",
]


def resample(
    density: EnergyDensity, states: TensorVariable, rng: Rng, *, like: TensorVariable | None = None, own: bool = False
) -> tuple[TensorVariable, Rng]:
    """Sample one of some states for each row, in proportion to its probability under the density of that row.

    This is a good start for a chain if a density has narrow modes at states that can be listed, such as the chords of
    the training set: Gibbs steps hardly ever move from one such mode to another.

    Parameters
    ----------
    density : EnergyDensity
        Its biases have shape (..., n), or (n,) for all rows of `like`.
    states : TensorVariable, shape (S, n_visible)
    rng : Rng
    like : TensorVariable or None, shape (..., n_visible)
        Rows to sample for; None: one for each row of the biases.
    own : bool
        Each row may also draw its own row of `like`.

    Returns
    -------
    v : TensorVariable, shape (..., n_visible)
    rng : Rng
    """
    log_weight = log_weights(density, states)
    if like is not None and density.b_v.ndim < like.ndim:  # one set of probabilities, sampled by each row
        log_weight = log_weight + pt.zeros_like(like[..., :1])
    if own and like is not None:
        log_weight = pt.concatenate([-density.free_energy(like)[..., None], log_weight], axis=-1)
    best, rng = draw_index(log_weight, rng)
    if own and like is not None:
        return pt.switch(pt.eq(best, 0)[..., None], like, states[pt.maximum(best - 1, 0)]), rng
    return states[best], rng


def draw_index(log_weight: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
    """Draw an index of the last axis in proportion to exp(log_weight): (..., S) -> (...)."""
    u, rng = rng.uniform(log_weight)
    # Gumbel-max; the bound avoids log(0) where u is 0
    exponential = pt.maximum(-pt.log(np.float32(1.0) - u), np.float32(2.0**-25)).astype(log_weight.dtype)
    return pt.argmax(log_weight - pt.log(exponential), axis=-1), rng


def draw_rows(
    v: TensorVariable, rng: Rng, n_rows: int, counts: TensorVariable | None = None
) -> tuple[TensorVariable, Rng]:
    """Draw `n_rows` rows of `v` (R, n), with replacement; `counts` (R,) is 1 for rows to draw, None: all."""
    u, rng = rng.uniform(pt.zeros((n_rows,), "float32"))
    n = v.shape[0]
    if counts is None:
        row = pt.floor(u * n).astype("int64")
    else:  # the first row up to which that many rows count
        gone_by = pt.cumsum(counts.astype("float32"))
        row = pt.lt(gone_by, pt.floor(u * gone_by[-1])[:, None] + 1).sum(axis=1)
    return v[pt.minimum(row, n - 1)], rng


def propose(
    density: EnergyDensity, v: TensorVariable, rng: Rng, n_proposals: int, counts: TensorVariable | None = None
) -> tuple[TensorVariable, Rng]:
    """Choose where chains start: at their own datum or at another one of the batch.

    A chain that starts at its own datum hardly ever reaches distant modes, so training never unlearns them. Here each
    chain starts at its own datum or at one of `n_proposals` others, sampled in proportion to their probability under
    the density of its row (:func:`resample`).

    Parameters
    ----------
    density : EnergyDensity
    v : TensorVariable, shape (R, n_visible)
        Data.
    rng : Rng
    n_proposals : int
        Number of other data, drawn with replacement.
    counts : TensorVariable or None, shape (R,)
        1 for data that may be proposed, 0 for padding; None: all data.

    Returns
    -------
    v : TensorVariable, shape (R, n_visible)
    rng : Rng
    """
    states, rng = draw_rows(v, rng, n_proposals, counts)
    return resample(density, states, rng, like=v, own=True)


def pcd(density: EnergyDensity, particles: TensorVariable, rng: Rng, k: int = 1) -> tuple[TensorVariable, Updates]:
    """Persistent contrastive divergence: `k` Gibbs steps from the last states of the chains.

    For a static density only: in a conditional RBM the biases of each chain change from step to step.

    Parameters
    ----------
    density : EnergyDensity
    particles : shared variable, shape (n_chains, n_visible)
        Chains, initially for example a batch of data.
    rng : Rng
    k : int

    Returns
    -------
    negative : TensorVariable, shape (n_chains, n_visible)
    updates : dict
        Updates of the chains and of the random stream.
    """
    negative, rng = gibbs(density, particles, rng, k)
    return disconnected_grad(negative), {particles: negative} | rng.updates()


def tempered(
    rbm: RBM, particles: TensorVariable, rng: Rng, k: int = 1, *, betas: np.ndarray
) -> tuple[TensorVariable, Updates]:
    """Parallel tempering: chains at several inverse temperatures that exchange their states.

    Each of the `k` rounds takes one Gibbs step at every temperature, then proposes swaps of neighbours (even and odd
    pairs in turn) with the Metropolis probability. The energy is multiplied by beta, so beta = 0 is the uniform
    distribution. Binary units only.

    Parameters
    ----------
    rbm : RBM
        Static, with binary or softmax units.
    particles : shared variable, shape (n_betas, n_chains, n_visible)
    rng : Rng
    k : int
        Number of rounds.
    betas : numpy.ndarray, shape (n_betas,)
        Inverse temperatures, strictly decreasing from 1, all at least 0.

    Returns
    -------
    negative : TensorVariable, shape (n_chains, n_visible)
        The chains at beta = 1.
    updates : dict

    Raises
    ------
    ValueError
        If `betas` does not start at 1 or is not strictly decreasing and at least 0, or units are not binary.
    """
    check_k(k)
    if not (rbm.visible.is_discrete and rbm.hidden.is_discrete):
        raise ValueError(
            f"parallel tempering needs binary or softmax units, got {rbm.visible} and {rbm.hidden}; use pcd"
        )
    betas = np.asarray(betas, rbm.W.dtype)
    if betas.ndim != 1 or betas.size < 2 or betas[0] != 1 or (np.diff(betas) >= 0).any() or betas[-1] < 0:
        raise ValueError(f"betas must fall strictly from 1 to no less than 0, got {betas}")
    scale = betas[:, None, None]
    n = betas.size
    v: TensorVariable = particles
    for i in range(k):
        h, rng = rbm.hidden.sample(scale * rbm.hidden_activation(v), rng)
        v, rng = rbm.visible.sample(scale * rbm.visible_activation(h), rng)
        first = np.arange(i % 2, n - 1, 2)
        energy = rbm.energy(v, h)
        gain = (betas[first] - betas[first + 1])[:, None] * (energy[first] - energy[first + 1])
        u, rng = rng.uniform(gain)
        swap = pt.lt(pt.log(u), gain)[:, :, None]
        low, high = v[first], v[first + 1]
        v = pt.set_subtensor(v[first], pt.switch(swap, high, low))
        v = pt.set_subtensor(v[first + 1], pt.switch(swap, low, high))
    return disconnected_grad(v[0]), {particles: v} | rng.updates()


def renewed(
    density: EnergyDensity, particles: TensorVariable, rng: Rng, k: int = 1, *, n_annealed: int
) -> tuple[TensorVariable, Updates]:
    """Persistent chains that begin anew, one in each update: the oldest ends, and one from noise takes its place.

    In its first `n_annealed` updates a chain passes through rising inverse temperatures to 1. From then on it is a
    negative sample in each update, until it ends. So training learns about the modes that annealing finds. Chains that
    never begin anew leave some of them early and do not come back, such as the blank image, and nothing then takes
    their probability away.

    Parameters
    ----------
    density : EnergyDensity
        For which :func:`can_anneal` holds.
    particles : shared variable, shape (n_annealed + n_chains, n_visible)
        Chains, the youngest first.
    rng : Rng
    k : int
        Gibbs steps of an update.
    n_annealed : int
        At least 1.

    Returns
    -------
    negative : TensorVariable, shape (n_chains, n_visible)
    updates : dict

    Raises
    ------
    ValueError
        If there is no such chain, or the density cannot be annealed.
    """
    check_k(k)
    check_annealing(density)
    n = particles.type.shape[0]
    if not 1 <= n_annealed < n:
        raise ValueError(f"n_annealed={n_annealed}: expected at least 1, and fewer than the {n} chains")
    layers: Any = density
    ages = np.arange(1, n + 1)[:, None]
    betas = np.minimum(ages / n_annealed, 1.0).astype(particles.dtype)
    youngest, rng = layers.visible.noise(particles[:1], rng)
    v: TensorVariable = pt.concatenate([youngest, particles[:-1]])
    for _ in range(k):
        h, rng = layers.hidden.sample(betas * layers.hidden_activation(v), rng)
        v, rng = layers.visible.sample(betas * layers.visible_activation(h), rng)
    return disconnected_grad(v[n_annealed:]), {particles: v} | rng.updates()


def can_anneal(density: FrameDensity) -> bool:
    """Whether :func:`anneal` can sample a density: it is an RBM, or has one as attribute ``rbm``, of discrete units."""
    rbm = as_layers(density)
    return has_layers(rbm) and rbm.visible.is_discrete and rbm.hidden.is_discrete


def check_annealing(density: FrameDensity) -> None:
    """Raise ValueError unless :func:`anneal` can sample a density."""
    if not can_anneal(density):
        raise ValueError(
            f"start='annealed' needs an RBM of binary or softmax units, got a {type(density).__name__}; use 'noise'"
        )


def anneal(
    density: EnergyDensity, like: TensorVariable, rng: Rng, k: int, clamp: TensorVariable | None = None
) -> tuple[TensorVariable, Rng]:
    """Sample rows in the shape of `like` by chains that pass from noise through rising inverse temperatures to 1.

    Each of the `k` steps is a Gibbs step at its inverse temperature, from 1 / k to 1. Where energy barriers are low,
    chains choose a mode freely, so they find modes that a chain of as many steps at temperature 1 seldom reaches
    (Kirkpatrick, Gelatt & Vecchi, Science 1983). Samples are those of annealed importance sampling without their
    weights, so they are approximate: exact for k without bound.

    Parameters
    ----------
    density : EnergyDensity
        For which :func:`can_anneal` holds.
    like : TensorVariable, shape (..., n_visible)
        Only the shape matters.
    rng : Rng
    k : int
        Number of steps.
    clamp : TensorVariable or None
        Fixed values of units, as for :func:`rnnrbm.rbm.gibbs`; the chains then come to the distribution given them.

    Returns
    -------
    v : TensorVariable, shape of `like`
    rng : Rng

    Raises
    ------
    ValueError
        If the density is no RBM of binary or softmax units.
    """
    check_k(k)
    check_annealing(density)
    rbm = as_layers(density)
    n_tensors = len(rbm.tensors())

    def step(beta: Any, v: Any, draw: Any, key: Any, *rest: Any) -> list[TensorVariable]:
        tensors, fixed = list(rest[:n_tensors]), rest[n_tensors:]
        r = rbm.with_tensors(tensors)
        h, inner = r.hidden.sample(beta * r.hidden_activation(v), Rng(key, draw))
        v, inner = r.visible.sample(beta * r.visible_activation(h), inner)
        return [clamped(v, *fixed) if fixed else v, inner.draw]

    start, rng = rbm.visible.noise(like, rng)
    v, draw = pytensor.scan(
        step,
        sequences=[pt.as_tensor(np.linspace(0.0, 1.0, k + 1)[1:].astype(rbm.W.dtype))],
        outputs_info=[clamped(start, clamp), rng.draw],
        non_sequences=[rng.key, *rbm.tensors(), *([] if clamp is None else [clamp])],
        return_updates=False,
    )
    return v[-1], rng._replace(draw=draw[-1])


@runtime_checkable
class Differs(Protocol):
    """A negative phase: what gives the cost of an energy, whose gradient is that of minus the log-likelihood.

    :class:`NegativePhase` has those of the library. To try another one, write an object with this method and give it to
    :func:`rnnrbm.training.fit.fit`.
    """

    def difference(
        self, density: Any, v: TensorVariable, rng: Rng, counts: TensorVariable | None = None
    ) -> tuple[TensorVariable, Updates]:
        """Return the cost of each row of data (R, n_visible), such as F(v) - F(negative sample), and updates.

        Negative samples are held constant. The updates advance the random stream, and the states of chains that
        persist. `counts` (R,) is 1 for data and 0 for padding; None: all are data.
        """


class NegativePhase(NamedTuple):
    """How to draw the negative sample of a training step.

    Attributes
    ----------
    k : int
        Gibbs steps (rounds of parallel tempering), at least 1.
    n_proposals : int
        Number of other data of the batch that CD chains may start from; see :func:`propose`. 0: each chain starts from
        its own datum.
    particles : shared variable or None
        Persistent chains, shape (R, n_visible), which continue from the last step instead of starting at the data; with
        `betas`, shape (n_betas, R, n_visible). For a static density only.
    betas : tuple of float
        Inverse temperatures of parallel tempering, from 1 down; empty: no tempering. See :func:`tempered`.
    n_annealed : int
        Of persistent chains: updates in which a new one anneals; `particles` then has so many more rows. 0: chains
        never begin anew. See :func:`renewed`.
    start : {"data", "noise"}
        Where a chain without particles starts: at its datum, or at noise (:meth:`rnnrbm.units.Unit.noise`).
    """

    k: int = 15
    n_proposals: int = 0
    particles: Any = None
    betas: tuple[float, ...] = ()
    n_annealed: int = 0
    start: str = "data"

    def sample(
        self, density: Any, v: TensorVariable, rng: Rng, counts: TensorVariable | None = None
    ) -> tuple[TensorVariable, Updates]:
        """Draw a negative sample, held constant, for rows of data (R, n_visible); return it and its updates.

        `counts` (R,) is 0 for padding, which is never proposed.
        """
        if self.particles is not None and self.betas:
            return tempered(density, self.particles, rng, self.k, betas=np.array(self.betas))
        if self.particles is not None and self.n_annealed:
            return renewed(density, self.particles, rng, self.k, n_annealed=self.n_annealed)
        if self.particles is not None:
            return pcd(density, self.particles, rng, self.k)
        if self.start == "noise":
            v, rng = density.visible.noise(v, rng)
        elif self.n_proposals:
            v, rng = propose(density, v, rng, self.n_proposals, counts)
        return cd(density, v, rng, self.k)

    def difference(
        self, density: Any, v: TensorVariable, rng: Rng, counts: TensorVariable | None = None
    ) -> tuple[TensorVariable, Updates]:
        """Return F(data) - F(negative sample) of each row, (R,), whose mean is the cost; see :meth:`sample`."""
        negative, updates = self.sample(density, v, rng, counts)
        return density.free_energy(v) - density.free_energy(negative), updates


def draw_frame(
    density: FrameDensity,
    v: TensorVariable,
    *,
    rng: Rng,
    k: int,
    init_states: TensorVariable | None = None,
    clamp: TensorVariable | None = None,
    start: str = "previous",
) -> tuple[TensorVariable, Rng]:
    """Build the graph that samples a frame for each row.

    Parameters
    ----------
    density : FrameDensity
        Its biases have one row, or one for each row of `v`.
    v : TensorVariable, shape (..., n_visible)
        Start of the Gibbs chains of an energy, such as the frame before. Of a normalized density only the shape
        matters.
    rng : Rng
    k : int
        Gibbs steps of an energy.
    init_states : TensorVariable or None, shape (S, n_visible)
        Frames from which the chains start instead, sampled in proportion to their probability under the density.
    clamp : TensorVariable or None, shape (n_visible,)
        Fixed values of units, NaN for units to sample given the fixed ones.
    start : {"previous", "noise", "annealed"}
        ``"noise"``: the chains start from noise instead; ``"annealed"``: from noise, and their `k` steps pass through
        rising inverse temperatures (:func:`anneal`). `init_states` must then be None.
    """
    if isinstance(density, NormalizedDensity):
        return density.sample(v, rng) if clamp is None else density.sample(v, rng, clamp)
    assert isinstance(density, EnergyDensity)
    if start == "annealed":
        return anneal(density, v, rng, k, clamp)
    if start == "noise":
        v, rng = density.visible.noise(v, rng)
    elif init_states is not None:
        v, rng = resample(density, clamped(init_states, clamp), rng, like=v)
    return gibbs(density, v, rng, k, clamp)


def usual_start(density: FrameDensity) -> str:
    """Where chains of samples start if nothing else is said: ``"noise"`` for real numbers, else ``"previous"``.

    Real numbers are trained so too; see :func:`rnnrbm.training.suitable.usual_settings`.
    """
    return "previous" if density.visible.is_discrete else "noise"


def expected_frame(density: FrameDensity, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
    """Expect a frame at the end of a chain: the mean of the visible units given a sample of the hidden ones.

    It has the same mean as the sample `v` and varies less. Of a density with neither hidden units nor independent
    columns, it is the sample itself.
    """
    if isinstance(density, Independent):
        return density.visible.mean(density.b_v + pt.zeros_like(v)), rng
    if not has_layers(density):
        return v, rng
    layers: Any = density
    h, rng = layers.hidden.sample(layers.hidden_activation(v), rng)
    return layers.visible.mean(layers.visible_activation(h)), rng
