"""Are these photographs like those that the bundle was made with, as far as the model's own outputs tell?

Each class's scores are compared with the recorded ones by the test of Kolmogorov and Smirnov, the embedding by the same
test of a few projections, and the p-values are corrected for being many: what S. Rabanser, S. Guennemann and Z. Lipton
(Failing Loudly, NeurIPS 2019) found to tell most kinds of shift, with the classifier's outputs as the best of the cheap
representations.
"""

from collections.abc import Sequence

import numpy as np

from ..interval import Interval
from ..metrics.proportion import share_interval
from ..metrics.two_sample import holm, ks_distance, ks_margin, ks_probability
from .recorded import Recorded
from .report import ClassDrift, Drift, EmbeddingDrift
from .scored import Scored

_FAR = 0.99


def compare_with_recorded(scored: Scored, recorded: Recorded, classes: Sequence[str], confidence: float) -> Drift:
    """The drift of N photographs.

    Args:
        scored: the artifact on them.
        recorded: with as many classes.
        classes: C names.
        confidence: of all classes together: the chance to name any class wrongly is at most 1 - confidence.
    """
    error, images = 1.0 - confidence, len(scored.logits)
    distances = _distances(scored.logits, recorded.logits, recorded.images)
    probabilities = holm([ks_probability(one, images, recorded.images) for one in distances])
    margin = ks_margin(images, recorded.images, error / len(classes))
    higher = np.median(scored.logits, axis=0) > np.median(recorded.logits, axis=0)
    reported = scored.labels.sum(axis=0)
    return Drift(
        source=recorded.source,
        images_then=recorded.images,
        confidence=confidence,
        visible=min(1.0, margin),
        classes=tuple(
            ClassDrift(
                name=name,
                distance=Interval(
                    estimate=distances[c],
                    low=max(0.0, distances[c] - margin),
                    high=min(1.0, distances[c] + margin),
                    confidence=confidence,
                    method="Dvoretzky-Kiefer-Wolfowitz, for all classes together",
                ),
                probability=probabilities[c],
                found=probabilities[c] < error,
                higher=bool(higher[c]),
                reported_then=float(recorded.reported[c]),
                reported_now=share_interval(int(reported[c]), images, confidence),
            )
            for c, name in enumerate(classes)
        ),
        embedding=_embedding_drift(scored, recorded, error),
    )


def _embedding_drift(scored: Scored, recorded: Recorded, error: float) -> EmbeddingDrift | None:
    if scored.projections is None or scored.shift is None or recorded.projections is None:
        return None
    images = len(scored.projections)
    distances = _distances(scored.projections, recorded.projections, recorded.images)
    probability = min(holm([ks_probability(one, images, recorded.images) for one in distances]))
    by_chance = 1.0 / images + 1.0 / recorded.images  # of the squared shift of a feature whose mean did not move
    limit = np.quantile(recorded.projections[:, -1], _FAR)
    return EmbeddingDrift(
        distance=max(distances),
        probability=probability,
        found=probability < error,
        shift=float(np.sqrt(max(0.0, float((scored.shift**2).mean()) - by_chance))),
        far=100.0 * float((scored.projections[:, -1] > limit).mean()),
    )


def _distances(values: np.ndarray, recorded: np.ndarray, images: int) -> list[float]:
    """Of each column; quantiles that stand for more images may be half a step off, and that is no drift."""
    steps = len(recorded)
    slack = 0.5 / steps if steps < images else 0.0
    return [max(0.0, ks_distance(values[:, c], recorded[:, c]) - slack) for c in range(values.shape[1])]
