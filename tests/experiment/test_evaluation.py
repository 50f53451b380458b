"""Evaluating a run: its figures are those of the library, and interruption leaves no trace."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnrbm import checkpoint
from rnnrbm.datasets import Dataset, PianoRoll
from rnnrbm.experiment import run
from rnnrbm.experiment.config import Model
from rnnrbm.experiment.evaluation import evaluate, read_partial, score
from rnnrbm.experiment.run_folder import sweep, using
from rnnrbm.sampling import predict
from rnnrbm.scoring import baselines, metrics
from rnnrbm.scoring.likelihood import Evaluator, frequent_states, log_likelihood
from rnnrbm.sequence import SequenceModel
from rnnrbm.state_encoder import StateEncoder

WIDTH = 6
QUICK: dict[str, Any] = {"n_chains": 8, "n_temperatures": 5, "k": 3, "n_draws": 2}


def some_pieces(lengths: list[int], seed: int, width: int = WIDTH) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(rng.random((n, width)) < 0.3).astype(np.uint8) for n in lengths]


def toy(width: int = WIDTH) -> Dataset:
    lengths = {"train": [20, 7, 40], "valid": [9, 5], "test": [700, 3, 40]}
    rolls = {name: some_pieces(n, i, width) for i, (name, n) in enumerate(lengths.items())}
    names = {name: [f"{name} {i}" for i in range(len(n))] for name, n in lengths.items()}
    return Dataset("toy", *rolls.values(), PianoRoll(60, 2), names)


@cache
def model() -> SequenceModel:
    made = run.build_model(Model(n_hidden=7, n_recurrent=4), WIDTH, seed=0)
    rng = np.random.default_rng(3)
    for p in made.params:
        p.set_value((0.8 * rng.normal(size=p.type.shape)).astype(np.float32))
    return made


@pytest.fixture
def trained(tmp_path: Path) -> run.Run:
    return run.Run(tmp_path, run.Config(), model(), PianoRoll(60, 2), 5)


@pytest.mark.filterwarnings("ignore:RAISE, 8 chains x 5 temperatures:UserWarning")
def test_figures_are_those_of_the_library(trained: run.Run) -> None:
    data = toy()
    got = evaluate(trained, data, **QUICK, n_exact_states=12, seed=4)
    assert got["frames"] == 743
    assert got["pieces"] == 3
    for key, method in (("log_likelihood", "ais"), ("raise", "raise")):
        scored = log_likelihood(
            trained.model,
            data.test,
            method=method,
            n_chains=8,
            n_temperatures=5,
            exact_states=frequent_states(data.train, 12),
            seed=4,
        )
        assert scored.settings.endswith("12 frames enumerated")
        assert got[key]["micro"] == scored.mean
        assert got[key]["standard_error"] == scored.standard_error
        assert got[key]["macro"] == pytest.approx(np.mean([f.mean() for f in scored.frames]))
        assert got[key]["macro"] != got[key]["micro"]
        assert got[key]["settings"] == scored.settings
        assert got[key]["by_piece"] == [[f"test {i}", f.mean()] for i, f in enumerate(scored.frames)]
    sampled = list(predict(trained.model, data.test, n_samples=2, k=3, seed=4))
    each = [metrics.accuracy(s, data.test) for s in sampled]
    for key in ("frame", "bay", "precision", "recall"):
        assert got["prediction"][key] == pytest.approx(np.mean([a[key] for a in each]))
    assert got["prediction"]["how"] == "sampled given the true past, 2 times, 3 Gibbs steps from the frame before"
    assert [row["model"] for row in got["baselines"]] == [
        row["model"] for row in baselines.table(data.train, data.valid, data.test)
    ]
    assert json.loads((trained.folder / "evaluations" / "toy-test.json").read_text()) == got


def test_the_lower_side_of_some_frames_tells_that_of_all(trained: run.Run) -> None:
    """RAISE of 300 of 743 frames: as far below AIS as there, and that is RAISE of all within the stated error."""
    data = toy()
    settings = QUICK | {"n_chains": 40, "n_exact_states": 12, "seed": 4}
    whole = evaluate(trained, data, **settings)
    with pytest.raises(run.Interrupted, match="stopped after 51 of 300 frames"):
        evaluate(trained, data, **settings, n_bracket_frames=300, stop=Stop(1))
    done: list[int] = []
    got = evaluate(
        trained,
        data,
        **settings,
        n_bracket_frames=300,
        progress=lambda s, d, t, row: done.append(d) if s == "raise" else None,
    )
    assert done[0] == 51
    assert got["log_likelihood"] == whole["log_likelihood"]
    folder = trained.folder / "evaluations"
    (above,) = (checkpoint.load(path)[0]["values"][0] for path in folder.glob("*-ais-*.npz"))
    values = [checkpoint.load(path)[0]["values"][0] for path in folder.glob("*-raise-*.npz")]
    below, all_below = sorted(values, key=len)
    assert (len(above), len(below), len(all_below)) == (743, 300, 743)
    gap = above[np.sort(np.random.default_rng(4).choice(743, 300, replace=False))] - below
    assert got["raise"]["micro"] == pytest.approx(above.mean() - gap.mean(), abs=1e-12)
    error = np.hypot(got["log_likelihood"]["standard_error"], gap.std(ddof=1) / np.sqrt(300))
    assert got["raise"]["standard_error"] == pytest.approx(error)
    assert whole["raise"]["micro"] == pytest.approx(all_below.mean())
    assert 0 < abs(got["raise"]["micro"] - all_below.mean()) < 3 * error < 0.1
    assert got["raise"]["settings"] == f"{whole['raise']['settings']}, of 300 random frames"
    assert got["raise"]["macro"] is None
    assert got["raise"]["by_piece"] is None


def test_exact_needs_no_bracket(trained: run.Run) -> None:
    got = evaluate(trained, toy(), **QUICK, method="exact", split="valid")
    assert got["log_likelihood"]["standard_error"] == 0
    assert got["log_likelihood"]["settings"] == "exact"
    assert "raise" not in got


def test_sampled_frames_follow_the_conditional_distribution() -> None:
    """The mean of many samples of a frame is its marginal, and every frame sees its own true past."""
    pieces = some_pieces([3, 2], 9)
    drawn = predict(model(), pieces * 800, n_samples=5, k=25)  # many rows at once take less time than many calls
    total = sum(np.concatenate(s).reshape(800, 5, WIDTH).sum(axis=0) for s in drawn)
    u = np.concatenate(StateEncoder(model())(pieces))
    p = {t.name: np.asarray(t.get_value(), float) for t in model().params}
    states = np.array([[(i >> j) & 1 for j in range(WIDTH)] for i in range(2**WIDTH)], float)
    for t in range(5):
        b_v, b_h = p["b_v"] + u[t] @ p["W_uv"], p["b_h"] + u[t] @ p["W_uh"]
        weight = np.exp(states @ b_v + np.logaddexp(0, states @ p["W"] + b_h).sum(axis=1))
        marginal = weight @ states / weight.sum()
        np.testing.assert_allclose(total[t] / 4000, marginal, atol=0.035)


class Stop:
    """Answers True when it is asked the n-th time."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    return evaluate(run.Run(folder, run.Config(), model(), PianoRoll(60, 2), 5), toy(), **QUICK)


