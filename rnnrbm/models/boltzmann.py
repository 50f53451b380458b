"""The Boltzmann machine: binary units, any two of which may have a weight.

    E(s) = - sum over i < j of w_ij s_i s_j - sum over i of b_i s_i

Training lowers the energy of states that the data lead to and raises that of states the machine comes to by itself. In
the positive phase the visible units are clamped to a frame and the hidden ones settle. The negative phase goes on from
there with all units free. The gradient for w_ij is the difference of the correlations of s_i and s_j in the two phases.

Sources: Ackley, Hinton & Sejnowski, "A learning algorithm for Boltzmann machines", Cognitive Science 1985; with a
negative phase of a few sweeps from the data it is contrastive divergence (Hinton 2002). How units settle is in
:mod:`rnnrbm.models.settling`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable
from scipy.special import logsumexp

from rnnrbm import model_file
from rnnrbm.arguments import number, truth, whole_number
from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng, Seed, generator
from rnnrbm.batch import Batch, Loss, masked_mean
from rnnrbm.densities import check_biases
from rnnrbm.display import model_html
from rnnrbm.models.rows import map_rows, single_frames
from rnnrbm.models.settling import as_frames, as_states, energy, random_states, recalled_share, settle
from rnnrbm.recurrence import flatten
from rnnrbm.units import Bernoulli

__all__ = ["BoltzmannMachine", "settle"]

#: Most units whose states are enumerated.
MOST_ENUMERATED = 20
#: Temperature at which samples begin. Between 2 and 8 it made hardly a difference to samples of small machines that can
#: be enumerated; it matters that the last half of the sweeps have temperature 1.
HOT = 4.0


class BoltzmannMachine(NamedTuple):
    """Boltzmann machine. Its first units are the visible ones. Frames are 0 and 1, whatever the values of its units.

    Attributes
    ----------
    U : TensorVariable, shape (n, n)
        Weights w_ij above the diagonal; all else in it is ignored. There are n_visible + n_hidden = n units.
    b : TensorVariable or None, shape (n,)
        Biases; None for no biases.
    n_visible : int
    signed : bool
        Whether units are -1 or 1, not 0 or 1.
    threshold : bool
        Whether units are deterministic: on if their field is 0 or more. Otherwise they are sampled.
    restricted : bool
        Whether there are weights between visible and hidden units only, as in an RBM.
    negative : bool
        Whether there is a negative phase. Without it weights grow without end.
    n_sweeps, n_positive : int
        Sweeps of the negative phase, and of the hidden units in the positive phase.
    """

    U: TensorVariable
    b: TensorVariable | None
    n_visible: int
    signed: bool = False
    threshold: bool = False
    restricted: bool = False
    negative: bool = True
    n_sweeps: int = 3
    n_positive: int = 2

    @classmethod
    def init(
        cls,
        n_visible: int,
        n_hidden: int = 64,
        *,
        seed: Seed,
        signed: bool = False,
        threshold: bool = False,
        restricted: bool = False,
        n_sweeps: int = 3,
        n_positive: int = 2,
        bias: bool = True,
        negative: bool = True,
        b_v: np.ndarray | float = 0.0,
        scale: float = 0.01,
        dtype: str | None = None,
    ) -> BoltzmannMachine:
        """Make a machine whose parameters are shared variables, named after the fields.

        Parameters
        ----------
        n_visible : int
            At least 1.
        n_hidden : int
            At least 0; at least 1 if the machine is restricted, which has no weights otherwise.
        seed : int or numpy.random.Generator
        signed, threshold, restricted, negative : bool
            See the class.
        n_sweeps, n_positive : int
            See the class; both at least 1. The visible units of a restricted machine leave its hidden ones independent,
            so that one sweep of these is enough.
        bias : bool
            Whether units have biases.
        b_v : array of shape (n_visible,) or float
            Initial log odds of the visible units, which their biases are set to.
        scale : float
            Standard deviation of the initial weights; 0 for weights of 0.
        dtype : str or None
            None: PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a number is out of range, or `b_v` has another shape, or is given without biases.
        TypeError
            If a number is no number, or an option neither True nor False.
        """
        rng = generator(seed)
        n_visible = whole_number("n_visible", n_visible, 1)
        n_hidden = whole_number("n_hidden", n_hidden, 1 if restricted else 0)
        n = n_visible + n_hidden
        scale = number("scale", scale, "a standard deviation, at least 0", least=0.0)
        bias, signed = truth("bias", bias), truth("signed", signed)
        log_odds = check_biases(b_v, n_visible)
        if not bias and log_odds.any():
            raise ValueError("b_v is given, but bias=False: leave out one of them")
        # the log odds of a signed unit are twice its field
        biases = np.concatenate([log_odds / (2 if signed else 1), np.zeros(n_hidden)])
        return cls(
            engine.shared(np.triu(rng.normal(0.0, scale, (n, n)), 1) if scale else np.zeros((n, n)), "U", dtype),
            engine.shared(biases, "b", dtype) if bias else None,
            n_visible,
            signed,
            truth("threshold", threshold),
            truth("restricted", restricted),
            truth("negative", negative),
            whole_number("n_sweeps", n_sweeps, 1),
            whole_number("n_positive", n_positive, 1),
        )

    @property
    def score_name(self) -> str:
        return "share of visible units recalled from 10 % flipped (0.90 are right before)"

    @property
    def usual_k(self) -> int:
        """Sweeps of a sample: half of them anneal."""
        return 100

    @property
    def visible(self) -> Bernoulli:
        return Bernoulli()

    @property
    def n_units(self) -> int:
        n: int = self.U.type.shape[0]
        return n

    @property
    def hidden(self) -> np.ndarray:
        """Indices of the hidden units, (n_hidden,)."""
        return np.arange(self.n_visible, self.n_units)

    @property
    def params(self) -> list[Any]:
        return [self.U] if self.b is None else [self.U, self.b]

    def save(self, path: model_file.PathName) -> None:
        """Write the machine to a file, which :func:`rnnrbm.load_model` reads back."""
        model_file.save(path, self)

    def _repr_html_(self) -> str:
        return model_html(self)

    def weights(self) -> TensorVariable:
        """Weights between any two units, (n, n): symmetric, with a diagonal of 0."""
        unit = pt.arange(self.n_units, dtype="int32")
        i, j = unit[:, None], unit[None, :]
        has = pt.lt(i, self.n_visible) & pt.ge(j, self.n_visible) if self.restricted else pt.lt(i, j)
        upper = pt.switch(has, self.U, np.asarray(0, self.U.dtype))
        return upper + upper.T

    def energy(self, s: TensorVariable) -> TensorVariable:
        """E(s) of states (..., n) in the values of the units, nats: (...)."""
        return energy(self, s)

    def positive_phase(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Clamp frames (R, n_visible) of 0 and 1, and let the hidden units settle: states (R, n)."""
        s = as_states(self, v)
        if len(self.hidden) == 0:
            return s, rng
        h, rng = random_states(self, pt.zeros((*engine.leading(v), len(self.hidden)), v.dtype), rng)
        s = pt.specify_shape(pt.concatenate([s, h], axis=1), (v.type.shape[0], self.n_units))
        return settle(self, s, rng, self.n_positive, self.hidden)

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """Mean energy after the positive phase minus mean energy after the negative phase.

        Both states are held constant. The gradient is therefore the correlations of the negative phase minus those of
        the positive phase; the value itself has no meaning. The metric ``changed`` is the share of visible units that
        differ after the negative phase.
        """
        positive, rng = self.positive_phase(flatten(batch.v), rng)
        positive = disconnected_grad(positive)
        if not self.negative:
            return Loss(masked_mean(self.energy(positive), batch.mask), rng.updates())
        negative, rng = settle(self, positive, rng, self.n_sweeps)
        negative = disconnected_grad(negative)
        cost = masked_mean(self.energy(positive) - self.energy(negative), batch.mask)
        differ = pt.neq(positive, negative)[:, : self.n_visible].astype(cost.dtype)
        changed = masked_mean(differ.mean(axis=1, acc_dtype=cost.dtype), batch.mask)
        return Loss(cost, rng.updates(), {"changed": changed})

    def score(self, pieces: Sequence[np.ndarray], mode: Any = None) -> float:
        """Return the share of visible units that are right after a tenth of them were flipped and the machine settled.

        See :func:`rnnrbm.models.settling.recalled_share` and :meth:`reconstruct`.
        """
        return recalled_share(self, single_frames(self, pieces), mode)

    def reconstruct(self, frames: np.ndarray, *, seed: Seed, mode: Any = None) -> np.ndarray:
        """Return what frames (n, n_visible) become: the hidden units settle, then all units for `n_sweeps` sweeps."""

        def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            s, rng = settle(self, *self.positive_phase(v, rng), self.n_sweeps)
            return as_frames(self, s[:, : self.n_visible]), rng

        return map_rows(build, single_frames(self, frames), dtype=self.U.dtype, seed=seed, mode=mode)

    def sample(self, n_samples: int, *, k: int | None = None, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return samples (n_samples, n_visible) of 0 and 1, by simulated annealing from random states.

        Of `k` sweeps, the first half have temperatures that fall from 4 to 1 by equal factors, and the rest have
        temperature 1.
        """
        n_samples, k = whole_number("n_samples", n_samples, 1), whole_number("k", self.usual_k if k is None else k, 1)
        falling = k // 2
        temperatures = np.concatenate([np.geomspace(HOT, 1.0, falling, endpoint=False), np.ones(k - falling)])

        def build(like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            s, rng = random_states(self, like, rng)
            s, rng = settle(self, s, rng, k, temperature=temperatures)
            return as_frames(self, s[:, : self.n_visible]), rng

        rows = np.zeros((n_samples, self.n_units), self.U.dtype)
        return map_rows(build, rows, dtype=self.U.dtype, seed=seed, mode=mode)

    def filters(self) -> np.ndarray | None:
        """Return the weights between visible and hidden units (n_visible, n_hidden); None without hidden units."""
        return engine.to_numpy(self.U)[: self.n_visible, self.n_visible :] if len(self.hidden) else None

    def log_Z(self) -> float:
        """Return the log of the sum of exp(-E(s)) over all states, nats, by enumeration.

        Raises
        ------
        ValueError
            If there are more than 20 units, or they are threshold units, which have no distribution.
        """
        return float(logsumexp(self._log_weights()))

    def log_likelihood(self, frames: np.ndarray) -> np.ndarray:
        """Return log p(v) of frames (n, n_visible), nats, by enumeration: an array (n,).

        Raises
        ------
        ValueError
            As :meth:`log_Z`, or if a frame is impossible.
        """
        log_weights = self._log_weights()
        v = single_frames(self, frames).astype(np.int64)
        code = v @ (1 << np.arange(self.n_visible)[::-1])
        return log_weights[code] - logsumexp(log_weights)

    def _log_weights(self) -> np.ndarray:
        """Log of the sum of exp(-E) over hidden states, for each visible state in binary order: (2**n_visible,)."""
        if self.threshold:
            raise ValueError("units of this machine are deterministic, so its states have no probabilities")
        if self.n_units > MOST_ENUMERATED:
            raise ValueError(
                f"the machine has {self.n_units} units, and states are enumerated for at most {MOST_ENUMERATED}; "
                "use score(pieces) to compare larger machines"
            )
        blocks = [logsumexp(block.reshape(-1, 2 ** len(self.hidden)), axis=1) for block in self._minus_energies()]
        return np.concatenate(blocks)

    def _minus_energies(self) -> Iterator[np.ndarray]:
        """Yield -E of all states in binary order, in blocks that hold all hidden states of some visible ones."""
        n = self.n_units
        upper = np.triu(engine.to_numpy(self.U).astype(float), 1)
        if self.restricted:
            upper[self.n_visible :] = upper[:, : self.n_visible] = 0.0
        b = np.zeros(n) if self.b is None else engine.to_numpy(self.b).astype(float)
        size = max(2**14, 2 ** len(self.hidden))
        for first in range(0, 2**n, size):
            codes = np.arange(first, min(first + size, 2**n))
            on = (codes[:, None] >> np.arange(n)[::-1] & 1).astype(float)
            s = 2 * on - 1 if self.signed else on
            yield ((s @ upper) * s).sum(axis=1) + s @ b
