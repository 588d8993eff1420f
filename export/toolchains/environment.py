"""Environments over the one that runs edgedistill: a toolchain's own packages first, then all that is here.

So torch is not downloaded twice, and the older numpy that a toolchain wants comes before ours.
"""

import contextlib
import hashlib
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import msgspec

from ...runtime.cache_folder import CACHE_VARIABLE, cache_folder
from ...runtime.errors import EdgedistillError, MissingDependencyError
from ...runtime.files import require_space, write_atomic
from ...runtime.record import Record
from ..child import run_in_child
from ..errors import ExportError, one_line
from .probe import load
from .table import TOOLCHAINS, Toolchain, toolchain

_RECORD = "environment.json"
_NAMED = re.compile(r"\w[\w.-]*-[0-9a-f]{8}")  # as `_place` names a folder


class Environment(Record):
    """An environment that was made whole.

    Attributes:
        toolchain: its name.
        path: its folder, where it was found: a cache folder may have been moved or copied since it was made.
        python: its interpreter, in that folder.
        over: the prefix of the Python environment that it lies over.
        versions: of the distributions of its own.
        bytes: of its files.
    """

    toolchain: str
    path: str
    python: str
    over: str
    versions: dict[str, str]
    bytes: int


class Remains(Record):
    """A folder that is no environment: its record is missing or cannot be read, as when a removal was interrupted.

    Attributes:
        toolchain: whose it was, by the folder's name.
        path: the folder.
    """

    toolchain: str
    path: str


def toolchain_python(name: str) -> Path:
    """The interpreter that can import a toolchain: this one, where it is installed beside edgedistill, or its own.

    Raises:
        ConfigError: there is no such toolchain.
        MissingDependencyError: neither has it; names both ways to get it.
    """
    row = toolchain(name)
    if installed_here(row):
        return Path(sys.executable)
    found = _read(_place(row))
    if found is None or not Path(found.python).exists():
        raise MissingDependencyError(f"{row.distribution} is not installed: {row.how_to_get}.")
    return Path(found.python)


def toolchain_missing(name: str) -> str:
    """Why `toolchain_python` finds none, in one sentence; empty where it finds one."""
    try:
        toolchain_python(name)
    except MissingDependencyError as error:
        return str(error)
    return ""


def installed_here(row: Toolchain) -> str | None:
    """Its version, where it is installed beside edgedistill."""
    if find_spec(row.module) is None:
        return None
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(row.distribution)
    return "of unknown version"


def environments() -> list[Environment]:
    """All that stand in the cache folder, over other Python environments and of toolchains not known here, too."""
    return [environment for environment in map(_read, _places()) if environment is not None]


def remains() -> list[Remains]:
    """What takes room in the cache folder and is no environment."""
    return [
        Remains(toolchain=place.name.rpartition("-")[0], path=str(place)) for place in _places() if _read(place) is None
    ]


def own_versions() -> dict[str, str]:
    """Of what the environments over this one have and it lacks, by distribution."""
    ours = {_place(row) for row in TOOLCHAINS.values()}
    return {
        name: version
        for environment in environments()
        if Path(environment.path) in ours
        for name, version in environment.versions.items()
    }


