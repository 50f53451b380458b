"""Deep Boltzmann machines of MNIST: training, the bound of the log-likelihood, and digits and labels from each other.

    python benchmarks/deep.py train dbm|labels --out MODEL.npz [--epochs N] [--from MODEL.npz]
    python benchmarks/deep.py score MODEL.npz [--chains 200] [--temperatures 20000]

``dbm`` has 500 and 1000 hidden units and reads all 60 000 training images. ``labels`` is a multimodal machine of images
and labels (hidden layers of 500 and 100 units, a top layer of 500) and reads 50 000 of them. The pixels of each image
are drawn eight times, and an epoch reads all draws. ``--from`` trains a machine on, as a whole. ``score`` prints the
bound for the published test images (``mnist/golden_rbm`` in RNNRBM_DATA; see ``mnist.py``). Of a multimodal machine it
prints how many labels of test images it finds, and how many digits that it draws given a label a linear classifier of
real digits reads as that label.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import common
import numpy as np
from mnist import drawn, test_images, training_images

import rnnrbm
from rnnrbm.models.dbm import DBM
from rnnrbm.models.multimodal import MultimodalDBM

DIGITS_PER_CLASS = 100
N_DRAWS = 8
#: Each reads all draws.
USUAL_EPOCHS = {"dbm": 13, "labels": 10}


class AsAWhole(NamedTuple):
    """A machine without the stage in which it learns layer by layer."""

    model: Any

    @property
    def params(self) -> list[Any]:
        return self.model.params

    @property
    def usual_settings(self) -> dict[str, Any]:
        return self.model.usual_settings

    def loss(self, batch: Any, rng: Any) -> Any:
        return self.model.loss(batch, rng)

    @property
    def stages(self) -> tuple[tuple[float, Any], ...]:
        return (0.0, self.model), (0.4, self.model._replace(k=3)), (0.8, self.model._replace(k=10))

    def complete_training(self, pieces: Any) -> None:
        if hasattr(self.model, "complete_training"):
            self.model.complete_training(pieces)


def train(what: str, out: Path, epochs: int, begun: Path | None) -> None:
    if what == "dbm":
        images = drawn(training_images("none")[0], N_DRAWS)
        model: Any = DBM.init(784, (500, 1000), seed=0, n_mean_field=5)
    else:
        data = rnnrbm.load("mnist", with_labels=True)
        _, labels = data.kind.split(data.train[0])
        pixels = drawn(rnnrbm.load("mnist", binarise="none").train[0], N_DRAWS)
        images = np.concatenate([pixels, np.tile(data.kind.one_hot(labels).astype(np.uint8), (N_DRAWS, 1))], axis=1)
        model = rnnrbm.build(
            "multimodal-dbm",
            data.n_visible,
            layers=(500, 100, 500),
            visible=data.kind.unit_name([images]),
            n_mean_field=5,
            seed=0,
        )
    settings: dict[str, Any] = {"epochs": epochs, "seed": 0}
    if begun is not None:
        model = rnnrbm.load_model(begun)
        settings |= {"learning_rate": 0.01, "averaging": 0.9995, "seed": 1}
    began = time.perf_counter()
    for row in rnnrbm.fit(model if begun is None else AsAWhole(model), images, **settings):
        seconds = time.perf_counter() - began
        print(f"epoch {row['epoch']:3} reconstruction {row['reconstruction']:.2f} {seconds:.0f} s", flush=True)
        model.save(out)
    model.save(out)  # with what is done once when training is finished


def score(path: Path, n_chains: int, n_temperatures: int) -> None:
    model = rnnrbm.load_model(path)
    if not isinstance(model, MultimodalDBM):
        name, images = test_images()
        bound = model.bound([images], n_chains=n_chains, n_temperatures=n_temperatures)
        size = bound.effective_sample_size[0]
        print(f"{name}: {bound}, effective sample size {size:.0f} of {n_chains} chains")
        return
    from sklearn.linear_model import LogisticRegression

    data = rnnrbm.load("mnist", with_labels=True)
    kind: Any = data.kind
    for split in ("valid", "test"):
        pixels, labels = kind.split(getattr(data, split)[0])
        right = model.classify(pixels).argmax(axis=1) == labels
        print(f"labels from digits, {split}: {100 * right.mean():.2f} %", flush=True)
    wanted = np.repeat(np.arange(10), DIGITS_PER_CLASS)
    given = np.concatenate([np.full((len(wanted), 784), np.nan), kind.one_hot(wanted)], axis=1)
    drawn = model.complete(given, seed=1, expected=True)[:, :784]
    linear = LogisticRegression(C=0.02, max_iter=100).fit(*kind.split(data.train[0]))
    read = linear.predict(drawn) == wanted
    print(f"digits from labels: {100 * read.mean():.1f} % read as wanted, by class {read.reshape(10, -1).mean(axis=1)}")
    print(f"(of real test images the classifier reads {100 * linear.score(pixels, labels):.1f} %)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_train = commands.add_parser("train")
    of_train.add_argument("what", choices=("dbm", "labels"))
    of_train.add_argument("--out", type=Path, required=True)
    of_train.add_argument("--epochs", type=int, help="by default 13 for dbm, 10 for labels")
    of_train.add_argument("--from", dest="begun", type=Path)
    of_score = commands.add_parser("score")
    of_score.add_argument("model", type=Path)
    of_score.add_argument("--chains", type=int, default=200)
    of_score.add_argument("--temperatures", type=int, default=20_000)
    args = parser.parse_args()
    common.header()
    if args.command == "train":
        train(args.what, args.out, args.epochs or USUAL_EPOCHS[args.what], args.begun)
    else:
        score(args.model, args.chains, args.temperatures)


if __name__ == "__main__":
    main()
