"""Progress: what is reported to functions, bars and the log."""

import io
import logging
from typing import Any

import numpy as np
import pytest
import tqdm.auto

import rnnrbm
from rnnrbm.progress import Bar, as_progress

PIECES = [np.eye(12, 4, dtype=np.uint8)] * 3


def bars(monkeypatch) -> io.StringIO:
    """Where bars are drawn instead of standard error."""
    drawn, made = io.StringIO(), tqdm.auto.tqdm

    class Quiet(made):  # type: ignore[valid-type,misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, file=drawn, mininterval=0.0, **options)

    monkeypatch.setattr(tqdm.auto, "tqdm", Quiet)
    return drawn


def test_training_with_a_bar(monkeypatch):
    drawn = bars(monkeypatch)
    model = rnnrbm.build("rnn", 4, n_recurrent=3, seed=0)
    rows = list(rnnrbm.fit(model, PIECES, PIECES[:1], epochs=2, valid_every=1, progress=True))
    lines = drawn.getvalue().split("\r")
    last = [line for line in lines if line.strip()][-1]
    assert last.startswith("train 100%")
    assert "2/2" in last
    assert f"valid_ll={rows[-1]['valid_ll']:.3f}" in last
    assert sum(line.startswith("train   0%") for line in lines) >= 1
    assert any(line.startswith("train  50%") for line in lines)


def test_a_stage_has_a_bar_of_its_own(monkeypatch):
    drawn = bars(monkeypatch)
    bar = Bar()
    bar("read", 0, 2)
    bar("read", 2, 2)
    bar("sample", 0, 3)
    bar("sample", 1, 3)
    bar.close()
    shown = drawn.getvalue()
    assert "read 100%" in shown
    assert "sample  33%" in shown


def test_batches_move_the_bar_of_their_epochs(monkeypatch):
    drawn = bars(monkeypatch)
    bar = Bar()
    bar("train", 1, 4)
    bar("batch", 5, 10)
    bar.close()
    assert "38%" in drawn.getvalue()  # 1.5 of 4
    assert "1.5/4" in drawn.getvalue()


def test_sampling_and_scoring_with_a_bar(monkeypatch):
    drawn = bars(monkeypatch)
    model = rnnrbm.build("rnn-rbm", 4, n_hidden=3, n_recurrent=3, seed=0)
    rnnrbm.generate(model, 5, k=1, progress=True)
    rnnrbm.log_likelihood(model, PIECES[:1], n_chains=4, n_temperatures=3, progress=True)
    assert "sample 100%" in drawn.getvalue()
    assert "ais 100%" in drawn.getvalue()


def test_epochs_are_logged(caplog):
    model = rnnrbm.build("rnn", 4, n_recurrent=3, seed=0)
    with caplog.at_level(logging.INFO, logger="rnnrbm"):
        rows = list(rnnrbm.fit(model, PIECES, epochs=2))
    assert [record.name for record in caplog.records] == ["rnnrbm"] * 2
    assert caplog.messages[1].startswith("train 2 of 2: ")
    assert f"loss={rows[1]['loss']:.4g}" in caplog.messages[1]


def test_each_message_is_logged_once(caplog):
    seen: list[tuple[Any, ...]] = []
    report = as_progress(lambda *given: seen.append(given))
    assert as_progress(report) is report
    with caplog.at_level(logging.INFO, logger="rnnrbm"):
        report("note", 0, 0, {"text": "100 % of it"})
    assert caplog.messages == ["100 % of it"]
    assert seen == [("note", 0, 0, {"text": "100 % of it"})]


def test_something_else_is_refused():
    model = rnnrbm.build("rnn", 4, n_recurrent=3, seed=0)
    with pytest.raises(TypeError, match="progress is a str; expected True for a bar, or a function"):
        rnnrbm.fit(model, PIECES, progress="yes")
