"""The warning about notes that begin between frames: when it comes, its numbers, and the grid that it names."""

import os
import warnings
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import mido
import numpy as np
import pytest
from helpers import needs_data, rnnrbm
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnrbm.datasets import load
from rnnrbm.io import midi, midi_grid
from rnnrbm.kinds.piano_roll import PianoRoll

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "midi"
FINER = (1, 2, 3, 4, 6, 8, 12, 16, 24)


def save(path, beats, *, division=480, channel=0, note=60):
    """Write a file of notes that begin at these beats, in order; each lasts until the next, the last for a beat."""
    ticks = [round(Fraction(beat) * division) for beat in beats]
    track = mido.MidiTrack([mido.Message("note_on", note=note, channel=channel, time=ticks[0])])
    for tick, following in pairwise(ticks):
        track.append(mido.Message("note_off", note=note, channel=channel, time=following - tick))
        track.append(mido.Message("note_on", note=note, channel=channel, time=0))
    track.append(mido.Message("note_off", note=note, channel=channel, time=division))
    mido.MidiFile(type=0, ticks_per_beat=division, tracks=[track]).save(path)
    return path


def every(step, n):
    return [Fraction(step) * i for i in range(n)]


EIGHTHS, SIXTEENTHS, TRIPLETS = every("1/2", 96), every("1/4", 96), every("1/3", 96)
# bars of four beats: one in triplets, then one in sixteenths
MIXED = sorted({bar + x for bar in range(0, 64, 8) for x in (*every("1/3", 12), *(4 + y for y in every("1/4", 16)))})


