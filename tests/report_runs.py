"""Folders of runs made by hand, without any training, and a reader of pages, for the tests of reports."""

import json
import re
import struct
import zlib
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from rnnrbm import checkpoint
from rnnrbm.experiment import config
from rnnrbm.experiment.config import Config
from rnnrbm.experiment.run_folder import write_metrics

#: elements without an end tag
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source"}


def png(width: int = 7, height: int = 5, seed: int = 0) -> bytes:
    """A grey picture of noise, written by hand."""
    rows = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tone(path: Path, seconds: float = 0.5, rate: int = 8000) -> None:
    t = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32), rate)


def a_run(
    folder: Path,
    *,
    seed: int = 0,
    epochs: int = 6,
    test_ll: float | None = -7.5,
    n_samples: int = 2,
    changes: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
    results: dict[str, Any] | None = None,
    ended: bool = True,
    sha: str = "aa",
) -> Path:
    """Write a run of notes whose numbers are made up."""
    folder.mkdir(parents=True)
    settings = Config().replaced({"training.seed": seed, "training.epochs": epochs, **(changes or {})})
    sizes = {"train": 40, "valid": 10, "test": 9}
    about = {
        "rnnrbm": "0.2.0",
        "command": "rnnrbm train --seed 0",
        "data": {"columns": 12, "kind": "piano-roll", "sha256": sha, "pieces": sizes, "frames": sizes},
        "chosen": config.chosen(settings),
    }
    config.write(folder / "config.toml", settings, run=about | (facts or {}))
    trained = epochs if ended else max(1, epochs // 2)
    rows = [
        {
            "epoch": i,
            "loss": 3.0 / i,
            "valid_ll": -10.0 + 0.5 * i - seed if i % 2 == 0 else float("nan"),
            "seconds": 1.5 * i,
        }
        for i in range(1, trained + 1)
    ]
    write_metrics(folder / "metrics.csv", rows)
    checkpoint.save(
        folder / "checkpoint.npz", {"best.W": np.zeros((12, 5)), "best.b": np.zeros(12), "others.x": np.zeros(99)}, {}
    )
    if not ended:
        return folder
    for part in ("figures", "samples"):
        (folder / part).mkdir()
    for name in ("filters", "statistics", "learning_curves", "sample"):
        (folder / "figures" / f"{name}.png").write_bytes(png())
    files = []
    for i in range(1, n_samples + 1):
        tone(folder / "samples" / f"sample-{i}.wav")
        (folder / "samples" / f"sample-{i}.mid").write_bytes(b"MThd\0\0\0\6\0\1\0\0\1\xe0")
        (folder / "samples" / f"sample-{i}.png").write_bytes(png(seed=i))
        files += [f"samples/sample-{i}{suffix}" for suffix in (".mid", ".wav", ".png")]
    found = {
        "model": settings.model.name,
        "data": "toy",
        "test_ll": test_ll,
        "test_se": None if test_ll is None else 0.012,
        "test_bias": None,
        "method": "AIS, 3 chains x 4 temperatures",
        "test_score": None,
        "test_bound": None,
        "test_frames": 9,
        "frame_name": "frame",
        "best_epoch": epochs // 2 * 2,
        "best_valid_ll": -10.0 + 0.5 * (epochs // 2 * 2) - seed,
        "epochs": epochs,
        "training_seconds": 1.5 * epochs,
        "baselines": {"note 1-gram": -10.25, "previous frame": -7.0625},
        "statistics": {"samples": {"notes_per_frame": 3.75}, "train": {"notes_per_frame": 3.875}},
        "samples": files,
    }
    (folder / "results.json").write_text(json.dumps(found | (results or {})), encoding="utf-8")
    return folder


class Page(HTMLParser):
    """A page, read strictly: every element is closed where it should be.

    Attributes
    ----------
    tags : list of (str, dict)
        Start tags with their attributes.
    text : str
        All text outside style and script.
    tables : list of lists of rows, each a list of texts
    """

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.tables: list[list[list[str]]] = []
        self.feed(content)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.text += data
        if "table" in self.open and {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def assert_sound(page: Page, content: str) -> None:
    """What holds of every page: it is accessible in its structure, and asks for nothing."""
    names = [tag for tag, _ in page.tags]
    assert content.startswith("<!DOCTYPE html>\n")
    assert page.all("html") == [{"lang": "en"}]
    assert names.count("h1") == names.count("main") == 1
    assert names.index("title") < names.index("body")
    levels = [int(name[1]) for name in names if re.fullmatch("h[1-6]", name)]
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), attributes
        assert not [name for name in attributes if name.startswith("on")]
    for link in page.all("a"):
        assert not link["href"].startswith("#") or link["href"][1:] in ids
    assert all(image.get("alt") for image in page.all("img"))
    assert not {"link", "iframe", "object", "embed", "base"} & set(names)
    assert "url(" not in content
    assert "@import" not in content
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert names.count("script") == 1
    assert any(a.get("name") == "viewport" for a in page.all("meta"))
    for caption, rows in zip(page.all("caption"), page.tables, strict=True):
        assert caption == {}
        assert len({len(row) for row in rows}) == 1
