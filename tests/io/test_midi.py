"""MIDI in and out, against mido and pretty_midi as independent readers, and real files."""

import csv
import math
import os
import re
import struct
import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import loadmat

from rnnrbm.io import midi, midi_bytes
from rnnrbm.io import rolls as limits
from rnnrbm.io.midi import MidiError
from rnnrbm.io.rolls import transpose

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "midi"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")
AWKWARD = DATA / "awkward"
coarse = pytest.mark.filterwarnings("ignore:.*begin between the frames of steps_per_beat")
REAL = sorted(p for p in DATA.rglob("*.mid*") if "empty" not in p.name and "not-a" not in p.name)


# ---- small files made by hand, byte by byte, so that no MIDI library is needed to make them


def number(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def on(delta: int, note: int, velocity: int = 64, channel: int = 0) -> bytes:
    return number(delta) + bytes([0x90 | channel, note, velocity])


def off(delta: int, note: int, channel: int = 0) -> bytes:
    return number(delta) + bytes([0x80 | channel, note, 0])


def meta(delta: int, kind: int, data: bytes = b"") -> bytes:
    return number(delta) + bytes([0xFF, kind]) + number(len(data)) + data


def tempo(delta: int, microseconds: int) -> bytes:
    return meta(delta, 0x51, microseconds.to_bytes(3, "big"))


END = meta(0, 0x2F)


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack(">L", len(data)) + data


def smf(*tracks: bytes, kind: int = 1, division: int = 4, n_tracks: int | None = None) -> bytes:
    """A file of 4 ticks per beat, so that at the default grid a tick is a frame."""
    count = len(tracks) if n_tracks is None else n_tracks
    header = chunk(b"MThd", struct.pack(">HHH", kind, count, division))
    return header + b"".join(chunk(b"MTrk", track) for track in tracks)


@pytest.fixture
def save(tmp_path):
    def save(data: bytes) -> Path:
        path = tmp_path / "made.mid"
        path.write_bytes(data)
        return path

    return save


def sounding(roll: np.ndarray, low: int = 21) -> dict[int, list[int]]:
    """The frames in which each note number sounds."""
    return {low + int(j): np.flatnonzero(roll[:, j]).tolist() for j in np.flatnonzero(roll.any(0))}


# ---- an independent reader: mido, exact fractions, cell by cell


def mido_roll(path: Path, steps: int, *, drums: bool = False) -> np.ndarray:
    file = mido.MidiFile(path)

    def nearest(tick: int) -> int:
        return math.floor(Fraction(tick * steps, file.ticks_per_beat) + Fraction(1, 2))

    cells = set()
    for track in file.tracks:
        now, down = 0, {}
        for event in track:
            now += event.time
            if event.type not in ("note_on", "note_off") or (event.channel == 9 and not drums):
                continue
            key = event.channel, event.note
            if event.type == "note_on" and event.velocity:
                down.setdefault(key, []).append(now)
                continue
            strikes = down.pop(key, [])
            if strikes and strikes[0] < now == strikes[-1]:
                down[key] = [strikes.pop()]  # struck again at this tick, before the note-off
            for start in strikes:
                first, stop = nearest(start), nearest(now)
                cells |= {(t, event.note) for t in range(first, max(stop, first + 1))}
    roll = np.zeros((1 + max(t for t, _ in cells), 128), np.uint8)
    for cell in cells:
        roll[cell] = 1
    return roll


# ---- reading: real files


@needs_data
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
@coarse
def test_every_real_file_equals_an_independent_tick_based_reader(path):
    for steps in (1, 2, 4, 12):
        roll = midi.read(path, steps_per_beat=steps, low=0, high=127, drums=True)
        np.testing.assert_array_equal(roll, mido_roll(path, steps, drums=True))


@needs_data
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_every_real_file_has_the_notes_that_pretty_midi_finds(path):
    with warnings.catch_warnings():
        # Nottingham has its tempo changes in a later track, where pretty_midi does not look.
        warnings.filterwarnings("ignore", "Tempo, Key or Time signature", RuntimeWarning)
        theirs = pretty_midi.PrettyMIDI(str(path))
    score = midi.parse(path)
    if any(e.type == "set_tempo" for t in mido.MidiFile(path).tracks[1:] for e in t):
        seconds = np.arange(score.end + 1) * 1.0
        expected = [
            (n.pitch, n.velocity, theirs.time_to_tick(n.start), theirs.time_to_tick(n.end))
            for i in theirs.instruments
            for n in i.notes
        ]
    else:
        seconds = score.seconds(np.arange(score.end + 1))
        expected = [(n.pitch, n.velocity, n.start, n.end) for i in theirs.instruments for n in i.notes]
    ours = [
        (n["pitch"], n["velocity"], seconds[n["start"]], seconds[n["end"]])
        for n in score.notes
        if n["end"] > n["start"]
    ]
    np.testing.assert_allclose(sorted(ours), sorted(expected), rtol=0, atol=1e-6)


def published() -> list[tuple[Path, dict[str, str]]]:
    rows = []
    for table in sorted(DATA.rglob("rolls.tsv")):
        with open(table, newline="") as file:
            rows += [(table.parent / row["file"], row) for row in csv.DictReader(file, delimiter="\t")]
    return rows


@pytest.fixture(scope="module")
def mats():
    return {name: loadmat(DATA.parent / "pianorolls" / name) for name in ("Nottingham.mat", "Piano_midi.mat")}


@needs_data
@pytest.mark.parametrize(("path", "row"), published(), ids=lambda x: getattr(x, "name", ""))
@coarse
def test_published_rolls_come_out_of_their_files(path, row, mats):
    """Boulanger-Lewandowski's rolls, with no differing cell.

    They differ from what `read` does in three ways: of notes with one end (struck again while
    sounding) only the last counts, a note may have no frame, and frame 0 is left out.
    """
    target = mats[row["mat"]][row["cell"]][0, int(row["index"])]
    score = midi.parse(path)
    assert score.ticks_per_beat == 480
    last = {(n["track"], n["channel"], n["pitch"], n["end"]): n["start"] for n in score.notes}
    roll = np.zeros((10_000, 128), np.uint8)
    grid = [((key[2]), *((np.array([start, key[3]]) + 120) // 240)) for key, start in last.items()]
    for pitch, start, end in grid:
        roll[start:end, pitch] = 1
    frames = max(end for _, _, end in grid)
    roll = np.roll(roll[1:frames], int(row["transpose"]), axis=1)[:, 21:109]
    assert roll.shape == (int(row["frames"]), 88)
    np.testing.assert_array_equal(roll, target)

    ours = midi.read(path, steps_per_beat=2, low=0, high=127)
    ours = np.roll(ours[1:], int(row["transpose"]), axis=1)[:, 21:109]
    assert (ours[: len(roll)] >= target).all()  # never less than published
    if len(last) == len(score.notes) and all(end > start for _, start, end in grid):
        np.testing.assert_array_equal(ours, target)

    by_rule = midi.read(path, rule="published")
    np.testing.assert_array_equal(transpose(by_rule, int(row["transpose"])), target)


SCALE = [60, 62, 64, 65, 67, 69, 71, 72]


def scale(first: int = 0) -> dict[int, list[int]]:
    """A C major scale in quarter notes, from frame `first` of a grid of 4 steps per beat."""
    return {n: list(range(first + 4 * i, first + 4 * i + 4)) for i, n in enumerate(SCALE)}


@needs_data
@pytest.mark.parametrize(
    "name",
    [
        "test-c-major-scale.mid",
        "test-corrupt-file-extra-byte.mid",
        "test-running-status-metaevent.mid",
        "test-smpte-offset.mid",
    ],
)
def test_a_scale_is_read_whatever_surrounds_it(name):
    assert sounding(midi.read(AWKWARD / name)) == scale()
    assert len(midi.parse(AWKWARD / name).notes) == 8


@needs_data
def test_tracks_play_together_whatever_the_format_says():
    says_0 = midi.read(AWKWARD / "test-2-tracks-type-0.mid")
    says_1 = midi.read(AWKWARD / "test-2-tracks-type-1.mid")
    np.testing.assert_array_equal(says_0, says_1)
    assert says_0.shape == (36, 88)
    assert says_0.sum() == 16 * 4  # 16 quarter notes, none over another
    assert not says_0[:4].any()  # a beat of rest leads, and is kept


@needs_data
def test_two_tracks_may_share_a_channel():
    score = midi.parse(AWKWARD / "test-multichannel-chords-3.mid")
    assert {(int(n["track"]), int(n["channel"])) for n in score.notes} == {(0, 0), (1, 1), (2, 0)}
    roll = midi.read(AWKWARD / "test-multichannel-chords-3.mid")
    assert roll.shape == (32, 88)
    assert (roll.sum(1) == 3).all()  # triads all the way


@needs_data
def test_pedal_does_not_prolong_notes():
    path = AWKWARD / "test-control-40-damper.mid"
    # The pedal is down from beat 5, after four notes, to beat 13, where four more have ended.
    controls = [(e.control, e.value) for e in mido.MidiFile(path).tracks[0] if e.is_cc()]
    assert controls == [(64, 127), (64, 0)]
    arpeggio = {n: 4 * i for i, n in enumerate([60, 64, 67, 72])}
    assert sounding(midi.read(path)) == {n: [*range(t, t + 4), *range(t + 36, t + 40)] for n, t in arpeggio.items()}


@needs_data
def test_every_velocity_above_0_is_a_note():
    score = midi.parse(AWKWARD / "test-note-on-velocity.mid")
    assert (score.notes["velocity"].min(), score.notes["velocity"].max()) == (1, 127)
    assert midi.read(AWKWARD / "test-note-on-velocity.mid").sum() == 9 * 4


@needs_data
def test_karaoke_lyrics_are_no_notes():
    path = AWKWARD / "test-karaoke-kar.mid"
    score = midi.parse(path)
    assert len(score.notes) == 29
    assert score.beats_per_minute() == pytest.approx(90, abs=1e-3)
    assert midi.read(path).shape == (64, 88)


@needs_data
def test_bach_without_a_tempo_event_is_at_120():
    path = AWKWARD / "bach_format0.mid"
    score = midi.parse(path)
    assert len(score.notes) == 415
    assert score.ticks_per_beat == 96
    assert score.tempo.tolist() == [[0, 500_000]]
    # 8 frames of 1/16 note a second, and 10 of 0.1 s: 139 beats are 69.5 s
    assert midi.read(path).shape == (556, 88)
    assert midi.read(path, seconds_per_frame=0.1).shape == (695, 88)
    assert midi.read(path).sum() == 448


@needs_data
def test_childrens_corner_tempo_changes_do_not_move_the_beat_grid():
    path = AWKWARD / "childrens_corner_4.mid"
    score = midi.parse(path)
    assert len(score.notes) == 1389
    assert len(score.tempo) == 440
    np.testing.assert_array_equal(midi.read(path, steps_per_beat=12), mido_roll(path, 12)[:, 21:109])
    # On the grid of seconds the tempo map counts: mido's own clock says when each note sounds.
    clock, strikes = 0.0, []
    for event in mido.MidiFile(path):
        clock += event.time
        if event.type == "note_on" and event.velocity:
            strikes.append((event.note, math.floor(clock / 0.05 + 0.5)))
    roll = midi.read(path, seconds_per_frame=0.05)
    assert all(roll[frame, note - 21] for note, frame in strikes)
    assert len(roll) == math.floor(143.41461586875 / 0.05 + 0.5)


@needs_data
def test_maestro_is_read_on_a_grid_of_seconds():
    path = AWKWARD / "maestro_Chamber3_10_R3_2018.midi"
    score = midi.parse(path)
    assert len(score.notes) == 4197
    assert score.ticks_per_beat == 384
    roll = midi.read(path, seconds_per_frame=0.02)
    end = score.seconds(score.notes["end"]).max()
    assert end == pytest.approx(698.661458333)
    assert len(roll) == round(end / 0.02)
    # The cells sound as long as the keys are down: the 13165 pedal events prolong nothing.
    keys_down = sum(score.seconds(score.notes["end"]) - score.seconds(score.notes["start"]))
    assert roll.sum() * 0.02 == pytest.approx(keys_down, rel=0.01)


@needs_data
@coarse
def test_mendelssohn_note_offs_without_a_note_are_ignored():
    assert len(midi.parse(AWKWARD / "mendel_op62_3.mid").notes) == 1007
    assert midi.read(AWKWARD / "mendel_op62_3.mid").shape == (784, 88)


@needs_data
def test_nottingham_tempo_changes_and_format_0():
    changing = midi.parse(AWKWARD / "morris_simple_chords_2.mid")
    assert len(changing.notes) == 862
    # Of the two tempi at tick 0, 500 000 and 333 333, the later in the file counts.
    assert changing.tempo.tolist() == [
        [0, 333_333], [31_200, 444_444], [36_960, 444_444], [60_000, 333_333], [75_360, 333_333]
    ]  # fmt: skip
    single = midi.parse(AWKWARD / "morris_simple_chords_3.mid")
    assert len(single.notes) == 113
    assert set(single.notes["track"].tolist()) == {0}


@needs_data
@pytest.mark.parametrize(
    ("name", "count"),
    [("test-all-gm-percussion.mid", 183), ("groove_1_funk-groove1_138_beat_4-4.mid", 410)],
)
@coarse
def test_drums_alone_are_refused_unless_asked_for(name, count):
    with pytest.raises(MidiError, match=rf"{name}: all {count} notes are drums.*drums=True .*--set data\.drums=true"):
        midi.read(AWKWARD / name)
    roll = midi.read(AWKWARD / name, drums=True)
    assert len(midi.parse(AWKWARD / name).notes) == count
    if count == 183:  # every drum alone for a beat and a half
        assert roll.shape == (1098, 88)
        assert (roll.sum(1) == 1).all()
    else:  # 64 beats, played by hand; 19 notes are struck again before their note-off, in one tick
        assert roll.shape == (256, 88)
        notes = midi.parse(AWKWARD / name).notes
        ends = set(zip(notes["pitch"].tolist(), notes["end"].tolist(), strict=True))
        assert sum((n["pitch"], n["start"]) in ends for n in notes) == 19


@needs_data
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test-empty-file.mid", r"the file is empty \(0 bytes\)"),
        ("test-not-a-midi-file.mid", "not a MIDI file: it starts with b'not ', .* b'MThd'"),
        ("test-empty.mid", "holds no note"),
    ],
)
def test_files_without_music_are_refused_with_the_reason(name, message):
    with pytest.raises(MidiError, match=f"{name}: {message}"):
        midi.read(AWKWARD / name)


@needs_data
def test_no_awkward_file_is_without_a_test():
    source = Path(__file__).read_text()
    assert [p.name for p in AWKWARD.glob("*.mid*") if p.name not in source] == []


# ---- reading: the rules, one by one, on files made by hand


@coarse
def test_rounding_is_half_up_and_no_note_is_lost(save):
    track = (
        on(0, 60) + off(2, 60)  # ticks 0-2 of 8 per beat, 2 steps per beat: 0 to a half, up: 0-1
        + on(0, 61) + off(4, 61)  # from a half, up: 1, to one and a half, up: 2
        + on(0, 62) + off(1, 62)  # 6-7: 2 to 2, shorter than a frame: one
        + on(0, 63) + off(0, 63)  # zero length at 7, nearest 2: one frame
        + on(4, 64) + off(1, 64)  # 11-12: 3 to 3: one
        + END
    )  # fmt: skip
    roll = midi.read(save(smf(track, division=8)), steps_per_beat=2)
    assert sounding(roll) == {60: [0], 61: [1], 62: [2], 63: [2], 64: [3]}
    assert roll.dtype == np.uint8
    assert roll.shape == (4, 88)


def test_silence_leads_but_does_not_trail(save):
    roll = midi.read(save(smf(on(3, 60) + off(2, 60) + meta(50, 0x2F))))
    assert sounding(roll) == {60: [3, 4]}
    assert len(roll) == 5


def test_note_on_of_velocity_0_and_running_status_end_notes(save):
    track = on(0, 60) + number(2) + bytes([60, 0]) + number(0) + bytes([62, 9, 1, 62, 0]) + END
    assert sounding(midi.read(save(smf(track)))) == {60: [0, 1], 62: [2]}


def test_running_status_outlives_meta_and_system_exclusive_events(save):
    sysex = number(1) + b"\xf0" + number(3) + b"\x01\x02\xf7"
    track = on(0, 60) + meta(1, 0x01, b"hm") + sysex + number(1) + bytes([60, 0]) + END
    assert sounding(midi.read(save(smf(track)))) == {60: [0, 1, 2]}


@pytest.mark.parametrize(
    ("track", "spans", "frames"),
    [
        # struck again: one end for both
        (on(0, 60) + on(2, 60) + off(2, 60), [(0, 4), (2, 4)], [0, 1, 2, 3]),
        # struck again, and the first's own note-off comes after, at the same tick
        (on(0, 60) + on(2, 60) + off(0, 60) + off(2, 60), [(0, 2), (2, 4)], [0, 1, 2, 3]),
        # a second note-off finds nothing to end
        (on(0, 60) + on(1, 60) + off(1, 60) + off(2, 60), [(0, 2), (1, 2)], [0, 1]),
        # zero length
        (on(3, 60) + off(0, 60), [(3, 3)], [3]),
        # a note-off without a note
        (off(1, 60) + on(0, 60) + off(1, 60), [(1, 2)], [1]),
    ],
)
def test_pairing_of_note_on_and_note_off(save, track, spans, frames):
    path = save(smf(track + END))
    score = midi.parse(path)
    assert sorted(score.notes[["start", "end"]].tolist()) == spans
    assert sounding(midi.read(path)) == {60: frames}


def test_channels_and_tracks_do_not_end_each_others_notes(save):
    first = on(0, 60) + on(0, 60, channel=1) + off(1, 60, channel=1) + off(5, 60)
    second = on(2, 60) + off(1, 60)
    score = midi.parse(save(smf(first + END, second + END)))
    spans = {(n["track"], n["channel"], n["start"], n["end"]) for n in score.notes}
    assert spans == {(0, 0, 0, 6), (0, 1, 0, 1), (1, 0, 2, 3)}


def test_note_never_ended_is_dropped_with_a_warning(save):
    path = save(smf(on(0, 60) + on(0, 62) + off(2, 62) + END))
    with pytest.warns(UserWarning, match=r"made.mid: dropped 1 note\(s\) that the file never ends"):
        roll = midi.read(path)
    assert sounding(roll) == {62: [0, 1]}


def test_notes_out_of_range(save):
    path = save(smf(on(0, 12) + on(0, 60) + on(0, 120) + off(1, 12) + off(0, 60) + off(4, 120)))
    with pytest.warns(UserWarning, match="dropped 2 of 3 notes, out of range.* 12 to 120") as seen:
        roll = midi.read(path)
    assert len(seen) == 1
    assert sounding(roll) == {60: [0]}
    assert len(roll) == 1  # the dropped note's time is trailing silence
    assert sounding(midi.read(path, low=12, high=120), 12) == {12: [0], 60: [0], 120: [*range(5)]}
    with pytest.raises(MidiError, match=r"made.mid: all 3 notes are out of range.*12 to 120"):
        midi.read(path, low=40, high=50)


def test_drums_are_ignored_beside_notes(save):
    path = save(smf(on(0, 36, channel=9) + on(0, 60) + off(1, 60) + off(1, 36, channel=9) + END))
    assert sounding(midi.read(path)) == {60: [0]}
    assert sounding(midi.read(path, drums=True)) == {36: [0, 1], 60: [0]}


@pytest.mark.parametrize(
    "text",
    ["Präludium".encode("latin-1"), "Präludium €".encode(), "春の海".encode("shift-jis"),
     b"two\0NULs\0", bytes(range(128, 256))],
)  # fmt: skip
def test_text_in_any_encoding(save, text):
    track = b"".join(meta(0, kind, text) for kind in range(1, 10)) + on(0, 60) + off(1, 60) + END
    assert sounding(midi.read(save(smf(track)))) == {60: [0]}


def test_time_before_an_unknown_meta_event_counts(save):
    """mido 1.3.3 forgets it, and with it pretty_midi: every later note comes too early."""
    path = save(smf(on(0, 60) + meta(3, 0x0A, b"?") + off(1, 60) + END))
    assert sounding(midi.read(path)) == {60: [0, 1, 2, 3]}


def test_malformed_key_signature_and_foreign_chunks_are_skipped(save):
    track = meta(0, 0x59, b"\x63\x07") + meta(0, 0x51, b"\x07") + on(0, 60) + off(1, 60) + END
    data = smf(track)
    data = data[:14] + chunk(b"XFIH", b"not a track") + data[14:] + b"\x2a"
    assert sounding(midi.read(save(data))) == {60: [0]}


def test_tracks_that_take_others_for_text_are_read_once(save, monkeypatch):
    """Each text hides the next chunk. Looking for the end of every track in all others would take hours."""
    hiding = chunk(b"MTrk", b"\x00\xff\x01\x12") + chunk(b"Junk", b"\x00\xff\x01\x12")
    tracks = on(0, 60) + off(1, 60) + END
    n = 500
    data = smf(tracks, n_tracks=n + 1)
    scanned = []
    scan = midi_bytes._scan
    monkeypatch.setattr(
        midi_bytes, "_scan", lambda path, track, data: scanned.append(len(data)) or scan(path, track, data)
    )
    with pytest.raises(MidiError, match="ends within an event"):
        midi.read(save(data[:14] + hiding * n + data[14:]))
    assert 0 < sum(scanned) < 3 * n * len(hiding)


def test_track_without_end_of_track_and_longer_header(save):
    data = smf(on(0, 60) + off(1, 60))
    longer = data[:4] + struct.pack(">L", 8) + data[8:14] + b"\0\0" + data[14:]
    assert sounding(midi.read(save(longer))) == {60: [0]}


def test_velocity_beyond_127_is_clipped(save):
    score = midi.parse(save(smf(on(0, 60, 200) + off(1, 60) + END)))
    assert score.notes["velocity"].tolist() == [127]


def test_tempo_map(save):
    # 4 ticks a beat: 1 s a beat for 2 beats, then half a second; the later of two at one tick wins
    conductor = tempo(0, 1_000_000) + tempo(8, 300_000) + END
    second = tempo(8, 500_000) + on(0, 60) + off(8, 60) + END
    path = save(smf(conductor, second))
    score = midi.parse(path)
    assert score.tempo.tolist() == [[0, 1_000_000], [8, 500_000]]
    np.testing.assert_array_equal(score.seconds([0, 4, 8, 12, 16]), [0, 1, 2, 2.5, 3])
    assert score.beats_per_minute() == 60 * 4 / 3
    assert sounding(midi.read(path)) == {60: [*range(8, 16)]}
    assert sounding(midi.read(path, seconds_per_frame=0.25)) == {60: [8, 9, 10, 11]}


def test_tempo_of_zero(save):
    path = save(smf(tempo(0, 0) + on(0, 60) + off(1, 60) + END))
    assert sounding(midi.read(path)) == {60: [0]}
    with pytest.raises(MidiError, match=r"tempo of 0 .*read it with steps_per_beat"):
        midi.read(path, seconds_per_frame=0.1)


GOOD = smf(on(0, 60) + off(1, 60) + END)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"MThd\0\0\0\6", r"ends within the MIDI header \(8 bytes\)"),
        (b"RIFF" + bytes(20), "not a MIDI file: it starts with b'RIFF'"),
        (smf(END, kind=2), "MIDI format 2, expected 0 or 1.*separate file"),
        (smf(END, kind=7), "MIDI format 7, expected 0 or 1"),
        (smf(END, division=0xE728), r"SMPTE frames \(division 0xe728\).*480 ticks per quarter"),
        (smf(END, division=0), "0 ticks per beat, expected 1 to 32767"),
        (smf(), "holds no note"),
        (
            smf(END, n_tracks=3) + chunk(b"MTrk", END)[:-1],
            r"truncated: the header promises 3 track\(s\).*after 1 whole",
        ),
        (b"MThd\0\0\0\6\0\1\0\2\0\4", r"truncated: the header promises 2 track\(s\).*has none"),
        (GOOD[:18], "truncated: .* ends after 0 whole"),
        (GOOD[:-1], "truncated: .* ends after 0 whole"),
        (smf(on(0, 60)[:-1]), r"track 1 ends within an event, after 3 bytes \(tick 0\)"),
        (smf(meta(5, 0x01, b"text")[:-1]), "track 1 ends within an event"),
        (smf(END, b"\xff\xff\xff\xff\x7f" + END), "track 2 has a number of more than 4 bytes"),
        (smf(b"\0\x40\x40"), r"undefined event \(status 0x00\)"),
        (smf(b"\0\xf4\x40"), r"undefined event \(status 0xf4\)"),
        (smf(on(0, 200) + END), "note number of 200 at tick 0, but they end at 127"),
        (
            smf(on(0, 60) + off(0x0FFFFFFF, 60) + END),
            "roll of 268435455 frames .*, expected at most 1000000 frames",
        ),
        (
            smf(b"".join(on(0x0FFFFFFF, 60) + off(1, 60) for _ in range(99)) + END, division=1),
            "roll of .* frames .* cells., expected at most 1000000 frames",
        ),
    ],
)
def test_damaged_and_unusual_files_name_the_file_and_the_fault(save, data, message):
    with pytest.raises(MidiError, match=rf"made\.mid: .*{message}"):
        midi.read(save(data))


