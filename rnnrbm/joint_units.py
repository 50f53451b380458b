"""Units of several types in one layer: the pixels of an image and its label, or numbers and choices.

The units of a layer are independent of each other given the other layer, whatever their types. So the functions of a
unit type act on each part of the columns alone, and their results stand side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.arguments import whole_number
from rnnrbm.backend.random import Rng
from rnnrbm.units import Unit, unit_tensors

__all__ = ["Joint", "by_parts", "drawn_by_parts", "partly_given", "placeholder", "unit_index"]

Draw = Callable[[Unit, TensorVariable, Rng], tuple[TensorVariable, Rng]]


@dataclass(frozen=True)
class Joint:
    """A layer whose columns are parts of different unit types, one beside the other.

    ``Joint(((784, Bernoulli()), (10, Softmax(10))))`` is a layer of 784 pixels and one label of ten classes.

    Attributes
    ----------
    parts : tuple of (int, Unit)
        For each part its number of columns, and its unit type. A part that is a joint unit type itself stands for its
        parts.

    Raises
    ------
    ValueError
        If there is no part, the columns of a part do not divide into its softmax groups, or a part has parameters of
        its own (:class:`rnnrbm.units.LearnedGaussian`).
    TypeError
        If a part is no pair of a whole number and a unit type.
    """

    parts: tuple[tuple[int, Unit], ...]

    def __post_init__(self) -> None:
        """Check the parts."""
        object.__setattr__(self, "parts", tuple(_checked(self.parts)))
        if not self.parts:
            raise ValueError("parts is empty; expected pairs such as (784, Bernoulli()), one for each part")

    @property
    def n_columns(self) -> int:
        """Columns of all parts."""
        return sum(n for n, _ in self.parts)

    @property
    def is_binary(self) -> bool:
        return all(unit.is_binary for _, unit in self.parts)

    @property
    def is_discrete(self) -> bool:
        return all(unit.is_discrete for _, unit in self.parts)

    @property
    def group_size(self) -> int:
        """The greatest of the parts; :func:`unit_index` tells which columns belong together."""
        return max(unit.group_size for _, unit in self.parts)

    def slices(self) -> list[slice]:
        """Return the columns of each part."""
        ends = np.cumsum([n for n, _ in self.parts]).tolist()
        return [slice(end - n, end) for end, (n, _) in zip(ends, self.parts, strict=True)]

    def split(self, x: Any) -> list[tuple[Unit, Any]]:
        """Return each part's unit type and its columns of an array or a graph (..., n_columns).

        Raises
        ------
        ValueError
            If `x` is known to have another number of columns.
        """
        n = x.type.shape[-1] if isinstance(x, TensorVariable) else x.shape[-1]
        if n not in (None, self.n_columns):
            raise ValueError(f"a layer of {n} columns cannot have the units {self}, which have {self.n_columns}")
        return [(unit, x[..., part]) for part, (_, unit) in zip(self.slices(), self.parts, strict=True)]

    def validate(self, values: np.ndarray) -> str:
        for part, (unit, own) in zip(self.slices(), self.split(values), strict=True):
            if message := unit.validate(own):
                where = f"in columns {part.start} to {part.stop - 1}, counted from {part.start}, "
                return where * (part.start > 0) + message
        return ""

    def statistic(self, x: TensorVariable) -> TensorVariable:
        split = self.split(x)
        own = [unit.statistic(part) for unit, part in split]
        unchanged = all(s is part for s, (_, part) in zip(own, split, strict=True))
        return x if unchanged else _side_by_side(own)

    def base(self, x: TensorVariable) -> TensorVariable | None:
        split = self.split(x)
        own = [unit.base(part) for unit, part in split]
        if all(part is None for part in own):
            return None
        return _side_by_side(
            [pt.zeros_like(part) if mine is None else mine for mine, (_, part) in zip(own, split, strict=True)]
        )

    def log_partition(self, a: TensorVariable) -> TensorVariable:
        """The parts' log partitions side by side; a softmax unit has one number for all its columns."""
        return by_parts(self, lambda unit, part: unit.log_partition(part), a)

    def mean(self, a: TensorVariable) -> TensorVariable:
        return by_parts(self, lambda unit, part: unit.mean(part), a)

    def sample(self, a: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        return drawn_by_parts(self, lambda unit, part, rng: unit.sample(part, rng), a, rng)

    def noise(self, like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        return drawn_by_parts(self, lambda unit, part, rng: unit.noise(part, rng), like, rng)

    def at_temperature(self, temperature: float) -> tuple[Joint, float | np.ndarray]:
        """Return the units at a temperature, and the factor of each column's statistic, (n_columns,), or of all."""
        changed = [unit.at_temperature(temperature) for _, unit in self.parts]
        sizes = [n for n, _ in self.parts]
        units = Joint(tuple((n, unit) for n, (unit, _) in zip(sizes, changed, strict=True)))
        factors = np.concatenate([np.broadcast_to(by, n) for n, (_, by) in zip(sizes, changed, strict=True)])
        return units, (float(factors[0]) if (factors == factors[0]).all() else factors)

    def fitted_bias(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        own = [
            unit.fitted_bias([piece[:, part] for piece in pieces])
            for part, (_, unit) in zip(self.slices(), self.parts, strict=True)
        ]
        return np.concatenate(own)


def _checked(parts: Any) -> Iterator[tuple[int, Unit]]:
    """Yield the parts of a layer, or raise what :class:`Joint` says."""
    if isinstance(parts, str) or not isinstance(parts, Sequence):
        raise TypeError(f"parts={parts!r:.60}: expected pairs such as (784, Bernoulli()), one for each part")
    for i, part in enumerate(parts):
        where = f"parts[{i}]"
        if not isinstance(part, Sequence) or len(part) != 2 or not hasattr(part[1], "log_partition"):
            raise TypeError(
                f"{where} is {part!r:.60}; expected a number of columns and a unit type: (784, Bernoulli())"
            )
        n, unit = whole_number(f"the number of columns of {where}", part[0], 1), part[1]
        unit_index(unit, n, where=where)
        if unit_tensors(unit):
            raise ValueError(
                f"{where} is of {type(unit).__name__}, which has parameters of its own; use fixed standard deviations, "
                "such as Gaussian(0.5), in a layer of several unit types"
            )
        yield from unit.parts if isinstance(unit, Joint) else ((n, unit),)


def _side_by_side(parts: Sequence[TensorVariable]) -> TensorVariable:
    return parts[0] if len(parts) == 1 else pt.concatenate(parts, axis=-1)


def by_parts(
    unit: Unit, of_part: Callable[[Unit, TensorVariable], TensorVariable], x: TensorVariable
) -> TensorVariable:
    """Apply a function of a unit type and its columns to each part of a layer (..., n); the results stand side by side.

    A layer of one type is one part.
    """
    return _side_by_side([of_part(each, part) for each, part in _split(unit, x)])


def drawn_by_parts(unit: Unit, draw: Draw, x: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
    """Draw each part of a layer (..., n) with random numbers of its own; as :func:`by_parts`."""
    own = []
    for each, part in _split(unit, x):
        drawn, rng = draw(each, part, rng)
        own.append(drawn)
    return _side_by_side(own), rng


def _split(unit: Unit, x: TensorVariable) -> list[tuple[Unit, TensorVariable]]:
    return unit.split(x) if isinstance(unit, Joint) else [(unit, x)]


def unit_index(unit: Unit, n: int, *, where: str = "the layer") -> np.ndarray:
    """Return the number of the unit that each of `n` columns belongs to, shape (n,).

    The columns of a softmax group are one unit.

    Parameters
    ----------
    unit : Unit
    n : int
    where : str
        Name of the layer in errors.

    Raises
    ------
    ValueError
        If such units cannot have `n` columns.
    """
    if isinstance(unit, Joint):
        if unit.n_columns != n:
            raise ValueError(f"{where} has {n} columns, and its units {unit} have {unit.n_columns}")
        own = [unit_index(each, size) for size, each in unit.parts]
        sizes = [int(x[-1]) + 1 for x in own]
        return np.concatenate(own) + np.repeat(np.cumsum([0, *sizes[:-1]]), [len(x) for x in own])
    if n % unit.group_size:
        raise ValueError(
            f"{where} has {n} columns, which do not divide into groups of {unit.group_size}, as {unit} needs"
        )
    return np.arange(n) // unit.group_size


def partly_given(unit: Unit, given: np.ndarray) -> np.ndarray:
    """Return which units have some, but not all, of their columns given: (T, n) -> (T, n_units), truth values."""
    index = unit_index(unit, given.shape[1])
    counts = np.stack([np.bincount(index, row) for row in given])
    return (counts > 0) & (counts < np.bincount(index))


def placeholder(unit: Unit, n: int) -> np.ndarray:
    """Return a possible value of a layer of `n` columns: the first state of each softmax unit, and 0 elsewhere."""
    index = unit_index(unit, n)
    value = np.zeros(n)
    value[np.unique(index, return_index=True)[1]] = np.bincount(index) > 1
    return value
