"""Accuracies and statistics: published figures, examples by hand, properties."""

import numpy as np
import pytest
from helpers import SETS, needs_data, roll, roll_lists
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from rnnrbm import datasets
from rnnrbm.scoring import metrics

# --- published figures ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SETS)
def published(request):
    return datasets.load(request.param)


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


@given(roll_lists, st.randoms(use_true_random=False))
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


def test_expected_accuracy_of_chance_is_that_of_the_table():
    """Each note with probability 1/2: the number of notes predicted is binomial, hits are their share of the true."""
    for n_true in (0, 1, 4, 60, 88):
        true = np.zeros((1, 88), np.uint8)
        true[0, :n_true] = 1
        size = np.arange(89)
        # given the number predicted, each note is among them with probability size / 88
        score = np.where(size + n_true == 0, 1.0, n_true * size / 88 / np.maximum(np.maximum(size, n_true), 1))
        by_size = (binom.pmf(size, 88, 0.5) * score).sum()
        assert metrics.expected_accuracy(np.full((1, 88), 0.5), true)[0] == pytest.approx(by_size, rel=1e-10)


@given(roll_lists, st.integers(0, 2**32 - 1))
def test_expected_accuracy_is_the_sum_over_all_frames(some, seed):
    true = np.concatenate(some)
    p = np.random.default_rng(seed).random(true.shape)
    width = true.shape[1]
    total = np.zeros(len(true))
    for v in (np.arange(2**width)[:, None] >> np.arange(width)) & 1:
        chance = np.where(v, p, 1 - p).prod(axis=1)
        total += chance * metrics.frame_accuracy(np.broadcast_to(v, true.shape), true)
    np.testing.assert_allclose(metrics.expected_accuracy(p, true), total, rtol=1e-10, atol=1e-12)


def test_expected_accuracy_of_a_certain_frame_is_its_accuracy(monkeypatch):
    monkeypatch.setattr(metrics, "_ROWS", 3)  # more than one block
    rng = np.random.default_rng(0)
    predicted, true = rng.integers(0, 2, (2, 10, 5))
    np.testing.assert_allclose(
        metrics.expected_accuracy(predicted.astype(float), true), metrics.frame_accuracy(predicted, true)
    )


def test_shapes_must_be_equal():
    with pytest.raises(ValueError, match=r"predicted has shape \(2, 3\), true \(2, 4\); they must be equal"):
        metrics.frame_accuracy(np.zeros((2, 3)), np.zeros((2, 4)))


@given(roll_lists)
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


@given(roll_lists, st.integers(0, 120), st.booleans())
def test_histogram_is_a_distribution(some, low, classes):
    histogram = metrics.pitch_histogram(some, low=low, classes=classes)
    assert histogram.shape == ((12,) if classes else (some[0].shape[1],))
    sounding = any(p.any() for p in some)
    assert histogram.sum() == pytest.approx(float(sounding))


@pytest.mark.parametrize("bad", [[], [np.zeros((0, 3))], [np.zeros(3)], [np.zeros((2, 3)), np.zeros((2, 3, 1))]])
@pytest.mark.parametrize(
    "call",
    [
        lambda x: metrics.accuracy(x, x),
        metrics.copy_previous,
        metrics.notes_per_frame,
        metrics.repeated_frame_rate,
        metrics.pitch_histogram,
    ],
)
def test_no_pieces_are_an_error(call, bad):
    with pytest.raises(ValueError, match=r"there is no piece; give at least one|piece \d has shape .*, expected \(T, "):
        call(bad)


def test_note_lengths_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    pieces = [(rng.random((n, 5)) < 0.6).astype(np.uint8) for n in (9, 1, 30)]
    expected = []
    for piece in pieces:
        for column in piece.T:
            expected += [len(run) for run in "".join(map(str, column)).split("0") if run]
    assert sorted(metrics.note_lengths(pieces)) == sorted(expected)
    assert len(metrics.note_lengths([np.zeros((3, 2), np.uint8)])) == 0


