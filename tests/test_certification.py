"""Likelihoods of a trained model certified against enumeration, by the script whose table is in the documentation."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "certify.py"


@pytest.mark.slow
def test_annealing_is_certified() -> None:
    command = [sys.executable, str(SCRIPT), "--epochs", "12", "--frames", "120"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("certified")


@pytest.mark.slow
def test_certification_can_fail() -> None:
    """Two temperatures are not enough."""
    command = [
        sys.executable,
        str(SCRIPT),
        "--epochs",
        "1",
        "--frames",
        "50",
        "--n-temperatures",
        "2",
        "--n-chains",
        "2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "off by" in done.stdout or "covers" in done.stdout