def install(name: str) -> Environment:
    """Make a toolchain's environment, or find it made. An interrupted or failed installation leaves nothing.

    Raises:
        ConfigError: there is no such toolchain.
        EdgedistillError: the cache folder cannot be written, has too little space, or another process installs there.
        ExportError: pip cannot get what it takes, or it cannot be imported then; gives the last words.
    """
    row = toolchain(name)
    place = _place(row)
    with _sole_installer(place.parent):
        found = _read(place)
        if found is not None and Path(found.python).exists():
            return found
        require_space(place.parent, row.disk_mb * 10**6)
        shutil.rmtree(place, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=place.parent))
        try:
            made = _make(row, work, place)
            work.rename(place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return made


def remove(name: str) -> list[Environment | Remains]:
    """Remove all of a toolchain's environments, of one that is not known here, too, and what remains of others.

    Returns what they were.

    Raises:
        ConfigError: there is neither such a toolchain nor an environment of one.
        EdgedistillError: the cache folder cannot be written, or another process installs there.
    """
    with _sole_installer(_folder()):
        standing: list[Environment | Remains] = [*environments(), *remains()]
        found = [entry for entry in standing if entry.toolchain == name]
        if not found:
            toolchain(name)
        for entry in found:
            # Without its record it is none, should this be interrupted.
            Path(entry.path, _RECORD).unlink(missing_ok=True)
            shutil.rmtree(entry.path)
    return found


def _folder() -> Path:
    return cache_folder() / "toolchains"


def _places() -> list[Path]:
    """The folders of environments, whole or not."""
    folder = _folder()
    return sorted(path for path in folder.iterdir() if _NAMED.fullmatch(path.name)) if folder.is_dir() else []


def _place(row: Toolchain) -> Path:
    """One for each set of requirements and each Python environment below it."""
    parts = (*row.requirements, sys.prefix, sys.version)
    return _folder() / f"{row.name}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:8]}"


def _read(place: Path) -> Environment | None:
    try:
        found = msgspec.json.decode((place / _RECORD).read_bytes(), type=Environment)
    except (OSError, msgspec.DecodeError):
        return None
    python = Path(_scheme(place, "scripts"), Path(found.python).name)
    return msgspec.structs.replace(found, path=str(place), python=str(python))


@contextlib.contextmanager
def _sole_installer(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            for left in folder.glob(".*.tmp"):  # of one that was killed
                shutil.rmtree(left, ignore_errors=True)
            yield
    except Timeout:
        raise EdgedistillError(
            f"{folder}: another process installs or removes a toolchain there: wait for it."
        ) from None
    except OSError as error:
        raise EdgedistillError(
            f"{error.filename or folder}: cannot be written ({error.strerror}). Make room or the folder writable, or "
            f"name another one by {CACHE_VARIABLE}."
        ) from error


def _make(row: Toolchain, work: Path, place: Path) -> Environment:
    """Make the environment in `work`, from where it will be renamed to `place`."""
    what = f"the environment for {row.name} cannot be made"
    try:
        venv.create(work, symlinks=os.name == "posix", with_pip=find_spec("pip") is None)
    except subprocess.CalledProcessError as error:
        raise ExportError(f"{what}: this Python has neither pip nor ensurepip: install python3-venv.") from error
    own = Path(_scheme(work, "purelib"))
    below = [path for path in (*site.getsitepackages(), site.getusersitepackages()) if path in sys.path]
    lines = [f"import site; site.addsitedir({path!r})" for path in below]
    (own / "edgedistill_below.pth").write_text("\n".join(lines), encoding="utf-8")
    python = Path(_scheme(work, "scripts"), Path(sys.executable).name)
    # -I: what PYTHONPATH names would come before the toolchain's own packages.
    pip = [str(python), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *row.requirements]
    ended = subprocess.run(pip, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")] or [ended.stderr]
        raise ExportError(f"{what}: {one_line(lines[-1])}")
    run_in_child(load, row.module, what=f"{what}: {row.module} does not work there", python=python)
    environment = Environment(
        toolchain=row.name,
        path=str(place),
        python=str(place / python.relative_to(work)),
        over=sys.prefix,
        versions={found.name: found.version for found in metadata.distributions(path=[str(own)])},
        bytes=sum(path.stat().st_size for path in work.rglob("*") if path.is_file() and not path.is_symlink()),
    )
    write_atomic(work / _RECORD, msgspec.json.encode(environment))
    return environment


def _scheme(folder: Path, key: str) -> str:
    return sysconfig.get_path(key, "venv", {"base": str(folder), "platbase": str(folder)})