def warning_of(read, *arguments, **options):
    """The warnings of a call about its grid: the text of one, or ""."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        read(*arguments, **options)
    texts = [str(warning.message) for warning in seen]
    assert len(texts) <= 1, texts
    return texts[0] if texts else ""


# --- one file


def test_eighths_on_a_grid_of_quarters(tmp_path):
    jig = save(tmp_path / "jig.mid", EIGHTHS)
    assert warning_of(midi.read, jig, steps_per_beat=1) == (
        f"{jig}: 48 of 96 notes (50 %) begin between the frames of steps_per_beat=1, expected at most 5 %; each moves "
        "to the nearest frame, and notes that follow each other may become a chord; read it with steps_per_beat=2, "
        "which leaves none"
    )
    assert warning_of(midi.read, jig, steps_per_beat=2) == ""
    with pytest.warns(UserWarning, match="begin between the frames") as seen:
        midi.read(jig, steps_per_beat=1)
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    ("beats", "steps", "off", "finer"),
    [
        (every(1, 20), 1, 0, None),
        (EIGHTHS, 1, 48, 2),
        (EIGHTHS, 3, 48, 4),  # one and a half frames
        (SIXTEENTHS, 1, 72, 4),  # a quarter of a frame from the next is too far: three notes follow each other
        (SIXTEENTHS, 2, 48, 4),
        (SIXTEENTHS, 4, 0, None),
        (SIXTEENTHS, 12, 0, None),
        (TRIPLETS, 1, 64, 3),
        (TRIPLETS, 2, 64, 3),
        (TRIPLETS, 4, 64, 6),
        (TRIPLETS, 12, 0, None),
        (MIXED, 2, 128, 12),
        (MIXED, 4, 64, 12),
        (MIXED, 6, 64, 12),
        (every("1/5", 100), 4, 40, None),  # on none of the usual grids
        (every("1/8", 96), 24, 0, None),
        ([*every("1/2", 95), *(x + Fraction(401, 4) for x in every(1, 5))], 1, 52, 2),  # leaves 5 %
    ],
)
def test_the_share_and_the_finer_grid(tmp_path, beats, steps, off, finer):
    path = save(tmp_path / "a.mid", beats)
    positions = [Fraction(round(Fraction(beat) * 480), 480) for beat in beats]

    def is_off(beat, grid):
        return abs(beat * grid - round(beat * grid)) >= Fraction(1, 4)

    left = {grid: sum(is_off(beat, grid) for beat in positions) for grid in FINER if grid > steps}
    expected = next((grid for grid, n in left.items() if n <= 0.05 * len(beats)), None)
    said = warning_of(midi.read, path, steps_per_beat=steps)
    assert sum(is_off(beat, steps) for beat in positions) == off
    if off == 0:
        assert said == ""
    else:
        assert f"a.mid: {off} of {len(beats)} notes (" in said
        advice = (
            "its notes may follow no beat" if expected is None else f"read it with steps_per_beat={expected}, which"
        )
        assert advice in said
        assert expected == finer


def test_a_few_notes_between_frames_are_no_fault(tmp_path):
    for n, warned in ((5, False), (6, True)):
        beats = every(1, 100 - n) + [200 + Fraction(1, 2) + i for i in range(n)]
        said = warning_of(midi.read, save(tmp_path / "a.mid", beats), steps_per_beat=1)
        assert bool(said) == warned
    assert "6 of 100 notes (6 %)" in said


def test_small_deviations_of_a_player_are_no_fault(tmp_path):
    rng = np.random.default_rng(0)
    # at 120 beats a minute, up to 30 ms around sixteenth notes of 125 ms
    beats = [Fraction(i + 1, 4) + Fraction(int(rng.integers(-29, 30)), 480) for i in range(400)]
    assert warning_of(midi.read, save(tmp_path / "a.mid", beats), steps_per_beat=4) == ""


def test_notes_that_follow_no_beat_are_for_the_clock(tmp_path):
    rng = np.random.default_rng(1)
    beats = np.cumsum(rng.integers(20, 400, 500)).tolist()
    path = save(tmp_path / "a.mid", [Fraction(tick, 480) for tick in beats])
    said = warning_of(midi.read, path, steps_per_beat=4)
    assert said.endswith("become a chord; its notes may follow no beat: read it with seconds_per_frame")
    assert warning_of(midi.read, path, seconds_per_frame=0.05) == ""


def test_no_grid_of_the_music_no_warning(tmp_path):
    """On a grid of seconds there is none, and by the rule "published" notes are moved as the authors moved them."""
    path = save(tmp_path / "a.mid", SIXTEENTHS)
    assert warning_of(midi.read, path, seconds_per_frame=0.4) == ""
    assert warning_of(midi.read, path, rule="published") == ""
    assert warning_of(midi.read, path, steps_per_beat=2) != ""


def test_only_notes_of_the_roll_count(tmp_path):
    path = save(tmp_path / "a.mid", EIGHTHS, channel=9)
    drums = mido.MidiFile(path).tracks[0]
    pitched = mido.MidiFile(save(path, every(1, 20))).tracks[0]
    mido.MidiFile(type=1, ticks_per_beat=480, tracks=[pitched, drums]).save(path)
    assert warning_of(midi.read, path, steps_per_beat=1) == ""
    assert "48 of 116 notes (41 %)" in warning_of(midi.read, path, steps_per_beat=1, drums=True)
    low = mido.MidiFile(save(path, EIGHTHS, note=30)).tracks[0]
    mido.MidiFile(type=1, ticks_per_beat=480, tracks=[pitched, low]).save(path)
    with pytest.warns(UserWarning, match="dropped 96 of 116 notes") as seen:
        midi.read(path, steps_per_beat=1, low=40)
    assert len(seen) == 1


def test_frames_no_longer_than_a_tick_lose_nothing(tmp_path):
    path = save(tmp_path / "a.mid", every("1/5", 20), division=10)
    assert warning_of(midi.read, path, steps_per_beat=12) == ""
    assert warning_of(midi.read, path, steps_per_beat=4) != ""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**37), min_size=1, max_size=20), st.integers(1, 32767), st.integers(1, 32767))
def test_the_count_equals_fractions(ticks, division, steps):
    found = midi_grid.fit(np.array(ticks, np.int64), division, steps)
    assert list(found.off) == [steps, *(grid for grid in FINER if grid > steps)]
    for grid, n in found.off.items():
        beats = [Fraction(tick, division) * grid for tick in ticks]
        off = sum(abs(beat - round(beat)) >= Fraction(1, 4) for beat in beats)
        assert n == (off if grid < division else 0)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 30), st.just(4)), elements=st.integers(0, 1)),
    st.integers(1, 40),
    st.integers(1, 3),
    st.booleans(),
    st.floats(30, 300),
)
def test_what_write_wrote_is_on_its_grid(tmp_path_factory, roll, steps, times, legato, tempo):
    roll[0, 0] = 1
    path = tmp_path_factory.getbasetemp() / "written.mid"
    midi.write(path, roll, steps_per_beat=steps, legato=legato, tempo=tempo)
    assert warning_of(midi.read, path, steps_per_beat=steps) == ""
    assert warning_of(midi.read, path, steps_per_beat=steps * times) == ""


# --- a folder, a primer, the command line


def folder_of(path, **files):
    path.mkdir()
    for name, beats in files.items():
        save(path / f"{name}.mid", beats)
    return path


def test_a_folder_has_one_warning_with_the_share_of_all_its_notes(tmp_path):
    folder = folder_of(tmp_path / "songs", a=SIXTEENTHS, b=EIGHTHS, c=every(1, 8))
    assert warning_of(load, folder) == (
        f"{folder}: 48 of 200 notes in 3 MIDI files (24 %) begin between the frames of steps_per_beat=2, expected at "
        "most 5 %; each moves to the nearest frame, and notes that follow each other may become a chord; read them "
        "with steps_per_beat=4 (data.steps_per_beat in settings), which leaves none"
    )
    assert warning_of(load, folder, steps_per_beat=4) == ""
    assert warning_of(load, folder, rule="published") == ""
    assert warning_of(load, folder, seconds_per_frame=0.3) == ""
    with pytest.warns(UserWarning, match="begin between the frames") as seen:
        load(folder)
    assert seen[0].filename == __file__


def test_a_file_that_is_left_out_does_not_count(tmp_path):
    folder = folder_of(tmp_path / "songs", a=SIXTEENTHS, b=EIGHTHS, c=every(1, 8))
    (folder / "bad.mid").write_bytes(b"MThd")
    with pytest.warns(UserWarning, match="begin between|left out") as seen:
        load(folder)
    texts = [str(warning.message) for warning in seen]
    assert [text.split(":")[0] for text in texts] == ["left out a MIDI file", str(folder)]
    assert "48 of 200 notes in 3 MIDI files" in texts[1]


def test_one_odd_file_in_a_folder_is_no_fault_of_the_grid(tmp_path):
    many = {f"f{i}": every("1/2", 100) for i in range(11)}
    said = warning_of(load, folder_of(tmp_path / "songs", odd=TRIPLETS, **many))
    assert "64 of 1196 notes in 12 MIDI files (5.4 %) begin between the frames of steps_per_beat=2" in said
    assert said.endswith("read them with steps_per_beat=6 (data.steps_per_beat in settings), which leaves none")
    assert warning_of(load, folder_of(tmp_path / "more", odd=TRIPLETS, **many, g=EIGHTHS)) == ""


def test_a_primer_on_another_grid_than_the_model(tmp_path):
    jig = save(tmp_path / "jig.mid", EIGHTHS)
    said = warning_of(PianoRoll(21, 1).read, jig, 88)
    assert said.startswith(f"{jig}: 48 of 96 notes (50 %) begin between the frames of steps_per_beat=1")
    assert said.endswith("; continue another piece, or with a model of 2 frames per beat, which leaves none")
    assert warning_of(PianoRoll(21, 2).read, jig, 88) == ""
    assert warning_of(PianoRoll(21, seconds_per_frame=0.3).read, jig, 88) == ""


def test_convert_warns_on_one_line(tmp_path):
    jig = save(tmp_path / "jig.mid", EIGHTHS)
    said = rnnrbm("convert", jig, tmp_path / "jig.npz", "--steps-per-beat", 1).stderr.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"warning: {jig}: 48 of 96 notes (50 %) begin between the frames of steps_per_beat=1")
    assert rnnrbm("convert", jig, tmp_path / "fine.npz").stderr == ""


@needs_data
@pytest.mark.parametrize(
    ("folder", "steps", "share", "advice"),
    [
        ("nottingham", 2, "852 of 15845 notes in 45 MIDI files (5.4 %)", "steps_per_beat=4 .*, which leaves 3 %"),
        ("nottingham", 4, "", ""),
        ("piano", 2, "7702 of 36454 notes in 19 MIDI files (21 %)", "steps_per_beat=8 .*, which leaves 3 %"),
        ("piano", 8, "", ""),
    ],
)
def test_the_files_behind_the_benchmark_sets(folder, steps, share, advice):
    said = warning_of(load, DATA / folder, steps_per_beat=steps)
    assert share in said
    assert bool(said) == bool(share)
    if share:
        starts = [
            (n["start"] * steps / 480) % 1 for file in (DATA / folder).glob("*.mid") for n in midi.parse(file).notes
        ]
        assert int(share.split()[0]) == sum(0.25 <= start <= 0.75 for start in starts)
        with pytest.warns(UserWarning, match=advice):
            load(DATA / folder, steps_per_beat=steps)
    assert warning_of(load, DATA / folder, rule="published") == ""
