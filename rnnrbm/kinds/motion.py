"""Motion capture: poses of a body, described so that it does not matter where it is and which way it faces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_pieces
from rnnrbm.frames import FrameKind, Mismatch, Pieces, ScoreColumn, is_number
from rnnrbm.io.skeleton import ROOT_COLUMNS, joint_positions, world_path
from rnnrbm.kinds.vectors import Vectors
from rnnrbm.pieces import chunks, column_moments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Motion"]

_SECONDS = 4.0  # of a sample
_STATISTICS = ("moving forwards", "turning left", "height")


@dataclass(frozen=True)
class Motion:
    """Frames of a body's poses, dtype float32: standardised columns, and a skeleton.

    All columns are the six numbers of the root (:mod:`rnnrbm.io.skeleton`: tilts relative to gravity, turning, moving,
    height), then a rotation vector of each other joint relative to its parent, radians. Those that are constant in
    training are no columns of the frames.

    Attributes
    ----------
    seconds_per_frame : float or None
        Duration of a frame in seconds; None if not known.
    joints : tuple of str
        Names of the joints; the first one is the root.
    parents : tuple of int
        Of each joint, the number of its parent, which comes before it; -1 of the root.
    offsets : tuple of float
        Position of each joint in the axes of its parent: x, y and z of the first joint, of the second, and so on; 3 *
        n_joints numbers. Those of the root are not used.
    mean, deviation : tuple of float
        Of each of all columns, as of :class:`rnnrbm.kinds.vectors.Vectors`. Empty: values are in original units.

    Raises
    ------
    ValueError
        If the joints are no tree, or numbers are not as many as joints or columns.
    """

    name: ClassVar[str] = "motion"
    is_sequence: ClassVar[bool] = True
    autoregressive: ClassVar[int] = Vectors.autoregressive
    frame_name: ClassVar[str] = "frame"
    is_discrete: ClassVar[bool] = False
    level_name: ClassVar[str] = Vectors.level_name
    score_columns: ClassVar[tuple[ScoreColumn, ...]] = Vectors.score_columns
    score_note: ClassVar[str] = Vectors.score_note

    seconds_per_frame: float | None = None
    joints: tuple[str, ...] = ("root",)
    parents: tuple[int, ...] = (-1,)
    offsets: tuple[float, ...] = (0.0, 0.0, 0.0)
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the values and convert them to plain ones."""
        for name, kind, what in (("joints", str, "names"), ("parents", int, "whole numbers")):
            given = getattr(self, name)
            if not isinstance(given, (tuple, list)) or not all(type(each) is kind for each in given):
                raise ValueError(f"{name}={str(given)[:60]}: expected a list of {what}, one for each joint")
            object.__setattr__(self, name, tuple(given))
        n = len(self.joints)
        if not n or len(set(self.joints)) < n or len(self.parents) != n:
            raise ValueError(f"joints and parents: expected as many names, all different, as parents; got {n} names")
        if self.parents[0] != -1 or any(not 0 <= parent < j for j, parent in enumerate(self.parents[1:], 1)):
            raise ValueError(
                f"parents={str(self.parents)[:60]}: expected -1, then of each joint one that comes before it"
            )
        offsets = self.offsets
        if not isinstance(offsets, (tuple, list)) or len(offsets) != 3 * n or not all(map(is_number, offsets)):
            raise ValueError(f"offsets: expected {3 * n} finite numbers, x, y and z of each of {n} joints")
        object.__setattr__(self, "offsets", tuple(map(float, offsets)))
        for name in ("seconds_per_frame", "mean", "deviation"):
            object.__setattr__(self, name, getattr(self.values, name))

    @cached_property
    def values(self) -> Vectors:
        """The kind of the columns without a skeleton."""
        names = [f"{joint} {axis}" for joint in self.joints[1:] for axis in "xyz"]
        return Vectors(self.seconds_per_frame, (*ROOT_COLUMNS, *names), self.mean, self.deviation)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns."""
        return self.values.columns

    @property
    def transpose_range(self) -> tuple[int, int]:
        """Always (0, 0)."""
        return (0, 0)

    @property
    def sample_length(self) -> int:
        """Four seconds, or 120 frames if their duration is not known."""
        return 120 if self.seconds_per_frame is None else max(round(_SECONDS / self.seconds_per_frame), 1)

    def unit_name(self, train: Pieces) -> str:
        """Gaussian units; see :meth:`Vectors.unit_name`."""
        return self.values.unit_name(train)

    def describe(self, n_visible: int) -> str:
        return f"{self.values.describe(n_visible)}, poses of a skeleton of {len(self.joints)} joints"

    def check(self, piece: ArrayLike, *, n_visible: int | None = None, where: str = "") -> np.ndarray:
        return self.values.check(piece, n_visible=n_visible, where=where)

    def mismatch(self, other: FrameKind) -> Mismatch:
        if not isinstance(other, Motion):
            return Mismatch(f"the frames are {other.name}, not {self.name}")
        if (self.joints, self.parents) != (other.joints, other.parents):
            return Mismatch("is of a skeleton of other joints, so the columns are not the same")
        columns, caveat = self.values.mismatch(other.values)
        bones = "bones of other lengths than" if self.offsets != other.offsets else ""
        return Mismatch(columns, "; ".join(filter(None, (caveat, bones))))

    def original(self, frames: ArrayLike) -> np.ndarray:
        """Return frames (T, n_visible) in original units, with all columns: float64, shape (T, n_columns)."""
        return self.values.original(frames)

    def standardised(self, values: ArrayLike) -> np.ndarray:
        """Return frames (T, n_visible), float32, of values of all columns in original units."""
        return self.values.standardised(values)

    def converts(self, kind: FrameKind) -> bool:
        """Return whether :meth:`converted` can make frames of another kind: one of the same joints."""
        if not isinstance(kind, Motion) or (self.joints, self.parents) != (kind.joints, kind.parents):
            return False
        return self.values.converts(kind.values)

    def converted(self, frames: np.ndarray, kind: Motion) -> np.ndarray:
        """Return frames of this kind as those of another, which has other means and deviations."""
        return self.values.converted(frames, kind.values)

    def positions(self, frames: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return where the joints are, if the body begins at x = y = 0 and faces the x axis; z is up.

        Parameters
        ----------
        frames : array_like, shape (T, n_visible)

        Returns
        -------
        positions : numpy.ndarray, shape (T, n_joints, 3)
            In the unit of the offsets.
        heading : numpy.ndarray, shape (T,)
            Direction that the body faces, radians.
        """
        values = self.original(frames)
        n_root = len(ROOT_COLUMNS)
        position, rotation, heading = world_path(values[:, :n_root])
        rotations = np.zeros((len(values), len(self.joints), 3))
        rotations[:, 1:] = values[:, n_root:].reshape(len(values), -1, 3)
        offsets = np.reshape(self.offsets, (-1, 3))
        return joint_positions(self.parents, offsets, rotations, position, rotation), heading

    def from_samples(self, samples: np.ndarray) -> np.ndarray:
        return self.values.from_samples(samples)

    def baselines(self, train: Pieces, valid: Pieces, test: Pieces) -> dict[str, float]:
        return self.values.baselines(train, valid, test)

    def baseline_table(self, train: Pieces, valid: Pieces, test: Pieces) -> list[dict[str, Any]]:
        return self.values.baseline_table(train, valid, test)

    def statistics(self, pieces: Pieces) -> dict[str, float]:
        """Those of vectors; and how far the body moves forwards and how much it turns in a frame, and its height."""
        pieces = as_pieces(pieces)
        moments = column_moments(self.original(part) for part in chunks(pieces))
        own = {name.replace(" ", "_"): float(moments.mean[self.columns.index(name)]) for name in _STATISTICS}
        return self.values.statistics(pieces) | own

    def levels(self, pieces: Pieces) -> list[np.ndarray]:
        return self.values.levels(pieces)

    def prediction_scores(self, predicted: Iterable[np.ndarray], true: Iterable[np.ndarray]) -> dict[str, float]:
        return self.values.prediction_scores(predicted, true)

    def draw(self, piece: np.ndarray, *, primed: int = 0, title: str | None = None) -> tuple[Figure, Any]:
        """Draw poses of the piece side by side."""
        from rnnrbm import plot

        positions, heading = self.positions(piece)
        return plot.stick_figures(
            positions,
            self.parents,
            heading,
            names=self.joints,
            seconds_per_frame=self.seconds_per_frame,
            title=title,
            primed=primed,
        )

    def draw_filters(self, W: ArrayLike) -> tuple[Figure, Any]:
        return self.values.draw_filters(W)

    def draw_statistics(self, samples: Pieces, data: Pieces, *, data_name: str = "data") -> tuple[Figure, Any]:
        return self.values.draw_statistics(samples, data, data_name=data_name)

    def write(
        self, folder: Path, name: str, piece: np.ndarray, *, tempo: float | None = None, sound: bool = True
    ) -> list[Path]:
        """Write a ``.npy`` and a ``.csv`` file of all columns in original units, and a GIF of the moving body."""
        from rnnrbm.plot.skeleton import write_moving_figure

        files = self.values.write(folder, name, piece)
        positions, heading = self.positions(piece)
        files.append(folder / f"{name}.gif")
        seconds = 1 / 30 if self.seconds_per_frame is None else self.seconds_per_frame
        write_moving_figure(files[-1], positions, self.parents, heading, names=self.joints, seconds_per_frame=seconds)
        return files

    def check_writing(self, n_frames: int, tempo: float | None = None) -> None:
        if tempo is not None:
            raise ValueError(f"tempo={tempo:g}: {self.name} has no tempo; leave it out")

    def read(self, path: Path, n_visible: int) -> tuple[np.ndarray, None]:
        """Read a ``.npy`` or a ``.csv`` file of all columns in original units, as `write` writes them."""
        return self.values.read(path, n_visible)

    def folder_options(self, n_visible: int) -> dict[str, Any]:
        raise ValueError("a folder of files holds no motion capture with a skeleton; give a .mat or an .npz file")
