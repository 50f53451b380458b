"""Start-up time of the library, over fresh processes.

import            ``import rnnrbm``, minus the start of Python itself
--help            ``rnnrbm --help``, the whole process
first step        from the start of Python to the result of the first training step of the default model, with an
                  empty folder of compiled programs (first run) and with the folder that it left (second run)
load              ``rnnrbm.load("nottingham")`` from its .mat file, including the import of SciPy, minus the start of
                  Python; the data is in the folder of the environment variable RNNRBM_DATA

    python benchmarks/startup.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common

STEP = """
import numpy as np
import rnnrbm
data = rnnrbm.load("bach")
model = rnnrbm.rnn_rbm(data.n_visible, seed=0)
class Done(Exception):
    pass
def stop_at_first_batch(stage, done, total, row):
    if stage == "batch":
        raise Done
try:
    next(rnnrbm.fit(model, data.train, progress=stop_at_first_batch))
except Done:
    np.asarray(model.params[0].get_value())
"""
TARGETS = {"import": "< 0.5 s", "--help": "< 1 s", "first step, second run": "< 6 s", "load": "< 2 s"}


def seconds(command: list[str], **environment: str) -> float:
    """Wall time of a process; raise if it fails."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | environment)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    common.header(device=False)
    python = [sys.executable, "-c"]
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(options.rounds + 1):
            cache = str(Path(folder) / str(i))
            bare = seconds([*python, "pass"])
            row = {
                "import": seconds([*python, "import rnnrbm"]) - bare,
                "--help": seconds([sys.executable, "-m", "rnnrbm.cli.main", "--help"]),
                "import of all a training run needs": seconds([*python, "import jax, rnnrbm; rnnrbm.fit"]) - bare,
                "first step, first run": seconds([*python, STEP], RNNRBM_CACHE=cache),
                "first step, second run": seconds([*python, STEP], RNNRBM_CACHE=cache),
            }
            if os.environ.get("RNNRBM_DATA"):
                row["load"] = seconds([*python, 'import rnnrbm; rnnrbm.load("nottingham")']) - bare
            if i:  # the first round fills the system's file cache
                for name, value in row.items():
                    times.setdefault(name, []).append(value)
    rows = [(f"median of {options.rounds} fresh processes (range)", "seconds", "target", "")]
    for name, values in times.items():
        target = TARGETS.get(name, "")
        met = "" if not target else "met" if statistics.median(values) < float(target.split()[1]) else "missed"
        rows.append((name, common.spread(values), target, met))
    common.table(rows)


if __name__ == "__main__":
    main()
