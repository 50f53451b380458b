"""Checks of arguments: arrays, lists of pieces, whole numbers, and suggestions for misspelt names."""

import difflib
import math
import numbers
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "as_array",
    "as_list",
    "as_pieces",
    "check_options",
    "layer_sizes",
    "nearest",
    "number",
    "plain",
    "suggestion",
    "truth",
    "whole_number",
]


def as_array(value: Any, name: str) -> np.ndarray:
    """Return an array-like as an array: nested lists, a sparse matrix, or whatever NumPy can convert.

    Parameters
    ----------
    value : array-like
    name : str
        Name of the argument in errors.

    Raises
    ------
    ValueError
        If its rows differ in length.
    TypeError
        If it holds anything but numbers.
    """
    value = plain(value, name)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name}: rows of different lengths; expected an array, whose rows are equally long") from None
    if array.dtype == object and all(isinstance(x, numbers.Real) for x in array.flat):  # a table of pandas, say
        array = array.astype(float)
    if array.dtype.kind not in "biuf":
        given = f"values of type {array.dtype}" if array.ndim else f"got {type(value).__name__}"
        raise TypeError(f"{name}: {given}; expected an array of numbers")
    return array


def plain(value: Any, name: str) -> Any:
    """Return a sparse matrix as an array, and anything else as it is.

    Raises
    ------
    ValueError
        If it is a masked array in which values are masked: there is no number for them.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        hidden = int(np.ma.getmaskarray(value).sum())
        raise ValueError(f"{name}: {hidden} values are masked; fill them first, array.filled(0), or leave them out")
    return value.toarray() if hasattr(value, "toarray") else value


def as_list(pieces: Any, name: str = "piece") -> list[Any]:
    """Return pieces as a list; one matrix is one piece, and an array of three dimensions as many as it has matrices.

    Raises
    ------
    TypeError
        If `pieces` is neither a list nor an array.
    """
    if not isinstance(pieces, (Sequence, np.ndarray)) and (hasattr(pieces, "toarray") or hasattr(pieces, "__array__")):
        pieces = as_array(pieces, name)
    if isinstance(pieces, np.ndarray) and pieces.ndim == 2:
        return [pieces]
    scalar = isinstance(pieces, np.ndarray) and pieces.ndim == 0
    if not isinstance(pieces, (Sequence, np.ndarray)) or isinstance(pieces, (str, bytes)) or scalar:
        raise TypeError(
            f"expected a list of arrays (T, n_visible), one for each {name}, got {type(pieces).__name__}; for a data "
            "set, give one of its lists, .train, .valid or .test"
        )
    return list(pieces)


def as_pieces(pieces: Any, n_visible: int | None = None, *, name: str = "piece") -> list[np.ndarray]:
    """Return pieces as a list of arrays (T, n_visible).

    Parameters
    ----------
    pieces : sequence of array-likes (T, n_visible), or one array of two or three dimensions
        See :func:`as_array` and :func:`as_list`.
    n_visible : int or None
        Columns expected; by default those of the first piece.
    name : str
        Name of a piece in errors.

    Raises
    ------
    ValueError
        If there are no pieces, or one has no frame, no column, or another number of columns.
    TypeError
        If `pieces` is no list, or one of them holds anything but numbers.
    """
    arrays = [as_array(piece, f"{name} {i}") for i, piece in enumerate(as_list(pieces, name))]
    width = "n_visible" if n_visible is None else n_visible
    if not arrays:
        raise ValueError(f"there is no {name}; give at least one array (T, {width})")
    if n_visible is None and arrays[0].ndim == 2 and arrays[0].shape[1]:
        width = arrays[0].shape[1]
    for i, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != width or len(array) == 0:
            why = "" if n_visible is None else f": the model was made for {width} visible units"
            alone = "; put a single piece into a list" if array.ndim == 1 else ""
            raise ValueError(
                f"{name} {i} has shape {array.shape}, expected (T, {width}) with T of 1 or more{why}{alone}"
            )
    return arrays


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return an argument that must be a whole number, as an int; ``4.0`` is one.

    Raises
    ------
    TypeError
        If it is no number, or True or False.
    ValueError
        If it is not whole or out of range.
    """
    expected = f"a whole number, {least} to {most}" if most is not None else f"a whole number, at least {least}"
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        wrong = ValueError if isinstance(value, float) else TypeError  # infinity and NaN are numbers
        raise wrong(f"{name}={value!r}: expected {expected}") from None
    if number != value or number < least or (most is not None and number > most):
        raise ValueError(f"{name}={value!r}: expected {expected}")
    return number


