"""Motion capture
==============

Motion capture: joint angles of people who walk, run and jump, predicted frame by frame and ten frames ahead.

Run it by::

    python examples/06_motion.py            49 joint angles (fetched once, 1.4 MB), about three minutes
    python examples/06_motion.py --smoke    a test run of a few seconds, on a curve that is made up

An RNN-RBM of real numbers stands beside linear models. Its standard deviations depend on the past, and the three
latest frames set its biases directly, so it begins as the best linear model that it knows (autoregression with heavy
tails) and learns what is not linear. The table has the squared error of the next frame, summed over a frame, mean
over the frames from the fourth of each sequence on; and of forecasts ten frames ahead, whose samples are scored by
the continuous ranked probability score (CRPS: smaller is better).

The pictures are in ``runs/06_motion``: ``fan.png`` has a forecast of a test sequence, ``ahead.png`` the errors from one
to ten frames ahead, and ``samples.png`` a test sequence and a sample of the same length.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import rnnrbm
from rnnrbm import plot
from rnnrbm.sampling import expect_blocks
from rnnrbm.scoring.autoregression import ColumnGaussian, VectorAutoregression
from rnnrbm.scoring.forecasts import linear_forecasters, next_frame_error, score_forecasts
from rnnrbm.scoring.heavy_tails import RobustAutoregression

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--epochs", type=int, default=0, help="by default what suits the data")
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/06_motion"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

if args.smoke:
    t = np.arange(60.0)[:, None]
    waves = [np.sin((0.2 + 0.02 * i) * t + np.arange(4)).astype(np.float32) for i in range(6)]
    data = rnnrbm.Dataset("waves", waves[:4], waves[4:5], waves[5:], rnnrbm.datasets.Vectors())
else:
    data = rnnrbm.load("mit-mocap")
print(data)
# Settings are chosen by the validation set; for the test set, the models learn from both.
both = [*data.train, *data.valid]
settings: dict = {"epochs": args.epochs} if args.epochs else {}
n_samples, n_ahead, sizes = 50, 10, {"n_hidden": 30, "n_recurrent": 30}  # larger ones learn noise by heart
if args.smoke:
    settings, n_samples, sizes = {"epochs": 2}, 4, {"n_hidden": 4, "n_recurrent": 5}

model = rnnrbm.build(
    "rnn-rbm",
    data.n_visible,
    visible=data.kind.unit_name(both),
    autoregressive=data.kind.autoregressive,
    seed=0,
    **sizes,
)
began = time.perf_counter()
for row in rnnrbm.fit(model, both, seed=0, **settings):
    if row["epoch"] % 10 == 0:
        print(f"epoch {row['epoch']:.0f}, {row['seconds']:.0f} s")
seconds = time.perf_counter() - began


def sampled(history, steps, n, seed):
    return model.predict(history, steps, n, seed=seed).samples


# The next frame: the mean of 50 chains of 50 Gibbs steps, which begin at the frame before.
own = expect_blocks(model, data.test, n_samples=n_samples, k=50, start="previous")
errors = {
    "copy": next_frame_error(ColumnGaussian(np.zeros(data.n_visible), np.ones(data.n_visible), True).mean_of, data.test)
}
for order in (1, 2, 3):
    linear = VectorAutoregression.fit(data.train, data.valid, order)
    errors[f"VAR({order})"] = next_frame_error(linear.mean_of, data.test)
errors["VAR(3), heavy tails"] = next_frame_error(RobustAutoregression.fit(both, 3).mean_of, data.test)
errors["RNN-RBM"] = next_frame_error(own, data.test)

# Ten frames ahead, from every tenth frame on.
forecasters = linear_forecasters(data.train, data.valid) | {"RNN-RBM": sampled}
ahead = {
    name: score_forecasts(forecaster, data.test, steps=n_ahead, n_samples=n_samples, every=10)
    for name, forecaster in forecasters.items()
}
print(f"\n{'':<20} {'next frame':>10} {f'{n_ahead} ahead':>10} {'CRPS, 1':>8} {f'CRPS, {n_ahead}':>8}")
for name, scores in ahead.items():
    print(
        f"{name:<20} {errors[name]:10.3f} {scores.squared_error[-1]:10.2f} {scores.crps[0]:8.4f} {scores.crps[-1]:8.4f}"
    )
print(f"({ahead['copy'].n_forecasts} forecasts of {n_samples} samples; the RNN-RBM trained for {seconds:.0f} s)")

piece = max(data.test, key=len)
middle = len(piece) // 2
found = model.predict(piece[:middle], 2 * n_ahead, 200, seed=1)
plot.save(plot.fan(piece[:middle], found.samples, true=piece[middle : middle + 2 * n_ahead]), args.out / "fan.png")
figure = Figure(figsize=(9, 3.6), layout="constrained")
for ax, what in zip(figure.subplots(1, 2), ("squared_error", "crps"), strict=True):
    for name, scores in ahead.items():
        ax.plot(np.arange(1, n_ahead + 1), getattr(scores, what), label=name, marker=".")
    ax.set(xlabel="frames ahead", title="squared error of a frame" if what == "squared_error" else "CRPS")
    ax.legend(fontsize="x-small", frameon=False)
plot.save(figure, args.out / "ahead.png")
sample = rnnrbm.generate(model, len(piece), prime=piece[:10], seed=2)[0]
figure = Figure(figsize=(9, 5), layout="constrained")
for ax, (title, values) in zip(
    figure.subplots(2, 1, sharex=True), {"test sequence": piece, "sample": sample}.items(), strict=True
):
    plot.frames(values, ax=ax, title=title)
plot.save(figure, args.out / "samples.png")
print(data.kind.statistics([sample]), data.kind.statistics(data.test))
print("written to", args.out)