def test_nearest_piece_is_found_where_it_was_taken_from():
    rng = np.random.default_rng(1)
    pieces = [(rng.random((n, 20)) < 0.2).astype(np.uint8) for n in (40, 12, 60, 5)]
    for piece in pieces:
        piece[:, :3] = piece[:, -3:] = 0
    taken = pieces[2][17:29].copy()
    assert metrics.nearest_piece(taken, pieces) == (0.0, 2, 17, 0)
    taken[3, 8] ^= 1
    taken[5, 10] ^= 1
    assert metrics.nearest_piece(taken, pieces) == (pytest.approx(2 / 12), 2, 17, 0)
    up = np.roll(taken, 2, axis=1)
    assert metrics.nearest_piece(up, pieces, (-3, 3)) == (pytest.approx(2 / 12), 2, 17, -2)
    assert metrics.nearest_piece(up, pieces).distance > 1
    # against a loop
    best = min(
        np.abs(up.astype(int) - piece[begin : begin + 12]).sum() / 12
        for piece in pieces
        for begin in range(len(piece) - 11)
    )
    assert metrics.nearest_piece(up, pieces).distance == pytest.approx(best)
    with pytest.raises(ValueError, match="no piece is as long as the roll, 61 frames"):
        metrics.nearest_piece(np.zeros((61, 20)), pieces)


def test_longest_copy():
    rng = np.random.default_rng(2)
    pieces = [(rng.random((50, 20)) < 0.3).astype(np.uint8) for _ in range(3)]
    for piece in pieces:
        piece[:, :4] = piece[:, -4:] = 0
    roll = (rng.random((30, 20)) < 0.3).astype(np.uint8)
    assert metrics.longest_copy(roll, pieces) <= 1  # by chance
    roll[4:11] = pieces[1][20:27]
    roll[20:25] = np.roll(pieces[2][0:5], 3, axis=1)
    assert metrics.longest_copy(roll, pieces) == 7
    assert metrics.longest_copy(roll[12:], pieces) <= 1
    roll[:, :4] = 0
    assert metrics.longest_copy(roll[12:], pieces, (-3, 0)) == 5
    # frames that repeat and return: against every pair of places
    rolls, pieces = ([(rng.random((n, 2)) < 0.4).astype(np.uint8) for n in sizes] for sizes in ((9, 14), (20, 3, 17)))
    expected = [
        max(
            n
            for piece in pieces
            for i in range(len(roll))
            for j in range(len(piece))
            for n in range(min(len(roll) - i, len(piece) - j) + 1)
            if np.array_equal(roll[i : i + n], piece[j : j + n])
        )
        for roll in rolls
    ]
    assert metrics.longest_copies(rolls, pieces) == expected


def test_several_rolls_are_laid_as_one_by_one():
    rng = np.random.default_rng(1)
    pieces = [(rng.random((n, 12)) < 0.3).astype(np.uint8) for n in (30, 5, 17)]
    rolls = [(rng.random((6, 12)) < 0.3).astype(np.uint8) for _ in range(4)] + [pieces[2][3:9]]
    got = metrics.nearest_pieces(rolls, pieces, (-2, 3))
    assert got == [metrics.nearest_piece(roll, pieces, (-2, 3)) for roll in rolls]
    assert got[-1] == metrics.Nearest(0.0, 2, 3, 0)
    with pytest.raises(ValueError, match=r"rolls have \[5, 6\] frames, expected one length"):
        metrics.nearest_pieces([rolls[0], rolls[1][:5]], pieces)


@pytest.mark.parametrize("wrong", [2.0, -1.0, np.nan, np.inf])
def test_only_rolls_are_measured(wrong):
    roll, bad = np.eye(4), np.eye(4) * wrong if np.isfinite(wrong) else np.full((4, 4), wrong)
    calls = [metrics.notes_per_frame, metrics.note_lengths, metrics.repeated_frame_rate, metrics.pitch_histogram]
    for call in [*calls, lambda pieces: metrics.accuracy(pieces, [roll])]:
        with pytest.raises(ValueError, match="values are neither 0 nor 1"):
            call([bad])
    with pytest.raises(ValueError, match="expected probabilities, 0 to 1"):
        metrics.expected_accuracy(bad, roll)
    np.testing.assert_allclose(metrics.expected_accuracy(roll.tolist(), roll.tolist()), 1.0)


def test_a_range_of_very_many_columns_is_refused():
    with pytest.raises(ValueError, match=r"of at most 128 columns, got \(-1000000000, 5\)"):
        metrics.nearest_piece(np.eye(4), [np.eye(4)], (-(10**9), 5))
