"""Bouncing balls
==============

Bouncing balls: a film that is made up, predicted frame by frame, and continued.

Run it by::

    python examples/07_balls.py                    15 x 15 pixels, 2000 films of 128 frames; about half an hour
    python examples/07_balls.py --model rtrbm --films 1000 --epochs 0 12 --noise 0    about four minutes
    python examples/07_balls.py --smoke            a test run of a few seconds

Three balls move in a box and bounce off its walls and each other (Sutskever & Hinton, AISTATS 2007). A linear model can
continue a straight line, but not foresee a bounce. The RNN-RBM begins as that linear model; its recurrent network is
trained first to expect the next frame (`pretrain_network`), then the whole model together, by chains that begin at
noise: chains from the data never see what the model believes in elsewhere, and its predictions get worse.

The table has the squared error of the next frame, summed over its pixels, mean over the frames from the fourth of each
film on: for the model the mean of chains that begin at the frame before. Ten frames ahead it also says how much moves,
since a forecast that fades to grey has a small error. A network that has only read clean films falls apart on its own,
so it reads noise too; ``--noise 0`` has the smallest error of the next frame. Samples have a low temperature.

In ``runs/07_balls``, ``films.gif`` shows a test film beside continuations of its first 20 frames, ``ahead.png`` frames
of one of them, and ``fields.png`` the weights of hidden units.
"""

import argparse
from pathlib import Path

import numpy as np

import rnnrbm
from rnnrbm import plot
from rnnrbm.sampling import expect_blocks
from rnnrbm.scoring.autoregression import ColumnGaussian, VectorAutoregression
from rnnrbm.scoring.forecasts import next_frame_error
from rnnrbm.training.pretraining import stages
from rnnrbm.training.settings import Training

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", choices=("rnn-rbm", "rtrbm"), default="rnn-rbm")
parser.add_argument("--films", type=int, default=2000)
parser.add_argument("--resolution", type=int, default=15)
parser.add_argument("--units", type=int, default=500, help="of the recurrent network")
parser.add_argument("--epochs", type=int, nargs=2, default=(24, 8), help="of the network alone, and of the whole")
parser.add_argument("--noise", type=float, default=0.1, help="on what the network reads in training")
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/07_balls"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
n_chains, k, n_scored, cool = 50, 50, 200, {"temperature": 0.1}
if args.smoke:
    args.films, args.resolution, args.units, args.epochs = 4, 6, 5, (1, 1)
    n_chains, k, n_scored = 2, 2, 2

data = rnnrbm.load("balls", resolution=args.resolution, n_sequences=args.films)
shape, test = data.kind.shape, data.test[:n_scored]
print(data)
sizes = {"n_recurrent": args.units} if args.model == "rnn-rbm" else {}
sizes |= {"n_hidden": max(2 * args.units // 5, 4), "autoregressive": data.kind.autoregressive}
model = rnnrbm.build(args.model, data.n_visible, visible="gaussian:0.1", **sizes, seed=0)
settings = Training(
    pretrain_network=args.epochs[0],
    epochs=args.epochs[1],
    learning_rate=3e-3,
    k=10,
    start="noise",
    weight_decay=0.0,
    input_noise=args.noise,
    input_dropout=0.0,
    state_dropout=0.0,
    centring=False,
    batch_size=24,
    row_length=64,
)
for name, part, own in stages(model, settings):
    gentle = own if name == "network" else own.model_copy(update={"learning_rate": 1e-3})
    for row in rnnrbm.fit(part, data.train, None, gentle):
        print(f"{name} epoch {row['epoch']:.0f}, loss {row['loss']:.1f}, {row['seconds']:.0f} s", flush=True)
model.save(args.out / "model.npz")


def clipped(expected):
    """Pixels are between 0 and 1, and no linear model knows it."""
    return lambda piece: np.clip(expected(piece), 0.0, 1.0)


copy = ColumnGaussian(np.zeros(data.n_visible), np.ones(data.n_visible), True)
print(f"\n{'next frame, squared error':<28} {next_frame_error(copy.mean_of, test):8.3f}  copy of the last frame")
for order in (1, 2, 3):
    linear = VectorAutoregression.fit(data.train[:200], data.valid[:50], order)
    print(f"{'':<28} {next_frame_error(clipped(linear.mean_of), test):8.3f}  VAR({order}), cut to 0 to 1")
pairs = expect_blocks(model, test, n_samples=n_chains, k=k, start="previous")
error = next_frame_error(((true, np.clip(expected, 0.0, 1.0)) for true, expected in pairs), test)
print(f"{'':<28} {error:8.3f}  {args.model.upper()}, {n_chains} chains of {k} steps", flush=True)

ahead, film = 10, test[0]  # continuations of the first 20 frames
errors, moves = np.zeros(ahead), np.zeros(ahead)
few = test[: min(20, n_scored)]
for i, piece in enumerate(few):
    drawn = np.clip(model.predict(piece[:20], ahead, 20, seed=i, **cool).samples, 0.0, 1.0)
    errors += np.square(drawn.mean(axis=0) - piece[20 : 20 + ahead]).sum(axis=1) / len(few)
    with_last = np.concatenate([np.repeat(piece[19:20][None], len(drawn), axis=0), drawn], axis=1)
    moves += np.abs(np.diff(with_last, axis=1)).sum(axis=(0, 2)) / len(drawn) / len(few)
true_moves = np.mean([np.abs(np.diff(piece[19 : 20 + ahead], axis=0)).sum(axis=1) for piece in few], axis=0)
still = np.mean([np.square(piece[20 : 20 + ahead] - piece[19]).sum(axis=1) for piece in few], axis=0)
print("ahead:          ", *(f"{i:7}" for i in range(1, ahead + 1)))
print("error of a copy:", *(f"{x:7.2f}" for x in still))
print("squared error:  ", *(f"{x:7.2f}" for x in errors))
print("change, samples:", *(f"{x:7.2f}" for x in moves))
print("change, films:  ", *(f"{x:7.2f}" for x in true_moves))

drawn = np.clip(model.predict(film[:20], len(film) - 20, 3, seed=0, **cool).samples, 0.0, 1.0)
films = [film, *(np.concatenate([film[:20], sample]) for sample in drawn)]
titles = ("test film", *(f"continued {i}" for i in (1, 2, 3)))
plot.moving_images(films, shape, args.out / "films.gif", titles=titles)
plot.save(plot.film_strip(films[1][:60], shape, primed=20), args.out / "ahead.png")
plot.save(plot.filter_tiles(rnnrbm.backend.engine.to_numpy(model.density.W), shape, count=50), args.out / "fields.png")
print(data.kind.statistics(list(drawn)), data.kind.statistics(test[:3]))
print("written to", args.out)
