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
units: u(t) = sigmoid(v(t) W + b_h(t)). That is an RNN-RBM with tied weights: W_vu is W, W_uu is W_uh, b_u is b_h.
"""

from __future__ import annotations

from typing import TypedDict, Unpack

import numpy as np

from rnnrbm.arguments import whole_number
from rnnrbm.autoregressive import Autoregressive
from rnnrbm.backend import engine
from rnnrbm.backend.random import Seed, generator
from rnnrbm.bias_weights import init_bias_weights
from rnnrbm.cells import Tanh
from rnnrbm.networks import MetricalPosition, Network, Stack, init_stack
from rnnrbm.pitch import init_pitch_conv
from rnnrbm.rbm import RBM
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import Bernoulli, Unit

__all__ = ["NetworkOptions", "init_network", "rnn_rbm", "rtrbm"]


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


def rtrbm(
    n_visible: int,
    n_hidden: int = 256,
    *,
    seed: Seed,
    visible: Unit = Bernoulli(),  # noqa: B008
    b_v: np.ndarray | float = 0.0,
    scale: float | None = None,
    dtype: str | None = None,
) -> SequenceModel:
    """Make an RTRBM: the recurrent network is the RBM's own hidden units, which are binary.

    The parameters are those of :func:`rnn_rbm`.
    """
    rng = generator(seed)
    rbm = RBM.init(n_visible, n_hidden, seed=rng, visible=visible, b_v=b_v, scale=scale, dtype=dtype)
    bias_weights = init_bias_weights(n_hidden, rbm, seed=rng, dtype=dtype)
    W_uh = bias_weights[rbm.biases.index("b_h")]
    cell = Tanh(rbm.W, W_uh, rbm.b_h, engine.shared(np.zeros(n_hidden), "u_0", dtype), "sigmoid")
    return SequenceModel(Stack((cell,)), rbm, bias_weights)
