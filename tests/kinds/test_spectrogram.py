"""Spectrograms as frames: standardised bands, scores in decibels, and the way from sound to frames and back."""

import json

import numpy as np
import pytest
import soundfile

from rnnrbm.datasets import Dataset, load, save
from rnnrbm.experiment.setup import facts
from rnnrbm.io.sound import write_sound
from rnnrbm.io.spectrogram import spectrogram
from rnnrbm.kinds.registry import from_record, to_record
from rnnrbm.kinds.spectrogram import Spectrogram

RATE = 16_000
BARE = Spectrogram(RATE, 32, 8, 200, 6000, "mel", 40)


def song(seconds: float = 1.5, rate: int = RATE) -> np.ndarray:
    """A whistle that rises and falls, in some noise."""
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(1500 + 700 * np.sin(2 * np.pi * 2 * t)) / rate
    return 0.2 * np.sin(phase) * (np.sin(2 * np.pi * 3 * t) > 0) + 1e-3 * np.random.default_rng(0).normal(size=len(t))


def standard(kind: Spectrogram, levels: np.ndarray, drop: int | None = None) -> Spectrogram:
    deviation = levels.std(axis=0)
    if drop is not None:
        deviation[drop] = 0
    record = to_record(kind) | {"mean": levels.mean(axis=0).tolist(), "deviation": deviation.tolist()}
    return from_record(json.loads(json.dumps(record)))


@pytest.fixture(scope="module")
def levels():
    return spectrogram(song(), RATE, BARE.settings)


@pytest.fixture(scope="module")
def kind(levels):
    return standard(BARE, levels, drop=7)


def test_values_are_standardised_levels_without_the_bands_that_do_not_vary(kind, levels):
    frames = kind.standardised(levels)
    assert frames.shape == (len(levels), 39)
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(kind.decibels(frames), np.delete(levels, 7, axis=1), atol=1e-3)
    back = kind.all_bands(frames)
    np.testing.assert_allclose(back[:, 7], levels[:, 7].mean(), rtol=1e-5)
    np.testing.assert_array_equal(kind.frequencies, np.delete(BARE.frequencies, 7))
    assert kind.check(frames) is frames
    with pytest.raises(ValueError, match="40 columns; expected 39"):
        kind.check(levels)


def test_the_value_is_immutable_hashable_and_described(kind):
    assert hash(kind) != hash(BARE)
    assert kind.describe(39) == "39 bands, 200 to 6 000 Hz (mel), 8 ms per frame, 16 000 Hz"
    assert Spectrogram(44_100, 16, 8).seconds_per_frame == 353 / 44_100  # rounded to samples
    assert (
        Spectrogram(n_bands=None, scale="linear", low=0, high=None).describe(257).startswith("257 bands, 0 to 16 000")
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rate": 32_000}, "32000 samples per second"),
        ({"low": 300.0}, "bands from 300.0 Hz"),
        ({"n_bands": 39, "mean": (), "deviation": ()}, "39 bands, not 40"),
        ({"scale": "log"}, "a log scale, not mel"),
        ({"window_ms": 16.0}, "window of 16.0 ms"),
    ],
)
def test_other_bands_are_other_columns(kind, change, word):
    other = from_record(to_record(kind) | change)
    assert word in kind.mismatch(other).columns


def test_another_hop_or_standardisation_makes_scores_hard_to_compare(kind, levels):
    found = kind.mismatch(from_record(to_record(kind) | {"hop_ms": 16.0}))
    assert (found.columns, found.caveat) == ("", "0.016 s per frame, not 0.008")
    other = standard(BARE, levels + 3, drop=7)
    assert kind.mismatch(other).columns == ""
    assert "standardised" in kind.mismatch(other).caveat
    assert "left out" in kind.mismatch(standard(BARE, levels, drop=8)).columns


