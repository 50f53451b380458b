"""``python -m benchmarks.table1 reproduce``, ``mix``, ``samples`` and ``listen``, for use in a clone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.table1 import mixtures, page
from benchmarks.table1 import reproduce as tables
from benchmarks.table1.listen import write_listening
from benchmarks.table1.samples import write_gallery
from rnnrbm.cli.console import ProgressBar, friendly, interruptible, say
from rnnrbm.experiment import run
from rnnrbm.files import atomic
from rnnrbm.scoring.result import with_error

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

HERE = Path("benchmarks/table1")


@contextmanager
def resumable() -> Iterator[dict[str, Any]]:
    """Show a bar, and end with a message if the user stops; yields the options `stop` and `progress` of the work."""
    with ProgressBar() as bar, interruptible() as stop:
        try:
            yield {"stop": stop, "progress": bar.report}
        except (run.Interrupted, KeyboardInterrupt) as interrupt:
            bar.close()
            typer.echo(f"{interrupt or 'stopped'}; the same command resumes", err=True)
            raise typer.Exit(130) from None


@app.command()
def reproduce(
    table: Annotated[Path, typer.Argument(help="Folder of the configurations.")] = HERE,
    data: Annotated[str | None, typer.Option(help="Only the rows of this data set.")] = None,
    model: Annotated[str | None, typer.Option(help="Only the rows of this model.")] = None,
    runs: Annotated[Path | None, typer.Option(help="Folder for the runs; by default runs/TABLE.")] = None,
    out: Annotated[Path, typer.Option(help="The report.")] = Path("docs/results.md"),
    again: Annotated[bool, typer.Option("--again", help="Repeat rows that have results.")] = False,
    mode: Annotated[str | None, typer.Option(help="PyTensor mode: JAX (default) or NUMBA.")] = None,
) -> None:
    """Train and score the models of a table and write the report. If interrupted, the same command resumes."""
    with friendly():
        for path, settings in tables.rows(table, data, model):
            message = f"{path}"
            if not again and (made := tables.finished(path, settings)):
                message += f": made on {made['date']}, in {table / 'results'}; --again repeats it"
            typer.echo(message, err=True)
            folder = (runs or Path("runs") / table.name) / path.stem
            with resumable() as how:
                row = tables.make_row(path, settings, folder, again=again, mode=mode, **how)
            out.parent.mkdir(parents=True, exist_ok=True)
            with atomic(out) as temporary:
                temporary.write_text(page.report(table, out), encoding="utf-8")
            ll = row["test"]["ll"]
            say(f"{path.stem}: test {with_error(ll['micro'], ll['standard_error'])} nats per frame, {out}")


@app.command()
def mix(
    data: Annotated[str, typer.Option(help="The data set of the row.")],
    table: Annotated[Path, typer.Argument(help="Folder of the configurations.")] = HERE,
    model: Annotated[str, typer.Option(help="Its model.")] = "rnn-nade",
    seeds: Annotated[int, typer.Option(min=2, help="Members: the seeds 0, 1, 2 ...")] = 3,
    runs: Annotated[Path | None, typer.Option(help="Folder for the runs; by default runs/TABLE.")] = None,
    mode: Annotated[str | None, typer.Option(help="PyTensor mode: JAX (default) or NUMBA.")] = None,
) -> None:
    """Train a row with several seeds, and score the mixture of the models. If interrupted, the same command resumes."""
    with friendly():
        path, settings = next(tables.rows(table, data, model))
        folder = runs or Path("runs") / table.name
        with resumable() as how:
            row = mixtures.make_mixture(path, settings, folder, range(seeds), mode=mode, **how)
        alone = ", ".join(f"{x:.3f}" for x in row["members_valid"])
        say(f"{path.stem}: valid {row['valid']:.3f} (alone {alone}), test {row['test']['micro']:.3f} nats per frame")


@app.command()
def samples(
    table: Annotated[Path, typer.Argument(help="A folder with results of 'reproduce'.")] = HERE,
    out: Annotated[Path, typer.Option(help="The page; samples go into a folder with its name.")] = Path(
        "docs/samples.md"
    ),
    count: Annotated[int, typer.Option(min=2, help="Samples of each model.")] = 16,
    steps: Annotated[int, typer.Option(min=16, help="Frames of each.")] = 96,
    runs: Annotated[
        list[str] | None, typer.Option("--run", help="Another run to sample: a folder, or bach. May be repeated.")
    ] = None,
    n_long: Annotated[int, typer.Option("--n-long", min=512, help="Frames of long samples.")] = 2048,
    mode: Annotated[str | None, typer.Option(help="PyTensor mode: JAX (default) or NUMBA.")] = None,
) -> None:
    """Sample the RNN-RBMs and RNN-NADEs of a table, and write a page about the samples."""
    with friendly():
        write_gallery(
            table / "checkpoints", out, also=runs or (), count=count, steps=steps, n_long=n_long, mode=mode, say=say
        )
        say(f"written to {out} and {out.with_suffix('')}")


@app.command()
def listen(
    table: Annotated[Path, typer.Argument(help="A folder with results of 'reproduce' and 'mix'.")] = HERE,
    out: Annotated[Path, typer.Option(help="The page; sounds go into a folder with its name.")] = Path(
        "docs/listen.md"
    ),
    steps: Annotated[int, typer.Option(min=200, help="Frames of a sample.")] = 2000,
    runs: Annotated[Path | None, typer.Option(help="Folder of the runs of mixtures; by default runs/TABLE.")] = None,
    mode: Annotated[str | None, typer.Option(help="PyTensor mode: JAX (default) or NUMBA.")] = None,
) -> None:
    """Sample the best model of each data set, and write a page with sounds."""
    with friendly():
        write_listening(table, runs or Path("runs") / table.name, out, steps=steps, mode=mode, say=say)
        say(f"written to {out} and {out.with_suffix('')}")


if __name__ == "__main__":
    app()