def test_long_file_on_a_fine_grid_of_seconds_is_refused(save):
    path = save(smf(on(0, 60) + off(0x0FFFFFFF, 60) + END))
    with pytest.raises(MidiError, match="expected at most 1000000 frames; use a coarser grid"):
        midi.read(path, seconds_per_frame=1e-300)


# ---- files that lie about counts and lengths, and what does not belong into a file

TRACKS = (
    on(0, 60) + off(480, 60) + on(0, 62) + off(480, 62) + END,
    on(0, 48) + off(480, 48) + on(0, 50) + off(480, 50) + END,
)
BOTH = {60: [0], 62: [1], 48: [0], 50: [1]}


def two(lie: int = 0, n_tracks: int = 2, between: bytes = b"") -> bytes:
    """A file of two tracks, the first of which says that it is so much longer than it is."""
    first, second = (chunk(b"MTrk", track) for track in TRACKS)
    first = first[:4] + struct.pack(">L", len(TRACKS[0]) + lie) + TRACKS[0]
    return smf(division=480, n_tracks=n_tracks) + first + between + second


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (two(n_tracks=1), r"promises 1 track\(s\), the file has 2"),
        (two(n_tracks=3), r"promises 3 track\(s\), the file has 2"),
        (two(n_tracks=0), r"promises 0 track\(s\), the file has 2"),
        (two(n_tracks=3, between=chunk(b"XFIH", b"abcd")), r"promises 3 track\(s\), the file has 2"),
        (two(3), "says that it has 25 bytes, but ends after 22"),
        (two(-4), "says that it has 18 bytes, but ends after 22"),
        (two(-22), "says that it has 0 bytes, but ends after 22"),
        (two(10**9), "says that it has 1000000022 bytes, but ends after 22"),
    ],
)
def test_a_wrong_count_or_length_is_a_warning(save, data, message):
    with pytest.warns(UserWarning, match=rf"made\.mid: .*{message}"):
        roll = midi.read(save(data), steps_per_beat=1)
    assert sounding(roll) == BOTH


