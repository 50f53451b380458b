"""RNN-RBM sequence models: train, measure and sample them::

    import rnnrbm
    data = rnnrbm.load("bach")
    model = rnnrbm.build("rnn-rbm", data.n_visible, seed=0)
    for row in rnnrbm.fit(model, data.train, data.valid, epochs=20, transpose_range=(-5, 6)):
        print(row)
    states = rnnrbm.frequent_states(data.train)
    print(rnnrbm.log_likelihood(model, data.test, exact_states=states))
    rolls = rnnrbm.generate(model, 64, n_samples=4, init_states=states)
    model.save("model.npz")  # model = rnnrbm.load_model("model.npz")

Names are imported when first used, so ``import rnnrbm`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnrbm.datasets import Dataset, load
    from rnnrbm.experiment.start import load_model
    from rnnrbm.forecasting import forecast
    from rnnrbm.models.mixture import mixture
    from rnnrbm.models.registry import build
    from rnnrbm.rbm import RBM
    from rnnrbm.rnnrbm import rnn_rbm, rtrbm
    from rnnrbm.sampling import generate
    from rnnrbm.scoring.likelihood import frequent_states, log_likelihood
    from rnnrbm.scoring.result import LogLikelihood
    from rnnrbm.sequence import SequenceModel
    from rnnrbm.training.fit import State, fit
    from rnnrbm.training.settings import Training

__version__ = "0.2.0"

#: where the public names are
_HOME = {
    "Dataset": "datasets",
    "LogLikelihood": "scoring.result",
    "RBM": "rbm",
    "SequenceModel": "sequence",
    "State": "training.fit",
    "Training": "training.settings",
    "build": "models.registry",
    "fit": "training.fit",
    "forecast": "forecasting",
    "frequent_states": "scoring.likelihood",
    "generate": "sampling",
    "load": "datasets",
    "load_model": "experiment.start",
    "log_likelihood": "scoring.likelihood",
    "mixture": "models.mixture",
    "rnn_rbm": "rnnrbm",
    "rtrbm": "rnnrbm",
}
#: modules that stand in a folder and are called by their own name
_MODULES = {
    "baselines": "scoring.baselines",
    "metrics": "scoring.metrics",
    "midi": "io.midi",
    "wav": "io.wav",
}

__all__ = [
    "RBM",
    "Dataset",
    "LogLikelihood",
    "SequenceModel",
    "State",
    "Training",
    "__version__",
    "build",
    "fit",
    "forecast",
    "frequent_states",
    "generate",
    "load",
    "load_model",
    "log_likelihood",
    "mixture",
    "rnn_rbm",
    "rtrbm",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"rnnrbm.{_HOME[name]}"), name)
    try:
        return importlib.import_module(f"rnnrbm.{_MODULES.get(name, name)}")
    except ModuleNotFoundError as error:
        if error.name != f"rnnrbm.{name}":
            raise
        raise AttributeError(f"module 'rnnrbm' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, "datasets", "plot"})
