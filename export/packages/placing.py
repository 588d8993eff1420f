"""A package appears at its place whole or not at all."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...runtime.errors import ConfigError, EdgedistillError

_ENVIRONMENT = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO),
    *(errno.ENOTDIR, errno.EEXIST),  # a file where a folder must be
}


def refuse_taken(out: Path) -> None:
    """Raise ConfigError unless nothing is at `out`, or an empty folder."""
    if os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there already and not empty: give another place, or remove it.")


@contextlib.contextmanager
def placed(out: Path) -> Iterator[Path]:
    """Yield a path where nothing is yet; the file or folder made there becomes `out`, unless anything is raised.

    Raises:
        ConfigError: something is at `out` already.
        EdgedistillError: `out` cannot be written, or the disk is full.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 (Path.absolute keeps "..")
    refuse_taken(out)
    work = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
        made = work / out.name
        yield made
        refuse_taken(out)
        if out.is_dir():
            out.rmdir()  # only an empty one can be
        made.rename(out)
    except OSError as error:
        if error.errno not in _ENVIRONMENT:
            raise
        raise EdgedistillError(
            f"{out}: cannot be written ({error.strerror}). Free space, make the folder writable, or give another place."
        ) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
