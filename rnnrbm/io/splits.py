"""Dividing the files of a folder into training, validation and test sets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnrbm.arguments import whole_number
from rnnrbm.io.rolls import SPLITS

__all__ = ["DEFAULT_SPLIT", "check_split", "counts", "divided", "has_splits", "split_by_folders"]

DEFAULT_SPLIT = (0.7, 0.15, 0.15)


def check_split(split: Sequence[float], seed: int) -> tuple[np.ndarray, int]:
    """Return the fractions of a split, shape (3,), and its seed, or raise an error that says what is wrong."""
    seed = whole_number("seed", seed, 0)
    fractions = np.asarray(split, float)
    if fractions.shape != (3,) or not (fractions > 0).all() or abs(fractions.sum() - 1) > 1e-6:
        raise ValueError(f"split={split}: expected three positive fractions that add up to 1")
    return fractions, seed


def has_splits(folder: Path) -> bool:
    """Return whether a folder has a sub-folder that is called as a split."""
    return any((folder / split).is_dir() for split in SPLITS)


def split_by_folders(folder: Path, paths: Sequence[Path], what: str, split: Sequence[float], seed: int) -> bool:
    """Return whether the sub-folders ``train``, ``valid`` and ``test`` say where each file goes.

    Parameters
    ----------
    folder : pathlib.Path
    paths : sequence of pathlib.Path
        The files below it.
    what : str
        Their kind, for errors: ``"MIDI"``.
    split, seed
        What was chosen, which must be the defaults if there are sub-folders.

    Raises
    ------
    ValueError
        If there are some of these sub-folders only, or files outside them; or if they are there, and a split or a seed
        was chosen too.
    """
    if not has_splits(folder):
        return False
    present = [s for s in SPLITS if (folder / s).is_dir()]
    outside = [p for p in paths if p.relative_to(folder).parts[0] not in present]
    if len(present) < len(SPLITS) or outside:
        found = f"sub-folders {', '.join(present)}" + (
            f" and {len(outside)} {what} files outside them, such as {outside[0]}" if outside else ""
        )
        raise ValueError(
            f"{folder}: found {found}; expected all {what} files in sub-folders train, valid and "
            "test, or no sub-folder of such a name (then `split` divides the files)"
        )
    if tuple(split) != DEFAULT_SPLIT or seed != 0:
        raise ValueError(f"{folder}: split and seed cannot be chosen, its sub-folders are the splits")
    return True


def divided(names: Sequence[str], fractions: np.ndarray, seed: int) -> dict[str, list[str]]:
    """Divide three names or more at random; in each split they keep their order."""
    order = np.random.default_rng(seed).permutation(len(names))
    first, second = np.cumsum(counts(len(names), fractions))[:2]
    parts = (order[:first], order[first:second], order[second:])
    return {s: [names[i] for i in sorted(part)] for s, part in zip(SPLITS, parts, strict=True)}


def counts(n: int, fractions: np.ndarray) -> np.ndarray:
    """Return the number of pieces for each split: about n * fractions, at least 1 each."""
    found = np.maximum(np.floor(n * fractions + 1e-9).astype(int), 1)
    while found.sum() != n:
        lack = n * fractions - found
        if found.sum() < n:
            found[np.argmax(lack)] += 1
        else:
            found[np.argmin(np.where(found > 1, lack, np.inf))] -= 1
    return found
