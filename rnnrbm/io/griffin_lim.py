"""From a spectrogram back to sound, by the fast Griffin-Lim algorithm.

A spectrogram has no phases, and bands instead of frequencies. First the power at each frequency is found that gives the
bands; then, from random ones, phases that belong together. Each iteration makes a sound of the magnitudes and phases,
and takes the phases of that sound (Griffin & Lim 1984), extrapolated by a momentum (Perraudin, Balazs & Sondergaard
2013).
"""

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm import memory
from rnnrbm.arguments import as_array, number, whole_number
from rnnrbm.io.spectrogram import SpectrogramSettings, hann, scale_of, stft
from rnnrbm.io.wav import MOST_SAMPLES

__all__ = ["check_length", "griffin_lim", "invert", "istft", "magnitudes", "phases", "spectral_convergence"]

_TINY = np.float32(1e-30)


def invert(
    spectrogram: ArrayLike,
    rate: int,
    settings: SpectrogramSettings | None = None,
    *,
    n_iterations: int = 100,
    momentum: float = 0.99,
    seed: int = 0,
    phase: ArrayLike | None = None,
) -> np.ndarray:
    """Return a sound that has a spectrogram, as nearly as a sound can.

    Parameters
    ----------
    spectrogram : array_like, shape (n_frames, n_bands)
        Decibels, as `rnnrbm.io.spectrogram.spectrogram` returns them. Values below the floor count as silence.
    rate : int
        Samples per second of the sound, in hertz.
    settings : SpectrogramSettings, optional
        Those of the spectrogram.
    n_iterations : int
        0 leaves random phases.
    momentum : float
        0 to 1; 0 is the algorithm of Griffin and Lim, which needs more iterations.
    seed : int
        Of the random phases.
    phase : array_like, shape (n_frames, n_fft // 2 + 1), optional
        Phases to use instead, in radians, as `phases` returns them: those of the original, for a reference. Then there
        are no iterations.

    Returns
    -------
    numpy.ndarray, shape (n_samples,)
        float32, ``settings.n_samples(n_frames, rate)`` samples. The outermost ones, where the window is nearly 0, are
        faded.

    Raises
    ------
    ValueError
        If the spectrogram has no frame, another number of bands than the settings say, or NaN or infinities; if another
        argument is out of range, or the settings do not suit the rate.
    MemoryError
        If it would take more memory than there is.
    """
    settings = settings or SpectrogramSettings()
    target = magnitudes(spectrogram, rate, settings)
    if phase is None:
        return griffin_lim(target, rate, settings, n_iterations=n_iterations, momentum=momentum, seed=seed)
    angles = as_array(phase, "phase")
    if angles.shape != target.shape or not np.isfinite(angles).all():
        raise ValueError(f"phase: an array of shape {angles.shape}; expected {target.shape}, finite; see `phases`")
    return istft((target * np.exp(1j * angles)).astype(np.complex64), rate, settings)


def phases(samples: np.ndarray, rate: int, settings: SpectrogramSettings) -> np.ndarray:
    """Return the phases of a sound, shape (n_frames, n_fft // 2 + 1), in radians."""
    return np.asarray(np.angle(stft(samples, rate, settings)), np.float32)


def magnitudes(spectrogram: ArrayLike, rate: int, settings: SpectrogramSettings) -> np.ndarray:
    """Return the magnitudes at all frequencies that give the bands of a spectrogram.

    Where there are bands of several frequencies, the power at these is not determined. Starting from each band's power
    at all its frequencies, it is multiplied until the bands are right, and so stays positive and smooth (Richardson
    1972, Lucy 1974).

    Parameters
    ----------
    spectrogram, rate, settings
        As in `invert`, with the same errors.

    Returns
    -------
    numpy.ndarray, shape (n_frames, n_fft // 2 + 1)
        float32, in the scale of `rnnrbm.io.spectrogram.stft`; 0 outside of the bands.
    """
    decibels = as_array(spectrogram, "spectrogram")
    weights = settings.weights(rate)
    if decibels.ndim != 2 or not len(decibels) or decibels.shape[1] != len(weights):
        raise ValueError(
            f"spectrogram: an array of shape {decibels.shape}; expected one frame or more of {len(weights)} bands, "
            "time first"
        )
    # of a NaN, neither comparison is true
    if not (decibels.min() > -np.inf and decibels.max() < 300):
        raise ValueError("spectrogram: a value is NaN, infinite or 300 decibels or more; expected decibels")
    n_bins = weights.shape[1]
    check_length(len(decibels), rate, settings)
    power = np.maximum(10 ** (decibels / 10) - 10 ** (settings.floor_db / 10), 0).astype(np.float32)
    if settings.n_bands is None:
        bins = power @ weights
    else:
        total = weights.sum(axis=0)
        inside = total > 0
        some, share = weights[:, inside], total[inside]
        found = (power @ some) / share
        for _ in range(30):  # to a few hundredths of a decibel
            found *= ((power / np.maximum(found @ some.T, _TINY)) @ some) / share
        bins = np.zeros((len(power), n_bins), np.float32)
        bins[:, inside] = found
    return np.sqrt(bins) * np.float32(scale_of(rate, settings))


