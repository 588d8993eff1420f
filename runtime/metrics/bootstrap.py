"""The paired bootstrap of average precision over images."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError
from ..interval import Interval
from .inputs import checked
from .ranking import tie_group_ends
from .uncertainty import NO_POSITIVE, checked_confidence

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
    models: Sequence[np.ndarray], targets: np.ndarray, *, resamples: int = 2000, seed: int = 0
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


def percentile_interval(estimate: float | np.ndarray, drawn: np.ndarray, confidence: float) -> Interval:
    """The interval between the (1 - confidence)/2 quantiles of what the resamples gave.

    For a mAP it covers the truth far too seldom where classes have few positives (benchmarks/coverage.py): average
    precision is biased upwards there, and a resample of the images is biased once more. `map_interval` and
    `map_drop_interval` are what `verify` should print.

    Args:
        estimate: the value on the images themselves, in any unit.
        drawn: (B,), in the same unit; NaN entries say nothing.
        confidence: two-sided level.

    Raises:
        ConfigError: fewer than `least_resamples(confidence)` resamples.
    """
    least = least_resamples(confidence)
    if len(drawn) < least:
        raise ConfigError(f"{len(drawn)} resamples are too few for {100 * confidence:g} % confidence: take {least}.")
    valid = drawn[~np.isnan(drawn)]
    if math.isnan(float(estimate)) or valid.size == 0:
        known = None if math.isnan(float(estimate)) else float(estimate)
        return Interval(
            estimate=known, low=None, high=None, confidence=confidence, resamples=len(drawn), note=NO_POSITIVE
        )
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(valid, [tail, 1.0 - tail])
    return Interval(
        estimate=float(estimate), low=float(low), high=float(high), confidence=confidence, resamples=len(drawn)
    )


def least_resamples(confidence: float) -> int:
    """How many resamples a percentile interval wants: ten beyond either end, 400 for 95 %.

    The share of resamples beyond an end then has a Monte Carlo error of 1 / sqrt(10), a third of itself: a nominal
    2.5 % may be 1.7 % or 3.3 %. With 40 resamples one single resample is the end.

    Raises:
        ConfigError: the confidence is not between 0 and 1.
    """
    return math.ceil(round(20.0 / (1.0 - checked_confidence(confidence)), 6))


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
    scores, targets = checked(scores, targets)
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
    order = known[np.argsort(scores[known])[::-1]]
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


def _draw(random: "np.random.Generator", resamples: int, images: int) -> np.ndarray:
    """Multinomial image counts, uint8 (B, N): a count above 255 has no measurable probability."""
    weights = np.empty((resamples, images), dtype=np.uint8)
    for row in weights:
        row[:] = np.bincount(random.integers(0, images, images), minlength=images) if images else 0
    return weights
