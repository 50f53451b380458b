"""The interface of a kind of frame: what the columns of a data set mean.

A model sees arrays of shape (T, n_visible). A kind of frame knows the rest: which values are valid, how long a frame
lasts, which baselines and statistics make sense, how a sample is drawn, written and read back. A data set and a trained
run hold one kind each.

The kinds stand in :mod:`rnnrbm.kinds`. To add one, write a frozen dataclass with the members of :class:`FrameKind` and
add a line to :data:`rnnrbm.kinds.registry.KINDS`; CONTRIBUTING.md leads through the steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

# The types alone: whoever loads data should not wait for PyTensor and matplotlib.
if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

__all__ = ["FrameKind", "Mismatch", "Pieces", "ScoreColumn", "is_number"]

Pieces = Sequence[np.ndarray]


class Mismatch(NamedTuple):
    """Differences between two kinds of frame; an empty string means that there is none.

    Attributes
    ----------
    columns : str
        Difference in the meaning of the columns. A model of one kind cannot be used on data of the other.
    caveat : str
        Another difference, such as the duration of a frame. Scores can be computed but are hard to compare. It is what
        the other data have: ``"0.02 seconds per frame, not 0.01"``.
    """

    columns: str = ""
    caveat: str = ""


class ScoreColumn(NamedTuple):
    """Heading of a prediction score in a table.

    Attributes
    ----------
    key : str
        Name in the dictionaries that :meth:`FrameKind.prediction_scores` and :meth:`FrameKind.baseline_table` return.
    heading : str
    percent : bool
        Whether the score is a fraction, printed in percent.
    """

    key: str
    heading: str
    percent: bool = False


def is_number(value: Any) -> bool:
    """Return whether a value is a finite real number; truth values and texts from a file are not."""
    numeric = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    try:
        return numeric and math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


class FrameKind(Protocol):
    """A kind of frame: an immutable value, a frozen dataclass whose fields are the metadata of the frames.

    Pieces are arrays (T, n_visible) of checked frames.
    """

    #: name in files, such as ``"piano-roll"``
    name: ClassVar[str]
    #: whether the frames of a piece follow each other in time; if not, they are independent and have no order
    is_sequence: ClassVar[bool]
    #: latest frames that set the biases of the next one directly by default; see :mod:`rnnrbm.autoregressive`
    autoregressive: ClassVar[int]
    #: what a frame is called in summaries: ``"frame"`` or ``"image"``
    frame_name: ClassVar[str]
    #: what :meth:`levels` counts, such as ``"notes per frame"``
    level_name: ClassVar[str]
    #: columns of the table of prediction scores, and a sentence that explains them
    score_columns: ClassVar[tuple[ScoreColumn, ...]]
    score_note: ClassVar[str]

    @property
    def is_discrete(self) -> bool:
        """Whether a frame has a probability, not a density; only such models as agree compare with the baselines."""

    @property
    def transpose_range(self) -> tuple[int, int]:
        """Default range, in columns, by which training shifts pieces at random; (0, 0) if a shift makes no sense."""

    @property
    def sample_length(self) -> int:
        """Frames of a sample if no number is chosen."""

    def unit_name(self, train: Pieces) -> str:
        """Return the unit type that models these frames by default, from training pieces.

        For names see :func:`rnnrbm.models.registry.unit_of`.
        """

    def describe(self, n_visible: int) -> str:
        """Return columns and duration of a frame in a few words, for summaries."""

    def check(self, piece: ArrayLike, *, n_visible: int | None = None, where: str = "") -> np.ndarray:
        """Return a piece as an array of the dtype of this kind.

        Raises
        ------
        ValueError
            If the array has another shape or width, or an invalid value; the message begins with `where`.
        """

    def mismatch(self, other: FrameKind) -> Mismatch:
        """Compare the frames with those of another kind."""

    def from_samples(self, samples: np.ndarray) -> np.ndarray:
        """Convert values that a model has sampled, shape (..., n_visible), to valid frames."""

    def baselines(self, train: Pieces, valid: Pieces, test: Pieces) -> dict[str, float]:
        """Return log-likelihoods of `test`, nats per frame, under a few baselines that are fitted quickly."""

    def baseline_table(self, train: Pieces, valid: Pieces, test: Pieces) -> list[dict[str, Any]]:
        """Fit every baseline and score `test`.

        Returns
        -------
        list of dict
            ``model``, ``settings`` (dict), ``ll`` and ``ll_pieces`` (nats per frame, or None), and the keys of
            :attr:`score_columns`.
        """

    def statistics(self, pieces: Pieces) -> dict[str, float]:
        """Return a few numbers that show whether samples resemble the data."""

    def levels(self, pieces: Pieces) -> list[np.ndarray]:
        """Return a number (T,) for each frame by which one sees long samples drift; see :mod:`rnnrbm.scoring.drift`."""

    def prediction_scores(self, predicted: Any, true: Any) -> dict[str, float]:
        """Compare predicted frames with the true ones; keys are those of :attr:`score_columns`.

        Both are sequences of pieces. Of kinds that are not discrete, they may be iterators of arrays of some frames
        each, which are read one at a time.
        """

    def draw(self, piece: np.ndarray, *, primed: int = 0, title: str | None = None) -> tuple[Figure, Any]:
        """Draw a piece. A line marks the end of the first `primed` frames, which were given, not sampled."""

    def draw_filters(self, W: ArrayLike) -> tuple[Figure, Any]:
        """Draw weights (n_visible, n_hidden)."""

    def draw_statistics(self, samples: Pieces, data: Pieces, *, data_name: str = "data") -> tuple[Figure, Any]:
        """Draw statistics of samples next to those of data."""

    def write(
        self, folder: Path, name: str, piece: np.ndarray, *, tempo: float | None = None, sound: bool = True
    ) -> list[Path]:
        """Write a piece to files ``folder/name.*``, without its picture, and return their paths.

        `tempo`, in beats per minute, is for kinds whose frames are parts of a beat; None stands for that of the data.
        `sound` selects audio files.
        """

    def check_writing(self, n_frames: int, tempo: float | None = None) -> None:
        """Raise an error for what `write` would raise it, before there is a piece of so many frames.

        Raises
        ------
        ValueError
            If a piece cannot be so long, or the tempo is impossible.
        TypeError
            If the tempo is no number.
        MemoryError
            If the files would take more memory to make than there is.
        """

    def read(self, path: Path, n_visible: int) -> tuple[np.ndarray, float | None]:
        """Read one piece from a file, with the columns and the frames of this kind, and its tempo if it has one.

        Raises
        ------
        ValueError
            If the file does not fit.
        OSError
            If it cannot be read.
        """

    def folder_options(self, n_visible: int) -> Mapping[str, Any]:
        """Return the options with which :func:`rnnrbm.datasets.load` reads a folder of files as frames of this kind.

        Raises
        ------
        ValueError
            If no folder can be read as this kind.
        """
