"""Calls in synthetic spectrograms: found where they are, and measured by hand."""

import numpy as np
import pytest

from rnnrbm.scoring.calls import FRAME_CALLS, call_threshold, find_calls, windows

HERTZ = np.array([1000.0, 2000.0, 4000.0, 5000.0])
HOP = 0.008
BACKGROUND = -90.0


def recording(n_frames: int, *calls: tuple[int, int, int], loud: float = -30.0, seed: int = 0) -> np.ndarray:
    """A background that varies by some tenths of a decibel, with calls (first frame, end, band)."""
    x = BACKGROUND + 0.2 * np.random.default_rng(seed).normal(size=(n_frames, len(HERTZ)))
    for start, stop, band in calls:
        x[start:stop, band] = loud
    return x


def find(*pieces, threshold=-85.0, settings=FRAME_CALLS):
    return find_calls(pieces, HERTZ, HOP, threshold, settings)


def test_calls_are_where_they_were_put():
    first, second = recording(100, (10, 20, 1), (25, 40, 3), (70, 75, 0)), recording(50, (5, 30, 2))
    found = find(first, second)
    assert found.spans.tolist() == [[0, 10, 20], [0, 25, 40], [0, 70, 75], [1, 5, 30]]
    np.testing.assert_allclose(found.duration, [80, 120, 40, 200])
    np.testing.assert_allclose(found.silences, [40, 240])
    np.testing.assert_allclose(found.peak, HERTZ[[1, 3, 0, 2]])
    np.testing.assert_allclose(found.bandwidth, 0, atol=10)  # one band is 60 dB above the others
    np.testing.assert_allclose(found.level, -30 - 10 * np.log10(4), atol=0.01)
    assert found.seconds == pytest.approx(150 * HOP)
    assert found.silent_share == pytest.approx(1 - 55 / 150)
    assert found.summary() == pytest.approx(
        {"calls_per_second": 4 / 1.2, "call_duration_ms": 100, "silence_duration_ms": 140}
    )


def test_the_spectrum_of_a_call_is_its_mean_power():
    x = recording(40, (10, 20, 0))
    x[10:20, 3] = -30.0
    x[15:20, 0] = -27.0  # a bit more power in all
    found = find(x)
    assert found.peak.tolist() == [1000.0]
    power = np.array([(1 + 10**0.3) / 2, 1.0])
    share = power[0] / power.sum()
    assert found.bandwidth[0] == pytest.approx(4000 * np.sqrt(share * (1 - share)), rel=1e-3)


def test_calls_that_a_piece_cuts_off_are_no_calls_and_no_silence():
    found = find(recording(50, (0, 10, 1), (20, 30, 1), (40, 50, 1)))
    assert found.spans.tolist() == [[0, 20, 30]]
    np.testing.assert_allclose(found.silences, [80, 80])
    assert found.silent_share == pytest.approx(0.4)
    always = find(recording(50, (0, 50, 1)))
    assert (len(always.spans), always.silent_share) == (0, 0.0)


def test_short_and_quiet_sounds_are_no_calls():
    x = recording(60, (10, 12, 1), (20, 30, 2))
    x[40:50] = -83.0  # above the threshold, but nowhere 5 dB
    assert find(x).spans.tolist() == [[0, 20, 30]]


def test_the_threshold_is_six_decibels_above_the_background():
    x = recording(1000, *((i, i + 30, 1) for i in range(50, 1000, 50)))
    assert call_threshold([x[:500], x[500:]]) == pytest.approx(BACKGROUND + 6, abs=0.2)
    assert call_threshold([x + 200]) == pytest.approx(BACKGROUND + 206, abs=0.2)


def test_silence_has_no_calls():
    found = find(recording(30))
    assert [len(each) for each in found[:6]] == [0] * 6
    assert found.silent_share == 1
    assert found.summary() == {"calls_per_second": 0, "call_duration_ms": 0, "silence_duration_ms": 0}


def test_windows_have_one_length():
    assert windows([np.zeros((7, 2)), np.zeros((2, 2)), np.zeros((3, 2))], 3).tolist() == [
        [0, 0, 3],
        [0, 3, 6],
        [2, 0, 3],
    ]


@pytest.mark.parametrize(
    ("pieces", "word"),
    [([], "no piece"), ([np.zeros((3, 2))], "piece 0 has shape"), ([np.full((3, 4), np.nan)], "NaN")],
)
def test_wrong_pieces_are_refused(pieces, word):
    with pytest.raises(ValueError, match=word):
        find(*pieces)


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="threshold=nan"):
        find(recording(30), threshold=float("nan"))
    with pytest.raises(ValueError, match="seconds_per_frame=0"):
        find_calls([recording(30)], HERTZ, 0, -80.0)
    with pytest.raises(ValueError, match="n_frames=0"):
        windows([np.zeros((7, 2))], 0)
    with pytest.raises(ValueError, match="no piece"):
        call_threshold([])
    with pytest.raises(ValueError, match="finite decibels"):
        call_threshold([np.full((3, 4), -np.inf)])
    with pytest.raises(ValueError, match=r"shape \(3,\); expected frames"):
        call_threshold([np.zeros(3)])
