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

_ENVIRONMENT = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}


@dataclass(frozen=True)
class Staging:
    """Two empty folders beside the bundle's place: what is in `root` is published, what is in `scratch` is removed."""

    root: Path
    scratch: Path


@contextlib.contextmanager
def staged_bundle(out: Path) -> Iterator[Staging]:
    """Yield folders to build in; on success `root` becomes `out`, on any exception nothing is left behind.

    A bundle that stands at `out` stays until the new one is complete, and goes then with its results, which were
    measured on the old artifacts.

    Raises:
        ExportError: `out` is something else than a bundle or an empty folder, or cannot be written.
    """
    _refuse_foreign(out)
    work = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # On the same file system, so that publishing is a rename.
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
        staging = Staging(work / "bundle", work / "scratch")
        staging.root.mkdir()
        staging.scratch.mkdir()
        yield staging
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


def _refuse_foreign(out: Path) -> None:
    if out.is_dir():
        if (out / MANIFEST).is_file() or not any(out.iterdir()):
            return
        raise ExportError(f"{out}: is a folder, but not a bundle (no {MANIFEST}): not replaced. Give another path.")
    if out.exists() or out.is_symlink():
        raise ExportError(f"{out}: is a file; a bundle is a folder. Give another path.")


def _publish(root: Path, out: Path, previous: Path) -> None:
    if not out.exists():
        root.rename(out)
        return
    # A folder with files cannot be replaced in one step; if the second rename fails, the first is undone.
    out.rename(previous)
    try:
        root.rename(out)
    except BaseException:
        previous.rename(out)
        raise
