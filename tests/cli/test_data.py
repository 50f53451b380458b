"""rnnrbm convert."""

import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import assert_same, numbered_midi, refused, rnnrbm, small

from rnnrbm.cli.console import own_data
from rnnrbm.datasets import SPLITS, load, save
from rnnrbm.experiment.config import Data
from rnnrbm.experiment.setup import load_data
from rnnrbm.io import midi
from rnnrbm.io.formats import load_roll, save_roll
from rnnrbm.io.midi_grid import GridWarning
from rnnrbm.io.rolls import transpose

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder"))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with a tune."""
    monkeypatch.chdir(tmp_path)
    roll = np.zeros((9, 88), np.uint8)
    roll[1:, 39] = roll[::2, 43] = roll[-1] = 1
    roll[-1] = 0
    roll[-1, [39, 50]] = 1
    midi.write("tune.mid", roll)
    return tmp_path


# --- convert: one piece


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ([], {}),
        (["--steps-per-beat", 2], {"steps_per_beat": 2}),
        (["--seconds-per-frame", 0.05], {"seconds_per_frame": 0.05}),
        (["--rule", "published"], {"rule": "published"}),
        (["--low", 40, "--high", 80], {"low": 40, "high": 80}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*begin between the frames of steps_per_beat=2")  # it has sixteenth notes
def test_midi_to_a_roll(place, given, options):
    said = rnnrbm("convert", "tune.mid", "tune.npz", *given).stdout
    back, metadata = load_roll("tune.npz")
    np.testing.assert_array_equal(back, midi.read("tune.mid", **options))
    seconds = options.get("seconds_per_frame")
    steps = 2 if "rule" in options else options.get("steps_per_beat", None if seconds else 4)
    expected = {"low": options.get("low", 21), "steps_per_beat": steps, "seconds_per_frame": seconds, "tempo": 120.0}
    assert metadata == {key: value for key, value in expected.items() if value is not None}
    assert re.fullmatch(rf"tune.npz: {len(back)} frames of \d+ columns\n", said)


@pytest.mark.parametrize("grid", [["--steps-per-beat", 12], ["--seconds-per-frame", 0.1], []])
def test_a_roll_to_midi_and_back(place, grid):
    rnnrbm("convert", "tune.mid", "a.npz", *grid)
    rnnrbm("convert", "a.npz", "b.mid", "--tempo", 97)
    rnnrbm("convert", "b.mid", "b.npz", *grid)
    np.testing.assert_array_equal(load_roll("b.npz")[0], load_roll("a.npz")[0])
    assert midi.parse("b.mid").beats_per_minute() == pytest.approx(97, rel=1e-4)


def test_transposition_of_a_piece(place):
    rnnrbm("convert", "tune.mid", "up.npz", "--transpose", 5)
    original = midi.read("tune.mid")
    np.testing.assert_array_equal(load_roll("up.npz")[0], transpose(original, 5))
    said = refused("convert", "tune.mid", "far.npz", "--transpose", -40)
    assert "tune.mid: --transpose -40 moves 8 of 13 sounding cells out of its notes 21 to 108" in said
    rnnrbm("convert", "up.npz", "down.mid", "--transpose", "-5")
    np.testing.assert_array_equal(midi.read("down.mid"), original)
    save_roll("cropped.npz", np.eye(3, dtype=np.uint8), low=60, steps_per_beat=4)
    rnnrbm("convert", "cropped.npz", "cropped.mid", "--transpose", 65)  # columns have no edge here
    assert midi.parse("cropped.mid").notes["pitch"].tolist() == [125, 126, 127]
    assert "its notes are 126 to 128; expected 0 to 127" in refused(
        "convert", "cropped.npz", "x.mid", "--transpose", 66
    )
    assert not Path("x.mid").exists()
    assert not Path("far.npz").exists()


def test_a_roll_that_does_not_say_what_it_is(place):
    np.savez("bare.npz", roll=np.eye(88))
    rnnrbm("convert", "bare.npz", "a.mid", "--steps-per-beat", 1)
    np.testing.assert_array_equal(midi.read("a.mid", steps_per_beat=1), np.eye(88))
    np.savez("narrow.npz", roll=np.eye(3))
    assert "narrow.npz: 3 columns, but not which note the first is; add --low" in refused(
        "convert", "narrow.npz", "b.mid"
    )
    rnnrbm("convert", "narrow.npz", "b.mid", "--low", 60)
    assert midi.parse("b.mid").notes["pitch"].tolist() == [60, 61, 62]
    rnnrbm("convert", "tune.mid", "tune.npz")
    said = refused("convert", "tune.npz", "c.mid", "--low", 60, "--steps-per-beat", 4, "--rule", "published")
    assert "tune.npz: --rule, --steps-per-beat, --low cannot be chosen" in said


# --- convert: data sets


def test_data_sets_to_npz(place):
    numbered_midi(place / "tunes", 5)
    for source, given, options in [
        ("tunes", [], {}),
        ("tunes", ["--steps-per-beat", 4, "--low", 40, "--high", 100], {"steps_per_beat": 4, "low": 40, "high": 100}),
        ("tunes", ["--rule", "published"], {"rule": "published"}),
        ("bach", ["--steps-per-beat", 2], {"steps_per_beat": 2}),
    ]:
        said = rnnrbm("convert", source, "set.npz", *given, "--overwrite").stdout
        expected = replace(load(source, **options), name="set")  # called as the file
        assert_same(load("set.npz"), expected)
        assert said == f"set.npz\n{expected}\n"
    Path("notes.json").write_text('{"train": [[[60], [64]]], "valid": [[[62]]], "test": []}')
    rnnrbm("convert", "notes.json", "set.npz", "--low", 0, "--high", 127, "--transpose", 2, "--overwrite")
    moved = load("set.npz")
    assert [(t.tolist(), j.tolist()) for t, j in map(np.nonzero, moved.train)] == [([0, 1], [62, 66])]
    assert moved.names["valid"] == ["valid[0]"]


def test_a_data_set_that_leaves_its_columns_is_refused(place):
    save("a.npz", small())
    said = refused("convert", "a.npz", "b.npz", "--transpose", 4)
    assert "error: small, train 0 ä: --transpose 4 moves" in said
    assert "out of its notes 60 to 63" in said
    assert sorted(os.listdir()) == ["a.npz", "tune.mid"]
    assert set(SPLITS) == set(load("a.npz").names)


# --- convert: errors


def test_nothing_is_replaced_silently(place):
    Path("there.npz").write_bytes(b"precious")
    assert "there.npz: exists already; choose another name, or replace it with --overwrite" in refused(
        "convert", "tune.mid", "there.npz"
    )
    assert Path("there.npz").read_bytes() == b"precious"
    rnnrbm("convert", "tune.mid", "there.npz", "--overwrite")
    load_roll("there.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tune.mid", "a.txt"], r"a.txt: expected a name ending in .npz, or in .mid"),
        (["tune.mid", "a.mid"], r"tune.mid: is MIDI already; convert it to a piano-roll first"),
        (["bach", "a.mid"], r"bach: is not a file of one piano-roll"),
        (["none.mid", "a.npz"], r"none\.mid: there is no such file; give the path of a MIDI file$"),
        (["none.npz", "a.mid"], "none.npz: there is no such file; give the path of an .npz file of one piano-roll"),
        (["none.npz", "a.npz"], r"none.npz: there is no such file or folder"),
        (["bahc", "a.npz"], r"did you mean 'bach'"),
        (["tune.mid", "nowhere/a.npz"], r"folder 'nowhere' does not exist"),
        (["tune.mid", "a.npz", "--tempo", "90"], r"--tempo is for writing MIDI"),
        (["tune.mid", "a.npz", "--rule", "x"], r"rule='x': expected one of 'sounding', 'published'"),
        (["tune.mid", "a.npz", "--rule", "published", "--steps-per-beat", "2"], r"'published' and steps_per_beat=2"),
        (["bach", "a.npz", "--low", "3"], r"low cannot be chosen for the embedded set 'bach'"),
        (["roll.npz", "a.npz"], r"roll.npz: is a piano-roll already; expected a.npz to be a MIDI file"),
        (["bad.npz", "a.npz"], r"bad.npz: cannot be read as an .npz file"),
        (["bad.mid", "a.npz"], r"bad.mid: not a MIDI file"),
        (["bad.pkl", "a.npz"], r"bad.pkl: cannot be read as a pickle"),
    ],
)
def test_what_cannot_be_converted(place, arguments, message):
    save_roll("roll.npz", np.eye(3), low=60, steps_per_beat=4)
    for suffix in ("npz", "mid", "pkl"):
        Path(f"bad.{suffix}").write_bytes(b"nonsense")
    before = sorted(os.listdir())
    assert re.search(message, refused("convert", *arguments))
    assert sorted(os.listdir()) == before


