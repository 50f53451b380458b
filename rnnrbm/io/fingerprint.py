"""Sounds that are the same but for rounding: finding copies of a recording among files.

A hash of samples differs as soon as one of them does, and a file decoded from OGG and its copy in 16 bits differ in
nearly all, by a step of rounding. However coarsely samples are rounded before a hash, among a million some lie at the
edge of two steps. A fingerprint gives a distance instead. It has 256 sums, each over every 256th sample, with random
signs. The squared differences of two fingerprints add up to those of the sounds, to within 9 % (Alon, Matias & Szegedy
1996, the "tug-of-war" sketch). So the root mean square of the difference of two sounds is known without having both in
memory.
"""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from rnnrbm.io.sound import Channel, sound_blocks, sound_info

__all__ = ["Fingerprint", "duplicates", "fingerprint", "fingerprint_of"]

_SUMS = 256
#: Greatest root mean square of the difference of the same sound: one step of 16 bits. Rounding alone gives 0.29 of it.
_STEP = 1 / 32768
#: ... and of the sound itself, so that two different sounds, each of a step or less, stay different.
_PART = 0.25


class Fingerprint(NamedTuple):
    """What tells a sound from others, and not from its copies.

    Attributes
    ----------
    rate : int
        Samples per second, in hertz.
    n_samples : int
    power : float
        Mean square of the samples about their mean.
    sums : numpy.ndarray, shape (256,)
        Sums of samples with random signs.
    """

    rate: int
    n_samples: int
    power: float
    sums: np.ndarray

    def distance(self, other: "Fingerprint") -> float:
        """Return the estimated root mean square of the difference of two sounds; infinite if rate or length differ."""
        if (self.rate, self.n_samples) != (other.rate, other.n_samples):
            return float("inf")
        return float(np.sqrt(np.square(self.sums - other.sums).sum() / self.n_samples))

    def same(self, other: "Fingerprint") -> bool:
        """Return whether two sounds are the same, up to rounding to 16 bits.

        They have the same rate and length, and their difference has a root mean square of at most 1/32768, and of at
        most a quarter of that of the quieter one. Equal sounds are the same however quiet they are.
        """
        quieter = min(self.power, other.power) ** 0.5
        return (distance := self.distance(other)) == 0 or distance <= min(_STEP, _PART * quieter)


def fingerprint(path: str | os.PathLike[str], *, channel: Channel = "mix") -> Fingerprint:
    """Return the fingerprint of a sound file, read block by block; errors are those of `rnnrbm.io.sound.read_sound`."""
    return fingerprint_of(sound_blocks(path, channel=channel), sound_info(path).rate)


def fingerprint_of(blocks: Iterable[np.ndarray], rate: int) -> Fingerprint:
    """Return the fingerprint of a sound.

    Parameters
    ----------
    blocks : iterable of numpy.ndarray, shape (n,)
        Its samples, cut anywhere: ``[samples]``, or what `rnnrbm.io.sound.sound_blocks` returns.
    rate : int
        Samples per second, in hertz.
    """
    signs = np.random.Philox(key=0)  # its raw numbers are the same in every version of NumPy
    sums, total, squares, n = np.zeros(_SUMS), 0.0, 0.0, 0
    rest = np.empty(0, np.float32)
    for block in blocks:
        n += len(block)
        # of full precision, so that a constant offset can be taken away afterwards
        total += float(block.sum(dtype=float))
        squares += float(np.square(block, dtype=float).sum())
        rest = np.concatenate([rest, block])
        rows = len(rest) // _SUMS
        sums += _signed(rest[: rows * _SUMS], signs)
        rest = rest[rows * _SUMS :]
    if len(rest):
        sums += _signed(np.pad(rest, (0, _SUMS - len(rest))), signs)
    mean = total / max(n, 1)
    return Fingerprint(rate, n, max(squares / max(n, 1) - mean**2, 0.0), sums)


def _signed(samples: np.ndarray, signs: np.random.Philox) -> np.ndarray:
    """Return the 256 sums of some rows of samples with the next random signs."""
    if not len(samples):
        return np.zeros(_SUMS)
    words = signs.random_raw(len(samples) // 64).astype("<u8")
    negative = np.unpackbits(words.view(np.uint8)).view(bool)
    signed = np.where(negative, -samples, samples)
    return signed.reshape(-1, _SUMS).sum(axis=0, dtype=float)


def duplicates(fingerprints: Sequence[Fingerprint]) -> list[list[int]]:
    """Return the groups of two or more sounds that are the same, as positions in the list, in its order."""
    lengths: dict[tuple[int, int], list[int]] = {}
    for i, each in enumerate(fingerprints):
        lengths.setdefault((each.rate, each.n_samples), []).append(i)
    groups: list[list[int]] = []
    for alike in lengths.values():
        loudness = {i: fingerprints[i].power ** 0.5 for i in alike}
        first = len(groups)
        for i in sorted(alike, key=loudness.__getitem__):
            # two sounds cannot differ by less than their deviations do, so only the last groups come into question
            for group in reversed(groups[first:]):
                if loudness[i] - loudness[group[0]] > 2 * _STEP:
                    groups.append([i])
                    break
                if fingerprints[group[0]].same(fingerprints[i]):
                    group.append(i)
                    break
            else:
                groups.append([i])
    return sorted(sorted(group) for group in groups if len(group) > 1)
