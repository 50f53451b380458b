"""The Python of the documentation runs as it is printed, with fewer epochs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


def code_of(path: Path) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))


@pytest.mark.parametrize("path", [p for p in sorted(DOCS.glob("*.md")) if code_of(p)], ids=lambda p: p.stem)
def test_python_of_the_documentation(path, tmp_path):
    code = code_of(path).replace("data.train, data.valid, epochs=20", "data.train[:20], data.valid[:4], epochs=5")
    code = code.replace("density=5, pretrain_network=5, epochs=5", "density=1, pretrain_network=1, epochs=1, k=1")
    code = code.replace('data.train, data.valid if name == "model" else None, own', "data.train[:20], None, own")
    code += "\nprint('done', row)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "done" in done.stdout
    values = [float(line.split()[1]) for line in done.stdout.splitlines() if re.match(r"\d+ ", line)]
    assert values[4] < values[0] - 1.0  # it learns
    assert values[-1] < values[5] - 1.0
