"""A Boltzmann machine
===================

A Boltzmann machine without restrictions: how long its units must settle, and what more classes cost.

Run it by::

    python examples/12_boltzmann.py            8 x 8 digits that come with the library, about a minute
    python examples/12_boltzmann.py --smoke    a test run of a few seconds

All units are connected with each other, so they are sampled one at a time. The positive phase clamps an image and lets
the hidden units settle. The negative phase goes on from there with all units free: with few sweeps it stays near the
image, and the machine never learns what else it believes in; with many it costs more than it brings. The last column
trains an RBM, whose layers are sampled as a whole, for as long as the machine with the same number of hidden units.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import rnnrbm
from rnnrbm import plot

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--hidden", type=int, default=40)
parser.add_argument("--epochs", type=int, default=80)
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/12_boltzmann"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
digits = rnnrbm.load("digits", binarise="threshold")
shape = digits.kind.shape
n_hidden, epochs, k = (5, 2, 4) if args.smoke else (args.hidden, args.epochs, 100)


def judge(drawn, test):
    """Mean distance of each sample to the nearest test image, and of each test image to the nearest sample.

    The first is large if samples are bad, the second if kinds of images are missing.
    """
    distance = np.sqrt(((drawn[:, None].astype(float) - test[None]) ** 2).sum(axis=2))
    return distance.min(axis=1).mean(), distance.min(axis=0).mean()


def row(name, classes, drawn, seconds):
    bad, missing = judge(drawn, digits.of_classes(classes).test[0])
    print(f"{name:<36} {seconds:8.1f} {bad:12.2f} {missing:12.2f}", flush=True)
    return name, drawn[:16]


print(f"{'':<36} {'seconds':>8} {'samples bad':>12} {'kinds missing':>12}")
rows = []
for classes in ((0, 1, 2), tuple(range(10))):
    data = digits.of_classes(classes)
    train, test = (part[0][:60] if args.smoke else part[0] for part in (data.train, data.test))
    count = f"{len(classes)} classes"
    half = len(test) // 2
    bad, missing = judge(test[:half], test[half:])
    print(f"{count + ', one half of the test images':<36} {'':>8} {bad:12.2f} {missing:12.2f}")
    rows.append((f"{count}: images", test[:16]))
    for n_sweeps in (1, 3) if args.smoke else (1, 3, 20):
        machine = rnnrbm.build("boltzmann", data.n_visible, n_hidden=n_hidden, n_sweeps=n_sweeps, seed=0)
        began = time.perf_counter()
        list(rnnrbm.fit(machine, train, epochs=epochs, seed=0))
        seconds = time.perf_counter() - began
        name = f"{count}, {n_sweeps} sweep{'s' if n_sweeps > 1 else ''}"
        rows.append(row(name, classes, machine.sample(64, k=k, seed=1), seconds))
    rbm = rnnrbm.RBM.init(data.n_visible, n_hidden, seed=0)
    began = time.perf_counter()
    list(rnnrbm.fit(rbm, train, epochs=3 * epochs, seed=0))
    seconds = time.perf_counter() - began
    drawn = rnnrbm.generate(rbm, 1, n_samples=64, k=10 * k, start="annealed", seed=1)[:, 0]
    rows.append(row(f"{count}, RBM", classes, drawn, seconds))
plot.save(plot.image_pairs(rows, shape), args.out / "samples.png")
print("written to", args.out)
