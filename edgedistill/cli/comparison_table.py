"""A comparison of two benchmarks as a table and as JSON."""

from typing import Any

import msgspec
from rich.console import Console

from edgedistill.runtime.comparison import ArtifactComparison, Comparison

from .console import escape
from .render import judgements, milliseconds, print_fitting, size

_COLOURS = {"faster": "green", "slower": "red", "cannot tell": "yellow"}


def comparison_json(found: Comparison) -> dict[str, Any]:
    """The comparison for machines, with what its properties say."""
    return {"verdict": found.verdict, "exit_code": found.exit_code, **msgspec.to_builtins(found)}


def comparison_table(found: Comparison, console: Console) -> None:
    """The ratio of each artifact, and all that belongs to it."""
    console.print(f"A: {escape(found.a)}\nB: {escape(found.b)}", soft_wrap=True)
    interval = f"B / A [{100 * found.confidence:g} %]"
    numbers = ("A ms", "B ms", interval, "size", "peak RSS")
    rows = [
        [
            escape(f"{one.name} / {one.other}" if one.other else one.name),
            one.what,
            milliseconds(one.a_ms),
            milliseconds(one.b_ms),
            escape(_ratio(one)),
            _change(one.a_bytes, one.b_bytes),
            _change(one.a_peak_rss_bytes, one.b_peak_rss_bytes),
            f"[{_COLOURS[one.verdict]}]{one.verdict}[/]",
        ]
        for one in found.artifacts
    ]
    headings = ("artifact", "time", *numbers, "B is")
    aside = [("size", "peak RSS"), ("time", "A ms", "B ms")]
    print_fitting(console, headings, rows, right=numbers, aside=aside)
    for one in found.artifacts:
        if one.reason:
            console.print(f"[yellow]cannot tell[/]  {escape(f'{one.name}: {one.reason}')}", soft_wrap=True)
        elif one.unit:
            count = f"{one.units[0]} and {one.units[1]} {one.unit}"
            console.print(f"[dim]{escape(f'{one.name}: from {count}, {one.ratio.method}')}[/]", soft_wrap=True)
        judgements(one.gates, console, of=one.name)
    for difference in found.differences:
        of = f"{difference.artifact}: " if difference.artifact else ""
        told = escape(f"{of}{difference.what}: {difference.a} in A, {difference.b} in B")
        console.print(f"[yellow]differs[/]  {told}", soft_wrap=True)
    for side, names in (("A", found.only_a), ("B", found.only_b)):
        if names:
            told = escape(f"only in {side}: {', '.join(names)}")
            console.print(f"[dim]{told}[/]", soft_wrap=True)


def _ratio(one: ArtifactComparison) -> str:
    if one.ratio.estimate is None:
        return "-"
    if one.ratio.low is None or one.ratio.high is None:
        return f"{one.ratio.estimate:.3f}"
    return f"{one.ratio.estimate:.3f} [{one.ratio.low:.3f}, {one.ratio.high:.3f}]"


def _change(before: int | None, after: int | None) -> str:
    if not before or not after:
        return "-"
    return size(after) if before == after else f"{size(before)} -> {size(after)}"
