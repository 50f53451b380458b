"""Sets of sequences: embedded ones, the benchmark piano-rolls, your own files of music and sound, and arrays.

A data set is lists of pieces for training, validation and test. A piece is an array of shape ``(T, n_visible)``: row t
is a frame of constant duration. The kind of frame says what the columns mean (:mod:`rnnrbm.frames`). In a piano-roll
they are MIDI notes, and the values are 0 and 1. `load` reads a data set, `save` writes one.

The benchmark sets are those of N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, "Modeling temporal dependencies in
high-dimensional sequences", ICML 2012.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file
from importlib.resources import files as package_files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from rnnrbm.arguments import as_list, nearest
from rnnrbm.files import as_text, check_path, check_regular, hash_of
from rnnrbm.frames import FrameKind
from rnnrbm.io.benchmark_sets import BENCHMARK_SETS, locate
from rnnrbm.io.formats import PLAIN, WITH_RANGE, write_npz
from rnnrbm.io.frame_store import stored
from rnnrbm.io.mat import read_mat
from rnnrbm.io.midi import GridOptions
from rnnrbm.io.midi_folder import DEFAULT_STEPS, MIDI_SUFFIXES, load_folder, midi_files
from rnnrbm.io.rolls import PIANO, PIANO_ROLL, SPLITS, Contents, check_roll, transpose
from rnnrbm.io.sound import SOUND_SUFFIXES, sound_files
from rnnrbm.io.sound_folder import SOUND_DEFAULTS, SPECTROGRAM, SoundOptions, is_sound, load_sounds, spectral_options
from rnnrbm.io.splits import DEFAULT_SPLIT, has_splits
from rnnrbm.kinds.piano_roll import PianoRoll
from rnnrbm.kinds.registry import from_record, to_record
from rnnrbm.kinds.spectrogram import Spectrogram
from rnnrbm.kinds.vectors import Vectors
from rnnrbm.progress import Progress, silent
from rnnrbm.warn import warn

__all__ = [
    "SPLITS",
    "Dataset",
    "PianoRoll",
    "Spectrogram",
    "Vectors",
    "check_roll",
    "is_path",
    "kind_of_files",
    "load",
    "matched",
    "resolved",
    "save",
    "transpose",
]

_HUMPBACK_FILE = "glacier-bay-humpback.ogg"
_STORED_STEPS = 4  # steps per beat in bach.npz
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

_NAMES = ("bach", "humpback", *BENCHMARK_SETS)
_FOR_MIDI = ("steps_per_beat", "split", "seed", "low", "high", "seconds_per_frame", "rule", "drums", "pedal")
_FOR_SOUND = ("split", "seed", "low", "high", *SoundOptions.__annotations__)


class LoadOptions(GridOptions, SoundOptions, total=False):
    """Options of `load` that only some sources have."""


@dataclass(frozen=True, repr=False)
class Dataset:
    """Sequences in three splits, and the kind of their frames.

    Attributes
    ----------
    name : str
        Name of the data set.
    train, valid, test : list of numpy.ndarray
        Pieces, each of shape ``(T, n_visible)``; T differs from piece to piece. Piano-rolls are uint8 of 0 and 1,
        vectors and spectrograms float32. Array-likes, such as nested lists and sparse matrices, are converted.
    kind : FrameKind
        Meaning of the columns and duration of a frame: ``PianoRoll(low=21, steps_per_beat=4)``,
        ``Spectrogram(...)`` for sound, or ``Vectors()`` for other real numbers.
    names : dict of str to list of str, optional
        For "train", "valid" and "test", the names of the pieces in the same order; by default ``train[0]`` and so on.

    Raises
    ------
    ValueError
        If there is no piece, if the kind of frame refuses a value, if pieces differ in width, or if names and pieces
        differ in number.
    TypeError
        If `kind` is no kind of frame, or a split no list.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnrbm.datasets import Dataset, Vectors
    >>> sine = np.sin(np.arange(100.0))[:, None]
    >>> print(Dataset("sine", [sine[:80]], [sine[80:90]], [sine[90:]], Vectors()))
    sine: 1 column of real numbers
      train     1 pieces       80 frames
      valid     1 pieces       10 frames
      test      1 pieces       10 frames
    """

    name: str
    train: list[np.ndarray]
    valid: list[np.ndarray]
    test: list[np.ndarray]
    kind: FrameKind
    names: dict[str, list[str]] | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit each other, and let the kind of frame check and convert the values."""
        if isinstance(self.kind, type) or not hasattr(self.kind, "from_samples"):
            raise TypeError(
                f"{self.name}: kind is {self.kind!r}; expected a kind of frame, such as PianoRoll(low=21) for notes or "
                "Vectors() for real numbers"
            )
        object.__setattr__(self, "name", as_text(str(self.name)))
        if self.names is not None:
            if not isinstance(self.names, Mapping):
                raise TypeError(
                    f"{self.name}: names is a {type(self.names).__name__}; expected a dictionary from each of "
                    f"{', '.join(SPLITS)} to one name per piece"
                )
            names = {split: [as_text(str(name)) for name in of_split] for split, of_split in self.names.items()}
            object.__setattr__(self, "names", names)
        for split in SPLITS:  # an array becomes a list of pieces
            object.__setattr__(self, split, as_list(getattr(self, split), f"piece of {split}"))
        if self.names is None:
            names = {split: [f"{split}[{i}]" for i in range(len(getattr(self, split)))] for split in SPLITS}
            object.__setattr__(self, "names", names)
        for split in SPLITS:
            n_names = len(self.names_of(split))
            if n_names != len(getattr(self, split)):
                raise ValueError(
                    f"{self.name}: {len(getattr(self, split))} pieces in {split} but {n_names} "
                    f"names; names must map each of {', '.join(SPLITS)} to one name per piece"
                )
            where = f"{self.name}, {split}"
            checked = [self.kind.check(p, where=f"{where}[{i}]") for i, p in enumerate(getattr(self, split))]
            object.__setattr__(self, split, checked)
        widths = sorted({piece.shape[1] for split in SPLITS for piece in getattr(self, split)})
        if not widths:
            raise ValueError(f"{self.name}: holds no piece in any of {', '.join(SPLITS)}")
        if len(widths) > 1:
            raise ValueError(
                f"{self.name}: pieces have {', '.join(map(str, widths))} columns; expected the same number in all"
            )

    @property
    def n_visible(self) -> int:
        """Number of columns of every piece."""
        return int(next(iter(self.train or self.valid or self.test)).shape[1])

    def fingerprint(self) -> str:
        """Return a hash of the pieces and their kind, which differs if any value does: SHA-256, hexadecimal."""
        record = json.dumps(to_record(self.kind), sort_keys=True)
        return hash_of([(split, piece) for split in SPLITS for piece in getattr(self, split)], record)

    def names_of(self, split: str) -> list[str]:
        """Return the names of the pieces of a split."""
        return (self.names or {}).get(split, [])

    def __repr__(self) -> str:
        """Return the summary: all the arrays would fill a book."""
        return str(self)

    def __str__(self) -> str:
        """Return a summary: columns, what a frame is, and pieces and frames of each split."""
        lines = [f"{self.name}: {self.kind.describe(self.n_visible)}"]
        for split in SPLITS:
            pieces = getattr(self, split)
            lines.append(f"  {split:5} {len(pieces):5} pieces {sum(map(len, pieces)):8} frames")
        return "\n".join(lines)


