"""Weights shared over pitch: against NumPy loops, and what is shared: shifted frames give shifted answers."""

from itertools import product

import numpy as np
import oracles
import pytensor.tensor as pt
import pytest
from scipy.special import expit

from rnnrbm import build, log_likelihood
from rnnrbm.backend import engine, random
from rnnrbm.densities import EnergyDensity, NormalizedDensity
from rnnrbm.models.pitch_tied import TiedNADE, TiedRBM
from rnnrbm.networks import Memoryless, Network
from rnnrbm.pitch import init_pitch_conv, init_tied, n_seen

RNG = np.random.default_rng


def scrambled(tensors, seed=0):
    rng = RNG(seed)
    for t in tensors:
        t.set_value(rng.normal(size=t.type.shape).astype(np.float32))
    return {t.name: engine.to_numpy(t).astype(float) for t in tensors}


@pytest.mark.parametrize("reach", [None, 2, 1, 9])
def test_nade_is_the_formula_and_adds_up(reach):
    n, m = 4, 3
    nade = TiedNADE.init(n, m, seed=0, reach=reach)
    assert isinstance(nade, NormalizedDensity)
    p = scrambled(nade.tensors())
    states = oracles.all_states(n).astype(np.float32)
    b_h = p["b_h"].reshape(n, m)

    def log_p(v):
        total = 0.0
        for i in range(n):
            a = b_h[i] + sum((v[i - d] * p["W"][d - 1] for d in range(1, len(p["W"]) + 1) if i >= d), np.zeros(m))
            chance = expit(p["b_v"][i] + p["V"][:, 0] @ expit(a))
            total += np.log(chance if v[i] else 1 - chance)
        return total

    found = engine.to_numpy(engine.function([], nade.log_prob(pt.as_tensor(states)))())
    np.testing.assert_allclose(found, [log_p(v) for v in states], atol=5e-6)
    assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("reach", [1, 2, 7])
def test_rbm_is_the_one_with_its_weights_written_out(reach):
    n, m = 4, 2
    tied = TiedRBM.init(n, m, seed=0, reach=reach)
    assert isinstance(tied, EnergyDensity)
    p = scrambled(tied.tensors())
    W = np.zeros((n, n * m))
    for j, i, h in product(range(n), range(n), range(m)):
        if abs(j - i) <= reach:
            W[j, i * m + h] = p["W"][j - i + reach, h]
    np.testing.assert_allclose(engine.to_numpy(engine.function([], tied.rbm.W)()), W, atol=1e-6)
    v = oracles.all_states(n)
    expected = -v @ p["b_v"] - np.logaddexp(0, v @ W + p["b_h"]).sum(axis=1)
    found = engine.function([], tied.free_energy(pt.as_tensor(v.astype(np.float32))))()
    np.testing.assert_allclose(engine.to_numpy(found), expected, atol=1e-5)
    scored = log_likelihood(tied, [v.astype(np.uint8)], method="exact").frames[0]
    np.testing.assert_allclose(scored, -expected - np.logaddexp.reduce(-expected), atol=1e-5)


@pytest.mark.parametrize("octave", [12, 3, 0])
def test_what_a_note_sees(octave):
    n, reach = 7, 2
    network = init_tied(n, 3, n_layers=1, seed=0, reach=reach, octave=octave)
    assert isinstance(network, Network)
    v = (RNG(1).random((5, n)) < 0.5).astype(np.float32)
    x = pt.tensor("v", dtype="float32", shape=(None, n))
    seen = engine.to_numpy(engine.function([x], network.seen(x))(v))
    assert seen.shape == (5, n, n_seen(n, reach, octave))
    for row, i in product(range(5), range(n)):
        around = [v[row, i + d] if 0 <= i + d < n else 0 for d in range(-reach, reach + 1)]
        classes = [v[row, (np.arange(n) - i) % octave == c].sum() for c in range(octave)] if octave else []
        np.testing.assert_allclose(seen[row, i, : len(around) + octave], [*around, *classes], atol=1e-6)
        which = seen[row, i, len(around) + octave :]
        if octave:
            assert which[i % octave] == which[:octave].sum() == 1
        assert which[octave:].max() > 0.8  # a bump is near
    assert len(np.unique(seen[0, :, len(around) + octave :], axis=0)) == n  # every note knows which one it is


