"""Sound from spectrograms: what a known phase gives back, what the iterations reach, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.signal import ShortTimeFFT

from rnnrbm import memory
from rnnrbm.io.griffin_lim import griffin_lim, invert, istft, magnitudes, phases, spectral_convergence
from rnnrbm.io.sound import read_sound
from rnnrbm.io.spectrogram import PRESETS, SpectrogramSettings, spectrogram, stft

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "vocalizations"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")
RATE = 32_000
LINEAR = SpectrogramSettings(16.0, 4.0, 0.0, None, "linear", None)


def song(n: int = 16_000) -> np.ndarray:
    """Sweeps with pauses, in a little noise."""
    t = np.arange(n) / RATE
    sweep = np.sin(2 * np.pi * (3000 * t + 40 * np.sin(30 * t))) * (np.sin(40 * t) > -0.3)
    return (0.3 * sweep + 0.001 * np.random.default_rng(0).normal(size=n)).astype(np.float32)


@pytest.mark.parametrize(("window", "hop"), [(16.0, 4.0), (16.0, 8.0), (16.0, 5.0), (10.97, 3.3)])
def test_the_inverse_of_the_transform(window, hop):
    settings = SpectrogramSettings(window, hop, 0.0, None, "linear", None)
    x = song()
    back = istft(stft(x, RATE, settings), RATE, settings)
    n = settings.n_samples(settings.n_frames(len(x), RATE), RATE)
    assert back.shape == (n,)
    assert back.dtype == np.float32
    edge = settings.window_samples(RATE) // 8
    np.testing.assert_allclose(back[edge:-edge], x[edge : n - edge], rtol=0, atol=1e-6)
    assert np.abs(back[:edge]).max() < 0.31  # nothing is blown up where the window ends


def test_the_inverse_is_the_nearest_sound_as_in_scipy():
    rng = np.random.default_rng(0)
    x = song(8192)
    spectrum = stft(x, RATE, LINEAR)
    wrong = (spectrum * np.exp(0.5j * rng.normal(size=spectrum.shape))).astype(np.complex64)
    got = istft(wrong, RATE, LINEAR)
    scipys = ShortTimeFFT.from_window(
        "hann", RATE, 512, 384, phase_shift=None
    )  # its dual window is that of least squares
    # its dual window is that of least squares
    padded = np.zeros((257, scipys.p_max(8192) - scipys.p_min), complex)
    first = -scipys.p_min + 2  # the slice that is centred half a window after the beginning
    padded[:, first : first + len(wrong)] = wrong.T
    expected = scipys.istft(padded, 0, 8192)
    np.testing.assert_allclose(got[512:-512], expected[512:-512], rtol=0, atol=1e-5)


def test_bands_become_magnitudes_that_give_them_back():
    x = song()
    for name in ("vak", "ava-finch"):
        settings = PRESETS[name]
        given = spectrogram(x, RATE, settings)
        found = magnitudes(given, RATE, settings)
        assert found.shape == (len(given), 257)
        assert (found >= 0).all()
        assert not found[:, ~settings.weights(RATE).any(axis=0)].any()
        scale = stft(np.sin(2 * np.pi * 2500 * np.arange(512) / RATE).astype(np.float32), RATE, settings)
        power = (found / np.abs(scale).max()) ** 2 @ settings.weights(RATE).T
        again = 10 * np.log10(power + 1e-10)
        assert np.sqrt(np.mean((again - given) ** 2)) < 0.2
    # of the linear scale without bands, magnitudes are exact
    np.testing.assert_allclose(
        magnitudes(spectrogram(x, RATE, LINEAR), RATE, LINEAR), np.abs(stft(x, RATE, LINEAR)), atol=2e-3
    )


def test_bands_fit_as_well_as_with_non_negative_least_squares():
    settings = SpectrogramSettings(16.0, 8.0, 500.0, 8000.0, "mel", 20)
    given = spectrogram(song(2048), RATE, settings)
    weights = settings.weights(RATE).astype(float)
    power = np.maximum(10 ** (given / 10) - 1e-10, 0)
    ours = (magnitudes(given, RATE, settings) / 128.0) ** 2
    for frame, target in zip(ours, power, strict=True):
        best = nnls(weights, target)[1]
        assert np.linalg.norm(weights @ frame - target) < best + 0.03 * np.linalg.norm(target)


def test_the_original_phase_gives_the_original_sound():
    x = song()
    back = invert(spectrogram(x, RATE, LINEAR), RATE, LINEAR, phase=phases(x, RATE, LINEAR))
    np.testing.assert_allclose(back[64:-64], x[64 : len(back) - 64], rtol=0, atol=1e-4)
    settings = PRESETS["ava-finch"]
    given = spectrogram(x, RATE, settings)
    again = spectrogram(invert(given, RATE, settings, phase=phases(x, RATE, settings)), RATE, settings)
    assert np.sqrt(np.mean((again - given)[given > -60] ** 2)) < 1.0


def test_iterations_and_momentum_bring_magnitudes_nearer():
    target = np.abs(stft(song(), RATE, LINEAR))

    def reached(**options):
        return spectral_convergence(griffin_lim(target, RATE, LINEAR, **options), target, RATE, LINEAR)

    found = [reached(n_iterations=n) for n in (0, 5, 60)]
    assert found[0] > 0.5
    assert found[2] < 0.5 * found[1] < 0.5 * found[0]
    assert found[2] < 0.08
    assert found[2] < 0.8 * reached(n_iterations=60, momentum=0.0)


def test_one_iteration_equals_a_plain_calculation():
    rng = np.random.default_rng(3)
    target = rng.random((6, 257), np.float32)
    phase = 2 * np.pi * np.random.default_rng(5).random((6, 257), np.float32)
    spectra = [target * np.exp(1j * phase)]
    rebuilt = []
    for _ in range(3):
        rebuilt.append(stft(istft(spectra[-1].astype(np.complex64), RATE, LINEAR), RATE, LINEAR))
        ahead = rebuilt[-1] + (0.7 * (rebuilt[-1] - rebuilt[-2]) if len(rebuilt) > 1 else 0)
        spectra.append(target * np.exp(1j * np.angle(ahead)))
    expected = istft(spectra[-1].astype(np.complex64), RATE, LINEAR)
    got = griffin_lim(target, RATE, LINEAR, n_iterations=3, momentum=0.7, seed=5)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)


def test_a_seed_gives_the_same_sound():
    given = spectrogram(song(4000), RATE)
    first, again, other = (invert(given, RATE, n_iterations=3, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert len(invert(given[:1], RATE, n_iterations=2)) == 512
    assert not invert(np.full((5, 128), -300.0), RATE, n_iterations=3).any()  # silence


def test_convergence_is_a_relative_distance():
    x = song()
    target = np.abs(stft(x, RATE, LINEAR))
    assert spectral_convergence(x, target, RATE, LINEAR) == 0
    assert spectral_convergence(np.zeros_like(x), target, RATE, LINEAR) == pytest.approx(1)
    assert spectral_convergence(1.5 * x, target, RATE, LINEAR) == pytest.approx(0.5, rel=1e-4)


@needs_data
def test_published_song_sounds_as_before():
    x = read_sound(DATA / "bengalese_finch_koumura" / "3.wav", stop=2).samples
    settings = PRESETS["ava-finch"]
    given = spectrogram(x, RATE, settings)
    again = spectrogram(invert(given, RATE, settings, n_iterations=60), RATE, settings)
    loud = given > -60
    assert np.sqrt(np.mean((again - given)[loud] ** 2)) < 1.0
    assert np.corrcoef(again.ravel(), given.ravel())[0, 1] > 0.995


@pytest.mark.parametrize(
    ("spectrogram", "options", "message"),
    [
        (np.zeros((3, 4)), {}, r"spectrogram: an array of shape \(3, 4\); expected one frame or more of 128 bands"),
        (np.zeros((0, 128)), {}, r"shape \(0, 128\)"),
        (np.zeros(128), {}, r"shape \(128,\)"),
        (np.full((3, 128), np.nan), {}, "a value is NaN, infinite or 300 decibels or more"),
        (np.full((3, 128), 400), {}, "300 decibels"),
        (np.zeros((3, 128)), {"n_iterations": -1}, "n_iterations=-1"),
        (np.zeros((3, 128)), {"momentum": 1.5}, "momentum=1.5: expected 0 to 1"),
        (
            np.zeros((3, 128)),
            {"phase": np.zeros((3, 128))},
            r"phase: an array of shape \(3, 128\); expected \(3, 257\)",
        ),
    ],
)
def test_what_cannot_be_inverted(spectrogram, options, message):
    with pytest.raises(ValueError, match=message):
        invert(spectrogram, RATE, **options)


def test_too_long_and_unsuitable(monkeypatch):
    with pytest.raises(ValueError, match=r"high=10000.0: expected at most half the sample rate"):
        invert(np.zeros((3, 128)), 16_000)
    monkeypatch.setattr(memory, "available", lambda: 10_000)
    with pytest.raises(MemoryError, match=r"the sound of 3 frames would take"):
        invert(np.zeros((3, 128)), RATE)
