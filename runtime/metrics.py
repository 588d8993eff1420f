"""Multi-label metrics in numpy: average precision with ties, mAP, CP CR CF1 OP OR OF1, thresholds.

One implementation for training, export and the device. mAP, CP, CR, CF1, OP, OR and OF1 are in points (0-100), as in
the papers; a bare average precision is a fraction, as in scikit-learn. Targets are int8: 1 present, 0 absent, -1
unknown; unknown entries take part in nothing.
"""

from typing import Any, Literal, TypeAlias

import numpy as np

Threshold: TypeAlias = "float | Literal['oracle_k'] | np.ndarray | None"

_BLOCK_ELEMENTS = 4_000_000  # bounds the working memory of one block of classes to a few hundred MB


def average_precision(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Average precision of every class, equal to scikit-learn's average_precision_score, ties included.

    AP = sum over the distinct scores s, descending, of (R(s) - R(previous s)) P(s): precision and recall are taken
    only where a group of tied scores ends, so the order of tied images does not matter.

    Args:
        scores: (N, C), any monotone score (logits keep apart what probabilities round to 1.0).
        targets: (N, C); 1, 0 or -1 (left out of that class).

    Returns:
        float64 (C,), fractions in [0, 1]; NaN for a class without a positive.

    Raises:
        ValueError: shapes differ, or a score is NaN.
    """
    scores, targets = _check(scores, targets)
    images, classes = scores.shape
    result = np.full(classes, np.nan)
    if images == 0:
        return result
    block = max(1, _BLOCK_ELEMENTS // images)
    for start in range(0, classes, block):
        columns = slice(start, start + block)
        result[columns] = _average_precision(scores[:, columns].T, targets[:, columns].T)
    return result


def evaluate(
    scores: np.ndarray,
    targets: np.ndarray,
    threshold: Threshold = 0.5,
    top_k: int | None = None,
) -> dict[str, Any]:
    """Every number that the papers report, under one named protocol.

    F1 numbers compare only under one protocol, hence "protocol" in the result. Protocols:

    * a number: a label is predicted where score >= threshold (UD, CPSD: 0.5);
    * an array (C,): the same with one threshold per class;
    * "oracle_k": an image with k true labels predicts every label whose score exceeds its (k+1)-th highest (L2D's
      code, hence MDKD; it looks at the ground truth, so it flatters);
    * `top_k`: only an image's k highest scores may be predicted, among those that pass the threshold (UD's "Top 3"
      columns); with threshold=None exactly the k highest are.

    Args:
        scores: (N, C) probabilities; for "oracle_k" and for mAP any monotone score will do.
        targets: (N, C); 1 present, 0 absent, -1 unknown (in no number; nor does it take a place among the top k).
        threshold: see above.
        top_k: see above.

    Returns:
        In points (0-100): "mAP"; "AP" (C,), NaN for a class without a positive; "CP", "CR": means over the classes
        with a positive, a class that is never predicted having precision 0; "CF1" = 2 CP CR / (CP + CR) (UD, CPSD);
        "CF1_mean", the mean of the per-class F1 (L2D, MDKD); "OP", "OR", "OF1" over all decisions. Besides:
        "protocol"; "images"; "classes"; "classes_without_positives", how many are left out of the class means.
        A mean over nothing is NaN.

    Raises:
        ValueError: shapes differ, a score is NaN, or the protocol is unknown.
    """
    scores, targets = _check(scores, targets)
    ap = 100.0 * average_precision(scores, targets)
    positive, known = targets == 1, targets >= 0
    predicted = _predict(scores, positive, known, threshold, top_k)

    hits = (predicted & positive).sum(axis=0)
    calls = predicted.sum(axis=0)
    present = positive.sum(axis=0)
    has = present > 0
    precision, recall = _ratio(hits[has], calls[has]), _ratio(hits[has], present[has])
    f1 = _ratio(2 * hits[has], calls[has] + present[has])
    cp, cr, cf1_mean = _mean(precision), _mean(recall), _mean(f1)
    op, overall_recall = float(_ratio(hits.sum(), calls.sum())), float(_ratio(hits.sum(), present.sum()))
    points = {
        "mAP": _mean(ap[has]) / 100.0,
        "CP": cp,
        "CR": cr,
        "CF1": float(_ratio(2 * cp * cr, cp + cr)),
        "CF1_mean": cf1_mean,
        "OP": op,
        "OR": overall_recall,
        "OF1": float(_ratio(2 * hits.sum(), calls.sum() + present.sum())),
    }
    return {
        **{name: 100.0 * value for name, value in points.items()},
        "AP": ap,
        "protocol": protocol_name(threshold, top_k),
        "images": scores.shape[0],
        "classes": scores.shape[1],
        "classes_without_positives": int((~has).sum()),
    }


def protocol_name(threshold: Threshold, top_k: int | None) -> str:
    """How predictions were made, e.g. "threshold=0.5", "oracle_k", "per_class", "top3", "top3, threshold=0.5"."""
    parts = [] if top_k is None else [f"top{top_k}"]
    if isinstance(threshold, str):
        parts.append(threshold)
    elif threshold is not None:
        parts.append(f"threshold={float(threshold):g}" if np.ndim(threshold) == 0 else "per_class")
    return ", ".join(parts)


def best_thresholds(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The threshold per class at which `score >= threshold` has the highest F1 on these images.

    Args:
        scores: (N, C) probabilities on a validation split (never the test split).
        targets: (N, C); 1, 0 or -1 (left out of that class).

    Returns:
        float64 (C,): midway to the next lower score, so that a rounding of the device does not flip a label; the
        highest threshold among equals; 0.5 for a class without a positive, about which the split says nothing.

    Raises:
        ValueError: shapes differ, or a score is NaN.
    """
    scores, targets = _check(scores, targets)
    return np.array([_best_threshold(s, t) for s, t in zip(scores.T, targets.T, strict=True)], dtype=np.float64)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Numerically stable logistic function, in the dtype of `logits`."""
    decay = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, decay).astype(logits.dtype) / (1.0 + decay)


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


def _predict(
    scores: np.ndarray, positive: np.ndarray, known: np.ndarray, threshold: Threshold, top_k: int | None
) -> np.ndarray:
    """The labels that the protocol predicts, bool (N, C); never an unknown one."""
    classes = scores.shape[1]
    if threshold is None and top_k is None:
        raise ValueError("threshold=None predicts nothing by itself: give top_k too")
    ranked = np.where(known, scores, -np.inf)
    predicted = known
    if isinstance(threshold, str):
        if threshold != "oracle_k":
            raise ValueError(f"unknown protocol {threshold!r}: a number, an array (C,), 'oracle_k' or None")
        count = positive.sum(axis=1)
        descending = np.concatenate([-np.sort(-ranked, axis=1), np.full((len(ranked), 1), -np.inf)], axis=1)
        limit = np.take_along_axis(descending, count[:, None], axis=1)
        predicted = predicted & (ranked > limit)
    elif threshold is not None:
        if np.shape(threshold) not in ((), (classes,)):
            raise ValueError(f"thresholds must be one number or ({classes},), not {np.shape(threshold)}")
        predicted = predicted & (scores >= threshold)
    if top_k is not None:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        rank = np.argsort(np.argsort(-ranked, axis=1, kind="stable"), axis=1, kind="stable")
        predicted = predicted & (rank < top_k)
    return predicted


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
    middle = below + (value - below) / 2
    return float(middle if middle > below else value)


def _check(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, targets = np.asarray(scores), np.asarray(targets)
    if scores.ndim != 2 or scores.shape != targets.shape:
        raise ValueError(f"scores {scores.shape} and targets {targets.shape} must both be (N, C)")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).any(axis=1).sum())} of {len(scores)} images have NaN scores")
    return scores, targets


def _ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """Elementwise quotient, 0 where the denominator is 0 (nothing was predicted)."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
