"""Spearman's rank correlation: do two models put images in the same order?"""

import math
from statistics import NormalDist

import numpy as np

from ..interval import Interval

LEAST_IMAGES = 10


def rank_correlation(one: np.ndarray, other: np.ndarray, confidence: float = 0.95) -> Interval:
    """Of two scores of the same images, with the interval of D. G. Bonett and T. A. Wright (Psychometrika 65, 2000).

    Args:
        one: (N,), any monotone score.
        other: (N,).
        confidence: two-sided level.

    Returns:
        From -1 to 1; no estimate where one of them is the same for all images, no ends below `LEAST_IMAGES`.
    """
    a, b = _ranks(one), _ranks(other)
    spread = float(a.std() * b.std()) if len(a) else 0.0
    if spread == 0.0:
        return Interval(estimate=None, low=None, high=None, confidence=confidence, note="all images score the same")
    rho = min(1.0, max(-1.0, float(((a - a.mean()) * (b - b.mean())).mean()) / spread))
    if len(a) < LEAST_IMAGES:
        return Interval(estimate=rho, low=None, high=None, confidence=confidence, note=f"{len(a)} images")
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    half = z * math.sqrt((1.0 + rho**2 / 2.0) / (len(a) - 3))
    centre = math.atanh(min(max(rho, -1 + 1e-12), 1 - 1e-12))
    return Interval(
        estimate=rho,
        low=min(rho, math.tanh(centre - half)),
        high=max(rho, math.tanh(centre + half)),
        confidence=confidence,
        method="Bonett and Wright",
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """Float64 (N,), from 0; equal values share the mean of their places."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    end = np.cumsum(count)
    return ((end - count + end - 1) / 2.0)[place]
