import csv
import hashlib
import json
import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import mido
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from helpers import assert_same, named_pieces, numbered_midi, small, some_rolls, whistles, write_mat
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnrbm.datasets import (
    SPLITS,
    Dataset,
    PianoRoll,
    check_roll,
    kind_of_files,
    load,
    matched,
    resolved,
    save,
    transpose,
)
from rnnrbm.io import rolls as limits
from rnnrbm.io.sound import read_sound, write_sound

DATA = os.environ.get("RNNRBM_DATA")
ROOT = Path(__file__).resolve().parent.parent

needs_data = pytest.mark.skipif(not DATA, reason="RNNRBM_DATA is not set: no real data")

rolls = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 1))


@pytest.fixture(scope="module")
def bach():
    return load("bach")


# --- check_roll and transpose ---------------------------------------------------------------------


@given(rolls, st.sampled_from([np.uint8, bool, int, np.float32, float]))
def test_check_roll_keeps_the_cells_of_any_type(roll, dtype):
    checked = check_roll(roll.astype(dtype), n_visible=roll.shape[1])
    assert checked.dtype == np.uint8
    np.testing.assert_array_equal(checked, roll)


@pytest.mark.parametrize(
    ("roll", "message"),
    [
        (np.zeros(3), r"x.mid: .*shape \(3,\).*two dimensions"),
        (np.zeros((2, 3, 4)), r"two dimensions"),
        (np.zeros((0, 4)), r"no frames"),
        (np.zeros((3, 5)), r"5 columns \(shape \(3, 5\)\); expected 4$"),
        (np.zeros((4, 9)), r"give its transpose"),
        (np.full((2, 4), 2), r"8 values are neither 0 nor 1, the first is 2 in frame 0, column 0"),
        (np.array([[0, 1, 0, np.nan]]), r"first is nan in frame 0, column 3.*missing"),
        (np.array([[0, 0.5, 0, 1]]), r"first is 0.5 .*roll > threshold"),
        (np.array([[-1, 0, 0, 1]]), r"first is -1"),
        (np.array([["0", "1", "0", "0"]]), r"values of type <U1; expected numbers"),
        ([[0, 1], [0]], r"rows of different lengths"),
    ],
)
def test_check_roll_says_what_is_wrong(roll, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_roll(roll, n_visible=4, where="x.mid")
    assert str(caught.value).startswith("x.mid: ")


@given(rolls, st.integers(-15, 15))
def test_transpose_moves_every_note_or_refuses(roll, semitones):
    notes = {(t, j + semitones) for t, j in np.argwhere(roll).tolist()}
    kept = {(t, j) for t, j in notes if 0 <= j < roll.shape[1]}
    dropped = transpose(roll, semitones, drop=True)
    assert {(t, j) for t, j in np.argwhere(dropped).tolist()} == kept
    if kept == notes:
        np.testing.assert_array_equal(transpose(roll, semitones), dropped)
    else:
        with pytest.raises(ValueError, match="drop=True"):
            transpose(roll, semitones)


def test_transpose_names_the_range_that_fits():
    roll = np.array([[0, 1, 0, 1, 0, 0]])
    with pytest.raises(ValueError, match=r"moves 1 of 2 notes .* expected -1 to 2 semitones"):
        transpose(roll, 3)
    with pytest.raises(TypeError, match="whole number"):
        transpose(roll, 1.0)


# --- the embedded set -----------------------------------------------------------------------------


def test_bach_counts_are_those_of_its_readme(bach):
    assert [len(getattr(bach, s)) for s in SPLITS] == [276, 60, 59]
    assert [sum(map(len, getattr(bach, s))) for s in SPLITS] == [17446, 3830, 3690]
    assert (bach.n_visible, bach.kind.low, bach.kind.steps_per_beat) == (88, 21, 1.0)
    assert bach.kind.seconds_per_frame is None
    assert "276 pieces    17446 frames" in str(bach)
    names = [name for _, name, _ in named_pieces(bach)]
    assert len(set(names)) == len(names)
    assert all(name.startswith("BWV ") for name in names)


def test_bach_is_well_formed(bach):
    counts = Counter()
    for _, name, roll in named_pieces(bach):
        np.testing.assert_array_equal(check_roll(roll, n_visible=88, where=name), roll)
        assert roll[0].any(), name
        assert roll[-1].any(), name
        notes = roll.sum(1)
        counts.update(notes.tolist())
        # Instrumental interludes are cut: no four silent quarters in a row.
        assert "0000" not in "".join(map(str, notes)), name
    assert max(counts) == 4
    assert counts[0] < 0.01 * counts.total()
    assert counts[3] + counts[4] > 0.98 * counts.total()


def test_bach_quarters_are_every_second_eighth_and_every_fourth_sixteenth(bach):
    eighths, sixteenths = load("bach", steps_per_beat=2), load("bach", steps_per_beat=4)
    assert (eighths.kind.steps_per_beat, sixteenths.kind.steps_per_beat) == (2.0, 4.0)
    assert eighths.names == sixteenths.names == bach.names
    all_pieces = zip(named_pieces(bach), named_pieces(eighths), named_pieces(sixteenths), strict=True)
    for (_, _, quarter), (_, _, eighth), (_, _, sixteenth) in all_pieces:
        np.testing.assert_array_equal(quarter, eighth[::2])
        np.testing.assert_array_equal(eighth, sixteenth[::2])
        assert len(sixteenth) == 4 * len(quarter)


def test_bach_original_key_differs_by_a_shift_of_minus_five_to_six(bach):
    shifts = Counter()
    for (_, name, common), (_, _, own) in zip(
        named_pieces(bach), named_pieces(load("bach", original_key=True)), strict=True
    ):
        shift = int(np.flatnonzero(common.any(0))[0] - np.flatnonzero(own.any(0))[0])
        np.testing.assert_array_equal(transpose(own, shift), common, err_msg=name)
        shifts[shift] += 1
    assert set(shifts) <= set(range(-5, 7))
    assert len(shifts) > 6


def test_bach_is_in_c_major_or_a_minor(bach):
    bass = [int(np.flatnonzero(roll[-1])[0] + 21) % 12 for _, _, roll in named_pieces(bach)]
    share = Counter(bass)
    # The others end on the dominant, or are modal.
    assert share[0] + share[9] > 0.9 * len(bass)
    # The scale of C major holds most notes; G sharp is the leading note of A minor.
    notes = sum(roll.sum(0) for _, _, roll in named_pieces(bach))
    weight = np.bincount((np.arange(88) + 21) % 12, notes)
    assert weight[[0, 2, 4, 5, 7, 9, 11]].sum() > 0.9 * weight.sum()


def test_a_known_chorale_is_what_the_score_says():
    # BWV 66.6 in F sharp minor, 4/4: an upbeat of two eighths, then the first line in quarters.
    own = load("bach", original_key=True, steps_per_beat=2)
    ((_, _, roll),) = [p for p in named_pieces(own) if p[1].split()[1] == "66.6"]
    soprano = [int(np.flatnonzero(frame)[-1] + 21) for frame in roll[:16]]
    assert soprano == [73, 71, 69, 69, 71, 71, 73, 73, 76, 76, 73, 73, 71, 71, 69, 69]
    assert (np.flatnonzero(roll[0]) + 21).tolist() == [57, 64, 73]  # A, E, E, C sharp
    assert (np.flatnonzero(roll[-1]) + 21).tolist() == [54, 58, 61, 66]  # F sharp major
    assert len(roll) == 72  # nine measures


def shape_windows(frames, length):
    """Windows of `frames` (tuples of notes) relative to their lowest note, dull ones left out."""
    windows = set()
    for t in range(len(frames) - length + 1):
        window = frames[t : t + length]
        if all(window) and len(set(window)) >= 3:
            lowest = min(min(frame) for frame in window)
            windows.add(tuple(tuple(note - lowest for note in frame) for frame in window))
    return windows


def leaks(dataset, length, voices):
    """Shared share of windows of the shorter piece, for every two pieces of different splits.

    This knows nothing of how the splits were made: it sees rolls, up to transposition.
    """
    found = []
    windows = []
    for split, name, roll in named_pieces(dataset):
        frames = [tuple(np.flatnonzero(frame)[-voices:].tolist()) for frame in roll]
        windows.append((split, name, shape_windows(frames, length)))
    for i, (split, name, mine) in enumerate(windows):
        for other_split, other, theirs in windows[:i]:
            if split != other_split and mine and theirs:
                share = len(mine & theirs) / min(len(mine), len(theirs))
                found.append((share, name, other))
    return sorted(found, reverse=True)


def test_no_near_copy_of_a_tune_is_in_another_split(bach):
    worst = leaks(bach, 8, 1)
    assert worst[0][0] < 0.4, worst[:5]
    assert worst[20][0] < 0.25, worst[:25]


def test_no_near_copy_of_a_harmonization_is_in_another_split(bach):
    worst = leaks(bach, 6, 4)
    assert worst[0][0] < 0.1, worst[:5]


def test_the_leak_detector_sees_a_planted_copy(bach):
    source = transpose(bach.train[3], 2)
    damaged = source[5:].copy()
    damaged[::12] = 0  # every twelfth frame is lost
    planted = Dataset(
        "planted", bach.train[:20], [damaged], bach.test[:5], PianoRoll(21, 1),
        {"train": bach.names["train"][:20], "valid": ["copy"], "test": bach.names["test"][:5]},
    )  # fmt: skip
    assert leaks(planted, 8, 1)[0][0] > 0.8
    assert leaks(planted, 6, 4)[0] > (0.8, "copy", bach.names["train"][3])


def test_splits_are_whole_groups():
    with np.load(ROOT / "data" / "bach.npz", allow_pickle=False) as arrays:
        group, split, titles = arrays["group"], arrays["split"], arrays["title"]
    for g in range(group.max() + 1):
        assert len(set(split[group == g])) == 1
    for title in set(titles) - {""}:
        assert len(set(split[titles == title])) == 1, title


def test_the_embedded_file_is_the_one_the_readme_describes():
    import hashlib

    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    digest = hashlib.sha256((ROOT / "data" / "bach.npz").read_bytes()).hexdigest()
    assert digest in readme
    assert sum(p.stat().st_size for p in (ROOT / "data").iterdir() if p.is_file()) < 3_000_000


def build_module():
    import importlib.util

    spec = importlib.util.spec_from_file_location("build_bach", ROOT / "data" / "build_bach.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_bach"] = module
    spec.loader.exec_module(module)
    return module


def test_groups_and_splits_of_the_file_are_rebuilt_from_its_notes():
    # All that follows reading the corpus, without music21: keys apart, the same arrays again.
    build = build_module()
    with np.load(ROOT / "data" / "bach.npz", allow_pickle=False) as arrays:
        data = dict(arrays)
    pitch = np.split(data["pitch"], np.cumsum(data["length"])[:-1])
    # A quarter of the pieces: the alignment of all takes too long for a test.
    few = np.flatnonzero(data["group"] < 50)
    corpus = [build.Piece(data["bwv"][i], data["title"][i], pitch[i], 0, "major") for i in few]
    found = build.find_groups(corpus)
    same = data["group"][few][:, None] == data["group"][few]
    together = found[:, None] == found
    assert not (together & ~same).any()  # fewer pieces tie fewer groups, never others
    assert (together & same).sum() > 0.9 * same.sum()
    np.testing.assert_array_equal(build.assign(data["group"]), data["split"])


def test_reading_the_corpus_again_gives_the_notes_of_the_file():
    music21 = pytest.importorskip("music21", reason="music21 is needed to rebuild")
    build = build_module()
    with np.load(ROOT / "data" / "bach.npz", allow_pickle=False) as arrays:
        data = dict(arrays)
    pitch = np.split(data["pitch"], np.cumsum(data["length"])[:-1])
    folder = Path(music21.__file__).parent / "corpus" / "bach"
    # Plain; first and second ending; grace notes; instruments and interludes.
    for bwv in ("66.6", "8.6", "315", "79.3"):
        (i,) = np.flatnonzero(data["bwv"] == bwv)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score = music21.converter.parse(folder / f"bwv{bwv}.mxl", forceSource=True)
        np.testing.assert_array_equal(build.pitches(build.find_voices(score)), pitch[i])


def test_keys_are_found():
    build = build_module()
    scale = np.array([60, 62, 64, 65, 67, 69, 71, 72])
    four = np.repeat(scale[:, None], 4, 1).astype(np.uint8)
    assert build.find_key(four, 0) == (0, "major")
    assert build.find_key(four + 2, 2) == (2, "major")
    minor = four[[5, 6, 0, 1, 2, 3, 4, 5]]
    assert build.find_key(minor, 0) == (9, "minor")
    assert build.find_key(minor, 1) == (9, "minor")  # a Dorian signature
    for tonic in range(12):
        for mode, target in (("major", 0), ("minor", 9)):
            shift = build.Piece("", "", four, tonic, mode).shift
            assert -5 <= shift <= 6
            assert (tonic + shift) % 12 == target


@needs_data
def test_bach_agrees_with_the_published_chorales(bach):
    """Most published pieces are pieces of ours, frame by frame, up to transposition."""

    def frames(roll, length=100):
        lowest = np.flatnonzero(roll[0])[0]
        table = np.full((length, 4), 255, np.uint8)
        for t, frame in enumerate(roll[:length]):
            notes = np.flatnonzero(frame)
            table[t, : len(notes)] = notes - lowest + 50
            if len(notes) == 0:
                table[t] = 254  # silence is not the padding
        return table

    ours = np.array([frames(roll) for _, _, roll in named_pieces(bach)])
    shares = []
    for _, _, roll in named_pieces(load("jsb")):
        if not roll[0].any() or roll.sum(1).max() > 4:
            continue
        same = (ours == frames(roll)).all(2)[:, : len(roll)].sum(1)
        shares.append(same.max() / min(len(roll), 100))
    shares = np.array(shares)
    assert (shares >= 0.9).sum() >= 200, np.histogram(shares, 10, (0, 1))
    assert (shares >= 0.7).sum() >= 260, np.histogram(shares, 10, (0, 1))


# --- published sets, .mat -------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize(
    ("name", "n", "frames", "steps", "silent"),
    [
        ("jsb", (229, 76, 77), (13807, 4602, 4725), 1.0, (18, 29, 17)),
        ("nottingham", (694, 173, 170), (176561, 45513, 44463), 2.0, (487, 51, 19)),
        ("piano-midi", (87, 12, 25), (75911, 8540, 19036), 2.0, (4917, 251, 652)),
        ("musedata", (524, 135, 124), (245202, 82755, 64339), None, (12962, 4412, 5042)),
    ],
)
def test_published_sets_have_the_published_counts(name, n, frames, steps, silent):
    dataset = load(name)
    assert tuple(len(getattr(dataset, s)) for s in SPLITS) == n
    assert tuple(sum(map(len, getattr(dataset, s))) for s in SPLITS) == frames
    nothing = tuple(sum(int((r.sum(1) == 0).sum()) for r in getattr(dataset, s)) for s in SPLITS)
    assert nothing == silent
    assert (dataset.name, dataset.kind.low, dataset.n_visible) == (name, 21, 88)
    assert (dataset.kind.steps_per_beat, dataset.kind.seconds_per_frame) == (steps, None)
    assert dataset.names["valid"][1] == "validdata[1]"


