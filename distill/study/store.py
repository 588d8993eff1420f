"""What is kept of a study: its record, a result in the folder of each finished cell, and who runs which cell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from ...runtime.errors import CheckpointError, DataError, EdgedistillError
from ...runtime.files import write_atomic
from .cell import Cell
from .record import CellRecord, Finished, Machine, StudyRecord
from .same_data import require_same_data
from .study import Study
from .summary import summarise

_RESULT = "result.json"
_LOCK = ".study.lock"


class NoRecordError(EdgedistillError):
    """Nothing of a study is recorded where its record was said to lie."""

    exit_code = 1


class Store:
    """Reads and writes them; several processes, on several machines with one disk, may use one at a time.

    Args:
        study: what is planned.
        path: of the record.
        command: that the record names as its own.
    """

    def __init__(self, study: Study, path: Path, command: str) -> None:
        self.study, self.path, self.command = study, path, command

    def read(self) -> StudyRecord:
        """The record as far as it fits the study as it is planned now; nothing is written.

        Raises:
            CheckpointError: the file is damaged, or another study's: of another name, with results but none of this.
        """
        old = self._file()
        record = _merge(self.study, old, self.command)
        if old is not None and old.name != self.study.name and record.superseded and not record.count("done"):
            raise CheckpointError(
                f"{self.path}: is the record of the study {old.name!r}, which has none of the cells of "
                f"{self.study.where}. Name another (`--results`)."
            )
        return record

    def missing(self) -> NoRecordError | None:
        """What to say where there is no file of it; None where there is one."""
        if self.path.exists():
            return None
        return NoRecordError(
            f"no record at {self.path} yet: the study, started without `--table` or `--markdown`, writes it there. If "
            "it lies elsewhere, name it (`--results`)."
        )

    def write(self) -> None:
        """Rewrite the record as `read` has it, which lists what is not run before anything is."""
        self._change(lambda record: record)

    def finish(self, cell: Cell, finished: Finished) -> None:
        """Record a result, in the cell's folder too.

        Raises:
            DataError: the record has results on other data.
        """
        content = msgspec.json.format(msgspec.json.encode(finished), indent=2)
        write_atomic(cell.folder / _RESULT, content + b"\n")
        self._change(lambda record: _with_result(record, cell, finished))

    def fail(self, cell: Cell, reason: str) -> None:
        """Record why a cell failed; the next start tries it again. A result that is known of it stays."""
        entry = CellRecord(**_key(cell), status="failed", reason=reason)
        self._change(
            lambda record: record if _has_result(record, cell) else _with_entry(record, entry, record.machines)
        )

    def adopt(self, cell: Cell) -> bool:
        """Whether the cell is finished in its folder, in which case the record knows it from now on.

        What was found there on other data than the record's results does not count.
        """
        finished = self.finished(cell)
        if finished is None:
            return False
        try:
            self._change(lambda record: _with_result(record, cell, finished))
        except DataError:
            return False
        return True

    def finished(self, cell: Cell) -> Finished | None:
        """What lies in the cell's folder; None where it is not finished there."""
        try:
            found = msgspec.json.decode((cell.folder / _RESULT).read_bytes(), type=Finished)
        except (OSError, msgspec.DecodeError):
            return None
        fits = found.identity == cell.identity and _agrees(found.result.method, cell)
        return found if fits and cell.checkpoint.is_file() else None

    def lock(self, cell: Cell) -> FileLock:
        """Held by the one process that runs the cell; the system lets go of it when that dies."""
        cell.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(cell.folder / _LOCK)

    def is_taken(self, cell: Cell) -> bool:
        """Whether another process runs the cell now."""
        if not (cell.folder / _LOCK).exists():
            return False
        lock = self.lock(cell)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    def _change(self, change: Callable[[StudyRecord], StudyRecord]) -> None:
        self.study.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.study.folder / _LOCK):
            record = change(self.read())
            record = msgspec.structs.replace(record, rows=summarise(record.cells, record.baseline))
            write_atomic(self.path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")

    def _file(self) -> StudyRecord | None:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=StudyRecord)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise CheckpointError(
                f"{self.path}: no record of a study, or one of another version ({error}). Name another (`--results`)."
            ) from None


def _merge(study: Study, old: StudyRecord | None, command: str) -> StudyRecord:
    """The study's cells with what is known of each; results that fit none of them are kept apart.

    Of cells that are the same training one result is that of all; one that has its own keeps it.
    """
    known = () if old is None else (*old.cells, *old.superseded)
    done = [(entry, entry.result) for entry in known if entry.result is not None]
    failed = {entry.identity: entry for entry in known if entry.status == "failed"}
    cells, used = [], []
    for cell in study.cells:
        alike = [one for one, result in done if one.identity == cell.identity and _agrees(result.method, cell)]
        entry = next((one for one in alike if one.name == cell.name), alike[0] if alike else None)
        if entry is not None:
            used.append(entry)
        else:
            entry = failed.get(cell.identity, CellRecord(**_key(cell)))
        cells.append(msgspec.structs.replace(entry, **_key(cell)))
    return StudyRecord(
        name=study.name,
        command=command,
        baseline=study.spec.baseline,
        rows=summarise(cells, study.spec.baseline),
        cells=tuple(cells),
        machines={} if old is None else old.machines,
        superseded=tuple(entry for entry, _ in done if entry not in used),
        test="" if old is None else old.test,
    )


def _with_result(record: StudyRecord, cell: Cell, finished: Finished) -> StudyRecord:
    require_same_data(cell.seed, finished.result, (one for one in record.cells if one.name != cell.name))
    entry = CellRecord(**_key(cell), status="done", result=finished.result)
    machines: dict[str, Machine] = {**record.machines, finished.result.machine: finished.machine}
    return msgspec.structs.replace(_with_entry(record, entry, machines), test=finished.test)


def _has_result(record: StudyRecord, cell: Cell) -> bool:
    return any(one.name == cell.name and one.result is not None for one in record.cells)


def _with_entry(record: StudyRecord, entry: CellRecord, machines: dict[str, Machine]) -> StudyRecord:
    cells = tuple(entry if one.name == entry.name else one for one in record.cells)
    return msgspec.structs.replace(record, cells=cells, machines=machines)


def _key(cell: Cell) -> dict[str, Any]:
    return {"student": cell.student, "method": cell.method, "seed": cell.seed, "identity": cell.identity}


def _agrees(method: dict[str, object], cell: Cell) -> bool:
    """Whether a result was found with the values that the method has now; options added since are at their defaults."""
    now = cell.method_values
    return all(now.get(key) == value for key, value in method.items())
