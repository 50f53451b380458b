"""Checkpoints: named arrays and a little text in one ``.npz``, written whole or not at all, without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrbm.files import atomic

__all__ = ["CheckpointError", "assign", "load", "save"]

_META = "_meta"


class CheckpointError(ValueError):
    """A file that is no checkpoint, or one of another model; the message names the file and what differs."""


def save(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint.

    Parameters
    ----------
    path : path-like
        Replaced in one step: after a failure, an earlier checkpoint is as it was.
    arrays : mapping of str to numpy.ndarray
        Numbers; no objects.
    meta : mapping
        Anything JSON can hold.
    """
    # the names are written down too, because a damaged directory of a zip file may leave out members silently
    text = np.frombuffer(json.dumps({"names": sorted(arrays), "meta": dict(meta)}).encode(), np.uint8)
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **{_META: text}, **arrays)


def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint.

    Returns
    -------
    arrays : dict of str to numpy.ndarray
    meta : dict

    Raises
    ------
    CheckpointError
        If the file is truncated, no checkpoint, or contains pickled objects, which are never loaded.
    OSError
        If it cannot be opened.
    """
    # opened here, because np.load leaves a damaged file open
    with open(path, "rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
            arrays = {name: archive[name] for name in getattr(archive, "files", [])}
            text = arrays.pop(_META, None)
            whole = None if text is None else json.loads(text.tobytes())
            if isinstance(whole, dict) and whole.get("names") != sorted(arrays):
                raise ValueError("arrays are missing")
        except Exception as error:  # a damaged file makes zipfile, zlib, NumPy or json raise whatever they run into
            reason = "contains pickled objects" if "Object arrays" in str(error) else "is truncated or no checkpoint"
            # NumPy advises loading pickles after all, so its own words are left out
            raise CheckpointError(f"{path}: {reason}; nothing was loaded ({type(error).__name__})") from None
    if not isinstance(whole, dict):
        raise CheckpointError(f"{path}: a NumPy file, but not a checkpoint of rnnrbm; nothing was loaded")
    return arrays, whole["meta"]


def assign(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, where: str) -> None:
    """Give shared variables the values of a checkpoint; all or none.

    Parameters
    ----------
    variables : mapping from name to shared variable
    arrays : mapping from name to numpy.ndarray
        Names that no variable has are ignored.
    where : str
        What to call the source in errors.

    Raises
    ------
    CheckpointError
        If a variable's array is missing or has another shape; the message lists all of them.
    """
    wrong = []
    for name, variable in variables.items():
        expected = variable.get_value(borrow=True).shape
        if name not in arrays:
            wrong.append(f"{name} is missing")
        elif arrays[name].shape != expected:
            wrong.append(f"{name} has shape {arrays[name].shape}, the model's is {expected}")
    if wrong:
        raise CheckpointError(f"{where}: belongs to another model: " + "; ".join(wrong))
    for name, variable in variables.items():
        variable.set_value(arrays[name].astype(variable.type.dtype))
