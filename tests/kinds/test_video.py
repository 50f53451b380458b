"""Video: what is a film, what differs, statistics and baselines by hand, files; and a run on bouncing balls."""

import json
import math

import helpers
import numpy as np
import pytest
from PIL import Image as Picture

from rnnrbm.datasets import Image, Vectors, Video
from rnnrbm.experiment import run
from rnnrbm.experiment.run_folder import run_files
from rnnrbm.io import balls
from rnnrbm.kinds.registry import from_record, to_record
from rnnrbm.scoring.autoregression import VectorAutoregression

KIND = Video(2, 3)
#: pixels of different means, which do not all change alike
MEANS = np.array([0.9, 0.1, 0.5, 0.7, 0.0, 0.3])


def films(seed, lengths=(30, 12)):
    """Slow changes around the mean of each pixel, cut to 0 to 1."""
    rng = np.random.default_rng(seed)
    walks = (np.cumsum(rng.normal(0, 0.1, (n, 6)), axis=0) for n in lengths)
    return [KIND.check(np.clip(MEANS + walk * (1 + MEANS), 0, 1)) for walk in walks]


def test_films_become_rows_of_pixels():
    film = np.arange(24).reshape(4, 2, 3) / 24
    np.testing.assert_allclose(KIND.check(film), film.reshape(4, 6), rtol=1e-6)
    assert KIND.check(film > 0.5).dtype == np.float32


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        (
            np.full((1, 6), 255),
            r"6 pixels are not numbers from 0 to 1, the first is 255 in frame 0, column 0; divide by",
        ),
        ([[0, 0, 0, np.nan, 0, 2]], "the first is nan in frame 0, column 3; replace or leave out missing"),
        (np.zeros((2, 3)), r"3 columns .*expected 6, the pixels of a frame of 2 x 3. One frame has a piece of its own"),
        (np.zeros((6, 4)), "4 columns .* Frames come first: give its transpose"),
        (np.zeros((4, 3, 2)), r"shape \(4, 3, 2\); expected \(frames, 6\) or \(frames, 2, 3\), at least one frame"),
        ([[0.0], [0.0, 1.0]], "expected an array of frames x pixels"),
    ],
)
def test_what_is_no_film(piece, message):
    with pytest.raises(ValueError, match=message):
        KIND.check(piece)
    with pytest.raises(ValueError, match="here: frames of 6 pixels; expected 8 columns"):
        KIND.check(np.zeros((1, 6)), n_visible=8, where="here")


def test_what_differs_decides_whether_a_model_can_be_used_or_scores_compare():
    assert KIND.mismatch(Video(3, 2)).columns == "images have 3 x 2 pixels, not 2 x 3"  # as many columns
    assert KIND.mismatch(Image(2, 3)).columns == "the frames are image, not video"
    assert Vectors().mismatch(KIND).columns == "the frames are video, not vectors"
    slow, fast = Video(2, 3, 0.5), Video(2, 3, 0.04)
    assert slow.mismatch(fast) == ("", "0.04 seconds per frame, not 0.5")
    assert slow.mismatch(KIND) == ("", "")


def test_records_and_descriptions():
    assert to_record(Video(4, 15, 0.04)) == {"kind": "video", "height": 4, "seconds_per_frame": 0.04}
    assert from_record({"kind": "video", "height": np.int64(4)}) == Video(4, 15)
    assert to_record(Video()) == {"kind": "video"}
    assert KIND.describe(6) == "6 columns, video of 2 x 3 grey pixels"
    assert Video(1, 1, 0.5).describe(1) == "1 column, video of 1 x 1 grey pixels, 0.5 s per frame"
    with pytest.raises(ValueError, match="record: video has no 'colour'; expected height, seconds_per_frame, width"):
        from_record({"kind": "video", "colour": 1})


def test_statistics_by_hand():
    first = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]], np.float32)
    found = KIND.statistics([first, first[1:]])
    assert found["mean_pixel"] == pytest.approx(10 / 30)
    assert found["mean_change"] == pytest.approx((2 + 1 + 1) / 18)
    pixels = np.concatenate([first, first[1:]])
    assert found["standard_deviation"] == pytest.approx(pixels.std(axis=0).mean())
    centred = [piece - pixels.mean(axis=0) for piece in (first, first[1:])]
    before, after = (np.concatenate([piece[part] for piece in centred]) for part in (slice(-1), slice(1, None)))
    expected = (before * after).sum() / math.sqrt((before**2).sum() * (after**2).sum())
    assert found["autocorrelation"] == pytest.approx(expected)
    assert KIND.statistics([np.repeat(first[1:2], 5, axis=0)])["mean_change"] == 0
    assert math.isnan(KIND.statistics([first[:1]])["mean_change"])