def load(
    source: str | os.PathLike[str],
    *,
    original_key: bool = False,
    split: Sequence[float] | None = None,
    seed: int | None = None,
    low: float | None = None,
    high: float | None = None,
    progress: Progress = silent,
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
        - a ``.mat`` file in the layout of the published sets (MATLAB 5; cell arrays ``traindata``,
          ``validdata``, ``testdata``). With 88 columns, column 0 is taken to be note 21;
        - an ``.npz`` file written by `save`;
        - a ``.json``, ``.pickle`` or ``.pkl`` file in the layout of the authors' own pickles: a
          dictionary of ``train``, ``valid`` and ``test``, each a list of pieces, a piece a list of
          frames, a frame the MIDI note numbers that sound. Nothing in a pickle is run;
        - a folder of MIDI files (``.mid``, ``.midi``, ``.kar``), searched with its sub-folders. If
          it has sub-folders ``train``, ``valid`` and ``test``, they are the splits. A file that
          cannot be used is left out with a warning;
        - a folder of sound files (WAV, FLAC, OGG and others), likewise, or a single one: spectrograms.

        A string that is one of the names means that set: write ``"./bach"`` for a folder so called.
    original_key : bool
        For ``"bach"``: leave each piece in its own key.
    split : three floats, optional
        For a folder without sub-folders of splits: the fractions of files for training, validation and test; they
        add up to 1. The default is 0.7, 0.15 and 0.15. Each split gets at least one file. Less than three recordings
        (or groups of them) are divided by time, with gaps of a second or a twentieth of all between the sets.
    seed : int, optional
        For such a folder: decides which piece goes where, by default 0. The same files, `split` and `seed` give the
        same splits.
    progress : callable
        For a folder: called with the stage "read", the number of files read and of all files.
    steps_per_beat : int, optional
        Frames in a beat (quarter note). For ``"bach"``: 1 (default), 2 or 4. For a MIDI folder: any, by default 2
        (eighth notes).
    seconds_per_frame, rule, drums, pedal : optional
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
    choices: dict[str, Any] = {"original_key": original_key or None, "split": split, "seed": seed}
    choices |= {"low": low, "high": high, **options}
    given = {name: value for name, value in choices.items() if value is not None}
    check_path(source, "a data set, or its name")
    if source in _NAMES and Path(source).is_dir() and (midi_files(Path(source)) or is_sound(Path(source))):
        warn(f"{source!r} is the name of a data set; for your own folder of that name, write ./{source}")
    if source == "bach":
        _refuse(given, "the embedded set 'bach'", ("steps_per_beat", "original_key"))
        return _load_bach(given.get("steps_per_beat", _BACH_STEPS), original_key)
    if source == "humpback":
        _refuse(given, "the embedded recording 'humpback'", _FOR_SOUND)
        with as_file(embedded_file(_HUMPBACK_FILE)) as file:
            chosen = _sound_options("humpback", given) | given
            return _dataset(load_sounds(file, name="humpback", progress=progress, **chosen), "humpback")
    if isinstance(source, str) and source in BENCHMARK_SETS:
        _refuse(given, f"the published set {source!r}, which comes as it is", ())
        contents = read_mat(locate(source))
        steps = {"steps_per_beat": BENCHMARK_SETS[source].steps_per_beat}
        return _dataset(contents._replace(name=source, record=contents.record | steps), source)
    if source == "":  # else Path would take it for the current folder
        raise ValueError(_unknown_name(""))
    path = Path(source)
    kind = kind_of_files(path)
    if kind == SPECTROGRAM:
        _refuse(given, f"sound ({path})", _FOR_SOUND)
        return _dataset(load_sounds(path, progress=progress, **given), str(path))
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
            f"{path}: unknown kind of file {path.suffix!r}; expected .mat, .npz (as written by "
            f"`save`), .json, .pickle, .pkl, a sound file ({', '.join(SOUND_SUFFIXES[:3])} ...) or a folder of MIDI or "
            f"sound files{hint}"
        )
    if suffix in WITH_RANGE:
        _refuse(given, f"{path.name}, whose splits and frames are what they are", ("low", "high"))
        return _dataset(WITH_RANGE[suffix](path, given.get("low", PIANO[0]), given.get("high", PIANO[1])), str(path))
    _refuse(given, f"{path.name}, whose splits, frames and columns are what they are", ())
    return _dataset(PLAIN[suffix](path), str(path))


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
    elif path.suffix.lower() in WITH_RANGE and source not in _NAMES:
        has = {"low": PIANO[0], "high": PIANO[1]}
    return has | options


