"""What a model is worth: log-likelihoods of held-out sequences.

A frame density that is normalized says it exactly. Of an RBM, each frame's log-probability is
``log p(v(t) | past) = -F(v(t)) - log Z(t)``, with one partition function for every frame, since every frame has an RBM
of its own. It is computed

* exactly, by enumerating the states of the smaller layer, for small machines;
* by annealed importance sampling (AIS), which tends to overstate it, by about half the variance of log Z;
* by the reverse annealed estimator (RAISE), which tends to understate it.

The last two are a bracket. The graphs are in :mod:`rnnrbm.scoring.partition`. Standard errors are bootstrapped
over chains.

Both are much nearer to the truth where a model has narrow modes if the distinct frames of the training set are
`exact_states`: their part of Z is summed exactly, and only the rest of it is estimated.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt

from rnnrbm.backend import engine, random, sharding
from rnnrbm.backend.progress import Progress, silent
from rnnrbm.densities import FrameDensity, NormalizedDensity, map_biases
from rnnrbm.networks import Memoryless
from rnnrbm.rbm import RBM
from rnnrbm.scoring import partition
from rnnrbm.sequence import SequenceModel
from rnnrbm.state_encoder import StateEncoder, check_pieces
from rnnrbm.weights import as_rbm

__all__ = ["Chunk", "Evaluator", "LogLikelihood", "frequent_states", "log_likelihood", "usable_states"]

METHODS = ("ais", "raise", "exact")

#: Below this share of the chains, and below this number, the effective sample size of a frame's weights is poor.
LOW_ESS_SHARE, LOW_ESS_SIZE = 0.1, 2.0

_RESAMPLINGS = 200


@dataclass(frozen=True, repr=False)
class LogLikelihood:
    """Log-likelihoods of pieces, and how they were obtained.

    Attributes
    ----------
    frames : list of numpy.ndarray, each (T,)
        log p(v(t) | v(1) .. v(t-1)) of every frame, nats.
    variances : list of numpy.ndarray, each (T,)
        Variance of each of these from the sampling of Z, by bootstrap over chains, nats squared; zero if exact.
    effective_sample_size : numpy.ndarray, shape (frames,)
        Of the weights of each frame, between 1 and the number of chains.
    settings : str
        The method in words, for tables.
    n_chains : int
        Chains for each frame; 1 if exact.
    shared_Z : bool
        All frames share one partition function (a static RBM) and with it its error.
    """

    frames: list[np.ndarray]
    variances: list[np.ndarray]
    effective_sample_size: np.ndarray
    settings: str
    n_chains: int = 1
    shared_Z: bool = False

    @property
    def mean(self) -> float:
        """Mean over all frames, nats per frame: the published protocol."""
        return float(np.concatenate(self.frames).mean())

    @property
    def per_piece(self) -> np.ndarray:
        """Log-likelihood of each piece, nats."""
        return np.array([x.sum() for x in self.frames])

    @property
    def mean_per_piece(self) -> np.ndarray:
        """Mean over the frames of each piece, nats per frame; NaN for a piece of which no frame was scored."""
        return np.array([x.mean() if len(x) else np.nan for x in self.frames])

    @property
    def mean_over_pieces(self) -> float:
        """Mean over pieces of their mean over frames, nats per frame; pieces without a scored frame are left out."""
        return float(np.nanmean(self.mean_per_piece))

    @property
    def standard_error(self) -> float:
        """Standard error of :attr:`mean` from the sampling of Z (not from the choice of pieces), nats per frame."""
        variances = np.concatenate(self.variances)
        if self.shared_Z:
            return float(np.sqrt(variances.max()))
        return float(np.sqrt(variances.sum()) / variances.size)

    @property
    def _low_ess_size(self) -> float:
        return max(LOW_ESS_SHARE * self.n_chains, min(LOW_ESS_SIZE, 0.5 * self.n_chains))

    @property
    def low_ess(self) -> float:
        """Share of frames whose effective sample size is below a tenth of the chains, or below 2."""
        return float((self.effective_sample_size < self._low_ess_size).mean()) if self.n_chains > 1 else 0.0

    def diagnostics(self) -> str:
        """What is wrong with the weights, or an empty string.

        More than one frame in a hundred is :attr:`low_ess`; or no chain of the only Z ended at a frame that was not
        enumerated, so that what all others weigh, and the error, are taken to be zero.
        """
        if self.shared_Z and self.n_chains > 1 and not self.standard_error:
            return (
                f"{self.settings}: no chain ended at a frame that is not enumerated, so the log-likelihood is too high "
                "by as much as those weigh, and its error is not known; use more chains"
            )
        if self.low_ess <= 0.01:
            return ""
        return (
            f"{self.settings}: in {self.low_ess:.1%} of the frames the effective sample size is below "
            f"{self._low_ess_size:g} "
            f"of {self.n_chains} chains, so the log-likelihood is not to be trusted; use more temperatures"
        )

    def __str__(self) -> str:
        return f"{self.mean:.3f} +- {self.standard_error:.3f} nats per frame ({self.settings})"

    def __repr__(self) -> str:
        return f"<LogLikelihood of {len(self.frames)} pieces: {self}>"


class Chunk(NamedTuple):
    """Some frames that were scored together.

    Attributes
    ----------
    rows : numpy.ndarray, shape (n,), int
        Which frames, among all that are to be scored.
    values : numpy.ndarray, shape (3, n)
        Log-likelihood, its variance, effective sample size.
    total : int
        How many frames are to be scored in all.
    """

    rows: np.ndarray
    values: np.ndarray
    total: int


def _log_mean(log_w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Log of the mean weight of each row, its variance by bootstrap, and the effective sample size: (3, R)."""
    n = log_w.shape[1]
    log_w = log_w.astype(float)
    top = log_w.max(axis=1, keepdims=True)
    w = np.exp(log_w - top)
    counts = rng.multinomial(n, np.full(n, 1.0 / n), size=_RESAMPLINGS)
    # a resampling may miss every weight that matters; its mean is then the smallest that can be told from zero
    means = np.maximum(w @ counts.T / n, np.finfo(float).tiny)
    # n / (n - 1): a bootstrap variance of a mean is that much too small
    variance = np.log(means).var(axis=1, ddof=1) * n / (n - 1)
    return np.stack([top[:, 0] + np.log(w.mean(axis=1)), variance, w.sum(axis=1) ** 2 / np.square(w).sum(axis=1)])


