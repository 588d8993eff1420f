"""CSV: the image paths and their labels, either in one cell or one column per class."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import DataError
from .base import FORMATS, NEGATIVE, POSITIVE, UNKNOWN, Dataset, DatasetFormat
from .reading import (
    class_list,
    first_duplicate,
    image_path,
    label_matrix,
    nearest,
    read_text,
    require_images,
    resolve,
    unknown_label,
)

_DELIMITERS = ",;\t"
_SEPARATORS = ";|"
_CELLS = {"": UNKNOWN, "-1": UNKNOWN, "-1.0": UNKNOWN}
_CELLS |= dict.fromkeys(("0", "0.0", "false"), NEGATIVE) | dict.fromkeys(("1", "1.0", "true"), POSITIVE)


@FORMATS.register("csv")
class CsvFormat(DatasetFormat):
    """A CSV file with one row per image: its labels in one cell, or one column per class.

    It is UTF-8, with a header that decides between the two layouts:

        path,labels                 path,cat,dog
        a.jpg,cat;dog               a.jpg,1,1
        sub/b.jpg,                  sub/b.jpg,0,-1

    On the left all labels stand in one cell, with `;` or `|` between them (never a space: class names hold spaces); an
    empty cell says that no class is present, and further columns are not read. On the right every column except
    `path` is a class: 1 (or true) present, 0 (or false) absent, -1 or an empty cell unknown. Columns are delimited by
    comma, semicolon or tab, as the header shows.

    Attributes:
        path: the CSV file.
        images: folder that the image paths are relative to; the CSV's own folder when absent.
        classes: the class names in the order of the label columns, or the path of a text file with one per line; when
            absent, the distinct labels in alphabetical order (left) or the columns as they stand (right).
        path_column: name of the column with the image paths.
        labels_column: name of the column with the labels of the left layout.
        separator: what stands between two labels in a cell; `;` and `|` when absent.
        ignore_columns: columns of the right layout that are no class.
    """

    accepts: ClassVar[str] = "a .csv file with the columns path,labels or path,<class>,<class>,..."

    path: str
    images: str | None = None
    classes: list[str] | str | None = None
    path_column: str = "path"
    labels_column: str = "labels"
    separator: str | None = None
    ignore_columns: tuple[str, ...] = ()

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Any] | None:
        return {"path": str(path)} if path.suffix.lower() == ".csv" else None

    def read(self, base: Path) -> Dataset:
        """Read the table.

        Raises:
            DataError: names the file, the line and the cell that is wrong.
        """
        file = resolve(base, self.path)
        folder = resolve(base, self.images) if self.images is not None else file.parent
        classes = class_list(self.classes, base)
        header, rows = self._table(file)
        path_at = header.index(self.path_column)

        ids: dict[str, int] = {}
        images = []
        for line, row in rows:
            name, image = image_path(folder, row[path_at], f"{file}, line {line}")
            if name in ids:
                raise DataError(f"{file}, line {line}: the image {name!r} is already on line {ids[name]}.")
            ids[name] = line
            images.append(image)
        require_images(images, str(file), f"Paths are taken from {folder}; set `images` to the right folder.")

        read = self._read_cells if self.labels_column in header else self._read_columns
        classes, labels = read(file, header, rows, classes)
        return Dataset(file.stem, classes, tuple(ids), images, labels)

    def _table(self, file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
        """The header and the (line number, cells) of each row that is not blank."""
        text = read_text(file)
        first = text.partition("\n")[0]
        delimiter = next((d for d in _DELIMITERS if self.path_column in _cells(first, d)), ",")
        header = _cells(first, delimiter)
        if self.path_column not in header:
            raise DataError(
                f"{file}: its first line has no column `{self.path_column}` ({first.strip()[:80]!r}); write the header "
                f"`{self.path_column},{self.labels_column}` or set `path_column`."
            )
        twice = first_duplicate(header)
        if twice is not None:
            raise DataError(f"{file}, line 1: the column {twice!r} stands there twice.")
        rows = []
        reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
        next(reader)
        try:
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    raise DataError(
                        f"{file}, line {reader.line_num}: {len(row)} cells, but the header has {len(header)}; quote a "
                        f"cell that holds {delimiter!r}."
                    )
                rows.append((reader.line_num, row))
        except csv.Error as error:
            raise DataError(f"{file}, line {reader.line_num}: not valid CSV ({error}).") from None
        return header, rows

    def _read_cells(
        self,
        file: Path,
        header: Sequence[str],
        rows: Sequence[tuple[int, list[str]]],
        classes: tuple[str, ...] | None,
    ) -> tuple[tuple[str, ...], np.ndarray]:
        labels_at = header.index(self.labels_column)
        found = [(line, tuple(self._split(row[labels_at]))) for line, row in rows]
        if classes is None:
            classes = tuple(sorted({label for _, labels in found for label in labels}))
            if not classes:
                raise DataError(f"{file}: no image has a label; set `classes` if that is meant.")
            joined = next((label for label in classes if "," in label), None)
            if joined is not None and self.separator is None:
                raise DataError(
                    f"{file}: is {joined!r} one label or several? Set `separator: ','` if the comma separates labels, "
                    "`separator: ';'` if it belongs to the name."
                )
        index = {name: k for k, name in enumerate(classes)}
        positives = []
        for i, (line, labels) in enumerate(found):
            for label in labels:
                if label not in index:
                    way_out = "Correct the label or add it to `classes`."
                    raise unknown_label(f"{file}, line {line}", label, classes, way_out)
                positives.append((i, index[label]))
        return classes, label_matrix(len(rows), len(classes), positives)

    def _split(self, cell: str) -> Iterator[str]:
        if self.separator is None:
            for other in _SEPARATORS[1:]:
                cell = cell.replace(other, _SEPARATORS[0])
        parts = cell.split(self.separator or _SEPARATORS[0])
        return (label.strip() for label in parts if label.strip())

    def _read_columns(
        self,
        file: Path,
        header: Sequence[str],
        rows: Sequence[tuple[int, list[str]]],
        classes: tuple[str, ...] | None,
    ) -> tuple[tuple[str, ...], np.ndarray]:
        columns = [name for name in header if name != self.path_column and name not in self.ignore_columns]
        classes = tuple(columns) if classes is None else classes
        if not classes:
            raise DataError(
                f"{file}: beside `{self.path_column}` the header needs `{self.labels_column}` or one column per class."
            )
        for name in columns:
            if name not in classes:
                way_out = "Add it to `classes`, or to `ignore_columns` if it is no class."
                raise unknown_label(f"{file}, line 1: column", name, classes, way_out)
        missing = next((name for name in classes if name not in columns), None)
        if missing is not None:
            near = nearest(missing, header)
            hint = f" (the nearest is {near!r})" if near else ""
            raise DataError(f"{file}, line 1: there is no column for the class {missing!r}{hint}.")
        positions = [header.index(name) for name in classes]
        labels = np.empty((len(rows), len(classes)), np.int8)
        for i, (line, row) in enumerate(rows):
            cells = [row[at].strip().lower() for at in positions]
            strange = next((k for k, cell in enumerate(cells) if cell not in _CELLS), None)
            if strange is not None:
                raise DataError(
                    f"{file}, line {line}: {cells[strange]!r} in the column {classes[strange]!r} is not 1, 0, -1 or "
                    "empty; name the column in `ignore_columns` if it is no class."
                )
            labels[i] = [_CELLS[cell] for cell in cells]
        return classes, labels


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
