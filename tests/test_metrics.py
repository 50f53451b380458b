"""Baselines, accuracies and statistics: published figures, examples by hand, properties."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import entropy

from rnnrbm import datasets, metrics
from rnnrbm.metrics import NoteCopy, NoteUnigram

needs_data = pytest.mark.skipif(
    not os.environ.get("RNNRBM_DATA"), reason="RNNRBM_DATA is not set: no published data sets"
)

SETS = ["piano-midi", "nottingham", "musedata", "jsb"]

pieces = st.integers(1, 6).flatmap(
    lambda width: st.lists(
        hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.just(width)), elements=st.integers(0, 1)),
        min_size=1,
        max_size=4,
    )
)


def roll(*frames: str) -> np.ndarray:
    return np.array([[int(c) for c in frame] for frame in frames], np.uint8)


# --- published figures ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SETS)
def published(request):
    return datasets.load(request.param)


@needs_data
def test_published_note_unigram(published):
    """Add-one counts of each note, ICML 2012 table 1; the third decimal is this protocol's."""
    expected = dict(zip(SETS, ["-11.046", "-10.252", "-11.510", "-11.061"], strict=True))[published.name]
    assert f"{NoteUnigram.fit(published.train).log_likelihood(published.test):.3f}" == expected


@needs_data
def test_published_unigram_of_all_notes_alike(published):
    """One probability for all notes, "Note 1-gram (IID)" of the table."""
    share = np.concatenate(published.train).mean()
    baseline = NoteUnigram(np.full(published.n_visible, share))
    expected = dict(zip(SETS, ["-12.90", "-16.24", "-14.06", "-15.93"], strict=True))[published.name]
    assert f"{baseline.log_likelihood(published.test):.2f}" == expected


@needs_data
def test_published_accuracy_of_copying(published):
    copied = metrics.accuracy(metrics.copy_previous(published.test), published.test)
    expected = dict(zip(SETS, ["43.5", "76.7", "46.2", "34.9"], strict=True))[published.name]
    assert f"{100 * copied['frame']:.1f}" == expected
    # the other definition gives less, since TP + FP + FN >= max(predicted, true)
    assert copied["bay"] < copied["frame"]


@needs_data
def test_published_numbers_of_frames(published):
    n = dict(zip(SETS, [19036, 44463, 64339, 4725], strict=True))[published.name]
    assert len(metrics.notes_per_frame(published.test)) == n


@needs_data
def test_copying_is_a_likelihood_above_the_unigram(published):
    copy = NoteCopy.fit(published.train).log_likelihood(published.test)
    assert copy > NoteUnigram.fit(published.train).log_likelihood(published.test)


# --- baselines by hand ------------------------------------------------------------------------------

TRAIN = [roll("110", "100", "100"), roll("011")]
TEST = [roll("100", "001"), roll("010")]


def test_unigram_by_hand():
    model = NoteUnigram.fit(TRAIN)
    p = np.array([4 / 6, 3 / 6, 2 / 6])  # three, two, one of four frames; one added to both counts
    np.testing.assert_allclose(model.probability, p)
    np.testing.assert_allclose(model.log_odds, np.log([2.0, 1.0, 0.5]), atol=1e-15)
    frames = [p[0] * (1 - p[1]) * (1 - p[2]), (1 - p[0]) * (1 - p[1]) * p[2], (1 - p[0]) * p[1] * (1 - p[2])]
    assert model.log_likelihood(TEST) == pytest.approx(np.log(frames).mean(), rel=1e-12)


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


@given(pieces)
def test_unigram_beats_any_other_on_its_own_counts(some):
    """Of all unigrams the one of the relative frequencies is likeliest; add-one comes close to it."""
    model = NoteUnigram.fit(some)
    n = sum(map(len, some))
    f = np.concatenate(some).mean(axis=0)
    best = -entropy(np.array([f, 1 - f])).sum()
    got = model.log_likelihood(some)
    assert got <= best + 1e-9
    assert got >= best - len(model.probability) * np.log(n + 2)  # no note costs more than that
    assert np.isfinite(NoteCopy.fit(some).log_likelihood(some))


@given(pieces, st.integers(1, 5))
def test_probabilities_are_normalized(some, n):
    """The likelihoods of all frames of a width add up to 1, after any history."""
    width = some[0].shape[1]
    every = (np.arange(2**width)[:, None] >> np.arange(width)) & 1
    history = some[0][:n]
    unigram, copy = NoteUnigram.fit(some), NoteCopy.fit(some)
    total = sum(np.exp(unigram.log_likelihood([v[None]])) for v in every)
    assert total == pytest.approx(1.0)
    before = copy.log_likelihood([history]) * len(history)
    ends = [copy.log_likelihood([np.vstack([history, v[None]])]) * (len(history) + 1) for v in every]
    assert np.exp(np.array(ends) - before).sum() == pytest.approx(1.0)


# --- accuracies -------------------------------------------------------------------------------------


def test_frame_accuracy_by_hand():
    predicted = roll("0000", "1000", "0000", "1100", "1110", "1000", "0011")
    true = roll("0000", "0000", "0100", "1100", "1000", "1110", "1100")
    np.testing.assert_allclose(metrics.frame_accuracy(predicted, true), [1, 0, 0, 1, 1 / 3, 1 / 3, 0])


