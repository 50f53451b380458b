"""The log-likelihood of a NADE over many orders of its units.

A NADE that is trained on random orders (``orderless=True``) is a distribution for each order. Their mean is a mixture,
and its log-likelihood is exact and at least the mean of those of its orders (Uria, Murray & Larochelle, "A deep and
tractable density estimator", ICML 2014, section 3.2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from scipy.special import logsumexp

from rnnrbm.arguments import whole_number
from rnnrbm.backend import engine
from rnnrbm.backend.random import Seed, generator
from rnnrbm.models.nade import NADE
from rnnrbm.models.rows import MOST_ROWS, by_blocks
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.sequence import SequenceModel
from rnnrbm.state_encoder import check_arrays

__all__ = ["log_likelihood_of_orders"]


def log_likelihood_of_orders(
    model: NADE | SequenceModel, frames: Any, *, n_orders: int = 8, seed: Seed = 0, mode: Any = None
) -> LogLikelihood:
    """Return the log-likelihood of frames under the mixture of a NADE's distributions in random orders.

    Parameters
    ----------
    model : NADE, or SequenceModel of one without a network
        Trained on random orders.
    frames : array (n, n_visible), or sequence of such arrays
    n_orders : int
        Orders of the mixture, at least 1.
    seed : int or numpy.random.Generator
        Draws the orders.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`.

    Raises
    ------
    ValueError
        If the NADE is trained on one order only, or `n_orders` is below 1, or a frame is not binary.
    TypeError
        If the model is another one.
    """
    n_orders, rng = whole_number("n_orders", n_orders, 1), generator(seed)
    nade: Any = model.density if isinstance(model, SequenceModel) and not model.network.n_outputs else model
    if not isinstance(nade, NADE):
        raise TypeError(f"expected a NADE, alone or as a model of single frames, got {type(model).__name__}")
    if nade.U is None:
        raise ValueError("this NADE is trained on one order only; make one with orderless=True, and train it")
    n: int = nade.W.type.shape[0]
    pieces = check_arrays(frames, n, nade.visible, dtype=nade.W.dtype, name="frames")
    rows = np.concatenate(pieces)
    size = min(len(rows), MOST_ROWS)
    v, order = pt.tensor("v", dtype=nade.W.dtype, shape=(size, n)), pt.tensor("order", dtype="int32", shape=(n,))
    # one program for all orders: the columns of the frames and the rows of the weights change places
    in_order = NADE(nade.W[order], nade.V[order], nade.b_v[order], nade.b_h, nade.U[order])
    compute = engine.function([v, order], in_order.log_prob(v[:, order]), mode=mode)

    def in_one(permutation: np.ndarray) -> np.ndarray:
        return by_blocks(lambda block: engine.to_numpy(compute(block, permutation)), rows, size, nade.W.dtype)

    log_p = np.array([in_one(rng.permutation(n).astype(np.int32)) for _ in range(n_orders)], float)
    mixture = logsumexp(log_p, axis=0) - np.log(n_orders)
    return LogLikelihood(
        np.split(mixture, np.cumsum([len(piece) for piece in pieces])[:-1]),
        [np.zeros(len(piece)) for piece in pieces],
        np.ones(len(rows)),
        f"exact, mixture of {n_orders} order{'' if n_orders == 1 else 's'}",
        method="exact",
    )