@pytest.mark.filterwarnings("ignore:.*is not the published file")
def test_published_sets_are_looked_for_in_two_places(tmp_path, monkeypatch):
    rolls = some_rolls(3, 88)  # what is in neither place is fetched: see test_published.py
    monkeypatch.setenv("RNNRBM_DATA", str(tmp_path))
    write_mat(tmp_path / "JSB_Chorales.mat", traindata=rolls, validdata=rolls, testdata=rolls[:1])
    assert len(load("jsb").test) == 1
    (tmp_path / "pianorolls").mkdir()
    inner = tmp_path / "pianorolls" / "JSB_Chorales.mat"
    write_mat(inner, traindata=rolls, validdata=rolls, testdata=rolls[:2])
    assert len(load("jsb").test) == 2


def test_a_mat_file_by_path(tmp_path):
    rolls = some_rolls(3)
    path = write_mat(tmp_path / "my.mat", traindata=rolls, validdata=rolls[:1], testdata=rolls[1:])
    dataset = load(path)
    for mine, given_rolls in ((dataset.train, rolls), (dataset.test, rolls[1:])):
        for a, b in zip(mine, given_rolls, strict=True):
            np.testing.assert_array_equal(a, b)
    assert (dataset.name, dataset.kind.low, dataset.kind.steps_per_beat) == ("my", None, None)


