"""Images: frames of pixels that do not follow each other in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_pieces, plain
from rnnrbm.frames import FrameKind, Mismatch, Pieces, ScoreColumn
from rnnrbm.io.formats import read_npy, write_npy
from rnnrbm.pieces import chunks, column_moments
from rnnrbm.scoring.autoregression import ColumnGaussian

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Image", "LogProbability", "check_pixels", "mean_scores"]

LogProbability = Callable[[np.ndarray], np.ndarray]

#: in files -> in words
_HOW = {"sampled": "by sampling", "threshold": "by threshold", "original": "originally"}
_MOST_DRAWN = 100  # images in one picture
_MOST_COMPARED = 500  # images whose distances are measured
#: Least standard deviations that are tried for a grey pixel, as many pixels are constant in training. None is less than
#: the step of grey values of one byte: of values with steps, a finer density can be as high as one likes.
_LEAST = (1 / 256, 0.01, 0.03, 0.1, 0.3)


@dataclass(frozen=True)
class Image:
    """Images of one size, whose pixels are 0 and 1, or grey values from 0 to 1.

    A piece is an array (n_images, height * width): a row is an image, and holds the rows of its pixels one after the
    other. Arrays (n_images, height, width) are converted. The images of a piece have no order.

    Attributes
    ----------
    height, width : int
        Pixels.
    binarised : {"", "sampled", "threshold", "original"}
        How pixels became 0 and 1 (see :func:`rnnrbm.io.image_sets.binarise`); ``"original"``: they were so from the
        start. Such images are uint8. The default is grey values, float32.

    Raises
    ------
    ValueError
        If a size is no whole number, at least 1, or `binarised` is unknown.
    """

    name: ClassVar[str] = "image"
    is_sequence: ClassVar[bool] = False
    autoregressive: ClassVar[int] = 0
    frame_name: ClassVar[str] = "image"
    level_name: ClassVar[str] = "mean pixel"
    score_columns: ClassVar[tuple[ScoreColumn, ...]] = ()
    score_note: ClassVar[str] = "Images are independent of each other, so none is predicted from others."

    height: int = 28
    width: int = 28
    binarised: str = ""

    def __post_init__(self) -> None:
        """Check the fields."""
        for name in ("height", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value < 2**16:
                raise ValueError(f"{name}={value!r}: expected a whole number of pixels, 1 to {2**16 - 1}")
            object.__setattr__(self, name, int(value))
        if not isinstance(self.binarised, str) or self.binarised not in ("", *_HOW):
            raise ValueError(
                f"binarised={self.binarised!r}: expected one of {', '.join(map(repr, _HOW))}, or '' for grey values"
            )

    @property
    def is_discrete(self) -> bool:
        """Whether pixels are 0 and 1."""
        return bool(self.binarised)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return (self.height, self.width)

    @property
    def transpose_range(self) -> tuple[int, int]:
        """Always (0, 0): a shift by a column would move pixels into other rows."""
        return (0, 0)

    @property
    def sample_length(self) -> int:
        """Always 64: the images in one picture of samples."""
        return 64

    def unit_name(self, train: Pieces) -> str:
        """Binary units for pixels of 0 and 1; for grey ones, Gaussian units of learned standard deviations."""
        return "binary" if self.is_discrete else "gaussian:learned"

    def describe(self, n_visible: int) -> str:
        how = f", binarised {_HOW[self.binarised]}" if self.binarised in ("sampled", "threshold") else ""
        kind = f"{self.height} x {self.width} {'binary' if self.is_discrete else 'grey'} pixels"
        return f"{n_visible} column{'' if n_visible == 1 else 's'}, images of {kind}{how}"

    def check(self, piece: ArrayLike, *, n_visible: int | None = None, where: str = "") -> np.ndarray:
        return check_pixels(piece, self.shape, binary=self.is_discrete, n_visible=n_visible, where=where)

    def mismatch(self, other: FrameKind) -> Mismatch:
        if not isinstance(other, Image):
            return Mismatch(f"the frames are {other.name}, not {self.name}")
        different = []
        if other.shape != self.shape:
            different.append(f"images have {other.height} x {other.width} pixels, not {self.height} x {self.width}")
        if other.is_discrete != self.is_discrete:
            kinds = ("binary", "grey") if other.is_discrete else ("grey", "binary")
            different.append(f"pixels are {kinds[0]}, not {kinds[1]}")
        if different or other.binarised == self.binarised:
            return Mismatch("; ".join(different))
        return Mismatch(caveat=f"pixels made binary {_HOW[other.binarised]}, not {_HOW[self.binarised]}")

    def from_samples(self, samples: np.ndarray) -> np.ndarray:
        """Round to 0 and 1, from 0.5; or of grey pixels, cut what lies outside 0 to 1."""
        if self.is_discrete:
            return (np.asarray(samples) >= 0.5).astype(np.uint8)
        return np.clip(np.asarray(samples, np.float32), 0, 1)

    def baselines(self, train: Pieces, valid: Pieces, test: Pieces) -> dict[str, float]:
        return {row["model"]: row["ll"] for row in self.baseline_table(train, valid, test)}

    def baseline_table(self, train: Pieces, valid: Pieces, test: Pieces) -> list[dict[str, Any]]:
        """Score :meth:`independent_pixels`, nats per image."""
        log_p, settings = self.independent_pixels(train, valid)
        return [{"model": "independent pixels", "settings": settings, **mean_scores([log_p(piece) for piece in test])}]

    def independent_pixels(self, train: Pieces, valid: Pieces) -> tuple[LogProbability, dict[str, float]]:
        """Fit independent pixels; return what gives the log-probability of each image (n,), nats, and what was chosen.

        A binary pixel is 1 as often as in training, where each of its states is counted once more than it occurs. A
        grey pixel is normal with its mean and standard deviation in training. The least standard deviation is the one
        with the best log-likelihood on `valid`, or on `train` if that is empty.
        """
        moments = column_moments(chunks(as_pieces(train)))
        if self.is_discrete:
            p = (moments.mean * moments.n + 1.0) / (moments.n + 2.0)
            return lambda piece: _bernoulli(piece, p), {}
        fitted = [ColumnGaussian(moments.mean, np.maximum(np.sqrt(moments.variance), least)) for least in _LEAST]
        unseen = valid if len(valid) else train
        scores = [np.mean(np.concatenate([_by_parts(model, piece) for piece in unseen])) for model in fitted]
        best = int(np.argmax(scores))
        return lambda piece: _by_parts(fitted[best], piece), {"least_deviation": _LEAST[best]}

    def statistics(self, pieces: Pieces) -> dict[str, float]:
        """Return three numbers by which bad samples differ from data.

        They are the mean pixel, the standard deviation of the mean pixel from image to image, and the mean Euclidean
        distance from an image to the nearest other one, which is small if samples resemble each other. The distance is
        measured among at most 500 images, evenly spread over the pieces. Among fewer images it is greater, so compare
        sets of the same size.
        """
        pieces = as_pieces(pieces)
        ink = np.concatenate(self.levels(pieces))
        starts = np.cumsum([0, *map(len, pieces)])
        chosen = np.unique(np.linspace(0, starts[-1] - 1, min(_MOST_COMPARED, starts[-1])).round().astype(int))
        parts = [
            piece[chosen[(chosen >= start) & (chosen < start + len(piece))] - start]
            for piece, start in zip(pieces, starts[:-1], strict=True)
        ]
        images = np.concatenate(parts).astype(float)
        squares = (images**2).sum(axis=1)
        distances = np.maximum(squares[:, None] + squares - 2.0 * images @ images.T, 0.0)
        np.fill_diagonal(distances, np.inf)
        return {
            "mean_pixel": float(ink.mean()),
            "deviation_of_mean_pixel": float(ink.std()),
            "nearest_distance": float(np.sqrt(distances.min(axis=1)).mean()) if len(images) > 1 else 0.0,
        }

    def levels(self, pieces: Pieces) -> list[np.ndarray]:
        """Mean pixel of each image."""
        return [np.mean(piece, axis=1, dtype=float) for piece in pieces]

    def prediction_scores(self, predicted: Iterable[np.ndarray], true: Iterable[np.ndarray]) -> dict[str, float]:
        """Return no score: no image is predicted from others."""
        return {}

    def draw(self, piece: np.ndarray, *, primed: int = 0, title: str | None = None) -> tuple[Figure, Any]:
        """Draw the first 100 images side by side. `primed` has no meaning, as images do not follow each other."""
        from rnnrbm import plot

        shown = piece[:_MOST_DRAWN]
        part = f"{len(shown)} of {len(piece)} images" if len(shown) < len(piece) else ""
        return plot.image_tiles(shown, self.shape, title=", ".join(filter(None, (title, part))) or None)

    def draw_filters(self, W: ArrayLike) -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.filter_tiles(W, self.shape)

    def draw_reconstructions(self, frames: ArrayLike, reconstructed: ArrayLike) -> tuple[Figure, Any]:
        """Draw images, and below each what a model has made of it; arrays have shape (n_images, height * width)."""
        from rnnrbm import plot

        return plot.image_pairs([("images", frames), ("reconstructions", reconstructed)], self.shape)

    def draw_statistics(self, samples: Pieces, data: Pieces, *, data_name: str = "data") -> tuple[Figure, Any]:
        from rnnrbm import plot

        return plot.image_statistics(samples, data, self.shape, data_name=data_name)

    def write(
        self, folder: Path, name: str, piece: np.ndarray, *, tempo: float | None = None, sound: bool = True
    ) -> list[Path]:
        """Write a ``.npy`` file of shape (n_images, height, width)."""
        path = folder / f"{name}.npy"
        write_npy(path, np.reshape(piece, (-1, *self.shape)))
        return [path]

    def check_writing(self, n_frames: int, tempo: float | None = None) -> None:
        if tempo is not None:
            raise ValueError(f"tempo={tempo:g}: images have no tempo; leave it out")

    def read(self, path: Path, n_visible: int) -> tuple[np.ndarray, None]:
        """Read a ``.npy`` file of shape (n_images, height, width) or (n_images, height * width)."""
        images = read_npy(path, "images")
        return self.check(images, n_visible=n_visible, where=str(path)), None

    def folder_options(self, n_visible: int) -> dict[str, Any]:
        raise ValueError("a folder of MIDI or sound files holds no images; give an .npz file")


def check_pixels(
    piece: ArrayLike,
    shape: tuple[int, int],
    *,
    binary: bool = False,
    name: str = "an image",
    n_visible: int | None = None,
    where: str = "",
) -> np.ndarray:
    """Return images as rows of pixels, or say what is wrong with them.

    Parameters
    ----------
    piece : array-like, shape (n, height * width) or (n, height, width)
        Pixels from 0 to 1.
    shape : (int, int)
        Height and width of an image.
    binary : bool
        Whether pixels must be 0 and 1.
    name : str
        What an image is, with its article, for the message.
    n_visible : int, optional
        Number of pixels expected by other data or a model.
    where : str
        What the piece is, for the message.

    Returns
    -------
    numpy.ndarray, shape (n, height * width)
        float32, of binary images uint8, contiguous in memory; `piece` itself if it is that already.

    Raises
    ------
    ValueError
        If the array has another shape, there is no image, or a value is no pixel.
    """
    prefix, one, (height, width) = f"{where}: " if where else "", name.split()[-1], shape
    n_pixels, several = height * width, f"{one}s"
    piece = plain(piece, where or "piece")
    try:
        array = np.asarray(piece)
    except ValueError as error:
        raise ValueError(f"{prefix}rows of different lengths; expected an array of {several} x pixels") from error
    if array.shape[1:] == shape and len(array):
        array = array.reshape(len(array), n_pixels)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"{prefix}an array of shape {array.shape}; expected ({several}, {n_pixels}) or ({several}, {height}, "
            f"{width}), at least one {one}"
        )
    if array.shape[1] != n_pixels:
        own = f". One {one} has a piece of its own: give [{several}], not {several}" if array.shape == shape else ""
        turned = f". {several.capitalize()} come first: give its transpose" if array.shape[0] == n_pixels else ""
        raise ValueError(
            f"{prefix}{array.shape[1]} columns (shape {array.shape}); expected {n_pixels}, the pixels of {name} of "
            f"{height} x {width}{own or turned}"
        )
    if n_visible is not None and n_visible != n_pixels:
        raise ValueError(f"{prefix}{several} of {n_pixels} pixels; expected {n_visible} columns")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{prefix}values of type {array.dtype}; expected numbers from 0 to 1")
    wrong = ~((array == 0) | (array == 1)) if binary else ~((array >= 0) & (array <= 1))
    if wrong.any():
        raise ValueError(f"{prefix}{_wrong_pixels(array, wrong, binary, one)}")
    return np.ascontiguousarray(array, np.uint8 if binary else np.float32)


def _wrong_pixels(array: np.ndarray, wrong: np.ndarray, binary: bool, one: str) -> str:
    """Return what to say about values that are no pixels."""
    i, j = (int(k) for k in np.argwhere(wrong)[0])
    value, greatest = array[i, j].item(), float(np.nanmax(array)) if not np.isnan(array).all() else math.nan
    if value != value:
        advice = "replace or leave out missing values"
    elif 1 < greatest <= 255 and not (array < 0).any():
        advice = f"divide by the greatest possible value, {'255' if greatest > 16 else 'such as 16 or 255'}"
        if binary:
            advice += ", and make pixels binary by rnnrbm.io.image_sets.binarise"
    elif binary and 0 < value < 1:
        advice = "make grey pixels binary by rnnrbm.io.image_sets.binarise, or give the kind Image without binarised"
    else:
        advice = "scale the pixels to 0 to 1"
    expected = "0 and 1" if binary else "numbers from 0 to 1"
    return f"{int(wrong.sum())} pixels are not {expected}, the first is {value} in {one} {i}, column {j}; {advice}"


def mean_scores(each: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the mean over all images of pieces, and the mean over pieces of their means, as rows of tables have."""
    return {"ll": float(np.concatenate(each).mean()), "ll_pieces": float(np.mean([x.mean() for x in each]))}


def _bernoulli(piece: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the log-probability of each image (n,) if pixels are independently 1 with probabilities `p`, nats."""
    weights, off = np.log(p) - np.log1p(-p), np.log1p(-p).sum()
    return np.concatenate([part @ weights + off for part in chunks([piece])])


def _by_parts(model: ColumnGaussian, piece: np.ndarray) -> np.ndarray:
    """Return the log density of each image (n,), nats, of a few thousand images at a time."""
    return np.concatenate([model.frame_log_likelihoods(part) for part in chunks([piece])])
