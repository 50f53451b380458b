"""Files of published data sets: where they are looked for, and downloading them once into the cache folder."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rnnrbm.files import atomic, cache_folder, read_bytes
from rnnrbm.warn import warn

__all__ = ["DATA_VARIABLE", "PublishedFile", "locate", "sha256_of_file"]

#: The environment variable that names a folder with data files.
DATA_VARIABLE = "RNNRBM_DATA"


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(read_bytes(path, "a published data set")).hexdigest()


class PublishedFile(NamedTuple):
    """A file of a data set that others have published.

    Attributes
    ----------
    data_set : str
        Name of the data set, such as ``"jsb"``.
    folder : str
        Sub-folder of the folder RNNRBM_DATA in which the file is looked for first.
    address : str
        Folder on the web, without a slash at its end.
    file : str
        Name of the file.
    sha256 : str
        What `digest` returns of the right file: 64 hexadecimal digits.
    digest : callable
        Returns the SHA-256 of a file, or of what it expands to. It may raise ValueError for a damaged file.
    digest_name : str
        What `digest` calculates, in messages.
    other_names : tuple of str
        Other names that the file may have in the folder RNNRBM_DATA.
    """

    data_set: str
    folder: str
    address: str
    file: str
    sha256: str
    digest: Callable[[Path], str] = sha256_of_file
    digest_name: str = "SHA-256"
    other_names: tuple[str, ...] = ()

    def is_right(self, path: Path) -> bool:
        """Return whether a file has the published content."""
        try:
            return self.digest(path) == self.sha256
        except ValueError:  # it is damaged
            return False


def locate(wanted: PublishedFile) -> Path:
    """Return the path of a published file; download it if it is missing.

    The file is first looked up in the folder that the environment variable RNNRBM_DATA names, first in a sub-folder. A
    file there is used as it is, with a warning if it differs from the published one. Then the file is looked up in
    ``data`` in the cache folder (that of the platform, or the folder that RNNRBM_CACHE names), where only the published
    content is accepted. A missing or damaged file is downloaded there, and gets its name only when it is complete and
    correct.

    Raises
    ------
    FileNotFoundError
        If the file is in none of these places and cannot be downloaded, for example without a network.
    OSError
        If the cache folder cannot be written or read.
    ValueError
        If the download is not the published file.
    """
    given = os.environ.get(DATA_VARIABLE)
    names = (wanted.file, *wanted.other_names)
    folders = [Path(given) / wanted.folder, Path(given)] if given else []
    for path in (folder / name for folder in folders for name in names):
        if path.is_file():
            if not wanted.is_right(path):
                warn(
                    f"{path}: is not the published file of {wanted.data_set!r} (its {wanted.digest_name} differs), and "
                    "is used as it is"
                )
            return path
    return _download(wanted, [folder / wanted.file for folder in folders])


def _download(wanted: PublishedFile, tried: list[Path]) -> Path:
    """Return the published file in the cache; `tried` are the paths where a user's own file may lie."""
    import pooch
    from requests.exceptions import HTTPError, RequestException

    file, what = wanted.file, f"the data set {wanted.data_set!r}"
    folder = cache_folder() / "data"
    url, path = f"{wanted.address}/{file}", folder / file
    try:
        if path.is_file() and wanted.is_right(path):
            return path
        folder.mkdir(parents=True, exist_ok=True)
        pooch.get_logger().info(f"Downloading data from '{url}' to file '{path}'.")
        with atomic(path) as temporary, _bar(file) as bar:
            pooch.HTTPDownloader(progressbar=bar or False)(url, str(temporary), None)
            if not wanted.is_right(temporary):
                raise ValueError
        return path
    except RequestException as error:
        # messages of requests for failed connections name its own objects, over several lines
        reason = str(error) if isinstance(error, HTTPError) else type(error).__name__
        places = (
            " or ".join(map(str, tried)) or f"{file} in a folder that the environment variable {DATA_VARIABLE} names"
        )
        raise FileNotFoundError(
            f"{what} needs {file}, which could not be fetched from {url} ({reason}): try again with a network "
            f"connection, or download the file by other means and put it at {places} or {path}"
        ) from None
    except ValueError:
        raise ValueError(
            f"the download from {url} is not the {file} of {what}: its {wanted.digest_name} is not {wanted.sha256}. It "
            f"was damaged or changed, and was deleted; try again, or download the file by other means and put it at "
            f"{path}"
        ) from None
    except OSError as error:
        raise OSError(
            f"{folder}: {file} of {what} cannot be stored there ({error}); make the folder writable, or set another "
            "folder in the environment variable RNNRBM_CACHE"
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
