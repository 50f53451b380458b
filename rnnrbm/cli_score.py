"""The command line, what scores: ``rnnrbm baselines``."""

from __future__ import annotations

import json
import math
import sys
from typing import Annotated, Any

import typer

from rnnrbm.console import friendly

__all__ = ["baselines", "register"]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(baselines)


def baselines(
    data: Annotated[
        str,
        typer.Option(help="bach, jsb, nottingham, piano-midi, musedata; a .npz or .mat file; a folder of MIDI files."),
    ] = "bach",
    split: Annotated[str, typer.Option(help="Which pieces to score: train, valid or test.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Score models that only count: log-likelihoods and expected accuracies, exact."""
    with friendly():
        from rnnrbm import baselines as models
        from rnnrbm import datasets

        loaded = datasets.load(data)
        rows = models.table(loaded, split=split)
        frames = sum(len(piece) for piece in getattr(loaded, split))
        if as_json:
            # JSON has no NaN: what is not defined is null
            scores = [{key: _or_none(value) for key, value in row.items()} for row in rows]
            shown = {"data": loaded.name, "split": split, "frames": frames, "baselines": scores}
            typer.echo(json.dumps(shown, indent=2, allow_nan=False))
        else:
            _print_table(f"Baselines on {loaded.name}, {split}, {frames} frames", rows)


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print_table(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("model")
    for column in ("LL", "by piece", "ACC", "ACC (Bay)", "precision", "recall"):
        table.add_column(column, justify="right")
    table.add_column("chosen on valid")
    for row in rows:
        likelihoods = ["" if row[key] is None else f"{row[key]:.3f}" for key in ("ll", "ll_pieces")]
        percents = [f"{100 * row[key]:.2f}" for key in ("frame", "bay", "precision", "recall")]
        table.add_row(row["model"], *likelihoods, *percents, _settings(row["settings"]))
    # a name such as set[1] is no markup
    console = Console(width=None if sys.stdout.isatty() else 110, markup=False)
    console.print(table)
    console.print(
        "LL: nats per frame, mean over all frames; by piece: mean over pieces of their means. ACC, in percent: TP / "
        "max(predicted, true), mean over frames, expected of frames drawn given the true history; (Bay): TP / (TP + "
        "FP + FN) over all notes."
    )


def _settings(settings: dict[str, float]) -> str:
    named = {"N": "N {:d}", "log10_p": "p 10^{:.2f}", "flip": "flip {:.2g}"}
    return ", ".join(named[name].format(value) for name, value in settings.items())
