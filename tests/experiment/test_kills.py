"""Real runs, killed at random moments in every phase: what is resumed is as what was never killed, and nothing is left.

Each test kills processes of its own and prints its seed if it fails; ``RNNRBM_SEED`` chooses the seed.
"""

import csv
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers import COMMAND, environment, rnnrbm, same_training, save_data

from rnnrbm import checkpoint
from rnnrbm.experiment import config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL, no limits of files"),
]

CONFIG = """
[model]
n_hidden = 8
n_recurrent = 6

[training]
epochs = 6
batch_size = 2
row_length = 16
context = 4
k = 1
transpose_range = [-1, 1]
averaging = 0.9
pretrain_density = 2
pretrain_network = 2
valid_every = 2
valid_n_chains = 2
valid_n_temperatures = 3

[evaluation]
n_chains = 3
n_temperatures = 4

[generation]
n_samples = 2
n_frames = 10
k = 3
"""
RUN = ["tiny.toml", "--data", "toy.npz"]
#: the training set is scored in many chunks
EVALUATE = ["evaluate", "run", "--split", "train", "--n-chains", "400", "--n-temperatures", "3"]
EVALUATE += ["--n-draws", "3", "--k", "3"]
GENERATE = ["generate", "run", "--seed", "3", "--n-frames", "9", "--n-samples", "2", "--k", "2", "--overwrite"]

#: The command, which strikes itself at a moment: a stage of the progress, a validation, or a file that is opened,
#: renamed or deleted. Results are saved whenever they could be.
DRIVER = r"""
import atexit, gc, json, os, re, signal, sys, threading, time

plan = json.loads(sys.argv.pop(1))
left = plan["n"]


def strike():
    os.write(2, b"struck\n")
    if plan["limit"] is not None:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan["limit"], resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    for name in plan["signals"]:
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(plan["pause"])


def moment(what, path=None):
    global left
    if left and re.search(plan["at"], what):
        left -= 1
        if left == 0:
            if plan["torn"] and what.startswith("os.rename"):
                os.truncate(path, os.path.getsize(path) // 2)
            if plan["delay"]:
                threading.Timer(plan["delay"], strike).start()
            else:
                strike()


def audit(event, arguments):
    if event in ("open", "os.rename", "os.remove"):
        moment(f"{event} {arguments[0]}", arguments[0])


from rnnrbm.cli import console, main
from rnnrbm.experiment import evaluation, run
from rnnrbm.scoring.likelihood import Evaluator

run.SAVE_EVERY = evaluation.SAVE_EVERY = 0.0
last = ""
report, validate = console.ProgressBar.report, Evaluator.__call__


def reported(self, stage, done, total, row=None):
    global last
    report(self, stage, done, total, row)
    last = f"{stage} {done}/{total}"
    moment(f"stage {last}")


def validated(self, *arguments, **options):
    moment(f"likelihood after {last}")
    return validate(self, *arguments, **options)


console.ProgressBar.report, Evaluator.__call__ = reported, validated
atexit.register(gc.freeze)  # Python would look through all that was compiled, for more than a second
sys.addaudithook(audit)
main.main()
"""


@dataclass(frozen=True)
class Strike:
    """What happens to a process, and when.

    Attributes
    ----------
    at : str
        A pattern of the moment.
    n : int
        At the n-th such moment.
    signals : tuple of str
    pause : float
        Seconds between two signals.
    delay : float
        Seconds between the moment and the first signal.
    limit : int or None
        From then on, no file can be longer than that many bytes, as if the disk were full.
    torn : bool
        Cut a file that is to be renamed in half, as if it had been killed while writing it.
    """

    at: str
    n: int = 1
    signals: tuple[str, ...] = ()
    pause: float = 0.0
    delay: float = 0.0
    limit: int | None = None
    torn: bool = False


#: how a process is brought to its end; Ctrl-C is SIGINT
HOW = ("SIGKILL", "one signal", "two signals", "full disk")