@pytest.mark.filterwarnings("ignore:.*it is read whole")
def test_what_is_not_certain_is_refused(save):
    for data in (two(3)[:-1], two(3).replace(END, b"", 1), two()[:40], two(n_tracks=2)[:-3]):
        with pytest.raises(MidiError, match=r"made\.mid"):
            midi.read(save(data))


def test_bytes_after_the_last_track_are_no_track(save):
    for rest in (b"\0", bytes(20), b"MTrk", b"TAG\0" * 32, chunk(b"MTrk", TRACKS[0])[:-2]):
        assert sounding(midi.read(save(two() + rest), steps_per_beat=1)) == BOTH
    assert sounding(midi.read(save(two() + chunk(b"INFO", b"after")), steps_per_beat=1)) == BOTH


@pytest.mark.parametrize("message", [b"\xf8", b"\xfe", b"\xfa", b"\xf6", b"\xf1\x10", b"\xf2\x10\x20", b"\xf3\x05"])
def test_messages_for_instruments_are_skipped(save, message):
    track = (
        b"\0" + message + on(0, 60) + off(4, 60) + number(4) + message + b"\0\x80\x3e\0" + on(0, 62) + off(4, 62) + END
    )
    with pytest.warns(UserWarning, match=r"track 1 holds 2 message\(s\) for instruments"):
        assert sounding(midi.read(save(smf(track)), steps_per_beat=1)) == {60: [0], 62: [2]}


