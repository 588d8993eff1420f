"""A benchmark as tables and as JSON: its scenario's figures, what it costs to load, and whether to believe it."""

from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from edgedistill.runtime.bench.report import ArtifactBench, BenchReport
from edgedistill.runtime.bundle.results import read_run
from edgedistill.runtime.device import Device, describe_device, device_slug
from edgedistill.runtime.verdicts import Verdict

from .bench_figures import print_figures
from .console import escape
from .render import judgements, milliseconds, named_table, print_fitting, size, status

_NUMBERS = ("mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "throttled", "disturbed_turns", "evidence", "verdict")
_COLOURS: dict[Verdict, str] = {"passed": "green", "failed": "red", "undecided": "yellow", "could not run": "yellow"}


def bench_json(report: BenchReport) -> dict[str, Any]:
    """The report for machines, with what its properties say, and what this device is where it was measured here."""
    plain = msgspec.to_builtins(report)
    for artifact, entry in zip(report.artifacts, plain["artifacts"], strict=True):
        entry.update({name: getattr(artifact, name) for name in _NUMBERS}, passed=artifact.passed)
        entry["images_per_s"] = report.throughput(artifact)
    said = {"passed": report.passed, "verdict": report.verdict, "disturbed": report.disturbed, "unseen": report.unseen}
    return {**said, **plain, "device_facts": msgspec.to_builtins(_facts(report))}


def _facts(report: BenchReport) -> Device | None:
    """The machine that was measured, as its results describe it; None where it is another one and nothing was saved."""
    if report.saved and (run := read_run(Path(report.saved))):
        return run.device
    return describe_device() if report.device == device_slug() else None


def bench_report(report: BenchReport, console: Console) -> None:
    """The scenario's figures and memory, and how far the machine can be believed."""
    planned = f"preset {report.preset}"
    if report.interrupted:
        planned += f", interrupted after round {report.rounds} of {report.plan.rounds}"
    console.print(
        f"[bold]{escape(report.bundle)}[/] on {escape(report.device)}: {_asked(report)}, {planned}", soft_wrap=True
    )
    ran = [artifact for artifact in report.artifacts if artifact.status == "ran"]
    if ran:
        print_figures(report, ran, console)
        console.print()
        _costs(ran, console)
    if spans := [artifact for artifact in ran if artifact.spans is not None]:
        console.print()
        _spans(spans, console)
    for artifact in report.artifacts:
        if artifact.status != "ran":
            told = escape(f"{artifact.name}: {artifact.reason}")
            console.print(f"{status(artifact.status)}  {told}", soft_wrap=True)
    for line in _remarks(report, ran):
        console.print(f"[dim]{escape(line)}[/]", soft_wrap=True)
    for artifact in ran:
        judgements(artifact.gates, console, of=artifact.name)
        _doubts(artifact, console)
    if report.not_saved:
        console.print(f"[yellow]not saved[/]  {escape(report.not_saved)}", soft_wrap=True)


def _asked(report: BenchReport) -> str:
    """The scenario in words, and what its headline is."""
    if report.scenario == "server":
        return f"images at random, the highest rate with p99 within {report.max_p99_ms:g} ms"
    if report.scenario == "throughput":
        return "several inferences at once, headline images a second"
    batches = sorted({artifact.batch_size or report.batch_size for artifact in report.artifacts})
    return f"batch {', '.join(map(str, batches))}, latency in ms, headline p90"


def _costs(artifacts: list[ArtifactBench], console: Console) -> None:
    """What loading and running an artifact takes besides time."""
    starting = ("import", "load", "first")
    numbers = ("size", *starting, "peak RSS")
    energy = ("mJ/image",) if any(artifact.energy for artifact in artifacts) else ()
    rows = []
    for artifact in artifacts:
        used = [f"{1000 * artifact.energy.joules_per_image:.3g}" if artifact.energy else "-"] if energy else []
        effective = [artifact.effective[key] for key in ("precision", "device") if key in artifact.effective]
        rows.append(
            [
                escape(artifact.name),
                size(artifact.bytes),
                milliseconds(artifact.import_ms),
                milliseconds(artifact.load_ms),
                milliseconds(artifact.first_ms),
                size(artifact.peak_rss_bytes) if artifact.peak_rss_bytes else "-",
                *used,
                escape(", ".join(effective)),
                f"[{_COLOURS.get(artifact.verdict, 'default')}]{artifact.verdict}[/]",
            ]
        )
    headings = ("artifact", *numbers, *energy, "effective", "verdict")
    print_fitting(console, headings, rows, right=(*numbers, *energy), aside=[starting])


def _spans(artifacts: list[ArtifactBench], console: Console) -> None:
    """From a photograph to labels."""
    photo = artifacts[0].spans
    assert photo is not None
    steps = ("decode", "resize", "infer", "post", "whole")
    rows = named_table("artifact", *steps, right=steps)
    for artifact in artifacts:
        found = artifact.spans
        assert found is not None
        times = (found.decode_ms, found.resize_ms, found.infer_ms, found.post_ms, found.total_ms)
        rows.add_row(escape(artifact.name), *map(milliseconds, times))
    told = f"{photo.photo}, {photo.width} x {photo.height}, {size(photo.bytes)}"
    console.print(f"from a photograph to its labels, in ms ({escape(told)})", soft_wrap=True)
    console.print(rows)


def _remarks(report: BenchReport, ran: list[ArtifactBench]) -> list[str]:
    """What belongs to the figures whatever they are."""
    remarks = []
    if report.load_start and report.load_end:
        remarks.append(f"load average {report.load_start[0]:.1f} before, {report.load_end[0]:.1f} after")
    if report.temperature_start is not None and report.temperature_end is not None:
        remarks.append(f"{report.temperature_start:.0f} degrees Celsius before, {report.temperature_end:.0f} after")
    if sources := sorted({artifact.energy.source for artifact in ran if artifact.energy}):
        remarks.append(f"energy: {', '.join(sources)}, idle power and other processes included")
    if report.unseen:
        remarks.append(f"not to be had on this system: {', '.join(report.unseen)}")
    if report.saved:
        remarks.append(f"saved: {report.saved}")
    return remarks


def _doubts(artifact: ArtifactBench, console: Console) -> None:
    if artifact.disturbed:
        which = "" if artifact.server else " All of them count:"
        told = escape(f"{artifact.name}: {artifact.disturbed}.{which} measure again on a quiet machine")
        console.print(f"[yellow]disturbed[/]  {told}", soft_wrap=True)
    elif artifact.disturbed_turns and artifact.server is None:
        count = f"{artifact.disturbed_turns} of {len(artifact.turns)} turns left out"
        console.print(f"[dim]{escape(f'{artifact.name}: {count} ({artifact.evidence})')}[/]", soft_wrap=True)
    if artifact.throttled:
        told = escape(f"{artifact.name}: the last third was over 10 % slower than the first")
        console.print(f"[yellow]throttling[/]  {told}", soft_wrap=True)
