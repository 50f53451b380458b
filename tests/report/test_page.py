"""The page of a run: its structure, what it says, what it never loads, and its size."""

import base64
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from report_runs import Page, a_run, assert_sound, png, tone

from rnnrbm.experiment.reading import read_run
from rnnrbm.report.chart import MOST_POINTS, Line, chart, ticks
from rnnrbm.report.markup import Cell, Html, number, safe, table
from rnnrbm.report.media import Budget, clips, ogg, png_size
from rnnrbm.report.page import duration, run_page


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return a_run(tmp_path_factory.mktemp("runs") / "whole", changes={"model.n_hidden": 7})


@pytest.fixture(scope="module")
def content(folder) -> str:
    return run_page(read_run(folder))


@pytest.fixture(scope="module")
def page(content) -> Page:
    return Page(content)


def test_a_page_is_sound(page, content):
    assert_sound(page, content)
    assert len(content) < 300_000


def test_numbers_are_those_of_the_run(page):
    scores = page.tables[0]
    assert scores[0] == ["model", "nats per frame", "how"]
    assert scores[1:] == [
        ["this RNN-RBM", "\u22127.500 \u00b1 0.012", "AIS, 3 chains x 4 temperatures"],
        ["note 1-gram", "\u221210.250", "exact"],
        ["previous frame", "\u22127.062", "exact"],
    ]
    assert "The model scores below previous frame." in page.text
    assert "\u22127.000" in page.text  # the best validation: -10 + 0.5 * 6
    assert ["notes per frame", "3.750", "3.875"] in page.tables[1]
    assert "RNN-RBM trained on toy" in page.text
    assert "72" in page.text.split("Parameters")[1][:9]  # 12 * 5 + 12, without what is no parameter
    sizes = next(rows for rows in page.tables if rows[0][0] == "set")
    assert sizes[1:] == [["train", "40", "40"], ["valid", "10", "10"], ["test", "9", "9"]]
    assert "rnnrbm train --seed 0" in page.text


def test_chosen_settings_are_marked(page):
    rows = {row[0]: row[1] for rows in page.tables if rows[0] == ["setting", "value"] for row in rows}
    assert rows["n_hidden chosen"] == "7"
    assert rows["epochs chosen"] == "6"
    assert rows["seed"] == "0"  # chosen, but the library's own
    assert rows["source"] == "bach"


def test_samples_are_pictures_sounds_and_files(page, folder):
    sources = [image["src"] for image in page.all("img")]
    for i in (1, 2):
        assert f"data:image/png;base64,{base64.b64encode(png(seed=i)).decode()}" in sources
    players = page.all("audio")
    assert [player["aria-label"] for player in players] == ["Sound of sample 1", "Sound of sample 2"]
    for player in players:
        assert "controls" in player
        sound = base64.b64decode(player["src"].removeprefix("data:audio/ogg;base64,"))
        samples, rate = soundfile.read(io.BytesIO(sound))
        assert rate == 8000
        assert len(samples) == 4000
        # a tone of 440 Hz stays one
        assert np.argmax(np.abs(np.fft.rfft(samples))) == 220
    saved = {link["download"]: link["href"] for link in page.all("a") if "download" in link}
    assert set(saved) == {"sample-1.mid", "sample-2.mid"}
    midi = base64.b64decode(saved["sample-2.mid"].removeprefix("data:audio/midi;base64,"))
    assert midi == (folder / "samples" / "sample-2.mid").read_bytes()


def test_curves_have_words(page):
    labels = [a["aria-label"] for tag, a in page.tags if tag == "div" and a.get("role") == "img"]
    assert labels == [
        "Validation log-likelihood: \u22129.000 in epoch 2, \u22127.000 in epoch 6",
        "Loss: 3.000 in epoch 1, 0.500 in epoch 6",
    ]


def test_a_half_run_says_so_at_the_top(tmp_path):
    content = run_page(read_run(a_run(tmp_path / "half", epochs=8, ended=False)))
    page = Page(content)
    assert_sound(page, content)
    text = page.text
    assert "This run has not ended: the training has come to epoch 4 of 8; there are no scores" in text
    assert text.index("has not ended") < text.index("Learning curves")
    assert f"rnnrbm train --resume --out {tmp_path / 'half'}" in text
    assert page.all("audio") == []


def test_a_run_without_an_epoch(tmp_path):
    folder = a_run(tmp_path / "begun", ended=False)
    for name in ("metrics.csv", "checkpoint.npz"):
        (folder / name).unlink()
    content = run_page(read_run(folder))
    assert_sound(Page(content), content)
    assert "has not come to the end of its first epoch" in Page(content).text


