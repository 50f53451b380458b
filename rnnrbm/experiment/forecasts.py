"""Forecasts of a run, and the files they are written to."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm.experiment.artifacts import Run, picture_formats
from rnnrbm.files import atomic
from rnnrbm.forecasting import Forecast, forecast
from rnnrbm.io.formats import write_npz
from rnnrbm.kinds.vectors import Vectors

__all__ = ["QUANTILES", "forecast_run", "write_forecast"]

#: Probabilities of the quantiles in files.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def forecast_run(
    run: Run,
    history: np.ndarray,
    steps: int,
    *,
    n_samples: int = 100,
    seed: int = 0,
    k: int | None = None,
    init_states: np.ndarray | None = None,
    mode: Any = None,
) -> Forecast:
    """Forecast what comes after frames of a run (T, n_visible); the samples are frames of its kind.

    See :func:`rnnrbm.forecasting.forecast`; `k` is by default that of the run.
    """
    model: Any = run.model
    found = forecast(
        model,
        history,
        steps,
        n_samples,
        k=run.config.generation.k if k is None else k,
        seed=seed,
        start=run.start if init_states is None else None,
        init_states=init_states,
        mode=mode,
    )
    return Forecast(np.asarray(run.kind.from_samples(found.samples)))


def write_forecast(
    run: Run, history: np.ndarray, found: Forecast, folder: Path, name: str, *, vector: str | None = None
) -> list[Path]:
    """Write a forecast: its samples, mean and quantiles, and a picture.

    An ``.npz`` file has all of it in units of the frames. Of real numbers with columns there is a ``.csv`` file too,
    in original units: a row for each step and column. The picture is a fan, or of other kinds the mean as a piece.
    With `vector`, which is ``"pdf"`` or ``"svg"``, it is written in that format too.

    Returns
    -------
    list of Path
    """
    from rnnrbm import plot

    kind: Any = getattr(run.kind, "values", run.kind)  # of motion: its columns
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.npz", folder / f"{name}.png"]
    quantiles = found.quantile(QUANTILES)
    write_npz(
        files[0],
        {"samples": found.samples, "mean": found.mean, "quantiles": quantiles, "probabilities": np.array(QUANTILES)},
    )
    if not isinstance(kind, Vectors):
        mean = np.asarray(found.mean, np.float32)
        drawn = plot.frames(np.concatenate([history[-len(mean) :], mean]), primed=min(len(history), len(mean)))
        return files + _drawn(drawn, folder, name, vector)[1:]
    past, samples = kind.original(history), np.stack([kind.original(sample) for sample in found.samples])
    names = list(kind.columns) or [f"column {i}" for i in range(past.shape[1])]
    figure = plot.fan(past, samples, names=names, seconds_per_frame=kind.seconds_per_frame)
    pictures = _drawn(figure, folder, name, vector)
    files.append(folder / f"{name}.csv")
    original = Forecast(samples)
    mean, low_to_high = original.mean, original.quantile(QUANTILES)
    with atomic(files[2]) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "column", "mean", *(f"q{100 * q:g}" for q in QUANTILES)])
        for step in range(len(mean)):
            for i, column in enumerate(names):
                values = [mean[step, i], *low_to_high[:, step, i]]
                writer.writerow([step + 1, column, *(f"{value:.7g}" for value in values)])
    return files + pictures[1:]


def _drawn(figure: Any, folder: Path, name: str, vector: str | None) -> list[Path]:
    """Write a figure in each format, PNG first, and return the files."""
    from rnnrbm import plot

    paths = [folder / f"{name}.{suffix}" for suffix in picture_formats(vector)]
    for path in paths:
        plot.save(figure, path)
    return paths
