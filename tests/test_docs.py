"""The documentation: its Python runs as it is printed, with fewer epochs; its settings and links are right."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rnnrbm

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.glob("*.md")),
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob(".github/**/*.md")),
    ROOT / "data" / "README.md",
    ROOT / "benchmarks" / "README.md",
]
#: what is printed, and what is run
QUICKER = {
    "data.train, data.valid, epochs=20": "data.train[:20], data.valid[:4], epochs=5",
    "density=5, pretrain_network=5, epochs=5": "density=1, pretrain_network=1, epochs=1, k=1",
    'data.train, data.valid if name == "model" else None, own': "data.train[:20], None, own",
}
#: what follows the Python of a page
AFTERWARDS = {"guide": "step(np.zeros((100, 16, 88), np.float32))\ntrain_rbm(np.eye(100, 88, dtype=np.float32))"}


def code_of(path: Path) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))


def run(path: Path, folder: Path) -> str:
    code = code_of(path)
    for printed, quicker in QUICKER.items():
        code = code.replace(printed, quicker)
    command = [sys.executable, "-c", f"{code}\n{AFTERWARDS.get(path.stem, '')}\nprint('done')\n"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")
    return done.stdout


# The recipes of CONTRIBUTING.md are for files of the library; docs/models.md has their Python in one piece.
@pytest.mark.parametrize("path", [p for p in sorted(DOCS.glob("*.md")) if code_of(p)], ids=lambda p: p.stem)
def test_python_of_the_documentation(path: Path, tmp_path: Path) -> None:
    printed = run(path, tmp_path)
    if path.stem == "models":  # the new density and the new cell learn
        values = [float(line.split()[1]) for line in printed.splitlines() if re.match(r"\d+ ", line)]
        assert values[4] < values[0] - 1.0
        assert values[-1] < values[5] - 1.0


def test_the_page_of_settings_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_settings", DOCS / "make_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    current = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert current == module.page(), "docs/settings.md is out of date; run: python docs/make_settings.py"


def test_the_version_has_one_value() -> None:
    version = rnnrbm.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    latest = re.search(r"^## (\S+) \(", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert latest is not None
    assert latest[1] == version


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, made as on the web."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"
