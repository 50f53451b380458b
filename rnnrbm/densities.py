"""The interface of frame densities, and the simplest density: independent units.

Interfaces are protocols, not base classes. An :class:`EnergyDensity` (the RBM) has a free energy and a Markov chain; a
:class:`NormalizedDensity` (NADE, independent units) has log-probabilities and exact samples. Each density lists the
fields that are biases, which a network sets for each frame.

To add a density, write a ``NamedTuple`` with the methods of one of the two and add a line to
:data:`rnnrbm.models.registry.SEQUENCE_MODELS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng
from rnnrbm.joint_units import unit_index
from rnnrbm.units import Bernoulli, LearnedGaussian, Unit, unit_tensors, with_unit_tensors

__all__ = [
    "EnergyDensity",
    "FrameDensity",
    "Independent",
    "NormalizedDensity",
    "at_temperature",
    "bias_of",
    "check_biases",
    "check_density",
    "clamped",
    "map_biases",
    "moved_bias",
    "set_fitted_bias",
    "visible_biases",
    "with_biases",
]


#: What a network may set of a density besides its biases: the log standard deviations of its visible units.
LOG_SIGMA = "log_sigma"
#: Greatest logarithm of the factor by which a network changes a standard deviation.
MOST_LOG_FACTOR = 1.5


@runtime_checkable
class FrameDensity(Protocol):
    """A distribution of frames. If its biases have leading axes, it is one distribution for each of their rows."""

    @property
    def visible(self) -> Unit:
        """Unit type of a frame."""

    @property
    def b_v(self) -> TensorVariable:
        """Biases of the visible units, shape (..., n_visible)."""

    @property
    def biases(self) -> tuple[str, ...]:
        """Names of what a network sets; see :func:`bias_of`."""

    def tensors(self) -> list[TensorVariable]:
        """All tensors of the density, in a fixed order."""

    def with_tensors(self, tensors: list[TensorVariable]) -> Self:
        """A copy of the density with other tensors; the inverse of :meth:`tensors`."""

    @property
    def _replace(self) -> Callable[..., Any]:
        """A copy with some fields replaced, as for a ``NamedTuple``."""


@runtime_checkable
class EnergyDensity(FrameDensity, Protocol):
    """An unnormalized density: contrastive divergence, Gibbs chains, annealing."""

    def free_energy(self, v: TensorVariable) -> TensorVariable:
        """-log of the unnormalized probability of each row, nats: (..., n_visible) -> (...)."""

    def gibbs_step(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """One sweep of a Markov chain that leaves the distribution of each row invariant."""

    def pseudo_log_likelihood(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Estimate of the log pseudo-likelihood of binary rows, nats: (R, n_visible) -> (R,)."""


@runtime_checkable
class NormalizedDensity(FrameDensity, Protocol):
    """A normalized density: maximum likelihood, exact samples, exact scores."""

    def log_prob(self, v: TensorVariable, max_active: int | None = None) -> TensorVariable:
        """Log-probability of each row, nats: (R, n_visible) -> (R,).

        `max_active`, if known, is the greatest number of units that are on in a row; it saves time if it is small.
        """

    def surrogate(self, v: TensorVariable, rng: Rng, max_active: int | None = None) -> tuple[TensorVariable, Rng]:
        """Training objective: -log_prob, or an estimate with the same mean: (R, n_visible) -> (R,)."""

    def sample(self, like: TensorVariable, rng: Rng, clamp: TensorVariable | None = None) -> tuple[TensorVariable, Rng]:
        """Sample as many rows as `like` (..., n_visible) has.

        Units keep their values in `clamp` (n_visible,); units where it is NaN are sampled given these. `clamp` is only
        passed if a unit is clamped. A density that samples its units in a single order has that order as
        ``fixed_order``; clamped units must come first in it.
        """


def check_density(density: Any) -> None:
    """Raise TypeError, with the missing names, unless an object is an energy or a normalized density."""
    if isinstance(density, (EnergyDensity, NormalizedDensity)):
        return

    def missing(*names: str) -> str:
        return ", ".join(name for name in names if not hasattr(density, name)) or "nothing"

    frame = missing("visible", "b_v", "biases", "tensors", "with_tensors", "_replace")
    raise TypeError(
        f"{type(density).__name__} is not a frame density. Missing for any density: {frame}; for a normalized one: "
        f"{missing('log_prob', 'surrogate', 'sample')}; for an energy: "
        f"{missing('free_energy', 'gibbs_step', 'pseudo_log_likelihood')}. See rnnrbm.densities"
    )


