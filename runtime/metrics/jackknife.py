"""Average precision with each image left out once: what one image weighs, and so how uncertain the whole is."""

from typing import NamedTuple

import numpy as np

from .inputs import checked
from .ranking import tie_group_ends


class LeftOut(NamedTuple):
    """A model's average precision on labelled images, and without each of them.

    Attributes:
        ap: float64 (C,), fractions; NaN for a class without a positive.
        without: float64 (N, C), the AP of the other N - 1 images. A class whose only positive is left out keeps its AP,
            and NaN stays NaN.
        positives: int64 (C,).
        swap: float64 (C,), how much AP a class loses when one more negative overtakes one of its positives, averaged
            over the positives: the smallest change that these images can show. NaN as in `ap`.
        shown: bool (N, C), the positive labels.
    """

    ap: np.ndarray
    without: np.ndarray
    positives: np.ndarray
    swap: np.ndarray
    shown: np.ndarray

    @property
    def images(self) -> int:
        return len(self.without)

    @property
    def images_with_a_class(self) -> int:
        """How many images show at least one of the classes."""
        return int(self.shown.any(axis=1).sum())

    def of_class(self, c: int) -> "LeftOut":
        """The same of class c alone, as C = 1."""
        one = slice(c, c + 1)
        return LeftOut(self.ap[one], self.without[:, one], self.positives[one], self.swap[one], self.shown[:, one])


def leave_one_out(scores: np.ndarray, targets: np.ndarray) -> LeftOut:
    """Exact, and nearly as fast as one average precision: what an image's absence changes is a sum over those below it.

    Args:
        scores: (N, C), any monotone score.
        targets: (N, C); 1, 0 or -1 (left out of that class).

    Raises:
        ValueError: shapes differ, or a score is NaN.
    """
    scores, targets = checked(scores, targets)
    images, classes = scores.shape
    ap, swap = np.full(classes, np.nan), np.full(classes, np.nan)
    without = np.full((images, classes), np.nan)
    for c in range(classes):
        known = np.flatnonzero(targets[:, c] >= 0)
        order = known[np.argsort(scores[known, c])[::-1]]
        positive = targets[order, c] == 1
        if positive.any():
            ap[c], swap[c], changed = _class(scores[order, c], positive)
            without[:, c] = ap[c]
            without[order, c] = changed
    shown = targets == 1
    return LeftOut(ap, without, shown.sum(axis=0), swap, shown)


def _class(ranked: np.ndarray, positive: np.ndarray) -> tuple[float, float, np.ndarray]:
    """AP, `swap`, and AP without each image (n,), of one class whose scores descend; at least one is positive.

    Images of one score are one group k with p_k positives; with H_k and S_k the positives and the images down to its
    end, AP = sum p_k H_k / S_k / P. Without an image of group j the groups above it stay as they are, and those from j
    on have S - 1 images, and H - 1 positives if the image was one.
    """
    last = tie_group_ends(ranked)
    ends = np.flatnonzero(last)
    hits = np.cumsum(positive)[ends].astype(np.float64)
    seen = ends + 1.0
    count = np.diff(hits, prepend=0.0)
    total = hits[-1]
    fewer = np.maximum(seen - 1.0, 1.0)  # a first group of one image is not there without it: its count is 0 then

    kept = count * hits / seen
    whole = kept.sum()
    above = np.cumsum(kept) - kept
    below_negative = _from_here_on(count * hits / fewer)
    one_less = count * (hits - 1.0) / fewer
    below_positive = _from_here_on(one_less) - one_less + (count - 1.0) * (hits - 1.0) / fewer

    group = np.cumsum(last) - last
    without_negative = (above + below_negative)[group] / total
    without_positive = (above + below_positive)[group] / (total - 1.0) if total > 1 else whole / total
    overtaken = (count * (hits / seen - hits / (seen + 1.0))).sum() / total**2
    return whole / total, overtaken, np.where(positive, without_positive, without_negative)


def _from_here_on(values: np.ndarray) -> np.ndarray:
    return np.cumsum(values[::-1])[::-1]
