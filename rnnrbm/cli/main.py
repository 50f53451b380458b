"""The command line ``rnnrbm``: a file for each group of commands registers them here."""

from __future__ import annotations

from typing import Annotated

import typer

from rnnrbm.cli import data, runs, score

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Train, measure and sample RNN-RBM models of piano-rolls.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        import rnnrbm

        typer.echo(f"rnnrbm {rnnrbm.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for group in (runs, score, data):
    group.register(app)


def main() -> None:
    """Entry point of the command ``rnnrbm``."""
    app()


if __name__ == "__main__":
    main()
