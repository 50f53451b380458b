"""Baselines: published figures, sums over all frames, naive versions of each model, the command."""

import json
import math
import re
from collections import Counter
from itertools import product

import numpy as np
import pytest
from helpers import SETS, needs_data, refused, rnnrbm, roll, roll_lists
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from rnnrbm import datasets
from rnnrbm.scoring import baselines, metrics, ngrams
from rnnrbm.scoring.baselines import ChordGaussian, ChordNgram, NoteCopy, NoteFlip, NoteNgram, NoteUnigram

# --- published figures ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SETS)
def published(request):
    return datasets.load(request.param)


def of_set(data, figures):
    """The one of four figures, in the order of SETS, that belongs to a data set."""
    return dict(zip(SETS, figures, strict=True))[data.name]


@needs_data
def test_published_note_unigram(published):
    """Add-one counts of each note, ICML 2012 table 1; the third decimal is this protocol's."""
    expected = of_set(published, ["-11.046", "-10.252", "-11.510", "-11.061"])
    assert f"{NoteUnigram.fit(published.train).log_likelihood(published.test):.3f}" == expected


@needs_data
def test_published_unigram_of_all_notes_alike(published):
    """One probability for all notes, "Note 1-gram (IID)" of the table."""
    expected = of_set(published, ["-12.90", "-16.24", "-14.06", "-15.93"])
    assert f"{NoteUnigram.fit(published.train, alike=True).log_likelihood(published.test):.2f}" == expected


@needs_data
def test_published_chance(published):
    model = NoteUnigram.random(published.n_visible)
    assert f"{model.log_likelihood(published.test):.2f}" == "-61.00"
    assert f"{100 * model.accuracy(published.test)['frame']:.2f}" == of_set(published, ["3.35", "4.53", "3.74", "4.42"])


@needs_data
def test_published_previous_frame_blurred(published):
    expected = of_set(published, ["-12.48", "-8.41", "-12.90", "-19.00"])
    assert f"{NoteFlip.fit(published.train).log_likelihood(published.test):.2f}" == expected


@needs_data
def test_copying_is_a_likelihood_above_the_unigram(published):
    copy = NoteCopy.fit(published.train).log_likelihood(published.test)
    assert copy > NoteUnigram.fit(published.train).log_likelihood(published.test)


# LL and ACC of the paper; the paper does not define these models, so ours only come near
PAPER = {
    "1-gram (add-p)": [(-27.64, 4.85), (-5.94, 22.76), (-19.03, 6.67), (-12.22, 16.80)],
    "1-gram (Gaussian)": [(-10.79, 6.04), (-5.30, 21.31), (-10.15, 7.87), (-7.56, 17.41)],
    "note 1-gram": [(-11.05, 5.80), (-10.25, 19.87), (-11.51, 7.72), (-11.06, 15.25)],
    "note 1-gram (IID)": [(-12.90, 2.51), (-16.24, 3.56), (-14.06, 2.82), (-15.93, 3.51)],
    "previous + Gaussian": [(-12.48, 25.50), (-8.41, 55.69), (-12.90, 25.93), (-19.00, 18.36)],
    "N-gram (add-p)": [(-46.04, 7.42), (-6.50, 63.45), (-35.22, 10.47), (-29.98, 24.20)],
    "N-gram (Gaussian)": [(-12.22, 10.01), (-3.16, 65.97), (-10.59, 16.15), (-9.74, 28.79)],
    "note N-gram": [(-7.50, 26.80), (-4.54, 62.49), (-7.91, 26.35), (-10.26, 20.34)],
}


def documented(model):
    """Ours and the paper's for each of SETS, as the documentation of the module prints them."""
    line = next(line for line in baselines.__doc__.splitlines() if line.startswith(f"{model}  "))
    return re.findall(r"(-[\d.]+) / (-[\d.]+)", line)


