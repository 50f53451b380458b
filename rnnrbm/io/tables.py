"""Tables of real numbers, such as readings of sensors: CSV files, folders of them, and plain arrays of NumPy.

A row is a frame, a file or an array is a sequence. The columns are standardised with the mean and the standard
deviation of the training set, which the record of the kind of frame holds. NumPy only.
"""

import csv
import io
import json
import math
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnrbm.arguments import number, suggestion, whole_number
from rnnrbm.files import as_text, atomic, files_below, read_bytes
from rnnrbm.io.formats import LONGEST_RECORD, read_arrays, read_npy
from rnnrbm.io.rolls import SPLITS, Contents, check_size
from rnnrbm.io.splits import DEFAULT_SPLIT, check_split, counts, divided, split_by_folders
from rnnrbm.progress import Progress, silent
from rnnrbm.warn import warn

__all__ = [
    "FOR_TABLES",
    "TABLE_SUFFIXES",
    "VECTORS",
    "Standardised",
    "Table",
    "by_time",
    "is_table",
    "load_tables",
    "read_table",
    "standardise",
    "write_table",
]

VECTORS = "vectors"  # name of the kind of frame in records
TABLE_SUFFIXES = (".csv", ".tsv")
#: Options of `load_tables`.
FOR_TABLES = ("split", "seed", "seconds_per_frame", "skip_columns")

_DELIMITERS = ("\t", ";", ",")  # in this order, as a comma may be that of a decimal number
_FEWEST_ROWS = 10  # of a sequence whose first column may be taken for times
_SHOWN = 10  # names in a message
#: Changes of a column that rounding alone makes, relative to its values.
_ROUNDING = 1e-9
#: Names in .npz files of other layouts: data sets, piano-rolls, models.
_OTHER_LAYOUTS = {"name", "kind", "roll", "_meta", "info.json"}


class Table(NamedTuple):
    """What a CSV file holds.

    Attributes
    ----------
    names : tuple of str
        Names of the columns; without a header ``"column 0"`` and so on.
    values : numpy.ndarray, shape (T, n)
        float64, finite.
    """

    names: tuple[str, ...]
    values: np.ndarray


class Standardised(NamedTuple):
    """Pieces of three splits whose columns have mean 0 and standard deviation 1 in training.

    Attributes
    ----------
    pieces : dict of str to list of numpy.ndarray
        Arrays (T, n), float32, without the constant columns.
    mean, deviation : tuple of float
        Of all columns. Those that are left out have their value as the mean, and the deviation 0.
    """

    pieces: dict[str, list[np.ndarray]]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def is_table(path: Path) -> bool:
    """Return whether a path is that of a table: a CSV file, a folder with some, or a file of plain arrays."""
    if path.is_dir():
        return bool(files_below(path, TABLE_SUFFIXES))
    suffix = path.suffix.lower()
    if suffix != ".npz":
        return suffix in (*TABLE_SUFFIXES, ".npy") and path.is_file()
    names: list[str] = []
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # the reader of data sets says what is wrong with it
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    return bool(names) and not any(name in _OTHER_LAYOUTS or name.startswith(SPLITS) for name in names)


