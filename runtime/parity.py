"""Parity as typed values: what an artifact's outputs on labelled images say against the reference's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .bundle import Artifact
from .interval import Interval
from .metrics import average_precision, bootstrap_average_precision, mean_over_classes, percentile_interval
from .record import Record
from .verdicts import Judgement, judge_at_most

ParityStatus = Literal["ran", "could_not_run", "failed"]


class ClassParity(Record):
    """One class, AP in points (0-100); None for a class without a positive among the images.

    Attributes:
        positives: images that show the class.
        reference_ap: the reference's AP.
        ap: the artifact's AP.
        drop: reference_ap - ap with its paired bootstrap interval; one interval per class, not corrected for looking
            at many classes.
    """

    name: str
    positives: int
    reference_ap: float | None
    ap: float | None
    drop: Interval


class SkippedImageRecord(Record):
    """An image that is in no number of the report, and why."""

    id: str
    reason: str


class ReferenceParity(Record):
    """What the artifacts are compared with.

    Attributes:
        source: in words, e.g. "the training framework, stored at export".
        stored: it is the training framework's, not another artifact's.
        mean_ap: its mAP in points with a bootstrap interval.
    """

    source: str
    mean_ap: Interval
    stored: bool = True


class ArtifactParity(Record):
    """One artifact against the reference.

    Attributes:
        status: "ran"; "could_not_run": this machine lacks something; "failed": the artifact was refused (its hash), its
            backend gave up, or its outputs are not numbers.
        reason: why it did not run.
        bytes: size of its files.
        mean_ap: its mAP in points with a bootstrap interval.
        drop: reference mAP - its mAP in points, paired over images, at the confidence of the deploy config's gates.
        classes: in the bundle's order.
        max_abs_logit: the largest absolute difference of any logit to the reference's.
        mean_abs_logit: the mean absolute difference.
        unchanged_images: share (0-1) of images whose reported labels, at the bundle's thresholds, are the reference's.
        effective: what the backend says it really used.
        gates: the deploy config's limits, judged.
    """

    name: str
    backend: str
    precision: str
    status: ParityStatus
    bytes: int
    reason: str = ""
    mean_ap: Interval | None = None
    drop: Interval | None = None
    classes: tuple[ClassParity, ...] = ()
    max_abs_logit: float | None = None
    mean_abs_logit: float | None = None
    unchanged_images: float | None = None
    effective: dict[str, str] = {}
    gates: tuple[Judgement, ...] = ()

    @property
    def passed(self) -> bool:
        """It ran and met every gate."""
        return self.status == "ran" and all(gate.passed for gate in self.gates)

    @property
    def losses(self) -> tuple[ClassParity, ...]:
        """The classes that lost AP, the largest loss first."""
        lost = [entry for entry in self.classes if entry.drop.estimate is not None and entry.drop.estimate > 0]
        return tuple(sorted(lost, key=lambda entry: -(entry.drop.estimate or 0.0)))


class ParityReport(Record):
    """What `verify` found.

    Attributes:
        bundle: the bundle's name.
        manifest_sha256: of the manifest, so that a report is tied to the very files it judged.
        dataset: the split's name.
        fingerprint: Dataset.fingerprint() of the split.
        images: how many images every number rests on.
        skipped: the images that are in none.
        classes_without_positives: left out of every mAP.
        resamples: of the bootstrap.
        device: slug of the machine; results/<device>.json describes it.
        created: ISO 8601, UTC.
        saved: where the report was appended; None when it was not.
        not_saved: why it was not.
    """

    bundle: str
    manifest_sha256: str
    dataset: str
    fingerprint: str
    images: int
    skipped: tuple[SkippedImageRecord, ...]
    classes_without_positives: int
    resamples: int
    reference: ReferenceParity
    artifacts: tuple[ArtifactParity, ...]
    device: str
    created: str
    saved: str | None = None
    not_saved: str = ""

    @property
    def passed(self) -> bool:
        """At least one artifact ran, none failed, and all that ran meet their gates."""
        ran = [artifact for artifact in self.artifacts if artifact.status != "could_not_run"]
        return bool(ran) and all(artifact.passed for artifact in ran)


@dataclass(frozen=True)
class Outputs:
    """What a model said about the images that count.

    Attributes:
        logits: float32 (N, C), finite.
        labels: bool (N, C), the labels it reports: probability >= the bundle's threshold.
        effective: the backend's effective properties.
    """

    logits: np.ndarray
    labels: np.ndarray
    effective: dict[str, str] = field(default_factory=dict)


def judge_parity(
    artifacts: Sequence[tuple[Artifact, Outputs]],
    reference: Outputs,
    targets: np.ndarray,
    classes: Sequence[str],
    *,
    resamples: int,
    seed: int = 0,
) -> tuple[Interval, list[ArtifactParity]]:
    """Compare artifacts with the reference on the same images and the same bootstrap resamples.

    AP is computed from logits: probabilities round to exactly 1.0 and would make ties that the model does not have.

    Args:
        artifacts: what ran.
        reference: what it is compared with.
        targets: int8 (N, C).
        classes: C names.
        resamples: of the bootstrap over images.
        seed: of the bootstrap.

    Returns:
        the reference's mAP at 95 % confidence, and one record per artifact in the given order.
    """
    models = [reference, *(outputs for _, outputs in artifacts)]
    draws = bootstrap_average_precision([model.logits for model in models], targets, resamples=resamples, seed=seed)
    measured = [
        _Measured(model, average_precision(model.logits, targets), drawn)
        for model, drawn in zip(models, draws, strict=True)
    ]
    positives = (targets == 1).sum(axis=0)
    records = [
        _compare(artifact, measured[0], one, classes, positives)
        for (artifact, _), one in zip(artifacts, measured[1:], strict=True)
    ]
    return measured[0].mean_ap(0.95), records


def judge_gates(artifact: Artifact, drop: Interval) -> tuple[Judgement, ...]:
    """The deploy config's gates that do not need a stopwatch (`bench` judges latency)."""
    gates = artifact.target.gates
    judged = []
    if gates.max_map_drop is not None:
        what = f"upper end of the {gates.confidence:.4g} confidence interval of the mAP drop"
        judged.append(judge_at_most("max_map_drop", drop.high, gates.max_map_drop, what=what, unit="points"))
    if gates.max_bytes is not None:
        judged.append(judge_at_most("max_bytes", float(artifact.size), gates.max_bytes, what="size", unit="bytes"))
    return tuple(judged)


