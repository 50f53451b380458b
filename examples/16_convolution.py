"""A convolutional RBM
===================

One filter for all places: a convolutional RBM beside an RBM of the same images.

Run it by::

    python examples/16_convolution.py                 8 x 8 digits that come with the library, about a minute
    python examples/16_convolution.py --data mnist    28 x 28 digits, ten minutes or more
    python examples/16_convolution.py --smoke         a test run of a few seconds

A hidden unit of an RBM has a weight for each pixel, so it learns a stroke for one place only. A convolutional RBM has
small filters, and a hidden unit for each filter and place. Of the units of a filter in a square of 2 x 2 places at most
one is on: this is probabilistic max-pooling.

The pictures are in ``runs/16_convolution``. ``filters.png`` has the filters of both; ``samples.png`` has test images
and what both models make of nothing; ``pooled.png`` shows where in an image the filters that it uses most are on.

Source: Lee, Grosse, Ranganath & Ng, "Convolutional deep belief networks for scalable unsupervised learning of
hierarchical representations", ICML 2009.
"""

import argparse
from pathlib import Path

import numpy as np
import pytensor.tensor as pt
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

import rnnrbm
from rnnrbm import plot
from rnnrbm.backend import engine
from rnnrbm.models.convolutional import ConvolutionalRBM
from rnnrbm.sampling import reconstruct
from rnnrbm.scoring.filters import measure_filters

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", default="digits", choices=("digits", "mnist"))
parser.add_argument("--filters", type=int, default=0, help="by default 32")
parser.add_argument("--epochs", type=int, default=0, help="of the convolutional RBM; by default what suits the data")
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/16_convolution"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

data = rnnrbm.load(args.data)
shape = data.kind.shape
train, test = data.train[0], data.test[0]
n_hidden, n_filters, n_samples, k = (500 if args.data == "mnist" else 100), args.filters or 32, 200, 1000
epochs = {"epochs": args.epochs} if args.epochs else {}
settings = {"convolutional RBM": epochs, "RBM": {"epochs": 20} if args.data == "mnist" else {}}
if args.smoke:
    train, test, n_hidden, n_filters, n_samples, k = train[:200], test[:50], 16, 4, 36, 20
    settings = {name: {"epochs": 2} for name in settings}
print(data)
models = {
    "convolutional RBM": ConvolutionalRBM.init(data.n_visible, n_filters, height=shape[0], seed=0),
    "RBM": rnnrbm.RBM.init(data.n_visible, n_hidden, seed=0),
}


def nearest(drawn, seen):
    """Mean distance of each sample to the nearest image, and of each image to the nearest sample."""
    distance = cdist(drawn, seen)
    return distance.min(axis=1).mean(), distance.min(axis=0).mean()


# What the eye sees. Area: pixels that carry a filter; share: area as a share of the pixels that a filter has.
columns = ("weights", "filter", "area", "share", "radius", "spots", "pixels wrong", "ink", "samples bad", "missing")
print(f"{'':<18} {'seconds':>7}", *(f"{name:>{max(7, len(name))}}" for name in columns))
half = min(len(test) // 2, n_samples)
bad, missing = nearest(test[:half], test[half : 2 * half])
print(f"{'test images':<18} {'':>71} {test.mean():7.3f} {bad:11.2f} {missing:7.2f}")
filters, drawings = Figure(figsize=(10, 5.3), layout="constrained"), Figure(figsize=(12, 4.3), layout="constrained")
of_filters, of_samples = filters.subplots(1, 2), drawings.subplots(1, 3)
plot.image_tiles(test[:36], shape, ax=of_samples[0], title="test images")
for i, (name, model) in enumerate(models.items()):
    *_, last = rnnrbm.fit(model, train, seed=0, **settings[name])
    W = engine.to_numpy(model.W)
    size = model.filter_shape if i == 0 else shape
    drawn = rnnrbm.generate(model, 1, n_samples=n_samples, k=k, start="annealed", seed=1)[:, 0]
    wrong = np.mean((reconstruct(model, test, seed=0) > 0.5) != test)
    area, radius, spots = (float(np.median(x)) for x in measure_filters(W, size))
    bad, missing = nearest(drawn[:half], test[half : 2 * half])
    print(
        f"{name:<18} {last['seconds']:7.0f} {W.size:7} {size[0]:>4}x{size[1]:<2} {area:6.1f} {area / len(W):7.2f}",
        end="",
    )
    print(
        f" {radius:7.2f} {spots:7.1f} {100 * wrong:11.2f}% {drawn.mean():7.3f} {bad:11.2f} {missing:7.2f}", flush=True
    )
    plot.filter_tiles(W, size, count=36, ax=of_filters[i], title=f"{name}: filters of {size[0]} x {size[1]}")
    plot.image_tiles(drawn[:36], shape, ax=of_samples[i + 1], title=f"samples: {name}")
plot.save(filters, args.out / "filters.png")
plot.save(drawings, args.out / "samples.png")

# Where the filters are on: pooling units of the eight filters that some images use most, and the filters.
conv = models["convolutional RBM"]
some = test[:6]
v = pt.matrix(dtype=conv.W.dtype, shape=some.shape)
pooled = engine.to_numpy(engine.function([v], conv.pooled(v))(some.astype(conv.W.dtype)))
most = np.argsort(pooled.mean(axis=(0, 2, 3)))[::-1][:8]
figure = Figure(figsize=(9, 7), layout="constrained")
panels = figure.subplots(1 + len(some), 1 + len(most), squeeze=False)
for ax in panels.ravel():
    ax.set_axis_off()
W = engine.to_numpy(conv.W).T.reshape(-1, *conv.filter_shape)
for column, filter_ in enumerate(most, start=1):
    limit = np.abs(W[filter_]).max()
    panels[0, column].imshow(W[filter_], cmap="RdBu_r", vmin=-limit, vmax=limit)
for row, image in enumerate(some, start=1):
    panels[row, 0].imshow(image.reshape(shape), cmap="gray_r", vmin=0, vmax=1)
    for column, filter_ in enumerate(most, start=1):
        panels[row, column].imshow(pooled[row - 1, filter_], cmap="gray_r", vmin=0, vmax=1)
plot.save(figure, args.out / "pooled.png")
print("written to", args.out)
