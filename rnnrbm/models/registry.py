"""The family: published models by name.

Sequence models are each a network and a frame density.

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
| ``conv-rbm`` | none | convolutional RBM with max-pooling (Lee et al. 2009) |

Other models of single frames (:mod:`rnnrbm.static`) have no likelihood that a network could use.

| name | model |
| --- | --- |
| ``boltzmann`` | Boltzmann machine (Ackley, Hinton & Sejnowski 1985) |
| ``hopfield`` | Hopfield net (Hopfield 1982) |
| ``autoencoder`` | denoising autoencoder (Vincent et al. 2008) |
| ``dbm`` | deep Boltzmann machine (Salakhutdinov & Hinton 2009) |
| ``multimodal-dbm`` | the same of images and their labels (Srivastava & Salakhutdinov 2012) |
| ``vae`` | variational autoencoder (Kingma & Welling 2014) |
| ``dbn`` | deep belief net (Hinton et al. 2006) |

To add one: a function like those below, and a line in :data:`SEQUENCE_MODELS` or :data:`STATIC_MODELS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Unpack, get_args, get_type_hints

import numpy as np

from rnnrbm import memory
from rnnrbm.arguments import nearest
from rnnrbm.backend.random import Seed, generator
from rnnrbm.densities import Independent
from rnnrbm.joint_units import Joint
from rnnrbm.models.autoencoder import Autoencoder
from rnnrbm.models.boltzmann import BoltzmannMachine
from rnnrbm.models.convolutional import conv_rbm
from rnnrbm.models.dbm import DBM
from rnnrbm.models.dbn import DBN
from rnnrbm.models.hopfield import Hopfield
from rnnrbm.models.multimodal import MultimodalDBM
from rnnrbm.models.nade import NADE
from rnnrbm.models.names import shown_name
from rnnrbm.models.options import ModelOptions
from rnnrbm.models.pitch_tied import tied_rnn_nade, tied_rnn_rbm
from rnnrbm.models.vae import VAE
from rnnrbm.networks import Memoryless, init_window
from rnnrbm.pitch import TiedOptions, init_tied
from rnnrbm.rbm import RBM, RBMOptions
from rnnrbm.rnnrbm import NetworkOptions, init_network, rnn_rbm, rtrbm
from rnnrbm.sequence import SequenceModel
from rnnrbm.static import StaticModel
from rnnrbm.units import Bernoulli, Gaussian, LearnedGaussian, ReLU, Softmax, Unit

__all__ = [
    "MODELS",
    "SEQUENCE_MODELS",
    "STATIC_MODELS",
    "build",
    "frame_nade",
    "frame_rbm",
    "hopfield",
    "mlp",
    "options_of",
    "rnn",
    "rnn_nade",
    "shown_name",
]


def rnn_nade(
    n_visible: int,
    n_hidden: int = 256,
    n_recurrent: int = 256,
    *,
    seed: Seed,
    orderless: bool = False,
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
    **network: Unpack[NetworkOptions],
) -> SequenceModel:
    """Make an RNN-NADE; see :func:`rnnrbm.rnnrbm.rnn_rbm` and :meth:`rnnrbm.models.nade.NADE.init` for the
    parameters.
    """
    rng = generator(seed)
    density = NADE.init(n_visible, n_hidden, seed=rng, b_v=b_v, orderless=orderless, dtype=dtype)
    reader = init_network(n_visible, n_recurrent, seed=rng, dtype=dtype, **network)
    return SequenceModel.init(reader, density, seed=rng, dtype=dtype)


def rnn(
    n_visible: int,
    n_recurrent: int = 256,
    *,
    seed: Seed,
    visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
    **network: Unpack[NetworkOptions],
) -> SequenceModel:
    """Make an RNN: given the past, the units of a frame are independent. With softmax units it is a char-RNN."""
    rng = generator(seed)
    density = Independent.init(n_visible, b_v=b_v, visible=visible, dtype=dtype)
    reader = init_network(n_visible, n_recurrent, seed=rng, dtype=dtype, **network)
    return SequenceModel.init(reader, density, seed=rng, dtype=dtype)


def mlp(
    n_visible: int,
    n_hidden: int = 256,
    window: int = 8,
    *,
    seed: Seed,
    visible: Unit = Bernoulli(),  # noqa: B008
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
) -> SequenceModel:
    """Make a network with one hidden layer that predicts the next frame from the latest `window` ones."""
    rng = generator(seed)
    density = Independent.init(n_visible, b_v=b_v, visible=visible, dtype=dtype)
    network = init_window(n_visible, n_hidden, window, seed=rng, dtype=dtype)
    return SequenceModel.init(network, density, seed=rng, dtype=dtype)


def frame_rbm(n_visible: int, n_hidden: int = 256, *, seed: Seed, **options: Unpack[RBMOptions]) -> SequenceModel:
    """Make an RBM of frames that are independent of each other; see :meth:`rnnrbm.rbm.RBM.init`."""
    density = RBM.init(n_visible, n_hidden, seed=seed, **options)
    return SequenceModel(Memoryless(density.b_v.dtype), density)


def frame_nade(
    n_visible: int,
    n_hidden: int = 256,
    *,
    seed: Seed,
    orderless: bool = False,
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
) -> SequenceModel:
    """Make a NADE of frames that are independent of each other; see :meth:`rnnrbm.models.nade.NADE.init`."""
    rng = generator(seed)
    density = NADE.init(n_visible, n_hidden, seed=rng, b_v=b_v, orderless=orderless, dtype=dtype)
    return SequenceModel(Memoryless(density.b_v.dtype), density)


def hopfield(
    n_visible: int,
    *,
    seed: Seed,
    unlearning: float = 0.0,
    n_sweeps: int = 20,
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
) -> Hopfield:
    """Make an empty Hopfield net; see :meth:`rnnrbm.models.hopfield.Hopfield.init`.

    It begins without weights and has no biases, so it has no use for `seed` and `b_v`, which every model by name takes.
    """
    return Hopfield.init(n_visible, unlearning=unlearning, n_sweeps=n_sweeps, dtype=dtype)


#: published name of a sequence model -> the function that makes it
SEQUENCE_MODELS: dict[str, Callable[..., SequenceModel]] = {
    "rnn-rbm": rnn_rbm,
    "rtrbm": rtrbm,
    "rnn-nade": rnn_nade,
    "tied-rnn-rbm": tied_rnn_rbm,
    "tied-rnn-nade": tied_rnn_nade,
    "rnn": rnn,
    "mlp": mlp,
    "rbm": frame_rbm,
    "nade": frame_nade,
    "conv-rbm": conv_rbm,
}
#: published name of another model of single frames -> the function that makes it
STATIC_MODELS: dict[str, Callable[..., StaticModel]] = {
    "boltzmann": BoltzmannMachine.init,
    "hopfield": hopfield,
    "autoencoder": Autoencoder.init,
    "dbm": DBM.init,
    "multimodal-dbm": MultimodalDBM.init,
    "vae": VAE.init,
    "dbn": DBN.init,
}
#: all of them
MODELS: dict[str, Callable[..., SequenceModel | StaticModel]] = {**SEQUENCE_MODELS, **STATIC_MODELS}


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
        One of :data:`UNITS`. ``"softmax"`` is one choice among all columns, ``"softmax:4"`` one among each four;
        ``"gaussian:0.2"`` has a standard deviation of 0.2 instead of 1, and ``"gaussian:learned"`` one of its own for
        each column, which is learned; with ``"gaussian:conditional"`` the network sets it for each frame.
        ``"binary+softmax:10"`` is a layer of several types: after the first, each softmax unit takes as many columns as
        it has states, from the end; the first takes the rest.
    n : int

    Raises
    ------
    ValueError
        If there is no such type, or the columns do not divide into groups of that size.
    """
    if not isinstance(name, str):
        return name
    if "+" in name:
        return _joint(layer, name, n)
    kind, _, option = name.partition(":")
    if kind not in UNITS or (option and kind not in ("softmax", "gaussian")):
        raise ValueError(
            f"{layer} {name!r} is not one of {', '.join(UNITS)}; or softmax:4 for groups of four, gaussian:0.2 for "
            "a standard deviation of 0.2, gaussian:learned for one that is learned, gaussian:conditional for one that "
            "depends on the past, binary+softmax:10 for both"
        )
    if not option:
        return UNITS[kind](n)
    if kind == "gaussian" and option == "conditional" and layer != "visible":
        raise ValueError(f"{layer} {name!r}: only the visible units have standard deviations that depend on the past")
    if kind == "gaussian" and option in ("learned", "conditional"):
        return LearnedGaussian.init(n, conditional=option == "conditional")
    try:
        value = int(option) if kind == "softmax" else float(option)
    except ValueError:
        raise ValueError(
            f"{layer} {name!r}: expected a number after {kind}:, such as softmax:4 or gaussian:0.2, or "
            "gaussian:learned or gaussian:conditional"
        ) from None
    if kind == "gaussian":
        if not 0 < value < float("inf"):
            raise ValueError(f"{layer} {name!r}: expected a positive standard deviation")
        return Gaussian(value)
    if value < 2 or n % value:
        raise ValueError(f"{layer} {name!r}: {n} columns do not divide into groups of {option}, expected 2 or more")
    return Softmax(int(value))


