"""The deep Boltzmann machine: hidden layers one above the other, without weights within a layer.

    E(v, h1, h2 ...) = base(v) - s(v) b_0 - h1 b_1 - h2 b_2 ... - s(v) W_1 h1 - h1 W_2 h2 ...

Unlike a deep belief net it has weights in both directions everywhere, so what an upper layer finds in a frame changes
what the lower ones find. How it learns is in :mod:`rnnrbm.models.deep_learning`, and its
mathematics in :mod:`rnnrbm.models.layered`.

Source: Salakhutdinov & Hinton, "Deep Boltzmann machines", AISTATS 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnrbm import model_file
from rnnrbm.arguments import layer_sizes, number, whole_number
from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng, Seed, generator
from rnnrbm.batch import Batch, Loss
from rnnrbm.densities import check_biases
from rnnrbm.display import model_html
from rnnrbm.models import deep_bound, deep_learning, deep_parts, deep_samples, layerwise
from rnnrbm.models.layered import LayeredMachine, layered
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.units import Bernoulli, Unit, check_unit

__all__ = ["DBM"]


class DBM(NamedTuple):
    """Deep Boltzmann machine.

    Attributes
    ----------
    weights : tuple of TensorVariable
        W_1 (n_visible, n_1), W_2 (n_1, n_2) and so on.
    biases : tuple of TensorVariable
        Of the frame and of each hidden layer.
    offsets : tuple of TensorVariable
        Means of the layers that centring subtracts in training; they change nothing in the distribution.
    chains : tuple of TensorVariable, each (n_chains, n_l)
        States of the frame, the second hidden layer, the fourth ..., where the chains of training have come to.
    layer_chains : tuple of TensorVariable, each (n_chains, n_l)
        The same of each hidden layer, where the chains of training layer by layer have come to.
    visible : Unit
        Unit type of a frame.
    n_mean_field : int
        Mean-field steps of the positive phase.
    k : int
        Gibbs steps of the chains in each update; more and more towards the end of training, see `stages`.
    """

    weights: tuple[Any, ...]
    biases: tuple[Any, ...]
    offsets: tuple[Any, ...]
    chains: tuple[Any, ...]
    layer_chains: tuple[Any, ...]
    visible: Unit = Bernoulli()
    n_mean_field: int = 10
    k: int = 1

    @classmethod
    def init(
        cls,
        n_visible: int,
        layers: Sequence[int] = (256, 256),
        *,
        seed: Seed,
        visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
        n_mean_field: int = 10,
        n_chains: int = 100,
        k: int = 1,
        b_v: np.ndarray | float = 0.0,
        scale: float = 0.01,
        dtype: str | None = None,
    ) -> DBM:
        """Make a machine whose tensors are shared variables: W_1, b_0, b_1 and so on.

        Parameters
        ----------
        n_visible : int
            At least 1.
        layers : sequence of int
            Hidden units of each layer, from the frame up; at least one layer.
        seed : int or numpy.random.Generator
        visible : Unit
            Its parameters, if it has some, are not learned.
        n_mean_field, n_chains, k : int
            See the class; each at least 1.
        b_v : array of shape (n_visible,) or float
            Initial visible biases.
        scale : float
            Standard deviation of the initial weights.
        dtype : str or None
            None: PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a number is out of range, `layers` is empty, or `b_v` has another shape.
        TypeError
            If a number is no number, or `visible` no unit type.
        """
        rng = generator(seed)
        n_visible, sizes = whole_number("n_visible", n_visible, 1), layer_sizes(layers)
        check_unit("visible", visible)
        units = [visible, *(Bernoulli() for _ in sizes)]
        biases = [check_biases(b_v, n_visible), *(np.zeros(n) for n in sizes)]
        edges = [(i, i + 1) for i in range(len(sizes))]
        scales = [number("scale", scale, "a standard deviation, at least 0", least=0.0)] * len(edges)
        made = deep_parts.shared_parts(units, biases, edges, rng, scales, whole_number("n_chains", n_chains, 1), dtype)
        return cls(
            *made,
            layerwise.new_chains(layered(units, made[1], edges, made[0]), [0], n_chains),
            visible,
            whole_number("n_mean_field", n_mean_field, 1),
            whole_number("k", k, 1),
        )

    @property
    def score_name(self) -> str:
        return "lower bound of the log-likelihood, nats per frame"

    @property
    def usual_k(self) -> int:
        """Gibbs steps of a sample, of which the first three quarters anneal."""
        return 1000

    @property
    def usual_settings(self) -> dict[str, Any]:
        """Settings of training that suit the model; see docs/deep.md."""
        return deep_learning.USUAL_SETTINGS

    @property
    def machine(self) -> LayeredMachine:
        """The layers: the frame is layer 0."""
        units = (self.visible, *(Bernoulli() for _ in self.weights))
        return layered(units, self.biases, [(i, i + 1) for i in range(len(self.weights))], self.weights)

    @property
    def visible_layers(self) -> tuple[int, ...]:
        return (0,)

    @property
    def held(self) -> None:
        """No layer keeps its state in the chains of training."""

    @property
    def n_visible(self) -> int:
        n: int = self.weights[0].type.shape[0]
        return n

    @property
    def params(self) -> list[Any]:
        return [*self.weights, *self.biases]

    def save(self, path: model_file.PathName) -> None:
        """Write the machine to a file, which :func:`rnnrbm.load_model` reads back."""
        model_file.save(path, self)

    def _repr_html_(self) -> str:
        return model_html(self)

    def prepare(self, pieces: Sequence[np.ndarray]) -> None:
        """Set visible biases that are all zero, and offsets, to those of independent units that fit the pieces."""
        deep_parts.prepare(self, pieces)

    @property
    def stages(self) -> tuple[tuple[float, Any], ...]:
        """What is trained when; see :func:`rnnrbm.models.layerwise.stages`."""
        return layerwise.stages(self)

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """Build the loss of a batch; see :func:`rnnrbm.models.deep_learning.centred_loss`."""
        return deep_learning.centred_loss(self, batch, rng)

    def score(self, pieces: Sequence[np.ndarray], mode: Any = None) -> float:
        """Return the mean lower bound of the log-likelihood, nats per frame, by a short annealing; see :meth:`bound`.

        log Z is that of 100 chains and 2000 temperatures, the same for equal parameters.
        """
        return deep_bound.mean_bound(self, pieces, mode)

    def bound(
        self,
        frames: Any,
        *,
        n_chains: int | None = None,
        n_temperatures: int | None = None,
        schedule: str | np.ndarray | None = None,
        method: str | None = None,
        seed: Seed = 0,
        mode: Any = None,
    ) -> LogLikelihood:
        """Return a lower bound of the log-likelihood of frames: E_q[-E] + H(q) - log Z, with q of mean field.

        With one hidden layer it is the log-likelihood. Annealing tends to underestimate log Z, so the bound errs to the
        high side by half the variance of log Z, :attr:`LogLikelihood.bias`.

        Parameters
        ----------
        frames : sequence of arrays (T, n_visible), or one array
        n_chains, n_temperatures, schedule
            Of AIS; see :class:`rnnrbm.scoring.likelihood.Evaluator`. None stands for 500 chains and 16 000
            temperatures of quadratic spacing.
        method : {"ais", "exact"} or None
            How log Z is computed. None enumerates if the odd or the even layers have at most 14 binary units.
        seed : int or numpy.random.Generator
            Seed of annealing.
        mode : str or None
            See :func:`rnnrbm.backend.engine.function`.

        Raises
        ------
        ValueError
            If a setting is impossible, or a frame does not fit the model.
        """
        return deep_bound.bound(
            self,
            frames,
            n_chains=n_chains,
            n_temperatures=n_temperatures,
            schedule=schedule,
            method=method,
            seed=seed,
            mode=mode,
        )

    def sample(self, n_samples: int, *, k: int | None = None, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return samples (n_samples, n_visible) after `k` Gibbs steps that anneal from noise."""
        return deep_samples.sample(self, n_samples, self.usual_k if k is None else k, seed, mode)

    def complete(
        self, frames: np.ndarray, *, k: int | None = None, seed: Seed = 0, expected: bool = False, mode: Any = None
    ) -> np.ndarray:
        """Return frames (n, n_visible) whose unknown columns, those that are NaN, are sampled given the known ones.

        Parameters
        ----------
        frames : numpy.ndarray, shape (n, n_visible)
        k : int or None
            Gibbs steps, which anneal from noise; None: `usual_k`.
        seed : int or numpy.random.Generator
        expected : bool
            Return means given the last hidden layers, not samples.
        mode : str or None
            See :func:`rnnrbm.backend.engine.function`.

        Raises
        ------
        ValueError, TypeError
            If frames have another width, or a known value is impossible.
        """
        return deep_samples.complete(self, frames, self.usual_k if k is None else k, seed, mode, expected=expected)

    def reconstruct(self, frames: np.ndarray, *, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return the expected frames given the mean-field hidden units of frames (n, n_visible); `seed` has no part."""
        return deep_samples.reconstruct(self, frames, mode)

    def filters(self) -> np.ndarray:
        """Return W_1 (n_visible, n_1): what each unit of the first hidden layer adds to a frame."""
        return engine.to_numpy(self.weights[0])