class Independent(NamedTuple):
    """Independent units: log p(v) = sum of s(v) b_v - base(v) - A(b_v).

    With an RNN this is the usual baseline that predicts the next frame; with one group of softmax units, it is the
    character-level RNN.

    Attributes
    ----------
    b_v : TensorVariable, shape (..., n_visible)
        Activations of the units: log odds if they are binary.
    visible : Unit
    """

    b_v: TensorVariable
    visible: Unit = Bernoulli()

    @classmethod
    def init(
        cls,
        n_visible: int,
        *,
        b_v: np.ndarray | float = 0.0,
        visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
        dtype: str | None = None,
    ) -> Independent:
        """Make biases as a shared variable; for parameters see :meth:`rnnrbm.rbm.RBM.init`."""
        biases = check_biases(b_v, n_visible)
        unit_index(visible, n_visible, where="a frame")
        return cls(engine.shared(biases, "b_v", dtype), visible)

    @property
    def biases(self) -> tuple[str, ...]:
        return visible_biases(self.visible)

    def tensors(self) -> list[TensorVariable]:
        return [self.b_v, *unit_tensors(self.visible)]

    def with_tensors(self, tensors: list[TensorVariable]) -> Independent:
        b_v, *of_units = tensors
        return Independent(b_v, *with_unit_tensors((self.visible,), of_units))

    def log_prob(self, v: TensorVariable, max_active: int | None = None) -> TensorVariable:
        dtype = self.b_v.dtype
        terms = self.visible.statistic(v) * self.b_v
        base = self.visible.base(v)
        terms = terms if base is None else terms - base
        # softmax units have one log partition for each group
        return terms.sum(axis=-1, acc_dtype=dtype) - self.visible.log_partition(self.b_v).sum(axis=-1, acc_dtype=dtype)

    def surrogate(self, v: TensorVariable, rng: Rng, max_active: int | None = None) -> tuple[TensorVariable, Rng]:
        return -self.log_prob(v), rng

    def at_temperature(self, temperature: float) -> Independent:
        """The density with P(v) ** (1 / temperature), normalized."""
        visible, grown = self.visible.at_temperature(temperature)
        return Independent(self.b_v * np.asarray(1.0 / (temperature * grown), self.b_v.dtype), visible)

    def sample(self, like: TensorVariable, rng: Rng, clamp: TensorVariable | None = None) -> tuple[TensorVariable, Rng]:
        a = self.b_v if self.b_v.ndim == like.ndim else self.b_v + pt.zeros_like(like)
        v, rng = self.visible.sample(a, rng)
        return clamped(v, clamp), rng


def clamped(v: TensorVariable, clamp: TensorVariable | None) -> TensorVariable:
    """Replace values of `v` by those of `clamp` (..., n_visible) where it is not NaN."""
    return v if clamp is None else pt.switch(pt.isnan(clamp), v, clamp)


def at_temperature(density: Any, temperature: float) -> Any:
    """Return a density at a temperature: the lower, the more probable are its probable frames.

    An RBM and independent units have their energies divided by it. A NADE draws a frame unit by unit, and the log odds
    of each unit given those before are divided.

    Parameters
    ----------
    density : FrameDensity
    temperature : float
        Positive; 1 is the density itself.

    Raises
    ------
    TypeError
        If the density has no method ``at_temperature`` and the temperature is not 1.
    """
    if temperature == 1.0:
        return density
    if not hasattr(density, "at_temperature"):
        raise TypeError(
            f"{type(density).__name__} has no at_temperature(temperature), so it can be sampled at temperature 1 only, "
            f"got {temperature:g}"
        )
    return density.at_temperature(temperature)


def visible_biases(visible: Unit) -> tuple[str, ...]:
    """Return the names of what a network sets of the visible units of a density."""
    return ("b_v", LOG_SIGMA) if isinstance(visible, LearnedGaussian) and visible.conditional else ("b_v",)


def bias_of(density: Any, name: str) -> TensorVariable:
    """Return what a network sets, by its name: a field of the density, or the standard deviations of its frames."""
    return density.visible.log_sigma if name == LOG_SIGMA else getattr(density, name)


def moved_bias(density: Any, name: str, by: TensorVariable) -> TensorVariable:
    """Return what a network sets, by its name, moved by what the network says.

    A standard deviation is multiplied by a factor between exp(-1.5) and exp(1.5): without bounds, a sample with large
    values could lead to ever larger ones.
    """
    bias = bias_of(density, name)
    if name != LOG_SIGMA:
        return bias + by
    most = np.asarray(MOST_LOG_FACTOR, by.dtype)
    return bias + most * pt.tanh(by / most)


def with_biases(density: Any, biases: Mapping[str, TensorVariable]) -> Any:
    """A copy of the density with other biases, by name."""
    fields = dict(biases)
    if LOG_SIGMA in fields:
        fields["visible"] = replace(density.visible, log_sigma=fields.pop(LOG_SIGMA))
    return density._replace(**fields)


def map_biases(density: Any, change: Callable[[TensorVariable], TensorVariable]) -> Any:
    """A copy of the density with each bias changed."""
    return with_biases(density, {name: change(bias_of(density, name)) for name in density.biases})


def set_fitted_bias(b_v: Any, unit: Unit, pieces: Sequence[np.ndarray]) -> None:
    """Set visible biases that are all zero to those of independent units that fit pieces (T, n_visible).

    Biases that are no shared variable stay as they are.
    """
    if isinstance(b_v, SharedVariable) and not b_v.get_value(borrow=True).any():
        b_v.set_value(unit.fitted_bias(pieces).astype(b_v.type.dtype))


def check_biases(b_v: np.ndarray | float, n_visible: int) -> np.ndarray:
    """Return the initial visible biases as an array (n_visible,).

    Raises
    ------
    ValueError
        If `b_v` is neither one number nor `n_visible` numbers, or not finite.
    """
    if n_visible < 1:
        raise ValueError(f"n_visible must be at least 1, got {n_visible}")
    if np.ndim(b_v) and np.shape(b_v) != (n_visible,):
        raise ValueError(f"b_v has shape {np.shape(b_v)}, expected ({n_visible},)")
    if not np.isfinite(b_v).all():
        raise ValueError("b_v must be finite, but there is a NaN or an infinity in it")
    return np.broadcast_to(b_v, (n_visible,))
