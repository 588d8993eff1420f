"""Confidence intervals: the paired bootstrap of mAP over images, and Student's t for a handful of seeds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .interval import Interval
from .metrics import average_precision, tie_group_ends

_CHUNK_BYTES = 2_000_000  # image weights (uint8) of the resamples handled at once: about one core's cache


def resampled_average_precision(scores: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AP per class when image n counts weights[b, n] times: equal to the AP of the repeated data, ties included.

    Args:
        scores: (N, C), no NaN.
        targets: (N, C); 1, 0 or -1 (left out of that class).
        weights: unsigned integers (B, N), one row per resample.

    Returns:
        float64 (B, C), fractions; NaN where a class has no positive left in the resample.
    """
    return _resampled(_rankings(scores, targets), weights)


def bootstrap_average_precision(
    models: Sequence[np.ndarray], targets: np.ndarray, *, resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """AP per class of several models on the same bootstrap resamples of the images (hence paired).

    Each resample draws N images with replacement. Every class is sorted once per model, and a few resamples at a time
    are expanded, so working memory is 8 N C bytes per model plus a constant.

    Args:
        models: scores (N, C) of each model.
        targets: (N, C); 1, 0 or -1.
        resamples: B.
        seed: equal seeds give equal resamples, on every machine.

    Returns:
        float64 (models, B, C), fractions; NaN where a class lost all its positives in the resample. The mAP of a
        resample is the mean over the classes that kept one: the same classes for every model.
    """
    images = len(targets)
    random = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_BYTES // max(images, 1))
    rankings = [_rankings(scores, targets) for scores in models]
    result = np.empty((len(models), resamples, targets.shape[1]))
    for start in range(0, resamples, chunk):
        weights = _draw(random, min(chunk, resamples - start), images)
        for model, ranking in enumerate(rankings):
            result[model, start : start + len(weights)] = _resampled(ranking, weights)
    return result


def map_interval(
    scores: np.ndarray, targets: np.ndarray, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """The mAP in points (0-100) with its percentile bootstrap interval over images."""
    drawn = bootstrap_average_precision([scores], targets, resamples=resamples, seed=seed)[0]
    return percentile_interval(
        mean_over_classes(average_precision(scores, targets)), mean_over_classes(drawn), confidence
    )


def map_drop_interval(
    reference: np.ndarray,
    scores: np.ndarray,
    targets: np.ndarray,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The drop mAP(reference) - mAP(scores) in points (0-100) with its paired percentile bootstrap interval."""
    drawn = bootstrap_average_precision([reference, scores], targets, resamples=resamples, seed=seed)
    before, after = average_precision(reference, targets), average_precision(scores, targets)
    return percentile_interval(
        mean_over_classes(before) - mean_over_classes(after),
        mean_over_classes(drawn[0]) - mean_over_classes(drawn[1]),
        confidence,
    )


def mean_over_classes(ap: np.ndarray) -> np.ndarray:
    """The mAP in points from AP fractions (..., C), over the classes that have one; NaN where none has."""
    counted = (~np.isnan(ap)).sum(axis=-1)
    total = np.nansum(ap, axis=-1)
    return 100.0 * np.divide(total, counted, out=np.full(np.shape(total), np.nan), where=counted > 0)


def percentile_interval(estimate: float | np.ndarray, drawn: np.ndarray, confidence: float) -> Interval:
    """The interval between the (1 - confidence)/2 quantiles of `drawn` (B,); its NaN entries say nothing."""
    valid = drawn[~np.isnan(drawn)]
    if math.isnan(float(estimate)) or valid.size == 0:
        return Interval(estimate=_finite(float(estimate)), low=None, high=None, confidence=confidence)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(valid, [tail, 1.0 - tail])
    return Interval(estimate=float(estimate), low=float(low), high=float(high), confidence=confidence)


def paired_interval(differences: Sequence[float] | np.ndarray, confidence: float = 0.95) -> Interval:
    """The mean of paired differences (e.g. the gain of a method per seed) with Student's t interval.

    mean +- t((1 + confidence)/2, n - 1) s / sqrt(n), s with n - 1 in the denominator. A single difference has no
    interval: low and high are None.

    Raises:
        ValueError: no difference, or one that is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"needs at least one finite difference, got {differences!r}")
    mean = float(values.mean())
    if values.size == 1:
        return Interval(estimate=mean, low=None, high=None, confidence=confidence)
    half = (
        student_t_quantile((1 + confidence) / 2, values.size - 1) * float(values.std(ddof=1)) / math.sqrt(values.size)
    )
    return Interval(estimate=mean, low=mean - half, high=mean + half, confidence=confidence)


def student_t_quantile(probability: float, degrees: int) -> float:
    """Inverse of Student's t distribution for whole degrees of freedom.

    Bisection on the angle theta = atan(t / sqrt(degrees)), for which the distribution function is a finite sum
    (Abramowitz & Stegun 26.7.3 and 26.7.4), so no approximation is involved.

    Raises:
        ValueError: probability outside (0, 1) or degrees < 1.
    """
    if not 0.0 < probability < 1.0 or degrees < 1:
        raise ValueError(f"needs 0 < probability < 1 and degrees >= 1, got {probability} and {degrees}")
    if probability < 0.5:
        return -student_t_quantile(1.0 - probability, degrees)
    inside = 2.0 * probability - 1.0
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        if _student_t_inside(middle, degrees) < inside:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(low)


def _student_t_inside(theta: float, degrees: int) -> float:
    """P(|T| < sqrt(degrees) tan(theta))."""
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cosine * cosine * (k - 1) / k
    return 2.0 / math.pi * (theta + sine * total) if odd else sine * total


class _Ranking(NamedTuple):
    """What every resample of one class shares.

    Precision matters only at the ends of tie groups that hold a positive, so the images are summed in segments that
    end there: for about 3 % positives this spares most of the work.

    Attributes:
        images: known images by descending score, up to the last group with a positive.
        starts: where each segment begins in `images`.
        positives: the positive ones among `images`.
        positive_starts: where each segment begins in `positives`; no segment is without one.
    """

    images: np.ndarray
    starts: np.ndarray
    positives: np.ndarray
    positive_starts: np.ndarray


def _rankings(scores: np.ndarray, targets: np.ndarray) -> list[_Ranking | None]:
    """One per class; None for a class without a positive."""
    return [_rank(s, t) for s, t in zip(scores.T, targets.T, strict=True)]


def _resampled(rankings: list[_Ranking | None], weights: np.ndarray) -> np.ndarray:
    """AP of every resample and class, float64 (B, C)."""
    result = np.full((len(weights), len(rankings)), np.nan)
    for c, ranking in enumerate(rankings):
        if ranking is not None:
            result[:, c] = _weighted_average_precision(ranking, weights)
    return result


def _rank(scores: np.ndarray, targets: np.ndarray) -> _Ranking | None:
    known = np.flatnonzero(targets >= 0)
    order = known[np.argsort(-scores[known])]
    hit_at = np.flatnonzero(targets[order] == 1)
    if hit_at.size == 0:
        return None
    ends = np.flatnonzero(tie_group_ends(scores[order]))
    segment_ends, positive_starts = np.unique(ends[np.searchsorted(ends, hit_at)], return_index=True)
    starts = np.concatenate([[0], segment_ends[:-1] + 1])
    return _Ranking(order[: segment_ends[-1] + 1], starts, order[hit_at], positive_starts)


def _weighted_average_precision(ranking: _Ranking, weights: np.ndarray) -> np.ndarray:
    """AP of one class for every resample, float64 (B,)."""
    images, starts, positives, positive_starts = ranking
    seen = np.add.reduceat(np.take(weights, images, axis=1), starts, axis=1, dtype=np.int32).cumsum(axis=1)
    gained = np.add.reduceat(np.take(weights, positives, axis=1), positive_starts, axis=1, dtype=np.int32)
    hits = gained.cumsum(axis=1)
    total = hits[:, -1]
    precision = hits / np.maximum(seen, 1)
    return np.divide((gained * precision).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)


def _draw(random: np.random.Generator, resamples: int, images: int) -> np.ndarray:
    """Multinomial image counts, uint8 (B, N): a count above 255 has no measurable probability."""
    weights = np.empty((resamples, images), dtype=np.uint8)
    for row in weights:
        row[:] = np.bincount(random.integers(0, images, images), minlength=images) if images else 0
    return weights


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
