"""Readers of .json and .pickle files: what they read, what they refuse, and that nothing runs."""

import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_damage_is_named
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrbm.datasets import SPLITS, load
from rnnrbm.io import notes, rolls
from rnnrbm.kinds.piano_roll import PianoRoll

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "pianorolls"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")

NOTES = {
    "train": [[[60, 64], [], [21]], [[108]]],
    "valid": [[[60]]],
    "test": [],
}
WHAT = "a dictionary of train, valid and test"


def sounding(roll, low=21):
    return [[low + int(j) for j in np.flatnonzero(frame)] for frame in roll]


def write(path, data):
    path.write_bytes(json.dumps(data).encode() if path.suffix == ".json" else pickle.dumps(data, 2))
    return path


# --- reading


@pytest.mark.parametrize("name", ["a.json", "a.pickle", "a.pkl", "A.PKL"])
def test_notes_are_read_as_they_are(tmp_path, name):
    data = load(write(tmp_path / name, NOTES))
    for split in SPLITS:
        rolls = getattr(data, split)
        assert [sounding(roll) for roll in rolls] == NOTES[split]
        assert all(roll.dtype == np.uint8 and roll.shape[1] == 88 for roll in rolls)
    assert (data.name, data.kind) == (Path(name).stem, PianoRoll(21))
    assert data.names["train"] == ["train[0]", "train[1]"]
    wide = load(tmp_path / name, low=0, high=127)
    assert (wide.kind.low, wide.n_visible) == (0, 128)
    assert sounding(wide.train[0], 0) == NOTES["train"][0]


def as_python_2(value):
    """The bytes of a pickle of protocol 2 as Python 2 with NumPy 1 writes them: notes are numpy.int64."""

    def body(value):
        if isinstance(value, dict):
            return b"}(" + b"".join(b"U" + bytes([len(k)]) + k.encode() + body(v) for k, v in value.items()) + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(map(body, value)) + b"e"
        if isinstance(value, tuple):
            return b"(" + b"".join(map(body, value)) + b"t"
        dtype = b"cnumpy\ndtype\nU\x02i8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        return b"cnumpy.core.multiarray\nscalar\n" + dtype + b"U\x08" + struct.pack("<q", value) + b"\x86R"

    return b"\x80\x02" + body(value) + b"."


def test_pickles_of_python_2_with_numpy_integers(tmp_path):
    notes = {split: [[tuple(frame) for frame in piece] for piece in NOTES[split]] for split in SPLITS}
    pickled = as_python_2(notes)
    assert pickle.loads(pickled, encoding="latin1") == notes  # it is what it should be
    (tmp_path / "a.pkl").write_bytes(pickled)
    assert [sounding(roll) for roll in load(tmp_path / "a.pkl").train] == NOTES["train"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [int, np.int64, np.uint8, np.int16, np.dtype(">i4").type, np.uint64])
def test_pickles_of_every_protocol_and_integer(tmp_path, protocol, kind):
    data = {split: [[tuple(kind(n) for n in frame) for frame in piece] for piece in NOTES[split]] for split in SPLITS}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(data, protocol))
    assert [sounding(roll) for roll in load(tmp_path / "a.pkl").train] == NOTES["train"]


def test_big_endian_numbers(tmp_path):
    pickled = as_python_2({"train": [[(60,)]], "valid": [], "test": []})
    turned = pickled.replace(b"U\x01<", b"U\x01>").replace(struct.pack("<q", 60), struct.pack(">q", 60))
    (tmp_path / "a.pkl").write_bytes(turned)
    assert sounding(load(tmp_path / "a.pkl").train[0]) == [[60]]


@needs_data
@pytest.mark.parametrize("name", ["jsb-chorales-quarter.pkl", "jsb-chorales-quarter.json"])
def test_all_chorales_equal_the_published_rolls(name):
    ours, published = load(DATA / name), load(DATA / "JSB_Chorales.mat")
    count = 0
    for split in SPLITS:
        for a, b in zip(getattr(ours, split), getattr(published, split), strict=True):
            np.testing.assert_array_equal(a, b)
            count += 1
    assert count == 382
    assert ours.kind.low == published.kind.low == 21


# --- what is not that format


