"""Learning rates and dropout of every model, on the embedded chorales.

    python benchmarks/rates.py [--models rnn-rbm rtrbm ...] [--out benchmarks/rates.csv]
    python benchmarks/rates.py --show

Trains each model of the registry at three learning rates and two pairs of dropout rates, with two seeds and fewer
epochs than by default, and appends a row to a CSV file: log-likelihood of 1 000 frames of the valid set and seconds of
processor time. Rows that the file has already are left out, so an interrupted table goes on. Several processes may
share the work: give each its own models. ``--show`` prints the means over the seeds as a table.
"""

import argparse
import statistics
import time
from itertools import product
from pathlib import Path

import common

import rnnrbm
from rnnrbm.models.registry import SEQUENCE_MODELS
from rnnrbm.scoring.likelihood import Evaluator

RATES = (3e-3, 8e-3, 2e-2)
DROPOUTS = ((0.3, 0.2), (0.5, 0.3))  # of the network's outputs, and of its inputs
SEEDS = (0, 1)
N_EPOCHS = 100
#: epochs of models that take longer for each
EPOCHS = {"tied-rnn-rbm": 5, "tied-rnn-nade": 5}
N_FRAMES = 1000  #: of the valid set
COLUMNS = ["model", "epochs", "learning_rate", "state_dropout", "input_dropout", "seed", "valid_ll", "cpu_seconds"]
#: those that tell rows apart
CHOSEN = ["model", "learning_rate", "state_dropout", "input_dropout", "seed"]


def run(name: str, rate: float, dropouts: tuple[float, float], seed: int) -> dict[str, object]:
    """Train once, and return the row."""
    data = rnnrbm.load("bach")
    model = rnnrbm.build(name, data.n_visible, seed=seed)
    settings = rnnrbm.Training(
        epochs=EPOCHS.get(name, N_EPOCHS),
        learning_rate=rate,
        state_dropout=[(0.0, dropouts[0]), (0.95, 0.0)],
        input_dropout=[(0.0, dropouts[1]), (0.95, 0.0)],
        transpose_range=(-5, 6),
        seed=seed,
    )
    began = time.process_time()
    list(rnnrbm.fit(model, data.train, None, settings))
    took = time.process_time() - began
    states = None if model.normalized else rnnrbm.frequent_states(data.train)
    scored = Evaluator(model, n_chains=5, n_temperatures=300, exact_states=states)(data.valid, frames=N_FRAMES)
    values = (name, settings.epochs, rate, *dropouts, seed, round(scored.mean, 4), round(took))
    return dict(zip(COLUMNS, values, strict=True))


def show(rows: list[dict[str, str]]) -> None:
    """Print the means over seeds, the best of a model in bold."""
    columns = [(rate, dropouts) for dropouts in DROPOUTS for rate in RATES]
    print("| model | " + " | ".join(f"{rate:g}, {a}/{b}" for rate, (a, b) in columns) + " | seconds |")
    print("| --- |" + " ---: |" * (len(columns) + 1))
    for name in SEQUENCE_MODELS:
        mine = [row for row in rows if row["model"] == name]
        means = {}
        for rate, dropouts in columns:
            key = (rate, *dropouts)
            same = [
                float(row["valid_ll"])
                for row in mine
                if key == tuple(float(row[c]) for c in ("learning_rate", "state_dropout", "input_dropout"))
            ]
            if same:
                means[key] = statistics.fmean(same)
        best = max(means.values(), default=0.0)
        cells = [f"{m:.3f}" if (m := means.get((rate, *dropouts))) is not None else "" for rate, dropouts in columns]
        cells = [f"**{cell}**" if cell and float(cell) == round(best, 3) else cell for cell in cells]
        seconds = statistics.fmean(float(row["cpu_seconds"]) for row in mine) if mine else 0.0
        print(f"| `{name}` | " + " | ".join(cells) + f" | {seconds:.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(SEQUENCE_MODELS), default=list(SEQUENCE_MODELS))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("rates.csv"))
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    if args.show:
        show(common.read_rows(args.out))
        raise SystemExit
    for seed, name, dropouts, rate in product(SEEDS, args.models, DROPOUTS, RATES):
        if name in ("rbm", "nade") and dropouts != DROPOUTS[0]:  # no network, so nothing is dropped
            continue
        key = [name, f"{rate}", *map(str, dropouts), str(seed)]
        if key in [[row[column] for column in CHOSEN] for row in common.read_rows(args.out)]:
            continue
        row = run(name, rate, dropouts, seed)
        common.append_row(args.out, row)
        print(row, flush=True)