def check_length(n_frames: int, rate: int, settings: SpectrogramSettings) -> None:
    """Raise an error if the sound of so many frames would be too long for a WAV file, or for the memory.

    Raises
    ------
    ValueError
        If a WAV file cannot hold it.
    MemoryError
        If making it would take more memory than there is.
    """
    what = f"the sound of {n_frames} frames"
    advice = "make it in parts, or choose a longer hop"
    if (n := settings.n_samples(n_frames, rate)) > MOST_SAMPLES:
        raise ValueError(f"{what} has {n} samples, more than a WAV file can hold; {advice}")
    memory.check(60.0 * n_frames * (settings.n_fft(rate) // 2 + 1), what, advice)


def griffin_lim(
    target: np.ndarray,
    rate: int,
    settings: SpectrogramSettings,
    *,
    n_iterations: int = 100,
    momentum: float = 0.99,
    seed: int = 0,
) -> np.ndarray:
    """Return a sound whose short-time Fourier transform has some magnitudes, as nearly as a sound can.

    Parameters
    ----------
    target : numpy.ndarray, shape (n_frames, n_fft // 2 + 1)
        float32, in the scale of `rnnrbm.io.spectrogram.stft`.
    rate, settings, n_iterations, momentum, seed
        As in `invert`, with the same errors.

    Returns
    -------
    numpy.ndarray, shape (n_samples,)
        float32.
    """
    n_iterations = whole_number("n_iterations", n_iterations, 0)
    momentum = number("momentum", momentum, "0 to 1", least=0, most=1)
    rng = np.random.default_rng(whole_number("seed", seed, 0))
    part = np.float32(momentum / (1 + momentum))
    angles = np.exp(2j * np.pi * rng.random(target.shape, np.float32)).astype(np.complex64)
    before: np.ndarray | None = None
    for _ in range(n_iterations):
        angles *= target
        rebuilt = stft(istft(angles, rate, settings), rate, settings)
        angles = rebuilt.copy() if before is None else rebuilt - part * before
        before = rebuilt
        size = np.abs(angles)
        size += _TINY
        angles /= size
    return istft(angles * target, rate, settings)


def istft(spectrum: np.ndarray, rate: int, settings: SpectrogramSettings) -> np.ndarray:
    """Return the sound whose short-time Fourier transform is nearest to an array, in the sense of least squares.

    Parameters
    ----------
    spectrum : numpy.ndarray, shape (n_frames, n_fft // 2 + 1)
        complex64.
    rate, settings
        As in `rnnrbm.io.spectrogram.stft`.

    Returns
    -------
    numpy.ndarray, shape (n_samples,)
        float32. Samples of which all windows together have less than a hundredth of the usual weight are faded.
    """
    from scipy.fft import irfft

    window, hop = hann(settings.window_samples(rate)), settings.hop_samples(rate)
    frames = irfft(spectrum, settings.n_fft(rate))[:, : len(window)]
    frames *= window
    weight = _overlapped(np.broadcast_to(np.square(window), frames.shape), hop)
    total: np.ndarray = _overlapped(frames, hop)
    total /= np.maximum(weight, 0.01 * weight.max())
    return total


def _overlapped(frames: np.ndarray, hop: int) -> np.ndarray:
    """Return the sum of frames of n samples, each a hop after the one before it."""
    n_frames, n = frames.shape
    parts = -(-n // hop)
    total = np.zeros((n_frames + parts - 1, hop), np.float32)
    for i in range(parts):
        piece = frames[:, i * hop : (i + 1) * hop]
        total[i : i + n_frames, : piece.shape[1]] += piece
    return total.reshape(-1)[: (n_frames - 1) * hop + n]


def spectral_convergence(samples: np.ndarray, target: np.ndarray, rate: int, settings: SpectrogramSettings) -> float:
    """Return how far the magnitudes of a sound are from what they should be: 0 is equal, 1 as far as silence.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n_samples,)
        float32.
    target : numpy.ndarray, shape (n_frames, n_fft // 2 + 1)
        As in `griffin_lim`.
    rate, settings
        As in `rnnrbm.io.spectrogram.stft`.
    """
    difference = np.abs(stft(samples, rate, settings)) - target
    return float(np.linalg.norm(difference) / np.linalg.norm(target))
