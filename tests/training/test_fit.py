"""Training: it learns, it does what its settings say, and it goes on after an interruption as if there was none."""

import math
import os
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers import COLUMNS, TIMES

from rnnrbm import checkpoint
from rnnrbm.backend import engine
from rnnrbm.checkpoint import CheckpointError
from rnnrbm.models.registry import build
from rnnrbm.models.vae import VAE
from rnnrbm.rbm import RBM, cd
from rnnrbm.rnnrbm import rnn_rbm
from rnnrbm.scoring.baselines import NoteUnigram
from rnnrbm.sequence import SequenceModel
from rnnrbm.training.fit import Diverged, State, fit
from rnnrbm.training.packing import PackedDataset
from rnnrbm.training.settings import Training

N_VISIBLE, N_HIDDEN, N_RECURRENT = 6, 5, 4

# Two chords by turns, and pieces that begin with either: what comes next is certain once something has sounded.
CHORDS = np.array([[1, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 1]], np.uint8)
TRAIN = [CHORDS[(np.arange(n) + n) % 2] for n in (9, 14, 5, 40, 11, 1, 7, 18)]
VALID = [CHORDS[np.arange(n) % 2] for n in (6, 9)]

#: one batch an epoch, nothing random but the chains
PLAIN = {
    "batch_size": 64,
    "row_length": 160,
    "context": 0,
    "k": 1,
    "warmup": 0.0,
    "schedule": "constant",
    "clip": 0.0,
    "state_dropout": 0.0,
    "input_dropout": 0.0,
    "carry": 0.0,
    "optimiser": "sgd",
    "density_scale": 1.0,
    "centring": False,
    "weight_decay": 0.0,
    "averaging": 0.0,
    "valid_n_chains": 2,
    "valid_n_temperatures": 5,
}


def make(
    seed: int = 0, sizes: tuple[int, int, int] = (N_VISIBLE, N_HIDDEN, N_RECURRENT), **options: Any
) -> SequenceModel:
    """Every parameter random, so that none is forgotten."""
    rng = np.random.default_rng(seed)
    model = rnn_rbm(*sizes, seed=rng, **options)
    for t in model.params:
        t.set_value((0.3 * rng.normal(size=t.type.shape)).astype(np.float32))
    return model


def values(model: SequenceModel) -> dict[str, np.ndarray]:
    return {p.name: engine.to_numpy(p) for p in model.params}


def live(state: State) -> dict[str, np.ndarray]:
    return {name: engine.to_numpy(v) for name, v in state.variables.items()}


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    """Bit for bit."""
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert np.asarray(a[name]).tobytes() == np.asarray(b[name]).tobytes(), name


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{key: repr(value) for key, value in row.items() if key not in TIMES} for row in rows]


# --- learning ---------------------------------------------------------------------------------------


def test_it_learns_what_can_be_learned():
    model = rnn_rbm(N_VISIBLE, 16, 12, seed=0)
    settings = Training(
        epochs=150,
        batch_size=4,
        row_length=32,
        context=4,
        k=2,
        learning_rate=0.02,
        state_dropout=0.0,
        input_dropout=0.0,
        carry=0.0,
        transpose_range=(0, 0),
        valid_every=30,
        valid_n_chains=10,
        valid_n_temperatures=100,
    )
    rows = list(fit(model, TRAIN, VALID, settings))
    scored = [row["valid_ll"] for row in rows if not math.isnan(row["valid_ll"])]
    assert len(rows) == 150
    assert len(scored) == 5
    # a uniform model scores -6 log 2 = -4.16; only the first chord of a piece cannot be known: 2 log 2 / 15 = 0.09
    assert scored[-1] > -0.5
    assert scored[0] > -4.16
    assert rows[-1]["pseudo_likelihood"] > rows[0]["pseudo_likelihood"] + 1.0
    assert all(0 < row["valid_se"] < 0.2 for row in rows if not math.isnan(row["valid_se"]))


