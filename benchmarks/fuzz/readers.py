"""What reads a mutant: the library, and the checks of what it accepts. Each function returns nothing, or raises.

An ``AssertionError`` means that something was accepted that should not have been.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.formats import MOST_FRAMES
from rnnrbm import datasets
from rnnrbm.datasets import SPLITS, Dataset, Image, PianoRoll, Vectors, Video
from rnnrbm.io import formats, midi, rolls
from rnnrbm.io.idx import read_idx
from rnnrbm.kinds.labelled_image import LabelledImage

#: bytes that a file may expand to: less than the library's own limit, so that mutants beyond it are quickly made
rolls.MAX_BYTES = 2**24


def _sound_roll(array: Any) -> None:
    assert isinstance(array, np.ndarray), "a roll is no array"
    assert array.dtype == np.uint8, "a roll is not uint8"
    assert array.ndim == 2, "a roll is no matrix"
    assert array.size, "a roll is empty"
    assert array.max() <= 1, "a roll holds other values than 0 and 1"


def _until_silence(roll: np.ndarray) -> np.ndarray:
    return roll[: int(np.flatnonzero(roll.any(1))[-1]) + 1]


def _midi(path: Path, low: int = 21, high: int = 108, **options: Any) -> None:
    roll = midi.read(path, low=low, high=high, **options)
    score = midi.parse(path, rule=options.get("rule", "sounding"))
    _sound_roll(roll)
    assert roll.shape[1] == high - low + 1, "a roll has another width"
    assert len(roll) <= rolls.MAX_FRAMES, "a roll is longer than the limit"
    assert (score.notes["start"] <= score.notes["end"]).all(), "a note ends before it starts"
    assert (score.notes["pitch"] <= 127).all(), "a note is above 127"
    tempo = midi.usable_tempo(score)
    assert tempo is None or math.isfinite(tempo), "a tempo is not finite"
    roll = roll[:MOST_FRAMES]
    if roll.any():
        grid: Any = {"steps_per_beat": options.get("steps_per_beat", 2)}
        if "seconds_per_frame" in options:
            grid = {"seconds_per_frame": options["seconds_per_frame"]}
        again = path.with_name("again.mid")
        midi.write(again, roll, low=low, **grid)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a note is long, which was said before
            back = midi.read(again, low=low, high=high, **grid)
        assert np.array_equal(back, _until_silence(roll)), "what is written is not read back"


def midi_beats(path: Path) -> None:
    _midi(path, steps_per_beat=4)


def midi_seconds(path: Path) -> None:
    _midi(path, seconds_per_frame=0.02)


def midi_pedal(path: Path) -> None:
    _midi(path, low=0, high=127, steps_per_beat=12, drums=True, pedal=True)


def midi_published(path: Path) -> None:
    _midi(path, rule="published")


def folder(path: Path) -> None:
    """Read a file among sound ones: it is read too, or left out with a warning; the others are read in any case."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = datasets.load(path.parent)
    for each in caught:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    left_out = [str(each.message) for each in caught if "left out" in str(each.message)]
    names = {name for split in SPLITS for name in data.names_of(split)}
    others = {each.name for each in path.parent.glob("*.mid")} - {path.name}
    assert others <= names, "a sound file was left out"
    assert (path.name in names) != bool(left_out), "a file is neither read nor left out with a warning"
    _sound_data(data)
    if left_out:
        raise LeftOut(left_out[0])


class LeftOut(Exception):
    """A file of a folder was left out, with a warning."""


def _sound_data(data: Dataset) -> None:
    pieces = [piece for split in SPLITS for piece in getattr(data, split)]
    assert pieces, "a data set has no piece"
    for piece in pieces:
        if isinstance(data.kind, PianoRoll):
            _sound_roll(piece)
        else:
            assert piece.dtype == np.float32, "a piece is not float32"
            assert np.isfinite(piece).all(), "a piece holds NaN or infinity"
    assert len({piece.shape[1] for piece in pieces}) == 1, "pieces differ in width"
    str(data).encode()
    Dataset(data.name, data.train, data.valid, data.test, data.kind, data.names)


def data_set(path: Path) -> None:
    """Read a data set; what is accepted can be written, and is read back as it was."""
    data = datasets.load(path)
    _sound_data(data)
    if sum(piece.size for split in SPLITS for piece in getattr(data, split)) < 10**5:
        again = path.with_name("again.npz")
        datasets.save(again, data)
        back = datasets.load(again)
        assert back.fingerprint() == data.fingerprint(), "what is written is not read back"
        assert back.kind == data.kind, "the kind of frame is not read back"


def roll(path: Path) -> None:
    array, metadata = formats.load_roll(path)
    assert formats.roll_layout(path), "a roll is read of a file that holds none"
    _sound_roll(array)
    assert all(math.isfinite(value) for value in metadata.values()), "metadata are not finite"
    if array.size < 10**5:
        again = path.with_name("again.npz")
        formats.save_roll(again, array, **metadata)
        back, told = formats.load_roll(again)
        assert np.array_equal(back, array), "what is written is not read back"
        assert told == metadata, "metadata are not read back"


