"""Calls found by their loudness: against evfuncs, on sounds made for the purpose, and on published songs."""

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from rnnrbm import memory
from rnnrbm.io import segments
from rnnrbm.io.annotations import Annotation, read_annotations
from rnnrbm.io.segments import SegmentMatch, SegmentSettings, envelope, find_segments, match_segments, pool
from rnnrbm.io.sound import read_sound

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "vocalizations"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")
RATE = 16_000


def bursts(*spans: tuple[float, float], seconds: float = 2.0, noise: float = 1e-3, seed: int = 0) -> np.ndarray:
    """Tones of 2 kHz in a background of noise."""
    n = round(seconds * RATE)
    rng = np.random.default_rng(seed)
    sound = noise * rng.normal(size=n)
    for start, stop in spans:
        t = np.arange(round(start * RATE), round(stop * RATE))
        sound[t] += 0.3 * np.sin(2 * np.pi * 2000 * t / RATE)
    return sound


def times(found):
    return np.array([[a.onset, a.offset] for a in found]).reshape(-1, 2)


# --- against evfuncs


@pytest.mark.parametrize(
    ("band", "smoothing", "min_gap", "min_length", "n"),
    [
        ((500, 7000), 2.0, 4.0, 20.0, 32_000),
        ((1000, 4000), 3.0625, 1.0, 0.5, 32_000),  # windows of an odd and of even numbers of samples
        ((1000, 4000), 3.875, 10.0, 5.0, 31_999),
        ((500, 7000), 2.0, 0.0, 0.0, 1000),
        ((500, 7000), 2.0, 0.0, 0.0, 65),
    ],
)
def test_envelope_and_segments_equal_those_of_evfuncs(monkeypatch, band, smoothing, min_gap, min_length, n):
    evfuncs = pytest.importorskip("evfuncs", reason="the package evfuncs is not installed")
    monkeypatch.setattr(segments, "_BLOCK", 5000)  # the sound is cut
    x = bursts((0.001, 0.02), (0.3, 0.35), (0.355, 0.5), (0.9, 0.905), (1.9, 2.0), noise=0.05)[:n]
    x -= x.mean()
    settings = SegmentSettings(
        *band,
        smoothing,
        threshold=0.12,
        threshold_kind="value",
        peak_db=0,
        min_gap_ms=min_gap,
        min_length_ms=min_length,
    )
    expected = evfuncs.smooth_data(x, RATE, band, smoothing)
    np.testing.assert_allclose(envelope(x, RATE, settings), expected, rtol=1e-5, atol=1e-9)
    on, off = evfuncs.segment_song(expected, RATE, 0.12**2, min_length / 1000, min_gap / 1000)
    found = times(find_segments(x, RATE, settings))
    np.testing.assert_allclose(found, np.stack([on, off], axis=1), rtol=0, atol=1e-9)
    assert len(found) >= (3 if n > 1000 else 1)


@needs_data
def test_segments_of_published_song_equal_those_of_evfuncs():
    evfuncs = pytest.importorskip("evfuncs", reason="the package evfuncs is not installed")
    sound = read_sound(DATA / "bengalese_finch_koumura" / "3.wav")
    x = sound.samples - sound.samples.mean(dtype=float)
    settings = SegmentSettings(500, 10_000, 2, 1e-3, "value", min_gap_ms=2.01, min_length_ms=20)
    smooth = evfuncs.smooth_data(x, sound.rate, (500, 10_000), 2)
    on, off = evfuncs.segment_song(smooth, sound.rate, 1e-6, 0.02, 0.00201)
    found = times(find_segments(x, sound.rate, settings))
    np.testing.assert_allclose(found, np.stack([on, off], axis=1), rtol=0, atol=1.01 / sound.rate)
    assert len(found) == 15


# --- what is found


def test_calls_are_found_whatever_the_gain_and_the_offset():
    spans = [(0.2, 0.3), (0.5, 0.7), (1.1, 1.15)]
    sound = bursts(*spans)
    for gain, offset in ((1, 0), (0.01, 0.356), (3, -2)):
        found = times(find_segments(gain * sound + offset, RATE))
        np.testing.assert_allclose(found, spans, rtol=0, atol=0.006)


def test_every_kind_of_threshold():
    spans = [(0.2, 0.4), (0.5, 0.8), (1.0, 1.3)]  # two fifths of the recording
    for threshold, kind in ((60.0, "percentile"), (0.05, "value"), (20.0, "noise")):
        found = times(find_segments(bursts(*spans), RATE, SegmentSettings(threshold=threshold, threshold_kind=kind)))
        np.testing.assert_allclose(found, spans, rtol=0, atol=0.006)
    # 0.3 sin is 0.21 in the mean square
    assert find_segments(bursts(*spans), RATE, SegmentSettings(threshold=0.22, threshold_kind="value")) == []