def with_error(mean: float, standard_error: float) -> str:
    """Write a log-likelihood for a table, with its standard error if it is an estimate."""
    return f"{mean:.3f}" + (f" ± {standard_error:.3f}" if standard_error else "")


def frequent_states(pieces: Sequence[np.ndarray], at_most: int = 5000) -> np.ndarray | None:
    """Return the distinct frames of some binary pieces, the most frequent first, to be enumerated.

    Parameters
    ----------
    pieces : sequence of arrays (T, n_visible)
    at_most : int
        How many.

    Returns
    -------
    numpy.ndarray or None, shape (n, n_visible), uint8
        None if there are none, or the pieces are not binary.
    """
    frames = np.concatenate(pieces) if len(pieces) else np.empty((0, 0))
    if at_most < 1 or not len(frames) or not np.isin(frames, (0, 1)).all():
        return None
    packed, counts = np.unique(np.packbits(frames.astype(bool), axis=1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:at_most]
    return np.unpackbits(packed[order], axis=1, count=frames.shape[1])


def usable_states(
    model: SequenceModel | FrameDensity, pieces: Sequence[np.ndarray], at_most: int = 5000
) -> np.ndarray | None:
    """Return the :func:`frequent_states` of training pieces if a model's Z can make use of them, else None."""
    density = model.density if isinstance(model, SequenceModel) else model
    if isinstance(density, NormalizedDensity) or not density.visible.is_binary:
        return None
    return frequent_states(pieces, at_most)


class Evaluator:
    """A compiled likelihood, to be called again and again while its model learns.

    Parameters
    ----------
    model : SequenceModel or FrameDensity
        An RBM, say, stands by itself: its frames are independent of each other.
    method : {"ais", "raise", "exact"} or None
        None stands for AIS if Z has to be estimated; a normalized density is scored exactly in any case.
    n_chains, n_temperatures : int
        Of AIS and RAISE.
    schedule : str or array
        Their inverse temperatures; see :func:`rnnrbm.scoring.partition.annealing_schedule`. The length of an array is
        `n_temperatures`.
    exact_states : array of shape (S, n_visible) or None
        Distinct states of binary visible units whose part of Z is summed exactly, such as the :func:`frequent_states`
        of the training set; AIS and RAISE then estimate the rest of it only. They must not be chosen by the pieces to
        be scored. ``"exact"`` has no use for them.
    rows : int
        Chains (frames x runs) worked on at a time: bounds memory, and fits caches.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Raises
    ------
    ValueError
        If a setting is impossible, or the model too large to be enumerated.
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
        rows: int = 2048,
        mode: Any = None,
    ) -> None:
        if isinstance(model, FrameDensity):
            model = SequenceModel(Memoryless(model.b_v.dtype), model)
        if not isinstance(model, SequenceModel) or not isinstance(as_rbm(model.density), (RBM, NormalizedDensity)):
            raise TypeError(
                f"expected a SequenceModel, an RBM or a normalized density, whose likelihood is known, got "
                f"{type(getattr(model, 'density', model)).__name__}; other energies can be trained, without valid "
                "pieces, and sampled, but nothing here estimates their Z"
            )
        normalized = model.normalized
        method = method or ("exact" if normalized else "ais")
        if method not in METHODS:
            raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
        if normalized and method != "exact":
            raise ValueError(f"{method} estimates log Z, and a {type(model.density).__name__} has none; use exact")
        if n_chains < 2:
            raise ValueError(f"n_chains must be at least 2, got {n_chains}")
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
        self.chunk = max(1, rows // n_chains)
        if method == "exact":
            self.chunk = rows if normalized else 64
        self._model: SequenceModel = model
        # the whole of a static machine's Z comes from one row
        self.shared_Z = not model.bias_weights and method == "ais"
        self.variables = engine.shared_inputs(model.params)
        self.variables += [] if states is None else [states]
        self._history = StateEncoder(model, mode)
        self._rng = random.shared(0)
        u = pt.tensor("u", dtype=self.dtype, shape=(self.chunk, model.network.n_outputs))
        v = pt.tensor("v", dtype=self.dtype, shape=(self.chunk, self.n_visible))
        rbm, rng = self._machine(u), self._rng
        log_w, common = pt.zeros((self.chunk, 1), self.dtype), pt.zeros((self.chunk,), self.dtype)
        if normalized:
            log_p = rbm.log_prob(v)
        elif method == "exact":
            log_p = -rbm.free_energy(v) - partition.exact_log_Z(rbm)
        else:
            start = v
            if method == "raise":
                # what annealing generates must not know the datum, or it would generate it too readily
                start, rng = rbm.visible.sample(rbm.b_v, rng)
            base, rng = partition.base_activation(rbm, start, rng, pool=self.shared_Z)
            if method == "ais":
                annealed = partition.ais_log_weights(rbm, base, betas, n_chains, rng, states)
            else:
                annealed = partition.raise_log_weights(rbm, base, v, betas, n_chains, rng, states)
            log_Z, log_w, common, _ = annealed
            log_p = log_Z if self.shared_Z else -rbm.free_energy(v) - log_Z
        outputs = [log_p, log_w, common]
        if self.shared_Z:
            self._free_energy = engine.function([v], rbm.free_energy(v), mode=mode)
        self._score = engine.function([u, v], outputs, mode=mode, trust_input=True, on_unused_input="ignore")
        self._spread = sharding.Sharding(1 if self.shared_Z else self.chunk, mode)

    def _exact_states(self, states: np.ndarray) -> Any:
        if not self.density.visible.is_binary:
            raise ValueError(f"only states of binary visible units can be enumerated, not of {self.density.visible}")
        states = np.asarray(states)
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

    def _machine(self, u: Any) -> Any:
        """The density of each row of a chunk; one row for a static machine if that is enough."""
        if self._model.bias_weights:
            return as_rbm(self._model.conditional(u))
        n = 1 if self.shared_Z else self.chunk
        return as_rbm(map_biases(self.density, lambda b: pt.repeat(b[None], n, axis=0)))

    def chunks(
        self, pieces: Sequence[np.ndarray], *, seed: int = 0, frames: int | None = None, done: int = 0
    ) -> Iterator[Chunk]:
        """Score pieces some frames at a time, in the same way in whatever order and however often interrupted.

        Parameters
        ----------
        pieces, seed, frames
            As for a call.
        done : int
            How many of the frames to be scored are known already: whole chunks among them are left out.
        """
        check_pieces(pieces, self.density)
        if frames is not None and frames < 1:
            raise ValueError(f"frames must be at least 1, or None for all, got {frames}")
        chosen = chosen_frames(pieces, seed, frames)
        v = np.concatenate(pieces)[chosen].astype(self.dtype)
        n = len(chosen)
        if self.shared_Z:
            yield self._score_static(v, seed)
            return
        for rows, u in self._history.blocks(pieces, self.chunk, chosen):
            if rows[-1] < done:
                continue
            filled = np.resize(np.arange(len(rows)), self.chunk)  # the last chunk is filled up by repetition
            log_p, log_w, common = self._anneal(u[filled], v[rows[filled]], seed, rows[0] // self.chunk)
            if self.method == "exact":
                values = np.stack([log_p, np.zeros(self.chunk), np.ones(self.chunk)])
            else:
                # each chunk has its own stream, so that it does not matter which were scored before
                resampling = np.random.default_rng((seed, rows[0]))
                sign = 1.0 if self.method == "ais" else -1.0
                values = _log_mean(sign * log_w, resampling)
                values[0] = log_p - sign * values[0]
                values[1] += common
            yield Chunk(rows, values[:, : len(rows)], n)

    def _anneal(self, u: np.ndarray, v: np.ndarray, seed: int, stream: int) -> list[np.ndarray]:
        self._rng.key.set_value(random.key_from_seed(seed, stream))
        with self._spread.replicated([*self.variables, self._rng.key, self._rng.draw]):
            return [engine.to_numpy(x) for x in self._score(*(self._spread.shard(x) for x in (u, v)))]

    def _score_static(self, v: np.ndarray, seed: int) -> Chunk:
        """All frames with the one Z of a static machine, whose base is fitted to some of them."""
        some = v[np.random.default_rng(seed).choice(len(v), self.chunk, replace=len(v) < self.chunk)]
        log_Z_base, log_w, _ = self._anneal(np.zeros((self.chunk, 0), self.dtype), some, seed, 0)
        log_mean, variance, size = _log_mean(log_w, np.random.default_rng(seed))[:, 0]
        free = np.concatenate(
            [
                engine.to_numpy(self._free_energy(part))
                for part in np.split(_filled(v, self.chunk), -(-len(v) // self.chunk))
            ]
        )[: len(v)]
        ones = np.ones(len(v))
        return Chunk(
            np.arange(len(v)), np.stack([-free - log_Z_base[0] - log_mean, variance * ones, size * ones]), len(v)
        )

    def result(self, pieces: Sequence[np.ndarray], values: np.ndarray, seed: int, frames: int | None) -> LogLikelihood:
        """Put the values of all chunks, shape (3, frames), together."""
        chosen = chosen_frames(pieces, seed, frames)
        piece_of = np.repeat(np.arange(len(pieces)), [len(p) for p in pieces])[chosen]
        parts = [np.flatnonzero(piece_of == i) for i in range(len(pieces))]
        log_p, variances = ([row[p] for p in parts] for row in values[:2])
        return LogLikelihood(log_p, variances, values[2], self.settings, self.n_chains, self.shared_Z)

    def __call__(
        self,
        pieces: Sequence[np.ndarray],
        *,
        seed: int = 0,
        frames: int | None = None,
        progress: Progress = silent,
    ) -> LogLikelihood:
        """Score pieces.

        Parameters
        ----------
        pieces : sequence of arrays (T, n_visible)
            Every frame counts, the first included; each with its true history.
        seed : int
            Of the sampling.
        frames : int or None
            Score that many frames, drawn without replacement, and leave the others out of the result: a cheaper
            estimate of the mean. None scores all.
        progress : callable
            Called with the method as its stage, the frames done and the frames in all.

        Raises
        ------
        ValueError
            If there are no pieces, one has no frame or another width than the model.
        """
        parts = []
        for chunk in self.chunks(pieces, seed=seed, frames=frames):
            parts.append(chunk.values)
            progress(self.method, int(chunk.rows[-1]) + 1, chunk.total, None)
        return self.result(pieces, np.concatenate(parts, axis=1), seed, frames)


def chosen_frames(pieces: Sequence[np.ndarray], seed: int, frames: int | None) -> np.ndarray:
    """Which frames, counted through all pieces, an :class:`Evaluator` scores that is asked for so many."""
    n = sum(len(p) for p in pieces)
    if frames is None or frames >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, frames, replace=False))


def _filled(v: np.ndarray, size: int) -> np.ndarray:
    """Rows repeated at the end until their number is a multiple of `size`."""
    return v[np.resize(np.arange(len(v)), -(-len(v) // size) * size)]


def log_likelihood(
    model: SequenceModel | FrameDensity,
    pieces: Sequence[np.ndarray] | np.ndarray,
    *,
    method: str | None = None,
    n_chains: int = 100,
    n_temperatures: int = 1000,
    schedule: str | np.ndarray = "linear",
    exact_states: np.ndarray | None = None,
    seed: int = 0,
    progress: Progress = silent,
    mode: Any = None,
) -> LogLikelihood:
    """Log-likelihood of pieces under a model, every frame given its true past.

    Parameters
    ----------
    model : SequenceModel or FrameDensity
        The frames of a density alone are independent of each other.
    pieces : sequence of arrays (T, n_visible), or one such array
    method : {"ais", "raise", "exact"} or None
        None stands for AIS if Z has to be estimated, and a normalized density is scored exactly. AIS tends to overstate
        the log-likelihood, RAISE to understate it; ``"exact"`` enumerates, up to 25 units.
    n_chains, n_temperatures : int
        Of AIS and RAISE; the defaults are those of the published figures.
    schedule : {"linear", "geometric", "sigmoid"} or array
        The inverse temperatures; see :func:`rnnrbm.scoring.partition.annealing_schedule`.
    exact_states : array of shape (S, n_visible) or None
        States whose part of Z is summed exactly; see :class:`Evaluator`. ``frequent_states(training_pieces)`` is a
        good choice; None is the published protocol.
    seed : int
        Of the sampling.
    progress : callable
        Called with the method as its stage, the frames done and the frames in all.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Returns
    -------
    LogLikelihood
        ``.mean`` in nats per frame, ``.standard_error``, ``.per_piece``, ``.frames``.

    Raises
    ------
    ValueError
        If a setting is impossible, a piece does not fit the model, or it is too large to be enumerated.

    Warns
    -----
    UserWarning
        If the weights of more than one frame in a hundred have a poor effective sample size.
    """
    if isinstance(pieces, np.ndarray):
        pieces = [pieces] if pieces.ndim == 2 else list(pieces)
    evaluate = Evaluator(
        model,
        method=method,
        n_chains=n_chains,
        n_temperatures=n_temperatures,
        schedule=schedule,
        exact_states=exact_states,
        mode=mode,
    )
    scored = evaluate(pieces, seed=seed, progress=progress)
    if diagnostics := scored.diagnostics():
        warnings.warn(diagnostics, stacklevel=2)
    return scored