def test_accuracies_by_hand():
    predicted, true = [roll("110", "000"), roll("011")], [roll("100", "001"), roll("111")]
    got = metrics.accuracy(predicted, true)
    # hits 1 + 0 + 2, predicted 4, true 5
    expected = {"frame": (1 / 2 + 0 + 2 / 3) / 3, "bay": 3 / 6, "precision": 3 / 4, "recall": 3 / 5}
    assert got == pytest.approx(expected)


def test_accuracies_of_silence():
    silent, one = [roll("00")], [roll("10")]
    both = metrics.accuracy(silent, silent)
    assert both["frame"] == 1.0
    assert np.isnan([both["bay"], both["precision"], both["recall"]]).all()
    assert metrics.accuracy(silent, one) == pytest.approx(
        {"frame": 0.0, "bay": 0.0, "precision": np.nan, "recall": 0.0}, nan_ok=True
    )
    assert metrics.accuracy(one, silent) == pytest.approx(
        {"frame": 0.0, "bay": 0.0, "precision": 0.0, "recall": np.nan}, nan_ok=True
    )


@given(pieces, st.randoms(use_true_random=False))
def test_accuracy_properties(true, random):
    predicted = [np.array([[random.randint(0, 1) for _ in frame] for frame in p], np.uint8) for p in true]
    got = metrics.accuracy(predicted, true)
    back = metrics.accuracy(true, predicted)
    # symmetric, except that precision and recall change places
    assert got["frame"] == pytest.approx(back["frame"])
    assert got["bay"] == pytest.approx(back["bay"], nan_ok=True)
    assert got["precision"] == pytest.approx(back["recall"], nan_ok=True)
    assert metrics.accuracy(true, true)["frame"] == 1.0
    defined = [x for x in got.values() if x == x]
    assert all(0.0 <= x <= 1.0 for x in defined)
    if got["precision"] == got["precision"] and got["recall"] == got["recall"]:
        assert got["bay"] <= min(got["precision"], got["recall"]) + 1e-12
    # the order of the notes does not matter
    order = np.random.default_rng(0).permutation(true[0].shape[1])
    assert metrics.accuracy([p[:, order] for p in predicted], [p[:, order] for p in true])["frame"] == got["frame"]


def test_random_prediction_scores_as_the_table_says():
    """Half of all notes against sparse frames: n / max(n_predicted, n_true) of about 44 predicted notes."""
    rng = np.random.default_rng(0)
    true = (rng.random((20_000, 88)) < 4 / 88).astype(np.uint8)
    coin = rng.integers(0, 2, true.shape)
    assert 100 * metrics.frame_accuracy(coin, true).mean() == pytest.approx(100 * 2 / 44, abs=0.1)


def test_shapes_must_be_equal():
    with pytest.raises(ValueError, match=r"predicted has shape \(2, 3\), true \(2, 4\); they must be equal"):
        metrics.frame_accuracy(np.zeros((2, 3)), np.zeros((2, 4)))


@given(pieces)
def test_copy_previous(some):
    copied = metrics.copy_previous(some)
    for before, piece in zip(copied, some, strict=True):
        assert not before[0].any()
        np.testing.assert_array_equal(before[1:], piece[:-1])
        assert before.dtype == piece.dtype


# --- statistics -------------------------------------------------------------------------------------


def test_statistics_by_hand():
    some = [roll("1100", "1100", "0000", "0000", "0001"), roll("0001", "0001")]
    np.testing.assert_array_equal(metrics.notes_per_frame(some), [2, 2, 0, 0, 1, 1, 1])
    # frames after the first in which something sounds: 1100 (equal), 0001 (new), 0001 (equal); silence is not counted
    assert metrics.repeated_frame_rate(some) == pytest.approx(2 / 3)
    assert np.isnan(metrics.repeated_frame_rate([roll("10"), roll("00", "00")]))
    np.testing.assert_allclose(metrics.pitch_histogram(some), np.array([2, 2, 0, 3]) / 7)


def test_pitch_classes_begin_at_c():
    some = [np.eye(88, dtype=np.uint8)[[0, 39, 51, 51]]]  # A0, C4, C5, C5
    expected = np.zeros(12)
    expected[0], expected[9] = 3 / 4, 1 / 4
    np.testing.assert_allclose(metrics.pitch_histogram(some, classes=True), expected)
    expected = np.zeros(12)
    expected[7] = 1.0
    np.testing.assert_allclose(metrics.pitch_histogram([roll("01")], low=66, classes=True), expected)


@given(pieces, st.integers(0, 120), st.booleans())
def test_histogram_is_a_distribution(some, low, classes):
    histogram = metrics.pitch_histogram(some, low=low, classes=classes)
    assert histogram.shape == ((12,) if classes else (some[0].shape[1],))
    sounding = any(p.any() for p in some)
    assert histogram.sum() == pytest.approx(float(sounding))


@pytest.mark.parametrize("bad", [[], [np.zeros((0, 3))], [np.zeros(3)], [np.zeros((2, 3)), np.zeros((2, 3, 1))]])
@pytest.mark.parametrize(
    "call",
    [
        NoteUnigram.fit,
        NoteCopy.fit,
        NoteUnigram(np.full(3, 0.5)).log_likelihood,
        NoteCopy(0.5, np.full(3, 0.5)).log_likelihood,
        lambda x: metrics.accuracy(x, x),
        metrics.copy_previous,
        metrics.notes_per_frame,
        metrics.repeated_frame_rate,
        metrics.pitch_histogram,
    ],
)
def test_no_pieces_are_an_error(call, bad):
    with pytest.raises(ValueError, match=r"at least one piece, each an array \(T, n_visible\)"):
        call(bad)
