"""The threshold of the best F1, class by class."""

import numpy as np

from .inputs import checked
from .ranking import tie_group_ends


def best_thresholds(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The threshold per class at which `score >= threshold` has the highest F1 on these images.

    Args:
        scores: (N, C) probabilities on a validation split (never the test split).
        targets: (N, C); 1, 0 or -1 (left out of that class).

    Returns:
        float64 (C,): midway to the next lower score, so that a rounding of the device does not flip a label; the
        highest threshold among equals; 0.5 for a class without a positive, about which the split says nothing.

    Raises:
        ValueError: shapes differ, a score is NaN, or a target is not 1, 0 or -1.
    """
    scores, targets = checked(scores, targets)
    return np.array([_best_threshold(s, t) for s, t in zip(scores.T, targets.T, strict=True)], dtype=np.float64)


def _best_threshold(scores: np.ndarray, targets: np.ndarray) -> float:
    known = targets >= 0
    scores, positive = scores[known].astype(np.float64), targets[known] == 1
    if not positive.any():
        return 0.5
    order = np.argsort(-scores)
    ranked = scores[order]
    ends = np.flatnonzero(tie_group_ends(ranked))
    hits = np.cumsum(positive[order])[ends]
    best = int(np.argmax(2 * hits / (ends + 1 + positive.sum())))
    value = ranked[ends[best]]
    if best + 1 == len(ends):
        return float(value)
    below = ranked[ends[best + 1]]
    middle = below / 2 + value / 2  # halved first: their difference or sum may overflow
    return float(middle if middle > below else value)
