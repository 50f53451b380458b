"""Progress: what a terminal of any width shows, and what a file gets. Ctrl-C."""

import gc
import io
import math
import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from rich.console import Console

from rnnrbm.cli import console
from rnnrbm.cli.console import ProgressBar, interruptible

ROW = {"epoch": 115, "k": 10, "loss": -0.1234, "pseudo_likelihood": -8.765, "valid_ll": -7.0123}


def screen(monkeypatch, width: int) -> ProgressBar:
    """A progress bar on a terminal of so many columns."""
    terminal = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, markup=False)
    with monkeypatch.context() as patch:
        patch.setattr("rich.console.Console", lambda **options: terminal)
        return ProgressBar()


def last_lines(bar: ProgressBar, width: int) -> list[str]:
    """What a terminal of so many columns shows in the end."""
    shown = io.StringIO()
    Console(file=shown, width=width, color_system=None).print(bar.bar.get_renderable())
    return [line for line in shown.getvalue().splitlines() if line.strip()]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_count_the_time_left_and_the_score_fit_any_terminal(monkeypatch, width):
    bar = screen(monkeypatch, width)
    with bar:
        bar.report("train", 0, 120)
        for epoch in (1, 2, 115):
            bar.report("batch", 8, 30)
            bar.report("train", epoch, 120, {**ROW, "epoch": epoch})
        (line,) = last_lines(bar, width)
    assert len(line) <= width
    assert line.startswith("Training")
    assert "115/120" in line
    assert re.search(r"\d:\d\d:\d\d|-:--:--", line)  # the time that is left
    assert "\u2501" in line  # the bar
    assert "valid LL -7.012" in line
    assert ("loss -0.123" in line) == (width > 100)
    assert ("batch" in line) is False


def test_a_terminal_shows_at_once_that_something_happens(monkeypatch):
    width = 80
    bar = screen(monkeypatch, width)
    with bar:
        assert last_lines(bar, width)[0].startswith("Starting")
        bar.report("sample", 0, 256)
        bar.report("sample", 64, 256)
        (line,) = last_lines(bar, width)
    assert line.startswith("Sampling")
    assert "64/256" in line


def test_a_file_gets_a_line_now_and_then(monkeypatch, capsys):
    clock = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    bar = ProgressBar()
    with bar:
        for done in range(0, 101):
            bar.report("train", done, 100, {"epoch": done, "loss": 1.0, "valid_ll": math.nan})
            clock[0] += 1.0
    lines = capsys.readouterr().err.splitlines()
    assert [int(re.search(r"(\d+)/100", line)[1]) for line in lines] == [0, 16, 32, 48, 64, 80, 96, 100]


def test_what_is_over_at_once_is_not_announced_in_a_file(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    for seconds, expected in ((0.1, []), (1.5, ["Sampling 128/256", "Sampling 256/256"])):
        bar = ProgressBar()
        with bar:
            for done in (0, 64, 128, 192, 256):
                bar.report("sample", done, 256)
                clock[0] += seconds
        assert capsys.readouterr().err.splitlines() == expected


def test_a_quiet_one_says_nothing(capsys):
    with ProgressBar(quiet=True) as bar:
        bar.report("note", 0, 0, {"text": "hello"})
        bar.report("train", 0, 3)
        bar.report("train", 3, 3)
    assert capsys.readouterr().err == ""


def test_a_second_ctrl_c_is_not_lost_in_a_callback(capfd):
    """Python prints what a callback of its garbage collector raises, and goes on."""

    def callback(*_: object) -> None:
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    def work() -> None:
        with interruptible() as stop:
            gc.callbacks.append(callback)
            gc.collect()
            assert stop()
            for _ in range(500):
                time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert (
        capfd.readouterr().err == "\nStopping after this batch; the run can be resumed. Ctrl-C again stops at once.\n"
    )


def test_other_errors_of_callbacks_are_reported(monkeypatch):
    seen = []
    monkeypatch.setattr("sys.unraisablehook", lambda error: seen.append(error.exc_type))

    def callback(*_: object) -> None:
        gc.callbacks.remove(callback)
        raise OverflowError

    with interruptible():
        gc.callbacks.append(callback)
        gc.collect()
    assert seen == [OverflowError]


# --- output that nobody reads -----------------------------------------------------------------------

PRINTS = """
import sys
import typer
from rnnrbm.cli.console import ProgressBar, friendly, say, tell

try:
    with friendly():
        with ProgressBar() as bar:
            for i in range(3):
                bar.report("train", i, 2)
                bar.report("note", 0, 0, {"text": "note"})
        for _ in range(3):
            say("x" * 100_000)
except typer.Exit as end:
    sys.exit(end.exit_code)
open(sys.argv[1], "w").write("whole")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("how", ["pipe", "full"])
def test_output_that_nobody_reads_stops_no_work(tmp_path, stream, how):
    if how == "pipe":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open("/dev/full", os.O_WRONLY)
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: writing}
    done = subprocess.run([sys.executable, "-c", PRINTS, str(tmp_path / "a")], text=True, **streams)
    os.close(writing)
    if stream == "stderr":
        assert done.returncode == 0
        assert (tmp_path / "a").read_text() == "whole"
        return
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line != "note" and not line.startswith("Training")]
    expected = ["error: standard output cannot be written (No space left on device); files are not affected"]
    assert errors == (expected if how == "full" else [])


# --- tables -----------------------------------------------------------------------------------------

HEADINGS = ("model", "LL", "by piece", "ACC", "precision", "how")
ROWS = [
    (
        "this RNN-RBM",
        "-6.968 \u00b1 0.003",
        "-6.900",
        "30.12",
        "40.34",
        "AIS, 10 chains x 500 temperatures, 5000 frames enumerated",
    ),
    ("  lower side", "-6.980 \u00b1 0.004", "", "", "", "RAISE, 10 chains x 500 temperatures, of 300 random frames"),
]


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_no_number_of_a_table_is_cut(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(console.sys.stdout, "isatty", lambda: True, raising=False)
    console.say_table("A title", HEADINGS, ROWS)
    said = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, said.splitlines())) <= width
    words = " ".join(said.replace("\u2502", " ").split())
    for row in ROWS:
        for cell in row[:-1]:
            assert cell.strip() in words
    assert "\u2026" not in said
    lines = "LL -6.968 \u00b1 0.003, by piece" in words
    assert lines == (width <= 60)
