"""Does a probability of 0.7 come true seven times in ten? The curve of each artifact on the split."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..bundle import OperatingPoint
from ..metrics import calibration_bins, expected_calibration_error
from ..page import Markup, element, table
from .evidence import Compared, Evidence
from .section import Section, choice, figure, folded

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
    drawn = [_curve(one) for one in found]
    parts = [_curves(drawn)] if drawn else []
    if points:
        parts += [element("h3", "What the temperatures brought, on validation images"), _temperatures(points)]
    return Section("reliability", "Reliability", _LEAD, Markup("".join(parts)), {"reliability": drawn} if drawn else {})


def _curves(drawn: Sequence[dict[str, Any]]) -> Markup:
    devices = list(dict.fromkeys(curve["device"] for curve in drawn))
    said = "Share of labels that are there against the probability; the larger a mark, the more of them"
    headings = ("device", "artifact", "ECE on the split", "probabilities")
    rows = [(curve["device"], curve["artifact"], f"{curve['ece']:.2f}", f"{curve['labels']:,}") for curve in drawn]
    controls = choice("device", "device", [(name, name) for name in devices])
    return Markup(
        figure("reliability", said, controls=controls)
        + folded("The numbers as a table", table(headings, rows, numbers=headings[2:]))
    )


def _temperatures(points: Sequence[tuple[str, OperatingPoint]]) -> Markup:
    headings = ("artifact", "temperature", "ECE before", "ECE after", "validation images", "rule")
    rows = [
        (name, f"{p.temperature:.3f}", f"{p.ece_before:.2f}", f"{p.ece_after:.2f}", f"{p.images:,}", p.rule)
        for name, p in points
    ]
    return table(headings, rows, numbers=headings[1:-1])


def _curve(one: Compared) -> dict[str, Any]:
    assert one.scores is not None
    probabilities, labels = one.scores.artifacts[one.artifact.name], one.scores.labels
    bins = calibration_bins(probabilities, labels)
    stored = one.artifact.labels.ECE if one.artifact.labels is not None else None
    return {
        "device": one.place.name,
        "artifact": one.artifact.name,
        "ece": 100 * expected_calibration_error(probabilities, labels) if stored is None else stored,
        "labels": int(bins.count.sum()),
        "bins": [
            {"confidence": float(bins.confidence[i]), "accuracy": float(bins.accuracy[i]), "count": int(bins.count[i])}
            for i in np.flatnonzero(bins.count)
        ],
    }
