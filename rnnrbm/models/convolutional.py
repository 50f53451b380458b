"""The convolutional RBM with probabilistic max-pooling.

Hidden units form one map for each filter. A unit of a map reads a window of the image through the filter, so that a
stroke that is learned in one place is known in all. Neighbouring units of a map form groups with at most one unit on;
a pooling unit says whether any is (Lee, Grosse, Ranganath & Ng, "Convolutional deep belief networks for scalable
unsupervised learning of hierarchical representations", ICML 2009).

    E(v, h) = - sum over k, y, x of h_k(y, x) [b_h_k + sum over i, j of W_k(i, j) v(y + i, x + j)] - sum of b_v v

    P(h_k(y, x) = 1 | v) = exp I_k(y, x) / (1 + sum of exp I_k over the group),   I: the bracket above

Both directions are matrix products. The map is cut into squares of `s` x `s` units. The units of a square read a window
that is a little larger than a filter, and the windows of neighbouring squares lie `s` pixels apart. So a window is a
few slices of the image. One product with a matrix, in which the filters stand at `s` x `s` offsets, gives all units of
all squares. This takes some more multiplications than necessary, and far fewer copies than a window for each unit.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm import model_file
from rnnrbm.arguments import whole_number
from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng, Seed, generator
from rnnrbm.densities import check_biases
from rnnrbm.display import model_html
from rnnrbm.networks import Memoryless
from rnnrbm.rbm import RBM, choose_flip
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import AtMostOne, Bernoulli, Unit, check_unit, own_energy, unit_tensors, with_unit_tensors

__all__ = ["ConvolutionalRBM", "Layout", "conv_rbm", "layout", "usual_filter_size"]


class Layout(NamedTuple):
    """How an image divides into windows.

    Attributes
    ----------
    height, width : int
        Of an image, pixels.
    size : int
        Side of a filter, pixels.
    pool : int
        Side of a group, hidden units.
    side : int
        Side of a square of hidden units that are computed together: a multiple of `pool`.
    rows, columns : int
        Squares of a map.
    """

    height: int
    width: int
    size: int
    pool: int
    side: int
    rows: int
    columns: int

    @property
    def reach(self) -> int:
        """Side of a window, in squares of `side` pixels."""
        return math.ceil((self.size + self.side - 1) / self.side)

    @property
    def n_positions(self) -> int:
        """Hidden units of each filter."""
        return self.rows * self.columns * self.side**2


def layout(n_visible: int, filter_size: int, pool: int, height: int = 0) -> Layout:
    """Return how images divide into windows.

    Parameters
    ----------
    n_visible : int
        Pixels of an image.
    filter_size, pool : int
        Sides of a filter, pixels, and of a group, hidden units.
    height : int
        Of an image, pixels; 0: the image is square.

    Raises
    ------
    ValueError
        If the pixels do not fill an image of that height, the filter is larger than the image, or the hidden units do
        not divide into groups.
    """
    n_visible, height = whole_number("n_visible", n_visible, 1), whole_number("height", height, 0)
    size, pool = whole_number("filter_size", filter_size, 1), whole_number("pool", pool, 1)
    if height and n_visible % height:
        raise ValueError(
            f"n_visible={n_visible} pixels are no image of height={height}; choose a height that divides {n_visible}"
        )
    if not height and math.isqrt(n_visible) ** 2 != n_visible:
        raise ValueError(f"n_visible={n_visible} pixels are no square image; set height, the pixels of a column")
    height = height or math.isqrt(n_visible)
    width = n_visible // height
    if size > min(height, width):
        raise ValueError(
            f"filter_size={size} is larger than an image of {height} x {width} pixels; choose at most "
            f"{min(height, width)}"
        )
    down, across = height - size + 1, width - size + 1
    if down % pool or across % pool:
        fits = [p for p in range(1, min(down, across) + 1) if down % p == 0 and across % p == 0]
        raise ValueError(
            f"pool={pool} does not divide the {down} x {across} hidden units of a filter of {size} x {size} on an "
            f"image of {height} x {width}; choose pool among {', '.join(map(str, fits))}, or another filter_size"
        )
    both = math.gcd(down, across)
    side = next((s for s in (2, 3, 4) if s % pool == 0 and both % s == 0), pool)
    return Layout(height, width, size, pool, side, down // side, across // side)


def usual_filter_size(n_visible: int, pool: int, height: int = 0) -> int:
    """Return the side of a filter if none is chosen: about a third of an image, and 5 pixels or more if they fit.

    It is the next size of which the hidden units divide into groups: 9 for images of 28 x 28 pixels, 5 for 8 x 8.
    """
    whole = layout(n_visible, 1, 1, height)
    shorter = min(whole.height, whole.width)
    first = min(max(5, shorter // 3), shorter)
    fits = (s for s in range(first, shorter + 1) if (whole.height - s + 1) % pool == (whole.width - s + 1) % pool == 0)
    return next(fits, first)  # of which layout says what does not fit


@functools.cache
def _offsets(size: int, side: int, pool: int) -> np.ndarray:
    """Where the weights of a filter stand in the windows of the units of a square.

    Returns
    -------
    numpy.ndarray, shape (window pixels * side**2, size**2), of 0 and 1
        Pixels of a window are ordered by squares of the image, units of a square by their groups.
    """
    reach = math.ceil((size + side - 1) / side)
    there = np.zeros((reach * side, reach * side, side, side, size, size), np.float32)
    for y, x in np.ndindex(side, side):
        for i, j in np.ndindex(size, size):
            there[y + i, x + j, y, x, i, j] = 1.0
    groups = side // pool
    by_square = there.reshape(reach, side, reach, side, groups, pool, groups, pool, size**2)
    return by_square.transpose(0, 2, 1, 3, 4, 6, 5, 7, 8).reshape(-1, size**2)


class ConvolutionalRBM(NamedTuple):
    """A convolutional RBM of images, with pooling if groups have more than one unit.

    Attributes
    ----------
    W : TensorVariable, shape (filter_size**2, n_filters)
        Filters; pixels row by row.
    b_v : TensorVariable, shape (..., n_visible)
        One for each pixel; with `shared_bias`, their mean is the bias of every pixel.
    b_h : TensorVariable, shape (..., n_filters)
    height : int
        Of an image, pixels.
    pool : int
        Side of a group of hidden units; 1: all hidden units are independent given the image.
    shared_bias : bool
    visible : Unit
        Unit type of a pixel.
    """

    W: TensorVariable
    b_v: TensorVariable
    b_h: TensorVariable
    height: int
    pool: int = 2
    shared_bias: bool = False
    visible: Unit = Bernoulli()

    @classmethod
    def init(
        cls,
        n_visible: int,
        n_filters: int = 32,
        filter_size: int = 0,
        *,
        seed: Seed,
        pool: int = 2,
        height: int = 0,
        shared_bias: bool = False,
        visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
        b_v: np.ndarray | float = 0.0,
        b_h: float = -3.0,
        scale: float = 0.01,
        dtype: str | None = None,
    ) -> ConvolutionalRBM:
        """Make one whose fields are shared variables, named after the fields.

        Parameters
        ----------
        n_visible : int
            Pixels of an image.
        n_filters, filter_size : int
            Number of filters, and their side in pixels; 0 stands for :func:`usual_filter_size`.
        seed : int or numpy.random.Generator
        pool : int
            Side of a group of hidden units with at most one on; 1 for no pooling.
        height : int
            Of an image, pixels; 0: the image is square.
        shared_bias : bool
            One visible bias for all pixels, as in the paper; else each pixel has its own, which suits images whose
            objects are centred.
        visible : Unit
        b_v : array of shape (n_visible,) or float
            Initial visible biases.
        b_h : float
            Initial hidden biases. They are negative, so that units are seldom on and filters come to differ.
        scale : float
            Standard deviation of the initial weights.
        dtype : str or None
            None: PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a size is impossible; see :func:`layout`.
        TypeError
            If `visible` is no unit type.
        """
        rng = generator(seed)
        biases = check_biases(b_v, n_visible)
        n_filters = whole_number("n_filters", n_filters, 1)
        shape = layout(n_visible, filter_size or usual_filter_size(n_visible, pool, height), pool, height)
        check_unit("visible", visible)
        if shared_bias:
            biases = np.full(n_visible, biases.mean())
        return cls(
            engine.shared(rng.normal(0.0, scale, (shape.size**2, n_filters)), "W", dtype),
            engine.shared(biases, "b_v", dtype),
            engine.shared(np.full(n_filters, b_h), "b_h", dtype),
            shape.height,
            shape.pool,
            bool(shared_bias),
            visible,
        )

    def save(self, path: model_file.PathName) -> None:
        """Write the model to a file, which :func:`rnnrbm.load_model` reads back; see :mod:`rnnrbm.model_file`."""
        model_file.save(path, self)

    def _repr_html_(self) -> str:
        return model_html(self)

    @property
    def layout(self) -> Layout:
        """How an image divides into windows."""
        n_visible, size = self.b_v.type.shape[-1], math.isqrt(self.W.type.shape[0])
        return layout(n_visible, size, self.pool, self.height)

    @property
    def hidden(self) -> Unit:
        """Unit type of the hidden layer, whose columns are ordered by group, place in it, and filter."""
        return Bernoulli() if self.pool == 1 else AtMostOne(self.pool**2, self.W.type.shape[1])

    @property
    def n_hidden(self) -> int:
        """Number of hidden units: filters times positions."""
        return self.layout.n_positions * self.W.type.shape[1]

    @property
    def biases(self) -> tuple[str, ...]:
        return ("b_v", "b_h")

    def tensors(self) -> list[TensorVariable]:
        return [self.W, self.b_v, self.b_h, *unit_tensors(self.visible)]

    def with_tensors(self, tensors: list[TensorVariable]) -> ConvolutionalRBM:
        W, b_v, b_h, *of_units = tensors
        (visible,) = with_unit_tensors((self.visible,), of_units)
        return self._replace(W=W, b_v=b_v, b_h=b_h, visible=visible)

    @property
    def filter_shape(self) -> tuple[int, int]:
        """Height and width of a filter, pixels."""
        return self.layout.size, self.layout.size

    @property
    def rbm(self) -> RBM:
        """The same RBM with explicit weights, n_visible times :attr:`n_hidden`: for small images."""
        n_visible = self.b_v.type.shape[-1]
        W = self._correlate(pt.as_tensor(np.eye(n_visible, dtype=self.W.dtype)))
        groups = self.layout.n_positions // self.pool**2
        b_h = self.b_h[..., None, :] + pt.zeros((groups * self.pool**2, 1), self.W.dtype)
        b_h = b_h.reshape((*engine.leading(self.b_h), self.n_hidden))
        b_v = self._visible_bias() + pt.zeros_like(self.b_v)
        return RBM(pt.specify_shape(W, (n_visible, self.n_hidden)), b_v, b_h, self.visible, self.hidden)

    def _visible_bias(self) -> TensorVariable:
        return self.b_v.mean(axis=-1, keepdims=True) if self.shared_bias else self.b_v

    def _window_weights(self) -> TensorVariable:
        """The filters at all offsets in a window: (window pixels, units of a square)."""
        of = self.layout
        offsets = pt.as_tensor(_offsets(of.size, of.side, of.pool).astype(self.W.dtype))
        return (offsets @ self.W).reshape(((of.reach * of.side) ** 2, of.side**2 * self.W.type.shape[1]))

    def _correlate(self, s: TensorVariable) -> TensorVariable:
        """What hidden units read of images, without biases: (..., n_visible) -> (..., n_hidden)."""
        of = self.layout
        down, across = of.rows + of.reach - 1, of.columns + of.reach - 1  # squares of the padded image
        image = s.reshape((_rows(s), of.height, of.width))
        image = _padded(_padded(image, 0, down * of.side - of.height, 1), 0, across * of.side - of.width, 2)
        squares = image.reshape((_rows(s), down, of.side, across, of.side)).transpose((0, 1, 3, 2, 4))
        squares = squares.reshape((_rows(s), down, across, of.side**2))
        places = np.ndindex(of.reach, of.reach)
        windows = pt.concatenate([squares[:, y : y + of.rows, x : x + of.columns] for y, x in places], axis=-1)
        read = windows.reshape((-1, windows.type.shape[-1])) @ self._window_weights()
        return read.reshape((*engine.leading(s), self.n_hidden))

    def hidden_activation(self, v: TensorVariable) -> TensorVariable:
        """Input of the hidden units: (..., n_visible) -> (..., n_hidden)."""
        read = self._correlate(self.visible.statistic(v))
        x = read.reshape((*engine.leading(read), self.layout.n_positions, self.W.type.shape[1]))
        x = x + self.b_h[..., None, :]
        return x.reshape((*(-1 if n is None else n for n in x.type.shape[:-2]), self.n_hidden))

    def visible_activation(self, h: TensorVariable) -> TensorVariable:
        """Input of the visible units: (..., n_hidden) -> (..., n_visible)."""
        of, s = self.layout, self.hidden.statistic(h)
        weights = self._window_weights()
        windows = s.reshape((-1, weights.type.shape[1])) @ weights.T
        windows = windows.reshape((_rows(s), of.rows, of.columns, of.reach, of.reach, of.side**2))
        # windows overlap: add them up, across and then down
        squares = _overlap_add([windows[:, :, :, :, x] for x in range(of.reach)], 2)
        squares = _overlap_add([squares[:, :, :, y] for y in range(of.reach)], 1)
        down, across = of.rows + of.reach - 1, of.columns + of.reach - 1
        image = squares.reshape((_rows(s), down, across, of.side, of.side)).transpose((0, 1, 3, 2, 4))
        image = image.reshape((_rows(s), down * of.side, across * of.side))[:, : of.height, : of.width]
        return image.reshape((*engine.leading(h), of.height * of.width)) + self._visible_bias()

    def at_temperature(self, temperature: float) -> ConvolutionalRBM:
        """The model of energy E(v, h) / temperature; see :meth:`rnnrbm.rbm.RBM.at_temperature`."""
        visible, grown = self.visible.at_temperature(temperature)
        by, by_v, by_h = (np.asarray(1.0 / (temperature * g), self.W.dtype) for g in (grown, grown, 1.0))
        return self._replace(W=self.W * by, b_v=self.b_v * by_v, b_h=self.b_h * by_h, visible=visible)

    def _own_energy(self, v: TensorVariable) -> TensorVariable:
        return own_energy(self.visible, v, self._visible_bias())

    def energy(self, v: TensorVariable, h: TensorVariable) -> TensorVariable:
        """E(v, h) in nats: shapes (..., n_visible) and (..., n_hidden) -> (...)."""
        pair = (self.hidden.statistic(h) * self.hidden_activation(v)).sum(axis=-1, acc_dtype=self.W.dtype)
        return self._own_energy(v) - pair

    def free_energy(self, v: TensorVariable) -> TensorVariable:
        """F(v) = -log of the sum over h of exp(-E(v, h)), nats: (..., n_visible) -> (...)."""
        hidden = self.hidden.log_partition(self.hidden_activation(v)).sum(axis=-1, acc_dtype=self.W.dtype)
        return self._own_energy(v) - hidden

    def gibbs_step(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Sample all hidden units given `v`, then all visible units given the hidden ones: v -> v'."""
        h, rng = self.hidden.sample(self.hidden_activation(v), rng)
        return self.visible.sample(self.visible_activation(h), rng)

    def pseudo_log_likelihood(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Estimate the log pseudo-likelihood of binary rows; see :meth:`rnnrbm.rbm.RBM.pseudo_log_likelihood`.

        Raises
        ------
        TypeError
            If the visible units are not binary.
        """
        if not self.visible.is_binary:
            raise TypeError(f"the pseudo-likelihood by flipping needs binary visible units, not {self.visible}")
        n_visible = self.b_v.type.shape[-1]
        chosen, one, change, rng = choose_flip(v, n_visible, rng)
        squares, rows = self._around(chosen)
        weights = self._window_weights()
        added = pt.concatenate([weights, pt.zeros((1, weights.type.shape[1]), weights.dtype)])[rows]
        x = self.hidden_activation(v).reshape((_rows(v), -1, weights.type.shape[1]))
        x = x[pt.arange(v.shape[0])[:, None], squares]
        before = self.hidden.log_partition(x).sum(axis=(1, 2), acc_dtype=v.dtype)
        after = self.hidden.log_partition(x + change[:, None, None] * added).sum(axis=(1, 2), acc_dtype=v.dtype)
        gap = change * (one * self._visible_bias()).sum(axis=-1) + after - before
        return -pt.softplus(gap) * np.asarray(n_visible, v.dtype), rng

    def _around(self, pixel: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """Where a pixel (R,) is read: squares of hidden units, and the pixel's place in the window of each.

        Both have shape (R, n): all squares whose windows hold the pixel, and others to make up their number, where the
        place is the number of pixels of a window.
        """
        of = self.layout
        at: list[tuple[TensorVariable, TensorVariable]] = []
        for place, count in ((pixel // of.width, of.rows), (pixel % of.width, of.columns)):
            n = min(of.reach, count)
            first = pt.clip(place // of.side - (of.reach - 1), 0, count - n)
            square = first[:, None] + np.arange(n, dtype=np.int32)
            at.append((square, place[:, None] - square * of.side))
        (row, y), (column, x) = ((at[0][0][:, :, None], at[0][1][:, :, None]), (at[1][0][:, None], at[1][1][:, None]))
        inside = pt.ge(y, 0) & pt.lt(y, of.reach * of.side) & pt.ge(x, 0) & pt.lt(x, of.reach * of.side)
        place = ((y // of.side * of.reach + x // of.side) * of.side + y % of.side) * of.side + x % of.side
        place = pt.switch(inside, place, (of.reach * of.side) ** 2)
        n = min(of.reach, of.rows) * min(of.reach, of.columns)
        return (row * of.columns + column).reshape((_rows(pixel[:, None]), n)), place.reshape(
            (_rows(pixel[:, None]), n)
        )

    def hidden_means(self, v: TensorVariable) -> TensorVariable:
        """Mean of each filter's hidden units given rows: (R, n_visible) -> (R, n_filters)."""
        mean = self.hidden.mean(self.hidden_activation(v))
        return mean.reshape((_rows(v), self.layout.n_positions, self.W.type.shape[1])).mean(axis=1)

    def pooled(self, v: TensorVariable) -> TensorVariable:
        """Probabilities that any unit of a group is on: (R, n_visible) -> (R, n_filters, groups down, groups across).

        These are the features of an image that a classifier or a next layer reads.
        """
        of, n_filters, group = self.layout, self.W.type.shape[1], self.pool**2
        per_side = of.side // of.pool
        on = self.hidden.mean(self.hidden_activation(v))
        on = on.reshape((_rows(v), of.rows, of.columns, per_side, per_side, group, n_filters)).sum(axis=-2)
        on = on.transpose((0, 5, 1, 3, 2, 4))
        return on.reshape((_rows(v), n_filters, of.rows * per_side, of.columns * per_side))


def _rows(x: TensorVariable) -> int:
    """Number of rows of (..., n), -1 if it is not known when the graph is built."""
    sizes = x.type.shape[:-1]
    return -1 if None in sizes else math.prod(sizes)


def _padded(x: TensorVariable, before: int, after: int, axis: int) -> TensorVariable:
    """Put zeros before and after an array along an axis.

    They are numbers of the array times 0, since JAX allows no array of zeros whose number of rows is not known.
    """
    if not before + after:
        return x
    n = x.type.shape[axis]
    filler = x[(slice(None),) * axis + (slice(0, 1),)]
    mask = np.zeros((before + n + after, *[1] * (x.ndim - axis - 1)), x.dtype)
    mask[before : before + n] = 1.0
    return pt.concatenate([*[filler] * before, x, *[filler] * after], axis=axis) * pt.as_tensor(mask)


def _overlap_add(parts: list[TensorVariable], axis: int) -> TensorVariable:
    """Add up arrays, each one place further along an axis than the one before."""
    last = len(parts) - 1
    return functools.reduce(operator.add, [_padded(part, i, last - i, axis) for i, part in enumerate(parts)])


def conv_rbm(
    n_visible: int,
    n_filters: int = 32,
    filter_size: int = 0,
    *,
    seed: Seed,
    pool: int = 2,
    height: int = 0,
    shared_bias: bool = False,
    visible: Unit = Bernoulli(),  # noqa: B008
    b_v: np.ndarray | float = 0.0,
    dtype: str | None = None,
) -> SequenceModel:
    """Make a convolutional RBM of images that are independent of each other; see :meth:`ConvolutionalRBM.init`."""
    density = ConvolutionalRBM.init(
        n_visible,
        n_filters,
        filter_size,
        seed=seed,
        pool=pool,
        height=height,
        shared_bias=shared_bias,
        visible=visible,
        b_v=b_v,
        dtype=dtype,
    )
    return SequenceModel(Memoryless(density.b_v.dtype), density)