def load_tables(
    path: Path,
    *,
    split: Sequence[float] = DEFAULT_SPLIT,
    seed: int = 0,
    seconds_per_frame: float | None = None,
    skip_columns: Sequence[str | int] = (),
    progress: Progress = silent,
) -> Contents:
    """Read sequences of real numbers, divide them into three splits and standardise their columns.

    Parameters
    ----------
    path : pathlib.Path
        A CSV file (see :func:`read_table`); a folder of such files, each a sequence; an ``.npz`` file of arrays
        (T, n), each a sequence, in the order of their names; or an ``.npy`` file of an array (T, n) or
        (sequences, T, n).
    split : three floats
        Fractions for training, validation and test. Three sequences or more are divided as they are. Each of fewer
        ones is divided by time: its first part goes into the training set. Sub-folders ``train``, ``valid`` and
        ``test`` are the splits, if a folder has them.
    seed : int
        Decides which sequence goes where.
    seconds_per_frame : float, optional
        Time from one row to the next, in seconds.
    skip_columns : sequence of str or int
        Names of columns that are left out, or their numbers from 0; for example a column of times.
    progress : callable
        Called with the stage "read", the number of files read and of all files.

    Returns
    -------
    Contents
        Standardised pieces, float32. The record has the names of all columns, their means and their deviations.

    Raises
    ------
    ValueError
        If a file cannot be read as a table, tables differ in their columns, a column to skip is unknown, no column
        varies in training, or there are too few rows to divide.
    OSError
        If a file cannot be read.

    Warns
    -----
    UserWarning
        If columns are constant in training, which are left out, or if the first column looks like times.
    """
    if seconds_per_frame is not None:
        seconds_per_frame = number("seconds_per_frame", seconds_per_frame, "a positive number", above=0.0)
    fractions, seed = check_split(split, seed)
    tables = _tables(path, progress)
    columns = _same_columns(path, tables)
    kept = _without(path, columns, skip_columns)
    columns = tuple(columns[i] for i in kept)
    values = {name: table.values[:, kept] for name, table in tables.items()}
    _check_times(path, columns[0], list(values.values()))
    if path.is_dir() and split_by_folders(path, [path / name for name in values], "CSV", split, seed):
        names = {each: [name for name in values if Path(name).parts[0] == each] for each in SPLITS}
        parts = {each: [values[name] for name in names[each]] for each in SPLITS}
    elif len(values) >= len(SPLITS):
        names = divided(list(values), fractions, seed)
        parts = {each: [values[name] for name in names[each]] for each in SPLITS}
    else:
        names, parts = by_time(path, values, fractions)
    done = standardise(path, parts)
    if constant := [name for name, deviation in zip(columns, done.deviation, strict=True) if not deviation]:
        shown = ", ".join(constant[:_SHOWN]) + (" ..." if len(constant) > _SHOWN else "")
        varies = [name for name in constant if any(np.ptp(each[:, columns.index(name)]) for each in _all(parts))]
        later = f"; of these, {', '.join(varies[:_SHOWN])} change in validation or test" if varies else ""
        warn(
            f"{path}: {len(constant)} of {len(columns)} columns do not change in the training set and are left out: "
            f"{shown}{later}"
        )
    record: dict[str, Any] = {"kind": VECTORS, "columns": columns, "mean": done.mean, "deviation": done.deviation}
    if seconds_per_frame is not None:
        record["seconds_per_frame"] = seconds_per_frame
    if (length := len(json.dumps(record))) > LONGEST_RECORD:
        raise ValueError(
            f"{path}: the names, means and deviations of {len(columns)} columns take {length} characters, expected at "
            f"most {LONGEST_RECORD}; give shorter names or fewer columns, or standardise the values yourself and make "
            "a Dataset of them"
        )
    return Contents(path.stem, done.pieces, names, record)


