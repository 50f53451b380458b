"""The contract of every kind of frame, and runs on frames that are not notes."""

import json
import os
import tomllib

import numpy as np
import pytest
from matplotlib.figure import Figure

from rnnrbm import datasets
from rnnrbm.datasets import Dataset, Image, LabelledImage, Motion, PianoRoll, Spectrogram, Vectors, Video
from rnnrbm.experiment import run
from rnnrbm.experiment.config import Config
from rnnrbm.experiment.setup import resolved
from rnnrbm.kinds.registry import KINDS, from_record, to_record
from rnnrbm.models.registry import unit_of
from rnnrbm.sampling import expect_blocks

WIDTH = 6


def bits(seed, lengths=(30, 12, 20)):
    rng = np.random.default_rng(seed)
    return [(rng.random((n, WIDTH)) < 0.4).astype(np.uint8) for n in lengths]


def reals(seed, lengths=(30, 12, 20)):
    """A slow random walk around the column's number."""
    rng = np.random.default_rng(seed)
    return [np.arange(WIDTH) + np.cumsum(rng.normal(0, 0.3, (n, WIDTH)), axis=0) for n in lengths]


#: bands of 6, as if a training set had these means and deviations
CALLS = Spectrogram(8000, 32, 16, 200, 3000, "mel", 6, -90, [-60.5, -55, -50, -52, -58, -65], [5, 8, 10, 9, 6, 4])


def greys(seed):
    """Grey images, of which some pixels are black or white."""
    return [np.clip((piece - np.arange(WIDTH)) / 3 + 0.5, 0, 1) for piece in reals(seed)]


def labelled(seed):
    """Images of 2 x 2 pixels, and one of two classes."""
    first = [piece[:, :5] for piece in bits(seed)]
    return [np.concatenate([piece, 1 - piece[:, 4:]], axis=1) for piece in first]


#: a pelvis with a spine, of which six of nine columns vary
BODY = Motion(
    0.04, ("pelvis", "spine"), (-1, 0), (0, 0, 0, -50, 0, 200), (1.6, 1.5, 0, 40, -2, 880, 0, 0.3, 0.1),
    (0.05, 0.1, 0.03, 12, 0, 20, 0, 0.2, 0),
)  # fmt: skip


def standard(seed):
    return [(piece - np.arange(WIDTH)) / 2 for piece in reals(seed)]


#: kinds of each class, pieces that fit it, and the suffix of its files
EXAMPLES = {
    "piano-roll": (PianoRoll(60, 2), bits, ".mid"),
    "vectors": (Vectors(0.02), reals, ".npy"),
    "spectrogram": (CALLS, standard, ".npy"),
    "image": (Image(2, 3, "sampled"), bits, ".npy"),
    "grey image": (Image(3, 2), greys, ".npy"),
    "labelled image": (LabelledImage(2, 2, 2, "sampled"), labelled, ".npz"),
    "video": (Video(2, 3, 0.04), greys, ".npy"),
    "motion": (BODY, standard, ".npy"),
}


def test_every_class_has_an_example():
    assert {kind.name for kind, _, _ in EXAMPLES.values()} == set(KINDS)  # a new kind needs a line there


@pytest.fixture(params=list(EXAMPLES))
def example(request):
    kind, make, suffix = EXAMPLES[request.param]
    return kind, [[kind.check(piece) for piece in make(seed)] for seed in range(3)], suffix


def test_the_members_that_a_class_has(example):
    kind = example[0]
    assert KINDS[kind.name] is type(kind)
    unit = unit_of("visible", kind.unit_name(example[1][0]), WIDTH)
    assert unit.is_discrete == kind.is_discrete
    assert isinstance(kind.is_discrete, bool)
    assert isinstance(kind.is_sequence, bool)
    assert kind.score_note
    low, high = kind.transpose_range
    assert low <= 0 <= high
    assert str(WIDTH) in kind.describe(WIDTH)