def test_bad_mat_files_are_named(tmp_path):
    rolls = some_rolls(3)
    good = write_mat(tmp_path / "good.mat", traindata=rolls, validdata=rolls, testdata=rolls)
    cut = tmp_path / "cut.mat"
    cut.write_bytes(good.read_bytes()[:-40])
    text = tmp_path / "text.mat"
    text.write_text("not a matrix\n" * 30)
    empty = tmp_path / "empty.mat"
    empty.touch()
    for path in (cut, text, empty):
        with pytest.raises(ValueError, match=rf"{path.name}: cannot be read as a MATLAB 5 file"):
            load(path)
    fewer = write_mat(tmp_path / "fewer.mat", traindata=rolls)
    with pytest.raises(ValueError, match=r"fewer.mat: has no validdata, testdata"):
        load(fewer)
    wrong = [rolls[0], rolls[1] * 3]
    values = write_mat(tmp_path / "values.mat", traindata=rolls, validdata=wrong, testdata=rolls)
    with pytest.raises(ValueError, match=r"values.mat, validdata\[1\]: .* first is 3"):
        load(values)
    wide = [rolls[0], some_rolls(1, 7)[0]]
    width = write_mat(tmp_path / "width.mat", traindata=rolls, validdata=wide, testdata=rolls)
    with pytest.raises(ValueError, match=r"width.mat, validdata\[1\]: 7 columns"):
        load(width)
    plain = tmp_path / "plain.mat"
    scipy.io.savemat(plain, {f"{s}data": np.zeros((3, 4)) for s in SPLITS})
    with pytest.raises(ValueError, match=r"plain.mat: traindata is an array .* cell array"):
        load(plain)


