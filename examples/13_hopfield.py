"""A Hopfield net
==============

A Hopfield net: patterns that come back from damage, how many it holds, and what unlearning does.

Run it by::

    python examples/13_hopfield.py            about a minute
    python examples/13_hopfield.py --smoke    a test run of a few seconds

The first picture shows digits, damaged digits, and what the net makes of them. The second one shows the share of pixels
recalled right over the number of random patterns per unit: up to about 0.138 it is perfect, and then it collapses at
once (Amit, Gutfreund & Sompolinsky 1985). Unlearning subtracts a little of the states that the net comes to from random
ones (Hopfield, Feinstein & Palmer 1983). It is the negative phase of a Boltzmann machine with threshold units: states
that the net believes in, without data, get a higher energy.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import rnnrbm
from rnnrbm import plot
from rnnrbm.models.hopfield import CAPACITY, Hopfield

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--units", type=int, default=500)
parser.add_argument("--noise", type=float, default=0.1, help="share of pixels that are flipped before a recall")
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/13_hopfield"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(0)
CURVES = {"Hebb's rule": 0.0, "with unlearning": 0.4}
n = 60 if args.smoke else args.units


def damaged(patterns):
    return np.where(rng.random(patterns.shape) < args.noise, 1 - patterns, patterns)


# Recall: three digits of different classes. Digits resemble each other, so far fewer fit than random patterns.
digits = rnnrbm.load("digits", binarise="threshold")
labels = digits.labels_of("train")[0]
images = np.stack([digits.train[0][labels == digit][0] for digit in (0, 1, 7)])
start = damaged(images)
rows = [("stored", images), ("damaged", start)]
for name, unlearning in CURVES.items():
    recalled = Hopfield.store(images, unlearning=unlearning).recall(start)
    rows.append((f"recalled, {name}", recalled))
    print(f"digits, {name}: {np.mean(recalled == images):.3f} of the pixels are recalled right")
plot.save(plot.image_pairs(rows, digits.kind.shape), args.out / "recall.png")

# Capacity: random patterns, with and without unlearning.
loads = (0.05, 0.2) if args.smoke else (0.02, 0.06, 0.1, 0.12, 0.13, 0.138, 0.145, 0.16, 0.2, 0.25, 0.3, 0.35, 0.4)
print(f"\n{'patterns':>8} {'per unit':>9}" + "".join(f"{name:>18}" for name in CURVES) + "   (share of pixels right)")
found = {name: [] for name in CURVES}
for load in loads:
    patterns = (rng.random((max(round(load * n), 1), n)) < 0.5).astype(np.uint8)
    start = damaged(patterns)
    for name, unlearning in CURVES.items():
        with warnings.catch_warnings():  # that there are more patterns than fit is what is shown
            warnings.simplefilter("ignore", RuntimeWarning)
            net = Hopfield.store(patterns, unlearning=unlearning)
        found[name].append(float(np.mean(net.recall(start) == patterns)))
    shown = "".join(f"{found[name][-1]:18.4f}" for name in CURVES)
    print(f"{len(patterns):8} {len(patterns) / n:9.3f}{shown}", flush=True)

figure = Figure(figsize=(7, 4), layout="constrained")
ax = figure.subplots()
for name, shares in found.items():
    ax.plot(loads, shares, marker="o", label=name)
ax.axvline(CAPACITY, linestyle="--", color="grey", label="0.138 patterns per unit")
ax.set(xlabel="random patterns per unit", ylabel="share of pixels recalled right", ylim=(0.45, 1.02))
ax.legend(frameon=False)
plot.save(figure, args.out / "capacity.png")
print("written to", args.out)
