"""A command in several processes: joining them, and ending each so that the others notice."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from rnnrbm.cli.console import tell

__all__ = ["join", "joined"]


def join(coordinator: str | None, n_processes: int | None, process_id: int | None) -> bool:
    """Join the other processes if options or a cluster's launcher say so; return whether this one leads.

    The parameters are those of :func:`rnnrbm.backend.processes.start`. With `n_processes` 1 and nothing else, nothing
    is joined.
    """
    options = {"--coordinator": coordinator, "--processes": n_processes, "--process-id": process_id}
    missing = [name for name, value in options.items() if value is None]
    if missing and (coordinator is not None or process_id is not None or n_processes not in (None, 1)):
        raise ValueError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; give --coordinator, --processes "
            "and --process-id together, or none of them where a launcher such as srun has started the processes"
        )
    alone = coordinator is None and process_id is None and n_processes in (None, 1)
    from rnnrbm.backend import processes

    if alone and (n_processes == 1 or not processes.detected()):
        return True
    from rnnrbm.backend import engine
    from rnnrbm.backend.processes import CONNECT

    engine.start_jax()
    processes.start(
        coordinator,
        n_processes,
        process_id,
        waits=lambda: tell(f"process {process_id} waits for the others at {coordinator}, up to {CONNECT:.0f} seconds"),
    )
    if processes.is_lead():
        tell(
            f"{processes.count()} processes; this one writes the run. If one is lost, all end, and --resume continues "
            "from the last checkpoint, also with another number of processes"
        )
    else:
        tell(f"process {processes.index()} of {processes.count()} has joined; process 0 says what all do")
        warnings.simplefilter("ignore")  # process 0 has the same ones
    return processes.is_lead()


@contextmanager
def joined() -> Iterator[None]:
    """End this process as one of several, where it is one.

    All processes come to the end of the block, or to an error that all have raised, together; then each waits for the
    others. After another error it ends at once, so that the others need not wait.
    """
    try:
        yield
    except BaseException as error:
        _end_after(error)
        raise
    _end(0, together=True)


def _end_after(error: BaseException) -> None:
    from rnnrbm.backend import processes

    if processes.count() == 1:
        return
    from rnnrbm.experiment.place import Interrupted

    cause = error.__context__  # of the exit
    together = isinstance(cause, processes.Refused) or (isinstance(cause, Interrupted) and cause.resumable)
    if not isinstance(error, typer.Exit):
        traceback.print_exception(error)
    _end(error.exit_code if isinstance(error, typer.Exit) else 1, together=together)


def _end(code: int, *, together: bool) -> None:
    from rnnrbm.backend import processes

    processes.end(code, together=together)