# --- save, .npz -----------------------------------------------------------------------------------


def test_save_and_load_give_the_set_back(tmp_path, bach):
    for i, dataset in enumerate([small(), small(1), bach]):
        save(tmp_path / f"{i}.npz", dataset)
        assert_same(load(tmp_path / f"{i}.npz"), dataset)
    names = {"train": ["a"], "valid": [], "test": []}
    unknown = Dataset("ä", some_rolls(1), [], [], PianoRoll(seconds_per_frame=0.05), names)
    save(tmp_path / "0.npz", unknown)  # replaces
    assert_same(load(tmp_path / "0.npz"), unknown)
    assert len(list(tmp_path.iterdir())) == 3


def test_save_refuses_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "set.npz"
    save(path, small())
    before = path.read_bytes()
    bad = small()
    bad.valid[1][0, 0] = 7
    with pytest.raises(ValueError, match=r"valid\[1\]: .* first is 7"):
        save(path, bad)
    with pytest.raises(ValueError, match=r"set.mat: expected a file name ending in .npz"):
        save(tmp_path / "set.mat", small())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["set.npz"]


def test_bad_npz_files_are_named(tmp_path):
    good = tmp_path / "good.npz"
    save(good, small())
    cut = tmp_path / "cut.npz"
    cut.write_bytes(good.read_bytes()[:-60])
    text = tmp_path / "text.npz"
    text.write_text("no zip")
    array = tmp_path / "array.npz"
    with open(array, "wb") as file:
        np.save(file, np.zeros(3))
    pickled = tmp_path / "pickled.npz"
    with open(pickled, "wb") as file:
        np.savez(file, train=np.array([{}, 1], object))
    for path in (cut, text, array, pickled):
        with pytest.raises(ValueError, match=rf"{path.name}: cannot be read as an .npz file"):
            load(path)
    other = tmp_path / "other.npz"
    np.savez(other, train_x=np.zeros(3))
    with pytest.raises(ValueError, match=r"other.npz: has no name, kind, train, .* written by rnnrbm.datasets.save or"):
        load(other)
    with np.load(good) as arrays:
        changed = dict(arrays)
    changed["test_lengths"] = changed["test_lengths"] + 1
    np.savez(other, **changed)
    with pytest.raises(ValueError, match=r"other.npz: test has 5 frames .* add up to 7"):
        load(other)
    changed = {
        **changed,
        "test_lengths": changed["test_lengths"] - 1,
        "train_names": np.array(["a"]),
    }
    np.savez(other, **changed)
    with pytest.raises(ValueError, match=r"2 pieces in train but 1 names"):
        load(other)


