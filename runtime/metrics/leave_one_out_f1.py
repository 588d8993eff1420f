"""OF1 and CF1 with each image left out once, so that their drop has an interval too."""

import math
from typing import Any, NamedTuple

import numpy as np

from .inputs import ratio


class F1LeftOut(NamedTuple):
    """An F1 of reported labels, and without each image.

    Attributes:
        value: in points (0-100).
        without: float64 (N,), points.
        swap: points that one hit less costs, averaged over the classes: the smallest change that these images can show.
    """

    value: float
    without: np.ndarray
    swap: float


def leave_one_out_f1(labels: np.ndarray, targets: np.ndarray) -> tuple[F1LeftOut, F1LeftOut]:
    """OF1 and CF1 (2 CP CR / (CP + CR)), as `metrics.evaluate` computes them; NaN where no image shows any class.

    A class whose only positive is left out keeps its recall.

    Args:
        labels: bool (N, C), what is reported.
        targets: (N, C); 1, 0 or -1 (left out).
    """
    reported, positive = labels & (targets >= 0), targets == 1
    present = positive.sum(axis=0)
    return _overall(reported, positive), _class_wise(reported[:, present > 0], positive[:, present > 0])


def _overall(reported: np.ndarray, positive: np.ndarray) -> F1LeftOut:
    hits, calls, present = ((reported & positive).sum(axis=1), reported.sum(axis=1), positive.sum(axis=1))
    all_hits, all_labels = hits.sum(), calls.sum() + present.sum()
    if not present.any():
        return F1LeftOut(math.nan, np.full(len(hits), np.nan), math.nan)
    value = 100.0 * ratio(2.0 * all_hits, all_labels)
    one_less = 100.0 * ratio(2.0 * max(all_hits - 1, 0), all_labels - 1)
    without = 100.0 * ratio(2.0 * (all_hits - hits), all_labels - calls - present)
    return F1LeftOut(float(value), without, float(value - one_less))


def _class_wise(reported: np.ndarray, positive: np.ndarray) -> F1LeftOut:
    """Of classes that show in an image; one after the other, so that memory is that of one."""
    images, classes = positive.shape
    if not classes:
        return F1LeftOut(math.nan, np.full(images, np.nan), math.nan)
    ratios, without = np.zeros(2), np.zeros((2, images))  # precision and recall, summed over the classes
    lost = np.zeros(2)  # what a class loses with one hit, summed
    for calls_at, present_at in zip(reported.T, positive.T, strict=True):
        hit = calls_at & present_at
        hits, calls, present = hit.sum(), calls_at.sum(), present_at.sum()
        ratios += ratio(hits, calls), hits / present
        without[0] += ratio(hits - hit, calls - calls_at)
        without[1] += ratio(hits - hit, present - present_at) if present > 1 else hits / present
        if hits:
            lost += hits / calls - ratio(hits - 1, calls - 1), 1.0 / present
    value = _f1(*(ratios / classes))
    one_less = _f1(*((ratios - lost / classes) / classes))
    return F1LeftOut(float(value), _f1(*(without / classes)), float(value - one_less))


def _f1(precision: Any, recall: Any) -> np.ndarray:
    return 100.0 * ratio(2.0 * precision * recall, precision + recall)
