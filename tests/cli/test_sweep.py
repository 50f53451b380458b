"""The command ``rnnrbm sweep``."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import COMMAND, environment, refused, rnnrbm, same_training, save_data

pytest.importorskip("optuna")

from rnnrbm.cli import sweep
from rnnrbm.experiment import finish, sweeps
from rnnrbm.io import tensorboard

CONFIG = """
[data]
source = "toy.npz"

[model]
name = "rnn"
n_recurrent = 6

[training]
epochs = 4
batch_size = 2
row_length = 16
context = 4
transpose_range = [-1, 1]
valid_every = 2

[generation]
n_samples = 1
n_frames = 4

[sweep]
sampler = "random"
pruner = "none"

[sweep.ranges]
"training.learning_rate" = { low = 1e-4, high = 1e-1, log = true }
"training.clip" = { choices = [0.5, 1.0] }
"""


@pytest.fixture
def place(tmp_path):
    save_data(tmp_path / "toy.npz")
    (tmp_path / "tiny.toml").write_text(CONFIG)
    return tmp_path


def test_a_sweep_ends_with_a_table_and_goes_on(place, monkeypatch):
    monkeypatch.setattr(finish, "draw", lambda *_, **__: None)
    done = rnnrbm("sweep", "tiny.toml", "--trials", 2, "--tensorboard", cwd=place)
    assert "trial 0 (1 of 2): training.learning_rate = " in done.stderr
    assert re.search(r"^runs/tiny: 2 trials \(2 complete\), the best 2 by the validation set", done.stdout)
    rows = re.findall(r"(trial-\d{4}) │ +(-\d\.\d{3}) │ +4 │ +\S+ │ +\S+ │ complete", done.stdout)
    assert sorted(name for name, _ in rows) == ["trial-0000", "trial-0001"]
    assert float(rows[0][1]) >= float(rows[1][1])
    best = f"runs/tiny/{rows[0][0]}"
    assert f"rnnrbm evaluate {best}\n" in done.stdout
    assert f"rnnrbm train {best}/config.toml --set evaluation.test=true --seed 1 --out runs/tiny-seed-1" in done.stdout
    assert tensorboard.last_step(place / best / "tensorboard" / tensorboard.FILE) == 4
    again = rnnrbm("sweep", "runs/tiny", "--trials", 2, cwd=place)
    assert (again.stdout, again.stderr) == (done.stdout, "")  # there was nothing to do
    command = re.search(r"rnnrbm (train .*)", done.stdout)[1].split()
    assert "this RNN" in rnnrbm(*command, cwd=place).stdout  # as the table says


def test_what_cannot_be_swept(place, monkeypatch):
    assert "nothing.toml: there is no such file" in refused("sweep", "nothing.toml", cwd=place)
    (place / "plain.toml").write_text(CONFIG.partition("[sweep]")[0])
    said = refused("sweep", "plain.toml", cwd=place)
    assert said.startswith("error: plain.toml: has no ranges to search; expected a table [sweep.ranges]")
    (place / "empty").mkdir()
    assert "empty: holds no sweep (no sweep.toml)" in refused("sweep", "empty", cwd=place)
    (place / "tiny.toml").write_text(CONFIG.replace("high = 1e-1", "high = -1"))
    assert "tiny.toml: sweep.ranges, 'training.learning_rate'" in refused("sweep", "tiny.toml", cwd=place)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "pip install optuna" in refused("sweep", "tiny.toml", cwd=place)
    assert not (place / "runs").exists()


def test_processes_share_the_cores_and_the_gpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7, 1, 4, 2, 9}, raising=False)
    assert [sweep._own_cores(i, 2) for i in range(2)] == [[1, 4, 9], [2, 7]]
    assert [sweep._own_cores(i, 6) for i in range(6)] == [[1], [2], [4], [7], [9], [1]]
    for name in (*sweep._THREADS, "XLA_PYTHON_CLIENT_MEM_FRACTION", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert sweep._environment(1, 3, 4) == {
        "OMP_NUM_THREADS": "4",
        "MKL_NUM_THREADS": "4",
        "NUMBA_NUM_THREADS": "4",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.250",
    }
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    chosen = [sweep._environment(i, 3, 4) for i in range(3)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in chosen] == ["3", "5", "3"]
    assert {each["XLA_PYTHON_CLIENT_MEM_FRACTION"] for each in chosen} == {"0.375"}


# --- processes ------------------------------------------------------------------------------------------------------


def start(place, *arguments):
    return subprocess.Popen(
        [*COMMAND, "sweep", "tiny.toml", *arguments],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def journal(place, monkeypatch):
    monkeypatch.chdir(place)
    return sweeps.open_sweep("runs/tiny").journal()


def wait_for_training(place, monkeypatch, n):
    """Until n trials have a checkpoint and have not ended."""
    last = time.monotonic() + 120
    while len(list(place.glob("runs/tiny/trial-*/checkpoint.npz"))) < n:
        assert time.monotonic() < last
        time.sleep(0.1)
    return [trial.state for trial in journal(place, monkeypatch).trials()]


@pytest.fixture
def long(place):
    """A sweep whose trials take long enough to be killed in the middle."""
    (place / "tiny.toml").write_text(CONFIG.replace("epochs = 4", "epochs = 1500\npatience = 0"))
    return place


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_processes_that_are_killed_are_continued(long, monkeypatch):
    with start(long, "--trials", "3", "--jobs", "2") as process:
        assert "running" in wait_for_training(long, monkeypatch, 2)
        claims = [json.loads(path.read_text()) for path in (long / "runs/tiny/running").glob("*.json")]
        for each in claims:
            os.kill(each["process"], signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "ended with code -9" in said
    assert len({each["process"] for each in claims}) == len(claims)
    left = [trial for trial in journal(long, monkeypatch).trials() if trial.state == "waiting"]
    assert left
    with start(long, "--trials", "3", "--jobs", "2") as process:
        said, _ = process.communicate(timeout=500)
    assert process.returncode == 0
    assert "3 trials (3 complete)" in said
    trials = journal(long, monkeypatch).trials()
    shutil.move(long / "runs", long / "killed")
    with start(long, "--trials", "3") as process:
        process.communicate(timeout=500)
    whole = journal(long, monkeypatch).trials()
    for one, other in zip(trials, whole, strict=True):
        assert one.values == other.values
        assert one.score == pytest.approx(other.score, abs=1e-3)  # with another number of cores, sums differ a little
        folder = Path("tiny", f"trial-{one.number:04}")
        assert (long / "killed" / folder / "results.json").exists()
    if len(os.sched_getaffinity(0)) == 1:
        same_training(long / "killed" / folder, long / "runs" / folder)


@pytest.mark.slow
def test_processes_that_have_done_their_share_are_replaced(place, monkeypatch):
    monkeypatch.setattr(sweep, "MOST_TRIALS", 1)
    done = rnnrbm("sweep", "tiny.toml", "--trials", 4, "--jobs", 2, cwd=place)
    assert "4 trials (4 complete)" in done.stdout
    assert "trial 3: valid -" in done.stderr
    logs = [path.read_text() for path in (place / "runs/tiny/logs").iterdir()]
    assert len(logs) == 2
    assert sum(text.count("run folder: ") for text in logs) == 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT of a process")
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_all_processes_within_seconds(long, monkeypatch, jobs):
    with start(long, "--trials", "9", "--jobs", str(jobs)) as process:
        wait_for_training(long, monkeypatch, jobs)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 15
    assert process.returncode == 130
    assert "Continue the sweep:  rnnrbm sweep runs/tiny --trials 9" in said
    assert list((long / "runs/tiny/running").glob("*.json")) == []
    states = [trial.state for trial in journal(long, monkeypatch).trials()]
    assert "waiting" in states
    assert "running" not in states


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_processes_end_with_the_one_that_started_them(long, monkeypatch):
    with start(long, "--trials", "9", "--jobs", "2") as process:
        wait_for_training(long, monkeypatch, 2)
        process.kill()
        process.communicate()
    last = time.monotonic() + 20
    while any(trial.state == "running" for trial in journal(long, monkeypatch).trials()):
        assert time.monotonic() < last
        time.sleep(0.2)


def test_a_pruner_that_sees_nothing_is_pointed_out(place: Path) -> None:
    text = CONFIG.replace("valid_every = 2", "valid_every = 50").replace('pruner = "none"', 'pruner = "median"')
    (place / "short.toml").write_text(text)
    said = rnnrbm("sweep", "short.toml", "--trials", "1", cwd=place).stderr
    assert "none can be pruned; choose a smaller training.valid_every" in said
    assert "trial 0 (1 of 1): " in said
    page = (place / "runs" / "short" / "trial-0000" / "report.html").read_text()
    assert "A trial of a sweep: the test set is scored by the best one only." in page