def test_a_dataset_must_fit_together():
    names = {"train": ["a"], "valid": ["b"], "test": []}
    with pytest.raises(ValueError, match=r"x: pieces have 4, 5 columns"):
        Dataset("x", some_rolls(1), some_rolls(1, 5), [], PianoRoll(), names)
    with pytest.raises(ValueError, match=r"x: holds no piece"):
        Dataset("x", [], [], [], PianoRoll(), {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": 120}, r"train\[0\]: 12 columns from note 120 end at note 131; expected at most 127"),
        ({"low": 10**9}, "low=1000000000: expected a MIDI note number"),
        ({"low": -5}, "low=-5: expected a MIDI note number"),
        ({"low": 21.5}, r"low=21\.5: expected a MIDI note number"),
        ({"low": "60"}, "low='60': expected a MIDI note number"),
        ({"steps_per_beat": -1.5}, r"steps_per_beat=-1\.5: expected a positive number"),
        ({"steps_per_beat": 2.5}, r"steps_per_beat=2\.5: expected a whole number"),
        ({"seconds_per_frame": 0}, "seconds_per_frame=0: expected a positive number"),
        ({"nonsense": 3}, "piano-roll has no 'nonsense'"),
    ],
)
def test_impossible_metadata_of_a_file_are_refused_when_it_is_read(tmp_path, change, message):
    rolls = some_rolls(3, 12)
    save(tmp_path / "good.npz", Dataset("x", rolls[:1], rolls[1:2], rolls[2:], PianoRoll(60, 2)))
    arrays = dict(np.load(tmp_path / "good.npz"))
    record = json.loads(str(arrays["kind"])) | change
    np.savez(tmp_path / "bad.npz", **{**arrays, "kind": np.array(json.dumps(record))})
    with pytest.raises(ValueError, match=rf"bad\.npz: .*{message}"):
        load(tmp_path / "bad.npz")


# --- folders of MIDI files ------------------------------------------------------------------------


def test_a_folder_is_split_by_fraction_and_seed(tmp_path):
    folder = numbered_midi(tmp_path / "tunes", 10, (".mid", ".MID", ".midi", ".Kar"))
    numbered_midi(folder / "more" / "deep", 10)
    (folder / "notes.txt").write_text("not music")
    dataset = load(folder)
    assert [len(getattr(dataset, s)) for s in SPLITS] == [14, 3, 3]
    names = [name for _, name, _ in named_pieces(dataset)]
    assert len(set(names)) == 20
    assert {"00.mid", "01.MID", "02.midi", "03.Kar", "more/deep/09.mid"} <= set(names)
    assert (dataset.name, dataset.kind.low, dataset.kind.steps_per_beat) == ("tunes", 21, 2.0)
    assert dataset.kind.seconds_per_frame is None
    assert_same(load(str(folder)), dataset)
    assert load(folder, seed=1).names != dataset.names
    half = load(folder, split=(0.5, 0.25, 0.25))
    assert [len(getattr(half, s)) for s in SPLITS] == [10, 5, 5]
    for _, name, roll in named_pieces(dataset):
        assert len(roll) == 8 + int(Path(name).stem), name
    finer = load(folder, steps_per_beat=4, low=40, high=100)
    assert (finer.n_visible, finer.kind.low, finer.kind.steps_per_beat) == (61, 40, 4.0)
    assert sum(map(len, finer.train)) == 2 * sum(map(len, dataset.train))
    clock = load(folder, seconds_per_frame=0.05)
    assert (clock.kind.steps_per_beat, clock.kind.seconds_per_frame) == (None, 0.05)


def test_a_folder_with_three_files_has_one_in_each_split(tmp_path):
    dataset = load(numbered_midi(tmp_path, 3))
    assert [len(getattr(dataset, s)) for s in SPLITS] == [1, 1, 1]


def test_sub_folders_are_the_splits(tmp_path):
    for i, split in enumerate(SPLITS):
        numbered_midi(tmp_path / split, i + 1)
    dataset = load(tmp_path)
    assert dataset.names == {
        "train": ["train/00.mid"],
        "valid": ["valid/00.mid", "valid/01.mid"],
        "test": ["test/00.mid", "test/01.mid", "test/02.mid"],
    }
    with pytest.raises(ValueError, match=r"split and seed cannot be chosen"):
        load(tmp_path, seed=3)
    numbered_midi(tmp_path, 1)
    with pytest.raises(ValueError, match=r"1 MIDI files outside them, such as .*00.mid"):
        load(tmp_path)
    (tmp_path / "00.mid").unlink()
    for file in (tmp_path / "test").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=r"no usable MIDI file in test"):
        load(tmp_path)
    (tmp_path / "test").rmdir()
    with pytest.raises(ValueError, match=r"found sub-folders train, valid; expected all"):
        load(tmp_path)


