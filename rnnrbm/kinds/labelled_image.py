"""Images with labels: a frame is the pixels of an image, and its class.

With the class among its units, an RBM is a classifier and draws images of a class (Larochelle & Bengio,
"Classification using discriminative restricted Boltzmann machines", ICML 2008).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_pieces, plain
from rnnrbm.frames import FrameKind, Mismatch, Pieces, ScoreColumn
from rnnrbm.io.formats import read_arrays, write_npz
from rnnrbm.kinds.image import Image, LogProbability, mean_scores
from rnnrbm.pieces import chunks, column_moments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LabelledImage"]

_MOST_CLASSES = 10_000
_MOST_DRAWN = 20  # images of a class in a picture
_MOST_ROWS = 30  # classes in a picture
_MOST_SHARES = 20  # classes whose shares are all told


@dataclass(frozen=True)
class LabelledImage:
    """Images of one size with labels: the columns are the pixels of an image, then one column for each class.

    Of the columns of the classes exactly one is 1: that of the image's label. Pieces are arrays
    (n_images, height * width + n_classes), which :meth:`join` makes of images and labels.

    Attributes
    ----------
    height, width : int
        Pixels.
    n_classes : int
        Number of classes, at least 2. Labels are 0 to n_classes - 1.
    binarised : {"", "sampled", "threshold", "original"}
        As for :class:`rnnrbm.kinds.image.Image`.

    Raises
    ------
    ValueError
        If a size or number is no whole number in its range, or `binarised` is unknown.
    """

    name: ClassVar[str] = "labelled-image"
    is_sequence: ClassVar[bool] = False
    autoregressive: ClassVar[int] = 0
    frame_name: ClassVar[str] = "image"
    level_name: ClassVar[str] = Image.level_name
    score_columns: ClassVar[tuple[ScoreColumn, ...]] = ()
    score_note: ClassVar[str] = f"{Image.score_note} A frame is an image and its label."

    height: int = 28
    width: int = 28
    n_classes: int = 10
    binarised: str = ""

    def __post_init__(self) -> None:
        """Check the fields."""
        for name, value in (("height", self.image.height), ("width", self.image.width)):
            object.__setattr__(self, name, value)
        n_classes = self.n_classes
        if isinstance(n_classes, bool) or not isinstance(n_classes, int | np.integer) or not n_classes >= 2:
            raise ValueError(f"n_classes={n_classes!r}: expected a whole number of classes, 2 or more")
        if n_classes > _MOST_CLASSES:
            raise ValueError(f"n_classes={n_classes}: expected at most {_MOST_CLASSES} classes")
        object.__setattr__(self, "n_classes", int(n_classes))

    @property
    def image(self) -> Image:
        """The kind of the images without labels."""
        return Image(self.height, self.width, self.binarised)

    @property
    def n_pixels(self) -> int:
        """Columns of an image."""
        return self.height * self.width

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.image.shape

    @property
    def is_discrete(self) -> bool:
        """Whether pixels are 0 and 1."""
        return self.image.is_discrete

    @property
    def transpose_range(self) -> tuple[int, int]:
        """Always (0, 0)."""
        return (0, 0)

    @property
    def sample_length(self) -> int:
        """Always 100: the images in one picture of samples."""
        return 100

    def join(self, images: ArrayLike, labels: ArrayLike) -> np.ndarray:
        """Return images (n, height * width) or (n, height, width) with labels (n,) as frames (n, n_columns).

        Raises
        ------
        ValueError
            If the images are none of this kind, or their number is not that of the labels, or a label is no whole
            number from 0 to n_classes - 1.
        """
        pixels = self.image.check(images, where="images")
        return np.concatenate([pixels, self.one_hot(labels, len(pixels)).astype(pixels.dtype)], axis=1)

    def one_hot(self, labels: ArrayLike, n: int | None = None, where: str = "") -> np.ndarray:
        """Return labels (n,) as columns of the classes (n, n_classes), uint8.

        Parameters
        ----------
        labels : array_like of whole numbers
        n : int, optional
            Number of labels expected.
        where : str
            Begins the error.

        Raises
        ------
        ValueError
            As :meth:`join`.
        """
        prefix = f"{where}: " if where else ""
        array = np.asarray(plain(labels, "labels"))
        if array.ndim != 1 or array.dtype.kind not in "iuf" or len(array) != (len(array) if n is None else n):
            raise ValueError(
                f"{prefix}labels have shape {array.shape} and type {array.dtype}; expected "
                f"({'n' if n is None else n},), a whole number for each image"
            )
        wrong = ~((array >= 0) & (array < self.n_classes)) | (array != np.floor(array))
        if wrong.any():
            raise ValueError(
                f"{prefix}{int(wrong.sum())} labels are out of range, the first is {array[wrong][0]} of image "
                f"{int(wrong.argmax())}; expected 0 to {self.n_classes - 1}, as there are {self.n_classes} classes"
            )
        return (array[:, None] == np.arange(self.n_classes)).astype(np.uint8)

    def split(self, frames: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the images (..., height * width) of frames and their labels (...), the class with the greatest value.

        It is the inverse of :meth:`join`, and takes the means of frames too.
        """
        frames = np.asarray(frames)
        if frames.shape[-1] != self.n_pixels + self.n_classes:
            raise ValueError(f"an array of shape {frames.shape}; expected (..., {self._columns()})")
        return frames[..., : self.n_pixels], frames[..., self.n_pixels :].argmax(axis=-1)

    def clamp(self, labels: ArrayLike) -> np.ndarray:
        """Return frames (n, n_columns) in which only the labels (n,) are given, and pixels are NaN.

        :func:`rnnrbm.generate` samples images of these labels, one for each:
        ``generate(rbm, len(labels), clamp=kind.clamp(labels), start="annealed", k=1000)``.
        """
        columns = self.one_hot(labels)
        return np.concatenate([np.full((len(columns), self.n_pixels), np.nan), columns], axis=1)

    def _columns(self) -> str:
        return f"{self.n_pixels + self.n_classes}: {self.n_pixels} pixels and {self.n_classes} classes"

    def unit_name(self, train: Pieces) -> str:
        """Binary units, or for grey pixels Gaussian ones of one standard deviation; and a softmax unit, the class."""
        if self.is_discrete:
            return f"binary+softmax:{self.n_classes}"
        variance = column_moments(chunks(as_pieces(train))).variance[: self.n_pixels]
        return f"gaussian:{max(float(np.sqrt(variance.mean())), 1e-3):.3g}+softmax:{self.n_classes}"

    def describe(self, n_visible: int) -> str:
        images = self.image.describe(self.n_pixels).partition(", ")[2]
        return f"{n_visible} columns, {images}, and {self.n_classes} classes"

    def check(self, piece: ArrayLike, *, n_visible: int | None = None, where: str = "") -> np.ndarray:
        prefix = f"{where}: " if where else ""
        piece = plain(piece, where or "piece")
        try:
            array = np.asarray(piece)
        except ValueError as error:
            raise ValueError(f"{prefix}rows of different lengths; expected an array of images x columns") from error
        n_columns = self.n_pixels + self.n_classes
        if array.ndim != 2 or 0 in array.shape or array.shape[1] != n_columns:
            without = (
                "; for images and their labels apart, use kind.join(images, labels)"
                if array.shape[1:] in ((self.n_pixels,), self.shape)
                else ""
            )
            raise ValueError(
                f"{prefix}an array of shape {array.shape}; expected (images, {n_columns}), at least one image, where "
                f"{n_columns} columns are {self.n_pixels} pixels and {self.n_classes} classes{without}"
            )
        if n_visible is not None and n_visible != n_columns:
            raise ValueError(f"{prefix}images and labels of {n_columns} columns; expected {n_visible}")
        pixels = self.image.check(array[:, : self.n_pixels], where=where)
        classes = array[:, self.n_pixels :]
        wrong = ((classes != 0) & (classes != 1)).any(axis=1) | (classes.sum(axis=1) != 1)
        if wrong.any():
            i = int(wrong.argmax())
            values = ", ".join(f"{value:g}" for value in classes[i, :10]) + (" ..." if self.n_classes > 10 else "")
            raise ValueError(
                f"{prefix}{int(wrong.sum())} images have no label, the first is image {i}, with {values} in the "
                f"columns of its classes; expected 1 in one of them and 0 in the others"
            )
        return np.ascontiguousarray(array, pixels.dtype)

    def mismatch(self, other: FrameKind) -> Mismatch:
        if not isinstance(other, LabelledImage):
            remedy = "; load it with_labels, or use Dataset.with_labels" if isinstance(other, Image) else ""
            return Mismatch(f"the frames are {other.name}, not {self.name}{remedy}")
        images = self.image.mismatch(other.image)
        if other.n_classes == self.n_classes:
            return images
        classes = f"images have {other.n_classes} classes, not {self.n_classes}"
        return Mismatch("; ".join(filter(None, (images.columns, classes))))

    def from_samples(self, samples: np.ndarray) -> np.ndarray:
        """Make pixels as those of images, and the class with the greatest value the label."""
        pixels, labels = self.split(samples)
        pixels = self.image.from_samples(pixels)
        return np.concatenate([pixels, np.eye(self.n_classes, dtype=pixels.dtype)[labels]], axis=-1)

    def _parts(self, pieces: Pieces) -> list[np.ndarray]:
        """Return the pixels of pieces."""
        return [piece[:, : self.n_pixels] for piece in as_pieces(pieces)] if len(pieces) else []

    def baselines(self, train: Pieces, valid: Pieces, test: Pieces) -> dict[str, float]:
        return {row["model"]: row["ll"] for row in self.baseline_table(train, valid, test)}

    def baseline_table(self, train: Pieces, valid: Pieces, test: Pieces) -> list[dict[str, Any]]:
        """Score two models of an image and its label, nats per image.

        The first has independent pixels (:meth:`rnnrbm.kinds.image.Image.independent_pixels`) and an independent label.
        The second has independent pixels given the label, which is naive Bayes. Classes are as frequent as in training,
        where each is counted once more than it occurs. A class that does not occur in training has the pixels of all.
        """
        pixels, held_out = self._parts(train), self._parts(valid)
        counts = sum(piece[:, self.n_pixels :].sum(axis=0, dtype=float) for piece in as_pieces(train)) + 1.0
        log_class = np.log(counts / counts.sum())
        alike, settings = self.image.independent_pixels(pixels, held_out)
        given: list[LogProbability] = [alike] * self.n_classes
        for label in range(self.n_classes):
            of_class = self._of_class(train, label)
            if of_class:
                given[label], _ = self.image.independent_pixels(of_class, self._of_class(valid, label))
        independent, bayes = [], []
        for piece in test:
            images, labels = self.split(piece)
            independent.append(alike(images) + log_class[labels])
            ll = np.empty(len(piece))
            for label in np.unique(labels):
                ll[labels == label] = given[label](images[labels == label]) + log_class[label]
            bayes.append(ll)
        return [
            {"model": "independent pixels and label", "settings": settings, **mean_scores(independent)},
            {"model": "independent pixels given the label", "settings": {}, **mean_scores(bayes)},
        ]

    def _of_class(self, pieces: Pieces, label: int) -> list[np.ndarray]:
        """Return the pixels of images of one class, without pieces that have none."""
        chosen = [piece[piece[:, self.n_pixels + label] == 1, : self.n_pixels] for piece in pieces]
        return [images for images in chosen if len(images)]

    def statistics(self, pieces: Pieces) -> dict[str, float]:
        """Return those of the images (:meth:`rnnrbm.kinds.image.Image.statistics`), and the share of each class.

        Of more than 20 classes it is the greatest share.
        """
        pieces = as_pieces(pieces)
        shares = self._shares(pieces)
        of_classes = {f"share_of_class_{label}": float(share) for label, share in enumerate(shares)}
        if self.n_classes > _MOST_SHARES:
            of_classes = {"greatest_share_of_a_class": float(shares.max())}
        return self.image.statistics(self._parts(pieces)) | of_classes

    def _shares(self, pieces: Pieces) -> np.ndarray:
        labels = np.concatenate([self.split(piece)[1] for piece in pieces])
        return np.bincount(labels, minlength=self.n_classes) / len(labels)

    def levels(self, pieces: Pieces) -> list[np.ndarray]:
        """Mean pixel of each image."""
        return self.image.levels(self._parts(pieces))

    def prediction_scores(self, predicted: Iterable[np.ndarray], true: Iterable[np.ndarray]) -> dict[str, float]:
        """Return no score: no image is predicted from others."""
        return {}

    def draw(self, piece: np.ndarray, *, primed: int = 0, title: str | None = None) -> tuple[Figure, Any]:
        """Draw a row of images for each class, with its number at the left; at most 20 images of a class."""
        from rnnrbm import plot

        images, labels = self.split(piece)
        classes = np.arange(self.n_classes) if self.n_classes <= _MOST_ROWS else np.unique(labels)[:_MOST_ROWS]
        each = [images[labels == label][:_MOST_DRAWN] for label in classes]
        longest = max(map(len, each))
        empty = np.full((longest, self.n_pixels), np.nan)
        rows = [
            (str(label), np.concatenate([of_class, empty])[:longest])
            for label, of_class in zip(classes, each, strict=True)
        ]
        shown = sum(map(len, each))
        part = f"{shown} of {len(piece)} images" if shown < len(piece) else ""
        return plot.image_pairs(rows, self.shape, title=", ".join(filter(None, (title, part))) or None)

    def draw_filters(self, W: ArrayLike) -> tuple[Figure, Any]:
        """Draw the weights of the pixels."""
        return self.image.draw_filters(np.asarray(W)[: self.n_pixels])

    def draw_reconstructions(self, frames: ArrayLike, reconstructed: ArrayLike) -> tuple[Figure, Any]:
        """Draw images, and below each what a model has made of it and of its label.

        Below stands the label, and an arrow and another class if that is what a model has made of it.
        """
        (images, labels), (made, found) = self.split(frames), self.split(reconstructed)
        figure, ax = self.image.draw_reconstructions(images, made)
        names = [str(a) if a == b else f"{a}→{b}" for a, b in zip(labels, found, strict=True)]
        ax.set_xticks((self.width + 1) * np.arange(len(names)) + (self.width - 1) / 2, names)
        return figure, ax

    def draw_statistics(self, samples: Pieces, data: Pieces, *, data_name: str = "data") -> tuple[Figure, Any]:
        from rnnrbm import plot

        shares = [self._shares(pieces) for pieces in (samples, data)]
        return plot.image_statistics(
            self._parts(samples), self._parts(data), self.shape, data_name=data_name, class_shares=shares
        )

    def write(
        self, folder: Path, name: str, piece: np.ndarray, *, tempo: float | None = None, sound: bool = True
    ) -> list[Path]:
        """Write an ``.npz`` file with ``images`` of shape (n_images, height, width), and ``labels`` (n_images,)."""
        images, labels = self.split(piece)
        path = folder / f"{name}.npz"
        write_npz(path, {"images": images.reshape(-1, *self.shape), "labels": labels.astype(np.int64)})
        return [path]

    def check_writing(self, n_frames: int, tempo: float | None = None) -> None:
        self.image.check_writing(n_frames, tempo)

    def read(self, path: Path, n_visible: int) -> tuple[np.ndarray, None]:
        """Read a file that :meth:`write` wrote."""
        arrays = read_arrays(path, ("images", "labels"), "write it again with LabelledImage.write")
        images = self.image.check(arrays["images"], where=f"{path}, images")
        classes = self.one_hot(arrays["labels"], len(images), where=str(path))
        return self.check(np.concatenate([images, classes], axis=1), n_visible=n_visible, where=str(path)), None

    def folder_options(self, n_visible: int) -> dict[str, Any]:
        return self.image.folder_options(n_visible)
