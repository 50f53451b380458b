"""Runs of several processes by the command, beside runs of one."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers import FIGURES, PARTS, environment, metrics_of, refused, save_data, tiny

from rnnrbm import checkpoint
from rnnrbm.experiment import config, run
from rnnrbm.experiment.place import Part
from rnnrbm.experiment.together import Elsewhere, Together
from rnnrbm.training.fit import State

ROOT = Path(run.__file__).parents[2]
EAGER = "import rnnrbm.experiment.run as r; r.SAVE_EVERY = 0.0; from rnnrbm.cli.main import main; main()"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def started(n: int, *arguments: object, cwd: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """The command `train` in n processes, each in a folder of its own below `cwd`."""
    port = free_port()
    running = []
    try:
        for i in range(n):
            (cwd / str(i)).mkdir(exist_ok=True)
            own = ["--coordinator", f"127.0.0.1:{port}", "--processes", n, "--process-id", i]
            running.append(
                subprocess.Popen(
                    [sys.executable, "-c", EAGER, "train", *(str(x) for x in (*arguments, *own))],
                    env=environment() | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"},
                    cwd=cwd / str(i),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()
            process.stdout.close()


def outputs(running: list[subprocess.Popen[str]]) -> list[str]:
    return [process.communicate(timeout=200)[0] for process in running]


def close(a: Path, b: Path) -> None:
    """Two runs end with parameters and metrics that differ by rounding alone, and with the same samples."""
    (arrays, _), (other, _) = (checkpoint.load(folder / "checkpoint.npz") for folder in (a, b))
    assert arrays.keys() == other.keys()
    for name, value in arrays.items():
        np.testing.assert_allclose(other[name], value, atol=1e-4, rtol=0, err_msg=name)
    for row, beside in zip(metrics_of(a), metrics_of(b), strict=True):
        assert float(row["loss"]) == pytest.approx(float(beside["loss"]), abs=1e-4)
    samples = [sorted((folder / "samples").glob("*.mid")) for folder in (a, b)]
    assert len(samples[0]) == 2
    for one, two in zip(*samples, strict=True):
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
def test_a_run_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    source = save_data(tmp_path / "toy.npz")
    settings = tiny(source)
    config.write(tmp_path / "tiny.toml", settings)
    run.train(settings, tmp_path / "one")
    with started(2, tmp_path / "tiny.toml", "--out", "run", cwd=tmp_path) as running:
        first, second = outputs(running)
    assert [process.returncode for process in running] == [0, 0], first + second
    assert {path.name for path in (tmp_path / "0" / "run").iterdir()} >= PARTS
    assert {path.name for path in (tmp_path / "0" / "run" / "figures").iterdir()} == FIGURES
    assert list((tmp_path / "1").iterdir()) == []
    assert "2 processes; this one writes the run" in first
    assert "Test set of toy" in first
    waits, joined = (line for line in second.splitlines() if "Gloo" not in line)
    assert re.fullmatch(r"process 1 waits for the others at 127\.0\.0\.1:\d+, up to 50 seconds", waits)
    assert joined == "process 1 of 2 has joined; process 0 says what all do"
    close(tmp_path / "one", tmp_path / "0" / "run")


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_run_that_lost_a_process_resumes_with_one_or_two(tmp_path: Path, lost: int) -> None:
    source = save_data(tmp_path / "toy.npz")
    settings = tiny(source).replaced({"training.epochs": 3000, "training.patience": 0, "training.valid_every": 5000})
    config.write(tmp_path / "tiny.toml", settings)
    folder = tmp_path / "0" / "run"
    with started(2, tmp_path / "tiny.toml", "--out", "run", cwd=tmp_path) as running:
        until = time.monotonic() + 150
        while not (folder / "checkpoint.npz").exists() and time.monotonic() < until:
            time.sleep(0.1)
        running[lost].send_signal(signal.SIGKILL)
        began = time.monotonic()
        text = outputs(running)[1 - lost]
    assert time.monotonic() - began < 60
    assert running[1 - lost].returncode not in (0, None)
    assert "has lost another process, so all end" in text or "another task died" in text
    done = State.load(folder / "checkpoint.npz")[0].epoch
    assert 0 < done < 3000
    for n in (2, 1):
        done += 2
        more = ["--resume", "--out", "run", "--epochs", done]
        with started(n, *more, cwd=tmp_path) as running:
            texts = outputs(running)
        assert [process.returncode for process in running] == [0] * n, texts
        state = State.load(folder / "checkpoint.npz")[0]
        assert (state.epoch, state.finished, len(state.rows)) == (done, True, done)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all(tmp_path: Path) -> None:
    source = save_data(tmp_path / "toy.npz")
    settings = tiny(source).replaced({"training.epochs": 10**5, "training.patience": 0, "training.valid_every": 10**5})
    config.write(tmp_path / "tiny.toml", settings)
    folder = tmp_path / "0" / "run"
    with started(2, tmp_path / "tiny.toml", "--out", "run", cwd=tmp_path) as running:
        until = time.monotonic() + 150
        while not (folder / "checkpoint.npz").exists() and time.monotonic() < until:
            time.sleep(0.1)
        running[1].send_signal(signal.SIGTERM)
        texts = outputs(running)
    assert [process.returncode for process in running] == [130, 130], texts
    assert re.search(r"stopped in epoch \d+; everything is saved in run", texts[0])
    assert "rnnrbm train --resume --out run" in texts[0]
    assert State.load(folder / "checkpoint.npz")[0].epoch > 0


def test_options_that_do_not_fit_together(tmp_path: Path) -> None:
    given = ["train", "--out", tmp_path / "run"]
    assert "--coordinator and --process-id are missing; give" in refused(*given, "--processes", 2)
    assert "--coordinator and --processes are missing; give" in refused(*given, "--process-id", 0)
    said = refused(*given, "--coordinator", "here", "--processes", 2, "--process-id", 0)
    assert "coordinator 'here': expected HOST:PORT" in said
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_writes_nothing(tmp_path: Path) -> None:
    place = Elsewhere(tmp_path / "run", {"levels": {}})
    assert (place.writes, place.waits, place.checkpoint) == (False, False, None)
    place.save_part(Part("density", State()), None)  # type: ignore[arg-type]
    assert place.checkpoint is None
    place.save(State())
    assert place.checkpoint == tmp_path / "run" / "checkpoint.npz"
    assert list(tmp_path.iterdir()) == []


def test_one_process_exchanges_nothing() -> None:
    with Together(None) as together:
        settings = config.Config()
        assert together.leads
        assert together.settings(settings, resume=True, trained=True) == (settings, True)
        state = State()
        assert together.state(None, state, None) == (state, None)  # type: ignore[arg-type]
        assert together.results({"a": 1}) == {"a": 1}
