"""Classify music by likelihood
============================

Classify music by which of two models gives a piece the higher log-likelihood.

One RNN-RBM is trained on each of two data sets, and a test piece gets the label of the better model. Without options
the data sets are chorales and the same chorales played backwards. Both have the same notes and chords, so only the
order distinguishes them.

Run it by::

    python examples/03_classify_by_likelihood.py                              about 4 minutes on 2 cores
    python examples/03_classify_by_likelihood.py --sets jsb nottingham        any two data sets of one pitch range
    python examples/03_classify_by_likelihood.py --smoke                      a test run of half a minute
"""

import argparse

import numpy as np

from rnnrbm import datasets, fit, frequent_states
from rnnrbm.rnnrbm import rnn_rbm
from rnnrbm.scoring.likelihood import Evaluator

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--sets", nargs=2, metavar=("FIRST", "SECOND"), help="names or files, as for rnnrbm.load")
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--frames", type=int, default=64, help="score only the first frames of each piece")
parser.add_argument("--smoke", action="store_true")
args = parser.parse_args()
n_pieces = 3 if args.smoke else None
epochs, chains, temperatures = (2, 2, 10) if args.smoke else (args.epochs, 10, 200)

# The data: for each kind, pieces for training, for early stopping, and for classification.
if args.sets:
    loaded = [datasets.load(name) for name in args.sets]
    kinds = {data.name: (data.train, data.valid, data.test) for data in loaded}
else:
    data = datasets.load("bach")
    splits = (data.train, data.valid, data.test)
    kinds = {"forwards": splits, "backwards": tuple([piece[::-1].copy() for piece in pieces] for pieces in splits)}
names = list(kinds)
if len(names) < 2:
    raise SystemExit("the two data sets must have different names")

# One model for each kind.
models = {}
for name, (train, valid, _) in kinds.items():
    n_visible = train[0].shape[1]
    model = rnn_rbm(n_visible, n_hidden=150, n_recurrent=150, seed=0)
    settings = {"epochs": epochs, "k": [(0.0, 2), (0.5, 5)], "transpose_range": (-5, 6), "valid_every": 10}
    for row in fit(model, train[:n_pieces], valid[:n_pieces], **settings):
        if row["valid_ll"] == row["valid_ll"]:
            print(f"{name}: epoch {row['epoch']}, valid {row['valid_ll']:.3f} nats per frame", flush=True)
    models[name] = model

# The log-likelihood of every test piece under both models, in nats; the better model labels the piece. The terms of the
# training frames in Z are summed exactly, and annealing estimates the rest.
hits = total = 0
evaluators = {}
for name, (train, _, _) in kinds.items():
    settings = {"n_chains": chains, "n_temperatures": temperatures, "exact_states": frequent_states(train)}
    evaluators[name] = Evaluator(models[name], **settings)
for truth, (_, _, test) in kinds.items():
    pieces = [piece[: args.frames] for piece in test[:n_pieces]]
    scores = np.stack([evaluators[name](pieces).per_piece for name in names])
    said = np.array(names)[scores.argmax(axis=0)]
    hits, total = hits + int((said == truth).sum()), total + len(said)
    margin = scores[names.index(truth)] - np.delete(scores, names.index(truth), axis=0)[0]
    print(f"{truth}: {(said == truth).sum()} of {len(said)} recognized; median margin {np.median(margin):.1f} nats")
print(f"accuracy {hits / total:.1%} of {total} pieces")
