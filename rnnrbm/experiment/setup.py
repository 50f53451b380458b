"""From settings to the data and the model of a run, and the facts about them that a run records."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import rnnrbm
from rnnrbm import cells, datasets, memory, networks
from rnnrbm.backend import engine
from rnnrbm.datasets import SPLITS
from rnnrbm.experiment import config
from rnnrbm.experiment.config import Config
from rnnrbm.frames import FrameKind
from rnnrbm.io.midi_grid import GridWarning
from rnnrbm.kinds.labelled_image import LabelledImage
from rnnrbm.kinds.registry import to_record
from rnnrbm.models import registry
from rnnrbm.progress import Progress, silent
from rnnrbm.scoring import likelihood
from rnnrbm.scoring.bounds import has_bound
from rnnrbm.scoring.labels import classify
from rnnrbm.scoring.likelihood import OF_ALL, usual_annealing
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.sequence import SequenceModel
from rnnrbm.static import StaticModel
from rnnrbm.training.suitable import epochs_of, missing_settings, suitable_settings
from rnnrbm.training.trainable import as_trainable, float_type

__all__ = [
    "SIZES",
    "bound_summary",
    "build_model",
    "check_end",
    "check_order",
    "comparable",
    "facts",
    "label_error",
    "load_data",
    "located",
    "model_options",
    "own_score",
    "resolved",
    "started_in",
    "trained_as",
    "unused_sizes",
    "versions",
]

#: Temperatures through which a chain of an RBM passes to a sample that no other frame has led to.
ANNEALED_STEPS = 1000
#: Frames of real numbers for each unit of a network beside autoregressive connections. Of 3 000 frames of motion, 30
#: units forecast ten frames with a squared error of 24, as the best linear model, and 256 units with one of 125.
FRAMES_PER_UNIT = 100
SIZES = ("n_hidden", "n_recurrent", "window", "reach")  # of models


def build_model(settings: config.Model, n_visible: int, *, seed: int) -> SequenceModel | StaticModel:
    """Make the model a configuration asks for.

    Raises
    ------
    ConfigError
        If something is set that this model does not have.
    """
    return registry.build(settings.name, n_visible, seed=seed, **model_options(settings))


def model_options(settings: config.Model, *, strict: bool = False) -> dict[str, Any]:
    """The options that a model has, its own or chosen.

    With `strict`, of others only a size may have been chosen, so that one file serves all models. What a run has
    written down of options that its model does not have is passed over.
    """
    options = settings.model_dump(exclude={"name", "init"}, exclude_none=True)
    tables = {
        "cell": cells.CELLS,
        "connections": networks.CONNECTIONS,
        "visible": registry.UNITS,
        "hidden": registry.UNITS,
    }
    for name, table in ({"name": registry.MODELS} | tables).items():
        if name == "name" or name in options:
            for part in getattr(settings, name).split("+"):
                config.check_name(f"model.{name}", part.partition(":")[0], table)
    known = registry.options_of(settings.name)
    if strict and (wrong := [name for name in options if name not in known and name not in SIZES]):
        raise config.ConfigError(
            f"model.{wrong[0]} cannot be chosen for {settings.name}, which has {', '.join(sorted(known))}; leave it out"
        )
    return known | {name: value for name, value in options.items() if name in known}


def unused_sizes(settings: config.Model, chosen: Iterable[str]) -> list[str]:
    """Return those of chosen settings, such as ``"model.n_hidden"``, that are sizes which the model does not have.

    A file of settings may have them, as it serves several models; who gives one for a single run should be told.
    """
    if settings.name not in registry.MODELS:
        return []
    known = registry.options_of(settings.name)
    return [f"model.{size}" for size in SIZES if size not in known and f"model.{size}" in chosen]


def versions(mode: Any) -> dict[str, str]:
    return {
        "rnnrbm": rnnrbm.__version__,
        "python": platform.python_version(),
        "engine": engine.describe(mode),
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def load_data(settings: config.Data, progress: Progress = silent, run_folder: Path | None = None) -> datasets.Dataset:
    """Load what the configuration names, with all options that are set; one that a source does not have is refused.

    With the folder of a run, they are read again: a relative path is that of where the run was started (see
    :func:`located`), and there is no warning of the grid of frames, which was given when the run was trained.
    """
    source = located(settings.source, run_folder) if datasets.is_path(settings.source) else settings.source
    with warnings.catch_warnings():
        if run_folder is not None:
            warnings.simplefilter("ignore", GridWarning)
        return datasets.load(source, progress=progress, **_options(settings))


def started_in(folder: Path) -> str:
    """Return the current folder as a run records it: relative to its own folder, so that both can move together."""
    try:
        return os.path.relpath(Path.cwd(), folder.resolve())
    except ValueError:  # on another drive of Windows
        return str(Path.cwd())


def located(path: str, run_folder: Path | None, file: str = "config.toml") -> str:
    """Return a path of the settings of a run, which is relative to the folder in which the run was started.

    If nothing is there any more, or the run does not say where that was, the path is returned as it is. The settings
    are in `file` of its folder.
    """
    if run_folder is None or Path(path).is_absolute() or not (run_folder / file).is_file():
        return path
    started = config.facts_of_run(run_folder / file).get("started_in")
    if not isinstance(started, str):
        return path
    there = Path(os.path.normpath(run_folder.resolve() / started / path))
    here = Path(path)
    if not there.exists() or (here.exists() and here.resolve() == there.resolve()):
        return path
    return str(there)


def _options(settings: config.Data) -> dict[str, Any]:
    """The options that are set, by their names in :func:`rnnrbm.datasets.load`."""
    return settings.model_dump(exclude={"source"}, exclude_none=True)


def trained_as(model: SequenceModel | StaticModel, kind: FrameKind) -> Any:
    """Return what :func:`rnnrbm.training.fit.fit` trains of a model, which shares its parameters.

    Frames without an order are shuffled one by one, as `fit` does for a density alone.
    """
    return model.density if isinstance(model, SequenceModel) and not kind.is_sequence else model


def check_order(model: SequenceModel | StaticModel, name: str, data: datasets.Dataset) -> None:
    """Raise ValueError if a model reads the past of frames that have no order."""
    if data.kind.is_sequence or not isinstance(model, SequenceModel) or not model.bias_weights:
        return
    static = ("rbm", "nade", "conv-rbm", *registry.STATIC_MODELS)
    raise ValueError(
        f"{data.name}: holds {data.kind.describe(data.n_visible)}, which do not follow each other in time, and "
        f"{name} models sequences; choose one of {', '.join(static)}"
    )


def own_score(model: StaticModel, pieces: Sequence[np.ndarray], mode: Any) -> dict[str, Any]:
    """Return the score of a model without a log-likelihood, as results record it."""
    return {"name": model.score_name, "value": float(model.score(pieces, mode))}


def label_error(model: Any, kind: FrameKind, pieces: Sequence[np.ndarray], mode: Any) -> float | None:
    """Return the fraction of labelled images whose most probable class is another; None of other frames and models."""
    of_sequence = isinstance(model, SequenceModel)
    if not isinstance(kind, LabelledImage) or not (of_sequence or hasattr(model, "classify")):
        return None
    images, labels = kind.split(np.concatenate(pieces))
    p = classify(model, images, kind.n_classes, mode=mode) if of_sequence else model.classify(images, mode=mode)
    return float(np.mean(p.argmax(axis=1) != labels))


def bound_summary(scored: LogLikelihood) -> dict[str, Any]:
    """Return a lower bound of the log-likelihood as results record it."""
    return {
        "mean": scored.mean,
        "standard_error": scored.standard_error,
        "bias": scored.bias,
        "settings": scored.settings,
        "effective_sample_size": float(scored.effective_sample_size.min()),
        "diagnostics": scored.diagnostics(),
    }


def check_end(settings: Config, data: datasets.Dataset, model: SequenceModel | StaticModel) -> None:
    """Raise an error for what would fail only after training: scores, validations and samples that cannot be made.

    Raises
    ------
    ValueError
        If samples cannot be written as the settings say.
    MemoryError
        If a piece, scores or samples would take more memory than there is.
    """
    generation, evaluation, training = settings.generation, settings.evaluation, settings.training
    n_frames = generation.n_frames or data.kind.sample_length
    cells = generation.n_samples * n_frames * data.n_visible
    # two copies in the type of the model, and one of bytes
    memory.check(
        cells * (2 * np.dtype(float_type(model.params)).itemsize + 1),
        f"{generation.n_samples} samples of {n_frames} frames",
        "choose a smaller generation.n_samples or generation.n_frames",
    )
    try:
        data.kind.check_writing(n_frames, generation.tempo)
    except ValueError as error:
        raise ValueError(f"generation: {error}") from None
    if not isinstance(model, SequenceModel):
        if generation.temperature != 1.0:
            raise ValueError(
                f"generation.temperature is {generation.temperature:g}, and {settings.model.name} samples at "
                "temperature 1 only; leave it out"
            )
        return
    # each is read, encoded and scored as a whole, in arrays of double precision and of up to twice its length
    longest = max(len(piece) for split in SPLITS for piece in getattr(data, split))
    advice = "choose a smaller data.max_seconds" if data.kind.name == "spectrogram" else "cut it into shorter ones"
    memory.check(8 * longest * (6 * data.n_visible + 4 * model.n_state), f"a piece of {longest} frames", advice)
    if model.normalized:
        return
    likelihood.check_memory(model, training.valid_n_chains, training.valid_n_temperatures, prefix="training.valid_")
    if evaluation.test:
        likelihood.check_memory(model, evaluation.n_chains, evaluation.n_temperatures, prefix="evaluation.")


def resolved(settings: Config, data: datasets.Dataset | None = None) -> Config:
    """Return the settings with every default written out, so that later defaults change no run.

    A size that the model does not have is left out.

    Parameters
    ----------
    settings : Config
    data : Dataset or None
        The data, whose kind of frame decides the unit type of a frame and the transposition; None loads them.
    """
    data = load_data(settings.data) if data is None else data
    options = datasets.resolved(settings.data.source, **_options(settings.data))
    chosen = {f"data.{k}": v for k, v in options.items()}
    own = model_options(settings.model)
    if "visible" in own and settings.model.visible is None:
        own["visible"] = data.kind.unit_name(data.train)
    if "autoregressive" in own and settings.model.autoregressive is None:
        own["autoregressive"] = 0 if own.get("n_pitch_conv") else data.kind.autoregressive
    if data.kind.autoregressive:  # a linear model does most of the work, and a large network learns noise by heart
        most = max(16, sum(map(len, data.train)) // FRAMES_PER_UNIT)
        for size in ("n_hidden", "n_recurrent"):
            if size in own and getattr(settings.model, size) is None:
                own[size] = min(own[size], most)
    if settings.generation.n_frames is None:
        chosen["generation.n_frames"] = data.kind.sample_length
    if settings.training.transpose_range is None:
        chosen["training.transpose_range"] = data.kind.transpose_range
    model = build_model(settings.replaced({f"model.{k}": v for k, v in own.items()}).model, data.n_visible, seed=0)
    check_order(model, settings.model.name, data)
    single = not data.kind.is_sequence
    trained = trained_as(model, data.kind)
    if isinstance(trained, SequenceModel):
        missing = missing_settings(model, settings.training)
        missing |= epochs_of(model, settings.training, sum(map(len, data.train)))
    else:  # a resumed run reads all settings as chosen ones, so those that follow from others must stand there too
        training = settings.training.without_pretraining()
        n_frames = sum(map(len, data.train))
        suited = suitable_settings(as_trainable(trained), training, single_frames=True, n_frames=n_frames)
        missing = {key: value for key, value in suited.model_dump().items() if value != getattr(training, key)}
    chosen |= {f"training.{k}": v for k, v in missing.items()}
    if single:  # each image occurs once, so a list of states holds next to nothing of Z, and starts no chain
        usual = {"evaluation.n_exact_states": 0, "generation.n_init_states": 0, "generation.k": ANNEALED_STEPS}
    else:
        usual = {}
    if single and isinstance(model, SequenceModel) and not model.normalized:  # one Z of all frames
        annealing = usual_annealing(model)
        usual |= {"evaluation.n_chains": annealing.n_chains, "evaluation.n_temperatures": annealing.n_temperatures}
    if not isinstance(model, SequenceModel):
        usual["generation.k"] = model.usual_k
        if has_bound(model):  # one Z of all frames too
            usual |= {"evaluation.n_chains": OF_ALL.n_chains, "evaluation.n_temperatures": OF_ALL.n_temperatures}
    chosen |= {key: value for key, value in usual.items() if not _is_set(settings, key)}
    start, k = (chosen.get(f"training.{name}", getattr(settings.training, name)) for name in ("start", "k"))
    if start == "noise" and not single and "k" not in settings.generation.model_fields_set:
        chosen["generation.k"] = k if isinstance(k, int) else k[-1][1]
    return settings.replaced(chosen | {f"model.{k}": own.get(k) for k in {*own, *SIZES}})


def _is_set(settings: Config, key: str) -> bool:
    """Whether a setting such as ``"generation.k"`` was chosen."""
    table, _, name = key.partition(".")
    return name in getattr(settings, table).model_fields_set


def comparable(kind: FrameKind, model: SequenceModel | StaticModel) -> bool:
    """Return whether a model's log-likelihoods compare with those of the kind's baselines.

    A probability and a density do not: Gaussian units on frames of 0 and 1 have a density. A static model has neither.
    """
    return isinstance(model, SequenceModel) and kind.is_discrete == model.density.visible.is_discrete


def facts(data: datasets.Dataset) -> dict[str, Any]:
    """Return sizes, kind of frame and fingerprint of a data set, for the record of a run.

    Of the kind, numbers for each column are left out; the checkpoint has them.
    """
    kind = {key: value for key, value in to_record(data.kind).items() if isinstance(value, (str, int, float))}
    return {
        "columns": data.n_visible,
        **kind,
        "pieces": {split: len(getattr(data, split)) for split in SPLITS},
        "frames": {split: sum(map(len, getattr(data, split))) for split in SPLITS},
        "sha256": data.fingerprint(),
    }