@pytest.mark.parametrize("n", [1, 7, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4, 6))])
def test_interrupted_goes_on_from_what_it_has(trained: run.Run, uninterrupted: dict[str, Any], n: int) -> None:
    """743 frames are 3 chunks, so that the stops fall into AIS, RAISE and the sampling of frames."""
    data = toy()
    folder = trained.folder / "evaluations"
    with pytest.raises(run.Interrupted, match="stopped"):
        evaluate(trained, data, **QUICK, stop=Stop(n))
    assert not (folder / "toy-test.json").exists()
    first: dict[str, int] = {}
    got = evaluate(trained, data, **QUICK, progress=lambda stage, done, total, row: first.setdefault(stage, done))
    assert first["ais"] == min(256 * n, 743)
    differs = {"run", "seconds"}
    assert {k: got[k] for k in got.keys() - differs} == {k: uninterrupted[k] for k in uninterrupted.keys() - differs}


@pytest.mark.parametrize("change", ["parameters", "pieces", "settings", "seed", "damage"])
def test_what_was_kept_of_something_else_is_not_used(tmp_path: Path, change: str) -> None:
    pieces, partial, seed = some_pieces([300], 1), tmp_path / "partial.npz", 0
    made = run.build_model(Model(n_hidden=3, n_recurrent=2), WIDTH, seed=0)
    evaluator = Evaluator(made, n_chains=4, n_temperatures=3)
    score(evaluator, pieces, partial=partial)
    if change == "parameters":
        made.density.b_v.set_value(made.density.b_v.get_value() + np.float32(1))
    elif change == "pieces":
        pieces[0][5, 2] ^= 1
    elif change == "settings":
        evaluator = Evaluator(made, n_chains=4, n_temperatures=3, schedule="geometric")
    elif change == "seed":
        seed = 1
    else:
        partial.write_bytes(partial.read_bytes()[:200])
    done: list[int] = []
    got = score(evaluator, pieces, seed=seed, partial=partial, progress=lambda stage, d, t, row: done.append(d))
    assert done[0] == 0
    assert got.mean == evaluator(pieces, seed=seed).mean
    assert checkpoint.load(partial)[0]["values"].shape == (3, 300)