@needs_data
@pytest.mark.parametrize("name", [pytest.param(s, marks=pytest.mark.slow) if s == "musedata" else s for s in SETS])
def test_published_table(name):
    data = datasets.load(name)
    rows = {row["model"]: row for row in baselines.table(data.train, data.valid, data.test)}
    for model, figures in PAPER.items():
        ll, acc = of_set(data, figures)
        assert of_set(data, documented(model)) == (f"{rows[model]['ll']:.2f}", f"{ll:.2f}"), model
        assert rows[model]["ll"] == pytest.approx(ll, abs=0.045), model
        assert 100 * rows[model]["frame"] == pytest.approx(acc, abs=2.4), model
    order = rows["note N-gram"]["settings"]["N"]
    assert order == of_set(data, [10, 14, 10, 7])
    assert 100 * rows["previous frame"]["frame"] == pytest.approx(of_set(data, [43.5, 76.7, 46.2, 34.9]), abs=0.05)


# --- all models, against sums over all frames ---------------------------------------------------------

MODELS = {
    "random": lambda train, valid: NoteUnigram.random(train[0].shape[1]),
    "alike": lambda train, valid: NoteUnigram.fit(train, alike=True),
    "unigram": lambda train, valid: NoteUnigram.fit(train),
    "copy": lambda train, valid: NoteCopy.fit(train),
    "flip": lambda train, valid: NoteFlip.fit(train),
    "note-ngram": lambda train, valid: NoteNgram.fit(train, valid, max_order=4),
    "add-p-1": lambda train, valid: ChordNgram.fit(train, valid),
    "add-p-3": lambda train, valid: ChordNgram.fit(train, valid, orders=(3,)),
    "gaussian-1": lambda train, valid: ChordGaussian.fit(train, valid),
    "gaussian-3": lambda train, valid: ChordGaussian.fit(train, valid, orders=(3,)),
}

FITS = pytest.mark.parametrize("fit", MODELS.values(), ids=MODELS)


def every_frame(width):
    return ((np.arange(2**width)[:, None] >> np.arange(width)) & 1).astype(np.uint8)


