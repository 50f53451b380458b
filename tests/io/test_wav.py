"""The sound of piano-rolls, as arrays and as WAV files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from scipy.io import wavfile

from rnnrbm import memory
from rnnrbm.io import wav


def test_wav_is_loud_but_never_clips_and_starts_without_a_click(tmp_path):
    roll = np.zeros((16, 88), np.uint8)
    roll[:, [0, 39, 43, 46, 87]] = 1  # the lowest and the highest key too
    wav.write_wav(tmp_path / "a.wav", roll, legato=False, restrike=4)
    rate, samples = wavfile.read(tmp_path / "a.wav")
    assert rate == 22050
    assert samples.dtype == np.int16
    assert samples.shape == (2 * 22050,)  # 16 frames of 1/8 s
    assert np.abs(samples.astype(int)).max() == round(0.8 * 32767)
    # No click: it sets off from 0 and rises slowly.
    assert samples[0] == 0
    assert np.abs(samples[:22]).max() < 0.05 * 32767  # first millisecond
    assert abs(int(samples[-1])) < 100
    loudness = np.sqrt((samples.reshape(4, -1) / 32768.0) ** 2).mean(1)
    assert loudness.min() > 0.05  # every beat sounds


@pytest.mark.parametrize("note", [33, 69, 100])
def test_pitch_and_absence_of_aliases(note):
    samples = wav.synthesize(np.ones((8, 1)), low=note, steps_per_beat=4, sample_rate=22050)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / 22050)
    fundamental = 440 * 2 ** ((note - 69) / 12)
    assert hertz[spectrum.argmax()] == pytest.approx(fundamental, abs=1.5)
    nearest = np.abs(hertz - fundamental * np.maximum(1, np.round(hertz / fundamental)))
    assert spectrum[nearest > 15].sum() < 1e-3 * spectrum.sum()


def test_silence_sounds_like_silence(tmp_path):
    samples = wav.synthesize(np.zeros((4, 88)), tempo=60, sample_rate=8000)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, np.zeros(8000))


def test_sound_lasts_as_long_as_the_roll():
    roll = np.zeros((6, 88))
    roll[0, 40] = 1
    assert wav.synthesize(roll, steps_per_beat=2, tempo=90, sample_rate=9000).shape == (18_000,)
    assert wav.synthesize(roll, seconds_per_frame=0.5, sample_rate=9000).shape == (27_000,)


def test_sound_font_needs(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such sound font"):
        wav.synthesize(np.eye(4), soundfont=tmp_path / "none.sf2")
    font = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
    if pretty_midi.fluidsynth._HAS_FLUIDSYNTH:
        samples = wav.synthesize(np.eye(4), soundfont=font)
        assert np.abs(samples).max() == pytest.approx(0.8)
    else:
        with pytest.raises(ImportError, match="package pyfluidsynth, or pass soundfont=None"):
            wav.synthesize(np.eye(4), soundfont=font)


def test_sample_rate_is_checked():
    with pytest.raises(ValueError, match="sample_rate=10: expected a whole number, 1000 to 1000000"):
        wav.synthesize(np.eye(4), sample_rate=10)


@pytest.mark.parametrize("tempo", [60.0, 90.0])
def test_notes_begin_at_their_frames(tempo):
    roll = np.zeros((8, 88))
    roll[5, 50] = 1  # in the second half
    samples = wav.synthesize(roll, steps_per_beat=2, tempo=tempo, sample_rate=8000)
    begin = round(5 * 60 / tempo / 2 * 8000)
    assert np.abs(samples[: begin - 2]).max() == 0.0
    assert np.abs(samples[begin : begin + 800]).max() > 0.5


def test_the_same_roll_gives_the_same_file(tmp_path):
    for name in ("a.wav", "b.wav"):
        wav.write_wav(tmp_path / name, np.eye(6), low=60)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.wav", "b.wav"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    wav.write_wav(path, np.eye(4))
    before = path.read_bytes()

    def full(filename, rate, data):
        Path(filename).write_bytes(b"RIFF")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wavfile, "write", full)
    with pytest.raises(OSError, match="No space left"):
        wav.write_wav(path, np.eye(5))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.wav"]


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere' does not exist; create it"):
        wav.write_wav(tmp_path / "nowhere" / "a.wav", np.eye(4))


@pytest.mark.parametrize("options", [{"low": 125}, {"tempo": 0}, {"program": 128}, {"restrike": 0, "legato": False}])
def test_arguments_of_midi_are_checked(tmp_path, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        wav.write_wav(tmp_path / "a.wav", np.eye(4), **options)
    assert os.listdir(tmp_path) == []


def test_import_loads_nothing_heavy():
    heavy = {"pretty_midi", "mido", "scipy", "matplotlib", "pytensor", "jax"}
    code = f"import sys, rnnrbm.io.wav; print(*{heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("n_frames", "options", "error", "message"),
    [
        (4, {"tempo": 6e7}, ValueError, "less than two samples of sound; choose a slower tempo"),
        (4, {"seconds_per_frame": 1e-5}, ValueError, "less than two samples of sound"),
        (10**6, {"tempo": 4}, ValueError, "1000000 frames last .* hours, longer than a WAV file can be"),
        (10**6, {"tempo": 1200}, MemoryError, "the sound of 1000000 frames would take"),
        (4, {"tempo": True}, TypeError, "tempo=True: expected beats per minute"),
    ],
)
def test_sounds_that_cannot_be_made(monkeypatch, n_frames, options, error, message):
    monkeypatch.setattr(memory, "available", lambda: 2**32)
    with pytest.raises(error, match=message):
        wav.check_size(n_frames, **options)
    if n_frames == 4:
        with pytest.raises(error, match=message):
            wav.synthesize(np.eye(4, dtype=np.uint8), **options)


def test_a_fast_sound_holds_numbers():
    audio = wav.synthesize(np.eye(4, dtype=np.uint8), tempo=1e5, steps_per_beat=4)
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() == pytest.approx(0.8)
