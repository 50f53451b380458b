"""Certify the likelihoods: annealing against exact values, on the RBMs of a trained model.

A model is trained on the embedded chorales (or loaded from a run) and cut to 20 of its hidden units, so that every
conditional RBM can be enumerated. Frames of held-out pieces are scored exactly, by AIS and by RAISE at the default
settings, with and without exact sums over the frames of the training set. The program prints these values and exits
with status 1 if one requirement fails:

* |AIS - exact| and |RAISE - exact| are below 0.02 nats per frame, on average over frames. With exact states the
  requirement is on the mean over frames: an RBM cut like this has no narrow modes, and the larger error of a frame
  comes from the number of chains that end in the list.
* RAISE <= exact <= AIS within 3 standard errors, as means over the frames. RAISE with exact states is left out: it
  scores a mixture with the frames of the training set, which fits held-out pieces better than a model cut like this.
* 95 % of the intervals of 1.96 standard errors around AIS contain the exact value, within the chance variation of that
  fraction (3 standard deviations of a binomial fraction).

    python benchmarks/certify.py [RUN] [--frames 200] [--epochs 30] [--n-chains 100] [--n-temperatures 1000]
"""

from __future__ import annotations

import argparse
from typing import Any

import common
import numpy as np

import rnnrbm
from rnnrbm import SequenceModel, datasets, fit
from rnnrbm.backend import engine
from rnnrbm.experiment import run
from rnnrbm.scoring.likelihood import Evaluator, frequent_states

N_KEPT = 20


def trained(data: datasets.Dataset, epochs: int) -> SequenceModel:
    """A model trained on the chorales."""
    model = rnnrbm.rnn_rbm(data.n_visible, n_hidden=150, n_recurrent=150, seed=0)
    for row in fit(model, data.train, epochs=epochs, k=[(0.0, 2), (0.5, 5)], transpose_range=(-5, 6)):
        last = row
    print(f"trained for {epochs} epochs: pseudo-log-likelihood {last['pseudo_likelihood']:.2f}")
    return model


def cut(model: SequenceModel, seed: int) -> SequenceModel:
    """The model with only 20 hidden units, sampled in proportion to the size of their weights."""
    values = {p.name: engine.to_numpy(p) for p in model.params}
    size = np.abs(values["W"]).sum(axis=0)
    kept = np.random.default_rng(seed).choice(len(size), N_KEPT, replace=False, p=size / size.sum())
    W, b_h, W_uh = (engine.shared(values[name][..., kept], name) for name in ("W", "b_h", "W_uh"))
    density: Any = model.density
    return model._replace(density=density._replace(W=W, b_h=b_h), bias_weights=(model.bias_weights[0], W_uh))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", help="folder of a trained run; without it, a model is trained")
    parser.add_argument("--frames", type=int, default=200, help="number of frames, each with its RBM; at least 50")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--n-chains", type=int, default=100)
    parser.add_argument("--n-temperatures", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    common.header()
    if options.run:
        read = run.load(options.run)
        model, data = read.model, run.load_data(read.config.data)
    else:
        data = datasets.load("bach")
        model = trained(data, options.epochs)
    small = cut(model, options.seed)
    known = frequent_states(data.train) if data.kind.is_discrete else None  # real numbers do not repeat
    frames = {}
    settings = {"n_chains": options.n_chains, "n_temperatures": options.n_temperatures}
    with_list = [] if known is None else [("ais", known), ("raise", known)]
    for way in (("exact", None), ("ais", None), ("raise", None), *with_list):
        evaluate = Evaluator(small, method=way[0], exact_states=way[1], **settings)
        scored = evaluate(data.test, seed=options.seed, frames=options.frames)
        values, variances = (np.concatenate(x) for x in (scored.frames, scored.variances))
        frames[scored.settings] = values, np.sqrt(variances), scored
    exact = frames.pop("exact")[0]
    rows = [
        ("method", "nats per frame", "minus exact", "mean size of it", "largest", "its s.e.", "covered", "poor weights")
    ]
    rows.append(("exact", f"{exact.mean():.4f}", *[""] * 6))
    failed = []
    for way, (values, error, scored) in frames.items():
        off = values - exact
        covered = (np.abs(off) <= 1.96 * error + 1e-4).mean()  # float32 sums of 88 terms are exact to 1e-4
        se = scored.standard_error
        figures = (off.mean(), np.abs(off).mean(), np.abs(off).max())
        cells = (f"{x:.4f}" for x in figures)
        rows.append(
            (
                way,
                f"{values.mean():.4f}",
                *cells,
                f"{error.mean():.4f}",
                f"{covered:.1%}",
                f"{scored.low_ess:.1%}",
            )
        )
        size = abs(figures[0]) if "enumerated" in way else figures[1]
        if size >= 0.02:
            failed.append(f"{way}: off by {size:.4f} nats per frame")
        side = off.mean() if way.startswith("RAISE") else -off.mean()
        if side > 3 * se + 1e-4 and not (way.startswith("RAISE") and "enumerated" in way):
            failed.append(f"{way}: on the wrong side of exact by {side:.4f}, {side / se:.1f} standard errors")
        chance = 3 * np.sqrt(0.05 * 0.95 / len(exact))
        if way.startswith("AIS") and covered < 0.95 - chance:
            failed.append(f"{way}: covers {covered:.1%} of {len(exact)} frames")
    common.table(rows)
    print("\n".join(failed) or "certified")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
