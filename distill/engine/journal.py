"""The record of a training: metrics.jsonl, and the loggers that its settings name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from ...runtime.errors import first_line
from ...runtime.files import write_atomic
from ...runtime.progress import print_line
from .job import Job
from .loggers import LOGGERS, Logger, Run

_RECORDS = "metrics.jsonl"


def write_records(folder: Path, history: list[dict[str, Any]]) -> None:
    """Rewrite metrics.jsonl, one line per finished epoch."""
    write_atomic(folder / _RECORDS, "".join(json.dumps(record) + "\n" for record in history))


class Journal:
    """Writes one record per finished epoch: to the loggers, then to metrics.jsonl, which shows what they were told.

    A process may be killed when last.ckpt has an epoch that they were not told of: they are told when it goes on.

    A logger that fails, at its start or later, is told of in one line and left out from then on: no network and no full
    disk of somebody else's ends a training.

    Args:
        job: the training.
        history: the records of the epochs that are finished.
        environment: what it runs with.
        console: for warnings.
    """

    def __init__(self, job: Job, history: list[dict[str, Any]], environment: dict[str, Any], console: Console) -> None:
        self._job, self._console, records = job, console, job.folder / _RECORDS
        self._loggers: dict[str, Logger] = {}
        self._finished = len(history) == job.settings.epochs
        told = min(len(history), len(records.read_bytes().splitlines()) if records.is_file() else 0)
        run = Run(
            name=f"{job.card.name}/{job.title}",
            folder=job.folder,
            epoch=told,
            settings=_settings(job),
            files={path.name: text for path, text in job.records.items()},
            environment=environment,
        )
        for name in dict.fromkeys(job.settings.loggers):
            self._try(name, lambda name=name: self._loggers.update({name: LOGGERS.get(name)(run)}))  # type: ignore[misc]
        for epochs in range(told, len(history)):
            self._tell(history[: epochs + 1])
        if history:
            write_records(job.folder, history)

    def write(self, history: list[dict[str, Any]]) -> None:
        """Pass the last finished epoch to the loggers, and rewrite metrics.jsonl.

        Args:
            history: one record per finished epoch.
        """
        self._finished = len(history) == self._job.settings.epochs
        self._tell(history)
        write_records(self._job.folder, history)

    def _tell(self, history: list[dict[str, Any]]) -> None:
        for name, logger in [*self._loggers.items()]:
            self._try(name, lambda logger=logger: logger.log(history))  # type: ignore[misc]

    def close(self) -> None:
        for name, logger in [*self._loggers.items()]:
            self._try(name, lambda logger=logger: logger.close(finished=self._finished))  # type: ignore[misc]

    def _try(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # of somebody else's package, network or disk
            self._loggers.pop(name, None)
            print_line(
                self._console,
                f"{self._job.title}: the logger {name!r} failed and is left out from here on "
                f"({type(error).__name__}: {first_line(error)}); the training goes on. metrics.jsonl has all epochs.",
            )


def _settings(job: Job) -> dict[str, Any]:
    return {
        "seed": job.seed,
        "method": {"name": type(job.method).__name__, **msgspec.to_builtins(job.method, str_keys=True)},
        "model": msgspec.to_builtins(job.card.model),
        "preprocessing": msgspec.to_builtins(job.card.preprocessing),
        "train": msgspec.to_builtins(job.settings),
        "images": {"train": len(job.train), "validation": len(job.validation)},
    }
