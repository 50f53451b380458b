"""Files of pypianoroll, written here as its versions 0.5 and 1.0 write them: what is read, and what is refused."""

import json
import zipfile

import numpy as np
import pytest
from helpers import assert_damage_is_named, refused, rnnrbm
from scipy.sparse import csc_matrix

from rnnrbm.datasets import load
from rnnrbm.io import midi, rolls
from rnnrbm.io.formats import load_roll, roll_layout, save_roll

N_FRAMES = 96


def track(notes, *, n_frames=N_FRAMES, dtype=np.uint8, velocity=90):
    """A roll of 128 notes from {note: its frames}."""
    roll = np.zeros((n_frames, 128), dtype)
    for note, frames in notes.items():
        roll[frames, note] = velocity
    return roll


TUNE = {60: range(24), 64: range(24, 48)}


def arrays_of(tracks, tempo=None):
    """The arrays of a file; each track's matrix is sparse, by columns."""
    arrays = {} if tempo is None else {"tempo": tempo, "downbeat": np.zeros(np.shape(tempo), bool)}
    for i, roll in enumerate(tracks):
        matrix = csc_matrix(roll)
        for part in ("data", "indices", "indptr", "shape"):
            arrays[f"pianoroll_{i}_csc_{part}"] = np.asarray(getattr(matrix, part))
    return arrays


def info_of(n_tracks, drums=(), **info):
    tracks = {str(i): {"program": 0, "is_drum": i in drums, "name": f"track {i}"} for i in range(n_tracks)}
    return {"resolution": 24, "name": None} | tracks | info


def write(path, arrays, info):
    """Write a file as the package does: compressed arrays, and a text put into the archive afterwards."""
    np.savez_compressed(path, **arrays)
    if info is not None:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("info.json", info if isinstance(info, bytes) else json.dumps(info))
    return path


@pytest.fixture
def tune(tmp_path):
    return write(tmp_path / "tune.npz", arrays_of([track(TUNE)], np.full((N_FRAMES, 1), 90.0)), info_of(1))


def sounding(roll, low=21):
    return {low + int(j): np.flatnonzero(roll[:, j]).tolist() for j in np.flatnonzero(roll.any(0))}


# --- reading


def test_a_file_of_version_1_is_read(tune):
    roll, metadata = load_roll(tune)
    assert sounding(roll) == {60: list(range(24)), 64: list(range(24, 48))}
    assert (roll.shape, roll.dtype) == ((N_FRAMES, 88), np.uint8)
    assert metadata == {"low": 21, "steps_per_beat": 24, "tempo": pytest.approx(90)}
    assert roll_layout(tune) == "pypianoroll"


def test_a_file_of_version_0_is_read(tmp_path):
    info = info_of(1, beat_resolution=12)
    del info["resolution"]
    arrays = arrays_of([track(TUNE, dtype=bool, velocity=True)], np.full(N_FRAMES, 72.0))
    for path in (
        write(tmp_path / "a.npz", arrays, info),
        # a program that has the arrays from the package may write the text as bytes in an array
        write(tmp_path / "b.npz", arrays | {"info.json": np.frombuffer(json.dumps(info).encode(), np.uint8)}, None),
    ):
        roll, metadata = load_roll(path, low=60, high=64)
        assert sounding(roll, 60) == {60: list(range(24)), 64: list(range(24, 48))}
        assert metadata == {"low": 60, "steps_per_beat": 12, "tempo": pytest.approx(72)}


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_all_pitched_tracks_become_one_roll(tmp_path, dtype):
    tracks = [
        track({60: [0, 1], 64: [1]}, dtype=dtype),
        track({36: [0, 5]}, dtype=dtype),
        track({64: [1, 2], 67: [6]}, n_frames=7, dtype=dtype),  # tracks may differ in length
        track({}, n_frames=0, dtype=dtype),
    ]
    path = write(tmp_path / "a.npz", arrays_of(tracks), info_of(4, drums=[1]))
    roll, metadata = load_roll(path)
    assert sounding(roll) == {60: [0, 1], 64: [1, 2], 67: [6]}
    assert len(roll) == N_FRAMES
    assert metadata == {"low": 21, "steps_per_beat": 24}  # it has no tempo
    assert sounding(load_roll(path, drums=True)[0]) == {36: [0, 5], 60: [0, 1], 64: [1, 2], 67: [6]}


