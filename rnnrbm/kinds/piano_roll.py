"""Piano-rolls: frames of 0 and 1, a column for each note."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.display import player
from rnnrbm.frames import FrameKind, Mismatch, Pieces, ScoreColumn, is_number
from rnnrbm.io import midi, midi_grid, wav
from rnnrbm.io.rolls import check_roll
from rnnrbm.scoring import baselines, metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PianoRoll"]

USUAL_TEMPO = 100.0  # beats per minute, where the data have none


@dataclass(frozen=True)
class PianoRoll:
    """Frames of 0 and 1, dtype uint8. Where `low` is known, column j is MIDI note number ``low + j``.

    Without `low`, the columns are any binary units: they can be modelled, scored and drawn, but not heard.

    Attributes
    ----------
    low : int or None
        MIDI note number of column 0, 0 to 127.
    steps_per_beat : float or None
        Frames in a beat (quarter note).
    seconds_per_frame : float or None
        Duration of a frame in seconds, if frames follow the clock instead of the beat.
    drums : bool
        Whether the rolls contain channel 10, where a note number means an instrument.
    pedal : bool
        Whether notes sound on while the sustain pedal is down.
    tempo : float or None
        Tempo of the data in beats per minute, at which samples are written.

    Raises
    ------
    ValueError
        If a value is out of range, or both durations are given.
    """

    name: ClassVar[str] = "piano-roll"
    is_sequence: ClassVar[bool] = True
    autoregressive: ClassVar[int] = 0
    frame_name: ClassVar[str] = "frame"
    is_discrete: ClassVar[bool] = True
    level_name: ClassVar[str] = "notes per frame"
    score_columns: ClassVar[tuple[ScoreColumn, ...]] = (
        ScoreColumn("frame", "ACC", percent=True),
        ScoreColumn("bay", "ACC (Bay)", percent=True),
        ScoreColumn("precision", "precision", percent=True),
        ScoreColumn("recall", "recall", percent=True),
    )
    score_note: ClassVar[str] = (
        "ACC, in percent: TP / max(predicted, true), mean over frames; (Bay): TP / (TP + FP + FN) over all notes."
    )

    low: int | None = None
    steps_per_beat: float | None = None
    seconds_per_frame: float | None = None
    drums: bool = False
    pedal: bool = False
    tempo: float | None = None

    def __post_init__(self) -> None:
        """Check the values and convert them to plain numbers."""
        if self.low is not None:
            if not is_number(self.low) or self.low != int(self.low) or not 0 <= self.low <= 127:
                raise ValueError(f"low={self.low!r}: expected a MIDI note number, 0 to 127")
            object.__setattr__(self, "low", int(self.low))
        for key in ("steps_per_beat", "seconds_per_frame"):
            value = getattr(self, key)
            if value is None:
                continue
            if not is_number(value) or value <= 0:
                raise ValueError(f"{key}={value!r}: expected a positive number")
            if key == "steps_per_beat" and value != int(value):
                raise ValueError(f"{key}={value!r}: expected a whole number of frames in a beat")
            object.__setattr__(self, key, float(value))
        if self.tempo is not None:
            if not is_number(self.tempo):
                raise ValueError(f"tempo={self.tempo!r}: expected beats per minute, 3.6 to 60 000 000")
            midi.check_tempo(self.tempo)
            object.__setattr__(self, "tempo", float(self.tempo))
        if self.steps_per_beat is not None and self.seconds_per_frame is not None:
            raise ValueError(
                f"steps_per_beat={self.steps_per_beat:g} and seconds_per_frame={self.seconds_per_frame:g}: a frame is "
                "part of a beat or a number of seconds; give one of the two"
            )

    @property
    def grid(self) -> dict[str, Any]:
        """Grid for reading and writing MIDI: ``seconds_per_frame``, or ``steps_per_beat`` (2 if neither is known)."""
        if self.seconds_per_frame is not None:
            return {"seconds_per_frame": self.seconds_per_frame}
        return {"steps_per_beat": int(self.steps_per_beat or 2)}

    @property
    def transpose_range(self) -> tuple[int, int]:
        """Semitones by which training transposes pieces: to every key, if columns are notes."""
        return (0, 0) if self.low is None else (-5, 6)

    @property
    def sample_length(self) -> int:
        """Always 64."""
        return 64

    def unit_name(self, train: Pieces) -> str:
        return "binary"

    def describe(self, n_visible: int) -> str:
        columns = f"{n_visible} columns"
        if self.low is not None:
            columns += f" (notes {self.low} to {self.low + n_visible - 1})"
        if self.steps_per_beat is not None:
            columns += f", {self.steps_per_beat:g} frame{'' if self.steps_per_beat == 1 else 's'} per beat"
        if self.seconds_per_frame is not None:
            columns += f", {self.seconds_per_frame:g} s per frame"
        return columns

    def check(self, piece: ArrayLike, *, n_visible: int | None = None, where: str = "") -> np.ndarray:
        roll = check_roll(piece, n_visible=n_visible, where=where)
        if self.low is not None and (last := self.low + roll.shape[1] - 1) > 127:
            prefix = f"{where}: " if where else ""
            raise ValueError(
                f"{prefix}{roll.shape[1]} columns from note {self.low} end at note {last}; expected at most 127: give "
                "the low that the roll was made with, or none if the columns are no notes"
            )
        return roll

    def mismatch(self, other: FrameKind) -> Mismatch:
        if not isinstance(other, PianoRoll):
            return Mismatch(f"the frames are {other.name}, not {self.name}")
        columns = ""
        if None not in (self.low, other.low) and self.low != other.low:
            columns = f"column 0 is note {other.low}, not note {self.low}"
        durations = [
            f"{there:g} {unit}, not {here:g}"
            for here, there, unit in (
                (self.steps_per_beat, other.steps_per_beat, "frames per beat"),
                (self.seconds_per_frame, other.seconds_per_frame, "seconds per frame"),
            )
            if here is not None and there is not None and here != there
        ]
        return Mismatch(columns, "; ".join(durations))

    def from_samples(self, samples: np.ndarray) -> np.ndarray:
        """Round to 0 and 1: binary samples are unchanged, real ones sound from 0.5."""
        return (np.asarray(samples) >= 0.5).astype(np.uint8)

    def baselines(self, train: Pieces, valid: Pieces, test: Pieces) -> dict[str, float]:
        models = {
            "note 1-gram": baselines.NoteUnigram.fit(train),
            "1-gram (Gaussian)": baselines.ChordGaussian.fit(train, valid),
            "previous frame, fitted": baselines.NoteCopy.fit(train),
        }
        return {name: model.log_likelihood(test) for name, model in models.items()}

    def baseline_table(self, train: Pieces, valid: Pieces, test: Pieces) -> list[dict[str, Any]]:
        return baselines.table(train, valid, test)

    def statistics(self, pieces: Pieces) -> dict[str, float]:
        return {
            "notes_per_frame": float(metrics.notes_per_frame(pieces).mean()),
            "repeated_frame_rate": metrics.repeated_frame_rate(pieces),
        }

    def levels(self, pieces: Pieces) -> list[np.ndarray]:
        return [np.asarray(piece).sum(axis=1, dtype=float) for piece in pieces]

    def prediction_scores(self, predicted: Pieces, true: Pieces) -> dict[str, float]:
        return metrics.accuracy(predicted, true)

    def draw(self, piece: np.ndarray, *, primed: int = 0, title: str | None = None) -> tuple[Figure, Any]:
        from rnnrbm import plot

        steps = None if self.steps_per_beat is None else int(self.steps_per_beat) or None
        return plot.piano_roll(piece, low=self.low or 0, steps_per_beat=steps, title=title, primed=primed)

    def draw_filters(self, W: ArrayLike) -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.filters(W, low=self.low)

    def draw_statistics(self, samples: Pieces, data: Pieces, *, data_name: str = "data") -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.statistics(samples, data, low=self.low or 0, data_name=data_name)

    def write(
        self, folder: Path, name: str, piece: np.ndarray, *, tempo: float | None = None, sound: bool = True
    ) -> list[Path]:
        """Write MIDI and WAV files; nothing if the columns are no notes. The tempo is that of the data, else 100."""
        if self.low is None:
            return []
        tempo = self._tempo(tempo)
        files = [folder / f"{name}.mid"]  # not with_suffix: the name may contain a dot
        midi.write(files[0], piece, low=self.low, tempo=tempo, **self.grid)
        if sound:
            files.append(folder / f"{name}.wav")
            wav.write_wav(files[1], piece, low=self.low, tempo=tempo, **self.grid)
        return files

    def audio(self, piece: ArrayLike, *, tempo: float | None = None) -> Any:
        """Return a player of a piece for notebooks, an :class:`IPython.display.Audio`.

        Raises
        ------
        ValueError
            If the columns are no notes, or the piece is invalid.
        ImportError
            If IPython is not installed.
        """
        if self.low is None:
            raise ValueError("the columns are not MIDI notes, so they have no sound; give PianoRoll(low=...)")
        samples = wav.synthesize(self.check(piece), low=self.low, tempo=self._tempo(tempo), **self.grid)
        return player(samples, 22050)

    def _tempo(self, tempo: float | None) -> float:
        return next(each for each in (tempo, self.tempo, USUAL_TEMPO) if each is not None)

    def check_writing(self, n_frames: int, tempo: float | None = None) -> None:
        if self.low is not None:
            midi.check_writing(n_frames, tempo=self._tempo(tempo), **self.grid)
            wav.check_size(n_frames, tempo=self._tempo(tempo), **self.grid)

    def read(self, path: Path, n_visible: int) -> tuple[np.ndarray, float | None]:
        """Read a MIDI file and its tempo; by the rule "sounding", since "published" omits the first frame."""
        if self.low is None:
            raise ValueError(f"{path}: the columns are not MIDI notes, so no MIDI file can be read as such frames")
        high = self.low + n_visible - 1
        score = midi.parse(path)
        roll, fit = midi.to_roll_and_fit(
            score, str(path), low=self.low, high=high, drums=self.drums, pedal=self.pedal, **self.grid
        )
        if fit is not None:
            midi_grid.warn(
                str(path),
                fit,
                finer="continue another piece, or with a model of {} frames per beat",
                none="its notes may follow no beat: continue another piece",
            )
        return roll, midi.usable_tempo(score)

    def folder_options(self, n_visible: int) -> dict[str, Any]:
        options = {**self.grid, "drums": self.drums, "pedal": self.pedal}
        if self.low is not None:
            options |= {"low": self.low, "high": self.low + n_visible - 1}
        return options
