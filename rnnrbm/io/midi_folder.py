"""A folder of MIDI files as training, validation and test sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from rnnrbm.files import files_below
from rnnrbm.io import midi, midi_grid
from rnnrbm.io.rolls import PIANO, PIANO_ROLL, SPLITS, Contents, check_size
from rnnrbm.io.splits import DEFAULT_SPLIT, check_split, divided, split_by_folders
from rnnrbm.progress import Progress, silent
from rnnrbm.warn import warn

__all__ = ["DEFAULT_STEPS", "MIDI_SUFFIXES", "SPLITS", "load_folder", "midi_files"]

DEFAULT_STEPS = 2  # per beat: a frame is an eighth note
MIDI_SUFFIXES = (".mid", ".midi", ".kar")


def midi_files(folder: Path) -> list[Path]:
    """Return the MIDI files in a folder and below it."""
    return files_below(folder, MIDI_SUFFIXES)


def load_folder(
    folder: Path,
    *,
    split: Sequence[float] = DEFAULT_SPLIT,
    seed: int = 0,
    progress: Progress = silent,
    **options: Unpack[midi.ReadOptions],
) -> Contents:
    """Read the MIDI files of a folder and divide them; see :func:`rnnrbm.datasets.load` for the parameters."""
    # check options before reading files: a wrong option is not the files' fault
    reading = options.copy()
    given = {options.get(name) for name in ("steps_per_beat", "seconds_per_frame")}
    if options.get("rule") != "published" and given == {None}:
        reading["steps_per_beat"] = DEFAULT_STEPS
    steps_per_beat, seconds = midi.check_reading(**reading)
    seconds_per_frame = None if steps_per_beat else seconds
    drums, pedal, low = options.get("drums", False), options.get("pedal", False), options.get("low", PIANO[0])
    fractions, seed = check_split(split, seed)

    paths = midi_files(folder)
    if not paths:
        raise ValueError(f"{folder}: no MIDI file ({', '.join(MIDI_SUFFIXES)}) in it or below it")
    by_folders = split_by_folders(folder, paths, "MIDI", split, seed)
    pieces, tempo = _read_midi(folder, paths, progress, **reading)
    usable = list(pieces)
    if by_folders:
        members = {s: [n for n in usable if n.split("/")[0] == s] for s in SPLITS}
        empty = [s for s in SPLITS if not members[s]]
        if empty:
            raise ValueError(
                f"{folder}: no usable MIDI file in {', '.join(empty)}; expected at least one in "
                "each of train, valid and test"
            )
    else:
        if len(usable) < len(SPLITS):
            raise ValueError(
                f"{folder}: {len(usable)} of {len(paths)} MIDI files can be used; expected at "
                "least 3, one each for training, validation and test. Add files, or read single "
                "ones with rnnrbm.midi.read and make a Dataset of them"
            )
        members = divided(usable, fractions, seed)
    rolls = {s: [pieces[n] for n in members[s]] for s in SPLITS}
    grid = {"steps_per_beat": steps_per_beat, "seconds_per_frame": seconds_per_frame}
    how = {"drums": drums, "pedal": pedal, "tempo": tempo} | grid
    return Contents(folder.resolve().name, rolls, members, {"kind": PIANO_ROLL, "low": low} | how)


def _read_midi(
    folder: Path, paths: Sequence[Path], progress: Progress, **options: Unpack[midi.ReadOptions]
) -> tuple[dict[str, np.ndarray], float | None]:
    """Return the rolls of the usable files by their path in the folder, and the median tempo; warn about the others."""
    pieces: dict[str, np.ndarray] = {}
    tempi: list[float | None] = []
    fits: list[midi_grid.GridFit] = []
    reason, size = "", 0
    for i, path in enumerate(paths):
        progress("read", i, len(paths), None)
        try:
            score = midi.parse(path, rule=options.get("rule", "sounding"))
            roll, fit = midi.to_roll_and_fit(score, str(path), **options)
            pieces[path.relative_to(folder).as_posix()] = roll
            size += roll.nbytes
            tempi.append(midi.usable_tempo(score))
            fits += [] if fit is None else [fit]
        except Exception as error:  # options were checked before, so it is the file, whatever went wrong
            reason = str(error)
            named = reason if str(path) in reason else f"{path}: {reason}"
            warn(f"left out a MIDI file: {named}")
        check_size(size, path, f"with it the rolls of {len(pieces)} of {len(paths)} MIDI files take")
    progress("read", len(paths), len(paths), None)
    if not pieces:
        raise ValueError(f"{folder}: none of its {len(paths)} MIDI files can be used; the last: {reason}")
    if fits:
        midi_grid.warn(
            str(folder),
            midi_grid.total(fits),
            what=f"notes in {len(fits)} MIDI files",
            finer="read them with steps_per_beat={} (data.steps_per_beat in settings)",
            none="they may follow no beat: read them with seconds_per_frame (data.seconds_per_frame in settings)",
        )
    known = [tempo for tempo in tempi if tempo is not None]
    return pieces, float(np.median(known)) if known else None
