"""The commands ``rnnrbm report`` and ``rnnrbm compare``."""

import webbrowser

import pytest
from helpers import refused, rnnrbm
from report_runs import Page, a_run


def test_report_prints_its_path(tmp_path):
    folder = a_run(tmp_path / "a run")
    done = rnnrbm("report", "a run", cwd=tmp_path)
    assert done.stdout == "a run/report.html\n"
    assert done.stderr == ""
    assert "rnnrbm evaluate 'a run'" in Page((folder / "report.html").read_text(encoding="utf-8")).text


@pytest.mark.parametrize("opens", [True, False])
def test_a_page_is_opened(tmp_path, monkeypatch, opens):
    a_run(tmp_path / "a")
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or opens)
    said = rnnrbm("report", tmp_path / "a", "--open").stderr
    said += rnnrbm("compare", tmp_path / "a", "--html", tmp_path / "c.html", "--open").stderr
    assert opened == [(tmp_path / name).as_uri() for name in ("a/report.html", "c.html")]
    assert said.count("no browser was found") == (0 if opens else 2)


def test_compare_prints_a_table_and_what_does_not_compare(tmp_path):
    a_run(tmp_path / "a-1", seed=1, test_ll=-7.5)
    a_run(tmp_path / "a-2", seed=2, test_ll=-8.5)
    a_run(tmp_path / "b", sha="bb", ended=False)
    done = rnnrbm("compare", "a-1", "a-2", "b", "--html", "c.html", cwd=tmp_path)
    first, second = done.stderr.splitlines()
    assert first.startswith("warning: These runs are of 2 data sets (")
    assert second == "warning: Not ended, and in no mean: b."
    rows = [
        [cell.strip() for cell in line.split("\u2502")[1:-1]] for line in done.stdout.splitlines() if "\u2502" in line
    ]
    assert rows[0][:6] == ["a", "2", "\u22128.500", "0.707", "\u22128.000", "0.707"]
    assert rows[1][:6] == ["b", "0", "\u22129.000", "", "", ""]
    assert done.stdout.splitlines()[-1] == "c.html"
    assert "Comparison of 3 runs" in Page((tmp_path / "c.html").read_text(encoding="utf-8")).text


def test_errors_come_in_one_line(tmp_path):
    a_run(tmp_path / "a")
    assert "there is no such folder" in refused("report", tmp_path / "none")
    assert "no run there (no config.toml), but runs inside: a" in refused("report", tmp_path)
    assert "--open needs --html" in refused("compare", tmp_path / "a", "--open")
    assert "expected a file name ending in .html" in refused("compare", tmp_path / "a", "--html", tmp_path / "c.pdf")
    assert "does not exist; create it" in refused("compare", tmp_path / "a", "--html", tmp_path / "none" / "c.html")
    (tmp_path / "a" / "results.json").write_text("{}")
    assert "results.json: data is None, expected str" in refused("report", tmp_path / "a")
