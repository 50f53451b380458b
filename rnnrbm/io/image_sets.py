"""Sets of images: MNIST, which is fetched, and small digits, which come with the library; and making images binary.

MNIST: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86 (1998). The digits: E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits",
UCI Machine Learning Repository (1998), DOI 10.24432/C50P49.
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import as_array, suggestion
from rnnrbm.io import download
from rnnrbm.io.embedded import embedded_file
from rnnrbm.io.idx import read_idx, sha256_of_content
from rnnrbm.io.rolls import SPLITS, Contents

__all__ = ["ADDRESS", "IMAGE", "IMAGE_SETS", "Binarise", "binarise", "load_digits", "load_mnist", "locate_mnist"]

#: Folder of the files of MNIST on the web.
ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist"
IMAGE = "image"  # name of the kind of frame in records
#: The sets by name.
IMAGE_SETS = ("digits", "mnist")

Binarise = Literal["sampled", "threshold", "none"]

#: file -> SHA-256 of what it expands to, and its shape
_FILES: dict[str, tuple[str, tuple[int, ...]]] = {
    "train-images-idx3-ubyte": ("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", (60000, 28, 28)),
    "train-labels-idx1-ubyte": ("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", (60000,)),
    "t10k-images-idx3-ubyte": ("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", (10000, 28, 28)),
    "t10k-labels-idx1-ubyte": ("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", (10000,)),
}
_N_VALID = 10_000  # last images of the training file
_LARGEST = 2**26  # bytes that a file of MNIST may expand to; the largest has 47 million
_CHUNK = 2**20  # pixels that are drawn at once


def binarise(images: ArrayLike, how: Binarise = "sampled", seed: int | np.random.Generator = 0) -> np.ndarray:
    """Make images of pixels between 0 and 1 binary.

    Parameters
    ----------
    images : array-like
        Grey values from 0 to 1, in any shape.
    how : {"sampled", "threshold", "none"}
        ``"sampled"``: a pixel is 1 with the probability that is its grey value, drawn once, as in R. Salakhutdinov and
        I. Murray, "On the quantitative analysis of deep belief networks", ICML 2008. ``"threshold"``: it is 1 if its
        grey value is above one half. ``"none"``: grey values are kept.
    seed : int or numpy.random.Generator
        Decides what is drawn; a generator continues where it is.

    Returns
    -------
    numpy.ndarray
        In the shape of `images`: uint8 of 0 and 1, or for ``"none"`` float32.

    Raises
    ------
    ValueError
        If a value is outside 0 to 1 or NaN, or `how` is unknown.
    TypeError
        If `images` holds anything but numbers, or `seed` is neither a whole number nor a generator.

    Examples
    --------
    >>> from rnnrbm.io.image_sets import binarise
    >>> binarise([[0.0, 0.2, 0.7, 1.0]], "threshold")
    array([[0, 0, 1, 1]], dtype=uint8)
    """
    check_binarise(how)
    grey = as_array(images, "images")
    low, high = (float(grey.min()), float(grey.max())) if grey.size else (0.0, 0.0)
    if not (low >= 0 and high <= 1):  # so that NaN is refused
        advice = "replace missing values" if np.isnan(low) else "divide by the greatest possible value"
        if low >= 0 and 1 < high <= 255:
            advice = "divide by 255" if high > 16 else f"divide by the greatest possible value, such as 255 or {high:g}"
        raise ValueError(f"images: values from {low:g} to {high:g}; expected grey values from 0 to 1, {advice}")
    if how == "none":
        return np.asarray(grey, np.float32)
    if how == "threshold":
        return (grey > 0.5).astype(np.uint8)
    rng = _generator(seed)
    flat = grey.reshape(-1)
    drawn = np.empty(flat.shape, np.uint8)
    for start in range(0, len(flat), _CHUNK):  # random numbers of double precision take eight times the memory
        part = flat[start : start + _CHUNK]
        drawn[start : start + _CHUNK] = rng.random(len(part)) < part
    return drawn.reshape(grey.shape)


def check_binarise(how: Any, seed: Any = None) -> None:
    """Raise ValueError unless `how` is a way of `binarise`, and a seed is given only if something is drawn."""
    if how not in get_args(Binarise):
        raise ValueError(f"binarise={how!r}: {suggestion(str(how), get_args(Binarise))}")
    if seed is not None and how != "sampled":
        raise ValueError(f"seed={seed!r} and binarise={how!r}: nothing is drawn; leave the seed out")


def load_mnist(binarise: Binarise = "sampled", seed: int = 0) -> Contents:
    """Load MNIST: 28 x 28 images of handwritten digits, and their labels.

    The files are looked for, and fetched, as `rnnrbm.io.download.locate` says; the sub-folder is ``mnist``. The splits
    are the first 50 000 and the last 10 000 images of the training file, and the test file.

    Parameters
    ----------
    binarise : {"sampled", "threshold", "none"}
        See :func:`binarise`.
    seed : int
        Seed of the pixels that are drawn.

    Returns
    -------
    Contents
        A piece for each split, of shape (n_images, 784): the rows of an image one after the other.

    Raises
    ------
    FileNotFoundError
        If a file is missing and cannot be fetched.
    OSError
        If a file cannot be read, or a fetched one not be kept.
    ValueError
        If a file is damaged or holds other arrays, or an argument is wrong.
    """
    check_binarise(binarise)
    rng = _generator(seed)
    arrays = {file: read_idx(path) for file, path in locate_mnist().items()}
    images, labels = [], []
    for part in ("train", "t10k"):
        of_images, of_labels = (f"{part}-{what}-ubyte" for what in ("images-idx3", "labels-idx1"))
        for file in (of_images, of_labels):
            if arrays[file].shape != (expected := _FILES[file][1]):
                raise ValueError(
                    f"{file} of 'mnist': an array of shape {arrays[file].shape}; expected {expected}. Take the "
                    f"file out of the folder {download.DATA_VARIABLE}, so that the published one is fetched"
                )
        images.append(arrays[of_images].reshape(len(arrays[of_images]), -1))
        labels.append(arrays[of_labels])
    ends = [len(images[0]) - _N_VALID, len(images[0])]
    return _contents(
        "mnist", (28, 28), np.split(np.concatenate(images), ends), np.split(np.concatenate(labels), ends), 255,
        binarise, rng,
    )  # fmt: skip


def locate_mnist() -> dict[str, Path]:
    """Return the paths of the four files of MNIST by their names without ``.gz``; fetch those that are missing.

    Raises
    ------
    OSError, ValueError
        See `rnnrbm.io.download.locate`.
    """
    return {
        file: download.locate(
            download.PublishedFile(
                data_set="mnist",
                folder="mnist",
                address=ADDRESS,
                file=f"{file}.gz",
                sha256=sha256,
                digest=partial(sha256_of_content, most=_LARGEST),
                digest_name="SHA-256 when expanded",
                other_names=(file,),
            )
        )
        for file, (sha256, _) in _FILES.items()
    }


def load_digits(binarise: Binarise = "sampled", seed: int = 0) -> Contents:
    """Load the embedded digits: 8 x 8 images of handwritten digits, and their labels.

    Parameters
    ----------
    binarise : {"sampled", "threshold", "none"}
        See :func:`binarise`.
    seed : int
        Seed of the pixels that are drawn.

    Returns
    -------
    Contents
        A piece for each split, of shape (n_images, 64), of 1 297, 250 and 250 images.

    Raises
    ------
    FileNotFoundError
        If the embedded file is missing.
    ValueError
        If an argument is wrong.
    """
    check_binarise(binarise)
    rng = _generator(seed)
    with embedded_file("digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        images, labels, split = arrays["images"], arrays["labels"], arrays["split"]
    of_split = [split == i for i in range(len(SPLITS))]
    flat = images.reshape(len(images), -1)
    return _contents(
        "digits", (8, 8), [flat[one] for one in of_split], [labels[one] for one in of_split], 16, binarise, rng
    )


def _contents(
    name: str,
    shape: tuple[int, int],
    images: list[np.ndarray],
    labels: list[np.ndarray],
    most: int,
    how: Binarise,
    rng: np.random.Generator,
) -> Contents:
    """Return images of whole numbers up to `most`, in the three splits, as a data set."""
    grey = (each / np.float32(most) for each in images)
    record: dict[str, Any] = {"kind": IMAGE, "height": shape[0], "width": shape[1]}
    if how != "none":
        record["binarised"] = how
    return Contents(
        name,
        {split: [binarise(each, how, rng)] for split, each in zip(SPLITS, grey, strict=True)},
        {split: [f"{split} images"] for split in SPLITS},
        record,
        {split: [each.astype(np.int64)] for split, each in zip(SPLITS, labels, strict=True)},
    )


def _generator(seed: int | np.random.Generator) -> np.random.Generator:
    """Return a seed's generator."""
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed={seed!r}: expected a whole number, at least 0, or a generator of NumPy")
    if seed < 0:
        raise ValueError(f"seed={seed}: expected a whole number, at least 0")
    return np.random.default_rng(seed)