@dataclass(frozen=True)
class _Measured:
    """A model's outputs with its AP per class (C,) and per resample and class (B, C), fractions."""

    outputs: Outputs
    ap: np.ndarray
    drawn: np.ndarray

    def mean_ap(self, confidence: float) -> Interval:
        return percentile_interval(mean_over_classes(self.ap), mean_over_classes(self.drawn), confidence)


def _compare(
    artifact: Artifact, reference: _Measured, one: _Measured, classes: Sequence[str], positives: np.ndarray
) -> ArtifactParity:
    confidence = artifact.target.gates.confidence
    drop = percentile_interval(
        mean_over_classes(reference.ap) - mean_over_classes(one.ap),
        mean_over_classes(reference.drawn) - mean_over_classes(one.drawn),
        confidence,
    )
    class_drops, class_draws = 100 * (reference.ap - one.ap), 100 * (reference.drawn - one.drawn)
    difference = np.abs(one.outputs.logits - reference.outputs.logits)
    return ArtifactParity(
        name=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        status="ran",
        bytes=artifact.size,
        mean_ap=one.mean_ap(confidence),
        drop=drop,
        classes=tuple(
            ClassParity(
                name=name,
                positives=int(positives[c]),
                reference_ap=_points(reference.ap[c]),
                ap=_points(one.ap[c]),
                drop=percentile_interval(class_drops[c], class_draws[:, c], confidence),
            )
            for c, name in enumerate(classes)
        ),
        max_abs_logit=float(difference.max()),
        mean_abs_logit=float(difference.mean()),
        unchanged_images=float((one.outputs.labels == reference.outputs.labels).all(axis=1).mean()),
        effective=one.outputs.effective,
        gates=judge_gates(artifact, drop),
    )


def _points(fraction: float) -> float | None:
    return None if np.isnan(fraction) else 100.0 * float(fraction)
