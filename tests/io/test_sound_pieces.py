"""Which parts of recordings become pieces, and for what."""

from pathlib import Path

import numpy as np
import pytest
from helpers import whistles

from rnnrbm.io import sound_pieces
from rnnrbm.io.annotations import Annotation, write_annotations
from rnnrbm.io.recordings import Recording
from rnnrbm.io.segments import SegmentSettings, find_segments
from rnnrbm.io.sound import write_sound
from rnnrbm.io.sound_pieces import (
    Stretch,
    annotated,
    calls,
    cut,
    divided_by_group,
    divided_by_time,
    group_of,
    joined,
    left_out,
)

TEN = Recording(Path("a.wav"), "a.wav", 16_000, 10.0)
FRACTIONS = np.array([0.7, 0.15, 0.15])


def spans(stretches):
    return [(round(s.start, 6), round(s.stop, 6)) for s in stretches]


def test_segments_with_short_gaps_are_one_piece_with_margins():
    segments = [Annotation(a, b) for a, b in ((0.02, 0.5), (0.3, 1.0), (1.5, 2.0), (2.61, 3.0), (9.8, 10.0))]
    assert spans(joined(TEN, segments, gap=0.5, margin=0.05)) == [(0, 2.05), (2.56, 3.05), (9.75, 10)]
    assert spans(joined(TEN, segments, gap=0.0, margin=0.0)) == [(0.02, 1.0), (1.5, 2.0), (2.61, 3.0), (9.8, 10.0)]
    assert len(spans(joined(TEN, segments, gap=0.0, margin=0.31))) == 2  # margins that would overlap join


def test_long_stretches_are_cut_into_equal_parts():
    assert spans(cut([Stretch(TEN, 1.0, 8.0), Stretch(TEN, 8.5, 9.0)], 3.0)) == [
        (1.0, 3.333333),
        (3.333333, 5.666667),
        (5.666667, 8.0),
        (8.5, 9.0),
    ]
    assert spans(cut([Stretch(TEN, 0.0, 9.0)], 3.0)) == [(0, 3), (3, 6), (6, 9)]


@pytest.mark.parametrize(
    ("name", "group", "expected"),
    [
        ("bird1/a.wav", "recording", "bird1/a.wav"),
        ("bird1/day2/a.wav", "folder", "bird1"),
        ("x/LOCA_652_3.wav", r"LOCA_\d+", "LOCA_652"),
        ("x/LOCA_652_3.wav", r"_(\d)\.wav", "3"),
        ("x/other.wav", r"LOCA_\d+", "x/other.wav"),
    ],
)
def test_groups(name, group, expected):
    assert group_of(name, group) == expected


def test_a_group_that_is_no_expression_is_refused():
    with pytest.raises(ValueError, match="regular expression"):
        group_of("a", "(")


def test_pieces_of_a_group_stay_together():
    recordings = [Recording(Path(f"{b}_{i}.wav"), f"{b}_{i}.wav", 1, 1.0) for b in "abcde" for i in range(4)]
    stretches = [Stretch(r, t, t + 0.1) for r in recordings for t in (0.0, 0.5)]
    found = divided_by_group(stretches, r"^(.)_", FRACTIONS, 0)
    birds = [{s.recording.name[0] for s in part} for part in found.values()]
    assert sum(map(len, birds)) == len(set().union(*birds)) == 5
    assert sum(map(len, found.values())) == len(stretches)
    assert divided_by_group(stretches[:16], r"^(.)_", FRACTIONS, 0) is None  # two birds


def test_a_recording_is_divided_by_time_with_gaps():
    pieces = [Stretch(TEN, 0.0, 4.0), Stretch(TEN, 5.0, 9.0), Stretch(TEN, 9.5, 10.0)]
    parts, gap = divided_by_time(pieces, FRACTIONS, "a.wav")
    assert gap == pytest.approx(8.5 / 20)
    assert spans(parts["train"]) == [(0, 4), (5, round(6.95 - gap / 2, 6))]
    assert spans(parts["valid"]) == [(round(6.95 + gap / 2, 6), round(8.225 - gap / 2, 6))]
    assert spans(parts["test"]) == [(round(8.225 + gap / 2, 6), 9), (9.5, 10)]
    _, gap = divided_by_time([Stretch(TEN, 0.0, 100.0)], FRACTIONS, "a.wav")
    assert gap == 1.0


def test_fractions_that_leave_nothing_between_the_gaps_are_refused():
    with pytest.raises(ValueError, match=r"a\.wav: 10 s of sound are too short"):
        divided_by_time([Stretch(TEN, 0.0, 10.0)], np.array([0.97, 0.01, 0.02]), "a.wav")


def test_calls_are_found_in_parts_of_a_long_recording(tmp_path, monkeypatch):
    samples = whistles((0.2, 0.4), (0.9, 1.2), (1.5, 1.6), seconds=2.0)
    write_sound(tmp_path / "a.wav", samples, 16_000)
    recording = Recording(tmp_path / "a.wav", "a.wav", 16_000, 2.0)
    whole = calls(recording, SegmentSettings())
    np.testing.assert_allclose([a[:2] for a in whole], [a[:2] for a in find_segments(samples, 16_000)], atol=1e-3)
    monkeypatch.setattr(sound_pieces, "PART", 1.0)
    parts = list(joined(recording, calls(recording, SegmentSettings()), gap=0.05, margin=0.0))
    np.testing.assert_allclose([s[1:] for s in parts], [a[:2] for a in whole], atol=0.01)


def test_annotations_are_checked_and_recordings_without_them_named(tmp_path):
    recordings = [Recording(tmp_path / f"{n}.wav", f"{n}.wav", 16_000, 2.0) for n in "abc"]
    for recording in recordings:
        write_sound(recording.path, whistles(), 16_000)
    write_annotations(tmp_path / "a.txt", [Annotation(1.0, 1.5, "x"), Annotation(0.2, 0.4, "y")])
    write_annotations(tmp_path / "b.txt", [])
    found = annotated(recordings)
    assert {r.name: [a.label for a in of] for r, of in found.items()} == {"a.wav": ["y", "x"]}
    with pytest.warns(UserWarning, match=r"2 of 3 recordings have no annotations, such as b\.wav"):
        left_out(recordings, found, tmp_path, "annotations", "")
    write_annotations(tmp_path / "c.txt", [Annotation(3.0, 3.5)])
    with pytest.raises(ValueError, match=r"c\.txt, c\.wav: .*past the end"):
        annotated(recordings)


def test_a_table_of_all_recordings_of_a_folder(tmp_path):
    recordings = [Recording(tmp_path / f"{n}.wav", f"{n}.wav", 16_000, 2.0) for n in "ab"]
    for recording in recordings:
        write_sound(recording.path, whistles(), 16_000)
    (tmp_path / "annotations.csv").write_text("file,onset_s,offset_s\nb.wav,0.1,0.2\ngone.wav,0.1,0.2\n")
    assert [(r.name, len(of)) for r, of in annotated(recordings).items()] == [("b.wav", 1)]
