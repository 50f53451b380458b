"""Shared parts of the benchmarks: the machine, fair timing, tables.

Contestants take turns (A B C A B C ...), so that other load on the machine affects all of them. The benchmarks report
the median of the ratios within a round.
"""

from __future__ import annotations

import csv
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


def load() -> str:
    """Load average of the last minute, if the system provides it."""
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"


def header(*packages: str, device: bool = True) -> None:
    """Print machine, date, device, versions and load."""
    from rnnrbm.experiment.run_folder import machine

    versions = []
    for package in ("rnnrbm", "pytensor", "jax", "numpy", *packages):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} not installed")
    print(f"{machine()}; {time.strftime('%Y-%m-%d')}; {load()}; Python {platform.python_version()}")
    print(", ".join(versions))
    if device:
        from rnnrbm.backend import engine

        print(engine.describe())


class Times(NamedTuple):
    """Seconds per call, one number for each round: wall time and processor time."""

    wall: list[float]
    cpu: list[float]


def interleave(contestants: Mapping[str, Callable[[], Any]], rounds: int, calls: int) -> dict[str, Times]:
    """Time contestants in turns.

    Every contestant must wait for its own results. Two untimed calls of each come first and compile it.
    """
    for run in contestants.values():
        run()
        run()
    times = {name: Times([], []) for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            run()  # the processor's caches still hold the previous contestant
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(calls):
                run()
            times[name].wall.append((time.perf_counter() - wall) / calls)
            times[name].cpu.append((time.process_time() - cpu) / calls)
    return times


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range: ``2.10 (1.95..2.31)``."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}..{high:.{digits}f})"


def report(
    title: str, times: Mapping[str, Times], *, targets: Mapping[str, str], per: int = 1, unit: str = "ms"
) -> None:
    """Print a table: time of each contestant, and as a multiple of the first one's in the same round.

    `targets` maps contestants to the target for that multiple; `per` divides the times, for example by pieces of a
    call. Processor time adds up all threads; on a busy machine it is more reliable than wall time.
    """
    first = next(iter(times))
    rows = [(title, unit, f"times {first}", "target", "CPU ms", "CPU, times")]
    for name, t in times.items():
        wall, cpu = ([x / y for x, y in zip(t[i], times[first][i], strict=True)] for i in range(2))
        ms = [1000.0 * x / per for x in t.wall]
        cpu_ms = f"{1000.0 * statistics.median(t.cpu) / per:.2f}"
        ratio = ("", "") if name == first else (spread(wall), f"{statistics.median(cpu):.2f}")
        rows.append((name, spread(ms), ratio[0], targets.get(name, ""), cpu_ms, ratio[1]))
    table(rows)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a Markdown table; the first row is the header."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print()
    for i, row in enumerate(rows):
        print("| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |")
        if i == 0:
            print("| " + " | ".join("-" * w for w in widths) + " |")
    print(load(), flush=True)


def parameters(model: Any) -> dict[str, np.ndarray]:
    """The values of a model's parameters by name."""
    from rnnrbm.backend import engine

    return {p.name: engine.to_numpy(p) for p in model.params}


def piano_roll(n_steps: int, n_batch: int, n_visible: int, seed: int = 0) -> np.ndarray:
    """Random frames (T, B, n_visible) as sparse as music, float32."""
    return (np.random.default_rng(seed).random((n_steps, n_batch, n_visible)) < 0.05).astype(np.float32)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file; none if there is no such file."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def append_row(path: Path, row: dict[str, object]) -> None:
    """Append a row to a CSV file, with a header if it is the first; several processes may do so."""
    import fcntl  # not on Windows

    with open(path, "a", encoding="utf-8", newline="") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer = csv.DictWriter(file, list(row))
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)
