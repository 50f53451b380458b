"""Sound files: what is read, what is refused, and what is written."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import assert_damage_is_named
from scipy.io import wavfile

from rnnrbm import memory
from rnnrbm.io import sound, wav
from rnnrbm.io.sound import Sound, read_sound, sound_blocks, sound_files, sound_info, write_sound

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "vocalizations"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")


def tone(n: int, rate: int, hertz: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(n) / rate)


def wav_bytes(*, rate=8000, byte_rate=None, size=None, n=100, channels=1, kind=1, bits=16, riff=b"RIFF", data=None):
    """A WAV file whose header says what it is told to."""
    order = "<" if riff == b"RIFF" else ">"
    body = np.arange(n * channels).astype(f"{order}i2").tobytes() if data is None else data
    align = channels * bits // 8
    declared = rate * align % 2**32 if byte_rate is None else byte_rate
    head = struct.pack(f"{order}IHHIIHH", 16, kind, channels, rate, declared, align, bits)
    length = struct.pack(f"{order}I", len(body) if size is None else size)
    return riff + struct.pack(f"{order}I", 36 + len(body)) + b"WAVEfmt " + head + b"data" + length + body


@pytest.fixture
def write(tmp_path):
    def make(data: bytes, name: str = "a.wav") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return make


# --- what is read


@pytest.mark.parametrize(
    ("dtype", "scale", "tolerance"),
    [(np.uint8, 128, 0), (np.int16, 2**15, 0), (np.int32, 2**31, 1e-7), (np.float32, 1, 0), (np.float64, 1, 1e-7)],
)
def test_every_format_of_samples_becomes_float32(tmp_path, dtype, scale, tolerance):
    rng = np.random.default_rng(0)
    real = rng.uniform(-1, 1, (50, 2))
    stored = (real * (scale - 1) + (128 if dtype == np.uint8 else 0)).astype(dtype)
    wavfile.write(tmp_path / "a.wav", 250_000, stored)  # SciPy's writer
    expected = (stored.astype(float) - (128 if dtype == np.uint8 else 0)) / scale
    for channel, samples in ((0, expected[:, 0]), (1, expected[:, 1]), ("mix", expected.mean(axis=1))):
        got = read_sound(tmp_path / "a.wav", channel=channel)
        assert got.samples.dtype == np.float32
        assert got.rate == 250_000
        np.testing.assert_allclose(got.samples, samples, rtol=0, atol=max(tolerance, 1e-7))


def test_compressed_files_and_24_bits(tmp_path):
    x = tone(3000, 22050, 400)
    for name, subtype, tolerance in (
        ("a.flac", "PCM_24", 2**-23),
        ("a.ogg", "VORBIS", 0.02),
        ("a.aiff", "PCM_16", 2**-15),
    ):
        soundfile.write(tmp_path / name, x, 22050, subtype)
        np.testing.assert_allclose(read_sound(tmp_path / name).samples, x, rtol=0, atol=tolerance)
        assert sound_info(tmp_path / name)[:3] == (3000, 22050, 1)


def test_floats_beyond_1_and_one_sample_stay(tmp_path):
    wavfile.write(tmp_path / "a.wav", 500_000, np.array([1234.5], np.float32))
    assert read_sound(tmp_path / "a.wav") == Sound(np.array([1234.5], np.float32), 500_000)
    assert Sound(np.zeros(3), 2).seconds == 1.5


def test_a_part_in_seconds(tmp_path):
    x = np.arange(1000, dtype=np.int16)
    wavfile.write(tmp_path / "a.wav", 100, x)
    got = read_sound(tmp_path / "a.wav", start=2.5, stop=2.53).samples * 32768
    np.testing.assert_array_equal(got, [250, 251, 252])
    assert len(read_sound(tmp_path / "a.wav", start=9.99).samples) == 1
    for options in ({"start": 10}, {"stop": 10.01}, {"start": 3, "stop": 3}, {"start": 5, "stop": 4}):
        with pytest.raises(ValueError, match=r"a.wav: lasts 10 s; start=.* are no part of it"):
            read_sound(tmp_path / "a.wav", **options)
    with pytest.raises(ValueError, match="start=-1: expected seconds from the beginning"):
        read_sound(tmp_path / "a.wav", start=-1)


@pytest.mark.parametrize("rate", [8000, 96_000])
def test_resampling_keeps_pitch_and_length(tmp_path, rate):
    n = 3 * 2**17  # of several blocks
    soundfile.write(tmp_path / "a.flac", tone(n, 44100, 1000), 44100)
    got = read_sound(tmp_path / "a.flac", rate=rate)
    assert got.rate == rate
    assert len(got.samples) == pytest.approx(n * rate / 44100, abs=1)
    inside = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(got.samples[inside], tone(len(got.samples), rate, 1000)[inside], atol=1e-4)


def test_blocks_join_to_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sound, "_BLOCK", 1000)
    wavfile.write(tmp_path / "a.wav", 100, np.random.default_rng(0).integers(-99, 99, (4321, 2)).astype(np.int16))
    for options in ({}, {"channel": 1, "start": 1.23, "stop": 40}, {"rate": 70}, {"rate": 333}):
        blocks = list(sound_blocks(tmp_path / "a.wav", **options))
        assert len(blocks) > 3
        monkeypatch.setattr(sound, "_BLOCK", 2**18)
        whole = read_sound(tmp_path / "a.wav", **options).samples
        monkeypatch.setattr(sound, "_BLOCK", 1000)
        np.testing.assert_allclose(np.concatenate(blocks), whole, rtol=0, atol=1e-6)


def test_a_long_file_needs_little_memory_in_blocks_and_is_refused_whole(tmp_path, monkeypatch):
    import tracemalloc

    n = 20_000_000
    soundfile.write(tmp_path / "a.flac", np.zeros(n, np.int16), 250_000)
    tracemalloc.start()
    assert sum(map(len, sound_blocks(tmp_path / "a.flac"))) == n
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23
    monkeypatch.setattr(memory, "available", lambda: 2**26)
    with pytest.raises(MemoryError, match=r"a.flac: its 20000000 samples would take .*; read a part of it with start"):
        read_sound(tmp_path / "a.flac")


def test_sound_files_of_a_folder(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("z.WAV", "b/a.flac", "b/c/a.ogg", "._z.wav", "notes.txt"):
        (tmp_path / name).touch()
    assert [p.relative_to(tmp_path).as_posix() for p in sound_files(tmp_path)] == ["b/a.flac", "b/c/a.ogg", "z.WAV"]


# --- what is refused, or read with a warning


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be read as sound"),
        (b"RIFF", "cannot be read as sound"),
        (b"a text, no sound" * 9, "cannot be read as sound"),
        (wav_bytes(rate=0), "cannot be read as sound|0 samples per second"),
        (wav_bytes(rate=2**30), "its header says 1073741824 samples per second, expected 1 to 1000000"),
        (wav_bytes(n=0), "holds no sound, 0 samples"),
        (wav_bytes(channels=0), "cannot be read as sound"),
        (
            wav_bytes(kind=3, bits=32, data=np.array([0, np.nan, np.inf], "<f4").tobytes()),
            r"2 samples are NaN.*nan at 0",
        ),
        (wav_bytes(kind=3, bits=32, data=np.array([1e30], "<f4").tobytes()), r"1 samples are NaN, .*beyond 2\*\*32"),
        (wav_bytes(kind=3, bits=64, data=np.array([1e300], "<f8").tobytes()), r"1 samples are NaN, infinite"),
    ],
)
def test_files_that_are_no_sound_are_named(write, data, message):
    with pytest.raises(ValueError, match=rf"a\.wav: .*({message})"):
        read_sound(write(data))


def test_the_mean_of_channels_hides_nothing(tmp_path):
    x = np.zeros((9, 2), np.float32)
    x[4] = 3e38, -3e38
    wavfile.write(tmp_path / "a.wav", 8000, x)
    with pytest.raises(ValueError, match=r"a.wav: 2 samples are NaN, .* the first is 3\S* at 0.0005 s"):
        read_sound(tmp_path / "a.wav")
    x[4] = 0.25, np.nan
    wavfile.write(tmp_path / "a.wav", 8000, x)
    assert read_sound(tmp_path / "a.wav", channel=0).samples[4] == 0.25
    with pytest.raises(ValueError, match=r"a.wav: 1 samples are NaN, .* the first is nan at 0.0005 s"):
        read_sound(tmp_path / "a.wav", channel=1)


def test_headers_that_lie_are_said(write):
    with pytest.warns(UserWarning, match=r"a.wav: its header contradicts .* 8000 samples per second are 16000 bytes"):
        assert read_sound(write(wav_bytes(byte_rate=88_200))).rate == 8000
    with pytest.warns(UserWarning, match=r"a.wav: is cut off: its header says 1000000 bytes of sound, 200 are there"):
        assert len(read_sound(write(wav_bytes(size=10**6))).samples) == 100
    # of a stream, whose length was not known, and with the other order of bytes: no warning
    np.testing.assert_array_equal(read_sound(write(wav_bytes(size=2**32 - 1))).samples * 32768, np.arange(100))
    np.testing.assert_array_equal(read_sound(write(wav_bytes(riff=b"RIFX"))).samples * 32768, np.arange(100))


def test_cut_off_files(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 50_000), 8000)
    whole = path.read_bytes()
    path.write_bytes(whole[:60_000])
    with pytest.raises(ValueError, match=r"a.flac: cannot be read as sound, it is cut off, damaged"):
        read_sound(path)
    path.write_bytes(whole)
    monkeypatch.setattr(sound, "_info", lambda file, path: sound.SoundInfo(10**12, 8000, 1, "FLAC", "PCM_16"))
    monkeypatch.setattr(memory, "available", lambda: 2**60)
    with pytest.warns(UserWarning, match=r"a.flac: is cut off: its header says 1000000000000 samples, 50000 are there"):
        assert len(read_sound(path).samples) == 50_000  # and no room is made for what the header says


def test_damaged_files_are_read_or_named(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(300, 8000, 500), 8000)
    assert_damage_is_named(read_sound, tmp_path / "a.flac")


def test_arguments_are_checked_before_the_file():
    for options, error, message in (
        ({"rate": 0}, ValueError, "rate=0: expected a whole number, 1 to 1000000"),
        ({"rate": 2e6}, ValueError, "rate=2000000.0"),
        ({"channel": -1}, ValueError, "channel=-1"),
        ({"channel": "left"}, TypeError, "channel='left'"),
        ({"stop": "3"}, TypeError, "stop='3': expected seconds"),
    ):
        with pytest.raises(error, match=message):
            read_sound("nowhere.wav", **options)
    with pytest.raises(FileNotFoundError, match=r"nowhere.wav: there is no such file; give the path of a sound file"):
        read_sound("nowhere.wav")
    with pytest.raises(TypeError, match="expected the path of a sound file"):
        read_sound(3)


def test_channels_and_kinds_of_files_that_are_not_there(write, tmp_path):
    path = write(wav_bytes(channels=3))
    with pytest.raises(ValueError, match=r"a.wav: has 3 channels; expected channel 0 to 2 or 'mix'"):
        sound_blocks(path, channel=3)  # at once, not at the first block
    with pytest.raises(IsADirectoryError, match="is a folder; give the path of a sound file"):
        sound_info(tmp_path)
    with pytest.raises(ValueError, match=r"a.raw: cannot be read as sound"):
        sound_info(write(b"1234", "a.raw"))


@needs_data
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("audiomoth_gps.wav", (95_999, 48_000)),
        ("empty_2c.wav", "holds no sound, 0 samples"),
        ("scipy-test-44100Hz-2ch-32bit-float-be.wav", (441, 44_100)),
        ("scipy-test-44100Hz-2ch-32bit-float-le.wav", (441, 44_100)),
        ("scipy-test-44100Hz-le-1ch-4bytes-incomplete-chunk.wav", "cannot be read as sound"),
        ("scipy-test-44100Hz-le-1ch-4bytes.wav", (4410, 44_100)),
        ("scipy-test-48000Hz-2ch-64bit-float-le-wavex.wav", (480, 48_000)),
        ("scipy-test-8000Hz-be-3ch-5S-24bit.wav", (5, 8000)),
        ("scipy-test-8000Hz-le-2ch-1byteu.wav", (800, 8000)),
        ("scipy-test-8000Hz-le-3ch-5S-24bit.wav", (5, 8000)),
        ("veryshort.wav", (6266, 44_100)),
    ],
)
def test_awkward_files(name, found):
    assert name in os.listdir(DATA / "awkward")
    if isinstance(found, str):
        with pytest.raises(ValueError, match=rf"{name}: {found}"):
            read_sound(DATA / "awkward" / name)
        return
    got = read_sound(DATA / "awkward" / name)
    assert (len(got.samples), got.rate) == found
    if name == "veryshort.wav":
        np.testing.assert_array_equal(got.samples * 32768, wavfile.read(DATA / "awkward" / name)[1])


# --- what is written


def test_what_is_written_is_read_back(tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, 1000)
    x[:2] = -1, 1
    write_sound(tmp_path / "a.wav", x, 250_000)
    back = read_sound(tmp_path / "a.wav")
    assert back.rate == 250_000
    np.testing.assert_allclose(back.samples[[0, *range(2, 1000)]], x[[0, *range(2, 1000)]], rtol=0, atol=0.51 / 32768)
    assert back.samples[1] == 32767 / 32768
    assert sound_info(tmp_path / "a.wav")[3:] == ("WAV", "PCM_16")


def test_a_loud_sound_is_made_quieter_and_not_clipped(tmp_path):
    x = tone(1000, 8000, 100) * 5
    with pytest.warns(
        UserWarning, match=r"a.wav: the sound peaks at 2.5, beyond 1, and is made quieter by that factor"
    ):
        write_sound(tmp_path / "a.wav", x, 8000)
    np.testing.assert_allclose(read_sound(tmp_path / "a.wav").samples, x / 2.5, rtol=0, atol=1.01 / 32768)


@pytest.mark.parametrize(
    ("samples", "rate", "error", "message"),
    [
        ([], 8000, ValueError, r"samples: an array of shape \(0,\)"),
        (np.zeros((4, 2)), 8000, ValueError, r"shape \(4, 2\); expected one dimension.*samples.mean\(axis=1\)"),
        ([0, np.nan], 8000, ValueError, "samples: 1 samples are NaN.*the first is nan at sample 1"),
        ([1e300], 8000, ValueError, "samples: 1 samples are NaN"),
        (["a"], 8000, TypeError, "samples: values of type"),
        ([0.0], 0, ValueError, "rate=0"),
    ],
)
def test_sounds_that_cannot_be_written(tmp_path, samples, rate, error, message):
    with pytest.raises(error, match=message):
        write_sound(tmp_path / "a.wav", samples, rate)
    assert os.listdir(tmp_path) == []


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    write_sound(path, [0.5], 8000)
    before = path.read_bytes()

    def full(file, *arguments, **options):
        Path(file).write_bytes(b"RIFF")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_sound(path, [0.25], 8000)
    assert path.read_bytes() == before
    monkeypatch.setattr(sound, "MOST_SAMPLES", 3)
    with pytest.raises(ValueError, match="4 samples, more than a WAV file can hold"):
        write_sound(path, np.zeros(4), 8000)
    with pytest.raises(ValueError, match=r"a.ogg: expected a file name ending in .wav"):
        write_sound(tmp_path / "a.ogg", [0.25], 8000)
    assert os.listdir(tmp_path) == ["a.wav"]
    assert wav.MOST_SAMPLES * 2 < 2**32


def test_import_loads_nothing_heavy():
    heavy = {"soundfile", "soxr", "scipy", "matplotlib", "pytensor", "jax"}
    code = f"import sys, rnnrbm.io.sound, rnnrbm.io.fingerprint; print(*{heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
