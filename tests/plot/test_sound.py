"""Pictures of sound, read back from matplotlib's objects."""

import numpy as np
import pytest

from rnnrbm import plot
from rnnrbm.io.spectrogram import SpectrogramSettings
from rnnrbm.scoring.calls import find_calls
from rnnrbm.scoring.spectra import measure

MEL = SpectrogramSettings().centres(32_000)


def ticks(axis) -> dict[str, float]:
    axis.axes.figure.canvas.draw()
    return {t.get_text(): float(p) for p, t in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)}


def test_a_spectrogram_has_seconds_hertz_and_decibels(tmp_path):
    levels = np.random.default_rng(0).normal(-50, 10, (200, 128))
    figure, ax = plot.spectrogram(levels, MEL, seconds_per_frame=0.008, title="a", primed=50)
    assert ax.images[0].get_extent() == [0, 1.6, -0.5, 127.5]
    np.testing.assert_array_equal(ax.images[0].get_array(), levels.T)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (seconds)", "frequency (kHz)")
    found = ticks(ax.yaxis)
    assert list(found) == ["0.5", "1", "2", "3", "5"]
    for text, place in found.items():  # where the band of that frequency is
        assert np.interp(place, np.arange(128), MEL) == pytest.approx(1000 * float(text))
    assert figure.axes[1].get_ylabel() == "level (dB)"
    assert ax.lines[0].get_xdata()[0] == 0.4
    plot.save(figure, tmp_path / "a.png")


def test_linear_bands_have_even_ticks():
    _, ax = plot.spectrogram(np.eye(5), np.linspace(100, 900, 5), seconds_per_frame=0.1)
    assert ax.get_ylabel() == "frequency (Hz)"
    places = list(ticks(ax.yaxis).values())
    assert len(places) > 3
    np.testing.assert_allclose(np.diff(places), places[1] - places[0])


def test_segments_are_marked_with_their_labels():
    spans = [(0.1, 0.3, "a"), (0.5, 0.6, "")]
    _, ax = plot.spectrogram(np.zeros((10, 3)), [1.0, 2.0, 3.0], seconds_per_frame=0.1, segments=spans)
    bars = [line.get_xdata().tolist() for line in ax.lines if line.get_linewidth() == 3]
    assert bars == [[0.1, 0.3], [0.5, 0.6]]
    assert [text.get_text() for text in ax.texts] == ["a"]


def test_a_column_for_each_frequency_is_needed():
    with pytest.raises(ValueError, match="one for each"):
        plot.spectrogram(np.zeros((5, 3)), [1.0, 2.0], seconds_per_frame=0.1)


def measures(seed: int, *lengths: int):
    """Frames and calls of a piece with calls of so many frames, ten frames apart."""
    x = np.random.default_rng(seed).normal(-60, 5, (10 + sum(n + 10 for n in lengths), 128))
    start = 10
    for n in lengths:
        x[start : start + n] += 30
        start += n + 10
    return measure([x], MEL, -45.0), find_calls([x], MEL, 0.01, -45.0)


def test_statistics_show_both_sets(tmp_path):
    data, samples = measures(0, 4, 5, 6, 7), measures(1, 20)
    figure, axes = plot.sound_statistics(samples, data, MEL, data_name="training set")
    assert axes.shape == (3, 3)
    np.testing.assert_allclose(axes[2, 0].lines[0].get_ydata(), data[0].mean)
    np.testing.assert_allclose(axes[2, 1].lines[1].get_ydata(), samples[0].deviation)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["training set: 1 piece, 72 frames, 4 calls", "samples: 1 piece, 40 frames, 1 call"]
    line = axes[1, 0].lines[0]  # from -inf
    np.testing.assert_allclose(line.get_xdata()[1:], [40, 50, 60, 70])
    np.testing.assert_allclose(line.get_ydata(), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(axes[1, 0].lines[1].get_xdata()[1:], [200])
    np.testing.assert_allclose(np.unique(axes[1, 1].lines[0].get_xdata()[1:]), [100])
    assert len(axes[1, 1].lines) == 1  # the samples have no silence between two calls
    plot.save(figure, tmp_path / "a.png")


def test_statistics_show_halves_of_the_data_faintly(tmp_path):
    halves = [measures(2, 4, 5), measures(3, 6, 7)]
    figure, axes = plot.sound_statistics(measures(1, 20), measures(0, 4, 5, 6, 7), MEL, halves=halves)
    assert [line.get_alpha() for line in axes[1, 0].lines] == [0.35, 0.35, None, None]
    np.testing.assert_allclose(axes[2, 0].lines[1].get_ydata(), halves[1][0].mean)
    assert figure.legends[0].get_texts()[-1].get_text() == "parts of data"
    plot.save(figure, tmp_path / "a.png")


def test_statistics_of_silence_say_that_there_are_no_calls(tmp_path):
    figure, axes = plot.sound_statistics(measures(0), measures(1), MEL)
    assert [text.get_text() for ax in axes[1] for text in ax.texts] == ["none"] * 3
    plot.save(figure, tmp_path / "a.png")


def test_filters_of_bands_have_frequencies():
    W = np.random.default_rng(0).normal(size=(128, 5))
    _, ax = plot.filters(W, low=None, frequencies=MEL)
    assert ax.get_ylabel() == "frequency (kHz)"
    assert ax.get_xlabel() == "hidden units, by the frequency of the greatest weight"
