"""A bundle appears whole or not at all."""

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..runtime.bundle import MANIFEST
from .errors import ExportError
from .replaceable import absolute, cannot_move, refuse_foreign

_ENVIRONMENT = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}


@dataclass(frozen=True)
class Staging:
    """Two empty folders: what is in `root` is published, what is in `scratch` is removed."""

    root: Path
    scratch: Path


@contextlib.contextmanager
def staged_bundle(out: Path, *, zip: bool = False) -> Iterator[Staging]:
    """Yield folders to build in; on success `root` becomes `out`, on any exception nothing is left behind.

    A bundle that stands at `out` stays until the new one is complete, and goes then with its results, which were
    measured on the old artifacts. Whether all there is ours is asked twice: before the work, and before it goes.

    Args:
        out: the bundle's folder.
        zip: see `refuse_foreign`.

    Raises:
        ExportError: `out` is something else than a bundle of ours or an empty folder, or cannot be written.
    """
    out = absolute(out)
    refuse_foreign(out, zip=zip)
    work = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # On the same file system, so that publishing is a rename.
        beside = out if out.is_dir() and cannot_move(out) else out.parent
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=beside))
        staging = Staging(work / "bundle", work / "scratch")
        staging.root.mkdir()
        staging.scratch.mkdir()
        yield staging
        refuse_foreign(out, zip=zip, but=work)
        _publish(staging.root, out, work / "previous")
    except OSError as error:
        if error.errno not in _ENVIRONMENT:
            raise
        raise ExportError(
            f"{out}: the bundle cannot be written ({error.strerror}). Free space or make the folder writable; "
            "what stood there is intact."
        ) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _publish(root: Path, out: Path, previous: Path) -> None:
    if not out.exists():
        root.rename(out)
        return
    if root.is_relative_to(out):
        _move_into(root, out)
        return
    # A folder with files cannot be replaced in one step; if the second rename fails, the first is undone.
    try:
        out.rename(previous)
        root.rename(out)
    except BaseException:  # Ctrl-C may come behind either
        if not out.exists():
            previous.rename(out)
        raise


def _move_into(root: Path, out: Path) -> None:
    """Into a folder that stays: the manifest last, without which there is no bundle."""
    paths = sorted(root.iterdir(), key=lambda path: path.name == MANIFEST)
    try:
        for path in paths:
            path.rename(out / path.name)
    except BaseException:  # Ctrl-C may come behind the last
        if not (out / MANIFEST).exists():
            for path in paths:
                if not path.exists():
                    (out / path.name).rename(path)
        raise
