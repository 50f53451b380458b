"""The denoising autoencoder: hidden units from which a frame is restored after it was corrupted.

    h = sigmoid(corrupted(v) W + b_h),    a = h W' + b_v

The loss is -log p(v) of independent units with the activations a; for binary units it is the cross-entropy of v and
sigmoid(a). The weights are tied: the same matrix encodes and decodes.

Sources: Vincent, Larochelle, Bengio & Manzagol, "Extracting and composing robust features with denoising autoencoders",
ICML 2008. Bengio, Yao, Alain & Vincent, "Generalized denoising auto-encoders as generative models", NIPS 2013, for the
samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm import model_file
from rnnrbm.arguments import number, whole_number
from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng, Seed, generator
from rnnrbm.batch import Batch, Loss, dropout_mask, masked_mean
from rnnrbm.densities import Independent, check_biases
from rnnrbm.display import model_html
from rnnrbm.joint_units import Joint, drawn_by_parts, unit_index
from rnnrbm.models.rows import map_rows, single_frames
from rnnrbm.recurrence import flatten
from rnnrbm.units import Bernoulli, Gaussian, LearnedGaussian, Unit, check_unit, unit_tensors, with_unit_tensors

__all__ = ["Autoencoder"]


class Autoencoder(NamedTuple):
    """Denoising autoencoder with tied weights.

    Attributes
    ----------
    W : TensorVariable, shape (n_visible, n_hidden)
    b_v : TensorVariable, shape (n_visible,)
    b_h : TensorVariable, shape (n_hidden,)
    visible : Unit
        Unit type of a frame.
    corruption : float
        Probability that an input is set to 0. For Gaussian units, standard deviation of the normal noise that is added.
    """

    W: TensorVariable
    b_v: TensorVariable
    b_h: TensorVariable
    visible: Unit = Bernoulli()
    corruption: float = 0.3

    @classmethod
    def init(
        cls,
        n_visible: int,
        n_hidden: int = 256,
        *,
        seed: Seed,
        visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
        corruption: float = 0.3,
        b_v: np.ndarray | float = 0.0,
        dtype: str | None = None,
    ) -> Autoencoder:
        """Make an autoencoder whose fields are shared variables, named after the fields.

        The initial weights are uniform up to 4 sqrt(6 / (n_visible + n_hidden)) in size (Glorot & Bengio,
        "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010, for sigmoid units).

        Parameters
        ----------
        n_visible, n_hidden : int
            Sizes, at least 1.
        seed : int or numpy.random.Generator
        visible : Unit
        corruption : float
            At least 0, and below 1 unless the units are Gaussian; see the class.
        b_v : array of shape (n_visible,) or float
            Initial visible biases.
        dtype : str or None
            None: PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a number is out of range or `b_v` has another shape.
        TypeError
            If a number is no number, or `visible` no unit type.
        """
        rng = generator(seed)
        n_visible, n_hidden = whole_number("n_visible", n_visible, 1), whole_number("n_hidden", n_hidden, 1)
        check_unit("visible", visible)
        unit_index(visible, n_visible, where="a frame")
        if _adds_noise(visible):
            corruption = number("corruption", corruption, "a standard deviation, at least 0", least=0.0)
        else:
            below_one = math.nextafter(1.0, 0.0)
            corruption = number("corruption", corruption, "at least 0 and below 1", least=0.0, most=below_one)
        most = 4.0 * math.sqrt(6.0 / (n_visible + n_hidden))
        return cls(
            engine.shared(rng.uniform(-most, most, (n_visible, n_hidden)), "W", dtype),
            engine.shared(check_biases(b_v, n_visible), "b_v", dtype),
            engine.shared(np.zeros(n_hidden), "b_h", dtype),
            visible,
            corruption,
        )

    @property
    def score_name(self) -> str:
        return "log-probability of the reconstruction, nats per frame"

    @property
    def usual_k(self) -> int:
        """Rounds of a sample."""
        return 200

    @property
    def n_visible(self) -> int:
        n: int = self.W.type.shape[0]
        return n

    @property
    def params(self) -> list[Any]:
        return [self.W, self.b_v, self.b_h, *unit_tensors(self.visible)]

    def save(self, path: model_file.PathName) -> None:
        """Write the autoencoder to a file, which :func:`rnnrbm.load_model` reads back."""
        model_file.save(path, self)

    def _repr_html_(self) -> str:
        return model_html(self)

    def corrupt(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Set inputs to 0 with probability `corruption`, or add noise if they are Gaussian."""
        if self.corruption == 0:
            return v, rng
        return drawn_by_parts(self.visible, self._corrupted, v, rng)

    def _corrupted(self, unit: Unit, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
        if _adds_noise(unit):
            noise, rng = rng.normal(v)
            return v + np.asarray(self.corruption, v.dtype) * noise.astype(v.dtype), rng
        kept, rng = dropout_mask(v, self.corruption, rng)
        return v * kept, rng

    def hidden_mean(self, v: TensorVariable) -> TensorVariable:
        """Hidden units of inputs: (..., n_visible) -> (..., n_hidden), between 0 and 1."""
        return pt.sigmoid(v @ self.W + self.b_h)

    def decoder(self, h: TensorVariable) -> Independent:
        """Distribution of the frames given hidden units (..., n_hidden)."""
        return Independent(h @ self.W.T + self.b_v, self.visible)

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """Mean of -log p(clean frame) given the hidden units of the corrupted frame, nats per frame."""
        v = flatten(batch.v)
        noisy, rng = self.corrupt(v, rng)
        log_p = self.decoder(self.hidden_mean(noisy)).log_prob(v)
        return Loss(masked_mean(-log_p, batch.mask), rng.updates())

    def encode(self, frames: np.ndarray, mode: Any = None) -> np.ndarray:
        """Return features of frames (n, n_visible): their hidden units (n, n_hidden), without corruption."""
        return self._map(lambda v, rng: (self.hidden_mean(v), rng), frames, mode=mode)

    def reconstruct(self, frames: np.ndarray, *, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return the expected frames given the hidden units of frames (n, n_visible), without corruption."""

        def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            return self.visible.mean(self.decoder(self.hidden_mean(v)).b_v), rng

        return self._map(build, frames, seed=seed, mode=mode)

    def score(self, pieces: Sequence[np.ndarray], mode: Any = None) -> float:
        """Return the mean log-probability of frames given their own hidden units, without corruption, nats per frame.

        For binary units it is minus the cross-entropy of the reconstruction.
        """

        def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            return self.decoder(self.hidden_mean(v)).log_prob(v), rng

        return float(self._map(build, pieces, mode=mode).mean(dtype=float))

    def sample(self, n_samples: int, *, k: int | None = None, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return samples (n_samples, n_visible) of the chain that corrupts a frame and samples one given what is left.

        The chain starts from noise, and makes `k` steps. Its stationary distribution approaches that of the data as
        the decoder approaches the distribution of clean frames given corrupted ones (Bengio et al. 2013).
        """
        n_samples, k = whole_number("n_samples", n_samples, 1), whole_number("k", self.usual_k if k is None else k, 1)

        def step(v: Any, draw: Any, key: Any, W: Any, b_v: Any, b_h: Any, *of_unit: Any) -> list:
            (visible,) = with_unit_tensors((self.visible,), of_unit)
            here = Autoencoder(W, b_v, b_h, visible, self.corruption)
            noisy, rng = here.corrupt(v, Rng(key, draw))
            v, rng = here.decoder(here.hidden_mean(noisy)).sample(v, rng)
            return [v, rng.draw]

        def build(like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            v, rng = self.visible.noise(like, rng)
            v, draw = pytensor.scan(
                step,
                outputs_info=[pt.specify_shape(v, like.type.shape), rng.draw],
                non_sequences=[rng.key, *self.params],
                n_steps=k,
                return_updates=False,
            )
            return v[-1], rng._replace(draw=draw[-1])

        rows = np.zeros((n_samples, self.n_visible), self.W.dtype)
        return map_rows(build, rows, dtype=self.W.dtype, seed=seed, mode=mode)

    def filters(self) -> np.ndarray:
        """Return W (n_visible, n_hidden): what each hidden unit reads and restores."""
        return engine.to_numpy(self.W)

    def _map(self, build: Any, pieces: Any, *, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        return map_rows(build, single_frames(self, pieces), dtype=self.W.dtype, seed=seed, mode=mode)


def _adds_noise(visible: Unit) -> bool:
    """Whether corruption is noise in all columns."""
    if isinstance(visible, Joint):
        return all(_adds_noise(unit) for _, unit in visible.parts)
    return isinstance(visible, (Gaussian, LearnedGaussian))
