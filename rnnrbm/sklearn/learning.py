"""Learning of a binary RBM from rows of a table: many updates in one compiled program.

A program takes a block of batches and makes all of their updates in one call, so that a small update does not wait for
Python. Its sizes are symbolic, but for tempering: PyTensor builds one program for each learning rule, and JAX compiles
it for each set of sizes. Estimators of equal sizes share it, such as those of a grid search.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine
from rnnrbm.backend.random import Rng
from rnnrbm.rbm import RBM, cd, gibbs, mean_of_rows
from rnnrbm.samplers import tempered
from rnnrbm.sequence import OFFSET_RATE
from rnnrbm.training.centring import Centring

__all__ = ["METHODS", "Block", "Learned", "Rule", "blocks", "learn"]

#: contrastive divergence, persistent contrastive divergence, parallel tempering
METHODS = ("cd", "pcd", "tempered")

#: Updates of a call, and cells of their batches. A block of more cells has fewer updates.
BLOCK_SIZES, MOST_CELLS = (64, 8, 1), 2**22


class Rule(NamedTuple):
    """How to learn.

    Attributes
    ----------
    method : {"cd", "pcd", "tempered"}
    k : int
        Gibbs steps of an update, or rounds of tempering.
    n_betas : int
        Inverse temperatures of tempering, evenly spaced from 1 to 0.
    centered : bool
        See :mod:`rnnrbm.training.centring`.
    """

    method: str = "pcd"
    k: int = 1
    n_betas: int = 10
    centered: bool = False


class Learned(NamedTuple):
    """All that changes from update to update, float32 but for the last.

    Attributes
    ----------
    W : array, shape (n_visible, n_hidden)
    b_v : array, shape (n_visible,)
    b_h : array, shape (n_hidden,)
    chains : array, shape (n_chains, n_hidden) or, of tempering, (n_betas, n_chains, n_hidden)
        Hidden units of the persistent chains.
    hidden_offset : array, shape (n_hidden,)
        Offsets of the hidden units, which follow their mean.
    draw : uint32
        Position in the random stream.
    """

    W: Any
    b_v: Any
    b_h: Any
    chains: Any
    hidden_offset: Any
    draw: Any


class Block(NamedTuple):
    """Batches of some updates.

    Attributes
    ----------
    v : numpy.ndarray, shape (n_updates, n_rows, n_visible), float32
    counts : numpy.ndarray, shape (n_updates, n_rows), float32
        1 for data, 0 for padding. An update without data changes nothing.
    """

    v: np.ndarray
    counts: np.ndarray


def blocks(batches: Iterable[Any], n_rows: int, n_visible: int, *, single: bool = False) -> Iterator[Block]:
    """Collect batches into blocks of one shape; the last block is padded.

    Parameters
    ----------
    batches : iterable of arrays or sparse matrices (R, n_visible)
        R is at most `n_rows`.
    n_rows, n_visible : int
    single : bool
        One update in each block.
    """
    sizes = BLOCK_SIZES[-1:] if single else BLOCK_SIZES
    size = next((n for n in sizes if n * n_rows * n_visible <= MOST_CELLS), 1)
    waiting, i = _empty_block(size, n_rows, n_visible), 0
    for batch in batches:
        dense = batch.toarray() if hasattr(batch, "toarray") else batch
        waiting.v[i, : len(dense)] = dense
        waiting.counts[i, : len(dense)] = 1.0
        i += 1
        if i == size:
            yield waiting
            waiting, i = _empty_block(size, n_rows, n_visible), 0  # a new one: the engine may still read the last
    if i:
        yield waiting


def _empty_block(size: int, n_rows: int, n_visible: int) -> Block:
    return Block(np.zeros((size, n_rows, n_visible), np.float32), np.zeros((size, n_rows), np.float32))


def learn(
    learned: Learned, updates: Iterable[Block], rule: Rule, *, rate: float, mean: np.ndarray, key: np.ndarray
) -> Learned:
    """Make updates, and return what was learned as NumPy arrays.

    Parameters
    ----------
    learned : Learned
        From which learning goes on.
    updates : iterable of Block
    rule : Rule
    rate : float
        Learning rate.
    mean : numpy.ndarray, shape (n_visible,)
        Mean of the data, for a centred rule.
    key : numpy.ndarray, shape (2,), uint32
        Key of the random stream.
    """
    floats = [np.asarray(x, np.float32) for x in learned[:-1]]
    learned = Learned._make([*floats, np.asarray(learned.draw, np.uint32)])
    others = (mean.astype(np.float32), key, np.asarray(rate, np.float32))
    for block in updates:
        before = learned
        sizes = (*block.v.shape[1:], *learned.chains.shape[-2:]) if rule.method == "tempered" else (None,) * 4
        update = _program(rule, len(block.v), sizes, engine.resolve_mode())
        learned = Learned._make(update(*block, *learned, *others))
        engine.block(before)  # one block is computed while the next one is collected, and no more wait in memory
    return Learned._make(map(engine.to_numpy, learned))


@functools.lru_cache(maxsize=64)
def _program(rule: Rule, n_updates: int, sizes: tuple[int | None, ...], mode: Any) -> Any:
    """Compile `n_updates` updates; the types of its arguments are those of :class:`Block` and :class:`Learned`.

    `sizes` are rows, visible units, chains and hidden units, None for any. The swaps of tempering need them: PyTensor
    could not tell otherwise that chains and their energies are equally many.
    """
    f32 = functools.partial(pt.tensor, dtype="float32")
    n_rows, n_visible, n_chains, n_hidden = sizes
    block = [f32("v", shape=(n_updates, n_rows, n_visible)), f32("counts", shape=(n_updates, n_rows))]
    temperatures = (rule.n_betas,) if rule.method == "tempered" else ()
    chains = f32("chains", shape=(*temperatures, n_chains, n_hidden))
    b_v, mean = (f32(name, shape=(n_visible,)) for name in ("b_v", "mean"))
    b_h, offset = (f32(name, shape=(n_hidden,)) for name in ("b_h", "hidden_offset"))
    W, draw = f32("W", shape=(n_visible, n_hidden)), pt.scalar("draw", dtype="uint32")
    key, rate = pt.tensor("key", dtype="uint32", shape=(2,)), pt.scalar("rate", dtype="float32")
    learned = Learned(W, b_v, b_h, chains, offset, draw)

    def step(v: TensorVariable, counts: TensorVariable, *rest: TensorVariable) -> list[TensorVariable]:
        n = len(Learned._fields)
        return list(_update(v, counts, Learned._make(rest[:n]), *rest[n:], rule=rule))

    traces = pytensor.scan(
        step,
        sequences=block,
        outputs_info=list(learned),
        non_sequences=[mean, key, rate],
        return_updates=False,
    )
    return engine.function(
        [*block, *learned, mean, key, rate],
        [trace[-1] for trace in traces],
        mode=mode,
        trust_input=True,
        on_unused_input="ignore",  # a rule that is not centred needs no offsets
    )


def _update(
    v: TensorVariable,
    counts: TensorVariable,
    learned: Learned,
    mean: TensorVariable,
    key: TensorVariable,
    rate: TensorVariable,
    *,
    rule: Rule,
) -> Learned:
    """Build one update: a step against the gradient of the mean free energy of data minus that of negative samples."""
    rbm = RBM(learned.W, learned.b_v, learned.b_h)
    params = rbm.tensors()
    negative, chains, draw = _negative_phase(rbm, v, learned, key, rule)
    n = counts.sum(acc_dtype=v.dtype)
    # CD has a negative sample for each row; persistent chains all count
    of_negative = mean_of_rows(rbm.free_energy(negative)[:, None], counts if rule.method == "cd" else None)[0]
    cost = mean_of_rows(rbm.free_energy(v)[:, None], counts)[0] - of_negative
    grads: Any = pt.grad(cost, params, consider_constant=[negative])
    offset = learned.hidden_offset
    centred = Centring(rbm, mean, offset) if rule.centered else None
    if centred is not None:
        grads = centred.gradients(grads, params)
        seen = mean_of_rows(rbm.hidden_means(v), counts)
        offset = offset + np.asarray(OFFSET_RATE, v.dtype) * (seen - offset)
    updated = {p: p - rate * g for p, g in zip(params, grads, strict=True)}
    if centred is not None:
        updated = centred.plain(updated)
    new = [*(updated[p] for p in params), chains, offset, draw]
    any_data = pt.gt(n, np.asarray(0.0, v.dtype))
    return Learned._make(pt.switch(any_data, x, old) for x, old in zip(new, learned, strict=True))


def _negative_phase(
    rbm: RBM, v: TensorVariable, learned: Learned, key: TensorVariable, rule: Rule
) -> tuple[TensorVariable, TensorVariable, TensorVariable]:
    """Build the negative sample of visible units, the next states of the chains, and the position in the stream.

    The states of persistent chains are hidden units, as in scikit-learn: a negative sample is a sample of the visible
    units given them.
    """
    chains, rng = learned.chains, Rng(key, learned.draw, learned.draw)
    if rule.method == "cd":
        negative, updates = cd(rbm, v, rng, rule.k)
        return negative, chains, updates[rng.draw]
    if rule.method == "tempered":  # of the RBM with its layers exchanged
        exchanged = RBM(rbm.W.T, rbm.b_h, rbm.b_v)
        h, updates = tempered(exchanged, chains, rng, rule.k, betas=np.linspace(1.0, 0.0, rule.n_betas))
        negative, rng = rbm.visible.sample(rbm.visible_activation(h), rng._replace(draw=updates[learned.draw]))
        return negative, updates[chains], rng.draw
    negative, rng = rbm.visible.sample(rbm.visible_activation(chains), rng)
    if rule.k > 1:
        negative, rng = gibbs(rbm, negative, rng, rule.k - 1)
    h, rng = rbm.hidden.sample(rbm.hidden_activation(negative), rng)
    return negative, h, rng.draw
