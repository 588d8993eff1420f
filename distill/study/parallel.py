"""Running cells side by side, each in a process of its own."""

import sys
import time
from collections.abc import Sequence

from rich.console import Console

from ...runtime.errors import EdgedistillError, InterruptedRunError
from ..experiment.processes import Command, run_queue, share_machine
from .cell import Cell
from .progress import announce
from .queue import Queue

_REFRESH_SECONDS = 1.0


def run_cells_side_by_side(queue: Queue, jobs: int, options: Sequence[str], console: Console) -> None:
    """As `run_cells`, up to `jobs` at once; a cell that takes its process down with it costs no other.

    Args:
        queue: what is to run.
        jobs: processes; they share the cores and GPUs.
        options: of the command line, that every process takes over.
        console: gets what they print.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM, here or to one of them; what they did is saved.
    """
    cells = _Cells(queue, jobs, options, console)
    at_once = min(jobs, len(cells.cells))
    if at_once:
        run_queue(cells, share_machine(at_once), console, what="cells")


class _Cells:
    """The queue as commands."""

    def __init__(self, queue: Queue, jobs: int, options: Sequence[str], console: Console) -> None:
        self.queue, self.jobs, self.options, self.console = queue, jobs, options, console
        self.running: dict[str, Cell] = {}
        self.nothing_was_ready = False
        self._refresh()
        self.total = len(self.cells)

    def left(self) -> bool:
        """Those that other processes run are waited for: their turn comes if such a process stops."""
        if time.monotonic() - self.refreshed > _REFRESH_SECONDS:
            self._refresh()
        return bool(self.cells)

    def take(self) -> Command | None:
        """The next cell that may start."""
        if self.nothing_was_ready and time.monotonic() - self.refreshed < _REFRESH_SECONDS:
            return None
        self._refresh()
        cell = self.queue.ready(self.cells, self.running)
        self.nothing_was_ready = cell is None
        if cell is None:
            return None
        announce(cell, self.cells, self.queue, self.console, self.jobs)
        self.running[cell.name] = cell
        command = self.queue.store.study.command("--only", cell.name, *self.options)
        return Command(cell.name, [sys.executable, "-m", "edgedistill", *command], prefix=f"{cell.name}  ")

    def ended(self, command: Command, failure: EdgedistillError | None) -> None:
        """Its process recorded the result, or else its failure; what took it down without a word is recorded here."""
        cell = self.running.pop(command.title)
        if isinstance(failure, InterruptedRunError):
            raise failure
        self._refresh()
        if failure is not None:
            self.queue.fail(cell, str(failure).removeprefix(f"{cell.name}: "))
        elif cell in self.cells:
            self.queue.fail(cell, "its process ended without a result")
        self._refresh()

    def progress(self) -> tuple[int, int]:
        """Finished cells, of all that were left at the start."""
        return self.total - len(self.cells), self.total

    def _refresh(self) -> None:
        self.cells, self.refreshed = self.queue.left(), time.monotonic()
        self.nothing_was_ready = False
