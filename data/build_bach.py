"""Build ``bach.npz``, the four-part chorales of J. S. Bach, from the corpus of music21.

Needs music21 (only to rebuild; using the data set does not): ``python data/build_bach.py``. It
takes about a minute and prints what it left out and the counts of ``README.md``, where the rules
are explained. The same music21 gives the same arrays, byte for byte.
"""

import argparse
import hashlib
import re
import unicodedata
import warnings
from collections import Counter, defaultdict
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VOICES = ("Soprano", "Alto", "Tenor", "Bass")
STEPS = 4  # stored steps per quarter note: eighths and quarters are every second, every fourth one
REST = 0
SPLITS = ("train", "valid", "test")
FRACTIONS = (0.70, 0.15, 0.15)
SEED = 1685

LEFT_OUT = {
    "846": "a keyboard prelude",
    "27.6": "five voices",
    "227.3": "five voices",
    "112.5-sc": "112.5 with instruments",
    "190.7-inst": "190.7 with instruments",
    "248.9-1": "248.9-s with interludes",
    "248.23-2": "248.23-s in 12/8 with interludes",
    "248.42-4": "248.42-s with interludes",
    "248.64-6": "248.64-s with interludes",
    "62.6": "the file holds the notes of 274",
}

# Temperley, "Music and Probability" (2007): in what share of the segments of the Kostka and Payne
# corpus each pitch class occurs, in keys on pitch class 0.
PROFILES = {
    "major": (0.748, 0.06, 0.488, 0.082, 0.67, 0.46, 0.096, 0.715, 0.104, 0.366, 0.057, 0.4),
    "minor": (0.712, 0.084, 0.474, 0.618, 0.049, 0.46, 0.105, 0.747, 0.404, 0.067, 0.133, 0.33),
}

MELODY_THRESHOLD = 0.50  # see `melody_similarity`
HARMONY_THRESHOLD = 0.15  # see `harmony_similarity`
# Sung to one tune, or to the first half of one, in versions too free for the alignment.
SAME_TUNE = {
    ("57.8", "137.5"),
    ("6.6", "126.6"),
}
LARGE_GROUP = 0.02  # of the pieces; such groups go to train, or one tune would be most of a split


class Piece(NamedTuple):
    """One chorale: BWV number, title, pitches (T, 4) in sixteenths, tonic 0 to 11, mode."""

    bwv: str
    title: str
    pitch: np.ndarray
    tonic: int
    mode: str

    @property
    def shift(self) -> int:
        """Semitones to C major or A minor, from -5 to 6."""
        target = 0 if self.mode == "major" else 9
        return (target - self.tonic + 5) % 12 - 5


