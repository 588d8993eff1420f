"""What a device needs and cannot get itself, downloaded here by pip: wheels for its system, processor and Python."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.errors import MissingDependencyError
from ..runtime.record import Record
from .errors import HostError, UnfitHostError
from .own_wheel import Wheel

if TYPE_CHECKING:  # installed with the extra `remote` alone
    from packaging.requirements import Requirement

_LACKING = re.compile(r"No matching distribution found for (\S+)")


class Tags(Record):
    """Which wheels a Python takes, as the library `packaging` says on the device.

    Attributes:
        platforms: e.g. "manylinux_2_36_aarch64", the most special first.
        abis: e.g. "cp311", "abi3", "none".
        implementation: "cp" for CPython.
        environment: what a requirement's marker may ask, e.g. {"platform_machine": "aarch64", ...}.
    """

    platforms: tuple[str, ...]
    abis: tuple[str, ...]
    implementation: str
    environment: dict[str, str]


def require_packaging() -> None:
    """Raise MissingDependencyError unless pip and packaging are installed here."""
    if find_spec("pip") is None or find_spec("packaging") is None:
        raise MissingDependencyError('pip and packaging are needed here: pip install "edgedistill[remote]".')


def required(wheel: Wheel, extras: Iterable[str], tags: Tags) -> "list[Requirement]":
    """What a wheel requires on a device with these extras; the markers are answered and gone."""
    from packaging.requirements import Requirement

    found = []
    for text in wheel.described.get("requires_dist", ()):
        requirement = Requirement(text)
        asked = [tags.environment | {"extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(requirement.marker.evaluate(one) for one in asked):
            requirement.marker = None
            found.append(requirement)
    return found


class Downloads:
    """Wheels for one device, each downloaded once.

    pip asks the markers of requirements (`sys_platform == "linux"`) of the machine that it runs on. So it is told to
    follow none, and what each wheel requires is asked here of the device.

    Args:
        tags: of the device.
    """

    def __init__(self, tags: Tags) -> None:
        self.tags = tags
        self._wanted: dict[str, Requirement] = {}
        self._wheels: dict[str, Wheel] = {}

    def add(self, requirements: "Iterable[Requirement]") -> list[Wheel]:
        """The wheels of these and of all that they require, with those of before.

        Raises:
            UnfitHostError: there is no such wheel for the device.
            HostError: they cannot be downloaded here, either.
        """
        from packaging.utils import canonicalize_name

        changed = self._want(requirements)
        while changed:
            got = _pip([str(self._wanted[name]) for name in sorted(changed)], self.tags)
            changed = set()
            for wheel in got:
                name = canonicalize_name(wheel.name.split("-", 1)[0])
                self._wheels[name] = wheel
                changed |= self._want(required(wheel, self._wanted[name].extras, self.tags))
        return list(self._wheels.values())

    def _want(self, requirements: "Iterable[Requirement]") -> set[str]:
        """The names of which more is asked than before."""
        from packaging.utils import canonicalize_name

        changed: set[str] = set()
        for requirement in requirements:
            name = canonicalize_name(requirement.name)
            known = self._wanted.get(name)
            if known is None:
                self._wanted[name] = requirement
                changed.add(name)
                continue
            before = str(known)
            known.specifier &= requirement.specifier
            known.extras |= requirement.extras
            if str(known) != before:
                changed.add(name)
        return changed


def _pip(requirements: list[str], tags: Tags) -> list[Wheel]:
    version = tags.environment["python_full_version"]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
            "--no-deps", "--only-binary=:all:", "--dest", folder, "--implementation", tags.implementation,
            "--python-version", ".".join(re.findall(r"\d+", version)[:3]),
            *(word for platform in tags.platforms for word in ("--platform", platform)),
            *(word for abi in tags.abis for word in ("--abi", abi)),
            *requirements,
        ]  # fmt: skip
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if not done.returncode:
            return [Wheel(path.name, path.read_bytes()) for path in sorted(Path(folder).glob("*.whl"))]
    if lacking := _LACKING.search(done.stderr):
        raise UnfitHostError(f"there is no wheel of {lacking[1]} for {tags.platforms[0]} and Python {version}")
    faults = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    raise HostError(f"the packages cannot be downloaded here, either ({(faults or ['pip says nothing'])[-1]})")
