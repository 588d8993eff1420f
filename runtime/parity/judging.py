"""What an artifact's outputs on labelled images say against the reference's, and whether its gates are met."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from ..bundle.records import Artifact
from ..interval import Interval
from ..metrics import (
    F1LeftOut,
    LeftOut,
    bootstrap_average_precision,
    class_drop_intervals,
    evaluate,
    expected_calibration_error,
    f1_drop_interval,
    images_to_settle,
    leave_one_out,
    leave_one_out_f1,
    map_drop_interval,
    map_interval,
    mean_over_classes,
    percentile_interval,
    relative_drop_interval,
)
from ..verdicts import Judgement, judge_at_most, overall
from .changes import changed_images, label_flips
from .golden_report import ArtifactSelfTest
from .outputs import Outputs
from .report import ArtifactParity, ClassParity, ReportedLabels

PRESETS = {"99": 1.0, "99.9": 0.1}  # MLPerf's shares of the reference's metric: percent of it that may be lost
_GOLDEN = "golden_set"


class Labelled(NamedTuple):
    """Images that count, without their pixels.

    Attributes:
        ids: N names.
        targets: int8 (N, C).
        classes: C names.
    """

    ids: Sequence[str]
    targets: np.ndarray
    classes: Sequence[str]


class Judged(NamedTuple):
    """One artifact to judge: what it said, and of the bundle's own photographs, where there are any."""

    artifact: Artifact
    outputs: Outputs
    golden: ArtifactSelfTest | None = None


def judge_parity(
    artifacts: Sequence[Judged],
    reference: Outputs,
    images: Labelled,
    *,
    itself: str = "",
    preset: str = "",
    resamples: int = 0,
) -> tuple[Interval, list[ArtifactParity]]:
    """Compare artifacts with the reference on the same images.

    AP is computed from logits: probabilities round to exactly 1.0 and would make ties that the model does not have.

    Args:
        artifacts: what ran.
        reference: what it is compared with.
        images: which N, and what the annotations say of them.
        itself: name of the artifact that is the reference, whose drop says nothing; empty when none is.
        preset: one of `PRESETS`, a gate in addition to the deploy config's; empty for none.
        resamples: of the paired bootstrap beside the interval; 0 for none.

    Returns:
        the reference's mAP at 95 % confidence, and one record per artifact in the given order.
    """
    expected = _measured(reference, images.targets)
    records = []
    for judged in artifacts:
        one, is_reference = _measured(judged.outputs, images.targets), itself == judged.artifact.name
        record = _compare(judged, expected, one, images, preset=preset, is_reference=is_reference)
        if resamples and not is_reference:
            found = _bootstrapped(reference, judged.outputs, images.targets, record.drop, resamples)
            record = msgspec.structs.replace(record, bootstrap_drop=found)
        records.append(record)
    return map_interval(expected.left_out), records


def _judge_labels(reference: "_Measured", one: "_Measured", targets: np.ndarray, confidence: float) -> ReportedLabels:
    """How right the reported labels and probabilities are, for targets int8 (N, C)."""
    outputs = one.outputs
    found = evaluate(outputs.probabilities, targets, outputs.thresholds)
    reported, there = int((outputs.labels & (targets >= 0)).sum()), int((targets == 1).sum())
    for name, of in (("OP", reported), ("OR", there), ("OF1", reported + there)):
        found[name] = found[name] if of else np.nan  # the papers count a share of nothing as 0
    error = 100 * expected_calibration_error(outputs.probabilities, targets)
    overall_drop, class_wise_drop = (
        f1_drop_interval(reference.left_out, before, after, confidence)
        for before, after in zip(reference.f1, one.f1, strict=True)
    )
    return ReportedLabels(
        **{name: found[name] if np.isfinite(found[name]) else None for name in ("OP", "OR", "OF1", "CP", "CR", "CF1")},
        ECE=error if np.isfinite(error) else None,
        protocol=found["protocol"],
        OF1_drop=overall_drop,
        CF1_drop=class_wise_drop,
    )


def _bootstrapped(
    reference: Outputs, one: Outputs, targets: np.ndarray, drop: Interval | None, resamples: int
) -> Interval | None:
    """The drop's interval as the percentile bootstrap over images makes it, paired."""
    if drop is None or drop.estimate is None:
        return None
    drawn = bootstrap_average_precision([reference.logits, one.logits], targets, resamples=resamples)
    before, after = mean_over_classes(drawn)
    found = percentile_interval(drop.estimate, before - after, drop.confidence)
    return msgspec.structs.replace(found, method="paired percentile bootstrap over images")


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


