"""Scores of images that somebody else computed: .npz, .parquet or .csv, by image id."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError, MissingDependencyError, first_line
from .csv_table import Table, read_table
from .reading import class_names, first_duplicate

SUFFIXES = (".npz", ".parquet", ".csv")
_ID = "id"


class Scores(NamedTuple):
    """What a file says.

    Attributes:
        ids: M unique names of images, as the data set calls them.
        values: float32 (M, C').
        classes: C' names; None where the file has none.
        mirrored: float32 (M, C'), of the mirrored images; None where the file has none.
    """

    ids: tuple[str, ...]
    values: np.ndarray
    classes: tuple[str, ...] | None
    mirrored: np.ndarray | None = None


def read_scores(path: Path) -> Scores:
    """Read a file of scores.

    `.csv` and `.parquet` have a column `id`, and one per class. `.npz` has the arrays `ids` (M,) and `scores` (M, C'),
    and may have the class names `classes` (C',) and the scores of the mirrored images `mirrored` (M, C'), all without
    pickled objects.

    Raises:
        DataError: the file is missing, damaged or not such a table, a score is NaN or infinite, or an id stands there
            twice.
        MissingDependencyError: .parquet without pyarrow.
    """
    read = {".npz": _read_npz, ".parquet": _read_parquet, ".csv": _read_csv}.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{path}: scores are read from {', '.join(SUFFIXES)}.")
    found = read(path)
    twice = first_duplicate(found.ids)
    if twice is not None:
        raise DataError(f"{path}: the image {twice!r} has scores twice.")
    if not len(found.ids) or not found.values.shape[1]:
        raise DataError(f"{path}: holds no scores.")
    finite = np.isfinite(found.values).all(axis=1)
    if found.mirrored is not None:
        finite &= np.isfinite(found.mirrored).all(axis=1)
    faulty = np.flatnonzero(~finite)
    if len(faulty):
        raise DataError(
            f"{path}: the scores of {len(faulty):,} of {len(found.ids):,} images are NaN or infinite, first of "
            f"{found.ids[faulty[0]]!r}: write numbers, or leave such rows out."
        )
    return found


def _read_npz(path: Path) -> Scores:
    if not zipfile.is_zipfile(path):  # numpy would take it for a pickle, and say how to load one
        raise DataError(f"{path}: is no .npz, or damaged: np.savez(file, ids=np.array(ids), scores=scores) writes one.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in ("ids", "scores", "classes", "mirrored") if key in arrays.files}
    except Exception as error:  # zip, header and pickle each have their own
        raise DataError(
            f"{path}: cannot be read ({first_line(error)}). Save text and numbers, as np.savez(file, "
            "ids=np.array(ids), scores=scores) does."
        ) from None
    missing = [key for key in ("ids", "scores") if key not in found]
    if missing:
        raise DataError(f"{path}: has no array `{missing[0]}`: it needs `ids` and `scores`.")
    ids, values, classes = found["ids"], found["scores"], found.get("classes")
    if ids.ndim != 1 or values.ndim != 2 or len(ids) != len(values) or values.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: `ids` {ids.shape} and `scores` {values.shape} of type {values.dtype} must be (images,) and "
            "numbers (images, classes)."
        )
    mirrored = found.get("mirrored")
    if mirrored is not None and (mirrored.shape != values.shape or mirrored.dtype.kind not in "fiub"):
        raise DataError(
            f"{path}: `mirrored` {mirrored.shape} of type {mirrored.dtype} must be numbers (images, classes) as "
            f"`scores` {values.shape}."
        )
    names = None if classes is None else class_names(map(str, classes.tolist()), f"{path}: `classes`")
    try:
        ids = np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: `ids` are bytes, and no UTF-8 ({first_line(error)}).") from None
    flipped = None if mirrored is None else mirrored.astype(np.float32)
    return Scores(tuple(map(str, ids.tolist())), values.astype(np.float32), names, flipped)


def _read_csv(path: Path) -> Scores:
    table = read_table(path, _ID, f"name the column of image ids `{_ID}`, and the others as the classes")
    columns = {name: place for name, place in table.columns.items() if name != _ID}
    rows = [[row.cells[place] for place in columns.values()] for row in table.rows]
    try:
        values = np.array(rows, np.float32).reshape(len(rows), len(columns))
    except ValueError:
        raise _no_number(path, table, columns) from None
    ids = tuple(row.cells[table.columns[_ID]].strip() for row in table.rows)
    return Scores(ids, values, class_names(columns, f"{path}, line 1"))


def _read_parquet(path: Path) -> Scores:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingDependencyError(
            f'{path}: .parquet is read by pyarrow, which is not installed: pip install "edgedistill[parquet]", or '
            "write .npz or .csv."
        ) from None
    try:
        table = parquet.read_table(path)
        names = [name for name in table.column_names if name != _ID]
        values = [table.column(name).to_numpy().astype(np.float32) for name in names]
        ids = table.column(_ID).to_pylist() if _ID in table.column_names else None
    except Exception as error:  # pyarrow's, numpy's for columns that are no numbers
        raise DataError(f"{path}: cannot be read as a table of scores ({first_line(error)}).") from None
    if ids is not None and None in ids:
        raise DataError(
            f"{path}: the column `{_ID}` is empty in row {ids.index(None) + 1}: name the image, or leave it out."
        )
    if ids is None:
        raise DataError(f"{path}: has no column `{_ID}` of image ids ({', '.join(names[:5])}, ...).")
    stacked = np.stack(values, axis=1) if values else np.empty((len(ids), 0), np.float32)
    return Scores(tuple(map(str, ids)), stacked, class_names(names, str(path)))


def _no_number(path: Path, table: Table, columns: dict[str, int]) -> DataError:
    cells = ((row.line, name, row.cells[place]) for row in table.rows for name, place in columns.items())
    line, name, cell = next(found for found in cells if not _is_number(found[2]))
    return DataError(f"{path}, line {line}: {cell[:80]!r} in the column {name!r} is no number.")


def _is_number(cell: str) -> bool:
    try:
        np.float32(cell)
    except ValueError:
        return False
    return True
