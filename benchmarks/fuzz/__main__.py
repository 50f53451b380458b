"""Mutants of every file that the library reads: each is accepted or refused in the library's own way, or a fault.

A mutant is a sound file with some bytes changed, cut off, put in, left out, doubled or exchanged, numbers at the edges
of their types, or the beginning of one file with the end of another. Six of ten are changed in their parts instead:
arrays, members and headers of archives, elements of MATLAB files, values of JSON and TOML, opcodes of pickles, events
of MIDI files. The same seed makes the same mutants.

A process of its own reads each mutant, with limits of time and memory. These are faults:

exception  an exception that is not the library's own for this format
message    a message that does not name the file, has several lines, or repeats much of the file
warning    a warning that is not the library's own, or does not name the file
invariant  something is accepted that is no roll, no data set, no run, or is not read back after it was written
executed   something in the file was run, or a process or a connection was started
memory     MemoryError, or more memory than the limits allow
time       no answer within the limit
crash      the end of the process

    python -m benchmarks.fuzz [--only FORMAT] [--n 20000] [--seed 0] [--first 0] [--keep FOLDER]

It prints a table and every fault, and exits with status 1 if there are faults.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from benchmarks import common
from benchmarks.fuzz.formats import FORMATS, Format
from benchmarks.fuzz.worker import Limits, Outcome, Worker

__all__ = ["Fault", "Tally", "fuzz", "main"]


class Fault(NamedTuple):
    """A mutant at fault; format, seed and number make it again."""

    format: str
    seed: int
    number: int
    how: str
    outcome: Outcome

    def __str__(self) -> str:
        kind, detail = self.outcome
        return f"{kind}: --only {self.format} --seed {self.seed} --first {self.number} --n 1 ({self.how}): {detail}"


class Tally(NamedTuple):
    """What became of the mutants of a format: how many were accepted and refused, and the faults."""

    counts: Counter[str]
    faults: list[Fault]
    seconds: float


def fuzz(
    name: str,
    worker: Worker,
    *,
    n: int,
    seed: int = 0,
    first: int = 0,
    keep: Path | None = None,
    form: Format | None = None,
) -> Tally:
    """Read mutants of a format.

    Parameters
    ----------
    name : str
        One of :data:`benchmarks.fuzz.formats.FORMATS`, unless `form` is given.
    worker : Worker
    n, seed, first : int
        Number of mutants, their seed, and the number of the first.
    keep : pathlib.Path, optional
        Folder for the bytes of mutants at fault.
    form : Format, optional
        The format.

    Raises
    ------
    RuntimeError
        If a sound file is not accepted: then the mutants show nothing.
    """
    form = form or FORMATS[name]
    path = worker.folder / form.file
    path.parent.mkdir(parents=True, exist_ok=True)
    for file, data in form.beside().items():
        path.with_name(file).write_bytes(data)

    def warm() -> None:
        for data in form.seeds():
            path.write_bytes(data)
            outcome = worker.read(form.read, path, form.errors, first=True)
            if outcome.kind != "accepted":
                raise RuntimeError(f"{name}: a sound file is not accepted: {outcome.kind} {outcome.detail}")

    warm()
    began = time.monotonic()
    counts: Counter[str] = Counter()
    faults: list[Fault] = []
    for number in range(first, first + n):
        if not worker.running:  # imports take a while, and are not the next mutant's
            warm()
        how, data = form.mutant(name, seed, number)
        path.write_bytes(data)
        outcome = worker.read(form.read, path, form.errors)
        counts["fault" if outcome.is_fault else outcome.kind] += 1
        if outcome.is_fault:
            faults.append(Fault(name, seed, number, how, outcome))
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{name}-{seed}-{number}{path.suffix}").write_bytes(data)
    return Tally(counts, faults, time.monotonic() - began)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=FORMATS, action="append", help="this format; may be given several times")
    parser.add_argument("--n", type=int, default=20_000, help="mutants of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first mutant")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the mutants at fault there")
    parser.add_argument("--seconds", type=float, default=Limits().seconds, help="time limit of a mutant")
    parser.add_argument("--gib", type=float, default=4.0, help="limit of addresses, in GiB")
    options = parser.parse_args(arguments)
    limits = Limits(options.seconds, int(options.gib * 2**30))
    common.header(device=False)
    rows: list[tuple[str, ...]] = [("format", "mutants", "accepted", "refused", "faults", "seconds")]
    faults: list[Fault] = []
    with Worker(limits) as worker:
        for name in options.only or FORMATS:
            found = fuzz(name, worker, n=options.n, seed=options.seed, first=options.first, keep=options.keep)
            numbers = (options.n, found.counts["accepted"], found.counts["refused"], len(found.faults))
            rows.append((f"`{name}`", *(f"{number}" for number in numbers), f"{found.seconds:.0f}"))
            for fault in found.faults:
                print(fault, flush=True)
            print(f"{name}: {dict(found.counts)} in {found.seconds:.0f} s", flush=True)
            faults += found.faults
    common.table(rows)
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())