def test_the_share_of_transposed_pieces_is_that_of_the_epoch(monkeypatch):
    """A piece that sounds one note: whichever others a batch has were made by transposing."""
    pieces = [np.eye(N_VISIBLE, dtype=np.uint8)[[3] * 4]] * 40
    seen = []
    batches = PackedDataset.epoch

    def epoch(self: PackedDataset, *args: Any, **options: Any) -> Any:
        for batch in batches(self, *args, **options):
            seen.append(set(self.dense(batch)[batch.mask > 0].argmax(axis=-1)))
            yield batch

    monkeypatch.setattr(PackedDataset, "epoch", epoch)
    settings = PLAIN | {"epochs": 4, "transpose_range": (-2, 2), "transpose_prob": [(0.0, 1.0), (0.5, 0.0)]}
    list(fit(make(), pieces, None, Training(**settings)))
    assert seen == [{1, 2, 3, 4, 5}] * 2 + [{3}] * 2


def test_stages_of_dropout_are_used():
    """A step without dropout draws no masks: the random stream tells which programs ran."""
    model, state = make(), State()
    draws = [0]

    def progress(stage: str, done: int, total: int, row: Any) -> None:
        if stage != "batch":
            return
        draws.append(int(engine.to_numpy(state.variables["rng_draw"])))

    stages = {"state_dropout": [(0.0, 0.5), (0.5, 0.0)], "input_dropout": [(0.0, 0.2), (0.75, 0.0)]}
    list(fit(model, TRAIN, None, Training(**PLAIN | {"epochs": 4, "k": 1} | stages), state=state, progress=progress))
    assert np.diff(draws).tolist() == [5, 5, 4, 3]


def test_rows_have_the_documented_keys_and_stages_of_k_are_used():
    """Each Gibbs step draws twice, and the pseudo-likelihood once: the random stream counts the steps."""
    model, state = make(), State()
    draws = [0]

    def progress(stage: str, done: int, total: int, row: Any) -> None:
        if stage != "batch":
            return
        assert total == 1
        draws.append(int(engine.to_numpy(state.variables["rng_draw"])))

    settings = Training(**PLAIN | {"epochs": 5, "k": [(0.0, 1), (0.4, 3), (0.8, 4)], "valid_every": 2})
    rows = list(fit(model, TRAIN, VALID, settings, state=state, progress=progress))
    assert [list(row) for row in rows] == [COLUMNS] * 5
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["k"] for row in rows] == [settings.k_at(e) for e in range(5)] == [1, 1, 3, 3, 4]
    assert np.diff(draws).tolist() == [1 + 2 * row["k"] for row in rows]
    # every second epoch, and the last
    assert [math.isnan(row["valid_ll"]) for row in rows] == [True, False, True, False, False]
    assert [math.isnan(row["valid_se"]) for row in rows] == [True, False, True, False, False]
    assert all(np.isfinite([row["loss"], row["pseudo_likelihood"]]).all() for row in rows)
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    assert state.rows == rows
    assert (state.epoch, state.batch, state.finished, state.partial) == (5, 0, True, [])