def test_running_status_outlives_messages_for_instruments(save):
    track = (
        on(0, 60) + number(4) + b"\x3c\0" + number(0) + b"\xf8" + number(0) + b"\x3e\x40" + number(4) + b"\x3e\0" + END
    )
    with pytest.warns(UserWarning, match="for instruments"):
        assert sounding(midi.read(save(smf(track)), steps_per_beat=1)) == {60: [0], 62: [1]}


def control(delta: int, number_: int, value: int, channel: int = 0) -> bytes:
    return number(delta) + bytes([0xB0 | channel, number_, value])


def test_the_sustain_pedal_is_an_option(save):
    notes = b"".join(on(0, note) + off(480, note) for note in (60, 64, 67))
    path = save(smf(control(0, 64, 127) + notes + control(480, 64, 0) + END, division=480))
    assert sounding(midi.read(path, steps_per_beat=1)) == {60: [0], 64: [1], 67: [2]}
    sustained = {60: [0, 1, 2, 3], 64: [1, 2, 3], 67: [2, 3]}
    assert sounding(midi.read(path, steps_per_beat=1, pedal=True)) == sustained
    with pytest.raises(ValueError, match="published"):
        midi.read(path, rule="published", pedal=True)


@pytest.mark.parametrize(
    ("track", "expected"),
    [
        (control(0, 64, 63) + on(0, 60) + off(4, 60) + END, {60: [0]}),  # below 64 it is up
        (control(0, 64, 64) + on(0, 60) + off(4, 60) + meta(8, 0x2F), {60: [0, 1, 2]}),  # it never comes up
        (control(0, 64, 99, channel=1) + on(0, 60) + off(4, 60) + control(8, 64, 0, channel=1) + END, {60: [0]}),
        (control(0, 64, 99) + on(0, 60) + off(4, 60) + control(0, 64, 0) + control(8, 64, 9) + END, {60: [0]}),
        (control(0, 66, 99) + on(0, 60) + off(4, 60) + control(8, 66, 0) + END, {60: [0]}),  # another pedal
        (on(0, 60) + control(2, 64, 99) + off(2, 60) + control(4, 64, 99) + control(4, 64, 0) + END, {60: [0, 1, 2]}),
        # a key struck again while it sounds on, and a pedal that goes down too late
        (
            control(0, 64, 99) + on(0, 60) + off(4, 60) + on(4, 60) + off(4, 60) + control(4, 64, 0) + END,
            {60: [0, 1, 2, 3]},
        ),
        (on(0, 60) + off(4, 60) + control(1, 64, 99) + control(8, 64, 0) + END, {60: [0]}),
    ],
)
def test_a_pedal_holds_the_keys_of_its_channel_until_it_comes_up(save, track, expected):
    assert sounding(midi.read(save(smf(track)), steps_per_beat=1, pedal=True)) == expected


