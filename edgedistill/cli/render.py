"""Reports as tables. Reports are typed data; this module only draws them."""

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console

from edgedistill.runtime.formatting import counted, interval, milliseconds, size  # noqa: F401 (tables take all from here)
from edgedistill.runtime.parity import ArtifactParity, ArtifactSelfTest, ParityReport, SelfTestReport
from edgedistill.runtime.verdicts import Judgement

from .console import escape
from .parity_changes import parity_changes
from .tables import named_table, print_fitting, table  # noqa: F401 (the same)

_COLOURS = {
    "verified": "green",
    "built_not_run": "yellow",
    "failed": "red",
    "passed": "green",
    "undecided": "yellow",
    "not judged": "cyan",
    "could not run": "yellow",
    "ran": "green",
    "could_not_run": "yellow",
}
_MOST_LOSSES = 5


def verdict(report: ParityReport | SelfTestReport) -> dict[str, Any]:
    """A report for machines, with what its properties say: whether it passed."""
    plain = msgspec.to_builtins(report)
    artifacts: Sequence[ArtifactParity | ArtifactSelfTest] = report.artifacts
    for artifact, entry in zip(artifacts, plain["artifacts"], strict=True):
        entry["passed"] = artifact.passed
    return {"verdict": report.verdict, "passed": report.passed, **plain}


def status(word: str) -> str:
    """A coloured status or verdict."""
    return f"[{_COLOURS.get(word, 'white')}]{escape(word.replace('_', ' '))}[/]"


def judgements(gates: Sequence[Judgement], console: Console, *, of: str) -> None:
    """One line per gate that is not met."""
    for gate in gates:
        if not gate.passed:
            console.print(f"{status(gate.verdict)}  {escape(of)}: {escape(gate.sentence)}", soft_wrap=True)


def parity_report(report: ParityReport, console: Console) -> None:
    """Each artifact against the reference, then what was lost where a gate is missed."""
    decoded = "" if report.decode == "full" else f" decoded at {report.decode} scale"
    mean_ap = report.reference.mean_ap
    level = f" ({100 * mean_ap.confidence:g} %)" if mean_ap.low is not None else ""
    console.print(
        f"[bold]{escape(report.bundle)}[/] on {escape(report.dataset)}: {counted(report.images, 'image')}{decoded}; "
        f"reference: {escape(report.reference.source)}, mAP {interval(mean_ap)}{level}",
        soft_wrap=True,
    )
    headings = ("artifact", "mAP", f"drop [{_levels(report)} CI]", "max diff", "same", "precision", "recall", "verdict")
    rows = [_parity_row(artifact) for artifact in report.artifacts]
    print_fitting(console, headings, rows, right=headings[1:-1], aside=[("max diff", "precision", "recall")])
    console.print(
        "[dim]drop: mAP points lost to the reference; max diff: of any logit; same: images with the same labels; "
        "precision, recall: of all labels, at the artifact's own thresholds[/]",
        soft_wrap=True,
    )
    for artifact in report.artifacts:
        if artifact.reason:
            said = f"{artifact.name}: {artifact.reason}"
            console.print(f"{status(artifact.verdict)}  {escape(said)}", soft_wrap=True)
        judgements(artifact.gates, console, of=artifact.name)
        parity_changes(artifact, console)
    if ungated := [one.name for one in report.artifacts if not (one.reason or one.gates)]:
        configs = "its deploy config has" if len(ungated) == 1 else "their deploy configs have"
        console.print(
            f"{status('not judged')}  {escape(', '.join(ungated))}: {configs} no gate (`--preset 99` is one)",
            soft_wrap=True,
        )
    for image in report.skipped[:_MOST_LOSSES]:
        console.print(f"[yellow]skipped[/]  {escape(image.id)}: {escape(image.reason)}", soft_wrap=True)
    if len(report.skipped) > _MOST_LOSSES:
        console.print(f"[yellow]skipped[/]  and {len(report.skipped) - _MOST_LOSSES} more images")
    if report.preset:
        console.print(f"[dim]preset {report.preset}: at least {report.preset} % of the reference's mAP is kept[/]")
    if report.not_saved:
        console.print(f"[yellow]not saved[/]  {escape(report.not_saved)}", soft_wrap=True)


def _levels(report: ParityReport) -> str:
    """The confidence of the artifacts' intervals, e.g. "95 %"."""
    found = sorted({artifact.drop.confidence for artifact in report.artifacts if artifact.drop is not None})
    return ", ".join(f"{100 * level:g} %" for level in found)


def _parity_row(artifact: ArtifactParity) -> list[str]:
    if not artifact.ran:
        return [escape(artifact.name), *"------", status(artifact.verdict)]
    same = f"{100 * artifact.unchanged_images:.1f} %" if artifact.unchanged_images is not None else "-"
    mean_ap = f"{artifact.mean_ap.estimate:.2f}" if artifact.mean_ap and artifact.mean_ap.estimate is not None else "-"
    difference = f"{artifact.max_abs_logit:.1e}" if artifact.max_abs_logit is not None else "-"
    found = artifact.labels
    right = [
        f"{value:.1f}" if value is not None else "-" for value in ((found.OP, found.OR) if found else (None, None))
    ]
    return [
        escape(artifact.name),
        mean_ap,
        interval(artifact.drop, 3),
        difference,
        same,
        *right,
        status(artifact.verdict),
    ]


def selftest_report(report: SelfTestReport, console: Console) -> None:
    """One line per artifact."""
    rows = named_table("artifact", "verdict", "images", "note", right=("images",))
    for artifact in report.artifacts:
        images = str(len(artifact.images))
        rows.add_row(escape(artifact.name), status(artifact.verdict), images, escape(artifact.sentence))
    console.print(rows)
    console.print(f"[dim]decoded by {escape(report.decoder)}[/]")
