"""The command line, as a person meets it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    COLUMNS,
    COMMAND,
    FIGURES,
    LOW,
    PARTS,
    WIDTH,
    environment,
    metrics_of,
    midi_folder,
    refused,
    rnnrbm,
    same_training,
    save_data,
)

from rnnrbm import checkpoint
from rnnrbm.cli.train import _print_results
from rnnrbm.experiment import config
from rnnrbm.io import midi

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder"))

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
valid_every = 2
valid_n_chains = 2
valid_n_temperatures = 3

[evaluation]
n_chains = 3
n_temperatures = 4

[generation]
n_samples = 2
n_frames = 8
k = 3
"""
#: for runs of which only the beginning is looked at
SHORT_END = ["--set", "evaluation.test=false", "--set", "generation.n_samples=1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a configuration, data and a run that came to its end."""
    place = tmp_path_factory.mktemp("cli")
    save_data(place / "toy.npz")
    (place / "tiny.toml").write_text(CONFIG)
    return place


@pytest.fixture(scope="module")
def trained(place) -> tuple[Path, subprocess.CompletedProcess[str]]:
    done = rnnrbm("train", "tiny.toml", "--data", "toy.npz", "--out", "whole", cwd=place)
    return place / "whole", done


# --- help -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train", "--help"], ["generate", "-h"], ["evaluate", "-h"], ["sweep", "-h"], ["--version"]],
)
def test_help_loads_nothing_heavy(arguments):
    code = f"""
import sys
from rnnrbm.cli import main as cli
sys.argv = ["rnnrbm", *{arguments!r}]
try:
    cli.main()
except SystemExit as end:
    print("code", end.code)
print("heavy", *sorted({{"jax", "optuna", "pytensor", "matplotlib", "scipy", "pretty_midi"}} & {{*sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.stderr == ""
    assert done.stdout.splitlines()[-2:] == ["code 0", "heavy"]
    expected = r"rnnrbm \d+\.\d+" if arguments == ["--version"] else "Usage: rnnrbm"
    assert re.search(expected, done.stdout)


def test_help_names_every_option():
    said = rnnrbm("train", "--help").stdout
    for option in ("--data", "--out", "--epochs", "--seed", "--cell", "--set", "--resume", "--overwrite", "--mode"):
        assert option in said
    said = rnnrbm("generate", "--help").stdout
    for option in ("--n-frames", "--n-samples", "--seed", "--k", "--prime", "--prime-frames", "--out"):
        assert option in said


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "rnnrbm.cli.main", "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "train" in done.stdout
    assert "generate" in done.stdout


# --- train ------------------------------------------------------------------------------------------


def test_train_writes_everything_and_says_so(trained):
    folder, done = trained
    assert set(os.listdir(folder)) == PARTS
    assert set(os.listdir(folder / "figures")) == FIGURES
    assert len(os.listdir(folder / "samples")) == 6
    rows = metrics_of(folder)
    assert list(rows[0]) == COLUMNS
    assert len(rows) == 6
    settings = config.read(folder / "config.toml")
    assert (settings.data.source, settings.training.epochs, settings.model.n_hidden) == ("toy.npz", 6, 8)
    for text in (
        "this RNN-RBM",
        "note 1-gram",
        "1-gram (Gaussian)",
        "previous frame, fitted",
        "Test set of toy, 14 frames",
    ):
        assert text in done.stdout
    assert re.search(r"AIS, 3 chains x 4 temperatures, \d+ frames", done.stdout)
    assert re.search(r"-\d+\.\d{3} ± \d+\.\d{3}", done.stdout)
    assert "more:     rnnrbm generate whole" in done.stdout
    assert done.stderr.startswith("run folder: whole\ntoy: 12 columns (notes 60 to 71), 2 frames per beat\n")
    assert re.search(r"  train +4 pieces +79 frames\n  valid +2 pieces +14 frames\n  test ", done.stderr)
    for stage in ("Training 0/6", "Training 6/6", "AIS 14/14", "Drawing 1/1"):
        assert stage in done.stderr


def test_options_change_settings(place):
    options = ["--epochs", "0", "--seed", "7", "--cell", "tanh", "--set", "model.n_hidden=5"]
    options += ["--set", "training.k=[[0.0, 1], [0.5, 2]]", "--set", "generation.n_samples=1"]
    rnnrbm("train", "tiny.toml", *options, "--data", "toy.npz", *SHORT_END[:2], cwd=place)
    folder = place / "runs" / "toy-1"  # the first that is free
    settings = config.read(folder / "config.toml")
    assert (settings.training.epochs, settings.training.seed, settings.model.cell) == (0, 7, "tanh")
    assert (settings.model.n_hidden, settings.training.k) == (5, [(0.0, 1), (0.5, 2)])
    assert settings.data.source == "toy.npz"
    assert (folder / "results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "training.epoch=3"], r"unknown key 'training\.epoch'; did you mean 'training\.epochs'\?"),
        (["--set", "k=3"], r"'k' is no setting; did you mean 'model\.k' or 'training\.k' or 'generation\.k'\?"),
        (["bach"], r"bach: is no configuration, a TOML file; for a data set: --data bach"),
        (["."], r"\.: is no configuration, a TOML file; for a data set: --data \."),
        (["--set", "epochs=3"], r"'epochs' is no setting; did you mean 'training\.epochs'\?"),
        (["--set", "training.epochs"], r"--set training\.epochs: expected KEY=VALUE, as in training\.epochs=20"),
        (["--set", "training.epochs=many"], r"training\.epochs: .*got 'many'"),
        (["--cell", "lstn"], r"model\.cell: .*got 'lstn'"),
        (["--model", "rnn-made"], r"model\.name: .*got 'rnn-made'"),
        (
            ["--model", "nade", "--cell", "lstm"],
            r"model\.cell cannot be chosen for nade, which has n_hidden, orderless",
        ),
        (["--seed", "-1"], r"training\.seed: .*got -1"),
        (["--set", "training.k=0"], r"training\.k: expected a whole number of at least 1, or stages [^;]*, got 0$"),
        (["--set", "data.split=[0.9,0.2,0.2]", "--out", "new"], r"split cannot be chosen for the embedded set 'bach'"),
        (["--set", "data.drums=true", "--out", "new"], r"drums cannot be chosen for the embedded set 'bach'"),
        (["none.toml"], r"none\.toml: there is no such file; give the path of a configuration, a TOML file$"),
        (["misspelt.toml"], r"misspelt\.toml: unknown key 'training\.epoch'; did you mean 'training\.epochs'\?"),
        (["broken.toml"], r"broken\.toml: not a TOML file"),
        (["--resume"], r"--resume needs --out"),
        (["--overwrite"], r"--overwrite needs --out, the folder of the run to replace"),
        (["song.mid"], r"song\.mid: is no configuration, a TOML file; for a data set: --data song\.mid"),
        (
            ["--data", "tiny.npz", "--out", "new"],
            r"tiny\.npz: cannot be read as an \.npz file, .* \(it holds no",
        ),
        (["--resume", "--out", "nowhere"], r"nowhere: no run to resume there"),
        (
            ["--resume", "--out", "whole", "--seed", "9"],
            r"of which only training\.epochs, .* may change; leave out training\.seed, or start a",
        ),
        (["tiny.toml", "--resume", "--out", "whole"], r"leave out tiny\.toml, or start a new run"),
        (["--resume", "--overwrite", "--out", "whole"], r"--resume and --overwrite contradict each other.*give one"),
        (["--resume", "--overwrite", "--epochs", "9"], r"--resume and --overwrite contradict each other.*give one"),
        (["--resume", "--out", "tiny.toml"], r"tiny\.toml: is a file; give a folder for the run"),
        (["--data", "toy.npz", "--out", "tiny.toml/a"], r"tiny\.toml is a file; give a folder for the run"),
        (["--data", "toy.npz", "--out", "whole"], r"whole: holds a run already.*--resume.*--out.*--overwrite"),
        (["--data", "none.npz", "--out", "new"], r"none\.npz: there is no such file or folder"),
        (["--data", "bachh", "--out", "new"], r"bachh"),
        (["--epochs", "3", "--set", "training.epochs=1"], r"training\.epochs is given by --set and by an option of"),
        (["--set", "training.k=3", "--set", "training.k=1"], r"--set training\.k=1: training\.k is given twice"),
        (["--data", "toy.npz", "--out", "new", "--mode", "JAXX"], r"mode 'JAXX' is not one of PyTensor's"),
        (["--data", "toy.npz", "--out", "tiny.toml"], r"tiny\.toml: is a file; give a folder for the run"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_what_cannot_be_trained_is_said_in_one_line(place, trained, arguments, message):
    (place / "misspelt.toml").write_text("[training]\nepoch = 3\n")
    (place / "tiny.npz").write_text("text")
    (place / "song.mid").write_bytes(b"MThd")
    (place / "broken.toml").write_text("[training\n")
    before = {p: p.stat().st_mtime_ns for p in trained[0].rglob("*")}
    assert re.search(message, refused("train", *arguments, cwd=place))
    assert {p: p.stat().st_mtime_ns for p in trained[0].rglob("*")} == before


def test_unknown_options_are_refused():
    done = rnnrbm("train", "--epoch", "3", code=2)
    assert "No such option" in done.stderr
    assert "--epochs" in done.stderr


@pytest.mark.slow  # as in test_run.py
def test_overwrite(place, trained):
    shutil.copytree(trained[0], place / "old")
    (place / "old" / "results.json").write_text("old")
    rnnrbm("train", "tiny.toml", "--data", "toy.npz", "--out", "old", "--overwrite", cwd=place)
    same_training(place / "old", trained[0])
    assert (place / "old" / "results.json").read_text() != "old"
    assert (place / "old" / "samples" / "sample-1.mid").read_bytes() == (
        trained[0] / "samples" / "sample-1.mid"
    ).read_bytes()


@pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")
def test_a_folder_of_midi_files_with_a_bad_one(tmp_path):
    (tmp_path / "songs").mkdir()
    for path in sorted((DATA / "midi" / "nottingham").glob("*.mid"))[:6]:
        shutil.copy(path, tmp_path / "songs")
    (tmp_path / "songs" / "broken.mid").write_bytes(b"MThd and no more")
    (tmp_path / "tiny.toml").write_text(CONFIG)
    done = rnnrbm(
        "train", "tiny.toml", "--data", "songs", "--out", "run", "--epochs", "1", *SHORT_END, cwd=tmp_path,
    )  # fmt: skip
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert any("broken.mid" in line for line in warnings)
    assert set(os.listdir(tmp_path / "run")) == PARTS
    assert set(os.listdir(tmp_path / "run" / "samples")) == {f"sample-1.{x}" for x in ("mid", "wav", "png")}
    assert checkpoint.load(tmp_path / "run" / "checkpoint.npz")[1]["n_visible"] == 88


def test_a_finished_run_says_so_when_resumed(place, trained):
    shutil.copytree(trained[0], place / "finished")
    done = rnnrbm("train", "--resume", "--out", "finished", cwd=place)
    said = r"training is finished \(epoch 6, best valid log-likelihood -\d+\.\d+ in epoch \d\); only scoring"
    assert re.search(rf"^{said}, sampling and drawing are done again$", done.stderr, re.MULTILINE)
    assert done.stderr.index("training is finished") < done.stderr.index("Training 6/6")


def test_drums_can_be_asked_for_as_the_error_says(place):
    folder = midi_folder(place / "drums", channel=9)
    arguments = ["train", "tiny.toml", "--data", folder, "--epochs", "0", "--out", "drummer", *SHORT_END]
    said = rnnrbm(*arguments, cwd=place, code=1).stderr
    assert "run folder" not in said
    assert not (place / "drummer").exists()
    advice = re.search(r"none of its 6 MIDI files can be used; .* (--set data\.drums=true)", said)[1]
    rnnrbm(*arguments, *advice.split(), cwd=place)
    assert config.read(place / "drummer" / "config.toml").data.drums is True
    # a primer is read as the data were, and so is another folder
    options = ["--n-frames", "3", "--n-samples", "1", "--k", "2", "--prime", folder / "0.mid"]
    assert "primed by 12 frames" in rnnrbm("generate", "drummer", *options, cwd=place).stdout
    other = shutil.copytree(folder, place / "more drums")
    said = rnnrbm("evaluate", "drummer", "--data", other, *QUICK, "--no-bracket", cwd=place).stdout
    assert re.search(r"more drums, test: 1 piece, \d+ frames", said)


@pytest.mark.slow
def test_a_primer_is_read_on_a_grid_of_seconds(place):
    folder = midi_folder(place / "frames_per_bar")
    seconds = ["--set", "data.seconds_per_frame=0.125"]  # 12 half beats at 120 beats a minute are 24 frames
    rnnrbm("train", "tiny.toml", "--data", folder, "--epochs", "0", "--out", "ticking", *seconds, *SHORT_END, cwd=place)
    options = ["--n-frames", "3", "--n-samples", "1", "--k", "2", "--prime", folder / "0.mid", "--prime-frames", "99"]
    assert "primed by 24 frames" in rnnrbm("generate", "ticking", *options, cwd=place).stdout


# --- evaluating -------------------------------------------------------------------------------------

QUICK = ["--n-chains", "4", "--n-temperatures", "3", "--n-draws", "2", "--k", "3"]


@pytest.mark.parametrize("model", ["rnn-nade", pytest.param("rtrbm", marks=pytest.mark.slow)])
def test_other_models_are_trained_scored_and_sampled(place, model):
    options = ["--model", model, "--epochs", "2", "--set", "generation.n_samples=1", "--out", model]
    said = rnnrbm("train", "tiny.toml", "--data", "toy.npz", *options, cwd=place).stdout
    assert f"this {model.upper()}" in said
    exact = model == "rnn-nade"
    assert ("exact; epoch" in said) == exact
    said = rnnrbm("evaluate", model, *QUICK, "--n-bracket-frames", "4", cwd=place).stdout
    assert ("lower side" in said) != exact
    assert bool(re.search(r"of\s+4\s+random\s+frames", said)) != exact
    assert ("Gibbs steps from the frame before" in said) != exact
    assert re.search(rf"this {model.upper()} .* -\d+\.\d+ │.*exact", said) or not exact
    done = rnnrbm("generate", model, "--n-frames", "3", "--n-samples", "1", cwd=place)
    assert "notes per frame" in done.stdout
    assert config.read(place / model / "config.toml").model.name == model


def test_evaluate(place, trained):
    folder = trained[0]
    said = rnnrbm("evaluate", "whole", *QUICK, cwd=place).stdout
    for expected in (
        "toy, test: 2 pieces, 14 frames",
        "this RNN-RBM",
        "lower side",
        "RAISE, 4 chains x 3",
        "note N-gram",
    ):
        assert expected in said
    assert "sampled given the true past, 2 times, 3 Gibbs steps from the frame before" in said
    done = rnnrbm("evaluate", "whole", *QUICK, "--no-bracket", "--split", "valid", "--json", cwd=place)
    assert done.stderr == ""
    got = json.loads(done.stdout)
    assert got["split"] == "valid"
    assert got["frames"] == 14
    assert "raise" not in got
    written = {file.name for file in (folder / "evaluations").iterdir()}
    assert {"toy-test.json", "toy-valid.json"} <= written
    kinds = sorted(re.sub("-[0-9a-f]{8}.npz", "", name) for name in written if name.endswith(".npz"))
    assert kinds == ["toy-test-ais", "toy-test-raise", "toy-valid-ais"]
    other = rnnrbm("evaluate", "whole", *QUICK, "--n-exact-states", "0", "--no-bracket", "--json", cwd=place)
    assert json.loads(other.stdout)["log_likelihood"]["settings"] == "AIS, 4 chains x 3 temperatures"
    assert written < {file.name for file in (folder / "evaluations").iterdir()}  # of other settings, so beside them
    exact = rnnrbm("evaluate", "whole", *QUICK, "--method", "exact", "--data", "toy.npz", "--json", cwd=place)
    assert json.loads(exact.stdout)["log_likelihood"]["settings"] == "exact"


def test_evaluate_on_other_data(place, trained, tmp_path):
    """A folder is read as the run's data were; the run's own frames are enumerated, if they can still be read."""
    shutil.copytree(place / "whole", tmp_path / "whole")
    shutil.copy(place / "toy.npz", tmp_path / "toy.npz")
    folder = midi_folder(tmp_path / "midi")
    arguments = ["evaluate", "whole", *QUICK, "--no-bracket", "--json", "--data", folder]
    done = rnnrbm(*arguments, cwd=tmp_path)
    assert done.stderr.startswith("midi: 12 columns (notes 60 to 71), 2 frames per beat\n")
    listed = json.loads(done.stdout)["log_likelihood"]["settings"]
    (tmp_path / "toy.npz").unlink()
    done = rnnrbm(*arguments, cwd=tmp_path)
    assert done.stderr.startswith("warning: the run's training data cannot be read (toy.npz")
    assert json.loads(done.stdout)["log_likelihood"]["settings"] != listed
    assert "toy.npz" in refused("evaluate", "whole", cwd=tmp_path)


def test_what_cannot_be_evaluated(place, trained, tmp_path):
    save_data(tmp_path / "wide.npz", width=WIDTH + 1)
    said = refused("evaluate", place / "whole", *QUICK, "--data", tmp_path / "wide.npz")
    assert re.search(r"toy: has 13 columns, but the RNN-RBM of .*whole has 12; give", said)
    save_data(tmp_path / "high.npz", low=LOW + 1)
    said = refused("evaluate", place / "whole", *QUICK, "--data", tmp_path / "high.npz")
    assert re.search(r"toy: column 0 is note 61, not note 60", said)
    assert "split 'tests' is none of train, valid, test" in refused("evaluate", "whole", "--split", "tests", cwd=place)
    assert "no such file" in refused("evaluate", "nowhere", cwd=place)
    assert "annealing schedule 'steep'" in refused("evaluate", "whole", "--schedule", "steep", cwd=place)
    assert "method 'raise' is neither ais nor exact" in refused("evaluate", "whole", "--method", "raise", cwd=place)
    assert "method 'guess'" in refused("evaluate", "whole", "--method", "guess", cwd=place)


# --- interruption -----------------------------------------------------------------------------------


def interrupted(arguments: list[str], cwd: Path, signum: int) -> subprocess.CompletedProcess[str]:
    """Send a signal as soon as training is announced."""
    with subprocess.Popen(
        [*COMMAND, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd, env=environment()
    ) as process:
        said = ""
        for line in process.stderr:
            said += line
            if line.startswith("Training "):
                process.send_signal(signum)
                break
        out, rest = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out, said + rest)


def test_interrupt_saves_and_says_how_to_go_on(place, trained):
    arguments = ["train", "tiny.toml", "--data", "toy.npz", "--out", "stopped"]
    for epoch, signum in ((1, signal.SIGINT), (1, signal.SIGTERM)):
        done = interrupted(arguments, place, signum)
        assert done.returncode == 130, done.stderr
        assert "Traceback" not in done.stderr
        assert ("Ctrl-C again stops at once" in done.stderr) == (signum == signal.SIGINT)
        assert re.search(rf"stopped in epoch {epoch}; everything is saved in stopped", done.stderr)
        assert done.stderr.rstrip().endswith("Resume the run:  rnnrbm train --resume --out stopped")
        assert (place / "stopped" / "checkpoint.npz").exists()
        assert not (place / "stopped" / "results.json").exists()
        arguments = ["train", "--resume", "--out", "stopped"]
    state = checkpoint.load(place / "stopped" / "checkpoint.npz")[1]["state"]
    assert (state["epoch"], state["batch"]) == (0, 2)
    assert "has not come to its first validation; resume it" in refused("generate", "stopped", cwd=place)
    rnnrbm(*arguments, cwd=place)
    same_training(place / "stopped", trained[0])


#: the command, but with a checkpoint after every epoch
EAGER = "import rnnrbm.experiment.run; rnnrbm.experiment.run.SAVE_EVERY = 0.0; from rnnrbm.cli.main import main; main()"


def killed(arguments: list[str], cwd: Path, checkpoints: int, pause: float) -> bool:
    """Kill a run some time after it has written so many checkpoints; False if it came to its end before."""
    path = cwd / "killed" / "checkpoint.npz"
    last = path.stat().st_mtime_ns if path.exists() else None
    command = [sys.executable, "-c", EAGER, *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=cwd) as process:
        while process.poll() is None and checkpoints:
            now = path.stat().st_mtime_ns if path.exists() else None
            checkpoints -= now != last
            last = now
            time.sleep(0.001)
        time.sleep(pause)
        process.kill()
        return process.wait() == -signal.SIGKILL


def assert_killed_and_resumed_is_whole(place: Path, whole: Path, seed: int, kills: int) -> None:
    rng = np.random.default_rng(seed)
    shutil.rmtree(place / "killed", ignore_errors=True)
    arguments = ["train", "tiny.toml", "--data", "toy.npz", "--out", "killed"]
    happened = 0
    for _ in range(kills):
        happened += killed(arguments, place, int(rng.integers(1, 3)), float(rng.exponential(0.01)))
        assert checkpoint.load(place / "killed" / "checkpoint.npz")[1]["state"]["epoch"] > 0
        arguments = ["train", "--resume", "--out", "killed"]
    assert happened > 0
    rnnrbm(*arguments, cwd=place)
    same_training(place / "killed", whole)
    left = {p.name for p in (place / "killed").iterdir()} - PARTS
    # a kill may leave a temporary file, never half of a real one
    assert all(name.startswith(".") for name in left)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_and_resumed_is_as_never_killed(place, trained):
    assert_killed_and_resumed_is_whole(place, trained[0], seed=0, kills=2)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("seed", range(1, 6))
def test_killed_at_more_moments(place, trained, seed):
    assert_killed_and_resumed_is_whole(place, trained[0], seed=seed, kills=3)


# --- generate ---------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_generate_repeats_by_seed(place, trained):
    options = ["whole", "--n-frames", "9", "--n-samples", "2", "--k", "2"]
    done = rnnrbm("generate", *options, "--seed", "5", "--out", "five", cwd=place)
    rnnrbm("generate", *options, "--seed", "5", "--out", "again", cwd=place)
    rnnrbm("generate", *options, cwd=place)  # seed 0, in the run's folder
    five, again, default = (contents(place / x) for x in ("five", "again", "whole/generated"))
    assert set(five) == {f"seed5-{i}.{x}" for i in (1, 2) for x in ("mid", "wav", "png")}
    assert five == again
    assert set(default) == {name.replace("seed5", "seed0") for name in five}
    assert default["seed0-1.mid"] != five["seed5-1.mid"]
    assert five["seed5-1.mid"] != five["seed5-2.mid"]
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"notes per frame: samples \d+\.\d+, training set \d+\.\d+", lines[0])
    assert re.fullmatch(r"repeated frame rate: samples \d\.\d+, training set \d\.\d+", lines[1])
    assert {Path(line).name for line in lines[2:]} == set(five)


def test_generate_from_known_frames_or_the_frame_before(place, trained):
    options = ["whole", "--n-frames", "9", "--n-samples", "1", "--k", "1"]
    rolls = {}
    for name, more in (("usual", []), ("known", ["--n-init-states", "5000"]), ("before", ["--n-init-states", "0"])):
        rnnrbm("generate", *options, *more, "--out", f"from-{name}", cwd=place)
        rolls[name] = (place / f"from-{name}" / "seed0-1.mid").read_bytes()
    assert rolls["usual"] == rolls["known"] != rolls["before"]
    shutil.copytree(trained[0], place / "moved" / "run")  # away from its data
    done = rnnrbm("generate", "run", *options[1:], "--out", "new", cwd=place / "moved")
    assert re.search(r"warning: the run's training data cannot be read \(toy\.npz", done.stderr)
    assert (place / "moved" / "new" / "seed0-1.mid").read_bytes() == rolls["before"]


def test_generate_from_a_primer(place, trained):
    primer = (np.random.default_rng(0).random((7, WIDTH)) < 0.4).astype(np.uint8)
    primer[[0, 6]] = 1
    midi.write(place / "primer.mid", primer, low=LOW, steps_per_beat=2)
    options = ["--n-frames", "6", "--n-samples", "1", "--k", "2"]
    for steps, n in (("5", 5), ("16", 7)):
        done = rnnrbm(
            *("generate", "whole", *options, "--prime", "primer.mid", "--prime-frames", steps),
            *("--out", f"primed{n}"),
            cwd=place,
        )
        assert f"primed by {n} frames of primer.mid" in done.stdout
        roll = midi.read(place / f"primed{n}" / "primer-seed0-1.mid", low=LOW, high=LOW + WIDTH - 1, steps_per_beat=2)
        np.testing.assert_array_equal(roll[:n], primer[:n])
        assert n < len(roll) <= n + 6
    primed = ("generate", "whole", *options, "--prime", "primer.mid", "--out")
    rnnrbm(*primed, "dropped", "--drop-prime", cwd=place)
    alone = midi.read(place / "dropped" / "primer-seed0-1.mid", low=LOW, high=LOW + WIDTH - 1, steps_per_beat=2)
    np.testing.assert_array_equal(alone, roll[n:])
    assert "--drop-prime needs --prime" in refused("generate", "whole", *options, "--drop-prime", cwd=place)


def test_generate_at_a_temperature(place, trained):
    options = ["generate", "whole", "--n-frames", "30", "--n-samples", "3", "--k", "2"]
    said = {}
    for name, extra in (("usual", []), ("one", ["--temperature", "1"]), ("hot", ["--temperature", "20"])):
        said[name] = rnnrbm(*options, *extra, "--out", name, cwd=place)
    files = {name: (place / name / "seed0-1.mid").read_bytes() for name in said}
    assert files["usual"] == files["one"] != files["hot"]
    # so hot, half of the notes sound
    assert re.search(
        r"warning: 3 of 3 samples leave the range of the training set in notes per frame: sample \d has [\d.]+ in "
        r"frames 1 to 16, and training pieces have between [\d.]+ and [\d.]+ in as many frames",
        said["hot"].stderr,
    )
    for wrong in ("0", "-1", "nan"):
        assert "temperature" in refused(*options, "--temperature", wrong, "--out", "wrong", cwd=place)
    assert not (place / "wrong").exists()


@pytest.mark.parametrize(
    ("test_ll", "scores", "expected"),
    [
        (-8.52, (-9.0, -8.0, -8.5), "warning: the model scores below copy (-5.860); see the learning curves\n"),
        (-8.52, (-8.5,), "warning: the model scores below copy (-5.860); see the learning curves\n"),
        (-8.52, (), "warning: the model scores below copy (-5.860); see the learning curves\n"),
        (
            -12.0,
            (-9.0, -8.0),
            "warning: the model scores below notes (-10.100), copy (-5.860); it was still improving: ",
        ),
        (-5.0, (-9.0, -8.0), ""),
        (None, (-9.0, -8.0), ""),
    ],
)
def test_every_baseline_that_is_better_is_named(tmp_path, capsys, test_ll, scores, expected):
    if scores:  # a run of no epoch has no metrics
        (tmp_path / "metrics.csv").write_text("epoch,valid_ll\n" + "".join(f"1,nan\n2,{ll}\n" for ll in scores))
    results = {"data": "toy", "test_frames": 3, "model": "rbm", "best_epoch": 5, "epochs": 9, "method": "exact"}
    results["frame_name"] = "frame"
    results |= {"test_ll": test_ll, "test_se": 0.0, "baselines": {"notes": -10.1, "copy": -5.86}}
    _print_results(tmp_path, results | {"statistics": {"samples": {}, "train": {}}})
    said = capsys.readouterr().err
    assert said.startswith(expected)
    assert bool(said) == bool(expected)


def test_more_memory_than_there_is_is_one_line(place, trained):
    options = ["--data", "toy.npz", "--set", "model.n_hidden=1000000000", *SHORT_END]
    said = refused("train", "tiny.toml", "--out", "huge", *options, cwd=place)
    assert re.search(
        r"rnn-rbm with .*n_hidden=1000000000.* would take [\d,]+\.\d GiB of memory, and this process", said
    )
    assert not (place / "huge").exists()
    said = refused("generate", "whole", "--n-samples", "1000000000000", "--out", "many", cwd=place)
    assert re.search(r"1000000000000 sequences of 8 frames would take .*; sample fewer or shorter ones at a time", said)
    assert not (place / "many").exists()


def test_a_configuration_that_is_no_text_and_a_link_to_nothing_are_named(place):
    (place / "bad.toml").write_bytes(b"[model]\n\xff\xfe")
    assert "bad.toml: byte 8 is not UTF-8" in refused("train", "bad.toml", cwd=place)
    (place / "dangling").symlink_to("nowhere")
    for name in ("dangling", "dangling/run"):
        assert "dangling: is a link to nowhere, which does not exist" in refused("train", "--out", name, cwd=place)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files")
def test_a_full_disk_is_named_and_the_run_resumes(place):
    sizes = ["--set", "model.n_recurrent=128", "--epochs", "1", *SHORT_END]
    command = [*COMMAND, "train", "tiny.toml", "--data", "toy.npz", "--out", "full", *sizes]
    limited = ["sh", "-c", 'ulimit -f 200; exec "$@"', "sh", *command]  # in blocks of 512 or 1024 bytes
    done = subprocess.run(limited, cwd=place, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r"error: full/checkpoint\.npz: cannot be written \(File too large\); free some space", done.stderr)
    assert {path.name for path in (place / "full").iterdir()} == {"config.toml"}
    rnnrbm("train", "--resume", "--out", "full", cwd=place)
    assert (place / "full" / "results.json").exists()


@pytest.mark.parametrize("name", ["x[/y]", "run[best]"])
def test_names_that_look_like_markup_are_printed_as_they_are(place, name):
    options = ["--data", "toy.npz", "--epochs", "0", *SHORT_END]
    said = rnnrbm("train", "tiny.toml", "--out", name, *options, cwd=place).stdout
    assert f"samples:  {name}/samples\n" in said.replace(os.sep, "/")
    assert f"rnnrbm generate '{name}' --seed 1" in said.replace(os.sep, "/")
    assert (place / name / "samples").is_dir()


def test_samples_have_the_tempo_of_the_primer_unless_another_is_given(place, trained):
    roll = np.zeros((8, WIDTH), np.uint8)
    roll[:, [0, 4, 7]] = 1
    midi.write(place / "slow.mid", roll, low=LOW, steps_per_beat=2, tempo=72)
    options = ["generate", "whole", "--n-frames", "4", "--n-samples", "1", "--k", "1", "--prime", "slow.mid"]
    for more, expected in (([], 72), (["--tempo", "90"], 90)):
        rnnrbm(*options, *more, "--out", f"at-{expected}", cwd=place)
        (file,) = (place / f"at-{expected}").glob("*.mid")
        assert midi.parse(file).beats_per_minute() == pytest.approx(expected, abs=0.01)


def test_samples_are_not_overwritten(place, trained):
    options = ["generate", "whole", "--n-frames", "3", "--k", "2", "--n-samples", "1", "--out", "kept"]
    rnnrbm(*options, cwd=place)
    before = (place / "kept" / "seed0-1.mid").read_bytes()
    said = refused(*options, "--n-frames", "4", cwd=place)
    assert re.search(r"seed0-1\.\w+: exists already; choose another --seed or --out, or replace it", said)
    assert (place / "kept" / "seed0-1.mid").read_bytes() == before
    rnnrbm(*options, "--overwrite", "--n-frames", "9", cwd=place)
    assert (place / "kept" / "seed0-1.mid").read_bytes() != before
    assert "--prime-frames needs --prime" in refused(*options, "--prime-frames", "4", cwd=place)
    midi.write(place / "tune.op [1].mid", np.eye(7, WIDTH, dtype=np.uint8), low=LOW, steps_per_beat=2)
    rnnrbm(*options, "--prime", "tune.op [1].mid", cwd=place)
    assert "exists already" in refused(*options, "--prime", "tune.op [1].mid", cwd=place)


def test_what_cannot_be_generated_is_said_in_one_line(place, trained):
    (place / "text.mid").write_text("no music")
    (place / "empty").mkdir(exist_ok=True)
    assert re.search(r"text\.mid: not a MIDI file", refused("generate", "whole", "--prime", "text.mid", cwd=place))
    line = refused("generate", "whole", "--prime", "none.mid", cwd=place)
    assert line == "error: none.mid: there is no such file; give the path of a MIDI file"
    line = refused("generate", Path("whole") / "checkpoint.npz", cwd=place)
    assert line.endswith("checkpoint.npz: is a file; give the folder that 'rnnrbm train' wrote, such as whole")
    for folder in ("empty", "nowhere"):
        line = refused("generate", folder, cwd=place)
        assert re.search(rf"{folder}.checkpoint\.npz: no such file; give the folder that 'rnnrbm train' wrote", line)
    assert "--n-samples" in rnnrbm("generate", "whole", "--n-samples", "0", code=2, cwd=place).stderr
    assert "RUN" in rnnrbm("generate", code=2, cwd=place).stderr


def test_a_damaged_checkpoint_is_said_in_one_line(place, trained):
    (place / "damaged").mkdir()
    (place / "damaged" / "checkpoint.npz").write_bytes((trained[0] / "checkpoint.npz").read_bytes()[:3000])
    line = refused("generate", "damaged", cwd=place)
    assert "is truncated or no checkpoint; nothing was loaded" in line


def test_columns_that_are_no_notes(place, tmp_path):
    save_data(place / "frames.npz", low=None)
    rnnrbm("train", "tiny.toml", "--data", "frames.npz", "--out", "frames", "--epochs", "0", cwd=place)
    assert set(os.listdir(place / "frames" / "samples")) == {"sample-1.png", "sample-2.png"}
    midi.write(place / "any.mid", np.eye(4), low=60)
    line = refused("generate", "frames", "--prime", "any.mid", cwd=place)
    assert "any.mid: the columns are not MIDI notes" in line