def steps(quarters: Any) -> int:
    """Return the first stored step that is not before a time in quarter notes."""
    return -int(-Fraction(quarters) * STEPS // 1)


def find_voices(score: Any) -> list[Any] | None:
    """Return the soprano, alto, tenor and bass parts, or None unless there is just one of each."""
    found: list[Any] = []
    for voice in VOICES:
        parts = [p for p in score.parts if (p.partName or "").split()[:1] == [voice]]
        if len(parts) != 1:
            return None
        found += parts
    return found


def playing_order(part: Any, end: int) -> np.ndarray:
    """Return the stored steps in the order in which they sound, every repeat played once."""
    marks: list[tuple[int, str]] = []
    for repeat in part.recurse().getElementsByClass("Repeat"):
        marks.append((steps(repeat.getOffsetInHierarchy(part)), repeat.direction))
    endings: dict[int, int] = {}  # end of a first ending -> its beginning
    for bracket in part.recurse().getElementsByClass("RepeatBracket"):
        if bracket.number == "1":
            first, last = bracket.getFirst(), bracket.getLast()
            stop = last.getOffsetInHierarchy(part) + last.duration.quarterLength
            endings[steps(stop)] = steps(first.getOffsetInHierarchy(part))
    order: list[int] = []
    begin = position = 0
    for step, direction in sorted(marks):  # at one place "end" comes before "start", as it should
        order += range(position, step)
        if direction == "end":
            order += range(begin, endings.get(step, step))
        begin = position = step
    return np.array([*order, *range(position, end)])


def pitches(parts: list[Any]) -> np.ndarray:
    """Return the MIDI notes (T, 4) that sound at the start of each stored step, 0 for a rest."""
    end = max(steps(part.highestTime) for part in parts)
    pitch = np.zeros((end, len(parts)), np.uint8)
    for voice, part in enumerate(parts):
        for note in part.flatten().notes:
            if note.duration.isGrace:
                continue
            (sound,) = note.pitches  # one voice, one note at a time
            stop = Fraction(note.offset) + Fraction(note.duration.quarterLength)
            pitch[steps(note.offset) : steps(stop), voice] = sound.midi
    return cut_silence(pitch[playing_order(parts[0], end)])


def cut_silence(pitch: np.ndarray) -> np.ndarray:
    """Cut silent quarters: at both ends, and inside wherever four or more follow each other."""
    pitch = np.pad(pitch, ((0, -len(pitch) % STEPS), (0, 0)))
    quarters = pitch.reshape(-1, STEPS, pitch.shape[1])
    silent = (quarters == REST).all((1, 2))
    keep = np.ones(len(silent), bool)
    begin = 0
    for t in range(1, len(silent) + 1):
        if t == len(silent) or silent[t] != silent[begin]:
            at_the_end = begin == 0 or t == len(silent)
            if silent[begin] and (at_the_end or t - begin >= 4):
                keep[begin:t] = False
            begin = t
    return quarters[keep].reshape(-1, pitch.shape[1])


def find_key(pitch: np.ndarray, sharps: int) -> tuple[int, str]:
    """Return the tonic (pitch class) and the mode from the final bass note and the key signature.

    Where the piece ends on the major or minor tonic of its signature, or on the second degree (the
    old Dorian signature), that is the tonic. The others end on a dominant or are modal: the key
    whose profile correlates best with the durations of the pitch classes.
    """
    bass = pitch[:, 3][pitch[:, 3] != REST]
    final, tonic = int(bass[-1]) % 12, 7 * sharps % 12
    degrees = {0: "major", 9: "minor", 2: "minor"}
    degree = (final - tonic) % 12
    if degree in degrees:
        return final, degrees[degree]
    weights = np.bincount(pitch[pitch != REST] % 12, minlength=12)
    scores = {
        (key, mode): np.corrcoef(np.roll(profile, key), weights)[0, 1]
        for mode, profile in PROFILES.items()
        for key in range(12)
    }
    return max(scores, key=scores.__getitem__)


def read_corpus() -> list[Piece]:
    """Read every four-part chorale of the corpus, exact duplicates left out."""
    import music21

    lists = (music21.corpus.chorales.ChoraleListRKBWV(), music21.corpus.chorales.ChoraleList())
    titles: dict[str, str] = {}
    for numbers in lists:
        for bwv, entry in numbers.byBWV.items():
            titles.setdefault(str(bwv), entry["title"].replace("AAch", "Ach"))  # a slip of the pen
    folder = Path(music21.__file__).parent / "corpus" / "bach"
    files = [p for p in folder.iterdir() if p.suffix in (".mxl", ".xml")]  # the .krn are copies
    pieces: list[Piece] = []
    seen: dict[bytes, str] = {}
    for path in sorted(files, key=lambda p: bwv_order(p.stem[3:])):
        bwv = path.stem[3:]
        if bwv in LEFT_OUT:
            print(f"left out: {bwv:10} {LEFT_OUT[bwv]}")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about layout; the notes are checked below
            parts = find_voices(music21.converter.parse(path, forceSource=True))
        if parts is None:
            raise SystemExit(f"{path.name}: not the four voices {VOICES}; add it to LEFT_OUT")
        pitch = pitches(parts)
        signatures = [next(p.recurse().getElementsByClass("KeySignature")).sharps for p in parts]
        sharps = Counter(signatures).most_common(1)[0][0]  # in a few files the soprano's is wrong
        piece = Piece(bwv, titles.get(bwv, ""), pitch, *find_key(pitch, sharps))
        # A copy: the same quarters, transposed or not.
        beat = pitch[::STEPS].astype(int)
        copy = np.where(beat == REST, 99, beat - beat[beat != REST].min()).astype(np.int8).tobytes()
        if copy in seen:
            print(f"left out: {bwv:10} the same quarters as {seen[copy]}")
            continue
        seen[copy] = bwv
        pieces.append(piece)
    return pieces


def bwv_order(bwv: str) -> tuple[list[int], str]:
    """Sort BWV numbers by their numbers, then by their letters."""
    return [int(n) for n in re.findall(r"\d+", bwv.partition("-")[0])], bwv


def melody(piece: Piece) -> np.ndarray:
    """Return the steps of the soprano from quarter to quarter, in semitones.

    Rests and repeated notes are left out, so duration plays no part: a tune in three and in four
    beats gives the same steps.
    """
    notes = piece.pitch[::STEPS, 0].astype(int)
    notes = notes[notes != REST]
    leaps = np.diff(notes)
    return leaps[leaps != 0]


def melody_similarity(pieces: list[Piece]) -> np.ndarray:
    """Return the score of the best local alignment of every two tunes, over the shorter's length.

    Smith and Waterman (1981): a matched step counts +1, a changed, added or left-out one -1.
    Transposition changes nothing.
    """
    tunes = [melody(p) for p in pieces]
    length = np.array([len(t) for t in tunes])
    table = np.full((len(tunes), length.max()), 99)
    for row, tune in zip(table, tunes, strict=True):
        row[: len(tune)] = tune
    gaps = np.arange(table.shape[1] + 1)
    result = np.zeros((len(tunes), len(tunes)))
    for i, tune in enumerate(tunes):
        above = np.zeros((len(tunes), len(gaps)), int)
        best = np.zeros(len(tunes), int)
        for step in tune:
            row = np.zeros_like(above)
            diagonal = above[:, :-1] + np.where(table == step, 1, -1)
            row[:, 1:] = np.maximum(diagonal, above[:, 1:] - 1)
            # A gap along the row: max over k <= j of row[k] - (j - k).
            above = np.maximum(np.maximum.accumulate(row + gaps, axis=1) - gaps, 0)
            best = np.maximum(best, above.max(1))
        result[i] = best / np.minimum(length[i], length)
    return result


def harmony_similarity(pieces: list[Piece]) -> np.ndarray:
    """Return the share of chord moves of the shorter piece found in the other at the best offset.

    A chord move is the four voices of two quarters in a row, relative to the first bass note.
    """
    where: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    count = np.zeros(len(pieces))
    for i, piece in enumerate(pieces):
        beat = piece.pitch[::STEPS].astype(np.int16)
        for t in range(len(beat) - 1):
            move = beat[t : t + 2]
            if (move != REST).all() and (move[0] != move[1]).any():
                where[(move - move[0, 3]).tobytes()].append((i, t))
                count[i] += 1
    hits: Counter[tuple[int, int, int]] = Counter()
    for places in where.values():
        hits.update((i, j, t - s) for (i, s), (j, t) in combinations(places, 2) if i != j)
    result = np.zeros((len(pieces), len(pieces)))
    for (i, j, _), n in hits.items():
        result[i, j] = result[j, i] = max(result[i, j], n / min(count[i], count[j]))
    return result


def plain(title: str) -> str:
    """Return a title without case, accents, punctuation and spaces."""
    ascii_only = unicodedata.normalize("NFKD", title.replace("ß", "ss")).encode("ascii", "ignore")
    return re.sub("[^a-z]", "", ascii_only.decode().lower().replace("herre", "herr"))


def find_groups(pieces: list[Piece]) -> np.ndarray:
    """Return a group number for each piece; a tie by title, number, tune or harmony is enough."""
    parent = list(range(len(pieces)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    tune, harmony = melody_similarity(pieces), harmony_similarity(pieces)
    for i, j in combinations(range(len(pieces)), 2):
        a, b = pieces[i], pieces[j]
        if (
            (a.title and plain(a.title) == plain(b.title))
            or a.bwv.partition("-")[0] == b.bwv.partition("-")[0]
            or (a.bwv, b.bwv) in SAME_TUNE
            or tune[i, j] >= MELODY_THRESHOLD
            or harmony[i, j] >= HARMONY_THRESHOLD
        ):
            parent[max(root(i), root(j))] = min(root(i), root(j))
    roots = [root(i) for i in range(len(pieces))]
    number = {r: n for n, r in enumerate(dict.fromkeys(roots))}
    return np.array([number[r] for r in roots], np.int16)


def assign(groups: np.ndarray) -> np.ndarray:
    """Return the split (0 train, 1 valid, 2 test) of each piece: whole groups, by a fixed seed."""
    rng = np.random.default_rng(SEED)
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    wanted = np.array(FRACTIONS) * len(groups)
    split = np.zeros(len(sizes), np.uint8)
    have = np.zeros(3)
    large = sizes > LARGE_GROUP * len(groups)
    have[0] = sizes[large].sum()
    for g in order[~large[order]]:  # the others in random order, each to the split that lacks most
        split[g] = np.argmax((wanted - have) / wanted)
        have[split[g]] += sizes[g]
    return split[groups]


def build() -> dict[str, np.ndarray]:
    """Return the arrays of ``bach.npz``."""
    pieces = read_corpus()
    groups = find_groups(pieces)
    return {
        "pitch": np.concatenate([p.pitch for p in pieces]),
        "length": np.array([len(p.pitch) for p in pieces], np.int32),
        "transposition": np.array([p.shift for p in pieces], np.int8),
        "minor": np.array([p.mode == "minor" for p in pieces]),
        "group": groups,
        "split": assign(groups),
        "bwv": np.array([p.bwv for p in pieces]),
        "title": np.array([p.title for p in pieces]),
    }


def main() -> None:
    """Build, write, and print what was built."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("bach.npz"))
    path = parser.parse_args().output
    arrays = build()
    np.savez_compressed(path, allow_pickle=False, **arrays)
    quarters = arrays["length"] // STEPS
    for s, name in enumerate(SPLITS):
        chosen = arrays["split"] == s
        print(
            f"{name}: {chosen.sum()} pieces, {len(set(arrays['group'][chosen]))} groups, "
            f"{quarters[chosen].sum()} quarters"
        )
    print("largest groups:", np.sort(np.bincount(arrays["group"]))[::-1][:12])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"{path.name}: {path.stat().st_size} bytes, SHA-256 {digest}")


if __name__ == "__main__":
    main()