def toy(seed, width=3, count=3):
    """Pieces with much repetition, so that histories recur."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        changes = rng.random((int(rng.integers(1, 12)), width)) < 0.3
        out.append((np.cumsum(changes, axis=0) % 2).astype(np.uint8))
    return out


@FITS
@pytest.mark.parametrize("with_valid", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_probabilities_and_expectations(fit, with_valid, seed):
    """After any history the frames add up to 1; expected scores are the sums over all frames."""
    model = fit(toy(seed), toy(seed + 100) if with_valid else [])
    test = [*toy(seed + 200), roll("000"), roll("111", "000", "000")]
    got = model.expected(test)
    frames = every_frame(3)
    row = 0
    for piece in test:
        for t in range(len(piece)):
            ways = [np.concatenate([piece[:t], v[None]]) for v in frames]
            p = np.exp([model.frame_log_likelihoods([way])[-1] for way in ways])
            assert p.sum() == pytest.approx(1.0, rel=1e-9)
            same = np.broadcast_to(piece[t], frames.shape)
            assert got.accuracy[row] == pytest.approx(p @ metrics.frame_accuracy(frames, same), abs=1e-9)
            assert got.hits[row] == pytest.approx(p @ (frames & same).sum(axis=1), abs=1e-9)
            assert got.notes[row] == pytest.approx(p @ frames.sum(axis=1), abs=1e-9)
            row += 1
    assert row == len(got.accuracy)


@FITS
def test_accuracy_is_that_of_many_draws(fit):
    model, test = fit(toy(1), toy(2)), toy(3)
    rng = np.random.default_rng(0)
    frames = every_frame(3)
    truth, drawn = [], []
    for piece in test:
        for t in range(len(piece)):
            p = np.exp([model.frame_log_likelihoods([np.concatenate([piece[:t], v[None]])])[-1] for v in frames])
            drawn.append(frames[rng.choice(8, size=2000, p=p / p.sum())])
            truth.append(np.broadcast_to(piece[t], (2000, 3)))
    expected = metrics.accuracy(drawn, truth)
    assert model.accuracy(test) == pytest.approx(expected, abs=0.015)


@FITS
def test_edges(fit):
    """One frame, silence, all notes, frames and histories never seen, pieces shorter than N: all have a likelihood."""
    for train in ([roll("010")], [roll("000", "000")], [roll("111", "111"), roll("111")]):
        for valid in ([], [roll("000")], [roll("101", "111", "111", "000")]):
            model = fit(train, valid)
            for test in ([roll("000")], [roll("111")], [roll("101", "010", "111", "000", "000"), roll("001")]):
                each = model.frame_log_likelihoods(test)
                assert each.shape == (sum(map(len, test)),)
                assert np.isfinite(each).all()
                assert (each <= 0).all()
                assert model.log_likelihood(test) == pytest.approx(each.mean())
                assert 0.0 <= model.accuracy(test)["frame"] <= 1.0 + 1e-12


@FITS
def test_many_notes(fit):
    """Of 2**300 frames, some with all notes on."""
    rng = np.random.default_rng(0)
    some = [np.concatenate([(rng.random((5, 300)) < 0.1).astype(np.uint8), np.ones((2, 300), np.uint8)])] * 2
    model = fit(some, some)
    assert -301 * math.log(2) * 2 < model.log_likelihood(some) <= 0
    assert 0.0 <= model.accuracy(some)["frame"] <= 1.0 + 1e-12


@FITS
def test_what_is_refused(fit):
    train = [roll("010", "110")]
    model = fit(train, train)
    for bad in ([], [np.zeros((0, 3))], [np.zeros(3)], [np.zeros((2, 3)), np.zeros((2, 3, 1))]):
        for call in (model.log_likelihood, model.accuracy, model.expected, model.frame_log_likelihoods):
            with pytest.raises(ValueError, match=r"there is no piece; give|piece \d has shape .*, expected \(T, "):
                call(bad)
    for bad, said in (
        ([roll("01")], r"piece 0: 2 columns .* expected 3"),
        ([roll("010"), np.full((1, 3), 0.5)], r"piece 1: 3 values are neither 0 nor 1"),
    ):
        with pytest.raises(ValueError, match=said):
            model.log_likelihood(bad)


@pytest.mark.parametrize("kind", [NoteUnigram, NoteCopy, NoteFlip, NoteNgram, ChordNgram, ChordGaussian])
def test_what_fit_refuses(kind):
    with pytest.raises(ValueError, match=r"there is no piece; give at least one"):
        kind.fit([])
    with pytest.raises(ValueError, match=r"piece 1 has shape \(1, 1\), expected \(T, 2\)"):
        kind.fit([roll("01"), roll("1")])
    with pytest.raises(ValueError, match=r"the first is 2 in frame 0, column 1"):
        kind.fit([np.array([[0, 2]])])
    if kind in (NoteNgram, ChordNgram, ChordGaussian):
        with pytest.raises(ValueError, match=r"piece 0: 1 columns .* expected 2"):
            kind.fit([roll("01")], [roll("1")])


@pytest.mark.parametrize("kind", [ChordNgram, ChordGaussian])
@pytest.mark.parametrize("orders", [(), (0,), (2, -1)])
def test_orders_that_are_none(kind, orders):
    with pytest.raises(ValueError, match=r"orders is .*expected at least one N to choose from, each 1 or more"):
        kind.fit([roll("01")], orders=orders)
    with pytest.raises(ValueError, match="max_order is 0; expected 1 or more"):
        NoteNgram.fit([roll("01")], max_order=0)


# --- independent notes, by hand -----------------------------------------------------------------------

TRAIN = [roll("110", "100", "100"), roll("011")]
TEST = [roll("100", "001"), roll("010")]


def test_unigram_by_hand():
    model = NoteUnigram.fit(TRAIN)
    p = np.array([4 / 6, 3 / 6, 2 / 6])  # three, two, one of four frames; one added to both counts
    np.testing.assert_allclose(model.probability, p)
    np.testing.assert_allclose(model.log_odds, np.log([2.0, 1.0, 0.5]), atol=1e-15)
    frames = [p[0] * (1 - p[1]) * (1 - p[2]), (1 - p[0]) * (1 - p[1]) * p[2], (1 - p[0]) * p[1] * (1 - p[2])]
    assert model.log_likelihood(TEST) == pytest.approx(np.log(frames).mean(), rel=1e-12)
    np.testing.assert_allclose(NoteUnigram.fit(TRAIN, alike=True).probability, [7 / 14] * 3)


def test_copy_by_hand():
    model = NoteCopy.fit(TRAIN)
    # notes that sounded in the frame before: 110, 100 -> three, of which the first went on twice
    assert model.after_on == pytest.approx(3 / 5)
    # note 0 was silent before frames 0 and 3 and began once; note 1 in 0, 2, 3: twice; note 2 in all: once
    np.testing.assert_allclose(model.after_off, [2 / 4, 3 / 5, 2 / 6])
    off = model.after_off
    frames = [
        off[0] * (1 - off[1]) * (1 - off[2]),
        (1 - 3 / 5) * (1 - off[1]) * off[2],
        (1 - off[0]) * off[1] * (1 - off[2]),
    ]
    assert model.log_likelihood(TEST) == pytest.approx(np.log(frames).mean(), rel=1e-12)


def test_flip_by_hand():
    model = NoteFlip.fit(TRAIN)
    assert model.flip == pytest.approx((2 + 1 + 0 + 2 + 1) / (12 + 2))  # changes in each frame, one added to both
    q = model.flip
    changes = np.array([1, 2, 1])
    assert model.log_likelihood(TEST) == pytest.approx((changes * np.log(q) + (3 - changes) * np.log(1 - q)).mean())


def test_the_mean_is_over_frames_not_over_pieces():
    model = NoteUnigram(np.array([0.9]))
    assert model.log_likelihood([roll("1", "1", "1"), roll("0")]) == pytest.approx(
        (3 * np.log(0.9) + np.log(0.1)) / 4, rel=1e-12
    )


def test_a_piece_begins_after_silence_not_after_the_piece_before():
    apart = NoteCopy.fit([roll("1"), roll("1")])
    together = NoteCopy.fit([roll("1", "1")])
    assert (apart.after_on, together.after_on) == (1 / 2, 2 / 3)
    np.testing.assert_allclose(apart.after_off, [3 / 4])
    np.testing.assert_allclose(together.after_off, [2 / 3])


@given(roll_lists)
def test_unigram_beats_any_other_on_its_own_counts(some):
    """Of all unigrams the one of the relative frequencies is likeliest; add-one comes close to it."""
    model = NoteUnigram.fit(some)
    n = sum(map(len, some))
    f = np.concatenate(some).mean(axis=0)
    best = -entropy(np.array([f, 1 - f])).sum()
    got = model.log_likelihood(some)
    assert got <= best + 1e-9
    assert got >= best - len(model.probability) * np.log(n + 2)  # no note costs more than that


# --- N-grams, against naive versions ------------------------------------------------------------------


def histories(some, order):
    """Each frame with the `order` - 1 before it, as tuples of tuples."""
    for piece in some:
        padded = [(0,) * piece.shape[1]] * (order - 1) + [tuple(map(int, frame)) for frame in piece]
        for t in range(len(piece)):
            yield tuple(padded[t : t + order - 1]), padded[t + order - 1]


def naive_note_ngram(train, test, order, p):
    counts, totals = Counter(), Counter()
    for history, frame in histories(train, order):
        for j, on in enumerate(frame):
            own = tuple(before[j] for before in history)
            counts[j, own, on] += 1
            totals[j, own] += 1
    scores = []
    for history, frame in histories(test, order):
        own = [tuple(before[j] for before in history) for j in range(len(frame))]
        scores.append(
            sum(math.log((counts[j, own[j], on] + p) / (totals[j, own[j]] + 2 * p)) for j, on in enumerate(frame))
        )
    return scores


def successors(train, order):
    out = {}
    for history, frame in histories(train, order):
        out.setdefault(history, Counter())[frame] += 1
    return out


def naive_chords(train, test, order, probability):
    """`probability` of (count of each frame that followed, frame, order) of the longest history that is known."""
    known = [successors(train, n) for n in range(1, order + 1)]
    scores = []
    for history, frame in histories(test, order):
        n = next(n for n in range(order, 0, -1) if history[order - n :] in known[n - 1])
        scores.append(math.log(probability(known[n - 1][history[order - n :]], frame, n)))
    return scores


@pytest.mark.parametrize("seed", range(6))
def test_note_ngram_is_the_naive_one(seed):
    train, valid, test = (toy(seed + shift, count=5) for shift in (0, 50, 60))
    model = NoteNgram.fit(train, valid, max_order=5)
    expected = naive_note_ngram(train, test, model.order, model.p)
    np.testing.assert_allclose(model.frame_log_likelihoods(test), expected, rtol=1e-10)
    # no other N and p make valid likelier
    others = product(range(1, 6), np.geomspace(1e-3, 1e3, 40))
    best = max(np.mean(naive_note_ngram(train, valid, order, p)) for order, p in others)
    assert model.log_likelihood(valid) >= best - 1e-4
    default = NoteNgram.fit(train)
    assert (default.order, default.p) == (2, 1.0)
    np.testing.assert_allclose(default.frame_log_likelihoods(test), naive_note_ngram(train, test, 2, 1.0))


@pytest.mark.parametrize("seed", range(6))
def test_add_p_is_the_naive_one(seed):
    train, valid, test = (toy(seed + shift, count=4) for shift in (0, 50, 60))

    def scores(some, order, log_p):
        return naive_chords(
            train,
            some,
            order,
            lambda counts, frame, n: (
                (counts[frame] + math.exp(log_p[n - 1])) / (counts.total() + 8 * math.exp(log_p[n - 1]))
            ),
        )

    model = ChordNgram.fit(train, valid, orders=(1, 2, 3))
    order = model.grams.order
    np.testing.assert_allclose(model.frame_log_likelihoods(test), scores(test, order, model.log_p), rtol=1e-10)
    for other in (1, 2, 3):
        one = ChordNgram.fit(train, valid, orders=(other,))
        value = one.log_likelihood(valid)
        assert model.log_likelihood(valid) >= value
        for log_p in np.linspace(-12, 6, 40):  # of the highest order, given the others
            assert value >= np.mean(scores(valid, other, (*one.log_p[:-1], log_p))) - 1e-4
    np.testing.assert_allclose(
        ChordNgram.fit(train, orders=(2, 1)).frame_log_likelihoods(test), scores(test, 2, [-math.log(8)] * 2)
    )


@pytest.mark.parametrize("seed", range(6))
def test_gaussian_is_the_naive_one(seed, monkeypatch):
    monkeypatch.setattr(ngrams, "_PAIRS", 5)  # more than one block
    train, valid, test = (toy(seed + shift, count=4) for shift in (0, 50, 60))

    def scores(some, order, flip):
        def probability(counts, frame, n):
            return sum(
                count / counts.total() * math.prod(flip if a != b else 1 - flip for a, b in zip(c, frame, strict=True))
                for c, count in counts.items()
            )

        return naive_chords(train, some, order, probability)

    model = ChordGaussian.fit(train, valid, orders=(1, 2, 3))
    np.testing.assert_allclose(model.frame_log_likelihoods(test), scores(test, model.grams.order, model.flip))
    best = max(np.mean(scores(valid, n, q)) for n, q in product((1, 2, 3), np.geomspace(1e-6, 0.5, 40)))
    assert model.log_likelihood(valid) >= best - 1e-4
    default = ChordGaussian.fit(train, orders=(2, 1))
    np.testing.assert_allclose(default.frame_log_likelihoods(test), scores(test, 2, 0.5 / 3))


def test_the_nearest_frame_may_be_far():
    """A flip of 1e-6 to the power 300 is no number, its logarithm is."""
    model = ChordGaussian(ngrams.Grams.count([np.zeros((1, 300), np.uint8)], 1), 1e-6)
    assert model.log_likelihood([np.ones((1, 300), np.uint8)]) == pytest.approx(300 * math.log(1e-6))


def test_a_note_history_of_a_thousand_notes_is_short():
    assert NoteNgram.fit([np.zeros((2, 5000), np.uint8)], [np.ones((2, 5000), np.uint8)]).probability.size <= 2**23


@given(roll_lists, st.integers(1, 3))
def test_what_frames_have_in_common(some, order):
    """Rows of a query add up to 1, and asking twice gives the same."""
    counted = ngrams.Grams.count(some, order)
    queries = counted.queries(some)
    first, again = counted.overlaps(queries), counted.overlaps(queries)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(np.bincount(first.query, first.share), 1.0)
    assert (first.common <= np.minimum(first.there, first.notes)).all()
    assert queries.weights.sum() == pytest.approx(1.0)
    assert (counted.counts(queries)[:, 0] >= 1).all()  # the pieces counted are the pieces asked about
    np.testing.assert_array_equal(queries.notes()[queries.which], metrics.notes_per_frame(some))


# --- all of them --------------------------------------------------------------------------------------


def dataset(train, valid, test):
    return datasets.Dataset("toy", train, valid, test, datasets.PianoRoll())


def test_table():
    data = dataset(toy(0, 4, 5), toy(1, 4), toy(2, 4))
    rows = baselines.table(data.train, data.valid, data.test)
    assert [row["model"] for row in rows] == [
        "random",
        "note 1-gram (IID)",
        "note 1-gram",
        "note N-gram",
        "1-gram (add-p)",
        "N-gram (add-p)",
        "1-gram (Gaussian)",
        "N-gram (Gaussian)",
        "previous + Gaussian",
        "previous frame, fitted",
        "previous frame",
    ]
    unigram, each = rows[2], NoteUnigram.fit(data.train)
    assert unigram["ll"] == each.log_likelihood(data.test)
    assert unigram["ll_pieces"] == pytest.approx(np.mean([each.log_likelihood([piece]) for piece in data.test]))
    assert {k: unigram[k] for k in ("frame", "bay", "precision", "recall")} == each.accuracy(data.test)
    assert rows[-1]["ll"] is None
    assert rows[-1]["frame"] == metrics.accuracy(metrics.copy_previous(data.test), data.test)["frame"]
    assert rows[5]["settings"].keys() == {"N", "log10_p"}
    valid = baselines.table(data.train, data.valid, data.valid)
    assert valid[0]["ll"] == pytest.approx(-4 * math.log(2))
    assert valid[2]["ll"] == each.log_likelihood(data.valid)
    # shared counts give what each model gives by itself
    alone = ChordGaussian.fit(data.train, data.valid, orders=(2, 3))
    assert (rows[7]["ll"], rows[7]["frame"]) == (alone.log_likelihood(data.test), alone.accuracy(data.test)["frame"])


def test_table_without_valid():
    rows = baselines.table(toy(0), [], toy(2))
    assert all(row["ll"] is None or np.isfinite(row["ll"]) for row in rows)
    assert {row["model"]: row["settings"].get("N") for row in rows}["N-gram (add-p)"] == 2


def test_table_of_what_is_not_there():
    with pytest.raises(ValueError, match="test set"):
        baselines.table(toy(0), toy(1), [])
    with pytest.raises(ValueError, match="training set"):
        baselines.table([], toy(1), toy(2))


# --- the command --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("baselines") / "set[1].npz"
    datasets.save(path, dataset(toy(0), toy(1), [roll("000", "000")]))
    return path


def test_command(file):
    said = rnnrbm("baselines", "--data", file, "--split", "valid").stdout
    assert said.startswith(f"Baselines on toy, valid: 3 pieces, {sum(map(len, toy(1)))} frames")
    data = datasets.load(file)
    rows = baselines.table(data.train, data.valid, data.valid)
    for row in rows:
        assert row["model"] in said
        assert f"{100 * row['frame']:.2f}" in said
        assert row["ll"] is None or f"{row['ll']:.3f}" in said


def test_command_json(file):
    done = rnnrbm("baselines", "--data", file, "--json")
    said = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (said["data"], said["split"], said["frames"]) == ("toy", "test", 2)
    assert len(said["baselines"]) == 11
    last = said["baselines"][-1]
    assert (last["model"], last["ll"], last["frame"]) == ("previous frame", None, 1.0)
    assert last["recall"] is None  # 0 / 0: nothing sounds
    assert said["baselines"][0]["ll"] == pytest.approx(-3 * math.log(2))


def test_command_that_cannot_work(file):
    assert "unknown data set 'bahc' (did you mean 'bach'?)" in refused("baselines", "--data", "bahc")
    assert "split 'tets' is none of train, valid, test" in refused("baselines", "--data", file, "--split", "tets")
