"""Two deep nets
=============

Two deep nets of the same layers: a deep belief net and a deep Boltzmann machine.

Run it by::

    python examples/15_deep.py                 8 x 8 digits that come with the library, about a minute
    python examples/15_deep.py --data mnist    28 x 28 digits, an hour or more
    python examples/15_deep.py --smoke         a test run of a few seconds

Both begin as a stack of layers. In a deep belief net (DBN) only the top two are an RBM; below it, each layer is sampled
from the one above. In a deep Boltzmann machine (DBM) every layer depends on both of its neighbours. For half of its
epochs the DBN is a stack of RBMs that learn at the same time; then up-down trains it as a whole.

The pictures are in ``runs/15_deep``: ``samples.png`` shows the data and what both nets make of nothing, ``layers.png``
what units of the first and the second layer look like. A unit of the second layer is drawn as the sum of the units
below it, weighted by its weights.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

import rnnrbm
from rnnrbm import plot
from rnnrbm.scoring.filters import measure_filters

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", default="digits", choices=("digits", "mnist"))
parser.add_argument("--layers", type=int, nargs="+", default=(), help="by default 100 100, and 500 500 for mnist")
parser.add_argument("--epochs", type=int, default=0, help="by default 300, and 30 for mnist")
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/15_deep"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

data = rnnrbm.load(args.data)
shape = data.kind.shape
layers = tuple(args.layers) or ((500, 500) if args.data == "mnist" else (100, 100))
epochs = args.epochs or (30 if args.data == "mnist" else 300)
train, test = data.train[0], data.test[0]
n_samples, k = 400, 1000
how: dict = {"n_chains": 200, "n_temperatures": 4000, "schedule": "quadratic"}  # AIS of the bounds
if args.smoke:
    train, test, layers, epochs = train[:200], test[:50], (12, 8), 2
    n_samples, k, how = 36, 20, {"method": "exact"}
if len(layers) < 2:
    parser.error("--layers takes two or more numbers: a net of one layer is an RBM")


def distances(drawn, seen):
    """Mean distance of each sample to the nearest image, and of each image to the nearest sample.

    The first is large if samples are bad, the second if kinds of images are missing.
    """
    distance = cdist(drawn, seen)
    return distance.min(axis=1).mean(), distance.min(axis=0).mean()


def second_layer(model):
    """Return W_1 W_2: what each unit of the second layer looks like in an image."""
    if hasattr(model, "rbms"):
        return model.filters(2)
    return model.filters() @ np.asarray(model.weights[1].get_value())


print(f"{data}\nlayers {layers}, {epochs} epochs")
print(f"{'':<8} {'seconds':>8} {'bound, nats':>16} {'ink':>7} {'samples bad':>12} {'kinds missing':>14}", end="")
print(f" {'area 1':>7} {'area 2':>7}")
half = min(len(test) // 2, n_samples)
bad, missing = distances(test[:half], test[half : 2 * half])
print(f"{'images':<8} {'':>8} {'':>16} {test.mean():7.3f} {bad:12.2f} {missing:14.2f}")
models = {"DBN": "dbn", "DBM": "dbm"}
drawings, units = Figure(figsize=(12, 4.3), layout="constrained"), Figure(figsize=(8.5, 8.5), layout="constrained")
of_samples, of_units = drawings.subplots(1, 3), units.subplots(2, 2)
plot.image_tiles(test[:36], shape, ax=of_samples[0], title="test images")
for i, (name, known_as) in enumerate(models.items()):
    model = rnnrbm.build(known_as, data.n_visible, layers=layers, seed=0)
    began = time.perf_counter()
    if name == "DBN":  # the second half of its epochs refines a copy by up-down
        list(rnnrbm.fit(model, train, epochs=epochs // 2, seed=0))
        model = model.untied()
        list(rnnrbm.fit(model, train, epochs=epochs - epochs // 2, seed=1))
    else:
        list(rnnrbm.fit(model, train, epochs=epochs, seed=0))
    seconds = time.perf_counter() - began
    bound = model.bound(test, seed=0, **how)
    drawn = model.sample(n_samples, k=k, seed=1)
    bad, missing = distances(drawn[:half], test[half : 2 * half])
    first, second = model.filters(), second_layer(model)
    areas = [float(np.median(measure_filters(weights, shape)[0])) for weights in (first, second)]
    scored = f"{bound.mean:8.2f} +- {bound.standard_error:4.2f}"
    print(f"{name:<8} {seconds:8.0f} {scored:>16} {drawn.mean():7.3f} {bad:12.2f} {missing:14.2f}", end="")
    print(f" {areas[0]:7.1f} {areas[1]:7.1f}", flush=True)
    plot.image_tiles(drawn[:36], shape, ax=of_samples[i + 1], title=f"samples: {name}")
    plot.filter_tiles(first, shape, count=36, ax=of_units[i, 0], title=f"{name}: first layer")
    plot.filter_tiles(second, shape, count=36, ax=of_units[i, 1], title=f"{name}: second layer")
plot.save(drawings, args.out / "samples.png")
plot.save(units, args.out / "layers.png")
print("written to", args.out)
