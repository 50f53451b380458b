"""Peak memory of a default training run, ``rnnrbm train`` with all its epochs and outputs.

Measures the resident memory of the process and its children every 20 ms, and the kernel's own peak of the process
alone. On a GPU this is the host's memory, since JAX reserves the device's in advance.

``--musedata`` trains two epochs of the default model with CD-10 on a quarter of MuseData's training set, half of it,
all and twice all. It shows the growth of memory with the size of the set, and the time of an epoch. The data is in the
folder of the environment variable RNNRBM_DATA, or downloaded.

    python benchmarks/memory.py [--epochs N]
    python benchmarks/memory.py --musedata
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common

TARGET = 1.2  # GB
EPOCH_TARGET = 60  # seconds for an epoch of all of MuseData, on 2 cores

EPOCHS = """
import sys
import numpy as np
import rnnrbm
data = rnnrbm.load("musedata")
pieces = (2 * data.train)[: round(float(sys.argv[1]) * len(data.train))]
model = rnnrbm.rnn_rbm(data.n_visible, seed=0)
seconds = [row["seconds"] for row in rnnrbm.fit(model, pieces, epochs=2, k=10, transpose_range=(-5, 6))]
with open(sys.argv[2], "w") as out:
    print(sum(p.nbytes for p in pieces), sum(map(len, pieces)), *np.diff(seconds), file=out)
"""


def peak(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return peak resident memory with children, the process's own peak (both GB), and seconds."""
    import psutil

    began, most, own = time.perf_counter(), 0, 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                now = 0
                for p in [watched, *watched.children(recursive=True)]:
                    now += p.memory_info().rss
                most = max(most, now)
                status = Path(f"/proc/{process.pid}/status")
                if status.exists():
                    own = max(own, *(int(x.split()[1]) for x in status.read_text().splitlines() if "VmHWM" in x), 0)
            except (psutil.Error, OSError):
                pass  # a process ended during the measurement
            time.sleep(0.02)
        diagnostics = process.stderr.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{diagnostics}")
    return most / 1e9, own * 1024 / 1e9, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, help="a shorter run, whose memory is not that of the whole")
    parser.add_argument("--musedata", action="store_true")
    options = parser.parse_args()
    common.header("psutil", device=False)
    if options.musedata:
        musedata()
        return
    with tempfile.TemporaryDirectory() as folder:
        rnnrbm = [sys.executable, "-m", "rnnrbm.cli.main", "train", "--out", str(Path(folder) / "run")]
        short = [] if options.epochs is None else ["--epochs", str(options.epochs)]
        most, own, took = peak([*rnnrbm, *short])
        rows = [("peak resident memory", "GB", "target", "")]
        rows.append((" ".join(["rnnrbm train", *short]) + ", children included", f"{most:.2f}", f"< {TARGET} GB"))
        rows[-1] += ("met" if most < TARGET else "missed",)
        rows.append(("of the process itself, by the kernel", f"{own:.2f}" if own else "not known", "", ""))
        bare, _, _ = peak([sys.executable, "-c", "import rnnrbm, jax; rnnrbm.fit; jax.devices()"])
        rows.append(("imports alone (PyTensor, JAX)", f"{bare:.2f}", "", ""))
        common.table(rows)
        print(f"the run took {took:.0f} s")


def musedata() -> None:
    """Print memory and time by size of the set."""
    rows = [("of MuseData", "frames", "rolls, MB", "peak resident memory, GB", "seconds, second epoch", "target", "")]
    with tempfile.TemporaryDirectory() as folder:
        for share in (0.25, 0.5, 1.0, 2.0):
            out = Path(folder) / "out"
            most, _, _ = peak([sys.executable, "-c", EPOCHS, str(share), str(out)])
            size, frames, seconds = (float(x) for x in out.read_text().split())
            row = (f"{share:g}", f"{frames:.0f}", f"{size / 1e6:.1f}", f"{most:.2f}", f"{seconds:.1f}")
            met = "met" if seconds < EPOCH_TARGET else "missed"
            rows.append((*row, f"< {EPOCH_TARGET} s", met) if share == 1.0 else (*row, "", ""))
    common.table(rows)


if __name__ == "__main__":
    main()
