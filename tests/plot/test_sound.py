"""Pictures of sound, read back from matplotlib's objects."""

import numpy as np
import pytest

from rnnrbm import plot
from rnnrbm.io.spectrogram import SpectrogramSettings
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


def test_statistics_show_both_sets(tmp_path):
    rng = np.random.default_rng(0)
    data, samples = (measure([rng.normal(m, 5, (50, 128)) for _ in range(2)], MEL, -45.0) for m in (-40, -42))
    figure, axes = plot.sound_statistics(samples, data, MEL, data_name="training set")
    assert axes.shape == (2, 3)
    np.testing.assert_allclose(axes[1, 0].lines[0].get_ydata(), data.mean)
    np.testing.assert_allclose(axes[1, 1].lines[1].get_ydata(), samples.deviation)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["training set: 2 pieces, 100 frames", "samples: 2 pieces, 100 frames"]
    plot.save(figure, tmp_path / "a.png")


def test_filters_of_bands_have_frequencies():
    W = np.random.default_rng(0).normal(size=(128, 5))
    _, ax = plot.filters(W, low=None, frequencies=MEL)
    assert ax.get_ylabel() == "frequency (kHz)"
    assert ax.get_xlabel() == "hidden units, by the frequency of the greatest weight"
