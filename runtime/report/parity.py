"""The same mAP as the reference? Each artifact's drop with its interval, held against its gate."""

from collections.abc import Sequence

from ..formatting import interval, points, size
from ..page import Markup, element, table, verdict
from .evidence import Compared, Evidence
from .section import Section, figure, folded

_LEAD = (
    "mAP points that an artifact loses against the reference on the same images, with the interval that endlessly many "
    "such images would give. It passes when the whole interval lies within its gate. A drop below zero is a gain."
)


def parity_section(evidence: Evidence) -> Section | None:
    """A figure and a table for each split; None where verify did not run."""
    if not evidence.compared:
        return None
    splits: dict[str, list[Compared]] = {}
    for one in evidence.compared:
        splits.setdefault(one.report.fingerprint, []).append(one)
    first = evidence.split
    parts, figures = [], {}
    for number, fingerprint in enumerate(sorted(splits, key=lambda key: key != first)):
        name = f"drops_{number}"
        parts.append(_split(splits[fingerprint], name))
        figures[name] = [_datum(one) for one in splits[fingerprint] if one.artifact.drop is not None]
    return Section("parity", "Parity", _LEAD, Markup("".join(parts)), figures)


def _split(found: Sequence[Compared], name: str) -> Markup:
    report = found[0].report
    headings = (
        *("device", "artifact", "own photographs", "mAP", "drop [CI]", "max |logit diff|", "same labels"),
        *("labels gained", "labels lost", "OF1", "CF1", "verdict"),
    )
    rows = [_row(one) for one in found]
    said = [
        element("li", verdict(gate.verdict), f" {one.artifact.name} on {one.place.name}: {gate.sentence}")
        for one in found
        for gate in one.artifact.gates
    ]
    said += [
        element("li", verdict(one.artifact.verdict), f" {one.artifact.name} on {one.place.name}: {one.artifact.reason}")
        for one in found
        if one.artifact.reason
    ]
    drawn = any(one.artifact.drop is not None and one.artifact.drop.estimate is not None for one in found)
    numbers = table(headings, rows, numbers=headings[3:-1])
    return Markup(
        element("h3", f"{report.dataset}: {report.images:,} images")
        + element("p", f"Reference: {report.reference.source}, mAP {interval(report.reference.mean_ap)}.")
        + (figure(name, f"Drop in mAP points on {report.dataset}, with its interval and its gate") if drawn else "")
        + (folded("The numbers as a table", numbers) if drawn else numbers)
        + (folded("What each gate says", element("ul", *said, class_="gates")) if said else "")
    )


def _row(one: Compared) -> tuple[Markup | str | int, ...]:
    """The three tiers: the bundle's own photographs in numbers, labels at the shipped thresholds, and the metrics."""
    artifact = one.artifact
    golden, flips, labels = artifact.golden, artifact.flips, artifact.labels
    return (
        *(one.place.name, artifact.name, "-" if golden is None else verdict(golden.verdict)),
        *(interval(artifact.mean_ap), interval(artifact.drop, 3)),
        "-" if artifact.max_abs_logit is None else f"{artifact.max_abs_logit:.1e}",
        "-" if artifact.unchanged_images is None else f"{100 * artifact.unchanged_images:.1f} %",
        *(("-", "-") if flips is None else (flips.gained, flips.lost)),
        *(points(labels.OF1 if labels else None), points(labels.CF1 if labels else None)),
        verdict(artifact.verdict),
    )


def _datum(one: Compared) -> dict[str, object]:
    drop = one.artifact.drop
    gate = next((gate for gate in one.artifact.gates if gate.name == "max_map_drop"), None)
    return {
        "device": one.place.name,
        "artifact": one.artifact.name,
        "drop": None if drop is None else drop.estimate,
        "low": None if drop is None else drop.low,
        "high": None if drop is None else drop.high,
        "limit": None if gate is None else gate.limit,
        "verdict": one.artifact.verdict,
        "size": size(one.artifact.bytes),
    }
