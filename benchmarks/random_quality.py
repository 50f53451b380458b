"""Statistical quality of the library's random bits: a raw stream for dieharder, or the whole battery.

Tests the 32-bit words of ``rnnrbm.backend.random`` (pcg4d of key, draw number and element index) in the orders in which
the library uses them. The library uses only the upper 24 bits (``--bits 24`` tests only those):

draws    all elements of draw 0, of draw 1 ...: matrices of 1600 x 150, as in a Gibbs chain
element  one element of successive draws, as for one unit (draws 0 .. 2**32 - 1)
keys     one element of one draw under successive keys: many seeds, without SeedSequence
pcg64    NumPy's PCG64 as a control: its "failures" are the battery's own rate of false alarms

    python benchmarks/random_quality.py draws | dieharder -a -g 200
    python benchmarks/random_quality.py draws --run                  # the same with a summary; an hour or so
    python benchmarks/random_quality.py element --run --tests quick  # without the slowest test families
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from rnnrbm.backend import random

ROWS, COLUMNS = 1600, 150
#: all families except the lagged sums (33 lags), the bit distributions (12 widths), minimum distances, and the tests
#: that dieharder itself marks as suspect (opso, oqso, dna, sums)
QUICK = [0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 15, 16, 17, 100, 101, 102, 202, 204, 205, 206, 207, 208, 209]


def make(layout: str, seed: int) -> tuple:
    """Return (function from block number to words, NumPy reference of the first 64 words of block 0)."""
    key = random.key_from_seed(seed)
    n = ROWS * COLUMNS
    if layout == "draws":
        per_block = 16

        def words(block):
            draw = block * np.uint32(per_block) + jax.lax.broadcasted_iota(jnp.uint32, (per_block, n), 0)
            return random._pcg4d(jnp.uint32(key[0]), jnp.uint32(key[1]), draw, jnp.arange(n, dtype=jnp.uint32))

        return words, random.bits_numpy(key, 0, (ROWS, COLUMNS)).ravel()[:64]
    size = 1 << 22
    element = n // 3
    count = jnp.arange(size, dtype=jnp.uint32)
    if layout == "element":

        def words(block):
            draw, later = block * np.uint32(size) + count, block // np.uint32(2**32 // size)
            return random._pcg4d(jnp.uint32(key[0]), jnp.uint32(key[1]), draw, jnp.uint32(element) + later)

        return words, np.stack([random.bits_numpy(key, d, (n,))[element] for d in range(64)])
    if layout == "keys":

        def words(block):
            k0, k1 = block * np.uint32(size) + count, jnp.uint32(key[1]) + block // np.uint32(2**32 // size)
            return random._pcg4d(k0, k1, jnp.uint32(7), jnp.uint32(element))

        keys = [np.array([k, key[1]], np.uint32) for k in range(64)]
        return words, np.stack([random.bits_numpy(k, 7, (n,))[element] for k in keys])
    raise ValueError(f"unknown layout {layout!r}")


def blocks(layout: str, seed: int) -> Iterator[np.ndarray]:
    """Yield the stream in blocks of some megabytes; the next block is computed while the reader reads one."""
    if layout == "pcg64":
        control = np.random.PCG64(seed)
        while True:
            yield control.random_raw(1 << 20).view(np.uint32)
    words, expected = make(layout, seed)
    words = jax.jit(words)
    ahead = words(np.uint32(0))
    np.testing.assert_array_equal(np.asarray(ahead).ravel()[:64], expected)
    for block in range(1, 2**32):
        now, ahead = ahead, words(np.uint32(block))
        yield np.asarray(now)


def upper(stream: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Take the upper 24 bits of each word, packed."""
    for block in stream:
        octets = block.ravel().astype("<u4", copy=False).view(np.uint8)
        yield np.ascontiguousarray(octets.reshape(-1, 4)[:, 1:])


def pour(stream: Iterator[np.ndarray], out) -> int:
    """Write blocks until the reader closes the pipe; return the number of bytes offered."""
    total = 0
    try:
        for block in stream:
            out.write(memoryview(block).cast("B"))
            total += block.nbytes
    except (BrokenPipeError, OSError):
        pass
    return total


def battery(stream: Iterator[np.ndarray], tests: str) -> None:
    """Run dieharder on the stream, one process for each test or one for all; print its output and a summary.

    ``-Y 1``: a WEAK test continues with more samples until it is clearly PASSED or FAILED; both lines are printed.
    """
    if shutil.which("dieharder") is None:
        sys.exit("dieharder is not installed (on Debian and Ubuntu: apt-get install dieharder)")
    which = [["-a"]] if tests == "all" else [["-d", str(d)] for d in (QUICK if tests == "quick" else tests.split(","))]
    results: list[list[str]] = []

    def listen(output) -> None:
        for line in output:
            fields = [field.strip() for field in line.decode().split("|")]
            if fields[-1] in ("PASSED", "WEAK", "FAILED"):
                results.append(fields)
                print(line.decode().rstrip(), flush=True)

    began, total = time.perf_counter(), 0
    print("test name | ntuple | samples | p-samples | p-value | assessment")
    for options in which:
        command = ["dieharder", *options, "-g", "200", "-Y", "1"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            listener = threading.Thread(target=listen, args=[process.stdout])
            listener.start()
            total += pour(stream, process.stdin)
            listener.join()
    count = {name: sum(r[-1] == name for r in results) for name in ("PASSED", "WEAK", "FAILED")}
    took = time.perf_counter() - began
    print(f"{count}, {total / 1e9:.1f} GB of random bits, {took / 60:.0f} minutes")
    for fields in results:
        if fields[-1] != "PASSED":
            last = next(r for r in reversed(results) if r[:2] == fields[:2])
            print(f"  {' '.join(fields)}; final result of {fields[0]} {fields[1]}: p {last[-2]} {last[-1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layout", nargs="?", default="draws", choices=["draws", "element", "keys", "pcg64"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bits", type=int, choices=[24, 32], default=32, help="24: only the bits the library uses")
    parser.add_argument("--run", action="store_true", help="call dieharder and print a summary")
    parser.add_argument("--tests", default="all", help="with --run: all, quick, or dieharder's numbers, e.g. 0,15,209")
    options = parser.parse_args()
    stream = blocks(options.layout, options.seed)
    stream = upper(stream) if options.bits == 24 else stream
    if options.run:
        battery(stream, options.tests)
    elif sys.stdout.isatty():
        parser.error("writes binary data: pipe it into dieharder -a -g 200, or give --run")
    else:
        pour(stream, sys.stdout.buffer)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # avoids an error about the closed pipe at exit


if __name__ == "__main__":
    main()
