"""A wheel built from the sources, installed outside the clone, trains and generates."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

SMALL = """
[model]
n_hidden = 8
n_recurrent = 8
[training]
epochs = 1
k = 1
valid_n_frames = 20
[evaluation]
test = false
[generation]
n_samples = 1
n_frames = 8
"""

#: two commands in one process
COMMANDS = """
import sys
import rnnrbm
from rnnrbm.cli.main import main

print(rnnrbm.__file__)
for command in (
    "train small.toml --out run",
    "generate run --n-frames 8 --n-samples 1 --out new",
    "generate bach --n-frames 8 --n-samples 1 --k 2",
):
    sys.argv = ["rnnrbm", *command.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # the build folder of setuptools stays out of the clone
    build = ["--config-settings=--build-option=build", f"--config-settings=--build-option=--build-base={folder / 'b'}"]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), *build, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("rnnrbm-*.whl")
    return path


def test_the_wheel_holds_every_module_and_the_embedded_data(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("rnnrbm/")}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rnnrbm").rglob("*.py")}
    data = {
        "rnnrbm/data/bach.npz",
        "rnnrbm/data/bach-rnn-rbm.npz",
        "rnnrbm/data/glacier-bay-humpback.ogg",
        "rnnrbm/data/digits.npz",
        "rnnrbm/data/build_bach.py",
        "rnnrbm/data/build_digits.py",
        "rnnrbm/data/README.md",
    }
    assert sources | data | {"rnnrbm/py.typed"} == held


def test_the_wheel_trains_and_generates_outside_the_clone(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (tmp_path / "small.toml").write_text(SMALL)
    environment = os.environ | {"PYTHONPATH": str(site)}

    done = subprocess.run(
        [sys.executable, "-c", COMMANDS], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]).is_relative_to(site)
    assert {path.suffix for path in (tmp_path / "new").iterdir()} == {".mid", ".wav", ".png"}
