"""Teacher, student alone, student taught, artifacts: what each step costs and brings."""

from ..bundle import Ancestor, Artifact
from ..formatting import points, size
from ..interval import Interval
from ..page import Markup, element, table, verdict
from .evidence import Evidence
from .section import Section, folded

_ROLES = {
    "teacher": "Teacher",
    "baseline": "Student, alone",
    "student": "Student, distilled",
    "network": "Network",
}


def lineage_section(evidence: Evidence) -> Section:
    """Networks and artifacts as cards in their order; bundles without a lineage have their artifacts alone."""
    manifest, found = evidence.bundle.manifest, evidence.bundle.manifest.lineage
    networks = () if found is None else found.networks
    reached = {one.artifact.name: one.artifact.mean_ap for one in reversed(evidence.on_split())}
    cards = [_network(one) for one in networks]
    artifacts = [_artifact(one, reached.get(one.name)) for one in manifest.artifacts]
    rows = [
        (
            *(_ROLES.get(one.role, one.role), one.model, one.taught_by or "-"),
            *(points(one.mAP), points(one.OF1), points(one.CF1)),
            *(_count(one.parameters), "-" if one.bytes is None else size(one.bytes)),
        )
        for one in networks
    ]
    headings = ("network", "model", "taught by", "mAP", "OF1", "CF1", "parameters", "in float32")
    lead = "From what was learnt to what ships. "
    if found is not None and found.dataset:
        lead += (
            f"mAP in points, on {found.images:,} images of {found.dataset}; bytes of a network are those of its "
            "parameters in float32."
        )
    body = Markup(
        element(
            "div",
            element("ol", *cards, class_="networks") if cards else None,
            element("ul", *artifacts, class_="artifacts"),
            class_="lineage",
        )
        + (folded("The networks as a table", table(headings, rows, numbers=headings[3:])) if rows else "")
    )
    return Section("lineage", "Lineage", lead, body)


def gain(evidence: Evidence) -> float | None:
    """By how many mAP points the distilled student beats the same network taught by labels alone; None if unknown."""
    found = evidence.bundle.manifest.lineage
    if found is None:
        return None
    student, alone = found.find("student"), found.find("baseline")
    return (
        None
        if student is None or alone is None or student.mAP is None or alone.mAP is None
        else student.mAP - alone.mAP
    )


def _network(one: Ancestor) -> Markup:
    facts = "size unknown" if one.bytes is None else f"{_count(one.parameters)} parameters, {size(one.bytes)}"
    return element(
        "li",
        element("div", _ROLES.get(one.role, one.role), class_="role"),
        element("div", one.model, class_="model"),
        _bar(one.mAP),
        element("div", facts, class_="faint"),
        element("div", f"taught by {one.taught_by}", class_="faint") if one.taught_by else None,
        class_=f"card {one.role if one.role in _ROLES else 'network'}",
    )


def _artifact(one: Artifact, mean_ap: Interval | None) -> Markup:
    return element(
        "li",
        element("div", one.name, class_="model"),
        _bar(None if mean_ap is None else mean_ap.estimate),
        element("div", f"{one.precision}, {size(one.size)}" if one.files else one.precision, class_="faint"),
        verdict(one.status.replace("_", " ")),
        class_="card",
    )


def _bar(value: float | None) -> Markup:
    """The mAP as a number over a bar of 0 to 100 points."""
    if value is None:
        return element("div", element("span", "mAP not measured", class_="faint"), class_="map")
    filled = element("span", style=f"width:{max(0.0, min(100.0, value)):.2f}%")
    number = element("b", points(value))
    return element(
        "div", number, element("small", " mAP"), element("div", filled, class_="bar", aria_hidden="true"), class_="map"
    )


def _count(parameters: int | None) -> str:
    return "-" if parameters is None else f"{parameters / 1e6:.2f} M" if parameters >= 1e4 else str(parameters)
