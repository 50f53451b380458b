"""Sweeps: what may be searched, who works on which trial, and that killed trials go on as if they had not been."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext

import pytest
from helpers import environment, metrics_of, same_training, save_data

pytest.importorskip("optuna")

import rnnrbm.experiment.journal as journals
from rnnrbm import checkpoint
from rnnrbm.experiment import config, finish, run, search, sweeps
from rnnrbm.experiment.config import ConfigError
from rnnrbm.progress import silent

CONFIG = """
[data]
source = "toy.npz"

[model]
name = "rnn"
n_recurrent = 6

[training]
epochs = 6
batch_size = 2
row_length = 16
context = 4
learning_rate = 1e-3
transpose_range = [-1, 1]
valid_every = 2

[generation]
n_samples = 1
n_frames = 4
"""
RATES = """
[sweep]
sampler = "random"

[sweep.ranges]
"training.learning_rate" = { low = 1e-4, high = 1e-1, log = true }
"""


def write(path, ranges, head=""):
    path.write_text(f"{CONFIG}\n[sweep]\n{head}\n[sweep.ranges]\n{ranges}\n")
    return path


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with data and a sweep of learning rates."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finish, "draw", lambda *_, **__: None)  # figures take longer than the training
    save_data(tmp_path / "toy.npz")
    (tmp_path / "rates.toml").write_text(CONFIG + RATES)
    return tmp_path


def opened(place, **changes):
    """The journal of a sweep that has no folder of runs yet."""
    _, how, ranges = search.read(place / "rates.toml")
    return journals.Journal(place, how.model_copy(update=changes), ranges, epochs=6, valid_every=2)


# --- what may be searched -------------------------------------------------------------------------------------------


def test_ranges_are_read_as_the_settings_are(tmp_path):
    path = write(
        tmp_path / "a.toml",
        """
        "training.learning_rate" = { low = 1, high = 2 }
        model.n_hidden = { low = 4, high = 12, step = 4 }
        "model.layers" = { choices = [[4], [4, 5]] }
        """,
        "seed = 3",
    )
    settings, how, (rate, hidden, layers) = search.read(path)
    assert settings.training.epochs == 6
    assert (how.seed, how.sampler, how.pruner) == (3, "tpe", "median")
    assert isinstance(rate.low, float)  # the setting is a real number
    assert (hidden.key, hidden.low, hidden.high, hidden.step) == ("model.n_hidden", 4, 12, 4)
    assert isinstance(hidden.low, int)
    assert layers.ends == ([4], [4, 5])


@pytest.mark.parametrize(
    ("ranges", "head", "said"),
    [
        ("", "", "has no ranges to search"),
        ('"training.rate" = { low = 1, high = 2 }', "", "unknown key 'training.rate'; did you mean"),
        ('"training.k" = { low = 0, high = 2 }', "", "training.k.*got 0"),
        ('"training.k" = { low = 1, high = 2.5 }', "", "training.k.*got 2.5"),
        ('"training.k" = { low = 2, high = 2 }', "", "training.k.*is empty, from 2 to 2"),
        ('"training.k" = { low = 5, high = 2 }', "", "training.k.*is empty, from 5 to 2"),
        ('"training.k" = { low = 1 }', "", "training.k.*high is missing"),
        ('"training.k" = { low = "1", high = 3 }', "", "training.k.*low is '1'; expected a number"),
        ('"training.k" = { low = 1, high = 6, step = 2 }', "", "training.k.*step is 2"),
        ('"training.k" = { low = 1, high = 6, step = 0 }', "", "training.k.*step is 0"),
        ('"training.k" = { low = 1, high = 6, log = 1 }', "", "training.k.*log is 1"),
        ('"training.k" = { low = 1, high = 6, step = 1, log = true }', "", "training.k.*both step and log"),
        ('"training.clip" = { low = 0, high = 6, log = true }', "", "training.clip.*no logarithm at 0"),
        ('"training.k" = { low = 1, hihg = 6 }', "", "training.k.*unknown key 'hihg'.*high"),
        ('"training.k" = [1, 2]', "", r"training.k.*got \[1, 2\]"),
        ('"training.k" = { choices = [1] }', "", "training.k.*at least two different"),
        ('"training.k" = { choices = [1, 2, 2] }', "", "training.k.*at least two different"),
        ('"training.k" = { choices = [1, 2], low = 1 }', "", "training.k.*both choices and low"),
        ('"training.optimiser" = { choices = ["adam", "adamm"] }', "", "training.optimiser.*adamm"),
        ('"evaluation.n_chains" = { low = 2, high = 9 }', "", "evaluation.n_chains.*cannot be searched"),
        ('"training.valid_every" = { low = 2, high = 9 }', "", "training.valid_every.*cannot be searched"),
        ('"training.seed" = { low = 2, high = 9 }', "", "training.seed.*cannot be searched"),
        ('"training.k" = { low = 1, high = 2 }', 'pruner = "medina"', "sweep.pruner.*medina"),
        ('"training.k" = { low = 1, high = 2 }', "prunner = 1", "prunner.*sweep.pruner"),
    ],
)
def test_what_cannot_be_searched_is_refused(tmp_path, ranges, head, said):
    path = write(tmp_path / "a.toml", ranges, head)
    with pytest.raises(ConfigError, match=rf"(?s)^{path}: .*{said}"):
        search.read(path)


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ('"model.cell" = { choices = ["gru", "gruu"] }', "model.cell.*gruu.*gru"),
        ('"model.window" = { low = 2, high = 9 }', "model.window.*rnn has no window"),
        ('"model.n_latent" = { low = 2, high = 9 }', "model.n_latent cannot be chosen"),
    ],
)
def test_what_the_model_does_not_have_is_refused_before_anything_is_written(place, ranges, said):
    path = write(place / "a.toml", ranges)
    with pytest.raises(ConfigError, match=rf"(?s)^{path}: sweep.ranges, .*{said}"):
        sweeps.open_sweep(path)
    assert not (place / "runs").exists()


# --- the folder -----------------------------------------------------------------------------------------------------


def test_a_sweep_continues_only_with_its_own_settings(place):
    first = sweeps.open_sweep("rates.toml")
    assert first.folder.as_posix() == "runs/rates"
    assert sweeps.open_sweep("rates.toml") == first
    again = sweeps.open_sweep("runs/rates")
    assert (again.settings, again.ranges) == (first.settings, first.ranges)
    (place / "rates.toml").write_text((CONFIG + RATES).replace("1e-4", "1e-3"))
    with pytest.raises(ConfigError, match=r"runs/rates: its trials were begun with other settings: sweep\.ranges is"):
        sweeps.open_sweep("rates.toml")
    (place / "rates.toml").write_text((CONFIG + RATES).replace("context = 4", "context = 3"))
    with pytest.raises(ConfigError, match=r"training\.context is now 3, was 4"):
        sweeps.open_sweep("rates.toml")


def test_a_sweep_that_moves_with_its_data_finds_them(place, monkeypatch):
    sweeps.open_sweep("rates.toml")
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert sweeps.open_sweep(place / "runs" / "rates").settings.data.source == str(place / "toy.npz")


def test_another_version_is_refused(place):
    sweeps.open_sweep("rates.toml")
    file = place / "runs" / "rates" / "sweep.toml"
    file.write_text(file.read_text().replace("format = 1", "format = 2"))
    for source in ("rates.toml", "runs/rates"):
        with pytest.raises(ConfigError, match=r"sweep\.toml: is a sweep of format 2, .* reads format 1"):
            sweeps.open_sweep(source)


@pytest.mark.parametrize("line", ['{"op_code":99,"worker_id":"x"}', '{"op_code":4,"worker_id":"x"}', "no JSON", "[1]"])
def test_a_journal_that_cannot_be_read_is_refused(place, line):
    (place / "journal.log").write_text(f"{line}\n{line}\n")
    with pytest.raises(ConfigError, match=r"journal\.log: is no journal of Optuna that version .* can read"):
        opened(place)


def test_a_folder_of_something_else_is_refused(place):
    (place / "runs" / "rates").mkdir(parents=True)
    (place / "runs" / "rates" / "config.toml").write_text("")
    with pytest.raises(FileExistsError, match="runs/rates: holds a run, and no sweep"):
        sweeps.open_sweep("rates.toml")
    with pytest.raises(ConfigError, match="runs/rates: holds no sweep"):
        sweeps.open_sweep("runs/rates")
    with pytest.raises(ConfigError, match="leave out --out"):
        sweeps.open_sweep("runs/rates", "runs/other")


# --- who works on what ----------------------------------------------------------------------------------------------

#: Takes trials until there are none, and says which; with a number, stops in the middle of that one.
WORKER = """
import sys, time
from pathlib import Path
from rnnrbm.experiment import journal, search

