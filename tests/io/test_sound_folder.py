"""Folders of sound as data sets: options, the choice of pieces, splits, errors, and every published folder."""

import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import whistles

from rnnrbm import memory
from rnnrbm.io import sound_folder
from rnnrbm.io.annotations import Annotation, write_annotations
from rnnrbm.io.sound import read_sound, write_sound
from rnnrbm.io.sound_folder import is_sound, settings_of, spectral_options
from rnnrbm.io.spectrogram import PRESETS, spectrogram
from rnnrbm.kinds.registry import from_record

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "vocalizations"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")
RATE = 16_000


def load_sounds(path, **options):
    """Read each piece once, unless a test asks for more."""
    return sound_folder.load_sounds(path, **{"shifts": 1, "n_bands": 128} | options)


@pytest.fixture
def folder(tmp_path):
    """Five recordings of 2 s with two songs each."""
    for i in range(5):
        spans = ((0.1, 0.2), (0.3, 0.5), (1.4, 1.7))
        write_sound(tmp_path / f"{i}.wav", whistles(*spans, seed=i, hertz=1000.0 + 500 * i), RATE)
    return tmp_path


def frames_of(contents):
    return {split: sum(map(len, pieces)) for split, pieces in contents.pieces.items()}


def all_names(contents):
    return sorted(name for names in contents.names.values() for name in names)


# --- options


def test_the_usual_spectrogram_depends_on_the_rate_alone(tmp_path):
    for rate, low, high, n in ((10_000, 400, 5000, 48), (32_000, 400, 10_000, 48), (250_000, 30_000, 110_000, 48)):
        write_sound(tmp_path / "a.wav", whistles(rate=rate, seconds=0.1), rate)
        found = spectral_options(tmp_path)
        assert (found["low"], found["high"], found["n_bands"]) == (low, high, n)
        settings_of(found).check(rate)
    assert spectral_options(tmp_path, rate=8000)["high"] == 4000
    vak = spectral_options(tmp_path, preset="vak", low=600.0)
    assert (vak["low"], vak["n_bands"], vak["hop_ms"]) == (600.0, 0, 2.0)  # 0: every frequency
    assert settings_of(spectral_options(tmp_path, preset="vak")) == PRESETS["vak"]


def test_what_is_sound(folder):
    assert is_sound(folder)
    assert is_sound(folder / "0.wav")
    assert not is_sound(folder / "gone.wav")
    (folder / "sub").mkdir()
    assert not is_sound(folder / "sub")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"segments": "detects"}, "did you mean 'detect'"),
        ({"gap_ms": -1}, "gap_ms=-1"),
        ({"margin_ms": float("nan")}, "margin_ms=nan"),
        ({"max_seconds": 0}, "max_seconds=0"),
        ({"shifts": 0}, "shifts=0"),
        ({"group": "("}, "regular expression"),
        ({"rate": 0}, "rate=0"),
        ({"channel": -1}, "channel=-1"),
        ({"hop_ms": 20}, "hop_ms=20: expected at most window_ms"),
        ({"high": 9000}, "high=9000: expected at most half the sample rate"),
        ({"preset": "vac"}, "did you mean 'vak'"),
        ({"split": (1, 1, 1)}, "three positive fractions"),
        ({"segments": "annotations"}, "none of its 5 recordings has annotations"),
        ({"channel": 1}, "can be used"),
        ({"window_ms": 5000.0}, "can be used"),
    ],
)
@pytest.mark.filterwarnings("ignore:left out a sound file")
def test_impossible_options_are_refused(folder, options, word):
    with pytest.raises(ValueError, match=word):
        load_sounds(folder, **options)


# --- pieces


def test_songs_are_the_pieces_and_recordings_are_divided(folder):
    found = load_sounds(folder)
    assert {split: len(pieces) for split, pieces in found.pieces.items()} == {"train": 6, "valid": 2, "test": 2}
    recordings = {split: {name.split()[0] for name in names} for split, names in found.names.items()}
    assert len(set().union(*recordings.values())) == 5 == sum(map(len, recordings.values()))
    kind = from_record(found.record)
    assert kind.rate == RATE
    assert not kind.resampled
    np.testing.assert_allclose(np.concatenate(found.pieces["train"]).mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.concatenate(found.pieces["train"]).std(axis=0), 1, atol=1e-2)


