"""Average precision: how well a class's scores rank its images, ties included."""

import numpy as np

from .inputs import checked, order_keys

_BLOCK_ELEMENTS = 4_000_000  # bounds the working memory of one block of classes to a few hundred MB


def average_precision(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Average precision of every class, equal to scikit-learn's average_precision_score, ties included.

    AP = sum over the distinct scores s, descending, of (R(s) - R(previous s)) P(s): precision and recall are taken
    only where a group of tied scores ends, so the order of tied images does not matter.

    Args:
        scores: (N, C), any monotone score of any real dtype (logits keep apart what probabilities round to 1.0).
        targets: (N, C); 1, 0 or -1 (left out of that class).

    Returns:
        float64 (C,), fractions in [0, 1]; NaN for a class without a positive.

    Raises:
        ValueError: shapes differ, a score is NaN, or a target is not 1, 0 or -1.
    """
    scores, targets = checked(scores, targets)
    keys = order_keys(scores)
    images, classes = scores.shape
    result = np.full(classes, np.nan)
    if images == 0:
        return result
    block = max(1, _BLOCK_ELEMENTS // images)
    for start in range(0, classes, block):
        columns = slice(start, start + block)
        result[columns] = _average_precision(keys[:, columns].T, targets[:, columns].T)
    return result


def tie_group_ends(ranked: np.ndarray) -> np.ndarray:
    """Whether a position is the last of its group of equal values, along the last axis of sorted `ranked`."""
    last = np.ones(ranked.shape, dtype=bool)
    last[..., :-1] = ranked[..., :-1] != ranked[..., 1:]
    return last


def _average_precision(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """AP along the last axis of (C, N) arrays with N >= 1."""
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(targets, order, axis=1)
    positive = ranked == 1
    hits = np.cumsum(positive, axis=1, dtype=np.float64)
    seen = np.cumsum(ranked >= 0, axis=1, dtype=np.float64)
    last = tie_group_ends(np.take_along_axis(scores, order, axis=1))
    position = np.where(last, np.arange(scores.shape[1]), scores.shape[1])
    end = np.minimum.accumulate(position[:, ::-1], axis=1)[:, ::-1]  # each image's group end
    precision = np.take_along_axis(hits / np.maximum(seen, 1.0), end, axis=1)
    total = hits[:, -1]
    return np.divide((precision * positive).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)
