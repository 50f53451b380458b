"""Sampling sequences with compiled functions from and to NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from numpy.typing import ArrayLike
from pytensor.tensor.variable import TensorVariable

from rnnrbm import memory
from rnnrbm.arguments import as_array, number, whole_number
from rnnrbm.backend import engine, random, sharding
from rnnrbm.densities import EnergyDensity, FrameDensity, at_temperature
from rnnrbm.joint_units import partly_given, placeholder
from rnnrbm.networks import final_state
from rnnrbm.pieces import first_frames, frames_at
from rnnrbm.progress import Progress, as_progress
from rnnrbm.rbm import RBM
from rnnrbm.samplers import check_annealing, draw_frame, expected_frame, usual_start
from rnnrbm.sequence import SequenceModel, as_sequence_model
from rnnrbm.state_encoder import StateEncoder, check_pieces
from rnnrbm.static import StaticModel
from rnnrbm.units import Bernoulli, Unit, unit_tensors
from rnnrbm.weights import has_layers

__all__ = ["Sampler", "expect_blocks", "generate", "predict", "reconstruct"]


class _RowRBM(NamedTuple):
    """An RBM for chains on single rows, with a transposed copy of its weights.

    A matrix-vector product needs one memory layout for v W and the other for h W^T; with one copy XLA would transpose W
    at every frame.
    """

    W: Any
    b_v: Any
    b_h: Any
    W_T: Any
    visible: Unit
    hidden: Unit

    @property
    def rbm(self) -> RBM:
        """The same RBM without the second copy of its weights."""
        return RBM(self.W, self.b_v, self.b_h, self.visible, self.hidden)

    @property
    def biases(self) -> tuple[str, ...]:
        return ("b_v", "b_h")

    def tensors(self) -> list[Any]:
        return [self.W, self.b_v, self.b_h, self.W_T]

    def with_tensors(self, tensors: list[Any]) -> _RowRBM:
        W, b_v, b_h, W_T = tensors
        return _RowRBM(W, b_v, b_h, W_T, self.visible, self.hidden)

    def free_energy(self, v: TensorVariable) -> TensorVariable:
        return self.rbm.free_energy(v)

    def pseudo_log_likelihood(self, v: TensorVariable, rng: random.Rng) -> tuple[TensorVariable, random.Rng]:
        return self.rbm.pseudo_log_likelihood(v, rng)

    def at_temperature(self, temperature: float) -> _RowRBM:
        visible, hidden, (by, by_v, by_h) = self.rbm.scales_at(temperature)
        return _RowRBM(self.W * by, self.b_v * by_v, self.b_h * by_h, self.W_T * by.T, visible, hidden)

    def gibbs_step(self, v: TensorVariable, rng: random.Rng) -> tuple[TensorVariable, random.Rng]:
        """As :meth:`rnnrbm.rbm.RBM.gibbs_step`."""
        h, rng = self.hidden.sample(self.visible.statistic(v) @ self.W_T.T + self.b_h, rng)
        return self.visible.sample(self.hidden.statistic(h) @ self.W.T + self.b_v, rng)


#: On a GPU each Gibbs step of few rows takes as long as starting its programs. With at most so many products of a row
#: and a weight in a step, the processor's cores are faster: eight pieces of the 2012 tutorial's model.
FEW_PRODUCTS = 100_000

#: Most frames that a program samples. Longer sequences are sampled in such blocks, so that progress can be reported.
BLOCK = 64


class Sampler:
    """A compiled generator, for repeated use.

    Parameters
    ----------
    model : SequenceModel
    n_frames : int
        Frames of each sequence.
    k : int
        Gibbs steps for each frame.
    init_states : array of shape (S, n_visible) or None
        Frames, such as the :func:`rnnrbm.scoring.likelihood.usable_states` of the training set, from which each frame's
        chain starts, sampled in proportion to their current probability under the model. If a model has narrow
        modes, a chain that starts from the previous frame stays long in one of them. Ignored for a normalized density,
        whose samples are exact.
    temperature : float
        Below 1, probable frames become more probable, and above 1 less; see :func:`rnnrbm.densities.at_temperature`.
    start : {"previous", "noise", "annealed"} or None
        Where each frame's chain starts without `init_states`: from the frame before it, or from noise. With
        ``"annealed"`` it passes from noise through rising inverse temperatures (:func:`rnnrbm.samplers.anneal`). None:
        :func:`rnnrbm.samplers.usual_start`.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    """

    def __init__(
        self,
        model: SequenceModel | FrameDensity,
        n_frames: int,
        *,
        k: int = 50,
        init_states: ArrayLike | None = None,
        temperature: float = 1.0,
        start: str | None = None,
        mode: Any = None,
    ) -> None:
        model = as_sequence_model(model)
        if isinstance(model, StaticModel):
            raise TypeError(f"a {type(model).__name__} samples by itself: model.sample(n_samples, k=..., seed=...)")
        if not isinstance(model, SequenceModel):
            raise TypeError(f"expected a SequenceModel or a frame density such as an RBM, got {type(model).__name__}")
        n_frames, k = whole_number("n_frames", n_frames, 1), whole_number("k", k, 1, 2**31 - 1)
        self.n_visible, self.dtype = model.n_visible, model.dtype
        self._model, self._n_steps, self._k, self._mode = model, n_frames, k, mode
        self._start = _checked_start(start, model.density)
        self._temperature = number("temperature", temperature, "a positive number", above=0.0)
        at_temperature(model.density, self._temperature)  # raises where it cannot be
        self._block = min(n_frames, BLOCK)
        self._init_states = None
        if init_states is not None and not model.normalized:
            if np.ndim(as_array(init_states, "init_states")) != 2:
                raise ValueError(
                    f"init_states must be frames, an array (S, {self.n_visible}), such as "
                    f"rnnrbm.scoring.likelihood.usable_states("
                    f"model, data.train, 5000); got {init_states!r:.60}"
                )
            (states,) = check_pieces([init_states], model.density, name="init_states")
            if start in ("noise", "annealed"):
                raise ValueError(f"start={start!r} and init_states: chains start from one of the two; leave one out")
            self._start = "previous"
            self._init_states = engine.shared(states, "init_states", self.dtype)
        self._rng = random.shared(0)
        self._programs: dict[tuple[int, bool], Any] = {}
        prime = pt.tensor("prime", dtype=self.dtype, shape=(None, self.n_visible))
        self._read = engine.function([prime], final_state(model.network, prime), mode=mode, on_unused_input="ignore")
        self._begin = engine.function([], model.network.u_0, mode=mode)
        self._variables = [*engine.shared_inputs(model.params), self._rng.key, self._rng.draw]
        self._variables += [] if self._init_states is None else [self._init_states]

    def _single(self) -> SequenceModel:
        """The model in the layout that samples one row fastest, since matrix-vector products take most of the time.

        W has both memory layouts (see :class:`_RowRBM`). Unconnected hidden units pad their number to a multiple of 8,
        the vector width of a processor. Samples are the same.
        """
        model, rbm = self._model, self._model.density
        if not isinstance(rbm, RBM) or model.is_tied or not model.bias_weights:
            return model
        if unit_tensors(rbm.visible, rbm.hidden):  # the padding has no units
            return model
        idle = -rbm.W.type.shape[1] % 8 if rbm.hidden == Bernoulli() else 0
        W_uv, W_uh = model.bias_weights
        W, b_h, W_uh = (
            pt.concatenate([x, pt.zeros((*x.type.shape[:-1], idle), self.dtype)], axis=-1) if idle else x
            for x in (rbm.W, rbm.b_h, W_uh)
        )
        return model._replace(density=_RowRBM(W, rbm.b_v, b_h, W.T, rbm.visible, rbm.hidden), bias_weights=(W_uv, W_uh))

    def _program(self, ndim: int, clamps: bool) -> Any:
        """The compiled generator of a block, from states and frames of one sequence (`ndim` 1) or several (2).

        It returns the frames, and what the next block continues from: states, last frame, number of the next draw.
        """
        if (ndim, clamps) not in self._programs:
            model, rows = self._model, (None,) * (ndim - 1)
            params: list[Any] = []
            if ndim == 1:  # a second function computes the layout of the parameters, once a call
                single = self._single()
                params = [pt.tensor(dtype=self.dtype, shape=p.type.shape) for p in single.params]
                model, lay_out = single.with_params(params), engine.function([], single.params, mode=self._mode)
            u = pt.tensor("u", dtype=self.dtype, shape=(*rows, self._model.n_state))
            v = pt.tensor("v", dtype=self.dtype, shape=(*rows, self.n_visible))
            draw = self._rng.draw.type("draw")
            clamp = pt.tensor("clamp", dtype=self.dtype, shape=(self._block, self.n_visible)) if clamps else None
            rng = random.Rng(self._rng.key, draw)
            sequence, u_next, rng = model.generate(
                self._block,
                u,
                v,
                rng=rng,
                k=self._k,
                init_states=self._init_states,
                clamp=clamp,
                temperature=self._temperature,
                start=self._start,
            )
            inputs = [u, v, draw, *([] if clamp is None else [clamp])]
            outputs = [sequence, u_next, sequence[-1], rng.draw]
            # some cells do not use all their parameters in a step
            program = engine.function(
                [*inputs, *params], outputs, mode=self._mode, trust_input=True, on_unused_input="ignore"
            )
            self._programs[ndim, clamps] = program if ndim == 2 else lambda *given: program(*given, *lay_out())
        return self._programs[ndim, clamps]

    def __call__(
        self,
        n_samples: int = 1,
        *,
        seed: random.Seed = 0,
        prime: ArrayLike | None = None,
        clamp: ArrayLike | None = None,
        progress: Progress | bool = False,
    ) -> np.ndarray:
        """Sample sequences.

        Parameters
        ----------
        n_samples : int
            Number of sequences, at least 1.
        seed : int or numpy.random.Generator
            The same seed gives the same sequences.
        prime : numpy.ndarray or None, shape (T, n_visible)
            A beginning that the model reads and continues; it is not part of the result.
        clamp : numpy.ndarray or None, shape (n_frames, n_visible)
            Fixed values of units, NaN for units to sample: for example a voice to harmonize, or a piece with a gap to
            fill. Each frame is sampled given the frames before it and its own fixed values, not those of later frames.
        progress : bool or callable
            True shows a bar. A function is called with the stage "sample", the number of frames done and `n_frames`,
            and with the stage "note" if a few pieces of a small model are sampled on the processor although there is a
            GPU: they are the same, and sooner.

        Returns
        -------
        numpy.ndarray, shape (n_samples, n_frames, n_visible), in the model's type

        Raises
        ------
        ValueError
            If `n_samples` is below 1; if `prime` is empty; if `prime` or `clamp` has another shape or values that the
            units cannot have; or if `clamp` fixes units other than the first in the order of a NADE with a fixed order.
        """
        n_samples = whole_number("n_samples", n_samples, 1)
        memory.check(
            2 * np.dtype(self.dtype).itemsize * n_samples * self._n_steps * self.n_visible,
            f"{n_samples} sequences of {self._n_steps} frames",
            "sample fewer or shorter ones at a time",
        )
        beginning = None if prime is None else check_pieces([prime], self._model.density, name="prime")[0]
        fixed = None if clamp is None else self._checked(clamp)
        report = as_progress(progress)
        report("sample", 0, self._n_steps, None)
        devices = self._devices(n_samples, report)
        n_devices = (len(devices) if devices else sharding.available(self._mode)) if n_samples > 1 else 1
        # padded to a multiple of the devices; the sample of a row does not depend on later rows
        size = n_samples if n_samples < n_devices else -(-n_samples // n_devices) * n_devices
        spread = sharding.Sharding(size, self._mode, devices=devices)
        key = random.key_from_seed(random.as_seed(seed))
        with spread.replicated(self._variables, {self._rng.key: key}):
            u = self._begin()
            last = np.zeros(self.n_visible, self.dtype)
            if beginning is not None:
                u, last = self._read(beginning.astype(self.dtype)), beginning[-1].astype(self.dtype)
            if n_samples > 1:
                u, last = (spread.shard(np.repeat(engine.to_numpy(x)[None], size, axis=0)) for x in (u, last))
            program, blocks, draw = self._program(min(n_samples, 2), fixed is not None), [], self._rng.draw.get_value()
            for begin in range(0, self._n_steps, self._block):
                part = [] if fixed is None else [self._part(fixed, begin)]
                frames, u, last, draw = program(u, last, draw, *part)
                blocks.append(engine.to_numpy(frames))
                report("sample", min(begin + self._block, self._n_steps), self._n_steps, None)
        sequences = np.concatenate(blocks)[: self._n_steps]
        return sequences[None] if n_samples == 1 else sequences.swapaxes(0, 1)[:n_samples]

    def _devices(self, n_samples: int, progress: Progress) -> list[Any] | None:
        """The processor's cores, where they sample faster than a GPU; else None."""
        weights = sum(int(np.prod(p.type.shape)) for p in self._model.density.tensors() if p.ndim > 1)
        if not sharding.has_gpu(self._mode) or n_samples * weights > FEW_PRODUCTS:
            return None
        cores = sharding.cores()
        if cores:
            text = "sampled on the processor, which is faster than a GPU for few pieces of a small model"
            progress("note", 0, 0, {"text": text})
        return cores or None

    def _part(self, clamp: np.ndarray, begin: int) -> np.ndarray:
        """The clamped values of a block; nothing is clamped after the last frame."""
        part = clamp[begin : begin + self._block]
        return np.pad(part, ((0, self._block - len(part)), (0, 0)), constant_values=np.nan)

    def _checked(self, given_clamp: ArrayLike) -> np.ndarray:
        """Return the clamped values, or raise ValueError if they are impossible."""
        clamp, density = as_array(given_clamp, "clamp").astype(self.dtype), self._model.density
        if clamp.shape != (self._n_steps, self.n_visible):
            raise ValueError(f"clamp has shape {clamp.shape}, expected {(self._n_steps, self.n_visible)}")
        given = ~np.isnan(clamp)
        if partly_given(density.visible, given).any():
            raise ValueError("clamp must fix all units of a softmax group or none")
        free = placeholder(density.visible, self.n_visible).astype(self.dtype)
        check_pieces([np.where(given, clamp, free)], density, name="clamp")
        order = getattr(density, "fixed_order", None)
        if order is not None:
            drawn = given[:, list(order)]
            if (drawn[:, 1:] & ~drawn[:, :-1]).any():
                raise ValueError(
                    f"a {type(density).__name__} that samples units in one order can only clamp the first of them; "
                    "train an rnn-nade with orderless = true, or a model with an RBM"
                )
        return clamp


