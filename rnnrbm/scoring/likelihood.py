"""Log-likelihoods of held-out sequences.

A normalized frame density has exact log-probabilities. For an RBM, each frame's log-probability is
``log p(v(t) | past) = -F(v(t)) - log Z(t)``, with a separate partition function for every frame, since every frame has
its own biases. It is computed

* exactly, by enumerating the states of the smaller layer, for small models;
* by annealed importance sampling (AIS), which tends to overestimate it, by about half the variance of log Z;
* by the reverse annealed estimator (RAISE), which tends to underestimate it.

The last two bracket the log-likelihood. The graphs are in :mod:`rnnrbm.scoring.partition`, and the estimates from their
weights in :mod:`rnnrbm.scoring.estimators`. Standard errors are bootstrapped over chains.

For models with narrow modes both are much more accurate if the distinct frames of the training set are `exact_states`:
their terms of Z are summed exactly, and annealing estimates the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from numpy.typing import ArrayLike

from rnnrbm import memory
from rnnrbm.arguments import as_array, as_list, as_pieces, whole_number
from rnnrbm.backend import engine, random, sharding
from rnnrbm.densities import FrameDensity, NormalizedDensity, bias_of, map_biases
from rnnrbm.pieces import first_frames, frames_at
from rnnrbm.progress import Progress, as_progress
from rnnrbm.scoring import estimators, partition
from rnnrbm.scoring.bounds import lower_bound
from rnnrbm.scoring.estimators import N_RESAMPLINGS, Estimate
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.sequence import SequenceModel, as_sequence_model
from rnnrbm.state_encoder import StateEncoder, check_pieces
from rnnrbm.static import StaticModel
from rnnrbm.warn import warn
from rnnrbm.weights import as_layers, as_rbm, has_layers

__all__ = [
    "Annealing",
    "Chunk",
    "Evaluator",
    "frequent_states",
    "has_many_hidden",
    "log_likelihood",
    "usable_states",
    "usual_annealing",
]

METHODS = ("ais", "raise", "exact")


class Chunk(NamedTuple):
    """Frames that were scored together.

    Attributes
    ----------
    rows : numpy.ndarray, shape (n,), int
        Indices of the frames among all frames to score.
    values : numpy.ndarray, shape (3, n)
        Log-likelihood, its variance, effective sample size.
    total : int
        Number of frames to score in all.
    """

    rows: np.ndarray
    values: np.ndarray
    total: int


def frequent_states(pieces: Sequence[ArrayLike] | np.ndarray, at_most: int = 5000) -> np.ndarray | None:
    """Return the distinct frames of binary pieces, most frequent first, for exact sums.

    Parameters
    ----------
    pieces : sequence of array-likes (T, n_visible), or one array
    at_most : int
        Greatest number of frames.

    Returns
    -------
    numpy.ndarray or None, shape (n, n_visible), uint8
        None if there are no frames, or the pieces are not binary.

    Raises
    ------
    ValueError, TypeError
        As :func:`rnnrbm.arguments.as_pieces`.
    """
    at_most = whole_number("at_most", at_most, 0)
    if at_most < 1 or not as_list(pieces):
        return None
    arrays = as_pieces(pieces)
    if not all(np.isin(array, (0, 1)).all() for array in arrays):
        return None
    bits = np.concatenate([np.packbits(array.astype(bool), axis=1) for array in arrays])
    packed, counts = np.unique(bits, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:at_most]
    return np.unpackbits(packed[order], axis=1, count=arrays[0].shape[1])


def usable_states(
    model: SequenceModel | FrameDensity | StaticModel, pieces: Sequence[np.ndarray], at_most: int = 5000
) -> np.ndarray | None:
    """Return the :func:`frequent_states` of training pieces if a model's Z can use them, else None."""
    density = model.density if isinstance(model, SequenceModel) else model
    if isinstance(density, (NormalizedDensity, StaticModel)) or not density.visible.is_binary:
        return None
    return frequent_states(pieces, at_most)


#: Chains (frames x runs) that run at a time.
ROWS = 2048

#: Frames that the base of a static model's annealing is fitted to.
BASE_ROWS = 128


