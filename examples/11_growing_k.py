"""Five ways to train an RBM
=========================

How an RBM is trained: CD-1, CD-10, growing k, persistent chains, and parallel tempering, at equal cost.

Run it by::

    python examples/11_growing_k.py                 8 x 8 digits that come with the library, about a minute
    python examples/11_growing_k.py --data mnist    28 x 28 digits, about half an hour
    python examples/11_growing_k.py --smoke         a test run of a few seconds

All start from the same parameters. A method that takes ten Gibbs steps in a batch gets fewer epochs, so that all take
about as many steps in all. The table gives the log-likelihood of test images, and the figure samples of each method.
"""

import argparse
from pathlib import Path

import rnnrbm
from rnnrbm import plot

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", default="digits", choices=("digits", "mnist"))
parser.add_argument("--epochs", type=int, default=0, help="of CD-1; by default 300, and 30 for mnist")
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/11_growing_k"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

data = rnnrbm.load(args.data)
shape = (data.kind.height, data.kind.width)
train, valid, test = (part[0] for part in (data.train, data.valid, data.test))
n_hidden, epochs = (500, args.epochs or 30) if args.data == "mnist" else (100, args.epochs or 300)
chains, temperatures, k_samples = 200, 4000, 1000
if args.smoke:
    train, test, n_hidden, epochs, chains, temperatures, k_samples = train[:200], test[:50], 16, 4, 10, 50, 50

# Settings of each method. A step costs the data's hidden units and the gradient too, about three Gibbs steps.
few = max(epochs // 4, 1)
METHODS = {
    "CD-1": {"k": 1, "epochs": epochs, "persistent": False},
    "CD-10": {"k": 10, "epochs": few, "persistent": False},
    "growing k": {"k": [(0.0, 1), (0.3, 3), (0.6, 10)], "epochs": max(epochs // 2, 1), "persistent": False},
    "PCD-1": {"k": 1, "epochs": epochs, "persistent": True},
    "tempering": {"k": 1, "epochs": few, "persistent": True, "n_betas": 8},
}
print(f"{'method':<12} {'epochs':>6} {'seconds':>8} {'test log-likelihood':>20} {'ink of samples':>15}")
print(f"{'test images':<12} {'':>6} {'':>8} {'':>20} {test.mean():15.3f}")
rows = [("test images", test[:20])]
for name, settings in METHODS.items():
    rbm = rnnrbm.RBM.init(data.n_visible, n_hidden, seed=0)
    *_, last = rnnrbm.fit(rbm, train, seed=0, **settings)
    # AIS of the one Z of all images; where k is small, chains meet modes that no image is near to, and Z is large
    scored = rnnrbm.scoring.likelihood.Evaluator(
        rbm, n_chains=chains, n_temperatures=temperatures, schedule="quadratic"
    )([test], seed=0)
    drawn = rnnrbm.generate(rbm, 1, n_samples=64, k=k_samples, start="annealed", seed=1)[:, 0]
    rows.append((name, drawn[:20]))
    result = f"{scored.mean:.2f} +- {scored.standard_error:.2f}"
    print(f"{name:<12} {last['epoch']:6} {last['seconds']:8.0f} {result:>20} {drawn.mean():15.3f}", flush=True)
plot.save(plot.image_pairs(rows, shape), args.out / "samples.png")
print("written to", args.out)
