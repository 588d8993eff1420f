"""What is left of a study, and which of it may start now."""

from collections.abc import Container, Sequence
from fnmatch import fnmatchcase

from ...runtime.errors import ConfigError, EdgedistillError
from .cell import Cell
from .store import Store
from .study import Study


class FailedCellsError(EdgedistillError):
    """Some cells of a study failed; all others were run."""

    exit_code = 1


def select(study: Study, patterns: Sequence[str]) -> tuple[Cell, ...]:
    """The cells whose names match one of the patterns, as a shell matches them; all without any.

    Raises:
        ConfigError: a pattern matches none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(cell.name, pattern) for cell in study.cells):
            names = f"{study.cells[0].name}, ..., {study.cells[-1].name}"
            raise ConfigError(f"--only {pattern}: matches no cell of {study.where} ({names}).")
    chosen = [cell for cell in study.cells if any(fnmatchcase(cell.name, pattern) for pattern in patterns)]
    return tuple(chosen if patterns else study.cells)


class Queue:
    """The selected cells that are not done, with the teachers that they need.

    A teacher whose result is known but whose weights are not here is trained again for the students that are left.

    Args:
        store: what is known of each.
        selected: cells of its study.
    """

    def __init__(self, store: Store, selected: Sequence[Cell]) -> None:
        self.store, self.selected = store, selected
        self.failed: dict[str, str] = {}

    def left(self) -> list[Cell]:
        """Those that are still to be run, here or by another process, in the study's order."""
        record = {entry.name: entry for entry in self.store.read().cells}
        left = [cell for cell in self.selected if record[cell.name].status != "done" and cell.name not in self.failed]
        needed = {cell.teacher.name for cell in left if cell.teacher and not self.store.finished(cell.teacher)}
        names = {cell.name for cell in left} | needed
        return [cell for cell in self.store.study.cells if cell.name in names]

    def ready(self, left: Sequence[Cell], running: Container[str] = ()) -> Cell | None:
        """The first that may start: its teacher is here, and no process runs it."""
        for cell in left:
            waits = cell.teacher is not None and self.store.finished(cell.teacher) is None
            if not waits and cell.name not in running and not self.store.is_taken(cell):
                return cell
        return None

    def fail(self, cell: Cell, reason: str) -> None:
        """Record a failure, of the students too that a teacher was to teach; none of them is tried again here."""
        self.store.fail(cell, reason)
        self.failed[cell.name] = reason
        for taught in self.left() if cell.is_teacher else ():
            if taught.teacher is not None and taught.teacher.name == cell.name:
                self.store.fail(taught, f"{cell.name}: {reason}")
                self.failed[taught.name] = f"{cell.name}: {reason}"

    def require_success(self) -> None:
        """Raise FailedCellsError where one failed."""
        if not self.failed:
            return
        name, reason = next(iter(self.failed.items()))
        others = len(self.failed) - 1
        more = f" ({others} more failed, see the table; the same command tries them again)" if others else ""
        raise FailedCellsError(f"{name}: {reason}{more}")
