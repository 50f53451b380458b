"""The commands about data: ``rnnrbm fetch`` and ``rnnrbm convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnrbm.cli.console import ProgressBar, friendly, say

# As in runs.py, heavier modules are imported inside the commands.
if TYPE_CHECKING:
    import numpy as np

    from rnnrbm.datasets import Dataset
    from rnnrbm.kinds.piano_roll import PianoRoll

__all__ = ["convert", "fetch", "register"]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(short_help="Download benchmark data sets.")(fetch)
    app.command(short_help="Convert MIDI files, piano-rolls and data sets.")(convert)


def fetch(
    names: Annotated[
        list[str],
        typer.Argument(
            help="jsb, nottingham, piano-midi, musedata, or all of these; mnist, or mit-mocap.", metavar="NAME..."
        ),
    ],
) -> None:
    """Download benchmark data sets that are missing, and print the path and a summary of each."""
    with friendly():
        from rnnrbm import datasets
        from rnnrbm.io import download
        from rnnrbm.io.benchmark_sets import BENCHMARK_SETS, locate
        from rnnrbm.io.image_sets import locate_mnist
        from rnnrbm.io.motion import MIT_MOCAP

        wanted = [each for name in names for each in (BENCHMARK_SETS if name == "all" else [name])]
        unknown = [name for name in names if name not in (*BENCHMARK_SETS, "mnist", "mit-mocap", "all")]
        if unknown:  # before anything is fetched
            raise ValueError(
                f"cannot fetch {', '.join(unknown)}; expected one or more of {', '.join(BENCHMARK_SETS)}, mnist, "
                "mit-mocap, or all"
                + "".join(
                    f"; {name!r} comes with the library"
                    for name in unknown
                    if name in ("bach", "humpback", "digits", "balls")
                )
            )
        failed = []
        for name in dict.fromkeys(wanted):
            try:
                if name == "mnist":
                    paths = list(locate_mnist().values())
                else:
                    paths = [download.locate(MIT_MOCAP) if name == "mit-mocap" else locate(name)]
            except (OSError, ValueError) as error:  # the others may be there
                failed.append(str(error))
                continue
            say("\n".join(map(str, paths)))
            say(str(datasets.load(name)))
        if failed:
            raise FileNotFoundError("\nerror: ".join(failed))


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="A MIDI file, an .npz file of a piano-roll (pypianoroll's too), or the name, file or folder of a data "
            "set.",
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="An .npz file, or a MIDI file if IN is one piano-roll.")
    ],
    steps_per_beat: Annotated[
        int | None,
        typer.Option(help="Frames per beat (quarter note); by default 4 for one MIDI file and 2 for a folder."),
    ] = None,
    seconds_per_frame: Annotated[
        float | None, typer.Option(help="Duration of a frame in seconds, instead of --steps-per-beat.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="How notes become frames: sounding (keeps every note) or published (as in the 2012 data sets)."
        ),
    ] = None,
    transpose: Annotated[int, typer.Option(metavar="N", help="Semitones to transpose by; positive is up.")] = 0,
    low: Annotated[int | None, typer.Option(help="MIDI note number of the first column.")] = None,
    high: Annotated[int | None, typer.Option(help="MIDI note number of the last column.")] = None,
    drums: Annotated[bool, typer.Option("--drums", help="Read the drums (channel 10) too.")] = False,
    pedal: Annotated[bool, typer.Option("--pedal", help="Let notes sound on while the sustain pedal is down.")] = False,
    tempo: Annotated[
        float | None,
        typer.Option(help="Tempo of the MIDI file in beats per minute; by default that of IN, or 120 if it has none."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Convert MIDI to a piano-roll, a piano-roll to MIDI, or a data set to an .npz file."""
    with friendly():
        from dataclasses import replace

        from rnnrbm import datasets
        from rnnrbm.files import read_bytes
        from rnnrbm.io import formats
        from rnnrbm.io.midi import check_tempo
        from rnnrbm.io.midi_folder import MIDI_SUFFIXES
        from rnnrbm.io.pypianoroll import RollOptions

        options: dict[str, Any] = {
            key: value
            for key, value in {
                "steps_per_beat": steps_per_beat,
                "seconds_per_frame": seconds_per_frame,
                "rule": rule,
                "low": low,
                "high": high,
                "drums": drums or None,
                "pedal": pedal or None,
            }.items()
            if value is not None
        }
        path = Path(source)
        to_midi = target.suffix.lower() in MIDI_SUFFIXES
        if not to_midi and target.suffix.lower() != ".npz":
            raise ValueError(f"{target}: expected a name ending in .npz, or in {', '.join(MIDI_SUFFIXES)} for MIDI")
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target}: exists already; choose another name, or replace it with --overwrite")
        if tempo is not None:
            check_tempo(tempo)
        if tempo is not None and not to_midi:
            raise ValueError(f"--tempo is for writing MIDI, and {target} is not; leave it out")
        layout = formats.roll_layout(path) if path.suffix.lower() == ".npz" and path.is_file() else ""
        if layout:
            if not to_midi and layout == "rnnrbm":
                raise ValueError(f"{path}: is a piano-roll already; expected {target} to be a MIDI file, *.mid")
            reading: Any = {}
            if layout == "pypianoroll":
                reading = {name: options.pop(name) for name in RollOptions.__annotations__ if name in options}
            roll, metadata = formats.load_roll(path, **reading)
            kind = _complete(path, roll, metadata, options)
            if to_midi:
                _write_midi(target, roll, kind, transpose, tempo, path)
            else:
                _save_roll(target, roll, kind, transpose, path)
        elif to_midi:
            if path.suffix.lower() in MIDI_SUFFIXES and not path.is_dir():
                raise ValueError(
                    f"{path}: is MIDI already; convert it to a piano-roll first, *.npz, and that to {target}"
                )
            if path.suffix.lower() == ".npz":
                read_bytes(path, "an .npz file of one piano-roll")  # says if it is missing
            raise ValueError(
                f"{path}: is not a file of one piano-roll, so {target} cannot be made of it; a data set has many "
                "pieces: write the one you want by rnnrbm.midi.write in Python"
            )
        elif path.suffix.lower() in MIDI_SUFFIXES and not path.is_dir():
            roll, kind = _read_midi(path, options)
            _save_roll(target, roll, kind, transpose, path)
        else:
            with ProgressBar() as bar:
                dataset = _shifted(datasets.load(source, progress=bar.report, **options), transpose)
            dataset = replace(dataset, name=target.stem)  # a set is called as its file
            datasets.save(target, dataset)
            say(f"{target}\n{dataset}")


