"""What stands at a bundle's place: ours to replace, or somebody's work?"""

import os
from pathlib import Path
from typing import Literal

import msgspec

from ..runtime.bundle import MANIFEST, SIGNATURE, Run, open_bundle
from ..runtime.bundle.results import RUN_FILE
from ..runtime.errors import BundleError, ConfigError
from ..runtime.record import Record
from ..runtime.report.place import REPORT, is_report
from .errors import ExportError


def refuse_foreign(out: Path, *, zip: bool = False, but: Path | None = None) -> None:
    """Raise ExportError unless `out` is free, an empty folder, or a bundle with nothing in it that is not ours.

    A folder that merely holds a manifest.json (a web app, a browser extension) is somebody's work.

    Args:
        out: the bundle's folder.
        zip: `<out>.zip` is to be written too: what stands there must be a bundle, or nothing.
        but: a folder of this export itself.
    """
    if out.suffix == ".zip":
        raise ConfigError(f"{out}: a bundle is a folder; drop the suffix and ask for the .zip beside it.")
    if zip:
        refuse_foreign_zip(out)
    blocking = next((parent for parent in absolute(out).parents if os.path.lexists(parent)), None)
    if blocking is not None and not blocking.is_dir():
        raise ExportError(f"{out}: {blocking} is no folder. Give another path.")
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
    if cannot_move(out):
        raise ExportError(
            f"{out}: holds a bundle and cannot be exchanged, as the current folder or a mount: export from elsewhere."
        )


def zip_beside(out: Path) -> Path:
    """Where the bundle's .zip goes."""
    out = absolute(out)
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


def absolute(path: Path) -> Path:
    """`path` with a name of its own, also for `.`; links are not followed."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (Path.absolute keeps "..")


def cannot_move(folder: Path) -> bool:
    """Whether a folder cannot be exchanged for another: we or our shell stand in it, or a file system is mounted."""
    try:
        here = Path.cwd().resolve()
    except OSError:  # it was removed
        return folder.is_mount()
    return folder.is_mount() or here.is_relative_to(folder.resolve())
