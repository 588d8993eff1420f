"""A bundle appears whole or not at all."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from ..runtime.bundle import MANIFEST, SIGNATURE, Run, open_bundle
from ..runtime.bundle.results import RUN_FILE
from ..runtime.errors import BundleError, ConfigError
from ..runtime.record import Record
from ..runtime.report.place import REPORT, is_report
from .errors import ExportError

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
    out = _absolute(out)
    refuse_foreign(out, zip=zip)
    work = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # On the same file system, so that publishing is a rename.
        beside = out if out.is_dir() and _cannot_move(out) else out.parent
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=beside))
        staging = Staging(work / "bundle", work / "scratch")
        staging.root.mkdir()
        staging.scratch.mkdir()
        yield staging
        _refuse_foreign(out, zip=zip, but=work)
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


def refuse_foreign(out: Path, *, zip: bool = False) -> None:
    """Raise ExportError unless `out` is free, an empty folder, or a bundle with nothing in it that is not ours.

    A folder that merely holds a manifest.json (a web app, a browser extension) is somebody's work.

    Args:
        out: the bundle's folder.
        zip: `<out>.zip` is to be written too: what stands there must be a bundle, or nothing.
    """
    _refuse_foreign(out, zip=zip)


def zip_beside(out: Path) -> Path:
    """Where the bundle's .zip goes."""
    out = _absolute(out)
    return out.with_name(f"{out.name}.zip")


def refuse_foreign_zip(out: Path) -> None:
    """Raise ExportError unless the place of `out`'s .zip is free, or holds a bundle's .zip."""
    place = zip_beside(out)
    if not os.path.lexists(place):
        return
    reason = "is a folder or a link"
    if place.is_file() and not place.is_symlink():
        try:
            open_bundle(place)
        except BundleError:
            reason = "is no bundle's .zip"
        else:
            return
    raise ExportError(f"{place}: {reason}: not replaced. Move it, give another path, or leave out the .zip.")


def _refuse_foreign(out: Path, *, zip: bool, but: Path | None = None) -> None:
    """See `refuse_foreign`; `but` is a folder of this export itself."""
    if out.suffix == ".zip":
        raise ConfigError(f"{out}: a bundle is a folder; drop the suffix and ask for the .zip beside it.")
    if zip:
        refuse_foreign_zip(out)
    if not out.is_dir() or out.is_symlink():
        if out.exists() or out.is_symlink():
            raise ExportError(f"{out}: is a file or a link; a bundle is a folder. Give another path.")
        return
    if all(path == but for path in out.iterdir()):
        return
    try:
        manifest = open_bundle(out).manifest
    except BundleError:
        what = f"its {MANIFEST} is not a bundle's" if (out / MANIFEST).exists() else f"there is no {MANIFEST}"
        raise ExportError(f"{out}: is not empty, and no bundle ({what}): not replaced. Give another path.") from None
    ours = {MANIFEST, SIGNATURE, *(entry.path for entry in manifest.files())}
    foreign = sorted(
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if (path.is_symlink() or not path.is_dir())
        and path.relative_to(out).as_posix() not in ours
        and not _is_result(path, out)
        and not (path == out / REPORT and is_report(path))
    )
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise ExportError(
            f"{out}: holds {foreign[0]}{more}, not listed by its manifest: not replaced. Move it, or give another path."
        )
    if _cannot_move(out):
        raise ExportError(
            f"{out}: holds a bundle and cannot be exchanged, as the current folder or a mount: export from elsewhere."
        )


class _OldResults(Record):
    """results/<device>.json of schema 1; neither field may be missing."""

    schema_version: Literal[1]
    runs: tuple[Run, ...]


def _is_result(path: Path, out: Path) -> bool:
    """What verify, bench and check write; they go with the artifacts that they were measured on."""
    parts = path.relative_to(out).parts
    if parts[0] != "results" or path.is_symlink():
        return False
    if len(parts) == 3:
        return RUN_FILE.fullmatch(parts[2]) is not None
    if len(parts) != 2 or path.suffix != ".json":
        return False
    try:
        msgspec.json.decode(path.read_bytes(), type=_OldResults)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _absolute(path: Path) -> Path:
    """`path` with a name of its own, also for `.`; links are not followed."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (Path.absolute keeps "..")


def _cannot_move(folder: Path) -> bool:
    """Whether a folder cannot be exchanged for another: we or our shell stand in it, or a file system is mounted."""
    try:
        here = Path.cwd().resolve()
    except OSError:  # it was removed
        return folder.is_mount()
    return folder.is_mount() or here.is_relative_to(folder.resolve())


def _publish(root: Path, out: Path, previous: Path) -> None:
    if not out.exists():
        root.rename(out)
        return
    if root.is_relative_to(out):
        _move_into(root, out)
        return
    # A folder with files cannot be replaced in one step; if the second rename fails, the first is undone.
    out.rename(previous)
    try:
        root.rename(out)
    except BaseException:
        previous.rename(out)
        raise


def _move_into(root: Path, out: Path) -> None:
    """Into a folder that stays: the manifest last, without which there is no bundle."""
    moved: list[Path] = []
    try:
        for path in sorted(root.iterdir(), key=lambda path: path.name == MANIFEST):
            path.rename(out / path.name)
            moved.append(path)
    except BaseException:
        for path in moved:
            (out / path.name).rename(path)
        raise
