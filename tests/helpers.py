"""What several test files share: the command in this process, small data sets and rolls, comparisons of runs."""

import contextlib
import csv
import http.server
import io
import os
import random
import runpy
import subprocess
import sys
import sysconfig
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import mido
import numpy as np
import pytest
import scipy.io
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnrbm import checkpoint, datasets
from rnnrbm.datasets import SPLITS, Dataset, PianoRoll
from rnnrbm.experiment.config import Config
from rnnrbm.io import midi
from rnnrbm.models.registry import SEQUENCE_MODELS, build, options_of
from rnnrbm.sequence import SequenceModel

SCRIPT = Path(sysconfig.get_path("scripts")) / "rnnrbm"
#: the installed command
COMMAND = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "rnnrbm.cli.main"]


def environment() -> dict[str, str]:
    """Without colours, and wide enough that no line is wrapped."""
    return os.environ | {"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}


@contextlib.contextmanager
def as_a_process(arguments: list[str], cwd: Path | None) -> Iterator[None]:
    """Arguments, folder, environment and warnings of a process of its own."""
    with (
        mock.patch.object(sys, "argv", arguments),
        mock.patch.dict(os.environ, environment()),
        contextlib.chdir(cwd or Path.cwd()),
        warnings.catch_warnings(),
    ):
        warnings.resetwarnings()
        os.environ.pop("RNNRBM_TRACEBACK", None)
        yield


def in_process(run, arguments: list[str], cwd: Path | None) -> subprocess.CompletedProcess[str]:
    """Call a function as if it were a process; what it prints and its exit code are the result."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with as_a_process(arguments, cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run()
        except SystemExit as end:
            code = end.code or 0
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def rnnrbm(*arguments: object, cwd: Path | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which has its imports behind it; the exit code must be `code`.

    What needs a process of its own (signals, imports, the installed script) starts :data:`COMMAND`.
    """
    from rnnrbm.cli.main import main

    done = in_process(main, ["rnnrbm", *(str(a) for a in arguments)], cwd)
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def refused(*arguments: object, code: int = 1, cwd: Path | None = None) -> str:
    """The one line that a command which cannot work says."""
    done = rnnrbm(*arguments, code=code, cwd=cwd)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr  # no folder is announced that is not made
    assert done.stdout == ""
    assert "Errno" not in done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def script(path: Path, *arguments: str, cwd: Path) -> str:
    """Run a Python script in this process; return what it prints."""
    done = in_process(lambda: runpy.run_path(str(path), run_name="__main__"), [str(path), *arguments], cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- models

#: a sequence model of each kind, and some that differ in more than sizes
VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {} for name in SEQUENCE_MODELS},
    "tied-rnn-nade": {"n_layers": 1},  # random weights of two hand little of the past on
    "rnn-rbm of two LSTMs": {"cell": "lstm", "n_layers": 2, "connections": "residual"},
    "rnn-nade of any order": {"orderless": True},
    "rnn-nade with a clock": {"frames_per_bar": 2},
    "rnn-nade with a layer beside": {"n_pitch_conv": 3},
    "rnn-rbm with a layer beside": {"n_pitch_conv": 3},
    "rnn of softmax": {"visible": "softmax"},
    "rtrbm of the latest frames": {"autoregressive": 2},
    "conv-rbm": {"height": 1, "n_filters": 3, "filter_size": 1, "pool": 1},  # an image of one row
}
SIZES = {"n_hidden": 3, "n_recurrent": 2, "window": 2, "reach": 2}


def a_model(variant: str, n_visible: int, seed: Any = 0, **options: Any) -> SequenceModel:
    """A model of :data:`VARIANTS`, small unless `options` say otherwise."""
    name = variant.split(" ")[0]
    sizes = {key: value for key, value in SIZES.items() if key in options_of(name)}
    return build(name, n_visible, seed=seed, **{**sizes, **VARIANTS[variant], **options})