def generate(
    model: SequenceModel | FrameDensity,
    n_frames: int,
    *,
    n_samples: int = 1,
    k: int = 50,
    seed: random.Seed = 0,
    prime: ArrayLike | None = None,
    init_states: ArrayLike | None = None,
    temperature: float = 1.0,
    clamp: ArrayLike | None = None,
    start: str | None = None,
    mode: Any = None,
    progress: Progress | bool = False,
) -> np.ndarray:
    """Sample sequences from a model. For repeated sampling use a :class:`Sampler`, which compiles once.

    Parameters
    ----------
    model : SequenceModel
    n_frames : int
        Frames of each sequence.
    n_samples : int
        Number of sequences.
    k : int
        Gibbs steps for each frame, for an energy.
    seed : int or numpy.random.Generator
        The same seed gives the same sequences.
    prime : array of shape (T, n_visible) or None
        A beginning that the model reads and continues; it is not part of the result.
    init_states : array of shape (S, n_visible) or None
        Frames, such as :func:`rnnrbm.scoring.likelihood.usable_states` of the training set, from which each frame's
        chain starts, sampled in proportion to their current probability under the model. A chain may hardly leave the
        previous frame.
    temperature : float
        Below 1, probable frames become more probable, and above 1 less; see :func:`rnnrbm.densities.at_temperature`.
    clamp : array of shape (n_frames, n_visible) or None
        Fixed values of units, NaN for units to sample.
    start : {"previous", "noise"} or None
        See :class:`Sampler`.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.
    progress : bool or callable
        True shows a bar. A function is called with the stage "sample", the number of frames done and `n_frames`.

    Returns
    -------
    numpy.ndarray, shape (n_samples, n_frames, n_visible)

    Raises
    ------
    ValueError
        If a setting is impossible, or an array does not fit the model.
    """
    return Sampler(model, n_frames, k=k, init_states=init_states, temperature=temperature, start=start, mode=mode)(
        n_samples, seed=seed, prime=prime, clamp=clamp, progress=progress
    )


