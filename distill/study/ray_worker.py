"""What a worker of Ray does with a cell: look around, then run it as any process would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from rich.console import Console

from ...runtime.errors import InterruptedRunError
from .progress import announce
from .queue import Queue
from .run import run_cells
from .store import Store
from .study import load_study

Outcome: TypeAlias = Literal["done", "failed", "stopped", "elsewhere"]

_PATIENCE = 10.0  # seconds until a shared disk shows what another machine wrote


class Asked(NamedTuple):
    """A study as it was started, for its workers.

    Attributes:
        folder: the current one.
        study: path of the study file.
        arguments: see `Study`.
        record: path of the record.
        command: see `Store`.
        selected: names of the cells that are to be run.
        marks: files that a machine sees which shares the folders of the study and of its record.
        version: of edgedistill.
        cores: of a cell.
        jobs_variable: tells a process how many share its machine.
        variables: of the environment.
    """

    folder: str
    study: str
    arguments: tuple[str, ...]
    record: str
    command: str
    selected: tuple[str, ...]
    marks: tuple[str, ...]
    version: str
    cores: int
    jobs_variable: str
    variables: dict[str, str]


def cell_task() -> Callable[[dict[str, Any], str], tuple[Outcome, str]]:
    """A function of an `Asked`, as a dict, and a cell's name; returns how it went and why not.

    Ray sends what is defined inside another function as code: a worker has imported nothing when it looks around, and
    torch, which reads the number of its threads when it is imported, comes after that is known.
    """
    patience = _PATIENCE

    def cell(asked: dict[str, Any], name: str) -> tuple[Outcome, str]:
        import os
        import socket
        import time
        from pathlib import Path

        places = {asked["folder"]: asked["folder"], **{mark: str(Path(mark).parent) for mark in asked["marks"]}}
        until = time.monotonic() + patience
        while unseen := [shown for place, shown in places.items() if not Path(place).exists()]:
            if time.monotonic() > until:
                return "elsewhere", (
                    f"{socket.gethostname()} does not see {unseen[0]} as the machine does that started the study. The "
                    "study file, its recipe, the data and the run folders (`output=`) must be on a disk that all share."
                )
            time.sleep(0.2)
        os.chdir(asked["folder"])
        os.environ.update(asked["variables"])
        from edgedistill import __version__
        from edgedistill.runtime.device import usable_cores

        if __version__ != asked["version"]:
            return "elsewhere", (
                f"{socket.gethostname()} has edgedistill {__version__}, the machine that started the study "
                f"{asked['version']}: install one version on all of them."
            )
        os.environ[asked["jobs_variable"]] = str(max(1, usable_cores() // asked["cores"]))
        from edgedistill.distill.study.ray_worker import Asked, run_cell_here

        return run_cell_here(Asked(**asked), name)

    return cell


def run_cell_here(asked: Asked, name: str) -> tuple[Outcome, str]:
    """Run one cell of the study in this process."""
    console = Console(stderr=True, highlight=False, emoji=False, width=160)
    study = load_study(Path(asked.study), asked.arguments)
    store = Store(study, Path(asked.record), asked.command)
    selected = Queue(store, [cell for cell in study.cells if cell.name in asked.selected])
    (cell,) = [cell for cell in study.cells if cell.name == name]
    announce(cell, selected.left(), selected, console)
    queue = Queue(store, [cell])
    try:
        run_cells(queue, console)
    except InterruptedRunError:
        return "stopped", ""
    return ("failed", queue.failed[name]) if name in queue.failed else ("done", "")