def vectors(path: Path) -> None:
    frames, _ = Vectors().read(path, 4)
    assert frames.dtype == np.float32, "frames are not float32"
    assert frames.ndim == 2, "frames are no matrix"
    assert frames.shape[1] == 4, "frames have another width"
    assert np.isfinite(frames).all(), "frames hold NaN or infinity"


def images(path: Path) -> None:
    pixels, _ = Image(2, 2).read(path, 4)
    assert pixels.dtype == np.float32, "pixels are not float32"
    assert pixels.ndim == 2, "images are no matrix"
    assert pixels.shape[1] == 4, "images have another width"
    assert ((pixels >= 0) & (pixels <= 1)).all(), "pixels are outside 0 to 1"
    film, _ = Video(2, 2).read(path, 4)
    assert np.array_equal(film, pixels), "a film of the same pixels is another one"


def labelled_images(path: Path) -> None:
    frames, _ = LabelledImage(2, 2, 3).read(path, 7)
    assert frames.ndim == 2, "frames are no matrix"
    assert frames.shape[1] == 7, "frames have another width"
    assert ((frames >= 0) & (frames <= 1)).all(), "pixels are outside 0 to 1"
    assert (np.sort(frames[:, 4:], axis=1) == [0, 0, 1]).all(), "an image has no label, or several"


def idx(path: Path) -> None:
    array = read_idx(path)
    assert array.dtype == np.uint8, "an array is not uint8"
    assert 1 <= array.ndim <= 8, "an array has no dimension, or many"
    assert 1 <= array.size <= rolls.MAX_BYTES, "an array is empty, or larger than the limit"


def sound(path: Path) -> None:
    """Read a sound; what is accepted can be written, and is read back as it was."""
    from rnnrbm import memory
    from rnnrbm.io.sound import read_sound, write_sound

    try:
        found = read_sound(path)
    except memory.TooMuch as error:  # a header may say anything
        raise LeftOut(str(error)) from error
    assert found.samples.dtype == np.float32, "samples are not float32"
    assert found.samples.ndim == 1, "samples are of several channels"
    assert len(found.samples), "a sound is empty"
    assert np.isfinite(found.samples).all(), "samples are NaN or infinite"
    assert 1 <= found.rate <= 10**6, "the rate is out of range"
    again = path.with_name("again.wav")
    peak = max(float(np.abs(found.samples).max()), 1.0)
    write_sound(again, found.samples / np.float32(peak), found.rate)
    back = read_sound(again)
    assert back.rate == found.rate, "the rate is not read back"
    assert np.abs(back.samples - found.samples / peak).max() < 1.01 / 32768, "what is written is not read back"


def annotations(path: Path) -> None:
    """Read annotations; what is accepted can be written, and is read back as it was."""
    from rnnrbm.io.annotations import check_annotations, read_annotations, write_annotations

    found = read_annotations(path)
    numbers = [x for each in found for x in (*each[:2], *each[3:]) if x is not None]
    assert all(math.isfinite(x) for x in numbers), "a number is not finite"
    again = path.with_name("again.csv")
    write_annotations(again, found)
    assert [(*a[:2], *a[3:]) for a in read_annotations(again)] == [(*a[:2], *a[3:]) for a in found], "not read back"
    check_annotations(found, 10.0, overlap=True, where=str(path))


def run(path: Path) -> None:
    """Read the run that a checkpoint belongs to."""
    from rnnrbm.backend import engine
    from rnnrbm.experiment import artifacts

    loaded = artifacts.load(path.parent)
    for parameter in loaded.model.params:
        assert np.isfinite(engine.to_numpy(parameter)).all(), "a parameter is not finite"
    assert loaded.best_epoch >= 0, "the epoch is negative"


def model(path: Path) -> None:
    """Read a model that is alone in its file."""
    from rnnrbm.backend import engine
    from rnnrbm.experiment.start import load_model

    loaded = load_model(path)
    assert isinstance(loaded, tuple), "what is read is no part of a model, nor several"
    for parameter in getattr(loaded, "params", ()):
        assert np.isfinite(engine.to_numpy(parameter)).all(), "a parameter is not finite"


def score(path: Path) -> None:
    """Read the values of a score that was interrupted."""
    from rnnrbm.experiment import evaluation

    values = evaluation.read_partial(path, "mark", 10)
    assert values.ndim == 2, "values are no matrix"
    assert values.shape[0] == 3, "values have other rows"
    assert values.shape[1] <= 10, "more values than frames"
    assert values.dtype == np.float64, "values are not float64"


def settings(path: Path) -> None:
    """Read a configuration; what is accepted can be written, and is read back as it was."""
    from rnnrbm.experiment import config

    found = config.read(path)
    assert isinstance(config.facts_of_run(path), dict), "facts are no table"
    again = path.with_name("again.toml")
    config.write(again, found)
    assert config.read(again) == found, "what is written is not read back"
