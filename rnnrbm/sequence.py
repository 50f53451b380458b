"""Sequence models: a network reads the past and sets the biases of the density of each frame.

    P(v(1) .. v(T)) = product over t of P(v(t); biases(t)),     bias(t) = bias + output(t-1) W

where output(t-1) is the network's output after v(1) .. v(t-1), and each bias of the density has its own W. Named
models, such as the RNN-RBM, are choices of the two: see :mod:`rnnrbm.models.registry`.

During training all frames are given, so only the recurrence is sequential: the T x B conditional densities of a batch
are trained as one batch of B*T rows, all frames of one sequence after another. Sequences are time-major, (T, B,
n_visible). Output(0) is that of the initial state, a parameter.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm import model_file
from rnnrbm.backend.engine import Updates
from rnnrbm.backend.random import Rng, Seed, generator
from rnnrbm.batch import Loss, dropout_mask, masked_mean
from rnnrbm.bias_weights import init_bias_weights, project_bias
from rnnrbm.densities import (
    EnergyDensity,
    FrameDensity,
    NormalizedDensity,
    at_temperature,
    check_density,
    moved_bias,
    with_biases,
)
from rnnrbm.display import model_html
from rnnrbm.networks import Memoryless, Network, outputs_before, shifted_outputs
from rnnrbm.rbm import mean_activity, sparsity_penalty
from rnnrbm.recurrence import flatten, initial_state
from rnnrbm.samplers import Differs, NegativePhase, draw_frame
from rnnrbm.weights import as_layers

__all__ = ["SequenceModel", "as_sequence_model"]


#: How far the offsets of hidden units move towards their mean in a batch.
OFFSET_RATE = 0.01


class SequenceModel(NamedTuple):
    """A sequence model.

    Attributes
    ----------
    network : Network
        Reads the past.
    density : FrameDensity
        Distribution of a frame.
    bias_weights : tuple of TensorVariable, each (n_outputs, size of a bias)
        One for each of ``density.biases``, in their order; none if frames are independent of the past. For a network
        whose output has parts, the weights map one part of the output to one part of the bias. If a tensor occurs more
        than once in a model, its weights are tied.
    """

    network: Network
    density: FrameDensity
    bias_weights: tuple[Any, ...] = ()

    @classmethod
    def init(cls, network: Network, density: FrameDensity, *, seed: Seed, dtype: str | None = None) -> SequenceModel:
        """Combine a network and a density by new weights; see :func:`init_bias_weights`.

        Raises
        ------
        TypeError
            If the density lacks a method or field of a density.
        """
        rng = generator(seed)
        check_density(density)
        n_parts, n_direct, _ = network.traits
        bias_weights = init_bias_weights(
            network.n_outputs, density, seed=rng, n_parts=n_parts, n_direct=n_direct, dtype=dtype
        )
        return cls(network, density, bias_weights)

    def save(self, path: model_file.PathName) -> None:
        """Write the model to a file, which :func:`rnnrbm.load_model` reads back; see :mod:`rnnrbm.model_file`."""
        model_file.save(path, self)

    def _repr_html_(self) -> str:
        return model_html(self)

    def predict(self, history: Any, steps: int, n_samples: int = 100, **options: Any) -> Any:
        """Sample what comes after a history (T, n_visible): a :class:`rnnrbm.forecasting.Forecast`.

        It has the samples (n_samples, steps, n_visible), their mean and their quantiles. For the options see
        :func:`rnnrbm.forecasting.forecast`.
        """
        # by name, since that module is built on this one
        forecasting = importlib.import_module("rnnrbm.forecasting")
        return forecasting.forecast(self, history, steps, n_samples, **options)

    @property
    def params(self) -> list[Any]:
        """Parameters of the density, then of the network, then the bias weights; each tensor once."""
        every = [*self.density.tensors(), *self.network.tensors(), *self.bias_weights]
        return list({id(t): t for t in every}.values())

    def with_params(self, params: Sequence[Any]) -> SequenceModel:
        """A copy of the model with other tensors, in the order of :attr:`params`; tied weights stay tied."""
        new = {id(old): t for old, t in zip(self.params, params, strict=True)}

        def swapped(tensors: Sequence[Any]) -> list[Any]:
            return [new[id(t)] for t in tensors]

        return SequenceModel(
            self.network.with_tensors(swapped(self.network.tensors())),
            self.density.with_tensors(swapped(self.density.tensors())),
            tuple(swapped(self.bias_weights)),
        )

    @property
    def n_visible(self) -> int:
        return self.density.b_v.type.shape[-1]

    @property
    def n_state(self) -> int:
        return self.network.u_0.type.shape[0]

    @property
    def normalized(self) -> bool:
        """Whether log-probabilities of frames are exact, without a partition function to estimate."""
        return isinstance(self.density, NormalizedDensity)

    @property
    def dtype(self) -> str:
        return self.density.b_v.dtype

    def conditional(self, output: TensorVariable) -> Any:
        """Density given network outputs (..., n_outputs); its biases have the same leading axes."""
        if not self.bias_weights:
            return self.density
        names = zip(self.density.biases, self.bias_weights, strict=True)
        return with_biases(
            self.density, {name: moved_bias(self.density, name, project_bias(output, W)) for name, W in names}
        )

    def frames(self, v: TensorVariable, start: TensorVariable | None = None) -> tuple[Any, TensorVariable]:
        """Return the conditional density of all frames, one to a row, and the frames in the same order.

        Parameters
        ----------
        v : TensorVariable, shape (T, B, n_visible)
        start : TensorVariable of bool or None, shape (T, B)
            See :func:`rnnrbm.recurrence.unroll`.

        Returns
        -------
        density : FrameDensity with biases of B*T rows
        rows : TensorVariable, shape (B*T, n_visible)
        """
        return self.conditional(shifted_outputs(self.network, v, start)), flatten(v)

    def loss(
        self,
        v: TensorVariable,
        mask: TensorVariable | None = None,
        start: TensorVariable | None = None,
        *,
        rng: Rng,
        negative_phase: Differs = NegativePhase(),  # noqa: B008  an immutable value
        input_dropout: float = 0.0,
        input_noise: float = 0.0,
        state_dropout: float = 0.0,
        carried: Any = None,
        max_active: int | None = None,
        sparsity: tuple[float, float] | None = None,
        hidden_mean: Any = None,
    ) -> Loss:
        """Build the loss of a batch: contrastive divergence for an energy, -log p for a normalized density.

        An optimiser of :mod:`rnnrbm.training.optimisers` makes updates of its gradient with respect to :attr:`params`.

        Parameters
        ----------
        v : TensorVariable, shape (T, B, n_visible)
            Frames.
        mask : TensorVariable or None, shape (T, B)
            1 for frames to train on, 0 for padding and context. Padding after the last frame to train on changes
            neither the loss nor its gradient. The network reads context before it.
        start : TensorVariable of bool or None, shape (T, B)
            True where a new piece begins (see :func:`rnnrbm.recurrence.unroll`).
        rng : Rng
        negative_phase : NegativePhase, or another object with its method ``difference``
            How the negative sample of an energy is drawn; CD-15 by default. Training chooses its own k, see
            :class:`rnnrbm.training.settings.Training`.
        input_dropout : float
            Probability that a note is removed from the network's input; the target frame stays complete. Remaining
            notes are divided by its complement, so that the network reads as much as during generation.
        input_noise : float
            Standard deviation of normal noise that is added to the network's input; for frames of real numbers.
        state_dropout : float
            Dropout rate of the network's output before it sets the biases.
        carried : shared variable or None, shape (n_rows, n_state)
            States of the network in which pieces of the first `n_rows` rows begin, instead of the learned one. The
            updates hold the states after the last frames with mask 1 of these rows, for the next batch.
        max_active : int or None
            Greatest number of units that are on in any frame, if known; a NADE is faster with fewer.
        sparsity : (float, float) or None
            Target of the mean activity of hidden units, and the factor of the penalty
            (:func:`rnnrbm.rbm.sparsity_penalty`); for densities with an RBM.
        hidden_mean : shared variable or None, shape (n_hidden,)
            Moving average of the hidden units' mean given data, which the updates move on: offsets of centring. For a
            density that is an RBM.

        Raises
        ------
        ValueError
            If chains are persistent but the biases depend on the past, or the density has no chains.
        """
        if getattr(negative_phase, "particles", None) is not None and (self.bias_weights or self.normalized):
            raise ValueError(
                "persistent chains need one RBM without a past (model rbm): with a past, the biases differ at every "
                "step, and a normalized density has no chains"
            )
        network_input = v
        if mask is not None:
            # Padding may hold anything, infinities included; it must not reach the gradient. The network still reads
            # finite frames with mask 0, since they may be context.
            zero, is_counted = np.asarray(0.0, v.dtype), pt.gt(mask[:, :, None], 0)
            finite = pt.lt(pt.abs(v), np.asarray(np.inf, v.dtype))
            network_input = pt.switch(pt.or_(is_counted, finite), v, zero)
            v = pt.switch(is_counted, v, zero)
        if input_dropout:
            keep, rng = dropout_mask(v, input_dropout, rng)
            network_input = network_input * keep * np.asarray(1.0 / (1.0 - input_dropout), v.dtype)
        if input_noise:
            z, rng = rng.normal(v)
            network_input = network_input + np.asarray(input_noise, v.dtype) * z.astype(v.dtype)
        u, last = self._read(network_input, mask, start, carried)
        if state_dropout:
            n = u.type.shape[-1] - self.network.traits.n_direct  # direct biases (see Traits) are not dropped
            keep, rng = dropout_mask(u[:, :n], state_dropout, rng)
            state = u[:, :n] * keep * np.asarray(1.0 / (1.0 - state_dropout), u.dtype)
            u = state if n == u.type.shape[-1] else pt.concatenate([state, u[:, n:]], axis=1)
        density, rows = self.conditional(u), flatten(v)
        nan = pt.as_tensor(np.asarray(np.nan, self.dtype))
        if isinstance(density, NormalizedDensity):
            losses, rng = density.surrogate(rows, rng, max_active)
            return Loss(masked_mean(losses, mask), rng.updates() | last, {"pseudo_likelihood": nan})
        pseudo_ll = nan
        if density.visible.is_binary:  # to monitor training, for the price of two free energies
            pseudo, rng = density.pseudo_log_likelihood(rows, rng)
            pseudo_ll = masked_mean(pseudo, mask)
        row_mask = None if mask is None else flatten(mask)
        difference, updates = negative_phase.difference(density, rows, rng, row_mask)
        cost = masked_mean(difference, mask)
        if sparsity is not None:
            target, factor = sparsity
            penalty = sparsity_penalty(as_layers(density), rows, target, row_mask)
            cost = cost + np.asarray(factor, self.dtype) * penalty
        if hidden_mean is not None:
            mean = density.hidden.statistic(mean_activity(density, rows, row_mask))
            last = last | {hidden_mean: hidden_mean + np.asarray(OFFSET_RATE, self.dtype) * (mean - hidden_mean)}
        return Loss(cost, dict(updates) | last, {"pseudo_likelihood": pseudo_ll})

    def _read(
        self, v: TensorVariable, mask: TensorVariable | None, start: TensorVariable | None, carried: Any
    ) -> tuple[TensorVariable, Updates]:
        """Return the network's outputs before each frame, and updates of the states that rows carry on."""
        if carried is None:
            return shifted_outputs(self.network, v, start), {}
        n_steps, n_rows = v.type.shape[0], carried.type.shape[0]
        begin = pt.concatenate([carried, initial_state(self.network.u_0, v)[n_rows:]])
        states = self.network.run(v, start, begin)
        last = n_steps - 1 - (0 if mask is None else mask[::-1, :n_rows].argmax(axis=0))
        kept = pt.specify_shape(states[last, np.arange(n_rows)], carried.type.shape)
        return outputs_before(self.network, states, begin, start), {carried: kept}

    @property
    def is_tied(self) -> bool:
        """Whether the network and the density share parameters, as in an RTRBM."""
        density = {id(t) for t in self.density.tensors()}
        return any(id(t) in density for t in self.network.tensors())

    def generate(
        self,
        n_frames: int,
        u: TensorVariable,
        v: TensorVariable,
        *,
        rng: Rng,
        k: int = 50,
        init_states: TensorVariable | None = None,
        clamp: TensorVariable | None = None,
        temperature: float = 1.0,
        start: str = "previous",
    ) -> tuple[TensorVariable, TensorVariable, Rng]:
        """Build the graph that samples sequences frame by frame.

        Parameters
        ----------
        n_frames : int
            Frames to sample.
        u : TensorVariable, shape (B, n_state)
            Network states to continue from: the initial state, or the state after a primer.
        v : TensorVariable, shape (B, n_visible)
            Frame before the first one; each frame's Gibbs chain starts from the frame before it.
        rng : Rng
        k : int
            Gibbs steps for each frame, for an energy.
        init_states : TensorVariable or None, shape (S, n_visible)
            Frames from which each chain starts instead of the previous frame, sampled in proportion to their current
            probability under the model; see :func:`rnnrbm.samplers.resample`.
        clamp : TensorVariable or None, shape (n_frames, n_visible)
            Fixed values of units, NaN for units to sample. Each frame is sampled given the frames before it and its own
            fixed values.
        temperature : float
            Of each frame's density; see :func:`rnnrbm.densities.at_temperature`.
        start : {"previous", "noise"}
            ``"noise"``: each frame's Gibbs chain starts from noise, not from the frame before it.

        Returns
        -------
        v : TensorVariable, shape (n_frames, B, n_visible)
        u : TensorVariable, shape (B, n_state)
            Network states after the last frame, to continue from.
        rng : Rng
        """
        params = self.params

        def step(*args: Any) -> list[TensorVariable]:
            fixed, (v, u, draw, key, *rest) = (args[0], args[1:]) if clamp is not None else (None, args)
            model = self.with_params(rest[: len(params)])
            states = rest[len(params)] if init_states is not None else None
            density = at_temperature(model.conditional(model.network.output(u)), temperature)
            v, inner = draw_frame(density, v, rng=Rng(key, draw), k=k, init_states=states, clamp=fixed, start=start)
            return [v, model.network.step(v, u), inner.draw]

        v, u, draw = pytensor.scan(
            step,
            sequences=[] if clamp is None else [clamp],
            outputs_info=[v, u, rng.draw],
            non_sequences=[rng.key, *params, *([] if init_states is None else [init_states])],
            n_steps=n_frames,
            return_updates=False,
        )
        return v, u[-1], rng._replace(draw=draw[-1])


def as_sequence_model(model: Any) -> Any:
    """Return a frame density as a sequence model without a past, sharing its parameters; anything else as it is."""
    if isinstance(model, type):
        raise TypeError(f"expected a model, got the class {model.__name__}; make one, as by rnnrbm.build")
    if isinstance(model, (EnergyDensity, NormalizedDensity)):
        return SequenceModel(Memoryless(model.b_v.dtype), model)
    return model
