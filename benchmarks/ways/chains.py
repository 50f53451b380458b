"""What holds the RBM of an RNN-RBM back: chains that are too short, and the number of notes.

    python -m benchmarks.ways.chains [--epochs 200] [--folder runs/chains]

Trains the default RNN-RBM on the embedded chorales, then eight more epochs without dropout by chains of 10, 100 and
300 steps, and by eight chains of 10 steps for each frame; and an RNN-NADE for 80 epochs at 8e-3. For each it prints the
log-likelihoods of 1 000 frames of the valid set and of 500 of the training set (AIS, 20 chains x 500 temperatures,
known frames summed exactly), and how many notes frames have that are sampled given the true past of the valid set, by
chains of 2 000 steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt

import rnnrbm
from rnnrbm.backend import engine, random
from rnnrbm.densities import map_biases
from rnnrbm.samplers import cd, draw_frame
from rnnrbm.scoring.likelihood import Evaluator, usable_states

#: Gibbs steps of the samples that are looked at.
LONG = 2000
#: Of the epochs after the default training.
AFTER = {"transpose_prob": 0.2, "state_dropout": 0.0, "input_dropout": 0.0, "epochs": 8, "learning_rate": 1e-3}


class SeveralChains(NamedTuple):
    """Contrastive divergence with the mean over `n` chains for each frame."""

    k: int
    n: int = 1

    def difference(self, density: Any, v: Any, rng: Any, counts: Any = None) -> Any:
        many = map_biases(density, lambda b: pt.tile(b, (self.n, 1)))
        negative, updates = cd(many, pt.tile(v, (self.n, 1)), rng, self.k)
        return density.free_energy(v) - many.free_energy(negative).reshape((self.n, -1)).mean(axis=0), updates


def side_by_side(pieces: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return pieces as one array (T, B, n_visible), and which of its rows, flattened by the model, are frames."""
    shape = (max(map(len, pieces)), len(pieces), pieces[0].shape[1])
    padded, is_frame = np.zeros(shape, np.float32), np.zeros(shape[:2], bool)
    for i, piece in enumerate(pieces):
        padded[: len(piece), i], is_frame[: len(piece), i] = piece, True
    return padded, is_frame.T.ravel()


def one_step_samples(model: Any, pieces: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Sample each frame given its true past; return samples and frames, (frames, n_visible) of 0 and 1."""
    padded, chosen = side_by_side(pieces)
    v = pt.tensor("v", dtype="float32", shape=padded.shape)
    density, rows = model.frames(v)
    sampled, _ = draw_frame(density, rows, rng=random.shared(0), k=LONG)
    drawn, frames = engine.function([v], [sampled, rows])(padded)
    return np.asarray(drawn)[chosen].astype(np.uint8), np.asarray(frames)[chosen].astype(np.uint8)


def row(name: str, model: Any, data: Any) -> str:
    how = {} if model.normalized else {"n_chains": 20, "n_temperatures": 500}
    states = None if model.normalized else usable_states(model, data.train, 5000)
    evaluate = Evaluator(model, exact_states=states, **how)
    valid, known = evaluate(data.valid, frames=1000).mean, evaluate(data.train, frames=500).mean
    sampled, _ = one_step_samples(model, data.valid)
    return line(name, sampled, data, f"{valid:.3f}", f"{known:.3f}")


def line(name: str, frames: np.ndarray, data: Any, *scores: str) -> str:
    share = np.bincount(frames.sum(axis=1), minlength=6) / len(frames)
    listed = {frame.tobytes() for piece in data.train for frame in np.asarray(piece, np.uint8)}
    known = np.mean([frame.tobytes() in listed for frame in frames])
    cells = [*(scores or ("", "")), *(f"{x:.1%}" for x in (share[0], share[3], share[4], share[5:].sum(), known))]
    return f"| {name} | {' | '.join(cells)} |"


def main(epochs: int, folder: Path) -> None:
    data = rnnrbm.load("bach")
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"rnn-rbm-{epochs}.npz"
    if not kept.exists():
        model = rnnrbm.build("rnn-rbm", data.n_visible, seed=0)
        list(rnnrbm.fit(model, data.train, None, epochs=epochs, transpose_range=(-5, 6)))
        model.save(kept)
    print("| model | valid LL | training LL | silent | 3 notes | 4 notes | more | frames of the training set |")
    print("| --- |" + " ---: |" * 7)
    print(row("the defaults", rnnrbm.load_model(kept), data), flush=True)
    phases = {f"and 8 epochs, k = {k}": SeveralChains(k) for k in (10, 100, 300)}
    phases["and 8 epochs, k = 10, 8 chains a frame"] = SeveralChains(10, 8)
    for name, phase in phases.items():
        model = rnnrbm.load_model(kept)
        options = AFTER | {"k": phase.k, "transpose_range": (-5, 6)}
        list(rnnrbm.fit(model, data.train, None, negative_phase=lambda _, phase=phase: phase, **options))
        print(row(name, model, data), flush=True)
    nade = rnnrbm.build("rnn-nade", data.n_visible, seed=0)
    list(rnnrbm.fit(nade, data.train, None, epochs=80, learning_rate=8e-3, transpose_range=(-5, 6)))
    print(row("RNN-NADE, 80 epochs", nade, data))
    print(line("the valid set", np.concatenate(data.valid).astype(np.uint8), data))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("runs/chains"))
    args = parser.parse_args()
    main(args.epochs, args.folder)