def _read_midi(path: Path, options: dict[str, Any]) -> tuple[np.ndarray, PianoRoll]:
    """A MIDI file as a piano-roll, and its kind of frame."""
    from rnnrbm.io import midi
    from rnnrbm.io.rolls import PIANO
    from rnnrbm.kinds.piano_roll import PianoRoll

    midi.check_reading(**options)  # before the file is read
    score = midi.parse(path, rule=options.get("rule", "sounding"))
    roll = midi.to_roll(score, str(path), **options)
    grid = {key: options[key] for key in ("steps_per_beat", "seconds_per_frame") if key in options}
    usual = midi.PUBLISHED_STEPS if options.get("rule") == "published" else midi.DEFAULT_STEPS
    low = options.get("low", PIANO[0])
    return roll, PianoRoll(low, **(grid or {"steps_per_beat": usual}), tempo=midi.usable_tempo(score))


def _save_roll(target: Path, roll: np.ndarray, kind: PianoRoll, transpose: int, path: Path) -> None:
    from rnnrbm.io.formats import save_roll

    roll = _shift(roll, transpose, kind.low, str(path))
    save_roll(target, roll, **_metadata(kind))
    say(f"{target}: {len(roll)} frames of {roll.shape[1]} columns")


def _metadata(kind: PianoRoll) -> dict[str, float | None]:
    return {key: getattr(kind, key) for key in ("low", "steps_per_beat", "seconds_per_frame", "tempo")}


