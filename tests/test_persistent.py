"""Persistent chains in training: they go on from step to step, through a checkpoint too, and only where they may."""

import numpy as np
import oracles
import pytest
from scipy import stats

from rnnrbm.backend import engine
from rnnrbm.models.registry import build
from rnnrbm.sequence import SequenceModel
from rnnrbm.training.fit import State, fit

DATA = [np.ones((40, 4), np.uint8)] * 64
OPTIONS = {"batch_size": 64, "row_length": 40, "context": 0, "k": 1, "warmup": 0.0}


def make(name: str = "rbm") -> SequenceModel:
    rng = np.random.default_rng(0)
    model = build(name, 4, seed=rng, n_hidden=3)
    for p in model.params:
        p.set_value((2.0 * rng.normal(size=p.type.shape)).astype(np.float32))
    return model


@pytest.mark.parametrize("persistent", [True, False])
def test_chains_come_to_the_distribution_of_the_model_wherever_the_data_are(persistent):
    """At a learning rate of nothing the model stays what it is; one step from the data is not enough to get there."""
    model, state = make(), State()
    options = OPTIONS | {"epochs": 60, "learning_rate": 1e-30, "optimiser": "sgd", "persistent": persistent}
    losses = [row["loss"] for row in fit(model, DATA, settings=None, state=state, **options)]
    p = {t.name: engine.to_numpy(t).astype(np.float64) for t in model.params}
    exact, states = oracles.probabilities(p), oracles.all_states(4)
    energies = oracles.free_energy(p, states)
    expected = energies[-1] - exact @ energies  # of the data, all of them 1, less the mean of the model
    apart = abs(np.mean(losses[20:]) - expected)
    # 40 epochs of 2560 chains, whose steps depend on each other: the second eigenvalue of a step is 0.57
    error = np.sqrt(exact @ energies**2 - (exact @ energies) ** 2) * np.sqrt(1.57 / 0.43 / (40 * 2560))
    if not persistent:
        assert apart > 10 * error
        assert "particles" not in state.variables
        return
    assert apart < 4.5 * error
    particles = engine.to_numpy(state.variables["particles"])
    counts = np.bincount(oracles.state_index(particles), minlength=16)
    assert stats.chisquare(counts, exact * len(particles)).pvalue > 1e-4


def test_chains_are_kept_in_a_checkpoint(tmp_path):
    data = [np.eye(4, dtype=np.uint8)[np.arange(n) % 4] for n in (30, 41, 18)]
    options = OPTIONS | {"batch_size": 1, "row_length": 16, "epochs": 2, "learning_rate": 0.05, "persistent": True}
    whole, state = make(), State()
    rows = list(fit(whole, data, state=state, **options))
    assert engine.to_numpy(state.variables["particles"]).any()

    parts, state, done = make(), State(), []
    assert not list(
        fit(
            parts,
            data,
            state=state,
            progress=lambda stage, i, n, row: done.append(i) if stage == "batch" else None,
            stop=lambda: len(done) >= 3,
            **options,
        )
    )
    state.save(tmp_path / "state.npz")
    state, _ = State.load(tmp_path / "state.npz")
    parts = make()
    assert [row["loss"] for row in fit(parts, data, state=state, **options)] == [row["loss"] for row in rows]
    for a, b in zip(parts.params, whole.params, strict=True):
        np.testing.assert_array_equal(engine.to_numpy(a), engine.to_numpy(b))


@pytest.mark.parametrize("name", ["rnn-rbm", "nade"])
def test_only_an_rbm_of_frames_alone_has_them(name):
    with pytest.raises(ValueError, match="persistent chains need one RBM without a past"):
        next(fit(make(name), DATA, persistent=True))