def test_gaps_and_lengths():
    sound = bursts((0.2, 0.25), (0.26, 0.4), (0.8, 0.81), (1.0, 1.8))
    kind = {"threshold": 0.1, "threshold_kind": "value", "smoothing_ms": 1}
    assert len(find_segments(sound, RATE, SegmentSettings(min_gap_ms=8, min_length_ms=5, **kind))) == 4
    joined = times(find_segments(sound, RATE, SegmentSettings(min_gap_ms=12, min_length_ms=20, **kind)))
    np.testing.assert_allclose(joined, [(0.2, 0.4), (1.0, 1.8)], rtol=0, atol=0.002)
    short = times(find_segments(sound, RATE, SegmentSettings(min_gap_ms=0, max_length_ms=60, min_length_ms=20, **kind)))
    np.testing.assert_allclose(short, [(0.2, 0.25)], rtol=0, atol=0.002)


def test_a_call_must_be_loud_somewhere():
    sound = bursts((0.5, 0.7))
    rng = np.random.default_rng(1)
    sound[RATE : RATE + 3200] += 5e-3 * rng.normal(size=3200)  # 14 dB above the background
    assert len(find_segments(sound, RATE, SegmentSettings(peak_db=0))) == 2
    found = find_segments(sound, RATE, SegmentSettings(peak_db=20))
    np.testing.assert_allclose(times(found), [(0.5, 0.7)], rtol=0, atol=0.006)


def test_margins_grow_until_calls_touch():
    sound = bursts((0.003, 0.1), (0.5, 0.6), (0.612, 0.7), (1.9, 1.999))
    settings = {"threshold": 0.1, "threshold_kind": "value", "smoothing_ms": 1}
    plain = times(find_segments(sound, RATE, SegmentSettings(**settings)))
    grown = times(find_segments(sound, RATE, SegmentSettings(before_ms=6, after_ms=12, **settings)))
    assert grown[0, 0] == 0
    assert grown[-1, 1] == 2
    np.testing.assert_allclose(grown[[1, 3], 0], plain[[1, 3], 0] - 0.006)
    np.testing.assert_allclose(grown[[0, 2], 1], plain[[0, 2], 1] + 0.012)
    assert grown[1, 1] == grown[2, 0] == pytest.approx(plain[1, 1] + 2 / 3 * (plain[2, 0] - plain[1, 1]))


def test_silence_and_short_sounds_have_no_calls():
    for sound in (np.zeros(RATE), np.ones(RATE), np.zeros(1), [0.5], bursts(), np.full(64, 0.1)):
        assert find_segments(sound, RATE) == []
    padded = np.concatenate([np.zeros(4 * RATE), bursts((0.5, 0.7)), np.zeros(4 * RATE)])
    np.testing.assert_allclose(times(find_segments(padded, RATE)), [(4.5, 4.7)], rtol=0, atol=0.006)
    np.testing.assert_allclose(envelope([0.0, 2.0], RATE, SegmentSettings(smoothing_ms=0)), [1, 1])


@pytest.mark.parametrize(("low", "high", "kept"), [(0, None, 3), (1000, None, 2), (0, 1000, 1), (1000, 4000, 1)])
def test_a_band_of_frequencies(low, high, kept):
    t = np.arange(2 * RATE) / RATE
    sound = 1e-4 * np.random.default_rng(0).normal(size=len(t))
    for hertz, start in ((200, 0.3), (2000, 0.9), (6000, 1.5)):
        part = (t >= start) & (t < start + 0.2)
        sound[part] += np.sin(2 * np.pi * hertz * t[part])
    settings = SegmentSettings(low, high, threshold=0.3, threshold_kind="value")
    assert len(find_segments(sound, RATE, settings)) == kept


# --- errors


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"low": -1}, ValueError, "low=-1"),
        ({"low": 500, "high": 400}, ValueError, "high=400: expected hertz above low=500"),
        ({"smoothing_ms": np.nan}, ValueError, "smoothing_ms=nan"),
        ({"threshold_kind": "auto"}, ValueError, "threshold_kind='auto': expected 'noise', 'percentile', 'value'"),
        ({"threshold": 101, "threshold_kind": "percentile"}, ValueError, "threshold=101: expected 0 to 100"),
        ({"threshold": -3}, ValueError, "threshold=-3: expected decibels, 0 or more"),
        ({"noise_percentile": 101}, ValueError, "noise_percentile=101"),
        ({"peak_db": "x"}, TypeError, "peak_db='x'"),
        ({"min_length_ms": 30, "max_length_ms": 30}, ValueError, "max_length_ms=30: expected milliseconds above"),
        ({"after_ms": -1}, ValueError, "after_ms=-1"),
    ],
)
def test_settings_are_checked(change, error, message):
    with pytest.raises(error, match=message):
        SegmentSettings(**change)


