"""Digits and labels
=================

Labels from digits and digits from labels: a deep Boltzmann machine of two parts that meet in its top layer.

Run it by::

    python examples/17_labels.py                 8 x 8 digits that come with the library, about two minutes
    python examples/17_labels.py --data mnist    28 x 28 digits, about half an hour
    python examples/17_labels.py --smoke         a test run of a few seconds

A frame is an image and its class. Each part has a hidden layer of its own, and both meet in a top layer:
image - hidden - top - hidden - label. One machine then answers two questions. The pictures are in ``runs/17_labels``:
``digits.png`` has images that were drawn given a label, a row for each class; ``labels.png`` has test images, the most
uncertain ones last, above the probability of each class; ``halves.png`` has upper halves of test images, and below them
the lower halves that the machine draws given the upper half alone.

Source: Srivastava & Salakhutdinov, "Multimodal learning with deep Boltzmann machines", NIPS 2012.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

import rnnrbm
from rnnrbm import plot

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", default="digits", choices=("digits", "mnist"))
parser.add_argument("--epochs", type=int, default=0, help="by default 400, and 20 for mnist")
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/17_labels"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# The data: pixels of an image, then a column for each class, of which one is 1.
data = rnnrbm.load(args.data, with_labels=True)
kind, n_pixels = data.kind, data.kind.n_pixels
print(data)
layers = (500, 100, 500) if args.data == "mnist" else (100, 50, 100)
epochs = args.epochs or (20 if args.data == "mnist" else 400)
train, test = data.train[0], data.test[0]
k = 1000
if args.smoke:
    train, test, layers, epochs, k = train[:300], test[:40], (16, 10, 12), 2, 20
images, labels = kind.split(test)

model = rnnrbm.build("multimodal-dbm", data.n_visible, layers=layers, visible=kind.unit_name([train]), seed=0)
for row in rnnrbm.fit(model, train, epochs=epochs, seed=0):
    if row["epoch"] % max(1, epochs // 10) == 0:
        print(f"epoch {row['epoch']:3}: reconstruction {row['reconstruction']:.2f} nats, {row['seconds']:.0f} s")

# Labels from digits: the probability of each class given the pixels.
p = model.classify(images)
right = p.argmax(axis=1) == labels
print(f"labels from digits: {100 * right.mean():.2f} % of {len(images)} test images are right")

# Digits from labels: pixels that are NaN are sampled given the label. A classifier of real digits reads them.
wanted = np.repeat(np.arange(kind.n_classes), 20)
unknown = np.full((len(wanted), n_pixels), np.nan)
given = np.concatenate([unknown, kind.one_hot(wanted)], axis=1)
drawn = model.complete(given, k=k, seed=1, expected=True)[:, :n_pixels]
pixels, classes = kind.split(train)
linear = LogisticRegression(C=0.1, max_iter=300).fit(pixels[:20_000], classes[:20_000])
read = linear.predict(drawn > 0.5)
print(f"digits from labels: {100 * np.mean(read == wanted):.1f} % are read as what was wanted, by a linear classifier")
print(f"(of real test images it reads {100 * linear.score(images, labels):.1f} % right)")

# A lower half given the upper half, without a label.
known = np.full((12, data.n_visible), np.nan)
upper = n_pixels // 2 // kind.shape[1] * kind.shape[1]
known[:, :upper] = images[:12, :upper]
halves = model.complete(known, k=k, seed=2, expected=True)[:, :n_pixels]

figure = Figure(figsize=(10, 5.4), layout="constrained")
plot.image_tiles(drawn, kind.shape, ax=figure.subplots(), n_columns=20, title="digits from labels, expected pixels")
plot.save(figure, args.out / "digits.png")
pairs = [("images", images[:12]), ("lower half drawn", halves)]
plot.save(plot.image_pairs(pairs, kind.shape), args.out / "halves.png")
order = np.argsort(p.max(axis=1))[::-1]
shown = np.concatenate([order[: len(order) // 2 : max(1, len(order) // 12)][:6], order[-6:]])
figure = Figure(figsize=(11, 3), layout="constrained")
for column, i in enumerate(shown):
    top, below = figure.add_subplot(2, 12, column + 1), figure.add_subplot(2, 12, column + 13)
    plot.image_tiles(images[i : i + 1], kind.shape, ax=top)
    below.bar(np.arange(kind.n_classes), p[i])
    below.set(ylim=(0, 1), xticks=[labels[i]], yticks=[])
plot.save(figure, args.out / "labels.png")
print("written to", args.out)
