"""Files of a published npm package: from a folder that is given, from the cache, or by npm."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ...runtime.cache_folder import cache_folder
from ...runtime.errors import ConfigError, MissingDependencyError

ASSETS_VARIABLE = "EDGEDISTILL_ASSETS"


def npm_files(name: str, version: str, paths: Sequence[str], assets: Path | None = None) -> Path:
    """A folder that has the files.

    Args:
        name: of the package, e.g. "onnxruntime-web".
        version: exactly which.
        paths: of files in it, relative to its root.
        assets: a folder that has them: the unpacked package, a `node_modules`, or the package's own .tgz as `npm pack`
            writes it. Default: $EDGEDISTILL_ASSETS; else npm downloads the package, once, into the cache folder.

    Raises:
        ConfigError: `assets` lacks one of the files, or has another version of the package.
        MissingDependencyError: there is no npm, or it cannot get the package.
    """
    given = assets or (Path(os.environ[ASSETS_VARIABLE]) if os.environ.get(ASSETS_VARIABLE) else None)
    kept = cache_folder() / "npm" / f"{name}-{version}"
    if given is not None:
        other = ""
        for folder in (given, given / "package", given / name, given / "node_modules" / name):
            if _has(folder, paths):
                found = _version_of(folder, name)
                if found in ("", version):
                    return folder
                other = f" (it has {found})"
        archive = given / f"{name}-{version}.tgz"
        if not archive.is_file():
            raise ConfigError(
                f"{given}: lacks {paths[0]} of {name} {version}{other}. `npm pack {name}@{version}` there brings it."
            )
        return _unpacked(archive, kept, paths)
    if _has(kept, paths):
        return kept
    with tempfile.TemporaryDirectory(prefix="edgedistill-") as work:
        return _unpacked(_download(name, version, Path(work)), kept, paths)


def _has(folder: Path, paths: Sequence[str]) -> bool:
    return all((folder / path).is_file() for path in paths)


def _version_of(folder: Path, name: str) -> str:
    """What the package in a folder says of itself; empty where it says nothing."""
    try:
        facts = json.loads((folder / "package.json").read_bytes())
    except (OSError, ValueError):
        return ""
    return str(facts.get("version", "")) if isinstance(facts, dict) and facts.get("name") == name else ""


def _download(name: str, version: str, folder: Path) -> Path:
    way_out = (
        f"Install Node.js with npm, or give --assets FOLDER (or {ASSETS_VARIABLE}) with what "
        f"`npm pack {name}@{version}` wrote elsewhere."
    )
    npm = shutil.which("npm")
    if npm is None:
        raise MissingDependencyError(f"{name} {version} comes from npm, not installed here. {way_out}")
    done = subprocess.run(
        [npm, "pack", f"{name}@{version}", "--pack-destination", str(folder), "--silent"],
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    found = list(folder.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise MissingDependencyError(f"{name} {version}: npm cannot get it ({said[0].strip()}). {way_out}")
    return found[0]


def _unpacked(archive: Path, kept: Path, paths: Sequence[str]) -> Path:
    """The files of a .tgz below `kept`, which appears whole."""
    if _has(kept, paths):
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{kept.name}.", dir=kept.parent) as work:
        part = Path(work) / kept.name
        try:
            with tarfile.open(archive) as opened:
                for path in paths:
                    place = part / path
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(getattr(opened.extractfile(f"package/{path}"), "read", bytes)())
        except (tarfile.TarError, KeyError, EOFError, OSError) as error:
            raise ConfigError(f"{archive}: damaged, or lacks what is needed ({error}). Get it again.") from error
        if kept.exists():
            shutil.rmtree(kept)
        part.rename(kept)
    return kept
