"""A run's folder: one writer at a time, room for what is written, and seen by all processes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from rich.console import Console
from torch import nn

from ...runtime.errors import CheckpointError, EdgedistillError
from ...runtime.files import require_space, write_atomic
from ...runtime.progress import print_line
from .environment import describe_environment, store_environment
from .job import Job
from .network import TrainedNetwork
from .settings import TrainSettings
from .state import TrainState
from .world import World

ENVIRONMENT = "environment.json"
_MOMENTS = {"adam": 2, "adamw": 2, "sgd": 1}


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


def require_room(job: Job, network: TrainedNetwork) -> None:
    """Tell before hours are spent that last.ckpt and the best weights will not fit, each old and new."""
    require_space(job.folder, 2 * (checkpoint_bytes(network, job.settings) + state_bytes(network.student)))


def checkpoint_bytes(network: TrainedNetwork, settings: TrainSettings) -> int:
    """Of last.ckpt: the student, its averages, what the method adds, and the optimiser's moments."""
    trained = sum(parameter.nbytes for parameter in network.parameters() if parameter.requires_grad)
    averages = (settings.ema is not None) + (settings.swa is not None)
    return state_bytes(network) + averages * state_bytes(network.student) + _MOMENTS[settings.optimizer] * trained


def state_bytes(model: nn.Module) -> int:
    """Of its weights and statistics."""
    return sum(value.nbytes for value in model.state_dict().values())


def record_start(job: Job, device: torch.device, console: Console, world: World, *, continued: bool) -> None:
    if not world.is_main:
        return
    for path, text in job.records.items():
        write_atomic(path, text)
    environment = describe_environment(device, world, (job.train, job.validation))
    changed = store_environment(job.folder / ENVIRONMENT, environment)
    if continued and changed:
        print_line(
            console,
            f"{job.title}: continued with a difference ({'; '.join(changed)}): the last bits may differ from those of "
            "a run in one piece.",
        )


def require_checkpoint(job: Job) -> None:
    """Raise CheckpointError where a training that ends has no best weights: they were taken away meanwhile."""
    path = job.folder / job.checkpoint
    if not path.is_file():
        raise CheckpointError(
            f"{path}: is gone, and no later epoch was better. Bring it back, or delete {job.last} to train again."
        )


def require_agreement(job: Job, state: TrainState, world: World) -> None:
    """All processes train the same job, from the same step, in a folder that all of them see."""
    here = (job.identity, state.epoch, state.batch, (job.folder / ENVIRONMENT).is_file())
    if any(there != here for there in world.gather(here)):
        raise EdgedistillError(
            f"{job.folder}: the processes do not see the same files there. The run folder (`output:`), the data and "
            "the recipe must be on a disk that all of them share."
        )
