"""The files that come with the library, and the chorales among them."""

from importlib.resources import files as package_files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np

from rnnrbm.io.rolls import PIANO, PIANO_ROLL, SPLITS, Contents

__all__ = ["embedded_file", "load_bach"]

_STORED_STEPS = 4  # steps per beat in bach.npz


def embedded_file(name: str) -> Traversable:
    """Return a file that comes with the library: in an installed package, or beside it in a checkout.

    Raises
    ------
    FileNotFoundError
        If it is missing.
    """
    installed = package_files("rnnrbm") / "data" / name
    checkout = Path(__file__).resolve().parents[2] / "data" / name
    for file in (installed, checkout):
        if file.is_file():
            return file
    raise FileNotFoundError(
        f"a file that comes with rnnrbm is missing: neither {installed} nor {checkout} exists; install rnnrbm again, "
        f"or restore data/{name} in the checkout"
    )


def load_bach(steps_per_beat: int, original_key: bool) -> Contents:
    """Return the embedded chorales; for the arguments see `rnnrbm.datasets.load`.

    Raises
    ------
    ValueError
        If `steps_per_beat` is none of 1, 2 and 4.
    """
    if steps_per_beat not in (1, 2, _STORED_STEPS):
        raise ValueError(
            f"steps_per_beat={steps_per_beat!r} for 'bach': expected 1 (quarter notes), 2 (eighth "
            "notes) or 4 (sixteenth notes)"
        )
    with embedded_file("bach.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        data = {key: arrays[key] for key in arrays.files}
    rolls: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    names: dict[str, list[str]] = {split: [] for split in SPLITS}
    pieces = np.split(data["pitch"], np.cumsum(data["length"])[:-1])
    for i, sixteenths in enumerate(pieces):
        # A frame holds what sounds at its start, so coarser frames are every second, every fourth.
        pitch = sixteenths[:: _STORED_STEPS // int(steps_per_beat)].astype(int)
        t, voice = np.nonzero(pitch)
        shift = 0 if original_key else int(data["transposition"][i])
        roll = np.zeros((len(pitch), PIANO[1] - PIANO[0] + 1), np.uint8)
        roll[t, pitch[t, voice] + shift - PIANO[0]] = 1
        split = SPLITS[data["split"][i]]
        rolls[split].append(roll)
        names[split].append(f"BWV {data['bwv'][i]} {data['title'][i]}".rstrip())
    return Contents("bach", rolls, names, {"kind": PIANO_ROLL, "low": PIANO[0], "steps_per_beat": steps_per_beat})
