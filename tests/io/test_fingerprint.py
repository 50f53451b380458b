"""Copies of a sound are found, and different sounds are told apart."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rnnrbm.io.fingerprint import duplicates, fingerprint, fingerprint_of
from rnnrbm.io.sound import read_sound, sound_files

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "vocalizations"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")


def of(samples, rate=8000):
    return fingerprint_of([np.asarray(samples, np.float32)], rate)


def test_the_distance_is_that_of_the_samples():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.2, 0.1, (2, 50_000))
    true = np.sqrt(np.mean((x - y) ** 2))
    assert of(x).distance(of(y)) == pytest.approx(true, rel=0.2)
    assert of(x).power == pytest.approx(x.var(), rel=1e-4)
    # of a shift by one sample, and of one sample that differs
    assert of(x).distance(of(np.roll(x, 1))) == pytest.approx(np.sqrt(np.mean((x - np.roll(x, 1)) ** 2)), rel=0.2)
    z = x.copy()
    z[777] += 1
    assert of(x).distance(of(z)) == pytest.approx(50_000**-0.5, rel=1e-3)


def test_where_the_blocks_are_cut_does_not_matter():
    x = np.random.default_rng(0).normal(0, 0.1, 5_000).astype(np.float32)
    whole = of(x)
    for cuts in ([1], [255, 256, 257], [1000, 1010, 4999]):
        parts = fingerprint_of(np.split(x, cuts), 8000)
        np.testing.assert_allclose(parts.sums, whole.sums, rtol=0, atol=1e-5)
        assert parts[:2] == whole[:2]
    assert whole.same(parts)


def test_rounding_and_only_rounding_makes_copies():
    rng = np.random.default_rng(1)
    x = rng.normal(0.1, 0.05, 30_000)
    rounded = np.round(x * 32768) / 32768
    assert of(x).same(of(rounded))
    assert not of(x).same(of(np.round(x * 2048) / 2048))  # 12 bits
    assert not of(x).same(of(x * 1.001))
    assert not of(x).same(of(x[:-1]))
    assert not of(x).same(of(x, 8001))
    quiet = rng.normal(0, 0.5 / 32768, (2, 30_000))
    assert not of(quiet[0]).same(of(quiet[1]))
    assert of(quiet[0]).same(of(quiet[0]))
    assert of(np.zeros(9)).same(of(np.zeros(9)))


def test_groups_of_copies():
    rng = np.random.default_rng(2)
    x, y, z = rng.normal(0, 0.1, (3, 4000))
    found = [of(x), of(y), of(x + 1e-5), of(z), of(y), of(x), of(x, 16_000), of(np.zeros(4000))]
    assert duplicates(found) == [[0, 2, 5], [1, 4]]
    assert duplicates(found[:2]) == duplicates([]) == []


def test_a_file_is_read_in_blocks(tmp_path):
    x = np.random.default_rng(3).uniform(-1, 1, (2**18 + 300, 2))
    soundfile.write(tmp_path / "a.flac", x, 8000)
    for channel in ("mix", 1):
        found = fingerprint(tmp_path / "a.flac", channel=channel)
        assert found.same(of(read_sound(tmp_path / "a.flac", channel=channel).samples))
    assert not fingerprint(tmp_path / "a.flac").same(found)


@needs_data
def test_copies_among_published_recordings():
    paths = [path for path in sound_files(DATA) if path.parent.name != "awkward"]
    prints = [fingerprint(path) for path in paths]
    groups = [[paths[i].relative_to(DATA).as_posix().split("__")[0] for i in group] for group in duplicates(prints)]
    whale = "humpback/glacier-bay-humpback"
    assert groups == [[f"{whale}.ogg", f"{whale}.wav"], ["robin/456440", "robin/456440"]]
    other = [a.distance(b) for i, a in enumerate(prints) for b in prints[:i] if not a.same(b)]
    assert min(other) > 0.01  # six clips of one recording have the same length
