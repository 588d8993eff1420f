"""Makes and removes the environments of toolchains."""

import contextlib
import os
import shutil
import site
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import msgspec

from ...runtime.cache_folder import CACHE_VARIABLE
from ...runtime.errors import EdgedistillError
from ...runtime.files import require_space, write_atomic
from ..child import run_in_child
from ..errors import ExportError, one_line
from .environment import RECORD, Environment, Remains, environments, folder, place_of, read, remains, scheme
from .probe import load
from .table import Toolchain, toolchain


def install(name: str) -> Environment:
    """Make a toolchain's environment, or find it made. An interrupted or failed installation leaves nothing.

    Raises:
        ConfigError: there is no such toolchain.
        EdgedistillError: the cache folder cannot be written, has too little space, or another process installs there.
        ExportError: pip cannot get what it takes, or it cannot be imported then; gives the last words.
    """
    row = toolchain(name)
    place = place_of(row)
    with sole_installer(place.parent):
        found = read(place)
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
    with sole_installer(folder()):
        standing: list[Environment | Remains] = [*environments(), *remains()]
        found = [entry for entry in standing if entry.toolchain == name]
        if not found:
            toolchain(name)
        for entry in found:
            # Without its record it is none, should this be interrupted.
            Path(entry.path, RECORD).unlink(missing_ok=True)
            shutil.rmtree(entry.path)
    return found


@contextlib.contextmanager
def sole_installer(within: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        within.mkdir(parents=True, exist_ok=True)
        with FileLock(within / ".lock", timeout=0):
            for left in within.glob(".*.tmp"):  # of one that was killed
                shutil.rmtree(left, ignore_errors=True)
            yield
    except Timeout:
        raise EdgedistillError(
            f"{within}: another process installs or removes a toolchain there: wait for it."
        ) from None
    except OSError as error:
        raise EdgedistillError(
            f"{error.filename or within}: cannot be written ({error.strerror}). Make room or the folder writable, or "
            f"name another one by {CACHE_VARIABLE}."
        ) from error


def _make(row: Toolchain, work: Path, place: Path) -> Environment:
    """Make the environment in `work`, from where it will be renamed to `place`."""
    what = f"the environment for {row.name} cannot be made"
    try:
        venv.create(work, symlinks=os.name == "posix", with_pip=find_spec("pip") is None)
    except subprocess.CalledProcessError as error:
        raise ExportError(f"{what}: this Python has neither pip nor ensurepip: install python3-venv.") from error
    own = Path(scheme(work, "purelib"))
    below = [path for path in (*site.getsitepackages(), site.getusersitepackages()) if path in sys.path]
    lines = [f"import site; site.addsitedir({path!r})" for path in below]
    (own / "edgedistill_below.pth").write_text("\n".join(lines), encoding="utf-8")
    python = Path(scheme(work, "scripts"), Path(sys.executable).name)
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
    write_atomic(work / RECORD, msgspec.json.encode(environment))
    return environment