def _judge_golden(golden: ArtifactSelfTest | None) -> tuple[Judgement, ...]:
    """Nothing where the photographs agree: that they do proves the file, and no gate on labelled images."""
    if golden is None or golden.passed:
        return ()
    sentence = f"the bundle's own photographs give other outputs than at export: {golden.sentence}"
    return (Judgement(name=_GOLDEN, observed=None, limit=None, verdict="failed", sentence=sentence),)


def _judge_preset(
    preset: str, before: LeftOut, after: LeftOut, confidence: float, *, is_reference: bool
) -> tuple[Judgement, ...]:
    if not preset:
        return ()
    name = f"preset_{preset}"
    if is_reference:
        return (_not_judged(name, "it is the reference here, and no artifact differs from itself"),)
    lost, limit = relative_drop_interval(before, after, confidence), PRESETS[preset]
    what = f"mAP lost, of the reference's ({confidence:.4g} confidence),"
    more = _more_images(lost, limit, after.images)
    return (judge_at_most(name, lost, limit, what=what, unit="%", more=more),)


def _not_judged(name: str, why: str) -> Judgement:
    return Judgement(name=name, observed=None, limit=None, verdict="not judged", sentence=f"{why}.")


def _more_images(drop: Interval, limit: float, images: int) -> str:
    """What would settle an undecided drop; nothing where its interval says that already."""
    if drop.low is None:
        return ""
    more = images_to_settle(drop, limit, images)
    return "no number of images would tell: the drop is the limit" if more is None else f"about {more:,} more images"


class _Measured(NamedTuple):
    """A model's outputs, with its AP on all images and without each of them, and OF1 and CF1 likewise."""

    outputs: Outputs
    left_out: LeftOut
    f1: tuple[F1LeftOut, F1LeftOut]


def _measured(outputs: Outputs, targets: np.ndarray) -> _Measured:
    return _Measured(outputs, leave_one_out(outputs.logits, targets), leave_one_out_f1(outputs.labels, targets))


def _compare(
    judged: Judged, reference: _Measured, one: _Measured, images: Labelled, *, preset: str, is_reference: bool
) -> ArtifactParity:
    artifact, confidence = judged.artifact, judged.artifact.target.limits.confidence
    before, after = reference.left_out, one.left_out
    drop = map_drop_interval(before, after, confidence)
    difference = np.abs(one.outputs.logits - reference.outputs.logits)
    gates = (
        *_judge_golden(judged.golden),
        *judge_gates(artifact, drop, after.images, is_reference=is_reference),
        *_judge_preset(preset, before, after, confidence, is_reference=is_reference),
    )
    flips = label_flips(reference.outputs, one.outputs, images.targets, confidence)
    return ArtifactParity(
        name=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        bytes=artifact.size,
        verdict=overall(gate.verdict for gate in gates),
        ran=True,
        mean_ap=map_interval(after, confidence),
        golden=judged.golden,
        drop=drop,
        classes=_compare_classes(reference, one, images.classes, confidence),
        max_abs_logit=float(difference.max()),
        mean_abs_logit=float(difference.mean()),
        unchanged_images=flips.same.estimate,
        flips=flips,
        changed=changed_images(reference.outputs, one.outputs, images.ids, images.classes),
        labels=_judge_labels(reference, one, images.targets, confidence),
        effective=one.outputs.effective,
        gates=gates,
    )


def _compare_classes(
    reference: _Measured, one: _Measured, classes: Sequence[str], confidence: float
) -> tuple[ClassParity, ...]:
    before, after = reference.left_out, one.left_out
    gained = (one.outputs.labels & ~reference.outputs.labels).sum(axis=0)
    lost = (reference.outputs.labels & ~one.outputs.labels).sum(axis=0)
    return tuple(
        ClassParity(
            name=classes[c],
            positives=int(before.positives[c]),
            reference_ap=_points(before.ap[c]),
            ap=_points(after.ap[c]),
            drop=drop,
            gained=int(gained[c]),
            lost=int(lost[c]),
        )
        for c, drop in enumerate(class_drop_intervals(before, after, confidence))
    )


def _points(fraction: float) -> float | None:
    return None if np.isnan(fraction) else 100.0 * float(fraction)
