"""results/<device>.json: every verify and bench run of a bundle on one device, appended, with the device described."""

import logging
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from .bundle import Bundle
from .device import Device, describe_device, device_slug
from .errors import BundleError
from .files import write_atomic
from .record import Record

RESULTS_VERSION = 1

R = TypeVar("R", bound=Record)
_log = logging.getLogger("edgedistill")


class Run(Record):
    """One run.

    Attributes:
        kind: which command made it.
        created: ISO 8601, UTC.
        device: the machine at that time.
        report: the command's report as it was encoded; `decode` gives it back typed.
    """

    kind: Literal["verify", "bench"]
    created: str
    device: Device
    report: msgspec.Raw

    def decode(self, into: type[R]) -> R:
        """The report as the struct `into`."""
        return msgspec.json.decode(self.report, type=into)


class Results(Record):
    """The content of one results file, oldest run first."""

    schema_version: int = RESULTS_VERSION
    runs: tuple[Run, ...] = ()

    def latest(self, kind: Literal["verify", "bench"]) -> Run | None:
        return next((run for run in reversed(self.runs) if run.kind == kind), None)


def results_folder(source: Bundle | str | Path) -> Path:
    """Where a bundle's results lie (see Bundle.results_folder), without opening it."""
    if isinstance(source, Bundle):
        return source.results_folder
    path = Path(source)
    return path.with_suffix(".results") if path.is_file() and path.suffix == ".zip" else path / "results"


def read_results(path: Path) -> Results:
    """Read one results file.

    Raises:
        BundleError: it is missing, damaged, or written by a newer edgedistill.
    """
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=dict[str, Any]).get("schema_version")
        if isinstance(version, int) and version > RESULTS_VERSION:
            raise BundleError(
                f"{path}: results of schema {version}, this edgedistill reads {RESULTS_VERSION}: "
                "upgrade with `pip install -U edgedistill`, or move the file away."
            )
        return msgspec.json.decode(data, type=Results)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _DamagedError(f"{path}: damaged results ({error}). Move the file away to start a new one.") from None


def read_all_results(source: Bundle | str | Path) -> dict[str, Results]:
    """Every device's results of a bundle, by device slug; empty when nothing was run yet."""
    return {path.stem: read_results(path) for path in sorted(results_folder(source).glob("*.json"))}


def append_result(source: Bundle | str | Path, kind: Literal["verify", "bench"], report: Record) -> Path:
    """Add a run to this device's results file, atomically.

    A damaged file is renamed to `<name>.json.damaged-<time>`, with a warning, and a new one begun: neither what was
    measured before nor this run is lost.

    Args:
        source: the bundle as it was given to the command: a Bundle, a folder or a .zip.
        kind: which command ran.
        report: its typed report.

    Returns:
        The file.

    Raises:
        BundleError: the file was written by a newer edgedistill.
        EdgedistillError: the folder cannot be written.
    """
    now = datetime.now(timezone.utc)
    path = results_folder(source) / f"{device_slug()}.json"
    earlier = Results()
    if path.is_file():
        try:
            earlier = read_results(path)
        except _DamagedError as error:
            aside = path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%S}")
            path.rename(aside)
            _log.warning("%s It is kept as %s.", error, aside.name)
    run = Run(
        kind=kind,
        created=now.isoformat(timespec="seconds"),
        device=describe_device(),
        report=msgspec.Raw(msgspec.json.encode(report)),
    )
    results = Results(runs=(*earlier.runs, run))
    write_atomic(path, msgspec.json.format(msgspec.json.encode(results)))
    return path


class _DamagedError(BundleError):
    """The file is not what this module writes."""
