"""Configuration of the documentation site: ``sphinx-build -W docs docs/_build/html``."""

import os
import re
import sys
from functools import partial
from pathlib import Path

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
nb_execution_raise_on_error = True
nb_execution_show_tb = True

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


def setup(app: object) -> None:
    """Rewrite links that lead out of this folder."""
    app.connect("source-read", _linked)  # type: ignore[attr-defined]
