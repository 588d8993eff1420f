"""How far a study is, in a line before each cell."""

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from ...runtime.progress import duration
from .cell import Cell
from .queue import Queue
from .record import StudyRecord


def announce(cell: Cell, left: Sequence[Cell], queue: Queue, console: Console, jobs: int = 1) -> None:
    """Say which cell starts, how many are left, and about how long they will take."""
    seconds = remaining_seconds(left, queue.store.read(), jobs)
    about = "" if seconds is None else f", about {duration(seconds)} left"
    console.print(
        f"[bold cyan]>>[/] [bold]{escape(cell.name)}[/] [dim]({len(left)} to do{about}; {escape(str(cell.folder))})[/]",
        highlight=False,
        soft_wrap=True,
    )


def remaining_seconds(left: Sequence[Cell], record: StudyRecord, jobs: int = 1) -> float | None:
    """Of cells, from what others like them took: the same student and method, else the same student, else any.

    None where no student, or no teacher, is done yet.
    """
    done = [entry for entry in record.cells if entry.result is not None]
    total = 0.0
    for cell in left:
        alike = [entry for entry in done if (entry.student, entry.method) == (cell.student, cell.method)]
        alike = alike or [entry for entry in done if entry.student == cell.student]
        alike = alike or [entry for entry in done if entry.method]
        if not alike:
            return None
        total += statistics.fmean(entry.result.seconds for entry in alike if entry.result is not None)
    return total / jobs
