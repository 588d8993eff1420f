"""Environments over the one that runs edgedistill: a toolchain's own packages first, then all that is here.

So torch is not downloaded twice, and the older numpy that a toolchain wants comes before ours.
"""

import contextlib
import hashlib
import re
import sys
import sysconfig
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import msgspec

from ...runtime.cache_folder import cache_folder
from ...runtime.errors import MissingDependencyError
from ...runtime.record import Record
from .table import TOOLCHAINS, Toolchain, toolchain

RECORD = "environment.json"
_NAMED = re.compile(r"\w[\w.-]*-[0-9a-f]{8}")  # as `place_of` names a folder


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
    found = read(place_of(row))
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
    return [environment for environment in map(read, _places()) if environment is not None]


def remains() -> list[Remains]:
    """What takes room in the cache folder and is no environment."""
    return [
        Remains(toolchain=place.name.rpartition("-")[0], path=str(place)) for place in _places() if read(place) is None
    ]


def own_versions() -> dict[str, str]:
    """Of what the environments over this one have and it lacks, by distribution."""
    ours = {place_of(row) for row in TOOLCHAINS.values()}
    return {
        name: version
        for environment in environments()
        if Path(environment.path) in ours
        for name, version in environment.versions.items()
    }


def folder() -> Path:
    """Where all of them stand."""
    return cache_folder() / "toolchains"


def _places() -> list[Path]:
    """The folders of environments, whole or not."""
    within = folder()
    return sorted(path for path in within.iterdir() if _NAMED.fullmatch(path.name)) if within.is_dir() else []


def place_of(row: Toolchain) -> Path:
    """One for each set of requirements and each Python environment below it."""
    parts = (*row.requirements, sys.prefix, sys.version)
    return folder() / f"{row.name}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:8]}"


def read(place: Path) -> Environment | None:
    """The environment at `place`; None where there is none, or none that is whole."""
    try:
        found = msgspec.json.decode((place / RECORD).read_bytes(), type=Environment)
    except (OSError, msgspec.DecodeError):
        return None
    python = Path(scheme(place, "scripts"), Path(found.python).name)
    return msgspec.structs.replace(found, path=str(place), python=str(python))


def scheme(base: Path, key: str) -> str:
    """A folder of the environment at `base`, e.g. its "scripts"."""
    return sysconfig.get_path(key, "venv", {"base": str(base), "platbase": str(base)})
