"""Unit types of a layer: binary, Gaussian with fixed or learned variance, softmax, at most one of a group, rectified.

A unit type is an exponential family with density proportional to ``exp(statistic(x) * a - base(x))`` for an
activation ``a`` (bias plus input). An exponential family harmonium combines any visible type with any hidden type
(Welling, Rosen-Zvi & Hinton, NIPS 2004), with free energy

    F(v) = sum_i base(v_i) - statistic(v_i) b_i  -  sum_j A((statistic(v) W + b_h)_j)

where ``A = log_partition``. There is no class per pairing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable
from scipy.special import log_ndtr

from rnnrbm.arguments import whole_number
from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng

__all__ = [
    "AtMostOne",
    "Bernoulli",
    "Gaussian",
    "LearnedGaussian",
    "ReLU",
    "Softmax",
    "Unit",
    "check_unit",
    "own_energy",
    "unit_tensors",
    "with_unit_tensors",
]


def _const(value: float, like: TensorVariable) -> np.ndarray:
    """A constant in the type of `like`: a bare Python float would turn float32 graphs into float64."""
    return np.asarray(value, like.dtype)


def _wrong_values(values: np.ndarray, wrong: np.ndarray, expected: str) -> str:
    """Describe the first invalid value, or return an empty string if there is none."""
    if not wrong.any():
        return ""
    t, j = (int(i) for i in np.argwhere(wrong)[0])
    return f"holds {values[t, j]} in frame {t}, column {j}, and {wrong.sum()} such values in all; expected {expected}"


def _not_binary(values: np.ndarray) -> str:
    message = _wrong_values(values, (values != 0) & (values != 1), "0 and 1, as the visible units are binary")
    if not message or not (values >= 0).all():  # of negative numbers and NaN none is a probability
        return message
    most = values.max()
    divide = f"divide the values by the greatest possible one ({most:g} or more), then " if most > 1 else ""
    return f"{message}; if they are grey values, {divide}make them binary by rnnrbm.io.image_sets.binarise"


def _not_finite(values: np.ndarray) -> str:
    return _wrong_values(values, ~np.isfinite(values), "finite numbers")


def _total(pieces: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """Return the sum of all frames of pieces, and their number."""
    return np.sum([piece.sum(axis=0, dtype=float) for piece in pieces], axis=0), sum(map(len, pieces))


class Unit(Protocol):
    """Interface of a unit type. Arrays have shape (..., n); activations and values have the same shape."""

    @property
    def is_binary(self) -> bool:
        """Whether each unit is 0 or 1 independently of the others, so that states can be enumerated and flipped."""

    @property
    def is_discrete(self) -> bool:
        """Whether a state has a probability, not a density, so that its log-likelihood compares with counts."""

    @property
    def group_size(self) -> int:
        """Columns of one unit: 1, or the number of states of a softmax unit."""

    def validate(self, values: np.ndarray) -> str:
        """Describe what is wrong with values (T, n) of these units, or return an empty string."""

    def statistic(self, x: TensorVariable) -> TensorVariable:
        """Sufficient statistic, which biases and weights multiply."""

    def base(self, x: TensorVariable) -> TensorVariable | None:
        """Energy of a value at zero bias, nats; None means zero."""

    def log_partition(self, a: TensorVariable) -> TensorVariable:
        """Log of the sum or integral of exp(statistic(x) a - base(x)) over x; callers sum it over the last axis."""

    def mean(self, a: TensorVariable) -> TensorVariable:
        """Expected value given the activation."""

    def sample(self, a: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Sample a value given the activation; return it and the advanced random stream."""

    def noise(self, like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Draw values in the shape of `like` that know nothing of a model, from which Gibbs chains can start.

        Of discrete units all states are equally probable; real numbers have mean 0 and standard deviation 1.
        """

    def at_temperature(self, temperature: float) -> tuple[Self, float | np.ndarray]:
        """Return the units whose base energy is divided by a temperature, and by what factor their statistic grows.

        Units of several types have a factor for each column.
        """

    def fitted_bias(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        """Biases (n,) at which independent units have the mean of all frames of pieces (T, n).

        Of discrete units each state is counted once more than it occurs, so that no probability is 0.
        """


@dataclass(frozen=True)
class Bernoulli:
    """Binary units in {0, 1}: the logistic units of the standard RBM."""

    is_binary = True
    is_discrete = True
    group_size = 1

    def validate(self, values: np.ndarray) -> str:
        return _not_binary(values)

    def statistic(self, x: TensorVariable) -> TensorVariable:
        return x

    def base(self, x: TensorVariable) -> None:
        return None

    def log_partition(self, a: TensorVariable) -> TensorVariable:
        return pt.softplus(a)

    def mean(self, a: TensorVariable) -> TensorVariable:
        return pt.sigmoid(a)

    def sample(self, a: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        u, rng = rng.uniform(a)
        return pt.lt(u, pt.sigmoid(a)).astype(a.dtype), rng

    def noise(self, like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        return self.sample(pt.zeros_like(like), rng)

    def at_temperature(self, temperature: float) -> tuple[Bernoulli, float]:
        return self, 1.0

    def fitted_bias(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        total, frames = _total(pieces)
        p = (total + 1.0) / (frames + 2.0)
        return np.log(p) - np.log1p(-p)


@dataclass(frozen=True)
class Gaussian:
    """Real units with fixed standard deviation: energy x**2 / (2 sigma**2) - x a / sigma**2, mean a.

    Standardize the data, or set `sigma` to their standard deviation. With Gaussian visible and hidden units the
    density is normalizable only while the singular values of W stay below sigma_v * sigma_h.
    """

    sigma: float = 1.0

    is_binary = False
    is_discrete = False
    group_size = 1

    def validate(self, values: np.ndarray) -> str:
        return _not_finite(values)

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"sigma must be positive, got {self.sigma}")

    def statistic(self, x: TensorVariable) -> TensorVariable:
        return x if self.sigma == 1.0 else x * _const(self.sigma**-2, x)

    def base(self, x: TensorVariable) -> TensorVariable:
        return pt.sqr(x) * _const(0.5 * self.sigma**-2, x)

    def log_partition(self, a: TensorVariable) -> TensorVariable:
        log_norm = 0.5 * np.log(2.0 * np.pi * self.sigma**2)
        return pt.sqr(a) * _const(0.5 * self.sigma**-2, a) + _const(log_norm, a)

    def mean(self, a: TensorVariable) -> TensorVariable:
        return a

    def sample(self, a: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        z, rng = rng.normal(a)
        return a + _const(self.sigma, a) * z.astype(a.dtype), rng

    def noise(self, like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        z, rng = rng.normal(like)
        return z.astype(like.dtype), rng

    def at_temperature(self, temperature: float) -> tuple[Gaussian, float]:
        return Gaussian(self.sigma * math.sqrt(temperature)), 1.0 / temperature

    def fitted_bias(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        total, frames = _total(pieces)
        return total / frames


@dataclass(frozen=True, eq=False)
class LearnedGaussian:
    """Real units, each with a standard deviation of its own that is learned.

    The energy is that of a :class:`Gaussian`. The standard deviations stand behind their logarithms, so that they stay
    positive (Cho, Ilin & Raiko, ICANN 2011). Standardize the data, so that one rate suits all units.

    Attributes
    ----------
    log_sigma : TensorVariable, shape (..., n)
        Log of the standard deviation of each unit given all others; a parameter of the density.
    conditional : bool
        Whether a network sets the standard deviations for each frame, like a bias (see
        :func:`rnnrbm.densities.with_biases`). Frames that are hard to predict, such as a jump among steps, then weigh
        less than the others, where one standard deviation for all would let a few of them rule the model.
    """

    log_sigma: TensorVariable
    conditional: bool = False

    is_binary = False
    is_discrete = False
    group_size = 1

    @classmethod
    def init(
        cls, n: int, sigma: float = 1.0, dtype: str | None = None, *, conditional: bool = False
    ) -> LearnedGaussian:
        """Make n units of one initial standard deviation.

        Raises
        ------
        ValueError
            If `n` is below 1, or `sigma` no positive number.
        """
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma must be positive, got {sigma}")
        n = whole_number("n", n, 1)
        return cls(engine.shared(np.full(n, math.log(sigma)), "log_sigma", dtype), conditional)

    def validate(self, values: np.ndarray) -> str:
        return _not_finite(values)

    def _precision(self) -> TensorVariable:
        return pt.exp(_const(-2.0, self.log_sigma) * self.log_sigma)

    def statistic(self, x: TensorVariable) -> TensorVariable:
        return x * self._precision()

    def base(self, x: TensorVariable) -> TensorVariable:
        return _const(0.5, x) * pt.sqr(x) * self._precision()

    def log_partition(self, a: TensorVariable) -> TensorVariable:
        return _const(0.5, a) * pt.sqr(a) * self._precision() + self.log_sigma + _const(_HALF_LOG_2PI, a)

    def mean(self, a: TensorVariable) -> TensorVariable:
        return a

    def sample(self, a: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        z, rng = rng.normal(a)
        return a + pt.exp(self.log_sigma) * z.astype(a.dtype), rng

    def noise(self, like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        z, rng = rng.normal(like)
        return z.astype(like.dtype), rng

    def at_temperature(self, temperature: float) -> tuple[LearnedGaussian, float]:
        wider = _const(0.5 * math.log(temperature), self.log_sigma)
        return replace(self, log_sigma=self.log_sigma + wider), 1.0 / temperature

    def fitted_bias(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        total, frames = _total(pieces)
        return total / frames


def check_unit(name: str, unit: Any, advice: str = "") -> None:
    """Raise TypeError, which says `name`, unless the value is a unit type."""
    if not hasattr(unit, "log_partition"):
        raise TypeError(f"{name} must be a unit type, such as Bernoulli(), got {unit!r}{advice}")


def own_energy(unit: Unit, x: TensorVariable, b: TensorVariable) -> TensorVariable:
    """Energy of a layer alone, base(x) - s(x) b, nats: (..., n) -> (...)."""
    energy = -(unit.statistic(x) * b)
    base = unit.base(x)
    return (energy if base is None else energy + base).sum(axis=-1, acc_dtype=b.dtype)


def unit_tensors(*units: Unit) -> list[TensorVariable]:
    """Return the parameters of unit types, which belong to the tensors of their density; most types have none."""
    return [unit.log_sigma for unit in units if isinstance(unit, LearnedGaussian)]


def with_unit_tensors(units: Sequence[Unit], tensors: Sequence[TensorVariable]) -> list[Unit]:
    """Return copies of unit types with other parameters; the inverse of :func:`unit_tensors`."""
    left = iter(tensors)
    return [replace(unit, log_sigma=next(left)) if isinstance(unit, LearnedGaussian) else unit for unit in units]


def _in_groups(x: TensorVariable, *sizes: int, like: TensorVariable | None = None) -> TensorVariable:
    """Cut the last axis, whose last parts get `sizes`; `like` has the shape of `x`, with a better static type."""
    like = x if like is None else like
    if None not in like.type.shape[-1:] and like.type.shape[:-1].count(None) <= 1:
        return x.reshape((*engine.leading(like), like.type.shape[-1] // math.prod(sizes), *sizes))
    return x.reshape((*(like.shape[i] for i in range(x.ndim - 1)), -1, *sizes))


@dataclass(frozen=True)
class Softmax:
    """Groups of `n_states` binary units with exactly one unit on; the layer size is a multiple of `n_states`."""

    n_states: int

    is_binary = False
    is_discrete = True

    @property
    def group_size(self) -> int:
        return self.n_states

    def validate(self, values: np.ndarray) -> str:
        if message := _not_binary(values):
            return message
        on = values.reshape(len(values), -1, self.n_states).sum(axis=2)
        if (on == 1).all():
            return ""
        t = int(np.argwhere(on != 1)[0][0])
        return (
            f"has {int(on[t].sum())} units on in frame {t}; expected one of each {self.n_states}, as the visible units "
            "are softmax units"
        )

    def __post_init__(self) -> None:
        if self.n_states < 2:
            raise ValueError(f"n_states must be at least 2, got {self.n_states}")

    def _grouped(self, x: TensorVariable, like: TensorVariable | None = None) -> TensorVariable:
        """Reshape (..., n) to (..., n / n_states, n_states); `like` has the shape of `x`, with a better static type."""
        return _in_groups(x, self.n_states, like=like)

    def statistic(self, x: TensorVariable) -> TensorVariable:
        return x

    def base(self, x: TensorVariable) -> None:
        return None

    def log_partition(self, a: TensorVariable) -> TensorVariable:
        # PyTensor's logsumexp has a NaN gradient where exp underflows
        a = self._grouped(a)
        top = disconnected_grad(a.max(axis=-1, keepdims=True))
        return pt.log(pt.exp(a - top).sum(axis=-1, acc_dtype=a.dtype)) + top[..., 0]

    def mean(self, a: TensorVariable) -> TensorVariable:
        return pt.special.softmax(self._grouped(a), axis=-1).reshape(a.shape)

    def sample(self, a: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        u, rng = rng.uniform(a)
        # Gumbel-max: the state with the highest activation plus Gumbel noise; 1 - u is never 0
        noisy = self._grouped(a - pt.log(-pt.log(np.float32(1.0) - u)).astype(a.dtype), a)
        best = pt.argmax(noisy, axis=-1, keepdims=True)
        one_hot = pt.eq(pt.arange(self.n_states), best).astype(a.dtype)
        if a.type.shape.count(None) <= 1:
            return one_hot.reshape((*engine.leading(a), -1 if a.type.shape[-1] is None else a.type.shape[-1])), rng
        return one_hot.reshape(a.shape), rng

    def noise(self, like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        return self.sample(pt.zeros_like(like), rng)

    def at_temperature(self, temperature: float) -> tuple[Softmax, float]:
        return self, 1.0

    def fitted_bias(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        total, frames = _total(pieces)
        return np.log((total + 1.0) / (frames + self.n_states))


@dataclass(frozen=True)
class AtMostOne:
    """Groups of `size` binary units with at most one unit on; the layer size is a multiple of `size` times `apart`.

    The units of a group lie `apart` columns from each other; by default they are neighbours. A group is a softmax unit
    with one more state, in which all of its units are off. As hidden units these are the detection units of
    probabilistic max-pooling, whose pooling unit says whether any unit of its group is on (Lee, Grosse, Ranganath & Ng,
    "Convolutional deep belief networks", ICML 2009, section 3.3).
    """

    size: int
    apart: int = 1

    is_binary = False
    is_discrete = True

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ValueError(f"size must be at least 2, got {self.size}; groups of one unit are Bernoulli()")
        if self.apart < 1:
            raise ValueError(f"apart must be at least 1, got {self.apart}")

    @property
    def group_size(self) -> int:
        return self.size * self.apart

    def validate(self, values: np.ndarray) -> str:
        if message := _not_binary(values):
            return message
        on = values.reshape(len(values), -1, self.size, self.apart).sum(axis=2)
        if on.max(initial=0) <= 1:
            return ""
        t = int(np.argwhere(on > 1)[0][0])
        return f"has {int(on[t].max())} units of a group on in frame {t}; expected at most one of each {self.size}"

    def statistic(self, x: TensorVariable) -> TensorVariable:
        return x

    def base(self, x: TensorVariable) -> None:
        return None

    def _weights(self, a: TensorVariable) -> tuple[TensorVariable, TensorVariable, TensorVariable]:
        """Weights of the units of each group, their sum with that of "off", and a log scale.

        Shapes (..., n / (size * apart), size, apart), and without the axis before the last.
        """
        a = _in_groups(a, self.size, self.apart)
        top = disconnected_grad(pt.maximum(a.max(axis=-2), _const(0.0, a)))
        weights = pt.exp(a - top[..., None, :])
        return weights, weights.sum(axis=-2, acc_dtype=a.dtype) + pt.exp(-top), top

    def log_partition(self, a: TensorVariable) -> TensorVariable:
        _, total, top = self._weights(a)
        return self._flat(pt.log(total) + top, a, self.size)

    def mean(self, a: TensorVariable) -> TensorVariable:
        weights, total, _ = self._weights(a)
        return self._flat(weights / total[..., None, :], a)

    def sample(self, a: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        weights, total, _ = self._weights(a)
        u, rng = rng.uniform(total)
        # one number for each group falls into the interval of a unit, or after all of them
        threshold = u.astype(a.dtype) * total
        edge = weights[..., 0, :]
        below = [pt.lt(threshold, edge)]
        for i in range(1, self.size):
            edge = edge + weights[..., i, :]
            below.append(pt.lt(threshold, edge))
        units = [below[0], *(pt.and_(here, pt.invert(before)) for before, here in itertools.pairwise(below))]
        return self._flat(pt.stack(units, axis=-2).astype(a.dtype), a), rng

    @staticmethod
    def _flat(x: TensorVariable, like: TensorVariable, size: int = 1) -> TensorVariable:
        """Join the last axes of `x`, so that its shape is that (..., n) of `like`, or (..., n / size)."""
        if like.type.shape[-1] is not None and like.type.shape[:-1].count(None) <= 1:
            return x.reshape((*engine.leading(like), like.type.shape[-1] // size))
        return x.reshape((*(like.shape[i] for i in range(like.ndim - 1)), -1))

    def noise(self, like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        return self.sample(pt.zeros_like(like), rng)

    def at_temperature(self, temperature: float) -> tuple[AtMostOne, float]:
        return self, 1.0

    def fitted_bias(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        total, frames = _total(pieces)
        grouped = total.reshape(-1, self.size, self.apart)
        off = frames - grouped.sum(axis=1, keepdims=True)
        return (np.log(grouped + 1.0) - np.log(off + 1.0)).ravel()


@dataclass(frozen=True)
class ReLU:
    """Non-negative real units: a normal distribution of mean `a` and standard deviation `sigma`, truncated below zero.

    The energy is that of a :class:`Gaussian`, and the mean a smooth rectifier. This is the exact exponential family,
    not the noisy rectifier that approximates a sum of shifted binary units (Nair & Hinton, ICML 2010).
    """

    sigma: float = 1.0

    is_binary = False
    is_discrete = False
    group_size = 1

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"sigma must be positive, got {self.sigma}")

    def validate(self, values: np.ndarray) -> str:
        return _not_finite(values) or _wrong_values(
            values, values < 0, "no negative number, as the units are rectified"
        )

    def _times(self, x: TensorVariable, power: int) -> TensorVariable:
        """Multiply by a power of sigma."""
        return x if self.sigma == 1.0 else x * _const(self.sigma**power, x)

    def statistic(self, x: TensorVariable) -> TensorVariable:
        return self._times(x, -2)

    def base(self, x: TensorVariable) -> TensorVariable:
        return self._times(pt.sqr(x) * _const(0.5, x), -2)

    def log_partition(self, a: TensorVariable) -> TensorVariable:
        # of sigma 1: log int_0^inf exp(x a - x**2/2) dx = a**2/2 + log( sqrt(2 pi) Q(-a) )
        return _scaled_log_tail(self._times(-a, -1)) + _const(_HALF_LOG_2PI + math.log(self.sigma), a)

    def mean(self, a: TensorVariable) -> TensorVariable:
        # of sigma 1: the derivative of log_partition, a + phi(a) / Phi(a)
        return a + self._times(pt.exp(-self.log_partition(a)), 2)

    def sample(self, a: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        x, rng = self._standard(self._times(a, -1), rng)
        return self._times(x, 1), rng

    def noise(self, like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        return self._standard(pt.zeros_like(like), rng)

    def at_temperature(self, temperature: float) -> tuple[ReLU, float]:
        return ReLU(self.sigma * math.sqrt(temperature)), 1.0 / temperature

    def _standard(self, a: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Sample units of sigma 1."""
        # x = z + a where z solves Q(z) = (1 - u) Q(-a) for the normal tail probability Q
        u, rng = rng.uniform(a)
        u = (np.float32(1.0) - u).astype(a.dtype)
        one, root2 = _const(1.0, a), _const(np.sqrt(2.0), a)
        low = pt.maximum(-a, one)
        log_tail = _scaled_log_tail(low) - _const(0.5, a) * pt.sqr(low) + pt.log(u)
        z = pt.sqrt(pt.sqr(low) - _const(2.0, a) * pt.log(u))
        for _ in range(4):  # Newton from the right of the root converges monotonically, since log Q is concave
            scaled = _scaled_log_tail(z)
            excess = scaled - _const(0.5, a) * pt.sqr(z) - log_tail
            z = z + excess * pt.exp(scaled + _const(_HALF_LOG_2PI, a))
        # clip below 1, where erfinv is infinite
        inside = pt.minimum(one - u * pt.erfc(-a / root2), _const(1.0 - 2.0**-24, a))
        near = root2 * pt.erfinv(inside)
        return pt.maximum(pt.switch(pt.gt(-a, one), z, near) + a, _const(0.0, a)), rng

    def fitted_bias(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        total, frames = _total(pieces)
        mean = np.maximum(total / frames / self.sigma, 1e-3)
        # `mean` rises from a, and is below -1/a for a < 0: bisect between
        low, high = -1.0 / mean, mean
        for _ in range(60):
            a = 0.5 * (low + high)
            above = a + np.exp(-0.5 * a**2 - _HALF_LOG_2PI - log_ndtr(a)) > mean
            low, high = np.where(above, low, a), np.where(above, a, high)
        return low * self.sigma


_HALF_LOG_2PI = 0.5 * np.log(2.0 * np.pi)


def _scaled_log_tail(z: TensorVariable) -> TensorVariable:
    """Log Q(z) + z**2 / 2 for the tail probability Q of a standard normal, without overflow."""
    ten, half = _const(10.0, z), _const(0.5, z)
    near = pt.minimum(z, ten)
    far = pt.maximum(z, ten)
    inverse = pt.sqr(_const(1.0, z) / far)
    series = _const(1.0, z)
    for factor in (7.0, 5.0, 3.0, 1.0):  # 1 - 1/z^2 (1 - 3/z^2 (1 - 5/z^2 (1 - 7/z^2)))
        series = _const(1.0, z) - _const(factor, z) * inverse * series
    by_series = pt.log(series) - pt.log(far) - _const(_HALF_LOG_2PI, z)
    by_erfc = half * pt.sqr(near) + pt.log(half * pt.erfc(near / _const(np.sqrt(2.0), z)))
    return pt.switch(pt.gt(z, ten), by_series, by_erfc)
