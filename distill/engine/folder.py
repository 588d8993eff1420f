"""A run's folder: one writer at a time, room for what is written, and seen by all processes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from rich.console import Console
from torch import nn

from ...runtime.errors import EdgedistillError
from ...runtime.files import require_space, write_atomic
from .environment import describe_environment, store_environment
from .job import Job
from .state import TrainState
from .world import World

ENVIRONMENT = "environment.json"
_FLOAT = 4


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the folder; the system lets go of it when the process dies, however it does.

    Half-written files of a process that was killed are cleared away.

    Raises:
        EdgedistillError: another process trains there, or the folder cannot be written.
    """
    lock = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            for left in folder.glob(".*.tmp"):
                left.unlink(missing_ok=True)
            yield
    except Timeout:
        raise EdgedistillError(
            f"{folder}: another process is training there. Wait for it, stop it, or use another name (`name=...`)."
        ) from None
    except OSError as error:
        if error.filename not in (str(folder), str(lock)):
            raise
        raise EdgedistillError(
            f"{folder}: cannot be written ({error.strerror}). Make it writable, or choose another `output:`."
        ) from error


def require_room(job: Job, model: nn.Module) -> None:
    """Tell before hours are spent that the files will not fit: weights, two moments, an average, old and new."""
    weights = sum(parameter.numel() for parameter in model.parameters()) * _FLOAT
    networks = 3 + (job.settings.ema is not None) + (job.settings.swa is not None)
    require_space(job.folder, 2 * weights * networks + 2 * weights)


def record_start(job: Job, device: torch.device, console: Console, world: World, *, continued: bool) -> None:
    if not world.is_main:
        return
    for path, text in job.records.items():
        write_atomic(path, text)
    environment = describe_environment(device, world, (job.train, job.validation))
    changed = store_environment(job.folder / ENVIRONMENT, environment)
    if continued and changed:
        console.print(
            f"{job.title}: continued with a difference ({'; '.join(changed)}): the last bits may differ from those of "
            "a run in one piece.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def require_agreement(job: Job, state: TrainState, world: World) -> None:
    """All processes train the same job, from the same step, in a folder that all of them see."""
    here = (job.identity, state.epoch, state.batch, (job.folder / ENVIRONMENT).is_file())
    if any(there != here for there in world.gather(here)):
        raise EdgedistillError(
            f"{job.folder}: the processes do not see the same files there. The run folder (`output:`), the data and "
            "the recipe must be on a disk that all of them share."
        )
