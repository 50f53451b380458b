"""README and documentation: their Python runs as it is printed, with fewer epochs; settings and links are right."""

import contextlib
import csv
import importlib.util
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from helpers import script

import rnnrbm
from rnnrbm.cells import CELLS
from rnnrbm.experiment import config
from rnnrbm.io import tensorboard
from rnnrbm.io.tensorboard import last_step

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [
    *sorted(DOCS.glob("*.md")),
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob(".github/**/*.md")),
    ROOT / "data" / "README.md",
    ROOT / "benchmarks" / "README.md",
]
NOTEBOOKS = sorted(DOCS.glob("tutorials/*.ipynb"))
#: what is printed, and what is run
QUICKER = {
    "data.train, data.valid, transpose_range": "data.train[:12], data.valid[:2], epochs=1, valid_every=1, "
    "transpose_range",
    "log_likelihood(model, data.test, n_chains=10, n_temperatures=500, exact_states=states)": "log_likelihood(model, "
    "data.test[:2], n_chains=5, n_temperatures=20, exact_states=states)",
    "data.train, data.valid, epochs=20": "data.train[:20], data.valid[:4], epochs=5",
    "density=5, pretrain_network=5, epochs=5": "density=1, pretrain_network=1, epochs=1, k=1",
    "data.train, data.valid, epochs=150, valid_every=50": "[data.train[0][:100]], None, epochs=1",
    "data.train, data.valid, epochs=4, valid_every=2": "data.train[:1], None, epochs=1, k=1",
    "data.train, data.valid, epochs=15, valid_every=5": "data.train[:12], data.valid[:2], epochs=1, valid_every=1",
    "data.train, data.valid, epochs=40, learning_rate=8e-3": "data.train[:12], None, epochs=1",
    "log_likelihood(model, data.valid)": "log_likelihood(model, data.valid[:2])",
    "mixed.log_likelihood(data.valid)": "mixed.log_likelihood(data.valid[:2])",
    "data.train, epochs=5, negative_phase": "data.train[:12], epochs=1, k=1, negative_phase",
    'data.train, data.valid if name == "model" else None, own': "data.train[:20], None, own",
}
#: what follows the Python of a page
AFTERWARDS = {"guide": "step(np.zeros((100, 16, 88), np.float32))\ntrain_rbm(np.eye(100, 88, dtype=np.float32))"}


def code_of(path: Path) -> str:
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return "\n".join(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))


def run(path: Path, folder: Path) -> list[str]:
    """The lines that the Python of a page prints. The pages share one process, and so the programs of equal models."""
    code = code_of(path)
    for printed, quicker in QUICKER.items():
        code = code.replace(printed, quicker)
    file = folder / f"{path.stem}.py"
    file.write_text(f"{code}\n{AFTERWARDS.get(path.stem, '')}\nprint('done')\n", encoding="utf-8")
    with mock.patch.dict(CELLS):  # docs/models.md adds one
        *lines, last = script(file, cwd=folder).splitlines()
    assert last == "done"
    return lines


def test_python_of_the_readme(tmp_path: Path) -> None:
    first, second = run(README, tmp_path)
    assert re.fullmatch(r"1 -\d+\.\d+", first)
    how = r"AIS, 5 chains x 20 temperatures, \d+ frames enumerated(; about \d\.\d+ too high)?"
    assert re.fullmatch(rf"-\d+\.\d+ \+- \d\.\d+ nats per frame \({how}\)", second)
    assert (tmp_path / "chorale.mid").exists()


def test_readme_is_two_screens() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 90


def test_what_is_made_quicker_is_printed() -> None:
    printed = "".join(code_of(page) for page in [*PAGES, *NOTEBOOKS])
    assert [text for text in QUICKER if text not in printed] == []


# The recipes of CONTRIBUTING.md are for files of the library; docs/models.md has their Python in one piece.
@pytest.mark.parametrize(
    "path", [p for p in [*PAGES, *NOTEBOOKS] if p.is_relative_to(DOCS) and code_of(p)], ids=lambda p: p.stem
)
def test_python_of_the_documentation(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services()
    for name in ("wandb", "mlflow"):  # patch.dict would forget all modules that are imported meanwhile
        monkeypatch.setitem(sys.modules, name, services)  # type: ignore[arg-type]
    printed = run(path, tmp_path)
    if path.stem == "sweeps":
        with open(tmp_path / "log.csv", newline="") as file:
            assert [int(row["epoch"]) for row in csv.DictReader(file)] == [1]
        for sent in services.sent.values():
            assert [step for step, _ in sent] == [1]
            assert {"loss", "valid_ll", "epoch"} <= sent[0][1].keys()
            assert all(map(math.isfinite, sent[0][1].values()))
        assert last_step(tmp_path / tensorboard.FILE) == 1
    if path.stem == "models":  # the new density and the new cell learn
        values = [float(line.split()[1]) for line in printed if re.match(r"\d+ ", line)]
        assert values[4] < values[0] - 1.0
        assert values[-1] < values[5] - 1.0


class Services:
    """Stands for Weights & Biases and MLflow: it has what docs/sweeps.md uses of them, and keeps what comes."""

    def __init__(self) -> None:
        self.sent: dict[str, list[tuple[int, dict[str, float]]]] = {"wandb": [], "mlflow": []}

    @contextlib.contextmanager
    def init(self, *, project: str, config: dict[str, Any]) -> Iterator["Services"]:
        yield self

    def log(self, data: dict[str, float], step: int) -> None:
        self.sent["wandb"].append((step, data))

    @contextlib.contextmanager
    def start_run(self) -> Iterator[None]:
        yield

    def log_params(self, params: dict[str, Any]) -> None:
        assert params

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.sent["mlflow"].append((step, metrics))


def test_the_page_of_settings_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_settings", DOCS / "make_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path, made in (
        (module.TRAINING_OPTIONS, module.training_options),
        (module.MODEL_OPTIONS, module.model_options),
    ):
        assert path.read_text(encoding="utf-8") == made(), f"{path} is out of date; run: python docs/make_settings.py"
    current = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert current == module.page(), "docs/settings.md is out of date; run: python docs/make_settings.py"
    rows = [line.split(" | ")[0] for line in current.splitlines() if line.startswith("| `")]
    names = re.findall(r"`([\w.]+)`", " ".join(rows))
    fields = config.Config.model_fields.items()
    assert sorted(names) == sorted(f"{table}.{name}" for table, part in fields for name in part.annotation.model_fields)


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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_hold_no_outputs(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["source"][0].startswith("# ")
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