def test_a_note_of_an_absurd_length_is_a_warning(save):
    path = save(smf(on(0, 60) + off(4, 60) + on(0, 65) + off(0x0FFFFFFF // 200, 65) + END))
    with pytest.warns(UserWarning, match=r"made\.mid: note 65 lasts \d+ beats; the file may be damaged"):
        assert len(midi.read(path, steps_per_beat=1)) == 1 + round(0x0FFFFFFF // 200 / 4)


# ---- small files that would take hours, or all memory


def test_many_long_notes_of_one_pitch_take_no_longer_than_one(save):
    data = smf(b"".join(on(0, 60) for _ in range(3000)) + off(4 * 240_000, 60) + END)
    assert len(data) < 15_000
    with pytest.warns(UserWarning, match="240000 beats"):
        roll = midi.read(save(data))  # 3 000 x 960 000 cells, one by one
    assert roll.shape == (960_000, 88)
    assert roll[:, 39].all()
    assert roll.sum() == 960_000


@given(st.lists(st.tuples(st.integers(60, 62), st.integers(0, 20), st.integers(0, 8)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_overlapping_notes_are_the_union_of_each(tmp_path_factory, notes):
    """Every note in a track of its own, so that none ends another."""
    path = tmp_path_factory.mktemp("union") / "made.mid"
    path.write_bytes(smf(*(on(start, pitch) + off(length, pitch) + END for pitch, start, length in notes)))
    expected = np.zeros((max(start + max(length, 1) for _, start, length in notes), 88), np.uint8)
    for pitch, start, length in notes:
        expected[start : start + max(length, 1), pitch - 21] = 1
    np.testing.assert_array_equal(midi.read(path), expected)


@pytest.mark.parametrize("options", [{}, {"seconds_per_frame": 0.1}, {"steps_per_beat": 32767}, {"rule": "published"}])
def test_times_beyond_64_bits_are_refused(tmp_path, options):
    track = tempo(0, 2**24 - 1) + b"".join(on(0x0FFFFFFF, 60) + off(0x0FFFFFFF, 60) for _ in range(1500)) + END
    (tmp_path / "huge.mid").write_bytes(smf(track, division=1))
    with pytest.raises(MidiError, match=r"huge\.mid: track 1 lasts \d+ ticks or more, expected at most 137438953472"):
        midi.read(tmp_path / "huge.mid", **options)


def test_the_last_tick_that_is_read_has_a_time(save):
    track = tempo(0, 2**24 - 1) + b"".join(on(0x0FFFFFFF, 60) + off(0x0FFFFFFF, 60) for _ in range(256)) + END
    score = midi.parse(save(smf(track, division=1)))
    assert score.end == 512 * 0x0FFFFFFF
    assert score.seconds([score.end])[0] == pytest.approx(score.end * (2**24 - 1) / 1e6)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.mid"):
        midi.read(tmp_path / "nothing.mid")
    with pytest.raises(OSError, match=tmp_path.name):
        midi.read(tmp_path)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 255))
def test_any_bytes_are_read_or_refused(tmp_path_factory, junk, position, byte):
    path = tmp_path_factory.getbasetemp() / "junk.mid"
    good = smf(tempo(0, 1), on(0, 60) + meta(1, 3, b"x") + off(1, 60) + END)
    for data in (junk, smf(junk), good[:position] + bytes([byte]) + good[position + 1 :]):
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # dropped notes
            try:
                roll = midi.read(path)
            except MidiError as error:
                refused = str(error)
            else:
                refused = ""
                assert roll[-1].any()
                assert roll.shape[1] == 88
            assert refused == "" or str(path) in refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps_per_beat": 4, "seconds_per_frame": 0.1}, "give one of the two"),
        ({"steps_per_beat": 0}, "steps_per_beat=0: expected a whole number"),
        ({"steps_per_beat": 1.5}, "steps_per_beat=1.5: expected a whole number"),
        ({"seconds_per_frame": 0.0}, "seconds_per_frame=0.0: expected a positive number"),
        ({"seconds_per_frame": math.nan}, "seconds_per_frame=nan: expected a positive"),
        ({"low": 60, "high": 59}, "low=60 and high=59: expected 0 <= low <= high <= 127"),
        ({"high": 128}, "high=128"),
    ],
)
def test_read_refuses_wrong_arguments(save, options, message):
    with pytest.raises(ValueError, match=message):
        midi.read(save(GOOD), **options)


# ---- the published rule, on files of 4 ticks per beat: 2 ticks are a frame


def published_cells(save, *events: bytes, division: int = 4) -> tuple[int, dict[int, list[int]]]:
    roll = midi.read(save(smf(b"".join(events) + END, division=division)), rule="published")
    return len(roll), sounding(roll)


def test_published_rule_leaves_out_the_first_frame(save):
    assert published_cells(save, on(0, 60), off(8, 60)) == (3, {60: [0, 1, 2]})
    assert published_cells(save, on(4, 60), off(4, 60)) == (3, {60: [1, 2]})
    assert published_cells(save, on(0, 60), off(800, 60), division=400) == (3, {60: [0, 1, 2]})
    assert published_cells(save, on(1, 60), off(4, 60)) == (2, {60: [0, 1]})  # halves go up: 1 to 3


def test_published_rule_keeps_the_last_strike_of_a_note(save):
    assert published_cells(save, on(2, 60), on(4, 60), off(4, 60)) == (4, {60: [2, 3]})
    # Struck again and let go at one tick: neither note is left, and the next note-off finds nothing.
    assert published_cells(save, on(2, 60), on(4, 60), off(0, 60), off(4, 60), on(0, 64), off(2, 64)) == (
        5, {64: [4]}
    )  # fmt: skip
    # of another channel, it is another note
    assert published_cells(save, on(2, 60), on(4, 60, channel=1), off(4, 60), off(0, 60, channel=1)) == (
        4, {60: [0, 1, 2, 3]}
    )  # fmt: skip


def test_published_rule_gives_short_notes_no_frame_but_counts_their_end(save):
    assert published_cells(save, on(2, 60), off(2, 60), on(6, 64), off(0, 64)) == (4, {60: [0]})


def test_published_rule_reads_channel_10_and_keeps_the_range(save):
    assert published_cells(save, on(2, 60, channel=9), off(2, 60, channel=9)) == (1, {60: [0]})
    path = save(smf(on(2, 10) + off(2, 10) + on(0, 60) + off(2, 60) + END))
    with pytest.warns(UserWarning, match="dropped 1 of 2 notes, out of range"):
        assert sounding(midi.read(path, rule="published")) == {60: [1]}


@pytest.mark.parametrize("events", [on(0, 60) + off(2, 60), on(4, 60) + off(0, 60), on(0, 60) + off(0, 60)])
def test_published_rule_refuses_what_it_leaves_silent(save, events):
    with pytest.raises(MidiError, match=r"made.mid: no note sounds with the rule 'published'"):
        midi.read(save(smf(events + END)), rule="published")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "new"}, "rule='new': expected one of 'sounding', 'published'"),
        ({"rule": "published", "steps_per_beat": 2}, "rule='published' and steps_per_beat=2: .*leave one of them out"),
        ({"rule": "published", "seconds_per_frame": 0.1}, "rule='published' and seconds_per_frame=0.1"),
        ({"rule": "published", "drums": True}, "rule='published' and drums=True"),
    ],
)
def test_the_rule_has_its_own_grid(save, options, message):
    with pytest.raises(ValueError, match=message):
        midi.read(save(GOOD), **options)


