"""devices.yaml: several devices, and what is to run on each."""

from pathlib import Path
from typing import Literal, get_args

import msgspec

from ..runtime.config import Config, decode, read_yaml
from ..runtime.datasets.reading import first_duplicate
from ..runtime.datasets.score_file import SUFFIXES
from ..runtime.errors import ConfigError
from ..runtime.field.limits import check_limits
from ..runtime.record import Record
from ..runtime.targets import BenchPreset, load_host

Step = Literal["selftest", "verify", "check", "bench"]
_STEPS = ", ".join(get_args(Step))


class _DeviceEntry(Config):
    """One entry of `devices`.

    Attributes:
        host: what ssh takes, e.g. "user@pi".
        target: in place of `host`: a deploy config that names one; its artifact is what runs there.
        name: what tables call it; the host otherwise.
        artifacts: only these.
        threads: as the option of the commands.
        device: as the option of the commands.
        remote_data: as the option of verify and check, for this device.
    """

    host: str = ""
    target: str = ""
    name: str = ""
    artifacts: list[str] = []
    threads: int | None = None
    device: str | None = None
    remote_data: str | None = None


class _CheckEntry(Config):
    """What `check` is asked, as by its options.

    Attributes:
        against: an artifact, or a file of scores here.
        max_drift: a gate.
        max_changed: a gate.
    """

    against: str | None = None
    max_drift: float | None = None
    max_changed: float | None = None


class _FleetFile(Config):
    """The whole file.

    Attributes:
        run: which commands, in this order.
        data: labelled images here, which are sent; for `verify`.
        images: their folder, where `data` does not imply it; the photographs of `check`, which are sent.
        preset: how long `bench` measures.
        check: options of `check`.
    """

    devices: list[_DeviceEntry]
    run: list[Step] = msgspec.field(default_factory=lambda: ["selftest", "bench"])
    data: str | None = None
    images: str | None = None
    preset: BenchPreset | None = None
    check: _CheckEntry = _CheckEntry()


class FleetDevice(Record):
    """A device of a fleet; see `_DeviceEntry`."""

    name: str
    host: str
    artifacts: tuple[str, ...] | None
    threads: int | None
    device: str | None
    remote_data: str | None


class FleetCheck(Record):
    """What `check` is asked; see `_CheckEntry`."""

    against: str | None = None
    max_drift: float | None = None
    max_changed: float | None = None


class Fleet(Record):
    """A fleet; see `_FleetFile`. Paths are absolute."""

    devices: tuple[FleetDevice, ...]
    run: tuple[Step, ...]
    data: str | None = None
    images: str | None = None
    preset: str | None = None
    check: FleetCheck = FleetCheck()


def read_fleet(path: Path) -> Fleet:
    """Read and check a fleet's file.

    Raises:
        ConfigError: names the file, the key and what is allowed.
    """
    written = decode(read_yaml(path), _FleetFile, where=str(path))
    if not written.devices:
        raise ConfigError(f"{path}: `devices` is empty: give at least one, e.g. - host: user@pi.")
    if not written.run or first_duplicate(written.run):
        raise ConfigError(f"{path}: `run`: give each of {_STEPS} once at most, and one at least.")
    devices = tuple(_device(entry, number, path) for number, entry in enumerate(written.devices))
    if twice := first_duplicate(device.name for device in devices):
        raise ConfigError(f"{path}: two devices are called {twice!r}: give each a `name`.")
    sends = any(one.remote_data is None for one in devices)
    for step, key in (("verify", "data"), ("check", "images")):
        if step in written.run and getattr(written, key) is None and sends:
            raise ConfigError(f"{path}: `run` has {step}, which needs `{key}`, or `remote_data` of every device.")
    return Fleet(
        devices=devices,
        run=tuple(written.run),
        data=_absolute(path, written.data),
        images=_absolute(path, written.images),
        preset=written.preset,
        check=_check_options(path, written.check),
    )


def _check_options(path: Path, written: _CheckEntry) -> FleetCheck:
    try:
        check_limits(written.max_drift, written.max_changed, compared=written.against is not None)
    except ConfigError as error:
        raise ConfigError(f"{path}: `check`: {error}") from None
    against = written.against
    if against is not None and Path(against).suffix.lower() in SUFFIXES:
        against = _absolute(path, against)
    return FleetCheck(against=against, max_drift=written.max_drift, max_changed=written.max_changed)


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
