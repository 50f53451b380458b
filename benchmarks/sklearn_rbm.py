"""BernoulliRBM of scikit-learn and of rnnrbm.sklearn: time of fit, and pseudo-likelihood.

    python benchmarks/sklearn_rbm.py [--rounds 3] [--images 60000] [--only digits|mnist]

Both learn from equal rows, in batches of equal size, by the same rule. They take turns. Compiling comes first and is
printed apart: a second estimator of equal sizes does not compile. Digits are those of scikit-learn's example of
logistic regression on features, each shifted by a pixel in four directions.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import common
import numpy as np
from scipy.ndimage import shift
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM as TheirRBM

from rnnrbm.sklearn import BernoulliRBM

#: Units of each row that are flipped, one at a time, for the pseudo-likelihood, and rows.
N_FLIPS, MOST_SCORED = 8, 5000


def digits(shifted: bool) -> np.ndarray:
    """Digits of 8 x 8 pixels, values from 0 to 1: (1797, 64), or five times as many."""
    images = load_digits().images
    if shifted:
        moves = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
        images = np.concatenate([shift(images, (0, *move), order=0) for move in moves])
    return images.reshape(len(images), -1) / 16.0


def mnist(n_images: int) -> np.ndarray:
    """Training images of MNIST, whose pixels are sampled once: (n_images, 784)."""
    from mnist import training_images

    return training_images()[0][:n_images]


def compare(name: str, X: np.ndarray, dtype: Any, rounds: int, **params: Any) -> tuple[str, ...]:
    X = X.astype(dtype)
    seconds: dict[str, list[float]] = {"theirs": [], "ours": []}
    scores: dict[str, list[float]] = {"theirs": [], "ours": []}
    began = time.perf_counter()
    n_rows = params["batch_size"]
    BernoulliRBM(**{**params, "n_iter": 1}).fit(X[:n_rows])
    compiling = time.perf_counter() - began
    for i in range(rounds):
        for key, kind in (("theirs", TheirRBM), ("ours", BernoulliRBM)):
            began = time.perf_counter()
            fitted = kind(**params, random_state=i).fit(X)
            seconds[key].append(time.perf_counter() - began)
            for seed in range(N_FLIPS):
                scores[key].append(float(fitted.set_params(random_state=seed).score_samples(X[:MOST_SCORED]).mean()))
    ratios = [theirs / ours for theirs, ours in zip(seconds["theirs"], seconds["ours"], strict=True)]
    with_compiling = statistics.median(seconds["theirs"]) / (statistics.median(seconds["ours"]) + compiling)
    return (
        name,
        np.dtype(dtype).name,
        f"{statistics.median(seconds['theirs']):.2f}",
        f"{statistics.median(seconds['ours']):.2f}",
        common.spread(ratios, 1),
        f"{compiling:.2f}",
        f"{with_compiling:.1f}",
        f"{statistics.mean(scores['theirs']):.2f}",
        f"{statistics.mean(scores['ours']):.2f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=60_000, help="images of MNIST")
    parser.add_argument("--only", choices=("digits", "mnist"))
    args = parser.parse_args()
    common.header("scikit-learn")
    head = ("fit", "data", "theirs s", "ours s", "theirs / ours", "compiling s", "with compiling")
    rows: list[tuple[str, ...]] = [(*head, "pseudo-LL theirs", "ours")]
    if args.only != "mnist":
        plain = {"n_components": 64, "learning_rate": 0.1, "batch_size": 10, "n_iter": 7}
        example = {"n_components": 100, "learning_rate": 0.06, "batch_size": 10, "n_iter": 10}
        for dtype in (np.float64, np.float32):
            rows.append(compare("digits, 64 units, 7 epochs", digits(False), dtype, args.rounds, **plain))
            rows.append(compare("shifted digits, 100 units, 10 epochs", digits(True), dtype, args.rounds, **example))
    if args.only != "digits":
        images = mnist(args.images)
        for size in (10, 100):
            params = {"n_components": 256, "learning_rate": 0.1, "batch_size": size, "n_iter": 1}
            title = f"MNIST, {len(images)} images, 256 units, batches of {size}, 1 epoch"
            rows += [compare(title, images, dtype, args.rounds, **params) for dtype in (np.float64, np.float32)]
    common.table(rows)


if __name__ == "__main__":
    main()
