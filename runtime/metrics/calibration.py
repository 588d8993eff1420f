"""Calibration: does a probability of 0.7 come true seven times in ten (UD, MM 2021, Sec. 3.2 and Figure 3)."""

from typing import NamedTuple

import numpy as np

from .inputs import checked

BINS = 15  # UD names no number; its source (Guo et al., ICML 2017) takes 15 bins of equal width
_BLOCK_ELEMENTS = 2_000_000


class CalibrationBins(NamedTuple):
    """The probabilities of all images and classes by size: the data of a reliability diagram.

    Attributes:
        edges: float64 (M + 1,); bin m holds edges[m] <= p < edges[m + 1], the last one 1.0 too.
        count: int64 (M,), how many probabilities.
        confidence: float64 (M,), their mean; NaN in an empty bin.
        accuracy: float64 (M,), the share of them whose label is present; NaN in an empty bin.
    """

    edges: np.ndarray
    count: np.ndarray  # type: ignore[assignment]  # hides tuple.count, which nobody calls here
    confidence: np.ndarray
    accuracy: np.ndarray


def calibration_bins(scores: np.ndarray, targets: np.ndarray, bins: int = BINS) -> CalibrationBins:
    """Confidence against accuracy over all labels together (UD Figure 3).

    Args:
        scores: (N, C) probabilities.
        targets: (N, C); 1, 0 or -1 (left out).
        bins: M, of equal width.

    Raises:
        ValueError: shapes differ, a score is no probability, or a target is not 1, 0 or -1.
    """
    count, confidence, present = (sums.sum(axis=0) for sums in _sums(scores, targets, bins))
    edges = np.linspace(0.0, 1.0, bins + 1)
    filled = np.where(count > 0, count, np.nan)
    return CalibrationBins(edges, count.astype(np.int64), confidence / filled, present / filled)


def expected_calibration_error(scores: np.ndarray, targets: np.ndarray, bins: int = BINS) -> float:
    """ECE over all labels together: the sum over bins of share x |accuracy - confidence|.

    Every known (image, class) entry weighs the same. Source: C. Guo et al., ICML 2017, Eq. 5, with the probability of
    each label in place of that of the most probable class.

    Args:
        scores: (N, C) probabilities.
        targets: (N, C); 1, 0 or -1 (left out).
        bins: of equal width.

    Returns:
        a fraction; NaN when no label is known.

    Raises:
        ValueError: shapes differ, a score is no probability, or a target is not 1, 0 or -1.
    """
    count, confidence, present = (sums.sum(axis=0) for sums in _sums(scores, targets, bins))
    return float(np.abs(present - confidence).sum() / count.sum()) if count.any() else float("nan")


def classwise_calibration_error(scores: np.ndarray, targets: np.ndarray, bins: int = BINS) -> float:
    """The mean over the classes of each one's own ECE: E_i E_{f_i} |P(y_i = 1 | f_i) - f_i| (UD Eq. 2).

    A class weighs the same however few its known labels. With few images in a class's bins chance alone makes an error:
    compare on the same images and bins only.

    Args:
        scores: (N, C) probabilities.
        targets: (N, C); 1, 0 or -1 (left out of that class). A class needs no positive.
        bins: per class, of equal width.

    Returns:
        a fraction; NaN when no label is known.

    Raises:
        ValueError: shapes differ, a score is no probability, or a target is not 1, 0 or -1.
    """
    count, confidence, present = _sums(scores, targets, bins)
    seen = count.sum(axis=1)
    errors = np.abs(present - confidence).sum(axis=1)[seen > 0] / seen[seen > 0]
    return float(errors.mean()) if errors.size else float("nan")


def _sums(scores: np.ndarray, targets: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many, the sum of probabilities and the positives of each class and bin, float64 (C, M) each."""
    scores, targets = checked(scores, targets)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(f"scores from {scores.min():g} to {scores.max():g} are no probabilities")
    images, classes = scores.shape
    sums = np.zeros((3, classes * bins))
    step = max(1, _BLOCK_ELEMENTS // max(1, classes))
    for start in range(0, images, step):
        block, truth = scores[start : start + step].astype(np.float64), targets[start : start + step]
        places = np.minimum((block * bins).astype(np.int64), bins - 1) + bins * np.arange(classes)
        known = truth >= 0
        for row, weights in enumerate((None, block[known], truth[known] == 1)):
            sums[row] += np.bincount(places[known], weights, minlength=classes * bins)
    count, confidence, present = sums.reshape(3, classes, bins)
    return count, confidence, present
