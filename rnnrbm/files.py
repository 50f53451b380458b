"""The cache folder, atomic writing of files, and reading and hashing arrays."""

import errno
import hashlib
import json
import math
import os
import re
import secrets
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

#: the disk, or the part of it that a user or a file may take, is full
_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}

__all__ = [
    "as_text",
    "atomic",
    "cache_folder",
    "check_folder",
    "check_path",
    "check_readable",
    "check_regular",
    "check_writable",
    "file_name",
    "files_below",
    "first_line",
    "folder_for",
    "hash_of",
    "load_arrays",
    "make_folder",
    "read_bytes",
    "temporary_target",
    "to_json",
]


def cache_folder() -> Path:
    """Return the folder for files that can be made or downloaded again: ``$RNNRBM_CACHE``, else the user's cache."""
    if (given := os.environ.get("RNNRBM_CACHE")) is not None:
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("rnnrbm", appauthor=False)


def check_path(path: Any, what: str) -> None:
    """Raise TypeError unless something is a path, to `what`."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{path!r:.60} of type {type(path).__name__}: expected the path of {what}")


def check_regular(path: str | os.PathLike[str], what: str) -> None:
    """Raise OSError for a pipe or a device, which would be waited for, or read without an end."""
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(f"{path}: a pipe or a device; expected {what}, copy it to a file first")


def read_bytes(path: str | os.PathLike[str], what: str, *, most: int | None = None) -> bytes:
    """Return the bytes of a file.

    Parameters
    ----------
    path : path-like
    what : str
        Expected content, for the error message, such as ``"a MIDI file"``.
    most : int or None
        Most bytes that it may have.

    Raises
    ------
    OSError
        If the file does not exist or cannot be read; the message is in words instead of an error number.
    ValueError
        If it has more than `most` bytes.
    """
    check_path(path, what)
    check_regular(path, what)
    with _in_words(path, what):
        if most is not None and (size := Path(path).stat().st_size) > most and not Path(path).is_dir():
            raise ValueError(f"{path}: has {size} bytes, expected at most {most} of {what}")
        return Path(path).read_bytes()


def check_readable(path: str | os.PathLike[str], what: str) -> None:
    """Raise an OSError in words unless `path` is a file that can be opened, for a library that reads it by itself."""
    check_path(path, what)
    check_regular(path, what)
    with _in_words(path, what), open(path, "rb"):
        pass


@contextmanager
def _in_words(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Say in words, instead of an error number, why a file cannot be opened or read."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file; give the path of {what}") from None
    except OSError as error:
        if Path(path).is_dir():  # Windows says that permission is denied
            raise IsADirectoryError(f"{path}: is a folder; give the path of {what}") from None
        reason = error.strerror or type(error).__name__
        raise type(error)(f"{path}: cannot be read ({reason}); expected {what}") from None


def files_below(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files of some suffixes in a folder and below it, in the same order on every system."""
    return sorted(
        (p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file()),
        # identically on every system, so that a seed gives the same split everywhere
        key=lambda p: p.relative_to(folder).as_posix(),
    )


def load_arrays(
    file: BinaryIO, check_size: Callable[[int], None] | None = None
) -> "dict[str, np.ndarray] | np.ndarray":
    """Return the arrays of an ``.npz`` file, or the array of an ``.npy`` file. Nothing in it is run.

    Bytes in an ``.npz`` file that are no array, such as a text, become one of uint8.

    Parameters
    ----------
    file : binary file
        Opened by the caller, because `numpy.load` leaves a damaged file open.
    check_size : callable, optional
        Called with the bytes that an ``.npz`` file says it expands to, before any is read; refuses by an exception.

    Raises
    ------
    Exception
        Of any kind, if the file is damaged, or no file of arrays, or holds objects.
    """
    import numpy as np

    size = 0
    with suppress(Exception), zipfile.ZipFile(file) as archive:  # np.load says what is wrong with it
        size = sum(member.file_size for member in archive.infolist())
    if check_size is not None:
        check_size(size)
    file.seek(0)
    # the header of an array is Python text, so Python and NumPy warn of its style, of all things, if it is damaged
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            members = {name: loaded[name] for name in dict.fromkeys(loaded.files)}  # of one name, the last
    return {
        name: np.frombuffer(member, np.uint8) if isinstance(member, bytes) else member
        for name, member in members.items()
    }


def hash_of(arrays: "Iterable[tuple[str, np.ndarray]]", head: str = "") -> str:
    """Return a hash of a text and of arrays with their names, types and shapes: SHA-256, hexadecimal."""
    import numpy as np

    digest = hashlib.sha256(head.encode())
    for name, array in arrays:
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message, for a message of one line."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {as_text(lines[0][:200]) if lines else ''}"