def test_a_cell_of_velocity_0_is_silent(tmp_path):
    arrays = arrays_of([track(TUNE)])
    arrays["pianoroll_0_csc_data"][:23] = 0
    assert sounding(load_roll(write(tmp_path / "a.npz", arrays, info_of(1)))[0])[60] == [23]


def test_the_tempo_is_beats_by_time(tmp_path):
    """A beat at 60 and a beat at 120 beats a minute take 1.5 seconds together: 80 beats a minute."""
    for tempo, expected in [
        (np.repeat([60.0, 120.0], 24), 80),
        (np.repeat([60, 120], 24)[:, None], 80),
        (np.array([0.0, 120.0]), None),
        (np.array([np.nan, 120.0]), None),
        (np.array([1.0]), None),  # slower than a MIDI file can state
        (np.array(100.0), 100),
        (np.zeros(0), None),
    ]:
        found = load_roll(write(tmp_path / "a.npz", arrays_of([track(TUNE)], tempo), info_of(1)))[1].get("tempo")
        assert found == (None if expected is None else pytest.approx(expected))


def test_notes_out_of_range_are_dropped_with_a_warning(tmp_path, tune):
    path = write(tmp_path / "a.npz", arrays_of([track({12: [0], 60: [0, 1], 120: [3, 4]})]), info_of(1))
    with pytest.warns(
        UserWarning,
        match=r"a\.npz: dropped 3 of 5 sounding cells, out of range: note numbers 12 to 120, expected 21 to 108",
    ):
        assert sounding(load_roll(path)[0]) == {60: [0, 1]}
    assert sounding(load_roll(path, low=0, high=127)[0], 0) == {12: [0], 60: [0, 1], 120: [3, 4]}
    with pytest.raises(ValueError, match=r"tune\.npz: all 48 sounding cells are out of range: .* expected 70 to 80"):
        load_roll(tune, low=70, high=80)
    with pytest.raises(ValueError, match=r"low=90 and high=80"):
        load_roll(tune, low=90, high=80)


def test_it_is_no_data_set(tune):
    with pytest.raises(ValueError, match=r"tune\.npz: holds one piano-roll, not a data set of pieces.*rnnrbm convert"):
        load(tune)
    assert "tune.npz: holds one piano-roll, not a data set" in refused(
        "train", "--data", tune, "--out", tune.parent / "run"
    )


def test_only_such_a_file_has_options(tmp_path):
    save_roll(tmp_path / "a.npz", np.eye(3), low=60)
    assert roll_layout(tmp_path / "a.npz") == "rnnrbm"
    with pytest.raises(ValueError, match=r"a\.npz: low cannot be chosen for a piano-roll that says what it is"):
        load_roll(tmp_path / "a.npz", low=60)


# --- rnnrbm convert


def test_convert_writes_midi_at_its_tempo(tune):
    target = tune.with_suffix(".mid")
    rnnrbm("convert", tune, target)
    score = midi.parse(target)
    assert score.notes["pitch"].tolist() == [60, 64]
    assert (score.notes["start"] / score.ticks_per_beat).tolist() == [0, 1]
    assert (score.notes["end"] / score.ticks_per_beat).tolist() == [1, 2]
    assert score.beats_per_minute() == pytest.approx(90, rel=1e-5)
    np.testing.assert_array_equal(midi.read(target, steps_per_beat=24), load_roll(tune)[0][:48])


