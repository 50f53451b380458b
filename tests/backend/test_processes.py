"""Processes that train together, on this machine; what several do is compared with what one does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import some_pieces

import rnnrbm
from rnnrbm.backend import processes
from rnnrbm.training.fit import State

ROOT = Path(processes.__file__).parents[2]
SETTINGS = {
    "batch_size": 4,
    "row_length": 5,
    "context": 0,
    "k": 2,
    "optimiser": "momentum",
    "learning_rate": 0.2,
    "seed": 3,
}
#: so many frames make 10 batches of 4 rows of 5 frames
LENGTHS = [40, 60, 100]

#: what all processes run: its parts are chosen by the arguments
PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from rnnrbm.backend import engine, processes

folder, port, n, i, *parts = sys.argv[1:]
folder, n, i = Path(folder), int(n), int(i)
engine.start_jax()
processes.start(f"127.0.0.1:{port}", n, i, timeout=60)

import rnnrbm
from helpers import some_pieces, save_data, tiny
from rnnrbm.backend.sharding import Sharding
from rnnrbm.experiment import run
from rnnrbm.training.fit import State
from test_processes import LENGTHS, SETTINGS

said = {}


def refused(name, call):
    try:
        call()
        said[name] = "nothing"
    except processes.Refused as error:
        said[name] = str(error)


if "exchange" in parts:
    said["gathered"] = [x.decode() for x in processes.gather(b"x" * i)]
    many = processes.from_lead(bytes(range(256)) * 5000 if i == 0 else b"")
    said["lead"] = many == bytes(range(256)) * 5000, processes.from_lead(b"%d" % i).decode()
    spread = Sharding(4 * n, "JAX")
    x = np.arange(12.0 * n, dtype=np.float32).reshape(4 * n, 3)
    said["own"] = x[spread.own].tolist()
    said["rows"] = engine.to_numpy(spread.shard(x)).tolist() == x.tolist()
    said["assembled"] = engine.to_numpy(spread.assemble(x[spread.own])).tolist() == x.tolist()
    calls = []
    stop = processes.agreed(lambda: i == n - 1 and len(calls) > 5)
    while not stop():
        calls.append(0)
    said["stopped"] = len(calls)
if "refused" in parts:
    source = save_data(folder / f"{i}.npz")
    settings = tiny(source)
    refused("setting", lambda: run.train(settings.replaced({"training.k": 1 + i}), folder / f"run{i}"))
    other = save_data(folder / f"other{i}.npz", width=12 if i else 13)
    refused("data", lambda: run.train(tiny(other).replaced({"training.transpose_range": [0, 0]}), folder / f"run{i}"))
    absent = tiny(source if i == 0 else folder / "absent.npz")
    try:
        run.train(absent, folder / f"run{i}")
    except (processes.Refused, OSError) as error:
        said["absent"] = f"{type(error).__name__}: {error}"
    said["folders"] = [path.name for path in folder.glob("run*")]
if "fit" in parts:
    model = rnnrbm.build("rbm", 12, n_hidden=7, seed=1)
    state = State()
    pieces = some_pieces(LENGTHS, 0)
    said["losses"] = [row["loss"] for row in rnnrbm.fit(model, pieces, state=state, epochs=2, **SETTINGS)]
    if i == 0:
        state.save(folder / "state.npz")
    samples = rnnrbm.generate(model, 5, n_samples=2 * n, k=3, seed=4)
    np.save(folder / f"samples{i}.npy", samples)
if "lost" in parts:
    (folder / f"{i}.json").write_text(json.dumps(said))

    def leave(stage, done, total, row):
        if i == n - 1 and done == 5:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)

    for row in rnnrbm.fit(model, pieces, state=State(), epochs=10**6, progress=leave, **SETTINGS):
        pass
(folder / f"{i}.json").write_text(json.dumps(said))
processes.end(0, together=True)
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def together(folder: Path, n: int, *parts: str) -> tuple[list[subprocess.CompletedProcess[str]], list[dict]]:
    """Run the program in n processes; what each has printed, and what it has written."""
    port = free_port()
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "backend")])
    environment = os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"}
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder), str(port), str(n), str(i), *parts],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(n)
    ]
    done = []
    try:
        for process in running:
            out, _ = process.communicate(timeout=150)
            done.append(subprocess.CompletedProcess([], process.returncode, out))
    finally:
        for process in running:
            process.kill()
            process.wait()
    written = [json.loads(file.read_text()) for i in range(n) if (file := folder / f"{i}.json").exists()]
    assert len(written) == n, "\n".join(process.stdout for process in done)
    return done, written


def of_one(epochs: int, state: State) -> np.ndarray:
    """What one process trains and samples."""
    model = rnnrbm.build("rbm", 12, n_hidden=7, seed=1)
    list(rnnrbm.fit(model, some_pieces(LENGTHS, 0), state=state, epochs=epochs, **SETTINGS))
    return rnnrbm.generate(model, 5, n_samples=4, k=3, seed=4)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory):
    """Two processes that do everything one after the other; at last the second is killed."""
    folder = tmp_path_factory.mktemp("pair")
    return folder, *together(folder, 2, "exchange", "refused", "fit", "lost")


def test_processes_exchange_bytes_and_rows(pair) -> None:
    _, _, said = pair
    for i, own in enumerate(said):
        assert own["gathered"] == ["", "x"]
        assert own["lead"] == [True, "0"]
        assert own["own"] == np.arange(24.0).reshape(8, 3)[4 * i : 4 * i + 4].tolist()
        assert own["rows"]
        assert own["assembled"]
    assert said[0]["stopped"] == said[1]["stopped"] > 5


def test_two_processes_train_and_sample_as_one(pair) -> None:
    folder, _, said = pair
    alone = State()
    samples = of_one(2, alone)
    arrays = State.load(folder / "state.npz")[0].arrays
    assert len(alone.rows) == 2
    first = rnnrbm.build("rbm", 12, n_hidden=7, seed=1).density.W.get_value()
    assert np.abs(alone.arrays["W"] - first).max() > 0.01
    assert arrays["rng_draw"] == alone.arrays["rng_draw"]
    assert arrays.keys() == alone.arrays.keys()
    for name, value in alone.arrays.items():
        np.testing.assert_allclose(arrays[name], value, atol=1e-5, rtol=0, err_msg=name)
    assert said[0]["losses"] == said[1]["losses"]
    np.testing.assert_allclose(said[0]["losses"], [row["loss"] for row in alone.rows], atol=1e-5)
    assert samples.sum() > 0
    for i in range(2):
        np.testing.assert_array_equal(np.load(folder / f"samples{i}.npy"), samples)


def test_one_process_goes_on_from_two(pair) -> None:
    folder, _, _ = pair
    resumed, alone = State.load(folder / "state.npz")[0], State()
    of_one(2, alone)
    before = alone.arrays["W"]
    for state in (resumed, alone):
        state.finished = False
        of_one(3, state)
    assert np.abs(alone.arrays["W"] - before).max() > 1e-3
    for name, value in alone.arrays.items():
        np.testing.assert_allclose(resumed.arrays[name], value, atol=1e-5, rtol=0, err_msg=name)


def test_other_settings_and_data_are_refused_before_anything_is_written(pair) -> None:
    _, _, said = pair
    for own in said:
        assert "training.k is 2 in process 1 and 1 in process 0; start all of them" in own["setting"]
        assert "the data (SHA-256) is" in own["data"]
        assert own["folders"] == []
    assert said[0]["absent"].startswith("Refused: process 1 has ended: ")
    assert "absent.npz: there is no such file" in said[0]["absent"]
    assert "FileNotFoundError: " in said[1]["absent"]


def test_a_lost_process_ends_the_others(pair) -> None:
    _, (first, second), _ = pair
    assert second.returncode == -9
    assert first.returncode == 1
    assert "LostProcess: process 0 of 2 has lost another process, so all end" in first.stdout


@pytest.mark.slow
def test_four_processes_train_and_sample_as_one(tmp_path: Path) -> None:
    done, said = together(tmp_path, 4, "exchange", "fit")
    assert [process.returncode for process in done] == [0, 0, 0, 0]
    alone = State()
    of_one(2, alone)
    arrays = State.load(tmp_path / "state.npz")[0].arrays
    for name, value in alone.arrays.items():
        np.testing.assert_allclose(arrays[name], value, atol=1e-5, rtol=0, err_msg=name)
    samples = [np.load(tmp_path / f"samples{i}.npy") for i in range(4)]
    np.testing.assert_array_equal(samples[0][:4], of_one(2, State()))
    for own, other in zip(said, samples, strict=True):
        assert own["gathered"] == ["", "x", "xx", "xxx"]
        np.testing.assert_array_equal(other, samples[0])


def test_a_coordinator_that_is_not_there() -> None:
    port = free_port()
    with pytest.raises(TimeoutError, match=rf"127.0.0.1:{port}: no coordinator answers there after 1 seconds"):
        processes.start(f"127.0.0.1:{port}", 2, 1, timeout=1)
    assert processes.count() == 1


def test_a_port_that_is_taken() -> None:
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=rf"localhost:{port}: process 0 cannot listen there"):
            processes.start(f"localhost:{port}", 2, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("node1:29500", None, None), "give coordinator, processes and process_id together"),
        ((None, 2, 1), "give coordinator, processes and process_id together"),
        (("node1", 2, 0), "coordinator 'node1': expected HOST:PORT"),
        (("node1:x", 2, 0), "expected HOST:PORT"),
        ((":29500", 2, 0), "expected HOST:PORT"),
        (("node1:70000", 2, 0), "expected HOST:PORT"),
        (("node1:29500", 2, 2), "process 2 of 2: expected a number from 0 to 1"),
        (("node1:29500", 0, 0), "at least one process"),
    ],
)
def test_arguments_that_cannot_be_used(given: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        processes.start(*given)


def test_one_process_needs_no_other() -> None:
    processes.start("127.0.0.1:1", 1, 0)
    assert (processes.count(), processes.index(), processes.is_lead()) == (1, 0, True)
    assert processes.gather(b"own") == [b"own"]
    assert processes.from_lead(b"own") == b"own"
    assert processes.same_numbers([0.1, np.inf]) == (0.1, np.inf)
    stop = processes.agreed(None)
    assert stop is None
    processes.end(3, together=True)  # does nothing


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"SLURM_NTASKS": "4"}, False),  # a shell in an allocation
        ({"SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "a"}, True),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "a"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}, True),
        ({"KUBERNETES_SERVICE_HOST": "a"}, False),
        ({"KUBERNETES_SERVICE_HOST": "a", "JOB_COMPLETION_INDEX": "0"}, True),
    ],
)
def test_launchers_are_found(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: bool) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_", "KUBERNETES_", "JOB_COMPLETION")):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert processes.detected() is expected


def test_what_differs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [{"a": 1, "b": "x", "data": "0" * 64}, {"a": 1, "b": "y"}, {"a": 2, "b": "x", "data": "0" * 64}]
    monkeypatch.setattr(processes, "gather", lambda own: [json.dumps(record).encode() for record in records])
    with pytest.raises(processes.Refused) as caught:
        processes.agree(records[0], "start them alike")
    assert str(caught.value) == (
        "the processes differ: a is 2 in process 2 and 1 in process 0; b is 'y' in process 1 and 'x' in process 0; "
        "data is None in process 1 and 000000000000 in process 0; start them alike"
    )
    records[1:] = [records[0]]
    processes.agree(records[0], "start them alike")


@pytest.mark.parametrize("size", [1, 64, 65, 5000, 2**20 + 1, 3 * 2**20])
def test_bytes_are_padded_to_one_of_a_few_lengths(size: int) -> None:
    padded = processes._padded(b"\1" * size, size)
    assert padded[:size].all()
    assert not padded[size:].any()
    assert size <= len(padded) <= max(64, 2 * size)
    assert len(padded) == len(processes._padded(b"", size))
