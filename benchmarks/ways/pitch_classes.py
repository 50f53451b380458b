"""An RBM trained by its exact gradient: chorales as pitch classes, 12 units, so Z is a sum over 4 096 frames.

    python -m benchmarks.ways.pitch_classes [exact] [cd] [nade]

Trains an RNN-RBM of 48 hidden units by the exact gradient, by contrastive divergence of 1, 10 and 100 steps, and an
RNN-NADE of the same size, 20 epochs each, without transposition. All log-likelihoods are exact. The exact gradient
takes about eight minutes, the others less than one.
"""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt

import rnnrbm

OPTIONS = {"epochs": 20, "learning_rate": 8e-3, "transpose_range": (0, 0), "seed": 0}
SIZES = {"n_hidden": 48, "n_recurrent": 128, "seed": 0}
STATES = ((np.arange(4096)[:, None] >> np.arange(12)) & 1).astype(np.float32)


class Exact(NamedTuple):
    """F(v) + log Z, whose gradient is that of minus the log-likelihood."""

    k: int = 1

    def difference(self, density: Any, v: Any, rng: Any, counts: Any = None) -> Any:
        inputs = density.b_h[:, None, :] + pt.as_tensor(STATES) @ density.W
        terms = density.b_v @ STATES.T + pt.softplus(inputs).sum(axis=-1)
        return density.free_energy(v) + pt.logsumexp(terms, axis=1).astype(v.dtype), rng.updates()


def pitch_classes(pieces: list[np.ndarray]) -> list[np.ndarray]:
    """Which of the 12 pitch classes sound in each frame, counted from the lowest note of the roll."""
    folded = []
    for piece in pieces:
        padded = np.pad(np.asarray(piece), ((0, 0), (0, -piece.shape[1] % 12)))
        folded.append(padded.reshape(len(piece), -1, 12).max(axis=1).astype(np.uint8))
    return folded


def main(chosen: list[str]) -> None:
    data = rnnrbm.load("bach")
    train, valid = pitch_classes(data.train), pitch_classes(data.valid)
    ways: dict[str, Any] = {f"contrastive divergence, k = {k}": ("cd", "rnn-rbm", {"k": k}) for k in (1, 10, 100)}
    ways |= {"RNN-NADE": ("nade", "rnn-nade", {})}
    ways |= {"exact gradient": ("exact", "rnn-rbm", {"negative_phase": Exact})}
    print("| trained by | valid LL | training LL | seconds |\n| --- | ---: | ---: | ---: |")
    for name, (kind, model_name, options) in ways.items():
        if kind not in chosen:
            continue
        model = rnnrbm.build(model_name, 12, **SIZES)
        began = time.process_time()
        list(rnnrbm.fit(model, train, None, **(OPTIONS | options)))
        took = time.process_time() - began
        scores = [rnnrbm.log_likelihood(model, x, method="exact").mean for x in (valid, train[:60])]
        print(f"| {name} | {scores[0]:.3f} | {scores[1]:.3f} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["exact", "cd", "nade"])
