"""Readers of annotations, one format after the other."""

import json
import os
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from helpers import assert_damage_is_named

from rnnrbm.io.annotation_formats import (
    Annotation,
    read_audacity,
    read_batdetect2,
    read_crowsetta,
    read_notmat,
    read_table,
    reader_of,
)

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "vocalizations"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")


@pytest.fixture
def write(tmp_path):
    def make(name: str, text: str) -> Path:
        (tmp_path / name).write_bytes(text.encode())
        return tmp_path / name

    return make


# --- Audacity


def test_audacity_labels_with_and_without_bands(write):
    path = write("a.txt", "0.5\t1.25\tcall a\r\n\\\t1000.0\t2000.5\n\n1.5\t1.75\t\n2\t3\n4\t5\tb\n\\\t-1.0\t300\n")
    assert read_audacity(path) == {
        "": [
            Annotation(0.5, 1.25, "call a", 1000.0, 2000.5),
            Annotation(1.5, 1.75),
            Annotation(2.0, 3.0),
            Annotation(4.0, 5.0, "b", None, 300.0),
        ]
    }
    assert read_audacity(write("b.txt", "")) == {"": []}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5 1.5 a\n", "line 1: '0.5 1.5 a'; expected the onset, the offset and a label, separated by tabs"),
        ("1\t2\ta\nx\t3\tb\n", "line 2: 'x' where a number is expected"),
        ("1\tnan\ta\n", "line 1: 'nan' where a number is expected"),
        ("\\\t1\t2\n", "line 1: frequencies without a label"),
        ("1\t2\ta\n\\\t1\n", r"line 2: .*expected the onset"),
    ],
)
def test_other_texts_are_named(write, text, message):
    with pytest.raises(ValueError, match=rf"a.txt, {message}"):
        read_audacity(write("a.txt", text))


@needs_data
def test_published_labels_of_audacity():
    found = read_audacity(DATA / "spinetail" / "spinetail.txt")[""]
    assert len(found) == 18
    assert found[1] == Annotation(0.506924, 3.041545, "CRER", 2593.156006, 8866.920898)
    assert {a.label for a in found} == {"SP", "CRER"}


# --- tables