def test_frames_are_converted_to_another_standardisation(kind, levels):
    other = standard(BARE, 2 * levels - 5, drop=3)
    np.testing.assert_allclose(
        np.delete(kind.converted(kind.standardised(levels), other), 6, axis=1),  # the band that one leaves out
        np.delete(other.standardised(levels), 6, axis=1),
        atol=1e-4,
    )


def test_scores_are_in_decibels_and_per_band(kind, levels):
    frames = kind.standardised(levels)
    shifted = frames.copy()
    shifted[:, 0] += 1  # one deviation of one band
    found = kind.prediction_scores([shifted], [frames])
    assert found["rmse"] == pytest.approx(np.sqrt(kind.deviation[0] ** 2 / 39))
    assert found["r2"] == pytest.approx(1 - 1 / 39, abs=1e-4)
    rows = kind.baseline_table([frames[:100]], [frames[100:140]], [frames[140:]])
    assert [row["model"] for row in rows][-2:] == ["VAR(3)", "VAR(3), heavy tails"]


def test_a_sound_comes_back_from_its_frames(kind, levels, tmp_path):
    files = kind.write(tmp_path, "a.b", kind.standardised(levels))
    assert [path.name for path in files] == ["a.b.npy", "a.b.wav"]
    info = soundfile.info(files[1])
    assert (info.samplerate, info.frames) == (RATE, BARE.settings.n_samples(len(levels), RATE))
    again, tempo = kind.read(files[1], 39)
    assert tempo is None
    loud = kind.standardised(levels) > 1
    difference = np.abs(kind.decibels(again) - np.delete(levels, 7, axis=1))
    assert np.median(difference[loud]) < 1.5  # decibels, where there is a whistle
    np.testing.assert_array_equal(kind.read(files[0], 39)[0], kind.standardised(levels))


def test_a_value_far_from_the_data_does_not_drown_the_sound(kind, levels):
    frames = kind.standardised(levels)
    frames[20, 5] = 1e6
    samples = kind.sound(frames)
    assert np.abs(samples).max() <= 0.99
    assert np.square(samples[8000:]).mean() > 1e-6  # the rest is heard
    frames[:] = 6  # all of it too loud
    assert np.abs(kind.sound(frames)).max() == pytest.approx(0.99, rel=1e-5)


def test_a_sound_of_another_rate_is_refused_or_resampled(kind, tmp_path):
    write_sound(tmp_path / "a.wav", song(rate=22_050), 22_050)
    with pytest.raises(ValueError, match=r"a\.wav: has 22050 samples per second, and these frames .* of 16000"):
        kind.read(tmp_path / "a.wav", 39)
    resampled = from_record(to_record(kind) | {"resampled": True})
    frames, _ = resampled.read(tmp_path / "a.wav", 39)
    assert frames.shape == (184, 39)  # 1.5 s
    assert resampled.folder_options(39)["rate"] == RATE
    assert "rate" not in kind.folder_options(39)


def test_a_sound_shorter_than_a_window_is_named(kind, tmp_path):
    write_sound(tmp_path / "a.wav", song()[:100], RATE)
    with pytest.raises(ValueError, match=r"a\.wav: the sound lasts 6\.25 ms"):
        kind.read(tmp_path / "a.wav", 39)


def test_what_cannot_be_written_is_refused_before():
    BARE.check_writing(100)
    with pytest.raises(ValueError, match="tempo=90"):
        BARE.check_writing(100, 90.0)
    with pytest.raises(ValueError, match="more than a WAV file can hold"):
        BARE.check_writing(2**30)
    with pytest.raises(MemoryError, match="sound of 10000000 frames"):
        BARE.check_writing(10_000_000)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rate": 4000}, "high=6000"),
        ({"rate": 16_000.5}, "rate"),
        ({"mean": (1.0,)}, "one for each of the 40 bands"),
        ({"mean": (1.0,) * 40}, "give both or none"),
        ({"mean": (1.0,) * 40, "deviation": (-1.0,) * 40}, "deviation"),
        ({"mean": (1.0,) * 40, "deviation": (0.0,) * 40}, "deviation"),
        ({"mean": "abc", "deviation": ()}, "mean"),
        ({"mean": (float("nan"),) * 40, "deviation": (1.0,) * 40}, "finite"),
        ({"channel": -1}, "channel"),
        ({"resampled": 1}, "resampled"),
        ({"hop_ms": 64.0}, "hop_ms"),
    ],
)
def test_wrong_records_are_refused(change, word):
    with pytest.raises(ValueError, match=word):
        from_record(to_record(BARE) | change)


