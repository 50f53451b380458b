"""The formats: sound files, mutants of them, how the library reads one, and what holds of what it accepts."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.fuzz import archives, matlab, pickles, songs, sounds, texts
from benchmarks.fuzz.mutate import mutate_bytes, splice
from rnnrbm import datasets
from rnnrbm.datasets import SPLITS, Dataset, PianoRoll, Vectors
from rnnrbm.experiment.config import Config

__all__ = ["FORMATS", "Format"]

#: of a piano-roll's frames, those that are written and read again: more would take long and show nothing new
MOST_FRAMES = 2000


@dataclass(frozen=True)
class Format:
    """A format: what is read, and how.

    Attributes
    ----------
    file : str
        Name of the file in the folder of the worker. If it is in a folder, the other files there are in `beside`.
    seeds : callable
        Returns sound files, as bytes: the same on every machine.
    structured : callable
        Makes a mutant whose parts are changed: ``structured(rng, seeds)``.
    read : str
        The function ``module:name`` that reads the file at a path, and checks what it has read.
    errors : tuple of str
        Names of the exceptions by which the library may refuse the file.
    beside : callable
        Returns sound files that lie beside, by name.
    """

    file: str
    seeds: Callable[[], list[bytes]]
    structured: Callable[[Random, list[bytes]], bytes]
    read: str
    errors: tuple[str, ...] = ("ValueError", "TooLarge")
    beside: Callable[[], dict[str, bytes]] = field(default=dict)

    def mutant(self, name: str, seed: int, number: int) -> tuple[str, bytes]:
        """Return a mutant, which depends on nothing but the name of the format and two numbers, and how it was made."""
        rng, seeds = Random(f"{name} {seed} {number}"), self.seeds()
        way = rng.random()
        if way < 0.3:
            return "bytes", mutate_bytes(rng, rng.choice(seeds))
        if way < 0.4:
            return "splice", splice(rng, rng.choice(seeds), rng.choice(seeds))
        made = self.structured(rng, seeds)
        return ("structure, bytes", mutate_bytes(rng, made)) if rng.random() < 0.1 else ("structure", made)


# --- sound files


def _rolls(n: int, width: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(n)
    return [rng.integers(0, 2, (t + 2, width), np.uint8) for t in range(n)]


def _arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


@cache
def _data_sets() -> list[dict[str, np.ndarray]]:
    """Return the arrays of data sets, one of notes and one of real numbers, as the library writes them."""
    notes = Dataset("small", _rolls(3), _rolls(2), _rolls(1), PianoRoll(60, 2, tempo=90.0))
    reals = [roll + 0.25 for roll in _rolls(3)]
    found = []
    with TemporaryDirectory() as folder:
        for data in (notes, Dataset("reals", reals, reals[:1], reals[1:], Vectors(0.01))):
            datasets.save(Path(folder) / "a.npz", data)
            found.append(_arrays_of(Path(folder) / "a.npz"))
    return found


_SINGLE = [
    {"roll": _rolls(4)[3], "low": np.array(60), "steps_per_beat": np.array(4), "tempo": np.array(100.0)},
    {"roll": _rolls(9, 88)[8], "low": np.array(21), "seconds_per_frame": np.array(0.02)},
    {"roll": _rolls(2)[1].astype(float)},
]


@cache
def _checkpoints() -> list[dict[str, np.ndarray]]:
    """Return the arrays of checkpoints of small models, as the library writes them, and their settings."""
    from rnnrbm.backend import engine
    from rnnrbm.experiment.setup import build_model
    from rnnrbm.kinds.registry import to_record
    from rnnrbm.training.fit import State

    found = []
    for name, kind, more in (("rnn-rbm", PianoRoll(60, 2), {}), ("mlp", Vectors(), {"visible": "gaussian"})):
        sizes = {"n_hidden": 3, "n_recurrent": 2, "window": 2}
        settings = Config.from_dict({"model": {"name": name, **sizes, **more}})
        model = build_model(settings.model, 4, seed=0)
        best = {p.name: engine.to_numpy(p) for p in model.params}
        rows = [{"epoch": 1, "loss": 0.5, "valid_ll": float("nan")}]
        state = State(epoch=1, best_epoch=1, best_ll=-3.5, seconds=1.5, rows=rows, best=best, _loaded=dict(best))
        with TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.npz"
            state.save(path, {"config": settings.model_dump(), "n_visible": 4, "kind": to_record(kind), "data": "00"})
            found.append(_arrays_of(path))
    return found


@cache
def _models() -> list[dict[str, np.ndarray]]:
    """Return the arrays of files of models alone."""
    from rnnrbm.models.registry import build

    found = []
    models: dict[str, dict[str, Any]] = {
        "rnn-rbm": {"n_hidden": 3, "n_recurrent": 2},
        "mlp": {"n_hidden": 3, "window": 2},
    }
    for name, sizes in models.items():
        with TemporaryDirectory() as folder:
            build(name, 4, seed=0, **sizes).save(Path(folder) / "a.npz")
            found.append(_arrays_of(Path(folder) / "a.npz"))
    return found


@cache
def _scores() -> list[dict[str, np.ndarray]]:
    """Return the arrays of a score that was interrupted."""
    from rnnrbm import checkpoint

    with TemporaryDirectory() as folder:
        checkpoint.save(Path(folder) / "a.npz", {"values": np.arange(12.0).reshape(3, 4)}, {"mark": "mark"})
        return [_arrays_of(Path(folder) / "a.npz")]


def _tracks() -> list[dict[str, np.ndarray]]:
    """Return the arrays of files of pypianoroll, of both versions, with two tracks and one of drums."""
    found = []
    for resolution, dtype in (("resolution", np.uint8), ("beat_resolution", bool)):
        arrays: dict[str, np.ndarray] = {"tempo": np.full(8 if dtype is bool else (8, 1), 90.0)}
        info: dict[str, Any] = {resolution: 4, "name": "song"}
        for track, (note, drum) in enumerate(((60, False), (64, False), (36, True))):
            indptr = np.repeat([0, 3], [note + 1, 128 - note]).astype(np.int32)
            parts = {"data": np.ones(3, dtype), "indices": np.arange(3, dtype=np.int32), "indptr": indptr}
            for part, array in {**parts, "shape": np.array([8, 128])}.items():
                arrays[f"pianoroll_{track}_csc_{part}"] = array
            info[str(track)] = {"program": 0, "is_drum": drum, "name": f"track {track}"}
        found.append({**arrays, "info.json": np.frombuffer(json.dumps(info).encode(), np.uint8)})
    return found


def _archived(arrays: dict[str, np.ndarray], compress: bool) -> bytes:
    return archives.archive({f"{name}.npy": archives.npy(array) for name, array in arrays.items()}, compress)


_NOTES: list[Any] = [
    {"train": [[[60, 64], [], [21]], [[108]]], "valid": [[[60]]], "test": []},
    {"train": [[[60.0, 64.0, -1], [62.0, -1, -1]]] * 2, "valid": [[[60]]], "test": [[[33], [34], [35]]], "more": "x"},
]


def _python_2(value: Any) -> bytes:
    """Return opcodes as Python 2 with NumPy 1 wrote them."""
    if isinstance(value, dict):
        return b"}(" + b"".join(b"U%c" % len(key) + key.encode() + _python_2(value[key]) for key in SPLITS) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python_2, value)) + b"e"
    dtype = b"cnumpy\ndtype\nU\x02i8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return (
        b"cnumpy.core.multiarray\nscalar\n"
        + dtype
        + b"U\x08"
        + int(value).to_bytes(8, "little", signed=True)
        + b"\x86R"
    )


@cache
def _pickles() -> list[bytes]:
    tuples = {split: [tuple(tuple(frame) for frame in piece) for piece in _NOTES[0][split]] for split in SPLITS}
    values = {
        split: [[[np.int64(note) for note in frame] for frame in piece] for piece in _NOTES[0][split]]
        for split in SPLITS
    }
    return [
        *(pickle.dumps(tree, protocol) for tree in (*_NOTES, tuples) for protocol in (0, 2, 4)),
        b"\x80\x02" + _python_2(_NOTES[0]) + b".",
        pickle.dumps(values, 0),
        pickle.dumps(values, 4),
    ]


@cache
def _mats() -> list[bytes]:
    """Return files of MATLAB 5, in plain and in compressed elements."""
    import scipy.io

    found = []
    for compress in (False, True):
        cells = {}
        for i, split in enumerate(SPLITS):
            cells[f"{split}data"] = np.empty((1, i + 1), object)
            cells[f"{split}data"][0] = [roll.astype(float if compress else np.uint8) for roll in _rolls(i + 1)]
        with io.BytesIO() as file:
            scipy.io.savemat(file, cells, do_compression=compress)
            found.append(matlab.HEADER + file.getvalue()[128:])  # scipy's header has a date
    return found


@cache
def _trees() -> list[list[matlab.Element]]:
    return [matlab.elements(data[128:]) for data in _mats()]


def _settings() -> list[dict[str, Any]]:
    config = Config().model_dump()
    run = {"rnnrbm": "0.2.0", "data": {"sha256": "00", "pieces": {"train": 3}}}
    some = {
        "model": "rnn-nade",
        "training": {"k": [[0.0, 2], [0.5, 10]], "transpose_range": [-5, 6]},
        "data": {"split": [0.7, 0.2, 0.1]},
    }
    return [{**config, "run": run}, some]


@cache
def _tomls() -> list[bytes]:
    return [texts.toml(tree) for tree in _settings()]


@cache
def _songs() -> list[bytes]:
    return [song.tobytes() for song in songs.SEEDS]


_CALLS = {"annotation": [{"start_time": i, "end_time": i + 0.5, "low_freq": 100, "class": "x"} for i in range(3)]}
_LABELS = [b"0.5\t1.25\ta\n\\\t1000.0\t2000.5\n1.5\t1.75\t\n", b"2\t3\n4\t5\tb c\n"]
_TABLES = [
    b"onset_s,offset_s,label,low_hz,high_hz\n0.5,1,a,1000,2000\n2,3.5,,,\n",
    b"Selection\tView\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\tW\t0.2\t0.7\tE\n1\tS\t0.2\t0.7\tE\n",
]


@cache
def _notmats() -> list[bytes]:
    """Return MATLAB files of annotations."""
    import scipy.io

    with io.BytesIO() as file:
        times = np.array([[10.5], [20.0], [30.25]])
        scipy.io.savemat(file, {"onsets": times, "offsets": times + 5, "labels": "abc", "Fs": 32_000})
        return [matlab.HEADER + file.getvalue()[128:]]


#: readings of sensors: with and without a header, with times and with a constant column
_READINGS = [
    b"time,heat;1,b c\n" + b"".join(b"%d.5,%d,-%d.25e1\n" % (i, i * i % 7, i % 3) for i in range(12)),
    b"x;y\r\n" + b"".join(b"%d;2.5\r\n" % (i % 4) for i in range(9)),
    b"1\t2\n3\t5\n4\t4\n0\t1\n",
]


@cache
def _motions() -> list[bytes]:
    """Return MATLAB files of poses: sequences with a skeleton, and sequences alone."""
    import scipy.io

    rng = np.random.default_rng(0)
    root = np.column_stack([1.5 + 0.1 * rng.normal(size=(9, 2)), rng.normal(size=(9, 4))])
    cells = np.empty((1, 2), object)
    cells[0] = [
        np.column_stack([each, 0.3 * each[:, :3], np.tile([0, 90, -800], (len(each), 1))]) for each in (root, -root[:5])
    ]
    cells[0, 1][:, :2] += np.pi
    tree = np.empty((1, 2), [(name, object) for name in ("children", "parent", "or", "offset")])
    tree[0, 0] = ([[2]], np.zeros((0, 0)), [[1, 2, 3]], [[4, 5, 6]])
    tree[0, 1] = (np.zeros((0, 0)), [[1]], [[7, 8, 9]], [[10, 11, 12]])
    found = []
    for variables in (
        {"Motion": cells, "skel": {"tree": tree, "type": "mit"}},
        {"train_data": cells, "test_data": cells},
    ):
        with io.BytesIO() as file:
            scipy.io.savemat(file, variables)
            found.append(matlab.HEADER + file.getvalue()[128:])
    return found


_VECTORS: list[np.ndarray] = [
    np.linspace(-1, 1, 20).reshape(5, 4).astype(np.float32),
    np.eye(4),
    np.arange(8).reshape(2, 4),
]

_IMAGES: list[np.ndarray] = [np.eye(4, dtype=np.uint8), np.linspace(0, 1, 24, dtype=np.float32).reshape(6, 2, 2)]
#: images and their labels, as samples of labelled images are written
_LABELLED: list[dict[str, np.ndarray]] = [
    {"images": np.eye(4, dtype=np.uint8).reshape(4, 2, 2), "labels": np.array([0, 1, 2, 1])}
]
#: idx files of labels and of images, plain and compressed
_IDX = [b"\0\0\x08\x01\0\0\0\x06" + bytes(range(6)), b"\0\0\x08\x03" + b"\0\0\0\x02" * 3 + bytes(range(8))]
_IDX += [gzip.compress(content, mtime=0) for content in _IDX]

# --- the formats


def _zipped(arrays: Callable[[], list[dict[str, np.ndarray]]], text: str | None = None) -> dict[str, Any]:
    """Return seeds and mutants of archives of arrays."""
    compress = text is None
    return {
        "seeds": cache(lambda: [_archived(each, compress) for each in arrays()]),
        "structured": lambda rng, seeds: archives.archive_mutant(rng, rng.choice(arrays()), text),
    }


_MIDI: dict[str, Any] = {
    "seeds": _songs,
    "structured": lambda rng, seeds: songs.midi_mutant(rng),
    "errors": ("MidiError",),
}
_READERS = "benchmarks.fuzz.readers"
_CHECKPOINT = ("CheckpointError",)

#: by name, in order of the report
FORMATS: dict[str, Format] = {
    "midi": Format("a.mid", read=f"{_READERS}:midi_beats", **_MIDI),
    "midi-seconds": Format("a.mid", read=f"{_READERS}:midi_seconds", **_MIDI),
    "midi-pedal": Format("a.mid", read=f"{_READERS}:midi_pedal", **_MIDI),
    "midi-published": Format("a.mid", read=f"{_READERS}:midi_published", **_MIDI),
    "folder": Format(
        "folder/m.mid",
        read=f"{_READERS}:folder",
        beside=lambda: {f"{i}.mid": song for i, song in enumerate(_songs())},
        **{**_MIDI, "errors": ("TooLarge",)},
    ),
    "mat": Format("a.mat", _mats, lambda rng, seeds: matlab.mat_mutant(rng, _trees()), f"{_READERS}:data_set"),
    "motion": Format(
        "a.mat",
        _motions,
        lambda rng, seeds: matlab.mat_mutant(rng, [matlab.elements(data[128:]) for data in seeds]),
        f"{_READERS}:data_set",
    ),
    "readings": Format("a.csv", lambda: _READINGS, sounds.text_mutant, f"{_READERS}:data_set"),
    "npz": Format("a.npz", read=f"{_READERS}:data_set", **_zipped(_data_sets)),
    "roll": Format("a.npz", read=f"{_READERS}:roll", **_zipped(lambda: _SINGLE)),
    "pypianoroll": Format("a.npz", read=f"{_READERS}:roll", **_zipped(_tracks, "info.json")),
    "json": Format(
        "a.json",
        cache(lambda: [json.dumps(tree).encode() for tree in _NOTES]),
        lambda rng, seeds: texts.json_mutant(rng, rng.choice(_NOTES)),
        f"{_READERS}:data_set",
    ),
    "pickle": Format(
        "a.pickle",
        _pickles,
        lambda rng, seeds: pickles.pickle_mutant(rng, rng.choice(_NOTES), seeds),
        f"{_READERS}:data_set",
    ),
    "sound": Format("a.wav", cache(sounds.sounds), sounds.wav_mutant, f"{_READERS}:sound"),
    "labels": Format("a.txt", lambda: _LABELS, sounds.text_mutant, f"{_READERS}:annotations"),
    "table": Format("a.csv", lambda: _TABLES, sounds.text_mutant, f"{_READERS}:annotations"),
    "notmat": Format(
        "a.not.mat",
        _notmats,
        lambda rng, seeds: matlab.mat_mutant(rng, [matlab.elements(seeds[0][128:])]),
        f"{_READERS}:annotations",
    ),
    "calls": Format(
        "calls.json",
        lambda: [json.dumps(_CALLS).encode()],
        lambda rng, seeds: texts.json_mutant(rng, _CALLS),
        f"{_READERS}:annotations",
    ),
    "npy": Format(
        "a.npy",
        cache(lambda: [archives.npy(array) for array in _VECTORS]),
        lambda rng, seeds: archives.npy_mutant(rng, rng.choice(_VECTORS)),
        f"{_READERS}:vectors",
    ),
    "images": Format(
        "a.npy",
        cache(lambda: [archives.npy(array) for array in _IMAGES]),
        lambda rng, seeds: archives.npy_mutant(rng, rng.choice(_IMAGES)),
        f"{_READERS}:images",
    ),
    "labelled-images": Format("a.npz", read=f"{_READERS}:labelled_images", **_zipped(lambda: _LABELLED)),
    "idx": Format("a.idx", lambda: _IDX, lambda rng, seeds: mutate_bytes(rng, rng.choice(seeds)), f"{_READERS}:idx"),
    "checkpoint": Format(
        "run/checkpoint.npz", read=f"{_READERS}:run", errors=_CHECKPOINT, **_zipped(_checkpoints, "_meta")
    ),
    "model": Format("a.npz", read=f"{_READERS}:model", errors=_CHECKPOINT, **_zipped(_models, "_meta")),
    "score": Format("a.npz", read=f"{_READERS}:score", errors=_CHECKPOINT, **_zipped(_scores, "_meta")),
    "toml": Format(
        "config.toml",
        _tomls,
        lambda rng, seeds: texts.toml_mutant(rng, rng.choice(_settings())),
        f"{_READERS}:settings",
        ("ConfigError",),
    ),
}
