"""The command of many runs with suggested settings: ``rnnrbm sweep``."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnrbm.cli.console import ProgressBar, friendly, interruptible, path_given, say, say_table, tell
from rnnrbm.progress import Progress

# As in runs.py, heavier modules are imported inside the command.
if TYPE_CHECKING:
    from rnnrbm.experiment.journal import Trial
    from rnnrbm.experiment.sweeps import Sweep

__all__ = ["register", "sweep"]

#: Trials that the table shows.
SHOWN = 10
#: Seconds after which processes that should end are asked again, and after which they are killed.
PATIENCE = 5.0
#: Trials after which a process of several is replaced by a new one, since what a compiler keeps of programs that are
#: used no longer adds up: about 30 MB for each trial of other sizes.
MOST_TRIALS = 20
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(short_help="Search settings by the validation set.")(sweep)


def sweep(
    source: Annotated[
        Path,
        typer.Argument(help="TOML file with settings and ranges, or the folder of a sweep.", metavar="CONFIG.toml"),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=path_given, metavar="FOLDER", help="Folder of the sweep; by default runs/NAME of NAME.toml."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials of the whole sweep, with those that it has already.")] = 20,
    jobs: Annotated[int, typer.Option(min=1, help="Processes on this machine, which share its cores.")] = 1,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files of each trial.")] = False,
    mode: Annotated[str | None, typer.Option(help="PyTensor mode: JAX (default) or NUMBA.")] = None,
    cores: Annotated[str | None, typer.Option(hidden=True, help="Work for another process, on these cores.")] = None,
    most: Annotated[int | None, typer.Option(hidden=True, help="Most trials of this process.")] = None,
) -> None:
    """Search settings: many runs, of which the validation set chooses. Run the same command again to continue.

    Start it on several machines with the same --out, a folder that they share, and they work on the same trials.
    """
    if cores is not None:  # before libraries count them
        with contextlib.suppress(AttributeError, OSError, ValueError):
            os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    with friendly():
        from rnnrbm.experiment import run, sweeps

        opened = sweeps.open_sweep(source, out)
        parent, worker = os.getppid(), cores is not None
        training, by_range = opened.settings.training, {each.key for each in opened.ranges}
        late = training.epochs <= training.valid_every and "training.epochs" not in by_range
        if late and opened.search.pruner != "none":
            tell(
                f"warning: a trial has {training.epochs} epochs, and every {training.valid_every} are validated, so "
                "none can be pruned; choose a smaller training.valid_every"
            )
        try:
            with interruptible() as asked:
                if jobs == 1:
                    sweeps.work(
                        opened,
                        trials,
                        show=partial(_shown, trials),
                        mode=mode,
                        stop=lambda: asked() or (worker and os.getppid() != parent),
                        tensorboard=tensorboard,
                        most=most,
                    )
                else:
                    _work_together(opened, trials, jobs, asked, mode, tensorboard)
        except (run.Interrupted, KeyboardInterrupt):
            tell(f"stopped; trials are saved. Continue the sweep:  {_again(opened)} --trials {trials}")
            raise typer.Exit(130) from None
        if not worker:
            _say_results(opened, opened.journal().trials())


def _again(opened: Sweep) -> str:
    return f"rnnrbm sweep {shlex.quote(str(opened.folder))}"


@contextlib.contextmanager
def _shown(n_trials: int, number: int, values: Mapping[str, Any]) -> Iterator[Progress]:
    """Show the progress of a trial."""
    chosen = ", ".join(f"{key} = {_text(value)}" for key, value in values.items())
    tell(f"trial {number} ({number + 1} of {n_trials}): {chosen}")
    with ProgressBar() as bar:
        yield bar.report


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _work_together(
    opened: Sweep, n_trials: int, jobs: int, stop: Callable[[], bool], mode: str | None, tensorboard: bool
) -> None:
    """Let several processes work on the trials, and tell what becomes of each trial.

    Raises
    ------
    Interrupted
        If `stop` returned True.
    RuntimeError
        If a process ended with an error.
    """
    from rnnrbm.experiment import run

    journal = opened.journal()
    logs = opened.folder / "logs"
    logs.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "rnnrbm.cli.main", "sweep", str(opened.folder), "--trials", str(n_trials)]
    command += ["--most", str(MOST_TRIALS)]
    command += ["--mode", mode] if mode else []
    command += ["--tensorboard"] if tensorboard else []
    told = {trial.number: _ended(trial) for trial in journal.trials()}
    tell(f"{jobs} processes work on {opened.folder}; what each of them does is in {logs}")
    node = os.uname().nodename if hasattr(os, "uname") else "worker"
    files = [logs / f"{node}-{os.getpid()}-{i}.log" for i in range(jobs)]

    def start(i: int) -> subprocess.Popen[bytes]:
        own = _own_cores(i, jobs)
        with open(files[i], "ab") as log:
            return subprocess.Popen(
                [*command, "--cores", ",".join(map(str, own))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **_environment(i, jobs, len(own))},
                start_new_session=True,  # Ctrl-C is passed on once, below
            )

    workers: list[subprocess.Popen[bytes]] = []
    try:
        for i in range(jobs):
            workers.append(start(i))
        while any(worker.poll() is None for worker in workers) and not stop():
            time.sleep(1.0)
            trials = journal.trials()
            _tell_ended(trials, told)
            if len(trials) < n_trials or any(trial.state == "waiting" for trial in trials):
                for i, worker in enumerate(workers):
                    if worker.poll() == 0:  # it has done its share, and left work for a new one
                        workers[i] = start(i)
    finally:
        _end(workers)
    _tell_ended(journal.trials(), told)
    if stop():
        raise run.Interrupted
    for worker, file in zip(workers, files, strict=True):
        if worker.returncode:
            last = file.read_text(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(
                f"a process of the sweep ended with code {worker.returncode}: "
                f"{''.join(last).removeprefix('error: ')} (see {file}); continue by: {_again(opened)}"
            )


def _end(workers: list[subprocess.Popen[bytes]]) -> None:
    """Let processes save what they have and end; after a few seconds they are asked again, and then killed."""
    for sign in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
        alive = [worker for worker in workers if worker.poll() is None]
        for worker in alive:
            with contextlib.suppress(ProcessLookupError, ValueError):
                worker.send_signal(sign)
        last = time.monotonic() + PATIENCE
        while any(worker.poll() is None for worker in alive) and time.monotonic() < last:
            time.sleep(0.05)
    for worker in workers:
        worker.kill()
        worker.wait()


def _own_cores(i: int, jobs: int) -> list[int]:
    """The cores of a process: an equal part of those that this one may use, or one of them if there are too few."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    return cores[i::jobs] or [cores[i % len(cores)]]


