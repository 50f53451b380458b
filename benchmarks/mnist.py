"""RBMs of MNIST: training, log-likelihood from both sides, and a linear classifier on the features.

    python benchmarks/mnist.py train cd1|quick|long|wide --out RBM.npz [--epochs N] [--held-out]
    python benchmarks/mnist.py score RBM.npz [--raise-images 200] [--raise-temperatures 100000]
    python benchmarks/mnist.py classify RBM.npz

``train`` reads all 60 000 training images, whose pixels are sampled once; with ``--held-out`` the last 10 000 are left
for validation. ``score`` takes the test images of a published RBM (``mnist/golden_rbm`` in RNNRBM_DATA), which were
sampled by its authors, or, without them, those of ``rnnrbm.load("mnist")``. ``classify`` trains logistic regression on
the probabilities of hidden units given grey images, the strength of its penalty chosen on the last 10 000 training
images.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
from scipy.special import expit

import rnnrbm
from rnnrbm.io.image_sets import binarise, load_mnist
from rnnrbm.scoring.likelihood import Evaluator, log_likelihood
from rnnrbm.scoring.result import verdict

#: Settings of each recipe that differ from the usual ones, and hidden units.
RECIPES: dict[str, tuple[int, dict[str, Any]]] = {
    "cd1": (500, {"persistent": False, "k": 1, "epochs": 30, "learning_rate": 0.2, "weight_decay": 3e-3}),
    "quick": (500, {"epochs": 40}),
    "long": (500, {"epochs": 250, "k": [(0.0, 1), (0.7, 3), (0.9, 10)], "learning_rate": 0.01, "averaging": 0.9995}),
    "wide": (1024, {"epochs": 25}),
}


def training_images(binarise: Any = "sampled") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The 60 000 training images and their labels, the 10 000 test images and theirs."""
    contents = load_mnist(binarise)
    assert contents.labels is not None
    pieces, labels = contents.pieces, contents.labels
    train = np.concatenate([pieces["train"][0], pieces["valid"][0]])
    return train, np.concatenate([labels["train"][0], labels["valid"][0]]), pieces["test"][0], labels["test"][0]


def drawn(grey: np.ndarray, n_draws: int) -> np.ndarray:
    """Draw the pixels of each image `n_draws` times: a model that sees one draw only learns its pixels by heart."""
    return np.concatenate([binarise(grey, seed=seed) for seed in range(n_draws)])


def test_images() -> tuple[str, np.ndarray]:
    """The published test images, whose pixels are stored column by column."""
    path = Path(os.environ.get("RNNRBM_DATA", "")) / "mnist" / "golden_rbm" / "cd25_500.npz"
    if not path.exists():
        return "test images sampled here", training_images()[2]
    with np.load(path) as arrays:
        images = np.unpackbits(arrays["test_packed"], axis=1, count=784)
    return "published test images", images.reshape(-1, 28, 28).swapaxes(1, 2).reshape(-1, 784)


def train(recipe: str, out: Path, epochs: int | None, held_out: bool) -> None:
    n_hidden, settings = RECIPES[recipe]
    settings = settings | ({} if epochs is None else {"epochs": epochs})
    images, *_ = training_images()
    valid = images[50_000:] if held_out else None
    rbm = rnnrbm.RBM.init(784, n_hidden, seed=0)
    began = time.perf_counter()
    for row in rnnrbm.fit(rbm, images[:50_000] if held_out else images, seed=0, **settings):
        seconds = time.perf_counter() - began
        print(
            f"epoch {row['epoch']:3} k {row['k']} pseudo-LL {row['pseudo_likelihood']:.2f} {seconds:.0f} s", flush=True
        )
        if row["epoch"] % 10 == 0:
            rbm.save(out)
    if valid is not None:
        scored = Evaluator(rbm, n_chains=200, n_temperatures=5000, schedule="quadratic")([valid], seed=0)
        print(f"valid {scored.mean:.2f} +- {scored.standard_error:.2f}, {scored.diagnostics()}")
    rbm.save(out)


def score(path: Path, n_images: int, n_temperatures: int) -> None:
    rbm = rnnrbm.load_model(path)
    name, images = test_images()
    upper = log_likelihood(rbm, images, seed=0)
    size = upper.effective_sample_size.min()
    print(f"{name}: {upper}, effective sample size {size:.0f} of {upper.n_chains} chains", flush=True)
    part = images[:n_images]
    of_part = Evaluator(rbm, n_chains=500, n_temperatures=16_000, schedule="quadratic")([part], seed=0)
    how: dict[str, Any] = {"method": "raise", "n_chains": 4, "n_temperatures": n_temperatures, "schedule": "quadratic"}
    lower = Evaluator(rbm, rows=4 * n_images, **how)([part], seed=0)  # no row is padding
    print(f"first {n_images}: AIS {of_part.mean:.3f} +- {of_part.standard_error:.3f}")
    print(f"first {n_images}: RAISE {lower.mean:.3f} +- {lower.standard_error:.3f} ({lower.settings})")
    print(f"gap {of_part.mean - lower.mean:.3f}. {verdict(of_part, lower)}")


def classify(path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    rbm = rnnrbm.load_model(path)
    W, b_h = np.asarray(rbm.W.get_value()), np.asarray(rbm.b_h.get_value())
    grey, labels, test, test_labels = training_images("none")
    x, x_test = expit(grey @ W + b_h), expit(test @ W + b_h)
    best = (0.0, 0.0)
    for C in (0.003, 0.01, 0.03, 0.1, 0.3):
        fitted = LogisticRegression(C=C, max_iter=300).fit(x[:50_000], labels[:50_000])
        found = fitted.score(x[50_000:], labels[50_000:])
        print(f"C {C}: valid {100 * found:.2f} %", flush=True)
        best = max(best, (found, C))
    fitted = LogisticRegression(C=best[1], max_iter=300).fit(x, labels)
    print(f"test {100 * fitted.score(x_test, test_labels):.2f} % (C {best[1]})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_train = commands.add_parser("train")
    of_train.add_argument("recipe", choices=RECIPES)
    of_train.add_argument("--out", type=Path, required=True)
    of_train.add_argument("--epochs", type=int)
    of_train.add_argument("--held-out", action="store_true")
    of_score = commands.add_parser("score")
    of_score.add_argument("rbm", type=Path)
    of_score.add_argument("--raise-images", type=int, default=200)
    of_score.add_argument("--raise-temperatures", type=int, default=100_000)
    commands.add_parser("classify").add_argument("rbm", type=Path)
    args = parser.parse_args()
    common.header()
    if args.command == "train":
        train(args.recipe, args.out, args.epochs, args.held_out)
    elif args.command == "score":
        score(args.rbm, args.raise_images, args.raise_temperatures)
    else:
        classify(args.rbm)


if __name__ == "__main__":
    main()
