"""The command ``rnnrbm train``."""

from __future__ import annotations

import csv
import math
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from rnnrbm.cli.console import ProgressBar, friendly, in_words, interruptible, path_given, say, say_table, tell
from rnnrbm.cli.processes import join, joined
from rnnrbm.cli.seeds import train_all

# As in runs.py, heavier modules are imported inside the command.

__all__ = ["register", "train"]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(short_help="Train a model, score and sample it.")(train)


def train(
    config: Annotated[
        Path | None, typer.Argument(help="TOML file with settings to change.", metavar="[CONFIG.toml]")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="bach, humpback, jsb, nottingham, piano-midi, musedata, digits, mnist, balls or mit-mocap; a file of "
            "data or sound; or a folder of MIDI, sound or CSV files."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(parser=path_given, metavar="FOLDER", help="Folder of the run; by default runs/DATA-1, DATA-2 ..."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="rnn-rbm, rtrbm, rnn-nade, rnn, mlp, tied-rnn-rbm, tied-rnn-nade; rbm or nade for independent frames."
        ),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(help="Recurrent cell: gru, lstm, tanh (the 2012 tutorial) or sigmoid (the 2012 paper)."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, for example training.k=15. Repeatable."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            parser=path_given,
            metavar="RUN_OR_CHECKPOINT",
            help="Start from the parameters of a trained model: a run, its checkpoint, or a file of model.save.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the run in --out; with --epochs, train it for more epochs.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Train that many runs, of seed, seed + 1 ..., in folders of --out (by default runs/DATA-seeds-1), and "
            "print mean and standard deviation. If stopped, the same command continues."
        ),
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="pdf|svg", help="Write figures in this format too, besides PNG.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files too; a run that is resumed goes on with its own.")
    ] = False,
    mode: Annotated[str | None, typer.Option(help="PyTensor mode: JAX (default) or NUMBA.")] = None,
    coordinator: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Train in several processes, each started with its own --process-id: the address of process 0. "
            "Under srun or mpirun this is known.",
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Number of these processes; 1 trains in this one alone, also under srun.")
    ] = None,
    process_id: Annotated[int | None, typer.Option(min=0, help="Number of this one of them, from 0.")] = None,
) -> None:
    """Train a model, score it on the test set, and write samples, figures and a report to a run folder."""
    with joined(), friendly():
        leads = join(coordinator, processes, process_id)
        from rnnrbm.experiment import config as configs

        command = shlex.join(["rnnrbm", *sys.argv[1:]])
        if seeds is not None and (resume or overwrite):
            raise configs.ConfigError(
                f"--seeds continues by itself, so leave out {'--resume' if resume else '--overwrite'}; to begin anew, "
                "choose another folder by --out"
            )
        if seeds is not None and (tensorboard or processes or coordinator):
            raise configs.ConfigError("--seeds trains in this process alone, without event files; leave the others out")

        changes: dict[str, Any] = {}
        for item in set_ or []:
            key, equals, value = item.partition("=")
            if not equals:
                raise configs.ConfigError(f"--set {item}: expected KEY=VALUE, as in training.epochs=20")
            if key.strip() in changes:
                raise configs.ConfigError(f"--set {item}: {key.strip()} is given twice; give it once")
            changes[key.strip()] = _toml_value(value)
        named = {"data.source": data, "training.epochs": epochs, "training.seed": seed}
        named |= {"model.name": model, "model.cell": cell, "model.init": None if init is None else str(init)}
        named = {key: value for key, value in named.items() if value is not None}
        if twice := sorted(set(named) & set(changes)):
            raise configs.ConfigError(f"{twice[0]} is given by --set and by an option of its own; give it once")
        changes |= named
        settings = None
        if resume:
            if overwrite:
                raise configs.ConfigError(
                    "--resume and --overwrite contradict each other: --resume continues the run in --out, "
                    "--overwrite replaces it; give one of the two"
                )
            if config is not None:
                raise configs.ConfigError(
                    f"--resume continues with the run's own settings; leave out {config}, or start a new run"
                )
            if out is None:
                raise configs.ConfigError("--resume needs --out, the folder of the run to resume")
        else:
            if overwrite and out is None:
                raise configs.ConfigError("--overwrite needs --out, the folder of the run to replace")
            known = config is not None and (config.suffix.lower() == ".toml" or _may_be_text(config))
            if config is not None and not known:
                raise configs.ConfigError(
                    f"{config}: is no configuration, a TOML file; for a data set: --data {config}"
                )
            settings = configs.read(config) if config is not None else configs.Config()
            settings = settings.replaced(changes)
            if seeds is not None:
                train_all(settings, seeds, out, mode=mode, command=command, vector=format_)
                return

        with ProgressBar(quiet=not leads) as bar, interruptible() as stop:
            from rnnrbm.backend.processes import Refused
            from rnnrbm.experiment import run
            from rnnrbm.experiment.setup import unused_sizes

            if settings is not None and (unused := unused_sizes(settings.model, changes)):
                text = f"{settings.model.name} has no {', '.join(unused)}, so this is ignored"
                bar.report("note", 0, 0, {"text": text})
            folder = out
            if folder is None:
                assert settings is not None
                folder = run.free_folder(settings.data.source)
            try:
                results = run.train(
                    settings,
                    folder,
                    resume=resume,
                    overwrite=overwrite,
                    changes=changes if resume else None,
                    tensorboard=tensorboard,
                    mode=mode,
                    stop=stop,
                    progress=bar.report,
                    record={"command": command},
                    vector=format_,
                )
            except Refused:
                if leads:
                    raise
                raise typer.Exit(1) from None  # process 0 says why
            except (run.Interrupted, KeyboardInterrupt) as interrupt:
                bar.close()
                if not leads:
                    raise typer.Exit(130) from None
                saved = (folder / "checkpoint.npz").exists()
                where = f"the last checkpoint is in {folder}" if saved else "no checkpoint had been saved yet"
                tell(str(interrupt) or f"stopped; {where}")
                if (folder / "config.toml").exists() and getattr(interrupt, "resumable", True):
                    tell(f"Resume the run:  rnnrbm train --resume --out {shlex.quote(str(folder))}")
                raise typer.Exit(130) from None
            bar.close()
        if leads:
            _print_results(folder, results)


