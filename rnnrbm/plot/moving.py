"""Moving pictures: GIF files."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from rnnrbm.arguments import number
from rnnrbm.files import atomic

__all__ = ["write_gif"]


def write_gif(path: str | os.PathLike[str], images: Iterable[np.ndarray], frames_per_second: float) -> None:
    """Write a GIF file that shows images one after the other, again and again. It appears whole or not at all.

    Parameters
    ----------
    path : path-like
        Its folder must exist.
    images : iterable of numpy.ndarray, each of shape (height, width, 3)
        uint8, of one size; red, green and blue.
    frames_per_second : float
        GIF files count hundredths of a second, and viewers show no image for less than two, so 50 is the greatest.

    Raises
    ------
    ValueError
        If there is no image, an image has another shape or type, or `frames_per_second` is not positive or above 50.
    OSError
        If the file cannot be written.
    """
    from PIL import Image  # slow to import

    rate = number("frames_per_second", frames_per_second, "a number above 0, at most 50", above=0.0, most=50.0)
    each = _checked(images)
    first = next(each, None)
    if first is None:
        raise ValueError("images is empty; expected at least one array (height, width, 3)")
    with atomic(path) as temporary:
        pictures = (Image.fromarray(image) for image in chain([first], each))
        next(pictures).save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=pictures,
            duration=max(round(100 / rate), 2) * 10,  # milliseconds
            loop=0,
        )


def _checked(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield images, of which each must have the shape of the first one."""
    shape: tuple[int, ...] | None = None
    for i, image in enumerate(images):
        array = np.asarray(image)
        fits = array.ndim == 3 and array.shape[2] == 3 and 0 not in array.shape and array.dtype == np.uint8
        if not fits or (shape is not None and array.shape != shape):
            raise ValueError(
                f"image {i} is an array of shape {array.shape} of {array.dtype}; expected "
                f"{shape or '(height, width, 3)'} of uint8"
            )
        shape = array.shape
        yield array
