"""Which sound files are used, and what is said of the others."""

import warnings

import numpy as np
import pytest
import soundfile
from helpers import whistles

from rnnrbm.io.recordings import survey
from rnnrbm.io.sound import sound_files, write_sound

RATE = 16_000


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bird").mkdir()
    for i, name in enumerate(("a.wav", "b.wav", "bird/c.wav")):
        write_sound(tmp_path / name, whistles((0.1, 0.2), seconds=0.5, seed=i), RATE)
    return tmp_path


def looked_at(folder, **options):
    return survey(sound_files(folder), folder, **options)


def test_all_usable_files_are_recordings_with_their_names(folder):
    reports = []
    found = looked_at(folder, progress=lambda *report: reports.append(report[:3]), total=9)
    assert [(r.name, r.rate, r.seconds) for r in found] == [(n, RATE, 0.5) for n in ("a.wav", "b.wav", "bird/c.wav")]
    assert reports == [("read", i, 9) for i in range(3)]


@pytest.mark.parametrize(
    ("samples", "word"),
    [
        (np.full(8000, 0.1), r"bad\.wav: is silent"),
        (whistles(seconds=0.5)[:1], r"bad\.wav: lasts 0\.0625 ms, less than the window of 16 ms"),
        (None, r"bad\.wav: cannot be read as sound"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_named(folder, samples, word):
    if samples is None:
        (folder / "bad.wav").write_bytes(b"RIFF nonsense")
    else:
        soundfile.write(folder / "bad.wav", samples, RATE)
    with pytest.warns(UserWarning, match=word):
        assert [r.name for r in looked_at(folder, window_ms=16)] == ["a.wav", "b.wav", "bird/c.wav"]


def test_a_nan_is_the_files_fault(folder):
    soundfile.write(folder / "bad.wav", np.array([0.1, np.nan] * 4000), RATE, "FLOAT")
    with pytest.warns(UserWarning, match=r"bad\.wav: .*nan"):
        assert len(looked_at(folder)) == 3


def test_copies_count_once_whatever_their_format(folder):
    samples, _ = soundfile.read(folder / "a.wav")
    soundfile.write(folder / "copy.flac", samples, RATE)
    with pytest.warns(UserWarning, match=r"copy\.flac: the same sound as a\.wav, counted once"):
        assert [r.name for r in looked_at(folder)] == ["a.wav", "b.wav", "bird/c.wav"]


def test_clipping_is_reported_in_percent(folder):
    loud = whistles((0.0, 0.5), seconds=0.5, seed=3)
    soundfile.write(folder / "loud.wav", np.clip(4 * loud, -1, 1), RATE)
    share = 100 * np.mean(np.abs(soundfile.read(folder / "loud.wav")[0]) >= 0.999)
    with pytest.warns(UserWarning, match=rf"loud\.wav: {share:.2g} % of its samples are at full scale"):
        assert len(looked_at(folder)) == 4
    assert share > 10


def test_mixed_rates_are_listed_unless_one_is_chosen(folder):
    write_sound(folder / "high.wav", whistles(rate=48_000), 48_000)
    with pytest.raises(
        ValueError, match=r"3 of 16000 Hz, such as a\.wav; 1 of 48000 Hz, such as high\.wav.*rate=16000"
    ):
        looked_at(folder)
    assert len(looked_at(folder, rate=16_000)) == 4


def test_no_usable_file_is_an_error(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"none of its 1 sound files can be used; the last: .*a\.wav"):
            looked_at(tmp_path)
