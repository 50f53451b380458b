"""Data sets by name or from files: embedded ones, the benchmark sets, your own files of music and sound, and arrays.

A data set is lists of pieces for training, validation and test. A piece is an array of shape ``(T, n_visible)``: row t
is a frame of constant duration. The kind of frame says what the columns mean (:mod:`rnnrbm.frames`). In a piano-roll
they are MIDI notes, and the values are 0 and 1. In a set of images a row is an image, and rows have no order. `load`
reads a data set, `save` writes one.

The benchmark sets are those of N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, "Modeling temporal dependencies in
high-dimensional sequences", ICML 2012.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import as_file
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from rnnrbm.arguments import nearest, truth
from rnnrbm.dataset import Dataset
from rnnrbm.files import check_path, check_regular
from rnnrbm.frames import FrameKind
from rnnrbm.io.balls import BALLS_OPTIONS, N_SEQUENCES, RESOLUTION, load_balls
from rnnrbm.io.benchmark_sets import BENCHMARK_SETS, locate
from rnnrbm.io.embedded import embedded_file, load_bach
from rnnrbm.io.formats import PLAIN, WITH_RANGE, write_npz
from rnnrbm.io.frame_store import stored
from rnnrbm.io.image_sets import IMAGE_SETS, Binarise, check_binarise, load_digits, load_mnist
from rnnrbm.io.mat import read_mat
from rnnrbm.io.midi import GridOptions
from rnnrbm.io.midi_folder import DEFAULT_STEPS, MIDI_SUFFIXES, load_folder, midi_files
from rnnrbm.io.motion import (
    MOTION,
    MOTION_OPTIONS,
    MOTION_SECONDS,
    load_mit_mocap,
    load_motion,
    motion_layout,
    read_sequences,
)
from rnnrbm.io.rolls import PIANO, PIANO_ROLL, SPLITS, Contents, check_roll, transpose
from rnnrbm.io.sound import SOUND_SUFFIXES, sound_files
from rnnrbm.io.sound_folder import SOUND_DEFAULTS, SPECTROGRAM, SoundOptions, is_sound, load_sounds, spectral_options
from rnnrbm.io.splits import DEFAULT_SPLIT, has_splits
from rnnrbm.io.tables import FOR_TABLES, VECTORS, is_table, load_tables
from rnnrbm.kinds.image import Image
from rnnrbm.kinds.labelled_image import LabelledImage
from rnnrbm.kinds.motion import Motion
from rnnrbm.kinds.piano_roll import PianoRoll
from rnnrbm.kinds.registry import from_record, to_record
from rnnrbm.kinds.spectrogram import Spectrogram
from rnnrbm.kinds.vectors import Vectors
from rnnrbm.kinds.video import Video
from rnnrbm.progress import Progress, as_progress
from rnnrbm.warn import warn

__all__ = [
    "SPLITS",
    "Dataset",
    "Image",
    "LabelledImage",
    "Motion",
    "PianoRoll",
    "Spectrogram",
    "Vectors",
    "Video",
    "check_roll",
    "embedded_file",
    "is_path",
    "kind_of_files",
    "load",
    "matched",
    "resolved",
    "save",
    "transpose",
]

_HUMPBACK_FILE = "glacier-bay-humpback.ogg"
_BACH_STEPS = 1


#: How the embedded song of a humpback whale is read: its calls are low and slow, and some last for seconds.
_HUMPBACK_SPECTROGRAM = {
    "window_ms": 64.0,
    "hop_ms": 16.0,
    "low": 100.0,
    "high": 5000.0,
    "scale": "mel",
    "n_bands": 80,
    "floor_db": -90.0,
}
_HUMPBACK = {"segments": "none", "max_seconds": 10.0}

_NAMES = ("bach", "humpback", *BENCHMARK_SETS, *IMAGE_SETS, "balls", "mit-mocap")
_FOR_MIDI = ("steps_per_beat", "split", "seed", "low", "high", "seconds_per_frame", "rule", "drums", "pedal")
_FOR_SOUND = ("split", "seed", "low", "high", *SoundOptions.__annotations__)


class LoadOptions(GridOptions, SoundOptions, total=False):
    """Options of `load` that only some sources have."""

    binarise: Binarise
    with_labels: bool
    resolution: int
    n_sequences: int
    skip_columns: Sequence[str | int]


def load(
    source: str | os.PathLike[str],
    *,
    original_key: bool = False,
    split: Sequence[float] | None = None,
    seed: int | None = None,
    low: float | None = None,
    high: float | None = None,
    progress: Progress | bool = False,
    **options: Unpack[LoadOptions],
) -> Dataset:
    """Load a data set by name, or from a file or folder.

    An option that a source does not have is refused, not ignored.

    Parameters
    ----------
    source : str or path-like
        One of

        - ``"bach"``: the four-part chorales of J. S. Bach that come with the library (see
          ``data/README.md``), 88 columns, transposed to C major or A minor;
        - ``"humpback"``: a minute of the song of a humpback whale that comes with the library, as a spectrogram;
        - ``"jsb"``, ``"nottingham"``, ``"piano-midi"``, ``"musedata"``: the published sets, 88
          columns, transposed by their authors. Their ``.mat`` files are looked for in the folder
          that the environment variable RNNRBM_DATA names and its sub-folder ``pianorolls``, then
          fetched once into the cache folder: see `rnnrbm.io.benchmark_sets.locate`;
        - ``"digits"``: 8 x 8 images of handwritten digits that come with the library, with labels;
        - ``"mnist"``: 28 x 28 images of handwritten digits, with labels. The files are looked for in the folder that
          RNNRBM_DATA names and its sub-folder ``mnist``, then fetched once: see `rnnrbm.io.image_sets.load_mnist`;
        - ``"balls"``: films of three balls that bounce in a box, which are simulated when they are loaded: see
          `rnnrbm.io.balls.load_balls`;
        - a ``.mat`` file in the layout of the published sets (MATLAB 5; cell arrays ``traindata``,
          ``validdata``, ``testdata``). With 88 columns, column 0 is taken to be note 21;
        - an ``.npz`` file written by `save`;
        - a ``.json``, ``.pickle`` or ``.pkl`` file in the layout of the authors' own pickles: a
          dictionary of ``train``, ``valid`` and ``test``, each a list of pieces, a piece a list of
          frames, a frame the MIDI note numbers that sound. Nothing in a pickle is run;
        - a folder of MIDI files (``.mid``, ``.midi``, ``.kar``), searched with its sub-folders. If
          it has sub-folders ``train``, ``valid`` and ``test``, they are the splits. A file that
          cannot be used is left out with a warning;
        - ``"mit-mocap"``: motion capture of people who walk, 49 standardised columns, as published with the temporal
          sigmoid belief network (Gan et al. 2015). The file is looked for in the folder that RNNRBM_DATA names and its
          sub-folder ``mocap``, then fetched once;
        - a ``.mat`` file in that layout (``train_data`` and ``test_data``), or in that of the conditional RBM (Taylor
          et al. 2006; ``Motion`` and ``skel``): see `rnnrbm.io.motion`;
        - a CSV file (``.csv``, ``.tsv``), a folder of such files, an ``.npy`` file, or an ``.npz`` file of other
          arrays: sequences of real numbers, such as readings of sensors; see `rnnrbm.io.tables.load_tables`;
        - a folder of sound files (WAV, FLAC, OGG and others), likewise, or a single one: spectrograms.

        A string that is one of the names means that set: write ``"./bach"`` for a folder so called.
    original_key : bool
        For ``"bach"``: leave each piece in its own key.
    split : three floats, optional
        For a folder without sub-folders of splits: the fractions of files for training, validation and test; they
        add up to 1. The default is 0.7, 0.15 and 0.15. Each split gets at least one file. Less than three recordings
        (or groups of them) are divided by time, with gaps of a second or a twentieth of all between the sets. Less
        than three tables, and motion capture, are divided by time too, without gaps.
    seed : int, optional
        For such a folder: decides which piece goes where, by default 0. The same files, `split` and `seed` give the
        same splits. For images: decides which pixels are 1 if they are sampled, by default 0. For ``"balls"``: decides
        how balls start, by default 0.
    binarise : {"sampled", "threshold", "none"}, optional
        For ``"digits"`` and ``"mnist"``: whether a pixel is 1 with the probability that is its grey value (the
        default), is 1 if its grey value is above one half, or stays grey, from 0 to 1. See
        `rnnrbm.io.image_sets.binarise`.
    with_labels : bool, optional
        For images with labels (``"digits"``, ``"mnist"``, an ``.npz`` file): add columns of the classes to the pixels,
        by `Dataset.with_labels`.
    resolution : int, optional
        For ``"balls"``: height and width of a frame in pixels, by default 15.
    n_sequences : int, optional
        For ``"balls"``: films for training, by default 4000. With the default resolution, these and the films for
        validation and test take 507 MB.
    progress : bool or callable
        For a folder: True shows a bar; a function is called with the stage "read", the number of files read and of all
        files.
    steps_per_beat : int, optional
        Frames in a beat (quarter note). For ``"bach"``: 1 (default), 2 or 4. For a MIDI folder: any, by default 2
        (eighth notes).
    skip_columns : sequence of str or int, optional
        For tables: names of columns that are left out, or their numbers from 0, such as a column of times.
    seconds_per_frame : float, optional
        For tables and motion capture: duration of a frame in seconds. For a MIDI folder: see `rnnrbm.midi.read`.
    rule, drums, pedal : optional
        For a MIDI folder: see `rnnrbm.midi.read`. By the rule ``"published"``, rolls are made as those of the benchmark
        sets were, and a frame is an eighth note.
    low, high : float, optional
        For a MIDI folder, JSON or a pickle: MIDI note numbers of the first and the last column; by default 21 and 108.
        For sound: the band of frequencies, hertz.
    preset : {"ava-finch", "ava-mouse", "vak"}, optional
        For sound: usual settings of the spectrogram; the other options change them. The default is ``"ava-finch"`` (400
        to 10 000 Hz, or to half the sample rate), from 150 000 samples per second ``"ava-mouse"``.
    window_ms, hop_ms, scale, n_bands, floor_db : optional
        For sound: see :class:`rnnrbm.io.spectrogram.SpectrogramSettings`; ``n_bands=0`` takes every frequency of the
        transform for a band.
    rate : int, optional
        For sound: samples per second to resample to; needed if those of the files differ.
    channel : int or "mix", optional
        For sound: number of the channel, from 0, or the mean of all, the default.
    segments : {"auto", "annotations", "detect", "none"}, optional
        For sound: pieces are made of annotated calls, of calls that are found by their loudness in the band, or of
        whole recordings. The default takes the first of these that there is.
    gap_ms, margin_ms : float, optional
        For sound: calls with gaps of at most `gap_ms` (500) are one piece, which begins `margin_ms` (50) before its
        first call and ends as much after its last one.
    max_seconds : float, optional
        For sound: longer pieces are cut into equal parts; by default 30.
    shifts : int, optional
        For sound: how often each piece of the training set is read, each time beginning a part of the hop later, by
        default 4. Frames of the same sound at other times differ, so few recordings teach a model more.
    group : str, optional
        For sound: whose pieces go into the same split: those of a ``"recording"`` (default), of a sub-``"folder"``, or
        of names in which a regular expression finds the same text.

    Returns
    -------
    Dataset
        The data set.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder, or the file of a published set is not there and cannot
        be fetched.
    OSError
        If a file cannot be read, or a fetched one not be kept.
    ValueError
        If the name or the kind of file is unknown, an option does not apply or makes no sense, the
        file is damaged or of another layout, values other than 0 and 1 or notes outside `low` to
        `high` occur, or a folder has fewer than three usable MIDI files.

    Warns
    -----
    UserWarning
        For each file of a folder that is left out, with the reason. Once if many notes of a folder begin between
        frames, which are too long for the music; see `rnnrbm.midi.read`.

    Examples
    --------
    >>> import rnnrbm.datasets
    >>> bach = rnnrbm.datasets.load("bach")
    >>> bach.n_visible, bach.kind.low, bach.kind.steps_per_beat
    (88, 21, 1.0)
    """
    progress = as_progress(progress)
    choices: dict[str, Any] = {"original_key": original_key or None, "split": split, "seed": seed}
    choices |= {"low": low, "high": high, **options}
    given = {name: value for name, value in choices.items() if value is not None}
    with_labels = truth("with_labels", given.get("with_labels", False))
    check_path(source, "a data set, or its name")
    if source in _NAMES and Path(source).is_dir() and (midi_files(Path(source)) or is_sound(Path(source))):
        warn(f"{source!r} is the name of a data set; for your own folder of that name, write ./{source}")
    if source == "bach":
        _refuse(given, "the embedded set 'bach'", ("steps_per_beat", "original_key"))
        return _dataset(load_bach(given.get("steps_per_beat", _BACH_STEPS), original_key), source)
    if source == "humpback":
        _refuse(given, "the embedded recording 'humpback'", _FOR_SOUND)
        with as_file(embedded_file(_HUMPBACK_FILE)) as file:
            chosen = _sound_options("humpback", given) | given
            return _dataset(load_sounds(file, name="humpback", progress=progress, **chosen), "humpback")
    if isinstance(source, str) and source in IMAGE_SETS:
        _refuse(given, f"the images {source!r}, whose splits are what they are", ("binarise", "seed", "with_labels"))
        given.pop("with_labels", None)
        check_binarise(given.get("binarise", "sampled"), given.get("seed"))
        images = _dataset((load_mnist if source == "mnist" else load_digits)(**given), source)
        return images.with_labels() if with_labels else images
    if source == "balls":
        _refuse(given, "the bouncing balls 'balls', which are simulated", BALLS_OPTIONS)
        return _dataset(load_balls(**given), source)
    if isinstance(source, str) and source in BENCHMARK_SETS:
        _refuse(given, f"the published set {source!r}, which comes as it is", ())
        contents = read_mat(locate(source))
        steps = {"steps_per_beat": BENCHMARK_SETS[source].steps_per_beat}
        return _dataset(contents._replace(name=source, record=contents.record | steps), source)
    if source == "mit-mocap":
        _refuse(given, "the published set 'mit-mocap', which comes as it is", ())
        return _dataset(load_mit_mocap(), source)
    if source == "":  # else Path would take it for the current folder
        raise ValueError(_unknown_name(""))
    path = Path(source)
    kind = kind_of_files(path)
    if kind == SPECTROGRAM:
        _refuse(given, f"sound ({path})", _FOR_SOUND)
        return _dataset(load_sounds(path, progress=progress, **given), str(path))
    if kind == VECTORS:
        _refuse(given, f"real numbers ({path})", FOR_TABLES)
        return _dataset(load_tables(path, progress=progress, **given), str(path))
    if layout := motion_layout(path):
        _refuse(given, f"motion capture ({path})", MOTION_OPTIONS if layout == MOTION else ())
        return _dataset((load_motion if layout == MOTION else read_sequences)(path, **given), str(path))
    for name in ("low", "high"):  # note numbers, which are whole
        if isinstance(given.get(name), float) and given[name].is_integer():
            given[name] = int(given[name])
    if kind == PIANO_ROLL:
        _refuse(given, "a folder of MIDI files, which are read in the key they are in (see `transpose`)", _FOR_MIDI)
        return _dataset(load_folder(path, progress=progress, **given), str(path))
    if not path.exists():
        if path.suffix or len(path.parts) != 1:
            raise FileNotFoundError(f"{path}: there is no such file or folder")
        raise ValueError(_unknown_name(str(source)))
    check_regular(path, "a data set")
    suffix = path.suffix.lower()
    if suffix not in (*PLAIN, *WITH_RANGE):
        hint = ""
        if suffix in MIDI_SUFFIXES:
            hint = "; for MIDI, give the folder, or read one file with rnnrbm.midi.read"
        raise ValueError(
            f"{path}: unknown kind of file {path.suffix!r}; expected .mat, .npz, .npy, .csv, .tsv, .json, "
            f".pickle, .pkl, a sound file ({', '.join(SOUND_SUFFIXES[:3])} ...) or a folder of MIDI, sound or CSV "
            f"files{hint}"
        )
    if suffix in WITH_RANGE:
        _refuse(given, f"{path.name}, whose splits and frames are what they are", ("low", "high"))
        return _dataset(WITH_RANGE[suffix](path, given.get("low", PIANO[0]), given.get("high", PIANO[1])), str(path))
    allowed = ("with_labels",) if suffix == ".npz" else ()
    _refuse(given, f"{path.name}, whose splits, frames and columns are what they are", allowed)
    read = _dataset(PLAIN[suffix](path), str(path))
    return read.with_labels() if with_labels else read


def resolved(source: str | os.PathLike[str], **options: Any) -> dict[str, Any]:
    """Return all options by which `load` reads a source: those given, and the defaults of the others it has.

    Parameters
    ----------
    source : str or path-like
        As for `load`.
    **options
        Some of those of `load`.

    Returns
    -------
    dict
        More options, with which `load` gives the same data set; none for a source that comes as it is.

    Examples
    --------
    >>> import rnnrbm.datasets
    >>> rnnrbm.datasets.resolved("bach", original_key=True)
    {'steps_per_beat': 1, 'original_key': True}
    """
    has: dict[str, Any] = {}
    path = Path(source)
    if source == "bach":
        has = {"steps_per_beat": _BACH_STEPS, "original_key": False}
    elif source in IMAGE_SETS:
        has = {"binarise": "sampled", "with_labels": False}
        if options.get("binarise", "sampled") == "sampled":
            has["seed"] = 0
    elif source == "balls":
        has = {"resolution": RESOLUTION, "n_sequences": N_SEQUENCES, "seed": 0}
    elif (kind := kind_of_files(source)) == SPECTROGRAM:
        has = _sound_options(source, options) | {"seed": 0, "split": DEFAULT_SPLIT}
        if path.is_dir() and has_splits(path):
            del has["split"], has["seed"]
    elif kind == PIANO_ROLL:
        if options.get("rule", "sounding") == "sounding" and "seconds_per_frame" not in options:
            has["steps_per_beat"] = DEFAULT_STEPS
        if not has_splits(path):  # else these say where a piece goes
            has |= {"split": DEFAULT_SPLIT, "seed": 0}
        has |= {"low": PIANO[0], "high": PIANO[1], "rule": "sounding", "drums": False, "pedal": False}
    elif kind == VECTORS:
        has = {} if has_splits(path) else {"split": DEFAULT_SPLIT, "seed": 0}
    elif is_path(source) and motion_layout(path) == MOTION:
        has = {"split": DEFAULT_SPLIT, "seconds_per_frame": MOTION_SECONDS}
    elif path.suffix.lower() in WITH_RANGE and source not in _NAMES:
        has = {"low": PIANO[0], "high": PIANO[1]}
    return has | options


def is_path(source: str | os.PathLike[str]) -> bool:
    """Return whether `load` would take a source for the path of a file or a folder, and not for the name of a set."""
    return source not in _NAMES and source != ""


def kind_of_files(source: str | os.PathLike[str]) -> str | None:
    """Return the name of the kind of frame that `load` makes of MIDI files, sound files or tables, as options say.

    It is None for other sources, whose frames are what they are.

    Raises
    ------
    ValueError
        If a folder holds both.
    """
    if source == "humpback":
        return SPECTROGRAM
    path = Path(source)
    if not is_path(source):
        return None
    if not path.is_dir():
        return SPECTROGRAM if is_sound(path) else VECTORS if is_table(path) else None
    sounds, midi = sound_files(path), midi_files(path)
    if sounds and midi:
        raise ValueError(
            f"{path}: holds {len(midi)} MIDI files, such as {midi[0].name}, and {len(sounds)} sound files, such as "
            f"{sounds[0].name}; put those to be read into a folder of their own"
        )
    return SPECTROGRAM if sounds else VECTORS if not midi and is_table(path) else PIANO_ROLL


def matched(dataset: Dataset, kind: FrameKind) -> Dataset:
    """Return a data set as a model of another kind of frame reads it, as far as that is possible.

    Each set of sounds, sensors or motions is standardised by its own training set; a model reads values that are
    standardised by what it was trained on. A model of labelled images reads images with their labels.
    """
    own = dataset.kind
    if isinstance(own, Image) and isinstance(kind, LabelledImage) and dataset.labels is not None:
        return dataset.with_labels(kind.n_classes)
    if isinstance(own, Vectors | Motion) and own != kind and own.converts(kind):
        target: Any = replace(kind, seconds_per_frame=own.seconds_per_frame)  # type: ignore[type-var]
        parts = {split: [own.converted(each, target) for each in getattr(dataset, split)] for split in SPLITS}
        return Dataset(dataset.name, **parts, kind=target, names=dataset.names, labels=dataset.labels)
    if not (isinstance(own, Spectrogram) and isinstance(kind, Spectrogram)) or own == kind:
        return dataset
    target = replace(own, mean=kind.mean, deviation=kind.deviation) if len(own.mean) == len(kind.mean) else own
    if kind.mismatch(target).columns:
        return dataset  # no model of the one can be used on the other
    own_pieces = [piece for split in SPLITS for piece in getattr(dataset, split)]
    converted = stored(
        (own.converted(piece, target) for piece in own_pieces), expected=sum(piece.nbytes for piece in own_pieces)
    )
    left = iter(converted)
    pieces = {split: [next(left) for _ in getattr(dataset, split)] for split in SPLITS}
    return Dataset(dataset.name, **pieces, kind=target, names=dataset.names, labels=dataset.labels)


def _sound_options(source: str | os.PathLike[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options by which sound is read."""
    if source != "humpback":
        return {**spectral_options(Path(source), **given), **SOUND_DEFAULTS}
    embedded = _HUMPBACK_SPECTROGRAM if given.get("preset") is None else {}
    with as_file(embedded_file(_HUMPBACK_FILE)) as file:
        return {**spectral_options(file, **(embedded | dict(given))), **SOUND_DEFAULTS, **_HUMPBACK}