# --- runs

WIDTH, LOW = 12, 60
PARTS = {"config.toml", "metrics.csv", "checkpoint.npz", "results.json", "report.html", "figures", "samples"}
FIGURES = {"learning_curves.png", "filters.png", "sample.png", "statistics.png"}
COLUMNS = [
    "epoch",
    "k",
    "learning_rate",
    "loss",
    "pseudo_likelihood",
    "valid_ll",
    "valid_se",
    "seconds",
    "frames_per_second",
]
TIMES = {"seconds", "frames_per_second"}


def tiny(source: Path, **changes: Any) -> Config:
    """Settings of a run of a second."""
    settings = {
        "data.source": str(source),
        "model.n_hidden": 8,
        "model.n_recurrent": 6,
        "training.epochs": 3,
        "training.batch_size": 2,
        "training.row_length": 16,
        "training.context": 4,
        "training.k": 1,
        "training.transpose_range": [-1, 1],
        "training.averaging": 0.9,
        "training.valid_every": 2,
        "training.valid_n_chains": 2,
        "training.valid_n_temperatures": 3,
        "evaluation.n_chains": 3,
        "evaluation.n_temperatures": 4,
        "generation.n_samples": 2,
        "generation.n_frames": 10,
        "generation.k": 3,
    }
    return Config().replaced(settings | changes)


def stop_after(n: int) -> Callable[[], bool]:
    """A `stop` that answers True when it is asked for the n-th time."""
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) >= n

    return stop


def some_pieces(lengths: list[int], seed: int, width: int = WIDTH) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(rng.random((n, width)) < 0.3).astype(np.uint8) for n in lengths]


def save_data(path: Path, *, low: int | None = LOW, width: int = WIDTH) -> Path:
    lengths = {"train": [20, 7, 40, 12], "valid": [9, 5], "test": [11, 3]}
    rolls = {name: some_pieces(n, i, width) for i, (name, n) in enumerate(lengths.items())}
    names = {name: [f"{name} {i}" for i in range(len(n))] for name, n in lengths.items()}
    datasets.save(path, Dataset("toy", *rolls.values(), PianoRoll(low, 2 if low else None), names))
    return path


def metrics_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def same_training(a: Path, b: Path) -> None:
    """Everything in two checkpoints and tables of metrics is equal, times aside."""
    (arrays, meta), (other, other_meta) = (checkpoint.load(x / "checkpoint.npz") for x in (a, b))
    assert arrays.keys() == other.keys()
    for name in arrays:
        assert arrays[name].tobytes() == other[name].tobytes(), name
    for m in (meta, other_meta):
        del m["state"]["seconds"]
        for row in m["state"]["rows"]:
            for name in TIMES:
                del row[name]
    assert repr(meta) == repr(other_meta)
    rows = [[{k: x for k, x in row.items() if k not in TIMES} for row in metrics_of(f)] for f in (a, b)]
    assert rows[0] == rows[1]


def midi_folder(path: Path, *, channel: int = 0) -> Path:
    """Six little tunes, perhaps on the channel of drums."""
    path.mkdir()
    for i, roll in enumerate(some_pieces([12, 9, 15, 8, 11, 10], 5)):
        midi.write(path / f"{i}.mid", roll, low=LOW, steps_per_beat=2)
        parsed = mido.MidiFile(path / f"{i}.mid")
        for message in parsed.tracks[0]:
            if message.type in ("note_on", "note_off"):
                message.channel = channel
        parsed.save(path / f"{i}.mid")
    return path


# --- data sets


def named_pieces(dataset):
    """(split, name, roll) of every piece."""
    return [
        (split, name, roll)
        for split in SPLITS
        for name, roll in zip(dataset.names[split], getattr(dataset, split), strict=True)
    ]


