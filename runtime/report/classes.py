"""Each class: the reference's AP against an artifact's."""

from collections.abc import Sequence
from typing import Any

from ..formatting import interval
from ..page import Markup, element, table
from ..parity.report import ClassParity
from .evidence import Compared, Evidence
from .section import Section, choice, figure, folded

_LEAD = (
    "Average precision of each class, the reference's beside an artifact's. A class's interval is its own: among many "
    "classes a few are off by chance, so look here to find what to examine, and judge by the mAP."
)
# A page of two megabytes holds no more of them; what is left out moved least.
_MOST_CLASSES, _MOST_ROWS = 400, 3200
_SORTS = (
    ("drop", "largest change first"),
    ("positives", "most positives first"),
    ("ap", "best first"),
    ("name", "by name"),
)


def classes_section(evidence: Evidence) -> Section | None:
    """One figure for all artifacts, one of which is chosen, and a table of each; None where verify did not run."""
    found = [one for one in evidence.on_split() if any(entry.ap is not None for entry in one.artifact.classes)]
    if not found:
        return None
    several = len({one.place.slug for one in found}) > 1
    titles = [f"{one.artifact.name} on {one.place.name}" if several else one.artifact.name for one in found]
    # What int8 does is what people look for; fp32 shows nothing.
    ordered = sorted(zip(titles, map(_entries, found), strict=True), key=lambda pair: -_moved(pair[1]))
    shown = ordered[: max(1, _MOST_ROWS // max(len(entries) for _, entries in ordered))]
    options = [(str(i), title) for i, (title, _) in enumerate(shown)]
    controls = Markup(choice("artifact", "artifact", options) + choice("order", "order", _SORTS))
    tables = [part for title, entries in shown for part in (element("h3", title), _table(entries))]
    body = Markup(
        figure("classes", "AP of each class in points: the reference's and the artifact's", controls=controls)
        + _left_out(found[0], len(found) - len(shown))
        + folded("The numbers as tables", *tables)
    )
    data = [{"artifact": title, "classes": [_datum(entry) for entry in entries]} for title, entries in shown]
    return Section("classes", "Classes", _LEAD, body, {"classes": data})


def _entries(one: Compared) -> list[ClassParity]:
    """The classes that have an AP, in the bundle's order; of very many those that moved most."""
    entries = [entry for entry in one.artifact.classes if entry.ap is not None and entry.reference_ap is not None]
    kept = sorted(range(len(entries)), key=lambda i: -_change(entries[i]))[:_MOST_CLASSES]
    return [entries[i] for i in sorted(kept)]


def _change(entry: ClassParity) -> float:
    return abs(entry.drop.estimate or 0.0)


def _moved(entries: Sequence[ClassParity]) -> float:
    return max(map(_change, entries), default=0.0)


def _left_out(one: Compared, artifacts: int) -> str | Markup:
    """What a page of this size cannot hold, in words."""
    classes = sum(entry.ap is not None for entry in one.artifact.classes) - _MOST_CLASSES
    said = [f"{classes} classes that changed less"] if classes > 0 else []
    said += [f"{artifacts} artifacts whose classes changed less"] if artifacts else []
    told = f"Left out: {' and '.join(said)}; `edgedistill verify --json` has them all."
    return element("p", told, class_="faint") if said else ""


def _datum(entry: ClassParity) -> dict[str, Any]:
    return {
        "name": entry.name,
        "positives": entry.positives,
        "reference": entry.reference_ap,
        "ap": entry.ap,
        "drop": entry.drop.estimate,
        "low": entry.drop.low,
        "high": entry.drop.high,
    }


def _table(entries: Sequence[ClassParity]) -> Markup:
    headings = ("class", "positives", "reference AP", "AP", "drop [CI]")
    rows = [
        (entry.name, entry.positives, f"{entry.reference_ap:.2f}", f"{entry.ap:.2f}", interval(entry.drop, 3))
        for entry in entries
    ]
    return table(headings, rows, numbers=headings[1:])
