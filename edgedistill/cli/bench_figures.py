"""The table of a benchmark's headline: each scenario has its own columns."""

from rich.console import Console

from edgedistill.runtime.bench.report import ArtifactBench, BenchReport
from edgedistill.runtime.interval import Interval

from .console import escape
from .render import milliseconds, print_fitting

# By scenario, the columns beside the artifact's name; those of the second line leave a narrow table.
_LATENCIES = ("p50 [95 %]", "p90 [95 %]"), ("p95", "p99", "images/s", "disturbed")
_OFFLINE = ("images/s [95 %]", "p50 ms", "p90 ms", "disturbed"), ("streams", "threads", "batch")
_SERVER = ("images/s", "p99 ms", "disturbed"), ("streams", "all busy, images/s", "trials")


def print_figures(report: BenchReport, artifacts: list[ArtifactBench], console: Console) -> None:
    """What the scenario asks for, of the artifacts that ran."""
    (kept, aside), row = {"throughput": (_OFFLINE, _offline), "server": (_SERVER, _server)}.get(
        report.scenario, (_LATENCIES, _latencies)
    )
    rows = [[escape(artifact.name), *row(report, artifact)] for artifact in artifacts]
    print_fitting(console, ["artifact", *kept, *aside], rows, right=[*kept, *aside], aside=[aside])


def _latencies(report: BenchReport, artifact: ArtifactBench) -> list[str]:
    latency = artifact.latency
    return [
        _interval(latency.p50 if latency else None),
        f"[bold]{_interval(latency.p90 if latency else None)}[/]",
        milliseconds(artifact.p95_ms),
        milliseconds(artifact.p99_ms),
        rate(report.throughput(artifact)),
        _disturbed(artifact),
    ]


def _offline(report: BenchReport, artifact: ArtifactBench) -> list[str]:
    found = artifact.offline
    return [
        f"[bold]{_rates(found.images_per_s) if found else '-'}[/]",
        milliseconds(found.p50_ms if found else None),
        milliseconds(found.p90_ms if found else None),
        _disturbed(artifact),
        str(artifact.streams),
        artifact.effective.get("threads", "-"),
        str(artifact.batch_size),
    ]


def _server(report: BenchReport, artifact: ArtifactBench) -> list[str]:
    found = artifact.server
    headline = "none meets it" if found and found.rate is None else rate(found.rate if found else None)
    return [
        f"[bold]{headline}[/]",
        milliseconds(found.p99_ms if found else None),
        _disturbed(artifact),
        str(artifact.streams),
        rate(found.capacity if found else None),
        str(len(found.trials)) if found else "-",
    ]


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
