"""An RNN-RBM in a training loop of your own
=========================================

Train an RNN-RBM on Bach chorales with an explicit training loop; score it and sample from it.

Run it by::

    python examples/01_bach.py            about 3 minutes on 2 cores
    python examples/01_bach.py --smoke    a test run of a quarter of a minute
"""

import argparse
from pathlib import Path

import numpy as np
import pytensor.tensor as pt

from rnnrbm import datasets, plot, sampling
from rnnrbm.backend import engine, random
from rnnrbm.io import midi, wav
from rnnrbm.rnnrbm import rnn_rbm
from rnnrbm.samplers import NegativePhase
from rnnrbm.scoring import baselines, likelihood, metrics
from rnnrbm.training import optimisers
from rnnrbm.training.centring import centring
from rnnrbm.training.packing import PackedDataset
from rnnrbm.training.step import gather

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/01_bach"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
epochs, k_small, k_large, size = (1, 1, 1, 16) if args.smoke else (120, 2, 8, 256)

# The data: lists of piano-rolls, arrays (T, 88) of 0 and 1. Pieces of any length are packed into rows of 48 frames.
# Most pieces are transposed at random, anew in every epoch; in the last third few are.
data = datasets.load("bach")
train = data.train[:24] if args.smoke else data.train
corpus = PackedDataset(train, row_length=48, batch_size=12, transpose_range=(-5, 6))
print(data)

# The model: a GRU whose state sets the biases of an RBM for every frame.
note = baselines.NoteUnigram.fit(train)
model = rnn_rbm(data.n_visible, n_hidden=size, n_recurrent=size, seed=0, b_v=note.log_odds)

# Centring: the weights learn how units deviate from their means, which the biases learn.
centred = centring(model.density, corpus.mean())

# The loss: mean free energy of the data minus that of samples from Gibbs chains that start at the data.
shape = (corpus.row_length, corpus.batch_size)
offset = pt.tensor("offset", dtype="int32", shape=shape)
mask = pt.tensor("mask", dtype="float32", shape=shape)
start = pt.tensor("start", dtype="bool", shape=shape)
frames = engine.shared(corpus.frames.ravel(), "frames", corpus.frames.dtype)
v = gather(frames, offset, data.n_visible, "float32")
rng = random.shared(seed=0)
learning_rate = engine.shared(8e-3, "learning_rate")
adam: dict = {}  # the optimiser's state, shared by the functions below
# Three of the twelve rows never begin anew: they go on from the state after the batch before. So the network learns to
# leave old states, and a long sample does not fill with notes.
carried = engine.shared(np.zeros((3, size)), "carried")
scales = dict.fromkeys(("W", "b_v", "b_h"), 2.0)  # the RBM learns faster than the network


def compile_step(k):
    noise = {"input_dropout": 0.2, "state_dropout": 0.3}
    loss = model.loss(v, mask, start, rng=rng, negative_phase=NegativePhase(k), carried=carried, **noise)
    grads = centred.gradients(pt.grad(loss.cost, model.params), model.params)
    grads = optimisers.clip_by_global_norm(grads, 1.0)
    steps = optimisers.adam(grads, model.params, learning_rate, scales=scales, state=adam)
    updates = centred.plain(steps) | loss.updates
    return engine.function([offset, mask, start], [loss.cost, loss.metrics["pseudo_likelihood"]], updates)


# The training loop. The number of Gibbs steps grows: few steps learn fast, many learn the right distribution. For the
# scores, the terms of the training frames in Z are summed exactly, and annealing estimates the rest.
states = likelihood.frequent_states(train)
valid = likelihood.Evaluator(model, n_chains=5, n_temperatures=100, exact_states=states)
steps = {k: compile_step(k) for k in sorted({k_small, k_large})}
for epoch in range(epochs):
    step = steps[k_small if epoch < epochs // 2 else k_large]
    learning_rate.set_value(np.float32(8e-3 * (1 - 0.98 * epoch / epochs)))
    share = 0.8 if epoch < 2 * epochs // 3 else 0.1
    results = [step(*batch) for batch in corpus.epoch(seed=(0, epoch), transpose_prob=share)]
    if (epoch + 1) % 10 == 0 or epoch + 1 == epochs:
        pseudo = np.mean([float(pseudo) for _, pseudo in results])
        scored = valid(data.valid, frames=200 if args.smoke else 1000)
        print(f"epoch {epoch + 1:3d}  pseudo-LL {pseudo:7.3f}  valid LL {scored.mean:7.3f} nats per frame", flush=True)

# Comparison with simpler models.
test = data.test[:2] if args.smoke else data.test
print("note 1-gram          ", round(note.log_likelihood(test), 3))
print("previous frame copied", round(baselines.NoteCopy.fit(data.train).log_likelihood(test), 3))
scored = likelihood.log_likelihood(model, test, n_chains=10, n_temperatures=500, exact_states=states)
print("this RNN-RBM         ", scored)

# New chorales.
rolls = sampling.generate(model, 64, n_samples=2, k=50, seed=1, init_states=states)
print(f"repeated frames: samples {metrics.repeated_frame_rate(rolls):.3f}", end=", ")
print(f"training set {metrics.repeated_frame_rate(data.train):.3f}")
for i, roll in enumerate(rolls, 1):
    midi.write(args.out / f"chorale-{i}.mid", roll, low=data.kind.low, steps_per_beat=1, tempo=100)
    wav.write_wav(args.out / f"chorale-{i}.wav", roll, low=data.kind.low, steps_per_beat=1, tempo=100)
    plot.save(plot.piano_roll(roll, low=data.kind.low, steps_per_beat=1), args.out / f"chorale-{i}.png")
print("written to", args.out)
