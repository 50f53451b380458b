"""Vectors: frames of real numbers, such as readings of sensors or features of your own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_pieces, plain
from rnnrbm.frames import FrameKind, Mismatch, Pieces, ScoreColumn, is_number
from rnnrbm.io.formats import read_npy, write_npy
from rnnrbm.io.tables import TABLE_SUFFIXES, read_table, write_table
from rnnrbm.pieces import chunks, column_moments
from rnnrbm.scoring import autoregression, linear_baselines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Vectors"]

_MOST_NAMES = 10  # in a message
_DIGITS = 6  # of a value in a file, after the first one of its column's standard deviation


@dataclass(frozen=True)
class Vectors:
    """Frames of finite real numbers, dtype float32.

    Standardise the columns first, as `rnnrbm.load` does with CSV files, so that one learning rate suits all. The kind
    then holds what it takes to return to the original units. Columns that are constant in training are no columns of
    the frames. Files are in original units and have all columns.

    Attributes
    ----------
    seconds_per_frame : float or None
        Duration of a frame in seconds; None if not known.
    columns : tuple of str
        Names of all columns, those that are left out too. Empty: the columns have no names.
    mean, deviation : tuple of float
        Of each of all columns, in original units: a value of a frame is (original - mean) / deviation. A column that
        is left out has the deviation 0, and its constant value as the mean. Empty: values are in original units.

    Raises
    ------
    ValueError
        If the duration is not positive, names occur twice, or there is not one mean and one deviation for each column.
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
    columns: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the values and convert them to plain ones."""
        seconds = self.seconds_per_frame
        if seconds is not None:
            if not is_number(seconds) or seconds <= 0:
                raise ValueError(f"seconds_per_frame={seconds!r}: expected a positive number")
            object.__setattr__(self, "seconds_per_frame", float(seconds))
        names = self.columns
        if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"columns={str(names)[:60]}: expected a list of names")
        if len(set(names)) < len(names):
            raise ValueError(f"columns: {next(n for n in names if names.count(n) > 1)!r} occurs twice; name each once")
        object.__setattr__(self, "columns", tuple(names))
        for name in ("mean", "deviation"):
            values = getattr(self, name)
            if not isinstance(values, (tuple, list, np.ndarray)) or not all(map(is_number, values)):
                raise ValueError(f"{name}={str(values)[:60]}: expected finite numbers, one for each column")
            if len(values) not in (0, len(names)):
                raise ValueError(f"{name} has {len(values)} values; expected one for each of {len(names)} columns")
            object.__setattr__(self, name, tuple(map(float, values)))
        if len(self.mean) != len(self.deviation):
            raise ValueError("mean and deviation: one is empty; give both or none")
        if self.deviation and (min(self.deviation) < 0 or not max(self.deviation)):
            raise ValueError("deviation: expected 0 or more, and more than 0 for a column at least")

    @cached_property
    def kept(self) -> np.ndarray:
        """Positions, among all columns, of those of the frames."""
        return np.flatnonzero(self.deviation) if self.deviation else np.arange(len(self.columns))

    @property
    def kept_columns(self) -> list[str]:
        """Names of the columns of the frames; empty if they have none."""
        return [self.columns[i] for i in self.kept]

    def original(self, frames: ArrayLike) -> np.ndarray:
        """Return frames (T, n_visible) in original units, with all columns: float64, shape (T, n_columns)."""
        values = np.asarray(frames, float)
        if not self.mean:
            return values
        full = np.tile(np.array(self.mean), (len(values), 1))
        full[:, self.kept] += values * np.array(self.deviation)[self.kept]
        return full

    def standardised(self, values: ArrayLike) -> np.ndarray:
        """Return frames (T, n_visible), float32, of values of all columns in original units.

        Values of the columns that are constant in training are not looked at.
        """
        given = np.asarray(values, float)
        if self.mean:
            given = (given[:, self.kept] - np.array(self.mean)[self.kept]) / np.array(self.deviation)[self.kept]
        with np.errstate(over="ignore", invalid="ignore"):  # `check` says which value is too large
            return np.ascontiguousarray(given, np.float32)

    def converts(self, kind: FrameKind) -> bool:
        """Return whether :meth:`converted` can make frames of another kind: all columns have names and are here."""
        return isinstance(kind, Vectors) and bool(kind.mean) and set(kind.kept_columns) <= set(self.columns)

    def converted(self, frames: np.ndarray, kind: Vectors) -> np.ndarray:
        """Return frames of this kind as those of another, which has the same columns, other means and deviations."""
        return kind._of_columns(self.original(frames), self.columns)

    def _of_columns(self, values: np.ndarray, columns: Sequence[str]) -> np.ndarray:
        """Return frames of values in original units, whose columns may have another order, or more than this kind."""
        position = {name: i for i, name in enumerate(columns)}
        full = np.tile(np.array(self.mean or np.zeros(len(self.columns))), (len(values), 1))
        full[:, self.kept] = values[:, [position[name] for name in self.kept_columns]]
        return self.standardised(full)

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
        standardised = ", standardised" if self.mean else ""
        return f"{n_visible} column{'' if n_visible == 1 else 's'} of real numbers{standardised}{duration}"

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
        if self.columns and array.shape[1] != len(self.kept):
            left_out = f" ({len(self.columns) - len(self.kept)} constant ones are left out)" if self.mean else ""
            raise ValueError(
                f"{prefix}{array.shape[1]} columns; expected {len(self.kept)}, the columns of the kind{left_out}"
            )
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
        different, caveats = "", []
        if self.columns and other.columns and self.kept_columns != other.kept_columns:
            own, others = set(self.kept_columns), set(other.kept_columns)
            absent, added = sorted(own - others), sorted(others - own)
            parts = [f"has no {_shown(absent)}"] * bool(absent) + [f"has {_shown(added)} besides"] * bool(added)
            different = f"{' and '.join(parts) or 'has them in another order'}, so the columns are not the same"
        here, there = self.seconds_per_frame, other.seconds_per_frame
        if here is not None and there is not None and here != there:
            caveats.append(f"{there:g} seconds per frame, not {here:g}")
        if not different and (self._scaling, self.kept_columns) != (other._scaling, other.kept_columns):
            caveats.append("columns that are standardised by themselves, not")
        return Mismatch(different, "; ".join(caveats))

    @property
    def _scaling(self) -> tuple[list[float], list[float]]:
        """Means and deviations of the columns of the frames."""
        return ([self.mean[i] for i in self.kept], [self.deviation[i] for i in self.kept]) if self.mean else ([], [])

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

        if not self.columns:
            return plot.frames(piece, seconds_per_frame=self.seconds_per_frame, title=title, primed=primed)
        return plot.trajectories(
            self.original(piece)[:, self.kept],
            self.kept_columns,
            scale=self._scaling[1] or None,
            seconds_per_frame=self.seconds_per_frame,
            title=title,
            primed=primed,
        )

    def draw_filters(self, W: ArrayLike) -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.filters(W, low=None)

    def draw_statistics(self, samples: Pieces, data: Pieces, *, data_name: str = "data") -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.column_statistics(samples, data, data_name=data_name)

    def write(
        self, folder: Path, name: str, piece: np.ndarray, *, tempo: float | None = None, sound: bool = True
    ) -> list[Path]:
        """Write a ``.npy`` file and, if the columns have names, a ``.csv`` file: all columns in original units."""
        files = [folder / f"{name}.npy"]
        if not self.columns:
            write_npy(files[0], piece)
            return files
        values = self.original(piece)
        for i in self.kept:  # digits that a single-precision value does not have would fill the table
            scale = self.deviation[i] if self.mean else float(np.abs(values[:, i]).max()) or 1.0
            values[:, i] = np.round(values[:, i], _DIGITS - math.floor(math.log10(scale)))
        write_npy(files[0], values)
        files.append(folder / f"{name}.csv")
        write_table(files[1], values, self.columns)
        return files

    def check_writing(self, n_frames: int, tempo: float | None = None) -> None:
        if tempo is not None:
            raise ValueError(f"tempo={tempo:g}: {self.name} have no tempo; leave it out")

    def read(self, path: Path, n_visible: int) -> tuple[np.ndarray, None]:
        """Read a ``.npy`` file of shape (T, n_columns), or a ``.csv`` or ``.tsv`` file if the columns have names.

        Files are in original units. A table may have more columns than this kind, in any order; those that are
        constant in training may be absent.
        """
        if path.suffix.lower() in TABLE_SUFFIXES and self.columns:
            table = read_table(path)
            if absent := [each for each in self.kept_columns if each not in table.names]:
                raise ValueError(
                    f"{path}: has no column {_shown(absent)}; expected a header and the columns {_shown(self.columns)}"
                )
            piece = self._of_columns(table.values, table.names)
            return self.check(piece, n_visible=n_visible, where=str(path)), None
        piece = read_npy(path, self.name)
        if self.mean:
            if piece.ndim != 2 or piece.shape[1] != len(self.columns) or piece.dtype.kind not in "biuf":
                raise ValueError(
                    f"{path}: an array of shape {piece.shape} of {piece.dtype}; expected (frames, {len(self.columns)}) "
                    "of real numbers: all columns in original units"
                )
            piece = self.standardised(piece)
        return self.check(piece, n_visible=n_visible, where=str(path)), None

    def folder_options(self, n_visible: int) -> dict[str, Any]:
        if not self.columns:
            raise ValueError(f"a folder of MIDI files holds piano-rolls, not {self.name}; give an .npz file")
        return {} if self.seconds_per_frame is None else {"seconds_per_frame": self.seconds_per_frame}


def _shown(names: Sequence[str]) -> str:
    """Return some names for a message."""
    return ", ".join(map(repr, names[:_MOST_NAMES])) + (" ..." if len(names) > _MOST_NAMES else "")
