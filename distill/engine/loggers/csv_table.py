"""`csv`: metrics.csv in the training's folder, a row for each epoch."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ....runtime.files import write_atomic
from .base import LOGGERS, Logger, scalars


@LOGGERS.register("csv")
class CsvTable(Logger):
    """The whole table is written anew, so that it holds exactly the finished epochs; what was not measured is empty."""

    def log(self, history: Sequence[Mapping[str, Any]]) -> None:
        rows = [{"epoch": record["epoch"] + 1, **scalars(record)} for record in history]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(self.run.folder / "metrics.csv", text.getvalue())
