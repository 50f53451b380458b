"""Ways to train the RBM of an RNN-RBM better, at equal time.

    python -m benchmarks.ways [--data bach] [--seeds 0 1 2] [--only WAY ...] [--out benchmarks/ways/ways.csv]
    python -m benchmarks.ways --show
    python -m benchmarks.ways --plot docs/results/ways.png

Trains the default RNN-RBM by every way of :data:`benchmarks.ways.ways.WAYS`, for about the same processor time, and
appends a row to a CSV file: log-likelihoods of 1 000 frames of the valid set and of 500 of the training set (AIS, 10
chains x 300 temperatures, with the known frames summed exactly), and seconds. Rows that the file has already are left
out, so an interrupted table goes on, and several processes may share the work.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from benchmarks import common
from benchmarks.ways.ways import EPOCHS, WAYS, train


def means(rows: list[dict[str, str]], data: str) -> dict[str, tuple[list[float], float, float, int]]:
    """Valid log-likelihoods of the seeds, their mean for training frames, mean seconds and epochs, by way."""
    found = {}
    for way in WAYS:
        mine = [row for row in rows if row["way"] == way and row["data"] == data]
        if mine:
            valid, known, seconds = ([float(row[c]) for row in mine] for c in ("valid_ll", "train_ll", "seconds"))
            found[way] = (valid, statistics.fmean(known), statistics.fmean(seconds), int(mine[0]["epochs"]))
    return found


def show(rows: list[dict[str, str]]) -> None:
    """Print a table for each data set, the best way first."""
    for data in dict.fromkeys(row["data"] for row in rows):
        found = means(rows, data)
        print(f"Data set `{data}`:\n")
        print("| way | epochs | seconds | valid LL, mean of seeds | of each seed | training LL |")
        print("| --- | ---: | ---: | ---: | --- | ---: |")
        for way, (valid, known, seconds, epochs) in sorted(found.items(), key=lambda x: -statistics.fmean(x[1][0])):
            each = ", ".join(f"{x:.3f}" for x in valid)
            mean = statistics.fmean(valid)
            print(f"| {WAYS[way].words} | {epochs} | {seconds:.0f} | {mean:.3f} | {each} | {known:.3f} |")


def plot(rows: list[dict[str, str]], data: str, path: Path) -> None:
    """Draw the seeds of each way beside those of the defaults."""
    from matplotlib.figure import Figure

    found = sorted(means(rows, data).items(), key=lambda x: statistics.fmean(x[1][0]))
    figure = Figure(figsize=(9, 0.34 * len(found) + 1.1), layout="constrained")
    axes = figure.add_subplot()
    usual = statistics.fmean(dict(found)["defaults"][0])
    axes.axvline(usual, color="0.6", lw=1)
    for y, (way, (valid, *_)) in enumerate(found):
        colour = "C0" if statistics.fmean(valid) > usual else "C1"
        axes.plot(valid, [y] * len(valid), "o", ms=5, color="0.2" if way == "defaults" else colour)
        axes.plot([statistics.fmean(valid)] * 2, [y - 0.3, y + 0.3], color="0.2" if way == "defaults" else colour, lw=2)
    axes.set_yticks(range(len(found)), [WAYS[way].words for way, _ in found])
    axes.set_xlabel("valid log-likelihood, nats per frame")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="bach")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="epochs of the defaults")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("ways.csv"))
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    if args.show:
        show(common.read_rows(args.out))
    elif args.plot:
        plot(common.read_rows(args.out), args.data, args.plot)
    else:
        for seed in args.seeds:
            for way in args.only:
                done = [(row["data"], row["way"], row["seed"]) for row in common.read_rows(args.out)]
                if (args.data, way, str(seed)) not in done:
                    row = train(way, args.data, seed, args.epochs)
                    common.append_row(args.out, row)
                    print(row, flush=True)