# ---- writing


def trimmed(roll: np.ndarray) -> np.ndarray:
    return roll[: 1 + np.flatnonzero(roll.any(1))[-1]]


rolls = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 12)), elements=st.integers(0, 1)).filter(
    lambda roll: roll.any()
)


@settings(max_examples=200, deadline=None)
@given(
    roll=rolls,
    steps=st.sampled_from([1, 2, 3, 4, 7, 12, 1000]),
    tempo=st.sampled_from([3.6, 61.7, 120.0, 333.3, 1e6]),
    low=st.integers(0, 116),
    legato=st.booleans(),
    restrike=st.integers(1, 5),
)
def test_read_gives_back_what_was_written(tmp_path_factory, roll, steps, tempo, low, legato, restrike):
    path = tmp_path_factory.getbasetemp() / "roundtrip.mid"
    midi.write(path, roll, low=low, steps_per_beat=steps, tempo=tempo, legato=legato, restrike=restrike)
    back = midi.read(path, low=low, high=low + roll.shape[1] - 1, steps_per_beat=steps)
    np.testing.assert_array_equal(back, trimmed(roll))
    score = midi.parse(path)
    assert score.beats_per_minute() == pytest.approx(tempo, rel=1e-9 + tempo / 1e8)
    assert score.end == len(roll) * score.ticks_per_beat // steps