def test_help_names_every_option():
    said = rnnrbm("convert", "--help").stdout
    for option in ("--steps-per-beat", "--seconds-per-frame", "--rule", "--transpose", "--low", "--high", "--drums"):
        assert option in said
    assert "--tempo" in said
    assert "--overwrite" in said
    assert "musedata" in rnnrbm("fetch", "--help").stdout


def slow_tune(path, beats=8):
    """A chord on every beat, at 72 beats a minute."""
    roll = np.zeros((beats, 88), np.uint8)
    roll[:, [39, 43, 46]] = 1
    midi.write(path, roll, steps_per_beat=1, tempo=72)
    return path


def test_the_tempo_is_kept_from_file_to_roll_to_file(place):
    slow_tune(place / "slow.mid")
    rnnrbm("convert", "slow.mid", "slow.npz", "--steps-per-beat", 1)
    assert load_roll("slow.npz")[1]["tempo"] == pytest.approx(72, abs=0.01)
    rnnrbm("convert", "slow.npz", "same.mid")
    rnnrbm("convert", "slow.npz", "fast.mid", "--tempo", 90)
    assert [midi.parse(f"{name}.mid").beats_per_minute() for name in ("same", "fast")] == pytest.approx(
        [72, 90], abs=0.01
    )


def test_a_folder_has_the_median_tempo_of_its_files(place):
    folder = place / "songs"
    folder.mkdir()
    for i, tempo in enumerate((60, 72, 72, 100, 130)):
        midi.write(folder / f"{i}.mid", np.ones((4, 3), np.uint8), low=60, tempo=tempo)
    assert load(folder).kind.tempo == pytest.approx(72, abs=0.01)
    rnnrbm("convert", "songs", "songs.npz")
    assert load("songs.npz").kind.tempo == pytest.approx(72, abs=0.01)