def test_sounds_that_cannot_be_segmented(monkeypatch):
    with pytest.raises(ValueError, match=r"high=8000.0: expected less than half the sample rate, 8000 Hz; .*high=None"):
        find_segments(bursts(), RATE, SegmentSettings(high=8000.0))
    with pytest.raises(ValueError, match=r"low=500.0: expected less than half the sample rate, 400 Hz"):
        find_segments(bursts(), 800)
    with pytest.raises(ValueError, match=r"samples: an array of shape \(3, 2\)"):
        find_segments(np.zeros((3, 2)), RATE)
    with pytest.raises(ValueError, match="rate=0"):
        find_segments(bursts(), 0)
    monkeypatch.setattr(memory, "available", lambda: 100_000)
    with pytest.raises(MemoryError, match=r"the envelope of 32000 samples would take .*; find calls in parts"):
        envelope(bursts(), RATE)


# --- comparing


def calls(*spans):
    return [Annotation(*span) for span in spans]


def test_matching_counts_boundaries():
    true = calls((1.0, 1.1), (2.0, 2.1), (3.0, 3.1))
    found = calls((1.004, 1.12), (1.5, 1.6), (2.991, 2.999), (3.003, 3.1))
    match = match_segments(found, true)
    assert (match.n_found, match.n_true) == (4, 3)
    np.testing.assert_allclose(match.onset_errors, [0.004, -0.009])
    np.testing.assert_allclose(match.offset_errors, [0.0], atol=1e-12)
    assert match.recall == 3 / 6
    assert match.precision == 3 / 8
    assert match.median_errors == pytest.approx((0.0065, 0.0))
    assert len(match_segments(found, true, 0.03).offset_errors) == 2
    # a tolerance is met exactly, and nothing is matched twice
    assert match_segments(calls((1.01, 1.2)), calls((1.0, 1.19)), 0.01).recall == 1
    assert match_segments(calls((1.0, 2.0), (1.001, 2.001)), calls((1.0, 2.0))).precision == 0.5
    # as many as possible, not each with the nearest
    assert len(match_segments(calls((0.991, 5), (1.005, 6)), calls((1.0, 7), (1.011, 8))).onset_errors) == 2
    assert match_segments(found, true, spans=[(0, 1.2), (2.5, 9)]).n_found == 3


def test_matches_are_pooled():
    one = match_segments(calls((1.0, 1.1)), calls((1.0, 1.1), (2.0, 2.1)))
    other = match_segments(calls((1.0, 1.1), (5.0, 5.1)), calls((1.001, 1.1)))
    both = pool([one, other])
    assert both[:2] == (3, 3)
    assert both.recall == both.precision == 4 / 6
    nothing = pool([])
    assert np.isnan([nothing.recall, nothing.precision, *nothing.median_errors]).all()
    assert isinstance(nothing, SegmentMatch)


@needs_data
def test_annotated_syllables_are_found_with_default_settings():
    folder = DATA / "bengalese_finch_katahira"
    true = read_annotations(folder / "002.wav.not.mat")
    match = match_segments(find_segments(*read_sound(folder / "002.wav")), true, 0.01)
    assert match.recall > 0.9
    assert match.precision > 0.9


@needs_data
def test_annotated_syllables_of_another_laboratory_are_found_with_margins():
    # benchmarks/segmentation.py chooses settings on one half of the recordings
    folder = DATA / "bengalese_finch_koumura"
    settings = SegmentSettings(smoothing_ms=6, threshold=8, high=10_000, after_ms=3.25)
    matches = []
    root = ElementTree.parse(folder / "Annotation.xml").getroot()
    for i in range(1, 16, 4):
        sequences = [each for each in root.iter("Sequence") if each.findtext("WaveFileName") == f"{i}.wav"]
        starts = [int(each.findtext("Position")) / 32_000 for each in sequences]
        spans = [(s, s + int(each.findtext("Length")) / 32_000) for s, each in zip(starts, sequences, strict=True)]
        true = [
            Annotation(onset, onset + int(note.findtext("Length")) / 32_000)
            for start, each in zip(starts, sequences, strict=True)
            for note in each.iter("Note")
            for onset in [start + int(note.findtext("Position")) / 32_000]
        ]
        found = find_segments(*read_sound(folder / f"{i}.wav"), settings)
        matches.append(match_segments(found, true, 0.01, spans=spans))
    match = pool(matches)
    assert match.n_true == 173
    assert match.recall > 0.98
    assert match.precision > 0.98
    assert max(match.median_errors) < 0.0025