@settings(max_examples=200, deadline=None)
@given(
    roll=rolls,
    seconds=st.sampled_from([0.0025, 0.01, 1 / 3, 0.1, 2.5]),
    tempo=st.sampled_from([61.7, 120.0, 333.3]),
    legato=st.booleans(),
)
def test_round_trip_on_a_grid_of_seconds(tmp_path_factory, roll, seconds, tempo, legato):
    path = tmp_path_factory.getbasetemp() / "roundtrip.mid"
    midi.write(path, roll, low=50, seconds_per_frame=seconds, tempo=tempo, legato=legato)
    back = midi.read(path, low=50, high=49 + roll.shape[1], seconds_per_frame=seconds)
    np.testing.assert_array_equal(back, trimmed(roll))


@pytest.mark.parametrize("tempo", [40.0, 97.0, 120.0, 250.0])
def test_tempo_velocity_and_program_are_kept(tmp_path, tempo):
    midi.write(tmp_path / "a.mid", np.eye(88), tempo=tempo, velocity=33, program=19)
    theirs = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid"))
    times, tempi = theirs.get_tempo_changes()
    assert times.tolist() == [0.0]
    np.testing.assert_allclose(tempi, [tempo], rtol=1e-5)
    assert [i.program for i in theirs.instruments] == [19]
    assert {n.velocity for n in theirs.instruments[0].notes} == {33}
    assert theirs.get_end_time() == pytest.approx(88 / 4 * 60 / tempo, rel=1e-5)


def spans(path: Path) -> list[tuple[int, float, float]]:
    """Note number, start and end in frames of 4 a beat, as pretty_midi reads them."""
    theirs = pretty_midi.PrettyMIDI(str(path))
    return sorted((n.pitch, n.start * 8, n.end * 8) for n in theirs.instruments[0].notes)


def test_legato_and_restrike(tmp_path):
    roll = np.zeros((8, 3), int)
    roll[1:6, 0] = 1
    roll[[0, 7], 2] = 1
    path = tmp_path / "a.mid"
    ends = [(62, 0, 1), (62, 7, 8)]
    midi.write(path, roll, low=60)
    assert spans(path) == [(60, 1, 6), *ends]
    midi.write(path, roll, low=60, legato=False)
    assert spans(path) == [(60, t, t + 1) for t in range(1, 6)] + ends
    # A key is let go before it is struck again: most synthesizers would else cut the new note.
    strikes = [e.type for e in mido.MidiFile(path).tracks[0] if getattr(e, "note", None) == 60]
    assert strikes == ["note_on", "note_off"] * 5
    midi.write(path, roll, low=60, legato=False, restrike=4)  # on the beat, wherever it began
    assert spans(path) == [(60, 1, 4), (60, 4, 6), *ends]


def test_silence_keeps_its_length_in_the_file(tmp_path):
    path = tmp_path / "a.mid"
    midi.write(path, np.zeros((10, 88)), steps_per_beat=2, tempo=60)
    assert mido.MidiFile(path).length == pytest.approx(5.0)
    score = midi.parse(path)
    assert (score.end, score.ticks_per_beat) == (5 * 480, 480)
    with pytest.raises(MidiError, match="holds no note"):
        midi.read(path)


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.mid"
    midi.write(path, np.eye(4))
    before = path.read_bytes()

    def full(self, filename):
        Path(filename).write_bytes(b"MThd")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mido.MidiFile, "save", full)
    with pytest.raises(OSError, match="No space left"):
        midi.write(path, np.eye(5))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.mid"]


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere' does not exist; create it"):
        midi.write(tmp_path / "nowhere" / "a.mid", np.eye(4))


