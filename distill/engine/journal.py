"""The record of a training: metrics.jsonl, and the loggers that its settings name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from ...runtime.errors import first_line
from ...runtime.files import write_atomic
from .job import Job
from .loggers import LOGGERS, Logger, Run


def write_records(folder: Path, history: list[dict[str, Any]]) -> None:
    """Rewrite metrics.jsonl, one line per finished epoch."""
    write_atomic(folder / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in history))


class Journal:
    """Writes one record per finished epoch.

    A logger that fails, at its start or later, is told of in one line and left out from then on: no network and no full
    disk of somebody else's ends a training.

    Args:
        job: the training.
        epoch: the first epoch that will be written.
        environment: what it runs with.
        console: for warnings.
    """

    def __init__(self, job: Job, epoch: int, environment: dict[str, Any], console: Console) -> None:
        self._job, self._console = job, console
        self._loggers: dict[str, Logger] = {}
        self._finished = epoch == job.settings.epochs
        run = Run(
            name=f"{job.card.name}/{job.title}",
            folder=job.folder,
            epoch=epoch,
            settings=_settings(job),
            files={path.name: text for path, text in job.records.items()},
            environment=environment,
        )
        for name in dict.fromkeys(job.settings.loggers):
            self._try(name, lambda name=name: self._loggers.update({name: LOGGERS.get(name)(run)}))  # type: ignore[misc]

    def write(self, history: list[dict[str, Any]]) -> None:
        """Rewrite metrics.jsonl, so that it holds exactly the finished epochs, and pass them to the loggers.

        Args:
            history: one record per finished epoch.
        """
        write_records(self._job.folder, history)
        self._finished = len(history) == self._job.settings.epochs
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
            self._console.print(
                f"{self._job.title}: the logger {name!r} failed and is left out from here on "
                f"({type(error).__name__}: {first_line(error)}); the training goes on. metrics.jsonl has all epochs.",
                markup=False,
                highlight=False,
                soft_wrap=True,
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