def layer_sizes(layers: Any, name: str = "layers") -> tuple[int, ...]:
    """Return the hidden units of each layer of a deep model, from the frame up.

    Raises
    ------
    ValueError
        If there is none, or one has no unit.
    TypeError
        If `layers` is no list.
    """
    if isinstance(layers, (str, int, np.integer)) or not hasattr(layers, "__iter__"):
        raise TypeError(
            f"{name}={layers!r}: expected the hidden units of each layer, from the frame up; it must be a list of "
            "sizes, such as (500, 1000)"
        )
    sizes = tuple(whole_number(f"{name}[{i}]", size, 1) for i, size in enumerate(layers))
    if not sizes:
        raise ValueError(f"{name} is empty; give the hidden units of at least one layer, as in {name}=(500, 1000)")
    return sizes


def number(
    name: str, value: Any, expected: str, *, above: float = -math.inf, least: float = -math.inf, most: float = math.inf
) -> float:
    """Return an argument that must be a finite number, as a float.

    Parameters
    ----------
    name : str
    value
    expected : str
        What the argument should be, for the message.
    above, least, most : float
        Its range: greater than `above`, at least `least`, at most `most`.

    Raises
    ------
    TypeError
        If it is no number, or True or False.
    ValueError
        If it is NaN, infinite or out of range.
    """
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        converted = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name}={value!r}: expected {expected}") from None
    if not (math.isfinite(converted) and converted > above and least <= converted <= most):
        finite = "" if math.isfinite(converted) else ", and finite"
        raise ValueError(f"{name}={value!r}: expected {expected}{finite}")
    return converted


def truth(name: str, value: Any) -> bool:
    """Return an argument that must be True or False; raise TypeError if it is neither."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={value!r}: expected True or False")
    return bool(value)


def check_options(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError, with the nearest one, for an option by name that a function does not have."""
    known = list(known)
    for name in given:
        if name not in known:
            raise TypeError(f"{function}() has no option {name!r}; {suggestion(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, or None.

    A known name may have a prefix that ends in a dot, such as ``"training.epochs"``: its last part alone is recognised
    too, and so are its initials (``"lr"`` for ``"learning_rate"``) and a part of it (``"piano"``).
    """
    if not name:
        return None
    known, lower = list(known), name.lower()
    letters = {re.sub(r"[^a-z0-9.]", "", k.lower()): k for k in known}
    if same := letters.get(re.sub(r"[^a-z0-9.]", "", lower)):
        return same
    last = lower.rpartition(".")[2]
    if alike := [k for k in known if "." in lower and k.rpartition(".")[2] == last]:
        return difflib.get_close_matches(lower, alike, 1, 0.0)[0]
    by_last_part = {k.rpartition(".")[2]: k for k in known}
    by_initials = {"".join(word[:1] for word in k.split("_")): full for k, full in by_last_part.items() if "_" in k}
    if exact := by_last_part.get(last) or by_initials.get(last):
        return exact
    if close := difflib.get_close_matches(lower, known, 1):
        return close[0]
    if close := difflib.get_close_matches(last, by_last_part, 1):
        return by_last_part[close[0]]
    return next((k for k in known if lower in k), None)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'epochs'?`` or, if nothing is near, ``known are epochs, seed``."""
    known = list(known)
    near = nearest(name, known)
    if not near:
        return f"known are {', '.join(known)}"
    # of the same last name in several tables
    alike = [k for k in known if k.rpartition(".")[2] == near.rpartition(".")[2]] if "." not in name else [near]
    return f"did you mean {' or '.join(map(repr, alike))}?"
