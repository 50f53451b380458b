"""The variational autoencoder: latent units with a normal distribution, from which a network makes a frame.

    z ~ N(0, I),    v ~ p(v | z) = independent units with the activations decoder(z)

The log-likelihood is an integral over z. An encoder approximates the posterior of z by independent normal
distributions, q(z | v) = N(mean(v), diag(deviation(v)^2)), and gives a lower bound (ELBO):

    log p(v) >= E_q[log p(v | z)] - KL(q(z | v) || N(0, I))

Training maximizes it with one z for each frame, drawn as mean + deviation * noise, so that the gradient reaches the
encoder (Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014; Rezende, Mohamed & Wierstra, "Stochastic
backpropagation and approximate inference in deep generative models", ICML 2014). A mean of the weights
p(v | z) p(z) / q(z | v) of many samples gives a tighter bound, which approaches log p(v) (Burda, Grosse &
Salakhutdinov, "Importance weighted autoencoders", ICLR 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable
from scipy.special import logsumexp

from rnnrbm import model_file
from rnnrbm.arguments import whole_number
from rnnrbm.backend import engine, random
from rnnrbm.backend.random import Rng, Seed, as_seed, generator
from rnnrbm.batch import Batch, Loss, masked_mean
from rnnrbm.densities import Independent, check_biases, set_fitted_bias
from rnnrbm.display import model_html
from rnnrbm.models.rows import by_blocks, map_rows, single_frames
from rnnrbm.recurrence import flatten
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.units import Bernoulli, Unit, check_unit, unit_tensors

__all__ = ["VAE", "Layer"]

#: Samples of each frame in :meth:`VAE.score`.
SCORE_SAMPLES = 5
#: Frames, and samples of each, that :meth:`VAE.bound` computes at a time.
BOUND_ROWS, BOUND_SAMPLES = 100, 20


class Layer(NamedTuple):
    """Weights and biases of a layer: x W + b.

    Attributes
    ----------
    W : TensorVariable, shape (n_inputs, n_outputs)
    b : TensorVariable, shape (n_outputs,)
    """

    W: TensorVariable
    b: TensorVariable

    @classmethod
    def init(
        cls, name: str, n_inputs: int, n_outputs: int, *, rng: np.random.Generator, b: Any = 0.0, dtype: str | None
    ) -> Layer:
        """Make a layer of uniform weights up to sqrt(6 / (n_inputs + n_outputs)) in size (Glorot & Bengio 2010)."""
        most = math.sqrt(6.0 / (n_inputs + n_outputs))
        return cls(
            engine.shared(rng.uniform(-most, most, (n_inputs, n_outputs)), f"W_{name}", dtype),
            engine.shared(np.broadcast_to(b, (n_outputs,)), f"b_{name}", dtype),
        )

    def __call__(self, x: TensorVariable) -> TensorVariable:
        return x @ self.W + self.b


class VAE(NamedTuple):
    """Variational autoencoder.

    Attributes
    ----------
    encoder : tuple of Layer
        Hidden layers (tanh), and a linear layer to the means and the log deviations of the latent units,
        2 * n_latent outputs.
    decoder : tuple of Layer
        Hidden layers (tanh) from the latent units, and a linear layer to the activations of the frame.
    visible : Unit
        Unit type of a frame.
    """

    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]
    visible: Unit = Bernoulli()

    @classmethod
    def init(
        cls,
        n_visible: int,
        n_hidden: int = 200,
        n_latent: int = 50,
        n_layers: int = 2,
        *,
        seed: Seed,
        visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
        b_v: np.ndarray | float = 0.0,
        dtype: str | None = None,
    ) -> VAE:
        """Make a VAE whose parameters are shared variables.

        Parameters
        ----------
        n_visible, n_hidden, n_latent : int
            Units of a frame, of each hidden layer, and latent units; at least 1.
        n_layers : int
            Hidden layers of the encoder, and of the decoder. With 0 both are linear, and with Gaussian units the
            decoder is that of probabilistic principal component analysis.
        seed : int or numpy.random.Generator
        visible : Unit
        b_v : array of shape (n_visible,) or float
            Initial biases of the frame.
        dtype : str or None
            None: PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a number is out of range or `b_v` has another shape.
        TypeError
            If a number is no whole number, or `visible` no unit type.
        """
        rng = generator(seed)
        n_visible, n_hidden = whole_number("n_visible", n_visible, 1), whole_number("n_hidden", n_hidden, 1)
        n_latent, n_layers = whole_number("n_latent", n_latent, 1), whole_number("n_layers", n_layers, 0)
        check_unit("visible", visible)
        biases = check_biases(b_v, n_visible)

        def layers(side: str, first: int, last: int, b: Any) -> tuple[Layer, ...]:
            sizes = [first, *[n_hidden] * n_layers, last]
            names = [*(f"{side}{i + 1}" for i in range(n_layers)), {"encoder": "z", "decoder": "v"}[side]]
            offsets = [*[0.0] * n_layers, b]
            return tuple(
                Layer.init(names[i], sizes[i], sizes[i + 1], rng=rng, b=offsets[i], dtype=dtype)
                for i in range(n_layers + 1)
            )

        encoder = layers("encoder", n_visible, 2 * n_latent, 0.0)
        return cls(encoder, layers("decoder", n_latent, n_visible, biases), visible)

    @property
    def score_name(self) -> str:
        return "evidence lower bound of the log-likelihood, nats per frame"

    @property
    def usual_k(self) -> int:
        """Samples are exact, so there is one step."""
        return 1

    @property
    def usual_settings(self) -> dict[str, Any]:
        return {"learning_rate": 3e-3, "clip": 0.0, "epochs": 100}

    def prepare(self, pieces: Sequence[np.ndarray]) -> None:
        """Set biases of the frame that are all zero to those of independent units that fit the pieces.

        With others, the encoder may learn to tell nothing.
        """
        set_fitted_bias(self.decoder[-1].b, self.visible, pieces)

    @property
    def n_visible(self) -> int:
        n: int = self.decoder[-1].W.type.shape[1]
        return n

    @property
    def n_latent(self) -> int:
        n: int = self.decoder[0].W.type.shape[0]
        return n

    @property
    def dtype(self) -> str:
        return str(self.decoder[0].W.dtype)

    @property
    def params(self) -> list[Any]:
        return [t for layer in (*self.encoder, *self.decoder) for t in layer] + unit_tensors(self.visible)

    def save(self, path: model_file.PathName) -> None:
        """Write the VAE to a file, which :func:`rnnrbm.load_model` reads back."""
        model_file.save(path, self)

    def _repr_html_(self) -> str:
        return model_html(self)

    def posterior(self, v: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """Means and log deviations of the latent units given frames: (R, n_visible) -> twice (R, n_latent)."""
        out = _network(self.encoder, v)
        return out[:, : self.n_latent], out[:, self.n_latent :]

    def decode(self, z: TensorVariable) -> Independent:
        """Distribution of the frames given latent units (R, n_latent)."""
        return Independent(_network(self.decoder, z), self.visible)

    def terms(self, v: TensorVariable, rng: Rng) -> tuple[TensorVariable, TensorVariable, Rng]:
        """The two terms of the ELBO of frames (R, n_visible), nats: (R,) each.

        Returns
        -------
        log_p : TensorVariable
            log p(v | z) for one sample z of q(z | v).
        kl : TensorVariable
            KL(q(z | v) || N(0, I)), exact.
        rng : Rng
        """
        mean, log_s = self.posterior(v)
        noise, rng = rng.normal(mean)
        log_p = self.decode(mean + pt.exp(log_s) * noise.astype(mean.dtype)).log_prob(v)
        half, one, two = (np.asarray(x, mean.dtype) for x in (0.5, 1.0, 2.0))
        each = half * (pt.sqr(mean) + pt.exp(two * log_s) - one) - log_s
        return log_p, each.sum(axis=-1, acc_dtype=mean.dtype), rng

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """Minus the ELBO, nats per frame; its metrics are the mean of its two terms."""
        log_p, kl, rng = self.terms(flatten(batch.v), rng)
        means = {"reconstruction": masked_mean(log_p, batch.mask), "kl": masked_mean(kl, batch.mask)}
        return Loss(masked_mean(kl - log_p, batch.mask), rng.updates(), means)

    def log_weights(self, v: TensorVariable, n_samples: int, rng: Rng) -> tuple[TensorVariable, Rng]:
        """Logarithms of p(v | z) p(z) / q(z | v) for samples z of q(z | v), nats: (R, n_visible) -> (n_samples, R)."""
        mean, log_s = self.posterior(v)
        n_rows = v.type.shape[0]
        noise, rng = rng.normal(pt.zeros((n_samples, n_rows, self.n_latent), mean.dtype))
        noise = noise.astype(mean.dtype)
        z = mean + pt.exp(log_s) * noise
        a = self.decode(z.reshape((n_samples * n_rows, self.n_latent))).b_v
        log_p = Independent(a.reshape((n_samples, n_rows, self.n_visible)), self.visible).log_prob(v)
        # of p(z) and q(z | v), the constants cancel
        of_z = np.asarray(0.5, mean.dtype) * (pt.sqr(noise) - pt.sqr(z)) + log_s
        return log_p + of_z.sum(axis=-1, acc_dtype=mean.dtype), rng

    def bound(self, frames: np.ndarray, *, n_samples: int = 1000, seed: Seed = 0, mode: Any = None) -> LogLikelihood:
        """Return the importance-weighted bound of the log-likelihood of frames (n, n_visible).

        For each frame it is the log of the mean weight of `n_samples` samples of the encoder (Burda et al. 2016,
        equation 8). On average it is too low; the more samples, the nearer it is. With one sample it is the ELBO.

        Parameters
        ----------
        frames : array (n, n_visible), or sequence of such arrays
        n_samples : int
            Samples of each frame, at least 1.
        seed : int or numpy.random.Generator
        mode : str or None
            See :func:`rnnrbm.backend.engine.function`.

        Raises
        ------
        ValueError, TypeError
            If a frame does not suit the units, or `n_samples` is no whole number of 1 or more.
        """
        n_samples = whole_number("n_samples", n_samples, 1)
        rows = single_frames(self, frames)
        size, at_a_time = min(len(rows), BOUND_ROWS), min(n_samples, BOUND_SAMPLES)
        v = pt.tensor("v", dtype=self.dtype, shape=(size, self.n_visible))
        weights, rng = self.log_weights(v, at_a_time, random.shared(as_seed(seed)))
        compute = engine.function([v], weights, rng.updates(), mode=mode)

        def of_block(block: np.ndarray) -> np.ndarray:
            """Log of the mean weight of each row, and the effective number of its samples: (size, 2)."""
            parts = [engine.to_numpy(compute(block)) for _ in range(0, n_samples, at_a_time)]
            log_w = np.concatenate(parts)[:n_samples].astype(float)
            total = logsumexp(log_w, axis=0)
            return np.stack([total - math.log(n_samples), np.exp(2 * total - logsumexp(2 * log_w, axis=0))], axis=1)

        bounds, ess = by_blocks(of_block, rows, size, self.dtype).T
        return LogLikelihood(
            [bounds],
            [np.maximum(1 / ess - 1 / n_samples, 0.0)],  # of the log of a mean, by its first derivative
            ess,
            f"importance-weighted lower bound, {n_samples} sample{'' if n_samples == 1 else 's'}",
            n_chains=n_samples,
            method="importance",
        )

    def score(self, pieces: Sequence[np.ndarray], mode: Any = None) -> float:
        """Return the mean ELBO of frames, nats per frame: :data:`SCORE_SAMPLES` samples each, always the same."""

        def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            total: Any = 0
            for _ in range(SCORE_SAMPLES):
                log_p, kl, rng = self.terms(v, rng)
                total = total + (log_p - kl)
            return total / np.asarray(SCORE_SAMPLES, self.dtype), rng

        return float(self._map(build, pieces, mode=mode).mean(dtype=float))

    def encode(self, frames: np.ndarray, mode: Any = None) -> np.ndarray:
        """Return features of frames (n, n_visible): the means of their latent units (n, n_latent)."""
        return self._map(lambda v, rng: (self.posterior(v)[0], rng), frames, mode=mode)

    def reconstruct(self, frames: np.ndarray, *, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return the expected frames given the mean latent units of frames (n, n_visible)."""

        def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            return self.visible.mean(self.decode(self.posterior(v)[0]).b_v), rng

        return self._map(build, frames, seed=seed, mode=mode)

    def sample(self, n_samples: int, *, k: int | None = None, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return exact samples (n_samples, n_visible) of the model: z, and a frame given z. `k` changes nothing."""
        n_samples, _ = whole_number("n_samples", n_samples, 1), whole_number("k", 1 if k is None else k, 1)

        def build(like: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            z, rng = rng.normal(like)
            return self.visible.sample(self.decode(z.astype(self.dtype)).b_v, rng)

        rows = np.zeros((n_samples, self.n_latent), self.dtype)
        return map_rows(build, rows, dtype=self.dtype, seed=seed, mode=mode)

    def filters(self) -> np.ndarray:
        """Return what each latent unit changes in a frame: (n_visible, n_latent).

        A column is the difference of the expected frames where the unit is 1 and where it is -1, and all others are 0.
        A unit that the model does not use has next to none.
        """

        def build(z: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            return self.visible.mean(self.decode(z).b_v), rng

        units = np.eye(self.n_latent, dtype=self.dtype)
        expected = map_rows(build, np.concatenate([units, -units]), dtype=self.dtype, seed=0)
        return (expected[: self.n_latent] - expected[self.n_latent :]).T

    def _map(self, build: Any, pieces: Any, *, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        return map_rows(build, single_frames(self, pieces), dtype=self.dtype, seed=seed, mode=mode)


def _network(layers: Sequence[Layer], x: TensorVariable) -> TensorVariable:
    for layer in layers[:-1]:
        x = pt.tanh(layer(x))
    return layers[-1](x)
