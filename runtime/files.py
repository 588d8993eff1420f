"""Files that are either the old version or the new one, never half of either."""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import EdgedistillError

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed over `path`, else removed.

    Raises:
        EdgedistillError: the folder cannot be written or the disk is full; the previous file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # processes in containers share numbers
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as stream:  # Windows flushes only what is open for writing
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.filename and Path(error.filename) not in (temporary, path, path.parent):
            raise
        raise EdgedistillError(
            f"cannot write {path}: {error.strerror or error}. Free space or make the folder writable; "
            "the previous file, if any, is intact."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # the folder itself may be what failed
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut, where folders can be opened at all (not on Windows)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def require_space(folder: Path, size: int) -> None:
    """Find out now whether `size` bytes can be written below `folder`, not after hours.

    Raises:
        EdgedistillError: the folder cannot be written, or the disk or a limit on file sizes leaves less.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            free = shutil.disk_usage(folder).free
            if free < size:
                raise OSError(errno.ENOSPC, f"{free / 1e6:,.0f} MB are free")  # noqa: TRY301
            probe.truncate(size)  # finds a limit on file sizes; a sparse file takes no space
    except OSError as error:
        raise EdgedistillError(
            f"{folder}: cannot hold the {size / 1e6:,.0f} MB that will be written there ({error.strerror or error}). "
            "Free space, or choose another folder."
        ) from error


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` so that a crash leaves the previous file."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