def predict(
    model: SequenceModel,
    pieces: Sequence[np.ndarray],
    *,
    n_samples: int = 1,
    k: int = 50,
    seed: random.Seed = 0,
    start: str | None = None,
    mode: Any = None,
) -> Iterator[list[np.ndarray]]:
    """Sample every frame of pieces given its true past, for accuracies.

    For an energy, each frame's chain takes `k` Gibbs steps.

    Parameters
    ----------
    model : SequenceModel
    pieces : sequence of arrays (T, n_visible)
    n_samples : int
        Number of samples of each piece.
    k : int
        Gibbs steps, at least 1.
    seed : int or numpy.random.Generator
    start : {"previous", "noise"} or None
        Where the chains start: at the frame before (silence for the first), or at noise. None:
        :func:`rnnrbm.samplers.usual_start`.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Yields
    ------
    list of numpy.ndarray, each (T, n_visible), in the model's type

    Raises
    ------
    ValueError
        If there are no pieces, or one does not fit the model.
    """
    n_samples = whole_number("n_samples", n_samples, 1)
    predictor = _Predictor(model, pieces, k, seed, start, mode)
    for i in range(n_samples):
        frames = np.empty((predictor.n_frames, model.n_visible), model.dtype)
        for rows, u in predictor.blocks():
            frames[rows] = predictor.sample(rows, u, i)
        yield np.split(frames, predictor.first[1:-1])