def test_many_bands_are_saved_and_loaded(tmp_path):
    wide = Spectrogram(48_000, 64, 16, 0, None, "linear", None)
    n = len(wide.frequencies)
    rng = np.random.default_rng(0)
    whole = from_record(to_record(wide) | {"mean": rng.normal(size=n).tolist(), "deviation": rng.random(n).tolist()})
    pieces = [rng.normal(size=(3, n)).astype(np.float32)]
    save(tmp_path / "a.npz", Dataset("a", pieces, pieces, pieces, whole))
    assert load(tmp_path / "a.npz").kind == whole


def test_the_record_of_a_run_has_no_number_for_each_band(kind, levels):
    frames = [kind.standardised(levels)]
    record = facts(Dataset("a", frames, frames, frames, kind))
    assert record["rate"] == RATE
    assert not {"mean", "deviation"} & set(record)


def chirps(kind: Spectrogram, length: int, seed: int) -> np.ndarray:
    """Frames of calls of about so many frames, with silences of 12 frames between them."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(-1, 0.1, (400, 39))
    start = 12
    while start < 360:
        n = length + int(rng.integers(-1, 2))
        frames[start : start + n] += 2
        start += n + 12
    return frames.astype(np.float32)


def test_statistics_of_stretched_and_of_silent_samples_differ_and_those_of_halves_agree(kind):
    data = [chirps(kind, 10, seed) for seed in range(6)]
    one, other = kind.statistics(data[::2]), kind.statistics(data[1::2])
    assert one == pytest.approx(other, rel=0.1)
    assert one["call_duration_ms"] == 80
    assert one["silence_duration_ms"] == 96
    assert one["calls_per_second"] == pytest.approx(5.3, rel=0.1)
    slow = kind.statistics([np.repeat(piece, 2, axis=0) for piece in data])
    assert (slow["call_duration_ms"], slow["silence_duration_ms"]) == (160, 192)
    stretched = kind.statistics([piece[np.arange(0, 399, 2 / 3).round().astype(int)] for piece in data])
    assert stretched["call_duration_ms"] == pytest.approx(1.5 * 80, abs=8)
    assert stretched["calls_per_second"] == pytest.approx(one["calls_per_second"] / 1.5, rel=0.05)
    silent = kind.statistics([np.full((400, 39), -1, np.float32)])
    assert (silent["silent_share"], silent["calls_per_second"], silent["call_duration_ms"]) == (1, 0, 0)


def test_statistics_are_drawn_with_one_threshold_and_the_halves_of_the_data(kind, tmp_path):
    data, samples = [chirps(kind, 10, seed) for seed in range(4)], [chirps(kind, 20, 9)]
    figure, axes = kind.draw_statistics(samples, data)
    durations = [np.median(line.get_xdata()[1:]) for line in axes[1, 0].lines]
    assert durations == [80, 80, 80, 160]  # halves, data, samples
    assert len(kind.draw_statistics(samples, data[:1])[1][1, 0].lines) == 2
    # values that are not standardised: the silence of both is that of the data
    _, axes = BARE.draw_statistics(
        [np.full((50, 40), -90.0)], [np.repeat([[-90.0], [-20.0]] * 3, 20, axis=0) * np.ones(40)]
    )
    assert len(axes[1, 0].lines) == 1
    figure.savefig(tmp_path / "a.png")
