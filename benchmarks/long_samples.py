"""Density of long samples beside the training set: does a model that runs for long keep to its style?

    python benchmarks/long_samples.py RUN [FRAMES]

Draws 16 samples of FRAMES frames (2 000 by default) from a run, and prints the number of notes per frame along them,
next to that of windows of the training set. The exit code is 1 if more than one sample ends denser than every such
window.
"""

import sys

import numpy as np

import rnnrbm
from rnnrbm.experiment import run
from rnnrbm.scoring.likelihood import usable_states

WINDOW = 256  # frames


def main(folder: str, n_frames: int) -> int:
    trained = run.load(folder)
    generation = trained.config.generation
    train = run.load_data(trained.config.data).train
    begins = [(piece, i) for piece in train for i in range(0, max(1, len(piece) - WINDOW + 1), WINDOW)]
    windows = np.array([piece[i : i + WINDOW].sum(axis=1).mean() for piece, i in begins])
    print(
        f"windows of {WINDOW} frames of the training set: mean {windows.mean():.2f} notes per frame, "
        f"99 % of them below {np.percentile(windows, 99):.2f}, greatest {windows.max():.2f}"
    )
    states = usable_states(trained.model, train, generation.n_init_states)
    sampled = rnnrbm.generate(trained.model, n_frames, n_samples=16, k=generation.k, seed=0, init_states=states)
    notes = trained.kind.from_samples(sampled).sum(axis=2)
    for first in range(0, n_frames, WINDOW):
        print(f"frames {first:5}..: {notes[:, first : first + WINDOW].mean():.2f} notes per frame")
    denser = int((notes[:, -WINDOW:].mean(axis=1) > windows.max()).sum())
    print(f"samples that end denser than every window of the training set: {denser} of {len(notes)}")
    return int(denser > 1)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 2000))