def standardise(path: Path, parts: dict[str, list[np.ndarray]]) -> Standardised:
    """Standardise the columns of sequences with their means and deviations in training; leave out constant ones.

    Parameters
    ----------
    path : pathlib.Path
        Where they are from, for errors.
    parts : dict of str to list of numpy.ndarray
        For each split, arrays (T, n), float64.

    Raises
    ------
    ValueError
        If no column varies in training, or values are so large that they have no deviation.
    """
    train = np.concatenate(parts["train"])
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = train.mean(axis=0), train.std(axis=0)
        constant = np.ptp(train, axis=0) <= _ROUNDING * np.abs(train).max(axis=0)
    if not np.isfinite(deviation).all():
        raise ValueError(f"{path}: values are as large as {np.abs(train).max():g}; divide them by a power of ten")
    mean[constant], deviation[constant] = train[0, constant], 0.0
    varies = np.flatnonzero(deviation)
    if not len(varies):
        raise ValueError(
            f"{path}: no column changes within the {len(train)} rows of the training set; expected at least one that "
            "does"
        )

    def scaled(values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # the kind of frame says which value is too large
            return np.ascontiguousarray((values[:, varies] - mean[varies]) / deviation[varies], np.float32)

    pieces = {split: [scaled(each) for each in of_split] for split, of_split in parts.items()}
    return Standardised(pieces, tuple(mean.tolist()), tuple(deviation.tolist()))


def by_time(
    path: Path, values: dict[str, np.ndarray], fractions: np.ndarray
) -> tuple[dict[str, list[str]], dict[str, list[np.ndarray]]]:
    """Divide each sequence by time: first what goes into the training set, last what goes into the test set.

    Parameters
    ----------
    path : pathlib.Path
        Where they are from, for errors.
    values : dict of str to numpy.ndarray
        Sequences (T, n) by name.
    fractions : numpy.ndarray, shape (3,)

    Returns
    -------
    names : dict of str to list of str
        For each split, names such as ``"walk[0:70]"``.
    parts : dict of str to list of numpy.ndarray

    Raises
    ------
    ValueError
        If a sequence has fewer than three rows.
    """
    names: dict[str, list[str]] = {split: [] for split in SPLITS}
    parts: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for name, each in values.items():
        if len(each) < len(SPLITS):
            raise ValueError(
                f"{path}: {name} has {len(each)} rows; expected at least {len(SPLITS)}, to be divided by time into "
                "training, validation and test sets; give three sequences or longer ones"
            )
        ends = np.cumsum([0, *counts(len(each), fractions)]).tolist()
        for split, start, end in zip(SPLITS, ends[:-1], ends[1:], strict=True):
            names[split].append(f"{name}[{start}:{end}]")
            parts[split].append(each[start:end])
    return names, parts


def read_table(path: Path) -> Table:
    """Read a CSV file: a row for each frame, and perhaps a header of names.

    The delimiter is a tab, a semicolon or a comma: the first of these that the first two lines have equally often.
    Numbers have a decimal point. Empty lines are passed over.

    Raises
    ------
    ValueError
        If the file is no text, a cell is empty or no finite number, or rows differ in length; the message has the
        line and the column.
    OSError
        If the file cannot be read.
    """
    content = read_bytes(path, "a CSV file")
    check_size(len(content), path, "has")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: byte {error.start} is not UTF-8; expected a CSV file, a text; save it as UTF-8"
        ) from None
    if "\0" in text:
        raise ValueError(f"{path}: has zero bytes, so it is no text; expected a CSV file, saved as UTF-8")
    delimiter = _delimiter(text)
    rows: list[list[float]] = []
    lines: list[int] = []
    header: list[str] | None = None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells) and len(cells) <= 1:
                continue
            if header is None and not rows and _is_header(cells):
                header = [as_text(cell.strip()) or f"column {i}" for i, cell in enumerate(cells)]
                if len(set(header)) < len(header):
                    twice = next(name for name in header if header.count(name) > 1)
                    raise ValueError(f"{path}: two columns are called {twice!r}; give each a name of its own")
                continue
            width = len(header) if header is not None else len(rows[0]) if rows else len(cells)
            if len(cells) != width:
                what = "the header" if header is not None else "the first row"
                raise ValueError(
                    f"{path}: line {reader.line_num} has {len(cells)} cells, but {what} has {width}; expected the "
                    "same number in all rows"
                )
            try:
                row = [float(cell) for cell in cells]
            except ValueError:
                raise _wrong_cell(path, reader.line_num, cells, header, delimiter) from None
            if not all(map(math.isfinite, row)) or any("_" in cell for cell in cells):
                raise _wrong_cell(path, reader.line_num, cells, header, delimiter)
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num} is no row of a CSV file ({error})") from None
    if not rows:
        raise ValueError(f"{path}: has no row of numbers; expected one for each frame")
    values = np.array(rows)
    return Table(tuple(header or _numbered(values.shape[1])), values)


