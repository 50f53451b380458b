"""What deep Boltzmann machines share: training, the lower bound of the log-likelihood, and samples.

The positive phase is mean field with the frame clamped, and the negative phase persistent Gibbs chains of the whole
machine. The gradient is that of the centred energy

    E(x) = - sum over layers (x_l - mu_l) c_l  -  sum over edges (x_l - mu_l) W_lm (x_m - mu_m)

with offsets mu that follow the means of the layers. Its biases c are those of the plain machine plus a part that is
linear in W, so a step in (W, c) is turned into one in (W, b). With centring the layers need no training one by one.

Sources: Salakhutdinov & Hinton, "Deep Boltzmann machines", AISTATS 2009; Montavon & Mueller, "Deep Boltzmann machines
and the centering trick", 2012; Melchior, Fischer & Wiskott, "How to center deep Boltzmann machines", JMLR 2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from rnnrbm.arguments import as_array, whole_number
from rnnrbm.backend import engine, random
from rnnrbm.backend.random import Rng, Seed, as_seed
from rnnrbm.batch import Batch, Loss, masked_mean
from rnnrbm.densities import Independent, clamped
from rnnrbm.joint_units import partly_given, placeholder, unit_index
from rnnrbm.models.class_balance import class_log_Z
from rnnrbm.models.layered import LayeredMachine, entropy_bound, gibbs, layered, log_Z, mean_field
from rnnrbm.models.rows import map_rows, single_frames
from rnnrbm.recurrence import flatten
from rnnrbm.scoring.likelihood import OF_ALL
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.sequence import OFFSET_RATE
from rnnrbm.state_encoder import check_arrays
from rnnrbm.units import Unit

__all__ = [
    "USUAL_SETTINGS",
    "DeepMachine",
    "bound",
    "centred_loss",
    "chains_of_training",
    "complete",
    "joined",
    "mean_bound",
    "posterior",
    "prepare",
    "reconstruct",
    "sample",
    "shared_parts",
    "split",
    "unnormalized_bound",
]

#: Settings of training, those of an RBM of images (docs/rbm.md); a model of many pixels needs a learning rate of 0.02.
USUAL_SETTINGS: dict[str, Any] = {
    "optimiser": "momentum",
    "learning_rate": 0.02,
    "batch_size": 100,
    "epochs": 100,
    "clip": 0.0,
    "weight_decay": 0.0,
    "averaging": 0.999,
}
#: Mean-field steps of a bound. Those of training are fewer; more never make the bound worse.
BOUND_STEPS = 50
#: Chains and temperatures of the log Z by which a model is validated.
SCORE_CHAINS, SCORE_TEMPERATURES = 100, 2000
#: Chains and temperatures of the distribution of the labels of samples.
LABEL_CHAINS, LABEL_TEMPERATURES = 50, 500
#: Share of the steps of a sample in which the inverse temperature rises from 0 to 1.
ANNEALED_SHARE = 0.75


class DeepMachine(Protocol):
    """What the functions here need of a model."""

    @property
    def machine(self) -> LayeredMachine:
        """The layers."""

    @property
    def visible_layers(self) -> tuple[int, ...]:
        """Layers that a frame is made of, in the order of its columns; all of them are even."""

    @property
    def offsets(self) -> tuple[Any, ...]:
        """Shared variables (n_l,), one for each layer."""

    @property
    def chains(self) -> tuple[Any, ...]:
        """Shared variables (n_chains, n_l), one for each even layer."""

    @property
    def held(self) -> int | None:
        """An even layer that the chains of training never change, such as a label; see :func:`chains_of_training`."""

    @property
    def layer_chains(self) -> tuple[Any, ...]:
        """Shared variables (n_chains, n_l), for each hidden layer; see :func:`rnnrbm.models.layerwise.new_chains`."""

    @property
    def n_mean_field(self) -> int:
        """Mean-field steps of training."""

    @property
    def k(self) -> int:
        """Gibbs steps of the chains in each update."""

    @property
    def params(self) -> list[Any]:
        """Weights and biases."""

    @property
    def visible(self) -> Unit:
        """Unit type of a frame."""

    @property
    def n_visible(self) -> int:
        """Columns of a frame."""


def split(model: DeepMachine, v: Any) -> dict[int, Any]:
    """Return the columns (R, n_l) of each visible layer of frames (R, n_visible), arrays or graphs."""
    ends = np.cumsum([model.machine.sizes[layer] for layer in model.visible_layers]).tolist()
    begins = [0, *ends[:-1]]
    return {layer: v[:, begin:end] for layer, begin, end in zip(model.visible_layers, begins, ends, strict=True)}


def joined(model: DeepMachine, values: Mapping[int, Any]) -> TensorVariable:
    """Return frames (R, n_visible) of the values of the visible layers; the inverse of :func:`split`."""
    parts = [values[layer] for layer in model.visible_layers]
    return parts[0] if len(parts) == 1 else pt.concatenate(parts, axis=1)


def shared_parts(
    units: Sequence[Unit],
    biases: Sequence[np.ndarray],
    edges: Sequence[tuple[int, int]],
    rng: np.random.Generator,
    scales: Sequence[float],
    n_chains: int,
    dtype: str | None,
) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
    """Make the shared variables of a machine: its weights, biases, offsets and chains.

    Offsets and chains are the means and samples of independent units with these biases.

    Parameters
    ----------
    units, biases, edges
        As for :func:`rnnrbm.models.layered.layered`; biases are arrays.
    rng : numpy.random.Generator
    scales : sequence of float
        Standard deviation of the initial weights of each edge.
    n_chains : int
    dtype : str or None
        None: PyTensor's ``floatX``.
    """
    sizes = [len(b) for b in biases]
    weights = tuple(
        engine.shared(scale * rng.standard_normal((sizes[a], sizes[b])), f"W_{i}", dtype)
        for i, ((a, b), scale) in enumerate(zip(edges, scales, strict=True), 1)
    )
    variables = tuple(engine.shared(b, f"b_{i}", dtype) for i, b in enumerate(biases))
    machine = layered(units, variables, edges, weights)
    evens = machine.side(False)
    offsets, chains = _alone(machine, evens, n_chains, as_seed(rng))
    return (
        weights,
        variables,
        tuple(engine.shared(x, f"offset_{i}", dtype) for i, x in enumerate(offsets)),
        tuple(engine.shared(x, f"chain_{layer}", dtype) for layer, x in zip(evens, chains, strict=True)),
    )


def _alone(
    machine: LayeredMachine, layers: Sequence[int], n_chains: int, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the mean statistic of every layer, and samples (n_chains, n_l) of some, if there were no weights."""
    rng = random.shared(seed)
    outputs = [unit.statistic(unit.mean(b)) for unit, b in zip(machine.units, machine.biases, strict=True)]
    for layer in layers:
        x, rng = machine.units[layer].sample(pt.repeat(machine.biases[layer][None], n_chains, axis=0), rng)
        outputs.append(x)
    values = [engine.to_numpy(x) for x in engine.function([], outputs, mode="FAST_COMPILE")()]
    return values[: len(machine.units)], values[len(machine.units) :]


