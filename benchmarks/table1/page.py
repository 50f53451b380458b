"""The page of results: what was done, the table, what mattered, and every score with how it was made."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.table1 import mixtures
from benchmarks.table1.reproduce import DATA, N_VALID_FRAMES, PUBLISHED, place
from rnnrbm.scoring.result import with_error

__all__ = ["report"]

NAMES = {"piano-midi": "Piano-midi.de", "nottingham": "Nottingham", "musedata": "MuseData", "jsb": "JSB chorales"}

_HEAD = """\
## Every score

`python -m benchmarks.table1 reproduce` makes this page from the configurations in [`{folder}`]({link}). The folder
`results/` there holds the epochs and scores of every run. Settings and the best epoch were chosen on the validation
set, never on the test set.

The columns of the tables:

* *test LL*: the mean log-likelihood over all frames of the test set, in nats per frame. It is exact for a model without
  a partition function. For the other models AIS estimates it, and AIS tends to overestimate it{how}.
* *below*: the estimate by RAISE, which tends to underestimate it.
* *valid LL*: the log-likelihood of at most {frames} random frames of the validation set.
* *ACC* and *(Bay)*: two definitions of the accuracy, in percent; `rnnrbm evaluate` explains them. A frame of an RBM is
  sampled by a chain from the previous frame. If the modes of the RBM are narrow, the chain does not leave the previous
  frame. The accuracy of an RBM of independent frames is then that of repeating the previous frame.
* *paper*: LL / ACC in table 1 of Boulanger-Lewandowski et al. 2012, by AIS without RAISE.
* *parameters*: the number of parameters. *min*: minutes of training.

Bold figures are better than the paper's for the model. A star marks figures better than the paper's best model.
"""


def _read(table: Path) -> list[dict[str, Any]]:
    """Return the results of all finished rows, in their order."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(table.glob("results/*.json"))]
    return sorted(found, key=lambda row: place(row["data"], row["model"]))


def report(table: Path, page: Path) -> str:
    """Return the results of a table as Markdown, for writing to `page`."""
    made = _read(table)
    summary = table / "summary.md"
    link = Path(os.path.relpath(table, page.parent)).as_posix()
    how = " ([how](likelihood.md))" if (page.parent / "likelihood.md").exists() else ""
    lines = [] if not summary.exists() else [_filled(summary.read_text(encoding="utf-8"), table, made)]
    lines = lines or ["# Results", ""]
    lines += [_HEAD.format(folder=table.as_posix(), link=link, frames=N_VALID_FRAMES, how=how)]
    where = "" if table == Path("benchmarks/table1") else f" {table.as_posix()}"
    for data in dict.fromkeys(row["data"] for row in made):
        lines += ["", f"## {data}", ""]
        lines += ["| model | test LL | below | valid LL | ACC | (Bay) | paper | parameters | best epoch | min | seed |"]
        lines += ["| --- |" + " ---: |" * 10]
        mine = [row for row in made if row["data"] == data]
        lines += [_line(row) for row in mine]
        lines += ["", f"To make these again: `python -m benchmarks.table1 reproduce{where} --data {data} --again`."]
        lines += [f"All {mine[0]['frames']} frames of the test set were scored by:", ""]
        for settings in sorted({side["settings"] for row in mine for side in row["test"].values()}):
            names = [row["model"] for row in mine if any(x["settings"] == settings for x in row["test"].values())]
            lines += [f"* {settings}: {', '.join(names)}."]
        for row in mine:
            lines += [
                f"* Warning, {row['model']}: {x['diagnostics']}." for x in row["test"].values() if x["diagnostics"]
            ]
            if row["test"].get("raise", {}).get("micro", -math.inf) > row["test"]["ll"]["micro"]:
                lines += [f"* {row['model']}: RAISE is above AIS: annealing fits the data better than the model."]
        lines += [""]
        lines += [f"Machine: {'; '.join(sorted({row['machine'] for row in mine}))}."]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    test = row["test"]
    ll = test["ll"]["micro"]
    score_text, theirs = with_error(ll, test["ll"]["standard_error"]), ""
    if row["data"] in DATA:
        column = DATA.index(row["data"])
        published = PUBLISHED.get(row["model"])
        if published:
            theirs = "{:.2f} / {:.2f}".format(*published[column])
            if ll > published[column][0]:
                score_text = f"**{score_text}**"
        if ll > max(figures[column][0] for figures in PUBLISHED.values()):
            score_text += " *"
    below = f"{test['raise']['micro']:.3f}" if "raise" in test else "exact"
    accuracy = [f"{100 * row['accuracy'][key]:.1f}" for key in ("frame", "bay")]
    cells: Sequence[Any] = (
        row["model"],
        score_text,
        below,
        "" if row["valid"] is None else f"{row['valid']:.3f}",
        *accuracy,
        theirs,
        f"{row['parameters']:,}".replace(",", " "),
        f"{row['best_epoch']} of {row['epochs']}",
        f"{row['training_minutes']:.0f}",
        row["seed"],
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _filled(text: str, table: Path, made: list[dict[str, Any]]) -> str:
    """Fill the lines ``{table}`` and ``{include FILE}`` of a summary; files are named from the folder above."""
    lines = []
    for line in text.splitlines():
        if line == "{table}":
            lines += short_table(made, mixtures.stored(table))
        elif line.startswith("{include ") and line.endswith("}"):
            lines += (table.parent / line[9:-1]).read_text(encoding="utf-8").splitlines()
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def short_table(made: list[dict[str, Any]], mixed: list[dict[str, Any]]) -> list[str]:
    """Return a table of test log-likelihoods, a row for each model, the paper's in brackets, the best in bold."""
    rows: dict[str, dict[str, tuple[float, str]]] = {}
    for row in sorted(made, key=lambda row: place(row["data"], row["model"])):
        ll, error = (row["test"]["ll"][key] for key in ("micro", "standard_error"))
        theirs = PUBLISHED.get(row["model"], ((math.nan, 0.0),) * len(DATA))[DATA.index(row["data"])][0]
        text = f"{ll:.2f}" + (f" ± {error:.2f}" if error >= 0.005 else "") + f" ({theirs:.2f})"
        rows.setdefault(row["model"].upper(), {})[row["data"]] = (ll, text)
    for row in mixed:
        name = f"mixture of {len(row['seeds'])} {row['model'].upper()}s"
        rows.setdefault(name, {})[row["data"]] = (row["test"]["micro"], f"{row['test']['micro']:.2f}")
    names = [name for name in DATA if any(name in cells for cells in rows.values())]
    best = {name: max(cells[name][0] for cells in rows.values() if name in cells) for name in names}
    lines = ["| | " + " | ".join(NAMES[name] for name in names) + " |", "| --- |" + " ---: |" * len(names)]
    for label, cells in rows.items():
        texts = [
            "" if name not in cells else f"**{cells[name][1]}**" if cells[name][0] == best[name] else cells[name][1]
            for name in names
        ]
        lines.append(f"| {label} | {' | '.join(texts)} |")
    return lines