def expect_blocks(
    model: SequenceModel,
    pieces: Sequence[np.ndarray],
    *,
    n_samples: int = 1,
    k: int = 50,
    seed: random.Seed = 0,
    start: str | None = None,
    mode: Any = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Expect every frame of pieces given its true past, block by block, so that all need not be in memory.

    The expectation is the mean of `n_samples` chains' last conditional means (:func:`rnnrbm.samplers.expected_frame`).
    Parameters and errors are those of :func:`predict`.

    Yields
    ------
    true : numpy.ndarray, shape (n, n_visible)
        Some frames of the pieces. Blocks come in order, and a block may end within a piece.
    expected : numpy.ndarray, shape (n, n_visible)
    """
    n_samples = whole_number("n_samples", n_samples, 1)
    predictor = _Predictor(model, pieces, k, seed, start, mode, expects=True)
    for rows, u in predictor.blocks():
        expected = np.zeros((len(rows), model.n_visible))
        for i in range(n_samples):
            expected += predictor.sample(rows, u, i)
        yield frames_at(predictor.pieces, predictor.first, rows), (expected / n_samples).astype(model.dtype)


def _checked_start(start: str | None, density: FrameDensity) -> str:
    if start not in (None, "previous", "noise", "annealed"):
        raise ValueError(f"start={start!r}: expected 'previous', 'noise', 'annealed' or None")
    if start == "annealed" and isinstance(density, EnergyDensity):
        check_annealing(density)
    return usual_start(density) if start is None else start


def reconstruct(model: Any, frames: np.ndarray, *, seed: random.Seed = 0, mode: Any = None) -> np.ndarray | None:
    """Reconstruct single frames: what a model expects to see again after it has looked at each.

    Of an RBM, it is the mean of the visible units given a sample of the hidden ones. A
    :class:`rnnrbm.static.StaticModel` has a way of its own.

    Parameters
    ----------
    model : RBM, SequenceModel or StaticModel
        Of a sequence model, the density without a past.
    frames : array of shape (n, n_visible)
    seed : int or numpy.random.Generator
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Returns
    -------
    numpy.ndarray or None, shape (n, n_visible)
        None for a density without hidden units that are sampled, such as a NADE.
    """
    if isinstance(model, StaticModel):
        return model.reconstruct(frames, seed=seed, mode=mode)
    density = as_sequence_model(model).density
    if not has_layers(density):
        return None
    (rows,) = check_pieces([frames], density, name="frames")
    v = pt.tensor("v", dtype=density.b_v.dtype, shape=(len(rows), density.b_v.type.shape[0]))
    expected, _ = expected_frame(density, v, random.shared(random.as_seed(seed)))
    return engine.to_numpy(engine.function([v], expected, mode=mode, trust_input=True)(rows.astype(v.dtype)))


_AT_ONCE = 2048  # frames that are predicted together


class _Predictor:
    """Compiled sampling of single frames of pieces given their true past; see :func:`predict`."""

    def __init__(
        self,
        model: SequenceModel,
        pieces: Sequence[np.ndarray],
        k: int,
        seed: random.Seed,
        start: str | None,
        mode: Any,
        *,
        expects: bool = False,
    ) -> None:
        if not isinstance(model, SequenceModel):
            raise TypeError(f"expected a SequenceModel, got {type(model).__name__}")
        k = whole_number("k", k, 1, 2**31 - 1)
        self.pieces = check_pieces(pieces, model.density)
        self.first = first_frames(self.pieces)
        self.n_frames = int(self.first[-1])
        self._seed, self._dtype = random.as_seed(seed), model.dtype
        self._history = StateEncoder(model, mode)
        self._size = min(_AT_ONCE, self.n_frames)
        self._spread = sharding.Sharding(self._size, mode)
        u_t = pt.tensor("u", dtype=model.dtype, shape=(self._size, model.network.n_outputs))
        v_t = pt.tensor("v", dtype=model.dtype, shape=(self._size, model.n_visible))
        self._rng = random.shared(0)
        density, start = model.conditional(u_t), _checked_start(start, model.density)
        sample, rng = draw_frame(density, v_t, rng=self._rng, k=k, start=start)
        if expects:
            sample, _ = expected_frame(density, sample, rng)
        self._step = engine.function([u_t, v_t], sample, mode=mode, trust_input=True, on_unused_input="ignore")
        self._variables = [*engine.shared_inputs(model.params), self._rng.key, self._rng.draw]

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the positions of some frames, and the network's output before them."""
        return self._history.blocks(self.pieces, self._size)

    def sample(self, rows: np.ndarray, u: np.ndarray, i: int) -> np.ndarray:
        """Return sample number i of the frames of a block."""
        filled = np.resize(np.arange(len(rows)), self._size)  # pads the last block
        key = random.key_from_seed(self._seed, rows[0] // self._size + i * (self.n_frames // self._size + 1))
        silent_before = np.isin(rows, self.first)  # outside all pieces there are zeros
        before = frames_at(self.pieces, self.first, np.where(silent_before, -1, rows - 1)).astype(self._dtype)
        with self._spread.replicated(self._variables, {self._rng.key: key}):
            sampled = self._step(self._spread.shard(u[filled]), self._spread.shard(before[filled]))
        return engine.to_numpy(sampled)[: len(rows)]
