"""What the eye sees in the filters of hidden units: how local they are, and of how many separate spots.

A filter of an image model is the weights of a hidden unit, drawn as an image. Filters of an RBM on handwritten digits
are strokes; those of an autoencoder without noise cover the whole image. These numbers say the same without a picture.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from rnnrbm.arguments import as_array

__all__ = ["FilterMeasures", "measure_filters"]


class FilterMeasures(NamedTuple):
    """Measures of filters, an array of one number for each.

    Attributes
    ----------
    area : numpy.ndarray, shape (n_hidden,), pixels
        Number of pixels that carry the filter, (sum of w**2)**2 / sum of w**4: 1 if a single weight differs from zero,
        the number of pixels if all have the same size.
    radius : numpy.ndarray, shape (n_hidden,), pixels
        Root mean squared distance of the squared weights from their centre: small for a local filter.
    spots : numpy.ndarray, shape (n_hidden,), int
        Connected regions of one sign where a weight has at least half the size of the greatest: 1 or 2 for a stroke or
        an edge, many for a filter that is spread in pieces over the image.
    """

    area: np.ndarray
    radius: np.ndarray
    spots: np.ndarray


def measure_filters(W: ArrayLike, shape: tuple[int, int], *, smooth: float = 0.7) -> FilterMeasures:
    """Measure the filters of hidden units.

    Parameters
    ----------
    W : array_like, shape (n_visible, n_hidden)
        Weights; visible units are pixels, row by row.
    shape : (int, int)
        Height and width of an image.
    smooth : float
        Standard deviation, in pixels, of a Gaussian window through which spots are counted, so that the noise of single
        weights is no spot; 0 for none.

    Returns
    -------
    FilterMeasures

    Raises
    ------
    ValueError
        If the weights are not finite, or do not have as many rows as an image has pixels.
    """
    weights = as_array(W, "W").astype(float)
    height, width = shape
    if weights.ndim != 2 or len(weights) != height * width:
        raise ValueError(
            f"W has shape {weights.shape}; expected ({height * width}, n_hidden), an image {height}x{width}"
        )
    if not np.isfinite(weights).all():
        raise ValueError("W holds NaN or infinity; expected finite weights")
    square = np.square(weights)
    total = square.sum(axis=0)
    mass = square / np.where(total > 0, total, 1.0)
    y, x = (part.ravel().astype(float) for part in np.mgrid[:height, :width])
    variance = (y**2) @ mass - (y @ mass) ** 2 + (x**2) @ mass - (x @ mass) ** 2
    fourth = np.square(square).sum(axis=0)
    area = np.where(fourth > 0, total**2 / np.where(fourth > 0, fourth, 1.0), 0.0)
    spots = np.array([_spots(column.reshape(height, width), smooth) for column in weights.T], dtype=int)
    return FilterMeasures(area, np.sqrt(np.maximum(variance, 0.0)), spots)


def _spots(image: np.ndarray, smooth: float) -> int:
    """Count the connected regions of large weights of one sign."""
    image = ndimage.gaussian_filter(image, smooth, mode="constant") if smooth else image
    limit = 0.5 * np.abs(image).max()
    if limit == 0:
        return 0
    return sum(ndimage.label(sign * image >= limit)[1] for sign in (1, -1))
