"""The commands about runs: ``rnnrbm generate`` and ``settings``."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated

import typer

from rnnrbm.cli.console import ProgressBar, friendly, in_words, own_data, say, tell
from rnnrbm.files import check_folder, file_name, folder_for

# Everything heavier (PyTensor, JAX, matplotlib) is imported inside the commands: --help must be quick.

__all__ = ["generate", "register", "settings"]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(short_help="Write new samples of a trained model.")(generate)
    app.command(short_help="Print all settings and their defaults.")(settings)


def generate(
    run_folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder that 'rnnrbm train' wrote; or bach, a model that comes with the library."
        ),
    ],
    n_frames: Annotated[
        int | None, typer.Option(min=1, help="Frames of each sample after the primer; by default as the run's own.")
    ] = None,
    n_samples: Annotated[
        int | None, typer.Option(min=1, help="Number of samples; by default as the run's own.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers; equal seeds give equal samples.")] = 0,
    k: Annotated[
        int | None,
        typer.Option("--k", min=1, help="Gibbs steps per frame, for a model with an RBM; by default as in the run."),
    ] = None,
    n_init_states: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of the most frequent training frames from which Gibbs chains start, sampled in proportion to "
            "their probability under the model. With 0, chains start from the frame before. By default as in the run.",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Below 1, probable frames become more probable, so samples are plainer; above 1 they are more varied. "
            "By default as in the run, usually 1."
        ),
    ] = None,
    prime: Annotated[Path | None, typer.Option(help="File to continue: MIDI, a sound file, CSV, or .npy.")] = None,
    prime_frames: Annotated[int | None, typer.Option(min=1, help="Frames of it to use; by default 16.")] = None,
    drop_prime: Annotated[bool, typer.Option("--drop-prime", help="Leave the primer out of the files.")] = False,
    tempo: Annotated[
        float | None,
        typer.Option(help="Tempo in beats per minute; by default that of the primer, or else of the run."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; by default RUN/generated, for bach runs/bach/generated.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace samples of the same name.")] = False,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="pdf|svg", help="Write pictures in this format too, besides PNG.")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="PyTensor mode: JAX (default) or NUMBA.")] = None,
) -> None:
    """Write new samples of a trained model as MIDI or WAV, and PNG; each begins with the primer, if there is one."""
    with friendly():
        import numpy as np

        from rnnrbm.experiment import run
        from rnnrbm.experiment.artifacts import picture_formats
        from rnnrbm.experiment.run_folder import using
        from rnnrbm.scoring.likelihood import usable_states

        picture_formats(format_)
        if prime is None and (prime_frames is not None or drop_prime):
            option = "--prime-frames" if prime_frames is not None else "--drop-prime"
            raise ValueError(f"{option} needs --prime, the file to continue")
        trained = run.load(run_folder)
        if prime is not None:
            run.check_primable(trained)
        if trained.state:
            tell(f"note: {trained.state}")
        folder = out or trained.folder / "generated"
        check_folder(folder, "the samples")
        name = f"seed{seed}" if prime is None else f"{file_name(prime.stem)}-seed{seed}"
        present = [*folder.glob(f"{glob.escape(name)}-*")] if folder.is_dir() else []
        if present and not overwrite:
            raise FileExistsError(
                f"{present[0]}: exists already; choose another --seed or --out, or replace it by --overwrite"
            )
        primer = None
        if prime is not None:
            primer, own_tempo = trained.kind.read(prime, trained.model.n_visible)
            primer = primer[: 16 if prime_frames is None else prime_frames]
            tempo = own_tempo if tempo is None else tempo
            say(f"primed by {len(primer)} frames of {prime}")
        usual = trained.config.generation
        temperature = usual.temperature if temperature is None else temperature
        number, n_frames, n_samples, k = (
            default if given is None else given
            for given, default in (
                (n_init_states, usual.n_init_states),
                (n_frames, usual.n_frames or trained.kind.sample_length),
                (n_samples, usual.n_samples),
                (k, usual.k),
            )
        )
        primed = 0 if primer is None or drop_prime else len(primer)
        trained.kind.check_writing(n_frames + primed, usual.tempo if tempo is None else tempo)
        place = using(trained.folder, "generated") if out is None else folder_for(folder, "the samples")
        with ProgressBar() as bar, place:
            if out is None:
                trained.check_present()
            changed = "Gibbs chains start from other frames, and samples differ"
            missing = "Gibbs chains start from the frame before, and samples differ"
            own = None
            if number and run.starts_from_states(trained):
                own = own_data(trained, changed, missing, bar.report)
            states = None if own is None else usable_states(trained.model, own.train, number)
            new = run.draw_samples(
                trained,
                n_frames,
                n_samples=n_samples,
                k=k,
                seed=seed,
                prime=primer,
                init_states=states,
                temperature=temperature,
                mode=mode,
                progress=bar.report,
            )
            if departure := trained.departure(new):
                bar.report("note", 0, 0, {"text": f"warning: {departure}"})
            pieces = new if not primed else [np.concatenate([primer, frames]) for frames in new]
            files = run.write_samples(
                trained, pieces, folder, name=name, primed=primed, tempo=tempo, vector=format_, progress=bar.report
            )
        usual_statistics = {} if own is None else trained.kind.statistics(own.train)
        for name, value in trained.kind.statistics(new).items():
            beside = f", training set {usual_statistics[name]:.3f}" if name in usual_statistics else ""
            say(f"{in_words(name)}: samples {value:.3f}{beside}")
        for file in files:
            say(str(file))


def settings() -> None:
    """Print a configuration file with all settings, their meanings and their defaults."""
    from rnnrbm.experiment.config import template

    say(template())
