"""The commands that score: ``rnnrbm evaluate`` and ``rnnrbm baselines``."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnrbm.cli.console import ProgressBar, friendly, interruptible, own_data, say, say_table, tell
from rnnrbm.files import to_json

# As in runs.py, heavier modules are imported inside the commands.
if TYPE_CHECKING:
    from rnnrbm.datasets import Dataset
    from rnnrbm.frames import FrameKind

__all__ = ["baselines", "evaluate", "register"]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(short_help="Score a trained run in detail.")(evaluate)
    app.command(short_help="Score baselines on a data set.")(baselines)


def evaluate(
    run_folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder that 'rnnrbm train' wrote; or bach, a model that comes with the library."
        ),
    ],
    data: Annotated[
        str | None, typer.Option(help="A data set, as for 'rnnrbm train'; by default the run's own.")
    ] = None,
    split: Annotated[str, typer.Option(help="Pieces to score: train, valid or test.")] = "test",
    method: Annotated[
        str | None,
        typer.Option(
            help="ais (with RAISE beside it), or exact (needs a layer of at most 25 units). Log-likelihoods of models "
            "without a partition function are always exact."
        ),
    ] = None,
    n_chains: Annotated[
        int | None,
        typer.Option(
            min=2, help="Chains of AIS and of RAISE for each frame; 100 by default, and 500 for the one Z of an RBM."
        ),
    ] = None,
    n_temperatures: Annotated[
        int | None,
        typer.Option(min=2, help="Temperatures of each chain; 1000 by default, and 16000 for the one Z of an RBM."),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Spacing of the temperatures: linear (the default), quadratic (that of RAISE and of the one Z of an "
            "RBM), geometric or sigmoid."
        ),
    ] = None,
    n_exact_states: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of the most frequent training frames whose terms of Z are summed exactly. With 0, AIS "
            "estimates all of Z, as in the 2012 paper.",
        ),
    ] = 5000,
    bracket: Annotated[
        bool,
        typer.Option(
            "--bracket/--no-bracket", help="Compute RAISE as well as AIS; this takes two to three times as long."
        ),
    ] = True,
    n_bracket_frames: Annotated[
        int | None,
        typer.Option(
            min=2, help="Number of random frames for RAISE; a few thousand measure its gap to AIS well. Default: all."
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Gibbs steps of each sampled frame, for the accuracies.")] = 50,
    n_draws: Annotated[int, typer.Option(min=1, help="Samples of each frame, for the accuracies.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    mode: Annotated[str | None, typer.Option(help="PyTensor mode: JAX (default) or NUMBA.")] = None,
) -> None:
    """Score a trained run: log-likelihood, accuracies and baselines. If interrupted, it resumes from saved results."""
    with friendly():
        from rnnrbm import datasets
        from rnnrbm.experiment import evaluation, run
        from rnnrbm.scoring.result import with_error

        evaluation.check_how(method, schedule)
        trained = run.load(run_folder)
        if trained.state:
            tell(f"note: {trained.state}")
        with ProgressBar(quiet=as_json) as bar, interruptible() as stop:
            own: Dataset | None
            if data is None:
                own = own_data(trained, "what is scored is not what it was trained with", progress=bar.report)
                assert own is not None
                loaded = own
            else:
                alike = datasets.kind_of_files(data) == trained.kind.name
                how = trained.kind.folder_options(trained.model.n_visible) if alike else {}
                loaded = datasets.matched(datasets.load(data, progress=bar.report, **how), trained.kind)
                trained.check_columns(loaded)
                changed = "the terms of Z of other frames are summed exactly"
                own = own_data(trained, changed, "all terms of Z are estimated", bar.report)
                tell(str(loaded))
                if caveat := trained.kind.mismatch(loaded.kind).caveat:
                    tell(f"warning: {loaded.name} has {caveat} as in training")
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
                tell(f"{interrupt or 'stopped'}; run the same command to continue")
                raise typer.Exit(130) from None
        if as_json:
            say(to_json(results))
            return
        kind = trained.kind
        title = f"{results['data']}, {split}: {_amount(results['pieces'], results['frames'], kind)}"
        if "score" in results:
            say(f"{title}\n{results['score']['name']}: {results['score']['value']:.4f}")
            if "bound" in results:
                bound = results["bound"]
                error = with_error(bound["mean"], bound["standard_error"])
                bias = f", bias {bound['bias']:.3f}" if bound["bias"] else ""
                say(f"log-likelihood, nats per frame, at least: {error} ({bound['settings']}{bias})")
                if bound["diagnostics"]:
                    tell(f"warning: {bound['diagnostics']}")
            _say_label_error(results, kind)
            say(f"written to {trained.folder / 'evaluations'}")
            return
        _print_table(title, kind, [*_evaluated(results, kind), *(_baseline(row, kind) for row in results["baselines"])])
        if "prediction" in results:
            say(f"The model's frames are {results['prediction']['how']}; the baselines' scores are expectations.")
        _say_label_error(results, kind)
        if results["log_likelihood"]["bias"]:
            say(
                "bias: how far the estimate is too high (AIS) or too low (RAISE) because the number of chains is "
                "finite, half the variance of log Z; it is not subtracted."
            )
        if "bracket" in results:
            if why := results["bracket"]["verdict"]:
                tell(f"warning: AIS and RAISE are no bracket here. {why}")
        elif why := results["log_likelihood"]["diagnostics"]:
            tell(f"warning: {why}")
        say(f"written to {trained.folder / 'evaluations'}")


def baselines(
    data: Annotated[
        str,
        typer.Option(
            help="bach, humpback, jsb, nottingham, piano-midi, musedata, digits, mnist, balls or mit-mocap; a file of "
            "data or sound; or a folder of MIDI, sound or CSV files."
        ),
    ] = "bach",
    split: Annotated[str, typer.Option(help="Pieces to score: train, valid or test.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Score count-based baselines, or linear ones of real numbers: exact log-likelihoods and scores of predictions."""
    with friendly():
        from rnnrbm import datasets

        if split not in datasets.SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(datasets.SPLITS)}")
        with ProgressBar(quiet=as_json) as bar:
            loaded = datasets.load(data, progress=bar.report)
            pieces = getattr(loaded, split)
            bar.report("baselines", 0, 1)
            rows = loaded.kind.baseline_table(loaded.train, loaded.valid, pieces)
            bar.report("baselines", 1, 1)
        frames = sum(map(len, pieces))
        if as_json:
            say(to_json({"data": loaded.name, "split": split, "frames": frames, "baselines": rows}))
            return
        _print_table(
            f"Baselines on {loaded.name}, {split}: {_amount(len(pieces), frames, loaded.kind)}",
            loaded.kind,
            [_baseline(row, loaded.kind) for row in rows],
        )
        if not loaded.kind.is_sequence:  # none of the models below looks back
            return
        if not loaded.kind.is_discrete:
            say(
                "The scores of predicted frames are those of the expected frames. VAR(p) is a vector autoregression of "
                "order p whose errors have a full covariance. The validation set chose the ridge of its weights and by "
                "how much covariances shrink."
            )
            return
        say(
            "The scores of predicted frames are expectations over frames drawn given the true past. An N-gram sees "
            "N - 1 earlier frames, p is added to every count, and flip is the probability that a note differs from a "
            "frame of the training set. The validation set chose p, flip and the N of N-grams, which is 2 or more."
        )


