"""The ways themselves: what each changes of the default training."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

import rnnrbm
from benchmarks.ways import phases
from benchmarks.ways.beside import Both, with_nade
from rnnrbm.backend import engine
from rnnrbm.scoring.likelihood import Evaluator, usable_states
from rnnrbm.training import step

__all__ = ["EPOCHS", "WAYS", "train"]

#: Epochs of the defaults, which set the time of all.
EPOCHS = 80
#: The usual chains until 70 % of training, then longer ones.
LONGER_LATE = [(0.0, 2), (0.4, 5), (0.7, 10), (0.85, 40)]
#: While k is 1, ratio matching.
MATCHED = [(0.0, 1), (0.4, 5), (0.8, 10)]
N_VALID, N_TRAIN = 1000, 500


class Way(NamedTuple):
    """One way.

    Attributes
    ----------
    words : str
        For tables.
    share : float
        Epochs in the time of an epoch of the defaults, measured on one core.
    settings : dict
        Settings of training that differ.
    phase : callable or None
        Makes the function that makes the negative phase for k; called for each training.
    before : callable or None
        Trains something first: called with the model, the pieces, the epochs and the settings, it returns the epochs
        that are left and the pieces.
    beside : bool
        Train a NADE with the same network.
    build : dict
        Options of the model that differ.
    """

    words: str
    share: float = 1.0
    settings: dict[str, Any] = {}  # noqa: RUF012  never changed
    phase: Callable[[], contextlib.AbstractContextManager[Any]] | None = None
    before: Callable[..., Any] | None = None
    beside: bool = False
    build: dict[str, Any] = {}  # noqa: RUF012  never changed


def plain(make: Any, **options: Any) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """A negative phase without state of its own."""
    return lambda: contextlib.nullcontext(lambda k: make(k, **options))


@contextlib.contextmanager
def per_frame() -> Iterator[Any]:
    held = phases.PerFrame(step.symbolic_batch)
    with patch.object(step, "symbolic_batch", held.symbolic_batch):
        yield held.with_k


@contextlib.contextmanager
def enhanced() -> Iterator[Any]:
    mu, lam = engine.shared(np.full(88, 0.04), "mu"), engine.shared(np.full(256, 0.5), "lam")
    with patch.object(step, "centring", lambda density, mean: phases.centred_by(mu, lam)(density, np.zeros(88), 0.0)):
        yield lambda k: phases.EnhancedGradient(k, mu, lam)


def trained_nade(pieces: list[np.ndarray], epochs: int, settings: dict[str, Any]) -> Any:
    nade = rnnrbm.build("rnn-nade", pieces[0].shape[1], seed=settings["seed"])
    list(rnnrbm.fit(nade, pieces, None, epochs=epochs, **settings))
    return nade


def network_first(model: Any, pieces: list[np.ndarray], epochs: int, settings: dict[str, Any]) -> Any:
    """Train an RNN-NADE for two fifths of the epochs, and give its network to the model."""
    first = round(0.4 * epochs)
    nade = trained_nade(pieces, first, settings)
    ours = [*model.network.tensors(), *model.bias_weights]
    for mine, theirs in zip(ours, [*nade.network.tensors(), *nade.bias_weights], strict=True):
        mine.set_value(theirs.get_value())
    return epochs - first, pieces


def distilled(model: Any, pieces: list[np.ndarray], epochs: int, settings: dict[str, Any]) -> Any:
    """Train an RNN-NADE for two fifths of the epochs, and set as many frames of its samples beside the data."""
    first = round(0.4 * epochs)
    nade = trained_nade(pieces, first, settings)
    more = rnnrbm.generate(nade, 64, n_samples=sum(map(len, pieces)) // 64, seed=settings["seed"])
    return (epochs - first) // 2, pieces + [np.asarray(piece, pieces[0].dtype) for piece in more]


WAYS = {
    "defaults": Way("the defaults: k = 2, 5, 10, centred, averaged, linear decay"),
    "adaptive": Way("offsets of centring follow the hidden units", 1.0, {"adaptive_offsets": True}),
    "enhanced": Way("enhanced gradient", 0.95, phase=enhanced),
    "not-averaged": Way("no averaging of weights", 1.0, {"averaging": 0.0}),
    "averaged-shorter": Way("averaging over a fifth of the steps", 1.0, {"averaging": 0.99}),
    "cosine": Way("learning rate by a cosine", 1.0, {"schedule": "cosine"}),
    "constant": Way("constant learning rate", 1.0, {"schedule": "constant"}),
    "fewer-hidden": Way(
        "100 hidden units, and longer chains: k = 5, 12, 25",
        1.0,
        {"k": [(0.0, 5), (0.4, 12), (0.8, 25)]},
        build={"n_hidden": 100},
    ),
    "longer-late": Way("longer chains late: k = 2, 5, 10, 40", 0.85, {"k": LONGER_LATE}),
    "longer": Way("longer chains always: k = 25", 0.6, {"k": 25}),
    "per-frame": Way("chains that persist for each frame over epochs", 0.9, phase=per_frame),
    "tempered": Way("tempered transitions", 0.7, {"k": [(0.0, 8), (0.8, 14)]}, phase=plain(phases.TemperedTransitions)),
    "mean-field": Way("chains that start at a mean field", 0.85, phase=plain(phases.MeanFieldStart)),
    "proposals": Way("proposals of 16 known frames with importance weights", 0.85, phase=plain(phases.Proposals)),
    "nade-first": Way("the network of an RNN-NADE first", 1.0, before=network_first),
    "distilled": Way("samples of an RNN-NADE beside the data", 1.0, before=distilled),
    "nade-beside": Way("a NADE beside the RBM, with the same network", 0.6, beside=True),
    "ratio-first": Way(
        "ratio matching first", 1.0, {"k": [(0.0, 1), (0.4, 5), (0.8, 10)]}, plain(phases.RatioMatching)
    ),
}


def train(name: str, source: str, seed: int, epochs: int) -> dict[str, object]:
    """Train and score one way with one seed; return the row of the table."""
    way, data = WAYS[name], rnnrbm.load(source)
    make = with_nade if way.beside else functools.partial(rnnrbm.build, "rnn-rbm", **way.build)
    model, pieces = make(data.n_visible, seed=seed), list(data.train)
    own = max(1, round(way.share * epochs))
    common: dict[str, Any] = {"transpose_range": (-5, 6), "seed": seed}
    began = time.process_time()
    if way.before is not None:
        own, pieces = way.before(model, pieces, own, common)
    most = max(int(piece.sum(axis=1).max()) for piece in pieces)
    usual = functools.partial(Both, max_active=most) if way.beside else None
    with way.phase() if way.phase else contextlib.nullcontext(usual) as phase:
        list(rnnrbm.fit(model, pieces, None, epochs=own, negative_phase=phase, **(common | way.settings)))
    took = time.process_time() - began
    if way.beside:
        model = model.density.without_nade(model)
    states = usable_states(model, data.train, 5000)
    evaluate = Evaluator(model, n_chains=10, n_temperatures=300, exact_states=states)
    valid, known = evaluate(data.valid, frames=N_VALID).mean, evaluate(data.train, frames=N_TRAIN).mean
    values = (source, name, seed, own, round(valid, 4), round(known, 4), round(took))
    return dict(zip(("data", "way", "seed", "epochs", "valid_ll", "train_ll", "seconds"), values, strict=True))
