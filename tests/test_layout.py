"""The layout of the design, read from the source: which room may import which, and that no room is unknown."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

import rnnrbm

PACKAGE = Path(rnnrbm.__file__).parent
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")

#: From the ground up: a room may import itself and the rooms named beside it.
ROOMS: dict[str, set[str]] = {
    "files": set(),
    "arguments": set(),
    "progress": set(),
    "memory": set(),
    "warn": set(),
    "backend": {"files"},
    "io": {"files", "arguments", "memory", "progress", "warn"},
    "checkpoint": {"files"},
    "model_file": {"files", "backend", "checkpoint"},
    "display": {"model_file"},
    "science": {"display", "files", "arguments", "memory", "progress", "backend", "model_file"},
    "models": {"display", "files", "arguments", "memory", "warn", "backend", "model_file", "science", "scoring"},
    "scoring": {"display", "files", "arguments", "memory", "progress", "warn", "backend", "io", "science"},
    "training": {"files", "arguments", "memory", "progress", "warn", "checkpoint", "backend", "science", "scoring"},
    "plot": {"files", "arguments", "scoring"},
    "report": {"files"},
    "kinds": {"display", "files", "arguments", "io", "science", "scoring", "plot"},
    "dataset": {"display", "files", "arguments", "io", "science", "kinds"},
    "datasets": {"files", "arguments", "progress", "warn", "io", "science", "kinds", "dataset"},
    "experiment": {
        "files",
        "arguments",
        "memory",
        "progress",
        "warn",
        "backend",
        "io",
        "checkpoint",
        "model_file",
        "science",
        "models",
        "scoring",
        "training",
        "plot",
        "report",
        "kinds",
        "dataset",
        "datasets",
    },
    "sklearn": {
        "arguments",
        "memory",
        "warn",
        "checkpoint",
        "backend",
        "science",
        "models",
        "scoring",
        "training",
    },
    "__main__": {"cli"},
    "cli": {
        "files",
        "arguments",
        "memory",
        "progress",
        "warn",
        "backend",
        "io",
        "checkpoint",
        "model_file",
        "science",
        "models",
        "scoring",
        "training",
        "plot",
        "report",
        "kinds",
        "dataset",
        "datasets",
        "experiment",
    },
}
#: Rooms that are one module each, at the top.
ALONE = {
    "__main__",
    "files",
    "arguments",
    "memory",
    "progress",
    "warn",
    "checkpoint",
    "display",
    "model_file",
    "dataset",
    "datasets",
}
#: The other modules at the top are the science.
SCIENCE = {
    "autoregressive",
    "batch",
    "bias_weights",
    "cells",
    "densities",
    "forecasting",
    "frames",
    "joint_units",
    "state_encoder",
    "networks",
    "pieces",
    "pitch",
    "rbm",
    "recurrence",
    "rnnrbm",
    "samplers",
    "sampling",
    "sequence",
    "static",
    "units",
    "weights",
}
ENGINES = {"pytensor", "jax", "numba"}
WRITERS = {
    "pretty_midi",
    "mido",
    "matplotlib",
    "pathlib",
    "os",
    "io",
    "shutil",
    "json",
    "csv",
    "pickle",
    "rich",
    "typer",
}
MOST_LINES = 350


def module(path: Path) -> str:
    """The dotted name inside the package: ``scoring.likelihood``."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


NAMES = {module(p) for p in FILES}


def room(name: str) -> str:
    """The room that a module is in; a module that no room is known for fails here."""
    top, _, inside = name.partition(".")
    if inside:
        assert top in ROOMS, f"rnnrbm/{top}/ is a folder that this test does not know: add it to ROOMS"
        return top
    assert top in SCIENCE | ALONE, f"rnnrbm/{top}.py is a module that this test does not know: add it to SCIENCE"
    return top if top in ALONE else "science"


def imports(path: Path, at_load: bool = False) -> set[str]:
    """Everything a file imports, at any depth or only when it is loaded."""
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
    """The library's own modules that a file imports."""
    found = {name.removeprefix("rnnrbm.") for name in imports(path, at_load) if name.startswith("rnnrbm.")}
    return {name for name in found if name in NAMES}


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


def test_every_module_is_in_a_room() -> None:
    rooms = {room(name) for name in NAMES}
    assert rooms == set(ROOMS)
    assert {name for name in NAMES if "." not in name} == SCIENCE | ALONE
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and any(p.rglob("*.py"))}
    assert folders == {name for name in ROOMS if (PACKAGE / name).is_dir()}
    assert not [p for p in FILES if len(p.relative_to(PACKAGE).parts) > 2], "one level of folders"
    assert {"backend.random", "backend.engine"} <= own(PACKAGE / "rbm.py")  # the reader of imports works


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_go_down(path: Path) -> None:
    here = room(module(path))
    for name in own(path):
        there = room(name)
        assert there == here or there in ROOMS[here], f"rnnrbm.{module(path)} imports rnnrbm.{name}: {here} -> {there}"


@pytest.mark.parametrize("path", [p for p in FILES if room(module(p)) in {"files", "io"}], ids=module)
def test_files_know_no_graphs(path: Path) -> None:
    assert not libraries(path) & ENGINES


@pytest.mark.parametrize(
    # frames names the types of paths and figures, and imports neither when it runs
    "path",
    [p for p in FILES if room(module(p)) in {"science", "models"} and p.stem != "frames"],
    ids=module,
)
def test_the_science_reads_and_writes_nothing(path: Path) -> None:
    assert not libraries(path) & WRITERS
    assert not [name for name in own(path) if room(name) == "io"]
    calls = {
        n.func.id
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    assert not calls & {"open", "print", "input"}


def test_nothing_imports_in_a_circle() -> None:
    graph = {module(p): own(p) - {module(p)} for p in FILES}
    done: set[str] = set()

    def reach(name: str, seen: tuple[str, ...]) -> None:
        for other in graph[name]:
            assert other not in seen, " -> ".join((*seen, other))
            if other not in done:
                reach(other, (*seen, other))
        done.add(name)

    for name in graph:
        reach(name, (name,))


def test_the_public_names_are_few_and_there() -> None:
    assert set(rnnrbm.__all__) <= set(dir(rnnrbm))
    assert all(hasattr(rnnrbm, name) for name in dir(rnnrbm))
    assert len(dir(rnnrbm)) <= 25


@pytest.mark.parametrize("path", FILES, ids=module)
def test_a_file_is_one_room(path: Path) -> None:
    assert code_lines(path) <= MOST_LINES