def test_a_run_that_trains_on_says_that_its_scores_are_old(tmp_path):
    folder = a_run(tmp_path / "on", epochs=4)
    with open(folder / "metrics.csv", "a") as file:
        file.write("5,0.1,nan,9\r\n")
    text = Page(run_page(read_run(folder))).text
    assert (
        "the training went on after epoch 4, to which the scores and the samples belong, and has come to epoch 5"
        in text
    )


HOSTILE = "<script>alert('1')</script>\"><img src=http://x.org/a>&amp;"


def test_hostile_names_stay_text(tmp_path):
    """A folder, a data file, a statistic, a baseline, a command: none becomes HTML."""
    folder = a_run(
        tmp_path / HOSTILE.replace("/", "\\"),
        changes={"data.source": HOSTILE, "model.init": HOSTILE},
        facts={"command": f"rnnrbm train {HOSTILE}", HOSTILE: HOSTILE},
        results={
            "data": HOSTILE,
            "method": HOSTILE,
            "frame_name": HOSTILE,
            "baselines": {HOSTILE: -1.0},
            "statistics": {"samples": {HOSTILE: 1.0}, "train": {}},
        },
    )
    content = run_page(read_run(folder))
    page = Page(content)
    assert_sound(page, content)
    assert len(page.all("script")) == 1
    assert page.text.count(HOSTILE) >= 6
    assert html.escape(HOSTILE) in content


def test_characters_that_deceive_are_replaced():
    assert safe("a\u202eb\0c\ud800d") == "a\ufffdb\ufffdc\ufffdd"
    assert safe("ä\n€") == "ä\n€"
    assert safe(Html("<b>")) == "<b>"


def test_no_sample_of_a_path_outside_is_read(tmp_path):
    for name in ("../x.png", "/etc/passwd", "a/../../b.png"):
        folder = a_run(tmp_path / name.replace("/", "_"), results={"samples": [name]})
        with pytest.raises(ValueError, match=r"results\.json: samples has .*expected the path of a file in the run"):
            read_run(folder)


def test_a_page_keeps_its_size(tmp_path):
    """Sounds become shorter and pictures are left out, and the page says so."""
    folder = a_run(tmp_path / "large", n_samples=3)
    rng = np.random.default_rng(0)
    for i in (1, 2, 3):
        soundfile.write(folder / "samples" / f"sample-{i}.wav", rng.normal(0, 0.2, 20 * 8000), 8000)
        (folder / "samples" / f"sample-{i}.png").write_bytes(png(300, 300, seed=i))
    whole = run_page(read_run(folder))
    small = run_page(read_run(folder), most=400_000)
    assert len(whole) > 500_000
    assert len(small) < 400_000
    assert "of 20.0 s." in Page(small).text
    assert "of 20.0 s." not in Page(whole).text
    assert len(Page(small).all("audio")) == 3


def test_many_samples_are_named(tmp_path):
    page = Page(run_page(read_run(a_run(tmp_path / "many", n_samples=14))))
    assert len(page.all("audio")) == 12
    assert "2 more are in" in page.text


def test_missing_and_damaged_files_are_said(tmp_path):
    folder = a_run(tmp_path / "gaps", n_samples=3)
    (folder / "samples" / "sample-1.wav").unlink()
    (folder / "samples" / "sample-2.wav").write_bytes(b"RIFF no sound")
    (folder / "samples" / "sample-3.png").unlink()
    (folder / "figures" / "filters.png").unlink()
    page = Page(run_page(read_run(folder)))
    assert "sample-1.wav: there is no such file; sample again" in page.text
    assert "sample-2.wav: cannot be read as sound" in page.text
    assert "The picture is not in this page." in page.text
    assert "no filters that can be drawn" in page.text
    assert len(page.all("audio")) == 1


def test_ultrasound_is_played_slower(tmp_path):
    tone(tmp_path / "bat.wav", seconds=0.25, rate=250_000)
    clip = ogg(tmp_path / "bat.wav", 100_000)
    samples, rate = soundfile.read(io.BytesIO(clip.content))
    assert clip.slower == 6
    assert rate == 250_000 // 6
    assert len(samples) == 62_500
    assert clip.total == 0.25


def test_a_clip_fits_its_share(tmp_path):
    soundfile.write(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.2, 20 * 8000), 8000)
    tone(tmp_path / "tone.wav")
    noise, sound = clips([tmp_path / "noise.wav", tmp_path / "tone.wav"], 60_000)
    assert 10_000 < len(noise.content) <= 30_000
    assert noise.seconds < noise.total == 20.0
    assert sound.seconds == sound.total == 0.5


