"""One program for all graphs that are equal.

PyTensor takes a second or more to rewrite a graph and JAX takes as long to compile it. Graphs that differ only in their
shared variables, such as those of a second model of the same sizes or of a resumed run, are the same program with other
values: it is compiled once and then shared. A :class:`Program` is this compiled program with the shared variables of
one caller. The compiled program itself holds none, so a model that is no longer used leaves the memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import graph_inputs
from pytensor.tensor.type import TensorType

__all__ = ["MOST_PROGRAMS", "Program", "compiled", "forget", "shared_inputs"]

#: Programs to keep; the one that was used longest ago is dropped first.
MOST_PROGRAMS = 128

#: options of ``pytensor.function`` that do not change the program
KNOWN_OPTIONS = {"on_unused_input", "trust_input"}

_programs: OrderedDict[Any, Any] = OrderedDict()


class Program:
    """A compiled program and the shared variables that it reads and updates.

    Parameters
    ----------
    function : callable
        Takes the inputs, then the values of `shared`; returns the outputs, then the new values of `updated`.
    inputs : sequence of Variable
        The inputs of a call.
    shared, updated : sequence of SharedVariable
        The variables that are read and those that are written.
    outputs : Variable, sequence of Variable or None
        What a call returns: one result, a list of results or None.
    trust_input : bool
        Pass the arguments as they are, without a check of their types.

    Notes
    -----
    Other attributes, such as ``maker``, are those of the compiled function.
    """

    def __init__(
        self,
        function: Any,
        inputs: Sequence[Any],
        shared: Sequence[Any],
        updated: Sequence[Any],
        outputs: Any,
        trust_input: bool,
    ) -> None:
        self._function = function
        self._inputs = inputs
        self._filters = None if trust_input else [x.type.filter for x in inputs]
        self._read = [variable.container.storage for variable in shared]
        self._written = [variable.container.storage for variable in updated]
        self._outputs = outputs

    def __call__(self, *arguments: Any) -> Any:
        if len(arguments) != len(self._inputs):
            raise TypeError(f"{len(arguments)} arguments: expected {len(self._inputs)}: {self._inputs}")
        if self._filters is not None:
            arguments = tuple(check(x, allow_downcast=None) for check, x in zip(self._filters, arguments, strict=True))
        results = self._function(*arguments, *[storage[0] for storage in self._read])
        n = len(results) - len(self._written)
        for storage, value in zip(self._written, results[n:], strict=True):
            storage[0] = value
        if isinstance(self._outputs, Variable):
            return results[0]
        return None if self._outputs is None else results[:n]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def compiled(
    inputs: Sequence[Any], outputs: Any, updates: Mapping[Any, Any], mode: str | Mode, options: Mapping[str, Any]
) -> Any:
    """Return a callable like that of ``pytensor.function``, with the program of an earlier equal graph if there is one.

    Parameters
    ----------
    inputs, outputs, updates, mode, options
        As for ``pytensor.function``.

    Returns
    -------
    Program or pytensor Function
        A graph with something that is unknown here is compiled by PyTensor alone.
    """
    listed = [] if outputs is None else [outputs] if isinstance(outputs, Variable) else outputs
    results = [*listed, *updates.values()] if isinstance(listed, list | tuple) else []
    plain = all(isinstance(x, Variable) for x in (*inputs, *results)) and KNOWN_OPTIONS.issuperset(options)
    shared = shared_inputs(results, blockers=inputs) if plain else []
    if not plain or not results or any(_is_special(x) for x in (*shared, *updates)):
        return pytensor.function(list(inputs), outputs, updates=dict(updates), mode=mode, **options)
    key = _signature([*inputs, *shared], results), len(listed), mode, options.get("on_unused_input")
    function = _programs.pop(key, None)
    if function is None:
        places = [x.type(name=x.name) for x in shared]
        function = pytensor.function(
            [*inputs, *places],
            results,
            givens=list(zip(shared, places, strict=True)),
            mode=mode,
            trust_input=True,
            on_unused_input=options.get("on_unused_input", "raise"),
        )
    _programs[key] = function  # as the newest
    if len(_programs) > MOST_PROGRAMS:
        _programs.popitem(last=False)
    return Program(function, list(inputs), shared, list(updates), outputs, bool(options.get("trust_input")))


def forget() -> None:
    """Drop all programs that are kept for equal graphs."""
    _programs.clear()


def shared_inputs(outputs: Iterable[Any], blockers: Sequence[Any] = ()) -> list[Any]:
    """Return the shared variables that expressions depend on, without duplicates; not those behind `blockers`."""
    return [x for x in graph_inputs(outputs, blockers=blockers) if isinstance(x, SharedVariable)]


def _is_special(variable: Any) -> bool:
    """Whether a shared variable updates itself or is no array."""
    return not isinstance(variable.type, TensorType) or getattr(variable, "default_update", None) is not None


def _signature(inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[Any, ...]:
    """Describe a graph by its operations alone: equal for graphs that compute the same of their inputs."""
    places: dict[Any, Any] = {x: ("input", i, x.type) for i, x in reversed(list(enumerate(inputs)))}
    operations: list[Any] = []
    pending = list(reversed(outputs))
    while pending:
        x = pending[-1]
        if x in places:
            pending.pop()
        elif x.owner is None:
            places[x] = ("constant", x.type, _content(x))
            pending.pop()
        elif missing := [y for y in x.owner.inputs if y not in places]:
            pending.extend(reversed(missing))
        else:
            node = x.owner
            operations.append((node.op, tuple(places[y] for y in node.inputs), tuple(y.type for y in node.outputs)))
            for i, y in enumerate(node.outputs):
                places.setdefault(y, ("result", len(operations), i))
            pending.pop()
    return tuple(operations), tuple(places[x] for x in outputs)


def _content(variable: Any) -> Any:
    """What makes two constants equal; a value of an unknown type equals only itself."""
    data = variable.data if isinstance(variable, Constant) else variable
    if isinstance(data, np.ndarray | np.generic) and data.dtype != object:
        return data.dtype, data.shape, data.tobytes()
    return (type(data), data) if isinstance(data, int | float | str | type(None)) else variable