def test_check_converts_once_and_refuses(example):
    kind, (train, _, _), _ = example
    for piece in train:
        assert kind.check(piece) is piece  # nothing is copied if nothing is wrong
        assert kind.check(piece.astype(float).tolist()).dtype == piece.dtype
    bad = train[0].astype(float)
    bad[3, 2] = np.nan
    for wrong in (bad, train[0][:0], train[0][0], train[0][:, :3], train[0].astype(str), [[0.0], [0.0, 1.0]]):
        with pytest.raises(ValueError, match=r"^here: "):
            kind.check(wrong, n_visible=WIDTH, where="here")


def test_records_give_the_kind_back(example):
    kind = example[0]
    for value in (kind, type(kind)()):
        record = to_record(value)
        assert from_record(json.loads(json.dumps(record))) == value
        assert next(iter(record)) == "kind"
    with pytest.raises(ValueError, match="colour"):
        from_record({**to_record(kind), "colour": 3})


def test_a_kind_matches_itself_and_no_other_class(example):
    kind = example[0]
    assert kind.mismatch(kind) == ("", "")
    for other, _, _ in EXAMPLES.values():
        assert bool(kind.mismatch(other).columns) == (other != kind)


def test_samples_become_valid_frames(example):
    kind = example[0]
    samples = np.random.default_rng(0).normal(size=(2, 9, WIDTH)).astype(np.float32)
    for piece in kind.from_samples(samples):
        np.testing.assert_array_equal(kind.check(piece), piece)


def test_baselines_are_scores_of_the_table(example):
    kind, (train, valid, test), _ = example
    rows = kind.baseline_table(train, valid, test)
    keys = {column.key for column in kind.score_columns}
    for row in rows:
        assert {"model", "settings", "ll", "ll_pieces"} | keys == set(row)
        assert row["ll"] is None or np.isfinite(row["ll"])
    lls = {row["model"]: row["ll"] for row in rows}
    for name, value in kind.baselines(train, valid, test).items():
        assert name not in lls or lls[name] == pytest.approx(value) or kind.name == "piano-roll"
    perfect = kind.prediction_scores(test, test)
    assert keys == set(perfect)
    assert kind.prediction_scores(train, train) == perfect


def test_statistics_and_pictures(example, tmp_path):
    kind, (train, _, test), _ = example
    numbers = kind.statistics(test)
    assert numbers
    assert all(np.isfinite(value) for value in numbers.values())
    levels = kind.levels(test)
    assert [level.shape for level in levels] == [(len(piece),) for piece in test]
    by_hand = {
        "piano-roll": lambda piece: piece.sum(axis=1),
        "vectors": lambda piece: np.sqrt((piece**2).mean(axis=1)),
        "motion": lambda piece: np.sqrt((piece**2).mean(axis=1)),
        "spectrogram": lambda piece: (piece * CALLS.deviation + CALLS.mean).mean(axis=1) + 90,
        "image": lambda piece: piece.sum(axis=1) / WIDTH,
        "labelled-image": lambda piece: piece[:, :4].sum(axis=1) / 4,
        "video": lambda piece: piece.sum(axis=1) / WIDTH,
    }[kind.name](test[0])
    np.testing.assert_allclose(levels[0], by_hand, rtol=1e-6)
    assert kind.level_name
    drawn = [
        kind.draw(test[0], primed=3, title="a piece"),
        kind.draw_filters(np.random.default_rng(0).normal(size=(WIDTH, 4))),
        kind.draw_statistics(test, train, data_name="training set"),
    ]
    for figure, _ in drawn:
        assert isinstance(figure, Figure)
        figure.savefig(tmp_path / "a.png")


def test_what_is_written_is_read_back(example, tmp_path):
    kind, (train, _, _), suffix = example
    train[0][-1, 0] = 1  # MIDI does not end in silence
    files = kind.write(tmp_path, "a.b", train[0], sound=False)
    others = {"motion": ["a.b.csv", "a.b.gif"], "video": ["a.b.gif"]}.get(kind.name, [])
    assert [path.name for path in files] == [f"a.b{suffix}", *others]
    # a table has original units, in six digits after those of the deviation
    tolerance = 2e-6 if kind.name == "motion" else 0
    np.testing.assert_allclose(kind.read(files[0], WIDTH)[0], train[0], rtol=0, atol=tolerance)
    (tmp_path / f"bad{suffix}").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=f"bad{suffix}"):
        kind.read(tmp_path / f"bad{suffix}", WIDTH)


