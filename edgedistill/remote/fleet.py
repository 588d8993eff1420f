"""Several devices at once: each in a thread of its own, and what one lacks stops no other."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..runtime.bench.report import BenchInterruptedError, BenchReport
from ..runtime.bundle.loose import open_source
from ..runtime.datasets import Dataset, open_dataset
from ..runtime.errors import EdgedistillError, InterruptedRunError
from ..runtime.field import CheckReport
from ..runtime.field.reference import artifact_or_file
from ..runtime.parity import ParityReport, SelfTestReport
from ..runtime.record import Record
from ..runtime.verdicts import EXIT_CODES, Verdict
from . import errand
from .connection import Connection
from .conversation import Interrupted, Stage
from .fleet_file import Fleet, FleetDevice
from .host import Host
from .own_wheel import own_wheel
from .sent import OnDevice, Photographs

_WORST_FIRST: tuple[Verdict, ...] = ("failed", "could not run", "undecided", "not judged", "passed")
Tell = Callable[[str, Stage], None]


class DeviceResult(Record):
    """What one device found.

    Attributes:
        name: as in the fleet's file.
        selftest: None where it was not asked, or not reached.
        verify: the same.
        check: the same; of each artifact that the file names for this device, else of the one that runs there first.
        bench: the same; of an interrupted one its complete rounds.
        error: why the device stopped before the end; empty where it did not.
    """

    name: str
    selftest: SelfTestReport | None = None
    verify: ParityReport | None = None
    check: tuple[CheckReport, ...] | None = None
    bench: BenchReport | None = None
    error: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst of what was said there; a device that stopped "could not run". A benchmark without a gate says
        nothing.
        """
        said: list[Verdict] = [one.verdict for one in (self.selftest, self.verify) if one is not None]
        said += [one.verdict for one in self.check or ()]
        if self.bench is not None and (self.bench.verdict != "not judged" or not (said or self.error)):
            said.append("passed" if self.bench.verdict == "not judged" else self.bench.verdict)
        return worst([*said, "could not run"] if self.error else said)


class FleetReport(Record):
    """What a fleet found, in the order of its file.

    Attributes:
        interrupted: Ctrl-C ended it; what was finished is in it, and in the bundle's results.
    """

    bundle: str
    devices: tuple[DeviceResult, ...]
    interrupted: bool = False

    @property
    def verdict(self) -> Verdict:
        """The worst of the devices' verdicts: one that could not run is none that passed."""
        return worst([device.verdict for device in self.devices])

    @property
    def exit_code(self) -> int:
        return InterruptedRunError.exit_code if self.interrupted else EXIT_CODES[self.verdict]


def run_fleet(fleet: Fleet, bundle: Path, classes: tuple[str, ...], tell: Tell) -> FleetReport:
    """Run what the file asks for on all devices at once.

    Nobody is there to answer ssh's questions: the keys must be known, as with BatchMode.

    Args:
        fleet: its file.
        bundle: here.
        classes: the bundle's, in which its `data` are read.
        tell: called, in several threads, with a device's name and what happens there.

    Raises:
        DataError: the labelled images cannot be read here.
        EdgedistillError: the edgedistill that runs here cannot be sent; says why.
    """
    data = None
    if fleet.data is not None and "verify" in fleet.run and any(one.remote_data is None for one in fleet.devices):
        data = open_dataset(fleet.data, images=fleet.images, classes=classes)
    own_wheel()  # kept: else each device's thread would build it, all at once
    visits = [_Visit(device, fleet, bundle, data, tell) for device in fleet.devices]
    interrupted = False
    with ThreadPoolExecutor(len(visits), thread_name_prefix="device") as pool:
        futures = [pool.submit(visit.run) for visit in visits]
        try:
            wait(futures)
        except KeyboardInterrupt:
            interrupted = True
            for visit in visits:
                visit.interrupt()
        results = tuple(future.result() for future in futures)
    return FleetReport(bundle=str(bundle), devices=results, interrupted=interrupted)


class _Visit:
    """All that is asked of one device."""

    def __init__(self, device: FleetDevice, fleet: Fleet, bundle: Path, data: Dataset | None, tell: Tell) -> None:
        self.device, self.fleet, self.bundle, self.data = device, fleet, bundle, data
        self._tell = tell
        self._line: Connection | None = None
        self._interrupted = threading.Event()
        self.result = DeviceResult(name=device.name)

    def interrupt(self) -> None:
        """From another thread."""
        self._interrupted.set()
        if self._line is not None:
            self._line.interrupt()

    def run(self) -> DeviceResult:
        try:
            self._tell_stage(Stage("connecting"))
            with Connection(self.device.host, ask=False) as line:
                self._line = line
                if not self._interrupted.is_set():
                    self._steps(Host(line, self._tell_stage))
        except BenchInterruptedError as error:
            self._keep(bench=error.report, error="interrupted")
        except (Interrupted, InterruptedRunError, KeyboardInterrupt):
            self._keep(error="interrupted")
        except EdgedistillError as error:
            self._keep(error=str(error).removeprefix(f"{self.device.host}: "))
        except OSError as error:  # of a file here
            self._keep(error=f"{error.filename or 'here'}: {error.strerror or error}")
        self._tell_stage(Stage(self.result.error or "done"))
        return self.result

    def _steps(self, host: Host) -> None:
        for step in self.fleet.run:
            self._keep(**{step: self._step(step, host)})

    def _step(self, step: str, host: Host) -> Any:
        device = self.device
        how: dict[str, Any] = {"threads": device.threads, "device": device.device}
        if step == "check":
            return self._check(host, how)
        options = how | {"artifacts": None if device.artifacts is None else list(device.artifacts)}
        if step == "selftest":
            return errand.selftest(host, self.bundle, **options)
        if step == "bench":
            return errand.bench(host, self.bundle, **options, preset=self.fleet.preset)
        labels = None if self.fleet.data is None else Path(self.fleet.data)
        there = None if device.remote_data is None else OnDevice(device.remote_data, labels=labels)
        data = there or self.data
        assert data is not None  # `read_fleet` asks for it
        return errand.verify(host, self.bundle, data, **options)

    def _check(self, host: Host, how: dict[str, Any]) -> tuple[CheckReport, ...]:
        there = self.device.remote_data
        photographs = OnDevice(there) if there is not None else Photographs(Path(str(self.fleet.images)))
        asked = self.fleet.check
        options = how | msgspec.structs.asdict(asked)
        names: tuple[str | None, ...] = self.device.artifacts or (None,)
        if len(names) > 1:  # the reference, which is among them, is what the others are held against
            reference = artifact_or_file(open_source(self.bundle), asked.against)
            names = tuple(name for name in names if name != reference)
        return tuple(errand.check(host, self.bundle, photographs, artifact=name, **options) for name in names)

    def _keep(self, **found: Any) -> None:
        self.result = msgspec.structs.replace(self.result, **found)

    def _tell_stage(self, stage: Stage) -> None:
        with suppress(RuntimeError):  # the table is closed already
            self._tell(self.device.name, stage)


def worst(verdicts: list[Verdict]) -> Verdict:
    """The worst of what was said; nothing was said where nothing could run. Other than in `overall`, what could not run
    counts beside what did: it was asked for by name.
    """
    return next((verdict for verdict in _WORST_FIRST if verdict in verdicts), "could not run")
