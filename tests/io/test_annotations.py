"""Annotations are found beside a recording, read, checked and written."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnrbm.io.annotations import (
    Annotation,
    check_annotations,
    find_annotations,
    read_annotated,
    read_annotations,
    write_annotations,
)
from rnnrbm.io.sound import read_sound, sound_files, sound_info, write_sound

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "vocalizations"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")

CALLS = [Annotation(0.5, 1.0, "a"), Annotation(1.25, 2.0, "b", 100.0, None), Annotation(3.0, 4.0)]


@pytest.mark.parametrize(
    "name",
    ["a.txt", "a.wav.txt", "a.csv", "a.wav.not.mat", "a.not.mat", "a.json", "a.TextGrid", "a.Table.1.selections.txt"],
)
def test_the_file_beside_a_recording_is_found(tmp_path, name):
    assert find_annotations(tmp_path / "a.wav") is None
    for other in ("b.txt", "a.md", "aa.csv", "a.b.txt", "Annotation.xml"):
        (tmp_path / other).touch()
    (tmp_path / name).touch()
    assert find_annotations(tmp_path / "a.wav") == tmp_path / name
    (tmp_path / "a.tsv").touch()
    with pytest.raises(ValueError, match=rf"a.wav: has several files of annotations, .*{name}"):
        find_annotations(tmp_path / "a.wav")


def test_a_file_for_all_recordings_is_found(tmp_path):
    (tmp_path / "Wave").mkdir()
    (tmp_path / "Annotation.xml").touch()
    assert find_annotations(tmp_path / "Wave" / "0.wav") == find_annotations(tmp_path / "0.wav")
    assert find_annotations(tmp_path / "0.wav") == tmp_path / "Annotation.xml"
    (tmp_path / "sub").mkdir()
    assert find_annotations(tmp_path / "sub" / "0.wav") is None


def test_annotations_of_several_recordings(tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text("file,onset_s,offset_s,label\na.wav,1,2,x\nb.wav,3,4,y\na.wav,5,6,z\n")
    with pytest.raises(ValueError, match=r"annotations.csv: annotates 2 recordings, such as a.wav, of which none is"):
        read_annotated(path)
    write_sound(tmp_path / "a.wav", np.zeros(9), 9)
    expected = [Annotation(1.0, 2.0, "x"), Annotation(5.0, 6.0, "z")]
    assert read_annotations(path, recording=tmp_path / "a.wav") == expected
    with pytest.warns(UserWarning, match=r"annotates 1 recordings that are not there, such as b.wav"):
        assert read_annotated(path) == {tmp_path / "a.wav": expected}
    with pytest.raises(ValueError, match=r"annotates 2 recordings, such as a.wav; say which one with recording="):
        read_annotations(path)
    with pytest.raises(ValueError, match=r"annotates 2 recordings, such as a.wav; c.wav is not among them"):
        read_annotations(path, recording="c.wav")
    (tmp_path / "Wave").mkdir()
    write_sound(tmp_path / "Wave" / "b.wav", np.zeros(9), 9)
    assert set(read_annotated(path)) == {tmp_path / "a.wav", tmp_path / "Wave" / "b.wav"}


def test_a_file_beside_its_recording(tmp_path):
    write_annotations(tmp_path / "a.txt", CALLS)
    with pytest.raises(ValueError, match=r"such as that of a.txt, of which none is there"):
        read_annotated(tmp_path / "a.txt")
    write_sound(tmp_path / "a.wav", np.zeros(9), 9)
    assert list(read_annotated(tmp_path / "a.txt")) == [tmp_path / "a.wav"]
    assert read_annotations(tmp_path / "a.txt", recording="other.wav") == read_annotations(tmp_path / "a.txt")
    with pytest.raises(TypeError, match=r"a.txt: the format 'audacity' has no options, got tier"):
        read_annotations(tmp_path / "a.txt", tier=3)
    with pytest.raises(TypeError, match="expected the path of a file of annotations"):
        read_annotations(3)


# --- checks


def test_unsorted_annotations_are_sorted_and_small_excesses_cut():
    given = [Annotation(2.0, 3.005, "c"), Annotation(0.0, 1.004, "a"), Annotation(1.0, 2.0, "b", 5.0, 9.0)]
    assert check_annotations(given, 3.0, hop=0.01) == [
        Annotation(0.0, 1.0, "a"),
        Annotation(1.0, 2.0, "b", 5.0, 9.0),
        Annotation(2.0, 3.0, "c"),
    ]
    assert check_annotations([], 3.0) == []
    message = "x.txt: 1 annotations end after the recording, which lasts 10 s, such as 'k' from 9 to 10.02 s; they end"
    with pytest.warns(UserWarning, match=message):
        assert check_annotations([Annotation(9, 10.02, "k")], 10, hop=0.01, where="x.txt") == [Annotation(9, 10, "k")]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Annotation(-0.1, 1), "x.txt: the onset of 'a segment' is -0.1; expected 0 or more"),
        (Annotation(0, np.nan, "k"), "x.txt: the offset of 'k' is nan"),
        (Annotation(0, 1, "k", np.inf), "x.txt: the low of 'k' is inf"),
        (Annotation(1.5, 1.5, "k"), "x.txt: 'k' from 1.5 to 1.5 s: expected an offset after the onset"),
        (Annotation(0, 1, "k", 900.0, 300.0), "a band from 900 to 300 Hz"),
        (Annotation(10, 10.005, "k"), "x.txt: 'k' from 10 to 10.005 s: past the end, the recording lasts 10 s"),
        (Annotation(3.98, 5, "k"), "x.txt: 'k' from 3.98 to 5 s: overlaps 'z' from 3 to 4 s"),
        (Annotation(3, 3.5, "k"), "overlaps"),
    ],
)
def test_wrong_annotations_are_named(annotation, message):
    with pytest.raises(ValueError, match=message):
        check_annotations([annotation, Annotation(3, 4, "z")], 10.0, hop=0.01, where="x.txt")
    if "overlaps" in message:
        assert len(check_annotations([annotation, Annotation(3, 4, "z")], 10.0, hop=0.01, overlap=True)) == 2


@needs_data
def test_published_annotations_fit_their_recordings():
    pytest.importorskip("crowsetta", reason="the package crowsetta is not installed")

    def checked(path):
        given = read_annotations(find_annotations(path), recording=path)
        return check_annotations(given, sound_info(path).seconds, hop=1e-3, overlap=True, where=str(path))

    annotated = [path for path in sound_files(DATA) if find_annotations(path) is not None]
    with pytest.warns(UserWarning, match=r"RHIFER.*1 annotations end after the recording"):
        numbers = [len(checked(path)) for path in annotated]
    counts: dict[str, int] = {}
    for path, n in zip(annotated, numbers, strict=True):
        counts[path.parent.name] = counts.get(path.parent.name, 0) + n
    assert counts == {"bats": 44, "bengalese_finch_katahira": 63, "bengalese_finch_koumura": 636, "spinetail": 18}
    with pytest.warns(UserWarning, match="annotates 119 recordings that are not there"):
        assert len(read_annotated(DATA / "bengalese_finch_koumura" / "Annotation.xml")) == 16
    # the sound is louder inside than outside
    sound = read_sound(DATA / "bengalese_finch_koumura" / "0.wav")
    inside = np.zeros(len(sound.samples), bool)
    for a in read_annotations(DATA / "bengalese_finch_koumura" / "Annotation.xml", recording="0.wav"):
        inside[round(a.onset * sound.rate) : round(a.offset * sound.rate)] = True
    assert np.square(sound.samples[inside]).mean() > 100 * np.square(sound.samples[~inside]).mean()


# --- writing

labels = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=5).map(
    lambda s: " ".join(s.split())
)
bands = st.one_of(st.none(), st.floats(0, 1e5))
annotations = st.lists(st.builds(Annotation, st.floats(0, 1e5), st.floats(0, 1e5), labels, bands, bands), max_size=5)


@given(annotations)
def test_what_is_written_is_read_back(tmp_path_factory, given):
    folder = tmp_path_factory.mktemp("a")
    write_annotations(folder / "a.csv", given)
    assert read_annotations(folder / "a.csv") == given
    write_annotations(folder / "a.txt", given)
    back = read_annotations(folder / "a.txt")
    assert [a.label for a in back] == [a.label for a in given]
    for one, other in zip(back, given, strict=True):
        for x, y in zip((*one[:2], *one[3:]), (*other[:2], *other[3:]), strict=True):
            assert (x is None) == (y is None)
            assert x is None or abs(x - y) < 1e-6


def test_labels_keep_to_their_line(tmp_path):
    for name in ("a.csv", "a.txt"):
        write_annotations(tmp_path / name, [Annotation(0, 1, "a\tb\nc"), Annotation(np.float32(1), 2, "\u2028x")])
        assert [a.label for a in read_annotations(tmp_path / name)] == ["a b c", "x"]
    assert (tmp_path / "a.csv").read_text().startswith("onset_s,offset_s,label\n0.0,1.0,a b c\n")
    with pytest.raises(ValueError, match=r"a.json: expected a file name ending in .txt, for Audacity, or in .csv"):
        write_annotations(tmp_path / "a.json", CALLS)
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.txt"]