def test_bad_midi_files_are_left_out_with_a_warning(tmp_path):
    numbered_midi(tmp_path, 4)
    (tmp_path / "bad.mid").write_bytes(b"not music")
    with pytest.warns(UserWarning, match=r"left out a MIDI file: .*bad.mid") as caught:
        dataset = load(tmp_path)
    assert len(caught) == 1
    assert caught[0].filename == __file__  # points at who called load
    assert [len(getattr(dataset, s)) for s in SPLITS] == [2, 1, 1]
    assert "bad.mid" not in str(dataset.names)
    for name in ("00.mid", "01.mid"):
        (tmp_path / name).unlink()
    with (
        pytest.warns(UserWarning, match="bad.mid"),
        pytest.raises(ValueError, match=r"2 of 3 MIDI files can be used; expected at least 3"),
    ):
        load(tmp_path)
    for name in ("02.mid", "03.mid"):
        (tmp_path / name).unlink()
    with (
        pytest.warns(UserWarning, match="bad.mid"),
        pytest.raises(ValueError, match=r"none of its 1 MIDI files can be used; the last: .*bad"),
    ):
        load(tmp_path)
    (tmp_path / "bad.mid").unlink()
    with pytest.raises(ValueError, match=r"no MIDI file \(.mid, .midi, .kar\)"):
        load(tmp_path)


@needs_data
@pytest.mark.filterwarnings("ignore:.*begin between the frames of steps_per_beat=2")  # 5.4 % of the notes
def test_a_real_folder(tmp_path):
    folder = Path(DATA) / "midi" / "nottingham"
    dataset = load(folder)
    assert [len(getattr(dataset, s)) for s in SPLITS] == [31, 7, 7]
    assert (dataset.n_visible, dataset.kind.steps_per_beat) == (88, 2.0)
    lengths = {}
    for line in (folder / "rolls.tsv").read_text().splitlines()[1:]:
        row = line.split("\t")
        lengths[row[0]] = [int(value) for value in row[1:] if value.lstrip("-").isdigit()]
    for _, name, roll in named_pieces(dataset):
        assert any(abs(len(roll) - number) <= 2 for number in lengths[name]), name


@needs_data
@pytest.mark.parametrize(("folder", "name"), [("nottingham", "nottingham"), ("piano", "piano-midi")])
def test_a_folder_read_by_the_published_rule_gives_the_published_rolls(folder, name):
    target = load(name)
    with open(Path(DATA) / "midi" / folder / "rolls.tsv", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file, delimiter="\t")}
    dataset = load(Path(DATA) / "midi" / folder, rule="published")
    assert (dataset.kind.steps_per_beat, dataset.kind.low, dataset.n_visible) == (2.0, 21, 88)
    assert len(named_pieces(dataset)) == len(rows)
    for _, file, roll in named_pieces(dataset):
        row = rows[file]
        published = getattr(target, row["cell"].removesuffix("data"))[int(row["index"])]
        np.testing.assert_array_equal(transpose(roll, int(row["transpose"])), published, err_msg=file)


