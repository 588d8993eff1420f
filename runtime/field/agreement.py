"""Does an artifact say the same as a reference, without labels that say who is right?"""

from collections.abc import Sequence

import numpy as np

from ..interval import Interval
from ..metrics.proportion import share_interval
from ..metrics.rank_correlation import rank_correlation
from .report import Agreement, ClassAgreement
from .scored import Scored


def compare(one: Scored, reference: Scored, classes: Sequence[str], source: str, confidence: float) -> Agreement:
    """Labels at each one's thresholds, and the order that each class's scores put the images in.

    Args:
        one: the artifact, on N photographs.
        reference: on the same.
        classes: C names.
        source: what the reference is, in words.
        confidence: level of the intervals.
    """
    ours, theirs = one.labels, reference.labels
    images = len(ours)
    changed = int((ours != theirs).any(axis=1).sum())
    return Agreement(
        source=source,
        images=images,
        same=share_interval(images - changed, images, confidence),
        changed=_percent(share_interval(changed, images, confidence)),
        mean_difference=float(np.abs(one.probabilities - reference.probabilities).mean()),
        classes=tuple(
            ClassAgreement(
                name=name,
                gained=int((ours[:, c] & ~theirs[:, c]).sum()),
                lost=int((theirs[:, c] & ~ours[:, c]).sum()),
                both=int((theirs[:, c] & ours[:, c]).sum()),
                rank=rank_correlation(one.logits[:, c], reference.logits[:, c], confidence),
            )
            for c, name in enumerate(classes)
        ),
    )


def _percent(share: Interval) -> Interval:
    estimate, low, high = (None if one is None else 100.0 * one for one in (share.estimate, share.low, share.high))
    return Interval(
        estimate=estimate, low=low, high=high, confidence=share.confidence, method=share.method, note=share.note
    )
