"""The deep belief net: its top two layers are an RBM, and below it each layer is sampled from the next one up.

    p(v, h_1, .., h_L) = p(v | h_1) p(h_1 | h_2) .. p(h_(L-2) | h_(L-1)) p_top(h_(L-1), h_L)

RBM l has the layers l - 1 and l, with the frame as layer 0. Its visible half, p(h_(l-1) | h_l), generates; its hidden
half, q(h_l | h_(l-1)), infers layer l from data. Only the top RBM is a distribution of both of its layers. Since q is
not the posterior of the net, the log-likelihood has a lower bound:

    log p(v) >= E_q[ sum over l < L of log p(h_(l-1) | h_l) - F_top(h_(L-1)) - log q ] - log Z_top

Sources: Hinton, Osindero & Teh, "A fast learning algorithm for deep belief nets", Neural Computation 2006.
Salakhutdinov & Murray, "On the quantitative analysis of deep belief networks", ICML 2008, for the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm import model_file
from rnnrbm.arguments import layer_sizes, whole_number
from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng, Seed, as_seed, generator
from rnnrbm.batch import Batch, Loss
from rnnrbm.densities import Independent, set_fitted_bias
from rnnrbm.display import model_html
from rnnrbm.models.dbn_loss import stack_loss, up_down_loss, usual_rate
from rnnrbm.models.rows import map_rows, row_mapper, single_frames
from rnnrbm.rbm import RBM, gibbs
from rnnrbm.samplers import anneal, can_anneal
from rnnrbm.scoring.likelihood import Evaluator, usual_annealing
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.state_encoder import check_arrays
from rnnrbm.units import Bernoulli, Unit

__all__ = ["DBN", "Recognition"]

#: Persistent chains of each RBM, and images of a batch.
N_CHAINS = 100
#: Learning rate of up-down, relative to that of the stack.
RATE_OF_UP_DOWN = 0.5
#: Chains, temperatures, and frames at most of the bound that :meth:`DBN.score` computes.
SCORE_CHAINS, SCORE_TEMPERATURES, SCORE_FRAMES = 100, 1000, 2000
#: Most units of the smaller layer of a top RBM that it enumerates instead.
MOST_ENUMERATED = 10


class Recognition(NamedTuple):
    """Weights of inference between two layers: q(h | v) has the activations s(v) W + b_h.

    Attributes
    ----------
    W : TensorVariable, shape (n_visible, n_hidden)
    b_h : TensorVariable, shape (n_hidden,)
    """

    W: TensorVariable
    b_h: TensorVariable


class DBN(NamedTuple):
    """Deep belief net, with binary hidden units.

    One call of ``fit`` trains all its RBMs at the same time, each on samples of the layer below. To train one layer
    after the other, which is the recipe of 2006, fit its RBMs. They share their parameters with the net::

        x = images
        for layer, rbm in enumerate(dbn.rbms, start=1):
            list(fit(rbm, x))
            x = dbn.infer(images, layer, seed=0)

    Either way, up-down then refines a copy of the net, which has weights of its own for inference (:meth:`untied`)::

        refined = dbn.untied()
        list(fit(refined, images))

    Attributes
    ----------
    rbms : tuple of RBM
        From the frame up; the hidden layer of one is the visible layer of the next.
    chains : tuple of shared variables, each (n_chains, units of the layer below)
        Persistent chains of each RBM: state of training, and no parameters.
    offsets : tuple of shared variables, each (units,)
        Running mean of each layer but the last, and of the last: offsets of centring.
    n_steps : shared variable, scalar
        Steps of training so far.
    recognition : tuple of Recognition
        Weights of inference of each RBM but the top one; empty if they are those of the RBMs.
    """

    rbms: tuple[RBM, ...]
    chains: tuple[Any, ...]
    offsets: tuple[Any, ...]
    n_steps: Any
    recognition: tuple[Recognition, ...] = ()

    @classmethod
    def init(
        cls,
        n_visible: int,
        layers: Sequence[int] = (256, 256),
        *,
        seed: Seed,
        visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
        b_v: np.ndarray | float = 0.0,
        scale: float | None = None,
        dtype: str | None = None,
    ) -> DBN:
        """Make a net whose parameters are shared variables: ``W_1``, ``b_v_1``, ``b_h_1`` of the lowest RBM, and so on.

        Parameters
        ----------
        n_visible : int
            At least 1.
        layers : sequence of int
            Hidden units of each layer, from the frame up, each at least 1. With one layer the net is an RBM.
        seed : int or numpy.random.Generator
        visible : Unit
        b_v : array of shape (n_visible,) or float
            Initial visible biases.
        scale : float or None
            Standard deviation of the initial weights; None stands for that of :meth:`rnnrbm.rbm.RBM.init`.
        dtype : str or None
            None: PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a size is below 1, there are no layers, or `b_v` has another shape.
        TypeError
            If a size is no whole number, or `visible` no unit type.
        """
        rng = generator(seed)
        sizes = [whole_number("n_visible", n_visible, 1), *layer_sizes(layers)]
        units = [visible, *(Bernoulli() for _ in sizes[2:])]
        biases = [b_v, *(0.0 for _ in sizes[2:])]
        return cls.stack(
            [
                RBM.init(below, above, seed=rng, visible=unit, b_v=bias, scale=scale, dtype=dtype)
                for below, above, unit, bias in zip(sizes[:-1], sizes[1:], units, biases, strict=True)
            ]
        )

    @classmethod
    def stack(cls, rbms: Sequence[RBM]) -> DBN:
        """Make a net of RBMs, from the frame up, such as trained ones. It has copies of their parameters.

        Raises
        ------
        ValueError
            If there are none, one does not fit the one below, or hidden units are not binary.
        TypeError
            If one is no RBM, or its parameters are no shared variables.
        """
        return _of_parts([_copied(rbm, i) for i, rbm in enumerate(_checked_stack(rbms), start=1)])

    def untied(self) -> DBN:
        """Return a copy of the net with weights of its own for inference, which begin as those that generate.

        The copy trains by up-down. A net of one layer has nothing to untie.

        Raises
        ------
        ValueError
            If the net has one layer only.
        """
        if len(self.rbms) < 2:
            raise ValueError("the net has one layer, an RBM, whose inference is exact; up-down needs two or more")
        inference = self.recognition or [Recognition(rbm.W, rbm.b_h) for rbm in self.rbms[:-1]]
        return DBN(
            tuple(_copied(rbm, i) for i, rbm in enumerate(self.rbms, start=1)),
            tuple(_copy(x, x.name) for x in self.chains),
            tuple(_copy(x, x.name) for x in self.offsets),
            _copy(self.n_steps, self.n_steps.name),
            tuple(
                Recognition(_copy(W, f"R_{i}"), _copy(b_h, f"c_{i}")) for i, (W, b_h) in enumerate(inference, start=1)
            ),
        )

    @property
    def score_name(self) -> str:
        return "lower bound of the log-likelihood, nats per frame"

    @property
    def usual_k(self) -> int:
        """Gibbs steps of the top RBM for a sample, which pass through as many temperatures."""
        return 1000

    @property
    def usual_settings(self) -> dict[str, Any]:
        """Settings of training that suit the net: those of the library's RBMs of images, see docs/rbm.md.

        Real numbers are trained by Adam.
        """
        usual: dict[str, Any] = {"batch_size": N_CHAINS, "epochs": 100, "averaging": 0.999}
        if self.visible.is_discrete:
            rate = usual_rate(self.rbms[0]) * (RATE_OF_UP_DOWN if self.recognition else 1.0)
            usual |= {"optimiser": "momentum", "learning_rate": rate, "clip": 0.0}
        return usual

    @property
    def visible(self) -> Unit:
        return self.rbms[0].visible

    @property
    def n_visible(self) -> int:
        n: int = self.rbms[0].W.type.shape[0]
        return n

    @property
    def layers(self) -> tuple[int, ...]:
        """Hidden units of each layer, from the frame up."""
        return tuple(rbm.W.type.shape[1] for rbm in self.rbms)

    @property
    def params(self) -> list[Any]:
        if not self.recognition:
            return [tensor for rbm in self.rbms for tensor in rbm.tensors()]
        # what generates, the top RBM, and what infers; hidden biases of the lower RBMs have no more use
        generate = [tensor for rbm in self.rbms[:-1] for tensor in rbm.tensors() if tensor is not rbm.b_h]
        return [*generate, *self.rbms[-1].tensors(), *(tensor for own in self.recognition for tensor in own)]

    @property
    def _dtype(self) -> str:
        name: str = self.rbms[0].W.dtype
        return name

    def save(self, path: model_file.PathName) -> None:
        """Write the net to a file, which :func:`rnnrbm.load_model` reads back."""
        model_file.save(path, self)

    def _repr_html_(self) -> str:
        return model_html(self)

    def prepare(self, pieces: Sequence[np.ndarray]) -> None:
        """Set visible biases that are all 0 to those of independent units that fit the training set."""
        set_fitted_bias(self.rbms[0].b_v, self.visible, pieces)

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """Build the loss of the stack, or that of up-down if the net has weights of inference.

        See :mod:`rnnrbm.models.dbn_loss`.
        """
        return up_down_loss(self, batch, rng) if self.recognition else stack_loss(self, batch, rng)

    def encode(self, frames: np.ndarray, layer: int | None = None, mode: Any = None) -> np.ndarray:
        """Return features of frames (n, n_visible): probabilities of the units of a hidden layer (n, units).

        Parameters
        ----------
        frames : array of shape (n, n_visible)
        layer : int or None
            From 1, the lowest; None stands for the top one. Each layer reads the probabilities of the one below.
        mode : str or None
            See :func:`rnnrbm.backend.engine.function`.

        Raises
        ------
        ValueError
            If there is no such layer, or a frame does not suit the net.
        """
        n = len(self.rbms) if layer is None else self._layer(layer)
        return self._map(lambda v, rng: (self._means(v, n), rng), frames, mode=mode)

    def infer(self, frames: np.ndarray, layer: int | None = None, *, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Sample the units of a hidden layer given frames (n, n_visible): an array (n, units) of 0 and 1, uint8.

        It is the data of the RBM above that layer. Parameters are those of :meth:`encode`, and a seed.
        """
        n = len(self.rbms) if layer is None else self._layer(layer)

        def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            for i in range(n):
                v, rng = self.rbms[i].hidden.sample(self._upwards(i, v), rng)
            return v, rng

        return self._map(build, frames, seed=seed, mode=mode).astype(np.uint8)

    def reconstruct(self, frames: np.ndarray, *, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return the expected frames after frames (n, n_visible) went up to the top layer and down again.

        Each layer passes on its probabilities, so nothing is random and `seed` has no use.
        """

        def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            h = self._means(v, len(self.rbms))
            for rbm in reversed(self.rbms):
                h = rbm.visible.mean(rbm.visible_activation(h))
            return h, rng

        return self._map(build, frames, seed=seed, mode=mode)

    def sample(self, n_samples: int, *, k: int | None = None, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return samples (n_samples, n_visible): `k` Gibbs steps of the top RBM, then one pass down.

        The chains of the top RBM start from noise and pass through rising inverse temperatures
        (:func:`rnnrbm.samplers.anneal`). With one layer and visible units that are not binary, they stay at
        temperature 1.
        """
        n_samples, k = whole_number("n_samples", n_samples, 1), whole_number("k", self.usual_k if k is None else k, 1)
        top = self.rbms[-1]

        def build(like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            if can_anneal(top):
                h, rng = anneal(top, like, rng, k)
            else:
                h, rng = gibbs(top, *top.visible.noise(like, rng), k)
            for rbm in reversed(self.rbms[:-1]):
                h, rng = rbm.visible.sample(rbm.visible_activation(h), rng)
            return h, rng

        rows = np.zeros((n_samples, top.W.type.shape[0]), self._dtype)
        return map_rows(build, rows, dtype=self._dtype, seed=seed, mode=mode)

    def filters(self, layer: int = 1) -> np.ndarray:
        """Return what each unit of a hidden layer looks like in a frame: an array (n_visible, units).

        Of the first layer these are its weights. A unit of a higher layer is the sum of the units below, weighted by
        its weights: W_1 W_2 (Erhan, Bengio, Courville & Vincent, "Visualizing higher-layer features of a deep network",
        2009).

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        product = engine.to_numpy(self.rbms[0].W)
        for rbm in self.rbms[1 : self._layer(layer)]:
            product = product @ engine.to_numpy(rbm.W)
        return product

    def bound(
        self,
        frames: Any,
        *,
        n_samples: int = 10,
        method: str | None = None,
        n_chains: int | None = None,
        n_temperatures: int | None = None,
        schedule: str | np.ndarray | None = None,
        seed: Seed = 0,
        mode: Any = None,
    ) -> LogLikelihood:
        """Return the lower bound of the log-likelihood of each frame, nats; with one layer it is the log-likelihood.

        The expectation over q is a mean over samples of the hidden units. AIS estimates log Z of the top RBM, which it
        tends to underestimate.

        Parameters
        ----------
        frames : array of shape (n, n_visible), or a sequence of pieces
        n_samples : int
            Samples of the hidden units for each frame.
        method, n_chains, n_temperatures, schedule
            How Z of the top RBM is computed; see :func:`rnnrbm.scoring.likelihood.log_likelihood`.
        seed : int or numpy.random.Generator
        mode : str or None
            See :func:`rnnrbm.backend.engine.function`.

        Returns
        -------
        LogLikelihood
            Its variances are those of log Z, and its method is ``"bound"``. Its ``diagnostics()`` say whether log Z is
            reliable.

        Raises
        ------
        ValueError
            If a setting is impossible, a frame does not suit the net, or the top RBM is too large to enumerate.
        """
        n_samples, seed = whole_number("n_samples", n_samples, 1), as_seed(seed)
        pieces = check_arrays(frames, self.n_visible, self.visible, dtype=self._dtype, name="frames")
        v = np.concatenate(pieces)
        top, n_samples = self.rbms[-1], n_samples if len(self.rbms) > 1 else 1
        infer = row_mapper(self._inferred, len(v), self.n_visible, dtype=self._dtype, seed=seed, mode=mode)
        states, terms = [], np.zeros((n_samples, len(v)))
        for i in range(n_samples if len(self.rbms) > 1 else 0):
            found = infer(v)
            states.append(found[:, :-1].astype(np.uint8))
            terms[i] = found[:, -1]
        annealing = usual_annealing(top, method, n_chains=n_chains, n_temperatures=n_temperatures, schedule=schedule)
        of_top = Evaluator(top, method=method, mode=mode, **annealing._asdict())(states or [v], seed=seed)
        values = (np.array(of_top.frames) + terms).mean(axis=0)
        # one Z of all has one error, whatever is averaged over; Z of each has errors of their own
        variances = np.mean(of_top.variances, axis=0) / (1 if of_top.shared_Z else n_samples)
        sizes = of_top.effective_sample_size.reshape(n_samples, -1).min(axis=0)
        ends = np.cumsum([len(piece) for piece in pieces])[:-1]
        words = "lower bound, " + (f"{n_samples} samples of the hidden units, " if states else "")
        return LogLikelihood(
            np.split(values, ends),
            np.split(variances, ends),
            sizes,
            (words if states else "") + of_top.settings,
            of_top.n_chains,
            of_top.shared_Z,
            "bound",
        )

    def score(self, pieces: Sequence[np.ndarray], mode: Any = None) -> float:
        """Return the mean :meth:`bound`, nats per frame, by a short AIS; equal calls give equal numbers.

        It has 100 chains and 1000 temperatures, one sample of the hidden units, and reads at most 2000 frames, evenly
        spaced. A top RBM with a layer of at most 10 units is enumerated.
        """
        v = single_frames(self, pieces)
        some = v[np.linspace(0, len(v) - 1, min(len(v), SCORE_FRAMES)).astype(int)]
        small = min(self.rbms[-1].W.type.shape) <= MOST_ENUMERATED and self.rbms[-1].visible.is_binary
        how: dict[str, Any] = {"n_chains": SCORE_CHAINS, "n_temperatures": SCORE_TEMPERATURES, "schedule": "linear"}
        return self.bound(some, n_samples=1, method="exact" if small else "ais", mode=mode, **how).mean

    def _inferred(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Sample the visible layer of the top RBM given frames, and append the terms of the bound that are not its."""
        terms = pt.zeros_like(v[:, 0])
        for i, rbm in enumerate(self.rbms[:-1]):
            a = self._upwards(i, v)
            h, rng = rbm.hidden.sample(a, rng)
            # -log q of the sample varies less, together with the other terms, than the entropy would without it
            terms += Independent(rbm.visible_activation(h), rbm.visible).log_prob(v)
            terms -= Independent(a, rbm.hidden).log_prob(h)
            v = h
        return pt.concatenate([v, terms[:, None]], axis=1), rng

    def _means(self, v: TensorVariable, n: int) -> TensorVariable:
        for i in range(n):
            v = self.rbms[i].hidden.mean(self._upwards(i, v))
        return v

    def _upwards(self, i: int, v: TensorVariable) -> TensorVariable:
        """Activations of the hidden units of RBM `i` by what infers them."""
        if i >= len(self.recognition):
            return self.rbms[i].hidden_activation(v)
        W, b_h = self.recognition[i]
        return self.rbms[i].visible.statistic(v) @ W + b_h

    def _layer(self, layer: int) -> int:
        return whole_number("layer", layer, 1, len(self.rbms))

    def _map(self, build: Any, frames: Any, *, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        return map_rows(build, single_frames(self, frames), dtype=self._dtype, seed=seed, mode=mode)


def _checked_stack(rbms: Any) -> list[RBM]:
    if isinstance(rbms, RBM) or not isinstance(rbms, Sequence):
        raise TypeError(f"stack takes a list of RBMs, from the frame up, got {type(rbms).__name__}")
    if not rbms:
        raise ValueError("stack takes at least one RBM, got an empty list")
    for i, rbm in enumerate(rbms):
        if not isinstance(rbm, RBM):
            raise TypeError(f"stack takes a list of RBMs, from the frame up, got {type(rbm).__name__} at {i}")
        if not all(hasattr(tensor, "get_value") for tensor in rbm.tensors()):
            raise TypeError(f"parameters of RBM {i} are no shared variables; make it by RBM.init")
        below = rbms[i - 1]
        if not rbm.hidden.is_binary:
            raise ValueError(
                f"hidden units of RBM {i} are {rbm.hidden}; a deep belief net has binary ones, Bernoulli()"
            )
        if i and not rbm.visible.is_binary:
            raise ValueError(
                f"visible units of RBM {i} are {rbm.visible}, and the hidden ones of the RBM below are {below.hidden}; "
                "make it with visible=Bernoulli()"
            )
        if i and rbm.W.type.shape[0] != below.W.type.shape[1]:
            raise ValueError(
                f"RBM {i} has {rbm.W.type.shape[0]} visible units, and the RBM below {below.W.type.shape[1]} hidden "
                "ones; they are the same layer, so the numbers must be equal"
            )
    return list(rbms)


def _copy(x: Any, name: str) -> Any:
    return engine.shared(engine.to_numpy(x), name, x.dtype)


def _copied(rbm: RBM, layer: int) -> RBM:
    """Copy an RBM's parameters into shared variables whose names end in the number of its hidden layer."""
    tensors: list[Any] = rbm.tensors()
    names = ["W", "b_v", "b_h", *(tensor.name for tensor in tensors[3:])]
    return rbm.with_tensors([_copy(t, f"{name}_{layer}") for t, name in zip(tensors, names, strict=True)])


def _of_parts(rbms: Sequence[RBM]) -> DBN:
    """Add the state of training: chains at 0, from which a net that is hardly trained is a step away."""
    dtype = rbms[0].W.dtype
    sizes = [rbms[0].W.type.shape[0], *(rbm.W.type.shape[1] for rbm in rbms)]
    chains = [engine.shared(np.zeros((N_CHAINS, n)), f"chains_{i}", dtype) for i, n in enumerate(sizes[:-1], start=1)]
    offsets = [engine.shared(np.zeros(n), f"offsets_{i}", dtype) for i, n in enumerate(sizes)]
    return DBN(tuple(rbms), tuple(chains), tuple(offsets), engine.shared(0.0, "n_steps", dtype))
