"""What is trained first, that it is part of the model, and that the run does it once."""

import numpy as np
import pytest

from rnnrbm import fit
from rnnrbm.backend import engine
from rnnrbm.models.registry import build
from rnnrbm.networks import Memoryless
from rnnrbm.training.packing import PackedDataset
from rnnrbm.training.pretraining import stages
from rnnrbm.training.settings import Training

PIECES = [np.eye(6, dtype=np.uint8)[(np.arange(30) + i) % 6] for i in range(6)]
SETTINGS = Training.named(
    {
        "epochs": 2,
        "pretrain_density": 3,
        "pretrain_network": 12,
        "row_length": 32,
        "batch_size": 3,
        "transpose_range": (0, 0),
    }
    | {"learning_rate": 0.03, "k": 1, "averaging": 0.9}
)


@pytest.mark.parametrize("name", ["rnn-rbm", "rnn-nade", "rtrbm"])
def test_stages_train_parts_of_the_model_and_nothing_else(name):
    model = build(name, 6, seed=0, n_hidden=8, **({} if name == "rtrbm" else {"n_recurrent": 8}))
    seen = []
    for stage in stages(model, SETTINGS):
        before = {t.name: engine.to_numpy(t) for t in model.params}
        rows = list(fit(stage.model, PIECES, None, stage.settings, initial_bias=False))
        after = {t.name: engine.to_numpy(t) for t in model.params}
        changed = {n for n in before if (before[n] != after[n]).any()}
        if stage.model is not model:
            part = stage.model.density if stage.name == "density" else stage.model.network
            assert changed == {t.name for t in part.tensors()}
        if stage.name == "network":
            assert rows[-1]["loss"] < rows[0]["loss"] - 0.3
        seen.append((stage.name, len(rows)))
    assert seen == [("density", 3), ("network", 12), ("model", 2)]


def test_what_is_not_asked_for_or_not_there_is_not_trained_first():
    model = build("rnn-rbm", 6, seed=0, n_hidden=8, n_recurrent=8)
    assert list(stages(model, Training())) == [("model", model, Training())]
    only = list(stages(model, SETTINGS.model_copy(update={"pretrain_network": 0})))
    assert [stage.name for stage in only] == ["density", "model"]
    assert isinstance(only[0].model.network, Memoryless)
    alone = build("nade", 6, seed=0, n_hidden=8)
    assert [stage.model for stage in stages(alone, SETTINGS)] == [alone]


def test_the_density_is_trained_on_shuffled_frames():
    """As many of them in a batch, each on its own, from all pieces."""
    model = build("rnn-rbm", 6, seed=0, n_hidden=8, n_recurrent=8)
    own = next(stages(model, SETTINGS)).settings
    assert (own.row_length, own.batch_size, own.context) == (1, 32 * 3, 0)
    corpus = PackedDataset(PIECES, row_length=own.row_length, batch_size=own.batch_size, context=own.context)
    batch = next(corpus.epoch((0, 0)))
    assert len(np.unique(batch.offset // 6 // 30)) == len(PIECES)
    assert batch.mask.all()
    assert batch.start.all()


def test_fit_does_not_leave_out_silently_what_is_to_be_trained_first():
    model = build("rnn-rbm", 6, seed=0, n_hidden=8, n_recurrent=8)
    with pytest.raises(ValueError, match=r"pretrain_density \(3\) and pretrain_network \(0\).*pretraining\.stages"):
        next(fit(model, PIECES, pretrain_density=3))


def test_the_network_learns_sooner():
    """With its network trained before, the loss of the first epoch is lower."""
    first = []
    for epochs in (0, 30):
        model = build("rnn-nade", 6, seed=0, n_hidden=8, n_recurrent=8)
        settings = SETTINGS.model_copy(update={"pretrain_density": 0, "pretrain_network": epochs})
        for stage in stages(model, settings):
            rows = list(fit(stage.model, PIECES, None, stage.settings, initial_bias=False))
        first.append(rows[0]["loss"])
    assert first[1] < first[0]
