"""The RNN-RBM: an RBM whose biases are what an RNN says.

At every frame t the state u(t-1) of a recurrent network, which has read v(1) .. v(t-1), writes the biases of an
RBM over v(t):

    b_v(t) = b_v + u(t-1) W_uv        b_h(t) = b_h + u(t-1) W_uh

so P(v(1) .. v(T)) = product over t of P_RBM(v(t); b_v(t), b_h(t)). (Boulanger-Lewandowski, Bengio & Vincent,
"Modeling temporal dependencies in high-dimensional sequences", ICML 2012, section 4.)

During training all frames are given, so only the recurrence is sequential: the T x B conditional RBMs of a
batch are trained as one batch of T*B rows. Sequences are time first, (T, B, n_visible).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm import engine, samplers
from rnnrbm.cells import Cell, flatten, init_cell, states
from rnnrbm.engine import Updates
from rnnrbm.random import Rng
from rnnrbm.rbm import RBM

__all__ = ["RNNRBM", "Loss", "keep_mask", "masked_mean"]


class Loss(NamedTuple):
    """What a training step needs, as expressions.

    Attributes
    ----------
    cost : scalar
        Mean over real frames of F(data) - F(negative sample), nats per frame; its gradient is the
        contrastive divergence one, its value measures nothing.
    updates : dict
        Moves the random stream on; merge it with those of the optimiser.
    pseudo_log_likelihood : scalar
        Of the batch, nats per frame; see :meth:`rnnrbm.rbm.RBM.pseudo_log_likelihood`.
    """

    cost: TensorVariable
    updates: Updates
    pseudo_log_likelihood: TensorVariable


def masked_mean(rows: TensorVariable, mask: TensorVariable | None) -> TensorVariable:
    """Mean of flattened frames (B*T,), counting only those whose mask (T, B) is 1."""
    if mask is None:
        return rows.mean(acc_dtype=rows.dtype)
    weight = flatten(mask).astype(rows.dtype)
    total = pt.maximum(weight.sum(acc_dtype=rows.dtype), np.asarray(1.0, rows.dtype))
    # switch, not a product: whatever a padded row holds, even an infinity, must not count
    return pt.switch(pt.gt(weight, 0), rows, np.asarray(0.0, rows.dtype)).sum(acc_dtype=rows.dtype) / total


def keep_mask(x: TensorVariable, rate: float, rng: Rng) -> tuple[TensorVariable, Rng]:
    """Return 0 with probability `rate` and 1 otherwise, in the shape of `x`."""
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"a dropout rate must be at least 0 and below 1, got {rate}")
    u, rng = rng.uniform(x)
    return pt.ge(u, np.float32(rate)).astype(x.dtype), rng


class RNNRBM(NamedTuple):
    """RNN-RBM.

    Attributes
    ----------
    cell : Cell
        The recurrent network (``W_vu``, ``W_uu``, ``b_u``, ``u_0``).
    rbm : RBM
        The machine whose biases are conditioned (``W``, ``b_v``, ``b_h``).
    W_uv : TensorVariable, shape (n_recurrent, n_visible)
    W_uh : TensorVariable, shape (n_recurrent, n_hidden)
    """

    cell: Cell
    rbm: RBM
    W_uv: TensorVariable
    W_uh: TensorVariable

    @classmethod
    def init(
        cls,
        n_visible: int,
        n_hidden: int = 256,
        n_recurrent: int = 256,
        *,
        rng: np.random.Generator,
        cell: str = "gru",
        b_v: np.ndarray | float = 0.0,
        dtype: str | None = None,
        **rbm_options: Any,
    ) -> RNNRBM:
        """Make a model with small random weights, in shared variables named after the paper.

        Parameters
        ----------
        n_visible, n_hidden, n_recurrent : int
            Sizes, at least 1.
        rng : numpy.random.Generator
        cell : {"gru", "tanh", "sigmoid"}
            ``"tanh"`` is the model of the 2012 tutorial, ``"sigmoid"`` the paper's.
        b_v : array of shape (n_visible,) or float
            Initial visible biases.
        dtype : str or None
            None stands for PyTensor's ``floatX``.
        **rbm_options
            Handed on to :meth:`rnnrbm.rbm.RBM.init`: ``visible``, ``hidden``, ``scale``.
        """
        rbm = RBM.init(n_visible, n_hidden, rng=rng, b_v=b_v, dtype=dtype, **rbm_options)
        return cls(
            init_cell(cell, n_visible, n_recurrent, rng=rng, dtype=dtype),
            rbm,
            engine.shared(rng.normal(0.0, 1e-4, (n_recurrent, n_visible)), "W_uv", dtype),
            engine.shared(rng.normal(0.0, 1e-4, (n_recurrent, n_hidden)), "W_uh", dtype),
        )

    @property
    def params(self) -> list[Any]:
        """The parameters: those of the RBM part (``W, b_v, b_h``), then of the RNN part."""
        return [*self.rbm.tensors(), *self.cell.tensors(), self.W_uv, self.W_uh]

    def with_params(self, params: Sequence[Any]) -> RNNRBM:
        """The same model holding other tensors, in the order of :attr:`params`."""
        n_rbm, n_cell = len(self.rbm.tensors()), len(self.cell.tensors())
        rbm, cell = params[:n_rbm], params[n_rbm : n_rbm + n_cell]
        return RNNRBM(self.cell.with_tensors(list(cell)), self.rbm.with_tensors(list(rbm)), *params[-2:])

    def conditional(self, u: TensorVariable) -> RBM:
        """The RBMs that states (..., n_recurrent) call for: biases with the same leading axes."""
        return self.rbm._replace(b_v=self.rbm.b_v + u @ self.W_uv, b_h=self.rbm.b_h + u @ self.W_uh)

    def frames(self, v: TensorVariable, start: TensorVariable | None = None) -> tuple[RBM, TensorVariable]:
        """Return the conditional RBM of every frame, one to a row, and the frames in the same order.

        Parameters
        ----------
        v : TensorVariable, shape (T, B, n_visible)
        start : TensorVariable of bool or None, shape (T, B)
            See :func:`rnnrbm.cells.recur`.

        Returns
        -------
        rbm : RBM with biases of B*T rows
        rows : TensorVariable, shape (B*T, n_visible)
        """
        return self.conditional(flatten(states(self.cell, v, start))), flatten(v)

    def loss(
        self,
        v: TensorVariable,
        mask: TensorVariable | None = None,
        start: TensorVariable | None = None,
        *,
        rng: Rng,
        k: int = 15,
        input_dropout: float = 0.0,
        state_dropout: float = 0.0,
    ) -> Loss:
        """Build the contrastive-divergence loss of a batch.

        Parameters
        ----------
        v : TensorVariable, shape (T, B, n_visible)
            Frames.
        mask : TensorVariable or None, shape (T, B)
            1 for a frame that counts, 0 for padding or context. Padding after the last frame that counts changes
            neither the loss nor its gradient; context before it is read by the RNN.
        start : TensorVariable of bool or None, shape (T, B)
            True where a new piece begins (see :func:`rnnrbm.cells.recur`).
        rng : Rng
        k : int
            Number of Gibbs steps of CD-k.
        input_dropout : float
            Probability that the RNN misses a note of its input; the frame to explain stays whole. Notes that
            remain are not scaled, since at generation the RNN reads notes of 0 and 1.
        state_dropout : float
            Dropout rate of u on its way to the biases.
        """
        read = v
        if mask is not None:
            # Whatever padding holds, infinities included, must not reach the gradient. The RNN still reads the frames
            # that do not count, if they are numbers: they may be the context of those that do.
            zero, counts = np.asarray(0.0, v.dtype), pt.gt(mask[:, :, None], 0)
            finite = pt.lt(pt.abs(v), np.asarray(np.inf, v.dtype))
            read = pt.switch(pt.or_(counts, finite), v, zero)
            v = pt.switch(counts, v, zero)
        if input_dropout:
            keep, rng = keep_mask(v, input_dropout, rng)
            read = read * keep
        u = flatten(states(self.cell, read, start))
        if state_dropout:
            keep, rng = keep_mask(u, state_dropout, rng)
            u = u * keep * np.asarray(1.0 / (1.0 - state_dropout), u.dtype)
        rbm, rows = self.conditional(u), flatten(v)
        pseudo, rng = rbm.pseudo_log_likelihood(rows, rng)
        negative, updates = samplers.cd(rbm, rows, rng, k)
        difference = rbm.free_energy(rows) - rbm.free_energy(negative)
        return Loss(masked_mean(difference, mask), updates, masked_mean(pseudo, mask))

    def generate(
        self, n_steps: int, u: TensorVariable, v: TensorVariable, *, rng: Rng, k: int = 25
    ) -> tuple[TensorVariable, Rng]:
        """Build the graph that samples sequences, each frame given those before it.

        Parameters
        ----------
        n_steps : int
            Frames to sample.
        u : TensorVariable, shape (B, n_recurrent)
            States to go on from: ``initial_state`` or the state after a primer.
        v : TensorVariable, shape (B, n_visible)
            Frame before the first one; each frame's Gibbs chain starts from the frame before it.
        rng : Rng
        k : int
            Gibbs steps for each frame.

        Returns
        -------
        v : TensorVariable, shape (n_steps, B, n_visible)
        rng : Rng
        """

        def step(
            v: TensorVariable, u: TensorVariable, draw: TensorVariable, key: TensorVariable, *params: Any
        ) -> list[TensorVariable]:
            model = self.with_params(params)
            v, inner = samplers.gibbs(model.conditional(u), v, Rng(key, draw), k)
            return [v, model.cell.step(model.cell.project(v), u @ model.cell.W_uu, u), inner.draw]

        v, _, draw = pytensor.scan(
            step,
            outputs_info=[v, u, rng.draw],
            non_sequences=[rng.key, *self.params],
            n_steps=n_steps,
            return_updates=False,
        )
        return v, rng._replace(draw=draw[-1])
