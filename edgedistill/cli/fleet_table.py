"""A fleet as tables: what its devices do now, and what they found."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from edgedistill.remote.fleet import worst

from .bench_table import bench_json
from .console import escape
from .render import interval, milliseconds, named_table, status, table, verdict

if TYPE_CHECKING:
    from edgedistill.remote.conversation import Stage
    from edgedistill.remote.fleet import DeviceResult, FleetReport


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
        entry["bench"] = None if device.bench is None else bench_json(device.bench)
        devices.append(entry)
    return {"verdict": report.verdict, "interrupted": report.interrupted, "bundle": report.bundle, "devices": devices}


def fleet_report(report: "FleetReport", console: Console) -> None:
    """One row for each artifact of each device, then why a device stopped."""
    numbers = ("mAP", "drop", "p50 ms", "p90 ms", "images/s")
    rows = named_table("device", "artifact", "selftest", *numbers, "verdict", right=numbers)
    for device in report.devices:
        for row in _rows(device):
            rows.add_row(escape(device.name), *row)
    console.print(rows)
    for device in report.devices:
        if device.error:
            console.print(f"{status('could not run')}  {escape(device.name)}: {escape(device.error)}", soft_wrap=True)


def _rows(device: "DeviceResult") -> list[list[str]]:
    found: dict[str, dict[str, Any]] = {}
    for kind in ("selftest", "verify", "bench"):
        report = getattr(device, kind)
        for artifact in report.artifacts if report is not None else ():
            found.setdefault(artifact.name, {})[kind] = artifact
    if not found:
        return [["", "", *"-----", status(device.verdict)]]
    return [[escape(name), *_cells(reports, device)] for name, reports in found.items()]


def _cells(reports: dict[str, Any], device: "DeviceResult") -> list[str]:
    tested, judged, measured = (reports.get(kind) for kind in ("selftest", "verify", "bench"))
    accuracy, drop = (judged.mean_ap, judged.drop) if judged is not None and judged.ran else (None, None)
    throughput = device.bench.throughput(measured) if measured is not None and device.bench is not None else None
    said = [one.verdict for one in (tested, judged) if one is not None]
    if measured is not None and (measured.verdict != "not judged" or not said):
        said.append(measured.verdict)
    return [
        status(tested.verdict) if tested is not None else "-",
        f"{accuracy.estimate:.2f}" if accuracy is not None and accuracy.estimate is not None else "-",
        escape(interval(drop, 3)),
        milliseconds(measured.p50_ms) if measured is not None else "-",
        milliseconds(measured.p90_ms) if measured is not None else "-",
        f"{throughput:.3g}" if throughput else "-",
        status(worst(said)),
    ]