def prepare(model: DeepMachine, pieces: Sequence[np.ndarray]) -> None:
    """Set visible biases that are all zero to those of independent units that fit the pieces, and what follows from it.

    These are the offsets of the frame, and where its chains begin.
    """
    biases: list[Any] = [model.machine.biases[layer] for layer in model.visible_layers]
    if any(b.get_value(borrow=True).any() for b in biases):
        return
    fitted = split(model, model.visible.fitted_bias(pieces)[None])
    for b, values in zip(biases, fitted.values(), strict=True):
        b.set_value(values[0].astype(b.dtype))
    offsets, chains = _alone(model.machine, model.visible_layers, model.chains[0].type.shape[0], 0)
    evens = model.machine.side(False)
    for layer, samples in zip(model.visible_layers, chains, strict=True):
        model.offsets[layer].set_value(offsets[layer])
        if layer == model.held:  # as many chains of each class as there should be
            places = (np.arange(len(samples)) + 0.5) / len(samples)
            classes = np.searchsorted(np.cumsum(offsets[layer]) / offsets[layer].sum(), places)
            samples = np.eye(samples.shape[1], dtype=samples.dtype)[classes]
        model.chains[evens.index(layer)].set_value(samples)


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


def _hidden_means(model: DeepMachine, v: TensorVariable) -> dict[int, TensorVariable]:
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
    data = visible | _hidden_means(model, v)
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


def unnormalized_bound(model: DeepMachine, v: TensorVariable, n_steps: int) -> TensorVariable:
    """Build a lower bound of log p + log Z of frames (R, n_visible) by `n_steps` of mean field: (R,)."""
    rest, activations, own = posterior(model, v, n_steps)
    return entropy_bound(rest, activations) - own


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

    def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        return unnormalized_bound(model, v, BOUND_STEPS), rng

    rows = np.concatenate(pieces)
    values = map_rows(build, rows, dtype=model.machine.dtype, seed=0, mode=mode).astype(float) - z.value
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


