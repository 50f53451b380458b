"""Spectrograms of an hour of sound, and sound from spectrograms.

spectrogram   reading an hour of 32 kHz from a WAV file of 16 bits, block by block, and its spectrogram: the presets
              ava-finch (windows of 512 samples, hops of 256, 128 mel bands) and vak (512, 64, 121 frequencies). Beside
              them, the transform alone by SciPy's ShortTimeFFT, on a minute of it, times 60.
Griffin-Lim   100 iterations on 10 s at 32 kHz, windows of 512 samples; rnnrbm and librosa take turns. How far the
              magnitudes are from the target, the spectral convergence, is the median of several seeds.

    python benchmarks/sound.py [--rounds 5] [--seeds 8] [--file SOUND]

SOUND is what the hour repeats, and what Griffin-Lim begins with; by default noise with tones.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import common
import librosa
import numpy as np
import soundfile
from scipy.signal import ShortTimeFFT

from rnnrbm.io.griffin_lim import griffin_lim, spectral_convergence
from rnnrbm.io.sound import read_sound, sound_blocks
from rnnrbm.io.spectrogram import PRESETS, SpectrogramSettings, spectrogram_blocks, stft

RATE = 32_000
TARGET = "< 20 s"


def example(file: Path | None) -> np.ndarray:
    """Ten seconds of sound."""
    n = 10 * RATE
    if file is not None:
        return np.resize(read_sound(file, rate=RATE).samples, n)
    t = np.arange(n) / RATE
    noise = 0.01 * np.random.default_rng(0).normal(size=n)
    tones = [np.sin(2 * np.pi * (f * t + 300 * np.sin(9 * t))) * (np.sin(5 * t + f) > 0) for f in (1500, 2900, 4700)]
    return (noise + 0.1 * np.sum(tones, axis=0)).astype(np.float32)


def hours(sound: np.ndarray, rounds: int) -> None:
    """Time of an hour's spectrogram, reading included."""
    rows = [("one hour at 32 kHz", "s", "target", "SciPy's transform alone, s", "frames", "peak MiB")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hour.wav"
        with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
            for _ in range(360):
                file.write(sound)
        for name in ("ava-finch", "vak"):
            settings = PRESETS[name]
            window, hop = settings.window_samples(RATE), settings.hop_samples(RATE)
            scipys = ShortTimeFFT.from_window("hann", RATE, window, window - hop)
            minute = np.tile(sound, 6)
            ours, theirs, frames = [], [], 0
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(rounds):
                began = time.perf_counter()
                frames = sum(len(part) for part in spectrogram_blocks(sound_blocks(path), RATE, settings))
                ours.append(time.perf_counter() - began)
            peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            for _ in range(rounds):
                began = time.perf_counter()
                scipys.stft(minute)
                theirs.append(60 * (time.perf_counter() - began))
            rows.append((name, common.spread(ours, 1), TARGET, common.spread(theirs, 1), f"{frames}", f"+{peak:.0f}"))
    common.table(rows)


def inversion(sound: np.ndarray, rounds: int, seeds: int) -> None:
    """Time and spectral convergence of Griffin-Lim."""
    for hop in (256, 128):
        settings = SpectrogramSettings(16, 1000 * hop / RATE, 0, None, "linear", None)
        target = np.abs(stft(sound, RATE, settings))
        theirs = np.abs(librosa.stft(sound, n_fft=512, hop_length=hop))

        def librosas(seed: int, hop: int = hop, theirs: np.ndarray = theirs) -> np.ndarray:
            return librosa.griffinlim(theirs, n_iter=100, hop_length=hop, momentum=0.99, random_state=seed)

        def rnnrbms(seed: int, target: np.ndarray = target, settings: SpectrogramSettings = settings) -> np.ndarray:
            return griffin_lim(target, RATE, settings, seed=seed)

        times = common.interleave({"rnnrbm": lambda: rnnrbms(0), "librosa": lambda: librosas(0)}, rounds, 1)
        common.report(f"Griffin-Lim, hop {hop}", times, targets={"librosa": ">= 1"})
        mine = [spectral_convergence(rnnrbms(seed), target, RATE, settings) for seed in range(seeds)]
        other = []
        for seed in range(seeds):
            again = np.abs(librosa.stft(librosas(seed), n_fft=512, hop_length=hop))
            other.append(float(np.linalg.norm(again - theirs) / np.linalg.norm(theirs)))
        ratio = statistics.median(mine) / statistics.median(other)
        print(
            f"spectral convergence: rnnrbm {common.spread(mine, 4)}, librosa {common.spread(other, 4)}, {ratio:.2f} x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    common.header("scipy", "soundfile", "librosa", device=False)
    sound = example(options.file)
    hours(sound, options.rounds)
    inversion(sound, options.rounds, options.seeds)


if __name__ == "__main__":
    main()
