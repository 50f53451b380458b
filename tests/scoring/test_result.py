"""The result of a score, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from rnnrbm.scoring.result import LogLikelihood, verdict


def test_result_by_hand():
    scored = LogLikelihood(
        [np.array([-1.0, -3.0, -2.0]), np.array([]), np.array([-6.0])],
        [np.array([0.1, 0.2, 0.3]), np.array([]), np.array([0.4])],
        np.ones(4),
        "AIS, by hand",
    )
    assert scored.mean == pytest.approx(-3.0)
    np.testing.assert_allclose(scored.per_piece, [-6.0, 0.0, -6.0])
    assert scored.standard_error == pytest.approx(np.sqrt(1.0) / 4)  # of a mean of 4 independent frames
    assert scored.bias == pytest.approx(0.125)  # half the mean variance
    assert str(scored) == "-3.000 +- 0.250 nats per frame (AIS, by hand; about 0.125 too high)"
    assert str(replace(scored, method="raise")).endswith("about 0.125 too low)")
    assert str(replace(scored, variances=[0 * x for x in scored.variances])) == (
        "-3.000 +- 0.000 nats per frame (AIS, by hand)"
    )
    assert scored.mean_over_pieces == pytest.approx((-2.0 - 6.0) / 2)
    np.testing.assert_array_equal(scored.mean_per_piece, [-2.0, np.nan, -6.0])
    assert repr(scored) == f"<LogLikelihood of 3 pieces: {scored}>"


def test_one_error_for_all_frames_does_not_shrink_with_their_number():
    scored = LogLikelihood([np.zeros(9)], [np.full(9, 0.04)], np.ones(1), "AIS", shared_Z=True)
    assert scored.standard_error == pytest.approx(0.2)


def test_a_poor_effective_sample_size_is_complained_of():
    sizes = np.array([50.0] * 98 + [9.9, 9.0])
    scored = LogLikelihood([np.zeros(100)], [np.zeros(100)], sizes, "AIS, by hand", n_chains=100)
    assert scored.low_ess == pytest.approx(0.02)
    assert "in 2.0% of the frames the effective sample size is below 10 of 100 chains" in scored.diagnostics()
    # with few chains a tenth of them is less than one
    few = LogLikelihood([np.zeros(3)], [np.zeros(3)], np.array([1.9, 4.0, 4.0]), "AIS", n_chains=5)
    assert few.low_ess == pytest.approx(1 / 3)
    assert "below 2 of 5 chains" in few.diagnostics()
    assert LogLikelihood([np.zeros(3)], [np.zeros(3)], np.ones(3), "exact").diagnostics() == ""
    fine = LogLikelihood([np.zeros(100)], [np.zeros(100)], sizes[:99], "AIS, by hand", n_chains=100)
    assert fine.diagnostics() != ""  # 1 in 99
    assert LogLikelihood([np.zeros(98)], [np.zeros(98)], sizes[:98], "AIS", n_chains=100).diagnostics() == ""


def test_one_Z_needs_a_fifth_of_its_chains():
    scored = LogLikelihood([np.zeros(9)], [np.full(9, 0.01)], np.full(9, 15.0), "AIS", n_chains=100, shared_Z=True)
    assert "AIS: the effective sample size is below 20 of 100 chains" in scored.diagnostics()
    assert replace(scored, shared_Z=False).diagnostics() == ""


def some(mean: float, variance: float = 1e-4, method: str = "ais", n: int = 100) -> LogLikelihood:
    """Frames around a mean, in pieces of three lengths."""
    values = mean + np.linspace(-1.0, 1.0, n)
    frames = np.split(values, [20, 20, 55])
    return LogLikelihood(
        frames, [np.full(len(x), variance) for x in frames], np.full(n, 90.0), method, 100, False, method
    )


def test_a_large_bias_is_complained_of():
    assert some(-5.0).diagnostics() == ""
    assert "about 0.20 nats per frame too high; use more chains or temperatures" in some(-5.0, 0.4).diagnostics()
    assert "about 0.20 nats per frame too low" in some(-5.0, 0.4, "raise").diagnostics()


def test_some_frames_of_a_result():
    scored = some(-5.0)
    chosen = np.array([0, 19, 20, 99])
    part = scored.subset(chosen)
    assert [len(x) for x in part.frames] == [2, 0, 1, 1]
    np.testing.assert_array_equal(np.concatenate(part.frames), np.concatenate(scored.frames)[chosen])
    assert [len(x) for x in part.variances] == [2, 0, 1, 1]
    assert part.effective_sample_size.shape == (4,)
    assert part.settings == scored.settings


def test_what_is_a_bracket_and_what_is_none():
    lower = some(-5.1, method="raise")
    assert verdict(some(-5.0), lower) == ""
    assert verdict(some(-5.1), lower) == ""
    assert verdict(some(-5.102), lower) == ""  # two thousandths, 1.4 standard errors
    above = verdict(some(-5.2), lower)
    assert "RAISE is 0.100 nats per frame above AIS, which is 71 standard errors" in above
    assert verdict(some(-5.0, 0.4), lower).startswith("ais: the log-likelihood is about 0.20 nats per frame too high")
    both = verdict(some(-5.0, 0.4), some(-5.1, 0.4, "raise"))
    assert "ais: " in both
    assert "; raise: " in both
