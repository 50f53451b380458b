"""Video: frames of pixels that follow each other in time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_pieces
from rnnrbm.frames import FrameKind, Mismatch, Pieces, ScoreColumn
from rnnrbm.io.formats import read_npy, write_npy
from rnnrbm.kinds.image import Image, check_pixels
from rnnrbm.kinds.vectors import Vectors
from rnnrbm.pieces import chunks, column_moments
from rnnrbm.scoring import linear_baselines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Video"]

_RATE = 15.0  # frames per second of films that do not say how long a frame lasts
_SLOWEST = 1.0  # ... and of those whose frames last longer than anyone would watch, such as days


@dataclass(frozen=True)
class Video:
    """Films: grey images of one size, from 0 (black) to 1 (white), that follow each other in time; dtype float32.

    A piece is an array (T, height * width): a row is a frame, and holds the rows of its pixels one after the other.
    Arrays (T, height, width) are converted.

    Attributes
    ----------
    height, width : int
        Pixels.
    seconds_per_frame : float or None
        Duration of a frame in seconds; None if not known.

    Raises
    ------
    ValueError
        If a size is no whole number, at least 1, or the duration is not positive.
    """

    name: ClassVar[str] = "video"
    is_sequence: ClassVar[bool] = True
    autoregressive: ClassVar[int] = 3
    frame_name: ClassVar[str] = "frame"
    is_discrete: ClassVar[bool] = False
    level_name: ClassVar[str] = "mean pixel of a frame"
    score_columns: ClassVar[tuple[ScoreColumn, ...]] = Vectors.score_columns
    score_note: ClassVar[str] = (
        "Values are pixels, and predictions of baselines are cut to 0 to 1. " + Vectors.score_note
    )

    height: int = 15
    width: int = 15
    seconds_per_frame: float | None = None

    def __post_init__(self) -> None:
        """Check the fields and convert them to plain numbers."""
        size, values = Image(self.height, self.width), Vectors(self.seconds_per_frame)
        for name, value in (("height", size.height), ("width", size.width)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "seconds_per_frame", values.seconds_per_frame)

    @cached_property
    def image(self) -> Image:
        """The kind of a single frame."""
        return Image(self.height, self.width)

    @cached_property
    def vectors(self) -> Vectors:
        """The kind of the frames as numbers without a place in a picture."""
        return Vectors(self.seconds_per_frame)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return (self.height, self.width)

    @property
    def frames_per_second(self) -> float:
        """Rate at which a film is shown: by the duration of a frame, at least 1; 15 if that is not known."""
        return _RATE if self.seconds_per_frame is None else max(1.0 / self.seconds_per_frame, _SLOWEST)

    @property
    def transpose_range(self) -> tuple[int, int]:
        """Always (0, 0): a shift by a column would move pixels into other rows."""
        return (0, 0)

    @property
    def sample_length(self) -> int:
        """Always 128, the length of the films of bouncing balls."""
        return 128

    def unit_name(self, train: Pieces) -> str:
        """Gaussian units of one standard deviation, that of a change of a pixel from frame to frame.

        It is fixed: most pixels do not change at all, so a learned one could become as small as it likes.
        """
        changes = column_moments(np.diff(part, axis=0) for part in chunks(as_pieces(train), overlap=1))
        return f"gaussian:{max(float(np.sqrt(changes.variance.mean())), 0.01):.3g}"

    def describe(self, n_visible: int) -> str:
        duration = "" if self.seconds_per_frame is None else f", {self.seconds_per_frame:g} s per frame"
        size = f"{self.height} x {self.width} grey pixels"
        return f"{n_visible} column{'' if n_visible == 1 else 's'}, video of {size}{duration}"

    def check(self, piece: ArrayLike, *, n_visible: int | None = None, where: str = "") -> np.ndarray:
        return check_pixels(piece, self.shape, name="a frame", n_visible=n_visible, where=where)

    def mismatch(self, other: FrameKind) -> Mismatch:
        if not isinstance(other, Video):
            return Mismatch(f"the frames are {other.name}, not {self.name}")
        return Mismatch(self.image.mismatch(other.image).columns, self.vectors.mismatch(other.vectors).caveat)

    def from_samples(self, samples: np.ndarray) -> np.ndarray:
        """Cut what lies outside 0 to 1."""
        return self.image.from_samples(samples)

    def baselines(self, train: Pieces, valid: Pieces, test: Pieces) -> dict[str, float]:
        return {row["model"]: row["ll"] for row in self.baseline_table(train, valid, test)}

    def baseline_table(self, train: Pieces, valid: Pieces, test: Pieces) -> list[dict[str, Any]]:
        """Score Gaussian pixels and vector autoregressions.

        Prediction scores are those of the expected frames, cut to 0 to 1. Log-likelihoods are those of the models as
        they are, whose density reaches beyond 0 to 1.
        """
        return linear_baselines.table(train, valid, test, self._clipped_scores)

    def _clipped_scores(self, predicted: Iterable[np.ndarray], true: Iterable[np.ndarray]) -> dict[str, float]:
        return self.prediction_scores((np.clip(piece, 0.0, 1.0) for piece in predicted), true)

    def statistics(self, pieces: Pieces) -> dict[str, float]:
        """Return four numbers by which bad samples differ from data.

        They are the mean pixel, the standard deviation of a pixel, its correlation with itself one frame earlier, and
        the mean absolute change of a pixel from frame to frame, which is 0 if a film stands still.
        """
        pieces = as_pieces(pieces)
        numbers = self.vectors.statistics(pieces)
        mean = numbers.pop("mean")
        change = n = 0.0
        for part in chunks(pieces, overlap=1):
            changes = np.abs(np.diff(part, axis=0))
            change += float(changes.sum())
            n += changes.size
        return {"mean_pixel": mean, **numbers, "mean_change": change / n if n else float("nan")}

    def levels(self, pieces: Pieces) -> list[np.ndarray]:
        """Mean pixel of each frame."""
        return self.image.levels(pieces)

    def prediction_scores(self, predicted: Iterable[np.ndarray], true: Iterable[np.ndarray]) -> dict[str, float]:
        return self.vectors.prediction_scores(predicted, true)

    def draw(self, piece: np.ndarray, *, primed: int = 0, title: str | None = None) -> tuple[Figure, Any]:
        """Draw a strip of up to 32 frames. A line marks the end of the first `primed` frames, which were given."""
        from rnnrbm import plot

        return plot.film_strip(piece, self.shape, primed=primed, title=title)

    def draw_filters(self, W: ArrayLike) -> tuple[Figure, Any]:
        """Draw weights (n_visible, n_hidden) as images: the receptive fields of the hidden units."""
        return self.image.draw_filters(W)

    def draw_statistics(self, samples: Pieces, data: Pieces, *, data_name: str = "data") -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.film_statistics(samples, data, self.shape, data_name=data_name)

    def write(
        self, folder: Path, name: str, piece: np.ndarray, *, tempo: float | None = None, sound: bool = True
    ) -> list[Path]:
        """Write a ``.npy`` file of shape (T, height, width), and a ``.gif`` file that moves.

        The GIF file is shown at :attr:`frames_per_second`. It has at most 1000 frames, see
        :func:`rnnrbm.plot.moving.moving_images`.
        """
        from rnnrbm import plot

        film = np.reshape(piece, (-1, *self.shape))
        paths = [folder / f"{name}.npy", folder / f"{name}.gif"]
        write_npy(paths[0], film)
        plot.moving_images([film], self.shape, paths[1], frames_per_second=self.frames_per_second)
        return paths

    def check_writing(self, n_frames: int, tempo: float | None = None) -> None:
        if tempo is not None:
            raise ValueError(f"tempo={tempo:g}: a {self.name} has no tempo; leave it out")

    def read(self, path: Path, n_visible: int) -> tuple[np.ndarray, None]:
        """Read a ``.npy`` file of shape (T, height, width) or (T, height * width)."""
        return self.check(read_npy(path, self.name), n_visible=n_visible, where=str(path)), None

    def folder_options(self, n_visible: int) -> dict[str, Any]:
        raise ValueError(f"a folder of MIDI or sound files holds no {self.name}; give an .npz file")
