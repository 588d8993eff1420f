"""Processes that begin with torch imported: a server forks them, where a new interpreter imports for five seconds."""

import multiprocessing
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

processes = multiprocessing.get_context("forkserver")
# Nothing of them starts a thread.
processes.set_forkserver_preload(["edgedistill.distill.experiment.experiment", "edgedistill.export.exporting"])


class Ended(NamedTuple):
    """How a process ended: its exit code, minus the signal that killed it, and what it printed."""

    code: int
    out: str
    err: str


class Forked:
    """`function(*arguments)`, which is imported by name, in a process of its own with these environment variables."""

    def __init__(self, function: Callable[..., object], *arguments: object, **environment: str) -> None:
        self._streams = Path(tempfile.mkdtemp())
        self._process = processes.Process(
            target=_run, args=(str(self._streams), environment, function, *arguments), daemon=True
        )
        self._process.start()

    def kill(self) -> None:
        """As the system does when memory runs out."""
        self._process.kill()

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def wait(self, seconds: float = 180.0) -> Ended:
        """For its end, which comes to one that hangs."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self.kill()
            self._process.join()
        out, err = ((self._streams / name).read_text() for name in ("out", "err"))
        return Ended(self._process.exitcode or 0, out, err)


def _run(streams: str, environment: dict[str, str], function: Callable[..., object], *arguments: object) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(os.path.join(streams, name), os.O_WRONLY | os.O_CREAT), number)  # noqa: PTH118
    os.environ.update(environment)
    function(*arguments)


def torchrun_environments(processes: int) -> list[dict[str, str]]:
    """What torchrun sets for each of that many processes on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [{**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
