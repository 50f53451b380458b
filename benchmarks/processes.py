"""What a training step of two processes costs beside that of one on the same machine, and what the processes send.

    python benchmarks/processes.py [--rounds 5] [--steps 20] [--hidden 150] [--recurrent 100]

One process and a pair of processes take turns, so that other load meets both alike. The pair has the same batch, half
of the rows each. Bytes are those of the operations between devices in the compiled step: each has a result of so many
bytes, and a ring of n processes sends 2 (n - 1) / n times as much from each of them.
"""

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import header

N_VISIBLE = 88
ROWS, FRAMES = 16, 100


def work(arguments: argparse.Namespace) -> None:
    """Take steps for each line of standard input, and print the seconds of a step."""
    from rnnrbm.backend import engine, processes, sharding

    engine.start_jax()
    if arguments.n > 1:
        processes.start(f"127.0.0.1:{arguments.port}", arguments.n, arguments.i)
    import rnnrbm
    from rnnrbm.training.packing import PackedDataset
    from rnnrbm.training.settings import Training
    from rnnrbm.training.step import Steps

    rng = np.random.default_rng(0)
    pieces = [(rng.random((FRAMES, N_VISIBLE)) < 0.05).astype(np.uint8) for _ in range(ROWS)]
    model = rnnrbm.build(
        "rnn-rbm", N_VISIBLE, n_hidden=arguments.hidden, n_recurrent=arguments.recurrent, cell="tanh", seed=0
    )
    corpus = PackedDataset(pieces, row_length=FRAMES, batch_size=ROWS, context=0, on_device=processes.count() == 1)
    steps = Steps(model, corpus, Training(k=15, carry=0.0), None)
    spread = sharding.Sharding(ROWS, None, sums=True)
    spread.replicate([*([] if steps.frames is None else [steps.frames]), *steps.variables().values()])
    step, (batch,) = steps[steps.variant_at(0)], list(corpus.epoch((0, 0)))

    def once() -> list:
        return step(*(spread.assemble(x, axis=1) for x in corpus.inputs(batch.rows(spread.own))))

    engine.block(once())
    n_parameters = sum(int(np.prod(p.type.shape)) for p in steps.params)
    print(f"ready {n_parameters}", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        for _ in range(arguments.steps):
            result = once()
        engine.block(result)
        print((time.perf_counter() - began) / arguments.steps, flush=True)
    processes.end(0, together=True)


def sent(folder: Path) -> list[tuple[str, int, bool]]:
    """Name, bytes of the result, and whether it is in a loop, of each operation between devices of the step."""
    sizes = {"f32": 4, "u32": 4, "s32": 4, "f64": 8, "pred": 1, "u8": 1, "bf16": 2}
    programs = [path.read_text() for path in folder.glob("*cpu_after_optimizations.txt")]
    (program,) = [text for text in programs if "num_partitions=2" in text and "all-reduce" in text and "while" in text]
    found, loops = [], set(re.findall(r"body=(%?[\w.\-]+)", program))
    computation = ""
    for line in program.splitlines():
        if opened := re.match(r"(?:ENTRY )?(%?[\w.\-]+) .*\{$", line):
            computation = opened[1]
        operation = re.search(
            r"= (.*?) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(-start)?\(", line
        )
        if operation:
            arrays = re.findall(r"(\w+)\[([\d,]*)\]", operation[1])
            size = sum(sizes[kind] * int(np.prod([int(d) for d in shape.split(",") if d])) for kind, shape in arrays)
            found.append((operation[2], size, computation in loops))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rounds", 5), ("steps", 20), ("hidden", 150), ("recurrent", 100), ("n", 0), ("i", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--port", default="0")
    arguments = parser.parse_args()
    if arguments.n:
        work(arguments)
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        dumped = {
            "XLA_FLAGS": f"--xla_dump_to={folder} --xla_dump_hlo_as_text",
            "JAX_ENABLE_COMPILATION_CACHE": "0",
        }
        plain = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}

        def begin(n: int, i: int) -> subprocess.Popen[str]:
            command = [sys.executable, "-W", "ignore", __file__, "--n", n, "--i", i, "--port", port]
            for name in ("rounds", "steps", "hidden", "recurrent"):
                command += [f"--{name}", getattr(arguments, name)]
            environment = os.environ | plain | (dumped if (n, i) == (2, 0) else {})
            return subprocess.Popen(
                [str(x) for x in command], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )

        groups = {1: [begin(1, 0)], 2: [begin(2, 0), begin(2, 1)]}
        try:
            n_parameters = {answer(process, "ready") for group in groups.values() for process in group}.pop()
            seconds: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(arguments.rounds):
                for n, group in groups.items():
                    for process in group:
                        print(file=process.stdin, flush=True)
                    seconds[n].append(max(answer(process) for process in group))
            for group in groups.values():
                for process in group:
                    process.stdin.close()
            for group in groups.values():
                for process in group:
                    process.wait(timeout=60)
        finally:
            for group in groups.values():
                for process in group:
                    process.kill()
        operations = sent(Path(folder))
    header(device=False)
    one, two = (statistics.median(seconds[n]) for n in (1, 2))
    print(
        f"{ROWS} rows of {FRAMES} frames; {N_VISIBLE} visible, {arguments.hidden} hidden and {arguments.recurrent} "
        "recurrent units"
    )
    print(f"a step of one process, all rows    {1000 * one:8.2f} ms   {[round(1000 * x, 1) for x in seconds[1]]}")
    print(f"a step of two, half the rows each  {1000 * two:8.2f} ms   {[round(1000 * x, 1) for x in seconds[2]]}")
    print(f"parameters                         {int(n_parameters):8d}, {4 * int(n_parameters)} bytes")
    for name, size, looped in operations:
        print(f"{name:34} {size:8d} bytes{' in each turn of a loop' if looped else ''}")
    total = sum(size for _, size, _ in operations)
    print(f"{'all':34} {total:8d} bytes")
    print("bytes that a device sends in a step, in a ring of n devices:")
    for n in (2, 8, 64):
        print(f"{n:34} {2 * (n - 1) * total // n:8d}")


def answer(process: subprocess.Popen[str], word: str = "") -> float:
    """The next number that a process prints, perhaps after a word."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word) and not line.startswith("["):
            return float(line.split()[-1])
    raise RuntimeError("a process has ended; see its error above")


if __name__ == "__main__":
    main()
