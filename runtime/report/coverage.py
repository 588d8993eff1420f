"""How much of an int8 artifact is computed in int8, counted in the graph that the runtime executes."""

from ..bundle import Artifact
from ..page import Markup, element, table
from .evidence import Evidence
from .section import Section, folded

_LEAD = (
    "A file that says int8 need not be computed in int8: what the runtime cannot fuse stays in float. Counted in the "
    "graph that it executes."
)


def coverage_section(evidence: Evidence) -> Section | None:
    """A bar for each int8 artifact; None where there is none."""
    found = [
        one for one in evidence.bundle.manifest.artifacts if one.coverage is not None and one.coverage.convolutions
    ]
    if not found:
        return None
    return Section("int8", "int8", _LEAD, Markup("".join(map(_artifact, found))))


def _artifact(one: Artifact) -> Markup:
    counted = one.coverage
    assert counted is not None
    said = f"{counted.int8} of {counted.convolutions} convolutions in int8 ({counted.runner})"
    filled = element("span", style=f"width:{100 * counted.share:.2f}%")
    details = [(key, value) for key, value in one.details.items()]
    return Markup(
        element("h3", one.name)
        + element("p", element("b", f"{100 * counted.share:.0f} %"), f"  {said}")
        + element("div", filled, class_="bar wide", role="img", aria_label=said)
        + (
            folded(f"In float: {len(counted.in_float)}", element("p", ", ".join(counted.in_float)))
            if counted.in_float
            else ""
        )
        + (folded("What was done for its accuracy", table(("what", "how"), details)) if details else "")
    )
