"""Forecasts of a run from a file, and the files they are written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rnnrbm.experiment.artifacts import Run, check_primable, starts_from_states
from rnnrbm.files import atomic
from rnnrbm.forecasting import Forecast, forecast
from rnnrbm.io.formats import write_npz
from rnnrbm.kinds.vectors import Vectors

__all__ = ["QUANTILES", "forecast_file", "write_forecast"]

#: Probabilities of the quantiles in files.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def forecast_file(
    run: Run,
    path: Path,
    steps: int,
    *,
    n_samples: int = 100,
    seed: int = 0,
    k: int | None = None,
    init_states: np.ndarray | None = None,
    mode: Any = None,
) -> tuple[np.ndarray, Forecast]:
    """Read a file as frames of a run, and forecast what comes after it.

    Returns
    -------
    history : numpy.ndarray, shape (T, n_visible)
    forecast : Forecast
        Samples are frames of the run's kind.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read as frames of the run, or these have no order in time.
    """
    check_primable(run)
    history, _ = run.kind.read(path, run.model.n_visible)
    start = run.start if init_states is None else None
    model: Any = run.model
    found = forecast(
        model,
        history,
        steps,
        n_samples,
        k=run.config.generation.k if k is None else k,
        seed=seed,
        start=start,
        init_states=init_states if starts_from_states(run) else None,
        mode=mode,
    )
    return history, Forecast(np.asarray(run.kind.from_samples(found.samples)))


def write_forecast(run: Run, history: np.ndarray, found: Forecast, folder: Path, name: str) -> list[Path]:
    """Write a forecast: its samples, mean and quantiles, and a picture.

    An ``.npz`` file has all of it in units of the frames. Of real numbers with columns there is a ``.csv`` file too,
    in original units: a row for each step and column. The picture is a fan, or of other kinds the mean as a piece.

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
        plot.save(drawn, files[1])
        return files
    past, samples = kind.original(history), np.stack([kind.original(sample) for sample in found.samples])
    names = list(kind.columns) or [f"column {i}" for i in range(past.shape[1])]
    plot.save(plot.fan(past, samples, names=names, seconds_per_frame=kind.seconds_per_frame), files[1])
    files.append(folder / f"{name}.csv")
    rows = [",".join(["step", "column", "mean", *(f"q{100 * q:g}" for q in QUANTILES)])]
    original = Forecast(samples)
    mean, low_to_high = original.mean, original.quantile(QUANTILES)
    for step in range(len(mean)):
        for i, column in enumerate(names):
            values = [mean[step, i], *low_to_high[:, step, i]]
            quoted = '"' + column.replace('"', '""') + '"' if set(column) & set(',"\n') else column
            rows.append(",".join([str(step + 1), quoted, *(f"{value:.7g}" for value in values)]))
    with atomic(files[2]) as temporary:
        temporary.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return files