def test_a_large_picture_loses_colours_not_its_shape(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (400, 300, 3), np.uint8)).save(tmp_path / "a.png")
    content = Budget(10**6).read(tmp_path / "a.png", "a picture")
    assert len(content) < 0.5 * (tmp_path / "a.png").stat().st_size
    assert png_size(content) == (300, 400)
    with Image.open(io.BytesIO(content)) as reduced, Image.open(tmp_path / "a.png") as whole:
        error = np.asarray(reduced.convert("RGB"), float) - np.asarray(whole, float)
    assert np.abs(error).mean() < 25  # 256 colours of noise


def test_an_evaluation_is_shown(tmp_path, monkeypatch):
    folder = a_run(tmp_path / "scored")
    (folder / "evaluations").mkdir()
    (folder / "evaluations" / "toy-test.json").write_text(
        """{"data": "toy", "split": "test", "frames": 9, "log_likelihood": {"micro": -7.25, "macro": -7.5,
        "standard_error": 0.0125, "settings": "AIS, 9 chains"}, "raise": {"micro": -7.375, "macro": null,
        "standard_error": 0.02, "settings": "RAISE, 9 chains"}, "prediction": {"accuracy": 0.625, "how": "x"},
        "bracket": {"verdict": ""}, "baselines": [{"model": "note 1-gram", "settings": {"flip": 0.5}, "ll": -10.0,
        "ll_pieces": -9.5, "accuracy": 0.25}]}"""
    )
    page = Page(run_page(read_run(folder)))
    assert page.tables[1] == [
        ["model", "nats per frame", "mean by piece", "accuracy", "how"],
        ["this RNN-RBM", "\u22127.250 \u00b1 0.013", "\u22127.500", "0.6250", "AIS, 9 chains"],
        ["lower side", "\u22127.375 \u00b1 0.020", "", "", "RAISE, 9 chains"],
        ["note 1-gram", "\u221210.000", "\u22129.500", "0.2500", "flip 0.5"],
    ]


def test_a_score_that_is_no_likelihood(tmp_path):
    score = {"name": "reconstruction error", "value": 0.03125}
    folder = a_run(
        tmp_path / "static", test_ll=None, results={"test_score": score, "label_error": 0.0625, "baselines": {}}
    )
    page = Page(run_page(read_run(folder)))
    assert page.tables[0] == [["model", "reconstruction error", "how"], ["this RNN-RBM", "0.0312", ""]]
    assert "6.25 %" in page.text


# --- parts


def test_ticks_are_round_and_inside():
    assert ticks(0.0, 10.0) == [0, 2, 4, 6, 8, 10]
    np.testing.assert_allclose(ticks(-9.71, -7.74), [-9.5, -9.0, -8.5, -8.0])
    assert ticks(3.0, 3.0) == [3.0]
    for low, high in [(1e-9, 3e-9), (-1e6, 5e5), (0.1, 0.11)]:
        found = ticks(low, high)
        assert 2 <= len(found) <= 6
        assert all(low - 1e-9 * abs(low) <= x <= high + 1e-9 * abs(high) for x in found)
    with pytest.raises(ValueError, match=r"low and high are nan and 1\.0: expected two finite numbers in order"):
        ticks(float("nan"), 1.0)


def test_a_chart_keeps_the_peaks_of_a_long_line():
    y = np.random.default_rng(0).normal(size=5000)
    y[1234], y[4321] = 9.0, -9.0
    drawn = chart([Line("a", range(1, 5001), y.tolist())], label="x")
    path = re.search(r'class="c0 d0" d="M([^"]+)"', drawn)[1]
    points = np.array([[float(v) for v in point.split()] for point in path.split("L")])
    assert len(points) <= MOST_POINTS
    assert (np.diff(points[:, 0]) >= 0).all()
    margin = 0.06 / 1.12 * 100  # above the greatest and below the least value
    np.testing.assert_allclose([points[:, 1].min(), points[:, 1].max()], [margin, 100 - margin], atol=0.01)


def test_a_chart_without_points_is_empty():
    assert chart([Line("a", [1, 2], [float("nan")] * 2)], label="x") == ""
    assert "<path" in chart([Line("a", [1], [2.0])], label="x")  # one point, no division by zero


def test_a_table_sorts_by_the_numbers_not_by_what_is_shown():
    page = Page(table(("a", "b"), [("x", Cell(-1.5, "\u22121.5 so far")), ("y", Cell(None))], caption="c"))
    assert [cell.get("data-value") for cell in page.all("td")] == ["-1.5", ""]
    assert page.tables == [[["a", "b"], ["x", "\u22121.5 so far"], ["y", ""]]]


def test_numbers_and_durations():
    assert [number(x) for x in (-0.0001, 1.23456, None, float("inf"))] == ["0.000", "1.235", "", ""]
    assert [duration(s) for s in (5.04, 303, 7500)] == ["5.0 s", "5 min 03 s", "2 h 05 min"]
