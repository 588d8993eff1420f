"""A fleet as tables: what its devices do now, and what they found."""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from edgedistill.remote.fleet import worst
from edgedistill.runtime.formatting import points

from .bench_figures import rate
from .bench_table import bench_json
from .check_table import check_json
from .console import escape
from .render import interval, milliseconds, print_fitting, status, table, verdict

if TYPE_CHECKING:
    from edgedistill.remote.conversation import Stage
    from edgedistill.remote.fleet import DeviceResult, FleetReport
    from edgedistill.runtime import CheckReport
    from edgedistill.runtime.bench.report import ArtifactBench
    from edgedistill.runtime.parity import ArtifactParity, ArtifactSelfTest


class LiveTable:
    """One row for each device, drawn anew while they work; where there is no terminal, a line for what is done."""

    def __init__(self, names: Sequence[str], console: Console) -> None:
        self._stages: dict[str, Stage | None] = dict.fromkeys(names)
        self._since = time.monotonic()
        self._console, self._lock = console, threading.Lock()
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=2, transient=True)

    def __enter__(self) -> "LiveTable":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._live.stop()

    def tell(self, name: str, stage: "Stage") -> None:
        """What a device does now; called in its thread."""
        with self._lock:
            before, self._stages[name] = self._stages[name], stage
        if not self._console.is_terminal and (before is None or before.text != stage.text) and stage.total is None:
            self._console.print(f"{escape(name)}: {escape(stage.text)}", soft_wrap=True)

    def _table(self) -> Table:
        rows = table("device", "now", "done", right=("done",))
        with self._lock:
            stages = list(self._stages.items())
        for name, stage in stages:
            done = f"{stage.done} of {stage.total}" if stage is not None and stage.total is not None else ""
            rows.add_row(escape(name), escape(stage.text if stage is not None else "waits"), done)
        rows.caption = f"{time.monotonic() - self._since:.0f} s"
        return rows


def fleet_json(report: "FleetReport") -> dict[str, Any]:
    """The report for machines, with what its properties say."""
    devices = []
    for device in report.devices:
        entry: dict[str, Any] = {"name": device.name, "verdict": device.verdict, "error": device.error}
        entry["selftest"] = None if device.selftest is None else verdict(device.selftest)
        entry["verify"] = None if device.verify is None else verdict(device.verify)
        entry["check"] = None if device.check is None else [check_json(one) for one in device.check]
        entry["bench"] = None if device.bench is None else bench_json(device.bench)
        devices.append(entry)
    return {"verdict": report.verdict, "interrupted": report.interrupted, "bundle": report.bundle, "devices": devices}


def fleet_report(report: "FleetReport", console: Console) -> None:
    """One row for each artifact of each device, with the columns of what was run; then why a device stopped."""
    ran = [step for step in _COLUMNS if any(getattr(device, step) is not None for device in report.devices)]
    columns = [name for step in ran for name in _COLUMNS[step]]
    rows = [[escape(device.name), *row] for device in report.devices for row in _rows(device, ran)]
    print_fitting(
        console,
        ["device", "artifact", *columns, "verdict"],
        rows,
        names=2,
        right=[name for name in columns if name in _NUMBERS],
        aside=[_COLUMNS[step] for step in reversed(ran)],
    )
    for device in report.devices:
        if device.error:
            console.print(f"{status('could not run')}  {escape(device.name)}: {escape(device.error)}", soft_wrap=True)


def _rows(device: "DeviceResult", ran: Sequence[str]) -> list[list[str]]:
    found: dict[str, dict[str, Any]] = {}
    for kind in ("selftest", "verify", "bench"):
        report = getattr(device, kind)
        for artifact in report.artifacts if report is not None else ():
            found.setdefault(artifact.name, {})[kind] = artifact
    for one in device.check or ():
        found.setdefault(one.artifact, {})["check"] = one
    if not found:
        return [["", *("-" for step in ran for _ in _COLUMNS[step]), status(device.verdict)]]
    return [[escape(name), *_cells(reports, ran, device)] for name, reports in found.items()]


def _cells(reports: dict[str, Any], ran: Sequence[str], device: "DeviceResult") -> list[str]:
    said = [reports[kind].verdict for kind in ("selftest", "verify", "check") if kind in reports]
    measured = reports.get("bench")
    if measured is not None and (measured.verdict != "not judged" or not said):
        said.append(measured.verdict)
    cells = []
    for step in ran:
        cells += _CELLS[step](reports[step], device) if step in reports else ["-"] * len(_COLUMNS[step])
    return [*cells, status(worst(said))]


def _of_selftest(tested: "ArtifactSelfTest", device: "DeviceResult") -> list[str]:
    return [status(tested.verdict)]


def _of_verify(judged: "ArtifactParity", device: "DeviceResult") -> list[str]:
    accuracy, drop = (judged.mean_ap, judged.drop) if judged.ran else (None, None)
    return [points(accuracy.estimate if accuracy is not None else None), escape(interval(drop, 3))]


def _of_check(found: "CheckReport", device: "DeviceResult") -> list[str]:
    changed = "-" if found.agreement is None else interval(found.agreement.changed, 1)
    drifted = "-" if found.drift is None else f"{len(found.drift.found)} of {len(found.drift.classes)}"
    return [escape(changed), drifted]


def _of_bench(measured: "ArtifactBench", device: "DeviceResult") -> list[str]:
    throughput = device.bench.throughput(measured) if device.bench is not None else None
    return [milliseconds(measured.p50_ms), milliseconds(measured.p90_ms), rate(throughput)]


_COLUMNS = {
    "selftest": ("selftest",),
    "verify": ("mAP", "drop"),
    "check": ("other labels %", "drifted classes"),
    "bench": ("p50 ms", "p90 ms", "images/s"),
}
_NUMBERS = {name for names in _COLUMNS.values() for name in names} - {"selftest"}
_CELLS: dict[str, Callable[..., list[str]]] = {
    "selftest": _of_selftest,
    "verify": _of_verify,
    "check": _of_check,
    "bench": _of_bench,
}
