"""What an artifact's outputs on labelled images say against the reference's, and whether its gates are met."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..bundle.records import Artifact
from ..interval import Interval
from ..intervals import bootstrap_average_precision, mean_over_classes, percentile_interval
from ..metrics import average_precision
from ..verdicts import Judgement, judge_at_most, overall
from .report import ArtifactParity, ClassParity


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
    records = [
        _compare(artifact, measured[0], one, classes, targets)
        for (artifact, _), one in zip(artifacts, measured[1:], strict=True)
    ]
    return measured[0].mean_ap(0.95), records


def judge_gates(artifact: Artifact, drop: Interval, images: int) -> tuple[Judgement, ...]:
    """The deploy config's gates that do not need a stopwatch (`bench` judges latency)."""
    limits = artifact.target.limits
    judged = []
    if limits.max_map_drop is not None:
        what = f"mAP drop ({limits.confidence:.4g} confidence)"
        more = _more_images(drop, limits.max_map_drop, images)
        judged.append(judge_at_most("max_map_drop", drop, limits.max_map_drop, what=what, unit="points", more=more))
    if limits.max_bytes is not None:
        judged.append(judge_at_most("max_bytes", float(artifact.size), limits.max_bytes, what="size", unit="bytes"))
    judged += [
        Judgement(
            name=name,
            observed=None,
            limit=None,
            verdict="not judged",
            sentence=f"the gate {name} is unknown to this edgedistill: upgrade to have it judged.",
        )
        for name in artifact.target.unknown_gates
    ]
    return tuple(judged)


def _more_images(drop: Interval, limit: float, images: int) -> str:
    return ""


@dataclass(frozen=True)
class _Measured:
    """A model's outputs with its AP per class (C,) and per resample and class (B, C), fractions."""

    outputs: Outputs
    ap: np.ndarray
    drawn: np.ndarray

    def mean_ap(self, confidence: float) -> Interval:
        return percentile_interval(mean_over_classes(self.ap), mean_over_classes(self.drawn), confidence)


def _compare(
    artifact: Artifact, reference: _Measured, one: _Measured, classes: Sequence[str], targets: np.ndarray
) -> ArtifactParity:
    confidence = artifact.target.limits.confidence
    drop = percentile_interval(
        mean_over_classes(reference.ap) - mean_over_classes(one.ap),
        mean_over_classes(reference.drawn) - mean_over_classes(one.drawn),
        confidence,
    )
    class_drops, class_draws = 100 * (reference.ap - one.ap), 100 * (reference.drawn - one.drawn)
    positives = (targets == 1).sum(axis=0)
    difference = np.abs(one.outputs.logits - reference.outputs.logits)
    gates = judge_gates(artifact, drop, len(targets))
    return ArtifactParity(
        name=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        bytes=artifact.size,
        verdict=overall(gate.verdict for gate in gates),
        ran=True,
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
        gates=gates,
    )


def _points(fraction: float) -> float | None:
    return None if np.isnan(fraction) else 100.0 * float(fraction)
