"""Does a probability of 0.7 come true seven times in ten? The curve of each artifact on the split."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..bundle import OperatingPoint
from ..metrics import calibration_bins, expected_calibration_error
from ..page import Markup, element, table
from .evidence import Compared, Evidence
from .section import Section, choice, figure

_LEAD = (
    "All probabilities of all images and classes by size: on the diagonal they come true as often as they say. Below "
    "it the artifact is too sure of itself, above it not sure enough. ECE is the mean distance, in points."
)


def reliability_section(evidence: Evidence) -> Section | None:
    """The curves of the split's stored scores, and what the temperatures brought; None where there is neither."""
    found = [one for one in evidence.on_split() if one.scores is not None and one.artifact.name in one.scores.artifacts]
    artifacts = evidence.bundle.manifest.artifacts
    points = [(one.name, one.operating_point) for one in artifacts if one.operating_point is not None]
    if not found and not points:
        return None
    drawn = [_curve(one, several=len({other.place.slug for other in found}) > 1) for one in found]
    parts = [_curves(drawn)] if drawn else []
    if points:
        parts += [element("h3", "What the temperatures brought, on validation images"), _temperatures(points)]
    return Section("reliability", "Reliability", _LEAD, Markup("".join(parts)), {"reliability": drawn} if drawn else {})


def _curves(drawn: Sequence[dict[str, Any]]) -> Markup:
    options = [("", "all"), *((str(i), curve["artifact"]) for i, curve in enumerate(drawn))]
    said = "Share of labels that are there against the probability"
    headings = ("artifact", "ECE on the split", "probabilities")
    rows = [(curve["artifact"], f"{curve['ece']:.2f}", f"{curve['labels']:,}") for curve in drawn]
    return Markup(
        figure("reliability", said, controls=choice("curve", "artifact", options))
        + table(headings, rows, numbers=headings[1:])
    )


def _temperatures(points: Sequence[tuple[str, OperatingPoint]]) -> Markup:
    headings = ("artifact", "temperature", "ECE before", "ECE after", "validation images", "rule")
    rows = [
        (name, f"{p.temperature:.3f}", f"{p.ece_before:.2f}", f"{p.ece_after:.2f}", f"{p.images:,}", p.rule)
        for name, p in points
    ]
    return table(headings, rows, numbers=headings[1:-1])


def _curve(one: Compared, *, several: bool) -> dict[str, Any]:
    assert one.scores is not None
    probabilities, labels = one.scores.artifacts[one.artifact.name], one.scores.labels
    bins = calibration_bins(probabilities, labels)
    stored = one.artifact.labels.ECE if one.artifact.labels is not None else None
    return {
        "artifact": f"{one.artifact.name} on {one.place.name}" if several else one.artifact.name,
        "ece": 100 * expected_calibration_error(probabilities, labels) if stored is None else stored,
        "labels": int(bins.count.sum()),
        "bins": [
            {"confidence": float(bins.confidence[i]), "accuracy": float(bins.accuracy[i]), "count": int(bins.count[i])}
            for i in np.flatnonzero(bins.count)
        ],
    }
