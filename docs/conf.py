"""Configuration of the documentation site: ``sphinx-build -W docs docs/_build/html``."""

import os
import re
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from sphinx import addnodes

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rnnrbm import __version__  # noqa: E402

project = "rnnrbm"
author = "The rnnrbm developers"
copyright = author
version = release = __version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_build",
    "jupyter_execute",
    "**.ipynb_checkpoints",
    "auto_examples/*.ipynb",
    "auto_examples/*.py",
    "auto_examples/*.json",
    "sg_execution_times.rst",
]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"rnnrbm {version}"
html_static_path: list[str] = []

# --- pages in Markdown, and notebooks in the same form, which run when the site is built
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 4
# functions in this file, and types in words that name several things
suppress_warnings = ["config.cache", "ref.python"]
nb_execution_mode = "cache"
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

# --- the reference, from docstrings
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_default_options = {"members": True, "member-order": "bysource", "ignore-module-all": True}
autodoc_typehints = "none"  # docstrings say more
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

# --- the examples, shown but not run; ``-D plot_gallery=1`` runs them, in a few seconds each
sphinx_gallery_conf = {
    "backreferences_dir": None,
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/\d\d_",
    "plot_gallery": False,
    "min_reported_time": 10**6,
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "reset_argv": lambda conf, variables: ["--smoke"],
}

#: pages that are the text of files outside this folder
INCLUDED = {"contributing": "CONTRIBUTING.md", "benchmarks": "benchmarks/README.md", "changelog": "CHANGELOG.md"}
PAGES = {path: name for name, path in INCLUDED.items()} | {"README.md": "index"}


def _link(match: re.Match[str], base: str) -> str:
    """Return a link to a file of the repository as one inside the site; for a file that has no page, its name.

    `base` is the folder of the text, relative to the repository.
    """
    text, target, anchor = match[1], match[2], match[3] or ""
    if "://" in target:
        return match[0]
    path = os.path.normpath(os.path.join(base, target)).replace(os.sep, "/")
    if path in PAGES:
        return f"[{text}](/{PAGES[path]}.md{anchor})"
    if page := re.fullmatch(r"docs/(.+)", path):
        return f"[{text}](/{page[1]}{anchor})"
    if module := re.fullmatch(r"rnnrbm/([\w/]+)\.py", path):
        return f"{{py:mod}}`{text.strip('`')} <rnnrbm.{module[1].replace('/', '.')}>`"
    if example := re.fullmatch(r"examples/(\w+)\.py", path):
        return f"[{text}](/auto_examples/{example[1]}.rst)"
    return text


def _linked(app: object, name: str, source: list[str]) -> None:
    base = "docs"
    if name in INCLUDED:
        base = os.path.dirname(INCLUDED[name])
        source[0] = (ROOT / INCLUDED[name]).read_text(encoding="utf-8")
    if name.startswith(("api/", "auto_examples/", "tutorials/")):
        return
    source[0] = re.sub(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)", partial(_link, base=base), source[0])


def _with_sounds(app: Any, failure: Exception | None) -> None:
    """Copy the sounds of docs/listen.md, whose players name them, beside the page."""
    if failure is None and app.builder.format == "html":
        place = Path(app.outdir) / "listen"
        place.mkdir(exist_ok=True)
        for sound in (ROOT / "docs" / "listen").glob("*.ogg"):
            shutil.copy(sound, place)


def _no_plain_fields(app: object, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """Leave out the fields of named tuples, which the text of the class describes."""
    return True if type(member).__name__ == "_tuplegetter" else None


def _prepared(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Make a docstring what napoleon expects: one name for each attribute, marks at formulas and code.

    An indented block before the sections is a formula, a table or code. A property has no type before a colon.
    """
    if what in ("property", "attribute", "data"):
        lines.insert(0, "")
    sections = next((i for i, line in enumerate(lines) if re.fullmatch(r"-{3,}", line)), len(lines) + 1)
    marked: list[str] = []
    for i, line in enumerate(lines):
        before = next((each for each in reversed(marked) if each.strip()), "")
        opens = line.startswith("    ") and (not marked or not marked[-1].strip()) and not before.startswith("    ")
        if opens and i < sections and not before.rstrip().endswith("::") and not before.startswith((".. ", "- ", "* ")):
            marked += ["::", ""]
        marked.append(line)
    lines[:] = marked
    done: list[str] = []
    i = 0
    while i < len(lines):
        names = re.fullmatch(r"(\w+(?:, \w+)+) : (.*)", lines[i])
        if names is None:
            done.append(lines[i])
            i += 1
            continue
        end = i + 1
        while end < len(lines) and (lines[end].startswith(" ") or not lines[end]):
            end += 1
        if "Attributes" in lines[:i]:
            for each in names[1].split(", "):
                done += [f"{each} : {names[2]}", *lines[i + 1 : end]]
        else:
            done += lines[i:end]
        i = end
    lines[:] = done


def _no_words_as_links(app: object, doctree: Any) -> None:
    """Turn the words of a type, such as shape, back into text: they name nothing."""
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node.get("refdomain") == "py" and re.fullmatch(r"[a-z_]\w*", node.get("reftarget", "")):
            node.replace_self(node.children)


def setup(app: Any) -> None:
    """Rewrite links that lead out of this folder, and docstrings where they would be misread."""
    app.connect("source-read", _linked)
    app.connect("build-finished", _with_sounds)
    app.connect("autodoc-skip-member", _no_plain_fields)
    app.connect("autodoc-process-docstring", _prepared, priority=400)
    app.connect("doctree-read", _no_words_as_links)
