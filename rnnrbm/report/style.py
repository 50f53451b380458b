"""The look of a page, and the script that sorts its tables. Both stand inside the page, which loads nothing."""

__all__ = ["SCRIPT", "STYLE"]

#: Colours of lines: the first of each pair on white, the second on black. They differ in lightness too.
_LINES = (
    ("#1f4e79", "#8cbdf0"),
    ("#c03a4d", "#ff97a4"),
    ("#2f7a4f", "#83d6a4"),
    ("#7a55b0", "#c9a9f5"),
    ("#9a5b00", "#f0b75e"),
    ("#007080", "#6fd3e0"),
    ("#8a3f75", "#f0a0d8"),
    ("#555e68", "#b9c2cc"),
)


def _lines(which: int) -> str:
    return " ".join(f"--line{i}: {pair[which]};" for i, pair in enumerate(_LINES))


_LIGHT = (
    "--page: #fff; --plate: #f5f7f9; --text: #1d2630; --soft: #525d69; --rule: #d5dbe1; --ink: #1f4e79; "
    f"--note: #fff4da; --note-edge: #b07800; {_lines(0)}"
)
_DARK = (
    "--page: #12161b; --plate: #1b2128; --text: #e7ebf0; --soft: #a9b4c0; --rule: #36404b; --ink: #8cbdf0; "
    f"--note: #33290f; --note-edge: #e0a83a; {_lines(1)}"
)

