"""The command ``rnnrbm segment``: what it finds, writes and draws, and that it replaces nothing."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers import refused, rnnrbm, whistles
from matplotlib.image import imread

from rnnrbm.experiment import segmenting
from rnnrbm.experiment.segmenting import segment_recordings
from rnnrbm.io.annotations import read_annotations
from rnnrbm.io.sound import write_sound
from rnnrbm.io.sound_folder import load_sounds

RATE = 16_000


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "songs" / "bird").mkdir(parents=True)
    write_sound(tmp_path / "songs" / "a.wav", whistles((0.1, 0.2), (0.3, 0.5), seconds=1.0), RATE)
    write_sound(tmp_path / "songs" / "bird" / "b.wav", whistles((0.6, 0.9), seconds=1.0, rate=48_000), 48_000)
    return tmp_path / "songs"


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_calls_are_annotated_and_drawn_in_another_folder(folder, tmp_path):
    before = files(folder)
    done = rnnrbm("segment", folder, "--out", tmp_path / "new")
    assert files(folder) == before
    assert files(tmp_path / "new") == ["a.png", "a.txt", "bird/b.png", "bird/b.txt"]
    found = read_annotations(tmp_path / "new" / "a.txt")
    np.testing.assert_allclose([a[:2] for a in found], [(0.1, 0.2), (0.3, 0.5)], atol=0.01)
    assert f"{tmp_path / 'new' / 'a.txt'}: 2 calls, 31% of 1.0 s" in done.stdout
    image = imread(tmp_path / "new" / "a.png")
    assert image[..., :3].std() > 0.05


def test_training_reads_what_was_written_beside_the_recordings(folder):
    for name in ("c", "d"):
        write_sound(folder / f"{name}.wav", whistles((0.4, 0.6), seconds=1.0, seed=ord(name)), RATE)
    (folder / "bird" / "b.wav").unlink()
    rnnrbm("segment", folder, "--no-pictures", "--before-ms", 20, "--format", "csv")
    assert files(folder) == ["a.csv", "a.wav", "c.csv", "c.wav", "d.csv", "d.wav"]
    (call, last) = (read_annotations(folder / "a.csv")[i] for i in (0, -1))
    assert call.onset == pytest.approx(0.08, abs=0.01)  # 20 ms earlier
    names = [name for of_split in load_sounds(folder, segments="annotations").names.values() for name in of_split]
    assert f"a.wav {call.onset - 0.05:.3f}-{last.offset + 0.05:.3f} s" in names


def test_nothing_is_replaced_without_being_asked(folder, tmp_path):
    rnnrbm("segment", folder)
    first = {name: (folder / name).read_bytes() for name in files(folder)}
    assert "a.txt: exists already" in refused("segment", folder)
    assert "a.wav: has annotations already" in refused("segment", folder, "--format", "csv", "--overwrite")
    (folder / "a.txt").unlink()
    assert "a.png: exists already" in refused("segment", folder)
    assert "a.txt" not in files(folder)
    rnnrbm("segment", folder, "--overwrite")
    assert {name: (folder / name).read_bytes() for name in files(folder) if name.endswith("txt")} == {
        name: content for name, content in first.items() if name.endswith("txt")
    }


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--low", "9000"), "not below half its sample rate, 8000 Hz"),
        (("--low", "-1"), "low=-1"),
        (("--threshold-kind", "loud"), "threshold_kind='loud'"),
        (("--channel", "left"), "--channel left"),
        (("--format", "xml"), "'txt', for Audacity, or 'csv'"),
        (("--out", "songs/a.wav"), "is a file"),
    ],
)
def test_impossible_options_write_nothing(folder, arguments, word):
    before = files(folder)
    assert word in refused("segment", folder, *arguments, cwd=folder.parent)
    assert files(folder) == before


def test_wrong_sources_are_named(tmp_path):
    assert "there is no such file or folder" in refused("segment", tmp_path / "gone")
    assert "no sound file" in refused("segment", tmp_path)
    for suffix in ("wav", "flac"):
        (tmp_path / f"a.{suffix}").write_bytes(b"")
    assert "the same file of annotations, a.txt" in refused("segment", tmp_path)


def test_silence_has_an_empty_file_and_a_warning(tmp_path):
    write_sound(tmp_path / "a.wav", whistles(seconds=1.0), RATE)
    done = rnnrbm("segment", tmp_path, "--no-pictures")
    assert (tmp_path / "a.txt").read_text() == ""
    assert "1 of 1 recordings have no call above the threshold" in done.stderr


def test_an_interruption_leaves_whole_files_only(folder, monkeypatch):
    drawn = []

    def interrupted(recording, *rest):
        drawn.append(recording.name)
        if len(drawn) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(segmenting, "_draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        segment_recordings(folder)
    assert files(folder) == ["a.txt", "a.wav", "bird/b.wav"]


@pytest.mark.skipif(not os.environ.get("RNNRBM_DATA"), reason="RNNRBM_DATA is not set: no real data")
def test_zebra_finches(tmp_path):
    source = Path(os.environ["RNNRBM_DATA"]) / "vocalizations" / "zebra_finch"
    with pytest.warns(UserWarning, match="WhiLbl"):
        found = segment_recordings(source, tmp_path / "out", pictures=False)
    counts = {each.path.stem: each.n_calls for each in found}
    assert counts == {"WhiLbl0010_110411-DC-01": 0, "bells": 16, "flashcam": 12, "samba": 11, "simple": 6}
