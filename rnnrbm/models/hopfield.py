"""The Hopfield net: an associative memory of threshold units with values -1 and 1.

    E(s) = - sum over i < j of w_ij s_i s_j

Hebb's rule adds the products x_i x_j / n of each pattern x to the weights. Patterns become minima of E, and a net that
settles from a damaged pattern comes back to it, as long as there are at most about 0.138 n random patterns of n units.

Sources: Hopfield, "Neural networks and physical systems with emergent collective computational abilities", PNAS 1982.
Hopfield, Feinstein & Palmer, "'Unlearning' has a stabilizing effect in collective memories", Nature 1983. Amit,
Gutfreund & Sompolinsky, "Storing infinite numbers of patterns in a spin-glass model of neural networks", Physical
Review Letters 1985, for the capacity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from numpy.typing import ArrayLike
from pytensor.tensor.variable import TensorVariable

from rnnrbm import model_file
from rnnrbm.arguments import as_array, number, whole_number
from rnnrbm.backend import engine, random
from rnnrbm.backend.engine import Updates
from rnnrbm.backend.random import Rng, Seed, as_seed
from rnnrbm.batch import Batch
from rnnrbm.display import model_html
from rnnrbm.models.rows import map_rows, row_mapper, single_frames
from rnnrbm.models.settling import as_frames, as_states, energy, random_states, recalled_share, settle
from rnnrbm.recurrence import flatten
from rnnrbm.units import Bernoulli
from rnnrbm.warn import warn

__all__ = ["CAPACITY", "UNLEARNING_EPOCHS", "Hopfield"]

#: Random patterns that a net can hold, for each of its units (Amit, Gutfreund & Sompolinsky 1985).
CAPACITY = 0.138
#: Epochs of training with unlearning: it goes in small parts, since each changes what the next random states come to.
UNLEARNING_EPOCHS = 20


class Hopfield(NamedTuple):
    """Hopfield net. Frames are 0 and 1; inside they are -1 and 1.

    Attributes
    ----------
    W : TensorVariable, shape (n, n)
        Weights: symmetric, with a diagonal of 0.
    unlearning : float
        What is subtracted for each state that the net comes to from a random one, relative to what is added for each
        pattern; 0 turns unlearning off. 0.3 to 0.5 with 20 epochs or more make room for about 0.3 n random patterns.
    n_sweeps : int
        Most sweeps of a recall.
    """

    W: TensorVariable
    unlearning: float = 0.0
    n_sweeps: int = 20

    @classmethod
    def init(cls, n_visible: int, *, unlearning: float = 0.0, n_sweeps: int = 20, dtype: str | None = None) -> Hopfield:
        """Make an empty net, whose weights are a shared variable.

        Parameters
        ----------
        n_visible, n_sweeps : int
            At least 1.
        unlearning : float
            At least 0; see the class.
        dtype : str or None
            None: PyTensor's ``floatX``.

        Raises
        ------
        ValueError, TypeError
            If a number is impossible.
        """
        n = whole_number("n_visible", n_visible, 1)
        return cls(
            engine.shared(np.zeros((n, n)), "W", dtype),
            number("unlearning", unlearning, "a number of at least 0", least=0.0),
            whole_number("n_sweeps", n_sweeps, 1),
        )

    @classmethod
    def of(cls, W: ArrayLike, *, n_sweeps: int = 20, dtype: str | None = None) -> Hopfield:
        """Make a net of given weights (n, n).

        Raises
        ------
        ValueError
            If the weights are not square, finite and symmetric with a diagonal of 0. A net of other weights need not
            settle.
        TypeError
            If they are no numbers.
        """
        given = as_array(W, "W")
        if given.ndim != 2 or given.shape[0] != given.shape[1] or len(given) == 0:
            raise ValueError(f"W has shape {given.shape}, expected (n, n) with n of 1 or more")
        if not np.isfinite(given).all():
            raise ValueError("W must be finite, but there is a NaN or an infinity in it")
        if not np.array_equal(given, given.T):
            i, j = np.argwhere(given != given.T)[0]
            raise ValueError(
                f"W must be symmetric, but W[{i}, {j}] is {given[i, j]} and W[{j}, {i}] is {given[j, i]}; give "
                "(W + W.T) / 2"
            )
        if own := np.flatnonzero(np.diag(given)).tolist():
            raise ValueError(
                f"W must have a diagonal of 0, but W[{own[0]}, {own[0]}] is {given[own[0], own[0]]}; give "
                "W - np.diag(np.diag(W))"
            )
        return cls.init(len(given), n_sweeps=n_sweeps, dtype=dtype)._replace(W=engine.shared(given, "W", dtype))

    @classmethod
    def store(
        cls,
        patterns: np.ndarray,
        *,
        unlearning: float = 0.0,
        n_sweeps: int = 20,
        seed: Seed = 0,
        dtype: str | None = None,
        mode: Any = None,
    ) -> Hopfield:
        """Make a net that holds patterns: :meth:`init`, and then :meth:`updates` of all of them in one batch.

        With unlearning the update is made :data:`UNLEARNING_EPOCHS` times. For options see :meth:`init`.

        Parameters
        ----------
        patterns : array of shape (P, n), of 0 and 1
        seed : int or numpy.random.Generator, of the random states to unlearn from

        Raises
        ------
        ValueError, TypeError
            If a pattern or an option is impossible. For the warning of too many patterns see :meth:`check_data`.
        """
        patterns = as_array(patterns, "patterns")
        if patterns.ndim != 2 or 0 in patterns.shape:
            raise ValueError(f"patterns has shape {patterns.shape}, expected (P, n) with P and n of 1 or more")
        if (patterns < 0).any() and np.isin(patterns, (-1, 1)).all():
            raise ValueError("patterns hold -1 and 1; expected 0 and 1, which (patterns + 1) // 2 makes of them")
        net = cls.init(patterns.shape[1], unlearning=unlearning, n_sweeps=n_sweeps, dtype=dtype)
        rows = single_frames(net, patterns, name="patterns")
        net.check_data([rows])
        v = pt.tensor("v", dtype=net.W.dtype, shape=(1, *rows.shape))
        batch = Batch(v, pt.ones((1, len(rows)), net.W.dtype), pt.ones((1, len(rows)), "bool"))
        updates, _ = net.updates(batch, random.shared(as_seed(seed)))
        step = engine.function([v], [], updates, mode=mode)
        for _ in range(net.usual_settings["epochs"]):
            step(rows[None].astype(net.W.dtype))
        return net

    @property
    def score_name(self) -> str:
        return "share of pixels recalled from 10 % flipped (0.90 are right before)"

    @property
    def usual_settings(self) -> dict[str, Any]:
        """Settings of training if none are set: one pass stores all patterns, and unlearning takes several."""
        return {"epochs": UNLEARNING_EPOCHS if self.unlearning else 1}

    @property
    def usual_k(self) -> int:
        """Sweeps of a sample, which settles within a few."""
        return self.n_sweeps

    @property
    def visible(self) -> Bernoulli:
        return Bernoulli()

    @property
    def n_visible(self) -> int:
        n: int = self.W.type.shape[0]
        return n

    @property
    def params(self) -> list[Any]:
        return [self.W]

    @property
    def signed(self) -> bool:
        return True

    @property
    def threshold(self) -> bool:
        return True

    @property
    def b(self) -> None:
        return None

    def weights(self) -> TensorVariable:
        return self.W

    def save(self, path: model_file.PathName) -> None:
        """Write the net to a file, which :func:`rnnrbm.load_model` reads back."""
        model_file.save(path, self)

    def _repr_html_(self) -> str:
        return model_html(self)

    def capacity(self) -> float:
        """Return how many random patterns the net can hold, 0.138 n; with more, recall fails for all of them."""
        return CAPACITY * self.n_visible

    def check_data(self, pieces: Sequence[np.ndarray]) -> None:
        """Warn if there are more different frames in pieces (T, n_visible) than the net can hold."""
        most, seen = self.capacity(), set[bytes]()
        for frame in (frame for piece in pieces for frame in piece):
            seen.add(np.asarray(frame, np.uint8).tobytes())
            if len(seen) > most:  # all are not counted, since there may be millions
                warn(
                    f"there are {sum(map(len, pieces))} patterns, and a Hopfield net of {self.n_visible} units holds "
                    f"about {most:.0f} random ones (0.138 n); with more it recalls none of them, but mixtures. Store "
                    "fewer, or set unlearning",
                    RuntimeWarning,
                )
                return

    def updates(self, batch: Batch, rng: Rng) -> tuple[Updates, Mapping[str, TensorVariable]]:
        """Hebb's rule: add the products x_i x_j / n of the patterns of a batch to the weights.

        With unlearning the net then settles from as many random states as there are patterns, and `unlearning` times
        their products are subtracted. The metric ``energy`` is the mean energy of the patterns, per unit, before the
        update.
        """
        weight = flatten(batch.mask).astype(self.W.dtype)
        x = as_states(self, flatten(batch.v))
        W = self.W + self._products(x, weight)
        patterns = pt.maximum(weight.sum(acc_dtype=weight.dtype), np.asarray(1, weight.dtype))
        mean = (energy(self, x) * weight).sum(acc_dtype=weight.dtype) / patterns / np.asarray(self.n_visible, x.dtype)
        if self.unlearning == 0:
            return {self.W: W}, {"energy": mean}
        s, rng = random_states(self, x, rng)
        s, rng = settle(self._replace(W=W), s, rng, self.n_sweeps)
        W = W - np.asarray(self.unlearning, W.dtype) * self._products(s, weight)
        return {self.W: W, **rng.updates()}, {"energy": mean}

    def _products(self, s: TensorVariable, weight: TensorVariable) -> TensorVariable:
        """Sum of s_i s_j / n over states (R, n), each times its weight (R,), without the diagonal."""
        products = (s * weight[:, None]).T @ s / np.asarray(self.n_visible, s.dtype)
        unit = pt.arange(self.n_visible, dtype="int32")
        return pt.switch(pt.eq(unit[:, None], unit[None, :]), np.asarray(0, s.dtype), products)

    def energy(self, frames: Any) -> Any:
        """E of frames (..., n) of 0 and 1: a NumPy array (...) of an array, a graph of a graph."""
        if isinstance(frames, TensorVariable):
            return energy(self, as_states(self, frames))
        s = 2.0 * single_frames(self, np.atleast_2d(as_array(frames, "frames"))) - 1.0
        result = -0.5 * ((s @ engine.to_numpy(self.W).astype(float)) * s).sum(axis=-1)
        return result if np.ndim(frames) > 1 else result[0]

    def recall(
        self, frames: np.ndarray, n_sweeps: int | None = None, *, seed: Seed = 0, mode: Any = None
    ) -> np.ndarray:
        """Let the net settle until nothing changes.

        Parameters
        ----------
        frames : array of shape (n, n_visible), of 0 and 1
        n_sweeps : int or None
            Most sweeps; None: `n_sweeps` of the net.
        seed : int or numpy.random.Generator
            Of the order of the units, which is drawn for each sweep.

        Returns
        -------
        numpy.ndarray, shape (n, n_visible)
        """
        now = single_frames(self, frames).astype(self.W.dtype)
        most = whole_number("n_sweeps", self.n_sweeps if n_sweeps is None else n_sweeps, 1)

        def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            s, rng = settle(self, as_states(self, v), rng, 1)
            return as_frames(self, s), rng

        sweep = row_mapper(build, *now.shape, dtype=self.W.dtype, seed=seed, mode=mode)
        for _ in range(most):
            before, now = now, sweep(now)
            if np.array_equal(before, now):  # a sweep visits all units
                break
        return now

    def reconstruct(self, frames: np.ndarray, *, seed: Seed, mode: Any = None) -> np.ndarray:
        """Return what the net recalls from frames (n, n_visible); see :meth:`recall`."""
        return self.recall(frames, seed=seed, mode=mode)

    def score(self, pieces: Sequence[np.ndarray], mode: Any = None) -> float:
        """Return the share of units that are right after a tenth were flipped and the net has recalled the frame."""
        return recalled_share(self, single_frames(self, pieces), mode)

    def sample(self, n_samples: int, *, k: int | None = None, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return the states (n_samples, n_visible) of 0 and 1 that `k` sweeps lead to from random ones."""
        n_samples, k = whole_number("n_samples", n_samples, 1), whole_number("k", self.usual_k if k is None else k, 1)

        def build(like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            s, rng = settle(self, *random_states(self, like, rng), k)
            return as_frames(self, s), rng

        rows = np.zeros((n_samples, self.n_visible), self.W.dtype)
        return map_rows(build, rows, dtype=self.W.dtype, seed=seed, mode=mode)

    def filters(self) -> None:
        """Return None: there are no features."""
