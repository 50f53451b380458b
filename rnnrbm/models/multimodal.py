"""The multimodal deep Boltzmann machine: parts of a frame, such as an image and its label, that meet in a top layer.

    image - hidden - top - hidden - label

Each part has a hidden layer of its own, which turns it into a form in which the parts can be compared. The top layer
learns how they belong together. So each part can be generated given the other. How the machine learns is in
:mod:`rnnrbm.models.deep_learning`.

Source: Srivastava & Salakhutdinov, "Multimodal learning with deep Boltzmann machines", NIPS 2012; JMLR 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm import model_file
from rnnrbm.arguments import as_array, layer_sizes, number, whole_number
from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng, Seed, generator
from rnnrbm.batch import Batch, Loss
from rnnrbm.densities import check_biases
from rnnrbm.display import model_html
from rnnrbm.joint_units import Joint
from rnnrbm.models import deep_bound, deep_learning, deep_parts, deep_samples, layerwise
from rnnrbm.models.class_balance import balanced_bias, class_log_Z
from rnnrbm.models.layered import LayeredMachine, layered
from rnnrbm.models.rows import map_rows, single_frames
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.units import Bernoulli, Softmax, Unit

__all__ = ["MultimodalDBM"]

#: Standard deviation of the initial weights of a label: each class gets a code of hidden units at once. From small ones
#: a machine takes several times as long to find that labels and images belong together, since each of the four weights
#: on the way must grow before the others have a gradient. With 3 instead of 2, or a top layer of 0.01 or 0.3, the
#: digits of 8 x 8 pixels were not learned in 200 epochs.
CODE_SCALE, TOP_SCALE = 2.0, 0.03

#: With 2e-4 and 80 epochs, the weights of a machine of MNIST become so large that chains hardly move and log Z of a
#: class is not known: 77.5 % of the labels were right, against 96.5 % with 5e-4 and 40 epochs.
WEIGHT_DECAY = 5e-4
#: Chains and temperatures of each class by which a model with a label is validated, in every tenth epoch.
SCORE_CHAINS, SCORE_TEMPERATURES, VALID_EVERY = 50, 500, 10


class MultimodalDBM(NamedTuple):
    """Deep Boltzmann machine of frames that have several parts.

    Layers are the parts in the order of their columns, then the hidden layer of each part, then the top layer.

    Attributes
    ----------
    weights : tuple of TensorVariable
        Of each part and its hidden layer, then of each hidden layer and the top layer.
    biases : tuple of TensorVariable
        Of each layer.
    offsets : tuple of TensorVariable
        Means of the layers that centring subtracts in training; they change nothing in the distribution.
    chains : tuple of TensorVariable, each (n_chains, n_l)
        States of the parts and of the top layer, where the chains of training have come to.
    layer_chains : tuple of TensorVariable, each (n_chains, n_l)
        The same of each hidden layer, where the chains of training layer by layer have come to.
    visible : Joint
        Unit types of the parts.
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
    visible: Joint
    n_mean_field: int = 10
    k: int = 1

    @classmethod
    def init(
        cls,
        n_visible: int,
        layers: Sequence[int] = (256, 64, 256),
        *,
        seed: Seed,
        visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
        n_mean_field: int = 10,
        n_chains: int = 100,
        k: int = 1,
        b_v: np.ndarray | float = 0.0,
        scale: float = 0.01,
        dtype: str | None = None,
    ) -> MultimodalDBM:
        """Make a machine whose tensors are shared variables.

        Parameters
        ----------
        n_visible : int
            Columns of all parts.
        layers : sequence of int
            Units of the hidden layer of each part, in the order of the parts, then of the top layer.
        seed : int or numpy.random.Generator
        visible : Joint
            Two parts or more, such as ``Joint(((784, Bernoulli()), (10, Softmax(10))))``.
        n_mean_field, n_chains, k : int
            See the class; each at least 1.
        b_v : array of shape (n_visible,) or float
            Initial visible biases.
        scale : float
            Standard deviation of the initial weights of the parts. Those of softmax units have :data:`CODE_SCALE`, and
            those of the top layer :data:`TOP_SCALE`.
        dtype : str or None
            None: PyTensor's ``floatX``.

        Raises
        ------
        ValueError
            If a number is out of range, the parts do not have `n_visible` columns or are fewer than two, or `layers`
            does not hold one size more than there are parts.
        TypeError
            If a number is no number, or `visible` no unit type.
        """
        rng = generator(seed)
        n_visible, sizes = whole_number("n_visible", n_visible, 1), layer_sizes(layers)
        if not hasattr(visible, "log_partition"):
            raise TypeError(f"visible must be a unit type of several parts, a Joint, got {visible!r}")
        own = visible.parts if isinstance(visible, Joint) else ()
        if len(own) < 2 or not isinstance(visible, Joint):
            raise ValueError(
                f"visible must have two parts or more, such as Joint(((784, Bernoulli()), (10, Softmax(10)))), got "
                f'{visible}; images with labels are rnnrbm.load("mnist", with_labels=True)'
            )
        if visible.n_columns != n_visible:
            raise ValueError(f"the parts of visible have {visible.n_columns} columns together, expected {n_visible}")
        if len(sizes) != len(own) + 1:
            raise ValueError(
                f"layers has {len(sizes)} sizes, expected {len(own) + 1}: a hidden layer for each of {len(own)} "
                "parts, and the top layer"
            )
        b = check_biases(b_v, n_visible)
        units = [*(unit for _, unit in own), *(Bernoulli() for _ in sizes)]
        biases = [*(b[part] for part in visible.slices()), *(np.zeros(n) for n in sizes)]
        scale = number("scale", scale, "a standard deviation, at least 0", least=0.0)
        scales = [CODE_SCALE if isinstance(unit, Softmax) else scale for _, unit in own]
        scales += [TOP_SCALE] * len(own)
        made = deep_parts.shared_parts(
            units, biases, _edges(len(own)), rng, scales, whole_number("n_chains", n_chains, 1), dtype
        )
        machine = layered(units, made[1], _edges(len(own)), made[0])
        layer_chains = layerwise.new_chains(machine, range(len(own)), n_chains)
        return cls(*made, layer_chains, visible, whole_number("n_mean_field", n_mean_field, 1), whole_number("k", k, 1))

    @property
    def score_name(self) -> str:
        return "lower bound of the log-likelihood, nats per frame"

    @property
    def usual_k(self) -> int:
        """Gibbs steps of a sample, of which the first three quarters anneal."""
        return 5000

    @property
    def usual_settings(self) -> dict[str, Any]:
        """Settings of training that suit the model."""
        return deep_learning.USUAL_SETTINGS | {"weight_decay": WEIGHT_DECAY, "valid_every": VALID_EVERY}

    @property
    def n_parts(self) -> int:
        return len(self.visible.parts)

    @property
    def machine(self) -> LayeredMachine:
        """The layers, in the order of the class."""
        units = (*(unit for _, unit in self.visible.parts), *(Bernoulli() for _ in range(self.n_parts + 1)))
        return layered(units, self.biases, _edges(self.n_parts), self.weights)

    @property
    def visible_layers(self) -> tuple[int, ...]:
        return tuple(range(self.n_parts))

    @property
    def held(self) -> int | None:
        """The last part if it is a label."""
        return self.n_parts - 1 if isinstance(self.visible.parts[-1][1], Softmax) else None

    @property
    def n_visible(self) -> int:
        return self.visible.n_columns

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

    def complete_training(self, pieces: Sequence[np.ndarray]) -> None:
        """Make each class as probable as in pieces, if the last part is a label: ``rnnrbm.models.class_balance``."""
        if self.held is not None:
            columns = self.visible.slices()[-1]
            bias = balanced_bias(self.machine, self.held, [piece[:, columns] for piece in pieces])
            self.biases[self.held].set_value(bias.astype(self.machine.dtype))

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """Build the loss of a batch; see :func:`rnnrbm.models.deep_learning.centred_loss`."""
        return deep_learning.centred_loss(self, batch, rng)

    def score(self, pieces: Sequence[np.ndarray], mode: Any = None) -> float:
        """Return the mean lower bound of log p(all parts), nats per frame; see :meth:`rnnrbm.models.dbm.DBM.score`.

        If the last part is a label, it is that of the machine with balanced classes, which it becomes when training is
        finished: the bound of log p(other parts | label), and the log of the share of the class in the training set.
        """
        if self.held is None:
            return deep_bound.mean_bound(self, pieces, mode)
        z = class_log_Z(self.machine, self.held, n_chains=SCORE_CHAINS, n_temperatures=SCORE_TEMPERATURES, mode=mode)
        share = engine.to_numpy(self.offsets[self.held]).astype(float)
        rows = single_frames(self, np.concatenate(list(pieces)))
        label = rows[:, self.visible.slices()[-1]].argmax(axis=1)
        bounds = deep_bound.unnormalized_bounds(self, rows, mode)
        return float(np.mean(bounds - z.log_mean[label] + np.log(share[label] / share.sum())))

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
        """Return a lower bound of log p(all parts) of each frame, nats; see :meth:`rnnrbm.models.dbm.DBM.bound`."""
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
        """Return samples (n_samples, n_visible) of all parts after `k` Gibbs steps that anneal from noise."""
        return deep_samples.sample(self, n_samples, self.usual_k if k is None else k, seed, mode)

    def complete(
        self, frames: np.ndarray, *, k: int | None = None, seed: Seed = 0, expected: bool = False, mode: Any = None
    ) -> np.ndarray:
        """Return frames (n, n_visible) whose unknown columns, those that are NaN, are sampled given the known ones.

        Pixels that are NaN beside a label give an image of that class. See :meth:`rnnrbm.models.dbm.DBM.complete`.
        """
        return deep_samples.complete(self, frames, self.usual_k if k is None else k, seed, mode, expected=expected)

    def classify(self, frames: np.ndarray, *, mode: Any = None) -> np.ndarray:
        """Return the probability of each label given the other parts: (n, n_classes).

        The label is the last part. The probability of a class is that of the mean-field bound of log p(frame with that
        label), over the sum of all classes.

        Parameters
        ----------
        frames : numpy.ndarray, shape (n, n_visible - n_classes) or (n, n_visible)
            All parts but the label. Columns of a label are not read.
        mode : str or None
            See :func:`rnnrbm.backend.engine.function`.

        Raises
        ------
        ValueError
            If the last part is no label, or frames have another width or impossible values.
        """
        n_classes, unit = self.visible.parts[-1]
        if unit != Softmax(n_classes):
            raise ValueError(f"the last part must be a label, Softmax({n_classes}), and is {n_classes} x {unit}")
        frames = as_array(frames, "frames")
        n_read = self.n_visible - n_classes
        if frames.ndim != 2 or not len(frames) or frames.shape[1] not in (n_read, self.n_visible):
            raise ValueError(f"frames has shape {frames.shape}, expected (1 or more, {n_read}), without labels")
        label = np.zeros((len(frames), n_classes), frames.dtype)
        label[:, 0] = 1
        rows = single_frames(self, np.concatenate([frames[:, :n_read], label], axis=1))
        classes = np.eye(n_classes, dtype=self.machine.dtype)

        def build(v: TensorVariable, rng: Rng) -> tuple[TensorVariable, Rng]:
            n = v.type.shape[0]
            others = pt.specify_shape(pt.repeat(v[:, :n_read], n_classes, axis=0), (n * n_classes, n_read))
            every = pt.concatenate([others, pt.as_tensor(np.tile(classes, (n, 1)))], axis=1)
            log_p = deep_bound.unnormalized_bound(self, every, self.n_mean_field).reshape((n, n_classes))
            return pt.special.softmax(log_p, axis=1), rng

        return map_rows(build, rows, dtype=self.machine.dtype, seed=0, mode=mode)

    def reconstruct(self, frames: np.ndarray, *, seed: Seed = 0, mode: Any = None) -> np.ndarray:
        """Return the expected frames given the mean-field hidden units of frames (n, n_visible); `seed` has no part."""
        return deep_samples.reconstruct(self, frames, mode)

    def filters(self) -> np.ndarray | None:
        """Return the weights of the first part (n_visible, n_1), with zeros for the columns of the others."""
        W = engine.to_numpy(self.weights[0])
        return np.concatenate([W, np.zeros((self.n_visible - len(W), W.shape[1]), W.dtype)])


def _edges(n_parts: int) -> list[tuple[int, int]]:
    """Each part and its hidden layer, then each hidden layer and the top layer."""
    parts = range(n_parts)
    return [*((i, n_parts + i) for i in parts), *((n_parts + i, 2 * n_parts) for i in parts)]
