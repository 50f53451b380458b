"""Spectrograms, against SciPy's transform and librosa's filters, and what their settings refuse."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.fft import next_fast_len
from scipy.signal import ShortTimeFFT

from rnnrbm import memory
from rnnrbm.io import spectrogram as module
from rnnrbm.io.spectrogram import (
    PRESETS,
    SpectrogramSettings,
    constant_bands,
    preset,
    spectrogram,
    spectrogram_blocks,
)

LINEAR = SpectrogramSettings(16.0, 8.0, 0.0, None, "linear", None)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)


# --- numbers


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        (PRESETS["vak"], 32_000),
        (PRESETS["ava-finch"], 32_000),
        (PRESETS["ava-mouse"], 250_000),
        (PRESETS["ava-finch"], 44_100),  # 706 samples of window in a transform of 720, a hop of 353
        (SpectrogramSettings(7.0, 7.0, 50.0, None, "log", 9), 10_000),
    ],
)
def test_equals_scipys_transform_and_the_weights(monkeypatch, settings, rate):
    monkeypatch.setattr(module, "_FRAMES", 7)  # of several chunks
    x = noise(9000)
    got = spectrogram(x, rate, settings)
    window, hop = round(settings.window_ms * rate / 1000), round(settings.hop_ms * rate / 1000)
    n_fft = next_fast_len(window, real=True)
    scipys = ShortTimeFFT.from_window("hann", rate, window, window - hop, mfft=n_fft, scale_to="magnitude")
    frames = (9000 - window) // hop + 1
    transform = scipys.stft(x.astype(float), 0, frames, k_offset=scipys.m_num_mid).T
    power = np.abs(2 * transform) ** 2 @ settings.weights(rate).T.astype(float)
    expected = 10 * np.log10(power + 10 ** (settings.floor_db / 10))
    assert got.dtype == np.float32
    assert got.shape == expected.shape == (settings.n_frames(9000, rate), len(settings.centres(rate)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=0.01)


def test_a_sine_has_the_decibels_of_its_amplitude_in_its_band_and_frame():
    rate = 32_000
    t = np.arange(rate) / rate
    for amplitude in (1.0, 0.01):
        got = spectrogram(amplitude * np.sin(2 * np.pi * 2500 * t), rate, LINEAR)  # at a frequency of the transform
        np.testing.assert_allclose(got.max(axis=1), 20 * np.log10(amplitude), atol=0.01)
        assert (LINEAR.centres(rate)[got.argmax(axis=1)] == 2500).all()
    click = np.zeros(rate)
    click[10 * 256 : 10 * 256 + 2] = 1
    assert set(np.flatnonzero(spectrogram(click, rate, LINEAR).max(axis=1) > -90)) == {
        9
    }  # frame 10 begins where its window is 0
    np.testing.assert_allclose(spectrogram(np.zeros(rate), rate, LINEAR), -100, atol=1e-4)


def test_mel_filters_equal_those_of_librosa():
    # librosa.filters.mel(sr=16000, n_fft=1024, n_mels=8, fmin=300, fmax=7000, htk=True, norm=None), each row divided
    # by its sum: five weights from frequency 30 of the transform in the first band, and from 390 in the last
    golden = {
        0: (30, [0.03610336, 0.03944627, 0.04278917, 0.04613208, 0.04947498]),
        7: (390, [0.00645486, 0.00634357, 0.00623228, 0.00612099, 0.00600970]),
    }
    settings = SpectrogramSettings(64.0, 16.0, 300.0, 7000.0, "mel", 8)
    weights = settings.weights(16_000)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    for band, (first, values) in golden.items():
        np.testing.assert_allclose(weights[band, first : first + 5], values, rtol=1e-4)


def test_all_mel_filters_equal_those_of_librosa():
    librosa = pytest.importorskip("librosa", reason="the package librosa is not installed")
    for rate, window, n, low, high in ((16_000, 64.0, 40, 300.0, 7000.0), (44_100, 23.22, 20, 0.0, 22_050.0)):
        settings = SpectrogramSettings(window, 5.0, low, high, "mel", n)
        n_fft = settings.n_fft(rate)
        theirs = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n, fmin=low, fmax=high, htk=True, norm=None)
        centres = librosa.mel_frequencies(n + 2, fmin=low, fmax=high, htk=True)
        np.testing.assert_allclose(settings.centres(rate), centres[1:-1], rtol=1e-6)
        wide = (np.diff(centres)[:-1] > rate / n_fft) & (np.diff(centres)[1:] > rate / n_fft)
        assert wide.sum() > n / 2
        expected = theirs[wide] / theirs[wide].sum(axis=1, keepdims=True)
        np.testing.assert_allclose(settings.weights(rate)[wide], expected, atol=1e-6)


def test_bands_narrower_than_the_transforms_interpolate():
    settings = PRESETS["ava-finch"]
    rate = 32_000
    weights, centres = settings.weights(rate), settings.centres(rate)
    assert weights.any(axis=1).all()
    steps = np.arange(257) * 62.5
    narrow = np.diff(centres, append=np.inf) < 62.5
    assert narrow.sum() > 20
    ramp = weights @ steps
    np.testing.assert_allclose(ramp[narrow][1:], centres[narrow][1:], rtol=1e-5)  # a ramp is interpolated exactly
    assert ((weights[narrow] > 0).sum(axis=1) <= 2).all()


def test_scales_space_their_bands():
    centres = {
        scale: SpectrogramSettings(16, 8, 500.0, 8000.0, scale, 3).centres(16_000) for scale in ("linear", "log", "mel")
    }
    np.testing.assert_allclose(centres["linear"], [2375, 4250, 6125])
    np.testing.assert_allclose(centres["log"], [1000, 2000, 4000])
    mel = 1127.01048 * np.log(1 + np.array([500.0, *centres["mel"], 8000.0]) / 700)
    np.testing.assert_allclose(np.diff(mel), np.diff(mel)[0])
    bins = SpectrogramSettings(16, 8, 500.0, 1000.0, "linear", None)
    np.testing.assert_allclose(bins.centres(16_000), np.arange(500, 1001, 62.5))
    assert (bins.weights(16_000).argmax(axis=1) * 62.5 == bins.centres(16_000)).all()


# --- hops and parts


def test_the_hop_is_that_of_samples_and_does_not_drift():
    settings = PRESETS["vak"]
    assert settings.hop_samples(44_100) == 88
    assert settings.hop_seconds(44_100) == 88 / 44_100
    assert settings.n_frames(44_100 * 300, 44_100) == 150_333
    # a click late in a long sound is in the frame that its time says
    rate, at = 11_025, 11_025 * 290
    click = np.zeros(rate * 300, np.float32)
    click[at] = 1
    loudest = spectrogram(click, rate, replace(settings, low=0, high=None)).max(axis=1).argmax()
    centre = loudest * settings.hop_seconds(rate) + settings.window_samples(rate) / rate / 2
    assert abs(centre - 290) <= settings.hop_seconds(rate) / 2 + 1e-9


@pytest.mark.parametrize("hop", [2.0, 8.0, 16.0])
def test_parts_join_to_the_whole(hop):
    settings = replace(PRESETS["ava-finch"], hop_ms=hop)
    x = noise(30_000)
    whole = spectrogram(x, 32_000, settings)
    for cuts in ([10, 511, 513], [20_000], list(range(100, 30_000, 777))):
        parts = np.concatenate(list(spectrogram_blocks(np.split(x, cuts), 32_000, settings)))
        np.testing.assert_allclose(parts, whole, rtol=0, atol=2e-5)  # products of other sizes round otherwise
    assert settings.n_samples(len(whole), 32_000) <= 30_000 < settings.n_samples(len(whole) + 1, 32_000)


def test_a_long_sound_needs_little_memory_in_parts():
    import tracemalloc

    block = noise(2**18)
    tracemalloc.start()
    n = sum(len(part) for part in spectrogram_blocks((block for _ in range(40)), 32_000, PRESETS["ava-finch"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == (40 * 2**18 - 512) // 256 + 1
    assert peak < 2**24


# --- errors


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"window_ms": 0}, ValueError, "window_ms=0"),
        ({"hop_ms": 17}, ValueError, "hop_ms=17: expected at most window_ms=16.0; with a longer hop, parts"),
        ({"hop_ms": "x"}, TypeError, "hop_ms='x'"),
        ({"low": 10_000}, ValueError, "high=10000.0: expected hertz above low=10000"),
        ({"scale": "bark"}, ValueError, "scale='bark': expected 'linear', 'mel', 'log'"),
        ({"scale": "log", "low": 0}, ValueError, "low=0: expected hertz above 0 for scale='log'"),
        ({"n_bands": None}, ValueError, "n_bands=None: expected a number of bands for scale='mel'"),
        ({"n_bands": 0}, ValueError, "n_bands=0"),
        ({"floor_db": 1}, ValueError, "floor_db=1: expected decibels, -200 to 0"),
    ],
)
def test_settings_are_checked(change, error, message):
    with pytest.raises(error, match=message):
        SpectrogramSettings(**change)


def test_sounds_that_settings_do_not_suit(monkeypatch):
    with pytest.raises(ValueError, match=r"high=10000.0: expected at most half the sample rate, 8000 Hz"):
        spectrogram(noise(9000), 16_000)
    with pytest.raises(ValueError, match=r"low=400.0: expected at most half the sample rate, 400 Hz"):
        spectrogram_blocks([], 800)  # at once
    with pytest.raises(ValueError, match=r"window_ms=0.1: 3 samples at 32000 Hz; expected 4 or more"):
        spectrogram(noise(9000), 32_000, SpectrogramSettings(0.1, 0.1))
    with pytest.raises(ValueError, match=r"low=70.0, high=100.0: no frequency .*they are 62.5 Hz apart"):
        spectrogram(noise(9000), 32_000, SpectrogramSettings(16, 8, 70.0, 100.0, "linear", None))
    for n in (1, 511):
        with pytest.raises(ValueError, match=r"the sound lasts .* ms, less than the window of 16 ms; leave it out"):
            spectrogram(noise(n), 32_000)
    assert spectrogram(noise(512), 32_000).shape == (1, 128)
    with pytest.raises(ValueError, match="samples: 1 samples are NaN"):
        spectrogram([*noise(999), np.nan], 32_000)
    monkeypatch.setattr(memory, "available", lambda: 10_000)
    with pytest.raises(MemoryError, match="a spectrogram of 34 frames would take"):
        spectrogram(noise(9000), 32_000)


def test_presets():
    assert [preset(name) for name in PRESETS] == list(PRESETS.values())
    published = {"vak": (32_000, 512, 64), "ava-finch": (32_000, 512, 256), "ava-mouse": (250_000, 1024, 512)}
    for name, (rate, window, hop) in published.items():
        assert preset(name).window_samples(rate) == preset(name).n_fft(rate) == window
        assert preset(name).hop_samples(rate) == hop
    with pytest.raises(ValueError, match="preset 'ava-finsh': did you mean 'ava-finch'"):
        preset("ava-finsh")


def test_constant_bands_are_found():
    x = noise(32_000)
    got = spectrogram(x, 32_000, LINEAR)
    assert len(constant_bands([got, got[:5]])) == 0
    got[:, [3, 200]] = -100
    other = got[:1].copy()
    np.testing.assert_array_equal(constant_bands([got, other, got[:0]]), [3, 200])
    other[0, 3] = -99
    np.testing.assert_array_equal(constant_bands(iter([got, other])), [200])
    np.testing.assert_array_equal(constant_bands([got, other], tolerance_db=2), [3, 200])
    with pytest.raises(ValueError, match="there is no frame"):
        constant_bands([])


def test_import_loads_nothing_heavy():
    heavy = {"soundfile", "soxr", "scipy", "matplotlib", "pytensor", "jax"}
    modules = "rnnrbm.io.griffin_lim, rnnrbm.io.segments, rnnrbm.io.annotations"
    code = f"import sys, {modules}; print(*{heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