def sample(
    model: DeepMachine,
    n_samples: int,
    k: int,
    seed: Seed,
    mode: Any,
    *,
    clamp: np.ndarray | None = None,
    expected: bool = False,
) -> np.ndarray:
    """Return samples (n_samples, n_visible) after `k` Gibbs steps from noise.

    In the first three quarters of them, the inverse temperature rises from 0 to 1 by equal steps. A label is drawn
    first, from its own distribution by :func:`rnnrbm.models.class_balance.class_log_Z`, since chains seldom change it.

    Parameters
    ----------
    clamp : numpy.ndarray or None, shape (n_samples, n_visible)
        Fixed values, NaN for free columns. Samples are then those of the free columns given the fixed ones.
    expected : bool
        Return the means of the frames given the last hidden layers, not samples.
    """
    n_samples, k = whole_number("n_samples", n_samples, 1), whole_number("k", k, 1)
    rising = int(ANNEALED_SHARE * k)
    betas = np.concatenate([np.arange(1, rising + 1) / (rising + 1), np.ones(k - rising)])
    machine = model.machine
    evens = machine.side(False)

    log_shares: Any = None
    if clamp is None and model.held is not None:
        log_Z_of_class = class_log_Z(machine, model.held, n_chains=LABEL_CHAINS, n_temperatures=LABEL_TEMPERATURES)
        log_shares = (log_Z_of_class.log_mean - log_Z_of_class.log_mean.max()).astype(machine.dtype)

    def build(known: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        even = []
        for layer in evens:
            shape = (known.type.shape[0], machine.sizes[layer])
            x, rng = machine.units[layer].noise(pt.zeros(shape, known.dtype), rng)
            even.append(pt.specify_shape(x, shape))
        held = None if clamp is None else split(model, known)
        if held is None and model.held is not None:
            rows_of = pt.zeros_like(even[evens.index(model.held)])
            label, rng = machine.units[model.held].sample(rows_of + pt.as_tensor(log_shares), rng)
            held = {model.held: label}
        even, rng = gibbs(machine, even, rng, k, clamp=held, betas=betas)
        values = dict(zip(evens, even, strict=True))
        if expected:
            for layer in machine.side(True):
                x, rng = machine.units[layer].sample(machine.activation(layer, values), rng)
                values[layer] = x
            odd = {layer: values[layer] for layer in machine.side(True)}
            for layer in model.visible_layers:
                mean = machine.units[layer].mean(machine.activation(layer, odd))
                values[layer] = clamped(mean, (held or {}).get(layer))
        return joined(model, values), rng

    rows = np.zeros((n_samples, model.n_visible), machine.dtype) if clamp is None else clamp
    return map_rows(build, rows, dtype=machine.dtype, seed=seed, mode=mode)


def complete(
    model: DeepMachine, frames: np.ndarray, k: int, seed: Seed, mode: Any, *, expected: bool = False
) -> np.ndarray:
    """Return frames (n, n_visible) whose unknown columns, those that are NaN, are sampled given the known ones.

    Raises
    ------
    ValueError
        If frames have another width, a known value is impossible, or a part of a softmax group is unknown.
    TypeError
        If they hold anything but numbers.
    """
    frames = as_array(frames, "frames")
    if frames.ndim != 2 or not len(frames) or frames.shape[1] != model.n_visible:
        raise ValueError(f"frames has shape {frames.shape}, expected (1 or more, {model.n_visible}), NaN where unknown")
    unknown = np.isnan(frames)
    if (bad := partly_given(model.visible, ~unknown)).any():
        row, unit = np.argwhere(bad)[0]
        columns = np.flatnonzero(unit_index(model.visible, model.n_visible) == unit)
        raise ValueError(
            f"frame {row} has {int(unknown[row, columns].sum())} unknown columns among {columns.tolist()}, "
            "which are one choice; set all of them to NaN, or none"
        )
    single_frames(model, np.where(unknown, placeholder(model.visible, model.n_visible), frames))
    return sample(model, len(frames), k, seed, mode, clamp=frames.astype(model.machine.dtype), expected=expected)


def reconstruct(model: DeepMachine, frames: Any, mode: Any) -> np.ndarray:
    """Return the expected frames given the mean-field hidden units of frames (n, n_visible): the same shape."""
    machine = model.machine

    def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        known = _hidden_means(model, v)
        means = {layer: machine.units[layer].mean(machine.activation(layer, known)) for layer in model.visible_layers}
        return joined(model, means), rng

    return map_rows(build, single_frames(model, frames), dtype=machine.dtype, seed=0, mode=mode)
