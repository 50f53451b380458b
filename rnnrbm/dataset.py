"""A data set: pieces in three splits, the kind of their frames, and for some a label for every frame."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnrbm import display
from rnnrbm.arguments import as_array, as_list, whole_number
from rnnrbm.files import as_text, hash_of
from rnnrbm.frames import FrameKind
from rnnrbm.io.rolls import SPLITS
from rnnrbm.kinds.image import Image
from rnnrbm.kinds.labelled_image import LabelledImage
from rnnrbm.kinds.registry import to_record

__all__ = ["Dataset"]

_MOST = 2**31 - 1  # greatest label


@dataclass(frozen=True, repr=False)
class Dataset:
    """Sequences in three splits, and the kind of their frames.

    Attributes
    ----------
    name : str
        Name of the data set.
    train, valid, test : list of numpy.ndarray
        Pieces, each of shape ``(T, n_visible)``; T differs from piece to piece. Piano-rolls and binary images are uint8
        of 0 and 1, vectors, spectrograms, grey images and video float32. Array-likes, such as nested lists and sparse
        matrices, are converted.
    kind : FrameKind
        Meaning of the columns and duration of a frame: ``PianoRoll(low=21, steps_per_beat=4)``,
        ``Spectrogram(...)`` for sound, ``Image(28, 28)`` for images, ``LabelledImage(28, 28, 10)`` for images with
        their labels, ``Video(15, 15)`` for films, or ``Vectors()`` for other real numbers.
    names : dict of str to list of str, optional
        For "train", "valid" and "test", the names of the pieces in the same order; by default ``train[0]`` and so on.
    labels : dict of str to list of numpy.ndarray, optional
        For "train", "valid" and "test", an array of shape ``(T,)`` for each piece: the class of each frame, such as the
        digit in an image, a whole number, at least 0. They are converted to int64.

    Raises
    ------
    ValueError
        If there is no piece, if the kind of frame refuses a value, if pieces differ in width, if names and pieces
        differ in number, or if labels do not fit the pieces.
    TypeError
        If `kind` is no kind of frame, or a split no list.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnrbm.datasets import Dataset, Vectors
    >>> sine = np.sin(np.arange(100.0))[:, None]
    >>> print(Dataset("sine", [sine[:80]], [sine[80:90]], [sine[90:]], Vectors()))
    sine: 1 column of real numbers
      train     1 pieces       80 frames
      valid     1 pieces       10 frames
      test      1 pieces       10 frames
    """

    name: str
    train: list[np.ndarray]
    valid: list[np.ndarray]
    test: list[np.ndarray]
    kind: FrameKind
    names: dict[str, list[str]] | None = None
    labels: dict[str, list[np.ndarray]] | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit each other, and let the kind of frame check and convert the values."""
        if isinstance(self.kind, type) or not hasattr(self.kind, "from_samples"):
            raise TypeError(
                f"{self.name}: kind is {self.kind!r}; expected a kind of frame, such as PianoRoll(low=21) for notes or "
                "Vectors() for real numbers"
            )
        object.__setattr__(self, "name", as_text(str(self.name)))
        if self.names is not None:
            if not isinstance(self.names, Mapping):
                raise TypeError(
                    f"{self.name}: names is a {type(self.names).__name__}; expected a dictionary from each of "
                    f"{', '.join(SPLITS)} to one name per piece"
                )
            names = {split: [as_text(str(name)) for name in of_split] for split, of_split in self.names.items()}
            object.__setattr__(self, "names", names)
        for split in SPLITS:  # an array becomes a list of pieces
            object.__setattr__(self, split, as_list(getattr(self, split), f"piece of {split}"))
        if self.names is None:
            names = {split: [f"{split}[{i}]" for i in range(len(getattr(self, split)))] for split in SPLITS}
            object.__setattr__(self, "names", names)
        for split in SPLITS:
            n_names = len(self.names_of(split))
            if n_names != len(getattr(self, split)):
                raise ValueError(
                    f"{self.name}: {len(getattr(self, split))} pieces in {split} but {n_names} "
                    f"names; names must map each of {', '.join(SPLITS)} to one name per piece"
                )
            where = f"{self.name}, {split}"
            checked = [self.kind.check(p, where=f"{where}[{i}]") for i, p in enumerate(getattr(self, split))]
            object.__setattr__(self, split, checked)
        widths = sorted({piece.shape[1] for split in SPLITS for piece in getattr(self, split)})
        if not widths:
            raise ValueError(f"{self.name}: holds no piece in any of {', '.join(SPLITS)}")
        if len(widths) > 1:
            raise ValueError(
                f"{self.name}: pieces have {', '.join(map(str, widths))} columns; expected the same number in all"
            )
        if self.labels is not None:
            object.__setattr__(self, "labels", self._checked_labels(self.labels))

    def _checked_labels(self, given: Any) -> dict[str, list[np.ndarray]]:
        """Return labels as arrays of int64, or say which of them does not fit its piece."""
        if not isinstance(given, Mapping) or sorted(given) != sorted(SPLITS):
            found = f"the keys {', '.join(map(str, given))}" if isinstance(given, Mapping) else type(given).__name__
            raise ValueError(
                f"{self.name}: labels has {found}; expected a dictionary from each of {', '.join(SPLITS)} to a list of "
                "one array per piece"
            )
        checked: dict[str, list[np.ndarray]] = {}
        for split in SPLITS:
            pieces, of_split = getattr(self, split), list(given[split])
            if len(of_split) != len(pieces):
                raise ValueError(
                    f"{self.name}, {split}: {len(pieces)} pieces but {len(of_split)} arrays of labels; expected one "
                    "for each piece"
                )
            checked[split] = [
                _label_array(labels, len(piece), f"{self.name}, {split}[{i}]")
                for i, (labels, piece) in enumerate(zip(of_split, pieces, strict=True))
            ]
        return checked

    @property
    def n_visible(self) -> int:
        """Number of columns of every piece."""
        return int(next(iter(self.train or self.valid or self.test)).shape[1])

    def fingerprint(self) -> str:
        """Return a hash of pieces, labels and kind, which differs if any value does: SHA-256, hexadecimal."""
        record = json.dumps(to_record(self.kind), sort_keys=True)
        arrays = [(split, piece) for split in SPLITS for piece in getattr(self, split)]
        # a set without labels keeps the hash that it had before there were any
        labels = [(f"labels of {split}", each) for split in SPLITS for each in (self.labels or {}).get(split, [])]
        return hash_of(arrays + labels, record)

    def names_of(self, split: str) -> list[str]:
        """Return the names of the pieces of a split."""
        return (self.names or {}).get(split, [])

    def labels_of(self, split: str) -> list[np.ndarray]:
        """Return the labels of a split, an array (T,) for each piece.

        Raises
        ------
        ValueError
            If the set has no labels, or there is no such split.
        """
        if self.labels is None:
            raise ValueError(f"{self.name}: has no labels; give labels to Dataset, or load a set that has them")
        if split not in SPLITS:
            raise ValueError(f"split={split!r}: expected one of {', '.join(SPLITS)}")
        return self.labels[split]

    def of_classes(self, classes: Iterable[int]) -> Dataset:
        """Return the frames of some labels, in the same order and with their labels.

        A piece without such a frame is left out. The name of the new set says which classes it has.

        Parameters
        ----------
        classes : iterable of int
            Labels to keep.

        Raises
        ------
        ValueError
            If the set has no labels, or no frame with one of the classes.
        TypeError
            If `classes` is no list, or a class no number.

        Examples
        --------
        >>> from rnnrbm.datasets import load
        >>> load("digits").of_classes([3, 8])
        digits of classes 3, 8: 64 columns, images of 8 x 8 binary pixels, binarised by sampling
          train      265 images
          valid       45 images
          test        47 images
        """
        if not isinstance(classes, Iterable) or isinstance(classes, (str, bytes)):
            raise TypeError(f"classes={classes!r}: expected a list of labels, such as [3, 8]")
        wanted = sorted({whole_number("a class", each, 0) for each in classes})
        pieces: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
        labels: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
        names: dict[str, list[str]] = {split: [] for split in SPLITS}
        found: set[int] = set()
        for split in SPLITS:
            parts = zip(getattr(self, split), self.labels_of(split), self.names_of(split), strict=True)
            for piece, of_piece, name in parts:
                found |= set(np.unique(of_piece).tolist())
                chosen = np.isin(of_piece, wanted)
                if chosen.any():
                    pieces[split].append(piece[chosen])
                    labels[split].append(of_piece[chosen])
                    names[split].append(name)
        if not set(wanted) <= found or not wanted:
            absent = sorted(set(wanted) - found)
            raise ValueError(
                f"{self.name}: has no frame of class {', '.join(map(str, absent)) or '(none given)'}; its classes are "
                f"{', '.join(map(str, sorted(found)))}"
            )
        name = f"{self.name} of classes {', '.join(map(str, wanted))}"
        train, valid, test = (pieces[split] for split in SPLITS)
        return replace(self, name=name, train=train, valid=valid, test=test, names=names, labels=labels)

    def with_labels(self, n_classes: int | None = None) -> Dataset:
        """Return the same images, each with columns of its class beside its pixels.

        The kind of the new set is :class:`rnnrbm.kinds.labelled_image.LabelledImage`. A set that has it already is
        returned as it is.

        Parameters
        ----------
        n_classes : int, optional
            Number of classes. By default the labels are counted, and each class must occur.

        Raises
        ------
        ValueError
            If the frames are no images, the set has no labels, a label is out of range, or a class does not occur.

        Examples
        --------
        >>> from rnnrbm.datasets import load
        >>> load("digits").with_labels()
        digits: 74 columns, images of 8 x 8 binary pixels, binarised by sampling, and 10 classes
          train     1297 images
          valid      250 images
          test       250 images
        """
        if isinstance(self.kind, LabelledImage) and n_classes in (None, self.kind.n_classes):
            return self
        if not isinstance(self.kind, Image):
            raise ValueError(f"{self.name}: labels are set beside images, and its frames are {self.kind.name}")
        labels = {split: self.labels_of(split) for split in SPLITS}
        found = np.unique(np.concatenate([each for split in SPLITS for each in labels[split]]))
        if n_classes is None:
            n_classes = int(found[-1]) + 1
            if len(found) < n_classes:
                absent = np.setdiff1d(np.arange(min(n_classes, 10**6)), found)
                shown = ", ".join(map(str, absent[:10])) + (" ..." if len(absent) > 10 else "")
                raise ValueError(
                    f"{self.name}: labels go up to {n_classes - 1}, but no image has the label {shown}; number the "
                    f"classes 0 to {len(found) - 1}, or give n_classes={n_classes} to leave columns for those that lack"
                )
        try:
            kind = LabelledImage(self.kind.height, self.kind.width, n_classes, self.kind.binarised)
            train, valid, test = (
                [kind.join(*both) for both in zip(getattr(self, split), labels[split], strict=True)] for split in SPLITS
            )
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        return replace(self, train=train, valid=valid, test=test, kind=kind)

    def __repr__(self) -> str:
        """Return the summary: all the arrays would fill a book."""
        return str(self)

    def _repr_html_(self) -> str:
        """Return the summary as a table in HTML, with a picture of the beginning of the first piece."""
        rows = [(split, len(pieces := getattr(self, split)), sum(map(len, pieces))) for split in SPLITS]
        text = f"{self.name}: {self.kind.describe(self.n_visible)}"
        shown = display.table(text, ("set", "pieces", f"{self.kind.frame_name}s"), rows)
        split = next(split for split in SPLITS if getattr(self, split))
        beginning = getattr(self, split)[0][: max(1, min(200, 2 * self.kind.sample_length))]
        figure, _ = self.kind.draw(beginning)
        return shown + display.picture(figure, f"the beginning of {self.names_of(split)[0]}")

    def __str__(self) -> str:
        """Return a summary: columns, what a frame is, and pieces and frames, or images, of each split."""
        lines = [f"{self.name}: {self.kind.describe(self.n_visible)}"]
        for split in SPLITS:
            pieces = getattr(self, split)
            n_pieces = f"{len(pieces):5} pieces " if self.kind.is_sequence else ""
            lines.append(f"  {split:5} {n_pieces}{sum(map(len, pieces)):8} {self.kind.frame_name}s")
        return "\n".join(lines)


def _label_array(labels: Any, n_frames: int, where: str) -> np.ndarray:
    """Return the labels of a piece as int64, or say what is wrong with them."""
    array = as_array(labels, f"{where}: labels")
    if array.shape != (n_frames,):
        raise ValueError(
            f"{where}: labels have shape {array.shape}; expected ({n_frames},), a label for each frame of the piece"
        )
    if array.dtype.kind == "b":
        raise ValueError(f"{where}: labels are truth values; expected 0, 1, 2 and so on")
    wrong = ~((array >= 0) & (array <= _MOST))
    if array.dtype.kind == "f":
        wrong |= array != np.floor(array)
    if wrong.any():
        raise ValueError(
            f"{where}: {int(wrong.sum())} labels are no whole numbers from 0 to {_MOST}, such as "
            f"{array[wrong.argmax()]}; expected 0, 1, 2 and so on"
        )
    return np.ascontiguousarray(array, np.int64)
