"""The class of an image under a model of images and labels.

p(label | image) is exact: of a frame with each label in turn, the unnormalized probabilities exp(-F) are compared, and
the partition function cancels (Larochelle & Bengio, "Classification using discriminative restricted Boltzmann
machines", ICML 2008, equation 2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from numpy.typing import ArrayLike
from pytensor.tensor.variable import TensorVariable
from scipy.special import softmax

from rnnrbm.arguments import as_pieces, whole_number
from rnnrbm.backend import engine
from rnnrbm.densities import FrameDensity, NormalizedDensity
from rnnrbm.sequence import SequenceModel, as_sequence_model
from rnnrbm.state_encoder import check_pieces
from rnnrbm.static import StaticModel

__all__ = ["classify"]

_ROWS = 2560  # frames that are scored at a time


def classify(model: FrameDensity | SequenceModel, images: ArrayLike, n_classes: int, *, mode: Any = None) -> np.ndarray:
    """Return the probability of each class given images, under a model whose last columns are the classes.

    Parameters
    ----------
    model : FrameDensity or SequenceModel
        Of frames of pixels and classes (:class:`rnnrbm.kinds.labelled_image.LabelledImage`); an RBM or another energy,
        or a normalized density, such as a NADE.
    images : array_like, shape (n, n_pixels)
        Or a list of such arrays.
    n_classes : int
        At least 2.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Returns
    -------
    numpy.ndarray, shape (n, n_classes), float64
        Rows add up to 1.

    Raises
    ------
    ValueError
        If images and classes do not have the columns of the model, or a pixel is no value of its units.
    TypeError
        If the model has neither a free energy nor a log-probability, or reads the past of a sequence.

    Examples
    --------
    >>> import numpy as np, rnnrbm
    >>> from rnnrbm.scoring.labels import classify
    >>> digits = rnnrbm.load("digits", with_labels=True)
    >>> images, labels = digits.kind.split(digits.test[0])
    >>> rbm = rnnrbm.build("rbm", digits.n_visible, visible=digits.kind.unit_name(digits.train), n_hidden=5, seed=0)
    >>> p = classify(rbm, images, digits.kind.n_classes)
    >>> p.shape, p.sum(axis=1).round(6).min()
    ((250, 10), 1.0)
    """
    if isinstance(model, StaticModel):
        raise TypeError(f"a {type(model).__name__} has neither a free energy nor a log-probability of a frame")
    sequence = as_sequence_model(model)
    if sequence.bias_weights:
        raise TypeError("the model reads the past of a sequence; expected one of single frames, such as an RBM")
    density: Any = sequence.density
    n_classes = whole_number("n_classes", n_classes, 2)
    n_pixels = sequence.n_visible - n_classes
    if n_pixels < 1:
        raise ValueError(f"n_classes={n_classes}: the model has {sequence.n_visible} columns, of images and classes")
    pixels = np.concatenate(as_pieces(images, name="images"))
    if pixels.shape[1] != n_pixels:
        raise ValueError(
            f"images have {pixels.shape[1]} pixels; expected {n_pixels}, as the model has {sequence.n_visible} "
            f"columns, of which {n_classes} are classes"
        )
    # the first class stands for all, to check the pixels
    first = np.broadcast_to(np.eye(n_classes)[0], (len(pixels), n_classes))
    (checked,) = check_pieces([np.concatenate([pixels, first], axis=1)], density, name="images")
    size = min(len(checked), max(1, _ROWS // n_classes))
    dtype = density.b_v.dtype
    frames = pt.tensor("frames", dtype=dtype, shape=(size * n_classes, sequence.n_visible))
    log_p = engine.function([frames], _log_p(density, frames), mode=mode)
    labels = np.tile(np.eye(n_classes, dtype=dtype), (size, 1))
    scores = np.empty((len(checked), n_classes))
    for start in range(0, len(checked), size):
        part = checked[start : start + size, :n_pixels].astype(dtype)
        rows = np.zeros((size, n_pixels), dtype)
        rows[: len(part)] = part
        both = np.concatenate([np.repeat(rows, n_classes, axis=0), labels], axis=1)
        scores[start : start + size] = engine.to_numpy(log_p(both)).reshape(size, n_classes)[: len(part)]
    return softmax(scores, axis=1)


def _log_p(density: Any, frames: TensorVariable) -> TensorVariable:
    return density.log_prob(frames) if isinstance(density, NormalizedDensity) else -density.free_energy(frames)