def test_predictions_of_baselines_are_cut():
    train, valid, test = films(0), films(1), films(2)
    model = VectorAutoregression.fit(train, valid, 2)
    predicted = [model.mean_of(piece) for piece in test]
    assert min(piece.min() for piece in predicted) < -0.01
    assert max(piece.max() for piece in predicted) > 1.01
    errors = np.concatenate([np.clip(p, 0, 1) - t for p, t in zip(predicted, test, strict=True)])
    rows = {row["model"]: row for row in KIND.baseline_table(train, valid, test)}
    assert rows["VAR(2)"]["rmse"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert rows["VAR(2)"]["rmse"] < KIND.prediction_scores(predicted, test)["rmse"]
    assert rows["VAR(2)"]["ll"] == pytest.approx(
        np.concatenate([model.frame_log_likelihoods(piece) for piece in test]).mean()
    )
    changes = np.concatenate([np.diff(piece, axis=0) for piece in train])
    assert KIND.unit_name(train) == f"gaussian:{np.sqrt(changes.var(axis=0).mean()):.3g}"


def test_samples_are_cut():
    np.testing.assert_array_equal(
        KIND.from_samples(np.array([[-0.2, 0.0, 0.49, 0.5, 1.0, 1.7]])), np.float32([[0, 0, 0.49, 0.5, 1, 1]])
    )


@pytest.mark.parametrize(("seconds", "rate"), [(None, 15), (0.04, 25), (10.0, 1)])
def test_a_film_is_written_as_numbers_and_moves(seconds, rate, tmp_path):
    kind = Video(2, 3, seconds)
    film = np.zeros((20, 6), np.float32)
    film[np.arange(20), np.arange(20) % 6] = np.linspace(0.5, 1, 20)
    numbers, moving = kind.write(tmp_path, "a.b", film)
    assert (numbers.name, moving.name) == ("a.b.npy", "a.b.gif")
    assert np.load(numbers).shape == (20, 2, 3)
    np.testing.assert_array_equal(kind.read(numbers, 6)[0], film)
    with Picture.open(moving) as gif:
        assert gif.size == (180, 120)
        assert gif.n_frames == 20
        milliseconds = 0
        for i in range(20):
            gif.seek(i)
            milliseconds += gif.info["duration"]
            shown = np.array(gif.convert("L"))[30::60, 30::60].ravel()
            np.testing.assert_array_equal(shown, np.round(255 * film[i]))
        assert milliseconds == pytest.approx(20_000 / rate, abs=5)
    with pytest.raises(ValueError, match="tempo=90: a video has no tempo"):
        kind.check_writing(3, 90.0)
    np.save(tmp_path / "bytes.npy", (film * 255).astype(np.uint8))
    with pytest.raises(ValueError, match=r"bytes.npy: .*divide by the greatest possible value, 255"):
        kind.read(tmp_path / "bytes.npy", 6)


@pytest.mark.filterwarnings("ignore:.*effective sample size")  # of so short a score
def test_a_run_on_bouncing_balls(tmp_path, monkeypatch):
    monkeypatch.setattr(balls, "_N_UNSEEN", 2)
    out = tmp_path / "run"
    settings = {
        "data.n_sequences": 4,
        "data.resolution": 5,
        "model.n_hidden": 5,
        "model.n_recurrent": 4,
        "training.epochs": 1,
        "training.k": 1,
        "training.valid_n_chains": 2,
        "training.valid_n_temperatures": 3,
        "evaluation.n_chains": 2,
        "evaluation.n_temperatures": 3,
        "generation.n_samples": 1,
        "generation.n_frames": 9,
        "generation.k": 2,
    }
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    said = helpers.rnnrbm("train", "--data", "balls", "--out", out, *words)
    assert "balls: 25 columns, video of 5 x 5 grey pixels" in said.stderr
    assert "mean change: samples" in said.stdout
    assert {path.name for path in (out / "figures").iterdir()} == {
        "learning_curves.png", "filters.png", "sample.png", "statistics.png"
    }  # fmt: skip
    assert {path.name for path in (out / "samples").iterdir()} == {f"sample-1.{each}" for each in ("npy", "gif", "png")}
    results = json.loads((out / "results.json").read_text())
    assert set(results["baselines"]) == {
        "column Gaussian",
        "previous + Gaussian",
        "VAR(1)",
        "VAR(2)",
        "VAR(3)",
        "VAR(3), heavy tails",
    }
    assert set(results["statistics"]["samples"]) == {
        "mean_pixel", "standard_deviation", "autocorrelation", "mean_change"
    }  # fmt: skip
    read = run.load(out)
    assert read.kind == Video(5, 5)
    assert read.config.data.n_sequences == 4
    assert read.config.data.seed == 0
    sample = np.load(out / "samples" / "sample-1.npy")
    assert sample.shape == (9, 5, 5)
    primer = ("--prime", out / "samples" / "sample-1.npy", "--prime-frames", 4)
    helpers.rnnrbm("generate", out, "--n-samples", 1, "--n-frames", 3, *primer)
    continued = np.load(out / "generated" / "sample-1-seed0-1.npy")
    assert continued.shape == (7, 5, 5)
    np.testing.assert_array_equal(continued[:4], sample[:4])
    written = {path.relative_to(out).as_posix() for path in run_files(out)}
    assert {"samples/sample-1.gif", "generated/sample-1-seed0-1.gif"} <= written  # a new run replaces them
    assert "binarise cannot be chosen" in helpers.refused(
        "train", "--data", "balls", "--out", tmp_path / "b", "--set", "data.binarise=none"
    )
    assert "'balls' comes with the library" in helpers.refused("fetch", "balls")
