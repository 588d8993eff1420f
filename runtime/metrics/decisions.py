"""Every number of the papers' tables under a named protocol: mAP, CP CR CF1 OP OR OF1, at a threshold or the top k."""

from typing import Any, Literal, TypeAlias

import numpy as np

from .inputs import checked, order_keys, ratio
from .ranking import average_precision

Threshold: TypeAlias = "float | Literal['oracle_k'] | np.ndarray | None"


def evaluate(
    scores: np.ndarray,
    targets: np.ndarray,
    threshold: Threshold = 0.5,
    top_k: int | None = None,
) -> dict[str, Any]:
    """Every number that the papers report, under one named protocol.

    F1 numbers compare only under one protocol, hence "protocol" in the result. Protocols:

    * a number: a label is predicted where score >= threshold (UD, CPSD: 0.5), compared in float64 whatever the dtypes;
    * an array (C,): the same with one threshold per class;
    * "oracle_k": an image with k true labels predicts every label whose score exceeds its (k+1)-th highest (L2D's
      code, hence MDKD; it looks at the ground truth, so it flatters);
    * `top_k`: only an image's k highest scores may be predicted, among those that pass the threshold (UD's "Top 3"
      columns); with threshold=None exactly the k highest are.

    Args:
        scores: (N, C) probabilities; for "oracle_k" and for mAP any monotone score of any real dtype will do.
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
        ValueError: shapes differ, a score or a threshold is NaN, a target is not 1, 0 or -1, or the protocol is
            unknown.
    """
    scores, targets = checked(scores, targets)
    ap = 100.0 * average_precision(scores, targets)
    positive, known = targets == 1, targets >= 0
    predicted = _predict(scores, positive, known, threshold, top_k)

    hits = (predicted & positive).sum(axis=0)
    calls = predicted.sum(axis=0)
    present = positive.sum(axis=0)
    has = present > 0
    precision, recall = ratio(hits[has], calls[has]), ratio(hits[has], present[has])
    f1 = ratio(2 * hits[has], calls[has] + present[has])
    cp, cr, cf1_mean = _mean(precision), _mean(recall), _mean(f1)
    op, overall_recall = float(ratio(hits.sum(), calls.sum())), float(ratio(hits.sum(), present.sum()))
    points = {
        "mAP": _mean(ap[has]) / 100.0,
        "CP": cp,
        "CR": cr,
        "CF1": float(ratio(2 * cp * cr, cp + cr)),
        "CF1_mean": cf1_mean,
        "OP": op,
        "OR": overall_recall,
        "OF1": float(ratio(2 * hits.sum(), calls.sum() + present.sum())),
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


def _predict(
    scores: np.ndarray, positive: np.ndarray, known: np.ndarray, threshold: Threshold, top_k: int | None
) -> np.ndarray:
    """The labels that the protocol predicts, bool (N, C); never an unknown one."""
    classes = scores.shape[1]
    if threshold is None and top_k is None:
        raise ValueError("threshold=None predicts nothing by itself: give top_k too")
    keys = order_keys(scores)
    predicted = known
    if isinstance(threshold, str):
        if threshold != "oracle_k":
            raise ValueError(f"unknown protocol {threshold!r}: a number, an array (C,), 'oracle_k' or None")
        count = positive.sum(axis=1, keepdims=True)
        descending = -np.sort(np.pad(np.where(known, -keys, np.inf), ((0, 0), (0, 1)), constant_values=np.inf), axis=1)
        limit = np.take_along_axis(descending, count, axis=1)
        predicted = known & ((keys > limit) | (count == known.sum(axis=1, keepdims=True)))
    elif threshold is not None:
        limits = np.asarray(threshold, np.float64)
        if limits.shape not in ((), (classes,)):
            raise ValueError(f"thresholds must be one number or ({classes},), not {limits.shape}")
        if np.isnan(limits).any():
            raise ValueError("a threshold is NaN")
        predicted = known & (scores.astype(np.float64) >= limits)
    if top_k is not None:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        order = np.lexsort((-keys, ~known), axis=1)  # the known labels first, of equal scores the first class
        rank = np.argsort(order, axis=1)
        predicted = predicted & (rank < top_k)
    return predicted


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
