"""The command line, what scores: ``rnnrbm evaluate`` and ``baselines``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnrbm.cli.console import ProgressBar, friendly, interruptible, own_data, say
from rnnrbm.files import to_json

# As in cli.py: what is heavier is imported inside the commands.
if TYPE_CHECKING:
    from rnnrbm.datasets import Dataset
    from rnnrbm.frames import FrameKind

__all__ = ["baselines", "evaluate", "register"]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(evaluate)
    app.command()(baselines)


def evaluate(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that 'rnnrbm train' wrote.")],
    data: Annotated[
        str | None, typer.Option(help="As for 'rnnrbm train'; by default what the run was trained on.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which pieces to score: train, valid or test.")] = "test",
    method: Annotated[
        str | None,
        typer.Option(
            help="ais, with RAISE as its lower side; or exact (a layer of at most 25 units). A model without a "
            "partition function is scored exactly in any case."
        ),
    ] = None,
    n_chains: Annotated[int, typer.Option(min=2, help="Chains of AIS and RAISE for each frame.")] = 100,
    n_temperatures: Annotated[int, typer.Option(min=2, help="Their temperatures.")] = 1000,
    schedule: Annotated[
        str, typer.Option(help="Spacing of the temperatures: linear, geometric or sigmoid.")
    ] = "linear",
    n_exact_states: Annotated[
        int,
        typer.Option(
            min=0,
            help="Frames of the run's training set, the most frequent, whose part of Z is summed exactly; 0 leaves all "
            "of it to annealing, as published.",
        ),
    ] = 5000,
    bracket: Annotated[
        bool, typer.Option("--bracket/--no-bracket", help="Compute RAISE beside AIS, which takes as long again.")
    ] = True,
    n_bracket_frames: Annotated[
        int | None, typer.Option(min=2, help="RAISE of so many random frames only; a few thousand tell the gap well.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Gibbs steps of each sampled frame, for the accuracies.")] = 50,
    n_draws: Annotated[int, typer.Option(min=1, help="How often each frame is sampled for them.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    mode: Annotated[str | None, typer.Option(help="PyTensor mode: JAX (default) or NUMBA.")] = None,
) -> None:
    """Score a trained run: log-likelihood with its bracket, accuracies, baselines. Interrupted, it goes on later."""
    with friendly():
        from rnnrbm import datasets
        from rnnrbm.experiment import evaluation, run

        trained = run.load(run_folder)
        own: Dataset | None
        if data is None:
            own = loaded = run.load_data(trained.config.data)
        else:
            loaded = datasets.load(
                data, **(trained.kind.folder_options(trained.model.n_visible) if datasets.is_folder(data) else {})
            )
            evaluation.check_columns(trained, loaded)
            own = own_data(trained)
            typer.echo(str(loaded), err=True)
            if duration := trained.kind.mismatch(loaded.kind).duration:
                typer.echo(f"warning: {loaded.name} has {duration} as in training", err=True)
        with ProgressBar(quiet=as_json) as bar, interruptible() as stop:
            try:
                results = evaluation.evaluate(
                    trained,
                    loaded,
                    split=split,
                    method=method,
                    n_chains=n_chains,
                    n_temperatures=n_temperatures,
                    schedule=schedule,
                    n_exact_states=n_exact_states,
                    train=None if own is None else own.train,
                    bracket=bracket,
                    n_bracket_frames=n_bracket_frames,
                    k=k,
                    n_draws=n_draws,
                    seed=seed,
                    mode=mode,
                    stop=stop,
                    progress=bar.report,
                )
            except (run.Interrupted, KeyboardInterrupt) as interrupt:
                bar.close()
                typer.echo(f"{interrupt or 'stopped'}; the same command goes on from there", err=True)
                raise typer.Exit(130) from None
        if as_json:
            typer.echo(to_json(results))
            return
        title = f"{results['data']}, {split}: {results['pieces']} pieces, {results['frames']} frames"
        kind = trained.kind
        _print_table(title, kind, [*_evaluated(results, kind), *(_baseline(row, kind) for row in results["baselines"])])
        say(f"The model's frames are {results['prediction']['how']}; the baselines' scores are expectations.")
        if results.get("raise", {}).get("micro", -math.inf) > results["log_likelihood"]["micro"]:
            say(
                "The lower side is above: the model does not fit these data, which annealing generates more readily "
                "than the model itself does."
            )
        for key in ("log_likelihood", "raise"):
            if diagnostics := results.get(key, {}).get("diagnostics"):
                typer.echo(f"warning: {diagnostics}", err=True)
        say(f"written to {trained.folder / 'evaluations'}")


def baselines(
    data: Annotated[
        str,
        typer.Option(
            help="bach, jsb, nottingham, piano-midi, musedata; a .npz, .mat, .json or .pickle file; a folder of MIDI."
        ),
    ] = "bach",
    split: Annotated[str, typer.Option(help="Which pieces to score: train, valid or test.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Score models that only count: log-likelihoods and expected accuracies, exact."""
    with friendly():
        from rnnrbm import datasets

        loaded = datasets.load(data)
        if split not in datasets.SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(datasets.SPLITS)}")
        pieces = getattr(loaded, split)
        rows = loaded.kind.baseline_table(loaded.train, loaded.valid, pieces)
        frames = sum(map(len, pieces))
        if as_json:
            typer.echo(to_json({"data": loaded.name, "split": split, "frames": frames, "baselines": rows}))
            return
        _print_table(
            f"Baselines on {loaded.name}, {split}: {len(pieces)} pieces, {frames} frames",
            loaded.kind,
            [_baseline(row, loaded.kind) for row in rows],
        )
        say("The scores of predicted frames are expectations over frames drawn given the true past.")


Row = tuple[str, ...]


def _baseline(row: dict[str, Any], kind: FrameKind) -> Row:
    likelihoods = ["" if row[key] is None else f"{row[key]:.3f}" for key in ("ll", "ll_pieces")]
    named = {"N": "N {:d}", "log10_p": "p 10^{:.2f}", "flip": "flip {:.2g}"}
    chosen = ", ".join(named[name].format(value) for name, value in row["settings"].items())
    return (row["model"], *likelihoods, *_scores(row, kind), chosen)


def _evaluated(results: dict[str, Any], kind: FrameKind) -> list[Row]:
    """The model's rows: log-likelihood and prediction scores, and the lower side of the bracket."""
    from rnnrbm.scoring.likelihood import with_error

    rows: list[Row] = []
    for key, name in (("log_likelihood", f"this {results['model'].upper()}"), ("raise", "  lower side")):
        if key in results:
            ll = results[key]
            scores = (
                _scores(results["prediction"], kind) if key == "log_likelihood" else ("",) * len(kind.score_columns)
            )
            rows.append(
                (
                    name,
                    with_error(ll["micro"], ll["standard_error"]),
                    "" if ll["macro"] is None else f"{ll['macro']:.3f}",
                    *scores,
                    ll["settings"],
                )
            )
    return rows


def _scores(row: dict[str, Any], kind: FrameKind) -> Row:
    """The prediction scores of a row, as text."""
    return tuple(f"{100 * row[key]:.2f}" if percent else f"{row[key]:.3f}" for key, _, percent in kind.score_columns)


def _print_table(title: str, kind: FrameKind, rows: list[Row]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("model")
    for column in ("LL", "by piece", *(column.heading for column in kind.score_columns)):
        table.add_column(column, justify="right")
    table.add_column("how")
    for row in rows:
        table.add_row(*row)
    say(table)
    say("LL: nats per frame, mean over all frames; by piece: mean over pieces of their means. " + kind.score_note)
