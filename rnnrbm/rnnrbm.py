"""The RNN-RBM and the RTRBM: an RBM whose biases are written by a recurrent network.

At every frame t, the state u(t-1) of a recurrent network that has read v(1) .. v(t-1) writes the biases of an RBM over
v(t); u(0) is a parameter:

    b_v(t) = b_v + u(t-1) W_uv        b_h(t) = b_h + u(t-1) W_uh

so P(v(1) .. v(T)) = product over t of P_RBM(v(t); b_v(t), b_h(t)). (Boulanger-Lewandowski, Bengio & Vincent, "Modeling
temporal dependencies in high-dimensional sequences", ICML 2012, section 4.)

A whole training step on one sequence ``v`` (T, n_visible), with the parameters as shared variables in the list
``params``, a learning rate ``rate`` and the random stream ``rng = random.shared(0)`` of :mod:`rnnrbm.backend.random`.
The type of ``v`` states its length: ``v = pt.tensor("v", dtype="float32", shape=(100, 88))``::

    def step(v_t, u, W_vu, W_uu, b_u):
        return pt.tanh(v_t @ W_vu + u @ W_uu + b_u)

    u = pytensor.scan(step, v, outputs_info=u_0, non_sequences=[W_vu, W_uu, b_u], return_updates=False)
    past = pt.concatenate([u_0[None], u[:-1]])  # u(t-1): it has not seen v(t)
    rbm = RBM(W, b_v + past @ W_uv, b_h + past @ W_uh)  # T machines, one for each frame
    negative, updates = cd(rbm, v, rng, k=15)
    cost = rbm.free_energy(v).mean() - rbm.free_energy(negative).mean()
    grads = pt.grad(cost, params)
    updates |= {p: p - rate * g for p, g in zip(params, grads)}
    train = engine.function([v], cost, updates)

:meth:`rnnrbm.sequence.SequenceModel.loss` is the same for batches of sequences, other cells and other densities, with a
faster gradient through time (:mod:`rnnrbm.recurrence`).

In the RTRBM (Sutskever, Hinton & Taylor, "The recurrent temporal restricted Boltzmann machine", NIPS 2008; here with
both biases written, as in section 3 of the 2012 paper) the state of the network is the mean of the RBM's own hidden
units: u(t) = sigmoid(v(t) W + b_h(t)). That is an RNN-RBM with tied weights: W_vu is W, W_uu is W_uh, b_u is b_h; see
:class:`HiddenUnits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict, Unpack

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.arguments import whole_number
from rnnrbm.autoregressive import Autoregressive, oldest_first
from rnnrbm.backend import engine
from rnnrbm.backend.random import Seed, generator
from rnnrbm.bias_weights import init_bias_weights
from rnnrbm.cells import Tanh
from rnnrbm.networks import MetricalPosition, Network, Traits, init_stack, push_frame, recent_frames
from rnnrbm.pitch import init_pitch_conv
from rnnrbm.rbm import RBM
from rnnrbm.recurrence import shift, unroll
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import Bernoulli, Unit, unit_tensors, with_unit_tensors

__all__ = ["HiddenUnits", "NetworkOptions", "init_network", "rnn_rbm", "rtrbm"]


class NetworkOptions(TypedDict, total=False):
    """The options of `init_network`, for functions that pass them on."""

    cell: str
    n_layers: int
    connections: str
    frames_per_bar: int
    n_pitch_conv: int
    autoregressive: int


def init_network(
    n_visible: int,
    n_recurrent: int = 256,
    *,
    seed: Seed,
    cell: str = "gru",
    n_layers: int = 1,
    connections: str = "plain",
    frames_per_bar: int = 0,
    n_pitch_conv: int = 0,
    autoregressive: int = 0,
    dtype: str | None = None,
) -> Network:
    """Make the network that reads the past: layers of cells, and what is set beside them.

    Parameters
    ----------
    n_visible, n_recurrent : int
        Sizes, at least 1.
    seed : int or numpy.random.Generator
    cell : {"gru", "lstm", "tanh", "sigmoid"}
        ``"tanh"`` is the model of the 2012 tutorial, ``"sigmoid"`` the paper's.
    n_layers : int
    connections : {"plain", "residual", "skip"}
        See :class:`rnnrbm.networks.Stack`.
    frames_per_bar : int
        Frames in a bar. The network then also reads the position of each frame in its bar; see
        :class:`rnnrbm.networks.MetricalPosition`. 0: it does not.
    n_pitch_conv : int
        Hidden units, for every note, of a layer beside the recurrent network. It reads the notes around its own in the
        latest frames and has the same weights for all notes; see :class:`rnnrbm.pitch.PitchConv`. 0: no such layer.
    autoregressive : int
        Latest frames that set the biases directly, beside the network; see :mod:`rnnrbm.autoregressive`. 0: none.
    dtype : str or None
        None stands for PyTensor's ``floatX``.
    """
    rng = generator(seed)
    counts = {"frames_per_bar": frames_per_bar, "n_pitch_conv": n_pitch_conv, "autoregressive": autoregressive}
    for name, count in counts.items():
        whole_number(name, count, 0)
    if n_pitch_conv and autoregressive:
        raise ValueError(
            f"n_pitch_conv={n_pitch_conv} and autoregressive={autoregressive}: both set biases beside the network; "
            "choose one of the two"
        )
    network: Network = init_stack(
        cell, n_visible + frames_per_bar, n_recurrent, n_layers, seed=rng, connections=connections, dtype=dtype
    )
    network = MetricalPosition(network, frames_per_bar) if frames_per_bar else network
    network = Autoregressive(network, n_visible, autoregressive) if autoregressive else network
    return init_pitch_conv(network, n_visible, n_pitch_conv, seed=rng, dtype=dtype) if n_pitch_conv else network


def rnn_rbm(
    n_visible: int,
    n_hidden: int = 256,
    n_recurrent: int = 256,
    *,
    seed: Seed,
    visible: Unit = Bernoulli(),  # noqa: B008  a frozen value, not mutable state
    hidden: Unit = Bernoulli(),  # noqa: B008
    b_v: np.ndarray | float = 0.0,
    scale: float | None = None,
    dtype: str | None = None,
    **network: Unpack[NetworkOptions],
) -> SequenceModel:
    """Make an RNN-RBM with small random weights, in shared variables named after the paper.

    Parameters
    ----------
    n_visible, n_hidden, n_recurrent : int
        Sizes, at least 1.
    seed, visible, hidden, b_v, scale, dtype
        See :meth:`rnnrbm.rbm.RBM.init`.
    **network
        Options of :func:`init_network`: ``cell``, ``n_layers`` ...
    """
    rng = generator(seed)
    rbm = RBM.init(n_visible, n_hidden, seed=rng, visible=visible, hidden=hidden, b_v=b_v, scale=scale, dtype=dtype)
    reader = init_network(n_visible, n_recurrent, seed=rng, dtype=dtype, **network)
    return SequenceModel.init(reader, rbm, seed=rng, dtype=dtype)


class HiddenUnits(NamedTuple):
    """The network of the RTRBM: its state is the mean of the binary hidden units of the frame's RBM.

        h(t) = sigmoid(s(v(t)) W + b_h(t)),    b_h(t) = b_h + output(t-1) W_uh,    output(t) = h(t), v(t-p+1) .. v(t)

    where s is the statistic of the visible units, v itself for binary ones, and p the number of latest frames that set
    the biases directly (see :mod:`rnnrbm.autoregressive`). Before the first frame of a piece, h is a parameter, and the
    frames are all zeros.

    Attributes
    ----------
    visible : Unit
    W, b_h : TensorVariable
        Those of the RBM.
    W_uh : TensorVariable, shape (n_hidden + n_frames * n_visible, n_hidden)
        The bias weights of the hidden units.
    h_0 : TensorVariable, shape (n_hidden,)
    n_frames : int
        The p above; 0: the RTRBM as published.
    """

    visible: Unit
    W: TensorVariable
    W_uh: TensorVariable
    b_h: TensorVariable
    h_0: TensorVariable
    n_frames: int = 0

    @property
    def _width(self) -> int:
        return self.n_frames * self.W.type.shape[0]

    @property
    def u_0(self) -> TensorVariable:
        return pt.concatenate([pt.zeros((self._width,), self.h_0.dtype), self.h_0]) if self.n_frames else self.h_0

    @property
    def n_outputs(self) -> int:
        return self.W_uh.type.shape[0]

    @property
    def traits(self) -> Traits:
        return Traits(n_direct=self._width)

    def tensors(self) -> list[TensorVariable]:
        return [self.W, self.W_uh, self.b_h, self.h_0, *unit_tensors(self.visible)]

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> HiddenUnits:
        W, W_uh, b_h, h_0, *of_units = tensors
        (visible,) = with_unit_tensors((self.visible,), of_units)
        return HiddenUnits(visible, W, W_uh, b_h, h_0, self.n_frames)

    def run(
        self, v: TensorVariable, start: TensorVariable | None = None, u_0: TensorVariable | None = None
    ) -> TensorVariable:
        n_hidden, width = self.W.type.shape[1], self._width
        read, W_in, frames = self.visible.statistic(v), self.W, None
        before, h_0 = (None, None) if u_0 is None else (u_0[:, :width], u_0[:, width:])
        if self.n_frames:
            frames = recent_frames(v, self.n_frames, start, before)
            past = shift(frames, pt.zeros_like(frames[0]) if before is None else before, start)
            read = pt.concatenate([read, oldest_first(past, self.n_frames)], axis=-1)
            W_in = pt.concatenate([self.W, self.W_uh[n_hidden:]], axis=0)
        h = unroll(Tanh(W_in, self.W_uh[:n_hidden], self.b_h, self.h_0, "sigmoid"), read, start, h_0)
        return h if frames is None else pt.concatenate([frames, h], axis=-1)

    def step(self, v: TensorVariable, u: TensorVariable) -> TensorVariable:
        h = pt.sigmoid(self.visible.statistic(v) @ self.W + self.b_h + self.output(u) @ self.W_uh)
        if not self.n_frames:
            return h
        return pt.concatenate([push_frame(v, u[..., : self._width], self.W.type.shape[0]), h], axis=-1)

    def output(self, u: TensorVariable) -> TensorVariable:
        if not self.n_frames:
            return u
        return pt.concatenate([u[..., self._width :], oldest_first(u[..., : self._width], self.n_frames)], axis=-1)


def rtrbm(
    n_visible: int,
    n_hidden: int = 256,
    *,
    seed: Seed,
    visible: Unit = Bernoulli(),  # noqa: B008
    b_v: np.ndarray | float = 0.0,
    scale: float | None = None,
    autoregressive: int = 0,
    dtype: str | None = None,
) -> SequenceModel:
    """Make an RTRBM: the recurrent network is the RBM's own hidden units, which are binary.

    The parameters are those of :func:`rnn_rbm` and :func:`init_network`.

    Raises
    ------
    ValueError
        If the standard deviations of the visible units depend on the past: the hidden units, which are the past, would
        depend on them in turn.
    """
    if getattr(visible, "conditional", False):
        raise ValueError(
            "rtrbm has visible units whose standard deviations are fixed or learned; choose gaussian:learned"
        )
    rng = generator(seed)
    rbm = RBM.init(n_visible, n_hidden, seed=rng, visible=visible, b_v=b_v, scale=scale, dtype=dtype)
    n_direct = whole_number("autoregressive", autoregressive, 0) * n_visible
    bias_weights = init_bias_weights(n_hidden + n_direct, rbm, seed=rng, n_direct=n_direct, dtype=dtype)
    W_uh = bias_weights[rbm.biases.index("b_h")]
    h_0 = engine.shared(np.zeros(n_hidden), "u_0", dtype)
    network = HiddenUnits(visible, rbm.W, W_uh, rbm.b_h, h_0, autoregressive)
    return SequenceModel(network, rbm, bias_weights)