_, how, ranges = search.read("rates.toml")
book = journal.Journal(Path.cwd(), how, ranges, epochs=6, valid_every=2)
n_trials, last = map(int, sys.argv[1:])
while (work := book.next(n_trials)) is not None:
    print(work.number, *work.values.values(), flush=True)
    work.report(-1.0 - work.number, 2)
    if work.number == last:
        time.sleep(60)
    time.sleep(0.02)
    work.complete(-1.0 - work.number)
    work.claim.release()
"""


def worker(n_trials, last=-1):
    command = [sys.executable, "-c", WORKER, str(n_trials), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())


def test_two_processes_share_the_trials_of_a_journal(place):
    with worker(30) as one, worker(30) as other:
        said = [process.communicate(timeout=60)[0].split("\n")[:-1] for process in (one, other)]
    numbers = [[int(line.split()[0]) for line in lines] for lines in said]
    assert sorted(number for each in numbers for number in each) == list(range(30))
    rates = {line.split()[1] for lines in said for line in lines}
    assert len(rates) == 30  # equal seeds do not mean equal suggestions
    trials = opened(place).trials()
    assert [trial.state for trial in trials] == ["complete"] * 30
    assert [trial.score for trial in trials] == [-1.0 - i for i in range(30)]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_trial_is_taken_over_when_its_process_has_been_killed(place):
    with worker(9, last=0) as process:
        number, rate = process.stdout.readline().split()
        book = opened(place)
        while not (trials := book.trials()) or trials[0].score is None:
            time.sleep(0.01)
        assert [trial.state for trial in trials] == ["running"]
        mine = book.next(9)
        assert mine.number == 1  # the other one is alive
        process.kill()
        process.wait()
    assert [trial.state for trial in book.trials()] == ["waiting", "running"]
    taken = book.next(9)
    assert (taken.number, taken.values) == (int(number), {"training.learning_rate": float(rate)})
    taken.report(-1.0, 2)  # of epochs that are trained again
    taken.complete(-0.5)
    for each in (taken, mine):
        each.claim.release()
    assert book.trials()[0].score == -0.5
    assert list((place / "running").iterdir()) == []


def test_a_claim_of_another_machine_counts_until_it_is_old(place, monkeypatch):
    book = opened(place)
    first = book.next(2)
    path = first.claim.path
    monkeypatch.setattr(journals, "_machine", lambda: "another")
    first.claim._end.set()
    first.claim._thread.join()
    os.close(first.claim._handle)  # no lock that this machine could see
    assert journals.claimed(path) is None
    assert [trial.state for trial in book.trials()] == ["running"]
    os.utime(path, (time.time() - 119, time.time() - 119))
    assert journals.claimed(path) is None
    os.utime(path, (time.time() - 125, time.time() - 125))
    assert journals.claimed(path) is False
    taken = book.next(2)
    assert taken.number == 0
    taken.claim.release()


def test_a_process_waits_until_a_claim_of_another_machine_is_renewed(place, monkeypatch):
    book = opened(place)
    first = book.next(1)
    monkeypatch.setattr(journals, "BEAT", 0.1)
    first.claim._end.set()
    first.claim._thread.join()
    os.close(first.claim._handle)
    monkeypatch.setattr(journals, "_machine", lambda: "another")
    then = time.time() + 5
    beat = threading.Timer(0.5, os.utime, [first.claim.path, (then, then)])
    began = time.monotonic()
    beat.start()
    assert book.next(1) is None
    assert time.monotonic() - began > 0.4
    monkeypatch.setattr(journals, "STALE", 1.0)
    os.utime(first.claim.path)
    assert book.next(1).number == 0  # nothing renewed it


def test_a_process_notices_that_its_trial_was_taken_over(place, monkeypatch):
    monkeypatch.setattr(journals, "BEAT", 0.02)
    claim = journals.Claim(place / "running" / "a.json")
    time.sleep(0.1)
    assert not claim.lost
    claim.path.write_text(json.dumps({"token": "of another"}))
    for _ in range(100):
        time.sleep(0.02)
        if claim.lost:
            break
    assert claim.lost
    claim.release()
    assert claim.path.exists()  # it is another's


def test_half_a_record_at_the_end_of_a_journal_is_deleted(place):
    work = opened(place).next(5)
    work.claim.release()
    file = place / "journal.log"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"op_code":5,"worker_id":"' + b"x" * 5000)  # a process was killed while it wrote
    book = opened(place)
    taken = book.next(5)
    assert taken.values == work.values
    taken.complete(-2.0)
    taken.claim.release()
    assert file.read_bytes().startswith(whole)
    assert [trial.score for trial in opened(place).trials()] == [-2.0]


def test_suggestions_depend_on_the_seed_and_the_number(place):
    def rates(folder, **changes):
        (place / folder).mkdir()
        _, how, ranges = search.read(place / "rates.toml")
        found = []
        for _ in range(3):  # a process each
            book = journals.Journal(place / folder, how.model_copy(update=changes), ranges)
            work = book.next(3)
            found.append(work.values["training.learning_rate"])
            work.complete(-1.0)
            work.claim.release()
        return found

    first = rates("a")
    assert len(set(first)) == 3
    assert all(1e-4 <= rate <= 1e-1 for rate in first)
    assert rates("b") == first
    assert not set(rates("c", seed=1)) & set(first)
    assert rates("d", sampler="tpe") == rates("e", sampler="tpe")


# --- trials are runs ------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Ends a process at once, as far as a test in one process can."""


