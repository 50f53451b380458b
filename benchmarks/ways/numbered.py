"""The number of notes first: a softmax for it, and an RBM of the frames with that number.

    P(v) = P(n) exp(-F(v)) / Z_n,    n the number of units that are on,    Z_n = sum over frames with n of exp(-F)

The network writes the log odds of n beside the biases of the RBM. Given the hidden units, the visible units with n on
are drawn exactly by a recursion over them, so a Gibbs chain stays among the frames with the number of its datum, and
never has to pass through frames that no piece has. (Compare Swersky et al., "Cardinality restricted Boltzmann
machines", NIPS 2012, where the hidden units have a potential of their number.)

    python -m benchmarks.ways.numbered [--epochs 200] [--seed 0]

Trains one on the embedded chorales, and prints log-likelihoods of 1 000 frames of the valid set and of 500 of the
training set: P(n) is exact, Z_n is estimated by AIS from independent units with n on.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt

import rnnrbm
from benchmarks.ways.chains import side_by_side
from rnnrbm.backend import engine, random
from rnnrbm.backend.random import Rng, Seed, generator
from rnnrbm.rbm import RBM, cd
from rnnrbm.rnnrbm import init_network
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import Bernoulli

__all__ = ["NumberFirst", "NumberedRBM", "annealed", "draw_with_number", "numbered_rnn_rbm", "one_hot_number"]


def one_hot_number(v: Any, n_numbers: int) -> Any:
    """Which number of units is on: (R, n) -> (R, n_numbers) of 0 and 1; all 0 if it is too high."""
    number = v.sum(axis=-1, keepdims=True, acc_dtype=v.dtype)
    return pt.eq(number, np.arange(n_numbers, dtype="float32")).astype(v.dtype)


def _one_more(x: Any) -> Any:
    """Shift columns to the left: what a unit that is on leads to. Beyond the last number there is nothing."""
    return pt.concatenate([x[:, 1:], pt.zeros_like(x[:, :1])], axis=1)


def draw_with_number(a: Any, wanted: Any, rng: Rng) -> tuple[Any, Rng, Any]:
    """Draw independent binary units given how many of them are on.

    Parameters
    ----------
    a : tensor, shape (R, n)
        Log odds of the units.
    wanted : tensor, shape (R, n_numbers)
        1 at the number of each row, 0 elsewhere.
    rng : Rng

    Returns
    -------
    tensor, shape (R, n)
    Rng
    tensor, shape (R,)
        Probability of that number among independent units.
    """
    odds = pt.sigmoid(a).T
    # from the last unit to the first: the probability that the units from here on lead to the number, for each
    # number so far
    after = pytensor.scan(
        lambda p, m: m + p[:, None] * (_one_more(m) - m),
        sequences=[odds[::-1]],
        outputs_info=[wanted],
        return_updates=False,
    )[::-1]
    following = pt.concatenate([after[1:], wanted[None]], axis=0)
    u, rng = rng.uniform(a)
    numbers = np.arange(wanted.type.shape[-1], dtype="float32")

    def step(p: Any, here: Any, there: Any, u_i: Any, so_far: Any) -> list[Any]:
        at = pt.eq(so_far[:, None], numbers).astype(a.dtype)
        on, either = ((at * x).sum(axis=1, acc_dtype=a.dtype) for x in (_one_more(there), here))
        x = pt.lt(u_i, p * on / pt.maximum(either, np.float32(1e-37))).astype(a.dtype)
        return [so_far + x, x]

    _, v = pytensor.scan(
        step,
        sequences=[odds, after, following, u.T],
        outputs_info=[pt.zeros_like(a[:, 0]), None],
        return_updates=False,
    )
    return v.T, rng, after[0][:, 0]


class NumberedRBM(NamedTuple):
    """Fields of an RBM, and ``b_n``, the log odds of each number of visible units that are on."""

    W: Any
    b_v: Any
    b_h: Any
    b_n: Any
    biases = ("b_v", "b_h", "b_n")
    visible = hidden = Bernoulli()

    @property
    def rbm(self) -> RBM:
        return RBM(self.W, self.b_v, self.b_h)

    def tensors(self) -> list[Any]:
        return list(self)

    def with_tensors(self, tensors: list[Any]) -> NumberedRBM:
        return NumberedRBM(*tensors)

    def log_number(self, v: Any) -> Any:
        """log P(n), exact: (R, n_visible) -> (R,)."""
        chosen = (one_hot_number(v, self.b_n.type.shape[-1]) * self.b_n).sum(axis=-1, acc_dtype=v.dtype)
        return (chosen - pt.logsumexp(self.b_n, axis=-1)).astype(v.dtype)

    def free_energy(self, v: Any) -> Any:
        return self.rbm.free_energy(v)

    def gibbs_step(self, v: Any, rng: Rng, beta: Any = 1.0, base: Any = None) -> tuple[Any, Rng]:
        """One step among the frames with the number of `v`; between `base` and the RBM at an inverse temperature."""
        r = self.rbm
        h, rng = r.hidden.sample(beta * r.hidden_activation(v), rng)
        a = r.visible_activation(h)
        a = a if base is None else (1 - beta) * base + beta * a
        v, rng, _ = draw_with_number(a, one_hot_number(v, self.b_n.type.shape[-1]), rng)
        return v, rng

    def pseudo_log_likelihood(self, v: Any, rng: Rng) -> tuple[Any, Rng]:
        return self.rbm.pseudo_log_likelihood(v, rng)


class NumberFirst(NamedTuple):
    """Contrastive divergence among frames with the number of the datum, and -log P(n)."""

    k: int

    def difference(self, density: Any, v: Any, rng: Rng, counts: Any = None) -> Any:
        negative, updates = cd(density, v, rng, self.k)
        return density.free_energy(v) - density.free_energy(negative) - density.log_number(v), updates


def numbered_rnn_rbm(
    n_visible: int, n_hidden: int = 256, n_recurrent: int = 256, *, most: int, seed: Seed
) -> SequenceModel:
    """Make the model; `most` is the greatest number of units that may be on."""
    rng = generator(seed)
    rbm = RBM.init(n_visible, n_hidden, seed=rng)
    density = NumberedRBM(rbm.W, rbm.b_v, rbm.b_h, engine.shared(np.zeros(most + 1), "b_n"))
    return SequenceModel.init(init_network(n_visible, n_recurrent, seed=rng), density, seed=rng)


def annealed(
    density: NumberedRBM, v: Any, rng: Rng, *, n_chains: int = 20, n_temperatures: int = 300, n_pilot: int = 60
) -> tuple[Any, Any, Rng]:
    """Estimate log P of rows; AIS between independent units and the RBM, all with the number of the row.

    The independent units have the means of pilot chains that start at the rows.

    Parameters
    ----------
    density : NumberedRBM
        Its biases have R rows.
    v : tensor, shape (R, n_visible), static
    rng : Rng

    Returns
    -------
    tensor, shape (R,)
        nats.
    tensor, shape (R,)
        Effective sample size of the chains.
    Rng
    """
    n_rows, n_visible = v.type.shape

    def each(x: Any) -> Any:
        return pt.repeat(x, n_chains, axis=0)

    many = density._replace(**{name: each(getattr(density, name)) for name in density.biases})
    tensors = many.tensors()

    def pilot(x: Any, draw: Any, key: Any, *rest: Any) -> list[Any]:
        x, own = many.with_tensors(list(rest)).gibbs_step(x, Rng(key, draw))
        return [x, own.draw]

    chain, draw = pytensor.scan(
        pilot,
        outputs_info=[each(v), rng.draw],
        non_sequences=[rng.key, *tensors],
        n_steps=n_pilot,
        return_updates=False,
    )
    rng = rng._replace(draw=draw[-1])
    mean = chain[n_pilot // 3 :].mean(axis=0).reshape((n_rows, n_chains, n_visible)).mean(axis=1)
    mean = np.float32(0.97) * mean + np.float32(0.03) * v.sum(axis=1, keepdims=True) / np.float32(n_visible)
    mean = pt.clip(mean, np.float32(1e-4), np.float32(1 - 1e-4)).astype(v.dtype)
    base = pt.log(mean) - pt.log1p(-mean)
    numbers = density.b_n.type.shape[-1]
    start, rng, likely = draw_with_number(each(base), one_hot_number(each(v), numbers), rng)

    def log_f(d: Any, base: Any, x: Any, beta: Any) -> Any:
        hidden = pt.softplus(beta * d.rbm.hidden_activation(x)).sum(axis=-1, acc_dtype=x.dtype)
        return hidden + (x * ((1 - beta) * base + beta * d.b_v)).sum(axis=-1, acc_dtype=x.dtype)

    def step(cold: Any, warm: Any, x: Any, log_w: Any, draw: Any, key: Any, base: Any, *rest: Any) -> list[Any]:
        d = many.with_tensors(list(rest))
        log_w = log_w + log_f(d, base, x, warm) - log_f(d, base, x, cold)
        x, own = d.gibbs_step(x, Rng(key, draw), warm, base)
        return [x, log_w, own.draw]

    betas = np.linspace(0.0, 1.0, n_temperatures + 1).astype("float32")
    _, log_w, draw = pytensor.scan(
        step,
        sequences=[pt.as_tensor(betas[:-1]), pt.as_tensor(betas[1:])],
        outputs_info=[start, pt.zeros_like(start[:, 0]), rng.draw],
        non_sequences=[rng.key, each(base), *tensors],
        return_updates=False,
    )
    w = log_w[-1].reshape((n_rows, n_chains))
    n_hidden = density.W.type.shape[1]
    log_z_base = pt.softplus(base).sum(axis=1) + pt.log(likely.reshape((n_rows, n_chains))[:, 0])
    log_z = pt.logsumexp(w, axis=1) + log_z_base + np.float32(n_hidden * np.log(2.0) - np.log(n_chains))
    share = pt.exp(w - pt.logsumexp(w, axis=1, keepdims=True))
    ll = density.log_number(v) - density.free_energy(v) - log_z
    return ll, 1 / pt.sqr(share).sum(axis=1), rng._replace(draw=draw[-1])


def score(model: SequenceModel, pieces: list[np.ndarray], n_frames: int, seed: int = 0) -> tuple[float, float, float]:
    """Mean log-likelihood of random frames, that of their numbers alone, and the mean effective sample size."""
    padded, is_frame = side_by_side(pieces)
    v = pt.tensor("v", dtype="float32", shape=padded.shape)
    density, rows = model.frames(v)
    names = density.biases
    values = engine.function([v], [rows, density.log_number(rows), *(getattr(density, name) for name in names)])(padded)
    chosen = np.random.default_rng(seed).permutation(is_frame.sum())[: n_frames // 100 * 100]
    x, of_number, *biases = (np.asarray(value)[is_frame][chosen] for value in values)
    frames = pt.tensor("frames", dtype="float32", shape=(100, model.n_visible))
    given = [pt.tensor(n, dtype="float32", shape=(100, b.shape[1])) for n, b in zip(names, biases, strict=True)]
    rng = random.shared(seed)
    own = model.density._replace(**dict(zip(names, given, strict=True)))
    ll, ess, after = annealed(own, frames, rng)
    run = engine.function([frames, *given], [ll, ess], {rng.draw: after.draw})
    parts = [run(x[i : i + 100], *(b[i : i + 100] for b in biases)) for i in range(0, len(x), 100)]
    means = [float(np.concatenate([np.asarray(part[j]) for part in parts]).mean()) for j in (0, 1)]
    return means[0], float(of_number.mean()), means[1]


def main(epochs: int, seed: int) -> None:
    data = rnnrbm.load("bach")
    most = max(int(piece.sum(axis=1).max()) for piece in [*data.train, *data.valid]) + 1
    model = numbered_rnn_rbm(data.n_visible, most=most, seed=seed)
    began = time.process_time()
    options = {"epochs": epochs, "k": [(0.0, 2), (0.4, 4), (0.8, 10)], "transpose_range": (-5, 6), "seed": seed}
    list(rnnrbm.fit(model, data.train, None, negative_phase=NumberFirst, **options))
    print(f"{epochs} epochs, {time.process_time() - began:.0f} s")
    for name, pieces, n_frames in (("valid", data.valid, 1000), ("training", data.train, 500)):
        ll, number, ess = score(model, pieces, n_frames)
        print(f"{name}: {ll:.3f} nats per frame, of it the number {number:.3f}; {ess:.1f} effective chains of 20")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    main(args.epochs, args.seed)