@pytest.mark.parametrize(
    ("roll", "options"),
    [
        (np.full((4, 4), 0.5), {}),
        (np.full((4, 4), np.nan), {}),
        (np.full((4, 4), 2), {}),
        (-np.eye(4), {}),
        (np.zeros(4), {}),
        (np.zeros((1, 4, 4)), {}),
        (np.zeros((0, 88)), {}),
        (np.eye(4), {"low": 125}),
        (np.eye(4), {"low": -1}),
        (np.eye(4), {"tempo": 0}),
        (np.eye(4), {"tempo": 3}),
        (np.eye(4), {"tempo": math.nan}),
        (np.eye(4), {"tempo": 1e9}),
        (np.eye(4), {"velocity": 0}),
        (np.eye(4), {"program": 128}),
        (np.eye(4), {"legato": False, "restrike": 0}),
        (np.eye(4), {"seconds_per_frame": 0.0001}),
        (np.eye(4), {"seconds_per_frame": 0.1, "steps_per_beat": 4}),
        (np.eye(4), {"steps_per_beat": 40_000}),
    ],
)
def test_write_refuses_what_it_cannot_write(tmp_path, roll, options):
    with pytest.raises(ValueError, match=r"\w"):
        midi.write(tmp_path / "a.mid", roll, **options)
    assert os.listdir(tmp_path) == []


def test_import_loads_nothing_heavy():
    heavy = {"pretty_midi", "mido", "scipy", "matplotlib", "pytensor", "jax"}
    code = f"import sys, rnnrbm.io.midi; print(*{heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_note_after_a_silence_longer_than_a_delta_can_be(tmp_path):
    roll = np.zeros((600_001, 2), np.uint8)
    roll[-1, 1] = 1
    midi.write(tmp_path / "late.mid", roll, low=60, steps_per_beat=1)
    back = midi.read(tmp_path / "late.mid", steps_per_beat=1, low=60, high=61)
    np.testing.assert_array_equal(back, roll)
    assert mido.MidiFile(tmp_path / "late.mid").tracks[0][-1].type == "end_of_track"


def test_no_roll_is_written_that_is_too_long_to_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_FRAMES", 10)
    midi.write(tmp_path / "ten.mid", np.ones((10, 1), np.uint8))
    assert len(midi.read(tmp_path / "ten.mid")) == 10
    with pytest.raises(ValueError, match="a roll of 11 frames, expected at most 10"):
        midi.write(tmp_path / "eleven.mid", np.ones((11, 1), np.uint8))
    assert not (tmp_path / "eleven.mid").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"low": 60.7},
        {"low": "60"},
        {"low": True},
        {"restrike": 1.5},
        {"velocity": 64.5},
        {"program": 0.5},
        {"steps_per_beat": 2.5},
        {"steps_per_beat": float("nan")},
    ],
)
def test_numbers_that_are_not_whole_are_refused(tmp_path, options):
    (name,) = options
    with pytest.raises((ValueError, TypeError), match=f"^{name}=.*expected a whole number"):
        midi.write(tmp_path / "a.mid", np.ones((4, 2), np.uint8), **options)
    assert not (tmp_path / "a.mid").exists()


@pytest.mark.parametrize("options", [{"low": 20.5}, {"high": 99.9}, {"steps_per_beat": 0.5}, {"low": "a"}])
def test_numbers_to_read_by_are_whole(save, options):
    (name,) = options
    with pytest.raises((ValueError, TypeError), match=f"^{name}=.*expected a whole number"):
        midi.read(save(two()), **options)


# --- files that would take long ---------------------------------------------------------------------


def test_many_tracks_make_few_warnings(save):
    """One of each kind for a file, not one for each of a thousand tracks."""
    noisy = on(0, 60) + number(0) + b"\xfe" + off(4, 60) + END
    data = bytearray(smf(*[noisy] * 1000))
    for at in [i for i in range(len(data)) if data[i : i + 4] == b"MTrk"]:
        data[at + 4 : at + 8] = (len(noisy) + 3).to_bytes(4, "big")
    path = save(bytes(data))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert len(midi.parse(path).notes) == 1000
    said = "\n".join(str(warning.message) for warning in seen)
    assert len(seen) == 2, said
    assert re.search(r"track 1 says that it has \d+ bytes.*; it is read whole; 999 other track\(s\) too", said)
    assert "track 1 holds 1 message(s)" in said
    assert "they are skipped; so are those of 999 other track(s)" in said
    assert {warning.filename for warning in seen} == {__file__}


def test_a_file_of_midi_has_a_limit(save, monkeypatch):
    path = save(smf(on(0, 60) + off(4, 60) + END))
    monkeypatch.setattr(limits, "MAX_MIDI_BYTES", 20)
    with pytest.raises(ValueError, match=r"has \d+ bytes, expected at most 20 of a MIDI file"):
        midi.parse(path)


def test_what_cannot_be_written_is_known_before_there_is_a_roll():
    midi.check_writing(10, steps_per_beat=2, tempo=100)
    for wrong, message in (
        ({"tempo": 1}, "tempo=1: expected beats per minute"),
        ({"seconds_per_frame": 1e-9}, "shorter than two ticks"),
        ({"steps_per_beat": 2, "seconds_per_frame": 1}, "give one of the two"),
    ):
        with pytest.raises(ValueError, match=message):
            midi.check_writing(10, **wrong)
    with pytest.raises(TypeError, match="tempo='x': expected beats per minute"):
        midi.check_writing(10, tempo="x")
    with pytest.raises(ValueError, match="a roll of 1000001 frames, expected at most 1000000"):
        midi.check_writing(10**6 + 1)


def test_a_track_that_claims_the_bytes_of_others_loses_none(save):
    first, second, third = (on(0, note) + off(4, note) + END for note in (60, 64, 67))
    data = bytearray(smf(first, second, third))
    at = data.index(b"MTrk")
    for claimed in (len(first) + 8 + len(second), len(data) - at - 8, len(first) + 5):
        data[at + 4 : at + 8] = claimed.to_bytes(4, "big")
        with pytest.warns(
            UserWarning, match=r"track 1 says that it has \d+ bytes, but ends after 12; it is read whole"
        ):
            assert sounding(midi.read(save(bytes(data)))) == {60: [0, 1, 2, 3], 64: [0, 1, 2, 3], 67: [0, 1, 2, 3]}


def test_what_follows_the_end_of_a_track_is_not_read_without_a_word(save):
    track = on(0, 60) + off(4, 60) + END
    path = save(smf(track + on(0, 64) + off(4, 64) + END))
    with pytest.warns(UserWarning, match=r"track 1 has 12 bytes after its end-of-track event; they are skipped"):
        assert sounding(midi.read(path)) == {60: [0, 1, 2, 3]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # padding says nothing
        midi.read(save(smf(track + bytes(5))))
