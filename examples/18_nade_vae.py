"""An RBM, a NADE and a VAE
========================

Three distributions of the same images: an RBM, a NADE and a variational autoencoder (VAE).

Run it by::

    python examples/18_nade_vae.py                 8 x 8 digits that come with the library, about two minutes
    python examples/18_nade_vae.py --data mnist    28 x 28 digits, about an hour
    python examples/18_nade_vae.py --smoke         a test run of a few seconds

The log-likelihood of a NADE is exact. That of an RBM is an estimate by annealing, which tends to be too high; that of a
VAE is a lower bound. Samples of a NADE and a VAE are exact and take one pass; an RBM needs a long chain.

The pictures are in ``runs/18_nade_vae``. ``samples.png`` shows test images, and samples of each model beside them: a
NADE and an RBM draw sharp strokes that do not always close, a VAE whole shapes with ragged borders, as its pixels are
independent given the latent units. ``units.png`` shows what the hidden units of the RBM and the NADE read, and what
each latent unit of the VAE changes in an image.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import rnnrbm
from rnnrbm import plot
from rnnrbm.models.nade import NADE
from rnnrbm.models.nade_orders import log_likelihood_of_orders
from rnnrbm.models.vae import VAE

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", default="digits", choices=("digits", "mnist"))
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/18_nade_vae"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

data = rnnrbm.load(args.data)
kind, n = data.kind, data.n_visible
train, valid, test = (part[0] for part in (data.train, data.valid, data.test))
n_hidden, n_samples, settings = (500 if args.data == "mnist" else 200), 1000, {}
k, annealing = 1000, {"n_chains": 100, "n_temperatures": 5000}
if args.smoke:
    train, valid, test, n_hidden, n_samples, settings = train[:100], None, test[:20], 8, 20, {"epochs": 2}
    k, annealing = 5, {"n_chains": 4, "n_temperatures": 20}

# The sizes and settings that suit each; the best epoch on the validation set is kept.
models = {
    "RBM": rnnrbm.RBM.init(n, n_hidden, seed=0),
    "NADE": NADE.init(n, n_hidden, seed=0),
    "NADE, any order": NADE.init(n, n_hidden, seed=0, orderless=True),
    "VAE": VAE.init(n, n_hidden=min(n_hidden, 200), n_latent=50, seed=0),
}
seconds = {}
for name, model in models.items():
    began = time.perf_counter()
    epochs = len(list(rnnrbm.fit(model, train, valid, seed=0, **settings)))
    seconds[name] = time.perf_counter() - began
    print(f"{name:<16} {epochs} epochs, {seconds[name]:.0f} s")

# Each log-likelihood says how it was computed.
scores = {
    "RBM": rnnrbm.log_likelihood(models["RBM"], [test], seed=0, **annealing),
    "NADE": rnnrbm.log_likelihood(models["NADE"], [test]),
    "NADE, any order": log_likelihood_of_orders(models["NADE, any order"], test, n_orders=8),
    "VAE": models["VAE"].bound(test, n_samples=50 if args.smoke else 1000),
}


def samples(name):
    """Images that a model makes of nothing."""
    if name == "VAE":
        return models[name].sample(n_samples, seed=1)
    chain = {"k": k, "start": "annealed"} if name == "RBM" else {}
    return rnnrbm.generate(models[name], 1, n_samples=n_samples, seed=1, **chain)[:, 0]


# Among fewer images the nearest one is farther, so each set of samples is compared with as many test images.
print(f"\n{'':<16} {'nats':>8}  {'mean pixel':>10} {'deviation':>9} {'nearest':>8}   how")
drawings, units = Figure(figsize=(15, 3.4), layout="constrained"), Figure(figsize=(11, 4), layout="constrained")
panels = drawings.subplots(1, 5)
plot.image_tiles(test[:36], kind.shape, n_columns=6, ax=panels[0], title="test images")
rows = [("test images", test[: min(n_samples, len(test))], None)]
rows += [(name, samples(name)[: len(rows[0][1])], score) for name, score in scores.items()]
for i, (name, images, score) in enumerate(rows):
    mean, deviation, nearest = kind.statistics([images]).values()
    value, how = ("", "") if score is None else (f"{score.mean:.2f}", score.settings)
    print(f"{name:<16} {value:>8}  {mean:10.3f} {deviation:9.3f} {nearest:8.2f}   {how}")
    if score is not None:
        plot.image_tiles(images[:36], kind.shape, n_columns=6, ax=panels[i], title=f"{name}: {value}")
weights = {name: np.asarray(models[name].W.get_value()) for name in ("RBM", "NADE")} | {"VAE": models["VAE"].filters()}
for ax, (name, W) in zip(units.subplots(1, 3), weights.items(), strict=True):
    plot.filter_tiles(W, kind.shape, count=36, ax=ax, title=name)
plot.save(drawings, args.out / "samples.png")
plot.save(units, args.out / "units.png")
print("written to", args.out)
