"""What an artifact's outputs on labelled images say against the reference's, and whether its gates are met."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np

from ..bundle.records import Artifact
from ..interval import Interval
from ..metrics import (
    LeftOut,
    class_drop_intervals,
    evaluate,
    expected_calibration_error,
    images_to_settle,
    leave_one_out,
    map_drop_interval,
    map_interval,
)
from ..verdicts import Judgement, judge_at_most, overall
from .report import ArtifactParity, ClassParity, ReportedLabels


@dataclass(frozen=True)
class Outputs:
    """What a model said about the images that count.

    Attributes:
        logits: float32 (N, C), finite.
        probabilities: float32 (N, C), those that it reports.
        thresholds: float64 (C,), from which it reports a label.
        effective: the backend's effective properties.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    thresholds: np.ndarray
    effective: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> np.ndarray:
        """The labels that it reports, bool (N, C)."""
        return self.probabilities >= self.thresholds


def judge_parity(
    artifacts: Sequence[tuple[Artifact, Outputs]],
    reference: Outputs,
    targets: np.ndarray,
    classes: Sequence[str],
    *,
    itself: str = "",
) -> tuple[Interval, list[ArtifactParity]]:
    """Compare artifacts with the reference on the same images.

    AP is computed from logits: probabilities round to exactly 1.0 and would make ties that the model does not have.

    Args:
        artifacts: what ran.
        reference: what it is compared with.
        targets: int8 (N, C).
        classes: C names.
        itself: name of the artifact that is the reference, whose drop says nothing; empty when none is.

    Returns:
        the reference's mAP at 95 % confidence, and one record per artifact in the given order.
    """
    expected = _Measured(reference, leave_one_out(reference.logits, targets))
    records = [
        msgspec.structs.replace(
            _compare(artifact, expected, _Measured(outputs, leave_one_out(outputs.logits, targets)), classes, itself),
            labels=judge_labels(outputs, targets),
        )
        for artifact, outputs in artifacts
    ]
    return map_interval(expected.left_out), records


def judge_labels(outputs: Outputs, targets: np.ndarray) -> ReportedLabels:
    """How right the reported labels and probabilities are, for targets int8 (N, C)."""
    found = evaluate(outputs.probabilities, targets, outputs.thresholds)
    error = 100 * expected_calibration_error(outputs.probabilities, targets)
    return ReportedLabels(
        **{name: found[name] if np.isfinite(found[name]) else None for name in ("OP", "OR", "OF1", "CP", "CR", "CF1")},
        ECE=error if np.isfinite(error) else None,
    )


def judge_gates(artifact: Artifact, drop: Interval, images: int, *, is_reference: bool) -> tuple[Judgement, ...]:
    """The deploy config's gates that do not need a stopwatch (`bench` judges latency)."""
    limits = artifact.target.limits
    judged = []
    if limits.max_map_drop is not None and is_reference:
        judged.append(_not_judged("max_map_drop", "it is the reference here, and no artifact differs from itself"))
    elif limits.max_map_drop is not None:
        what = f"mAP drop ({limits.confidence:.4g} confidence)"
        more = _more_images(drop, limits.max_map_drop, images)
        judged.append(judge_at_most("max_map_drop", drop, limits.max_map_drop, what=what, unit="points", more=more))
    if limits.max_bytes is not None:
        judged.append(judge_at_most("max_bytes", float(artifact.size), limits.max_bytes, what="size", unit="bytes"))
    judged += [
        _not_judged(name, f"the gate {name} is unknown to this edgedistill: upgrade to have it judged")
        for name in artifact.target.unknown_gates
    ]
    return tuple(judged)


def _not_judged(name: str, why: str) -> Judgement:
    return Judgement(name=name, observed=None, limit=None, verdict="not judged", sentence=f"{why}.")


def _more_images(drop: Interval, limit: float, images: int) -> str:
    """What would settle an undecided drop; nothing where its interval says that already."""
    if drop.low is None:
        return ""
    more = images_to_settle(drop, limit, images)
    return "no number of images would tell: the drop is the limit" if more is None else f"about {more:,} more images"


class _Measured(NamedTuple):
    """A model's outputs, with its AP on all images and without each of them."""

    outputs: Outputs
    left_out: LeftOut


def _compare(
    artifact: Artifact, reference: _Measured, one: _Measured, classes: Sequence[str], itself: str
) -> ArtifactParity:
    confidence = artifact.target.limits.confidence
    before, after = reference.left_out, one.left_out
    drop = map_drop_interval(before, after, confidence)
    class_drops = class_drop_intervals(before, after, confidence)
    difference = np.abs(one.outputs.logits - reference.outputs.logits)
    gates = judge_gates(artifact, drop, after.images, is_reference=artifact.name == itself)
    return ArtifactParity(
        name=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        bytes=artifact.size,
        verdict=overall(gate.verdict for gate in gates),
        ran=True,
        mean_ap=map_interval(after, confidence),
        drop=drop,
        classes=tuple(
            ClassParity(
                name=name,
                positives=int(before.positives[c]),
                reference_ap=_points(before.ap[c]),
                ap=_points(after.ap[c]),
                drop=class_drop,
            )
            for c, (name, class_drop) in enumerate(zip(classes, class_drops, strict=True))
        ),
        max_abs_logit=float(difference.max()),
        mean_abs_logit=float(difference.mean()),
        unchanged_images=float((one.outputs.labels == reference.outputs.labels).all(axis=1).mean()),
        effective=one.outputs.effective,
        gates=gates,
    )


def _points(fraction: float) -> float | None:
    return None if np.isnan(fraction) else 100.0 * float(fraction)