def test_tables_of_several_programs(write):
    own = write("a.csv", '\ufeffonset_s,offset_s,label,low_hz,high_hz\n0.5,1,"a,b",1000,2000\n2,3,,,\n\n')
    assert read_table(own) == {"": [Annotation(0.5, 1.0, "a,b", 1000.0, 2000.0), Annotation(2.0, 3.0)]}
    named = "label;Start Time;end time;File\nx;1;2;C:\\birds\\a.wav\ny;3;4;b.wav\nx;5;6;a.wav\n"
    assert read_table(write("b.csv", named)) == {
        "a.wav": [Annotation(1.0, 2.0, "x"), Annotation(5.0, 6.0, "x")],
        "b.wav": [Annotation(3.0, 4.0, "y")],
    }
    raven = (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies\n"
        "1\tWaveform 1\t1\t0.25\t0.75\t0\t22050\tEATO\n"
        "1\tSpectrogram 1\t1\t0.25\t0.75\t1800.5\t4000\tEATO\n"
        "2\tSpectrogram 1\t1\t1.25\t1.75\t1900\t4100\tEATO\n"
    )
    found = read_table(write("c.txt", raven))[""]
    assert found == [Annotation(0.25, 0.75, "EATO", 0.0, 22050.0), Annotation(1.25, 1.75, "EATO", 1900.0, 4100.0)]
    assert read_table(write("d.csv", "start,stop\n")) == {"": []}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.csv: its first line is ''; expected a header with the columns onset_s and offset_s"),
        ("onset_ms,offset_ms\n1,2\n", "a.csv: its first line is 'onset_ms,offset_ms'"),
        ("onset_s,offset_s\n1\n", "a.csv, row 2: 1 cells, expected 2"),
        ("onset_s,offset_s\n1,\n", "a.csv, row 2: '' where a number is expected"),
        ("onset_s,offset_s\n1,inf\n", "a.csv, row 2: 'inf' where"),
        ('onset_s,offset_s\n"' + "x" * 200_000, "a.csv: cannot be read as a table"),
    ],
)
def test_other_tables_are_named(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_table(write("a.csv", text))


def test_texts_in_other_encodings_are_named(tmp_path):
    (tmp_path / "a.csv").write_bytes("onset_s,offset_s\n1,2,ü".encode("latin-1"))
    with pytest.raises(ValueError, match=r"a.csv: cannot be read as text in UTF-8"):
        read_table(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match=r"b.csv: there is no such file; give the path of a file of anno"):
        read_table(tmp_path / "b.csv")


# --- .not.mat


def test_notmat_files_are_in_milliseconds(tmp_path):
    path = tmp_path / "a.wav.not.mat"
    for labels, n in (("abc", 3), ("a", 1), ("", 0)):
        times = np.array([[100.5], [200.0], [300.0]])[:n]
        scipy.io.savemat(path, {"Fs": 32000, "onsets": times, "offsets": times + 50, "labels": labels})
        expected = [Annotation(t / 1000, (t + 50) / 1000, label) for t, label in zip(times[:, 0], labels, strict=True)]
        assert read_notmat(path) == {"": expected}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"onsets": [1.0], "offsets": [2.0]}, "has no labels; expected a file that evsonganaly wrote"),
        ({"onsets": [1.0], "offsets": [2.0], "labels": "ab"}, "has 1 onsets, 1 offsets and 2 labels"),
        (
            {"onsets": [np.nan], "offsets": [2.0], "labels": "a"},
            "onsets and offsets: .*nan.* where a number is",
        ),
        ({"onsets": "x", "offsets": [2.0], "labels": "a"}, "are not numbers, numbers and a text"),
        ({"onsets": [1.0], "offsets": [2.0], "labels": [3.0]}, "are not numbers, numbers and a text"),
    ],
)
def test_other_mat_files_are_named(tmp_path, variables, message):
    scipy.io.savemat(tmp_path / "a.not.mat", variables)
    with pytest.raises(ValueError, match=rf"a.not.mat.*{message}"):
        read_notmat(tmp_path / "a.not.mat")


def test_damaged_mat_files_are_read_or_named(tmp_path):
    times = np.arange(9.0)[:, None]
    scipy.io.savemat(tmp_path / "a.mat", {"onsets": times, "offsets": times + 1, "labels": "abcdefghi"})
    assert_damage_is_named(read_notmat, tmp_path / "a.mat")
    with pytest.raises(FileNotFoundError, match=r"b.mat: there is no such file"):
        read_notmat(tmp_path / "b.mat")


@needs_data
def test_a_published_notmat_file():
    evfuncs = pytest.importorskip("evfuncs", reason="the package evfuncs is not installed")
    path = DATA / "bengalese_finch_katahira" / "002.wav.not.mat"
    expected = evfuncs.load_notmat(path)
    found = read_notmat(path)[""]
    np.testing.assert_allclose([a.onset * 1000 for a in found], expected["onsets"], rtol=1e-12)
    np.testing.assert_allclose([a.offset * 1000 for a in found], expected["offsets"], rtol=1e-12)
    assert "".join(a.label for a in found) == expected["labels"]


# --- batdetect2


def test_calls_of_batdetect2(write):
    call = {"start_time": 0.5, "end_time": 0.75, "low_freq": 30_000, "high_freq": 60_000, "class": "Myotis"}
    tree = {"annotation": [call, {"start_time": 1, "end_time": 2}], "id": "a.wav"}
    found = read_batdetect2(write("a.json", json.dumps(tree)))
    assert found == {"": [Annotation(0.5, 0.75, "Myotis", 30_000.0, 60_000.0), Annotation(1.0, 2.0)]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "a.json: cannot be read as JSON"),
        ("[" * 100_000, "a.json: cannot be read as JSON"),
        ("1" * 5000, "a.json: cannot be read as JSON"),
        ("[]", "a.json: has no list 'annotation'"),
        ('{"annotation": 3}', "a.json: has no list 'annotation'"),
        ('{"annotation": [3]}', r"a.json, annotation\[0\]: 3; expected an object"),
        ('{"annotation": [{"start_time": 1}]}', r"a.json, annotation\[0\], end_time: None where a number"),
        ('{"annotation": [{"start_time": NaN, "end_time": 1}]}', "start_time: nan where a number"),
        ('{"annotation": [{"start_time": true, "end_time": 1}]}', "start_time: True where a number"),
    ],
)
def test_other_json_is_named(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_batdetect2(write("a.json", text))


# --- crowsetta


def test_a_missing_crowsetta_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "crowsetta", None)
    with pytest.raises(ImportError, match=r"a.xml: annotations of .* 'timit'.* pip install crowsetta"):
        read_crowsetta(tmp_path / "a.xml", "timit", lambda name: None)