def _say_label_error(results: dict[str, Any], kind: FrameKind) -> None:
    if "label_error" in results:
        say(f"label: {100 * results['label_error']:.2f} % of the {kind.frame_name}s are classified wrongly")


def _amount(n_pieces: int, n_frames: int, kind: FrameKind) -> str:
    pieces = f"{n_pieces} piece{'s' if n_pieces > 1 else ''}, " if kind.is_sequence else ""
    return f"{pieces}{n_frames} {kind.frame_name}s"


Row = tuple[str, ...]


def _baseline(row: dict[str, Any], kind: FrameKind) -> Row:
    likelihoods = ["" if row[key] is None else f"{row[key]:.3f}" for key in ("ll", "ll_pieces")]
    chosen = ", ".join(_SETTINGS[name](value) for name, value in row["settings"].items())
    return (row["model"], *likelihoods, *_scores(row, kind), chosen)


#: how a baseline's settings are written
_SETTINGS: dict[str, Callable[[Any], str]] = {
    "N": "N {:d}".format,
    "log10_p": lambda log10: f"p {Decimal(10) ** Decimal(log10):.2g}",  # a float may be too small
    "flip": "flip {:.2g}".format,
    "ridge": "ridge {:.2g}".format,
    "shrinkage": "shrinkage {:.2g}".format,
}


def _evaluated(results: dict[str, Any], kind: FrameKind) -> list[Row]:
    """The model's rows: log-likelihood and prediction scores, and the lower side of the bracket."""
    from rnnrbm.models.registry import shown_name
    from rnnrbm.scoring.result import with_error

    rows: list[Row] = []
    lower = "  RAISE" if results.get("bracket", {}).get("verdict") else "  lower side"
    for key, name in (("log_likelihood", f"this {shown_name(results['model'])}"), ("raise", lower)):
        if key in results:
            ll = results[key]
            scores = (
                _scores(results.get("prediction", {}), kind)
                if key == "log_likelihood"
                else ("",) * len(kind.score_columns)
            )
            rows.append(
                (
                    name,
                    with_error(ll["micro"], ll["standard_error"]),
                    "" if ll["macro"] is None else f"{ll['macro']:.3f}",
                    *scores,
                    ll["settings"] + (f", bias {ll['bias']:.3f}" if ll["bias"] else ""),
                )
            )
    return rows


def _scores(row: dict[str, Any], kind: FrameKind) -> Row:
    """The prediction scores of a row, as text."""
    return tuple(f"{100 * row[key]:.2f}" if percent else f"{row[key]:.3f}" for key, _, percent in kind.score_columns)


def _print_table(title: str, kind: FrameKind, rows: list[Row]) -> None:
    say_table(title, ("model", "LL", "by piece", *(column.heading for column in kind.score_columns), "how"), rows)
    name = kind.frame_name
    say(f"LL: nats per {name}, mean over all {name}s; by piece: mean over pieces of their means. {kind.score_note}")
