"""What the pictures show is read back from matplotlib's objects, and every PNG from its bytes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy.io import loadmat

from rnnrbm import plot
from rnnrbm.plot import canvas

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "pianorolls"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")


def labels(axis) -> list[str]:
    axis.axes.figure.canvas.draw()
    low, high = sorted(axis.get_view_interval())
    ticks = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
    return [text.get_text() for place, text in ticks if low <= place <= high]


@pytest.fixture
def roll():
    roll = np.zeros((32, 88), np.uint8)
    roll[::4, 60 - 21] = 1
    roll[4:, 72 - 21] = 1
    return roll


def pixels(figure, path) -> np.ndarray:
    plot.save(figure, path, dpi=50)
    image = imread(path)
    assert image[..., :3].std() > 0.01  # something is drawn
    return image


def test_piano_roll_has_named_notes_units_and_is_cropped(roll, tmp_path):
    _, ax = plot.piano_roll(roll, steps_per_beat=4, title="a piece")
    assert ax.get_xlim() == (0, 8)
    assert ax.get_ylim() == (57.5, 74.5)  # notes 60 to 72, two semitones around
    assert ax.get_xlabel() == "time (beats)"
    assert ax.get_ylabel() == "MIDI note"
    assert labels(ax.yaxis) == ["C4", "C5"]
    assert labels(ax.xaxis) == ["0", "4", "8"]  # bars
    assert ax.get_title("left") == "a piece"
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), roll.T)
    assert image.get_extent() == [0, 8, 20.5, 108.5]
    assert pixels(ax.figure, tmp_path / "a.png").shape == (200, 600, 4)


def test_piano_roll_without_beats_is_in_frames(roll):
    _, ax = plot.piano_roll(roll)
    assert ax.get_xlim() == (0, 32)
    assert ax.get_xlabel() == "time (frames)"


@pytest.mark.parametrize("frames", [1, 64, 4000])
def test_piano_roll_labels_have_room(frames):
    _, ax = plot.piano_roll(np.ones((frames, 3)), low=64, steps_per_beat=1)
    assert 1 <= len(labels(ax.xaxis)) <= 25
    assert labels(ax.yaxis) == ["F#4"]  # no C in sight: every third note is named


def test_piano_roll_of_silence_and_of_probabilities(tmp_path):
    _, silent = plot.piano_roll(np.zeros((8, 88)))
    assert silent.get_ylim() == (20.5, 108.5)
    mean = np.full((8, 88), np.nan)
    mean[:, 40] = np.linspace(0, 1, 8)
    _, ax = plot.piano_roll(mean)
    assert ax.get_ylim() == (58.5, 63.5)
    pixels(ax.figure, tmp_path / "a.png")


def test_draws_on_the_axes_given(roll):
    figure = Figure()
    first, second = figure.subplots(1, 2)
    assert plot.piano_roll(roll, ax=first) == (figure, first)
    assert plot.filters(np.eye(5), ax=second) == (figure, second)
    assert first.images
    assert second.images


METRICS = {
    "epoch": [1, 2, 3, 4],
    "loss": [0.5, 0.4, 0.3, 0.2],
    "pseudo_likelihood": [-9.0, -8.0, -7.0, -7.5],
    "valid_ll": ["", -8.5, None, -8.7],
    "k": [1, 1, 5, 5],
    "learning_rate": [0.1, 0.1, 0.1, 0.1],
    "seconds": [1.0, 2.0, 3.0, 4.0],
}


def test_learning_curves_join_what_was_measured_and_mark_the_best(tmp_path):
    figure, _ = plot.learning_curves(METRICS)
    ll, pseudo, loss, k = figure.axes
    (curve,) = [line for line in ll.lines if line.get_label() == "valid"]
    np.testing.assert_array_equal(curve.get_xydata(), [[2, -8.5], [4, -8.7]])
    np.testing.assert_array_equal(pseudo.lines[0].get_ydata(), METRICS["pseudo_likelihood"])
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), METRICS["loss"])
    assert k.lines[0].get_drawstyle() == "steps-post"
    for ax in figure.axes:
        assert 2 in [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
    assert "-8.500 nats per frame, epoch 2" in ll.get_title("left")
    assert "nats per frame" in ll.get_ylabel()
    assert k.get_xlabel() == "epoch"
    pixels(figure, tmp_path / "a.png")


def test_learning_curves_without_validation_judge_by_pseudo_likelihood():
    figure, _ = plot.learning_curves({"pseudo_likelihood": [-9.0, np.nan, -7.0], "valid_ll": [None] * 3})
    (ax,) = figure.axes
    assert ax.get_title("left") == "best pseudo-likelihood: -7.000 nats per frame, epoch 3"


def test_learning_curves_show_several_likelihoods_with_a_legend():
    figure, _ = plot.learning_curves({"train_ll": [-3.0, -2.0], "valid_ll": [-4.0, -5.0]})
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ["train", "valid"]
    assert "epoch 1" in figure.axes[0].get_title("left")


def test_a_constant_k_has_no_panel():
    _, axes = plot.learning_curves({"loss": [3.0, 2.0], "k": [1, 1]})
    assert [ax.get_ylabel() for ax in axes] == ["loss\n(nats per frame)"]
    assert [ax.get_ylabel() for ax in plot.learning_curves({"k": [1, 1]})[1]] == ["k\n(steps)"]


def test_learning_curves_of_other_models():
    _, axes = plot.learning_curves({"loss": [3.0, 2.0, 1.0], "valid_loss": [3.0, 2.5, 2.8]})
    (ax,) = axes
    assert ax.get_title("left") == "best validation loss: 2.500, epoch 2"
    assert ax.get_ylabel() == "loss"
    _, axes = plot.learning_curves({"loss": [3.0, 2.0], "valid_score": [0.5, 0.9]})
    assert axes[0].get_title("left") == "best validation score: 0.900, epoch 2"


def test_learning_curves_refuse_what_they_cannot_draw():
    with pytest.raises(ValueError, match="expected numbers in 'pseudo_likelihood'"):
        plot.learning_curves({"epoch": [1, 2], "seconds": [3, 4]})
    with pytest.raises(ValueError, match=r"different length: .*'k': 1"):
        plot.learning_curves({"epoch": [1, 2], "k": [1]})


def test_filters_are_the_strongest_in_order_of_pitch(tmp_path):
    W = np.zeros((88, 5))
    W[60 - 21, 0] = 3.0
    W[40 - 21, 1] = -4.0
    W[72 - 21, 2] = 2.0
    W[50 - 21, 3] = 0.5
    _, ax = plot.filters(W, count=3)
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), W[:, [1, 0, 2]])
    low, high = image.get_clim()
    assert low == -high < 0
    assert labels(ax.yaxis) == ["C3", "C4", "C5"]
    assert ax.get_ylim() == (38.5, 73.5)
    assert ax.get_title("left") == "3 strongest of 5 hidden units"
    pixels(ax.figure, tmp_path / "a.png")


def test_filters_of_other_visible_units():
    _, ax = plot.filters(np.ones((10, 4)), low=None)
    assert ax.get_ylabel() == "column"
    assert ax.get_ylim() == (-0.5, 9.5)
    assert plot.filters(np.zeros((10, 4)))[1].images[0].get_clim() == (-1, 1)


def bars(ax) -> list[list[float]]:
    return [[float(bar.get_height()) for bar in group] for group in ax.containers]


def test_the_end_of_what_was_given_is_marked():
    _, ax = plot.piano_roll(np.eye(8, dtype=int), steps_per_beat=2, primed=6)
    assert "given | sampled" in [text.get_text() for text in ax.texts]
    assert [list(line.get_xdata()) for line in ax.lines if line.get_color() == canvas.ACCENT] == [[3, 3]]
    assert not plot.piano_roll(np.eye(8, dtype=int))[1].texts


def test_the_data_of_a_comparison_have_a_name():
    roll = [np.eye(4, dtype=int)]
    figure, _ = plot.statistics(roll, roll, data_name="all keys")
    assert [t.get_text().split(":")[0] for t in figure.legends[0].get_texts()] == ["all keys", "samples"]


def test_statistics_by_hand(tmp_path):
    data = [np.array([[1, 1], [1, 1], [1, 0], [0, 0]]), np.array([[0, 0], [0, 0]])]
    samples = [np.array([[0, 1], [0, 1], [0, 1]])]
    figure, _ = plot.statistics(samples, data, low=60)
    per_frame, pitch, repeats, classes = figure.axes
    np.testing.assert_allclose(bars(per_frame), [[3 / 6, 1 / 6, 2 / 6], [0, 1, 0]])
    np.testing.assert_allclose(bars(pitch), [[3 / 5, 2 / 5], [0, 1]])
    np.testing.assert_allclose(bars(classes)[0], [3 / 5, 2 / 5] + [0] * 10)
    # of the frames after the first in which something sounds: 1 of 2 repeats, 2 of 2
    assert [text.get_text() for text in repeats.texts] == ["50.0%", "100.0%"]
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["data: 2 pieces, 6 frames", "samples: 1 pieces, 3 frames"]
    pixels(figure, tmp_path / "a.png")


@needs_data
def test_statistics_of_the_chorales(tmp_path):
    chorales = loadmat(DATA / "JSB_Chorales.mat")
    train, test = (list(chorales[key][0]) for key in ("traindata", "testdata"))
    figure, _ = plot.statistics(test, train)
    shares = np.array(bars(figure.axes[0]))
    # The mean and the silent frames of the training split, as its description gives them.
    assert shares[0] @ np.arange(shares.shape[1]) == pytest.approx(3.898, abs=5e-4)
    assert shares[0, 0] == pytest.approx(18 / 13807)
    assert shares[1, 0] == pytest.approx(17 / 4725)
    pixels(figure, tmp_path / "a.png")


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot.piano_roll(np.zeros(5)), r"roll has shape \(5,\): expected \(T, n\)"),
        (lambda: plot.piano_roll(np.zeros((0, 88))), r"roll has shape \(0, 88\)"),
        (lambda: plot.filters(np.zeros(5)), r"W has shape \(5,\): expected \(n_visible, n_hidden\)"),
        (lambda: plot.filters(np.eye(5), count=0), "count=0: expected"),
        (lambda: plot.statistics([], [np.eye(5)]), "samples is empty"),
        (lambda: plot.statistics([np.eye(4)], [np.eye(5)]), r"\[4, 5\] columns: expected one width"),
    ],
)
def test_wrong_arguments_are_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_save_is_atomic(roll, tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    plot.save(plot.piano_roll(roll), path)
    before = path.read_bytes()
    assert before.startswith(b"\x89PNG")

    def full(self, target, **_):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OSError, match="No space left"):
        plot.save(plot.piano_roll(roll), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]
    with pytest.raises(FileNotFoundError, match="does not exist; create it"):
        plot.save(plot.piano_roll(roll), tmp_path / "nowhere" / "a.png")


def test_neither_pyplot_nor_a_backend_is_touched():
    code = (
        "import sys, numpy as np, rnnrbm.plot as p; p.piano_roll(np.eye(4))[0].canvas.draw();"
        "print(*{'matplotlib.pyplot', 'pytensor', 'jax'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_frames_of_real_numbers(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 6))
    figure, ax = plot.frames(values, seconds_per_frame=0.5, primed=10, title="a piece")
    assert ax.get_xlabel() == "time (seconds)"
    assert ax.get_xlim() == (0, 20)
    np.testing.assert_array_equal(ax.images[0].get_array(), values.T)
    assert [list(line.get_xdata()) for line in ax.lines] == [[5, 5]]
    pixels(figure, tmp_path / "a.png")
    assert plot.frames(np.zeros((3, 2)))[1].images[0].get_clim() == (0, 1)  # a constant is no error


def test_column_statistics_by_hand(tmp_path):
    data = [np.array([[0.0, 1.0], [2.0, 1.0], [0.0, 1.0], [2.0, 1.0]])]
    samples = [np.array([[4.0, 0.0], [4.0, 2.0]])]
    figure, axes = plot.column_statistics(samples, data, data_name="training set")
    mean, deviation, correlation = (
        [line.get_ydata() for line in ax.lines] for ax in (axes[0, 0], axes[0, 1], axes[1, 0])
    )
    np.testing.assert_allclose(mean, [[1, 1], [4, 1]])
    np.testing.assert_allclose(deviation, [[1, 0], [0, 1]])
    np.testing.assert_allclose(correlation, [[-3 / 4, np.nan], [np.nan, -1 / 2]])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["training set: 1 pieces, 4 frames", "samples: 1 pieces, 2 frames"]
    pixels(figure, tmp_path / "a.png")


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".PNG", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")]
)
def test_the_suffix_chooses_the_format(roll, tmp_path, suffix, start):
    plot.save(plot.piano_roll(roll), tmp_path / f"a{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.npz"])
def test_other_suffixes_are_refused(roll, tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name}: expected a file name ending in"):
        plot.save(plot.piano_roll(roll), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot.piano_roll(np.eye(4), beats_per_bar=0), ValueError, "beats_per_bar=0: expected a whole number"),
        (lambda: plot.piano_roll(np.eye(4), ax=3), TypeError, "ax is a int; expected axes of matplotlib"),
        (lambda: plot.piano_roll(np.eye(4), primed=9), ValueError, "primed=9: expected a whole number, 0 to 4"),
        (lambda: plot.piano_roll(np.eye(4), low="x"), TypeError, "low='x': expected a whole number, 0 to 127"),
        (lambda: plot.piano_roll(np.eye(4), steps_per_beat="a"), TypeError, "steps_per_beat='a': expected a whole"),
        (lambda: plot.learning_curves([1]), TypeError, "metrics is a list; expected a dictionary of columns"),
        (lambda: plot.save(None, "a.png"), TypeError, "figure is a NoneType; expected a Figure"),
        (lambda: plot.statistics([np.eye(4) * np.nan], [np.eye(4)]), ValueError, "samples holds NaN or infinity"),
        (lambda: plot.column_statistics([np.eye(4)], [np.eye(4) * np.nan]), ValueError, "data holds NaN or infinity"),
    ],
)
def test_what_cannot_be_drawn_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
