"""What it brings that memory of intermediate results is kept between calls (``rnnrbm.backend.engine.start_jax``).

A training step of each model (see models.py) in two processes that take turns: one with memory kept, one in which glibc
gives it back as it does of itself; with the pages that the system clears for a step, and peak memory.

    python benchmarks/allocation.py [--rounds 5] [--models rnn-rbm ...]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys

import common
from models import VARIANTS, peak, training_step

#: glibc's own value; that there is one keeps the library from setting anything
ITS_OWN = {"MALLOC_ARENA_TEST": "8"}


class Child:
    """A training step in a process of its own, made whenever asked for."""

    def __init__(self, variant: str, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--child", variant],
            env={k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self) -> list[float]:
        """A step: the pages cleared since the process began, and its peak memory in GB."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        return [float(word) for word in self._process.stdout.readline().split()]

    def end(self) -> None:
        self._process.communicate()


def child(variant: str) -> None:
    step = training_step(variant)
    for _ in sys.stdin:
        step()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt, peak(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    common.header()
    for variant in options.models:
        children = {"memory kept": Child(variant, {}), "given back": Child(variant, ITS_OWN)}
        times = common.interleave(children, options.rounds, 5)
        common.report(variant, times, targets={})
        for name, run in children.items():
            before, after = run(), run()
            print(f"{name}: {after[0] - before[0]:.0f} pages a step, {after[1]:.2f} GB at most")
            run.end()


if __name__ == "__main__":
    main()