# --- learning rate ----------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_learning_rate_of_every_epoch(schedule):
    """One batch an epoch: the step is the epoch."""
    options = {"epochs": 8, "schedule": schedule, "learning_rate": 0.01, "final_rate": 0.1, "warmup": 0.5}
    rates = [row["learning_rate"] for row in fit(make(), TRAIN, **PLAIN | options)]
    t = np.arange(8)
    left = {"cosine": (1 + np.cos(np.pi * t / 8)) / 2, "linear": 1 - t / 8, "constant": np.ones(8)}[schedule]
    expected = 0.01 * (0.1 + 0.9 * left) * np.minimum(1, (t + 1) / 4)
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def one_step(**options: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Parameters before and after a single step of SGD."""
    model = make()
    before = values(model)
    list(fit(model, TRAIN, **PLAIN | {"epochs": 1, "learning_rate": 0.125} | options))
    return before, values(model)


def test_separate_learning_rates_and_weight_decay():
    before, after = one_step()
    step = {name: after[name] - before[name] for name in before}
    assert all(np.abs(s).max() > 1e-4 for s in step.values())

    _, scaled = one_step(density_scale=2.0, rnn_scale=0.5)
    for name in before:
        factor = 2.0 if name in {"W", "b_v", "b_h"} else 0.5
        np.testing.assert_allclose(scaled[name] - before[name], factor * step[name], atol=2e-7, err_msg=name)

    _, decayed = one_step(weight_decay=0.5)
    for name in before:
        shrink = 0.125 * 0.5 * before[name] if before[name].ndim > 1 else 0.0
        np.testing.assert_allclose(decayed[name], after[name] - shrink, atol=2e-7, err_msg=name)
    assert {name for name in before if before[name].ndim > 1} == {"W", "W_vu", "W_uu", "W_uv", "W_uh"}

    _, clipped = one_step(clip=0.01)
    norm = math.sqrt(sum(np.square(clipped[name] - before[name], dtype=float).sum() for name in before))
    assert norm == pytest.approx(0.125 * 0.01, rel=1e-3)
    whole = math.sqrt(sum(np.square(s, dtype=float).sum() for s in step.values()))
    assert norm < 0.5 * whole
    for name in before:
        np.testing.assert_allclose(clipped[name] - before[name], step[name] * norm / whole, atol=2e-7, err_msg=name)


def test_averaging_is_an_exponential_moving_average():
    model, state = make(), State()
    average: dict[str, np.ndarray] = values(model)
    steps = 0

    def progress(stage: str, done: int, total: int, row: Any) -> None:
        if stage != "batch":
            return
        nonlocal steps
        decay = min(0.8, (1 + steps) / (10 + steps))
        for name in average:
            now = engine.to_numpy(state.variables[name]).astype(float)
            average[name] = decay * average[name] + (1 - decay) * now
        steps += 1

    settings = Training(
        **PLAIN | {"epochs": 20, "batch_size": 1, "row_length": 32, "averaging": 0.8, "learning_rate": 0.1}
    )
    rows = fit(model, TRAIN, None, settings, state=state, progress=progress)
    for _ in rows:
        if state.epoch == 19:
            last = {p.name: engine.to_numpy(state.variables[p.name]) for p in model.params}
    assert steps > 36  # so that the decay comes to its limit
    for name in average:
        np.testing.assert_allclose(engine.to_numpy(state.variables[f"average.{name}"]), average[name], atol=1e-6)
        np.testing.assert_allclose(state.best[name], average[name], atol=1e-6)
        assert np.abs(last[name] - average[name]).max() > 1e-4
    assert_same(values(model), state.best)


# --- what is kept -----------------------------------------------------------------------------------


def test_early_stopping_keeps_the_best_parameters():
    """Trained on one half of the notes and validated on the other, it only gets worse."""
    model, state = make(), State()
    other = [1 - piece for piece in TRAIN]
    settings = Training(**PLAIN | {"epochs": 50, "patience": 3, "valid_every": 1, "learning_rate": 0.05})
    seen = []
    for row in fit(model, TRAIN, other, settings, state=state):
        seen.append(values(model))
        assert row["epoch"] == len(seen)
        assert (state.best_epoch, state.best_ll) == (1, state.rows[0]["valid_ll"])
    assert len(seen) == 4
    assert state.finished
    lls = [row["valid_ll"] for row in state.rows]
    assert lls[0] == max(lls)
    assert_same(values(model), seen[0])
    assert_same(state.best, seen[0])
    assert np.abs(seen[0]["W"] - seen[3]["W"]).max() > 1e-4


def test_patience_zero_never_stops():
    settings = Training(**PLAIN | {"epochs": 6, "patience": 0, "valid_every": 1, "learning_rate": 1e-30})
    state = State()
    rows = list(fit(make(), TRAIN, VALID, settings, state=state))
    assert len(rows) == 6
    assert len({row["valid_ll"] for row in rows}) == 1  # nothing moves, and validation is not random
    assert state.best_epoch == 1


def test_patience_shorter_than_the_time_to_a_validation():
    """Nothing is given up before it was looked at."""
    settings = Training(**PLAIN | {"epochs": 4, "patience": 1, "valid_every": 3})
    state = State()
    rows = list(fit(make(), TRAIN, VALID, settings, state=state))
    assert any(not math.isnan(row["valid_ll"]) for row in rows)
    assert state.best_epoch > 0
    assert state.best


def test_without_a_valid_set_the_last_parameters_are_kept():
    model, state = make(), State()
    settings = Training(**PLAIN | {"epochs": 3, "patience": 1})
    seen = [values(model) for _ in fit(model, TRAIN, None, settings, state=state)]
    assert len(seen) == 3
    assert_same(values(model), seen[-1])
    assert state.best_epoch == 3
    assert all(math.isnan(row["valid_ll"]) for row in state.rows)


def test_no_epochs():
    model, state = make(), State()
    before = values(model)
    assert list(fit(model, TRAIN, VALID, Training(epochs=0), state=state)) == []
    assert state.finished
    assert_same(values(model), before)


# --- errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "valid", "options", "message"),
    [
        ([np.zeros((4, 5))], None, {}, r"train piece 0 has shape \(4, 5\), expected \(T, 6\).*6 visible units"),
        ([*TRAIN, np.zeros(6)], None, {}, r"train piece 8 has shape \(6,\)"),
        (TRAIN, [np.zeros((4, 6)), np.zeros((4, 7))], {}, r"valid piece 1 has shape \(4, 7\), expected \(T, 6\)"),
        ([], None, {}, "there is no train piece"),
        (list(TRAIN[0]), None, {}, "train piece 0 has shape.*put a single piece into a list"),
        ([TRAIN[0] * np.nan], None, {}, r"train piece 0 holds nan in frame 0, column 0.*expected 0 and 1"),
        ([TRAIN[0] + 63], None, {}, "expected 0 and 1, as the visible units are binary"),
        (TRAIN, None, {"epochs": -1}, "epochs"),
        (TRAIN, None, {"epoch": 1}, r"^fit: unknown setting 'epoch'; did you mean 'epochs'\?$"),
        (TRAIN, None, {"lr": 3}, r"^fit: unknown setting 'lr'; did you mean 'learning_rate'\?$"),
        (TRAIN, None, {"context": 7, "row_length": 8}, "half of row_length"),
        (TRAIN, None, {"settings": Training(), "epochs": 1}, "either settings or single settings by name, not both"),
    ],
)
def test_data_and_settings_that_do_not_fit(train, valid, options, message):
    with pytest.raises(ValueError, match=message):
        next(fit(make(), train, valid, **options))


def test_pieces_are_not_transposed_unless_asked_for():
    """Columns of a spectrogram, or of joints, are no notes."""
    asked = []

    class Asked(PackedDataset):
        def __init__(self, *args, **options):
            asked.append(options["transpose_range"])
            super().__init__(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rnnrbm.training.fit.PackedDataset", Asked)
        for options in ({}, {"transpose_range": (-2, 1)}):
            list(fit(make(), TRAIN, epochs=0, **options))
    assert asked == [(0, 0), (-2, 1)]


def test_settings_of_another_type():
    with pytest.raises(
        TypeError,
        match=r"must be a rnnrbm\.training\.settings\.Training, got dict; give single ones by name, as in fit",
    ):
        next(fit(make(), TRAIN, settings={"epochs": 1}))
    with pytest.raises(TypeError, match=r"expected a list of arrays .*, got str"):
        next(fit(make(), "bach"))


def test_divergence_is_noticed_and_what_was_saved_stays_good(tmp_path):
    path = tmp_path / "state.npz"
    model, state = make(), State()
    settings = Training(**PLAIN | {"epochs": 3})
    rows = fit(model, TRAIN, None, settings, state=state)
    next(rows)
    state.save(path)
    model.density.W.set_value(np.full((N_VISIBLE, N_HIDDEN), np.nan, np.float32))
    with pytest.raises(Diverged, match=r"became NaN or infinite in epoch 2; try a learning rate three times lower"):
        next(rows)
    saved, _ = State.load(path)
    again = make(seed=1)
    assert len(list(fit(again, TRAIN, None, settings, state=saved))) == 2
    assert all(np.isfinite(x).all() for x in values(again).values())


def test_a_huge_learning_rate_diverges():
    state = State()
    settings = Training(**PLAIN | {"epochs": 20, "learning_rate": 1e30})
    with pytest.raises(Diverged, match="became NaN or infinite in epoch"):
        list(fit(make(), TRAIN, None, settings, state=state))
    assert not state.finished


# --- interruption -----------------------------------------------------------------------------------

#: everything that has a state is on
EVERYTHING = Training(
    epochs=4,
    batch_size=2,
    row_length=16,
    context=4,
    k=[(0.0, 1), (0.5, 2)],
    learning_rate=0.01,
    warmup=0.3,
    weight_decay=0.01,
    averaging=0.9,
    transpose_range=(-1, 1),
    valid_every=2,
    valid_n_chains=3,
    valid_n_temperatures=5,
    valid_n_frames=10,
    seed=3,
)
# two silent columns, so that there is room for the transposition
WIDE = [np.pad(piece, ((0, 0), (1, 1))) for piece in TRAIN]
WIDE_VALID = [np.pad(piece, ((0, 0), (1, 1))) for piece in VALID]
WIDE_SIZES = (N_VISIBLE + 2, N_HIDDEN, N_RECURRENT)


@pytest.fixture(scope="module")
def whole() -> tuple[State, dict[str, np.ndarray], dict[str, np.ndarray], int]:
    """A training run never interrupted: state, live variables and final parameters; batches in all."""
    model, state, batches = make(sizes=WIDE_SIZES), State(), 0

    def progress(stage: str, done: int, total: int, row: Any) -> None:
        if stage != "batch":
            return
        nonlocal batches
        batches += 1

    for _ in fit(model, WIDE, WIDE_VALID, EVERYTHING, state=state, progress=progress):
        last = live(state)
    return state, last, values(model), batches


def run_interrupted(stops: list[int], path: os.PathLike[str]) -> tuple[State, dict[str, np.ndarray], SequenceModel]:
    """Train, stopping after so many batches each time, saving, and going on with a new model."""
    state, meta = State(), {}
    last: dict[str, np.ndarray] = {}
    for n, limit in enumerate([*stops, 10**6]):
        model, done = make(seed=100 + n if n else 0, sizes=WIDE_SIZES), []
        rows = fit(
            model,
            WIDE,
            WIDE_VALID,
            EVERYTHING,
            state=state,
            progress=lambda stage, i, total, row, done=done: done.append(i) if stage == "batch" else None,
            stop=lambda done=done, limit=limit: len(done) >= limit,
        )
        for _ in rows:
            last = live(state)
        if limit < 10**6:
            assert len(done) == limit, "it stops at the very next batch"
            assert not state.finished
            state.save(path, {"n": n})
            state, meta = State.load(path)
            assert meta == {"n": n}
    return state, last, model


def batches_of_epoch(epoch: int) -> int:
    corpus = PackedDataset(WIDE, row_length=16, batch_size=2, context=4, transpose_range=(-1, 1))
    return corpus.n_batches((EVERYTHING.seed, epoch))


AT_THE_END = "at the end of the first epoch"
STOPS = {
    "after the first batch": lambda: [1],
    AT_THE_END: lambda: [batches_of_epoch(0)],
    "within the second epoch": lambda: [batches_of_epoch(0) + 2],
    "when k changes": lambda: [batches_of_epoch(0) + batches_of_epoch(1)],
    "four times": lambda: [2, 1, batches_of_epoch(0), batches_of_epoch(1) - 1],
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in {"four times", AT_THE_END} else ()) for name in STOPS]
)
def test_resumed_is_as_never_interrupted(tmp_path, whole, name):
    state, last, parameters, batches = whole
    stops = STOPS[name]()
    assert sum(stops) < batches
    got, got_last, model = run_interrupted(stops, tmp_path / "state.npz")
    assert_same(got_last, last)
    assert_same(got.best, state.best)
    assert_same(values(model), parameters)
    assert timeless(got.rows) == timeless(state.rows)
    assert (got.best_epoch, got.best_ll, got.epoch, got.finished) == (
        state.best_epoch,
        state.best_ll,
        state.epoch,
        True,
    )


def test_a_state_that_was_not_saved_goes_on_as_well(whole):
    """Stopped and called again, with the same model and state."""
    state, last, parameters, _ = whole
    model, again, done = make(sizes=WIDE_SIZES), State(), []
    stopped = fit(
        model,
        WIDE,
        WIDE_VALID,
        EVERYTHING,
        state=again,
        progress=lambda stage, i, total, row: done.append(i) if stage == "batch" else None,
        stop=lambda: len(done) >= batches_of_epoch(0) + 2,
    )
    assert len(list(stopped)) == 1
    for _ in fit(model, WIDE, WIDE_VALID, EVERYTHING, state=again):
        got_last = live(again)
    assert_same(got_last, last)
    assert_same(values(model), parameters)
    assert timeless(again.rows) == timeless(state.rows)


def test_the_uninterrupted_run_has_everything_in_it(whole):
    """Else the test above would show less than it seems to."""
    state, last, parameters, batches = whole
    assert batches > 8
    assert {"rng_key", "rng_draw", "adam_t", "adam_m.W", "adam_s.u_0", "average_t", "average.W_uh"} <= last.keys()
    assert all(np.abs(x).max() > 0 for x in last.values())
    assert [row["k"] for row in state.rows] == [1, 1, 2, 2]
    assert np.abs(parameters["W"] - last["W"]).max() > 0
    assert state.best_epoch in (2, 4)


def test_another_seed_is_another_run(whole):
    model = make(sizes=WIDE_SIZES)
    list(fit(model, WIDE, WIDE_VALID, EVERYTHING.model_copy(update={"seed": 4})))
    assert np.abs(values(model)["W"] - whole[2]["W"]).max() > 1e-4


def test_a_finished_run_is_not_trained_again(tmp_path, whole):
    state, _, parameters, _ = whole
    state.save(tmp_path / "state.npz")
    loaded, _ = State.load(tmp_path / "state.npz")
    model = make(seed=50, sizes=WIDE_SIZES)
    assert list(fit(model, WIDE, WIDE_VALID, EVERYTHING, state=loaded)) == []
    assert_same(values(model), parameters)  # training has ended: the model holds the best


def test_state_of_another_model_is_refused(tmp_path, whole):
    whole[0].save(tmp_path / "state.npz")
    loaded, _ = State.load(tmp_path / "state.npz")
    loaded.finished, loaded.epoch = False, 1
    model = make(sizes=(N_VISIBLE + 2, N_HIDDEN + 1, N_RECURRENT))
    before = values(model)
    with pytest.raises(CheckpointError, match=r"state\.npz: belongs to another model: W has shape \(8, 5\)"):
        list(fit(model, WIDE, WIDE_VALID, EVERYTHING, state=loaded))
    assert_same(values(model), before)


def test_a_checkpoint_without_a_training_state_is_refused(tmp_path):
    for meta in ({}, {"state": {"epoch": 3}}):
        checkpoint.save(tmp_path / "a.npz", {}, meta)
        with pytest.raises(CheckpointError, match=r"a\.npz: holds no training state of this version"):
            State.load(tmp_path / "a.npz")


def test_a_call_that_is_not_iterated_over_warns():
    with pytest.warns(RuntimeWarning, match="nothing was trained"):
        fit(make(), TRAIN, None, epochs=1)


def test_arguments_are_checked_at_once():
    with pytest.raises(ValueError, match="piece"):
        fit(make(), [np.full((3, N_VISIBLE), 2)], None, epochs=1)


def test_a_run_left_in_the_middle_ends_quietly_with_python():
    """Fault: the suspended generator printed a traceback when Python ended."""
    code = """
import numpy as np
from rnnrbm import fit, rnn_rbm
data = [np.zeros((8, 3), np.uint8)]
model = rnn_rbm(3, 2, 2, seed=0)
rows = fit(model, data, None, epochs=5, k=1)
next(rows)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# --- the initial bias -------------------------------------------------------------------------------


def test_an_untrained_model_begins_with_the_frequencies_of_the_notes():
    for model in (rnn_rbm(6, n_hidden=3, n_recurrent=2, seed=0), RBM.init(6, 3, seed=0)):
        list(fit(model, TRAIN, epochs=0))
        b_v = model.density.b_v if isinstance(model, SequenceModel) else model.b_v
        np.testing.assert_allclose(engine.to_numpy(b_v), NoteUnigram.fit(TRAIN).log_odds, rtol=1e-5)


def test_biases_that_were_given_or_trained_stay():
    given = rnn_rbm(6, n_hidden=3, n_recurrent=2, seed=0, b_v=-0.5)
    list(fit(given, TRAIN, epochs=0))
    np.testing.assert_array_equal(engine.to_numpy(given.density.b_v), np.full(6, -0.5, np.float32))
    zero = rnn_rbm(6, n_hidden=3, n_recurrent=2, seed=0)
    list(fit(zero, TRAIN, epochs=0, initial_bias=False))
    assert not engine.to_numpy(zero.density.b_v).any()


def test_a_static_model_may_begin_with_biases_of_the_data():
    for given, expected in ((0.0, NoteUnigram.fit(TRAIN).log_odds), (-0.5, np.full(6, -0.5))):
        model = VAE.init(6, 3, 2, seed=0, b_v=given)
        list(fit(model, TRAIN, epochs=0))
        np.testing.assert_allclose(engine.to_numpy(model.decoder[-1].b), expected, rtol=1e-5)
    model = VAE.init(6, 3, 2, seed=0)
    list(fit(model, TRAIN, epochs=0, initial_bias=False))
    assert not engine.to_numpy(model.decoder[-1].b).any()


def test_a_finished_state_trains_on():
    model, state = rnn_rbm(6, n_hidden=3, n_recurrent=2, seed=0), State()
    assert len(list(fit(model, TRAIN, epochs=2, state=state))) == 2
    with pytest.warns(RuntimeWarning, match="finished after 2 epochs.*to epoch 4, set state.finished = False first"):
        assert list(fit(model, TRAIN, epochs=4, state=state)) == []
    state.finished = False
    assert [row["epoch"] for row in fit(model, TRAIN, epochs=4, state=state)] == [3, 4]


class Chain(NamedTuple):
    """Contrastive divergence, as a user would write it."""

    k: int

    def difference(self, density, v, rng, counts=None):
        negative, updates = cd(density, v, rng, self.k)
        return density.free_energy(v) - density.free_energy(negative), updates


def test_a_negative_phase_of_ones_own_trains():
    ours, theirs, other = make(), make(), make()
    settings = Training(**PLAIN | {"k": [(0.0, 1), (0.5, 3)], "epochs": 4})
    asked: list[int] = []

    def phase(k: int) -> Chain:
        asked.append(k)
        return Chain(k)

    list(fit(ours, TRAIN, None, settings))
    list(fit(theirs, TRAIN, None, settings, negative_phase=phase))
    assert sorted(set(asked)) == [1, 3]
    for name, value in values(ours).items():
        np.testing.assert_array_equal(values(theirs)[name], value)
    list(fit(other, TRAIN, None, settings, negative_phase=lambda k: Chain(k + 1)))
    assert any((values(other)[name] != value).any() for name, value in values(ours).items())


def test_a_negative_phase_needs_an_energy():
    model = build("rnn-nade", N_VISIBLE, seed=0, n_hidden=3, n_recurrent=3)
    with pytest.raises(ValueError, match="negative_phase is for a model with an energy"):
        fit(model, TRAIN, None, Training(**PLAIN), negative_phase=Chain)
