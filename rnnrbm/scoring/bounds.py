"""Lower bounds of the log-likelihood, of models of single frames that have one as ``bound``.

Such a model computes it by itself, since what its latent units are given a frame is its own affair. Here is what the
others need: which settings a bound has, and what is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from rnnrbm.backend import random
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.static import StaticModel

__all__ = ["bound_options", "bound_settings", "has_bound", "lower_bound"]


def has_bound(model: Any) -> bool:
    """Whether a model is a static one with a lower bound of its log-likelihood."""
    return isinstance(model, StaticModel) and hasattr(model, "bound")


def bound_settings(model: Any) -> list[str]:
    """Return the names of the settings of a model's bound, such as ``n_chains``."""
    own = ("frames", "seed", "mode")
    return [name for name in inspect.signature(model.bound).parameters if name not in own]


def bound_options(model: StaticModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings that were chosen, after a check that the model's bound has them.

    Parameters
    ----------
    model : StaticModel
    given : mapping
        Settings such as ``n_chains`` by name; None stands for one that was not chosen.

    Raises
    ------
    ValueError
        If the model has no bound and a setting was chosen, or its bound has no such setting.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    kind = type(model).__name__
    if not has_bound(model):
        if chosen:
            raise ValueError(
                f"{', '.join(chosen)}: a {kind} has neither a log-likelihood nor a bound of one; leave out "
                f"{'it' if len(chosen) == 1 else 'them'}; it is measured by its {model.score_name}"
            )
        return chosen
    known = bound_settings(model)
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(
            f"{', '.join(unknown)}: the bound of a {kind} has no such setting; it has {', '.join(known) or 'none'}"
        )
    return chosen


def lower_bound(
    model: StaticModel, frames: Any, given: Mapping[str, Any], *, seed: random.Seed = 0, mode: Any = None
) -> LogLikelihood:
    """Return the lower bound of the log-likelihood of frames; for `given` and errors see :func:`bound_options`.

    Raises
    ------
    TypeError
        If the model has no bound.
    """
    if not has_bound(model):
        raise TypeError(f"a {type(model).__name__} has no log-likelihood; it is measured by model.score(pieces)")
    computes: Any = model
    found: LogLikelihood = computes.bound(frames, **bound_options(model, given), seed=seed, mode=mode)
    return found
