"""Do long samples stay like the training set?

    python benchmarks/long_samples.py RUN [RUN ...] [--n-samples 64] [--n-frames 2048]

RUN is a folder of ``rnnrbm train``, or bach. Samples are cut into windows of 256 frames, and the level of a window is
its mean number of notes per frame. Samples pass if

* mean: the mean level of each window, over all samples, is within 15 % of that of the training set;
* ends: the mean level of the last two windows is within 10 % of that of the first two;
* spread: the 5th and the 95th percentile of all levels lie between the 1st and the 99th of the training set.

As many windows drawn from the training set are held to the same rules, in the second line of each run. The exit code
is 1 if samples do not pass.
"""

import argparse
import sys

import numpy as np

import rnnrbm
from rnnrbm.experiment import run
from rnnrbm.scoring.drift import window_means
from rnnrbm.scoring.likelihood import usable_states

WINDOW = 256  # frames
MEAN, ENDS = 0.15, 0.10


def measure(levels: np.ndarray, train: np.ndarray, usual: float) -> tuple[dict[str, float], bool]:
    """Return what the rules are about, and whether they hold.

    Parameters
    ----------
    levels : array (n_samples, n_windows)
        Levels of the windows of samples.
    train : array (n,)
        Levels of the windows of the training set.
    usual : float
        Mean level of all frames of the training set.
    """
    apart = levels.mean(axis=0) / usual - 1
    ends = levels[:, -2:].mean() / levels[:, :2].mean() - 1
    low, high = np.percentile(levels, [5, 95])
    least, greatest = np.percentile(train, [1, 99])
    numbers = {"mean": float(apart[abs(apart).argmax()]), "ends": float(ends), "p5": float(low), "p95": float(high)}
    return numbers, bool(abs(apart).max() <= MEAN and abs(ends) <= ENDS and least <= low and high <= greatest)


def main(folders: list[str], n_samples: int, n_frames: int) -> int:
    print(f"| windows of {WINDOW} frames | mean | ends | 5th to 95th percentile | 1st to 99th of training | |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    failed = False
    for folder in folders:
        trained = run.load(folder)
        generation = trained.config.generation
        train = run.load_data(trained.config.data, run_folder=trained.folder).train
        levels = trained.kind.levels(train)
        windows, usual = window_means(levels, WINDOW), float(np.concatenate(levels).mean())
        states = usable_states(trained.model, train, generation.n_init_states)
        sampled = rnnrbm.generate(
            trained.model, n_frames, n_samples=n_samples, k=generation.k, seed=0, init_states=states
        )
        ours = trained.kind.levels(list(trained.kind.from_samples(sampled)))
        shape = (n_samples, n_frames // WINDOW)
        drawn = np.random.default_rng(0).choice(windows, shape)
        for name, each in (
            (f"samples of {folder}", window_means(ours, WINDOW).reshape(shape)),
            ("training set", drawn),
        ):
            numbers, passes = measure(each, windows, usual)
            failed |= not passes and each is not drawn
            print(
                f"| {name} | {numbers['mean']:+.1%} | {numbers['ends']:+.1%} | {numbers['p5']:.2f} to "
                f"{numbers['p95']:.2f} | {np.percentile(windows, 1):.2f} to {np.percentile(windows, 99):.2f} | "
                f"{'passes' if passes else 'DOES NOT PASS'} |",
                flush=True,
            )
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--n-samples", type=int, default=64)
    parser.add_argument("--n-frames", type=int, default=2048)
    args = parser.parse_args()
    sys.exit(main(args.runs, args.n_samples, args.n_frames))
