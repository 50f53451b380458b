"""The family: published sequence models by name, each a network and a frame density.

| name | network | frame density |
| --- | --- | --- |
| ``rnn-rbm`` | recurrent | RBM (Boulanger-Lewandowski et al. 2012) |
| ``rtrbm`` | the RBM's own hidden units | RBM (Sutskever et al. 2008) |
| ``rnn-nade`` | recurrent | NADE (Boulanger-Lewandowski et al. 2012) |
| ``tied-rnn-rbm`` | recurrent, the same for every note | convolutional RBM |
| ``tied-rnn-nade`` | recurrent, the same for every note | NADE by distance (Johnson 2017) |
| ``rnn`` | recurrent | independent units: predict the next frame; of softmax units, the char-RNN |
| ``mlp`` | a window of past frames | independent units |
| ``rbm`` | none | RBM |
| ``nade`` | none | NADE |

To add one: a function like those below, and a line in :data:`MODELS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnrbm.densities import Independent
from rnnrbm.models.nade import NADE
from rnnrbm.models.pitch_tied import tied_rnn_nade, tied_rnn_rbm
from rnnrbm.networks import Memoryless, init_window
from rnnrbm.rbm import RBM
from rnnrbm.rnnrbm import init_network, rnn_rbm, rtrbm
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import Bernoulli, Gaussian, ReLU, Softmax, Unit

__all__ = ["MODELS", "build", "frame_nade", "frame_rbm", "mlp", "options_of", "rnn", "rnn_nade"]


def rnn_nade(
    n_visible: int,
    n_hidden: int = 256,
    n_recurrent: int = 256,
    *,
    rng: np.random.Generator,
    cell: str = "gru",
    n_layers: int = 1,
    connections: str = "plain",
    frames_per_bar: int = 0,
    n_pitch_conv: int = 0,
    orderless: bool = False,
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
) -> SequenceModel:
    """Make an RNN-NADE; see :func:`rnnrbm.rnnrbm.rnn_rbm` and :meth:`rnnrbm.models.nade.NADE.init` for the
    parameters.
    """
    density = NADE.init(n_visible, n_hidden, rng=rng, b_v=b_v, orderless=orderless, dtype=dtype)
    network = init_network(
        cell,
        n_visible,
        n_recurrent,
        n_layers,
        rng=rng,
        connections=connections,
        frames_per_bar=frames_per_bar,
        n_pitch_conv=n_pitch_conv,
        dtype=dtype,
    )
    return SequenceModel.init(network, density, rng=rng, dtype=dtype)


def rnn(
    n_visible: int,
    n_recurrent: int = 256,
    *,
    rng: np.random.Generator,
    cell: str = "gru",
    n_layers: int = 1,
    connections: str = "plain",
    frames_per_bar: int = 0,
    n_pitch_conv: int = 0,
    visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
) -> SequenceModel:
    """Make an RNN that predicts each unit of the next frame by itself; ``visible=Softmax(n_visible)``: a char-RNN."""
    density = Independent.init(n_visible, b_v=b_v, visible=visible, dtype=dtype)
    network = init_network(
        cell,
        n_visible,
        n_recurrent,
        n_layers,
        rng=rng,
        connections=connections,
        frames_per_bar=frames_per_bar,
        n_pitch_conv=n_pitch_conv,
        dtype=dtype,
    )
    return SequenceModel.init(network, density, rng=rng, dtype=dtype)


def mlp(
    n_visible: int,
    n_hidden: int = 256,
    window: int = 8,
    *,
    rng: np.random.Generator,
    visible: Unit = Bernoulli(),  # noqa: B008
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
) -> SequenceModel:
    """Make a network with one hidden layer that predicts the next frame from the latest `window` ones."""
    density = Independent.init(n_visible, b_v=b_v, visible=visible, dtype=dtype)
    network = init_window(n_visible, n_hidden, window, rng=rng, dtype=dtype)
    return SequenceModel.init(network, density, rng=rng, dtype=dtype)


def frame_rbm(
    n_visible: int,
    n_hidden: int = 256,
    *,
    rng: np.random.Generator,
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
    **rbm_options: Any,
) -> SequenceModel:
    """Make an RBM of frames that are independent of each other; see :meth:`rnnrbm.rbm.RBM.init`."""
    density = RBM.init(n_visible, n_hidden, rng=rng, b_v=b_v, dtype=dtype, **rbm_options)
    return SequenceModel(Memoryless(density.b_v.dtype), density)


def frame_nade(
    n_visible: int,
    n_hidden: int = 256,
    *,
    rng: np.random.Generator,
    orderless: bool = False,
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
) -> SequenceModel:
    """Make a NADE of frames that are independent of each other; see :meth:`rnnrbm.models.nade.NADE.init`."""
    density = NADE.init(n_visible, n_hidden, rng=rng, b_v=b_v, orderless=orderless, dtype=dtype)
    return SequenceModel(Memoryless(density.b_v.dtype), density)


#: published name -> the function that makes it
MODELS: dict[str, Callable[..., SequenceModel]] = {
    "rnn-rbm": rnn_rbm,
    "rtrbm": rtrbm,
    "rnn-nade": rnn_nade,
    "tied-rnn-rbm": tied_rnn_rbm,
    "tied-rnn-nade": tied_rnn_nade,
    "rnn": rnn,
    "mlp": mlp,
    "rbm": frame_rbm,
    "nade": frame_nade,
}


#: names of unit types, for configurations: from the size of a layer to the unit
UNITS: dict[str, Callable[[int], Unit]] = {
    "binary": lambda n: Bernoulli(),
    "softmax": lambda n: Softmax(max(2, n)),
    "gaussian": lambda n: Gaussian(),
    "relu": lambda n: ReLU(),
}


def unit_of(layer: str, name: str | Unit, n: int) -> Unit:
    """Return the unit type of a layer of `n` columns by its name.

    Parameters
    ----------
    layer : {"visible", "hidden"}
        For the error.
    name : str or Unit
        One of :data:`UNITS`; ``"softmax"`` is one choice among all columns, ``"softmax:4"`` one among each four.
    n : int

    Raises
    ------
    ValueError
        If there is no such type, or the columns do not divide into groups of that size.
    """
    if not isinstance(name, str):
        return name
    kind, _, size = name.partition(":")
    if kind not in UNITS or (size and (kind != "softmax" or not size.isdecimal())):
        raise ValueError(f"{layer} {name!r} is not one of {', '.join(UNITS)}; or softmax:4 for groups of four")
    if not size:
        return UNITS[kind](n)
    if int(size) < 2 or n % int(size):
        raise ValueError(f"{layer} {name!r}: {n} columns do not divide into groups of {size}, expected 2 or more")
    return Softmax(int(size))


def options_of(name: str) -> dict[str, Any]:
    """What a model can be told, and what it does if it is not: ``{"n_hidden": 256, "cell": "gru"}``."""
    parameters = inspect.signature(MODELS[name]).parameters.values()
    given = {"n_visible", "rng", "b_v", "dtype"}
    options = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in given}
    has_units = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if "visible" in options or has_units:
        options["visible"] = "binary"
    if has_units and name != "rtrbm":
        options["hidden"] = "binary"
    return options


def build(
    name: str,
    n_visible: int,
    *,
    rng: np.random.Generator,
    b_v: np.ndarray | float = 0.0,
    visible: str | Unit = "binary",
    hidden: str | Unit = "binary",
    dtype: str | None = None,
    **options: Any,
) -> SequenceModel:
    """Make a model by its published name.

    Parameters
    ----------
    name : str
        One of :data:`MODELS`.
    n_visible : int
    rng : numpy.random.Generator
    b_v : array of shape (n_visible,) or float
        Initial visible biases.
    visible, hidden : {"binary", "softmax", "gaussian", "relu"} or Unit
        Unit types of a frame and of the hidden layer of an RBM; see :func:`unit_of`.
    dtype : str or None
        None stands for PyTensor's ``floatX``.
    **options
        Those of the function in :data:`MODELS`: ``n_hidden``, ``n_recurrent``, ``cell`` ...

    Raises
    ------
    ValueError
        If there is no such model, it has no such option, or an option is impossible.
    TypeError
        If `rng` is no generator, or a size no whole number.
    """
    if name not in MODELS:
        raise ValueError(f"model {name!r} is not one of {', '.join(MODELS)}")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a generator, such as numpy.random.default_rng(0), got {rng!r}")
    known = options_of(name)
    if wrong := sorted(set(options) - set(known)):
        raise ValueError(f"{', '.join(wrong)} cannot be chosen for {name}, which has {', '.join(sorted(known))}")
    whole = {key: value for key, value in options.items() if type(known[key]) is int}
    for key, value in {"n_visible": n_visible, **whole}.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise TypeError(f"{key} must be a whole number, got {value!r}")
    sizes = {"visible": n_visible, "hidden": options.get("n_hidden", known.get("n_hidden", 1))}
    for layer, given in (("visible", visible), ("hidden", hidden)):
        unit = unit_of(layer, given, sizes[layer])
        if layer in known:
            options[layer] = unit
        elif unit != Bernoulli():
            raise ValueError(f"{name} has binary {layer} units, not {unit}")
    return MODELS[name](n_visible, rng=rng, b_v=b_v, dtype=dtype, **options)
