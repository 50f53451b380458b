"""The table of sound samples: names of calls, a classifier that knows them, and samples that pass or do not."""

import sys
from pathlib import Path

import numpy as np
import pytest

import rnnrbm
from rnnrbm.datasets import Dataset
from rnnrbm.io.annotations import Annotation, write_annotations
from rnnrbm.kinds.spectrogram import Spectrogram
from rnnrbm.scoring.calls import call_threshold, find_calls
from rnnrbm.scoring.resemblance import discrepancies

pytest.importorskip("sklearn")
KIND = Spectrogram(16_000, 32, 8, 200, 6000, "mel", 16)
LABELS = ("a", "b", "c")


@pytest.fixture(scope="module")
def bench():
    """The script, whose neighbours are imported by their own names."""
    folder = str(Path(rnnrbm.__file__).parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        import sound_samples

        yield sound_samples
    finally:
        sys.path.remove(folder)


def song(seed: int, labels=LABELS, slope: float = 0.2) -> tuple[np.ndarray, list[tuple[int, int, str]]]:
    """Calls of three bands with silences between them, in decibels, and where each is."""
    rng = np.random.default_rng(seed)
    x = -90 + 0.5 * rng.normal(size=(330, 16))
    spans, start = [], 8
    while start < 310:
        n, label = int(rng.integers(8, 13)), labels[len(spans) % len(labels)]
        middle = 3.0 + 4 * LABELS.index(label) + slope * np.arange(n)[:, None]
        x[start : start + n] = np.maximum(x[start : start + n], -40 - 8 * np.abs(np.arange(16) - middle))
        spans.append((start, start + n, label))
        start += n + 8
    return x.astype(np.float32), spans


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Annotated recordings as a data set: nine of a song each, which begins two seconds after the recording."""
    folder = tmp_path_factory.mktemp("songs")
    pieces, names = [], []
    for seed in range(9):
        piece, spans = song(seed)
        pieces.append(piece)
        names.append(f"{seed}.wav 2.000-{2 + len(piece) * KIND.seconds_per_frame:.3f} s")
        first = 2 + 0.012  # a window of 32 ms and a hop of 8
        times = [(first + a * 0.008, first + b * 0.008, label) for a, b, label in spans]
        write_annotations(folder / f"{seed}.csv", [Annotation(*each) for each in times])
    splits = {"train": slice(0, 5), "valid": slice(5, 7), "test": slice(7, 9)}
    parts = {split: names[where] for split, where in splits.items()}
    return Dataset("songs", pieces[:5], pieces[5:7], pieces[7:], KIND, parts), folder


@pytest.fixture(scope="module")
def threshold(recordings):
    return call_threshold(recordings[0].train)


def sets_with(bench, data, threshold, samples):
    pieces = {"train": data.train, "valid": data.valid, "test": data.test, "samples": samples}
    return {
        name: bench.Sounds(each, find_calls(each, KIND.frequencies, KIND.seconds_per_frame, threshold))
        for name, each in pieces.items()
    }


def verdict_on(bench, recordings, threshold, samples):
    data, folder = recordings
    sets = sets_with(bench, data, threshold, samples)
    named = {split: bench.names(data, split, sets[split].calls, folder) for split in ("train", "valid", "test")}
    return sets, named, bench.classify(sets, named)


def test_calls_have_the_names_of_their_annotations(bench, recordings, threshold):
    _, named, _ = verdict_on(bench, recordings, threshold, [song(20)[0]])
    true = [label for seed in (7, 8) for _, _, label in song(seed)[1]]
    assert named["test"].labels.tolist() == true
    assert set(named["test"].recordings) == {"7.wav", "8.wav"}


def test_real_songs_pass_and_strange_ones_do_not(bench, recordings, threshold):
    _, _, verdict = verdict_on(bench, recordings, threshold, [song(seed)[0] for seed in (20, 21)])
    assert (verdict.accuracy, verdict.left_out_accuracy) == (1, 1)
    table, passes = bench.judged(verdict)
    assert passes
    assert [row[-1] for row in table[:5]] == ["verdict", "passes", "", "passes", "passes"]
    assert [row[1] for row in table[5:]] == [f"{share:.1%}" for share in verdict.share(verdict.guesses["samples"])]

    _, _, verdict = verdict_on(bench, recordings, threshold, [song(20, labels=("a", "b"))[0]])
    table, passes = bench.judged(verdict)
    assert not passes
    assert [row[-1] for row in table[3:5]] == ["passes", "DOES NOT PASS"]

    strange = song(20)[0][:, ::-1].copy()
    strange[strange.mean(axis=1) > threshold] += np.where(np.arange(16) % 2, 25, 0).astype(np.float32)
    _, _, verdict = verdict_on(bench, recordings, threshold, [strange])
    table, passes = bench.judged(verdict)
    assert table[3][-1] == "DOES NOT PASS"
    assert verdict.tops["samples"].mean() < verdict.tops["test"].mean() - 0.1


@pytest.mark.parametrize("silent", [False, True])
def test_everything_is_in_a_table_and_a_figure(bench, recordings, threshold, tmp_path, silent):
    samples = [np.full((330, 16), -90, np.float32) if silent else song(20)[0]]
    sets, _, verdict = verdict_on(bench, recordings, threshold, samples)
    three = [sets[name] for name in ("samples", "test", "train")]
    found = discrepancies(*(each.pieces for each in three), tuple(each.calls.spans for each in three), 0.008)
    near = bench.nearest(sets)
    table = {row[0]: row[1:] for row in bench.rows(sets, found, near)}
    n = len(song(20)[1])
    assert table["complete calls"][0] == ("0" if silent else f"{n}")
    assert table["sound"][:3] == ["2.6 s", "5.3 s", "13.2 s"]
    assert table["duration of a call"][0] == (
        "none" if silent else f"{8 * np.median([b - a for a, b, _ in song(20)[1]]):.4g} ms"
    )
    mmd = float(table["squared MMD of so many calls"][3])
    assert np.isnan(mmd) if silent else abs(mmd) < 0.05
    bench.draw(KIND, sets, near, found, verdict if silent else None, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 50_000
    assert bench.judged(verdict)[1] is not silent
    out = bench.judged(verdict)[0]
    assert out[3][1] == ("nan" if silent else f"{verdict.tops['samples'].mean():.3f}")


def test_recordings_without_annotations_are_named(bench, recordings, threshold, tmp_path):
    data, _ = recordings
    sets = sets_with(bench, data, threshold, [song(20)[0]])
    with pytest.raises(ValueError, match=r"0\.wav: has no annotations; leave --classifier out"):
        bench.names(data, "train", sets["train"].calls, tmp_path)