def is_path(source: str | os.PathLike[str]) -> bool:
    """Return whether `load` would take a source for the path of a file or a folder, and not for the name of a set."""
    return source not in _NAMES and source != ""


def kind_of_files(source: str | os.PathLike[str]) -> str | None:
    """Return the name of the kind of frame that `load` makes of MIDI or sound files, as options say.

    It is None for other sources, whose frames are what they are.

    Raises
    ------
    ValueError
        If a folder holds both.
    """
    if source == "humpback":
        return SPECTROGRAM
    path = Path(source)
    if not is_path(source) or not path.is_dir():
        return SPECTROGRAM if is_path(source) and is_sound(path) else None
    sounds, midi = sound_files(path), midi_files(path)
    if sounds and midi:
        raise ValueError(
            f"{path}: holds {len(midi)} MIDI files, such as {midi[0].name}, and {len(sounds)} sound files, such as "
            f"{sounds[0].name}; put those to be read into a folder of their own"
        )
    return SPECTROGRAM if sounds else PIANO_ROLL


def matched(dataset: Dataset, kind: FrameKind) -> Dataset:
    """Return a data set with its spectrograms standardised as those of another kind; others are returned as they are.

    Each set of sounds is standardised by its own training set. A model reads values that are standardised by what it
    was trained on.
    """
    own = dataset.kind
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
    return Dataset(dataset.name, **pieces, kind=target, names=dataset.names)


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
        ".mat, .npz, .json, .pickle or sound file or of a folder of MIDI or sound files, and there is no file of that "
        "name"
    )