# --- names and options ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("notingham", r"unknown data set 'notingham' \(did you mean 'nottingham'\?\)"),
        ("JSB", r"did you mean 'jsb'"),
        ("piano", r"did you mean 'piano-midi'"),
        (
            "zzz",
            "'zzz': expected one of bach, humpback, jsb, musedata, nottingham, piano-midi, digits, mnist, balls, "
            "mit-mocap, or the path",
        ),
        ("", r"unknown data set '': expected one of bach"),
    ],
)
def test_unknown_names(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        load(name)


def test_unknown_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.mat: there is no such file"):
        load(tmp_path / "none.mat")
    with pytest.raises(FileNotFoundError, match=r"no such file or folder"):
        load(str(tmp_path / "none"))
    (tmp_path / "a.xls").write_text("1,0")
    with pytest.raises(ValueError, match=r"a.xls: unknown kind of file '.xls'; expected .mat, .npz"):
        load(tmp_path / "a.xls")
    (tmp_path / "a.mid").write_bytes(b"")
    with pytest.raises(ValueError, match=r"for MIDI, give the folder, or .* rnnrbm.midi.read"):
        load(tmp_path / "a.mid")


def test_a_folder_called_bach_is_reached_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bach").mkdir()
    load("bach")  # nothing is in the folder that could be meant
    numbered_midi(tmp_path / "bach", 3)
    with pytest.warns(UserWarning, match=r"'bach' is the name of a data set; for your own folder .* write \./bach"):
        assert len(load("bach").train) == 276
    assert len(load("./bach").train) == 1


OPTIONS = {
    "steps_per_beat": 2,
    "original_key": True,
    "split": (0.8, 0.1, 0.1),
    "seed": 1,
    "low": 30,
    "high": 90,
    "seconds_per_frame": 0.1,
    "rule": "published",
    "drums": True,
}
APPLY = {
    "bach": {"steps_per_beat", "original_key"},
    "folder": set(OPTIONS) - {"original_key"},
    "jsb": set(),
    "a.npz": set(),
    "a.json": {"low", "high"},
}


@pytest.mark.parametrize(("source", "option"), [(s, o) for s in APPLY for o in OPTIONS if o not in APPLY[s]])
def test_options_that_do_not_apply_are_refused(source, option, tmp_path):
    if source == "folder":
        source = numbered_midi(tmp_path, 3)
    elif source == "a.npz":
        source = tmp_path / source
        save(source, small())
    elif source == "a.json":
        source = tmp_path / source
        source.write_text('{"train": [[[60]]], "valid": [], "test": []}')
    with pytest.raises(ValueError, match=rf"^{option}( \(of the split\))? cannot be chosen for"):
        load(source, **{option: OPTIONS[option]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps_per_beat": 0}, r"steps_per_beat=0"),
        ({"steps_per_beat": 2, "seconds_per_frame": 0.1}, r"give one of the two"),
        ({"seconds_per_frame": -1.0}, r"seconds_per_frame=-1.0"),
        ({"low": 90, "high": 80}, r"low=90 and high=80"),
        ({"split": (0.5, 0.5)}, r"three positive fractions"),
        ({"split": (0.8, 0.2, 0.0)}, r"three positive fractions"),
        ({"split": (0.8, 0.2, 0.2)}, r"three positive fractions"),
        ({"rule": "strict"}, r"rule='strict': expected one of 'sounding', 'published'"),
        ({"rule": "published", "steps_per_beat": 2}, r"rule='published' and steps_per_beat=2"),
        ({"rule": "published", "seconds_per_frame": 0.1}, r"rule='published' and seconds_per_frame=0.1"),
    ],
)
def test_options_that_make_no_sense(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load(numbered_midi(tmp_path, 3), **options)


def test_drums_of_a_folder_are_read_if_asked_for(tmp_path):
    numbered_midi(tmp_path, 3)
    for file in tmp_path.iterdir():  # the only track's notes move to channel 10
        parsed = mido.MidiFile(file)
        for message in parsed.tracks[0]:
            if message.type in ("note_on", "note_off"):
                message.channel = 9
        parsed.save(file)
    with pytest.warns(UserWarning, match="drums"), pytest.raises(ValueError, match=r"3 MIDI files .*data\.drums=true"):
        load(tmp_path)
    with pytest.raises(ValueError, match=r"rule='published' and drums=True"):
        load(tmp_path, drums=True, rule="published")
    assert sorted(len(roll) for _, _, roll in named_pieces(load(tmp_path, drums=True))) == [8, 9, 10]


def test_resolved_options_give_the_same_set(tmp_path, bach):
    assert resolved("bach") == {"steps_per_beat": 1, "original_key": False}
    assert_same(load("bach", **resolved("bach")), bach)
    assert resolved("jsb") == {}
    assert resolved(tmp_path / "a.npz") == {}
    assert resolved("a.json", low=30) == {"low": 30, "high": 108}
    folder = numbered_midi(tmp_path / "tunes", 5)
    assert kind_of_files(folder) == "piano-roll"
    assert kind_of_files("bach") is None
    usual = {
        "low": 21,
        "high": 108,
        "rule": "sounding",
        "drums": False,
        "pedal": False,
        "split": (0.7, 0.15, 0.15),
        "seed": 0,
    }
    assert resolved(folder) == usual | {"steps_per_beat": 2}
    assert resolved(folder, seconds_per_frame=0.5, seed=3) == usual | {"seconds_per_frame": 0.5, "seed": 3}
    assert resolved(folder, rule="published") == usual | {"rule": "published"}
    for options in ({}, {"seconds_per_frame": 0.5}, {"rule": "published", "seed": 1}):
        assert_same(load(folder, **resolved(folder, **options)), load(folder, **options))
    for split in SPLITS:
        numbered_midi(tmp_path / "parts" / split, 1)
    assert "split" not in resolved(tmp_path / "parts")
    assert_same(load(tmp_path / "parts", **resolved(tmp_path / "parts")), load(tmp_path / "parts"))


def test_bach_comes_in_three_resolutions():
    with pytest.raises(ValueError, match=r"steps_per_beat=3 for 'bach': expected 1 .* 2 .* 4"):
        load("bach", steps_per_beat=3)


def test_importing_is_light():
    code = (
        "import sys, rnnrbm.datasets; rnnrbm.datasets.load('bach');"
        "heavy = 'scipy', 'pytensor', 'jax', 'mido', 'pretty_midi';"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


# --- names ------------------------------------------------------------------------------------------


def test_names_that_are_no_text_are_written_and_read(tmp_path):
    names = {split: [b"tune\xff.mid".decode("utf-8", "surrogateescape"), "two\nlines"] for split in SPLITS}
    made = Dataset("a\udcff b", *(some_rolls(2) for _ in SPLITS), PianoRoll(60), names)
    assert made.names_of("train") == ["tune\ufffd.mid", "two lines"]
    save(tmp_path / "a.npz", made)
    again = load(tmp_path / "a.npz")
    assert_same(again, made)
    assert again.name == "a\ufffd b"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_folder_of_files_whose_names_are_no_text(tmp_path):
    folder = numbered_midi(tmp_path / "songs", 4)
    os.rename(os.fsencode(folder / "00.mid"), os.fsencode(folder) + b"/\xff\n.mid")
    loaded = load(folder)
    save(tmp_path / "a.npz", loaded)
    assert_same(load(tmp_path / "a.npz"), load(tmp_path / "a.npz"))
    assert "\ufffd .mid" in [name for split in SPLITS for name in load(tmp_path / "a.npz").names_of(split)]


# --- limits -----------------------------------------------------------------------------------------


def test_a_folder_has_a_limit_too(monkeypatch, tmp_path):
    folder = numbered_midi(tmp_path / "songs", 4)
    monkeypatch.setattr(limits, "MAX_BYTES", 88 * 20)
    with pytest.raises(
        limits.TooLarge, match=r"02\.mid: with it the rolls of 3 of 4 MIDI files take \d+ bytes or more, expected"
    ):
        load(folder)


def test_the_seed_of_a_split_is_a_whole_number(tmp_path):
    with pytest.raises(ValueError, match=r"seed=1\.5: expected a whole number, at least 0"):
        load(numbered_midi(tmp_path / "songs", 4), seed=1.5)


# --- sound ----------------------------------------------------------------------------------------


@pytest.fixture
def songs(tmp_path):
    folder = tmp_path / "songs"
    folder.mkdir()
    for i in range(4):
        write_sound(
            folder / f"{i}.wav", whistles((0.1, 0.3), (0.4, 0.7), seconds=1.0, seed=i, hertz=1000 + 400 * i), 16_000
        )
    return folder


def test_a_folder_of_sound_is_saved_and_loaded_with_its_kind(songs, tmp_path):
    dataset = load(songs, n_bands=30, low=500, high=6000)
    assert str(dataset).startswith("songs: 30 bands, 500 to 6 000 Hz (mel), 8 ms per frame, 16 000 Hz")
    save(tmp_path / "a.npz", dataset)
    back = load(tmp_path / "a.npz")
    assert back.kind == dataset.kind
    assert_same(back, dataset)
    assert back.fingerprint() == load(songs, n_bands=30, low=500, high=6000).fingerprint()


def test_options_of_sound_are_resolved(songs):
    options = resolved(songs, low=500.0, preset="vak")
    assert (options["low"], options["high"], options["n_bands"]) == (500.0, 8000.0, 0)
    options = resolved(songs, low=500.0, split=(0.5, 0.25, 0.25))
    assert options["high"] == 8000  # half the rate
    assert (options["segments"], options["gap_ms"], options["group"]) == ("auto", 500.0, "recording")
    assert options["split"] == (0.5, 0.25, 0.25)
    assert_same(load(songs, **options), load(songs, low=500.0, split=(0.5, 0.25, 0.25)))
    assert_same(load(songs / "0.wav", **resolved(songs / "0.wav")), load(songs / "0.wav"))
    for split, i in zip(SPLITS, range(3), strict=True):
        (songs / split).mkdir()
        (songs / f"{i}.wav").rename(songs / split / f"{i}.wav")
    (songs / "3.wav").unlink()
    assert "split" not in resolved(songs)
    assert_same(load(songs, **resolved(songs)), load(songs))


def test_what_files_are_of_which_kind(songs, tmp_path):
    assert kind_of_files(songs) == kind_of_files(songs / "0.wav") == kind_of_files("humpback") == "spectrogram"
    assert kind_of_files(tmp_path / "gone") is None
    numbered_midi(songs / "music", 2)
    with pytest.raises(ValueError, match=r"songs: holds 2 MIDI files, such as .*, and 4 sound files, such as 0\.wav"):
        load(songs)


def test_options_of_other_sources_are_refused(songs, tmp_path):
    with pytest.raises(ValueError, match="steps_per_beat cannot be chosen for sound"):
        load(songs, steps_per_beat=2)
    with pytest.raises(ValueError, match="hop_ms cannot be chosen for a folder of MIDI files"):
        load(numbered_midi(tmp_path / "music", 3), hop_ms=8)
    with pytest.raises(ValueError, match="hop_ms cannot be chosen for the embedded set 'bach'"):
        load("bach", hop_ms=8)


def test_note_numbers_may_be_written_as_real_numbers(tmp_path):
    folder = numbered_midi(tmp_path, 3)
    assert_same(load(folder, low=30.0, high=100.0), load(folder, low=30, high=100))
    with pytest.raises(ValueError, match=r"low=30\.5"):
        load(folder, low=30.5)


def test_the_whale_is_that_of_the_readme():
    whale = load("humpback")
    text = (ROOT / "data" / "README.md").read_text()
    digest = hashlib.sha256((ROOT / "data" / "glacier-bay-humpback.ogg").read_bytes()).hexdigest()
    assert digest in text
    assert (whale.n_visible, whale.kind.rate) == (80, 22_050)
    assert [sum(map(len, getattr(whale, split))) for split in SPLITS] == [11_134, 538, 573]
    assert_same(load("humpback", **resolved("humpback")), whale)
    assert load("humpback", preset="vak", high=4000.0).n_visible == 57


def test_a_data_set_takes_on_the_standardisation_of_another(songs, tmp_path):
    options = {"n_bands": 30, "low": 500, "high": 6000}
    mine = load(songs, **options)
    loud = tmp_path / "loud"
    loud.mkdir()
    for path in songs.iterdir():
        write_sound(loud / path.name, 2 * read_sound(path).samples, 16_000)
    theirs = load(loud, **options)
    assert theirs.kind != mine.kind
    np.testing.assert_allclose(theirs.train[0], mine.train[0], atol=0.05)  # each by its own
    same = matched(theirs, mine.kind)
    assert same.kind == mine.kind
    difference = mine.kind.decibels(same.train[0]) - mine.kind.decibels(mine.train[0])
    assert np.median(difference) == pytest.approx(20 * np.log10(2), abs=0.1)
    assert matched(mine, mine.kind) is mine
    other = load(songs, n_bands=20)
    assert matched(other, mine.kind) is other  # no model of the one reads the other
    assert matched(load("bach"), mine.kind).kind.name == "piano-roll"
