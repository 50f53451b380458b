"""The Python of the README runs as it is printed, with fewer epochs and temperatures."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
#: what is printed, and what is run
QUICKER = {
    "data.train, data.valid, epochs=50": "data.train[:12], data.valid[:2], epochs=1, valid_every=1",
    "log_likelihood(model, data.test, n_chains=10, n_temperatures=500, exact_states=states)": "log_likelihood(model, "
    "data.test[:2], n_chains=5, n_temperatures=20, exact_states=states)",
}


def test_python_of_the_readme(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for printed, run in QUICKER.items():
        assert printed in code
        code = code.replace(printed, run)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    said = done.stdout.splitlines()
    assert len(said) == 2
    assert re.fullmatch(r"1 -\d+\.\d+", said[0])
    how = r"AIS, 5 chains x 20 temperatures, \d+ frames enumerated"
    assert re.fullmatch(rf"-\d+\.\d+ \+- \d\.\d+ nats per frame \({how}\)", said[-1])
    assert (tmp_path / "chorale.mid").exists()


def test_readme_is_two_screens() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 90
