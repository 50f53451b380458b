"""Every example runs from beginning to end."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers import script as run

from rnnrbm.io import midi

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


def some_midi(folder: Path) -> Path:
    """A folder of small MIDI files."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        roll = np.zeros((24, 88), np.uint8)
        roll[np.arange(24), 30 + rng.integers(0, 12, 24)] = 1
        midi.write(folder / f"{i}.mid", roll, steps_per_beat=2)
    return folder


def test_examples_are_short_and_numbered() -> None:
    assert len(SCRIPTS) >= 3
    for script in SCRIPTS:
        assert re.fullmatch(r"\d\d_\w+\.py", script.name)
        assert len(script.read_text().splitlines()) < 120, script.name


#: trains and scores as 01_bach does, twice
TWICE = "03_classify_by_likelihood"


@pytest.mark.parametrize(
    "script", [pytest.param(s, id=s.stem, marks=pytest.mark.slow if s.stem == TWICE else ()) for s in SCRIPTS]
)
def test_an_example_runs(script: Path, tmp_path: Path) -> None:
    arguments = ["--smoke"]
    if script.stem == "19_cluster":
        pytest.importorskip("submitit")
        pytest.importorskip("optuna")
    if script.stem == "02_own_midi":
        arguments = [str(some_midi(tmp_path / "songs")), *arguments]
    said = run(script, *arguments, cwd=tmp_path)
    expected = {
        "01_bach": r"this RNN-RBM +-\d+\.\d+ \+- ",
        "02_own_midi": r"-\d+\.\d+ \+- ",
        "04_harmonize": r"notes a frame \(Bach \d\.\d\d\), below the soprano \d+% of them are Bach's",
        "06_motion": r"RNN-RBM +\d+\.\d+ +\d+\.\d+ +\d+\.\d+ +\d+\.\d+",
        "07_balls": r"\d+\.\d+  RNN-RBM, 2 chains of 2 steps",
        "05_vocalizations": r"VAR\(3\) +-?\d+\.\d+ +\d+\.\d+",
        "10_rbm_or_autoencoder": r"denoising autoencoder +\d+\.\d +\d+\.\d+ +\d+\.\d +\d+\.\d+%",
        "11_growing_k": r"tempering +1 +\d+ +-\d+\.\d+ \+- \d+\.\d+ +0\.\d+",
        "12_boltzmann": r"10 classes, RBM +\d+\.\d +\d+\.\d+ +\d+\.\d+",
        "13_hopfield": r"0\.050 +1\.0000 +1\.0000",
        "18_nade_vae": r"VAE +-\d+\.\d+ +0\.\d+ .* importance-weighted lower bound, 50 samples",
        "14_few_labels": r"RBM +\d+\.\d+ \+- \d+\.\d+ %",
        "15_deep": r"DBN +\d+ +-\d+\.\d+ \+- \d+\.\d+ (.*\n)+DBM +\d+ +-\d+\.\d+ \+- ",
        "16_convolution": r"convolutional RBM +\d+ +100 +5x5 +\d+\.\d +0\.\d\d +\d\.\d\d (.*\n)RBM +\d+ +1024 +8x8",
        "17_labels": r"digits from labels: +\d+\.\d % are read as what was wanted",
        "19_cluster": r"trial-0000 +-\d+\.\d+ +1  training\.learning_rate \d\.\d+; complete",
        "03_classify_by_likelihood": r"accuracy \d+\.\d% of 6 pieces",
    }
    assert re.search(expected[script.stem], said), said