def save(path: str | os.PathLike[str], dataset: Dataset) -> None:
    """Write a data set to an ``.npz`` file, which `load` reads back as it was.

    The file appears whole or not at all; an earlier one of that name is replaced.

    Parameters
    ----------
    path : path-like
        Ends in ``.npz``; its folder exists.
    dataset : Dataset

    Raises
    ------
    ValueError
        If `path` does not end in ``.npz``, or its kind of frame refuses a value.
    OSError
        If the file cannot be written.
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset is a {type(dataset).__name__}; expected a Dataset, of lists of pieces")
    kind = dataset.kind
    arrays = {"name": np.array(dataset.name), "kind": np.array(json.dumps(to_record(kind)))}
    for split in SPLITS:
        pieces = [
            kind.check(piece, n_visible=dataset.n_visible, where=f"{split}[{i}]")
            for i, piece in enumerate(getattr(dataset, split))
        ]
        dtype = pieces[0].dtype if pieces else np.uint8
        arrays[split] = np.concatenate([np.empty((0, dataset.n_visible), dtype), *pieces])
        arrays[f"{split}_lengths"] = np.array([len(piece) for piece in pieces], np.int64)
        arrays[f"{split}_names"] = np.array(dataset.names_of(split), np.str_)
        if dataset.labels is not None:
            arrays[f"{split}_labels"] = np.concatenate([np.empty(0, np.int64), *dataset.labels_of(split)])
    write_npz(path, arrays)


def _refuse(given: Mapping[str, Any], source: str, allowed: Sequence[str]) -> None:
    """Raise ValueError if an option is given that the source does not have."""
    wrong = [option for option in given if option not in allowed]
    if wrong:
        raise ValueError(
            f"{', '.join(wrong).replace('seed', 'seed (of the split)')} cannot be chosen for {source}; "
            f"expected {'only ' + ', '.join(allowed) if allowed else 'no option'}"
        )


def _unknown_name(name: str) -> str:
    """Return what to say about a source that is neither a name nor a file."""
    near = nearest(name, _NAMES)
    guess = f" (did you mean {near!r}?)" if near else ""
    return (
        f"unknown data set {name!r}{guess}: expected one of {', '.join(_NAMES)}, or the path of a "
        ".mat, .npz, .npy, .csv, .json, .pickle or sound file or of a folder of MIDI, sound or CSV files, and there is "
        "no file of that name"
    )


def _dataset(contents: Contents, where: str) -> Dataset:
    """Return the contents of a file or folder as a data set."""
    kind = from_record(contents.record, where=where)
    try:
        return Dataset(contents.name, **contents.pieces, kind=kind, names=contents.names, labels=contents.labels)
    except ValueError as error:  # in one line, whatever the name of the set in the file is
        raise ValueError(f"{where}: {' '.join(str(error).split())}") from None