def test_a_piece_is_the_spectrogram_of_its_part_of_the_recording(folder):
    found = load_sounds(folder, channel=0, seed=3, n_bands=40)
    kind = from_record(found.record)
    name, start, stop = found.names["test"][0].replace("-", " ").split()[:3]
    samples = read_sound(folder / name).samples[round(float(start) * RATE) : round(float(stop) * RATE)]
    expected = kind.standardised(spectrogram(samples, RATE, kind.settings))
    assert len(expected) == len(found.pieces["test"][0])
    np.testing.assert_allclose(found.pieces["test"][0], expected, atol=0.3)  # names are rounded to milliseconds


def test_annotations_come_first_and_whole_recordings_last(folder):
    for i in range(4):
        write_annotations(folder / f"{i}.txt", [Annotation(0.5, 0.6, "a")])
    with pytest.warns(UserWarning, match=r"1 of 5 recordings have no annotations, such as 4\.wav"):
        found = load_sounds(folder)
    assert all_names(found) == [f"{i}.wav 0.450-0.650 s" for i in range(4)]
    assert sum(map(len, load_sounds(folder, segments="detect").pieces.values())) == 10
    whole = load_sounds(folder, segments="none", max_seconds=1.0)
    assert all_names(whole)[:2] == ["0.wav 0.000-1.000 s", "0.wav 1.000-2.000 s"]


def test_no_calls_at_all(tmp_path):
    for i in range(3):
        write_sound(tmp_path / f"{i}.wav", whistles(seed=i), RATE)  # noise alone
    with pytest.raises(ValueError, match="no call was found in its 3 recordings"):
        load_sounds(tmp_path, segments="detect")
    with pytest.warns(UserWarning, match="no call was found in its 3 recordings, so they are read whole"):
        assert frames_of(load_sounds(tmp_path)) == {"train": 249, "valid": 249, "test": 249}


def test_a_recording_without_calls_is_left_out(folder):
    write_sound(folder / "9.wav", whistles(seed=9), RATE)
    with pytest.warns(UserWarning, match=r"1 of 6 recordings have no calls, such as 9\.wav"):
        assert sum(map(len, load_sounds(folder).names.values())) == 10


def test_one_recording_is_divided_by_time_and_says_so(folder):
    notes = []
    report = lambda stage, done, total, row: notes.append(row["text"]) if stage == "note" else None  # noqa: E731
    found = load_sounds(folder / "0.wav", segments="none", progress=report)
    assert len(notes) == 1
    assert "one recording, divided by time, with gaps of 0.1 s" in notes[0]
    assert [names[0] for names in found.names.values()] == [
        "0.wav 0.000-1.350 s",
        "0.wav 1.450-1.650 s",
        "0.wav 1.750-2.000 s",
    ]
    assert found.name == "0"


def test_sub_folders_are_splits_or_birds(folder):
    for i, split in enumerate(("train", "valid", "test")):
        (folder / split).mkdir()
        (folder / f"{i}.wav").rename(folder / split / f"{i}.wav")
    for i in (3, 4):
        (folder / f"{i}.wav").rename(folder / "train" / f"{i}.wav")
    found = load_sounds(folder)
    assert {split: len(pieces) for split, pieces in found.pieces.items()} == {"train": 6, "valid": 2, "test": 2}
    with pytest.raises(ValueError, match="group cannot be chosen"):
        load_sounds(folder, group="folder")
    for split in ("train", "valid", "test"):
        (folder / split).rename(folder / f"bird {split}")
    found = load_sounds(folder, group="folder")
    birds = {split: {name.split("/")[0] for name in names} for split, names in found.names.items()}
    assert sorted(map(len, birds.values())) == [1, 1, 1]


def test_constant_bands_are_left_out_and_said(tmp_path):
    from scipy.signal import firwin

    taps = firwin(511, 3000, fs=RATE)
    for i in range(3):
        low = np.convolve(whistles((0.1, 0.3), (0.5, 0.7), seconds=1.0, seed=i), taps, "same")
        soundfile.write(tmp_path / f"{i}.wav", low, RATE, "FLOAT")
    with pytest.warns(UserWarning, match=r"\d+ of 64 bands do not vary in the training set and are left out"):
        found = load_sounds(tmp_path, high=8000, low=200, scale="linear", n_bands=64, segments="none", floor_db=-90)
    kind = from_record(found.record)
    assert found.pieces["train"][0].shape[1] == len(kind.bands) < 64
    assert kind.frequencies.max() < 4500