def killing(number, epoch):
    """Shows nothing, and ends the process in an epoch of a trial."""

    @contextmanager
    def show(trial, values):
        def progress(stage, done, total, row=None):
            if (stage, trial, done) == ("train", number, epoch):
                raise Killed

        yield progress

    return show


def quiet(number, values):
    return nullcontext(silent)


def test_a_killed_trial_goes_on_as_if_it_had_not_been(place, monkeypatch):
    monkeypatch.setattr(run, "SAVE_EVERY", 0.0)
    whole, broken = (sweeps.open_sweep("rates.toml", name) for name in ("whole", "broken"))
    sweeps.work(whole, 2, show=quiet)
    with pytest.raises(Killed):
        sweeps.work(broken, 2, show=killing(1, 4))
    assert [trial.state for trial in broken.journal().trials()] == ["complete", "waiting"]
    _, meta = checkpoint.load(place / "broken" / "trial-0001" / "checkpoint.npz")
    assert meta["state"]["epoch"] == 3  # an epoch at most is lost: it was killed when the fourth was told
    asked = iter([False, False, True])
    with pytest.raises(run.Interrupted):
        sweeps.work(broken, 2, show=quiet, stop=lambda: next(asked, True))
    sweeps.work(broken, 2, show=quiet)
    one, other = (x.journal().trials() for x in (whole, broken))
    assert one == other
    assert [trial.state for trial in one] == ["complete"] * 2
    for trial in one:
        name = search.trial_folder("", trial.number).name
        same_training(place / "whole" / name, place / "broken" / name)
        results = json.loads((place / "broken" / name / "results.json").read_text())
        assert results["test_ll"] is None
        rows = [float(row["valid_ll"]) for row in metrics_of(place / "broken" / name) if row["valid_ll"] != "nan"]
        assert trial.score == results["best_valid_ll"] == pytest.approx(max(rows))
        own = config.read(place / "broken" / name / "config.toml")
        assert own.training.learning_rate == trial.values["training.learning_rate"]
        facts = config.facts_of_run(place / "broken" / name / "config.toml")["trial"]
        assert facts == {"number": trial.number, "values": trial.values}


