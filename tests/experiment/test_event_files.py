"""Event files of runs: every epoch once, whatever happened to the run."""

import pytest
from helpers import metrics_of, save_data, stop_after, tiny

from rnnrbm.experiment import finish, run
from rnnrbm.io import tensorboard
from rnnrbm.io.tensorboard import _records, _step_of, last_step


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(finish, "draw", lambda *_, **__: None)
    changes = {"model.name": "rnn", "model.n_hidden": None, "training.k": 2, "training.epochs": 5}
    quick = {"evaluation.test": False, "generation.n_samples": 1}
    return tiny(save_data(tmp_path / "toy.npz"), **changes, **quick)


def steps(folder):
    content = (folder / "tensorboard" / tensorboard.FILE).read_bytes()
    return [_step_of(data) for data, _ in _records(content)][1:]  # the first is the version


def test_a_resumed_run_goes_on_with_its_event_file(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(run, "SAVE_EVERY", 0.0)
    folder = tmp_path / "run"
    with pytest.raises(run.Interrupted):
        run.train(settings, folder, tensorboard=True, stop=stop_after(5))
    begun = steps(folder)
    assert begun == [int(row["epoch"]) for row in metrics_of(folder)]
    assert 0 < len(begun) < 5
    (folder / "tensorboard" / tensorboard.FILE).unlink()  # as if killed before it was written
    run.train(None, folder, resume=True)
    assert steps(folder) == [1, 2, 3, 4, 5]
    run.train(None, folder, resume=True, changes={"training.epochs": 6})
    assert steps(folder) == [1, 2, 3, 4, 5, 6]
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    rows = metrics_of(folder)
    assert set(events.Tags()["scalars"]) == set(rows[0]) - {"epoch", "seconds", "k", "pseudo_likelihood"}
    for tag in ("loss", "valid_ll", "learning_rate"):
        expected = [(int(row["epoch"]), float(row[tag])) for row in rows if row[tag] != "nan"]
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [x for _, x in found] == pytest.approx([x for _, x in expected], rel=1e-6)


def test_a_run_that_is_replaced_leaves_no_event_file(tmp_path, settings):
    folder = tmp_path / "run"
    run.train(settings.replaced({"training.epochs": 1}), folder, tensorboard=True)
    assert last_step(folder / "tensorboard" / tensorboard.FILE) == 1
    run.train(settings.replaced({"training.epochs": 2}), folder, overwrite=True)
    assert not (folder / "tensorboard").exists()
    run.train(settings.replaced({"training.epochs": 1}), folder, overwrite=True, tensorboard=True)
    run.train(settings.replaced({"training.epochs": 2}), folder, overwrite=True, tensorboard=True)
    assert steps(folder) == [1, 2]
