"""The part of arm64.py that gives the emulated Python its packages: those that a device over ssh would be sent."""

import contextlib
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from arm64_processor import Processor
from arm64_userland import Userland, appearing

from edgedistill.remote.errors import UnfitHostError
from edgedistill.remote.own_wheel import Wheel, own_wheel, repacked
from edgedistill.remote.wheels import Downloads, Tags, require_packaging, required
from edgedistill.runtime.errors import EdgedistillError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

EXTRAS = ("onnxruntime", "openvino", "litert")
_LACKING = "lacking.json"
# As edgedistill.remote.there asks a device.
_TAGS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from packaging.markers import default_environment
from packaging.tags import sys_tags
found = list(sys_tags())
print(json.dumps({
    "platforms": list(dict.fromkeys(tag.platform for tag in found)),
    "abis": list(dict.fromkeys(tag.abi for tag in found)),
    "implementation": found[0].interpreter[:2],
    "environment": default_environment(),
}))
"""


@dataclass(frozen=True)
class Packages:
    """What stands there.

    Attributes:
        path: folders for PYTHONPATH.
        lacking: extras that have no wheels for this Python, with the reason.
    """

    path: tuple[Path, ...]
    lacking: Mapping[str, str]


def packages(made: Userland, processor: Processor, extras: Sequence[str] = EXTRAS) -> Packages:
    """The edgedistill that runs here, with what it needs and the backends in the versions that are installed here.

    Args:
        made: where they are kept; what is there by its versions is not downloaded again.
        processor: any, whose Python is asked which wheels it takes.
        extras: the backends that are wanted.

    Raises:
        MissingDependencyError: pip or packaging is not installed here.
        EdgedistillError: what is always needed cannot be had.
    """
    require_packaging()
    own, tags = own_wheel(), _tags(processor)
    base = _as_here(required(own, [], tags))
    wanted = {extra: _as_here(required(own, [extra], tags)) for extra in extras}
    said = json.dumps([tags.environment["python_full_version"], *(sorted(map(str, one)) for one in wanted.values())])
    folder = made.folder / f"packages-{hashlib.sha256(said.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        print(f"downloading {', '.join(extras)} and what edgedistill needs, for {tags.platforms[0]}", flush=True)
        with appearing(folder) as work:
            _install(Downloads(tags), base, wanted, work)
    source = made.folder / f"edgedistill-{own.sha256[:16]}"
    if not source.is_dir():
        with appearing(source) as work, zipfile.ZipFile(io.BytesIO(own.data)) as archive:
            archive.extractall(work)
    return Packages((source, folder), json.loads((folder / _LACKING).read_text(encoding="utf-8")))


def _install(
    downloads: Downloads, base: "list[Requirement]", wanted: "Mapping[str, list[Requirement]]", folder: Path
) -> None:
    wheels, lacking = downloads.add(base), {}
    for extra, requirements in wanted.items():
        try:
            wheels = downloads.add(requirements)
        except UnfitHostError as error:  # noqa: PERF203
            lacking[extra] = str(error)
    _unpack(wheels, downloads.tags, folder)
    (folder / _LACKING).write_text(json.dumps(lacking), encoding="utf-8")


def _tags(processor: Processor) -> Tags:
    with tempfile.TemporaryDirectory() as folder:
        packaging = Path(folder) / "packaging.whl"
        packaging.write_bytes(repacked("packaging").data)
        asked = processor.run(["-c", _TAGS, str(packaging)])
    if asked.returncode:
        raise EdgedistillError(f"the emulated Python does not run: {(asked.stderr.splitlines() or ['no word'])[-1]}")
    return msgspec.json.decode(asked.stdout, type=Tags)


def _as_here(requirements: "list[Requirement]") -> "list[Requirement]":
    """In the versions that are installed here, so that what differs is the processor."""
    from packaging.specifiers import SpecifierSet

    for requirement in requirements:
        with contextlib.suppress(metadata.PackageNotFoundError):
            requirement.specifier = SpecifierSet(f"=={metadata.version(requirement.name)}")
    return requirements


def _unpack(wheels: Sequence[Wheel], tags: Tags, folder: Path) -> None:
    """By this machine's pip: nothing of a wheel is executed when it is installed into a folder."""
    with tempfile.TemporaryDirectory() as kept:
        paths = []
        for wheel in wheels:
            paths.append(Path(kept) / wheel.name)
            paths[-1].write_bytes(wheel.data)
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
            "--no-index", "--no-compile", "--only-binary=:all:", "--upgrade", "--target", str(folder),
            "--implementation", tags.implementation, "--python-version", tags.environment["python_version"],
            *(word for platform in tags.platforms for word in ("--platform", platform)),
            *(word for abi in tags.abis for word in ("--abi", abi)),
            *map(str, paths),
        ]  # fmt: skip
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise EdgedistillError(f"{folder.name}: {(done.stderr.strip().splitlines() or ['pip says nothing'])[-1]}")
