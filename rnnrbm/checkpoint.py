"""Checkpoints: named arrays and metadata in one ``.npz``, written atomically and without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrbm.files import atomic, check_path, check_regular, load_arrays

__all__ = ["CheckpointError", "assign", "load", "save"]

_META = "_meta"
_KINDS = {kind: rank for rank, kinds in enumerate(("b", "iu", "f", "c")) for kind in kinds}  # each holds those before


class CheckpointError(ValueError):
    """A file that is not a checkpoint, or belongs to another model; the message names the file and the difference."""


def save(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint.

    Parameters
    ----------
    path : path-like
        Replaced in one step: after a failure, an earlier checkpoint is unchanged.
    arrays : mapping of str to numpy.ndarray
        Numbers; no objects.
    meta : mapping
        Values that JSON can hold.
    """
    # the names are stored too, because a damaged zip directory may omit members silently
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
        If the file is truncated, is not a checkpoint, or contains pickled objects, which are never loaded.
    OSError
        If it cannot be opened.
    """
    check_path(path, "a checkpoint")
    check_regular(path, "a checkpoint")
    with open(path, "rb") as file:
        most = os.fstat(file.fileno()).st_size

        def check_size(size: int) -> None:
            # `save` does not compress, so a checkpoint that expands is another file, which could fill all memory
            if size > most:
                raise CheckpointError(f"{path}: is no checkpoint, since it expands to {size} bytes; nothing was loaded")

        try:
            found = load_arrays(file, check_size)
            arrays = found if isinstance(found, dict) else {}
            text = arrays.pop(_META, None)
            whole = None if text is None else json.loads(text.tobytes())
            if isinstance(whole, dict) and whole.get("names") != sorted(arrays):
                raise ValueError("arrays are missing")
            if any(value.dtype.kind not in "biufc" for value in arrays.values()):
                raise ValueError("arrays of something else than numbers")
        except CheckpointError:
            raise
        except Exception as error:  # zipfile, zlib, NumPy and json raise many kinds of errors for a damaged file
            reason = "contains pickled objects" if "Object arrays" in str(error) else "is truncated or no checkpoint"
            # omit NumPy's message, which suggests loading pickles
            raise CheckpointError(f"{path}: {reason}; nothing was loaded ({type(error).__name__})") from None
    if not isinstance(whole, dict) or not isinstance(whole.get("meta"), dict):
        raise CheckpointError(f"{path}: a NumPy file, but not a checkpoint of rnnrbm; nothing was loaded")
    return arrays, whole["meta"]


def assign(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, where: str) -> None:
    """Assign the values of a checkpoint to shared variables; all or none.

    Parameters
    ----------
    variables : mapping from name to shared variable
    arrays : mapping from name to numpy.ndarray
        Names without a variable are ignored.
    where : str
        Name of the source in errors.

    Raises
    ------
    CheckpointError
        If a variable's array is missing or has another shape; the message lists all such variables.
    """
    wrong = []
    for name, variable in variables.items():
        expected = variable.get_value(borrow=True).shape
        if name not in arrays:
            wrong.append(f"{name} is missing")
        elif arrays[name].shape != expected:
            wrong.append(f"{name} has shape {arrays[name].shape}, the model's is {expected}")
        elif _KINDS[arrays[name].dtype.kind] > _KINDS[np.dtype(variable.type.dtype).kind]:
            wrong.append(f"{name} has type {arrays[name].dtype}, the model's is {variable.type.dtype}")
    if wrong:
        raise CheckpointError(f"{where}: belongs to another model: " + "; ".join(wrong))
    for name, variable in variables.items():
        variable.set_value(arrays[name].astype(variable.type.dtype))