def embedded_file(name: str) -> Traversable:
    """Return a file that comes with the library: in an installed package, or beside it in a checkout.

    Raises
    ------
    FileNotFoundError
        If it is missing.
    """
    installed = package_files("rnnrbm") / "data" / name
    checkout = Path(__file__).resolve().parent.parent / "data" / name
    for file in (installed, checkout):
        if file.is_file():
            return file
    raise FileNotFoundError(
        f"a file that comes with rnnrbm is missing: neither {installed} nor {checkout} exists; install rnnrbm again, "
        f"or restore data/{name} in the checkout"
    )


def _load_bach(steps_per_beat: int, original_key: bool) -> Dataset:
    """Return the embedded chorales."""
    if steps_per_beat not in (1, 2, _STORED_STEPS):
        raise ValueError(
            f"steps_per_beat={steps_per_beat!r} for 'bach': expected 1 (quarter notes), 2 (eighth "
            "notes) or 4 (sixteenth notes)"
        )
    with embedded_file("bach.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        data = {key: arrays[key] for key in arrays.files}
    rolls: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    names: dict[str, list[str]] = {split: [] for split in SPLITS}
    pieces = np.split(data["pitch"], np.cumsum(data["length"])[:-1])
    for i, sixteenths in enumerate(pieces):
        # A frame holds what sounds at its start, so coarser frames are every second, every fourth.
        pitch = sixteenths[:: _STORED_STEPS // int(steps_per_beat)].astype(int)
        t, voice = np.nonzero(pitch)
        shift = 0 if original_key else int(data["transposition"][i])
        roll = np.zeros((len(pitch), PIANO[1] - PIANO[0] + 1), np.uint8)
        roll[t, pitch[t, voice] + shift - PIANO[0]] = 1
        split = SPLITS[data["split"][i]]
        rolls[split].append(roll)
        names[split].append(f"BWV {data['bwv'][i]} {data['title'][i]}".rstrip())
    return Dataset("bach", **rolls, kind=PianoRoll(PIANO[0], steps_per_beat), names=names)


def _dataset(contents: Contents, where: str) -> Dataset:
    """Return the contents of a file or folder as a data set."""
    kind = from_record(contents.record, where=where)
    try:
        return Dataset(contents.name, **contents.pieces, kind=kind, names=contents.names)
    except ValueError as error:  # in one line, whatever the name of the set in the file is
        raise ValueError(f"{where}: {' '.join(str(error).split())}") from None
