"""The processes of one training: who this one is, and the few things that they tell each other."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ...runtime.errors import EdgedistillError

T = TypeVar("T")

# Rank 0 alone writes and reads some files; the others wait that long before they believe it dead.
_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class World:
    """This process among all that share a training.

    Attributes:
        rank: 0 is the one that writes files and prints.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether `flag` holds in any process; the same answer in all of them."""
        return flag if self.size == 1 else any(self.gather(flag))

    def gather(self, value: T) -> list[T]:
        """The value of every process, by rank, in all of them."""
        if self.size == 1:
            return [value]
        found: list[T | None] = [None] * self.size
        dist.all_gather_object(found, value)
        return found  # type: ignore[return-value]

    def together(self, action: Callable[[], T]) -> T:
        """Run `action` in every process; where it fails in one, the error of the lowest rank is raised in all."""
        result, failure = None, None
        try:
            result = action()
        except EdgedistillError as error:
            failure = error
        failures = [one for one in self.gather(failure) if one is not None]
        if failures:
            raise failures[0]
        return result  # type: ignore[return-value]

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Copy rank 0's values into the tensors of all."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until every process got here."""
        if self.size > 1:
            dist.barrier()


ALONE = World()


def current_world() -> World:
    """As `joined_world` made it; alone outside of it."""
    if not (dist.is_available() and dist.is_initialized()):
        return ALONE
    return World(dist.get_rank(), dist.get_world_size())


@contextlib.contextmanager
def joined_world() -> Iterator[World]:
    """Join the processes that torchrun started (it sets RANK, WORLD_SIZE and more); alone without it."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    # gloo carries what is on the CPU (flags, scores), NCCL the gradients.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield current_world()
    finally:
        dist.destroy_process_group()
