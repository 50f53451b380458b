"""The commands that show runs: ``rnnrbm report`` and ``rnnrbm compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnrbm.cli.console import friendly, path_given, say, say_table, tell

if TYPE_CHECKING:
    from rnnrbm.report.record import Record

__all__ = ["compare", "register", "report", "say_comparison"]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(short_help="Write the report of a run: one page of HTML.")(report)
    app.command(short_help="Compare runs in a table and a page.")(compare)


def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that 'rnnrbm train' wrote.")],
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write RUN/report.html, one page with scores, curves, samples, data and settings, and print its path.

    The page holds all that it shows, and loads nothing. A run that has not ended can be reported too.
    """
    with friendly():
        from rnnrbm.experiment.reports import write_report

        path = write_report(run_folder)
        say(str(path))
        if open_:
            _open(path)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Folders that 'rnnrbm train' wrote, or a folder that holds such folders."
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option(
            parser=path_given,
            metavar="FILE.html",
            help="Write a page with tables to sort and curves; an earlier such page is replaced.",
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser; needs --html.")] = False,
) -> None:
    """Print a table of runs; those that differ in nothing but the seed are one row with mean and standard deviation."""
    with friendly():
        from rnnrbm.experiment.reports import check_page, read_runs, write_comparison

        if open_ and html is None:
            raise ValueError("--open needs --html, the page to open")
        if html is not None:
            check_page(html)
        found = read_runs(runs)
        say_comparison(found)
        if html is not None:
            path = write_comparison(found, html)
            say(str(path))
            if open_:
                _open(path)


def say_comparison(runs: list[Record]) -> None:
    """Print the table of runs, and why some of them do not compare."""
    from rnnrbm.report.compare import caveats, table_rows

    for each in caveats(runs):
        tell(f"warning: {each}")
    headings, rows = table_rows(runs)
    say_table(f"{len(runs)} run{'' if len(runs) == 1 else 's'}", headings, rows)
    say("Means over the n runs that have ended, else the score so far; sd: standard deviation over seeds.")
    say("Higher log-likelihoods are better.")


def _open(path: Path) -> None:
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        tell(f"note: no browser was found; open {path} in one")