def test_convert_writes_a_roll_of_our_own(tune):
    target = tune.with_name("own.npz")
    rnnrbm("convert", tune, target, "--low", 60, "--high", 71, "--transpose", 2)
    roll, metadata = load_roll(target)
    assert sounding(roll, 60) == {62: list(range(24)), 66: list(range(24, 48))}
    assert metadata == {"low": 60, "steps_per_beat": 24, "tempo": pytest.approx(90)}
    assert roll_layout(target) == "rnnrbm"


def test_convert_reads_drums_if_told(tmp_path):
    path = write(tmp_path / "a.npz", arrays_of([track({36: [0, 24]})]), info_of(1, drums=[0]))
    assert "a.npz: all notes are in tracks of drums; read them with drums=True (rnnrbm convert --drums)" in refused(
        "convert", path, tmp_path / "a.mid"
    )
    rnnrbm("convert", path, tmp_path / "a.mid", "--drums")
    assert midi.parse(tmp_path / "a.mid").notes["pitch"].tolist() == [36, 36]


def test_convert_refuses_another_grid(tune):
    said = refused("convert", tune, tune.with_suffix(".mid"), "--steps-per-beat", 2, "--rule", "sounding", "--pedal")
    assert "tune.npz: --pedal, --rule, --steps-per-beat cannot be chosen for a piano-roll that says what it is" in said


# --- what is refused


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (None, r"has sparse piano-rolls of tracks but no info\.json; write the file again with pypianoroll"),
        (b"{", r"info\.json: is not JSON"),
        (b"\xff\xff", r"info\.json: is not JSON"),
        (b"[" * 100_000, r"info\.json: is not JSON"),
        ([24], r"info\.json: is a list; expected an object"),
        ({"0": {"is_drum": False}}, r"info\.json: has no resolution or beat_resolution, the frames in a beat"),
        (info_of(1, resolution=0), r"info\.json: resolution=0: expected a whole number, 1 to 32767 frames in a beat"),
        (info_of(1, resolution=1.5), r"info\.json: resolution=1\.5: expected a whole number"),
        (info_of(1, resolution="24"), r"info\.json: resolution='24': expected a whole number"),
        (info_of(1, resolution=True), r"info\.json: resolution=True: expected a whole number"),
        (info_of(2), r"info\.json: describes the tracks 0, 1, expected those of the arrays, 0; write"),
        (info_of(0), r"info\.json: describes the tracks none, expected those of the arrays, 0; write"),
        (info_of(1) | {"0": {"is_drum": 0}}, r"info\.json: is_drum of track 0 is 0; expected true or false"),
        (info_of(1) | {"0": {}}, r"info\.json: is_drum of track 0 is None"),
        (info_of(1) | {"0": None}, r"info\.json: is_drum of track 0 is None"),
    ],
)
def test_a_wrong_info_is_named(tmp_path, info, message):
    with pytest.raises(ValueError, match=rf"a\.npz(: |, ){message}"):
        load_roll(write(tmp_path / "a.npz", arrays_of([track(TUNE)]), info))