def check_folder(path: str | os.PathLike[str], what: str = "what is written") -> None:
    """Raise FileExistsError if a path cannot become a folder, because it or a folder above it is a file.

    Parameters
    ----------
    path : path-like
        It need not exist.
    what : str
        Purpose of the folder, for the error message.
    """
    path = Path(path)
    for place in (path, *path.parents):
        if place.is_symlink() and not place.exists():
            raise FileExistsError(f"{place}: is a link to {os.readlink(place)}, which does not exist; remove the link")
    nearest = next((place for place in (path, *path.parents) if place.exists()), None)
    if nearest is not None and not nearest.is_dir():
        found = "is a file" if nearest == path else f"{nearest} is a file"
        raise FileExistsError(f"{path}: {found}; give a folder for {what}")


def make_folder(path: str | os.PathLike[str], what: str) -> Path:
    """Make a folder, and those above it, if it is absent; an error says in words what it is for."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(f"{path}: cannot be made ({error.strerror}); give another folder for {what}") from None
    return path


@contextmanager
def folder_for(path: str | os.PathLike[str], what: str) -> Iterator[Path]:
    """Make a folder for what the block will write; if the block fails before it has written anything, delete it."""
    path = Path(path)
    new = not path.exists()
    make_folder(path, what)
    check_writable(path)
    try:
        yield path
    except BaseException:
        if new:
            with suppress(OSError):  # something has been written
                path.rmdir()
        raise


def as_text(name: str) -> str:
    """Return the name of a file in one line; what is no UTF-8 in it, which no format of text can hold, is replaced."""
    return " ".join(re.sub("[\ud800-\udfff]", "\ufffd", name).split("\n"))


def file_name(text: str) -> str:
    """Return a text as the beginning of a file's name.

    If it is long, or has characters that some system does not allow, a hash of it is added, so that names of different
    texts differ.
    """
    name = re.sub(r"[^\w .,+()\[\]#&'=@~-]", "_", text)[:80].strip() or "unnamed"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return name if name == text else f"{name}-{digest[:8]}"


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise PermissionError unless this user may write into a folder, or into the one in which it would be made."""
    path = Path(path)
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        where = "" if nearest == path else f" in {nearest}"
        raise PermissionError(f"{path}: nothing can be written{where}, permission is denied; choose another folder")


def temporary_target(path: Path) -> str | None:
    """Return the name of the file that a temporary file of :func:`atomic` was to become, or None for another file.

    Of a stem of more than 50 characters, it has the last 50.
    """
    match = re.fullmatch(r"\.(.+)\.[0-9a-f]{8}(\.[a-z]+)", path.name)
    return match[1] + match[2] if match else None


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Replace a file in one step, or leave it as it was.

    The block writes to a temporary path in the same folder (a rename is atomic only within one file system). If the
    block succeeds, the bytes are flushed to the disk and the temporary file replaces ``path``. On any exception,
    including a full disk or an interrupt, the temporary file is deleted and an earlier ``path`` stays unchanged.

    Parameters
    ----------
    path : path-like
        The file to write. Its folder must exist.

    Yields
    ------
    pathlib.Path
        Temporary path to write to. It does not exist yet and has the suffix of ``path``, so that libraries that choose
        a format by suffix, or append one, work as expected.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or the block wrote no file.
    IsADirectoryError
        If ``path`` is a directory.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "notes.txt"
    >>> with atomic(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    check_path(path, "a file to write")
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: the folder {str(target.parent)!r} does not exist; create it first")
    if target.is_dir():
        raise IsADirectoryError(f"{target}: is a directory; give the path of a file")
    check_regular(target, "the path of a file to write")  # renaming would put a file in the place of the device
    # tempfile.mkstemp would make the file private to its owner, whatever the umask. The stem is cut because a name may
    # have at most 255 bytes; its end tells what the file is.
    temporary = target.with_name(f".{target.stem[-50:]}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        if not temporary.is_file():
            raise FileNotFoundError(f"{target}: nothing was written to {temporary.name}, the temporary path given")
        # without fsync a power cut could leave the new name on data that never reached the disk
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except PermissionError as error:
        raise PermissionError(f"{target}: cannot be written, permission is denied; choose another folder") from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OSError(
            f"{target}: cannot be written ({error.strerror}); free some space and try again, a run with --resume. An "
            "earlier file is unchanged"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def to_json(value: Any) -> str:
    """Return nested dicts, lists and numbers as JSON text, in which null stands for NaN and infinities."""

    def plain(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: plain(each) for key, each in x.items()}
        if isinstance(x, (list, tuple)):
            return [plain(each) for each in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    return json.dumps(plain(value), indent=2, allow_nan=False)
