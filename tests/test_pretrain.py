"""What is trained first, that it is part of the model, and that the run does it once."""

import numpy as np
import pytest

from rnnrbm import engine, fit
from rnnrbm.config import Training
from rnnrbm.models import build
from rnnrbm.networks import Nothing
from rnnrbm.pretrain import stages

PIECES = [np.eye(6, dtype=np.uint8)[(np.arange(30) + i) % 6] for i in range(6)]
SETTINGS = Training.named(
    {"epochs": 2, "pretrain_density": 3, "pretrain_network": 12, "n_steps": 32, "batch_size": 3, "transpose": (0, 0)}
    | {"learning_rate": 0.03, "k": 1, "averaging": 0.9}
)


@pytest.mark.parametrize("name", ["rnn-rbm", "rnn-nade", "rtrbm"])
def test_stages_train_parts_of_the_model_and_nothing_else(name):
    model = build(name, 6, rng=np.random.default_rng(0), n_hidden=8, **({} if name == "rtrbm" else {"n_recurrent": 8}))
    seen = []
    for stage in stages(model, SETTINGS):
        before = {t.name: engine.to_numpy(t) for t in model.params}
        rows = list(fit(stage.model, PIECES, None, stage.settings))
        after = {t.name: engine.to_numpy(t) for t in model.params}
        changed = {n for n in before if (before[n] != after[n]).any()}
        part = stage.model.density if stage.name == "density" else stage.model.network
        assert changed == {t.name for t in part.tensors()}
        if stage.name == "network":
            assert rows[-1]["loss"] < rows[0]["loss"] - 0.3
        seen.append((stage.name, len(rows)))
    assert seen == [("density", 3), ("network", 12)]


def test_what_is_not_asked_for_or_not_there_is_not_trained_first():
    model = build("rnn-rbm", 6, rng=np.random.default_rng(0), n_hidden=8, n_recurrent=8)
    assert list(stages(model, Training())) == []
    only = list(stages(model, SETTINGS.model_copy(update={"pretrain_network": 0})))
    assert [stage.name for stage in only] == ["density"]
    assert isinstance(only[0].model.network, Nothing)
    assert list(stages(build("nade", 6, rng=np.random.default_rng(0), n_hidden=8), SETTINGS)) == []


def test_the_network_learns_sooner():
    """With its network trained before, the loss of the first epoch is lower."""
    first = []
    for epochs in (0, 30):
        model = build("rnn-nade", 6, rng=np.random.default_rng(0), n_hidden=8, n_recurrent=8)
        settings = SETTINGS.model_copy(update={"pretrain_density": 0, "pretrain_network": epochs, "epochs": 6})
        for stage in stages(model, settings):
            list(fit(stage.model, PIECES, None, stage.settings))
        first.append([row["loss"] for row in fit(model, PIECES, None, settings)][-1])
    assert first[1] < first[0]
