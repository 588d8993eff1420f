"""What is made of rows of predictions: JSON lines, CSV, Parquet; in constant memory, however many there are."""

import csv
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from edgedistill.runtime.datasets.label_cells import cell_of
from edgedistill.runtime.errors import MissingDependencyError
from edgedistill.runtime.files import atomic_path

Write: TypeAlias = Callable[[Path, Path, dict[str, Any]], None]

_SEPARATOR = ";"  # between probabilities
_GROUP = 10_000  # rows that are held at a time


def _jsonl() -> Write:
    def write(rows: Path, path: Path, facts: dict[str, Any]) -> None:
        with atomic_path(path) as temporary:
            shutil.copyfile(rows, temporary)

    return write


def _csv() -> Write:
    def write(rows: Path, path: Path, facts: dict[str, Any]) -> None:
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream, lineterminator="\n")
            if facts["scores"]:
                table.writerow(["id", *facts["classes"]])
                table.writerows([row["image"], *row["scores"]] for row in _read(rows) if "error" not in row)
            else:
                table.writerow(["path", "labels", "probabilities"])
                table.writerows(
                    [row["image"], cell_of(row["labels"]), _SEPARATOR.join(map(str, row["labels"].values()))]
                    for row in _read(rows)
                    if "error" not in row
                )
        _write_skipped(rows, path)

    return write


def _parquet() -> Write:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingDependencyError(
            '.parquet is written by pyarrow, which is not installed: pip install "edgedistill[parquet]", or name the '
            "output .csv or .jsonl."
        ) from None

    def write(rows: Path, path: Path, facts: dict[str, Any]) -> None:
        if facts["scores"]:
            fields = [("id", pyarrow.string()), *((name, pyarrow.float32()) for name in facts["classes"])]
        else:
            labels = [("labels", pyarrow.string()), ("probabilities", pyarrow.float32())]
            fields = [("path", pyarrow.string()), *((name, pyarrow.list_(kind)) for name, kind in labels)]
        schema = pyarrow.schema(fields, {"edgedistill": msgspec.json.encode(facts)})
        good = (row for row in _read(rows) if "error" not in row)
        with atomic_path(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
            while group := [_cells(row, scores=facts["scores"]) for row in islice(good, _GROUP)]:
                columns = [
                    pyarrow.array(column, field.type)
                    for column, field in zip(zip(*group, strict=True), schema, strict=True)
                ]
                writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
        _write_skipped(rows, path)

    return write


# By suffix: asked before anything is computed whether its library is there.
WRITERS: dict[str, Callable[[], Write]] = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}


def _cells(row: dict[str, Any], *, scores: bool) -> list[Any]:
    if scores:
        return [row["image"], *row["scores"]]
    return [row["image"], list(row["labels"]), list(row["labels"].values())]


def _read(rows: Path) -> Iterator[dict[str, Any]]:
    with rows.open("rb") as stream:
        for line in stream:
            yield msgspec.json.decode(line)


def _write_skipped(rows: Path, path: Path) -> None:
    """A list of the images that are in no row of a table; none where all are."""
    listed = path.with_name(f"{path.name}.skipped.csv")
    listed.unlink(missing_ok=True)
    bad = (row for row in _read(rows) if "error" in row)
    first = next(bad, None)
    if first is None:
        return
    with atomic_path(listed) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["path", "reason"])
        table.writerow([first["image"], first["error"]])
        table.writerows([row["image"], row["error"]] for row in bad)