def _joint(layer: str, name: str, n: int) -> Joint:
    """Return the unit type of a name such as ``"binary+softmax:10"``."""
    first, *others = name.split("+")
    sizes = [other.removeprefix("softmax:") for other in others]
    if not all(size.isdecimal() and other != size for size, other in zip(sizes, others, strict=True)):
        raise ValueError(f"{layer} {name!r}: expected softmax units after the first +, such as binary+softmax:10")
    rest = n - sum(map(int, sizes))
    if rest < 1:
        raise ValueError(
            f"{layer} {name!r}: {n} columns leave none to the {first} units; expected {n - rest + 1} or more"
        )
    if first == "gaussian:conditional":
        raise ValueError(f"{layer} {name!r}: a layer of several types has gaussian:learned, not gaussian:conditional")
    own = [(int(size), unit_of(layer, other, int(size))) for size, other in zip(sizes, others, strict=True)]
    return Joint(((rest, unit_of(layer, first, rest)), *own))


#: functions to which makers pass options on
_PASSED_ON: dict[Any, Callable[..., Any]] = {NetworkOptions: init_network, TiedOptions: init_tied, RBMOptions: RBM.init}


def options_of(name: str) -> dict[str, Any]:
    """Return the options of a model and their defaults: ``{"n_hidden": 256, "cell": "gru"}``."""
    make = MODELS[name]
    parameters = dict(inspect.signature(make).parameters)
    for parameter in list(parameters.values()):
        if parameter.kind is parameter.VAR_KEYWORD:
            (names,) = get_args(get_type_hints(make, include_extras=True)[parameter.name])
            passed_on = inspect.signature(_PASSED_ON[names]).parameters
            parameters |= {key: passed_on[key] for key in get_type_hints(names)}
            del parameters[parameter.name]
    # not for users of a configuration
    own = ("n_visible", "seed", "b_v", "scale", "dtype", "bias", "negative")
    options = {key: p.default for key, p in parameters.items() if key not in own}
    return options | {layer: "binary" for layer in ("visible", "hidden") if layer in options}


