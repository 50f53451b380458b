"""Features for few labels
=======================

What RBMs were first wanted for: features for a classifier that has few labels.

Run it by::

    python examples/14_few_labels.py                 8 x 8 digits that come with the library, about a minute
    python examples/14_few_labels.py --data mnist    28 x 28 digits, about ten minutes
    python examples/14_few_labels.py --smoke         a test run of a few seconds

An RBM and an autoencoder learn from all training images without labels. A linear classifier (logistic regression of
scikit-learn: ``pip install scikit-learn``) then learns from 10 or 100 labels a class, of raw pixels or of the
probabilities of hidden units. The strength of its penalty is chosen on the validation set.
"""

import argparse

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

import rnnrbm

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", default="digits", choices=("digits", "mnist"))
parser.add_argument("--draws", type=int, default=5, help="random choices of labelled images")
parser.add_argument("--smoke", action="store_true")
args = parser.parse_args()

data = rnnrbm.load(args.data)
images = {split: getattr(data, split)[0] for split in ("train", "valid", "test")}
labels = {split: data.labels_of(split)[0] for split in images}
n_hidden, epochs = (500, 20) if args.data == "mnist" else (200, 150)
if args.smoke:
    n_hidden, epochs = 16, 2

rbm = rnnrbm.RBM.init(data.n_visible, n_hidden, seed=0)
autoencoder = rnnrbm.build("autoencoder", data.n_visible, n_hidden=n_hidden, corruption=0.3, seed=0)
for model in (rbm, autoencoder):
    list(rnnrbm.fit(model, images["train"], epochs=epochs, seed=0))


def of(model):
    """Probabilities of hidden units, of an RBM or an autoencoder."""
    W, b_h = np.asarray(model.W.get_value()), np.asarray(model.b_h.get_value())
    return {split: expit(v @ W + b_h) for split, v in images.items()}


features = {"pixels": images, "autoencoder": of(autoencoder), "RBM": of(rbm)}
print(f"{'test accuracy':<16}" + "".join(f"{n:>10} labels a class" for n in (10, 100)))
for name, x in features.items():
    found = []
    for n_labels in (10, 100):
        accuracies = []
        for draw in range(1 if args.smoke else args.draws):
            rng = np.random.default_rng(draw)
            chosen = np.concatenate(
                [rng.permutation(np.flatnonzero(labels["train"] == digit))[:n_labels] for digit in range(10)]
            )
            fitted = [
                LogisticRegression(C=C, max_iter=1000).fit(x["train"][chosen], labels["train"][chosen])
                for C in ((0.1,) if args.smoke else (0.01, 0.1, 1.0, 10.0))
            ]
            best = max(fitted, key=lambda model: model.score(x["valid"], labels["valid"]))
            accuracies.append(best.score(x["test"], labels["test"]))
        found.append(f"{100 * np.mean(accuracies):14.2f} +- {100 * np.std(accuracies):.2f} %  ")
    print(f"{name:<16}" + "".join(found), flush=True)