def write_mat(path, **splits):
    cells = {}
    for key, values in splits.items():
        cells[key] = np.empty((1, len(values)), object)
        cells[key][0] = values
    scipy.io.savemat(path, cells)
    return path


def some_rolls(n, width=4):
    rng = np.random.default_rng(n)
    return [rng.integers(0, 2, (t + 2, width), np.uint8) for t in range(n)]


def small(n=2):
    names = {split: [f"{split} {i} ä" for i in range(n)] for split in SPLITS}
    return Dataset("small", *(some_rolls(n) for _ in SPLITS), PianoRoll(60, 2), names)


def assert_same(a, b):
    for (split, name, roll), (split_b, name_b, roll_b) in zip(named_pieces(a), named_pieces(b), strict=True):
        assert (split, name) == (split_b, name_b)
        assert roll.dtype == roll_b.dtype
        np.testing.assert_array_equal(roll, roll_b)
    assert (a.name, a.kind) == (b.name, b.kind)


def numbered_midi(path, n, suffixes=(".mid",)):
    path.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(n)
    for i in range(n):
        roll = np.zeros((8 + i, 88), np.uint8)
        roll[np.arange(8 + i), rng.integers(30, 60, 8 + i)] = 1
        file = path / f"{i:02}.mid"
        midi.write(file, roll, steps_per_beat=2)
        file.rename(file.with_suffix(suffixes[i % len(suffixes)]))
    return path


# --- rolls

needs_data = pytest.mark.skipif(
    not os.environ.get("RNNRBM_DATA"), reason="RNNRBM_DATA is not set: no published data sets"
)

SETS = ["piano-midi", "nottingham", "musedata", "jsb"]

roll_lists = st.integers(1, 6).flatmap(
    lambda width: st.lists(
        hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.just(width)), elements=st.integers(0, 1)),
        min_size=1,
        max_size=4,
    )
)


def roll(*frames: str) -> np.ndarray:
    return np.array([[int(c) for c in frame] for frame in frames], np.uint8)


# --- damage


def damaged(content, rng, n):
    """Copies of a file, cut off, with bytes changed, or with a piece left out or put in twice."""
    for _ in range(n):
        at, to = sorted(rng.randrange(len(content)) for _ in range(2))
        kind = rng.randrange(4)
        if kind == 0:
            yield content[:at]
        elif kind == 1:
            changed = bytearray(content)
            for _ in range(rng.choice([1, 1, 4, 30])):
                changed[rng.randrange(len(content))] = rng.randrange(256)
            yield bytes(changed)
        else:
            yield content[:at] + (content[to:] if kind == 2 else content[at:to] + content[at:])


def assert_damage_is_named(read, good: Path, at_least: int = 100) -> None:
    """Damaged copies of a file are read, or refused with an error that names them."""
    read(good)
    bad = good.with_name(f"bad{good.suffix}")
    refusals = unnamed = 0
    for content in damaged(good.read_bytes(), random.Random(0), 400):
        bad.write_bytes(content)
        try:
            read(bad)
        except ValueError as error:
            unnamed += bad.name not in str(error)
            refusals += 1
    assert refusals > at_least
    assert unnamed == 0


def whistles(
    *spans: tuple[float, float], seconds: float = 2.0, rate: int = 16_000, hertz: float = 2000.0, seed: int = 0
) -> np.ndarray:
    """A recording of tones in a background of noise, float64; each tone lasts from one time to another, in seconds."""
    n = round(seconds * rate)
    sound = 1e-3 * np.random.default_rng(seed).normal(size=n)
    for start, stop in spans:
        t = np.arange(round(start * rate), round(stop * rate))
        sound[t] += 0.3 * np.sin(2 * np.pi * hertz * t / rate)
    return sound


@contextlib.contextmanager
def serving(server: Any) -> Iterator[str]:
    """Serve on this machine what `server.respond` answers to each request; give its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.respond(self)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_port}"
        finally:
            listener.shutdown()
            thread.join()
