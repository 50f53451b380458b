"""Harmonize a melody
==================

Harmonize: the soprano of held-out chorales is given, and the three lower voices are sampled.

Run it by::

    python examples/04_harmonize.py [RUN]

RUN is a folder written by 'rnnrbm train', with a model that has an RBM (or an RNN-NADE of random orders), trained on
chorales. Without RUN, the default model is trained on the embedded chorales first, which takes three minutes.

``generate(..., clamp=)`` fixes given values and samples the units that are NaN. Here the highest note of every frame
and the silence above it are fixed, and all notes below are free. A frame is sampled given the frames before it; the
model does not see the later melody. The output is in ``runs/harmonized``: each chorale and its harmonization, as MIDI,
WAV and PNG.
"""

import argparse
from pathlib import Path

import numpy as np

import rnnrbm
from rnnrbm.experiment import run
from rnnrbm.experiment.config import Config
from rnnrbm.scoring.likelihood import usable_states


def soprano(roll: np.ndarray) -> np.ndarray:
    """Fix the highest note of each frame and the silence above it, NaN below; a silent frame stays silent."""
    columns = np.arange(roll.shape[1])
    highest = np.where(roll.any(axis=1), roll.shape[1] - 1 - roll[:, ::-1].argmax(axis=1), -1)[:, None]
    return np.where(columns >= highest, roll, np.nan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN")
    parser.add_argument("--pieces", type=int, default=3)
    parser.add_argument("--n-frames", type=int, default=64, help="frames of each piece")
    parser.add_argument("--smoke", action="store_true", help="test run: a tiny model and one piece")
    parser.add_argument("--out", type=Path, default=Path("runs/harmonized"))
    options = parser.parse_args()

    folder = options.run or Path("runs/harmonizer-smoke" if options.smoke else "runs/harmonizer")
    if options.run is None and not (folder / "results.json").exists():
        tiny = {"training.epochs": 1, "model.n_hidden": 8, "model.n_recurrent": 8, "evaluation.test": False}
        begun = (folder / "config.toml").exists()
        run.train(None if begun else Config().replaced(tiny if options.smoke else {}), folder, resume=begun)
    trained = run.load(folder)
    data = run.load_data(trained.config.data)
    states = usable_states(trained.model, data.train)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, piece in list(zip(data.names["test"], data.test, strict=True))[: 1 if options.smoke else options.pieces]:
        piece = piece[: options.n_frames]
        (ours,) = rnnrbm.generate(trained.model, len(piece), k=100, init_states=states, clamp=soprano(piece))
        ours = ours.astype(np.uint8)
        kept = ~np.isnan(soprano(piece))
        assert (ours[kept] == piece[kept]).all()
        stem = "".join(c if c.isalnum() else "-" for c in name)
        run.write_samples(trained, [piece, ours], options.out, name=stem)
        his = (ours & piece)[~kept].sum() / max(1, ours[~kept].sum())
        notes, bach = (roll.sum(axis=1).mean() for roll in (ours, piece))
        print(f"{name}: {notes:.2f} notes a frame (Bach {bach:.2f}), below the soprano {his:.0%} of them are Bach's")
    print(f"written to {options.out}: NAME-1 is the chorale, NAME-2 its harmonization")


if __name__ == "__main__":
    main()