def test_a_data_set_of_any_kind_is_saved_and_loaded(example, tmp_path):
    kind, splits, _ = example
    given = Dataset("set", *splits, kind)
    assert given.names_of("valid") == ["valid[0]", "valid[1]", "valid[2]"]
    datasets.save(tmp_path / "a.npz", given)
    back = datasets.load(tmp_path / "a.npz")
    assert (back.name, back.kind, back.names) == (given.name, kind, given.names)
    for split in datasets.SPLITS:
        for mine, theirs in zip(getattr(given, split), getattr(back, split), strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: PianoRoll(128), "low"),
        (lambda: PianoRoll(21.5), "low"),
        (lambda: PianoRoll(True), "low"),
        (lambda: PianoRoll(steps_per_beat=0), "steps_per_beat"),
        (lambda: PianoRoll(steps_per_beat="4"), "steps_per_beat"),
        (lambda: PianoRoll(steps_per_beat=2, seconds_per_frame=0.1), "give one"),
        (lambda: Vectors(float("nan")), "seconds_per_frame"),
        (lambda: PianoRoll().read("a.mid", 4), "not MIDI notes"),
        (lambda: Vectors().folder_options(4), "folder"),
        (lambda: Image().folder_options(784), "folder"),
        (lambda: LabelledImage().folder_options(794), "folder"),
        (lambda: Video().folder_options(225), "folder"),
        (lambda: Video(0, 4), "height=0"),
        (lambda: Video(4, 2.5), "width=2.5"),
        (lambda: Video(4, 4, 0), "seconds_per_frame=0: expected a positive number"),
        (lambda: LabelledImage(0, 4), "height=0"),
        (lambda: Image(0, 4), "height=0"),
        (lambda: Image(4, 2.5), "width=2.5"),
        (lambda: Image(4, True), "width=True"),
        (lambda: Image(binarised="drawn"), "binarised='drawn': expected one of 'sampled'"),
        (lambda: Image(binarised=["sampled"]), "binarised="),
        (lambda: from_record({"kind": "gesture"}), "gesture"),
    ],
)
def test_wrong_kinds_are_refused(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def test_a_data_set_needs_a_kind():
    with pytest.raises(TypeError, match="kind"):
        Dataset("x", bits(0), [], [], 21)
    with pytest.raises(TypeError, match="kind"):
        Dataset("x", bits(0), [], [], Vectors)  # the class, not a value
    with pytest.raises(ValueError, match=r"train\[0\]"):
        Dataset("x", [np.zeros(5)], [], [], Vectors())
    with pytest.raises(ValueError, match=r"valid\[1\]"):
        Dataset("x", reals(0), [reals(0)[0], np.full((3, WIDTH), np.nan)], [], Vectors())


def test_vector_statistics_by_hand():
    piece = np.array([[0.0, 1.0], [2.0, 1.0], [0.0, 1.0], [2.0, 1.0]])
    numbers = Vectors().statistics([piece])
    assert numbers == {"mean": 1.0, "standard_deviation": 0.5, "autocorrelation": -1.0}
    assert Vectors().prediction_scores([piece + 1], [piece]) == {"rmse": 1.0, "r2": -1.0}


#: baselines of real numbers
GAUSSIANS = {"column Gaussian", "previous + Gaussian", "VAR(1)", "VAR(2)", "VAR(3)", "VAR(3), heavy tails"}

QUICK = {
    "model.n_hidden": 5,
    "model.n_recurrent": 4,
    "training.epochs": 2,
    "training.row_length": 8,
    "training.context": 2,
    "training.k": 1,
    "training.valid_n_chains": 2,
    "training.valid_n_temperatures": 3,
    "evaluation.n_chains": 3,
    "evaluation.n_temperatures": 4,
    "generation.n_samples": 2,
    "generation.n_frames": 7,
    "generation.k": 2,
}


@pytest.mark.filterwarnings("ignore:.*effective sample size")  # of so short a score
def test_a_run_on_vectors(tmp_path):
    """Real numbers choose Gaussian units, are not transposed, and are written as arrays; the run is read back."""
    kind = Vectors(0.02)
    data = Dataset("walk", *(reals(seed) for seed in range(3)), kind)
    datasets.save(tmp_path / "walk.npz", data)
    results = run.train(Config().replaced({**QUICK, "data.source": str(tmp_path / "walk.npz")}), tmp_path / "run")
    assert np.isfinite(results["test_ll"])
    assert set(results["baselines"]) == GAUSSIANS
    assert set(results["statistics"]["samples"]) == {"mean", "standard_deviation", "autocorrelation"}
    tables = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert tables["model"]["visible"] == "gaussian:conditional"
    assert tables["model"]["autoregressive"] == 3
    few = resolved(Config().replaced({"data.source": str(tmp_path / "walk.npz")})).model
    assert (few.n_hidden, few.n_recurrent) == (16, 16)  # there are few frames
    assert tables["training"]["transpose_range"] == [0, 0]
    assert tables["generation"]["k"] == 2  # as chosen
    assert resolved(Config().replaced({"data.source": str(tmp_path / "walk.npz")})).generation.k == 10  # as in training
    assert resolved(Config().replaced({"data.source": str(tmp_path / "walk.npz"), "training.k": 7})).generation.k == 7
    assert tables["run"]["data"]["kind"] == "vectors"
    assert sorted(os.listdir(tmp_path / "run" / "samples")) == [
        f"sample-{i}.{suffix}" for i in (1, 2) for suffix in ("npy", "png")
    ]
    back = run.load(tmp_path / "run")
    assert back.kind == kind
    sample, _ = kind.read(tmp_path / "run" / "samples" / "sample-1.npy", WIDTH)
    assert sample.shape == (7, WIDTH)
    from rnnrbm.experiment.evaluation import evaluate

    got = evaluate(back, data, n_chains=3, n_temperatures=4, n_draws=2, k=2)
    how = "expected given the true past, mean of 2 chains, 2 Gibbs steps from noise"
    assert got["prediction"].pop("how") == how
    true, means = zip(*expect_blocks(back.model, data.test, n_samples=2, k=2, seed=0), strict=True)
    assert got["prediction"] == pytest.approx(kind.prediction_scores(means, true), rel=1e-5)
    assert {row["model"] for row in got["baselines"]} == GAUSSIANS
    with pytest.raises(ValueError, match="piano-roll, not vectors"):
        evaluate(back, Dataset("rolls", bits(0), bits(1), bits(2), PianoRoll(60)))


def test_a_run_of_gaussian_units_on_notes(tmp_path):
    """A density of notes trains, its samples are notes, and no probability is set beside it."""
    datasets.save(tmp_path / "a.npz", Dataset("toy", bits(0), bits(1), bits(2), PianoRoll(60, 2)))
    settings = Config().replaced({**QUICK, "data.source": str(tmp_path / "a.npz"), "model.visible": "gaussian"})
    results = run.train(settings, tmp_path / "run")
    assert np.isfinite(results["test_ll"])
    assert results["baselines"] == {}
    assert (tmp_path / "run" / "samples" / "sample-1.mid").exists()
    assert 0 <= results["statistics"]["samples"]["notes_per_frame"] <= WIDTH


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
def test_numbers_that_are_no_float32_are_refused_without_a_warning(tmp_path, dtype):
    frames = np.ones((2, 4), dtype)
    if dtype is np.float64:
        frames.view(np.uint64)[0, 1] = 0x7FF0000000000001  # a signalling NaN
    else:
        frames[0, 1] = np.inf - np.longdouble(0)
    np.save(tmp_path / "a.npy", frames)
    with pytest.raises(ValueError, match=r"a\.npy: 1 values are not finite"):
        Vectors().read(tmp_path / "a.npy", 4)


def test_an_archive_is_no_array(tmp_path):
    np.savez(tmp_path / "a.npz", np.ones((2, 4)))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(ValueError, match=r"a\.npy: is no \.npy file"):
        Vectors().read(tmp_path / "a.npy", 4)