def test_the_pedal_is_read_if_asked_for(place):
    events = bytes([0, 0xB0, 64, 127, 0, 0x90, 60, 64, 4, 0x80, 60, 0, 8, 0xB0, 64, 0, 0, 0xFF, 0x2F, 0])
    header = bytes.fromhex("4d546864 00000006 0000 0001 0004")
    (place / "pedal.mid").write_bytes(header + b"MTrk" + len(events).to_bytes(4, "big") + events)
    for options, n_frames in (([], 4), (["--pedal"], 12)):
        rnnrbm("convert", "pedal.mid", "pedal.npz", "--overwrite", *options)
        assert load_roll("pedal.npz")[0][:, 39].tolist() == [1] * n_frames


def test_the_grid_of_a_run_is_a_warning_when_it_is_trained_not_later(tmp_path):
    folder = tmp_path / "songs"
    folder.mkdir()
    for i in range(3):
        midi.write(folder / f"{i}.mid", np.eye(88, dtype=np.uint8), steps_per_beat=4)
    data = Data(source=str(folder), steps_per_beat=1)
    with pytest.warns(GridWarning, match="198 of 264 notes in 3 MIDI files"):
        expected = load_data(data)
    (folder / "bad.mid").write_bytes(b"no MIDI")
    with pytest.warns(UserWarning, match="left out a MIDI file") as seen:
        found = own_data(SimpleNamespace(config=SimpleNamespace(data=data), folder=tmp_path, data_hash=None), "")
    assert [warning.category for warning in seen] == [UserWarning]
    assert_same(found, expected)


@pytest.mark.parametrize("tempo", ["0", "-3", "nan"])
def test_a_tempo_that_is_none_is_refused(place, tempo):
    numbered_midi(place / "tunes", 1)
    rnnrbm("convert", "tunes/00.mid", "roll.npz")
    assert "expected beats per minute" in refused("convert", "roll.npz", "b.mid", "--tempo", tempo)
    assert not Path("b.mid").exists()


def test_baselines_of_images_say_nothing_of_frames_that_follow_each_other():
    said = rnnrbm("baselines", "--data", "digits").stdout
    assert re.search(r"independent pixels .*-26\.788", said)
    assert "none is predicted from others" in said
    assert "N-gram" not in said
