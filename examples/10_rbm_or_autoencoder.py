"""An RBM and an autoencoder
=========================

What an RBM learns that an autoencoder does not: both on the same images, with as many hidden units.

Run it by::

    python examples/10_rbm_or_autoencoder.py                 8 x 8 digits that come with the library, about a minute
    python examples/10_rbm_or_autoencoder.py --data mnist    28 x 28 digits, about ten minutes
    python examples/10_rbm_or_autoencoder.py --smoke         a test run of a few seconds

The pictures are in ``runs/10_rbm_or_autoencoder``. An autoencoder is trained to reconstruct its input; nothing says how
it should behave elsewhere. An RBM lowers the energy of data and raises it at its own samples, so it is a distribution,
and one can sample it.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import rnnrbm
from rnnrbm import plot
from rnnrbm.sampling import reconstruct
from rnnrbm.scoring.filters import measure_filters

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", default="digits", choices=("digits", "mnist"))
parser.add_argument("--hidden", type=int, default=0, help="hidden units; by default 100, and 500 for mnist")
parser.add_argument("--epochs", type=int, default=0, help="by default 150, and 20 for mnist")
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/10_rbm_or_autoencoder"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# The data: each pixel of a grey image was drawn once, 0 or 1, with its grey value as the probability of 1.
data = rnnrbm.load(args.data)
kind = data.kind
shape = (kind.height, kind.width)
print(data)
n_hidden = args.hidden or (500 if args.data == "mnist" else 100)
epochs = args.epochs or (20 if args.data == "mnist" else 150)
train, valid, test = (part[0] for part in (data.train, data.valid, data.test))
if args.smoke:
    train, valid, test, n_hidden, epochs = train[:200], valid[:50], test[:50], 16, 2

# Three models: an RBM, an autoencoder, and a denoising autoencoder, from whose inputs 30 % of the pixels are removed.
models = {
    "RBM": rnnrbm.RBM.init(data.n_visible, n_hidden, seed=0),
    "autoencoder": rnnrbm.build("autoencoder", data.n_visible, n_hidden=n_hidden, corruption=0.0, seed=0),
    "denoising autoencoder": rnnrbm.build("autoencoder", data.n_visible, n_hidden=n_hidden, corruption=0.3, seed=0),
}
for name, model in models.items():
    for row in rnnrbm.fit(model, train, epochs=epochs, seed=0):
        if row["epoch"] == epochs:
            print(f"{name:<22} {row['epoch']} epochs, {row['seconds']:.0f} s")


def weights(name):
    return np.asarray(models[name].W.get_value())


def samples(name, n):
    """Images that a model makes of nothing: chains of an RBM pass through 1000 temperatures."""
    k = 50 if args.smoke else 1000
    if name == "RBM":
        return rnnrbm.generate(models[name], 1, n_samples=n, k=k, start="annealed", seed=1)[:, 0]
    return models[name].sample(n, k=k, seed=1)


# What the eye sees: the filters of an RBM are strokes. Their area is the number of pixels that carry a filter.
print(f"\n{'':<22} {'area':>7} {'radius':>7} {'spots':>6} {'pixels wrong':>13} {'ink of samples':>15}")
print(f"{'the test images':<22} {'':>7} {'':>7} {'':>6} {'':>13} {test.mean():15.3f}")
rows = [("test images", test[:20])]
filters, drawings = (Figure(figsize=(12, 4.3), layout="constrained") for _ in range(2))
panels = zip(filters.subplots(1, 3), drawings.subplots(1, 3), strict=True)
for (name, model), (of_filters, of_samples) in zip(models.items(), panels, strict=True):
    measured = measure_filters(weights(name), shape)
    expected = reconstruct(model, test, seed=0)
    drawn = samples(name, 64)
    plot.filter_tiles(weights(name), shape, count=36, ax=of_filters, title=f"filters: {name}")
    plot.image_tiles(drawn[:36], shape, ax=of_samples, title=f"samples: {name}")
    wrong = np.mean((expected > 0.5) != test)
    area, radius, spots = (float(np.median(x)) for x in measured)
    print(f"{name:<22} {area:7.1f} {radius:7.2f} {spots:6.1f} {100 * wrong:12.2f}% {np.mean(drawn):15.3f}")
    rows.append((name, expected[:20]))
plot.save(filters, args.out / "filters.png")
plot.save(drawings, args.out / "samples.png")
plot.save(plot.image_pairs(rows, shape), args.out / "reconstructions.png")
print("written to", args.out)