def test_other_rates_are_resampled_if_asked(folder):
    write_sound(folder / "high.wav", whistles((0.1, 0.5), rate=48_000), 48_000)
    with pytest.raises(ValueError, match="sample rates differ"):
        load_sounds(folder)
    kind = from_record(load_sounds(folder, rate=RATE).record)
    assert (kind.rate, kind.resampled) == (RATE, True)


def test_little_memory_is_enough_for_a_long_recording(tmp_path, monkeypatch):
    write_sound(tmp_path / "a.wav", np.tile(whistles((0.1, 0.5)), 100), RATE)
    monkeypatch.setattr(memory, "available", lambda: 2_000_000)  # a third of its samples in float32
    found = load_sounds(tmp_path, segments="none")
    assert frames_of(found)["train"] > 10_000
    with pytest.raises(MemoryError, match=r"a\.wav: its 3200000 samples"):
        load_sounds(tmp_path, segments="detect")  # a part of ten minutes


def test_an_empty_folder_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r"no sound file \(\.wav, "):
        load_sounds(tmp_path)


# --- published folders

FRAMES = {
    "bats": (243, 243, 243),
    "bengalese_finch_bfsongrepo": (234, 33, 42),
    "bengalese_finch_katahira": (567, 83, 104),
    "fruitfly": (125, 17, 22),
    "humpback": (789, 115, 143),
    "robin": (178, 25, 32),
    "soundscape": (842, 124, 155),
    "spinetail": (1174, 174, 217),
    "zebra_finch": (377, 175, 135),
}


@needs_data
@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.filterwarnings("ignore")
def test_every_published_folder_loads_with_defaults(name):
    found = load_sounds(DATA / name, **({"rate": 384_000} if name == "bats" else {}))
    assert tuple(frames_of(found).values()) == FRAMES[name]
    kind = from_record(found.record)
    assert kind.check(found.pieces["train"][0]).shape[1] == 128


@needs_data
def test_koumura_songs_are_pieces_by_their_annotations():
    pytest.importorskip("crowsetta", reason="the package crowsetta is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_sounds(DATA / "bengalese_finch_koumura")
    assert frames_of(found) == {"train": 7669, "valid": 1755, "test": 1933}
    assert {split: len(pieces) for split, pieces in found.pieces.items()} == {"train": 15, "valid": 3, "test": 2}


@needs_data
def test_clips_of_one_recording_are_one_group():
    found = load_sounds(DATA / "birds_opensoundscape", rate=22_050, segments="none", group=r"LOCA_[\d_]+_652")
    clips = {split for split, names in found.names.items() for name in names if name.startswith("LOCA")}
    assert len(clips) == 1


@needs_data
def test_awkward_files_are_named(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match="sample rates differ"):
            load_sounds(DATA / "awkward")
    assert len([w for w in caught if "left out a sound file" in str(w.message)]) == 7
    shutil.copy(DATA / "awkward" / "veryshort.wav", tmp_path)
    with pytest.raises(ValueError, match="too little sound for valid, less than the window of 16 ms"):
        load_sounds(tmp_path, segments="none")
    assert frames_of(load_sounds(tmp_path, segments="none", window_ms=8, hop_ms=2)) == {
        "train": 45,
        "valid": 4,
        "test": 5,
    }


def test_training_pieces_are_read_at_several_shifts(folder):
    """Each begins a quarter of the hop later than the one before: 32 samples of 128."""
    usual = sound_folder.load_sounds(folder, segments="none", max_seconds=1.0)
    once = load_sounds(folder, segments="none", max_seconds=1.0, n_bands=48)
    assert {split: len(pieces) for split, pieces in usual.pieces.items()} == {
        split: len(pieces) * (4 if split == "train" else 1) for split, pieces in once.pieces.items()
    }
    assert usual.names["valid"] == once.names["valid"]
    first = [name.partition(" ")[0] for name in usual.names["train"][:4]]
    assert len(set(first)) == 1
    assert [name.partition(" ")[2][:5] for name in usual.names["train"][:4]] == ["0.000", "0.002", "0.004", "0.006"]
    kind = from_record(usual.record)
    samples = read_sound(folder / first[0]).samples[:RATE]
    for i, piece in enumerate(usual.pieces["train"][:4]):
        own = spectrogram(samples[32 * i :], RATE, kind.settings)
        np.testing.assert_allclose(kind.decibels(piece), own, atol=1e-3)