@pytest.mark.parametrize("suffix", [".json", ".pkl"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ([NOTES], rf"holds a list; expected {WHAT}"),
        ({"train": [], "test": []}, rf"has no valid; expected {WHAT}"),
        ({**NOTES, "valid": {"a": 1}}, rf"valid is a dict; expected {WHAT}"),
        ({**NOTES, "valid": [3]}, r"valid\[0\] is a int; expected a list of frames"),
        ({**NOTES, "valid": [[]]}, r"valid\[0\]: no frames; leave the piece out"),
        ({**NOTES, "valid": [[[60], 60]]}, r"valid\[0\], frame 1 is a int; expected a list of note numbers"),
        ({**NOTES, "valid": [[[60], "60"]]}, r"valid\[0\], frame 1 is a str"),
        ({**NOTES, "valid": [[[60.5]]]}, r"valid\[0\], frame 0: a float among the notes"),
        ({**NOTES, "valid": [[[None]]]}, r"valid\[0\], frame 0: a NoneType"),
        ({**NOTES, "valid": [[[True]]]}, r"frame 0: a bool among the notes"),
        ({**NOTES, "valid": [[[[60]]]]}, r"frame 0: a list among the notes"),
        ({**NOTES, "valid": [[[60], [60, 109]]]}, r"valid\[0\], frame 1: note 109; expected 21 to 108. Choose low and"),
        ({**NOTES, "valid": [[[20]]]}, r"note 20; expected 21"),
        ({**NOTES, "valid": [[[-2, 60]]]}, r"note -2; expected 21"),
        ({**NOTES, "valid": [[[10**4000]]]}, r"note of more than 9 digits"),
        ({**NOTES, "valid": [[[0, 1, 0, 1]]]}, r"frame 0: 4 values of 0 and 1, a row of a piano-roll.*datasets.save"),
        ({**NOTES, "valid": [[[0.0, 1.0, 0.0]]]}, r"a row of a piano-roll"),
        ({split: [] for split in SPLITS}, r"holds no piece"),
    ],
)
def test_other_layouts_are_named(tmp_path, suffix, change, message):
    path = write(tmp_path / f"bad{suffix}", change)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert f"bad{suffix}" in str(caught.value)


@pytest.mark.parametrize("suffix", [".json", ".pkl"])
def test_whole_floats_are_notes_and_minus_one_is_a_rest(tmp_path, suffix):
    frames = [[60, 64, 67], [60, 64, 67], [], [62, 65]]
    expected = load(write(tmp_path / f"plain{suffix}", {key: [frames] for key in SPLITS}))
    floats = [[float(note) for note in frame] for frame in frames]
    voices = [frame + [-1] * (4 - len(frame)) for frame in frames]
    for name, same in (("floats", floats), ("voices", voices)):
        found = load(write(tmp_path / f"{name}{suffix}", {key: [same] for key in SPLITS}))
        np.testing.assert_array_equal(found.train[0], expected.train[0])
    assert expected.train[0].shape == (4, 88)
    assert expected.train[0].sum() == 8


def test_rows_of_a_roll_are_no_notes_whatever_the_range(tmp_path):
    path = write(tmp_path / "rows.pkl", {**NOTES, "train": [[[0] * 88]]})
    with pytest.raises(ValueError, match=r"rows.pkl, train\[0\], frame 0: 88 values of 0 and 1"):
        load(path, low=0, high=127)


def test_range_is_checked(tmp_path):
    with pytest.raises(ValueError, match="low=50 and high=40"):
        load(write(tmp_path / "a.json", NOTES), low=50, high=40)
    with pytest.raises(ValueError, match=r"steps_per_beat cannot be chosen for a.json.*only low, high"):
        load(tmp_path / "a.json", steps_per_beat=2)


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 200_000, b'{"train": "\xff"}', b"nothing", b"\x80\x02}."])
def test_what_is_no_json_is_named(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"bad.json: cannot be read as JSON, it is cut off, damaged or of"):
        load(path)


# --- pickles that want to run something


class Evil:
    def __init__(self, function, *arguments):
        self.made_by = function, arguments

    def __reduce__(self):
        return self.made_by


def scalar_of(code, data):
    """numpy.core.multiarray.scalar(dtype(code), data) as a pickle."""
    return (
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX" + struct.pack("<I", len(code)) + code
        + b"K\x00K\x01\x87R" + data + b"\x86R."
    )  # fmt: skip


