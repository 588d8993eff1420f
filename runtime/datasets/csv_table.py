"""A CSV file's header and rows, whatever wrote it."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DataError
from ..text_files import read_text
from .reading import first_duplicate

if TYPE_CHECKING:
    from _csv import Reader  # `csv` has no public name for it

_DELIMITERS = ",;\t"


class Row(NamedTuple):
    """One row.

    Attributes:
        line: where it ends in the file, counted from 1.
        cells: as many as the header has; spaces before a cell are gone.
    """

    line: int
    cells: list[str]


class Table(NamedTuple):
    """What a CSV file holds.

    Attributes:
        columns: the place of each column that has a name, in order.
        rows: the rows that are not blank.
    """

    columns: dict[str, int]
    rows: list[Row]


def read_table(file: Path, column: str, way_out: str) -> Table:
    """Read a CSV file; the delimiter (comma, semicolon or tab) is the one whose header holds `column`.

    A column without a name, such as pandas' index or what a comma at the end of each line makes, is left out.

    Args:
        file: Unicode text with a header.
        column: the name of a column that must be there.
        way_out: what to do when it is not, a clause.

    Raises:
        DataError: names the file and the line that is wrong.
    """
    text = read_text(file)
    header, delimiter = next(
        ((cells, d) for d in _DELIMITERS if column in (cells := _header(text, d))), (None, _DELIMITERS[0])
    )
    if header is None:
        first = text.partition("\n")[0].strip()[:80]
        raise DataError(f"{file}: its first line has no column `{column}` ({first!r}); {way_out}.")
    twice = first_duplicate(name for name in header if name)
    if twice is not None:
        raise DataError(f"{file}, line 1: the column {twice!r} stands there twice.")
    rows = []
    for row in _rows(file, text, delimiter):
        surplus = row.cells[len(header) :]
        if len(row.cells) < len(header) or any(cell.strip() for cell in surplus):
            raise DataError(
                f"{file}, line {row.line}: {len(row.cells)} cells, but the header has {len(header)}; quote a cell that "
                f"holds {delimiter!r}."
            )
        rows.append(Row(row.line, row.cells[: len(header)]))
    return Table({name: place for place, name in enumerate(header) if name}, rows)


def _header(text: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(_reader(text, delimiter), [])]
    except csv.Error:
        return []


def _rows(file: Path, text: str, delimiter: str) -> Iterator[Row]:
    """The rows below the header that are not blank."""
    reader = _reader(text, delimiter)
    next(reader)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield Row(reader.line_num, cells)
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: not valid CSV ({error}); is a quote left open?") from None


def _reader(text: str, delimiter: str) -> "Reader":
    return csv.reader(io.StringIO(text), delimiter=delimiter, strict=True, skipinitialspace=True)