def check_memory(model: SequenceModel, n_chains: int, n_temperatures: int, *, prefix: str = "") -> None:
    """Raise MemoryError if chains or temperatures would take more memory than there is.

    Parameters
    ----------
    model : SequenceModel
    n_chains, n_temperatures : int
    prefix : str
        Before the names of the two in the message.
    """
    units = sum(b.type.shape[-1] for b in (bias_of(model.density, name) for name in model.density.biases))
    units = max(units, model.n_visible + getattr(model.density, "n_hidden", 0))
    # states of all units and numbers of as many; of each chain of a frame, how often it is drawn in each resampling
    size = 4 * np.dtype(model.dtype).itemsize * units * max(n_chains, ROWS) + 8 * N_RESAMPLINGS * n_chains
    memory.check(size, f"{prefix}n_chains={n_chains}", "choose fewer chains")
    memory.check(32 * n_temperatures, f"{prefix}n_temperatures={n_temperatures}", "choose fewer temperatures")


class Annealing(NamedTuple):
    """Settings of AIS and RAISE; see :class:`Evaluator`."""

    n_chains: int
    n_temperatures: int
    schedule: str | np.ndarray


#: For one Z of each frame: chains and temperatures of the published figures. RAISE gains much by denser temperatures
#: near the RBM. One Z of all frames has an error that no mean over frames makes smaller, so it gets more; its figures
#: were chosen on a published RBM of MNIST.
OF_EACH = {"ais": Annealing(100, 1000, "linear"), "raise": Annealing(100, 1000, "quadratic")}
OF_ALL = Annealing(500, 16_000, "quadratic")
#: The same for a layer of more than :data:`MANY_HIDDEN` units, such as that of a convolution: minutes, not hours.
OF_MANY = Annealing(100, 1000, "quadratic")
MANY_HIDDEN = 4096


def usual_annealing(
    model: SequenceModel | FrameDensity,
    method: str | None = None,
    *,
    n_chains: int | None = None,
    n_temperatures: int | None = None,
    schedule: str | np.ndarray | None = None,
) -> Annealing:
    """Return settings of annealing, with the usual ones for those that are None.

    They are 100 chains and 1000 temperatures, with linear spacing for AIS and quadratic for RAISE. AIS of a static RBM
    has one Z for all frames, whose error is that of all frames; it gets 500 chains and 16 000 temperatures with
    quadratic spacing, or 100 and 1000 if the RBM has more than 4096 hidden units.
    """
    sequence = as_sequence_model(model)
    static = isinstance(sequence, SequenceModel) and not sequence.bias_weights and method in (None, "ais")
    usual = OF_ALL if static else OF_EACH["raise" if method == "raise" else "ais"]
    if static and has_many_hidden(sequence.density):
        usual = OF_MANY
    given: dict[str, Any] = {"n_chains": n_chains, "n_temperatures": n_temperatures, "schedule": schedule}
    return usual._replace(**{name: value for name, value in given.items() if value is not None})


def has_many_hidden(density: Any) -> bool:
    """Whether a density has so many hidden units, more than 4096, that its usual annealing is shorter."""
    return getattr(as_layers(density), "n_hidden", 0) > MANY_HIDDEN


