"""Each class: the reference's AP against an artifact's."""

from ..formatting import interval
from ..page import Markup, element, table
from .evidence import Compared, Evidence
from .section import Section, choice, figure, folded

_LEAD = (
    "Average precision of each class, the reference's beside an artifact's. A class's interval is its own: among many "
    "classes a few are off by chance, so look here to find what to examine, and judge by the mAP."
)
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
    order = sorted(range(len(found)), key=lambda i: -_moved(found[i]))
    options = [(str(i), titles[i]) for i in order]
    controls = Markup(choice("artifact", "artifact", options) + choice("order", "order", _SORTS))
    body = Markup(
        figure("classes", "AP of each class in points: the reference's and the artifact's", controls=controls)
        + folded(
            "The numbers as tables", *(part for i in order for part in (element("h3", titles[i]), _table(found[i])))
        )
    )
    data = [
        {
            "artifact": titles[i],
            "classes": [
                {
                    "name": entry.name,
                    "positives": entry.positives,
                    "reference": entry.reference_ap,
                    "ap": entry.ap,
                    "drop": entry.drop.estimate,
                    "low": entry.drop.low,
                    "high": entry.drop.high,
                }
                for entry in one.artifact.classes
                if entry.ap is not None and entry.reference_ap is not None
            ],
        }
        for i, one in enumerate(found)
    ]
    return Section("classes", "Classes", _LEAD, body, {"classes": data})


def _moved(one: Compared) -> float:
    """The largest change of a class's AP."""
    return max(
        (abs(entry.drop.estimate) for entry in one.artifact.classes if entry.drop.estimate is not None), default=0
    )


def _table(one: Compared) -> Markup:
    headings = ("class", "positives", "reference AP", "AP", "drop [CI]")
    rows = [
        (
            entry.name,
            entry.positives,
            "-" if entry.reference_ap is None else f"{entry.reference_ap:.2f}",
            "-" if entry.ap is None else f"{entry.ap:.2f}",
            interval(entry.drop, 3),
        )
        for entry in one.artifact.classes
    ]
    return table(headings, rows, numbers=headings[1:])