def test_what_the_layer_beside_says():
    n, reach, n_frames, m = 5, 1, 3, 2
    network = init_pitch_conv(Memoryless("float32"), n, m, seed=0, n_frames=n_frames, reach=reach, octave=3)
    p = scrambled(network.tensors())
    v = (RNG(1).random((6, 1, n)) < 0.5).astype(np.float32)
    x = pt.tensor("v", dtype="float32", shape=v.shape)
    found = engine.to_numpy(engine.function([x], network.output(network.run(x)))(v))[:, 0]
    single = init_tied(n, 2, n_layers=1, seed=0, reach=reach, octave=3)
    row = pt.tensor("v", dtype="float32", shape=(None, n))
    latest = engine.to_numpy(engine.function([row], single.seen(row))(v[:, 0]))  # the window, classes, which note
    for t, i in product(range(6), range(n)):
        older = [v[t - f, 0, i + d] if t >= f and 0 <= i + d < n else 0 for f in range(1, n_frames) for d in (-1, 0, 1)]
        seen = np.concatenate([latest[t, i, :3], older, latest[t, i, 3:]])
        assert found[t, i] == pytest.approx((np.tanh(seen @ p["W_local"] + p["b_local"]) @ p["w_local"])[0], abs=1e-5)


def test_the_layer_beside_is_added_to_the_bias_of_its_note_and_not_dropped():
    model = build("rnn-nade", 4, seed=0, n_hidden=2, n_recurrent=3, n_pitch_conv=2)
    W_uv = engine.to_numpy(model.bias_weights[0])
    assert W_uv.shape == (3 + 4, 4)
    np.testing.assert_allclose(W_uv[3:], np.eye(4), atol=1e-3)
    np.testing.assert_allclose(W_uv[:3], 0, atol=1e-3)
    # with weights that say nothing but the layer beside, dropout changes nothing
    model.bias_weights[0].set_value(np.concatenate([np.zeros((3, 4)), np.eye(4)]).astype(np.float32))
    model.bias_weights[1].set_value(np.zeros((7, 2), np.float32))
    v = pt.tensor("v", dtype="float32", shape=(5, 2, 4))
    costs = [model.loss(v, rng=random.shared(1), state_dropout=rate).cost for rate in (0.0, 0.5)]
    x = (RNG(1).random((5, 2, 4)) < 0.5).astype(np.float32)
    a, b = (float(engine.function([v], cost)(x)) for cost in costs)
    assert a == pytest.approx(b, abs=1e-6)
    with pytest.raises(ValueError, match="n_pitch_conv, n_frames and reach must be at least 1, got 2, 0 and 12"):
        init_pitch_conv(model.network.network, 4, 2, seed=0, n_frames=0)


@pytest.mark.parametrize("name", ["tied-rnn-nade", "tied-rnn-rbm"])
def test_a_chord_learned_in_c_is_known_in_d(name):
    """Far from the edges, and with nothing said of which note it is, a piece is as likely two semitones up."""
    n = 24
    model = build(name, n, seed=0, n_hidden=2, n_recurrent=3, reach=3)
    rng = RNG(2)
    for t in model.params:
        value = 0.5 * rng.normal(size=t.type.shape)
        if t.name == "W_vu":
            value[-(n_seen(n, 3, 12) - 7 - 12) :] = 0.0
        if t.name in ("b_v", "b_h"):  # the same for all notes
            value = np.tile(value[: value.size // n], n)
        t.set_value(value.astype(np.float32))
    piece = np.zeros((6, n), np.uint8)
    piece[:, 9:14] = rng.random((6, 5)) < 0.5
    u = pt.tensor("v", dtype="float32", shape=(6, 1, n))
    density, rows = model.frames(u)
    logits = engine.function([u], [density.b_v, density.b_h], on_unused_input="ignore")
    here, there = (logits(p[:, None].astype(np.float32)) for p in (piece, np.roll(piece, 2, axis=1)))
    for a, b in zip(here, there, strict=True):
        a, b = (engine.to_numpy(x).reshape(6, n, -1) for x in (a, b))
        np.testing.assert_allclose(a[:, :-2], b[:, 2:], atol=2e-5)
        assert np.abs(a[1:, 9:14] - a[1:, 10:15]).max() > 1e-3  # and it does depend on the note
    assert rows.type.shape == (6, n)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"reach": 0}, "reach must be at least 1"), ({"n_hidden": 0}, "n_hidden and reach must be at least 1, got 0")],
)
@pytest.mark.parametrize("name", ["tied-rnn-nade", "tied-rnn-rbm"])
def test_impossible_sizes(name, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, 5, seed=0, **options)


def test_at_a_temperature_log_odds_and_energies_are_divided():
    states = pt.as_tensor(oracles.all_states(4).astype(np.float32))
    nade, rbm = TiedNADE.init(4, 3, seed=0), TiedRBM.init(4, 2, seed=0, reach=2)
    for density, which in ((nade, ("V", "b_v")), (rbm, ("W", "b_v", "b_h"))):
        p = scrambled(density.tensors())
        value = density.log_prob if density is nade else density.free_energy
        colder = density.at_temperature(0.5)
        got = np.asarray(engine.function([], (colder.log_prob if density is nade else colder.free_energy)(states))())
        for t in density.tensors():
            t.set_value((p[t.name] * (2 if t.name in which else 1)).astype(np.float32))
        np.testing.assert_allclose(got, engine.function([], value(states))(), rtol=1e-5)