class Evaluator:
    """A compiled likelihood, for repeated use while its model learns.

    Parameters
    ----------
    model : SequenceModel or FrameDensity
        The frames of a density, such as an RBM, are independent of each other.
    method : {"ais", "raise", "exact"} or None
        None means AIS if Z must be estimated; a normalized density is always scored exactly.
    n_chains, n_temperatures : int
        Chains and temperatures of AIS and RAISE.
    schedule : str or array
        Inverse temperatures; see :func:`rnnrbm.scoring.partition.annealing_schedule`. The length of an array replaces
        `n_temperatures`.
    exact_states : array of shape (S, n_visible) or None
        Distinct states of binary visible units whose terms of Z are summed exactly, such as the
        :func:`frequent_states` of the training set; AIS and RAISE then estimate only the rest. They must not be chosen
        from the pieces to score. ``"exact"`` ignores them.
    rows : int
        Chains (frames x runs) at a time: limits memory, and fits caches.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Raises
    ------
    ValueError
        If a setting is impossible, or the model is too large to enumerate.
    TypeError
        If `model` has no likelihood.
    """

    def __init__(
        self,
        model: SequenceModel | FrameDensity,
        *,
        method: str | None = None,
        n_chains: int = 20,
        n_temperatures: int = 500,
        schedule: str | np.ndarray = "linear",
        exact_states: np.ndarray | None = None,
        rows: int = ROWS,
        mode: Any = None,
    ) -> None:
        model = as_sequence_model(model)
        if isinstance(model, StaticModel):
            raise TypeError(f"a {type(model).__name__} has no log-likelihood; it is measured by model.score(pieces)")
        scored = isinstance(model, SequenceModel) and (model.normalized or has_layers(as_layers(model.density)))
        if not isinstance(model, SequenceModel) or not scored:
            raise TypeError(
                f"expected a SequenceModel, an RBM or a normalized density, got "
                f"{type(getattr(model, 'density', model)).__name__}; other energies can be trained, without valid "
                "pieces, and sampled, but their Z cannot be estimated"
            )
        normalized = model.normalized
        method = method or ("exact" if normalized else "ais")
        if method not in METHODS:
            raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
        if normalized and method != "exact":
            raise ValueError(f"{method} estimates log Z, and a {type(model.density).__name__} has none; use exact")
        n_chains = whole_number("n_chains", n_chains, 2)
        if isinstance(schedule, str):
            n_temperatures = whole_number("n_temperatures", n_temperatures, 2)
        check_memory(model, n_chains, n_temperatures)
        self.betas = betas = partition.annealing_schedule(schedule, n_temperatures)
        self.density: Any = model.density
        self.n_visible, self.dtype = model.n_visible, model.dtype
        self.method, self.mode = method, mode
        self.n_chains = 1 if method == "exact" else n_chains
        self.settings = "exact"
        if method != "exact":
            kind = "" if isinstance(schedule, str) and schedule == "linear" else f", {schedule}"
            kind = kind if isinstance(schedule, str) else ", own schedule"
            self.settings = f"{method.upper()}, {n_chains} chains x {len(betas)} temperatures{kind}"
        states = None
        if exact_states is not None and method != "exact":
            states = self._exact_states(exact_states)
            self.settings += f", {len(exact_states)} frame{'s' if len(exact_states) > 1 else ''} enumerated"
        if has_many_hidden(model.density):  # as much memory as fewer hidden units would take
            rows = rows * MANY_HIDDEN // as_layers(model.density).n_hidden
        self.chunk = max(1, rows // n_chains)
        if method == "exact":
            self.chunk = rows if normalized else 64
        self._model: SequenceModel = model
        self.shared_Z = not model.bias_weights and method == "ais"
        if self.shared_Z:
            self.chunk = BASE_ROWS
        self.variables = engine.shared_inputs(model.params)
        self.variables += [] if states is None else [states]
        self._history = StateEncoder(model, mode)
        self._rng = random.shared(0)
        u = pt.tensor("u", dtype=self.dtype, shape=(self.chunk, model.network.n_outputs))
        v = pt.tensor("v", dtype=self.dtype, shape=(self.chunk, self.n_visible))
        self._states = states
        self._programs: dict[bool, Any] = {}
        if self.shared_Z:
            self._prepare_static(v)
            return
        self._spread = sharding.Sharding(self.chunk, mode)
        self._rbm = self._conditional(u)
        self._inputs = [u, v]
        if method == "exact":
            self._program(small_steps=False)
        else:
            self._largest_step = self._compiled([u], [partition.largest_step(self._rbm, betas)])

    def _compiled(self, inputs: list[Any], outputs: list[Any]) -> Any:
        return engine.function(inputs, outputs, mode=self.mode, trust_input=True, on_unused_input="ignore")

    def _program(self, small_steps: bool) -> Any:
        """The program that scores; that for small steps between temperatures is faster."""
        if small_steps not in self._programs:
            outputs = self._static_outputs(small_steps) if self.shared_Z else self._outputs(small_steps)
            self._programs[small_steps] = self._compiled(self._inputs, outputs)
        return self._programs[small_steps]

    def _outputs(self, small_steps: bool) -> list[Any]:
        """Graphs of the score of each frame, or of what annealing of its RBM returns."""
        rbm, rng, v = self._rbm, self._rng, self._inputs[1]
        if self._model.normalized:
            return [rbm.log_prob(v)]
        if self.method == "exact":
            return [-rbm.free_energy(v) - partition.exact_log_Z(rbm)]
        start = v
        if self.method == "raise":
            # the annealing path must not depend on the datum, or it would favour the datum
            start, rng = rbm.visible.sample(rbm.b_v, rng)
        base, rng = partition.base_activation(rbm, start, rng)
        how = (self.betas, self.n_chains, rng, self._states, small_steps)
        if self.method == "ais":
            annealed = partition.ais_log_weights(rbm, base, *how)
        else:
            annealed = partition.raise_log_weights(rbm, base, v, *how)
        outputs = [-rbm.free_energy(v) - annealed.log_Z_base, annealed.log_weights]
        if annealed.listed is not None and self._states is not None:
            outputs += [*annealed.listed, partition.is_listed(v, self._states)]
        return outputs

    def _prepare_static(self, v: Any) -> None:
        """Compile all but the chains of the single Z of a static model, and spread them over the devices."""
        rbm = as_layers(map_biases(self.density, lambda b: b[None]))
        base, _ = partition.base_activation(rbm, v, self._rng, pool=True)
        self._base = self._compiled([v], [base])
        self._free_energy = self._compiled([v], [rbm.free_energy(v)])
        self._largest_step = self._compiled([], [partition.largest_step(rbm, self.betas)])
        self._spread = sharding.Sharding(self.n_chains, self.mode)
        self._inputs = [pt.tensor("a", dtype=self.dtype, shape=(self._spread.n_devices, self.n_visible))]

    def _static_outputs(self, small_steps: bool) -> list[Any]:
        """Graphs of the chains of a single Z, in as many rows as there are devices."""
        n = self._spread.n_devices
        rbm = as_layers(map_biases(self.density, lambda b: pt.repeat(b[None], n, axis=0)))
        annealed = partition.ais_log_weights(
            rbm, self._inputs[0], self.betas, self.n_chains // n, self._rng, self._states, small_steps
        )
        return [annealed.log_Z_base, annealed.log_weights, *(annealed.listed or ())]

    def _exact_states(self, states: np.ndarray) -> Any:
        if not self.density.visible.is_binary:
            raise ValueError(f"only states of binary visible units can be enumerated, not of {self.density.visible}")
        states = as_array(states, "exact_states")
        if states.ndim != 2 or not len(states) or states.shape[1] != self.n_visible:
            raise ValueError(
                f"exact_states has shape {states.shape}, expected frames, (1 or more, {self.n_visible}), such as "
                "rnnrbm.frequent_states(data.train, 5000)"
            )
        if not np.isin(states, (0, 1)).all():
            raise ValueError("exact_states must hold 0 and 1 only")
        if len(np.unique(states, axis=0)) < len(states):
            raise ValueError("exact_states holds a state more than once; see rnnrbm.scoring.likelihood.frequent_states")
        return engine.shared(states, "exact_states", self.dtype)

    def _conditional(self, u: Any) -> Any:
        """The density of each row of a chunk; explicit weights are for enumeration only."""
        explicit = as_rbm if self.method == "exact" else as_layers
        if self._model.bias_weights:
            return explicit(self._model.conditional(u))
        if self.method == "exact" and not self._model.normalized:  # one Z, which need not be summed for each frame
            return explicit(map_biases(self.density, lambda b: b[None]))
        return explicit(map_biases(self.density, lambda b: pt.repeat(b[None], self.chunk, axis=0)))

    def chunks(
        self, pieces: Sequence[np.ndarray], *, seed: int = 0, frames: int | None = None, done: int = 0
    ) -> Iterator[Chunk]:
        """Score pieces in chunks of frames; values depend neither on the order of chunks nor on interruptions.

        Parameters
        ----------
        pieces, seed, frames
            As for :meth:`__call__`.
        done : int
            Number of frames whose values are known: whole chunks among them are skipped.
        """
        pieces = check_pieces(pieces, self.density)
        if frames is not None and frames < 1:
            raise ValueError(f"frames must be at least 1, or None for all, got {frames}")
        chosen = chosen_frames(pieces, seed, frames)
        first, n = first_frames(pieces), len(chosen)

        def frames_of(rows: np.ndarray) -> np.ndarray:
            return frames_at(pieces, first, chosen[rows]).astype(self.dtype, copy=False)

        if self.shared_Z:
            yield self._score_static(frames_of, n, seed)
            return
        for rows, u in self._history.blocks(pieces, self.chunk, chosen):
            if rows[-1] < done:
                continue
            filled = np.resize(np.arange(len(rows)), self.chunk)  # repeated rows pad the last chunk
            log_p, *weights = self._score([u[filled], frames_of(rows[filled])], seed, rows[0] // self.chunk)
            if self.method == "exact":
                values = np.stack([log_p, np.zeros(self.chunk), np.ones(self.chunk)])
            else:
                # each chunk has its own stream, so that values do not depend on the chunks before
                estimate = self._estimate(weights, np.random.default_rng((seed, rows[0])))
                values = np.stack([log_p + estimate.log_mean, *estimate[1:]])
            yield Chunk(rows, values[:, : len(rows)], n)

    def _estimate(self, weights: list[np.ndarray], rng: np.random.Generator) -> Estimate:
        """Estimate the log-probability relative to exp(-F) / Z_base from all that annealing has returned."""
        log_w, *listed = weights
        if self.method == "raise":
            if not listed:
                return estimators.log_mean(-log_w, rng)
            log_sum, log_up, inside, is_listed = listed
            return estimators.raise_log_mean(log_w, is_listed, log_up, inside, log_sum, rng)
        if listed:
            log_sum, _, inside, _ = listed
            log_w, _ = estimators.mixed_log_weights(log_w, inside, log_sum)
        estimate = estimators.log_mean(log_w, rng)
        return estimate._replace(log_mean=-estimate.log_mean)

    def _run(self, function: Any, inputs: Sequence[Any], seed: int, stream: int) -> list[np.ndarray]:
        """Call a compiled function of the model with random numbers of its own."""
        key = random.key_from_seed(seed, stream)
        with self._spread.replicated([*self.variables, self._rng.key, self._rng.draw], {self._rng.key: key}):
            return [engine.to_numpy(x) for x in function(*inputs)]

    def _score(self, inputs: Sequence[np.ndarray], seed: int, stream: int) -> list[np.ndarray]:
        """Score a chunk, by the program that its RBMs allow."""
        small = False
        if self.method != "exact":
            (step,) = self._run(self._largest_step, [] if self.shared_Z else inputs[:1], seed, stream)
            small = bool(step <= partition.SMALL_STEP)
        return self._run(self._program(small), [self._spread.shard(x) for x in inputs], seed, stream)

    def _score_static(self, frames_of: Callable[[np.ndarray], np.ndarray], n: int, seed: int) -> Chunk:
        """Score n frames with the single Z of a static model, whose base is fitted to some of them."""
        some = frames_of(np.random.default_rng(seed).choice(n, self.chunk, replace=n < self.chunk))
        (base,) = self._run(self._base, [some], seed, 1)
        log_Z_base, log_w, *listed = self._score([np.repeat(base, self._spread.n_devices, axis=0)], seed, 0)
        weights: list[np.ndarray] = [log_w.reshape(1, -1)]  # the rows of all devices are chains of one RBM
        if listed:
            log_sum, log_up, inside = listed
            weights += [log_sum[:1], log_up.reshape(1, -1), inside.reshape(1, -1), np.zeros(1, bool)]
        less_log_Z, variance, size = (x[0] for x in self._estimate(weights, np.random.default_rng(seed)))
        blocks = np.resize(np.arange(n), (-(-n // self.chunk), self.chunk))  # repeated rows pad the last one
        free = np.concatenate([engine.to_numpy(self._free_energy(frames_of(rows))[0]) for rows in blocks])[:n]
        ones = np.ones(n)
        values = np.stack([less_log_Z - free - log_Z_base[0], variance * ones, size * ones])
        return Chunk(np.arange(n), values, n)

    def result(self, pieces: Sequence[np.ndarray], values: np.ndarray, seed: int, frames: int | None) -> LogLikelihood:
        """Combine the values of all chunks, shape (3, frames)."""
        chosen = chosen_frames(pieces, seed, frames)
        ends = np.searchsorted(chosen, first_frames(pieces)[1:-1])
        log_p, variances = (np.split(row, ends) for row in values[:2])
        return LogLikelihood(log_p, variances, values[2], self.settings, self.n_chains, self.shared_Z, self.method)

    def __call__(
        self,
        pieces: Sequence[ArrayLike] | np.ndarray,
        *,
        seed: random.Seed = 0,
        frames: int | None = None,
        progress: Progress | bool = False,
    ) -> LogLikelihood:
        """Score pieces.

        Parameters
        ----------
        pieces : sequence of arrays (T, n_visible)
            All frames are scored, including the first, each given its true past.
        seed : int or numpy.random.Generator
            Seed of the sampling.
        frames : int or None
            Number of frames to score, drawn without replacement; the result omits the others. This is a cheaper
            estimate of the mean. None scores all frames.
        progress : bool or callable
            True shows a bar. A function is called with the method as its stage, the number of frames done and the
            total.

        Raises
        ------
        ValueError
            If there are no pieces, or a piece has no frame or another width than the model.
        """
        parts, report = [], as_progress(progress)
        rolls = check_pieces(pieces, self.density)
        seed = random.as_seed(seed)  # one number for all chunks
        for chunk in self.chunks(rolls, seed=seed, frames=frames):
            parts.append(chunk.values)
            report(self.method, int(chunk.rows[-1]) + 1, chunk.total, None)
        return self.result(rolls, np.concatenate(parts, axis=1), seed, frames)


def chosen_frames(pieces: Sequence[np.ndarray], seed: int, frames: int | None) -> np.ndarray:
    """Indices, counted through all pieces, of the frames that an :class:`Evaluator` scores for a given number."""
    n = sum(len(p) for p in pieces)
    if frames is None or frames >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, frames, replace=False))


def log_likelihood(
    model: SequenceModel | FrameDensity | StaticModel,
    pieces: Sequence[ArrayLike] | np.ndarray,
    *,
    method: str | None = None,
    n_chains: int | None = None,
    n_temperatures: int | None = None,
    schedule: str | np.ndarray | None = None,
    exact_states: np.ndarray | None = None,
    seed: random.Seed = 0,
    progress: Progress | bool = False,
    mode: Any = None,
) -> LogLikelihood:
    """Log-likelihood of pieces under a model, every frame given its true past.

    Parameters
    ----------
    model : SequenceModel, FrameDensity or StaticModel
        The frames of a density without a network are independent of each other. A static model with a lower bound of
        its log-likelihood, such as a DBM, is scored by that.
    pieces : sequence of array-likes (T, n_visible), or one array
    method : {"ais", "raise", "exact"} or None
        None means AIS if Z must be estimated; a normalized density is scored exactly. AIS tends to overestimate the
        log-likelihood, RAISE to underestimate it; ``"exact"`` enumerates, up to 25 units.
    n_chains, n_temperatures : int or None
        Chains and temperatures of AIS and RAISE; None stands for :func:`usual_annealing`.
    schedule : {"linear", "quadratic", "geometric", "sigmoid"}, array or None
        Inverse temperatures; see :func:`rnnrbm.scoring.partition.annealing_schedule`, and None as above.
    exact_states : array of shape (S, n_visible) or None
        States whose terms of Z are summed exactly; see :class:`Evaluator`. ``frequent_states(training_pieces)`` is a
        good choice; None is the protocol of the literature.
    seed : int or numpy.random.Generator
        Seed of the sampling.
    progress : bool or callable
        True shows a bar. A function is called with the method as its stage, the number of frames done and the total.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Returns
    -------
    LogLikelihood
        ``.mean`` in nats per frame, ``.standard_error``, ``.per_piece``, ``.frames``.

    Raises
    ------
    ValueError
        If a setting is impossible, a piece does not fit the model, or the model is too large to enumerate.

    Warns
    -----
    UserWarning
        What :meth:`LogLikelihood.diagnostics` says.
    """
    how: dict[str, Any] = {"n_chains": n_chains, "n_temperatures": n_temperatures, "schedule": schedule}
    if isinstance(model, StaticModel):
        of_bound = how | {"method": method, "exact_states": exact_states}
        scored = lower_bound(model, pieces, of_bound, seed=seed, mode=mode)
    else:
        annealing = usual_annealing(model, method, **how)
        evaluate = Evaluator(model, method=method, exact_states=exact_states, mode=mode, **annealing._asdict())
        scored = evaluate(pieces, seed=seed, progress=progress)
    if diagnostics := scored.diagnostics():
        warn(diagnostics)
    return scored
