"""Training of several seeds: what ``rnnrbm train --seeds`` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rnnrbm.cli.console import ProgressBar, interruptible, say, tell
from rnnrbm.cli.report import say_comparison

if TYPE_CHECKING:
    from rnnrbm.experiment.config import Config
    from rnnrbm.experiment.seeds import Planned
    from rnnrbm.progress import Progress

__all__ = ["train_all"]


def train_all(settings: Config, n_seeds: int, out: Path | None, **options: Any) -> None:
    """Train the runs of several seeds, print the table of all, and write the page that compares them.

    Parameters
    ----------
    settings : Config
    n_seeds : int
    out : pathlib.Path or None
        See :func:`rnnrbm.experiment.seeds.plan`.
    options
        See :func:`rnnrbm.experiment.seeds.train_seeds`.
    """
    from rnnrbm.experiment.reports import check_page, read_runs, write_comparison
    from rnnrbm.experiment.run import Interrupted
    from rnnrbm.experiment.seeds import plan, train_seeds

    planned = plan(settings, n_seeds, out)
    page = planned[0].folder.parent / "compare.html"
    if page.exists():
        check_page(page)
    done = [each for each in planned if each.state == "ended"]
    for each in done:
        tell(f"{each.folder}: has ended, and is not trained again")
    bars: list[ProgressBar] = []

    def close() -> None:
        while bars:
            bars.pop().close()

    def progress(each: Planned) -> Progress:
        close()
        tell(f"seed {each.seed}, {planned.index(each) + 1} of {len(planned)} runs")
        bars.append(ProgressBar())
        bars[-1].__enter__()
        return bars[-1].report

    try:
        with interruptible() as stop:
            for _ in train_seeds(planned, stop=stop, progress=progress, **options):
                close()
    except (Interrupted, KeyboardInterrupt) as interrupt:
        close()
        tell(f"{interrupt or 'stopped'}; repeat the same command to continue")
        raise typer.Exit(130) from None
    finally:
        close()
    runs = read_runs([each.folder for each in planned])
    say_comparison(runs)
    say(f"page:     {write_comparison(runs, page)}")
    say(f"reports:  {page.parent / 'seed-*' / 'report.html'}")
