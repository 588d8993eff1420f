"""CSV: the image paths and their labels, either in one cell or one column per class."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import DataError
from .base import FORMATS, Dataset, DatasetFormat
from .csv_table import Row, Table, read_table
from .images import image_path, require_images
from .label_cells import CellLabels, label_of, labels_in, says_nothing
from .reading import class_list, class_names, label_matrix, nearest, resolve, unknown_label

_log = logging.getLogger("edgedistill")


@FORMATS.register("csv")
class CsvFormat(DatasetFormat):
    """A CSV file with one row per image: its labels in one cell, or one column per class.

    It is Unicode text (UTF-8, or UTF-16 with its byte order mark), with a header that decides between the two layouts:

        path,labels                 path,cat,dog
        a.jpg,cat;dog               a.jpg,1,1
        sub/b.jpg,                  sub/b.jpg,0,-1

    On the left all labels stand in one cell, with `;` or `|` between them (never a space: class names hold spaces), or
    as a list the way Python and JSON write it, `"['cat', 'dog']"`; an empty cell or list says that no class is present,
    and further columns are not read. On the right every column with a name except `path` is a class: 1 (1.0, true, yes)
    present, 0 (0.0, false, no) absent, -1 or an empty cell unknown. In both, a word for a missing value such as `nan`,
    `None`, `NULL` or `N/A` is read like an empty cell, which a warning counts, unless `classes` names it as a class.
    Columns are delimited by comma, semicolon or tab, as the header shows.

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
        if self.separator == "":
            raise DataError(f"{file}: `separator` is empty; leave it out, or name what stands between two labels.")
        way_out = f"write the header `{self.path_column},{self.labels_column}` or set `path_column`"
        table = read_table(file, self.path_column, way_out)

        ids: dict[str, int] = {}
        images = []
        for line, cells in table.rows:
            name, image = image_path(folder, cells[table.columns[self.path_column]], f"{file}, line {line}")
            if name in ids:
                raise DataError(f"{file}, line {line}: the image {name!r} is already on line {ids[name]}.")
            ids[name] = line
            images.append(image)
        require_images(images, str(file), f"Paths are taken from {folder}; set `images` to the right folder.")

        read = self._read_cells if self.labels_column in table.columns else self._read_columns
        classes, labels = read(file, table, classes)
        return Dataset(file.stem, classes, tuple(ids), images, labels)

    def _read_cells(
        self, file: Path, table: Table, classes: tuple[str, ...] | None
    ) -> tuple[tuple[str, ...], np.ndarray]:
        """Classes and int8 (N, C) labels of the left layout."""
        place, known = table.columns[self.labels_column], frozenset(classes or ())
        found = [self._cell(file, line, cells[place], known) for line, cells in table.rows]
        if classes is None:
            classes = self._found_classes(file, found)
        index = {name: k for k, name in enumerate(classes)}
        positives = []
        for i, ((line, _), labels) in enumerate(zip(table.rows, found, strict=True)):
            for label in labels.names:
                if label not in index:
                    raise unknown_label(f"{file}, line {line}", label, classes, self._way_out(label, index))
                positives.append((i, index[label]))
        _warn(file, sum(labels.missing for labels in found), "as no label; name it in `classes` if it is a class")
        return classes, label_matrix(len(found), len(classes), positives)

    def _cell(self, file: Path, line: int, cell: str, known: frozenset[str]) -> CellLabels:
        try:
            return labels_in(cell, self.separator, known)
        except ValueError as error:
            raise DataError(
                f"{file}, line {line}: {error}. Write cat;dog, or a list of quoted names, ['cat', 'dog']; or set "
                "`classes` if the brackets belong to a name."
            ) from None

    def _found_classes(self, file: Path, found: Sequence[CellLabels]) -> tuple[str, ...]:
        """The distinct labels, in alphabetical order."""
        classes = class_names(sorted({label for labels in found for label in labels.names}), str(file))
        if not classes:
            raise DataError(f"{file}: no image has a label; set `classes` if that is meant.")
        joined = next((label for labels in found if not labels.certain for label in labels.names if "," in label), None)
        if joined is not None and self.separator is None:
            raise DataError(
                f"{file}: is {joined!r} one label or several? Set `separator: ','` if the comma separates labels, "
                "`separator: ';'` if it belongs to the name."
            )
        return classes

    def _way_out(self, label: str, index: dict[str, int]) -> str:
        if self.separator is None and all(part.strip() in index for part in label.split(",")):
            return "Set `separator: ','` if the comma separates labels."
        return "Correct the label or add it to `classes`."

    def _read_columns(
        self, file: Path, table: Table, classes: tuple[str, ...] | None
    ) -> tuple[tuple[str, ...], np.ndarray]:
        """Classes and int8 (N, C) labels of the right layout."""
        columns = [name for name in table.columns if name != self.path_column and name not in self.ignore_columns]
        if not columns and classes is None:
            raise DataError(
                f"{file}: beside `{self.path_column}` the header needs `{self.labels_column}` or one column per class."
            )
        classes = class_names(columns, f"{file}, line 1") if classes is None else classes
        self._require_columns(file, table, columns, classes)
        places = [table.columns[name] for name in classes]
        labels = np.empty((len(table.rows), len(classes)), np.int8)
        values: dict[str, int] = {}  # of the few distinct cells
        words: set[str] = set()  # those among them that stand for a missing value
        missing = 0
        for i, row in enumerate(table.rows):
            cells = [row.cells[place] for place in places]
            for k, cell in enumerate(cells):
                if cell in values:
                    continue
                value = label_of(cell)
                if value is None:
                    raise _strange_cell(file, row, classes[k], cell)
                values[cell] = value
                if says_nothing(cell):
                    words.add(cell)
            labels[i] = [values[cell] for cell in cells]
            missing += sum(cell in words for cell in cells) if words else 0
        _warn(file, missing, "as unknown")
        return classes, labels

    def _require_columns(self, file: Path, table: Table, columns: Sequence[str], classes: tuple[str, ...]) -> None:
        """DataError when the columns are not exactly the classes, in whichever order."""
        expected = frozenset(classes)
        strange = next((name for name in columns if name not in expected), None)
        if strange is not None:
            way_out = "Add it to `classes`, or to `ignore_columns` if it is no class."
            raise unknown_label(f"{file}, line 1: column", strange, classes, way_out)
        present = frozenset(columns)
        missing = next((name for name in classes if name not in present), None)
        if missing is not None:
            near = nearest(missing, table.columns)
            hint = f" (the nearest is {near!r})" if near else ""
            raise DataError(f"{file}, line 1: there is no column for the class {missing!r}{hint}.")


def _strange_cell(file: Path, row: Row, name: str, cell: str) -> DataError:
    return DataError(
        f"{file}, line {row.line}: {cell.strip()[:80]!r} in the column {name!r} is not 1, 0, -1 or empty; name the "
        "column in `ignore_columns` if it is no class."
    )


def _warn(file: Path, count: int, reading: str) -> None:
    if count:
        _log.warning("%s: labels that are a word for a missing value, such as nan: %d, read %s.", file, count, reading)