def write_table(path: Path, values: ArrayLike, names: Sequence[str]) -> None:
    """Write a CSV file with a header, which :func:`read_table` reads. It appears whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
    values : array_like, shape (T, n)
        Written with as many digits as it takes to read them back as they are.
    names : sequence of str
        Names of the columns.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(map(repr, row) for row in np.asarray(values, float).tolist())
    with atomic(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _delimiter(text: str) -> str:
    """Return the mark between the cells of a table."""
    lines = list(islice((line for line in io.StringIO(text) if line.strip()), 2))
    found = [mark for mark in _DELIMITERS if lines and mark in lines[0]]
    # a name in quotes may have another mark, and so may a name without them
    alike = [mark for mark in found if lines[0].count(mark) == lines[-1].count(mark)]
    return next(iter(alike or found), ",")


def _is_header(cells: list[str]) -> bool:
    """Return whether a first row has names: no cell is a number, but for those without a name."""
    named = [cell for cell in cells if cell.strip()]
    return bool(named) and not any(_is_number(cell) for cell in named)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _wrong_cell(path: Path, line: int, cells: list[str], header: list[str] | None, delimiter: str) -> ValueError:
    """Return what to raise about the first cell of a row that is no finite number."""

    def is_wrong(cell: str) -> bool:
        try:
            return not math.isfinite(float(cell)) or "_" in cell
        except ValueError:
            return True

    i = next(i for i, cell in enumerate(cells) if is_wrong(cell))
    cell = cells[i]
    name = f"column {i}" if header is None or header[i] == f"column {i}" else f"column {i} ({header[i]})"
    if not cell.strip():
        found, advice = "is empty", "fill in missing values, or leave the rows or columns out"
    elif delimiter != "," and "," in cell:
        found, advice = f"is {cell.strip()[:40]!r}", "write numbers with a decimal point"
    elif cell.strip().lower().lstrip("+-") in ("nan", "inf", "infinity"):
        found, advice = f"is {cell.strip()}", "fill in missing values, or leave the rows or columns out"
    else:
        found, advice = f"is {as_text(cell.strip())[:40]!r}", "leave columns of text out of the file"
        if header is not None and cells[0].strip() and line <= 2:
            advice += ", and give one line of names at most"
    return ValueError(f"{path}: line {line}, {name} {found}; expected a finite number; {advice}")


def _numbered(n: int) -> list[str]:
    return [f"column {i}" for i in range(n)]


def _tables(path: Path, progress: Progress) -> dict[str, Table]:
    """Return the sequences of a file or a folder by name."""
    suffix = path.suffix.lower()
    if not path.is_dir() and suffix in (".npy", ".npz"):
        return _of_arrays(path, suffix)
    if not path.is_dir():
        return {path.name: read_table(path)}
    found, tables = files_below(path, TABLE_SUFFIXES), {}
    for i, file in enumerate(found, 1):
        tables[file.relative_to(path).as_posix()] = read_table(file)
        progress("read", i, len(found), None)
    return tables


def _of_arrays(path: Path, suffix: str) -> dict[str, Table]:
    if suffix == ".npy":
        array = read_npy(path, "sequences")
        given = {f"{path.stem}[{i}]": each for i, each in enumerate(array)} if array.ndim == 3 else {path.name: array}
    else:
        given = dict(sorted(read_arrays(path, [], "write it again").items()))
    tables: dict[str, Table] = {}
    for name, array in given.items():
        where = f"{path}: {name}" if len(given) > 1 or suffix == ".npz" else str(path)
        if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{where} is an array of shape {array.shape} of {array.dtype}; expected (frames, columns) of real "
                f"numbers, neither of them 0{'; of one column, give array[:, None]' if array.ndim == 1 else ''}"
            )
        values = np.asarray(array, float)
        if not np.isfinite(values).all():
            row, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise ValueError(
                f"{where} has {values[row, column]} in frame {row}, column {column}; expected finite numbers; fill in "
                "missing values, or leave the frames or columns out"
            )
        tables[as_text(name)] = Table(tuple(_numbered(values.shape[1])), values)
    return tables


def _same_columns(path: Path, tables: dict[str, Table]) -> tuple[str, ...]:
    """Return the names of the columns, which must be those of all tables."""
    (first, table), *others = tables.items()
    for name, other in others:
        if other.names != table.names:
            n, m = len(other.names), len(table.names)
            here = next((f"{a!r}, not {b!r}" for a, b in zip(other.names, table.names, strict=False) if a != b), "")
            raise ValueError(
                f"{path}: {name} has {f'{n} columns, not {m}' if n != m else f'the column {here}'} as {first}; "
                "expected the same columns in the same order in all"
            )
    return table.names


def _without(path: Path, columns: tuple[str, ...], skip: Sequence[str | int]) -> list[int]:
    """Return the positions of the columns that are not skipped."""
    if isinstance(skip, (str, bytes)) or not isinstance(skip, Sequence):
        raise TypeError(f"skip_columns={skip!r}: expected a list of names or numbers of columns, such as ['time']")
    skipped: set[int] = set()
    for each in skip:
        if isinstance(each, str):
            if each not in columns:
                raise ValueError(f"{path}: skip_columns has {each!r}, no such column; {suggestion(each, columns)}")
            skipped.add(columns.index(each))
        else:
            skipped.add(whole_number("skip_columns", each, 0, len(columns) - 1))
    if len(skipped) == len(columns):
        raise ValueError(f"{path}: skip_columns leaves out all {len(columns)} columns; expected one to stay at least")
    return [i for i in range(len(columns)) if i not in skipped]


def _check_times(path: Path, name: str, values: list[np.ndarray]) -> None:
    """Warn if the first of several columns grows from row to row everywhere, as times do."""
    first = [each[:, 0] for each in values]
    if values[0].shape[1] < 2 or min(map(len, first)) < _FEWEST_ROWS:
        return
    if all((np.diff(each) > 0).all() for each in first):
        step = float(np.median(np.concatenate([np.diff(each) for each in first])))
        warn(
            f"{path}: column {name!r} grows in every row, by {step:.4g} as a rule, and may be times or numbers of "
            f"rows; if so, leave it out by skip_columns=[{name!r}], and give seconds_per_frame"
        )


def _all(parts: dict[str, list[np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate(parts[split]) for split in SPLITS if parts[split]]
