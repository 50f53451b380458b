"""Peak memory of a default training run, ``rnnrbm train`` with all its epochs and outputs.

Measures the resident memory of the process and its children every 20 ms, and the kernel's own peak of the process
alone. On a GPU this is the host's memory, since JAX reserves the device's in advance.

``--musedata`` trains two epochs of the default model with CD-10 on a quarter of MuseData's training set, half of it,
all and twice all. It shows the growth of memory with the size of the set, and the time of an epoch. The data is in the
folder of the environment variable RNNRBM_DATA, or downloaded.

``--sound`` makes two folders of synthetic song, whose frames take so many gigabytes and a hundredth of that. It trains
a small model on each for an epoch, scores it, and evaluates it. The memory is taken to be 2 GiB, so that the frames of
the large folder are on disk. What counts is anonymous memory: pages of the file that the frames are in can be dropped
at any time. The folder of the cache needs the space of the frames.

    python benchmarks/memory.py [--epochs N]
    python benchmarks/memory.py --musedata
    python benchmarks/memory.py --sound 2
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import common
import numpy as np

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


SOUND_TARGET = 0.5  # GB that the large folder may take more than the small one
SOUND_RATE, SOUND_HOP, SOUND_BANDS = 16_000, 4, 256  # hertz; milliseconds
#: The command, on a machine of 2 GiB.
SMALL_MACHINE = """
import sys
from rnnrbm import memory
memory.available = lambda: 2**31
from rnnrbm.cli.main import main
sys.argv[0] = "rnnrbm"
main()
"""
SOUND_SETTINGS = {
    "data.segments": "none",
    "data.low": 0,
    "data.high": SOUND_RATE // 2,
    "data.window_ms": 32,
    "data.hop_ms": SOUND_HOP,
    "data.scale": "linear",
    "data.n_bands": SOUND_BANDS,
    "model.n_hidden": 20,
    "model.n_recurrent": 20,
    "training.epochs": 1,
    "training.k": 1,
    "training.row_length": 128,
    "training.batch_size": 32,
    "training.valid_n_frames": 2000,
    "evaluation.n_chains": 2,
    "evaluation.n_temperatures": 3,
    "generation.n_samples": 1,
    "generation.n_frames": 100,
}


class Peak(NamedTuple):
    """Peak memory of a command, GB, and seconds.

    Attributes
    ----------
    most : float
        Resident, with children.
    own : float
        Resident, of the process itself; 0 if not known.
    anonymous : float
        Of the process itself, without pages of files; 0 if not known.
    seconds : float
    """

    most: float
    own: float
    anonymous: float
    seconds: float


def peak(command: list[str]) -> Peak:
    """Run a command, and measure its memory."""
    import psutil

    began, most, own, anonymous = time.perf_counter(), 0, 0, 0
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
                    lines = [line.split() for line in status.read_text().splitlines()]
                    own = max(own, *(int(x[1]) for x in lines if x[0] == "VmHWM:"), 0)
                    anonymous = max(anonymous, *(int(x[1]) for x in lines if x[0] == "RssAnon:"), 0)
            except (psutil.Error, OSError):
                pass  # a process ended during the measurement
            time.sleep(0.02)
        diagnostics = process.stderr.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{diagnostics}")
    return Peak(most / 1e9, own * 1024 / 1e9, anonymous * 1024 / 1e9, time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, help="a shorter run, whose memory is not that of the whole")
    parser.add_argument("--musedata", action="store_true")
    parser.add_argument("--sound", type=float, metavar="GB", help="frames of a folder of sound")
    options = parser.parse_args()
    common.header("psutil", device=False)
    if options.musedata:
        musedata()
        return
    if options.sound is not None:
        sound(options.sound)
        return
    with tempfile.TemporaryDirectory() as folder:
        rnnrbm = [sys.executable, "-m", "rnnrbm.cli.main", "train", "--out", str(Path(folder) / "run")]
        short = [] if options.epochs is None else ["--epochs", str(options.epochs)]
        most, own, _, took = peak([*rnnrbm, *short])
        rows = [("peak resident memory", "GB", "target", "")]
        rows.append((" ".join(["rnnrbm train", *short]) + ", children included", f"{most:.2f}", f"< {TARGET} GB"))
        rows[-1] += ("met" if most < TARGET else "missed",)
        rows.append(("of the process itself, by the kernel", f"{own:.2f}" if own else "not known", "", ""))
        bare, *_ = peak([sys.executable, "-c", "import rnnrbm, jax; rnnrbm.fit; jax.devices()"])
        rows.append(("imports alone (PyTensor, JAX)", f"{bare:.2f}", "", ""))
        common.table(rows)
        print(f"the run took {took:.0f} s")


def musedata() -> None:
    """Print memory and time by size of the set."""
    rows = [("of MuseData", "frames", "rolls, MB", "peak resident memory, GB", "seconds, second epoch", "target", "")]
    with tempfile.TemporaryDirectory() as folder:
        for share in (0.25, 0.5, 1.0, 2.0):
            out = Path(folder) / "out"
            most, *_ = peak([sys.executable, "-c", EPOCHS, str(share), str(out)])
            size, frames, seconds = (float(x) for x in out.read_text().split())
            row = (f"{share:g}", f"{frames:.0f}", f"{size / 1e6:.1f}", f"{most:.2f}", f"{seconds:.1f}")
            met = "met" if seconds < EPOCH_TARGET else "missed"
            rows.append((*row, f"< {EPOCH_TARGET} s", met) if share == 1.0 else (*row, "", ""))
    common.table(rows)


def write_songs(folder: Path, seconds: float) -> None:
    """Write recordings of ten minutes at most, of chirps in noise."""
    from rnnrbm.io.sound import write_sound

    folder.mkdir()
    n = max(round(seconds / 600), 4)
    for i in range(n):
        rng = np.random.default_rng(i)
        samples = rng.normal(0.0, 0.002, round(seconds / n * SOUND_RATE)).astype(np.float32)
        at = 0
        while (at := at + round(SOUND_RATE * rng.choice([0.05, 0.05, 0.05, 1.0]))) + SOUND_RATE < len(samples):
            length = round(SOUND_RATE * rng.uniform(0.05, 0.15))
            hertz = np.linspace(*rng.uniform(1000.0, 7000.0, 2), length)
            samples[at : at + length] += 0.3 * np.hanning(length) * np.sin(2 * np.pi * np.cumsum(hertz) / SOUND_RATE)
            at += length
        write_sound(folder / f"{i}.wav", samples, SOUND_RATE)


def sound(size: float) -> None:
    """Print the memory that a small and a large folder of sound take."""
    rnnrbm = [sys.executable, "-c", SMALL_MACHINE]
    rows = [("frames, GB", "command", "peak anonymous memory, GB", "with pages of files, GB", "seconds", "target", "")]
    small: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        for share in (0.01, 1.0):
            folder, run = Path(place) / f"songs{share}", Path(place) / f"run{share}"
            write_songs(folder, share * size * 1e9 / (4 * SOUND_BANDS) * SOUND_HOP / 1000)
            settings = [f"--set={name}={value}" for name, value in SOUND_SETTINGS.items()]
            quick = ["--n-chains", "2", "--n-temperatures", "3", "--k", "1", "--n-draws", "2"]
            commands = {
                "train": ["train", "--data", str(folder), "--out", str(run), *settings],
                "evaluate": ["evaluate", str(run), "--data", str(folder), *quick],
            }
            for name, command in commands.items():
                found = peak([*rnnrbm, *command])
                print(f"{name} {share * size:g} GB: {found.anonymous:.2f} GB in {found.seconds:.0f} s", file=sys.stderr)
                small.setdefault(name, found.anonymous)
                row = (f"{share * size:g}", name, f"{found.anonymous:.2f}", f"{found.own:.2f}", f"{found.seconds:.0f}")
                met = "met" if found.anonymous < small[name] + SOUND_TARGET else "missed"
                rows.append((*row, f"< {small[name] + SOUND_TARGET:.2f}", met) if share == 1.0 else (*row, "", ""))
    common.table(rows)


if __name__ == "__main__":
    main()
