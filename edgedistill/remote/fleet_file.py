"""devices.yaml: several devices, and what is to run on each."""

from pathlib import Path
from typing import Literal

import msgspec

from ..runtime.config import Config, decode, read_yaml
from ..runtime.datasets.reading import first_duplicate
from ..runtime.errors import ConfigError
from ..runtime.record import Record
from ..runtime.targets import BenchPreset, load_host

Step = Literal["selftest", "verify", "bench"]


class _DeviceEntry(Config):
    """One entry of `devices`.

    Attributes:
        host: what ssh takes, e.g. "user@pi".
        target: in place of `host`: a deploy config that names one; its artifact is what runs there.
        name: what tables call it; the host otherwise.
        artifacts: only these.
        threads: as the option of the commands.
        device: as the option of the commands.
        remote_data: as the option of verify, for this device.
    """

    host: str = ""
    target: str = ""
    name: str = ""
    artifacts: list[str] = []
    threads: int | None = None
    device: str | None = None
    remote_data: str | None = None


class _FleetFile(Config):
    """The whole file.

    Attributes:
        run: which commands, in this order.
        data: labelled images here, which are sent; for `verify`.
        images: their folder, where `data` does not imply it.
        preset: how long `bench` measures.
    """

    devices: list[_DeviceEntry]
    run: list[Step] = msgspec.field(default_factory=lambda: ["selftest", "bench"])
    data: str | None = None
    images: str | None = None
    preset: BenchPreset | None = None


class FleetDevice(Record):
    """A device of a fleet; see `_DeviceEntry`."""

    name: str
    host: str
    artifacts: tuple[str, ...] | None
    threads: int | None
    device: str | None
    remote_data: str | None


class Fleet(Record):
    """A fleet; see `_FleetFile`. Paths are absolute."""

    devices: tuple[FleetDevice, ...]
    run: tuple[Step, ...]
    data: str | None
    images: str | None
    preset: str | None


def read_fleet(path: Path) -> Fleet:
    """Read and check a fleet's file.

    Raises:
        ConfigError: names the file, the key and what is allowed.
    """
    written = decode(read_yaml(path), _FleetFile, where=str(path))
    if not written.devices:
        raise ConfigError(f"{path}: `devices` is empty: give at least one, e.g. - host: user@pi.")
    if not written.run or first_duplicate(written.run):
        raise ConfigError(f"{path}: `run`: give each of selftest, verify, bench once at most, and one at least.")
    devices = tuple(_device(entry, number, path) for number, entry in enumerate(written.devices))
    if twice := first_duplicate(device.name for device in devices):
        raise ConfigError(f"{path}: two devices are called {twice!r}: give each a `name`.")
    if "verify" in written.run and written.data is None and any(one.remote_data is None for one in devices):
        raise ConfigError(f"{path}: `run` has verify, which needs `data`, or `remote_data` of every device.")
    return Fleet(
        devices=devices,
        run=tuple(written.run),
        data=_absolute(path, written.data),
        images=_absolute(path, written.images),
        preset=written.preset,
    )


def _device(entry: _DeviceEntry, number: int, path: Path) -> FleetDevice:
    if bool(entry.host) == bool(entry.target):
        raise ConfigError(f"{path}: `devices[{number}]` needs `host`, or a `target` that names one, and not both.")
    host, artifacts = entry.host, tuple(entry.artifacts) or None
    if entry.target:
        target, host = load_host(path.parent / entry.target)
        artifacts = artifacts or (target.name,)
    return FleetDevice(
        name=entry.name or host,
        host=host,
        artifacts=artifacts,
        threads=entry.threads,
        device=entry.device,
        remote_data=entry.remote_data,
    )


def _absolute(path: Path, given: str | None) -> str | None:
    return None if given is None else str(path.parent.absolute() / given)
