"""Commands that torchrun starts in several processes: one of them speaks, and those that cannot be shared refuse."""

import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from edgedistill.runtime.errors import ConfigError

from .extras import require_training

P = ParamSpec("P")
R = TypeVar("R")

SHARED = ("train", "distill")


def process_count() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def process_rank() -> int:
    """Which of them this is."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


def refuse_processes(command: str | None) -> None:
    """Raise ConfigError where a command was started in several processes that can only run in one."""
    if process_count() > 1 and command not in (*SHARED, None):
        raise ConfigError(
            f"`edgedistill {command}` runs in one process, and torchrun started {process_count()}: train with "
            "`torchrun ... -m edgedistill distill RECIPE`, then `edgedistill run RECIPE` goes on from there."
        )


def shared(command: Callable[P, R]) -> Callable[P, R]:
    """A command that all processes run together."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if process_count() == 1:
            return command(*args, **kwargs)
        require_training(command.__name__)
        from edgedistill.distill.engine import joined_world

        with joined_world():
            return command(*args, **kwargs)

    return run
