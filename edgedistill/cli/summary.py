"""The table at the end of `demo` and `run`: what distillation brought, what each artifact costs, what to type next."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from edgedistill.run_summary import ModelResult, RunSummary
from edgedistill.runtime.bench.report import ArtifactBench
from edgedistill.runtime.parity import ArtifactParity
from edgedistill.runtime.targets import load_target

from .bench_table import bench_json
from .console import escape
from .render import interval, judgements, milliseconds, print_fitting, size, status, table, verdict

_ROLES = {"teacher": "teacher", "baseline": "student, no teacher", "student": "student, distilled"}


def summary_with_verdicts(summary: RunSummary) -> dict[str, Any]:
    """The summary for machines, with the words and statistics that the tables have."""
    plain = msgspec.to_builtins(summary)
    return {
        "verdict": summary.verdict,
        "verdicts": summary.verdicts,
        **plain,
        "parity": verdict(summary.parity),
        "bench": bench_json(summary.bench),
    }


def run_summary(summary: RunSummary, console: Console, *, configs_with_host: Sequence[str] = ()) -> None:
    """Models, artifacts, next steps; deploy configs that name a device are the last of these."""
    console.print()
    _models(summary, console)
    console.print()
    _artifacts(summary, console)
    _next_steps(summary, configs_with_host, console)


def _models(summary: RunSummary, console: Console) -> None:
    numbers = ("test mAP", "OF1", "CF1", "parameters")
    rows = table("model", "network", "taught by", *numbers, right=numbers)
    for model in summary.models:
        rows.add_row(
            _ROLES[model.role],
            escape(model.model),
            escape(model.method),
            f"[bold]{model.mAP:.2f}[/]" if model.role == "student" else f"{model.mAP:.2f}",
            f"{model.OF1:.2f}",
            f"{model.CF1:.2f}",
            "-" if model.parameters is None else f"{model.parameters / 1e6:.2f} M",
        )
    images = summary.models[0].images
    console.print(f"[bold]Accuracy[/] in PyTorch on {escape(summary.test)} ({images} images; F1 at threshold 0.5)")
    console.print(rows)
    gain = _gain(summary.models)
    if gain is not None:
        console.print(
            f"distillation: [bold]{gain:+.2f}[/] mAP points over the same student without a teacher, one seed"
        )
    skipped = [line for model in summary.models[:1] for line in model.skipped]
    if skipped:
        console.print(
            f"[yellow]{len(skipped)} images could not be decoded[/], e.g. {escape(skipped[0])}", soft_wrap=True
        )


def _gain(models: tuple[ModelResult, ...]) -> float | None:
    found = {model.role: model.mAP for model in models}
    return found["student"] - found["baseline"] if "baseline" in found else None


def _artifacts(summary: RunSummary, console: Console) -> None:
    """One row per artifact: parity and latency of the same files."""
    speed = {artifact.name: artifact for artifact in summary.bench.artifacts}
    numbers = ("size", "mAP", "drop [95 % CI]", "p50 ms", "p90 ms")
    rows, notes = [], []
    for artifact in summary.parity.artifacts:
        rows.append([*_artifact_row(artifact, speed.get(artifact.name)), status(summary.verdicts[artifact.name])])
        why = artifact.reason or ("" if artifact.gates else "its deploy config has no gate")
        if why:
            notes.append(f"{status(artifact.verdict)}  {escape(artifact.name)}: {escape(why)}")
    console.print(
        f"[bold]Artifacts[/] on this machine ({escape(summary.bench.device)}), against "
        f"{escape(summary.parity.reference.source)}"
    )
    print_fitting(
        console, ["artifact", *numbers, "verdict"], rows, right=numbers, aside=[("p50 ms", "p90 ms"), ("size",)]
    )
    largest = [
        a.max_abs_logit for a in summary.parity.artifacts if a.precision == "fp32" and a.max_abs_logit is not None
    ]
    if largest and summary.parity.reference.stored:
        console.print(f"[dim]fp32 artifacts: no logit differs from PyTorch's by more than {max(largest):.1e}[/]")
    for note in notes:
        console.print(note, soft_wrap=True)
    judged: tuple[ArtifactParity | ArtifactBench, ...] = (*summary.parity.artifacts, *summary.bench.artifacts)
    for one in judged:
        judgements(one.gates, console, of=one.name)
    if summary.bench.disturbed:
        console.print("[yellow]latency: other work disturbed this machine; `edgedistill bench` measures again[/]")


def _artifact_row(parity: ArtifactParity, bench: ArtifactBench | None) -> list[str]:
    latency = (
        [milliseconds(bench.p50_ms), milliseconds(bench.p90_ms)] if bench and bench.status == "ran" else ["-", "-"]
    )
    bytes_ = size(parity.bytes) if parity.bytes else "-"
    name = escape(parity.name)
    if not parity.ran:
        return [name, bytes_, "-", "-", *latency]
    mean_ap = f"{parity.mean_ap.estimate:.2f}" if parity.mean_ap and parity.mean_ap.estimate is not None else "-"
    return [name, bytes_, mean_ap, interval(parity.drop, 3), *latency]


def _next_steps(summary: RunSummary, configs_with_host: Sequence[str], console: Console) -> None:
    bundle = Path(summary.bundle)
    minutes = sum(summary.seconds.values()) / 60
    console.print(
        f"\n[bold]The bundle is {escape(str(bundle))}[/]  [dim]({minutes:.1f} minutes in all)[/]", soft_wrap=True
    )
    if summary.report:
        console.print(f"[bold]All of it as one page: {escape(summary.report)}[/]", soft_wrap=True)
    photo = next(iter(sorted((bundle / "selftest").glob("*"))), Path("photo.jpg"))
    labels = bundle.parent / "test" / "labels.csv"
    data = labels if labels.is_file() else "labels.csv"
    steps = [
        (f"edgedistill predict {bundle} {photo}", "labels of an image"),
        (f"edgedistill selftest {bundle}", "on the device, without torch: does it compute the same?"),
        (f"edgedistill verify {bundle} --data {data}", "on the device: the same mAP, with an interval?"),
        (f"edgedistill bench {bundle}", "on the device: how fast, honestly?"),
    ]
    for path in configs_with_host:
        there = f"--artifact {load_target(path).name} --host {path}"
        steps += [
            (f"edgedistill verify {bundle} --data {data} {there}", "the same from here, on the device that it names"),
            (f"edgedistill bench {bundle} {there}", "and its latency there"),
        ]
    for command, what in steps:
        console.print(f"  [cyan]{escape(command)}[/]  [dim]{what}[/]", soft_wrap=True)
