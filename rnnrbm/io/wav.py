"""The sound of a piano-roll, as an array or a WAV file."""

import os
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm import memory
from rnnrbm.arguments import check_options, whole_number
from rnnrbm.files import atomic
from rnnrbm.io import midi, midi_grid
from rnnrbm.io.rolls import check_roll

__all__ = ["MOST_SAMPLES", "check_size", "synthesize", "write_wav"]

#: Most samples of a WAV file, which counts its bytes, two for a sample, by 32 bits.
MOST_SAMPLES = 2**31 - 64


def synthesize(
    roll: ArrayLike,
    *,
    sample_rate: int = 22050,
    soundfont: str | os.PathLike[str] | None = None,
    **options: Unpack[midi.WriteOptions],
) -> np.ndarray:
    """Return the sound of a piano-roll.

    Without a sound font, each note is a plucked tone with five harmonics that decays. With a sound font, FluidSynth
    plays the instrument `program`. Tuning: note number 69 (A4) is 440 hertz.

    Parameters
    ----------
    roll : array_like, shape (T, n)
        0 or 1, as in `rnnrbm.midi.write`.
    sample_rate : int
        Samples per second, in hertz.
    soundfont : path-like, optional
        A sound font (``.sf2``) for FluidSynth; needs the package ``pyfluidsynth``.
    **options
        Those of `rnnrbm.midi.write`; `program` has an effect only with a sound font. The sound is scaled to a fixed
        peak, so `velocity` has none.

    Returns
    -------
    numpy.ndarray, shape (n_samples,)
        float32, peak magnitude 0.8 (0 for a roll without notes). Without a sound font the sound lasts as long as the
        roll; with one, the last notes ring on.

    Raises
    ------
    FileNotFoundError
        If the sound font does not exist.
    ImportError
        If a sound font is given and FluidSynth is not installed.
    ValueError
        If the roll or another argument is not valid for `rnnrbm.midi.write`, or `sample_rate` is below 1000
        or above 1 000 000; see also `check_size`.
    """
    import pretty_midi

    check_options("synthesize", options, midi.WriteOptions.__annotations__)
    sample_rate = whole_number("sample_rate", sample_rate, 1000, 10**6)
    timing = ("steps_per_beat", "seconds_per_frame", "tempo")
    grid: Any = {name: value for name, value in options.items() if name in timing}
    check_size(len(check_roll(roll)), sample_rate=sample_rate, **grid)
    file = midi.to_mido(roll, **options)
    ticks = sum(event.time for event in file.tracks[0])  # pretty_midi makes them absolute
    duration = ticks * file.tracks[0][0].tempo / 1e6 / file.ticks_per_beat
    audio = np.zeros(max(1, round(duration * sample_rate)), np.float32)
    score = pretty_midi.PrettyMIDI(mido_object=file)
    if soundfont is not None:
        if not Path(soundfont).is_file():
            raise FileNotFoundError(f"{soundfont}: no such sound font; give the path of a .sf2 file")
        try:
            played = score.fluidsynth(fs=sample_rate, synthesizer=str(soundfont))
        except ImportError as error:
            raise ImportError(
                "a sound font needs FluidSynth: install the FluidSynth library and the Python "
                "package pyfluidsynth, or pass soundfont=None"
            ) from error
        audio = np.pad(audio, (0, max(0, len(played) - len(audio))))
    else:
        played = score.synthesize(fs=sample_rate, wave=partial(_tone, attack=round(0.01 * sample_rate)))[: len(audio)]
    audio[: len(played)] = played
    # a peak of 0.8 leaves headroom: after resampling, a wave may peak between the samples
    return audio * np.float32(0.8 / (np.abs(audio).max() or 1.0))


def check_size(
    n_frames: int,
    *,
    sample_rate: int = 22050,
    steps_per_beat: int | None = None,
    seconds_per_frame: float | None = None,
    tempo: float = 120.0,
) -> None:
    """Raise an error unless the sound of so many frames can be made and written; see `rnnrbm.midi.write`.

    Raises
    ------
    ValueError
        If a frame is shorter than two samples, or the sound longer than a WAV file can be.
    MemoryError
        If it would take more memory than there is.
    """
    steps, seconds = midi_grid.check_grid(steps_per_beat, seconds_per_frame)
    midi.check_tempo(tempo)
    frame = (seconds if steps is None else 60.0 / (tempo * steps)) * sample_rate
    if frame < 2:
        raise ValueError(
            f"a frame lasts {frame / sample_rate:.2g} seconds, less than two samples of sound; choose a slower tempo "
            "or longer frames"
        )
    if (size := n_frames * frame) > MOST_SAMPLES:
        raise ValueError(
            f"{n_frames} frames last {size / sample_rate / 3600:.0f} hours, longer than a WAV file can be; write them "
            "in parts, or choose a faster tempo"
        )
    # the tones in double precision, their sum, and the copy that is scaled
    memory.check(24 * size, f"the sound of {n_frames} frames", "write it in parts, or choose a faster tempo")


def _tone(phase: np.ndarray, attack: int) -> np.ndarray:
    """Return a tone of harmonics at each phase (radians), faded in over `attack` samples."""
    step = phase[1] - phase[0] if len(phase) > 1 else np.pi  # radians per sample
    tone = np.zeros_like(phase)
    for harmonic, amplitude in enumerate((1.0, 0.5, 0.3, 0.15, 0.08), start=1):
        if harmonic * step < np.pi:  # below half the sample rate
            tone += amplitude * np.sin(harmonic * phase)
    # a fade-in avoids the click of harmonics that start at full amplitude
    fade = 0.5 - 0.5 * np.cos(np.pi * np.arange(attack) / attack)
    tone[:attack] *= fade[: len(tone)]
    return tone


def write_wav(
    path: str | os.PathLike[str],
    roll: ArrayLike,
    *,
    sample_rate: int = 22050,
    soundfont: str | os.PathLike[str] | None = None,
    **options: Unpack[midi.WriteOptions],
) -> None:
    """Write the sound of a piano-roll as a WAV file: mono, 16 bits, in one step.

    Other parameters, and errors, are those of `synthesize`. OSError is raised if the folder does not exist or the file
    cannot be written; an earlier file then stays.
    """
    from scipy.io import wavfile

    audio = synthesize(roll, sample_rate=sample_rate, soundfont=soundfont, **options)
    with atomic(path) as temporary:
        wavfile.write(temporary, sample_rate, np.round(audio * 32767).astype(np.int16))