def evil_pickles(marker):
    command = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w')"
    yield "system", pickle.dumps(Evil(os.system, command), 2), r"posix\.system|nt\.system"
    yield "system, protocol 4", pickle.dumps(Evil(os.system, command), 4), r"posix\.system|nt\.system"
    yield "os.system by name", b"cos\nsystem\n(U" + bytes([len(command)]) + command.encode() + b"tR.", r"os\.system"
    yield "eval", pickle.dumps(Evil(eval, code), 2), r"__builtin__\.eval"
    yield "eval, protocol 5", pickle.dumps(Evil(eval, code), 5), r"builtins\.eval"
    yield "in a frame", pickle.dumps({**NOTES, "train": [[[Evil(eval, code)]]]}, 2), r"__builtin__\.eval"
    # STACK_GLOBAL takes its names from the stack, dots and all
    for module, name in [
        ("os", "system"),
        ("builtins", "exec"),
        ("numpy._core.multiarray", "scalar.__globals__"),
        ("numpy.core.multiarray", "scalar.__class__"),
        ("numpy", "dtype.__reduce__"),
        ("numpy", "load"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("_codecs", "lookup"),
        ("rnnrbm.io.notes", "_integer"),
        ("collections", "OrderedDict"),
    ]:
        texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
        yield f"{module}.{name}", b"\x80\x04" + texts + b"\x93.", rf"{module}\.{name}".replace("_", ".")
    # what is allowed, made to do other things
    pickled = pickle.dumps(Evil(eval, code), 2)
    inner = b"U" + bytes([len(pickled)]) + pickled
    yield "scalar of objects", scalar_of(b"O", inner), "NumPy values of type 'O'"
    yield "scalar of 8-byte objects", scalar_of(b"O8", inner), "NumPy values of type 'O8'"
    yield "scalar of a float", scalar_of(b"f8", b"U\x08" + bytes(8)), "NumPy values of type 'f8'"
    yield "scalar of no type", b"cnumpy.core.multiarray\nscalar\n(NU\x08" + bytes(8) + b"tR.", "something else than"
    yield "codec", b"c_codecs\nencode\n(X\x01\0\0\0aX\x03\0\0\0zipttR.".replace(b"ttR", b"tR"), "encodes something else"
    yield "instance", b"(cos\nsystem\no.", r"os\.system"
    yield "old instance", b"(ios\nsystem\n.", r"os\.system"


@pytest.mark.parametrize(("pickled", "message"), [pytest.param(b, m, id=i) for i, b, m in evil_pickles("MARKER")])
def test_nothing_in_a_pickle_is_run(tmp_path, monkeypatch, pickled, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickled)
    with pytest.raises(ValueError, match=rf"evil.pkl: .*({message}).* Nothing of it was run"):
        load(path)
    assert os.listdir(tmp_path) == ["evil.pkl"]


def test_the_evil_pickles_are_evil(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Evil(eval, "open('MARKER', 'w').close()")))
    assert os.listdir(tmp_path) == ["MARKER"]


@pytest.mark.parametrize(
    "pickled",
    [
        scalar_of(b"i8", b"U\x04" + bytes(4)),  # fewer bytes than the type has
        b"cnumpy.core.multiarray\nscalar\n}(U\x0b__globals__Nub.",  # a state for the function
        b"cnumpy\ndtype\nN}(U\x0c__defaults__)u\x86b.",
        b"cnumpy\ndtype\n)\x81.",  # NEWOBJ of what is no class
        b"cnumpy\ndtype\n(U\x02i8tRNb.",
        b"Pelsewhere\n.",  # a persistent id
        b"\x82\x01.",  # an extension
        b"",
        b".",
        b"0.",
        b"\x80\x63N.",
        b"]r\xff\xff\xff\x7f.",  # room for two thousand million objects
        b"]p2147483647\n.",
        b"K\x01.",
    ],
)
def test_broken_pickles_are_named(tmp_path, pickled):
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickled)
    with pytest.raises(ValueError, match=r"bad.pkl: (cannot be read as a pickle|holds a |.*Nothing of it was run)"):
        load(path)


def test_a_pickle_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"cnumpy.core.multiarray\nscalar\nN}(U\x0c__defaults__)u\x86b.")
    before = notes._integer.__defaults__
    with pytest.raises(ValueError, match=r"a.pkl: holds a function"):
        load(path)
    assert notes._integer.__defaults__ == before
    assert pickle.loads(pickle.dumps(np.int64(3))) == 3


def test_a_pickle_within_itself_ends(tmp_path):
    piece: list = []
    piece.append(piece)
    path = write(tmp_path / "a.pkl", {**NOTES, "train": piece})
    with pytest.raises(ValueError, match=r"a.pkl, train\[0\], frame 0: a list among the notes"):
        load(path)


def test_arrays_in_a_pickle_are_refused_with_advice(tmp_path):
    path = write(tmp_path / "a.pkl", {**NOTES, "train": [np.eye(88)]})
    with pytest.raises(ValueError, match=r"multiarray._reconstruct.*datasets.save"):
        load(path)


# --- damage


