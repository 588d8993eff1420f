"""What was found of a bundle on every device, run by run: the newest first."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from .bench.report import ArtifactBench, BenchReport
from .bundle.loose import open_source
from .bundle.opened import Bundle
from .bundle.results import Run, read_runs
from .errors import BundleError, ConfigError
from .field.report import CheckReport
from .interval import Interval
from .parity.report import ParityReport
from .record import Record


class HistoryRow(Record):
    """One artifact in one run of `verify`, `bench` or another command that leaves results.

    Attributes:
        created: when the run was saved, ISO 8601, UTC.
        device: slug of the machine.
        kind: the command, e.g. "bench".
        artifact: its name; empty where the run says nothing of single artifacts.
        verdict: in the report's words; empty where it has none.
        figures: the headline numbers by name, e.g. "p90_ms", "images_per_s", "peak_rss_bytes", "mAP", "drop" (points),
            "changed" (percent of images with another label), "drifted_classes".
        intervals: their ends (low, high), for those that have an interval.
        settings: how it was measured, e.g. {"scenario": "server", "batch": "1"}.
        disturbed: other work disturbed the measurement.
        note: why there are no figures.
    """

    created: str
    device: str
    kind: str
    artifact: str = ""
    verdict: str = ""
    figures: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    settings: dict[str, str] = {}
    disturbed: bool = False
    note: str = ""


def read_history(
    bundle: Bundle | str | Path, *, device: str | None = None, kind: str | None = None
) -> tuple[HistoryRow, ...]:
    """Every run's artifacts, the newest run first; empty where nothing was run yet.

    Args:
        bundle: an opened bundle, its folder or its .zip, or a model file that was measured alone.
        device: only devices whose slug holds this text.
        kind: only this command's runs.

    Raises:
        BundleError: nothing was run, and it is neither a bundle nor a model file.
        ConfigError: there are runs, and none of such a device or kind.
    """
    runs = [(slug, run) for slug, found in read_runs(bundle).items() for run in found]
    if not runs:
        open_source(bundle)
    for what, wanted, present in (
        ("device", device, sorted({slug for slug, _ in runs})),
        ("kind", kind, sorted({run.kind for _, run in runs})),
    ):
        if wanted is not None and runs and not any(wanted in name for name in present):
            raise ConfigError(
                f"--{what} {wanted}: no results of such a {what}; there are those of {', '.join(present)}."
            )
    chosen = [
        (slug, run) for slug, run in runs if (device is None or device in slug) and (kind is None or kind in run.kind)
    ]
    chosen.sort(key=lambda entry: entry[1].created)  # those of one second stay as they were saved
    return tuple(row for slug, run in reversed(chosen) for row in _rows(slug, run))


def _rows(slug: str, run: Run) -> Iterator[HistoryRow]:
    head = HistoryRow(created=run.created, device=slug, kind=run.kind)
    try:
        for row in _READERS.get(run.kind, _any)(run):
            yield msgspec.structs.replace(head, **row)
    except BundleError as error:
        yield msgspec.structs.replace(head, note=str(error))


def _bench(run: Run) -> Iterator[dict[str, Any]]:
    report = run.decode(BenchReport)
    for artifact in report.artifacts:
        if artifact.status != "ran":
            yield {"artifact": artifact.name, "verdict": artifact.verdict, "note": artifact.reason}
            continue
        figures = {
            "p50_ms": artifact.p50_ms,
            "p90_ms": artifact.p90_ms,
            "images_per_s": report.throughput(artifact),
            "peak_rss_bytes": artifact.peak_rss_bytes,
            "joules_per_image": artifact.energy.joules_per_image if artifact.energy else None,
        }
        threads = artifact.effective.get("threads", "")
        yield {
            "artifact": artifact.name,
            "verdict": artifact.verdict,
            "figures": {name: float(value) for name, value in figures.items() if value is not None},
            "intervals": _ends(_bench_intervals(artifact)),
            "settings": {
                "scenario": report.scenario,
                "batch": str(artifact.batch_size or report.batch_size),
                **({"threads": threads} if threads else {}),
                **({"streams": str(artifact.streams)} if artifact.streams > 1 else {}),
            },
            "disturbed": bool(artifact.disturbed),
        }


def _bench_intervals(artifact: ArtifactBench) -> dict[str, Interval]:
    found: dict[str, Interval] = {}
    if artifact.latency is not None:
        found |= {"p50_ms": artifact.latency.p50, "p90_ms": artifact.latency.p90}
    if artifact.offline is not None:
        found["images_per_s"] = artifact.offline.images_per_s
    return found


def _verify(run: Run) -> Iterator[dict[str, Any]]:
    report = run.decode(ParityReport)
    for artifact in report.artifacts:
        intervals = {"mAP": artifact.mean_ap, "drop": artifact.drop}
        present = {name: found for name, found in intervals.items() if found is not None}
        yield {
            "artifact": artifact.name,
            "verdict": artifact.verdict,
            "figures": {name: found.estimate for name, found in present.items() if found.estimate is not None},
            "intervals": _ends(present),
            "settings": {"data": report.dataset, "images": str(report.images)},
            "note": artifact.reason,
        }


def _check(run: Run) -> Iterator[dict[str, Any]]:
    report = run.decode(CheckReport)
    agreement, drift = report.agreement, report.drift
    intervals = {} if agreement is None else {"changed": agreement.changed}
    figures = {name: found.estimate for name, found in intervals.items() if found.estimate is not None}
    if drift is not None:
        figures["drifted_classes"] = float(len(drift.found))
    yield {
        "artifact": report.artifact,
        "verdict": report.verdict,
        "figures": figures,
        "intervals": _ends(intervals),
        "settings": {"data": report.photographs, "images": str(report.images)},
    }


def _any(run: Run) -> Iterator[dict[str, Any]]:
    """A command of another version: its artifacts' names and verdicts, where it has such."""
    report = msgspec.json.decode(run.report)
    if not isinstance(report, dict):
        yield {}
        return
    listed = report.get("artifacts")
    artifacts = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    for one in artifacts or [report]:
        said = {key: one.get(name) for key, name in (("artifact", "name"), ("verdict", "verdict"))}
        yield {key: value for key, value in said.items() if isinstance(value, str)}


def _ends(intervals: dict[str, Interval]) -> dict[str, tuple[float, float]]:
    return {
        name: (found.low, found.high)
        for name, found in intervals.items()
        if found.low is not None and found.high is not None
    }


_READERS: dict[str, Callable[[Run], Iterator[dict[str, Any]]]] = {
    "bench": _bench,
    "verify": _verify,
    "check": _check,
}
