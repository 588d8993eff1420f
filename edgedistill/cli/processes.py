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
    """How many processes torchrun started; 1 without it.

    Raises:
        ConfigError: RANK and WORLD_SIZE are not what torchrun sets.
    """
    return _world()[1]


def process_rank() -> int:
    """Which of them this is.

    Raises:
        ConfigError: RANK and WORLD_SIZE are not what torchrun sets.
    """
    return _world()[0]


def speaking_rank() -> int:
    """`process_rank` for those who only want to know whether to speak: 0 where the environment makes no sense."""
    try:
        return process_rank()
    except ConfigError:
        return 0


def _world() -> tuple[int, int]:
    if "RANK" not in os.environ:
        return 0, 1
    given = {"RANK": os.environ["RANK"], "WORLD_SIZE": os.environ.get("WORLD_SIZE", "1")}
    for name, text in given.items():
        if not (text.isascii() and text.isdecimal()):
            raise ConfigError(f"the environment's {name} is {text!r}, no whole number from 0: {_WAY_OUT}")
    rank, count = (int(text) for text in given.values())
    if count == 1:
        return 0, 1
    if rank >= count:
        raise ConfigError(f"the environment's RANK is {rank} and its WORLD_SIZE {count}: {_WAY_OUT}")
    return rank, count


_WAY_OUT = "torchrun sets RANK below WORLD_SIZE. Unset both, or start with torchrun."


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
