"""How well calls are found by their loudness: recall and precision of boundaries, against annotations by experts.

On the Koumura set of Bengalese finch song (16 recordings, 636 syllables): all settings of a grid are tried on one half
of the recordings. The best are scored on the other half, of which nothing was known; both halves take both parts.
Margins are part of the settings: the medians of how much earlier and later than by its power a syllable is annotated.

    python benchmarks/segmentation.py [--data FOLDER]

FOLDER has the recordings and Annotation.xml; by default it is that of the environment variable RNNRBM_DATA.
"""

from __future__ import annotations

import argparse
import itertools
import os
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import common
import numpy as np

from rnnrbm.io.annotations import Annotation
from rnnrbm.io.segments import SegmentMatch, SegmentSettings, envelope, match_segments, pool, segments_above
from rnnrbm.io.sound import Sound, read_sound

Band = tuple[float, float | None]
BANDS: list[Band] = [(500.0, None), (500.0, 10_000.0), (1000.0, 10_000.0)]
SMOOTHING = [2.0, 3.0, 4.0, 6.0]
GRID = {
    "threshold": [3.0, 4.0, 5.0, 6.0, 8.0],
    "peak_db": [0.0, 5.0, 10.0],
    "min_gap_ms": [1.0, 2.0, 4.0],
    "min_length_ms": [15.0, 25.0, 30.0],
}


class Recording(NamedTuple):
    """A recording, its annotations, and the parts of it that are annotated, in seconds."""

    sound: Sound
    true: list[Annotation]
    spans: list[tuple[float, float]]


def load(folder: Path) -> dict[int, Recording]:
    """Read the recordings that are there, by number. The spans are not in what crowsetta returns."""
    found: dict[int, Recording] = {}
    for sequence in ElementTree.parse(folder / "Annotation.xml").getroot().iter("Sequence"):
        name = sequence.findtext("WaveFileName") or ""
        if not (folder / name).is_file():
            continue
        number = int(Path(name).stem)
        if number not in found:
            found[number] = Recording(read_sound(folder / name), [], [])
        sound, true, spans = found[number]

        def samples(element: ElementTree.Element, tag: str) -> int:
            return int(element.findtext(tag) or "")

        start = samples(sequence, "Position")
        spans.append((start / sound.rate, (start + samples(sequence, "Length")) / sound.rate))
        for note in sequence.iter("Note"):
            onset = start + samples(note, "Position")
            offset = onset + samples(note, "Length")
            true.append(Annotation(onset / sound.rate, offset / sound.rate, note.findtext("Label") or ""))
    return found


Powers = dict[tuple[Band, float], dict[int, np.ndarray]]


def score(
    recordings: dict[int, Recording], powers: dict[int, np.ndarray], settings: SegmentSettings, tolerance: float
) -> SegmentMatch:
    """Compare what is found in all recordings with their annotations."""
    return pool(
        match_segments(segments_above(powers[i], each.sound.rate, settings), each.true, tolerance, spans=each.spans)
        for i, each in recordings.items()
    )


def with_margins(
    recordings: dict[int, Recording], powers: dict[int, np.ndarray], settings: SegmentSettings
) -> SegmentSettings:
    """Add margins that take off the median errors, rounded to a quarter of a millisecond."""
    match = score(recordings, powers, settings, 0.01)
    before, after = np.median(match.onset_errors), -np.median(match.offset_errors)
    return replace(
        settings, **{k: max(round(4000 * v) / 4, 0.0) for k, v in (("before_ms", before), ("after_ms", after))}
    )


def choose(recordings: dict[int, Recording], powers: Powers) -> SegmentSettings:
    """Return the settings with the highest recall and precision; of equal ones, those of the smallest errors."""
    best: tuple[tuple[float, float], SegmentSettings] | None = None
    for (low, high), smoothing in itertools.product(BANDS, SMOOTHING):
        some = powers[(low, high), smoothing]
        for values in itertools.product(*GRID.values()):
            plain = SegmentSettings(low, high, smoothing, **dict(zip(GRID, values, strict=True)))
            settings = with_margins(recordings, some, plain)
            match = score(recordings, some, settings, 0.01)
            key = (min(match.recall, match.precision), -sum(match.median_errors))
            if best is None or key > best[0]:
                best = key, settings
    assert best is not None
    return best[1]


def row(name: str, match: SegmentMatch) -> list[str]:
    onset, offset = (f"{1000 * error:.2f}" for error in match.median_errors)
    return [name, f"{match.n_true}", f"{match.n_found}", f"{match.recall:.2%}", f"{match.precision:.2%}", onset, offset]


def histogram(errors: np.ndarray) -> str:
    """Errors in steps of a millisecond, as bars of characters from -10 to 10 ms."""
    counts, _ = np.histogram(1000 * errors, np.arange(-10.5, 11))
    bars = " ▁▂▃▄▅▆▇█"
    return "".join(bars[int(np.ceil(8 * count / counts.max()))] for count in counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    place = Path(os.environ.get("RNNRBM_DATA", "")) / "vocalizations" / "bengalese_finch_koumura"
    parser.add_argument("--data", type=Path, default=place)
    options = parser.parse_args()
    common.header("scipy", device=False)
    recordings = load(options.data)
    powers: Powers = {}
    for band, smoothing in itertools.product(BANDS, SMOOTHING):
        settings = SegmentSettings(*band, smoothing)
        powers[band, smoothing] = {i: envelope(*each.sound, settings) for i, each in recordings.items()}
    halves = [{i: each for i, each in recordings.items() if i % 2 == part} for part in (0, 1)]
    titles = ("even numbers", "odd numbers")
    for (chosen, tested), (here, there) in zip((halves, halves[::-1]), (titles, titles[::-1]), strict=True):
        settings = choose(chosen, powers)
        some = powers[(settings.low, settings.high), settings.smoothing_ms]
        print(f"\nchosen on {here}:", ", ".join(f"{k}={v}" for k, v in asdict(settings).items()))
        rows = [["recordings, tolerance", "true", "found", "recall", "precision", "onsets, ms", "offsets, ms"]]
        rows += [row(f"{here} (of the choice), 10 ms", score(chosen, some, settings, 0.01))]
        rows += [row(f"{there}, {t} ms", score(tested, some, settings, t / 1000)) for t in (10, 20, 5)]
        plain = SegmentSettings(before_ms=settings.before_ms, after_ms=settings.after_ms)
        default = powers[(plain.low, plain.high), plain.smoothing_ms]
        rows += [row(f"{there}, default settings, 10 ms", score(tested, default, SegmentSettings(), 0.01))]
        rows += [row("  ... and margins", score(tested, default, plain, 0.01))]
        common.table(rows)
        match = score(tested, some, settings, 0.01)
        print(f"errors from -10 to 10 ms: onsets [{histogram(match.onset_errors)}]")
        print(f"                          offsets [{histogram(match.offset_errors)}]")


if __name__ == "__main__":
    main()
