"""A field check as a table and sentences, and as JSON."""

from typing import Any

import msgspec
from rich.console import Console

from edgedistill.runtime import CheckReport
from edgedistill.runtime.field.report import Agreement, Drift
from edgedistill.runtime.formatting import counted, interval

from .console import escape
from .render import judgements, named_table, status

_MOST = 10


def check_json(report: CheckReport) -> dict[str, Any]:
    """The report for machines, with its verdict."""
    return {"verdict": report.verdict, "passed": report.passed, **msgspec.to_builtins(report)}


def check_table(report: CheckReport, console: Console) -> None:
    """What was found, class by class where it differs, and what it means."""
    console.print(
        f"[bold]{escape(report.bundle)}[/] ({escape(report.artifact)}) on {escape(report.photographs)}: "
        f"{counted(report.images, 'photograph')}: {status(report.verdict)}",
        soft_wrap=True,
    )
    if report.drift is not None:
        _drift(report.drift, console)
    if report.agreement is not None:
        _agreement(report.agreement, console)
    for sentence in report.conclusions:
        console.print(escape(sentence), soft_wrap=True)
    judgements(report.gates, console, of=report.artifact)
    if report.to_label:
        first = ", ".join(one.id for one in report.to_label[: _MOST // 2])
        many = counted(len(report.to_label), "photograph")
        console.print(
            f"[bold]to label next[/]  {many}, first {escape(first)} (all: --list, --page, --json)", soft_wrap=True
        )
    for image in report.skipped[: _MOST // 2]:
        console.print(f"[yellow]skipped[/]  {escape(image.id)}: {escape(image.reason)}", soft_wrap=True)
    if len(report.skipped) > _MOST // 2:
        console.print(f"[yellow]skipped[/]  and {len(report.skipped) - _MOST // 2} more photographs")
    if report.not_saved:
        console.print(f"[yellow]not saved[/]  {escape(report.not_saved)}", soft_wrap=True)


def _drift(drift: Drift, console: Console) -> None:
    numbers = ("distance", "p", "reported then", "now")
    rows = named_table("class", *numbers, "scores are", right=numbers)
    for one in sorted(drift.classes, key=lambda one: -(one.distance.estimate or 0.0))[:_MOST]:
        then = "-" if one.reported_then is None else f"{100 * one.reported_then:.1f} %"
        now = "-" if one.reported_now.estimate is None else f"{100 * one.reported_now.estimate:.1f} %"
        said = ("higher" if one.higher else "lower") if one.found else "not seen to differ"
        rows.add_row(escape(one.name), interval(one.distance), f"{one.probability:.2g}", then, now, said)
    console.print(rows)
    more = f"; {len(drift.classes) - _MOST} more classes are nearer" if len(drift.classes) > _MOST else ""
    console.print(
        f"[dim]distance: of the scores from {escape(drift.source)}, 0 alike to 1 apart; p: corrected for the number of "
        f"classes{more}[/]",
        soft_wrap=True,
    )


def _agreement(agreement: Agreement, console: Console) -> None:
    flipped = agreement.flipped
    if not flipped:
        return
    numbers = ("only here", "only there", "both", "rank correlation")
    rows = named_table("class", *numbers, right=numbers)
    for one in flipped[:_MOST]:
        counts = (str(one.gained), str(one.lost), str(one.both))
        rows.add_row(escape(one.name), *counts, interval(one.rank, 3))
    console.print(rows)
