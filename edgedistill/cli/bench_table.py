"""A benchmark as tables and as JSON: latency with its intervals, what it costs to load, and whether to believe it."""

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from edgedistill.runtime.bench.report import ArtifactBench, BenchReport
from edgedistill.runtime.interval import Interval
from edgedistill.runtime.verdicts import Verdict

from .console import escape
from .render import judgements, milliseconds, named_table, size, status

_NUMBERS = ("mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "throttled", "disturbed_turns", "evidence", "verdict")
_COLOURS: dict[Verdict, str] = {"passed": "green", "failed": "red", "undecided": "yellow", "could not run": "yellow"}


def bench_json(report: BenchReport) -> dict[str, Any]:
    """The report for machines, with what its properties say."""
    plain = msgspec.to_builtins(report)
    for artifact, entry in zip(report.artifacts, plain["artifacts"], strict=True):
        entry.update({name: getattr(artifact, name) for name in _NUMBERS}, passed=artifact.passed)
    said = {"passed": report.passed, "verdict": report.verdict, "disturbed": report.disturbed, "unseen": report.unseen}
    return {**said, **plain}


def bench_report(report: BenchReport, console: Console) -> None:
    """Latency, throughput and memory, and how far the machine can be believed."""
    planned = f"preset {report.preset}"
    if report.interrupted:
        planned += f", interrupted after round {report.rounds} of {report.plan.rounds}"
    console.print(
        f"[bold]{escape(report.bundle)}[/] on {escape(report.device)}: batch {report.batch_size}, {planned}, "
        "latency in ms, headline p90",
        soft_wrap=True,
    )
    ran = [artifact for artifact in report.artifacts if artifact.status == "ran"]
    if ran:
        console.print(_latencies(report, ran))
        console.print()
        console.print(_costs(ran))
    for artifact in report.artifacts:
        if artifact.status != "ran":
            told = escape(f"{artifact.name}: {artifact.reason}")
            console.print(f"{status(artifact.status)}  {told}", soft_wrap=True)
    for line in _remarks(report):
        console.print(f"[dim]{escape(line)}[/]", soft_wrap=True)
    for artifact in ran:
        judgements(artifact.gates, console, of=artifact.name)
        _doubts(artifact, console)
    if report.not_saved:
        console.print(f"[yellow]not saved[/]  {escape(report.not_saved)}", soft_wrap=True)


def _latencies(report: BenchReport, artifacts: list[ArtifactBench]) -> Table:
    numbers = ("p50 [95 %]", "p90 [95 %]", "p95", "p99", "images/s", "disturbed")
    rows = named_table("artifact", *numbers, right=numbers)
    for artifact in artifacts:
        throughput, latency = report.throughput(artifact), artifact.latency
        rows.add_row(
            escape(artifact.name),
            _interval(latency.p50 if latency else None),
            f"[bold]{_interval(latency.p90 if latency else None)}[/]",
            milliseconds(artifact.p95_ms),
            milliseconds(artifact.p99_ms),
            f"{throughput:.3g}" if throughput and throughput < 100 else f"{throughput:.0f}" if throughput else "-",
            f"{artifact.disturbed_turns} of {len(artifact.turns)}",
        )
    return rows


def _costs(artifacts: list[ArtifactBench]) -> Table:
    numbers = ("size", "load", "first", "peak RSS")
    rows = named_table("artifact", *numbers, "effective", "verdict", right=numbers)
    for artifact in artifacts:
        rows.add_row(
            escape(artifact.name),
            size(artifact.bytes),
            milliseconds(artifact.load_ms),
            milliseconds(artifact.first_ms),
            size(artifact.peak_rss_bytes) if artifact.peak_rss_bytes else "-",
            escape(", ".join(artifact.effective[key] for key in ("precision", "device") if key in artifact.effective)),
            f"[{_COLOURS.get(artifact.verdict, 'default')}]{artifact.verdict}[/]",
        )
    return rows


def _remarks(report: BenchReport) -> list[str]:
    """What belongs to the figures whatever they are."""
    remarks = []
    if report.load_start and report.load_end:
        remarks.append(f"load average {report.load_start[0]:.1f} before, {report.load_end[0]:.1f} after")
    if report.preprocess_ms is not None:
        remarks.append(f"decoding and resizing one image takes another {report.preprocess_ms:.2f} ms")
    if report.unseen:
        remarks.append(f"not to be had on this system: {', '.join(report.unseen)}")
    return remarks


def _doubts(artifact: ArtifactBench, console: Console) -> None:
    if artifact.disturbed:
        told = escape(f"{artifact.name}: {artifact.disturbed}. All of them count: measure again on a quiet machine")
        console.print(f"[yellow]disturbed[/]  {told}", soft_wrap=True)
    elif artifact.disturbed_turns:
        count = f"{artifact.disturbed_turns} of {len(artifact.turns)} turns left out"
        console.print(f"[dim]{escape(f'{artifact.name}: {count} ({artifact.evidence})')}[/]", soft_wrap=True)
    if artifact.throttled:
        told = escape(f"{artifact.name}: the last third was over 10 % slower than the first")
        console.print(f"[yellow]throttling[/]  {told}", soft_wrap=True)


def _interval(found: Interval | None) -> str:
    """`estimate [low, high]` in milliseconds."""
    if found is None or found.estimate is None:
        return "-"
    if found.low is None or found.high is None:
        return milliseconds(found.estimate)
    return f"{milliseconds(found.estimate)} \\[{milliseconds(found.low)}, {milliseconds(found.high)}]"
