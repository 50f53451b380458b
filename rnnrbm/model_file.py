"""Models in files: any model that is made of this library's parts, or of parts that the reader names.

A file holds the parameters, and a description of the parts: for each its class, and for each field a number, a text, a
part, or the name of a parameter. Loading calls no class but those of this library and those that it is given.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable

from rnnrbm import checkpoint
from rnnrbm.backend import engine
from rnnrbm.files import first_line

__all__ = ["PathName", "difference", "load", "outline", "save"]

_LIBRARY = "rnnrbm."

PathName = str | os.PathLike[str]


def save(path: PathName, model: Any) -> None:
    """Write a model to a file, in one step; :func:`load` reads it back.

    Parameters
    ----------
    path : path-like
        Usually ends in ``.npz``; its folder exists.
    model : SequenceModel, RBM or another part
        Named tuples and dataclasses, whose fields are shared variables, plain values, or parts in turn.

    Raises
    ------
    TypeError
        If a field holds something else, such as a graph.
    OSError
        If the file cannot be written.
    """
    variables: dict[int, tuple[str, Any]] = {}
    description = _described(model, type(model).__name__, variables)
    arrays = {key: engine.to_numpy(variable) for key, variable in variables.values()}
    checkpoint.save(path, arrays, {"model": description})


def _described(value: Any, where: str, variables: dict[int, tuple[str, Any]]) -> Any:
    """Describe a value by what JSON can hold; shared variables are collected in `variables`."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, SharedVariable):
        # names need not be unique among the layers of a network of one's own
        taken = {key for key, _ in variables.values()}
        name = value.name or "parameter"
        key = next(k for k in (name, *(f"{name}.{i}" for i in range(2, len(taken) + 3))) if k not in taken)
        key = variables.setdefault(id(value), (key, value))[0]
        return {"parameter": key, "name": value.name}
    fields = _fields(value)
    if fields is not None:
        kind = type(value)
        parts = {name: _described(part, f"{where}.{name}", variables) for name, part in fields.items()}
        return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": parts}
    if isinstance(value, (tuple, list)):
        return [_described(part, f"{where}[{i}]", variables) for i, part in enumerate(value)]
    raise TypeError(
        f"{where} is {value!r:.60} of type {type(value).__name__}, which cannot be saved; expected shared variables, "
        "numbers, texts, and named tuples or dataclasses of these"
    )


def _fields(value: Any) -> dict[str, Any] | None:
    """Return the fields of a named tuple or a dataclass; None for anything else."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: getattr(value, name) for name in value._fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def difference(found: Any, expected: Any) -> str:
    """Say in what the parts of two models differ, but for the values of parameters; empty if in nothing.

    Parameters
    ----------
    found, expected : SequenceModel or another part
    """
    leaves: list[dict[str, str]] = []
    for model in (found, expected):
        variables: dict[int, tuple[str, Any]] = {}
        description = _described(model, "model", variables)
        leaves.append(dict(_leaves(description, "model", dict(variables.values()))))
    first, second = leaves
    where = next((where for where in first | second if first.get(where) != second.get(where)), None)
    if where is None:
        return ""
    return f"{where} is {first.get(where, 'missing')}, the model's is {second.get(where, 'missing')}"


def outline(model: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str, tuple[int, ...]]]]:
    """Return what a model is made of, for people to read.

    Returns
    -------
    list of (str, str)
        Its parts and their plain values: where each stands, and its class or its value.
    list of (str, str, tuple of int)
        Its parameters, each once: where it stands first, its name and its shape.
    """
    variables: dict[int, tuple[str, Any]] = {}
    description = _described(model, type(model).__name__, variables)
    named = dict(variables.values())
    parts: list[tuple[str, str]] = []
    parameters: dict[str, tuple[str, str, tuple[int, ...]]] = {}

    def walk(part: Any, where: str) -> None:
        if isinstance(part, list):
            for i, each in enumerate(part):
                walk(each, f"{where}[{i}]")
        elif not isinstance(part, dict):
            parts.append((where, repr(part)))
        elif "parameter" in part:
            key = part["parameter"]
            parameters.setdefault(key, (where, part["name"] or key, named[key].type.shape))
        else:
            if where:
                parts.append((where, part["class"].rpartition(":")[2]))
            for name, field in part["fields"].items():
                walk(field, f"{where}.{name}".lstrip("."))

    walk(description, "")
    return parts, list(parameters.values())


def _leaves(part: Any, where: str, variables: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the places of a description, the outer ones first, and in words what is there."""
    if isinstance(part, list):
        yield where, f"{len(part)} parts"
        for i, each in enumerate(part):
            yield from _leaves(each, f"{where}[{i}]", variables)
    elif not isinstance(part, dict):
        yield where, repr(part)
    elif "parameter" in part:
        yield where, f"an array of shape {variables[part['parameter']].type.shape}"
    else:
        yield where, part["class"].rpartition(":")[2]
        for name, field in part["fields"].items():
            yield from _leaves(field, f"{where}.{name}", variables)