#: The moments of a phase, how many of them may pass before the strike, and how many seconds after the last.
Phases = dict[str, tuple[str, int, float]]
OPEN = r"^(open|os\.rename) .*/\."
PHASES: Phases = {
    "settings": (OPEN + r"config\.", 2, 0.0),
    "start": (r"^open .*toy\.npz", 1, 0.02),
    "pretrain density": (r"^stage pretrain density [01]/2", 2, 0.3),
    "pretrain network": (r"^stage pretrain network [01]/2", 2, 0.3),
    "first checkpoint": (OPEN + r"checkpoint\.", 2, 0.0),
    "training": (r"^stage batch", 4, 0.05),
    "validation": (r"^likelihood after batch", 1, 0.02),
    "saving": (OPEN + r"(checkpoint|metrics)\.", 4, 0.0),
    "scoring": (r"^likelihood after train", 1, 0.2),
    "sampling": (r"^stage sample 0/|" + OPEN + "sample-", 10, 0.0),
    "results": (OPEN + r"results\.", 2, 0.0),
    "drawing": (r"^stage draw 0|" + OPEN + r"(learning_curves|filters|statistics)\.", 6, 0.0),
}
EVALUATION: Phases = {
    "ais, saving": (OPEN + r"toy-train-ais-", 4, 0.0),
    "ais": (r"^stage ais", 2, 0.0),
    "raise, saving": (OPEN + r"toy-train-raise-", 4, 0.0),
    "raise": (r"^stage raise", 2, 0.0),
    "prediction": (r"^stage prediction [01]/3", 2, 0.0),
    "result": (r"^(stage baselines 0|open .*/\.toy-train\.)", 2, 0.0),
}
GENERATION: Phases = {"files": (OPEN + r"seed3-", 10, 0.0)}
REPLACEMENT: Phases = {
    "start": (r"^open .*toy\.npz", 1, 0.02),
    "before the first saving": (r"^stage pretrain density 0/2", 1, 0.0),
    "settings": (OPEN + r"config\.", 4, 0.0),
    "deletion": (r"^os\.remove run/(?!\.)", 13, 0.0),
    "saving": (OPEN + r"pretraining\.", 2, 0.0),
    "pretraining": (r"^stage pretrain density [12]/2", 2, 0.3),
}
NEVER = Strike("^never$")


@pytest.fixture
def seed() -> int:
    seed = int(os.environ.get("RNNRBM_SEED") or secrets.randbelow(10**6))
    print(f"RNNRBM_SEED={seed}")
    return seed


@dataclass(frozen=True)
class Done:
    """A process that came to an end: whether it was struck, what it returned and said."""

    struck: bool
    code: int
    said: str


class Place:
    """A folder with data and settings, in which processes run; what they left elsewhere is noticed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run = path / "run"
        self.temporary = path / "tmp"
        self.temporary.mkdir(parents=True)
        (path / "tiny.toml").write_text(CONFIG)
        save_data(path / "toy.npz")

    def start(self, arguments: Sequence[str], strike: Strike) -> subprocess.Popen[str]:
        return self.process([sys.executable, "-c", DRIVER, json.dumps(asdict(strike)), *arguments])

    def process(self, command: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.path,
            env=environment() | {"TMPDIR": str(self.temporary)},
        )

    def call(self, arguments: Sequence[str], strike: Strike) -> Done:
        """Run the command, which may be struck, and look at what it has left."""
        with self.start(arguments, strike) as process:
            said = process.communicate(timeout=300)[1]
        done = Done("struck\n" in said, process.returncode, said.replace("struck\n", ""))
        self.check(done, strike)
        return done

    def check(self, done: Done, strike: Strike) -> None:
        """What a struck process has left is whole, but for hidden files if it had no chance to delete them."""
        what = f"{strike}\nexit code {done.code}\n{done.said}\n{files(self.path).keys()}"
        assert "Traceback" not in done.said, what
        assert "Error reading" not in done.said, what  # half a program in the cache
        assert list(self.temporary.iterdir()) == [], what
        for path in files(self.run).values():
            if path.name.startswith("."):
                assert strike.signals == ("SIGKILL",), what
            elif path.name == "config.toml":
                assert "model" in tomllib.loads(path.read_text()), what
            elif path.suffix == ".npz":
                checkpoint.load(path)
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".csv":
                with open(path, newline="") as file:
                    assert all(None not in row.values() for row in csv.DictReader(file)), what

    def resumption(self) -> list[str]:
        """The command that goes on: with what is there, or from the beginning if nothing is."""
        if (self.run / "config.toml").exists():
            return ["train", "--resume", "--out", "run"]
        return ["train", *RUN, "--out", "run"]

    def strike(
        self, arguments: Sequence[str], how: str, phase: tuple[str, int, float], rng: np.random.Generator
    ) -> int:
        """Run the command until it is struck in a phase, and return its exit code."""
        at, most, seconds = phase
        signals: tuple[str, ...] = ("SIGKILL",)
        if how in ("one signal", "two signals"):
            signals = tuple(rng.choice(["SIGTERM", "SIGINT"], 1 if how == "one signal" else 2).tolist())
        strike = Strike(
            at,
            n=int(rng.integers(1, most + 1)),
            signals=() if how == "full disk" else signals,
            pause=float(rng.uniform(0, 0.02)),
            delay=float(rng.uniform(0, seconds)),
            limit=int(rng.integers(0, 200)) if how == "full disk" else None,
            torn=how == "SIGKILL" and bool(rng.integers(2)),
        )
        done = self.call(arguments, strike)
        assert done.struck, (strike, done)
        if how == "SIGKILL":
            assert done.code == -signal.SIGKILL, (strike, done)
        elif how == "full disk":
            assert done.code == 1, (strike, done)
            assert re.search(r"error: .*\(File too large\); free some space", done.said), (strike, done)
        elif not (at.startswith("^open") and len(signals) == 2 and done.code in (1, -signal.SIGSEGV)):
            # jaxlib fails, or crashes as Python ends, if its import is interrupted
            assert done.code == 130, (strike, done)
            said = "Resume the run: |run the same command to continue"
            if not (self.run / "config.toml").exists():  # a second signal came before anything was written
                said = "no checkpoint had been saved yet"
            elif "--overwrite" in arguments:  # or before the old run was touched
                said += "|the run in run is as it was"
            assert re.search(said, done.said), (strike, done)
        return done.code


def files(folder: Path) -> dict[str, Path]:
    """All files below a folder, hidden ones too, by their names relative to it."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def without_command(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("command = ")]


