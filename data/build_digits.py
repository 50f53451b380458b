"""Build ``digits.npz``, small images of handwritten digits, from the copy in scikit-learn.

Needs scikit-learn (only to rebuild; using the data set does not): ``python data/build_digits.py``. It prints the counts
of ``README.md``. The same scikit-learn gives the same arrays.
"""

import hashlib
from pathlib import Path

import numpy as np

SIZES = (1297, 250, 250)  # training, validation and test
SEED = 1998


def arrays() -> dict[str, np.ndarray]:
    """Return the arrays of the file, in the order of scikit-learn."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    split = np.empty(len(digits.target), np.uint8)
    split[np.random.default_rng(SEED).permutation(len(split))] = np.repeat(np.arange(3, dtype=np.uint8), SIZES)
    return {"images": digits.images.astype(np.uint8), "labels": digits.target.astype(np.uint8), "split": split}


def main() -> None:
    """Write the file, and print what it holds."""
    path = Path(__file__).with_name("digits.npz")
    made = arrays()
    np.savez_compressed(path, allow_pickle=False, **made)
    content = path.read_bytes()
    print(f"{len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")
    for i, name in enumerate(("train", "valid", "test")):
        counts = np.bincount(made["labels"][made["split"] == i], minlength=10)
        print(f"| {name} | {counts.sum()} | {' | '.join(map(str, counts))} |")


if __name__ == "__main__":
    main()
