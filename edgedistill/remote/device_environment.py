"""A virtual environment on the device with this very edgedistill and the backends that are wanted, made once.

It is known by its wheel, its backends and the device's Python: whatever changes, another one is made. The device's own
pip gets the packages from where that login is configured to; what it cannot get is downloaded here and sent.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Sequence

from ..runtime.backends.base import BACKENDS
from ..runtime.errors import EdgedistillError
from ..runtime.record import Record
from .conversation import Stage
from .errors import HostError, UnfitHostError
from .host import Host
from .own_wheel import repacked
from .sending import send_wheels
from .wheels import Downloads, Tags, require_packaging, required

# Enough for what it takes (Python 3.11 on x86-64: 140 MB, and 60 to 240 for a backend) and the wheels that are sent.
# Checked before a slow device begins to install.
_ROOM_MB = 250
_ROOM_OF_BACKEND_MB = 250
_OF_THE_DEVICE = ("--retries", "1", "--timeout", "15")


class Environment(Record):
    """An environment that stands on a device.

    Attributes:
        python: its interpreter.
        lacking: backends that could not be had for the device, with the reason.
    """

    python: str
    lacking: dict[str, str] = {}


class Facts(Record):
    """What a device says of itself.

    Attributes:
        system: e.g. "Linux".
        machine: e.g. "aarch64".
        free: bytes that are free where our folder is.
        own: backends that its Python has already, such as JetPack's TensorRT.
        environment: the one that is asked for, where it stands.
    """

    system: str
    machine: str
    free: int
    own: tuple[str, ...]
    environment: Environment | None = None


class _Installed(Record):
    returncode: int
    faults: tuple[str, ...] = ()


def environment(host: Host, backends: Sequence[str]) -> Environment:
    """The device's environment with these backends, made where there is none yet.

    A backend that cannot be had for the device is told with the environment; what runs there says it of its artifacts.

    Raises:
        UnfitHostError: the device has too little room, or there are no packages for its kind.
        HostError: neither the device nor this machine can get the packages.
    """
    wanted = sorted(set(backends))
    key = hashlib.sha256("\n".join((host.wheel.sha256, *wanted, host.python, host.version)).encode()).hexdigest()[:16]
    distributions = {name: BACKENDS.get(name).distributions for name in wanted if name in BACKENDS.names()}
    facts = host.call("facts", {"backends": distributions, "key": key}, into=Facts)
    return facts.environment or _Making(host, facts, wanted).make(key)


class _Making:
    """Makes one: edgedistill with what it always needs, then each backend."""

    def __init__(self, host: Host, facts: Facts, wanted: list[str]) -> None:
        self.host, self.facts = host, facts
        self.own = [name for name in wanted if name in facts.own]
        self.others = [name for name in wanted if name not in facts.own]
        self.work = ""
        self.pip = ""
        self.online = True
        self.downloads: Downloads | None = None

    def make(self, key: str) -> Environment:
        require_packaging()
        room = _ROOM_MB + _ROOM_OF_BACKEND_MB * len(self.others)
        if self.facts.free < room * 10**6:
            raise UnfitHostError(
                f"{self.host.name}: has {self.facts.free / 1e6:,.0f} MB free below {self.host.cache}; the environment "
                f"takes about {room} MB. Free space there, or name another folder by EDGEDISTILL_CACHE in that login's "
                "environment."
            )
        [self.pip] = send_wheels(self.host, [repacked("pip")]).values()
        # Named here: interrupted in the middle of that, what is to be removed is known.
        self.work = f"{self.host.cache}/environments/.{secrets.token_hex(8)}.tmp"
        try:
            self.host.call("begin", {"work": self.work, "own": bool(self.own)}, into=type(None))
            self._install("")
            lacking = {name: reason for name in self.others if (reason := self._backend(name))}
            record = {"lacking": lacking}
            self.host.tell(Stage("checking the environment"))
            made = {"work": self.work, "key": key, "record": record}
            return self.host.call("seal", made, into=Environment)
        except BaseException:
            # A lost line: it is removed there a day later.
            with contextlib.suppress(EdgedistillError), self.host.line.cleaning_up():
                self.host.call("discard", {"work": self.work}, into=type(None))
            raise

    def _backend(self, name: str) -> str:
        """Install one; why it is lacking, where it cannot be had."""
        extra = getattr(BACKENDS.find(name), "extra", name)
        if extra not in self.host.wheel.described.get("provides_extra", ()):
            return "its package is another than edgedistill, and is not sent"
        try:
            self._install(extra)
        except UnfitHostError as error:
            return str(error).removeprefix(f"{self.host.name}: ")
        return ""

    def _install(self, extra: str) -> None:
        """Edgedistill with one extra: from where the device gets packages, else from here."""
        what = f"edgedistill[{extra}]" if extra else "edgedistill"
        wheel = f"{self.host.wheel_path}[{extra}]" if extra else self.host.wheel_path
        self.host.tell(Stage(f"installing {what}"))
        if self.online and not self._pip([*_OF_THE_DEVICE, wheel]).returncode:
            return
        # Where not even what is always needed could be had, the next attempt would wait for the network in vain.
        self.online = self.online and bool(extra)
        self._send_packages(extra)
        done = self._pip(["--no-index", "--find-links", f"{self.work}/wheels", wheel])
        if done.returncode:
            reason = done.faults[-1].removeprefix("ERROR: ") if done.faults else "pip says nothing"
            raise HostError(f"{self.host.name}: {what} cannot be installed there ({reason}).")

    def _pip(self, arguments: list[str]) -> _Installed:
        usual = ["install", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--only-binary=:all:"]
        request = {"work": self.work, "pip": self.pip, "arguments": [*usual, *arguments]}
        return self.host.call("pip", request, into=_Installed)

    def _send_packages(self, extra: str) -> None:
        """Download here what the device needs, and put it into the environment's folder of wheels."""
        if self.downloads is None:
            [packaging] = send_wheels(self.host, [repacked("packaging")]).values()
            self.downloads = Downloads(self.host.call("tags", {"packaging": packaging}, into=Tags))
        tags = self.downloads.tags
        self.host.tell(Stage(f"downloading for {self.facts.system} {self.facts.machine}, Python {self.host.version}"))
        try:
            wheels = self.downloads.add(required(self.host.wheel, [extra] if extra else [], tags))
        except (HostError, UnfitHostError) as error:
            raise type(error)(f"{self.host.name}: {error}.") from error
        placed = send_wheels(self.host, wheels)
        self.host.call("lay_out", {"folder": f"{self.work}/wheels", "files": placed}, into=type(None))