def _toml_value(text: str) -> Any:
    """The value of ``--set KEY=VALUE``: TOML, or a bare string."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _print_results(folder: Path, results: dict[str, Any]) -> None:
    from rnnrbm.models.registry import shown_name
    from rnnrbm.scoring.result import with_error

    epoch, name = f"epoch {results['best_epoch']}", f"this {shown_name(results['model'])}"
    rows = [(name, "not scored", epoch)]
    if results.get("test_score") is not None:
        rows = [(name, f"{results['test_score']['value']:.4f}", f"{results['test_score']['name']}; {epoch}")]
        if bound := results.get("test_bound"):
            how = bound["settings"] + (f", bias {bound['bias']:.3f}" if bound["bias"] else "")
            rows.append((name, with_error(bound["mean"], bound["standard_error"]), f"{how}; {epoch}"))
    elif results["test_ll"] is not None:
        how = results["method"] + (f", bias {bias:.3f}" if (bias := results.get("test_bias")) else "")
        rows = [(name, with_error(results["test_ll"], results["test_se"]), f"{how}; {epoch}")]
    rows += [(name, f"{value:.3f}", "exact") for name, value in results["baselines"].items()]
    ll = math.inf if results["test_ll"] is None else results["test_ll"]
    if better := [f"{name} ({value:.3f})" for name, value in results["baselines"].items() if value > ll]:
        advice = "see the learning curves"
        if "VAR(1)" in results["baselines"]:  # of so few frames, more epochs only learn the noise
            advice = "with little data a linear model can be the better one: give more, or raise training.weight_decay"
        elif _still_improving(folder / "metrics.csv"):
            advice = "it was still improving: train for more epochs"
        tell(f"warning: the model scores below {', '.join(better)}; {advice}")
    frame = results["frame_name"]
    title = f"Test set of {results['data']}, {results['test_frames']} {frame}s"
    say_table(title, ("model", "score" if results.get("test_score") else f"nats per {frame}", "how"), rows)
    if "label_error" in results:
        say(f"label: {100 * results['label_error']:.2f} % of the {frame}s are classified wrongly")
    stats = results["statistics"]
    for name, value in stats["samples"].items():
        say(f"{in_words(name)}: samples {value:.3f}, training set {stats['train'][name]:.3f}")
    say(f"samples:  {folder / 'samples'}")
    say(f"figures:  {folder / 'figures'}")
    if (folder / "report.html").exists():
        say(f"report:   {folder / 'report.html'}")
    say(f"more:     rnnrbm generate {shlex.quote(str(folder))} --seed 1")


def _still_improving(metrics: Path) -> bool:
    """Whether the last of several validations was the best."""
    if not metrics.exists():  # no epoch was trained
        return False
    with open(metrics, encoding="utf-8", newline="") as file:
        scores = [float(row.get("valid_ll") or "nan") for row in csv.DictReader(file)]
    scores = [score for score in scores if not math.isnan(score)]
    return len(scores) > 1 and scores[-1] > max(scores[:-1])


def _may_be_text(path: Path) -> bool:
    """Whether a file may be a configuration of another suffix: it is there, and of no kind that holds data."""
    from rnnrbm.io.formats import PLAIN, WITH_RANGE
    from rnnrbm.io.midi_folder import MIDI_SUFFIXES
    from rnnrbm.io.sound import SOUND_SUFFIXES

    return path.is_file() and path.suffix.lower() not in {*MIDI_SUFFIXES, *SOUND_SUFFIXES, *PLAIN, *WITH_RANGE, ".npy"}
