"""The table of a benchmark's headline: each scenario has its own columns."""

from rich.table import Table

from edgedistill.runtime.bench.report import ArtifactBench, BenchReport
from edgedistill.runtime.interval import Interval

from .console import escape
from .render import milliseconds, named_table


def figures_table(report: BenchReport, artifacts: list[ArtifactBench]) -> Table:
    """What the scenario asks for, of the artifacts that ran."""
    drawn = {"throughput": _offline, "server": _server}.get(report.scenario, _latencies)
    return drawn(report, artifacts)


def _latencies(report: BenchReport, artifacts: list[ArtifactBench]) -> Table:
    numbers = ("p50 [95 %]", "p90 [95 %]", "p95", "p99", "images/s", "disturbed")
    rows = named_table("artifact", *numbers, right=numbers)
    for artifact in artifacts:
        latency = artifact.latency
        rows.add_row(
            escape(artifact.name),
            _interval(latency.p50 if latency else None),
            f"[bold]{_interval(latency.p90 if latency else None)}[/]",
            milliseconds(artifact.p95_ms),
            milliseconds(artifact.p99_ms),
            rate(report.throughput(artifact)),
            _disturbed(artifact),
        )
    return rows


def _offline(report: BenchReport, artifacts: list[ArtifactBench]) -> Table:
    numbers = ("images/s [95 %]", "streams", "threads", "batch", "p50 ms", "p90 ms", "disturbed")
    rows = named_table("artifact", *numbers, right=numbers)
    for artifact in artifacts:
        found = artifact.offline
        rows.add_row(
            escape(artifact.name),
            f"[bold]{_rates(found.images_per_s) if found else '-'}[/]",
            str(artifact.streams),
            artifact.effective.get("threads", "-"),
            str(artifact.batch_size),
            milliseconds(found.p50_ms if found else None),
            milliseconds(found.p90_ms if found else None),
            _disturbed(artifact),
        )
    return rows


def _server(report: BenchReport, artifacts: list[ArtifactBench]) -> Table:
    numbers = ("images/s", "p99 ms", "streams", "all busy, images/s", "trials", "disturbed")
    rows = named_table("artifact", *numbers, right=numbers)
    for artifact in artifacts:
        found = artifact.server
        headline = "none meets it" if found and found.rate is None else rate(found.rate if found else None)
        rows.add_row(
            escape(artifact.name),
            f"[bold]{headline}[/]",
            milliseconds(found.p99_ms if found else None),
            str(artifact.streams),
            rate(found.capacity if found else None),
            str(len(found.trials)) if found else "-",
            _disturbed(artifact),
        )
    return rows


def rate(value: float | None) -> str:
    """Images a second."""
    return "-" if not value else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _rates(found: Interval) -> str:
    ends = f" \\[{rate(found.low)}, {rate(found.high)}]" if found.low is not None and found.high is not None else ""
    return f"{rate(found.estimate)}{ends}"


def _disturbed(artifact: ArtifactBench) -> str:
    return f"{artifact.disturbed_turns} of {len(artifact.turns)}"


def _interval(found: Interval | None) -> str:
    """`estimate [low, high]` in milliseconds."""
    if found is None or found.estimate is None:
        return "-"
    if found.low is None or found.high is None:
        return milliseconds(found.estimate)
    return f"{milliseconds(found.estimate)} \\[{milliseconds(found.low)}, {milliseconds(found.high)}]"
