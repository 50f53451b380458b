"""Parts of a page: the page itself, tables and notes. Every text from outside is escaped here."""

from __future__ import annotations

import base64
import hashlib
import math
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, NamedTuple

import rnnrbm
from rnnrbm.report.style import SCRIPT, STYLE

__all__ = [
    "GENERATOR",
    "Cell",
    "Html",
    "cards",
    "code",
    "data_uri",
    "download",
    "figure",
    "image",
    "note",
    "number",
    "page",
    "paragraph",
    "safe",
    "section",
    "table",
    "text",
]

#: how a page says by what it was made; only such a page is replaced
GENERATOR = '<meta name="generator" content="rnnrbm'


#: characters of a cell that stand in one line
_SHORT = 24


class Html(str):
    """Text that is HTML already, so that it is not escaped again."""


def safe(value: Any) -> str:
    """Return a value as HTML: escaped unless it is :class:`Html`.

    Characters that no page can hold, or that turn the direction of the text around them, become U+FFFD.
    """
    if isinstance(value, Html):
        return value
    shown = "".join(
        "\ufffd" if unicodedata.category(c) in ("Cs", "Cc", "Cf") and c not in "\n\t" else c for c in str(value)
    )
    return escape(shown, quote=True)


def text(*parts: Any) -> Html:
    """Join parts, each of them escaped unless it is HTML already."""
    return Html("".join(map(safe, parts)))


def code(value: Any) -> Html:
    return Html(f"<code>{safe(value)}</code>")


def paragraph(*parts: Any, kind: str = "") -> Html:
    opened = f'<p class="{kind}">' if kind else "<p>"
    return Html(f"{opened}{text(*parts)}</p>")


def note(*parts: Any) -> Html:
    """Return a paragraph that stands out: what a reader must know before the numbers."""
    return paragraph(*parts, kind="note")


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a true minus sign; an empty text if there is none."""
    if value is None or not math.isfinite(value):
        return ""
    shown = f"{value:.{digits}f}"
    if float(shown) == 0:
        shown = shown.lstrip("-")
    return shown.replace("-", "\u2212")


class Cell(NamedTuple):
    """A cell of a table with a number in it.

    Attributes
    ----------
    value : float or None
        By which the table is sorted; None if there is no number.
    shown : str or None
        What is printed; None stands for the value with `digits`.
    digits : int
        Digits after the point.
    """

    value: float | None
    shown: str | None = None
    digits: int = 3

    @property
    def html(self) -> str:
        there = self.value is not None and math.isfinite(self.value)
        shown = number(self.value, self.digits) if self.shown is None else self.shown
        return f'<td class="num" data-value="{self.value if there else ""}">{safe(shown)}</td>'


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str,
    own: Sequence[int] = (),
    sortable: bool = True,
    kind: str = "",
) -> Html:
    """Return a table; the first cell of a row is its name.

    Parameters
    ----------
    headings : sequence of str
    rows : iterable of sequences
        Texts, and :class:`Cell` for numbers. A column of numbers has no other cells.
    caption : str
        What the table shows. It also names the region that scrolls on a narrow screen.
    own : sequence of int
        Rows that stand out.
    sortable : bool
        Whether the script makes buttons of the headings.
    kind : str
        Further classes.
    """
    given = [list(row) for row in rows]
    numeric = [any(isinstance(row[i], Cell) for row in given) for i in range(len(headings))]
    classes = ['class="num" ' if n else "" for n in numeric]
    head = "".join(f'<th {c}scope="col">{safe(h)}</th>' for h, c in zip(headings, classes, strict=True))
    body = []
    for i, (name, *cells) in enumerate(given):
        others = "".join(c.html if isinstance(c, Cell) else _words(safe(c)) for c in cells)
        opened = '<tr class="own">' if i in own else "<tr>"
        short = '<th class="short" ' if len(name) <= _SHORT else "<th "
        body.append(f'{opened}{short}scope="row">{safe(name)}</th>{others}</tr>')
    chosen = " ".join(filter(None, ["sortable" if sortable and len(given) > 1 else "", kind]))
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{safe(caption)}">'
        f'<table class="{chosen}"><caption>{safe(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _words(content: str) -> str:
    """Return a cell of words; on a narrow screen, a long text stays wide enough to be read."""
    return f'<td class="long">{content}</td>' if len(content) > _SHORT else f"<td>{content}</td>"


def cards(facts: Iterable[tuple[str, str, str]]) -> Html:
    """Return the main numbers: (name, value, remark) of each."""
    parts = (
        f"<div><dt>{safe(name)}</dt><dd>{safe(value)}<small>{safe(remark)}</small></dd></div>"
        for name, value, remark in facts
    )
    return Html(f'<dl class="cards">{"".join(parts)}</dl>')


def data_uri(content: bytes, media: str) -> str:
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


def image(content: bytes, media: str, *, alt: str, size: tuple[int, int] | None = None) -> Html:
    """Return a picture with its description; `size` is its width and height in pixels."""
    shape = f' width="{size[0]}" height="{size[1]}"' if size else ""
    return Html(f'<img src="{data_uri(content, media)}" alt="{safe(alt)}"{shape}>')


def figure(content: bytes, media: str, *, alt: str, caption: Any = "", size: tuple[int, int] | None = None) -> Html:
    """Return a picture as :func:`image` does, with a caption under it."""
    under = f"<figcaption>{safe(caption)}</figcaption>" if caption else ""
    return Html(f"<figure>{image(content, media, alt=alt, size=size)}{under}</figure>")


def download(content: bytes, media: str, name: str, words: str) -> Html:
    """Return a link by which a file that the page holds is saved."""
    return Html(f'<a class="download" download="{safe(name)}" href="{data_uri(content, media)}">{safe(words)}</a>')


def section(name: str, title: str, *parts: Html) -> tuple[str, str, Html]:
    """Return a section of a page: its anchor, its title, and what is in it."""
    return name, title, Html("\n".join(parts))


def page(title: str, lead: Html, sections: Sequence[tuple[str, str, Html]], *, foot: Html) -> str:
    """Return a whole page.

    Its policy forbids every request, and every script but the one of this library: no name in it can load or run
    anything, even if it were not escaped.

    Parameters
    ----------
    title : str
    lead : Html
        What stands above the links to the sections.
    sections : sequence
        See :func:`section`.
    foot : Html
    """
    script_hash = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{script_hash}'; base-uri 'none'; form-action 'none'"
    )
    links = "".join(f'<li><a href="#{name}">{safe(heading)}</a></li>' for name, heading, _ in sections)
    body = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{safe(heading)}</h2>\n'
        f"{content}\n</section>"
        for name, heading, content in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
{GENERATOR} {safe(rnnrbm.__version__)}">
<meta name="color-scheme" content="light dark">
<title>{safe(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{safe(title)}</h1>
{lead}
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="content">
{body}
</main>
<footer>{foot}</footer>
<script>{SCRIPT}</script>
</body>
</html>
"""
