"""Vectors: frames of real numbers without further meaning, such as sensor readings or features of your own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_pieces, plain
from rnnrbm.frames import FrameKind, Mismatch, Pieces, ScoreColumn, is_number
from rnnrbm.io.formats import read_npy, write_npy
from rnnrbm.pieces import chunks, column_moments
from rnnrbm.scoring import autoregression, linear_baselines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Vectors"]


@dataclass(frozen=True)
class Vectors:
    """Frames of finite real numbers, dtype float32.

    All Gaussian units of a model have one standard deviation, so standardize the columns first.

    Attributes
    ----------
    seconds_per_frame : float or None
        Duration of a frame in seconds; None if not known.

    Raises
    ------
    ValueError
        If the duration is not positive.
    """

    name: ClassVar[str] = "vectors"
    is_sequence: ClassVar[bool] = True
    autoregressive: ClassVar[int] = 3
    frame_name: ClassVar[str] = "frame"
    is_discrete: ClassVar[bool] = False
    level_name: ClassVar[str] = "root mean square of a frame"
    score_columns: ClassVar[tuple[ScoreColumn, ...]] = (ScoreColumn("rmse", "RMSE"), ScoreColumn("r2", "R2"))
    score_note: ClassVar[str] = (
        "RMSE: root of the mean squared difference of a predicted value from the true one; R2: 1 - its square over the "
        "variance of the true values in their columns."
    )

    seconds_per_frame: float | None = None

    def __post_init__(self) -> None:
        """Check the duration and convert it to a plain number."""
        seconds = self.seconds_per_frame
        if seconds is None:
            return
        if not is_number(seconds) or seconds <= 0:
            raise ValueError(f"seconds_per_frame={seconds!r}: expected a positive number")
        object.__setattr__(self, "seconds_per_frame", float(seconds))

    @property
    def transpose_range(self) -> tuple[int, int]:
        """Always (0, 0): neighbouring columns need not resemble each other."""
        return (0, 0)

    @property
    def sample_length(self) -> int:
        """Always 64."""
        return 64

    def unit_name(self, train: Pieces) -> str:
        """Gaussian units whose standard deviations depend on the past: some frames are harder to predict."""
        return "gaussian:conditional"

    def describe(self, n_visible: int) -> str:
        duration = "" if self.seconds_per_frame is None else f", {self.seconds_per_frame:g} s per frame"
        return f"{n_visible} column{'' if n_visible == 1 else 's'} of real numbers{duration}"

    def check(self, piece: ArrayLike, *, n_visible: int | None = None, where: str = "") -> np.ndarray:
        prefix = f"{where}: " if where else ""
        piece = plain(piece, where or "piece")
        try:
            array = np.asarray(piece)
        except ValueError as error:
            raise ValueError(f"{prefix}rows of different lengths; expected an array of frames x columns") from error
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{prefix}an array of shape {array.shape}; expected (frames, columns), neither of them 0")
        if n_visible is not None and array.shape[1] != n_visible:
            turned = ". Time comes first: give its transpose" if array.shape[0] == n_visible else ""
            raise ValueError(f"{prefix}{array.shape[1]} columns (shape {array.shape}); expected {n_visible}{turned}")
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{prefix}values of type {array.dtype}; expected real numbers")
        with np.errstate(over="ignore", invalid="ignore"):
            array = np.ascontiguousarray(array, np.float32)
        if not all(np.isfinite(part).all() for part in chunks([array])):
            finite = np.isfinite(array)
            t, j = (int(i) for i in np.argwhere(~finite)[0])
            raise ValueError(
                f"{prefix}{(~finite).sum()} values are not finite, the first is {array[t, j]} in frame {t}, column "
                f"{j}; replace or leave out missing values"
            )
        return array

    def mismatch(self, other: FrameKind) -> Mismatch:
        if not isinstance(other, Vectors):
            return Mismatch(f"the frames are {other.name}, not {self.name}")
        here, there = self.seconds_per_frame, other.seconds_per_frame
        if here is None or there is None or here == there:
            return Mismatch()
        return Mismatch(caveat=f"{there:g} seconds per frame, not {here:g}")

    def from_samples(self, samples: np.ndarray) -> np.ndarray:
        return np.asarray(samples, np.float32)

    def baselines(self, train: Pieces, valid: Pieces, test: Pieces) -> dict[str, float]:
        return {row["model"]: row["ll"] for row in self.baseline_table(train, valid, test)}

    def baseline_table(self, train: Pieces, valid: Pieces, test: Pieces) -> list[dict[str, Any]]:
        """Score Gaussian columns and vector autoregressions; prediction scores are those of the expected frames."""
        return linear_baselines.table(train, valid, test, self.prediction_scores)

    def statistics(self, pieces: Pieces) -> dict[str, float]:
        """Mean, standard deviation, and correlation of each value with the one before it, over all columns."""
        pieces = as_pieces(pieces)
        moments = column_moments(chunks(pieces))
        product = before = after = 0.0
        for part in chunks(pieces, overlap=1):
            a, b = part[:-1] - moments.mean, part[1:] - moments.mean
            product += float((a * b).sum())
            before += float((a * a).sum())
            after += float((b * b).sum())
        squares = math.sqrt(before * after)
        return {
            "mean": float(moments.mean.mean()),
            "standard_deviation": float(np.sqrt(moments.variance).mean()),
            "autocorrelation": product / squares if squares else float("nan"),
        }

    def levels(self, pieces: Pieces) -> list[np.ndarray]:
        return [np.sqrt(np.mean(np.square(piece, dtype=float), axis=1)) for piece in pieces]

    def prediction_scores(self, predicted: Iterable[np.ndarray], true: Iterable[np.ndarray]) -> dict[str, float]:
        errors, variances = autoregression.squared_errors(predicted, true)
        error, variance = float(errors.mean()), float(variances.mean())
        return {"rmse": math.sqrt(error), "r2": 1.0 - error / variance if variance else float("nan")}

    def draw(self, piece: np.ndarray, *, primed: int = 0, title: str | None = None) -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.frames(piece, seconds_per_frame=self.seconds_per_frame, title=title, primed=primed)

    def draw_filters(self, W: ArrayLike) -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.filters(W, low=None)

    def draw_statistics(self, samples: Pieces, data: Pieces, *, data_name: str = "data") -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.column_statistics(samples, data, data_name=data_name)

    def write(
        self, folder: Path, name: str, piece: np.ndarray, *, tempo: float | None = None, sound: bool = True
    ) -> list[Path]:
        """Write a ``.npy`` file."""
        path = folder / f"{name}.npy"
        write_npy(path, piece)
        return [path]

    def check_writing(self, n_frames: int, tempo: float | None = None) -> None:
        if tempo is not None:
            raise ValueError(f"tempo={tempo:g}: {self.name} have no tempo; leave it out")

    def read(self, path: Path, n_visible: int) -> tuple[np.ndarray, None]:
        """Read a ``.npy`` file of shape (T, n_visible)."""
        piece = read_npy(path, self.name)
        return self.check(piece, n_visible=n_visible, where=str(path)), None

    def folder_options(self, n_visible: int) -> dict[str, Any]:
        raise ValueError(f"a folder of MIDI files holds piano-rolls, not {self.name}; give an .npz file")
