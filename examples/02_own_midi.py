"""Your own MIDI files
===================

Train an RNN-RBM on a folder of your MIDI files, and let it continue one of them.

Run it by::

    python examples/02_own_midi.py FOLDER              your files, in eighth notes
    python examples/02_own_midi.py FOLDER --smoke      a test run of a quarter of a minute
"""

import argparse
from pathlib import Path

import numpy as np

import rnnrbm
from rnnrbm import plot
from rnnrbm.io import midi, wav
from rnnrbm.scoring import baselines
from rnnrbm.training.fit import State

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path, help="folder of .mid, .midi and .kar files; sub-folders are included")
parser.add_argument("--steps-per-beat", type=int, default=2)
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--out", type=Path, default=Path("runs/02_own_midi"))
parser.add_argument("--smoke", action="store_true")
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# Unreadable files are skipped with a warning. A seed determines train, valid and test, unless sub-folders with these
# names exist.
data = rnnrbm.load(args.folder, steps_per_beat=args.steps_per_beat, seed=0)
print(data)

size = 16 if args.smoke else 256
rng = np.random.default_rng(0)
model = rnnrbm.rnn_rbm(data.n_visible, n_hidden=size, n_recurrent=size, seed=rng)

# fit yields the metrics of every epoch, so you can add your own code to this loop. The state holds everything that
# training needs to resume: State.load(path) and fit(..., state=state).
state = State()
settings = {
    "epochs": 2 if args.smoke else args.epochs,
    "k": 1 if args.smoke else [(0.0, 2), (0.6, 8)],
    "valid_n_frames": 100 if args.smoke else 1000,
    "transpose_range": (-5, 6),
}
for row in rnnrbm.fit(model, data.train, data.valid, state=state, **settings):
    if not np.isnan(row["valid_ll"]):
        state.save(args.out / "checkpoint.npz")
        print(
            f"epoch {row['epoch']:3d}  valid LL {row['valid_ll']:.3f} nats per frame  {row['seconds']:.0f} s",
            flush=True,
        )

# the terms of the training frames in Z are summed exactly, and annealing estimates the rest
states = rnnrbm.frequent_states(data.train)
few = {"n_chains": 4, "n_temperatures": 50} if args.smoke else {"n_chains": 20, "n_temperatures": 500}
test = [piece[:50] for piece in data.test] if args.smoke else data.test
print("test:", rnnrbm.log_likelihood(model, test, exact_states=states, **few))
print("note 1-gram:", round(baselines.NoteUnigram.fit(data.train).log_likelihood(test), 3))

# The first two bars of a test piece, and a continuation by the model.
primer = data.test[0][: 8 * args.steps_per_beat]
for i, roll in enumerate(rnnrbm.generate(model, 32 * args.steps_per_beat, n_samples=2, k=50, prime=primer), 1):
    whole = np.concatenate([primer, roll])
    grid = {"low": data.kind.low, "steps_per_beat": args.steps_per_beat}
    midi.write(args.out / f"sample-{i}.mid", whole, **grid)
    wav.write_wav(args.out / f"sample-{i}.wav", whole, **grid)
    plot.save(plot.piano_roll(whole, **grid), args.out / f"sample-{i}.png")
print("written to", args.out)