def _environment(i: int, jobs: int, n_cores: int) -> dict[str, str]:
    """Variables of a process: its threads, and its part of the GPUs; what a user has set stays."""
    chosen = dict.fromkeys(_THREADS, str(n_cores))
    chosen["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.75 / jobs:.3f}"  # 0.75 is the default of one process
    chosen = {name: value for name, value in chosen.items() if name not in os.environ}
    gpus = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if len(gpus) > 1:
        chosen["CUDA_VISIBLE_DEVICES"] = gpus[i % len(gpus)]
        if "XLA_PYTHON_CLIENT_MEM_FRACTION" in chosen:
            chosen["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.75 / -(-jobs // len(gpus)):.3f}"
    return chosen


def _ended(trial: Trial) -> bool:
    return trial.state in ("complete", "pruned", "failed")


def _tell_ended(trials: list[Trial], told: dict[int, bool]) -> None:
    for trial in trials:
        if _ended(trial) and not told.get(trial.number):
            told[trial.number] = True
            score = "no validation" if trial.score is None else f"valid {trial.score:.3f} in epoch {trial.epoch}"
            done = sum(map(_ended, trials))
            tell(f"trial {trial.number}: {score}, {trial.state}; {done} of {len(trials)} begun have ended")


def _say_results(opened: Sweep, trials: list[Trial]) -> None:
    """Print the best trials, and how to train the best one again."""
    from rnnrbm.experiment.search import trial_folder
    from rnnrbm.experiment.sweeps import ranked

    keys = [each.key for each in opened.ranges]
    rows = [
        (
            trial_folder(opened.folder, trial.number).name,
            "" if trial.score is None else f"{trial.score:.3f}",
            str(trial.epoch or ""),
            *(_text(trial.values.get(key, "")) for key in keys),
            trial.state if trial.state != "pruned" or not trial.reason.startswith("diverged") else "diverged",
        )
        for trial in ranked(trials)
    ]
    counts = {state: sum(trial.state == state for trial in trials) for state in ("complete", "pruned", "running")}
    said = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
    title = f"{opened.folder}: {len(trials)} trials ({said}), the best {min(SHOWN, len(rows))} by the validation set"
    names = [
        key.partition(".")[2] if sum(k.endswith(key.partition(".")[2]) for k in keys) == 1 else key for key in keys
    ]
    say_table(title, ("trial", "valid", "epoch", *names, "state"), rows[:SHOWN])
    best = next((trial for trial in ranked(trials) if trial.state == "complete"), None)
    if best is None:
        tell("warning: no trial came to its end; give it more trials, or a later warmup_epochs")
        return
    folder = trial_folder(opened.folder, best.number)
    name, again = shlex.quote(str(folder)), shlex.quote(f"{opened.folder}-seed-1")
    say(f"score it:   rnnrbm evaluate {name}")
    say(f"more seeds: rnnrbm train {name}/config.toml --set evaluation.test=true --seed 1 --out {again}")
