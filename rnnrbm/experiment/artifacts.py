"""A trained run, read back, and the files that show what it learned: samples and figures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import as_file
from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm import checkpoint
from rnnrbm.backend import engine
from rnnrbm.datasets import Dataset, embedded_file
from rnnrbm.experiment import config
from rnnrbm.experiment.config import Config
from rnnrbm.experiment.run_folder import lock, replaces, run_files
from rnnrbm.experiment.setup import build_model, model_options
from rnnrbm.files import temporary_target
from rnnrbm.frames import FrameKind
from rnnrbm.kinds.registry import from_record
from rnnrbm.models import registry
from rnnrbm.progress import Progress, silent
from rnnrbm.samplers import can_anneal
from rnnrbm.sampling import generate, reconstruct
from rnnrbm.scoring import drift
from rnnrbm.sequence import SequenceModel
from rnnrbm.static import StaticModel
from rnnrbm.training.fit import State
from rnnrbm.training.packing import transposed

__all__ = [
    "Run",
    "check_primable",
    "draw",
    "draw_samples",
    "load",
    "load_checkpoint",
    "picture_formats",
    "starts_from_states",
    "write_samples",
]


@dataclass(frozen=True)
class Run:
    """A trained run, read back.

    Attributes
    ----------
    folder : pathlib.Path
    config : Config
    model : SequenceModel or StaticModel
        With the best parameters.
    kind : FrameKind
        Kind of the frames it was trained on.
    best_epoch : int
        Epoch of the parameters.
    data_hash : str or None
        Fingerprint of the data that it was trained on; see :meth:`rnnrbm.datasets.Dataset.fingerprint`.
    levels : mapping
        Levels of windows of the training set; see :func:`rnnrbm.scoring.drift.ranges`. Empty if they are not known.
    epochs : int or None
        Epochs so far if the training has not ended.
    """

    folder: Path
    config: Config
    model: SequenceModel | StaticModel
    kind: FrameKind
    best_epoch: int
    data_hash: str | None = None
    levels: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    epochs: int | None = None

    @property
    def start(self) -> str:
        """Where Gibbs chains of samples start without frames to start from, by where those of training did.

        Frames without an order have no frame before them: their chains pass from noise through all temperatures, if
        the density allows it.
        """
        if not self.kind.is_sequence:
            model = self.model
            return "annealed" if isinstance(model, SequenceModel) and can_anneal(model.density) else "noise"
        return "noise" if self.config.training.start == "noise" else "previous"

    @property
    def state(self) -> str:
        """Say that the training has not ended, and of which epoch the parameters are; empty if it has."""
        if self.epochs is None:
            return ""
        stopped = f"the training stopped after epoch {self.epochs}"
        return f"{self.folder}: {stopped}; the parameters are of epoch {self.best_epoch}"

    def check_present(self) -> None:
        """Raise CheckpointError if the folder holds another run by now, into which nothing of this one should come."""
        path = self.folder / "config.toml"
        if not path.exists():  # a checkpoint alone
            return
        own, there = (config.flat(settings.model_dump()) for settings in (self.config, config.read(path)))
        if other := [key for key in own if own[key] != there[key] and not config.may_change(key)]:
            raise checkpoint.CheckpointError(
                f"{self.folder}: its config.toml is of another run than the checkpoint that was read: {other[0]} is "
                f"{there[other[0]]!r}, was {own[other[0]]!r}; if another run has just taken its place, run this again, "
                "else restore the file that was changed"
            )
        data = config.facts_of_run(path).get("data")
        recorded = data.get("sha256") if isinstance(data, dict) else None
        if self.data_hash is not None and recorded is not None and recorded != self.data_hash:
            raise checkpoint.CheckpointError(
                f"{self.folder}: its config.toml is of a run on other data than the checkpoint that was read; if "
                "another run has just taken its place, run this again, else restore the file that was changed"
            )

    def departure(self, samples: Sequence[np.ndarray]) -> str:
        """Say which samples leave what the training set holds; empty if none does."""
        found = drift.departures(self.kind.levels(samples), self.levels)
        if found is None:
            return ""
        low, high = found.usual
        how_many = "the sample leaves" if len(samples) == 1 else f"{found.n_samples} of {len(samples)} samples leave"
        return (
            f"{how_many} the range of the training set in {self.kind.level_name}: sample {found.sample + 1} has "
            f"{found.level:.2f} in frames {found.frame + 1} to {found.frame + found.size}, and training pieces have "
            f"between {low:.2f} and {high:.2f} in as many frames"
        )

    def check_columns(self, data: Dataset) -> None:
        """Raise ValueError unless the columns of some data mean what they meant in training."""
        n_visible, name = self.model.n_visible, registry.shown_name(self.config.model.name)
        if data.n_visible != n_visible:
            raise ValueError(
                f"{data.name}: has {data.n_visible} columns, but the {name} of {self.folder} has {n_visible}; give "
                "data of the same columns"
            )
        if columns := self.kind.mismatch(data.kind).columns:
            raise ValueError(
                f"{data.name}: {columns} as for the {name} of {self.folder}; give data of the same columns"
            )


#: Images of the figure of reconstructions.
N_RECONSTRUCTED = 12

#: Trained models that come with the library: name -> file.
EMBEDDED = {"bach": "bach-rnn-rbm.npz"}


def embedded(name: str | os.PathLike[str]) -> Run | None:
    """Return a run that comes with the library, or None if it has none of that name.

    Its folder, in which commands write, is one of that name in ``runs/``. A run in a folder `name` comes first.
    """
    if str(name) not in EMBEDDED or Path(name).is_file() or (Path(name) / "checkpoint.npz").exists():
        return None
    with as_file(embedded_file(EMBEDDED[str(name)])) as path:
        return replace(load_checkpoint(path), folder=Path("runs", name))


def load(folder: str | os.PathLike[str]) -> Run:
    """Read a run back: its settings, and its model with the best parameters.

    ``load("bach")`` reads the model that comes with the library, unless a folder of that name holds a run.

    Raises
    ------
    FileNotFoundError
        If there is no checkpoint in the folder.
    FileExistsError
        If it is a file.
    CheckpointError
        If it cannot be read or belongs to another model.
    """
    folder = Path(folder)
    if (own := embedded(folder)) is not None:
        return own
    if folder.is_file():
        other = (
            f"such as {folder.parent}"
            if folder.name == "checkpoint.npz"
            else "or, if model.save wrote the file, read it by rnnrbm.load_model, or start from it by 'train --init'"
        )
        raise FileExistsError(f"{folder}: is a file; give the folder that 'rnnrbm train' wrote, {other}")
    path = folder / "checkpoint.npz"
    if not path.exists():
        known = ", ".join(EMBEDDED)
        raise FileNotFoundError(
            f"{path}: no such file; give the folder that 'rnnrbm train' wrote, or {known}, a model of the library"
        )
    return load_checkpoint(path)


def load_checkpoint(path: Path) -> Run:
    """Read the checkpoint of a run; see :func:`load`."""
    if replaces(path.parent):
        raise checkpoint.CheckpointError(f"{path}: belongs to a run that is being replaced; resume the run")
    state, meta = State.load(path)
    if missing := [key for key in ("config", "n_visible", "kind") if key not in meta]:
        raise checkpoint.CheckpointError(f"{path}: has no {', '.join(missing)}, so no run of this version wrote it")
    for key, kind in (("config", dict), ("n_visible", int), ("kind", dict)):
        if not isinstance(meta[key], kind):
            raise checkpoint.CheckpointError(f"{path}: is damaged: {key} is {meta[key]!r}, expected {kind.__name__}")
    if not state.best:
        raise checkpoint.CheckpointError(f"{path}: training has not come to its first validation; resume it")
    if wrong := [name for name, value in state.best.items() if not np.isfinite(value).all()]:
        raise checkpoint.CheckpointError(f"{path}: parameters hold NaN or infinity: {', '.join(wrong)}; train anew")
    try:
        settings = Config.from_dict(meta["config"], where=str(path))
        _check_sizes({"n_visible": meta["n_visible"], **model_options(settings.model)}, state.best)
        model = build_model(settings.model, meta["n_visible"], seed=settings.training.seed)
        frames = from_record(meta["kind"], where=str(path))
    except (ValueError, TypeError, RecursionError) as error:
        where = "" if str(path) in str(error) else f"{path}: "
        raise checkpoint.CheckpointError(f"{where}{error}; the checkpoint is damaged, or of another version") from None
    checkpoint.assign({p.name: p for p in model.params}, state.best, where=str(path))
    recorded = meta.get("data")
    data_hash = recorded if isinstance(recorded, str) else None
    levels, epochs = _levels(meta.get("levels"), path), None if state.finished else state.epoch
    return Run(path.parent, settings, model, frames, state.best_epoch, data_hash, levels, epochs)


def _levels(recorded: Any, path: Path) -> dict[int, tuple[float, float]]:
    """Return the levels that a checkpoint records, none if it has none."""
    try:
        return {int(size): (float(low), float(high)) for size, (low, high) in (recorded or {}).items()}
    except (ValueError, TypeError, AttributeError):
        raise checkpoint.CheckpointError(f"{path}: is damaged: levels is {recorded!r:.60}") from None


#: Options of models that count steps, and take no memory.
_STEPS = ("n_sweeps", "n_positive", "n_mean_field", "k")


def _check_sizes(options: Mapping[str, Any], parameters: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError if a size is larger than any dimension of the parameters: the model could fill all memory."""
    largest = max(max(value.shape, default=1) for value in parameters.values())
    biases = sum(len(value) for value in parameters.values() if value.ndim == 1)  # of a frame in several parts
    for name, sizes in options.items():
        most = {"n_layers": len(parameters), "n_visible": max(largest, biases)}.get(name, largest)
        for size in sizes if isinstance(sizes, tuple) else (sizes,):
            if isinstance(size, int) and name not in _STEPS and size > most:
                raise ValueError(f"{name} is {size}, the parameters allow at most {most}")


