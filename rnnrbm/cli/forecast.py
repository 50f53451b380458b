"""The command that forecasts: ``rnnrbm forecast``."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated

import typer

from rnnrbm.cli.console import ProgressBar, friendly, own_data, say, tell
from rnnrbm.files import check_folder, file_name

__all__ = ["forecast", "register"]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(short_help="Forecast what comes after a file.")(forecast)


def forecast(
    run_folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder that 'rnnrbm train' wrote; or bach, a model that comes with the library."
        ),
    ],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="What is known: a file of the run's kind, such as CSV, .npy, MIDI or a sound file."
        ),
    ],
    steps: Annotated[int, typer.Option(min=1, help="Frames to forecast.")] = 10,
    n_samples: Annotated[int, typer.Option(min=2, help="Samples, of which mean and quantiles are taken.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    k: Annotated[
        int | None,
        typer.Option("--k", min=1, help="Gibbs steps per frame, for a model with an RBM; by default as in the run."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default RUN/forecasts.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a forecast of the same name.")] = False,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="pdf|svg", help="Write the figure in this format too."),
    ] = None,
    mode: Annotated[str | None, typer.Option(help="PyTensor mode: JAX (default) or NUMBA.")] = None,
) -> None:
    """Write samples, mean and quantiles of what comes after a file, and draw them as a fan."""
    with friendly():
        from rnnrbm.experiment import run
        from rnnrbm.experiment.artifacts import picture_formats
        from rnnrbm.experiment.forecasts import forecast_run, write_forecast
        from rnnrbm.scoring.likelihood import usable_states

        picture_formats(format_)
        trained = run.load(run_folder)
        run.check_primable(trained)
        folder = out or trained.folder / "forecasts"
        check_folder(folder, "the forecast")
        name = f"{file_name(file.stem)}-seed{seed}"
        present = [*folder.glob(f"{glob.escape(name)}.*")] if folder.is_dir() else []
        if present and not overwrite:
            raise FileExistsError(
                f"{present[0]}: exists already; choose another --seed or --out, or replace it by --overwrite"
            )
        if trained.state:
            tell(f"note: {trained.state}")
        history, _ = trained.kind.read(file, trained.model.n_visible)  # before data are loaded
        with ProgressBar() as bar:
            states, number = None, trained.config.generation.n_init_states
            if number and run.starts_from_states(trained):
                changed = "Gibbs chains start from other frames, and samples differ"
                missing = "Gibbs chains start from the frame before, and samples differ"
                own = own_data(trained, changed, missing, bar.report)
                states = None if own is None else usable_states(trained.model, own.train, number)
            found = forecast_run(
                trained, history, steps, n_samples=n_samples, seed=seed, k=k, init_states=states, mode=mode
            )
            files = write_forecast(trained, history, found, folder, name, vector=format_)
        say(f"{steps} frames after {len(history)} of {file}, {n_samples} samples")
        for path in files:
            say(str(path))