def test_a_pruned_trial_is_a_run_that_says_so(place):
    sweep = sweeps.open_sweep("rates.toml")
    book = sweep.journal()
    for _ in range(5):  # much better than any model of these data
        work = book.next(5)
        for epoch in (2, 4, 6):
            work.report(-0.1, epoch)
        work.complete(-0.1)
        work.claim.release()
    sweeps.work(sweep, 6, show=quiet)
    trial = sweep.journal().trials()[5]
    assert (trial.state, trial.epoch) == ("pruned", 2)
    folder = place / "runs" / "rates" / "trial-0005"
    results = json.loads((folder / "results.json").read_text())
    assert results["pruned"].startswith("pruned in epoch 2")
    assert (results["test_ll"], results["epochs"]) == (None, 2)
    assert results["best_valid_ll"] == trial.score
    assert "stopped after epoch 2" in run.load(folder).state
    assert [x.number for x in sweeps.ranked(sweep.journal().trials())] == [0, 1, 2, 3, 4, 5]
    results = run.train(None, folder, resume=True)  # it can train on, as any run
    assert results["epochs"] == 6
    assert "pruned" not in results


def test_a_trial_that_cannot_be_trained_is_told_once(place):
    path = write(
        place / "a.toml", '"training.context" = { low = 4, high = 8 }\n"training.row_length" = { low = 8, high = 64 }'
    )
    sweep = sweeps.open_sweep(path, "a")
    own = sweep.settings.replaced({"training.row_length": 8, "training.context": 4})
    assert own.training.row_length == 8
    book = sweep.journal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "train", refuse)
        with pytest.raises(ConfigError, match=r"a/trial-0000: cannot be trained: valid holds no piece"):
            sweeps.work(sweep, 3, show=quiet)
    assert [trial.state for trial in book.trials()] == ["pruned"]
    assert book.trials()[0].reason == "valid holds no piece"


def refuse(*_, **__):
    raise ValueError("valid holds no piece")


@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_pruners_end_bad_trials_and_no_others(place, pruner):
    book = opened(place, pruner=pruner, warmup_epochs=3)
    ended = []
    for i in range(12):
        work = book.next(12)
        good = i < 6
        for epoch in (2, 4, 6):
            if work.report((-1.0 if good else -9.0) + 0.1 * epoch, epoch) and epoch < 6:
                ended.append((i, epoch))
                work.prune("test")
                break
        else:
            work.complete(-1.0 if good else -9.0)
        work.claim.release()
    assert all(i >= 6 for i, _ in ended) if pruner != "hyperband" else True
    assert bool(ended) == (pruner != "none")
    if pruner == "median":
        assert [i for i, _ in ended] == list(range(6, 12))
        assert {epoch for _, epoch in ended} == {4}  # epoch 2 is of the warm-up
