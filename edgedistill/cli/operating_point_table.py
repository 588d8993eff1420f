"""What `inspect` and `export` say of the artifacts' own thresholds and temperatures."""

from collections.abc import Sequence

from rich.console import Console

from edgedistill.runtime.bundle import Manifest, OperatingPoint

from .console import escape
from .render import print_fitting

_NAMED = 5


def operating_point_table(manifest: Manifest, console: Console) -> None:
    """One row per artifact that has an operating point; nothing where none has."""
    found = {one.name: one.operating_point for one in manifest.artifacts if one.operating_point is not None}
    if not found:
        return
    numbers = ("temperature", "ECE before", "after", "images")
    rows = [
        [
            escape(name),
            escape(point.rule),
            f"{point.temperature:.3f}",
            f"{point.ece_before:.2f}",
            f"{point.ece_after:.2f}",
            f"{point.images:,}",
            escape(point.dataset),
        ]
        for name, point in found.items()
    ]
    headings = ("artifact", "thresholds", *numbers, "estimated on")
    print_fitting(console, headings, rows, right=numbers, aside=[("images", "estimated on")])
    console.print(
        "[dim]probability = sigmoid(logit / temperature); ECE: expected calibration error, in points[/]", soft_wrap=True
    )
    for note in _notes(found):
        console.print(f"[yellow]thresholds[/]  {escape(note)}", soft_wrap=True)


def _notes(points: dict[str, OperatingPoint]) -> list[str]:
    """What the images did not tell of an artifact; the positives among them are the same for all."""
    notes = [
        f"{name}: no threshold reaches {point.rule} for {_listed(point.missed)}: theirs is the most precise"
        for name, point in points.items()
        if point.missed
    ]
    notes += [
        f"{name}: the images tell no temperature, and the search for one ended at {point.temperature:g}: "
        + ("every logit is on its label's side" if point.temperature < 1 else "the logits tell nothing of the labels")
        for name, point in points.items()
        if point.at_bound
    ]
    without = {point.without_positives for point in points.values() if point.without_positives}
    notes += [f"no positive among the images, so nothing estimated: {_listed(classes)}" for classes in sorted(without)]
    return notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