@pytest.mark.parametrize("name", ["a.json", "a.pkl", "numpy.pkl"])
def test_damaged_files_are_read_or_named(tmp_path, name):
    path = write(tmp_path / name, NOTES)
    if name == "numpy.pkl":
        path.write_bytes(as_python_2({split: [[(60, 64)], [(), (70,)]] for split in SPLITS}))
    assert_damage_is_named(load, path)


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_no_pickle_or_one_of_another_layout(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "junk.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"junk.pkl"):
        load(path)


@pytest.mark.parametrize("suffix", [".json", ".pkl"])
def test_a_file_that_is_too_large_is_not_read(tmp_path, suffix):
    with open(tmp_path / f"huge{suffix}", "wb") as file:
        file.truncate(3 * 2**30)  # zeros that take no place on the disk
    with pytest.raises(ValueError, match=rf"huge\{suffix}: has {3 * 2**30} bytes or more, expected at most {2**30}"):
        load(tmp_path / f"huge{suffix}")


def test_a_pickle_that_shares_its_lists_is_refused(tmp_path):
    frame = [60] * 3
    piece = [frame] * 30_000
    (tmp_path / "shared.pkl").write_bytes(pickle.dumps(dict.fromkeys(SPLITS, tuple([piece] * 30_000)), 2))
    assert (tmp_path / "shared.pkl").stat().st_size < 10**6
    with pytest.raises(ValueError, match=r"shared\.pkl: expands to \d+ bytes or more"):
        load(tmp_path / "shared.pkl")
    wide = [[60] * 30_000] * 4
    (tmp_path / "wide.pkl").write_bytes(pickle.dumps({split: [wide] for split in SPLITS}, 2))
    with pytest.raises(ValueError, match=r"wide\.pkl, train\[0\], frame 0: 30000 notes; expected at most 1000"):
        load(tmp_path / "wide.pkl")


@pytest.mark.parametrize("n_notes", [900, 999])
def test_a_pickle_that_shares_its_frames_is_refused(tmp_path, monkeypatch, n_notes):
    """Its rolls have room, but its notes would take hours."""
    monkeypatch.setattr(rolls, "MAX_BYTES", 2**20)
    piece = [[60] * n_notes] * 1000
    (tmp_path / "shared.pkl").write_bytes(pickle.dumps({"train": [piece], "valid": [], "test": []}, 2))
    assert (tmp_path / "shared.pkl").stat().st_size < 10**4
    with pytest.raises(ValueError, match=rf"shared\.pkl: expands to {1000 * (88 + 8 * n_notes)} bytes"):
        load(tmp_path / "shared.pkl")


@pytest.mark.parametrize(
    "key",
    [
        b")" + b"2\x86" * 60,  # a tuple of two of a tuple of two ..., by copies
        b")" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60)),  # by remembered objects
    ],
)
@pytest.mark.parametrize("made", [b"}%sNs.", b"}(%sNu.", b"(%sNd.", b"\x8f(%s\x90.", b"(%s\x91."])
def test_a_key_that_takes_forever_to_hash_is_refused(tmp_path, key, made):
    (tmp_path / "keys.pkl").write_bytes(b"\x80\x04" + made.replace(b"%s", key))
    with pytest.raises(
        ValueError, match=r"keys\.pkl: (has tuples as keys|holds sets or objects).* Nothing of it was run"
    ):
        load(tmp_path / "keys.pkl")


# --- small files that would take all memory ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b'{"train": [' + b"[]," * 10_000 + b"[]]}"),
        ("a.json", b'{"train": [[[' + b"1," * 30_000 + b"1]]]}"),
        ("a.pickle", b"\x80\x02(" + b"]" * 10_000 + b"l."),
        ("a.pickle", b"\x80\x02(" + b"}" * 10_000 + b"l."),
        ("a.pickle", b"\x80\x02(" + b"M\xff\xff" * 30_000 + b"l."),
        ("a.pickle", b"(" * 10_000 + b"."),
    ],
)
def test_many_values_are_counted_before_they_take_all_memory(tmp_path, monkeypatch, name, content):
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(rolls, "MAX_BYTES", 10**6)
    with pytest.raises(rolls.TooLarge, match=rf"{name}: .*expand.* \d+ bytes or more, expected at most 1000000"):
        load(tmp_path / name)


def test_a_piece_that_is_there_many_times_is_measured_once(tmp_path, monkeypatch):
    piece = [[60]] * 1000
    (tmp_path / "a.pickle").write_bytes(pickle.dumps({"train": [piece] * 10**5, "valid": [piece], "test": [piece]}))
    measured = []
    room = notes._room
    monkeypatch.setattr(notes, "_room", lambda *arguments: measured.append(1) or room(*arguments))
    with pytest.raises(rolls.TooLarge, match=r"a\.pickle: expands to"):
        load(tmp_path / "a.pickle")
    assert len(measured) == 1