def _complete(path: Path, roll: np.ndarray, metadata: dict[str, Any], options: dict[str, Any]) -> PianoRoll:
    """The kind of frame of a roll in a file; the options add to the file's metadata."""
    from rnnrbm.io.rolls import PIANO
    from rnnrbm.kinds.piano_roll import PianoRoll

    wrong = sorted({"rule", "high", "drums", "pedal"} & set(options))
    grid = {"steps_per_beat", "seconds_per_frame"}
    if grid & set(metadata):
        wrong += sorted(grid & set(options))
    if "low" in metadata and "low" in options:
        wrong.append("low")
    if wrong:
        flags = ", ".join("--" + name.replace("_", "-") for name in wrong)
        raise ValueError(f"{path}: {flags} cannot be chosen for a piano-roll that says what it is; leave it out")
    if "low" not in metadata and "low" not in options:
        if roll.shape[1] != PIANO[1] - PIANO[0] + 1:
            raise ValueError(f"{path}: {roll.shape[1]} columns, but not which note the first is; add --low")
        options = options | {"low": PIANO[0]}
    return PianoRoll(**(metadata | options))


def _write_midi(
    target: Path, roll: np.ndarray, kind: PianoRoll, transpose: int, tempo: float | None, path: Path
) -> None:
    import numpy as np

    from rnnrbm.io import midi

    assert kind.low is not None
    # All columns move, so that only the range of MIDI itself is a limit, and only to columns with notes.
    used = np.flatnonzero(roll.any(0))
    first, last = (int(used[0]), int(used[-1])) if len(used) else (0, 0)
    low, high = (column + kind.low + transpose for column in (first, last))
    if not 0 <= low <= high <= 127:
        raise ValueError(
            f"{path}: with --transpose {transpose} its notes are {low} to {high}; expected 0 to 127, choose other "
            "semitones"
        )
    options: dict[str, Any] = _metadata(kind) | {"low": low, "tempo": kind.tempo if tempo is None else tempo}
    midi.write(target, roll[:, first : last + 1], **{key: value for key, value in options.items() if value is not None})
    say(f"{target}: {len(roll)} frames")


def _shift(roll: np.ndarray, semitones: int, low: int | None, where: str) -> np.ndarray:
    """A transposed roll, or an error in words of the command line."""
    from rnnrbm.io.rolls import transpose

    shifted = transpose(roll, semitones, drop=True)
    if lost := int(roll.sum()) - int(shifted.sum()):
        columns = f"notes {low} to {low + roll.shape[1] - 1}" if low is not None else f"{roll.shape[1]} columns"
        raise ValueError(
            f"{where}: --transpose {semitones} moves {lost} of {roll.sum()} sounding cells out of its {columns}; "
            "choose fewer semitones, or, of MIDI, more notes by --low and --high"
        )
    return shifted


def _shifted(dataset: Dataset, semitones: int) -> Dataset:
    """A data set with every roll transposed."""
    from dataclasses import replace

    from rnnrbm.datasets import SPLITS
    from rnnrbm.kinds.piano_roll import PianoRoll

    kind = dataset.kind
    if not semitones:
        return dataset
    if not isinstance(kind, PianoRoll):
        raise ValueError(f"{dataset.name}: --transpose {semitones} shifts notes, but its frames are {kind.name}")
    moved = {
        split: [
            _shift(roll, semitones, kind.low, f"{dataset.name}, {name}")
            for roll, name in zip(getattr(dataset, split), dataset.names_of(split), strict=True)
        ]
        for split in SPLITS
    }
    return replace(dataset, train=moved["train"], valid=moved["valid"], test=moved["test"])
