"""Effect of reusing memory of intermediate results between calls (``rnnrbm.backend.engine.start_jax``).

A training step of each model (see models.py) runs in turns in two processes: one reuses memory, the other has glibc's
default, which returns it to the system. Reported are also the pages that the system clears in a step, and peak memory.

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

#: glibc's default value; any value keeps the library from changing settings
ITS_OWN = {"MALLOC_ARENA_TEST": "8"}


class Child:
    """A training step in its own process, run on demand."""

    def __init__(self, variant: str, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--child", variant],
            env={k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self) -> list[float]:
        """Run a step; return the pages cleared since the process began, and its peak memory in GB."""
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
