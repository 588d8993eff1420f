"""From a histogram of an activation's values to the range that is quantised: what lies outside is clipped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

BINS = 2048
_LEVELS = 255
_ENTROPY_STEPS = 96
_KEPT_AT_LEAST = 0.1  # of the range; below, clipping has cost more than rounding in every network tried


@dataclass(frozen=True)
class Histogram:
    """How often values of one tensor were seen.

    Attributes:
        low: the smallest value seen.
        high: the largest value seen.
        counts: int64 (BINS,), of equal bins from `low` to `high`.
    """

    low: float
    high: float
    counts: np.ndarray

    @property
    def edges(self) -> np.ndarray:
        """float64 (BINS + 1,)."""
        return np.linspace(self.low, self.high, len(self.counts) + 1)


Calibrator = Callable[[Histogram], tuple[float, float]]


def minmax(histogram: Histogram) -> tuple[float, float]:
    """Everything that was seen."""
    return histogram.low, histogram.high


def percentile(share: float) -> Calibrator:
    """The central `share` percent of the values."""

    def calibrate(histogram: Histogram) -> tuple[float, float]:
        total = histogram.counts.sum()
        if not total or histogram.high <= histogram.low:
            return minmax(histogram)
        below = np.cumsum(histogram.counts) / total
        cut = (100.0 - share) / 200.0
        edges = histogram.edges
        # The bin in which the cut falls is kept whole.
        return float(edges[np.searchsorted(below, cut)]), float(edges[np.searchsorted(below, 1.0 - cut) + 1])

    return calibrate


def entropy(histogram: Histogram) -> tuple[float, float]:
    """The range whose 255 levels lose the least information: the smallest Kullback-Leibler divergence of the values.

    A threshold on |value| falls; what is clipped counts at the ends. The bin of zero, where a ReLU leaves
    half of all values, counts as much as its neighbours: zero is exact in every range. Source: S. Migacz, 8-bit
    inference with TensorRT, GTC 2017, for a range that need not be symmetric.
    """
    if histogram.high <= histogram.low or not histogram.counts.any():
        return minmax(histogram)
    edges, counts = histogram.edges, histogram.counts.astype(np.float64)
    if histogram.low <= 0.0 <= histogram.high:
        zero = min(int(np.searchsorted(edges, 0.0, side="right")) - 1, len(counts) - 1)
        beside = [counts[at] for at in (zero - 1, zero + 1) if 0 <= at < len(counts)]
        counts[zero] = min(counts[zero], np.mean(beside))
    best, chosen = np.inf, minmax(histogram)
    largest = max(abs(histogram.low), abs(histogram.high))
    for threshold in np.linspace(largest, _KEPT_AT_LEAST * largest, _ENTROPY_STEPS):
        low = max(int(np.searchsorted(edges, -threshold, side="right")) - 1, 0)
        high = min(int(np.searchsorted(edges, threshold)), len(counts))
        if high - low <= _LEVELS:
            break
        loss = _divergence(counts, low, high)
        if loss < best:
            best, chosen = loss, (float(edges[low]), float(edges[high]))
    return chosen


def _divergence(counts: np.ndarray, low: int, high: int) -> float:
    """KL divergence of the values in bins [low, high), the clipped at its ends, from what 255 levels make of them."""
    inside = counts[low:high]
    levels = np.arange(len(inside)) * _LEVELS // len(inside)
    seen = inside > 0
    total, filled = np.bincount(levels, inside, _LEVELS), np.bincount(levels, seen, _LEVELS)
    approximated = np.where(seen, (total / np.maximum(filled, 1))[levels], 0.0)
    original = inside.copy()
    original[0] += counts[:low].sum()
    original[-1] += counts[high:].sum()
    here = original > 0
    # Clipped values in a bin that is empty otherwise have no counterpart: as good as one value there.
    p, q = original[here] / original.sum(), np.maximum(approximated[here], 1.0)
    q /= q.sum()
    return float((p * np.log(p / q)).sum())


CALIBRATORS: dict[str, Calibrator] = {
    "minmax": minmax,
    "percentile 99.999": percentile(99.999),
    "percentile 99.99": percentile(99.99),
    "percentile 99.9": percentile(99.9),
    "entropy": entropy,
}


def calibrated(histograms: Mapping[str, Histogram], name: str) -> dict[str, tuple[float, float]]:
    """The ranges that a calibrator gives, by tensor."""
    return {tensor: CALIBRATORS[name](histogram) for tensor, histogram in histograms.items()}
