"""The photographs to label as a .csv that training reads, once a person has corrected it."""

import csv
import io
from pathlib import Path

from ..datasets.label_cells import cell_of
from ..files import write_atomic
from .report import CheckReport


def write_label_list(path: Path, report: CheckReport) -> None:
    """Columns `path` and `labels` as the data format `csv` reads them, and `doubtful` for the person.

    The labels are the model's own: they are to be corrected before anybody learns from them.

    Args:
        path: of the file; the paths in it are those from the photographs' folder.
        report: what `check` found.

    Raises:
        EdgedistillError: the file cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["path", "labels", "doubtful"])
    for one in report.to_label:
        rows.writerow([one.id, cell_of(one.labels), cell_of(label.name for label in one.doubtful)])
    write_atomic(path, text.getvalue().encode("utf-8", "surrogateescape"))
