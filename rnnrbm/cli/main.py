"""The command line ``rnnrbm``: a file for each group of commands registers them here."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from typing import Annotated, Any

import typer

from rnnrbm.cli import data, forecast, report, runs, score, sound, sweep, train
from rnnrbm.cli.console import tell

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Train, measure and sample RNN-RBM models of music and sound.",
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


for group in (train, runs, report, sweep, forecast, score, data, sound):
    group.register(app)


#: what is wrong with arguments; typer does not name it, and where it is defined depends on the version
_CommandLineError: Any = typer.BadParameter.__mro__[2]


def _start_gpu_sooner() -> None:
    """Turn off XLA's search for the fastest kernel of each product on a GPU, unless XLA_FLAGS says otherwise.

    The search takes most of the first minute of a run, and the kernels that it finds are a few percent faster.
    """
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin")
    flags, flag = os.environ.get("XLA_FLAGS", ""), "--xla_gpu_autotune_level"
    if flag not in flags and any(map(importlib.util.find_spec, plugins)):
        os.environ["XLA_FLAGS"] = f"{flags} {flag}=0".strip()


def main() -> None:
    """Entry point of the command ``rnnrbm``."""
    _start_gpu_sooner()
    for stream in (sys.stdout, sys.stderr):  # the name of a file may be no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        tell("stopped")
        sys.exit(130)
    except _CommandLineError as error:
        context, text = getattr(error, "ctx", None), error.format_message()
        if "\n" in text or context is None:  # the help
            error.show()
        else:  # in one line, as all other errors
            tell(f"error: {text.rstrip('.')}; see {context.command_path} --help")
        sys.exit(error.exit_code)
    sys.exit(code)


if __name__ == "__main__":
    main()