def test_formats_of_crowsetta(write):
    pytest.importorskip("crowsetta", reason="the package crowsetta is not installed")
    grid = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 3\n'
        "tiers? <exists>\nsize = 1\nitem []:\n"
        '    item [1]:\n        class = "IntervalTier"\n        name = "calls"\n        xmin = 0\n        xmax = 3\n'
        "        intervals: size = 3\n"
        '        intervals [1]:\n            xmin = 0\n            xmax = 1.00025\n            text = ""\n'
        '        intervals [2]:\n            xmin = 1.00025\n            xmax = 2.5\n            text = "a"\n'
        '        intervals [3]:\n            xmin = 2.5\n            xmax = 3\n            text = "b"\n'
    )
    found = read_crowsetta(write("a.TextGrid", grid), "textgrid", lambda name: None)
    assert found == {"": [Annotation(1.00025, 2.5, "a"), Annotation(2.5, 3.0, "b")]}  # not rounded to milliseconds
    timit = read_crowsetta(write("a.phn", "0 1600 h#\n1600 2401 ae\n"), "timit", lambda name: 16_000)
    assert list(timit.values()) == [[Annotation(0.0, 0.1, "h#"), Annotation(0.1, 2401 / 16_000, "ae")]]
    with pytest.raises(ValueError, match=r"b.TextGrid: cannot be read as annotations of the format textgrid"):
        read_crowsetta(write("b.TextGrid", "no grid"), "textgrid", lambda name: None)
    with pytest.raises(ValueError, match="format='textgird': did you mean 'textgrid'"):
        read_crowsetta(write("a.TextGrid", grid), "textgird", lambda name: None)


@needs_data
def test_the_koumura_set_is_read_in_samples_from_the_beginning_of_the_recording():
    pytest.importorskip("crowsetta", reason="the package crowsetta is not installed")
    path = DATA / "bengalese_finch_koumura" / "Annotation.xml"
    expected: dict[str, list[tuple[float, float, str]]] = {}
    for sequence in ElementTree.parse(path).getroot().iter("Sequence"):
        start = int(sequence.findtext("Position"))
        for note in sequence.iter("Note"):
            onset = start + int(note.findtext("Position"))
            times = onset / 32_000, (onset + int(note.findtext("Length"))) / 32_000
            expected.setdefault(sequence.findtext("WaveFileName"), []).append((*times, note.findtext("Label")))
    found = read_crowsetta(path, "birdsong-recognition-dataset", lambda name: None if name == "99.wav" else 32_000)
    assert found.pop("99.wav") == []
    del expected["99.wav"]
    assert {name: [a[:3] for a in each] for name, each in found.items()} == expected
    assert sum(len(found[f"{i}.wav"]) for i in range(16)) == 636


# --- which reader


def test_the_format_is_found_by_the_suffix(write):
    assert reader_of(Path("a.wav.not.mat")) == "notmat"
    assert reader_of(Path("A.TEXTGRID")) == "textgrid"
    assert reader_of(Path("a.csv"), "audacity") == "audacity"
    assert reader_of(write("a.txt", "\n0.5\t1\ta\n")) == reader_of(write("a.txt", "")) == "audacity"
    assert reader_of(write("a.txt", "Selection\tBegin Time (s)\n")) == "table"
    with pytest.raises(ValueError, match=r"a.mat: no annotations are known by that suffix; expected .not.mat, .csv"):
        reader_of(Path("a.mat"))
