"""The import rules of the design, read from the source."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

import rnnrbm

PACKAGE = Path(rnnrbm.__file__).parent
FILES = sorted(p for p in PACKAGE.glob("*.py") if p.name != "__init__.py")
NAMES = {p.stem for p in FILES}

ENGINE_LIBRARIES = {"pytensor", "jax", "numba"}
# what is built from PyTensor graphs, and what reads and writes files; a module of neither kind may import both
MODELS = {
    "units",
    "densities",
    "rbm",
    "samplers",
    "cells",
    "networks",
    "sequence",
    "rnnrbm",
    "nade",
    "pitch",
    "tied",
    "models",
}
MODELS |= {"boltzmann", "convrbm", "deep", "autoencoder"}
GRAPHS = MODELS | {"random", "engine", "devices", "optim", "partition", "history", "likelihood"}
NO_GRAPHS = {"batches", "checkpoint", "config", "datasets", "midi", "midi_folder", "rolls", "audio", "metrics", "plot"}
NO_GRAPHS |= {"files", "report", "formats", "published", "cli_data", "run_folder"}
NO_GRAPHS |= {"baselines", "grams"}
IO_MODULES = {"datasets", "midi", "audio", "plot", "report", "files", "train", "cli"}
IO_MODULES |= {"formats", "midi_folder", "published", "cli_data"}
IO_LIBRARIES = {"pretty_midi", "mido", "matplotlib", "pathlib", "os", "io", "shutil", "json", "csv", "pickle", "rich"}
MOST_LINES = 350


def imports(path: Path, at_load: bool = False) -> set[str]:
    """Everything a file imports, at any depth or only when it is loaded: `rnnrbm.x` for the library's own."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in tree.body if at_load else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def libraries(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def own(path: Path, at_load: bool = False) -> set[str]:
    parts = [name.split(".") for name in imports(path, at_load)]
    return {p[1] for p in parts if p[0] == "rnnrbm" and len(p) > 1 and p[1] in NAMES}


def by_name(names: set[str]) -> list[Path]:
    return [p for p in FILES if p.stem in names]


def code_lines(path: Path) -> int:
    """Lines that hold code: neither blank, nor comment, nor docstring."""
    source = path.read_text()
    skip = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skip:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_the_rules_speak_of_files_that_exist() -> None:
    assert {"units", "rbm", "samplers", "cells", "rnnrbm"} <= NAMES
    assert {"datasets", "midi", "plot"} <= NAMES
    assert {"random", "engine"} & own(PACKAGE / "rbm.py") == {"random", "engine"}  # the reader of imports works


@pytest.mark.parametrize("path", by_name(MODELS), ids=lambda p: p.stem)
def test_models_read_and_write_nothing(path: Path) -> None:
    assert not own(path) & IO_MODULES
    assert not libraries(path) & IO_LIBRARIES
    calls = {
        n.func.id
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    assert not calls & {"open", "print", "input"}


@pytest.mark.parametrize("path", by_name(GRAPHS), ids=lambda p: p.stem)
def test_graphs_import_only_graphs(path: Path) -> None:
    known = {"files"} if path.stem == "engine" else set()  # where compiled programs are kept
    assert own(path) <= GRAPHS | known


@pytest.mark.parametrize("path", by_name(NO_GRAPHS), ids=lambda p: p.stem)
def test_data_metrics_and_plots_know_no_graphs(path: Path) -> None:
    assert not libraries(path) & ENGINE_LIBRARIES
    assert not own(path) & GRAPHS


def test_only_the_command_line_imports_everything() -> None:
    for path in FILES:
        if path.stem not in {"cli", "__main__"}:
            assert "cli" not in own(path), path.name
        if path.stem not in {"cli", "__main__", "train", "run", "reproduce", "gallery"}:
            assert not (own(path) & MODELS and own(path) & IO_MODULES), path.name


def test_modules_and_names_are_listed() -> None:
    assert {*rnnrbm.__all__, *(p.stem for p in FILES if p.stem != "__init__")} <= set(dir(rnnrbm))
    assert all(hasattr(rnnrbm, name) for name in dir(rnnrbm))


def test_nothing_imports_in_a_circle() -> None:
    graph = {p.stem: own(p, at_load=True) - {p.stem} for p in FILES}

    def reach(name: str, seen: tuple[str, ...]) -> None:
        for other in graph[name]:
            assert other not in seen, " -> ".join((*seen, other))
            reach(other, (*seen, other))

    for name in graph:
        reach(name, (name,))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_file_is_one_room(path: Path) -> None:
    assert code_lines(path) <= MOST_LINES
