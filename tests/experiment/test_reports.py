"""Reading the folders of runs for a page, and writing pages."""

import json
import os
import shutil
from pathlib import Path

import pytest
from report_runs import Page, a_run

from rnnrbm.experiment.reading import read_run
from rnnrbm.experiment.reports import read_runs, try_report, write_comparison, write_report


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return a_run(tmp_path_factory.mktemp("runs") / "whole")


def test_a_report_is_written_in_one_step(tmp_path, whole):
    folder = shutil.copytree(whole, tmp_path / "run")
    before = set(os.listdir(folder))
    path = write_report(folder)
    assert path == folder / "report.html"
    assert set(os.listdir(folder)) == before | {"report.html"}
    assert "RNN-RBM trained on toy" in Page(path.read_text(encoding="utf-8")).text
    first = path.read_bytes()
    (folder / "results.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        write_report(folder)
    assert path.read_bytes() == first


def test_no_run(tmp_path, whole):
    with pytest.raises(FileNotFoundError, match="there is no such folder; give the folder that 'rnnrbm train' wrote"):
        read_run(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"no run there \(no config.toml\)"):
        read_run(tmp_path)
    with pytest.raises(FileExistsError, match=r"is a file; give the folder .*such as .*whole"):
        read_run(whole / "config.toml")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.json", "{", r"results\.json: is damaged \(JSONDecodeError: .*--resume"),
        ("results.json", "[1]", r"results\.json: holds a list, expected a dictionary"),
        ("results.json", "\xff", r"results\.json: is damaged"),
        ("results.json", {"test_ll": "x"}, r"results\.json: test_ll is 'x', expected int or float or null"),
        ("results.json", {"baselines": {"a": "b"}}, r"results\.json: baselines\.a is 'b'"),
        ("results.json", {"statistics": {"samples": {}}}, r"results\.json: statistics\.train is None, expected dict"),
        ("results.json", {"test_score": {"name": "a"}}, None),
        ("metrics.csv", "epoch,loss\r\n1,x\r\n", r"metrics\.csv: line 2, loss is 'x', expected a number"),
        ("metrics.csv", "epoch,loss\r\n1\r\n", r"metrics\.csv: line 2 has 1 values, expected 2"),
        ("metrics.csv", "loss\r\n1\r\n", r"metrics\.csv: has no column epoch"),
        ("metrics.csv", "epoch,loss\r\nnan,1\r\n", r"metrics\.csv: an epoch is no number"),
        ("metrics.csv", "\xff", r"metrics\.csv: is damaged"),
        ("evaluations/toy-test.json", '{"data": 1}', r"toy-test\.json: data is 1, expected str; delete it, and run"),
        ("evaluations/toy-test.json", "{}", r"toy-test\.json: data is None"),
        ("config.toml", "[model]\nname = 3", r"config\.toml: "),
        ("config.toml", "[run]\nreplaces_a_run = true", r"belongs to a run that is being replaced; resume it by"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, whole, name, content, message):
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "evaluations").mkdir()
    if isinstance(content, dict):
        content = json.dumps(json.loads((folder / "results.json").read_text()) | content)
    (folder / name).write_bytes(content.encode("latin-1"))
    if message is None:  # a value that is missing is no score
        assert read_run(folder).test.name == "log-likelihood"
        return
    with pytest.raises(ValueError, match=message):
        read_run(folder)


def test_a_damaged_checkpoint_costs_one_number(tmp_path, whole):
    folder = shutil.copytree(whole, tmp_path / "run")
    assert read_run(folder).n_parameters == 12 * 5 + 12
    (folder / "checkpoint.npz").write_bytes(b"PK")
    assert read_run(folder).n_parameters is None
    assert "Parameters" not in Page(write_report(folder).read_text(encoding="utf-8")).text


def test_a_report_that_fails_is_said_and_costs_nothing(tmp_path, whole):
    folder = shutil.copytree(whole, tmp_path / "run")
    assert try_report(folder) == ""
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()
    assert "no report was written (IsADirectoryError: " in try_report(folder)


def test_a_folder_of_runs_stands_for_them(tmp_path, whole):
    for i in (2, 1):
        shutil.copytree(whole, tmp_path / f"seed-{i}")
    (tmp_path / "other").mkdir()
    assert [run.name for run in read_runs([tmp_path])] == ["seed-1", "seed-2"]
    with pytest.raises(ValueError, match=r"seed-1: is given twice, as .*seed-1 too"):
        read_runs([tmp_path, tmp_path / "other" / ".." / "seed-1"])
    with pytest.raises(FileNotFoundError, match="no run there"):
        read_runs([tmp_path / "other"])
    with pytest.raises(ValueError, match="no run to compare"):
        read_runs([])


def test_only_a_page_of_ours_is_replaced(tmp_path, whole):
    runs = read_runs([whole])
    path = write_comparison(runs, tmp_path / "a.html")
    assert "Comparison of 1 runs" not in path.read_text(encoding="utf-8")
    assert write_comparison(runs, path) == path
    (tmp_path / "mine.html").write_text("<p>mine")
    with pytest.raises(FileExistsError, match=r"mine\.html: exists, and is no page of rnnrbm; choose another name"):
        write_comparison(runs, tmp_path / "mine.html")
    with pytest.raises(ValueError, match=r"a\.txt: expected a file name ending in \.html"):
        write_comparison(runs, tmp_path / "a.txt")
    assert (tmp_path / "mine.html").read_text() == "<p>mine"