INDPTR = csc_matrix(track(TUNE)).indptr


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("shape", [96, 88], r"shape is \[96, 88\]; expected frames x 128 notes"),
        ("shape", [96], r"shape is \[96\]; expected frames x 128"),
        ("shape", [-1, 128], r"shape is \[-1, 128\]; expected frames"),
        ("shape", [96.0, 128.0], r"shape is an array of shape \(2,\) of float64; expected one dimension of whole"),
        ("shape", [10**7, 128], r"shape is \[10000000, 128\], expected at most 1000000 frames; leave.*MAX_FRAMES"),
        ("shape", [40, 128], r"indices has frames from 0 to 47; expected 0 to 39"),
        ("indices", np.arange(48) - 1, r"indices has frames from -1 to 46; expected 0 to 95"),
        ("indices", np.arange(47), r"data has 48 cells, .*indices 47, and .*indptr ends at 48; expected the same"),
        ("indices", np.arange(48.0), r"indices is an array of shape \(48,\) of float64"),
        ("indices", np.zeros((48, 1), int), r"indices is an array of shape \(48, 1\) of int64"),
        ("indptr", INDPTR[1:], r"indptr has 128 values from \[0\]; expected 129 from 0 on, none less"),
        ("indptr", [], r"indptr is an array of shape \(0,\) of float64"),
        ("indptr", INDPTR + 1, r"indptr has 129 values from \[1\]"),
        ("indptr", np.where(np.arange(129) == 50, 48, INDPTR), r"indptr has 129 values from \[0\]; .* none less"),
        ("indptr", np.where(np.arange(129) == 128, 2**63, INDPTR.astype(np.uint64)), r"indptr has 129 values"),
        ("indptr", [0, 2**62 + 9, -(2**62) - 9, *[48] * 126], r"indptr has 129 values from \[0\]; .* none less"),
        ("indptr", np.minimum(INDPTR, 40), r"data has 48 cells.*indptr ends at 40; expected the same number"),
        ("data", np.full(48, np.nan), r"data holds nan; expected velocities from 0 on, or true"),
        ("data", np.full(48, -1), r"data holds -1; expected velocities"),
        ("data", np.full(48, "x"), r"data is an array of shape \(48,\) of <U1; expected one dimension of numbers"),
        ("data", np.zeros(48), r"holds no note in 1 tracks; leave the file out"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, part, value, message):
    arrays = arrays_of([track(TUNE)]) | {f"pianoroll_0_csc_{part}": value}
    with pytest.raises(ValueError, match=rf"a\.npz: (pianoroll_0_csc_)?{message}"):
        load_roll(write(tmp_path / "a.npz", arrays, info_of(1)))


@pytest.mark.parametrize("part", ["data", "indices", "indptr", "shape"])
def test_a_missing_array_is_named(tmp_path, part):
    arrays = arrays_of([track(TUNE)])
    del arrays[f"pianoroll_0_csc_{part}"]
    with pytest.raises(ValueError, match=rf"a\.npz: has no array pianoroll_0_csc_{part}; write the file again"):
        load_roll(write(tmp_path / "a.npz", arrays, info_of(1)))


@pytest.mark.parametrize("tempo", [np.full((3, 2), 90.0), np.array(["90"]), np.array([True])])
def test_a_tempo_of_another_shape_is_named(tmp_path, tempo):
    with pytest.raises(ValueError, match=r"a\.npz: tempo is an array of shape \(.*expected the beats per minute"):
        load_roll(write(tmp_path / "a.npz", arrays_of([track(TUNE)]) | {"tempo": tempo}, info_of(1)))


def test_a_file_without_tracks_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"a\.npz: holds no note in 0 tracks"):
        load_roll(write(tmp_path / "a.npz", {"tempo": np.ones(3)}, info_of(0)))


def test_a_roll_that_expands_to_too_much_is_refused(tune, monkeypatch):
    monkeypatch.setattr(rolls, "MAX_BYTES", 8000)  # of the arrays there are 4 kB
    with pytest.raises(ValueError, match=r"tune\.npz: expands to 8448 bytes or more, expected at most 8000"):
        load_roll(tune)
    monkeypatch.setattr(rolls, "MAX_BYTES", 500)
    with pytest.raises(ValueError, match=r"tune\.npz: expands to \d+ bytes or more, expected at most 500"):
        load_roll(tune)


def test_damaged_files_are_read_or_named(tune):
    assert_damage_is_named(load_roll, tune)


def test_cells_are_counted_before_they_are_widened(tmp_path, monkeypatch):
    arrays = arrays_of([track({60: range(N_FRAMES), 64: range(N_FRAMES)})])
    write(tmp_path / "a.npz", arrays, info_of(1))
    monkeypatch.setattr(rolls, "MAX_BYTES", 60 * N_FRAMES)
    with pytest.raises(rolls.TooLarge, match=r"a\.npz: expands to \d+ bytes or more"):
        load_roll(tmp_path / "a.npz")
