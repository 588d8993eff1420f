"""A run's folder has one writer at a time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ...runtime.errors import EdgedistillError


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
