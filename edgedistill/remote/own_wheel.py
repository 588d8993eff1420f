"""Wheels of what is installed here: of the edgedistill that runs, so that a device runs the same, and of pure packages.

A checkout, editable or not, is built into one by its build backend. An installed distribution is put together again
from its files, which its RECORD lists: a wheel is a zip of them.
"""

import base64
import csv
import functools
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import edgedistill

from ..runtime.cache_folder import cache_folder
from ..runtime.errors import EdgedistillError, MissingDependencyError
from ..runtime.files import write_atomic

if TYPE_CHECKING:  # installed with the extra `remote` alone
    from packaging.metadata import RawMetadata

_OWN = "edgedistill"
_INSTALLERS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")  # what an installer adds to a .dist-info
_SOURCES = ("edgedistill", "distill", "export", "runtime", "deploy_configs")  # of pyproject.toml
_OLDEST = (1980, 1, 1, 0, 0, 0)  # a zip's earliest: the same files give the same bytes


@dataclass(frozen=True)
class Wheel:
    """A wheel in memory: its file's name and its bytes."""

    name: str
    data: bytes

    @functools.cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @functools.cached_property
    def described(self) -> "RawMetadata":
        """Its METADATA: what it requires, and its extras."""
        from packaging.metadata import parse_email

        with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
            inside = [
                name for name in archive.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1
            ]
            return parse_email(archive.read(inside[0]))[0]


@functools.cache
def own_wheel() -> Wheel:
    """The edgedistill that runs here.

    Raises:
        EdgedistillError: it cannot be built or put together; says why.
    """
    package = Path(edgedistill.__file__).resolve().parent
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file():
        return _built(checkout)
    distribution = metadata.distribution(_OWN)
    if Path(str(distribution.locate_file(_OWN))).resolve() != package:
        raise EdgedistillError(f"{package}: is not the edgedistill that is installed: install it, e.g. by pip.")
    return repacked(_OWN)


def repacked(name: str) -> Wheel:
    """The wheel of an installed pure Python distribution.

    Raises:
        MissingDependencyError: it is not installed.
        EdgedistillError: its files are not known or not whole, or it is not pure Python.
    """
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise MissingDependencyError(f'{name} is not installed here: pip install "edgedistill[remote]".') from None
    fields = (distribution.read_text("WHEEL") or "").splitlines()
    tags = [line.removeprefix("Tag: ") for line in fields if line.startswith("Tag: ")]
    if distribution.files is None or not tags or "Root-Is-Purelib: true" not in fields:
        raise EdgedistillError(f"{name}: was not installed from a pure wheel: install it by pip into an environment.")
    content: dict[str, bytes] = {}
    for entry in distribution.files:
        path = PurePosixPath(entry.as_posix())
        in_metadata = path.parts[0].endswith(".dist-info")
        if path.parts[0] == ".." or path.is_absolute() or path.suffix == ".pyc":
            continue  # its scripts, which an installer makes anew
        if in_metadata and path.name in _INSTALLERS:
            continue
        try:
            content[str(path)] = Path(str(distribution.locate_file(entry))).read_bytes()
        except OSError as error:
            raise EdgedistillError(f"{name}: {path} cannot be read ({error.strerror}): install it again.") from None
    folder = next(path.split("/", 1)[0] for path in content if path.endswith(".dist-info/METADATA"))
    pythons = ".".join(dict.fromkeys(tag.split("-", 1)[0] for tag in tags))
    kind = tags[0].split("-", 1)[1]
    return Wheel(f"{folder.removesuffix('.dist-info')}-{pythons}-{kind}.whl", _zipped(content, folder))


def _zipped(content: dict[str, bytes], folder: str) -> bytes:
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for path, data in sorted(content.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.writerow((path, f"sha256={digest}", len(data)))
    rows.writerow((f"{folder}/RECORD", "", ""))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in (*sorted(content.items()), (f"{folder}/RECORD", record.getvalue().encode())):
            archive.writestr(zipfile.ZipInfo(path, _OLDEST), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _built(checkout: Path) -> Wheel:
    """A checkout's wheel, kept by what it was built from."""
    kept = cache_folder() / "wheels" / _digest(checkout)[:16]
    if found := sorted(kept.glob("*.whl")):
        return Wheel(found[0].name, found[0].read_bytes())
    if find_spec("pip") is None:
        raise MissingDependencyError('pip is not installed here: pip install "edgedistill[remote]".')
    # Without isolation where the build backend is installed: that would download it.
    here = ["--no-build-isolation"] if find_spec("hatchling") is not None else []
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            *here,
            "--wheel-dir",
            folder,
            str(checkout),
        ]
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        built = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not built:
            last = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
            raise EdgedistillError(f"{checkout}: its wheel cannot be built ({last}). `pip install hatchling` may help.")
        wheel = Wheel(built[0].name, built[0].read_bytes())
    write_atomic(kept / wheel.name, wheel.data)
    return wheel


def _digest(checkout: Path) -> str:
    """Over all that a wheel is built from."""
    files = [path for name in _SOURCES for path in (checkout / name).rglob("*") if path.suffix != ".pyc"]
    digest = hashlib.sha256()
    for path in sorted([*files, checkout / "pyproject.toml", checkout / "README.md"]):
        if path.is_file():
            digest.update(f"{path.relative_to(checkout).as_posix()}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
