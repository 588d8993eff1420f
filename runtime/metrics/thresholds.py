"""From which score on a label is reported: per class, chosen on validation images."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .inputs import checked
from .ranking import tie_group_ends

DEFAULT = 0.5
_BLOCK_ELEMENTS = 4_000_000  # bounds the working memory of one block of classes to a few hundred MB


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
    return _choose(scores, targets, _best_f1)


def precision_thresholds(scores: np.ndarray, targets: np.ndarray, precision: float) -> np.ndarray:
    """The threshold per class that reports most positives while at least `precision` of what it reports is right.

    Where no threshold reaches `precision`, the one of the highest precision there is.

    Args:
        scores: as `best_thresholds`.
        targets: as `best_thresholds`.
        precision: a fraction in (0, 1].

    Returns:
        float64 (C,), placed as those of `best_thresholds`.
    """

    def pick(ranking: _Ranking) -> np.ndarray:
        reached = ranking.ends & (ranking.precision >= precision)
        found = np.argmax(np.where(reached, ranking.hits, -1), axis=1)
        return np.where(reached.any(axis=1), found, _most_precise(ranking, ranking.ends))

    return _choose(scores, targets, pick)


def recall_thresholds(scores: np.ndarray, targets: np.ndarray, recall: float) -> np.ndarray:
    """The threshold per class of the highest precision that reports at least `recall` of the positives.

    Args:
        scores: as `best_thresholds`.
        targets: as `best_thresholds`.
        recall: a fraction in (0, 1].

    Returns:
        float64 (C,), placed as those of `best_thresholds`.
    """
    return _choose(scores, targets, lambda ranking: _most_precise(ranking, ranking.ends & (ranking.recall >= recall)))


class _Ranking(NamedTuple):
    """Some classes' images by descending score, the unknown ones last; what a threshold at each place would report.

    Attributes:
        scores: float64 (C, N).
        known: bool (C, N).
        hits: int64 (C, N), positives from the first image to this one.
        calls: int64 (C, N), known images from the first to this one, at least 1.
        positives: int64 (C, 1).
    """

    scores: np.ndarray
    known: np.ndarray
    hits: np.ndarray
    calls: np.ndarray
    positives: np.ndarray

    @property
    def ends(self) -> np.ndarray:
        """Where a threshold can stand, which splits no group of equal scores: bool (C, N)."""
        last = tie_group_ends(self.scores)
        last[:, :-1] |= ~self.known[:, 1:]
        return last & self.known

    @property
    def precision(self) -> np.ndarray:
        return self.hits / self.calls

    @property
    def recall(self) -> np.ndarray:
        return self.hits / np.maximum(self.positives, 1)


def _best_f1(ranking: _Ranking) -> np.ndarray:
    f1 = 2 * ranking.hits / (ranking.calls + ranking.positives)
    return np.argmax(np.where(ranking.ends, f1, -1.0), axis=1)


def _most_precise(ranking: _Ranking, allowed: np.ndarray) -> np.ndarray:
    """The place of the highest precision among the `allowed`; of equals the one with most hits, which is the last."""
    precision = np.where(allowed, ranking.precision, -1.0)
    return precision.shape[1] - 1 - np.argmax(precision[:, ::-1], axis=1)


def _choose(scores: np.ndarray, targets: np.ndarray, pick: Callable[[_Ranking], np.ndarray]) -> np.ndarray:
    """Thresholds (C,) at the places that `pick` gives."""
    scores, targets = checked(scores, targets)
    images, classes = scores.shape
    result = np.full(classes, DEFAULT)
    block = max(1, _BLOCK_ELEMENTS // max(1, images))
    for start in range(0, classes if images else 0, block):
        columns = slice(start, start + block)
        ranking = _rank(scores[:, columns].T.astype(np.float64), targets[:, columns].T)
        shown = ranking.positives[:, 0] > 0
        result[columns][shown] = _below(ranking, pick(ranking))[shown]
    return result


def _rank(scores: np.ndarray, targets: np.ndarray) -> _Ranking:
    """From float64 scores (C, N) and targets (C, N) with N >= 1."""
    order = np.lexsort((-scores, targets < 0), axis=1)
    ranked = np.take_along_axis(targets, order, axis=1)
    hits = np.cumsum(ranked == 1, axis=1)
    calls = np.cumsum(ranked >= 0, axis=1)
    return _Ranking(
        np.take_along_axis(scores, order, axis=1), ranked >= 0, hits, np.maximum(calls, 1), hits[:, -1:].copy()
    )


def _below(ranking: _Ranking, places: np.ndarray) -> np.ndarray:
    """Midway from the score at each class's place to the next lower one; the score itself where there is none."""
    rows, last = np.arange(len(places)), ranking.scores.shape[1] - 1
    value, after = ranking.scores[rows, places], np.minimum(places + 1, last)
    lower = ranking.scores[rows, after]
    with np.errstate(invalid="ignore"):  # infinite scores
        middle = lower / 2 + value / 2  # halved first: their difference or sum may overflow
        between = (places < last) & ranking.known[rows, after] & (middle > lower)
    return np.where(between, middle, value)
