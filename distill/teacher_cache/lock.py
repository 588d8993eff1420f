"""One run alone builds a cache at a time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from ...runtime.progress import print_line
from ..engine.world import World
from .store import told

_POLL_SECONDS = 0.5


@contextlib.contextmanager
def only_builder(folder: Path, world: World, console: Console) -> Iterator[None]:
    """Wait until no other run builds the cache in `folder`; a killed one's claim ends with its last process."""
    lock = FileLock(str(folder / ".lock"))

    def claim() -> bool:
        if not world.is_main:
            return False
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=_POLL_SECONDS)
            except Timeout:
                return False
        return True

    waiting = False
    while not world.any(world.together(claim)):
        if not waiting:
            line = f"teacher cache: another run is building {folder}; waiting for it"
            print_line(console, line)
        waiting = True
    try:
        yield
    finally:
        lock.release()
