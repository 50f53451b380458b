"""AIS and RAISE of the same frames, for more and more temperatures: do the two sides meet?

    python benchmarks/bracket.py RUN [--frames 2000] [--temperatures 1000 4000] [--n-chains 100]
    python benchmarks/bracket.py FILE.npz --images 200 --temperatures 1000 10000 100000

RUN is the folder of a trained run, or "bach". Its test frames are scored, with its training frames as exact states.
FILE.npz holds a static binary RBM (``W``, ``b_v``, ``b_h``) and images (``test_packed``, bits of each row). Give RAISE
fewer chains there, since each image needs its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np

from rnnrbm.backend import engine
from rnnrbm.experiment import run
from rnnrbm.rbm import RBM
from rnnrbm.scoring.likelihood import Evaluator, usable_states, usual_annealing
from rnnrbm.scoring.result import verdict


def read(path: Path, n_images: int) -> tuple[Any, Sequence[np.ndarray], np.ndarray | None]:
    """Return a model, pieces to score and exact states."""
    if path.suffix != ".npz":
        trained = run.load(path)
        data = run.load_data(trained.config.data, run_folder=trained.folder)
        return trained.model, data.test, usable_states(trained.model, data.train)
    with np.load(path) as arrays:
        rbm = RBM(*(engine.shared(arrays[name], name) for name in ("W", "b_v", "b_h")))
        images = np.unpackbits(arrays["test_packed"], axis=1, count=len(arrays["W"]))
    return rbm, [images[:n_images]], None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--frames", type=int, default=2000, help="random frames of a run")
    parser.add_argument("--images", type=int, default=200, help="first images of a file")
    parser.add_argument("--temperatures", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--n-chains", type=int, default=100)
    parser.add_argument("--raise-chains", type=int, help="chains of RAISE; by default as many as of AIS")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    common.header()
    model, pieces, states = read(options.model, options.images)
    rows = [("temperatures", "AIS", "bias", "RAISE", "bias", "gap", "seconds", "verdict")]
    for n_temperatures in options.temperatures:
        sides, began = [], time.perf_counter()
        for method, n_chains in (("ais", options.n_chains), ("raise", options.raise_chains or options.n_chains)):
            annealing = usual_annealing(model, method, n_chains=n_chains, n_temperatures=n_temperatures)
            evaluate = Evaluator(model, method=method, exact_states=states, **annealing._asdict())
            sides.append(evaluate(pieces, seed=options.seed, frames=options.frames))
        upper, lower = sides
        figures = [x for side in sides for x in (f"{side.mean:.4f} ± {side.standard_error:.4f}", f"{side.bias:.4f}")]
        seconds = f"{time.perf_counter() - began:.0f}"
        gap = f"{upper.mean - lower.mean:.4f}"
        rows.append((f"{n_temperatures}", *figures, gap, seconds, verdict(upper, lower) or "a bracket"))
        print(rows[-1], flush=True)
    common.table(rows)


if __name__ == "__main__":
    main()
