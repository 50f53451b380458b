"""Animal vocalizations
====================

Animal vocalizations, from sound to sound: train an RNN-RBM on recordings, compare it with linear models, sample it.

Run it by::

    python examples/05_vocalizations.py               the embedded song of a humpback whale, about 2 minutes on 2 cores
    python examples/05_vocalizations.py FOLDER        your own recordings (WAV, FLAC, OGG ...)
    python examples/05_vocalizations.py --smoke       a test run of a quarter of a minute

The output is in ``runs/05_vocalizations``: spectrograms and WAV files of real and of sampled sound, and a figure that
compares their statistics. Real sound is made from its spectrogram, as samples are: what is lost so, no sample can have.
"""

import argparse
from pathlib import Path

import numpy as np

import rnnrbm
from rnnrbm import plot
from rnnrbm.sampling import expect_blocks

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", nargs="?", default="humpback", metavar="FOLDER")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--seconds", type=float, default=8.0, help="length of a sample")
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/05_vocalizations"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# The data: spectrograms, arrays (T, bands) of decibels that are standardised for each band by the training set. In a
# folder with annotations, a piece is a song; without any, calls are found by their loudness. Each piece of the training
# set comes four times, a quarter of the hop later each time.
data = rnnrbm.load(args.data)
kind = data.kind
print(data)
train, valid, test = (
    (data.train[:4], data.valid[:1], data.test[:1]) if args.smoke else (data.train, data.valid, data.test)
)

# The model: Gaussian visible units, each with a standard deviation that is learned. Their Gibbs chains start from noise
# in training and in sampling, so what is trained is what samples are made by.
size = 16 if args.smoke else 256
model = rnnrbm.build("rnn-rbm", data.n_visible, visible=kind.unit_name(train), seed=0, n_hidden=size, n_recurrent=size)
epochs = 1 if args.smoke else args.epochs
for row in rnnrbm.fit(model, train, valid, epochs=epochs, valid_every=max(epochs // 4, 1), valid_n_frames=200):
    if row["valid_ll"] == row["valid_ll"]:  # NaN in epochs without a validation
        print(f"epoch {row['epoch']:3.0f}  valid LL {row['valid_ll']:8.2f} nats per frame", flush=True)

# The density of held-out frames, and how near the expected frame is to the true one. Vector autoregressions are linear
# models of a frame given one to three frames before it, whose errors have a full covariance matrix.
chains, temperatures = (3, 20) if args.smoke else (10, 500)
scored = rnnrbm.log_likelihood(model, test, n_chains=chains, n_temperatures=temperatures)
blocks = list(expect_blocks(model, test, n_samples=2 if args.smoke else 20, k=40))
errors = kind.prediction_scores((expected for _, expected in blocks), (true for true, _ in blocks))
print("\nmodel                  nats per frame  RMSE (dB)")
print(f"{'RNN-RBM':<22} {scored.mean:10.2f} {errors['rmse']:14.2f}")
for baseline in kind.baseline_table(train, valid, test):
    print(f"{baseline['model']:<22} {baseline['ll']:10.2f} {baseline['rmse']:14.2f}")

# New sound beside real sound.
n_frames = 40 if args.smoke else max(round(args.seconds / kind.seconds_per_frame), 1)
samples = list(kind.from_samples(rnnrbm.generate(model, n_frames, n_samples=2 if args.smoke else 4, k=40, seed=1)))
for name, pieces in (("real", [piece[:n_frames] for piece in test[:2]]), ("sample", samples)):
    for i, piece in enumerate(pieces, 1):
        kind.write(args.out, f"{name}-{i}", piece)
        plot.save(kind.draw(piece, title=f"{name} {i}"), args.out / f"{name}-{i}.png")
plot.save(kind.draw_statistics(samples, train, data_name="training set"), args.out / "statistics.png")

theirs, ours = kind.statistics(train), kind.statistics(samples)
print("\nstatistics              training set     samples")
for name, value in theirs.items():
    print(f"{name.replace('_', ' '):<22} {value:13.3f} {ours[name]:11.3f}")
longest = max(float(np.abs(piece).max()) for piece in samples)
print(f"the farthest sampled value is {longest:.1f} standard deviations from its mean")
print("written to", args.out)
