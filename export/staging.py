"""A bundle appears whole or not at all."""

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..runtime.bundle import MANIFEST, open_bundle
from ..runtime.errors import BundleError, ConfigError
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
        ExportError: `out` is something else than a bundle of ours or an empty folder, or cannot be written.
    """
    refuse_foreign(out)
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


def refuse_foreign(out: Path) -> None:
    """Raise ExportError unless `out` is free, an empty folder, or a bundle with nothing in it that is not ours.

    A folder that merely holds a manifest.json (a web app, a browser extension) is somebody's work.
    """
    if out.suffix == ".zip":
        raise ConfigError(f"{out}: a bundle is a folder; drop the suffix and ask for the .zip beside it.")
    if not out.is_dir() or out.is_symlink():
        if out.exists() or out.is_symlink():
            raise ExportError(f"{out}: is a file or a link; a bundle is a folder. Give another path.")
        return
    if not any(out.iterdir()):
        return
    try:
        manifest = open_bundle(out).manifest
    except BundleError:
        what = f"its {MANIFEST} is not a bundle's" if (out / MANIFEST).exists() else f"there is no {MANIFEST}"
        raise ExportError(f"{out}: is not empty, and no bundle ({what}): not replaced. Give another path.") from None
    ours = {MANIFEST, *(entry.path for entry in manifest.files())}
    foreign = sorted(
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if not path.is_dir() and path.relative_to(out).as_posix() not in ours and not _is_result(path.relative_to(out))
    )
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise ExportError(
            f"{out}: holds {foreign[0]}{more}, not listed by its manifest: not replaced. Move it, or give another path."
        )


def _is_result(path: Path) -> bool:
    """What verify and bench write; they go with the artifacts that they were measured on."""
    return path.parts[0] == "results" and path.suffix in (".json", ".npz")


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