STYLE = (
    f":root {{ color-scheme: light dark; {_LIGHT} }}\n"
    f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}\n"
    + "".join(f".c{i} {{ --line: var(--line{i}); }}\n" for i in range(len(_LINES)))
    + """
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; }
h1 { font-size: clamp(1.5rem, 4.5vw, 2.1rem); line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere;
  letter-spacing: -.01em; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.6rem 0 .8rem; padding-top: .9rem;
  border-top: 1px solid var(--rule); }
h3 { font-size: 1.02rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: var(--ink); }
a:focus-visible, button:focus-visible, summary:focus-visible, .scroll:focus-visible, audio:focus-visible {
  outline: 3px solid var(--line1); outline-offset: 2px; border-radius: 3px; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .88em; }
code { overflow-wrap: anywhere; }
pre { background: var(--plate); border: 1px solid var(--rule); border-radius: 6px; padding: .7rem .9rem;
  white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0; }
.soft, figcaption, caption { color: var(--soft); }
.soft { overflow-wrap: anywhere; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: .5rem; background: var(--page); padding: .3rem .6rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .15rem 1.1rem; padding: 0; margin: 1rem 0 0; }
nav a { display: inline-block; padding: .2rem 0; }
.note { background: var(--note); border-left: 4px solid var(--note-edge); border-radius: 4px; padding: .6rem .9rem;
  margin: 1.1rem 0; max-width: none; overflow-wrap: anywhere; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0 0; }
.cards > div { flex: 1 1 9.5rem; background: var(--plate); border: 1px solid var(--rule); border-radius: 8px;
  padding: .7rem .9rem; }
.cards dt { color: var(--soft); font-size: .86rem; }
.cards dd { margin: 0; font-size: 1.3rem; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.cards dd small { display: block; font-size: .8rem; font-weight: 400; color: var(--soft); line-height: 1.35;
  white-space: normal; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; min-width: min(100%, 24rem); }
caption { text-align: left; padding-bottom: .4rem; font-size: .88rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--rule); }
th:last-child, td:last-child { padding-right: 0; }
thead th { border-bottom: 2px solid var(--soft); font-size: .86rem; vertical-align: bottom; }
tbody th { font-weight: 600; min-width: 7rem; overflow-wrap: anywhere; }
tbody th.short { white-space: nowrap; }
td.long { min-width: 12rem; }
.sortable td:not(.long) { white-space: nowrap; }
.num { text-align: right; white-space: nowrap; }
.own th, .own td { background: var(--plate); }
.own th:first-child { box-shadow: -.5rem 0 var(--plate), inset 3px 0 var(--ink); padding-left: .6rem; }
thead button { all: unset; cursor: pointer; font: inherit; padding: .15rem 0; }
thead button::after { content: "\\2195"; color: var(--soft); padding-left: .3em; font-weight: 400; }
[aria-sort=ascending] button::after { content: "\\2191"; color: var(--ink); }
[aria-sort=descending] button::after { content: "\\2193"; color: var(--ink); }
.settings td, .settings th { overflow-wrap: anywhere; }
.settings tbody th { font-weight: 400; }
.mark { font-size: .78rem; border: 1px solid var(--ink); color: var(--ink); border-radius: 1rem; padding: 0 .5em; }
.settings th .mark { margin-left: .3em; }
figure { margin: 1rem 0 1.4rem; }
figure > img { display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--rule);
  border-radius: 6px; }
figcaption { font-size: .88rem; margin-top: .4rem; max-width: 46rem; overflow-wrap: anywhere; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1.2rem; }
.samples figure { margin: 0; background: var(--plate); border: 1px solid var(--rule); border-radius: 8px;
  padding: .8rem; min-width: 0; }
.samples figure > img { width: 100%; }
.samples h3 { margin: 0 0 .5rem; }
audio { display: block; width: 100%; margin: .6rem 0 .3rem; }
details { margin: .4rem 0; }
summary { cursor: pointer; padding: .25rem 0; font-weight: 600; }
.chart { display: grid; grid-template-columns: 4rem 1fr; margin: .4rem 0 0; font-size: .8rem; color: var(--soft);
  max-width: 52rem; }
.plot { position: relative; height: 13rem; border-left: 1px solid var(--soft); border-bottom: 1px solid var(--soft); }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.plot path { fill: none; stroke: var(--line); stroke-width: 2; vector-effect: non-scaling-stroke;
  stroke-linejoin: round; stroke-linecap: round; }
.plot .dots { stroke-width: 6; }
.plot .grid { stroke: var(--rule); stroke-width: 1; }
.plot .best { stroke: var(--line1); stroke-width: 1.5; stroke-dasharray: 5 4; }
.d1 { stroke-dasharray: 7 5; } .d2 { stroke-dasharray: 2 5; } .d3 { stroke-dasharray: 9 4 2 4; }
.yticks, .xticks { position: relative; font-variant-numeric: tabular-nums; }
.yticks span { position: absolute; right: .5rem; transform: translateY(-50%); }
.xticks { grid-column: 2; height: 1.5rem; }
.xticks span { position: absolute; top: .2rem; transform: translateX(-50%); }
.xname { grid-column: 2; text-align: center; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; margin: .5rem 0 0;
  font-size: .88rem; }
.legend li { overflow-wrap: anywhere; }
.legend svg { width: 1.8rem; height: .7rem; margin-right: .4rem; }
.legend path { fill: none; stroke: var(--line); stroke-width: 3; }
footer { padding-top: 1rem; padding-bottom: 3rem; font-size: .88rem; color: var(--soft); }
@media (max-width: 30rem) {
  header, main, footer { padding-left: .9rem; padding-right: .9rem; }
  .cards { gap: .5rem; }
  .cards dd { font-size: 1.1rem; }
  .cards > div { padding: .6rem .7rem; }
  .chart { grid-template-columns: 3.2rem 1fr; }
  .plot { height: 11rem; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
@media print {
  @page { margin: 1.6cm; }
  body { font-size: 10pt; }
  header, main, footer { max-width: none; padding: 0; }
  nav, audio, .skip, .download { display: none; }
  h2, h3, summary { break-after: avoid; }
  figure, .cards > div, tr, .chart { break-inside: avoid; }
  .plot { height: 8.5rem; }
  figure > img { max-height: 11cm; }
  .scroll { overflow: visible; }
  thead button::after { content: ""; }
  .samples { grid-template-columns: 1fr 1fr; }
}
"""
)

SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    const value = row => {
      const cell = row.cells[column];
      return cell.classList.contains("num") ? parseFloat(cell.dataset.value) : cell.textContent.trim();
    };
    const missing = x => x === "" || Number.isNaN(x);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(each => each.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((first, second) => {
        const a = value(first), b = value(second);
        if (missing(a) || missing(b)) return missing(a) - missing(b);
        const order = typeof a === "number" && typeof b === "number" ? a - b
          : String(a).localeCompare(String(b), "en", { numeric: true });
        return down ? -order : order;
      });
      body.append(...rows);
    });
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(each => { each.open = true; }));
"""