def build(
    name: str,
    n_visible: int,
    *,
    seed: Seed,
    b_v: np.ndarray | float = 0.0,
    visible: str | Unit = "binary",
    hidden: str | Unit = "binary",
    dtype: str | None = None,
    **options: Unpack[ModelOptions],
) -> Any:
    """Make a model by its published name: a SequenceModel, or a :class:`rnnrbm.static.StaticModel`.

    Parameters
    ----------
    name : str
        One of :data:`MODELS`.
    n_visible : int
    seed : int or numpy.random.Generator
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
        If `seed` is neither a whole number nor a generator, or a size no whole number.
    MemoryError
        If the parameters would take more memory than there is.
    """
    rng, chosen = generator(seed), dict[str, Any](options)
    if name not in MODELS:
        raise ValueError(f"model {name!r} is not one of {', '.join(MODELS)}")
    known = options_of(name)
    if wrong := sorted(set(chosen) - set(known)):
        near = nearest(wrong[0], known)
        hint = f" (did you mean {near!r}?)" if near else ""
        raise ValueError(f"{', '.join(wrong)} cannot be chosen for {name}{hint}, which has {', '.join(sorted(known))}")
    whole = {key: value for key, value in chosen.items() if type(known[key]) is int}
    for key, value in {"n_visible": n_visible, **whole}.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise TypeError(f"{key} must be a whole number, got {value!r}")
    sizes = {"visible": n_visible, "hidden": chosen.get("n_hidden", known.get("n_hidden", 1))}
    for layer, given in (("visible", visible), ("hidden", hidden)):
        unit = unit_of(layer, given, sizes[layer])
        if layer in known:
            chosen[layer] = unit
        elif unit != Bernoulli():
            raise ValueError(f"{name} has binary {layer} units, not {unit}")
    _check_memory(name, n_visible, known | chosen)
    return MODELS[name](n_visible, seed=rng, b_v=b_v, dtype=dtype, **chosen)


def _check_memory(name: str, n_visible: int, options: Mapping[str, Any]) -> None:
    """Raise MemoryError if a model of such sizes could not be made: weights are drawn in double precision."""
    sizes = {key: int(value) for key, value in {"n_visible": n_visible, **options}.items() if type(value) is int}
    n_hidden, n_recurrent = sizes.get("n_hidden", 1), sizes.get("n_recurrent", 0)
    n_inputs = n_visible if "reach" not in sizes else 2 * sizes["reach"] + 1
    n_weights = n_hidden * n_inputs * sizes.get("window", 1) + n_visible * n_inputs
    n_weights += sizes.get("n_layers", 1) * 4 * n_recurrent * (n_recurrent + n_inputs)
    n_weights += n_recurrent * (n_hidden + n_inputs) + sizes.get("n_pitch_conv", 0) * n_inputs
    if name == "boltzmann":
        n_weights = (n_visible + n_hidden) ** 2
    if name == "vae":
        n_weights = 2 * n_hidden * (n_visible + 2 * sizes["n_latent"] + sizes["n_layers"] * n_hidden)
    shown = ", ".join(f"{key}={value}" for key, value in sizes.items() if value > 1)
    if isinstance(layers := options.get("layers"), Sequence) and all(isinstance(n, int) for n in layers):
        n_weights = sum(below * above for below, above in pairwise([n_visible, *layers]))
        shown += f", layers={list(layers)}"
    memory.check(8 * n_weights, f"{name} with {shown}", "choose smaller sizes")