def load(path: PathName, classes: Sequence[type] = ()) -> Any:
    """Read a model that :func:`save` wrote, or ``model.save``.

    Parameters
    ----------
    path : path-like
    classes : sequence of type
        Classes of parts that are not of this library.

    Raises
    ------
    CheckpointError
        If the file is damaged, holds no model, or a part of a class that is neither of this library nor given.
    OSError
        If it cannot be read.
    """
    if isinstance(classes, str) or not all(isinstance(kind, type) for kind in classes):
        raise TypeError(f"classes={classes!r:.60}: expected a list of classes, not of their names")
    arrays, meta = checkpoint.load(path)
    description = meta.get("model")
    # a value or a parameter alone is no model
    if not description or not isinstance(description, dict | list) or "parameter" in description:
        raise checkpoint.CheckpointError(f"{path}: holds no model; expected a file written by model.save(path)")
    given = {f"{kind.__module__}:{kind.__qualname__}": kind for kind in classes}
    if wrong := [name for name, value in arrays.items() if not np.isfinite(value).all()]:
        raise checkpoint.CheckpointError(f"{path}: parameters hold NaN or infinity: {', '.join(wrong)}")
    made: dict[str, Any] = {}

    def value_of(part: Any) -> Any:
        if isinstance(part, list):
            return tuple(map(value_of, part))
        if not isinstance(part, dict):
            return part
        if "parameter" in part:  # the same one for all its places: weights may be tied
            name = part["parameter"]
            if name not in made:
                made[name] = engine.shared(arrays[name], part["name"], arrays[name].dtype)
            return made[name]
        kind = _class_of(part["class"], given, path)
        return kind(**{name: value_of(field) for name, field in part["fields"].items()})

    try:
        model = value_of(description)
        # a value in the place of a part or a parameter fails here, not when the model is used
        if not all(isinstance(parameter, SharedVariable) for parameter in getattr(model, "params", ())):
            raise TypeError("a value in the place of a parameter")
        return model
    except checkpoint.CheckpointError:
        raise
    except Exception as error:  # a damaged description can fail anywhere
        raise checkpoint.CheckpointError(
            f"{path}: its model cannot be made ({first_line(error)}); the file is damaged, or of another version of "
            "rnnrbm"
        ) from error


def _class_of(name: str, given: Mapping[str, type], path: PathName) -> type:
    """Return the class of a part, one of this library or of those given."""
    if name in given:
        return given[name]
    module, _, qualname = name.partition(":")
    if module.startswith(_LIBRARY) and qualname.isidentifier():
        kind = getattr(importlib.import_module(module), qualname, None)
        # only named tuples and dataclasses that the module itself defines
        is_part = hasattr(kind, "_fields") or dataclasses.is_dataclass(kind)
        if isinstance(kind, type) and kind.__module__ == module and is_part:
            return kind
    raise checkpoint.CheckpointError(
        f"{path}: holds a part of the class {name[:100]!r}, which is not of this library; give the class: "
        "rnnrbm.load_model(path, classes=[...])"
    )
