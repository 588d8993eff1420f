"""The interval of a share."""

import math
from statistics import NormalDist

from ..interval import Interval


def share_interval(hits: int, of: int, confidence: float = 0.95) -> Interval:
    """The share hits / of with Wilson's score interval (E. B. Wilson, JASA 1927), which holds for shares near 0 and 1.

    Args:
        hits: how many.
        of: of how many independent ones.
        confidence: two-sided level.

    Returns:
        Fractions; no ends, and a note, of none.
    """
    if not of:
        return Interval(estimate=None, low=None, high=None, confidence=confidence, note="of nothing")
    z, share = NormalDist().inv_cdf((1.0 + confidence) / 2.0), hits / of
    centre, scale = share + z * z / (2 * of), 1.0 + z * z / of
    half = z * math.sqrt(share * (1.0 - share) / of + (z / (2 * of)) ** 2)
    low, high = (centre - half) / scale, (centre + half) / scale
    return Interval(
        estimate=share,
        low=0.0 if hits == 0 else min(share, low),
        high=1.0 if hits == of else max(share, high),
        confidence=confidence,
        method="Wilson's score",
    )
