"""RNN-RBM sequence models: train, measure and sample them.

    import rnnrbm
    data = rnnrbm.load("bach")
    model = rnnrbm.build("rnn-rbm", data.n_visible, rng=numpy.random.default_rng(0))
    for row in rnnrbm.fit(model, data.train, data.valid, epochs=20, transpose=(-5, 6)):
        print(row)
    known = rnnrbm.frequent_frames(data.train)
    print(rnnrbm.log_likelihood(model, data.test, enumerated=known))
    rolls = rnnrbm.generate(model, 64, count=4, known=known)

Names are imported when first used, so ``import rnnrbm`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnrbm.datasets import Dataset, load
    from rnnrbm.likelihood import LogLikelihood, frequent_frames, log_likelihood
    from rnnrbm.models import build
    from rnnrbm.rbm import RBM
    from rnnrbm.rnnrbm import rnn_rbm, rtrbm
    from rnnrbm.sampling import generate
    from rnnrbm.sequence import SequenceModel
    from rnnrbm.train import State, fit

__version__ = "0.1.0"

_HOME = {
    "Dataset": "datasets",
    "LogLikelihood": "likelihood",
    "RBM": "rbm",
    "SequenceModel": "sequence",
    "State": "train",
    "build": "models",
    "fit": "train",
    "frequent_frames": "likelihood",
    "generate": "sampling",
    "load": "datasets",
    "log_likelihood": "likelihood",
    "rnn_rbm": "rnnrbm",
    "rtrbm": "rnnrbm",
}

__all__ = [
    "RBM",
    "Dataset",
    "LogLikelihood",
    "SequenceModel",
    "State",
    "__version__",
    "build",
    "fit",
    "frequent_frames",
    "generate",
    "load",
    "log_likelihood",
    "rnn_rbm",
    "rtrbm",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"rnnrbm.{_HOME[name]}"), name)
    try:
        return importlib.import_module(f"rnnrbm.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"rnnrbm.{name}":
            raise
        raise AttributeError(f"module 'rnnrbm' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    import pkgutil

    return sorted({*__all__, *(module.name for module in pkgutil.iter_modules(__path__))})