def write_samples(
    run: Run,
    samples: Sequence[np.ndarray],
    folder: Path,
    *,
    name: str = "sample",
    primed: int = 0,
    tempo: float | None = None,
    sound: bool = True,
    vector: str | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Write each sample to files of its kind, such as MIDI and WAV, and draw it.

    Parameters
    ----------
    run : Run
    samples : sequence of arrays (T, n_visible)
        Frames of the run's kind.
    folder : pathlib.Path
        Must exist.
    name : str
        Files are called ``{name}-1.mid`` and so on.
    primed : int
        Number of given frames at the beginning of each sample; the picture shows where they end.
    tempo : float or None
        Beats per minute; None stands for that of the run's configuration or data.
    sound : bool
        Write the WAV files, which are large.
    vector : {"pdf", "svg"} or None
        Format in which the pictures are written besides PNG.
    progress : callable
        Called with the stage "write" after each.

    Returns
    -------
    list of pathlib.Path
        The files.
    """
    from rnnrbm import plot

    files = []
    stems = {f"{name}-{i}"[-50:] for i in range(1, len(samples) + 1)}
    with lock(folder) as alone:
        for path in folder.glob(".*"):  # of a killed process, if no other one is at work here
            if alone and (target := temporary_target(path)) and Path(target).stem in stems:
                path.unlink()
    tempo = run.config.generation.tempo if tempo is None else tempo
    for i, sample in enumerate(samples, 1):
        stem = f"{name}-{i}"
        files += run.kind.write(folder, stem, sample, tempo=tempo, sound=sound)
        pictures = [folder / f"{stem}.{suffix}" for suffix in picture_formats(vector)]
        drawn = run.kind.draw(sample, primed=primed, title=stem)
        for path in pictures:
            plot.save(drawn, path)
        files += pictures
        progress("write", i, len(samples), None)
    return files


def starts_from_states(run: Run) -> bool:
    """Whether Gibbs chains of a run's samples can start from frames of the training set."""
    model = run.model
    if not isinstance(model, SequenceModel) or model.normalized:
        return False
    return model.density.visible.is_discrete and run.kind.is_sequence


def check_primable(run: Run) -> None:
    """Raise ValueError unless samples of a run can continue a primer."""
    if not (run.kind.is_sequence and isinstance(run.model, SequenceModel)):
        raise ValueError(f"{run.folder}: its frames are independent of each other, so none continues a primer")


def draw_samples(
    run: Run,
    n_frames: int,
    *,
    n_samples: int,
    k: int,
    seed: int,
    prime: np.ndarray | None = None,
    init_states: np.ndarray | None = None,
    temperature: float = 1.0,
    mode: Any = None,
    progress: Progress = silent,
) -> list[np.ndarray]:
    """Sample pieces of a run: sequences, or, of a kind without an order, frames that are independent of each other.

    Parameters
    ----------
    run : Run
    n_frames : int
        Frames of each piece.
    n_samples, k, seed, prime, init_states, temperature, mode, progress
        See :func:`rnnrbm.sampling.generate`. A static model has a chain of its own, which makes `k` steps.

    Returns
    -------
    list of numpy.ndarray, each (n_frames, n_visible)
        Frames of the run's kind.

    Raises
    ------
    ValueError
        If frames without an order should continue a primer, or a static model has another temperature than 1.
    """
    model = run.model
    if prime is not None:
        check_primable(run)
    if not isinstance(model, SequenceModel):
        if temperature != 1.0:
            raise ValueError(f"{run.config.model.name} samples at temperature 1 only, got {temperature:g}")
        progress("sample", 0, n_samples, None)
        frames = model.sample(n_samples * n_frames, k=k, seed=seed, mode=mode)
        progress("sample", n_samples, n_samples, None)
        return list(run.kind.from_samples(frames.reshape(n_samples, n_frames, -1)))
    how: dict[str, Any] = {"k": k, "seed": seed, "temperature": temperature, "mode": mode, "progress": progress}
    start = run.start if init_states is None else None
    if run.kind.is_sequence:
        how |= {"n_samples": n_samples, "prime": prime, "init_states": init_states, "start": start}
        return list(run.kind.from_samples(generate(model, n_frames, **how)))
    frames = generate(model, 1, n_samples=n_samples * n_frames, init_states=init_states, start=start, **how)
    return list(run.kind.from_samples(frames.reshape(n_samples, n_frames, -1)))


def draw(
    run: Run,
    samples: Sequence[np.ndarray],
    data: Dataset,
    state: State,
    mode: Any = None,
    *,
    vector: str | None = None,
) -> None:
    """Write the figures of a run: learning curves, filters, a sample, statistics of samples beside the data's.

    Of images there are reconstructions too. Figures that were drawn before, and are not now, are deleted.

    Parameters
    ----------
    run : Run
    samples : sequence of arrays (T, n_visible)
    data : Dataset
    state : State
    mode : str or None
    vector : {"pdf", "svg"} or None
        Format in which they are written besides PNG.
    """
    from rnnrbm import plot

    figures, formats = run.folder / "figures", picture_formats(vector)
    figures.mkdir(exist_ok=True)
    written: set[str] = set()

    def save(figure: Any, name: str) -> None:
        for suffix in formats:
            plot.save(figure, figures / f"{name}.{suffix}")
            written.add(f"{name}.{suffix}")

    if state.rows:
        columns = {name: [row[name] for row in state.rows] for name in state.rows[0]}
        save(plot.learning_curves(columns), "learning_curves")
    filter_shape = None
    if isinstance(run.model, SequenceModel):
        W = engine.to_numpy(getattr(run.model.density, "W", np.empty((0, 0))))
        filter_shape = getattr(run.model.density, "filter_shape", None)
    else:
        own = run.model.filters()
        W = np.empty((0, 0)) if own is None else own
    if filter_shape is not None:  # of a convolution, smaller than a frame
        save(plot.filter_tiles(W, filter_shape), "filters")
    elif len(W) == data.n_visible:  # tied weights have rows for distances, not for notes
        save(run.kind.draw_filters(W), "filters")
    if hasattr(run.kind, "draw_reconstructions"):
        frames = np.concatenate([piece[:N_RECONSTRUCTED] for piece in data.test or data.valid])[:N_RECONSTRUCTED]
        if (made := reconstruct(run.model, frames, seed=run.config.training.seed, mode=mode)) is not None:
            save(run.kind.draw_reconstructions(frames, made), "reconstructions")
    title = f"A sample ({registry.shown_name(run.config.model.name)} trained on {data.name})"
    save(run.kind.draw(samples[0], title=title), "sample")
    # training transposes, so samples come in other keys, and are compared with pieces that do, as many as in the end
    training = run.config.training
    keys, share = training.shifts, training.transpose_prob_at(training.epochs)
    train = transposed(data.train, keys, transpose_prob=share) if any(keys) and share else data.train
    name = "training set, transposed at random as in training" if any(keys) and share else "training set"
    save(run.kind.draw_statistics(samples, train, data_name=name), "statistics")
    for path in run_files(run.folder):
        if path.parent == figures and path.name not in written:
            path.unlink()


def picture_formats(vector: str | None) -> tuple[str, ...]:
    """Return the formats of pictures: PNG, which reports show, and perhaps another, for print.

    Raises
    ------
    ValueError
        If it is neither ``"pdf"`` nor ``"svg"``.
    """
    if vector not in (None, "pdf", "svg"):
        raise ValueError(f"format {vector!r} is neither pdf nor svg; PNG files are written anyway")
    return ("png",) if vector is None else ("png", vector)