def test_what_cannot_be_evaluated(trained: run.Run) -> None:
    with pytest.raises(ValueError, match="split 'tests' is none of train, valid, test"):
        evaluate(trained, toy(), split="tests")
    with pytest.raises(
        ValueError, match=r"toy: has 5 columns, but the RNN-RBM of .* has 6; give data of the same columns"
    ):
        evaluate(trained, toy(5))
    with pytest.raises(ValueError, match="n_bracket_frames must be at least 2, or None for all, got 1"):
        evaluate(trained, toy(), n_bracket_frames=1)
    empty = toy()
    empty.names["valid"].clear()
    empty.valid.clear()
    with pytest.raises(ValueError, match=r"toy has no piece in valid"):
        evaluate(trained, empty, split="valid")
    assert not (trained.folder / "evaluations").exists()


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        (np.zeros((3, 4)), "other"),
        (np.zeros((3, 7)), "mark"),
        (np.zeros((2, 4)), "mark"),
        (np.zeros(4), "mark"),
        (np.zeros((3, 4), np.int8), "mark"),
        (None, "mark"),
    ],
)
def test_results_of_another_score_are_refused(tmp_path, values, mark):
    path = tmp_path / "a.npz"
    checkpoint.save(path, {} if values is None else {"values": values}, {"mark": mark})
    with pytest.raises(checkpoint.CheckpointError, match=r"a\.npz: (is of another score|holds 7 frames)"):
        read_partial(path, "mark", 6)
    checkpoint.save(path, {"values": np.ones((3, 6))}, {"mark": "mark"})
    np.testing.assert_array_equal(read_partial(path, "mark", 6), np.ones((3, 6)))


def test_what_killed_evaluations_have_left_is_deleted_unless_another_is_at_work(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    place = tmp_path / "evaluations"
    place.mkdir()
    long = ("a data set of a very long name " * 3 + "-test-raise-0123abcd")[-50:]
    left = [place / ".toy-test.0123abcd.json", place / f".{long}.0123abcd.npz"]
    own = [place / ".toy.0123abcd.json", place / "toy-test.json"]

    def write() -> None:
        for path in left + own:
            path.write_text("")

    write()
    with using(tmp_path, "evaluations") as folder:
        assert folder == place
        assert not any(path.exists() for path in left)
        write()
        with using(tmp_path, "evaluations"):
            sweep(tmp_path)
            assert all(path.exists() for path in left)
    sweep(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in own)