def same_files(folder: Path, whole: Path) -> None:
    """Two run folders hold the same files with the same bits, but for times, and the commands that began the runs."""
    ours, theirs = files(folder), files(whole)
    assert ours.keys() == theirs.keys()
    same_training(folder, whole)
    for name, path in ours.items():
        if name.endswith(".json"):
            ours_, theirs_ = (json.loads(p.read_text()) for p in (path, theirs[name]))
            times = {"training_seconds", "seconds"}
            assert {k: v for k, v in ours_.items() if k not in times} == {
                k: v for k, v in theirs_.items() if k not in times
            }
        elif name == "config.toml":
            assert without_command(path) == without_command(theirs[name])
        elif name not in ("checkpoint.npz", "metrics.csv", "report.html"):
            assert path.read_bytes() == theirs[name].read_bytes(), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a run that was never interrupted."""
    place = Place(tmp_path_factory.mktemp("whole") / "place")
    assert place.call(["train", *RUN, "--out", "run"], NEVER).code == 0
    return place.run


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path / "place")


@pytest.mark.parametrize("how", HOW)
def test_a_run_killed_in_every_phase_is_as_never_killed(place, whole, seed, how):
    """One run, struck once in every phase, and resumed each time."""
    assert len(PHASES) * len(HOW) >= 40
    rng = np.random.default_rng([seed, HOW.index(how)])
    for name, phase in PHASES.items():
        began = time.monotonic()
        code = place.strike(place.resumption(), how, phase, rng)
        print(f"{name}: exit code {code} after {time.monotonic() - began:.1f} s")
    rnnrbm(*place.resumption(), cwd=place.path)
    same_files(place.run, whole)


def test_a_run_killed_from_outside_at_any_time_is_as_never_killed(place, whole, seed):
    """The installed command, killed eight times in a row after so many seconds, wherever it is."""
    rng = np.random.default_rng([seed, 10])
    kills = 0
    while kills < 8:
        name = str(rng.choice(["SIGKILL", "SIGTERM", "SIGINT"]))
        with place.process([*COMMAND, *place.resumption()]) as process:
            try:
                process.wait(float(rng.uniform(0.3, 6)))
            except subprocess.TimeoutExpired:
                process.send_signal(getattr(signal, name))
            said = process.communicate(timeout=300)[1]
        print(f"{name}: exit code {process.returncode} after {said.splitlines()[-1:]}")
        assert process.returncode in (0, 1, 130, *(-getattr(signal, s) for s in ("SIGKILL", "SIGTERM", "SIGINT")))
        kills += process.returncode != 0
        place.check(Done(True, process.returncode, "" if name == "SIGINT" else said), Strike("", signals=(name,)))
        if (place.run / "results.json").exists() and kills % 2:  # begin anew, or little else would be met
            rnnrbm(*place.resumption(), cwd=place.path)
            same_files(place.run, whole)
            shutil.rmtree(place.run)
    rnnrbm(*place.resumption(), cwd=place.path)
    same_files(place.run, whole)


@pytest.mark.parametrize("how", HOW)
def test_an_evaluation_killed_in_every_phase_is_as_never_killed(place, whole, seed, how):
    rng = np.random.default_rng([seed, 20 + HOW.index(how)])
    shutil.copytree(whole, place.run)
    for name, phase in EVALUATION.items():
        if name == "result" and how == "one signal":
            continue  # it comes to its end
        code = place.strike(EVALUATE, how, phase, rng)
        print(f"{name}: exit code {code}")
    rnnrbm(*EVALUATE, cwd=place.path)
    never = Place(place.path / "never")
    shutil.copytree(whole, never.run)
    rnnrbm(*EVALUATE, cwd=never.path)
    same_files(place.run, never.run)


def test_samples_killed_are_as_never_killed(place, whole, seed):
    rng = np.random.default_rng([seed, 30])
    shutil.copytree(whole, place.run)
    for how in ("SIGKILL", "SIGKILL", "full disk"):
        place.strike(GENERATE, how, GENERATION["files"], rng)
    rnnrbm(*GENERATE, cwd=place.path)
    never = Place(place.path / "never")
    shutil.copytree(whole, never.run)
    rnnrbm(*GENERATE, cwd=never.path)
    same_files(place.run, never.run)


def test_a_run_that_is_replaced_is_whole_or_the_new_one_has_begun(place, whole, seed):
    """Never half of each: a kill leaves the old run as it was, or a new run that can be resumed."""
    rng = np.random.default_rng([seed, 40])
    other = Place(place.path / "other")
    rnnrbm("train", *RUN, "--seed", "1", "--out", "run", cwd=other.path)
    replaced = set()
    for name in [*REPLACEMENT, "settings", "deletion"]:
        shutil.rmtree(place.run, ignore_errors=True)
        shutil.copytree(whole, place.run)
        rnnrbm(*EVALUATE, cwd=place.path)
        before = {name: path.read_bytes() for name, path in files(place.run).items()}
        command = ["train", *RUN, "--seed", "1", "--out", "run", "--overwrite"]
        how = str(rng.choice(["SIGKILL", "SIGKILL", "two signals"]))
        place.strike(command, how, REPLACEMENT[name], rng)
        left = {name: path.read_bytes() for name, path in files(place.run).items() if not path.name.startswith(".")}
        print(f"{name}, {how}: {'the old run' if left == before else sorted(left)}")
        if left == before:
            rnnrbm("evaluate", *EVALUATE[1:], cwd=place.path)
        else:
            assert config.read(place.run / "config.toml").training.seed == 1
            rnnrbm(*place.resumption(), cwd=place.path)
            same_files(place.run, other.run)
            replaced.add(name)
    assert {"deletion", "pretraining"} <= replaced
    assert not {"start", "before the first saving"} & replaced


def test_a_run_that_another_process_waits_for_is_killed(place, whole, seed):
    rng = np.random.default_rng([seed, 50])
    waiting = [*COMMAND, "train", "--resume", "--out", "run"]
    for name in ("training", "sampling"):
        at, most, _ = PHASES[name]
        strike = Strike(at, n=int(rng.integers(1, most + 1)), signals=("SIGSTOP",))
        with place.start(place.resumption(), strike) as first:
            try:
                while first.stderr.readline() not in ("struck\n", ""):
                    pass
                second = subprocess.run(waiting, cwd=place.path, env=environment(), capture_output=True, text=True)
            finally:
                first.kill()
                first.communicate()
        assert first.returncode == -signal.SIGKILL
        assert second.returncode == 1
        assert re.fullmatch("error: run: another process is training there; .*\n", second.stderr)
    assert place.call(place.resumption(), NEVER).code == 0
    same_files(place.run, whole)
